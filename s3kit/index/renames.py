"""A version's way to another key, and which renames were done lately.

A rename that was done is remembered under its client's token, so that a repeated one answers as
the first did. The rows are among the leases: a name, what it stands for, and until when.
"""

from __future__ import annotations

import random
from typing import Final

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.connections import Retry
from s3kit.index.objects import hide
from s3kit.index.objects import show
from s3kit.index.schema import current
from s3kit.index.schema import leases
from s3kit.index.schema import object_annotations
from s3kit.index.schema import versions
from s3kit.index.statements import Statement
from s3kit.model import ObjectVersion

PREFIX: Final = "rename/"
PRUNE: Final = 256
"""One remembered rename in so many clears away those whose time is over."""

_SEQ: BindParameter[int] = bindparam("this_seq")
_SET_KEY = Statement(
    update(versions).where(versions.c.seq == _SEQ).values(key=bindparam("new_key"))
)
_NAMES = ("name", "size", "etag", "modified", "checksum", "headers", "payload")
_COPY_ANNOTATIONS = Statement(
    insert(object_annotations)
    .from_select(
        ["seq", *_NAMES],
        select(
            current.c.seq,
            *(object_annotations.c[name] for name in _NAMES),
        )
        .select_from(current)
        .where(
            object_annotations.c.seq == _SEQ,
            current.c.bucket_id == bindparam("this_bucket"),
            current.c.key == bindparam("this_key"),
        ),
    )
    .inline()
)

_NAME = bindparam("this_name", type_=leases.c.name.type)
_FIND = Statement(select(leases.c.holder, leases.c.until).where(leases.c.name == _NAME))
_INSERT = Statement(
    insert(leases)
    .values(name=_NAME, holder=bindparam("new_holder"), until=bindparam("new_until"))
    .inline()
)
_RENEW = Statement(
    update(leases)
    .where(leases.c.name == _NAME, leases.c.until <= bindparam("now"))
    .values(holder=bindparam("new_holder"), until=bindparam("new_until"))
)
_PRUNE = Statement(
    delete(leases).where(
        leases.c.name > bindparam("after", type_=leases.c.name.type),
        leases.c.name < bindparam("past", type_=leases.c.name.type),
        leases.c.until < bindparam("now"),
    )
)


def move(connection: Connection, version: ObjectVersion, key: bytes) -> None:
    """Give the only version of a key to another key, which shows none; both must be locked.

    Whatever is stored with the version goes with it.
    """
    connection.written.add((version.bucket_id, key))
    connection.run(_SET_KEY, {"this_seq": version.seq, "new_key": key})
    hide(connection, version.bucket_id, version.key)
    show(connection, version.bucket_id, key, version)


def copy_annotations(connection: Connection, source: ObjectVersion, key: bytes) -> None:
    """Give a version's annotations to the one that a key shows now, which has none."""
    connection.run(
        _COPY_ANNOTATIONS,
        {"this_seq": source.seq, "this_bucket": source.bucket_id, "this_key": key},
    )


def find(connection: Connection, token: str, now: int) -> str | None:
    """What the rename of this token was about; None when none of it is remembered.

    :param now: milliseconds.
    """
    row = connection.one(_FIND, {"this_name": PREFIX + token})
    return None if row is None or row[1] <= now else str(row[0])


def remember(connection: Connection, token: str, meaning: str, now: int, until: int) -> None:
    """Keep in mind until ``until`` (ms) what the rename of this token was about."""
    values = {"this_name": PREFIX + token, "new_holder": meaning, "new_until": until}
    if random.randrange(PRUNE) == 0:
        # The slash is followed by the zero.
        connection.run(_PRUNE, {"after": PREFIX, "past": "rename0", "now": now})
    # One whose time is not over was found before, or came from another at this moment.
    if connection.run(_RENEW, {**values, "now": now}):
        return
    try:
        connection.run(_INSERT, values)
    except Exception as error:
        if connection.is_integrity_error(error):
            raise Retry from error
        raise
