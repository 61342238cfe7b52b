"""Garbage and orphans: what is removed, what is left alone, and when the janitor runs."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from s3kit.blobs.base import OWNER
from s3kit.blobs.base import BlobStore
from s3kit.blobs.local import LocalBlobStore
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.blobs.wrappers import ReadOnly
from s3kit.errors import NoSuchBucket
from s3kit.index import garbage
from s3kit.index import identity
from s3kit.index.connections import Connection
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store import janitor
from s3kit.store.janitor import ForeignStorage
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put
from s3kit.wire.checksums import BodyReader

OLD = 10_000_000
"""Seconds by which the clock of ``make`` is ahead: all that is stored is old by it."""

Make = Callable[..., Store]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a Store over ``{tmp_path}/{index}.db`` whose clock is far ahead."""
    with ExitStack() as stack:

        def make(storages: Mapping[str, BlobStore] | None = None, index: str = "index") -> Store:
            facts = Index(f"sqlite:///{tmp_path}/{index}.db", durability="relaxed")
            create_schema(facts)
            stores = storages or {"default": LocalBlobStore(tmp_path / "blobs")}
            store = Store(facts, stores, inline_threshold=0, clock=lambda: time.time() + OLD)
            stack.callback(store.close)
            return store

        yield make


def put_object(store: Store, key: bytes = b"k", data: bytes = b"data") -> str:
    """Store an object as a blob; answers the blob's id."""
    before = {blob for blob, _ in store.storages["default"].sweep()}
    try:
        bucket = store.buckets.get("photos")
    except NoSuchBucket:
        bucket = store.buckets.create("photos", "alice")
    body = BodyReader(io.BytesIO(data), len(data))
    store.objects.put(bucket, key, body, Attributes("alice"))
    (blob,) = {blob for blob, _ in store.storages["default"].sweep()} - before
    return blob


def waste(store: Store, *blobs: str, storage: str = "default", since: int = 1) -> None:
    """Put blobs on the garbage list."""

    def work(c: Connection) -> None:
        for blob in blobs:
            garbage.add(c, storage, blob, since)

    store.index.write(work)


def listed(store: Store, storage: str = "default") -> list[str]:
    rows = store.index.read(lambda c: garbage.due(c, storage, 2**60, 10**6))
    return [blob for _, blob in rows]


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What s3kit said; threads that other tests left behind may still say something, too."""
    return [each for each in caplog.records if each.name.startswith("s3kit")]


def run_in_background(store: Store) -> None:
    store.janitor.nudge()
    thread = store.janitor._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()


# -- orphans


def test_a_blob_that_no_row_knows_is_swept_when_it_is_old(make: Make) -> None:
    store = make()
    kept = put_object(store)
    put(store.storages["default"], b"orphan")
    assert store.janitor.sweep_orphans(orphan_seconds=OLD + 60) == 0
    assert store.sweep_orphans() == 1
    assert [blob for blob, _ in store.storages["default"].sweep()] == [kept]


def test_a_storage_under_two_names_loses_nothing_to_the_sweep(make: Make, tmp_path: Path) -> None:
    store = make({name: LocalBlobStore(tmp_path / "blobs") for name in ("default", "cold")})
    blob = put_object(store)
    assert store.sweep_orphans() == 0
    assert get(store.storages["default"], blob, 0, 4) == b"data"


def test_a_storage_that_got_another_name_loses_nothing_to_the_sweep(
    make: Make, tmp_path: Path
) -> None:
    blob = put_object(make())
    other = make({"default": MemoryBlobStore(), "cold": LocalBlobStore(tmp_path / "blobs")})
    assert other.sweep_orphans() == 0
    assert get(other.storages["cold"], blob, 0, 4) == b"data"


def test_a_storage_of_another_index_is_not_swept(make: Make) -> None:
    """The wrong index, a lost one, or two endpoints on one folder."""
    first = make()
    blob = put_object(first)
    assert first.sweep_orphans() == 0
    stranger = make(index="stranger")
    put_object(stranger, b"other", b"more")
    ours = first.index.read(identity.get)
    with pytest.raises(ForeignStorage, match=f'"default" belongs to another index .{ours}'):
        stranger.sweep_orphans()
    assert get(stranger.storages["default"], blob, 0, 4) == b"data"
    assert first.index.read(identity.get) == ours


def test_where_one_storage_is_foreign_no_other_is_swept(make: Make, tmp_path: Path) -> None:
    assert make().sweep_orphans() == 0
    near = MemoryBlobStore()
    store = make({"default": near, "far": LocalBlobStore(tmp_path / "blobs")}, index="stranger")
    put_object(store)
    orphan = put(near, b"orphan")
    with pytest.raises(ForeignStorage, match='"far"'):
        store.sweep_orphans()
    assert near.size(orphan) == 6


def test_an_unmarked_storage_is_swept_only_if_the_index_knows_some_of_it(
    make: Make, tmp_path: Path
) -> None:
    first = make()
    blob = put_object(first)
    stranger = make(index="stranger")
    with pytest.raises(ForeignStorage, match="knows none of them"):
        stranger.sweep_orphans()
    orphan = put(first.storages["default"], b"orphan")
    assert first.sweep_orphans() == 1
    assert get(first.storages["default"], blob, 0, 4) == b"data"
    with pytest.raises(FileNotFoundError):
        first.storages["default"].size(orphan)
    assert (tmp_path / "blobs" / "00" / OWNER).read_text() == first.index.read(identity.get)


def test_the_first_write_marks_every_storage_that_can_be_written(
    make: Make, tmp_path: Path
) -> None:
    near, frozen = MemoryBlobStore(), MemoryBlobStore()
    far = LocalBlobStore(tmp_path / "far")
    store = make({"default": near, "far": far, "old": ReadOnly(frozen)})
    run_in_background(store)
    mine = store.index.read(identity.get).encode()
    assert get(near, OWNER, 0, 32) == get(far, OWNER, 0, 32) == mine
    with pytest.raises(FileNotFoundError):
        frozen.size(OWNER)
    assert [*near.sweep(), *far.sweep()] == []


def test_half_a_mark_is_written_anew(make: Make) -> None:
    store = make()
    writer = store.storages["default"].create(OWNER, 32)
    writer.write(b"0123")
    writer.commit()
    store.janitor.mark_storages()
    assert get(store.storages["default"], OWNER, 0, 32) == store.index.read(identity.get).encode()


def test_a_foreign_storage_is_warned_of_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make().janitor.mark_storages()
    stranger = make(index="stranger")
    stranger.janitor.mark_storages()
    stranger.janitor.mark_storages()
    (record,) = ours(caplog)
    assert "belongs to another index" in record.getMessage()


# -- garbage


class Stubborn(MemoryBlobStore):
    """A storage that cannot delete some of its blobs."""

    __slots__ = ("asked", "stuck")

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[str] = set()
        self.asked = 0

    def delete(self, blob_id: str) -> None:
        """Delete, or fail."""
        self.asked += 1
        if blob_id in self.stuck:
            raise PermissionError(blob_id)
        super().delete(blob_id)


def test_what_cannot_be_deleted_holds_up_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "BATCH", 5)
    storage = Stubborn()
    store = make({"default": storage})
    stuck = [put(storage, b"x") for _ in range(12)]
    free = [put(storage, b"x") for _ in range(12)]
    storage.stuck.update(stuck)
    waste(store, *stuck, since=1)
    waste(store, *free, since=2)
    assert store.collect_garbage() == 12
    assert sorted(listed(store)) == sorted(stuck)
    (record,) = ours(caplog)
    assert "12 blobs on storage 'default'" in record.getMessage()
    # After the next grace period they are tried again.
    assert store.collect_garbage() == 0
    storage.stuck.clear()
    assert store.collect_garbage(now=int((time.time() + 2 * OLD) * 1000)) == 12
    assert listed(store) == []


def test_a_storage_that_fails_and_fails_is_left_until_the_next_run(make: Make) -> None:
    storage, other = Stubborn(), MemoryBlobStore()
    store = make({"default": storage, "other": other})
    blobs = [put(storage, b"x") for _ in range(100)]
    storage.stuck.update(blobs)
    waste(store, *blobs)
    waste(store, put(other, b"x"), storage="other")
    assert store.collect_garbage() == 1
    assert storage.asked == janitor.GIVE_UP
    # The next run begins with others.
    storage.stuck = set(listed(store)[-janitor.GIVE_UP :])
    assert store.collect_garbage() == 100 - janitor.GIVE_UP


def test_garbage_of_storages_that_are_gone_or_read_only_waits_in_silence(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    frozen, near = MemoryBlobStore(), MemoryBlobStore()
    kept, gone = put(frozen, b"x"), put(near, b"x")
    store = make({"default": near, "old": ReadOnly(frozen)})
    waste(store, kept, storage="old")
    waste(store, kept, storage="removed")
    waste(store, gone, since=2)
    assert store.collect_garbage() == 1
    assert listed(store, "old") == listed(store, "removed") == [kept]
    assert ours(caplog) == []


def test_the_grace_period_can_be_set_for_one_run(make: Make) -> None:
    store = make()
    blob = put(store.storages["default"], b"x")
    waste(store, blob, since=store._backing.now())
    time.sleep(0.002)
    assert store.collect_garbage() == 0
    assert store.janitor.collect_garbage(grace_seconds=0) == 1


# -- the thread


class Hanging(MemoryBlobStore):
    """A storage whose deletions take until they are let go."""

    __slots__ = ("asked", "go", "reached")

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.reached = threading.Event()
        self.asked = 0

    def delete(self, blob_id: str) -> None:
        """Delete at last."""
        self.asked += 1
        self.reached.set()
        assert self.go.wait(30)
        super().delete(blob_id)


@pytest.fixture
def hanging(make: Make) -> Iterator[tuple[Store, Hanging]]:
    """A store whose janitor hangs in the first of two deletions."""
    storage = Hanging()
    store = make({"default": storage})
    blobs = [put(storage, b"x") for _ in range(2)]
    waste(store, *blobs)
    store.janitor.nudge()
    assert storage.reached.wait(30)
    yield store, storage
    storage.go.set()


def again(store: Store) -> None:
    """Nudge as if the time had come."""
    store.janitor._next = 0.0
    store.janitor.nudge()


def test_no_second_thread_is_started_while_one_runs(hanging: tuple[Store, Hanging]) -> None:
    store, storage = hanging
    first = store.janitor._thread
    again(store)
    assert store.janitor._thread is first
    storage.go.set()
    assert first is not None
    first.join(30)
    again(store)
    assert store.janitor._thread is not first


def test_close_waits_for_one_deletion_and_no_longer(
    hanging: tuple[Store, Hanging], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, storage = hanging
    thread = store.janitor._thread
    assert thread is not None
    monkeypatch.setattr(janitor, "CLOSE_SECONDS", 0.1)
    store.janitor.close()
    assert thread.is_alive()
    storage.go.set()
    thread.join(30)
    assert storage.asked == 1
    assert len(listed(store)) == 1


def test_after_close_nothing_starts(make: Make) -> None:
    store = make()
    store.janitor.close()
    again(store)
    assert store.janitor._thread is None


def test_a_thread_that_cannot_start_harms_no_request(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    store = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        again(store)
    assert "can't start new thread" in caplog.text
    again(store)
    assert store.janitor._thread is not None


def test_a_forked_child_has_a_janitor_of_its_own(hanging: tuple[Store, Hanging]) -> None:
    """The lock may be held, and the thread be at work, in the moment of the fork."""
    store, storage = hanging
    with store.janitor._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                storage.go = threading.Event()
                storage.go.set()
                run_in_background(store)
                code = 0
            finally:
                os._exit(code)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("The child hangs.")
    assert ended[1] == 0


def test_a_failure_in_the_background_is_logged(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(janitor: janitor.Janitor) -> None:
        raise OSError("no disk")

    store = make()
    monkeypatch.setattr(janitor.Janitor, "forget_completed", fail)
    with caplog.at_level(logging.ERROR):
        run_in_background(store)
    assert "The janitor failed" in caplog.text
