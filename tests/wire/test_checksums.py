"""Checksums against known answers and other implementations; the reader that verifies a body."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.httpchecksum import _CHECKSUM_CLS
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import BadDigest
from s3kit.errors import EntityTooLarge
from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidRequest
from s3kit.errors import MalformedTrailerError
from s3kit.errors import S3Error
from s3kit.errors import XAmzContentSHA256Mismatch
from s3kit.model import Checksum
from s3kit.wire import checksums
from s3kit.wire.checksums import ALGORITHMS
from s3kit.wire.checksums import HEADERS
from s3kit.wire.checksums import SIZES
from s3kit.wire.checksums import BodyReader
from s3kit.wire.checksums import Expected
from s3kit.wire.checksums import combine
from s3kit.wire.checksums import composite
from s3kit.wire.checksums import declared
from s3kit.wire.checksums import declared_whole
from s3kit.wire.checksums import decode
from s3kit.wire.checksums import digest_of
from s3kit.wire.checksums import encode
from s3kit.wire.checksums import multipart_etag
from s3kit.wire.checksums import new
from s3kit.wire.environ import Input

CRCS = ("CRC32", "CRC32C", "CRC64NVME")

# Of b"123456789": the "check" values of the CRC catalogue, FIPS 180-4, RFC 1321, and what both
# xxhash and awscrt give, each in its canonical (big-endian) form.
CHECK = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "SHA512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    "MD5": "25f9e794323b453885f5181f1b624d0b",
    "XXHASH64": "8cb841db40e6ae83",
    "XXHASH3": "72dcb18b67a17dff",
    "XXHASH128": "33119477ede5dcd5e9716427681d5860",
}


class Trickle:
    """A stream that gives at most ``step`` bytes at once; ``trailers`` as a chunked one has."""

    def __init__(self, data: bytes, step: int, trailers: dict[str, str] | None = None) -> None:
        self._data = io.BytesIO(data)
        self._step = step
        self.reads = 0
        if trailers is not None:
            self.trailers = trailers

    def read(self, size: int, /) -> bytes:
        self.reads += 1
        return self._data.read(min(size, self._step))


def drained(reader: BodyReader, size: int = 7) -> bytes:
    return b"".join(iter(lambda: reader.read(size), b""))


def whole(reader: BodyReader) -> bytes:
    return reader.read_all()


both_ways = pytest.mark.parametrize("consume", [drained, whole])


# ---------------------------------------------------------------- algorithms


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_gives_its_published_check_value(algorithm: str) -> None:
    assert digest_of(algorithm, b"123456789").hex() == CHECK[algorithm]
    assert len(digest_of(algorithm, b"")) == SIZES[algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.lists(st.binary(max_size=300), max_size=6))
def test_pieces_hash_as_their_whole_and_as_in_botocore(algorithm: str, data: list[bytes]) -> None:
    hasher = new(algorithm)
    # botocore computes all but one.
    theirs = hashlib.md5() if algorithm == "MD5" else _CHECKSUM_CLS[algorithm.lower()]()
    for piece in data:
        hasher.update(piece)
        theirs.update(piece)
    assert hasher.digest() == digest_of(algorithm, b"".join(data)) == theirs.digest()


@pytest.mark.parametrize("algorithm", CRCS)
@given(parts=st.lists(st.binary(max_size=300), max_size=6))
def test_the_combined_crc_of_parts_is_the_crc_of_the_whole(
    algorithm: str, parts: list[bytes]
) -> None:
    combined = combine(algorithm, [(digest_of(algorithm, part), len(part)) for part in parts])
    assert combined == digest_of(algorithm, b"".join(parts))


@pytest.mark.parametrize("algorithm", CRCS)
def test_combining_works_for_parts_of_any_size(algorithm: str) -> None:
    zeros = bytes(5 * 1024 * 1024 + 1)
    tail = b"tail"
    combined = combine(
        algorithm,
        [(digest_of(algorithm, zeros), len(zeros)), (digest_of(algorithm, tail), len(tail))],
    )
    assert combined == digest_of(algorithm, zeros + tail)


def test_a_hash_that_is_no_crc_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="SHA256"):
        combine("SHA256", [(bytes(32), 1)])


@pytest.fixture
def no_crc_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("anycrc", "awscrt", "awscrt.checksums"):
        monkeypatch.setitem(sys.modules, name, None)
    caches = (checksums._crc_step, checksums._anycrc_model)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("no_crc_library")
@pytest.mark.parametrize("algorithm", ["CRC32C", "CRC64NVME"])
def test_without_a_crc_library_the_table_is_right_and_warns_once(algorithm: str) -> None:
    assert not checksums.fast_crc64nvme()
    with pytest.warns(RuntimeWarning, match=r"s3kit\[checksums\]"):
        assert digest_of(algorithm, b"123456789").hex() == CHECK[algorithm]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hasher = new(algorithm)
        hasher.update(b"1234")
        hasher.update(b"56789")
        assert hasher.digest().hex() == CHECK[algorithm]


@pytest.fixture
def xxhash_sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    checksums._xxhash_maker.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    checksums._xxhash_maker.cache_clear()


@pytest.mark.parametrize("algorithm", ["XXHASH64", "XXHASH3", "XXHASH128"])
def test_awscrt_serves_where_xxhash_is_missing(
    xxhash_sources: pytest.MonkeyPatch, algorithm: str
) -> None:
    xxhash_sources.setitem(sys.modules, "xxhash", None)
    assert checksums.available(algorithm)
    assert digest_of(algorithm, b"123456789").hex() == CHECK[algorithm]


@pytest.mark.parametrize("algorithm", ["XXHASH64", "XXHASH3", "XXHASH128"])
def test_without_either_a_checksum_of_the_family_is_refused_by_name(
    xxhash_sources: pytest.MonkeyPatch, algorithm: str
) -> None:
    for name in ("xxhash", "awscrt", "awscrt.checksums"):
        xxhash_sources.setitem(sys.modules, name, None)
    assert not checksums.available(algorithm)
    value = encode(bytes(SIZES[algorithm]))
    requests = (
        {f"HTTP_X_AMZ_CHECKSUM_{algorithm}": value},
        environ(trailer=HEADERS[algorithm]),
        environ(sdk_checksum_algorithm=algorithm),
    )
    for headers in requests:
        with pytest.raises(InvalidRequest, match=rf"{algorithm}.*s3kit\[xxhash\]"):
            declared(headers)
    for refused in (checksums.known_algorithm, new):
        with pytest.raises(InvalidRequest, match=rf"{algorithm}.*s3kit\[xxhash\]"):
            refused(algorithm)
    assert checksums.available("SHA512")


def test_awscrt_serves_where_it_is_already_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Awscrt:
        @staticmethod
        def crc64nvme(data: bytes, value: int) -> int:
            return 7

    monkeypatch.setitem(sys.modules, "awscrt.checksums", Awscrt)
    step = checksums._compiled_step("CRC64NVME")
    assert step is not None
    assert step(b"", 0) == 7


def test_a_compiled_crc64nvme_is_called_fast() -> None:
    assert checksums.fast_crc64nvme()


def test_a_host_without_md5_for_security_still_makes_etags(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_elsewhere(true: Any) -> Any:
        def hasher(*arguments: Any, usedforsecurity: bool = True) -> Any:
            if usedforsecurity:
                raise ValueError("[digital envelope routines] unsupported")
            return true(*arguments, usedforsecurity=False)

        return hasher

    etag = hashlib.md5(b"hello").hexdigest()
    for name in ("md5", "sha1"):
        monkeypatch.setattr(hashlib, name, only_elsewhere(getattr(hashlib, name)))
    spec = importlib.util.spec_from_file_location("checksums_without_md5", checksums.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for consume in (drained, whole):
        reader = fresh.BodyReader(io.BytesIO(b"hello"), 5, compute="SHA1")
        consume(reader)
        assert reader.md5 == etag
    assert fresh.multipart_etag([etag]).endswith("-1")


def test_a_multipart_etag_is_the_md5_of_md5s_with_the_number_of_parts() -> None:
    parts = [b"a" * 10, b"b" * 3]
    digests = [hashlib.md5(part) for part in parts]
    raw = b"".join(digest.digest() for digest in digests)
    expected = f"{hashlib.md5(raw).hexdigest()}-2"
    assert multipart_etag([digest.hexdigest() for digest in digests]) == expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_composite_is_the_checksum_of_checksums_with_the_number_of_parts(algorithm: str) -> None:
    digests = [digest_of(algorithm, part) for part in (b"one", b"two", b"three")]
    value = base64.b64encode(digest_of(algorithm, b"".join(digests))).decode()
    assert composite(algorithm, digests) == f"{value}-3"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_digests_survive_their_text(algorithm: str, data: st.DataObject) -> None:
    digest = data.draw(st.binary(min_size=SIZES[algorithm], max_size=SIZES[algorithm]))
    assert encode(digest) == base64.b64encode(digest).decode()
    assert decode(algorithm, encode(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAA",
        "AAAAAAA=",
        "AAAA AA==",
        "AAAAAA",
        "AAAAAA=",
        "AAAAAB==",
        "AAAAAA==\n",
        "é",
        "a,b",
    ],
)
def test_a_text_that_is_not_the_one_spelling_of_a_crc32_is_none(text: str) -> None:
    assert decode("CRC32", text) is None


# ---------------------------------------------------------------- declared


def environ(**headers: str) -> dict[str, Any]:
    return {f"HTTP_X_AMZ_{name.upper()}": value for name, value in headers.items()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_declared_in_its_header_or_for_the_trailer(algorithm: str) -> None:
    digest = digest_of(algorithm, b"body")
    in_header = {f"HTTP_X_AMZ_CHECKSUM_{algorithm}": encode(digest)}
    assert declared(in_header) == Expected(algorithm, digest)
    in_header["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = algorithm.lower()
    assert declared(in_header) == Expected(algorithm, digest)
    assert declared(environ(trailer=HEADERS[algorithm])) == Expected(algorithm, None)


def test_headers_that_only_look_like_checksums_declare_none() -> None:
    assert declared({}) is None
    assert (
        declared(
            environ(checksum_mode="ENABLED", checksum_type="FULL_OBJECT", checksum_algorithm="X")
        )
        is None
    )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"checksum_crc32": "AAAAAA==", "checksum_sha1": "x"}, "Expecting a single"),
        ({"checksum_crc32": "AAAAAA==", "checksum_md4": "x"}, "Expecting a single"),
        ({"checksum_crc32": "AAAAAA==", "trailer": "x-amz-checksum-crc32"}, "Expecting a single"),
        ({"checksum_xxhash32": "AAAAAAAAAAA="}, "algorithm type you specified"),
        ({"checksum_xxhash64": "AAAA"}, "Value for x-amz-checksum-xxhash64 header is invalid"),
        ({"checksum_crc32": "AAAA"}, "Value for x-amz-checksum-crc32 header is invalid"),
        ({"checksum_crc32": "AAAAAA==,AAAAAA=="}, "Value for x-amz-checksum-crc32 header"),
        ({"checksum_sha256": "bad"}, "Value for x-amz-checksum-sha256 header is invalid"),
        ({"trailer": "x-amz-meta-late"}, "x-amz-trailer header is not supported"),
        ({"trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"}, "x-amz-trailer header is not"),
        ({"trailer": ""}, "x-amz-trailer header is not supported"),
        ({"sdk_checksum_algorithm": "CRC32"}, "no corresponding"),
        ({"sdk_checksum_algorithm": "CRC16"}, "unsupported"),
        (
            {"sdk_checksum_algorithm": "SHA1", "checksum_crc32": "AAAAAA=="},
            "x-amz-sdk-checksum-algorithm header is invalid",
        ),
        (
            {"sdk_checksum_algorithm": "SHA1", "trailer": "x-amz-checksum-crc32"},
            "x-amz-sdk-checksum-algorithm header is invalid",
        ),
    ],
)
def test_a_contradictory_or_unknown_checksum_is_refused(
    headers: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        declared(environ(**headers))


def test_the_checksum_of_a_whole_multipart_object_may_be_composite() -> None:
    assert declared_whole({}) is None
    assert declared_whole(environ(checksum_crc32="AAAAAA==")) == Checksum("CRC32", "AAAAAA==")
    assert declared_whole(environ(checksum_crc32="AAAAAA==-12")) == Checksum(
        "CRC32", "AAAAAA==-12", "COMPOSITE"
    )
    for bad in ("AAAA", "AAAAAA==-", "AAAAAA==-x", "-3", "AAAAAA==-²"):
        with pytest.raises(InvalidRequest):
            declared_whole(environ(checksum_crc32=bad))


# ---------------------------------------------------------------- BodyReader


@given(
    data=st.binary(max_size=3000),
    step=st.integers(1, 500),
    size=st.integers(1, 500),
    algorithm=st.sampled_from(ALGORITHMS),
    known=st.booleans(),
)
def test_a_true_body_is_given_whole_however_it_arrives(
    data: bytes, step: int, size: int, algorithm: str, known: bool
) -> None:
    def reader() -> BodyReader:
        return BodyReader(
            Trickle(data, step),
            len(data) if known else None,
            sha256=hashlib.sha256(data).hexdigest(),
            content_md5=hashlib.md5(data).digest(),
            expected=Expected(algorithm, digest_of(algorithm, data)),
            limit=len(data),
        )

    for consume in (lambda body: drained(body, size), whole):
        body = reader()
        assert consume(body) == data
        assert body.read() == b""
        assert body.size == len(data)
        assert body.md5 == hashlib.md5(data).hexdigest()
        assert body.checksum == Checksum(algorithm, encode(digest_of(algorithm, data)))


@both_ways
@pytest.mark.parametrize("data", [b"", b"hello"])
@pytest.mark.parametrize("length", ["known", "unknown"])
@pytest.mark.parametrize(
    ("promise", "error"),
    [
        ({"sha256": "0" * 64}, XAmzContentSHA256Mismatch),
        ({"content_md5": bytes(16)}, BadDigest),
        ({"content_md5": bytes(16), "md5": False}, BadDigest),
        *[
            ({"expected": Expected(name, bytes([9]) * SIZES[name])}, BadDigest)
            for name in ALGORITHMS
        ],
        (
            {
                "sha256": hashlib.sha256(b"hello").hexdigest(),
                "expected": Expected("SHA256", bytes(32)),
            },
            (BadDigest, XAmzContentSHA256Mismatch),
        ),
    ],
)
def test_a_body_with_another_digest_never_ends(
    consume: Any, data: bytes, length: str, promise: dict[str, Any], error: Any
) -> None:
    """A106: Content-MD5, x-amz-checksum-* and x-amz-content-sha256 are verified."""
    reader = BodyReader(io.BytesIO(data), len(data) if length == "known" else None, **promise)
    with pytest.raises(error):
        consume(reader)
    with pytest.raises(error):
        reader.read()
    assert not hasattr(reader, "md5")
    assert not hasattr(reader, "checksum")


@both_ways
@pytest.mark.parametrize("sent", [b"", b"hell", b"hello!", b"hello" * 50_000])
def test_a_body_of_another_length_never_ends(consume: Any, sent: bytes) -> None:
    """A092: a body shorter (or longer) than Content-Length is never committed."""
    reader = BodyReader(io.BytesIO(sent), 5)
    with pytest.raises(IncompleteBody) as caught:
        consume(reader)
    assert caught.value.details["number_bytes_expected"] == 5
    assert not hasattr(reader, "md5")


@both_ways
def test_nothing_is_read_far_past_the_declared_length(consume: Any) -> None:
    stream = Trickle(b"hello" * 100, 5)
    with pytest.raises(IncompleteBody):
        consume(BodyReader(stream, 5))
    assert stream.reads == 2


@both_ways
def test_a_connection_that_breaks_never_ends_a_body(consume: Any) -> None:
    """A092 over the real input."""
    reader = BodyReader(Input(io.BytesIO(b"hel"), 5), 5)
    with pytest.raises(IncompleteBody):
        consume(reader)
    with pytest.raises(IncompleteBody):
        reader.read()


def test_a_body_that_was_not_read_to_its_end_has_no_etag() -> None:
    reader = BodyReader(io.BytesIO(b"hello"), 5)
    assert reader.read(5) == b"hello"
    assert reader.size == 5
    assert not hasattr(reader, "md5")
    assert reader.read() == b""
    assert reader.md5 == hashlib.md5(b"hello").hexdigest()


def test_asking_for_nothing_is_no_way_to_the_end() -> None:
    reader = BodyReader(io.BytesIO(b""), 0, content_md5=bytes(16))
    with pytest.raises(ValueError, match="at least one"):
        reader.read(0)


@both_ways
def test_a_body_over_the_limit_is_refused_before_or_while_it_arrives(consume: Any) -> None:
    stream = Trickle(b"hello", 2)
    with pytest.raises(EntityTooLarge):
        BodyReader(stream, 5, limit=4)
    assert stream.reads == 0
    with pytest.raises(EntityTooLarge):
        consume(BodyReader(Trickle(b"hello" * 9, 7), None, limit=44))
    assert consume(BodyReader(Trickle(b"hello" * 9, 7), None, limit=45)) == b"hello" * 9


@both_ways
def test_a_reader_that_has_failed_fails_for_ever(consume: Any) -> None:
    reader = BodyReader(Trickle(b"hello", 5), None, limit=4)
    with pytest.raises(EntityTooLarge) as first:
        consume(reader)
    for again in (reader.read, reader.read_all):
        with pytest.raises(EntityTooLarge) as caught:
            again()
        assert caught.value is first.value


@both_ways
def test_a_checksum_can_be_computed_unasked(consume: Any) -> None:
    reader = BodyReader(io.BytesIO(b"123456789"), 9, compute="CRC64NVME")
    consume(reader)
    value = base64.b64encode(bytes.fromhex(CHECK["CRC64NVME"])).decode()
    assert reader.checksum == Checksum("CRC64NVME", value)
    # What the client declared counts more.
    reader = BodyReader(
        io.BytesIO(b"x"),
        1,
        compute="CRC64NVME",
        expected=Expected("CRC32", digest_of("CRC32", b"x")),
    )
    consume(reader)
    assert reader.checksum is not None
    assert reader.checksum.algorithm == "CRC32"


@both_ways
def test_a_document_needs_no_md5(consume: Any) -> None:
    reader = BodyReader(io.BytesIO(b"<xml/>"), 6, md5=False)
    assert consume(reader) == b"<xml/>"
    assert reader.md5 == ""
    assert reader.checksum is None


@both_ways
@pytest.mark.parametrize(
    ("trailers", "error"),
    [
        ({"x-amz-checksum-crc32": encode(zlib.crc32(b"hello").to_bytes(4, "big"))}, None),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, BadDigest),
        ({"x-amz-checksum-crc32": "bad"}, InvalidRequest),
        ({"x-amz-checksum-crc32": ""}, InvalidRequest),
        ({}, MalformedTrailerError),
        (None, MalformedTrailerError),
    ],
)
def test_a_checksum_in_the_trailer_is_verified(
    consume: Any, trailers: dict[str, str] | None, error: type[S3Error] | None
) -> None:
    """A055: trailing checksums count as those in headers do."""
    reader = BodyReader(Trickle(b"hello", 9, trailers), 5, expected=Expected("CRC32", None))
    if error is None:
        assert consume(reader) == b"hello"
        assert reader.checksum is not None
        return
    with pytest.raises(error):
        consume(reader)


def test_blocks_pass_through_uncopied() -> None:
    block = b"x" * 1000

    class One:
        def __init__(self) -> None:
            self.blocks = [block]

        def read(self, size: int, /) -> bytes:
            return self.blocks.pop() if self.blocks else b""

    assert BodyReader(One(), 1000).read() is block
    assert BodyReader(One(), 1000).read_all() is block
