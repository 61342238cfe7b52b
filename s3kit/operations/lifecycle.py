"""A bucket's lifecycle rules, and what answers tell of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from ..call import Call
from ..errors import InvalidRequest
from ..errors import NoSuchLifecycleConfiguration
from ..model import Bucket
from ..model import ObjectVersion
from ..model import Setting
from ..model import Upload
from ..wire.headers import LAST_DATE
from ..wire.headers import http_date
from ..wire.lifecycle import ALL_128K
from ..wire.lifecycle_document import SMALLEST
from ..wire.lifecycle_document import LifecycleConfiguration
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import from_xml
from ..wire.xml import to_xml

SETTING: Final = "lifecycle"
SMALLEST_HEADER: Final = "x-amz-transition-default-minimum-object-size"
MOST_BYTES: Final = 1024 * 1024


@operation(
    "GetBucketLifecycleConfiguration",
    "GET",
    "bucket",
    "lifecycle",
    action="s3:GetLifecycleConfiguration",
)
def get_bucket_lifecycle_configuration(call: Call) -> Response:
    """The rules as they were put, in the form in which they were (FB-05, FB-11)."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise NoSuchLifecycleConfiguration(bucket_name=call.bucket.name)
    found = from_xml(LifecycleConfiguration, stored)
    headers = [(SMALLEST_HEADER, found.smallest or ALL_128K)]
    return xml_response(replace(found, smallest=None), headers=headers)


@operation(
    "PutBucketLifecycleConfiguration",
    "PUT",
    "bucket",
    "lifecycle",
    action="s3:PutLifecycleConfiguration",
    body="document",
)
def put_bucket_lifecycle_configuration(call: Call) -> Response:
    """Replace the rules; the next run goes by them."""
    smallest = call.header(SMALLEST_HEADER) or ALL_128K
    if smallest not in SMALLEST:
        raise InvalidRequest(f"Value for {SMALLEST_HEADER} header is invalid.")
    wanted = call.document(LifecycleConfiguration, checksum_required=True, limit=MOST_BYTES)
    wanted.check()
    stored = to_xml(replace(wanted, smallest=smallest))
    call.store.buckets.put_setting(call.bucket, SETTING, stored)
    return call.empty(headers=[(SMALLEST_HEADER, smallest)])


@operation(
    "DeleteBucketLifecycle", "DELETE", "bucket", "lifecycle", action="s3:PutLifecycleConfiguration"
)
def delete_bucket_lifecycle(call: Call) -> Response:
    """Remove the rules: nothing expires any more."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)


def expiration_headers(call: Call, bucket: Bucket, version: ObjectVersion) -> list[tuple[str, str]]:
    """When lifecycle will remove a current version, and by which rule."""
    if not bucket.present & Setting.LIFECYCLE or not version.is_latest:
        return []
    found = call.store.lifecycle.expiration(bucket, version)
    if found is None:
        return []
    return [("x-amz-expiration", f'expiry-date="{_date(found[0])}", rule-id="{_id(found[1])}"')]


def abort_headers(call: Call, bucket: Bucket, upload: Upload) -> list[tuple[str, str]]:
    """When lifecycle will end an upload, and by which rule."""
    if not bucket.present & Setting.LIFECYCLE:
        return []
    found = call.store.lifecycle.abort_of(bucket, upload)
    if found is None:
        return []
    return [("x-amz-abort-date", _date(found[0])), ("x-amz-abort-rule-id", _id(found[1]))]


def _date(milliseconds: int) -> str:
    return http_date(min(milliseconds, LAST_DATE))


def _id(rule: str) -> str:
    return quote(rule, safe="")
