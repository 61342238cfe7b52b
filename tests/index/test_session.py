"""Transactions: shared commits, several processes, lost connections, forks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from typing import cast

import pytest
from sqlalchemy import Column
from sqlalchemy import Integer
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import bindparam
from sqlalchemy import select
from sqlalchemy import text

from s3kit.errors import NoSuchKey
from s3kit.errors import SlowDown
from s3kit.index import buckets
from s3kit.index import connections
from s3kit.index import objects
from s3kit.index import settings
from s3kit.index import writers
from s3kit.index.connections import Connection
from s3kit.index.connections import Pool
from s3kit.index.connections import Retry
from s3kit.index.connections import SqliteConnection
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.index.statements import Statement
from s3kit.index.writers import CommitFailed
from s3kit.index.writers import SqliteWriter
from s3kit.model import Bucket
from tests.index.rows import current
from tests.index.rows import put
from tests.index.rows import version
from tests.waiting import eventually


def executed(index: Index, work: Callable[[], None]) -> list[str]:
    """The SQL that the writer of an SQLite index runs during ``work``."""
    index.write(lambda c: None)
    writer = cast(SqliteWriter, index._writer)
    assert writer._connection is not None
    seen: list[str] = []
    writer._connection.raw.set_trace_callback(seen.append)
    work()
    if writer._connection is not None:
        writer._connection.raw.set_trace_callback(None)
    return seen


def together(index: Index, *works: Callable[[Connection], object]) -> list[object | BaseException]:
    """Run works in one shared commit: they queue up while a first one is held back."""
    writer = cast(SqliteWriter, index._writer)
    held = threading.Event()

    def hold(c: Connection) -> None:
        assert held.wait(60)

    def one(work: Callable[[Connection], object]) -> object | BaseException:
        try:
            return index.write(work)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(one, hold)
        results = []
        try:
            eventually(lambda: writer._leading)
            for place, work in enumerate(works, 1):
                results.append(pool.submit(one, work))
                eventually(lambda: len(writer._queue) == place)  # noqa: B023
        finally:
            held.set()
        outcome = [result.result() for result in results]
        first.result()
    return outcome


def test_constants_of_a_statement_are_part_of_its_text() -> None:
    table = Table("t", MetaData(), Column("a", Integer), Column("b", String))
    statement = Statement(
        select(table.c.a)
        .where(table.c.a == 10, table.c.b == "", table.c.a > bindparam("x"))
        .limit(bindparam("most"))
    )
    for family in ("sqlite", "postgresql", "mysql"):
        compiled = statement.compile(family)  # type: ignore[arg-type]
        assert "a_1" not in compiled
        assert "10" in compiled
        assert "''" in compiled
    with pytest.raises(TypeError, match="constant"):
        Statement(select(table.c.a).where(table.c.b == "x")).compile("sqlite")


def test_an_s3_error_in_a_shared_commit_is_its_own_callers_only(sqlite: Index) -> None:
    def refused(c: Connection) -> None:
        buckets.insert(c, "refused", "alice", 1)
        raise NoSuchKey(key="k")

    outcome: list[Any] = []
    sql = executed(
        sqlite,
        lambda: outcome.extend(
            together(
                sqlite,
                lambda c: buckets.insert(c, "one", "alice", 1).name,
                refused,
                lambda c: buckets.insert(c, "two", "alice", 1).name,
            )
        ),
    )
    assert sql.count("COMMIT") == 1
    assert outcome[0] == "one"
    assert isinstance(outcome[1], NoSuchKey)
    assert outcome[2] == "two"
    assert [b.name for b in sqlite.read(lambda c: buckets.page(c, "alice"))] == ["one", "two"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_crash_in_a_shared_commit_is_its_own_callers_only(sqlite: Index, place: int) -> None:
    def crash(c: Connection) -> None:
        buckets.insert(c, "crashed", "alice", 1)
        raise ZeroDivisionError

    works: list[Callable[[Connection], object]] = [
        lambda c: buckets.insert(c, "one", "alice", 1).name,
        lambda c: buckets.insert(c, "two", "alice", 1).name,
    ]
    works.insert(place, crash)
    outcome = together(sqlite, *works)
    assert isinstance(outcome.pop(place), ZeroDivisionError)
    assert outcome == ["one", "two"]
    assert [b.name for b in sqlite.read(lambda c: buckets.page(c, "alice"))] == ["one", "two"]


def test_a_lone_work_that_fails_is_undone(index: Index) -> None:
    def crash(c: Connection) -> None:
        buckets.insert(c, "crashed", "alice", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index.write(crash)
    assert index.read(lambda c: buckets.get(c, "crashed")) is None
    assert index.write(lambda c: buckets.insert(c, "next", "alice", 1)).name == "next"


def test_a_failed_commit_is_told_to_everybody_in_it(sqlite: Index) -> None:
    def breaks_the_commit(c: Connection) -> None:
        c.raw.execute("PRAGMA defer_foreign_keys = ON")
        settings.put(c, 4711, "cors", b"")

    outcome = together(
        sqlite,
        lambda c: buckets.insert(c, "one", "alice", 1).name,
        breaks_the_commit,
        lambda c: buckets.insert(c, "two", "alice", 1).name,
    )
    assert [type(each) for each in outcome] == [CommitFailed] * 3
    assert len({id(each) for each in outcome}) == 3
    assert sqlite.read(lambda c: buckets.page(c, "alice")) == []
    assert sqlite.write(lambda c: buckets.insert(c, "next", "alice", 1)).name == "next"


def test_when_sqlite_undoes_a_transaction_by_itself_those_before_are_told(sqlite: Index) -> None:
    """As it does when the disk is full."""

    def full(c: Connection) -> None:
        c.raw.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    outcome = together(
        sqlite,
        lambda c: buckets.insert(c, "one", "alice", 1).name,
        full,
        lambda c: buckets.insert(c, "two", "alice", 1).name,
    )
    assert isinstance(outcome[0], CommitFailed)
    assert isinstance(outcome[1], sqlite3.OperationalError)
    assert outcome[2] == "two"
    assert [b.name for b in sqlite.read(lambda c: buckets.page(c, "alice"))] == ["two"]


def test_writers_that_wait_share_commits(sqlite: Index) -> None:
    """32 durable writers need far fewer than 32 fsyncs; no commit holds more than 64 works."""
    bucket = sqlite.write(lambda c: buckets.insert(c, "photos", "alice", 1))

    # So long takes an fsync, but for a disk that has none.
    sqlite.watch_commits(lambda works: time.sleep(0.002))
    begin = threading.Barrier(32)

    def writer(worker: int) -> None:
        begin.wait(60)
        for n in range(20):
            put(sqlite, version(bucket, b"%d/%d" % (worker, n)))

    def all_of_them() -> None:
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(writer, range(32)))

    sql = executed(sqlite, all_of_them)
    assert sql.count("COMMIT") < 320
    inside = [part.count("INSERT INTO s3kit_versions") for part in "\n".join(sql).split("COMMIT")]
    assert sum(inside) == 640
    assert max(inside) <= writers.MOST_IN_A_COMMIT


def test_a_lone_writer_pays_for_no_savepoint(sqlite: Index) -> None:
    sql = executed(sqlite, lambda: sqlite.write(lambda c: None))
    assert sql == ["BEGIN IMMEDIATE", "COMMIT"]


def test_a_write_inside_a_write_is_refused_and_not_a_deadlock(sqlite: Index) -> None:
    with pytest.raises(RuntimeError, match="inside"):
        sqlite.write(lambda c: sqlite.write(lambda c: None))
    assert sqlite.write(lambda c: 1) == 1


def test_a_reader_cannot_write(sqlite: Index) -> None:
    with pytest.raises(sqlite3.OperationalError):
        sqlite.read(lambda c: buckets.insert(c, "b", "alice", 1))


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("relaxed", 1)])
def test_durability_is_what_was_asked_for(tmp_path: Path, durability: Any, level: int) -> None:
    index = Index(f"sqlite:///{tmp_path}/i.db", durability=durability)
    ask = [
        (Statement(text("PRAGMA synchronous")), level),
        (Statement(text("PRAGMA journal_mode")), "wal"),
        (Statement(text("PRAGMA foreign_keys")), 1),
    ]
    for statement, expected in ask:
        assert index.read(lambda c, s=statement: c.one(s, {})) == (expected,)  # type: ignore[misc]
        assert index.write(lambda c, s=statement: c.one(s, {})) == (expected,)  # type: ignore[misc]
    assert (tmp_path / "i.db").stat().st_mode & 0o777 == 0o600
    index.close()


def test_an_index_in_memory_is_private_fast_and_gone_when_it_is_closed() -> None:
    index = Index("memory://")
    folder = Path(index.path).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    synchronous = Statement(text("PRAGMA synchronous"))
    assert index.write(lambda c: c.one(synchronous, {})) == (0,)
    create_schema(index)
    index.close()
    assert not folder.exists()


def test_a_relative_path_is_fixed_when_the_index_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index = Index("sqlite:///here.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    create_schema(index)
    assert index.read(lambda c: buckets.get(c, "b")) is None
    index.close()


@pytest.mark.parametrize(
    "url", ["sqlite:///:memory:", "postgresql+psycopg2://x/y", "mariadb+mysqldb://x/y"]
)
def test_urls_that_cannot_work_are_refused_at_once(url: str) -> None:
    with pytest.raises((ValueError, ModuleNotFoundError)):
        Index(url)


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from s3kit.index import buckets, objects
from s3kit.index.session import Index
from s3kit.model import ObjectVersion

index = Index(sys.argv[1])
bucket = index.read(lambda c: buckets.get(c, "photos"))

def increment(n):
    def work(c):
        seen = objects.lock_current(c, bucket.id, b"counter")
        size = 0 if seen is None else seen.size
        new = ObjectVersion(bucket.id, b"counter", size + 1, "e", 1, "alice", inline=b"x")
        objects.put_version(c, new, replaces=seen, new_content=True)
    index.write(work)

with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(increment, range(int(sys.argv[3]))))
index.close()
"""


def run(*arguments: str, code: str = WRITER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_several_processes_lose_no_update_and_meet_no_locked_database(
    index: Index, bucket: Bucket, url: str
) -> None:
    processes = [run(url, threads, "60") for threads in ("1", "4", "4", "8")]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    found = current(index, bucket, b"counter")
    assert found is not None
    assert found.size == 240


FORK = """
import os, sys
from s3kit.index import buckets
from s3kit.index.session import Index

index = Index(sys.argv[1])
for n in range(3):
    index.write(lambda c: buckets.insert(c, f"parent{n}", "alice", 1))
    index.read(lambda c: buckets.page(c, "alice"))
    child = os.fork()
    if child == 0:
        index.write(lambda c: buckets.insert(c, f"child{n}", "alice", 1))
        assert len(index.read(lambda c: buckets.page(c, "alice"))) == 2 * n + 2
        index.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(index.read(lambda c: buckets.page(c, "alice"))) == 2 * n + 2
index.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_parent_and_child_go_on_with_connections_of_their_own(index: Index, url: str) -> None:
    process = run(url, code=FORK)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output


FORK_WHILE_WRITING = """
import os, sys, threading
from s3kit.index import buckets
from s3kit.index.session import Index

index = Index(sys.argv[1])
stop = threading.Event()

def write():
    n = 0
    while not stop.is_set():
        n += 1
        index.write(lambda c: buckets.insert(c, f"other{n}", "bob", 1))

thread = threading.Thread(target=write, daemon=True)
thread.start()
for n in range(5):
    child = os.fork()
    if child == 0:
        index.write(lambda c: buckets.insert(c, f"child{n}", "alice", 1))
        index.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
assert len(index.read(lambda c: buckets.page(c, "alice"))) == 5
index.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_can_write_whatever_another_thread_does_during_the_fork(
    sqlite: Index,
) -> None:
    """SQLite's own account of its locks would be the parent's for ever."""
    process = run(f"sqlite:///{sqlite.path}", code=FORK_WHILE_WRITING)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, output


def test_a_waiting_caller_that_is_interrupted_does_not_take_the_leadership_with_it(
    sqlite: Index,
) -> None:
    writer = cast(SqliteWriter, sqlite._writer)

    class Interrupted:
        """A lock whose waiting ends by an interrupt, like Ctrl-C in the main thread."""

        def __init__(self) -> None:
            self.taken = False

        def acquire(self) -> None:
            if not self.taken:
                self.taken = True
                return
            waiting_now.set()
            # By then this caller is made the next leader.
            assert promoted.wait(30)
            raise KeyboardInterrupt

        def release(self) -> None:
            promoted.set()

    waiting_now = threading.Event()
    promoted = threading.Event()
    # The next in the queue is not taken into the leader's commit, but made the next leader.
    writer._most = 1
    held = threading.Event()
    leader = threading.Thread(target=lambda: sqlite.write(lambda c: held.wait(60)))
    leader.start()
    eventually(lambda: writer._leading)
    caught: list[BaseException] = []

    def interrupted() -> None:
        try:
            sqlite.write(lambda c: None)
        except BaseException as error:
            caught.append(error)

    waiting = threading.Thread(target=interrupted)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(writers, "allocate_lock", Interrupted)
        waiting.start()
        assert waiting_now.wait(30)
    held.set()
    leader.join(30)
    waiting.join(30)
    assert isinstance(caught[0], KeyboardInterrupt)
    assert not writer._leading
    assert sqlite.write(lambda c: "goes on") == "goes on"


def test_a_database_that_another_program_holds_is_slow_and_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3kit.index.session.WAIT_SECONDS", 0.1)
    index = Index(f"sqlite:///{tmp_path}/i.db")
    create_schema(index)
    other = sqlite3.connect(tmp_path / "i.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SlowDown):
        index.write(lambda c: None)
    other.execute("COMMIT")
    other.close()
    assert index.write(lambda c: 1) == 1
    index.close()


def seconds_of_refusals(writes: list[Callable[..., Any]], enough: float) -> float:
    """How long it takes until all of them, begun at once, are told to slow down.

    The shortest of several turns: on a busy machine a thread may be kept waiting by others.
    """
    turns: list[float] = []
    while not turns or (min(turns) >= enough and len(turns) < 4):
        began = time.monotonic()
        with ThreadPoolExecutor(len(writes)) as pool:
            for each in [pool.submit(write, lambda c: None) for write in writes]:
                with pytest.raises(SlowDown):
                    each.result(60)
        turns.append(time.monotonic() - began)
    return min(turns)


def test_processes_do_not_wait_one_after_the_other_for_a_held_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3kit.index.session.WAIT_SECONDS", 1.1)
    # Each has a file lock of its own, as another process has.
    indexes = [Index(f"sqlite:///{tmp_path}/i.db") for _ in range(4)]
    create_schema(indexes[0])
    other = sqlite3.connect(tmp_path / "i.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert seconds_of_refusals([index.write for index in indexes], 3.3) < 3.3
    other.execute("COMMIT")
    other.close()
    for index in indexes:
        writer = cast(SqliteWriter, index._writer)
        assert index.write(lambda c: c.raw.execute("PRAGMA busy_timeout").fetchone()) == (1100,)
        assert not writer._leading
        index.close()


def test_all_who_wait_for_a_held_database_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last of many would wait as many times as long."""
    monkeypatch.setattr("s3kit.index.session.WAIT_SECONDS", 0.4)
    index = Index(f"sqlite:///{tmp_path}/i.db")
    create_schema(index)
    other = sqlite3.connect(tmp_path / "i.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert seconds_of_refusals([index.write] * 8, 2.5) < 2.5
    other.execute("COMMIT")
    other.close()
    assert index.write(lambda c: 1) == 1
    index.close()


def test_a_process_waits_for_another_ones_file_lock_and_not_in_sqlites_sleeps(
    sqlite: Index,
) -> None:
    fcntl = pytest.importorskip("fcntl")
    sqlite.write(lambda c: None)
    with open(f"{sqlite.path}-lock", "rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        written = threading.Event()

        def write() -> None:
            sqlite.write(lambda c: buckets.insert(c, "b", "alice", 1))
            written.set()

        thread = threading.Thread(target=write)
        thread.start()
        assert not written.wait(0.2)
        assert sqlite.read(lambda c: buckets.get(c, "b")) is None
        fcntl.flock(other, fcntl.LOCK_UN)
        assert written.wait(30)
    thread.join()


def test_deadlocks_are_run_again(index: Index, bucket: Bucket) -> None:
    """Two writers take two keys in opposite order."""
    begin = threading.Barrier(2)
    runs: list[int] = []

    def writer(keys: tuple[bytes, bytes]) -> None:
        first = True

        def work(c: Connection) -> None:
            nonlocal first
            runs.append(1)
            for key in keys:
                objects.lock_current(c, bucket.id, key)
                if first and index.dialect != "sqlite":
                    first = False
                    begin.wait(60)
                objects.put_version(c, version(bucket, key), replaces=None, new_content=True)

        index.write(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(writer, [(b"a", b"b"), (b"b", b"a")]))
    assert len(runs) > (2 if index.dialect != "sqlite" else 1)


def test_a_work_that_never_gets_through_is_told_to_slow_down(index: Index) -> None:
    if index.dialect == "sqlite":
        return
    runs = []

    def work(c: Connection) -> None:
        runs.append(1)
        raise Retry

    with pytest.raises(SlowDown):
        index.write(work)
    assert len(runs) == writers.ATTEMPTS


def test_a_connection_does_not_remember_what_earlier_transactions_wrote(
    index: Index, bucket: Bucket
) -> None:
    """A pool's connections live as long as the process: its memory would grow with each key."""
    seen: list[int] = []

    def work(c: Connection) -> None:
        seen.append(len(c.written))

    for n in range(5):
        put(index, version(bucket, b"%d" % n))
        index.write(work)
    assert seen == [0] * 5


def kill_connections(index: Index) -> None:
    """End every connection of the pool from the server's side, as a restart does."""
    with index.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for each in index._pool.idle:
            if index.dialect == "postgresql":
                number = each.raw.info.backend_pid
                kill = f"SELECT pg_terminate_backend({number})"
                look = f"SELECT pid FROM pg_stat_activity WHERE pid = {number}"
            else:
                number = each.raw.thread_id()
                kill = f"KILL {number}"
                look = f"SELECT id FROM information_schema.processlist WHERE id = {number}"
            connection.exec_driver_sql(kill)
            # One that ended in the middle of a commit would not be run again.
            eventually(lambda: not connection.exec_driver_sql(look).all())  # noqa: B023


def test_connections_that_the_server_closed_are_replaced(index: Index, bucket: Bucket) -> None:
    if index.dialect == "sqlite":
        return
    begin = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: index.read(lambda c: begin.wait(60)), range(4)))
    assert len(index._pool.idle) == 4
    kill_connections(index)
    assert index.read(lambda c: buckets.get(c, "photos")) == bucket
    kill_connections(index)
    put(index, version(bucket, b"k"))
    assert current(index, bucket, b"k") is not None


def test_more_threads_than_connections_wait_for_one(index: Index) -> None:
    small = Index(index.url.render_as_string(hide_password=False), pool_size=2)
    at_once: list[int] = []
    running = 0
    lock = threading.Lock()

    def work(c: Connection) -> None:
        nonlocal running
        with lock:
            running += 1
            at_once.append(running)
        time.sleep(0.01)
        buckets.get(c, "b")
        with lock:
            running -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: small.read(work), range(24)))
    assert max(at_once) == 2
    small.close()


def test_a_pool_that_nobody_gives_back_to_says_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAIT_SECONDS", 0.05)
    pool = Pool(lambda: SqliteConnection(sqlite3.connect(":memory:")), 1)
    taken = pool.take()
    with pytest.raises(SlowDown):
        pool.take()
    pool.give(taken)
    assert pool.take() is taken
    pool.drop(taken)


def test_a_connection_that_failed_to_open_leaves_its_place_free() -> None:
    def fails() -> Connection:
        raise OSError

    pool = Pool(fails, 1)
    for _ in range(3):
        with pytest.raises(OSError):
            pool.take()


def test_a_reader_sees_no_half_of_a_transaction(index: Index, bucket: Bucket) -> None:
    """Two keys written together: never the second without the first."""
    stop = threading.Event()

    def writer() -> None:
        def work(c: Connection, size: int) -> None:
            for key in (b"a", b"b"):
                old = objects.lock_current(c, bucket.id, key)
                new = version(bucket, key, size)
                objects.put_version(c, new, replaces=old, new_content=True)

        try:
            for size in range(1, 60):
                index.write(lambda c, size=size: work(c, size))
        finally:
            stop.set()

    thread = threading.Thread(target=writer)
    thread.start()
    while not stop.is_set():
        first = current(index, bucket, b"b")
        second = current(index, bucket, b"a")
        assert (first.size if first else 0) <= (second.size if second else 0)
    thread.join()
