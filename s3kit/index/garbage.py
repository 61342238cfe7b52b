"""Blobs that nothing points at any more, kept for a grace period before they are removed."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

from sqlalchemy import BindParameter
from sqlalchemy import Select
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import union_all
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.schema import contents
from s3kit.index.schema import garbage
from s3kit.index.schema import parts
from s3kit.index.statements import Statement

_AT_ONCE = 64

_ADD = Statement(
    insert(garbage)
    .values(
        storage=bindparam("storage"),
        blob=bindparam("blob"),
        since=bindparam("since"),
    )
    .inline()
)
_DUE = Statement(
    select(garbage.c.id, garbage.c.blob)
    .where(garbage.c.storage == bindparam("this_storage"), garbage.c.since < bindparam("before"))
    .order_by(garbage.c.since)
    .limit(bindparam("most"))
)
_BETWEEN = Statement(
    select(garbage.c.id)
    .where(
        garbage.c.storage == bindparam("this_storage"),
        garbage.c.since >= bindparam("first"),
        garbage.c.since < bindparam("before"),
    )
    .order_by(garbage.c.since)
    .limit(bindparam("most"))
)
_POSTPONE = Statement(
    update(garbage).where(garbage.c.id == bindparam("this_id")).values(since=bindparam("later"))
)
_FORGET = Statement(delete(garbage).where(garbage.c.id == bindparam("this_id")))


def _known() -> Select[tuple[str]]:
    wanted: list[BindParameter[str]] = [bindparam(f"blob{number}") for number in range(_AT_ONCE)]
    return select(
        union_all(
            select(contents.c.id.label("blob")).where(
                contents.c.parts == 0, contents.c.id.in_(wanted)
            ),
            select(parts.c.blob).where(parts.c.blob.in_(wanted)),
            select(garbage.c.blob).where(garbage.c.blob.in_(wanted)),
        ).subquery("known")
    )


_KNOWN = Statement(_known())


def add(connection: Connection, storage: str, blob: str, since: int) -> None:
    """Put a blob on the list. ``since``: when its last reference went, in milliseconds."""
    connection.run(_ADD, {"storage": storage, "blob": blob, "since": since})


def due(connection: Connection, storage: str, before: int, limit: int) -> list[tuple[int, str]]:
    """(id, blob) of a storage's on the list since before ``before`` (ms), oldest first."""
    values = {"this_storage": storage, "before": before, "most": limit}
    return [(number, blob) for number, blob in connection.all(_DUE, values)]


def between(connection: Connection, storage: str, first: int, before: int, limit: int) -> list[int]:
    """Ids of a storage's entries from ``first`` on and before ``before`` (ms), oldest first."""
    values = {"this_storage": storage, "first": first, "before": before, "most": limit}
    return [row[0] for row in connection.all(_BETWEEN, values)]


def postpone(connection: Connection, ids: Iterable[int], since: int) -> None:
    """Put entries on the list anew, from ``since`` (ms): their blobs cannot be removed now."""
    connection.run_many(_POSTPONE, [{"this_id": each, "later": since} for each in ids])


def forget(connection: Connection, ids: Iterable[int]) -> None:
    """Take entries off the list: their blobs are gone."""
    connection.run_many(_FORGET, [{"this_id": each} for each in ids])


def known(connection: Connection, blobs: Sequence[str]) -> set[str]:
    """Those of ``blobs`` that a content, a part or the garbage list names: the rest are orphans.

    Whatever storage the row names: a storage may have had another name when it was written.
    """
    found: set[str] = set()
    for start in range(0, len(blobs), _AT_ONCE):
        some = blobs[start : start + _AT_ONCE]
        # One statement for any number: the last id fills the places that are left.
        names = {f"blob{number}": some[min(number, len(some) - 1)] for number in range(_AT_ONCE)}
        found.update(row[0] for row in connection.all(_KNOWN, names))
    return found
