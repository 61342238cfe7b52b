"""Bucket policies over the wire: documents, conditions, and each operation's own actions."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3kit.app import S3App
from tests.client import Client
from tests.client import Signer
from tests.endpoint import ACCOUNTS
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import make_app
from tests.endpoint import parsed

TAGS = b"<Tagging><TagSet><Tag><Key>%s</Key><Value>%s</Value></Tag></TagSet></Tagging>"
PARTS = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>"
    b"</CompleteMultipartUpload>"
)


def allow(bucket: str, actions: str, path: str = "/*", **members: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": OTHER_ID},
        "Action": [f"s3:{action}" for action in actions.split()],
        "Resource": f"arn:aws:s3:::{bucket[1:]}{path}",
        **members,
    }


def deny(bucket: str, actions: str, path: str = "/*", **members: Any) -> dict[str, Any]:
    return allow(bucket, actions, path, Effect="Deny", Principal="*", **members)


def when(operator: str, **keys: Any) -> dict[str, Any]:
    """A condition; ``__`` in a keyword stands for the colon, ``_`` for a hyphen."""
    return {
        "Condition": {
            operator: {
                name.replace("__", ":").replace("_", "-"): value for name, value in keys.items()
            }
        }
    }


def put(owner: Client, bucket: str, *statements: dict[str, Any]) -> None:
    body = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}).encode()
    answer = owner.put(bucket, body, "policy")
    assert (answer.status, answer.body) == (204, b""), answer.body


# What a policy says depends neither on the storage nor on a mount: one of each will do.


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("memory", tmp_path_factory.mktemp("policies"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def mount() -> str:
    return "/files/s3"


# -- documents


def test_a_policy_comes_back_as_it_was_put(s3: Client, bucket: str) -> None:
    missing = s3.get(bucket, "policy")
    assert (missing.status, missing.code) == (404, "NoSuchBucketPolicy")
    assert missing.text("BucketName") == bucket[1:]
    body = json.dumps({"Statement": allow(bucket, "GetObject")}, indent=7).encode()
    assert s3.put(bucket, body, "policy").status == 204
    answer = s3.get(bucket, "policy")
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "application/json"
    again = s3.put(bucket, body, "policy", x_amz_confirm_remove_self_bucket_access="true")
    assert again.status == 204
    for _ in range(2):
        gone = s3.delete(bucket, "policy")
        assert (gone.status, gone.body) == (204, b"")
    assert s3.get(bucket, "policy").code == "NoSuchBucketPolicy"


def test_botocore_puts_gets_and_removes_a_policy(
    app: S3App, mount: str, s3: Client, bucket: str
) -> None:
    boto: Any = boto_client(app, mount=mount)
    where = {"Bucket": bucket[1:]}
    text = json.dumps({"Statement": allow(bucket, "GetObject")})
    boto.put_bucket_policy(**where, Policy=text)
    assert boto.get_bucket_policy(**where)["Policy"] == text
    assert boto.get_bucket_policy_status(**where)["PolicyStatus"] == {"IsPublic": False}
    boto.put_bucket_policy(
        **where, Policy=text.replace(json.dumps({"CanonicalUser": OTHER_ID}), '"*"')
    )
    answer = s3.get(bucket, "policyStatus")
    assert parsed("GetBucketPolicyStatus", answer)["PolicyStatus"] == {"IsPublic": True}
    boto.delete_bucket_policy(**where)
    assert boto.get_bucket_policy_status(**where)["PolicyStatus"] == {"IsPublic": False}
    for name in ("public-read", "authenticated-read"):
        boto.put_bucket_acl(**where, ACL=name)
        assert boto.get_bucket_policy_status(**where)["PolicyStatus"] == {"IsPublic": True}


def test_a_removed_buckets_policy_does_not_come_back(
    s3: Client, other: Client, bucket: str
) -> None:
    put(s3, bucket, allow(bucket, "ListBucket", ""))
    assert other.get(bucket).status == 200
    assert s3.delete(bucket).status == 204
    assert s3.put(bucket).status == 200
    assert other.get(bucket).status == 403


def test_a_principal_must_be_an_account_here_or_an_arn(s3: Client, bucket: str) -> None:
    for who, status in (
        ({"AWS": OTHER_ID}, 204),
        ({"AWS": "123456789012"}, 204),
        ({"AWS": "arn:aws:iam::123456789012:root"}, 204),
        ({"CanonicalUser": "f" * 64}, 204),
        ({"AWS": "someone"}, 400),
        ({"CanonicalUser": "someone"}, 400),
    ):
        body = json.dumps({"Statement": allow(bucket, "GetObject", Principal=who)}).encode()
        answer = s3.put(bucket, body, "policy")
        assert answer.status == status, who
        if status == 400:
            assert answer.code == "MalformedPolicy"
            assert "Invalid principal in policy" in (answer.text("Message") or "")
            assert "someone" in (answer.text("Detail") or "")


# -- what it opens and shuts


def test_each_operation_asks_for_its_own_action(s3: Client, other: Client, bucket: str) -> None:
    """The bare action opens the operation, and none of the others."""
    s3.put(f"{bucket}/k", b"x")
    asked: list[tuple[str, str, Any]] = [
        ("GetObject", "/*", lambda c: c.get(f"{bucket}/k")),
        ("GetObject", "/*", lambda c: c.head(f"{bucket}/k")),
        ("GetObjectVersion", "/*", lambda c: c.get(f"{bucket}/k", "versionId=null")),
        ("GetObjectAcl", "/*", lambda c: c.get(f"{bucket}/k", "acl")),
        ("GetObjectVersionAcl", "/*", lambda c: c.get(f"{bucket}/k", "acl&versionId=null")),
        ("GetObjectTagging", "/*", lambda c: c.get(f"{bucket}/k", "tagging")),
        ("GetObjectVersionTagging", "/*", lambda c: c.get(f"{bucket}/k", "tagging&versionId=null")),
        ("PutObjectTagging", "/*", lambda c: c.put(f"{bucket}/k", TAGS % (b"a", b"b"), "tagging")),
        ("DeleteObjectTagging", "/*", lambda c: c.delete(f"{bucket}/k", "tagging")),
        ("PutObjectAcl", "/*", lambda c: c.put(f"{bucket}/k", query="acl", x_amz_acl="private")),
        (
            "GetObjectAttributes GetObject",
            "/*",
            lambda c: c.get(f"{bucket}/k", "attributes", x_amz_object_attributes="ETag"),
        ),
        ("PutObject", "/*", lambda c: c.put(f"{bucket}/new", b"x")),
        ("PutObject", "/*", lambda c: c.post(f"{bucket}/new", query="uploads")),
        ("DeleteObjectVersion", "/*", lambda c: c.delete(f"{bucket}/new", "versionId=null")),
        ("DeleteObject", "/*", lambda c: c.delete(f"{bucket}/new")),
        ("ListBucket", "", lambda c: c.get(bucket)),
        ("ListBucket", "", lambda c: c.get(bucket, "list-type=2")),
        ("ListBucket", "", lambda c: c.head(bucket)),
        ("ListBucketVersions", "", lambda c: c.get(bucket, "versions")),
        ("ListBucketMultipartUploads", "", lambda c: c.get(bucket, "uploads")),
        ("GetBucketLocation", "", lambda c: c.get(bucket, "location")),
        ("GetBucketVersioning", "", lambda c: c.get(bucket, "versioning")),
        ("GetBucketPolicyStatus", "", lambda c: c.get(bucket, "policyStatus")),
    ]
    every = {action for actions, _, _ in asked for action in actions.split()}
    arn = f"arn:aws:s3:::{bucket[1:]}"
    for actions, path, send in asked:
        others = " ".join(sorted(every - set(actions.split())))
        put(s3, bucket, allow(bucket, others, Resource=[arn, f"{arn}/*"]))
        assert send(other).status == 403, actions
        put(s3, bucket, allow(bucket, actions, path))
        assert send(other).status in (200, 204), actions
        # On the other kind of resource it opens nothing.
        put(s3, bucket, allow(bucket, "*", "" if path else "/*"))
        assert send(other).status == 403, actions
        put(s3, bucket, allow(bucket, actions, path), deny(bucket, actions, path))
        assert send(other).status == 403, actions
        assert send(s3).status == 403, actions


def test_attributes_need_the_leave_to_read_too(s3: Client, other: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    put(s3, bucket, allow(bucket, "GetObjectAttributes"))
    answer = other.get(f"{bucket}/k", "attributes", x_amz_object_attributes="ETag")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_only_who_may_list_learns_that_a_key_is_not_there(
    s3: Client, other: Client, bucket: str
) -> None:
    put(s3, bucket, allow(bucket, "GetObject GetObjectVersion GetObjectAcl"))
    for query in ("", "acl", "versionId=null"):
        answer = other.get(f"{bucket}/nothing", query)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    put(s3, bucket, allow(bucket, "GetObject"), allow(bucket, "ListBucket", ""))
    assert other.get(f"{bucket}/nothing").code == "NoSuchKey"
    assert s3.get(f"{bucket}/nothing").code == "NoSuchKey"
    put(s3, bucket, deny(bucket, "ListBucket", ""))
    assert s3.get(f"{bucket}/nothing").code == "AccessDenied"


def test_a_policy_gives_away_its_owners_objects_only(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    put(s3, bucket, allow(bucket, "PutObject GetObject", Principal="*"))
    assert other.put(f"{bucket}/theirs", b"theirs").status == 200
    assert other.get(f"{bucket}/theirs").body == b"theirs"
    for client in (s3, anonymous):
        assert client.get(f"{bucket}/theirs").code == "AccessDenied"
        assert client.head(f"{bucket}/theirs").status == 403
    assert s3.get(f"{bucket}/theirs", "acl").status == 403
    assert other.put(f"{bucket}/theirs", query="acl", x_amz_acl="bucket-owner-read").status == 200
    assert s3.get(f"{bucket}/theirs").body == b"theirs"
    assert anonymous.get(f"{bucket}/theirs").status == 403
    assert s3.delete(f"{bucket}/theirs").status == 204
    assert anonymous.put(f"{bucket}/nobodys", b"x").status == 200
    assert s3.get(f"{bucket}/nobodys").body == b"x"


def test_where_acls_are_off_a_policy_gives_all_away(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    put(s3, bucket, allow(bucket, "PutObject"), allow(bucket, "GetObject", Principal="*"))
    assert other.put(f"{bucket}/theirs", b"theirs").status == 200
    body = (
        b"<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
        b"</OwnershipControls>"
    )
    headers = {"Content-MD5": md5(body)}
    assert s3.request("PUT", bucket, "ownershipControls", headers, body).status == 200
    for client in (s3, other, anonymous):
        assert client.get(f"{bucket}/theirs").body == b"theirs"


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def test_the_steps_of_an_upload_are_opened_by_name(s3: Client, other: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    upload = s3.post(path, query="uploads").text("UploadId")
    query = f"uploadId={upload}"
    put(s3, bucket, allow(bucket, "PutObject"))
    part = other.put(path, b"x", f"partNumber=1&{query}")
    assert part.status == 200
    assert other.get(path, query).status == 403
    assert other.delete(path, query).status == 403
    put(s3, bucket, allow(bucket, "ListMultipartUploadParts"))
    assert other.get(path, query).texts("Part/Size") == ["1"]
    assert other.put(path, b"x", f"partNumber=1&{query}").status == 403
    put(s3, bucket, allow(bucket, "PutObject AbortMultipartUpload"))
    assert other.post(path, PARTS % part.headers["etag"].encode(), query).status == 200
    second = s3.post(path, query="uploads").text("UploadId")
    assert other.delete(path, f"uploadId={second}").status == 204


def test_tags_are_asked_about_besides(s3: Client, other: Client, bucket: str) -> None:
    tagged = {"x_amz_tagging": "a=b"}
    put(s3, bucket, allow(bucket, "PutObject"))
    assert other.put(f"{bucket}/k", b"x", **tagged).status == 403
    put(s3, bucket, allow(bucket, "PutObject PutObjectTagging"))
    assert other.put(f"{bucket}/k", b"x", **tagged).status == 200
    # Those of a copy's source are read with a leave of their own.
    s3.put(f"{bucket}/source", b"x", **tagged)
    put(s3, bucket, allow(bucket, "PutObject PutObjectTagging GetObject"))
    assert other.put(f"{bucket}/copy", x_amz_copy_source=f"{bucket}/source").status == 403
    put(s3, bucket, allow(bucket, "PutObject PutObjectTagging GetObject GetObjectTagging"))
    assert other.put(f"{bucket}/copy", x_amz_copy_source=f"{bucket}/source").status == 200


# -- conditions, as requests say them


def test_conditions_on_what_is_sent(s3: Client, other: Client, bucket: str) -> None:
    s3.put(f"{bucket}/from/k", b"x")
    s3.put(f"{bucket}/elsewhere/k", b"x")
    copy = {"x_amz_copy_source": f"{bucket}/from/k"}
    away = {"x_amz_copy_source": f"{bucket}/elsewhere/k"}
    rows: list[tuple[dict[str, Any], dict[str, str], dict[str, str]]] = [
        (when("StringEquals", s3__x_amz_acl="private"), {"x_amz_acl": "private"}, {}),
        (when("StringLike", s3__x_amz_acl="bucket-*"), {"x_amz_acl": "bucket-owner-read"},
         {"x_amz_acl": "public-read"}),
        (when("StringEquals", s3__x_amz_grant_read=f"id={OTHER_ID}"),
         {"x_amz_grant_read": f"id={OTHER_ID}"}, {}),
        (when("StringEquals", s3__x_amz_storage_class="STANDARD_IA"),
         {"x_amz_storage_class": "STANDARD_IA"}, {}),
        (when("StringLike", s3__x_amz_copy_source=f"{bucket[1:]}/from/*"), copy, away),
        (when("StringLike", s3__x_amz_copy_source=f"{bucket}/from/*"),
         {"x_amz_copy_source": f"{bucket[1:]}%2Ffrom/k?versionId=null"}, away),
        (when("StringEquals", s3__x_amz_metadata_directive="REPLACE"),
         {**copy, "x_amz_metadata_directive": "REPLACE"}, copy),
        (when("Null", s3__x_amz_content_sha256="false"), {}, {}),
        (when("StringLike", aws__UserAgent="good/*"), {"User_Agent": "good/1"},
         {"User_Agent": "bad/1"}),
        (when("StringEquals", aws__Referer="http://www.example.com/"),
         {"Referer": "http://www.example.com/"}, {"Referer": "http://example.com/"}),
        (when("Null", s3__if_none_match="false"), {"If_None_Match": "*"}, {}),
    ]  # fmt: skip
    for condition, fits, fails in rows:
        others = allow(bucket, "GetObject GetObjectVersion")
        put(s3, bucket, allow(bucket, "PutObject", **condition), others)
        s3.delete(f"{bucket}/k")
        assert other.put(f"{bucket}/k", **fits).status == 200, condition
        if "content-sha256" not in str(condition):
            assert other.put(f"{bucket}/k", **fails).status == 403, condition


def test_conditions_on_tags(s3: Client, other: Client, bucket: str) -> None:
    put(
        s3,
        bucket,
        allow(
            bucket,
            "PutObject PutObjectTagging",
            Condition={
                "StringEquals": {"s3:RequestObjectTag/team": "red"},
                "ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team", "year"]},
            },
        ),
        allow(
            bucket,
            "GetObject",
            Condition={"StringEquals": {"s3:ExistingObjectTag/team": "red"}},
        ),
    )
    path = f"{bucket}/k"
    assert other.put(path, b"x").status == 403
    assert other.put(path, b"x", x_amz_tagging="team=blue").status == 403
    assert other.put(path, b"x", x_amz_tagging="Team=red").status == 403
    assert other.put(path, b"x", x_amz_tagging="team=red&colour=red").status == 403
    assert s3.put(path, b"x", x_amz_tagging="team=blue").status == 200
    assert other.get(path).status == 403
    assert other.put(path, TAGS % (b"team", b"blue"), "tagging").status == 403
    assert other.put(path, TAGS % (b"team", b"red"), "tagging").status == 200
    assert other.get(path).body == b"x"
    assert other.put(path, b"y", x_amz_tagging="team=red&year=2026").status == 200


def test_conditions_on_event_holds(s3: Client, other: Client, bucket: str) -> None:
    locked = f"{bucket}-held"
    assert s3.put(locked, x_amz_bucket_object_lock_enabled="true").status == 200
    days = {"NumericLessThanEquals": {"s3:object-lock-event-hold-duration-days": "400"}}
    put(
        s3,
        locked,
        allow(locked, "PutObject"),
        allow(locked, "PutObjectRetention", Condition=days),
        deny(
            locked, "PutObjectRetention", **when("StringEquals", s3__object_lock_event_hold="OFF")
        ),
    )
    s3.put(f"{locked}/k", b"x")
    duration = "<EventHold>ON</EventHold><EventHoldDuration><{0}>{1}</{0}></EventHoldDuration>"
    for inner, status in (
        (duration.format("Years", 2), 403),
        (duration.format("Days", 401), 403),
        (duration.format("Years", 1), 200),
        ("<EventHold>OFF</EventHold>", 403),
    ):
        body = f"<Retention><Mode>GOVERNANCE</Mode>{inner}</Retention>".encode()
        sent = other.put(f"{locked}/k", body, "retention", Content_MD5=md5(body))
        assert sent.status == status, sent.body
    for name, value, status in (("days", "1", 200), ("years", "2", 403), ("days", "9" * 5000, 400)):
        headers = {
            "x-amz-object-lock-mode": "GOVERNANCE",
            "x-amz-object-lock-event-hold": "ON",
            f"x-amz-object-lock-event-hold-duration-{name}": value,
            "Content-MD5": md5(b"x"),
        }
        assert other.request("PUT", f"{locked}/n", "", headers, b"x").status == status


def test_conditions_on_locks(s3: Client, other: Client, bucket: str) -> None:
    locked = f"{bucket}-locked"
    assert s3.put(locked, x_amz_bucket_object_lock_enabled="true").status == 200
    days = {"NumericLessThanEquals": {"s3:object-lock-remaining-retention-days": "10"}}
    put(
        s3,
        locked,
        allow(locked, "PutObject"),
        allow(locked, "PutObjectRetention", Condition=days),
        deny(locked, "PutObjectLegalHold", **when("StringEquals", s3__object_lock_legal_hold="ON")),
    )

    def in_days(number: int) -> str:
        return (datetime.now(UTC) + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")

    for number, status in ((5, 200), (20, 403)):
        headers = {
            "x-amz-object-lock-mode": "GOVERNANCE",
            "x-amz-object-lock-retain-until-date": in_days(number),
            "Content-MD5": md5(b"x"),
        }
        sent = other.request("PUT", f"{locked}/k{number}", "", headers, b"x")
        assert sent.status == status, sent.body
    s3.put(f"{locked}/k", b"x")
    for number, status in ((20, 403), (5, 200)):
        body = (
            f"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{in_days(number)}"
            "</RetainUntilDate></Retention>"
        ).encode()
        sent = other.request("PUT", f"{locked}/k", "retention", {"Content-MD5": md5(body)}, body)
        assert sent.status == status, sent.body
    for word, status in ((b"ON", 403), (b"OFF", 200)):
        body = b"<LegalHold><Status>%s</Status></LegalHold>" % word
        sent = s3.request("PUT", f"{locked}/k", "legal-hold", {"Content-MD5": md5(body)}, body)
        assert sent.status == status, sent.body


def test_conditions_on_the_buckets_tags_where_they_count(
    s3: Client, other: Client, bucket: str
) -> None:
    tagged = {"Condition": {"StringEquals": {"aws:ResourceTag/stage": "test"}}}
    put(s3, bucket, allow(bucket, "ListBucket", "", **tagged))
    assert s3.put(bucket, TAGS % (b"stage", b"test"), "tagging").status == 204
    assert other.get(bucket).status == 403
    on = b"<AbacStatus><Status>Enabled</Status></AbacStatus>"
    assert s3.put(bucket, on, "abac").status == 200
    assert other.get(bucket).status == 200
    assert s3.put(bucket, TAGS % (b"stage", b"live"), "tagging").status == 204
    assert other.get(bucket).status == 403


def test_conditions_on_how_it_was_signed(app: S3App, mount: str, s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    other = Client(app, OTHER, mount=mount)
    boto: Any = boto_client(app, OTHER, mount=mount, signature_version="s3v4")
    url = boto.generate_presigned_url("get_object", Params={"Bucket": bucket[1:], "Key": "k"})
    target = url.partition("http://s3.test")[2]
    bare = Client(app, None, mount=mount)
    rows = [
        (when("StringEquals", s3__authType="REST-HEADER"), 200, 403),
        (when("StringEquals", s3__authType="REST-QUERY-STRING"), 403, 200),
        (when("StringEquals", s3__signatureversion="AWS4-HMAC-SHA256"), 200, 200),
        (when("NumericLessThan", s3__signatureAge="600000"), 200, 200),
        (when("NumericGreaterThan", s3__signatureAge="600000"), 403, 403),
        (when("Bool", aws__SecureTransport="false"), 200, 200),
        (when("Bool", aws__SecureTransport="true"), 403, 403),
        (when("StringEquals", aws__PrincipalAccount=OTHER_ID), 200, 200),
        (when("StringEquals", aws__PrincipalType="Account"), 200, 200),
        (when("ArnLike", aws__PrincipalArn=f"arn:aws:iam::{OTHER_ID}:root"), 200, 200),
        (when("StringEquals", aws__userid=OTHER_ID), 200, 200),
        (when("Null", aws__username="true"), 200, 200),
        (when("StringEquals", s3__ResourceAccount="owner-id"), 200, 200),
        (when("DateGreaterThan", aws__CurrentTime="2020-01-01T00:00:00Z"), 200, 200),
        (when("NumericGreaterThan", aws__EpochTime="1600000000"), 200, 200),
        (when("IpAddress", aws__SourceIp="127.0.0.0/8"), 200, 200),
        (when("StringEquals", aws__RequestedRegion="us-east-1"), 200, 200),
        (when("StringEquals", s3__x_amz_content_sha256="UNSIGNED-PAYLOAD"), 403, 200),
    ]
    for condition, by_header, by_url in rows:
        put(s3, bucket, allow(bucket, "GetObject", **condition))
        assert other.get(f"{bucket}/k").status == by_header, condition
        assert bare.send("GET", target, {"Host": "s3.test"}).status == by_url, condition


def test_a_signature_has_an_age_where_the_date_header_was_signed(
    app: S3App, mount: str, s3: Client, bucket: str
) -> None:
    """A Deny of old signatures is not passed by because x-amz-date is not there."""
    s3.put(f"{bucket}/k", b"x")
    path = f"{mount}{bucket}/k"
    request = AWSRequest("GET", f"http://s3.test{path}", headers={"Date": "now"})
    S3SigV4Auth(Credentials(OTHER.access_key, OTHER.secret_key), "s3", "us-east-1").add_auth(
        request
    )
    assert "X-Amz-Date" not in request.headers
    headers = {"Host": "s3.test", **request.headers}
    bare = Client(app, None, mount=mount)
    for oldest, status in (("-1", 403), ("900000", 200)):
        old = when("NumericGreaterThan", s3__signatureAge=oldest)
        put(s3, bucket, allow(bucket, "GetObject"), deny(bucket, "GetObject", **old))
        assert bare.send("GET", path, headers).status == status


def test_a_copys_source_is_judged_by_its_own_bucket(s3: Client, other: Client, bucket: str) -> None:
    """s3:ResourceAccount and the bucket's tags are the source's, not those of where it goes."""
    away = f"{bucket}-away"
    assert other.put(away).status == 200
    s3.put(f"{bucket}/k", b"secret")
    everything = {"Resource": [f"arn:aws:s3:::{bucket[1:]}", f"arn:aws:s3:::{bucket[1:]}/*"]}
    tags = TAGS % (b"open", b"yes")
    for path, client in ((bucket, s3), (away, other)):
        body = b"<AbacStatus><Status>Enabled</Status></AbacStatus>"
        assert client.put(path, body, "abac", Content_MD5=md5(body)).status == 200
    assert other.put(away, tags, "tagging", Content_MD5=md5(tags)).status in (200, 204)

    def copy() -> int:
        whole = other.put(f"{away}/stolen", x_amz_copy_source=f"{bucket}/k")
        upload = other.post(f"{away}/stolen", query="uploads").text("UploadId")
        part = other.put(
            f"{away}/stolen",
            b"",
            f"partNumber=1&uploadId={upload}",
            x_amz_copy_source=f"{bucket}/k",
        )
        assert whole.status == part.status
        return whole.status

    for condition, allowed in (
        (when("StringEquals", s3__ResourceAccount=OTHER_ID), False),
        (when("StringEquals", aws__ResourceAccount=OWNER_ID), True),
        (when("StringEquals", **{"aws:ResourceTag/open": "yes"}), False),
    ):
        put(s3, bucket, allow(bucket, "*", **everything, **condition))
        assert (copy() == 200) is allowed, condition


NEW_BUCKETS: list[tuple[dict[str, str], bytes, list[str]]] = [
    ({}, b"", []),
    ({"x_amz_acl": "private"}, b"", []),
    ({"x_amz_bucket_object_lock_enabled": "false"}, b"", []),
    ({"x_amz_acl": "public-read"}, b"", ["PutBucketAcl"]),
    ({"x_amz_grant_read": f"id={OTHER_ID}"}, b"", ["PutBucketAcl"]),
    (
        {"x_amz_bucket_object_lock_enabled": "True"},
        b"",
        ["PutBucketObjectLockConfiguration", "PutBucketVersioning"],
    ),
    ({"x_amz_object_ownership": "ObjectWriter"}, b"", ["PutBucketOwnershipControls"]),
    (
        {},
        b"<CreateBucketConfiguration><Tags><Tag><Key>team</Key><Value>red</Value></Tag></Tags>"
        b"</CreateBucketConfiguration>",
        ["TagResource"],
    ),
]


@pytest.mark.parametrize(("headers", "body", "asked"), NEW_BUCKETS)
def test_create_bucket_asks_for_all_that_it_sets(
    app: S3App, mount: str, s3: Client, headers: dict[str, str], body: bytes, asked: list[str]
) -> None:
    """API Reference, CreateBucket: each of its parts needs the action that would set it alone."""
    accounts = app.store.accounts
    account = accounts.create()
    for number, missing in enumerate(["", *asked]):
        actions = [f"s3:{each}" for each in ("CreateBucket", *asked) if each != missing]
        entry: Any = {"Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::new-*"}
        if asked == ["TagResource"] and not missing:
            entry["Condition"] = {"StringEquals": {"aws:RequestTag/team": "red"}}
            entry = [entry, {**entry, "Action": "s3:CreateBucket"}]
        user = accounts.create_user(account.id, f"u{number}", {"p": {"Statement": entry}})
        key = accounts.create_key(account.id, user=user.name)
        client = Client(app, Signer(key.access_key, key.secret_key), mount=mount)
        name = f"/new-{account.id[:8]}-{number}"
        answer = client.put(name, body, **headers)
        assert answer.status == (403 if missing else 200), (missing, answer.body)
        assert (s3.head(name).status == 404) is bool(missing)
        if not missing:
            # Elsewhere than the policy says it may make none.
            assert client.put(f"/other-{account.id[:8]}", body, **headers).status == 403


def test_an_account_makes_buckets_of_any_kind_and_nobody_else_does(
    s3: Client, anonymous: Client
) -> None:
    for number, (headers, body, _) in enumerate(NEW_BUCKETS):
        name = f"/any-kind-{number}"
        assert anonymous.put(name, body, **headers).status == 403
        assert s3.put(name, body, **headers).status == 200


# -- Uploadcare's example, with users


ALICE = Signer("AKALICE", "alice-secret")
CONSUMER = Signer("AKCONSUMER", "consumer-secret")
NUMBER = "899746369614"


@pytest.fixture
def with_users(tmp_path: Path) -> Iterator[S3App]:
    made = make_app(
        "memory",
        tmp_path,
        accounts=(
            *ACCOUNTS,
            {
                "id": "uploadcare",
                "number": NUMBER,
                "keys": [
                    {
                        "access_key": CONSUMER.access_key,
                        "secret_key": CONSUMER.secret_key,
                        "user": "bucket-consumer",
                    },
                    {
                        "access_key": ALICE.access_key,
                        "secret_key": ALICE.secret_key,
                        "user": "team/alice",
                    },
                ],
            },
        ),
    )
    yield made
    made.close()


def test_uc_04_uploadcares_policy(with_users: S3App) -> None:
    s3, consumer = Client(with_users, OWNER), Client(with_users, CONSUMER)
    alice = Client(with_users, ALICE)
    s3.put("/bucket")
    document = {
        "Version": "2008-10-17",
        "Statement": [
            {
                "Sid": "AllowUploadcareAccess",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{NUMBER}:user/bucket-consumer"},
                "Action": [
                    "s3:GetObjectAcl",
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:PutObjectAcl",
                    "s3:ListMultipartUploadParts",
                    "s3:GetBucketLocation",
                    "s3:ListBucket",
                ],
                "Resource": ["arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket"],
            }
        ],
    }
    assert s3.put("/bucket", json.dumps(document).encode(), "policy").status == 204
    assert consumer.get("/bucket", "location").status == 200
    assert consumer.put("/bucket/file", b"x").status == 200
    assert consumer.get("/bucket/file").body == b"x"
    assert consumer.get("/bucket").texts("Contents/Key") == ["file"]
    assert consumer.put("/bucket/file", query="acl", x_amz_acl="public-read").status == 200
    assert consumer.delete("/bucket/file").status == 403
    # Another user of that very account is nobody to it.
    assert alice.get("/bucket").status == 403
    assert alice.put("/bucket/mine", b"x").status == 403
    own = "arn:aws:s3:::bucket/${aws:username}/*"
    document["Version"] = "2012-10-17"
    document["Statement"] = {
        "Effect": "Allow",
        "Principal": {"AWS": NUMBER},
        "Action": "s3:PutObject",
        "Resource": own,
    }
    assert s3.put("/bucket", json.dumps(document).encode(), "policy").status == 204
    assert alice.put("/bucket/alice/k", b"x").status == 200
    assert alice.put("/bucket/bucket-consumer/k", b"x").status == 403


# -- in other processes


def test_another_process_sees_a_policy_when_it_refuses(tmp_path: Path) -> None:
    first, second = make_app("file", tmp_path), make_app("file", tmp_path)
    s3, bare = Client(first, OWNER), Client(second, None)
    s3.put("/bucket")
    s3.put("/bucket/k", b"x")
    for who in ({"CanonicalUser": OTHER_ID}, "*"):
        assert bare.get("/bucket/k").status == 403
        put(s3, "/bucket", allow("/bucket", "GetObject", Principal=who))
    assert bare.get("/bucket/k").body == b"x"
    # The source of a copy likewise.
    other = Client(second, OTHER)
    other.put("/mine")
    put(s3, "/bucket", allow("/bucket", "PutObject"))
    second.store.buckets._settings = {}
    assert other.put("/mine/k", x_amz_copy_source="/bucket/k").status == 403
    put(s3, "/bucket", allow("/bucket", "GetObject"))
    assert other.put("/mine/k", x_amz_copy_source="/bucket/k").status == 200
    first.close()
    second.close()
