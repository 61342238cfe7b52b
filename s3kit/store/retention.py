"""Object Lock's rules as arithmetic: what a lock forbids, and what it may be changed to.

Sources: Amazon S3 User Guide, "Locking objects with Object Lock" and "Object Lock considerations";
the answers that LocalStack has recorded. Times are milliseconds since the epoch.

Whether a retention is over is the only thing that hangs on this host's clock. One that was set back
makes locks last longer; that a retention may not be shortened is decided between two dates.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from typing import Final

from ..errors import AccessDenied
from ..errors import InvalidRequest
from ..model import ObjectLock

GOVERNANCE: Final = "GOVERNANCE"
COMPLIANCE: Final = "COMPLIANCE"
DAY: Final = 24 * 3600 * 1000
SETTING: Final = "object-lock"
"""The name of the document with a bucket's :class:`DefaultRetention`."""


def period(days: int, years: int) -> int:
    """How long so many days or years are; S3 counts 365 days a year."""
    return (days + 365 * years) * DAY


def retained_until(lock: ObjectLock, now: int) -> int:
    """When the retention ends, 0 for none; under an event hold this moves on with the time."""
    if lock.event_hold:
        return max(lock.retain_until, now + period(lock.event_days, lock.event_years))
    return lock.retain_until


def is_retained(lock: ObjectLock, now: int) -> bool:
    """Whether a retention or an event hold is in force."""
    return bool(lock.event_hold) or (lock.mode != "" and lock.retain_until > now)


def is_protected(lock: ObjectLock, now: int) -> bool:
    """Whether the version may not be removed now; lifecycle leaves such a one alone."""
    return bool(lock.legal_hold) or is_retained(lock, now)


def check_unprotected(lock: ObjectLock, now: int, *, bypass: bool = False) -> None:
    """Refuse what a lock forbids: to remove its version, or to change its content.

    :param bypass: the caller asks, and is allowed, to go past GOVERNANCE.
    :raises AccessDenied:
    """
    if lock.legal_hold:
        raise protected()
    if is_retained(lock, now) and not (bypass and lock.mode == GOVERNANCE):
        raise protected()


def protected() -> AccessDenied:
    """The error for what a lock forbids."""
    return AccessDenied("Access Denied because object protected by object lock.")


@dataclass(frozen=True, slots=True)
class Retention:
    """A retention as it is asked for; without a mode, that there be none.

    ``until`` 0 and ``event_hold`` None are what was not said. With an event hold come ``days`` or
    ``years``, with none or its release neither.
    """

    mode: str = ""
    until: int = 0
    event_hold: bool | None = None
    days: int = 0
    years: int = 0


def changed(lock: ObjectLock, wanted: Retention, now: int, *, bypass: bool = False) -> ObjectLock:
    """The lock after a PutObjectRetention.

    A retention may always grow; only past GOVERNANCE may it shrink, end or change its mode. An
    event hold that is released leaves a retention that begins then.

    :param bypass: see :func:`check_unprotected`.
    :raises AccessDenied: the retention in force does not allow it.
    :raises InvalidRequest: a release without a date where no event hold is on.
    """
    held = is_retained(lock, now) and not (bypass and lock.mode == GOVERNANCE)
    if not wanted.mode:
        if held:
            raise protected()
        return ObjectLock(legal_hold=lock.legal_hold)
    before = retained_until(lock, now)
    if wanted.event_hold:
        new = replace(
            lock,
            mode=wanted.mode,
            # A shorter duration does not turn the date back.
            retain_until=max(wanted.until, before if held else 0),
            event_hold=True,
            event_days=wanted.days,
            event_years=wanted.years,
        )
    elif lock.event_hold and wanted.event_hold is None:
        until = max(wanted.until, lock.retain_until) if held else wanted.until
        new = replace(lock, mode=wanted.mode, retain_until=until)
    elif lock.event_hold:
        until = max(wanted.until, before) if held else wanted.until or before
        new = _fixed(lock, wanted.mode, until)
    else:
        until = wanted.until or lock.retain_until
        if not until:
            raise InvalidRequest("A retention without an event hold needs a RetainUntilDate.")
        new = _fixed(lock, wanted.mode, until)
    if held and (new.mode != lock.mode or retained_until(new, now) < before):
        raise protected()
    return new


def not_weaker(lock: ObjectLock, wanted: ObjectLock, now: int) -> ObjectLock:
    """``wanted``, but for what a COMPLIANCE that is in force forbids; for replicas.

    An event hold may be released, for a retention at least as long. One that the source never had
    is the replica's own, and stays.
    """
    if lock.mode != COMPLIANCE or not is_retained(lock, now):
        return wanted
    if wanted.mode != COMPLIANCE:
        return replace(lock, legal_hold=wanted.legal_hold)
    if lock.event_hold and wanted.event_hold is None:
        until = max(wanted.retain_until, lock.retain_until)
        return replace(lock, retain_until=until, legal_hold=wanted.legal_hold)
    return replace(wanted, retain_until=max(wanted.retain_until, retained_until(lock, now)))


def _fixed(lock: ObjectLock, mode: str, until: int) -> ObjectLock:
    # A hold that ever was is shown as released.
    event_hold = None if lock.event_hold is None else False
    return ObjectLock(mode, until, lock.legal_hold, event_hold)


@dataclass(frozen=True, slots=True)
class DefaultRetention:
    """The rule for a bucket's new objects: a period, an event hold's duration, or both."""

    mode: str
    days: int = 0
    years: int = 0
    event_days: int = 0
    event_years: int = 0

    def to_bytes(self) -> bytes:
        """The rule as it is stored."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def applied(self, lock: ObjectLock, created: int) -> ObjectLock:
        """The lock of a new object that brings no retention of its own."""
        length = period(self.days, self.years)
        return ObjectLock(
            self.mode,
            created + length if length else 0,
            lock.legal_hold,
            True if self.event_days or self.event_years else None,
            self.event_days,
            self.event_years,
        )


def read_default(document: bytes) -> DefaultRetention:
    """The rule that :meth:`DefaultRetention.to_bytes` wrote."""
    return DefaultRetention(**json.loads(document))
