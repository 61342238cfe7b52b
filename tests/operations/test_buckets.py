"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import path_of
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed


def constraint(region: str) -> bytes:
    return (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()


def test_a_new_bucket_answers_with_its_location(s3: Client) -> None:
    name = fresh_name()
    answer = s3.put(f"/{name}")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["location"] == f"/{name}"
    assert answer.headers["content-length"] == "0"
    assert "content-type" not in answer.headers
    assert parsed("CreateBucket", answer)["Location"] == f"/{name}"
    assert s3.head(f"/{name}").status == 200


def test_a_trailing_slash_means_the_bucket_itself(s3: Client) -> None:
    name = fresh_name()
    assert s3.put(f"/{name}/").status == 200
    assert s3.head(f"/{name}").status == 200
    assert s3.delete(f"/{name}/").status == 204


def test_head_shows_the_region(s3: Client, bucket: str) -> None:
    answer = s3.head(bucket)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-amz-bucket-region"] == "us-east-1"
    assert answer.headers["x-amz-access-point-alias"] == "false"
    found = parsed("HeadBucket", answer)
    assert found["BucketRegion"] == "us-east-1"
    assert found["AccessPointAlias"] is False


def test_head_shows_the_region_to_those_who_may_not_list(
    bucket: str, other: Client, anonymous: Client
) -> None:
    for client in (other, anonymous):
        answer = client.head(bucket)
        assert (answer.status, answer.body) == (403, b"")
        assert answer.headers["x-amz-bucket-region"] == "us-east-1"


def test_head_of_no_bucket_is_a_bare_404(s3: Client) -> None:
    answer = s3.head(f"/{fresh_name('missing')}")
    assert (answer.status, answer.body) == (404, b"")
    assert "x-amz-bucket-region" not in answer.headers


def test_to_repeat_a_create_in_us_east_1_is_no_error(s3: Client, bucket: str) -> None:
    assert s3.put(f"{bucket}/kept", b"x").status == 200
    assert s3.put(bucket).status == 200
    assert s3.get(f"{bucket}/kept").body == b"x"


def test_to_repeat_a_create_elsewhere_is_a_conflict(s3: Client) -> None:
    path = f"/{fresh_name()}"
    assert s3.put(path, constraint("eu-west-1")).status == 200
    answer = s3.put(path, constraint("eu-west-1"))
    assert (answer.status, answer.code) == (409, "BucketAlreadyOwnedByYou")
    assert answer.text("BucketName") == path[1:]


def test_a_name_that_another_account_has_is_taken(bucket: str, other: Client) -> None:
    answer = other.put(bucket)
    assert (answer.status, answer.code) == (409, "BucketAlreadyExists")


def test_anonymous_callers_create_nothing(anonymous: Client) -> None:
    answer = anonymous.put(f"/{fresh_name()}")
    assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "Upper-case",
        "under_score",
        "-start",
        "end-",
        "a..b",
        "a.-b",
        "192.168.5.4",
        "xn--bad",
        "bad-s3alias",
        "with%20space",
    ],
)
def test_a_bad_name_is_refused_when_made_and_when_used(s3: Client, name: str) -> None:
    """CS-18."""
    answer = s3.put(f"/{name}")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")
    assert answer.text("BucketName")
    assert s3.get(f"/{name}").code == "InvalidBucketName"


@pytest.mark.parametrize(
    ("region", "shown"), [("eu-west-1", "eu-west-1"), ("EU", "EU"), ("mars-1", "mars-1")]
)
def test_a_location_constraint_is_kept(s3: Client, region: str, shown: str) -> None:
    """CS-07."""
    path = f"/{fresh_name()}"
    assert s3.put(path, constraint(region)).status == 200
    answer = s3.get(path, "location")
    assert answer.headers["content-type"] == "application/xml"
    assert answer.xml.tag == "LocationConstraint"
    assert answer.xml.text == shown
    assert s3.head(path).headers["x-amz-bucket-region"] == shown


def test_us_east_1_is_an_empty_location(s3: Client, bucket: str) -> None:
    answer = s3.get(bucket, "location")
    assert answer.xml.tag == "LocationConstraint"
    assert answer.xml.text is None


@pytest.mark.parametrize(
    "body",
    [
        b"<CreateBucketConfiguration/>",
        b"<CreateBucketConfiguration><LocationConstraint></LocationConstraint>"
        b"</CreateBucketConfiguration>",
        b"  \n",
    ],
)
def test_a_configuration_without_a_region_is_the_default_one(s3: Client, body: bytes) -> None:
    path = f"/{fresh_name()}"
    assert s3.put(path, body).status == 200
    assert s3.get(path, "location").xml.text is None


def test_us_east_1_cannot_be_named(s3: Client) -> None:
    answer = s3.put(f"/{fresh_name()}", constraint("us-east-1"))
    assert (answer.status, answer.code) == (400, "InvalidLocationConstraint")


@pytest.mark.parametrize(
    "body",
    [b"<Wrong/>", b"<CreateBucketConfiguration>", b"not xml", b"<!DOCTYPE a><a/>"],
)
def test_a_malformed_configuration_makes_no_bucket(s3: Client, body: bytes) -> None:
    path = f"/{fresh_name()}"
    answer = s3.put(path, body)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.head(path).status == 404


def test_an_unknown_canned_acl_makes_no_bucket(s3: Client) -> None:
    path = f"/{fresh_name()}"
    answer = s3.put(path, x_amz_acl="everybody")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.head(path).status == 404


def test_delete_needs_an_empty_bucket(s3: Client, bucket: str) -> None:
    """CS-08, FB-09, CS-24."""
    s3.put(f"{bucket}/k", b"x")
    answer = s3.delete(bucket)
    assert (answer.status, answer.code) == (409, "BucketNotEmpty")
    assert answer.text("BucketName") == bucket[1:]
    s3.delete(f"{bucket}/k")
    answer = s3.delete(bucket)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers
    for again in (s3.delete(bucket), s3.get(bucket), s3.put(f"{bucket}/k", b"x")):
        assert (again.status, again.code) == (404, "NoSuchBucket")
        assert again.text("BucketName") == bucket[1:]


def test_unfinished_uploads_do_not_keep_a_bucket(s3: Client, bucket: str) -> None:
    upload = s3.post(f"{bucket}/k", query="uploads").text("UploadId")
    s3.put(f"{bucket}/k", b"part", f"partNumber=1&uploadId={upload}")
    assert s3.delete(bucket).status == 204
    assert s3.put(bucket).status == 200
    assert s3.get(f"{bucket}/k", f"uploadId={upload}").code == "NoSuchUpload"


def test_another_account_deletes_nothing(bucket: str, s3: Client, other: Client) -> None:
    assert other.delete(bucket).code == "AccessDenied"
    assert s3.head(bucket).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_an_expected_owner_must_be_the_owner(s3: Client, bucket: str, method: str) -> None:
    wrong = s3.request(method, bucket, "", {"x-amz-expected-bucket-owner": "somebody"})
    assert wrong.status == 403
    right = s3.request(method, bucket, "", {"x-amz-expected-bucket-owner": OWNER_ID})
    assert right.status in (200, 204)


def test_a_bucket_that_is_made_again_is_empty(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x", x_amz_tagging="a=1")
    s3.put(
        bucket,
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        "tagging",
    )
    s3.delete(f"{bucket}/k")
    s3.delete(bucket)
    s3.put(bucket)
    assert s3.get(f"{bucket}/k").code == "NoSuchKey"
    assert s3.get(bucket, "tagging").code == "NoSuchTagSet"


def test_a_home_region_is_shown_where_none_was_named(tmp_path: Path) -> None:
    """CS-02: the endpoint's own region."""
    app = make_app("memory", tmp_path, region="eu-central-1")
    try:
        s3 = Client(app, OWNER, region="eu-central-1")
        s3.put("/home")
        assert s3.head("/home").headers["x-amz-bucket-region"] == "eu-central-1"
        assert s3.get("/home", "location").xml.text == "eu-central-1"
        assert s3.get("/").texts("Buckets/Bucket/BucketRegion") == ["eu-central-1"]
        assert s3.put("/home").code == "BucketAlreadyOwnedByYou"
        client = boto_client(app, region="eu-central-1")
        assert client.get_bucket_location(Bucket="home")["LocationConstraint"] == "eu-central-1"
    finally:
        app.close()


def test_a_pinned_endpoint_makes_no_bucket_of_another_region() -> None:
    app = S3App(Config(keys={"AKIAPINNED": "secret"}, region="eu-central-1", pin_region=True))
    client = Client(app, Signer("AKIAPINNED", "secret"), region="eu-central-1")

    def make(name: str, region: str) -> Answer:
        location = f"<LocationConstraint>{region}</LocationConstraint>"
        body = f"<CreateBucketConfiguration>{location}</CreateBucketConfiguration>".encode()
        return client.put(path_of(name), body)

    refused = make("elsewhere", "us-west-2")
    assert (refused.status, refused.code) == (400, "IllegalLocationConstraintException")
    assert client.head(path_of("elsewhere")).status == 404
    assert make("at-home", "eu-central-1").status == 200
    app.close()
