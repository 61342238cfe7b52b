"""Versions of a key: order, replacing, removing, shared contents; on every database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from s3kit.errors import BucketNotEmpty
from s3kit.errors import NoSuchBucket
from s3kit.index import buckets
from s3kit.index import garbage
from s3kit.index import listing
from s3kit.index import objects
from s3kit.index import uploads
from s3kit.index.connections import Connection
from s3kit.index.schema import current as current_table
from s3kit.index.session import Index
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Checksum
from s3kit.model import Encryption
from s3kit.model import Grant
from s3kit.model import ObjectLock
from s3kit.model import ObjectVersion
from s3kit.model import Part
from s3kit.model import Permission
from s3kit.model import Upload
from tests.index.rows import add
from tests.index.rows import blob
from tests.index.rows import current
from tests.index.rows import put
from tests.index.rows import remove
from tests.index.rows import version


def garbage_of(index: Index) -> list[str]:
    return sorted(row[1] for row in index.read(lambda c: garbage.due(c, "default", 10**15, 1000)))


def test_a_version_is_read_as_it_was_written(index: Index, bucket: Bucket) -> None:
    key = bytes(range(256)) * 4
    written = ObjectVersion(
        bucket.id,
        key,
        2**40,
        "d41d8cd98f00b204e9800998ecf8427e-10000",
        1_700_000_000_123,
        "olga ☃",
        headers={"content-type": "text/plain", "x-amz-meta-ü": "☃\0 %(x)s :x"},
        storage_class="STANDARD_IA",
        checksum=Checksum("SHA256", "abc=-3", "COMPOSITE"),
        acl=Acl("olga", (Grant("bob", Permission.READ), Grant("ü", Permission.FULL_CONTROL))),
        tags=(("b", "2"), ("a", "☃")),
        parts=3,
        inline=bytes(range(256)) * 256,
        lock=ObjectLock("COMPLIANCE", 2**42, True, True, 36500, 100),
        encryption=Encryption("aws:kms", "wrapped==", "m1", "arn:aws:kms:::key/☃", True),
        replication="COMPLETED",
        restored_until=2**42,
    )
    stored = put(index, written)
    read = current(index, bucket, key)
    assert read == stored
    assert read is not None
    assert dict(read.headers) == dict(written.headers)
    assert index.read(lambda c: objects.get_version(c, bucket.id, key, "null")) == stored
    assert index.read(lambda c: objects.get_latest(c, bucket.id, key)) == stored
    for other in ("NULL", "null ", "", "☃", "x" * 5000, "nul\0"):
        assert (
            index.read(lambda c, v=other: objects.get_version(c, bucket.id, key, v))  # type: ignore[misc]
            is None
        )
    bare = index.read(lambda c: objects.get_current(c, bucket.id, key, inline=False))
    assert bare is not None
    assert bare.inline is None


def test_what_comes_to_a_version_later_is_set_by_itself(index: Index, bucket: Bucket) -> None:
    stored = put(index, version(bucket, b"k", 3))
    lock = ObjectLock("GOVERNANCE", 5)
    encryption = Encryption("AES256", "key", "m2")

    def work(c: Connection, seq: int) -> list[bool]:
        objects.lock_current(c, bucket.id, b"k")
        return [
            objects.set_lock(c, seq, lock),
            objects.set_encryption(c, seq, encryption),
            objects.set_replication(c, seq, "PENDING"),
            objects.set_restored(c, seq, 7),
            objects.set_storage_class(c, replace(stored, seq=seq), "GLACIER"),
        ]

    assert index.write(lambda c: work(c, stored.seq + 1)) == [False] * 5
    assert current(index, bucket, b"k") == stored
    assert index.write(lambda c: work(c, stored.seq)) == [True] * 5
    assert current(index, bucket, b"k") == replace(
        stored,
        lock=lock,
        encryption=encryption,
        replication="PENDING",
        restored_until=7,
        storage_class="GLACIER",
    )
    page = index.read(
        lambda c: listing.list_keys(c, bucket.id, prefix=b"", delimiter=b"", after=b"", limit=9)
    )
    assert [entry[4] for entry in page.entries] == ["GLACIER"]


def test_keys_that_differ_in_one_byte_or_case_or_trailing_space_are_different_keys(
    index: Index, bucket: Bucket
) -> None:
    keys = [b"a", b"A", b"a ", b"a\0", b"a\0b", b"\xc3\xa4", b"a\xff", b"a/", b"a//"]
    for size, key in enumerate(keys):
        put(index, version(bucket, key, size))
    assert [current(index, bucket, key).size for key in keys] == list(range(len(keys)))  # type: ignore[union-attr]
    page = index.read(lambda c: listing.list_keys(c, bucket.id))
    assert [row[0] for row in page.entries] == sorted(keys)


def test_an_empty_object_has_bytes_and_a_delete_marker_has_none(
    index: Index, bucket: Bucket
) -> None:
    put(index, version(bucket, b"empty", 0))
    assert current(index, bucket, b"empty").inline == b""  # type: ignore[union-attr]
    add(index, version(bucket, b"marked", 0, version_id="m", delete_marker=True))
    marker = index.read(lambda c: objects.get_latest(c, bucket.id, b"marked"))
    assert marker is not None
    assert (marker.delete_marker, marker.inline, marker.content) == (True, None, None)
    assert current(index, bucket, b"marked") is None


def test_a_replaced_version_is_gone_and_its_blob_is_garbage(index: Index, bucket: Bucket) -> None:
    first = put(index, version(bucket, b"k", content=blob("one")))
    second = put(index, version(bucket, b"k", 6, content=blob("two")))
    assert second.seq > first.seq
    page = index.read(lambda c: listing.list_versions(c, bucket.id))
    assert [row.size for row in page.versions] == [6]
    assert garbage_of(index) == ["one"]
    assert current(index, bucket, b"k") == second


def test_a_shared_content_becomes_garbage_with_its_last_version_only(
    index: Index, bucket: Bucket
) -> None:
    original = put(index, version(bucket, b"a", content=blob("one")))
    copies = [
        put(index, version(bucket, key, content=blob("one")), new_content=False)
        for key in (b"b", b"c")
    ]
    assert remove(index, original)
    assert remove(index, copies[0])
    assert garbage_of(index) == []
    assert current(index, bucket, b"c").content == blob("one")  # type: ignore[union-attr]
    put(index, version(bucket, b"c", 1))
    assert garbage_of(index) == ["one"]


def test_a_copy_onto_itself_keeps_its_content(index: Index, bucket: Bucket) -> None:
    put(index, version(bucket, b"a", content=blob("one")))
    put(index, version(bucket, b"a", content=blob("one")), new_content=False)
    assert garbage_of(index) == []
    assert current(index, bucket, b"a").content == blob("one")  # type: ignore[union-attr]


def test_sharing_a_content_that_was_released_says_so(index: Index, bucket: Bucket) -> None:
    original = put(index, version(bucket, b"a", content=blob("one")))
    remove(index, original)
    with pytest.raises(objects.ContentGone):
        put(index, version(bucket, b"b", content=blob("one")), new_content=False)
    assert current(index, bucket, b"b") is None


def test_removing_the_newest_version_shows_the_one_before_it(index: Index, bucket: Bucket) -> None:
    stored = [add(index, version(bucket, b"k", n, version_id=f"v{n}")) for n in (1, 2, 3)]
    assert remove(index, stored[1])
    assert current(index, bucket, b"k").version_id == "v3"  # type: ignore[union-attr]
    assert remove(index, stored[2])
    assert current(index, bucket, b"k").version_id == "v1"  # type: ignore[union-attr]
    page = index.read(lambda c: listing.list_keys(c, bucket.id))
    assert [(row[0], row[1]) for row in page.entries] == [(b"k", 1)]
    assert not remove(index, stored[2])
    assert remove(index, stored[0])
    assert current(index, bucket, b"k") is None
    assert index.read(lambda c: listing.list_keys(c, bucket.id)).entries == []


def test_a_delete_marker_hides_the_key_and_its_removal_shows_it_again(
    index: Index, bucket: Bucket
) -> None:
    add(index, version(bucket, b"k", 1, version_id="v1"))
    marker = add(index, version(bucket, b"k", 0, version_id="m1", delete_marker=True))
    assert current(index, bucket, b"k") is None
    assert index.read(lambda c: listing.list_keys(c, bucket.id)).entries == []
    page = index.read(lambda c: listing.list_versions(c, bucket.id))
    assert [(v.version_id, v.is_latest, v.delete_marker) for v in page.versions] == [
        ("m1", True, True),
        ("v1", False, False),
    ]
    old = index.read(lambda c: objects.get_version(c, bucket.id, b"k", "v1"))
    assert old is not None
    assert not old.is_latest
    assert remove(index, marker)
    assert current(index, bucket, b"k").version_id == "v1"  # type: ignore[union-attr]
    assert index.read(lambda c: listing.list_keys(c, bucket.id)).entries[0][0] == b"k"


def test_a_null_version_between_others_is_replaced_alone(index: Index, bucket: Bucket) -> None:
    """As a bucket with suspended versioning does."""
    null = add(index, version(bucket, b"k", 1, content=blob("one")))
    add(index, version(bucket, b"k", 2, version_id="v2"))

    def suspended(c: Connection) -> int:
        objects.lock_current(c, bucket.id, b"k")
        old = objects.get_version(c, bucket.id, b"k", "null", inline=False)
        assert old is not None
        assert old.seq == null.seq
        return objects.put_version(c, version(bucket, b"k", 3), replaces=old, new_content=True)

    index.write(suspended)
    page = index.read(lambda c: listing.list_versions(c, bucket.id))
    assert [(v.version_id, v.size, v.is_latest) for v in page.versions] == [
        ("null", 3, True),
        ("v2", 2, False),
    ]
    assert garbage_of(index) == ["one"]


def test_looking_at_a_key_leaves_nothing_behind(index: Index, bucket: Bucket) -> None:
    assert index.write(lambda c: objects.lock_current(c, bucket.id, b"k")) is None
    with index.engine.connect() as connection:
        assert connection.execute(current_table.select()).all() == []
    index.write(lambda c: buckets.delete(c, bucket, 0))


def test_a_refused_write_leaves_nothing_behind(index: Index, bucket: Bucket) -> None:
    def work(c: Connection) -> None:
        objects.lock_current(c, bucket.id, b"k")
        objects.put_version(
            c, version(bucket, b"k", content=blob("b")), replaces=None, new_content=True
        )
        raise BucketNotEmpty

    with pytest.raises(BucketNotEmpty):
        index.write(work)
    assert current(index, bucket, b"k") is None
    assert index.read(lambda c: garbage.known(c, ["b"])) == set()


def test_a_put_that_outlives_its_bucket_fails(index: Index, bucket: Bucket) -> None:
    index.write(lambda c: buckets.delete(c, bucket, 0))
    with pytest.raises(NoSuchBucket):
        put(index, version(bucket, b"k"))
    with pytest.raises(NoSuchBucket):
        index.write(
            lambda c: objects.put_version(c, version(bucket, b"k"), replaces=None, new_content=True)
        )


def test_puts_and_a_delete_of_their_bucket_never_leave_an_object_without_a_bucket(
    index: Index,
) -> None:
    for attempt in range(5):
        bucket = index.write(
            lambda c, attempt=attempt: buckets.insert(c, f"b{attempt}", "alice", 1)  # type: ignore[misc]
        )
        begin = threading.Barrier(5)

        def writer(n: int, bucket: Bucket = bucket, begin: threading.Barrier = begin) -> str:
            begin.wait()
            try:
                put(index, version(bucket, b"k%d" % n))
            except NoSuchBucket:
                return "no bucket"
            return "stored"

        def remover(bucket: Bucket = bucket, begin: threading.Barrier = begin) -> str:
            begin.wait()
            try:
                index.write(lambda c: buckets.delete(c, bucket, 0))
            except BucketNotEmpty:
                return "not empty"
            return "removed"

        with ThreadPoolExecutor(5) as pool:
            writes = [pool.submit(writer, n) for n in range(4)]
            removed = pool.submit(remover).result()
            stored = [write.result() for write in writes].count("stored")
        assert (removed == "removed") == (stored == 0)
        page = index.read(lambda c, b=bucket: listing.list_keys(c, b.id))  # type: ignore[misc]
        assert len(page.entries) == stored


def test_the_order_of_versions_is_the_order_of_commits(index: Index, bucket: Bucket) -> None:
    """Each writer numbers its version by the one that it saw: a gap would be a lost update."""

    def writer(worker: int) -> None:
        for n in range(12):

            def work(c: Connection, n: int = n) -> None:
                seen = objects.lock_current(c, bucket.id, b"k")
                size = 0 if seen is None else seen.size
                new = version(bucket, b"k", size + 1, version_id=f"{worker}-{n}")
                objects.put_version(c, new, replaces=None, new_content=True)

            index.write(work)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(writer, range(8)))
    page = index.read(lambda c: listing.list_versions(c, bucket.id))
    assert [v.size for v in page.versions] == list(range(96, 0, -1))
    assert current(index, bucket, b"k").size == 96  # type: ignore[union-attr]


def test_only_one_of_many_writers_creates_a_key(index: Index, bucket: Bucket) -> None:
    begin = threading.Barrier(8)

    def writer(n: int) -> bool:
        begin.wait()

        def work(c: Connection) -> bool:
            if objects.lock_current(c, bucket.id, b"k") is not None:
                return False
            objects.put_version(c, version(bucket, b"k", n), replaces=None, new_content=True)
            return True

        return index.write(work)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(writer, range(8))) == [False] * 7 + [True]


def test_concurrent_copies_and_removals_of_one_content_keep_its_count(
    index: Index, bucket: Bucket
) -> None:
    put(index, version(bucket, b"source", content=blob("one")))

    def copier(n: int) -> None:
        for _ in range(5):
            new = version(bucket, b"copy%d" % n, content=blob("one"))
            stored = put(index, new, new_content=False)
            if n % 2:
                remove(index, stored)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(copier, range(6)))
    assert garbage_of(index) == []
    for key in (b"source", b"copy0", b"copy2", b"copy4"):
        found = current(index, bucket, key)
        assert found is not None
        remove(index, found)
        assert garbage_of(index) == ([] if key != b"copy4" else ["one"])


def test_tags_and_acl_of_a_version_are_replaced(index: Index, bucket: Bucket) -> None:
    stored = put(index, version(bucket, b"k"))
    acl = Acl("alice", (Grant("bob", Permission.WRITE_ACP),))
    assert index.write(lambda c: objects.set_tags(c, stored.seq, (("a", "1"), ("b", ""))))
    assert index.write(lambda c: objects.set_acl(c, stored.seq, acl))
    read = current(index, bucket, b"k")
    assert read is not None
    assert (read.tags, read.acl) == ((("a", "1"), ("b", "")), acl)
    assert index.write(lambda c: objects.set_tags(c, stored.seq, ()))
    assert index.write(lambda c: objects.set_acl(c, stored.seq, None))
    assert current(index, bucket, b"k") == stored
    assert not index.write(lambda c: objects.set_tags(c, stored.seq + 1, ()))


def test_a_range_finds_only_the_parts_that_hold_it(index: Index, bucket: Bucket) -> None:
    index.write(lambda c: uploads.create(c, Upload("u", bucket.id, b"k", 1, "alice", "alice")))
    for number, size in ((1, 10), (3, 10), (7, 0), (9, 5)):
        part = Part(number, size, "e", 1, "default", f"b{number}")
        index.write(lambda c, part=part: uploads.put_part(c, "u", part))  # type: ignore[misc]

    def complete(c: Connection) -> None:
        content = blob("u", 25, parts=4)
        listed = [(1, 0), (3, 10), (7, 20), (9, 20)]
        uploads.complete(c, "u", listed, content, "etag-4", 5)
        new = version(bucket, b"k", 25, content=content, parts=4)
        objects.put_version(c, new, replaces=None, new_content=True)

    index.write(complete)

    def numbers(start: int, end: int) -> list[int]:
        return [p.number for p in index.read(lambda c: objects.parts_of(c, "u", start, end))]

    assert numbers(0, 25) == [1, 3, 9]
    assert numbers(9, 11) == [1, 3]
    assert numbers(10, 20) == [3]
    assert numbers(24, 25) == [9]
    ninth = index.read(lambda c: objects.part_by_number(c, "u", 9))
    assert ninth == Part(9, 5, "e", 1, "default", "b9", 20)
    assert index.read(lambda c: objects.part_by_number(c, "u", 2)) is None
    page = index.read(lambda c: objects.part_page(c, "u", 1, 2))
    assert [(p.number, p.offset) for p in page] == [(3, 10), (7, 20)]
    stored = current(index, bucket, b"k")
    assert stored is not None
    assert stored.content == blob("u", 25, parts=4)
    remove(index, stored)
    assert garbage_of(index) == ["b1", "b3", "b7", "b9"]
    assert index.read(lambda c: objects.parts_of(c, "u", 0, 25)) == []
