"""What a storage must promise, and nothing more: small enough to write one in an afternoon.

A blob is written once, never changed, and named by an id that says nothing: no bucket, no key,
no path. Until the index's transaction commits nobody knows the id, so a blob needs no locking
and no versions. ``s3kit.testing.blob_contract`` holds the tests that any storage must pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from typing import runtime_checkable

BLOCK = 256 * 1024
"""Bytes in a block that ``open`` yields: as cheap under gunicorn as nginx's sendfile."""

OWNER = "0" * 32
"""The blob that names the index a storage belongs to. No object's: ``new_blob_id`` is random."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the rules above may count on.

    :param durable: a committed blob survives a power cut.
    :param shared: other processes see the same blobs.
    :param native_copy: the storage can copy without the bytes passing through here.
    :param read_only: nothing is ever written or deleted here.
    """

    durable: bool
    shared: bool
    native_copy: bool = False
    read_only: bool = False


class BlobWriter(Protocol):
    """One blob on its way in. Used by one thread; ends in exactly one ``commit`` or ``discard``."""

    def write(self, data: Buffer, /) -> None:
        """Take all of ``data``, or raise OSError (ENOSPC, EIO, a lost connection)."""

    def commit(self) -> None:
        """Make the blob readable, and as durable as the storage can; it is when this returns.

        Nothing is left where it raises.
        """

    def discard(self) -> None:
        """Leave nothing behind. Never raises; does nothing after ``commit`` or ``discard``."""


class BlobReader(Protocol):
    """The bytes of an open blob, block by block; ``close`` may be called at any time."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __next__(self) -> bytes: ...

    def close(self) -> None: ...


@runtime_checkable
class BlobStore(Protocol):
    """Bytes under opaque ids. Safe to use from many threads, and after a fork."""

    @property
    def name(self) -> str:
        """The storage's name in the configuration."""

    @property
    def capabilities(self) -> Capabilities: ...

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        """Begin a blob. ``size_hint`` in bytes where the length is known; it may prove wrong.

        :raises FileExistsError: the id is taken (at the latest in ``commit``, and only where the
            storage can tell: ids are never used twice).
        """

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        """The bytes from ``start`` to ``end`` (exclusive), in blocks of a size of its choice.

        Goes on yielding the whole range while the blob is deleted on storages that can (a local
        folder), which is why a blob is only deleted after its grace period.

        :raises FileNotFoundError: here, not at the first block, when there is no such blob.
        :raises OSError: while reading, when bytes are missing: a short answer is never an end.
        """

    def delete(self, blob_id: str) -> None:
        """Remove a blob; one that is not there is fine."""

    def size(self, blob_id: str) -> int:
        """Bytes in the blob.

        :raises FileNotFoundError: there is no such blob.
        """

    def sweep(self) -> Iterator[tuple[str, float]]:
        """Every blob id with when it was last written (seconds since the epoch), in no order.

        All but ``OWNER``, if the storage can leave it out; it is passed over otherwise.
        What a crash left of an unfinished write is among them, if it lies on the storage at all.
        """

    def close(self) -> None:
        """Let go of connections and files. The blobs stay."""


def new_blob_id() -> str:
    """A new opaque id: 128 random bits in 32 hex digits."""
    return os.urandom(16).hex()


def check_blob_id(blob_id: str) -> str:
    """Return ``blob_id`` if it is one, so that no other text ever becomes part of a path.

    :raises ValueError: it is not 32 to 64 lower-case hex digits.
    """
    if 32 <= len(blob_id) <= 64 and not blob_id.strip("0123456789abcdef"):
        return blob_id
    raise ValueError(f"{blob_id!r} is not a blob id.")


def is_blob_id(text: str) -> bool:
    """Whether a name found on a storage is that of an object's bytes."""
    return 32 <= len(text) <= 64 and not text.strip("0123456789abcdef") and text != OWNER
