"""Where access keys come from: the KeyRing seam, and one over a plain dict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..model import Account
from ..model import Key


class KeyRing(Protocol):
    """Finds keys and accounts. A host app may bring its own; it must be safe to call in threads.

    ``lookup`` is asked once per signed request: let it answer from a short-lived cache, and, if
    it can, with the same object each time (comparing two equal keys costs more than one).
    """

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id, None where there is none or it may not be used now."""
        ...

    def account(self, account_id: str) -> Account | None:
        """The account of this canonical user id, None where it is not known."""
        ...


class SigningKeyRing(KeyRing, Protocol):
    """A KeyRing that can also find a key to sign with, for presigned URLs and forms."""

    def key_of(self, account_id: str) -> Key | None:
        """A key that acts for this account, None where it has none."""
        ...


class KeyRings:
    """Several key rings as one: who is found in an earlier one is not looked for in a later."""

    __slots__ = ("_first", "_others", "_rings")

    def __init__(self, first: SigningKeyRing, *others: SigningKeyRing) -> None:
        self._rings = (first, *others)
        self._first = first.lookup
        self._others = others

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id."""
        found = self._first(access_key)
        if found is not None:
            return found
        for ring in self._others:
            found = ring.lookup(access_key)
            if found is not None:
                return found
        return None

    def account(self, account_id: str) -> Account | None:
        """The account of this id."""
        for ring in self._rings:
            found = ring.account(account_id)
            if found is not None:
                return found
        return None

    def key_of(self, account_id: str) -> Key | None:
        """The account's first key."""
        found = (ring.key_of(account_id) for ring in self._rings)
        return next((each for each in found if each is not None), None)


class DictKeyRing:
    """Keys held in memory, fixed when it is made.

    :raises ValueError: two keys share an access key, or a key has an empty id or secret.
    """

    __slots__ = ("_accounts", "_keys", "_of_account")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys: dict[str, Key] = {}
        self._accounts: dict[str, Account] = {}
        self._of_account: dict[str, Key] = {}
        for key in keys:
            if not key.access_key or not key.secret_key:
                # An empty secret would let anyone sign.
                raise ValueError("an access key and its secret must not be empty")
            if key.access_key in self._keys:
                raise ValueError(f"the access key {key.access_key} is given twice")
            self._keys[key.access_key] = key
            self._accounts.setdefault(key.account.id, key.account)
            found = self._of_account.setdefault(key.account.id, key)
            if found.scope is not None and key.scope is None:
                self._of_account[key.account.id] = key

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id."""
        return self._keys.get(access_key)

    def account(self, account_id: str) -> Account | None:
        """The account of this id, if it has a key here."""
        return self._accounts.get(account_id)

    def key_of(self, account_id: str) -> Key | None:
        """The account's first key, a narrow one only where all are."""
        return self._of_account.get(account_id)
