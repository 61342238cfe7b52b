"""The four switches against public access: documents, and what each of them shuts (UC-05)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.model import ALL_USERS
from s3kit.model import AUTHENTICATED_USERS
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import parsed
from tests.operations.test_acls import policy as acl_document

SWITCHES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def block(owner: Client, bucket: str, *on: str) -> None:
    inner = "".join(f"<{name}>true</{name}>" for name in on)
    body = f"<PublicAccessBlockConfiguration>{inner}</PublicAccessBlockConfiguration>".encode()
    assert owner.put(bucket, body, "publicAccessBlock").status == 200


def public_policy(owner: Client, bucket: str, principal: Any = "*") -> Answer:
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket[1:]}", f"arn:aws:s3:::{bucket[1:]}/*"],
    }
    return owner.put(bucket, json.dumps({"Statement": statement}).encode(), "policy")


def test_the_switches_come_back_as_they_were_set(
    app: S3App, mount: str, s3: Client, bucket: str
) -> None:
    missing = s3.get(bucket, "publicAccessBlock")
    assert (missing.status, missing.code) == (404, "NoSuchPublicAccessBlockConfiguration")
    boto: Any = boto_client(app, mount=mount)
    for on in ((), SWITCHES[:1], SWITCHES[1:3], SWITCHES):
        wanted = {name: name in on for name in SWITCHES}
        boto.put_public_access_block(Bucket=bucket[1:], PublicAccessBlockConfiguration=wanted)
        answer = s3.get(bucket, "publicAccessBlock")
        assert answer.xml.tag == "PublicAccessBlockConfiguration"
        found = parsed("GetPublicAccessBlock", answer)
        assert found["PublicAccessBlockConfiguration"] == wanted
    for _ in range(2):
        assert s3.delete(bucket, "publicAccessBlock").status == 204
    assert s3.get(bucket, "publicAccessBlock").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<PublicAccessBlockConfiguration>",
        b"<Other/>",
        b"<PublicAccessBlockConfiguration><BlockPublicAcls>maybe</BlockPublicAcls>"
        b"</PublicAccessBlockConfiguration>",
    ],
)
def test_a_malformed_document_changes_nothing(s3: Client, bucket: str, body: bytes) -> None:
    block(s3, bucket, *SWITCHES)
    answer = s3.put(bucket, body, "publicAccessBlock")
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(bucket, "publicAccessBlock").body.count(b"true") == 4


GROUP_READ = [("Group", ALL_USERS, "READ")]
PUBLIC: list[tuple[dict[str, str], bytes]] = [
    ({"x_amz_acl": "public-read"}, b""),
    ({"x_amz_acl": "public-read-write"}, b""),
    ({"x_amz_acl": "authenticated-read"}, b""),
    ({"x_amz_grant_read": f'uri="{ALL_USERS}"'}, b""),
    ({"x_amz_grant_full_control": f'uri="{AUTHENTICATED_USERS}"'}, b""),
    ({}, acl_document(("CanonicalUser", OWNER_ID, "FULL_CONTROL"), *GROUP_READ)),
]


@pytest.mark.parametrize(("headers", "body"), PUBLIC)
def test_block_public_acls_lets_none_be_set(
    s3: Client, anonymous: Client, bucket: str, headers: dict[str, str], body: bytes
) -> None:
    assert s3.put(f"{bucket}/k", b"x").status == 200
    block(s3, bucket, "BlockPublicAcls")
    paths = [(bucket, "acl"), (f"{bucket}/k", "acl")]
    if headers:
        paths += [(f"{bucket}/new", "")]
    for path, query in paths:
        answer = s3.put(path, body, query, **headers)
        assert (answer.status, answer.code) == (403, "AccessDenied"), path
    if headers:
        copied = s3.put(f"{bucket}/new", x_amz_copy_source=f"{bucket}/k", **headers)
        assert copied.status == 403
        assert s3.post(f"{bucket}/new", query="uploads", **headers).status == 403
    assert s3.head(f"{bucket}/new").status == 404
    assert anonymous.get(f"{bucket}/k").status == 403
    # What is not public may be set, and what was public stays so.
    private = {"x_amz_acl": "private"} if headers else {}
    twin = b"" if headers else acl_document(("CanonicalUser", OTHER_ID, "READ"))
    assert s3.put(f"{bucket}/k", twin, "acl", **private).status == 200
    assert s3.put(f"{bucket}/new", b"x", **private).status == 200
    block(s3, bucket)
    assert s3.put(f"{bucket}/k", body, "acl", **headers).status == 200


def test_ignore_public_acls_lets_nobody_in_by_them(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, query="acl", x_amz_acl="public-read-write")
    s3.put(f"{bucket}/k", b"x", x_amz_acl="public-read")
    s3.put(f"{bucket}/given", b"x", x_amz_grant_read=f'id="{OTHER_ID}", uri="{ALL_USERS}"')
    s3.put(f"{bucket}/signed", b"x", x_amz_acl="authenticated-read")
    assert anonymous.get(f"{bucket}/k").status == 200
    block(s3, bucket, "IgnorePublicAcls")
    for client in (other, anonymous):
        for path in (bucket, f"{bucket}/k", f"{bucket}/signed"):
            assert client.get(path).status == 403, path
        assert client.put(f"{bucket}/new", b"x").status == 403
    # A grant to somebody by name is not public.
    assert other.get(f"{bucket}/given").status == 200
    assert anonymous.get(f"{bucket}/given").status == 403
    assert s3.put(f"{bucket}/still", b"x", x_amz_acl="public-read").status == 200
    assert anonymous.get(f"{bucket}/still").status == 403
    assert s3.delete(bucket, "publicAccessBlock").status == 204
    assert anonymous.get(f"{bucket}/still").status == 200


def test_block_public_policy_lets_no_public_one_be_set(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    assert public_policy(s3, bucket).status == 204
    block(s3, bucket, "BlockPublicPolicy")
    answer = public_policy(s3, bucket, {"AWS": "*"})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert public_policy(s3, bucket, {"CanonicalUser": OTHER_ID}).status == 204
    assert anonymous.get(bucket).status == 403
    assert public_policy(s3, bucket).status == 403


def test_restrict_public_buckets_lets_in_its_own_account_only(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/k", b"x")
    s3.put(f"{bucket}/given", b"x", x_amz_grant_read=f"id={OTHER_ID}")
    assert public_policy(s3, bucket).status == 204
    block(s3, bucket, "RestrictPublicBuckets")
    for client in (other, anonymous):
        for path in (bucket, f"{bucket}/k", f"{bucket}/given"):
            assert client.get(path).status == 403, path
    assert s3.get(f"{bucket}/k").body == b"x"
    assert parsed("GetBucketPolicyStatus", s3.get(bucket, "policyStatus"))["PolicyStatus"] == {
        "IsPublic": True
    }
    # A policy that names who may come in is none that is public.
    assert public_policy(s3, bucket, {"CanonicalUser": OTHER_ID}).status == 204
    assert other.get(f"{bucket}/k").body == b"x"
    assert anonymous.get(f"{bucket}/k").status == 403


def test_a_policy_may_deny_the_switches_to_their_owner(s3: Client, bucket: str) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*PublicAccessBlock",
        "Resource": f"arn:aws:s3:::{bucket[1:]}",
    }
    assert s3.put(bucket, json.dumps({"Statement": statement}).encode(), "policy").status == 204
    assert s3.get(bucket, "publicAccessBlock").code == "AccessDenied"
    assert s3.delete(bucket, "publicAccessBlock").code == "AccessDenied"
