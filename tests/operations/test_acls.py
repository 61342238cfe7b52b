"""ACLs of buckets and objects."""

from __future__ import annotations

from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.model import ALL_USERS
from s3kit.model import AUTHENTICATED_USERS
from s3kit.model import LOG_DELIVERY
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed

XSI = "http://www.w3.org/2001/XMLSchema-instance"
OWNERS_GRANT = ("CanonicalUser", OWNER_ID, "FULL_CONTROL")


def grants(answer: Answer, operation: str = "GetObjectAcl") -> list[tuple[str, str, str]]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/xml"
    assert answer.xml.tag == "AccessControlPolicy"
    found = parsed(operation, answer)
    return [
        (
            grant["Grantee"]["Type"],
            grant["Grantee"].get("ID") or grant["Grantee"].get("URI"),
            grant["Permission"],
        )
        for grant in found["Grants"]
    ]


def policy(*rows: tuple[str, str, str], owner: str = OWNER_ID) -> bytes:
    """An AccessControlPolicy of (kind, who, permission)."""
    elements = {"CanonicalUser": "ID", "Group": "URI", "AmazonCustomerByEmail": "EmailAddress"}
    text = "".join(
        f'<Grant><Grantee xmlns:xsi="{XSI}" xsi:type="{kind}"><{elements[kind]}>{who}'
        f"</{elements[kind]}></Grantee><Permission>{permission}</Permission></Grant>"
        for kind, who, permission in rows
    )
    return (
        f'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner>'
        f"<ID>{owner}</ID></Owner><AccessControlList>{text}</AccessControlList>"
        "</AccessControlPolicy>"
    ).encode()


def shown(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Groups first, as ceph/s3-tests wants them."""
    return sorted(rows, key=lambda row: row[0] != "Group")


@pytest.fixture(params=["object", "bucket"])
def thing(request: pytest.FixtureRequest, s3: Client, bucket: str) -> tuple[str, str]:
    """The path of what has an ACL, and the operation that shows it."""
    if request.param == "bucket":
        return bucket, "GetBucketAcl"
    s3.put(f"{bucket}/k", b"x")
    return f"{bucket}/k", "GetObjectAcl"


CANNED: list[tuple[str, list[tuple[str, str, str]]]] = [
    ("private", []),
    ("public-read", [("Group", ALL_USERS, "READ")]),
    ("public-read-write", [("Group", ALL_USERS, "READ"), ("Group", ALL_USERS, "WRITE")]),
    ("authenticated-read", [("Group", AUTHENTICATED_USERS, "READ")]),
    ("bucket-owner-read", []),
    ("bucket-owner-full-control", []),
    ("log-delivery-write", [("Group", LOG_DELIVERY, "WRITE"), ("Group", LOG_DELIVERY, "READ_ACP")]),
]


def test_what_has_no_acl_is_private(s3: Client, thing: tuple[str, str]) -> None:
    path, operation = thing
    answer = s3.get(path, "acl")
    assert grants(answer, operation) == [OWNERS_GRANT]
    found = parsed(operation, answer)
    assert found["Owner"] == {"ID": OWNER_ID, "DisplayName": "Olive Owner"}
    assert found["Grants"][0]["Grantee"] == {
        "ID": OWNER_ID,
        "DisplayName": "Olive Owner",
        "Type": "CanonicalUser",
    }
    assert f'xmlns:xsi="{XSI}"'.encode() in answer.body


@pytest.mark.parametrize(("name", "added"), CANNED)
def test_canned_acls_are_kept_and_shown(
    s3: Client, thing: tuple[str, str], name: str, added: list[tuple[str, str, str]]
) -> None:
    path, operation = thing
    answer = s3.put(path, b"", "acl", x_amz_acl=name)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert grants(s3.get(path, "acl"), operation) == shown([OWNERS_GRANT, *added])


@pytest.mark.parametrize(("name", "added"), CANNED)
def test_canned_acls_at_creation(s3: Client, name: str, added: list[tuple[str, str, str]]) -> None:
    bucket = f"/{fresh_name()}"
    assert s3.put(bucket, b"", x_amz_acl=name).status == 200
    assert grants(s3.get(bucket, "acl"), "GetBucketAcl") == shown([OWNERS_GRANT, *added])
    assert s3.put(f"{bucket}/k", b"x", x_amz_acl=name).status == 200
    assert grants(s3.get(f"{bucket}/k", "acl")) == shown([OWNERS_GRANT, *added])
    s3.put(f"{bucket}/k", b"again")
    assert grants(s3.get(f"{bucket}/k", "acl")) == [OWNERS_GRANT]


@pytest.mark.parametrize(
    ("name", "anonymous_reads", "other_reads", "writes"),
    [
        ("private", False, False, False),
        ("public-read", True, True, False),
        ("public-read-write", True, True, True),
        ("authenticated-read", False, True, False),
    ],
)
def test_a_buckets_acl_decides_who_lists_and_writes(
    s3: Client,
    other: Client,
    anonymous: Client,
    bucket: str,
    name: str,
    anonymous_reads: bool,
    other_reads: bool,
    writes: bool,
) -> None:
    """A061 to A064; FB-16: a bucket's ACL says nothing about reading its objects."""
    s3.put(f"{bucket}/secret", b"x")
    s3.put(bucket, b"", "acl", x_amz_acl=name)
    for client, reads in ((anonymous, anonymous_reads), (other, other_reads)):
        assert (client.get(bucket).status == 200) is reads
        assert (client.get(bucket, "list-type=2").status == 200) is reads
        assert (client.get(bucket, "versions").status == 200) is reads
        assert (client.get(bucket, "uploads").status == 200) is reads
        assert (client.head(bucket).status == 200) is reads
        assert client.get(f"{bucket}/secret").status == 403
        assert client.get(f"{bucket}/missing").status == (404 if reads else 403)
        assert (client.put(f"{bucket}/new", b"x").status == 200) is writes
        assert (client.delete(f"{bucket}/new").status == 204) is writes
        assert client.delete(bucket).status == 403
        assert client.get(bucket, "acl").status == 403
        assert client.put(bucket, b"", "acl", x_amz_acl="public-read").status == 403
        assert client.put(f"{bucket}/k", b"x", x_amz_tagging="a=1").status == 403


@pytest.mark.parametrize(
    ("name", "anonymous_reads", "other_reads"),
    [
        ("private", False, False),
        ("public-read", True, True),
        ("authenticated-read", False, True),
        ("bucket-owner-read", False, False),
    ],
)
def test_an_objects_acl_decides_who_reads_it(
    s3: Client,
    other: Client,
    anonymous: Client,
    bucket: str,
    name: str,
    anonymous_reads: bool,
    other_reads: bool,
) -> None:
    s3.put(f"{bucket}/k", b"x", x_amz_acl=name)
    for client, reads in ((anonymous, anonymous_reads), (other, other_reads)):
        for query in ("", "versionId=null"):
            assert (client.get(f"{bucket}/k", query).status == 200) is reads
            assert (client.head(f"{bucket}/k", query).status == 200) is reads
        assert client.get(f"{bucket}/k", "acl").status == 403
        assert client.put(f"{bucket}/k", b"", "acl", x_amz_acl="public-read").status == 403
        assert client.put(f"{bucket}/k", b"evil").status == 403
        assert client.delete(f"{bucket}/k").status == 403
        assert client.get(bucket).status == 403


def test_a_writer_owns_its_object_in_anothers_bucket(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    other.put(f"{bucket}/k", b"x", x_amz_acl="bucket-owner-full-control")
    assert grants(other.get(f"{bucket}/k", "acl")) == [
        ("CanonicalUser", OTHER_ID, "FULL_CONTROL"),
        ("CanonicalUser", OWNER_ID, "FULL_CONTROL"),
    ]
    assert other.get(f"{bucket}/k").body == b"x"
    assert anonymous.put(f"{bucket}/a", b"x").status == 200
    assert grants(s3.get(f"{bucket}/a", "acl")) == [OWNERS_GRANT]
    # Nobody unknown may publish for good.
    assert anonymous.put(f"{bucket}/b", b"x", x_amz_acl="public-read").status == 403


def test_a_document_grants_what_it_lists(
    s3: Client, other: Client, bucket: str, thing: tuple[str, str]
) -> None:
    path, operation = thing
    rows = [
        OWNERS_GRANT,
        ("CanonicalUser", OTHER_ID, "READ"),
        ("CanonicalUser", OTHER_ID, "READ_ACP"),
        ("Group", LOG_DELIVERY, "WRITE"),
    ]
    assert s3.put(path, policy(*rows), "acl").status == 200
    assert grants(s3.get(path, "acl"), operation) == shown(rows)
    assert other.get(path).status == 200
    assert other.get(path, "acl").status == 200
    assert other.put(path, b"", "acl", x_amz_acl="private").status == 403
    s3.put(path, policy(("CanonicalUser", OTHER_ID, "WRITE_ACP")), "acl")
    # The owner's own rights do not hang on a grant.
    assert grants(s3.get(path, "acl"), operation) == [("CanonicalUser", OTHER_ID, "WRITE_ACP")]
    assert other.get(path).status == 403
    assert other.put(path, b"", "acl", x_amz_acl="private").status == 200
    assert grants(s3.get(path, "acl"), operation) == [OWNERS_GRANT]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<AccessControlPolicy>", "MalformedACLError"),
        (b"<Other/>", "MalformedACLError"),
        (b"<!DOCTYPE a><AccessControlPolicy/>", "MalformedACLError"),
        (policy(("CanonicalUser", OWNER_ID, "ALL")), "MalformedACLError"),
        (policy(("CanonicalUser", OWNER_ID, "read")), "MalformedACLError"),
        (policy(("CanonicalUser", "nobody", "READ")), "InvalidArgument"),
        (policy(("Group", "http://example.com/all", "READ")), "InvalidArgument"),
        (policy(("AmazonCustomerByEmail", "otto@example.com", "READ")), "MethodNotAllowed"),
        (policy(OWNERS_GRANT, owner=OTHER_ID), "InvalidArgument"),
        (policy(*[OWNERS_GRANT] * 101), "MalformedACLError"),
    ],
)
def test_a_document_that_grants_nothing_known_changes_nothing(
    s3: Client, thing: tuple[str, str], body: bytes, code: str
) -> None:
    path, operation = thing
    s3.put(path, b"", "acl", x_amz_acl="public-read")
    answer = s3.put(path, body, "acl")
    assert (answer.status, answer.code) == (405 if code == "MethodNotAllowed" else 400, code)
    assert len(grants(s3.get(path, "acl"), operation)) == 2


def test_an_acl_must_be_said_in_one_way(s3: Client, thing: tuple[str, str]) -> None:
    path, _ = thing
    both = s3.put(path, policy(OWNERS_GRANT), "acl", x_amz_acl="private")
    assert (both.status, both.code) == (400, "UnexpectedContent")
    none = s3.put(path, b"", "acl")
    assert (none.status, none.code) == (400, "MissingSecurityHeader")
    unknown = s3.put(path, b"", "acl", x_amz_acl="everybody")
    assert (unknown.status, unknown.code) == (400, "InvalidArgument")
    grant = f'id="{OTHER_ID}"'
    granted = s3.put(path, policy(OWNERS_GRANT), "acl", x_amz_grant_read=grant)
    assert (granted.status, granted.code) == (400, "UnexpectedContent")
    two = s3.put(path, b"", "acl", x_amz_acl="private", x_amz_grant_read=grant)
    assert (two.status, two.code) == (400, "InvalidRequest")


GRANT_HEADERS = {
    "x_amz_grant_read": f'id="{OTHER_ID}", uri="{ALL_USERS}"',
    "x_amz_grant_write": f"id={OTHER_ID}",
    "x_amz_grant_read_acp": f'id="{OTHER_ID}"',
    "x_amz_grant_write_acp": f'id="{OTHER_ID}"',
    "x_amz_grant_full_control": f'id="{OWNER_ID}"',
}
GRANTED = [
    ("Group", ALL_USERS, "READ"),
    ("CanonicalUser", OTHER_ID, "READ"),
    ("CanonicalUser", OTHER_ID, "WRITE"),
    ("CanonicalUser", OTHER_ID, "READ_ACP"),
    ("CanonicalUser", OTHER_ID, "WRITE_ACP"),
    ("CanonicalUser", OWNER_ID, "FULL_CONTROL"),
]


def test_headers_grant_what_they_list(
    s3: Client, anonymous: Client, other: Client, thing: tuple[str, str]
) -> None:
    path, operation = thing
    assert s3.put(path, b"", "acl", **GRANT_HEADERS).status == 200
    assert grants(s3.get(path, "acl"), operation) == GRANTED
    assert anonymous.get(path).status == 200
    assert other.get(path, "acl").status == 200
    s3.put(path, b"", "acl", x_amz_grant_read=f'id="{OTHER_ID}"')
    assert grants(s3.get(path, "acl"), operation) == [("CanonicalUser", OTHER_ID, "READ")]
    assert anonymous.get(path).status == 403


def test_headers_grant_at_creation(s3: Client, other: Client) -> None:
    bucket = f"/{fresh_name()}"
    assert s3.put(bucket, b"", **GRANT_HEADERS).status == 200
    assert grants(s3.get(bucket, "acl"), "GetBucketAcl") == GRANTED
    s3.put(f"{bucket}/k", b"x", **GRANT_HEADERS)
    assert grants(s3.get(f"{bucket}/k", "acl")) == GRANTED
    s3.put(f"{bucket}/copy", b"", x_amz_copy_source=f"{bucket}/k", **GRANT_HEADERS)
    assert grants(s3.get(f"{bucket}/copy", "acl")) == GRANTED
    begun = parsed("CreateMultipartUpload", s3.post(f"{bucket}/m", b"", "uploads", **GRANT_HEADERS))
    part = s3.put(f"{bucket}/m", b"x", f"partNumber=1&uploadId={begun['UploadId']}")
    s3.post(
        f"{bucket}/m",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
        f"{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>".encode(),
        f"uploadId={begun['UploadId']}",
    )
    assert grants(s3.get(f"{bucket}/m", "acl")) == GRANTED
    assert other.get(f"{bucket}/m").body == b"x"


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("", 400, "InvalidArgument"),
        ("everybody", 400, "InvalidArgument"),
        ('id="nobody"', 400, "InvalidArgument"),
        ('uri="http://example.com/all"', 400, "InvalidArgument"),
        (f'id="{OTHER_ID}",', 400, "InvalidArgument"),
        ('name="otto"', 400, "InvalidArgument"),
        ('emailAddress="otto@example.com"', 405, "MethodNotAllowed"),
        (",".join([f"id={OTHER_ID}"] * 101), 400, "InvalidRequest"),
    ],
)
def test_a_header_that_grants_nothing_known_changes_nothing(
    s3: Client, thing: tuple[str, str], value: str, status: int, code: str
) -> None:
    path, operation = thing
    answer = s3.put(path, b"", "acl", x_amz_grant_read=value)
    assert (answer.status, answer.code) == (status, code)
    assert grants(s3.get(path, "acl"), operation) == [OWNERS_GRANT]
    new = f"/{fresh_name()}" if operation == "GetBucketAcl" else f"{path}-new"
    answer = s3.put(new, b"", x_amz_grant_write_acp=value)
    assert (answer.status, answer.code) == (status, code)
    assert s3.head(new).status == 404


def test_a_missing_object_has_no_acl(s3: Client, bucket: str) -> None:
    assert s3.get(f"{bucket}/k", "acl").code == "NoSuchKey"
    assert s3.put(f"{bucket}/k", b"", "acl", x_amz_acl="private").code == "NoSuchKey"
    s3.put(f"{bucket}/k", b"x")
    assert s3.get(f"{bucket}/k", "acl&versionId=none").code == "NoSuchVersion"
    null = s3.get(f"{bucket}/k", "acl&versionId=null")
    assert null.headers["x-amz-version-id"] == "null"
    put = s3.put(f"{bucket}/k", b"", "acl&versionId=null", x_amz_acl="public-read")
    assert (put.status, put.headers["x-amz-version-id"]) == (200, "null")


def test_botocore_reads_and_writes_acls(app: S3App, mount: str, s3: Client, bucket: str) -> None:
    client: Any = boto_client(app, mount=mount)
    s3.put(f"{bucket}/k", b"x")
    target = {"Bucket": bucket[1:], "Key": "k"}
    client.put_object_acl(**target, ACL="public-read")
    seen = client.get_object_acl(**target)
    assert len(seen["Grants"]) == 2
    client.put_object_acl(
        **target, AccessControlPolicy={"Owner": seen["Owner"], "Grants": seen["Grants"][1:]}
    )
    assert len(client.get_object_acl(**target)["Grants"]) == 1
    client.put_bucket_acl(Bucket=bucket[1:], ACL="authenticated-read")
    assert client.get_bucket_acl(Bucket=bucket[1:])["Grants"][0]["Grantee"]["URI"].endswith(
        "AuthenticatedUsers"
    )
