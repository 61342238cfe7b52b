"""The ``x-amz-object-lock-*`` headers: read from a request or a form, written into an answer.

Source of the texts: answers of Amazon S3 as LocalStack and VersityGW have recorded them, and Amazon
S3 User Guide, "Troubleshooting variable retention", for event holds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Final

from s3kit.errors import InvalidArgument
from s3kit.model import NO_LOCK
from s3kit.model import ObjectLock
from s3kit.wire.headers import iso8601

MODE: Final = "x-amz-object-lock-mode"
UNTIL: Final = "x-amz-object-lock-retain-until-date"
LEGAL_HOLD: Final = "x-amz-object-lock-legal-hold"
EVENT_HOLD: Final = "x-amz-object-lock-event-hold"
EVENT_DAYS: Final = "x-amz-object-lock-event-hold-duration-days"
EVENT_YEARS: Final = "x-amz-object-lock-event-hold-duration-years"
LOCK_HEADERS: Final = (MODE, UNTIL, LEGAL_HOLD, EVENT_HOLD, EVENT_DAYS, EVENT_YEARS)

MODES: Final = frozenset(("GOVERNANCE", "COMPLIANCE"))
HOLDS: Final = {"ON": True, "OFF": False}
MOST_DAYS: Final = 36_500
MOST_YEARS: Final = 100
IN_THE_FUTURE: Final = "The retain until date must be in the future!"

_LONGEST_INSTANT: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant(text: str) -> int | None:
    """Milliseconds since the epoch of an ISO 8601 time, rounded up; None if it is none."""
    text = text.strip()
    if len(text) > _LONGEST_INSTANT or not text.isascii():
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return -((_EPOCH - moment) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        return None


def write_instant(milliseconds: int) -> str:
    """A time as :func:`read_instant` reads it, to the millisecond, so that it can be sent back."""
    return f"{iso8601(milliseconds)[:-4]}{milliseconds % 1000:03}Z"


def read_lock_headers(header: Callable[[str], str | None], now: int) -> ObjectLock:
    """The lock that an upload's headers, or a form's fields, ask for.

    :param header: a value by its lower-case name.
    :param now: milliseconds since the epoch.
    :raises InvalidArgument: one is wrong, or one that belongs to it is missing.
    """
    mode, until_text = header(MODE), header(UNTIL)
    legal, event = header(LEGAL_HOLD), header(EVENT_HOLD)
    days, years = header(EVENT_DAYS), header(EVENT_YEARS)
    if mode is until_text is legal is event is days is years is None:
        return NO_LOCK
    legal_hold = None if legal is None else HOLDS.get(legal)
    if legal is not None and legal_hold is None:
        raise _refused("Legal Hold must be either of 'ON' or 'OFF'", LEGAL_HOLD, legal)
    event_hold = None if event is None else HOLDS.get(event)
    if event is not None and event_hold is None:
        raise _refused("Event Hold must be either of 'ON' or 'OFF'", EVENT_HOLD, event)
    event_days = _duration(EVENT_DAYS, days, MOST_DAYS)
    event_years = _duration(EVENT_YEARS, years, MOST_YEARS)
    if (days is not None or years is not None) and not event_hold:
        raise _refused(
            "An event hold duration can only be set with an event hold that is ON.",
            EVENT_DAYS if years is None else EVENT_YEARS,
            years or days or "",
        )
    if event_hold and (days is None) == (years is None):
        raise _refused(
            "An event hold needs exactly one duration, in days or in years.", EVENT_HOLD, "ON"
        )
    if mode is not None and mode not in MODES:
        raise _refused("Unknown wormMode directive.", MODE, mode)
    if mode is None and event is not None:
        raise _refused("An event hold needs a retention mode.", MODE)
    if not event_hold and (mode is None) != (until_text is None):
        raise _refused(f"{UNTIL} and {MODE} must both be supplied", UNTIL if mode else MODE)
    until = 0
    if until_text is not None:
        found = read_instant(until_text)
        if found is None:
            raise _refused(
                "The retain until date must be provided in ISO 8601 format", UNTIL, until_text
            )
        if found <= now:
            raise _refused(IN_THE_FUTURE, UNTIL, until_text)
        until = found
    # One that is off from the start never was on.
    return ObjectLock(mode or "", until, legal_hold, event_hold or None, event_days, event_years)


def write_lock_headers(
    lock: ObjectLock, until: int, *, retention: bool, legal_hold: bool
) -> list[tuple[str, str]]:
    """The headers that show a version's lock.

    :param until: when its retention ends as of now, milliseconds since the epoch.
    :param retention: show retention and event hold; ``legal_hold``: show the legal hold.
    """
    headers = []
    if retention and lock.mode:
        headers.append((MODE, lock.mode))
        headers.append((UNTIL, write_instant(until)))
        if lock.event_hold is not None:
            headers.append((EVENT_HOLD, "ON" if lock.event_hold else "OFF"))
        if lock.event_hold and lock.event_days:
            headers.append((EVENT_DAYS, str(lock.event_days)))
        if lock.event_hold and lock.event_years:
            headers.append((EVENT_YEARS, str(lock.event_years)))
    if legal_hold and lock.legal_hold is not None:
        headers.append((LEGAL_HOLD, "ON" if lock.legal_hold else "OFF"))
    return headers


def _duration(name: str, text: str | None, most: int) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise _refused(f"An event hold duration must be between 1 and {most:,}.", name, text)
    return int(text)


def _refused(message: str, name: str, value: str | None = None) -> InvalidArgument:
    if value is None:
        return InvalidArgument(message, argument_name=name)
    return InvalidArgument(message, argument_name=name, argument_value=value)
