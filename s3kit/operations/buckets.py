"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import BucketAlreadyOwnedByYou
from ..errors import IllegalLocationConstraintException
from ..errors import InvalidArgument
from ..errors import InvalidLocationConstraint
from ..errors import NotImplemented as NotImplementedByS3
from ..model import ObjectOwnership
from ..store.ownership import SETTING as OWNERSHIP
from ..wire.headers import check_tags
from ..wire.names import check_bucket_name
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
from .acl_headers import asked_acl
from .ownership import check_acl_fits
from .tagging import MAX_BUCKET_TAGS
from .tagging import SETTING as TAGGING
from .tagging import Tag
from .tagging import Tagging

DEFAULT_REGION = "us-east-1"


@document("CreateBucketConfiguration", also=("CreateBucketRequest",))
@dataclass
class CreateBucketConfiguration:
    """Where a bucket is to live, and its first tags."""

    location_constraint: str | None = None
    tags: list[Tag] = field_xml("Tags", item="Tag", default_factory=list)


def is_region(name: str) -> bool:
    """Whether a region may have this name; none at all stands for the endpoint's own."""
    return not name or (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 64)


@operation("CreateBucket", "PUT", "bucket", action="s3:CreateBucket", body="document")
def create_bucket(call: Call) -> Response:
    """Make a bucket for the caller's account; in us-east-1 to repeat it is no error."""
    name = call.bucket_name
    account = call.caller.account
    assert name is not None
    assert account is not None, "Access lets no anonymous caller create buckets"
    check_bucket_name(name)
    acl = asked_acl(call, account.id, account.id)
    settings = {}
    ownership = call.header("x-amz-object-ownership")
    if ownership is not None:
        try:
            wanted = ObjectOwnership(ownership)
        except ValueError:
            raise InvalidArgument(
                "Invalid x-amz-object-ownership header: " + ownership,
                argument_name="x-amz-object-ownership",
                argument_value=ownership,
            ) from None
        check_acl_fits(acl, account.id, wanted)
        settings[OWNERSHIP] = wanted.value.encode()
    region = ""
    if call.has_body():
        data = call.document_bytes()
        if data.strip():
            configuration = from_xml(CreateBucketConfiguration, data)
            region = configuration.location_constraint or ""
            if configuration.tags:
                # Terraform sends them so since 6.23: a tag set that never was is a drift.
                tagging = Tagging(configuration.tags)
                check_tags(tagging.pairs(), MAX_BUCKET_TAGS)
                settings[TAGGING] = to_xml(tagging)
    object_lock = call.header("x-amz-bucket-object-lock-enabled")
    if object_lock is not None and object_lock.lower() not in ("true", "false"):
        raise InvalidArgument(
            argument_name="x-amz-bucket-object-lock-enabled", argument_value=object_lock
        )
    if object_lock is not None and object_lock.lower() == "true":
        # To take the header and not lock would be the worst answer.
        raise NotImplementedByS3("Object Lock is not implemented.")
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
            name, account.id, region=region, acl=acl, settings=settings, origin=call.origin
        )
    except BucketAlreadyOwnedByYou:
        if (region or call.site.region) != DEFAULT_REGION:
            raise
    return call.empty(headers=[("Location", f"/{name}")])


@operation("HeadBucket", "HEAD", "bucket", action="s3:ListBucket")
def head_bucket(call: Call) -> Response:
    """Whether the bucket is there and the caller may list it."""
    region = call.bucket.region or call.site.region
    return call.empty(
        headers=[
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
