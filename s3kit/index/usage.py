"""How many bytes accounts have stored and may store, and what keys have used of their budgets.

A write names what it adds and takes away while it works (:func:`count`, :func:`charge`); when it
has returned, its transaction books the sum once and commits (:func:`settle`). So the row that all
writers of an account share is held no longer than a commit takes, and whoever writes several keys
waits for nobody in between.
"""

from __future__ import annotations

from typing import Final
from typing import NamedTuple

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import Select
from sqlalchemy import bindparam
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import null
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.errors import QuotaExceeded
from s3kit.index.connections import Connection
from s3kit.index.schema import access_keys
from s3kit.index.schema import buckets
from s3kit.index.schema import object_annotations
from s3kit.index.schema import parts
from s3kit.index.schema import uploads
from s3kit.index.schema import usage
from s3kit.index.schema import versions
from s3kit.index.statements import Statement
from s3kit.model import Setting

ACCOUNT: Final = "account"
KEY: Final = "key"


class Usage(NamedTuple):
    """What an account has stored and may store, in bytes; ``most`` None for any number.

    ``used`` is only kept where ``most`` is not None.
    """

    used: int
    most: int | None


_ACCOUNT: BindParameter[str] = bindparam("this_account")
_KEY: BindParameter[str] = bindparam("this_access_key")
_NUMBER: BindParameter[int] = bindparam("number", type_=BigInteger)
_OF_ACCOUNT = usage.c.account == _ACCOUNT
_FACTS = select(usage.c.bytes, usage.c.most).where(_OF_ACCOUNT)
_GET = Statement(_FACTS)
_LOCK = Statement(_FACTS.with_for_update())
_NEW = {"account": _ACCOUNT, "bytes": bindparam("new_bytes"), "most": null()}
_MAKE = Statement(
    insert(usage).values(_NEW).inline(),
    sqlite=sqlite_insert(usage).values(_NEW).on_conflict_do_nothing().inline(),
    postgresql=postgresql_insert(usage).values(_NEW).on_conflict_do_nothing().inline(),
    mysql=mysql_insert(usage).values(_NEW).on_duplicate_key_update(most=usage.c.most).inline(),
)
_SET = Statement(
    update(usage)
    .where(_OF_ACCOUNT)
    .values(bytes=bindparam("new_bytes"), most=bindparam("new_most"))
)
_ADD = Statement(
    update(usage)
    .where(_OF_ACCOUNT, usage.c.bytes + _NUMBER <= usage.c.most)
    .values(bytes=usage.c.bytes + _NUMBER)
)
_TAKE_AWAY = Statement(update(usage).where(_OF_ACCOUNT).values(bytes=usage.c.bytes + _NUMBER))

_LOCK_BUCKETS = Statement(
    select(buckets.c.id)
    .where(buckets.c.account == _ACCOUNT)
    .order_by(buckets.c.id)
    .with_for_update()
)
_BIT: BindParameter[int] = bindparam("bit", type_=BigInteger)
_LIMIT_ALL = Statement(
    update(buckets)
    .where(buckets.c.account == _ACCOUNT)
    .values(present=buckets.c.present.op("|")(_BIT))
)
_FREE_ALL = Statement(
    update(buckets)
    .where(buckets.c.account == _ACCOUNT)
    .values(present=buckets.c.present.op("&")(_BIT))
)
_LIMIT = Statement(
    update(buckets)
    .where(buckets.c.id == bindparam("this_bucket"))
    .values(present=buckets.c.present.op("|")(_BIT))
)
_ALL_BITS = 2**62 - 1

_OWN = select(buckets.c.id).where(buckets.c.account == _ACCOUNT)
_BUCKET: BindParameter[int] = bindparam("this_bucket")


def _sum_of_parts(*conditions: object) -> Select[tuple[int]]:
    return (
        select(func.coalesce(func.sum(parts.c.size), 0))
        .select_from(uploads.join(parts, parts.c.upload_id == uploads.c.id))
        # The parts of a completed one are counted as its object.
        .where(uploads.c.completed == 0, *conditions)  # type: ignore[arg-type]
    )


_TOTAL = Statement(
    select(
        select(func.coalesce(func.sum(versions.c.size), 0))
        .where(versions.c.bucket_id.in_(_OWN))
        .scalar_subquery(),
        _sum_of_parts(uploads.c.bucket_id.in_(_OWN)).scalar_subquery(),
        select(func.coalesce(func.sum(object_annotations.c.size), 0))
        .select_from(object_annotations.join(versions))
        .where(versions.c.bucket_id.in_(_OWN))
        .scalar_subquery(),
    )
)
_OF_UPLOADS = Statement(_sum_of_parts(uploads.c.bucket_id == _BUCKET))
_OF_UPLOAD = Statement(_sum_of_parts(uploads.c.id == bindparam("this_upload")))
_OF_ANNOTATIONS = Statement(
    select(func.coalesce(func.sum(object_annotations.c.size), 0)).where(
        object_annotations.c.seq == bindparam("this_seq")
    )
)

_ACCOUNTS = Statement(
    select(usage.c.account, usage.c.most)
    .where(usage.c.account > bindparam("after"))
    .order_by(usage.c.account)
    .limit(bindparam("most"))
)
_KEY_USED = Statement(select(access_keys.c.bytes_used).where(access_keys.c.access_key == _KEY))
_CHARGE = Statement(
    update(access_keys)
    .where(
        access_keys.c.access_key == _KEY,
        access_keys.c.bytes_used + _NUMBER <= bindparam("budget", type_=BigInteger),
    )
    .values(bytes_used=access_keys.c.bytes_used + _NUMBER)
)


# -- while a write works


def count(connection: Connection, account: str, number: int) -> None:
    """So many bytes more (or less) will be an account's when the transaction commits."""
    known = connection.charges.get((ACCOUNT, account))
    connection.charges[ACCOUNT, account] = (number if known is None else known[0] + number, 0)


def charge(connection: Connection, access_key: str, number: int, budget: int) -> None:
    """So many bytes of its budget a key will have used when the transaction commits."""
    known = connection.charges.get((KEY, access_key))
    connection.charges[KEY, access_key] = (number if known is None else known[0] + number, budget)


def settle(connection: Connection) -> None:
    """Book what the work has named, for whoever runs works: after it, before the commit.

    :raises QuotaExceeded: it is more than the account or key may store.
    """
    # One order for all, so that two can't wait for each other's rows.
    charges = sorted(connection.charges.items())
    connection.charges.clear()
    for (kind, name), (number, budget) in charges:
        if kind == ACCOUNT:
            _settle_account(connection, name, number)
        elif number > 0:
            values = {"this_access_key": name, "number": number, "budget": budget}
            if connection.run(_CHARGE, values) == 0:
                raise budget_exceeded(budget)


def _settle_account(connection: Connection, account: str, number: int) -> None:
    values = {"this_account": account, "number": number}
    if number < 0:
        connection.run(_TAKE_AWAY, values)
    elif number > 0 and connection.run(_ADD, values) == 0:
        raise QuotaExceeded()


def budget_exceeded(budget: int) -> QuotaExceeded:
    """The refusal of what would be more than a key may store in its life."""
    return QuotaExceeded(
        f"Upload would exceed the budget of this access key, which may store {budget} bytes in all."
    )


# -- what is counted


def total(connection: Connection, account: str) -> int:
    """What all of an account's buckets hold, counted anew: every version, every waiting part."""
    row = connection.one(_TOTAL, {"this_account": account})
    assert row is not None
    return sum(int(each) for each in row)


def of_upload(connection: Connection, upload_id: str) -> int:
    """What an unfinished upload's parts hold."""
    return _one(connection, _OF_UPLOAD, {"this_upload": upload_id})


def of_uploads(connection: Connection, bucket_id: int) -> int:
    """What the parts of all of a bucket's unfinished uploads hold."""
    return _one(connection, _OF_UPLOADS, {"this_bucket": bucket_id})


def of_annotations(connection: Connection, seq: int) -> int:
    """What a version's annotations hold."""
    return _one(connection, _OF_ANNOTATIONS, {"this_seq": seq})


def _one(connection: Connection, statement: Statement, values: dict[str, object]) -> int:
    row = connection.one(statement, values)
    return 0 if row is None else int(row[0])


# -- limits


def get(connection: Connection, account: str) -> Usage | None:
    """What is known of an account; None for one that has made no bucket yet."""
    row = connection.one(_GET, {"this_account": account})
    return None if row is None else Usage(row[0], row[1])


def hold(connection: Connection, account: str) -> Usage | None:
    """What is known of an account, its row held until the end of the transaction."""
    row = connection.one(_LOCK, {"this_account": account})
    return None if row is None else Usage(row[0], row[1])


def make(connection: Connection, account: str) -> Usage | None:
    """As :func:`hold`, of an account that had no row: it gets one, without a limit."""
    connection.run(_MAKE, {"this_account": account, "new_bytes": 0})
    return hold(connection, account)


def lock_buckets(connection: Connection, account: str) -> None:
    """Wait for all who write to any of an account's buckets, and let none begin."""
    connection.all(_LOCK_BUCKETS, {"this_account": account})


def set_limit(connection: Connection, account: str, used: int, most: int | None) -> None:
    """Write down what an account, whose row is held, has stored and may store."""
    connection.run(_SET, {"this_account": account, "new_bytes": used, "new_most": most})


def count_all(connection: Connection, account: str, *, counted: bool) -> None:
    """Have what happens in an account's locked buckets counted from now on, or not any more."""
    if counted:
        connection.run(_LIMIT_ALL, {"this_account": account, "bit": Setting.LIMITED})
    else:
        rest = _ALL_BITS & ~Setting.LIMITED
        connection.run(_FREE_ALL, {"this_account": account, "bit": rest})


def count_bucket(connection: Connection, bucket_id: int) -> None:
    """Have what happens in a bucket that was just made counted."""
    connection.run(_LIMIT, {"this_bucket": bucket_id, "bit": Setting.LIMITED})


def accounts_after(connection: Connection, after: str, limit: int) -> list[tuple[str, int | None]]:
    """(id, limit in force) of up to ``limit`` accounts that have made a bucket, by id."""
    rows = connection.all(_ACCOUNTS, {"after": after, "most": limit})
    return [(row[0], row[1]) for row in rows]


def key_used(connection: Connection, access_key: str) -> int | None:
    """How much of its budget a key has used; None where there is no such key."""
    row = connection.one(_KEY_USED, {"this_access_key": access_key})
    return None if row is None else int(row[0])
