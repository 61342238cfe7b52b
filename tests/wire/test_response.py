from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies

from s3kit import errors
from s3kit.wire.response import STATUS_LINES
from s3kit.wire.response import empty
from s3kit.wire.response import render_error
from s3kit.wire.response import xml_response
from s3kit.wire.xml import document


@document("Answer")
@dataclass
class Answer:
    name: str


def test_a_document_is_answered_with_its_type_and_length() -> None:
    response = xml_response(Answer("é"), 202, [("x-amz-version-id", "v")])
    (body,) = response.body
    assert response.status == 202
    assert body.endswith("<Name>é</Name></Answer>".encode())
    assert response.headers == [
        ("Content-Type", "application/xml"),
        ("Content-Length", str(len(body))),
        ("x-amz-version-id", "v"),
    ]


def test_rendered_xml_is_answered_as_it_is() -> None:
    assert list(xml_response(b"<a/>").body) == [b"<a/>"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [("Content-Length", "0"), ("ETag", "e")]),
        (204, [("ETag", "e")]),
        (304, [("ETag", "e")]),
    ],
)
def test_an_empty_answer_announces_a_length_only_where_http_has_one(
    status: int, headers: list[tuple[str, str]]
) -> None:
    response = empty(status, [("ETag", "e")])
    assert (response.status, response.headers, list(response.body)) == (status, headers, [])


def test_every_error_has_a_status_line() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.S3Error)
    ]
    assert len(classes) > 50
    for kind in classes:
        assert STATUS_LINES[kind.status].startswith(f"{kind.status} ")


def test_an_error_is_written_with_code_message_details_resource_and_ids() -> None:
    """CS-27: every error has an XML body with Code, Message and RequestId."""
    error = errors.NoSuchKey(key="a/é".encode(), etag="x", range_requested="bytes=5-", size=3)
    status, headers, body = render_error(error, "REQ", "HOST", "/b/a")
    assert status == 404
    assert headers == [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    assert (
        body
        == (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
            "<Key>a/é</Key><ETag>x</ETag><RangeRequested>bytes=5-</RangeRequested><Size>3</Size>"
            "<Resource>/b/a</Resource><RequestId>REQ</RequestId><HostId>HOST</HostId></Error>"
        ).encode()
    )


def test_details_in_s3s_own_spelling_are_kept() -> None:
    error = errors.SignatureDoesNotMatch(AWSAccessKeyId="A", StringToSign="S")
    _, _, body = render_error(error, "r", "h")
    assert b"<AWSAccessKeyId>A</AWSAccessKeyId><StringToSign>S</StringToSign><RequestId>" in body


def test_an_errors_own_headers_are_sent() -> None:
    _, headers, _ = render_error(errors.SlowDown(headers={"Retry-After": "1"}), "r", "h")
    assert ("Retry-After", "1") in headers


def test_not_modified_has_no_body_and_no_type() -> None:
    error = errors.NotModified(headers={"ETag": '"e"'})
    assert render_error(error, "r", "h", "/b/k") == (304, [("ETag", '"e"')], b"")


@given(strategies.text(), strategies.binary())
def test_an_error_never_reflects_markup(text: str, key: bytes) -> None:
    """A111: what came from the client stands in the error document as text only."""
    error = errors.InvalidArgument(f"<script>{text}", argument_value=text, key=key)
    _, headers, body = render_error(error, "r", "h", text)
    root = ElementTree.fromstring(body)
    names = [child.tag for child in root]
    assert [name for name in names if name != "Resource"] == [
        "Code",
        "Message",
        "ArgumentValue",
        "Key",
        "RequestId",
        "HostId",
    ]
    assert not any(len(child) for child in root)
    assert ("Content-Type", "application/xml") in headers
