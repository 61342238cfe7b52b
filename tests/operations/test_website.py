"""The document that makes a bucket a website."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.client import Client
from tests.endpoint import boto_client
from tests.endpoint import parsed

RULES: dict[str, Any] = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "errors/404.html"},
    "RoutingRules": [
        {
            "Condition": {"KeyPrefixEquals": "docs/"},
            "Redirect": {"ReplaceKeyPrefixWith": "documents/"},
        },
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "old/"},
            "Redirect": {
                "HostName": "www.example.com",
                "Protocol": "https",
                "HttpRedirectCode": "307",
                "ReplaceKeyWith": "gone.html",
            },
        },
    ],
}
EVERYTHING = {"RedirectAllRequestsTo": {"HostName": "www.example.com", "Protocol": "https"}}
INDEX = "<IndexDocument><Suffix>i</Suffix></IndexDocument>"


def document(inner: str) -> bytes:
    return f"<WebsiteConfiguration>{inner}</WebsiteConfiguration>".encode()


def rules(*inner: str) -> bytes:
    """A document with these routing rules."""
    listed = "".join(f"<RoutingRule>{rule}</RoutingRule>" for rule in inner)
    return document(f"{INDEX}<RoutingRules>{listed}</RoutingRules>")


def redirect(inner: str) -> bytes:
    return rules(f"<Redirect>{inner}</Redirect>")


@pytest.mark.parametrize("wanted", [RULES, EVERYTHING, {"IndexDocument": {"Suffix": "i"}}])
def test_the_document_is_kept_as_it_was_put(s3: Client, bucket: str, wanted: Any) -> None:
    boto = boto_client(s3.app, mount=s3.mount)
    with pytest.raises(ClientError) as refused:
        boto.get_bucket_website(Bucket=bucket[1:])
    assert refused.value.response["Error"]["Code"] == "NoSuchWebsiteConfiguration"
    boto.put_bucket_website(Bucket=bucket[1:], WebsiteConfiguration=wanted)
    answer = s3.get(bucket, "website")
    assert answer.xml.tag == "WebsiteConfiguration"
    found = parsed("GetBucketWebsite", answer)
    found.pop("ResponseMetadata")
    assert found == wanted
    for _ in range(2):
        assert s3.delete(bucket, "website").status == 204
    answer = s3.get(bucket, "website")
    assert (answer.status, answer.code) == (404, "NoSuchWebsiteConfiguration")
    assert answer.text("BucketName") == bucket[1:]


REFUSED = [
    (b"", "MalformedXML", None),
    (b"<Other/>", "MalformedXML", None),
    (document(""), "InvalidArgument", "IndexDocument"),
    (document("<ErrorDocument><Key>e</Key></ErrorDocument>"), "InvalidArgument", "IndexDocument"),
    (document("<IndexDocument/>"), "MalformedXML", None),
    (document("<IndexDocument><Suffix></Suffix></IndexDocument>"), "InvalidArgument", None),
    (document("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>"), "InvalidArgument", None),
    (document(f"{INDEX}<ErrorDocument><Key></Key></ErrorDocument>"), "MalformedXML", None),
    (
        document(f"{INDEX}<RedirectAllRequestsTo><HostName>h</HostName></RedirectAllRequestsTo>"),
        "InvalidArgument",
        "RedirectAllRequestsTo",
    ),
    (document("<RedirectAllRequestsTo/>"), "MalformedXML", None),
    (document("<RedirectAllRequestsTo><HostName/></RedirectAllRequestsTo>"), "MalformedXML", None),
    (
        document(
            "<RedirectAllRequestsTo><HostName>h</HostName><Protocol>ftp</Protocol>"
            "</RedirectAllRequestsTo>"
        ),
        "InvalidRequest",
        None,
    ),
    (rules(), "MalformedXML", None),
    (rules(*["<Redirect><HostName>h</HostName></Redirect>"] * 51), "InvalidRequest", None),
    (rules("<Condition/><Redirect><HostName>h</HostName></Redirect>"), "InvalidRequest", None),
    (rules("<Condition><KeyPrefixEquals>a</KeyPrefixEquals></Condition>"), "MalformedXML", None),
    (redirect(""), "MalformedXML", None),
    (redirect("<HostName>a\nb</HostName>"), "MalformedXML", None),
    (redirect("<ReplaceKeyWith>a&#13;&#10;Set-Cookie: b</ReplaceKeyWith>"), "MalformedXML", None),
    (redirect("<Protocol>javascript</Protocol>"), "InvalidRequest", None),
    (redirect("<HttpRedirectCode>300</HttpRedirectCode>"), "InvalidRequest", None),
    (redirect("<HttpRedirectCode>200</HttpRedirectCode>"), "InvalidRequest", None),
    (redirect("<HttpRedirectCode>399</HttpRedirectCode>"), "InvalidRequest", None),
    (
        redirect(
            "<ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith>"
        ),
        "InvalidRequest",
        None,
    ),
    (
        rules(
            "<Condition><HttpErrorCodeReturnedEquals>302</HttpErrorCodeReturnedEquals></Condition>"
            "<Redirect><HostName>h</HostName></Redirect>"
        ),
        "InvalidRequest",
        None,
    ),
]


def test_a_document_that_says_nothing_sensible_is_refused(s3: Client, bucket: str) -> None:
    for body, code, argument in REFUSED:
        answer = s3.put(bucket, body, "website")
        assert (answer.status, answer.code) == (400, code), body
        assert argument in (None, answer.text("ArgumentName")), body
    assert s3.get(bucket, "website").code == "NoSuchWebsiteConfiguration"
    fifty = rules(*["<Redirect><HostName>h</HostName></Redirect>"] * 50)
    assert s3.put(bucket, fifty, "website").status == 200


def test_only_the_owner_may_make_a_website(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        for answer in (
            client.put(bucket, document(INDEX), "website"),
            client.get(bucket, "website"),
            client.delete(bucket, "website"),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(bucket, "website").status == 404
