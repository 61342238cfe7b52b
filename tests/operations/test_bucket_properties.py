"""Request payment, acceleration and ABAC of a bucket."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.operations import bucket_properties
from tests.client import Client
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed
from tests.endpoint import service_model


@dataclass(frozen=True)
class Property:
    """A setting of one word: where it is, what it says before it is set, what it can say."""

    operation: str
    query: str
    document: str
    member: str
    unset: str | None
    values: tuple[str, ...]
    cls: type

    def body(self, value: str) -> bytes:
        return f"<{self.document}><{self.member}>{value}</{self.member}></{self.document}>".encode()

    def shown(self, answer: Any) -> Any:
        found = parsed(f"Get{self.operation}", answer)
        found.pop("ResponseMetadata")
        return found.get(self.document, found)


PROPERTIES = (
    Property(
        "BucketRequestPayment",
        "requestPayment",
        "RequestPaymentConfiguration",
        "Payer",
        "BucketOwner",
        ("Requester", "BucketOwner"),
        bucket_properties.RequestPaymentConfiguration,
    ),
    Property(
        "BucketAccelerateConfiguration",
        "accelerate",
        "AccelerateConfiguration",
        "Status",
        None,
        ("Enabled", "Suspended"),
        bucket_properties.AccelerateConfiguration,
    ),
    Property(
        "BucketAbac",
        "abac",
        "AbacStatus",
        "Status",
        "Disabled",
        ("Enabled", "Disabled"),
        bucket_properties.AbacStatus,
    ),
)


@pytest.fixture(params=PROPERTIES, ids=lambda one: one.operation)
def thing(request: pytest.FixtureRequest) -> Property:
    found: Property = request.param
    return found


def test_the_documents_have_the_models_member_and_words(thing: Property) -> None:
    shape = service_model().operation_model(f"Put{thing.operation}").input_shape
    shape = shape.members[thing.document]
    assert list(shape.members) == [thing.member]
    assert tuple(shape.members[thing.member].enum) == thing.values
    (field,) = dataclasses.fields(thing.cls)
    assert field.name == thing.member.lower()
    words = typing.get_type_hints(thing.cls)[field.name]
    assert {word.value for word in words} == set(thing.values)


def test_what_was_never_set_has_its_own_answer(s3: Client, bucket: str, thing: Property) -> None:
    answer = s3.get(bucket, thing.query)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml")
    assert answer.xml.tag == thing.document
    assert thing.shown(answer) == ({} if thing.unset is None else {thing.member: thing.unset})


def test_what_is_set_is_shown(s3: Client, bucket: str, thing: Property) -> None:
    for value in (*thing.values, *thing.values):
        answer = s3.put(bucket, thing.body(value), thing.query)
        assert (answer.status, answer.body) == (200, b"")
        answer = s3.get(bucket, thing.query)
        assert answer.xml.tag == thing.document
        assert thing.shown(answer) == {thing.member: value}


def test_an_sdk_sets_and_reads_them(app: S3App, mount: str, bucket: str) -> None:
    boto = boto_client(app, mount=mount)
    name = bucket[1:]
    boto.put_bucket_request_payment(Bucket=name, RequestPaymentConfiguration={"Payer": "Requester"})
    assert boto.get_bucket_request_payment(Bucket=name)["Payer"] == "Requester"
    boto.put_bucket_accelerate_configuration(
        Bucket=name, AccelerateConfiguration={"Status": "Suspended"}
    )
    assert boto.get_bucket_accelerate_configuration(Bucket=name)["Status"] == "Suspended"
    boto.put_bucket_abac(Bucket=name, AbacStatus={"Status": "Enabled"})
    assert boto.get_bucket_abac(Bucket=name)["AbacStatus"] == {"Status": "Enabled"}


def test_a_malformed_document_changes_nothing(s3: Client, bucket: str, thing: Property) -> None:
    root, member, value = thing.document, thing.member, thing.values[0]
    s3.put(bucket, thing.body(value), thing.query)
    for body in (
        b"",
        b"<",
        b"<Other/>",
        f"<{root}/>".encode(),
        thing.body("Perhaps"),
        thing.body(value.lower()),
        thing.body(f"<b>{value}</b>"),
        f"<{root}><{member}>{value}</{member}><{member}>{value}</{member}></{root}>".encode(),
        b"<!DOCTYPE x>" + thing.body(value),
    ):
        answer = s3.put(bucket, body, thing.query)
        assert (answer.status, answer.code) == (400, "MalformedXML"), body
    assert thing.shown(s3.get(bucket, thing.query)) == {member: value}


def test_they_cannot_be_deleted(s3: Client, bucket: str, thing: Property) -> None:
    s3.put(bucket, thing.body(thing.values[0]), thing.query)
    answer = s3.delete(bucket, thing.query)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert s3.head(bucket).status == 200
    assert thing.shown(s3.get(bucket, thing.query)) == {thing.member: thing.values[0]}


def test_others_may_not_see_or_set_them(
    s3: Client, other: Client, anonymous: Client, bucket: str, thing: Property
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        for answer in (
            client.get(bucket, thing.query),
            client.put(bucket, thing.body(thing.values[0]), thing.query),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    answer = s3.get("/no-such-bucket", thing.query)
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert thing.unset in (None, s3.get(bucket, thing.query).text(thing.member))


def test_a_name_with_a_dot_cannot_be_accelerated(s3: Client) -> None:
    bucket = f"/{fresh_name('dotted.name')}"
    assert s3.put(bucket).status == 200
    answer = s3.put(bucket, PROPERTIES[1].body("Enabled"), "accelerate")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(bucket, "accelerate").text("Status") is None
