"""Objects: read, stored, removed, tagged, each change one transaction."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import partial

from ..errors import MethodNotAllowed
from ..errors import NoSuchBucket
from ..errors import NoSuchKey
from ..errors import NoSuchVersion
from ..errors import S3Error
from ..index import buckets as bucket_rows
from ..index import objects as object_rows
from ..index.objects import ContentGone
from ..index.session import Connection
from ..model import NO_LOCK
from ..model import Acl
from ..model import Bucket
from ..model import Content
from ..model import Encryption
from ..model import ObjectLock
from ..model import ObjectVersion
from ..model import Part
from ..model import Versioning
from ..signals import before_object_created
from ..signals import before_object_removed
from ..signals import object_acl_changed
from ..signals import object_created
from ..signals import object_removed
from ..signals import object_tagged
from ..wire.conditions import Conditions
from ..wire.conditions import check_delete
from ..wire.conditions import check_write
from ..wire.encryption import CustomerKey
from ..wire.encryption import Wanted
from ..wire.headers import http_date
from . import quota
from . import versions
from .backing import Backing
from .backing import Body
from .backing import Stored
from .encryption import has_md5
from .events import FROM_PYTHON
from .events import Origin
from .events import ask_object
from .events import emit_object

REMOVED = "s3:ObjectRemoved:Delete"
MARKED = "s3:ObjectRemoved:DeleteMarkerCreated"


class VersionChanged(ContentGone):
    """Another version is there than the one that was decided about: decide again."""


# Not frozen: every write makes one, and that takes five times as long.
@dataclass(slots=True)
class Attributes:
    """What is stored beside an object's bytes. ``headers`` by lower-case name.

    ``annotate`` is called with what is to be stored, and what it answers in the object's
    transaction with its ``seq``.
    ``wanted`` is how the bytes are to be encrypted if not as the bucket does it by itself;
    ``encryption`` is how they are, and is set by the store.
    """

    owner: str
    headers: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl | None = None
    tags: tuple[tuple[str, str], ...] = ()
    lock: ObjectLock = NO_LOCK
    encryption: Encryption | None = None
    annotate: Callable[[ObjectVersion], Callable[[Connection, int], None]] | None = None
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """One object to be removed, and on which conditions.

    ``bypass``: the caller asks, and is allowed, to go past a lock's GOVERNANCE.
    """

    key: bytes
    version_id: str | None = None
    conditions: Conditions | None = None
    bypass: bool = False


class Objects:
    """Objects of any bucket; every method takes the Bucket that it acts on."""

    __slots__ = ("_backing",)

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    # -- reading

    def find(
        self, bucket: Bucket, key: bytes, version_id: str | None = None, *, inline: bool = True
    ) -> ObjectVersion | None:
        """The current (or the named) version, a delete marker included; None if there is none."""
        bucket_id = bucket.id
        if version_id is None:
            found = object_rows.find_current(self._backing.index, bucket_id, key, inline)
            if found is None and bucket.versioning is not Versioning.NEVER:
                return self._backing.index.read(
                    lambda c: object_rows.get_latest(c, bucket_id, key, inline)
                )
            return found
        return self._backing.index.read(
            lambda c: object_rows.get_version(c, bucket_id, key, version_id, inline)
        )

    def get(
        self, bucket: Bucket, key: bytes, version_id: str | None = None, *, inline: bool = True
    ) -> ObjectVersion:
        """The current (or the named) version.

        :param inline: fetch inline bytes too; without them the version can't be read.
        :raises NoSuchKey: there is no such object.
        :raises NoSuchVersion: there is no such version.
        :raises MethodNotAllowed: the named version is a delete marker.
        """
        version = self.find(bucket, key, version_id, inline=inline)
        if version is None or version.delete_marker:
            raise absence(version, key, version_id)
        return version

    def read(
        self,
        version: ObjectVersion,
        start: int = 0,
        end: int | None = None,
        *,
        customer_key: CustomerKey | None = None,
    ) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end`` (exclusive) in blocks.

        :param customer_key: for what is encrypted with one.
        :raises ContentGone: the version was overwritten or removed since it was read.
        :raises InvalidRequest: AccessDenied: the customer's key is missing or another.
        """
        end = version.size if end is None else end
        return self._backing.read(version, start, end, customer_key)

    def parts(self, version: ObjectVersion, after: int, limit: int) -> list[Part]:
        """Up to ``limit`` parts of an object that was made of parts, numbers above ``after``.

        :raises ContentGone: as :meth:`read`.
        """
        content = version.content
        if content is None or not version.parts:
            return []
        found = self._backing.index.read(
            lambda c: object_rows.part_page(c, content.id, after, limit)
        )
        if not found:
            self._check_content(content)
        return found

    def part(self, version: ObjectVersion, number: int) -> Part | None:
        """One part by its number, None when there is no such part.

        :raises ContentGone: as :meth:`read`.
        """
        content = version.content
        if content is None or not version.parts:
            return None
        found = self._backing.index.read(
            lambda c: object_rows.part_by_number(c, content.id, number)
        )
        if found is None:
            self._check_content(content)
        return found

    def _check_content(self, content: Content) -> None:
        """Tell a part that is not there from a whole object that is gone by now."""
        if not self._backing.index.read(lambda c: object_rows.part_page(c, content.id, 0, 1)):
            raise ContentGone(content.id)

    # -- writing

    def check_conditions(self, bucket: Bucket, key: bytes, conditions: Conditions | None) -> None:
        """Refuse a write early, before its body is read; the commit checks again."""
        if conditions is None:
            return
        current = self.find(bucket, key, inline=False)
        check_write(conditions, facts(current))

    def put(
        self,
        bucket: Bucket,
        key: bytes,
        body: Body,
        attributes: Attributes,
        *,
        conditions: Conditions | None = None,
        origin: Origin = FROM_PYTHON,
        event: str = "s3:ObjectCreated:Put",
    ) -> ObjectVersion:
        """Store an object; it is durable, and visible to everybody, when this returns.

        :raises PreconditionFailed: a condition does not hold at the moment of the commit.
        :raises AccessDenied: a ``before_object_created`` receiver vetoed.
        :raises NoSuchBucket: the bucket was removed meanwhile.
        :raises QuotaExceeded: the bucket's account, or the caller's key, may not store so much.
        """
        backing = self._backing
        if quota.is_concerned(bucket, origin):
            backing.quota.expect(bucket, key, body.length, origin)
        storage = backing.storage_for(bucket.name, attributes.storage_class)
        sealing = backing.encryptions.sealing_for(bucket, attributes.wanted)
        if sealing is None:
            stored = backing.receive(storage, body)
        else:
            md5 = has_md5(sealing.encryption)
            stored = backing.receive(storage, body, seal=sealing.seal, md5=md5)
            attributes = replace(attributes, encryption=sealing.encryption)
        return self.commit(
            bucket, key, stored, attributes, conditions=conditions, origin=origin, event=event
        )

    def commit(
        self,
        bucket: Bucket,
        key: bytes,
        stored: Stored,
        attributes: Attributes,
        *,
        conditions: Conditions | None,
        origin: Origin,
        event: str,
        shared: bool = False,
        parts: int = 0,
    ) -> ObjectVersion:
        """Make stored bytes the key's newest version, in one transaction.

        :param shared: the bytes are another version's too: they get one reference more, and are
            never discarded here. ``parts`` is then how many parts they have.
        :raises ContentGone: what was to be shared was released meanwhile.
        """
        encryption = attributes.encryption
        if encryption is not None:
            encryption = self._backing.encryptions.newest(encryption)
        version = ObjectVersion(
            bucket_id=bucket.id,
            key=key,
            size=stored.size,
            etag=stored.md5,
            modified=self._backing.now(),
            owner=attributes.owner,
            headers=attributes.headers,
            storage_class=attributes.storage_class,
            checksum=stored.checksum,
            acl=attributes.acl,
            tags=attributes.tags,
            parts=parts,
            inline=stored.inline,
            content=stored.content,
            lock=attributes.lock,
            encryption=encryption,
        )
        replaced = False

        def work(c: Connection) -> ObjectVersion:
            nonlocal replaced
            current = object_rows.lock_current(c, bucket.id, key)
            if conditions is not None:
                check_write(conditions, facts(current))
            replaced = current is not None
            state = versions.state_for_write(c, bucket, self._backing.profile)
            added = versions.add_version(
                c,
                state,
                version,
                current,
                new_content=not shared,
                meanwhile=None if annotate is None else partial(note, c),
            )
            quota.charge(c, origin, stored.size)
            self._backing.outbox.record(
                c, event, bucket, added, origin, state.present, replaced=replaced
            )
            return added

        def note(c: Connection, seq: int) -> None:
            assert annotate is not None
            annotate(c, seq)
            quota.charge_annotations(c, origin, seq)

        annotate: Callable[[Connection, int], None] | None = None
        try:
            if attributes.annotate is not None:
                annotate = attributes.annotate(version)
            ask_object(before_object_created, event, bucket, version, origin)
        except BaseException:
            if not shared:
                self._backing.discard(stored)
            raise
        try:
            version = self._backing.index.write(work)
        except S3Error:
            # Only a refusal is sure to have left no row behind. After any other failure the
            # commit may have happened, so the blob stays and the orphan sweep decides.
            if not shared:
                self._backing.discard(stored)
            raise
        emit_object(object_created, event, bucket, version, origin, replaced=replaced)
        return version

    def delete(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None = None,
        *,
        conditions: Conditions | None = None,
        bypass: bool = False,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion | None:
        """Remove an object, or one of its versions; with versioning a delete marker hides it.

        :param bypass: see :class:`Removal`.
        :returns: the delete marker that was stored, or the version that was removed; None when
            there was none, which is no error.
        :raises PreconditionFailed: a condition does not hold for what is to go.
        :raises AccessDenied: the version is locked, or a ``before_object_removed`` receiver vetoed.
        """
        removal = Removal(key, version_id, conditions, bypass)
        if not self._ask_removal(bucket, removal, origin):
            return None
        marker = self._marker(bucket, key, origin)
        removed = self._backing.index.write(
            lambda c: self._remove(c, bucket, removal, marker, origin)
        )
        self._tell_removal(bucket, removal, removed, origin)
        return removed

    def delete_many(
        self,
        bucket: Bucket,
        wanted: Sequence[Removal],
        *,
        origin: Origin = FROM_PYTHON,
    ) -> list[ObjectVersion | S3Error | None]:
        """Remove several objects or versions in one transaction.

        :returns: in the order of ``wanted``, what :meth:`delete` returns, or the error that kept
            this one (and only this one) from being removed.
        """
        results: list[ObjectVersion | S3Error | None] = [None] * len(wanted)
        allowed: list[int] = []
        for position, removal in enumerate(wanted):
            if before_object_removed.receivers:
                try:
                    if not self._ask_removal(bucket, removal, origin):
                        continue
                except S3Error as refusal:
                    results[position] = refusal
                    continue
            allowed.append(position)
        # One order for all, so that two such requests can't wait for each other's keys.
        allowed.sort(key=lambda position: wanted[position].key)

        def work(c: Connection) -> None:
            for position in allowed:
                removal = wanted[position]
                marker = self._marker(bucket, removal.key, origin)
                try:
                    results[position] = self._remove(c, bucket, removal, marker, origin)
                except NoSuchBucket:
                    raise
                except S3Error as refusal:
                    results[position] = refusal

        if allowed:
            self._backing.index.write(work)
        for removal, result in zip(wanted, results, strict=True):
            if isinstance(result, ObjectVersion):
                self._tell_removal(bucket, removal, result, origin)
        return results

    def _marker(self, bucket: Bucket, key: bytes, origin: Origin) -> ObjectVersion:
        """The delete marker that a removal would store."""
        return versions.delete_marker(bucket, key, self._backing.now(), origin.caller.account_id)

    def _remove(
        self,
        c: Connection,
        bucket: Bucket,
        removal: Removal,
        marker: ObjectVersion,
        origin: Origin,
    ) -> ObjectVersion | None:
        key, version_id = removal.key, removal.version_id
        named = object_rows.lock_current(c, bucket.id, key)
        if version_id is not None and (named is None or named.version_id != version_id):
            named = object_rows.get_version(c, bucket.id, key, version_id, inline=False)
        if removal.conditions is not None:
            check_delete(removal.conditions, facts(named))
        state = versions.state_for_write(c, bucket, self._backing.profile)
        removed = versions.remove_version(
            c, state, marker, version_id, named, bypass=removal.bypass
        )
        if removed is not None:
            name = removal_name(removal, removed)
            self._backing.outbox.record(c, name, bucket, removed, origin, state.present)
        return removed

    def _ask_removal(self, bucket: Bucket, removal: Removal, origin: Origin) -> bool:
        """Ask the receivers about what is to go; False when nothing would change.

        :raises AccessDenied: one of them vetoed.
        """
        asking = bool(before_object_removed.receivers)
        if removal.conditions is not None and not asking:
            return True
        key, version_id = removal.key, removal.version_id
        index = self._backing.index
        seen: ObjectVersion | None
        if version_id is None:
            seen = object_rows.find_current(index, bucket.id, key, False)
        else:
            seen = self.find(bucket, key, version_id, inline=False)
        name = REMOVED
        if version_id is None and (seen is None or asking):
            profile = self._backing.profile
            found = index.read(lambda c: versions.versioning_of(c, bucket, profile))
            if found is not Versioning.NEVER:
                name = MARKED
                seen = seen or self._marker(bucket, key, origin)
        if seen is not None:
            ask_object(before_object_removed, name, bucket, seen, origin)
        return seen is not None or removal.conditions is not None

    @staticmethod
    def _tell_removal(
        bucket: Bucket, removal: Removal, removed: ObjectVersion | None, origin: Origin
    ) -> None:
        if removed is not None:
            emit_object(object_removed, removal_name(removal, removed), bucket, removed, origin)

    def set_tags(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        tags: tuple[tuple[str, str], ...],
        *,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Replace an object's tags; an empty tuple removes them.

        :param seq: the version that is meant, 0 for none, None for whichever is there.
        :raises VersionChanged: another one is there, or none.
        """

        event = "s3:ObjectTagging:Put" if tags else "s3:ObjectTagging:Delete"

        def work(c: Connection) -> ObjectVersion:
            version = self.lock_version(c, bucket, key, version_id, seq)
            object_rows.set_tags(c, version.seq, tags)
            self._record(c, event, bucket, version, origin)
            return version

        version = self._backing.index.write(work)
        emit_object(object_tagged, event, bucket, version, origin)
        return version

    def set_acl(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        acl: Acl,
        *,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Replace an object's ACL. ``seq`` and what is raised as for :meth:`set_tags`."""

        def work(c: Connection) -> ObjectVersion:
            version = self.lock_version(c, bucket, key, version_id, seq)
            object_rows.set_acl(c, version.seq, acl)
            self._record(c, "s3:ObjectAcl:Put", bucket, version, origin)
            return version

        version = self._backing.index.write(work)
        emit_object(object_acl_changed, "s3:ObjectAcl:Put", bucket, version, origin)
        return version

    def _record(
        self, c: Connection, event: str, bucket: Bucket, version: ObjectVersion, origin: Origin
    ) -> None:
        """Write down a change of a version that is neither new nor gone; its key is locked."""
        present = bucket_rows.get_state(c, bucket.id).present
        self._backing.outbox.record(c, event, bucket, version, origin, present)

    @staticmethod
    def lock_version(
        c: Connection, bucket: Bucket, key: bytes, version_id: str | None, seq: int | None
    ) -> ObjectVersion:
        """The current (or the named) version, its key locked, for a transaction that changes it.

        :param seq: the version that is meant, 0 for none, None for whichever is there.
        :raises VersionChanged: another one is there, or none.
        :raises NoSuchKey: NoSuchVersion, MethodNotAllowed: there is none to change.
        """
        current = object_rows.lock_current(c, bucket.id, key)
        version = (
            current
            if version_id is None
            else object_rows.get_version(c, bucket.id, key, version_id, False)
        )
        if version is None and version_id is None:
            version = object_rows.get_latest(c, bucket.id, key, False)
        visible = version is not None and not version.delete_marker
        if seq is not None and seq != (version.seq if version is not None and visible else 0):
            raise VersionChanged(key)
        if version is None or not visible:
            raise absence(version, key, version_id, "PUT")
        return version


def absence(
    version: ObjectVersion | None, key: bytes, version_id: str | None, method: str = "GET"
) -> S3Error:
    """The error for what is not there; ``version`` is None or a delete marker.

    Source: Amazon S3 User Guide, "Working with delete markers".
    """
    if version is None:
        if version_id is not None:
            return NoSuchVersion(key=key, version_id=version_id)
        return NoSuchKey(key=key)
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version.version_id}
    if version_id is None:
        return NoSuchKey(key=key, headers=headers)
    headers["Allow"] = "DELETE"
    headers["Last-Modified"] = http_date(version.modified)
    return MethodNotAllowed(method=method, resource_type="DeleteMarker", headers=headers)


def removal_name(removal: Removal, removed: ObjectVersion) -> str:
    """The name of the event of a removal, by what it stored or took away."""
    return MARKED if removal.version_id is None and removed.delete_marker else REMOVED


def facts(version: ObjectVersion | None) -> tuple[str, int, int] | None:
    """What write conditions compare: (ETag, modified in ms, size), or None for no object."""
    if version is None or version.delete_marker:
        return None
    return version.etag, version.modified, version.size


__all__ = ["Attributes", "Objects", "Removal", "VersionChanged", "absence", "facts"]
