"""CreateMultipartUpload, UploadPart, Complete, Abort, ListParts, ListMultipartUploads.

Here the smallest part is 1 byte; ``test_the_smallest_part_is_5_mib`` has the real limit.
"""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from s3kit.app import S3App
from s3kit.operations.multipart import read_parts
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from s3kit.store.multipart import DECLARED_ONLY
from s3kit.wire import checksums
from s3kit.wire.checksums import BodyReader
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed

MIB = 1 << 20
PIECES = [b"first part,", b"second part,", b"third"]
WHOLE = b"".join(PIECES)


@pytest.fixture(scope="session", params=["memory", "file"])
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3App]:
    """Small parts are enough to be a part here."""
    PROFILES["tiny"] = Profile(name="tiny", min_part=1)
    try:
        made = make_app(request.param, tmp_path_factory.mktemp("parts"), profile="tiny")
        yield made
        made.close()
    finally:
        del PROFILES["tiny"]


def begin(client: Client, path: str, **headers: str) -> str:
    answer = client.post(path, b"", "uploads", **headers)
    assert answer.status == 200, answer.body
    return answer.text("UploadId") or ""


def send(
    client: Client, path: str, upload: str, number: int, data: bytes, **headers: str
) -> Answer:
    return client.put(path, data, f"partNumber={number}&uploadId={upload}", **headers)


def document(parts: list[tuple[int, str] | tuple[int, str, str, str]]) -> bytes:
    """A Complete document of (number, etag) or (number, etag, algorithm, value)."""
    rows = []
    for number, etag, *checksum in parts:
        extra = f"<Checksum{checksum[0]}>{checksum[1]}</Checksum{checksum[0]}>" if checksum else ""
        rows.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{extra}</Part>")
    return (
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{''.join(rows)}</CompleteMultipartUpload>"
    ).encode()


def finish(client: Client, path: str, upload: str, parts: Any, **headers: str) -> Answer:
    return client.post(path, document(parts), f"uploadId={upload}", **headers)


def send_all(client: Client, path: str, upload: str, pieces: list[bytes]) -> list[tuple[int, str]]:
    return [
        (number, send(client, path, upload, number, data).headers["etag"])
        for number, data in enumerate(pieces, 1)
    ]


def md5_of(pieces: list[bytes]) -> str:
    digest = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces))
    return f'"{digest.hexdigest()}-{len(pieces)}"'


@pytest.fixture
def path(bucket: str) -> str:
    return f"{bucket}/dir/object"


# -- from begin to end


def test_an_upload_from_its_beginning_to_its_end(s3: Client, bucket: str, path: str) -> None:
    began = s3.post(path, b"", "uploads", Content_Type="text/plain", x_amz_meta_a="b")
    assert (began.status, began.headers["content-type"]) == (200, "application/xml")
    found = parsed("CreateMultipartUpload", began)
    assert (found["Bucket"], found["Key"]) == (bucket[1:], "dir/object")
    upload = found["UploadId"]
    assert quote(upload, safe="") == upload
    parts = []
    for number, data in enumerate(PIECES, 1):
        answer = send(s3, path, upload, number, data)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert answer.headers["content-length"] == "0"
        assert "x-amz-version-id" not in answer.headers
        parts.append((number, answer.headers["etag"]))
    assert s3.get(path).code == "NoSuchKey"
    done = finish(s3, path, upload, parts)
    assert (done.status, done.headers["content-type"]) == (200, "application/xml")
    assert "x-amz-version-id" not in done.headers
    result = parsed("CompleteMultipartUpload", done)
    assert (result["Bucket"], result["Key"]) == (bucket[1:], "dir/object")
    assert result["ETag"] == md5_of(PIECES)
    assert result["Location"] == f"http://s3.test{s3.mount}{path}"
    got = s3.get(path)
    assert got.body == WHOLE
    assert got.headers["etag"] == md5_of(PIECES)
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["x-amz-meta-a"] == "b"
    assert got.headers["content-length"] == str(len(WHOLE))
    assert "x-amz-mp-parts-count" not in got.headers


def test_parts_may_come_in_any_order_and_with_gaps(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    numbers = [10_000, 7, 9]
    etags = {
        number: send(s3, path, upload, number, b"%05d" % number).headers["etag"]
        for number in numbers
    }
    assert finish(s3, path, upload, sorted(etags.items())).status == 200
    assert s3.get(path).body == b"000070000910000"


def test_a_part_that_is_sent_again_is_replaced(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    old = send(s3, path, upload, 1, b"old").headers["etag"]
    new = send(s3, path, upload, 1, b"newer").headers["etag"]
    assert finish(s3, path, upload, [(1, old)]).code == "InvalidPart"
    assert finish(s3, path, upload, [(1, new)]).status == 200
    assert s3.get(path).body == b"newer"


def test_parts_that_are_not_listed_are_left_out(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    assert finish(s3, path, upload, [parts[0], parts[2]]).status == 200
    assert s3.get(path).body == PIECES[0] + PIECES[2]
    assert s3.get(path, Range="bytes=-7").body == (PIECES[0] + PIECES[2])[-7:]


def test_every_range_of_an_object_in_parts(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    finish(s3, path, upload, send_all(s3, path, upload, PIECES))
    for start in range(0, len(WHOLE), 3):
        for end in range(start, len(WHOLE), 4):
            answer = s3.get(path, Range=f"bytes={start}-{end}")
            assert answer.body == WHOLE[start : end + 1]


def test_a_part_of_the_object_can_be_read_by_number(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    etags = [
        (number, send(s3, path, upload, number, data).headers["etag"])
        for number, data in zip((2, 5, 6), PIECES, strict=True)
    ]
    finish(s3, path, upload, etags)
    offset = 0
    for number, data in zip((2, 5, 6), PIECES, strict=True):
        for method in ("GET", "HEAD"):
            answer = s3.request(method, path, f"partNumber={number}")
            assert answer.status == 206
            assert answer.headers["content-length"] == str(len(data))
            last = offset + len(data) - 1
            assert answer.headers["content-range"] == f"bytes {offset}-{last}/{len(WHOLE)}"
            assert answer.headers["x-amz-mp-parts-count"] == "3"
            assert answer.headers["etag"] == md5_of(PIECES)
        assert s3.get(path, f"partNumber={number}").body == data
        offset += len(data)
    answer = s3.get(path, "partNumber=1")
    assert (answer.status, answer.code) == (416, "InvalidPartNumber")
    assert answer.text("ActualPartCount") == "3"


@pytest.mark.parametrize("pieces", [[b""], [b"full", b""]], ids=["alone", "last"])
def test_an_empty_part_has_no_range_of_bytes(s3: Client, path: str, pieces: list[bytes]) -> None:
    upload = begin(s3, path)
    finish(s3, path, upload, send_all(s3, path, upload, pieces))
    whole = b"".join(pieces)
    for method in ("GET", "HEAD"):
        answer = s3.request(method, path, f"partNumber={len(pieces)}")
        assert answer.status == (206 if whole else 200)
        assert answer.body == b""
        assert answer.headers["content-length"] == "0"
        assert "content-range" not in answer.headers
        assert answer.headers["x-amz-mp-parts-count"] == str(len(pieces))
    assert s3.get(path, "partNumber=1").body == pieces[0]
    assert s3.get(path).body == whole


def test_what_was_there_stays_until_the_upload_is_complete(s3: Client, path: str) -> None:
    s3.put(path, b"before")
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    assert s3.get(path).body == b"before"
    finish(s3, path, upload, parts)
    assert s3.get(path).body == WHOLE
    s3.put(path, b"after")
    assert s3.get(path).body == b"after"


def test_tags_acl_and_class_are_given_at_the_beginning(
    s3: Client, anonymous: Client, path: str
) -> None:
    upload = begin(
        s3,
        path,
        x_amz_tagging="a=1",
        x_amz_acl="public-read",
        x_amz_storage_class="STANDARD_IA",
        Content_Encoding="gzip",
    )
    finish(s3, path, upload, send_all(s3, path, upload, PIECES))
    got = anonymous.get(path)
    assert got.body == WHOLE
    assert got.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert s3.head(path).headers["x-amz-tagging-count"] == "1"
    assert got.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x-amz-acl", "nobody", "InvalidArgument"),
        ("x-amz-storage-class", "NONE", "InvalidStorageClass"),
        ("x-amz-tagging", "a=1&a=2", "InvalidArgument"),
        ("x-amz-checksum-algorithm", "CRC16", "InvalidRequest"),
        ("x-amz-meta-long", "x" * 3000, "MetadataTooLarge"),
    ],
)
def test_an_upload_with_bad_attributes_does_not_begin(
    s3: Client, bucket: str, path: str, header: str, value: str, code: str
) -> None:
    answer = s3.request("POST", path, "uploads", {header: value})
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(bucket, "uploads").texts("Upload") == []


# -- what can be wrong with a part


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "1.5", "99999999999999999999"])
def test_a_part_number_is_1_to_10000(s3: Client, path: str, number: str) -> None:
    upload = begin(s3, path)
    answer = s3.put(path, b"x", f"partNumber={number}&uploadId={upload}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "partNumber"
    assert answer.text("ArgumentValue") == (number or None) or number == ""


def test_an_upload_id_belongs_to_one_key_of_one_bucket(s3: Client, bucket: str, path: str) -> None:
    upload = begin(s3, path)
    elsewhere = f"/{fresh_name()}"
    s3.put(elsewhere)
    for wrong in (f"{bucket}/other", f"{elsewhere}/dir/object"):
        assert send(s3, wrong, upload, 1, b"x").code == "NoSuchUpload"
        assert finish(s3, wrong, upload, [(1, '"x"')]).code == "NoSuchUpload"
        assert s3.get(wrong, f"uploadId={upload}").code == "NoSuchUpload"
        assert s3.delete(wrong, f"uploadId={upload}").code == "NoSuchUpload"
    assert send(s3, path, upload, 1, b"x").status == 200


@pytest.mark.parametrize("upload", ["none", "", "%00", "a" * 2000, "%E9"])
def test_an_unknown_upload_is_a_404(s3: Client, path: str, upload: str) -> None:
    for answer in (
        s3.put(path, b"x", f"partNumber=1&uploadId={upload}"),
        s3.get(path, f"uploadId={upload}"),
        s3.delete(path, f"uploadId={upload}"),
        s3.post(path, document([(1, '"x"')]), f"uploadId={upload}"),
    ):
        assert (answer.status, answer.code) == (404, "NoSuchUpload")
    s3.put(path, b"x")
    assert s3.delete(path, f"uploadId={upload}").code == "NoSuchUpload"
    assert s3.get(path).body == b"x"


def test_a_part_that_does_not_verify_is_not_there(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    wrong = base64.b64encode(bytes(16)).decode()
    assert send(s3, path, upload, 1, b"x", Content_MD5=wrong).code == "BadDigest"
    crc = base64.b64encode(bytes(4)).decode()
    assert send(s3, path, upload, 1, b"x", x_amz_checksum_crc32=crc).code == "BadDigest"
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "Content-Length": "100"}
    query = f"partNumber=1&uploadId={upload}"
    cut = s3.request("PUT", path, query, headers, io.BytesIO(b"short"))
    assert cut.code == "IncompleteBody"
    assert s3.get(path, f"uploadId={upload}").texts("Part") == []


@pytest.mark.parametrize(
    "header",
    [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key",
    ],
)
def test_a_part_that_asks_for_encryption_is_refused(s3: Client, path: str, header: str) -> None:
    upload = begin(s3, path)
    for number, size in ((1, 3), (2, 2 * MIB)):
        answer = send(s3, path, upload, number, b"x" * size, **{header: "AES256"})
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.get(path, f"uploadId={upload}").texts("Part") == []
    parts = send_all(s3, path, upload, PIECES)
    assert finish(s3, path, upload, parts, **{header: "AES256"}).code == "InvalidArgument"
    assert finish(s3, path, upload, parts).status == 200


def test_others_may_not_touch_an_upload(
    s3: Client, other: Client, anonymous: Client, path: str
) -> None:
    """A060."""
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    for client in (other, anonymous):
        assert client.post(path, b"", "uploads").code == "AccessDenied"
        assert send(client, path, upload, 1, b"evil").code == "AccessDenied"
        assert finish(client, path, upload, parts).code == "AccessDenied"
        assert client.delete(path, f"uploadId={upload}").code == "AccessDenied"
        assert client.get(path, f"uploadId={upload}").code == "AccessDenied"
    assert finish(s3, path, upload, parts).status == 200
    assert s3.get(path).body == WHOLE


# -- what can be wrong with a Complete


def test_a_wrong_list_completes_nothing(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    wrong = '"00000000000000000000000000000000"'
    for listed, code in (
        ([parts[1], parts[0]], "InvalidPartOrder"),
        ([(1, wrong)], "InvalidPart"),
        ([parts[0], (4, parts[0][1])], "InvalidPart"),
        ([(1, parts[1][1])], "InvalidPart"),
        ([(1, "")], "InvalidPart"),
        ([], "MalformedXML"),
        ([(0, parts[0][1])], "InvalidArgument"),
    ):
        answer = finish(s3, path, upload, listed)
        assert (answer.status, answer.code) == (400, code), listed
    refused = finish(s3, path, upload, [(1, wrong)])
    assert refused.text("UploadId") == upload
    assert refused.text("PartNumber") == "1"
    assert refused.text("ETag") == wrong.strip('"')
    assert s3.get(path).code == "NoSuchKey"
    assert finish(s3, path, upload, parts).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<CompleteMultipartUpload>",
        b"<Wrong><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></Wrong>",
        b"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber><ETag>x</ETag></Part>"
        b"</CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>"
        b"</CompleteMultipartUpload>",
        b'<!DOCTYPE x [<!ENTITY e "1">]><CompleteMultipartUpload><Part><PartNumber>&e;</PartNumber>'
        b"<ETag>x</ETag></Part></CompleteMultipartUpload>",
    ],
)
def test_a_malformed_list_is_refused(s3: Client, path: str, body: bytes) -> None:
    upload = begin(s3, path)
    send(s3, path, upload, 1, b"x")
    answer = s3.post(path, body, f"uploadId={upload}")
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(path, f"uploadId={upload}").texts("Part/PartNumber") == ["1"]


@pytest.mark.parametrize("form", ["{}", '"{}"', "&quot;{}&quot;", "&#34;{}&#34;"])
def test_etags_count_with_quotes_and_without(s3: Client, path: str, form: str) -> None:
    upload = begin(s3, path)
    etag = send(s3, path, upload, 1, b"x").headers["etag"].strip('"')
    assert finish(s3, path, upload, [(1, form.format(etag))]).status == 200


def test_the_smallest_part_is_5_mib(tmp_path: Path) -> None:
    """CS-09: the last part may be of any size."""
    aws = make_app("memory", tmp_path)
    try:
        s3 = Client(aws, OWNER)
        s3.put("/limits")
        upload = begin(s3, "/limits/k")
        parts = send_all(s3, "/limits/k", upload, [bytes(5 * MIB - 1), b"x"])
        answer = finish(s3, "/limits/k", upload, parts)
        assert (answer.status, answer.code) == (400, "EntityTooSmall")
        assert answer.text("ProposedSize") == str(5 * MIB - 1)
        assert answer.text("MinSizeAllowed") == str(5 * MIB)
        assert answer.text("PartNumber") == "1"
        assert answer.text("ETag") == parts[0][1].strip('"')
        whole = (1, send(s3, "/limits/k", upload, 1, bytes(5 * MIB)).headers["etag"])
        assert finish(s3, "/limits/k", upload, [whole, parts[1]]).status == 200
        assert s3.head("/limits/k").headers["content-length"] == str(5 * MIB + 1)
        empty = begin(s3, "/limits/empty")
        parts = send_all(s3, "/limits/empty", empty, [b""])
        assert finish(s3, "/limits/empty", empty, parts).status == 200
        assert s3.get("/limits/empty").headers["content-length"] == "0"
    finally:
        aws.close()


def test_the_declared_size_must_be_the_true_one(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    wrong = finish(s3, path, upload, parts, x_amz_mp_object_size="3")
    assert (wrong.status, wrong.code) == (400, "InvalidRequest")
    none = finish(s3, path, upload, parts, x_amz_mp_object_size="many")
    assert (none.status, none.code) == (400, "InvalidArgument")
    assert finish(s3, path, upload, parts, x_amz_mp_object_size=str(len(WHOLE))).status == 200


# -- again, and at once


def test_a_complete_whose_answer_got_lost_may_be_repeated(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    first = finish(s3, path, upload, parts)
    second = finish(s3, path, upload, parts)
    assert (second.status, second.body) == (200, first.body)
    assert finish(s3, path, upload, parts[:2]).code == "NoSuchUpload"
    s3.put(path, b"newer")
    assert finish(s3, path, upload, parts).status == 200
    assert s3.get(path).body == b"newer"


def test_a_complete_upload_is_over(s3: Client, bucket: str, path: str) -> None:
    upload = begin(s3, path)
    finish(s3, path, upload, send_all(s3, path, upload, PIECES))
    assert send(s3, path, upload, 1, b"late").code == "NoSuchUpload"
    assert s3.get(path, f"uploadId={upload}").code == "NoSuchUpload"
    assert s3.delete(path, f"uploadId={upload}").code == "NoSuchUpload"
    assert s3.get(bucket, "uploads").texts("Upload") == []
    assert s3.get(path).body == WHOLE


def test_completes_at_once_make_one_object(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: finish(s3, path, upload, parts), range(8)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert s3.get(path).body == WHOLE


def test_an_aborted_upload_takes_nothing_more(
    app: S3App, s3: Client, bucket: str, path: str
) -> None:
    """FB-06: its parts are deleted too."""
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    blobs = set(app.store.storages["default"].sweep())
    answer = s3.delete(path, f"uploadId={upload}")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers
    for again in (
        send(s3, path, upload, 4, b"late"),
        finish(s3, path, upload, parts),
        s3.delete(path, f"uploadId={upload}"),
        s3.get(path, f"uploadId={upload}"),
    ):
        assert (again.status, again.code) == (404, "NoSuchUpload")
    assert s3.get(bucket, "uploads").texts("Upload") == []
    app.store.collect_garbage(now=int(time.time() * 1000) + 7_200_000)
    assert len(blobs) - len(set(app.store.storages["default"].sweep())) >= len(PIECES)


# -- conditions


def test_conditions_on_a_complete(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    assert finish(s3, path, upload, parts, If_Match='"x"').code == "NoSuchKey"
    etag = s3.put(path, b"there").headers["etag"]
    taken = finish(s3, path, upload, parts, If_None_Match="*")
    assert (taken.status, taken.code) == (412, "PreconditionFailed")
    assert taken.text("Condition") == "If-None-Match"
    assert finish(s3, path, upload, parts, If_Match='"x"').code == "PreconditionFailed"
    assert finish(s3, path, upload, parts, If_None_Match='"x"').code == "NotImplemented"
    assert s3.get(path).body == b"there"
    assert finish(s3, path, upload, parts, If_Match=etag).status == 200
    assert s3.get(path).body == WHOLE


def test_a_complete_only_where_nothing_is(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    parts = send_all(s3, path, upload, PIECES)
    assert finish(s3, path, upload, parts, If_None_Match="*").status == 200
    # The same request again is a repeat, not a second object.
    assert finish(s3, path, upload, parts, If_None_Match="*").status == 200


# -- checksums

KINDS = [
    ("CRC32", None, "COMPOSITE"),
    ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
    ("CRC32C", None, "COMPOSITE"),
    ("CRC32C", "FULL_OBJECT", "FULL_OBJECT"),
    ("CRC64NVME", None, "FULL_OBJECT"),
    ("SHA1", None, "COMPOSITE"),
    ("SHA256", "COMPOSITE", "COMPOSITE"),
    ("SHA512", None, "COMPOSITE"),
    ("MD5", "COMPOSITE", "COMPOSITE"),
    ("XXHASH64", None, "COMPOSITE"),
    ("XXHASH3", None, "COMPOSITE"),
    ("XXHASH128", None, "COMPOSITE"),
]


def digest(algorithm: str, data: bytes) -> bytes:
    return checksums.digest_of(algorithm, data)


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def expected(algorithm: str, kind: str) -> str:
    if kind == "FULL_OBJECT":
        return text(digest(algorithm, WHOLE))
    joined = b"".join(digest(algorithm, piece) for piece in PIECES)
    return f"{text(digest(algorithm, joined))}-{len(PIECES)}"


@pytest.mark.parametrize(("algorithm", "asked", "kind"), KINDS)
def test_checksums_of_parts_become_the_objects(
    s3: Client, path: str, algorithm: str, asked: str | None, kind: str
) -> None:
    headers = {"x-amz-checksum-algorithm": algorithm}
    if asked is not None:
        headers["x-amz-checksum-type"] = asked
    began = s3.request("POST", path, "uploads", headers)
    assert began.headers["x-amz-checksum-algorithm"] == algorithm
    assert began.headers["x-amz-checksum-type"] == kind
    upload = began.text("UploadId") or ""
    name = f"x-amz-checksum-{algorithm.lower()}"
    parts = []
    for number, data in enumerate(PIECES, 1):
        value = text(digest(algorithm, data))
        query = f"partNumber={number}&uploadId={upload}"
        answer = s3.request("PUT", path, query, {name: value}, data)
        assert answer.headers[name] == value
        parts.append((number, answer.headers["etag"], algorithm, value))
    listed = parsed("ListParts", s3.get(path, f"uploadId={upload}"))
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    assert [part[f"Checksum{algorithm}"] for part in listed["Parts"]] == [p[3] for p in parts]
    uploads = parsed("ListMultipartUploads", s3.get(path[: path.index("/", 1)], "uploads"))
    assert uploads["Uploads"][0]["ChecksumAlgorithm"] == algorithm
    assert uploads["Uploads"][0]["ChecksumType"] == kind
    done = parsed("CompleteMultipartUpload", finish(s3, path, upload, parts))
    assert done[f"Checksum{algorithm}"] == expected(algorithm, kind)
    assert done["ChecksumType"] == kind
    got = s3.get(path, x_amz_checksum_mode="ENABLED")
    assert got.headers[name] == expected(algorithm, kind)
    assert got.headers["x-amz-checksum-type"] == kind
    part = s3.get(path, "partNumber=2", x_amz_checksum_mode="ENABLED")
    assert part.headers[name] == parts[1][3]


@pytest.mark.parametrize(("algorithm", "asked", "kind"), KINDS)
def test_the_whole_objects_checksum_is_verified_when_it_is_given(
    s3: Client, path: str, algorithm: str, asked: str | None, kind: str
) -> None:
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    upload = s3.request("POST", path, "uploads", headers).text("UploadId") or ""
    name = f"x-amz-checksum-{algorithm.lower()}"
    parts = []
    for number, data in enumerate(PIECES, 1):
        value = text(digest(algorithm, data))
        query = f"partNumber={number}&uploadId={upload}"
        answer = s3.request("PUT", path, query, {name: value}, data)
        parts.append((number, answer.headers["etag"], algorithm, value))
    body = document(parts)
    wrong = text(digest(algorithm, b"something else")) + ("-3" if kind == "COMPOSITE" else "")
    refused = s3.request("POST", path, f"uploadId={upload}", {name: wrong}, body)
    assert (refused.status, refused.code) == (400, "BadDigest")
    assert s3.get(path).code == "NoSuchKey"
    right = {name: expected(algorithm, kind)}
    assert s3.request("POST", path, f"uploadId={upload}", right, body).status == 200


def test_a_wrong_checksum_of_a_part_is_refused(s3: Client, path: str) -> None:
    upload = begin(s3, path, x_amz_checksum_algorithm="SHA256")
    value = text(digest("SHA256", b"x"))
    etag = send(s3, path, upload, 1, b"x", x_amz_checksum_sha256=value).headers["etag"]
    wrong = text(digest("SHA256", b"y"))
    answer = finish(s3, path, upload, [(1, etag, "SHA256", wrong)])
    assert (answer.status, answer.code) == (400, "InvalidPart")
    missing = finish(s3, path, upload, [(1, etag)])
    assert (missing.status, missing.code) == (400, "InvalidRequest")
    assert finish(s3, path, upload, [(1, etag, "SHA256", value)]).status == 200


def test_a_part_keeps_to_the_uploads_algorithm(s3: Client, path: str) -> None:
    upload = begin(s3, path, x_amz_checksum_algorithm="CRC32")
    value = text(digest("SHA1", b"x"))
    answer = send(s3, path, upload, 1, b"x", x_amz_checksum_sha1=value)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


@pytest.mark.parametrize("algorithm", sorted(DECLARED_ONLY))
def test_a_part_has_a_newer_checksum_only_if_the_upload_was_begun_with_it(
    s3: Client, path: str, algorithm: str
) -> None:
    upload = begin(s3, path)
    headers = {f"x-amz-checksum-{algorithm.lower()}": text(digest(algorithm, b"x"))}
    answer = s3.request("PUT", path, f"partNumber=1&uploadId={upload}", headers, b"x")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert f"expected checksum Type: null, actual checksum Type: {algorithm.lower()}" in (
        answer.text("Message") or ""
    )


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC64NVME", "COMPOSITE"),
        ("SHA1", "FULL_OBJECT"),
        ("SHA256", "FULL_OBJECT"),
        ("SHA512", "FULL_OBJECT"),
        ("MD5", "FULL_OBJECT"),
        ("XXHASH64", "FULL_OBJECT"),
        ("XXHASH3", "FULL_OBJECT"),
        ("XXHASH128", "FULL_OBJECT"),
        ("CRC32", "HALF"),
        (None, "COMPOSITE"),
    ],
)
def test_a_checksum_type_must_fit_its_algorithm(
    s3: Client, path: str, algorithm: str | None, kind: str
) -> None:
    headers = {"x-amz-checksum-type": kind}
    if algorithm is not None:
        headers["x-amz-checksum-algorithm"] = algorithm
    answer = s3.request("POST", path, "uploads", headers)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_unasked_the_object_has_a_crc64nvme(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    done = finish(s3, path, upload, send_all(s3, path, upload, PIECES))
    found = parsed("CompleteMultipartUpload", done)
    assert found["ChecksumCRC64NVME"] == text(digest("CRC64NVME", WHOLE))
    assert found["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_botocore_uploads_in_parts(app: S3App, mount: str, bucket: str, scheme: str) -> None:
    """Over https its parts carry their checksums in trailers."""
    client = boto_client(app, mount=mount, endpoint=f"{scheme}://s3.test")
    target = {"Bucket": bucket[1:], "Key": "ä/b c"}
    upload = client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, data in enumerate(PIECES, 1):
        answer = client.upload_part(
            **target,
            UploadId=upload,
            PartNumber=number,
            Body=io.BytesIO(data),
            ChecksumAlgorithm="SHA256",
        )
        parts.append(
            {
                "PartNumber": number,
                "ETag": answer["ETag"],
                "ChecksumSHA256": answer["ChecksumSHA256"],
            }
        )
    pages = client.get_paginator("list_parts").paginate(
        **target, UploadId=upload, PaginationConfig={"PageSize": 1}
    )
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 2, 3]
    done = client.complete_multipart_upload(
        **target, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert done["ChecksumSHA256"] == expected("SHA256", "COMPOSITE")
    assert client.get_object(**target)["Body"].read() == WHOLE


# -- ListParts


def test_a_list_of_parts_says_who_and_what(s3: Client, bucket: str, path: str) -> None:
    upload = begin(s3, path, x_amz_storage_class="GLACIER")
    parts = send_all(s3, path, upload, PIECES)
    answer = s3.get(path, f"uploadId={upload}")
    assert answer.headers["content-type"] == "application/xml"
    found = parsed("ListParts", answer)
    assert (found["Bucket"], found["Key"], found["UploadId"]) == (
        *(bucket[1:], "dir/object"),
        upload,
    )
    person = {"ID": OWNER_ID, "DisplayName": "Olive Owner"}
    assert found["Initiator"] == found["Owner"] == person
    assert found["StorageClass"] == "GLACIER"
    assert (found["PartNumberMarker"], found["NextPartNumberMarker"]) == (0, 3)
    assert (found["MaxParts"], found["IsTruncated"]) == (1000, False)
    assert [(part["PartNumber"], part["ETag"]) for part in found["Parts"]] == parts
    assert [part["Size"] for part in found["Parts"]] == [len(piece) for piece in PIECES]
    assert all(abs(part["LastModified"].timestamp() - time.time()) < 60 for part in found["Parts"])


def test_pages_of_parts(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    for number in (2, 3, 5, 7, 11):
        send(s3, path, upload, number, b"x")

    def page(query: str) -> tuple[list[int], bool, int]:
        found = parsed("ListParts", s3.get(path, f"uploadId={upload}&{query}"))
        return (
            [part["PartNumber"] for part in found.get("Parts", [])],
            found["IsTruncated"],
            found["NextPartNumberMarker"],
        )

    assert page("max-parts=2") == ([2, 3], True, 3)
    assert page("max-parts=2&part-number-marker=3") == ([5, 7], True, 7)
    assert page("max-parts=2&part-number-marker=7") == ([11], False, 11)
    assert page("part-number-marker=4") == ([5, 7, 11], False, 11)
    assert page("part-number-marker=11")[:2] == ([], False)
    assert page("max-parts=5") == ([2, 3, 5, 7, 11], False, 11)
    assert page("max-parts=0")[:2] == ([], False)
    assert page("max-parts=100000")[0] == [2, 3, 5, 7, 11]


@pytest.mark.parametrize("query", ["max-parts=x", "max-parts=-1", "part-number-marker=x"])
def test_a_page_of_parts_that_is_none_is_refused(s3: Client, path: str, query: str) -> None:
    upload = begin(s3, path)
    answer = s3.get(path, f"uploadId={upload}&{query}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == query.partition("=")[0]


# -- ListMultipartUploads


def uploads_of(client: Client, bucket: str, query: str = "") -> dict[str, Any]:
    answer = client.get(bucket, "uploads" + (f"&{query}" if query else ""))
    assert answer.status == 200, answer.body
    return parsed("ListMultipartUploads", answer)


def test_a_list_of_uploads_says_who_and_when(s3: Client, bucket: str, path: str) -> None:
    upload = begin(s3, path, x_amz_storage_class="STANDARD_IA")
    found = uploads_of(s3, bucket)
    assert (found["Bucket"], found["MaxUploads"], found["IsTruncated"]) == (
        *(bucket[1:], 1000),
        False,
    )
    assert not {"NextKeyMarker", "NextUploadIdMarker"} & set(found)
    (entry,) = found["Uploads"]
    assert (entry["Key"], entry["UploadId"]) == ("dir/object", upload)
    assert entry["StorageClass"] == "STANDARD_IA"
    assert entry["Owner"] == entry["Initiator"] == {"ID": OWNER_ID, "DisplayName": "Olive Owner"}
    assert abs(entry["Initiated"].timestamp() - time.time()) < 60


def test_pages_of_uploads_by_all_markers(s3: Client, bucket: str) -> None:
    wanted = []
    for key in ("a", "a", "a", "b/1", "b/2", "c"):
        wanted.append((key, begin(s3, f"{bucket}/{key}")))
    whole = [(u["Key"], u["UploadId"]) for u in uploads_of(s3, bucket)["Uploads"]]
    assert [key for key, _ in whole] == [key for key, _ in wanted]
    assert set(whole) == set(wanted)
    # Within a key the oldest comes first.
    assert whole[:3] == wanted[:3]
    for size in (1, 2, 3, 4, 6):
        found: list[tuple[str, str]] = []
        query = f"max-uploads={size}"
        for _ in range(8):
            page = uploads_of(s3, bucket, query)
            found += [(u["Key"], u["UploadId"]) for u in page["Uploads"]]
            if not page["IsTruncated"]:
                break
            assert len(page["Uploads"]) == size
            key = quote(page["NextKeyMarker"], safe="")
            query = (
                f"max-uploads={size}&key-marker={key}&upload-id-marker={page['NextUploadIdMarker']}"
            )
        assert found == whole
    after = uploads_of(s3, bucket, "key-marker=a")
    assert [u["Key"] for u in after["Uploads"]] == ["b/1", "b/2", "c"]
    assert after["KeyMarker"] == "a"
    # Without a key the upload id says nothing.
    assert len(uploads_of(s3, bucket, f"upload-id-marker={whole[0][1]}")["Uploads"]) == 6


def test_uploads_by_prefix_and_delimiter(s3: Client, bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "b/c/3", "d"):
        begin(s3, f"{bucket}/{key}")
    page = uploads_of(s3, bucket, "delimiter=%2F")
    assert [u["Key"] for u in page["Uploads"]] == ["a", "d"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/"]
    assert page["Delimiter"] == "/"
    page = uploads_of(s3, bucket, "delimiter=%2F&prefix=b%2F")
    assert [u["Key"] for u in page["Uploads"]] == ["b/1", "b/2"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/c/"]
    assert page["Prefix"] == "b/"
    page = uploads_of(s3, bucket, "delimiter=%2F&max-uploads=2")
    assert page["IsTruncated"] is True
    assert page["NextKeyMarker"] == "b/"
    page = uploads_of(s3, bucket, "delimiter=%2F&max-uploads=2&key-marker=b%2F")
    assert [u["Key"] for u in page["Uploads"]] == ["d"]


def test_uploads_url_encoded(s3: Client, bucket: str) -> None:
    begin(s3, f"{bucket}/a%20b%01")
    page = uploads_of(s3, bucket, "encoding-type=url")
    assert page["EncodingType"] == "url"
    assert [u["Key"] for u in page["Uploads"]] == ["a%20b%01"]


def test_no_uploads_and_none_asked_for(s3: Client, bucket: str, path: str) -> None:
    assert "Uploads" not in uploads_of(s3, bucket)
    begin(s3, path)
    page = uploads_of(s3, bucket, "max-uploads=0")
    assert (page["MaxUploads"], page["IsTruncated"]) == (0, False)
    assert "Uploads" not in page
    answer = s3.get(bucket, "uploads&max-uploads=x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "max-uploads"


def test_botocores_paginator_finds_every_upload(
    app: S3App, mount: str, s3: Client, bucket: str
) -> None:
    wanted = [begin(s3, f"{bucket}/{key}") for key in ("a%20b", "a%20b", "c", "d%26e", "%C3%A9")]
    client = boto_client(app, mount=mount)
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket[1:], PaginationConfig={"PageSize": 2}
    )
    assert [u["UploadId"] for page in pages for u in page["Uploads"]] == wanted


# -- ten thousand


def test_ten_thousand_parts_and_not_one_more(app: S3App, bucket: str, s3: Client) -> None:
    """10,000 parts in one Complete; 10,001 are no list of parts."""
    path = f"{bucket}/many"
    upload = begin(s3, path)
    there = app.store.buckets.get(bucket[1:])
    row = app.store.multipart.get(there, b"many", upload)

    def put(numbers: range) -> list[tuple[int, str]]:
        return [
            (
                number,
                app.store.multipart.put_part(
                    there, row, number, BodyReader(io.BytesIO(b"%05d" % number), 5)
                ).etag,
            )
            for number in numbers
        ]

    with ThreadPoolExecutor(8) as pool:
        ranges = [range(start, start + 500) for start in range(1, 10_001, 500)]
        parts = [part for found in pool.map(put, ranges) for part in found]
    page = parsed("ListParts", s3.get(path, f"uploadId={upload}"))
    assert (len(page["Parts"]), page["IsTruncated"], page["NextPartNumberMarker"]) == (
        *(1000, True),
        1000,
    )
    over = finish(s3, path, upload, [*parts, (10_001, parts[0][1])])
    assert (over.status, over.code) == (400, "MalformedXML")
    assert finish(s3, path, upload, parts).status == 200
    got = s3.get(path)
    assert got.headers["etag"].endswith('-10000"')
    assert got.body == b"".join(b"%05d" % number for number in range(1, 10_001))
    assert s3.get(path, Range="bytes=24998-25006").body == b"000500105"
    assert s3.get(path, "partNumber=10000").body == b"10000"


def test_an_oversize_list_is_refused_before_it_is_read(s3: Client, path: str) -> None:
    upload = begin(s3, path)
    answer = s3.post(path, b" " * (5 * MIB), f"uploadId={upload}")
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")


def test_ten_thousand_parts_with_several_checksums_fit() -> None:
    rows = (
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{'0' * 32}&quot;</ETag>"
        f"<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumCRC64NVME>{'A' * 11}="
        f"</ChecksumCRC64NVME><ChecksumSHA256>{'A' * 43}=</ChecksumSHA256></Part>"
        for number in range(1, 10_001)
    )
    data = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>".encode()
    assert len(read_parts(data)) == 10_000
