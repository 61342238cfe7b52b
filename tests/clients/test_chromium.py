"""A page of another origin in a real browser: what Chromium lets its script send and see."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from s3kit.testing import LiveServer
from tests.clients.conftest import BASE_HOST
from tests.clients.conftest import StartEndpoint
from tests.clients.doors import Door
from tests.clients.doors import stop

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

BIG = 3_000_000

# What a test asks for is done in order; each outcome goes back by the name that the test gave it.
PAGE = """<!doctype html><title>page</title><script>
async function outcome(step) {
  const options = {method: step.method, headers: step.headers, credentials: step.credentials};
  if (step.text) options.body = new Blob([step.text], {type: "text/plain"});
  if (step.size) options.body = new Uint8Array(step.size);
  if (step.fields) {
    options.body = new FormData();
    for (const [name, value] of Object.entries(step.fields)) options.body.append(name, value);
    options.body.append("file", new Blob([step.file]), "a.txt");
  }
  try {
    const answer = await fetch(step.url, options);
    const text = await answer.text();
    return {status: answer.status, seen: Object.fromEntries(answer.headers), length: text.length,
            text: text.slice(0, 1000)};
  } catch (error) {
    return {error: error.name};
  }
}
(async () => {
  const found = {};
  for (const [name, step] of Object.entries(await (await fetch("/steps")).json()))
    found[name] = await outcome(step);
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


class Site:
    """The page's own server; it is another origin than the endpoint."""

    def __init__(self, steps: dict[str, Any]) -> None:
        self.steps = steps
        self.found: dict[str, Any] = {}
        self.done = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        kind, body = "text/html", PAGE
        if path == "/steps":
            kind, body = "application/json", json.dumps(self.steps)
        elif path == "/found":
            length = int(environ["CONTENT_LENGTH"])
            self.found = json.loads(environ["wsgi.input"].read(length))
            self.done.set()
        start_response("200 OK", [("Content-Type", kind)])
        return [body.encode()]


def browse(folder: Path, steps: dict[str, Any]) -> dict[str, Any]:
    """What came of the steps in a page that Chromium has opened."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    site = Site(steps)
    errors = folder / "chromium.txt"
    with LiveServer(site) as server, errors.open("w") as output:
        process = subprocess.Popen(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--ignore-certificate-errors",
                "--no-proxy-server",
                f"--user-data-dir={folder / 'profile'}",
                "--remote-debugging-port=0",
                f"{server.url}/",
            ],
            stdout=output,
            stderr=output,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )
        try:
            assert site.done.wait(120), errors.read_text()
        finally:
            stop(process)
    shutil.rmtree(folder / "profile", ignore_errors=True)
    return site.found


def allow(client: Any, bucket: str) -> None:
    """Rules as a web application has them for its uploads."""
    rule = {
        "AllowedOrigins": ["http://127.0.0.1:*"],
        "AllowedMethods": ["GET", "PUT", "POST"],
        "AllowedHeaders": ["content-type", "x-amz-meta-*"],
        "ExposeHeaders": ["ETag", "x-amz-meta-page"],
        "MaxAgeSeconds": 600,
    }
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})


def steps_of(client: Any, bucket: str) -> dict[str, Any]:
    """What the page tries, by name."""

    def url(operation: str, key: str, **parameters: Any) -> str:
        return str(
            client.generate_presigned_url(operation, {"Bucket": bucket, "Key": key, **parameters})
        )

    put = url("put_object", "k", ContentType="text/plain", Metadata={"page": "yes"})
    sent = {"Content-Type": "text/plain", "x-amz-meta-page": "yes"}
    get = url("get_object", "k")
    forged = get[:-1] + ("1" if get.endswith("0") else "0")
    form = client.generate_presigned_post(
        bucket, "form", {"success_action_status": "201"}, [{"success_action_status": "201"}]
    )
    return {
        "put": {"method": "PUT", "url": put, "headers": sent, "text": "of a page"},
        "get": {"method": "GET", "url": get},
        "with credentials": {"method": "GET", "url": get, "credentials": "include"},
        "big": {"method": "PUT", "url": url("put_object", "big"), "size": BIG},
        "big again": {"method": "GET", "url": url("get_object", "big")},
        "form": {"method": "POST", "url": form["url"], "fields": form["fields"], "file": "mine"},
        "missing": {"method": "GET", "url": url("get_object", "none")},
        "badly signed": {"method": "GET", "url": forged},
        "header": {"method": "GET", "url": get, "headers": {"x-other": "1"}},
        "method": {"method": "DELETE", "url": url("delete_object", "k")},
    }


def check(client: Any, bucket: str, found: dict[str, Any]) -> None:
    etag = client.head_object(Bucket=bucket, Key="k")["ETag"]
    put = found["put"]
    assert (put["status"], put["seen"]["etag"]) == (200, etag), put
    for name in ("get", "with credentials"):
        get = found[name]
        assert (get["status"], get["text"]) == (200, "of a page")
        assert (get["seen"]["etag"], get["seen"]["x-amz-meta-page"]) == (etag, "yes")
        # There, but not exposed.
        assert "x-amz-request-id" not in get["seen"]
    assert found["big"]["status"] == 200
    assert (found["big again"]["status"], found["big again"]["length"]) == (200, BIG)
    form = found["form"]
    assert (form["status"], "<Key>form</Key>" in form["text"]) == (201, True), form
    assert client.get_object(Bucket=bucket, Key="form")["Body"].read() == b"mine"
    for name, status, code in (
        ("missing", 404, "NoSuchKey"),
        ("badly signed", 403, "SignatureDoesNotMatch"),
    ):
        assert found[name]["status"] == status
        assert f"<Code>{code}</Code>" in found[name]["text"]
    # The browser has not even sent these, or the object would be gone.
    assert found["header"] == found["method"] == {"error": "TypeError"}
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"of a page"


def test_a_page_uses_a_bucket_that_lets_it_in(door: Door, name: str, tmp_path: Path) -> None:
    """FB-17 to FB-19, by presigned PUT and by form, through every door."""
    client = door.client()
    client.create_bucket(Bucket=name)
    allow(client, name)
    check(client, name, browse(tmp_path, steps_of(client, name)))


def test_a_page_uses_a_bucket_by_its_host_name(
    start: StartEndpoint, name: str, tmp_path: Path
) -> None:
    endpoint = start("gunicorn")
    client = endpoint.client(
        url=f"http://{BASE_HOST}:{endpoint.port}",
        signature_version="s3v4",
        s3={"addressing_style": "virtual"},
    )
    plain = endpoint.client(signature_version="s3v4")
    plain.create_bucket(Bucket=name)
    allow(plain, name)
    steps = steps_of(client, name)
    assert f"//{name}.{BASE_HOST}:" in steps["put"]["url"]
    check(plain, name, browse(tmp_path, steps))


def test_a_page_can_use_no_bucket_that_has_no_rules(door: Door, name: str, tmp_path: Path) -> None:
    client = door.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="k", Body=b"of its owner")
    found = browse(tmp_path, steps_of(client, name))
    # A form needs no preflight, so it is stored; but the page does not learn it.
    assert {str(outcome) for outcome in found.values()} == {"{'error': 'TypeError'}"}
    assert client.get_object(Bucket=name, Key="k")["Body"].read() == b"of its owner"
    assert client.get_object(Bucket=name, Key="form")["Body"].read() == b"mine"
