"""Accounts as requests meet them: remembered for at most a second, with what they may have."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from threading import Lock
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import Generic
from typing import TypeVar

from ..errors import EntityAlreadyExists
from ..errors import NoSuchEntity
from ..errors import TooManyBuckets
from ..index import accounts as rows
from ..index.accounts import StoredAccount
from ..index.joined import JOINED
from ..index.session import Connection
from ..index.session import Index
from ..model import Account
from ..profile import Profile

CACHE_SECONDS: Final = 1.0
MOST_KNOWN: Final = 10_000
MOST_MISSING: Final = 1_000
NUMBERS: Final = 10**12
ATTEMPTS: Final = 8

ANY: Final = "any"
"""In a plan: any number, also where the profile has a limit."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many keys, buckets and bytes an account may have, None for any number.

    ``s3`` False: it may have no keys at all.
    """

    keys: int | None = None
    buckets: int | None = None
    bytes: int | None = None
    s3: bool = True


class Remembered(Generic[Value]):
    """Values that were read at most a second ago, and names that had none.

    The two are bounded apart: asking for what is not there pushes nothing out that is.
    """

    __slots__ = ("_missing", "_values")

    def __init__(self) -> None:
        self._values: dict[str, tuple[int, float, Value]] = {}
        self._missing: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._values) + len(self._missing)

    def has(self, name: str) -> bool:
        """Whether there was a value, be it an old one."""
        return name in self._values

    def get(self, name: str, generation: int, now: float) -> tuple[bool, Value | None]:
        """Whether it is known by now, and the value; an older value is told although it is not."""
        found = self._values.get(name)
        if found is not None:
            return found[0] == generation and found[1] > now, found[2]
        missing = self._missing.get(name)
        return missing is not None and missing[0] == generation and missing[1] > now, None

    def put(self, name: str, generation: int, now: float, value: Value | None) -> None:
        """Remember what was read, or that nothing was, from ``now`` on."""
        until = now + CACHE_SECONDS
        if value is None:
            self._values.pop(name, None)
            if len(self._missing) >= MOST_MISSING:
                self._missing.clear()
            self._missing[name] = (generation, until)
            return
        if len(self._values) >= MOST_KNOWN and name not in self._values:
            self._values.clear()
        self._missing.pop(name, None)
        self._values[name] = (generation, until, value)


class AccountRows:
    """The accounts that lie in the index, and what the configuration says of them.

    :param clock: seconds that only grow; by it what was read gets old.
    """

    __slots__ = (
        "_alone",
        "_index",
        "_limits",
        "_lock",
        "_now",
        "_plans",
        "_profile",
        "_remembered",
        "clock",
        "configured",
        "generation",
    )

    def __init__(self, index: Index, profile: Profile, now: Callable[[], int]) -> None:
        self._index = index
        self._profile = profile
        self._now = now
        self._lock = Lock()
        self._alone = itertools.count(1)
        self._remembered: Remembered[StoredAccount] = Remembered()
        self._plans: Mapping[str, Limits] = MappingProxyType({})
        self._limits = _of_profile(profile)
        self.clock: Callable[[], float] = time.monotonic
        self.configured: Mapping[str, Account] = MappingProxyType({})
        """The configuration's accounts by their ids; what it says of them counts."""
        self.generation = 0
        """Grows with each change; what was read before one counts no more."""
        index.after_joined.append(self.forget)

    @property
    def reading(self) -> int:
        """The generation of what is read now: none where only a joined transaction sees it.

        It grows with what this process changes and, on SQLite, with what another one does.
        """
        if JOINED and self._index.is_joined():
            # Never the same: not even the same transaction sees a moment later what it sees now.
            return -next(self._alone)
        return self.generation + self._index.rules()

    @property
    def plans(self) -> Mapping[str, Limits]:
        """What the plans allow, by their names."""
        return self._plans

    def set_plans(self, plans: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the configuration's ``plans``; what one does not say is the profile's."""
        self._plans = {name: self._read_plan(plan) for name, plan in plans.items()}

    def _read_plan(self, plan: Mapping[str, Any]) -> Limits:
        def amount(name: str) -> int | None:
            value: Any = plan.get(name, getattr(self._limits, name))
            return None if value == ANY else value

        return Limits(amount("keys"), amount("buckets"), amount("bytes"), plan.get("s3", True))

    def forget(self) -> None:
        """After a commit that changed an account, a user or a key."""
        with self._lock:
            self.generation += 1

    def stored(self, account_id: str) -> StoredAccount | None:
        """The account's row as it was at most a second ago, None where there is none."""
        # Both taken before the row is read: who changes it meanwhile makes this one old.
        generation, now = self.reading, self.clock()
        fresh, known = self._remembered.get(account_id, generation, now)
        if fresh:
            return known
        if not rows.is_name(account_id):
            return None
        found = self._index.read(lambda c: rows.get(c, account_id))
        self._remembered.put(account_id, generation, now, found)
        return found

    def account_of(self, stored: StoredAccount) -> Account:
        """What a key acts for; of the configuration's accounts what the configuration says."""
        configured = self.configured.get(stored.id)
        if configured is None:
            return stored.account
        if configured.plan or not stored.plan:
            return configured
        return replace(configured, plan=stored.plan)

    def show(self, account_id: str) -> StoredAccount | None:
        """An account as it is now, also one that only the configuration has."""
        found = self._index.read(lambda c: rows.get(c, account_id))
        configured = self.configured.get(account_id)
        if configured is None:
            return found
        kept = _copied(configured) if found is None else found
        shown = configured if found is None else self.account_of(found)
        return replace(
            kept,
            number=shown.number,
            display_name=shown.display_name,
            email=shown.email,
            plan=shown.plan,
        )

    def limits_of(self, account_id: str) -> Limits:
        """What the account may have: by itself, else by its plan, else by the profile."""
        return self.limits_by(account_id, self.stored(account_id))

    def limits_by(self, account_id: str, stored: StoredAccount | None) -> Limits:
        """The same, of a row that the caller has read."""
        configured = self.configured.get(account_id)
        plan = "" if configured is None else configured.plan
        if not plan and stored is not None:
            plan = stored.plan
        limits = self._plans.get(plan, self._limits)
        own = None if stored is None else stored.limits
        if not own:
            return limits
        return Limits(
            own.get("keys", limits.keys),
            own.get("buckets", limits.buckets),
            own.get("bytes", limits.bytes),
            limits.s3,
        )

    def ensure(self, account_id: str, *, unknown: bool = False) -> StoredAccount:
        """The account's row, made now if it has none and the configuration knows the account.

        :param unknown: make one even if not: a host app's own key ring knows others.
        :raises NoSuchEntity: nobody knows this account.
        """
        found = self._index.read(lambda c: rows.get(c, account_id))
        if found is not None:
            return found
        configured = self.configured.get(account_id)
        if configured is None:
            if not unknown or not rows.is_name(account_id):
                raise NoSuchEntity(f"There is no account {account_id}.")
            configured = Account(account_id, account_id)
        return self.make(replace(_copied(configured), created=self._now()), again=True)

    def make(
        self,
        account: StoredAccount,
        *,
        again: bool = False,
        also: Callable[[Connection], object] = lambda c: None,
    ) -> StoredAccount:
        """Put an account's row in, with a random number if it has none.

        :param again: it is no error if it is there already.
        :param also: what else is to be done in the same transaction, perhaps more than once.
        :raises EntityAlreadyExists: its id, or the number that was asked for, is taken.
        :raises BaseException: whatever ``also`` raises.
        """
        inserted = False
        for _ in range(ATTEMPTS):
            made = account if account.number else _numbered(account)

            def work(c: Connection, made: StoredAccount = made) -> None:
                nonlocal inserted
                inserted = False
                rows.insert(c, made)
                inserted = True
                also(c)

            try:
                self._index.write(work)
            except EntityAlreadyExists:
                if inserted:
                    # It is not about the account.
                    raise
                there = self._index.read(lambda c: rows.get(c, account.id))
                if there is not None:
                    if again:
                        return there
                    raise
                if account.number:
                    raise EntityAlreadyExists(
                        f"The number {account.number} is another account's."
                    ) from None
            else:
                self.forget()
                return made
        raise EntityAlreadyExists("No free account number was found.")

    def check_room(self, connection: Connection, account_id: str) -> None:
        """Refuse one more bucket, in its own transaction, which holds the account's row from here.

        :raises TooManyBuckets: the account has as many as it may.
        """
        stored = rows.lock(connection, account_id)
        most = self.limits_by(account_id, stored).buckets
        if most is not None and rows.count_buckets(connection, account_id) >= most:
            raise TooManyBuckets()


def _of_profile(profile: Profile) -> Limits:
    return Limits(profile.most_keys, profile.most_buckets, profile.most_bytes)


def _copied(account: Account) -> StoredAccount:
    # Not its plan: while the configuration has the account it is asked for that.
    return StoredAccount(account.id, account.number, account.display_name, account.email)


def _numbered(account: StoredAccount) -> StoredAccount:
    return replace(account, number=f"{secrets.randbelow(NUMBERS):012d}")


__all__ = ["AccountRows", "Limits", "Remembered"]
