"""PutObject with a write offset: the end of an object grows, and only that is written."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.blobs.base import is_blob_id
from s3kit.model import ObjectVersion
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import object_created
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import make_app

BIG = bytes(range(256)) * 400
"""More than lies in a row."""


def append(client: Client, path: str, offset: int | str, body: bytes, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("PUT", path, "", {"x-amz-write-offset-bytes": str(offset), **sent}, body)


def version_of(app: S3App, path: str) -> ObjectVersion:
    _, bucket, key = path.split("/", 2)
    return app.store.objects.get(app.store.buckets.get(bucket), key.encode())


def etag_of(*parts: bytes) -> str:
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"a", b"b", b"", b"c"],
        [b"", b"a"],
        [b"", BIG],
        [b"small", BIG, b"more", BIG],
        [BIG, b"b", b"c", b"d"],
        [b"x" * 65536, b"y"],
        [b"x" * 65535, b"y", b"z"],
    ],
)
def test_pieces_one_after_the_other_are_one_object(
    s3: Client, bucket: str, pieces: list[bytes]
) -> None:
    path = f"{bucket}/log"
    whole = b""
    for piece in pieces:
        answer = append(s3, path, len(whole), piece)
        assert answer.status == 200, answer.body
        whole += piece
        assert answer.headers["x-amz-object-size"] == str(len(whole))
        got = s3.get(path)
        assert got.body == whole
        assert got.headers["etag"] == answer.headers["etag"]
        assert s3.head(path).headers["content-length"] == str(len(whole))
    middle = len(whole) // 2
    part = s3.get(path, range=f"bytes={middle}-")
    assert (part.status, part.body) == (206, whole[middle:])
    (entry,) = s3.get(bucket, "list-type=2").xml.findall("Contents")
    assert entry.findtext("Size") == str(len(whole))
    assert entry.findtext("ETag") == got.headers["etag"]
    s3.delete(path)
    assert s3.delete(bucket).status == 204


def test_what_is_stored_beside_the_bytes_stays(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    append(s3, path, 0, b"one", content_type="text/x", x_amz_meta_a="b", x_amz_tagging="t=1",
           x_amz_acl="public-read", x_amz_storage_class="STANDARD_IA")  # fmt: skip
    acl = s3.get(path, "acl").body
    assert append(s3, path, 3, BIG, content_type="text/other").status == 200
    got = s3.get(path)
    assert got.body == b"one" + BIG
    assert got.headers["content-type"] == "text/x"
    assert got.headers["x-amz-meta-a"] == "b"
    assert got.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert s3.get(path, "acl").body == acl
    assert s3.get(path, "tagging").texts("TagSet/Tag/Key") == ["t"]
    for name in ("x-amz-acl", "x-amz-meta-a", "x-amz-tagging", "x-amz-storage-class",
                 "x-amz-grant-read", "x-amz-website-redirect-location"):  # fmt: skip
        refused = s3.request("PUT", path, "", {"x-amz-write-offset-bytes": "1", name: "a"}, b"x")
        assert (refused.status, refused.code) == (400, "InvalidRequest")
        assert name.encode() in refused.body
    assert s3.get(path).body == got.body


def test_the_etag_is_that_of_an_object_of_parts(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    plain = append(s3, path, 0, b"ab").headers["etag"]
    assert plain == f'"{hashlib.md5(b"ab").hexdigest()}"'
    assert append(s3, path, 2, b"c").headers["etag"] == f'"{hashlib.md5(b"abc").hexdigest()}"'
    assert append(s3, path, 3, BIG).headers["etag"] == etag_of(b"abc", BIG)
    assert append(s3, path, 3 + len(BIG), b"d").headers["etag"] == etag_of(b"abc", BIG, b"d")
    assert s3.get(path, "partNumber=3").body == b"d"
    assert s3.head(path, "partNumber=1").headers["x-amz-mp-parts-count"] == "3"


def test_a_crc_of_the_whole_goes_on(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    whole = b""
    for piece in (b"one", BIG, b"three"):
        answer = append(s3, path, len(whole), piece, x_amz_checksum_crc32=crc32(piece))
        assert answer.status == 200, answer.body
        whole += piece
        assert answer.headers["x-amz-checksum-crc32"] == crc32(whole)
        assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    got = s3.head(path, x_amz_checksum_mode="ENABLED")
    assert got.headers["x-amz-checksum-crc32"] == crc32(whole)
    wrong = append(s3, path, len(whole), b"x", x_amz_checksum_crc32=crc32(b"y"))
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    digest = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    answer = append(s3, path, len(whole), b"x", x_amz_checksum_sha256=digest)
    # Of another kind: nothing can be said of the whole without reading it.
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("x-amz-checksum")]
    assert s3.get(path).body == whole + b"x"


def test_an_object_that_was_put_or_made_of_parts_can_grow(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, BIG)
    assert append(s3, path, len(BIG), b"x").headers["etag"] == etag_of(BIG, b"x")
    boto = boto_client(s3.app, mount=s3.mount)
    name = {"Bucket": bucket[1:], "Key": "m"}
    upload = boto.create_multipart_upload(**name)["UploadId"]
    listed = []
    for number, size in ((3, 5 << 20), (7, 10)):
        part = boto.upload_part(**name, UploadId=upload, PartNumber=number, Body=b"p" * size)
        listed.append({"PartNumber": number, "ETag": part["ETag"]})
    boto.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": listed})
    answer = boto.put_object(**name, Body=b"end", WriteOffsetBytes=(5 << 20) + 10)
    assert answer["Size"] == (5 << 20) + 13
    assert answer["ETag"] == etag_of(b"p" * (5 << 20), b"p" * 10, b"end")
    assert s3.get(f"{bucket}/m", "partNumber=8").body == b"end"
    assert s3.get(f"{bucket}/m").body == b"p" * ((5 << 20) + 10) + b"end"


@pytest.mark.parametrize("body", [b"small", BIG])
def test_an_offset_that_is_not_the_end_is_refused(s3: Client, bucket: str, body: bytes) -> None:
    path = f"{bucket}/log"
    for offset in (1, 5):
        answer = append(s3, path, offset, b"x")
        assert (answer.status, answer.code) == (400, "InvalidWriteOffset")
    assert s3.get(path).status == 404
    append(s3, path, 0, body)
    for offset in (0, 1, len(body) - 1, len(body) + 1, 10**18):
        answer = append(s3, path, offset, b"x")
        assert (answer.status, answer.code) == (400, "InvalidWriteOffset")
    for text in ("", "-1", "x", "1_0", "٣", "1" * 20, "0x5", "5.0"):
        sent = text.encode().decode("latin-1")
        answer = append(s3, path, sent, b"x")
        assert (answer.status, answer.code) == (400, "InvalidArgument"), text
    assert s3.get(path).body == body


def test_conditions_hold(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    assert append(s3, path, 0, b"a", if_match='"x"').code == "NoSuchKey"
    etag = append(s3, path, 0, b"a", if_none_match="*").headers["etag"]
    assert append(s3, path, 1, b"b", if_none_match="*").status == 412
    assert append(s3, path, 1, b"b", if_match='"other"').status == 412
    etag = append(s3, path, 1, b"b", if_match=etag).headers["etag"]
    assert append(s3, path, 2, BIG, if_match=etag).status == 200
    assert s3.get(path).body == b"ab" + BIG


@pytest.mark.parametrize("first", [b"", b"small", BIG])
def test_of_many_at_one_offset_exactly_one_wins(s3: Client, bucket: str, first: bytes) -> None:
    path = f"{bucket}/log"
    if first:
        append(s3, path, 0, first)
    pieces = [bytes([65 + number]) * (9 if number % 2 else len(BIG)) for number in range(6)]
    answers: dict[bytes, Answer] = {}
    barrier = threading.Barrier(len(pieces))

    def work(piece: bytes) -> None:
        barrier.wait(60)
        answers[piece] = append(s3, path, len(first), piece)

    threads = [threading.Thread(target=work, args=(piece,)) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (winner,) = [piece for piece, answer in answers.items() if answer.status == 200]
    assert {answer.code for answer in answers.values() if answer.status != 200} == {
        "InvalidWriteOffset"
    }
    assert s3.get(path).body == first + winner


def test_a_copy_does_not_grow_with_its_source(s3: Client, bucket: str) -> None:
    path, copy = f"{bucket}/log", f"{bucket}/copy"
    append(s3, path, 0, BIG)
    append(s3, path, len(BIG), b"1")
    s3.put(copy, b"", x_amz_copy_source=path)
    assert append(s3, path, len(BIG) + 1, b"2").status == 200
    assert append(s3, copy, len(BIG) + 1, b"3").status == 200
    assert append(s3, copy, len(BIG) + 2, b"4").status == 200
    assert s3.get(path).body == BIG + b"12"
    assert s3.get(copy).body == BIG + b"134"
    s3.delete(path)
    s3.app.store.collect_garbage(now=2**50)
    assert s3.get(copy).body == BIG + b"134"


def test_readers_in_progress_end_as_they_began(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    for turn in (BIG, b"end"):
        size = len(s3.get(path).body) if s3.head(path).status == 200 else 0
        append(s3, path, size, turn)
        version = version_of(s3.app, path)
        before = s3.get(path).body
        begun = s3.app.store.objects.read(version)
        late = version_of(s3.app, path)
        assert append(s3, path, version.size, b"later").status == 200
        assert b"".join(begun) == before
        assert b"".join(s3.app.store.objects.read(late)) == before
    s3.app.store.collect_garbage()
    assert s3.get(path).body == BIG + b"laterendlater"


def test_an_append_writes_its_own_bytes_only(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    append(s3, path, 0, BIG)
    first = version_of(s3.app, path).content
    assert first is not None
    append(s3, path, len(BIG), b"x" * 1000)
    version = version_of(s3.app, path)
    parts = s3.app.store.objects.parts(version, 0, 10)
    assert [(part.number, part.size, part.offset) for part in parts] == [
        (1, len(BIG), 0),
        (2, 1000, len(BIG)),
    ]
    assert parts[0].blob == first.id
    append(s3, path, version.size, b"y")
    again = version_of(s3.app, path)
    assert again.content is not None
    assert version.content is not None
    assert again.content.id == version.content.id
    more = s3.app.store.objects.parts(again, 0, 10)
    assert [part.blob for part in more[:2]] == [part.blob for part in parts]


def test_a_scrub_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    app = make_app("file", tmp_path)
    s3 = Client(app, OWNER)
    s3.put("/b-1")
    whole = 0
    for piece in (b"a", BIG, b"b", BIG):
        assert append(s3, "/b-1/log", whole, piece).status == 200
        whole += len(piece)
    s3.put("/b-1/whole", BIG)
    append(s3, "/b-1/whole", len(BIG), b"x")
    s3.put("/b-1/copy", b"", x_amz_copy_source="/b-1/whole")
    append(s3, "/b-1/copy", len(BIG) + 1, b"x")
    assert list(app.store.scrub().run()) == []
    for key in ("log", "whole", "copy"):
        s3.delete(f"/b-1/{key}")
    app.store.collect_garbage(now=2**50)
    assert [path for path in (tmp_path / "near").glob("*/*") if is_blob_id(path.name)] == []
    app.close()


def test_there_are_no_more_parts_than_an_object_may_have(
    s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backing = s3.app.store._backing
    monkeypatch.setattr(backing, "profile", dataclasses.replace(backing.profile, max_parts=3))
    path = f"{bucket}/log"
    append(s3, path, 0, BIG)
    for number in range(2):
        assert append(s3, path, len(BIG) + number, b"x").status == 200
    answer = append(s3, path, len(BIG) + 2, b"x")
    assert (answer.status, answer.code) == (400, "TooManyParts")
    assert s3.get(path).body == BIG + b"xx"
    small = dataclasses.replace(backing.profile, max_object=len(BIG) + 5)
    monkeypatch.setattr(backing, "profile", small)
    assert append(s3, path, len(BIG) + 2, b"x" * 4).code == "EntityTooLarge"


VERSIONING = b"<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>"


def test_a_bucket_that_keeps_versions_takes_no_appends(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/log", b"a")
    for state in (b"Enabled", b"Suspended"):
        s3.put(bucket, VERSIONING % state, "versioning")
        for key, offset in (("log", 1), ("new", 0)):
            answer = append(s3, f"{bucket}/{key}", offset, b"x")
            assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(f"{bucket}/log").body == b"a"


def test_strangers_add_nothing(s3: Client, other: Client, anonymous: Client, bucket: str) -> None:
    append(s3, f"{bucket}/log", 0, b"a", x_amz_acl="public-read")
    for client in (other, anonymous):
        for key, offset in (("log", 1), ("new", 0)):
            answer = append(client, f"{bucket}/{key}", offset, b"x")
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(f"{bucket}/log").body == b"a"


def test_receivers_hear_of_each_append_and_may_forbid_it(s3: Client, bucket: str) -> None:
    heard: list[tuple[str, int, bool]] = []

    def hear(sender: str, *, event: Any) -> None:
        heard.append((event.name, event.size, event.replaced))

    def forbid(sender: str, *, event: Any) -> None:
        if event.size > 3:
            raise Veto("enough")

    path = f"{bucket}/log"
    with (
        object_created.connected_to(hear, bucket[1:]),
        before_object_created.connected_to(forbid, bucket[1:]),
    ):
        append(s3, path, 0, b"ab")
        append(s3, path, 2, b"c")
        assert append(s3, path, 3, b"d").code == "AccessDenied"
        assert append(s3, path, 3, BIG).code == "AccessDenied"
    assert heard == [("s3:ObjectCreated:Put", 2, False), ("s3:ObjectCreated:Put", 3, True)]
    assert s3.get(path).body == b"abc"


def test_only_putobject_takes_an_offset(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"a")
    offset = {"x-amz-write-offset-bytes": "1"}
    copy = {**offset, "x-amz-copy-source": f"{bucket}/a"}
    for answer in (
        s3.request("PUT", f"{bucket}/b", "", copy),
        s3.request("POST", f"{bucket}/b", "uploads", offset),
    ):
        assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(f"{bucket}/b").status == 404
