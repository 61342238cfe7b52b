"""boto3 over WSGI: what it sends and hears is what it would over a socket."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from flask import Flask

from s3kit import S3App
from s3kit import mount
from s3kit.config import Config as Settings
from s3kit.testing import boto3_client
from s3kit.testing import route_to_wsgi
from tests.endpoint import ACLS_COUNT

KEY = "AKIATRANSPORT"
SECRET = "a/secret+word"
MIB = 1024 * 1024


class Spy:
    """Passes requests on and keeps their environs; its ``answers`` come first."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[dict[str, Any]] = []
        self.answers: list[Any] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.seen.append(dict(environ))
        app = self.answers.pop(0) if self.answers else self.app
        return app(environ, start_response)


@pytest.fixture(scope="module")
def app() -> Iterator[S3App]:
    made = S3App(Settings(**ACLS_COUNT, keys={KEY: SECRET}, base_hosts=("s3.testserver",)))
    yield made
    made.close()


@pytest.fixture
def spy(app: S3App) -> Spy:
    return Spy(app)


def flask_app(s3: Any) -> Any:
    host = Flask("host")

    @host.get("/")
    def index() -> str:
        return "a page"

    return mount(host.wsgi_app, s3, at="/s3")


@pytest.fixture(params=["bare-http", "bare-https", "flask-http", "flask-https"])
def s3(request: pytest.FixtureRequest, spy: Spy) -> Iterator[Any]:
    """A client of the bare app and of one mounted in Flask, with and without trailers."""
    where, scheme = request.param.split("-")
    wsgi = spy if where == "bare" else flask_app(spy)
    mounted = "" if where == "bare" else "/s3"
    client = boto3_client(wsgi, KEY, SECRET, endpoint_url=f"{scheme}://testserver{mounted}")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    name = f"bucket-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name)
    yield name


@pytest.mark.parametrize("key", ["plain", "a//b/./../c", "ü +%2F?#&=/\U0001f600", " "])
def test_objects_of_any_key_go_in_and_out(s3: Any, bucket: str, key: str) -> None:
    data = os.urandom(100_000)
    put = s3.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"a_b": "1"})
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == data
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert got["Metadata"] == {"a_b": "1"}
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["Key"] == key
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["ContentLength"] == len(data)
    ranged = s3.get_object(Bucket=bucket, Key=key, Range="bytes=5-9")
    assert ranged["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert ranged["Body"].read() == data[5:10]


def test_a_file_is_uploaded_in_parts_by_threads_and_downloaded_again(
    s3: Any, bucket: str, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(12 * MIB))
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(path), bucket, "big", Config=config)
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"')
    s3.download_file(bucket, "big", str(tmp_path / "again"), Config=config)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_errors_are_boto3_s_own_classes(s3: Any, bucket: str) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as refused:
        s3.get_object(Bucket=bucket, Key="not-there")
    assert refused.value.response["Error"]["Key"] == "not-there"
    with pytest.raises(botocore.exceptions.ClientError, match="Not Found"):
        s3.head_object(Bucket=bucket, Key="not-there")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="not-there")
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    etag = s3.head_object(Bucket=bucket, Key="key")["ETag"]
    with pytest.raises(botocore.exceptions.ClientError, match="Not Modified"):
        s3.get_object(Bucket=bucket, Key="key", IfNoneMatch=etag)


def test_the_app_sees_what_a_server_would_hand_it(app: S3App, spy: Spy) -> None:
    s3 = boto3_client(spy, KEY, SECRET, endpoint_url="https://testserver:8443")
    s3.create_bucket(Bucket="environ")
    s3.put_object(Bucket="environ", Key="a b%2F", Body=io.BytesIO(b"data"))
    sent = spy.seen[-1]
    assert sent["RAW_URI"] == sent["REQUEST_URI"] == "/environ/a%20b%252F"
    assert sent["PATH_INFO"] == "/environ/a b%2F"
    assert (sent["HTTP_HOST"], sent["SERVER_PORT"]) == ("testserver:8443", "8443")
    assert (sent["wsgi.url_scheme"], sent["SCRIPT_NAME"]) == ("https", "")
    assert "HTTP_EXPECT" not in sent
    assert sent["HTTP_X_AMZ_CONTENT_SHA256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert sent["HTTP_X_AMZ_TRAILER"] == "x-amz-checksum-crc32"
    assert s3.head_object(Bucket="environ", Key="a b%2F")["ContentLength"] == 4


def test_a_wrong_secret_and_an_anonymous_client_are_refused(app: S3App) -> None:
    boto3_client(app, KEY, SECRET).create_bucket(Bucket="refusing")
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        boto3_client(app, KEY, "wrong").list_buckets()
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        boto3_client(app).list_objects_v2(Bucket="refusing")
    boto3_client(app, KEY, SECRET).put_bucket_acl(Bucket="refusing", ACL="public-read")
    assert boto3_client(app).list_objects_v2(Bucket="refusing")["KeyCount"] == 0


def test_buckets_may_be_named_by_the_host(spy: Spy) -> None:
    config = Config(s3={"addressing_style": "virtual"})
    s3 = boto3_client(spy, KEY, SECRET, endpoint_url="http://s3.testserver", config=config)
    s3.create_bucket(Bucket="by-host")
    s3.put_object(Bucket="by-host", Key="key", Body=b"x")
    assert spy.seen[-1]["HTTP_HOST"] == "by-host.s3.testserver"
    assert spy.seen[-1]["RAW_URI"] == "/key"


def slow_down(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("503 Slow Down", [("Content-Type", "application/xml")])
    return [b"<Error><Code>SlowDown</Code><Message>Wait.</Message></Error>"]


def broken(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Length", "1000")])
    yield b"x" * 10
    raise OSError("the disk is gone")


@pytest.mark.parametrize("failure", [slow_down, broken])
def test_boto3_tries_again_and_sends_the_body_anew(spy: Spy, failure: Any) -> None:
    config = Config(retries={"max_attempts": 3, "mode": "standard"})
    for scheme in ("http", "https"):
        s3 = boto3_client(spy, KEY, SECRET, endpoint_url=f"{scheme}://testserver", config=config)
        s3.create_bucket(Bucket="again")
        spy.answers = [failure]
        answer = s3.put_object(Bucket="again", Key="key", Body=io.BytesIO(b"once more"))
        assert answer["ResponseMetadata"]["RetryAttempts"] == 1
        assert s3.get_object(Bucket="again", Key="key")["Body"].read() == b"once more"


def test_an_answer_that_breaks_off_is_an_error_while_it_is_read(spy: Spy) -> None:
    s3 = boto3_client(spy, KEY, SECRET)
    s3.create_bucket(Bucket="broken")
    spy.answers = [broken]
    body = s3.get_object(Bucket="broken", Key="key")["Body"]
    with pytest.raises(botocore.exceptions.ResponseStreamingError):
        body.read()


def test_an_app_that_raises_shows_its_own_error(spy: Spy) -> None:
    def raising(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise LookupError("in the app")

    s3 = boto3_client(spy, KEY, SECRET)
    spy.answers = [raising]
    with pytest.raises(LookupError, match="in the app"):
        s3.list_buckets()
    spy.answers = [lambda environ, start_response: []]
    with pytest.raises(RuntimeError, match="has not called start_response"):
        s3.list_buckets()


def test_an_app_may_start_late_or_write_and_is_always_closed(spy: Spy) -> None:
    closed = []

    class Late:
        def __init__(self, environ: dict[str, Any], start_response: Any) -> None:
            self.start = start_response

        def __iter__(self) -> Iterator[bytes]:
            yield b""
            write = self.start("200 OK", [("Content-Length", "6")])
            write(b"on")
            yield b"ce "
            yield b"!"

        def close(self) -> None:
            closed.append(True)

    s3 = boto3_client(spy, KEY, SECRET)
    spy.answers = [Late]
    assert s3.get_object(Bucket="late", Key="key")["Body"].read() == b"once !"
    spy.answers = [Late]
    s3.get_object(Bucket="late", Key="key")["Body"].close()
    spy.answers = [Late]
    s3.head_object(Bucket="late", Key="key")
    assert len(closed) == 3


def test_a_resource_and_a_client_of_one_s_own_go_the_same_way(app: S3App) -> None:
    resource = boto3.resource(
        "s3",
        endpoint_url="http://testserver",
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": "path"}),
    )
    route_to_wsgi(resource.meta.client, app)
    bucket = resource.create_bucket(Bucket="by-resource")
    bucket.put_object(Key="key", Body=b"x")
    assert [each.key for each in bucket.objects.all()] == ["key"]


def test_big_bodies_stream_both_ways(tmp_path: Path) -> None:
    size = 48 * MIB
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)
    app = S3App(
        Settings(
            keys={KEY: SECRET},
            index=f"sqlite:///{tmp_path / 'index.db'}",
            storages={"default": str(tmp_path / "blobs")},
            durability="relaxed",
        )
    )
    s3 = boto3_client(app, KEY, SECRET, endpoint_url="https://testserver")
    s3.create_bucket(Bucket="big")
    tracemalloc.start()
    try:
        with source.open("rb") as file:
            s3.put_object(Bucket="big", Key="key", Body=file)
        count = 0
        for block in s3.get_object(Bucket="big", Key="key")["Body"].iter_chunks(MIB):
            count += len(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        app.close()
    assert count == size
    assert peak < 16 * MIB


def test_a_profile_of_the_developer_s_is_not_looked_at(
    app: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    from s3kit.testing import boto3_transport

    boto3_transport._session.cache_clear()
    boto3_client(app, KEY, SECRET).list_buckets()


def test_without_boto3_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from s3kit.testing import boto3_client\n"
        "try: boto3_client(None)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 's3kit[pytest]'" in done.stdout
