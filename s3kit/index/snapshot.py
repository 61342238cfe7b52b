"""All facts as of one moment, written into an SQLite file, and from there into any index.

The file has the tables of this schema, whatever database they were read from, so a snapshot of one
kind of database can be loaded into another, and one of an older s3kit can be upgraded first.

Left out is what belongs to a place and not to the facts: the garbage list (its blobs are of no use
to anybody), the leases, and the index's identity (a loaded index is another index, with storages of
its own).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from typing import TypeVar

from sqlalchemy import BindParameter
from sqlalchemy import Table
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import or_
from sqlalchemy import select

from s3kit.index.connections import Connection
from s3kit.index.schema import garbage
from s3kit.index.schema import identity
from s3kit.index.schema import leases
from s3kit.index.schema import metadata
from s3kit.index.schema import schema_version
from s3kit.index.session import Index
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

T = TypeVar("T")

TABLES = tuple(
    table
    for table in metadata.sorted_tables
    if table not in (garbage, identity, leases, schema_version)
)
"""What a snapshot holds; a table comes after those that it points at."""

COUNTED = tuple(
    column.table
    for table in TABLES
    for column in table.primary_key.columns
    if column.autoincrement is True
)
"""Tables whose numbers must not come back: where a snapshot's end, the loaded index goes on."""

_ROWS = 500
_ROWS_WITH_BYTES = 64
"""A row may hold a mebibyte."""


class NotEmpty(Exception):
    """The index that a snapshot should be loaded into holds something already."""


def _name(column: Any) -> str:
    return f"v_{column.name}"


def _page(table: Table) -> tuple[Statement, Statement]:
    """The first rows of a table by its primary key, and those after a row."""
    most: BindParameter[int] = bindparam("most")
    key = list(table.primary_key.columns)
    place: dict[str, BindParameter[Any]] = {each.name: bindparam(_name(each)) for each in key}
    first = select(*table.columns).order_by(*key).limit(most)
    later = or_(
        *(
            and_(*(key[n] == place[key[n].name] for n in range(number)), each > place[each.name])
            for number, each in enumerate(key)
        )
    )
    # The first column by itself, so that every database seeks instead of scanning.
    return Statement(first), Statement(first.where(key[0] >= place[key[0].name], later))


_PAGES = {table.name: _page(table) for table in TABLES}
_INSERTS = {
    table.name: Statement(
        insert(table)
        .values({column.name: bindparam(_name(column)) for column in table.columns})
        .inline()
    )
    for table in TABLES
}
_ANY = {table.name: Statement(select(table.primary_key.columns[0]).limit(1)) for table in TABLES}
_COUNTS = {table.name: Statement(select(func.count()).select_from(table)) for table in TABLES}
_GREATEST = {
    table.name: Statement(select(func.max(table.primary_key.columns[0]))) for table in COUNTED
}


def at_one_moment(index: Index, work: Callable[[Connection], T]) -> T:
    """Run ``work``, all of whose statements see what was committed when it began.

    Nobody waits for it. While it runs, SQLite's write-ahead log only grows, and servers keep old
    rows: it should do nothing but read. It may be run more than once.
    """
    begin = {
        "sqlite": ("BEGIN",),
        "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
        "mysql": (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ),
    }[index.dialect]

    def run(connection: Connection) -> T:
        cursor = connection.raw.cursor()
        for statement in begin:
            cursor.execute(statement)
        try:
            return work(connection)
        finally:
            # A connection that was lost has nothing to be ended.
            with suppress(Exception):
                cursor.execute("ROLLBACK")
            cursor.close()

    return index.read(run)


def page_size(table: Table) -> int:
    """How many rows of a table are held at once."""
    holds_bytes = any(column.name in ("inline", "document", "payload") for column in table.columns)
    return _ROWS_WITH_BYTES if holds_bytes else _ROWS


def rows(connection: Connection, table: Table) -> Iterator[list[Row]]:
    """All rows of a table in pages, in the order of its primary key."""
    first, later = _PAGES[table.name]
    most = page_size(table)
    places = [(_name(each), list(table.columns).index(each)) for each in table.primary_key.columns]
    page = connection.all(first, {"most": most})
    while page:
        yield page
        if len(page) < most:
            return
        after = {name: page[-1][place] for name, place in places}
        page = connection.all(later, {**after, "most": most})


def counts(connection: Connection) -> dict[str, int]:
    """How many rows each table of a snapshot has, by name."""
    found = {}
    for table in TABLES:
        row = connection.one(_COUNTS[table.name], {})
        assert row is not None
        found[table.name] = int(row[0])
    return found


def write_snapshot(source: Index, target: Index, advance: Callable[[int], None]) -> dict[str, int]:
    """Copy the facts of one moment into a fresh index, whose schema is made.

    :param advance: told how many rows were copied.
    :returns: the last number that each counted table has given, by the table's name.
    """

    def work(connection: Connection) -> dict[str, int]:
        # Made anew, for the case that the connection was lost on the way.
        target.write(_clear)
        for table in TABLES:
            for page in rows(connection, table):
                target.write(lambda c, t=table, p=page: _insert(c, t, p))  # type: ignore[misc]
                advance(len(page))
        return last_numbers(connection)

    return at_one_moment(source, work)


def load_snapshot(source: Index, target: Index, advance: Callable[[int], None]) -> None:
    """Copy a snapshot into an index that holds nothing, in one transaction.

    :raises NotEmpty: it does hold something; nothing was done then.
    """

    def work(into: Connection) -> None:
        check_empty(into)

        def copy(connection: Connection) -> None:
            for table in TABLES:
                for page in rows(connection, table):
                    _insert(into, table, page)
                    advance(len(page))

        source.read(copy)
        if into.family == "postgresql":
            # The others count rows that came with a number of their own.
            for table in COUNTED:
                _go_on_after(into, table, _greatest(into, table))

    target.write(work)


def check_empty(connection: Connection) -> None:
    """:raises NotEmpty: there is a row in any table that a snapshot would fill."""
    for table in TABLES:
        if connection.one(_ANY[table.name], {}) is not None:
            raise NotEmpty(table.name)


def _insert(connection: Connection, table: Table, page: list[Row]) -> None:
    names = [_name(column) for column in table.columns]
    connection.run_many(_INSERTS[table.name], [dict(zip(names, row, strict=True)) for row in page])


def _clear(connection: Connection) -> None:
    for table in reversed(TABLES):
        connection.raw.execute(f"DELETE FROM {table.name}")


# -- the numbers that rows are given


def _greatest(connection: Connection, table: Table) -> int:
    row = connection.one(_GREATEST[table.name], {})
    return 0 if row is None or row[0] is None else int(row[0])


def last_numbers(connection: Connection) -> dict[str, int]:
    """The last number that each counted table has given, rows that are gone included."""
    found = {}
    for table in COUNTED:
        found[table.name] = max(_greatest(connection, table), _last_given(connection, table))
    return found


def _last_given(connection: Connection, table: Table) -> int:
    cursor = connection.raw.cursor()
    column = table.primary_key.columns[0].name
    try:
        if connection.family == "sqlite":
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
        elif connection.family == "postgresql":
            # Numbers given in transactions that have not committed yet count too.
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (table.name, column))
            cursor.execute(f"SELECT last_value FROM {cursor.fetchone()[0]}")
        else:
            cursor.execute(
                "SELECT auto_increment - 1 FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name = %s",
                (table.name,),
            )
        row = cursor.fetchone()
    finally:
        cursor.close()
    return 0 if row is None or row[0] is None else int(row[0])


def set_last_numbers(index: Index, numbers: dict[str, int]) -> None:
    """Let the counted tables go on after these numbers; to be called before rows are loaded."""

    def work(connection: Connection) -> None:
        for table in COUNTED:
            number = numbers.get(table.name, 0)
            if number > 0:
                _go_on_after(connection, table, number)

    index.write(work)


def _go_on_after(connection: Connection, table: Table, number: int) -> None:
    cursor = connection.raw.cursor()
    column = table.primary_key.columns[0].name
    try:
        if connection.family == "sqlite":
            # The table has no key, so there is nothing to replace by.
            cursor.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table.name)
            )
            if cursor.rowcount == 0:
                cursor.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, number)
                )
        elif connection.family == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (table.name, column))
            sequence = cursor.fetchone()[0]
            cursor.execute(
                f"SELECT setval(%s, greatest(%s, (SELECT last_value FROM {sequence})))",
                (sequence, max(number, 1)),
            )
        elif number > _last_given(connection, table):
            # By itself for rows with numbers of their own; this is for numbers of rows long gone.
            # Ends the transaction.
            cursor.execute(f"ALTER TABLE {table.name} AUTO_INCREMENT = {number + 1}")
    finally:
        cursor.close()
