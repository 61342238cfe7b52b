"""How a key's versions follow one another: what a write replaces and what a delete removes.

Both run inside the caller's transaction, after the key is locked.
"""

from __future__ import annotations

from ..errors import NoSuchVersion
from ..index import objects as object_rows
from ..index.session import Connection
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import ObjectVersion


def add_version(
    c: Connection,
    bucket: Bucket,
    version: ObjectVersion,
    current: ObjectVersion | None,
    *,
    new_content: bool,
) -> ObjectVersion:
    """Store ``version`` as its key's newest; without versioning it replaces the null version."""
    object_rows.put_version(c, version, replaces=current, new_content=new_content)
    return version


def remove_version(
    c: Connection, bucket: Bucket, key: bytes, version_id: str | None, current: ObjectVersion | None
) -> ObjectVersion | None:
    """Remove the current or the named version; None when there is nothing to remove.

    :raises NoSuchVersion: a version id that this bucket never gave.
    """
    if version_id is not None and version_id != NULL_VERSION:
        raise NoSuchVersion(key=key, version_id=version_id)
    if current is None:
        return None
    object_rows.remove_version(c, current)
    return current
