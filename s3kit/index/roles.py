"""Roles: found with the state of their account, made, changed, removed, listed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import RULES
from s3kit.index.connections import Connection
from s3kit.index.schema import accounts
from s3kit.index.schema import is_word
from s3kit.index.schema import roles
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

_ROLE = select(
    roles.c.account,
    roles.c.name,
    roles.c.role_id,
    roles.c.created,
    roles.c.trust,
    roles.c.policies,
    roles.c.most_seconds,
    accounts.c.status,
).select_from(roles.outerjoin(accounts, accounts.c.id == roles.c.account))
_THIS = (
    roles.c.account == bindparam("this_account"),
    roles.c.name == bindparam("this_name"),
)
_GET = Statement(_ROLE.where(*_THIS))
_LOCK = Statement(_ROLE.where(*_THIS).with_for_update(of=roles))
_PAGE = Statement(
    _ROLE.where(roles.c.account == bindparam("this_account"), roles.c.name > bindparam("after"))
    .order_by(roles.c.name)
    .limit(bindparam("most"))
)
_INSERT = Statement(
    sql_insert(roles)
    .values(
        {
            name: bindparam(name)
            for name in (
                "account",
                "name",
                "role_id",
                "created",
                "trust",
                "policies",
                "most_seconds",
            )
        }
    )
    .inline()
)
_UPDATE = Statement(
    update(roles)
    .where(*_THIS)
    .values(
        trust=bindparam("new_trust"),
        policies=bindparam("new_policies"),
        most_seconds=bindparam("new_most_seconds"),
    )
)
_NUMBERED = Statement(select(accounts.c.id).where(accounts.c.number == bindparam("this_number")))
_DELETE = Statement(sql_delete(roles).where(*_THIS))
_DELETE_ALL = Statement(sql_delete(roles).where(roles.c.account == bindparam("this_account")))


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role as it lies in its row: documents are texts of JSON, ``created`` in milliseconds.

    ``account_status`` is "" where the account is not in SQL.
    """

    account: str
    name: str
    id: str
    created: int
    trust: str
    policies: Mapping[str, str]
    most_seconds: int
    account_status: str = ""


class RoleExists(Exception):
    """The account has a role of this name."""


def _read(row: Row) -> RoleRow:
    account, name, role_id, created, trust, policies, most_seconds, status = row
    return RoleRow(
        account, name, role_id, created, trust, json.loads(policies), most_seconds, status or ""
    )


def get(connection: Connection, account: str, name: str) -> RoleRow | None:
    """The role of that name, or None."""
    return _one(connection, _GET, account, name)


def lock(connection: Connection, account: str, name: str) -> RoleRow | None:
    """The same, held until the transaction ends."""
    return _one(connection, _LOCK, account, name)


def _one(connection: Connection, statement: Statement, account: str, name: str) -> RoleRow | None:
    if not is_word(name) or "\0" in account:
        return None
    row = connection.one(statement, {"this_account": account, "this_name": name})
    # MySQL takes "a " for "a".
    return None if row is None or row[:2] != (account, name) else _read(row)


def account_numbered(connection: Connection, number: str) -> str | None:
    """The id of the account of this number, or None."""
    row = connection.one(_NUMBERED, {"this_number": number})
    return None if row is None else str(row[0])


def insert(connection: Connection, role: RoleRow) -> None:
    """Make a role.

    :raises RoleExists:
    """
    connection.written.add(RULES)
    try:
        connection.run(
            _INSERT,
            {
                "account": role.account,
                "name": role.name,
                "role_id": role.id,
                "created": role.created,
                "trust": role.trust,
                "policies": json.dumps(dict(role.policies)),
                "most_seconds": role.most_seconds,
            },
        )
    except Exception as error:
        if connection.is_integrity_error(error):
            raise RoleExists(role.name) from error
        raise


def change(connection: Connection, role: RoleRow) -> bool:
    """Replace all that can change of a role; False where there is none."""
    connection.written.add(RULES)
    parameters = {
        "this_account": role.account,
        "this_name": role.name,
        "new_trust": role.trust,
        "new_policies": json.dumps(dict(role.policies)),
        "new_most_seconds": role.most_seconds,
    }
    return connection.run(_UPDATE, parameters) == 1


def delete(connection: Connection, account: str, name: str) -> bool:
    """Remove a role; False where there was none."""
    connection.written.add(RULES)
    return connection.run(_DELETE, {"this_account": account, "this_name": name}) == 1


def delete_all(connection: Connection, account: str) -> int:
    """Remove all roles of an account that goes; how many there were."""
    connection.written.add(RULES)
    return connection.run(_DELETE_ALL, {"this_account": account})


def page(connection: Connection, account: str, after: str = "", limit: int = 1000) -> list[RoleRow]:
    """Up to ``limit`` roles of an account, by name, after ``after``."""
    parameters = {"this_account": account, "after": after, "most": limit}
    return [_read(row) for row in connection.all(_PAGE, parameters)]
