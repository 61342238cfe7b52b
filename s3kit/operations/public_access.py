"""The four switches against public access of a bucket (UC-05)."""

from __future__ import annotations

from ..call import Call
from ..errors import NoSuchPublicAccessBlockConfiguration
from ..store.new_buckets import BLOCK
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import from_xml
from ..wire.xml import to_xml
from .bucket_rules import PublicAccessBlockConfiguration


@operation(
    "GetPublicAccessBlock",
    "GET",
    "bucket",
    "publicAccessBlock",
    action="s3:GetBucketPublicAccessBlock",
)
def get_public_access_block(call: Call) -> Response:
    """The switches as they were set."""
    stored = call.store.buckets.setting(call.bucket, BLOCK)
    if stored is None:
        raise NoSuchPublicAccessBlockConfiguration(bucket_name=call.bucket.name)
    return xml_response(from_xml(PublicAccessBlockConfiguration, stored))


@operation(
    "PutPublicAccessBlock",
    "PUT",
    "bucket",
    "publicAccessBlock",
    action="s3:PutBucketPublicAccessBlock",
    body="document",
)
def put_public_access_block(call: Call) -> Response:
    """Set the switches; they count at once here and within a second elsewhere."""
    wanted = call.document(PublicAccessBlockConfiguration)
    call.store.buckets.put_setting(call.bucket, BLOCK, to_xml(wanted))
    return call.empty()


@operation(
    "DeletePublicAccessBlock",
    "DELETE",
    "bucket",
    "publicAccessBlock",
    action="s3:PutBucketPublicAccessBlock",
)
def delete_public_access_block(call: Call) -> Response:
    """Turn all four off; a missing document is no error."""
    call.store.buckets.delete_setting(call.bucket, BLOCK)
    return call.empty(204)
