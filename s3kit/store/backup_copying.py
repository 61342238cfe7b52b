"""The blobs of a snapshot on their way into a backup.

Those that an earlier run has copied are found, even of one that was stopped, and not copied again.
One that is gone, say by ``gc --grace 0``, is looked up again: an object that moved to another
storage is read there, and for one that nobody needs any more a later snapshot is wanted.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

from ..blobs.base import BlobStore
from ..blobs.place import Place
from ..index import scan
from ..index.scan import BlobFacts
from ..index.session import Index
from .backing import Backing
from .backup_blobs import Different
from .backup_blobs import Present
from .backup_blobs import transfer
from .backup_place import SHARDS
from .backup_place import Sums
from .backup_place import blobs_folder
from .backup_place import encode
from .backup_place import line_of
from .backup_result import Advance
from .backup_result import Result
from .verifying import Pace
from .verifying import expected_blob

PAGE = 200


class Copying:
    """The blobs of one storage on their way into a backup.

    :param facts: the index of the snapshot.
    :param storage: the name of the storage.
    :param folder: where files can be made.
    :param result: told of each blob.
    :param verify: read again what earlier backups have copied.
    :param advance: told how many bytes have been dealt with.
    """

    def __init__(
        self,
        backing: Backing,
        place: Place,
        facts: Index,
        storage: str,
        folder: Path,
        result: Result,
        *,
        verify: bool,
        pace: Pace,
        advance: Advance,
    ) -> None:
        self._backing = backing
        self._place = place
        self._facts = facts
        self._storage = storage
        self._encoded = encode(storage)
        self._folder = folder
        self._result = result
        self._verify = verify
        self._pace = pace
        self._advance = advance
        self._source = backing.storages.get(storage)
        self._target = place.blobs(blobs_folder(self._encoded))
        self.lost = False
        """A blob of the snapshot was gone, and nobody needs it any more: a later one is wanted."""

    def run(self) -> Iterator[str]:
        """Copy what is not there; one line of the list for each blob."""
        name = self._encoded
        present = Present(self._target, self._folder / f"present-{name}")
        try:
            for shard in SHARDS:
                there = present.shard(shard)
                sums: Sums | None = None
                try:
                    for facts in _blobs_of_shard(self._facts, self._storage, shard):
                        if sums is None:
                            sums = Sums(self._place, name, shard, self._folder)
                        sha256 = self._deal_with(facts, facts.blob in there, sums)
                        if sha256:
                            yield line_of(name, facts.blob, sha256)
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
            if known and not self._verify:
                result.kept += 1
                self._advance(facts.size)
                return known
            # Half of it, if a run was killed over it.
            found = self._look_at(facts)
            if found and known in ("", found):
                result.kept += 1
                sums.add(facts.blob, found)
                self._advance(facts.size)
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
        expected = expected_blob(facts, self._backing.encryptions)
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
        index = self._backing.index
        for _ in range(2):
            try:
                if source is None:
                    raise Different(f'the storage "{storage}" is not configured')
                return self._transfer(source, facts)
            except Different as error:
                problem = str(error)
            now = index.read(lambda c: scan.storage_of(c, facts.blob))
            if now is None:
                self.lost = True
                return ""
            if now == storage:
                break
            # It moved meanwhile.
            storage, source = now, self._backing.storages.get(now)
        self._result.damage(storage, facts.blob, problem)
        self._advance(facts.size)
        return ""

    def _transfer(self, source: BlobStore, facts: BlobFacts) -> str:
        expected = expected_blob(facts, self._backing.encryptions)
        reading = expected.reading(sha256=True)
        try:
            size = source.size(facts.blob)
            if size != expected.size:
                raise Different(f"{size} bytes are there, not {expected.size}")
            blocks = source.open(facts.blob, 0, size)
        except FileNotFoundError:
            raise Different("there is no such blob") from None
        except OSError as error:
            raise Different(str(error)) from error
        transfer(blocks, self._target, facts.blob, size, reading, self._pace, self._advance)
        return reading.sha256


def _blobs_of_shard(facts: Index, storage: str, shard: str) -> Iterator[BlobFacts]:
    """The blobs of a snapshot on one storage whose ids begin so, in the order of their ids."""

    def pages(read: Callable[..., list[BlobFacts]]) -> Iterator[BlobFacts]:
        after = shard
        while page := facts.read(lambda c, a=after: read(c, storage, a, shard + "g", PAGE)):  # type: ignore[misc]
            yield from page
            after = page[-1].blob

    return heapq.merge(pages(scan.whole_blobs), pages(scan.part_blobs), key=lambda each: each.blob)
