"""A bucket's object ownership, which decides whether ACLs count there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Final

from ..model import Bucket
from ..model import ObjectOwnership
from ..model import Setting

if TYPE_CHECKING:
    from . import Store

SETTING: Final = "ownershipControls"
"""The name of the settings document, which is the ownership's name and nothing else."""


def object_ownership(store: Store, bucket: Bucket) -> ObjectOwnership | None:
    """The bucket's object ownership, at most a second old; None where it was never set."""
    if not bucket.present & Setting.OWNERSHIP:
        return None
    return store.buckets.remembered(bucket, SETTING, read_ownership)


def read_ownership(stored: bytes) -> ObjectOwnership:
    """The ownership in a stored document."""
    return ObjectOwnership(stored.decode())
