"""Accounts and their users: made, found, listed, changed, removed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import func
from sqlalchemy import insert as sql_insert
from sqlalchemy import select
from sqlalchemy import update

from s3kit.errors import EntityAlreadyExists
from s3kit.errors import NoSuchEntity
from s3kit.index.connections import RULES
from s3kit.index.connections import Connection
from s3kit.index.roles import delete_all as delete_roles
from s3kit.index.schema import accounts
from s3kit.index.schema import buckets
from s3kit.index.schema import is_word
from s3kit.index.schema import usage
from s3kit.index.schema import users
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Account

ACTIVE = "active"
SUSPENDED = "suspended"
CLOSING = "closing"
CLOSED = "closed"

LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account that lies in the index. ``created`` and ``delete_at`` in ms; 0 for never.

    ``limits`` are its own: ``keys``, ``buckets`` and ``bytes``, None for any number; what is not
    among them is its plan's.
    """

    id: str
    number: str
    display_name: str = ""
    email: str = ""
    status: str = ACTIVE
    plan: str = ""
    limits: Mapping[str, int | None] | None = None
    created: int = 0
    delete_at: int = 0

    @property
    def account(self) -> Account:
        """What a key of it acts for."""
        return Account(self.id, self.display_name, self.email, self.number, self.plan)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user of an account. ``policies`` are JSON texts by name."""

    account: str
    name: str
    created: int
    policies: Mapping[str, str]


_COLUMNS = (
    accounts.c.id,
    accounts.c.number,
    accounts.c.display_name,
    accounts.c.email,
    accounts.c.status,
    accounts.c.plan,
    accounts.c.limits,
    accounts.c.created,
    accounts.c.delete_at,
)
_THIS: BindParameter[str] = bindparam("this_account")
_USER: BindParameter[str] = bindparam("this_user")
_OF_USER = (users.c.account == _THIS, users.c.name == _USER)
_MOST: Any = bindparam("most")

_GET = Statement(select(*_COLUMNS).where(accounts.c.id == _THIS))
_LOCK = Statement(select(*_COLUMNS).where(accounts.c.id == _THIS).with_for_update())
_PAGE = Statement(
    select(*_COLUMNS).where(accounts.c.id > bindparam("after")).order_by(accounts.c.id).limit(_MOST)
)
_INSERT = Statement(
    sql_insert(accounts).values({each.name: bindparam(each.name) for each in _COLUMNS}).inline()
)
_CHANGED = ("display_name", "email", "status", "plan", "limits", "delete_at")
_UPDATE = Statement(
    update(accounts)
    .where(accounts.c.id == _THIS)
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
_DELETE = Statement(sql_delete(accounts).where(accounts.c.id == _THIS))
_DELETE_USAGE = Statement(sql_delete(usage).where(usage.c.account == _THIS))
_COUNT_BUCKETS = Statement(
    select(func.count()).select_from(buckets).where(buckets.c.account == _THIS)
)

_USERS = Statement(
    select(users.c.account, users.c.name, users.c.created, users.c.policies)
    .where(users.c.account == _THIS)
    .order_by(users.c.name)
)
_GET_USER = Statement(
    select(users.c.account, users.c.name, users.c.created, users.c.policies).where(*_OF_USER)
)
_INSERT_USER = Statement(
    sql_insert(users)
    .values({name: bindparam(name) for name in ("account", "name", "created", "policies")})
    .inline()
)
_SET_POLICIES = Statement(update(users).where(*_OF_USER).values(policies=bindparam("new_policies")))
_DELETE_USER = Statement(sql_delete(users).where(*_OF_USER))


def is_name(text: str) -> bool:
    """Whether an account may be called so; every database can compare with it."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _read(row: Row) -> StoredAccount:
    account_id, number, display_name, email, status, plan, limits, created, delete_at = row
    own = json.loads(limits) if limits else None
    return StoredAccount(
        account_id, number, display_name, email, status, plan, own, created, delete_at
    )


def _write_limits(limits: Mapping[str, int | None] | None) -> str:
    return json.dumps(dict(limits), separators=(",", ":")) if limits else ""


def get(connection: Connection, account_id: str) -> StoredAccount | None:
    """The account of this id, or None."""
    return _one(connection, _GET, account_id)


def lock(connection: Connection, account_id: str) -> StoredAccount | None:
    """The same, held against everybody else who locks it until the transaction ends."""
    return _one(connection, _LOCK, account_id)


def _one(connection: Connection, statement: Statement, account_id: str) -> StoredAccount | None:
    if not is_name(account_id):
        return None
    row = connection.one(statement, {"this_account": account_id})
    # MySQL takes "a " for "a".
    return None if row is None or row[0] != account_id else _read(row)


def page(connection: Connection, after: str, limit: int) -> list[StoredAccount]:
    """Up to ``limit`` accounts by id, above ``after``."""
    return [_read(row) for row in connection.all(_PAGE, {"after": after, "most": limit})]


def insert(connection: Connection, account: StoredAccount) -> None:
    """Put an account in.

    :raises EntityAlreadyExists: its id or its number is taken.
    """
    connection.written.add(RULES)
    values = {name: getattr(account, name) for name in ("id", "number", "created", *_CHANGED)}
    values["limits"] = _write_limits(account.limits)
    try:
        connection.run(_INSERT, values)
    except Exception as error:
        if connection.is_integrity_error(error):
            raise EntityAlreadyExists(f"There is an account {account.id}.") from error
        raise


def change(connection: Connection, account: StoredAccount) -> None:
    """Replace all of an account but its id, its number and when it was made. It must be locked."""
    connection.written.add(RULES)
    values = {f"new_{name}": getattr(account, name) for name in _CHANGED}
    values["new_limits"] = _write_limits(account.limits)
    connection.run(_UPDATE, {**values, "this_account": account.id})


def delete(connection: Connection, account_id: str) -> None:
    """Remove an account with its users, keys and roles, and what it has used."""
    connection.written.add(RULES)
    connection.run(_DELETE_USAGE, {"this_account": account_id})
    # Those of the configuration's accounts have no row to hang on.
    delete_roles(connection, account_id)
    connection.run(_DELETE, {"this_account": account_id})


def count_buckets(connection: Connection, account_id: str) -> int:
    """How many buckets the account has."""
    row = connection.one(_COUNT_BUCKETS, {"this_account": account_id})
    return 0 if row is None else int(row[0])


# -- users


def _read_user(row: Row) -> StoredUser:
    account, name, created, policies = row
    return StoredUser(account, name, created, read_policies(policies))


def read_policies(text: str) -> Mapping[str, str]:
    """The policies that a row holds: JSON texts by name."""
    found: Mapping[str, str] = json.loads(text) if text else {}
    return found


def get_user(connection: Connection, account_id: str, name: str) -> StoredUser | None:
    """The user of this name, or None."""
    if not is_word(name):
        return None
    row = connection.one(_GET_USER, {"this_account": account_id, "this_user": name})
    return None if row is None or row[1] != name else _read_user(row)


def users_of(connection: Connection, account_id: str) -> list[StoredUser]:
    """The account's users by name."""
    return [_read_user(row) for row in connection.all(_USERS, {"this_account": account_id})]


def insert_user(connection: Connection, user: StoredUser) -> None:
    """Put a user in; the account's row must be locked.

    :raises EntityAlreadyExists: the name is taken.
    """
    connection.written.add(RULES)
    values = {"account": user.account, "name": user.name, "created": user.created}
    try:
        connection.run(_INSERT_USER, {**values, "policies": _write_policies(user.policies)})
    except Exception as error:
        if connection.is_integrity_error(error):
            raise EntityAlreadyExists(f"There is a user {user.name}.") from error
        raise


def set_policies(connection: Connection, user: StoredUser) -> None:
    """Replace a user's policies.

    :raises NoSuchEntity: the user is gone.
    """
    connection.written.add(RULES)
    values = {"this_account": user.account, "this_user": user.name}
    new = _write_policies(user.policies)
    if connection.run(_SET_POLICIES, {**values, "new_policies": new}) != 1:
        raise NoSuchEntity(f"There is no user {user.name}.")


def delete_user(connection: Connection, account_id: str, name: str) -> None:
    """Remove a user; its keys are removed by whoever calls this."""
    connection.written.add(RULES)
    connection.run(_DELETE_USER, {"this_account": account_id, "this_user": name})


def _write_policies(policies: Mapping[str, str]) -> str:
    return json.dumps(dict(policies), separators=(",", ":")) if policies else ""
