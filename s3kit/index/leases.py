"""Who does a work that one process at a time should do, and how far it has come.

A lease only shares work out: what must not happen twice is decided again in its own transaction,
so that a holder who is believed dead too early does no harm.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.schema import leases
from s3kit.index.statements import Statement


def wall_clock() -> int:
    """Milliseconds since the epoch. Leases are between processes, whatever clock a store has."""
    return int(time.time() * 1000)


class Lease(NamedTuple):
    """What is known of a work; ``until`` in milliseconds since the epoch."""

    holder: str
    until: int
    progress: str


_NAME: BindParameter[str] = bindparam("this_name")
_HOLDER: BindParameter[str] = bindparam("this_holder")
_UNTIL: BindParameter[int] = bindparam("new_until")
_GET = Statement(
    select(leases.c.holder, leases.c.until, leases.c.progress).where(leases.c.name == _NAME)
)
_TAKE = Statement(
    update(leases)
    .where(
        leases.c.name == _NAME,
        or_(
            leases.c.holder == _HOLDER,
            leases.c.until < bindparam("now"),
            leases.c.until > bindparam("latest"),
        ),
    )
    .values(holder=bindparam("new_holder"), until=_UNTIL)
)
_INSERT = Statement(
    insert(leases).values(name=_NAME, holder=_HOLDER, until=_UNTIL, progress="").inline()
)
_KEEP = Statement(
    update(leases)
    .where(leases.c.name == _NAME, leases.c.holder == _HOLDER)
    .values(until=_UNTIL, progress=bindparam("new_progress"))
)
_DELETE = Statement(delete(leases).where(leases.c.name == _NAME))


def get(connection: Connection, name: str) -> Lease | None:
    """What is known of a work; None if nobody has ever done it."""
    row = connection.one(_GET, {"this_name": name})
    return None if row is None else Lease(row[0], row[1], row[2] or "")


def take(
    connection: Connection, name: str, holder: str, now: int, until: int, longest: int
) -> Lease | None:
    """Take a work that nobody holds; None where another does.

    :param longest: milliseconds for which anybody takes it: one that is held beyond was taken
        while a clock was ahead.
    :returns: the lease, with the progress that was written down last.
    """
    parameters = {"this_name": name, "this_holder": holder, "new_until": until}
    taking = {**parameters, "new_holder": holder, "now": now, "latest": now + longest}
    if connection.run(_TAKE, taking) == 0:
        if get(connection, name) is not None:
            return None
        try:
            connection.run(_INSERT, parameters)
        except Exception as error:
            if connection.is_integrity_error(error):
                # Another was faster, or the row is there and not seen: it is asked for again.
                return None
            raise
    return get(connection, name)


def keep(connection: Connection, name: str, holder: str, until: int, progress: str) -> bool:
    """Write down how far a work has come and go on holding it; False where it was lost.

    Whoever is done with it for now gives an ``until`` that is over.
    """
    parameters = {"this_name": name, "this_holder": holder, "new_until": until}
    return connection.run(_KEEP, {**parameters, "new_progress": progress}) == 1


def forget(connection: Connection, name: str) -> None:
    """There is no such work any more."""
    connection.run(_DELETE, {"this_name": name})
