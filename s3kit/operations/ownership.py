"""Object ownership: whether ACLs count in a bucket, and who owns what others store there.

Source: Amazon S3 User Guide, "Controlling ownership of objects and disabling ACLs"; UC-05, UC-06.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import InvalidBucketAclWithObjectOwnership
from ..errors import MalformedXML
from ..errors import OwnershipControlsNotFoundError
from ..model import Acl
from ..model import ObjectOwnership
from ..store.ownership import SETTING
from ..store.ownership import read_ownership
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml


@dataclass
class OwnershipControlsRule:
    """The one rule that the document has."""

    object_ownership: ObjectOwnership


@document("OwnershipControls")
@dataclass
class OwnershipControls:
    """A bucket's object ownership."""

    rules: list[OwnershipControlsRule] = field_xml("Rule", default_factory=list)


def check_acl_fits(acl: Acl | None, owner: str, ownership: ObjectOwnership | None) -> None:
    """Refuse to switch ACLs off where one still grants something to others.

    :raises InvalidBucketAclWithObjectOwnership:
    """
    if ownership is not ObjectOwnership.BUCKET_OWNER_ENFORCED or acl is None:
        return
    if any(grant.grantee != owner for grant in acl.grants):
        raise InvalidBucketAclWithObjectOwnership()


@operation(
    "GetBucketOwnershipControls",
    "GET",
    "bucket",
    "ownershipControls",
    action="s3:GetBucketOwnershipControls",
)
def get_bucket_ownership_controls(call: Call) -> Response:
    """The bucket's object ownership."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise OwnershipControlsNotFoundError(bucket_name=call.bucket.name)
    return xml_response(OwnershipControls([OwnershipControlsRule(read_ownership(stored))]))


@operation(
    "PutBucketOwnershipControls",
    "PUT",
    "bucket",
    "ownershipControls",
    action="s3:PutBucketOwnershipControls",
    body="document",
)
def put_bucket_ownership_controls(call: Call) -> Response:
    """Set who owns what is stored from now on; with BucketOwnerEnforced ACLs no longer count."""
    wanted = call.document(OwnershipControls, checksum_required=True)
    if len(wanted.rules) != 1:
        raise MalformedXML
    bucket = call.store.buckets.confirm(call.bucket)
    ownership = wanted.rules[0].object_ownership
    check_acl_fits(bucket.acl, bucket.account, ownership)
    call.store.buckets.put_setting(bucket, SETTING, ownership.value.encode())
    return call.empty()


@operation(
    "DeleteBucketOwnershipControls",
    "DELETE",
    "bucket",
    "ownershipControls",
    action="s3:PutBucketOwnershipControls",
)
def delete_bucket_ownership_controls(call: Call) -> Response:
    """Remove the setting: ACLs count, and writers own what they store."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)
