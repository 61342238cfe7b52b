"""Locks of versions and the rule of a bucket, each change one transaction.

What a lock forbids is decided where versions are removed: :mod:`s3kit.store.versions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import InvalidRequest
from ..index.session import Connection
from ..model import Bucket
from ..model import ObjectLock
from ..model import ObjectVersion
from ..model import Setting
from ..signals import object_legal_hold_changed
from ..signals import object_retention_changed
from . import retention
from . import versions
from .backing import Backing
from .buckets import Buckets
from .events import FROM_PYTHON
from .events import Origin
from .events import emit_object
from .objects import Objects


class Locks:
    """Object Lock of one Store."""

    __slots__ = ("_backing", "_buckets", "_objects")

    def __init__(self, backing: Backing, buckets: Buckets, objects: Objects) -> None:
        self._backing = backing
        self._buckets = buckets
        self._objects = objects

    def configure(self, bucket: Bucket, rule: retention.DefaultRetention | None) -> Bucket:
        """Switch Object Lock on, for good, and replace the rule for new objects; None for none.

        :raises InvalidBucketState: versioning is not enabled.
        :raises NoSuchBucket: the bucket was removed meanwhile.
        """
        return self._buckets.set_object_lock(bucket, rule)

    def default(self, bucket: Bucket) -> retention.DefaultRetention | None:
        """The rule for new objects, None where there is none."""
        if not bucket.present & Setting.OBJECT_LOCK:
            return None
        document = self._buckets.setting(bucket, retention.SETTING)
        return None if document is None else retention.read_default(document)

    def retained_until(self, lock: ObjectLock) -> int:
        """When a retention ends as of now, milliseconds; an event hold moves it on."""
        return retention.retained_until(lock, self._backing.now())

    def set_retention(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        wanted: retention.Retention,
        *,
        bypass: bool = False,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Change a version's retention or event hold, as far as the one in force allows it.

        :param bypass: the caller asks, and is allowed, to go past GOVERNANCE.
        :param seq: the version that is meant, None for whichever is there.
        :raises AccessDenied: it would be shortened, ended or made another mode's.
        :raises InvalidRequest: the bucket has no Object Lock.
        :raises VersionChanged: another version is there than ``seq``.
        """

        def change(version: ObjectVersion) -> ObjectLock:
            # A clock that was set back since then shortens no retention.
            now = max(self._backing.now(), version.modified)
            return retention.changed(version.lock, wanted, now, bypass=bypass)

        event = "s3:ObjectRetention:Put"
        version = self._change(bucket, key, version_id, seq, change, event, origin)
        emit_object(object_retention_changed, event, bucket, version, origin)
        return version

    def set_legal_hold(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        on: bool,
        *,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Place a legal hold or release it; a retention stays as it is.

        :raises InvalidRequest: the bucket has no Object Lock.
        :raises VersionChanged: another version is there than ``seq``.
        """
        event = "s3:ObjectLegalHold:Put"

        def change(version: ObjectVersion) -> ObjectLock:
            return replace(version.lock, legal_hold=on)

        version = self._change(bucket, key, version_id, seq, change, event, origin)
        emit_object(object_legal_hold_changed, event, bucket, version, origin)
        return version

    def _change(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        seq: int | None,
        change: Callable[[ObjectVersion], ObjectLock],
        event: str,
        origin: Origin,
    ) -> ObjectVersion:
        def work(c: Connection) -> ObjectVersion:
            version = self._objects.lock_version(c, bucket, key, version_id, seq)
            state = versions.state_for_write(c, bucket, self._backing.profile)
            if not state.object_lock:
                raise InvalidRequest(versions.NOT_LOCKABLE)
            version = versions.set_lock(c, version, change(version))
            self._backing.outbox.record(c, event, bucket, version, origin, state.present)
            return version

        return self._backing.index.write(work)


__all__ = ["Locks"]
