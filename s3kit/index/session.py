"""The index: reads on kept connections, writes in transactions, nothing shared by a fork."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Callable
from collections.abc import Collection
from contextlib import AbstractContextManager
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import make_url
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect

from s3kit.errors import ServiceUnavailable
from s3kit.index.connections import LOG
from s3kit.index.connections import WAIT_SECONDS
from s3kit.index.connections import Connection
from s3kit.index.connections import Pool
from s3kit.index.connections import ServerConnection
from s3kit.index.connections import SqliteConnection
from s3kit.index.joined import JOINED
from s3kit.index.joined import alone
from s3kit.index.joined import forget_all
from s3kit.index.joined import joined_to
from s3kit.index.joined import joining
from s3kit.index.recent import RecentRows
from s3kit.index.statements import Family
from s3kit.index.writers import INHERITED
from s3kit.index.writers import MOST_IN_A_COMMIT
from s3kit.index.writers import ServerWriter
from s3kit.index.writers import SqliteWriter
from s3kit.index.writers import is_busy
from s3kit.signals import HOLDERS

if TYPE_CHECKING:
    from sqlalchemy import Connection as CallersConnection
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import scoped_session

    from s3kit.index.joined import Transaction

T = TypeVar("T")

READ_AGAIN = 2
"""How often a read is run again that has lost its connection."""

MAPPED_BYTES = 256 << 20
"""How much of an SQLite file readers map: one copy for all of them, in the system's own cache."""


class Index:
    """The facts of one endpoint in one SQL database.

    :param url: an SQLAlchemy URL (SQLite, PostgreSQL by psycopg, MariaDB by PyMySQL), or
        ``memory://``: an SQLite file in a private temporary folder that goes when it is closed.
    :param durability: ``full``: what was acknowledged survives a power cut. ``relaxed``: it
        survives a crash of the process; a power cut may take the last moments, never half a commit.
        (MariaDB has no such setting per connection: see ``innodb_flush_log_at_trx_commit``.)
    :param pool_size: as many threads as may read at once.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Literal["full", "relaxed"] = "full",
        pool_size: int = 32,
    ) -> None:
        self._folder: weakref.finalize[Any, Any] | None = None
        synchronous = "FULL" if durability == "full" else "NORMAL"
        private = url in ("memory://", "sqlite://")
        if private:
            folder = tempfile.mkdtemp(prefix="s3kit-index-")
            self._folder = weakref.finalize(self, _remove_folder, folder, os.getpid())
            url = f"sqlite:///{folder}/index.db"
            synchronous = "OFF"
        self.url: URL = _complete(make_url(url))
        self.engine: Engine = _engine(self.url)
        self.dialect: Family = _family(self.engine.dialect)
        self._relaxed = durability != "full"
        self._synchronous = synchronous
        self._pool_size = pool_size
        self._pool = Pool(self._connect, pool_size)
        self._writer: SqliteWriter | ServerWriter
        self.transactions: weakref.WeakKeyDictionary[CallersConnection, Transaction]
        self.transactions = weakref.WeakKeyDictionary()
        """What waits for the ends of callers' transactions, see :mod:`s3kit.index.joined`."""
        self.after_joined: list[Callable[[], object]] = []
        """Called after each joined transaction's commit: to forget what is remembered."""
        self.recent: RecentRows | None = None
        """Rows read a moment ago; only on SQLite."""
        if self.dialect == "sqlite":
            path = self.path = str(self.url.database)
            # Owner only; SQLite gives its own files the rights of the database.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _use_write_ahead_log(path)
            lock_path = None if private else path + "-lock"
            self.recent = RecentRows(path + "-counters")
            writer = self._writer = SqliteWriter(
                self._connect_writer, lock_path, MOST_IN_A_COMMIT, self.recent
            )
            writer.share_counters()
        else:
            self.path = ""
            self._writer = ServerWriter(self._pool)
        _OPEN.add(self)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a connection; every statement sees what is committed at its start.

        Works on PostgreSQL and MariaDB are run again when the connection was lost. Raises
        ServiceUnavailable when it is lost again and again, or the database cannot be reached.
        """
        if JOINED:
            joined = joined_to(self)
            if joined is not None:
                return joined.read(work)
        pool = self._pool
        try:
            connection = pool.idle.pop()
        except IndexError:
            connection = pool.take()
        try:
            result = work(connection)
        except Exception as error:
            if not isinstance(connection, ServerConnection) or not connection.is_lost(error):
                pool.give(connection)
                raise
            pool.drop(connection)
            pool.clear()
        except BaseException:
            pool.drop(connection)
            raise
        else:
            pool.give(connection)
            return result
        return self._read_again(work)

    def _read_again(self, work: Callable[[Connection], T]) -> T:
        pool = self._pool
        lost: Exception | None = None
        for _ in range(READ_AGAIN):
            connection = pool.take()
            try:
                result = work(connection)
            except Exception as error:
                if not isinstance(connection, ServerConnection) or not connection.is_lost(error):
                    pool.give(connection)
                    raise
                # Others that were given back meanwhile may be as dead.
                pool.drop(connection)
                pool.clear()
                lost = error
            except BaseException:
                pool.drop(connection)
                raise
            else:
                pool.give(connection)
                return result
        raise ServiceUnavailable("The index's database keeps closing connections.") from lost

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; what it did is durable when this returns.

        ``work`` may be run more than once and, on SQLite, in another caller's thread: it must do
        nothing but SQL. What it raises undoes its own changes only. Raises SlowDown when deadlocks
        do not end, and :class:`CommitFailed`.
        """
        if JOINED:
            joined = joined_to(self)
            if joined is not None:
                return joined.write(work)
            # What is told next is told of this write, whatever the thread has joined elsewhere.
            HOLDERS.pop(get_ident(), None)
        return self._writer.write(work)

    def joined(
        self, source: CallersConnection | Session | scoped_session[Session]
    ) -> AbstractContextManager[None]:
        """Have all that this thread reads and writes meanwhile happen in a caller's transaction.

        Nothing is committed here: what was written comes and goes with the caller's commit or
        rollback, before the end of the block or after it. A write that fails undoes only itself.

        :param source: an SQLAlchemy connection to the index's own database, or a session.
        :raises CannotJoin: it is to another database, or asynchronous, or commits by itself, or
            S3's rules would not hold on it; the text says what to do.
        """
        return joining(self, source)

    def is_joined(self) -> bool:
        """Whether this thread is in a caller's transaction: nothing it reads may be remembered."""
        return bool(JOINED) and joined_to(self) is not None

    def rules(self) -> int:
        """What to compare before what was remembered of buckets, accounts and keys is used.

        On SQLite another number once any process of this machine has changed one of them; elsewhere
        always the same.
        """
        recent = self.recent
        return 0 if recent is None else recent.rules()

    def after_commit(self, call: Callable[[], object]) -> None:
        """Call it now, or once a joined transaction is committed; never after its rollback."""
        joined = joined_to(self) if JOINED else None
        if joined is None:
            call()
        else:
            joined.transaction().tell(call)

    def after_rollback(self, call: Callable[[], object]) -> None:
        """Call it when a joined transaction was rolled back."""
        joined = joined_to(self) if JOINED else None
        if joined is not None:
            joined.transaction().undo(call)

    def announce_joined(self, written: Collection[tuple[int, bytes]]) -> None:
        """Just before a joined transaction is committed that has written to these keys."""
        recent = self.recent
        if recent is not None and written:
            recent.announce({recent.counter_of(*key) for key in written})

    def forget_joined(self, written: Collection[tuple[int, bytes]]) -> None:
        """After the commit: forget what is remembered of these keys, and of everything else."""
        with alone():
            if self.recent is not None and written:
                keys = set(written)
                try:
                    self._writer.write(lambda c: c.written.update(keys))
                except Exception:
                    LOG.warning("kept rows may be used for a few seconds more", exc_info=True)
            for forget in self.after_joined:
                forget()

    def watch_commits(self, committed: Callable[[int], object]) -> None:
        """Have ``committed`` called after each commit with the number of writes that it carried.

        Only SQLite's carry several; elsewhere it is never called.
        """
        if isinstance(self._writer, SqliteWriter):
            self._writer.committed = committed

    def close(self) -> None:
        """Close every connection that is not in use; a ``memory://`` index is gone then."""
        self._writer.close()
        self._pool.clear()
        if self.recent is not None:
            self.recent.close()
        self.engine.dispose()
        _OPEN.discard(self)
        if self._folder is not None:
            self._folder()

    def _connect(self) -> Connection:
        if self.dialect == "sqlite":
            return self._connect_sqlite(query_only=True)
        dialect = self.engine.dialect
        positional, named = dialect.create_connect_args(self.url)
        named = dict(named)
        if self.dialect == "postgresql":
            named["autocommit"] = True
        else:
            named["autocommit"] = True
            named.setdefault("charset", "utf8mb4")
        dbapi: Any = dialect.dbapi
        raw: Any = None
        try:
            raw = dbapi.connect(*positional, **named)
            with raw.cursor() as cursor:
                for setting in self._session_settings():
                    cursor.execute(setting)
        except dbapi.Error as error:
            LOG.error("the index's database cannot be reached: %s", error)
            if raw is not None:
                with suppress(dbapi.Error):
                    raw.close()
            raise ServiceUnavailable("The index's database cannot be reached.") from error
        return ServerConnection(raw, self.dialect, dbapi.IntegrityError)

    def _session_settings(self) -> tuple[str, ...]:
        if self.dialect == "postgresql":
            durable = (
                "SET synchronous_commit = off"
                if self._relaxed
                # Stronger settings of the server's own, such as remote_apply, are kept.
                else "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            return ("SET default_transaction_isolation = 'read committed'", durable)
        return (
            # The server's default is REPEATABLE READ, whose gap locks make inserts deadlock.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
            "SET SESSION foreign_key_checks = 1",
        )

    def _connect_writer(self) -> SqliteConnection:
        return self._connect_sqlite(query_only=False)

    def _connect_sqlite(self, *, query_only: bool) -> SqliteConnection:
        raw = sqlite3.connect(
            self.path,
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        raw.execute(f"PRAGMA synchronous = {self._synchronous}")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA journal_size_limit = 67108864")
        if query_only:
            raw.execute("PRAGMA query_only = ON")
            # A page of prefixes seeks in a thousand places: what all readers map needs no copies,
            # and a cache of their own only for what is still in the write-ahead log.
            raw.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            raw.execute("PRAGMA cache_size = -4096")
        else:
            raw.execute("PRAGMA cache_size = -16384")
        return SqliteConnection(raw)

    def _before_fork(self) -> None:
        self._writer.pause()
        self._pool.clear()

    def _forget(self) -> None:
        if self.recent is not None:
            self.recent.forget()
        INHERITED.extend(self._pool.idle)
        self._pool = Pool(self._connect, self._pool_size)
        if isinstance(self._writer, SqliteWriter):
            self._writer.forget()
        else:
            self._writer = ServerWriter(self._pool)
        self.engine.dispose(close=False)


def _complete(url: URL) -> URL:
    """With the drivers that s3kit is tested with, and the path that SQLite itself makes of it.

    That outlives a chdir, and whoever comes by another link shares the files beside the database.
    """
    drivers = {
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "mysql": "mysql+pymysql",
        "mariadb": "mariadb+pymysql",
    }
    url = url.set(drivername=drivers.get(url.drivername, url.drivername))
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("an index in memory is memory://")
        url = url.set(database=os.path.realpath(url.database))
    return url


def _engine(url: URL) -> Engine:
    """SQLAlchemy's engine: for tables and migrations only, so without a pool."""
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        # SQLAlchemy's recipe: without it a transaction begins only at its first write, too late
        # to keep two processes from making the tables at once.
        event.listen(engine, "connect", _without_own_transactions)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _use_write_ahead_log(path: str) -> None:
    """Kept in the file. The switch needs the file for itself, and does not wait for it."""
    raw = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    try:
        limit = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    raw.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > limit:
                    raise
            time.sleep(0.01)
    finally:
        raw.close()


def _without_own_transactions(connection: Any, record: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _family(dialect: Dialect) -> Family:
    if isinstance(dialect, PGDialect):
        if dialect.driver != "psycopg":
            raise ValueError(f"s3kit speaks to PostgreSQL through psycopg, not {dialect.driver}")
        return "postgresql"
    if isinstance(dialect, MySQLDialect):
        if dialect.driver != "pymysql":
            raise ValueError(f"s3kit speaks to MariaDB through pymysql, not {dialect.driver}")
        return "mysql"
    if dialect.name == "sqlite":
        return "sqlite"
    raise ValueError(f"s3kit cannot keep its index in {dialect.name}")


def _remove_folder(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


_OPEN: weakref.WeakSet[Index] = weakref.WeakSet()


def _before_fork() -> None:
    for index in list(_OPEN):
        index._before_fork()


def _after_fork_in_parent() -> None:
    for index in list(_OPEN):
        index._writer.resume()


def _after_fork_in_child() -> None:
    forget_all()
    for index in list(_OPEN):
        index._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )

__all__ = ["Connection", "Index"]
