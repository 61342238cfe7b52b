"""s3kit.auth.sigv4: the Authorization header, by AWS's examples, botocore, and attacks."""

from __future__ import annotations

import calendar
import hashlib
import io
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from urllib.parse import urlsplit

import pytest
from botocore.crt.auth import CrtS3SigV4Auth
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.auth import sigv4
from s3kit.auth.canonical import SigningKey
from s3kit.auth.canonical import client_request
from s3kit.auth.canonical import parse_credential
from s3kit.auth.canonical import parse_signed_headers
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.presigned import presign
from s3kit.auth.sigv4 import ANONYMOUS_IDENTITY
from s3kit.auth.sigv4 import EMPTY_SHA256
from s3kit.auth.sigv4 import Identity
from s3kit.auth.sigv4 import identify
from s3kit.auth.sigv4 import sign_headers
from s3kit.errors import AccessDenied
from s3kit.errors import AuthorizationHeaderMalformed
from s3kit.errors import InvalidAccessKeyId
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidRequest
from s3kit.errors import InvalidToken
from s3kit.errors import NotImplemented
from s3kit.errors import RequestTimeTooSkewed
from s3kit.errors import S3Error
from s3kit.errors import SignatureDoesNotMatch
from s3kit.errors import XAmzContentSHA256Mismatch
from s3kit.model import Key
from s3kit.wire.address import aws_quote
from s3kit.wire.checksums import BodyReader
from tests.auth.signing import ALICE
from tests.auth.signing import BOBS_KEY
from tests.auth.signing import EXAMPLE_KEY
from tests.auth.signing import EXAMPLE_RING
from tests.auth.signing import EXAMPLE_SCOPE
from tests.auth.signing import EXAMPLE_TIME
from tests.auth.signing import KEY
from tests.auth.signing import SESSION_KEY
from tests.auth.signing import URL
from tests.auth.signing import ask
from tests.auth.signing import botocore_headers
from tests.auth.signing import botocore_url
from tests.auth.signing import make_request

ANYTHING = st.text(st.characters(exclude_categories=()))


def authorization(signed: str, signature: str, scope: str = EXAMPLE_SCOPE) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={EXAMPLE_KEY.access_key}/{scope},"
        f"SignedHeaders={signed},Signature={signature}"
    )


def ask_example(
    method: str, url: str, headers: Mapping[str, str], *, path: str | None = None
) -> Identity:
    request = make_request(method, url, headers, None if path is None else (path,))
    return identify(request, EXAMPLE_RING, now=EXAMPLE_TIME)


# -- AWS's documented examples

EXAMPLES: dict[str, tuple[str, str, dict[str, str]]] = {
    "GET object": (
        "GET",
        "http://examplebucket.s3.amazonaws.com/test.txt",
        {
            "Range": "bytes=0-9",
            "x-amz-content-sha256": EMPTY_SHA256,
            "x-amz-date": "20130524T000000Z",
            "Authorization": authorization(
                "host;range;x-amz-content-sha256;x-amz-date",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
        },
    ),
    "PUT object": (
        "PUT",
        "http://examplebucket.s3.amazonaws.com/test%24file.text",
        {
            "Date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            "Authorization": authorization(
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
        },
    ),
    "GET bucket lifecycle": (
        "GET",
        "http://examplebucket.s3.amazonaws.com/?lifecycle",
        {
            "x-amz-date": "20130524T000000Z",
            "x-amz-content-sha256": EMPTY_SHA256,
            "Authorization": authorization(
                "host;x-amz-content-sha256;x-amz-date",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
        },
    ),
    "GET bucket": (
        "GET",
        "http://examplebucket.s3.amazonaws.com/?prefix=J&max-keys=2",
        {
            "x-amz-date": "20130524T000000Z",
            "x-amz-content-sha256": EMPTY_SHA256,
            "Authorization": authorization(
                "host;x-amz-content-sha256;x-amz-date",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        },
    ),
    "chunked upload": (
        "PUT",
        "http://s3.amazonaws.com/examplebucket/chunkObject.txt",
        {
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "Content-Encoding": "aws-chunked",
            "x-amz-decoded-content-length": "66560",
            "Content-Length": "66824",
            "Authorization": authorization(
                "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-storage-class",
                "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            ),
        },
    ),
    "chunked upload with trailer": (
        "PUT",
        "http://s3.amazonaws.com/examplebucket/chunkObject.txt",
        {
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "Content-Encoding": "aws-chunked",
            "x-amz-decoded-content-length": "66560",
            "x-amz-trailer": "x-amz-checksum-crc32c",
            "Authorization": authorization(
                "content-encoding;host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
                "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            ),
        },
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_documented_example_verifies(name: str) -> None:
    method, url, headers = EXAMPLES[name]
    identity = ask_example(method, url, headers)
    assert identity.kind == "header"
    assert identity.caller.account is ALICE
    assert identity.caller.access_key == EXAMPLE_KEY.access_key
    assert identity.payload == headers["x-amz-content-sha256"]


def test_only_signed_chunks_bring_a_chunk_signer_and_it_is_one_chain() -> None:
    identity = ask_example(*EXAMPLES["chunked upload"])
    signer = identity.chunk_signer
    assert signer is not None
    assert identity.chunk_signer is signer
    digest = hashlib.sha256(b"a" * 65536).hexdigest()
    signer.check_chunk("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", digest)
    assert ask_example(*EXAMPLES["GET object"]).chunk_signer is None


# -- what botocore and awscrt sign

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
QUERIES = st.dictionaries(KEYS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@given(KEYS, QUERIES, st.dictionaries(st.sampled_from(["x-amz-meta-a", "range", "accept"]), VALUES))
def test_whatever_botocore_signs_verifies(
    key: str, query: dict[str, str], headers: dict[str, str]
) -> None:
    path = f"/bucket/{aws_quote(key)}"
    raw = "&".join(f"{quote(name, '')}={quote(value, '')}" for name, value in query.items())
    url = f"http://s3.example.com{path}?{raw}"
    signed = botocore_headers("PUT", url, headers=headers, body=b"data")
    if any(name.startswith("X-Amz-") for name in query):
        return
    identity = ask("PUT", url, signed, paths=(path,))
    assert identity.caller.account is ALICE
    assert identity.payload == hashlib.sha256(b"data").hexdigest()


@pytest.mark.parametrize("url", [URL, f"{URL}?partNumber=1&uploadId=a%2Fb%3D", f"{URL}?acl"])
def test_what_awscrt_signs_verifies(url: str) -> None:
    signed = botocore_headers("PUT", url, body=b"data", signer=CrtS3SigV4Auth)
    assert ask("PUT", url, signed).caller.account is ALICE


@given(KEYS, VALUES, st.binary(max_size=50))
def test_what_we_sign_ourselves_verifies(key: str, value: str, body: bytes) -> None:
    url = f"https://s3.example.com/bucket/{quote(key, safe='')}?list-type=2&prefix=a%2Bb"
    headers = sign_headers(
        "POST", url, KEY, headers={"X-Amz-Meta-A": value, "Content-Type": "a/b"}, payload=body
    )
    identity = ask("POST", url, headers)
    assert identity.payload == hashlib.sha256(body).hexdigest()


def test_our_signature_is_the_one_that_botocore_makes() -> None:
    theirs = botocore_headers("GET", f"{URL}?versionId=null", headers={"Range": "bytes=0-9"})
    date = time.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    url = f"{URL}?versionId=null"
    now = calendar.timegm(date)
    ours = sign_headers("GET", url, KEY, headers={"range": "bytes=0-9"}, now=now)
    assert ours["Authorization"].rpartition("=")[2] == theirs["Authorization"].rpartition("=")[2]


@pytest.mark.parametrize("region", ["us-east-1", "us-west-000", "eu", "", "any label at all"])
def test_the_region_is_a_free_label_unless_pinned(region: str) -> None:
    """IU-12."""
    headers = sign_headers("GET", URL, KEY, region=region)
    assert ask("GET", URL, headers).kind == "header"


# -- what servers and proxies do to a request on its way (facts 1e)


def test_repeated_headers_joined_with_a_space_or_without_verify() -> None:
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": "one,two"})
    assert ask("PUT", URL, {**signed, "x-amz-meta-a": "one, two"}).kind == "header"
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": "one, two"})
    assert ask("PUT", URL, {**signed, "x-amz-meta-a": "one,two"}).kind == "header"


def test_spaces_around_and_inside_a_value_are_folded() -> None:
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": "one two three"})
    sent = {**signed, "x-amz-meta-a": " one  two\r\n three \t"}
    assert ask("PUT", URL, sent).kind == "header"


def test_underscores_in_a_signed_name_are_found_again() -> None:
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-my_key": "v"})
    assert "x-amz-meta-my_key" in signed["Authorization"]
    assert ask("PUT", URL, signed).kind == "header"


@pytest.mark.parametrize("value", ["é", "à", "x\u00a0", "\u0085x"])
def test_a_value_outside_ascii_verifies_as_utf_8_bytes_and_as_latin_1(value: str) -> None:
    """Some clients sign UTF-8 and send latin-1; à ends in the byte A0, which is no space."""
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": value})
    as_utf_8 = {**signed, "x-amz-meta-a": value.encode().decode("latin-1")}
    assert ask("PUT", URL, as_utf_8).kind == "header"
    assert ask("PUT", URL, signed).kind == "header"
    # And so on a server that also joins repeated headers its own way.
    signed = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": f"{value},b"})
    joined = f"{value}, b".encode().decode("latin-1")
    assert ask("PUT", URL, {**signed, "x-amz-meta-a": joined}).kind == "header"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://s3.example.com/b/k", "s3.example.com:80"),
        ("http://s3.example.com:80/b/k", "s3.example.com"),
        ("https://s3.example.com:443/b/k", "s3.example.com"),
        ("https://s3.example.com/b/k", "s3.example.com:443"),
    ],
)
def test_the_schemes_own_port_may_come_and_go(url: str, host: str) -> None:
    headers = sign_headers("GET", url, KEY)
    received = f"{url.partition(':')[0]}://{host}/b/k"
    assert ask("GET", received, headers).kind == "header"


def test_another_port_is_another_host() -> None:
    headers = sign_headers("GET", "http://s3.example.com:80/b/k", KEY)
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", "http://s3.example.com:8080/b/k", headers)
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", "https://s3.example.com/b/k", headers)


def test_each_canonical_path_is_tried_and_the_one_that_matched_is_told() -> None:
    """IU-20: what is signed there is only the raw path."""
    headers = sign_headers("GET", "http://s3.example.com/bucket%2Fa//k", KEY)
    paths = ("/bucket/a//k", "/bucket%2Fa//k", "/bucket%2Fa%2F/k")
    identity = ask("GET", "http://s3.example.com/x", headers, paths=paths)
    assert identity.canonical_path == "/bucket%2Fa//k"


def signed_below(host: str, path: str) -> dict[str, str]:
    """Headers that sign this path at this host, whatever is sent."""
    headers = {"Host": host, "X-Amz-Date": "20130524T000000Z", "X-Amz-Content-SHA256": EMPTY_SHA256}
    canonical, names = client_request("GET", path, "", headers, EMPTY_SHA256)
    digest = hashlib.sha256(canonical).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n20130524T000000Z\n{EXAMPLE_SCOPE}\n{digest}"
    credential = parse_credential(f"{EXAMPLE_KEY.access_key}/{EXAMPLE_SCOPE}")
    assert credential is not None
    signature = SigningKey(EXAMPLE_KEY, credential).sign(to_sign.encode())
    return {**headers, "Authorization": authorization(names, signature)}


def ask_mounted(url: str, headers: dict[str, str], mount: str) -> Identity:
    """Identify a request under a mount."""
    host = urlsplit(url).netloc
    request = make_request("GET", url, {**headers, "Host": host})
    request.environ["SCRIPT_NAME"] = mount
    return identify(request, EXAMPLE_RING, now=EXAMPLE_TIME)


def test_a_mount_may_be_signed_as_the_end_of_the_hosts_name() -> None:
    """As s3cmd signs where its endpoint has a path."""
    headers = signed_below("h/s3", "/bucket/k")
    assert ask_mounted("http://h/s3/bucket/k", headers, "/s3").canonical_path == "/s3/bucket/k"
    headers = signed_below("h:80/d%C3%A9p%C3%B4t/s3", "/")
    mount = "/dépôt/s3".encode().decode("latin-1")
    assert ask_mounted("http://h/d%C3%A9p%C3%B4t/s3/", headers, mount).kind == "header"


@pytest.mark.parametrize(
    ("host", "path", "url", "mount"),
    [
        # Another path below, another mount, another host, no mount at all.
        ("h/s3", "/bucket/k", "http://h/s3/bucket/other", "/s3"),
        ("h/s3", "/bucket/k", "http://h/s4/bucket/k", "/s4"),
        ("h/s3", "/bucket/k", "http://other/s3/bucket/k", "/s3"),
        ("h/s3", "/bucket/k", "http://h/s3/bucket/k", ""),
        ("h/s3", "/bucket/k", "http://h/bucket/k", ""),
        # Not cut at the mount.
        ("h/s3/bucket", "/k", "http://h/s3/bucket/k", "/s3"),
        ("h", "/bucket/k", "http://h/s3/bucket/k", "/s3"),
    ],
)
def test_a_path_is_not_cut_anywhere_else(host: str, path: str, url: str, mount: str) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        ask_mounted(url, signed_below(host, path), mount)


@pytest.mark.parametrize("query", ["acl", "prefix=a+b", "prefix=a/b&delimiter=/", "prefix=%7e"])
def test_a_query_signed_as_it_was_sent_verifies(query: str, monkeypatch: Any) -> None:
    url = f"http://s3.example.com/bucket?{query}"
    monkeypatch.setattr(
        "s3kit.auth.sigv4.canonical_query", lambda raw: "&".join(sorted(raw.split("&")))
    )
    headers = sign_headers("GET", url, KEY)
    monkeypatch.undo()
    assert ask("GET", url, headers).kind == "header"


def test_an_encoded_plus_does_not_stand_for_a_plain_one() -> None:
    """A010: the plain one is a space, so it would be another prefix than the signed one."""
    headers = sign_headers("GET", "http://s3.example.com/bucket?prefix=a%2Bb", KEY)
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", "http://s3.example.com/bucket?prefix=a+b", headers)


@pytest.mark.parametrize("date", ["Fri, 24 May 2013 00:00:00 GMT", "20130524T000000Z"])
def test_the_date_header_serves_where_there_is_no_x_amz_date(date: str) -> None:
    headers = {"Host": "h", "Date": date, "X-Amz-Content-SHA256": EMPTY_SHA256}
    canonical, names = client_request("GET", "/k", "", headers, EMPTY_SHA256)
    digest = hashlib.sha256(canonical).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n20130524T000000Z\n{EXAMPLE_SCOPE}\n{digest}"
    credential = parse_credential(f"{EXAMPLE_KEY.access_key}/{EXAMPLE_SCOPE}")
    assert credential is not None
    signature = SigningKey(EXAMPLE_KEY, credential).sign(to_sign.encode())
    headers["Authorization"] = authorization(names, signature)
    assert ask_example("GET", "http://h/k", headers).kind == "header"
    with pytest.raises(SignatureDoesNotMatch):
        ask_example("GET", "http://h/k", {**headers, "Date": "Fri, 24 May 2013 00:00:01 GMT"})


@pytest.mark.parametrize(
    "dates",
    [
        {},
        {"x-amz-date": "yesterday"},
        {"x-amz-date": "Fri, 24 May 2013 00:00:00 GMT"},
        {"x-amz-date": "", "Date": ""},
        {"Date": "yesterday"},
        {"Date": "Thu, 01 Jan 1950 00:00:00 GMT"},
        {"Date": "Fri, 24 May 99999999999 00:00:00 GMT"},
    ],
)
def test_a_request_without_a_valid_date_is_denied(dates: dict[str, str]) -> None:
    _, url, headers = EXAMPLES["GET object"]
    headers = {name: value for name, value in headers.items() if name != "x-amz-date"}
    with pytest.raises(AccessDenied, match="valid Date or x-amz-date"):
        ask_example("GET", url, {**headers, **dates})


# -- attacks


def tampered(change: Callable[[dict[str, str]], object], **signing: Any) -> dict[str, str]:
    headers = botocore_headers(**signing)
    change(headers)
    return headers


def set_authorization(old: str, new: str) -> dict[str, str]:
    headers = botocore_headers()
    assert old in headers["Authorization"]
    headers["Authorization"] = headers["Authorization"].replace(old, new)
    return headers


def test_a_request_without_a_signature_is_anonymous() -> None:
    """A001 to A003: Access decides what an anonymous caller may do."""
    for url in (URL, f"{URL}?acl"):
        identity = ask("GET", url, {})
        assert identity is ANONYMOUS_IDENTITY
        assert identity.caller.anonymous
        assert identity.payload == "UNSIGNED-PAYLOAD"
        assert identity.chunk_signer is None
        assert identity.canonical_path is None


def test_an_anonymous_body_may_be_framed_but_not_signed() -> None:
    framed = ask("PUT", URL, {"Content-Encoding": "gzip,aws-chunked"})
    assert framed.payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    signed = ask("PUT", URL, {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    assert signed.caller.anonymous
    assert signed.chunk_signer is None
    hashed = ask("PUT", URL, {"x-amz-content-sha256": EMPTY_SHA256})
    assert hashed.payload == EMPTY_SHA256
    with pytest.raises(InvalidArgument):
        ask("PUT", URL, {"x-amz-content-sha256": "anything"})


def test_a_wrong_secret_is_refused_and_the_answer_shows_what_was_compared() -> None:
    """A004."""
    headers = botocore_headers(key=Key(KEY.access_key, "wrong", ALICE))
    with pytest.raises(SignatureDoesNotMatch) as caught:
        ask("GET", URL, headers)
    details = caught.value.details
    assert details["aws_access_key_id"] == KEY.access_key
    assert details["signature_provided"] == headers["Authorization"].rpartition("=")[2]
    canonical, to_sign = details["canonical_request"], details["string_to_sign"]
    assert isinstance(canonical, str)
    assert isinstance(to_sign, str)
    assert canonical.startswith("GET\n/photos/2026/cat.jpg\n\nhost:s3.example.com\n")
    assert to_sign.endswith(hashlib.sha256(canonical.encode()).hexdigest())
    assert details["canonical_request_bytes"] == canonical.encode().hex(" ")
    assert details["string_to_sign_bytes"] == to_sign.encode().hex(" ")
    assert KEY.secret_key not in str(details)


def test_the_answer_to_a_wrong_signature_shows_no_token() -> None:
    """Clients write errors into their logs; in the query and in forms as well."""
    token = "T0KEN/aaaaaaaaaaaaaa+bbbb=="
    customer = "Y3VzdG9tZXIta2V5LTEyMzQ1Njc4OTAxMjM0NTY3OA=="
    key = Key(KEY.access_key, "wrong", ALICE, token)
    more = {"x-amz-server-side-encryption-customer-key": customer, "cookie": "c00kie=secret"}
    for url, headers in (
        (URL, botocore_headers(key=key, headers=more)),
        (botocore_url(key=key), {}),
    ):
        with pytest.raises(SignatureDoesNotMatch) as caught:
            ask("GET", url, headers)
        details = caught.value.details
        canonical = str(details["canonical_request"])
        assert "***" in canonical
        shown = canonical + bytes.fromhex(str(details["canonical_request_bytes"])).decode()
        for secret in (token, quote(token, ""), customer, "c00kie=secret"):
            assert secret not in shown


PARAMETERS = (
    "X-Amz-S3session-Token",
    "X-Amz-Security-Token",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key",
)
SECRET_PLACES = [
    *((name, place) for name in PARAMETERS for place in ("header", "query")),
    *((name, "header") for name in ("Cookie", "Proxy-Authorization")),
    ("WebIdentityToken", "query"),
]


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize(("name", "place"), SECRET_PLACES)
def test_no_secret_header_or_parameter_is_shown(name: str, place: str, presigned: bool) -> None:
    """Wherever it stands and however it is spelt; what stands beside it is shown."""
    secret = "S3CRET/aaaaaaaaaaaaaaaaa+bbbbbbbb=="
    wrong = Key(KEY.access_key, "wrong", ALICE)
    url, headers = f"{URL}?max-keys=1", {"x-amz-acl": "me"}
    if place == "header":
        headers[name] = secret
    else:
        spelt = name.lower() if name.startswith("x") else name
        url += f"&{spelt}={quote(secret, '')}"
    if presigned:
        url = presign("GET", url, wrong, headers=headers)
    else:
        headers = sign_headers("GET", url, wrong, headers=headers)
    with pytest.raises(SignatureDoesNotMatch) as caught:
        ask("GET", url, headers)
    details = caught.value.details
    canonical = str(details["canonical_request"])
    assert "***" in canonical
    assert "x-amz-acl:me" in canonical
    assert "max-keys=1" in canonical
    shown = canonical + bytes.fromhex(str(details["canonical_request_bytes"])).decode()
    assert "S3CRET" not in shown + str(details) + repr(caught.value)


def test_a_secret_header_that_is_signed_by_another_spelling_is_not_shown() -> None:
    """WSGI has one name for both, so that its value is found."""
    headers = sign_headers("GET", URL, Key(KEY.access_key, "wrong", ALICE))
    headers["Authorization"] = headers["Authorization"].replace(
        "SignedHeaders=", "SignedHeaders=X_Amz_Security_Token;x-amz-security-token;"
    )
    headers["X-Amz-Security-Token"] = "S3CRET"
    with pytest.raises(SignatureDoesNotMatch) as caught:
        ask("GET", URL, headers)
    assert "S3CRET" not in str(caught.value.details)
    assert str(caught.value.details["canonical_request"]).count(":***") == 2


def test_an_unknown_key_is_refused() -> None:
    """A005."""
    with pytest.raises(InvalidAccessKeyId) as caught:
        ask("GET", URL, botocore_headers(key=Key("AKIANOBODY", "x", ALICE)))
    assert caught.value.details == {"aws_access_key_id": "AKIANOBODY"}


def test_an_empty_secret_signs_for_nobody() -> None:
    """A006: neither for a key that has one, nor for a key ring's entry without one."""
    headers = sign_headers("GET", URL, Key(KEY.access_key, "", ALICE))
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, headers)

    class Careless(DictKeyRing):
        def lookup(self, access_key: str) -> Key | None:
            return Key(access_key, "", ALICE)

    with pytest.raises(InvalidAccessKeyId):
        identify(make_request("GET", URL, headers), Careless(), now=time.time())


def test_a_changed_secret_no_longer_verifies() -> None:
    headers = sign_headers("GET", URL, KEY)
    request = make_request("GET", URL, headers)
    now = time.time()
    assert identify(request, DictKeyRing([KEY]), now=now).kind == "header"
    other = DictKeyRing([Key(KEY.access_key, "rotated", ALICE)])
    with pytest.raises(SignatureDoesNotMatch):
        identify(request, other, now=now)
    assert identify(request, DictKeyRing([KEY]), now=now).kind == "header"


def test_a_key_that_changes_hands_acts_for_its_new_account() -> None:
    request = make_request("GET", URL, sign_headers("GET", URL, KEY))
    moved = Key(KEY.access_key, KEY.secret_key, BOBS_KEY.account)
    for key in (KEY, moved, KEY):
        identity = identify(request, DictKeyRing([key]), now=time.time())
        assert identity.caller.account is key.account


@given(st.integers(0, 63), st.integers(1, 15))
def test_one_changed_digit_of_the_signature_is_refused(place: int, shift: int) -> None:
    """A007."""
    headers = sign_headers("GET", URL, KEY)
    start, _, signature = headers["Authorization"].rpartition("=")
    digit = f"{(int(signature[place], 16) + shift) % 16:x}"
    headers["Authorization"] = f"{start}={signature[:place]}{digit}{signature[place + 1 :]}"
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, headers)


@pytest.mark.parametrize("signature", ["", "0", "0" * 64, "é" * 64, "0" * 128])
def test_a_signature_of_another_shape_is_refused(signature: str) -> None:
    headers = botocore_headers()
    start = headers["Authorization"].rpartition("=")[0]
    headers["Authorization"] = f"{start}={signature}"
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, headers)


def test_an_upper_case_signature_is_refused() -> None:
    headers = botocore_headers()
    start, _, signature = headers["Authorization"].rpartition("=")
    headers["Authorization"] = f"{start}={signature.upper()}"
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, headers)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "http://s3.example.com/photos/2026/dog.jpg"),
        ("GET", "http://s3.example.com/photos//2026/cat.jpg"),
        ("GET", "http://s3.example.com/other/2026/cat.jpg"),
        ("DELETE", URL),
        ("HEAD", URL),
        ("get", URL),
        ("GET", f"{URL}?acl"),
        ("GET", f"{URL}?versionId=1"),
        ("GET", "http://other.example.com/photos/2026/cat.jpg"),
        ("GET", "http://s3.example.com:8080/photos/2026/cat.jpg"),
    ],
)
def test_another_path_method_query_or_host_is_refused(method: str, url: str) -> None:
    """A008, A009, A010, A018."""
    headers = botocore_headers()
    assert ask("GET", URL, headers).kind == "header"
    with pytest.raises(SignatureDoesNotMatch):
        ask(method, url, {**headers, "Host": url.split("/")[2]})


def test_a_query_that_loses_or_swaps_a_value_is_refused() -> None:
    """A010."""
    headers = botocore_headers(url=f"{URL}?partNumber=1&uploadId=2")
    for query in ("partNumber=2&uploadId=1", "partNumber=1", "partNumber=1&uploadId=2&x=1", ""):
        with pytest.raises(SignatureDoesNotMatch):
            ask("GET", f"{URL}?{query}", headers)


def test_changed_signed_headers_are_refused() -> None:
    headers = botocore_headers(headers={"x-amz-acl": "private", "Content-Type": "text/plain"})
    for name, value in (("x-amz-acl", "public-read"), ("Content-Type", "text/html")):
        with pytest.raises(SignatureDoesNotMatch):
            ask("GET", URL, {**headers, name: value})


@pytest.mark.parametrize("body", [b"<Delete/>", b"", b"dat4"])
def test_another_body_than_the_signed_one_is_refused(body: bytes) -> None:
    """A011, A012: the signed hash goes with the identity to whoever reads the body."""
    identity = ask("PUT", URL, botocore_headers("PUT", body=b"data"))
    with pytest.raises(XAmzContentSHA256Mismatch):
        BodyReader(io.BytesIO(body), len(body), sha256=identity.payload).read_all()


def test_the_signed_hash_cannot_be_exchanged() -> None:
    """A011."""
    headers = botocore_headers("PUT", body=b"data")
    for word in (EMPTY_SHA256, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        with pytest.raises(SignatureDoesNotMatch):
            ask("PUT", URL, {**headers, "X-Amz-Content-SHA256": word})


@pytest.mark.parametrize("word", ["garbage", "unsigned-payload", "STREAMING-", "a" * 63, " "])
def test_a_payload_word_that_s3_has_not_is_an_invalid_argument(word: str) -> None:
    """A013, and signed at that."""
    with pytest.raises(InvalidArgument):
        ask("PUT", URL, sign_headers("PUT", URL, KEY, payload=word))


def test_a_header_signature_needs_the_payload_header() -> None:
    headers = tampered(lambda headers: headers.pop("X-Amz-Content-SHA256"))
    with pytest.raises(InvalidRequest, match="x-amz-content-sha256"):
        ask("GET", URL, headers)


@pytest.mark.parametrize(
    "added",
    [
        {"x-amz-copy-source": "/other/secret"},
        {"x-amz-acl": "public-read"},
        {"x-amz-meta-a": "b"},
        {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging": "a=b"},
        {"x-amz-security-token": "token"},
    ],
)
def test_an_unsigned_amz_header_is_refused_by_its_name(added: dict[str, str]) -> None:
    """A014, A015, A016."""
    with pytest.raises(AccessDenied, match="were not signed") as caught:
        ask("PUT", URL, {**botocore_headers("PUT"), **added})
    assert caught.value.details == {"headers_not_signed": ", ".join(sorted(added))}


def test_headers_that_only_look_like_amz_ones_need_no_signature() -> None:
    added = {"x-http-x-amz-foo": "1", "x-amzn-trace-id": "Root=1"}
    assert ask("GET", URL, {**botocore_headers(), **added}).kind == "header"


def test_an_amz_header_with_underscores_is_the_same_header() -> None:
    """A028: where a server lets X_Amz_Acl through it must be signed like x-amz-acl."""
    with pytest.raises(AccessDenied):
        ask("PUT", URL, {**botocore_headers("PUT"), "X_Amz_Acl": "public-read"})


def test_the_host_must_be_signed() -> None:
    """A017."""
    with pytest.raises(AccessDenied) as caught:
        ask("GET", URL, set_authorization("SignedHeaders=host;", "SignedHeaders="))
    assert caught.value.details == {"headers_not_signed": "host"}


@pytest.mark.parametrize("names", ["", ";", "host;", ";host;x-amz-date", "host;;x-amz-date"])
def test_empty_names_among_the_signed_headers_are_malformed(names: str) -> None:
    """A019."""
    start = "SignedHeaders="
    headers = botocore_headers()
    old = headers["Authorization"].partition(start)[2].partition(",")[0]
    with pytest.raises(AuthorizationHeaderMalformed):
        ask("GET", URL, set_authorization(start + old, start + names))


@pytest.mark.parametrize("seconds", [-901, 901, -86400, 10**9])
def test_a_clock_that_is_more_than_15_minutes_off_is_refused(seconds: int) -> None:
    """A020, A021."""
    headers = sign_headers("GET", URL, KEY, now=EXAMPLE_TIME)
    with pytest.raises(RequestTimeTooSkewed) as caught:
        ask("GET", URL, headers, now=EXAMPLE_TIME + seconds)
    details = caught.value.details
    assert details["request_time"] == "20130524T000000Z"
    assert details["max_allowed_skew_milliseconds"] == 900000
    assert str(details["server_time"]).endswith("Z")


@pytest.mark.parametrize("seconds", [-900, 0, 900])
def test_a_clock_that_is_up_to_15_minutes_off_is_fine(seconds: int) -> None:
    headers = sign_headers("GET", URL, KEY, now=EXAMPLE_TIME)
    assert ask("GET", URL, headers, now=EXAMPLE_TIME + seconds).kind == "header"


@pytest.mark.parametrize(
    ("part", "other", "what"),
    [
        ("20130524", "20130523", "Invalid credential date"),
        ("/s3/", "/iam/", "incorrect service"),
        ("aws4_request", "aws5_request", "incorrect terminal"),
    ],
)
def test_a_scope_of_another_day_service_or_version_is_malformed(
    part: str, other: str, what: str
) -> None:
    """A022, A024."""
    headers = sign_headers("GET", URL, KEY, now=EXAMPLE_TIME)
    headers["Authorization"] = headers["Authorization"].replace(part, other)
    with pytest.raises(AuthorizationHeaderMalformed, match=what):
        ask("GET", URL, headers, now=EXAMPLE_TIME)


def test_where_the_region_is_pinned_another_one_is_malformed_and_the_right_one_is_told() -> None:
    """A023."""
    headers = botocore_headers(region="eu-west-1")
    assert ask("GET", URL, headers, region="eu-west-1").kind == "header"
    with pytest.raises(AuthorizationHeaderMalformed, match="expecting 'us-east-1'") as caught:
        ask("GET", URL, headers, region="us-east-1")
    assert caught.value.details == {"region": "us-east-1"}


def test_a_region_other_than_the_signed_one_is_refused() -> None:
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, set_authorization("/us-east-1/", "/us-east-2/"))


@pytest.mark.parametrize(
    "value",
    [
        "garbage",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 garbage",
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 Credential=AK,SignedHeaders=host,Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20130524/b/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a/1/b/s3/aws4_request,SignedHeaders=host,Signature=0",
        "AWS4-HMAC-SHA512 Credential=a/20130524/b/s3/aws4_request,SignedHeaders=host,Signature=0",
        "AWS4-HMAC-SHA256 " + "," * 10000,
        "AWS4-HMAC-SHA256 " + "a" * 100000,
        ";;;=,",
        "\u00ff\u00fe",
    ],
)
def test_garbage_in_the_authorization_header_is_malformed(value: str) -> None:
    """A025."""
    with pytest.raises(AuthorizationHeaderMalformed):
        ask("GET", URL, {"Authorization": value, "x-amz-date": "20130524T000000Z"})


@given(
    place=st.integers(0, 300),
    length=st.integers(0, 12),
    put=st.sampled_from(
        ("", ",", ", ", "=", " ", "Signature=", ",Signature=", "SignedHeaders=", "x", "\xa0", "a,b")
    ),
)
@settings(max_examples=300, deadline=None)
def test_what_is_read_once_is_what_the_whole_header_says(place: int, length: int, put: str) -> None:
    text = (
        "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'0a' * 32}"
    )
    text = text[:place] + put + text[place + length :]
    wanted: object
    try:
        credential, signed, signature = sigv4.split_authorization(text)
        wanted = (parse_credential(credential), parse_signed_headers(signed), signature)
    except S3Error as error:
        wanted = (error.code, error.text)
    for _ in range(2):
        found: object
        try:
            found = sigv4._read_authorization(text)
        except S3Error as error:
            found = (error.code, error.text)
        assert found == wanted


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer abc", "Negotiate x"])
def test_another_scheme_of_http_is_unsupported(value: str) -> None:
    with pytest.raises(InvalidArgument, match="Unsupported Authorization Type"):
        ask("GET", URL, {"Authorization": value})


def test_the_asymmetric_algorithm_is_not_implemented() -> None:
    with pytest.raises(NotImplemented):
        ask("GET", URL, {"Authorization": "AWS4-ECDSA-P256-SHA256 Credential=a"})


@pytest.mark.parametrize("value", ["AWS AKIAALICE:c2lnbmF0dXJl", "AWS HAHAHA", "AWS "])
def test_a_version_2_header_is_refused_clearly(value: str) -> None:
    """A026, IU-06, FB-03, BB-03."""
    with pytest.raises(InvalidRequest, match="Please use AWS4-HMAC-SHA256"):
        ask("GET", URL, {"Authorization": value})


@pytest.mark.parametrize(
    "query", ["AWSAccessKeyId=AKIAALICE&Expires=9999999999&Signature=x", "Signature=x&Expires=1"]
)
def test_a_version_2_query_is_refused_clearly(query: str) -> None:
    """A026, IU-06, FB-03, BB-03."""
    with pytest.raises(InvalidRequest, match="Please use AWS4-HMAC-SHA256"):
        ask("GET", f"{URL}?{query}", {})


@pytest.mark.parametrize("joined", ["one,two", "two,one", "two", "one, two"])
def test_a_second_copy_of_a_signed_header_is_refused(joined: str) -> None:
    """A027: joined by the server, or the last one alone."""
    headers = sign_headers("PUT", URL, KEY, headers={"x-amz-meta-a": "one"})
    with pytest.raises(SignatureDoesNotMatch):
        ask("PUT", URL, {**headers, "x-amz-meta-a": joined})


def test_two_authorization_headers_joined_by_a_server_are_malformed() -> None:
    """A027."""
    headers = botocore_headers()
    twice = f"{headers['Authorization']},{headers['Authorization']}"
    with pytest.raises(AuthorizationHeaderMalformed):
        ask("GET", URL, {**headers, "Authorization": twice})


@pytest.mark.parametrize("query", ["X-Amz-Credential=AKIAALICE", "AWSAccessKeyId=AKIAALICE"])
def test_a_signature_in_the_header_and_one_in_the_query_are_one_too_many(query: str) -> None:
    """A029."""
    url = f"{URL}?{query}"
    with pytest.raises(InvalidArgument, match="Only one auth mechanism allowed"):
        ask("GET", url, botocore_headers(url=url))
    presigned = botocore_url()
    with pytest.raises(InvalidArgument, match="Only one auth mechanism allowed"):
        ask("GET", presigned, botocore_headers(url=presigned))


def test_forwarded_headers_do_not_change_what_is_verified() -> None:
    """A030: only the host that the pipeline gives counts, and with it the bucket's address."""
    headers = botocore_headers(url="http://victim.example.com/k")
    forwarded = {"X-Forwarded-Host": "victim.example.com", "X-Original-URL": "/k"}
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", "http://attacker.example.com/k", {**headers, **forwarded})
    headers = {**headers, "Host": "victim.example.com"}
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", "http://attacker.example.com/k", headers)


@pytest.mark.parametrize(
    "word", ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
)
def test_a_forged_signature_over_a_streaming_payload_is_refused(word: str) -> None:
    """A046, A052, A054: an unsigned trailer still needs the request's own signature."""
    forged = Key(KEY.access_key, "forged", ALICE)
    headers = sign_headers(
        "PUT", URL, forged, payload=word, headers={"x-amz-meta-snowball-auto-extract": "true"}
    )
    with pytest.raises(SignatureDoesNotMatch):
        ask("PUT", URL, headers)
    honest = ask("PUT", URL, sign_headers("PUT", URL, KEY, payload=word))
    assert honest.payload == word
    assert (honest.chunk_signer is None) is word.startswith("STREAMING-UNSIGNED")


# -- session tokens


def test_a_session_token_must_be_the_keys_own() -> None:
    headers = botocore_headers(key=SESSION_KEY)
    assert headers["X-Amz-Security-Token"] == SESSION_KEY.session_token
    assert ask("GET", URL, headers).caller.access_key == SESSION_KEY.access_key
    wrong = Key(SESSION_KEY.access_key, SESSION_KEY.secret_key, ALICE, session_token="wrong")
    with pytest.raises(InvalidToken):
        ask("GET", URL, sign_headers("GET", URL, wrong))


def test_a_session_key_does_not_work_without_its_token() -> None:
    bare = Key(SESSION_KEY.access_key, SESSION_KEY.secret_key, ALICE)
    with pytest.raises(InvalidAccessKeyId):
        ask("GET", URL, sign_headers("GET", URL, bare))


def test_a_token_for_a_key_that_has_none_is_refused() -> None:
    odd = Key(KEY.access_key, KEY.secret_key, ALICE, session_token="token")
    with pytest.raises(InvalidToken):
        ask("GET", URL, sign_headers("GET", URL, odd))


def test_who_cannot_sign_learns_nothing_of_tokens() -> None:
    wrong = Key(SESSION_KEY.access_key, "wrong", ALICE, session_token="wrong")
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", URL, sign_headers("GET", URL, wrong))


# -- anything at all


def refuses_or_knows(method: str, url_query: str, headers: dict[str, str], path: str) -> None:
    request = make_request(method, URL, headers, (path,))
    request.query = type(request.query)(url_query)
    try:
        identity = identify(request, EXAMPLE_RING, now=EXAMPLE_TIME, region="us-east-1")
    except S3Error as error:
        assert 400 <= error.status < 500 or error.status == 501
    else:
        assert identity.caller.anonymous


@given(ANYTHING, ANYTHING, st.dictionaries(ANYTHING, ANYTHING), ANYTHING)
def test_nothing_in_a_request_makes_it_fail_otherwise_than_by_an_s3_error(
    value: str, query: str, headers: dict[str, str], path: str
) -> None:
    refuses_or_knows("GET", query, {**headers, "Authorization": value}, path)
    refuses_or_knows("GET", query, {**headers, "Authorization": f"AWS4-HMAC-SHA256 {value}"}, path)


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING, st.booleans())
def test_nothing_in_a_well_formed_header_makes_it_fail_otherwise(
    region: str, names: str, signature: str, value: str, query: str, right_key: bool
) -> None:
    key = EXAMPLE_KEY.access_key if right_key else value
    refuses_or_knows(
        "GET",
        query,
        {
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential={key}/20130524/us-east-1/s3/aws4_request, "
                f"SignedHeaders=host;{names};x-amz-content-sha256;x-amz-date;x-amz-meta-a, "
                f"Signature={signature or 'a' * 64}"
            ),
            "x-amz-date": "20130524T000000Z",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-meta-a": value,
            "x-amz-security-token": region,
        },
        "/",
    )
    refuses_or_knows(
        "GET",
        query,
        {
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential={key}/20130524/us-east-1/s3/aws4_request, "
                f"SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-a, "
                f"Signature={'a' * 64}"
            ),
            "x-amz-date": "20130524T000000Z",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-meta-a": value,
        },
        value,
    )
