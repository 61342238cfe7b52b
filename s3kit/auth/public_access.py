"""The four switches against public access, and what makes an ACL public.

Source: Amazon S3 User Guide, "Blocking public access to your Amazon S3 storage".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..model import ALL_USERS
from ..model import AUTHENTICATED_USERS
from ..model import Acl

PUBLIC_GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS})


@dataclass(frozen=True, slots=True)
class PublicAccessBlock:
    """Which ways to make a bucket public are shut.

    :param block_public_acls: no ACL that is public may be set.
    :param ignore_public_acls: those that are there let nobody in.
    :param block_public_policy: no policy that is public may be set.
    :param restrict_public_buckets: one that is there lets in its own account only.
    """

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False


NO_BLOCK: Final = PublicAccessBlock()


def is_public(acl: Acl | None) -> bool:
    """Whether an ACL lets in everybody, or everybody with an account."""
    return acl is not None and any(grant.grantee in PUBLIC_GROUPS for grant in acl.grants)
