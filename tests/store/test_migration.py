"""Moving a storage's blobs: nothing lost, nothing twice referenced, whoever writes meanwhile."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func
from sqlalchemy import select

from s3kit.blobs.base import OWNER
from s3kit.blobs.base import BlobStore
from s3kit.blobs.local import LocalBlobStore
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.blobs.wrappers import ReadOnly
from s3kit.errors import S3Error
from s3kit.index import moving
from s3kit.index.objects import ContentGone
from s3kit.index.schema import contents
from s3kit.index.schema import create_schema
from s3kit.index.schema import garbage
from s3kit.index.schema import parts as parts_table
from s3kit.index.schema import versions
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import ObjectVersion
from s3kit.profile import AWS
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store import WantedPart
from s3kit.store.janitor import ForeignStorage
from s3kit.store.migration import CannotMigrate
from s3kit.store.migration import Migration
from s3kit.wire.checksums import BodyReader
from tests.databases import KINDS
from tests.databases import fresh_database

PLACE = (("far-*", "new"),)


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    with fresh_database(request.param, tmp_path) as url, ExitStack() as stack:
        index = Index(url, durability="relaxed")
        stack.callback(index.close)
        create_schema(index)
        yield index


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Index]:
    index = Index(f"sqlite:///{tmp_path}/index.db", durability="relaxed")
    create_schema(index)
    yield index
    index.close()


def make(index: Index, old: BlobStore | None = None, new: BlobStore | None = None) -> Store:
    """A store whose every bucket but ``far-*`` still fills the storage ``default``."""
    storages = {"default": old or MemoryBlobStore(), "new": new or MemoryBlobStore()}
    return Store(
        index,
        storages,
        place=PLACE,
        inline_threshold=8,
        profile=replace(AWS, min_part=1),
    )


def bucket_of(store: Store, name: str = "photos") -> Bucket:
    return store.buckets.create(name, "alice")


def put(store: Store, bucket: Bucket, key: bytes, data: bytes) -> ObjectVersion:
    body = BodyReader(io.BytesIO(data), len(data))
    return store.objects.put(bucket, key, body, Attributes("alice"))


def get(store: Store, bucket: Bucket, key: bytes) -> bytes:
    return b"".join(store.objects.read(store.objects.get(bucket, key)))


def begin_upload(store: Store, bucket: Bucket, key: bytes, *pieces: bytes) -> Callable[[], Any]:
    """An upload with these parts; what is answered completes it."""
    upload = store.multipart.create(bucket, key, Attributes("alice"))
    made = [
        store.multipart.put_part(bucket, upload, number, BodyReader(io.BytesIO(piece), len(piece)))
        for number, piece in enumerate(pieces, 1)
    ]
    wanted = [WantedPart(part.number, part.etag) for part in made]
    return lambda: store.multipart.complete(bucket, key, upload.id, wanted)


def blobs(store: BlobStore) -> list[str]:
    return [blob for blob, _ in store.sweep() if blob != OWNER]


def check_rows(store: Store, *, storage: str = "new") -> None:
    """Every row is on the one storage, every blob there is a row's, and the counts are right."""
    with store.index.engine.connect() as connection:
        used = (
            select(func.count())
            .select_from(versions)
            .where(versions.c.content_id == contents.c.id)
            .scalar_subquery()
        )
        rows = connection.execute(
            select(contents.c.id, contents.c.storage, contents.c.refs, contents.c.parts, used)
        ).all()
        part_rows = connection.execute(select(parts_table.c.storage, parts_table.c.blob)).all()
        waste = connection.execute(select(garbage.c.storage, garbage.c.blob)).all()
    assert {row[1] for row in rows} | {row[0] for row in part_rows} <= {storage}
    assert [row for row in rows if row[2] != row[4] or row[2] < 1] == []
    named = [row[0] for row in rows if row[3] == 0] + [row[1] for row in part_rows]
    assert len(named) == len(set(named))
    left = {blob for name, blob in waste if name == storage}
    assert sorted(set(named) | left) == sorted(blobs(store.storages[storage]))


# What is moved


def test_everything_moves_and_the_old_storage_is_empty_after_the_grace(index: Index) -> None:
    store = make(index)
    bucket, far = bucket_of(store), bucket_of(store, "far-away")
    expected = {b"plain": os.urandom(3_000_000), b"long": os.urandom(9), b"inline": b"small"}
    for key, data in expected.items():
        put(store, bucket, key, data)
    put(store, far, b"there", b"already there")
    # One content of several versions.
    for key in (b"copy", b"copy of copy"):
        store.copying.copy(store.objects.get(bucket, b"plain"), bucket, key, Attributes("alice"))
        expected[key] = expected[b"plain"]
    begin_upload(store, bucket, b"parts", b"one, ", b"two, ", b"three")()
    source = store.objects.get(bucket, b"parts")
    store.copying.copy(source, bucket, b"parts again", Attributes("alice"))
    expected[b"parts"] = expected[b"parts again"] = b"one, two, three"
    complete = begin_upload(store, bucket, b"open", b"begun before, ", b"ended after")
    expected[b"open"] = b"begun before, ended after"

    migration = store.migrate("default", "new")
    assert migration.left() == (7, 3_000_000 + 9 + 15 + 25)
    migration.run()

    assert (migration.moved, migration.moved_bytes) == (7, 3_000_000 + 9 + 15 + 25)
    assert (migration.skipped, migration.failed, migration.left()) == (0, 0, (0, 0))
    assert not migration.is_forgotten()
    assert len(blobs(store.storages["default"])) == 7
    complete_version = complete()
    assert complete_version.content.storage == "default"
    again = store.migrate("default", "new")
    again.run()
    assert again.moved == 0
    assert store.collect_garbage(now=2**60) == 7
    assert blobs(store.storages["default"]) == []
    assert again.is_forgotten()
    for key, data in expected.items():
        assert get(store, bucket, key) == data
    assert get(store, far, b"there") == b"already there"
    check_rows(store)
    for key in expected:
        store.objects.delete(bucket, key)
    store.objects.delete(far, b"there")
    store.collect_garbage(now=2**60)
    assert blobs(store.storages["new"]) == []


def test_a_part_that_was_empty_moves_too(sqlite: Index) -> None:
    store = make(sqlite)
    bucket = bucket_of(store)
    begin_upload(store, bucket, b"key", b"")()
    store.migrate("default", "new").run()
    check_rows(store)
    assert get(store, bucket, b"key") == b""


def test_what_was_moved_can_be_copied_without_its_bytes(index: Index) -> None:
    """The object's whole content is on the storage that it is copied to."""
    store = make(index)
    bucket, far = bucket_of(store), bucket_of(store, "far-away")
    put(store, bucket, b"plain", bytes(100))
    begin_upload(store, bucket, b"parts", b"one", b"two")()
    store.migrate("default", "new").run()
    for key in (b"plain", b"parts"):
        source = store.objects.get(bucket, key)
        copy = store.copying.copy(source, far, key, Attributes("alice"))
        assert copy.content == source.content


def test_a_plan_writes_nothing(sqlite: Index) -> None:
    store = make(sqlite)
    put(store, bucket_of(store), b"key", bytes(100))
    migration = store.migrate("default", "new")
    assert migration.left() == (1, 100)
    assert migration.still_filled()
    with pytest.raises(FileNotFoundError):
        store.storages["new"].size(OWNER)


@pytest.mark.parametrize(
    ("place", "filled"),
    [
        ((), True),
        ((("far-*", "new"),), True),
        ((("*", "new"),), False),
        ((("far-*", "default"), ("*", "new")), True),
        ((("*", "new"), ("far-*", "default")), False),
    ],
)
def test_where_new_objects_go_is_known(sqlite: Index, place: Any, filled: bool) -> None:
    storages = {"default": MemoryBlobStore(), "new": MemoryBlobStore()}
    store = Store(sqlite, storages, place=place)
    assert store.migrate("default", "new").still_filled() is filled


# Readers


def test_a_reader_of_before_ends_whole(sqlite: Index, tmp_path: Path) -> None:
    store = make(sqlite, LocalBlobStore(tmp_path / "old"), LocalBlobStore(tmp_path / "new"))
    bucket = bucket_of(store)
    data = os.urandom(1_000_000)
    put(store, bucket, b"plain", data)
    begin_upload(store, bucket, b"parts", *(data[at : at + 250_000] for at in (0, 250_000)))()
    read = {key: store.objects.get(bucket, key) for key in (b"plain", b"parts")}
    begun = {key: store.objects.read(version) for key, version in read.items()}
    first = {key: next(blocks) for key, blocks in begun.items()}
    store.migrate("default", "new").run()
    # Within the grace period every old row can still be read, and after it what was begun.
    assert b"".join(store.objects.read(read[b"plain"])) == data
    store.collect_garbage(now=2**60)
    assert first[b"plain"] + b"".join(begun[b"plain"]) == data
    assert first[b"parts"] + b"".join(begun[b"parts"]) == data[:500_000]
    # An old row whose blob is gone means to read the row again.
    with pytest.raises(ContentGone):
        store.objects.read(read[b"plain"])
    assert get(store, bucket, b"plain") == data
    assert b"".join(store.objects.read(read[b"parts"])) == data[:500_000]


def test_a_blob_that_is_really_missing_is_still_an_error(sqlite: Index) -> None:
    store = make(sqlite)
    bucket = bucket_of(store)
    version = put(store, bucket, b"key", bytes(100))
    assert version.content is not None
    store.storages["default"].delete(version.content.id)
    with pytest.raises(S3Error, match="internal error"):
        store.objects.read(version)


# Wrong bytes


def test_what_is_damaged_stays_where_it_is(sqlite: Index, tmp_path: Path) -> None:
    store = make(sqlite, LocalBlobStore(tmp_path / "old"))
    bucket = bucket_of(store)
    good = put(store, bucket, b"good", b"good bytes")
    kinds = {b"changed": b"other bytes", b"short": b"short", b"missing": None}
    for key, data in kinds.items():
        version = put(store, bucket, key, b"right bytes")
        assert version.content is not None
        path = tmp_path / "old" / version.content.id[:2] / version.content.id
        path.unlink() if data is None else path.write_bytes(data)
    migration = store.migrate("default", "new")
    migration.run()
    assert (migration.moved, migration.failed, migration.left()[0]) == (1, 3, 3)
    told = sorted(failure.error for failure in migration.failures)
    assert "FileNotFoundError" in told[0]
    assert "it has 5 bytes, not 11" in told[1]
    assert "the MD5 is" in told[2]
    assert good.content is not None
    assert sqlite.read(lambda c: moving.has_garbage(c, "default"))
    store.collect_garbage(now=2**60)
    # Only what was moved is gone.
    assert len(blobs(store.storages["default"])) == 2
    assert len(blobs(store.storages["new"])) == 1


class Liar(MemoryBlobStore):
    """Takes everything and keeps something else."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        super().__init__("liar")
        self.change = change

    __slots__ = ("change",)

    def open(self, blob_id: str, start: int, end: int) -> Any:
        if blob_id == OWNER:
            return super().open(blob_id, start, end)
        data = self.change(b"".join(super().open(blob_id, 0, super().size(blob_id))))
        if len(data) < end:
            raise OSError("The end is missing.")
        return _Bytes(data[start:end])


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = iter([data])

    def __iter__(self) -> Iterator[bytes]:
        return self.data

    def __next__(self) -> bytes:
        return next(self.data)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"x" + data[1:]])
def test_a_storage_that_keeps_other_bytes_gets_nothing(
    sqlite: Index, change: Callable[[bytes], bytes]
) -> None:
    liar = Liar(change)
    store = make(sqlite, new=liar)
    bucket = bucket_of(store)
    put(store, bucket, b"key", b"right bytes")
    migration = store.migrate("default", "new")
    migration.run()
    assert (migration.moved, migration.failed, migration.left()) == (0, 1, (1, 11))
    assert blobs(liar) == []
    assert not sqlite.read(lambda c: moving.has_garbage(c, "default"))
    assert get(store, bucket, b"key") == b"right bytes"


# Writers


class Meddled(MemoryBlobStore):
    """Lets something happen when a blob is opened for the first time."""

    __slots__ = ("meddle",)

    def __init__(self) -> None:
        super().__init__("meddled")
        self.meddle: Callable[[], object] | None = None

    def open(self, blob_id: str, start: int, end: int) -> Any:
        reader = super().open(blob_id, start, end)
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()
        return reader


@pytest.mark.parametrize("what", ["overwrite", "delete", "copy", "migrate"])
def test_an_object_that_changes_while_it_is_copied(index: Index, what: str) -> None:
    old = Meddled()
    store = make(index, old)
    bucket = bucket_of(store)
    put(store, bucket, b"key", b"old bytes")
    source = store.objects.get(bucket, b"key")
    old.meddle = {
        "overwrite": lambda: put(store, bucket, b"key", b"new bytes, and more"),
        "delete": lambda: store.objects.delete(bucket, b"key"),
        "copy": lambda: store.copying.copy(source, bucket, b"copy", Attributes("alice")),
        "migrate": lambda: store.migrate("default", "new").run(),
    }[what]
    migration = store.migrate("default", "new")
    migration.run()
    assert migration.skipped == (0 if what == "copy" else 1)
    store.migrate("default", "new").run()
    check_rows(store)
    if what == "delete":
        assert store.objects.find(bucket, b"key") is None
    else:
        body = b"new bytes, and more" if what == "overwrite" else b"old bytes"
        assert get(store, bucket, b"key") == body
    if what == "copy":
        assert get(store, bucket, b"copy") == b"old bytes"
    store.collect_garbage(now=2**60)
    assert blobs(old) == []


@pytest.mark.parametrize("what", ["replace", "complete", "abort"])
def test_an_upload_that_changes_while_its_part_is_copied(index: Index, what: str) -> None:
    old = Meddled()
    store = make(index, old)
    bucket = bucket_of(store)
    upload = store.multipart.create(bucket, b"key", Attributes("alice"))

    def part(data: bytes) -> WantedPart:
        made = store.multipart.put_part(bucket, upload, 1, BodyReader(io.BytesIO(data), len(data)))
        return WantedPart(made.number, made.etag)

    wanted = part(b"first bytes")
    seen: list[WantedPart] = [wanted]
    old.meddle = {
        "replace": lambda: seen.append(part(b"other bytes")),
        "complete": lambda: store.multipart.complete(bucket, b"key", upload.id, [wanted]),
        "abort": lambda: store.multipart.abort(bucket, b"key", upload.id),
    }[what]
    store.migrate("default", "new").run()
    store.migrate("default", "new").run()
    check_rows(store)
    if what == "replace":
        store.multipart.complete(bucket, b"key", upload.id, seen[-1:])
    if what == "abort":
        assert store.objects.find(bucket, b"key") is None
    else:
        assert (
            get(store, bucket, b"key") == (b"other" if what == "replace" else b"first") + b" bytes"
        )
    store.collect_garbage(now=2**60)
    assert blobs(old) == []


def test_writers_deleters_and_copiers_run_while_several_migrate(index: Index) -> None:
    """Each in threads of its own; at the end every count and every blob is right."""
    store = make(index)
    bucket, far = bucket_of(store), bucket_of(store, "far-away")
    keys = [b"key %d" % number for number in range(12)]
    for key in keys:
        put(store, bucket, key, key * 20)
    until = time.monotonic() + 2.5
    failures: list[BaseException] = []

    def work(number: int, step: Callable[[random.Random], object]) -> None:
        chance = random.Random(number)
        while time.monotonic() < until and not failures:
            try:
                step(chance)
            except (ContentGone, S3Error):
                # As for a request: it is begun anew, or told so.
                pass
            except BaseException as error:
                failures.append(error)

    def write(chance: random.Random) -> None:
        key = chance.choice(keys)
        if chance.random() < 0.3:
            begin_upload(store, bucket, key, key * 10, key * 10)()
        else:
            put(store, bucket, key, key * 20)

    def copy(chance: random.Random) -> None:
        key = chance.choice(keys)
        source = store.objects.get(bucket, key)
        target = chance.choice([bucket, far])
        store.copying.copy(source, target, key, Attributes("alice"))

    def remove(chance: random.Random) -> None:
        store.objects.delete(chance.choice([bucket, far]), chance.choice(keys))
        time.sleep(0.005)

    def read(chance: random.Random) -> None:
        key = chance.choice(keys)
        assert get(store, bucket, key) == key * 20

    def migrate(chance: random.Random) -> None:
        migration = store.migrate("default", "new", jobs=2)
        migration.run()
        assert migration.failures == []

    steps = [write, write, copy, copy, remove, read, read, migrate, migrate]
    threads = [
        threading.Thread(target=work, args=(number, step)) for number, step in enumerate(steps)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.migrate("default", "new").run()
    check_rows(store)
    for key in keys:
        found = store.objects.find(bucket, key)
        assert found is None or get(store, bucket, key) == key * 20
    store.collect_garbage(now=2**60)
    assert blobs(store.storages["default"]) == []
    for each in (bucket, far):
        for key in keys:
            store.objects.delete(each, key)
    store.collect_garbage(now=2**60)
    assert blobs(store.storages["new"]) == []


# Beginning and ending


def test_a_run_that_is_stopped_in_the_middle_leaves_no_half(sqlite: Index) -> None:
    store = make(sqlite)
    bucket = bucket_of(store)
    for number in range(20):
        put(store, bucket, b"%d" % number, bytes(100))
    runs: list[Migration] = []
    runs.append(store.migrate("default", "new", advance=lambda size: runs[0].stop()))
    runs[0].run()
    assert runs[0].moved == 1
    assert len(blobs(store.storages["new"])) == 1
    store.migrate("default", "new").run()
    check_rows(store)


def test_a_run_that_is_interrupted_leaves_no_half(sqlite: Index) -> None:
    old = Meddled()
    store = make(sqlite, old)
    bucket = bucket_of(store)
    put(store, bucket, b"key", bytes(100))

    def interrupt() -> None:
        raise KeyboardInterrupt

    old.meddle = interrupt
    with pytest.raises(KeyboardInterrupt):
        store.migrate("default", "new").run()
    assert blobs(store.storages["new"]) == []
    assert get(store, bucket, b"key") == bytes(100)


def test_the_rate_is_kept(sqlite: Index) -> None:
    store = make(sqlite)
    bucket = bucket_of(store)
    for number in range(15):
        put(store, bucket, b"%d" % number, bytes(100_000))
    began = time.monotonic()
    store.migrate("default", "new", rate=1_000_000, jobs=4).run()
    assert 0.45 < time.monotonic() - began < 20


def test_ways_that_are_none_are_refused(sqlite: Index) -> None:
    store = make(sqlite, new=ReadOnly(MemoryBlobStore()))
    for source, target, words in (
        ("default", "default", "is both"),
        ("old", "new", 'No storage "old"'),
        ("default", "newer", 'No storage "newer"'),
        ("default", "new", "read-only"),
    ):
        with pytest.raises(CannotMigrate, match=words):
            store.migrate(source, target)


def test_a_storage_of_another_index_gets_nothing(sqlite: Index, tmp_path: Path) -> None:
    """Its gc --orphans would remove what it does not know."""
    other = Index(f"sqlite:///{tmp_path}/other.db")
    create_schema(other)
    theirs = MemoryBlobStore()
    make(other, theirs).janitor.mark_storages()
    store = make(sqlite, new=theirs)
    put(store, bucket_of(store), b"key", bytes(100))
    with pytest.raises(ForeignStorage):
        store.migrate("default", "new").run()
    assert blobs(theirs) == []
    other.close()


def test_a_storage_that_is_being_left_may_be_read_only(sqlite: Index) -> None:
    old = MemoryBlobStore()
    store = make(sqlite, old)
    bucket = bucket_of(store)
    put(store, bucket, b"key", bytes(100))
    left = make(sqlite, ReadOnly(old), store.storages["new"])
    left.migrate("default", "new").run()
    check_rows(left)
    assert len(blobs(old)) == 1
    assert get(left, bucket, b"key") == bytes(100)


def test_two_names_of_one_place_lose_nothing(sqlite: Index, tmp_path: Path) -> None:
    """Each copy has an id of its own, so the old blob is never the new one."""
    place = LocalBlobStore(tmp_path / "place")
    store = make(sqlite, place, LocalBlobStore(tmp_path / "place"))
    bucket = bucket_of(store)
    put(store, bucket, b"key", bytes(100))
    store.migrate("default", "new").run()
    store.collect_garbage(now=2**60)
    assert get(store, bucket, b"key") == bytes(100)
    assert len(blobs(place)) == 1
