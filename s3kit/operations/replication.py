"""A bucket's replication: which of its objects are copied to which other buckets.

Source of the rules and texts: Amazon S3 User Guide, "Replication configuration file elements", and
recorded answers of Amazon S3.
"""

from __future__ import annotations

import enum
import itertools
import re
import secrets
from dataclasses import dataclass
from typing import Final

from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from ..errors import NoSuchBucket
from ..errors import ReplicationConfigurationNotFoundError
from ..model import Bucket
from ..model import Versioning
from ..store.replication import MOST_DESTINATIONS
from ..store.replication import SETTING
from ..store.replication import Rule
from ..wire.headers import check_tags
from ..wire.names import STORAGE_CLASSES
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .configurations import And
from .configurations import Filter
from .configurations import check_prefix

MOST_RULES: Final = 1000
LONGEST_ID: Final = 255
LONGEST_ROLE: Final = 2048
HIGHEST_PRIORITY: Final = 2**31 - 1
MINUTES: Final = 15
"""The only time that replication time control knows."""
BUCKET_ARN: Final = re.compile(r"arn:aws[a-z-]{0,16}:s3:::([A-Za-z0-9._-]{3,255})")
SCHEMA: Final = (
    "for this version of Cross Region Replication configuration schema. Please refer to S3 "
    "Developer Guide for more information."
)


class Status(enum.StrEnum):
    """Whether a rule, or a part of one, counts."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


@dataclass
class Switch:
    """A part of a rule that only is on or off."""

    status: Status


@dataclass
class MarkerSwitch:
    """Whether delete markers are replicated."""

    status: Status | None = None


@dataclass
class SourceSelectionCriteria:
    """Which objects are replicated besides the usual ones."""

    sse_kms_encrypted_objects: Switch | None = field_xml("SseKmsEncryptedObjects", default=None)
    replica_modifications: Switch | None = None


class OwnerOverride(enum.StrEnum):
    """Whose a replica is."""

    DESTINATION = "Destination"


@dataclass
class AccessControlTranslation:
    """Makes a replica the destination owner's."""

    owner: OwnerOverride


@dataclass
class EncryptionConfiguration:
    """The key under which replicas are kept."""

    replica_kms_key_id: str | None = field_xml("ReplicaKmsKeyID", default=None)


@dataclass
class Minutes:
    """A span of time."""

    minutes: int | None = None


@dataclass
class ReplicationTime:
    """Replication time control."""

    status: Status
    time: Minutes


@dataclass
class Metrics:
    """Replication metrics and events."""

    status: Status
    event_threshold: Minutes | None = None


@dataclass
class Destination:
    """Where replicas go, by the bucket's ARN."""

    bucket: str
    account: str | None = None
    storage_class: str | None = None
    access_control_translation: AccessControlTranslation | None = None
    encryption_configuration: EncryptionConfiguration | None = None
    replication_time: ReplicationTime | None = None
    metrics: Metrics | None = None


@dataclass
class ReplicationRule:
    """One rule, in the first schema with a ``prefix``, in the second with a ``filter``."""

    status: Status
    destination: Destination
    id: str | None = None
    priority: int | None = None
    prefix: str | None = None
    filter: Filter | None = None
    source_selection_criteria: SourceSelectionCriteria | None = None
    existing_object_replication: Switch | None = None
    delete_marker_replication: MarkerSwitch | None = None

    @property
    def conditions(self) -> And:
        """Prefix and tags, however they are spelt."""
        wanted = self.filter
        if wanted is None:
            return And(self.prefix)
        return wanted.and_ or And(wanted.prefix, [] if wanted.tag is None else [wanted.tag])

    def check(self) -> None:
        """Refuse what no bucket could have.

        :raises MalformedXML: InvalidRequest, InvalidArgument, InvalidTag:
        """
        if self.id is not None and len(self.id) > LONGEST_ID:
            raise InvalidArgument(
                f"ID length should not exceed allowed limit of {LONGEST_ID}",
                argument_name="ID",
                argument_value=self.id,
            )
        if (self.filter is None) == (self.prefix is None):
            raise MalformedXML
        if self.filter is None:
            self._check_first_schema()
        else:
            self._check_second_schema(self.filter)
        conditions = self.conditions
        check_prefix(conditions.prefix)
        check_tags((tag.key, tag.value) for tag in conditions.tags)
        self._check_destination()

    def _check_first_schema(self) -> None:
        for name, value in (
            ("Priority", self.priority),
            ("DeleteMarkerReplication", self.delete_marker_replication),
            ("ExistingObjectReplication", self.existing_object_replication),
        ):
            if value is not None:
                raise InvalidRequest(f"{name} cannot be used {SCHEMA}")

    def _check_second_schema(self, wanted: Filter) -> None:
        both = wanted.and_
        if [wanted.prefix, wanted.tag, both].count(None) < 2:
            raise MalformedXML
        if both is not None and (both.prefix is not None) + len(both.tags) < 2:
            raise MalformedXML
        if self.priority is None:
            raise InvalidRequest(f"Priority must be specified {SCHEMA}")
        if not 0 <= self.priority <= HIGHEST_PRIORITY:
            raise InvalidArgument(
                f"Priority must be between 0 and {HIGHEST_PRIORITY}",
                argument_name="Priority",
                argument_value=str(self.priority),
            )
        markers = self.delete_marker_replication
        if markers is None or markers.status is None:
            raise InvalidRequest(f"DeleteMarkerReplication must be specified {SCHEMA}")
        if markers.status is Status.ENABLED and self.conditions.tags:
            raise InvalidRequest(
                "Delete marker replication is not supported if any Tag filter is specified. "
                "Please refer to S3 Developer Guide for more information."
            )

    def _check_destination(self) -> None:
        destination = self.destination
        if destination.storage_class not in (None, *STORAGE_CLASSES):
            raise MalformedXML
        if destination.access_control_translation is not None and not destination.account:
            raise InvalidRequest(
                "Account must be specified for AccessControlTranslation to be applied"
            )
        criteria = self.source_selection_criteria
        sealed = None if criteria is None else criteria.sse_kms_encrypted_objects
        wanted = sealed is not None and sealed.status is Status.ENABLED
        encryption = destination.encryption_configuration
        if wanted and (encryption is None or not encryption.replica_kms_key_id):
            raise InvalidRequest(
                "ReplicaKmsKeyID must be specified if SseKmsEncryptedObjects tag is present."
            )
        if encryption is not None and not wanted:
            raise InvalidRequest(
                "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present."
            )
        timed, metrics = destination.replication_time, destination.metrics
        spans = [] if timed is None else [timed.time]
        if is_on(timed) and not is_on(metrics):
            raise InvalidRequest("Metrics must be enabled if ReplicationTime is enabled.")
        if metrics is not None and metrics.event_threshold is not None:
            spans.append(metrics.event_threshold)
        for span in spans:
            if span.minutes != MINUTES:
                raise InvalidArgument(
                    f"Minutes must be {MINUTES}",
                    argument_name="Minutes",
                    argument_value="" if span.minutes is None else str(span.minutes),
                )

    def compiled(self) -> Rule:
        """The rule as it is applied."""
        destination, criteria = self.destination, self.source_selection_criteria
        conditions, markers = self.conditions, self.delete_marker_replication
        found = BUCKET_ARN.fullmatch(destination.bucket)
        assert found is not None, "it was checked before it was stored"
        timed = destination.replication_time
        encryption = destination.encryption_configuration
        return Rule(
            id=self.id or "",
            priority=self.priority or 0,
            enabled=self.status is Status.ENABLED,
            prefix=(conditions.prefix or "").encode("utf-8", "surrogateescape"),
            tags=frozenset((tag.key, tag.value) for tag in conditions.tags),
            arn=destination.bucket,
            bucket=found[1],
            account=destination.account or "",
            storage_class=destination.storage_class or "",
            owner_override=destination.access_control_translation is not None,
            # In the first schema they always are.
            markers=self.filter is None
            or (markers is not None and markers.status is Status.ENABLED),
            changes_of_replicas=criteria is not None and is_on(criteria.replica_modifications),
            sealed=criteria is not None and is_on(criteria.sse_kms_encrypted_objects),
            kms_key_id=(encryption and encryption.replica_kms_key_id) or "",
            threshold=MINUTES if is_on(timed) else 0,
        )


@document("ReplicationConfiguration")
@dataclass
class ReplicationConfiguration:
    """All rules of a bucket. ``role`` is who copies, on AWS; here it is kept and shown."""

    role: str
    rules: list[ReplicationRule] = field_xml("Rule", default_factory=list)


def is_on(switch: Switch | ReplicationTime | Metrics | None) -> bool:
    """Whether a part of a rule is there and enabled."""
    return switch is not None and switch.status is Status.ENABLED


def read_rules(stored: bytes) -> tuple[Rule, ...]:
    """The rules in a stored document."""
    return tuple(rule.compiled() for rule in from_xml(ReplicationConfiguration, stored).rules)


@operation(
    "GetBucketReplication",
    "GET",
    "bucket",
    "replication",
    action="s3:GetReplicationConfiguration",
)
def get_bucket_replication(call: Call) -> Response:
    """The rules; a bucket without any has an error of its own."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise ReplicationConfigurationNotFoundError(bucket_name=call.bucket.name)
    return xml_response(from_xml(ReplicationConfiguration, stored))


@operation(
    "PutBucketReplication",
    "PUT",
    "bucket",
    "replication",
    action="s3:PutReplicationConfiguration",
    body="document",
)
def put_bucket_replication(call: Call) -> Response:
    """Replace all rules. They hold for what is stored from now on."""
    wanted = call.document(ReplicationConfiguration, checksum_required=True)
    if not wanted.rules or len(wanted.role) > LONGEST_ROLE:
        raise MalformedXML
    if len(wanted.rules) > MOST_RULES:
        raise InvalidRequest(
            f"The number of replication rules must not exceed the allowed limit of {MOST_RULES} "
            "rules."
        )
    for rule in wanted.rules:
        rule.check()
    check_together(wanted.rules)
    if call.bucket.versioning is not Versioning.ENABLED:
        raise InvalidRequest(
            "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        )
    check_destinations(call, wanted.rules)
    for rule in wanted.rules:
        rule.id = rule.id or secrets.token_hex(16)
    call.store.buckets.put_setting(call.bucket, SETTING, to_xml(wanted))
    return call.empty()


@operation(
    "DeleteBucketReplication",
    "DELETE",
    "bucket",
    "replication",
    action="s3:PutReplicationConfiguration",
)
def delete_bucket_replication(call: Call) -> Response:
    """Remove all rules; replicas stay, and what waits is not copied any more."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)


def _require_reach(call: Call, rule: ReplicationRule, target: Bucket) -> None:
    prefix = (rule.conditions.prefix or "").encode("utf-8", "surrogateescape")
    call.require_reach("s3:ReplicateObject", target, prefix)
    markers = rule.delete_marker_replication
    # Rules of the first schema take markers along.
    if markers is None or markers.status is Status.ENABLED:
        call.require_reach("s3:ReplicateDelete", target, prefix)


def check_together(rules: list[ReplicationRule]) -> None:
    """Refuse rules that cannot stand beside each other.

    :raises InvalidRequest: InvalidArgument:
    """
    ids = [rule.id for rule in rules if rule.id]
    for rule_id in ids:
        if ids.count(rule_id) > 1:
            raise InvalidArgument(
                "Rule Id must be unique.", argument_name="ID", argument_value=rule_id
            )
    first = [rule for rule in rules if rule.filter is None]
    if first and len(first) != len(rules):
        raise InvalidRequest("All rules must be of the same version of the schema.")
    prefixes = sorted(rule.prefix or "" for rule in first)
    for shorter, longer in itertools.pairwise(prefixes):
        if longer.startswith(shorter):
            raise InvalidRequest(f"Found overlapping prefixes '{shorter}' and '{longer}'")
    priorities = [rule.priority for rule in rules if rule.priority is not None]
    if len(set(priorities)) != len(priorities):
        raise InvalidRequest("Rules must have different priorities.")


def check_destinations(call: Call, rules: list[ReplicationRule]) -> None:
    """Refuse buckets into which nothing can be replicated.

    Whether another account's bucket may be written to is asked at each copy, as on AWS; a narrow
    key or a user must be able to write there itself.

    :raises InvalidArgument: InvalidRequest: AccessDenied:
    """
    # Where names are per account one ARN may mean buckets of several accounts.
    meant = [(rule.destination.bucket, rule.destination.account or "", rule) for rule in rules]
    if len({arn for arn, _, _ in meant}) > MOST_DESTINATIONS:
        raise InvalidRequest(
            f"Number of distinct destination bucket ARNs cannot exceed {MOST_DESTINATIONS}"
        )
    replication = call.store.replication
    remotes = {} if replication is None else replication.remotes
    for arn, account in sorted({each[:2] for each in meant}):
        found = BUCKET_ARN.fullmatch(arn)
        if found is None:
            raise InvalidArgument("Invalid bucket ARN.", argument_name="Bucket", argument_value=arn)
        if arn in remotes:
            if call.caller.scope is not None and call.caller.scope.paths:
                raise AccessDenied()
            continue
        owner = call.store.roles.id_of(account) if account else call.bucket.account
        try:
            target = call.store.buckets.get(found[1], account=owner, fresh=True)
        except NoSuchBucket:
            raise InvalidRequest("Destination bucket must exist.") from None
        if target.id == call.bucket.id:
            raise InvalidRequest("Destination bucket cannot be the same as the source bucket.")
        for *place, rule in meant:
            if place == [arn, account]:
                _require_reach(call, rule, target)
        if target.versioning is not Versioning.ENABLED:
            raise InvalidRequest("Destination bucket must have versioning enabled.")
        if call.bucket.object_lock and not target.object_lock:
            raise InvalidRequest(
                "Destination bucket must have Object Lock enabled, as the source bucket has."
            )
