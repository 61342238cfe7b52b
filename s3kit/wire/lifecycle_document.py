"""The document of a bucket's lifecycle rules: read, checked as AWS checks it, and made rules of.

There is one for both forms: the older names a rule's prefix in the rule, the newer in a filter.
Source: API reference, PutBucketLifecycleConfiguration and PutBucketLifecycle; the texts of errors
are recorded answers of Amazon S3.
"""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from typing import Final

from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from .headers import iso8601
from .lifecycle import ALL_128K
from .lifecycle import DAY_MS
from .lifecycle import VARIES
from .lifecycle import Change
from .lifecycle import Lifecycle
from .lifecycle import LifecycleRule
from .lifecycle import NoncurrentChange
from .xml import document
from .xml import field_xml
from .xml import from_xml

MOST_RULES = 1000
LONGEST_ID = 255
LONGEST_PREFIX = 1024
MOST_KEPT = 100
MOST_DAYS = 2**31 - 1
MOST_BYTES = 2**63 - 1
LEAST_IN_STANDARD = 30
"""Days before AWS takes an object into one of the infrequent classes, and in the first of them."""

SMALLEST: Final = (ALL_128K, VARIES)
_INFREQUENT: Final = ("STANDARD_IA", "ONEZONE_IA")
_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)


class Status(enum.StrEnum):
    """Whether a rule is run."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class StorageClass(enum.StrEnum):
    """What a transition can lead to."""

    GLACIER = "GLACIER"
    STANDARD_IA = "STANDARD_IA"
    ONEZONE_IA = "ONEZONE_IA"
    INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
    DEEP_ARCHIVE = "DEEP_ARCHIVE"
    GLACIER_IR = "GLACIER_IR"


@dataclass
class Tag:
    """A tag that an object must have."""

    key: str
    value: str


@dataclass
class And:
    """Several conditions; an object must meet all."""

    prefix: str | None = None
    tags: list[Tag] = field_xml("Tag", default_factory=list)
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None


@dataclass
class Filter:
    """One condition, or an And of several; none lets every object in."""

    prefix: str | None = None
    tag: Tag | None = None
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None
    and_: And | None = field_xml("And", default=None)

    def check(self) -> None:
        """Refuse what the schema cannot say."""
        given = [
            self.prefix,
            self.tag,
            self.object_size_greater_than,
            self.object_size_less_than,
            self.and_,
        ]
        if sum(each is not None for each in given) > 1:
            raise MalformedXML
        both = self.and_
        if both is not None:
            sizes = (both.object_size_greater_than, both.object_size_less_than)
            count = sum(each is not None for each in (both.prefix, *sizes)) + len(both.tags)
            if count < 2:
                raise MalformedXML
        for tag in self.all_tags:
            if not 1 <= len(tag.key) <= 128 or len(tag.value) > 256:
                raise InvalidRequest("The TagKey or TagValue you have provided is invalid")
        keys = [tag.key for tag in self.all_tags]
        if len(set(keys)) != len(keys):
            raise InvalidRequest("Duplicate Tag Keys are not allowed.")
        larger, smaller = self.sizes
        if larger is not None and not 0 <= larger <= MOST_BYTES:
            raise InvalidRequest("'ObjectSizeGreaterThan' has to be a nonnegative integer")
        if smaller is not None and not 1 <= smaller <= MOST_BYTES:
            raise InvalidRequest("'ObjectSizeLessThan' has to be a positive integer")
        if larger is not None and smaller is not None and smaller <= larger:
            raise InvalidRequest(
                "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
            )

    @property
    def all_tags(self) -> list[Tag]:
        """Those that an object must have."""
        if self.and_ is not None:
            return self.and_.tags
        return [] if self.tag is None else [self.tag]

    @property
    def any_prefix(self) -> str:
        return (self.prefix if self.and_ is None else self.and_.prefix) or ""

    @property
    def sizes(self) -> tuple[int | None, int | None]:
        """Bytes of which an object must have more, and of which fewer."""
        where = self if self.and_ is None else self.and_
        return where.object_size_greater_than, where.object_size_less_than


@dataclass(kw_only=True)
class Transition:
    """A current version's way to another storage class."""

    date: str | None = None
    days: int | None = None
    storage_class: StorageClass


@dataclass(kw_only=True)
class NoncurrentVersionTransition:
    """A replaced version's way to another storage class."""

    noncurrent_days: int
    storage_class: StorageClass
    newer_noncurrent_versions: int | None = None


@dataclass
class Expiration:
    """A current version's end."""

    date: str | None = None
    days: int | None = None
    expired_object_delete_marker: bool | None = None


@dataclass
class NoncurrentVersionExpiration:
    """A replaced version's end."""

    noncurrent_days: int
    newer_noncurrent_versions: int | None = None


@dataclass
class AbortIncompleteMultipartUpload:
    """An unfinished upload's end."""

    days_after_initiation: int


@dataclass(kw_only=True)
class Rule:
    """One rule as its document has it; the order of elements is AWS's."""

    id: str | None = None
    prefix: str | None = None
    filter: Filter | None = None
    status: Status
    transitions: list[Transition] = field_xml("Transition", default_factory=list)
    expiration: Expiration | None = None
    noncurrent_version_transitions: list[NoncurrentVersionTransition] = field_xml(
        "NoncurrentVersionTransition", default_factory=list
    )
    noncurrent_version_expiration: NoncurrentVersionExpiration | None = None
    abort_incomplete_multipart_upload: AbortIncompleteMultipartUpload | None = None

    @property
    def any_prefix(self) -> str:
        return self.prefix or "" if self.filter is None else self.filter.any_prefix

    def check(self) -> None:
        """Refuse what AWS refuses.

        :raises MalformedXML: InvalidArgument, InvalidRequest: as AWS gives them.
        """
        if (self.filter is None) == (self.prefix is None):
            raise MalformedXML
        if self.filter is not None:
            self.filter.check()
        if len(self.any_prefix.encode()) > LONGEST_PREFIX:
            raise InvalidRequest(f"The maximum size of a prefix is {LONGEST_PREFIX}.")
        if (
            not self.transitions
            and self.expiration is None
            and not self.noncurrent_version_transitions
            and self.noncurrent_version_expiration is None
            and self.abort_incomplete_multipart_upload is None
        ):
            raise InvalidRequest("At least one action needs to be specified in a rule")
        self._check_expiration()
        self._check_transitions()
        self._check_noncurrent()
        abort = self.abort_incomplete_multipart_upload
        if abort is not None:
            self._check_positive(
                "DaysAfterInitiation",
                "AbortIncompleteMultipartUpload",
                abort.days_after_initiation,
            )
            self._check_plain_filter("AbortIncompleteMultipartUpload")

    def _check_expiration(self) -> None:
        expiration = self.expiration
        if expiration is None:
            return
        marker = expiration.expired_object_delete_marker
        if sum(each is not None for each in (expiration.days, expiration.date, marker)) != 1:
            raise MalformedXML
        if marker is not None:
            self._check_plain_filter("ExpiredObjectDeleteMarker")
        if expiration.days is not None:
            self._check_positive("Days", "Expiration", expiration.days)
        if expiration.date is not None:
            expiration.date = _midnight(expiration.date)

    def _check_transitions(self) -> None:
        for transition in self.transitions:
            if (transition.days is None) == (transition.date is None):
                raise MalformedXML
            if transition.date is not None:
                transition.date = _midnight(transition.date)
            if transition.days is not None:
                self._check_days("Days", "Transition", transition.days)
        dated = [each.date is not None for each in self.transitions]
        expiration = self.expiration
        if expiration is not None and expiration.expired_object_delete_marker is None:
            dated.append(expiration.date is not None)
        if len(set(dated)) > 1:
            raise InvalidRequest(
                "Found mixed 'Date' and 'Days' based Expiration and Transition actions in "
                f"lifecycle rule for prefix '{self.any_prefix}'"
            )
        self._check_classes("Transition", [each.storage_class for each in self.transitions])
        days = {
            each.storage_class.value: each.days
            for each in self.transitions
            if each.days is not None
        }
        self._check_order("Days", "Transition", days)
        if expiration is None:
            return
        for transition in self.transitions:
            if expiration.days is not None and transition.days is not None:
                self._check_later("Days", "Expiration", expiration.days, transition.days)
            if (
                expiration.date is not None
                and transition.date is not None
                and expiration.date <= transition.date
            ):
                raise InvalidArgument(
                    "'Date' in the Expiration action for filter "
                    f"'(prefix={self.any_prefix})' must be later than 'Date' in the Transition "
                    "action",
                    argument_name="Date",
                    argument_value=expiration.date,
                )

    def _check_noncurrent(self) -> None:
        changes, end = self.noncurrent_version_transitions, self.noncurrent_version_expiration
        for change in changes:
            name = "NoncurrentVersionTransition"
            self._check_days("NoncurrentDays", name, change.noncurrent_days)
            self._check_kept(name, change.newer_noncurrent_versions)
        name = "NoncurrentVersionTransition"
        self._check_classes(name, [each.storage_class for each in changes])
        days = {each.storage_class.value: each.noncurrent_days for each in changes}
        self._check_order("NoncurrentDays", name, days)
        if end is None:
            return
        name = "NoncurrentVersionExpiration"
        self._check_positive("NoncurrentDays", name, end.noncurrent_days)
        self._check_kept(name, end.newer_noncurrent_versions)
        for number in days.values():
            self._check_later("NoncurrentDays", name, end.noncurrent_days, number)

    def _check_plain_filter(self, action: str) -> None:
        if self.filter is None:
            return
        if self.filter.all_tags:
            raise InvalidRequest(f"{action} cannot be specified with Tags.")
        if self.filter.sizes != (None, None):
            raise InvalidRequest(f"{action} cannot be specified with Object Size.")

    def _check_kept(self, action: str, kept: int | None) -> None:
        if kept is None:
            return
        if self.filter is None:
            # "If you don't specify a filter, Amazon S3 generates an InvalidRequest error."
            raise InvalidRequest(
                f"NewerNoncurrentVersions for {action} action requires a Filter element."
            )
        if not 1 <= kept <= MOST_KEPT:
            raise InvalidArgument(
                f"'NewerNoncurrentVersions' for {action} action must be an integer between 1 and "
                f"{MOST_KEPT}",
                argument_name="NewerNoncurrentVersions",
                argument_value=kept,
            )

    @staticmethod
    def _check_positive(name: str, action: str, value: int) -> None:
        if value > MOST_DAYS:
            raise MalformedXML
        if value < 1:
            raise InvalidArgument(
                f"'{name}' for {action} action must be a positive integer",
                argument_name=name,
                argument_value=value,
            )

    @staticmethod
    def _check_days(name: str, action: str, value: int) -> None:
        if value > MOST_DAYS:
            raise MalformedXML
        if value < 0:
            raise InvalidArgument(
                f"'{name}' for {action} action must be nonnegative",
                argument_name=name,
                argument_value=value,
            )

    def _check_classes(self, action: str, classes: Sequence[StorageClass]) -> None:
        if len(set(classes)) != len(classes):
            raise InvalidRequest(
                f"'StorageClass' must be different for '{action}' actions in same 'Rule' with "
                f"prefix '{self.any_prefix}'"
            )

    def _check_later(self, name: str, action: str, end: int, step: int) -> None:
        if end <= step:
            change = action.replace("Expiration", "Transition")
            raise InvalidArgument(
                f"'{name}' in the {action} action for filter '(prefix={self.any_prefix})' must be "
                f"greater than '{name}' in the {change} action",
                argument_name=name,
                argument_value=end,
            )

    def _check_order(self, name: str, action: str, days: dict[str, int]) -> None:
        """Which class comes when.

        Source: Amazon S3 User Guide, "Constraints and considerations for transitions".
        """
        for infrequent in _INFREQUENT:
            first = days.get(infrequent)
            if first is None:
                continue
            if first < LEAST_IN_STANDARD:
                raise InvalidArgument(
                    f"'{name}' in {action} action must be greater than or equal to "
                    f"{LEAST_IN_STANDARD} for storageClass '{infrequent}'",
                    argument_name=name,
                    argument_value=first,
                )
            for archive in ("GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"):
                then = days.get(archive)
                if then is not None and then < first + LEAST_IN_STANDARD:
                    raise InvalidArgument(
                        f"'{name}' in the '{action}' action for StorageClass '{archive}' for "
                        f"filter '(prefix={self.any_prefix})' must be {LEAST_IN_STANDARD} days "
                        f"more than '{name}' in the '{action}' action for StorageClass "
                        f"'{infrequent}'",
                        argument_name=name,
                        argument_value=then,
                    )
        shallow, deep = days.get("GLACIER"), days.get("DEEP_ARCHIVE")
        if shallow is not None and deep is not None and deep <= shallow:
            raise InvalidArgument(
                f"'{name}' in the '{action}' action for StorageClass 'DEEP_ARCHIVE' for filter "
                f"'(prefix={self.any_prefix})' must be greater than '{name}' in the '{action}' "
                "action for StorageClass 'GLACIER'",
                argument_name=name,
                argument_value=deep,
            )

    def compiled(self) -> LifecycleRule:
        """The same for those who run it."""
        found = self.filter or Filter(self.prefix)
        larger, smaller = found.sizes
        end, expiration = self.noncurrent_version_expiration, self.expiration or Expiration()
        abort = self.abort_incomplete_multipart_upload
        return LifecycleRule(
            id=self.id or "",
            prefix=found.any_prefix.encode(),
            tags=tuple((tag.key, tag.value) for tag in found.all_tags),
            larger_than=larger,
            smaller_than=smaller,
            expiration_days=expiration.days,
            expiration_date=parse_date(expiration.date),
            lone_markers=bool(expiration.expired_object_delete_marker),
            transitions=tuple(
                Change(each.storage_class.value, each.days, parse_date(each.date))
                for each in self.transitions
            ),
            noncurrent_days=None if end is None else end.noncurrent_days,
            noncurrent_kept=0 if end is None else end.newer_noncurrent_versions or 0,
            noncurrent_transitions=tuple(
                NoncurrentChange(
                    each.storage_class.value,
                    each.noncurrent_days,
                    each.newer_noncurrent_versions or 0,
                )
                for each in self.noncurrent_version_transitions
            ),
            abort_days=None if abort is None else abort.days_after_initiation,
        )


@document("LifecycleConfiguration")
@dataclass
class LifecycleConfiguration:
    """A bucket's rules.

    ``smallest`` is no element of S3's: what came with the document in a header is kept with it.
    """

    rules: list[Rule] = field_xml("Rule", default_factory=list)
    smallest: str | None = field_xml("S3kitTransitionDefaultMinimumObjectSize", default=None)

    def check(self) -> None:
        """Refuse what AWS refuses, and give every rule an id that has none."""
        if not self.rules:
            raise MalformedXML
        if len(self.rules) > MOST_RULES:
            raise InvalidRequest(
                f"The number of lifecycle rules must not exceed the allowed limit of {MOST_RULES} "
                "rules"
            )
        seen: set[str] = set()
        for rule in self.rules:
            if not rule.id:
                rule.id = secrets.token_urlsafe(36)
            if len(rule.id) > LONGEST_ID:
                raise InvalidArgument(
                    f"ID length should not exceed allowed limit of {LONGEST_ID}",
                    argument_name="ID",
                    argument_value=rule.id,
                )
            if rule.id in seen:
                raise InvalidArgument(
                    "Rule ID must be unique. Found same ID for more than one rule",
                    argument_name="ID",
                    argument_value=rule.id,
                )
            seen.add(rule.id)
            rule.check()

    def compiled(self) -> Lifecycle:
        """The rules that are switched on, for those who run them."""
        return Lifecycle(tuple(self._enabled()), self.smallest or ALL_128K)

    def _enabled(self) -> Iterator[LifecycleRule]:
        for rule in self.rules:
            if rule.status is Status.ENABLED:
                yield rule.compiled()


def read_lifecycle(stored: bytes) -> Lifecycle:
    """The rules in a stored document."""
    return from_xml(LifecycleConfiguration, stored).compiled()


def parse_date(text: str | None) -> int | None:
    """An ISO 8601 date as milliseconds since the epoch; without a zone it is UTC's.

    :raises MalformedXML: it is none.
    """
    if text is None:
        return None
    text = text.strip()
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedXML from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise MalformedXML from None


def _midnight(text: str) -> str:
    """A date as S3 answers it.

    :raises InvalidArgument: it has a time of day.
    """
    moment = parse_date(text)
    assert moment is not None
    if moment % DAY_MS:
        raise InvalidArgument(
            "'Date' must be at midnight GMT", argument_name="Date", argument_value=text
        )
    return iso8601(moment)
