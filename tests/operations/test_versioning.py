"""Versioning: its document, and what every operation does with versions and delete markers."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import quote

import pytest

from s3kit.app import S3App
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OWNER_ID
from tests.endpoint import parsed
from tests.operations.test_posting import Forms

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MARKER_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")


def switch(s3: Client, bucket: str, status: str) -> None:
    body = f"<VersioningConfiguration {XMLNS}><Status>{status}</Status></VersioningConfiguration>"
    answer = s3.put(bucket, body.encode(), "versioning")
    assert (answer.status, answer.body) == (200, b"")


@pytest.fixture
def versioned(s3: Client, bucket: str) -> str:
    """The path of a bucket with versioning."""
    switch(s3, bucket, "Enabled")
    return bucket


def put(s3: Client, path: str, body: bytes = b"x", **headers: str) -> str:
    """Store an object and return its version id."""
    answer = s3.put(path, body, **headers)
    assert answer.status == 200
    return answer.headers["x-amz-version-id"]


def remove(s3: Client, path: str, version: str | None = None) -> Answer:
    answer = s3.delete(path, "" if version is None else f"versionId={version}")
    assert answer.status == 204
    return answer


def history(s3: Client, bucket: str, query: str = "") -> list[tuple[str, str, bool, bool]]:
    """(key, version id, is the latest, is a marker) of all versions in the order of the listing."""
    answer = s3.get(bucket, "versions" + query)
    assert answer.status == 200
    return [
        (
            entry.findtext("Key") or "",
            entry.findtext("VersionId") or "",
            entry.findtext("IsLatest") == "true",
            entry.tag == "DeleteMarker",
        )
        for entry in answer.xml
        if entry.tag in ("Version", "DeleteMarker")
    ]


def several(s3: Client, bucket: str, document: str) -> dict[str, Any]:
    body = f"<Delete {XMLNS}>{document}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    answer = s3.post(bucket, body, "delete", Content_MD5=md5)
    assert answer.status == 200
    return parsed("DeleteObjects", answer)


# -- the document


def test_a_bucket_never_had_versioning_at_first(s3: Client, bucket: str) -> None:
    answer = s3.get(bucket, "versioning")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    found = parsed("GetBucketVersioning", answer)
    assert {name for name in found if name != "ResponseMetadata"} == set()


def test_versioning_is_switched_on_and_suspended(s3: Client, bucket: str) -> None:
    for status in ("Enabled", "Suspended", "Suspended", "Enabled"):
        switch(s3, bucket, status)
        found = parsed("GetBucketVersioning", s3.get(bucket, "versioning"))
        assert {k: v for k, v in found.items() if k != "ResponseMetadata"} == {"Status": status}


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ("", 400, "MalformedXML"),
        ("<VersioningConfiguration>", 400, "MalformedXML"),
        ("<Versioning/>", 400, "MalformedXML"),
        (
            "<VersioningConfiguration><Status>enabled</Status></VersioningConfiguration>",
            400,
            "MalformedXML",
        ),
        (
            "<VersioningConfiguration><Status>Disabled</Status></VersioningConfiguration>",
            400,
            "MalformedXML",
        ),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Yes</MfaDelete>"
            "</VersioningConfiguration>",
            400,
            "MalformedXML",
        ),
        ("<VersioningConfiguration/>", 400, "IllegalVersioningConfigurationException"),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"
            "</VersioningConfiguration>",
            403,
            "AccessDenied",
        ),
    ],
)
def test_what_is_no_versioning_changes_nothing(
    s3: Client, bucket: str, document: str, status: int, code: str
) -> None:
    """MfaDelete needs a device, which nobody has here: also x-amz-mfa brings none."""
    for headers in ({}, {"x_amz_mfa": "20899872 301749"}):
        answer = s3.put(bucket, document.encode(), "versioning", **headers)
        assert (answer.status, answer.code) == (status, code)
    assert s3.get(bucket, "versioning").text("Status") is None


def test_mfa_delete_may_be_named_as_disabled(s3: Client, bucket: str) -> None:
    """As Terraform sends it."""
    body = (
        b"<VersioningConfiguration><MfaDelete>Disabled</MfaDelete><Status>Enabled</Status>"
        b"</VersioningConfiguration>"
    )
    assert s3.put(bucket, body, "versioning").status == 200
    assert s3.get(bucket, "versioning").text("Status") == "Enabled"


def test_versioning_is_the_owners_alone(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    for client in (other, anonymous):
        assert client.get(bucket, "versioning").code == "AccessDenied"
        assert client.put(bucket, body, "versioning").code == "AccessDenied"
    assert s3.get(bucket, "versioning").text("Status") is None


# -- versions


def test_every_write_is_a_version_of_its_own(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    ids = [put(s3, path, body) for body in (b"one", b"two", b"three")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", version) for version in ids)
    for version, body in zip(ids, (b"one", b"two", b"three"), strict=True):
        for method in ("GET", "HEAD"):
            answer = s3.request(method, path, f"versionId={version}")
            assert answer.status == 200
            assert answer.headers["x-amz-version-id"] == version
            assert answer.headers["content-length"] == str(len(body))
        assert s3.get(path, f"versionId={version}").body == body
    latest = s3.get(path)
    assert (latest.body, latest.headers["x-amz-version-id"]) == (b"three", ids[2])
    assert history(s3, versioned) == [
        ("k", ids[2], True, False),
        ("k", ids[1], False, False),
        ("k", ids[0], False, False),
    ]
    unchanged = s3.request("GET", path, "", {"If-None-Match": latest.headers["etag"]})
    assert (unchanged.status, unchanged.headers["x-amz-version-id"]) == (304, ids[2])
    # Another key's version is none of this one's.
    put(s3, f"{versioned}/other")
    assert s3.get(f"{versioned}/other", f"versionId={ids[0]}").code == "NoSuchVersion"


def test_what_was_there_before_is_the_null_version(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"before")
    switch(s3, bucket, "Enabled")
    assert s3.get(path).headers["x-amz-version-id"] == "null"
    version = put(s3, path, b"after")
    assert s3.get(path, "versionId=null").body == b"before"
    assert history(s3, bucket) == [("k", version, True, False), ("k", "null", False, False)]
    remove(s3, path, version)
    assert s3.get(path).body == b"before"


def test_a_delete_hides_the_object_behind_a_marker(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    version = put(s3, path, b"data")
    answer = remove(s3, path)
    assert answer.headers["x-amz-delete-marker"] == "true"
    marker = answer.headers["x-amz-version-id"]
    assert marker not in (version, "null")
    for method in ("GET", "HEAD"):
        gone = s3.request(method, path)
        assert gone.status == 404
        assert gone.headers["x-amz-delete-marker"] == "true"
        assert gone.headers["x-amz-version-id"] == marker
        named = s3.request(method, path, f"versionId={marker}")
        assert named.status == 405
        assert named.headers["x-amz-delete-marker"] == "true"
        assert named.headers["x-amz-version-id"] == marker
        assert named.headers["allow"] == "DELETE"
        assert MARKER_DATE.fullmatch(named.headers["last-modified"])
    assert s3.get(path).code == "NoSuchKey"
    denied = s3.get(path, f"versionId={marker}")
    assert denied.code == "MethodNotAllowed"
    assert (denied.text("Method"), denied.text("ResourceType")) == ("GET", "DeleteMarker")
    assert s3.get(versioned).texts("Contents/Key") == []
    assert s3.get(path, f"versionId={version}").body == b"data"
    assert history(s3, versioned) == [("k", marker, True, True), ("k", version, False, False)]
    undone = remove(s3, path, marker)
    assert undone.headers["x-amz-delete-marker"] == "true"
    assert undone.headers["x-amz-version-id"] == marker
    assert s3.get(path).body == b"data"
    assert s3.get(versioned).texts("Contents/Key") == ["k"]


def test_a_marker_stands_for_every_delete(s3: Client, versioned: str) -> None:
    path = f"{versioned}/never"
    ids = [remove(s3, path).headers["x-amz-version-id"] for _ in range(2)]
    assert history(s3, versioned) == [
        ("never", ids[1], True, True),
        ("never", ids[0], False, True),
    ]
    remove(s3, path, ids[1])
    assert s3.get(path).headers["x-amz-version-id"] == ids[0]


def test_a_version_is_removed_for_good(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    first, second = put(s3, path, b"1"), put(s3, path, b"2" * 100_000)
    answer = remove(s3, path, second)
    assert answer.headers["x-amz-version-id"] == second
    assert "x-amz-delete-marker" not in answer.headers
    assert s3.get(path).body == b"1"
    assert s3.get(path, f"versionId={second}").code == "NoSuchVersion"
    # To remove it again is no error.
    assert remove(s3, path, second).headers["x-amz-version-id"] == second
    remove(s3, path, first)
    gone = s3.get(path)
    assert gone.code == "NoSuchKey"
    assert "x-amz-delete-marker" not in gone.headers
    assert history(s3, versioned) == []


# -- suspended


def test_suspended_versioning_keeps_old_versions_and_one_null(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    old = put(s3, path, b"old")
    switch(s3, versioned, "Suspended")
    for body in (b"null one", b"null two"):
        assert "x-amz-version-id" not in s3.put(path, body).headers
    assert s3.get(path).headers["x-amz-version-id"] == "null"
    assert s3.get(path).body == b"null two"
    assert history(s3, versioned) == [("k", "null", True, False), ("k", old, False, False)]
    answer = remove(s3, path)
    assert answer.headers["x-amz-delete-marker"] == "true"
    assert answer.headers["x-amz-version-id"] == "null"
    assert history(s3, versioned) == [("k", "null", True, True), ("k", old, False, False)]
    assert s3.get(path, "versionId=null").status == 405
    assert s3.get(path, f"versionId={old}").body == b"old"
    s3.put(path, b"null three")
    assert history(s3, versioned) == [("k", "null", True, False), ("k", old, False, False)]
    remove(s3, path, "null")
    assert s3.get(path).body == b"old"


def test_a_null_version_deep_in_the_history_is_the_one_replaced(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"null " * 30_000)
    switch(s3, bucket, "Enabled")
    version = put(s3, path, b"named")
    switch(s3, bucket, "Suspended")
    s3.put(path, b"new null")
    assert history(s3, bucket) == [("k", "null", True, False), ("k", version, False, False)]
    assert s3.get(path, "versionId=null").body == b"new null"


# -- what acts on versions


def test_tags_and_acl_belong_to_a_version(s3: Client, anonymous: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    first, second = put(s3, path, b"1"), put(s3, path, b"2")
    tagging = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    named = s3.put(path, tagging, f"tagging&versionId={first}")
    assert (named.status, named.headers["x-amz-version-id"]) == (200, first)
    plain = s3.get(path, "tagging")
    assert plain.texts("TagSet/Tag/Key") == []
    assert plain.headers["x-amz-version-id"] == second
    assert s3.get(path, f"tagging&versionId={first}").texts("TagSet/Tag/Key") == ["a"]
    assert s3.head(path, f"versionId={first}").headers["x-amz-tagging-count"] == "1"
    gone = s3.delete(path, f"tagging&versionId={first}")
    assert (gone.status, gone.headers["x-amz-version-id"]) == (204, first)
    acl = s3.put(path, b"", f"acl&versionId={first}", x_amz_acl="public-read")
    assert (acl.status, acl.headers["x-amz-version-id"]) == (200, first)
    assert anonymous.get(path, f"versionId={first}").body == b"1"
    assert anonymous.get(path).code == "AccessDenied"
    assert anonymous.get(path, f"versionId={second}").code == "AccessDenied"
    assert s3.get(path, f"acl&versionId={first}").headers["x-amz-version-id"] == first
    assert len(s3.get(path, "acl").texts("AccessControlList/Grant")) == 1


def test_a_marker_has_neither_tags_nor_acl_nor_attributes(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    put(s3, path)
    marker = remove(s3, path).headers["x-amz-version-id"]
    tagging = b"<Tagging><TagSet></TagSet></Tagging>"
    for query, status, code in (
        ("", 404, "NoSuchKey"),
        (f"&versionId={marker}", 405, "MethodNotAllowed"),
    ):
        for answer in (
            s3.get(path, f"tagging{query}"),
            s3.put(path, tagging, f"tagging{query}"),
            s3.delete(path, f"tagging{query}"),
            s3.get(path, f"acl{query}"),
            s3.put(path, b"", f"acl{query}", x_amz_acl="public-read"),
            s3.get(path, f"attributes{query}", x_amz_object_attributes="ETag"),
        ):
            assert (answer.status, answer.code) == (status, code)
            assert answer.headers["x-amz-delete-marker"] == "true"
            assert answer.headers["x-amz-version-id"] == marker


def test_attributes_of_a_version(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    first, second = put(s3, path, b"1"), put(s3, path, b"22")
    for query, version, size in (
        ("", second, 2),
        (f"&versionId={first}", first, 1),
    ):
        answer = s3.get(path, f"attributes{query}", x_amz_object_attributes="ObjectSize")
        found = parsed("GetObjectAttributes", answer)
        assert (found["VersionId"], found["ObjectSize"]) == (version, size)


def test_copies_name_both_versions(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    first, second = put(s3, path, b"1" * 100_000), put(s3, path, b"2")
    copied = s3.put(f"{versioned}/c", x_amz_copy_source=f"{path}?versionId={first}")
    found = parsed("CopyObject", copied)
    assert found["CopySourceVersionId"] == first
    assert s3.get(f"{versioned}/c").headers["x-amz-version-id"] == found["VersionId"]
    assert s3.get(f"{versioned}/c").body == b"1" * 100_000
    plain = parsed("CopyObject", s3.put(f"{versioned}/c", x_amz_copy_source=path))
    assert plain["CopySourceVersionId"] == second
    # An old version is restored by copying it over the key.
    restored = s3.put(path, x_amz_copy_source=f"{path}?versionId={first}")
    assert restored.status == 200
    assert s3.get(path).body == b"1" * 100_000
    assert len(history(s3, versioned, "&prefix=k")) == 3
    remove(s3, path, first)
    assert s3.get(path).body == b"1" * 100_000


def test_a_marker_is_no_source_of_a_copy(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    put(s3, path)
    marker = remove(s3, path).headers["x-amz-version-id"]
    assert s3.put(f"{versioned}/c", x_amz_copy_source=path).code == "NoSuchKey"
    named = s3.put(f"{versioned}/c", x_amz_copy_source=f"{path}?versionId={marker}")
    assert (named.status, named.code) == (400, "InvalidRequest")
    unknown = s3.put(f"{versioned}/c", x_amz_copy_source=f"{path}?versionId=none")
    assert (unknown.status, unknown.code) == (404, "NoSuchVersion")


def test_an_upload_of_parts_is_one_version(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    source = put(s3, path, b"before")
    upload = s3.post(path, query="uploads").text("UploadId")
    part = s3.put(
        path,
        query=f"partNumber=1&uploadId={upload}",
        x_amz_copy_source=f"{path}?versionId={source}",
    )
    assert parsed("UploadPartCopy", part)["CopySourceVersionId"] == source
    document = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.text('ETag')}</ETag>"
        "</Part></CompleteMultipartUpload>"
    ).encode()
    done = parsed("CompleteMultipartUpload", s3.post(path, document, f"uploadId={upload}"))
    version = done["VersionId"]
    put(s3, path, b"after")
    # A repeat names the version that the first one made, whatever came after it.
    again = parsed("CompleteMultipartUpload", s3.post(path, document, f"uploadId={upload}"))
    assert again["VersionId"] == version
    assert s3.get(path, f"versionId={version}&partNumber=1").body == b"before"
    assert len(history(s3, versioned)) == 3


def test_conditions_are_about_the_current_version(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    create = {"If-None-Match": "*"}
    assert s3.request("PUT", path, "", create, b"1").status == 200
    assert s3.request("PUT", path, "", create, b"2").code == "PreconditionFailed"
    old = s3.head(path).headers["etag"]
    put(s3, path, b"2")
    assert s3.request("PUT", path, "", {"If-Match": old}, b"3").code == "PreconditionFailed"
    assert s3.request("DELETE", path, "", {"If-Match": old}).code == "PreconditionFailed"
    new = s3.head(path).headers["etag"]
    assert s3.request("DELETE", path, "", {"If-Match": new}).status == 204
    # What a marker hides is not there.
    assert s3.request("PUT", path, "", {"If-Match": new}, b"3").code == "NoSuchKey"
    assert s3.request("DELETE", path, "", {"If-Match": "*"}).code == "PreconditionFailed"
    assert s3.request("PUT", path, "", create, b"4").status == 200


def test_a_condition_on_a_named_version_is_about_that_one(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    first = put(s3, path, b"1")
    etag = s3.head(path).headers["etag"]
    put(s3, path, b"2")
    current = s3.head(path).headers["etag"]
    query = f"versionId={first}"
    assert s3.request("DELETE", path, query, {"If-Match": current}).code == "PreconditionFailed"
    assert s3.request("DELETE", path, query, {"If-Match": etag}).status == 204
    assert s3.get(path, query).code == "NoSuchVersion"


# -- several at once


def test_a_multi_delete_makes_and_removes_markers(s3: Client, versioned: str) -> None:
    first = put(s3, f"{versioned}/a")
    put(s3, f"{versioned}/b")
    made = several(s3, versioned, "<Object><Key>a</Key></Object><Object><Key>never</Key></Object>")[
        "Deleted"
    ]
    assert [(entry["Key"], entry["DeleteMarker"]) for entry in made] == [
        ("a", True),
        ("never", True),
    ]
    assert all("VersionId" not in entry for entry in made)
    marker = made[0]["DeleteMarkerVersionId"]
    gone = several(
        s3,
        versioned,
        f"<Object><Key>a</Key><VersionId>{first}</VersionId></Object>"
        f"<Object><Key>a</Key><VersionId>{marker}</VersionId></Object>"
        "<Object><Key>b</Key><VersionId>unknown</VersionId></Object>",
    )
    assert gone["Deleted"] == [
        {"Key": "a", "VersionId": first},
        {
            "Key": "a",
            "VersionId": marker,
            "DeleteMarker": True,
            "DeleteMarkerVersionId": marker,
        },
        {"Key": "b", "VersionId": "unknown"},
    ]
    assert "Errors" not in gone
    assert [entry[0] for entry in history(s3, versioned)] == ["b", "never"]


def test_a_bucket_with_a_hidden_version_is_not_empty(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    version = put(s3, path)
    marker = remove(s3, path).headers["x-amz-version-id"]
    assert s3.delete(versioned).code == "BucketNotEmpty"
    remove(s3, path, version)
    assert s3.delete(versioned).code == "BucketNotEmpty"
    remove(s3, path, marker)
    assert s3.delete(versioned).status == 204


# -- listing


def test_pages_of_versions_meet_without_a_gap(s3: Client, versioned: str) -> None:
    """BB-09: the order is that of the writes, however many came within one second."""
    wanted: list[tuple[str, str, bool, bool]] = []
    for key in ("a", "b/1", "b/2", "c"):
        rows = []
        for number in range(4):
            rows.append((put(s3, f"{versioned}/{key}"), False))
            if number == 2:
                answer = remove(s3, f"{versioned}/{key}")
                rows.append((answer.headers["x-amz-version-id"], True))
        rows.reverse()
        wanted += [(key, row[0], place == 0, row[1]) for place, row in enumerate(rows)]
    assert history(s3, versioned) == wanted
    for size in (1, 2, 3, 7):
        assert paged(s3, versioned, f"&max-keys={size}") == wanted
    folded = [entry for entry in wanted if not entry[0].startswith("b/")]
    for size in (1, 2, 3):
        assert paged(s3, versioned, f"&delimiter=%2F&max-keys={size}") == [
            *folded[:5],
            ("b/", "", False, False),
            *folded[5:],
        ]


def paged(s3: Client, bucket: str, query: str) -> list[tuple[str, str, bool, bool]]:
    """All pages of a listing of versions, common prefixes in their places."""
    found: list[tuple[str, str, bool, bool]] = []
    marker = ""
    while True:
        answer = s3.get(bucket, "versions" + query + marker)
        page = parsed("ListObjectVersions", answer)
        entries = history(s3, bucket, query + marker)
        entries += [(entry["Prefix"], "", False, False) for entry in page.get("CommonPrefixes", [])]
        found += sorted(entries, key=lambda entry: entry[0])
        if not page["IsTruncated"]:
            return found
        marker = f"&key-marker={quote(page['NextKeyMarker'], safe='')}"
        if "NextVersionIdMarker" in page:
            marker += f"&version-id-marker={page['NextVersionIdMarker']}"


def test_the_listing_shows_versions_and_markers_member_by_member(
    s3: Client, versioned: str
) -> None:
    version = put(s3, f"{versioned}/k", b"data")
    marker = remove(s3, f"{versioned}/k").headers["x-amz-version-id"]
    found = parsed("ListObjectVersions", s3.get(versioned, "versions"))
    (shown,), (hidden,) = found["Versions"], found["DeleteMarkers"]
    owner = {"ID": OWNER_ID, "DisplayName": "Olive Owner"}
    assert shown.pop("LastModified") <= hidden.pop("LastModified")
    assert hidden == {"Key": "k", "VersionId": marker, "IsLatest": True, "Owner": owner}
    for name in ("ChecksumAlgorithm", "ChecksumType"):
        shown.pop(name, None)
    assert shown == {
        "Key": "k",
        "VersionId": version,
        "IsLatest": False,
        "ETag": f'"{hashlib.md5(b"data", usedforsecurity=False).hexdigest()}"',
        "Size": 4,
        "StorageClass": "STANDARD",
        "Owner": owner,
    }


# -- permissions


def test_a_stranger_sees_and_removes_no_version(
    s3: Client, other: Client, anonymous: Client, versioned: str
) -> None:
    """WRITE on a bucket hides objects; to remove a version is its owner's alone."""
    s3.put(versioned, b"", "acl", x_amz_acl="public-read-write")
    path = f"{versioned}/k"
    version = put(s3, path, b"data")
    for client in (other, anonymous):
        assert client.get(path, f"versionId={version}").code == "AccessDenied"
        assert client.get(path, f"tagging&versionId={version}").code == "AccessDenied"
        assert client.get(path, f"acl&versionId={version}").code == "AccessDenied"
        assert client.delete(path, f"versionId={version}").code == "AccessDenied"
        assert client.delete(path).status == 204
    listed = several(
        other, versioned, f"<Object><Key>k</Key><VersionId>{version}</VersionId></Object>"
    )
    assert [entry["Code"] for entry in listed["Errors"]] == ["AccessDenied"]
    assert s3.get(path, f"versionId={version}").body == b"data"
    assert len(history(s3, versioned)) == 3


def test_a_form_stores_a_version(app: S3App, mount: str, s3: Client, versioned: str) -> None:
    forms = Forms(app, mount, versioned)
    for fields in (
        {},
        {"success_action_status": "200"},
        {"success_action_status": "201"},
        {"success_action_redirect": "http://example.com/done"},
    ):
        conditions = [{name: value} for name, value in fields.items()]
        answer = forms.post(fields, conditions, file=b"form")
        assert answer.status in (200, 201, 204, 303)
        version = answer.headers["x-amz-version-id"]
        assert s3.get(f"{versioned}/k", f"versionId={version}").body == b"form"
    assert len(history(s3, versioned)) == 4
