"""Accounts in the index, with their users and keys: what a host gives to those who sign up.

Accounts of the configuration need none of this; as soon as one is given a key or a user here, its
row is made of what the configuration says, which goes on to count.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
from typing import Final

from ..errors import DeleteConflict
from ..errors import EntityAlreadyExists
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import NoSuchEntity
from ..index import access_keys as key_rows
from ..index import accounts as rows
from ..index.accounts import ACTIVE
from ..index.accounts import CLOSING
from ..index.accounts import SUSPENDED
from ..index.accounts import StoredAccount
from ..index.session import Connection
from ..model import Account
from ..model import Bucket
from ..signals import AccountEvent
from ..signals import account_created
from ..signals import ask
from ..signals import before_account_created
from ..signals import emit
from ..signals import key_created
from ..wire.names import check_bucket_name
from .access_keys import AccessKeys
from .access_keys import NewKey
from .account_rows import Limits
from .backing import Backing
from .buckets import Buckets
from .quota import hold_last
from .users import Users

LIMITS: Final = ("keys", "buckets", "bytes")
GREATEST: Final = 2**63 - 1
LAST_MILLISECOND: Final = 253_402_300_799_999
"""Of the year 9999."""
ID_BYTES: Final = 32
LONGEST_NAME: Final = 255

_NUMBER: Final = re.compile("[0-9]{12}")


@dataclass(frozen=True, slots=True)
class SignUp:
    """What somebody who has signed up is told."""

    account: StoredAccount
    key: NewKey
    bucket: Bucket


class Accounts:
    """The accounts, their users and their keys: ``store.accounts``.

    Every change counts at once in this process, and within a second in all others; at once in
    those of this machine where the index is SQLite.
    """

    def __init__(self, backing: Backing, buckets: Buckets) -> None:
        self._backing = backing
        self._rows = backing.accounts
        self._buckets = buckets
        self.keys = AccessKeys(backing)
        self.users = Users(backing, self.keys)
        self.create_key = self.keys.create
        self.get_key = self.keys.get
        self.list_keys = self.keys.list
        self.rotate_key = self.keys.rotate
        self.disable_key = self.keys.disable
        self.enable_key = self.keys.enable
        self.delete_key = self.keys.delete
        self.reset_keys = self.keys.reset
        self.create_user = self.users.create
        self.get_user = self.users.get
        self.list_users = self.users.list
        self.delete_user = self.users.delete
        self.put_user_policy = self.users.put_policy
        self.delete_user_policy = self.users.delete_policy

    def configure(
        self,
        accounts: Iterable[Account],
        plans: Mapping[str, Mapping[str, Any]],
        key_prefix: str = "",
    ) -> None:
        """What the configuration says; to be called once in each process.

        :param accounts: those that it has itself.
        :param plans: ``keys``, ``buckets`` and ``bytes`` (None or ``any`` for any number) and
            ``s3``, by the plans' names; what one does not say is the profile's.
        :param key_prefix: what new access keys begin with; "" for the profile's.
        """
        self._rows.configured = {each.id: each for each in accounts}
        self._rows.set_plans(plans)
        if key_prefix:
            self.keys.prefix = key_prefix

    def create(
        self,
        *,
        display_name: str = "",
        email: str = "",
        plan: str = "",
        id: str = "",
        number: str = "",
        limits: Mapping[str, int | None] | None = None,
    ) -> StoredAccount:
        """Make an account.

        :param id: its canonical user id; by default 64 random hex digits, as Amazon's.
        :param number: 12 digits, for ARNs; random by default.
        :param plan: one of the configuration's ``plans``.
        :param limits: its own ``keys``, ``buckets`` and ``bytes``, None for any number.
        :raises EntityAlreadyExists: its id or number is taken.
        :raises InvalidArgument: one of these cannot be.
        :raises AccessDenied: a ``before_account_created`` receiver vetoed.
        """
        wanted = self._new(display_name, email, plan, id, number, limits)
        ask(before_account_created, self._event(wanted))
        made = self._rows.make(wanted)
        emit(account_created, self._event(made))
        return made

    def sign_up(
        self,
        *,
        display_name: str = "",
        email: str = "",
        plan: str = "",
        id: str = "",
        number: str = "",
        limits: Mapping[str, int | None] | None = None,
        bucket: str = "",
        label: str = "",
    ) -> SignUp:
        """Make an account with its first key and a bucket (CS-01): all of it, or nothing.

        :param label: the key's.
        :param bucket: its name; by default ``default``, or ``default-`` and ten random hex digits
            where names are not per account.
        :raises S3Error: as :meth:`create`, :meth:`AccessKeys.create
            <s3kit.store.access_keys.AccessKeys.create>` and :meth:`Buckets.create
            <s3kit.store.buckets.Buckets.create>`.
        """
        if bucket:
            # It may come of a form; no request could reach a bucket of another name.
            check_bucket_name(bucket)
        wanted = self._new(display_name, email, plan, id, number, limits)
        ask(before_account_created, self._event(wanted))
        alone = self._buckets.per_account
        name = bucket or ("default" if alone else f"default-{secrets.token_hex(5)}")
        key = self.keys.begin(self.keys.new(wanted.id, label), wanted)
        new = self._buckets.begin(name, wanted.id)
        limited = self._rows.limits_by(wanted.id, wanted).buckets is not None
        first: Bucket | None = None

        def also(c: Connection) -> None:
            nonlocal first
            key.insert(c)
            first = self._buckets.insert(c, new, known=True, limited=limited)

        made = self._rows.make(wanted, also=also)
        assert first is not None, "the transaction is through"
        self._buckets.made(first, new)
        emit(account_created, self._event(made))
        emit(key_created, self.keys.event("key-created", key.told.key, made))
        return SignUp(made, key.told, first)

    def get(self, account_id: str) -> StoredAccount:
        """An account as it is now, also one that only the configuration has.

        :raises NoSuchEntity: there is none of this id.
        """
        found = self._rows.show(account_id)
        if found is None:
            raise _no_account(account_id)
        return found

    def limits_of(self, account_id: str) -> Limits:
        """What an account may have: by itself, else by its plan, else by the profile."""
        return self._rows.limits_of(account_id)

    def suspend(self, account_id: str) -> None:
        """Let none of the account's keys be used, until it is resumed.

        :raises NoSuchEntity: there is no such account.
        :raises InvalidRequest: the configuration has it, whose keys would go on; or it is to be
            deleted.
        """
        self._check_not_configured(account_id)
        self._change(account_id, _suspended)

    def resume(self, account_id: str) -> None:
        """Make a suspended account active again, or one that was to be deleted.

        :raises NoSuchEntity: there is no such account.
        """
        self._change(account_id, lambda found: replace(found, status=ACTIVE, delete_at=0))

    def schedule_deletion(self, account_id: str, at_ms: int) -> None:
        """Have an account deleted with all that it has; until then its keys may only read.

        :param at_ms: when, in milliseconds since the epoch.
        :raises NoSuchEntity: there is no such account.
        :raises InvalidArgument: that is no moment.
        :raises InvalidRequest: the configuration has it, whose keys would go on writing till then.
        """
        if not 0 < at_ms <= LAST_MILLISECOND:
            raise _wrong("at_ms", str(at_ms), "are milliseconds since 1970, before the year 10000")
        self._check_not_configured(account_id)
        self._change(account_id, lambda found: replace(found, status=CLOSING, delete_at=at_ms))

    def delete(self, account_id: str) -> None:
        """Remove an account with its users and keys, now.

        :raises NoSuchEntity: there is no such account.
        :raises DeleteConflict: it still has buckets.
        """

        def work(c: Connection) -> tuple[key_rows.StoredKey, ...]:
            if rows.lock(c, account_id) is None:
                raise _no_account(account_id)
            hold_last(c, account_id)
            if rows.count_buckets(c, account_id):
                raise DeleteConflict(f"The account {account_id} still has buckets.")
            keys = tuple(key_rows.keys_of(c, account_id))
            rows.delete(c, account_id)
            return keys

        self.keys.revoke(self._backing.index.write(work))

    def _check_not_configured(self, account_id: str) -> None:
        if account_id in self._rows.configured:
            raise InvalidRequest(
                f"The configuration gives the account {account_id} its keys: take them out there."
            )

    def _change(
        self, account_id: str, change: Callable[[StoredAccount], StoredAccount]
    ) -> StoredAccount:
        self._rows.ensure(account_id)

        def work(c: Connection) -> StoredAccount:
            found = rows.lock(c, account_id)
            if found is None:
                raise _no_account(account_id)
            changed = change(found)
            rows.change(c, changed)
            return changed

        changed = self._backing.index.write(work)
        self._rows.forget()
        return changed

    def _new(
        self,
        display_name: str,
        email: str,
        plan: str,
        account_id: str,
        number: str,
        limits: Mapping[str, int | None] | None,
    ) -> StoredAccount:
        if account_id and not rows.is_name(account_id):
            raise _wrong("id", account_id, f"has up to {LONGEST_NAME} printable characters")
        if number and not _NUMBER.fullmatch(number):
            raise _wrong("number", number, "has 12 digits")
        if _NUMBER.fullmatch(account_id):
            # Policies name accounts by both: it must never be another account's number.
            if number and number != account_id:
                raise _wrong("number", number, "is the id where that has 12 digits")
            number = account_id
        configured = self._rows.configured.values()
        if number and any(number in (each.number, each.id) for each in configured):
            raise EntityAlreadyExists(f"The number {number} is another account's.")
        if account_id in self._rows.configured:
            raise InvalidRequest(
                f"The configuration has the account {account_id}: it can be given keys as it is."
            )
        self._check(display_name, email, plan, limits)
        return StoredAccount(
            account_id or secrets.token_hex(ID_BYTES),
            number,
            display_name,
            email,
            plan=plan,
            limits=limits,
            created=self._backing.now(),
        )

    def _check(
        self,
        display_name: str | None,
        email: str | None,
        plan: str | None,
        limits: Mapping[str, Any] | None,
    ) -> None:
        for name, text in (("display_name", display_name), ("email", email)):
            if text and not rows.is_name(text):
                raise _wrong(name, text, f"has up to {LONGEST_NAME} printable characters")
        if plan and plan not in self._rows.plans:
            known = ", ".join(sorted(self._rows.plans)) or "none"
            raise _wrong("plan", plan, f"is one of the configuration's plans ({known})")
        for name, value in (limits or {}).items():
            if name not in LIMITS:
                raise _wrong("limits", name, f"are any of {', '.join(LIMITS)}")
            good = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (good and 0 <= value <= GREATEST):
                raise _wrong("limits", str(value), "are numbers, or None for any number")

    def _event(self, account: StoredAccount) -> AccountEvent:
        return AccountEvent(
            "account-created",
            account.id,
            account.display_name,
            account.email,
            account.plan,
            time=self._backing.now(),
        )

    def set(
        self,
        account_id: str,
        *,
        display_name: str | None = None,
        email: str | None = None,
        plan: str | None = None,
        limits: Mapping[str, int | None] | None = None,
    ) -> StoredAccount:
        """Change what is given of an account.

        :param limits: all of its own, ``{}`` for none but its plan's.
        :raises NoSuchEntity: there is no such account.
        :raises InvalidArgument: one of these cannot be.
        :raises InvalidRequest: the configuration says it already.
        """
        self._check(display_name, email, plan, limits)
        configured = self._rows.configured.get(account_id)
        if configured is not None and (
            display_name is not None or email is not None or (plan is not None and configured.plan)
        ):
            raise InvalidRequest(
                f"The configuration says this of the account {account_id}: change it there."
            )
        given = {"display_name": display_name, "email": email, "plan": plan, "limits": limits}
        new: Any = {name: value for name, value in given.items() if value is not None}
        changed = self._change(account_id, lambda found: replace(found, **new))
        self._backing.quota.follow(account_id)
        return changed

    def list(self, *, after: str = "", limit: int = 1000) -> tuple[StoredAccount, ...]:
        """Up to ``limit`` accounts in order of their ids, ids above ``after``."""
        return tuple(self._backing.index.read(lambda c: rows.page(c, after, limit)))


def _suspended(found: StoredAccount) -> StoredAccount:
    if found.status not in (ACTIVE, SUSPENDED):
        raise InvalidRequest(f"The account {found.id} is {found.status}.")
    return replace(found, status=SUSPENDED)


def _no_account(account_id: str) -> NoSuchEntity:
    return NoSuchEntity(f"There is no account {account_id[:LONGEST_NAME]}.")


def _wrong(name: str, value: str, text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name} {text}.", argument_name=name, argument_value=value[:LONGEST_NAME]
    )


__all__ = ["Accounts", "Limits", "NewKey", "SignUp", "StoredAccount"]
