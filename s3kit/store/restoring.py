"""Archived objects: their bytes are readable only for the days for which they were restored.

A restore is instant here: the bytes were never far. What is kept of AWS is what a client can see.
Source: Amazon S3 User Guide, "Restoring an archived object".
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidObjectState
from ..errors import NoSuchBucket
from ..index import buckets as bucket_rows
from ..index import lifecycle as rows
from ..index import objects as object_rows
from ..index.lifecycle import Restored
from ..index.session import Connection
from ..model import Bucket
from ..model import ObjectVersion
from ..signals import object_restored
from ..wire.headers import LAST_DATE
from ..wire.headers import iso8601
from ..wire.lifecycle import ARCHIVED
from ..wire.lifecycle import due
from .backing import Backing
from .events import FROM_PYTHON
from .events import Origin
from .events import emit_object
from .objects import VersionChanged

POSTED = "s3:ObjectRestore:Post"
COMPLETED = "s3:ObjectRestore:Completed"
OVER = "s3:ObjectRestore:Delete"
PAGE = 200


class Restoring:
    """Restores of one Store."""

    __slots__ = ("_backing",)

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def restored_until(self, version: ObjectVersion) -> int:
        """Until when (ms) an archived version can be read; 0 where it cannot by now."""
        until = version.restored_until
        return until if until > self._backing.now() else 0

    def check_readable(self, version: ObjectVersion) -> None:
        """Refuse to read an archived object that is not restored.

        :raises InvalidObjectState:
        """
        if version.storage_class in ARCHIVED and not self.restored_until(version):
            raise InvalidObjectState(
                "The operation is not valid for the object's storage class",
                storage_class=version.storage_class,
            )

    def check_archived(self, version: ObjectVersion) -> None:
        """Refuse to restore what is not archived.

        :raises InvalidObjectState:
        """
        if version.storage_class not in ARCHIVED:
            raise InvalidObjectState(
                "Restore is not allowed for the object's current storage class",
                storage_class=version.storage_class,
            )

    def restored_keys(self, bucket: Bucket, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Until when (ms) which of these keys' visible versions can be read again."""
        now = self._backing.now()
        return self._backing.index.read(lambda c: rows.restored_keys(c, bucket.id, keys, now))

    def restored_versions(self, seqs: Sequence[int]) -> dict[int, int]:
        """Until when (ms) which of these versions can be read again, by ``seq``."""
        now = self._backing.now()
        return self._backing.index.read(lambda c: rows.restored_versions(c, seqs, now))

    def restore(
        self, bucket: Bucket, version: ObjectVersion, days: int, *, origin: Origin = FROM_PYTHON
    ) -> bool:
        """Make an archived version readable for so many days from now, rounded up to midnight UTC.

        :returns: False where it was readable already: then only the time changes.
        :raises InvalidObjectState: it is not archived.
        :raises VersionChanged: it was replaced meanwhile.
        """
        now = self._backing.now()
        until = due(now, days, self._backing.day)
        fresh = True

        def work(c: Connection) -> ObjectVersion:
            nonlocal fresh
            object_rows.lock_current(c, bucket.id, version.key)
            found = object_rows.get_version(
                c, bucket.id, version.key, version.version_id, inline=False
            )
            if found is None or found.seq != version.seq:
                raise VersionChanged(version.key)
            self.check_archived(found)
            fresh = found.restored_until <= now
            object_rows.set_restored(c, found.seq, until)
            rows.remember_restore(c, found.seq, until)
            present = bucket_rows.get_state(c, bucket.id).present
            told = {
                "lifecycleRestorationExpiryTime": iso8601(min(until, LAST_DATE)),
                "lifecycleRestoreStorageClass": found.storage_class,
            }
            outbox = self._backing.outbox
            outbox.record(c, POSTED, bucket, found, origin, present)
            outbox.record(
                c,
                COMPLETED,
                bucket,
                found,
                origin,
                present,
                details={"glacierEventData": {"restoreEventData": told}},
            )
            return found

        found = self._backing.index.write(work)
        emit_object(object_restored, POSTED, bucket, found, origin)
        emit_object(object_restored, COMPLETED, bucket, found, origin)
        return fresh

    def archive_again(self) -> int:
        """End the restores whose time is over; how many there were."""
        count = 0
        now = self._backing.now()
        while True:
            page = self._backing.index.read(lambda c: rows.restores_over(c, now, PAGE))
            for each in page:
                if isinstance(each, Restored):
                    count += self._end(each, now)
                else:
                    self._backing.index.write(lambda c, seq=each: rows.forget_restore(c, seq))  # type: ignore[misc]
            if len(page) < PAGE:
                return count

    def _end(self, restored: Restored, now: int) -> int:
        backing = self._backing
        bucket = backing.index.read(lambda c: bucket_rows.get(c, restored.bucket))

        def work(c: Connection) -> ObjectVersion | None:
            found = None
            if bucket is not None:
                object_rows.lock_current(c, bucket.id, restored.key)
                found = object_rows.get_version(
                    c, bucket.id, restored.key, restored.version_id, inline=False
                )
            if found is None or found.seq != restored.seq or not found.restored_until:
                rows.forget_restore(c, restored.seq)
                return None
            if found.restored_until > now:
                rows.remember_restore(c, found.seq, found.restored_until)
                return None
            object_rows.set_restored(c, found.seq, 0)
            rows.forget_restore(c, found.seq)
            assert bucket is not None
            present = bucket_rows.get_state(c, bucket.id).present
            backing.outbox.record(c, OVER, bucket, found, FROM_PYTHON, present)
            return found

        try:
            found = backing.index.write(work)
        except NoSuchBucket:
            # After that, PostgreSQL does nothing more in this transaction.
            found = backing.index.write(lambda c: rows.forget_restore(c, restored.seq))
        if found is None or bucket is None:
            return 0
        emit_object(object_restored, OVER, bucket, found, FROM_PYTHON)
        return 1
