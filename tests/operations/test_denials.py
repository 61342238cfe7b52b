"""A Deny wins wherever a request, or s3kit by itself, writes or reads: no header talks past it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import ACCOUNTS
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.operations.test_policies import allow
from tests.operations.test_policies import deny
from tests.operations.test_policies import md5
from tests.operations.test_policies import put
from tests.operations.test_policies import when
from tests.operations.test_posting import Forms
from tests.operations.test_replication import Pair
from tests.operations.test_replication import rule
from tests.operations.test_replication import versioned
from tests.operations.test_sessions import open_session

PUBLIC = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("memory", tmp_path_factory.mktemp("denials"))
    # Only when a test says so.
    made.store.server_logs.seconds = 86_400.0
    yield made
    made.close()


@pytest.fixture(scope="module")
def mount() -> str:
    return ""


# -- the ACL of a new object


def test_who_may_set_no_acl_may_give_none_to_a_new_object(
    s3: Client, other: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/source", b"1")
    put(s3, bucket, allow(bucket, "PutObject GetObject"), deny(bucket, "PutObjectAcl"))
    for client in (s3, other):
        for headers in (
            {"x_amz_acl": "public-read"},
            {"x_amz_acl": "bucket-owner-full-control"},
            {"x_amz_grant_read": f'uri="{PUBLIC}"'},
        ):
            answers = (
                client.put(f"{bucket}/a", b"1", **headers),
                client.put(f"{bucket}/a", b"", x_amz_copy_source=f"{bucket}/source", **headers),
                client.post(f"{bucket}/a", b"", "uploads", **headers),
            )
            assert [answer.status for answer in answers] == [403, 403, 403], headers
        assert client.put(f"{bucket}/a", b"1", x_amz_acl="private").status == 200


def test_without_a_deny_the_writer_gives_its_own_object_an_acl(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/a", b"the owner's")
    put(s3, bucket, allow(bucket, "PutObject"))
    assert other.put(f"{bucket}/a", b"2", x_amz_acl="public-read").status == 200
    assert anonymous.get(f"{bucket}/a").body == b"2"


@pytest.fixture
def forms(app: S3App, mount: str, bucket: str) -> Forms:
    return Forms(app, mount, bucket)


def fields_of(**fields: str) -> tuple[dict[str, str], list[Any]]:
    """Fields of a form, and a policy that lets them through."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return named, [{name: value} for name, value in named.items()]


def test_a_form_gives_no_acl_that_is_denied(forms: Forms, s3: Client, bucket: str) -> None:
    put(s3, bucket, deny(bucket, "PutObjectAcl"))
    forms.refused(forms.post(*fields_of(acl="public-read")))
    assert forms.post().status == 204


def test_a_session_publishes_nothing(s3: Client, anonymous: Client, bucket: str) -> None:
    session = open_session(s3, bucket)
    answer = session.put(f"{bucket}/a", b"1", x_amz_acl="public-read")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert session.put(f"{bucket}/a", b"1").status == 200
    assert anonymous.get(f"{bucket}/a").status == 403


# -- what a condition sees is what counts


def test_a_forms_two_fields_for_an_acl_hide_none(forms: Forms, s3: Client, bucket: str) -> None:
    put(s3, bucket, deny(bucket, "PutObject", **when("StringLike", s3__x_amz_acl="public*")))
    forms.refused(forms.post(*fields_of(x_amz_acl="private", acl="public-read")))
    forms.refused(forms.post(*fields_of(x_amz_acl="public-read")))
    assert forms.post(*fields_of(acl="private")).status == 204


def test_a_form_has_no_condition_to_promise(forms: Forms, s3: Client, bucket: str) -> None:
    put(s3, bucket, deny(bucket, "PutObject", **when("Null", s3__if_none_match="true")))
    forms.refused(forms.post(*fields_of(if_none_match="*")))


def test_deleting_many_the_condition_is_each_keys_own(
    s3: Client, other: Client, bucket: str
) -> None:
    etag = s3.put(f"{bucket}/a", b"1").headers["etag"]
    put(s3, bucket, allow(bucket, "DeleteObject GetObject", **when("Null", s3__if_match="false")))
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    answer = other.post(bucket, body, "delete", if_match="*", content_md5=md5(body))
    assert answer.texts("Error/Code") == ["AccessDenied"]
    assert s3.head(f"{bucket}/a").status == 200
    put(
        s3,
        bucket,
        allow(bucket, "DeleteObject", **when("Null", s3__if_match="false")),
        allow(bucket, "GetObject"),
    )
    body = f"<Delete><Object><Key>a</Key><ETag>{etag}</ETag></Object></Delete>".encode()
    answer = other.post(bucket, body, "delete", content_md5=md5(body))
    assert answer.texts("Deleted/Key") == ["a"]


def test_conditional_writes_can_be_enforced_and_parts_excepted(
    s3: Client, other: Client, bucket: str
) -> None:
    """Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets"."""
    wanted = {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }
    put(s3, bucket, allow(bucket, "PutObject"), deny(bucket, "PutObject", Condition=wanted))
    assert other.put(f"{bucket}/a", b"1").code == "AccessDenied"
    assert other.put(f"{bucket}/a", b"1", if_none_match="*").status == 200
    begun = other.post(f"{bucket}/b", b"", "uploads")
    assert begun.status == 200
    upload = begun.text("UploadId")
    part = other.put(f"{bucket}/b", b"1", f"partNumber=1&uploadId={upload}")
    assert part.status == 200
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    query = f"uploadId={upload}"
    assert other.post(f"{bucket}/b", body, query).code == "AccessDenied"
    assert other.post(f"{bucket}/b", body, query, if_none_match="*").status == 200


def test_tags_that_a_copy_leaves_out_meet_no_condition(
    s3: Client, other: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/source", b"1", x_amz_tagging="level=secret")
    tagged = when("StringEquals", **{"s3__RequestObjectTag/level": "open"})
    put(
        s3,
        bucket,
        allow(bucket, "GetObject GetObjectTagging PutObject"),
        allow(bucket, "PutObjectTagging", **tagged),
    )
    source = {"x_amz_copy_source": f"{bucket}/source", "x_amz_tagging": "level=open"}
    assert other.put(f"{bucket}/a", b"", **source).code == "AccessDenied"
    assert other.put(f"{bucket}/a", b"", **source, x_amz_tagging_directive="REPLACE").status == 200
    assert s3.get(f"{bucket}/a", "tagging").texts("TagSet/Tag/Value") == ["open"]


def test_an_etag_is_not_guessed_by_who_may_not_read(s3: Client, other: Client, bucket: str) -> None:
    """Amazon S3 User Guide, "How to perform conditional deletes" and "conditional writes"."""
    etag = s3.put(f"{bucket}/a", b"1234").headers["etag"]
    put(s3, bucket, allow(bucket, "PutObject DeleteObject"))
    body = f"<Delete><Object><Key>a</Key><ETag>{etag}</ETag></Object></Delete>".encode()
    upload = other.post(f"{bucket}/a", b"", "uploads").text("UploadId")
    for guess in (etag, '"00000000000000000000000000000000"'):
        for answer in (
            other.put(f"{bucket}/a", b"2", if_match=guess),
            other.delete(f"{bucket}/a", if_match=guess),
            other.post(f"{bucket}/a", b"<A/>", f"uploadId={upload}", if_match=guess),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    answer = other.post(bucket, body, "delete", content_md5=md5(body))
    assert answer.texts("Error/Code") == ["AccessDenied"]
    assert s3.get(f"{bucket}/a").body == b"1234"
    assert other.put(f"{bucket}/a", b"2", if_none_match="*").status == 412
    put(s3, bucket, allow(bucket, "PutObject DeleteObject GetObject"))
    assert other.put(f"{bucket}/a", b"2", if_match=etag).status == 200
    assert other.delete(f"{bucket}/a", if_match="*").status == 204


def test_how_many_tags_there_are_is_told_to_those_who_may_see_them(
    s3: Client, other: Client, bucket: str
) -> None:
    s3.put(f"{bucket}/a", b"1", x_amz_tagging="a=1&b=2")
    put(s3, bucket, allow(bucket, "GetObject"))
    assert "x-amz-tagging-count" not in other.head(f"{bucket}/a").headers
    put(s3, bucket, allow(bucket, "GetObject GetObjectTagging"))
    assert other.head(f"{bucket}/a").headers["x-amz-tagging-count"] == "2"


# -- what s3kit does by itself


@pytest.fixture
def pair(app: S3App, s3: Client) -> Iterator[Pair]:
    app.store.outbox.enabled = False
    pair = Pair(app, s3, versioned(s3, "source"), versioned(s3, "replicas"))
    pair.rules(rule(pair.target))
    yield pair
    app.store.outbox.enabled = True


def test_no_replica_passes_a_deny_of_either_bucket(pair: Pair) -> None:
    s3 = pair.s3
    for bucket, action in (
        (pair.target, "ReplicateObject"),
        (pair.source, "GetObjectVersionForReplication"),
    ):
        put(s3, bucket, deny(bucket, action, "/secret/*"))
        s3.put(f"{pair.source}/secret/a", b"1")
        s3.put(f"{pair.source}/open", b"1")
        pair.deliver()
        assert (pair.status("secret/a"), pair.status("open")) == ("FAILED", "COMPLETED")
        assert s3.get(pair.target, "prefix=secret").texts("Contents/Key") == []
        assert s3.delete(bucket, "policy").status == 204
    s3.put(f"{pair.source}/secret/a", b"1")
    pair.deliver()
    assert pair.status("secret/a") == "COMPLETED"


def test_markers_and_changes_pass_no_deny_either(pair: Pair) -> None:
    s3 = pair.s3
    pair.rules(rule(pair.target, markers="Enabled"))
    s3.put(f"{pair.source}/a", b"1", x_amz_tagging="a=1")
    pair.deliver()
    put(s3, pair.target, deny(pair.target, "ReplicateDelete ReplicateTags"))
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>2</Value></Tag></TagSet></Tagging>"
    assert s3.put(f"{pair.source}/a", body, "tagging").status == 200
    pair.deliver()
    assert s3.get(f"{pair.target}/a", "tagging").texts("TagSet/Tag/Value") == ["1"]
    assert s3.delete(f"{pair.source}/a").status == 204
    pair.deliver()
    assert s3.get(f"{pair.target}/a").body == b"1"


NUMBERS = {"owner": "111122223333", "other": "444455556666"}


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[S3App]:
    """Accounts with numbers, as AWS and Terraform name them."""
    accounts = (
        {**ACCOUNTS[0], "number": NUMBERS["owner"]},
        {**ACCOUNTS[1], "number": NUMBERS["other"]},
    )
    made = make_app("memory", tmp_path, accounts=accounts)
    made.store.outbox.enabled = False
    yield made
    made.close()


def test_the_numbers_of_accounts_name_who_may_replicate_and_whose_the_replica_is(
    numbered: S3App,
) -> None:
    s3, other = Client(numbered, OWNER), Client(numbered, OTHER)
    foreign = versioned(other, "foreign")
    pair = Pair(numbered, s3, versioned(s3, "source"), foreign)
    root = {"AWS": f"arn:aws:iam::{NUMBERS['owner']}:root"}
    put(other, foreign, {**allow(foreign, "ReplicateObject"), "Principal": root})
    for account, status in ((NUMBERS["other"], "COMPLETED"), (NUMBERS["owner"], "FAILED")):
        pair.rules(rule(foreign, destination=f"<Account>{account}</Account>"))
        s3.put(f"{pair.source}/a", b"1")
        pair.deliver()
        assert pair.status("a") == status


def test_a_buckets_expected_owner_may_be_named_by_number(numbered: S3App) -> None:
    s3 = Client(numbered, OWNER)
    s3.put("/bucket")
    s3.put("/bucket/a", b"1")
    for owner, status in ((NUMBERS["owner"], 200), (NUMBERS["other"], 403), ("", 403)):
        assert s3.get("/bucket/a", x_amz_expected_bucket_owner=owner).status == status
        headers = {
            "x_amz_copy_source": "/bucket/a",
            "x_amz_source_expected_bucket_owner": owner,
        }
        assert s3.put("/bucket/b", b"", **headers).status == status


def test_no_log_is_delivered_past_a_deny(app: S3App, s3: Client, bucket: str) -> None:
    logs = f"/{fresh_name('logs')}"
    assert s3.put(logs).status == 200
    document = (
        f"<BucketLoggingStatus><LoggingEnabled><TargetBucket>{logs[1:]}</TargetBucket>"
        "<TargetPrefix>log/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
    ).encode()
    assert s3.put(bucket, document, "logging").status == 200
    service = {"Service": "logging.s3.amazonaws.com"}
    elsewhere = when("ArnNotLike", aws__SourceArn="arn:aws:s3:::elsewhere")
    for refusal in (
        {**deny(logs, "PutObject", "/log/*"), "Principal": service},
        deny(logs, "PutObject", **elsewhere),
    ):
        put(s3, logs, refusal)
        s3.get(bucket)
        assert app.store.server_logs.deliver() == 0
        assert s3.get(logs).texts("Contents/Key") == []
    mine = when("ArnNotLike", aws__SourceArn=f"arn:aws:s3:::{bucket[1:]}")
    put(s3, logs, deny(logs, "PutObject", **mine))
    s3.get(bucket)
    assert app.store.server_logs.deliver() == 1
