"""Roles: who may become what for a while. Found ones are remembered for at most a second."""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from functools import partial
from types import MappingProxyType
from typing import Final

from ..auth.policy import MOST_BYTES
from ..auth.policy import Policy
from ..auth.policy import parse_policy
from ..errors import MalformedPolicy
from ..index import roles as rows
from ..index.connections import Connection
from ..index.roles import RoleExists
from ..index.roles import RoleRow
from ..model import Role
from .account_rows import Remembered
from .backing import Backing

logger = logging.getLogger("s3kit")

LEAST_SECONDS: Final = 900
MOST_SECONDS: Final = 43_200
"""How long a role's sessions may be allowed to live, in seconds; an hour by default."""
USUAL_SECONDS: Final = 3_600

# Source: IAM User Guide, "IAM and AWS STS quotas".
ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_POLICY_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}")
_NUMBER: Final = re.compile(r"[0-9]{12}", re.ASCII)
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class NoSuchRole(Exception):
    """The account has no role of this name."""


class Roles:
    """The roles of all accounts, those of the configuration included."""

    __slots__ = ("_backing", "_remembered", "numbers")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._remembered: Remembered[Role] = Remembered()
        self.numbers: Mapping[str, str] = _NONE
        """The configuration's accounts: number to id."""

    def find(self, account: str, name: str, /) -> Role | None:
        """The role ready to be asked, None where there is none; up to a second old.

        An account whose plan has no S3 has none.
        """
        # With accounts and keys: whoever suspends an account ends its roles' sessions at once.
        accounts = self._backing.accounts
        generation, now = accounts.reading, accounts.clock()
        place = f"{name}/{account}"
        fresh, known = self._remembered.get(place, generation, now)
        if fresh:
            return known
        row = self._backing.index.read(lambda c: rows.get(c, account, name))
        role = None
        # Where the plan has no keys nobody acts for the account by another way either (IU-09).
        if row is not None and accounts.limits_of(account).s3:
            try:
                role = _role_of(row)
            except MalformedPolicy as error:
                # Written by another version; whose sessions may do what is not known.
                logger.error("the role %s of %s cannot be used: %s", name, account, error)
        self._remembered.put(place, generation, now, role)
        return role

    def account_numbered(self, number: str) -> str | None:
        """The id of the account of this number of 12 digits, None where there is none."""
        found = self.numbers.get(number)
        if found is None and _NUMBER.fullmatch(number):
            found = self._backing.index.read(lambda c: rows.account_numbered(c, number))
        return found

    def id_of(self, account: str) -> str:
        """The id of an account that is named by its id or its number."""
        return self.account_numbered(account) or account

    def create(
        self,
        account: str,
        name: str,
        *,
        trust: str,
        policies: Mapping[str, str] = _NONE,
        most_seconds: int = USUAL_SECONDS,
    ) -> RoleRow:
        """Make a role.

        :param account: the account's id.
        :param trust: a policy that says who may assume it, as JSON.
        :param policies: what its sessions may do: name to policy.
        :param most_seconds: how long a session may be asked for, 900 to 43,200.
        :raises RoleExists:
        :raises ValueError: the name or the time is out of bounds.
        :raises MalformedPolicy: with a message that says where.
        """
        if not ROLE_NAME.fullmatch(name):
            raise ValueError(f'"{name}" can be no role: 1 to 64 letters, digits or any of _+=,.@-')
        # 16 characters after the four: those of Amazon's ids.
        role_id = "AROA" + base64.b32encode(os.urandom(10)).decode()
        row = RoleRow(
            account, name, role_id, self._backing.now(), trust, dict(policies), most_seconds
        )
        _check(row)
        self._backing.index.write(lambda c: rows.insert(c, row))
        self._backing.accounts.forget()
        return row

    def get(self, account: str, name: str) -> RoleRow:
        """The role with its documents.

        :raises NoSuchRole:
        """
        row = self._backing.index.read(lambda c: rows.get(c, account, name))
        if row is None:
            raise NoSuchRole(name)
        return row

    def list_roles(self, account: str) -> list[RoleRow]:
        """All roles of an account, by name."""
        found: list[RoleRow] = []
        index = self._backing.index
        while page := index.read(partial(rows.page, account=account, after=_last(found))):
            found += page
        return found

    def set_trust(self, account: str, name: str, trust: str) -> None:
        """Say anew who may assume it; sessions that are open go on.

        :raises NoSuchRole: MalformedPolicy:
        """
        self._change(account, name, lambda row: replace(row, trust=trust))

    def put_policy(self, account: str, name: str, policy_name: str, policy: str) -> None:
        """Give the role a policy in place of the one of that name; open sessions feel it at once.

        :raises NoSuchRole: MalformedPolicy:
        """
        self._change(
            account,
            name,
            lambda row: replace(row, policies={**row.policies, policy_name: policy}),
        )

    def delete_policy(self, account: str, name: str, policy_name: str) -> None:
        """Take a policy from the role; one that it does not have is no error.

        :raises NoSuchRole:
        """
        self._change(
            account,
            name,
            lambda row: replace(
                row,
                policies={each: text for each, text in row.policies.items() if each != policy_name},
            ),
        )

    def set_most_seconds(self, account: str, name: str, most_seconds: int) -> None:
        """Say anew how long a session may be asked for, 900 to 43,200; open ones go on.

        :raises NoSuchRole: ValueError:
        """
        self._change(account, name, lambda row: replace(row, most_seconds=most_seconds))

    def delete(self, account: str, name: str) -> None:
        """Remove a role; its sessions end.

        :raises NoSuchRole:
        """
        if not self._backing.index.write(lambda c: rows.delete(c, account, name)):
            raise NoSuchRole(name)
        self._backing.accounts.forget()

    def _change(self, account: str, name: str, change: Callable[[RoleRow], RoleRow]) -> None:
        def work(c: Connection) -> None:
            # Held, so that no change is lost to another.
            row = rows.lock(c, account, name)
            if row is None:
                raise NoSuchRole(name)
            changed = change(row)
            _check(changed)
            rows.change(c, changed)

        self._backing.index.write(work)
        self._backing.accounts.forget()


def _last(found: Sequence[RoleRow]) -> str:
    return found[-1].name if found else ""


def _check(row: RoleRow) -> None:
    if not LEAST_SECONDS <= row.most_seconds <= MOST_SECONDS:
        raise ValueError(
            f"a role's sessions last at most {LEAST_SECONDS} to {MOST_SECONDS} seconds, not "
            f"{row.most_seconds}"
        )
    _trust_of(row.trust)
    for name, policy in row.policies.items():
        if not _POLICY_NAME.fullmatch(name):
            raise ValueError(f'"{name}" can be no name of a policy')
        _policy_of(policy)
    if sum(map(len, row.policies.values())) > MOST_BYTES:
        raise MalformedPolicy("Policy exceeds the maximum allowed document size.")


def _role_of(row: RoleRow) -> Role:
    return Role(
        row.account,
        row.name,
        row.id,
        row.created,
        row.most_seconds,
        _trust_of(row.trust),
        tuple(_policy_of(policy) for policy in row.policies.values()),
        row.account_status,
    )


# By their texts: a signing key is kept for as long as the policies are the very same.
@lru_cache(maxsize=1024)
def _trust_of(text: str) -> Policy:
    return parse_policy(text.encode(), kind="trust")


@lru_cache(maxsize=1024)
def _policy_of(text: str) -> Policy:
    return parse_policy(text.encode(), kind="user")


__all__ = ["NoSuchRole", "RoleExists", "RoleRow", "Roles"]
