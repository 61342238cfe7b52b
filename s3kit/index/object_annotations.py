"""What was added to a version later, each under a name. The rows go with their version's.

Who changes a version's annotations has locked its key first.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.errors import NoSuchKey
from s3kit.index.connections import Connection
from s3kit.index.schema import object_annotations as table
from s3kit.index.schema import read_checksum
from s3kit.index.schema import read_headers
from s3kit.index.schema import write_checksum
from s3kit.index.schema import write_headers
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Annotation

_SEQ: BindParameter[int] = bindparam("this_seq")
_NAME: BindParameter[bytes] = bindparam("this_name")
_THIS = (table.c.seq == _SEQ, table.c.name == _NAME)
_FACTS = (
    table.c.name,
    table.c.size,
    table.c.etag,
    table.c.modified,
    table.c.checksum,
    table.c.headers,
)
_CHANGING = ("size", "etag", "modified", "checksum", "headers", "payload")
_CHANGES: dict[str, BindParameter[Any]] = {name: bindparam(f"new_{name}") for name in _CHANGING}
_VALUES = {"seq": _SEQ, "name": _NAME, **_CHANGES}

_GET = Statement(select(*_FACTS, table.c.payload).where(*_THIS))
_PUT = Statement(
    insert(table).values(_VALUES).inline(),
    sqlite=sqlite_insert(table)
    .values(_VALUES)
    .on_conflict_do_update(index_elements=["seq", "name"], set_=_CHANGES)
    .inline(),
    postgresql=postgresql_insert(table)
    .values(_VALUES)
    .on_conflict_do_update(index_elements=["seq", "name"], set_=_CHANGES)
    .inline(),
    mysql=mysql_insert(table).values(_VALUES).on_duplicate_key_update(_CHANGES).inline(),
)
_DELETE = Statement(sql_delete(table).where(*_THIS))
_EXISTS = Statement(select(table.c.size).where(*_THIS))
_ANY = Statement(select(table.c.size).where(table.c.seq == _SEQ).limit(1))
_COUNT = Statement(select(func.count()).select_from(table).where(table.c.seq == _SEQ))
_PAGE = Statement(
    select(*_FACTS)
    .where(
        table.c.seq == _SEQ,
        table.c.name > bindparam("after"),
        table.c.name >= bindparam("prefix"),
        table.c.name < bindparam("past"),
    )
    .order_by(table.c.name)
    .limit(bindparam("most"))
)
_COPIED = ("name", *_CHANGING)
_COPY = Statement(
    insert(table)
    .from_select(
        ["seq", *_COPIED],
        select(
            bindparam("new_seq", type_=BigInteger),
            *(table.c[name] for name in _COPIED),
        ).where(table.c.seq == _SEQ),
    )
    .inline()
)
_CHANGE = Statement(update(table).where(*_THIS).values(_CHANGES))

# No text in UTF-8 has this byte, so that whatever begins with a prefix is below prefix + it.
_PAST = b"\xff"
_PAGE_SIZE = 1000


def _read(row: Row) -> Annotation:
    name, size, etag, modified, checksum, headers = row[:6]
    return Annotation(
        bytes(name).decode(), size, etag, modified, read_checksum(checksum), read_headers(headers)
    )


def _parameters(seq: int, annotation: Annotation, payload: bytes) -> dict[str, object]:
    return {
        "this_seq": seq,
        "this_name": annotation.name.encode(),
        "new_size": annotation.size,
        "new_etag": annotation.etag,
        "new_modified": annotation.modified,
        "new_checksum": write_checksum(annotation.checksum),
        "new_headers": write_headers(annotation.headers),
        "new_payload": payload,
    }


def get(connection: Connection, seq: int, name: str) -> tuple[Annotation, bytes] | None:
    """The version's annotation of that name and its stored bytes, or None."""
    row = connection.one(_GET, {"this_seq": seq, "this_name": name.encode()})
    return None if row is None else (_read(row), bytes(row[6]))


def exists(connection: Connection, seq: int, name: str) -> bool:
    """Whether the version has an annotation of that name."""
    return connection.one(_EXISTS, {"this_seq": seq, "this_name": name.encode()}) is not None


def has_any(connection: Connection, seq: int) -> bool:
    """Whether the version has annotations."""
    return connection.one(_ANY, {"this_seq": seq}) is not None


def count(connection: Connection, seq: int) -> int:
    """How many annotations the version has."""
    row = connection.one(_COUNT, {"this_seq": seq})
    assert row is not None
    return int(row[0])


def put(connection: Connection, seq: int, annotation: Annotation, payload: bytes) -> None:
    """Store an annotation in place of the one of the same name. Raises NoSuchKey.

    :param payload: what is to be stored, sealed or not.
    """
    try:
        connection.run(_PUT, _parameters(seq, annotation, payload))
    except Exception as error:
        if connection.is_integrity_error(error):
            raise NoSuchKey from error
        raise


def delete(connection: Connection, seq: int, name: str) -> bool:
    """Remove an annotation; False when there was none."""
    return connection.run(_DELETE, {"this_seq": seq, "this_name": name.encode()}) == 1


def page(connection: Connection, seq: int, prefix: str, after: str, limit: int) -> list[Annotation]:
    """Up to ``limit`` annotations in the byte order of their names, above ``after``."""
    start = prefix.encode()
    parameters = {
        "this_seq": seq,
        "after": after.encode(),
        "prefix": start,
        "past": start + _PAST,
        "most": limit,
    }
    return [_read(row) for row in connection.all(_PAGE, parameters)]


def copy(connection: Connection, seq: int, new_seq: int) -> int:
    """Give another version the same annotations; how many there are."""
    return connection.run(_COPY, {"this_seq": seq, "new_seq": new_seq})


def change(connection: Connection, seq: int, annotation: Annotation, payload: bytes) -> None:
    """Replace what is stored of an annotation."""
    connection.run(_CHANGE, _parameters(seq, annotation, payload))


def follow(connection: Connection, seq: int, replica_seq: int, *, may_lose: bool) -> None:
    """Make the annotations of a version's replica what the version's own are.

    :param may_lose: else the replica only gets those that it has none of that name of.
    """
    wanted = _by_name(connection, seq)
    there = _by_name(connection, replica_seq)
    if may_lose:
        for name in there.keys() - wanted.keys():
            delete(connection, replica_seq, name)
    for name in sorted(wanted):
        if name in there and (not may_lose or there[name] == wanted[name]):
            continue
        found = get(connection, seq, name)
        if found is not None:
            put(connection, replica_seq, *found)


def _by_name(connection: Connection, seq: int) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    after = ""
    while some := page(connection, seq, "", after, _PAGE_SIZE):
        found.update((each.name, each) for each in some)
        after = some[-1].name
    return found
