"""The headers of Object Lock."""

from __future__ import annotations

import pytest

from s3kit.errors import InvalidArgument
from s3kit.model import NO_LOCK
from s3kit.model import ObjectLock
from s3kit.wire.locks import read_instant
from s3kit.wire.locks import read_lock_headers
from s3kit.wire.locks import write_instant
from s3kit.wire.locks import write_lock_headers

NOW = 1_700_000_000_000
LATER = "2030-01-01T00:00:00Z"
LATER_MS = 1_893_456_000_000


def short(**headers: str) -> dict[str, str]:
    return {f"x-amz-object-lock-{name.replace('_', '-')}": value for name, value in headers.items()}


def read(**headers: str) -> ObjectLock:
    return read_lock_headers(short(**headers).get, NOW)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        (LATER, LATER_MS),
        ("2030-01-01T00:00:00.000Z", LATER_MS),
        ("2030-01-01T01:00:00+01:00", LATER_MS),
        ("2030-01-01T00:00:00", LATER_MS),
        ("2030-01-01", LATER_MS),
        (" 2030-01-01T00:00:00.001Z ", LATER_MS + 1),
        ("2030-01-01T00:00:00.000001Z", LATER_MS + 1),
        ("9999-12-31T23:59:59Z", 253402300799000),
    ],
)
def test_a_time_is_read_to_the_millisecond_and_never_too_early(
    text: str, milliseconds: int
) -> None:
    assert read_instant(text) == milliseconds
    assert read_instant(write_instant(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "tomorrow",
        "1893456000",
        "2030-13-01T00:00:00Z",
        "2030-01-01T00:00:00Z" * 9,
        "٢٠٣٠-01-01",
        "10000-01-01T00:00:00Z",
        "Tue, 01 Jan 2030 00:00:00 GMT",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_instant(text) is None


@pytest.mark.parametrize(
    ("headers", "lock"),
    [
        ({}, NO_LOCK),
        (
            {"mode": "COMPLIANCE", "retain_until_date": LATER},
            ObjectLock("COMPLIANCE", LATER_MS),
        ),
        ({"legal_hold": "ON"}, ObjectLock(legal_hold=True)),
        ({"legal_hold": "OFF"}, ObjectLock(legal_hold=False)),
        (
            {"mode": "GOVERNANCE", "event_hold": "ON", "event_hold_duration_days": "36500"},
            ObjectLock("GOVERNANCE", 0, None, True, 36500),
        ),
        (
            {
                "mode": "GOVERNANCE",
                "retain_until_date": LATER,
                "event_hold": "ON",
                "event_hold_duration_years": "100",
                "legal_hold": "ON",
            },
            ObjectLock("GOVERNANCE", LATER_MS, True, True, 0, 100),
        ),
        (
            {"mode": "GOVERNANCE", "retain_until_date": LATER, "event_hold": "OFF"},
            ObjectLock("GOVERNANCE", LATER_MS),
        ),
    ],
)
def test_headers_are_read(headers: dict[str, str], lock: ObjectLock) -> None:
    assert read(**headers) == lock


def test_no_header_is_no_lock_at_all() -> None:
    assert read() is NO_LOCK


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"mode": "COMPLIANCE"}, "retain-until-date"),
        ({"retain_until_date": LATER}, "mode"),
        ({"mode": "compliance", "retain_until_date": LATER}, "mode"),
        ({"mode": "", "retain_until_date": LATER}, "mode"),
        ({"mode": "COMPLIANCE", "retain_until_date": "abc"}, "retain-until-date"),
        (
            {"mode": "COMPLIANCE", "retain_until_date": "2001-01-01T00:00:00Z"},
            "retain-until-date",
        ),
        ({"legal_hold": "on"}, "legal-hold"),
        ({"legal_hold": ""}, "legal-hold"),
        ({"event_hold": "maybe", "mode": "COMPLIANCE"}, "event-hold"),
        ({"event_hold": "ON", "event_hold_duration_days": "1"}, "mode"),
        ({"event_hold": "ON", "mode": "COMPLIANCE"}, "event-hold"),
        (
            {
                "event_hold": "ON",
                "mode": "COMPLIANCE",
                "event_hold_duration_days": "1",
                "event_hold_duration_years": "1",
            },
            "event-hold",
        ),
        ({"event_hold_duration_days": "1"}, "event-hold-duration-days"),
        ({"event_hold": "OFF", "event_hold_duration_years": "1"}, "event-hold-duration-years"),
        ({"event_hold": "OFF", "mode": "COMPLIANCE"}, "retain-until-date"),
        *(
            (
                {"event_hold": "ON", "mode": "COMPLIANCE", "event_hold_duration_days": value},
                "event-hold-duration-days",
            )
            for value in ("0", "-1", "36501", "x", "", "1.5", "١", "9" * 40)
        ),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(
    headers: dict[str, str], name: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(**headers)
    assert refused.value.details["argument_name"] == f"x-amz-object-lock-{name}"


def test_each_reader_is_shown_what_it_may_see() -> None:
    lock = ObjectLock("COMPLIANCE", 0, True, True, 30)
    both = write_lock_headers(lock, LATER_MS, retention=True, legal_hold=True)
    assert dict(both) == short(
        mode="COMPLIANCE",
        retain_until_date="2030-01-01T00:00:00.000Z",
        event_hold="ON",
        event_hold_duration_days="30",
        legal_hold="ON",
    )
    assert write_lock_headers(lock, LATER_MS, retention=False, legal_hold=False) == []
    one = write_lock_headers(lock, LATER_MS, retention=False, legal_hold=True)
    assert dict(one) == short(legal_hold="ON")
    released = ObjectLock("COMPLIANCE", LATER_MS, None, False)
    assert dict(write_lock_headers(released, LATER_MS, retention=True, legal_hold=True)) == short(
        mode="COMPLIANCE", retain_until_date="2030-01-01T00:00:00.000Z", event_hold="OFF"
    )
