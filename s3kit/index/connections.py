"""Connections to a driver, and the pool that keeps them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from threading import Condition
from threading import Lock
from typing import Any
from typing import Final
from typing import cast

from s3kit.errors import SlowDown
from s3kit.index.statements import Family
from s3kit.index.statements import Parameters
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

LOG = logging.getLogger("s3kit.index")

WAIT_SECONDS = 30
"""How long to wait for a connection, or for a lock that another program holds on the database."""

_DEADLOCKS = {"40001", "40P01", "55P03", 1213, 1205, 1020}
_LOST = {"57P01", "57P02", "57P03", 0, 1053, 1927, 2006, 2013, 2055, 4031}


RULES: Final = (0, b"")
"""Among what a transaction has ``written``: what processes remember of buckets, their documents,
accounts, keys and roles."""


class Retry(Exception):
    """Raised by a work that lost a race and wants to be run again in a new transaction."""


class Connection:
    """What a work gets: runs statements on one DBAPI connection."""

    __slots__ = ("before_commit", "charges", "family", "raw", "written")

    def __init__(self, raw: Any, family: Family) -> None:
        self.raw = raw
        self.family = family
        self.before_commit: dict[object, tuple[Statement, Parameters]] = {}
        """Statements still to be run when the work has returned, by a name that can cancel them."""
        self.written: set[tuple[int, bytes]] = set()
        """The keys (bucket id, key) that the transaction may change."""
        self.charges: dict[tuple[str, str], tuple[int, int]] = {}
        """What is to be counted when the work has returned, see :mod:`s3kit.index.usage`."""

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

    def __init__(
        self,
        raw: Any,
        family: Family,
        integrity_error: type[Exception],
        cursor: Any = None,
    ) -> None:
        super().__init__(raw, family)
        cursor = self._cursor = raw.cursor() if cursor is None else cursor
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
