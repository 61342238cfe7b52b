"""AES-256-GCM in segments that can be read each by itself, over any BlobStore or in a row.

What lies on the storage::

    header      8 bytes that name this format, then the seal: 16 random bytes, the blob's identity
    segment 0   64 KiB of plaintext, encrypted, with a tag of 16 bytes for each layer
    ...
    segment n   the rest, at most 64 KiB; an empty object is one empty segment

Each blob has a key of its own, made by HKDF from the object's data key with the seal as salt. A
segment's nonce is its number and whether it is the last one (the STREAM construction of Hoang,
Reyhanitabar, Rogaway and Vizar), its additional data the header. The size and the seal that are
expected come from the index. So bytes that were changed, cut, extended, put into another order or
taken from another blob, also from an earlier one of the same object, are an error and never data.
A range is read from the segments that hold it.

The seal and not the blob's id: a blob that moves to another storage gets a new id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Final

from .base import BlobReader
from .base import BlobStore
from .base import BlobWriter
from .base import Buffer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEGMENT: Final = 64 * 1024
"""Bytes of plaintext in a segment: what a range of one byte costs at least."""

TAG: Final = 16
KEY: Final = 32
SEAL: Final = 16
MAGIC: Final = b"s3kSeal1"
HEADER: Final = len(MAGIC) + SEAL

EXTRA = "pip install 's3kit[encryption]'"
_INFO: Final = b"s3kit blob "


class SealBroken(OSError):
    """Sealed bytes are not those that were written, or not with this key."""


class MissingCryptography(ImportError):
    """The package that encrypts is not installed."""

    def __init__(self) -> None:
        super().__init__(f"Encryption needs the package cryptography: {EXTRA}")


def need_cryptography() -> None:
    """:raises MissingCryptography:"""
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError:
        raise MissingCryptography from None


def new_seal() -> bytes:
    """The identity of a blob that is to be written."""
    return os.urandom(SEAL)


def derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    """A 256-bit key for one use, by HKDF-SHA256 (RFC 5869)."""
    need_cryptography()
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY, salt, info).derive(key)


def encrypt_once(key: bytes, data: bytes, associated: bytes) -> bytes:
    """AES-GCM for a key that encrypts nothing else, so that it needs no nonce."""
    return _aead(key).encrypt(bytes(12), data, associated)


def decrypt_once(key: bytes, data: bytes, associated: bytes) -> bytes:
    """What :func:`encrypt_once` was given.

    :raises SealBroken: another key, other bytes, or other associated data.
    """
    from cryptography.exceptions import InvalidTag

    try:
        return _aead(key).decrypt(bytes(12), data, associated)
    except (InvalidTag, ValueError):
        raise SealBroken("the key does not open it") from None


def _aead(key: bytes) -> AESGCM:
    need_cryptography()
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


@dataclass(frozen=True, slots=True)
class Seal:
    """What seals and opens one blob. ``keys`` are the object's data keys, one for each layer."""

    keys: tuple[bytes, ...] = field(repr=False)
    id: bytes = field(default_factory=new_seal)

    @property
    def header(self) -> bytes:
        return MAGIC + self.id

    def size(self, size: int) -> int:
        """Bytes that ``size`` bytes of plaintext have when they are sealed."""
        return sealed_size(size, len(self.keys))

    def cipher(self) -> _Cipher:
        """To seal or to open this blob's segments."""
        return _Cipher(self)


def sealed_size(size: int, layers: int = 1) -> int:
    """Bytes that ``size`` bytes of plaintext have when they are sealed."""
    return HEADER + size + segments(size) * TAG * layers


def segments(size: int) -> int:
    """How many segments an object has."""
    return max(1, -(-size // SEGMENT))


class _Cipher:
    __slots__ = ("_header", "_layers")

    def __init__(self, seal: Seal) -> None:
        self._header = seal.header
        self._layers = [
            _aead(derive(key, seal.id, _INFO + bytes([number])))
            for number, key in enumerate(seal.keys)
        ]

    def seal(self, number: int, last: bool, data: Buffer) -> Buffer:
        nonce = number.to_bytes(11, "big") + (b"\1" if last else b"\0")
        for layer in self._layers:
            data = layer.encrypt(nonce, data, self._header)
        return data

    def open(self, number: int, last: bool, data: Buffer) -> bytes:
        from cryptography.exceptions import InvalidTag

        nonce = number.to_bytes(11, "big") + (b"\1" if last else b"\0")
        try:
            for layer in reversed(self._layers):
                data = layer.decrypt(nonce, data, self._header)
        except InvalidTag:
            raise SealBroken(f"segment {number} is not as it was written") from None
        assert isinstance(data, bytes)
        return data


class SealedWriter:
    """A BlobWriter that seals what it is given. Holds one segment of it."""

    __slots__ = ("_cipher", "_held", "_number", "_out", "_writer")

    def __init__(self, writer: BlobWriter, seal: Seal) -> None:
        self._writer = writer
        self._cipher = seal.cipher()
        self._held = bytearray()
        self._number = 0
        self._out: list[Buffer] = [seal.header]

    def write(self, data: Buffer, /) -> None:
        """Seal all segments that are full and have something behind them, keep the rest."""
        held = self._held
        view = memoryview(data).cast("B")
        if len(held) + len(view) <= SEGMENT:
            held += view
            return
        if held:
            missing = SEGMENT - len(held)
            held += view[:missing]
            view = view[missing:]
            self._seal(bytes(held), False)
            held.clear()
        position = 0
        while len(view) - position > SEGMENT:
            self._seal(view[position : position + SEGMENT], False)
            position += SEGMENT
        held += view[position:]
        self._flush()

    def _seal(self, data: Buffer, last: bool) -> None:
        self._out.append(self._cipher.seal(self._number, last, data))
        self._number += 1

    def _flush(self) -> None:
        out = self._out
        self._out = []
        self._writer.write(b"".join(out))

    def commit(self) -> None:
        """Seal the last segment and make the blob readable."""
        self._seal(bytes(self._held), True)
        self._flush()
        self._writer.commit()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writer.discard()


def seal_bytes(seal: Seal, data: bytes) -> bytes:
    """A small object, sealed as a blob would be."""
    cipher = seal.cipher()
    count = segments(len(data))
    return b"".join(
        (
            seal.header,
            *(
                cipher.seal(
                    number,
                    number == count - 1,
                    data if count == 1 else data[number * SEGMENT : (number + 1) * SEGMENT],
                )
                for number in range(count)
            ),
        )
    )


def open_bytes(seal: Seal, data: bytes, size: int) -> bytes:
    """What :func:`seal_bytes` was given: ``size`` bytes.

    :raises SealBroken:
    """
    opening = Opening(seal, size)
    found = opening.feed(data)
    opening.finish()
    return found


class Opening:
    """Opens segments as their bytes come, in blocks of any size.

    :param size: bytes of the whole plaintext.
    :param first: the first segment that comes; before segment 0 comes the header.
    :param last: the last one, by default that of the blob.
    """

    __slots__ = ("_cipher", "_count", "_header", "_held", "_last", "_layers", "_number", "_size")

    def __init__(self, seal: Seal, size: int, first: int = 0, last: int | None = None) -> None:
        self._cipher = seal.cipher()
        self._layers = len(seal.keys)
        self._size = size
        self._count = segments(size)
        self._number = first
        self._last = self._count - 1 if last is None else last
        self._header = seal.header if first == 0 else b""
        self._held = b""

    def feed(self, block: Buffer) -> bytes:
        """The plaintext of all segments that are whole by now.

        :raises SealBroken:
        """
        if self._held:
            block = self._held + block
        view = memoryview(block)
        position = 0
        if self._header:
            if len(view) < HEADER:
                self._held = bytes(view)
                return b""
            if view[:HEADER] != self._header:
                raise SealBroken("it is another blob, or none that was sealed")
            self._header = b""
            position = HEADER
        found = []
        while self._number <= self._last:
            size = self._stored(self._number)
            if len(view) - position < size:
                break
            data = view[position : position + size]
            found.append(self._cipher.open(self._number, self._number == self._count - 1, data))
            self._number += 1
            position += size
        self._held = bytes(view[position:])
        if self._held and self._number > self._last:
            raise SealBroken("there are more bytes than were written")
        return found[0] if len(found) == 1 else b"".join(found)

    def _stored(self, number: int) -> int:
        plain = SEGMENT if number < self._count - 1 else self._size - number * SEGMENT
        return plain + TAG * self._layers

    def finish(self) -> None:
        """The end of the bytes.

        :raises SealBroken: some are missing.
        """
        if self._header or self._number <= self._last:
            raise SealBroken("bytes are missing")


def open_sealed(
    store: BlobStore, blob: str, seal: Seal, size: int, start: int, end: int
) -> SealedReader:
    """The plaintext from ``start`` to ``end`` (exclusive) of a sealed blob.

    The first block is opened before this returns, so that what is broken there is an error and not
    a cut answer.

    :param size: bytes of the whole plaintext.
    :raises FileNotFoundError: there is no such blob.
    :raises SealBroken: it is not what was written.
    """
    first = start // SEGMENT
    last = max(first, (end - 1) // SEGMENT)
    stored = SEGMENT + TAG * len(seal.keys)
    whole = seal.size(size)
    if last == segments(size) - 1 and store.size(blob) != whole:
        # What is behind its end would never be asked for.
        raise SealBroken(f"blob {blob}: it has another size than was written")
    blocks = store.open(
        blob,
        HEADER + first * stored if first else 0,
        min(HEADER + (last + 1) * stored, whole),
    )
    try:
        opening = Opening(seal, size, first, last)
        return SealedReader(blob, blocks, opening, start - first * SEGMENT, end - start)
    except BaseException:
        blocks.close()
        raise


class SealedReader:
    """A BlobReader of plaintext: ``length`` bytes behind the first ``skip``."""

    __slots__ = ("_blob", "_blocks", "_left", "_next", "_opening", "_skip")

    def __init__(
        self, blob: str, blocks: BlobReader, opening: Opening, skip: int, length: int
    ) -> None:
        self._blob = blob
        self._blocks = blocks
        self._opening = opening
        self._skip = skip
        self._left = length
        self._next = self._read()

    def _read(self) -> bytes:
        """The next bytes that are wanted; b"" at the end of the blob."""
        for block in self._blocks:
            try:
                found = self._opening.feed(block)
            except SealBroken as error:
                raise SealBroken(f"blob {self._blob}: {error}") from None
            if self._skip:
                skipped = min(self._skip, len(found))
                self._skip -= skipped
                found = found[skipped:]
            if len(found) > self._left:
                found = found[: self._left]
            if found:
                self._left -= len(found)
                return found
        self._opening.finish()
        return b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        found = self._next
        self._next = b""
        if not found and self._left:
            found = self._read()
        if not found:
            self._blocks.close()
            raise StopIteration
        return found

    def close(self) -> None:
        """Let the storage go."""
        self._next = b""
        self._left = 0
        self._blocks.close()


__all__ = [
    "EXTRA",
    "SEGMENT",
    "MissingCryptography",
    "Opening",
    "Seal",
    "SealBroken",
    "SealedReader",
    "SealedWriter",
    "open_bytes",
    "open_sealed",
    "seal_bytes",
    "sealed_size",
]
