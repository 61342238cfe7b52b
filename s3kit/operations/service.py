"""ListBuckets and ListDirectoryBuckets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass

from ..auth.canonical import EXPRESS_SERVICE
from ..call import Call
from ..errors import InvalidArgument
from ..model import Account
from ..model import Bucket
from ..wire.headers import iso8601
from ..wire.names import zone_of
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml

MAX_BUCKETS = 10_000
MAX_DIRECTORY_BUCKETS = 1_000


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


@dataclass
class DirectoryBucketEntry:
    """One directory bucket of a list."""

    name: str
    creation_date: str
    bucket_region: str | None = None
    bucket_arn: str | None = field_xml("BucketArn", default=None)


@document("ListAllMyDirectoryBucketsResult")
@dataclass
class ListAllMyDirectoryBucketsResult:
    """The answer to ListDirectoryBuckets."""

    buckets: list[DirectoryBucketEntry] = field_xml("Buckets", item="Bucket")
    continuation_token: str | None = None


def is_about_directories(call: Call) -> bool:
    """Whether a list of directory buckets is asked for; the URL is that of ListBuckets.

    On AWS another host tells them apart, and the service that the signature is for.
    """
    return (
        call.identity.service == EXPRESS_SERVICE
        or call.query.get("max-directory-buckets") is not None
    )


def list_actions(call: Call) -> Iterator[tuple[str, str]]:
    """The action of the list that is asked for."""
    if is_about_directories(call):
        yield "s3express:ListAllMyDirectoryBuckets", "bucket"
    else:
        yield "s3:ListAllMyBuckets", "bucket"


@operation("ListBuckets", "GET", "service", action=list_actions)
def list_buckets(call: Call) -> Response:
    """The caller's own buckets in name order, in pages where ``max-buckets`` asks for them.

    Directory buckets have a list of their own.
    """
    account = call.caller.account
    assert account is not None, "Access lets no anonymous caller list buckets"
    query = call.query
    if is_about_directories(call):
        return list_directory_buckets(call, account)
    limit = query.integer("max-buckets", MAX_BUCKETS, 1, MAX_BUCKETS)
    prefix = query.get("prefix") or ""
    region = query.get("bucket-region")
    home = call.site.region

    def wanted(bucket: Bucket) -> bool:
        if region and (bucket.region or home) != region:
            return False
        return zone_of(bucket.name) is None

    page, more = page_of(call, account, prefix, limit, wanted)
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


def list_directory_buckets(call: Call, account: Account) -> Response:
    """The caller's own directory buckets in name order."""
    limit = call.query.integer("max-directory-buckets", MAX_DIRECTORY_BUCKETS, 0, MAX_BUCKETS)
    limit = min(limit or MAX_DIRECTORY_BUCKETS, MAX_DIRECTORY_BUCKETS)
    home = call.site.region
    owner = account.number or account.id
    page, more = page_of(call, account, "", limit, lambda bucket: zone_of(bucket.name) is not None)
    return xml_response(
        ListAllMyDirectoryBucketsResult(
            [
                DirectoryBucketEntry(
                    bucket.name,
                    iso8601(bucket.created),
                    bucket.region or home,
                    f"arn:aws:s3express:{bucket.region or home}:{owner}:bucket/{bucket.name}",
                )
                for bucket in page
            ],
            encode_token(page[-1].name.encode()) if more else None,
        )
    )


def page_of(
    call: Call, account: Account, prefix: str, limit: int, wanted: Callable[[Bucket], bool]
) -> tuple[list[Bucket], bool]:
    """Up to ``limit`` of an account's buckets that are wanted, and whether there are more."""
    token = call.query.get("continuation-token")
    after = decode_token(token).decode("utf-8", "replace") if token else ""
    most = limit + 1
    found: list[Bucket] = []
    while len(found) < most:
        page = call.store.buckets.page(account.id, prefix=prefix, after=after, limit=most)
        found += filter(wanted, page)
        if len(page) < most:
            break
        after = page[-1].name
    return found[:limit], len(found) > limit
