"""What a bucket's documents say of access: its policy and its public access block."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ..auth.access import BucketRules
from ..auth.policy import Policy
from ..auth.policy import parse_policy
from ..auth.public_access import NO_BLOCK
from ..auth.public_access import PublicAccessBlock
from ..auth.public_access import is_public
from ..call import Call
from ..errors import AccessDenied
from ..errors import MalformedPolicy
from ..model import Acl
from ..model import Bucket
from ..model import Setting
from ..store import Store
from ..store.new_buckets import BLOCK
from ..store.ownership import SETTING as OWNERSHIP
from ..wire.xml import document
from ..wire.xml import from_xml

logger = logging.getLogger("s3kit")

POLICY: Final = "policy"
RULE_DOCUMENTS: Final = (POLICY, BLOCK, OWNERSHIP)


@document("PublicAccessBlockConfiguration")
@dataclass
class PublicAccessBlockConfiguration:
    """The four switches; one that is absent is off."""

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False

    def block(self) -> PublicAccessBlock:
        """The same for Access."""
        return PublicAccessBlock(
            self.block_public_acls,
            self.ignore_public_acls,
            self.block_public_policy,
            self.restrict_public_buckets,
        )


_NOTHING_AT_ALL: Final = (
    b'{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": '
    b'"arn:aws:s3:::*"}}'
)


# To read one of 20 statements takes milliseconds, and any change of a bucket's documents has all
# that is remembered of them read anew.
@lru_cache(maxsize=64)
def read_policy(stored: bytes) -> Policy:
    """The policy in a stored document; one that cannot be read denies all but to mend it."""
    try:
        return parse_policy(stored)
    except MalformedPolicy:
        logger.exception("A stored bucket policy cannot be read; it denies everything.")
        return parse_policy(_NOTHING_AT_ALL)


def read_block(stored: bytes) -> PublicAccessBlock:
    """The switches in a stored document."""
    return from_xml(PublicAccessBlockConfiguration, stored).block()


def block_of(store: Store, bucket: Bucket) -> PublicAccessBlock:
    """The bucket's switches, at most a second old."""
    if bucket.present & Setting.PUBLIC_ACCESS_BLOCK:
        return store.buckets.remembered(bucket, BLOCK, read_block) or NO_BLOCK
    return NO_BLOCK


def rules_of(store: Store, bucket: Bucket) -> BucketRules:
    """What the bucket's documents say of access, at most a second old."""
    policy = None
    if bucket.present & Setting.POLICY:
        policy = store.buckets.remembered(bucket, POLICY, read_policy)
    return BucketRules(policy, block_of(store, bucket))


def refuse_public_acl(call: Call, acl: Acl | None) -> None:
    """Refuse an ACL that is public where the bucket takes none (UC-05).

    :raises AccessDenied: BlockPublicAcls is on.
    """
    if is_public(acl) and block_of(call.store, call.bucket).block_public_acls:
        raise AccessDenied(
            "User is not authorized to perform this operation because public access control lists "
            "(ACLs) are blocked by the BlockPublicAcls setting."
        )
