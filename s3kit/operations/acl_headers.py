"""The ACL that a write asks for by ``x-amz-acl`` or ``x-amz-grant-*``, and what the bucket's
object ownership makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Final

from ..auth.acl import canned
from ..call import Call
from ..errors import AccessControlListNotSupported
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MethodNotAllowed
from ..model import ALL_USERS
from ..model import AUTHENTICATED_USERS
from ..model import LOG_DELIVERY
from ..model import Acl
from ..model import Bucket
from ..model import Grant
from ..model import ObjectOwnership
from ..model import Permission
from ..store.ownership import object_ownership
from ..wire.environ import environ_key
from .bucket_rules import refuse_public_acl

GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
MAX_GRANTS: Final = 100
OWNERS: Final = "bucket-owner-full-control"
"""The one ACL that anybody may name where ACLs are switched off, for it says nothing new."""
BOTH: Final = "Specifying both Canned ACLs and Header Grants is not allowed"

# In the order in which S3 lists what they grant.
GRANT_HEADERS: Final = (
    ("x-amz-grant-read", Permission.READ),
    ("x-amz-grant-write", Permission.WRITE),
    ("x-amz-grant-read-acp", Permission.READ_ACP),
    ("x-amz-grant-write-acp", Permission.WRITE_ACP),
    ("x-amz-grant-full-control", Permission.FULL_CONTROL),
)
_VARIABLES: Final = frozenset(
    environ_key(name) for name in ("x-amz-acl", *(name for name, _ in GRANT_HEADERS))
)


def grantee_of(call: Call, kind: str, value: str, owner: str) -> str:
    """The grantee as it is stored, of ``id``, ``uri`` or ``emailAddress``.

    :raises InvalidArgument: nobody is known by it.
    :raises MethodNotAllowed: by e-mail address, which AWS ended in October 2025.
    """
    if kind == "uri":
        if value not in GROUPS:
            raise InvalidArgument(
                "Invalid group uri", argument_name="Group/URI", argument_value=value
            )
        return value
    if kind == "id":
        if value != owner and call.site.key_ring.account(value) is None:
            raise InvalidArgument(
                "Invalid id", argument_name="CanonicalUser/ID", argument_value=value
            )
        return value
    raise MethodNotAllowed(
        "Grants by e-mail address are no longer supported. Name the account by its id.",
        resource_type="ACL",
    )


def granted_acl(
    call: Call, owner: str, header: Callable[[str], str | None] | None = None
) -> Acl | None:
    """The ACL of the ``x-amz-grant-*`` headers: what they list and nothing more; None without.

    :param header: answers a header's, or a form field's, value by its name.
    :raises InvalidArgument: a header is not a list of ``id="..."`` or ``uri="..."``.
    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html
    """
    header = call.header if header is None else header
    grants = []
    found = False
    for name, permission in GRANT_HEADERS:
        value = header(name)
        if value is None:
            continue
        found = True
        for entry in value.split(","):
            kind, equals, text = entry.strip().partition("=")
            if not equals or kind not in ("id", "uri", "emailAddress"):
                raise InvalidArgument(
                    "Argument format not recognized", argument_name=name, argument_value=value
                )
            text = text.strip()
            if len(text) >= 2 and text[0] == text[-1] == '"':
                text = text[1:-1]
            grants.append(Grant(grantee_of(call, kind, text, owner), permission))
    if len(grants) > MAX_GRANTS:
        raise InvalidRequest(f"An ACL may have at most {MAX_GRANTS} grants.")
    return Acl(owner, tuple(grants)) if found else None


def asked_acl(
    call: Call,
    owner: str,
    bucket_owner: str,
    header: Callable[[str], str | None] | None = None,
) -> Acl | None:
    """The ACL that the headers ask for, None where they name none or ``private``.

    :raises InvalidArgument: there is no such canned ACL, or no such grantee.
    :raises InvalidRequest: a canned one and grants.
    """
    name = (call.header if header is None else header)("x-amz-acl")
    granted = granted_acl(call, owner, header)
    if granted is not None:
        if name is not None:
            raise InvalidRequest(BOTH)
        return granted
    if name is None or name == "private":
        return None
    return canned(name, owner, bucket_owner)


def check_supported(call: Call, acl: Acl, name: str | None, bucket: Bucket | None = None) -> None:
    """Refuse an ACL that the profile's vendor has not.

    :param name: what ``x-amz-acl`` says, if that gave it.
    :param bucket: of the object that the ACL is for; None for a bucket's own ACL.
    :raises InvalidArgument:
    Source: BB-11; Backblaze B2, "S3 Put Object ACL".
    """
    profile = call.site.profile
    supported = profile.canned_acls
    if supported is None:
        return
    fitting: Iterable[Acl] = (canned(each, acl.owner, acl.owner) for each in supported)
    if bucket is not None and profile.object_acl_matches:
        fitting = (bucket.acl or canned("private", bucket.account, bucket.account),)
    grants = set(acl.grants)
    if (name is None or name in supported) and any(set(each.grants) == grants for each in fitting):
        return
    if name is None:
        raise InvalidArgument("Unsupported value for ACL", argument_name="AccessControlList")
    # B2's own words, by which people find what to do.
    raise InvalidArgument(
        f"Unsupported value for canned acl '{name}'",
        argument_name="x-amz-acl",
        argument_value=name,
    )


def owner_and_acl(
    call: Call, bucket: Bucket, header: Callable[[str], str | None] | None = None
) -> tuple[str, Acl | None]:
    """Who will own what the request stores, and its ACL; None for a private one.

    :param header: in place of the request's headers, a form's fields.
    :raises AccessControlListNotSupported: the bucket's owner has switched ACLs off.
    :raises AccessDenied: it is public, and BlockPublicAcls is on.
    Source: Amazon S3 User Guide, "Controlling ownership of objects and disabling ACLs".
    """
    # Most requests bring none of them.
    silent = header is None and call.environ.keys().isdisjoint(_VARIABLES)
    header = call.header if header is None else header
    # An anonymous writer owns nothing: what it stores is the bucket owner's.
    owner = call.caller.account_id or bucket.account
    ownership = object_ownership(call.store, bucket)
    if ownership is ObjectOwnership.BUCKET_OWNER_ENFORCED:
        owner = bucket.account
        if silent:
            return owner, None
        acl = granted_acl(call, owner, header)
        name = header("x-amz-acl")
        if name is not None and acl is not None:
            raise InvalidRequest(BOTH)
        if name is not None and name != OWNERS:
            # From the owner's own account "private" says the same; from another it gives that one
            # control. As Amazon has it: see thephpleague/flysystem, issue 1580.
            acl = canned(name, call.caller.account_id or "", owner)
        if acl is not None and acl.grants != (Grant(owner, Permission.FULL_CONTROL),):
            raise AccessControlListNotSupported()
        return owner, None
    if call.site.profile.bucket_acl_is_objects:
        owner = bucket.account
        if not silent:
            acl = asked_acl(call, owner, owner, header)
            name = header("x-amz-acl")
            if acl is not None or name is not None:
                check_supported(call, acl or canned("private", owner, owner), name, bucket)
        return owner, None
    if silent:
        return owner, None
    if ownership is ObjectOwnership.BUCKET_OWNER_PREFERRED and header("x-amz-acl") == OWNERS:
        owner = bucket.account
    acl = asked_acl(call, owner, bucket.account, header)
    refuse_public_acl(call, acl)
    return owner, acl


__all__ = [
    "GROUPS",
    "MAX_GRANTS",
    "asked_acl",
    "check_supported",
    "granted_acl",
    "grantee_of",
    "owner_and_acl",
]
