"""Replication: versions, and what changes about them, copied to the buckets that rules name.

What is to be copied is written into the outbox in the transaction of what happened, with the
status of the version; a relay copies it. A copy inside this endpoint and the status of its source
are one transaction, so that nothing is copied twice, whoever dies when. A replica keeps its
version id, and is replicated no further.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
from typing import Final

from ..blobs.base import BlobWriter
from ..blobs.base import new_blob_id
from ..blobs.sealed import Seal
from ..blobs.sealed import SealedWriter
from ..blobs.sealed import seal_bytes
from ..errors import AccessDenied
from ..errors import NoSuchBucket
from ..errors import QuotaExceeded
from ..errors import S3Error
from ..index import buckets as bucket_rows
from ..index import object_annotations as annotation_rows
from ..index import objects as object_rows
from ..index import settings as setting_rows
from ..index import uploads as upload_rows
from ..index.objects import ContentGone
from ..index.session import Connection
from ..model import NO_LOCK
from ..model import NULL_VERSION
from ..model import Account
from ..model import Bucket
from ..model import Caller
from ..model import Content
from ..model import Encryption
from ..model import ObjectVersion
from ..model import Part
from ..model import Setting
from ..model import Versioning
from ..signals import Event
from ..signals import before_object_created
from ..signals import object_created
from . import ownership
from . import quota
from . import versions
from .backing import Backing
from .buckets import Buckets
from .encryption import Sealing
from .events import Delivery
from .events import Origin
from .events import ask_object
from .events import emit_object
from .outbox import Outbox
from .remote import RemoteBucket
from .remote import RemoteError
from .retention import check_unprotected

logger = logging.getLogger("s3kit.store")

SETTING: Final = "replication"
TARGET: Final = "s3kit:replication"
"""What waits for copies inside this endpoint; a remote bucket has its ARN behind it."""

PENDING: Final = "PENDING"
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
REPLICA: Final = "REPLICA"
MOST_DESTINATIONS: Final = 50
PART_PAGE: Final = 1000

_CREATED: Final = "s3:ObjectCreated:"
_MARKED: Final = "s3:ObjectRemoved:DeleteMarkerCreated"
_TAGGED: Final = "s3:ObjectTagging:"
_READING: Final = "s3:GetObjectVersionForReplication"
_CHANGES: Final = (
    _TAGGED,
    "s3:ObjectAcl:",
    "s3:ObjectRetention:",
    "s3:ObjectLegalHold:",
    "s3:ObjectAnnotation:",
)
_REASONS: Final = {
    "DstBucketNotFound": "the destination bucket is not there",
    "DstBucketUnversioned": "the destination bucket keeps no versions",
    "DstBucketOwnerChanged": "the destination bucket is not the account's that the rule names",
    "DstDelObjNotPermitted": "the destination bucket's owner does not let this account delete",
    "DstPutObjectNotPermitted": "the destination bucket's owner does not let this account write",
    "DstPutTaggingNotPermitted": "the destination bucket's owner does not let this account tag",
    "DstObjectLockDisabled": "the object is locked, and the destination bucket cannot lock",
    "RuleRemoved": "no rule asks for it any more",
    "SrcGetObjectNotPermitted": "the bucket's own policy denies it",
    "SrcObjectTooLarge": "the object is larger than one request to a remote bucket may be",
    "SrcObjectUnreadable": "nobody but its owner has the object's key",
}


Permits = Callable[[str, Bucket, str, bytes], bool]
"""Whether an account, by its id, may do an action of policies to a bucket's key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which objects go where.

    :param arn: the destination bucket's ARN; ``bucket`` its name.
    :param account: whose the destination must be, "" for anybody's.
    :param owner_override: the replica is the destination owner's.
    :param markers: delete markers are replicated too.
    :param changes_of_replicas: what is changed about a replica is changed about its source.
    :param sealed: objects under a KMS key are replicated too; ``kms_key_id`` is that of replicas
        at other endpoints, as those here keep their keys.
    :param threshold: minutes after which a replica is late, 0 for never.
    """

    id: str
    priority: int
    enabled: bool
    prefix: bytes
    tags: frozenset[tuple[str, str]]
    arn: str
    bucket: str
    account: str = ""
    storage_class: str = ""
    owner_override: bool = False
    markers: bool = False
    changes_of_replicas: bool = False
    sealed: bool = False
    kms_key_id: str = ""
    threshold: int = 0

    def wants(self, version: ObjectVersion, *, change: bool) -> bool:
        """Whether a version, or a change of one, is to be replicated by this rule."""
        if not self.enabled or not version.key.startswith(self.prefix):
            return False
        if version.replication == REPLICA and not (change and self.changes_of_replicas):
            return False
        if version.delete_marker:
            return self.markers and not change
        encryption = version.encryption
        if encryption is not None and encryption.algorithm.startswith("aws:kms"):
            return self.sealed and self.tags <= frozenset(version.tags)
        return self.tags <= frozenset(version.tags)


class Refused(Exception):
    """The copy cannot be made, and to try again would change nothing."""


class Replication:
    """The rules of all buckets of one Store at work.

    :param read_rules: the rules in a stored document.
    :param permits: whether an account may do this to a key, as an action of policies.
    :param remotes: buckets elsewhere, by the ARN that rules name them by.
    :param id_of: the id of an account that a rule may name by its number.

    ``account`` finds an account by its id.
    """

    __slots__ = (
        "_backing",
        "_buckets",
        "_outbox",
        "_read",
        "account",
        "id_of",
        "permits",
        "remotes",
    )

    def __init__(
        self,
        backing: Backing,
        buckets: Buckets,
        outbox: Outbox,
        read_rules: Callable[[bytes], tuple[Rule, ...]],
        permits: Permits,
        remotes: Mapping[str, RemoteBucket],
        id_of: Callable[[str], str] = str,
    ) -> None:
        self._backing = backing
        self._buckets = buckets
        self._outbox = outbox
        self.permits = permits
        self.account: Callable[[str], Account | None] = Account
        self.id_of = id_of
        self._read = functools.lru_cache(maxsize=256)(_tolerant(read_rules))
        self.remotes = remotes
        outbox.add_route(Setting.REPLICATION, self.route)
        outbox.add_target(TARGET, functools.partial(self._deliver, self._copy))
        for arn, remote in remotes.items():
            outbox.add_target(
                f"{TARGET}:{arn}", functools.partial(self._deliver, self._sender(remote))
            )

    # -- what is to be done, written down with what happened

    def route(self, c: Connection, bucket: Bucket, event: Event) -> Iterable[tuple[str, str]]:
        """Which copies an event asks for; a new version is PENDING from then on."""
        name = event.name
        change = name.startswith(_CHANGES)
        if not (change or name == _MARKED or name.startswith(_CREATED)):
            # A removal for good is nobody's but this bucket's.
            return ()
        version_id = event.version_id
        stored = setting_rows.get(c, bucket.id, SETTING)
        if stored is None or version_id is None or version_id == NULL_VERSION:
            return ()
        key = event.key.encode("utf-8", "surrogateescape")
        version = object_rows.get_version(c, bucket.id, key, version_id, inline=False)
        if version is None:
            return ()
        chosen = list(choose(self._read(stored), version, change=change))
        if chosen and not change:
            object_rows.set_replication(c, version.seq, pending(len(chosen)))
        return [
            (
                f"{TARGET}:{rule.arn}" if rule.arn in self.remotes else TARGET,
                json.dumps({"rule": rule.id, "to": rule.arn, "slot": slot}),
            )
            for slot, rule in enumerate(chosen)
        ]

    # -- doing it

    def _deliver(self, copy: Callable[[Task], None], delivery: Delivery) -> None:
        event = delivery.event
        note = json.loads(delivery.note)
        try:
            source = self._buckets.get(event.bucket, account=event.account, fresh=True)
        except NoSuchBucket:
            return
        if source.id != event.bucket_id or event.version_id is None:
            return
        task = Task(
            source=source,
            key=event.key.encode("utf-8", "surrogateescape"),
            version_id=event.version_id,
            event=event,
            change=event.name.startswith(_CHANGES),
            slot=note["slot"],
            rule=None,
            origin=Origin(Caller(Account(source.account)), event.request_id),
        )
        try:
            rule = self._rule(source, note["rule"], note["to"])
            if not self.permits(source.account, source, _READING, task.key):
                raise Refused("SrcGetObjectNotPermitted")
            copy(replace(task, rule=rule))
        except Refused as refusal:
            logger.warning(
                "Version %s of %r in bucket %r was not replicated to %s: %s.",
                task.version_id,
                event.key,
                event.bucket,
                note["to"],
                _REASONS.get(str(refusal), str(refusal)),
            )
            self._fail(task, note, str(refusal))
        except Exception as error:
            if delivery.attempt >= self._outbox.attempts:
                self._fail(task, note, type(error).__name__)
            raise

    def _rule(self, source: Bucket, rule_id: str, arn: str) -> Rule:
        """The rule as it is now.

        :raises Refused: it is not there any more.
        """
        stored = self._buckets.setting(source, SETTING)
        for rule in self._read(stored) if stored is not None else ():
            if rule.id == rule_id and rule.arn == arn and rule.enabled:
                return rule
        raise Refused("RuleRemoved")

    def _fail(self, task: Task, note: Mapping[str, Any], reason: str) -> None:
        """Tell the version, and who listens, that there is no copy."""

        def work(c: Connection) -> None:
            version = self._locked(c, task)
            if version is None:
                return
            if not task.change:
                status = settled(version.replication, task.slot, "F")
                object_rows.set_replication(c, version.seq, status)
            self._record(c, task, version, "OperationFailedReplication", note, reason)

        try:
            self._backing.index.write(work)
        except NoSuchBucket:
            pass

    def _record(
        self,
        c: Connection,
        task: Task,
        version: ObjectVersion,
        name: str,
        note: Mapping[str, Any],
        reason: str = "",
    ) -> None:
        details = {
            "replicationEventData": {
                "replicationRuleId": note["rule"],
                "destinationBucket": note["to"],
                "s3Operation": "OBJECT_PUT" if not task.change else "OBJECT_PUT_METADATA",
                "requestTime": task.event.time,
                **({"failureReason": reason} if reason else {}),
            }
        }
        present = bucket_rows.get_state(c, task.source.id).present
        self._outbox.record(
            c,
            f"s3:Replication:{name}",
            task.source,
            version,
            task.origin,
            present,
            details=details,
        )

    def _locked(self, c: Connection, task: Task) -> ObjectVersion | None:
        """The source's version, its key locked."""
        object_rows.lock_current(c, task.source.id, task.key)
        return object_rows.get_version(c, task.source.id, task.key, task.version_id, inline=False)

    # -- inside this endpoint

    def _copy(self, task: Task) -> None:
        """Make the replica, or change it, and settle the source's status, all in one."""
        rule = task.rule
        assert rule is not None
        source, key, version_id = task.source, task.key, task.version_id
        target = self._destination(task, rule)
        version = self._backing.index.read(
            lambda c: object_rows.get_version(c, source.id, key, version_id)
        )
        if version is None:
            # Removed for good meanwhile.
            return
        copied: _Copied | None = None
        if not task.change and not is_settled(version.replication, task.slot):
            there = self._backing.index.read(
                lambda c: object_rows.get_version(c, target.id, key, version_id, inline=False)
            )
            if there is None:
                if self._backing.encryptions.is_blocked(target, version.encryption):
                    raise Refused("DstPutObjectNotPermitted")
                wanted = self._replica(version, target, rule)
                ask(wanted, target, task.origin)
                copied = self._bytes_for(wanted, target, self._sealing(wanted, target))
        stored: ObjectVersion | None = None

        def work(c: Connection) -> ObjectVersion | None:
            # One order for all, so that two that replicate to each other wait for no other.
            for bucket_id in sorted((source.id, target.id)):
                object_rows.lock_current(c, bucket_id, key)
            now = object_rows.get_version(c, source.id, key, version_id, inline=False)
            if now is None:
                return None
            there = object_rows.get_version(c, target.id, key, version_id, inline=False)
            if task.change:
                if there is not None:
                    self._change(c, task, rule, now, there)
                return None
            if is_settled(now.replication, task.slot):
                return None
            made = None
            if there is None:
                if copied is None:
                    # It was there a moment ago, and its owner has removed it.
                    raise ContentGone(version_id)
                made = self._insert(c, task, rule, target, now, copied)
            object_rows.set_replication(c, now.seq, settled(now.replication, task.slot, "C"))
            late = rule.threshold * 60_000
            if late and self._backing.now() - task.event.time > late:
                note = {"rule": rule.id, "to": rule.arn}
                self._record(c, task, now, "OperationReplicatedAfterThreshold", note)
            return made

        try:
            stored = self._backing.index.write(work)
        except (Refused, ContentGone, NoSuchBucket, QuotaExceeded):
            self._discard(copied)
            raise
        # After any other failure the commit may have happened, so the orphan sweep decides.
        if stored is None:
            self._discard(copied)
        elif not stored.delete_marker:
            emit_object(object_created, f"{_CREATED}Put", target, stored, task.origin)

    def _destination(self, task: Task, rule: Rule) -> Bucket:
        """The bucket that a rule names, which must take the copy.

        :raises Refused:
        """
        try:
            meant = self.id_of(rule.account) if rule.account else task.source.account
            target = self._buckets.get(rule.bucket, account=meant, fresh=True)
        except NoSuchBucket:
            raise Refused("DstBucketNotFound") from None
        if target.versioning is not Versioning.ENABLED:
            raise Refused("DstBucketUnversioned")
        owner = self.account(target.account) or Account(target.account)
        if rule.account and rule.account not in (owner.id, owner.number):
            raise Refused("DstBucketOwnerChanged")
        source = task.source
        action, refusal = "s3:ReplicateObject", "DstPutObjectNotPermitted"
        if task.event.name == _MARKED:
            action, refusal = "s3:ReplicateDelete", "DstDelObjNotPermitted"
        elif task.event.name.startswith(_TAGGED):
            action, refusal = "s3:ReplicateTags", "DstPutTaggingNotPermitted"
        # In a bucket of its own as well: its policy may deny it.
        if not self.permits(source.account, target, action, task.key):
            raise Refused(refusal)
        return target

    @staticmethod
    def _replica(version: ObjectVersion, target: Bucket, rule: Rule) -> ObjectVersion:
        """The version as it is to be stored at its destination."""
        replica = replace(
            version,
            bucket_id=target.id,
            seq=0,
            is_latest=True,
            replication=REPLICA,
            restored_until=0,
        )
        if rule.storage_class and not version.delete_marker:
            replica = replace(replica, storage_class=rule.storage_class)
        if rule.owner_override:
            replica = replace(replica, owner=target.account, acl=None)
        return replica

    def _insert(
        self,
        c: Connection,
        task: Task,
        rule: Rule,
        target: Bucket,
        now: ObjectVersion,
        copied: _Copied,
    ) -> ObjectVersion:
        state = versions.state_for_write(c, target, self._backing.profile)
        if state.versioning is not Versioning.ENABLED:
            raise Refused("DstBucketUnversioned")
        if now.lock != NO_LOCK and not state.object_lock:
            raise Refused("DstObjectLockDisabled")
        replica = replace(
            self._replica(now, target, rule), inline=copied.inline, content=copied.content
        )
        if copied.encryption is not None:
            encryption = self._backing.encryptions.newest(copied.encryption)
            replica = replace(replica, encryption=encryption)
        if ownership.owner_enforced(c, target, state.present):
            replica = replace(replica, owner=target.account, acl=None)
        seq = versions.add_replica(c, state, replica, self._backing.now(), new_content=copied.new)
        if not replica.delete_marker:
            # They are sealed, if at all, under the object's keys, which the replica has too.
            with quota.counting_annotations(c, state, seq):
                annotation_rows.copy(c, now.seq, seq)
        if copied.parts:
            assert copied.content is not None
            upload_rows.insert_parts(c, copied.content.id, copied.parts)
        name = _MARKED if replica.delete_marker else f"{_CREATED}Put"
        self._outbox.record(c, name, target, replica, task.origin, state.present)
        return replica

    def _change(
        self, c: Connection, task: Task, rule: Rule, now: ObjectVersion, there: ObjectVersion
    ) -> None:
        """Make the replica what its source is in the one respect that the event is about."""
        name = task.event.name
        if name.startswith("s3:ObjectTagging:"):
            object_rows.set_tags(c, there.seq, now.tags)
        elif name.startswith("s3:ObjectAcl:"):
            if not rule.owner_override:
                object_rows.set_acl(c, there.seq, now.acl)
        elif name.startswith("s3:ObjectAnnotation:"):
            try:
                # As its source was asked, but for who may go past GOVERNANCE: that was asked there.
                check_unprotected(there.lock, self._backing.now(), bypass=True)
                may_lose = True
            except AccessDenied:
                may_lose = False
            state = bucket_rows.hold_state(c, there.bucket_id)
            with quota.counting_annotations(c, state, there.seq):
                annotation_rows.follow(c, now.seq, there.seq, may_lose=may_lose)
        elif name.startswith("s3:ObjectLegalHold:"):
            versions.follow_legal_hold(c, there, now.lock)
        else:
            versions.follow_retention(c, there, now.lock, self._backing.now())

    # -- the bytes

    def _sealing(self, version: ObjectVersion, target: Bucket) -> Sealing | None:
        """How a bucket's default has what comes without encryption encrypted; None for not at all.

        :raises S3Error: it cannot be had now.
        """
        if version.encryption is not None or version.delete_marker:
            return None
        return self._backing.encryptions.sealing_for(target, None)

    def _bytes_for(
        self, version: ObjectVersion, target: Bucket, sealing: Sealing | None
    ) -> _Copied:
        """The bytes of what is to be a replica on its own storage.

        :param sealing: seal them so; without it they stay as they are, sealed or not.
        :raises ContentGone: the version was removed meanwhile.
        """
        content = version.content
        encryption = None if sealing is None else sealing.encryption
        if content is None:
            inline = version.inline
            if sealing is not None and inline is not None:
                inline = seal_bytes(sealing.seal, inline)
            return _Copied(inline, None, (), new=False, encryption=encryption)
        storage = self._backing.storage_for(target.name, version.storage_class)
        if not content.parts:
            if content.storage == storage and sealing is None:
                return _Copied(None, content, (), new=False)
            seal = None if sealing is None else sealing.seal
            blob = self._copy_blob(content.storage, content.id, storage, seal)
            whole = replace(content, id=blob, storage=storage)
            if seal is not None:
                whole = replace(whole, sealing=seal.id.hex())
            return _Copied(None, whole, (), new=True, encryption=encryption)
        parts = self._parts(content)
        if sealing is None and all(part.storage == storage for part in parts):
            return _Copied(None, content, (), new=False)
        made: list[Part] = []
        try:
            for part in parts:
                seal = None if sealing is None else sealing.for_part()
                blob = self._copy_blob(part.storage, part.blob, storage, seal)
                part = replace(part, storage=storage, blob=blob)
                made.append(part if seal is None else replace(part, sealing=seal.id.hex()))
        except BaseException:
            for part in made:
                self._backing.delete_blob(part.storage, part.blob)
            raise
        whole = replace(content, id=new_blob_id(), storage=storage)
        return _Copied(None, whole, tuple(made), new=True, encryption=encryption)

    def _parts(self, content: Content) -> list[Part]:
        found: list[Part] = []
        after = 0
        while True:
            page = self._backing.index.read(
                lambda c, start=after: object_rows.part_page(c, content.id, start, PART_PAGE)  # type: ignore[misc]
            )
            found += page
            if len(page) < PART_PAGE:
                break
            after = page[-1].number
        if not found:
            raise ContentGone(content.id)
        return found

    def _copy_blob(self, source: str, blob: str, target: str, seal: Seal | None) -> str:
        """Copy a blob as it lies there, or sealed; answers its id on the other storage."""
        store = self._backing.storages[source]
        try:
            size = store.size(blob)
            blocks = store.open(blob, 0, size)
        except (FileNotFoundError, KeyError):
            raise ContentGone(blob) from None
        copy = new_blob_id()
        try:
            writer: BlobWriter
            if seal is None:
                writer = self._backing.storages[target].create(copy, size)
            else:
                plain = self._backing.storages[target].create(copy, seal.size(size))
                writer = SealedWriter(plain, seal)
            try:
                for block in blocks:
                    writer.write(block)
                writer.commit()
            except BaseException:
                writer.discard()
                raise
        finally:
            blocks.close()
        return copy

    def _discard(self, copied: _Copied | None) -> None:
        if copied is None or not copied.new or copied.content is None:
            return
        if copied.parts:
            for part in copied.parts:
                self._backing.delete_blob(part.storage, part.blob)
        else:
            self._backing.delete_blob(copied.content.storage, copied.content.id)

    # -- elsewhere

    def _sender(self, remote: RemoteBucket) -> Callable[[Task], None]:
        return functools.partial(self._send, remote)

    def _send(self, remote: RemoteBucket, task: Task) -> None:
        """Store the version in a bucket of another endpoint, or change it there.

        Nothing there can be given a version id. So a replica carries its own in its metadata, and
        one that is already there is not stored again.
        """
        source, key, version_id = task.source, task.key, task.version_id
        version = self._backing.index.read(
            lambda c: object_rows.get_version(c, source.id, key, version_id)
        )
        rule = task.rule
        assert rule is not None
        if version is None or (not task.change and is_settled(version.replication, task.slot)):
            return
        newest = remote.head(key)
        if version.delete_marker:
            if not newest.marked:
                remote.delete(key)
        elif task.change:
            if newest.replica_of == version_id and task.event.name.startswith("s3:ObjectTagging:"):
                remote.put_tags(key, version.tags, newest.version_id)
            return
        elif newest.replica_of != version_id:
            if version.size > remote.largest:
                raise Refused("SrcObjectTooLarge")
            encryption = version.encryption
            if encryption is not None and encryption.algorithm == "SSE-C":
                raise Refused("SrcObjectUnreadable")
            blocks = self._backing.read(version, 0, version.size)
            storage_class = rule.storage_class or version.storage_class
            try:
                remote.put(key, version, storage_class, blocks, kms_key_id=rule.kms_key_id)
            finally:
                close = getattr(blocks, "close", None)
                if close is not None:
                    close()

        def work(c: Connection) -> None:
            now = self._locked(c, task)
            if now is not None:
                object_rows.set_replication(c, now.seq, settled(now.replication, task.slot, "C"))

        self._backing.index.write(work)


@dataclass(frozen=True, slots=True)
class Task:
    """One copy that is to be made."""

    source: Bucket
    key: bytes
    version_id: str
    event: Event
    change: bool
    slot: int
    rule: Rule | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Copied:
    """Bytes that a replica may point at; ``new`` ones nobody else points at yet.

    ``encryption`` is how they are sealed, if not as the source's are.
    """

    inline: bytes | None
    content: Content | None
    parts: tuple[Part, ...]
    new: bool
    encryption: Encryption | None = None


def _tolerant(
    read_rules: Callable[[bytes], tuple[Rule, ...]],
) -> Callable[[bytes], tuple[Rule, ...]]:
    def read(stored: bytes) -> tuple[Rule, ...]:
        try:
            return read_rules(stored)
        except S3Error:
            # No client's fault: what it stores is stored.
            logger.exception("A bucket's replication rules cannot be read, so nothing is copied.")
            return ()

    return read


def choose(rules: Iterable[Rule], version: ObjectVersion, *, change: bool) -> Iterable[Rule]:
    """For each destination the rule that counts: of several the one of the highest priority."""
    chosen: dict[str, Rule] = {}
    for rule in sorted(rules, key=lambda each: each.priority):
        if rule.wants(version, change=change):
            chosen[rule.arn] = rule
    return chosen.values()


def ask(replica: ObjectVersion, target: Bucket, origin: Origin) -> None:
    """Let the receivers of the destination forbid it.

    :raises Refused:
    """
    if replica.delete_marker:
        return
    try:
        ask_object(before_object_created, f"{_CREATED}Put", target, replica, origin)
    except AccessDenied:
        raise Refused("DstPutObjectNotPermitted") from None


# -- a version's status: S3's word, and where it has several destinations how each of them stands


def pending(destinations: int) -> str:
    """The status of a version that is to be copied to so many."""
    return PENDING if destinations == 1 else f"{PENDING}:{'P' * destinations}"


def shown(status: str) -> str:
    """S3's word for a status."""
    return status.partition(":")[0]


def is_unreplicated(status: str) -> bool:
    """Whether a version waits for a copy of it, or one could not be made."""
    return shown(status) in (PENDING, FAILED)


def _slots(status: str) -> tuple[str, str]:
    word, _, slots = status.partition(":")
    return word, slots or {COMPLETED: "C", FAILED: "F"}.get(word, "P")


def is_settled(status: str, slot: int) -> bool:
    """Whether this destination has its copy."""
    _, slots = _slots(status)
    return slots[slot : slot + 1] == "C"


def settled(status: str, slot: int, outcome: str) -> str:
    """The status once a destination has its copy (``C``) or will not get it (``F``).

    One copy that failed makes the whole FAILED, as on S3.
    """
    word, slots = _slots(status)
    if word == REPLICA or slot >= len(slots):
        return status
    slots = slots[:slot] + outcome + slots[slot + 1 :]
    word = FAILED if "F" in slots else PENDING if "P" in slots else COMPLETED
    return word if len(slots) == 1 else f"{word}:{slots}"


__all__ = ["RemoteError", "Replication", "Rule", "choose", "shown"]
