"""Access keys: made, found by those who check signatures, listed, changed, removed, rewrapped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from sqlalchemy import BindParameter
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import func
from sqlalchemy import insert as sql_insert
from sqlalchemy import select
from sqlalchemy import update

from s3kit.errors import EntityAlreadyExists
from s3kit.index.connections import RULES
from s3kit.index.connections import Connection
from s3kit.index.schema import access_keys
from s3kit.index.schema import accounts
from s3kit.index.schema import is_word
from s3kit.index.schema import users
from s3kit.index.statements import Row
from s3kit.index.statements import Statement

ACTIVE = "active"
DISABLED = "disabled"

LONGEST = 128
"""Characters of an access key."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """All that a row tells of an access key but its secret. Times in ms, 0 for never.

    ``scope`` is JSON text, "" for none.
    """

    access_key: str
    account: str
    user: str = ""
    label: str = ""
    status: str = ACTIVE
    created: int = 0
    last_used: int = 0
    scope: str = ""
    bytes_used: int = 0


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A key's secret, sealed by the master key of that id."""

    text: str = field(repr=False)
    master: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a signature is checked with: the key, its account and its user, read in one moment.

    ``policies`` are the user's, None where there is no such user.
    """

    access_key: str
    account: str
    user: str
    text: str = field(repr=False)
    master: str
    status: str
    scope: str
    number: str
    display_name: str
    email: str
    account_status: str
    plan: str
    policies: str | None

    @property
    def sealed(self) -> SealedSecret:
        """The key's secret."""
        return SealedSecret(self.text, self.master)


_THIS: BindParameter[str] = bindparam("this_key")
_ACCOUNT: BindParameter[str] = bindparam("this_account")
_USER: BindParameter[str] = bindparam("this_user")
_MOST: Any = bindparam("most")
_IS_THIS = access_keys.c.access_key == _THIS
_OF_ACCOUNT = access_keys.c.account == _ACCOUNT

_COLUMNS = (
    access_keys.c.access_key,
    access_keys.c.account,
    access_keys.c.user_name,
    access_keys.c.label,
    access_keys.c.status,
    access_keys.c.created,
    access_keys.c.last_used,
    access_keys.c.scope,
    access_keys.c.bytes_used,
)
_FACTS = Statement(
    select(
        access_keys.c.access_key,
        access_keys.c.account,
        access_keys.c.user_name,
        access_keys.c.secret,
        access_keys.c.master,
        access_keys.c.status,
        access_keys.c.scope,
        accounts.c.number,
        accounts.c.display_name,
        accounts.c.email,
        accounts.c.status,
        accounts.c.plan,
        users.c.policies,
    )
    .select_from(
        access_keys.join(accounts, accounts.c.id == access_keys.c.account).outerjoin(
            users,
            and_(users.c.account == access_keys.c.account, users.c.name == access_keys.c.user_name),
        )
    )
    .where(_IS_THIS)
)
_GET = Statement(select(*_COLUMNS).where(_IS_THIS))
_LOCK = Statement(select(*_COLUMNS).where(_IS_THIS).with_for_update())
_OF = Statement(
    select(*_COLUMNS).where(_OF_ACCOUNT).order_by(access_keys.c.created, access_keys.c.access_key)
)
# Whoever signs with a key of its own choice wants one that may do all that the account may.
_SIGNER = Statement(
    select(access_keys.c.access_key)
    .where(
        _OF_ACCOUNT,
        access_keys.c.user_name == "",
        access_keys.c.scope == "",
        access_keys.c.status == bindparam("wanted_status"),
    )
    .order_by(access_keys.c.created, access_keys.c.access_key)
    .limit(1)
)
_COUNT = Statement(select(func.count()).select_from(access_keys).where(_OF_ACCOUNT))
_INSERT = Statement(
    sql_insert(access_keys)
    .values(
        {
            **{each.name: bindparam(each.name) for each in _COLUMNS},
            "secret": bindparam("secret"),
            "master": bindparam("master"),
        }
    )
    .inline()
)
_SET_STATUS = Statement(update(access_keys).where(_IS_THIS).values(status=bindparam("new_status")))
_SET_SECRET = Statement(
    update(access_keys)
    .where(_IS_THIS)
    .values(secret=bindparam("new_secret"), master=bindparam("new_master"))
)
_TOUCH = Statement(
    update(access_keys)
    .where(_IS_THIS, access_keys.c.last_used < bindparam("used"))
    .values(last_used=bindparam("used"))
)
_DELETE = Statement(sql_delete(access_keys).where(_IS_THIS))
_DELETE_OF = Statement(sql_delete(access_keys).where(_OF_ACCOUNT))
_DELETE_OF_USER = Statement(
    sql_delete(access_keys).where(_OF_ACCOUNT, access_keys.c.user_name == _USER)
)

_COUNT_ALL = Statement(select(func.count()).select_from(access_keys))
_SEALED = Statement(
    select(access_keys.c.access_key, access_keys.c.secret, access_keys.c.master)
    .where(access_keys.c.access_key > bindparam("after"))
    .order_by(access_keys.c.access_key)
    .limit(_MOST)
)
_WRAP = Statement(
    update(access_keys)
    .where(_IS_THIS, access_keys.c.secret == bindparam("old_secret"))
    .values(secret=bindparam("new_secret"), master=bindparam("new_master"))
)


def _may_be(access_key: str) -> bool:
    return 0 < len(access_key) <= LONGEST and is_word(access_key)


def facts(connection: Connection, access_key: str) -> KeyFacts | None:
    """What is known of a key, whatever its status; None where there is none."""
    if not _may_be(access_key):
        return None
    row = connection.one(_FACTS, {"this_key": access_key})
    # MySQL takes "a " for "a".
    return None if row is None or row[0] != access_key else KeyFacts(*row)


def signer(connection: Connection, account_id: str) -> str | None:
    """The oldest key that may do all that its account may, None without one."""
    row = connection.one(_SIGNER, {"this_account": account_id, "wanted_status": ACTIVE})
    return None if row is None else str(row[0])


def get(connection: Connection, access_key: str) -> StoredKey | None:
    """The key of this id, or None."""
    return _one(connection, _GET, access_key)


def lock(connection: Connection, access_key: str) -> StoredKey | None:
    """The same, held until the transaction ends."""
    return _one(connection, _LOCK, access_key)


def _one(connection: Connection, statement: Statement, access_key: str) -> StoredKey | None:
    if not _may_be(access_key):
        return None
    row: Row | None = connection.one(statement, {"this_key": access_key})
    return None if row is None or row[0] != access_key else StoredKey(*row)


def keys_of(connection: Connection, account_id: str) -> list[StoredKey]:
    """The account's keys, the oldest first."""
    return [StoredKey(*row) for row in connection.all(_OF, {"this_account": account_id})]


def count_of(connection: Connection, account_id: str) -> int:
    """How many keys the account has, those of its users and disabled ones included."""
    row = connection.one(_COUNT, {"this_account": account_id})
    return 0 if row is None else int(row[0])


def insert(connection: Connection, key: StoredKey, sealed: SealedSecret) -> None:
    """Put a key in; its account's row must be locked.

    :raises EntityAlreadyExists: the access key is taken.
    """
    connection.written.add(RULES)
    values = {
        "access_key": key.access_key,
        "account": key.account,
        "user_name": key.user,
        "label": key.label,
        "status": key.status,
        "created": key.created,
        "last_used": key.last_used,
        "scope": key.scope,
        "bytes_used": key.bytes_used,
        "secret": sealed.text,
        "master": sealed.master,
    }
    try:
        connection.run(_INSERT, values)
    except Exception as error:
        if connection.is_integrity_error(error):
            raise EntityAlreadyExists(f"There is an access key {key.access_key}.") from error
        raise


def set_status(connection: Connection, access_key: str, status: str) -> None:
    """Let a key be used, or not."""
    connection.written.add(RULES)
    connection.run(_SET_STATUS, {"this_key": access_key, "new_status": status})


def set_secret(connection: Connection, access_key: str, sealed: SealedSecret) -> None:
    """Give a key another secret; the old one ends with that."""
    connection.written.add(RULES)
    values = {"new_secret": sealed.text, "new_master": sealed.master}
    connection.run(_SET_SECRET, {**values, "this_key": access_key})


def touch(connection: Connection, used: Iterable[tuple[str, int]]) -> None:
    """Write down when keys were last used, unless somebody has written a later time."""
    # Always in one order, so that two processes never wait for each other.
    rows = [{"this_key": each, "used": when} for each, when in sorted(used)]
    connection.run_many(_TOUCH, rows)


def delete(connection: Connection, access_key: str) -> None:
    """Remove a key."""
    connection.written.add(RULES)
    connection.run(_DELETE, {"this_key": access_key})


def delete_of(connection: Connection, account_id: str) -> int:
    """Remove all keys of an account, those of its users included; how many there were."""
    connection.written.add(RULES)
    return connection.run(_DELETE_OF, {"this_account": account_id})


def delete_of_user(connection: Connection, account_id: str, user: str) -> int:
    """Remove all keys of a user; how many there were."""
    connection.written.add(RULES)
    return connection.run(_DELETE_OF_USER, {"this_account": account_id, "this_user": user})


# -- another master key


def count(connection: Connection) -> int:
    """How many keys there are."""
    row = connection.one(_COUNT_ALL, {})
    return 0 if row is None else int(row[0])


def sealed_page(connection: Connection, after: str, limit: int) -> list[tuple[str, SealedSecret]]:
    """Up to ``limit`` keys' secrets, access keys above ``after``, in order."""
    rows = connection.all(_SEALED, {"after": after, "most": limit})
    return [(access_key, SealedSecret(text, master)) for access_key, text, master in rows]


def wrap(connection: Connection, access_key: str, old: SealedSecret, new: SealedSecret) -> bool:
    """Put ``new`` in place of ``old``; False when the key is gone or has another secret by now."""
    values = {"old_secret": old.text, "new_secret": new.text, "new_master": new.master}
    return connection.run(_WRAP, {**values, "this_key": access_key}) == 1
