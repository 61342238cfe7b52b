"""Moving every blob of one storage to another while requests run.

For each blob: copy it, read the copy back and compare, then point the rows at the copy in one
transaction, if they still are what was copied. The old blob stays for the grace period, so a
reader that began with it ends whole. Nothing else is written down: what is left to do is what the
rows still name, so a run that was killed is simply begun again, and several may run at once.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..blobs.base import BlobStore
from ..blobs.base import new_blob_id
from ..blobs.wrappers import TokenBucket
from ..errors import S3Error
from ..index import moving
from ..index import scan
from ..index.scan import BlobFacts
from ..index.session import Connection
from .backing import Backing
from .janitor import Janitor
from .verifying import Expected
from .verifying import Reading
from .verifying import expected_blob

logger = logging.getLogger("s3kit.store")

PAGE = 500
KEPT_FAILURES = 100
"""How many failures are told in full."""


class CannotMigrate(Exception):
    """These two storages are not a way; the text says why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A blob that could not be moved and stays where it is; ``error`` in words."""

    blob: str
    error: str


class Migration:
    """One run that moves the blobs of a storage to another.

    :param source: the name of the storage to empty.
    :param target: the name of the one to fill.
    :param rate: bytes copied per second at most; reading back is not counted.
    :param jobs: how many blobs are copied at a time.
    :param advance: told of the bytes that are done with, moved or not.
    :raises CannotMigrate: a storage that is not configured or cannot be written, or both the same.
    """

    def __init__(
        self,
        backing: Backing,
        janitor: Janitor,
        source: str,
        target: str,
        *,
        rate: float | None = None,
        jobs: int = 1,
        advance: Callable[[int], object] = lambda size: None,
    ) -> None:
        if source == target:
            raise CannotMigrate(f'"{source}" is both where the blobs lie and where they are to go.')
        self._backing = backing
        self._janitor = janitor
        self._source_name = source
        self._target_name = target
        self._source = _storage(backing, source)
        self._target = _storage(backing, target)
        if self._target.capabilities.read_only:
            raise CannotMigrate(f'Storage "{target}" is read-only, so nothing can go there.')
        self._bucket = None if rate is None else TokenBucket(rate)
        self._jobs = max(1, jobs)
        self._advance = advance
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.moved = 0
        self.moved_bytes = 0
        self.skipped = 0
        """Blobs that were removed, or moved by somebody else, meanwhile."""
        self._failures: dict[str, str] = {}

    @property
    def failures(self) -> list[Failure]:
        """What could not be moved, the first hundred of it."""
        return [
            Failure(blob, error) for blob, error in list(self._failures.items())[:KEPT_FAILURES]
        ]

    @property
    def failed(self) -> int:
        """How many blobs could not be moved."""
        return len(self._failures)

    def left(self) -> tuple[int, int]:
        """How many blobs still are to be moved, and their bytes."""
        return self._backing.index.read(lambda c: scan.totals(c, self._source_name))

    def is_forgotten(self) -> bool:
        """Nothing names the source any more, not even the garbage list."""
        name = self._source_name
        return not self._backing.index.read(
            lambda c: moving.is_named(c, name) or moving.has_garbage(c, name)
        )

    def still_filled(self) -> bool:
        """By this configuration new objects still go to the source."""
        return self._backing.takes_new(self._source_name)

    def run(self) -> None:
        """Move all there is, and what comes meanwhile; ends when a whole look finds nothing new.

        Where new objects still go to the source there is one look only. It may be interrupted at
        any time: all is left in order.

        :raises ForeignStorage: the target belongs to another index.
        """
        self._janitor.claim(self._target_name)
        once = self.still_filled()
        while not self._stop.is_set():
            before = self.moved
            seen = sum([self._pass(scan.whole_blobs), self._pass(scan.part_blobs)])
            if once or not seen or self.moved == before:
                break
        self._backing.index.write(lambda c: moving.settle(c, self._source_name, self._target_name))

    def stop(self) -> None:
        """Let :meth:`run` end soon, the blobs in its hands untouched."""
        self._stop.set()

    def _pass(self, read_page: Callable[[Connection, str, str, str, int], list[BlobFacts]]) -> int:
        name = self._source_name
        seen = 0
        after = ""
        with ThreadPoolExecutor(self._jobs, "s3kit-migration") as pool:
            try:
                while not self._stop.is_set():
                    page = self._backing.index.read(
                        lambda c, start=after: read_page(c, name, start, scan.LAST, PAGE)  # type: ignore[misc]
                    )
                    if not page:
                        break
                    after = page[-1].blob
                    seen += len(page)
                    # Of several that run at once each is to copy others.
                    random.shuffle(page)
                    for _ in pool.map(self._try, page):
                        pass
            except BaseException:
                self._stop.set()
                raise
        return seen

    def _try(self, facts: BlobFacts) -> None:
        if self._stop.is_set():
            return
        try:
            moved = self._move(facts)
        except _Stopped:
            return
        except Exception as error:
            if self._is_there(facts):
                self._fail(facts, error)
                return
            moved = False
        with self._lock:
            if moved:
                self.moved += 1
                self.moved_bytes += facts.size
            else:
                self.skipped += 1
            self._failures.pop(facts.blob, None)
            self._advance(facts.size)

    def _fail(self, facts: BlobFacts, error: Exception) -> None:
        text = str(error) if isinstance(error, _Wrong) else f"{type(error).__name__}: {error}"
        with self._lock:
            if facts.blob not in self._failures:
                logger.warning("Blob %s was not moved: %s", facts.blob, text)
                self._advance(facts.size)
            self._failures[facts.blob] = text

    def _is_there(self, facts: BlobFacts) -> bool:
        found = self._backing.index.read(lambda c: scan.storage_of(c, facts.blob))
        return found == self._source_name

    def _move(self, facts: BlobFacts) -> bool:
        if not self._is_there(facts):
            return False
        new_id = new_blob_id()
        digest = self._copy(facts, new_id)
        try:
            self._compare(facts, new_id, digest)
            moved = self._backing.index.write(lambda c: self._point(c, facts, new_id))
        except (_Wrong, _Stopped, OSError, S3Error):
            # Only these are sure to have left no row that points at the copy. After another
            # failure the commit may have come about, so the orphan sweep decides.
            self._backing.delete_blob(self._target_name, new_id)
            raise
        if not moved:
            self._backing.delete_blob(self._target_name, new_id)
        return moved

    def _copy(self, facts: BlobFacts, new_id: str) -> str:
        """Copy a blob; answers the SHA-256 of its bytes where the index knows no MD5 of them."""
        expected = expected_blob(facts, self._backing.encryptions)
        size = self._source.size(facts.blob)
        if size != expected.size:
            raise _Wrong(f"it has {size} bytes, not {expected.size}")
        reading = _reading(facts, expected)
        writer = self._target.create(new_id, size)
        try:
            for block in self._blocks(self._source, facts.blob, size):
                if self._bucket is not None:
                    self._bucket.take(len(block))
                reading.update(block)
                writer.write(block)
            difference = reading.difference()
            if difference:
                # To move what was damaged would be to throw away what may still be mended.
                raise _Wrong(f"{difference}, on storage {self._source_name!r}")
            writer.commit()
        except BaseException:
            writer.discard()
            raise
        return reading.sha256

    def _compare(self, facts: BlobFacts, new_id: str, digest: str) -> None:
        """Read the copy back, for a storage may have taken it wrongly."""
        expected = expected_blob(facts, self._backing.encryptions)
        size = self._target.size(new_id)
        if size != expected.size:
            raise _Wrong(
                f"{size} bytes of {expected.size} arrived on storage {self._target_name!r}"
            )
        reading = _reading(facts, expected)
        for block in self._blocks(self._target, new_id, size):
            reading.update(block)
        if reading.difference() or reading.sha256 != digest:
            raise _Wrong(f"other bytes than were sent are on storage {self._target_name!r}")

    def _blocks(self, store: BlobStore, blob: str, size: int) -> Iterator[bytes]:
        blocks = store.open(blob, 0, size)
        try:
            for block in blocks:
                if self._stop.is_set():
                    raise _Stopped
                yield block
        finally:
            blocks.close()

    def _point(self, c: Connection, facts: BlobFacts, new_id: str) -> bool:
        source, target, now = self._source_name, self._target_name, self._backing.now()
        if facts.number:
            return moving.move_part(
                c, facts.content_id, facts.number, facts.blob, source, new_id, target, now
            )
        return moving.move_content(c, facts.blob, source, new_id, target, now)


class _Wrong(Exception):
    """The bytes are not what they should be."""


class _Stopped(Exception):
    """The run is to end."""


def _reading(facts: BlobFacts, expected: Expected) -> Reading:
    return expected.reading(sha256=bool(facts.sealing) or len(facts.etag) != 32)


def _storage(backing: Backing, name: str) -> BlobStore:
    try:
        return backing.storages[name]
    except KeyError:
        known = ", ".join(backing.storages)
        raise CannotMigrate(f'No storage "{name}" is configured. Known: {known}.') from None
