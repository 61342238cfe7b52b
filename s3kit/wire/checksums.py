"""Checksums and ETags: every algorithm that S3 verifies, and the one reader that verifies a body.

CRC32 is zlib's. CRC32C and CRC64NVME come from awscrt where it is already imported, else from
anycrc (the ``checksums`` extra), else from a pure Python table that warns once. The XXHASH family
comes from xxhash (the ``xxhash`` extra), else from awscrt, else it is refused.
Source: Amazon S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import importlib
import sys
import warnings
import zlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import Protocol
from typing import cast

from s3kit.errors import BadDigest
from s3kit.errors import EntityTooLarge
from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidRequest
from s3kit.errors import MalformedTrailerError
from s3kit.errors import XAmzContentSHA256Mismatch
from s3kit.model import Checksum

BLOCK: Final = 1 << 20
"""Bytes asked of a stream at once. Under gunicorn 256 KiB costs 3.5 s/GiB, 1 MiB 2.2."""

SMALL: Final = 1 << 16
"""Up to this many bytes a body is read and hashed in one go."""

SIZES: Final[Mapping[str, int]] = {
    "CRC32": 4,
    "CRC32C": 4,
    "CRC64NVME": 8,
    "SHA1": 20,
    "SHA256": 32,
    "SHA512": 64,
    "MD5": 16,
    "XXHASH64": 8,
    "XXHASH3": 8,
    "XXHASH128": 16,
}
"""Bytes of a digest by S3's name of the algorithm."""

ALGORITHMS: Final = tuple(SIZES)

HEADERS: Final[Mapping[str, str]] = {name: f"x-amz-checksum-{name.lower()}" for name in SIZES}
"""The header, or trailer, that carries a checksum, by algorithm."""

_ALGORITHM_OF_HEADER: Final = {header: name for name, header in HEADERS.items()}
_ENVIRON_PREFIX: Final = "HTTP_X_AMZ_CHECKSUM_"
_ALGORITHM_OF_ENVIRON: Final = {_ENVIRON_PREFIX + name: name for name in SIZES}
# These share the prefix and carry no checksum.
_NOT_VALUES: Final = frozenset(_ENVIRON_PREFIX + name for name in ("ALGORITHM", "MODE", "TYPE"))
# Reflected polynomials and register widths of the CRCs.
_POLYNOMIALS: Final[Mapping[str, tuple[int, int]]] = {
    "CRC32": (0xEDB88320, 32),
    "CRC32C": (0x82F63B78, 32),
    "CRC64NVME": (0x9A6C9329AC4BC9B5, 64),
}
# What xxhash and awscrt call the algorithms of the family.
_XXHASH_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "XXHASH64": ("xxh64", "new_xxhash64"),
    "XXHASH3": ("xxh3_64", "new_xxhash3_64"),
    "XXHASH128": ("xxh3_128", "new_xxhash3_128"),
}
_ANYCRC_NAMES: Final = {"CRC32C": "CRC32C", "CRC64NVME": "CRC64-NVME"}

# A host without MD5 (FIPS) still has it for uses that are not about security, as an ETag is.
_new_md5 = functools.partial(hashlib.md5, usedforsecurity=False)
_new_sha1 = functools.partial(hashlib.sha1, usedforsecurity=False)

Update = Callable[[bytes, int], int]
"""A CRC step: (bytes, CRC so far) -> CRC."""


class Hasher(Protocol):
    """What hashlib's objects and :class:`Crc` have in common."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Readable(Protocol):
    """A stream with a known end: ``read`` gives b"" there and nowhere else."""

    def read(self, size: int, /) -> bytes: ...


class Expected(NamedTuple):
    """The checksum that a client declared; ``value`` is None when it comes in the trailer."""

    algorithm: str
    value: bytes | None

    @property
    def header(self) -> str:
        """The lower-case name of the header or trailer that carries it."""
        return HEADERS[self.algorithm]


# ---------------------------------------------------------------- CRC


class Crc:
    """A CRC that grows by ``update``; see :func:`new`."""

    __slots__ = ("_size", "_step", "_value")

    def __init__(self, algorithm: str) -> None:
        self._step = _crc_step(algorithm)
        self._size = SIZES[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


@functools.cache
def _crc_step(algorithm: str) -> Update:
    """The fastest implementation here; looked for at the first use, as awscrt takes 80 ms."""
    if algorithm == "CRC32":
        return zlib.crc32
    step = _compiled_step(algorithm)
    if step is None:
        warnings.warn(
            f"{algorithm} is computed in pure Python, at about 15 MB/s: "
            "install s3kit[checksums] for a thousand times that.",
            RuntimeWarning,
            stacklevel=2,
        )
        step = _table_step(*_POLYNOMIALS[algorithm])
    return step


def _compiled_step(algorithm: str) -> Update | None:
    awscrt: Any = sys.modules.get("awscrt.checksums")
    if awscrt is None:
        model = _anycrc_model(algorithm)
        if model is not None:
            return cast("Update", model.calc)
        try:
            awscrt = importlib.import_module("awscrt.checksums")
        except ImportError:
            return None
    return cast("Update", getattr(awscrt, algorithm.lower()))


@functools.cache
def _anycrc_model(algorithm: str) -> Any:
    try:
        import anycrc
    except ImportError:
        return None
    return anycrc.Model(_ANYCRC_NAMES.get(algorithm, algorithm))


def fast_crc64nvme() -> bool:
    """True when CRC64NVME costs next to nothing, so that it can be computed unasked."""
    return _compiled_step("CRC64NVME") is not None


class _CrtXxhash:
    """awscrt's hash under the names of hashlib's."""

    __slots__ = ("_hash",)

    def __init__(self, name: str) -> None:
        self._hash: Any = getattr(importlib.import_module("awscrt.checksums").XXHash, name)()

    def update(self, data: bytes, /) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return bytes(self._hash.finalize())


@functools.cache
def _xxhash_maker(algorithm: str) -> Callable[[], Hasher] | None:
    """What makes a hasher whose digest is the canonical one, the number in big-endian bytes.

    awscrt's is the same; a class of awscrt older than 0.31.2 has none.
    """
    name, crt_name = _XXHASH_NAMES[algorithm]
    try:
        return cast("Callable[[], Hasher]", getattr(importlib.import_module("xxhash"), name))
    except ImportError:
        pass
    try:
        found = hasattr(importlib.import_module("awscrt.checksums"), "XXHash")
    except ImportError:
        found = False
    return functools.partial(_CrtXxhash, crt_name) if found else None


def available(algorithm: str) -> bool:
    """Whether this installation can compute one of :data:`ALGORITHMS`."""
    return algorithm not in _XXHASH_NAMES or _xxhash_maker(algorithm) is not None


def known_algorithm(text: str) -> str:
    """One of :data:`ALGORITHMS` by the name that a client gave it.

    :raises InvalidRequest: S3 has none of that name, or this installation cannot compute it.
    """
    algorithm = text.strip().upper()
    if algorithm not in SIZES:
        raise InvalidRequest(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{', '.join(ALGORITHMS)}]"
        )
    _require(algorithm)
    return algorithm


def _require(algorithm: str) -> None:
    if not available(algorithm):
        raise InvalidRequest(
            f"The checksum algorithm {algorithm} is not installed on this endpoint: "
            "it needs s3kit[xxhash]."
        )


def _table_step(polynomial: int, width: int) -> Update:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ polynomial if byte & 1 else byte >> 1
        table.append(byte)
    ones = (1 << width) - 1

    def step(data: bytes, value: int) -> int:
        value ^= ones
        for byte in data:
            value = (value >> 8) ^ table[(value ^ byte) & 255]
        return value ^ ones

    return step


def _multiply(a: int, b: int, polynomial: int, width: int) -> int:
    """The product of two reflected polynomials modulo a third."""
    bit = 1 << (width - 1)
    product = 0
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
    return product


@functools.lru_cache(maxsize=1024)
def _shift(size: int, polynomial: int, width: int) -> int:
    """x to the power of 8 * size: what appending that many bytes does to a CRC."""
    result = 1 << (width - 1)
    power = 1 << (width - 1 - 8)
    while size:
        if size & 1:
            result = _multiply(result, power, polynomial, width)
        power = _multiply(power, power, polynomial, width)
        size >>= 1
    return result


def combine(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of a whole from its parts' CRCs, without reading the parts again.

    :param parts: (digest, size in bytes) in order. No parts give the CRC of b"".
    :raises ValueError: for an algorithm that is no CRC.
    """
    if algorithm not in _POLYNOMIALS:
        raise ValueError(f"{algorithm} checksums cannot be combined")
    polynomial, width = _POLYNOMIALS[algorithm]
    whole = 0
    for digest, size in parts:
        moved = _multiply(_shift(size, polynomial, width), whole, polynomial, width)
        whole = moved ^ int.from_bytes(digest, "big")
    return whole.to_bytes(width // 8, "big")


# ---------------------------------------------------------------- values


def new(algorithm: str) -> Hasher:
    """A hasher for one of :data:`ALGORITHMS`; KeyError for any other name.

    :raises InvalidRequest: it is not :func:`available`.
    """
    if algorithm == "SHA256":
        return hashlib.sha256()
    if algorithm == "SHA1":
        return _new_sha1()
    if algorithm in _POLYNOMIALS:
        return Crc(algorithm)
    if algorithm == "SHA512":
        return hashlib.sha512()
    if algorithm == "MD5":
        return _new_md5()
    make = _xxhash_maker(algorithm)
    if make is None:
        _require(algorithm)
        raise AssertionError(algorithm)
    return make()


def digest_of(algorithm: str, data: bytes) -> bytes:
    """The digest of some bytes at once."""
    if algorithm == "SHA256":
        return hashlib.sha256(data).digest()
    if algorithm == "SHA1":
        return _new_sha1(data).digest()
    if algorithm in _POLYNOMIALS:
        return _crc_step(algorithm)(data, 0).to_bytes(SIZES[algorithm], "big")
    hasher = new(algorithm)
    hasher.update(data)
    return hasher.digest()


def encode(digest: bytes) -> str:
    """A digest as S3 shows it: base64."""
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def decode(algorithm: str, text: str) -> bytes | None:
    """A digest from its base64 text; None when it is not one of this algorithm's."""
    try:
        digest = binascii.a2b_base64(text)
    except ValueError:
        return None
    # Base64 has other spellings of a value, and the decoder skips noise: only one text counts.
    return digest if len(digest) == SIZES[algorithm] and encode(digest) == text else None


def composite(algorithm: str, digests: Sequence[bytes]) -> str:
    """The checksum of a multipart object from its parts' digests: base64 and ``-N``."""
    return f"{encode(digest_of(algorithm, b''.join(digests)))}-{len(digests)}"


def multipart_etag(digests: Sequence[str]) -> str:
    """The ETag of a multipart object from its parts' MD5s in hex: hex and ``-N``, no quotes."""
    return f"{_new_md5(bytes.fromhex(''.join(digests))).hexdigest()}-{len(digests)}"


# ---------------------------------------------------------------- what the client declared


def declared(environ: Mapping[str, Any]) -> Expected | None:
    """The checksum that a request declares for its body, in a header or in the trailer.

    :raises InvalidRequest: for two checksums, an unknown one, a value that is not base64 of the
        right length, or an ``x-amz-sdk-checksum-algorithm`` that names another or stands alone.
    """
    algorithm, text = _declared_header(environ)
    trailer = environ.get("HTTP_X_AMZ_TRAILER")
    if trailer is not None:
        if algorithm is not None:
            raise InvalidRequest(
                "Expecting a single x-amz-checksum- header. "
                "Multiple checksum Types are not allowed."
            )
        algorithm = _ALGORITHM_OF_HEADER.get(trailer.strip().lower())
        if algorithm is None:
            raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
        _require(algorithm)
    _check_sdk_algorithm(environ, algorithm)
    if algorithm is None:
        return None
    if text is None:
        return Expected(algorithm, None)
    value = decode(algorithm, text)
    if value is None:
        raise InvalidRequest(f"Value for {HEADERS[algorithm]} header is invalid.")
    return Expected(algorithm, value)


def declared_whole(environ: Mapping[str, Any]) -> Checksum | None:
    """The checksum of the whole object that CompleteMultipartUpload's headers declare.

    Here ``x-amz-checksum-*`` is not about the body of the request. A value with ``-N`` is a
    COMPOSITE one.

    :raises InvalidRequest: as :func:`declared` does.
    """
    algorithm, text = _declared_header(environ)
    if algorithm is None or text is None:
        return None
    value, dash, count = text.partition("-")
    if decode(algorithm, value) is None or (dash and not (count.isascii() and count.isdigit())):
        raise InvalidRequest(f"Value for {HEADERS[algorithm]} header is invalid.")
    return Checksum(algorithm, text, "COMPOSITE" if dash else "FULL_OBJECT")


def _declared_header(environ: Mapping[str, Any]) -> tuple[str | None, str | None]:
    names = [name for name in environ if name.startswith(_ENVIRON_PREFIX)]
    if not names:
        return None, None
    names = [name for name in names if name not in _NOT_VALUES]
    if not names:
        return None, None
    if len(names) > 1:
        raise InvalidRequest(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    algorithm = _ALGORITHM_OF_ENVIRON.get(names[0])
    if algorithm is None:
        raise InvalidRequest(
            "The algorithm type you specified in x-amz-checksum- header is invalid."
        )
    _require(algorithm)
    return algorithm, environ[names[0]].strip()


def _check_sdk_algorithm(environ: Mapping[str, Any], algorithm: str | None) -> None:
    wanted = environ.get("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM")
    if wanted is None:
        return
    wanted = known_algorithm(wanted)
    if algorithm is None:
        raise InvalidRequest(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found."
        )
    if wanted != algorithm:
        raise InvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")


# ---------------------------------------------------------------- the body


class BodyReader:
    """A request body that cannot be read to its end unless it is what the client promised.

    ``read`` gives the blocks of the stream untouched, hashing each once, and gives b"" only after
    length, SHA-256, Content-MD5 and checksum have all been found right; so whoever commits after
    b"" commits verified bytes, and whoever stops before it must not commit.

    ``length`` is the one given; ``size`` (bytes) counts along; ``md5`` (hex, "" when switched
    off) and ``checksum`` (the declared one, else the one of ``compute``, else None) exist only
    after the end: AttributeError before it. A reader that has raised raises the same for ever.

    :param stream: gives b"" at its end; ends by itself, so that nothing past it is ever asked.
    :param length: bytes that the body must have; None when only the stream knows.
    :param sha256: the hex digest that was signed; None for an unsigned or a chunked payload.
    :param content_md5: the 16 bytes of the Content-MD5 header.
    :param expected: see :func:`declared`; one in the trailer is looked up in ``stream.trailers``.
    :param compute: algorithm to compute where none was declared.
    :param limit: most bytes that are accepted.
    :param md5: False when nobody needs the ETag, as for documents.
    :raises EntityTooLarge: at once for a length over the limit, or when reading reaches it.
    """

    __slots__ = (
        "_algorithm",
        "_content_md5",
        "_expected",
        "_failure",
        "_hasher",
        "_limit",
        "_md5_hasher",
        "_open",
        "_sha256",
        "_sha256_hasher",
        "_stream",
        "_updates",
        "_wants_md5",
        "checksum",
        "length",
        "md5",
        "size",
    )

    checksum: Checksum | None
    md5: str
    size: int

    def __init__(
        self,
        stream: Readable,
        length: int | None,
        *,
        sha256: str | None = None,
        content_md5: bytes | None = None,
        expected: Expected | None = None,
        compute: str | None = None,
        limit: int | None = None,
        md5: bool = True,
    ) -> None:
        if limit is not None and length is not None and length > limit:
            raise EntityTooLarge(proposed_size=length, max_size_allowed=limit)
        self._stream = stream
        self.length = length
        self._limit = limit
        self._sha256 = sha256
        self._content_md5 = content_md5
        self._expected = expected
        self._algorithm = compute if expected is None else expected.algorithm
        self._wants_md5 = md5 or content_md5 is not None
        self._md5_hasher: Any = None
        self._sha256_hasher: Any = None
        self._hasher: Hasher | None = None
        self._open = True
        self._failure: Exception | None = None
        self._updates: tuple[Callable[[bytes], object], ...] | None = None
        self.size = 0

    def read(self, size: int = BLOCK) -> bytes:
        """At most ``size`` bytes (at least 1); b"" once the whole body has been verified.

        :raises IncompleteBody: too few or too many bytes.
        :raises BadDigest: the MD5 or the checksum is another.
        :raises XAmzContentSHA256Mismatch: the SHA-256 is another.
        :raises MalformedTrailerError: the announced checksum is not in the trailer.
        """
        if not self._open:
            if self._failure is not None:
                raise self._failure
            return b""
        if size < 1:
            raise ValueError('a body is read by at least one byte, as b"" means its verified end')
        try:
            block = self._stream.read(size)
            if not block:
                self._finish()
                return b""
            updates = self._updates
            if updates is None:
                updates = self._start()
            self._count(len(block))
        except Exception as failure:
            self._fail(failure)
            raise
        for update in updates:
            update(block)
        return block

    def read_all(self) -> bytes:
        """The whole rest of the body, verified; for bodies whose size the caller has bounded."""
        length = self.length
        if length is None or length > SMALL or self.size or not self._open:
            blocks = []
            while block := self.read(BLOCK):
                blocks.append(block)
            return b"".join(blocks)
        try:
            return self._read_at_once(length)
        except Exception as failure:
            self._fail(failure)
            raise

    def _read_at_once(self, length: int) -> bytes:
        read = self._stream.read
        data = read(length) if length else b""
        # The end of the stream must have been seen: a chunked one checks its last chunk there.
        while more := read(BLOCK):
            data += more
            if len(data) > length:
                break
        self._count(len(data))
        algorithm = self._algorithm
        digest = None if algorithm is None else digest_of(algorithm, data)
        self._verify(
            None if self._sha256 is None else hashlib.sha256(data).hexdigest(),
            _new_md5(data) if self._wants_md5 else None,
            digest,
        )
        return data

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._open = False

    def _count(self, more: int) -> None:
        self.size = size = self.size + more
        if self.length is not None and size > self.length:
            raise self._wrong_length()
        if self._limit is not None and size > self._limit:
            raise EntityTooLarge(proposed_size=size, max_size_allowed=self._limit)

    def _start(self) -> tuple[Callable[[bytes], object], ...]:
        updates: list[Callable[[bytes], object]] = []
        if self._wants_md5:
            self._md5_hasher = _new_md5()
            updates.append(self._md5_hasher.update)
        if self._sha256 is not None:
            self._sha256_hasher = hashlib.sha256()
            updates.append(self._sha256_hasher.update)
        if self._algorithm == "SHA256" and self._sha256_hasher is not None:
            self._hasher = self._sha256_hasher
        elif self._algorithm == "MD5" and self._md5_hasher is not None:
            self._hasher = self._md5_hasher
        elif self._algorithm is not None:
            self._hasher = new(self._algorithm)
            updates.append(self._hasher.update)
        self._updates = tuple(updates)
        return self._updates

    def _finish(self) -> None:
        if self._updates is None:
            self._start()
        sha256 = self._sha256_hasher
        hasher = self._hasher
        self._verify(
            None if sha256 is None else sha256.hexdigest(),
            self._md5_hasher,
            None if hasher is None else hasher.digest(),
        )

    def _verify(self, sha256: str | None, md5: Any, digest: bytes | None) -> None:
        if self.length is not None and self.size != self.length:
            raise self._wrong_length()
        if sha256 != self._sha256:
            raise XAmzContentSHA256Mismatch(
                ClientComputedContentSHA256=self._sha256 or "",
                S3ComputedContentSHA256=sha256 or "",
            )
        if self._content_md5 is not None and md5.digest() != self._content_md5:
            raise BadDigest(
                "The Content-MD5 you specified did not match what we received.",
                expected_digest=self._content_md5.hex(),
                calculated_digest=encode(md5.digest()),
            )
        if digest is None or self._algorithm is None:
            self.checksum = None
        else:
            if self._expected is not None and self._promised(self._expected) != digest:
                raise BadDigest(
                    f"The {self._algorithm} you specified did not match the calculated checksum."
                )
            self.checksum = Checksum(self._algorithm, encode(digest))
        self.md5 = "" if md5 is None else md5.hexdigest()
        self._open = False

    def _promised(self, expected: Expected) -> bytes:
        if expected.value is not None:
            return expected.value
        trailers: Mapping[str, str] = getattr(self._stream, "trailers", {})
        text = trailers.get(expected.header)
        if text is None:
            raise MalformedTrailerError
        value = decode(expected.algorithm, text)
        if value is None:
            raise InvalidRequest(f"Value for {expected.header} trailing header is invalid.")
        return value

    def _wrong_length(self) -> IncompleteBody:
        return IncompleteBody(
            number_bytes_expected=self.length or 0, number_bytes_provided=self.size
        )
