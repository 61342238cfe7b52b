"""Storages around storages, each held to the whole contract, and what each adds to it."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from s3kit.blobs import base
from s3kit.blobs.base import BLOCK
from s3kit.blobs.base import OWNER
from s3kit.blobs.base import BlobReader
from s3kit.blobs.base import BlobStore
from s3kit.blobs.base import BlobWriter
from s3kit.blobs.base import Buffer
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.filesystem import FilesystemBlobStore
from s3kit.blobs.local import LocalBlobStore
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.blobs.registry import StorageError
from s3kit.blobs.registry import open_store
from s3kit.blobs.wrappers import Mirrored
from s3kit.blobs.wrappers import Prefixed
from s3kit.blobs.wrappers import ReadOnly
from s3kit.blobs.wrappers import Throttled
from s3kit.blobs.wrappers import TokenBucket
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.store import Store
from s3kit.store.janitor import ForeignStorage
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put

FAST = 2**40
_NUMBERS = itertools.count()


class TestPrefixed(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        shared = LocalBlobStore(tmp_path)
        # What others have on the same storage must not show.
        put(shared, b"bare")
        put(Prefixed(shared, "other"), b"other")
        return Prefixed(shared, "tenant/")


class TestPrefixedTwice(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return Prefixed(Prefixed(MemoryBlobStore(), "inner"), "outer")


class TestThrottled(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return Throttled(LocalBlobStore(tmp_path), read=FAST, write=FAST)


class TestMirrored(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        far = FilesystemBlobStore(f"file://{tmp_path}/far")
        return Mirrored("both", [LocalBlobStore(tmp_path / "near"), far])


class TestQuorum(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        stores = [LocalBlobStore(tmp_path / str(number)) for number in range(2)]
        return Mirrored("most", [Broken(MemoryBlobStore()), *stores], quorum=2)

    def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(self, store: BlobStore) -> None:
        blob_id = put(store, b"bytes")
        with pytest.raises(ConnectionError):
            store.delete(blob_id)
        with pytest.raises(ConnectionError):
            store.open(blob_id, 0, 5)

    # What is not there is unknown as long as a member does not answer.

    def test_a_missing_blob_is_reported_when_it_is_opened(self, store: BlobStore) -> None:
        with pytest.raises(ConnectionError):
            store.open(new_blob_id(), 0, 1)

    def test_a_discarded_blob_never_was(self, store: BlobStore) -> None:
        blob_id = new_blob_id()
        writer = store.create(blob_id, 100)
        writer.write(b"x" * 50)
        writer.discard()
        with pytest.raises(ConnectionError):
            store.open(blob_id, 0, 50)


class TestAllAtOnce(BlobStoreContract):
    """Everything around everything, as a configuration may ask for it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return open_store(
            "all",
            {
                "mirror": [
                    {"url": f"{tmp_path}/near", "prefix": "a/b", "throttle": {"read": FAST}},
                    {"mirror": [f"file://{tmp_path}/1", {"url": f"{tmp_path}/2"}], "quorum": 1},
                ],
                "prefix": "tenant/",
                "throttle": {"read": FAST, "write": FAST},
            },
        )


class Broken:
    """A storage whose server is gone, at all times or from a certain call on."""

    def __init__(self, store: BlobStore, *, works_for: tuple[str, ...] = ()) -> None:
        self.store = store
        self.name = store.name
        self.capabilities = store.capabilities
        self.works_for = works_for

    def _work(self, what: str) -> None:
        if what not in self.works_for:
            raise ConnectionError(f"The server is gone: {what}.")

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        self._work("create")
        return _BrokenWriter(self, self.store.create(blob_id, size_hint))

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        self._work("open")
        return _BrokenReader(self, self.store.open(blob_id, start, end))

    def delete(self, blob_id: str) -> None:
        self._work("delete")
        self.store.delete(blob_id)

    def size(self, blob_id: str) -> int:
        self._work("size")
        return self.store.size(blob_id)

    def sweep(self) -> Any:
        return self.store.sweep()

    def close(self) -> None:
        self.store.close()


class _BrokenWriter:
    def __init__(self, broken: Broken, writer: BlobWriter) -> None:
        self.broken = broken
        self.writer = writer

    def write(self, data: Buffer, /) -> None:
        self.broken._work("write")
        self.writer.write(data)

    def commit(self) -> None:
        try:
            self.broken._work("commit")
        except ConnectionError:
            self.writer.discard()
            raise
        self.writer.commit()

    def discard(self) -> None:
        self.writer.discard()


class _BrokenReader:
    """Gives one block."""

    def __init__(self, broken: Broken, reader: BlobReader) -> None:
        self.broken = broken
        self.reader = reader
        self.blocks = 0

    def __iter__(self) -> _BrokenReader:
        return self

    def __next__(self) -> bytes:
        self.blocks += 1
        if self.blocks > 1:
            self.broken._work("read")
        return next(self.reader)

    def close(self) -> None:
        self.reader.close()


# Read-only


def test_a_read_only_storage_says_so_through_all_that_is_around_it() -> None:
    store = ReadOnly(MemoryBlobStore())
    assert isinstance(store, BlobStore)
    assert store.capabilities.read_only
    assert Throttled(Prefixed(store, "x")).capabilities.read_only
    assert not MemoryBlobStore().capabilities.read_only


# Prefixes


def test_a_prefix_is_a_folder_where_there_are_folders(tmp_path: Path) -> None:
    for url in (f"{tmp_path}/a b", f"file://{tmp_path}/a%20b"):
        store = open_store("part", {"url": url, "prefix": "/tenant 7/x/"})
        assert isinstance(store, LocalBlobStore)
        assert store.path == f"{tmp_path}/a b/tenant 7/x"
    store = open_store("part", {"url": "s3://bucket/", "prefix": "tenant/"})
    assert isinstance(store, FilesystemBlobStore)
    assert store._url == "s3://bucket/tenant"


def test_storages_that_share_one_by_prefix_do_not_see_one_another() -> None:
    shared = MemoryBlobStore()
    one, two = Prefixed(shared, "one/"), Prefixed(shared, "two")
    blob_id = put(one, b"1")
    with pytest.raises(FileNotFoundError):
        two.open(blob_id, 0, 1)
    two.delete(blob_id)
    assert get(Prefixed(shared, "/one"), blob_id, 0, 1) == b"1"
    assert list(two.sweep()) == []


def test_the_sweep_of_a_bare_storage_spares_what_is_there_under_prefixes(tmp_path: Path) -> None:
    """A Prefixed may be another endpoint's, which only it can judge."""
    shared = MemoryBlobStore()
    blob_id = put(Prefixed(shared, "other"), b"bytes")
    put(shared, b"orphan")
    index = Index(f"sqlite:///{tmp_path}/index.db")
    create_schema(index)
    store = Store(index, {"default": shared})
    try:
        store.janitor.mark_storages()
        assert store.janitor.sweep_orphans(orphan_seconds=-60) == 1
    finally:
        index.close()
    assert get(Prefixed(shared, "other"), blob_id, 0, 5) == b"bytes"


def test_an_empty_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Prefixed(MemoryBlobStore(), "//")


# Throttles


def test_bytes_pass_at_the_rate_and_a_second_of_them_at_once() -> None:
    now = 100.0
    slept: list[float] = []
    bucket = TokenBucket(1000, clock=lambda: now, sleep=slept.append)
    bucket.take(1000)
    assert slept == []
    bucket.take(500)
    bucket.take(500)
    assert slept == [0.5, 1.0]
    now += 10
    # Ten idle seconds are worth one.
    bucket.take(1500)
    assert slept == [0.5, 1.0, 0.5]


def test_the_threads_of_a_process_share_one_rate() -> None:
    # From the very beginning: while a busy machine keeps us waiting, bytes come to be free again.
    began = time.monotonic()
    store = Throttled(MemoryBlobStore(), write=1_000_000)
    put(store, bytes(1_000_000))
    threads = [threading.Thread(target=put, args=(store, bytes(100_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.35 < time.monotonic() - began < 20


def test_reading_is_slowed_block_by_block_and_sleeps_instead_of_spinning(tmp_path: Path) -> None:
    store = Throttled(LocalBlobStore(tmp_path), read=2_000_000)
    blob_id = put(store, bytes(3_000_000))
    cpu, began = time.thread_time(), time.monotonic()
    assert len(get(store, blob_id, 0, 3_000_000)) == 3_000_000
    assert 0.45 < time.monotonic() - began < 20
    assert time.thread_time() - cpu < 0.4


def test_what_is_not_limited_is_not_slowed() -> None:
    store = Throttled(MemoryBlobStore(), read=1)
    began = time.monotonic()
    put(store, bytes(1_000_000))
    assert time.monotonic() - began < 20


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    bucket = TokenBucket(1)
    bucket._lock.acquire()
    bucket._pid = os.getppid()
    bucket.take(1)


# Mirrors


def member_count(stores: list[BlobStore], blob_id: str) -> int:
    found = 0
    for store in stores:
        try:
            store.size(blob_id)
            found += 1
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("fails_at", ["create", "write", "commit"])
@pytest.mark.parametrize("broken_first", [True, False])
def test_a_blob_is_on_all_members_or_on_none(fails_at: str, broken_first: bool) -> None:
    works = tuple({"create", "write", "commit", "delete"} - {fails_at})
    near, far = MemoryBlobStore(), MemoryBlobStore()
    stores: list[BlobStore] = [Broken(far, works_for=works), near]
    store = Mirrored("both", stores if broken_first else stores[::-1])
    blob_id = new_blob_id()
    with pytest.raises(ConnectionError):
        writer = store.create(blob_id, 5)
        try:
            writer.write(b"bytes")
            writer.commit()
        finally:
            writer.discard()
    assert member_count([near, far], blob_id) == 0
    assert list(store.sweep()) == []


@pytest.mark.parametrize("fails_at", ["create", "write", "commit"])
def test_a_quorum_goes_on_without_a_member_that_fails(
    fails_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    works = tuple({"create", "write", "commit"} - {fails_at})
    members: list[BlobStore] = [MemoryBlobStore(), MemoryBlobStore(), MemoryBlobStore()]
    broken = Broken(members[1], works_for=works)
    store = Mirrored("most", [members[0], broken, members[2]], quorum=2)
    with caplog.at_level(logging.WARNING, "s3kit.blobs"):
        blob_id = put(store, b"by", b"tes")
    assert "will not have blob" in caplog.text
    assert member_count(members, blob_id) == 2
    assert [get(members[place], blob_id, 0, 5) for place in (0, 2)] == [b"bytes", b"bytes"]


def test_a_quorum_that_is_not_reached_is_a_failure() -> None:
    members: list[BlobStore] = [MemoryBlobStore(), MemoryBlobStore(), MemoryBlobStore()]
    lost = [Broken(each, works_for=("create", "write", "delete")) for each in members[1:]]
    store = Mirrored("most", [members[0], *lost], quorum=2)
    blob_id = new_blob_id()
    writer = store.create(blob_id, None)
    writer.write(b"bytes")
    with pytest.raises(ConnectionError):
        writer.commit()
    assert member_count(members, blob_id) == 0


def test_a_blob_is_read_from_the_first_member_that_has_it() -> None:
    near, far = MemoryBlobStore(), MemoryBlobStore()
    store = Mirrored("both", [near, far])
    blob_id = put(far, b"bytes")
    assert store.size(blob_id) == 5
    assert get(store, blob_id, 1, 4) == b"yte"


def test_a_reader_goes_on_with_the_next_member_in_the_middle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    near = LocalBlobStore(tmp_path / "near")
    store = Mirrored(
        "both",
        [Broken(near, works_for=("create", "write", "commit", "open")), MemoryBlobStore()],
    )
    data = os.urandom(5 * BLOCK + 3)
    blob_id = put(store, data)
    with caplog.at_level(logging.WARNING, "s3kit.blobs"):
        assert get(store, blob_id, 7, len(data) - 1) == data[7:-1]
    assert caplog.text.count("from its next member") == 1


def test_a_member_that_lost_the_end_of_a_blob_is_made_up_for(tmp_path: Path) -> None:
    near = LocalBlobStore(tmp_path / "near")
    store = Mirrored("both", [near, MemoryBlobStore()])
    data = os.urandom(3 * BLOCK)
    blob_id = put(store, data)
    os.truncate(tmp_path / "near" / blob_id[:2] / blob_id, BLOCK)
    assert get(store, blob_id, 0, len(data)) == data


def test_a_member_that_does_not_answer_does_not_make_a_blob_missing() -> None:
    store = Mirrored("both", [MemoryBlobStore(), Broken(MemoryBlobStore())])
    for look in (lambda: store.size(new_blob_id()), lambda: store.open(new_blob_id(), 0, 1)):
        with pytest.raises(ConnectionError):
            look()


def test_a_blob_is_deleted_wherever_it_can_be_and_the_rest_is_tried_again() -> None:
    near, far = MemoryBlobStore(), MemoryBlobStore()
    blob_id = put(Mirrored("both", [near, far]), b"bytes")
    with pytest.raises(ConnectionError):
        Mirrored("both", [Broken(near), far]).delete(blob_id)
    assert member_count([near, far], blob_id) == 1
    Mirrored("both", [near, far]).delete(blob_id)
    assert member_count([near, far], blob_id) == 0


def test_the_sweep_of_a_mirror_names_each_blob_of_any_member_once() -> None:
    near, far = MemoryBlobStore(), MemoryBlobStore()
    store = Mirrored("both", [near, far])
    wanted = {put(store, b"both"), put(near, b"near"), put(far, b"far")}
    found = [blob_id for blob_id, _ in store.sweep()]
    assert sorted(found) == sorted(wanted)


def test_a_mirror_can_do_what_its_weakest_quorum_can(tmp_path: Path) -> None:
    durable, brief = LocalBlobStore(tmp_path), MemoryBlobStore()
    assert Mirrored("m", [durable, durable]).capabilities.durable
    # All members have a blob, so one that is durable has it.
    assert Mirrored("m", [durable, brief]).capabilities.durable
    assert not Mirrored("m", [durable, brief], quorum=1).capabilities.durable
    assert not Mirrored("m", [durable, brief]).capabilities.shared


@pytest.mark.parametrize(
    ("stores", "quorum"),
    [
        ([MemoryBlobStore()], None),
        ([MemoryBlobStore(), MemoryBlobStore()], 0),
        ([MemoryBlobStore(), MemoryBlobStore()], 3),
        ([MemoryBlobStore(), ReadOnly(MemoryBlobStore())], None),
    ],
)
def test_a_mirror_that_cannot_work_is_refused(stores: list[BlobStore], quorum: Any) -> None:
    with pytest.raises(ValueError):
        Mirrored("m", stores, quorum=quorum)


# The mark that says which index a storage belongs to


def wrapped(kind: str, folder: Path) -> BlobStore:
    specs: dict[str, Mapping[str, Any]] = {
        "prefixed": {"use": f"{__name__}:Shelf", "prefix": "tenant"},
        "throttled": {"url": f"{folder}/t", "throttle": {"write": FAST}},
        "mirrored": {"mirror": [f"{folder}/a", f"{folder}/b"]},
        "quorum": {"mirror": [f"{folder}/a", f"{folder}/b"], "quorum": 1},
    }
    return open_store("default", specs[kind])


class Shelf(LocalBlobStore):
    """A third party's storage."""

    def __init__(self, name: str) -> None:
        super().__init__(os.environ["SHELF"], name)


@pytest.mark.parametrize("kind", ["prefixed", "throttled", "mirrored", "quorum"])
def test_the_mark_of_an_index_works_through_every_wrapper(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    indexes = [Index(f"sqlite:///{tmp_path}/{number}.db") for number in range(2)]
    for index in indexes:
        create_schema(index)
    try:
        store = wrapped(kind, tmp_path)
        put(store, b"orphan")
        mine, other = (Store(index, {"default": store}) for index in indexes)
        mine.janitor.mark_storages()
        assert base.is_blob_id(get(store, OWNER, 0, 32).decode())
        with pytest.raises(ForeignStorage):
            other.janitor.sweep_orphans(orphan_seconds=-60)
        assert len(list(store.sweep())) == 1
        assert mine.janitor.sweep_orphans(orphan_seconds=-60) == 1
        assert list(store.sweep()) == []
        assert len(get(store, OWNER, 0, 32)) == 32
    finally:
        for index in indexes:
            index.close()


def test_a_mirror_of_storages_of_two_indexes_is_not_swept(tmp_path: Path) -> None:
    """The second member's blobs would all be orphans to the first one's index."""
    index = Index(f"sqlite:///{tmp_path}/index.db")
    create_schema(index)
    near, far = MemoryBlobStore(), MemoryBlobStore()
    Store(index, {"default": near}).janitor.mark_storages()
    writer = far.create(OWNER)
    writer.write(b"f" * 32)
    writer.commit()
    put(far, b"another's")
    store = Store(index, {"default": Mirrored("both", [near, far])})
    with pytest.raises(OSError, match="different indexes"):
        store.janitor.sweep_orphans(orphan_seconds=-60)
    assert len(list(far.sweep())) == 1
    index.close()


# The configuration


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"url": "memory://", "prefx": "a"}, "Did you mean 'prefix'"),
        ({"url": "memory://", "throtle": {}}, "Did you mean 'throttle'"),
        ({"mirrors": ["memory://", "memory://"]}, "Did you mean 'mirror'"),
        ({"url": "memory://", "throttle": {"raed": 1}}, "Did you mean 'read'"),
        ({"url": "memory://", "throttle": 5}, "bytes per second"),
        ({"url": "memory://", "throttle": {"read": 0}}, "read is 0"),
        ({"url": "memory://", "throttle": {"write": True}}, "write is True"),
        ({"url": "memory://", "prefix": ""}, "prefix"),
        ({"url": "memory://", "prefix": "a/../b"}, "prefix"),
        ({"url": "memory://", "prefix": "a//b"}, "prefix"),
        ({"url": "s3://b", "prefix": "x::y"}, "prefix"),
        ({"url": "memory://", "prefix": 7}, "prefix"),
        ({"mirror": "memory://"}, "no list"),
        ({"mirror": ["memory://"]}, "at least two"),
        ({"mirror": ["memory://", "memory://"], "quorum": 3}, "quorum"),
        ({"mirror": ["memory://", "memory://"], "quorum": "2"}, "whole number"),
        ({"mirror": ["memory://", "memory://"], "options": {"x": 1}}, "members"),
        ({"mirror": ["memory://", "memory://"], "url": "memory://"}, "one of them only"),
        ({"mirror": ["memory://", {"url": "memory://", "read_only": True}]}, "read-only"),
        ({"mirror": ["memory://", {"ulr": "memory://"}]}, "Did you mean 'url'"),
        ({"mirror": ["/x/y", {"url": "/x", "prefix": "y"}]}, "same place"),
        ({"url": "memory://", "quorum": 1}, "no mirror"),
    ],
)
def test_a_wrong_description_is_refused_with_what_would_mend_it(
    spec: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(StorageError) as caught:
        open_store("cold", spec)
    assert words in str(caught.value)
    assert "'cold" in str(caught.value)


def test_the_configuration_knows_what_is_in_a_mirror() -> None:
    both = {"mirror": ["memory://", {"url": "/srv/x", "prefix": "a"}]}
    assert Config(index="sqlite:////srv/x.db", storages={"default": both}).in_memory
    with pytest.raises(ConfigError, match=r'member 2: unknown setting "ulr".*"url"'):
        Config(storages={"default": {"mirror": ["memory://", {"ulr": "x"}]}})
    with pytest.raises(ConfigError, match="same place"):
        Config(storages={"default": "/srv/x/a", "part": {"url": "/srv/x", "prefix": "a"}})
    parts = {name: {"url": "/srv/x", "prefix": name} for name in ("default", "part")}
    assert Config(storages=parts).storages == parts
