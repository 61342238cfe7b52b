"""s3kit.auth.canonical: canonical queries, dates, scopes, signing keys and chains of chunks."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import io
import time
import tracemalloc
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from s3kit.auth import canonical
from s3kit.auth.canonical import Credential
from s3kit.auth.canonical import Request
from s3kit.auth.canonical import SignatureChain
from s3kit.auth.canonical import SigningKey
from s3kit.auth.canonical import canonical_query
from s3kit.auth.canonical import check_payload_word
from s3kit.auth.canonical import environ_name
from s3kit.auth.canonical import keep_signing_key
from s3kit.auth.canonical import mismatch
from s3kit.auth.canonical import parse_amz_date
from s3kit.auth.canonical import parse_credential
from s3kit.auth.canonical import parse_signed_headers
from s3kit.auth.canonical import signing_key
from s3kit.auth.canonical import verify
from s3kit.errors import InvalidArgument
from s3kit.errors import NotImplemented
from s3kit.errors import RequestHeaderSectionTooLarge
from s3kit.errors import SignatureDoesNotMatch
from s3kit.model import Key
from s3kit.wire.address import aws_quote
from s3kit.wire.chunked import ChunkedReader
from s3kit.wire.query import Query
from tests.auth.signing import ALICE
from tests.auth.signing import EXAMPLE_KEY
from tests.auth.signing import EXAMPLE_SCOPE
from tests.auth.signing import KEY

ANYTHING = st.text(st.characters(exclude_categories=()))
CREDENTIAL = Credential("AK", "20130524", "us-east-1", "s3", "aws4_request", EXAMPLE_SCOPE)


# -- the canonical query


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("", ""),
        ("acl", "acl="),
        ("prefix=J&max-keys=2", "max-keys=2&prefix=J"),
        ("a=2&a=1&a", "a=&a=1&a=2"),
        ("a-b=1&a=2", "a=2&a-b=1"),
        ("prefix=a/b", "prefix=a%2Fb"),
        ("prefix=a%2fb", "prefix=a%2Fb"),
        ("prefix=%61%7e", "prefix=a~"),
        ("prefix=a+b", "prefix=a%20b"),
        ("prefix=a%2Bb", "prefix=a%2Bb"),
        ("uploadId=abc==", "uploadId=abc%3D%3D"),
        ("prefix=100%", "prefix=100%25"),
        ("prefix=\u00c3\u00bc", "prefix=%C3%BC"),
        ("&&a=1&", "a=1"),
    ],
)
def test_a_query_is_made_canonical(raw: str, wanted: str) -> None:
    assert canonical_query(raw) == wanted


def test_a_presigned_query_leaves_out_only_its_signature_however_it_is_spelt() -> None:
    raw = "X-Amz-Signature=1&b=2&X-Amz-Signatur%65=3&x-amz-signature=4&X-Amz-Date=5"
    wanted = "X-Amz-Date=5&b=2&x-amz-signature=4"
    assert canonical_query(raw, presigned=True) == wanted
    assert canonical_query("b=1&X-Amz-Signature=2") == "X-Amz-Signature=2&b=1"


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
@example([("a", "="), ("a!", "~"), ("é", "%25")])
def test_a_query_is_canonical_as_botocore_has_it(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name, value) for name, value in pairs if name.isprintable() and value.isprintable()]
    raw = "&".join(f"{aws_quote(name, False)}={aws_quote(value, False)}" for name, value in pairs)
    signer = SigV4Auth(Credentials("AK", "secret"), "s3", "us-east-1")
    request: Any = AWSRequest("GET", f"http://host/?{raw}")
    assert canonical_query(raw) == signer.canonical_query_string(request)


@given(ANYTHING)
def test_the_canonical_query_of_anything_is_its_own_canonical_form(raw: str) -> None:
    once = canonical_query(raw)
    assert once.isascii()
    assert canonical_query(once) == once


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", ["%65", "%", "+", " ", "é"])
def test_a_long_query_costs_no_more_than_its_length(end: str) -> None:
    raw = "a" * 100_000 + end
    assert canonical_query(raw).startswith("a" * 100_000)


# -- small parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AK",
        "/20130524/us-east-1/s3/aws4_request",
        "AK/20130524/us-east-1/s3",
        "AK/2013052/us-east-1/s3/aws4_request",
        "AK/٢٠١٣٠٥٢٤/us-east-1/s3/aws4_request",
        "A" * 2000 + "/20130524/us-east-1/s3/aws4_request",
    ],
)
def test_what_is_no_credential_is_none(text: str) -> None:
    assert parse_credential(text) is None


def test_an_access_key_may_hold_slashes_and_a_region_may_be_any_label() -> None:
    """IU-12."""
    credential = parse_credential("team/a/20130524/us-west-000/s3/aws4_request")
    assert credential is not None
    assert credential.access_key == "team/a"
    assert credential.scope == "20130524/us-west-000/s3/aws4_request"
    assert parse_credential("AK/20130524//s3/aws4_request") is not None


@pytest.mark.parametrize(
    "text", ["", ";", "host;", ";host", "host;;a", "host;host", "a b", "a\nb", "hoſt"]
)
def test_signed_headers_with_an_empty_doubled_or_impossible_name_are_none(text: str) -> None:
    """A019."""
    assert parse_signed_headers(text) is None


def test_long_lists_of_signed_headers_are_read_but_not_kept() -> None:
    before = canonical._split_signed_headers.cache_info().currsize
    text = ";".join(["host", *(f"x-amz-meta-{number:04}" for number in range(90))])
    signed = parse_signed_headers(text)
    assert signed is not None
    assert len(signed.pairs) == 91
    assert canonical._split_signed_headers.cache_info().currsize == before


def test_header_names_become_environ_names() -> None:
    assert environ_name("content-type") == "CONTENT_TYPE"
    assert environ_name("content-length") == "CONTENT_LENGTH"
    assert environ_name("x-amz-meta-my_key") == "HTTP_X_AMZ_META_MY_KEY"


@given(st.integers(0, 253402300799))
def test_an_amz_date_is_read_as_the_library_writes_it(seconds: int) -> None:
    assert parse_amz_date(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20130524T000000",
        "20130524 000000Z",
        "2013-05-24T00:00:00Z",
        "20131324T000000Z",
        "20130230T000000Z",
        "20130500T000000Z",
        "20130524T240000Z",
        "20130524T006000Z",
        "20130524T-10000Z",
        "00000101T000000Z",
        "19691231T235959Z",
        "２０１３0524T000000Z",
        "20130524T٠٠0000Z",
    ],
)
def test_what_is_no_amz_date_is_none(text: str) -> None:
    assert parse_amz_date(text) is None


def test_leap_days_exist_in_leap_years() -> None:
    assert parse_amz_date("20240229T120000Z") == calendar.timegm((2024, 2, 29, 12, 0, 0))
    assert parse_amz_date("20230229T120000Z") is None


@given(ANYTHING)
def test_no_text_makes_the_small_parsers_fail(text: str) -> None:
    for parse in (parse_amz_date, parse_credential, parse_signed_headers):
        parse(text)


@pytest.mark.parametrize(
    "payload",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        hashlib.sha256(b"x").hexdigest(),
    ],
)
def test_the_payload_words_of_s3_are_taken(payload: str) -> None:
    assert check_payload_word(payload) == payload


def test_an_upper_case_payload_hash_means_the_same_bytes() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert check_payload_word(digest.upper()) == digest


@pytest.mark.parametrize(
    "payload",
    ["", "unsigned-payload", "STREAMING-", "a" * 63, "g" * 64, "٣" * 64, "a " * 32, "-" + "a" * 63],
)
def test_any_other_payload_word_is_an_invalid_argument(payload: str) -> None:
    """A013."""
    with pytest.raises(InvalidArgument):
        check_payload_word(payload)


@pytest.mark.parametrize("end", ["", "-TRAILER"])
def test_the_asymmetric_forms_are_not_implemented(end: str) -> None:
    with pytest.raises(NotImplemented):
        check_payload_word(f"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD{end}")


# -- signing keys


@given(st.text(min_size=1), st.binary())
def test_a_signing_key_signs_as_hmac_does(secret: str, data: bytes) -> None:
    derived = f"AWS4{secret}".encode()
    for word in EXAMPLE_SCOPE.split("/"):
        derived = hmac.new(derived, word.encode(), hashlib.sha256).digest()
    signing = SigningKey(Key("AK", secret, ALICE), CREDENTIAL)
    assert signing.sign(data) == hmac.new(derived, data, hashlib.sha256).hexdigest()


def test_a_kept_signing_key_serves_only_the_very_same_key() -> None:
    key = Key("AK", "old", ALICE)
    kept = signing_key(key, CREDENTIAL)
    keep_signing_key(kept)
    assert signing_key(key, CREDENTIAL) is kept
    assert signing_key(Key("AK", "old", ALICE), CREDENTIAL) is kept
    changed = signing_key(Key("AK", "new", ALICE), CREDENTIAL)
    assert changed.sign(b"x") != kept.sign(b"x")


def test_kept_signing_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_KEPT_SIGNING_KEYS", 3)
    for number in range(10):
        credential = Credential("AK", "20130524", f"r{number}", "s3", "aws4_request", f"{number}")
        keep_signing_key(signing_key(KEY, credential))
        assert len(canonical._signing_keys) <= 3


# -- what a wrong signature may cost


def ask_with_headers(size: int, signature: str | None = None) -> int:
    """Verify a request with so many characters of signed headers; the bytes of memory it took."""
    value = "a, b,c" * (size // 6)
    environ = {"HTTP_HOST": "h", "HTTP_X_AMZ_META_A": value}
    request = Request("GET", ("/a", "/b"), Query("x=%61"), environ, "http", "h")
    signed = parse_signed_headers("host;x-amz-meta-a")
    assert signed is not None
    payloads = ("UNSIGNED-PAYLOAD", "0" * 64)
    credential, date = CREDENTIAL, "20130524T000000Z"
    if signature is None:
        form = f"GET\n/b\nx=a\nhost:h\nx-amz-meta-a:{value}\n\n{signed.text}\n{payloads[0]}"
        digest = hashlib.sha256(form.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{credential.scope}\n{digest}"
        signature = SigningKey(KEY, credential).sign(text.encode())
    tracemalloc.start()
    try:
        verify(request, KEY, credential, date, signed, payloads, signature)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize(("size", "times"), [(8_000, 20), (15_000, 20), (30_000, 8), (60_000, 8)])
def test_a_wrong_signature_costs_memory_in_proportion_and_little_where_headers_are_many(
    size: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = 0

    def measure(*args: Any) -> SignatureDoesNotMatch:
        nonlocal peak
        error = mismatch(*args)
        peak = tracemalloc.get_traced_memory()[1]
        return error

    monkeypatch.setattr(canonical, "mismatch", measure)
    with pytest.raises(SignatureDoesNotMatch):
        ask_with_headers(size, "0" * 64)
    assert size < peak < times * size


def test_other_spellings_are_tried_as_far_as_s3s_own_limit_on_headers() -> None:
    assert ask_with_headers(8192) > 0
    with pytest.raises(SignatureDoesNotMatch) as caught:
        ask_with_headers(20_000)
    assert "canonical_request" not in caught.value.details
    assert "string_to_sign" in caught.value.details


def test_headers_without_end_are_refused() -> None:
    with pytest.raises(RequestHeaderSectionTooLarge):
        ask_with_headers(70_000, "0" * 64)


# -- chunks: AWS's documented example, and what is wrong with its neighbours

SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = [
    (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
]
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_CHUNKS = [
    (b"a" * 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
    (b"a" * 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
    (b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
]
TRAILER = b"x-amz-checksum-crc32c:sOO8/Q==\n"
TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def chain(seed: str = SEED) -> SignatureChain:
    credential = CREDENTIAL._replace(access_key=EXAMPLE_KEY.access_key)
    signing = SigningKey(EXAMPLE_KEY, credential)
    return SignatureChain(signing, EXAMPLE_SCOPE, "20130524T000000Z", seed)


def body(chunks: list[tuple[bytes, str]]) -> bytes:
    return b"".join(
        b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), signature.encode(), data)
        for data, signature in chunks
    )


def read(data: bytes, seed: str = SEED) -> bytes:
    reader = ChunkedReader(io.BytesIO(data), 66560, signer=chain(seed), trailer=())
    return b"".join(iter(lambda: reader.read(1 << 16), b""))


def test_the_documented_chunked_upload_verifies() -> None:
    assert read(body(CHUNKS)) == b"a" * 66560


def test_the_documented_upload_with_a_trailer_verifies() -> None:
    signer = chain(TRAILER_SEED)
    for data, signature in TRAILER_CHUNKS:
        signer.check_chunk(signature, hashlib.sha256(data).hexdigest())
    signer.check_trailer(TRAILER_SIGNATURE, TRAILER)


def test_a_client_signs_the_documented_chunks_and_trailer() -> None:
    signer = chain(TRAILER_SEED)
    for data, signature in TRAILER_CHUNKS:
        assert signer.sign_chunk(hashlib.sha256(data).hexdigest()) == signature
    assert signer.sign_trailer(TRAILER) == TRAILER_SIGNATURE


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_signature_on_any_chunk_is_refused(which: int) -> None:
    """A042, A043: the final, empty chunk is no exception."""
    chunks = list(CHUNKS)
    data, signature = chunks[which]
    chunks[which] = (data, ("0" if signature[0] != "0" else "1") + signature[1:])
    with pytest.raises(SignatureDoesNotMatch):
        read(body(chunks))


def test_changed_bytes_of_a_chunk_are_refused() -> None:
    """A044."""
    chunks = [(b"b" + b"a" * 65535, CHUNKS[0][1]), *CHUNKS[1:]]
    with pytest.raises(SignatureDoesNotMatch):
        read(body(chunks))


def test_chunks_in_another_order_are_refused() -> None:
    """A045."""
    with pytest.raises(SignatureDoesNotMatch):
        read(body([CHUNKS[1], CHUNKS[0], CHUNKS[2]]))


def test_chunks_of_another_request_are_refused() -> None:
    """A046: the chain begins with the request's own signature."""
    with pytest.raises(SignatureDoesNotMatch):
        read(body(CHUNKS), seed=TRAILER_SEED)


@pytest.mark.parametrize("signature", ["", "0" * 64, "é" * 64, TRAILER_CHUNKS[2][1]])
def test_a_wrong_signature_on_the_trailer_is_refused(signature: str) -> None:
    """A056."""
    signer = chain(TRAILER_SEED)
    for data, right in TRAILER_CHUNKS:
        signer.check_chunk(right, hashlib.sha256(data).hexdigest())
    with pytest.raises(SignatureDoesNotMatch):
        signer.check_trailer(signature, TRAILER)


def test_a_changed_trailer_is_refused() -> None:
    """A056."""
    signer = chain(TRAILER_SEED)
    for data, right in TRAILER_CHUNKS:
        signer.check_chunk(right, hashlib.sha256(data).hexdigest())
    with pytest.raises(SignatureDoesNotMatch):
        signer.check_trailer(TRAILER_SIGNATURE, TRAILER.replace(b"sOO8", b"sOO9"))
