"""A001 to A030: signatures in the Authorization header."""

from __future__ import annotations

import re

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.model import Account
from s3kit.model import Key
from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_denied
from tests.attacks.effects import assert_holds
from tests.attacks.effects import assert_refused
from tests.attacks.handmade import Signature
from tests.attacks.handmade import amz_date
from tests.attacks.handmade import presign
from tests.attacks.handmade import sign
from tests.client import HOST
from tests.client import Client
from tests.client import Signer
from tests.endpoint import ACCOUNTS
from tests.endpoint import OTHER
from tests.endpoint import OWNER


def test_a001_an_anonymous_read_is_denied(anonymous: Client, s3: Client, secret: str) -> None:
    answer = anonymous.get(secret)
    assert_denied(answer)
    assert b"private" not in answer.body
    assert_holds(s3, secret, b"private")


def test_a002_an_anonymous_write_is_denied_and_stores_nothing(
    anonymous: Client, s3: Client, bucket: str
) -> None:
    assert_denied(anonymous.put(f"{bucket}/k", b"x"))
    assert_absent(s3, f"{bucket}/k")
    assert s3.put(f"{bucket}/k", b"x").status == 200


def test_a003_an_anonymous_caller_sees_no_buckets(
    anonymous: Client, s3: Client, bucket: str
) -> None:
    answer = anonymous.get("/")
    assert_denied(answer)
    assert bucket[1:].encode() not in answer.body
    assert bucket[1:] in s3.get("/").texts("Buckets/Bucket/Name")


@pytest.mark.parametrize(
    ("signer", "code"),
    [
        pytest.param(Signer(OWNER.access_key, "wrong"), "SignatureDoesNotMatch", id="a004-secret"),
        pytest.param(Signer("AKNOBODY", "any"), "InvalidAccessKeyId", id="a005-unknown"),
        pytest.param(Signer(OWNER.access_key, ""), "SignatureDoesNotMatch", id="a006-empty"),
        pytest.param(Signer("", ""), "AuthorizationHeaderMalformed", id="a006-empty-key"),
    ],
)
def test_a004_a005_a006_a_key_that_is_not_the_owners_opens_nothing(
    s3: Client, bucket: str, signer: Signer, code: str
) -> None:
    path = f"{bucket}/k"
    how = Signature(signer=signer)
    assert_refused(s3.send("PUT", path, sign("PUT", path, body=b"x", how=how), b"x"), code)
    assert_absent(s3, path)
    assert s3.send("PUT", path, sign("PUT", path, body=b"x"), b"x").status == 200


def test_a006_a_key_with_an_empty_secret_is_no_key() -> None:
    class Ring:
        def lookup(self, access_key: str) -> Key | None:
            return Key(access_key, "", Account("nobody"))

        def account(self, account_id: str) -> Account | None:
            return None

    app = S3App(key_ring=Ring())
    try:
        how = Signature(signer=Signer("AKANY", ""))
        answer = Client(app, None).send("PUT", "/bucket", sign("PUT", "/bucket", how=how))
        assert_refused(answer, "InvalidAccessKeyId")
    finally:
        app.close()


@pytest.mark.parametrize("position", [0, 31, 63])
def test_a007_one_wrong_digit_of_the_signature_is_enough(
    s3: Client, secret: str, position: int
) -> None:
    headers = sign("GET", secret)
    head, _, signature = headers["Authorization"].rpartition("=")
    flipped = "0" if signature[position] != "0" else "1"
    headers["Authorization"] = f"{head}={signature[:position]}{flipped}{signature[position + 1 :]}"
    answer = s3.send("GET", secret, headers)
    assert_refused(answer, "SignatureDoesNotMatch")
    # AWS shows what was compared, never what would have matched.
    assert answer.text("StringToSign")
    assert answer.text("CanonicalRequest")
    assert signature.encode() not in answer.body
    assert OWNER.secret_key.encode() not in answer.body


@pytest.mark.parametrize("signature", ["", "a", "a" * 63, "a" * 65, "\xe9" * 64, "%00" * 20])
def test_a007_a_signature_of_another_shape_is_refused(
    s3: Client, secret: str, signature: str
) -> None:
    headers = sign("GET", secret)
    head, _, _ = headers["Authorization"].rpartition("=")
    headers["Authorization"] = f"{head}={signature}"
    answer = s3.send("GET", secret, headers)
    assert_refused(answer, "SignatureDoesNotMatch", "AuthorizationHeaderMalformed")


def test_a008_a_signature_for_one_key_does_not_serve_another(
    s3: Client, bucket: str, secret: str
) -> None:
    headers = sign("PUT", f"{bucket}/mine", body=b"x")
    for target in (secret, f"{bucket}/mine2", f"{bucket}/%6Dine/", f"{bucket}//mine", bucket):
        assert_refused(s3.send("PUT", target, headers, b"x"), "SignatureDoesNotMatch")
    assert_holds(s3, secret, b"private")
    assert s3.send("PUT", f"{bucket}/mine", headers, b"x").status == 200


@pytest.mark.parametrize("method", ["DELETE", "PUT", "POST", "HEAD"])
def test_a009_a_signature_for_get_does_not_serve_another_method(
    s3: Client, secret: str, method: str
) -> None:
    target = secret if method != "POST" else f"{secret}?uploads"
    headers = sign("GET", target)
    answer = s3.send(method, target, headers)
    assert answer.status == 403
    assert_holds(s3, secret, b"private")


def test_a010_a_query_that_was_not_signed_is_refused(s3: Client, secret: str) -> None:
    headers = sign("DELETE", f"{secret}?tagging")
    for target in (secret, f"{secret}?versionId=null", f"{secret}?tagging&versionId=null"):
        answer = s3.send("DELETE", target, headers)
        assert_refused(answer, "SignatureDoesNotMatch", "InvalidArgument")
    assert_holds(s3, secret, b"private")
    assert s3.send("DELETE", f"{secret}?tagging", headers).status == 204


def test_a011_a_body_that_was_not_signed_is_not_stored(s3: Client, secret: str) -> None:
    headers = sign("PUT", secret, body=b"xxxxxxx")
    assert_refused(s3.send("PUT", secret, headers, b"yyyyyyy"), "XAmzContentSHA256Mismatch")
    assert_holds(s3, secret, b"private")
    big = b"x" * 100_000
    headers = sign("PUT", secret, body=big)
    answer = s3.send("PUT", secret, headers, b"y" + big[1:])
    assert_refused(answer, "XAmzContentSHA256Mismatch")
    assert_holds(s3, secret, b"private")
    assert s3.send("PUT", secret, headers, big).status == 200


TAGGING = b"<Tagging><TagSet><Tag><Key>a</Key><Value>%s</Value></Tag></TagSet></Tagging>"


@pytest.mark.parametrize("level", ["bucket", "object"])
def test_a012_a_document_that_was_not_signed_changes_nothing(
    s3: Client, bucket: str, secret: str, level: str
) -> None:
    target = f"{bucket if level == 'bucket' else secret}?tagging"
    headers = sign("PUT", target, body=TAGGING % b"1")
    answer = s3.send("PUT", target, headers, TAGGING % b"2")
    assert_refused(answer, "XAmzContentSHA256Mismatch")
    assert s3.get(*target.split("?")).status == (404 if level == "bucket" else 200)
    assert b"<Value>" not in s3.get(*target.split("?")).body
    assert s3.send("PUT", target, headers, TAGGING % b"1").status in (200, 204)
    assert b"<Value>1</Value>" in s3.get(*target.split("?")).body


def test_a012_the_other_documents_are_checked_too(s3: Client, bucket: str, secret: str) -> None:
    delete = b"<Delete><Object><Key>other</Key></Object></Delete>"
    evil = b"<Delete><Object><Key>secret</Key></Object></Delete>"
    checksum = {"x-amz-checksum-crc32": "AAAAAA=="}
    for target, honest, sent in (
        (f"{bucket}?delete", delete, evil),
        (f"{bucket}-new", b"", b"<CreateBucketConfiguration/>"),
    ):
        method = "POST" if "delete" in target else "PUT"
        headers = sign(method, target, checksum if method == "POST" else {}, honest)
        answer = s3.send(method, target, headers, sent)
        assert_refused(answer, "XAmzContentSHA256Mismatch", "BadDigest")
    assert_holds(s3, secret, b"private")
    assert s3.head(f"{bucket}-new").status == 404


@pytest.mark.parametrize(
    "word", ["unsigned-payload", "STREAMING", "STREAMING-AWS4-HMAC-SHA256", "g" * 64, "a" * 63, "*"]
)
def test_a013_an_unknown_payload_word_is_refused(s3: Client, bucket: str, word: str) -> None:
    path = f"{bucket}/k"
    headers = sign("PUT", path, payload=word)
    assert_refused(s3.send("PUT", path, headers, b"x"), "InvalidArgument")
    assert_absent(s3, path)
    headers = sign("PUT", path, payload="UNSIGNED-PAYLOAD")
    assert s3.send("PUT", path, headers, b"x").status == 200


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"x-amz-copy-source": "SECRET"}, id="a014"),
        pytest.param({"x-amz-acl": "public-read"}, id="a015"),
        pytest.param({"x-amz-meta-role": "admin"}, id="a016"),
        pytest.param({"x-amz-tagging": "a=b"}, id="a016-tagging"),
        pytest.param({"x-amz-security-token": "any"}, id="a016-token"),
    ],
)
def test_a014_a015_a016_an_amz_header_outside_the_signature_is_denied(
    s3: Client, bucket: str, secret: str, extra: dict[str, str]
) -> None:
    path = f"{bucket}/k"
    extra = {name: secret if value == "SECRET" else value for name, value in extra.items()}
    headers = {**sign("PUT", path), **extra}
    answer = s3.send("PUT", path, headers)
    assert_denied(answer)
    assert answer.text("HeadersNotSigned") == next(iter(extra))
    assert_absent(s3, path)
    if "x-amz-security-token" not in extra:
        assert s3.send("PUT", path, sign("PUT", path, extra)).status == 200


def test_a017_a_request_whose_host_is_not_signed_is_denied(s3: Client, secret: str) -> None:
    how = Signature(signed=["x-amz-content-sha256", "x-amz-date"])
    answer = s3.send("GET", secret, sign("GET", secret, how=how))
    assert_denied(answer)
    assert answer.text("HeadersNotSigned") == "host"


def test_a018_a_signature_for_one_host_does_not_serve_another(s3: Client, secret: str) -> None:
    headers = sign("GET", secret)
    for host in ("evil.test", f"evil.{HOST}", f"{HOST}:8080", f"{HOST}.evil.test", ""):
        answer = s3.send("GET", secret, {**headers, "Host": host})
        assert_refused(answer, "SignatureDoesNotMatch")
    # The scheme's own port is no other host: clients and proxies add and drop it.
    assert s3.send("GET", secret, {**headers, "Host": f"{HOST}:80"}).status == 200


@pytest.mark.parametrize(
    "listed", ["", ";", "host;;x-amz-date", "host;host", ";host", "host;x\ny", "host; x-amz-date"]
)
def test_a019_a_malformed_list_of_signed_headers_is_refused(
    s3: Client, secret: str, listed: str
) -> None:
    headers = sign("GET", secret)
    headers["Authorization"] = re.sub(
        "SignedHeaders=[^,]*", f"SignedHeaders={listed}", headers["Authorization"]
    )
    answer = s3.send("GET", secret, headers)
    assert_refused(answer, "AuthorizationHeaderMalformed", "AccessDenied", "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("offset", "fine"),
    [(-16 * 60, False), (16 * 60, False), (-86_400, False), (-14 * 60, True), (14 * 60, True)],
)
def test_a020_a021_a_clock_may_be_wrong_by_15_minutes(
    s3: Client, secret: str, offset: int, fine: bool
) -> None:
    how = Signature(date=amz_date(offset))
    answer = s3.send("GET", secret, sign("GET", secret, how=how))
    if fine:
        assert answer.body == b"private"
    else:
        assert_refused(answer, "RequestTimeTooSkewed")
        assert answer.text("ServerTime")


def test_a022_the_scopes_date_must_be_the_requests(s3: Client, secret: str) -> None:
    for day in ("20200101", "00000000", "", "2020010"):
        how = Signature(scope_date=day)
        answer = s3.send("GET", secret, sign("GET", secret, how=how))
        assert_refused(answer, "AuthorizationHeaderMalformed")


def test_a023_a_pinned_region_refuses_every_other_and_a_free_one_none(
    s3: Client, secret: str
) -> None:
    how = Signature(region="eu-central-1")
    assert s3.send("GET", secret, sign("GET", secret, how=how)).body == b"private"
    app = S3App(Config(accounts=ACCOUNTS, region="eu-central-1", pin_region=True))
    try:
        client = Client(app, None)
        assert client.send("PUT", "/pinned", sign("PUT", "/pinned", how=how)).status == 200
        answer = client.send("GET", "/pinned", sign("GET", "/pinned"))
        assert_refused(answer, "AuthorizationHeaderMalformed")
        assert answer.text("Region") == "eu-central-1"
        answer = client.send("GET", presign("GET", "/pinned"), {"Host": HOST})
        assert_refused(answer, "AuthorizationQueryParametersError")
        assert client.send("GET", presign("GET", "/pinned", how=how), {"Host": HOST}).status == 200
    finally:
        app.close()


@pytest.mark.parametrize(
    "how", [Signature(service="sts"), Signature(service=""), Signature(terminator="aws5_request")]
)
def test_a024_a_signature_for_another_service_is_refused(
    s3: Client, secret: str, how: Signature
) -> None:
    answer = s3.send("GET", secret, sign("GET", secret, how=how))
    assert_refused(answer, "AuthorizationHeaderMalformed")


GARBAGE = [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 ",
    "AWS4-HMAC-SHA256 Credential",
    "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
    "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=x",
    "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f/g, SignedHeaders=host, Signature=x",
    "AWS4-HMAC-SHA256 Credential=a/20200101/r/s3/aws4_request Signature=x",
    "AWS4-HMAC-SHA256 Signature=x, Signature=x, Signature=x",
    "AWS4-HMAC-SHA256 " + "Credential=" * 5000,
    "AWS4-HMAC-SHA256 \xff\xfe=\x80",
    "aws4-hmac-sha256 Credential=a",
    "\x00",
    "=,=,=",
]


@pytest.mark.parametrize("value", GARBAGE)
def test_a025_a_garbled_authorization_is_refused_by_its_own_code(
    s3: Client, secret: str, value: str
) -> None:
    answer = s3.send("GET", secret, {**sign("GET", secret), "Authorization": value})
    assert_refused(answer, "AuthorizationHeaderMalformed", "InvalidArgument")
    assert b"private" not in answer.body


@pytest.mark.parametrize("value", ["AWS AKOWNER:c2ln", "AWS ", "AWS :", "AWS AKOWNER", "AWS a:b:c"])
def test_a026_signature_version_2_is_refused_clearly(s3: Client, secret: str, value: str) -> None:
    answer = s3.send("GET", secret, {"Host": HOST, "Authorization": value})
    assert_refused(answer, "InvalidRequest", "AuthorizationHeaderMalformed")
    query = "AWSAccessKeyId=AKOWNER&Expires=9999999999&Signature=c2ln"
    answer = s3.send("GET", f"{secret}?{query}", {"Host": HOST})
    assert_refused(answer, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in (answer.text("Message") or "")


@pytest.mark.parametrize("joined", ["{0},evil", "evil,{0}", "{0}, {0}"])
def test_a027_a_doubled_signed_header_breaks_the_signature(
    s3: Client, bucket: str, joined: str
) -> None:
    # WSGI servers join repeated headers with a comma.
    path = f"{bucket}/k"
    headers = sign("PUT", path, {"x-amz-meta-a": "good"})
    assert s3.send("PUT", path, headers).status == 200
    s3.delete(path)
    headers["x-amz-meta-a"] = joined.format("good")
    assert_refused(s3.send("PUT", path, headers), "SignatureDoesNotMatch")
    headers = sign("PUT", path)
    headers["x-amz-date"] = joined.format(headers["x-amz-date"])
    assert_refused(s3.send("PUT", path, headers), "SignatureDoesNotMatch", "AccessDenied")
    assert_absent(s3, path)


def test_a028_a_header_with_underscores_is_no_way_around_the_signature(
    s3: Client, bucket: str
) -> None:
    path = f"{bucket}/k"
    # A server that lets x_amz_acl through makes it HTTP_X_AMZ_ACL: then it counts as unsigned.
    headers = {**sign("PUT", path), "x_amz_acl": "public-read"}
    assert_denied(s3.send("PUT", path, headers))
    assert_absent(s3, path)
    # Joined with a signed one of the same WSGI name, it breaks the signature.
    headers = sign("PUT", path, {"x-amz-acl": "private"})
    answer = s3.send("PUT", path, headers, environ={"HTTP_X_AMZ_ACL": "private,public-read"})
    assert_refused(answer, "SignatureDoesNotMatch")
    assert_absent(s3, path)


def test_a029_two_mechanisms_at_once_are_refused(s3: Client, bucket: str, secret: str) -> None:
    # MinIO CVE-2026-41145: the query named the key, the header path did the rest.
    path = f"{bucket}/k"
    for query in (
        f"X-Amz-Credential={OWNER.access_key}/20200101/us-east-1/s3/aws4_request",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Signature=" + "a" * 64,
        "AWSAccessKeyId=AKOWNER",
        "Signature=x",
    ):
        target = f"{path}?{query}"
        how = Signature(signer=OTHER)
        answer = s3.send("PUT", target, sign("PUT", target, how=how), b"")
        assert_refused(answer, "InvalidArgument")
    target = presign("GET", secret)
    answer = s3.send("GET", target, sign("GET", target))
    assert_refused(answer, "InvalidArgument")
    assert_absent(s3, path)
    assert s3.send("GET", target, {"Host": HOST}).body == b"private"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Forwarded", "host=evil.test"),
        ("X-Original-URL", "/other"),
        ("X-Rewrite-URL", "/other"),
        ("X-HTTP-Method-Override", "DELETE"),
    ],
)
def test_a030_a_clients_own_forwarded_headers_count_for_nothing(
    s3: Client, secret: str, name: str, value: str
) -> None:
    headers = sign("GET", secret)
    assert s3.send("GET", secret, {**headers, name: value}).body == b"private"
    # Nor can a signature for a host pass by claiming to have been sent there.
    headers = sign("GET", secret, {"Host": "evil.test"})
    answer = s3.send("GET", secret, {**headers, "Host": HOST, name: value})
    assert_refused(answer, "SignatureDoesNotMatch")
    assert_holds(s3, secret, b"private")
