"""Kept rows are true, or not used: in one process, between processes, and after a crash."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import pytest

from s3kit.index import buckets
from s3kit.index import objects
from s3kit.index import recent as recent_module
from s3kit.index.connections import Connection
from s3kit.index.recent import COUNTERS
from s3kit.index.recent import RecentRows
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import Acl
from s3kit.model import Grant
from s3kit.model import ObjectVersion
from s3kit.model import Permission


def version_of(bucket_id: int, body: bytes, key: bytes = b"key") -> ObjectVersion:
    return ObjectVersion(bucket_id, key, len(body), "etag", 1, "owner", inline=body)


def put(index: Index, bucket_id: int, body: bytes, key: bytes = b"key") -> None:
    def work(connection: Connection) -> None:
        current = objects.lock_current(connection, bucket_id, key)
        version = version_of(bucket_id, body, key)
        objects.put_version(connection, version, replaces=current, new_content=True)

    index.write(work)


def attached(path: Path) -> RecentRows:
    rows = RecentRows(str(path))
    rows.attach(make=True)
    return rows


def body_of(index: Index) -> bytes | None:
    found = objects.find_current(index, 1, b"key")
    assert found is not None
    return found.inline


@pytest.fixture(autouse=True)
def nothing_ends_by_time() -> Iterator[None]:
    """On a busy machine seconds pass between two lines of a test."""
    # Apart from the tests' own, which some of them undo.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(recent_module, "KEEP_SECONDS", 600.0)
        yield


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(f"sqlite:///{tmp_path}/index.db", durability="relaxed")
    create_schema(index)
    index.write(lambda connection: buckets.insert(connection, "bucket", "account", 1))
    yield index
    index.close()


def forbid_reads(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(work: object) -> None:
        raise AssertionError("the database was read")

    monkeypatch.setattr(index, "read", read)


def test_a_row_that_was_read_is_found_without_the_database(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 1, b"one")
    first = objects.find_current(index, 1, b"key")
    forbid_reads(index, monkeypatch)
    assert objects.find_current(index, 1, b"key") is first
    assert first is not None
    assert first.inline == b"one"


def test_a_write_is_seen_by_the_next_read(index: Index) -> None:
    for number in range(5):
        body = b"%d" % number
        put(index, 1, body)
        for _ in range(2):
            found = objects.find_current(index, 1, b"key")
            assert found is not None
            assert found.inline == body


def test_a_removal_is_seen_by_the_next_read(index: Index) -> None:
    put(index, 1, b"one")
    assert objects.find_current(index, 1, b"key") is not None

    def remove(connection: Connection) -> None:
        current = objects.lock_current(connection, 1, b"key")
        assert current is not None
        objects.remove_version(connection, current)

    index.write(remove)
    assert objects.find_current(index, 1, b"key") is None


def test_new_tags_are_seen_by_the_next_read(index: Index) -> None:
    put(index, 1, b"one")
    assert objects.find_current(index, 1, b"key") is not None

    def tag(connection: Connection) -> None:
        current = objects.lock_current(connection, 1, b"key")
        assert current is not None
        objects.set_tags(connection, current.seq, (("a", "b"),))

    index.write(tag)
    found = objects.find_current(index, 1, b"key")
    assert found is not None
    assert found.tags == (("a", "b"),)


def test_a_row_without_its_bytes_serves_no_read_that_wants_them(index: Index) -> None:
    put(index, 1, b"one")
    head = objects.find_current(index, 1, b"key", inline=False)
    assert head is not None
    assert head.inline is None
    found = objects.find_current(index, 1, b"key")
    assert found is not None
    assert found.inline == b"one"


def test_a_write_elsewhere_leaves_a_kept_row_alone(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 1, b"one")
    objects.find_current(index, 1, b"key")
    put(index, 1, b"two", key=b"another key")
    forbid_reads(index, monkeypatch)
    assert objects.find_current(index, 1, b"key") is not None


def test_a_kept_row_ends_after_a_while(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have written to the tables by other means."""
    put(index, 1, b"one")
    objects.find_current(index, 1, b"key")
    index.write(lambda connection: connection.raw.execute("UPDATE s3kit_versions SET etag = 'new'"))
    monkeypatch.setattr(recent_module, "KEEP_SECONDS", -1.0)
    found = objects.find_current(index, 1, b"key")
    assert found is not None
    assert found.etag == "new"


def test_nothing_is_kept_while_somebody_writes(tmp_path: Path) -> None:
    rows = attached(tmp_path / "counters")
    counter = rows.counter_of(1, b"key")
    value = rows.value(counter)
    rows.begin_write([counter])
    rows.keep(version_of(1, b"old"), counter, value)
    rows.keep(version_of(1, b"old"), counter, rows.value(counter))
    assert rows.find(1, b"key", counter, True) is None
    rows.end_write([counter])
    assert rows.find(1, b"key", counter, True) is None
    rows.keep(version_of(1, b"new"), counter, rows.value(counter))
    found = rows.find(1, b"key", counter, True)
    assert found is not None
    assert found.inline == b"new"


def test_a_writer_that_died_switches_its_counters_off_until_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    dead = attached(path)
    counter = dead.counter_of(1, b"key")
    dead.begin_write([counter])
    rows = attached(path)
    rows.keep(version_of(1, b"x"), counter, rows.value(counter))
    assert rows.find(1, b"key", counter, True) is None
    rows.begin_write([counter])
    rows.end_write([counter])
    rows.keep(version_of(1, b"x"), counter, rows.value(counter))
    assert rows.find(1, b"key", counter, True) is not None


def test_the_kept_rows_stay_within_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_module, "LIMIT_BYTES", 100_000)
    rows = attached(tmp_path / "counters")
    for number in range(500):
        key = b"%d" % number
        counter = rows.counter_of(1, key)
        rows.keep(version_of(1, bytes(1000), key), counter, rows.value(counter))
        assert sum(len(row[2].inline or b"") for row in rows._rows.values()) <= 100_000
    assert rows._rows


@pytest.mark.parametrize(
    "kind",
    [
        {"headers": {"x-amz-meta-long": "v" * 10_000}},
        {"headers": {f"x-amz-meta-{n}": "" for n in range(60)}},
        {"tags": tuple((f"{n}" * 128, "\N{SNOWMAN}" * 256) for n in range(10))},
        {"acl": Acl("owner", tuple(Grant("g" * 64, Permission.READ) for _ in range(50)))},
    ],
)
def test_headers_tags_and_acl_count_among_a_rows_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any]
) -> None:
    monkeypatch.setattr(recent_module, "LIMIT_BYTES", 100_000)
    rows = attached(tmp_path / "counters")
    most = 0
    for number in range(100):
        key = b"%d" % number
        counter = rows.counter_of(1, key)
        rows.keep(replace(version_of(1, b"", key), **kind), counter, rows.value(counter))
        most = max(most, len(rows._rows))
    assert 2 <= most <= 100_000 // 9_000


def test_a_row_of_many_bytes_is_not_kept(tmp_path: Path) -> None:
    rows = attached(tmp_path / "counters")
    counter = rows.counter_of(1, b"key")
    for size, kept in ((1024 * 1024, False), (200_000, True)):
        rows.keep(version_of(1, bytes(size)), counter, rows.value(counter))
        assert (rows.find(1, b"key", counter, True) is not None) is kept


def test_the_counters_have_their_place_on_the_disk_at_once(tmp_path: Path) -> None:
    """A store to a page for which the disk has no room ends the process (SIGBUS)."""
    path = tmp_path / "counters"
    for before in (b"", b"short"):
        path.write_bytes(before)
        attached(path)
        assert path.stat().st_size == 32768
        assert path.stat().st_blocks * 512 >= 32768


def test_counters_with_holes_are_filled_and_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    path.write_bytes((42).to_bytes(8, sys.byteorder))
    os.truncate(path, 32768)
    rows = attached(path)
    assert path.stat().st_blocks * 512 >= 32768
    assert (rows.value(0), rows.value(1)) == (42, 0)


def test_new_counters_begin_anywhere_but_even(tmp_path: Path) -> None:
    first, second = attached(tmp_path / "first"), attached(tmp_path / "second")
    values = [rows.value(counter) for rows in (first, second) for counter in range(COUNTERS)]
    assert len(set(values)) == 2 * COUNTERS
    assert not any(value & 1 for value in values)


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(recent_module, "_fill", fill)


def test_on_a_full_disk_nothing_is_kept_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/index.db"
    with pytest.MonkeyPatch.context() as monkeypatch:
        fill_disk(monkeypatch)
        index = Index(url, durability="relaxed")
        create_schema(index)
        index.write(lambda connection: buckets.insert(connection, "bucket", "account", 1))
        assert index.recent is not None
        for body in (b"one", b"two"):
            put(index, 1, body)
            for _ in range(2):
                assert body_of(index) == body
            assert not index.recent._rows
        assert caplog.text.count("no rows are kept in memory") == 1
    put(index, 1, b"three")
    assert body_of(index) == b"three"
    assert index.recent._rows
    index.close()


def test_removed_counters_are_made_anew_and_no_process_trusts_the_old_ones(index: Index) -> None:
    """Somebody tidies up beside the database while several processes run."""
    other = Index(index.url.render_as_string(), durability="relaxed")
    put(index, 1, b"one")
    assert body_of(other) == b"one"
    os.unlink(index.path + "-counters")
    put(index, 1, b"two")
    assert body_of(other) == b"two"
    put(index, 1, b"three")
    assert body_of(other) == b"three"
    assert os.path.exists(index.path + "-counters")
    other.close()


def test_who_only_reads_finds_the_new_counters(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_module, "LOOK_SECONDS", 0.0)
    other = Index(index.url.render_as_string(), durability="relaxed")
    assert other.recent is not None
    put(index, 1, b"one")
    assert body_of(other) == b"one"
    os.unlink(index.path + "-counters")
    other.recent._rows.clear()
    assert body_of(other) == b"one"
    assert not other.recent._rows
    assert not os.path.exists(index.path + "-counters")
    put(index, 1, b"two")
    assert body_of(other) == b"two"
    assert body_of(other) == b"two"
    assert other.recent._rows
    put(index, 1, b"three")
    assert body_of(other) == b"three"
    other.close()


def test_a_reader_that_misses_the_counters_first_switches_them_off_for_all(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Index(index.url.render_as_string(), durability="relaxed")
    put(index, 1, b"one")
    assert body_of(other) == b"one"
    os.unlink(index.path + "-counters")
    monkeypatch.setattr(recent_module, "LOOK_SECONDS", 0.0)
    assert body_of(index) == b"one"
    monkeypatch.undo()
    put(index, 1, b"two")
    assert body_of(other) == b"two"
    other.close()


def test_counters_stay_in_use_where_numbers_of_files_change(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some FUSE file systems."""
    numbers = itertools.count()
    monkeypatch.setattr(recent_module, "_identity", lambda path: (1, next(numbers)))
    put(index, 1, b"one")
    put(index, 1, b"two")
    assert body_of(index) == b"two"
    assert index.recent is not None
    assert index.recent._rows


def test_counters_are_made_by_nobody_who_does_not_hold_the_writers_lock(index: Index) -> None:
    """Else a writer that has just looked would commit without those who see the new ones."""
    fcntl = pytest.importorskip("fcntl")
    os.unlink(index.path + "-counters")
    with open(f"{index.path}-lock", "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(Index, index.url.render_as_string())
            try:
                time.sleep(0.2)
                assert not os.path.exists(index.path + "-counters")
            finally:
                fcntl.flock(held, fcntl.LOCK_UN)
            opening.result(60).close()
    assert os.path.exists(index.path + "-counters")


@pytest.mark.parametrize("what", ["index.db", "."])
def test_processes_that_come_by_different_links_share_their_counters(
    index: Index, tmp_path: Path, what: str
) -> None:
    """As a folder and a release's link to it."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / what)
    path = link if what == "index.db" else link / "index.db"
    other = Index(f"sqlite:///{path}", durability="relaxed")
    put(index, 1, b"one")
    assert body_of(other) == b"one"
    put(index, 1, b"two")
    assert body_of(other) == b"two"
    other.close()


def write_and_tell(url: str, pipe: Pipe) -> None:
    """Another process: store a body, and say so only when it is stored."""
    index = Index(url, durability="relaxed")
    while (body := pipe.recv()) is not None:
        put(index, 1, body)
        pipe.send("stored")
    index.close()


def test_what_another_process_has_stored_is_seen_at_once(index: Index) -> None:
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    url = index.url.render_as_string()
    other = context.Process(target=write_and_tell, args=(url, there))
    other.start()
    try:
        for number in range(200):
            body = b"%d" % number
            here.send(body)
            assert here.poll(60)
            here.recv()
            for _ in range(3):
                found = objects.find_current(index, 1, b"key")
                assert found is not None
                assert found.inline == body
        here.send(None)
    finally:
        other.join(30)
        if other.is_alive():
            other.kill()
