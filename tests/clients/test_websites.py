"""A bucket's website in a real browser: pages, folders, redirects and lost pages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.testing import LiveServer

PAGE = """<!doctype html><title>home</title><link rel="stylesheet" href="style.css">
<h1>Home</h1><a href="guide">guide</a><ol id="found"></ol><script>
(async () => {
  const add = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.getElementById("found").append(item);
  };
  for (const path of ["guide", "old/guide/", "moved", "lost", "%3Cscript%3E"]) {
    const answer = await fetch(path);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const where = new URL(answer.url).pathname;
    add(`${path} ${answer.status} ${where} ${page.querySelector("h1").textContent}`);
  }
  add(getComputedStyle(document.querySelector("h1")).color);
  document.title = "done";
})();
</script>"""


class Website:
    """A bucket that is a website at ``url``."""

    def __init__(self, server: LiveServer) -> None:
        port = server.url.rpartition(":")[2]
        self.url = f"http://pages.web.localhost:{port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="AK",
            aws_secret_access_key="secret",
        )
        self.client.create_bucket(Bucket="pages", ACL="public-read")

    def store(self, key: str, body: str, kind: str = "text/html", **more: Any) -> None:
        self.client.put_object(
            Bucket="pages", Key=key, Body=body, ContentType=kind, ACL="public-read", **more
        )


@pytest.fixture
def website() -> Iterator[Website]:
    # ACLs that count: the website and its pages are shown to everybody by theirs.
    app = S3App(
        Config(
            keys={"AK": "secret"},
            website_hosts=("*.web.localhost",),
            object_ownership="none",
            block_public_access=False,
        )
    )
    with LiveServer(app) as server:
        yield Website(server)
    app.close()


def dump(folder: Path, url: str) -> str:
    """The page as Chromium has it once its scripts have run."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    shutil.rmtree(folder / "profile", ignore_errors=True)
    return done.stdout


def test_a_browser_finds_its_way_through_a_website(website: Website, tmp_path: Path) -> None:
    rule = {
        "Condition": {"KeyPrefixEquals": "old/"},
        "Redirect": {"ReplaceKeyPrefixWith": "./", "HttpRedirectCode": "302"},
    }
    website.client.put_bucket_website(
        Bucket="pages",
        WebsiteConfiguration={
            "IndexDocument": {"Suffix": "index.html"},
            "ErrorDocument": {"Key": "lost.html"},
            "RoutingRules": [rule],
        },
    )
    website.store("index.html", PAGE)
    website.store("style.css", "h1 {color: rgb(1, 2, 3)}", "text/css")
    website.store("guide/index.html", "<h1>Guide</h1>")
    website.store("lost.html", "<h1>Lost</h1>")
    website.store("moved", "", WebsiteRedirectLocation="/guide/")
    page = dump(tmp_path, f"{website.url}/")
    assert "<title>done</title>" in page, page
    for line in (
        "guide 200 /guide/ Guide",
        "old/guide/ 200 /guide/ Guide",
        "moved 200 /guide/ Guide",
        "lost 404 /lost Lost",
        "%3Cscript%3E 404 /%3Cscript%3E Lost",
        "rgb(1, 2, 3)",
    ):
        assert f"<li>{line}</li>" in page, page


def test_a_page_for_an_error_is_one_that_runs_nothing(website: Website, tmp_path: Path) -> None:
    """A111."""
    website.client.put_bucket_website(
        Bucket="pages", WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}}
    )
    page = dump(tmp_path, f"{website.url}/%3Cscript%3Edocument.title='bad'%3C/script%3E")
    assert "<title>404 Not Found</title>" in page, page
    assert "Key: &lt;script&gt;" in page
