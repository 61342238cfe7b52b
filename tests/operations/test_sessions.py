"""Temporary keys for one bucket, and the buckets for which SDKs fetch them by themselves."""

from __future__ import annotations

import base64
import hashlib
import io
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from s3kit.testing import LiveServer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed

ZONE = "usw2-az1"


def directory(zone: str = ZONE) -> str:
    """The name of a directory bucket that no other test has."""
    return f"{fresh_name('dir')}--{zone}--x-s3"


def wanted(zone: str = ZONE) -> dict[str, Any]:
    return {
        "Location": {"Type": "AvailabilityZone", "Name": zone},
        "Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"},
    }


def open_session(s3: Client, bucket: str, mode: str | None = None) -> Client:
    """A client with a session's key."""
    headers = {} if mode is None else {"x-amz-create-session-mode": mode}
    answer = s3.request("GET", bucket, "session", headers)
    assert answer.status == 200, answer.body
    key = parsed("CreateSession", answer)["Credentials"]
    signer = Signer(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
    return Client(s3.app, signer, mount=s3.mount)


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status, answer.code


def test_a_session_has_a_key_for_five_minutes(s3: Client, bucket: str) -> None:
    before = time.time()
    answer = s3.get(bucket, "session")
    assert answer.xml.tag == "CreateSessionResult"
    key = parsed("CreateSession", answer)["Credentials"]
    assert set(key) == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert before + 299 <= key["Expiration"].timestamp() <= time.time() + 301
    assert OWNER.secret_key not in answer.body.decode()


def test_it_works_in_its_bucket_alone(s3: Client, bucket: str, far_bucket: str) -> None:
    session = open_session(s3, bucket)
    assert session.put(f"{bucket}/a", b"one").status == 200
    assert session.get(f"{bucket}/a").body == b"one"
    assert session.get(bucket, "list-type=2").texts("Contents/Key") == ["a"]
    s3.put(f"{far_bucket}/a", b"far")
    for refused in (
        session.get(f"{far_bucket}/a"),
        session.put(f"{far_bucket}/b", b""),
        session.put(f"{bucket}/b", b"", x_amz_copy_source=f"{far_bucket}/a"),
        session.get("/"),
        session.put(f"/{fresh_name()}"),
        session.delete(bucket),
        session.get(bucket, "acl"),
        session.put(bucket, b"", "acl", x_amz_acl="public-read"),
        session.put(f"{bucket}/a", b"", "acl", x_amz_acl="public-read"),
        session.get(bucket, "session"),
    ):
        assert code_of(refused) == (403, "AccessDenied")
    names = b"<Delete><Object><Key>a</Key></Object></Delete>"
    answer = session.post(bucket, names, "delete", content_md5=md5(names))
    assert answer.texts("Deleted/Key") == ["a"]


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def test_one_that_only_reads_changes_nothing(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"one")
    reader = open_session(s3, bucket, "ReadOnly")
    assert reader.get(f"{bucket}/a").body == b"one"
    assert reader.head(bucket).status == 200
    names = b"<Delete><Object><Key>a</Key></Object></Delete>"
    assert reader.post(bucket, names, "delete", content_md5=md5(names)).texts("Error/Code") == [
        "AccessDenied"
    ]
    for refused in (
        reader.put(f"{bucket}/a", b"two"),
        reader.delete(f"{bucket}/a"),
        reader.post(f"{bucket}/m", b"", "uploads"),
        reader.put(f"{bucket}/a", b"<Tagging><TagSet/></Tagging>", "tagging"),
        reader.put(f"{bucket}/c", b"", x_amz_copy_source=f"{bucket}/a"),
    ):
        assert code_of(refused) == (403, "AccessDenied")
    assert s3.get(f"{bucket}/a").body == b"one"


def test_a_session_is_opened_by_who_may(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        assert code_of(client.get(bucket, "session")) == (403, "AccessDenied")
    mode = {"x-amz-create-session-mode": "Everything"}
    assert code_of(s3.request("GET", bucket, "session", mode)) == (400, "InvalidArgument")
    sealed = {"x-amz-server-side-encryption": "aws:kms"}
    assert code_of(s3.request("GET", bucket, "session", sealed)) == (400, "InvalidRequest")
    assert s3.get("/no-such-bucket", "session").code == "NoSuchBucket"
    for method in ("PUT", "POST", "DELETE"):
        assert s3.request(method, bucket, "session").code == "MethodNotAllowed"


def test_its_key_is_nothing_without_its_token(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/a", b"one")
    session = open_session(s3, bucket)
    key = session.signer
    assert key is not None
    tries = [
        (Signer(key.access_key, key.secret_key), (403, "InvalidAccessKeyId")),
        (Signer(key.access_key, key.secret_key, "x" + str(key.token)), (400, "InvalidToken")),
        (Signer(key.access_key, key.secret_key, str(key.token)[:-1]), (400, "InvalidToken")),
        (Signer(key.access_key, OWNER.secret_key, key.token), (403, "SignatureDoesNotMatch")),
        (Signer("ASIAOTHER", key.secret_key, key.token), (400, "InvalidToken")),
        (Signer(OWNER.access_key, OWNER.secret_key, key.token), (400, "InvalidToken")),
        (Signer(OTHER.access_key, OTHER.secret_key, key.token), (400, "InvalidToken")),
    ]
    for signer, expected in tries:
        answer = Client(s3.app, signer, mount=s3.mount).get(f"{bucket}/a")
        assert code_of(answer) == expected
        assert b"one" not in answer.body


def test_a_bucket_made_anew_is_another_one(s3: Client, bucket: str) -> None:
    session = open_session(s3, bucket)
    assert session.put(f"{bucket}/a", b"one").status == 200
    s3.delete(f"{bucket}/a")
    s3.delete(bucket)
    s3.put(bucket)
    assert code_of(session.put(f"{bucket}/a", b"one")) == (403, "AccessDenied")


# Directory buckets


def made(inner: str) -> bytes:
    return f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>".encode()


IN_ZONE = f"<Location><Type>AvailabilityZone</Type><Name>{ZONE}</Name></Location>"
DIRECTORY = (
    "<Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy><Type>Directory</Type></Bucket>"
)
DOCUMENT = made(IN_ZONE + DIRECTORY)


def test_a_directory_bucket_says_so_in_its_name_and_its_document(s3: Client) -> None:
    name = f"/{directory()}"
    for body, code in (
        (b"", "InvalidBucketName"),
        (made(""), "InvalidBucketName"),
        (made(IN_ZONE), "InvalidBucketName"),
        (made(DIRECTORY), "InvalidRequest"),
        (made(IN_ZONE.replace(ZONE, "use1-az4") + DIRECTORY), "InvalidRequest"),
        (
            made(IN_ZONE + DIRECTORY + "<LocationConstraint>eu-west-1</LocationConstraint>"),
            "InvalidRequest",
        ),
        (made("<Bucket><Type>Other</Type></Bucket>"), "MalformedXML"),
        (made("<Location><Type>Moon</Type></Location>"), "MalformedXML"),
    ):
        assert code_of(s3.put(name, body)) == (400, code), body
    assert code_of(s3.put(f"/{fresh_name()}", DOCUMENT)) == (400, "InvalidBucketName")
    assert code_of(s3.put(f"/{fresh_name()}", made(IN_ZONE))) == (400, "InvalidRequest")
    for bad in ("--x-s3", "a--x-s3", "a.b--usw2-az1--x-s3", "-a--z--x-s3", "a--z---x-s3"):
        assert s3.put(f"/{bad}", DOCUMENT).code == "InvalidBucketName"
    assert s3.head(name).status == 404
    assert s3.put(name, DOCUMENT).status == 200
    head = s3.head(name)
    assert head.headers["x-amz-bucket-location-name"] == ZONE
    assert parsed("HeadBucket", head)["BucketLocationType"] == "AvailabilityZone"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[str]:
    app = make_app("memory", tmp_path)
    with LiveServer(app) as server:
        yield server.url
    app.close()


def real_boto(url: str, signer: Signer = OWNER, **settings: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-west-2",
        aws_access_key_id=signer.access_key,
        aws_secret_access_key=signer.secret_key,
        config=BotoConfig(
            retries={"total_max_attempts": 1}, s3={"addressing_style": "path", **settings}
        ),
    )


def test_boto3_opens_its_sessions_by_itself(live: str) -> None:
    """With a name that ends in --x-s3 it fetches a session and signs for s3express."""
    boto = real_boto(live)
    seen: list[tuple[str, str, bool]] = []

    def look(request: Any, **more: Any) -> None:
        scope = request.headers.get("Authorization", b"")
        text = scope.decode() if isinstance(scope, bytes) else scope
        seen.append(
            (request.method, text.partition("/aws4_request")[0].rpartition("/")[2],
             "x-amz-s3session-token" in request.headers)
        )  # fmt: skip

    boto.meta.events.register("before-send.s3", look)
    name = directory()
    # On AWS another host makes buckets; with one host for everything a client must be told that
    # there can be no session yet.
    maker = real_boto(live, disable_s3_express_session_auth=True)
    maker.create_bucket(Bucket=name, CreateBucketConfiguration=wanted())
    boto.put_object(Bucket=name, Key="a/b c", Body=b"fast")
    assert seen[-1] == ("PUT", "s3express", True)
    assert boto.get_object(Bucket=name, Key="a/b c")["Body"].read() == b"fast"
    boto.upload_fileobj(io.BytesIO(b"x" * (9 << 20)), name, "big")
    assert boto.head_object(Bucket=name, Key="big")["ContentLength"] == 9 << 20
    boto.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "a/b c"})
    url = boto.generate_presigned_url("get_object", {"Bucket": name, "Key": "copy"})
    assert "X-Amz-S3session-Token" in url
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"fast"
    listed = boto.list_objects_v2(Bucket=name)
    assert [each["Key"] for each in listed["Contents"]] == ["a/b c", "big", "copy"]
    found = boto.list_directory_buckets()
    (mine,) = [each for each in found["Buckets"] if each["Name"] == name]
    assert set(mine) == {"Name", "CreationDate", "BucketRegion", "BucketArn"}
    assert name not in [each["Name"] for each in boto.list_buckets()["Buckets"]]
    head = boto.head_bucket(Bucket=name)
    assert (head["BucketLocationType"], head["BucketLocationName"]) == ("AvailabilityZone", ZONE)
    # Others get no session, and so nothing at all.
    with pytest.raises(ClientError) as refused:
        real_boto(live, OTHER).get_object(Bucket=name, Key="copy")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    names = [{"Key": key} for key in ("a/b c", "big", "copy")]
    boto.delete_objects(Bucket=name, Delete={"Objects": names})
    boto.delete_bucket(Bucket=name)
    assert boto.list_directory_buckets()["Buckets"] == []
    assert maker.list_buckets()["Buckets"] == []


def test_the_list_of_directory_buckets_comes_in_pages(s3: Client, other: Client) -> None:
    boto = boto_client(other.app, OTHER, mount=other.mount)
    before = len(boto.list_buckets()["Buckets"])
    names = sorted(directory() for _ in range(5))
    for name in names:
        other.put(f"/{name}", DOCUMENT)
        other.put(f"/{fresh_name('between')}")
    answer = other.get("/", "max-directory-buckets=2")
    assert answer.xml.tag == "ListAllMyDirectoryBucketsResult"
    found, token = [], None
    while True:
        query = "max-directory-buckets=2"
        page = parsed(
            "ListDirectoryBuckets",
            other.get("/", query if token is None else f"continuation-token={token}&{query}"),
        )
        found += [each["Name"] for each in page["Buckets"]]
        token = page.get("ContinuationToken")
        if token is None:
            break
        assert len(page["Buckets"]) == 2
    assert [name for name in found if name in names] == names
    assert len(boto.list_buckets()["Buckets"]) == before + 5
    listed = boto.list_buckets(MaxBuckets=1)
    assert len(listed["Buckets"]) == 1
    for bad in ("x", "-1", "20000"):
        assert other.get("/", f"max-directory-buckets={bad}").code == "InvalidArgument"
    assert Client(other.app, None).get("/", "max-directory-buckets=2").code == "AccessDenied"
