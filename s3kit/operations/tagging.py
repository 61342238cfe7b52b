"""Tags of objects and of buckets."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..context import RequestContext
from ..context import provides
from ..errors import NoSuchTagSet
from ..model import Bucket
from ..model import ObjectVersion
from ..model import Setting
from ..wire.headers import check_tags
from ..wire.headers import parse_tagging_header
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .bucket_properties import ABAC
from .bucket_properties import AbacStatus
from .bucket_properties import AttributeControl
from .objects import MAX_OBJECT_TAGS
from .objects import version_headers

MAX_BUCKET_TAGS = 50
SETTING = "tagging"


@dataclass
class Tag:
    """One tag."""

    key: str
    value: str


@document("Tagging")
@dataclass
class Tagging:
    """A set of tags."""

    tag_set: list[Tag] = field_xml("TagSet", item="Tag", default_factory=list)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The tags as (key, value) pairs."""
        return tuple((tag.key, tag.value) for tag in self.tag_set)


@provides("s3:requestobjecttag/", "s3:requestobjecttagkeys")
def tags_asked(context: RequestContext, key: str) -> str | tuple[str, ...] | None:
    """A tag that the request would set, or the keys of all."""
    call = context.call
    if call.operation.name == "PutObjectTagging":
        pairs = call.document(Tagging).pairs()
    elif call.fields is not None:
        text = call.fields.get("tagging")
        pairs = from_xml(Tagging, text.encode()).pairs() if text else ()
    else:
        value = call.header("x-amz-tagging")
        copied = call.operation.name == "CopyObject"
        if copied and call.header("x-amz-tagging-directive") != "REPLACE":
            # The copy gets its source's tags, whatever the header says.
            value = None
        pairs = parse_tagging_header(value) if value else ()
    if key == "s3:requestobjecttagkeys":
        return tuple(name for name, _ in pairs) or None
    return dict(pairs).get(key)


@provides("aws:resourcetag/", "s3:buckettag/")
def bucket_tag(context: RequestContext, tag: str) -> str | None:
    """A tag of the bucket, where its tags count in policies."""
    # Of a copy's source that is another than the request's own.
    bucket, call = context.bucket, context.call
    if bucket is None or not bucket.present & Setting.TAGGING or not tags_count(call, bucket):
        return None
    return (call.store.buckets.remembered(bucket, SETTING, read_tags) or {}).get(tag)


def tags_count(call: Call, bucket: Bucket) -> bool:
    """Whether the tags of a bucket count in policies."""
    if not bucket.present & Setting.ABAC:
        return False
    return call.store.buckets.remembered(bucket, ABAC, read_status) is AttributeControl.ENABLED


def read_status(stored: bytes) -> AttributeControl:
    """Whether tags count, from a stored document."""
    return from_xml(AbacStatus, stored).status


def read_tags(stored: bytes) -> dict[str, str]:
    """The tags in a stored document."""
    return dict(from_xml(Tagging, stored).pairs())


@operation("GetObjectTagging", "GET", "object", "tagging", action="s3:GetObjectTagging")
def get_object_tagging(call: Call) -> Response:
    """An object's tags, an empty set if it has none."""
    version = call.version(call.bucket, call.object_key, call.version_id)
    tags = [Tag(key, value) for key, value in version.tags]
    return xml_response(Tagging(tags), headers=version_headers(call, version))


@operation(
    "PutObjectTagging", "PUT", "object", "tagging", action="s3:PutObjectTagging", body="document"
)
def put_object_tagging(call: Call) -> Response:
    """Replace an object's tags."""
    tags = call.document(Tagging).pairs()
    check_tags(tags, MAX_OBJECT_TAGS)
    version = set_tags(call, tags)
    return call.empty(headers=version_headers(call, version))


@operation("DeleteObjectTagging", "DELETE", "object", "tagging", action="s3:DeleteObjectTagging")
def delete_object_tagging(call: Call) -> Response:
    """Remove an object's tags."""
    version = set_tags(call, ())
    return call.empty(204, headers=version_headers(call, version))


def set_tags(call: Call, tags: tuple[tuple[str, str], ...]) -> ObjectVersion:
    """Give the version that Access has judged these tags, and return it."""
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    version = call.version(bucket, key, version_id)
    return call.store.objects.set_tags(
        bucket,
        key,
        version_id,
        tags,
        seq=version.seq,
        origin=call.origin,
    )


@operation("GetBucketTagging", "GET", "bucket", "tagging", action="s3:GetBucketTagging")
def get_bucket_tagging(call: Call) -> Response:
    """A bucket's tags; NoSuchTagSet if it never had any."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise NoSuchTagSet(bucket_name=call.bucket.name)
    return xml_response(from_xml(Tagging, stored))


@operation(
    "PutBucketTagging", "PUT", "bucket", "tagging", action="s3:PutBucketTagging", body="document"
)
def put_bucket_tagging(call: Call) -> Response:
    """Replace a bucket's tags."""
    require_tagging(call, "s3:TagResource")
    tagging = call.document(Tagging)
    check_tags(tagging.pairs(), MAX_BUCKET_TAGS)
    call.store.buckets.put_setting(call.bucket, SETTING, to_xml(tagging))
    return call.empty(204)


def require_tagging(call: Call, action: str) -> None:
    """Where tags decide who may do what, to be allowed to change them takes more.

    S3 then has other operations for it, TagResource and UntagResource of S3 Control, with actions
    of their own; here the same ones do it and ask for those actions too.
    Source: Amazon S3 User Guide, "Enabling ABAC in general purpose buckets".

    :raises AccessDenied:
    """
    if tags_count(call, call.bucket):
        call.require(action, call.bucket)


@operation("DeleteBucketTagging", "DELETE", "bucket", "tagging", action="s3:PutBucketTagging")
def delete_bucket_tagging(call: Call) -> Response:
    """Remove a bucket's tags."""
    require_tagging(call, "s3:UntagResource")
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)
