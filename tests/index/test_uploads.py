"""Multipart uploads in the index."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait

import pytest

from s3kit.errors import NoSuchBucket
from s3kit.errors import NoSuchUpload
from s3kit.index import garbage
from s3kit.index import uploads
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Checksum
from s3kit.model import Part
from s3kit.model import Upload
from tests.index.rows import blob


@pytest.fixture
def upload(index: Index, bucket: Bucket) -> Upload:
    upload = Upload("u1", bucket.id, b"k\0\xff", 5, "alice", "alice")
    index.write(lambda c: uploads.create(c, upload))
    return upload


def part(number: int, name: str = "", size: int = 5) -> Part:
    return Part(number, size, "e", 100 + number, "default", name or f"blob{number}")


def store(index: Index, *parts: Part) -> None:
    for each in parts:
        index.write(lambda c, p=each: uploads.put_part(c, "u1", p))  # type: ignore[misc]


def garbage_of(index: Index) -> list[str]:
    return sorted(row[1] for row in index.read(lambda c: garbage.due(c, "default", 10**15, 10**6)))


def test_an_upload_is_read_as_it_was_made(index: Index, bucket: Bucket) -> None:
    made = Upload(
        uploads.new_id(7),
        bucket.id,
        b"\0\xff",
        7,
        "bob",
        "alice",
        {"x-amz-meta-a": "☃"},
        "GLACIER",
        Acl("alice"),
        (("a", "b"),),
        "CRC32",
        "FULL_OBJECT",
    )
    index.write(lambda c: uploads.create(c, made))
    read = index.read(lambda c: uploads.get(c, bucket.id, b"\0\xff", made.id))
    assert read is not None
    assert read == made
    assert index.write(lambda c: uploads.lock(c, made.id)) == made
    assert index.read(lambda c: uploads.get(c, bucket.id, b"\0", made.id)) is None
    assert index.read(lambda c: uploads.get(c, bucket.id + 1, b"\0\xff", made.id)) is None
    assert index.read(lambda c: uploads.get(c, bucket.id, b"\0\xff", "☃")) is None
    assert index.read(lambda c: uploads.get(c, bucket.id, b"\0\xff", "a\0")) is None
    assert index.write(lambda c: uploads.lock(c, "a\0")) is None
    with pytest.raises(NoSuchBucket):
        index.write(lambda c: uploads.create(c, Upload("x", bucket.id + 1, b"k", 1, "a", "a")))


def test_ids_sort_by_time_and_cannot_be_guessed() -> None:
    assert uploads.new_id(1_700_000_000_000) < uploads.new_id(1_700_000_000_001)
    assert len({uploads.new_id(1) for _ in range(100)}) == 100
    assert len(uploads.new_id(1)) == 44


def test_parts_come_in_the_order_of_their_numbers(index: Index, upload: Upload) -> None:
    store(index, part(10_000), part(2), part(7))
    assert [p.number for p in index.read(lambda c: uploads.parts(c, "u1"))] == [2, 7, 10_000]
    assert [p.number for p in index.read(lambda c: uploads.parts(c, "u1", 2, 1))] == [7]
    checksum = Checksum("SHA1", "abc=")
    with_checksum = Part(3, 2**40, "e", 1, "cold", "b3", 0, checksum)
    store(index, with_checksum)
    assert index.read(lambda c: uploads.parts(c, "u1", 2, 1)) == [with_checksum]


def test_a_part_that_comes_again_replaces_the_first(index: Index, upload: Upload) -> None:
    store(index, part(1, "first"), part(1, "second", 9))
    assert index.read(lambda c: uploads.parts(c, "u1")) == [part(1, "second", 9)]
    assert garbage_of(index) == ["first"]


def test_the_same_part_from_many_clients_leaves_one_and_loses_no_blob(
    index: Index, upload: Upload
) -> None:
    begin = threading.Barrier(6)

    def send(n: int) -> None:
        begin.wait()
        store(index, part(1, f"blob{n}"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))
    (kept,) = index.read(lambda c: uploads.parts(c, "u1"))
    assert sorted([kept.blob, *garbage_of(index)]) == [f"blob{n}" for n in range(6)]


def test_completing_places_the_listed_parts_and_drops_the_others(
    index: Index, upload: Upload
) -> None:
    store(index, part(1, size=5), part(2, size=6), part(5, size=7), part(9, size=8))

    def work(c: Connection) -> None:
        assert uploads.lock(c, "u1") is not None
        uploads.complete(c, "u1", [(1, 0), (5, 5), (9, 12)], blob("u1", 20, 3), "etag-3", 50)

    index.write(work)
    assert [(p.number, p.offset) for p in index.read(lambda c: uploads.parts(c, "u1"))] == [
        (1, 0),
        (5, 5),
        (9, 12),
    ]
    assert garbage_of(index) == ["blob2"]
    done = index.read(lambda c: uploads.get(c, upload.bucket_id, upload.key, "u1"))
    assert done is not None
    assert done.completed_etag == "etag-3"
    with pytest.raises(NoSuchUpload):
        store(index, part(3))
    with pytest.raises(ValueError, match="content"):
        index.write(lambda c: uploads.complete(c, "u1", [], blob("other"), "e", 1))


def test_ten_thousand_parts_are_placed_by_one_statement(sqlite: Index) -> None:
    from s3kit.index import buckets

    bucket = sqlite.write(lambda c: buckets.insert(c, "photos", "alice", 1))
    upload = Upload("u1", bucket.id, b"k", 5, "alice", "alice")

    def work(c: Connection) -> None:
        uploads.create(c, upload)
        for number in range(1, 10_001):
            uploads.put_part(c, "u1", part(number, size=number))

    sqlite.write(work)
    listed = [(number, 0) for number in range(1, 10_001)]
    sqlite.write(lambda c: uploads.complete(c, "u1", listed, blob("u1", 1, 10_000), "e", 1))
    last = sqlite.read(lambda c: uploads.parts(c, "u1", 9_999))
    assert [p.offset for p in last] == [sum(range(1, 10_000))]


def test_an_aborted_upload_is_gone_with_its_parts(index: Index, upload: Upload) -> None:
    store(index, part(1), part(2))
    index.write(lambda c: uploads.abort(c, "u1", 7))
    assert index.write(lambda c: uploads.lock(c, "u1")) is None
    assert index.read(lambda c: uploads.parts(c, "u1")) == []
    assert garbage_of(index) == ["blob1", "blob2"]
    with pytest.raises(NoSuchUpload):
        store(index, part(3))


def test_parts_and_an_abort_at_once_lose_no_blob(index: Index, upload: Upload) -> None:
    begin = threading.Barrier(5)

    def send(n: int) -> str:
        begin.wait()
        try:
            store(index, part(n + 1))
        except NoSuchUpload:
            return f"blob{n + 1}"
        return ""

    def abort() -> None:
        begin.wait()

        def work(c: Connection) -> None:
            if uploads.lock(c, "u1") is not None:
                uploads.abort(c, "u1", 7)

        index.write(work)

    with ThreadPoolExecutor(5) as pool:
        sent = [pool.submit(send, n) for n in range(4)]
        pool.submit(abort).result()
        refused = [name for each in sent if (name := each.result())]
    assert index.read(lambda c: uploads.parts(c, "u1")) == []
    assert sorted(refused + garbage_of(index)) == [f"blob{n}" for n in range(1, 5)]


def test_an_abort_waits_for_a_part_that_is_being_stored(index: Index, upload: Upload) -> None:
    """Else the part's row would come after the abort, with a blob that nothing ever removes."""
    stored = threading.Event()
    commit = threading.Event()

    def slow_part(c: Connection) -> None:
        uploads.put_part(c, "u1", part(1))
        stored.set()
        assert commit.wait(30)

    def abort(c: Connection) -> None:
        assert uploads.lock(c, "u1") is not None
        uploads.abort(c, "u1", 7)

    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(index.write, slow_part)
        assert stored.wait(30)
        aborting = pool.submit(index.write, abort)
        done, _ = wait([aborting], timeout=0.3)
        commit.set()
        sending.result()
        aborting.result()
    assert not done
    assert index.read(lambda c: uploads.parts(c, "u1")) == []
    assert garbage_of(index) == ["blob1"]


def test_completed_uploads_are_forgotten_in_time_and_open_ones_never(
    index: Index, bucket: Bucket, upload: Upload
) -> None:
    index.write(lambda c: uploads.create(c, Upload("open", bucket.id, b"k", 1, "a", "a")))
    store(index, part(1))
    index.write(lambda c: uploads.complete(c, "u1", [(1, 0)], blob("u1", 5, 1), "e", 50))
    assert index.write(lambda c: uploads.forget_completed(c, 50)) == 0
    assert index.write(lambda c: uploads.forget_completed(c, 51)) == 1
    assert index.read(lambda c: uploads.get(c, bucket.id, upload.key, "u1")) is None
    assert index.read(lambda c: uploads.get(c, bucket.id, b"k", "open")) is not None
    assert len(index.read(lambda c: uploads.parts(c, "u1"))) == 1
