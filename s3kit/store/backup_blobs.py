"""Blobs between storages: which a storage has, and how one is copied to another and compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..blobs.base import BlobStore
from .backup_result import Advance
from .janitor import blobs_of
from .verifying import Pace
from .verifying import Reading


class Different(Exception):
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

    :param size: bytes, as :meth:`BlobStore.create` takes them.
    :param advance: told how many bytes were copied; of what is not kept, also a negative number.
    :raises Different: it is not, or it cannot be read. OSError: it cannot be written.
    """
    told = 0
    writer = target.create(blob, size)
    try:
        iterator = iter(blocks)
        while True:
            try:
                block = next(iterator, b"")
            except Exception as error:
                raise Different(str(error) or type(error).__name__) from error
            if not block:
                break
            reading.update(block)
            writer.write(block)
            pace.passed(len(block))
            advance(len(block))
            told += len(block)
        problem = reading.difference()
        if problem:
            raise Different(problem)
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


class Present:
    """Which blobs a storage has, shard by shard: listed once, and kept in files.

    :param folder: for these files; it is made.
    """

    def __init__(self, store: BlobStore, folder: Path) -> None:
        self._folder = folder
        self._shard = ""
        self._held: set[str] = set()
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
        """Those whose ids begin so."""
        try:
            return set((self._folder / shard).read_text("ascii").split())
        except FileNotFoundError:
            return set()

    def holds(self, blob: str) -> bool:
        """Whether it has this one. To be asked in the order of ids: one shard is remembered."""
        shard = blob[:2]
        if shard != self._shard:
            self._shard = shard
            self._held = self.shard(shard)
        return blob in self._held
