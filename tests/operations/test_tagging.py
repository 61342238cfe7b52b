"""Tags of objects and of buckets."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

import pytest

from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import parsed

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def document(*tags: tuple[str, str]) -> bytes:
    rows = "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>" for key, value in tags
    )
    return f"<Tagging {XMLNS}><TagSet>{rows}</TagSet></Tagging>".encode()


def tag_set(client: Client, path: str, operation: str = "GetObjectTagging") -> list[dict[str, str]]:
    answer = client.get(path, "tagging")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/xml"
    found: list[dict[str, str]] = parsed(operation, answer)["TagSet"]
    return found


@pytest.fixture(params=["object", "bucket"])
def tagged(request: pytest.FixtureRequest, s3: Client, bucket: str) -> tuple[str, str]:
    """The path of what is tagged, and the operation that shows its tags."""
    if request.param == "bucket":
        return bucket, "GetBucketTagging"
    s3.put(f"{bucket}/k", b"x")
    return f"{bucket}/k", "GetObjectTagging"


def test_tags_are_replaced_as_a_whole(s3: Client, tagged: tuple[str, str]) -> None:
    path, operation = tagged
    answer = s3.put(path, document(("b", "2"), ("a", "1")), "tagging")
    assert (answer.status, answer.body) == (204 if operation == "GetBucketTagging" else 200, b"")
    assert "x-amz-version-id" not in answer.headers
    assert tag_set(s3, path, operation) == [
        {"Key": "b", "Value": "2"},
        {"Key": "a", "Value": "1"},
    ]
    s3.put(path, document(("c", "")), "tagging")
    assert tag_set(s3, path, operation) == [{"Key": "c", "Value": ""}]


@pytest.mark.parametrize(
    "tag",
    [("k" * 128, "v" * 256), ("é世界", "ß"), ("a+b=c._:/@-", " spaced "), ("1", "")],
)
def test_every_allowed_tag_is_kept(
    s3: Client, tagged: tuple[str, str], tag: tuple[str, str]
) -> None:
    path, operation = tagged
    assert s3.put(path, document(tag), "tagging").status < 300
    assert tag_set(s3, path, operation) == [{"Key": tag[0], "Value": tag[1]}]


@pytest.mark.parametrize(
    "tags",
    [
        [("", "v")],
        [("k" * 129, "v")],
        [("k", "v" * 257)],
        [("a", "1"), ("a", "2")],
        [("aws:mine", "v")],
        [("k<", "v")],
        [("k", "{}")],
        [("k", "new\nline")],
    ],
)
def test_a_tag_that_is_none_changes_nothing(
    s3: Client, tagged: tuple[str, str], tags: list[tuple[str, str]]
) -> None:
    """A108."""
    path, operation = tagged
    s3.put(path, document(("a", "before")), "tagging")
    answer = s3.put(path, document(*tags), "tagging")
    assert (answer.status, answer.code) == (400, "InvalidTag")
    assert tag_set(s3, path, operation) == [{"Key": "a", "Value": "before"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Tagging>",
        b"<Tags/>",
        b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
        b"<!DOCTYPE x><Tagging><TagSet></TagSet></Tagging>",
    ],
)
def test_a_malformed_document_changes_nothing(
    s3: Client, tagged: tuple[str, str], body: bytes
) -> None:
    path, operation = tagged
    s3.put(path, document(("a", "before")), "tagging")
    answer = s3.put(path, body, "tagging")
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert tag_set(s3, path, operation) == [{"Key": "a", "Value": "before"}]


def test_an_object_has_at_most_ten_tags(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    tags = [(str(number), "v") for number in range(11)]
    answer = s3.put(f"{bucket}/k", document(*tags), "tagging")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert s3.put(f"{bucket}/k", document(*tags[:10]), "tagging").status == 200
    assert s3.head(f"{bucket}/k").headers["x-amz-tagging-count"] == "10"
    query = "&".join(f"{key}={value}" for key, value in tags)
    assert s3.put(f"{bucket}/k2", b"x", x_amz_tagging=query).code == "BadRequest"


def test_a_bucket_has_at_most_fifty_tags(s3: Client, bucket: str) -> None:
    tags = [(str(number), "v") for number in range(51)]
    answer = s3.put(bucket, document(*tags), "tagging")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert s3.put(bucket, document(*tags[:50]), "tagging").status == 204
    assert len(tag_set(s3, bucket, "GetBucketTagging")) == 50


def test_an_object_without_tags_has_an_empty_set(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    assert tag_set(s3, f"{bucket}/k") == []
    assert "x-amz-tagging-count" not in s3.head(f"{bucket}/k").headers
    s3.put(f"{bucket}/k", document(("a", "1")), "tagging")
    answer = s3.delete(f"{bucket}/k", "tagging")
    assert (answer.status, answer.body) == (204, b"")
    assert tag_set(s3, f"{bucket}/k") == []
    assert s3.delete(f"{bucket}/k", "tagging").status == 204
    assert s3.get(f"{bucket}/k").body == b"x"


def test_a_bucket_without_tags_has_none(s3: Client, bucket: str) -> None:
    answer = s3.get(bucket, "tagging")
    assert (answer.status, answer.code) == (404, "NoSuchTagSet")
    assert answer.text("BucketName") == bucket[1:]
    s3.put(bucket, document(("a", "1")), "tagging")
    answer = s3.delete(bucket, "tagging")
    assert (answer.status, answer.body) == (204, b"")
    assert s3.get(bucket, "tagging").code == "NoSuchTagSet"
    assert s3.delete(bucket, "tagging").status == 204


def test_tags_leave_the_object_as_it_is(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"x", x_amz_meta_a="b")
    before = s3.head(path).headers
    s3.put(path, document(("a", "1")), "tagging")
    after = s3.head(path).headers
    assert after["x-amz-tagging-count"] == "1"
    for name in ("etag", "last-modified", "x-amz-meta-a", "content-length"):
        assert after[name] == before[name]
    s3.put(path, b"new")
    assert tag_set(s3, path) == []


def test_a_missing_object_has_no_tags(s3: Client, bucket: str) -> None:
    for answer in (
        s3.get(f"{bucket}/k", "tagging"),
        s3.put(f"{bucket}/k", document(("a", "1")), "tagging"),
        s3.delete(f"{bucket}/k", "tagging"),
    ):
        assert (answer.status, answer.code) == (404, "NoSuchKey")


def test_the_null_version_has_the_objects_tags(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"x")
    answer = s3.put(path, document(("a", "1")), "tagging&versionId=null")
    assert (answer.status, answer.headers["x-amz-version-id"]) == (200, "null")
    got = s3.get(path, "tagging&versionId=null")
    assert got.headers["x-amz-version-id"] == "null"
    assert got.texts("TagSet/Tag/Key") == ["a"]
    assert "x-amz-version-id" not in s3.get(path, "tagging").headers
    assert s3.get(path, "tagging&versionId=other").code == "NoSuchVersion"
    assert s3.put(path, document(), "tagging&versionId=other").code == "NoSuchVersion"
    gone = s3.delete(path, "tagging&versionId=null")
    assert (gone.status, gone.headers["x-amz-version-id"]) == (204, "null")


def test_others_may_not_see_or_change_tags(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/k", b"x", x_amz_acl="public-read", x_amz_tagging="a=1")
    for client in (other, anonymous):
        for path in (bucket, f"{bucket}/k"):
            assert client.get(path, "tagging").code == "AccessDenied"
            assert client.put(path, document(("a", "2")), "tagging").code == "AccessDenied"
            assert client.delete(path, "tagging").code == "AccessDenied"
    assert tag_set(s3, f"{bucket}/k") == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize("value", ["a=1&a=2", "=1", "a=%zz", "a=b=c"])
def test_a_tagging_header_that_is_none_is_refused(s3: Client, bucket: str, value: str) -> None:
    answer = s3.put(f"{bucket}/k", b"x", x_amz_tagging=value)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.head(f"{bucket}/k").status == 404


def test_a_bucket_is_made_with_its_tags(s3: Client, bucket: str) -> None:
    """As Terraform makes it since 6.23."""
    rows = "".join(f"<Tag><Key>k{n}</Key><Value>{n}</Value></Tag>" for n in range(3))
    text = "<CreateBucketConfiguration {}><Tags>{}</Tags></CreateBucketConfiguration>"
    path = f"{bucket}-tagged"
    assert s3.put(path, text.format(XMLNS, rows).encode()).status == 200
    assert tag_set(s3, path, "GetBucketTagging") == [
        {"Key": f"k{n}", "Value": str(n)} for n in range(3)
    ]
    assert s3.delete(path, "tagging").status == 204
    wrong = {
        "InvalidTag": rows + "<Tag><Key>k0</Key><Value>twice</Value></Tag>",
        "MalformedXML": "<Tag><Key>k</Key></Tag>",
    }
    for code, these in wrong.items():
        answer = s3.put(f"{bucket}-none", text.format(XMLNS, these).encode())
        assert (answer.status, answer.code) == (400, code)
        assert s3.head(f"{bucket}-none").status == 404


ABAC = "<AbacStatus><Status>{}</Status></AbacStatus>"


def test_where_tags_count_to_change_them_takes_more(s3: Client, other: Client, bucket: str) -> None:
    def allow(*actions: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"CanonicalUser": OTHER_ID},
            "Action": actions,
            "Resource": f"arn:aws:s3:::{bucket[1:]}",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        assert s3.put(bucket, json.dumps(policy).encode(), "policy").status == 204

    allow("s3:PutBucketTagging")
    assert other.put(bucket, document(("team", "blue")), "tagging").status == 204
    s3.put(bucket, ABAC.format("Enabled").encode(), "abac")
    for answer in (
        other.put(bucket, document(("team", "red")), "tagging"),
        other.delete(bucket, "tagging"),
    ):
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert tag_set(s3, bucket, "GetBucketTagging") == [{"Key": "team", "Value": "blue"}]
    allow("s3:PutBucketTagging", "s3:TagResource")
    assert other.put(bucket, document(("team", "red")), "tagging").status == 204
    assert other.delete(bucket, "tagging").code == "AccessDenied"
    s3.put(bucket, ABAC.format("Disabled").encode(), "abac")
    assert other.delete(bucket, "tagging").status == 204
