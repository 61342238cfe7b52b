"""An object overwritten between two looks at it is read as one or the other, never as a 500."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.index import objects as object_rows
from s3kit.index.objects import ContentGone
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from tests.client import Client
from tests.client import Signer
from tests.client import path_of

PATH = path_of("bucket", "key")
PARTS = [b"a" * 10, b"b" * 10, b"c" * 10]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3App]:
    monkeypatch.setitem(PROFILES, "tiny", Profile(name="tiny", min_part=0))
    app = S3App(Config(keys={"AKIAREADER": "secret"}, profile="tiny"))
    yield app
    app.close()


@pytest.fixture
def client(app: S3App) -> Client:
    client = Client(app, Signer("AKIAREADER", "secret"))
    client.put(path_of("bucket"))
    upload_id = client.post(PATH, query="uploads").text("UploadId")
    listed = ""
    for number, part in enumerate(PARTS, 1):
        client.put(PATH, part, f"partNumber={number}&uploadId={upload_id}")
        etag = hashlib.md5(part, usedforsecurity=False).hexdigest()
        listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert client.post(PATH, document, f"uploadId={upload_id}").status == 200
    return client


def before_first(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Let something happen just before the index looks for parts the first time."""
    look = getattr(object_rows, name)
    waiting = [happens]

    def looking(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return look(*arguments)

    monkeypatch.setattr(object_rows, name, looking)


def test_a_get_of_what_is_overwritten_gives_the_new_object(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_first(monkeypatch, "parts_of", lambda: client.put(PATH, b"new"))
    answer = client.get(PATH)
    assert (answer.status, answer.body) == (200, b"new")
    assert answer.headers["content-length"] == "3"


def test_a_get_of_what_is_removed_finds_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_first(monkeypatch, "parts_of", lambda: client.delete(PATH))
    answer = client.get(PATH)
    assert (answer.status, answer.code) == (404, "NoSuchKey")


def test_a_part_of_what_is_overwritten_is_that_of_the_new_object(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_first(monkeypatch, "part_by_number", lambda: client.put(PATH, b"new"))
    answer = client.get(PATH, "partNumber=1")
    assert (answer.status, answer.body) == (206, b"new")


def test_attributes_of_what_is_overwritten_are_those_of_the_new_object(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_first(monkeypatch, "part_page", lambda: client.put(PATH, b"new"))
    answer = client.get(PATH, "attributes", x_amz_object_attributes="ObjectParts,ObjectSize")
    assert answer.status == 200
    assert answer.text("ObjectSize") == "3"
    assert answer.xml.find("ObjectParts") is None


def test_a_copy_of_what_is_overwritten_is_one_of_the_new_object(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_first(monkeypatch, "parts_of", lambda: client.put(PATH, b"new"))
    target = path_of("bucket", "copy")
    answer = client.put(target, x_amz_copy_source="/bucket/key", x_amz_checksum_algorithm="SHA256")
    assert answer.status == 200
    copied = client.get(target, x_amz_checksum_mode="ENABLED")
    assert copied.body == b"new"
    digest = base64.b64encode(hashlib.sha256(b"new").digest()).decode()
    assert copied.headers["x-amz-checksum-sha256"] == digest


def test_a_missing_part_of_a_present_object_is_still_none(client: Client) -> None:
    assert client.get(PATH, "partNumber=3").body == PARTS[2]
    assert client.get(PATH, "partNumber=4").code == "InvalidPartNumber"


def test_the_store_says_that_a_version_is_gone(app: S3App, client: Client) -> None:
    bucket = app.store.buckets.get("bucket")
    version = app.store.objects.get(bucket, b"key")
    client.delete(PATH)
    with pytest.raises(ContentGone):
        app.store.objects.read(version)
