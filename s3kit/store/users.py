"""An account's users: their keys may do what the users' policies allow, and nothing else.

Source: IAM User Guide, "IAM users" and "IAM and AWS STS quotas".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from typing import Final

from ..auth.policy import parse_policy
from ..errors import InvalidArgument
from ..errors import LimitExceeded
from ..errors import NoSuchEntity
from ..index import access_keys as key_rows
from ..index import accounts as rows
from ..index.access_keys import StoredKey
from ..index.accounts import StoredUser
from ..index.session import Connection
from .access_keys import AccessKeys
from .access_keys import lock_active
from .backing import Backing

MOST_POLICIES: Final = 10
"""Of one user."""

MOST_CHARACTERS: Final = 6144
"""Of one policy, white space not counted: as Amazon's managed policies."""

_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_POLICY_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}")

Document = str | bytes | Mapping[str, Any]
"""A policy: JSON, or what it stands for."""


class Users:
    """The users of all accounts."""

    __slots__ = ("_backing", "_keys", "_rows")

    def __init__(self, backing: Backing, keys: AccessKeys) -> None:
        self._backing = backing
        self._rows = backing.accounts
        self._keys = keys

    def create(
        self, account_id: str, name: str, policies: Mapping[str, Document] | None = None
    ) -> StoredUser:
        """Make a user. Without a policy its keys may do nothing but what buckets' policies allow.

        :param policies: by their names.
        :raises NoSuchEntity: there is no such account.
        :raises EntityAlreadyExists: it has a user of this name.
        :raises MalformedPolicy: InvalidArgument: LimitExceeded:
        """
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                "A user's name has up to 64 letters, digits and any of _+=,.@-",
                argument_name="user",
                argument_value=name[:64],
            )
        texts = {each: _read(each, document) for each, document in (policies or {}).items()}
        _check_number(texts)
        self._rows.ensure(account_id)
        user = StoredUser(account_id, name, self._backing.now(), texts)

        def work(c: Connection) -> None:
            lock_active(c, account_id)
            rows.insert_user(c, user)

        self._backing.index.write(work)
        return user

    def get(self, account_id: str, name: str) -> StoredUser:
        """A user with its policies.

        :raises NoSuchEntity: there is none of this name.
        """
        return self._backing.index.read(lambda c: _found(c, account_id, name))

    def list(self, account_id: str) -> tuple[StoredUser, ...]:
        """The account's users by name."""
        if not rows.is_name(account_id):
            return ()
        return tuple(self._backing.index.read(lambda c: rows.users_of(c, account_id)))

    def delete(self, account_id: str, name: str) -> int:
        """Remove a user with its keys; how many those were.

        :raises NoSuchEntity: there is none of this name.
        """

        def work(c: Connection) -> tuple[StoredKey, ...]:
            rows.lock(c, account_id)
            _found(c, account_id, name)
            keys = tuple(each for each in key_rows.keys_of(c, account_id) if each.user == name)
            key_rows.delete_of_user(c, account_id, name)
            rows.delete_user(c, account_id, name)
            return keys

        return self._keys.revoke(self._backing.index.write(work))

    def put_policy(self, account_id: str, user: str, name: str, document: Document) -> None:
        """Give a user a policy, or replace the one of this name.

        :raises NoSuchEntity: there is no such user.
        :raises MalformedPolicy: with a message that says where.
        :raises InvalidArgument: LimitExceeded:
        """
        text = _read(name, document)
        self._change(account_id, user, lambda policies: policies | {name: text})

    def delete_policy(self, account_id: str, user: str, name: str) -> None:
        """Take a policy from a user.

        :raises NoSuchEntity: there is no such user, or it has no such policy.
        """

        def without(policies: dict[str, str]) -> dict[str, str]:
            if name not in policies:
                raise NoSuchEntity(f"The user {user} has no policy {name[:128]}.")
            return {each: text for each, text in policies.items() if each != name}

        self._change(account_id, user, without)

    def _change(
        self, account_id: str, name: str, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        def work(c: Connection) -> None:
            # The account's row stands for its users, so that no change is lost to another.
            rows.lock(c, account_id)
            found = _found(c, account_id, name)
            policies = change(dict(found.policies))
            _check_number(policies)
            rows.set_policies(c, replace(found, policies=policies))

        self._backing.index.write(work)
        self._rows.forget()


def _found(connection: Connection, account_id: str, name: str) -> StoredUser:
    found = rows.get_user(connection, account_id, name) if rows.is_name(account_id) else None
    if found is None:
        raise NoSuchEntity(f"The account has no user {name[:64]}.")
    return found


def _check_number(policies: Mapping[str, str]) -> None:
    if len(policies) > MOST_POLICIES:
        raise LimitExceeded(f"A user has {MOST_POLICIES} policies at most.")


def _read(name: str, document: Document) -> str:
    if not _POLICY_NAME.fullmatch(name):
        raise InvalidArgument(
            "A policy's name has up to 128 letters, digits and any of _+=,.@-",
            argument_name="policy",
            argument_value=name[:128],
        )
    if isinstance(document, Mapping):
        document = json.dumps(document)
    data = document.encode() if isinstance(document, str) else document
    parse_policy(data, kind="user")
    text = data.decode()
    if len("".join(text.split())) > MOST_CHARACTERS:
        raise LimitExceeded(f"Cannot exceed quota for PolicySize: {MOST_CHARACTERS}")
    return text


__all__ = ["StoredUser", "Users"]
