"""Key, bucket, access, length and preconditions are decided before the body's first byte is read.

The declared length is more than an early answer reads away (``Input.drain``), so any read is one
of the operation's own, and it fails the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.app import S3App
from tests.client import Answer
from tests.client import Client
from tests.client import call
from tests.client import make_environ
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import fresh_name
from tests.endpoint import make_app

LENGTH = 2 << 20


class Untouchable:
    """A body of which nothing may be read."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        raise AssertionError("the body was read")

    readline = readlines = __iter__ = read


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("memory", tmp_path_factory.mktemp("unread"))
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    return Client(app, OWNER)


@pytest.fixture
def bucket(s3: Client) -> str:
    path = f"/{fresh_name('unread')}"
    assert s3.put(path).status == 200
    assert s3.put(f"{path}/there", b"there").status == 200
    return path


def ask(
    client: Client,
    method: str,
    target: str,
    headers: dict[str, str] | None = None,
    *,
    length: int = LENGTH,
    **environ: Any,
) -> Answer:
    """Send a request whose body must not be read."""
    body = Untouchable()
    sent = client.signed_headers(
        method, target, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", **(headers or {})}, b""
    )
    made = make_environ(method, target, {**sent, "Content-Length": str(length)}, body)
    made.update(environ)
    answer = call(client.app, made)
    assert body.reads == 0, "the body was read"
    return answer


def upload_in(s3: Client, bucket: str) -> str:
    return s3.post(f"{bucket}/there", query="uploads").text("UploadId") or ""


# Every operation that takes a body: method, target.
TARGETS = {
    "PutObject": ("PUT", "{bucket}/k"),
    "UploadPart": ("PUT", "{bucket}/there?partNumber=1&uploadId={upload}"),
    "CompleteMultipartUpload": ("POST", "{bucket}/there?uploadId={upload}"),
    "PutBucketTagging": ("PUT", "{bucket}?tagging"),
    "PutObjectTagging": ("PUT", "{bucket}/there?tagging"),
    "PutBucketAcl": ("PUT", "{bucket}?acl"),
    "PutObjectAcl": ("PUT", "{bucket}/there?acl"),
}


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest, s3: Client, bucket: str) -> tuple[str, str]:
    method, text = TARGETS[request.param]
    return method, text.format(bucket=bucket, upload=upload_in(s3, bucket))


@pytest.mark.parametrize("signer", [OTHER, None], ids=["other", "anonymous"])
def test_access_is_decided_first(app: S3App, target: tuple[str, str], signer: Any) -> None:
    answer = ask(Client(app, signer), *target)
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_the_signature_is_decided_first(s3: Client, target: tuple[str, str]) -> None:
    answer = ask(s3, *target, HTTP_X_AMZ_DATE="20200101T000000Z")
    assert answer.status in (400, 403)
    answer = ask(s3, *target, HTTP_X_AMZ_META_ADDED="later")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_the_bucket_is_decided_first(s3: Client, bucket: str, target: tuple[str, str]) -> None:
    method, path = target
    answer = ask(s3, method, path.replace(bucket, "/no-such-bucket"))
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_the_expected_owner_is_decided_first(s3: Client, target: tuple[str, str]) -> None:
    answer = ask(s3, *target, {"x-amz-expected-bucket-owner": "another"})
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_the_declared_length_is_decided_first(s3: Client, target: tuple[str, str]) -> None:
    method, path = target
    answer = ask(s3, method, path, length=6 << 30)
    assert answer.status == 400
    assert answer.code in ("EntityTooLarge", "MaxMessageLengthExceeded")
    streamed = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": str(6 << 30),
    }
    answer = ask(s3, method, path, streamed)
    assert answer.code in ("EntityTooLarge", "MaxMessageLengthExceeded")


def test_the_smallest_setting_of_max_object_size_counts(tmp_path: Any) -> None:
    app = make_app("memory", tmp_path, max_object_size=1000)
    try:
        s3 = Client(app, OWNER)
        s3.put("/small")
        answer = ask(s3, "PUT", "/small/k", length=LENGTH)
        assert (answer.status, answer.code) == (400, "EntityTooLarge")
        assert answer.text("MaxSizeAllowed") == "1000"
        assert s3.put("/small/k", b"x" * 1001).code == "EntityTooLarge"
        assert s3.put("/small/k", b"x" * 1000).status == 200
        upload = s3.post("/small/m", query="uploads").text("UploadId")
        answer = ask(s3, "PUT", f"/small/m?partNumber=1&uploadId={upload}", length=LENGTH)
        assert answer.code == "EntityTooLarge"
        # Nor can a copy or a form grow past it: both are held to the same limit.
        assert s3.put("/small/copy", x_amz_copy_source="/small/k").status == 200
    finally:
        app.close()


@pytest.mark.parametrize("key", ["k" * 1025, "%C3%A9" * 513, "%FF"])
def test_the_key_is_decided_first(s3: Client, bucket: str, key: str) -> None:
    code = "InvalidURI" if key == "%FF" else "KeyTooLongError"
    assert ask(s3, "PUT", f"{bucket}/{key}").code == code


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        ("there", {"If-None-Match": "*"}, 412),
        ("there", {"If-Match": '"no"'}, 412),
        ("k", {"If-Match": '"no"'}, 404),
        ("k", {"If-Match": "*"}, 501),
        ("there", {"If-None-Match": '"no"'}, 501),
    ],
)
def test_preconditions_are_decided_first(
    s3: Client, bucket: str, key: str, headers: dict[str, str], status: int
) -> None:
    assert ask(s3, "PUT", f"{bucket}/{key}", headers).status == status


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-meta-a": "x" * 3000}, "MetadataTooLarge"),
        ({"x-amz-acl": "nonsense"}, "InvalidArgument"),
        ({"x-amz-storage-class": "nonsense"}, "InvalidStorageClass"),
        ({"x-amz-tagging": "a=1&a=2"}, "InvalidArgument"),
        ({"x-amz-tagging": "aws:a=1"}, "InvalidTag"),
        ({"Content-MD5": "nonsense"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "nonsense"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "x"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "MD4"}, "InvalidRequest"),
        ({"x-amz-server-side-encryption": "nonsense"}, "InvalidArgument"),
        ({"x-amz-object-lock-mode": "COMPLIANCE"}, "InvalidArgument"),
        ({"x-amz-object-lock-legal-hold": "ON"}, "InvalidRequest"),
        ({"x-amz-website-redirect-location": "javascript:x"}, "InvalidRedirectLocation"),
        ({"x-amz-content-sha256": "nonsense"}, "InvalidArgument"),
    ],
)
def test_headers_are_decided_first(
    s3: Client, bucket: str, headers: dict[str, str], code: str
) -> None:
    answer = ask(s3, "PUT", f"{bucket}/k", headers)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("length", ["x", "-1", "1.5"])
def test_a_malformed_length_is_decided_first(s3: Client, bucket: str, length: str) -> None:
    body = Untouchable()
    headers = s3.signed_headers("PUT", f"{bucket}/k", {}, b"")
    made = make_environ("PUT", f"{bucket}/k", {**headers, "Content-Length": length}, body)
    assert call(s3.app, made).status == 400
    assert body.reads == 0


def test_an_upload_that_is_not_there_is_decided_first(s3: Client, bucket: str) -> None:
    for method, query in (("PUT", "partNumber=1&uploadId=none"), ("POST", "uploadId=none")):
        answer = ask(s3, method, f"{bucket}/there?{query}")
        assert (answer.status, answer.code) == (404, "NoSuchUpload")
    upload = upload_in(s3, bucket)
    for number in ("0", "10001", "x"):
        answer = ask(s3, "PUT", f"{bucket}/there?partNumber={number}&uploadId={upload}")
        assert answer.code == "InvalidArgument"
    answer = ask(s3, "PUT", f"{bucket}/other?partNumber=1&uploadId={upload}")
    assert answer.code == "NoSuchUpload"


def test_a_copy_reads_no_body(s3: Client, bucket: str) -> None:
    source = {"x-amz-copy-source": f"{bucket}/there"}
    assert ask(s3, "PUT", f"{bucket}/copied", source).status == 200
    assert ask(s3, "PUT", f"{bucket}/copied", {"x-amz-copy-source": "x"}).status == 400


@pytest.mark.parametrize(
    ("method", "query"),
    [("PUT", "metadataJournalTable"), ("POST", "select&select-type=2"), ("PUT", "nonsense")],
)
def test_what_is_not_there_is_refused_unread(
    s3: Client, bucket: str, method: str, query: str
) -> None:
    for path in (bucket, f"{bucket}/there"):
        answer = ask(s3, method, f"{path}?{query}")
        assert answer.status in (400, 405, 501)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_form_that_is_none_is_refused_unread(s3: Client, bucket: str, content_type: str) -> None:
    answer = ask(s3, "POST", bucket, {"Content-Type": content_type} if content_type else {})
    assert answer.status in (405, 412)


def test_a_form_that_is_too_long_is_refused_unread(app: S3App, bucket: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = ask(Client(app, None), "POST", bucket, headers, length=6 << 30)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


def test_a_multi_delete_of_nobody_is_decided_first(app: S3App, s3: Client, bucket: str) -> None:
    answer = ask(Client(app, None), "POST", f"{bucket}?delete", {"Content-MD5": "AAAA"})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    s3.put(bucket, query="acl", x_amz_acl="public-read")
    answer = ask(Client(app, None), "POST", f"{bucket}?delete", {"Content-MD5": "AAAA"})
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_a_new_bucket_is_decided_first(app: S3App, s3: Client, bucket: str) -> None:
    assert ask(s3, "PUT", "/Not_A_Name").code == "InvalidBucketName"
    assert ask(s3, "PUT", "/fresh-one", {"x-amz-acl": "nonsense"}).code == "InvalidArgument"
    assert ask(s3, "PUT", "/fresh-one", length=6 << 30).code == "MaxMessageLengthExceeded"
    assert ask(Client(app, None), "PUT", "/fresh-one").code == "AccessDenied"
    assert s3.head("/fresh-one").status == 404


def test_a_sender_that_waits_to_be_asked_is_not_asked(s3: Client, bucket: str) -> None:
    # Under these servers the first read is what sends "100 Continue".
    for server in ("Granian", "uwsgi"):
        environ: dict[str, Any] = {"SERVER_SOFTWARE": server}
        if server == "uwsgi":
            environ["uwsgi.version"] = b"2"
        headers = {"Expect": "100-continue", "If-Match": '"no"'}
        answer = ask(s3, "PUT", f"{bucket}/there", headers, length=10, **environ)
        assert answer.status == 412


def test_reads_and_removals_leave_a_body_alone(s3: Client, bucket: str) -> None:
    for method, target, status in (
        ("GET", f"{bucket}/there", 200),
        ("HEAD", f"{bucket}/there", 200),
        ("GET", bucket, 200),
        ("DELETE", f"{bucket}/there?tagging", 204),
        ("POST", f"{bucket}/there?uploads", 200),
        ("DELETE", f"{bucket}/there", 204),
    ):
        assert ask(s3, method, target).status == status


def test_an_object_that_would_be_read_is_read(s3: Client, bucket: str) -> None:
    """The test's own proof: with nothing to refuse, the untouchable body is touched."""
    with pytest.raises(AssertionError, match="was read"):
        ask(s3, "PUT", f"{bucket}/k", length=LENGTH)
