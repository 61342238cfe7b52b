"""The key ring over the index: remembered for at most a second, forgotten at once by a change."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from typing import Final

from ..auth.keyring import SigningKeyRing
from ..auth.policy import Policy
from ..auth.policy import parse_policy
from ..auth.scope import read_scope
from ..blobs.sealed import MissingCryptography
from ..blobs.sealed import SealBroken
from ..errors import MalformedPolicy
from ..index import access_keys as key_rows
from ..index import accounts as account_rows
from ..index.access_keys import KeyFacts
from ..model import Account
from ..model import Key
from ..model import Scope
from .account_rows import Remembered
from .backing import Backing
from .chore import Chore
from .sealed_secrets import unseal

logger = logging.getLogger("s3kit.store")

FLUSH_SECONDS: Final = 60.0
"""How often it is written down when keys were last used."""

PAGE: Final = 500
MAY_SIGN: Final = (account_rows.ACTIVE, account_rows.CLOSING)
"""What an account is whose keys may be used."""


def narrowed(scope: Scope | None, account_status: str) -> Scope | None:
    """The scope of a key while its account is so.

    Until all is deleted, the owner of a closing account may still fetch it.
    """
    if account_status != account_rows.CLOSING:
        return scope
    return replace(scope or Scope(), read_only=True)


@dataclass(frozen=True, slots=True)
class _Known:
    """A row, and the key that was made of it: the same one as long as the row is the same."""

    facts: KeyFacts
    key: Key | None


class SqlKeyRing:
    """Finds the access keys that lie in the index. It may be asked by any number of threads."""

    __slots__ = (
        "_chore",
        "_encryptions",
        "_index",
        "_now",
        "_remembered",
        "_rows",
        "_used",
        "in_use",
    )

    def __init__(self, backing: Backing) -> None:
        self._index = backing.index
        self._encryptions = backing.encryptions
        self._rows = backing.accounts
        self._now = backing.now
        self._remembered: Remembered[_Known] = Remembered()
        self._used: dict[str, int] = {}
        self._chore = Chore("s3kit-last-used", self._write_down, FLUSH_SECONDS)
        self.in_use = False
        """Whether any key was found here yet; without one nobody needs to call :meth:`used`."""

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id, None where there is none or it may not be used now."""
        # Both taken before the row is read: who changes it meanwhile makes this one old.
        generation, now = self._rows.reading, self._rows.clock()
        fresh, known = self._remembered.get(access_key, generation, now)
        if not fresh:
            if len(access_key) > key_rows.LONGEST:
                return None
            facts = self._index.read(lambda c: key_rows.facts(c, access_key))
            if facts is None:
                known = None
            elif known is None or known.key is None or known.facts != facts:
                known = _Known(facts, self._key(facts))
            self._remembered.put(access_key, generation, now, known)
        if known is None:
            return None
        self.in_use = True
        return known.key

    def account(self, account_id: str) -> Account | None:
        """The account of this canonical user id, None where none lies here."""
        stored = self._rows.stored(account_id)
        return None if stored is None else self._rows.account_of(stored)

    def key_of(self, account_id: str) -> Key | None:
        """The account's oldest key that may do all that the account may."""
        if not account_rows.is_name(account_id):
            return None
        access_key = self._index.read(lambda c: key_rows.signer(c, account_id))
        return None if access_key is None else self.lookup(access_key)

    def _key(self, facts: KeyFacts) -> Key | None:
        if facts.status != key_rows.ACTIVE or facts.account_status not in MAY_SIGN:
            return None
        if facts.user and facts.policies is None:
            return None
        stored = account_rows.StoredAccount(
            facts.account, facts.number, facts.display_name, facts.email, plan=facts.plan
        )
        if not self._rows.limits_by(facts.account, stored).s3:
            return None
        try:
            secret = unseal(self._encryptions.masters, facts.access_key, facts.sealed)
            scope = read_scope(json.loads(facts.scope)) if facts.scope else None
            policies = _policies(facts.policies or "") if facts.user else None
        except (SealBroken, MissingCryptography, MalformedPolicy, ValueError) as error:
            logger.error("The access key %s cannot be used: %s.", facts.access_key, error)
            return None
        scope = narrowed(scope, facts.account_status)
        return Key(
            facts.access_key,
            secret,
            self._rows.account_of(stored),
            user=facts.user,
            policies=policies,
            scope=scope,
        )

    # -- when keys were last used

    def used(self, access_key: str | None) -> None:
        """A request was signed with this key. It is written down later, in the background."""
        if access_key is None or not self._remembered.has(access_key):
            return
        first = not self._used
        self._used[access_key] = self._now()
        if first:
            self._chore.go_on()

    def flush(self) -> None:
        """Write down when keys were last used."""
        used, self._used = self._used, {}
        found = list(used.items())
        for start in range(0, len(found), PAGE):
            page = found[start : start + PAGE]
            self._index.write(lambda c, p=page: key_rows.touch(c, p))  # type: ignore[misc]

    def _write_down(self, stop: threading.Event) -> None:
        self.flush()

    def close(self) -> None:
        """Write down what is left, and end the background's thread."""
        self._chore.close()
        try:
            self.flush()
        except Exception:
            logger.warning("It is lost when keys were last used.", exc_info=True)


class HostKeyRing:
    """A host app's own ring, whose keys end with the account where that lies in the index too."""

    __slots__ = ("_ring", "_rows")

    def __init__(self, ring: SigningKeyRing, backing: Backing) -> None:
        self._ring = ring
        self._rows = backing.accounts

    def lookup(self, access_key: str) -> Key | None:
        """The key of this id, None where there is none or it may not be used now."""
        return self._unless_suspended(self._ring.lookup(access_key))

    def account(self, account_id: str) -> Account | None:
        """The account of this canonical user id, as the host knows it."""
        return self._ring.account(account_id)

    def key_of(self, account_id: str) -> Key | None:
        """A key that acts for this account, None where it has none that may be used now."""
        return self._unless_suspended(self._ring.key_of(account_id))

    def _unless_suspended(self, key: Key | None) -> Key | None:
        stored = None if key is None else self._rows.stored(key.account.id)
        if key is None or stored is None:
            return key
        if stored.status not in MAY_SIGN or not self._rows.limits_by(stored.id, stored).s3:
            return None
        scope = narrowed(key.scope, stored.status)
        return key if scope is key.scope else replace(key, scope=scope)


@lru_cache(maxsize=1024)
def _policies(text: str) -> tuple[Policy, ...]:
    """The policies of a row, the same objects for the same text.

    :raises MalformedPolicy: a newer s3kit has stored what this one cannot read.
    """
    found = account_rows.read_policies(text)
    return tuple(parse_policy(each.encode(), kind="user") for each in found.values())


__all__ = ["HostKeyRing", "SqlKeyRing"]
