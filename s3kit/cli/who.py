"""Who is to ask a question of ``s3kit explain``: the caller that a request of theirs would have."""

from __future__ import annotations

import time
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Final

import click

from ..app import S3App
from ..auth.canonical import Credential
from ..auth.canonical import SigningKey
from ..auth.policy import Policy
from ..auth.policy import parse_policy
from ..config import DEFAULT_ACCOUNT
from ..config import ConfigError
from ..errors import NoSuchEntity
from ..index import accounts as account_rows
from ..model import ANONYMOUS
from ..model import Caller
from ..model import Key
from ..model import Session
from ..store.key_ring import MAY_SIGN
from ..store.key_ring import narrowed

_SCOPE: Final = "20000101/us-east-1/s3/aws4_request"
_CREDENTIAL: Final = ("20000101", "us-east-1", "s3", "aws4_request", _SCOPE)
_SESSION_NAME: Final = "explain"


@dataclass(frozen=True, slots=True)
class Who:
    """Whom the command line names."""

    key: str | None = None
    account: str | None = None
    user: str | None = None
    role: str | None = None
    anonymous: bool = False
    session_policy: Policy | None = field(default=None, repr=False)

    def check(self) -> None:
        """Refuse what names nobody, or two.

        :raises click.UsageError:
        """
        of_account = self.account is not None or self.user is not None or self.role is not None
        if sum((self.key is not None, of_account, self.anonymous)) != 1:
            raise click.UsageError(
                "Say who asks: one of --access-key, --account (with --user or --role, or neither) "
                "and --anonymous."
            )
        if self.user is not None and self.role is not None:
            raise click.UsageError("A request is of a user or of a role, not of both.")
        if self.anonymous and self.session_policy is not None:
            raise click.UsageError("Who does not sign has no session.")


def caller_of(app: S3App, who: Who) -> Caller | str:
    """The caller of a request of theirs, or why they can send none now.

    :raises ConfigError: there is no such account, user or role.
    """
    if who.anonymous:
        return ANONYMOUS
    key = _key_of(app, who)
    if isinstance(key, str):
        return key
    if who.session_policy is not None:
        session = key.session or Session(who.key or "", expires=int(time.time()) + 3600)
        key = replace(key, session=session, session_policy=who.session_policy)
    # As for a request that this key has signed.
    caller = SigningKey(key, Credential(key.access_key, *_CREDENTIAL)).caller
    return replace(caller, access_key=caller.access_key or None)


def _key_of(app: S3App, who: Who) -> Key | str:
    ring = app.site.key_ring
    if who.key is not None:
        found = ring.lookup(who.key)
        return found or f"there is no key {who.key}, or it may not be used now"
    name = who.account or DEFAULT_ACCOUNT
    account = ring.account(name)
    if account is None:
        raise ConfigError(f'There is no account "{name}".')
    status = _status(app, account.id)
    if status not in MAY_SIGN:
        return f"the account {account.id} is {status}, and no key of it may be used"
    key = Key("", "", account, scope=narrowed(None, status))
    if who.user is not None:
        return _user_of(app, key, who.user)
    return key if who.role is None else _role_of(app, key, who.role)


def _status(app: S3App, account_id: str) -> str:
    try:
        return app.store.accounts.get(account_id).status
    except NoSuchEntity:
        # Of the configuration, or a host app's.
        return account_rows.ACTIVE


def _user_of(app: S3App, key: Key, name: str) -> Key:
    for each in app.config.signing_keys():
        if each.account.id == key.account.id and each.user == name:
            # The user, whatever this one of its keys is narrowed to.
            return replace(each, scope=None)
    try:
        user = app.store.accounts.users.get(key.account.id, name)
    except NoSuchEntity:
        raise ConfigError(f'The account "{key.account.id}" has no user "{name}".') from None
    policies = tuple(parse_policy(text.encode(), kind="user") for text in user.policies.values())
    return replace(key, user=name, policies=policies)


def _role_of(app: S3App, key: Key, name: str) -> Key | str:
    account = key.account.id
    role = app.store.roles.find(account, name)
    if role is None:
        raise ConfigError(f'The account "{account}" has no role "{name}".')
    if app.site.sessions.role(account, name) is None:
        return f"the role {name} has no sessions now: its account is {role.account_status}"
    expires = int(time.time()) + 3600
    session = Session("", expires=expires, roles=((account, name, role.id),), name=_SESSION_NAME)
    principal = f"assumed-role/{role.name}/{_SESSION_NAME}"
    return replace(key, session=session, principal=principal, policies=role.policies)
