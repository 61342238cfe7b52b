"""ListBuckets."""

from __future__ import annotations

import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed


def names(client: Client, query: str = "") -> list[str]:
    return client.get("/", query).texts("Buckets/Bucket/Name")


def test_the_answer_names_the_owner_and_each_bucket(s3: Client, bucket: str) -> None:
    answer = s3.get("/", f"prefix={bucket[1:]}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    assert answer.body.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ListAllMyBucketsResult'
    )
    found = parsed("ListBuckets", answer)
    assert found["Owner"] == {"ID": OWNER_ID, "DisplayName": "Olive Owner"}
    (entry,) = found["Buckets"]
    assert entry["Name"] == bucket[1:]
    assert entry["BucketRegion"] == "us-east-1"
    assert entry["CreationDate"].tzinfo is not None
    assert found["Prefix"] == bucket[1:]
    assert "ContinuationToken" not in found


def test_an_account_sees_only_its_own_buckets(s3: Client, other: Client, bucket: str) -> None:
    theirs = f"/{fresh_name()}"
    other.put(theirs)
    assert bucket[1:] in names(s3)
    assert theirs[1:] not in names(s3)
    assert bucket[1:] not in names(other)
    assert theirs[1:] in names(other)
    assert parsed("ListBuckets", other.get("/"))["Owner"]["ID"] == OTHER_ID


def test_anonymous_callers_have_no_buckets_to_list(anonymous: Client) -> None:
    answer = anonymous.get("/")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_pages_follow_one_another_by_token(s3: Client) -> None:
    stem = fresh_name("paged")
    wanted = [f"{stem}-{letter}" for letter in "abcde"]
    for name in reversed(wanted):
        s3.put(f"/{name}")
    found = []
    token = ""
    pages = 0
    while True:
        answer = s3.get("/", f"max-buckets=2&prefix={stem}-{token}")
        page = parsed("ListBuckets", answer)
        found += [entry["Name"] for entry in page["Buckets"]]
        pages += 1
        if "ContinuationToken" not in page:
            break
        token = f"&continuation-token={page['ContinuationToken'].replace('=', '%3D')}"
    assert found == wanted
    assert pages == 3
    whole = s3.get("/", f"max-buckets=5&prefix={stem}-")
    assert whole.text("ContinuationToken") is None


def test_botocores_paginator_walks_the_pages(app: S3App, mount: str, s3: Client) -> None:
    stem = fresh_name("walked")
    for letter in "abc":
        s3.put(f"/{stem}-{letter}")
    client = boto_client(app, mount=mount)
    pages = client.get_paginator("list_buckets").paginate(
        Prefix=stem, PaginationConfig={"PageSize": 1}
    )
    assert [entry["Name"] for page in pages for entry in page["Buckets"]] == [
        f"{stem}-{letter}" for letter in "abc"
    ]


def test_a_region_filters_buckets(s3: Client) -> None:
    name = fresh_name("regional")
    document = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>"
        b"</CreateBucketConfiguration>"
    )
    assert s3.put(f"/{name}", document).status == 200
    assert names(s3, f"prefix={name}&bucket-region=eu-west-1") == [name]
    assert names(s3, f"prefix={name}&bucket-region=us-east-1") == []
    assert names(s3, f"prefix={name}&bucket-region=mars-1") == []


def test_a_page_of_one_region_is_filled_past_the_buckets_of_others(s3: Client) -> None:
    stem = fresh_name("mixed")
    document = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>"
        b"</CreateBucketConfiguration>"
    )
    for number in range(6):
        s3.put(f"/{stem}-{number}", document if number in (1, 4, 5) else b"")
    answer = s3.get("/", f"prefix={stem}&bucket-region=eu-west-1&max-buckets=2")
    assert answer.texts("Buckets/Bucket/Name") == [f"{stem}-1", f"{stem}-4"]
    token = answer.text("ContinuationToken")
    rest = s3.get("/", f"prefix={stem}&bucket-region=eu-west-1&continuation-token={token}")
    assert rest.texts("Buckets/Bucket/Name") == [f"{stem}-5"]
    assert rest.text("ContinuationToken") is None


@pytest.mark.parametrize("value", ["0", "10001", "-1", "two", "99999999999999999999"])
def test_a_page_size_out_of_range_is_refused(s3: Client, value: str) -> None:
    answer = s3.get("/", f"max-buckets={value}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "max-buckets"


@pytest.mark.parametrize("token", ["nonsense", "%2F%2F", "AAAA"])
def test_a_token_that_was_never_given_is_refused(s3: Client, token: str) -> None:
    answer = s3.get("/", f"continuation-token={token}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_the_service_itself_takes_no_writes(s3: Client, method: str) -> None:
    answer = s3.request(method, "/")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.text("ResourceType") == "SERVICE"
