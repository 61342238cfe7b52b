"""Canned ACLs, and what a list of grants permits. Documents are the operations' business."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidArgument
from ..model import ALL_USERS
from ..model import AUTHENTICATED_USERS
from ..model import LOG_DELIVERY
from ..model import Acl
from ..model import Caller
from ..model import Grant
from ..model import Permission

AWS_EXEC: Final = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
"""The canonical user that ``aws-exec-read`` names (Amazon EC2 reading its images)."""

# What each canned ACL grants besides the owner's FULL_CONTROL, in the order in which S3 lists it.
_CANNED: Final[dict[str, tuple[Grant, ...]]] = {
    "private": (),
    "public-read": (Grant(ALL_USERS, Permission.READ),),
    "public-read-write": (
        Grant(ALL_USERS, Permission.READ),
        Grant(ALL_USERS, Permission.WRITE),
    ),
    "authenticated-read": (Grant(AUTHENTICATED_USERS, Permission.READ),),
    "log-delivery-write": (
        Grant(LOG_DELIVERY, Permission.WRITE),
        Grant(LOG_DELIVERY, Permission.READ_ACP),
    ),
    "aws-exec-read": (Grant(AWS_EXEC, Permission.READ),),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
}

_FOR_BUCKET_OWNER: Final = {
    "bucket-owner-read": Permission.READ,
    "bucket-owner-full-control": Permission.FULL_CONTROL,
}

CANNED_ACLS: Final = frozenset(_CANNED)
"""The names that ``x-amz-acl`` may have."""


def canned(name: str, owner: str, bucket_owner: str) -> Acl:
    """The ACL that ``x-amz-acl: name`` stands for; the owner's own grant comes first.

    :param owner: canonical user id of the owner of the bucket or object.
    :param bucket_owner: the same for the bucket; on a bucket, or on one's own object, the two
        are equal and the ``bucket-owner-*`` names add nothing, as on S3.
    :raises InvalidArgument: there is no such canned ACL.
    """
    grants = _CANNED.get(name)
    if grants is None:
        raise InvalidArgument(argument_name="x-amz-acl", argument_value=name)
    own = Grant(owner, Permission.FULL_CONTROL)
    permission = _FOR_BUCKET_OWNER.get(name)
    if permission is not None and owner != bucket_owner:
        return Acl(owner, (own, Grant(bucket_owner, permission)))
    return Acl(owner, (own, *grants))


def permits(
    acl: Acl | None, caller: Caller, permission: Permission, *, public: bool = True
) -> bool:
    """Whether a grant gives the caller this permission; parameters as for :func:`find_grant`."""
    return find_grant(acl, caller, permission, public=public) is not None


def find_grant(
    acl: Acl | None, caller: Caller, permission: Permission, *, public: bool = True
) -> Grant | None:
    """The grant that gives the caller this permission. None (private) permits nothing.

    The owner has no privilege here beyond the grants; :mod:`.access` adds the owner's rights.

    :param public: whether grants to everybody count.
    """
    if acl is None:
        return None
    account = caller.account
    for grant in acl.grants:
        if grant.permission is not permission and grant.permission is not Permission.FULL_CONTROL:
            continue
        grantee = grant.grantee
        if account is not None and grantee == account.id:
            return grant
        if not public:
            continue
        if grantee == ALL_USERS or (account is not None and grantee == AUTHENTICATED_USERS):
            return grant
    return None
