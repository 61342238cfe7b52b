"""Encryption at rest: a bucket's default, SSE-S3, SSE-C, aws:kms, and copies between them (BB-06).

What lies on the disk is looked at, and damaged, behind the endpoint's back.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.errors import InternalError
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.endpoint import MASTER_KEY
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed
from tests.operations.test_posting import Forms

SSE = "x-amz-server-side-encryption"
SMALL = b"what nobody may find at rest, small " * 4
LARGE = b"what nobody may find at rest, large " * 8000
NEEDLE = b"nobody may find at rest"
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["inline", "blob"])


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def customer(key: bytes, prefix: str = "x-amz-server-side-encryption-customer-") -> dict[str, str]:
    """The three headers that bring a customer's key."""
    return {
        prefix + "algorithm": "AES256",
        prefix + "key": base64.b64encode(key).decode(),
        prefix + "key-MD5": md5_of(key),
    }


SOURCE = "x-amz-copy-source-server-side-encryption-customer-"
ONE = b"a customer's own key of 32 bytes"
TWO = b"another customer's key, 32 bytes"
KEY_ID = f"{SSE}-aws-kms-key-id"
S3 = {SSE: "AES256"}
KMS = {SSE: "aws:kms", KEY_ID: "first"}
DSSE = {SSE: "aws:kms:dsse", KEY_ID: "second"}
MODES: dict[str, dict[str, str]] = {
    "plain": {},
    "sse-s3": S3,
    "sse-c": customer(ONE),
    "sse-c of another": customer(TWO),
    "sse-kms": KMS,
    "sse-kms-dsse": DSSE,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[S3App]:
    made = make_app("file", folder, inline_threshold=1000)
    yield made
    made.close()


@pytest.fixture(scope="module")
def mount() -> str:
    return ""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[S3App, Client, Path]]:
    """An endpoint whose files nobody else writes; it has a bucket ``/bucket``."""
    made = make_app("file", tmp_path, inline_threshold=1000)
    client = Client(made, OWNER)
    client.put("/bucket")
    yield made, client, tmp_path
    made.close()


def put(s3: Client, path: str, data: bytes, headers: dict[str, str] | None = None) -> Answer:
    answer = s3.request("PUT", path, headers=headers, body=data)
    assert answer.status == 200, answer.body
    return answer


def get(s3: Client, path: str, headers: dict[str, str] | None = None) -> Answer:
    return s3.request("GET", path, headers=reading(headers or {}))


def reading(headers: dict[str, str]) -> dict[str, str]:
    """What a read of something that was written with these headers must bring."""
    return {name: value for name, value in headers.items() if "customer" in name}


def at_rest(folder: Path) -> bytes:
    """Everything that lies on the disk."""
    found = b""
    for each in sorted(folder.rglob("*")):
        if each.is_file():
            # What was replaced may go meanwhile.
            with contextlib.suppress(FileNotFoundError):
                found += each.read_bytes()
    return found


def assert_mode(answer: Answer, headers: dict[str, str]) -> None:
    """The answer tells of this encryption and of nothing else."""
    shown = {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("x-amz-server-side-encryption")
    }
    expected = {name.lower(): value for name, value in headers.items() if not name.endswith("-key")}
    assert shown == expected


def document(*pieces: str) -> bytes:
    return (
        '<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{''.join(pieces)}</ServerSideEncryptionConfiguration>"
    ).encode()


def rule(algorithm: str = "AES256", key: str = "", more: str = "") -> str:
    key = f"<KMSMasterKeyID>{key}</KMSMasterKeyID>" if key else ""
    return (
        "<Rule><ApplyServerSideEncryptionByDefault>"
        f"<SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault>"
        f"{more}</Rule>"
    )


def put_default(s3: Client, bucket: str, *pieces: str) -> Answer:
    body = document(*pieces)
    return s3.request("PUT", bucket, "encryption", {"Content-MD5": md5_of(body)}, body)


# -- the bucket's document


RULES: list[dict[str, Any]] = [
    {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": False,
    },
    {
        "ApplyServerSideEncryptionByDefault": {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": "first",
        },
        "BucketKeyEnabled": True,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    },
    {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}},
    {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}},
]


@pytest.mark.parametrize("wanted", RULES)
def test_a_buckets_default_is_shown_as_it_was_put(
    app: S3App, s3: Client, bucket: str, wanted: dict[str, Any]
) -> None:
    """BB-06."""
    boto = boto_client(app)
    configuration = {"Rules": [wanted]}
    boto.put_bucket_encryption(Bucket=bucket[1:], ServerSideEncryptionConfiguration=configuration)
    found = parsed("GetBucketEncryption", s3.get(bucket, "encryption"))
    assert found["ServerSideEncryptionConfiguration"] == configuration
    answer = s3.delete(bucket, "encryption")
    assert (answer.status, answer.body) == (204, b"")
    assert s3.get(bucket, "encryption").status == 404
    assert s3.delete(bucket, "encryption").status == 204


def test_without_one_that_is_said(s3: Client, bucket: str) -> None:
    answer = s3.get(bucket, "encryption")
    assert (answer.status, answer.code) == (404, "ServerSideEncryptionConfigurationNotFoundError")


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([], "MalformedXML"),
        ([rule(), rule()], "MalformedXML"),
        (["<Rule/>"], "MalformedXML"),
        ([rule("AES512")], "MalformedXML"),
        ([rule("")], "MalformedXML"),
        ([rule("aws:fsx")], "MalformedXML"),
        ([rule("AES256", "first")], "InvalidArgument"),
        ([rule("aws:kms", "k" * 3000)], "InvalidArgument"),
        ([rule("aws:kms", "k&#10;x-evil: 1")], "InvalidArgument"),
        ([rule(more="<BucketKeyEnabled>perhaps</BucketKeyEnabled>")], "MalformedXML"),
        (
            [
                rule(
                    more="<BlockedEncryptionTypes><EncryptionType>ROT13</EncryptionType>"
                    "</BlockedEncryptionTypes>"
                )
            ],
            "MalformedXML",
        ),
        (["<Rule>"], "MalformedXML"),
    ],
)
def test_a_default_that_s3_would_refuse_changes_nothing(
    s3: Client, bucket: str, pieces: list[str], code: str
) -> None:
    answer = put_default(s3, bucket, *pieces)
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(bucket, "encryption").status == 404


def test_a_default_wants_a_checksum_and_the_buckets_owner(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    assert s3.put(bucket, document(rule()), "encryption").code == "InvalidRequest"
    for client in (other, anonymous):
        assert put_default(client, bucket, rule()).code == "AccessDenied"
        assert client.get(bucket, "encryption").code == "AccessDenied"
        assert client.delete(bucket, "encryption").code == "AccessDenied"
    assert s3.get(bucket, "encryption").status == 404


@SIZES
def test_what_is_stored_without_a_word_is_encrypted_as_the_bucket_says(
    own: tuple[S3App, Client, Path], data: bytes
) -> None:
    _, s3, folder = own
    bucket = "/bucket"
    put(s3, f"{bucket}/before", b"before")
    put_default(s3, bucket, rule())
    assert_mode(put(s3, f"{bucket}/k", data), S3)
    answer = get(s3, f"{bucket}/k")
    assert answer.body == data
    assert_mode(answer, S3)
    assert_mode(s3.head(f"{bucket}/k"), S3)
    # Who asks for something else gets that, and what was there stays as it is.
    assert_mode(put(s3, f"{bucket}/c", data, customer(ONE)), customer(ONE))
    assert_mode(s3.head(f"{bucket}/before"), {})
    copied = s3.put(f"{bucket}/copy", x_amz_copy_source=f"{bucket}/before")
    assert_mode(copied, S3)
    assert NEEDLE not in at_rest(folder)


def test_a_default_of_aws_kms_has_its_key_and_its_bucket_key(s3: Client, bucket: str) -> None:
    put_default(s3, bucket, rule("aws:kms", "first", "<BucketKeyEnabled>true</BucketKeyEnabled>"))
    expected = {**KMS, f"{SSE}-bucket-key-enabled": "true"}
    assert_mode(put(s3, f"{bucket}/k", SMALL), expected)
    assert_mode(get(s3, f"{bucket}/k"), expected)


def test_a_bucket_may_refuse_customers_keys(s3: Client, bucket: str) -> None:
    blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType>"
    put_default(s3, bucket, f"<Rule>{blocked}</BlockedEncryptionTypes></Rule>")
    answer = s3.request("PUT", f"{bucket}/k", headers=customer(ONE), body=SMALL)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    answer = s3.request("POST", f"{bucket}/k", "uploads", customer(ONE))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert_mode(put(s3, f"{bucket}/k", SMALL), {})


def test_an_endpoint_may_encrypt_everything(tmp_path: Path) -> None:
    made = make_app("file", tmp_path, default_encryption="AES256", inline_threshold=1000)
    s3 = Client(made, OWNER)
    s3.put("/bucket")
    found = parsed("GetBucketEncryption", s3.get("/bucket", "encryption"))
    assert found["ServerSideEncryptionConfiguration"]["Rules"] == [RULES[0]]
    for data in (SMALL, LARGE):
        assert_mode(put(s3, "/bucket/k", data), S3)
        assert get(s3, "/bucket/k").body == data
    made.close()
    assert NEEDLE not in at_rest(tmp_path)


# -- objects


@SIZES
@pytest.mark.parametrize("mode", [name for name in MODES if name != "plain"])
def test_an_object_is_encrypted_at_rest_and_read_as_it_was(
    own: tuple[S3App, Client, Path], mode: str, data: bytes
) -> None:
    _, s3, folder = own
    bucket, headers = "/bucket", MODES[mode]
    stored = put(s3, f"{bucket}/k", data, headers)
    assert_mode(stored, headers)
    for query, start, end in [
        ("", 0, len(data)),
        ("bytes=0-0", 0, 1),
        ("bytes=-5", len(data) - 5, len(data)),
        ("bytes=65530-65545", 65530, 65546),
        ("bytes=7-131080", 7, 131081),
    ]:
        ranged = {"Range": query} if query else {}
        if start >= len(data):
            continue
        answer = s3.request("GET", f"{bucket}/k", headers={**reading(headers), **ranged})
        assert answer.body == data[start:end], query
        assert answer.status == (206 if query else 200)
        assert_mode(answer, headers)
        assert answer.headers["etag"] == stored.headers["etag"]
    head = s3.request("HEAD", f"{bucket}/k", headers=reading(headers))
    assert head.headers["content-length"] == str(len(data))
    assert_mode(head, headers)
    plain_etag = f'"{hashlib.md5(data).hexdigest()}"'
    # AWS: only that of SSE-S3 is the MD5 of the plaintext.
    assert (stored.headers["etag"] == plain_etag) == (mode == "sse-s3")
    assert NEEDLE not in at_rest(folder)
    listed = s3.get(bucket, "list-type=2")
    assert listed.text("Contents/Size") == str(len(data))


def test_an_empty_object_may_be_encrypted_too(s3: Client, bucket: str) -> None:
    for headers in MODES.values():
        put(s3, f"{bucket}/k", b"", headers)
        answer = get(s3, f"{bucket}/k", headers)
        assert (answer.status, answer.body) == (200, b"")
        assert_mode(answer, headers)


def test_attributes_of_an_encrypted_object(s3: Client, bucket: str) -> None:
    asked = {"x-amz-object-attributes": "ETag,ObjectSize"}
    for headers in MODES.values():
        stored = put(s3, f"{bucket}/k", SMALL, headers)
        answer = s3.request("GET", f"{bucket}/k", "attributes", {**asked, **reading(headers)})
        found = parsed("GetObjectAttributes", answer)
        assert found["ObjectSize"] == len(SMALL)
        assert found["ETag"] == stored.headers["etag"].strip('"')
        assert_mode(answer, headers)


@SIZES
def test_a_customers_object_opens_with_its_key_alone(s3: Client, bucket: str, data: bytes) -> None:
    """A116."""
    put(s3, f"{bucket}/k", data, customer(ONE))
    asked = {"x-amz-object-attributes": "ETag"}
    for method, query in [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "attributes"),
        ("GET", "partNumber=1"),
    ]:
        without = s3.request(method, f"{bucket}/k", query, asked)
        assert without.status == 400
        assert not without.body or without.code == "InvalidRequest"
        wrong = s3.request(method, f"{bucket}/k", query, {**asked, **customer(TWO)})
        assert wrong.status == 403
        assert not wrong.body or wrong.code == "AccessDenied"
        for answer in (without, wrong):
            assert NEEDLE not in answer.body
            assert "etag" not in answer.headers
    copy = {"x-amz-copy-source": f"{bucket}/k"}
    answer = s3.request("PUT", f"{bucket}/copy", headers=copy)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    answer = s3.request("PUT", f"{bucket}/copy", headers={**copy, **customer(TWO, SOURCE)})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.head(f"{bucket}/copy").status == 404


def test_a_key_for_what_is_not_encrypted_with_one_is_refused(s3: Client, bucket: str) -> None:
    for headers in ({}, S3, KMS):
        put(s3, f"{bucket}/k", SMALL, headers)
        answer = s3.request("GET", f"{bucket}/k", headers=customer(ONE))
        assert (answer.status, answer.code) == (400, "InvalidRequest")


GOOD = customer(ONE)
CUSTOMER = "x-amz-server-side-encryption-customer-"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({**GOOD, CUSTOMER + "key-MD5": md5_of(TWO)}, "InvalidArgument"),
        ({**GOOD, CUSTOMER + "key-MD5": "no base64"}, "InvalidArgument"),
        ({**GOOD, CUSTOMER + "key": "c2hvcnQ="}, "InvalidArgument"),
        ({**GOOD, CUSTOMER + "key": "no base64!"}, "InvalidArgument"),
        ({**GOOD, CUSTOMER + "key": ""}, "InvalidArgument"),
        ({**GOOD, CUSTOMER + "algorithm": "AES192"}, "InvalidEncryptionAlgorithmError"),
        ({CUSTOMER + "key": GOOD[CUSTOMER + "key"]}, "InvalidArgument"),
        ({CUSTOMER + "algorithm": "AES256"}, "InvalidArgument"),
        ({CUSTOMER + "key-MD5": GOOD[CUSTOMER + "key-MD5"]}, "InvalidArgument"),
        ({**GOOD, **S3}, "InvalidArgument"),
        ({**GOOD, **KMS}, "InvalidArgument"),
        ({SSE: "AES192"}, "InvalidArgument"),
        ({SSE: "aes:kms"}, "InvalidArgument"),
        ({SSE: ""}, "InvalidArgument"),
        ({KEY_ID: "first"}, "InvalidArgument"),
        ({**S3, KEY_ID: "first"}, "InvalidArgument"),
        ({**S3, f"{SSE}-context": "e30="}, "InvalidArgument"),
        ({**KMS, f"{SSE}-context": "e30"}, "InvalidArgument"),
        ({**KMS, f"{SSE}-context": "WzFd"}, "InvalidArgument"),
        ({**KMS, f"{SSE}-context": "W1tb" * 500}, "InvalidArgument"),
        ({**KMS, f"{SSE}-bucket-key-enabled": "perhaps"}, "InvalidArgument"),
        ({**KMS, KEY_ID: "none of ours"}, "KMS.NotFoundException"),
        ({SSE: "aws:kms"}, "KMS.NotFoundException"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_stored(
    s3: Client, bucket: str, headers: dict[str, str], code: str
) -> None:
    for method, query in [("PUT", ""), ("POST", "uploads")]:
        answer = s3.request(method, f"{bucket}/k", query, headers, SMALL if not query else b"")
        assert (answer.status, answer.code) == (400, code)
        assert GOOD[CUSTOMER + "key"].encode() not in answer.body
    assert s3.head(f"{bucket}/k").status == 404
    assert s3.get(bucket, "uploads").texts("Upload") == []


@pytest.mark.parametrize("header", [SSE, KEY_ID])
def test_only_a_write_can_ask_for_encryption(s3: Client, bucket: str, header: str) -> None:
    put(s3, f"{bucket}/k", SMALL)
    for method in ("GET", "HEAD"):
        answer = s3.request(method, f"{bucket}/k", headers={header: "AES256"})
        assert answer.status == 400
        assert not answer.body or answer.code == "InvalidArgument"


def test_a_customers_key_comes_over_https_or_from_this_machine(
    s3: Client, bucket: str, tmp_path: Path
) -> None:
    far = {"REMOTE_ADDR": "192.0.2.7"}
    path = f"{bucket}/k"
    for request in (
        s3.request("PUT", path, headers=GOOD, body=SMALL, environ=far),
        s3.request("POST", path, "uploads", GOOD, environ=far),
        s3.request("GET", bucket + "/none", headers=GOOD, environ=far),
    ):
        assert request.status in (400, 404)
    assert s3.head(path).status == 404
    safe = {**far, "wsgi.url_scheme": "https"}
    assert s3.request("PUT", path, headers=GOOD, body=SMALL, environ=safe).status == 200
    answer = s3.request("GET", path, headers=GOOD, environ=far)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.request("GET", path, headers=GOOD, environ={"REMOTE_ADDR": "::1"}).body == SMALL
    for setting, status in (("https", 400), ("any", 200)):
        made = make_app("memory", tmp_path, customer_keys=setting)
        client = Client(made, OWNER)
        client.put("/bucket")
        near = {"REMOTE_ADDR": "127.0.0.1"}
        answer = client.request("PUT", "/bucket/k", headers=GOOD, body=SMALL, environ=near)
        assert answer.status == status
        made.close()


def test_aws_kms_shows_the_context_to_who_writes(s3: Client, bucket: str) -> None:
    context = base64.b64encode(json.dumps({"team": "blue", "app": "x"}).encode()).decode()
    headers = {**KMS, f"{SSE}-context": context}
    answer = put(s3, f"{bucket}/k", SMALL, headers)
    shown = json.loads(base64.b64decode(answer.headers[f"{SSE}-context"]))
    assert shown == {"team": "blue", "app": "x"}
    assert_mode(get(s3, f"{bucket}/k"), KMS)


# -- copies


@SIZES
@pytest.mark.parametrize("target", MODES)
@pytest.mark.parametrize("source", MODES)
def test_a_copy_may_change_the_encryption(
    s3: Client, bucket: str, far_bucket: str, source: str, target: str, data: bytes
) -> None:
    put(s3, f"{bucket}/k", data, MODES[source])
    key = reading(MODES[source])
    headers = {
        "x-amz-copy-source": f"{bucket}/k",
        **MODES[target],
        **{name.replace("x-amz-", "x-amz-copy-source-", 1): key[name] for name in key},
    }
    for path in (f"{bucket}/copy", f"{far_bucket}/copy"):
        answer = s3.request("PUT", path, headers=headers)
        assert answer.status == 200, answer.body
        assert_mode(answer, MODES[target])
        found = get(s3, path, MODES[target])
        assert found.body == data
        assert_mode(found, MODES[target])
    s3.delete(f"{bucket}/k")
    assert get(s3, f"{bucket}/copy", MODES[target]).body == data


def test_a_copy_shares_bytes_only_within_one_encryption(
    app: S3App, s3: Client, bucket: str
) -> None:
    place = app.store.buckets.get(bucket[1:])

    def blob(key: bytes) -> str:
        content = app.store.objects.get(place, key).content
        assert content is not None
        return content.id

    for name, headers in MODES.items():
        put(s3, f"{bucket}/k", LARGE, headers)
        key = reading(headers)
        source = {name.replace("x-amz-", "x-amz-copy-source-", 1): key[name] for name in key}
        for other, wanted in MODES.items():
            asked = {"x-amz-copy-source": f"{bucket}/k", **source, **wanted}
            s3.request("PUT", f"{bucket}/copy", headers=asked)
            assert (blob(b"copy") == blob(b"k")) == (name == other), (name, other)


def test_an_object_may_be_copied_onto_itself_to_change_its_encryption(
    s3: Client, bucket: str
) -> None:
    put(s3, f"{bucket}/k", LARGE)
    copy = {"x-amz-copy-source": f"{bucket}/k"}
    assert s3.request("PUT", f"{bucket}/k", headers=copy).code == "InvalidRequest"
    assert_mode(s3.request("PUT", f"{bucket}/k", headers={**copy, **S3}), S3)
    answer = get(s3, f"{bucket}/k")
    assert answer.body == LARGE
    assert_mode(answer, S3)


# -- multipart


def begin(s3: Client, path: str, headers: dict[str, str]) -> str:
    answer = s3.request("POST", path, "uploads", headers)
    assert answer.status == 200
    assert_mode(answer, headers)
    return answer.text("UploadId") or ""


def finish(s3: Client, path: str, upload: str, etags: list[str], headers: dict[str, str]) -> Answer:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return s3.request("POST", path, f"uploadId={upload}", headers, body)


PIECES = [b"1" + NEEDLE * 230_000, NEEDLE * 300]


@pytest.mark.parametrize("mode", ["sse-s3", "sse-c", "sse-kms-dsse"])
def test_parts_are_encrypted_as_the_upload_was_begun(
    own: tuple[S3App, Client, Path], mode: str
) -> None:
    _, s3, folder = own
    bucket, path, headers = "/bucket", "/bucket/k", MODES[mode]
    upload = begin(s3, path, headers)
    etags = []
    for number, piece in enumerate(PIECES, 1):
        # Sent twice: what is replaced must never be taken for what replaced it.
        for _ in range(2):
            query = f"partNumber={number}&uploadId={upload}"
            answer = s3.request("PUT", path, query, reading(headers), piece)
            assert answer.status == 200, answer.body
            assert_mode(answer, headers)
        etags.append(answer.headers["etag"])
        assert (etags[-1] == f'"{hashlib.md5(piece).hexdigest()}"') == (mode == "sse-s3")
    put(s3, f"{bucket}/source", PIECES[1], KMS)
    copy = {"x-amz-copy-source": f"{bucket}/source", **reading(headers)}
    answer = s3.request("PUT", path, f"partNumber=2&uploadId={upload}", copy)
    assert_mode(answer, headers)
    etags[1] = answer.text("ETag") or ""
    answer = finish(s3, path, upload, etags, reading(headers))
    assert answer.status == 200, answer.body
    assert_mode(answer, headers)
    whole = b"".join(PIECES)
    assert get(s3, path, headers).body == whole
    edge = len(PIECES[0])
    for start, end in [(edge - 3, edge + 3), (0, 1), (edge, edge + 1), (70_000, edge + 2)]:
        ranged = {**reading(headers), "Range": f"bytes={start}-{end - 1}"}
        assert s3.request("GET", path, headers=ranged).body == whole[start:end]
    second = s3.request("GET", path, "partNumber=2", reading(headers))
    assert (second.status, second.body) == (206, PIECES[1])
    assert NEEDLE not in at_rest(folder)


def test_an_upload_with_a_customers_key_wants_it_with_each_part(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    put(s3, f"{bucket}/source", SMALL)
    copy = {"x-amz-copy-source": f"{bucket}/source"}
    uploads = {"with": begin(s3, path, customer(ONE)), "without": begin(s3, path, S3)}
    for key, upload, status in [
        ({}, "with", 400),
        (customer(TWO), "with", 400),
        (customer(ONE), "with", 200),
        (customer(ONE), "without", 400),
        ({}, "without", 200),
    ]:
        query = f"partNumber=1&uploadId={uploads[upload]}"
        for body, headers in ((SMALL, key), (b"", {**copy, **key})):
            answer = s3.request("PUT", path, query, headers, body)
            assert answer.status == status
            assert status == 200 or answer.code == "InvalidRequest"
        etag = s3.get(path, f"uploadId={uploads[upload]}").text("Part/ETag") or ""
        if status == 400 and etag:
            answer = finish(s3, path, uploads[upload], [etag], key)
            assert (answer.status, answer.code) == (400, "InvalidRequest")
    etag = s3.get(path, f"uploadId={uploads['with']}").text("Part/ETag") or ""
    for key in ({}, customer(TWO)):
        answer = finish(s3, path, uploads["with"], [etag], key)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert finish(s3, path, uploads["with"], [etag], customer(ONE)).status == 200
    assert get(s3, path, customer(ONE)).body == SMALL


def test_a_part_cannot_ask_for_an_encryption_of_its_own(s3: Client, bucket: str) -> None:
    """AWS: x-amz-server-side-encryption header is not supported for this operation."""
    upload = begin(s3, f"{bucket}/k", S3)
    query = f"partNumber=1&uploadId={upload}"
    answer = s3.request("PUT", f"{bucket}/k", query, S3, SMALL)
    assert (answer.status, answer.code) == (400, "InvalidArgument")


# -- forms and presigned URLs


@pytest.mark.parametrize("mode", ["plain", "sse-s3", "sse-c", "sse-kms"])
def test_a_form_may_ask_for_encryption(app: S3App, s3: Client, bucket: str, mode: str) -> None:
    fields = {name.lower(): value for name, value in MODES[mode].items()}
    forms = Forms(app, "", bucket)
    conditions = [{name: value} for name, value in fields.items()]
    answer = forms.post(fields, conditions, file=SMALL)
    assert answer.status == 204, answer.body
    assert_mode(answer, MODES[mode])
    assert get(s3, f"{bucket}/k", MODES[mode]).body == SMALL
    if fields:
        # A field that the policy does not know is no client's wish.
        smuggled = {**forms.fields("other"), **fields}
        answer = forms.send(smuggled, SMALL)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    wrong = forms.post({SSE: "AES512"}, [{SSE: "AES512"}], key="other")
    assert (wrong.status, wrong.code) == (400, "InvalidArgument")
    put_default(s3, bucket, rule())
    assert_mode(forms.post(key="by-default", file=SMALL), S3)


def test_a_presigned_url_may_ask_for_encryption(app: S3App, s3: Client, bucket: str) -> None:
    boto = boto_client(app, endpoint=f"http://{HOST}", signature_version="s3v4")
    names = {"Bucket": bucket[1:], "Key": "k"}
    for mode, wanted in (
        ("sse-s3", {"ServerSideEncryption": "AES256"}),
        ("sse-c", {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": ONE}),
    ):
        url = boto.generate_presigned_url("put_object", {**names, **wanted})
        target = url.partition(HOST)[2]
        answer = Client(app, None).send("PUT", target, {"Host": HOST, **MODES[mode]}, SMALL)
        assert answer.status == 200, answer.body
        assert_mode(answer, MODES[mode])
        assert ONE.decode()[:10] not in url
        assert get(s3, f"{bucket}/k", MODES[mode]).body == SMALL


# -- what is damaged at rest


def blobs_of(folder: Path) -> list[Path]:
    return [
        each for each in (folder / "near").rglob("*") if each.is_file() and each.stat().st_size > 99
    ]


def assert_no_data(answer: Answer) -> None:
    assert (answer.status, answer.code) == (500, "InternalError")
    assert NEEDLE not in answer.body


def test_bytes_that_were_changed_are_an_error(
    own: tuple[S3App, Client, Path], caplog: pytest.LogCaptureFixture
) -> None:
    _, s3, folder = own
    put(s3, "/bucket/k", LARGE, S3)
    (blob,) = blobs_of(folder)
    whole = blob.read_bytes()
    blob.chmod(0o600)
    for spoilt in (
        whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        whole[:-1],
        whole + b"x",
        whole[:24] + whole[24 + 65552 :],
        b"plain" + whole[5:],
    ):
        blob.write_bytes(spoilt)
        with caplog.at_level(logging.ERROR):
            answer = get(s3, "/bucket/k")
        assert_no_data(answer)
    assert "cannot be decrypted" in caplog.text
    # In a segment that is read later the answer breaks off; no byte of it is sent.
    place = len(whole) - 100
    blob.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(OSError, match="segment 4"):
        get(s3, "/bucket/k")
    ranged = s3.request("GET", "/bucket/k", headers={"Range": "bytes=0-99"})
    assert ranged.body == LARGE[:100]
    blob.write_bytes(whole)
    assert get(s3, "/bucket/k").body == LARGE


def test_blobs_that_changed_places_are_an_error(own: tuple[S3App, Client, Path]) -> None:
    app, s3, folder = own
    put(s3, "/bucket/a", LARGE, S3)
    put(s3, "/bucket/b", LARGE, S3)
    one, two = blobs_of(folder)
    swap(one, two)
    for key in "ab":
        assert_no_data(get(s3, f"/bucket/{key}"))
    # Parts have one data key, yet none is another, nor an earlier one of the same number.
    upload = begin(s3, "/bucket/k", S3)
    before = set(blobs_of(folder))
    etags = []
    for number in (1, 1, 2):
        query = f"partNumber={number}&uploadId={upload}"
        answer = s3.request("PUT", "/bucket/k", query, body=PIECES[0])
        etags.append(answer.headers["etag"])
    assert finish(s3, "/bucket/k", upload, etags[1:], {}).status == 200
    bucket = app.store.buckets.get("bucket")
    version = app.store.objects.get(bucket, b"k")
    used = {part.blob for part in app.store.objects.parts(version, 0, 10)}
    parts = {each.name: each for each in set(blobs_of(folder)) - before}
    assert len(parts) == 3
    old = next(each for name, each in parts.items() if name not in used)
    first, second = (parts[name] for name in used)
    for one, two in ((first, second), (old, first), (old, second)):
        swap(one, two)
        # What is broken behind the first part breaks the answer off.
        with pytest.raises((InternalError, AssertionError)):
            assert get(s3, "/bucket/k").status == 200
        swap(one, two)
    assert get(s3, "/bucket/k").body == PIECES[0] * 2


def swap(one: Path, two: Path) -> None:
    first, second = one.read_bytes(), two.read_bytes()
    for path, data in ((one, second), (two, first)):
        path.chmod(0o600)
        path.write_bytes(data)


def test_a_row_that_was_changed_is_an_error(own: tuple[S3App, Client, Path]) -> None:
    app, s3, folder = own
    put(s3, "/bucket/a", SMALL, S3)
    put(s3, "/bucket/b", SMALL, S3)
    put(s3, "/bucket/kms", SMALL, KMS)
    app.close()
    database = sqlite3.connect(folder / "index.db")
    column = "inline, encryption FROM s3kit_versions WHERE key ="
    (a, _), (b, _) = (
        database.execute(f"SELECT {column} ?", (key,)).fetchone() for key in (b"a", b"b")
    )
    database.execute("UPDATE s3kit_versions SET inline = ? WHERE key = ?", (b, b"a"))
    database.execute("UPDATE s3kit_versions SET inline = ? WHERE key = ?", (a, b"b"))
    database.execute(
        "UPDATE s3kit_versions SET encryption = replace(encryption, 'first', 'second') "
        "WHERE key = ?",
        (b"kms",),
    )
    database.commit()
    database.close()
    again = make_app("file", folder, inline_threshold=1000)
    try:
        for key in ("a", "b", "kms"):
            assert_no_data(get(Client(again, OWNER), f"/bucket/{key}"))
    finally:
        again.close()


# -- keys


def test_without_its_master_key_an_object_is_an_error(tmp_path: Path) -> None:
    made = make_app("file", tmp_path)
    put(Client(made, OWNER), "/bucket", b"")
    put(Client(made, OWNER), "/bucket/k", SMALL, S3)
    made.close()
    other_key = base64.b64encode(b"o" * 32).decode()
    for keys, status in (((other_key,), 500), ((), 500), ((other_key, MASTER_KEY), 200)):
        made = make_app("file", tmp_path, master_keys=keys)
        assert get(Client(made, OWNER), "/bucket/k").status == status
        made.close()


def test_what_is_not_configured_is_refused_and_not_ignored(tmp_path: Path) -> None:
    made = make_app("file", tmp_path, master_keys=(), kms_keys={})
    s3 = Client(made, OWNER)
    put(s3, "/bucket", b"")
    for headers, status, code, named in (
        (S3, 400, "InvalidRequest", "AES256"),
        (KMS, 501, "NotImplemented", "aws:kms"),
        (DSSE, 400, "InvalidRequest", "aws:kms:dsse"),
    ):
        answer = s3.request("PUT", "/bucket/k", headers=headers, body=SMALL)
        assert (answer.status, answer.code) == (status, code)
        answer = put_default(s3, "/bucket", rule(named))
        assert (answer.status, answer.code) == (status, code)
    # A customer brings all that it takes.
    put(s3, "/bucket/k", SMALL, customer(ONE))
    assert get(s3, "/bucket/k", customer(ONE)).body == SMALL
    made.close()


def test_without_the_package_that_encrypts_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    for settings in ({}, {"master_keys": (), "default_encryption": "AES256"}):
        with pytest.raises(ConfigError, match=r"pip install 's3kit\[encryption\]'"):
            make_app("file", tmp_path, **settings)
    made = make_app("file", tmp_path, master_keys=(), kms_keys={})
    s3 = Client(made, OWNER)
    put(s3, "/bucket", b"")
    answer = s3.request("PUT", "/bucket/k", headers=customer(ONE), body=SMALL)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert b"s3kit[encryption]" in answer.body
    put(s3, "/bucket/k", SMALL)
    assert get(s3, "/bucket/k").body == SMALL
    made.close()


def test_no_key_is_ever_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A125."""
    with caplog.at_level(logging.DEBUG):
        made = make_app("file", tmp_path, inline_threshold=1000)
        s3 = Client(made, OWNER)
        put(s3, "/bucket", b"")
        answers = []
        for headers in MODES.values():
            for data in (SMALL, LARGE):
                put(s3, "/bucket/k", data, headers)
                answers.append(get(s3, "/bucket/k", headers))
        put(s3, "/bucket/k", SMALL, customer(ONE))
        answers.append(get(s3, "/bucket/k", customer(TWO)))
        answers.append(get(s3, "/bucket/k"))
        place = made.store.buckets.get("bucket")
        version = made.store.objects.get(place, b"k")
        texts = [repr(version), repr(made.config), repr(made.store.encryptions.masters)]
        texts += [repr(made.store.encryptions.provider), *capsys.readouterr()]
        # What signs here is the client's, and says what it likes.
        texts += [each.getMessage() for each in caplog.records if each.name.startswith("s3kit")]
        made.close()
    shown = "".join(texts).encode() + at_rest(tmp_path)
    for answer in answers:
        shown += answer.body + repr(answer.headers).encode()
    for key in (ONE, TWO, base64.b64decode(MASTER_KEY), b"first named key of the tests, 32"):
        for form in (key, base64.b64encode(key), key.hex().encode()):
            assert form not in shown


@pytest.mark.parametrize(
    "values",
    [
        {"master_keys": ("short",)},
        {"master_keys": ("c2hvcnQgYnV0IHNlY3JldA==",)},
        {"kms_keys": {"name": "c2hvcnQgYnV0IHNlY3JldA=="}},
        {"kms_keys": {"name": 5}},
        {"default_encryption": "AES512"},
        {"customer_keys": "never"},
        {"accounts": [{"id": "a", "kms_keys": {"name": "c2hvcnQgYnV0IHNlY3JldA=="}}]},
        {"accounts": [{"id": "a", "kms_keys": ["name"]}]},
    ],
)
def test_a_key_that_cannot_work_is_said_without_showing_it(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        Config(**values)
    assert "c2hv" not in str(raised.value)


def test_a_file_of_keys_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    values = {"index": f"sqlite:///{tmp_path / 'i.db'}", "master_key_file": str(path)}
    for content, said in (
        (None, "cannot be read"),
        ("", "holds no master key"),
        ("# only words\n", "holds no master key"),
        ("c2hvcnQgYnV0IHNlY3JldA==\n", "line 1"),
    ):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=said) as raised:
            S3App(Config(**values))
        assert "c2hv" not in str(raised.value)
    with pytest.raises(ConfigError, match="default_encryption"):
        S3App(replace(Config(index=values["index"]), default_encryption="AES256"))


def test_an_accounts_keys_serve_aws_kms(tmp_path: Path) -> None:
    entry = {
        "id": "tester",
        "keys": [{"access_key": OTHER.access_key, "secret_key": OTHER.secret_key}],
        "kms_keys": {"testkey-1": base64.b64encode(b"t" * 32).decode()},
    }
    made = make_app("memory", tmp_path, accounts=(entry,), kms_keys={})
    s3 = Client(made, OTHER)
    put(s3, f"/{fresh_name()}", b"")
    name = fresh_name()
    put(s3, f"/{name}", b"")
    headers = {SSE: "aws:kms", KEY_ID: "testkey-1"}
    assert_mode(put(s3, f"/{name}/k", SMALL, headers), headers)
    made.close()


# Appends


@pytest.mark.parametrize("mode", list(MODES))
def test_what_is_appended_is_encrypted_as_what_is_there(
    own: tuple[S3App, Client, Path], mode: str
) -> None:
    app, s3, folder = own
    headers = MODES[mode]
    again = {name: value for name, value in headers.items() if name != KEY_ID}
    whole = b""
    for number, size in enumerate((10, 5, 2000, 0, 3000, 1)):
        piece = (b"hidden%d " % number * size)[:size]
        sent = {**(again if number else headers), "x-amz-write-offset-bytes": str(len(whole))}
        answer = put(s3, "/bucket/log", piece, sent)
        whole += piece
        assert_mode(answer, headers)
        assert get(s3, "/bucket/log", headers).body == whole
    part = s3.request("GET", "/bucket/log", headers={**reading(headers), "range": "bytes=8-2020"})
    assert part.body == whole[8:2021]
    assert (b"hidden" in at_rest(folder)) is (mode == "plain")
    assert list(app.store.scrub().run()) == []


@pytest.mark.parametrize("mode", list(MODES))
def test_an_append_that_speaks_of_another_encryption_is_refused(
    s3: Client, bucket: str, mode: str
) -> None:
    path = f"{bucket}/log"
    put(s3, path, b"one", MODES[mode])
    offset = {"x-amz-write-offset-bytes": "3"}
    for name, headers in MODES.items():
        sent = {each: value for each, value in headers.items() if each != KEY_ID}
        answer = s3.request("PUT", path, headers={**sent, **offset}, body=b"x")
        both_customers = name.startswith("sse-c") and mode.startswith("sse-c")
        if name == mode or (name == "plain" and not mode.startswith("sse-c")):
            assert answer.status == 200, (name, answer.body)
            offset["x-amz-write-offset-bytes"] = str(int(offset["x-amz-write-offset-bytes"]) + 1)
        elif both_customers:
            assert (answer.status, answer.code) == (403, "AccessDenied")
        else:
            assert (answer.status, answer.code) == (400, "EncryptionTypeMismatch"), name
    refused = s3.request("PUT", path, headers={**offset, KEY_ID: "first"}, body=b"x")
    assert refused.code == "InvalidRequest"


def test_a_new_bucket_default_does_not_change_how_an_object_grows(s3: Client, bucket: str) -> None:
    path = f"{bucket}/log"
    put(s3, path, b"plain")
    put_default(s3, bucket, rule())
    put(s3, path, b"x" * 2000, {"x-amz-write-offset-bytes": "5"})
    assert SSE not in get(s3, path).headers
    put(s3, f"{bucket}/new", b"a", {"x-amz-write-offset-bytes": "0"})
    answer = put(s3, f"{bucket}/new", b"b", {"x-amz-write-offset-bytes": "1"})
    assert answer.headers[SSE] == "AES256"
    assert get(s3, f"{bucket}/new").body == b"ab"
