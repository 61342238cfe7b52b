"""Object Lock: a bucket's rule, and the retention, event hold and legal hold of a version.

Source: Amazon S3 User Guide, "Locking objects with Object Lock" and "Object Lock considerations".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..call import Call
from ..context import RequestContext
from ..context import provides
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from ..errors import NoSuchObjectLockConfiguration
from ..errors import ObjectLockConfigurationNotFoundError
from ..store.retention import DefaultRetention as Rule
from ..store.retention import Retention as WantedRetention
from ..wire.locks import EVENT_DAYS
from ..wire.locks import EVENT_YEARS
from ..wire.locks import IN_THE_FUTURE
from ..wire.locks import MOST_DAYS
from ..wire.locks import MOST_YEARS
from ..wire.locks import read_instant
from ..wire.locks import write_instant
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from .lock_headers import may_bypass
from .lock_headers import require_object_lock
from .lock_headers import wants_bypass
from .objects import version_headers


class Enabled(enum.StrEnum):
    """Object Lock is on; there is no way back."""

    ENABLED = "Enabled"


class Mode(enum.StrEnum):
    """Who may end a retention: those who may bypass it, or nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class Hold(enum.StrEnum):
    """Whether a hold is on."""

    ON = "ON"
    OFF = "OFF"


@dataclass
class EventHoldDuration:
    """How long a retention lasts that begins with an event hold's end."""

    days: int | None = None
    years: int | None = None


@dataclass
class DefaultRetention:
    """What new objects get."""

    mode: Mode | None = None
    days: int | None = None
    years: int | None = None
    default_event_hold: EventHoldDuration | None = None


@dataclass
class ObjectLockRule:
    """The rule of a bucket."""

    default_retention: DefaultRetention | None = None


@document("ObjectLockConfiguration")
@dataclass
class ObjectLockConfiguration:
    """A bucket's Object Lock."""

    object_lock_enabled: Enabled | None = None
    rule: ObjectLockRule | None = None


@document("Retention")
@dataclass
class Retention:
    """A version's retention and event hold."""

    mode: Mode | None = None
    retain_until_date: str | None = None
    event_hold: Hold | None = None
    event_hold_duration: EventHoldDuration | None = None


@document("LegalHold")
@dataclass
class LegalHold:
    """A version's legal hold."""

    status: Hold | None = None


# -- a bucket's rule


@operation(
    "GetObjectLockConfiguration",
    "GET",
    "bucket",
    "object-lock",
    action="s3:GetBucketObjectLockConfiguration",
)
def get_object_lock_configuration(call: Call) -> Response:
    """That the bucket has Object Lock, and its rule if there is one."""
    bucket = call.bucket
    if not bucket.object_lock:
        raise ObjectLockConfigurationNotFoundError(bucket_name=bucket.name)
    answer = ObjectLockConfiguration(Enabled.ENABLED)
    rule = call.store.locks.default(bucket)
    if rule is not None:
        hold = None
        if rule.event_days or rule.event_years:
            hold = EventHoldDuration(rule.event_days or None, rule.event_years or None)
        answer.rule = ObjectLockRule(
            DefaultRetention(Mode(rule.mode), rule.days or None, rule.years or None, hold)
        )
    return xml_response(answer)


@operation(
    "PutObjectLockConfiguration",
    "PUT",
    "bucket",
    "object-lock",
    action="s3:PutBucketObjectLockConfiguration",
    body="document",
)
def put_object_lock_configuration(call: Call) -> Response:
    """Switch Object Lock on, for good, and replace the rule; versioning must be enabled."""
    wanted = call.document(ObjectLockConfiguration, checksum_required=True)
    if wanted.object_lock_enabled is None:
        raise MalformedXML
    call.store.locks.configure(call.bucket, None if wanted.rule is None else rule_of(wanted.rule))
    return call.empty()


def rule_of(wanted: ObjectLockRule) -> Rule:
    """The rule that a document holds.

    :raises MalformedXML: members are missing, or exclude each other.
    :raises InvalidArgument: a period is not positive, or too long.
    """
    default = wanted.default_retention
    if default is None or default.mode is None:
        raise MalformedXML
    if default.days is not None and default.years is not None:
        raise MalformedXML
    hold = default.default_event_hold
    if hold is None and default.days is None and default.years is None:
        raise MalformedXML
    for name, value, most in (
        ("Days", default.days, MOST_DAYS),
        ("Years", default.years, MOST_YEARS),
    ):
        if value is not None and value < 1:
            raise InvalidArgument(
                "Default retention period must be a positive integer value.",
                argument_name=name,
                argument_value=value,
            )
        if value is not None and value > most:
            raise InvalidArgument(
                "Default retention period too large.", argument_name=name, argument_value=value
            )
    days, years = (0, 0) if hold is None else duration_of(hold)
    return Rule(default.mode.value, default.days or 0, default.years or 0, days, years)


def duration_of(wanted: EventHoldDuration) -> tuple[int, int]:
    """Days and years of an event hold's duration, one of them 0.

    :raises MalformedXML: both are given, or none.
    :raises InvalidArgument: it is not positive, or too long.
    """
    if (wanted.days is None) == (wanted.years is None):
        raise MalformedXML
    for name, value, most in (
        ("Days", wanted.days, MOST_DAYS),
        ("Years", wanted.years, MOST_YEARS),
    ):
        if value is not None and not 1 <= value <= most:
            raise InvalidArgument(
                f"An event hold duration must be between 1 and {most:,}.",
                argument_name=name,
                argument_value=value,
            )
    return wanted.days or 0, wanted.years or 0


# -- a version's retention


@operation("GetObjectRetention", "GET", "object", "retention", action="s3:GetObjectRetention")
def get_object_retention(call: Call) -> Response:
    """A version's retention; while an event hold is on its end is as of now."""
    require_object_lock(call)
    version = call.version(call.bucket, call.object_key, call.version_id)
    lock = version.lock
    if not lock.mode:
        raise NoSuchObjectLockConfiguration
    answer = Retention(Mode(lock.mode), write_instant(call.store.locks.retained_until(lock)))
    if lock.event_hold is not None:
        answer.event_hold = Hold.ON if lock.event_hold else Hold.OFF
    if lock.event_hold:
        answer.event_hold_duration = EventHoldDuration(
            lock.event_days or None, lock.event_years or None
        )
    return xml_response(answer, headers=version_headers(call, version))


@operation(
    "PutObjectRetention",
    "PUT",
    "object",
    "retention",
    action="s3:PutObjectRetention",
    body="document",
)
def put_object_retention(call: Call) -> Response:
    """Set or extend a version's retention or event hold; bypassing GOVERNANCE also shorten it."""
    wanted = call.document(Retention, checksum_required=True)
    require_object_lock(call)
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    version = call.version(bucket, key, version_id)
    call.store.locks.set_retention(
        bucket,
        key,
        version_id,
        retention_of(wanted, int(call.now * 1000)),
        bypass=wants_bypass(call) and may_bypass(call, key, version_id),
        seq=version.seq,
        origin=call.origin,
    )
    return call.empty(headers=version_headers(call, version))


def retention_of(wanted: Retention, now: int) -> WantedRetention:
    """The retention that a document asks for.

    :param now: milliseconds since the epoch.
    :raises MalformedXML: members are missing, or exclude each other.
    :raises InvalidArgument: the date is past, or a duration too long.
    """
    text = wanted.retain_until_date
    hold = wanted.event_hold
    if wanted.mode is None:
        if (text, hold, wanted.event_hold_duration) != (None, None, None):
            raise MalformedXML
        return WantedRetention()
    if text is None and hold is None:
        raise MalformedXML
    if (wanted.event_hold_duration is not None) != (hold is Hold.ON):
        raise InvalidRequest(
            "An event hold that is ON requires exactly one duration; any other allows none."
        )
    until = 0
    if text is not None:
        found = read_instant(text)
        if found is None:
            raise MalformedXML
        if found <= now:
            raise InvalidArgument(
                IN_THE_FUTURE, argument_name="RetainUntilDate", argument_value=text
            )
        until = found
    days, years = 0, 0
    if wanted.event_hold_duration is not None:
        days, years = duration_of(wanted.event_hold_duration)
    event_hold = None if hold is None else hold is Hold.ON
    return WantedRetention(wanted.mode.value, until, event_hold, days, years)


# -- what policies may ask of a lock to come

_MODE = "s3:object-lock-mode"
_UNTIL = "s3:object-lock-retain-until-date"
_HOLD = "s3:object-lock-legal-hold"
_EVENT_HOLD = "s3:object-lock-event-hold"


@provides(_MODE, _UNTIL, _HOLD, _EVENT_HOLD)
def lock_asked(context: RequestContext, key: str) -> str | None:
    """What a request would set of a version's lock, by its document or its headers."""
    call = context.call
    if call.operation.name == "PutObjectRetention":
        retention = call.document(Retention)
        return {
            _MODE: retention.mode,
            _UNTIL: retention.retain_until_date,
            _EVENT_HOLD: retention.event_hold,
        }.get(key)
    if call.operation.name == "PutObjectLegalHold":
        return call.document(LegalHold).status if key == _HOLD else None
    return context.sent("x-amz-" + key.removeprefix("s3:"))


@provides("s3:object-lock-remaining-retention-days")
def days_asked(context: RequestContext, key: str) -> str | None:
    """For how many days the version would be retained from now on."""
    text = lock_asked(context, _UNTIL)
    until = None if text is None else read_instant(text)
    return None if until is None else str(int((until / 1000 - context.call.now) // 86_400))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


@provides("s3:object-lock-event-hold-duration-days")
def event_days_asked(context: RequestContext, key: str) -> str | None:
    """An event hold's duration in days, 365 a year."""
    call = context.call
    if call.operation.name == "PutObjectRetention":
        wanted = call.document(Retention).event_hold_duration or EventHoldDuration()
        days, years = wanted.days, wanted.years
    else:
        days, years = (_number(context.sent(name)) for name in (EVENT_DAYS, EVENT_YEARS))
    if days is None and years is None:
        return None
    return str((days or 0) + 365 * (years or 0))


# -- a version's legal hold


@operation("GetObjectLegalHold", "GET", "object", "legal-hold", action="s3:GetObjectLegalHold")
def get_object_legal_hold(call: Call) -> Response:
    """Whether a version's legal hold is on; one that never had one has no such configuration."""
    require_object_lock(call)
    version = call.version(call.bucket, call.object_key, call.version_id)
    held = version.lock.legal_hold
    if held is None:
        raise NoSuchObjectLockConfiguration
    return xml_response(
        LegalHold(Hold.ON if held else Hold.OFF), headers=version_headers(call, version)
    )


@operation(
    "PutObjectLegalHold",
    "PUT",
    "object",
    "legal-hold",
    action="s3:PutObjectLegalHold",
    body="document",
)
def put_object_legal_hold(call: Call) -> Response:
    """Place a legal hold or release it."""
    wanted = call.document(LegalHold, checksum_required=True)
    require_object_lock(call)
    if wanted.status is None:
        raise MalformedXML
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    version = call.version(bucket, key, version_id)
    call.store.locks.set_legal_hold(
        bucket,
        key,
        version_id,
        wanted.status is Hold.ON,
        seq=version.seq,
        origin=call.origin,
    )
    return call.empty(headers=version_headers(call, version))
