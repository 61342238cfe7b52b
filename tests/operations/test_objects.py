"""PutObject, GetObject, HeadObject, DeleteObject."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from email.header import decode_header
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest

from s3kit.app import S3App
from s3kit.wire import checksums
from tests.client import Client
from tests.client import path_of
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import parsed

TEXT = b"The quick brown fox jumps over the lazy dog"
ETAG = f'"{hashlib.md5(TEXT).hexdigest()}"'
WRONG_ETAG = '"00000000000000000000000000000000"'
IMF_FIXDATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
LONG_AGO = formatdate(0, usegmt=True)
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")

# "123456789" under each algorithm: the check values of the CRC catalogue and of FIPS 180.
NINE = b"123456789"
CHECK_VALUES = {
    "CRC32": base64.b64encode(0xCBF43926.to_bytes(4, "big")).decode(),
    "CRC32C": base64.b64encode(0xE3069283.to_bytes(4, "big")).decode(),
    "CRC64NVME": base64.b64encode(0xAE8B14860A799888.to_bytes(8, "big")).decode(),
    "SHA1": base64.b64encode(hashlib.sha1(NINE).digest()).decode(),
    "SHA256": base64.b64encode(hashlib.sha256(NINE).digest()).decode(),
    "SHA512": base64.b64encode(hashlib.sha512(NINE).digest()).decode(),
    "MD5": base64.b64encode(hashlib.md5(NINE).digest()).decode(),
    "XXHASH64": base64.b64encode(0x8CB841DB40E6AE83.to_bytes(8, "big")).decode(),
    "XXHASH3": base64.b64encode(0x72DCB18B67A17DFF.to_bytes(8, "big")).decode(),
    "XXHASH128": base64.b64encode(0x33119477EDE5DCD5E9716427681D5860.to_bytes(16, "big")).decode(),
}


def pattern(size: int) -> bytes:
    """Bytes of which no two ranges are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def soon() -> str:
    return formatdate(time.time() + 3600, usegmt=True)


class Untouchable:
    """A body that remembers whether anybody began to read it."""

    def __init__(self) -> None:
        self.touched = False

    def read(self, size: int = -1) -> bytes:
        self.touched = True
        raise AssertionError("the body was read")

    readline = readlines = __iter__ = read


@pytest.fixture
def key(s3: Client, bucket: str) -> str:
    """The path of an object that holds TEXT."""
    path = f"{bucket}/key"
    assert s3.put(path, TEXT, Content_Type="text/plain").status == 200
    return path


# -- put and get


def test_a_put_answers_with_the_etag_and_nothing_needless(s3: Client, bucket: str) -> None:
    answer = s3.put(f"{bucket}/k", TEXT)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["etag"] == ETAG
    assert answer.headers["content-length"] == "0"
    for absent in ("x-amz-version-id", "content-type", "last-modified", "location"):
        assert absent not in answer.headers


def test_a_get_shows_bytes_and_headers(s3: Client, key: str) -> None:
    answer = s3.get(key)
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == str(len(TEXT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert IMF_FIXDATE.fullmatch(answer.headers["last-modified"])
    assert set(answer.headers) == {
        *("etag", "content-type", "content-length", "accept-ranges", "last-modified"),
        *("x-amz-request-id", "x-amz-id-2"),
    }


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("", {"Range": "bytes=4-8"}),
        ("partNumber=1", {}),
        ("versionId=null", {}),
        ("response-content-type=a%2Fb", {}),
        ("", {"x-amz-checksum-mode": "ENABLED"}),
        ("", {"If-None-Match": ETAG}),
        ("", {"If-Match": ETAG}),
    ],
)
def test_head_answers_what_get_answers(
    s3: Client, key: str, query: str, headers: dict[str, str]
) -> None:
    got = s3.request("GET", key, query, headers)
    head = s3.request("HEAD", key, query, headers)
    assert head.status == got.status
    assert head.body == b""
    unique = ("x-amz-request-id",)
    assert {n: v for n, v in head.headers.items() if n not in unique} == {
        n: v for n, v in got.headers.items() if n not in unique
    }


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"If-Match": WRONG_ETAG}, 412),
        ("", {"Range": "bytes=1000-"}, 416),
        ("versionId=unknown", {}, 404),
        ("partNumber=2", {}, 416),
    ],
)
def test_head_fails_without_a_body(
    s3: Client, key: str, query: str, headers: dict[str, str], status: int
) -> None:
    answer = s3.request("HEAD", key, query, headers)
    assert (answer.status, answer.body) == (status, b"")
    assert "x-amz-request-id" in answer.headers


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_001])
def test_every_size_comes_back_on_both_sides_of_the_inline_boundary(
    s3: Client, bucket: str, size: int
) -> None:
    data = pattern(size)
    answer = s3.put(f"{bucket}/k", data)
    assert answer.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get(f"{bucket}/k")
    assert got.body == data
    assert got.headers["content-length"] == str(size)
    assert s3.head(f"{bucket}/k").headers["content-length"] == str(size)
    if size:
        part = s3.get(f"{bucket}/k", Range=f"bytes={size // 2}-")
        assert (part.status, part.body) == (206, data[size // 2 :])
    assert s3.get(bucket).text("Contents/Size") == str(size)


@pytest.mark.parametrize("size", [10, 70_000])
def test_a_body_in_http_chunks_needs_no_content_length(s3: Client, bucket: str, size: int) -> None:
    data = pattern(size)
    headers = {"Transfer-Encoding": "chunked", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    answer = s3.request("PUT", f"{bucket}/k", "", headers, io.BytesIO(data))
    assert answer.status == 200
    assert s3.get(f"{bucket}/k").body == data


def test_a_put_without_any_length_is_refused(s3: Client, bucket: str) -> None:
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    answer = s3.request("PUT", f"{bucket}/k", "", headers, io.BytesIO(b""))
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_an_overwrite_is_seen_at_once(s3: Client, key: str) -> None:
    for data in (b"second", pattern(100_000), b""):
        s3.put(key, data)
        assert s3.get(key).body == data
        assert s3.get(key).headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    "key",
    [
        "a/b/c",
        "a//b",
        "/leading",
        "trailing/",
        "a b+c%",
        "..",
        "../x",
        ".",
        "ключ/鍵",
        "e\u0301",
        "a&b=c?d#e",
        "'quoted\"<xml>&amp;",
        "new\nline\r\t",
        "\x01\x7f",
        "💾",
        "x" * 1024,
        "*~()!",
    ],
)
def test_every_key_survives_the_way_in_and_out(s3: Client, bucket: str, key: str) -> None:
    path = path_of(bucket[1:], key)
    assert s3.put(path, key.encode()).status == 200
    assert s3.get(path).body == key.encode()
    listed = parsed("ListObjects", s3.get(bucket, "encoding-type=url"))
    assert [entry["Key"] for entry in listed["Contents"]] == [quote(key, safe="/-_.~*")]
    assert s3.delete(path).status == 204
    assert s3.get(path).code == "NoSuchKey"


@pytest.mark.parametrize("key", ["x" * 1025, "é" * 513])
def test_a_key_over_1024_bytes_is_refused(s3: Client, bucket: str, key: str) -> None:
    answer = s3.put(path_of(bucket[1:], key), b"")
    assert (answer.status, answer.code) == (400, "KeyTooLongError")
    assert answer.text("MaxSizeAllowed") == "1024"


def test_a_missing_key_is_named(s3: Client, bucket: str) -> None:
    """CS-21, CS-27."""
    answer = s3.get(f"{bucket}/a%26b")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert answer.text("Key") == "a&b"
    assert answer.text("Resource") == f"{bucket}/a&b"
    assert answer.text("HostId") == answer.headers["x-amz-id-2"]
    assert answer.headers["content-type"] == "application/xml"


def test_a_missing_bucket_is_named(s3: Client) -> None:
    """CS-22."""
    answer = s3.get("/no-such-bucket-here/k")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert answer.text("BucketName") == "no-such-bucket-here"


# -- what is stored beside the bytes


def test_stored_headers_come_back(s3: Client, bucket: str) -> None:
    sent = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="a b.txt"',
        "Content-Encoding": "gzip",
        "Content-Language": "mi, en",
        "Expires": "Thu, 01 Dec 1994 16:00:00 GMT",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-meta-color": "blue",
        "x-amz-meta-UPPER": "Case",
    }
    assert s3.request("PUT", f"{bucket}/k", "", sent, TEXT).status == 200
    answer = s3.get(f"{bucket}/k")
    for name, value in sent.items():
        assert answer.headers[name.lower()] == value
    found = parsed("GetObject", s3.head(f"{bucket}/k"))
    assert found["Metadata"] == {"color": "blue", "upper": "Case"}
    assert found["WebsiteRedirectLocation"] == "/elsewhere"


def test_without_a_content_type_it_is_binary(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", TEXT)
    assert s3.get(f"{bucket}/k").headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("AWS-Chunked", None),
        ("gzip,br", "gzip,br"),
    ],
)
def test_aws_chunked_is_no_stored_encoding(
    s3: Client, bucket: str, sent: str, kept: str | None
) -> None:
    s3.put(f"{bucket}/k", TEXT, Content_Encoding=sent)
    assert s3.get(f"{bucket}/k").headers.get("content-encoding") == kept


@pytest.mark.parametrize("value", ["Grüße, 世界", "日本"])
def test_metadata_beyond_ascii_comes_back_as_rfc_2047(s3: Client, bucket: str, value: str) -> None:
    """As S3 does it: readable for anybody who decodes encoded words."""
    raw = value.encode().decode("latin-1")
    answer = s3.request("PUT", f"{bucket}/k", "", {"x-amz-meta-greeting": raw}, TEXT)
    assert answer.status == 200
    shown = s3.get(f"{bucket}/k").headers["x-amz-meta-greeting"]
    assert shown.isascii()
    words = decode_header(shown)
    assert "".join(word.decode(charset) for word, charset in words) == value  # type: ignore


def test_two_kilobytes_of_metadata_are_the_limit(s3: Client, bucket: str) -> None:
    """A096."""
    fits = {"x-amz-meta-a": "x" * 1000, "x-amz-meta-b": "y" * 1046}
    assert s3.request("PUT", f"{bucket}/k", "", fits, TEXT).status == 200
    over = {**fits, "x-amz-meta-c": ""}
    answer = s3.request("PUT", f"{bucket}/over", "", over, TEXT)
    assert (answer.status, answer.code) == (400, "MetadataTooLarge")
    assert answer.text("Size") == "2049"
    assert answer.text("MaxSizeAllowed") == "2048"
    assert s3.head(f"{bucket}/over").status == 404


@pytest.mark.parametrize(
    ("value", "code"),
    [("elsewhere", "InvalidRedirectLocation"), ("ftp://x/", "InvalidRedirectLocation")],
)
def test_a_website_redirect_must_lead_somewhere(
    s3: Client, bucket: str, value: str, code: str
) -> None:
    answer = s3.put(f"{bucket}/k", TEXT, x_amz_website_redirect_location=value)
    assert (answer.status, answer.code) == (400, code)


def test_a_storage_class_is_shown_unless_it_is_standard(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/ia", TEXT, x_amz_storage_class="STANDARD_IA")
    s3.put(f"{bucket}/standard", TEXT, x_amz_storage_class="STANDARD")
    assert s3.get(f"{bucket}/ia").headers["x-amz-storage-class"] == "STANDARD_IA"
    assert "x-amz-storage-class" not in s3.get(f"{bucket}/standard").headers
    listed = parsed("ListObjectsV2", s3.get(bucket, "list-type=2"))["Contents"]
    assert [entry["StorageClass"] for entry in listed] == ["STANDARD_IA", "STANDARD"]


@pytest.mark.parametrize("name", ["standard", "FROZEN", " "])
def test_an_unknown_storage_class_is_refused(s3: Client, bucket: str, name: str) -> None:
    answer = s3.put(f"{bucket}/k", TEXT, x_amz_storage_class=name)
    assert (answer.status, answer.code) == (400, "InvalidStorageClass")


def test_tags_in_the_header_are_counted(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", TEXT, x_amz_tagging="a=1&b=two%20words&c=")
    assert s3.get(f"{bucket}/k").headers["x-amz-tagging-count"] == "3"
    found = parsed("GetObjectTagging", s3.get(f"{bucket}/k", "tagging"))
    assert found["TagSet"] == [
        {"Key": "a", "Value": "1"},
        {"Key": "b", "Value": "two words"},
        {"Key": "c", "Value": ""},
    ]


CUSTOMER_KEY = "x-amz-server-side-encryption-customer-"


@pytest.mark.parametrize("name", ["algorithm", "key", "key-MD5"])
def test_a_part_of_a_customers_key_opens_nothing(s3: Client, key: str, name: str) -> None:
    """Whoever sends one believes that the object is encrypted with it."""
    headers = {CUSTOMER_KEY + name: "AES256", "x-amz-object-attributes": "ETag"}
    for method, query in [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "partNumber=1"),
        ("GET", "attributes"),
    ]:
        answer = s3.request(method, key, query, headers)
        assert answer.status == 400
        assert not answer.body or answer.code == "InvalidArgument"
        assert "etag" not in answer.headers


def test_a_customers_key_for_what_is_not_there_is_still_a_404(s3: Client, bucket: str) -> None:
    answer = s3.request("GET", f"{bucket}/none", "", {CUSTOMER_KEY + "algorithm": "AES256"})
    assert (answer.status, answer.code) == (404, "NoSuchKey")


# -- ranges


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, None),
        ("bytes=10-19", 10, 20),
        ("bytes=999-5000000", 999, None),
        ("bytes=-5", -5, None),
        ("bytes=-5000000", 0, None),
        ("BYTES=1-2", 1, 3),
    ],
)
def test_a_range_is_a_206(
    s3: Client, bucket: str, size: int, value: str, start: int, end: int | None
) -> None:
    data = pattern(size)
    s3.put(f"{bucket}/k", data)
    answer = s3.get(f"{bucket}/k", Range=value)
    wanted = data[start:end]
    first = data.index(wanted) if start < 0 else start
    assert answer.status == 206
    assert answer.body == wanted
    assert answer.headers["content-length"] == str(len(wanted))
    last = first + len(wanted) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert answer.headers["etag"] == s3.head(f"{bucket}/k").headers["etag"]


@pytest.mark.parametrize(
    "value",
    ["bytes=5-1", "bytes=a-b", "bytes", "lines=1-2", "bytes=0-1,4-5", "bytes=--1", "bytes=-"],
)
def test_a_range_that_is_none_or_many_is_ignored(s3: Client, key: str, value: str) -> None:
    answer = s3.get(key, Range=value)
    assert (answer.status, answer.body) == (200, TEXT)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("value", ["bytes=43-", "bytes=43-50", "bytes=9999-", "bytes=-0"])
def test_a_range_behind_the_end_is_a_416(s3: Client, key: str, value: str) -> None:
    answer = s3.get(key, Range=value)
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert answer.text("ActualObjectSize") == "43"
    assert answer.text("RangeRequested") == value
    assert answer.headers["content-range"] == "bytes */43"


def test_an_empty_object_has_no_range(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/empty", b"")
    answer = s3.get(f"{bucket}/empty", Range="bytes=0-0")
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert s3.get(f"{bucket}/empty").headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("if_range", "status"), [(ETAG, 206), (WRONG_ETAG, 200), (LONG_AGO, 200), ("W/" + ETAG, 200)]
)
def test_if_range_guards_the_range(s3: Client, key: str, if_range: str, status: int) -> None:
    answer = s3.get(key, Range="bytes=0-3", If_Range=if_range)
    assert answer.status == status
    assert answer.body == (TEXT[:4] if status == 206 else TEXT)
    modified = s3.head(key).headers["last-modified"]
    assert s3.get(key, Range="bytes=0-3", If_Range=modified).status == 206


# -- part numbers of an object in one piece


def test_an_object_in_one_piece_is_its_part_1(s3: Client, key: str) -> None:
    answer = s3.get(key, "partNumber=1")
    assert (answer.status, answer.body) == (206, TEXT)
    assert answer.headers["content-range"] == "bytes 0-42/43"
    assert "x-amz-mp-parts-count" not in answer.headers


def test_an_object_in_one_piece_has_no_part_2(s3: Client, key: str) -> None:
    answer = s3.get(key, "partNumber=2")
    assert (answer.status, answer.code) == (416, "InvalidPartNumber")
    assert answer.text("ActualPartCount") == "1"
    assert answer.text("PartNumberRequested") == "2"


@pytest.mark.parametrize("value", ["0", "10001", "-1", "x", ""])
def test_a_part_number_out_of_range_is_refused(s3: Client, key: str, value: str) -> None:
    answer = s3.get(key, f"partNumber={value}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "partNumber"


def test_a_part_and_a_range_exclude_each_other(s3: Client, key: str) -> None:
    answer = s3.get(key, "partNumber=1", Range="bytes=0-1")
    assert (answer.status, answer.code) == (400, "InvalidRequest")


# -- conditional reads

SOON = "soon"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": ETAG}, 200),
        ({"If-Match": ETAG.strip('"')}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"{WRONG_ETAG}, {ETAG}"}, 200),
        ({"If-Match": WRONG_ETAG}, 412),
        ({"If-None-Match": WRONG_ETAG}, 200),
        ({"If-None-Match": ETAG}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": f'"x", W/{ETAG}'}, 304),
        ({"If-Modified-Since": LONG_AGO}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "modified"}, 304),
        ({"If-Unmodified-Since": LONG_AGO}, 412),
        ({"If-Unmodified-Since": "modified"}, 200),
        ({"If-Unmodified-Since": SOON}, 200),
        ({"If-Match": ETAG, "If-Unmodified-Since": LONG_AGO}, 200),
        ({"If-None-Match": WRONG_ETAG, "If-Modified-Since": "modified"}, 200),
        ({"If-None-Match": ETAG, "If-Modified-Since": LONG_AGO}, 304),
        ({"If-Match": WRONG_ETAG, "If-None-Match": ETAG}, 412),
        ({"If-Match": ETAG, "If-None-Match": ETAG}, 304),
    ],
)
def test_conditions_on_a_read(s3: Client, key: str, headers: dict[str, str], status: int) -> None:
    modified = s3.head(key).headers["last-modified"]
    words = {"modified": modified, SOON: soon()}
    sent = {name: words.get(value, value) for name, value in headers.items()}
    for method in ("GET", "HEAD"):
        answer = s3.request(method, key, "", sent)
        assert answer.status == status
    answer = s3.request("GET", key, "", sent)
    if status == 304:
        assert answer.body == b""
        assert answer.headers["etag"] == ETAG
        assert answer.headers["last-modified"] == modified
        assert "content-length" not in answer.headers
    elif status == 412:
        assert answer.code == "PreconditionFailed"
        assert answer.text("Condition") in headers
    else:
        assert answer.body == TEXT


def test_a_failed_condition_decides_before_a_bad_range(s3: Client, key: str) -> None:
    assert s3.get(key, Range="bytes=900-", If_Match=WRONG_ETAG).status == 412
    assert s3.get(key, Range="bytes=900-", If_None_Match=ETAG).status == 304
    assert s3.get(key, Range="bytes=900-", If_Match=ETAG).status == 416


# -- conditional writes


def test_if_none_match_writes_only_what_is_new(s3: Client, bucket: str) -> None:
    assert s3.put(f"{bucket}/k", b"one", If_None_Match="*").status == 200
    answer = s3.put(f"{bucket}/k", b"two", If_None_Match="*")
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert answer.text("Condition") == "If-None-Match"
    assert s3.get(f"{bucket}/k").body == b"one"
    s3.delete(f"{bucket}/k")
    assert s3.put(f"{bucket}/k", b"three", If_None_Match="*").status == 200


def test_if_match_writes_only_over_what_was_seen(s3: Client, key: str, bucket: str) -> None:
    answer = s3.put(key, b"two", If_Match=WRONG_ETAG)
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert answer.text("Condition") == "If-Match"
    assert s3.get(key).body == TEXT
    second = s3.put(key, b"two", If_Match=ETAG)
    assert second.status == 200
    assert s3.put(key, b"three", If_Match=ETAG).status == 412
    assert s3.put(key, b"three", If_Match=second.headers["etag"].strip('"')).status == 200
    missing = s3.put(f"{bucket}/missing", b"x", If_Match=ETAG)
    assert (missing.status, missing.code) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": ETAG},
        {"If-Match": "*"},
        {"If-Match": ETAG, "If-None-Match": "*"},
        {"If-Unmodified-Since": LONG_AGO},
        {"If-Modified-Since": LONG_AGO},
    ],
)
def test_conditions_that_s3_has_no_writes_for_are_refused(
    s3: Client, key: str, headers: dict[str, str]
) -> None:
    answer = s3.request("PUT", key, "", headers, b"two")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert s3.get(key).body == TEXT


def test_a_large_body_is_refused_by_its_condition_before_it_is_read(s3: Client, key: str) -> None:
    for headers in ({"If-None-Match": "*"}, {"If-Match": WRONG_ETAG}):
        refused_unread(s3, "PUT", key, headers, 412)


def refused_unread(
    client: Client,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    query: str = "",
    length: int = 2 << 20,
) -> None:
    body = Untouchable()
    sent = {
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "Content-Length": str(length),
        **headers,
    }
    answer = client.request(method, path, query, sent, body)
    assert answer.status == status, answer.body
    assert not body.touched


def test_whatever_headers_can_decide_is_decided_before_the_body(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    refused_unread(s3, "PUT", "/no-such-bucket-here/k", {}, 404)
    refused_unread(other, "PUT", f"{bucket}/k", {}, 403)
    refused_unread(anonymous, "PUT", f"{bucket}/k", {}, 403)
    refused_unread(s3, "PUT", f"{bucket}/{'x' * 1025}", {}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {}, 400, length=(5 << 30) + 1)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-storage-class": "NONE"}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-acl": "none"}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-tagging": "a=1&a=2"}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"Content-MD5": "short"}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-checksum-crc32": "short"}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-meta-a": "x" * 3000}, 400)
    refused_unread(s3, "PUT", f"{bucket}/k", {"x-amz-expected-bucket-owner": "me"}, 403)
    refused_unread(s3, "PUT", f"{bucket}/k", {}, 404, "partNumber=1&uploadId=none")
    refused_unread(s3, "POST", f"{bucket}/k", {}, 404, "uploadId=none")


# -- integrity


def test_a_right_content_md5_is_taken(s3: Client, bucket: str) -> None:
    md5 = base64.b64encode(hashlib.md5(TEXT).digest()).decode()
    assert s3.put(f"{bucket}/k", TEXT, Content_MD5=md5).status == 200


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_wrong_content_md5_stores_nothing(s3: Client, bucket: str, size: int) -> None:
    md5 = base64.b64encode(bytes(16)).decode()
    answer = s3.put(f"{bucket}/k", pattern(size), Content_MD5=md5)
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert s3.head(f"{bucket}/k").status == 404


@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", "=" * 24])
def test_a_content_md5_that_is_none_is_refused(s3: Client, bucket: str, value: str) -> None:
    answer = s3.put(f"{bucket}/k", TEXT, Content_MD5=value)
    assert (answer.status, answer.code) == (400, "InvalidDigest")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_in_a_header_is_verified_kept_and_shown_on_request(
    s3: Client, bucket: str, algorithm: str
) -> None:
    name = f"x-amz-checksum-{algorithm.lower()}"
    value = CHECK_VALUES[algorithm]
    answer = s3.request("PUT", f"{bucket}/k", "", {name: value}, NINE)
    assert answer.status == 200
    assert answer.headers[name] == value
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert name not in s3.head(f"{bucket}/k").headers
    for method in ("GET", "HEAD"):
        shown = s3.request(method, f"{bucket}/k", "", {"x-amz-checksum-mode": "ENABLED"})
        assert shown.headers[name] == value
        assert shown.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    part = s3.get(f"{bucket}/k", Range="bytes=0-1", x_amz_checksum_mode="ENABLED")
    assert name not in part.headers
    listed = parsed("ListObjectsV2", s3.get(bucket, "list-type=2"))["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]
    assert listed["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("size", [9, 100_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_stores_nothing(
    s3: Client, bucket: str, algorithm: str, size: int
) -> None:
    wrong = checksums.encode(checksums.digest_of(algorithm, b"something else"))
    headers = {f"x-amz-checksum-{algorithm.lower()}": wrong}
    answer = s3.request("PUT", f"{bucket}/k", "", headers, pattern(size))
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert s3.head(f"{bucket}/k").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": "AAAA"},
        {"x-amz-checksum-crc32": "!"},
        {"x-amz-checksum-crc32": CHECK_VALUES["CRC32"], "x-amz-checksum-sha1": "AAAA"},
        {"x-amz-checksum-crc16": "AAA="},
        {"x-amz-sdk-checksum-algorithm": "CRC32"},
        {"x-amz-sdk-checksum-algorithm": "MD4"},
    ],
)
def test_a_checksum_that_makes_no_sense_is_refused(
    s3: Client, bucket: str, headers: dict[str, str]
) -> None:
    answer = s3.request("PUT", f"{bucket}/k", "", headers, NINE)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.head(f"{bucket}/k").status == 404


def chunked(data: bytes, trailer: str, chunk: int = 65536) -> bytes:
    """An unsigned aws-chunked body."""
    blocks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    return b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks) + (
        f"0\r\n{trailer}\r\n\r\n".encode()
    )


def put_with_trailer(
    client: Client, path: str, data: bytes, name: str, value: str, query: str = ""
) -> Any:
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(data)),
        "x-amz-trailer": name,
    }
    return client.request("PUT", path, query, headers, chunked(data, f"{name}:{value}"))


@pytest.mark.parametrize("size", [0, 9, 200_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_in_the_trailer_is_verified_and_kept(
    s3: Client, bucket: str, algorithm: str, size: int
) -> None:
    data = pattern(size)
    name = f"x-amz-checksum-{algorithm.lower()}"
    value = checksums.encode(checksums.digest_of(algorithm, data))
    answer = put_with_trailer(s3, f"{bucket}/k", data, name, value)
    assert answer.status == 200, answer.body
    assert answer.headers[name] == value
    got = s3.get(f"{bucket}/k", x_amz_checksum_mode="ENABLED")
    assert got.body == data
    assert got.headers[name] == value
    assert "content-encoding" not in got.headers


@pytest.mark.parametrize("size", [9, 200_000])
def test_a_wrong_checksum_in_the_trailer_stores_nothing(s3: Client, bucket: str, size: int) -> None:
    wrong = checksums.encode(checksums.digest_of("CRC32", b"else"))
    answer = put_with_trailer(s3, f"{bucket}/k", pattern(size), "x-amz-checksum-crc32", wrong)
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert s3.head(f"{bucket}/k").status == 404


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, None])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_botocore_stores_and_verifies_with_every_checksum(
    app: S3App, mount: str, bucket: str, scheme: str, algorithm: str | None
) -> None:
    """Over https its checksums come in trailers."""
    client = boto_client(app, mount=mount, endpoint=f"{scheme}://s3.test")
    data = pattern(100_000)
    extra = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    if algorithm == "MD5":
        # The one that botocore does not compute itself.
        extra = {"ChecksumMD5": base64.b64encode(hashlib.md5(data).digest()).decode()}
    put = client.put_object(Bucket=bucket[1:], Key="k", Body=io.BytesIO(data), **extra)
    got = client.get_object(Bucket=bucket[1:], Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    field = f"Checksum{algorithm or 'CRC32'}"
    assert put[field] == got[field]
    assert put["ChecksumType"] == got["ChecksumType"] == "FULL_OBJECT"


def test_unasked_the_endpoint_computes_crc64nvme(s3: Client, bucket: str) -> None:
    answer = s3.put(f"{bucket}/k", NINE)
    assert answer.headers["x-amz-checksum-crc64nvme"] == CHECK_VALUES["CRC64NVME"]


def test_a_body_shorter_than_promised_stores_nothing(s3: Client, bucket: str) -> None:
    for size in (100, 100_000):
        headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "Content-Length": str(size)}
        body = io.BytesIO(pattern(size - 1))
        answer = s3.request("PUT", f"{bucket}/k", "", headers, body)
        assert (answer.status, answer.code) == (400, "IncompleteBody")
        assert s3.head(f"{bucket}/k").status == 404


def test_another_body_than_the_signed_one_stores_nothing(s3: Client, bucket: str) -> None:
    for size in (100, 100_000):
        headers = {"x-amz-content-sha256": hashlib.sha256(b"another").hexdigest()}
        answer = s3.request("PUT", f"{bucket}/k", "", headers, pattern(size))
        assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
        assert s3.head(f"{bucket}/k").status == 404


# -- response-* overrides

OVERRIDES = {
    "response-content-type": "text/x-other",
    "response-content-language": "de",
    "response-expires": "Thu, 01 Dec 1994 16:00:00 GMT",
    "response-cache-control": "max-age=5",
    "response-content-disposition": 'attachment; filename="x.txt"',
    "response-content-encoding": "br",
}


def test_signed_requests_may_override_headers(s3: Client, key: str) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in OVERRIDES.items())
    for method in ("GET", "HEAD"):
        answer = s3.request(method, key, query)
        assert answer.status == 200
        for name, value in OVERRIDES.items():
            assert answer.headers[name.removeprefix("response-")] == value
    assert s3.get(key).headers["content-type"] == "text/plain"
    assert s3.get(key, query, Range="bytes=0-1").headers["content-type"] == "text/x-other"


def test_anonymous_requests_may_not(s3: Client, anonymous: Client, bucket: str) -> None:
    """A112."""
    s3.put(f"{bucket}/k", TEXT, x_amz_acl="public-read")
    assert anonymous.get(f"{bucket}/k").body == TEXT
    answer = anonymous.get(f"{bucket}/k", "response-content-type=text%2Fhtml")
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_an_override_cannot_split_the_response(s3: Client, key: str) -> None:
    """A100."""
    answer = s3.get(key, "response-content-type=a%0D%0AX-Evil:%20yes")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "x-evil" not in answer.headers


def test_unknown_parameters_of_a_read_are_ignored(s3: Client, key: str) -> None:
    assert s3.get(key, "ver=6.1&utm_source=mail").body == TEXT


# -- versions of a bucket without versioning


def test_the_null_version_is_the_object(s3: Client, key: str) -> None:
    for method in ("GET", "HEAD"):
        answer = s3.request(method, key, "versionId=null")
        assert answer.status == 200
        assert answer.headers["x-amz-version-id"] == "null"
        assert "x-amz-version-id" not in s3.request(method, key).headers


def test_other_versions_do_not_exist(s3: Client, key: str) -> None:
    answer = s3.get(key, "versionId=3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY")
    assert (answer.status, answer.code) == (404, "NoSuchVersion")
    assert answer.text("Key") == "key"
    assert answer.text("VersionId") == "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"
    assert s3.get(key, "versionId=").code == "InvalidArgument"


def test_a_write_takes_no_version(s3: Client, key: str) -> None:
    answer = s3.put(key, b"x", "versionId=null")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.get(key).body == TEXT


# -- delete


def test_delete_is_a_bare_204_and_repeatable(s3: Client, key: str) -> None:
    for _ in range(2):
        answer = s3.delete(key)
        assert (answer.status, answer.body) == (204, b"")
        assert set(answer.headers) == {"x-amz-request-id", "x-amz-id-2"}
    assert s3.get(key).status == 404


def test_the_null_version_can_be_deleted(s3: Client, key: str) -> None:
    answer = s3.delete(key, "versionId=null")
    assert answer.status == 204
    assert answer.headers["x-amz-version-id"] == "null"
    assert "x-amz-delete-marker" not in answer.headers
    assert s3.get(key).code == "NoSuchKey"


@pytest.mark.parametrize("version", ["unknown", "a%0D%0AX-Evil:%20yes", "%C3%A9", "%00"])
def test_to_delete_an_unknown_version_changes_nothing(s3: Client, key: str, version: str) -> None:
    answer = s3.delete(key, f"versionId={version}")
    assert answer.status == 204
    assert "x-evil" not in answer.headers
    assert s3.get(key).body == TEXT
    assert s3.get(key, f"versionId={version}").code == "NoSuchVersion"


def test_conditions_on_a_delete(s3: Client, key: str) -> None:
    modified = s3.head(key).headers["last-modified"]
    for headers in (
        {"If-Match": WRONG_ETAG},
        {"x-amz-if-match-size": "42"},
        {"x-amz-if-match-last-modified-time": LONG_AGO},
        {"If-Match": ETAG, "x-amz-if-match-size": "0"},
    ):
        answer = s3.request("DELETE", key, "", headers)
        assert (answer.status, answer.code) == (412, "PreconditionFailed")
        assert s3.get(key).body == TEXT
    everything = {
        "If-Match": ETAG,
        "x-amz-if-match-size": "43",
        "x-amz-if-match-last-modified-time": modified,
    }
    assert s3.request("DELETE", key, "", everything).status == 204
    assert s3.get(key).status == 404
    s3.put(key, TEXT)
    assert s3.delete(key, If_Match="*").status == 204


def test_a_condition_on_a_delete_that_cannot_be_read_deletes_nothing(s3: Client, key: str) -> None:
    assert s3.delete(key, x_amz_if_match_size="many").code == "InvalidArgument"
    assert s3.delete(key, x_amz_if_match_last_modified_time="late").code == "InvalidArgument"
    assert s3.get(key).body == TEXT


def test_other_accounts_touch_nothing(
    s3: Client, other: Client, anonymous: Client, key: str, bucket: str
) -> None:
    """CS-19, A057: neither what is there nor whether it is there."""
    for client in (other, anonymous):
        for path in (key, f"{bucket}/missing"):
            assert client.get(path).code == "AccessDenied"
            assert client.head(path).status == 403
            assert client.delete(path).code == "AccessDenied"
            assert client.put(path, b"evil").code == "AccessDenied"
    assert s3.get(key).body == TEXT


def test_an_expected_owner_counts_for_objects_too(s3: Client, key: str) -> None:
    assert s3.get(key, x_amz_expected_bucket_owner=OWNER_ID).body == TEXT
    for method in ("GET", "PUT", "DELETE"):
        answer = s3.request(method, key, "", {"x-amz-expected-bucket-owner": OTHER_ID}, b"")
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(key).body == TEXT
