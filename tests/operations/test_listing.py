"""ListObjects, ListObjectsV2, ListObjectVersions."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from urllib.parse import unquote

import pytest

from s3kit.app import S3App
from s3kit.store import Attributes
from s3kit.wire.checksums import BodyReader
from s3kit.wire.xml import document
from s3kit.wire.xml import field_xml
from s3kit.wire.xml import from_xml
from s3kit.wire.xml import to_xml
from tests.client import Answer
from tests.client import Client
from tests.client import path_of
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import parsed

KEYS = ["a/1", "a/2", "a/b/3", "asdf", "b/1", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "z"]
OPERATIONS = {"": "ListObjects", "list-type=2": "ListObjectsV2", "versions": "ListObjectVersions"}


def fill(client: Client, bucket: str, keys: list[str]) -> None:
    for key in keys:
        assert client.put(path_of(bucket[1:], key), key.encode()).status == 200


@pytest.fixture
def filled(s3: Client, bucket: str) -> str:
    fill(s3, bucket, KEYS)
    return bucket


def joined(kind: str, **query: str) -> str:
    pairs = [f"{name.replace('_', '-')}={quote(value, safe='')}" for name, value in query.items()]
    return "&".join([kind] * bool(kind) + pairs)


def keys_of(page: dict[str, Any]) -> list[str]:
    return [entry["Key"] for entry in page.get("Contents", page.get("Versions", []))]


def prefixes_of(page: dict[str, Any]) -> list[str]:
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


def listed(client: Client, bucket: str, kind: str = "", **query: str) -> dict[str, Any]:
    answer = client.get(bucket, joined(kind, **query))
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["content-length"] == str(len(answer.body))
    return parsed(OPERATIONS[kind], answer)


# -- the hand-written rows and the codec


@dataclass
class Owner:
    id: str = field_xml("ID")
    display_name: str


@dataclass
class Contents:
    key: str
    last_modified: str
    etag: str
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    size: int = 0
    owner: Owner | None = None
    storage_class: str = ""


@dataclass
class CommonPrefixes:
    prefix: str


@document("ListBucketResult")
@dataclass(kw_only=True)
class FirstListing:
    name: str
    prefix: str
    marker: str
    next_marker: str | None = None
    max_keys: int
    delimiter: str | None = None
    encoding_type: str | None = None
    is_truncated: bool
    contents: list[Contents] = field_xml("Contents", default_factory=list)
    common_prefixes: list[CommonPrefixes] = field_xml("CommonPrefixes", default_factory=list)


@document("ListBucketResult")
@dataclass(kw_only=True)
class SecondListing:
    name: str
    prefix: str
    continuation_token: str | None = None
    next_continuation_token: str | None = None
    start_after: str | None = None
    key_count: int
    max_keys: int
    delimiter: str | None = None
    encoding_type: str | None = None
    is_truncated: bool
    contents: list[Contents] = field_xml("Contents", default_factory=list)
    common_prefixes: list[CommonPrefixes] = field_xml("CommonPrefixes", default_factory=list)


@dataclass
class Version:
    key: str
    version_id: str
    is_latest: bool
    last_modified: str
    etag: str
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    size: int = 0
    owner: Owner | None = None
    storage_class: str = ""


@document("ListVersionsResult")
@dataclass(kw_only=True)
class VersionsListing:
    name: str
    prefix: str
    key_marker: str
    version_id_marker: str
    next_key_marker: str | None = None
    next_version_id_marker: str | None = None
    max_keys: int
    delimiter: str | None = None
    encoding_type: str | None = None
    is_truncated: bool
    versions: list[Version] = field_xml("Version", default_factory=list)
    common_prefixes: list[CommonPrefixes] = field_xml("CommonPrefixes", default_factory=list)


@pytest.mark.parametrize("encoding", ["", "encoding-type=url"])
@pytest.mark.parametrize("delimiter", ["", "delimiter=%2F"])
@pytest.mark.parametrize("limit", ["", "max-keys=3"])
@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("", FirstListing),
        ("list-type=2&fetch-owner=true", SecondListing),
        ("list-type=2&start-after=%26", SecondListing),
        ("versions", VersionsListing),
    ],
)
def test_rows_written_by_hand_are_what_the_codec_writes(
    s3: Client, bucket: str, kind: str, cls: type, delimiter: str, limit: str, encoding: str
) -> None:
    fill(s3, bucket, ["a&b", "<x>/\"y'", "ü/]]>", "tab\there", "cr\rlf\n", "plain/key", "zz"])
    s3.put(f"{bucket}/classy", b"1", x_amz_storage_class="GLACIER")
    query = "&".join(part for part in (kind, delimiter, limit, encoding) if part)
    answer = s3.get(bucket, query)
    assert answer.status == 200
    assert to_xml(from_xml(cls, answer.body)) == answer.body


# -- all three kinds


@pytest.mark.parametrize("kind", OPERATIONS)
def test_keys_come_in_byte_order(s3: Client, bucket: str, kind: str) -> None:
    keys = ["b", "B", "a", "é", "e", "-", "~", "a/", "a0", "a!", "\U0001f4be", "\uffee", "aa"]
    fill(s3, bucket, keys)
    assert keys_of(listed(s3, bucket, kind)) == sorted(keys, key=str.encode)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_empty_bucket_lists_nothing(s3: Client, bucket: str, kind: str) -> None:
    page = listed(s3, bucket, kind)
    assert page["Name"] == bucket[1:]
    assert page["IsTruncated"] is False
    assert page["MaxKeys"] == 1000
    assert keys_of(page) == prefixes_of(page) == []


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_entry_shows_what_head_shows(s3: Client, filled: str, kind: str) -> None:
    page = listed(s3, filled, kind, prefix="asdf")
    (entry,) = page.get("Contents") or page["Versions"]
    head = s3.head(f"{filled}/asdf", x_amz_checksum_mode="ENABLED")
    assert entry["ETag"] == head.headers["etag"]
    assert entry["Size"] == 4
    assert entry["StorageClass"] == "STANDARD"
    assert entry["ChecksumAlgorithm"] == ["CRC64NVME"]
    assert entry["ChecksumType"] == head.headers["x-amz-checksum-type"]
    assert f"{entry['LastModified']:%a, %d %b %Y %H:%M:%S GMT}" == head.headers["last-modified"]
    raw = s3.get(filled, joined(kind, prefix="asdf"))
    text = raw.text("Contents/LastModified") or raw.text("Version/LastModified") or ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", text)


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize(
    ("prefix", "delimiter", "keys", "prefixes"),
    [
        ("", "/", ["asdf", "z"], ["a/", "b/", "boo/", "cquux/"]),
        ("a/", "/", ["a/1", "a/2"], ["a/b/"]),
        ("a", "/", ["asdf"], ["a/"]),
        ("a/b", "/", [], ["a/b/"]),
        ("boo/", "", ["boo/bar", "boo/baz/xyzzy"], []),
        ("nothing", "/", [], []),
        ("", "b", ["a/1", "a/2", "asdf", "z"], ["a/b", "b", "cquux/b"]),
        ("boo/", "ba", [], ["boo/ba"]),
        (
            "",
            "zy",
            ["a/1", "a/2", "a/b/3", "asdf", "b/1", "boo/bar", "cquux/bla", "z"],
            ["boo/baz/xyzzy"],
        ),
        ("z", "z", ["z"], []),
    ],
)
def test_prefix_and_delimiter(
    s3: Client,
    filled: str,
    kind: str,
    prefix: str,
    delimiter: str,
    keys: list[str],
    prefixes: list[str],
) -> None:
    page = listed(s3, filled, kind, prefix=prefix, delimiter=delimiter)
    assert keys_of(page) == keys
    assert prefixes_of(page) == prefixes
    assert page["Prefix"] == prefix
    assert page.get("Delimiter", "") == delimiter


NEXT = {
    "": lambda page: {"marker": page.get("NextMarker") or (keys_of(page) or [""])[-1]},
    "list-type=2": lambda page: {"continuation_token": page["NextContinuationToken"]},
    "versions": lambda page: {
        "key_marker": page["NextKeyMarker"],
        **(
            {"version_id_marker": page["NextVersionIdMarker"]}
            if page.get("NextVersionIdMarker")
            else {}
        ),
    },
}


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("delimiter", ["", "/", "o"])
@pytest.mark.parametrize("prefix", ["", "b", "boo/"])
@pytest.mark.parametrize("size", ["1", "2", "3", "7"])
def test_pages_put_together_are_the_whole(
    s3: Client, filled: str, kind: str, delimiter: str, prefix: str, size: str
) -> None:
    scope = {"prefix": prefix, "delimiter": delimiter}
    whole = listed(s3, filled, kind, **scope)
    keys: list[str] = []
    prefixes: list[str] = []
    step: dict[str, str] = {}
    for _ in range(30):
        page = listed(s3, filled, kind, max_keys=size, **scope, **step)
        count = len(keys_of(page)) + len(prefixes_of(page))
        assert count <= int(size)
        assert page.get("KeyCount", count) == count
        keys += keys_of(page)
        prefixes += prefixes_of(page)
        if not page["IsTruncated"]:
            break
        assert count == int(size)
        step = NEXT[kind](page)
    assert keys == keys_of(whole)
    assert prefixes == prefixes_of(whole)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_no_keys_at_all_may_be_asked_for(s3: Client, filled: str, kind: str) -> None:
    page = listed(s3, filled, kind, max_keys="0")
    assert page["MaxKeys"] == 0
    assert page["IsTruncated"] is False
    assert keys_of(page) == []
    assert page.get("KeyCount", 0) == 0
    assert not {"NextMarker", "NextContinuationToken", "NextKeyMarker"} & set(page)


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("value", ["-1", "many", "2147483648", "", "1.5"])
def test_a_page_size_that_is_none_is_refused(
    s3: Client, bucket: str, kind: str, value: str
) -> None:
    answer = s3.get(bucket, joined(kind, max_keys=value))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "max-keys"


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_page_has_at_most_1000_keys(app: S3App, s3: Client, bucket: str, kind: str) -> None:
    """FB-10."""
    there = app.store.buckets.get(bucket[1:])
    for number in range(1001):
        body = BodyReader(io.BytesIO(b""), 0)
        app.store.objects.put(there, b"%04d" % number, body, Attributes(OWNER_ID))
    page = listed(s3, bucket, kind, max_keys="5000")
    assert page["MaxKeys"] == 1000
    assert page["IsTruncated"] is True
    assert len(keys_of(page)) == 1000
    rest = listed(s3, bucket, kind, **NEXT[kind](page))
    assert keys_of(rest) == ["1000"]


@pytest.mark.parametrize("kind", OPERATIONS)
def test_url_encoding_hides_what_xml_cannot_carry(s3: Client, bucket: str, kind: str) -> None:
    keys = ["\x01\x02", "a b+c%", "d/é~*", "\uffff"]
    fill(s3, bucket, keys)
    page = listed(s3, bucket, kind, encoding_type="url")
    assert page["EncodingType"] == "url"
    assert keys_of(page) == [quote(key, safe="/-_.~*") for key in sorted(keys, key=str.encode)]
    grouped = listed(s3, bucket, kind, encoding_type="url", delimiter="/", prefix="d")
    assert prefixes_of(grouped) == ["d/"]
    assert [
        unquote(prefix)
        for prefix in prefixes_of(listed(s3, bucket, kind, encoding_type="url", delimiter="+"))
    ] == ["a b+"]
    # Without it the answer still is XML.
    assert len(keys_of(listed(s3, bucket, kind))) == 4


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("value", ["base64", "url2"])
def test_another_encoding_is_refused(s3: Client, bucket: str, kind: str, value: str) -> None:
    answer = s3.get(bucket, joined(kind, encoding_type=value))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "encoding-type"


@pytest.mark.parametrize("kind", OPERATIONS)
def test_others_may_not_list(other: Client, anonymous: Client, bucket: str, kind: str) -> None:
    for client in (other, anonymous):
        answer = client.get(bucket, kind)
        assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_missing_bucket_has_no_list(s3: Client, kind: str) -> None:
    answer = s3.get("/no-such-bucket-here", kind)
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


# -- the first version


def test_the_first_version_echoes_its_marker(s3: Client, filled: str) -> None:
    page = listed(s3, filled, marker="asdf")
    assert page["Marker"] == "asdf"
    assert keys_of(page) == ["b/1", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "z"]
    assert s3.get(filled).text("Marker") == ""
    assert s3.get(filled).text("Prefix") == ""


def test_a_next_marker_is_only_given_with_a_delimiter(s3: Client, filled: str) -> None:
    assert "NextMarker" not in listed(s3, filled, max_keys="2")
    page = listed(s3, filled, max_keys="1", delimiter="/")
    assert page["NextMarker"] == "a/"
    assert listed(s3, filled, max_keys="2", delimiter="/")["NextMarker"] == "asdf"


@pytest.mark.parametrize("marker", ["a/", "a/1", "a/b/3", "a/zzz"])
def test_a_marker_inside_a_common_prefix_is_past_it(s3: Client, filled: str, marker: str) -> None:
    first = listed(s3, filled, delimiter="/", marker=marker)
    assert prefixes_of(first) == ["b/", "boo/", "cquux/"]
    second = listed(s3, filled, "list-type=2", delimiter="/", start_after=marker)
    assert prefixes_of(second) == ["b/", "boo/", "cquux/"]
    assert keys_of(first) == keys_of(second) == ["asdf", "z"]


def test_a_delimiter_and_a_marker_inside_a_prefix(s3: Client, filled: str) -> None:
    page = listed(s3, filled, prefix="a/", delimiter="/", marker="a/1")
    assert (keys_of(page), prefixes_of(page)) == (["a/2"], ["a/b/"])
    page = listed(s3, filled, prefix="a/", delimiter="/", marker="a/b/")
    assert (keys_of(page), prefixes_of(page)) == ([], [])
    page = listed(s3, filled, prefix="a/", delimiter="/", marker="0")
    assert (keys_of(page), prefixes_of(page)) == (["a/1", "a/2"], ["a/b/"])
    page = listed(s3, filled, prefix="a/", delimiter="/", marker="b")
    assert (keys_of(page), prefixes_of(page)) == ([], [])


def test_the_first_version_always_names_owners(s3: Client, filled: str) -> None:
    owners = [entry["Owner"] for entry in listed(s3, filled)["Contents"]]
    assert owners == [{"ID": OWNER_ID, "DisplayName": "Olive Owner"}] * len(KEYS)


@pytest.mark.parametrize("value", ["1", "3", "x", ""])
def test_any_other_list_type_is_the_first_version(s3: Client, filled: str, value: str) -> None:
    answer = s3.get(filled, f"list-type={value}")
    assert answer.status == 200
    assert "Marker" in [element.tag for element in answer.xml]


# -- the second version


def test_the_second_version_names_owners_on_request(s3: Client, filled: str) -> None:
    assert all("Owner" not in entry for entry in listed(s3, filled, "list-type=2")["Contents"])
    page = listed(s3, filled, "list-type=2", fetch_owner="true")
    assert all(entry["Owner"]["ID"] == OWNER_ID for entry in page["Contents"])
    page = listed(s3, filled, "list-type=2", fetch_owner="false")
    assert all("Owner" not in entry for entry in page["Contents"])


def test_an_object_of_another_account_shows_its_owner(
    s3: Client, other: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    assert other.put(f"{bucket}/theirs", b"x").status == 200
    (entry,) = listed(s3, bucket)["Contents"]
    assert entry["Owner"] == {"ID": OTHER_ID, "DisplayName": "Otto Other"}


def test_start_after_and_token_are_echoed(s3: Client, filled: str) -> None:
    page = listed(s3, filled, "list-type=2", start_after="asdf", max_keys="2")
    assert page["StartAfter"] == "asdf"
    assert keys_of(page) == ["b/1", "boo/bar"]
    assert page["KeyCount"] == 2
    token = page["NextContinuationToken"]
    rest = listed(s3, filled, "list-type=2", start_after="asdf", continuation_token=token)
    assert rest["ContinuationToken"] == token
    assert rest["StartAfter"] == "asdf"
    assert keys_of(rest) == ["boo/baz/xyzzy", "cquux/bla", "z"]
    assert "NextContinuationToken" not in rest
    assert "StartAfter" not in listed(s3, filled, "list-type=2")


@pytest.mark.parametrize("token", ["", "nonsense!", "AAAA", "é"])
def test_a_token_that_was_never_given_is_refused(s3: Client, bucket: str, token: str) -> None:
    answer = s3.get(bucket, joined("list-type=2", continuation_token=token))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "continuation-token"


def test_key_count_counts_prefixes_too(s3: Client, filled: str) -> None:
    page = listed(s3, filled, "list-type=2", delimiter="/")
    assert page["KeyCount"] == 6


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_botocores_paginators_find_every_key(
    app: S3App, mount: str, s3: Client, bucket: str, operation: str
) -> None:
    keys = ["a b", "c&d", "e/f+g", "h\x01", "日本", "k%2F"]
    fill(s3, bucket, keys)
    client = boto_client(app, mount=mount)
    pages = client.get_paginator(operation).paginate(
        Bucket=bucket[1:], PaginationConfig={"PageSize": 2}
    )
    found = [
        entry["Key"]
        for page in pages
        for entry in page.get("Contents", []) + page.get("Versions", [])
    ]
    assert found == sorted(keys, key=str.encode)


# -- versions


def test_an_unversioned_object_is_its_null_version(s3: Client, filled: str) -> None:
    page = listed(s3, filled, "versions", prefix="z")
    (entry,) = page["Versions"]
    assert entry["VersionId"] == "null"
    assert entry["IsLatest"] is True
    assert entry["Owner"]["ID"] == OWNER_ID
    assert "DeleteMarkers" not in page
    answer = s3.get(filled, "versions")
    assert answer.xml.tag == "ListVersionsResult"
    assert answer.text("KeyMarker") == answer.text("VersionIdMarker") == ""


def test_a_deleted_object_leaves_no_version(s3: Client, filled: str) -> None:
    s3.delete(f"{filled}/z")
    s3.put(f"{filled}/asdf", b"again")
    page = listed(s3, filled, "versions")
    assert keys_of(page) == KEYS[:-1]


def test_version_markers(s3: Client, filled: str) -> None:
    page = listed(s3, filled, "versions", max_keys="2")
    assert (page["NextKeyMarker"], page["NextVersionIdMarker"]) == ("a/2", "null")
    page = listed(s3, filled, "versions", key_marker="a/2", version_id_marker="null", max_keys="1")
    assert (page["KeyMarker"], page["VersionIdMarker"]) == ("a/2", "null")
    assert keys_of(page) == ["a/b/3"]
    page = listed(s3, filled, "versions", key_marker="a/2", max_keys="1")
    assert keys_of(page) == ["a/b/3"]
    page = listed(s3, filled, "versions", delimiter="/", max_keys="1")
    assert page["NextKeyMarker"] == "a/"
    assert "NextVersionIdMarker" not in page


def test_a_version_marker_needs_a_key_marker(s3: Client, bucket: str) -> None:
    answer = s3.get(bucket, "versions&version-id-marker=null")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "version-id-marker"
    assert s3.get(bucket, "versions&version-id-marker=").status == 200


def test_an_answer_is_a_document_of_its_own(s3: Client, bucket: str) -> None:
    """FB-13: UTF-8 XML with its declaration."""
    answer: Answer = s3.get(bucket)
    assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult ')
