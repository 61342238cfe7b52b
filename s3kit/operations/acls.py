"""ACLs of buckets and objects: canned ones and documents."""

from __future__ import annotations

from dataclasses import dataclass

from ..auth.acl import canned
from ..call import Call
from ..errors import AccessControlListNotSupported
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedACLError
from ..errors import MalformedXML
from ..errors import MissingSecurityHeader
from ..errors import UnexpectedContent
from ..errors import UnresolvableGrantByEmailAddress
from ..model import Acl
from ..model import Bucket
from ..model import Grant
from ..model import ObjectOwnership
from ..model import Permission
from ..store.ownership import object_ownership
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from .acl_headers import BOTH
from .acl_headers import MAX_GRANTS
from .acl_headers import check_supported
from .acl_headers import granted_acl
from .acl_headers import grantee_of
from .bucket_rules import refuse_public_acl
from .objects import version_headers
from .service import Owner
from .service import owner_of


@dataclass
class Grantee:
    """Who a grant is for: an account by id, or a group by URI."""

    type: str | None = field_xml("xsi:type", attribute=True, default=None)
    id: str | None = field_xml("ID", default=None)
    display_name: str | None = None
    uri: str | None = field_xml("URI", default=None)
    email_address: str | None = None


@dataclass
class GrantEntry:
    """One line of an ACL document."""

    grantee: Grantee
    permission: Permission


@document("AccessControlPolicy")
@dataclass
class AccessControlPolicy:
    """An ACL as S3 shows and takes it."""

    owner: Owner
    access_control_list: list[GrantEntry] = field_xml(
        "AccessControlList", item="Grant", default_factory=list
    )


def private(owner: str) -> Acl:
    """The ACL of what has none: full control for its owner."""
    return Acl(owner, (Grant(owner, Permission.FULL_CONTROL),))


def counting(call: Call, acl: Acl | None, owner: str) -> Acl:
    """The ACL that counts: where ACLs are switched off, all is the bucket's owner's."""
    bucket = call.bucket
    if object_ownership(call.store, bucket) is ObjectOwnership.BUCKET_OWNER_ENFORCED:
        return private(bucket.account)
    return acl or private(owner)


def policy_document(call: Call, acl: Acl) -> AccessControlPolicy:
    """The document that shows an ACL."""
    entries = []
    for grant in acl.grants:
        if grant.is_group:
            grantee = Grantee("Group", uri=grant.grantee)
        else:
            account = call.account(grant.grantee)
            grantee = Grantee("CanonicalUser", account.id, account.display_name or account.id)
        entries.append(GrantEntry(grantee, grant.permission))
    # Groups first: the order that ceph/s3-tests wants; the clients that were tried take any.
    entries.sort(key=lambda entry: entry.grantee.uri is None)
    return AccessControlPolicy(owner_of(call.account(acl.owner)), entries)


def read_policy(call: Call, owner: str) -> Acl:
    """The ACL of a request's document.

    :raises MalformedACLError: or InvalidArgument for a grantee that nobody knows.
    """
    try:
        policy = call.document(AccessControlPolicy)
    except MalformedXML:
        raise MalformedACLError() from None
    if policy.owner.id is not None and policy.owner.id != owner:
        raise InvalidArgument(
            "Invalid id", argument_name="CanonicalUser/ID", argument_value=policy.owner.id
        )
    if len(policy.access_control_list) > MAX_GRANTS:
        raise MalformedACLError()
    grants = []
    for entry in policy.access_control_list:
        grantee = entry.grantee
        if grantee.uri is not None:
            who = grantee_of(call, "uri", grantee.uri, owner)
        elif grantee.id is not None:
            who = grantee_of(call, "id", grantee.id, owner)
        elif grantee.email_address is not None:
            who = grantee_of(call, "emailAddress", grantee.email_address, owner)
        else:
            raise MalformedACLError()
        grants.append(Grant(who, entry.permission))
    return Acl(owner, tuple(grants))


def repeats_owner_alone(call: Call, bucket: Bucket) -> bool:
    """Whether ACLs are off, and the request's document is what their getters show.

    Amazon S3 refuses that too. s3cmd's ``cp`` and ``mv`` read an object's ACL and put it onto the
    copy; here they need no option, for nothing is to be changed.
    """
    if (
        object_ownership(call.store, bucket) is not ObjectOwnership.BUCKET_OWNER_ENFORCED
        or call.header("x-amz-acl") is not None
        or granted_acl(call, bucket.account) is not None
        or not call.has_body()
    ):
        return False
    try:
        return read_policy(call, bucket.account) == private(bucket.account)
    except (InvalidArgument, MalformedACLError, UnresolvableGrantByEmailAddress):
        return False


def new_acl(call: Call, owner: str, bucket: Bucket, *, of_object: bool = False) -> Acl:
    """The ACL that a PutBucketAcl or PutObjectAcl asks for, by header or document.

    :param of_object: it is an object's, where those have no effect.
    :raises AccessControlListNotSupported: the bucket's owner has switched ACLs off.
    :raises InvalidArgument: the profile's vendor has no such ACL.
    :raises AccessDenied: it is public, and BlockPublicAcls is on.
    """
    if object_ownership(call.store, bucket) is ObjectOwnership.BUCKET_OWNER_ENFORCED:
        raise AccessControlListNotSupported()
    name = call.header("x-amz-acl")
    granted = granted_acl(call, owner)
    if granted is not None and name is not None:
        raise InvalidRequest(BOTH)
    if granted is not None or name is not None:
        if call.has_body() and call.document_bytes().strip():
            raise UnexpectedContent()
        acl = granted or canned(name or "", owner, bucket.account)
    elif call.has_body():
        acl = read_policy(call, owner)
    else:
        raise MissingSecurityHeader(
            "Your request was missing a required header", missing_header_name="x-amz-acl"
        )
    check_supported(call, acl, name, bucket if of_object else None)
    if not of_object:
        refuse_public_acl(call, acl)
    return acl


@operation("GetBucketAcl", "GET", "bucket", "acl", action="s3:GetBucketAcl")
def get_bucket_acl(call: Call) -> Response:
    """The bucket's ACL."""
    bucket = call.bucket
    return xml_response(policy_document(call, counting(call, bucket.acl, bucket.account)))


@operation("PutBucketAcl", "PUT", "bucket", "acl", action="s3:PutBucketAcl", body="document")
def put_bucket_acl(call: Call) -> Response:
    """Replace the bucket's ACL."""
    bucket = call.bucket
    if repeats_owner_alone(call, bucket):
        return call.empty()
    call.store.buckets.set_acl(bucket, new_acl(call, bucket.account, bucket))
    return call.empty()


@operation("GetObjectAcl", "GET", "object", "acl", action="s3:GetObjectAcl")
def get_object_acl(call: Call) -> Response:
    """The object's ACL, which is its bucket's under some profiles (FB-15, BB-11)."""
    version = call.version(call.bucket, call.object_key, call.version_id)
    if call.site.profile.bucket_acl_is_objects:
        acl = counting(call, call.bucket.acl, call.bucket.account)
    else:
        acl = counting(call, version.acl, version.owner)
    return xml_response(policy_document(call, acl), headers=version_headers(call, version))


@operation("PutObjectAcl", "PUT", "object", "acl", action="s3:PutObjectAcl", body="document")
def put_object_acl(call: Call) -> Response:
    """Replace the object's ACL; it is taken without effect where there is none (FB-15)."""
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    version = call.version(bucket, key, version_id)
    if repeats_owner_alone(call, bucket):
        return call.empty(headers=version_headers(call, version))
    if call.site.profile.bucket_acl_is_objects:
        new_acl(call, bucket.account, bucket, of_object=True)
        return call.empty(headers=version_headers(call, version))
    acl = new_acl(call, version.owner, bucket)
    # The ACL names the owner of this very version.
    call.store.objects.set_acl(bucket, key, version_id, acl, seq=version.seq, origin=call.origin)
    return call.empty(headers=version_headers(call, version))
