"""Scrub: whatever is wrong with stored bytes is found, and nothing that is right is reported."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Update
from sqlalchemy import update

from s3kit.blobs.local import LocalBlobStore
from s3kit.errors import NoSuchBucket
from s3kit.index import identity
from s3kit.index import objects as object_rows
from s3kit.index.schema import contents
from s3kit.index.schema import create_schema
from s3kit.index.schema import object_annotations
from s3kit.index.schema import parts
from s3kit.index.schema import versions
from s3kit.index.schema import write_checksum
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.profile import Profile
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store import WantedPart
from s3kit.store.janitor import mark
from s3kit.store.scrub import Finding
from s3kit.store.scrub import name_object
from s3kit.store.verifying import Pace
from s3kit.testing.blob_contract import put as put_blob
from s3kit.wire.checksums import BodyReader
from tests.databases import KINDS
from tests.databases import fresh_database

AHEAD = 10_000_000
"""Seconds by which the clock is ahead, so that every blob is older than a running upload."""

DATA = b"some bytes" * 30


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with fresh_database(request.param, tmp_path) as url:
        yield from open_store(url, tmp_path)


@pytest.fixture
def simple(tmp_path: Path) -> Iterator[Store]:
    yield from open_store(f"sqlite:///{tmp_path}/index.db", tmp_path)


def open_store(url: str, folder: Path) -> Iterator[Store]:
    index = Index(url, durability="relaxed")
    create_schema(index)
    storages = {name: LocalBlobStore(folder / name, name) for name in ("default", "far")}
    store = Store(
        index,
        storages,
        place=(("far-*", "far"),),
        inline_threshold=64,
        profile=Profile(name="tiny", min_part=0),
        clock=lambda: time.time() + AHEAD,
    )
    yield store
    store.close()


def bucket_of(store: Store, name: str = "photos") -> Bucket:
    try:
        return store.buckets.get(name)
    except NoSuchBucket:
        return store.buckets.create(name, "alice")


def put(
    store: Store, key: bytes, data: bytes = DATA, bucket: str = "photos", compute: str = "CRC32"
) -> None:
    body = BodyReader(io.BytesIO(data), len(data), compute=compute)
    store.objects.put(bucket_of(store, bucket), key, body, Attributes("alice"))


def put_in_parts(store: Store, key: bytes, *pieces: bytes) -> str:
    """Store an object in parts; its content's id."""
    bucket = bucket_of(store)
    upload = store.multipart.create(bucket, key, Attributes("alice"))
    wanted = []
    for number, data in enumerate(pieces, 1):
        body = BodyReader(io.BytesIO(data), len(data), compute="CRC32")
        part = store.multipart.put_part(bucket, upload, number, body)
        wanted.append(WantedPart(number, part.etag))
    store.multipart.complete(bucket, key, upload.id, wanted)
    return upload.id


def path_of(store: Store, key: bytes, part: int = 0) -> Path:
    """The file of an object's bytes, or of one of its parts."""
    version = store.objects.get(bucket_of(store), key)
    content = version.content
    assert content is not None
    storage, blob = content.storage, content.id
    if part:
        found = store.index.read(lambda c: object_rows.part_by_number(c, content.id, part))
        assert found is not None
        storage, blob = found.storage, found.blob
    local = store.storages[storage]
    assert isinstance(local, LocalBlobStore)
    return Path(local.path) / blob[:2] / blob


def findings(store: Store, **options: Any) -> list[Finding]:
    scrub = store.scrub(**options)
    found = list(scrub.run())
    assert scrub.findings == len(found)
    return found


def change(path: Path, at: int = 5) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def spoil(store: Store, statement: Update) -> None:
    """Change rows behind everybody's back."""
    with store.index.engine.begin() as connection:
        assert connection.execute(statement).rowcount == 1


# -- what is right


def fill(store: Store) -> None:
    put(store, b"inline", b"small")
    put(store, b"empty", b"")
    put(store, b"whole")
    put(store, b"sha256", compute="SHA256")
    put(store, b"elsewhere", bucket="far-away")
    put_in_parts(store, b"parts", DATA, b"", DATA[:7])
    bucket = bucket_of(store)
    for source in (b"whole", b"parts", b"inline"):
        version = store.objects.get(bucket, source)
        store.copying.copy(version, bucket, source + b"-copy", Attributes("alice"))
    upload = store.multipart.create(bucket, b"open", Attributes("alice"))
    store.multipart.put_part(bucket, upload, 2, BodyReader(io.BytesIO(DATA), len(DATA)))
    put(store, b"overwritten")
    put(store, b"overwritten", b"x" * 100)


def test_where_all_is_right_nothing_is_found_and_every_byte_is_read(store: Store) -> None:
    fill(store)
    told: list[int] = []
    scrub = store.scrub(advance=told.append)
    total = scrub.total_bytes()
    assert list(scrub.run()) == []
    assert sum(told) == total == scrub.bytes == 5 * 2 + 5 * len(DATA) + 7 + 100
    assert scrub.blobs == 3 + 3 + 3 + 1 + 1


def test_an_empty_endpoint_is_right(store: Store) -> None:
    scrub = store.scrub()
    assert (scrub.total_bytes(), list(scrub.run())) == (0, [])


# -- what is wrong


def test_a_blob_that_is_gone_is_missing(store: Store) -> None:
    fill(store)
    path = path_of(store, b"whole")
    path.unlink()
    (finding,) = findings(store)
    assert (finding.kind, finding.storage, finding.blob) == ("missing", "default", path.name)
    assert finding.objects == ("photos/whole", "photos/whole-copy")


@pytest.mark.parametrize(
    ("size", "kind"), [(0, "short"), (len(DATA) - 1, "short"), (len(DATA) + 1, "long")]
)
def test_a_blob_of_another_size_is_short_or_long(simple: Store, size: int, kind: str) -> None:
    put(simple, b"k")
    os.truncate(path_of(simple, b"k"), size)
    (finding,) = findings(simple)
    assert (finding.kind, finding.objects) == (kind, ("photos/k",))
    assert str(size) in finding.problem and str(len(DATA)) in finding.problem


def test_a_flipped_bit_is_corrupt(store: Store) -> None:
    fill(store)
    change(path_of(store, b"whole"))
    (finding,) = findings(store)
    assert finding.kind == "corrupt"
    assert "the MD5 is" in finding.problem


def test_a_flipped_bit_in_a_part_names_the_object_and_the_part(store: Store) -> None:
    fill(store)
    change(path_of(store, b"parts", 3))
    (finding,) = findings(store)
    assert finding.kind == "corrupt"
    assert finding.objects == ("photos/parts part 3", "photos/parts-copy part 3")


def test_a_part_of_an_upload_in_progress_is_compared_too(simple: Store) -> None:
    bucket = bucket_of(simple)
    upload = simple.multipart.create(bucket, b"open", Attributes("alice"))
    part = simple.multipart.put_part(bucket, upload, 4, BodyReader(io.BytesIO(DATA), len(DATA)))
    simple.storages["default"].delete(part.blob)
    (finding,) = findings(simple)
    assert finding.objects == ("photos/open, an upload in progress part 4",)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_is_compared_where_the_md5_is_right(simple: Store, algorithm: str) -> None:
    put(simple, b"k", compute=algorithm)
    assert findings(simple) == []
    other = DATA[::-1]
    wrong = BodyReader(io.BytesIO(other), len(other), compute=algorithm)
    wrong.read_all()
    assert wrong.checksum is not None
    spoil(simple, update(versions).values(checksum=write_checksum(wrong.checksum)))
    (finding,) = findings(simple)
    assert (finding.kind, f"the {algorithm} is" in finding.problem) == ("corrupt", True)


def test_inline_bytes_are_compared_with_their_row(store: Store) -> None:
    put(store, b"inline", b"small")
    spoil(store, update(versions).values(inline=b"smalk"))
    assert [(each.kind, each.storage) for each in findings(store)] == [("corrupt", "")]
    spoil(store, update(versions).values(inline=b"smal"))
    assert [each.kind for each in findings(store)] == ["short"]
    spoil(store, update(versions).values(inline=None))
    assert [each.kind for each in findings(store)] == ["missing"]


def test_annotations_are_compared_with_their_rows(store: Store) -> None:
    put(store, b"k", DATA)
    bucket = bucket_of(store)
    version = store.objects.get(bucket, b"k")
    etag = hashlib.md5(b"text").hexdigest()
    for number in range(7):
        store.annotations.put(bucket, version, f"n{number}", b"text", etag=etag)
    assert findings(store) == []
    assert store.scrub().total_bytes() == len(DATA) + 7 * 4
    for name, payload in ((b"n2", b"tezt"), (b"n6", b"tex")):
        spoil(
            store,
            update(object_annotations)
            .where(object_annotations.c.name == name)
            .values(payload=payload),
        )
    found = findings(store)
    assert [(each.kind, each.objects) for each in found] == [
        ("corrupt", ("photos/k annotation n2",)),
        ("short", ("photos/k annotation n6",)),
    ]


def test_a_blob_that_cannot_be_read_is_reported_and_the_rest_is_read(
    simple: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (b"a", b"b", b"c"):
        put(simple, key)
    bad = path_of(simple, b"b").name
    opened = LocalBlobStore.open

    def failing(self: LocalBlobStore, blob_id: str, start: int, end: int) -> Any:
        if blob_id == bad:
            raise OSError(5, "Input/output error")
        return opened(self, blob_id, start, end)

    monkeypatch.setattr(LocalBlobStore, "open", failing)
    scrub = simple.scrub()
    (finding,) = scrub.run()
    assert (finding.kind, finding.objects) == ("unreadable", ("photos/b",))
    assert "Input/output error" in finding.problem
    assert scrub.blobs == 3


def test_a_storage_that_is_not_configured_any_more_misses_its_blobs(
    simple: Store, tmp_path: Path
) -> None:
    put(simple, b"k", bucket="far-away")
    assert isinstance(simple.storages, dict)
    del simple.storages["far"]
    (finding,) = findings(simple)
    assert finding.kind == "missing"
    assert 'the storage "far" is not configured' in finding.problem


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (update(contents).values(refs=2), "2 versions are counted, 1 are there"),
        (update(contents).values(size=5), "bytes, not 5"),
        (update(contents).values(parts=3), "2 parts of 3 are there"),
        (update(versions).values(etag="0" * 32 + "-2"), "ETag is"),
        (update(parts).where(parts.c.number == 2).values(offset=1), "part 2 begins at byte 1"),
    ],
)
def test_rows_that_contradict_each_other_are_inconsistent(
    simple: Store, statement: Update, problem: str
) -> None:
    put_in_parts(simple, b"parts", DATA, DATA)
    assert findings(simple) == []
    spoil(simple, statement)
    (finding,) = findings(simple)
    assert (finding.kind, finding.objects) == ("inconsistent", ("photos/parts",))
    assert problem in finding.problem


# -- what no row knows


def test_an_old_blob_that_no_row_knows_is_unreferenced_and_a_young_one_is_not(
    simple: Store,
) -> None:
    put(simple, b"k")
    old = put_blob(simple.storages["default"], b"left behind")
    young = put_blob(simple.storages["default"], b"being written")
    ahead = time.time() + 2 * AHEAD
    os.utime(simple.storages["default"]._locate(young)[1], (ahead, ahead))  # type: ignore[attr-defined]
    (finding,) = findings(simple)
    assert (finding.kind, finding.blob) == ("unreferenced", old)
    assert "11 bytes" in finding.problem


def test_garbage_within_its_grace_period_is_no_finding(simple: Store) -> None:
    put(simple, b"k")
    simple.objects.delete(bucket_of(simple), b"k")
    assert findings(simple) == []


def test_a_storage_of_another_index_is_one_finding(simple: Store) -> None:
    mark(simple.storages["far"], "ab" * 16)
    put_blob(simple.storages["far"], b"theirs")
    (finding,) = findings(simple)
    assert (finding.kind, finding.storage) == ("foreign", "far")
    assert simple.index.read(identity.get) != "ab" * 16


def test_one_storage_can_be_read_alone(simple: Store) -> None:
    put(simple, b"near")
    put(simple, b"far", bucket="far-away")
    put(simple, b"inline", b"small")
    path_of(simple, b"near").unlink()
    scrub = simple.scrub(storages=["far"])
    assert scrub.total_bytes() == len(DATA)
    assert (list(scrub.run()), scrub.blobs) == ([], 1)
    assert len(findings(simple, storages=["default"])) == 1


# -- while requests run


def test_what_is_overwritten_between_two_looks_is_no_finding(
    simple: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob is deleted at once, as `gc --grace 0` would."""
    put(simple, b"k")
    size_of = LocalBlobStore.size

    def overwritten_meanwhile(self: LocalBlobStore, blob_id: str) -> int:
        monkeypatch.setattr(LocalBlobStore, "size", size_of)
        put(simple, b"k", b"other" * 50)
        assert simple.janitor.collect_garbage(now=2**60, grace_seconds=0) == 1
        return size_of(self, blob_id)

    monkeypatch.setattr(LocalBlobStore, "size", overwritten_meanwhile)
    assert findings(simple) == []


def test_what_moved_to_another_storage_meanwhile_is_compared_there(
    simple: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(simple, b"k")
    size_of = LocalBlobStore.size

    def moved_meanwhile(self: LocalBlobStore, blob_id: str) -> int:
        monkeypatch.setattr(LocalBlobStore, "size", size_of)
        writer = simple.storages["far"].create(blob_id)
        writer.write(DATA)
        writer.commit()
        simple.storages["default"].delete(blob_id)
        spoil(simple, update(contents).values(storage="far"))
        return size_of(self, blob_id)

    monkeypatch.setattr(LocalBlobStore, "size", moved_meanwhile)
    assert findings(simple) == []


def test_an_endpoint_in_use_gives_no_findings(store: Store) -> None:
    """Overwrites, removals, multipart uploads and a collector without a grace period."""
    # By the clock that is ahead an upload in progress looks old.
    store._backing.orphan_seconds += AHEAD
    fill(store)
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                key = b"busy-%d" % (number % 20)
                if number % 7 == 0:
                    store.objects.delete(bucket_of(store), key)
                elif number % 5 == 0:
                    put_in_parts(store, key, DATA, DATA)
                else:
                    put(store, key, b"%d" % number * 100)
                if number % 3 == 0:
                    store.janitor.collect_garbage(now=2**60, grace_seconds=0)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        limit = time.monotonic() + 1.5
        while time.monotonic() < limit:
            assert findings(store) == []
    finally:
        stop.set()
        thread.join()
    assert not failed


# -- how it reads


def test_memory_does_not_grow_with_what_is_stored(simple: Store) -> None:
    def peak() -> int:
        tracemalloc.start()
        assert findings(simple) == []
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    for number in range(300):
        put(simple, b"%d" % number)
    peak()
    few = peak()
    for number in range(300, 1500):
        put(simple, b"%d" % number)
    assert peak() < few * 1.5


def test_a_rate_holds_the_reading_back() -> None:
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    pace = Pace(1000, clock=lambda: now, sleep=sleep)
    for _ in range(10):
        pace.passed(500)
    assert 4.9 < now < 5.1
    now += 100
    slept.clear()
    # A long pause is not made good at once.
    pace.passed(3000)
    assert sum(slept) > 1.9


def test_a_read_of_everything_takes_as_long_as_the_rate_says(simple: Store) -> None:
    put(simple, b"k", b"x" * 50_000)
    started = time.monotonic()
    assert findings(simple, rate=100_000) == []
    assert time.monotonic() - started > 0.4


def test_names_are_safe_to_print() -> None:
    assert name_object("b", "ü/x".encode(), "null") == "b/ü/x"
    assert name_object("b", b"a\x1b[0m\xff", "v1") == "b/a\\x1b[0m\\xff version v1"
