"""A caller's transaction: which can be joined, and what is right when it ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection as CallersConnection
from sqlalchemy import Engine
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from s3kit.errors import NoSuchBucket
from s3kit.errors import ServiceUnavailable
from s3kit.errors import SlowDown
from s3kit.index import buckets
from s3kit.index import identity
from s3kit.index import objects
from s3kit.index.borrowed import CannotJoin
from s3kit.index.connections import Connection
from s3kit.index.connections import Retry
from s3kit.index.recent import RecentRows
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import ObjectVersion
from tests.databases import fresh_database
from tests.index.rows import put
from tests.index.rows import version


def engine_to(index: Index, **options: Any) -> Engine:
    """The caller's own engine to the index's database."""
    if index.dialect == "mysql":
        options.setdefault("isolation_level", "READ COMMITTED")
    engine = create_engine(index.url, poolclass=NullPool, **options)
    if index.dialect == "sqlite":
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    return engine


@pytest.fixture
def caller(index: Index) -> Iterator[CallersConnection]:
    with engine_to(index).connect() as connection:
        yield connection


def make(index: Index, name: str) -> Bucket:
    return index.write(lambda c: buckets.insert(c, name, "alice", 1_000))


def names(index: Index) -> list[str]:
    return [each.name for each in index.read(lambda c: buckets.page(c, "alice"))]


def calls_of(index: Index, heard: list[str], name: str) -> None:
    index.after_commit(lambda: heard.append(f"{name} committed"))
    index.after_rollback(lambda: heard.append(f"{name} rolled back"))


# -- each kind of database


def test_rows_wait_for_the_callers_commit(index: Index, caller: CallersConnection) -> None:
    """Also: works that are refused, or that lost a race, undo only themselves."""
    heard: list[str] = []
    runs: list[int] = []

    def lose(c: Connection) -> None:
        buckets.insert(c, "lost", "alice", 1)
        runs.append(1)
        if len(runs) < 3:
            raise Retry
        buckets.insert(c, "won", "alice", 1)

    def refuse(c: Connection) -> None:
        buckets.insert(c, "refused", "alice", 1)
        objects.lock_current(c, 99, b"of no bucket")
        raise NoSuchBucket

    with index.joined(caller):
        make(index, "first")
        calls_of(index, heard, "first")
        with pytest.raises(NoSuchBucket):
            index.write(refuse)
        index.write(lose)
        with caller.begin_nested() as savepoint:
            make(index, "undone")
            calls_of(index, heard, "undone")
            savepoint.rollback()
        assert names(index) == ["first", "lost", "won"]
        with pytest.raises(SlowDown):
            index.write(always_lost)
    assert names(index) == []
    caller.commit()
    assert names(index) == ["first", "lost", "won"]
    assert heard == ["first committed", "undone rolled back"]
    with index.joined(caller):
        make(index, "fourth")
        calls_of(index, heard, "fourth")
        caller.rollback()
        assert names(index) == ["first", "lost", "won"]
        make(index, "fifth")
    caller.close()
    assert heard[2:] == ["fourth rolled back"]
    assert names(index) == ["first", "lost", "won"]


def always_lost(c: Connection) -> None:
    raise Retry


def test_another_database_is_refused_and_the_transaction_goes_on(
    index: Index, tmp_path: Path
) -> None:
    """Without s3kit's tables, with them, or with the very same id, as a copy has it."""
    kind = "mariadb" if index.dialect == "mysql" else index.dialect
    (tmp_path / "other").mkdir()
    with fresh_database(kind, tmp_path / "other") as url:
        other = Index(url)
        with engine_to(other).begin() as connection:
            connection.execute(text("CREATE TABLE own (a integer)"))
            connection.execute(text("INSERT INTO own VALUES (1)"))
            with pytest.raises(CannotJoin, match="another database"), index.joined(connection):
                pass
            connection.execute(text("INSERT INTO own VALUES (2)"))
        create_schema(other)
        for copy in (False, True):
            with engine_to(other).begin() as connection:
                if copy:
                    same = {"id": index.read(identity.get)}
                    connection.execute(text("UPDATE s3kit_identity SET id = :id"), same)
                assert connection.execute(text("SELECT sum(a) FROM own")).scalar() == 3
                with pytest.raises(CannotJoin, match="another database"), index.joined(connection):
                    pass
        other.close()


# -- what a transaction must be


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_snapshot_of_the_past_is_refused(kind: str, tmp_path: Path) -> None:
    """Locks taken in it would be decided on by what was there before them."""
    with fresh_database(kind, tmp_path) as url:
        index = Index(url)
        create_schema(index)
        for level in ("REPEATABLE READ", "SERIALIZABLE"):
            with (
                engine_to(index, isolation_level=level).connect() as connection,
                pytest.raises(CannotJoin, match=f"{level}.*READ COMMITTED"),
                index.joined(connection),
            ):
                pass
        with (
            engine_to(index, isolation_level="AUTOCOMMIT").connect() as connection,
            pytest.raises(CannotJoin, match="AUTOCOMMIT"),
            index.joined(connection),
        ):
            pass
        with engine_to(index).connect() as connection:
            connection.begin_twophase()
            with pytest.raises(CannotJoin, match="two-phase"), index.joined(connection):
                pass
        index.close()


def test_only_a_plain_connection_or_session_is_joined(sqlite: Index) -> None:
    engine = create_engine(sqlite.url, poolclass=NullPool)
    asynchronous = type("AsyncSession", (), {"__module__": "sqlalchemy.ext.asyncio.session"})()
    wrong: Any
    for wrong, reason in (
        (engine, "Connection or Session"),
        (None, "Connection or Session"),
        (asynchronous, "without asyncio"),
    ):
        with pytest.raises(CannotJoin, match=reason), sqlite.joined(wrong):
            pass
    with engine.connect() as connection:
        with pytest.raises(CannotJoin, match="foreign keys are off"), sqlite.joined(connection):
            pass
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(CannotJoin, match="AUTOCOMMIT"), sqlite.joined(connection):
            pass
    with (
        create_engine("sqlite://").connect() as connection,
        pytest.raises(CannotJoin, match="foreign keys"),
        sqlite.joined(connection),
    ):
        pass


def test_an_index_in_memory_has_no_callers(tmp_path: Path, sqlite: Index) -> None:
    private = Index("memory://")
    create_schema(private)
    with (
        engine_to(sqlite).connect() as connection,
        pytest.raises(CannotJoin, match="your own database's URL"),
        private.joined(connection),
    ):
        pass
    private.close()


def test_an_event_loops_thread_cannot_join(sqlite: Index) -> None:
    async def join() -> None:
        with engine_to(sqlite).connect() as connection, sqlite.joined(connection):
            pass

    with pytest.raises(CannotJoin, match=r"asyncio\.to_thread"):
        asyncio.run(join())


def test_what_the_connection_makes_of_rows_and_texts_is_no_matter(sqlite: Index) -> None:
    engine = engine_to(sqlite)

    def odd(raw: Any, _: object) -> None:
        raw.row_factory = lambda cursor, row: {"row": row}
        raw.text_factory = bytes

    event.listen(engine, "connect", odd)
    with engine.connect() as connection, sqlite.joined(connection):
        assert make(sqlite, "photos").name == "photos"
        assert names(sqlite) == ["photos"]
        raw: Any = connection.connection.driver_connection
        assert raw.text_factory is bytes
        connection.commit()
    assert names(sqlite) == ["photos"]


def test_python_began_nothing_before_a_savepoint(sqlite: Index) -> None:
    """Its release would be a commit, in the old transaction mode of Python's sqlite3."""
    with engine_to(sqlite).connect() as connection, sqlite.joined(connection):
        with connection.begin_nested():
            make(sqlite, "photos")
        connection.rollback()
    assert names(sqlite) == []


# -- what others see, and what is remembered


def test_kept_rows_are_right_after_either_end(sqlite: Index) -> None:
    bucket = make(sqlite, "photos")
    kept = put(sqlite, version(bucket, b"a", 1))
    with engine_to(sqlite).connect() as connection:
        for end, size in ((connection.rollback, 1), (connection.commit, 2)):
            assert find(sqlite, bucket) == kept
            with sqlite.joined(connection):
                new = put(sqlite, version(bucket, b"a", 2))
                assert find(sqlite, bucket).size == 2
            assert find(sqlite, bucket).size == 1
            end()
            assert find(sqlite, bucket).size == size
    assert find(sqlite, bucket) == new


def test_a_row_kept_in_the_midst_of_a_commit_is_not_used_after_it(
    sqlite: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer's last word on a counter may come in between the two of ours."""
    recent = sqlite.recent
    assert recent is not None
    bucket = make(sqlite, "photos")
    put(sqlite, version(bucket, b"a", 1))
    counter = recent.counter_of(bucket.id, b"a")
    announce = recent.announce
    values: list[int] = []

    def meanwhile(counters: Any) -> None:
        # We have looked at the counter while a writer that has committed had it odd, its last word
        # comes, somebody keeps the row that is there by it, and what we write is by the old look.
        recent.begin_write([counter])
        odd = recent.value(counter)
        recent.end_write([counter])
        find(sqlite, bucket)
        values.append(recent.value(counter))
        recent._counters[counter] = odd
        announce(counters)

    monkeypatch.setattr(RecentRows, "announce", lambda _, counters: meanwhile(counters))
    with engine_to(sqlite).begin() as connection, sqlite.joined(connection):
        put(sqlite, version(bucket, b"a", 2))
    assert find(sqlite, bucket).size == 2
    assert recent.value(counter) not in values


def find(index: Index, bucket: Bucket) -> ObjectVersion:
    found = objects.find_current(index, bucket.id, b"a")
    assert found is not None
    return found


def test_nothing_is_done_for_a_transaction_that_only_read(sqlite: Index) -> None:
    forgotten: list[int] = []
    sqlite.after_joined.append(lambda: forgotten.append(1))
    with engine_to(sqlite).begin() as connection, sqlite.joined(connection):
        assert names(sqlite) == []
    assert forgotten == []
    with engine_to(sqlite).begin() as connection, sqlite.joined(connection):
        make(sqlite, "photos")
    assert forgotten == [1]


# -- what goes wrong


def test_a_commit_that_fails_tells_nobody(index: Index, caller: CallersConnection) -> None:
    """It may have happened: what waited for a rollback is left to the orphan sweep."""
    heard: list[str] = []
    with index.joined(caller):
        make(index, "photos")
        calls_of(index, heard, "photos")
    driver: Any = caller.dialect.dbapi

    def fail(_: object) -> None:
        raise driver.OperationalError("the server is gone")

    caller.dialect.do_commit = fail  # type: ignore[assignment, method-assign]
    with pytest.raises(DBAPIError, match="the server is gone"):
        caller.commit()
    caller.rollback()
    assert heard == []
    assert names(index) == []


def test_a_writer_who_comes_late_is_told_to_begin_again(sqlite: Index) -> None:
    """SQLite's snapshot is then older than what the decision must be made by."""
    with engine_to(sqlite).connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT * FROM s3kit_buckets").all()
        make(sqlite, "others")
        with sqlite.joined(connection):
            with pytest.raises(SlowDown, match="begin again"):
                make(sqlite, "photos")
            connection.rollback()
            make(sqlite, "photos")
        connection.commit()
    assert names(sqlite) == ["others", "photos"]


def test_a_transaction_that_the_database_has_undone_cannot_be_committed(sqlite: Index) -> None:
    heard: list[str] = []

    def fill_the_disk(c: Connection) -> None:
        c.raw.execute("ROLLBACK")
        raise OSError("disk full")

    with engine_to(sqlite).connect() as connection, sqlite.joined(connection):
        make(sqlite, "photos")
        calls_of(sqlite, heard, "photos")
        with pytest.raises(OSError, match="disk full"):
            sqlite.write(fill_the_disk)
        with pytest.raises(ServiceUnavailable, match="roll it back"):
            make(sqlite, "other")
        with pytest.raises(InvalidRequestError, match="roll it back"):
            connection.commit()
        assert heard == ["photos rolled back"]
        connection.rollback()
        make(sqlite, "other")
        connection.commit()
    assert names(sqlite) == ["other"]


def test_postgresql_takes_a_commit_after_an_error_for_a_rollback(tmp_path: Path) -> None:
    heard: list[str] = []
    with fresh_database("postgresql", tmp_path) as url:
        index = Index(url)
        create_schema(index)
        with engine_to(index).connect() as connection:
            with index.joined(connection):
                make(index, "photos")
                calls_of(index, heard, "photos")
            with pytest.raises(DBAPIError):
                connection.execute(text("SELECT nothing"))
            connection.commit()
        assert heard == ["photos rolled back"]
        assert names(index) == []
        index.close()


def test_mariadb_undoes_a_whole_transaction_for_a_deadlock(tmp_path: Path) -> None:
    heard: list[str] = []
    with fresh_database("mariadb", tmp_path) as url:
        index = Index(url)
        create_schema(index)
        first, second = make(index, "first"), make(index, "second")
        locked, go = threading.Event(), threading.Event()

        def other() -> None:
            def work(c: Connection) -> None:
                c.raw.cursor().execute("SET innodb_lock_wait_timeout = 20")
                for number in range(50):
                    buckets.insert(c, f"heavy-{number}", "alice", 1)
                buckets.set_acl(c, second.id, None)
                locked.set()
                go.wait(60)
                buckets.set_acl(c, first.id, None)

            index.write(work)

        with engine_to(index).connect() as connection, index.joined(connection):
            acl = Acl("alice")
            index.write(lambda c: buckets.set_acl(c, first.id, acl))
            calls_of(index, heard, "first")
            thread = threading.Thread(target=other)
            thread.start()
            assert locked.wait(60)
            go.set()
            with pytest.raises(SlowDown):
                index.write(lambda c: buckets.set_acl(c, second.id, acl))
            with pytest.raises(InvalidRequestError, match="roll it back"):
                connection.commit()
            connection.rollback()
            thread.join()
        assert heard == ["first rolled back"]
        index.close()


def test_a_transaction_that_ended_unseen_tells_nobody(sqlite: Index) -> None:
    heard: list[str] = []
    with engine_to(sqlite).connect() as connection, sqlite.joined(connection):
        make(sqlite, "photos")
        calls_of(sqlite, heard, "photos")
        connection.exec_driver_sql("COMMIT")
        connection.commit()
    assert heard == []
    assert names(sqlite) == ["photos"]


def test_a_fork_leaves_the_transaction_to_its_parent(sqlite: Index) -> None:
    with engine_to(sqlite).connect() as connection, sqlite.joined(connection):
        make(sqlite, "photos")
        child = os.fork()
        if child == 0:
            os._exit(0 if not sqlite.is_joined() and not names(sqlite) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert sqlite.is_joined()
        connection.commit()
    assert names(sqlite) == ["photos"]


def test_an_outer_connection_ends_what_a_session_in_it_has_done(sqlite: Index) -> None:
    """As test suites do it: the session's own commit is none."""
    heard: list[str] = []
    with engine_to(sqlite).connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="rollback_only") as session:
            with sqlite.joined(session):
                make(sqlite, "photos")
                calls_of(sqlite, heard, "photos")
            session.commit()
        assert heard == []
        transaction.commit()
    assert heard == ["photos committed"]
