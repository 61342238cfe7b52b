"""Backups of a running endpoint: the facts of one moment first, then the bytes that they name.

A blob is never changed, and one that loses its last reference outlives it by the grace period. So
the bytes of a snapshot can be copied at leisure, if none of them is removed meanwhile. Three things
see to that:

* while the copying goes on, what became garbage since the snapshot is kept on the garbage list by
  moving its time forward, long before its grace period ends. It needs no undoing: when the backup
  ends, or is killed, the grace period ends as it does for all;
* a blob that is gone all the same, say by ``gc --grace 0``, is looked up again: an object that
  moved to another storage is read there, and for one that nobody needs any more the whole snapshot
  is taken anew. What was copied before need not be copied again;
* a backup is one only when its manifest is there, which is written last, when all that it names was
  seen at the destination.

Nothing is removed there while another run counts on it. A folder has a lock for that; elsewhere
each run leaves a marker with the time in its name, and leaves it anew while it goes on. A backup
that begins writes its own first and then looks for those of removals, which do it the other way
round: so one of the two always sees the other, and gives way.

What lies at the destination::

    s3kit-backup.json                       whose backups these are
    blobs/default/3f/3f0c...                bytes, shared by all snapshots
    sums/default/3f.sha256                  the SHA-256 of each: "sha256sum -c" reads it
    snapshots/20261121T071500123Z-1f3a/        one for each backup
        index.db                            the facts, as an SQLite database
        blobs.sha256                        the SHA-256 of each blob of this snapshot
        manifest.json                       sizes and SHA-256 of these, counts, what is damaged
    running/backup-9c41f2a0-1795245301123   who is at it, where there are no locks

Blobs that a run has copied before it was stopped are found by the next, and not copied again.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from ..blobs.base import BlobStore
from ..blobs.base import is_blob_id
from ..blobs.place import Place
from ..index import garbage as garbage_rows
from ..index import identity
from ..index import scan
from ..index import snapshot as snapshots
from ..index.scan import BlobFacts
from ..index.schema import REVISIONS
from ..index.schema import create_schema
from ..index.schema import schema_revision
from ..index.schema import upgrade
from ..index.session import Index
from ..index.snapshot import NotEmpty
from .backing import Backing
from .janitor import blobs_of
from .janitor import mark
from .janitor import owner_of
from .verifying import Pace
from .verifying import Reading
from .verifying import expected_blob

logger = logging.getLogger("s3kit.store")

FORMAT = 1
CLAIM = "s3kit-backup.json"
INDEX = "index.db"
LIST = "blobs.sha256"
MANIFEST = "manifest.json"
PAGE = 200
ATTEMPTS = 3
"""How many snapshots are taken before it is given up to copy one whole."""

NAMED = 1000
"""How many damaged blobs a manifest names."""

RUNNING = "running"
REFRESH_SECONDS = 30.0
"""How often a run says that it goes on."""

STALE_SECONDS = 900.0
"""A run that has said nothing for so long was killed. Clocks may differ by less than this."""

PATIENCE_SECONDS = 10.0
"""How long a backup waits for a removal of old ones, which may be about to give way."""

SHARDS = tuple(f"{number:02x}" for number in range(256))

Advance = Callable[[int], object]


class BackupError(Exception):
    """A backup or a restore that cannot be done; the text says what would help."""


class Busy(BackupError):
    """Another run is at work at the place; later it can be done."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A blob that could not be copied as it was written down."""

    storage: str
    blob: str
    problem: str

    def __str__(self) -> str:
        return f"blob {self.blob} on storage {self.storage}: {self.problem}"


@dataclass
class Result:
    """What a backup or a restore has done. ``copied`` and ``kept`` are numbers of blobs."""

    name: str
    blobs: int = 0
    bytes: int = 0
    copied: int = 0
    kept: int = 0
    inline: int = 0
    damaged: int = 0
    damages: list[Damage] = field(default_factory=list)

    def damage(self, storage: str, blob: str, problem: str) -> None:
        """One more blob that is not as it should be."""
        self.damaged += 1
        if len(self.damages) < NAMED:
            self.damages.append(Damage(storage, blob, problem))


class Backup:
    """Backups of one endpoint to one place.

    :param rate: read at most this many bytes a second.
    :param verify: read again what earlier backups have copied.
    :param beside: further files to be kept with the snapshot, by name.
    :param begin: told how many bytes there are, when that is known.
    :param advance: told how many bytes have been dealt with.
    """

    def __init__(
        self,
        backing: Backing,
        place: Place,
        *,
        rate: int | None = None,
        verify: bool = False,
        beside: Mapping[str, Path] | None = None,
        begin: Advance = lambda size: None,
        advance: Advance = lambda size: None,
    ) -> None:
        self._backing = backing
        self._place = place
        self._pace = Pace(rate)
        self._verify = verify
        self._beside = dict(beside or {})
        self._begin = begin
        self._advance = advance
        self._vanished = ""

    def run(self) -> Result:
        """Take a snapshot and copy what it names.

        :raises BackupError: the place holds other backups, or another one is running.
        """
        with alone(self._place), staging(self._place) as folder:
            self._claim(folder)
            with _Marker(self._place, "backup") as marker:
                marker.wait_for("prune")
                for _ in range(ATTEMPTS):
                    for each in folder.iterdir():
                        _remove(each)
                    result = self._once(folder, marker)
                    if result is not None:
                        return result
        if self._vanished:
            raise BackupError(
                f"What is copied to {self._place.url} is removed there by somebody else, such as "
                f"{self._vanished}."
            )
        raise BackupError(
            "Objects are removed faster than they can be copied, and so are their bytes. Do not "
            "run `s3kit gc --grace` meanwhile, or give the endpoint a longer grace_seconds."
        )

    def _once(self, folder: Path, marker: _Marker) -> Result | None:
        """One snapshot, whole; None if bytes of it were gone before they could be copied."""
        backing = self._backing
        started = backing.now()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started / 1000))
        # Sorted by time, and by that alone where two were begun within a second.
        name = f"{moment}{started % 1000:03}Z-{secrets.token_hex(2)}"
        result = Result(name)
        with _Hold(backing, started), ExitStack() as stack:
            facts = Index(f"sqlite:///{folder / INDEX}", durability="relaxed")
            stack.callback(facts.close)
            create_schema(facts)
            numbers = snapshots.write_snapshot(backing.index, facts, lambda rows: None)
            # In the order of the list, which pruning counts on.
            names = sorted(facts.read(scan.storages), key=encode)
            totals = [facts.read(lambda c, n=each: scan.totals(c, n)) for each in names]  # type: ignore[misc]
            self._begin(sum(size for _, size in totals))
            with open(folder / LIST, "w", encoding="ascii") as listed:
                for storage in names:
                    copying = _Copying(self, facts, storage, folder, result)
                    for line in copying.run():
                        listed.write(line)
                    if copying.lost:
                        return None
            counts = facts.read(snapshots.counts)
            result.inline = facts.read(scan.inline_totals)[1]
        _settle(folder / INDEX)
        # From here on nobody begins to remove anything, and nobody is at it.
        marker.refresh()
        marker.wait_for("prune")
        self._vanished = self._look_for_all(folder)
        if self._vanished:
            return None
        self._finish(folder, result, started, names, counts, numbers)
        return result

    def _look_for_all(self, folder: Path) -> str:
        """The first blob of the list that is not at the destination; "" when all are."""
        storage = shard = ""
        present: _Present | None = None
        there: set[str] = set()
        with open(folder / LIST, encoding="ascii") as listed:
            for encoded, blob, _ in _lines(listed):
                if present is None or encoded != storage:
                    storage, shard = encoded, ""
                    store = self._place.blobs(f"blobs/{storage}")
                    try:
                        present = _Present(store, folder / f"again-{storage}")
                    finally:
                        store.close()
                if blob[:2] != shard:
                    shard = blob[:2]
                    there = present.shard(shard)
                if blob not in there:
                    return f"blobs/{storage}/{shard}/{blob}"
        return ""

    def _finish(
        self,
        folder: Path,
        result: Result,
        started: int,
        storages: list[str],
        counts: Mapping[str, int],
        numbers: Mapping[str, int],
    ) -> None:
        for storage in storages:
            self._place.settle(f"blobs/{encode(storage)}")
        files = {INDEX: folder / INDEX, LIST: folder / LIST, **self._beside}
        sums = {}
        for name, path in files.items():
            sums[name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
            self._place.write(f"snapshots/{result.name}/{name}", str(path))
        manifest = {
            "format": FORMAT,
            "name": result.name,
            "index": self._backing.index.read(identity.get),
            "schema": REVISIONS[-1],
            "started": started,
            "finished": self._backing.now(),
            "storages": storages,
            "counts": counts,
            "last_numbers": numbers,
            "blobs": result.blobs,
            "bytes": result.bytes,
            "files": sums,
            "damaged": result.damaged,
            "damages": [(each.storage, each.blob, each.problem) for each in result.damages],
        }
        path = folder / MANIFEST
        path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        self._place.write(f"snapshots/{result.name}/{MANIFEST}", str(path))

    def _claim(self, folder: Path) -> None:
        mine = self._backing.index.read(identity.get)
        path = folder / CLAIM
        try:
            self._place.read(CLAIM, str(path))
        except FileNotFoundError:
            others = [each for each in self._place.names() if not _is_ours(each)]
            if others:
                raise BackupError(
                    f"{self._place.url} is not empty ({others[0]}), and holds no backups. Give an "
                    "empty place, or one that does not exist."
                ) from None
            path.write_text(json.dumps({"format": FORMAT, "index": mine}) + "\n", "utf-8")
            self._place.write(CLAIM, str(path))
            return
        claim = _read_json(path)
        if claim.get("format") != FORMAT:
            raise BackupError(f"{self._place.url} is in a format that this s3kit does not know.")
        if claim.get("index") != mine:
            raise BackupError(
                f"{self._place.url} holds the backups of another index ({claim.get('index')}). "
                "Give each endpoint, and each one that was restored, a place of its own."
            )

    # -- what _Copying needs

    def source(self, storage: str) -> BlobStore | None:
        return self._backing.storages.get(storage)

    def target(self, storage: str) -> BlobStore:
        return self._place.blobs(f"blobs/{encode(storage)}")

    def prune(self, keep: int) -> int:
        """Remove all but the newest ``keep`` snapshots, and the blobs that only those had.

        :returns: how many blobs were removed.
        :raises Busy: another run is at work there; nothing was removed.
        """
        with (
            alone(self._place),
            _Marker(self._place, "prune") as marker,
            staging(self._place) as folder,
        ):
            if marker.others("backup") or marker.others("prune"):
                raise Busy(
                    f"Old backups at {self._place.url} were not removed, for another backup is "
                    "running there."
                )
            finished = snapshots_at(self._place)
            for each in finished:
                if each.problem:
                    # What it needs cannot be known.
                    raise BackupError(
                        f"Nothing was removed at {self._place.url}, for a backup there is "
                        f"damaged: {each.name}. {each.problem} Mend snapshots/{each.name}, or "
                        "remove it."
                    )
            kept = finished[-keep:]
            paths = []
            # All of them before the first is removed: what they do not name is.
            for snapshot in kept:
                paths.append(folder / f"{snapshot.name}.sha256")
                fetch(self._place, snapshot, LIST, paths[-1])
            names = {each.name for each in kept}
            for name in self._place.names("snapshots"):
                if name not in names:
                    # First what makes it a backup.
                    self._place.remove(f"snapshots/{name}/{MANIFEST}")
                    self._place.remove(f"snapshots/{name}")
            with ExitStack() as stack:
                files = [stack.enter_context(open(path, encoding="ascii")) for path in paths]
                return self._prune_blobs(folder, heapq.merge(*map(_lines, files)))

    def _prune_blobs(self, folder: Path, needed: Iterator[tuple[str, str, str]]) -> int:
        removed = 0
        following = next(needed, None)
        for storage in self._place.names("blobs"):
            store = self._place.blobs(f"blobs/{storage}")
            present = _Present(store, folder / f"present-{storage}")
            for shard in SHARDS:
                keep: set[str] = set()
                while following is not None and following[:2] < (storage, shard + "g"):
                    if following[0] == storage:
                        keep.add(following[1])
                    following = next(needed, None)
                found = present.shard(shard)
                if gone := found - keep:
                    for blob in gone:
                        store.delete(blob)
                    removed += len(gone)
                    sums = Sums(self._place, storage, shard, folder)
                    sums.known = {blob: known for blob, known in sums.known.items() if blob in keep}
                    sums.changed = True
                    sums.save()
            store.close()
        return removed


class _Marker:
    """Tells other machines, at a place without locks, that something goes on there.

    :param kind: ``backup``, or ``prune``, which removes.
    """

    def __init__(self, place: Place, kind: str) -> None:
        self._place = place
        self._name = f"{kind}-{secrets.token_hex(4)}"
        self._left: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="s3kit-backup-mark", daemon=True)

    def __enter__(self) -> _Marker:
        if not self._place.locks:
            self.refresh()
            self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._place.locks:
            return
        self._stop.set()
        self._thread.join()
        for name in self._left:
            # One that stays is soon too old to matter.
            with suppress(OSError):
                self._place.remove(f"{RUNNING}/{name}")

    def refresh(self) -> None:
        """Say it again now. Raises OSError."""
        if self._place.locks:
            return
        with self._lock, tempfile.NamedTemporaryFile(prefix="s3kit-") as empty:
            name = f"{self._name}-{time.time_ns() // 1_000_000}"
            self._place.write(f"{RUNNING}/{name}", empty.name)
            self._left.append(name)
            # The last one stays too: who lists just now sees one of the two.
            while len(self._left) > 2:
                self._place.remove(f"{RUNNING}/{self._left[0]}")
                del self._left[0]

    def others(self, kind: str) -> bool:
        """Whether another run of the kind goes on."""
        if self._place.locks:
            return False
        now = time.time()
        found = False
        for each in self._place.names(RUNNING):
            name, _, moment = each.rpartition("-")
            if name == self._name or not name.startswith(f"{kind}-") or not moment.isdigit():
                continue
            if abs(now - int(moment) / 1000) < STALE_SECONDS:
                found = True
            else:
                self._place.remove(f"{RUNNING}/{each}")
        return found

    def wait_for(self, kind: str) -> None:
        """Wait until no other run of the kind goes on.

        :raises Busy: that takes long.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while self.others(kind):
            if time.monotonic() > until:
                raise Busy(
                    f"Old backups at {self._place.url} are being removed. Try again when that is "
                    f"done; if it was killed, in {STALE_SECONDS / 60:.0f} minutes."
                )
            time.sleep(0.2)

    def _run(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            try:
                self.refresh()
            except Exception:
                logger.warning(
                    "A backup's marker could not be renewed; tried again.", exc_info=True
                )


class _Copying:
    """The blobs of one storage on their way into a backup."""

    def __init__(
        self, backup: Backup, facts: Index, storage: str, folder: Path, result: Result
    ) -> None:
        self._backup = backup
        self._facts = facts
        self._storage = storage
        self._folder = folder
        self._result = result
        self._source = backup.source(storage)
        self._target = backup.target(storage)
        self.lost = False
        """A blob of the snapshot was gone, and nobody needs it any more: a later one is wanted."""

    def run(self) -> Iterator[str]:
        """Copy what is not there; one line of the list for each blob."""
        name = encode(self._storage)
        present = _Present(self._target, self._folder / f"present-{name}")
        try:
            for shard in SHARDS:
                there = present.shard(shard)
                sums: Sums | None = None
                try:
                    for facts in _shard_of(self._facts, self._storage, shard):
                        if sums is None:
                            sums = Sums(self._backup._place, name, shard, self._folder)
                        sha256 = self._deal_with(facts, facts.blob in there, sums)
                        if sha256:
                            yield f"{sha256}  ../../blobs/{name}/{shard}/{facts.blob}\n"
                        if self.lost:
                            return
                finally:
                    # What is copied is known to the next run, however this one ends.
                    if sums is not None:
                        sums.save()
        finally:
            self._target.close()

    def _deal_with(self, facts: BlobFacts, there: bool, sums: Sums) -> str:
        result = self._result
        result.blobs += 1
        result.bytes += facts.size
        known = sums.known.get(facts.blob, "")
        if there:
            if known and not self._backup._verify:
                result.kept += 1
                self._backup._advance(facts.size)
                return known
            # Half of it, if a run was killed over it.
            found = self._look_at(facts)
            if found and known in ("", found):
                result.kept += 1
                sums.add(facts.blob, found)
                self._backup._advance(facts.size)
                return found
        if known:
            # Half of it must not pass for what it was, not even after a power cut.
            sums.drop(facts.blob)
            sums.save(lasting=True)
        if there:
            self._target.delete(facts.blob)
        sha256 = self._copy(facts)
        if sha256:
            result.copied += 1
            sums.add(facts.blob, sha256)
        return sha256

    def _look_at(self, facts: BlobFacts) -> str:
        """The SHA-256 of what is at the destination, "" if that is not the blob."""
        expected = expected_blob(facts, self._backup._backing.encryptions)
        reading = expected.reading(sha256=True)
        try:
            if self._target.size(facts.blob) != expected.size:
                return ""
            for block in self._target.open(facts.blob, 0, expected.size):
                reading.update(block)
        except OSError:
            return ""
        return "" if reading.difference() else reading.sha256

    def _copy(self, facts: BlobFacts) -> str:
        """Copy a blob; its SHA-256, or "" when it cannot be had as it was written down."""
        storage = self._storage
        source = self._source
        index = self._backup._backing.index
        for _ in range(2):
            try:
                if source is None:
                    raise _Different(f'the storage "{storage}" is not configured')
                return self._transfer(source, facts)
            except _Different as error:
                problem = str(error)
            now = index.read(lambda c: scan.storage_of(c, facts.blob))
            if now is None:
                self.lost = True
                return ""
            if now == storage:
                break
            # It moved meanwhile.
            storage, source = now, self._backup.source(now)
        self._result.damage(storage, facts.blob, problem)
        self._backup._advance(facts.size)
        return ""

    def _transfer(self, source: BlobStore, facts: BlobFacts) -> str:
        expected = expected_blob(facts, self._backup._backing.encryptions)
        reading = expected.reading(sha256=True)
        try:
            size = source.size(facts.blob)
            if size != expected.size:
                raise _Different(f"{size} bytes are there, not {expected.size}")
            blocks = source.open(facts.blob, 0, size)
        except FileNotFoundError:
            raise _Different("there is no such blob") from None
        except OSError as error:
            raise _Different(str(error)) from error
        backup = self._backup
        transfer(blocks, self._target, facts.blob, size, reading, backup._pace, backup._advance)
        return reading.sha256


class _Different(Exception):
    """A blob is not as it was written down."""


def transfer(
    blocks: Iterable[bytes],
    target: BlobStore,
    blob: str,
    size: int,
    reading: Reading,
    pace: Pace,
    advance: Advance,
) -> None:
    """Copy one blob, and keep the copy only if it is what was expected.

    :raises _Different: it is not, or it cannot be read. OSError: it cannot be written.
    """
    told = 0
    writer = target.create(blob, size)
    try:
        iterator = iter(blocks)
        while True:
            try:
                block = next(iterator, b"")
            except Exception as error:
                raise _Different(str(error) or type(error).__name__) from error
            if not block:
                break
            reading.update(block)
            writer.write(block)
            pace.passed(len(block))
            advance(len(block))
            told += len(block)
        problem = reading.difference()
        if problem:
            raise _Different(problem)
        writer.commit()
    except BaseException:
        writer.discard()
        # What is told again, of another copy or as damage, is not counted twice.
        advance(-told)
        raise
    finally:
        close = getattr(blocks, "close", None)
        if close is not None:
            close()


class _Hold:
    """Keeps what becomes garbage while a backup runs, as the head of this module tells."""

    def __init__(self, backing: Backing, since: int) -> None:
        self._backing = backing
        # Clocks of other machines, whose rows these may be, go differently.
        self._since = since - backing.grace_seconds * 1000
        self._every = backing.grace_seconds / 4
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="s3kit-backup-hold", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every / 4):
            try:
                self._extend()
            except Exception:
                logger.warning("What a backup needs could not be held; tried again.", exc_info=True)

    def _extend(self) -> None:
        index = self._backing.index
        now = self._backing.now()
        before = now - int(self._every * 1000)
        for storage in self._backing.storages:
            while not self._stop.is_set():
                found = index.read(
                    lambda c, s=storage: garbage_rows.between(c, s, self._since, before, PAGE)  # type: ignore[misc]
                )
                if found:
                    index.write(lambda c, f=found: garbage_rows.postpone(c, f, now))  # type: ignore[misc]
                if len(found) < PAGE:
                    break


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished backup; ``manifest`` as it was written, or ``problem``: why it cannot be read."""

    name: str
    manifest: Mapping[str, Any]
    problem: str = ""


def snapshots_at(place: Place) -> list[Snapshot]:
    """The finished backups at a place, the oldest first, and those that are damaged."""
    found = []
    with tempfile.TemporaryDirectory(prefix="s3kit-") as folder:
        path = Path(folder) / MANIFEST
        for name in place.names("snapshots"):
            try:
                place.read(f"snapshots/{name}/{MANIFEST}", str(path))
                manifest = _read_json(path)
            except FileNotFoundError:
                # Not finished.
                continue
            except BackupError as error:
                found.append(Snapshot(name, {}, str(error)))
            else:
                found.append(Snapshot(name, manifest, _problem_of(manifest)))
    return found


_FIELDS: Mapping[str, type] = {
    "name": str,
    "index": str,
    "started": int,
    "finished": int,
    "counts": dict,
    "last_numbers": dict,
    "blobs": int,
    "bytes": int,
    "files": dict,
    "damaged": int,
    "damages": list,
}


def _problem_of(manifest: Mapping[str, Any]) -> str:
    if manifest.get("format") != FORMAT:
        return "It is in a format that this s3kit does not know."
    files = manifest.get("files", {})
    if all(isinstance(manifest.get(name), kind) for name, kind in _FIELDS.items()) and all(
        isinstance(sums := files.get(name), dict) and isinstance(sums.get("sha256"), str)
        for name in {INDEX, LIST, *files}
    ):
        return ""
    return f"{MANIFEST} is not what it should be: the backup is damaged."


class Restore:
    """One snapshot on its way into an empty index and empty storages.

    What is restored is another index: it has an identity of its own, and its storages are marked
    as its own, so that neither endpoint ever sweeps what is the other's.

    A restore that was stopped is taken up by the next with the same index and storages.
    """

    def __init__(
        self,
        backing: Backing,
        place: Place,
        snapshot: Snapshot,
        *,
        rate: int | None = None,
        advance: Advance = lambda size: None,
    ) -> None:
        self._backing = backing
        self._place = place
        self._snapshot = snapshot
        self._manifest = snapshot.manifest
        self._name = snapshot.name
        self._pace = Pace(rate)
        self._advance = advance
        if snapshot.problem:
            raise BackupError(f"{snapshot.name} cannot be restored: {snapshot.problem}")

    def run(self, *, checked: Callable[[], object] = lambda: None) -> Result:
        """Check all, copy the bytes, then load the facts in one transaction.

        :param checked: called when nothing speaks against it, before anything is copied.
        :raises BackupError: there is something in the index or on a storage, or the backup is
            not as its manifest says.
        """
        with staging(self._place, local=True) as folder:
            for name in (INDEX, LIST):
                fetch(self._place, self._snapshot, name, folder / name)
            facts = self._open_facts(folder)
            try:
                mine = self._check_index()
                storages = self._check_storages(facts, mine)
                checked()
                result = self._copy(folder, storages)
                snapshots.set_last_numbers(
                    self._backing.index, dict(self._manifest["last_numbers"])
                )
                try:
                    snapshots.load_snapshot(facts, self._backing.index, lambda rows: None)
                except NotEmpty:
                    raise BackupError(
                        "Somebody has stored something in the index meanwhile. Stop the endpoint, "
                        "and restore into another index."
                    ) from None
                result.inline = facts.read(scan.inline_totals)[1]
            finally:
                facts.close()
        return result

    def fetch_beside(self, name: str, target: Path) -> bool:
        """A further file that was kept with the snapshot; False when it has none of that name.

        :raises BackupError: it is damaged.
        """
        if name not in self._manifest["files"]:
            return False
        fetch(self._place, self._snapshot, name, target)
        return True

    def _open_facts(self, folder: Path) -> Index:
        facts = Index(f"sqlite:///{folder / INDEX}", durability="relaxed")
        revision = schema_revision(facts)
        if revision in REVISIONS[:-1]:
            upgrade(facts)
        elif revision != REVISIONS[-1]:
            facts.close()
            raise BackupError(
                f"The backup has schema {revision}, which this s3kit does not know: it was made by "
                "a newer one. Run `pip install --upgrade s3kit`."
            )
        return facts

    def _check_index(self) -> str:
        index = self._backing.index
        try:
            index.read(snapshots.check_empty)
        except NotEmpty:
            raise BackupError(
                "The index is not empty. Restore into a new one: give another --data, or another "
                "index in --config."
            ) from None
        return index.read(identity.get)

    def _check_storages(self, facts: Index, mine: str) -> Mapping[str, BlobStore]:
        found: dict[str, BlobStore] = {}
        for name in facts.read(scan.storages):
            store = self._backing.storages.get(name)
            if store is None:
                raise BackupError(
                    f'The backup has objects on a storage "{name}", which is not configured. Name '
                    "one in --config, under [storages]; it may lie anywhere."
                )
            self._check_storage(name, store, mine, facts)
            found[name] = store
        for name, store in found.items():
            try:
                owner = mark(store, mine)
            except PermissionError as error:
                raise BackupError(
                    f'Nothing can be written to the storage "{name}": {error}'
                ) from None
            if owner != mine:
                raise BackupError(_another(name, owner))
        return found

    def _check_storage(self, name: str, store: BlobStore, mine: str, facts: Index) -> None:
        owner = owner_of(store)
        if owner and owner != mine:
            raise BackupError(_another(name, owner))
        batch: list[str] = []

        def check() -> None:
            if owner == mine:
                # A restore was stopped.
                known = facts.read(lambda c: garbage_rows.known(c, batch))
                strange = [blob for blob in batch if blob not in known]
            else:
                strange = batch
            if strange:
                raise BackupError(
                    f'The storage "{name}" is not empty: there is {strange[0]}. Give it another '
                    "folder."
                )
            batch.clear()

        for blob, _ in blobs_of(store):
            batch.append(blob)
            if len(batch) == PAGE:
                check()
        if batch:
            check()

    def _copy(self, folder: Path, storages: Mapping[str, BlobStore]) -> Result:
        result = Result(self._name)
        for storage, blob, problem in self._manifest["damages"]:
            result.damage(storage, blob, problem)
        result.damaged = int(self._manifest["damaged"])
        by_name = {encode(name): (name, store) for name, store in storages.items()}
        opened: tuple[str, str] | None = None
        source: BlobStore | None = None
        there: set[str] = set()
        present: _Present | None = None
        with open(folder / LIST, encoding="ascii") as file, ExitStack() as stack:
            for encoded, blob, sha256 in _lines(file):
                name, store = by_name[encoded]
                if opened is None or opened[0] != encoded:
                    source = self._place.blobs(f"blobs/{encoded}")
                    stack.callback(source.close)
                    present = _Present(store, folder / f"present-{encoded}")
                    opened = None
                if opened is None or opened[1] != blob[:2]:
                    assert present is not None
                    opened = (encoded, blob[:2])
                    there = present.shard(blob[:2])
                assert source is not None
                self._copy_one(result, name, source, store, blob, sha256, blob in there)
        missing = int(self._manifest["blobs"]) - int(self._manifest["damaged"])
        if result.blobs != missing:
            raise BackupError(f"{LIST} names {result.blobs} blobs, the manifest {missing}.")
        return result

    def _copy_one(
        self,
        result: Result,
        name: str,
        source: BlobStore,
        target: BlobStore,
        blob: str,
        sha256: str,
        there: bool,
    ) -> None:
        result.blobs += 1
        if there:
            if _sha256_of_blob(target, blob) == sha256:
                size = target.size(blob)
                result.kept += 1
                result.bytes += size
                self._advance(size)
                return
            target.delete(blob)
        try:
            size = source.size(blob)
            blocks = source.open(blob, 0, size)
            reading = _Expecting(sha256)
            transfer(blocks, target, blob, size, reading, self._pace, self._advance)
        except FileNotFoundError:
            result.damage(name, blob, "it is missing in the backup")
        except _Different as error:
            result.damage(name, blob, f"in the backup {error}")
        else:
            result.copied += 1
            result.bytes += size


class _Expecting(Reading):
    """A reading that is to have a certain SHA-256."""

    __slots__ = ("_expected",)

    def __init__(self, expected: str) -> None:
        super().__init__("", None, sha256=True)
        self._expected = expected

    def difference(self) -> str:
        found = self.sha256
        return "" if found == self._expected else f"the SHA-256 is {found}, not {self._expected}"


# -- files of a backup


def fetch(place: Place, snapshot: Snapshot, name: str, target: Path) -> None:
    """Fetch a file of a snapshot.

    :raises BackupError: it is not as the manifest says.
    """
    expected = snapshot.manifest["files"][name]["sha256"]
    try:
        place.read(f"snapshots/{snapshot.name}/{name}", str(target))
        found = sha256_of(target)
    except FileNotFoundError:
        found = "nothing"
    if found != expected:
        raise BackupError(
            f"{name} of {snapshot.name} is damaged: its SHA-256 is not {expected}, but {found}. "
            "Restore another snapshot."
        )


class Sums:
    """The SHA-256 of every blob in one folder of a backup, by id."""

    def __init__(self, place: Place, storage: str, shard: str, folder: Path) -> None:
        self._place = place
        self._name = f"sums/{storage}/{shard}.sha256"
        self._path = folder / "sums"
        self.changed = False
        self.known: dict[str, str] = {}
        with suppress(FileNotFoundError):
            place.read(self._name, str(self._path))
            for line in self._path.read_text("ascii", "replace").splitlines():
                sha256, _, blob = line.partition("  ")
                if len(sha256) == 64 and is_blob_id(blob):
                    self.known[blob] = sha256

    def add(self, blob: str, sha256: str) -> None:
        if self.known.get(blob) != sha256:
            self.known[blob] = sha256
            self.changed = True

    def drop(self, blob: str) -> None:
        if self.known.pop(blob, None) is not None:
            self.changed = True

    def save(self, *, lasting: bool = False) -> None:
        """Write it back, if it was changed."""
        if not self.changed:
            return
        if not self.known and not lasting:
            self._place.remove(self._name)
            return
        lines = [f"{sha256}  {blob}\n" for blob, sha256 in sorted(self.known.items())]
        self._path.write_text("".join(lines), "ascii")
        # What a power cut takes of additions is computed again from the blobs.
        self._place.write(self._name, str(self._path), lasting=lasting)
        self.changed = False


class _Present:
    """Which blobs a storage has, shard by shard: listed once, and kept in files."""

    def __init__(self, store: BlobStore, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        held: dict[str, list[str]] = {}
        count = 0
        for blob, _ in blobs_of(store):
            held.setdefault(blob[:2], []).append(blob)
            count += 1
            if count == 100_000:
                self._flush(held)
                count = 0
        self._flush(held)

    def _flush(self, held: dict[str, list[str]]) -> None:
        for shard, blobs in held.items():
            with open(self._folder / shard, "a", encoding="ascii") as file:
                file.write("".join(f"{blob}\n" for blob in blobs))
        held.clear()

    def shard(self, shard: str) -> set[str]:
        try:
            return set((self._folder / shard).read_text("ascii").split())
        except FileNotFoundError:
            return set()


def _shard_of(facts: Index, storage: str, shard: str) -> Iterator[BlobFacts]:
    """The blobs of a snapshot on one storage whose ids begin so, in the order of their ids."""

    def pages(read: Callable[..., list[BlobFacts]]) -> Iterator[BlobFacts]:
        after = shard
        while page := facts.read(lambda c, a=after: read(c, storage, a, shard + "g", PAGE)):  # type: ignore[misc]
            yield from page
            after = page[-1].blob

    return heapq.merge(pages(scan.whole_blobs), pages(scan.part_blobs), key=lambda each: each.blob)


def _lines(file: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(encoded storage, blob, SHA-256) of each line of a list of blobs."""
    for line in file:
        sha256, _, path = line.rstrip("\n").partition("  ")
        _, storage, _, blob = path.rsplit("/", 3)
        yield storage, blob, sha256


def encode(storage: str) -> str:
    """A storage's name as the name of a folder, on any file system."""
    return "".join(
        each if each.isascii() and (each.isalnum() or each in "-_") else f"={ord(each):x}="
        for each in storage
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_blob(store: BlobStore, blob: str) -> str:
    digest = hashlib.sha256()
    try:
        for block in store.open(blob, 0, store.size(blob)):
            digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise BackupError(f"{path.name} is no JSON: the backup is damaged.") from None
    if not isinstance(found, dict):
        raise BackupError(f"{path.name} is not what it should be: the backup is damaged.")
    return found


def _settle(path: Path) -> None:
    """Leave one file of an SQLite database that is closed: no log, and readable where it lies."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()


def _is_ours(name: str) -> bool:
    return name == "lock" or name.startswith("staging-")


def _another(name: str, owner: str) -> str:
    return (
        f'The storage "{name}" belongs to another index ({owner}). Restore into an empty one: give '
        "another --data, or another folder in --config."
    )


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Keeps other backups away from a place, where that can be done.

    :raises BackupError: one is running.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(place.alone())
        except BlockingIOError:
            raise BackupError(f"Another backup to {place.url} is running.") from None
        yield


@contextmanager
def staging(place: Place, *, local: bool = False) -> Iterator[Path]:
    """A folder for what is being made: beside the backups, where there is room for them.

    :param local: never there, where perhaps nothing may be written.
    """
    beside = None if local else place.folder
    if beside is not None:
        for name in place.names():
            if name.startswith("staging-"):
                # Left by a backup that was killed; the lock is ours.
                place.remove(name)
    folder = tempfile.mkdtemp(prefix="staging-" if beside else "s3kit-backup-", dir=beside)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        os.unlink(path)
