"""Lifecycle as S3 has it: which versions a bucket's rules mean, what becomes of them, and when.

Everything here is decided from plain facts, so that who runs the rules and who only tells a client
of them cannot differ.
Source: Amazon S3 User Guide, "Managing the lifecycle of objects" and its pages.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DAY_MS: Final = 86_400_000
SMALL: Final = 128 * 1024
"""Bytes; what is smaller is not transitioned unless a rule asks for sizes itself."""

VARIES: Final = "varies_by_storage_class"
ALL_128K: Final = "all_storage_classes_128K"

ARCHIVED: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects must be restored before their bytes can be read."""

# A transition only ever goes down.
# Source: Amazon S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle".
_STEPS: Final = {
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "STANDARD_IA": 1,
    "INTELLIGENT_TIERING": 2,
    "ONEZONE_IA": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
}


class Action(enum.Enum):
    """What becomes of a version."""

    EXPIRE = "expire"
    """As if a client had deleted the object: a delete marker, or gone without versioning."""
    REMOVE = "remove"
    """Gone for good: a noncurrent version, or a delete marker that hides nothing."""
    TRANSITION = "transition"
    """To another storage class."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, by which rule; ``storage_class`` is set for a transition."""

    action: Action
    rule: str
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at in a version.

    :param since: milliseconds; when the next newer version made it noncurrent.
    :param newer: how many newer noncurrent versions its key has.
    :param alone: its key has no other version.
    :param unreplicated: it waits to be replicated, or could not be.
    """

    key: bytes
    size: int
    modified: int
    storage_class: str = "STANDARD"
    tags: tuple[tuple[str, str], ...] = ()
    delete_marker: bool = False
    latest: bool = True
    since: int = 0
    newer: int = 0
    alone: bool = False
    unreplicated: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A transition: so many days after the object came, or at a date (ms)."""

    storage_class: str
    days: int | None = None
    date: int | None = None


@dataclass(frozen=True, slots=True)
class NoncurrentChange:
    """A transition so many days after a version was replaced, sparing the newest ``kept``."""

    storage_class: str
    days: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule that is switched on. Sizes in bytes, dates in milliseconds since the epoch."""

    id: str
    prefix: bytes = b""
    tags: tuple[tuple[str, str], ...] = ()
    larger_than: int | None = None
    smaller_than: int | None = None
    expiration_days: int | None = None
    expiration_date: int | None = None
    lone_markers: bool = False
    transitions: tuple[Change, ...] = ()
    noncurrent_days: int | None = None
    noncurrent_kept: int = 0
    noncurrent_transitions: tuple[NoncurrentChange, ...] = ()
    abort_days: int | None = None

    @property
    def asks_for_sizes(self) -> bool:
        return self.larger_than is not None or self.smaller_than is not None

    def means(self, facts: Facts) -> bool:
        """Whether the rule's filter lets this version in.

        A delete marker has neither tags nor a size, so no filter by these means one.
        """
        if not facts.key.startswith(self.prefix):
            return False
        if facts.delete_marker:
            return not self.tags and not self.asks_for_sizes
        if self.larger_than is not None and facts.size <= self.larger_than:
            return False
        if self.smaller_than is not None and facts.size >= self.smaller_than:
            return False
        return all(tag in facts.tags for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A bucket's rules that are switched on.

    :param smallest: of AWS's two words for which small objects are not transitioned.
    """

    rules: tuple[LifecycleRule, ...]
    smallest: str = ALL_128K

    @property
    def of_objects(self) -> bool:
        """Whether any rule is about stored versions."""
        return any(
            rule.expiration_days is not None
            or rule.expiration_date is not None
            or rule.lone_markers
            or rule.transitions
            or rule.noncurrent_days is not None
            or rule.noncurrent_transitions
            for rule in self.rules
        )

    @property
    def of_uploads(self) -> bool:
        """Whether any rule ends uploads."""
        return any(rule.abort_days is not None for rule in self.rules)

    def decide(
        self, facts: Facts, now: int, *, versioned: bool, day: int = DAY_MS, small: int = SMALL
    ) -> Decision | None:
        """What is to be done with a version by now; None for nothing.

        Going for good comes before a transition, and that before a delete marker. Nothing happens
        to what is not replicated yet. Source: Amazon S3 User Guide, "How S3 Lifecycle interacts
        with other bucket configurations".

        :param now: milliseconds.
        :param versioned: the bucket has or had versioning.
        :param day: milliseconds of a day.
        :param small: bytes below which an object is small.
        """
        if facts.unreplicated:
            return None
        marked: Decision | None = None
        moved: Decision | None = None
        for rule in self.rules:
            if not rule.means(facts):
                continue
            if not facts.latest:
                days = rule.noncurrent_days
                if (
                    days is not None
                    and facts.newer >= rule.noncurrent_kept
                    and due(facts.since, days, day) <= now
                ):
                    return Decision(Action.REMOVE, rule.id)
            elif facts.delete_marker:
                if facts.alone and (rule.lone_markers or _expired(rule, facts, now, day)):
                    return Decision(Action.REMOVE, rule.id)
            elif _expired(rule, facts, now, day):
                if not versioned:
                    return Decision(Action.EXPIRE, rule.id)
                marked = marked or Decision(Action.EXPIRE, rule.id)
            if facts.delete_marker:
                continue
            for storage_class in self._reached(rule, facts, now, day, small):
                best = moved.storage_class if moved is not None else facts.storage_class
                if can_follow(facts.storage_class, storage_class) and (
                    _STEPS.get(storage_class, 0) > _STEPS.get(best, 0)
                ):
                    moved = Decision(Action.TRANSITION, rule.id, storage_class)
        return moved or marked

    def _reached(
        self, rule: LifecycleRule, facts: Facts, now: int, day: int, small: int
    ) -> Iterable[str]:
        """The classes that a rule would have this version in by now."""
        too_small = facts.size < small and not rule.asks_for_sizes
        if facts.latest:
            found = [
                change.storage_class
                for change in rule.transitions
                if _when(facts.modified, change.days, change.date, day) <= now
            ]
        else:
            found = [
                change.storage_class
                for change in rule.noncurrent_transitions
                if facts.newer >= change.kept and due(facts.since, change.days, day) <= now
            ]
        if too_small:
            return [each for each in found if self.smallest == VARIES and each in ARCHIVED]
        return found

    def expiration(self, facts: Facts, *, day: int = DAY_MS) -> tuple[int, str] | None:
        """When a current version will expire (ms), and by which rule; None for never."""
        found = [
            (_when(facts.modified, rule.expiration_days, rule.expiration_date, day), rule.id)
            for rule in self.rules
            if (rule.expiration_days is not None or rule.expiration_date is not None)
            and rule.means(facts)
        ]
        return min(found, default=None)

    def abort(self, key: bytes, started: int, *, day: int = DAY_MS) -> tuple[int, str] | None:
        """When an unfinished upload will be ended (ms), and by which rule; None for never."""
        found = [
            (due(started, rule.abort_days, day), rule.id)
            for rule in self.rules
            if rule.abort_days is not None and key.startswith(rule.prefix)
        ]
        return min(found, default=None)


def due(since: int, days: int, day: int = DAY_MS) -> int:
    """So many days after a moment, at the midnight UTC after that, in milliseconds.

    Days of another length, which are for tests, have no midnight.
    Source: Amazon S3 User Guide, "Lifecycle rules: based on an object's age".
    """
    moment = since + days * day
    return moment if day != DAY_MS else -(-moment // DAY_MS) * DAY_MS


def can_follow(storage_class: str, wanted: str) -> bool:
    """Whether S3 has a transition from one class to the other."""
    if storage_class == "ONEZONE_IA" and wanted == "GLACIER_IR":
        return False
    here = _STEPS.get(storage_class)
    return here is not None and here < _STEPS.get(wanted, 0)


def _when(since: int, days: int | None, date: int | None, day: int) -> int:
    if days is not None:
        return due(since, days, day)
    assert date is not None, "the document's check lets no rule pass without either"
    return date


def _expired(rule: LifecycleRule, facts: Facts, now: int, day: int) -> bool:
    if rule.expiration_days is None and rule.expiration_date is None:
        return False
    return _when(facts.modified, rule.expiration_days, rule.expiration_date, day) <= now
