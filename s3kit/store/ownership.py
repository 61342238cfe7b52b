"""A bucket's object ownership, which decides whether ACLs count there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Final

from ..index import settings as setting_rows
from ..index.connections import Connection
from ..model import Bucket
from ..model import ObjectOwnership
from ..model import Setting

if TYPE_CHECKING:
    from . import Store

SETTING: Final = "ownershipControls"
"""The name of the settings document, which is the ownership's name and nothing else."""


def object_ownership(store: Store, bucket: Bucket) -> ObjectOwnership | None:
    """The bucket's object ownership, at most a second old; None where it was never set."""
    present = bucket.present
    if present & Setting.OWNER_ENFORCED:
        return ObjectOwnership.BUCKET_OWNER_ENFORCED
    if not present & Setting.OWNERSHIP:
        return None
    return store.buckets.remembered(bucket, SETTING, read_ownership)


def owner_enforced(c: Connection, bucket: Bucket, present: int) -> bool:
    """Whether ACLs are off in the bucket at this moment of a transaction.

    :param present: which documents it has (``State.present``).
    """
    if present & Setting.OWNER_ENFORCED or not present & Setting.OWNERSHIP:
        return present & Setting.OWNER_ENFORCED != 0
    stored = setting_rows.get(c, bucket.id, SETTING)
    return stored is not None and read_ownership(stored) is ObjectOwnership.BUCKET_OWNER_ENFORCED


def read_ownership(stored: bytes) -> ObjectOwnership:
    """The ownership in a stored document."""
    return ObjectOwnership(stored.decode())
