"""A087 to A091: XML. Every operation that reads a document is tried."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest

from tests.attacks.effects import assert_holds
from tests.attacks.effects import assert_refused
from tests.attacks.effects import snapshot
from tests.client import Answer
from tests.client import Client

ROOTS = {
    "PutBucketTagging": ("PUT", "{bucket}?tagging", "Tagging"),
    "PutObjectTagging": ("PUT", "{key}?tagging", "Tagging"),
    "PutBucketAcl": ("PUT", "{bucket}?acl", "AccessControlPolicy"),
    "PutObjectAcl": ("PUT", "{key}?acl", "AccessControlPolicy"),
    "DeleteObjects": ("POST", "{bucket}?delete", "Delete"),
    "CompleteMultipartUpload": ("POST", "{key}?uploadId={upload}", "CompleteMultipartUpload"),
    "CreateBucket": ("PUT", "{bucket}-new", "CreateBucketConfiguration"),
}
CODES = ("MalformedXML", "MalformedACLError")


@pytest.fixture
def upload(s3: Client, secret: str) -> str:
    return s3.post(secret, query="uploads").text("UploadId") or ""


@pytest.fixture(params=sorted(ROOTS))
def operation(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Documents:
    """Sends one operation's document, correctly signed and with its MD5."""

    def __init__(self, s3: Client, bucket: str, secret: str, upload: str, operation: str) -> None:
        self.method, target, self.root = ROOTS[operation]
        target = target.format(bucket=bucket, key=secret, upload=upload)
        self.path, _, self.query = target.partition("?")
        self.s3 = s3
        self.bucket = bucket

    def send(self, body: bytes) -> Answer:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {"Content-MD5": base64.b64encode(digest).decode()}
        return self.s3.request(self.method, self.path, self.query, headers, body)


@pytest.fixture
def documents(s3: Client, bucket: str, secret: str, upload: str, operation: str) -> Documents:
    return Documents(s3, bucket, secret, upload, operation)


XXE = {
    "a087-file": '<!DOCTYPE {root} [<!ENTITY x SYSTEM "file:///etc/passwd">]><{root}>&x;</{root}>',
    "a087-parameter": '<!DOCTYPE {root} [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><{root}/>',
    "a088-http": '<!DOCTYPE {root} [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]><{root}>&x;</{root}>',
    "a088-dtd": '<!DOCTYPE {root} SYSTEM "http://127.0.0.1:1/x.dtd"><{root}/>',
    "a088-public": '<!DOCTYPE {root} PUBLIC "a" "http://127.0.0.1:1/x.dtd"><{root}/>',
    "a089-internal": '<!DOCTYPE {root} [<!ENTITY x "lol">]><{root}>&x;</{root}>',
    "a089-empty": "<!DOCTYPE {root}><{root}/>",
}


@pytest.mark.parametrize("attack", sorted(XXE))
def test_a087_a088_no_document_may_bring_a_dtd(
    s3: Client, bucket: str, secret: str, documents: Documents, attack: str
) -> None:
    before = snapshot(s3, bucket)
    answer = documents.send(XXE[attack].format(root=documents.root).encode())
    assert_refused(answer, *CODES)
    assert b"root:" not in answer.body
    assert snapshot(s3, bucket) == before
    assert s3.head(f"{bucket}-new").status == 404


def test_a088_xinclude_fetches_nothing(documents: Documents) -> None:
    body = (
        f'<{documents.root} xmlns:xi="http://www.w3.org/2001/XInclude">'
        '<xi:include href="file:///etc/passwd" parse="text"/></{documents.root}>'
    )
    answer = documents.send(body.encode())
    assert b"root:" not in answer.body
    assert answer.status < 500


def bomb(root: str) -> bytes:
    lines = ['<!ENTITY a0 "lol">']
    for level in range(1, 20):
        lines.append(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">')
    return f"<!DOCTYPE {root} [{''.join(lines)}]><{root}>&a19;</{root}>".encode()


def test_a089_entity_bombs_are_refused_at_once(documents: Documents) -> None:
    started = time.thread_time()
    assert_refused(documents.send(bomb(documents.root)), *CODES)
    quadratic = (
        f'<!DOCTYPE {documents.root} [<!ENTITY a "{"x" * 50_000}">]>'
        f"<{documents.root}>{'&a;' * 50_000}</{documents.root}>"
    )
    assert_refused(documents.send(quadratic.encode()), *CODES)
    assert time.thread_time() - started < 2


def test_a089_deep_nesting_is_refused_or_ignored_but_no_crash(documents: Documents) -> None:
    for depth in (1_000, 100_000):
        body = b"<a>" * depth + b"</a>" * depth
        assert_refused(documents.send(body), *CODES)
        inner = f"<{documents.root}>".encode() + body + f"</{documents.root}>".encode()
        assert documents.send(inner).status < 500


GARBAGE = [
    b"<",
    b"<a",
    b"not xml",
    b"\x00",
    b"\xff\xfe<\x00a\x00",
    b"\xef\xbb\xbf",
    b"<?xml version='1.0' encoding='utf-7'?><Tagging/>",
    b"<?xml version='1.0' encoding='nonsense'?><Tagging/>",
    b"<?xml version='1.0' encoding='utf-16'?><Tagging/>",
    b"<?xml version='1.1'?><Tagging>&#1;</Tagging>",
    b"<Tagging></Delete>",
    b"<Wrong/>",
    b"{}",
    b"<Tagging>&undefined;</Tagging>",
    b"<Tagging>\xc3\x28</Tagging>",
    b"<Tagging a='1' a='2'/>",
    b"<a:Tagging/>",
    b"<Tagging/><Tagging/>",
]


@pytest.mark.parametrize("body", GARBAGE)
def test_a090_garbage_is_malformed_xml(
    s3: Client, bucket: str, secret: str, documents: Documents, body: bytes
) -> None:
    before = snapshot(s3, bucket)
    assert_refused(documents.send(body), *CODES)
    assert snapshot(s3, bucket) == before
    assert s3.head(f"{bucket}-new").status == 404


def delete_document(count: int, size: int = 1) -> bytes:
    keys = "".join(f"<Object><Key>{'k' * size}{number}</Key></Object>" for number in range(count))
    return f"<Delete>{keys}</Delete>".encode()


def test_a091_a_multi_delete_takes_1000_keys_and_no_more(
    s3: Client, bucket: str, secret: str, upload: str
) -> None:
    documents = Documents(s3, bucket, secret, upload, "DeleteObjects")
    s3.put(f"{bucket}/k0", b"x")
    assert_refused(documents.send(delete_document(1001)), "MalformedXML")
    assert_refused(documents.send(delete_document(0)), "MalformedXML")
    assert s3.head(f"{bucket}/k0").status == 200
    assert len(documents.send(delete_document(1000)).texts("Deleted")) == 1000
    assert s3.head(f"{bucket}/k0").status == 404
    assert len(documents.send(delete_document(1000, 1000)).texts("Deleted")) == 1000
    assert_holds(s3, secret, b"private")


def test_a091_an_oversize_document_is_refused_declared_or_chunked(
    s3: Client, bucket: str, secret: str, documents: Documents
) -> None:
    root = documents.root.encode()
    body = b"<%s>%s</%s>" % (root, b" " * (9 << 20), root)
    assert_refused(documents.send(body), "MaxMessageLengthExceeded", *CODES)
    # Swift 53d2500ad: chunked, so that no length tells beforehand.
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    headers = {
        "Content-MD5": base64.b64encode(digest).decode(),
        "Transfer-Encoding": "chunked",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }
    answer = s3.request(documents.method, documents.path, documents.query, headers, body)
    assert_refused(answer, "MaxMessageLengthExceeded", *CODES)
    assert_holds(s3, secret, b"private")


def test_a091_a_multi_delete_needs_a_checksum_of_its_document(
    s3: Client, bucket: str, secret: str
) -> None:
    body = b"<Delete><Object><Key>secret</Key></Object></Delete>"
    assert_refused(s3.post(bucket, body, "delete"), "InvalidRequest")
    wrong = base64.b64encode(hashlib.md5(b"x", usedforsecurity=False).digest()).decode()
    assert_refused(s3.post(bucket, body, "delete", Content_MD5=wrong), "BadDigest")
    assert_refused(s3.post(bucket, body, "delete", x_amz_checksum_crc32="AAAAAA=="), "BadDigest")
    assert_holds(s3, secret, b"private")
