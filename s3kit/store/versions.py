"""How a key's versions follow one another: what a write replaces and what a delete removes.

What changes a key runs inside the caller's transaction, after the key is locked. Nobody else adds
or removes a version's row, so that no way leads past Object Lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from ..errors import InvalidRequest
from ..index import buckets as bucket_rows
from ..index import objects as object_rows
from ..index import settings as setting_rows
from ..index import usage
from ..index.buckets import State
from ..index.session import Connection
from ..model import NO_LOCK
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import ObjectLock
from ..model import ObjectVersion
from ..model import Setting
from ..model import Versioning
from ..profile import Profile
from . import retention

NOT_LOCKABLE = "Bucket is missing Object Lock Configuration"


def versioning_of(c: Connection, bucket: Bucket, profile: Profile) -> Versioning:
    """The bucket's versioning at this moment, for a remembered one may be a second old.

    :raises NoSuchBucket: it was removed meanwhile.
    """
    if profile.always_versioned:
        return Versioning.ENABLED
    return bucket_rows.get_state(c, bucket.id).versioning


def state_for_write(c: Connection, bucket: Bucket, profile: Profile) -> State:
    """The bucket's state by which a locked key is to be changed.

    Asked before the lock, it could be older than a version that another has stored meanwhile.

    :raises NoSuchBucket: the bucket was removed meanwhile.
    """
    found = bucket_rows.hold_state(c, bucket.id)
    if profile.always_versioned and found.versioning is not Versioning.ENABLED:
        # With another profile later on, the bucket's history must still be one.
        bucket_rows.set_versioning(c, bucket.id, Versioning.ENABLED)
        return replace(found, versioning=Versioning.ENABLED)
    return found


def delete_marker(bucket: Bucket, key: bytes, now: int, owner: str | None = None) -> ObjectVersion:
    """What the removal of ``key`` may store, and what events and receivers are told of.

    :param now: milliseconds since 1970.
    :param owner: the account that removes; without one it is the bucket's.
    """
    return ObjectVersion(
        bucket_id=bucket.id,
        key=key,
        size=0,
        etag="",
        modified=now,
        owner=owner or bucket.account,
        delete_marker=True,
        storage_class="",
    )


def new_version_id() -> str:
    """An opaque id that nobody can guess; the order of versions is not in it."""
    return secrets.token_hex(16)


def add_version(
    c: Connection,
    state: State,
    version: ObjectVersion,
    current: ObjectVersion | None,
    *,
    new_content: bool,
    meanwhile: Callable[[int], object] | None = None,
) -> ObjectVersion:
    """Store ``version`` as its key's newest; what was stored is returned, its id included.

    With versioning it gets an id of its own; else it is the null version, in place of the one
    before, wherever that stands in the key's history. In a bucket with Object Lock it gets the
    default retention unless it brings its own.

    :raises AccessDenied: the version that it would replace is locked.
    :raises InvalidRequest: it brings a lock, and the bucket has no Object Lock.

    At the end of the transaction its account may turn out to be allowed no more bytes.
    """
    replaced: ObjectVersion | None = None
    versioning = state.versioning
    if not version.delete_marker:
        if state.object_lock:
            created = version.modified
            if current is not None:
                # A clock that was set back since then shortens no retention.
                created = max(created, current.modified)
            version = _with_default(c, state, version, created)
        elif version.lock is not NO_LOCK and version.lock != NO_LOCK:
            raise InvalidRequest(NOT_LOCKABLE)
    if versioning is Versioning.ENABLED:
        version = replace(version, version_id=new_version_id())
    elif versioning is Versioning.NEVER or (
        current is not None and current.version_id == NULL_VERSION
    ):
        replaced = current
    else:
        replaced = object_rows.get_version(
            c, version.bucket_id, version.key, NULL_VERSION, inline=False
        )
    if replaced is not None and replaced.lock is not NO_LOCK:
        retention.check_unprotected(replaced.lock, version.modified)
    limited = state.present & Setting.LIMITED
    if limited and replaced is not None:
        usage.count(c, state.account, -_bytes_of(c, replaced))
    seq = object_rows.put_version(
        c, version, replaces=replaced, new_content=new_content, meanwhile=meanwhile
    )
    if limited:
        annotated = 0 if meanwhile is None else usage.of_annotations(c, seq)
        usage.count(c, state.account, version.size + annotated)
    return version


def lock_walked(
    c: Connection, bucket_id: int, key: bytes, version_id: str, seq: int
) -> ObjectVersion | None:
    """A version that a walk has met, its key locked; None where it is gone or replaced by now."""
    version = object_rows.lock_current(c, bucket_id, key)
    if version is None or version.seq != seq:
        version = object_rows.get_version(c, bucket_id, key, version_id, inline=False)
    return None if version is None or version.seq != seq else version


def _bytes_of(c: Connection, version: ObjectVersion) -> int:
    """What a version, or what goes with it, counts among its account's bytes."""
    return version.size + usage.of_annotations(c, version.seq)


def _with_default(
    c: Connection, state: State, version: ObjectVersion, created: int
) -> ObjectVersion:
    if version.lock.mode or not state.present & Setting.OBJECT_LOCK:
        return version
    document = setting_rows.get(c, version.bucket_id, retention.SETTING)
    if document is None:
        return version
    rule = retention.read_default(document)
    return replace(version, lock=rule.applied(version.lock, created))


def remove_version(
    c: Connection,
    state: State,
    marker: ObjectVersion,
    version_id: str | None,
    named: ObjectVersion | None,
    *,
    bypass: bool = False,
) -> ObjectVersion | None:
    """Remove the named version for good; without a name, hide what the key shows.

    :param marker: the delete marker that hides it; without versioning nothing is kept to hide.
        It is made now: a lock is in force or over by its time.
    :param named: the version of that id, the current one where ``version_id`` is None.
    :param bypass: the caller asks, and is allowed, to go past a lock's GOVERNANCE.
    :returns: the marker that was stored, else what was removed; None if there was nothing.
    :raises AccessDenied: the version is locked.
    """
    if version_id is None and state.versioning is not Versioning.NEVER:
        return add_version(c, state, marker, named, new_content=False)
    if named is not None:
        retention.check_unprotected(named.lock, marker.modified, bypass=bypass)
        size = _bytes_of(c, named) if state.present & Setting.LIMITED else 0
        if object_rows.remove_version(c, named, marker.modified) and size:
            usage.count(c, state.account, -size)
    return named


def add_replica(
    c: Connection, state: State, replica: ObjectVersion, now: int, *, new_content: bool
) -> int:
    """Store a copy of another bucket's version under the id, and with the lock, of that one.

    It replaces nothing. The rule of its own bucket is for what brings no retention, from now on.
    Source: Amazon S3 User Guide, "What does Amazon S3 replicate?".

    :returns: its ``seq``.
    """
    if state.object_lock and not replica.delete_marker:
        replica = _with_default(c, state, replica, max(now, replica.modified))
    if state.present & Setting.LIMITED:
        usage.count(c, state.account, replica.size)
    return object_rows.put_version(c, replica, replaces=None, new_content=new_content)


def set_lock(c: Connection, version: ObjectVersion, lock: ObjectLock) -> ObjectVersion:
    """Give a version the lock that :mod:`s3kit.store.retention` says it may have now."""
    object_rows.set_lock(c, version.seq, lock)
    return replace(version, lock=lock)


def follow_retention(
    c: Connection, replica: ObjectVersion, lock: ObjectLock, now: int
) -> ObjectVersion:
    """Give a replica its source's retention, as far as its own COMPLIANCE allows it."""
    wanted = replace(lock, legal_hold=replica.lock.legal_hold)
    return set_lock(c, replica, retention.not_weaker(replica.lock, wanted, now))


def follow_legal_hold(c: Connection, replica: ObjectVersion, lock: ObjectLock) -> ObjectVersion:
    """Give a replica its source's legal hold, or end it; its retention stays."""
    return set_lock(c, replica, replace(replica.lock, legal_hold=lock.legal_hold))
