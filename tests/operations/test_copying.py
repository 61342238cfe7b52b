"""CopyObject and UploadPartCopy."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from s3kit.app import S3App
from s3kit.auth.access import BucketAccess
from s3kit.model import Decision
from s3kit.model import Question
from s3kit.wire import checksums
from tests.client import Answer
from tests.client import Client
from tests.client import path_of
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import parsed

TEXT = b"to be copied"
ETAG = f'"{hashlib.md5(TEXT).hexdigest()}"'
WRONG_ETAG = '"00000000000000000000000000000000"'
LONG_AGO = formatdate(0, usegmt=True)
MIB = 1 << 20
BIG = bytes(range(256)) * 400


def copy(client: Client, source: str, target: str, query: str = "", **headers: str) -> Answer:
    return client.put(target, b"", query, x_amz_copy_source=source, **headers)


@pytest.fixture
def source(s3: Client, bucket: str) -> str:
    """The path of an object with everything that a copy may take along."""
    headers = {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "Content-Encoding": "gzip",
        "x-amz-meta-color": "red",
        "x-amz-tagging": "kind=source",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-acl": "public-read",
    }
    path = f"{bucket}/source"
    assert s3.request("PUT", path, "", headers, TEXT).status == 200
    return path


def test_a_copy_answers_with_etag_and_time(s3: Client, bucket: str, source: str) -> None:
    answer = copy(s3, source, f"{bucket}/copy")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    for absent in ("etag", "x-amz-version-id", "x-amz-copy-source-version-id"):
        assert absent not in answer.headers
    found = parsed("CopyObject", answer)["CopyObjectResult"]
    assert found["ETag"] == ETAG
    assert found["ChecksumType"] == "FULL_OBJECT"
    assert found["ChecksumCRC64NVME"]
    head = s3.head(f"{bucket}/copy")
    assert head.headers["etag"] == ETAG
    shown = f"{found['LastModified']:%a, %d %b %Y %H:%M:%S GMT}"
    assert shown == head.headers["last-modified"]


def test_a_copy_takes_metadata_and_tags_but_not_class_redirect_or_acl(
    s3: Client, anonymous: Client, bucket: str, source: str
) -> None:
    target = f"{bucket}/copy"
    # Without REPLACE what comes in the headers does not count.
    copy(s3, source, target, x_amz_meta_color="green", Content_Type="x/y", x_amz_tagging="no=1")
    got = s3.get(target)
    assert got.body == TEXT
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["x-amz-meta-color"] == "red"
    assert "x-amz-storage-class" not in got.headers
    assert "x-amz-website-redirect-location" not in got.headers
    assert s3.get(target, "tagging").texts("TagSet/Tag/Value") == ["source"]
    assert anonymous.get(source).status == 200
    assert anonymous.get(target).status == 403


def test_replace_takes_everything_from_the_request(s3: Client, bucket: str, source: str) -> None:
    target = f"{bucket}/copy"
    answer = copy(
        s3,
        source,
        target,
        x_amz_metadata_directive="REPLACE",
        x_amz_tagging_directive="REPLACE",
        x_amz_tagging="kind=copy&new=1",
        x_amz_meta_shape="round",
        Content_Type="text/html",
        x_amz_storage_class="GLACIER_IR",
        x_amz_website_redirect_location="/there",
    )
    assert answer.status == 200
    got = s3.get(target)
    assert got.headers["content-type"] == "text/html"
    assert got.headers["x-amz-meta-shape"] == "round"
    assert got.headers["x-amz-storage-class"] == "GLACIER_IR"
    assert got.headers["x-amz-website-redirect-location"] == "/there"
    for absent in ("x-amz-meta-color", "cache-control", "content-encoding"):
        assert absent not in got.headers
    assert s3.get(target, "tagging").texts("TagSet/Tag/Value") == ["copy", "1"]


def test_replace_with_nothing_leaves_nothing(s3: Client, bucket: str, source: str) -> None:
    target = f"{bucket}/copy"
    copy(s3, source, target, x_amz_metadata_directive="REPLACE", x_amz_tagging_directive="REPLACE")
    got = s3.get(target)
    assert got.headers["content-type"] == "binary/octet-stream"
    assert "x-amz-meta-color" not in got.headers
    assert "x-amz-tagging-count" not in got.headers


@pytest.mark.parametrize("name", ["x-amz-metadata-directive", "x-amz-tagging-directive"])
@pytest.mark.parametrize("value", ["replace", "MOVE", " "])
def test_an_unknown_directive_is_refused(
    s3: Client, bucket: str, source: str, name: str, value: str
) -> None:
    headers = {"x-amz-copy-source": source, name: value}
    answer = s3.request("PUT", f"{bucket}/copy", "", headers)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == name
    assert s3.head(f"{bucket}/copy").status == 404


# -- onto itself


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-amz-metadata-directive": "COPY"},
        {"x-amz-meta-new": "1"},
        {"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "a=1"},
        {"x-amz-acl": "public-read"},
    ],
)
def test_a_copy_onto_itself_must_change_something(
    s3: Client, source: str, headers: dict[str, str]
) -> None:
    for name in (source, f"{source}?versionId=null"):
        answer = s3.request("PUT", source, "", {"x-amz-copy-source": name, **headers})
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert "copy an object to itself" in (answer.text("Message") or "")
    assert s3.get(source).headers["x-amz-meta-color"] == "red"


@pytest.mark.parametrize("size", [12, 70_000])
@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-color": "black"},
        {"x-amz-storage-class": "STANDARD"},
        {"x-amz-website-redirect-location": "/new"},
    ],
)
def test_a_copy_onto_itself_that_changes_something_keeps_the_bytes(
    s3: Client, bucket: str, headers: dict[str, str], size: int
) -> None:
    path = f"{bucket}/k"
    data = (BIG * 2)[:size]
    s3.put(path, data, x_amz_meta_color="red", x_amz_storage_class="STANDARD_IA")
    for _ in range(2):
        answer = s3.request("PUT", path, "", {"x-amz-copy-source": path, **headers})
        assert answer.status == 200
    got = s3.get(path)
    assert got.body == data
    for name, value in headers.items():
        if name in ("x-amz-meta-color", "x-amz-website-redirect-location"):
            assert got.headers[name] == value
    assert "x-amz-storage-class" not in got.headers


# -- where from, where to


@pytest.mark.parametrize(
    "key",
    ["a/b", "a//b", "/a", "a/", "..", "a b", "a+b", "100%", "q?x=1", "ü/日本", "?versionId=x", "#"],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_key_can_be_a_source(s3: Client, bucket: str, key: str, slash: str) -> None:
    """A067: parsed once, the same for access and for reading."""
    path = path_of(bucket[1:], key)
    s3.put(path, key.encode())
    assert copy(s3, slash + path[1:], f"{bucket}/copy").status == 200
    assert s3.get(f"{bucket}/copy").body == key.encode()


def test_a_source_may_be_encoded_as_a_whole(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a/b", TEXT)
    encoded = f"{bucket}/a/b".replace("/", "%2F")
    assert copy(s3, encoded, f"{bucket}/copy").status == 200
    assert s3.get(f"{bucket}/copy").body == TEXT


def test_plain_non_ascii_text_is_a_source_too(s3: Client, bucket: str) -> None:
    s3.put(path_of(bucket[1:], "grün"), TEXT)
    raw = f"{bucket}/grün".encode().decode("latin-1")
    assert copy(s3, raw, f"{bucket}/copy").status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "bucket",
        "bucket/",
        "/bucket",
        "b/k?other=1",
        "b/k%zz",
        "b/k%FF",
        "bucket/k?versionId=",
        "arn:aws:s3:us-east-1:1:accesspoint/x/object/k",
        "B_D/k",
    ],
)
def test_a_source_that_names_no_object_is_refused(s3: Client, bucket: str, value: str) -> None:
    """A104."""
    answer = copy(s3, value, f"{bucket}/copy")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "x-amz-copy-source"


def test_a_missing_source_is_named(s3: Client, bucket: str) -> None:
    answer = copy(s3, f"{bucket}/missing", f"{bucket}/copy")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert answer.text("Key") == "missing"
    answer = copy(s3, "/no-such-bucket-here/k", f"{bucket}/copy")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert answer.text("BucketName") == "no-such-bucket-here"
    answer = copy(s3, f"{bucket}/missing?versionId=none", f"{bucket}/copy")
    assert (answer.status, answer.code) == (404, "NoSuchVersion")


def test_a_missing_target_is_named(s3: Client, source: str) -> None:
    answer = copy(s3, source, "/no-such-bucket-here/k")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert answer.text("BucketName") == "no-such-bucket-here"


def test_both_ends_must_be_allowed(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    """A058, A067."""
    s3.put(f"{bucket}/secret", TEXT)
    theirs = f"{bucket}-theirs"
    other.put(theirs)
    other.put(theirs, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        answer = copy(client, f"{bucket}/secret", f"{theirs}/loot")
        assert (answer.status, answer.code) == (403, "AccessDenied")
        answer = copy(client, f"{bucket}/missing", f"{theirs}/loot")
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert other.head(f"{theirs}/loot").status == 404
    other.put(f"{theirs}/mine", b"x")
    assert copy(other, f"{theirs}/mine", f"{bucket}/in").code == "AccessDenied"
    upload = other.post(f"{theirs}/loot", query="uploads").text("UploadId")
    query = f"partNumber=1&uploadId={upload}"
    assert copy(other, f"{bucket}/secret", f"{theirs}/loot", query).code == "AccessDenied"


def test_a_public_object_may_be_copied_by_others_but_not_its_tags(
    other: Client, bucket: str, source: str, s3: Client
) -> None:
    theirs = f"{bucket}-mine"
    other.put(theirs)
    answer = copy(other, source, f"{theirs}/copy")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert copy(other, source, f"{theirs}/copy", x_amz_tagging_directive="REPLACE").status == 200
    got = other.get(f"{theirs}/copy")
    assert got.body == TEXT
    assert other.get(theirs).text("Contents/Owner/ID") == OTHER_ID
    assert s3.get(f"{theirs}/copy").code == "AccessDenied"


@pytest.mark.parametrize(
    ("query", "suffix"), [("", ""), ("?versionId=null", "Version")], ids=["current", "named"]
)
def test_who_copies_tags_is_asked_about_at_both_ends(
    app: S3App,
    s3: Client,
    bucket: str,
    source: str,
    query: str,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Listening(BucketAccess):
        def decide(self, question: Question) -> Decision:
            asked.append((question.action, question.key, question.version_id))
            return super().decide(question)

    monkeypatch.setattr(app, "_site", replace(app._site, access=Listening()))
    assert copy(s3, f"{source}{query}", f"{bucket}/copy").status == 200
    version_id = "null" if query else None
    assert asked == [
        ("s3:PutObject", b"copy", None),
        (f"s3:GetObject{suffix}", b"source", version_id),
        (f"s3:GetObject{suffix}Tagging", b"source", version_id),
        ("s3:PutObjectTagging", b"copy", None),
    ]


def test_expected_owners_of_both_ends_count(s3: Client, bucket: str, source: str) -> None:
    name = "x-amz-source-expected-bucket-owner"
    headers = {"x-amz-copy-source": source, name: OTHER_ID}
    assert s3.request("PUT", f"{bucket}/copy", "", headers).code == "AccessDenied"
    headers[name] = OWNER_ID
    assert s3.request("PUT", f"{bucket}/copy", "", headers).status == 200


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 400_000])
def test_a_copy_lives_on_when_its_source_is_gone(
    s3: Client, bucket: str, far_bucket: str, size: int
) -> None:
    """Within one storage and across two."""
    data = (BIG * 4)[:size]
    s3.put(f"{bucket}/k", data)
    for target in (f"{bucket}/near", f"{far_bucket}/far"):
        answer = copy(s3, f"{bucket}/k", target)
        assert answer.text("ETag") == f'"{hashlib.md5(data).hexdigest()}"'
    s3.put(f"{bucket}/k", b"something else")
    s3.delete(f"{bucket}/k")
    for target in (f"{bucket}/near", f"{far_bucket}/far"):
        assert s3.get(target).body == data
    copy(s3, f"{far_bucket}/far", f"{bucket}/back")
    s3.delete(f"{far_bucket}/far")
    assert s3.get(f"{bucket}/back").body == data
    assert s3.get(f"{bucket}/near", Range="bytes=-3").body == data[-3:]


# -- conditions


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": ETAG}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": WRONG_ETAG}, 412),
        ({"if-none-match": WRONG_ETAG}, 200),
        ({"if-none-match": ETAG}, 412),
        ({"if-none-match": "*"}, 412),
        ({"if-modified-since": LONG_AGO}, 200),
        ({"if-modified-since": "now"}, 412),
        ({"if-unmodified-since": LONG_AGO}, 412),
        ({"if-unmodified-since": "now"}, 200),
        ({"if-match": ETAG, "if-unmodified-since": LONG_AGO}, 200),
        ({"if-none-match": ETAG, "if-modified-since": LONG_AGO}, 412),
    ],
)
def test_conditions_on_the_source(
    s3: Client, bucket: str, source: str, headers: dict[str, str], status: int
) -> None:
    modified = s3.head(source).headers["last-modified"]
    sent = {
        f"x-amz-copy-source-{name}": modified if value == "now" else value
        for name, value in headers.items()
    }
    answer = s3.request("PUT", f"{bucket}/copy", "", {"x-amz-copy-source": source, **sent})
    assert answer.status == status
    upload = s3.post(f"{bucket}/up", query="uploads").text("UploadId")
    part = s3.request(
        "PUT",
        f"{bucket}/up",
        f"partNumber=1&uploadId={upload}",
        {"x-amz-copy-source": source, **sent},
    )
    assert part.status == status
    if status == 412:
        assert answer.code == part.code == "PreconditionFailed"
        assert (answer.text("Condition") or "").startswith("x-amz-copy-source-If-")
        assert s3.head(f"{bucket}/copy").status == 404


def test_conditions_on_the_target(s3: Client, bucket: str, source: str) -> None:
    target = f"{bucket}/copy"
    assert copy(s3, source, target, If_Match=ETAG).code == "NoSuchKey"
    assert copy(s3, source, target, If_None_Match="*").status == 200
    assert copy(s3, source, target, If_None_Match="*").code == "PreconditionFailed"
    assert copy(s3, source, target, If_Match=WRONG_ETAG).code == "PreconditionFailed"
    assert copy(s3, source, target, If_Match=ETAG).status == 200


# -- checksums


@pytest.mark.parametrize("size", [12, 70_000])
@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_a_copy_may_get_another_checksum(
    s3: Client, bucket: str, algorithm: str, size: int
) -> None:
    data = (BIG * 2)[:size]
    s3.put(f"{bucket}/k", data)
    answer = copy(s3, f"{bucket}/k", f"{bucket}/copy", x_amz_checksum_algorithm=algorithm)
    value = checksums.encode(checksums.digest_of(algorithm, data))
    found = parsed("CopyObject", answer)["CopyObjectResult"]
    assert found[f"Checksum{algorithm}"] == value
    got = s3.get(f"{bucket}/copy", x_amz_checksum_mode="ENABLED")
    assert got.headers[f"x-amz-checksum-{algorithm.lower()}"] == value
    assert got.body == data
    # From now on a copy keeps it.
    again = parsed("CopyObject", copy(s3, f"{bucket}/copy", f"{bucket}/third"))
    assert again["CopyObjectResult"][f"Checksum{algorithm}"] == value


def test_an_unknown_checksum_is_refused(s3: Client, bucket: str, source: str) -> None:
    answer = copy(s3, source, f"{bucket}/copy", x_amz_checksum_algorithm="CRC16")
    assert (answer.status, answer.code) == (400, "InvalidRequest")


# -- a source in parts, and copies into parts


def upload(client: Client, path: str, parts: list[bytes]) -> None:
    upload_id = client.post(path, query="uploads").text("UploadId")
    rows = []
    for number, data in enumerate(parts, 1):
        answer = client.put(path, data, f"partNumber={number}&uploadId={upload_id}")
        rows.append(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag></Part>"
        )
    body = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>"
    assert client.post(path, body.encode(), f"uploadId={upload_id}").status == 200


def test_a_multipart_source_is_copied_whole(s3: Client, bucket: str, far_bucket: str) -> None:
    first = bytes(5 * MIB)
    upload(s3, f"{bucket}/parts", [first, b"tail"])
    for target in (f"{bucket}/near", f"{far_bucket}/far"):
        assert copy(s3, f"{bucket}/parts", target).status == 200
    s3.delete(f"{bucket}/parts")
    for target in (f"{bucket}/near", f"{far_bucket}/far"):
        head = s3.head(target)
        assert head.headers["content-length"] == str(5 * MIB + 4)
        got = s3.get(target, Range=f"bytes={5 * MIB - 2}-")
        assert got.body == b"\0\0tail"


@pytest.mark.parametrize("size", [12, 70_000])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (3, 7), (0, 11), (11, 11)])
def test_a_range_becomes_a_part(s3: Client, bucket: str, size: int, first: int, last: int) -> None:
    data = (BIG * 2)[:size]
    s3.put(f"{bucket}/k", data)
    upload_id = s3.post(f"{bucket}/up", query="uploads").text("UploadId")
    answer = copy(
        s3,
        f"{bucket}/k",
        f"{bucket}/up",
        f"partNumber=7&uploadId={upload_id}",
        x_amz_copy_source_range=f"bytes={first}-{last}",
    )
    assert answer.status == 200
    assert answer.xml.tag == "CopyPartResult"
    wanted = data[first : last + 1]
    found = parsed("UploadPartCopy", answer)["CopyPartResult"]
    assert found["ETag"] == f'"{hashlib.md5(wanted).hexdigest()}"'
    assert abs(found["LastModified"].timestamp() - time.time()) < 60
    listed = parsed("ListParts", s3.get(f"{bucket}/up", f"uploadId={upload_id}"))["Parts"]
    assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed] == [
        (7, len(wanted), found["ETag"])
    ]
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>7</PartNumber>"
        f"<ETag>{found['ETag']}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    assert s3.post(f"{bucket}/up", body, f"uploadId={upload_id}").status == 200
    assert s3.get(f"{bucket}/up").body == wanted


@pytest.mark.parametrize("size", [0, 12])
def test_without_a_range_the_whole_source_becomes_a_part(
    s3: Client, bucket: str, size: int
) -> None:
    s3.put(f"{bucket}/k", BIG[:size])
    upload_id = s3.post(f"{bucket}/up", query="uploads").text("UploadId")
    answer = copy(s3, f"{bucket}/k", f"{bucket}/up", f"partNumber=1&uploadId={upload_id}")
    assert answer.text("ETag") == f'"{hashlib.md5(BIG[:size]).hexdigest()}"'
    assert s3.get(f"{bucket}/up", f"uploadId={upload_id}").texts("Part/Size") == [str(size)]


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-12",
        "bytes=12-12",
        "bytes=5-",
        "bytes=-5",
        "0-2",
        "bytes=3-2",
        "bytes=0-1,3-4",
        "x",
        "bytes=a-b",
        "bytes=",
    ],
)
def test_a_copy_range_must_lie_in_the_source(
    s3: Client, bucket: str, source: str, value: str
) -> None:
    upload_id = s3.post(f"{bucket}/up", query="uploads").text("UploadId")
    answer = copy(
        s3,
        source,
        f"{bucket}/up",
        f"partNumber=1&uploadId={upload_id}",
        x_amz_copy_source_range=value,
    )
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "x-amz-copy-source-range"


def test_a_part_copy_needs_its_upload(s3: Client, bucket: str, source: str) -> None:
    answer = copy(s3, source, f"{bucket}/up", "partNumber=1&uploadId=none")
    assert (answer.status, answer.code) == (404, "NoSuchUpload")
    upload_id = s3.post(f"{bucket}/up", query="uploads").text("UploadId")
    answer = copy(s3, source, f"{bucket}/up", f"partNumber=10001&uploadId={upload_id}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_a_range_across_parts_and_storages_becomes_a_part(
    s3: Client, bucket: str, far_bucket: str
) -> None:
    upload(s3, f"{bucket}/parts", [bytes(5 * MIB), b"0123456789"])
    upload_id = s3.post(f"{far_bucket}/up", query="uploads").text("UploadId")
    answer = copy(
        s3,
        f"{bucket}/parts",
        f"{far_bucket}/up",
        f"partNumber=1&uploadId={upload_id}",
        x_amz_copy_source_range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}",
    )
    assert answer.text("ETag") == f'"{hashlib.md5(bytes(3) + b"0123").hexdigest()}"'


def test_botocore_copies(app: S3App, mount: str, bucket: str, s3: Client) -> None:
    client = boto_client(app, mount=mount)
    name = bucket[1:]
    client.put_object(Bucket=name, Key="ä b+c", Body=TEXT, Metadata={"a": "b"})
    client.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "ä b+c"})
    got = client.get_object(Bucket=name, Key="copy")
    assert (got["Body"].read(), got["Metadata"]) == (TEXT, {"a": "b"})


@pytest.mark.parametrize("name", ["algorithm", "key", "key-MD5"])
def test_a_part_of_a_customers_key_is_refused_at_both_ends(
    s3: Client, bucket: str, source: str, name: str
) -> None:
    upload = s3.post(f"{bucket}/copy", query="uploads").text("UploadId")
    for query in ("", f"partNumber=1&uploadId={upload}"):
        for prefix in ("x-amz-", "x-amz-copy-source-"):
            header = f"{prefix}server-side-encryption-customer-{name}"
            answer = copy(s3, source, f"{bucket}/copy", query, **{header: "AES256"})
            assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.head(f"{bucket}/copy").status == 404
    assert s3.get(f"{bucket}/copy", f"uploadId={upload}").texts("Part") == []
