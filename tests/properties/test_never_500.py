"""Arbitrary bytes, paths, queries, methods and headers: never a 500, never an exception.

And never an object changed by a refused request. What is drawn is sent unsigned, correctly signed,
and as a mutation of a valid request.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.app import S3App
from s3kit.wire.service_model import OPERATIONS
from tests.attacks.handmade import SIGNED_CHUNKS
from tests.attacks.handmade import SIGNED_TRAILER
from tests.attacks.handmade import UNSIGNED_TRAILER
from tests.attacks.handmade import Signature
from tests.attacks.handmade import Stream
from tests.attacks.handmade import crc32
from tests.attacks.handmade import form_body
from tests.attacks.handmade import form_fields
from tests.attacks.handmade import presign
from tests.attacks.handmade import sign
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import call
from tests.client import make_environ
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import make_app

BUCKET = "/kept"
KEPT = {"k": b"kept", "a/b": b"kept too"}
FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=250)


@pytest.fixture(scope="module", params=KINDS)
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3App]:
    folder = tmp_path_factory.mktemp("fuzz")
    with fresh_database(request.param, folder) as url:
        made = make_app(
            "memory", folder, index=url, base_hosts=("s3.test",), trusted_proxies=("10.0.0.0/8",)
        )
        owner = Client(made, OWNER)
        assert owner.put(BUCKET).status == 200
        for key, body in KEPT.items():
            assert owner.put(f"{BUCKET}/{key}", body).status == 200
        yield made
        made.close()


class Watch:
    """Sends a request and judges the answer and its effect."""

    def __init__(self, app: S3App) -> None:
        self.app = app
        self.owner = Client(app, OWNER)
        self.allowed = False
        """Whether the sender may change things (it signed as the owner)."""
        self.changed = False

    def send(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | Any = b"",
        **environ: Any,
    ) -> Answer:
        made = make_environ(method, target, headers, body)
        made.update(environ)
        answer = call(self.app, made)
        self.judge(method, answer)
        return answer

    def judge(self, method: str, answer: Answer) -> None:
        assert answer.status < 600
        assert answer.status not in (500, 502, 503), (answer.status, answer.body)
        assert answer.headers["x-amz-request-id"]
        if answer.status >= 300:
            assert method == "HEAD" or answer.status == 304 or answer.body
            if answer.body:
                assert answer.headers["content-type"] == "application/xml"
                root = ElementTree.fromstring(answer.body)
                assert root.tag == "Error"
                assert root.findtext("Code")
                assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
        if answer.status >= 300 or not self.allowed:
            self.unchanged()
        elif method not in ("GET", "HEAD"):
            self.changed = True

    def restore(self) -> None:
        """Put everything back as it was: a signed request may well have changed it."""
        if self.changed:
            self.changed = False
            self.owner.put(BUCKET)
            self.owner.put(BUCKET, query="acl", x_amz_acl="private")
            for key, body in KEPT.items():
                self.owner.put(f"{BUCKET}/{key}", body)

    def unchanged(self) -> None:
        listed = self.owner.get(BUCKET)
        found = dict(zip(listed.texts("Contents/Key"), listed.texts("Contents/ETag"), strict=True))
        for key, body in KEPT.items():
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            assert found.get(key) == f'"{etag}"'


@pytest.fixture
def watch(app: S3App) -> Watch:
    return Watch(app)


latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
odd = st.one_of(
    latin,
    st.sampled_from(
        ["", "0", "-1", "1", "null", "*", '"', "9" * 30, "%00", "%", "%FF", "a=b", "\x00", "../..",
         "Thu, 01 Jan 1970 00:00:00 GMT", "bytes=0-", "=?utf-8?q?=FF?=", "public-read", "STANDARD",
         "COPY", "REPLACE", "CRC32", "/kept/k", "kept/k?versionId=null", "text/html", "AAAAAA=="]
    ),
)  # fmt: skip

KEYS = sorted(
    {key for row in OPERATIONS for key in (*row.subresources, *row.parameters)}
    | {"X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential", "AWSAccessKeyId", "Signature",
       "response-content-type", "unknown"}
)  # fmt: skip
NAMES = [
    "authorization", "content-encoding", "content-length", "content-md5", "content-type", "cookie",
    "date", "expect", "expires", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "origin", "range", "transfer-encoding", "user-agent",
    "x-amz-acl", "x-amz-bypass-governance-retention", "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32", "x-amz-checksum-mode", "x-amz-checksum-sha256", "x-amz-checksum-type",
    "x-amz-client-token", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since", "x-amz-copy-source-range",
    "x-amz-create-session-mode", "x-amz-date",
    "x-amz-decoded-content-length", "x-amz-expected-bucket-owner", "x-amz-grant-read",
    "x-amz-if-match-last-modified-time", "x-amz-if-match-size", "x-amz-max-parts",
    "x-amz-meta-a", "x-amz-meta-\u00e9", "x-amz-metadata-directive", "x-amz-mp-object-size",
    "x-amz-object-attributes", "x-amz-part-number-marker", "x-amz-sdk-checksum-algorithm",
    "x-amz-rename-source", "x-amz-rename-source-if-match", "x-amz-request-payer",
    "x-amz-s3session-token", "x-amz-security-token", "x-amz-write-offset-bytes",
    "x-amz-server-side-encryption", "x-amz-storage-class",
    "x-amz-tagging", "x-amz-tagging-directive", "x-amz-trailer",
    "x-amz-website-redirect-location", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-prefix", "x-forwarded-proto",
]  # fmt: skip

escaped = st.binary(max_size=20).map(lambda data: quote_from_bytes(data, safe="/%"))
paths = st.one_of(
    st.sampled_from(
        ["/", BUCKET, f"{BUCKET}/", f"{BUCKET}/k", f"{BUCKET}/new", "//", "/none/k", "/new-bucket",
         f"{BUCKET}%2Fk", "/%00/k", "*", "", "http://evil.test/kept/k", "/kept%00"]
    ),
    escaped.map(lambda text: "/" + text),
    escaped.map(lambda text: f"{BUCKET}/{text}"),
    latin.map(lambda text: "/" + text.replace("?", "")),
)  # fmt: skip
queries = st.lists(
    st.tuples(st.one_of(st.sampled_from(KEYS), latin), st.one_of(st.none(), odd)), max_size=4
).map(
    lambda pairs: "&".join(
        quote_from_bytes(name.encode("latin-1"))
        + ("" if value is None else "=" + quote_from_bytes(value.encode("latin-1")))
        for name, value in pairs
    )
)
methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    st.text("ABCXYZ-_", min_size=1, max_size=8),
)
headers = st.dictionaries(st.sampled_from(NAMES), odd, max_size=5)
ROOTS = ["Tagging", "Delete", "AccessControlPolicy", "CompleteMultipartUpload",
         "CreateBucketConfiguration"]  # fmt: skip
PIECES = ["<", ">", "/", "<TagSet>", "<Tag>", "<Key>", "k", "</Key>", "<Object>", "<Part>",
          "<PartNumber>0</PartNumber>", "<ETag>x</ETag>", "<Quiet>true</Quiet>", "&amp;", "&#0;",
          "<Owner>", "<ID>", "<!DOCTYPE a>", "<LocationConstraint>eu</LocationConstraint>",
          "<Object><Key>\u00e9</Key><VersionId>\u00e9</VersionId></Object>",
          "<Object><Key>k</Key><Size>99999999999999999999</Size></Object>",
          "<Object><Key>k</Key><LastModifiedTime>0001-01-01</LastModifiedTime></Object>",
          f"<LocationConstraint>{'r' * 300}</LocationConstraint>",
          "<Part><PartNumber>1</PartNumber><ETag>&quot;\u00e9&quot;</ETag></Part>"]  # fmt: skip
documents = st.builds(
    lambda root, pieces: f"<{root}>{''.join(pieces)}</{root}>".encode(),
    st.sampled_from(ROOTS),
    st.lists(st.sampled_from(PIECES), max_size=5),
)
bodies = st.one_of(st.just(b""), st.binary(max_size=100), documents)


@FEW
@given(methods, paths, queries, headers, bodies)
def test_unsigned_requests(
    watch: Watch, method: str, path: str, query: str, extra: dict[str, str], body: bytes
) -> None:
    target = path + (f"?{query}" if query else "")
    watch.send(method, target, {"Host": HOST, **extra}, body)
    watch.send(method, target, {"Host": HOST, **extra}, body, REMOTE_ADDR="10.0.0.1")


def signed_safely(
    method: str, target: str, extra: dict[str, str], body: bytes, how: Signature
) -> dict[str, str]:
    """Signed over all that is sent, so that the operation itself meets the odd values."""
    sent = {
        name: value
        for name, value in extra.items()
        if name not in ("authorization", "host", "x-amz-date", "content-length")
        and not name.startswith("x-forwarded")
        and name.isascii()
    }
    named = [name for name in sent if name.startswith("x-amz-")]
    exact = Signature(
        **{
            **how.__dict__,
            "signed": sorted({"host", "x-amz-date", "x-amz-content-sha256", *named}),
        }
    )
    payload = sent.get("x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
    return sign(method, target, sent, body, payload=payload, how=exact)


@MANY
@given(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]), paths, queries, headers, bodies)
def test_requests_that_the_owner_signed(
    watch: Watch, method: str, path: str, query: str, extra: dict[str, str], body: bytes
) -> None:
    watch.allowed = True
    target = path + (f"?{query}" if query else "")
    sent = signed_safely(method, target, extra, body, Signature())
    try:
        watch.send(method, target, sent, body)
    finally:
        watch.restore()


@FEW
@given(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]), paths, queries, headers, bodies)
def test_requests_that_another_account_signed(
    watch: Watch, method: str, path: str, query: str, extra: dict[str, str], body: bytes
) -> None:
    target = path + (f"?{query}" if query else "")
    sent = signed_safely(method, target, extra, body, Signature(signer=OTHER))
    watch.send(method, target, sent, body)


CRC = {"x-amz-checksum-crc32": crc32(b"x" * 9000)}
VALID: dict[str, Any] = {
    "get": lambda: ("GET", f"{BUCKET}/k", sign("GET", f"{BUCKET}/k"), b""),
    "list": lambda: ("GET", f"{BUCKET}?list-type=2", sign("GET", f"{BUCKET}?list-type=2"), b""),
    "put": lambda: ("PUT", f"{BUCKET}/new", sign("PUT", f"{BUCKET}/new", CRC, b"x" * 9000),
                    b"x" * 9000),
    "delete": lambda: ("DELETE", f"{BUCKET}/new", sign("DELETE", f"{BUCKET}/new"), b""),
    "presigned": lambda: ("PUT", presign("PUT", f"{BUCKET}/new"), {"Host": HOST}, b"x"),
    "signed": lambda: streamed(SIGNED_CHUNKS),
    "signed-trailer": lambda: streamed(SIGNED_TRAILER),
    "unsigned-trailer": lambda: streamed(UNSIGNED_TRAILER),
    "form": lambda: posted(),
    "tagging": lambda: document("PUT", f"{BUCKET}?tagging", b"<Tagging><TagSet/></Tagging>"),
    "multi-delete": lambda: document(
        "POST", f"{BUCKET}?delete", b"<Delete><Object><Key>new</Key></Object></Delete>"
    ),
}  # fmt: skip


def streamed(word: str) -> tuple[str, str, dict[str, str], bytes]:
    trailer = CRC if word != SIGNED_CHUNKS else None
    stream = Stream(f"{BUCKET}/new", [b"x" * 9000], payload=word, trailer=trailer)
    return "PUT", f"{BUCKET}/new", stream.headers, stream.body


def posted() -> tuple[str, str, dict[str, str], bytes]:
    fields = form_fields({"key": "new"}, [{"bucket": BUCKET[1:]}, {"key": "new"}])
    content_type, body = form_body(fields, b"x")
    return "POST", BUCKET, {"Host": HOST, "Content-Type": content_type}, body


def document(method: str, target: str, body: bytes) -> tuple[str, str, dict[str, str], bytes]:
    headers = {"x-amz-checksum-crc32": crc32(body)}
    return method, target, sign(method, target, headers, body), body


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_requests_that_are_mutated_below_are_valid(watch: Watch, name: str) -> None:
    watch.allowed = True
    assert watch.send(*VALID[name]()).status < 300


def mutate(data: bytes, draw: st.DataObject) -> bytes:
    """A few bytes changed, left out or put in."""
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(data)))
        gone = draw.draw(st.integers(0, 4))
        data = data[:at] + draw.draw(st.binary(max_size=4)) + data[at + gone :]
    return data


class Broken(io.BytesIO):
    """A connection that breaks where the bytes end."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and size:
            raise ConnectionResetError
        return data


@MANY
@given(st.sampled_from(sorted(VALID)), st.data())
def test_mutations_of_valid_requests(watch: Watch, name: str, data: st.DataObject) -> None:
    watch.allowed = True
    method, target, sent, body = VALID[name]()
    sent = dict(sent)
    kind = data.draw(
        st.sampled_from(["target", "header", "drop", "body", "cut", "broken", "method"])
    )
    stream: Any = body
    length = len(body)
    if kind == "target":
        mutated = mutate(target.encode(), data).decode("latin-1")
        target = "/" + mutated.lstrip("/").replace("\r", "").replace("\n", "")
    elif kind == "header":
        header = data.draw(st.sampled_from(sorted(sent)))
        value = mutate(sent[header].encode("latin-1"), data).decode("latin-1")
        sent[header] = value.replace("\r", " ").replace("\n", " ")
    elif kind == "drop":
        del sent[data.draw(st.sampled_from(sorted(sent)))]
    elif kind == "body":
        stream = mutate(body, data)
        length = len(stream)
    elif kind in ("cut", "broken"):
        short = body[: data.draw(st.integers(0, max(0, len(body) - 1)))]
        stream = Broken(short) if kind == "broken" else io.BytesIO(short)
    else:
        method = data.draw(methods)
    sent["Content-Length"] = str(length)
    try:
        watch.send(method, target, sent, stream)
    finally:
        watch.restore()


FIELDS = ["key", "acl", "tagging", "success_action_status", "success_action_redirect", "policy",
          "content-type", "x-amz-meta-a", "x-amz-storage-class", "x-amz-checksum-crc32", "bucket",
          "x-amz-algorithm", "x-amz-credential", "x-amz-signature", "file", "x-amz-date",
          "content-disposition", "expires", "x-amz-security-token", "signature"]  # fmt: skip


@FEW
@given(st.dictionaries(st.sampled_from(FIELDS), odd, max_size=5), st.binary(max_size=200))
def test_forms(watch: Watch, extra: dict[str, str], file: bytes) -> None:
    content_type, body = form_body({"key": "new", **extra}, file)
    watch.send("POST", BUCKET, {"Host": HOST, "Content-Type": content_type}, body)
    watch.allowed = True
    conditions = [["starts-with", f"${name}", ""] for name in ("bucket", "key", *extra)]
    fields = form_fields({"key": "new", **extra}, conditions)
    content_type, body = form_body(fields, file)
    try:
        watch.send("POST", BUCKET, {"Host": HOST, "Content-Type": content_type}, body)
    finally:
        watch.restore()


@FEW
@given(st.binary(max_size=300), st.sampled_from([SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER]))
def test_framings(watch: Watch, body: bytes, word: str) -> None:
    target = f"{BUCKET}/new"
    extra = {"x-amz-decoded-content-length": "5"}
    if word != SIGNED_CHUNKS:
        extra["x-amz-trailer"] = "x-amz-checksum-crc32"
    watch.allowed = True
    assert watch.send("PUT", target, sign("PUT", target, extra, payload=word), body).status >= 400


@FEW
@given(
    st.sampled_from(
        ["RAW_URI", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_SOFTWARE",
         "REMOTE_ADDR", "HTTP_HOST", "CONTENT_LENGTH", "wsgi.url_scheme", "SERVER_NAME"]
    ),
    st.one_of(odd, st.none()),
)  # fmt: skip
def test_environments_of_odd_servers(watch: Watch, name: str, value: str | None) -> None:
    for method in ("GET", "PUT"):
        environ = make_environ(method, f"{BUCKET}/k", sign(method, f"{BUCKET}/k"), b"")
        environ.pop(name, None)
        if value is not None and not (name == "CONTENT_LENGTH" and value == "9" * 30):
            environ[name] = value
        watch.allowed = True
        try:
            watch.judge(method, call(watch.app, environ))
        finally:
            watch.restore()


# Every text of a client that can become a value in an SQL statement. PostgreSQL takes no NUL in a
# text, MariaDB no letters beyond a column's character set, and both no more than fit.
TEXTS = [
    "%00",
    "a%00b",
    "%C3%A9",
    "%F0%9F%90%88",
    "%FF",
    "%ED%A0%80",
    "x" * 5000,
    "%27%22%5C",
    "%25",
]
PLACES = [
    ("GET", "/{text}", ""),
    ("GET", "/{text}/k", ""),
    ("PUT", "/{text}", ""),
    ("PUT", "/{text}/k", ""),
    ("DELETE", "/{text}", ""),
    ("GET", BUCKET + "/{text}", ""),
    ("PUT", BUCKET + "/{text}", ""),
    ("DELETE", BUCKET + "/{text}", ""),
    ("GET", BUCKET + "/k", "versionId={text}"),
    ("HEAD", BUCKET + "/k", "versionId={text}"),
    ("DELETE", BUCKET + "/k", "versionId={text}"),
    ("GET", BUCKET + "/k", "tagging&versionId={text}"),
    ("DELETE", BUCKET + "/k", "tagging&versionId={text}"),
    ("GET", BUCKET + "/k", "acl&versionId={text}"),
    ("GET", BUCKET + "/k", "uploadId={text}"),
    ("PUT", BUCKET + "/k", "partNumber=1&uploadId={text}"),
    ("POST", BUCKET + "/k", "uploadId={text}"),
    ("DELETE", BUCKET + "/k", "uploadId={text}"),
    ("GET", "/", "prefix={text}"),
    ("GET", "/", "bucket-region={text}"),
    ("GET", "/", "continuation-token={text}"),
    ("GET", "/", "continuation-token=MQBh"),
    ("GET", "/", "continuation-token=Mf9h"),
    ("GET", BUCKET, "prefix={text}"),
    ("GET", BUCKET, "marker={text}"),
    ("GET", BUCKET, "delimiter={text}"),
    ("GET", BUCKET, "list-type=2&start-after={text}&delimiter={text}&prefix={text}"),
    ("GET", BUCKET, "list-type=2&continuation-token=MQBh"),
    ("GET", BUCKET, "versions&key-marker=a&version-id-marker={text}"),
    ("GET", BUCKET, "versions&key-marker={text}&version-id-marker=null"),
    ("GET", BUCKET, "uploads&key-marker=a&upload-id-marker={text}"),
    ("GET", BUCKET, "uploads&key-marker={text}"),
]
DOCUMENTS = [
    ("PUT", "/region-{number}", "<CreateBucketConfiguration><LocationConstraint>{text}"
     "</LocationConstraint></CreateBucketConfiguration>"),
    ("POST", BUCKET + "?delete", "<Delete><Object><Key>{text}</Key></Object></Delete>"),
    ("POST", BUCKET + "?delete", "<Delete><Object><Key>new</Key><VersionId>{text}</VersionId>"
     "</Object></Delete>"),
    ("PUT", BUCKET + "?acl", "<AccessControlPolicy><Owner/><AccessControlList><Grant><Grantee><ID>"
     "{text}</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList>"
     "</AccessControlPolicy>"),
    ("PUT", BUCKET + "?website", "<WebsiteConfiguration><IndexDocument><Suffix>{text}</Suffix>"
     "</IndexDocument><ErrorDocument><Key>{text}</Key></ErrorDocument></WebsiteConfiguration>"),
    ("PUT", BUCKET + "?tagging", "<Tagging><TagSet><Tag><Key>{text}</Key><Value>{text}</Value>"
     "</Tag></TagSet></Tagging>"),
    ("PUT", BUCKET + "/k?tagging", "<Tagging><TagSet><Tag><Key>{text}</Key><Value>{text}</Value>"
     "</Tag></TagSet></Tagging>"),
]  # fmt: skip
HEADERS = ["x-amz-meta-a", "content-type", "content-disposition", "cache-control",
           "x-amz-tagging", "x-amz-expected-bucket-owner", "x-amz-storage-class", "expires",
           "x-amz-checksum-algorithm", "x-amz-website-redirect-location", "x-amz-copy-source",
           "if-match", "x-amz-client-token", "x-amz-rename-source", "x-amz-s3session-token",
           "x-amz-write-offset-bytes"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("method", "path", "query"), PLACES)
def test_no_text_in_the_target_is_too_odd_for_the_database(
    watch: Watch, method: str, path: str, query: str, text: str
) -> None:
    target = path.format(text=text) + (f"?{query.format(text=text)}" if query else "")
    watch.allowed = True
    watch.send(method, target, sign(method, target), b"")
    watch.send(method, target, {"Host": HOST}, b"")
    watch.restore()


@pytest.mark.parametrize("text", ["\u00e9", "\U0001f408", "x" * 5000, "'\"\\", "%"])
def test_no_text_in_a_document_or_header_is_too_odd_for_the_database(
    watch: Watch, text: str
) -> None:
    watch.allowed = True
    for number, (method, path, form) in enumerate(DOCUMENTS):
        target = path.format(number=number)
        body = form.format(text=text).encode()
        headers = {"x-amz-checksum-crc32": crc32(body)}
        watch.send(method, target, sign(method, target, headers, body), body)
        watch.restore()
    raw = text.encode().decode("latin-1")
    for name in HEADERS:
        target = f"{BUCKET}/new"
        # Signed as the bytes that a server hands over as latin-1.
        sent = sign("PUT", target, {name: text})
        sent[name] = raw
        watch.send("PUT", target, sent, b"")
        watch.restore()
    assert watch.owner.get(BUCKET, "list-type=2").status == 200
    assert watch.owner.get(BUCKET, "versions").status == 200
