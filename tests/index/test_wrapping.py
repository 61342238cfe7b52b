"""Rows with wrapped keys: found page by page, replaced only where they are as they were."""

from __future__ import annotations

from dataclasses import replace

from s3kit.index import scan
from s3kit.index import uploads
from s3kit.index import wrapping
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import Content
from s3kit.model import Encryption
from s3kit.model import Part
from s3kit.model import Upload
from tests.index.rows import put
from tests.index.rows import version

SEALED = Encryption("AES256", "Kk+/=:ä|{}", "master", "", False)
KMS = Encryption("aws:kms", "kK", "", "first", True)


def test_pages_hold_what_is_encrypted_and_nothing_else(index: Index, bucket: Bucket) -> None:
    made = [
        put(index, version(bucket, b"%d" % number, encryption=SEALED if number % 2 else None))
        for number in range(6)
    ]
    begun = [
        Upload(f"u{number}", bucket.id, b"k", 1, "alice", "alice", encryption=each)
        for number, each in enumerate((None, SEALED, KMS))
    ]
    for each in begun:
        index.write(lambda c, upload=each: uploads.create(c, upload))  # type: ignore[misc]
    sealed = [each.seq for each in made if each.encryption]
    first = index.read(lambda c: wrapping.version_page(c, 0, 2))
    assert first == [(seq, SEALED) for seq in sealed[:2]]
    rest = index.read(lambda c: wrapping.version_page(c, sealed[1], 9))
    assert rest == [(sealed[2], SEALED)]
    assert index.read(lambda c: wrapping.upload_page(c, "", 9)) == [("u1", SEALED), ("u2", KMS)]
    assert index.read(lambda c: wrapping.upload_page(c, "u1", 9)) == [("u2", KMS)]
    assert index.read(wrapping.count) == 5


def test_a_row_is_replaced_only_where_it_is_as_it_was(index: Index, bucket: Bucket) -> None:
    made = put(index, version(bucket, b"k", encryption=SEALED))
    index.write(
        lambda c: uploads.create(c, Upload("u", bucket.id, b"k", 1, "a", "a", encryption=SEALED))
    )
    new = replace(SEALED, key="other", master="next")

    def work(c: Connection) -> list[bool]:
        return [
            wrapping.wrap_version(c, made.seq, new, SEALED),
            wrapping.wrap_version(c, made.seq, SEALED, new),
            wrapping.wrap_version(c, made.seq, SEALED, new),
            wrapping.wrap_version(c, made.seq + 99, SEALED, new),
            wrapping.wrap_upload(c, "u", new, SEALED),
            wrapping.wrap_upload(c, "u", SEALED, new),
            wrapping.wrap_upload(c, "none", SEALED, new),
        ]

    assert index.write(work) == [False, True, False, False, False, True, False]
    assert index.read(lambda c: wrapping.version_page(c, 0, 9)) == [(made.seq, new)]
    assert index.read(lambda c: wrapping.upload_page(c, "", 9)) == [("u", new)]


def test_blobs_are_listed_with_how_they_are_sealed(index: Index, bucket: Bucket) -> None:
    for blob, encryption in (("a" * 32, SEALED), ("b" * 32, None)):
        content = Content(blob, "default", 5, sealing="5ea1" if encryption else "")
        put(index, version(bucket, blob.encode(), content=content, encryption=encryption))
    put(index, version(bucket, b"inline", encryption=KMS))
    content = Content("made", "default", 5, 1)
    put(index, version(bucket, b"parts", content=content, encryption=KMS))

    def work(c: Connection) -> None:
        for upload, blob, encryption in (
            ("made", "c" * 32, None),
            ("open", "d" * 32, SEALED),
            ("plain", "e" * 32, None),
        ):
            uploads.create(c, Upload(upload, bucket.id, b"k", 1, "a", "a", encryption=encryption))
            sealing = "" if upload == "plain" else "5ea2"
            uploads.put_part(c, upload, Part(1, 5, "e", 1, "default", blob, sealing=sealing))

    index.write(work)
    whole = index.read(lambda c: scan.whole_blobs(c, "default", "", scan.LAST, 9))
    assert [each[-2:] for each in whole] == [("5ea1", SEALED), ("", None)]
    parts = index.read(lambda c: scan.part_blobs(c, "default", "", scan.LAST, 9))
    assert [each[-2:] for each in parts] == [("5ea2", KMS), ("5ea2", SEALED), ("", None)]
    (inline,) = index.read(lambda c: scan.inline_page(c, 0, 9))
    assert inline.encryption == KMS
