"""GetObjectAttributes."""

from __future__ import annotations

import hashlib

import pytest

from s3kit.app import S3App
from s3kit.wire import checksums
from tests.client import Answer
from tests.client import Client
from tests.endpoint import boto_client
from tests.endpoint import parsed

ALL = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"
MIB = 1 << 20


def attributes(client: Client, path: str, names: str = ALL, query: str = "", **more: str) -> Answer:
    query = "attributes" + (f"&{query}" if query else "")
    return client.get(path, query, x_amz_object_attributes=names, **more)


def test_all_attributes_of_an_object_in_one_piece(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"text", x_amz_storage_class="STANDARD_IA")
    answer = attributes(s3, f"{bucket}/k")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml")
    assert answer.headers["last-modified"] == s3.head(f"{bucket}/k").headers["last-modified"]
    assert "x-amz-version-id" not in answer.headers
    assert "etag" not in answer.headers
    assert answer.xml.tag == "GetObjectAttributesResponse"
    found = parsed("GetObjectAttributes", answer)
    # Unlike everywhere else the ETag has no quotes here.
    assert found["ETag"] == hashlib.md5(b"text").hexdigest()
    assert found["ObjectSize"] == 4
    assert found["StorageClass"] == "STANDARD_IA"
    value = checksums.encode(checksums.digest_of("CRC64NVME", b"text"))
    assert found["Checksum"] == {"ChecksumCRC64NVME": value, "ChecksumType": "FULL_OBJECT"}
    assert "ObjectParts" not in found


@pytest.mark.parametrize("name", ALL.split(","))
def test_only_what_is_asked_for_is_shown(s3: Client, bucket: str, name: str) -> None:
    s3.put(f"{bucket}/k", b"text")
    shown = [element.tag for element in attributes(s3, f"{bucket}/k", name).xml]
    assert shown == ([] if name == "ObjectParts" else [name])
    assert [e.tag for e in attributes(s3, f"{bucket}/k", " ETag , ObjectSize").xml] == [
        "ETag",
        "ObjectSize",
    ]


@pytest.mark.parametrize("names", ["", ",", "Owner", "ETag,Owner", "etag"])
def test_an_unknown_attribute_is_refused(s3: Client, bucket: str, names: str) -> None:
    s3.put(f"{bucket}/k", b"text")
    answer = attributes(s3, f"{bucket}/k", names)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "x-amz-object-attributes"


def test_without_the_header_nothing_is_shown(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"text")
    assert s3.get(f"{bucket}/k", "attributes").code == "InvalidArgument"


def test_a_missing_object_has_none(s3: Client, bucket: str) -> None:
    answer = attributes(s3, f"{bucket}/k")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    s3.put(f"{bucket}/k", b"x")
    assert attributes(s3, f"{bucket}/k", query="versionId=none").code == "NoSuchVersion"
    null = attributes(s3, f"{bucket}/k", query="versionId=null")
    assert (null.status, null.headers["x-amz-version-id"]) == (200, "null")


def test_others_see_no_attributes(s3: Client, other: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    assert attributes(other, f"{bucket}/k").code == "AccessDenied"
    assert attributes(other, f"{bucket}/missing").code == "AccessDenied"


@pytest.fixture
def in_parts(s3: Client, bucket: str) -> str:
    """The path of an object of the parts 1, 3 and 4."""
    path = f"{bucket}/parts"
    began = s3.post(path, b"", "uploads", x_amz_checksum_algorithm="SHA256")
    upload = began.text("UploadId")
    rows = []
    for number, data in ((1, bytes(5 * MIB)), (3, bytes(5 * MIB + 1)), (4, b"tail")):
        value = checksums.encode(checksums.digest_of("SHA256", data))
        query = f"partNumber={number}&uploadId={upload}"
        answer = s3.put(path, data, query, x_amz_checksum_sha256=value)
        rows.append(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag>"
            f"<ChecksumSHA256>{value}</ChecksumSHA256></Part>"
        )
    body = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>".encode()
    assert s3.post(path, body, f"uploadId={upload}").status == 200
    return path


def test_the_parts_are_paged(app: S3App, mount: str, s3: Client, in_parts: str) -> None:
    found = parsed("GetObjectAttributes", attributes(s3, in_parts))
    assert found["ETag"].endswith("-3")
    assert found["ObjectSize"] == 10 * MIB + 5
    assert found["Checksum"]["ChecksumType"] == "COMPOSITE"
    assert found["Checksum"]["ChecksumSHA256"].endswith("-3")
    parts = found["ObjectParts"]
    assert parts["TotalPartsCount"] == 3
    assert parts["IsTruncated"] is False
    assert (parts["MaxParts"], parts["PartNumberMarker"]) == (1000, 0)
    assert [(part["PartNumber"], part["Size"]) for part in parts["Parts"]] == [
        (1, 5 * MIB),
        (3, 5 * MIB + 1),
        (4, 4),
    ]
    value = checksums.encode(checksums.digest_of("SHA256", b"tail"))
    assert parts["Parts"][2]["ChecksumSHA256"] == value
    page = attributes(s3, in_parts, "ObjectParts", x_amz_max_parts="1")
    first = parsed("GetObjectAttributes", page)["ObjectParts"]
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == (True, 1)
    assert [part["PartNumber"] for part in first["Parts"]] == [1]
    page = attributes(
        s3, in_parts, "ObjectParts", x_amz_max_parts="1", x_amz_part_number_marker="1"
    )
    second = parsed("GetObjectAttributes", page)["ObjectParts"]
    assert (second["IsTruncated"], second["NextPartNumberMarker"]) == (True, 3)
    assert second["PartNumberMarker"] == 1
    page = attributes(s3, in_parts, "ObjectParts", x_amz_part_number_marker="3")
    last = parsed("GetObjectAttributes", page)["ObjectParts"]
    assert last["IsTruncated"] is False
    assert [part["PartNumber"] for part in last["Parts"]] == [4]
    for name in ("x-amz-max-parts", "x-amz-part-number-marker"):
        headers = {"x-amz-object-attributes": ALL, name: "many"}
        answer = s3.request("GET", in_parts, "attributes", headers)
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    client = boto_client(app, mount=mount)
    bucket, _, key = in_parts[1:].partition("/")
    seen = client.get_object_attributes(
        Bucket=bucket, Key=key, ObjectAttributes=["ObjectParts"], MaxParts=2, PartNumberMarker=1
    )
    assert [part["PartNumber"] for part in seen["ObjectParts"]["Parts"]] == [3, 4]


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_every_checksum_is_shown_with_its_type(s3: Client, bucket: str, algorithm: str) -> None:
    value = checksums.encode(checksums.digest_of(algorithm, b"text"))
    s3.request("PUT", f"{bucket}/k", "", {f"x-amz-checksum-{algorithm.lower()}": value}, b"text")
    found = parsed("GetObjectAttributes", attributes(s3, f"{bucket}/k", "Checksum"))
    assert found["Checksum"] == {f"Checksum{algorithm}": value, "ChecksumType": "FULL_OBJECT"}


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("XXHASH128", "COMPOSITE")],
)
def test_an_object_of_parts_shows_its_parts_with_either_type(
    s3: Client, bucket: str, algorithm: str, kind: str
) -> None:
    path = f"{bucket}/parts"
    began = s3.post(
        path, b"", "uploads", x_amz_checksum_algorithm=algorithm, x_amz_checksum_type=kind
    )
    upload = began.text("UploadId")
    name = f"x-amz-checksum-{algorithm.lower()}"
    value = checksums.encode(checksums.digest_of(algorithm, b"only"))
    sent = s3.request("PUT", path, f"partNumber=7&uploadId={upload}", {name: value}, b"only")
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>7</PartNumber><ETag>{sent.headers['etag']}"
        f"</ETag><Checksum{algorithm}>{value}</Checksum{algorithm}></Part>"
        "</CompleteMultipartUpload>"
    )
    assert s3.post(path, body.encode(), f"uploadId={upload}").status == 200
    found = parsed("GetObjectAttributes", attributes(s3, path))
    assert found["Checksum"]["ChecksumType"] == kind
    assert found["Checksum"][f"Checksum{algorithm}"].endswith("-1") == (kind == "COMPOSITE")
    assert found["ObjectParts"]["TotalPartsCount"] == 1
    assert found["ObjectParts"]["Parts"] == [
        {"PartNumber": 7, "Size": 4, f"Checksum{algorithm}": value}
    ]


def test_a_named_version_has_attributes_of_its_own_and_a_delete_marker_has_none(
    s3: Client, bucket: str
) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert s3.put(bucket, body, "versioning").status == 200
    path = f"{bucket}/k"
    first = s3.put(path, b"one", x_amz_storage_class="GLACIER").headers["x-amz-version-id"]
    second = s3.put(path, b"second").headers["x-amz-version-id"]
    for version, size, kind in ((first, 3, "GLACIER"), (second, 6, "STANDARD")):
        answer = attributes(s3, path, query=f"versionId={version}")
        found = parsed("GetObjectAttributes", answer)
        assert (found["ObjectSize"], found["StorageClass"]) == (size, kind)
        assert found["VersionId"] == version
    assert parsed("GetObjectAttributes", attributes(s3, path))["VersionId"] == second
    marker = s3.delete(path).headers["x-amz-version-id"]
    hidden = attributes(s3, path)
    assert (hidden.status, hidden.code) == (404, "NoSuchKey")
    assert hidden.headers["x-amz-delete-marker"] == "true"
    named = attributes(s3, path, query=f"versionId={marker}")
    assert (named.status, named.code) == (405, "MethodNotAllowed")
    assert parsed("GetObjectAttributes", attributes(s3, path, query=f"versionId={first}"))[
        "ETag"
    ] == (hashlib.md5(b"one").hexdigest())
