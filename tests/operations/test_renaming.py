"""RenameObject: another key, the same object, all or nothing."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.index import objects as object_rows
from s3kit.model import ObjectLock
from s3kit.signals import Veto
from s3kit.signals import before_object_removed
from s3kit.signals import object_created
from s3kit.signals import object_removed
from tests.client import Answer
from tests.client import Client
from tests.client import path_of
from tests.endpoint import boto_client

BIG = bytes(range(256)) * 400
"""More than lies in a row."""

ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
SUSPENDED = ENABLED.replace(b"Enabled", b"Suspended")


def rename(client: Client, bucket: str, source: str, key: str, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"x-amz-rename-source": source, **sent}
    return client.request("PUT", path_of(bucket[1:], key), "renameObject", sent)


def keys(client: Client, bucket: str) -> list[str]:
    return client.get(bucket, "list-type=2").texts("Contents/Key")


@pytest.mark.parametrize("body", [b"small", BIG, b""])
def test_the_object_has_another_key_and_is_the_same(s3: Client, bucket: str, body: bytes) -> None:
    path = f"{bucket}/old"
    s3.put(path, body, content_type="text/x", x_amz_meta_a="b", x_amz_tagging="t=1",
           x_amz_acl="public-read", x_amz_storage_class="STANDARD_IA")  # fmt: skip
    before = s3.get(path)
    acl = s3.get(path, "acl").body
    answer = rename(s3, bucket, f"{bucket}/old", "a new/key é")
    assert (answer.status, answer.body) == (200, b"")
    new = path_of(bucket[1:], "a new/key é")
    after = s3.get(new)
    assert after.body == body
    for name in ("etag", "last-modified", "content-type", "x-amz-meta-a", "x-amz-tagging-count",
                 "x-amz-storage-class"):  # fmt: skip
        assert after.headers[name] == before.headers[name]
    assert s3.get(new, "acl").body == acl
    assert s3.get(new, "tagging").texts("TagSet/Tag/Key") == ["t"]
    assert (s3.get(path).status, keys(s3, bucket)) == (404, ["a new/key é"])
    (entry,) = s3.get(bucket, "list-type=2").xml.findall("Contents")
    assert entry.findtext("Size") == str(len(body))
    assert s3.delete(new).status == 204
    assert s3.delete(bucket).status == 204


def test_an_object_of_parts_keeps_them(s3: Client, bucket: str) -> None:
    boto = boto_client(s3.app, mount=s3.mount)
    name = {"Bucket": bucket[1:], "Key": "old"}
    upload = boto.create_multipart_upload(**name)["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 10)):
        part = boto.upload_part(
            **name, UploadId=upload, PartNumber=number, Body=bytes([number]) * size
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    boto.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": parts})
    boto.rename_object(Bucket=bucket[1:], Key="new", RenameSource="old")
    assert s3.get(f"{bucket}/new", "partNumber=2").body == b"\2" * 10
    assert s3.get(f"{bucket}/new").body == b"\1" * (5 << 20) + b"\2" * 10


def test_what_is_in_the_way_is_replaced(s3: Client, bucket: str) -> None:
    for first, second in ((b"a", b"b"), (BIG, b"b"), (BIG, BIG + b"x")):
        s3.put(f"{bucket}/a", first)
        s3.put(f"{bucket}/b", second)
        assert rename(s3, bucket, "a", "b").status == 200
        assert s3.get(f"{bucket}/b").body == first
        assert keys(s3, bucket) == ["b"]


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("old", "old"),
        ("/old", "old"),
        ("{bucket}/old", "old"),
        ("/{bucket}/old", "old"),
        ("{bucket}/{bucket}/old", "{bucket}/old"),
        ("a%20b%2Fc", "a b/c"),
        ("%C3%A9", "é"),
        ("a+b", "a+b"),
        ("..", ".."),
        ("//x", "/x"),
    ],
)
def test_the_source_is_a_key_with_or_without_its_bucket(
    s3: Client, bucket: str, source: str, key: str
) -> None:
    name = bucket[1:]
    s3.put(path_of(name, key.format(bucket=name)), b"x")
    assert rename(s3, bucket, source.format(bucket=name), "new").status == 200
    assert keys(s3, bucket) == ["new"]


def test_a_source_that_is_none_is_refused(s3: Client, bucket: str, far_bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    s3.put(f"{far_bucket}/far", b"x")
    missing = s3.put(f"{bucket}/b", b"", "renameObject")
    assert (missing.status, missing.code) == (400, "InvalidRequest")
    for source, status, code in (
        ("", 400, "InvalidArgument"),
        ("/", 400, "InvalidArgument"),
        (f"{bucket}/", 400, "InvalidArgument"),
        ("a" * 1025, 400, "KeyTooLongError"),
        ("%ff", 400, "InvalidURI"),
        ("nothing", 404, "NoSuchKey"),
        (f"{far_bucket}/far", 404, "NoSuchKey"),
        ("b", 400, "InvalidRequest"),
    ):
        answer = rename(s3, bucket, source, "b")
        assert (answer.status, answer.code) == (status, code), source
    for token in ("x" * 65, "a b", "é".encode().decode("latin-1")):
        assert rename(s3, bucket, "a", "b", x_amz_client_token=token).code == "InvalidArgument"
    assert keys(s3, bucket) == ["a"]
    assert s3.get(f"{far_bucket}/far").body == b"x"
    assert rename(s3, "/no-such-bucket", "a", "b").code == "NoSuchBucket"


PAST = formatdate(time.time() - 3600, usegmt=True)
FUTURE = formatdate(time.time() + 3600, usegmt=True)
SOURCE = "x_amz_rename_source_"


@pytest.mark.parametrize(
    ("headers", "there", "status"),
    [
        ({"if_none_match": "*"}, False, 200),
        ({"if_none_match": "*"}, True, 412),
        ({"if_none_match": '"other"'}, True, 200),
        ({"if_match": "{target}"}, True, 200),
        ({"if_match": '"other"'}, True, 412),
        ({"if_match": '"other"'}, False, 412),
        ({"if_modified_since": PAST}, True, 200),
        ({"if_modified_since": PAST}, False, 412),
        ({"if_unmodified_since": PAST}, True, 412),
        ({"if_unmodified_since": PAST}, False, 200),
        ({f"{SOURCE}if_match": "{source}"}, True, 200),
        ({f"{SOURCE}if_match": '"other"'}, True, 412),
        ({f"{SOURCE}if_none_match": "*"}, True, 412),
        ({f"{SOURCE}if_none_match": "{source}"}, False, 412),
        ({f"{SOURCE}if_none_match": '"other"'}, False, 200),
        ({f"{SOURCE}if_modified_since": PAST}, False, 200),
        ({f"{SOURCE}if_unmodified_since": PAST}, False, 412),
        ({f"{SOURCE}if_unmodified_since": FUTURE}, False, 200),
        ({f"{SOURCE}if_match": "{source}", "if_none_match": "*"}, True, 412),
    ],
)
def test_conditions_on_both_ends_hold(
    s3: Client, bucket: str, headers: dict[str, str], there: bool, status: int
) -> None:
    etags = {"source": s3.put(f"{bucket}/a", b"a").headers["etag"], "target": ""}
    if there:
        etags["target"] = s3.put(f"{bucket}/b", b"b").headers["etag"]
    sent = {
        name: value.format(**etags) if value.startswith("{") else value
        for name, value in headers.items()
    }
    answer = rename(s3, bucket, "a", "b", **sent)
    assert answer.status == status, answer.body
    if status == 412:
        assert answer.code == "PreconditionFailed"
        assert s3.get(f"{bucket}/a").body == b"a"
        assert s3.get(f"{bucket}/b").status == (200 if there else 404)
    else:
        assert s3.get(f"{bucket}/b").body == b"a"


def test_a_rename_may_be_said_twice(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"a")
    for _ in range(2):
        assert rename(s3, bucket, "a", "b", x_amz_client_token="once").status == 200
    s3.put(f"{bucket}/a", b"another")
    assert rename(s3, bucket, "a", "b", x_amz_client_token="once").status == 200
    assert s3.get(f"{bucket}/a").body == b"another"
    for answer in (
        rename(s3, bucket, "a", "c", x_amz_client_token="once"),
        rename(s3, bucket, "b", "a", x_amz_client_token="once"),
        rename(s3, bucket, "a", "b", x_amz_client_token="once", if_none_match="*"),
    ):
        assert (answer.status, answer.code) == (400, "IdempotencyParameterMismatch")
    # One that failed may be tried again.
    assert rename(s3, bucket, "x", "y", x_amz_client_token="other").code == "NoSuchKey"
    s3.put(f"{bucket}/x", b"x")
    assert rename(s3, bucket, "x", "y", x_amz_client_token="other").status == 200
    assert keys(s3, bucket) == ["a", "b", "y"]


def test_with_versioning_the_history_stays(s3: Client, bucket: str) -> None:
    s3.put(bucket, ENABLED, "versioning")
    first = s3.put(f"{bucket}/a", b"one").headers["x-amz-version-id"]
    second = s3.put(f"{bucket}/a", BIG, x_amz_tagging="t=1").headers["x-amz-version-id"]
    there = s3.put(f"{bucket}/b", b"there").headers["x-amz-version-id"]
    assert rename(s3, bucket, "a", "b").status == 200
    assert s3.get(f"{bucket}/a").status == 404
    assert s3.get(f"{bucket}/a").headers["x-amz-delete-marker"] == "true"
    assert s3.get(f"{bucket}/a", f"versionId={first}").body == b"one"
    assert s3.get(f"{bucket}/a", f"versionId={second}").body == BIG
    assert s3.get(f"{bucket}/b").body == BIG
    assert s3.get(f"{bucket}/b", "tagging").texts("TagSet/Tag/Key") == ["t"]
    assert s3.get(f"{bucket}/b", f"versionId={there}").body == b"there"
    made = s3.get(f"{bucket}/b").headers["x-amz-version-id"]
    assert made not in (first, second, there)
    # What is left of the old key goes, the new one stays.
    for version in (first, second):
        s3.delete(f"{bucket}/a", f"versionId={version}")
    assert s3.get(f"{bucket}/b").body == BIG
    assert rename(s3, bucket, "a", "c").code == "NoSuchKey"


def test_with_versioning_suspended_the_null_version_moves(s3: Client, bucket: str) -> None:
    s3.put(bucket, ENABLED, "versioning")
    kept = s3.put(f"{bucket}/b", b"kept").headers["x-amz-version-id"]
    s3.put(bucket, SUSPENDED, "versioning")
    s3.put(f"{bucket}/a", BIG)
    assert rename(s3, bucket, "a", "b").status == 200
    assert s3.get(f"{bucket}/b", "versionId=null").body == BIG
    assert s3.get(f"{bucket}/b", f"versionId={kept}").body == b"kept"
    listed = s3.get(bucket, "versions")
    assert listed.texts("DeleteMarker/Key") == ["a"]
    assert listed.texts("Version/Key") == ["b", "b"]


def test_a_locked_object_keeps_its_key(app: S3App, s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"a")
    found = app.store.buckets.get(bucket[1:])
    version = app.store.objects.get(found, b"a")
    later = int(time.time() * 1000) + 60_000
    for lock in (
        ObjectLock(legal_hold=True),
        ObjectLock(event_hold=True),
        ObjectLock("GOVERNANCE", later),
        ObjectLock("COMPLIANCE", later),
    ):
        app.store.index.write(lambda c, lock=lock: _lock(c, found.id, version.seq, lock))
        answer = rename(s3, bucket, "a", "b")
        assert (answer.status, answer.code) == (403, "AccessDenied")
    past = ObjectLock("COMPLIANCE", 1000)
    app.store.index.write(lambda c: _lock(c, found.id, version.seq, past))
    assert rename(s3, bucket, "a", "b").status == 200


def _lock(c: Any, bucket_id: int, seq: int, lock: ObjectLock) -> None:
    object_rows.lock_current(c, bucket_id, b"a")
    assert object_rows.set_lock(c, seq, lock)


def test_only_who_may_do_both_may_rename(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/a", b"secret")
    # To write is not enough: what is renamed to a key of one's own could be read there.
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        answer = rename(client, bucket, "a", "mine")
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert keys(s3, bucket) == ["a"]
    s3.put(f"{bucket}/a", b"open", x_amz_acl="public-read")
    assert rename(other, bucket, "a", "mine").status == 200


def test_receivers_hear_of_both_keys_and_may_forbid(s3: Client, bucket: str) -> None:
    heard: list[tuple[str, str, bool]] = []

    def hear(sender: str, *, event: Any) -> None:
        heard.append((event.name, event.key, event.replaced))

    def forbid(sender: str, *, event: Any) -> None:
        if event.key == "kept":
            raise Veto("no")

    name = bucket[1:]
    s3.put(f"{bucket}/a", b"a")
    s3.put(f"{bucket}/b", b"b")
    s3.put(f"{bucket}/kept", b"k")
    with (
        object_created.connected_to(hear, name),
        object_removed.connected_to(hear, name),
        before_object_removed.connected_to(forbid, name),
    ):
        assert rename(s3, bucket, "a", "b").status == 200
        assert heard == [
            ("s3:ObjectCreated:Copy", "b", True),
            ("s3:ObjectRemoved:Delete", "a", False),
        ]
        assert rename(s3, bucket, "kept", "c").code == "AccessDenied"
        assert len(heard) == 2
    assert keys(s3, bucket) == ["b", "kept"]


def test_crossing_renames_end_and_lose_nothing(s3: Client, bucket: str) -> None:
    """a to b and b to a at once: whoever is first, one object is left."""
    statuses: list[int] = []

    def cross(source: str, key: str) -> None:
        statuses.append(rename(s3, bucket, source, key).status)

    for _ in range(5):
        s3.put(f"{bucket}/a", b"a")
        s3.put(f"{bucket}/b", b"b")
        threads = [threading.Thread(target=cross, args=ends) for ends in (("a", "b"), ("b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(keys(s3, bucket)) == 1
        for key in ("a", "b"):
            s3.delete(f"{bucket}/{key}")
    assert statuses == [200] * 10


def test_readers_in_progress_end_whole(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", BIG)
    version = s3.app.store.objects.get(s3.app.store.buckets.get(bucket[1:]), b"a")
    blocks = s3.app.store.objects.read(version)
    s3.put(f"{bucket}/b", b"b")
    assert rename(s3, bucket, "a", "b").status == 200
    assert b"".join(blocks) == BIG
    assert b"".join(s3.app.store.objects.read(version)) == BIG
