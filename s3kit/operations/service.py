"""ListBuckets."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from ..call import Call
from ..errors import InvalidArgument
from ..model import Account
from ..model import Bucket
from ..wire.headers import iso8601
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml

MAX_BUCKETS = 10_000


@dataclass
class Owner:
    """An account as listings and ACLs show it."""

    id: str | None = field_xml("ID", default=None)
    display_name: str | None = None


@dataclass
class BucketEntry:
    """One bucket of a list."""

    name: str
    creation_date: str
    bucket_region: str | None = None


@document("ListAllMyBucketsResult")
@dataclass
class ListAllMyBucketsResult:
    """The answer to ListBuckets."""

    owner: Owner
    buckets: list[BucketEntry] = field_xml("Buckets", item="Bucket")
    continuation_token: str | None = None
    prefix: str | None = None


def owner_of(account: Account) -> Owner:
    """The Owner element of an account."""
    return Owner(account.id, account.display_name or account.id)


def encode_token(marker: bytes) -> str:
    """A continuation token for a listing that goes on after ``marker``."""
    return base64.urlsafe_b64encode(b"1" + marker).decode()


def decode_token(token: str) -> bytes:
    """The marker in a continuation token.

    :raises InvalidArgument: it is none of ours.
    """
    try:
        data = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if data[:1] != b"1":
        raise InvalidArgument(
            "The continuation token provided is incorrect",
            argument_name="continuation-token",
            argument_value=token,
        )
    return data[1:]


@operation("ListBuckets", "GET", "service", action="s3:ListAllMyBuckets")
def list_buckets(call: Call) -> Response:
    """The caller's own buckets in name order, in pages where ``max-buckets`` asks for them."""
    account = call.caller.account
    assert account is not None, "Access lets no anonymous caller list buckets"
    query = call.query
    limit = query.integer("max-buckets", MAX_BUCKETS, 1, MAX_BUCKETS)
    prefix = query.get("prefix") or ""
    token = query.get("continuation-token")
    after = decode_token(token).decode("utf-8", "replace") if token else ""
    region = query.get("bucket-region")
    home = call.site.region
    page = call.store.buckets.page(account.id, prefix=prefix, after=after, limit=limit + 1)
    if region:
        page = in_region(call, account, page, region, prefix, limit + 1)
    more = len(page) > limit
    page = page[:limit]
    return xml_response(
        ListAllMyBucketsResult(
            owner=owner_of(account),
            buckets=[
                BucketEntry(bucket.name, iso8601(bucket.created), bucket.region or home)
                for bucket in page
            ],
            continuation_token=encode_token(page[-1].name.encode()) if more else None,
            prefix=prefix or None,
        )
    )


def in_region(
    call: Call, account: Account, page: list[Bucket], region: str, prefix: str, limit: int
) -> list[Bucket]:
    """The first ``limit`` buckets of one region, of those that ``page`` begins with."""
    home = call.site.region
    found: list[Bucket] = []
    while page:
        found += [bucket for bucket in page if (bucket.region or home) == region]
        if len(found) >= limit or len(page) < limit:
            break
        page = call.store.buckets.page(account.id, prefix=prefix, after=page[-1].name, limit=limit)
    return found[:limit]
