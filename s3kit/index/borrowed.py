"""A caller's own DBAPI connection as one of ours: checked, and free of its row factories."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import cast

from sqlalchemy import Connection as CallersConnection
from sqlalchemy import text
from sqlalchemy.engine import TwoPhaseTransaction

from s3kit.errors import SlowDown
from s3kit.index import identity
from s3kit.index.connections import Connection
from s3kit.index.connections import ServerConnection
from s3kit.index.connections import SqliteConnection
from s3kit.index.statements import Family
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

DRIVERS: dict[Family, str] = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql"}

_SAVEPOINT = "s3kit_write"
_TOUCH = "UPDATE s3kit_identity SET id = id WHERE 0"
"""Takes SQLite's write lock and changes nothing."""

# A copy of a database has its id too, but another file, or a server that started at another time.
_PLACES: dict[Family, Statement] = {
    "sqlite": Statement(text("SELECT file FROM pragma_database_list WHERE name = 'main'")),
    "postgresql": Statement(
        text(
            "SELECT current_database(), pg_postmaster_start_time(), "
            "CAST(to_regclass('s3kit_identity') AS oid)"
        )
    ),
    "mysql": Statement(text("SELECT @@hostname, @@port, DATABASE()")),
}
_SQLITE_SETTINGS = Statement(text("SELECT foreign_keys FROM pragma_foreign_keys"))
_MARIADB_SETTINGS = Statement(
    text("SELECT @@foreign_key_checks, @@character_set_client, @@sql_mode")
)
_RECIPE = "https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#foreign-key-support"


class CannotJoin(ValueError):
    """This transaction cannot be joined; the text says what to do about it."""


class BorrowedSqlite(SqliteConnection):
    """The caller's :class:`sqlite3.Connection`, in whose transaction we only set savepoints."""

    __slots__ = ()

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(raw)
        self._execute = self._run_plainly

    def _run_plainly(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.raw.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, parameters)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give texts as texts meanwhile."""
        own = self.raw.text_factory
        self.raw.text_factory = str
        try:
            yield
        finally:
            self.raw.text_factory = own

    def lock(self) -> None:
        """Begin the transaction if need be, and take SQLite's write lock. Raises SlowDown."""
        try:
            # Python's module begins by itself only at a caller's first INSERT or the like, and a
            # savepoint outside of any transaction would be one, and its release the commit.
            self._run_plainly(_TOUCH if self.raw.in_transaction else "BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise SlowDown(
                "Somebody else is writing, or has written since this transaction first read: "
                "roll it back and begin again."
            ) from error

    def begin_write(self) -> None:
        """A savepoint, and the right to write. Raises SlowDown."""
        self.lock()
        self._run_plainly(f"SAVEPOINT {_SAVEPOINT}")

    def end_write(self) -> None:
        """Keep what was done since :meth:`begin_write`."""
        self._run_plainly(f"RELEASE {_SAVEPOINT}")

    def undo_write(self) -> None:
        """Undo what was done since :meth:`begin_write`; raises what the driver does."""
        self._run_plainly(f"ROLLBACK TO {_SAVEPOINT}")
        self._run_plainly(f"RELEASE {_SAVEPOINT}")

    def can_commit(self) -> bool:
        """Whether there is still a transaction that a commit would make durable."""
        return bool(self.raw.in_transaction)

    def failed(self) -> bool:
        """Whether the database will take a commit for a rollback."""
        return False

    def met_deadlock(self, error: BaseException) -> bool:
        """Whether the whole transaction, begun again, may succeed."""
        return False


class BorrowedServer(ServerConnection):
    """The caller's connection of psycopg or PyMySQL; the methods are those of BorrowedSqlite."""

    __slots__ = ("_failed", "_in_transaction")

    def __init__(self, raw: Any, family: Family) -> None:
        if family == "postgresql":
            import psycopg
            from psycopg.pq import TransactionStatus
            from psycopg.rows import tuple_row

            cursor: Any = psycopg.Cursor(raw, row_factory=tuple_row)
            integrity_error: type[Exception] = psycopg.IntegrityError
            self._in_transaction: int = TransactionStatus.INTRANS
            self._failed: int = TransactionStatus.INERROR
        else:
            from pymysql.constants import SERVER_STATUS
            from pymysql.cursors import Cursor
            from pymysql.err import IntegrityError

            cursor = Cursor(raw)
            integrity_error = IntegrityError
            self._in_transaction = SERVER_STATUS.SERVER_STATUS_IN_TRANS
        super().__init__(raw, family, integrity_error, cursor)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing: the cursor is ours."""
        yield

    def lock(self) -> None:
        """Nothing: rows are locked one by one."""

    def begin_write(self) -> None:
        """A savepoint."""
        self._cursor.execute(f"SAVEPOINT {_SAVEPOINT}")

    def end_write(self) -> None:
        """Keep what was done since :meth:`begin_write`."""
        self._cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def undo_write(self) -> None:
        """Undo what was done since :meth:`begin_write`; raises what the driver does."""
        self._cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        self._cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def can_commit(self) -> bool:
        """Whether there is still a transaction that a commit would make durable."""
        if self.family == "postgresql":
            return bool(self.raw.info.transaction_status == self._in_transaction)
        return bool(self.raw.server_status & self._in_transaction)

    def failed(self) -> bool:
        """Whether the database will take a commit for a rollback: PostgreSQL, after an error."""
        return self.family == "postgresql" and bool(
            self.raw.info.transaction_status == self._failed
        )


Borrowed = BorrowedSqlite | BorrowedServer


def borrow(connection: CallersConnection, family: Family) -> Borrowed:
    """A caller's connection, for statements of ours.

    :raises CannotJoin: it is of another driver, or its transaction cannot be ours too.
    """
    dialect = connection.dialect
    if dialect.is_async or dialect.driver != DRIVERS[family]:
        raise CannotJoin(
            f"this connection is of the driver {dialect.driver}, and s3kit's index of "
            f"{DRIVERS[family]}: both must be the same database, by the same driver"
        )
    if isinstance(connection.get_transaction(), TwoPhaseTransaction):
        raise CannotJoin("a two-phase transaction cannot be joined: begin a plain one")
    raw: Any = connection.connection.driver_connection
    commits = raw.get_autocommit() if family == "mysql" else getattr(raw, "autocommit", False)
    option = connection.get_execution_options().get("isolation_level")
    if commits is True or option == "AUTOCOMMIT":
        raise CannotJoin("this connection commits each statement by itself (AUTOCOMMIT)")
    if family == "sqlite":
        return BorrowedSqlite(raw)
    return BorrowedServer(raw, family)


def check(connection: CallersConnection, borrowed: Borrowed) -> None:
    """Refuse a connection on which S3's rules would not hold.

    :raises CannotJoin:
    """
    if borrowed.family == "sqlite":
        settings = borrowed.one(_SQLITE_SETTINGS, {})
        if settings is None or not settings[0]:
            raise CannotJoin(
                "foreign keys are off on this connection, and cannot be switched on inside a "
                f"transaction: do it when connecting, see {_RECIPE}"
            )
        return
    isolation = connection.get_isolation_level()
    if isolation != "READ COMMITTED":
        raise CannotJoin(
            f"this transaction is {isolation}; s3kit's locks need one that sees what others have "
            'committed: create_engine(url, isolation_level="READ COMMITTED")'
        )
    if borrowed.family == "mysql":
        keys, characters, mode = cast(Row, borrowed.one(_MARIADB_SETTINGS, {}))
        if not keys or characters != "utf8mb4" or "STRICT_" not in mode:
            raise CannotJoin(
                "s3kit needs foreign_key_checks = 1, the character set utf8mb4 and a strict "
                f"sql_mode on this connection, not {keys}, {characters} and {mode!r}"
            )


def place_of(connection: Connection) -> tuple[object, ...]:
    """Which database a connection is to; the same for all connections to it, and to no copy."""
    row = cast(Row, connection.one(_PLACES[connection.family], {}))
    if connection.family == "sqlite":
        row = (os.path.realpath(row[0]) if row[0] else None,)
    return (*row, identity.get(connection))


def check_place(borrowed: Borrowed, own: tuple[object, ...]) -> None:
    """Refuse a connection to another database than the index's.

    :param own: what :func:`place_of` says of one of the index's own.
    :raises CannotJoin:
    """
    theirs: object = None
    problem: Exception | None = None
    if borrowed.family != "sqlite":
        borrowed.begin_write()
    try:
        theirs = place_of(borrowed)
    except Exception as error:
        # No such table, most likely.
        problem = error
    if borrowed.family != "sqlite":
        # Else PostgreSQL would have no more of the caller's transaction.
        borrowed.undo_write()
    if theirs != own:
        raise CannotJoin(
            "this connection is to another database than s3kit's index: only what lies in one "
            "database can be one transaction. Give your own database's URL to S3App as its index"
        ) from problem
