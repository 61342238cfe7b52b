"""Analytics, Intelligent-Tiering, inventory and metrics: many configurations per bucket, by id.

They are stored and shown; no report is written, no object moved, no request counted by them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Final
from typing import Protocol

from ..call import Call
from ..errors import IdMismatch
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import InvalidS3DestinationBucket
from ..errors import MalformedXML
from ..errors import NoSuchConfiguration
from ..errors import S3Error
from ..wire.headers import check_tags
from ..wire.names import MAX_KEY_BYTES
from ..wire.names import is_bucket_name
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .service import decode_token
from .service import encode_token
from .tagging import Tag

MAX_CONFIGURATIONS: Final = 1000
PAGE: Final = 100
"""S3 "does not return more than 100 configurations at a time"."""
MAX_DOCUMENT: Final = 64 * 1024
ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
BUCKET_ARN: Final = re.compile(r"arn:aws[a-z-]{0,16}:s3:::([a-z0-9.-]+)")
ACCESS_POINT_ARN: Final = re.compile(
    r"arn:aws[a-z-]{0,16}:s3:[a-z0-9-]{1,32}:[0-9]{12}:accesspoint/[a-z0-9][a-z0-9-]{1,48}[a-z0-9]"
)


# -- filters


@dataclass
class And:
    """Conditions that an object must meet together."""

    prefix: str | None = None
    tags: list[Tag] = field_xml("Tag", default_factory=list)


@dataclass
class Filter:
    """Which objects a configuration is about: exactly one condition, or an And of several."""

    prefix: str | None = None
    tag: Tag | None = None
    and_: And | None = field_xml("And", default=None)


@dataclass
class MetricsAnd(And):
    """The same for metrics, which know access points."""

    access_point_arn: str | None = field_xml("AccessPointArn", default=None)


@dataclass
class MetricsFilter:
    """The same for metrics, which know access points."""

    prefix: str | None = None
    tag: Tag | None = None
    access_point_arn: str | None = field_xml("AccessPointArn", default=None)
    and_: MetricsAnd | None = field_xml("And", default=None)


def check_filter(wanted: Filter | MetricsFilter | None) -> None:
    """Refuse a filter that S3's schema does not allow.

    :raises MalformedXML: none or several conditions, or an And of fewer than two.
    :raises InvalidTag: BadRequest, InvalidRequest, InvalidArgument: a condition that is none.
    """
    if wanted is None:
        return
    point = getattr(wanted, "access_point_arn", None)
    both = wanted.and_
    if [wanted.prefix, wanted.tag, point, both].count(None) != 3:
        raise MalformedXML
    prefix = wanted.prefix
    tags = [] if wanted.tag is None else [wanted.tag]
    if both is not None:
        prefix, tags, point = both.prefix, both.tags, getattr(both, "access_point_arn", None)
        if (prefix is not None) + (point is not None) + len(tags) < 2:
            raise MalformedXML
    check_prefix(prefix)
    check_tags((tag.key, tag.value) for tag in tags)
    if point is not None and not ACCESS_POINT_ARN.fullmatch(point):
        raise InvalidArgument(
            "The access point ARN is not valid",
            argument_name="AccessPointArn",
            argument_value=point,
        )


def check_prefix(prefix: str | None) -> None:
    """:raises InvalidRequest: no key could begin with it."""
    if prefix is not None and len(prefix.encode()) > MAX_KEY_BYTES:
        raise InvalidRequest(f"The maximum size of a prefix is {MAX_KEY_BYTES}.")


def check_destination(arn: str) -> None:
    """:raises InvalidS3DestinationBucket: not the ARN of a bucket. It need not exist yet."""
    found = BUCKET_ARN.fullmatch(arn)
    if found is None or not is_bucket_name(found[1]):
        raise InvalidS3DestinationBucket


# -- analytics


class SchemaVersion(enum.StrEnum):
    """How an export is laid out."""

    V_1 = "V_1"


class AnalyticsFormat(enum.StrEnum):
    """How an export is written."""

    CSV = "CSV"


@dataclass
class AnalyticsBucketDestination:
    """The bucket that an export goes to, by ARN."""

    format: AnalyticsFormat
    bucket: str
    bucket_account_id: str | None = None
    prefix: str | None = None


@dataclass
class AnalyticsDestination:
    """Where an export goes."""

    s3_bucket_destination: AnalyticsBucketDestination = field_xml("S3BucketDestination")


@dataclass
class DataExport:
    """What is exported, and where to."""

    output_schema_version: SchemaVersion
    destination: AnalyticsDestination


@dataclass
class StorageClassAnalysis:
    """The analysis; without an export it is only seen in a console."""

    data_export: DataExport | None = None


@document("AnalyticsConfiguration")
@dataclass
class AnalyticsConfiguration:
    """A storage class analysis of some of a bucket's objects."""

    storage_class_analysis: StorageClassAnalysis
    id: str = field_xml("Id")
    filter: Filter | None = None

    def check(self) -> None:
        """Refuse what the schema cannot say."""
        check_filter(self.filter)
        export = self.storage_class_analysis.data_export
        if export is not None:
            target = export.destination.s3_bucket_destination
            check_destination(target.bucket)
            check_prefix(target.prefix)


# -- Intelligent-Tiering


class AccessTier(enum.StrEnum):
    """An archive tier of Intelligent-Tiering."""

    ARCHIVE = "ARCHIVE_ACCESS"
    DEEP_ARCHIVE = "DEEP_ARCHIVE_ACCESS"


LEAST_DAYS: Final = {AccessTier.ARCHIVE: 90, AccessTier.DEEP_ARCHIVE: 180}
MOST_DAYS: Final = 730


class TieringStatus(enum.StrEnum):
    """Whether a tiering configuration counts."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


@dataclass
class Tiering:
    """After how many days without access an object goes to a tier."""

    days: int
    access_tier: AccessTier


@document("IntelligentTieringConfiguration")
@dataclass
class IntelligentTieringConfiguration:
    """When objects of the class INTELLIGENT_TIERING go to an archive tier."""

    status: TieringStatus
    id: str = field_xml("Id")
    tierings: list[Tiering] = field_xml("Tiering")
    filter: Filter | None = None

    def check(self) -> None:
        """Refuse what the schema cannot say."""
        check_filter(self.filter)
        tiers = [tiering.access_tier for tiering in self.tierings]
        if len(set(tiers)) != len(tiers):
            raise MalformedXML
        for tiering in self.tierings:
            least = LEAST_DAYS[tiering.access_tier]
            if not least <= tiering.days <= MOST_DAYS:
                raise InvalidArgument(
                    f"'Days' for {tiering.access_tier} must be between {least} and {MOST_DAYS}",
                    argument_name="Days",
                    argument_value=str(tiering.days),
                )


# -- inventory


class InventoryFormat(enum.StrEnum):
    """How an inventory is written."""

    CSV = "CSV"
    ORC = "ORC"
    PARQUET = "Parquet"


class IncludedVersions(enum.StrEnum):
    """Which versions an inventory lists."""

    ALL = "All"
    CURRENT = "Current"


class Frequency(enum.StrEnum):
    """How often an inventory is made."""

    DAILY = "Daily"
    WEEKLY = "Weekly"


class OptionalField(enum.StrEnum):
    """What an inventory may tell of an object besides its name."""

    SIZE = "Size"
    LAST_MODIFIED_DATE = "LastModifiedDate"
    STORAGE_CLASS = "StorageClass"
    ETAG = "ETag"
    IS_MULTIPART_UPLOADED = "IsMultipartUploaded"
    REPLICATION_STATUS = "ReplicationStatus"
    ENCRYPTION_STATUS = "EncryptionStatus"
    OBJECT_LOCK_RETAIN_UNTIL_DATE = "ObjectLockRetainUntilDate"
    OBJECT_LOCK_MODE = "ObjectLockMode"
    OBJECT_LOCK_LEGAL_HOLD_STATUS = "ObjectLockLegalHoldStatus"
    OBJECT_LOCK_EVENT_HOLD_STATUS = "ObjectLockEventHoldStatus"
    OBJECT_LOCK_EVENT_HOLD_DURATION = "ObjectLockEventHoldDuration"
    INTELLIGENT_TIERING_ACCESS_TIER = "IntelligentTieringAccessTier"
    BUCKET_KEY_STATUS = "BucketKeyStatus"
    CHECKSUM_ALGORITHM = "ChecksumAlgorithm"
    OBJECT_ACCESS_CONTROL_LIST = "ObjectAccessControlList"
    OBJECT_OWNER = "ObjectOwner"
    LIFECYCLE_EXPIRATION_DATE = "LifecycleExpirationDate"
    INTELLIGENT_TIERING_REFERENCE_DATE = "IntelligentTieringReferenceDate"


@dataclass
class ManagedKeys:
    """Encryption under the service's own keys: an element without content."""


@dataclass
class KmsKey:
    """Encryption under a key of KMS."""

    key_id: str


@dataclass
class InventoryEncryption:
    """How an inventory is encrypted: one of the two."""

    sse_s3: ManagedKeys | None = field_xml("SSE-S3", default=None)
    sse_kms: KmsKey | None = field_xml("SSE-KMS", default=None)


@dataclass
class InventoryBucketDestination:
    """The bucket that an inventory goes to, by ARN."""

    bucket: str
    format: InventoryFormat
    account_id: str | None = None
    prefix: str | None = None
    encryption: InventoryEncryption | None = None


@dataclass
class InventoryDestination:
    """Where an inventory goes."""

    s3_bucket_destination: InventoryBucketDestination = field_xml("S3BucketDestination")


@dataclass
class InventoryFilter:
    """Which objects an inventory lists."""

    prefix: str


@dataclass
class InventorySchedule:
    """When an inventory is made."""

    frequency: Frequency


@document("InventoryConfiguration")
@dataclass
class InventoryConfiguration:
    """A list of a bucket's objects, made again and again."""

    destination: InventoryDestination
    is_enabled: bool
    included_object_versions: IncludedVersions
    schedule: InventorySchedule
    id: str = field_xml("Id")
    filter: InventoryFilter | None = None
    optional_fields: list[OptionalField] | None = field_xml(
        "OptionalFields", item="Field", default=None
    )

    def check(self) -> None:
        """Refuse what the schema cannot say."""
        target = self.destination.s3_bucket_destination
        encryption = target.encryption
        if encryption is not None and (encryption.sse_s3 is None) == (encryption.sse_kms is None):
            raise MalformedXML
        fields = self.optional_fields
        if fields is not None and len(set(fields)) != len(fields):
            raise MalformedXML
        check_destination(target.bucket)
        check_prefix(target.prefix)
        check_prefix(None if self.filter is None else self.filter.prefix)


# -- metrics


@document("MetricsConfiguration")
@dataclass
class MetricsConfiguration:
    """Requests for some of a bucket's objects, to be counted."""

    id: str = field_xml("Id")
    filter: MetricsFilter | None = None

    def check(self) -> None:
        """Refuse what the schema cannot say."""
        check_filter(self.filter)


# -- the lists


@dataclass
class Page:
    """What all four lists have; ``next_continuation_token`` is there where more follow."""

    is_truncated: bool
    continuation_token: str | None
    next_continuation_token: str | None


@document("ListBucketAnalyticsConfigurationResult")
@dataclass
class AnalyticsPage(Page):
    """A page of analytics configurations."""

    configurations: list[AnalyticsConfiguration] = field_xml("AnalyticsConfiguration")


@document("ListBucketIntelligentTieringConfigurationsOutput")
@dataclass
class IntelligentTieringPage(Page):
    """A page of Intelligent-Tiering configurations."""

    configurations: list[IntelligentTieringConfiguration] = field_xml(
        "IntelligentTieringConfiguration"
    )


@document("ListInventoryConfigurationsResult")
@dataclass
class InventoryPage(Page):
    """A page of inventory configurations."""

    configurations: list[InventoryConfiguration] = field_xml("InventoryConfiguration")


@document("ListMetricsConfigurationsResult")
@dataclass
class MetricsPage(Page):
    """A page of metrics configurations."""

    configurations: list[MetricsConfiguration] = field_xml("MetricsConfiguration")


# -- the four sets of four operations


class Configuration(Protocol):
    """What the four documents have in common."""

    id: str

    def check(self) -> None:
        """Refuse what the schema cannot say."""


@dataclass(frozen=True)
class Kind:
    """One of the four: its word in the names of operations, its sub-resource, its documents.

    ``mismatch`` is the error for a document with another id than the query's.
    """

    name: str
    subresource: str
    configuration: type[Configuration]
    page: Callable[[bool, str | None, str | None, list[Any]], Page]
    mismatch: type[S3Error] = MalformedXML

    def get(self, call: Call) -> Response:
        """One configuration by its id."""
        name = call.query.get("id") or ""
        stored = None
        if ID.fullmatch(name):
            stored = call.store.buckets.member(call.bucket, self.subresource, name)
        if stored is None:
            raise NoSuchConfiguration
        return xml_response(from_xml(self.configuration, stored))

    def put(self, call: Call) -> Response:
        """Make a configuration, or replace it as a whole; at most 1,000 in a bucket."""
        name = call.query.get("id") or ""
        wanted = call.document(self.configuration, limit=MAX_DOCUMENT)
        if not ID.fullmatch(name):
            raise InvalidArgument(
                "The configuration ID must have 1 to 64 characters: letters, numbers, periods, "
                "dashes and underscores",
                argument_name="id",
                argument_value=name,
            )
        if wanted.id != name:
            raise self.mismatch
        wanted.check()
        call.store.buckets.put_member(
            call.bucket, self.subresource, name, to_xml(wanted), most=MAX_CONFIGURATIONS
        )
        return call.empty()

    def delete(self, call: Call) -> Response:
        """Remove a configuration; one that is not there is NoSuchConfiguration."""
        name = call.query.get("id") or ""
        if not ID.fullmatch(name) or not call.store.buckets.delete_member(
            call.bucket, self.subresource, name
        ):
            raise NoSuchConfiguration
        return call.empty(204)

    def list(self, call: Call) -> Response:
        """The configurations by id, at most 100 at a time."""
        token = call.query.get("continuation-token")
        after = decode_token(token).decode("latin-1") if token else ""
        if after and not ID.fullmatch(after):
            raise InvalidArgument(
                "The continuation token provided is incorrect",
                argument_name="continuation-token",
                argument_value=token or "",
            )
        stored = call.store.buckets.members(
            call.bucket, self.subresource, after=after, limit=PAGE + 1
        )
        found = [from_xml(self.configuration, one) for one in stored[:PAGE]]
        more = len(stored) > PAGE
        following = encode_token(found[-1].id.encode()) if more else None
        return xml_response(self.page(more, token, following, found))

    def register(self) -> None:
        """Put the four into the table of operations."""
        name, where = self.name, self.subresource
        get, put = f"s3:Get{name}Configuration", f"s3:Put{name}Configuration"
        operation(f"GetBucket{name}Configuration", "GET", "bucket", where, "id", action=get)(
            self.get
        )
        operation(
            f"PutBucket{name}Configuration",
            "PUT",
            "bucket",
            where,
            "id",
            action=put,
            body="document",
        )(self.put)
        operation(f"DeleteBucket{name}Configuration", "DELETE", "bucket", where, "id", action=put)(
            self.delete
        )
        operation(f"ListBucket{name}Configurations", "GET", "bucket", where, action=get)(self.list)


KINDS: Final = (
    Kind("Analytics", "analytics", AnalyticsConfiguration, AnalyticsPage),
    Kind(
        "IntelligentTiering",
        "intelligent-tiering",
        IntelligentTieringConfiguration,
        IntelligentTieringPage,
    ),
    Kind("Inventory", "inventory", InventoryConfiguration, InventoryPage, IdMismatch),
    Kind("Metrics", "metrics", MetricsConfiguration, MetricsPage),
)
for kind in KINDS:
    kind.register()
