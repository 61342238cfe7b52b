"""How much accounts may store, exactly: what a write adds is counted in its own transaction.

Only the buckets of an account whose bytes are limited are counted, see ``Setting.LIMITED``; all
others pay nothing. What counts is the logical size of every version, visible or not, of the parts
of unfinished uploads and of annotations; it counts for the bucket's account, whoever stores it.
A key with a byte budget uses it up with what it stores, and gets nothing back.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import QuotaExceeded
from ..index import accounts as account_rows
from ..index import buckets as bucket_rows
from ..index import objects as object_rows
from ..index import usage
from ..index.accounts import StoredAccount
from ..index.buckets import State
from ..index.session import Connection
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import Setting
from ..model import Versioning
from .backing import Backing
from .events import Origin

MOST = 2**63 - 1
PAGE = 500
"""Accounts looked at in one read."""


class Quota:
    """The limits of a Store's accounts and the budgets of its keys.

    ``limit_of`` finds out how many bytes an account may store, None for any number: by itself, by
    its plan, or by the profile. It is asked when an account makes its first bucket, and by
    :meth:`follow`; what counts meanwhile is what was written down then.
    """

    __slots__ = ("_backing", "limit_of")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self.limit_of: Callable[[str], int | None] = self._limit_of

    def _limit_of(self, account: str) -> int | None:
        return self._backing.accounts.limits_of(account).bytes

    # -- for whoever keeps accounts

    def used(self, account: str) -> int:
        """How many bytes count for an account; of one without a limit they are counted now."""

        def work(c: Connection) -> int:
            found = usage.get(c, account)
            if found is None or found.most is None:
                return usage.total(c, account)
            return found.used

        return self._backing.index.read(work)

    def limit(self, account: str) -> int | None:
        """How many bytes an account may store by now; None for any number."""
        found = self._backing.index.read(lambda c: usage.get(c, account))
        return None if found is None else found.most

    def set_limit(self, account: str, most: int | None) -> None:
        """Let an account store so many bytes from now on; None for any number.

        It becomes the account's own limit, in place of its plan's. Every write that begins after
        this has returned goes by it, in every process. What is there stays, also where it is more.

        :raises InvalidArgument: no account may store so many.
        """
        if most is not None and not 0 <= most <= MOST:
            raise InvalidArgument(
                f"An account may store 0 to {MOST} bytes, or None for any number.",
                argument_name="most",
                argument_value=str(most)[:64],
            )
        known = self._backing.accounts
        known.ensure(account, unknown=True)

        def work(c: Connection) -> None:
            found = account_rows.lock(c, account)
            if found is not None:
                limits = {**(found.limits or {}), "bytes": most}
                account_rows.change(c, replace(found, limits=limits))
            _enforce(c, account, most)

        self._backing.index.write(work)
        known.forget()

    def recount(self, account: str) -> int:
        """Count an account's bytes anew and answer them; nobody writes to its buckets meanwhile."""

        def work(c: Connection) -> int:
            found = _hold_all(c, account)
            used = usage.total(c, account)
            usage.set_limit(c, account, used, found)
            usage.count_all(c, account, counted=found is not None)
            return used

        return self._backing.index.write(work)

    def follow(self, account: str) -> None:
        """Let an account store what ``limit_of`` says by now."""
        if self.limit(account) == self.limit_of(account):
            return

        def work(c: Connection) -> None:
            # What is remembered of the account may be a second old, and is not to win.
            stored = account_rows.lock(c, account)
            _enforce(c, account, self.limit_by(account, stored))

        self._backing.index.write(work)

    def limit_by(self, account: str, stored: StoredAccount | None) -> int | None:
        """What ``limit_of`` says, by a row that a transaction has read."""
        if self.limit_of != self._limit_of:
            return self.limit_of(account)
        return self._backing.accounts.limits_by(account, stored).bytes

    def follow_all(self) -> None:
        """Let every account store what its plan, or the profile, says by now."""
        after = ""
        while True:
            page = self._backing.index.read(
                lambda c, start=after: usage.accounts_after(c, start, PAGE)  # type: ignore[misc]
            )
            for account, in_force in page:
                if self.limit_of(account) != in_force:
                    self.follow(account)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def hold_for_bucket(self, c: Connection, account: str, *, known: bool) -> bool:
        """Hold an account's row for a transaction that makes a bucket; whether it is to be counted.

        So whoever begins to limit the account, or removes it, sees the bucket, or the bucket sees
        that.

        :param known: whether the account lay in the index a moment ago.
        :raises AccessDenied: it was removed or closed since.
        """
        found = usage.hold(c, account)
        if found is None:
            # Waits for whoever removes the account, and is what that one waits for.
            found = usage.make(c, account)
            there = account_rows.get(c, account)
            if known if there is None else there.status == account_rows.CLOSED:
                raise AccessDenied("The account is closed.")
            most = self.limit_by(account, there)
            if most is not None:
                _begin(c, account, most)
                return True
        return found is not None and found.most is not None

    # -- before a body is read

    def expect(self, bucket: Bucket, key: bytes | None, length: int | None, origin: Origin) -> None:
        """Refuse early what its transaction would refuse; asked only where any limit is.

        :param key: what it replaces is given back; None where nothing is replaced.
        :param length: None where nobody has told it.
        :raises QuotaExceeded:
        """

        def replaced(c: Connection) -> int:
            if key is None:
                return 0
            versioning = bucket_rows.get_state(c, bucket.id).versioning
            if versioning is Versioning.ENABLED or self._backing.profile.always_versioned:
                return 0
            there = object_rows.get_version(c, bucket.id, key, NULL_VERSION, inline=False)
            return 0 if there is None else there.size + usage.of_annotations(c, there.seq)

        self._expect(bucket, length, origin, replaced)

    def expect_part(
        self, bucket: Bucket, upload_id: str, number: int, length: int | None, origin: Origin
    ) -> None:
        """The same for a part, in place of the one of its number.

        :raises QuotaExceeded:
        """

        def replaced(c: Connection) -> int:
            there = object_rows.part_by_number(c, upload_id, number)
            return 0 if there is None else there.size

        self._expect(bucket, length, origin, replaced)

    def _expect(
        self,
        bucket: Bucket,
        length: int | None,
        origin: Origin,
        replaced: Callable[[Connection], int],
    ) -> None:
        if not length:
            return

        def work(c: Connection) -> None:
            scope, access_key = origin.caller.scope, origin.caller.access_key
            if scope is not None and scope.byte_budget is not None and access_key is not None:
                used = usage.key_used(c, access_key) or 0
                if used + length > scope.byte_budget:
                    raise usage.budget_exceeded(scope.byte_budget)
            if not bucket.present & Setting.LIMITED:
                return
            found = usage.get(c, bucket.account)
            if found is None or found.most is None or found.used + length <= found.most:
                return
            more = length - replaced(c)
            if more > 0 and found.used + more > found.most:
                raise QuotaExceeded()

        self._backing.index.read(work)


def is_concerned(bucket: Bucket, origin: Origin) -> bool:
    """Whether a limit or a budget may speak of what this caller stores in this bucket."""
    return bool(bucket.present & Setting.LIMITED) or origin.caller.scope is not None


# -- inside a write's transaction


def count(c: Connection, state: State, number: int) -> None:
    """So many bytes more (or less) lie in a bucket when the transaction commits."""
    if state.present & Setting.LIMITED:
        usage.count(c, state.account, number)


def charge(c: Connection, origin: Origin, number: int) -> None:
    """So many bytes were stored by a caller, whose key may have a budget for them."""
    scope = origin.caller.scope
    if scope is not None and scope.byte_budget is not None:
        # The key of a session is that which has opened it.
        access_key = origin.caller.access_key
        if access_key is not None:
            usage.charge(c, access_key, number, scope.byte_budget)


def charge_annotations(c: Connection, origin: Origin, seq: int) -> None:
    """The same for what a version has got of another one's annotations."""
    scope = origin.caller.scope
    if scope is not None and scope.byte_budget is not None:
        charge(c, origin, usage.of_annotations(c, seq))


@contextmanager
def counting_annotations(c: Connection, state: State, seq: int) -> Iterator[None]:
    """Count what becomes of a version's annotations meanwhile; its key is locked."""
    if not state.present & Setting.LIMITED:
        yield
        return
    before = usage.of_annotations(c, seq)
    yield
    usage.count(c, state.account, usage.of_annotations(c, seq) - before)


# -- the limit itself


def hold_last(c: Connection, account: str) -> None:
    """Hold an account's row for a transaction that removes an account without buckets.

    To be called before they are looked for, so that none is made after that.
    """
    if usage.hold(c, account) is None:
        usage.make(c, account)


def count_bucket(c: Connection, bucket: Bucket) -> Bucket:
    """Have a bucket counted that was made in this transaction."""
    usage.count_bucket(c, bucket.id)
    return replace(bucket, present=bucket.present | Setting.LIMITED)


def _enforce(c: Connection, account: str, most: int | None) -> None:
    """Let what an account may store count from now on."""
    known = usage.get(c, account)
    if known is not None and known.most == most:
        return
    if known is not None and known.most is not None and most is not None:
        known = usage.hold(c, account)
        if known is not None and known.most is not None:
            # What is counted goes on to be.
            usage.set_limit(c, account, known.used, most)
            return
    _begin(c, account, most)


def _begin(c: Connection, account: str, most: int | None) -> None:
    """Limit an account, or end that; every write of its buckets is over or has not begun."""
    _hold_all(c, account)
    used = 0 if most is None else usage.total(c, account)
    usage.set_limit(c, account, used, most)
    usage.count_all(c, account, counted=most is not None)


def _hold_all(c: Connection, account: str) -> int | None:
    """Hold an account's buckets and row; answers its limit.

    The buckets first, as whoever writes to one does; then again those that were made until the row
    was held, for whoever makes one holds it.
    """
    usage.lock_buckets(c, account)
    found = usage.hold(c, account) or usage.make(c, account)
    usage.lock_buckets(c, account)
    return None if found is None else found.most


__all__ = ["Quota"]
