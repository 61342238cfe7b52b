"""Access keys that a host app's own functions find: rows of its users, claims, whatever it has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Any
from typing import Final
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from ..model import Account
from ..model import Key
from .policy import Policy
from .policy import parse_policy
from .scope import read_scope

Loaded = Key | Mapping[str, Any] | None
LoadKey = Callable[[str], Loaded]
LoadAccount = Callable[[str], "Account | Mapping[str, Any] | None"]

DEFAULT_SECONDS: Final = 1.0
"""How long a key is remembered: what revokes one elsewhere counts after that at the latest."""

MOST_KEPT: Final = 10_000
LONGEST_KEY: Final = 128
LONGEST_ACCOUNT: Final = 255

KEY_FIELDS: Final = ("access_key", "secret_key", "account", "user", "policies", "scope")
BUDGET: Final = "byte_budget is counted for keys in s3kit's own database only"

ACCOUNT_FIELDS: Final = ("id", "name", "email", "number", "plan")

_Found = TypeVar("_Found")


class _Kept(NamedTuple, Generic[_Found]):
    answer: object
    found: _Found
    until: float


class LoaderKeyRing:
    """A key ring over a host's functions. It may be asked by any number of threads.

    ``load_key`` gets an access key and answers with a :class:`~s3kit.model.Key`, with a mapping as
    :func:`read_key` takes it, or with None where there is no such key or it may not be used now.
    A key that it gave is remembered for ``seconds``; that there is none never is. What it raises
    is an InternalError for the request, and so is a key with a ``byte_budget``.

    :param load_account: finds an account by its id; by default one of those of the keys that were
        used lately.
    :param load_key_of: finds a key that may sign for an account, for presigned URLs and forms.
    :param seconds: 0 asks each time.
    :param clock: seconds, for what is remembered.
    """

    def __init__(
        self,
        load_key: LoadKey,
        load_account: LoadAccount | None = None,
        *,
        load_key_of: LoadKey | None = None,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load_key = load_key
        self._load_account = load_account
        self._load_key_of = load_key_of
        self._seconds = seconds
        self._clock = clock
        self._generation = 0
        self._keys: dict[str, _Kept[Key]] = {}
        self._accounts: dict[str, _Kept[Account]] = {}

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id, None where there is none or it may not be used now."""
        if len(access_key) > LONGEST_KEY or not (access_key.isascii() and access_key.isprintable()):
            # Anybody sends what they like, and some databases fail at it.
            return None
        now = self._clock()
        kept = self._keys.get(access_key)
        if kept is not None and now < kept.until:
            return kept.found
        # Who changes something while the answer is on its way makes it old.
        generation = self._generation
        answer = self._load_key(access_key)
        if answer is None:
            self._keys.pop(access_key, None)
            return None
        if kept is not None and kept.answer == answer:
            # The very same key, for which its signing keys are known.
            key = kept.found
        elif isinstance(answer, Key):
            key = answer
        else:
            key = read_key(access_key, answer)
        if key.scope is not None and key.scope.byte_budget is not None:
            raise ValueError(BUDGET)
        if key.access_key != access_key:
            # Some databases find "akia..." for "AKIA...", which is nobody's key.
            return None
        if generation == self._generation:
            _keep(self._keys, access_key, _Kept(_copy(answer), key, now + self._seconds))
            _keep(self._accounts, key.account.id, _Kept(None, key.account, now + self._seconds))
        return key

    def account(self, account_id: str) -> Account | None:
        """The account of this canonical user id, None where it is not known."""
        kept = self._accounts.get(account_id)
        if self._load_account is None:
            return None if kept is None else kept.found
        if len(account_id) > LONGEST_ACCOUNT or not account_id.isprintable():
            return None
        now = self._clock()
        if kept is not None and now < kept.until:
            return kept.found
        generation = self._generation
        answer = self._load_account(account_id)
        if answer is None:
            return None
        account = answer if isinstance(answer, Account) else read_account(answer)
        if account.id != account_id:
            return None
        if generation == self._generation:
            _keep(self._accounts, account_id, _Kept(None, account, now + self._seconds))
        return account

    def key_of(self, account_id: str) -> Key | None:
        """A key that may sign for this account, None where none is known."""
        if self._load_key_of is None:
            return None
        answer = self._load_key_of(account_id)
        if answer is None:
            return None
        key = answer if isinstance(answer, Key) else read_key(answer.get("access_key", ""), answer)
        return key if key.account.id == account_id else None

    def forget(self, access_key: str | None = None) -> None:
        """Ask anew about a key, or about all: something has changed that it hangs on."""
        self._generation += 1
        if access_key is None:
            self._keys.clear()
            self._accounts.clear()
        else:
            self._keys.pop(access_key, None)


def _keep(kept: dict[str, Any], name: str, one: object) -> None:
    if len(kept) >= MOST_KEPT and name not in kept:
        kept.clear()
    kept[name] = one


def _copy(answer: Loaded) -> object:
    """What to compare the next answer with, whatever becomes of this one."""
    return deepcopy(dict(answer)) if isinstance(answer, Mapping) else answer


def read_key(access_key: str, document: Mapping[str, Any]) -> Key:
    """The key that plain data describe.

    ``secret_key`` must be there. ``account`` is an id, an :class:`~s3kit.model.Account` or a
    mapping of ``id``, ``name``, ``email``, ``number``, ``plan``; ``default`` by default. ``user``
    is the account's user whose key it is. ``policies`` are documents in Amazon's language, as
    texts or mappings, without which the key may do all that its account may; ``scope`` narrows it
    further, see :func:`~s3kit.auth.scope.read_scope`.

    :raises ValueError: something in it is wrong. The text holds no secret.
    :raises MalformedPolicy: likewise.
    """
    _check_names("a key", document, KEY_FIELDS)
    secret = document.get("secret_key")
    if not isinstance(secret, str) or not secret or not access_key:
        # An empty secret would let anyone sign.
        raise ValueError("a key needs an access_key and a secret_key, both texts")
    given = document.get("access_key", access_key)
    if not isinstance(given, str):
        raise ValueError("access_key must be a text")
    account = document.get("account", "default")
    if not isinstance(account, Account):
        account = read_account({"id": account} if isinstance(account, str) else account)
    user = document.get("user") or ""
    if not isinstance(user, str):
        raise ValueError("user must be a text")
    policies = document.get("policies")
    scope = document.get("scope")
    narrowed = None if scope is None else read_scope(scope)
    if narrowed is not None and narrowed.byte_budget is not None:
        raise ValueError(BUDGET)
    return Key(
        given,
        secret,
        account,
        user=user,
        policies=None if policies is None else tuple(_policy(each) for each in policies),
        scope=narrowed,
    )


def read_account(document: Mapping[str, Any]) -> Account:
    """The account that plain data describe.

    :raises ValueError: something in it is wrong.
    """
    _check_names("an account", document, ACCOUNT_FIELDS)
    values = {name: document.get(name) or "" for name in ACCOUNT_FIELDS}
    if not values["id"] or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("an account needs an id, and all that is said of it are texts")
    return Account(
        values["id"],
        values["name"] or values["id"],
        values["email"],
        values["number"],
        plan=values["plan"],
    )


def _check_names(noun: str, document: Any, known: tuple[str, ...]) -> None:
    if not isinstance(document, Mapping):
        raise ValueError(f"{noun} is a mapping, not {type(document).__name__}")
    for name in document:
        if name not in known:
            close = get_close_matches(str(name), known, 1)
            hint = f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(known)}."
            raise ValueError(f'{noun} has no "{name}". {hint}')


def _policy(document: Any) -> Policy:
    text = document if isinstance(document, str) else json.dumps(document)
    return parse_policy(text.encode(), kind="user")
