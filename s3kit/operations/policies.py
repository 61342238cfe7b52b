"""Bucket policies, and whether a bucket is public."""

from __future__ import annotations

from dataclasses import dataclass

from ..auth.policy import MOST_BYTES
from ..auth.policy import parse_policy
from ..auth.public_access import is_public
from ..call import Call
from ..errors import AccessDenied
from ..errors import MalformedPolicy
from ..errors import MaxMessageLengthExceeded
from ..errors import MethodNotAllowed
from ..errors import NoSuchBucketPolicy
from ..model import ObjectOwnership
from ..store.ownership import object_ownership
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from .bucket_rules import POLICY
from .bucket_rules import block_of
from .bucket_rules import rules_of


@document("PolicyStatus")
@dataclass
class PolicyStatus:
    """Whether a bucket is public."""

    is_public: bool


def refuse_other_accounts(call: Call) -> None:
    """Refuse another account, whatever the policy lets it do.

    :raises MethodNotAllowed: as AWS: a policy is its owner's account's alone.
    """
    if call.caller.account_id != call.bucket.account:
        raise MethodNotAllowed(method=call.method, resource_type="BUCKETPOLICY")


@operation("GetBucketPolicy", "GET", "bucket", "policy", action="s3:GetBucketPolicy")
def get_bucket_policy(call: Call) -> Response:
    """The policy as it was put, byte for byte."""
    refuse_other_accounts(call)
    stored = call.store.buckets.setting(call.bucket, POLICY)
    if stored is None:
        raise NoSuchBucketPolicy(bucket_name=call.bucket.name)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(stored)))]
    return Response(200, headers, (stored,))


@operation(
    "PutBucketPolicy", "PUT", "bucket", "policy", action="s3:PutBucketPolicy", body="document"
)
def put_bucket_policy(call: Call) -> Response:
    """Replace the policy (UC-04); it counts at once here and within a second elsewhere.

    ``x-amz-confirm-remove-self-bucket-access`` changes nothing: the bucket owner's account itself
    can always mend the policy.
    """
    refuse_other_accounts(call)
    try:
        data = call.document_bytes(limit=MOST_BYTES)
    except MaxMessageLengthExceeded:
        raise MalformedPolicy("Policy exceeds the maximum allowed document size.") from None
    account = call.site.key_ring.account
    policy = parse_policy(
        data,
        bucket=call.bucket.name,
        known=lambda name: name == call.bucket.account or account(name) is not None,
    )
    if policy.is_public and block_of(call.store, call.bucket).block_public_policy:
        raise AccessDenied(
            "User is not authorized to perform this operation because public policies are blocked "
            "by the BlockPublicPolicy setting."
        )
    call.store.buckets.put_setting(call.bucket, POLICY, data)
    return call.empty(204)


@operation("DeleteBucketPolicy", "DELETE", "bucket", "policy", action="s3:DeleteBucketPolicy")
def delete_bucket_policy(call: Call) -> Response:
    """Remove the policy; a missing one is no error."""
    refuse_other_accounts(call)
    call.store.buckets.delete_setting(call.bucket, POLICY)
    return call.empty(204)


@operation(
    "GetBucketPolicyStatus", "GET", "bucket", "policyStatus", action="s3:GetBucketPolicyStatus"
)
def get_bucket_policy_status(call: Call) -> Response:
    """Whether its policy, its ACL or the profile makes the bucket public (IU-07)."""
    rules = rules_of(call.store, call.bucket)
    public = rules.policy is not None and rules.policy.is_public
    ownership = object_ownership(call.store, call.bucket)
    if (
        ownership is not ObjectOwnership.BUCKET_OWNER_ENFORCED
        and not rules.block.ignore_public_acls
    ):
        public = public or is_public(call.bucket.acl)
    if call.site.profile.public_objects and not rules.block.restrict_public_buckets:
        public = True
    return xml_response(PolicyStatus(public))
