"""aws-chunked: Amazon's own examples, botocore's encoder, and everything that must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import itertools
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import pytest
from botocore.httpchecksum import _CHECKSUM_CLS
from botocore.httpchecksum import AwsChunkedWrapper
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import BadDigest
from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidChunkSizeError
from s3kit.errors import MalformedTrailerError
from s3kit.errors import S3Error
from s3kit.errors import SignatureDoesNotMatch
from s3kit.wire.checksums import ALGORITHMS
from s3kit.wire.checksums import HEADERS
from s3kit.wire.checksums import BodyReader
from s3kit.wire.checksums import Expected
from s3kit.wire.checksums import digest_of
from s3kit.wire.checksums import encode
from s3kit.wire.chunked import ChunkedReader
from s3kit.wire.chunked import trailer_names
from s3kit.wire.environ import Input

CRC32 = HEADERS["CRC32"]
SCOPE = "20130524T000000Z\n20130524/us-east-1/s3/aws4_request"
NOTHING = hashlib.sha256(b"").hexdigest()


def signing_key() -> bytes:
    """Of the secret, day, region and service of Amazon's examples."""
    key = b"AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    for step in ("20130524", "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key


class Chain:
    """The chain of signatures as Amazon documents it; it signs, and checks as auth does."""

    key = signing_key()

    def __init__(self, seed: str = "seed") -> None:
        self.previous = seed

    def chunk(self, data_sha256: str) -> str:
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{SCOPE}\n{self.previous}\n{NOTHING}\n{data_sha256}"
        return self._sign(text)

    def trailer(self, trailer: bytes) -> str:
        digest = hashlib.sha256(trailer).hexdigest()
        return self._sign(f"AWS4-HMAC-SHA256-TRAILER\n{SCOPE}\n{self.previous}\n{digest}")

    def check_chunk(self, signature: str, data_sha256: str, /) -> None:
        if not hmac.compare_digest(self.chunk(data_sha256), signature):
            raise SignatureDoesNotMatch

    def check_trailer(self, signature: str, trailer: bytes, /) -> None:
        if not hmac.compare_digest(self.trailer(trailer), signature):
            raise SignatureDoesNotMatch

    def _sign(self, text: str) -> str:
        self.previous = hmac.new(self.key, text.encode(), "sha256").hexdigest()
        return self.previous


def signed(chunks: Iterable[bytes], trailers: dict[str, str] | None = None) -> bytes:
    """A signed stream, with a signed trailer where there is one."""
    return b"".join(signed_pieces(chunks, trailers))


def signed_pieces(
    chunks: Iterable[bytes], trailers: dict[str, str] | None = None, seed: str = "seed"
) -> list[bytes]:
    chain = Chain(seed)
    pieces = []
    for chunk in [*chunks, b""]:
        signature = chain.chunk(hashlib.sha256(chunk).hexdigest())
        ending = b"\r\n" if chunk else b""
        pieces.append(
            b"%x;chunk-signature=%s\r\n%s%s" % (len(chunk), signature.encode(), chunk, ending)
        )
    if trailers is not None:
        canonical = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()
        lines = canonical.replace(b"\n", b"\r\n")
        pieces.append(lines + b"x-amz-trailer-signature:%s\r\n" % chain.trailer(canonical).encode())
    pieces.append(b"\r\n")
    return pieces


def unsigned(chunks: Iterable[bytes], trailers: dict[str, str] | None = None) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    lines = "".join(f"{name}:{value}\r\n" for name, value in (trailers or {}).items())
    return body + b"0\r\n" + lines.encode() + b"\r\n"


class Cut:
    """A stream that ends its reads where it is told, as a socket may."""

    def __init__(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        pieces = [data[low:high] for low, high in itertools.pairwise(bounds)]
        self._pieces = [piece for piece in pieces if piece]
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        self._pieces[0] = piece[size:]
        if not self._pieces[0]:
            del self._pieces[0]
        self.taken += len(piece[:size])
        return piece[:size]


def drained(reader: Any, size: int = 1 << 20) -> bytes:
    return b"".join(iter(lambda: reader.read(size), b""))


def refused(error: type[S3Error], reader: ChunkedReader) -> S3Error:
    """The reader raises this error and goes on raising it."""
    with pytest.raises(error) as caught:
        drained(reader)
    with pytest.raises(error):
        reader.read()
    return caught.value


HELLO = b"hello"
HELLO_CRC = {CRC32: encode(digest_of("CRC32", HELLO))}


# ---------------------------------------------------------------- what must be read


def test_the_example_of_the_s3_manual_is_read() -> None:
    """Known answer: "Example calculations" of the chunked upload, 66,560 bytes in two chunks."""
    body = (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
        + b"a" * 65536
        + b"\r\n400;chunk-signature="
        b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
        + b"a"
        * 1024
        + b"\r\n0;chunk-signature="
        b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
    )
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    assert len(body) == 66824
    assert drained(ChunkedReader(Cut(body), 66560, signer=Chain(seed))) == b"a" * 66560
    refused(SignatureDoesNotMatch, ChunkedReader(Cut(body), 66560, signer=Chain(seed[::-1])))


def test_the_example_with_a_signed_trailer_of_the_s3_manual_is_read() -> None:
    """Known answer: "Example calculations" with trailing headers, x-amz-checksum-crc32c."""
    body = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
        + b"a" * 65536
        + b"\r\n400;chunk-signature="
        b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
        + b"a"
        * 1024
        + b"\r\n0;chunk-signature="
        b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        b"x-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    reader = ChunkedReader(Cut(body), 66560, signer=Chain(seed), trailer=(HEADERS["CRC32C"],))
    body_reader = BodyReader(reader, 66560, expected=Expected("CRC32C", None))
    assert drained(body_reader) == b"a" * 66560
    assert reader.trailers == {HEADERS["CRC32C"]: "sOO8/Q=="}


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=6),
    cuts=st.lists(st.integers(0, 4000), max_size=12),
    size=st.integers(1, 700),
    sign=st.booleans(),
    trailer=st.booleans(),
)
def test_a_stream_decodes_to_the_same_bytes_wherever_its_reads_end(
    chunks: list[bytes], cuts: list[int], size: int, sign: bool, trailer: bool
) -> None:
    data = b"".join(chunks)
    trailers = {CRC32: encode(digest_of("CRC32", data))} if trailer else None
    body = (signed if sign else unsigned)(chunks, trailers)
    reader = ChunkedReader(
        Cut(body, cuts),
        len(data),
        signer=Chain() if sign else None,
        trailer=(CRC32,) if trailer else (),
        minimum_chunk=1,
    )
    blocks = list(iter(lambda: reader.read(size), b""))
    assert b"".join(blocks) == data
    assert all(len(block) <= size for block in blocks)
    assert reader.trailers == (trailers or {})
    assert reader.read() == b""


@pytest.mark.parametrize("sign", [False, True])
def test_every_single_and_double_cut_of_a_stream_is_harmless(sign: bool) -> None:
    chunks = [b"ab\r\n", b"0\r\n\r\n"]
    data = b"".join(chunks)
    trailers = {CRC32: encode(digest_of("CRC32", data))}
    body = (signed if sign else unsigned)(chunks, trailers)
    step = 5 if sign else 1
    for cuts in itertools.combinations(range(0, len(body), step), 2):
        reader = ChunkedReader(
            Cut(body, cuts),
            len(data),
            signer=Chain() if sign else None,
            trailer=(CRC32,),
            minimum_chunk=1,
        )
        assert drained(reader) == data


@pytest.mark.parametrize("chunk", [8192, 65536, 1 << 20, 3 << 20])
@pytest.mark.parametrize("sign", [False, True])
def test_large_chunks_are_read_across_blocks(chunk: int, sign: bool) -> None:
    data = bytes(range(256)) * (17 << 10)
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    body = (signed if sign else unsigned)(chunks)
    for size in (1 << 20, 100_001):
        reader = ChunkedReader(Cut(body), len(data), signer=Chain() if sign else None)
        assert hashlib.md5(drained(reader, size)).digest() == hashlib.md5(data).digest()


# botocore computes no MD5 there.
@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS if each != "MD5"])
@given(
    data=st.binary(max_size=2000),
    chunk=st.integers(1, 700),
    cuts=st.lists(st.integers(0, 4000), max_size=5),
)
def test_botocore_and_we_mean_the_same(
    algorithm: str, data: bytes, chunk: int, cuts: list[int]
) -> None:
    """Oracle: botocore's own encoder, with its own checksums in the trailer."""
    wrapper = AwsChunkedWrapper(
        io.BytesIO(data),
        checksum_cls=_CHECKSUM_CLS[algorithm.lower()],
        checksum_name=HEADERS[algorithm],
        chunk_size=chunk,
    )
    reader = ChunkedReader(
        Cut(wrapper.read(), cuts), len(data), trailer=(HEADERS[algorithm],), minimum_chunk=1
    )
    body = BodyReader(reader, len(data), expected=Expected(algorithm, None))
    assert body.read_all() == data
    assert body.checksum is not None
    assert body.checksum.value == encode(digest_of(algorithm, data))


def test_botocores_default_chunks_are_long_enough() -> None:
    data = bytes(3_000_001)
    wrapper = AwsChunkedWrapper(io.BytesIO(data))
    assert drained(ChunkedReader(Cut(wrapper.read()), len(data))) == data


@pytest.mark.parametrize("sign", [False, True])
def test_an_empty_body_is_one_last_chunk(sign: bool) -> None:
    body = (signed if sign else unsigned)([])
    assert drained(ChunkedReader(Cut(body), 0, signer=Chain() if sign else None)) == b""


def test_sizes_may_be_written_in_capitals_and_the_length_be_unknown() -> None:
    assert drained(ChunkedReader(Cut(b"B\r\nhello world\r\n0\r\n\r\n"), None)) == b"hello world"


@pytest.mark.parametrize(
    "line",
    [
        b"x-amz-checksum-crc32:NhCmhg==\r\n",
        b"X-Amz-Checksum-CRC32: NhCmhg== \r\n",
        b"x-amz-checksum-crc32:NhCmhg==\n\r\n",
    ],
)
def test_the_trailer_is_read_as_headers_are(line: bytes) -> None:
    reader = ChunkedReader(Cut(b"5\r\nhello\r\n0\r\n" + line + b"\r\n"), 5, trailer=(CRC32,))
    assert drained(reader) == HELLO
    assert reader.trailers == {CRC32: "NhCmhg=="}


def test_announced_trailers_are_listed_by_lower_case_name() -> None:
    assert trailer_names(None) == ()
    assert trailer_names("") == ()
    assert trailer_names(" X-Amz-Checksum-CRC32 ,x-b") == (CRC32, "x-b")


# ---------------------------------------------------------------- what must be refused


def harmless(body: bytes, position: int, byte: int) -> bool:
    """Only the case of a letter changed, in a size or in a header name."""
    return chr(byte).lower() == chr(body[position]).lower()


@pytest.mark.parametrize("kind", ["signed", "signed trailer", "unsigned trailer"])
def test_every_corruption_of_a_single_byte_is_refused(kind: str) -> None:
    chunks = [HELLO, b"\r\n0;"]
    data = b"".join(chunks)
    sign = kind.startswith("signed")
    trailers = {CRC32: encode(digest_of("CRC32", data))} if "trailer" in kind else None
    body = (signed if sign else unsigned)(chunks, trailers)
    # Every byte where it is cheap; every bit in the long signed ones.
    changes: Callable[[int], Iterable[int]] = (
        (lambda old: (old ^ (1 << bit) for bit in range(8))) if sign else (lambda old: range(256))
    )
    for position, old in enumerate(body):
        for byte in changes(old):
            if byte == old:
                continue
            bad = body[:position] + bytes([byte]) + body[position + 1 :]
            chunked = ChunkedReader(
                Cut(bad),
                len(data),
                signer=Chain() if sign else None,
                trailer=(CRC32,) if trailers else (),
                minimum_chunk=1,
            )
            reader = BodyReader(
                chunked, len(data), expected=Expected("CRC32", None) if trailers else None
            )
            try:
                got = reader.read_all()
            except S3Error:
                continue
            assert got == data
            assert harmless(body, position, byte), (position, byte, bad)


@pytest.mark.parametrize("kind", ["signed", "signed trailer", "unsigned", "unsigned trailer"])
def test_every_truncation_is_an_incomplete_body(kind: str) -> None:
    """A047, A048: cut at a chunk boundary or anywhere else, it ends, and it ends in a refusal."""
    trailers = HELLO_CRC if "trailer" in kind else None
    sign = kind.startswith("signed")
    body = (signed if sign else unsigned)([b"he", b"llo"], trailers)
    for end in range(len(body)):
        for stream in (Cut(body[:end]), Input(io.BytesIO(body[:end]), len(body))):
            reader = ChunkedReader(
                stream,
                5,
                signer=Chain() if sign else None,
                trailer=(CRC32,) if trailers else (),
                minimum_chunk=1,
            )
            refused(IncompleteBody, reader)


@pytest.mark.parametrize("more", [b"x", b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
def test_nothing_may_follow_the_last_chunk(more: bytes) -> None:
    refused(IncompleteBody, ChunkedReader(Cut(unsigned([HELLO]) + more), 5))
    body = unsigned([HELLO])
    refused(IncompleteBody, ChunkedReader(Cut(body + more, [len(body)]), 5))


def test_a_wrong_chunk_signature_is_refused() -> None:
    """A042."""
    head, *rest = signed_pieces([HELLO])
    wrong = head.replace(b"chunk-signature=", b"chunk-signature=0", 1).replace(b"0\r", b"\r", 1)
    for forged in (
        wrong,
        b"5;chunk-signature=%s\r\nhello\r\n" % (b"0" * 64),
        b"5;chunk-signature=\r\nhello\r\n",
        b"5;chunk-signature=\xe9\xff\r\nhello\r\n",
    ):
        reader = ChunkedReader(Cut(forged + b"".join(rest)), 5, signer=Chain())
        refused(SignatureDoesNotMatch, reader)


def test_the_last_chunks_signature_counts_too() -> None:
    """A043."""
    first, _, end = signed_pieces([HELLO])
    forged = first + b"0;chunk-signature=%s\r\n" % (b"0" * 64) + end
    refused(SignatureDoesNotMatch, ChunkedReader(Cut(forged), 5, signer=Chain()))


@pytest.mark.parametrize("size", [2, 1 << 20])
def test_tampered_data_is_refused(size: int) -> None:
    """A044."""
    forged = signed([HELLO]).replace(HELLO, b"hellO")
    reader = ChunkedReader(Cut(forged), 5, signer=Chain())
    with pytest.raises(SignatureDoesNotMatch):
        drained(reader, size)


def test_chunks_in_another_order_are_refused() -> None:
    """A045."""
    one, two, *rest = signed_pieces([b"one", b"two"])
    body = b"".join([two, one, *rest])
    refused(SignatureDoesNotMatch, ChunkedReader(Cut(body), 6, signer=Chain(), minimum_chunk=1))
    body = b"".join([one, one, *rest])
    refused(SignatureDoesNotMatch, ChunkedReader(Cut(body), 6, signer=Chain(), minimum_chunk=1))


def test_chunks_chained_on_another_seed_are_refused() -> None:
    """A046: the chain hangs on the request's own signature."""
    body = b"".join(signed_pieces([HELLO], seed="forged"))
    refused(SignatureDoesNotMatch, ChunkedReader(Cut(body), 5, signer=Chain()))


@pytest.mark.parametrize("declared", [0, 4, 6, 1 << 40])
def test_the_declared_length_must_be_the_true_one(declared: int) -> None:
    """A049, A050: declared smaller (to pass a quota) or larger."""
    error = refused(IncompleteBody, ChunkedReader(Cut(unsigned([HELLO])), declared))
    assert error.details == {"number_bytes_expected": declared, "number_bytes_provided": 5}
    refused(IncompleteBody, ChunkedReader(Cut(signed([HELLO])), declared, signer=Chain()))


def test_no_byte_over_the_declared_length_is_given_out() -> None:
    """A049: what does not fit is refused at the head of its chunk."""
    body = unsigned([b"a" * 8192, b"b" * 8192])
    reader = ChunkedReader(Cut(body), 8192)
    given_out = b""
    with pytest.raises(IncompleteBody):
        while block := reader.read(4096):
            given_out += block
    assert set(given_out) <= set(b"a")


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b"4",
        b"6",
        b"7",
        b"ffffffffffffffff",
        b"7fffffffffffffff",
        b"00000000000000005",
        b"-5",
        b"+5",
        b"0x5",
        b"5_0",
        b" 5",
        b"5 ",
        b"5;",
        b"5;name=value",
        b"\xd9\xa5",
        b"5" * 5000,
    ],
)
def test_a_chunk_size_that_lies_or_is_no_size_is_refused(size: bytes) -> None:
    """A051."""
    rest = b"\r\nhello\r\n0\r\n\r\n"
    refused(IncompleteBody, ChunkedReader(Cut(size + rest), 5))
    refused(IncompleteBody, ChunkedReader(Cut(size + rest), None))
    line = size + b";chunk-signature=" + b"0" * 64
    with pytest.raises(S3Error):
        drained(ChunkedReader(Cut(line + rest), 5, signer=Chain()))


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"A\ndummy data\r\n0\r\n\r\n",
        b"A\r\ndummy data0\r\n\r\n",
        b"A\r\ndummy data\n0\r\n\r\n",
        b"A\r\nXYZ\r\ndummy data\r\n0\r\n\r\n",
        b"A\r\nA\r\ndummy data\r\n0\r\n\r\n",
        b"A\r\ndummy data\r\n0\r\n",
        b"A\r\ndummy data\r\n0\r\n\n",
        b"A\r\ndummy data\r\n\r\n0\r\n\r\n",
        b"a" * 100_000,
    ],
)
def test_malformed_framing_is_an_incomplete_body(body: bytes) -> None:
    refused(IncompleteBody, ChunkedReader(Cut(body), 10))


def test_unsigned_chunks_do_not_pass_for_signed_ones() -> None:
    refused(IncompleteBody, ChunkedReader(Cut(unsigned([HELLO])), 5, signer=Chain()))
    refused(IncompleteBody, ChunkedReader(Cut(signed([HELLO])), 5))


@pytest.mark.parametrize(
    ("sizes", "bad"),
    [
        ([8192, 8192, 100], None),
        ([100], None),
        ([100, 8192], (1, 100)),
        ([8192, 10, 10], (2, 10)),
    ],
)
@pytest.mark.parametrize("sign", [False, True])
def test_only_the_last_chunk_may_be_short(
    sizes: list[int], bad: tuple[int, int] | None, sign: bool
) -> None:
    body = (signed if sign else unsigned)([b"x" * size for size in sizes])
    reader = ChunkedReader(Cut(body), sum(sizes), signer=Chain() if sign else None)
    if bad is None:
        assert len(drained(reader)) == sum(sizes)
    else:
        error = refused(InvalidChunkSizeError, reader)
        assert error.details == {"chunk": bad[0], "bad_chunk_size": bad[1]}


@pytest.mark.parametrize(
    ("announced", "trailer"),
    [
        ((CRC32,), b""),
        ((), b"x-amz-checksum-crc32:NhCmhg==\r\n"),
        ((CRC32,), b":NhCmhg==\r\n"),
        ((CRC32,), b"x-amz-checksum-crc32\r\n"),
        ((CRC32,), b"x-amz-checksum-sha1:NhCmhg==\r\n"),
        ((CRC32,), b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n"),
        ((CRC32,), b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-meta-late:1\r\n"),
        ((CRC32,), b"x-amz-checksum-crc32:NhCmhg==\r\nx-amz-trailer-signature:0\r\n"),
        ((CRC32,), b"x-amz-checksum-cr\xe932:NhCmhg==\r\n"),
        ((CRC32, "x-amz-meta-late"), b"x-amz-checksum-crc32:NhCmhg==\r\n"),
    ],
)
def test_the_trailer_must_be_the_announced_one(announced: tuple[str, ...], trailer: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    refused(MalformedTrailerError, ChunkedReader(Cut(body), 5, trailer=announced))


@pytest.mark.parametrize("start", [b"", b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:"])
def test_an_endless_line_is_cut_off(start: bytes) -> None:
    stream = Cut(start + b"A" * (8 << 20))
    refused(IncompleteBody, ChunkedReader(stream, 5, trailer=(CRC32,)))
    assert stream.taken <= 1 << 20


def test_a_wrong_checksum_in_the_trailer_is_a_bad_digest() -> None:
    """A055: signed as it may be."""
    wrong = {CRC32: base64.b64encode(b"0000").decode()}
    for body, signer in ((unsigned([HELLO], wrong), None), (signed([HELLO], wrong), Chain())):
        chunked = ChunkedReader(Cut(body), 5, signer=signer, trailer=(CRC32,))
        with pytest.raises(BadDigest):
            drained(BodyReader(chunked, 5, expected=Expected("CRC32", None)))


def test_the_trailers_signature_is_checked() -> None:
    """A056."""
    *chunks, trailer, end = signed_pieces([HELLO], HELLO_CRC)
    other = trailer.replace(b"NhCmhg==", b"AAAAAA==")
    zeros = trailer[: trailer.index(b"signature:") + 10] + b"0" * 64 + b"\r\n"
    for forged in (other, zeros):
        body = b"".join([*chunks, forged, end])
        reader = ChunkedReader(Cut(body), 5, signer=Chain(), trailer=(CRC32,))
        refused(SignatureDoesNotMatch, reader)


def test_a_signed_stream_cannot_drop_the_signature_of_its_trailer() -> None:
    """A056: nor the whole trailer, nor put anything behind its signature."""
    *chunks, trailer, end = signed_pieces([HELLO], HELLO_CRC)
    checksum, signature, _ = trailer.split(b"\r\n")
    for forged in (b"", checksum + b"\r\n", signature + b"\r\n" + checksum + b"\r\n"):
        body = b"".join([*chunks, forged, end])
        reader = ChunkedReader(Cut(body), 5, signer=Chain(), trailer=(CRC32,))
        with pytest.raises((MalformedTrailerError, SignatureDoesNotMatch)):
            drained(reader)


def test_a_signed_stream_without_announced_trailer_takes_none() -> None:
    *chunks, trailer, end = signed_pieces([HELLO], HELLO_CRC)
    reader = ChunkedReader(Cut(b"".join([*chunks, trailer, end])), 5, signer=Chain())
    refused(MalformedTrailerError, reader)


@given(noise=st.binary(max_size=400), sign=st.booleans(), cuts=st.lists(st.integers(0, 400)))
def test_noise_is_refused_in_s3s_words(noise: bytes, sign: bool, cuts: list[int]) -> None:
    reader = ChunkedReader(Cut(noise, cuts), 5, signer=Chain() if sign else None)
    with pytest.raises(S3Error):
        drained(reader)
