"""Access keys in the index: made, narrowed, rotated, disabled, removed.

Source: IAM User Guide, "Managing access keys"; for the codes of errors the IAM API Reference.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Final

from ..auth.scope import read_scope
from ..auth.scope import write_scope
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import LimitExceeded
from ..errors import NoSuchEntity
from ..index import access_keys as rows
from ..index import accounts as account_rows
from ..index.access_keys import StoredKey
from ..index.accounts import StoredAccount
from ..index.session import Connection
from ..model import Scope
from ..signals import AccountEvent
from ..signals import ask
from ..signals import before_key_created
from ..signals import emit
from ..signals import key_created
from ..signals import key_revoked
from .account_rows import Limits
from .backing import Backing
from .sealed_secrets import seal

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
LENGTH: Final = 20
SECRET_BYTES: Final = 30
LONGEST_LABEL: Final = 255

NO_SCOPE: Final = Scope()


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What is known of an access key; its secret is not.

    ``user`` is "" for the account's own. ``status`` is ``active`` or ``disabled``. ``created`` and
    ``last_used`` are in milliseconds since the epoch, 0 for never; ``last_used`` is written down
    once a minute at most. ``bytes_used`` is how much of its byte budget is gone.
    """

    access_key: str
    account: str
    user: str = ""
    label: str = ""
    status: str = rows.ACTIVE
    created: int = 0
    last_used: int = 0
    scope: Scope | None = None
    bytes_used: int = 0


@dataclass(frozen=True, slots=True)
class NewKey:
    """An access key with its secret, which is told this once and never again."""

    key: AccessKey
    secret_key: str = field(repr=False)

    @property
    def access_key(self) -> str:
        """The key's id."""
        return self.key.access_key


class AccessKeys:
    """The keys of all accounts. ``prefix`` is what new ones begin with."""

    __slots__ = ("_backing", "_rows", "prefix")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._rows = backing.accounts
        self.prefix = backing.profile.key_prefix

    def create(
        self,
        account_id: str,
        *,
        user: str = "",
        label: str = "",
        scope: Scope | Mapping[str, Any] | None = None,
    ) -> NewKey:
        """Make a key for an account, or for one of its users.

        :param label: what its owner calls it.
        :param scope: what it is narrowed to, also as JSON says it, see
            :func:`s3kit.auth.scope.read_scope`.
        :raises NoSuchEntity: there is no such account or user.
        :raises LimitExceeded: the account has as many keys as it may.
        :raises AccessDenied: its plan has no keys, or a ``before_key_created`` receiver vetoed.
        :raises InvalidArgument: the scope or the label cannot be.
        :raises InvalidRequest: the account is not active, or there is no master key.
        :raises NotImplemented: what seals secrets is not installed.
        """
        made = self._new(account_id, user, label, scope)
        account = self._rows.ensure(account_id)
        secret = self.begin(made, account)
        self._backing.index.write(secret.insert)
        self._rows.forget()
        emit(key_created, self.event("key-created", made, account))
        return secret.told

    def begin(self, made: AccessKey, account: StoredAccount) -> KeyToInsert:
        """Ask whether a key may be, and give it a secret.

        :raises S3Error: as :meth:`create`.
        """
        secret_key = base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        sealed = seal(self._backing.encryptions.masters, made.access_key, secret_key)
        ask(before_key_created, self.event("key-created", made, account))
        stored = StoredKey(
            made.access_key,
            made.account,
            made.user,
            made.label,
            made.status,
            made.created,
            scope="" if made.scope is None else json.dumps(write_scope(made.scope)),
        )

        def insert(c: Connection) -> None:
            locked = lock_active(c, made.account)
            _check_room(c, made.account, self._rows.limits_by(made.account, locked))
            if made.user and account_rows.get_user(c, made.account, made.user) is None:
                raise NoSuchEntity(f"The account has no user {made.user}.")
            rows.insert(c, stored, sealed)

        return KeyToInsert(NewKey(made, secret_key), insert)

    def new(self, account_id: str, label: str = "") -> AccessKey:
        """A key that is nowhere yet."""
        return self._new(account_id, "", label, None)

    def _new(
        self, account_id: str, user: str, label: str, scope: Scope | Mapping[str, Any] | None
    ) -> AccessKey:
        if len(label) > LONGEST_LABEL or (label and not label.isprintable()):
            raise InvalidArgument(
                f"A label has up to {LONGEST_LABEL} printable characters.",
                argument_name="label",
                argument_value=label[:LONGEST_LABEL],
            )
        if scope is not None:
            try:
                # Also one that is made already: what cannot be read again must not be stored.
                scope = read_scope(scope if isinstance(scope, Mapping) else write_scope(scope))
            except ValueError as error:
                raise InvalidArgument(str(error), argument_name="scope") from None
        prefix = self.prefix
        rest = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH - len(prefix)))
        return AccessKey(
            prefix + rest,
            account_id,
            user,
            label,
            created=self._backing.now(),
            scope=None if scope == NO_SCOPE else scope,
        )

    def get(self, access_key: str) -> AccessKey:
        """What is known of a key.

        :raises NoSuchEntity: there is none of this id.
        """
        found = self._backing.index.read(lambda c: rows.get(c, access_key))
        if found is None:
            raise _no_key(access_key)
        return _shown(found)

    def list(self, account_id: str, *, user: str | None = None) -> tuple[AccessKey, ...]:
        """The account's keys, the oldest first.

        :param user: only this user's; "" for the account's own.
        """
        if not account_rows.is_name(account_id):
            return ()
        found = self._backing.index.read(lambda c: rows.keys_of(c, account_id))
        return tuple(_shown(each) for each in found if user is None or each.user == user)

    def rotate(self, access_key: str) -> NewKey:
        """Give a key a new secret; the old one ends at once (FB-24).

        :raises NoSuchEntity: there is no such key.
        :raises InvalidRequest: NotImplemented: as :meth:`create`.
        """
        secret_key = base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        sealed = seal(self._backing.encryptions.masters, access_key, secret_key)

        def work(c: Connection) -> StoredKey:
            found = _locked(c, access_key)
            rows.set_secret(c, access_key, sealed)
            return found

        found = _shown(self._change(work))
        self._revoked("key-rotated", found)
        return NewKey(found, secret_key)

    def disable(self, access_key: str) -> None:
        """Let a key be used no more, until it is enabled again.

        :raises NoSuchEntity: there is no such key.
        """
        self._revoked("key-disabled", self._set_status(access_key, rows.DISABLED))

    def enable(self, access_key: str) -> None:
        """Let a key be used again.

        :raises NoSuchEntity: there is no such key.
        """
        self._set_status(access_key, rows.ACTIVE)

    def delete(self, access_key: str) -> None:
        """Remove a key.

        :raises NoSuchEntity: there is no such key.
        """

        def work(c: Connection) -> StoredKey:
            found = _locked(c, access_key)
            rows.delete(c, access_key)
            return found

        self._revoked("key-deleted", _shown(self._change(work)))

    def reset(self, account_id: str) -> int:
        """Remove all keys of an account, those of its users too; how many there were (IU-10).

        :raises NoSuchEntity: nobody knows the account.
        """
        self._rows.ensure(account_id)

        def work(c: Connection) -> tuple[StoredKey, ...]:
            account_rows.lock(c, account_id)
            found = tuple(rows.keys_of(c, account_id))
            rows.delete_of(c, account_id)
            return found

        return self.revoke(self._backing.index.write(work))

    def revoke(self, removed: tuple[StoredKey, ...]) -> int:
        """Tell that these keys were removed; how many they are."""
        self._rows.forget()
        for each in removed:
            self._revoked("key-deleted", _shown(each))
        return len(removed)

    def _set_status(self, access_key: str, status: str) -> AccessKey:
        def work(c: Connection) -> StoredKey:
            found = _locked(c, access_key)
            rows.set_status(c, access_key, status)
            return found

        return _shown(self._change(work))

    def _change(self, work: Callable[[Connection], StoredKey]) -> StoredKey:
        found = self._backing.index.write(work)
        self._rows.forget()
        return found

    def _revoked(self, name: str, key: AccessKey) -> None:
        if key_revoked.receivers:
            account = self._rows.stored(key.account) or StoredAccount(key.account, "")
            emit(key_revoked, self.event(name, key, account))

    def event(self, name: str, key: AccessKey, account: StoredAccount) -> AccountEvent:
        """What receivers are told of a key."""
        shown = self._rows.account_of(account)
        return AccountEvent(
            name,
            key.account,
            shown.display_name,
            shown.email,
            shown.plan,
            key.access_key,
            key.user,
            key.label,
            key.scope,
            self._backing.now(),
        )


@dataclass(frozen=True, slots=True)
class KeyToInsert:
    """A key that may be, and what puts it into the index."""

    told: NewKey
    insert: Callable[[Connection], None]


def lock_active(connection: Connection, account_id: str) -> StoredAccount:
    """The account's row, held until the transaction ends.

    :raises NoSuchEntity: it is gone.
    :raises InvalidRequest: it is not active.
    """
    found = account_rows.lock(connection, account_id)
    if found is None:
        raise NoSuchEntity(f"There is no account {account_id}.")
    if found.status != account_rows.ACTIVE:
        raise InvalidRequest(f"The account {account_id} is {found.status}.")
    return found


def _check_room(connection: Connection, account_id: str, limits: Limits) -> None:
    """Refuse one more key, in its own transaction, which holds the account's row.

    :raises AccessDenied: the account's plan has no keys (IU-09).
    :raises LimitExceeded: it has as many as it may (CS-03).
    """
    if not limits.s3:
        raise AccessDenied("The account's plan has no access keys.")
    if limits.keys is not None and rows.count_of(connection, account_id) >= limits.keys:
        raise LimitExceeded(f"The account may have {limits.keys} access keys and has them.")


def _locked(connection: Connection, access_key: str) -> StoredKey:
    found = rows.lock(connection, access_key)
    if found is None:
        raise _no_key(access_key)
    return found


def _no_key(access_key: str) -> NoSuchEntity:
    return NoSuchEntity(f"There is no access key {access_key[: rows.LONGEST]}.")


def _shown(stored: StoredKey) -> AccessKey:
    return AccessKey(
        stored.access_key,
        stored.account,
        stored.user,
        stored.label,
        stored.status,
        stored.created,
        stored.last_used,
        read_scope(json.loads(stored.scope)) if stored.scope else None,
        stored.bytes_used,
    )
