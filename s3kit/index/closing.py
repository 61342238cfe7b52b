"""Accounts whose time has come: found by it, and what is left of one taken away."""

from __future__ import annotations

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import select

from s3kit.index.accounts import CLOSING
from s3kit.index.connections import Connection
from s3kit.index.schema import access_keys
from s3kit.index.schema import accounts
from s3kit.index.schema import roles
from s3kit.index.schema import usage
from s3kit.index.schema import users
from s3kit.index.statements import Statement

_ACCOUNT: BindParameter[str] = bindparam("this_account")
_NOW: BindParameter[int] = bindparam("now")
_IS_DUE = (
    accounts.c.status == bindparam("closing"),
    accounts.c.delete_at > 0,
    accounts.c.delete_at <= _NOW,
)
_DUE = Statement(
    select(accounts.c.id)
    .where(accounts.c.id > bindparam("after"), *_IS_DUE)
    .order_by(accounts.c.id)
    .limit(bindparam("most"))
)
# Shared: whoever takes the account back waits for what is being removed, and then nothing more is.
_HOLD = Statement(
    select(accounts.c.id).where(accounts.c.id == _ACCOUNT, *_IS_DUE).with_for_update(read=True)
)
_REST = tuple(
    Statement(delete(table).where(table.c.account == _ACCOUNT))
    for table in (access_keys, users, roles, usage)
)


def due(connection: Connection, now: int, after: str, limit: int) -> list[str]:
    """Up to ``limit`` accounts that are to be deleted by ``now`` (ms), ids above ``after``."""
    values = {"now": now, "after": after, "most": limit, "closing": CLOSING}
    return [row[0] for row in connection.all(_DUE, values)]


def hold_due(connection: Connection, account: str, now: int) -> bool:
    """Whether an account is to be deleted, held so until the transaction ends."""
    values = {"this_account": account, "now": now, "closing": CLOSING}
    return connection.one(_HOLD, values) is not None


def take_away(connection: Connection, account: str) -> None:
    """Remove an account's keys, users and roles, and what is known of its usage."""
    for statement in _REST:
        connection.run(statement, {"this_account": account})
