"""What the five services promise their users, one test a behaviour.

The ids are those of the feature list: IU Infinite Uploads, FB Filebase, BB Backblaze B2, CS
CloudStorage. Only what the endpoint itself does is here; wire formats have tests of their own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import operator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from botocore.auth import HmacV1Auth
from botocore.auth import HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3kit.app import S3App
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app

MIB = 1 << 20


def open_url(client: Client, method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
    """Use a presigned URL as curl would, with no other header than the host's."""
    parts = urlsplit(url)
    sent = {"Host": parts.netloc, **{n.replace("_", "-"): v for n, v in headers.items()}}
    return client.send(method, f"{parts.path}?{parts.query}", sent, body)


# -- signatures


@pytest.mark.parametrize("form", ["header", "query"])
def test_only_signature_version_4(s3: Client, bucket: str, form: str) -> None:
    """IU-06, FB-03, BB-03: SigV2 is refused, and the answer says what to use."""
    s3.put(f"{bucket}/k", b"x")
    request = AWSRequest(method="GET", url=f"http://{HOST}{bucket}/k", headers={"Host": HOST})
    request.auth_path = f"{bucket}/k"
    credentials = Credentials(OWNER.access_key, OWNER.secret_key)
    auth: Any = HmacV1Auth(credentials) if form == "header" else HmacV1QueryAuth(credentials, 3600)
    auth.add_auth(request)
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": HOST, **dict(request.headers.items())}
    answer = s3.send("GET", target, headers)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in (answer.text("Message") or "")


@pytest.mark.parametrize("region", ["us-west-000", "us-east-1", "eu-central-1", "auto", "garage"])
def test_the_region_is_a_free_label(app: S3App, bucket: str, region: str) -> None:
    """IU-12, CS-02: whatever region the client is told to sign for, it verifies."""
    client = Client(app, OWNER, region=region)
    assert client.put(f"{bucket}/{region}", b"x").status == 200
    # Unless told otherwise botocore still presigns with SigV2 for us-east-1.
    boto = boto_client(app, region=region, signature_version="s3v4")
    assert boto.get_object(Bucket=bucket[1:], Key=region)["Body"].read() == b"x"
    url = boto.generate_presigned_url("get_object", Params={"Bucket": bucket[1:], "Key": region})
    assert open_url(client, "GET", url).body == b"x"


def test_a_pinned_region_is_the_only_one(tmp_path: Path) -> None:
    """FB-03: an endpoint may insist on us-east-1."""
    app = make_app("memory", tmp_path, pin_region=True)
    try:
        assert Client(app, OWNER).put("/pinned").status == 200
        answer = Client(app, OWNER, region="eu-central-1").get("/pinned")
        assert answer.status in (400, 403)
        assert answer.code == "AuthorizationHeaderMalformed"
        assert answer.text("Region") == "us-east-1"
    finally:
        app.close()


def test_every_request_is_signed(anonymous: Client, bucket: str) -> None:
    """CS-06: nothing of a private bucket is given without a signature."""
    for method, path, query in (
        ("GET", "/", ""),
        ("PUT", "/new-bucket-of-nobody", ""),
        ("HEAD", bucket, ""),
        ("GET", bucket, "list-type=2"),
        ("PUT", f"{bucket}/k", ""),
        ("GET", f"{bucket}/k", ""),
        ("DELETE", f"{bucket}/k", ""),
        ("POST", f"{bucket}/k", "uploads"),
        ("DELETE", bucket, ""),
    ):
        assert anonymous.request(method, path, query).status == 403, (method, path)


# -- addresses


def test_a_bucket_in_the_host_or_in_the_path(app: S3App, s3: Client, bucket: str) -> None:
    """BB-02: both are valid, under the same signature rules."""
    host = f"{bucket[1:]}.{HOST}"
    put = s3.request("PUT", "/a/b", "", {}, b"x", host=host)
    assert put.status == 200
    assert s3.get(f"{bucket}/a/b").body == b"x"
    s3.put(f"{bucket}/c", b"y")
    assert s3.request("GET", "/c", "", host=host).body == b"y"
    assert s3.request("GET", "/", "list-type=2", host=host).texts("Contents/Key") == ["a/b", "c"]
    forged = Client(app, Signer(OWNER.access_key, "wrong"))
    assert forged.request("GET", "/c", "", host=host).code == "SignatureDoesNotMatch"


def test_php_may_put_a_path_into_the_bucket_parameter(s3: Client) -> None:
    """IU-20: as the AWS SDK for PHP sends Bucket='name/1/abc/'; the signature is over that."""
    bucket = fresh_name("iup")
    s3.put(f"/{bucket}")
    path = f"/{bucket}%2F123%2Fxxxxxxxx%2F/new/bucket-relative/file%20name.png"
    assert s3.put(path, b"png").status == 200
    assert s3.get(f"/{bucket}/123/xxxxxxxx/new/bucket-relative/file%20name.png").body == b"png"
    assert s3.get(path).body == b"png"
    assert s3.get(f"/{bucket}").texts("Contents/Key") == [
        "123/xxxxxxxx/new/bucket-relative/file name.png"
    ]


# -- operations


def test_every_call_of_the_small_services(app: S3App) -> None:
    """CS-06, CS-10, BB-04: the calls that all of them have, as boto3's users make them."""
    boto = boto_client(app)
    name = fresh_name("calls")
    boto.create_bucket(Bucket=name)
    assert name in [entry["Name"] for entry in boto.list_buckets()["Buckets"]]
    boto.head_bucket(Bucket=name)
    boto.put_object(Bucket=name, Key="docs/a.txt", Body=b"text", ContentType="text/plain")
    assert boto.head_object(Bucket=name, Key="docs/a.txt")["ContentType"] == "text/plain"
    boto.copy_object(Bucket=name, Key="docs/b.txt", CopySource=f"{name}/docs/a.txt")
    listed = boto.list_objects_v2(Bucket=name, Prefix="docs/")
    assert [entry["Key"] for entry in listed["Contents"]] == ["docs/a.txt", "docs/b.txt"]
    upload = boto.create_multipart_upload(Bucket=name, Key="big")["UploadId"]
    target = {"Bucket": name, "Key": "big", "UploadId": upload}
    first = boto.upload_part(**target, PartNumber=1, Body=bytes(5 * MIB))
    second = boto.upload_part_copy(
        **target, PartNumber=2, CopySource={"Bucket": name, "Key": "docs/a.txt"}
    )
    parts = [
        {"PartNumber": 1, "ETag": first["ETag"]},
        {"PartNumber": 2, "ETag": second["CopyPartResult"]["ETag"]},
    ]
    boto.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert boto.get_object(Bucket=name, Key="big")["Body"].read() == bytes(5 * MIB) + b"text"
    other = boto.create_multipart_upload(Bucket=name, Key="gone")["UploadId"]
    boto.abort_multipart_upload(Bucket=name, Key="gone", UploadId=other)
    for key in ("docs/a.txt", "docs/b.txt", "big"):
        boto.delete_object(Bucket=name, Key=key)
    boto.delete_bucket(Bucket=name)
    with pytest.raises(ClientError) as caught:
        boto.head_bucket(Bucket=name)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_multi_delete_part_copy_and_both_lists_of_uploads(s3: Client, bucket: str) -> None:
    """BB-08."""
    s3.put(f"{bucket}/source", b"x" * 10)
    upload = s3.post(f"{bucket}/k", b"", "uploads").text("UploadId")
    query = f"partNumber=1&uploadId={upload}"
    copied = s3.put(f"{bucket}/k", b"", query, x_amz_copy_source=f"{bucket}/source")
    assert copied.status == 200
    assert s3.get(bucket, "uploads").texts("Upload/Key") == ["k"]
    assert s3.get(f"{bucket}/k", f"uploadId={upload}").texts("Part/Size") == ["10"]
    body = b"<Delete><Object><Key>source</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert s3.post(bucket, body, "delete", Content_MD5=md5).texts("Deleted/Key") == ["source"]


def test_an_aborted_upload_takes_no_more_parts(s3: Client, bucket: str) -> None:
    """FB-06."""
    upload = s3.post(f"{bucket}/k", b"", "uploads").text("UploadId")
    s3.put(f"{bucket}/k", b"x", f"partNumber=1&uploadId={upload}")
    assert s3.delete(f"{bucket}/k", f"uploadId={upload}").status == 204
    late = s3.put(f"{bucket}/k", b"x", f"partNumber=2&uploadId={upload}")
    assert (late.status, late.code) == (404, "NoSuchUpload")


def test_one_operation_can_be_switched_off(tmp_path: Path) -> None:
    """FB-07: CopyObject "temporarily disabled" touches nothing else."""
    PROFILES["no-copy"] = Profile(name="no-copy", disabled=frozenset({"CopyObject"}))
    try:
        app = make_app("memory", tmp_path, profile="no-copy")
    finally:
        del PROFILES["no-copy"]
    try:
        s3 = Client(app, OWNER)
        s3.put("/switched")
        s3.put("/switched/k", b"x")
        answer = s3.put("/switched/copy", b"", x_amz_copy_source="/switched/k")
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert s3.get("/switched").texts("Contents/Key") == ["k"]
    finally:
        app.close()


def test_only_an_empty_bucket_is_deleted(s3: Client, bucket: str) -> None:
    """FB-09, CS-08, CS-24; then as ``aws s3 rb --force`` does it: all objects, then the bucket."""
    for number in range(3):
        s3.put(f"{bucket}/{number}", b"x")
    answer = s3.delete(bucket)
    assert (answer.status, answer.code) == (409, "BucketNotEmpty")
    for key in s3.get(bucket, "list-type=2").texts("Contents/Key"):
        assert s3.delete(f"{bucket}/{key}").status == 204
    assert s3.delete(bucket).status == 204


@pytest.mark.parametrize("query", ["", "list-type=2", "versions"])
def test_a_list_has_at_most_1000_keys(s3: Client, bucket: str, query: str) -> None:
    """FB-10 (tests/operations/test_listing.py puts 1,001 keys)."""
    answer = s3.get(bucket, "&".join(part for part in (query, "max-keys=100000") if part))
    assert answer.text("MaxKeys") == "1000"


def test_every_document_is_utf8_xml(s3: Client, bucket: str) -> None:
    """FB-13."""
    s3.put(f"{bucket}/%C3%A9", b"x", x_amz_tagging="a=1")
    upload = s3.post(f"{bucket}/%C3%A9", b"", "uploads").text("UploadId")
    for path, query in (
        ("/", ""),
        (bucket, ""),
        (bucket, "list-type=2"),
        (bucket, "versions"),
        (bucket, "uploads"),
        (bucket, "location"),
        (bucket, "acl"),
        (f"{bucket}/%C3%A9", "acl"),
        (f"{bucket}/%C3%A9", "tagging"),
        (f"{bucket}/%C3%A9", f"uploadId={upload}"),
    ):
        answer = s3.get(path, query)
        assert answer.status == 200, (path, query)
        assert answer.headers["content-type"] == "application/xml"
        assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
        root = ElementTree.fromstring(answer.body.decode("utf-8"))
        assert root.tag.startswith("{http://s3.amazonaws.com/doc/2006-03-01/}")


def test_presigned_urls_for_both_directions(app: S3App, anonymous: Client, bucket: str) -> None:
    """FB-14, CS-11: a GET for an hour; a PUT with its Content-Type for ten minutes."""
    boto = boto_client(app, signature_version="s3v4")
    target = {"Bucket": bucket[1:], "Key": "report one.pdf"}
    put = boto.generate_presigned_url(
        "put_object", Params={**target, "ContentType": "application/pdf"}, ExpiresIn=600
    )
    assert open_url(anonymous, "PUT", put, b"%PDF", Content_Type="text/plain").status == 403
    done = open_url(anonymous, "PUT", put, b"%PDF", Content_Type="application/pdf")
    assert done.status == 200
    get = boto.generate_presigned_url("get_object", Params=target, ExpiresIn=3600)
    assert urlsplit(get).path == f"{bucket}/report%20one.pdf"
    answer = open_url(anonymous, "GET", get)
    assert (answer.body, answer.headers["content-type"]) == (b"%PDF", "application/pdf")
    assert open_url(anonymous, "GET", get.replace("report", "secret")).status == 403
    assert open_url(anonymous, "PUT", get, b"evil").status == 403


def test_a_location_constraint_is_accepted(app: S3App) -> None:
    """CS-07."""
    boto = boto_client(app, region="eu-central-1")
    name = fresh_name("located")
    boto.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    assert boto.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"


def test_large_files_go_up_in_parts_and_come_down_in_ranges(app: S3App, bucket: str) -> None:
    """CS-09, CS-10: what upload_file and download_file do, as the SDK's transfers do it."""
    boto = boto_client(app, endpoint="https://s3.test")
    target = {"Bucket": bucket[1:], "Key": "large"}
    data = hashlib.shake_256(b"large").digest(11 * MIB)
    upload = boto.create_multipart_upload(**target, ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(data), 5 * MIB), 1):
        block = io.BytesIO(data[start : start + 5 * MIB])
        sent = boto.upload_part(
            **target, UploadId=upload, PartNumber=number, Body=block, ChecksumAlgorithm="CRC32"
        )
        parts.append(
            {"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": sent["ChecksumCRC32"]}
        )
    boto.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    size = boto.head_object(**target)["ContentLength"]
    assert size == len(data)
    step = 4 * MIB
    ranges = [f"bytes={start}-{start + step - 1}" for start in range(0, size, step)]
    found = [boto.get_object(**target, Range=text)["Body"].read() for text in ranges]
    assert b"".join(found) == data


def test_a_list_is_paged_by_prefix(app: S3App, s3: Client, bucket: str) -> None:
    """CS-10: the paginator."""
    for number in range(7):
        s3.put(f"{bucket}/logs/{number}", b"x")
    s3.put(f"{bucket}/other", b"x")
    pages = (
        boto_client(app)
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket[1:], Prefix="logs/", PaginationConfig={"PageSize": 3})
    )
    found = [[entry["Key"] for entry in page["Contents"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 1]
    assert functools.reduce(operator.iadd, found, []) == [f"logs/{number}" for number in range(7)]


# -- errors


def test_a_bad_bucket_name_is_a_400(s3: Client) -> None:
    """CS-18."""
    answer = s3.put("/No_Such_Name")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")


def test_what_belongs_to_others_is_a_403(s3: Client, other: Client, bucket: str) -> None:
    """CS-19."""
    s3.put(f"{bucket}/k", b"x")
    answer = other.get(f"{bucket}/k")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_wrong_credentials_are_a_403(app: S3App, bucket: str) -> None:
    """CS-19."""
    unknown = Client(app, Signer("AKNOBODY", "secret")).get(bucket)
    assert (unknown.status, unknown.code) == (403, "InvalidAccessKeyId")
    wrong = Client(app, Signer(OWNER.access_key, "wrong")).get(bucket)
    assert (wrong.status, wrong.code) == (403, "SignatureDoesNotMatch")
    assert OWNER.secret_key.encode() not in wrong.body


def test_a_missing_key_is_a_404(s3: Client, bucket: str) -> None:
    """CS-21."""
    answer = s3.get(f"{bucket}/missing")
    assert (answer.status, answer.code) == (404, "NoSuchKey")


def test_a_missing_bucket_is_a_404(s3: Client) -> None:
    """CS-22."""
    answer = s3.get(f"/{fresh_name('missing')}")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_an_internal_error_tells_nothing_and_may_be_retried(
    app: S3App, s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CS-26: nothing of it is stored, and the same request then succeeds."""

    def fail(*args: object, **more: object) -> Any:
        raise RuntimeError("the disk at /srv/secret is full")

    with monkeypatch.context() as broken:
        broken.setattr(type(app.store.objects), "commit", fail)
        answer = s3.put(f"{bucket}/k", b"x" * 100_000)
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert s3.get(f"{bucket}/k").code == "NoSuchKey"
    assert s3.put(f"{bucket}/k", b"x" * 100_000).status == 200


def test_every_error_has_code_message_and_request_id(
    app: S3App, s3: Client, other: Client, bucket: str
) -> None:
    """CS-27; ``code`` itself checks RequestId against the header."""
    seen = set()
    for answer in (
        s3.get(f"{bucket}/missing"),
        s3.get("/no-such-bucket-here"),
        s3.put("/Bad_Name"),
        other.get(bucket),
        s3.put(f"{bucket}/k", b"x", Content_MD5="bad"),
        s3.get(bucket, "max-keys=x"),
        s3.post(bucket, b"<x/>", "delete", Content_MD5="x"),
        s3.get(bucket, "website"),
        s3.request("PATCH", bucket),
        Client(app, Signer("AKNOBODY", "x")).get(bucket),
    ):
        assert answer.status >= 400
        assert answer.headers["content-type"] == "application/xml"
        assert answer.code
        assert answer.text("HostId") == answer.headers["x-amz-id-2"]
        seen.add(answer.headers["x-amz-request-id"])
    assert len(seen) == 10


# -- versions


def test_a_profile_may_keep_every_version_from_the_start(tmp_path: Path) -> None:
    """BB-07: as on B2 versioning is always on, and nobody can switch it."""
    app = make_app("memory", tmp_path, profile="backblaze", https="off")
    try:
        s3 = Client(app, OWNER)
        s3.put("/always")
        assert s3.get("/always", "versioning").text("Status") == "Enabled"
        for status in ("Enabled", "Suspended"):
            document = (
                f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
            )
            answer = s3.put("/always", document.encode(), "versioning")
            assert (answer.status, answer.code) == (501, "NotImplemented")
        ids = [s3.put("/always/k", b"x").headers["x-amz-version-id"] for _ in range(5)]
        # BB-09, BB-10: all of it within one second.
        marker = s3.delete("/always/k").headers["x-amz-version-id"]
        assert s3.get("/always/k").status == 404
        listed = s3.get("/always", "versions")
        assert listed.texts("DeleteMarker/VersionId") == [marker]
        assert listed.text("DeleteMarker/IsLatest") == "true"
        assert listed.texts("Version/VersionId") == ids[::-1]
    finally:
        app.close()
