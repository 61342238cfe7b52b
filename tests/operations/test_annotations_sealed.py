"""Annotations of encrypted objects: sealed as the object is, also in its copies."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.index import object_annotations as rows
from s3kit.store.key_provider import LocalKeys
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import make_app
from tests.operations.test_annotations import annotate
from tests.operations.test_annotations import names
from tests.operations.test_annotations import query

SSE = "x-amz-server-side-encryption"
TEXT = b"a text that must not be found at rest"
NONE: dict[str, str] = {}
S3 = {SSE: "AES256"}
KMS = {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "first"}
DSSE = {SSE: "aws:kms:dsse", f"{SSE}-aws-kms-key-id": "second"}
MODES = [NONE, S3, KMS, DSSE]
KEY = bytes(range(32))
CUSTOMER = {
    f"{SSE}-customer-algorithm": "AES256",
    f"{SSE}-customer-key": base64.b64encode(KEY).decode(),
    f"{SSE}-customer-key-MD5": base64.b64encode(hashlib.md5(KEY).digest()).decode(),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("file", tmp_path_factory.mktemp("sealed"), inline_threshold=100)
    yield made
    made.close()


@pytest.fixture
def mount() -> str:
    return ""


@pytest.fixture(params=[10, 1000])
def path(request: pytest.FixtureRequest, s3: Client, bucket: str) -> str:
    """Where an object, inline or not, will be stored by :func:`stored`."""
    return f"{bucket}/k{request.param}"


def stored(s3: Client, path: str, mode: dict[str, str]) -> str:
    body = bytes(int(path.rpartition("k")[2]))
    assert s3.request("PUT", path, "", mode, body).status == 200
    return path


def at_rest(app: S3App, bucket: str, key: str) -> tuple[bytes, dict[str, str]]:
    version = app.store.objects.get(app.store.buckets.get(bucket), key.encode())
    found = app.store.index.read(lambda c: rows.get(c, version.seq, "n"))
    assert found is not None
    return found[1], dict(found[0].headers)


@pytest.mark.parametrize("mode", MODES)
def test_an_annotation_is_sealed_as_its_object_is(
    app: S3App, s3: Client, path: str, mode: dict[str, str]
) -> None:
    stored(s3, path, mode)
    answer = annotate(s3, path, "n", TEXT)
    got = s3.get(path, query("n"))
    assert got.body == TEXT
    assert got.headers.get(SSE) == answer.headers.get(SSE) == mode.get(SSE)
    bucket, _, key = path[1:].partition("/")
    payload, headers = at_rest(app, bucket, key)
    assert (TEXT in payload, headers == {}) == (not mode, not mode)
    annotate(s3, path, "n", TEXT)
    # Every time under another seal.
    assert (at_rest(app, bucket, key)[0] == payload) == (not mode)


@pytest.mark.parametrize("target", MODES)
@pytest.mark.parametrize("source", MODES)
def test_a_copys_annotations_are_sealed_as_the_copy_is(
    app: S3App, s3: Client, path: str, source: dict[str, str], target: dict[str, str]
) -> None:
    stored(s3, path, source)
    annotate(s3, path, "n", TEXT)
    annotate(s3, path, "m", b"other")
    bucket = path[1:].partition("/")[0]
    for more in (NONE, {"x-amz-checksum-algorithm": "SHA256"}):
        headers = {"x-amz-copy-source": path, **target, **more}
        assert s3.request("PUT", f"/{bucket}/copy", "", headers).status == 200
        got = s3.get(f"/{bucket}/copy", query("n"), x_amz_checksum_mode="ENABLED")
        assert (got.body, got.headers.get(SSE)) == (TEXT, target.get(SSE))
        assert ("x-amz-checksum-sha256" in got.headers) == bool(more)
        assert s3.get(f"/{bucket}/copy", query("m")).body == b"other"
        assert (TEXT in at_rest(app, bucket, "copy")[0]) == (not target)
    assert s3.get(path, query("n")).body == TEXT


def test_nobody_waits_for_a_provider_of_keys_but_who_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider may be far away: it is asked outside of the transaction that stores the copy."""
    app = make_app("file", tmp_path)
    s3 = Client(app, OWNER)
    assert s3.put("/bucket").status == 200
    annotate(s3, stored(s3, "/bucket/k10", S3), "n", TEXT)
    provider = app.store.encryptions.provider
    assert isinstance(provider, LocalKeys)
    late: list[threading.Thread] = []
    opening = LocalKeys.open_data_key

    def slowly(self: LocalKeys, *args: Any) -> bytes:
        other = threading.Thread(target=s3.put, args=("/bucket/another", b"1"))
        other.start()
        # Less than it would wait for the database, and then be refused.
        other.join(20)
        if other.is_alive():
            late.append(other)
        return opening(self, *args)

    monkeypatch.setattr(LocalKeys, "open_data_key", slowly)
    headers = {"x-amz-copy-source": "/bucket/k10", **KMS}
    assert s3.request("PUT", "/bucket/copy", "", headers).status == 200
    for each in late:
        each.join()
    assert late == []
    monkeypatch.undo()
    assert s3.get("/bucket/copy", query("n")).body == TEXT
    app.close()


def test_what_is_encrypted_with_a_customers_key_has_no_annotations(s3: Client, path: str) -> None:
    stored(s3, path, CUSTOMER)
    answer = s3.put(path, TEXT, query("n"))
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert names(s3, path) == []
    assert s3.get(path, query("n")).code == "NoSuchAnnotation"
    stored(s3, path, S3)
    annotate(s3, path, "n", TEXT)
    target = f"{path}copy"
    headers = {"x-amz-copy-source": path, **CUSTOMER}
    refused = s3.request("PUT", target, "", headers)
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    headers["x-amz-object-annotation-directive"] = "EXCLUDE"
    assert s3.request("PUT", target, "", headers).status == 200
    assert names(s3, target) == []


def test_what_was_tampered_with_is_an_error_and_no_text(app: S3App, s3: Client, path: str) -> None:
    stored(s3, path, S3)
    annotate(s3, path, "n", TEXT)
    annotate(s3, path, "m", TEXT)
    bucket, _, key = path[1:].partition("/")
    version = app.store.objects.get(app.store.buckets.get(bucket), key.encode())
    annotation, payload = app.store.index.read(lambda c: rows.get(c, version.seq, "n")) or (0, b"")
    assert annotation
    other = app.store.index.read(lambda c: rows.get(c, version.seq, "m"))
    assert other is not None
    for wrong in (payload[:-1] + bytes([payload[-1] ^ 1]), payload[:-1], b"", TEXT, other[1]):
        app.store.index.write(lambda c, w=wrong: rows.change(c, version.seq, annotation, w))
        answer = s3.get(path, query("n"))
        assert (answer.status, answer.code) == (500, "InternalError")
        found = [each.objects for each in app.store.scrub().run()]
        assert (f"{bucket}/{key} annotation n",) in found
        assert (f"{bucket}/{key} annotation m",) not in found
    assert s3.get(path, query("m")).body == TEXT
