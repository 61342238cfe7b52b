"""Every example is short, and runs as its users would run it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3kit.blobs.base import is_blob_id

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def environment() -> dict[str, str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("S3KIT_")}
    paths = f"{ROOT}{os.pathsep}{ROOT / 'contrib'}"
    return {**environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}


@contextmanager
def running(name: str, *arguments: str, folder: Path | None = None) -> Iterator[str]:
    """The example in a process of its own; gives the URL that it prints."""
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=environment(),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            found = None
            while found is None and (line := process.stdout.readline()):
                printed += line
                found = re.search(r"http://[0-9.:]+", line)
            assert found, f"{name} printed {printed!r}"
            yield found.group()
        finally:
            process.terminate()


def run_to_its_end(name: str, *arguments: str) -> str:
    """What an example prints that serves nothing."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


@contextmanager
def client_of(
    url: str, access_key: str = "AKIAEXAMPLE", secret_key: str = "secret"
) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


def store_and_read(url: str, bucket: str, key: str, body: bytes) -> None:
    with client_of(url) as client:
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key=key, Body=body)
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == body


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_read_in_a_minute(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 60
    assert re.search(rf'(running|run_to_its_end)\("{path.name}"', Path(__file__).read_text("utf-8"))


def test_standalone_serves_s3() -> None:
    with running("standalone.py", "0") as url:
        store_and_read(url, "first", "a/b", b"hello")


def page(url: str | urllib.request.Request) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        found: str = response.read().decode()
        return found


def test_flask_app_serves_its_page_and_s3_beside_it() -> None:
    with running("flask_app.py", "0") as url:
        store_and_read(url + "/s3", "first", "a//b%2F", b"hello")
        assert page(url + "/") == "Buckets: first. Stored: first/a//b%2F"
        request = urllib.request.Request(url + "/", headers={"Host": "first.s3.localhost"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)


def test_django_app_serves_its_page_and_s3_beside_it() -> None:
    with running("django_app.py", "runserver", "--noreload", "127.0.0.1:0") as url:
        store_and_read(url + "/s3", "first", "a//b%2F", b"hello" * 100_000)
        assert page(url + "/") == "Buckets: first"


def test_flask_users_sign_with_their_own_keys_until_they_are_disabled() -> None:
    with running("flask_users.py", "0") as url, client_of(url + "/s3") as alice:
        for bucket in ("shared", "private"):
            alice.create_bucket(Bucket=bucket)
            alice.put_object(Bucket=bucket, Key="key", Body=b"alice's")
        with client_of(url + "/s3", "AKIAGUEST") as bob:
            assert bob.get_object(Bucket="shared", Key="key")["Body"].read() == b"alice's"
            for call in (bob.get_object, bob.delete_object):
                with pytest.raises(ClientError, match="AccessDenied"):
                    call(Bucket="private", Key="key")
        assert page(urllib.request.Request(url + "/users/alice/disable", b"")) == (
            "alice is disabled."
        )
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            alice.get_object(Bucket="private", Key="key")


def test_django_users_sign_with_their_own_keys_as_their_permissions_allow(tmp_path: Path) -> None:
    script = (
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from django.contrib.auth.models import User\n"
        "from s3kit_contrib.django.users.models import S3AccessKey\n"
        "for user in (User.objects.create_superuser('root'), User.objects.create_user('alice')):\n"
        "    key, secret = S3AccessKey.objects.create_key(user)\n"
        "    print(key.access_key, secret)\n"
    )
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "django_users.py"), "shell", "-c", script],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("AKIA")]
    assert len(lines) == 2, done.stderr
    arguments = ("runserver", "--noreload", "127.0.0.1:0")
    with running("django_users.py", *arguments, folder=tmp_path) as url:
        assert "Log in" in page(url + "/admin/")
        with client_of(url + "/s3", *lines[0]) as root, client_of(url + "/s3", *lines[1]) as alice:
            root.create_bucket(Bucket="photos")
            with pytest.raises(ClientError, match="AccessDenied"):
                alice.list_objects_v2(Bucket="photos")


def test_asgi_app_serves_its_page_and_s3_beside_it() -> None:
    with running("asgi_app.py", "0") as url:
        store_and_read(url + "/s3", "first", "a//b%2F", b"hello" * 100_000)
        assert page(url + "/") == "Buckets: first"


def test_swap_backend_stores_the_same_on_each_backend(tmp_path: Path) -> None:
    """tests/blobs/test_swap.py runs it on servers of other kinds too."""
    mirror = json.dumps({"mirror": [f"{tmp_path}/near", f"{tmp_path}/far"]})
    for storage in ("memory://", str(tmp_path / "disk"), mirror):
        with running("swap_backend.py", storage, "memory://", "0") as url:
            store_and_read(url, "photos", "key", b"x" * 100_000)
    for folder in ("disk", "near", "far"):
        (blob,) = (path for path in (tmp_path / folder).rglob("*") if is_blob_id(path.name))
        assert blob.read_bytes() == b"x" * 100_000


def test_thumbnails_are_made_and_other_files_refused(tmp_path: Path) -> None:
    picture = b"P6\n8 4\n255\n" + bytes(range(96))
    with running("thumbnails.py", str(tmp_path), "0") as url:
        store_and_read(url, "photos", "cat.ppm", picture)
        with client_of(url) as client, pytest.raises(ClientError, match=r"Only \.ppm files"):
            client.put_object(Bucket="photos", Key="notes.txt", Body=b"no picture")
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*.ppm")) and time.monotonic() < until:
            time.sleep(0.02)
        (thumbnail,) = tmp_path.glob("*.ppm")
        while thumbnail.stat().st_size < 17 and time.monotonic() < until:
            time.sleep(0.02)
    assert thumbnail.read_bytes() == b"P6\n2 1\n255\n" + bytes([0, 1, 2, 12, 13, 14])


def test_durable_keeps_an_index_in_step_over_restarts(tmp_path: Path) -> None:
    def wait_for(*expected: tuple[str, str]) -> None:
        until = time.monotonic() + 60
        found: list[tuple[str, str]] = []
        while sorted(found) != sorted(expected):
            assert time.monotonic() < until, found
            time.sleep(0.02)
            with closing(sqlite3.connect(tmp_path / "words.db")) as words, suppress(sqlite3.Error):
                found = words.execute("SELECT word, key FROM words").fetchall()
        # Whoever ends between a delivery and its note keeps the key's next one waiting a minute.
        waiting = [("",)]
        while waiting:
            assert time.monotonic() < until, waiting
            time.sleep(0.02)
            with closing(sqlite3.connect(tmp_path / "s3kit.db")) as index:
                waiting = index.execute("SELECT * FROM s3kit_outbox").fetchall()

    with running("durable.py", str(tmp_path), "0") as url, client_of(url) as client:
        client.create_bucket(Bucket="texts")
        client.put_object(Bucket="texts", Key="a", Body=b"red Red apple")
        client.put_object(Bucket="texts", Key="b", Body=b"green")
        wait_for(("red", "a"), ("apple", "a"), ("green", "b"))
    with running("durable.py", str(tmp_path), "0") as url, client_of(url) as client:
        client.put_object(Bucket="texts", Key="a", Body=b"pear")
        client.delete_object(Bucket="texts", Key="b")
        wait_for(("pear", "a"))


def test_components_guard_and_watch_an_app_of_ones_own(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with running("components.py", "0", str(log)) as url:
        signed = AWSRequest("PUT", url + "/own/a%20b", data=b"hello")
        signed.context["payload_signing_enabled"] = True
        S3SigV4Auth(Credentials("AKIAEXAMPLE", "secret"), "s3", "us-east-1").add_auth(signed)
        request = urllib.request.Request(
            signed.url, b"hello", dict(signed.headers.items()), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.read() == b"AKIAEXAMPLE sent 5 bytes to /own/a b\n"
        page = {"Origin": "https://www.example.com", "X-Request-Id": "outer-1"}
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(urllib.request.Request(url + "/own", headers=page), timeout=60)
        assert refused.value.headers["x-amz-request-id"] == "outer-1"
        assert refused.value.headers["Access-Control-Allow-Origin"] == page["Origin"]
        refused.value.close()
        asked = {**page, "Access-Control-Request-Method": "PUT"}
        request = urllib.request.Request(url + "/own", headers=asked, method="OPTIONS")
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.headers["Access-Control-Allow-Methods"] == "GET, PUT"
        until = time.monotonic() + 60
        while (lines := log.read_text().splitlines())[2:] == [] and time.monotonic() < until:
            time.sleep(0.02)
    # Each is written when its answer is closed, which may be after the next one's.
    records = [json.loads(line) for line in lines]
    (upload,) = (each for each in records if each.get("bytes_received") == 5)
    (stranger,) = (each for each in records if "error" in each)
    assert (upload["access_key"], upload["bytes_received"]) == ("AKIAEXAMPLE", 5)
    assert (stranger["request_id"], stranger["error"]) == ("outer-1", "AccessDenied")


def test_tasks_read_and_store_without_http_and_sign_urls() -> None:
    text = b"so it is\nand so it was\n"
    with running("tasks.py", "0") as url, client_of(url) as client:
        client.put_object(Bucket="texts", Key="a b", Body=text)
        until = time.monotonic() + 60
        while client.list_objects_v2(Bucket="reports")["KeyCount"] == 0:
            assert time.monotonic() < until
            time.sleep(0.02)
        report = client.get_object(Bucket="reports", Key="a b")
        assert report["Body"].read().startswith(b"2\tso\n2\tit\n1\tis\n")
        with urllib.request.urlopen(report["Metadata"]["text"], timeout=60) as response:
            assert response.read() == text


def test_joined_transaction_stores_the_picture_with_its_row_or_not_at_all(tmp_path: Path) -> None:
    printed = run_to_its_end("joined_transaction.py", str(tmp_path))
    assert printed == "Cat: IntegrityError\nStored: 0.jpg 1.jpg\nKnown: 0.jpg 1.jpg\n"
    assert len([path for path in tmp_path.rglob("*") if is_blob_id(path.name)]) == 2
