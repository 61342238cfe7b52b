"""CopyObject: inside one storage a commit and no I/O, else the bytes stream through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..blobs.sealed import Seal
from ..errors import InvalidRequest
from ..index.objects import ContentGone
from ..model import Bucket
from ..model import ObjectVersion
from ..wire.checksums import BodyReader
from ..wire.conditions import Conditions
from ..wire.encryption import CustomerKey
from . import quota
from .backing import Backing
from .backing import Stored
from .encryption import has_md5
from .events import FROM_PYTHON
from .events import Origin
from .objects import Attributes
from .objects import Objects

EVENT = "s3:ObjectCreated:Copy"


class BlockStream:
    """A file-like ``read(size)`` over an iterator of blocks."""

    __slots__ = ("_blocks", "_rest")

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        rest = self._rest
        if not rest:
            rest = next(self._blocks, b"")
        if size < 0 or len(rest) <= size:
            self._rest = b""
            return rest
        self._rest = rest[size:]
        return rest[:size]


class Copying:
    """Copies between keys and buckets of one Store."""

    __slots__ = ("_backing", "_objects")

    def __init__(self, backing: Backing, objects: Objects) -> None:
        self._backing = backing
        self._objects = objects

    def copy(
        self,
        source: ObjectVersion,
        bucket: Bucket,
        key: bytes,
        attributes: Attributes,
        *,
        checksum_algorithm: str | None = None,
        conditions: Conditions | None = None,
        origin: Origin = FROM_PYTHON,
        customer_key: CustomerKey | None = None,
    ) -> ObjectVersion:
        """Store a copy of ``source`` (read with its inline bytes) under ``bucket``/``key``.

        :param checksum_algorithm: compute this checksum over the copy; None keeps the source's.
        :param customer_key: the source's, where it is encrypted with one.
        :raises InvalidRequest: the source is larger than one copy may be.
        :raises QuotaExceeded: the bucket's account, or the caller's key, may not store so much.
        """
        if source.size > self._backing.profile.max_copy:
            raise InvalidRequest(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {self._backing.profile.max_copy}"
            )
        if quota.is_concerned(bucket, origin):
            self._backing.quota.expect(bucket, key, source.size, origin)
        storage = self._backing.storage_for(bucket.name, attributes.storage_class)
        same_checksum = checksum_algorithm is None or (
            source.checksum is not None
            and source.checksum.algorithm == checksum_algorithm
            and source.checksum.type == "FULL_OBJECT"
        )
        content = source.content
        encryptions = self._backing.encryptions
        encryptions.check_customer_key(source.encryption, customer_key)
        wanted = encryptions.wanted_for(bucket, attributes.wanted)
        same_keys = encryptions.is_context_of(source.encryption, customer_key, wanted)
        same_bytes = same_checksum and same_keys
        if source.encryption is not None and wanted is not None and same_bytes:
            attributes = replace(
                attributes,
                encryption=replace(source.encryption, bucket_key=wanted.bucket_key),
            )
        if same_bytes and content is not None and content.storage == storage:
            shared = self._share(source, bucket, key, attributes, conditions, origin)
            if shared is not None:
                return shared
        if same_bytes and source.inline is not None:
            stored = Stored(source.size, source.etag, source.checksum, source.inline, None)
        else:
            sealing = None if wanted is None else encryptions.begin(wanted)
            encryption = None if sealing is None else sealing.encryption
            attributes = replace(attributes, encryption=encryption)
            stored = self.receive(
                source,
                0,
                source.size,
                storage,
                checksum_algorithm,
                seal=None if sealing is None else sealing.seal,
                md5=has_md5(encryption),
                customer_key=customer_key,
            )
        return self._objects.commit(
            bucket, key, stored, attributes, conditions=conditions, origin=origin, event=EVENT
        )

    def receive(
        self,
        source: ObjectVersion,
        start: int,
        end: int,
        storage: str,
        checksum_algorithm: str | None,
        *,
        inline: bool = True,
        seal: Seal | None = None,
        md5: bool = True,
        customer_key: CustomerKey | None = None,
    ) -> Stored:
        """Copy a byte range of ``source`` onto a storage, hashing it again.

        :param seal: encrypt the copy so; ``md5`` as for :meth:`Backing.receive`.
        :param customer_key: the source's.
        """
        if checksum_algorithm is None and source.checksum is not None:
            checksum_algorithm = source.checksum.algorithm
        blocks = self._backing.read(source, start, end, customer_key)
        try:
            body = BodyReader(BlockStream(blocks), end - start, compute=checksum_algorithm)
            return self._backing.receive(storage, body, inline=inline, seal=seal, md5=md5)
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _share(
        self,
        source: ObjectVersion,
        bucket: Bucket,
        key: bytes,
        attributes: Attributes,
        conditions: Conditions | None,
        origin: Origin,
    ) -> ObjectVersion | None:
        """One more reference to the same content; None when it was removed meanwhile."""
        stored = Stored(source.size, source.etag, source.checksum, None, source.content)
        try:
            return self._objects.commit(
                bucket,
                key,
                stored,
                attributes,
                conditions=conditions,
                origin=origin,
                event=EVENT,
                shared=True,
                parts=source.parts,
            )
        except ContentGone:
            return None


__all__ = ["BlockStream", "Copying"]
