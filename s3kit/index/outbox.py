"""The outbox: events written in the transaction of what they tell of, until they are delivered.

A row is one event for one target. Rows of one target and key are delivered in the order of their
ids, which is the order of commits: a row is written while its key is locked. A worker takes rows
under a lease; only the oldest that waits of a key can be taken, together with those behind it, so
that no other worker can overtake it, however often it has to be tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter
from sqlalchemy import Select
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import literal
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.schema import outbox
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

LONGEST_TARGET = 255
LONGEST_ERROR = 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits for its delivery to one target.

    :param seq: orders the events of a key, the same for all targets of one event.
    :param attempts: how many have failed.
    :param dead: it was given up; nobody tries it again by itself.
    """

    id: int
    event: str
    bucket_id: int
    key: bytes
    seq: int
    target: str
    document: str
    created: int
    due: int
    attempts: int
    dead: bool
    error: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one target; ``oldest`` in milliseconds, of what is not dead, 0 for none."""

    target: str
    waiting: int
    dead: int
    oldest: int


_NEW_VALUES: dict[str, BindParameter[Any]] = {
    name: bindparam(name)
    for name in ("event_id", "bucket_id", "key", "seq", "target", "document", "created", "due")
}
_NEW_ROW = {
    **_NEW_VALUES,
    "attempts": literal(0),
    "dead": literal(0),
    "holder": literal(""),
    "held_until": literal(0),
    "error": literal(""),
}
_ADD = Statement(
    insert(outbox).values(_NEW_ROW).inline(),
    postgresql=insert(outbox).values(_NEW_ROW).inline().returning(outbox.c.id),
)

_TARGET: BindParameter[str] = bindparam("this_target")
_BUCKET: BindParameter[int] = bindparam("this_bucket")
_KEY: BindParameter[bytes] = bindparam("this_key")
_NOW: BindParameter[int] = bindparam("now")
_HOLDER: BindParameter[str] = bindparam("this_holder")
_ID: BindParameter[int] = bindparam("this_id")

_COLUMNS = (
    outbox.c.id,
    outbox.c.event_id,
    outbox.c.bucket_id,
    outbox.c.key,
    outbox.c.seq,
    outbox.c.target,
    outbox.c.document,
    outbox.c.created,
    outbox.c.due,
    outbox.c.attempts,
    outbox.c.dead,
    outbox.c.error,
    outbox.c.holder,
)


def _heads(*columns: Any) -> Select[Any]:
    """Rows that may be tried now: due, not taken, and the oldest of their key."""
    earlier = outbox.alias("earlier")
    return (
        select(*columns)
        .where(
            outbox.c.target == _TARGET,
            outbox.c.dead == 0,
            outbox.c.due <= _NOW,
            outbox.c.held_until <= _NOW,
            ~exists(
                select(literal(1))
                .select_from(earlier)
                .where(
                    earlier.c.target == outbox.c.target,
                    earlier.c.bucket_id == outbox.c.bucket_id,
                    earlier.c.key == outbox.c.key,
                    earlier.c.id < outbox.c.id,
                    earlier.c.dead == 0,
                )
            ),
        )
        .order_by(outbox.c.due, outbox.c.id)
    )


_ANY_HEAD = Statement(_heads(outbox.c.id).limit(1))
_TAKE_HEADS = Statement(
    _heads(*_COLUMNS).limit(bindparam("most")).with_for_update(skip_locked=True)
)
_OF_KEY = (
    outbox.c.target == _TARGET,
    outbox.c.bucket_id == _BUCKET,
    outbox.c.key == _KEY,
    outbox.c.dead == 0,
)
_FIRST_OF_KEY = Statement(select(outbox.c.id).where(*_OF_KEY).order_by(outbox.c.id).limit(1))
_FOLLOWERS = Statement(
    select(*_COLUMNS)
    .where(*_OF_KEY, outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    .limit(bindparam("most"))
)
_LEASE = Statement(
    update(outbox)
    .where(outbox.c.id == _ID)
    .values(holder=_HOLDER, held_until=bindparam("new_until"), attempts=bindparam("new_attempts"))
)
_HELD = (outbox.c.id == _ID, outbox.c.holder == _HOLDER)
_RENEW = Statement(update(outbox).where(*_HELD).values(held_until=bindparam("new_until")))
_RELEASE = Statement(update(outbox).where(*_HELD).values(holder="", held_until=literal(0)))
_RELEASE_ALL = Statement(
    update(outbox).where(outbox.c.holder == _HOLDER).values(holder="", held_until=literal(0))
)
_FINISH = Statement(delete(outbox).where(*_HELD))
_FAIL = Statement(
    update(outbox)
    .where(*_HELD)
    .values(
        holder="",
        held_until=literal(0),
        due=bindparam("new_due"),
        attempts=bindparam("new_attempts"),
        dead=bindparam("new_dead"),
        error=bindparam("new_error"),
    )
)
_PUT_OFF = Statement(
    update(outbox)
    .where(*_OF_KEY, outbox.c.id > _ID, outbox.c.due < bindparam("new_due"))
    .values(due=bindparam("new_due"))
)
_BACKLOG = Statement(
    select(outbox.c.target, outbox.c.dead, func.count(), func.min(outbox.c.created)).group_by(
        outbox.c.target, outbox.c.dead
    )
)
_DEAD_PAGE = Statement(
    select(*_COLUMNS)
    .where(outbox.c.dead == 1, outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    .limit(bindparam("most"))
)
_REVIVE = Statement(
    update(outbox)
    .where(outbox.c.target == _TARGET, outbox.c.dead == 1)
    .values(dead=literal(0), attempts=literal(0), due=_NOW)
)
_FORGET_DEAD = Statement(delete(outbox).where(outbox.c.target == _TARGET, outbox.c.dead == 1))


def _read(row: Row) -> Waiting:
    number, event, bucket_id, key, seq, target, document, created, due, attempts, dead, error = row[
        :12
    ]
    return Waiting(
        number,
        event,
        bucket_id,
        bytes(key),
        seq or number,
        target,
        document,
        created,
        due,
        attempts,
        dead != 0,
        error,
    )


def add(
    connection: Connection,
    *,
    event: str,
    bucket_id: int,
    key: bytes,
    target: str,
    document: str,
    now: int,
    seq: int = 0,
) -> int:
    """Write an event for one target; the key must be locked, so that its order is that of commits.

    :param event: the event's own id, the same for every target and attempt.
    :param seq: what this answered for the event's first target; 0 for that one itself.
    :returns: the event's place in the order of its key's events.
    """
    number = connection.insert(
        _ADD,
        {
            "event_id": event,
            "bucket_id": bucket_id,
            "key": key,
            "seq": seq,
            "target": target,
            "document": document,
            "created": now,
            "due": now,
        },
    )
    return seq or number


def any_due(connection: Connection, target: str, now: int) -> bool:
    """Whether anything could be taken; no lock, no write."""
    return connection.one(_ANY_HEAD, {"this_target": target, "now": now}) is not None


def take(
    connection: Connection, target: str, holder: str, now: int, until: int, most: int
) -> list[Waiting]:
    """Take up to ``most`` events of a target under a lease, in the order of their ids.

    What a dead worker had is taken alone, that attempt counted as one that failed: if the event
    itself kills its worker, it kills no other event's attempt.

    :param until: when others may take them in turn, milliseconds.
    """
    values = {"this_target": target, "now": now, "most": most}
    heads = connection.all(_TAKE_HEADS, values)
    if connection.family == "mysql":
        # The locked rows are the newest, what the subquery sees may be a moment older: a row may
        # only seem to be its key's first.
        heads = [row for row in heads if _is_first(connection, row)]
    left = [row for row in heads if row[12]]
    if left:
        one = _read(left[0])
        _lease(connection, [one], holder, until, 1)
        return [replace(one, attempts=one.attempts + 1)]
    taken = [_read(row) for row in heads]
    for head in list(taken):
        room = most - len(taken)
        if room <= 0:
            break
        behind = {
            "this_target": target,
            "this_bucket": head.bucket_id,
            "this_key": head.key,
            "after": head.id,
            "most": room,
        }
        taken.extend(_read(row) for row in connection.all(_FOLLOWERS, behind))
    taken.sort(key=lambda each: each.id)
    _lease(connection, taken, holder, until, 0)
    return taken


def _is_first(connection: Connection, row: Row) -> bool:
    first = connection.one(
        _FIRST_OF_KEY, {"this_target": row[5], "this_bucket": row[2], "this_key": row[3]}
    )
    return first is not None and bool(first[0] == row[0])


def _lease(
    connection: Connection, rows: Sequence[Waiting], holder: str, until: int, more: int
) -> None:
    connection.run_many(
        _LEASE,
        [
            {
                "this_id": each.id,
                "this_holder": holder,
                "new_until": until,
                "new_attempts": each.attempts + more,
            }
            for each in rows
        ],
    )


def renew(connection: Connection, holder: str, ids: Iterable[int], until: int) -> set[int]:
    """Keep events longer; those that are still this holder's."""
    return {
        each
        for each in ids
        if connection.run(_RENEW, {"this_id": each, "this_holder": holder, "new_until": until}) == 1
    }


def release(connection: Connection, holder: str, ids: Iterable[int]) -> None:
    """Give events back untried."""
    connection.run_many(_RELEASE, [{"this_id": each, "this_holder": holder} for each in ids])


def release_all(connection: Connection, holder: str) -> None:
    """Give back whatever a holder has, by a look at every row."""
    connection.run(_RELEASE_ALL, {"this_holder": holder})


def finish(connection: Connection, holder: str, ids: Iterable[int]) -> None:
    """Forget delivered events; one that another has taken meanwhile stays."""
    connection.run_many(_FINISH, [{"this_id": each, "this_holder": holder} for each in ids])


def fail(
    connection: Connection, holder: str, one: Waiting, *, due: int, dead: bool, error: str
) -> None:
    """Put an event off until ``due``, and all behind it; or give it up, and they go on.

    :param error: what a person is told about the last attempt.
    """
    held = connection.run(
        _FAIL,
        {
            "this_id": one.id,
            "this_holder": holder,
            "new_due": due,
            "new_attempts": one.attempts + 1,
            "new_dead": 1 if dead else 0,
            "new_error": _plain(error),
        },
    )
    if held and not dead:
        # Nobody looks at them in vain until then.
        connection.run(
            _PUT_OFF,
            {
                "this_target": one.target,
                "this_bucket": one.bucket_id,
                "this_key": one.key,
                "this_id": one.id,
                "new_due": due,
            },
        )


def _plain(error: str) -> str:
    # The column is as narrow as a document's: MariaDB takes only what its own default can hold.
    text = error.replace("\0", "\\0").encode("ascii", "backslashreplace").decode()
    return text[:LONGEST_ERROR]


def backlog(connection: Connection) -> list[Backlog]:
    """What waits, by target."""
    found: dict[str, Backlog] = {}
    for target, dead, count, oldest in connection.all(_BACKLOG, {}):
        one = found.get(target, Backlog(target, 0, 0, 0))
        found[target] = (
            Backlog(target, one.waiting, count, one.oldest)
            if dead
            else Backlog(target, count, one.dead, oldest)
        )
    return sorted(found.values(), key=lambda each: each.target)


def dead_page(connection: Connection, after: int, limit: int) -> list[Waiting]:
    """Up to ``limit`` events that were given up, ids above ``after``."""
    return [_read(row) for row in connection.all(_DEAD_PAGE, {"after": after, "most": limit})]


def revive(connection: Connection, target: str, now: int) -> int:
    """Have what was given up tried again from the start; how many."""
    return connection.run(_REVIVE, {"this_target": target, "now": now})


def forget_dead(connection: Connection, target: str) -> int:
    """Remove what was given up; how many."""
    return connection.run(_FORGET_DEAD, {"this_target": target})
