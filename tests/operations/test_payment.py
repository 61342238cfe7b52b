"""A bucket whose requesters pay: who is not its owner must have agreed to."""

from __future__ import annotations

from typing import Any

import pytest

from s3kit.operations.bucket_properties import PAID_BY_REQUESTER
from tests.attacks.handmade import form_body
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import boto_client
from tests.endpoint import service_model

REQUESTER = b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
OWNER = REQUESTER.replace(b"Requester<", b"BucketOwner<")
PAYS = {"x-amz-request-payer": "requester"}


@pytest.fixture
def paid(s3: Client, bucket: str) -> str:
    """A public bucket with a public object, both for requesters to pay."""
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    s3.put(f"{bucket}/a", b"one", x_amz_acl="public-read")
    assert s3.put(bucket, REQUESTER, "requestPayment").status == 200
    return bucket


def refused(answer: Answer) -> bool:
    assert "x-amz-request-charged" not in answer.headers
    return answer.status == 403 and (not answer.body or answer.code == "AccessDenied")


def test_the_operations_are_those_of_the_model() -> None:
    model = service_model()
    known = {
        name
        for name in model.operation_names
        if "RequestPayer" in (getattr(model.operation_model(name).input_shape, "members", {}))
    }
    assert PAID_BY_REQUESTER - {"RenameObject"} == known


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/a", "", b""),
        ("HEAD", "/a", "", b""),
        ("PUT", "/b", "", b"two"),
        ("POST", "/b", "uploads", b""),
        ("GET", "", "list-type=2", b""),
        ("GET", "", "versions", b""),
        ("DELETE", "/a", "", b""),
    ],
)
def test_others_pay_or_go(
    s3: Client, other: Client, paid: str, method: str, path: str, query: str, body: bytes
) -> None:
    for headers in ({}, {"x-amz-request-payer": "owner"}, {"x-amz-request-payer": ""}):
        assert refused(other.request(method, paid + path, query, headers, body))
    assert s3.get(f"{paid}/a").body == b"one"
    assert s3.get(f"{paid}/b").status == 404
    answer = other.request(method, paid + path, query, PAYS, body)
    assert answer.status in (200, 204)
    assert answer.headers["x-amz-request-charged"] == "requester"


def test_the_owner_pays_without_being_asked(s3: Client, paid: str) -> None:
    answer = s3.get(f"{paid}/a")
    assert (answer.status, answer.body) == (200, b"one")
    assert "x-amz-request-charged" not in answer.headers
    assert s3.put(paid, OWNER, "requestPayment").status == 200


def test_nobody_cannot_pay(anonymous: Client, paid: str) -> None:
    for headers in ({}, PAYS):
        assert refused(anonymous.request("GET", f"{paid}/a", "", headers))
        assert refused(anonymous.request("PUT", f"{paid}/b", "", headers, b"x"))
    content_type, body = form_body({"key": "posted", **PAYS}, b"x")
    sent = {"Host": HOST, "Content-Type": content_type, **PAYS}
    answer = anonymous.send("POST", anonymous.mount + paid, sent, body)
    assert refused(answer)


def test_a_bucket_whose_owner_pays_asks_nobody(
    s3: Client, other: Client, anonymous: Client, paid: str
) -> None:
    s3.put(paid, OWNER, "requestPayment")
    for client in (other, anonymous):
        answer = client.request("GET", f"{paid}/a", "", PAYS if client is other else {})
        assert (answer.status, answer.body) == (200, b"one")
        assert "x-amz-request-charged" not in answer.headers


def test_the_source_of_a_copy_is_paid_for_too(
    s3: Client, other: Client, paid: str, far_bucket: str
) -> None:
    other.put(f"{paid}-mine")
    copy: dict[str, Any] = {"x-amz-copy-source": f"{paid}/a"}
    target = f"{paid}-mine/copied"
    assert refused(other.request("PUT", target, "", copy))
    answer = other.request("PUT", target, "", {**copy, **PAYS})
    assert (answer.status, answer.headers["x-amz-request-charged"]) == (200, "requester")
    s3.delete(f"{paid}-mine")


def test_boto_sends_it_with_a_presigned_url_and_as_a_parameter(other: Client, paid: str) -> None:
    boto = boto_client(other.app, OTHER, mount=other.mount, signature_version="s3v4")
    name = {"Bucket": paid[1:], "Key": "a", "RequestPayer": "requester"}
    answer = boto.get_object(**name)
    assert (answer["Body"].read(), answer["RequestCharged"]) == (b"one", "requester")
    url = boto.generate_presigned_url("get_object", name)
    target = url.removeprefix("http://s3.test")
    assert "x-amz-request-payer" in target
    got = other.send("GET", target, {"Host": HOST, **PAYS})
    assert (got.status, got.body) == (200, b"one")
    assert got.headers["x-amz-request-charged"] == "requester"
