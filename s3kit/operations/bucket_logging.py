"""A bucket's server access logs: into which other bucket of its owner lines about it go."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from ..call import Call
from ..errors import AccessControlListNotSupported
from ..errors import CrossLocationLoggingProhibitted
from ..errors import InvalidArgument
from ..errors import InvalidTargetBucketForLogging
from ..errors import MalformedXML
from ..errors import NoSuchBucket
from ..model import Bucket
from ..model import Grant
from ..model import ObjectOwnership
from ..model import Permission
from ..store import Store
from ..store.ownership import object_ownership
from ..store.server_logs import LogTarget
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .acl_headers import MAX_GRANTS
from .acl_headers import grantee_of
from .acls import Grantee

SETTING: Final = "logging"
LONGEST_PREFIX: Final = 768
"""Bytes: with folders and a date the key has at most 1,024."""


class LogPermission(enum.StrEnum):
    """What a grant on log objects allows."""

    FULL_CONTROL = "FULL_CONTROL"
    READ = "READ"
    WRITE = "WRITE"


@dataclass
class TargetGrant:
    """Who may do what with the log objects, besides their owner."""

    grantee: Grantee
    permission: LogPermission


class PartitionDateSource(enum.StrEnum):
    """Which date makes the folders of a partitioned key."""

    EVENT_TIME = "EventTime"
    DELIVERY_TIME = "DeliveryTime"


@dataclass
class SimplePrefix:
    """Keys of prefix and date: an element without content."""


@dataclass
class PartitionedPrefix:
    """Keys with folders for account, region, bucket and date."""

    partition_date_source: PartitionDateSource | None = None


@dataclass
class TargetObjectKeyFormat:
    """How the log objects' keys are made: one of the two."""

    simple_prefix: SimplePrefix | None = None
    partitioned_prefix: PartitionedPrefix | None = None


@dataclass
class LoggingEnabled:
    """Where the lines go."""

    target_bucket: str
    target_prefix: str
    target_grants: list[TargetGrant] | None = field_xml("TargetGrants", item="Grant", default=None)
    target_object_key_format: TargetObjectKeyFormat | None = None


@document("BucketLoggingStatus")
@dataclass
class BucketLoggingStatus:
    """Where a bucket's access logs go; empty for nowhere."""

    logging_enabled: LoggingEnabled | None = None


@operation("GetBucketLogging", "GET", "bucket", "logging", action="s3:GetBucketLogging")
def get_bucket_logging(call: Call) -> Response:
    """Where the bucket's access logs go; an empty document where logging is off (FB-12)."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        return xml_response(BucketLoggingStatus())
    return xml_response(from_xml(BucketLoggingStatus, stored))


@operation(
    "PutBucketLogging", "PUT", "bucket", "logging", action="s3:PutBucketLogging", body="document"
)
def put_bucket_logging(call: Call) -> Response:
    """Switch logging on, or off with an empty document.

    That the two buckets have one owner is the leave to write; no grant to the log delivery group
    is asked for. A narrow key or a user must be able to store there itself.
    """
    wanted = call.document(BucketLoggingStatus)
    buckets = call.store.buckets
    enabled = wanted.logging_enabled
    if enabled is None:
        buckets.delete_setting(call.bucket, SETTING)
        return call.empty()
    check_form(enabled)
    check_grants(call, enabled.target_grants or ())
    target = target_bucket(call, enabled.target_bucket)
    call.require_reach("s3:PutObject", target, enabled.target_prefix.encode())
    if enabled.target_grants and (
        object_ownership(call.store, target) is ObjectOwnership.BUCKET_OWNER_ENFORCED
    ):
        raise AccessControlListNotSupported
    buckets.put_setting(call.bucket, SETTING, to_xml(wanted))
    return call.empty()


def check_form(enabled: LoggingEnabled) -> None:
    """:raises MalformedXML: not one key format. :raises InvalidArgument: too long a prefix."""
    form = enabled.target_object_key_format
    if form is not None and (form.simple_prefix is None) == (form.partitioned_prefix is None):
        raise MalformedXML
    if len(enabled.target_prefix.encode()) > LONGEST_PREFIX:
        raise InvalidArgument(
            f"The target prefix must not have more than {LONGEST_PREFIX} bytes",
            argument_name="TargetPrefix",
            argument_value=enabled.target_prefix,
        )


def target_bucket(call: Call, name: str) -> Bucket:
    """The bucket for the log objects: of the same owner, and in the same region.

    :raises InvalidTargetBucketForLogging: CrossLocationLoggingProhibitted.
    """
    source = call.bucket
    try:
        target = call.store.buckets.get(name, account=source.account, fresh=True)
    except NoSuchBucket:
        raise InvalidTargetBucketForLogging(
            "The target bucket for logging does not exist", target_bucket=name
        ) from None
    if target.account != source.account:
        raise InvalidTargetBucketForLogging(
            "The owner for the bucket to be logged and the target bucket must be the same.",
            target_bucket=name,
        )
    region = call.site.region
    if (target.region or region) != (source.region or region):
        raise CrossLocationLoggingProhibitted(
            target_bucket_location=target.region or region,
            source_bucket_location=source.region or region,
        )
    return target


def check_grants(call: Call, grants: list[TargetGrant] | tuple[()]) -> None:
    """Refuse grants to whom nobody knows.

    :raises MalformedXML: InvalidArgument:
    """
    if len(grants) > MAX_GRANTS:
        raise MalformedXML
    for grant in grants:
        grantee = grant.grantee
        if grantee.uri is not None:
            grantee_of(call, "uri", grantee.uri, call.bucket.account)
        elif grantee.id is not None:
            grantee_of(call, "id", grantee.id, call.bucket.account)
        else:
            # AWS ended grants by e-mail address in October 2025.
            raise MalformedXML


def target_of(store: Store, bucket: Bucket) -> LogTarget | None:
    """Where lines about the bucket go, at most a second old."""
    return store.buckets.remembered(bucket, SETTING, read_target)


def read_target(stored: bytes) -> LogTarget | None:
    """The target in a stored document."""
    enabled = from_xml(BucketLoggingStatus, stored).logging_enabled
    if enabled is None:
        return None
    partitioned = ""
    form = enabled.target_object_key_format
    if form is not None and form.partitioned_prefix is not None:
        source = form.partitioned_prefix.partition_date_source
        partitioned = str(source or PartitionDateSource.DELIVERY_TIME)
    return LogTarget(
        enabled.target_bucket,
        enabled.target_prefix,
        tuple(
            Grant(grant.grantee.uri or grant.grantee.id or "", Permission(grant.permission))
            for grant in enabled.target_grants or ()
        ),
        partitioned,
    )
