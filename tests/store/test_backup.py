"""Backup and restore: one moment of an endpoint in use, whole, on every database and storage."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.blobs.base import OWNER
from s3kit.blobs.base import BlobStore
from s3kit.blobs.local import LocalBlobStore
from s3kit.blobs.place import LocalPlace
from s3kit.blobs.place import RemotePlace
from s3kit.blobs.place import open_place
from s3kit.config import Config
from s3kit.errors import NoSuchBucket
from s3kit.index import garbage
from s3kit.index import identity
from s3kit.index import snapshot as snapshot_rows
from s3kit.index.schema import create_schema
from s3kit.index.schema import metadata
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.profile import Profile
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store import WantedPart
from s3kit.store import backup_copying
from s3kit.store import backup_restore
from s3kit.store import backup_runs
from s3kit.store import janitor
from s3kit.store.backup_blobs import transfer
from s3kit.store.backup_place import encode
from s3kit.store.backup_place import sha256_of
from s3kit.store.backup_place import snapshots_at
from s3kit.store.backup_result import BackupError
from s3kit.store.backup_result import Busy
from s3kit.store.backup_result import Result
from s3kit.testing.blob_contract import put as put_blob
from s3kit.testing.live_server import LiveServer
from s3kit.wire.checksums import BodyReader
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.file_servers import DavServer
from tests.file_servers import SshServer
from tests.file_servers import dav_server
from tests.file_servers import ssh_server
from tests.waiting import eventually

DATA = b"some bytes" * 30

Make = Callable[..., Store]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a Store on ``{tmp_path}/{name}``, its index in a fresh database of the kind."""
    with ExitStack() as stack:

        def make(name: str, kind: str = "sqlite", **options: Any) -> Store:
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            url = f"sqlite:///{folder}/index.db"
            if kind != "sqlite":
                url = stack.enter_context(fresh_database(kind, folder))
            index = Index(url, durability="relaxed")
            create_schema(index)
            storages: dict[str, BlobStore] = {
                each: LocalBlobStore(folder / str(number), each, durability="relaxed")
                for number, each in enumerate(("default", "Far away/ü"))
            }
            options = {"inline_threshold": 64, **options}
            store = Store(
                index,
                storages,
                place=(("far-*", "Far away/ü"),),
                profile=Profile(name="tiny", min_part=0),
                **options,
            )
            stack.callback(store.close)
            return store

        yield make


def bucket_of(store: Store, name: str = "photos") -> Bucket:
    try:
        return store.buckets.get(name)
    except NoSuchBucket:
        return store.buckets.create(name, "alice")


def put(store: Store, key: bytes, data: bytes = DATA, bucket: str = "photos") -> None:
    body = BodyReader(io.BytesIO(data), len(data), compute="CRC32")
    attributes = Attributes("alice", {"x-amz-meta-a": "b", "content-type": "text/ü"})
    store.objects.put(bucket_of(store, bucket), key, body, attributes)


def put_in_parts(store: Store, key: bytes, *pieces: bytes) -> None:
    bucket = bucket_of(store)
    upload = store.multipart.create(bucket, key, Attributes("alice"))
    wanted = []
    for number, data in enumerate(pieces, 1):
        body = BodyReader(io.BytesIO(data), len(data), compute="CRC32")
        wanted.append(
            WantedPart(number, store.multipart.put_part(bucket, upload, number, body).etag)
        )
    store.multipart.complete(bucket, key, upload.id, wanted)


def fill(store: Store) -> None:
    """Every way in which bytes can be stored."""
    put(store, b"inline", b"small")
    put(store, b"empty", b"")
    put(store, b"whole")
    put(store, "ü/\0\xff//".encode("latin-1"), b"x" * 200_000)
    put(store, b"elsewhere", bucket="far-away")
    put_in_parts(store, b"parts", DATA, b"", DATA[:7])
    bucket = bucket_of(store)
    for source in (b"whole", b"parts", b"inline"):
        version = store.objects.get(bucket, source)
        store.copying.copy(version, bucket, source + b"-copy", Attributes("bob"))
    store.objects.set_tags(bucket, b"whole", None, (("colour", "ü"), ("b", "")))
    store.buckets.put_setting(bucket, "cors", b"\0document\xff")
    upload = store.multipart.create(bucket, b"open", Attributes("alice"))
    store.multipart.put_part(bucket, upload, 2, BodyReader(io.BytesIO(DATA), len(DATA)))
    put(store, b"overwritten")
    put(store, b"overwritten", b"x" * 100)


def rows_of(store: Store) -> dict[str, list[Any]]:
    """Every row that a snapshot is to hold."""
    found: dict[str, list[Any]] = {}

    def work(connection: Any) -> None:
        for table in snapshot_rows.TABLES:
            found[table.name] = [
                row for page in snapshot_rows.rows(connection, table) for row in page
            ]

    store.index.read(work)
    return found


def read_all(store: Store, names: tuple[str, ...] = ("photos", "far-away")) -> dict[Any, bytes]:
    """Every object's bytes, as its readers get them."""
    found = {}
    for name in names:
        bucket = bucket_of(store, name)
        after = b""
        while True:
            page = store.list_keys(bucket, prefix=b"", delimiter=b"", after=after, limit=3)
            for key, *facts in page.entries:
                version = store.objects.get(bucket, key)
                data = b"".join(store.objects.read(version, 0, version.size))
                found[name, key, tuple(facts)] = data
                after = key
            if not page.truncated:
                break
    return found


def restore(store: Store, place: Any, name: str | None = None) -> Result:
    found = snapshots_at(place)
    chosen = found[-1] if name is None else next(each for each in found if each.name == name)
    return store.restore(place, chosen).run()


@pytest.fixture
def place(tmp_path: Path) -> LocalPlace:
    return LocalPlace(str(tmp_path / "backups"))


# -- there and back


@pytest.mark.parametrize(
    ("one", "other"),
    [("sqlite", kind) for kind in KINDS] + [(kind, "sqlite") for kind in KINDS[1:]],
)
def test_what_is_restored_is_what_was_there_on_any_database(
    make: Make, place: LocalPlace, one: str, other: str
) -> None:
    source = make("source", one)
    fill(source)
    text = "an annotation, ü".encode()
    noted = source.objects.get(bucket_of(source), b"whole")
    etag = hashlib.md5(text).hexdigest()
    source.annotations.put(bucket_of(source), noted, "note.ü", text, etag=etag)
    told: list[int] = []
    begun: list[int] = []
    result = source.backup(place, begin=begun.append, advance=told.append).run()
    assert (result.copied, result.kept, result.damaged) == (result.blobs, 0, 0) == (8, 0, 0)
    assert begun == [sum(told)] == [result.bytes]

    target = make("target", other)
    restored = restore(target, place)
    assert (restored.blobs, restored.bytes, restored.inline) == (8, result.bytes, result.inline)
    assert rows_of(target) == rows_of(source)
    assert read_all(target) == read_all(source)
    noted = target.objects.get(bucket_of(target), b"whole")
    assert target.annotations.get(noted, "note.ü")[1] == text
    assert list(target.scrub().run()) == []


def test_the_restored_index_is_another_one_and_can_sweep_its_storages(
    make: Make, place: LocalPlace
) -> None:
    source = make("source", orphan_seconds=0)
    fill(source)
    source.sweep_orphans()
    source.backup(place).run()
    target = make("target", orphan_seconds=0)
    restore(target, place)
    assert source.index.read(identity.get) != target.index.read(identity.get)
    assert rows_of(target)["s3kit_versions"]
    orphan = put_blob(target.storages["default"], b"left behind")
    time.sleep(0.01)
    assert target.sweep_orphans() == 1
    with pytest.raises(FileNotFoundError):
        target.storages["default"].size(orphan)
    # The old endpoint, led to the restored storages by mistake, removes nothing there.
    lost = put_blob(target.storages["default"], b"being written")
    stray = Store(source.index, target.storages, orphan_seconds=0)
    with pytest.raises(janitor.ForeignStorage):
        stray.sweep_orphans()
    assert target.storages["default"].size(lost) == 13


def test_numbers_that_were_given_do_not_come_back(make: Make, place: LocalPlace) -> None:
    """Events and caches elsewhere may still name a bucket by its number."""
    source = make("source")
    put(source, b"k")
    gone = source.buckets.create("gone", "alice")
    source.buckets.delete(gone)
    for _ in range(3):
        put(source, b"removed")
        source.objects.delete(bucket_of(source), b"removed")
    last = source.index.read(snapshot_rows.last_numbers)
    assert last == {"s3kit_buckets": gone.id, "s3kit_outbox": 0, "s3kit_versions": 4}
    source.backup(place).run()
    for kind in KINDS:
        target = make(f"target-{kind}", kind)
        restore(target, place)
        assert target.buckets.create("new", "alice").id > gone.id
        put(target, b"new")
        assert target.objects.get(bucket_of(target), b"new").seq > 4


def test_an_endpoint_without_anything_can_be_backed_up_and_restored(
    make: Make, place: LocalPlace
) -> None:
    assert make("source").backup(place).run().blobs == 0
    target = make("target")
    assert restore(target, place).blobs == 0
    assert rows_of(target)["s3kit_buckets"] == []


# -- what is at the destination


def test_the_list_is_one_that_sha256sum_checks(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    fill(source)
    name = source.backup(place).run().name
    folder = tmp_path / "backups" / "snapshots" / name
    check = ["sha256sum", "--quiet", "--strict", "-c", "blobs.sha256"]
    assert subprocess.run(check, cwd=folder, check=False).returncode == 0
    (sums,) = (tmp_path / "backups" / "sums" / encode("Far away/ü")).iterdir()
    blobs = tmp_path / "backups" / "blobs" / encode("Far away/ü") / sums.stem
    check = ["sha256sum", "--quiet", "--strict", "-c", str(sums)]
    assert subprocess.run(check, cwd=blobs, check=False).returncode == 0

    manifest = json.loads((folder / "manifest.json").read_text())
    assert (
        set(manifest["files"])
        == {"index.db", "blobs.sha256"}
        == {path.name for path in folder.iterdir() if path.name != "manifest.json"}
    )
    assert manifest["storages"] == ["Far away/ü", "default"]
    assert manifest["counts"]["s3kit_buckets"] == 2
    assert manifest["damaged"] == 0


def test_only_the_owner_can_read_a_backup(make: Make, place: LocalPlace, tmp_path: Path) -> None:
    source = make("source")
    fill(source)
    old = os.umask(0)
    try:
        source.backup(place).run()
    finally:
        os.umask(old)
    modes = [path.stat().st_mode & 0o077 for path in (tmp_path / "backups").rglob("*")]
    assert set(modes) == {0}


def test_a_second_backup_copies_only_what_is_new(make: Make, place: LocalPlace) -> None:
    source = make("source")
    fill(source)
    first = source.backup(place).run()
    before = rows_of(source)
    put(source, b"new")
    source.objects.delete(bucket_of(source), b"whole")
    second = source.backup(place).run()
    assert (second.copied, second.kept) == (1, first.blobs)
    # The first is as good as it was.
    target = make("target")
    restore(target, place, first.name)
    assert rows_of(target) == before
    assert list(target.scrub().run()) == []
    assert [each.name for each in snapshots_at(place)] == [first.name, second.name]


def test_old_backups_are_removed_with_the_bytes_that_only_they_had(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    fill(source)
    for number in range(3):
        put(source, b"changing", b"%d" % number * 100)
        put(source, b"changing", b"%d" % number * 100, "far-away")
        source.backup(place).run()
    unfinished = tmp_path / "backups" / "snapshots" / "20000101T000000Z-aaaa"
    unfinished.mkdir()
    work = source.backup(place)
    assert work.prune(3) == 0
    assert not unfinished.exists()
    assert work.prune(1) == 4
    (left,) = snapshots_at(place)
    target = make("target")
    restored = restore(target, place)
    assert restored.blobs == left.manifest["blobs"]
    assert read_all(target) == read_all(source)
    files = [path for path in (tmp_path / "backups" / "blobs").rglob("*") if path.is_file()]
    assert len(files) == restored.blobs
    assert source.backup(place).run().copied == 0


def test_a_backup_over_that_of_another_endpoint_is_refused(make: Make, place: LocalPlace) -> None:
    make("source").backup(place).run()
    with pytest.raises(BackupError, match="holds the backups of another index"):
        make("other").backup(place).run()


def test_a_folder_with_other_things_in_it_is_no_destination(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "blobs").mkdir()
    with pytest.raises(BackupError, match=r"is not empty .blobs., and holds no backups"):
        make("source").backup(place).run()


def test_two_backups_to_one_place_do_not_run_at_once(make: Make, place: LocalPlace) -> None:
    backup = make("source").backup(place)
    with place.alone():
        for run in (backup.run, lambda: backup.prune(1)):
            with pytest.raises(Busy, match=r"Another backup to .* is running"):
                run()


# -- while requests run


def test_bytes_that_become_garbage_are_held_until_they_are_copied(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grace period of a second, a collector that never rests, and a copy that takes three.

    The clock waits for whoever holds them, which a busy machine may keep from it for long.
    """
    now = 1_800_000_000.0
    source = make("source", grace_seconds=1, clock=lambda: now)
    for number in range(30):
        put(source, b"%d" % number, b"%d" % number * 100)
    before, bytes_before = rows_of(source), read_all(source, ("photos",))
    stop = threading.Event()
    collected: list[int] = []

    def collect() -> None:
        while not stop.wait(0.05):
            collected.append(source.collect_garbage())

    def is_held() -> bool:
        since = int((now - 0.5) * 1000)
        return not source.index.read(lambda c: garbage.due(c, "default", since, 1))

    def slowly(*arguments: Any) -> None:
        nonlocal now
        # The first one copied comes after the snapshot: all of it is overwritten now.
        if not slow:
            for number in range(30):
                put(source, b"%d" % number, b"later")
        slow.append(now)
        now += 0.1
        eventually(is_held)
        transfer(*arguments)

    slow: list[float] = []
    monkeypatch.setattr(backup_copying, "transfer", slowly)
    thread = threading.Thread(target=collect)
    thread.start()
    try:
        result = source.backup(place).run()
        assert (result.blobs, result.damaged) == (30, 0)
        assert len(slow) == 30, "it was done at the first attempt"
        assert slow[-1] - slow[0] > 2.5
        looks = len(collected)
        eventually(lambda: len(collected) > looks)
        assert sum(collected) == 0
        # Then all goes its way.
        now += 2
        eventually(lambda: sum(collected) == 30)
    finally:
        stop.set()
        thread.join()
    target = make("target")
    restore(target, place)
    assert rows_of(target) == before
    assert read_all(target, ("photos",)) == bytes_before


def test_what_was_removed_without_a_grace_period_costs_another_snapshot(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    for number in range(20):
        put(source, b"%d" % number)
    transferred = 0

    def interfere(*arguments: Any) -> None:
        nonlocal transferred
        transferred += 1
        if transferred == 5:
            put(source, b"7", b"y" * 100)
            for number in range(10, 20):
                source.objects.delete(bucket_of(source), b"%d" % number)
            source.janitor.collect_garbage(now=2**60, grace_seconds=0)
        transfer(*arguments)

    monkeypatch.setattr(backup_copying, "transfer", interfere)
    result = source.backup(place).run()
    assert (result.blobs, result.damaged) == (10, 0)
    assert result.kept > 0
    target = make("target")
    restore(target, place)
    assert rows_of(target) == rows_of(source)
    assert list(target.scrub().run()) == []


def test_whoever_removes_everything_all_the_time_is_told_so(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    write = snapshot_rows.write_snapshot

    def overwrite_after(*arguments: Any) -> Any:
        put(source, b"k", os.urandom(100))
        numbers = write(*arguments)
        put(source, b"k", os.urandom(100))
        source.janitor.collect_garbage(now=2**60, grace_seconds=0)
        return numbers

    monkeypatch.setattr(snapshot_rows, "write_snapshot", overwrite_after)
    with pytest.raises(BackupError, match="faster than they can be copied"):
        source.backup(place).run()
    assert snapshots_at(place) == []


def test_what_moves_to_another_storage_meanwhile_is_read_there(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    put(source, b"k")
    write = snapshot_rows.write_snapshot

    def move_after(*arguments: Any) -> Any:
        numbers = write(*arguments)
        near, far = source.storages["default"], source.storages["Far away/ü"]
        (blob,) = (blob for blob, _ in near.sweep())
        writer = far.create(blob)
        writer.write(DATA)
        writer.commit()
        near.delete(blob)
        with source.index.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE s3kit_contents SET storage = 'Far away/ü'")
        return numbers

    monkeypatch.setattr(snapshot_rows, "write_snapshot", move_after)
    assert source.backup(place).run().damaged == 0
    target = make("target")
    restore(target, place)
    assert read_all(target, ("photos",)) == read_all(source, ("photos",))


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_is_of_one_moment(make: Make, place: LocalPlace, kind: str) -> None:
    """Two buckets are written in turns: whatever the moment, they differ by one write at most."""
    source = make("source", kind)
    stop = threading.Event()
    number = 0

    def write() -> None:
        nonlocal number
        while not stop.is_set():
            for name in ("photos", "far-away"):
                put(source, b"%06d" % (number + 1), b"x" * (number % 200), name)
            number += 1

    for name in ("photos", "far-away"):
        for number in range(300):
            put(source, b"0-%06d" % number, b"x", name)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for attempt in range(2):
            before = number
            eventually(lambda: number > before or not thread.is_alive())  # noqa: B023
            source.backup(place).run()
            target = make(f"target-{attempt}")
            restore(target, place)
            found = read_all(target)
            photos, far = (
                sorted(key for name, key, _ in found if name == wanted)
                for wanted in ("photos", "far-away")
            )
            assert len(photos) > 300
            assert len(photos) - len(far) in (0, 1)
            assert photos[: len(far)] == far
            assert list(target.scrub().run()) == []
    finally:
        stop.set()
        thread.join()


# -- where there are no locks


@pytest.fixture
def remote(tmp_path: Path) -> RemotePlace:
    """A folder, through fsspec: nobody is kept out."""
    return RemotePlace(f"local://{tmp_path}/remote", {})


def interfere_at_first_copy(
    monkeypatch: pytest.MonkeyPatch, interfere: Callable[[], object]
) -> None:
    done: list[bool] = []

    def transfer_after(*arguments: Any) -> None:
        if not done:
            done.append(True)
            interfere()
        transfer(*arguments)

    monkeypatch.setattr(backup_copying, "transfer", transfer_after)


def test_nothing_is_removed_that_a_backup_of_another_machine_counts_on(
    make: Make, remote: RemotePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    for number in range(20):
        put(source, b"%d" % number, b"%d" % number * 100)
    source.backup(remote).run()
    put(source, b"new")
    before = rows_of(source)

    def interfere() -> None:
        for number in range(20):
            source.objects.delete(bucket_of(source), b"%d" % number)
        other = source.backup(RemotePlace(remote.url, {}))
        others.append(other.run().name)
        with pytest.raises(Busy, match="were not removed, for another backup is running"):
            other.prune(1)

    others: list[str] = []
    interfere_at_first_copy(monkeypatch, interfere)
    result = source.backup(remote).run()
    assert (result.kept, result.damaged) == (20, 0)
    target = make("target")
    assert restore(target, remote, result.name).damaged == 0
    assert rows_of(target) == before
    # Nothing is left of the markers, and now it is done.
    assert remote.names("running") == []
    assert others
    assert source.backup(remote).prune(1) == 20


def test_a_backup_waits_for_a_removal_of_old_ones_and_gives_up_in_time(
    make: Make, remote: RemotePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    put(source, b"k")
    source.backup(remote).run()
    monkeypatch.setattr(backup_runs, "PATIENCE_SECONDS", 0.5)
    store_of = remote.blobs
    told: list[str] = []

    def slowly(name: str) -> BlobStore:
        # In the midst of a removal.
        with pytest.raises(Busy, match="are being removed") as raised:
            source.backup(RemotePlace(remote.url, {})).run()
        told.append(str(raised.value))
        return store_of(name)

    monkeypatch.setattr(remote, "blobs", slowly)
    source.backup(remote).prune(1)
    assert len(told) == 1
    assert source.backup(RemotePlace(remote.url, {})).run().kept == 1


def test_the_marker_of_a_run_that_was_killed_grows_old_and_that_of_a_long_one_does_not(
    make: Make, remote: RemotePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    passed = 0
    clock = SimpleNamespace(
        time=lambda: time.time() + passed,
        time_ns=lambda: time.time_ns() + passed * 10**9,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )
    monkeypatch.setattr(backup_runs, "time", clock)
    monkeypatch.setattr(backup_runs, "REFRESH_SECONDS", 0.1)
    source = make("source")
    put(source, b"k")

    def left_since(moment: int) -> bool:
        moments = [each.rpartition("-")[2] for each in remote.names("running")]
        return any(each.isdigit() and int(each) >= moment for each in moments)

    def interfere() -> None:
        nonlocal passed
        # Twice as long as the marker of one that was killed counts.
        for _ in range(3):
            passed += 600
            moment = clock.time_ns() // 1_000_000
            eventually(lambda: left_since(moment))  # noqa: B023
        # For a moment there are three of them.
        eventually(lambda: len(remote.names("running")) == 2)
        with pytest.raises(Busy):
            source.backup(RemotePlace(remote.url, {})).prune(1)
        # Beside it, one that was killed.
        remote.write(f"running/backup-dead-{int(clock.time() * 1000)}", str(empty))

    interfere_at_first_copy(monkeypatch, interfere)
    source.backup(remote).run()
    with pytest.raises(Busy):
        source.backup(remote).prune(1)
    passed += 901
    assert source.backup(remote).prune(1) == 0
    assert remote.names("running") == []


def test_what_vanishes_at_the_destination_while_a_backup_runs_is_copied_again(
    make: Make, remote: RemotePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    for number in range(5):
        put(source, b"%d" % number, b"%d" % number * 100)
    source.backup(remote).run()
    put(source, b"new")

    def interfere() -> None:
        shutil.rmtree(tmp_path / "remote" / "blobs")

    interfere_at_first_copy(monkeypatch, interfere)
    result = source.backup(remote).run()
    target = make("target")
    restored = restore(target, remote, result.name)
    assert (restored.copied, restored.damaged) == (6, 0)


def test_a_destination_where_copies_do_not_stay_is_told(
    make: Make, remote: RemotePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    put(source, b"k")
    refresh = backup_runs.Marker.refresh

    def remove_before(marker: Any) -> None:
        shutil.rmtree(tmp_path / "remote" / "blobs", ignore_errors=True)
        refresh(marker)

    monkeypatch.setattr(backup_runs.Marker, "refresh", remove_before)
    with pytest.raises(BackupError, match="is removed there by somebody else, such as blobs/def"):
        source.backup(remote).run()
    assert snapshots_at(remote) == []


# -- damage, interruptions


def files_of(store: Store, at: Path) -> list[Path]:
    return sorted(path for path in at.glob("??/*") if path.name != OWNER)


def test_what_is_damaged_is_named_and_all_the_rest_is_backed_up(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    for number in range(4):
        put(source, b"%d" % number, b"%d" % number * 100)
    gone, changed, short, sound = files_of(source, tmp_path / "source" / "0")
    gone.unlink()
    changed.write_bytes(b"x" * 100)
    os.truncate(short, 50)
    result = source.backup(place).run()
    assert (result.blobs, result.copied, result.damaged) == (4, 1, 3)
    assert {each.blob: each.problem[:11] for each in result.damages} == {
        gone.name: "there is no",
        changed.name: "the MD5 is ",
        short.name: "50 bytes ar",
    }
    target = make("target")
    restored = restore(target, place)
    assert (restored.copied, restored.damaged) == (1, 3)
    assert sorted(finding.kind for finding in target.scrub().run()) == ["missing"] * 3
    assert files_of(target, tmp_path / "target" / "0")[0].name == sound.name


def test_a_backup_that_broke_off_is_taken_up_by_the_next(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    for number in range(40):
        put(source, b"%d" % number)
    with monkeypatch.context() as patch:
        count = 0

        def fail(*arguments: Any) -> None:
            nonlocal count
            count += 1
            if count == 20:
                raise OSError(28, "No space left on device")
            transfer(*arguments)

        patch.setattr(backup_copying, "transfer", fail)
        with pytest.raises(OSError, match="No space"):
            source.backup(place).run()
    assert snapshots_at(place) == []
    result = source.backup(place).run()
    assert (result.copied, result.kept) == (21, 19)


def test_half_a_blob_of_a_killed_backup_is_copied_again(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    """A kill leaves blobs that no list names yet: whole ones are kept, half ones are not."""
    source = make("source")
    for number in range(4):
        put(source, b"%d" % number, b"%d" % number * 100)
    source.backup(place).run()
    shutil.rmtree(tmp_path / "backups" / "sums")
    first, second, *_ = files_of(source, tmp_path / "backups" / "blobs" / "default")
    os.truncate(first, 10)
    second.write_bytes(b"z" * 100)
    (tmp_path / "backups" / "staging-left").mkdir()
    result = source.backup(place).run()
    assert (result.copied, result.kept) == (2, 2)
    assert not (tmp_path / "backups" / "staging-left").exists()
    target = make("target")
    assert restore(target, place).damaged == 0


def test_verifying_finds_what_rotted_at_the_destination(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    for number in range(3):
        put(source, b"%d" % number)
    source.backup(place).run()
    rotten, lost, _ = files_of(source, tmp_path / "backups" / "blobs" / "default")
    rotten.write_bytes(b"z" * len(DATA))
    lost.unlink()
    assert source.backup(place).run().copied == 1
    assert source.backup(place, verify=True).run().copied == 1
    assert rotten.read_bytes() == DATA


def test_restoring_rotten_bytes_says_so_and_restores_the_rest(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    for number in range(3):
        put(source, b"%d" % number)
    source.backup(place).run()
    rotten, lost, _ = files_of(source, tmp_path / "backups" / "blobs" / "default")
    rotten.write_bytes(b"z" * len(DATA))
    lost.unlink()
    target = make("target")
    result = restore(target, place)
    assert (result.copied, result.damaged) == (1, 2)
    assert {each.blob for each in result.damages} == {rotten.name, lost.name}
    assert [each.kind for each in target.scrub().run()] == ["missing", "missing"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"format": 1}', b'{"format": 2}']
)
def test_a_damaged_manifest_is_told_and_the_other_backups_go_on(
    make: Make, place: LocalPlace, tmp_path: Path, content: bytes
) -> None:
    source = make("source")
    put(source, b"k")
    first, second = (source.backup(place).run().name for _ in range(2))
    (tmp_path / "backups" / "snapshots" / first / "manifest.json").write_bytes(content)
    assert [(each.name, bool(each.problem)) for each in snapshots_at(place)] == [
        (first, True),
        (second, False),
    ]
    with pytest.raises(BackupError, match=f"{first} cannot be restored"):
        restore(make("other"), place, first)
    assert restore(make("target"), place).damaged == 0
    # It is not known what it needs.
    with pytest.raises(BackupError, match=f"a backup there is damaged: {first}"):
        source.backup(place).prune(1)
    assert len(place.names("snapshots")) == 2


def test_nothing_is_removed_on_the_word_of_a_damaged_list(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    for number in range(5):
        put(source, b"%d" % number, b"%d" % number * 100)
    _, second = (source.backup(place).run().name for _ in range(2))
    path = tmp_path / "backups" / "snapshots" / second / "blobs.sha256"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:2]))
    with pytest.raises(BackupError, match=f"blobs.sha256 of {second} is damaged"):
        source.backup(place).prune(1)
    assert len(snapshots_at(place)) == 2
    path.write_text(whole)
    assert source.backup(place).prune(1) == 0
    assert restore(make("target"), place).copied == 5


@pytest.mark.parametrize("lost", [True, False])
def test_a_blob_that_is_copied_again_is_not_known_until_it_is_whole(
    make: Make, place: LocalPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """What a power cut leaves of a relaxed write is half a blob under its name."""
    source = make("source")
    put(source, b"k")
    source.backup(place).run()
    (blob,) = files_of(source, tmp_path / "backups" / "blobs" / "default")
    if lost:
        blob.unlink()
    else:
        blob.write_bytes(b"z" * len(DATA))
    sums = tmp_path / "backups" / "sums" / "default" / f"{blob.name[:2]}.sha256"
    write = place.write

    def record(name: str, path: str, *, lasting: bool = True) -> None:
        if name.startswith("sums/"):
            recorded.append(lasting)
        write(name, path, lasting=lasting)

    recorded: list[bool] = []
    with monkeypatch.context() as patch:

        def die(*arguments: Any) -> None:
            assert not blob.exists()
            assert blob.name not in sums.read_text()
            blob.write_bytes(DATA[:7])
            # Whatever would be written after a kill.
            patch.setattr(place, "write", lambda *arguments, **options: None)
            raise KeyboardInterrupt

        patch.setattr(place, "write", record)
        patch.setattr(backup_copying, "transfer", die)
        with pytest.raises(KeyboardInterrupt):
            source.backup(place, verify=True).run()
    assert recorded == [True]
    assert source.backup(place).run().copied == 1
    assert blob.read_bytes() == DATA


@pytest.mark.parametrize("name", ["index.db", "blobs.sha256"])
def test_a_damaged_snapshot_is_not_restored(
    make: Make, place: LocalPlace, tmp_path: Path, name: str
) -> None:
    source = make("source")
    put(source, b"k")
    snapshot = source.backup(place).run().name
    path = tmp_path / "backups" / "snapshots" / snapshot / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    target = make("target")
    with pytest.raises(BackupError, match=f"{name} of {snapshot} is damaged"):
        restore(target, place)
    assert rows_of(target)["s3kit_buckets"] == []


def test_a_restore_that_broke_off_is_taken_up_by_the_next(
    make: Make, place: LocalPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    for number in range(40):
        put(source, b"%d" % number)
    source.backup(place).run()
    target = make("target")
    with monkeypatch.context() as patch:
        count = 0

        def fail(*arguments: Any) -> None:
            nonlocal count
            count += 1
            if count == 20:
                raise OSError(28, "No space left on device")
            transfer(*arguments)

        patch.setattr(backup_restore, "transfer", fail)
        with pytest.raises(OSError, match="No space"):
            restore(target, place)
    # Nobody saw half of it.
    assert rows_of(target)["s3kit_buckets"] == []
    # And a power cut has taken the end of one.
    os.truncate(files_of(target, tmp_path / "target" / "0")[0], 7)
    result = restore(target, place)
    assert (result.copied, result.kept) == (22, 18)
    assert list(target.scrub().run()) == []


# -- what is refused


def test_an_index_with_something_in_it_is_not_restored_into(make: Make, place: LocalPlace) -> None:
    make("source").backup(place).run()
    target = make("target")
    bucket_of(target)
    with pytest.raises(BackupError, match=r"The index is not empty. Restore into a new one"):
        restore(target, place)


def test_a_bucket_that_is_made_meanwhile_is_not_overwritten(
    make: Make, place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make("source")
    put(source, b"k")
    source.backup(place).run()
    target = make("target")

    def interfere(*arguments: Any) -> None:
        bucket_of(target, "mine")
        transfer(*arguments)

    monkeypatch.setattr(backup_restore, "transfer", interfere)
    with pytest.raises(BackupError, match="stored something in the index meanwhile"):
        restore(target, place)
    assert [row[1] for row in rows_of(target)["s3kit_buckets"]] == ["mine"]


def test_a_storage_with_something_on_it_is_not_restored_into(make: Make, place: LocalPlace) -> None:
    source = make("source")
    put(source, b"k")
    source.backup(place).run()
    target = make("target")
    blob = put_blob(target.storages["default"], b"somebody's")
    with pytest.raises(BackupError, match=f'storage "default" is not empty: there is {blob}'):
        restore(target, place)
    target.janitor.mark_storages()
    with pytest.raises(BackupError, match="is not empty"):
        restore(target, place)
    assert target.storages["default"].size(blob) == 10


def test_the_storage_of_the_old_index_is_not_restored_into(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    put(source, b"k")
    source.janitor.mark_storages()
    source.backup(place).run()
    index = Index(f"sqlite:///{tmp_path}/new.db")
    create_schema(index)
    target = Store(index, source.storages)
    with pytest.raises(BackupError, match='"default" belongs to another index'):
        restore(target, place)
    index.close()


def test_a_storage_that_is_not_configured_is_asked_for(make: Make, place: LocalPlace) -> None:
    source = make("source")
    put(source, b"k", bucket="far-away")
    source.backup(place).run()
    target = make("target")
    assert isinstance(target.storages, dict)
    del target.storages["Far away/ü"]
    with pytest.raises(BackupError, match='a storage "Far away/ü", which is not configured'):
        restore(target, place)


# -- other versions, other places


LATER_COLUMNS = (
    ("buckets", "present"),
    ("contents", "sealing"),
    ("parts", "sealing"),
    ("uploads", "object_lock"),
    ("uploads", "encryption"),
    ("versions", "object_lock"),
    ("versions", "encryption"),
    ("versions", "replication"),
    ("versions", "restored_until"),
)


def test_a_snapshot_of_an_older_schema_is_upgraded(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    source = make("source")
    fill(source)
    name = source.backup(place).run().name
    folder = tmp_path / "backups" / "snapshots" / name
    with sqlite3.connect(folder / "index.db", isolation_level=None) as connection:
        # As revision 0001 had it.
        for table in ("annotations", "outbox", "leases", "restores"):
            connection.execute(f"DROP TABLE s3kit_{table}")
        for table in ("access_keys", "users", "roles", "usage", "accounts"):
            connection.execute(f"DROP TABLE s3kit_{table}")
        for table, column in LATER_COLUMNS:
            connection.execute(f"ALTER TABLE s3kit_{table} DROP COLUMN {column}")
        connection.execute("DROP TABLE s3kit_identity")
        connection.execute("DROP INDEX s3kit_garbage_by_storage")
        connection.execute("CREATE INDEX s3kit_garbage_by_since ON s3kit_garbage (since)")
        connection.execute("UPDATE s3kit_schema_version SET version_num = '0001'")
    connection.close()
    sign_again(folder)
    target = make("target")
    restore(target, place)
    # Also what limits find accounts by, which the snapshot did not have.
    found = rows_of(target)
    assert found["s3kit_usage"] == [("alice", 0, None)]
    assert found == rows_of(source)


def test_a_snapshot_of_a_newer_schema_is_refused(
    make: Make, place: LocalPlace, tmp_path: Path
) -> None:
    name = make("source").backup(place).run().name
    folder = tmp_path / "backups" / "snapshots" / name
    with sqlite3.connect(folder / "index.db") as connection:
        connection.execute("UPDATE s3kit_schema_version SET version_num = '9999'")
    connection.close()
    sign_again(folder)
    with pytest.raises(BackupError, match="pip install --upgrade s3kit"):
        restore(make("target"), place)


def sign_again(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["index.db"]["sha256"] = sha256_of(folder / "index.db")
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("scheme", ["s3", "fsspec", "sftp", "webdav"])
def test_a_backup_lies_on_any_file_system_that_fsspec_knows(
    make: Make, tmp_path: Path, scheme: str
) -> None:
    """s3:// is another s3kit; "fsspec" is its own way to a folder, which renames."""
    source = make("source")
    fill(source)
    with ExitStack() as stack:
        if scheme == "s3":
            there = S3App(Config(keys={"AKBACKUP": "secret"}))
            stack.callback(there.close)
            server = stack.enter_context(LiveServer(there))
            there.store.buckets.create("backups", "default")
            options = {"key": "AKBACKUP", "secret": "secret", "endpoint_url": server.url}
            place = open_place("s3://backups/of/mine", options)
        elif scheme == "fsspec":
            place = RemotePlace(f"local://{tmp_path}/backups", {})
        else:
            files: SshServer | DavServer
            if scheme == "sftp":
                files = stack.enter_context(ssh_server(tmp_path))
            else:
                files = stack.enter_context(dav_server(tmp_path))
            place = open_place(f"{files.url}/backups", files.options)
        stack.callback(place.close)
        first = source.backup(place).run()
        assert first.copied == first.blobs == 8
        put(source, b"new")
        second = source.backup(place).run()
        assert (second.copied, second.kept) == (1, 8)
        target = make("target")
        restore(target, place)
        assert rows_of(target) == rows_of(source)
        assert read_all(target) == read_all(source)
        source.objects.delete(bucket_of(source), b"new")
        source.backup(place).run()
        assert source.backup(place).prune(1) == 1
        assert [len(place.names("snapshots")), len(snapshots_at(place))] == [1, 1]


def test_the_memory_of_a_backup_does_not_grow_with_what_is_stored(
    make: Make, place: LocalPlace
) -> None:
    source = make("source")

    def peak() -> int:
        tracemalloc.start()
        source.backup(place).run()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    for number in range(150):
        put(source, b"%d" % number)
    peak()
    few = peak()
    for number in range(150, 600):
        put(source, b"%d" % number)
    assert peak() < few * 1.7


def test_the_tables_of_a_snapshot_are_all_but_four() -> None:
    """A new table is either in backups, or named here with a reason."""
    left_out = {"s3kit_garbage", "s3kit_identity", "s3kit_leases", "s3kit_schema_version"}
    assert {table.name for table in snapshot_rows.TABLES} == set(metadata.tables) - left_out
