"""The rules of S3 over an index and storages, without HTTP: what Python code calls directly."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from time import time
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Any

from ..blobs.base import BlobStore
from ..index import listing
from ..index.session import Index
from ..model import Bucket
from ..profile import AWS
from ..profile import Profile
from ..wire.lifecycle import SMALL
from .accounts import Accounts
from .annotations import Annotations
from .appending import Appending
from .backing import Backing
from .buckets import Buckets
from .closing import Closings
from .copying import Copying
from .encryption import Encryptions
from .events import FROM_PYTHON
from .events import Origin
from .janitor import Janitor
from .key_ring import HostKeyRing
from .key_ring import SqlKeyRing
from .lifecycle import Lifecycles
from .locks import Locks
from .multipart import Multipart
from .multipart import WantedPart
from .notifications import Notifications
from .objects import Attributes
from .objects import Objects
from .objects import Removal
from .outbox import Outbox
from .quota import Quota
from .remote import RemoteBucket
from .renaming import Rename
from .renaming import Renaming
from .replication import Permits
from .replication import Replication
from .replication import Rule
from .restoring import Restoring
from .roles import Roles
from .server_logs import ServerLogs

if TYPE_CHECKING:
    from ..auth.keyring import SigningKeyRing
    from ..blobs.place import Place
    from .backup import Backup
    from .backup_place import Snapshot
    from .backup_restore import Restore
    from .migration import Migration
    from .rotation import Rotation
    from .scrub import Scrub


class Store:
    """Buckets and objects, each change one atomic transaction.

    :param index: where the facts live.
    :param storages: where bytes live, by name; ``default`` must be among them.
    :param place: (bucket pattern, storage name) pairs, first match wins, else ``default``.
    :param inline_threshold: objects of at most this many bytes live in the index itself.
    :param grace_seconds: how long a blob outlives its last reference.
    :param orphan_seconds: how old an unknown blob must be before the sweep takes it.
    :param clock: seconds since the epoch.
    :param encryptions: the keys that encrypt objects; without them only customers' own keys do.
    :param storage_classes: storage class to the name of the storage where its bytes lie.
    :param lifecycle_day_seconds: what lifecycle and restores take for a day.
    :param smallest_transition: bytes; smaller objects stay where they are, unless a rule asks for
        sizes.
    """

    def __init__(
        self,
        index: Index,
        storages: Mapping[str, BlobStore],
        *,
        place: Sequence[tuple[str, str]] = (),
        inline_threshold: int = 65536,
        grace_seconds: int = 3600,
        orphan_seconds: int = 86400,
        profile: Profile = AWS,
        clock: Callable[[], float] = time,
        encryptions: Encryptions | None = None,
        storage_classes: Mapping[str, str] = MappingProxyType({}),
        lifecycle_day_seconds: float = 86400,
        smallest_transition: int = SMALL,
    ) -> None:
        self.index = index
        self.storages = storages
        self.profile = profile
        self._backing = Backing(
            index,
            storages,
            place=place,
            inline_threshold=inline_threshold,
            grace_seconds=grace_seconds,
            orphan_seconds=orphan_seconds,
            profile=profile,
            clock=clock,
            encryptions=encryptions,
            storage_classes=storage_classes,
            day_seconds=lifecycle_day_seconds,
            small=smallest_transition,
        )
        self.outbox = self._backing.outbox = Outbox(self._backing)
        self.quota = self._backing.quota = Quota(self._backing)
        self.buckets = Buckets(self._backing)
        self.accounts = Accounts(self._backing, self.buckets)
        self.encryptions = self._backing.encryptions
        self.encryptions.attach(self.buckets)
        self.key_ring = SqlKeyRing(self._backing)
        self.roles = Roles(self._backing)
        self.objects = Objects(self._backing)
        self.notifications = Notifications(self._backing, self.buckets, self.outbox)
        self.annotations = Annotations(self._backing, self.objects)
        self.locks = Locks(self._backing, self.buckets, self.objects)
        self.copying = Copying(self._backing, self.objects)
        self.appending = Appending(self._backing, self.objects, self.copying)
        self.renaming = Renaming(self._backing)
        self.multipart = Multipart(self._backing, self.copying)
        self.janitor = Janitor(self._backing)
        self.restoring = Restoring(self._backing)
        self.lifecycle = Lifecycles(self._backing, self.buckets, self.restoring)
        self.closing = Closings(self._backing, self.buckets, self.accounts)
        self.server_logs = ServerLogs(self._backing, self.buckets, self.objects)
        self.replication: Replication | None = None

    def replicate(
        self,
        read_rules: Callable[[bytes], tuple[Rule, ...]],
        permits: Permits,
        remotes: Mapping[str, RemoteBucket],
    ) -> None:
        """Replicate what buckets' rules ask for, see :class:`s3kit.store.replication.Replication`.

        To be called once in each process that stores or delivers anything.
        """
        self.replication = Replication(
            self._backing,
            self.buckets,
            self.outbox,
            read_rules,
            permits,
            remotes,
            self.roles.id_of,
        )

    def list_keys(
        self, bucket: Bucket, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int
    ) -> listing.Listing:
        """A page of keys and common prefixes in byte order, above ``after``."""
        return self.index.read(
            lambda c: listing.list_keys(
                c, bucket.id, prefix=prefix, delimiter=delimiter, after=after, limit=limit
            )
        )

    def list_versions(
        self,
        bucket: Bucket,
        *,
        prefix: bytes,
        delimiter: bytes,
        key_marker: bytes,
        version_id_marker: str | None,
        limit: int,
    ) -> listing.VersionListing:
        """A page of versions: keys in byte order, within a key the newest first."""
        return self.index.read(
            lambda c: listing.list_versions(
                c,
                bucket.id,
                prefix=prefix,
                delimiter=delimiter,
                key_marker=key_marker,
                version_id_marker=version_id_marker,
                limit=limit,
            )
        )

    def list_uploads(
        self,
        bucket: Bucket,
        *,
        prefix: bytes,
        delimiter: bytes,
        key_marker: bytes,
        upload_id_marker: str | None,
        limit: int,
    ) -> listing.UploadListing:
        """A page of unfinished uploads: keys in byte order, within a key the oldest first."""
        return self.index.read(
            lambda c: listing.list_uploads(
                c,
                bucket.id,
                prefix=prefix,
                delimiter=delimiter,
                key_marker=key_marker,
                upload_id_marker=upload_id_marker,
                limit=limit,
            )
        )

    def collect_garbage(self, now: int | None = None) -> int:
        """Delete blobs whose grace period is over (``now`` in ms); how many were deleted."""
        return self.janitor.collect_garbage(now=now)

    def sweep_orphans(self) -> int:
        """Delete old blobs that no row knows; how many were deleted."""
        return self.janitor.sweep_orphans()

    def scrub(
        self,
        *,
        storages: Collection[str] | None = None,
        rate: int | None = None,
        advance: Callable[[int], object] = lambda size: None,
    ) -> Scrub:
        """A reading of everything that is stored, see :class:`s3kit.store.scrub.Scrub`."""
        from .scrub import Scrub

        return Scrub(self._backing, storages=storages, rate=rate, advance=advance)

    def backup(self, place: Place, **options: Any) -> Backup:
        """Backups of this store, see :class:`s3kit.store.backup.Backup`."""
        from .backup import Backup

        return Backup(self._backing, place, **options)

    def restore(self, place: Place, snapshot: Snapshot, **options: Any) -> Restore:
        """A snapshot's way into this store, see :class:`s3kit.store.backup_restore.Restore`."""
        from .backup_restore import Restore

        return Restore(self._backing, place, snapshot, **options)

    def rotation(self, **options: Any) -> Rotation:
        """A way of all data keys to the first master key, see :mod:`s3kit.store.rotation`."""
        from .rotation import Rotation

        return Rotation(self._backing, **options)

    def ring_of(self, host_keys: SigningKeyRing) -> HostKeyRing:
        """A host app's own keys, as far as the accounts that lie here let them be used."""
        return HostKeyRing(host_keys, self._backing)

    def migrate(self, source: str, target: str, **options: Any) -> Migration:
        """The way of all blobs of a storage to another, see :mod:`s3kit.store.migration`."""
        from .migration import Migration

        return Migration(self._backing, self.janitor, source, target, **options)

    def close(self) -> None:
        """Close the index and the storages."""
        self.server_logs.close()
        self.outbox.close()
        self.janitor.close()
        self.lifecycle.close()
        self.closing.close()
        self.key_ring.close()
        self.index.close()
        for storage in self.storages.values():
            storage.close()


__all__ = [
    "FROM_PYTHON",
    "Attributes",
    "Origin",
    "Removal",
    "Rename",
    "Store",
    "WantedPart",
]
