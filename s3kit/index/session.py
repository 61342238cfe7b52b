"""Connections, transactions and compiled statements: the only module that talks to a driver.

Statements are SQLAlchemy Core, compiled once per kind of database and run as text on a kept DBAPI
connection: 6 microseconds for a point read where Core with a pool checkout takes 31.
"""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
import weakref
from _thread import LockType
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Condition
from threading import Lock
from threading import get_ident
from typing import Any
from typing import ClassVar
from typing import Generic
from typing import Literal
from typing import TypeVar
from typing import cast

from sqlalchemy import URL
from sqlalchemy import Engine
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from s3kit.errors import ServiceUnavailable
from s3kit.errors import SlowDown

try:
    import fcntl
except ImportError:  # Windows: SQLite's own busy handler must do
    fcntl = None  # type: ignore[assignment]

Family = Literal["sqlite", "postgresql", "mysql"]
"""How a database speaks. MariaDB belongs to ``mysql``, CockroachDB and its like to PostgreSQL."""

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
T = TypeVar("T")

LOG = logging.getLogger("s3kit.index")

MOST_IN_A_COMMIT = 64
"""How many writers of one process share an SQLite commit."""

ATTEMPTS = 10
"""How often a transaction that met a deadlock is run before the client is told to slow down."""

WAIT_SECONDS = 30
"""How long to wait for a connection, or for a lock that another program holds on the database."""

_DEADLOCKS = {"40001", "40P01", "55P03", 1213, 1205, 1020}
_LOST = {"57P01", "57P02", "57P03", 0, 1053, 1927, 2006, 2013, 2055, 4031}


class CommitFailed(Exception):
    """The database refused the commit, or was lost during it: the outcome is not known."""


class Retry(Exception):
    """Raised by a work that lost a race and wants to be run again in a new transaction."""


class Statement:
    """One SQL statement, written in Core and compiled to text once per kind of database.

    :param core: the statement; every value that changes is a ``bindparam``.
    :param variants: the same for one family where its SQL must differ.
    """

    __slots__ = ("_core", "_variants", "texts")

    _dialects: ClassVar[dict[Family, Dialect]] = {}

    def __init__(self, core: ClauseElement, **variants: ClauseElement) -> None:
        self._core = core
        self._variants = variants
        self.texts: dict[Family, str] = {}

    def compile(self, family: Family) -> str:
        """The statement's text with named parameters, remembered for the next time."""
        dialect = self._dialects.get(family)
        if dialect is None:
            dialect = self._dialects[family] = _compiling_dialect(family)
        compiled = self._variants.get(family, self._core).compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        text = str(compiled)
        for name, bind in compiled.binds.items():
            if not bind.required:
                # A constant of the statement, which Core would send with every call.
                place = f":{name}" if family == "sqlite" else f"%({name})s"
                text = re.sub(rf"{re.escape(place)}(?!\w)", _literal(bind.value), text)
        self.texts[family] = text
        return text


def _literal(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    if value == "":
        return "''"
    raise TypeError(f"a statement's constant must be a number or '', not {value!r}")


def _compiling_dialect(family: Family) -> Dialect:
    if family == "sqlite":
        return SQLiteDialect_pysqlite(paramstyle="named")
    if family == "postgresql":
        return PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call,unused-ignore]
    dialect = MySQLDialect_pymysql(paramstyle="pyformat")
    # Unset until a first connection; MariaDB's quoting and our statements need no more than this.
    dialect.server_version_info = (10, 6)
    return dialect


class Connection:
    """What a work gets: runs statements on one DBAPI connection."""

    __slots__ = ("before_commit", "family", "raw")

    def __init__(self, raw: Any, family: Family) -> None:
        self.raw = raw
        self.family = family
        self.before_commit: dict[object, tuple[Statement, Parameters]] = {}
        """Statements still to be run when the work has returned, by a name that can cancel them."""

    def one(self, statement: Statement, parameters: Parameters) -> Row | None:
        """The first row, or None."""
        raise NotImplementedError

    def all(self, statement: Statement, parameters: Parameters) -> list[Row]:
        """Every row."""
        raise NotImplementedError

    def run(self, statement: Statement, parameters: Parameters) -> int:
        """The number of rows that the statement matched."""
        raise NotImplementedError

    def run_many(self, statement: Statement, parameters: Iterable[Parameters]) -> None:
        """The statement once for each set of parameters."""
        raise NotImplementedError

    def insert(self, statement: Statement, parameters: Parameters) -> int:
        """The new row's identity. On PostgreSQL the statement must return it."""
        raise NotImplementedError

    def is_integrity_error(self, error: BaseException) -> bool:
        """Whether a unique or foreign key refused the statement."""
        raise NotImplementedError

    def close(self) -> None:
        try:
            self.raw.close()
        except Exception:
            LOG.debug("closing a database connection failed", exc_info=True)


class SqliteConnection(Connection):
    """Runs statements on :mod:`sqlite3`; each has its own cursor, so that no read lock stays."""

    __slots__ = ("_execute",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(raw, "sqlite")
        self._execute = raw.execute

    def one(self, statement: Statement, parameters: Parameters) -> Row | None:
        text = statement.texts.get("sqlite") or statement.compile("sqlite")
        return cast("Row | None", self._execute(text, parameters).fetchone())

    def all(self, statement: Statement, parameters: Parameters) -> list[Row]:
        text = statement.texts.get("sqlite") or statement.compile("sqlite")
        return self._execute(text, parameters).fetchall()

    def run(self, statement: Statement, parameters: Parameters) -> int:
        text = statement.texts.get("sqlite") or statement.compile("sqlite")
        return self._execute(text, parameters).rowcount

    def run_many(self, statement: Statement, parameters: Iterable[Parameters]) -> None:
        text = statement.texts.get("sqlite") or statement.compile("sqlite")
        self.raw.executemany(text, parameters)

    def insert(self, statement: Statement, parameters: Parameters) -> int:
        text = statement.texts.get("sqlite") or statement.compile("sqlite")
        return cast(int, self._execute(text, parameters).lastrowid)

    def is_integrity_error(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.IntegrityError)


class ServerConnection(Connection):
    """Runs statements on psycopg or PyMySQL, in autocommit mode until ``BEGIN``."""

    __slots__ = ("_cursor", "_integrity_error", "begin", "commit", "rollback")

    def __init__(self, raw: Any, family: Family, integrity_error: type[Exception]) -> None:
        super().__init__(raw, family)
        cursor = self._cursor = raw.cursor()
        self._integrity_error = integrity_error
        self.begin: Callable[[], object] = lambda: cursor.execute("BEGIN")
        self.commit: Callable[[], object] = lambda: cursor.execute("COMMIT")
        self.rollback: Callable[[], object] = lambda: cursor.execute("ROLLBACK")

    def one(self, statement: Statement, parameters: Parameters) -> Row | None:
        cursor = self._cursor
        cursor.execute(
            statement.texts.get(self.family) or statement.compile(self.family), parameters
        )
        return cast("Row | None", cursor.fetchone())

    def all(self, statement: Statement, parameters: Parameters) -> list[Row]:
        cursor = self._cursor
        cursor.execute(
            statement.texts.get(self.family) or statement.compile(self.family), parameters
        )
        return list(cursor.fetchall())

    def run(self, statement: Statement, parameters: Parameters) -> int:
        cursor = self._cursor
        cursor.execute(
            statement.texts.get(self.family) or statement.compile(self.family), parameters
        )
        return cast(int, cursor.rowcount)

    def run_many(self, statement: Statement, parameters: Iterable[Parameters]) -> None:
        text = statement.texts.get(self.family) or statement.compile(self.family)
        self._cursor.executemany(text, list(parameters))

    def insert(self, statement: Statement, parameters: Parameters) -> int:
        cursor = self._cursor
        cursor.execute(
            statement.texts.get(self.family) or statement.compile(self.family), parameters
        )
        if self.family == "postgresql":
            return cast(int, cursor.fetchone()[0])
        return cast(int, cursor.lastrowid)

    def is_integrity_error(self, error: BaseException) -> bool:
        return isinstance(error, self._integrity_error)

    def met_deadlock(self, error: BaseException) -> bool:
        """Whether running the whole transaction again may succeed."""
        return isinstance(error, Retry) or _error_number(error) in _DEADLOCKS

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection to the server is gone."""
        if self.family == "postgresql":
            number = _error_number(error)
            return bool(self.raw.closed) or number in _LOST or str(number).startswith("08")
        return not self.raw.open or _error_number(error) in _LOST


def _error_number(error: BaseException) -> str | int | None:
    """PostgreSQL's SQLSTATE, or MariaDB's error number."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return cast(str, state)
    if type(error).__module__.startswith("pymysql") and error.args:
        return cast("str | int", error.args[0])
    return None


class Pool:
    """At most ``size`` connections; the one used last is taken first, so that caches stay warm."""

    __slots__ = ("_changed", "_connect", "_opened", "_waiting", "idle", "size")

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self.idle: deque[Connection] = deque()
        self.size = size
        self._connect = connect
        self._opened = 0
        self._waiting = 0
        self._changed = Condition(Lock())

    def take(self) -> Connection:
        """A connection. Raises SlowDown when none is given back for half a minute."""
        try:
            return self.idle.pop()
        except IndexError:
            return self._open_or_wait()

    def give(self, connection: Connection) -> None:
        """Back into the pool."""
        self.idle.append(connection)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def drop(self, connection: Connection) -> None:
        """A broken connection leaves the pool."""
        connection.close()
        self._closed_one()

    def clear(self) -> None:
        """Close every connection that nobody uses now."""
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            self.drop(connection)

    def _closed_one(self) -> None:
        with self._changed:
            self._opened -= 1
            self._changed.notify()

    def _open_or_wait(self) -> Connection:
        limit = time.monotonic() + WAIT_SECONDS
        with self._changed:
            self._waiting += 1
            try:
                while self._opened >= self.size:
                    # Looked at again after _waiting was raised: whoever gives back now notifies.
                    try:
                        return self.idle.pop()
                    except IndexError:
                        pass
                    left = limit - time.monotonic()
                    if left <= 0:
                        raise SlowDown("Every database connection is in use.")
                    self._changed.wait(left)
                self._opened += 1
            finally:
                self._waiting -= 1
        try:
            return self._connect()
        except BaseException:
            self._closed_one()
            raise


class _Ticket(Generic[T]):
    """One caller's work on its way through a shared commit."""

    __slots__ = ("error", "promoted", "result", "wake", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.result: T | None = None
        self.error: BaseException | None = None
        self.wake: LockType | None = None
        self.promoted = False

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class SqliteWriter:
    """Writes to one SQLite file, many callers to a commit.

    The thread that finds nobody writing becomes the leader: it takes the file lock that the
    processes share, opens one transaction, runs the works that wait, commits, wakes their callers
    and hands leadership to the next in the queue. No thread of its own, so nothing is lost by a
    fork, and a lone writer pays for no hand-over.
    """

    def __init__(
        self, connect: Callable[[], SqliteConnection], lock_path: str | None, most: int
    ) -> None:
        self._connect = connect
        self._lock_path = lock_path if fcntl is not None else None
        self._most = most
        self._connection: SqliteConnection | None = None
        self._lock_file: int | None = None
        self._gate = Lock()
        self._queue: deque[_Ticket[Any]] = deque()
        self._leading = False
        self._leader = 0

    def write(self, work: Callable[[Connection], T]) -> T:
        ticket = _Ticket(work)
        with self._gate:
            if self._leading:
                if self._leader == get_ident():
                    raise RuntimeError("a write inside a write: use the connection that it got")
                wake = ticket.wake = allocate_lock()
                wake.acquire()
                self._queue.append(ticket)
            else:
                self._leading = True
                self._leader = get_ident()
        if ticket.wake is not None:
            try:
                ticket.wake.acquire()
            except BaseException:
                self._abandon(ticket)
                raise
            if not ticket.promoted:
                return ticket.outcome()
            self._leader = get_ident()
        batch: list[_Ticket[Any]] = [ticket]
        try:
            self._commit(batch)
        except BaseException as error:
            for each in batch:
                if each.error is None:
                    each.error = _commit_failed(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over()
            for each in batch:
                if each is not ticket and each.wake is not None:
                    each.wake.release()
        return ticket.outcome()

    def _hand_over(self) -> None:
        with self._gate:
            if not self._queue:
                self._leading = False
                self._leader = 0
                return
            heir = self._queue.popleft()
            heir.promoted = True
            self._leader = 0
        assert heir.wake is not None
        heir.wake.release()

    def _abandon(self, ticket: _Ticket[Any]) -> None:
        """A waiting caller was interrupted: leadership must not be lost with it."""
        with self._gate:
            if ticket in self._queue:
                self._queue.remove(ticket)
                return
        if ticket.promoted:
            self._hand_over()

    def _commit(self, batch: list[_Ticket[Any]]) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        raw: sqlite3.Connection = connection.raw
        self._lock()
        try:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                    batch[0].error = SlowDown()
                    return
                raise
            self._run(connection, batch)
            raw.execute("COMMIT")
        except BaseException:
            self._discard(connection)
            raise
        finally:
            self._unlock()

    def _run(self, connection: SqliteConnection, batch: list[_Ticket[Any]]) -> None:
        """Run the first work and all that wait by then, each undone alone when it fails."""
        raw: sqlite3.Connection = connection.raw
        execute = raw.execute
        index = 0
        # While nothing is in the transaction yet a failed work is undone by undoing all of it.
        empty = True
        while True:
            ticket = batch[index]
            if not empty:
                execute("SAVEPOINT work")
            try:
                ticket.result = ticket.work(connection)
            except Exception as error:
                ticket.error = error
                if not raw.in_transaction:
                    # Disk full, I/O error: SQLite has undone the whole transaction by itself.
                    for earlier in batch[:index]:
                        if earlier.error is None:
                            earlier.error = _commit_failed(error)
                    execute("BEGIN IMMEDIATE")
                    empty = True
                elif empty:
                    execute("ROLLBACK")
                    execute("BEGIN IMMEDIATE")
                else:
                    execute("ROLLBACK TO work")
                    execute("RELEASE work")
            else:
                if not empty:
                    execute("RELEASE work")
                empty = False
            index += 1
            if index >= self._most:
                return
            try:
                batch.append(self._queue.popleft())
            except IndexError:
                return

    def _discard(self, connection: SqliteConnection) -> None:
        with suppress(sqlite3.Error):
            connection.raw.execute("ROLLBACK")
        connection.close()
        self._connection = None

    def _lock(self) -> None:
        if self._lock_path is None:
            return
        if self._lock_file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock_file = os.open(self._lock_path, flags, 0o600)
        # Fair enough between processes, and cheaper than SQLite's busy handler, which sleeps.
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)

    def _unlock(self) -> None:
        if self._lock_file is not None:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def close(self) -> None:
        with self._gate:
            if self._leading:
                return
            connection, self._connection = self._connection, None
            lock_file, self._lock_file = self._lock_file, None
        if connection is not None:
            connection.close()
        if lock_file is not None:
            os.close(lock_file)

    def forget(self) -> None:
        """In a forked child: leave what the parent's threads use alone, and begin anew."""
        if self._connection is not None:
            _INHERITED.append(self._connection)
        if self._lock_file is not None:
            # A lock belongs to the open file, which parent and child would share.
            os.close(self._lock_file)
        self._connection = None
        self._lock_file = None
        self._gate = Lock()
        self._queue = deque()
        self._leading = False
        self._leader = 0


def _commit_failed(cause: BaseException) -> CommitFailed:
    failed = CommitFailed(f"the commit failed: {cause}")
    failed.__cause__ = cause
    return failed


class ServerWriter:
    """Writes to PostgreSQL or MariaDB, each caller in a transaction of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def write(self, work: Callable[[Connection], T]) -> T:
        pool = self._pool
        attempt = 0
        while True:
            connection = cast(ServerConnection, pool.take())
            committing = False
            connection.before_commit.clear()
            try:
                connection.begin()
                result = work(connection)
                for statement, parameters in connection.before_commit.values():
                    connection.run(statement, parameters)
                committing = True
                connection.commit()
            except Exception as error:
                lost = connection.is_lost(error)
                again = lost or connection.met_deadlock(error)
                self._undo(connection)
                if lost:
                    # The server has probably closed them all.
                    pool.clear()
                    if committing:
                        raise _commit_failed(error) from error
                if not again:
                    raise
                attempt += 1
                if attempt == ATTEMPTS:
                    raise SlowDown() from error
            except BaseException:
                pool.drop(connection)
                raise
            else:
                pool.give(connection)
                return result
            # Uneven pauses, so that the same two do not meet again.
            time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 7)))

    def _undo(self, connection: ServerConnection) -> None:
        try:
            connection.rollback()
        except Exception:
            self._pool.drop(connection)
        else:
            self._pool.give(connection)

    def close(self) -> None:
        """The pool is the index's: nothing of its own to close."""

    def forget(self) -> None:
        """See :meth:`SqliteWriter.forget`; the pool is made anew by the index."""


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
        self.url: URL = _with_driver(make_url(url))
        self.engine: Engine = _engine(self.url)
        self.dialect: Family = _family(self.engine.dialect)
        self._relaxed = durability != "full"
        self._synchronous = synchronous
        self._pool_size = pool_size
        self._pool = Pool(self._connect, pool_size)
        self._writer: SqliteWriter | ServerWriter
        if self.dialect == "sqlite":
            path = self.path = str(Path(self.url.database or "").absolute())
            # Owner only; SQLite gives its own files the rights of the database.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            lock_path = None if private else path + "-lock"
            self._writer = SqliteWriter(self._connect_writer, lock_path, MOST_IN_A_COMMIT)
        else:
            self.path = ""
            self._writer = ServerWriter(self._pool)
        _OPEN.add(self)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a connection; every statement sees what is committed at its start.

        Works on PostgreSQL and MariaDB are run once more when the connection was lost.
        """
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
        connection = pool.take()
        try:
            return work(connection)
        finally:
            pool.give(connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; what it did is durable when this returns.

        ``work`` may be run more than once and, on SQLite, in another caller's thread: it must do
        nothing but SQL. What it raises undoes its own changes only. Raises SlowDown when deadlocks
        do not end, and :class:`CommitFailed`.
        """
        return self._writer.write(work)

    def close(self) -> None:
        """Close every connection that is not in use; a ``memory://`` index is gone then."""
        self._writer.close()
        self._pool.clear()
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
        try:
            raw = dbapi.connect(*positional, **named)
        except dbapi.Error as error:
            LOG.error("the index's database cannot be reached: %s", error)
            raise ServiceUnavailable("The index's database cannot be reached.") from error
        with raw.cursor() as cursor:
            for setting in self._session_settings():
                cursor.execute(setting)
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
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute(f"PRAGMA synchronous = {self._synchronous}")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA journal_size_limit = 67108864")
        if query_only:
            raw.execute("PRAGMA query_only = ON")
        return SqliteConnection(raw)

    def _close_idle(self) -> None:
        self._pool.clear()
        self._writer.close()

    def _forget(self) -> None:
        _INHERITED.extend(self._pool.idle)
        self._pool = Pool(self._connect, self._pool_size)
        if isinstance(self._writer, SqliteWriter):
            self._writer.forget()
        else:
            self._writer = ServerWriter(self._pool)
        self.engine.dispose(close=False)


def _with_driver(url: URL) -> URL:
    """The drivers that s3kit is tested with, where the URL names none."""
    drivers = {
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "mysql": "mysql+pymysql",
        "mariadb": "mariadb+pymysql",
    }
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def _engine(url: URL) -> Engine:
    """SQLAlchemy's engine: for tables and migrations only, so without a pool."""
    return create_engine(url, poolclass=NullPool)


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

_INHERITED: list[Connection] = []
"""Connections of the parent's threads: closing one in a child would end it for the parent."""


def _before_fork() -> None:
    for index in list(_OPEN):
        index._close_idle()


def _after_fork_in_child() -> None:
    for index in list(_OPEN):
        index._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)

__all__ = [
    "CommitFailed",
    "Connection",
    "Family",
    "Index",
    "Parameters",
    "Retry",
    "Row",
    "Statement",
]
