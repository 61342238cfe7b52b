"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from ..auth.public_access import is_public
from ..auth.scope import HEADS
from ..call import Call
from ..context import RequestContext
from ..context import provides
from ..errors import BucketAlreadyExists
from ..errors import BucketAlreadyOwnedByYou
from ..errors import IllegalLocationConstraintException
from ..errors import InvalidArgument
from ..errors import InvalidBucketAclWithBlockPublicAccessError
from ..errors import InvalidBucketName
from ..errors import InvalidLocationConstraint
from ..errors import InvalidRequest
from ..model import Acl
from ..model import ObjectOwnership
from ..store.ownership import SETTING as OWNERSHIP
from ..wire.headers import check_tags
from ..wire.names import check_bucket_name
from ..wire.names import zone_of
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import DECLARATION
from ..wire.xml import NAMESPACE
from ..wire.xml import document
from ..wire.xml import escape
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .acl_headers import GRANT_HEADERS
from .acl_headers import asked_acl
from .acl_headers import check_supported
from .ownership import check_acl_fits
from .tagging import MAX_BUCKET_TAGS
from .tagging import SETTING as TAGGING
from .tagging import Tag
from .tagging import Tagging

DEFAULT_REGION = "us-east-1"
LOCK = "x-amz-bucket-object-lock-enabled"


class LocationType(enum.StrEnum):
    """What kind of zone a directory bucket lives in."""

    AVAILABILITY_ZONE = "AvailabilityZone"
    LOCAL_ZONE = "LocalZone"


class DataRedundancy(enum.StrEnum):
    """In how many zones a directory bucket lives."""

    SINGLE_AVAILABILITY_ZONE = "SingleAvailabilityZone"
    SINGLE_LOCAL_ZONE = "SingleLocalZone"


class BucketType(enum.StrEnum):
    """What kind of bucket is wanted; without one a general purpose bucket is."""

    DIRECTORY = "Directory"


@dataclass
class Location:
    """The zone of a directory bucket."""

    type: LocationType | None = None
    name: str | None = None


@dataclass
class BucketInfo:
    """What a directory bucket is."""

    data_redundancy: DataRedundancy | None = None
    type: BucketType | None = None


@document("CreateBucketConfiguration", also=("CreateBucketRequest",))
@dataclass
class CreateBucketConfiguration:
    """Where a bucket is to live, and its first tags."""

    location_constraint: str | None = None
    tags: list[Tag] = field_xml("Tags", item="Tag", default_factory=list)
    location: Location | None = None
    bucket: BucketInfo | None = None

    def check(self, name: str) -> None:
        """Refuse a kind of bucket that does not go with its name.

        :raises InvalidBucketName: a directory bucket's name for another bucket, or the reverse.
        :raises InvalidRequest: InvalidLocationConstraint: a zone that is not the name's, none, or
            a region besides it.
        """
        zone = zone_of(name)
        wanted = self.bucket is not None and self.bucket.type is not None
        if wanted is not (zone is not None):
            raise InvalidBucketName(bucket_name=name)
        if zone is None:
            if self.location is not None:
                raise InvalidRequest("Only a directory bucket has a Location.")
            return
        if self.location is None or self.location.name != zone or self.location_constraint:
            raise InvalidRequest("The Location of a directory bucket must be the zone in its name.")


def is_region(name: str) -> bool:
    """Whether a region may have this name; none at all stands for the endpoint's own."""
    return not name or (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 64)


def asked_ownership(call: Call) -> ObjectOwnership | None:
    """The object ownership that a new bucket is to have, None where the request does not say.

    :raises InvalidArgument: there is no such.
    """
    ownership = call.header("x-amz-object-ownership")
    if ownership is None:
        return None
    try:
        return ObjectOwnership(ownership)
    except ValueError:
        raise InvalidArgument(
            "Invalid x-amz-object-ownership header: " + ownership,
            argument_name="x-amz-object-ownership",
            argument_value=ownership,
        ) from None


def configuration_of(call: Call) -> CreateBucketConfiguration:
    """The document that CreateBucket may bring."""
    data = call.document_bytes() if call.has_body() else b""
    return (
        from_xml(CreateBucketConfiguration, data) if data.strip() else CreateBucketConfiguration()
    )


def create_actions(call: Call) -> Iterator[tuple[str, str]]:
    """CreateBucket, and one more for each thing that another operation would have done after it.

    Source: API Reference, "CreateBucket", Permissions.
    """
    yield "s3:CreateBucket", "bucket"
    acl = call.header("x-amz-acl")
    if (acl is not None and acl != "private") or any(
        call.header(name) is not None for name, _ in GRANT_HEADERS
    ):
        yield "s3:PutBucketAcl", "bucket"
    if (call.header(LOCK) or "").lower() == "true":
        yield "s3:PutBucketObjectLockConfiguration", "bucket"
        yield "s3:PutBucketVersioning", "bucket"
    if call.header("x-amz-object-ownership") is not None:
        yield "s3:PutBucketOwnershipControls", "bucket"
    if call.has_body():
        # What can be refused without it is refused before the document is read.
        asked_headers(call)
        if configuration_of(call).tags:
            yield "s3:TagResource", "bucket"


def asked_headers(call: Call) -> tuple[Acl | None, ObjectOwnership | None]:
    """The ACL and the object ownership that a new bucket is to have by its request's headers.

    :raises S3Error: its name or one of them cannot be, or there is no such thing here.
    """
    account = call.caller.account
    assert call.bucket_name is not None
    assert account is not None, "Access lets no anonymous caller create buckets"
    check_bucket_name(call.bucket_name)
    acl = asked_acl(call, account.id, account.id)
    if acl is not None:
        check_supported(call, acl, call.header("x-amz-acl"))
    ownership = asked_ownership(call)
    check_acl_fits(acl, account.id, ownership or call.site.profile.new_bucket_ownership)
    if call.site.profile.new_bucket_blocked and is_public(acl):
        raise InvalidBucketAclWithBlockPublicAccessError()
    return acl, ownership


@operation("CreateBucket", "PUT", "bucket", action=create_actions, body="document")
def create_bucket(call: Call) -> Response:
    """Make a bucket for the caller's account; in us-east-1 to repeat it is no error."""
    name = call.bucket_name
    account = call.caller.account
    assert name is not None
    assert account is not None, "Access lets no anonymous caller create buckets"
    acl, ownership = asked_headers(call)
    settings = {}
    if ownership is not None:
        settings[OWNERSHIP] = ownership.value.encode()
    configuration = configuration_of(call)
    configuration.check(name)
    if configuration.tags:
        # Terraform sends them so since 6.23: a tag set that never was is a drift.
        tagging = Tagging(configuration.tags)
        check_tags(tagging.pairs(), MAX_BUCKET_TAGS)
        settings[TAGGING] = to_xml(tagging)
    region = configuration.location_constraint or ""
    object_lock = call.header(LOCK)
    if object_lock is not None and object_lock.lower() not in ("true", "false"):
        raise InvalidArgument(argument_name=LOCK, argument_value=object_lock)
    if region == DEFAULT_REGION or not is_region(region):
        raise InvalidLocationConstraint(location_constraint=region)
    pinned = call.site.pinned_region
    if region and pinned is not None and region != pinned:
        raise IllegalLocationConstraintException(
            f"The {region} location constraint is incompatible for the region specific endpoint "
            "this request was sent to."
        )
    try:
        call.store.buckets.create(
            name,
            account.id,
            region=region,
            acl=acl,
            object_lock=object_lock is not None and object_lock.lower() == "true",
            settings=settings,
            origin=call.origin,
        )
    except BucketAlreadyOwnedByYou:
        if call.site.profile.own_bucket_error == "BucketAlreadyExists":
            raise BucketAlreadyExists(bucket_name=name) from None
        if (region or call.site.region) != DEFAULT_REGION:
            raise
    return call.empty(headers=[("Location", f"/{name}")])


@provides("s3:locationconstraint")
def location_asked(context: RequestContext, key: str) -> str | None:
    """Where a bucket is to live that is not there yet."""
    call = context.call
    if call.operation.name != "CreateBucket":
        return None
    return configuration_of(call).location_constraint


@provides("aws:requesttag/", "aws:tagkeys")
def bucket_tags_asked(context: RequestContext, key: str) -> str | tuple[str, ...] | None:
    """A tag that the request would give its bucket, or the keys of all."""
    call = context.call
    pairs: tuple[tuple[str, str], ...] = ()
    if call.operation.name == "PutBucketTagging":
        pairs = call.document(Tagging).pairs()
    elif call.operation.name == "CreateBucket":
        pairs = Tagging(configuration_of(call).tags).pairs()
    if key == "aws:tagkeys":
        return tuple(name for name, _ in pairs) or None
    return dict(pairs).get(key)


@provides(HEADS)
def _heads(context: RequestContext, key: str) -> str | None:
    return "true" if context.call.operation.name == "HeadBucket" else None


@operation("HeadBucket", "HEAD", "bucket", action="s3:ListBucket")
def head_bucket(call: Call) -> Response:
    """Whether the bucket is there and the caller may list it."""
    region = call.bucket.region or call.site.region
    zone = zone_of(call.bucket.name)
    place = []
    if zone is not None:
        place = [
            ("x-amz-bucket-location-type", "AvailabilityZone"),
            ("x-amz-bucket-location-name", zone),
        ]
    return call.empty(
        headers=[
            *place,
            ("x-amz-bucket-region", region),
            ("x-amz-access-point-alias", "false"),
            ("Content-Type", "application/xml"),
        ]
    )


@operation("DeleteBucket", "DELETE", "bucket", action="s3:DeleteBucket")
def delete_bucket(call: Call) -> Response:
    """Remove an empty bucket (CS-08, FB-09)."""
    call.store.buckets.delete(call.bucket, origin=call.origin)
    return call.empty(204)


@operation("GetBucketLocation", "GET", "bucket", "location", action="s3:GetBucketLocation")
def get_bucket_location(call: Call) -> Response:
    """The bucket's region; us-east-1 is an empty element, as AWS has it."""
    region = call.bucket.region or call.site.region
    text = "" if region == DEFAULT_REGION else region
    # The region is the root element's own text, which no other document has.
    return xml_response(
        (
            f'{DECLARATION}<LocationConstraint xmlns="{NAMESPACE}">{escape(text)}'
            "</LocationConstraint>"
        ).encode()
    )
