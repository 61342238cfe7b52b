"""RenameObject: another key for an object, in one transaction and without touching its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from dataclasses import replace

from ..errors import IdempotencyParameterMismatch
from ..errors import PreconditionFailed
from ..index import objects as object_rows
from ..index import renames
from ..index import usage
from ..index.buckets import State
from ..index.connections import Connection
from ..model import NO_LOCK
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import ObjectVersion
from ..model import Setting
from ..model import Versioning
from ..signals import before_object_created
from ..signals import before_object_removed
from ..signals import object_created
from ..signals import object_removed
from ..wire.conditions import Conditions
from ..wire.conditions import check_copy_source
from . import quota
from . import versions
from .backing import Backing
from .events import FROM_PYTHON
from .events import Origin
from .events import ask_object
from .events import emit_object
from .objects import MARKED
from .objects import REMOVED
from .objects import VersionChanged
from .objects import absence
from .retention import check_unprotected

CREATED = "s3:ObjectCreated:Copy"
"""S3 has no event of its own for a rename."""

REMEMBERED = 10 * 60 * 1000
"""Milliseconds for which a repeated rename is known by its token."""


@dataclass(frozen=True, slots=True)
class Rename:
    """What is asked for. ``token`` makes a repetition harmless; ``seq`` is the version meant.

    ``source_conditions`` are about what is to be renamed, ``conditions`` about what is in its way.
    """

    source: bytes
    key: bytes
    source_conditions: Conditions | None = None
    conditions: Conditions | None = None
    token: str = ""
    meaning: str = ""
    seq: int | None = None


class Renaming:
    """Renames within the buckets of one Store."""

    __slots__ = ("_backing",)

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def rename(self, bucket: Bucket, wanted: Rename, *, origin: Origin = FROM_PYTHON) -> None:
        """Give an object another key; what has that key already is replaced as by a PUT.

        Without versioning the version itself changes its key, with all that belongs to it. With
        versioning nothing may vanish from a key's history: the new key gets a version that shares
        the bytes, and a delete marker hides the old one.

        :raises NoSuchKey: nothing is there to be renamed.
        :raises PreconditionFailed: a condition does not hold at the moment of the commit.
        :raises AccessDenied: the object is locked, or a receiver vetoed.
        :raises IdempotencyParameterMismatch: the token was another rename's.
        :raises VersionChanged: another version is there than the one that is meant.
        """
        backing = self._backing
        if before_object_created.receivers or before_object_removed.receivers:
            seen = object_rows.find_current(backing.index, bucket.id, wanted.source, False)
            if seen is not None:
                there = replace(seen, key=wanted.key)
                ask_object(before_object_created, CREATED, bucket, there, origin)
                ask_object(before_object_removed, REMOVED, bucket, seen, origin)
        now = backing.now()
        token = meaning = ""
        if wanted.token:
            owner = origin.caller.account_id or ""
            token = _digest(str(bucket.id), owner, wanted.token)
            meaning = _digest(wanted.source.hex(), wanted.key.hex(), wanted.meaning)
        made: ObjectVersion | None = None
        removed: ObjectVersion | None = None
        replaced = False

        def work(c: Connection) -> None:
            nonlocal made, removed, replaced
            made = removed = None
            # One order for all, so that two renames can't wait for each other's keys.
            first, second = sorted((wanted.source, wanted.key))
            locked = {key: object_rows.lock_current(c, bucket.id, key) for key in (first, second)}
            if token:
                known = renames.find(c, token, now)
                if known is not None:
                    if known != meaning:
                        raise IdempotencyParameterMismatch()
                    return
            source, target = locked[wanted.source], locked[wanted.key]
            if wanted.seq is not None and wanted.seq != (0 if source is None else source.seq):
                raise VersionChanged(wanted.source)
            if source is None:
                raise absence(None, wanted.source, None, "PUT")
            check_source(wanted.source_conditions, source)
            check_target(wanted.conditions, target)
            check_unprotected(source.lock, now)
            replaced = target is not None
            state = versions.state_for_write(c, bucket, backing.profile)
            made, removed = self._rename(c, bucket, state, source, target, wanted.key, origin)
            present = state.present
            record = backing.outbox.record
            record(c, CREATED, bucket, made, origin, present, replaced=replaced)
            record(c, removal_name(removed), bucket, removed, origin, present)
            if token:
                renames.remember(c, token, meaning, now, now + REMEMBERED)

        backing.index.write(work)
        if made is not None and removed is not None:
            emit_object(object_created, CREATED, bucket, made, origin, replaced=replaced)
            emit_object(object_removed, removal_name(removed), bucket, removed, origin)

    def _rename(
        self,
        c: Connection,
        bucket: Bucket,
        state: State,
        source: ObjectVersion,
        target: ObjectVersion | None,
        key: bytes,
        origin: Origin,
    ) -> tuple[ObjectVersion, ObjectVersion]:
        """What the new key shows, and what the old one had or has now, for events as of now."""
        now = self._backing.now()
        marker = versions.delete_marker(bucket, source.key, now, origin.caller.account_id)
        if state.versioning is Versioning.NEVER:
            if target is not None:
                versions.remove_version(c, state, replace(marker, key=key), None, target)
            renames.move(c, source, key)
            return replace(source, key=key, modified=now), replace(source, modified=now)
        whole = object_rows.get_current(c, bucket.id, source.key)
        assert whole is not None, "its key is locked"
        made = replace(
            whole, key=key, version_id=NULL_VERSION, modified=now, lock=NO_LOCK, replication=""
        )
        made = versions.add_version(c, state, made, target, new_content=False)
        renames.copy_annotations(c, source, key)
        if state.present & Setting.LIMITED:
            quota.count(c, state, usage.of_annotations(c, source.seq))
        # There are two versions by now.
        quota.charge(c, origin, made.size)
        quota.charge_annotations(c, origin, source.seq)
        marker = versions.add_version(c, state, marker, source, new_content=False)
        return made, marker


def removal_name(removed: ObjectVersion) -> str:
    """The name of the event of what the old key lost or was hidden by."""
    return MARKED if removed.delete_marker else REMOVED


def check_source(conditions: Conditions | None, source: ObjectVersion) -> None:
    """:raises PreconditionFailed: what is to be renamed is not as the client saw it."""
    if conditions is not None:
        check_copy_source(conditions, source.etag, source.modified)


def check_target(conditions: Conditions | None, target: ObjectVersion | None) -> None:
    """:raises PreconditionFailed: what is in the way is not as the client saw it."""
    if conditions is None:
        return
    if target is not None:
        check_copy_source(conditions, target.etag, target.modified)
    elif conditions.if_match is not None:
        raise PreconditionFailed(condition="If-Match")
    elif conditions.if_modified_since is not None:
        raise PreconditionFailed(condition="If-Modified-Since")


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


__all__ = ["Rename", "Renaming"]
