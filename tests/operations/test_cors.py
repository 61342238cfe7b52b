"""A bucket's CORS rules, preflights, and what a browser is told with every answer."""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.app import S3App
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed
from tests.operations.test_posting import multipart

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PAGE = "https://www.example.com"
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
RULES: list[dict[str, Any]] = [
    {
        "ID": "pages",
        "AllowedHeaders": ["content-*", "x-amz-meta-a", "X-Amz-Date"],
        "AllowedMethods": ["PUT", "GET", "POST"],
        "AllowedOrigins": ["https://*.example.com", "null"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedMethods": ["GET", "HEAD", "DELETE"], "AllowedOrigins": ["*"]},
]


def rule(**elements: str | list[str]) -> str:
    """A rule of these elements; a valid one lets any page GET."""
    members = {"AllowedOrigin": "*", "AllowedMethod": "GET", **elements}
    lines = [
        f"<{name}>{text}</{name}>"
        for name, texts in members.items()
        for text in ([texts] if isinstance(texts, str) else texts)
    ]
    return f"<CORSRule>{''.join(lines)}</CORSRule>"


def document(*rules: str) -> bytes:
    return f"<CORSConfiguration {XMLNS}>{''.join(rules)}</CORSConfiguration>".encode()


def put(client: Client, bucket: str, body: bytes) -> Answer:
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    return client.put(bucket, body, "cors", content_md5=digest)


@functools.lru_cache(maxsize=8)
def boto_of(app: S3App, mount: str) -> Any:
    return boto_client(app, OWNER, mount=mount)


def allow(client: Client, bucket: str, rules: list[dict[str, Any]] | None = None) -> None:
    boto = boto_of(client.app, client.mount)
    configuration = {"CORSRules": RULES if rules is None else rules}
    boto.put_bucket_cors(Bucket=bucket[1:], CORSConfiguration=configuration)


def preflight(
    client: Client,
    path: str,
    origin: str | None = PAGE,
    method: str | None = "PUT",
    headers: str | None = None,
    host: str = HOST,
) -> Answer:
    sent = {
        "Host": host,
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    there = {name: value for name, value in sent.items() if value is not None}
    return client.send("OPTIONS", client.mount + path, there)


def told(answer: Answer) -> dict[str, str]:
    """What an answer says of CORS, ``access-control-`` left out."""
    prefix = "access-control-"
    return {
        name.removeprefix(prefix): value
        for name, value in answer.headers.items()
        if name.startswith(prefix) or name == "vary"
    }


TOLD = {
    "allow-origin": PAGE,
    "allow-methods": "PUT, GET, POST",
    "expose-headers": "ETag, x-amz-request-id",
    "max-age": "3000",
    "allow-credentials": "true",
    "vary": VARY,
}
TOLD_ANYONE = {"allow-origin": "*", "allow-methods": "GET, HEAD, DELETE", "vary": VARY}


# The document


def test_the_rules_are_kept_as_they_were_put(s3: Client, bucket: str) -> None:
    """FB-17, through botocore both ways."""
    boto = boto_of(s3.app, s3.mount)
    with pytest.raises(ClientError) as refused:
        boto.get_bucket_cors(Bucket=bucket[1:])
    assert refused.value.response["Error"]["Code"] == "NoSuchCORSConfiguration"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    allow(s3, bucket)
    assert boto.get_bucket_cors(Bucket=bucket[1:])["CORSRules"] == RULES
    assert parsed("GetBucketCors", s3.get(bucket, "cors"))["CORSRules"] == RULES
    allow(s3, bucket, RULES[1:])
    assert boto.get_bucket_cors(Bucket=bucket[1:])["CORSRules"] == RULES[1:]
    assert s3.delete(bucket, "cors").status == 204
    answer = s3.get(bucket, "cors")
    assert (answer.status, answer.code) == (404, "NoSuchCORSConfiguration")
    assert answer.text("BucketName") == bucket[1:]
    assert s3.delete(bucket, "cors").status == 204


def test_the_putting_answers_200_without_a_body(s3: Client, bucket: str) -> None:
    answer = put(s3, bucket, document(rule()))
    assert (answer.status, answer.body) == (200, b"")


MESSAGES = {
    "no-rules": (document(), "MalformedXML"),
    "no-document": (b"", "MalformedXML"),
    "broken": (b"<CORSConfiguration><CORSRule>", "MalformedXML"),
    "another": (b"<Tagging/>", "MalformedXML"),
    "dtd": (b"<!DOCTYPE x><CORSConfiguration/>", "MalformedXML"),
    "no-origin": (document(rule(AllowedOrigin=[])), "MalformedXML"),
    "no-method": (document(rule(AllowedMethod=[])), "MalformedXML"),
    "empty-origin": (document(rule(AllowedOrigin="")), "MalformedXML"),
    "age-is-a-word": (document(rule(MaxAgeSeconds="long")), "MalformedXML"),
    "age-below-zero": (document(rule(MaxAgeSeconds="-1")), "MalformedXML"),
    "age-beyond-32-bits": (document(rule(MaxAgeSeconds="2147483648")), "MalformedXML"),
    "two-ages": (document(rule(MaxAgeSeconds=["1", "2"])), "MalformedXML"),
    "empty-expose": (document(rule(ExposeHeader="")), "MalformedXML"),
    "101-rules": (
        document(*[rule()] * 101),
        "The number of CORS rules should not exceed allowed limit of 100 rules.",
    ),
    "method": (
        document(rule(AllowedMethod=["GET", "PATCH"])),
        "Found unsupported HTTP method in CORS config. Unsupported method is PATCH",
    ),
    "options": (
        document(rule(AllowedMethod="OPTIONS")),
        "Found unsupported HTTP method in CORS config. Unsupported method is OPTIONS",
    ),
    "small-letters": (
        document(rule(AllowedMethod="get")),
        "Found unsupported HTTP method in CORS config. Unsupported method is get",
    ),
    "origin": (
        document(rule(AllowedOrigin=["https://a", "http*://*.b"])),
        'AllowedOrigin "http*://*.b" can not have more than one wildcard.',
    ),
    "header": (
        document(rule(AllowedHeader="x-*-*")),
        'AllowedHeader "x-*-*" can not have more than one wildcard.',
    ),
    "expose": (
        document(rule(ExposeHeader=["ETag", "x-amz-*"])),
        'ExposeHeader "x-amz-*" contains wildcard. We currently do not support wildcard for '
        "ExposeHeader.",
    ),
    "id": (document(rule(ID="i" * 256)), "ID length should not exceed allowed limit of 255"),
    "too-long": (document(rule(AllowedHeader=["h" * 64] * 1000)), "MaxMessageLengthExceeded"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_document_that_is_none_changes_nothing(s3: Client, bucket: str, name: str) -> None:
    body, expected = MESSAGES[name]
    put(s3, bucket, document(rule(ID="before")))
    answer = put(s3, bucket, body)
    assert answer.status == 400
    if " " in expected:
        code = "InvalidArgument" if name == "id" else "InvalidRequest"
        assert (answer.code, answer.text("Message")) == (code, expected)
    else:
        assert answer.code == expected
    assert s3.get(bucket, "cors").texts("CORSRule/ID") == ["before"]


def test_what_is_just_within_the_limits_is_taken(s3: Client, bucket: str) -> None:
    longest = rule(ID="i" * 255, MaxAgeSeconds="2147483647", AllowedHeader=["*", "x-*"])
    rules = [longest, *[rule(MaxAgeSeconds="0")] * 99]
    assert put(s3, bucket, document(*rules)).status == 200
    assert len(s3.get(bucket, "cors").texts("CORSRule/AllowedMethod")) == 100
    body = document(rule())
    assert put(s3, bucket, body + b"\n" * (65536 - len(body))).status == 200


def test_a_document_without_a_checksum_is_refused(s3: Client, bucket: str) -> None:
    answer = s3.put(bucket, document(rule()), "cors")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(bucket, "cors").code == "NoSuchCORSConfiguration"


def test_only_the_owner_may_see_or_change_the_rules(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, query="acl", x_amz_acl="public-read-write")
    put(s3, bucket, document(rule(ID="mine")))
    for client in (other, anonymous):
        assert client.get(bucket, "cors").code == "AccessDenied"
        assert put(client, bucket, document(rule())).code == "AccessDenied"
        assert client.delete(bucket, "cors").code == "AccessDenied"
    assert s3.get(bucket, "cors").texts("CORSRule/ID") == ["mine"]


def test_the_rules_go_with_their_bucket(s3: Client, bucket: str) -> None:
    allow(s3, bucket)
    assert preflight(s3, bucket).status == 200
    s3.delete(bucket)
    assert s3.get(bucket, "cors").code == "NoSuchBucket"
    assert "Bucket not found" in (preflight(s3, bucket).text("Message") or "")
    s3.put(bucket)
    assert s3.get(bucket, "cors").code == "NoSuchCORSConfiguration"
    assert preflight(s3, bucket).status == 403


# The preflight


def test_a_preflight_needs_no_signature_and_no_object(s3: Client, bucket: str) -> None:
    allow(s3, bucket)
    for path in (bucket, f"{bucket}/", f"{bucket}/none", f"{bucket}/a//b%2F?X-Amz-Signature=0"):
        answer = preflight(s3, path)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "0"
        assert told(answer) == TOLD
        assert answer.headers["x-amz-request-id"]


def test_a_preflight_is_told_the_headers_that_it_asked_for(s3: Client, bucket: str) -> None:
    allow(s3, bucket)
    answer = preflight(s3, bucket, headers="Content-Type,x-amz-meta-a, X-AMZ-DATE")
    assert told(answer) == {**TOLD, "allow-headers": "content-type, x-amz-meta-a, x-amz-date"}
    assert preflight(s3, bucket, headers="content-type,x-amz-meta-b").status == 403


def test_any_page_is_let_in_by_a_lone_star(s3: Client, bucket: str) -> None:
    """FB-18: no headers may be sent, none are shown, and no credentials are let in."""
    allow(s3, bucket)
    answer = preflight(s3, f"{bucket}/k", "https://elsewhere.test", "DELETE")
    assert (answer.status, told(answer)) == (200, TOLD_ANYONE)
    assert preflight(s3, f"{bucket}/k", "https://x.test", "DELETE", "x-a").status == 403


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://www.example.org", "PUT", None),
        ("http://www.example.com", "PUT", None),
        ("https://example.com", "PUT", None),
        ("https://www.example.com.evil.test", "PUT", None),
        ("HTTPS://WWW.EXAMPLE.COM", "PUT", None),
        (PAGE, "PUT", "authorization"),
        (PAGE, "DELETE", "content-type"),
        (PAGE, "PUT", ",".join(f"content-{number}" for number in range(101))),
    ],
)
def test_a_preflight_that_no_rule_lets_in_is_refused(
    s3: Client, bucket: str, origin: str, method: str, headers: str | None
) -> None:
    allow(s3, bucket)
    answer = preflight(s3, f"{bucket}/k", origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert (answer.text("Message") or "").startswith(
        "CORSResponse: This CORS request is not allowed. "
    )
    assert (answer.text("Method"), answer.text("ResourceType")) == (method, "OBJECT")
    assert told(answer) == {"vary": VARY}


def test_a_preflight_of_a_bucket_without_rules_is_refused(s3: Client, bucket: str) -> None:
    answer = preflight(s3, f"{bucket}/k")
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert answer.text("Message") == "CORSResponse: CORS is not enabled for this bucket."
    assert (answer.text("Method"), answer.text("ResourceType")) == ("PUT", "BUCKET")
    for path in (f"/{fresh_name()}/k", "/Not_a_bucket", "/"):
        answer = preflight(s3, path)
        assert (answer.status, answer.code) == (403, "AccessForbidden")
        assert answer.text("Message") == "CORSResponse: Bucket not found"


def test_what_is_no_preflight_is_a_bad_request(s3: Client, bucket: str) -> None:
    allow(s3, bucket)
    answer = preflight(s3, bucket, origin=None)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert answer.text("Message") == "Insufficient information. Origin request header needed."
    for method, named in ((None, "null"), ("", "null"), ("PATCH", "PATCH"), ("put", "put")):
        answer = preflight(s3, bucket, method=method)
        assert (answer.status, answer.code) == (400, "BadRequest")
        assert answer.text("Message") == f"Invalid Access-Control-Request-Method: {named}"
        assert "access-control-allow-origin" not in answer.headers


def test_the_first_rule_that_matches_counts(s3: Client, bucket: str) -> None:
    first = {"AllowedMethods": ["GET"], "AllowedOrigins": [PAGE], "MaxAgeSeconds": 0}
    second = {**first, "AllowedHeaders": ["*"], "MaxAgeSeconds": 2}
    allow(s3, bucket, [first, second])
    assert told(preflight(s3, bucket, method="GET"))["max-age"] == "0"
    assert told(preflight(s3, bucket, method="GET", headers="x-a"))["max-age"] == "2"


def test_a_wildcard_stands_for_nothing_too(s3: Client, bucket: str) -> None:
    origins = ["http://a*z", "http://ef*f"]
    allow(s3, bucket, [{"AllowedMethods": ["GET"], "AllowedOrigins": origins}])
    for origin, status in (
        ("http://az", 200),
        ("http://a.b.z", 200),
        ("http://a", 403),
        ("http://azy", 403),
        ("http://eff", 200),
        ("http://ef", 403),
    ):
        assert preflight(s3, bucket, origin, "GET").status == status


# Real answers


def test_an_answer_to_a_page_says_what_the_page_may_see(s3: Client, bucket: str) -> None:
    """FB-19."""
    allow(s3, bucket)
    path = f"{bucket}/k"
    assert told(s3.put(path, b"x" * 300_000, origin=PAGE)) == TOLD
    answer = s3.get(path, origin=PAGE)
    assert (len(answer.body), told(answer)) == (300_000, TOLD)
    assert told(s3.get(path, range="bytes=0-9", origin=PAGE)) == TOLD
    assert told(s3.get(path, if_none_match="*", origin=PAGE)) == TOLD
    assert told(s3.get(bucket, "list-type=2", origin=PAGE)) == TOLD
    assert told(s3.head(path, origin="https://x.test")) == TOLD_ANYONE
    # No rule that names this page allows it, but one allows everybody.
    assert told(s3.delete(path, origin=PAGE)) == TOLD_ANYONE


def test_an_error_says_it_too(s3: Client, anonymous: Client, bucket: str) -> None:
    allow(s3, bucket)
    path = f"{bucket}/none"
    answer = s3.get(path, origin=PAGE)
    assert (answer.code, told(answer)) == ("NoSuchKey", TOLD)
    answer = anonymous.get(path, origin=PAGE)
    assert (answer.code, told(answer)) == ("AccessDenied", TOLD)
    answer = s3.send("GET", s3.mount + path, {"Origin": PAGE, "Authorization": "AWS4 x"})
    assert (answer.status, told(answer)) == (400, TOLD)
    wrong = s3.signed_headers("GET", s3.mount + path, {"Origin": PAGE}, b"")
    last = "1" if wrong["Authorization"].endswith("0") else "0"
    wrong["Authorization"] = wrong["Authorization"][:-1] + last
    answer = s3.send("GET", s3.mount + path, wrong)
    assert (answer.code, told(answer)) == ("SignatureDoesNotMatch", TOLD)
    answer = s3.put(path, b"x", origin=PAGE, content_md5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert (answer.code, told(answer)) == ("BadDigest", TOLD)
    answer = s3.get(bucket, "metadataTable", origin=PAGE)
    assert (answer.code, told(answer)) == ("NotImplemented", TOLD)


def test_a_form_of_a_page_is_answered_likewise(s3: Client, anonymous: Client, bucket: str) -> None:
    allow(s3, bucket)
    s3.put(bucket, query="acl", x_amz_acl="public-read-write")
    for fields, status in (
        ({"key": "k"}, 204),
        ({"key": "k", "success_action_status": "201"}, 201),
        ({"key": "k", "success_action_redirect": "https://www.example.com/done"}, 303),
        ({"none": "k"}, 400),
    ):
        content_type, body = multipart(fields, b"x")
        answer = anonymous.post(bucket, body, content_type=content_type, origin=PAGE)
        assert (answer.status, told(answer)) == (status, TOLD), answer.body


def test_a_failure_of_ours_says_it_too(
    s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(s3, bucket)

    def fail(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(s3.app.store.objects), "put", fail)
    answer = s3.put(f"{bucket}/k", b"x", origin=PAGE)
    assert (answer.status, told(answer)) == (500, TOLD)


def test_a_request_that_no_rule_lets_in_is_done_but_the_page_is_told_nothing(
    s3: Client, bucket: str
) -> None:
    allow(s3, bucket)
    answer = s3.put(f"{bucket}/k", b"x", origin="https://x.test")
    assert (answer.status, told(answer)) == (200, {"vary": VARY})
    assert s3.get(f"{bucket}/k").body == b"x"


def test_a_request_of_no_page_is_told_nothing(s3: Client, bucket: str) -> None:
    allow(s3, bucket)
    assert told(s3.put(f"{bucket}/k", b"x")) == {}
    assert told(s3.get(f"{bucket}/k", origin="")) == {}


def test_a_request_that_names_a_method_is_judged_by_it(s3: Client, bucket: str) -> None:
    """As ceph/s3-tests has it of Amazon S3."""
    allow(s3, bucket)
    asked = {"origin": "https://x.test", "access_control_request_method": "GET"}
    assert told(s3.put(f"{bucket}/k", b"x", **asked)) == TOLD_ANYONE
    asked["access_control_request_method"] = "PUT"
    assert told(s3.get(f"{bucket}/k", **asked)) == {"vary": VARY}


def test_what_concerns_no_bucket_is_told_nothing(s3: Client) -> None:
    assert told(s3.get("/", origin=PAGE)) == {}
    assert told(s3.get(f"/{fresh_name()}/k", origin=PAGE)) == {}
    assert told(s3.get("//k", origin=PAGE)) == {}


def test_an_answer_stands_even_where_the_rules_cannot_be_read(
    s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("s3kit.app.rules_of", fail)
    answer = s3.put(f"{bucket}/k", b"x", origin=PAGE)
    assert (answer.status, told(answer)) == (200, {})
    assert "The CORS rules could not be read." in caplog.text


# Where, and since when


@pytest.fixture
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("memory", tmp_path_factory.mktemp("hosted"), base_hosts=("s3.test",))
    yield made
    made.close()


@pytest.mark.parametrize("mount", ["", "/files/s3"])
def test_a_bucket_may_be_named_by_the_host(hosted: S3App, mount: str) -> None:
    s3 = Client(hosted, OWNER, mount=mount)
    s3.put("/photos")
    allow(s3, "/photos")
    host = "photos.s3.test"
    for path in ("/", "/k", "/a/b"):
        answer = preflight(s3, path, host=host)
        assert (answer.status, told(answer)) == (200, TOLD)
    assert preflight(s3, "/photos", host="other.s3.test").status == 403
    assert told(s3.request("GET", "/k", headers={"Origin": PAGE}, host=host)) == TOLD


def test_rules_count_at_once_here_and_soon_in_other_processes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    began = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: began + passed)
    monkeypatch.setattr("s3kit.store.buckets.time", clock)
    folder = tmp_path_factory.mktemp("two")
    here, there = make_app("file", folder), make_app("file", folder)
    one, two = Client(here, OWNER), Client(there, OWNER)
    one.put("/photos")
    assert preflight(one, "/photos").status == preflight(two, "/photos").status == 403
    allow(one, "/photos")
    assert preflight(one, "/photos").status == 200
    passed += 1.05
    assert preflight(two, "/photos").status == 200
    one.delete("/photos", "cors")
    assert preflight(one, "/photos").status == 403
    passed += 1.05
    assert preflight(two, "/photos").status == 403
    here.close()
    there.close()


def test_only_a_page_costs_a_look_at_the_rules(
    s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is remembered is forgotten after a second.
    now = time.monotonic()
    monkeypatch.setattr("s3kit.store.buckets.time", SimpleNamespace(monotonic=lambda: now))
    looks = []
    buckets = type(s3.app.store.buckets)
    setting = buckets.setting

    def look(self: Any, *arguments: Any) -> bytes | None:
        looks.append(arguments)
        return setting(self, *arguments)

    allow(s3, bucket)
    monkeypatch.setattr(buckets, "setting", look)
    s3.put(f"{bucket}/k", b"x")
    s3.get(f"{bucket}/k")
    assert looks == []
    for _ in range(10):
        s3.get(f"{bucket}/k", origin=PAGE)
    assert len(looks) <= 2
