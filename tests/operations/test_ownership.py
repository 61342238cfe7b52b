"""Object ownership: UC-05, UC-06; features.md 207."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from s3kit.model import ALL_USERS
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import parsed

FULL = "bucket-owner-full-control"


def document(ownership: str) -> bytes:
    return (
        '<OwnershipControls xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
        f"<ObjectOwnership>{ownership}</ObjectOwnership></Rule></OwnershipControls>"
    ).encode()


def put(client: Client, bucket: str, body: bytes) -> Answer:
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    return client.put(bucket, body, "ownershipControls", content_md5=digest)


def owner_of(client: Client, path: str) -> str:
    found: str = parsed("GetObjectAcl", client.get(path, "acl"))["Owner"]["ID"]
    return found


@pytest.fixture
def shared(s3: Client, bucket: str) -> str:
    """A bucket in which everybody may write."""
    assert s3.put(bucket, b"", "acl", x_amz_acl="public-read-write").status == 200
    return bucket


@pytest.mark.parametrize(
    "ownership", ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]
)
def test_the_setting_is_kept_and_removed(s3: Client, bucket: str, ownership: str) -> None:
    assert s3.get(bucket, "ownershipControls").code == "OwnershipControlsNotFoundError"
    answer = put(s3, bucket, document(ownership))
    assert (answer.status, answer.body) == (200, b"")
    found = parsed("GetBucketOwnershipControls", s3.get(bucket, "ownershipControls"))
    assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": ownership}]}
    assert s3.delete(bucket, "ownershipControls").status == 204
    assert s3.delete(bucket, "ownershipControls").status == 204
    assert s3.get(bucket, "ownershipControls").status == 404
    made = f"/{fresh_name()}"
    assert s3.put(made, b"", x_amz_object_ownership=ownership).status == 200
    found = parsed("GetBucketOwnershipControls", s3.get(made, "ownershipControls"))
    assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": ownership}]}


@pytest.mark.parametrize(
    "body",
    [
        b"<OwnershipControls>",
        b"<OwnershipControls/>",
        document("Nobody"),
        document("ObjectWriter")
        .replace(b"</Rule>", b"</Rule>" * 2)
        .replace(b"<Rule>", b"<Rule>" * 2),
        document("ObjectWriter").replace(
            b"</OwnershipControls>",
            b"<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
        ),
    ],
)
def test_a_malformed_setting_changes_nothing(s3: Client, bucket: str, body: bytes) -> None:
    answer = put(s3, bucket, body)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(bucket, "ownershipControls").status == 404


def test_only_the_owner_may(s3: Client, other: Client, anonymous: Client, shared: str) -> None:
    for client in (other, anonymous):
        assert client.get(shared, "ownershipControls").status == 403
        assert put(client, shared, document("ObjectWriter")).status == 403
        assert client.delete(shared, "ownershipControls").status == 403
    assert s3.get(shared, "ownershipControls").status == 404


def test_an_unknown_ownership_makes_no_bucket(s3: Client) -> None:
    path = f"/{fresh_name()}"
    answer = s3.put(path, b"", x_amz_object_ownership="Everybody")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.head(path).status == 404


def test_acls_are_switched_off_only_where_none_grants_anything(s3: Client, shared: str) -> None:
    answer = put(s3, shared, document("BucketOwnerEnforced"))
    assert (answer.status, answer.code) == (400, "InvalidBucketAclWithObjectOwnership")
    assert s3.get(shared, "ownershipControls").status == 404
    s3.put(shared, b"", "acl", x_amz_acl="private")
    assert put(s3, shared, document("BucketOwnerEnforced")).status == 200
    path = f"/{fresh_name()}"
    answer = s3.put(
        path, b"", x_amz_object_ownership="BucketOwnerEnforced", x_amz_acl="public-read"
    )
    assert (answer.status, answer.code) == (400, "InvalidBucketAclWithObjectOwnership")
    assert s3.head(path).status == 404


def test_where_acls_are_off_none_counts_and_none_is_taken(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    """UC-06: what was granted before no longer counts, and comes back with ACLs."""
    s3.put(f"{bucket}/public", b"x", x_amz_acl="public-read")
    assert anonymous.get(f"{bucket}/public").status == 200
    put(s3, bucket, document("BucketOwnerEnforced"))
    assert anonymous.get(f"{bucket}/public").status == 403
    private = {"x_amz_acl": "private"}
    for path in (bucket, f"{bucket}/public"):
        answer = s3.put(path, b"", "acl", **private)
        assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
    for headers in (
        {"x_amz_acl": "public-read"},
        {"x_amz_acl": "authenticated-read"},
        {"x_amz_grant_read": f'uri="{ALL_USERS}"'},
        {"x_amz_grant_full_control": f'id="{OTHER_ID}"'},
    ):
        for path, query in (
            (bucket, "acl"),
            (f"{bucket}/public", "acl"),
            (f"{bucket}/new", ""),
        ):
            answer = s3.put(path, b"", query, **headers)
            assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
        answer = s3.post(f"{bucket}/new", b"", "uploads", **headers)
        assert answer.code == "AccessControlListNotSupported"
        answer = s3.put(f"{bucket}/new", b"", x_amz_copy_source=f"{bucket}/public", **headers)
        assert answer.code == "AccessControlListNotSupported"
    assert s3.head(f"{bucket}/new").status == 404
    for headers in (
        {"x_amz_acl": FULL},
        private,
        {"x_amz_grant_full_control": f'id="{OWNER_ID}"'},
        {},
    ):
        assert s3.put(f"{bucket}/new", b"x", **headers).status == 200
    assert s3.post(f"{bucket}/new", b"", "uploads", **private).status == 200
    both = s3.put(f"{bucket}/new", b"x", **private, x_amz_grant_read=f'id="{OTHER_ID}"')
    assert (both.status, both.code) == (400, "InvalidRequest")
    assert s3.put(f"{bucket}/new", b"x", x_amz_acl="secret").code == "InvalidArgument"
    for path in (bucket, f"{bucket}/public"):
        operation = "GetBucketAcl" if path == bucket else "GetObjectAcl"
        shown = parsed(operation, s3.get(path, "acl"))
        assert [grant["Grantee"]["ID"] for grant in shown["Grants"]] == [OWNER_ID]
    for path in (bucket, f"{bucket}/public"):
        # What s3cmd's cp and mv do: they put what they read, and nothing is changed by it.
        shown = s3.get(path, "acl").body
        assert s3.put(path, shown, "acl").status == 200
        for wrong in (
            shown.replace(b"FULL_CONTROL", b"READ"),
            shown.replace(OWNER_ID.encode(), OTHER_ID.encode()),
            shown.replace(b"<Permission>", b"<Permissoin>"),
        ):
            assert wrong != shown
            answer = s3.put(path, wrong, "acl")
            assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
    s3.delete(bucket, "ownershipControls")
    assert anonymous.get(f"{bucket}/public").status == 200


def test_where_acls_are_off_another_account_names_none_but_the_owners(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    """ "private" from another account would give the object to that account."""
    put(s3, bucket, document("BucketOwnerEnforced"))
    arn = f"arn:aws:s3:::{bucket[1:]}/*"
    entry = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": arn}
    assert s3.put(bucket, json.dumps({"Statement": entry}).encode(), "policy").status == 204
    for client in (other, anonymous):
        for acl in ("private", "bucket-owner-read"):
            answer = client.put(f"{bucket}/k", b"x", x_amz_acl=acl)
            assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
        for headers in ({"x_amz_acl": FULL}, {}):
            assert client.put(f"{bucket}/k", b"x", **headers).status == 200
    assert owner_of(s3, f"{bucket}/k") == OWNER_ID


def test_who_owns_what_others_store(s3: Client, other: Client, shared: str) -> None:
    for ownership, plain, full in (
        (None, OTHER_ID, OTHER_ID),
        ("ObjectWriter", OTHER_ID, OTHER_ID),
        ("BucketOwnerPreferred", OTHER_ID, OWNER_ID),
    ):
        if ownership is not None:
            put(s3, shared, document(ownership))
        other.put(f"{shared}/plain", b"x", x_amz_acl="public-read")
        other.put(f"{shared}/full", b"x", x_amz_acl=FULL)
        for key, owner in (("plain", plain), ("full", full)):
            client = other if owner == OTHER_ID else s3
            assert owner_of(client, f"{shared}/{key}") == owner
