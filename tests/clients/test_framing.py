"""How SDKs frame their bodies, seen by a tap: which ways the stories of the SDKs really try.

Together they try all that S3 has: signed bodies, unsigned ones, signed chunks with and without a
trailer, unsigned chunks in a body of known and of unknown length, and waiting for 100 Continue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.sdks import Sdk
from tests.clients.sdks import bucket_of
from tests.clients.sdks import opened
from tests.clients.tap import Tap
from tests.clients.test_go import Go
from tests.clients.test_go import MinioGo
from tests.clients.test_java import JavaAsync
from tests.clients.test_java import JavaSync
from tests.clients.test_javascript import JavaScript
from tests.clients.test_ruby import Ruby

SIGNED = "a SHA-256"
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = f"{CHUNKS}-TRAILER"
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
LENGTHLESS = f"{TRAILER} without a length"

WAYS: dict[type[Sdk], dict[str, set[str]]] = {
    JavaScript: {"http": {SIGNED, LENGTHLESS}, "https": {SIGNED, LENGTHLESS}},
    Go: {"http": {SIGNED}, "https": {SIGNED, TRAILER}},
    MinioGo: {
        "http": {SIGNED, UNSIGNED, CHUNKS, SIGNED_TRAILER},
        "https": {SIGNED, UNSIGNED, TRAILER},
    },
    JavaSync: {"http": {SIGNED, SIGNED_TRAILER}, "https": {UNSIGNED, TRAILER}},
    JavaAsync: {"http": {SIGNED, TRAILER}, "https": {UNSIGNED, TRAILER}},
    Ruby: {"http": {SIGNED}, "https": {SIGNED}},
}


@pytest.fixture(scope="module", params=["http", "https"])
def tap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tap]:
    made = Tap(tmp_path_factory.mktemp("tap"), tls=request.param == "https")
    yield made
    made.close()


@pytest.mark.parametrize("kind", WAYS)
def test_the_sdk_sends_bodies_in_these_ways(kind: type[Sdk], tap: Tap, tmp_path: Path) -> None:
    up = tmp_path / "up"
    up.mkdir()
    (up / "small").write_bytes(b"x" * 1000)
    (up / "big").write_bytes(b"x" * 9_000_000)
    before = len(tap.uploads())
    with opened(kind, tap, tmp_path) as tool, bucket_of(tool) as (bucket, client):
        tool.put(bucket, "text", "a text")
        tool.upload_tree(up, bucket, "tree/")
        tool.upload(up / "big", bucket, "big")
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert {each["Key"]: each["Size"] for each in listed} == {
        "big": 9_000_000,
        "text": 6,
        "tree/big": 9_000_000,
        "tree/small": 1000,
    }
    uploads = [each for each in tap.uploads()[before:] if "boto" not in each["user-agent"].lower()]
    scheme = tap.url.partition(":")[0]
    assert {way(headers) for headers in uploads} == WAYS[kind][scheme]
    expects = {headers["expect"] for headers in uploads if "expect" in headers}
    assert expects == (set() if kind is MinioGo else {"100-continue"})


def way(headers: dict[str, str]) -> str:
    """What a request says of its body."""
    word = headers["x-amz-content-sha256"]
    if len(word) == 64:
        return SIGNED
    if word == TRAILER and headers.get("transfer-encoding") == "chunked":
        return LENGTHLESS
    return word
