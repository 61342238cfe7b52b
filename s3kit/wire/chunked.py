"""aws-chunked bodies: the framing, its signatures, its trailer.

Source: Amazon S3 API Reference, "Signature calculations for the Authorization header:
transferring payload in multiple chunks" and "... including trailing headers".
"""

from __future__ import annotations

import hashlib
from typing import Any
from typing import Final
from typing import NoReturn
from typing import Protocol

from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidChunkSizeError
from s3kit.errors import MalformedTrailerError
from s3kit.wire.checksums import BLOCK
from s3kit.wire.checksums import Readable

MINIMUM_CHUNK: Final = 8192
"""Every chunk but the last must have at least this many bytes."""

TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"

# A size of 16 hex digits, ";chunk-signature=" and 64 hex digits make 97 bytes.
_LINE_LIMIT: Final = 256
_TRAILER_LIMIT: Final = 4096
_HEX: Final = b"0123456789abcdefABCDEF"
_SIGNATURE: Final = b"chunk-signature="
_SHA256_OF_NOTHING: Final = hashlib.sha256(b"").hexdigest()


class ChunkSigner(Protocol):
    """Checks the chain of signatures of one body, in order. Implemented by auth."""

    def check_chunk(self, signature: str, data_sha256: str, /) -> None:
        """Raise SignatureDoesNotMatch unless this is the next chunk's signature.

        :param signature: as sent; ASCII, but not necessarily hex or of the right length.
        :param data_sha256: hex SHA-256 of the chunk's data.
        """

    def check_trailer(self, signature: str, trailer: bytes, /) -> None:
        """Raise SignatureDoesNotMatch unless the trailer is signed so.

        :param trailer: the canonical trailer: ``name:value\\n`` for each line.
        """


def trailer_names(value: str | None) -> tuple[str, ...]:
    """The lower-case names that an ``x-amz-trailer`` header announces."""
    if value is None:
        return ()
    return tuple(name for name in (part.strip().lower() for part in value.split(",")) if name)


class ChunkedReader:
    """Reads the bytes inside an aws-chunked body.

    Bytes of a chunk that is still arriving are given out before its signature can be checked;
    ``read`` gives b"" only after every signature, the declared length and the trailer have been
    found right. Once it has raised, it raises the same error for ever.

    ``trailers``: value by lower-case name, complete after the end.

    :param stream: the raw body; must end by itself.
    :param decoded_length: ``x-amz-decoded-content-length`` in bytes; None when there is none.
    :param signer: None for unsigned chunks.
    :param trailer: the lower-case names announced in ``x-amz-trailer``.
    """

    __slots__ = (
        "_block",
        "_chunk",
        "_chunks",
        "_decoded_length",
        "_ended",
        "_failure",
        "_given",
        "_hasher",
        "_left",
        "_minimum",
        "_position",
        "_signature",
        "_signer",
        "_stream",
        "_trailer",
        "trailers",
    )

    def __init__(
        self,
        stream: Readable,
        decoded_length: int | None,
        *,
        signer: ChunkSigner | None = None,
        trailer: tuple[str, ...] = (),
        minimum_chunk: int = MINIMUM_CHUNK,
    ) -> None:
        self._stream = stream
        self._decoded_length = decoded_length
        self._signer = signer
        self._trailer = trailer
        self._minimum = minimum_chunk
        self._block = b""
        self._position = 0
        self._chunk = 0
        self._chunks = 0
        self._left = 0
        self._given = 0
        self._signature = ""
        self._hasher: Any = None
        self._ended = False
        self._failure: Exception | None = None
        self.trailers: dict[str, str] = {}

    def read(self, size: int = BLOCK, /) -> bytes:
        """At most ``size`` bytes of data; b"" only at the verified end.

        :raises IncompleteBody: the framing is cut, malformed or not of the declared length.
        :raises SignatureDoesNotMatch: a chunk's or the trailer's signature is another.
        :raises InvalidChunkSizeError: a chunk before the last is under 8 KiB.
        :raises MalformedTrailerError: the trailer is not the announced one.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended or size < 1:
            return b""
        try:
            return self._decode(size)
        except Exception as failure:
            self._failure = failure
            raise

    def _decode(self, size: int) -> bytes:
        pieces: list[memoryview] = []
        view = memoryview(self._block)
        while size:
            if not self._left:
                if pieces and len(self._block) - self._position <= _LINE_LIMIT:
                    # Give out what is there rather than read on with it in hand.
                    break
                if not self._next_chunk():
                    break
                view = memoryview(self._block)
            position = self._position
            take = min(self._left, size, len(self._block) - position)
            if not take:
                if pieces:
                    break
                self._block = self._stream.read(BLOCK)
                self._position = 0
                if not self._block:
                    self._cut()
                view = memoryview(self._block)
                continue
            piece = view[position : position + take]
            self._position = position + take
            self._left -= take
            size -= take
            if self._signer is not None:
                self._check(self._signer, piece, take)
            pieces.append(piece)
        if len(pieces) == 1:
            return bytes(pieces[0])
        return b"".join(pieces)

    def _check(self, signer: ChunkSigner, piece: memoryview, take: int) -> None:
        if take == self._chunk:
            signer.check_chunk(self._signature, hashlib.sha256(piece).hexdigest())
            return
        if self._hasher is None:
            self._hasher = hashlib.sha256()
        self._hasher.update(piece)
        if not self._left:
            signer.check_chunk(self._signature, self._hasher.hexdigest())
            self._hasher = None

    def _next_chunk(self) -> bool:
        """Read a chunk's head; False when it was the last one, with all behind it."""
        if self._chunks:
            # Nothing but the line end may follow the former chunk's data.
            self._line(2)
        line = self._line(_LINE_LIMIT)
        digits, semicolon, extension = line.partition(b";")
        if not 0 < len(digits) <= 16 or digits.translate(None, _HEX):
            self._cut()
        if self._signer is None:
            if semicolon:
                self._cut()
        elif not extension.startswith(_SIGNATURE):
            self._cut()
        else:
            # Whatever is no ASCII could not be compared in constant time.
            self._signature = extension[len(_SIGNATURE) :].decode("ascii", "backslashreplace")
        size = int(digits, 16)
        declared = self._decoded_length
        if size:
            if self._chunks and self._chunk < self._minimum:
                raise InvalidChunkSizeError(chunk=self._chunks, bad_chunk_size=self._chunk)
            self._given += size
            if declared is not None and self._given > declared:
                self._wrong_length(declared)
            self._chunks += 1
            self._chunk = self._left = size
            return True
        if declared is not None and self._given != declared:
            self._wrong_length(declared)
        if self._signer is not None:
            self._signer.check_chunk(self._signature, _SHA256_OF_NOTHING)
        self._read_trailer()
        if self._position < len(self._block) or self._stream.read(1):
            self._cut()
        self._block = b""
        self._position = 0
        self._ended = True
        return False

    def _read_trailer(self) -> None:
        signature: str | None = None
        canonical = b""
        while line := self._line(_TRAILER_LIMIT):
            name_bytes, colon, value_bytes = line.partition(b":")
            value_bytes = value_bytes.strip(b" \t\n")
            name = name_bytes.decode("ascii", "backslashreplace").lower()
            value = value_bytes.decode("ascii", "backslashreplace")
            if not colon or signature is not None:
                raise MalformedTrailerError
            if name == TRAILER_SIGNATURE and self._signer is not None:
                signature = value
            elif name not in self._trailer or name in self.trailers:
                raise MalformedTrailerError
            else:
                self.trailers[name] = value
                canonical += b"%s:%s\n" % (name.encode("ascii"), value_bytes)
        if len(self.trailers) != len(self._trailer):
            raise MalformedTrailerError
        if self._signer is not None:
            if signature is not None:
                self._signer.check_trailer(signature, canonical)
            elif self._trailer:
                raise MalformedTrailerError

    def _line(self, limit: int) -> bytes:
        """The next line without its CRLF, which must come within ``limit`` bytes."""
        while True:
            end = self._block.find(b"\r\n", self._position, self._position + limit)
            if end >= 0:
                line = self._block[self._position : end]
                self._position = end + 2
                return line
            rest = self._block[self._position :]
            if len(rest) >= limit:
                self._cut()
            more = self._stream.read(BLOCK)
            if not more:
                self._cut()
            self._block = rest + more
            self._position = 0

    def _cut(self) -> NoReturn:
        raise IncompleteBody("The request body terminated unexpectedly")

    def _wrong_length(self, declared: int) -> NoReturn:
        raise IncompleteBody(number_bytes_expected=declared, number_bytes_provided=self._given)
