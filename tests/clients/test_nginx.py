"""nginx with ``deploy/nginx.conf`` before ``s3kit serve``: what a proxy can spoil."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.exceptions import ClientError

from s3kit.cli.servers import Listening
from s3kit.cli.servers import gunicorn_settings
from scripts.processes import free_port
from tests.clients.certificate import make_certificate
from tests.clients.conftest import BASE_HOST
from tests.clients.conftest import Endpoint
from tests.clients.doors import CONFIGURATION
from tests.clients.doors import Listener
from tests.clients.doors import NginxDoor
from tests.clients.doors import OpenDoor
from tests.clients.doors import find_nginx
from tests.clients.doors import start_nginx
from tests.clients.doors import stop
from tests.clients.raw import Answer
from tests.clients.raw import Connection
from tests.clients.raw import presigned
from tests.waiting import eventually

KEYS = ["a//b", "/lead", "a/../b", "./y", "+ %20 %2F", "ü€😀", "x" * 1024, "q?a=b&c", "dir/", "a+b"]


@pytest.fixture
def nginx(door_of: OpenDoor) -> NginxDoor:
    found = door_of("nginx")
    assert isinstance(found, NginxDoor)
    return found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[NginxDoor]:
    """One that the test may end."""
    if not find_nginx():
        pytest.skip("no nginx")
    found = NginxDoor(tmp_path)
    yield found
    found.close()


@pytest.fixture
def bucket(nginx: NginxDoor, name: str) -> str:
    nginx.client().create_bucket(Bucket=name)
    return name


def test_keys_and_metadata_arrive_as_they_were_sent(nginx: NginxDoor, bucket: str) -> None:
    """A path in ``proxy_pass`` would write keys anew, and nginx drops names with ``_`` or ``.``."""
    metadata = {"a_b": "c", "d.e": "f", "g-h": "i"}
    client = nginx.client()
    for key in KEYS:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata=metadata)
        got = client.get_object(Bucket=bucket, Key=key)
        assert got["Body"].read() == key.encode()
        assert got["Metadata"] == metadata
    listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in listed] == sorted(KEYS, key=str.encode)


@pytest.mark.parametrize("target", ["/{}/a%2Fb//c", "/{}/./a/../b", "/{}/%41%7e", "/{}/a+b%20"])
def test_no_path_is_tidied(nginx: NginxDoor, bucket: str, target: str) -> None:
    path = target.format(bucket)
    with Connection(nginx.plain) as through, Connection(nginx.endpoint) as straight:
        assert through.request("PUT", path, body=b"hello").status == 200
        assert straight.request("GET", path).body == b"hello"


def test_a_bucket_with_encoded_slashes_is_a_bucket_and_the_start_of_a_key(
    nginx: NginxDoor, bucket: str
) -> None:
    """IU-20: so PHP's SDK sends ``'Bucket' => 'iup-usa/123/xxxxxxxx/'``."""
    path = f"/{bucket}%2F123%2Fxxxxxxxx%2F/new/bucket-relative/filename.png"
    with Connection(nginx.plain) as connection:
        assert connection.request("PUT", path, body=b"hello").status == 200
    listed = nginx.client().list_objects_v2(Bucket=bucket)["Contents"]
    key = "123/xxxxxxxx/new/bucket-relative/filename.png"
    assert [each["Key"] for each in listed] == [key]


def test_a_bucket_may_be_in_the_host_over_tls(nginx: NginxDoor, bucket: str) -> None:
    port = nginx.url.rpartition(":")[2]
    virtual = nginx.client(url=f"https://{BASE_HOST}:{port}", s3={"addressing_style": "virtual"})
    nginx.client().put_object(Bucket=bucket, Key="a b", Body=b"hello")
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"})
    assert url.startswith(f"https://{bucket}.{BASE_HOST}:{port}/a%20b?")
    # curl takes every name below localhost for this machine.
    done = subprocess.run(
        ["curl", "-sSf", "--cacert", str(nginx.certfile), url],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"hello"


# X-Forwarded-*

FORGED = {
    "X-Forwarded-Host": "evil.example.com",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.9",
}


def complete(connection: Connection, client: Any, bucket: str, headers: dict[str, str]) -> Answer:
    """The answer to a CompleteMultipartUpload, which names the object's URL.

    :param headers: sent beside what is signed.
    """
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    request = connection.signed("POST", f"/{bucket}/k?uploadId={upload}", {}, body)
    first, _, rest = request.partition(b"\r\n")
    added = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.send(first + b"\r\n" + added.encode() + rest)
    return connection.answer()


def location(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    found = [each.text for each in ElementTree.fromstring(answer.body) if "Location" in each.tag]
    assert found[0] is not None
    return found[0]


def test_what_nginx_says_of_its_clients_is_believed(nginx: NginxDoor, bucket: str) -> None:
    client = nginx.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    made = client.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    # s3kit itself was spoken to over http.
    assert made["Location"] == f"{nginx.url}/{bucket}/k"


def test_what_clients_say_of_themselves_ends_at_nginx(nginx: NginxDoor, bucket: str) -> None:
    """A030."""
    with Connection(nginx.plain) as connection:
        answer = complete(connection, nginx.client(), bucket, FORGED)
    assert location(answer) == f"http://{nginx.plain.netloc}/{bucket}/k"


def test_nobody_but_nginx_is_believed(nginx: NginxDoor, bucket: str) -> None:
    """A030: from another address than 127.0.0.1, past nginx."""
    with Connection(nginx.endpoint, source="127.0.0.2") as connection:
        answer = complete(connection, nginx.client(), bucket, FORGED)
    assert location(answer) == f"http://{nginx.endpoint.netloc}/{bucket}/k"
    # So that the test can fail: from nginx's own address it counts.
    with Connection(nginx.endpoint) as connection:
        answer = complete(connection, nginx.client(), bucket, {"X-Forwarded-Proto": "https"})
    assert location(answer) == f"https://{nginx.endpoint.netloc}/{bucket}/k"


# A server that takes "_" for "-" would take the client's word for nginx's.
UNDERSCORED = {
    "X_Forwarded_Host": "evil.example.com",
    "X-Forwarded_Host": "evil.example.com",
    "X_Forwarded-Prefix": "/evil",
    "x_forwarded_prefix": "/evil",
    "X_Forwarded_Proto": "https",
    "X-FORWARDED_PROTO": "https",
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded-For": "203.0.113.9",
}


def test_nginx_passes_no_forwarding_header_with_an_underscore_on(tmp_path: Path) -> None:
    """A030, and nothing but a header of nginx's own, whatever is behind it."""
    if not find_nginx():
        pytest.skip("no nginx")
    _, chain, key = make_certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as behind:
        plain = Listener("127.0.0.1", free_port())
        process = start_nginx(
            tmp_path,
            {
                "listen 80 ": f"listen {plain.netloc} ",
                "listen 443 ": f"listen 127.0.0.1:{free_port()} ",
                "127.0.0.1:9000": f"127.0.0.1:{behind.getsockname()[1]}",
                "/etc/ssl/s3.example.com.pem": str(chain),
                "/etc/ssl/s3.example.com.key": str(key),
            },
        )
        try:
            assert eventually(lambda: accepts(plain)), (tmp_path / "nginx.log").read_text()
            forged = {**FORGED, **UNDERSCORED, "x-amz-meta-a_b": "c", "Host": "h"}
            with Connection(plain) as connection:
                lines = "".join(f"{name}: {value}\r\n" for name, value in forged.items())
                connection.send(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
                behind.settimeout(60)
                arrived, _ = behind.accept()
                with arrived:
                    arrived.settimeout(60)
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        block = arrived.recv(65536)
                        assert block, head
                        head += block
        finally:
            stop(process)
    got = [line.split(": ") for line in head.decode().split("\r\n")[1:-2]]
    forwarding = {name: value for name, value in got if "forwarded" in name.lower()}
    assert forwarding == {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    assert ["x-amz-meta-a_b", "c"] in got


def accepts(place: Listener) -> bool:
    try:
        socket.create_connection((place.host, place.port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name_of_door", ["nginx", "behind nginx", "flask", "django"])
def test_an_underscored_forwarding_header_is_none_through_any_door(
    door_of: OpenDoor, name: str, name_of_door: str
) -> None:
    """A030: each of these s3kits believes what 127.0.0.1 says."""
    door = door_of("nginx" if name_of_door == "behind nginx" else name_of_door)
    place: Listener | Endpoint
    if isinstance(door, NginxDoor):
        place = door.plain if name_of_door == "nginx" else door.endpoint
    else:
        place = Listener("localhost", int(door.root_url.rpartition(":")[2]))
    client = door.client()
    client.create_bucket(Bucket=name)
    with Connection(place) as connection:
        answer = complete(connection, client, name, UNDERSCORED)
    assert location(answer) == f"http://{place.netloc}/{name}/k"
    if name_of_door != "nginx":
        # So that the test can fail: with hyphens they count.
        with Connection(place) as connection:
            answer = complete(connection, client, name, {"X-Forwarded-Proto": "https"})
        assert location(answer) == f"https://{place.netloc}/{name}/k"


# Bodies


def test_a_body_flows_through_while_it_is_sent(nginx: NginxDoor, bucket: str) -> None:
    before = nginx.endpoint.blobs()
    body = os.urandom(4 << 20)
    with Connection(nginx.plain) as connection:
        length = str(len(body))
        connection.send(presigned(nginx.plain, "PUT", f"/{bucket}/k", Content_Length=length))
        connection.send(body[: 3 << 20])
        # A buffering nginx would keep all of it to itself until the end.
        assert eventually(lambda: nginx.endpoint.blobs() - before)
        connection.send(body[3 << 20 :])
        assert connection.answer().status == 200
    assert nginx.client().get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_an_upload_that_breaks_off_stores_nothing(nginx: NginxDoor, bucket: str) -> None:
    before = nginx.endpoint.blobs()
    with Connection(nginx.plain) as connection:
        length = str(4 << 20)
        connection.send(presigned(nginx.plain, "PUT", f"/{bucket}/k", Content_Length=length))
        connection.send(bytes(3 << 20))
        assert eventually(lambda: nginx.endpoint.blobs() - before)
    assert eventually(lambda: nginx.endpoint.blobs() <= before)
    assert "Contents" not in nginx.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("size", [0, 100, 100_000, 20_000_000])
def test_a_refused_upload_is_an_answer_and_no_broken_connection(
    nginx: NginxDoor, name: str, size: int
) -> None:
    client = nginx.client(retries={"max_attempts": 0})
    for _ in range(3):
        with pytest.raises(ClientError, match="NoSuchBucket"):
            client.put_object(Bucket=name, Key="k", Body=bytes(size))


def test_the_biggest_headers_that_s3kit_takes_pass_nginx(nginx: NginxDoor, bucket: str) -> None:
    metadata = {"x" * 40 + f"-{number}": "v" * 30 for number in range(25)}
    client = nginx.client()
    key = "ü" * 512
    client.put_object(Bucket=bucket, Key=key, Body=b"hello", Metadata=metadata)
    url = client.generate_presigned_url(
        "get_object",
        Params={"Bucket": bucket, "Key": key, "ResponseContentDisposition": "x" * 1500},
    )
    assert len(url) > 4094
    target = url.removeprefix(nginx.url)
    host = nginx.url.removeprefix("https://")
    with Connection(nginx.plain) as connection:
        connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.answer().body == b"hello"
    assert client.head_object(Bucket=bucket, Key=key)["Metadata"] == metadata


def test_nginx_lets_go_of_an_idle_connection_before_s3kit_does() -> None:
    """An upload that met a connection just being closed would fail: its body is gone."""
    found = re.search(r"keepalive_timeout (\d+)s;", CONFIGURATION.read_text())
    assert found
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = gunicorn_settings(Listening("127.0.0.1", 0, listening, 1, 1))
        os.close(int(settings["bind"].removeprefix("fd://")))
    assert int(found.group(1)) < settings["keepalive"]


# The end


def test_sigterm_lets_what_runs_through_nginx_finish(own: NginxDoor) -> None:
    """s3kit ends first, in the middle of an upload and a download; then nginx, gracefully."""
    client = own.client()
    client.create_bucket(Bucket="first")
    body = os.urandom(16 << 20)
    client.put_object(Bucket="first", Key="there", Body=body)
    with Connection(own.plain) as up, Connection(own.plain, receive_buffer=65536) as down:
        length = str(len(body))
        up.send(presigned(own.plain, "PUT", "/first/k", Content_Length=length))
        up.send(body[: 1 << 20])
        down.send(down.signed("GET", "/first/there"))
        assert down.head().status == 200
        first = down.read(1000)
        # The upload has come through as well, and not only to nginx.
        assert eventually(lambda: len(own.endpoint.blobs()) == 2)
        own.endpoint.process.send_signal(signal.SIGTERM)
        own.process.send_signal(signal.SIGQUIT)
        time.sleep(1)
        assert own.endpoint.process.poll() is None
        assert own.process.poll() is None
        assert first + down.read(len(body) - 1000) == body
        up.send(body[1 << 20 :])
        assert up.answer().status == 200
    assert own.endpoint.process.wait(35) == 0
    assert own.process.wait(35) == 0
    assert "Traceback" not in own.endpoint.errors.read_text()


def test_while_s3kit_is_away_clients_hear_that_they_may_try_again(own: NginxDoor) -> None:
    own.endpoint.process.terminate()
    assert own.endpoint.process.wait(35) == 0
    with pytest.raises(ClientError) as error:
        own.client(retries={"max_attempts": 0}).list_buckets()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
