"""boto3 over real sockets, on both servers, with and without TLS, and through every door.

Over TLS boto3 sends its checksums as trailers of an aws-chunked body, without it as headers.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.clients.conftest import BASE_HOST
from tests.clients.conftest import KEY
from tests.clients.conftest import Endpoint
from tests.clients.conftest import Program
from tests.clients.doors import Door
from tests.clients.scenario import Agent
from tests.clients.scenario import tell

# urllib3 leaves a socket to the collector where a server under load breaks off a TLS handshake;
# boto3 then tries again, and what it stores and reads is compared all the same.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "XXHASH3")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(client: Any, bucket: str, key: str, **parameters: Any) -> bytes:
    data: bytes = client.get_object(Bucket=bucket, Key=key, **parameters)["Body"].read()
    return data


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def sent_headers(client: Any) -> list[dict[str, str]]:
    """The headers of each request that the client will have sent."""
    seen: list[dict[str, str]] = []

    def note(request: Any, **_: Any) -> None:
        seen.append(
            {
                key.lower(): value.decode() if isinstance(value, bytes) else str(value)
                for key, value in request.headers.items()
            }
        )

    client.meta.events.register("before-send.s3", note)
    return seen


class RegistryBoto3(Agent):
    """boto3 as the registry gives it; the rest of this module has the one that s3fs allows."""

    name = "boto3"
    syncs = False


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tool = RegistryBoto3(door, tmp_path)
    try:
        tell(tool, whole=door.name == "bare")
    finally:
        tool.close()


def test_50_mb_go_up_in_parts_and_come_down_byte_for_byte(
    endpoint: Endpoint, name: str, tmp_path: Path, big_file: Path
) -> None:
    client = endpoint.client()
    client.create_bucket(Bucket=name)
    parts = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    client.upload_file(str(big_file), name, "big", Config=parts)
    head = client.head_object(Bucket=name, Key="big")
    assert head["ContentLength"] == 50_000_000
    assert head["ETag"].endswith('-6"')
    client.copy({"Bucket": name, "Key": "big"}, name, "copy", Config=parts)
    for key in ("big", "copy"):
        client.download_file(name, key, str(tmp_path / key), Config=parts)
        assert sha256(tmp_path / key) == sha256(big_file)
    with big_file.open("rb") as file:
        file.seek(30_000_000)
        expected = file.read(100)
    assert read(client, name, "big", Range="bytes=30000000-30000099") == expected
    assert client.get_object(Bucket=name, Key="big", PartNumber=6)["ContentLength"] == 8_056_960


def test_the_samples_of_cs_10_run(endpoint: Endpoint, name: str, tmp_path: Path) -> None:
    """CS-10, and the creation of a bucket with a LocationConstraint of CS-07."""
    s3 = endpoint.client()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert name in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    (tmp_path / "local-file.txt").write_bytes(b"local")
    s3.upload_file(str(tmp_path / "local-file.txt"), name, "path/to/file.txt")
    s3.put_object(
        Bucket=name, Key="hello.txt", Body=b"Hello, CloudStorage!", ContentType="text/plain"
    )
    s3.upload_fileobj(io.BytesIO(b"2025"), name, "data/2025/a")
    s3.download_file(name, "path/to/file.txt", str(tmp_path / "downloaded.txt"))
    assert (tmp_path / "downloaded.txt").read_bytes() == b"local"
    response = s3.get_object(Bucket=name, Key="hello.txt")
    assert response["Body"].read().decode("utf-8") == "Hello, CloudStorage!"
    assert response["ContentType"] == "text/plain"
    response = s3.list_objects_v2(Bucket=name, Prefix="data/2025/")
    assert [each["Key"] for each in response.get("Contents", [])] == ["data/2025/a"]
    s3.delete_object(Bucket=name, Key="path/to/file.txt")
    paginator = s3.get_paginator("list_objects_v2")
    keys = [
        each["Key"] for page in paginator.paginate(Bucket=name) for each in page.get("Contents", [])
    ]
    assert keys == ["data/2025/a", "hello.txt"]


@pytest.mark.parametrize("signature_version", [None, "s3v4"])
def test_presigned_urls_work_with_curl(
    endpoint: Endpoint, name: str, curl: Program, signature_version: str | None
) -> None:
    """CS-11: ``curl -X PUT -H Content-Type``; boto3 presigns with SigV2 unless told (IU-06)."""
    settings = {"signature_version": signature_version} if signature_version else {}
    s3 = endpoint.client(**settings)
    s3.create_bucket(Bucket=name)
    # Over a megabyte curl asks with "Expect: 100-continue".
    (curl.home / "photo.jpg").write_bytes(os.urandom(2_000_000))
    put = s3.generate_presigned_url(
        "put_object",
        Params={"Bucket": name, "Key": "uploads/user-file.jpg", "ContentType": "image/jpeg"},
        ExpiresIn=600,
    )
    get = s3.generate_presigned_url(
        "get_object", Params={"Bucket": name, "Key": "uploads/user-file.jpg"}, ExpiresIn=3600
    )
    assert get.startswith(f"{endpoint.url}/{name}/uploads/user-file.jpg?")
    curl_common = ["-sS", "-w", "%{http_code}"]
    if endpoint.certfile:
        curl_common += ["--cacert", str(endpoint.certfile)]
    upload = ["-X", "PUT", "-H", "Content-Type: image/jpeg", "--data-binary", "@photo.jpg", put]
    done = curl.run(endpoint, *curl_common, *upload)
    if "X-Amz-Signature" not in put:
        assert signature_version is None
        assert "<Code>InvalidRequest</Code>" in done.stdout
        assert done.stdout.endswith("400")
        return
    assert done.stdout == "200"
    assert curl.run(endpoint, *curl_common, "-o", "down.jpg", get).stdout == "200"
    assert (curl.home / "down.jpg").read_bytes() == (curl.home / "photo.jpg").read_bytes()
    assert s3.head_object(Bucket=name, Key="uploads/user-file.jpg")["ContentType"] == "image/jpeg"
    # The type is signed, so another one is refused.
    other = [each.replace("image/jpeg", "text/html") for each in upload]
    assert "SignatureDoesNotMatch" in curl.run(endpoint, *curl_common, *other).stdout


def test_the_bucket_may_be_in_the_host(
    endpoint: Endpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def look_up_loopback(host: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(host, str) and host.endswith(BASE_HOST):
            host = "127.0.0.1"
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)
    url = endpoint.url.replace("127.0.0.1", BASE_HOST)
    client = endpoint.client(url=url, s3={"addressing_style": "virtual"})
    sent = sent_headers(client)
    urls: list[str] = []
    client.meta.events.register("before-send.s3", lambda request, **_: urls.append(request.url))
    client.create_bucket(Bucket=name)
    for key in ("a key/with ü+%", "plain"):
        client.put_object(Bucket=name, Key=key, Body=b"hello" * 30_000)
        assert read(client, name, key) == b"hello" * 30_000
    assert len(sent) == len(urls) == 5
    assert all(each.split("/")[2].startswith(f"{name}.{BASE_HOST}:") for each in urls)
    listed = client.list_objects_v2(Bucket=name)["Contents"]
    assert [each["Key"] for each in listed] == ["a key/with ü+%", "plain"]
    client.upload_file(
        __file__, name, "parts", Config=TransferConfig(multipart_threshold=1, use_threads=False)
    )
    assert read(client, name, "parts") == Path(__file__).read_bytes()
    # Path style sees the same bucket.
    assert read(endpoint.client(), name, "plain") == b"hello" * 30_000


def test_conditional_puts(endpoint: Endpoint, name: str) -> None:
    client = endpoint.client()
    client.create_bucket(Bucket=name)
    body = b"x" * 100_000
    etag = client.put_object(Bucket=name, Key="k", Body=body, IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=name, Key="k", Body=b"other", IfNoneMatch="*")
    assert refused(error) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=name, Key="k", Body=b"other", IfMatch='"0"')
    assert refused(error) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=name, Key="none", Body=b"other", IfMatch=etag)
    assert refused(error) == (404, "NoSuchKey")
    assert read(client, name, "k") == body
    client.put_object(Bucket=name, Key="k", Body=b"newer", IfMatch=etag)
    assert read(client, name, "k") == b"newer"
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket=name, Key="k", IfMatch=etag)
    assert refused(error) == (412, "PreconditionFailed")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_checksum_algorithm_whole_and_in_parts(
    endpoint: Endpoint, name: str, algorithm: str
) -> None:
    client = endpoint.client()
    sent = sent_headers(client)
    client.create_bucket(Bucket=name)
    field = f"Checksum{algorithm}"
    for key, body in (("small", b"hello"), ("empty", b""), ("larger", os.urandom(300_000))):
        sent.clear()
        made = client.put_object(Bucket=name, Key=key, Body=body, ChecksumAlgorithm=algorithm)
        if endpoint.scheme == "https":
            assert sent[0]["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            assert sent[0]["x-amz-trailer"] == f"x-amz-checksum-{algorithm.lower()}"
        else:
            assert f"x-amz-checksum-{algorithm.lower()}" in sent[0]
        # Reading to the end makes boto3 check the checksum that the server names.
        got = client.get_object(Bucket=name, Key=key, ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert got[field] == made[field]
        assert got["ContentLength"] == len(body)
        assert "ContentEncoding" not in got

    body = os.urandom((5 << 20) + 1000)
    client.upload_fileobj(
        io.BytesIO(body),
        name,
        "parts",
        ExtraArgs={"ChecksumAlgorithm": algorithm},
        Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20),
    )
    got = client.get_object(Bucket=name, Key="parts", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert got["ETag"].endswith('-2"')
    composite = got["ChecksumType"] == "COMPOSITE"
    assert got[field].endswith("-2") == composite
    if algorithm not in ("CRC32", "CRC32C"):
        assert composite == (algorithm != "CRC64NVME")


def test_a_wrong_checksum_stores_nothing(endpoint: Endpoint, name: str) -> None:
    # Boto3 tries BadDigest again.
    client = endpoint.client(retries={"max_attempts": 0})
    client.create_bucket(Bucket=name)
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket=name, Key="k", Body=b"hello", ChecksumCRC32="AAAAAA==")
    assert refused(error) == (400, "BadDigest")
    assert "Contents" not in client.list_objects_v2(Bucket=name)


@pytest.mark.parametrize("signed", [True, False])
def test_the_payload_may_be_signed_or_not(endpoint: Endpoint, name: str, signed: bool) -> None:
    client = endpoint.client(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        s3={"payload_signing_enabled": signed},
    )
    sent = sent_headers(client)
    client.create_bucket(Bucket=name)
    body = os.urandom(200_000)
    client.put_object(Bucket=name, Key="k", Body=body)
    payload = sent[-1]["x-amz-content-sha256"]
    assert payload == (hashlib.sha256(body).hexdigest() if signed else "UNSIGNED-PAYLOAD")
    assert read(client, name, "k") == body


def test_a_refused_upload_is_an_answer_and_no_broken_connection(
    endpoint: Endpoint, name: str
) -> None:
    """Boto3 sends what it has before it reads; 403 must reach it, with 20 MB on their way too."""
    endpoint.client().create_bucket(Bucket=name)
    client = endpoint.client(secret_key="wrong", retries={"max_attempts": 0})
    for size in (100, 100_000, 20_000_000):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=name, Key="k", Body=b"x" * size)
        assert refused(error) == (403, "SignatureDoesNotMatch")
    with pytest.raises(ClientError) as error:
        endpoint.client().put_object(Bucket=f"{name}-none", Key="k", Body=b"x" * 20_000_000)
    assert refused(error) == (404, "NoSuchBucket")


@contextmanager
def failing_line(endpoint: Endpoint, cuts: list[int]) -> Iterator[tuple[str, list[int]]]:
    """A relay that cuts its first connections after so many bytes from the client.

    Yields its URL and the list of bytes that each connection carried.
    """
    carried: list[int] = []
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def shut(*ends: socket.socket) -> None:
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pump(source: socket.socket, target: socket.socket, limit: int | None, at: int) -> None:
        try:
            while block := source.recv(65536):
                carried[at] += len(block) if limit is not None else 0
                target.sendall(block)
                if limit is not None and carried[at] >= limit:
                    break
        except OSError:
            pass
        shut(source, target)

    def relay() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = endpoint.connect()
            limit = cuts.pop(0) if cuts else 1 << 62
            carried.append(0)
            at = len(carried) - 1
            opened.extend((near, far))
            for arguments in ((near, far, limit, at), (far, near, None, at)):
                threads.append(threading.Thread(target=pump, args=arguments))
                threads[-1].start()

    accepting = threading.Thread(target=relay)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", carried
    finally:
        shut(listener)
        listener.close()
        accepting.join()
        shut(*opened)
        for thread in threads:
            thread.join()
        for each in opened:
            each.close()


def test_boto3_tries_again_after_cut_connections(plain: Endpoint, name: str) -> None:
    plain.client().create_bucket(Bucket=name)
    before = plain.blobs()
    body = os.urandom(3_000_000)
    with failing_line(plain, [100_000, 1_500_000]) as (url, carried):
        client = plain.client(url=url, retries={"max_attempts": 4, "mode": "standard"})
        client.put_object(Bucket=name, Key="k", Body=body)
        assert len(carried) == 3
        client.close()
    assert read(plain.client(), name, "k") == body
    assert len(plain.client().list_objects_v2(Bucket=name)["Contents"]) == 1
    # Nothing of the broken attempts stays.
    until = time.monotonic() + 60
    while len(plain.blobs() - before) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(plain.blobs() - before) == 1


def test_keys_and_metadata_of_every_kind_come_back(endpoint: Endpoint, name: str) -> None:
    client = endpoint.client()
    client.create_bucket(Bucket=name)
    keys = ["a//b", "/lead", "a/../b", "./y", "+ %20 %2F", "ü€😀", "x" * 1024, "q?a=b&c", "dir/"]
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=key.encode(), Metadata={"number": "one"})
        assert read(client, name, key) == key.encode()
        assert client.head_object(Bucket=name, Key=key)["Metadata"] == {"number": "one"}
    listed = client.list_objects_v2(Bucket=name)["Contents"]
    assert [each["Key"] for each in listed] == sorted(keys, key=str.encode)


def test_another_region_is_as_good(endpoint: Endpoint, name: str) -> None:
    """IU-12."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        verify=str(endpoint.certfile) if endpoint.certfile else None,
        region_name="us-west-000",
        aws_access_key_id=KEY.access_key,
        aws_secret_access_key=KEY.secret_key,
    )
    try:
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="k", Body=b"hello")
        assert read(client, name, "k") == b"hello"
    finally:
        client.close()


def test_uploads_go_on_after_empty_and_refused_ones(endpoint: Endpoint, name: str) -> None:
    """Boto3 waits to be asked for each body; an answer without being asked confuses it for long."""
    # granian may close a connection after a refused upload without a word: an SDK tries again.
    client = endpoint.client(retries={"max_attempts": 1})
    client.create_bucket(Bucket=name)
    body = b"x" * 10_000
    started = time.monotonic()
    for number in range(5):
        for data in (b"", body):
            made = client.put_object(Bucket=name, Key=f"{number}", Body=io.BytesIO(data))
            assert made["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=name, Key=f"{number}", Body=io.BytesIO(body), IfNoneMatch="*")
        assert refused(error) == (412, "PreconditionFailed")
    assert time.monotonic() - started < 20
