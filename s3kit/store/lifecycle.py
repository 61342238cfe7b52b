"""Lifecycle that runs: what a bucket's rules mean by now is done, once, by whoever comes first.

A walk only proposes. Each proposal is decided again under its key's lock, by the rules and versions
of that moment, so that what was overwritten, locked or tagged meanwhile is spared, and two who walk
the same bucket do nothing twice. A lease per bucket shares the work and keeps the place to go on
from after a crash.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from ..blobs.base import new_blob_id
from ..errors import NoSuchBucket
from ..errors import S3Error
from ..index import buckets as bucket_rows
from ..index import leases
from ..index import lifecycle as rows
from ..index import objects as object_rows
from ..index import settings as setting_rows
from ..index import uploads as upload_rows
from ..index.lifecycle import WalkedVersion
from ..index.session import Connection
from ..model import Bucket
from ..model import Content
from ..model import ObjectVersion
from ..model import Part
from ..model import Upload
from ..model import Versioning
from ..signals import before_object_removed
from ..signals import object_removed
from ..signals import object_transitioned
from ..wire.lifecycle import Action
from ..wire.lifecycle import Decision
from ..wire.lifecycle import Facts
from ..wire.lifecycle import Lifecycle
from ..wire.lifecycle_document import MOST_KEPT
from ..wire.lifecycle_document import read_lifecycle
from . import versions
from .backing import Backing
from .buckets import Buckets
from .chore import Chore
from .chore import Regular
from .events import FROM_PYTHON
from .events import ask_object
from .events import emit_object
from .relocating import Stopped
from .relocating import copy_blob
from .replication import is_unreplicated
from .restoring import Restoring

if TYPE_CHECKING:
    from blinker import Signal

logger = logging.getLogger("s3kit.lifecycle")

SETTING = "lifecycle"
DELETED = "s3:LifecycleExpiration:Delete"
MARKED = "s3:LifecycleExpiration:DeleteMarkerCreated"
TRANSITIONED = "s3:LifecycleTransition"

PAGE = 500
"""Versions looked at in one read."""
BATCH = 50
"""Versions changed in one transaction: writers wait no longer than for these."""
LONGEST_PAUSE = 0.05
LONGEST_LEASE_MS = 60_000
SHORTEST_LEASE_MS = 1000
RUNS_A_DAY = 24
_NO_RULES = Lifecycle(())
_UNCOUNTED = MOST_KEPT + 1


@dataclass(slots=True)
class Report:
    """What a run has done.

    :param looked: versions that it has looked at.
    :param kept: what a lock or a receiver's veto kept from being removed.
    :param spared: what was something else by the time it was to be done.
    :param held: buckets that another process is at.
    """

    buckets: int = 0
    looked: int = 0
    removed: int = 0
    marked: int = 0
    transitioned: int = 0
    moved_bytes: int = 0
    aborted: int = 0
    archived_again: int = 0
    kept: int = 0
    spared: int = 0
    failed: int = 0
    held: int = 0

    def as_dict(self) -> dict[str, int]:
        """For a document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version, and what a walk found to be due for it."""

    key: bytes
    seq: int
    version_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of a proposal in its transaction."""

    name: str
    version: ObjectVersion


class Lifecycles(Regular):
    """The lifecycle of every bucket of a Store."""

    __slots__ = ("_backing", "_buckets", "_restoring")

    def __init__(self, backing: Backing, buckets: Buckets, restoring: Restoring) -> None:
        self._backing = backing
        self._buckets = buckets
        self._restoring = restoring
        super().__init__(Chore("s3kit-lifecycle", self._in_background, self.interval))

    # -- what clients are told

    def expiration(self, bucket: Bucket, version: ObjectVersion) -> tuple[int, str] | None:
        """When a current version expires (ms), and by which rule; None for never."""
        rules = self.rules(bucket)
        if rules is None or version.delete_marker:
            return None
        facts = Facts(version.key, version.size, version.modified, tags=version.tags)
        return rules.expiration(facts, day=self._backing.day)

    def abort_of(self, bucket: Bucket, upload: Upload) -> tuple[int, str] | None:
        """When an upload is ended (ms), and by which rule; None for never."""
        rules = self.rules(bucket)
        if rules is None:
            return None
        return rules.abort(upload.key, upload.started, day=self._backing.day)

    def rules(self, bucket: Bucket) -> Lifecycle | None:
        """A bucket's rules, at most a second old."""
        return self._buckets.remembered(bucket, SETTING, read_lifecycle)

    # -- running

    @property
    def interval(self) -> float:
        """Seconds between two runs: an hour, or a shorter day's 24th part."""
        return max(0.2, self._backing.day / 1000 / RUNS_A_DAY)

    def total(self) -> int:
        """How many versions the buckets with rules have."""
        index = self._backing.index
        return sum(
            index.read(lambda c, bucket_id=number: rows.count(c, bucket_id))  # type: ignore[misc]
            for number, _ in self._with_rules()
        )

    def run(
        self,
        *,
        since: int | None = None,
        stop: threading.Event | None = None,
        advance: Callable[[int], object] = lambda count: None,
    ) -> Report:
        """Do what is due by now, in every bucket that nobody else is at.

        It may be ended at any time, and any number may run at once.

        :param since: milliseconds; a bucket that was done with later is left out. None leaves out
            none.
        :param stop: set it to have the run end soon.
        :param advance: told of the versions that were looked at.
        """
        run = Run(self._backing, since, stop or threading.Event(), advance)
        run.report.archived_again = self._restoring.archive_again()
        for number, name in self._with_rules():
            if run.stop.is_set():
                break
            run.visit(number, name)
        return run.report

    def _with_rules(self) -> Iterator[tuple[int, str]]:
        after = 0
        while True:
            page = self._backing.index.read(
                lambda c, start=after: rows.buckets_with(c, SETTING, start, PAGE)  # type: ignore[misc]
            )
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def _in_background(self, stop: threading.Event) -> None:
        # All processes of an endpoint come here; the first after the interval does the work.
        since = leases.wall_clock() - round(self.interval * 900)
        report = self.run(since=since, stop=stop)
        if report.failed:
            logger.warning("Lifecycle could not do all that is due: %s.", report.as_dict())


class Run:
    """One run over the buckets, see :meth:`Lifecycles.run`."""

    def __init__(
        self,
        backing: Backing,
        since: int | None,
        stop: threading.Event,
        advance: Callable[[int], object],
    ) -> None:
        self.report = Report()
        self.stop = stop
        self._backing = backing
        self._index = backing.index
        self._since = since
        self._advance = advance
        self._holder = secrets.token_hex(16)
        # Where a day is a moment, nobody waits a minute for one who was killed.
        self.lease = max(SHORTEST_LEASE_MS, min(LONGEST_LEASE_MS, backing.day))

    # -- one bucket

    def visit(self, number: int, name: str) -> None:
        """Do what is due in a bucket, unless another holds it or has just done it."""
        lease_name = f"lifecycle/{number}"
        known = self._index.read(lambda c: leases.get(c, lease_name))
        now = leases.wall_clock()
        if known is not None:
            # What lies in the future was written down while a clock was ahead.
            if now < known.until <= now + LONGEST_LEASE_MS:
                self.report.held += 1
                return
            if self._since is not None and self._since <= _finished(known.progress) <= now:
                return
        until = now + self.lease
        lease = self._index.write(
            lambda c: leases.take(c, lease_name, self._holder, now, until, LONGEST_LEASE_MS)
        )
        if lease is None:
            self.report.held += 1
            return
        bucket = self._index.read(lambda c: bucket_rows.get(c, name))
        stored = self._index.read(lambda c: setting_rows.get(c, number, SETTING))
        if bucket is None or bucket.id != number or stored is None:
            self._index.write(lambda c: leases.forget(c, lease_name))
            return
        if self._backing.profile.always_versioned:
            bucket = replace(bucket, versioning=Versioning.ENABLED)
        try:
            walk = _Walk(self, bucket, stored, lease_name, lease.progress)
            finished = walk.go()
        except NoSuchBucket:
            self._index.write(lambda c: leases.forget(c, lease_name))
        except _Overtaken:
            self.report.held += 1
        except Exception:
            self.report.failed += 1
            logger.exception("Lifecycle of bucket %r failed; it will be tried again.", bucket.name)
            # At once, by whoever comes next: the place to go on from is kept.
            self._give_back(lease_name, None)
        else:
            if finished:
                self.report.buckets += 1
                self._give_back(lease_name, json.dumps({"finished": now}))
            else:
                self._give_back(lease_name, None)

    def _give_back(self, lease_name: str, progress: str | None) -> None:
        def work(c: Connection) -> None:
            kept = progress
            if kept is None:
                lease = leases.get(c, lease_name)
                kept = "" if lease is None else lease.progress
            leases.keep(c, lease_name, self._holder, 0, kept)

        self._index.write(work)

    def hold(self, lease_name: str, progress: str) -> None:
        """Write down how far the walk has come.

        :raises _Overtaken: another took the bucket, for this run was slower than its lease.
        """
        until = leases.wall_clock() + self.lease
        if not self._index.write(
            lambda c: leases.keep(c, lease_name, self._holder, until, progress)
        ):
            raise _Overtaken

    def looked(self, count: int) -> None:
        """So many versions more were looked at."""
        self.report.looked += count
        self._advance(count)


class _Walk:
    """A run's way through one bucket."""

    def __init__(
        self, run: Run, bucket: Bucket, stored: bytes, lease_name: str, progress: str
    ) -> None:
        self._run = run
        self._backing = run._backing
        self._index = run._backing.index
        self._report = run.report
        self._bucket = bucket
        self._stored = stored
        self._rules = read_lifecycle(stored)
        self._lease_name = lease_name
        self._place = _place(progress)
        self._held = time.monotonic()

    def go(self) -> bool:
        """Walk to the end; False where the run was stopped before it."""
        rules = self._rules
        if rules.of_objects:
            after = self._place
            for low, high in reversed(_ranges(rules)):
                if not self._versions(low, high, after):
                    return False
        if rules.of_uploads:
            for low, high in _ranges(rules):
                if not self._uploads(low, high):
                    return False
        return True

    def _versions(self, low: bytes, high: bytes | None, after: tuple[bytes, int] | None) -> bool:
        bucket_id = self._bucket.id
        older = 0
        before = b""
        while not self._run.stop.is_set():
            # One more than is looked at now, for what replaced a version is the row behind it.
            found = self._index.read(
                lambda c, place=after: rows.walk(c, bucket_id, low, high, place, PAGE + 1)  # type: ignore[misc]
            )
            page = found[:PAGE]
            proposals: list[Proposal] = []
            for place, version in enumerate(page):
                behind = found[place + 1] if place + 1 < len(found) else None
                successor = behind if behind is not None and behind.key == version.key else None
                if version.key != before:
                    older, before = 0, version.key
                decision = self._propose(version, successor, alone=older == 0)
                if decision is None:
                    older += 1
                    continue
                if decision.action is not Action.REMOVE:
                    older += 1
                proposals.append(Proposal(version.key, version.seq, version.version_id, decision))
            self._do(proposals)
            self._run.looked(len(page))
            if len(found) <= PAGE:
                return True
            after = (page[-1].key, page[-1].seq)
            self._keep_place(after)
        return False

    def _keep_place(self, after: tuple[bytes, int]) -> None:
        progress = json.dumps({"key": after[0].hex(), "seq": after[1]})
        self._run.hold(self._lease_name, progress)
        self._place = after
        self._held = time.monotonic()

    def stay(self) -> None:
        """Go on holding the bucket through what takes long."""
        if (time.monotonic() - self._held) * 1000 > self._run.lease / 4:
            self._held = time.monotonic()
            place = self._place
            progress = "" if place is None else json.dumps({"key": place[0].hex(), "seq": place[1]})
            self._run.hold(self._lease_name, progress)

    def _propose(
        self, version: WalkedVersion, successor: WalkedVersion | None, *, alone: bool
    ) -> Decision | None:
        """What seems to be due for a version; the transaction decides."""
        facts = Facts(
            version.key,
            version.size,
            version.modified,
            version.storage_class,
            version.tags,
            version.delete_marker,
            latest=successor is None,
            since=0 if successor is None else max(version.modified, successor.modified),
            newer=_UNCOUNTED,
            alone=alone,
            unreplicated=is_unreplicated(version.replication),
        )
        decision = self._decide(self._rules, facts, self._bucket.versioning)
        if decision is None or facts.latest or not _counts(self._rules):
            return decision
        bucket_id, key, seq = self._bucket.id, version.key, version.seq
        count = len(self._index.read(lambda c: rows.newer(c, bucket_id, key, seq, _UNCOUNTED)))
        return self._decide(self._rules, replace(facts, newer=count - 1), self._bucket.versioning)

    def _decide(self, rules: Lifecycle, facts: Facts, versioning: Versioning) -> Decision | None:
        backing = self._backing
        return rules.decide(
            facts,
            backing.now(),
            versioned=versioning is not Versioning.NEVER,
            day=backing.day,
            small=backing.small,
        )

    # -- doing it

    def _do(self, proposals: list[Proposal]) -> None:
        # By key, as all who lock several; of a key the oldest version first.
        proposals.sort(key=lambda each: (each.key, each.seq))
        if before_object_removed.receivers:
            proposals = [each for each in proposals if self._may(each)]
        for start in range(0, len(proposals), BATCH):
            if self._run.stop.is_set():
                return
            began = time.monotonic()
            self._commit(proposals[start : start + BATCH])
            # As long as it took, others may write.
            self._run.stop.wait(min(time.monotonic() - began, LONGEST_PAUSE))
            self.stay()

    def _may(self, proposal: Proposal) -> bool:
        """Ask who can forbid a removal."""
        if proposal.decision.action is Action.TRANSITION:
            return True
        bucket, key, version_id = self._bucket, proposal.key, proposal.version_id
        version = self._index.read(
            lambda c: object_rows.get_version(c, bucket.id, key, version_id, inline=False)
        )
        if version is None:
            return False
        hiding = proposal.decision.action is Action.EXPIRE
        marked = hiding and bucket.versioning is not Versioning.NEVER
        try:
            ask_object(
                before_object_removed, MARKED if marked else DELETED, bucket, version, FROM_PYTHON
            )
        except S3Error:
            self._report.kept += 1
            return False
        except Exception:
            self._report.failed += 1
            logger.exception("A receiver of before_object_removed failed.")
            return False
        return True

    def _commit(self, proposals: list[Proposal]) -> None:
        bucket = self._bucket
        done: list[_Done] = []
        moving: list[tuple[Proposal, ObjectVersion]] = []
        counts = Report()

        def work(c: Connection) -> Report:
            done.clear()
            moving.clear()
            found = Report()
            rules = self._rules_now(c)
            for proposal in proposals:
                try:
                    self._apply(c, proposal, rules, done, moving, found)
                except NoSuchBucket:
                    raise
                except S3Error:
                    # A lock holds it; its time may come.
                    found.kept += 1
            return found

        counts = self._index.write(work)
        self._report.spared += counts.spared
        self._report.kept += counts.kept
        for each in done:
            self._tell(bucket, each)
        for proposal, version in moving:
            self._move(proposal, version)

    def _tell(self, bucket: Bucket, done: _Done) -> None:
        signal: Signal = object_removed
        if done.name == TRANSITIONED:
            signal = object_transitioned
            self._report.transitioned += 1
        elif done.name == MARKED:
            self._report.marked += 1
        else:
            self._report.removed += 1
        emit_object(signal, done.name, bucket, done.version, FROM_PYTHON)

    def _rules_now(self, c: Connection) -> Lifecycle:
        """The rules at the moment of a transaction."""
        stored = setting_rows.get(c, self._bucket.id, SETTING)
        if stored == self._stored:
            return self._rules
        return _NO_RULES if stored is None else read_lifecycle(stored)

    def _judge(
        self, c: Connection, proposal: Proposal, rules: Lifecycle
    ) -> tuple[ObjectVersion, bucket_rows.State, Decision] | None:
        """A proposal's version as it is now, its key locked, and what is due for it; else None."""
        bucket, key = self._bucket, proposal.key
        version = versions.lock_walked(c, bucket.id, key, proposal.version_id, proposal.seq)
        if version is None:
            return None
        newer = rows.newer(c, bucket.id, key, version.seq, _UNCOUNTED if _counts(rules) else 1)
        facts = Facts(
            key,
            version.size,
            version.modified,
            version.storage_class,
            version.tags,
            version.delete_marker,
            latest=not newer,
            # A replica is as old as its source, and a clock may have been set back.
            since=max(version.modified, newer[0][1]) if newer else 0,
            newer=len(newer) - 1,
            alone=not newer and not rows.has_older(c, bucket.id, key, version.seq),
            unreplicated=is_unreplicated(version.replication),
        )
        state = versions.state_for_write(c, bucket, self._backing.profile)
        decision = self._decide(rules, facts, state.versioning)
        return None if decision is None else (version, state, decision)

    def _apply(
        self,
        c: Connection,
        proposal: Proposal,
        rules: Lifecycle,
        done: list[_Done],
        moving: list[tuple[Proposal, ObjectVersion]],
        found: Report,
    ) -> None:
        bucket = self._bucket
        judged = self._judge(c, proposal, rules)
        if judged is None:
            found.spared += 1
            return
        version, state, decision = judged
        if decision.action is not proposal.decision.action:
            # Another rule counts by now, and nobody was asked about what it wants.
            found.spared += 1
            return
        if decision.action is Action.TRANSITION:
            if self._lies_elsewhere(version, decision.storage_class):
                moving.append((proposal, version))
                return
            object_rows.set_storage_class(c, version, decision.storage_class)
            changed = replace(version, storage_class=decision.storage_class)
            self._record_transition(c, changed, state.present)
            done.append(_Done(TRANSITIONED, changed))
            return
        marker = versions.delete_marker(bucket, proposal.key, self._backing.now())
        hiding = decision.action is Action.EXPIRE and state.versioning is not Versioning.NEVER
        version_id = None if hiding else version.version_id
        gone = versions.remove_version(c, state, marker, version_id, version)
        if gone is None:
            found.spared += 1
            return
        name = MARKED if hiding else DELETED
        self._backing.outbox.record(c, name, bucket, gone, FROM_PYTHON, state.present)
        done.append(_Done(name, gone))

    # -- transitions to another storage

    def _lies_elsewhere(self, version: ObjectVersion, storage_class: str) -> bool:
        """Whether a class has a storage of its own, and a version's bytes are not all there."""
        target = self._backing.storage_classes.get(storage_class)
        content = version.content
        return target is not None and content is not None and content.storage != target

    def _move(self, proposal: Proposal, version: ObjectVersion) -> None:
        """Copy a version's bytes to its new class's storage, then point it at them.

        A crash in between leaves blobs that no row knows, which the orphan sweep takes. Others that
        share the old bytes keep them, and whoever reads them has the grace period to end.
        """
        backing = self._backing
        name = backing.storage_classes[proposal.decision.storage_class]
        copied: list[str] = []
        moved = False
        try:
            content, parts, size = self._copies(version, name, copied)
            moved = self._index.write(lambda c: self._point(c, proposal, version, content, parts))
        except Stopped:
            pass
        except _Overtaken:
            for blob in copied:
                backing.delete_blob(name, blob)
            raise
        except Exception as error:
            # Bytes that were removed meanwhile are no failure.
            if self._is_there(version):
                self._report.failed += 1
                logger.warning(
                    "Object %r of bucket %r could not go to storage %r: %s",
                    version.key,
                    self._bucket.name,
                    name,
                    error,
                )
            if not isinstance(error, S3Error | OSError):
                # The commit may have come about after all, so the orphan sweep decides.
                return
        if moved:
            self._report.moved_bytes += size
            changed = replace(
                version, storage_class=proposal.decision.storage_class, content=content
            )
            self._tell(self._bucket, _Done(TRANSITIONED, changed))
            return
        for blob in copied:
            backing.delete_blob(name, blob)

    def _is_there(self, version: ObjectVersion) -> bool:
        found = self._index.read(
            lambda c: object_rows.get_version(
                c, version.bucket_id, version.key, version.version_id, inline=False
            )
        )
        return found is not None and found.seq == version.seq

    def _copies(
        self, version: ObjectVersion, name: str, copied: list[str]
    ) -> tuple[Content, list[Part], int]:
        storages, stop = self._backing.storages, _Staying(self._run.stop, self.stay)
        target = storages[name]
        content = version.content
        assert content is not None
        new_id = new_blob_id()
        fresh = replace(content, id=new_id, storage=name)
        if not content.parts:
            copied.append(new_id)
            size = copy_blob(
                storages[content.storage],
                content.id,
                target,
                new_id,
                etag="" if content.sealing else version.etag,
                checksum=None if content.sealing else version.checksum,
                stop=stop,
            )
            self.stay()
            return fresh, [], size
        parts: list[Part] = []
        size = 0
        after = 0
        while page := self._index.read(
            lambda c, start=after: object_rows.part_page(c, content.id, start, PAGE)  # type: ignore[misc]
        ):
            for part in page:
                blob = new_blob_id()
                copied.append(blob)
                size += copy_blob(
                    storages[part.storage],
                    part.blob,
                    target,
                    blob,
                    etag="" if part.sealing else part.etag,
                    checksum=None if part.sealing else part.checksum,
                    stop=stop,
                )
                parts.append(replace(part, storage=name, blob=blob))
                self.stay()
            after = page[-1].number
        if len(parts) != content.parts:
            raise OSError("its parts were removed meanwhile")
        return fresh, parts, size

    def _point(
        self,
        c: Connection,
        proposal: Proposal,
        version: ObjectVersion,
        content: Content,
        parts: list[Part],
    ) -> bool:
        judged = self._judge(c, proposal, self._rules_now(c))
        if judged is None or judged[2] != proposal.decision or version.content is None:
            return False
        now = judged[0]
        # Bytes may have been added to it, or it lies on another storage by now.
        if now.content is None or (now.content, now.etag) != (version.content, version.etag):
            return False
        rows.point_at(c, now, content, parts)
        object_rows.set_storage_class(c, now, proposal.decision.storage_class)
        object_rows.release(c, now.content, self._backing.now())
        changed = replace(now, storage_class=proposal.decision.storage_class, content=content)
        self._record_transition(c, changed, judged[1].present)
        return True

    def _record_transition(self, c: Connection, changed: ObjectVersion, present: int) -> None:
        there = {"transitionEventData": {"destinationStorageClass": changed.storage_class}}
        self._backing.outbox.record(
            c,
            TRANSITIONED,
            self._bucket,
            changed,
            FROM_PYTHON,
            present,
            details={"lifecycleEventData": there},
        )

    # -- uploads

    def _uploads(self, low: bytes, high: bytes | None) -> bool:
        bucket_id = self._bucket.id
        after: tuple[bytes, str] | None = None
        while not self._run.stop.is_set():
            page = self._index.read(
                lambda c, place=after: rows.open_uploads(c, bucket_id, low, high, place, PAGE)  # type: ignore[misc]
            )
            for key, upload_id, started in page:
                if self._is_old(self._rules, key, started):
                    self._abort(key, upload_id, started)
            if len(page) < PAGE:
                return True
            after = page[-1][:2]
            self.stay()
        return False

    def _is_old(self, rules: Lifecycle, key: bytes, started: int) -> bool:
        found = rules.abort(key, started, day=self._backing.day)
        return found is not None and found[0] <= self._backing.now()

    def _abort(self, key: bytes, upload_id: str, started: int) -> None:
        now = self._backing.now()

        def work(c: Connection) -> bool:
            upload = upload_rows.lock(c, upload_id)
            if upload is None or upload.completed_etag is not None:
                return False
            if not self._is_old(self._rules_now(c), key, started):
                return False
            upload_rows.abort(c, upload_id, now)
            return True

        if self._index.write(work):
            self._report.aborted += 1
        else:
            self._report.spared += 1


class _Overtaken(Exception):
    """Another holds the bucket by now."""


class _Staying(threading.Event):
    """A run's ``stop`` that is looked at again and again, so that the bucket is held meanwhile."""

    def __init__(self, stop: threading.Event, stay: Callable[[], None]) -> None:
        super().__init__()
        self._of_run = stop
        self._stay = stay

    def is_set(self) -> bool:
        self._stay()
        return self._of_run.is_set()


def _ranges(rules: Lifecycle) -> list[tuple[bytes, bytes | None]]:
    """The keys that any rule is about, as (first, past the last), in order, none twice."""
    found: list[tuple[bytes, bytes | None]] = []
    last: bytes | None = None
    for prefix in sorted({rule.prefix for rule in rules.rules}):
        if last is None or not prefix.startswith(last):
            last = prefix
            found.append((prefix, _past(prefix)))
    return found


def _past(prefix: bytes) -> bytes | None:
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _counts(rules: Lifecycle) -> bool:
    """Whether any rule spares the newest noncurrent versions."""
    return any(
        rule.noncurrent_kept or any(change.kept for change in rule.noncurrent_transitions)
        for rule in rules.rules
    )


def _progress(text: str) -> dict[str, object]:
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def _finished(progress: str) -> int:
    found = _progress(progress).get("finished")
    return found if isinstance(found, int) else 0


def _place(progress: str) -> tuple[bytes, int] | None:
    """Where a run that was killed had come to."""
    found = _progress(progress)
    key, seq = found.get("key"), found.get("seq")
    if isinstance(key, str) and isinstance(seq, int):
        with suppress(ValueError):
            return bytes.fromhex(key), seq
    return None


__all__ = ["Lifecycles", "Report", "Run"]
