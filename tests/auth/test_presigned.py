"""s3kit.auth.presigned: the query form, by AWS's example, botocore, and attacks."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import quote
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.auth import presigned
from s3kit.auth.presigned import presign
from s3kit.auth.sigv4 import identify
from s3kit.errors import AccessDenied
from s3kit.errors import AuthorizationQueryParametersError
from s3kit.errors import InvalidAccessKeyId
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidToken
from s3kit.errors import NotImplemented
from s3kit.errors import S3Error
from s3kit.errors import SignatureDoesNotMatch
from s3kit.model import Key
from s3kit.wire.address import aws_quote
from tests.auth.signing import ALICE
from tests.auth.signing import EXAMPLE_KEY
from tests.auth.signing import EXAMPLE_RING
from tests.auth.signing import EXAMPLE_TIME
from tests.auth.signing import KEY
from tests.auth.signing import SESSION_KEY
from tests.auth.signing import URL
from tests.auth.signing import ask
from tests.auth.signing import botocore_credentials
from tests.auth.signing import botocore_url
from tests.auth.signing import make_request

ANYTHING = st.text(st.characters(exclude_categories=()))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
EXAMPLE_URL = (
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
MISSING = "Query-string authentication version 4 requires"


def replaced(url: str, name: str, value: str | None) -> str:
    """The URL with one parameter replaced, or removed; not signed anew."""
    start, _, query = url.partition("?")
    pieces = [piece for piece in query.split("&") if piece.partition("=")[0] != name]
    assert len(pieces) == query.count("&"), name
    if value is not None:
        pieces.append(f"{name}={value}")
    return f"{start}?{'&'.join(pieces)}"


def resigned(name: str, value: str, *, key: Key = KEY) -> str:
    """A URL whose parameter has this value under a valid signature."""

    class Odd(S3SigV4QueryAuth):
        def _modify_request_before_signing(self, request: Any) -> None:
            super()._modify_request_before_signing(request)  # type: ignore[misc]
            request.url = replaced(request.url, name, quote(value, safe=""))

    request = AWSRequest("GET", URL)
    Odd(botocore_credentials(key), "s3", "us-east-1", expires=300).add_auth(request)
    assert isinstance(request.url, str)
    return request.url


# -- what must verify


def test_the_documented_example_verifies() -> None:
    identity = identify(make_request("GET", EXAMPLE_URL, {}), EXAMPLE_RING, now=EXAMPLE_TIME)
    assert identity.kind == "query"
    assert identity.caller.access_key == EXAMPLE_KEY.access_key
    assert identity.payload == "UNSIGNED-PAYLOAD"
    assert identity.chunk_signer is None


def test_we_make_the_documented_example() -> None:
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        EXAMPLE_KEY,
        expires=86400,
        now=EXAMPLE_TIME,
    )
    assert url == EXAMPLE_URL


@given(TEXT, st.dictionaries(TEXT, TEXT), st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]))
def test_whatever_botocore_presigns_verifies(key: str, query: dict[str, str], method: str) -> None:
    query = {name: value for name, value in query.items() if not name.startswith("X-Amz-")}
    raw = "&".join(f"{quote(name, '')}={quote(value, '')}" for name, value in query.items())
    url = botocore_url(method, f"http://s3.example.com/bucket/{aws_quote(key)}?{raw}")
    assert ask(method, url, {}).caller.account is ALICE


@given(TEXT, TEXT)
def test_whatever_we_presign_verifies(key: str, value: str) -> None:
    url = f"https://s3.example.com/b/{quote(key, safe='')}?response-content-type={quote(value)}"
    assert ask("GET", presign("GET", url, KEY), {}).caller.account is ALICE


def test_parameters_in_another_order_verify() -> None:
    start, _, query = botocore_url().partition("?")
    url = f"{start}?{'&'.join(reversed(query.split('&')))}"
    assert ask("GET", url, {}).kind == "query"


def test_signed_headers_must_be_sent_as_they_were_signed() -> None:
    """A040, CS-11."""
    headers = {"Content-Type": "image/jpeg", "x-amz-acl": "public-read"}
    for url in (
        botocore_url("PUT", headers=headers),
        presign("PUT", URL, KEY, headers=headers),
    ):
        assert ask("PUT", url, headers).kind == "query"
        for wrong in (
            {},
            {"x-amz-acl": "public-read"},
            {**headers, "Content-Type": "text/html"},
            {**headers, "x-amz-acl": "private"},
        ):
            with pytest.raises(SignatureDoesNotMatch):
                ask("PUT", url, wrong)


def test_a_hash_in_the_query_holds_for_the_body_whichever_payload_was_signed() -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    url = presign("PUT", f"{URL}?X-Amz-Content-Sha256={digest}", KEY)
    assert ask("PUT", url, {}).payload == digest
    url = presign("PUT", f"{URL}?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", KEY)
    assert ask("PUT", url, {}).payload == "UNSIGNED-PAYLOAD"
    with pytest.raises(InvalidArgument):
        ask("PUT", presign("PUT", f"{URL}?X-Amz-Content-Sha256=x", KEY), {})


def test_a_hash_in_the_query_may_be_signed_as_the_payload() -> None:
    digest = hashlib.sha256(b"data").hexdigest()

    class Hashing(S3SigV4QueryAuth):
        def payload(self, request: Any) -> str:
            return digest

    request = AWSRequest("PUT", f"{URL}?X-Amz-Content-Sha256={digest}")
    Hashing(botocore_credentials(KEY), "s3", "us-east-1", expires=300).add_auth(request)
    assert isinstance(request.url, str)
    assert ask("PUT", request.url, {}).payload == digest
    with pytest.raises(SignatureDoesNotMatch):
        ask("PUT", request.url.replace(digest, "UNSIGNED-PAYLOAD"), {})


@pytest.mark.parametrize("query", ["acl", "prefix=a/b", "prefix=a+b"])
def test_a_query_signed_as_it_was_sent_verifies(query: str, monkeypatch: Any) -> None:
    def as_sent(raw: str, *, presigned: bool = False) -> str:
        return "&".join(sorted(raw.split("&")))

    monkeypatch.setattr("s3kit.auth.presigned.canonical_query", as_sent)
    url = presign("GET", f"http://s3.example.com/bucket?{query}", KEY)
    monkeypatch.undo()
    assert query in url
    assert ask("GET", url, {}).kind == "query"


def test_a_signed_hash_header_holds_for_the_body() -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    headers = {"x-amz-content-sha256": digest}
    identity = ask("PUT", presign("PUT", URL, KEY, headers=headers), headers)
    assert identity.payload == digest


# -- time


def test_a_url_lives_as_long_as_it_says() -> None:
    """A031, CS-11, IU-18."""
    url = presign("GET", URL, KEY, expires=600, now=EXAMPLE_TIME)
    for seconds in (-900, 0, 600):
        assert ask("GET", url, {}, now=EXAMPLE_TIME + seconds).kind == "query"
    with pytest.raises(AccessDenied, match="Request has expired") as caught:
        ask("GET", url, {}, now=EXAMPLE_TIME + 601)
    assert caught.value.details == {
        "x_amz_expires": 600,
        "expires": "2013-05-24T00:10:00Z",
        "server_time": "2013-05-24T00:10:01Z",
    }


def test_a_week_is_the_longest_life() -> None:
    """A032, A033."""
    week = 7 * 24 * 3600
    url = presign("GET", URL, KEY, expires=week, now=EXAMPLE_TIME)
    assert ask("GET", url, {}, now=EXAMPLE_TIME + week).kind == "query"
    with pytest.raises(AccessDenied):
        ask("GET", url, {}, now=EXAMPLE_TIME + week + 1)
    with pytest.raises(AuthorizationQueryParametersError, match="less than a week"):
        ask("GET", resigned("X-Amz-Expires", str(week + 1)), {})
    with pytest.raises(ValueError, match="lives from 1 to"):
        presign("GET", URL, KEY, expires=week + 1)


@pytest.mark.parametrize(
    "value", ["", "abc", "-1", "-", "+5", "1.5", "1e3", "0x10", " 5", "٣٠٠", "9" * 5000, "--5"]
)
def test_a_life_that_is_no_small_number_is_refused(value: str) -> None:
    """A034."""
    with pytest.raises(AuthorizationQueryParametersError):
        ask("GET", resigned("X-Amz-Expires", value), {})


def test_a_life_of_zero_is_over_at_once() -> None:
    for ahead in (0, -60, 60):
        with pytest.raises(AccessDenied, match="expired"):
            ask("GET", resigned("X-Amz-Expires", "0"), {}, now=time.time() + ahead)


def test_a_url_from_the_future_is_not_valid_yet() -> None:
    """A035."""
    url = presign("GET", URL, KEY, now=EXAMPLE_TIME)
    with pytest.raises(AccessDenied, match="not valid yet"):
        ask("GET", url, {}, now=EXAMPLE_TIME - 901)


# -- form


@pytest.mark.parametrize("name", presigned._REQUIRED)
def test_a_missing_parameter_is_named_with_its_fellows(name: str) -> None:
    """A036."""
    with pytest.raises(AuthorizationQueryParametersError, match=MISSING):
        ask("GET", replaced(botocore_url(), name, None), {})
    with pytest.raises(AuthorizationQueryParametersError, match=MISSING):
        ask("GET", replaced(botocore_url(), name, ""), {})


@pytest.mark.parametrize("name", sorted(presigned._ONCE))
def test_a_doubled_parameter_is_refused(name: str) -> None:
    url = botocore_url(key=SESSION_KEY) + "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    url += "&X-Amz-S3session-Token=1"
    with pytest.raises(AuthorizationQueryParametersError, match=MISSING):
        ask("GET", f"{url}&{name}=1", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA512"),
        ("X-Amz-Credential", "AKIAALICE"),
        ("X-Amz-Credential", "AKIAALICE/20130524/us-east-1/iam/aws4_request"),
        ("X-Amz-Credential", "AKIAALICE/20130524/us-east-1/s3/aws4_request"),
        ("X-Amz-Date", "yesterday"),
        ("X-Amz-Date", "2013-05-24T00:00:00Z"),
        ("X-Amz-SignedHeaders", ";"),
        ("X-Amz-SignedHeaders", "host\nx"),
    ],
)
def test_a_malformed_parameter_is_refused(name: str, value: str) -> None:
    with pytest.raises(AuthorizationQueryParametersError):
        ask("GET", resigned(name, value), {})


def test_the_asymmetric_algorithm_is_not_implemented() -> None:
    with pytest.raises(NotImplemented):
        ask("GET", resigned("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), {})


def test_a_pinned_region_holds_for_urls_too() -> None:
    url = botocore_url(region="eu-west-1")
    assert ask("GET", url, {}, region="eu-west-1").kind == "query"
    with pytest.raises(AuthorizationQueryParametersError, match="expecting 'us-east-1'") as caught:
        ask("GET", url, {}, region="us-east-1")
    assert caught.value.details == {"region": "us-east-1"}


# -- attacks


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("GET", ("cat.jpg", "dog.jpg")),
        ("PUT", ("", "")),
        ("HEAD", ("", "")),
        ("GET", ("s3.example.com", "s4.example.com")),
        ("GET", ("Expires=300", "Expires=604800")),
        ("GET", ("us-east-1", "us-east-2")),
        ("GET", ("?", "?versionId=1&")),
        ("GET", ("?", "?acl&")),
    ],
)
def test_a_change_after_signing_is_refused(method: str, change: tuple[str, str]) -> None:
    """A037."""
    with pytest.raises(SignatureDoesNotMatch):
        ask(method, botocore_url().replace(*change, 1), {})


def test_a_removed_parameter_is_missed() -> None:
    """A037."""
    url = botocore_url(url=f"{URL}?response-content-type=text%2Fplain")
    assert ask("GET", url, {}).kind == "query"
    with pytest.raises(SignatureDoesNotMatch):
        ask("GET", replaced(url, "response-content-type", None), {})


@pytest.mark.parametrize(
    "added",
    [
        {"x-amz-copy-source": "/other/secret"},
        {"x-amz-acl": "public-read"},
        {"x-amz-meta-a": "b", "x-amz-tagging": "c=d"},
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    ],
)
def test_an_unsigned_amz_header_is_refused_by_its_name(added: dict[str, str]) -> None:
    """A038, A039."""
    with pytest.raises(AccessDenied, match="were not signed") as caught:
        ask("PUT", botocore_url("PUT"), added)
    assert caught.value.details == {"headers_not_signed": ", ".join(sorted(added))}


def test_the_host_must_be_signed() -> None:
    with pytest.raises(AccessDenied) as caught:
        ask("GET", resigned("X-Amz-SignedHeaders", "range"), {})
    assert caught.value.details == {"headers_not_signed": "host"}


def test_a_wrong_secret_and_an_unknown_key_are_refused() -> None:
    """A041."""
    with pytest.raises(SignatureDoesNotMatch) as caught:
        ask("GET", botocore_url(key=Key(KEY.access_key, "wrong", ALICE)), {})
    assert str(caught.value.details["canonical_request"]).endswith("host\nUNSIGNED-PAYLOAD")
    with pytest.raises(InvalidAccessKeyId):
        ask("GET", botocore_url(key=Key("AKIANOBODY", "x", ALICE)), {})


def test_a_forged_url_gains_nothing_by_an_unsigned_trailer() -> None:
    """A053."""
    word = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    forged = Key(KEY.access_key, "forged", ALICE)
    with pytest.raises(SignatureDoesNotMatch):
        ask("PUT", presign("PUT", URL, forged, headers=word), word)
    with pytest.raises(AccessDenied):
        ask("PUT", presign("PUT", URL, KEY), word)
    assert ask("PUT", presign("PUT", URL, KEY, headers=word), word).payload == (
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    )


def test_a_credential_without_a_signature_is_not_anonymous() -> None:
    """A053: nor does it act as the key that it names."""
    for query in ("X-Amz-Credential=AKIAALICE", "X-Amz-Algorithm=x", "X-Amz-Signature=x"):
        with pytest.raises(AuthorizationQueryParametersError):
            ask("PUT", f"{URL}?{query}", {})


# -- session tokens


def test_a_session_token_is_in_the_query_and_must_be_the_keys_own() -> None:
    for url in (botocore_url(key=SESSION_KEY), presign("GET", URL, SESSION_KEY)):
        assert ask("GET", url, {}).caller.access_key == SESSION_KEY.access_key
        with pytest.raises(SignatureDoesNotMatch):
            ask("GET", replaced(url, "X-Amz-Security-Token", "other"), {})
    wrong = Key(SESSION_KEY.access_key, SESSION_KEY.secret_key, ALICE, session_token="wrong")
    with pytest.raises(InvalidToken):
        ask("GET", presign("GET", URL, wrong), {})
    bare = Key(SESSION_KEY.access_key, SESSION_KEY.secret_key, ALICE)
    with pytest.raises(InvalidAccessKeyId):
        ask("GET", presign("GET", URL, bare), {})
    odd = Key(KEY.access_key, KEY.secret_key, ALICE, session_token="token")
    with pytest.raises(InvalidToken):
        ask("GET", presign("GET", URL, odd), {})


# -- anything at all


@given(st.sampled_from(sorted(presigned._ONCE)), ANYTHING)
def test_nothing_in_a_parameter_makes_it_fail_otherwise_than_by_an_s3_error(
    name: str, value: str
) -> None:
    pieces = [f"{name}={value}", f"{name}={aws_quote(value, False)}"]
    start, _, query = EXAMPLE_URL.partition("?")
    kept = [piece for piece in query.split("&") if not piece.startswith(f"{name}=")]
    for piece in pieces:
        request = make_request("GET", start, {})
        request.query = type(request.query)("&".join([*kept, piece]))
        with pytest.raises(S3Error) as caught:
            identify(request, EXAMPLE_RING, now=EXAMPLE_TIME)
        assert 400 <= caught.value.status < 500


def test_a_url_has_only_the_parameters_it_should() -> None:
    names = [
        piece.partition("=")[0] for piece in urlsplit(presign("GET", URL, KEY)).query.split("&")
    ]
    assert sorted(names) == sorted(presigned._REQUIRED)
