"""A075 to A079: a bucket's policy grants what it says, to whom it says, and nothing beside it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.app import S3App
from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_denied
from tests.attacks.effects import assert_holds
from tests.attacks.effects import keys_of
from tests.attacks.handmade import Signature
from tests.attacks.handmade import form_fields
from tests.attacks.handmade import post_form
from tests.attacks.test_accounts import delete_many
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import make_app


def statement(bucket: str, path: str, *actions: str, **members: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": "*",
        "Action": list(actions),
        "Resource": f"arn:aws:s3:::{bucket[1:]}{path}",
        **members,
    }


def set_policy(owner: Client, bucket: str, *statements: dict[str, Any]) -> None:
    body = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}).encode()
    answer = owner.put(bucket, body, "policy")
    assert answer.status == 204, answer.body


@pytest.fixture
def folders(s3: Client, bucket: str) -> str:
    """A bucket with objects in ``foo/`` and beside it."""
    for key in ("foo/mine", "foobar", "foo", "other/secret"):
        assert s3.put(f"{bucket}/{key}", b"private").status == 200
    return bucket


OUTSIDE = [
    "foobar",
    "foo",
    "other/secret",
    "foo%2F..%2Fother%2Fsecret",
    "foo/../other/secret",
    "foo/%2e%2e/other/secret",
    "foo%5C..%5Cother%5Csecret",
    "./foo/../other/secret",
    "Foo/mine",
    "%66oobar",
    "foo%00/mine",
]
ALL = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:GetObjectAcl",
    "s3:PutObjectAcl",
)


@pytest.mark.parametrize("spelling", OUTSIDE)
def test_a075_a_path_scoped_grant_reaches_no_sibling(
    s3: Client, other: Client, anonymous: Client, folders: str, spelling: str
) -> None:
    set_policy(s3, folders, statement(folders, "/foo/*", *ALL))
    for stranger in (other, anonymous):
        path = f"{folders}/{spelling}"
        answer = stranger.get(path)
        # A key with dots in it is a key below foo/ like any other, and not there.
        assert answer.status in (403, 404, 400), answer.body
        assert answer.body != b"private"
        if ".." in spelling.replace("%2e", ".") and not spelling.startswith("."):
            continue
        assert_denied(stranger.put(path, b"evil"))
        assert_denied(stranger.delete(path))
        assert_denied(stranger.get(path, "acl"))
        assert_denied(stranger.put(path, b"", "acl", x_amz_acl="public-read"))
    for key in ("foobar", "foo", "other/secret"):
        assert_holds(s3, f"{folders}/{key}", b"private")
    # The twins.
    assert other.get(f"{folders}/foo/mine").body == b"private"
    assert anonymous.put(f"{folders}/foo/new", b"x").status == 200


def test_a075_a_multi_delete_is_asked_about_each_key(
    s3: Client, other: Client, anonymous: Client, folders: str
) -> None:
    set_policy(s3, folders, statement(folders, "/foo/*", "s3:DeleteObject"))
    for stranger in (other, anonymous):
        s3.put(f"{folders}/foo/mine", b"private")
        answer = delete_many(stranger, folders, "foo/mine", "foobar", "foo", "foo/../foobar")
        assert answer.status == 200
        assert answer.texts("Deleted/Key") == ["foo/mine", "foo/../foobar"]
        assert set(answer.texts("Error/Code")) == {"AccessDenied"}
        assert keys_of(s3, folders) == ["foo", "foobar", "other/secret"]
    # Nor does the leave for objects reach a version.
    body = b"<Delete><Object><Key>foo/v</Key><VersionId>null</VersionId></Object></Delete>"
    assert s3.put(f"{folders}/foo/v", b"x").status == 200
    answer = other.request("POST", folders, "delete", {"x-amz-checksum-crc32": crc32(body)}, body)
    assert answer.texts("Error/Code") == ["AccessDenied"]
    assert_denied(other.delete(f"{folders}/foo/v", "versionId=null"))


def crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def test_a075_a_copy_is_asked_about_both_ends(s3: Client, other: Client, folders: str) -> None:
    mine = f"{folders}-mine"
    assert other.put(mine).status == 200
    set_policy(s3, folders, statement(folders, "/foo/*", "s3:GetObject", "s3:PutObject"))
    copy = {"x_amz_copy_source": f"{folders}/foo/mine"}
    assert other.put(f"{mine}/k", **copy).status == 200
    assert other.put(f"{folders}/foo/copy", **copy).status == 200
    for source in ("foobar", "other/secret", "foo/../other/secret", "foo%2F..%2Fother%2Fsecret"):
        answer = other.put(f"{mine}/stolen", x_amz_copy_source=f"{folders}/{source}")
        assert answer.status in (403, 404), answer.body
        upload = other.post(f"{mine}/stolen", query="uploads").text("UploadId")
        answer = other.put(
            f"{mine}/stolen",
            query=f"partNumber=1&uploadId={upload}",
            x_amz_copy_source=f"{folders}/{source}",
        )
        assert answer.status in (403, 404), answer.body
    assert_absent(other, f"{mine}/stolen")
    assert_denied(other.put(f"{folders}/foobar", **copy))
    assert_holds(s3, f"{folders}/foobar", b"private")


def test_a075_a_form_cannot_leave_the_folder(
    s3: Client, other: Client, anonymous: Client, folders: str
) -> None:
    denied = {"StringLike": {"s3:x-amz-acl": "public*"}}
    set_policy(
        s3,
        folders,
        statement(folders, "/foo/*", "s3:PutObject"),
        statement(folders, "/*", "s3:PutObject", Effect="Deny", Condition=denied),
    )
    assert post_form(anonymous, folders, {"key": "foo/posted"}, b"x").status == 204
    assert_denied(post_form(anonymous, folders, {"key": "posted"}, b"x"))
    assert_denied(post_form(anonymous, folders, {"key": "foo/b", "acl": "public-read"}, b"x"))
    wanted = [["starts-with", "$key", ""], ["starts-with", "$acl", ""], {"bucket": folders[1:]}]
    for fields, status in (
        ({"key": "foo/c", "acl": "private"}, 204),
        ({"key": "foo/d", "acl": "public-read"}, 403),
        ({"key": "d", "acl": "private"}, 403),
    ):
        made = form_fields(fields, wanted, how=Signature(OTHER))
        assert post_form(anonymous, folders, made, b"x").status == status, fields
    assert_absent(s3, f"{folders}/foo/d")
    assert_absent(s3, f"{folders}/posted")


def test_a076_an_explicit_deny_beats_every_allow(
    s3: Client, other: Client, anonymous: Client, secret: str, bucket: str
) -> None:
    allowing = statement(bucket, "/*", "s3:*")
    denying = statement(bucket, "/secret", "s3:GetObject", Effect="Deny")
    assert s3.put(secret, b"", "acl", x_amz_acl="public-read").status == 200
    for statements in ([allowing, denying], [denying, allowing], [denying]):
        set_policy(s3, bucket, *statements)
        for client in (s3, other, anonymous):
            assert_denied(client.get(secret))
            assert_denied(client.head(secret))
    # Not even as the source of a copy, nor in the owner's own name.
    assert_denied(s3.put(f"{bucket}/copy", x_amz_copy_source=secret))
    set_policy(s3, bucket, allowing)
    assert other.get(secret).body == b"private"
    assert s3.get(secret).body == b"private"


def test_a076_the_owner_can_always_mend_its_policy(
    s3: Client, other: Client, secret: str, bucket: str
) -> None:
    set_policy(
        s3,
        bucket,
        statement(bucket, "/*", "s3:*", Effect="Deny"),
        statement(bucket, "", "s3:*", Effect="Deny"),
    )
    for query in ("acl", "versioning", "policyStatus", "publicAccessBlock", ""):
        assert_denied(s3.get(bucket, query))
    assert_denied(s3.get(secret))
    assert s3.get(bucket, "policy").status == 200
    assert s3.delete(bucket, "policy").status == 204
    assert s3.get(secret).body == b"private"
    # A policy that names another account gives it no say in the policy itself.
    set_policy(s3, bucket, statement(bucket, "", "s3:*", Principal={"CanonicalUser": OTHER_ID}))
    assert other.get(bucket).status == 200
    for method in ("GET", "PUT", "DELETE"):
        answer = other.request(method, bucket, "policy", body=b"{}")
        assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert s3.get(bucket, "policy").status == 200


@pytest.fixture
def behind_proxy() -> Iterator[S3App]:
    app = make_app("memory", None, trusted_proxies=("10.0.0.1",))  # type: ignore[arg-type]
    yield app
    app.close()


def test_a077_an_address_is_the_peers_own(behind_proxy: S3App) -> None:
    """RustFS CVE-2026-21862: aws:SourceIp was read from any client's X-Forwarded-For."""
    s3, anonymous = Client(behind_proxy, OWNER), Client(behind_proxy, None)
    s3.put("/bucket")
    s3.put("/bucket/k", b"private")
    inside = {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}
    set_policy(s3, "/bucket", statement("/bucket", "/*", "s3:GetObject", Condition=inside))

    def get(peer: str, forwarded: str | None = None) -> int:
        headers = {"Host": "s3.test"}
        if forwarded is not None:
            headers |= {
                "X-Forwarded-For": forwarded,
                "X-Real-IP": "203.0.113.7",
                "Forwarded": "for=203.0.113.7",
                "Client-IP": "203.0.113.7",
            }
        environ = {"REMOTE_ADDR": peer}
        return anonymous.send("GET", "/bucket/k", headers, environ=environ).status

    assert get("203.0.113.7") == 200
    assert get("::ffff:203.0.113.7") == 200
    assert get("2001:db8::7") == 200
    assert get("198.51.100.7") == 403
    assert get("198.51.100.7", "203.0.113.7") == 403
    assert get("198.51.100.7", "203.0.113.7, 10.0.0.1") == 403
    # A trusted proxy's word counts, and only the address that it saw itself.
    assert get("10.0.0.1", "203.0.113.7") == 200
    assert get("10.0.0.1", "203.0.113.7, 198.51.100.7") == 403
    assert get("10.0.0.1", "203.0.113.7, nonsense") == 403
    assert get("10.0.0.1") == 403


def test_a078_a_list_under_a_prefix_shows_nothing_else(
    s3: Client, other: Client, anonymous: Client, folders: str
) -> None:
    under = {"StringLike": {"s3:prefix": "foo/*"}}
    set_policy(
        s3,
        folders,
        statement(folders, "", "s3:ListBucket", "s3:ListBucketVersions", Condition=under),
    )
    for stranger in (other, anonymous):
        assert stranger.get(folders, "prefix=foo/").texts("Contents/Key") == ["foo/mine"]
        assert stranger.get(folders, "list-type=2&prefix=foo%2Fm").status == 200
        assert stranger.get(folders, "versions&prefix=foo/").texts("Version/Key") == ["foo/mine"]
        for query in (
            "",
            "list-type=2",
            "prefix=",
            "prefix=foo",
            "prefix=other/",
            "Prefix=foo/",
            "prefix=other/&prefix=foo/",
            "prefix=&prefix=foo/",
            "delimiter=/",
            "versions",
            "versions&prefix=other/",
            "uploads&prefix=foo/",
            "prefix=FOO/",
        ):
            assert_denied(stranger.get(folders, query))
        # Whether a key is there may be learnt there, and nowhere else.
        assert stranger.head(f"{folders}/foo/nothing").status == 404
        assert stranger.head(f"{folders}/other/nothing").status == 403
        assert stranger.head(f"{folders}/foo/mine").status == 403
        assert_denied(stranger.head(folders))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Policy/>",
        b"{}",
        b"[]",
        b'{"Statement": "Allow"}',
        b'{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}',
        b'{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}',
        b'{"Statement": ' + b"[" * 10_000,
        b'{"Version": "2012-10-17", "Statement": []}',
        b'{"Statement": [' + b" " * 20_480 + b"]}",
        b"\xff\xfe{\x00",
    ],
    ids=lambda body: body[:20],
)
def test_a079_a_malformed_policy_is_refused_and_the_old_one_stays(
    s3: Client, anonymous: Client, secret: str, bucket: str, body: bytes
) -> None:
    set_policy(s3, bucket, statement(bucket, "/none", "s3:GetObject"))
    before = s3.get(bucket, "policy").body
    answer = s3.put(bucket, body, "policy")
    assert (answer.status, answer.code) == (400, "MalformedPolicy")
    assert s3.get(bucket, "policy").body == before
    assert_denied(anonymous.get(secret))


def test_a079_a_policy_for_another_bucket_is_refused(s3: Client, secret: str, bucket: str) -> None:
    body = json.dumps({"Statement": statement("/another-bucket", "/*", "s3:GetObject")}).encode()
    answer = s3.put(bucket, body, "policy")
    assert (answer.status, answer.code) == (400, "MalformedPolicy")
    assert "invalid resource" in (answer.text("Message") or "")
    assert "Statement 1" in (answer.text("Message") or "")
    assert s3.get(bucket, "policy").code == "NoSuchBucketPolicy"


def test_a079_a_stored_policy_that_cannot_be_read_lets_nobody_in(
    app: S3App, s3: Client, anonymous: Client, secret: str, bucket: str
) -> None:
    set_policy(s3, bucket, statement(bucket, "/*", "s3:GetObject"))
    assert anonymous.get(secret).body == b"private"
    where = app.store.buckets.get(bucket[1:])
    app.store.buckets.put_setting(where, "policy", b'{"Statement": "of another time"}')
    assert_denied(anonymous.get(secret))
    assert_denied(s3.get(secret))
    assert s3.delete(bucket, "policy").status == 204
    assert s3.get(secret).body == b"private"
