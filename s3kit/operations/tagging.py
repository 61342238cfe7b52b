"""Tags of objects and of buckets."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import NoSuchTagSet
from ..model import ObjectVersion
from ..wire.headers import check_tags
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml
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
    tagging = call.document(Tagging)
    check_tags(tagging.pairs(), MAX_BUCKET_TAGS)
    call.store.buckets.put_setting(call.bucket, SETTING, to_xml(tagging))
    return call.empty(204)


@operation("DeleteBucketTagging", "DELETE", "bucket", "tagging", action="s3:PutBucketTagging")
def delete_bucket_tagging(call: Call) -> Response:
    """Remove a bucket's tags."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)
