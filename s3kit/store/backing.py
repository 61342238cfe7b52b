"""What every room of the store stands on: the index, the storages, the clock and the placement."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Protocol

from ..blobs.base import BlobStore
from ..blobs.base import new_blob_id
from ..blobs.sealed import Seal
from ..blobs.sealed import SealBroken
from ..blobs.sealed import SealedWriter
from ..blobs.sealed import open_bytes
from ..blobs.sealed import open_sealed
from ..blobs.sealed import seal_bytes
from ..errors import InternalError
from ..index import objects as object_rows
from ..index import scan
from ..index.joined import JOINED
from ..index.objects import ContentGone
from ..index.session import Index
from ..model import Checksum
from ..model import Content
from ..model import ObjectVersion
from ..model import Part
from ..profile import AWS
from ..profile import Profile
from ..wire.encryption import CustomerKey
from ..wire.lifecycle import SMALL
from .account_rows import AccountRows
from .encryption import Encryptions
from .encryption import Sealing

if TYPE_CHECKING:
    from .outbox import Outbox
    from .quota import Quota

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
        "accounts",
        "clock",
        "day",
        "encryptions",
        "grace_seconds",
        "index",
        "inline_threshold",
        "orphan_seconds",
        "outbox",
        "profile",
        "quota",
        "small",
        "storage_classes",
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
        encryptions: Encryptions | None = None,
        storage_classes: Mapping[str, str] = MappingProxyType({}),
        day_seconds: float = 86400,
        small: int = SMALL,
    ) -> None:
        self.index = index
        self.encryptions = Encryptions() if encryptions is None else encryptions
        self.storages = storages
        self.inline_threshold = inline_threshold
        self.grace_seconds = grace_seconds
        self.orphan_seconds = orphan_seconds
        self.profile = profile
        self.clock = clock
        self.storage_classes = storage_classes
        self.day = round(day_seconds * 1000)
        """Milliseconds of lifecycle's day."""
        self.small = small
        self._place = tuple(place)
        self.accounts = AccountRows(index, profile, self.now)
        self.outbox: Outbox
        """Where every change is written down for those who may not miss it; set by the Store."""
        self.quota: Quota
        """What accounts and keys may store; set by the Store."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock() * 1000)

    def storage_for(self, bucket_name: str, storage_class: str = "STANDARD") -> str:
        """The name of the storage that takes a bucket's new bytes of a storage class.

        A class that has a storage of its own goes there; else the first pattern wins.
        """
        own = self.storage_classes.get(storage_class)
        if own is not None:
            return own
        for pattern, storage in self._place:
            if fnmatchcase(bucket_name, pattern):
                return storage
        return "default"

    def takes_new(self, storage: str) -> bool:
        """Whether new bytes of any bucket may go to this storage."""
        if storage in self.storage_classes.values():
            return True
        for pattern, name in self._place:
            if name == storage:
                return True
            if pattern == "*":
                return False
        return storage == "default"

    def receive(
        self,
        storage: str,
        body: Body,
        *,
        inline: bool = True,
        seal: Seal | None = None,
        md5: bool = True,
    ) -> Stored:
        """Take a body in and make it durable, inline if it is small, else as a blob.

        Nothing is left behind when the body breaks off or does not verify.

        :param seal: encrypt the bytes so.
        :param md5: False for a random ETag, where the bytes' MD5 is nobody's business.
        """
        stored = self._receive(storage, body, self.inline_threshold if inline else -1, seal)
        return stored if md5 else replace(stored, md5=os.urandom(16).hex())

    def _receive(self, storage: str, body: Body, threshold: int, seal: Seal | None) -> Stored:
        length = body.length
        if length is not None and length <= threshold:
            data = body.read_all()
            size = len(data)
            data = data if seal is None else seal_bytes(seal, data)
            return Stored(size, body.md5, body.checksum, data, None)
        held: list[bytes] = []
        size = 0
        while size <= threshold:
            block = body.read(BLOCK)
            if not block:
                data = b"".join(held)
                data = data if seal is None else seal_bytes(seal, data)
                return Stored(size, body.md5, body.checksum, data, None)
            held.append(block)
            size += len(block)
        blob_id = new_blob_id()
        sealing = ""
        if seal is None:
            writer = self.storages[storage].create(blob_id, length)
        else:
            hint = None if length is None else seal.size(length)
            writer = SealedWriter(self.storages[storage].create(blob_id, hint), seal)
            sealing = seal.id.hex()
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
        if JOINED:
            self.index.after_rollback(lambda: self.delete_blob(storage, blob_id))
        content = Content(blob_id, storage, size, sealing=sealing)
        return Stored(size, body.md5, body.checksum, None, content)

    def discard(self, stored: Stored) -> None:
        """Forget bytes that no version came to point at."""
        if stored.content is not None:
            self.delete_blob(stored.content.storage, stored.content.id)

    def delete_blob(self, storage: str, blob: str) -> None:
        """Delete a blob; a failure leaves an orphan for the sweep and is only logged.

        In a caller's transaction it stays until that is committed.
        """
        if JOINED and self.index.is_joined():
            self.index.after_commit(lambda: self.delete_blob(storage, blob))
            return
        try:
            self.storages[storage].delete(blob)
        except Exception:
            logger.warning(
                "Blob %s on storage %r could not be deleted.", blob, storage, exc_info=True
            )

    def read(
        self,
        version: ObjectVersion,
        start: int,
        end: int,
        customer_key: CustomerKey | None = None,
    ) -> Iterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive) of a version, in blocks.

        The first blob is opened before this returns, so a missing one is an error answer and
        not a cut body.

        :param customer_key: for what is encrypted with one.
        :raises ContentGone: the version was overwritten or removed since it was read; the key's
            present version is the one to read.
        :raises InvalidRequest: AccessDenied: the customer's key is missing or another.
        """
        sealing = None
        if version.encryption is not None:
            sealing = self._unwrap(version, customer_key)
        if version.inline is not None:
            data = version.inline
            if sealing is not None:
                data = self._open_inline(version, sealing)
            return iter((data[start:end],))
        content = version.content
        if content is None or start >= end:
            return iter(())
        if content.parts:
            return self._read_parts(content, start, end, sealing)
        seal = _seal_of(sealing, content.sealing)
        return self._open(content.storage, content.id, start, end, seal, content.size)

    def _unwrap(self, version: ObjectVersion, customer_key: CustomerKey | None) -> Sealing:
        encryption = version.encryption
        assert encryption is not None
        try:
            return self.encryptions.open(encryption, customer_key)
        except SealBroken as error:
            logger.error("Version %d cannot be decrypted: %s.", version.seq, error)
            raise InternalError() from None

    def _open_inline(self, version: ObjectVersion, sealing: Sealing) -> bytes:
        try:
            return open_bytes(sealing.seal, version.inline or b"", version.size)
        except SealBroken as error:
            logger.error("Version %d cannot be decrypted: %s.", version.seq, error)
            raise InternalError() from None

    def _read_parts(
        self, content: Content, start: int, end: int, sealing: Sealing | None
    ) -> Iterator[bytes]:
        parts = self.index.read(lambda c: object_rows.parts_of(c, content.id, start, end))
        if not parts:
            raise ContentGone(content.id)
        first = self._open_part(content.id, parts[0], start, end, sealing)
        return self._chain(content.id, first, parts, start, end, sealing)

    def _chain(
        self,
        content_id: str,
        first: Iterator[bytes],
        parts: Sequence[Part],
        start: int,
        end: int,
        sealing: Sealing | None,
    ) -> Iterator[bytes]:
        blocks = first
        try:
            yield from blocks
            for part in parts[1:]:
                blocks = self._open_part(content_id, part, start, end, sealing)
                yield from blocks
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _open_part(
        self, content_id: str, part: Part, start: int, end: int, sealing: Sealing | None
    ) -> Iterator[bytes]:
        first, last = max(0, start - part.offset), min(part.size, end - part.offset)
        seal = _seal_of(sealing, part.sealing)
        try:
            return self._open(part.storage, part.blob, first, last, seal, part.size)
        except ContentGone:
            # Moved to another storage since its row was read, and longer ago than the grace.
            number = part.number
            found = self.index.read(lambda c: object_rows.part_by_number(c, content_id, number))
            if found is None or found.etag != part.etag:
                raise
            return self._open(found.storage, found.blob, first, last, seal, part.size)

    def _open(
        self,
        storage: str,
        blob: str,
        start: int,
        end: int,
        seal: Seal | None,
        size: int,
    ) -> Iterator[bytes]:
        try:
            store = self.storages[storage]
            if seal is None:
                return store.open(blob, start, end)
            return open_sealed(store, blob, seal, size, start, end)
        except SealBroken as error:
            logger.error("On storage %r what lies there cannot be decrypted: %s.", storage, error)
            raise InternalError() from None
        except (FileNotFoundError, KeyError):
            if self.index.read(lambda c: scan.storage_of(c, blob)) is None:
                raise ContentGone(blob) from None
            logger.error("Blob %s is missing on storage %r.", blob, storage)
            raise InternalError() from None


def _seal_of(sealing: Sealing | None, sealed_as: str) -> Seal | None:
    """How to open a blob; None for one that is not sealed."""
    return None if sealing is None else Seal(sealing.keys, bytes.fromhex(sealed_as))
