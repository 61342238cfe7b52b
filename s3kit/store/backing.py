"""What every room of the store stands on: the index, the storages, the clock and the placement."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from typing import Protocol

from ..blobs.base import BlobStore
from ..blobs.base import new_blob_id
from ..errors import InternalError
from ..index import objects as object_rows
from ..index import scan
from ..index.objects import ContentGone
from ..index.session import Index
from ..model import Checksum
from ..model import Content
from ..model import ObjectVersion
from ..model import Part
from ..profile import AWS
from ..profile import Profile

if TYPE_CHECKING:
    from .outbox import Outbox

logger = logging.getLogger("s3kit.store")

BLOCK = 1024 * 1024
"""Bytes asked for at once: gunicorn copies what is left of its buffer at each smaller read."""


class Body(Protocol):
    """An object's bytes on their way in, hashed as they pass.

    ``read`` answers ``b""`` only once the whole body is verified; ``md5`` and ``checksum`` are
    known from then on.
    """

    @property
    def length(self) -> int | None: ...
    @property
    def md5(self) -> str: ...
    @property
    def checksum(self) -> Checksum | None: ...
    def read(self, size: int) -> bytes: ...
    def read_all(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that are safe, but that no version points at yet: inline, or under a blob id."""

    size: int
    md5: str
    checksum: Checksum | None
    inline: bytes | None
    content: Content | None


class Backing:
    """Index, storages, clock and placement, shared by the rooms of one Store."""

    __slots__ = (
        "_place",
        "clock",
        "grace_seconds",
        "index",
        "inline_threshold",
        "orphan_seconds",
        "outbox",
        "profile",
        "storages",
    )

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.index = index
        self.storages = storages
        self.inline_threshold = inline_threshold
        self.grace_seconds = grace_seconds
        self.orphan_seconds = orphan_seconds
        self.profile = profile
        self.clock = clock
        self._place = tuple(place)
        self.outbox: Outbox
        """Where every change is written down for those who may not miss it; set by the Store."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock() * 1000)

    def storage_for(self, bucket_name: str) -> str:
        """The name of the storage that takes this bucket's new bytes; first pattern wins."""
        for pattern, storage in self._place:
            if fnmatchcase(bucket_name, pattern):
                return storage
        return "default"

    def takes_new(self, storage: str) -> bool:
        """Whether new bytes of any bucket may go to this storage."""
        for pattern, name in self._place:
            if name == storage:
                return True
            if pattern == "*":
                return False
        return storage == "default"

    def receive(self, storage: str, body: Body, *, inline: bool = True) -> Stored:
        """Take a body in and make it durable, inline if it is small, else as a blob.

        Nothing is left behind when the body breaks off or does not verify.
        """
        threshold = self.inline_threshold if inline else -1
        length = body.length
        if length is not None and length <= threshold:
            data = body.read_all()
            return Stored(len(data), body.md5, body.checksum, data, None)
        held: list[bytes] = []
        size = 0
        while size <= threshold:
            block = body.read(BLOCK)
            if not block:
                return Stored(size, body.md5, body.checksum, b"".join(held), None)
            held.append(block)
            size += len(block)
        blob_id = new_blob_id()
        writer = self.storages[storage].create(blob_id, length)
        try:
            for block in held:
                writer.write(block)
            held.clear()
            while block := body.read(BLOCK):
                writer.write(block)
                size += len(block)
            writer.commit()
        except BaseException:
            writer.discard()
            raise
        return Stored(size, body.md5, body.checksum, None, Content(blob_id, storage, size))

    def discard(self, stored: Stored) -> None:
        """Forget bytes that no version came to point at."""
        if stored.content is not None:
            self.delete_blob(stored.content.storage, stored.content.id)

    def delete_blob(self, storage: str, blob: str) -> None:
        """Delete a blob; a failure leaves an orphan for the sweep and is only logged."""
        try:
            self.storages[storage].delete(blob)
        except Exception:
            logger.warning(
                "Blob %s on storage %r could not be deleted.", blob, storage, exc_info=True
            )

    def read(self, version: ObjectVersion, start: int, end: int) -> Iterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive) of a version, in blocks.

        The first blob is opened before this returns, so a missing one is an error answer and
        not a cut body.

        :raises ContentGone: the version was overwritten or removed since it was read; the key's
            present version is the one to read.
        """
        if version.inline is not None:
            return iter((version.inline[start:end],))
        content = version.content
        if content is None or start >= end:
            return iter(())
        if not content.parts:
            return self._open(content.storage, content.id, start, end)
        return self._read_parts(content, start, end)

    def _read_parts(self, content: Content, start: int, end: int) -> Iterator[bytes]:
        parts = self.index.read(lambda c: object_rows.parts_of(c, content.id, start, end))
        if not parts:
            raise ContentGone(content.id)
        first = self._open_part(content.id, parts[0], start, end)
        return self._chain(content.id, first, parts, start, end)

    def _chain(
        self,
        content_id: str,
        first: Iterator[bytes],
        parts: Sequence[Part],
        start: int,
        end: int,
    ) -> Iterator[bytes]:
        blocks = first
        try:
            yield from blocks
            for part in parts[1:]:
                blocks = self._open_part(content_id, part, start, end)
                yield from blocks
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _open_part(self, content_id: str, part: Part, start: int, end: int) -> Iterator[bytes]:
        first, last = max(0, start - part.offset), min(part.size, end - part.offset)
        try:
            return self._open(part.storage, part.blob, first, last)
        except ContentGone:
            # Moved to another storage since its row was read, and longer ago than the grace.
            number = part.number
            found = self.index.read(lambda c: object_rows.part_by_number(c, content_id, number))
            if found is None or found.etag != part.etag:
                raise
            return self._open(found.storage, found.blob, first, last)

    def _open(self, storage: str, blob: str, start: int, end: int) -> Iterator[bytes]:
        try:
            return self.storages[storage].open(blob, start, end)
        except (FileNotFoundError, KeyError):
            if self.index.read(lambda c: scan.storage_of(c, blob)) is None:
                raise ContentGone(blob) from None
            logger.error("Blob %s is missing on storage %r.", blob, storage)
            raise InternalError() from None
