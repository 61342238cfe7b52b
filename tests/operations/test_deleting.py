"""DeleteObjects."""

from __future__ import annotations

import base64
import hashlib
from xml.sax.saxutils import escape

import pytest

from s3kit.app import S3App
from s3kit.wire import checksums
from tests.client import Answer
from tests.client import Client
from tests.client import path_of
from tests.endpoint import boto_client
from tests.endpoint import parsed


def document(*objects: str, quiet: bool = False) -> bytes:
    rows = "".join(f"<Object>{row}</Object>" for row in objects)
    return (
        f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{'<Quiet>true</Quiet>' if quiet else ''}{rows}</Delete>"
    ).encode()


def keys(*names: str) -> list[str]:
    return [f"<Key>{escape(name)}</Key>" for name in names]


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def delete(client: Client, bucket: str, body: bytes, **headers: str) -> Answer:
    return client.post(bucket, body, "delete", Content_MD5=md5_of(body), **headers)


def test_keys_are_removed_and_named(s3: Client, bucket: str) -> None:
    """BB-08."""
    for key in ("a", "b", "c"):
        s3.put(f"{bucket}/{key}", b"x")
    answer = delete(s3, bucket, document(*keys("a", "c", "missing")))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    assert parsed("DeleteObjects", answer)["Deleted"] == [
        {"Key": "a"},
        {"Key": "c"},
        {"Key": "missing"},
    ]
    assert answer.texts("Error") == []
    assert s3.get(bucket).texts("Contents/Key") == ["b"]


def test_quiet_names_only_failures(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    s3.put(f"{bucket}/b", b"x")
    body = document(*keys("a"), "<Key>b</Key><ETag>wrong</ETag>", quiet=True)
    answer = delete(s3, bucket, body)
    assert answer.texts("Deleted") == []
    assert answer.texts("Error/Key") == ["b"]
    assert s3.get(bucket).texts("Contents/Key") == ["b"]


@pytest.mark.parametrize(
    "key", ["a&b", "<x>", "a  b", " lead", "é/日本", "//", "quote\"'", "+%2F", "trail ", "..", "💾"]
)
def test_every_key_can_be_named(s3: Client, bucket: str, key: str) -> None:
    s3.put(path_of(bucket[1:], key), b"x")
    answer = delete(s3, bucket, document(*keys(key)))
    assert parsed("DeleteObjects", answer)["Deleted"] == [{"Key": key}]
    assert s3.get(bucket).texts("Contents/Key") == []


def test_the_null_version_can_be_named(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    s3.put(f"{bucket}/b", b"x")
    rows = ["<Key>a</Key><VersionId>null</VersionId>", "<Key>b</Key><VersionId>none</VersionId>"]
    answer = delete(s3, bucket, document(*rows))
    assert answer.status == 200
    assert s3.get(bucket).texts("Contents/Key") == ["b"]
    assert {"Key": "a", "VersionId": "null"} in parsed("DeleteObjects", answer)["Deleted"]


def test_conditions_hold_for_each_key(s3: Client, bucket: str) -> None:
    for key in "abcdef":
        s3.put(f"{bucket}/{key}", key.encode())
    etag = hashlib.md5(b"a").hexdigest()
    modified = s3.head(f"{bucket}/e").headers["last-modified"]
    body = document(
        f"<Key>a</Key><ETag>{etag}</ETag>",
        f"<Key>b</Key><ETag>&quot;{etag}&quot;</ETag>",
        "<Key>c</Key><Size>1</Size>",
        "<Key>d</Key><Size>2</Size>",
        f"<Key>e</Key><LastModifiedTime>{modified}</LastModifiedTime>",
        "<Key>f</Key><LastModifiedTime>Mon, 01 Jan 2001 00:00:00 GMT</LastModifiedTime>",
        "<Key>missing</Key><ETag>*</ETag>",
        "<Key>b</Key><LastModifiedTime>late</LastModifiedTime>",
    )
    found = parsed("DeleteObjects", delete(s3, bucket, body))
    assert [entry["Key"] for entry in found["Deleted"]] == ["a", "c", "e"]
    assert [(entry["Key"], entry["Code"]) for entry in found["Errors"]] == [
        ("b", "PreconditionFailed"),
        ("d", "PreconditionFailed"),
        ("f", "PreconditionFailed"),
        ("missing", "PreconditionFailed"),
        ("b", "InvalidArgument"),
    ]
    assert all(entry["Message"] for entry in found["Errors"])
    assert s3.get(bucket).texts("Contents/Key") == ["b", "d", "f"]


def test_access_is_asked_about_each_key(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    """A059: the answer is a 200 with an error for each key, unless nobody signed."""
    s3.put(f"{bucket}/a", b"x")
    body = document(*keys("a", "missing"))
    answer = delete(other, bucket, body)
    assert answer.status == 200
    assert answer.texts("Deleted") == []
    assert answer.texts("Error/Key") == ["a", "missing"]
    assert answer.texts("Error/Code") == ["AccessDenied"] * 2
    answer = delete(anonymous, bucket, body)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(f"{bucket}/a").body == b"x"


def test_who_may_write_may_delete(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        s3.put(f"{bucket}/a", b"x")
        answer = delete(client, bucket, document(*keys("a")))
        assert answer.texts("Deleted/Key") == ["a"]


def test_a_thousand_objects_with_all_that_can_be_said_of_them(s3: Client, bucket: str) -> None:
    row = (
        "<Key>{}</Key><VersionId>null</VersionId><ETag>&quot;{}&quot;</ETag>"
        "<LastModifiedTime>2015-10-21T07:28:00Z</LastModifiedTime><Size>1</Size>"
    )
    answer = delete(s3, bucket, document(*[row.format(number, "0" * 32) for number in range(1000)]))
    assert answer.status == 200
    assert len(answer.texts("Error")) == 1000
    assert set(answer.texts("Error/Code")) == {"PreconditionFailed"}
    crowded = document(*["<Key>k</Key>" + "<a/>" * 20] * 1000)
    assert delete(s3, bucket, crowded).code == "MalformedXML"


def test_a_thousand_keys_and_not_one_more(s3: Client, bucket: str) -> None:
    names = [f"{number:04}" for number in range(1000)]
    for name in names[:3]:
        s3.put(f"{bucket}/{name}", b"x")
    over = delete(s3, bucket, document(*keys(*names, "one more")))
    assert (over.status, over.code) == (400, "MalformedXML")
    assert len(s3.get(bucket).texts("Contents/Key")) == 3
    answer = delete(s3, bucket, document(*keys(*names)))
    assert answer.texts("Deleted/Key") == names
    assert s3.get(bucket).texts("Contents/Key") == []


def test_a_thousand_long_keys_fit(s3: Client, bucket: str) -> None:
    names = [f"{number:04}" + "&" * 1020 for number in range(1000)]
    answer = delete(s3, bucket, document(*keys(*names)))
    assert answer.status == 200
    assert answer.texts("Deleted/Key") == names


def test_a_checksum_is_required(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    answer = s3.post(bucket, document(*keys("a")), "delete")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "Content-MD5" in (answer.text("Message") or "")
    assert s3.get(f"{bucket}/a").status == 200


def test_a_wrong_digest_removes_nothing(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    body = document(*keys("a"))
    wrong = s3.post(bucket, body, "delete", Content_MD5=md5_of(b"else"))
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    none = s3.post(bucket, body, "delete", Content_MD5="no digest")
    assert (none.status, none.code) == (400, "InvalidDigest")
    crc = checksums.encode(checksums.digest_of("CRC32", b"else"))
    bad = s3.post(bucket, body, "delete", x_amz_checksum_crc32=crc)
    assert (bad.status, bad.code) == (400, "BadDigest")
    assert s3.get(f"{bucket}/a").status == 200


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_a_flexible_checksum_is_as_good(s3: Client, bucket: str, algorithm: str) -> None:
    s3.put(f"{bucket}/a", b"x")
    body = document(*keys("a"))
    value = checksums.encode(checksums.digest_of(algorithm, body))
    headers = {f"x-amz-checksum-{algorithm.lower()}": value}
    assert s3.request("POST", bucket, "delete", headers, body).texts("Deleted/Key") == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete/>",
        b"<Delete><Object></Object></Delete>",
        b"<Delete><Object><Key>a</Key></Object>",
        b"<Remove><Object><Key>a</Key></Object></Remove>",
        b"<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>",
        b"<Delete><Object><Key>a</Key><Size>big</Size></Object></Delete>",
        b'<!DOCTYPE d [<!ENTITY k "a">]><Delete><Object><Key>&k;</Key></Object></Delete>',
        b"{}",
    ],
)
def test_a_malformed_document_removes_nothing(s3: Client, bucket: str, body: bytes) -> None:
    s3.put(f"{bucket}/a", b"x")
    answer = delete(s3, bucket, body)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(f"{bucket}/a").status == 200


def test_a_key_listed_twice_is_removed_once(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"x" * 100_000)
    answer = delete(s3, bucket, document(*keys("a", "a")))
    assert answer.texts("Deleted/Key") == ["a", "a"]
    assert s3.get(bucket).texts("Contents/Key") == []


def test_a_missing_bucket_is_a_404(s3: Client) -> None:
    answer = delete(s3, "/no-such-bucket-here", document(*keys("a")))
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_the_governance_bypass_header_is_taken(s3: Client, bucket: str) -> None:
    answer = delete(s3, bucket, document(*keys("a")), x_amz_bypass_governance_retention="true")
    assert answer.texts("Deleted/Key") == ["a"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_botocore_deletes_many(
    app: S3App, mount: str, s3: Client, bucket: str, scheme: str
) -> None:
    for key in ("a", "b%20c"):
        s3.put(f"{bucket}/{key}", b"x")
    client = boto_client(app, mount=mount, endpoint=f"{scheme}://s3.test")
    answer = client.delete_objects(
        Bucket=bucket[1:], Delete={"Objects": [{"Key": "a"}, {"Key": "b c"}]}
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a", "b c"]
    assert "Errors" not in answer
