"""A042 to A056: aws-chunked bodies, their signatures and their trailers."""

from __future__ import annotations

import io

import pytest

from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_holds
from tests.attacks.effects import assert_refused
from tests.attacks.handmade import SIGNED_CHUNKS
from tests.attacks.handmade import SIGNED_TRAILER
from tests.attacks.handmade import UNSIGNED_TRAILER
from tests.attacks.handmade import Signature
from tests.attacks.handmade import Stream
from tests.attacks.handmade import crc32
from tests.attacks.handmade import presign
from tests.client import HOST
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import OWNER

PIECES = (b"a" * 8192, b"b" * 8192, b"tail")
WHOLE = b"".join(PIECES)
TRAILER = {"x-amz-checksum-crc32": crc32(WHOLE)}


def forged() -> Signature:
    """A signature of now, with a wrong secret."""
    return Signature(signer=Signer(OWNER.access_key, "wrong"))


@pytest.fixture
def path(bucket: str) -> str:
    return f"{bucket}/streamed"


@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize("pieces", [(), (b"x",), PIECES], ids=["empty", "one", "three"])
def test_valid_streams_are_stored(
    s3: Client, path: str, payload: str, pieces: tuple[bytes, ...]
) -> None:
    whole = b"".join(pieces)
    trailer = {"x-amz-checksum-crc32": crc32(whole)} if payload != SIGNED_CHUNKS else None
    answer = Stream(path, pieces, payload=payload, trailer=trailer).send(s3)
    assert answer.status == 200, answer.body
    assert_holds(s3, path, whole)
    if trailer:
        assert answer.headers["x-amz-checksum-crc32"] == crc32(whole)
    # The framing is no encoding of the object.
    assert "content-encoding" not in s3.head(path).headers


def flip_signature(frame: bytes) -> bytes:
    start = frame.index(b"signature=") + 10 if b"signature=" in frame else frame.rindex(b":") + 1
    digit = b"0" if frame[start : start + 1] != b"0" else b"1"
    return frame[:start] + digit + frame[start + 1 :]


@pytest.mark.parametrize("number", [0, 1, 2], ids=["first", "middle", "last"])
def test_a042_a_wrong_chunk_signature_is_refused(s3: Client, path: str, number: int) -> None:
    stream = Stream(path, PIECES)
    stream.frames[number] = flip_signature(stream.frames[number])
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    assert_absent(s3, path)


@pytest.mark.parametrize(
    "replacement", [b";chunk-signature=" + b"0" * 64, b";chunk-signature=", b""]
)
def test_a043_the_final_chunk_is_signed_too(s3: Client, path: str, replacement: bytes) -> None:
    stream = Stream(path, PIECES)
    stream.frames[-1] = b"0" + replacement + b"\r\n\r\n"
    assert_refused(stream.send(s3), "SignatureDoesNotMatch", "IncompleteBody")
    assert_absent(s3, path)


@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, SIGNED_TRAILER])
def test_a044_changed_data_is_refused(s3: Client, path: str, payload: str) -> None:
    stream = Stream(
        path, PIECES, payload=payload, trailer=TRAILER if "TRAILER" in payload else None
    )
    stream.frames[1] = stream.frames[1].replace(b"bb", b"bX", 1)
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    assert_absent(s3, path)


def test_a045_chunks_cannot_change_places_or_be_left_out_or_come_twice(
    s3: Client, path: str
) -> None:
    for order in ([1, 0, 2, 3], [0, 2, 3], [0, 0, 2, 3], [0, 1, 1, 2, 3]):
        stream = Stream(path, PIECES)
        stream.frames = [stream.frames[number] for number in order]
        assert_refused(stream.send(s3), "SignatureDoesNotMatch", "IncompleteBody")
    assert_absent(s3, path)


def test_a045_chunks_of_another_upload_do_not_fit(s3: Client, path: str) -> None:
    stream, other = Stream(path, PIECES), Stream(path + "2", (b"evil" * 2048, *PIECES[1:]))
    stream.frames = other.frames
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    assert_absent(s3, path)


def test_a046_chunks_that_chain_on_a_forged_seed_are_refused(s3: Client, path: str) -> None:
    assert_refused(Stream(path, PIECES, how=forged()).send(s3), "SignatureDoesNotMatch")
    assert_absent(s3, path)


@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a047_a_stream_without_its_final_chunk_is_incomplete(
    s3: Client, path: str, payload: str
) -> None:
    trailer = TRAILER if payload != SIGNED_CHUNKS else None
    for kept in (0, 1, 2, 3):
        stream = Stream(path, PIECES, payload=payload, trailer=trailer)
        stream.frames = stream.frames[:kept]
        assert_refused(stream.send(s3), "IncompleteBody")
    assert_absent(s3, path)


class Cut(io.BytesIO):
    """A connection that breaks after so many bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise ConnectionResetError
        return data


@pytest.mark.parametrize("broken", [io.BytesIO, Cut])
@pytest.mark.parametrize("after", [0, 10, 100, 8192, 16000, -3])
def test_a048_a_connection_that_breaks_off_stores_nothing(
    s3: Client, path: str, broken: type[io.BytesIO], after: int
) -> None:
    stream = Stream(path, PIECES)
    whole = stream.body
    headers = {**stream.headers, "Content-Length": str(len(whole))}
    environ = make_environ("PUT", path, headers, broken(whole[:after]))
    assert_refused(call(s3.app, environ), "IncompleteBody")
    assert_absent(s3, path)


@pytest.mark.parametrize(
    ("declared", "number"), [(100, "a049"), (0, "a049"), (len(WHOLE) + 1, "a050"), (10**9, "a050")]
)
@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, UNSIGNED_TRAILER])
def test_a049_a050_a_wrong_decoded_length_is_refused(
    s3: Client, path: str, declared: int, number: str, payload: str
) -> None:
    trailer = TRAILER if payload == UNSIGNED_TRAILER else None
    stream = Stream(path, PIECES, payload=payload, trailer=trailer, declared=declared)
    assert_refused(stream.send(s3), "IncompleteBody")
    assert_absent(s3, path)


def test_a049_a_small_decoded_length_is_no_way_past_the_limit(s3: Client, path: str) -> None:
    for declared in (10**13, 10**17):
        stream = Stream(path, PIECES, declared=declared)
        assert_refused(stream.send(s3), "EntityTooLarge")
    stream = Stream(path, PIECES)
    assert stream.send(s3, x_amz_decoded_content_length=None).status in (403, 411)
    for odd in ("-1", "abc", "1.0", "\u00b2", ""):
        stream = Stream(path, PIECES, headers={"x-amz-decoded-content-length": odd})
        assert_refused(stream.send(s3), "InvalidArgument", "MissingContentLength")
    assert_absent(s3, path)


@pytest.mark.parametrize(
    "size",
    [b"3", b"ffffffff", b"ffffffffffffffff", b"f" * 300, b"-5", b"+4", b"0x4", b"", b"4 ", b" 4",
     b"4_0", b"g", b"\xd9\xa3", b"0000000000000000000000004"],
)  # fmt: skip
@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, UNSIGNED_TRAILER])
def test_a051_a_chunk_size_that_lies_is_refused(
    s3: Client, path: str, size: bytes, payload: str
) -> None:
    trailer = {"x-amz-checksum-crc32": crc32(b"data")} if payload == UNSIGNED_TRAILER else None
    stream = Stream(path, (b"data",), payload=payload, trailer=trailer)
    stream.frames[0] = size + stream.frames[0][1:]
    assert_refused(stream.send(s3), "IncompleteBody", "SignatureDoesNotMatch")
    assert_absent(s3, path)


def test_a051_bytes_after_the_end_are_refused(s3: Client, path: str) -> None:
    for extra in (b"x", b"\r\n", b"0\r\n\r\n", b"x" * 100_000):
        stream = Stream(path, PIECES)
        stream.frames.append(extra)
        assert_refused(stream.send(s3), "IncompleteBody")
    assert_absent(s3, path)


@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a052_no_streaming_word_skips_the_requests_own_signature(
    s3: Client, path: str, payload: str
) -> None:
    # MinIO CVE-2025-31489: an unsigned trailer needed no valid signature.
    trailer = TRAILER if payload != SIGNED_CHUNKS else None
    stream = Stream(path, PIECES, payload=payload, trailer=trailer, how=forged())
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    stream = Stream(path, PIECES, payload=payload, trailer=trailer)
    garbled = stream.headers["Authorization"][:-64] + "0" * 64
    assert_refused(stream.send(s3, Authorization=garbled), "SignatureDoesNotMatch")
    # Without any signature the request is an anonymous one.
    answer = stream.send(s3, Authorization=None)
    assert_refused(answer, "AccessDenied")
    assert_absent(s3, path)


def test_a053_a_credential_in_the_query_does_not_open_the_trailer_form(
    s3: Client, path: str
) -> None:
    # MinIO CVE-2026-41145.
    stream = Stream(path, PIECES, payload=UNSIGNED_TRAILER, trailer=TRAILER)
    credential = f"X-Amz-Credential={OWNER.access_key}%2F20300101%2Fus-east-1%2Fs3%2Faws4_request"
    answer = stream.send(s3, target=f"{path}?{credential}", Authorization=None)
    assert_refused(answer, "AuthorizationQueryParametersError")
    target = presign("PUT", path, how=forged())
    answer = stream.send(s3, target=target, Authorization=None)
    assert_refused(answer, "SignatureDoesNotMatch", "AccessDenied")
    # Under a presigned URL a streaming word must have been signed with it.
    answer = stream.send(s3, target=presign("PUT", path), Authorization=None)
    assert_refused(answer, "AccessDenied", "SignatureDoesNotMatch")
    assert_absent(s3, path)


def test_a054_a_snowball_upload_needs_its_signature_and_unpacks_nothing(
    s3: Client, bucket: str
) -> None:
    # MinIO CVE-2026-40344 (PutObjectExtract): the header named another handler.
    path = f"{bucket}/archive.tar"
    headers = {"x-amz-meta-snowball-auto-extract": "true"}
    stream = Stream(
        path, PIECES, payload=UNSIGNED_TRAILER, trailer=TRAILER, headers=headers, how=forged()
    )
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    assert_absent(s3, path)
    stream = Stream(path, PIECES, payload=UNSIGNED_TRAILER, trailer=TRAILER, headers=headers)
    assert stream.send(s3).status == 200
    assert s3.get(bucket).texts("Contents/Key") == ["archive.tar"]


@pytest.mark.parametrize("payload", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize(
    ("value", "code"),
    [(crc32(b"other"), "BadDigest"), ("AAAA", "InvalidRequest"), ("", "InvalidRequest"),
     ("not base64!", "InvalidRequest")],
)  # fmt: skip
def test_a055_the_trailing_checksum_is_verified(
    s3: Client, path: str, payload: str, value: str, code: str
) -> None:
    stream = Stream(path, PIECES, payload=payload, trailer={"x-amz-checksum-crc32": value})
    assert_refused(stream.send(s3), code, "BadDigest")
    assert_absent(s3, path)


def test_a055_the_announced_trailer_and_no_other_must_come(s3: Client, path: str) -> None:
    def sent(trailer: bytes) -> Stream:
        stream = Stream(path, PIECES, payload=UNSIGNED_TRAILER, trailer=TRAILER)
        stream.frames[-1] = trailer
        return stream

    good = f"x-amz-checksum-crc32:{crc32(WHOLE)}\r\n".encode()
    other = b"x-amz-checksum-sha1:2jmj7l5rSw0yVb/vlWAYkK/YBwk=\r\n"
    for trailer in (
        b"\r\n",
        other + b"\r\n",
        good + other + b"\r\n",
        good * 2 + b"\r\n",
        b"x\r\n\r\n",
    ):
        assert_refused(sent(trailer).send(s3), "MalformedTrailerError")
    for trailer in (b"", good):
        assert_refused(sent(trailer).send(s3), "IncompleteBody")
    assert_absent(s3, path)
    assert sent(good + b"\r\n").send(s3).status == 200


def test_a056_the_trailers_own_signature_is_verified(s3: Client, path: str) -> None:
    def made() -> Stream:
        return Stream(path, PIECES, payload=SIGNED_TRAILER, trailer=TRAILER)

    stream = made()
    stream.frames[-1] = flip_signature(stream.frames[-1].rstrip()) + b"\r\n\r\n"
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    stream = made()
    stream.frames[-1] = stream.frames[-1].partition(b"x-amz-trailer-signature")[0] + b"\r\n"
    assert_refused(stream.send(s3), "MalformedTrailerError", "SignatureDoesNotMatch")
    # The checksum of other data, correct for that data, under the former trailer's signature.
    stream = made()
    stream.frames[-1] = stream.frames[-1].replace(
        TRAILER["x-amz-checksum-crc32"].encode(), crc32(b"other").encode()
    )
    assert_refused(stream.send(s3), "SignatureDoesNotMatch", "BadDigest")
    assert_absent(s3, path)
    assert made().send(s3).status == 200


def test_a042_to_a056_hold_for_parts_as_for_objects(s3: Client, path: str) -> None:
    upload = s3.post(path, query="uploads").text("UploadId")
    target = f"{path}?partNumber=1&uploadId={upload}"
    stream = Stream(target, PIECES)
    stream.frames[-1] = flip_signature(stream.frames[-1])
    assert_refused(stream.send(s3), "SignatureDoesNotMatch")
    stream = Stream(target, PIECES)
    del stream.frames[-1]
    assert_refused(stream.send(s3), "IncompleteBody")
    wrong = {"x-amz-checksum-crc32": crc32(b"other")}
    stream = Stream(target, PIECES, payload=UNSIGNED_TRAILER, trailer=wrong)
    assert_refused(stream.send(s3), "BadDigest")
    assert s3.get(path, f"uploadId={upload}").texts("Part/PartNumber") == []
    assert Stream(target, PIECES).send(s3).status == 200
    assert s3.get(path, f"uploadId={upload}").texts("Part/PartNumber") == ["1"]


def test_a052_an_anonymous_stream_of_signed_chunks_has_nothing_to_chain_on(s3: Client) -> None:
    assert s3.put("/open-to-all-streams", x_amz_acl="public-read-write").status == 200
    path = "/open-to-all-streams/k"
    stream = Stream(path, PIECES)
    answer = stream.send(s3, Authorization=None, x_amz_date=None)
    assert_refused(answer, "SignatureDoesNotMatch")
    assert_absent(s3, path)
    trailer = Stream(path, PIECES, payload=UNSIGNED_TRAILER, trailer=TRAILER)
    assert trailer.send(s3, Authorization=None, Host=HOST).status == 200
    assert_holds(s3, path, WHOLE)
