"""Kept rows are true, or not used: in one process, between processes, and after a crash."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest

from s3kit.index import buckets
from s3kit.index import objects
from s3kit.index import recent as recent_module
from s3kit.index.connections import Connection
from s3kit.index.recent import RecentRows
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import ObjectVersion


def version_of(bucket_id: int, body: bytes, key: bytes = b"key") -> ObjectVersion:
    return ObjectVersion(bucket_id, key, len(body), "etag", 1, "owner", inline=body)


def put(index: Index, bucket_id: int, body: bytes, key: bytes = b"key") -> None:
    def work(connection: Connection) -> None:
        current = objects.lock_current(connection, bucket_id, key)
        version = version_of(bucket_id, body, key)
        objects.put_version(connection, version, replaces=current, new_content=True)

    index.write(work)


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
    rows = RecentRows(str(tmp_path / "counters"))
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
    path = str(tmp_path / "counters")
    dead = RecentRows(path)
    counter = dead.counter_of(1, b"key")
    dead.begin_write([counter])
    rows = RecentRows(path)
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
    rows = RecentRows(str(tmp_path / "counters"))
    for number in range(500):
        key = b"%d" % number
        counter = rows.counter_of(1, key)
        rows.keep(version_of(1, bytes(1000), key), counter, rows.value(counter))
        assert sum(len(row[2].inline or b"") for row in rows._rows.values()) <= 100_000
    assert rows._rows


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
            assert here.poll(30)
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
