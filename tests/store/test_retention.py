"""What a lock forbids, and what it may be changed to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import AccessDenied
from s3kit.errors import InvalidRequest
from s3kit.model import NO_LOCK
from s3kit.model import ObjectLock
from s3kit.store.retention import COMPLIANCE
from s3kit.store.retention import DAY
from s3kit.store.retention import GOVERNANCE
from s3kit.store.retention import DefaultRetention
from s3kit.store.retention import Retention
from s3kit.store.retention import changed
from s3kit.store.retention import check_unprotected
from s3kit.store.retention import is_protected
from s3kit.store.retention import is_retained
from s3kit.store.retention import not_weaker
from s3kit.store.retention import read_default
from s3kit.store.retention import retained_until

NOW = 1_000 * DAY


def may_go(lock: ObjectLock, now: int = NOW, *, bypass: bool = False) -> bool:
    try:
        check_unprotected(lock, now, bypass=bypass)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("lock", "plain", "bypassing"),
    [
        (NO_LOCK, True, True),
        (ObjectLock(legal_hold=False), True, True),
        (ObjectLock(legal_hold=True), False, False),
        (ObjectLock(GOVERNANCE, NOW + 1), False, True),
        (ObjectLock(GOVERNANCE, NOW), True, True),
        (ObjectLock(GOVERNANCE, NOW + 1, legal_hold=True), False, False),
        (ObjectLock(GOVERNANCE, 0, None, True, 1), False, True),
        (ObjectLock(COMPLIANCE, NOW + 1), False, False),
        (ObjectLock(COMPLIANCE, NOW), True, True),
        (ObjectLock(COMPLIANCE, 0, None, True, 1), False, False),
        (ObjectLock(COMPLIANCE, NOW, legal_hold=True), False, False),
    ],
)
def test_what_a_lock_forbids(lock: ObjectLock, plain: bool, bypassing: bool) -> None:
    assert may_go(lock) is plain
    assert may_go(lock, bypass=True) is bypassing
    assert is_protected(lock, NOW) is not plain


def test_a_clock_that_was_set_back_keeps_locks_longer() -> None:
    lock = ObjectLock(COMPLIANCE, NOW)
    assert may_go(lock, NOW)
    assert not may_go(lock, NOW - 1)


# -- fixed retention


@pytest.mark.parametrize("mode", [GOVERNANCE, COMPLIANCE])
def test_a_retention_may_grow_but_not_shrink(mode: str) -> None:
    lock = ObjectLock(mode, NOW + 10, legal_hold=True)
    assert changed(lock, Retention(mode, NOW + 11), NOW) == ObjectLock(mode, NOW + 11, True)
    assert changed(lock, Retention(mode, NOW + 10), NOW) == lock
    other = COMPLIANCE if mode == GOVERNANCE else GOVERNANCE
    for wanted in (Retention(mode, NOW + 9), Retention(), Retention(other, NOW + 99)):
        with pytest.raises(AccessDenied):
            changed(lock, wanted, NOW)


def test_bypassing_goes_past_governance_only() -> None:
    lock = ObjectLock(GOVERNANCE, NOW + 10, legal_hold=True)
    assert changed(lock, Retention(), NOW, bypass=True) == ObjectLock(legal_hold=True)
    for wanted in (Retention(GOVERNANCE, NOW + 1), Retention(COMPLIANCE, NOW + 1)):
        assert changed(lock, wanted, NOW, bypass=True) == ObjectLock(wanted.mode, NOW + 1, True)
    lock = ObjectLock(COMPLIANCE, NOW + 10)
    for wanted in (Retention(), Retention(COMPLIANCE, NOW + 9), Retention(GOVERNANCE, NOW + 99)):
        with pytest.raises(AccessDenied):
            changed(lock, wanted, NOW, bypass=True)


def test_a_retention_that_is_over_binds_nobody() -> None:
    lock = ObjectLock(COMPLIANCE, NOW)
    assert changed(lock, Retention(), NOW) == NO_LOCK
    assert changed(lock, Retention(GOVERNANCE, NOW + 1), NOW) == ObjectLock(GOVERNANCE, NOW + 1)


# -- event holds


@pytest.mark.parametrize("mode", [GOVERNANCE, COMPLIANCE])
def test_an_event_hold_moves_the_end_on_until_it_is_released(mode: str) -> None:
    lock = changed(NO_LOCK, Retention(mode, 0, True, 30), NOW)
    assert lock == ObjectLock(mode, 0, None, True, 30)
    assert retained_until(lock, NOW) == NOW + 30 * DAY
    later = NOW + 1_000 * DAY
    assert retained_until(lock, later) == later + 30 * DAY
    assert not may_go(lock, later)
    released = changed(lock, Retention(mode, 0, False), later)
    assert released == ObjectLock(mode, later + 30 * DAY, None, False)
    assert not may_go(released, later + 30 * DAY - 1)
    assert may_go(released, later + 30 * DAY)
    # Released again it stays as it is.
    assert changed(released, Retention(mode, 0, False), later + DAY) == released


def test_years_have_365_days() -> None:
    lock = ObjectLock(COMPLIANCE, 0, None, True, 0, 4)
    assert retained_until(lock, NOW) == NOW + 4 * 365 * DAY


def test_the_later_one_of_a_date_and_an_event_hold_counts() -> None:
    lock = changed(NO_LOCK, Retention(COMPLIANCE, NOW + 50 * DAY, True, 30), NOW)
    assert retained_until(lock, NOW) == NOW + 50 * DAY
    assert retained_until(lock, NOW + 40 * DAY) == NOW + 70 * DAY
    early = changed(lock, Retention(COMPLIANCE, NOW + DAY, False), NOW)
    assert early.retain_until == NOW + 50 * DAY
    later = changed(lock, Retention(COMPLIANCE, NOW + 90 * DAY, False), NOW)
    assert later.retain_until == NOW + 90 * DAY
    floor = changed(lock, Retention(COMPLIANCE, NOW + 80 * DAY), NOW)
    assert floor == ObjectLock(COMPLIANCE, NOW + 80 * DAY, None, True, 30)


def test_a_shorter_duration_does_not_turn_the_date_back() -> None:
    lock = ObjectLock(COMPLIANCE, 0, None, True, 30)
    shorter = changed(lock, Retention(COMPLIANCE, 0, True, 1), NOW)
    assert retained_until(shorter, NOW) == NOW + 30 * DAY
    # It overtakes, and moves on from there.
    assert retained_until(shorter, NOW + 29 * DAY) == NOW + 30 * DAY
    assert retained_until(shorter, NOW + 31 * DAY) == NOW + 32 * DAY
    released = changed(shorter, Retention(COMPLIANCE, 0, False), NOW)
    assert released.retain_until == NOW + 30 * DAY


def test_governance_lets_a_hold_go_at_once_who_may_bypass_it() -> None:
    lock = ObjectLock(GOVERNANCE, 0, None, True, 30)
    with pytest.raises(AccessDenied):
        changed(lock, Retention(), NOW)
    assert changed(lock, Retention(), NOW, bypass=True) == NO_LOCK
    given_up = changed(lock, Retention(GOVERNANCE, NOW + 1, False), NOW, bypass=True)
    assert given_up.retain_until == NOW + 1
    shortened = changed(lock, Retention(GOVERNANCE, 0, True, 1), NOW, bypass=True)
    assert retained_until(shortened, NOW) == NOW + DAY


def test_a_release_needs_a_date_where_no_hold_is_on() -> None:
    with pytest.raises(InvalidRequest):
        changed(NO_LOCK, Retention(COMPLIANCE, 0, False), NOW)
    assert changed(NO_LOCK, Retention(COMPLIANCE, NOW + 1, False), NOW).retain_until == NOW + 1


modes = st.sampled_from(["", GOVERNANCE, COMPLIANCE])
wishes = st.builds(
    lambda mode, until, hold, days: Retention(
        mode, until if mode else 0, hold if mode else None, days if mode and hold else 0
    ),
    modes,
    st.one_of(st.just(0), st.integers(NOW - 5 * DAY, NOW + 500 * DAY)),
    st.sampled_from([None, False, True]),
    st.integers(1, 100),
)


@given(
    first=wishes.filter(
        lambda wish: wish.mode == COMPLIANCE and bool(wish.until or wish.event_hold)
    ),
    wished=st.lists(st.tuples(wishes, st.integers(0, 20 * DAY), st.booleans()), max_size=8),
)
def test_no_row_of_changes_ends_compliance_early(
    first: Retention, wished: list[tuple[Retention, int, bool]]
) -> None:
    now = NOW
    lock = changed(NO_LOCK, first, now)
    for wanted, passed, bypass in wished:
        now += passed
        if not is_retained(lock, now):
            return
        before = retained_until(lock, now)
        try:
            after = changed(lock, wanted, now, bypass=bypass)
        except (AccessDenied, InvalidRequest):
            continue
        assert after.mode == COMPLIANCE
        assert retained_until(after, now) >= before
        assert is_retained(after, now)
        if lock.event_hold and not after.event_hold:
            assert wanted.event_hold is False
        lock = after


# -- replicas


def test_a_replica_follows_its_source_but_not_out_of_compliance() -> None:
    fixed = ObjectLock(COMPLIANCE, NOW + 10)
    held = ObjectLock(COMPLIANCE, 0, None, True, 30)
    for wanted in (NO_LOCK, ObjectLock(GOVERNANCE, NOW + 99)):
        assert not_weaker(fixed, wanted, NOW) == fixed
        assert not_weaker(held, wanted, NOW) == held
    assert not_weaker(fixed, ObjectLock(legal_hold=True), NOW) == ObjectLock(
        COMPLIANCE, NOW + 10, True
    )
    assert not_weaker(fixed, ObjectLock(COMPLIANCE, NOW + 9), NOW) == fixed
    longer = ObjectLock(COMPLIANCE, NOW + 11)
    assert not_weaker(fixed, longer, NOW) == longer
    released = ObjectLock(COMPLIANCE, NOW + 1, None, False)
    assert not_weaker(held, released, NOW) == ObjectLock(COMPLIANCE, NOW + 30 * DAY, None, False)
    dated = ObjectLock(COMPLIANCE, NOW + 99 * DAY)
    both = ObjectLock(COMPLIANCE, NOW + 99 * DAY, None, True, 30)
    assert not_weaker(held, dated, NOW) == both
    for lock in (ObjectLock(COMPLIANCE, NOW), ObjectLock(GOVERNANCE, NOW + 10), NO_LOCK):
        assert not_weaker(lock, NO_LOCK, NOW) == NO_LOCK


# -- the rule of a bucket


def test_a_rule_counts_from_the_creation() -> None:
    rule = DefaultRetention(COMPLIANCE, days=2)
    assert rule.applied(NO_LOCK, NOW) == ObjectLock(COMPLIANCE, NOW + 2 * DAY)
    rule = DefaultRetention(GOVERNANCE, years=1, event_days=7)
    held = ObjectLock(legal_hold=True)
    assert rule.applied(held, NOW) == ObjectLock(GOVERNANCE, NOW + 365 * DAY, True, True, 7)
    rule = DefaultRetention(GOVERNANCE, event_years=1)
    assert rule.applied(NO_LOCK, NOW) == ObjectLock(GOVERNANCE, 0, None, True, 0, 1)


def test_a_rule_is_read_as_it_was_written() -> None:
    rule = DefaultRetention(GOVERNANCE, 1, 2, 3, 4)
    assert read_default(rule.to_bytes()) == rule
