"""What goes over the wire, byte by byte: one set of tests for both servers."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from s3kit import Config
from s3kit import S3App
from s3kit.cli.servers import listen
from tests.attacks.handmade import Signature
from tests.attacks.handmade import Stream
from tests.attacks.handmade import sign
from tests.cli.conftest import environment
from tests.client import make_environ
from tests.clients.conftest import KEY
from tests.clients.conftest import SERVERS
from tests.clients.conftest import Endpoint
from tests.clients.conftest import StartEndpoint
from tests.clients.raw import Closed
from tests.clients.raw import Connection
from tests.clients.raw import head
from tests.clients.raw import presigned
from tests.waiting import eventually

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@pytest.fixture
def bucket(plain: Endpoint, name: str) -> str:
    """A bucket that holds "hello" under the key ``there``."""
    client = plain.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="there", Body=b"hello")
    return name


def keys(endpoint: Endpoint, bucket: str) -> list[str]:
    listed = endpoint.client().list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in listed.get("Contents", [])]


def goes_on(connection: Connection, bucket: str) -> bool:
    """Whether the connection serves the next request rightly; False where it is closed."""
    try:
        answer = connection.request("GET", f"/{bucket}/there")
    except (Closed, ConnectionError):
        return False
    assert (answer.status, answer.body) == (200, b"hello")
    return True


# Targets


def test_a_bucket_with_encoded_slashes_is_a_bucket_and_the_start_of_a_key(plain: Endpoint) -> None:
    """IU-20: what PHP's SDK sends, signed over the raw path."""
    client = plain.client()
    client.create_bucket(Bucket="iup-usa")
    target = "/iup-usa%2F123%2Fxxxxxxxx%2F/new/file%20name.png"
    with Connection(plain) as connection:
        assert connection.request("PUT", target, body=b"a picture").status == 200
        answer = connection.request("GET", target)
        assert (answer.status, answer.body) == (200, b"a picture")
        altered = connection.signed("PUT", target, body=b"other")
        connection.send(altered.replace(b"file%20name", b"filename"))
        assert connection.answer().code == "SignatureDoesNotMatch"
    assert keys(plain, "iup-usa") == ["123/xxxxxxxx/new/file name.png"]


# Connections


@pytest.mark.parametrize("size", [0, 100, 100_000, 1_000_000])
def test_after_an_early_error_the_connection_goes_on(
    plain: Endpoint, bucket: str, size: int
) -> None:
    body = b"x" * size
    with Connection(plain) as connection:
        answer = connection.request("PUT", f"/{bucket}-none/k", body=body)
        assert (answer.status, answer.code) == (404, "NoSuchBucket")
        assert goes_on(connection, bucket)
        connection.send(connection.signed("PUT", f"/{bucket}/k", body=body, secret_key="wrong"))
        answer = connection.answer()
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        assert goes_on(connection, bucket)
    assert keys(plain, bucket) == ["there"]


def test_a_big_body_that_is_refused_is_never_taken_for_requests(
    plain: Endpoint, bucket: str
) -> None:
    """The refused body is made of requests that would be obeyed if the server lost its place."""
    smuggled = presigned(plain, "DELETE", f"/{bucket}/there")
    body = smuggled * (64_000_000 // len(smuggled))
    broken: list[OSError] = []

    def send() -> None:
        try:
            connection.send(connection.signed("PUT", f"/{bucket}/k", body=body, secret_key="wrong"))
        except OSError as error:
            broken.append(error)

    with Connection(plain) as connection:
        sender = threading.Thread(target=send)
        sender.start()
        answer = connection.answer()
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        sender.join(90)
        assert not sender.is_alive()
        if broken:
            assert connection.rest() == b""
        else:
            goes_on(connection, bucket)
    assert keys(plain, bucket) == ["there"]


def test_a_client_that_sends_all_of_a_refused_body_first_sees_the_answer(
    endpoint_of: Callable[..., Endpoint], name: str
) -> None:
    """gunicorn alone closes after 64 KiB; the answer is then lost on the way."""
    endpoint = endpoint_of("gunicorn", "http")
    with Connection(endpoint) as connection:
        connection.send(connection.signed("PUT", f"/{name}-none/k", body=bytes(32_000_000)))
        answer = connection.answer()
        assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_two_requests_sent_at_once_get_two_answers_in_order(plain: Endpoint, bucket: str) -> None:
    with Connection(plain) as connection:
        put = connection.signed("PUT", f"/{bucket}/k", body=b"first")
        connection.send(put + connection.signed("GET", f"/{bucket}/k"))
        assert connection.answer().status == 200
        assert connection.answer().body == b"first"


def test_a_client_that_wants_the_connection_closed_sees_it_closed(
    plain: Endpoint, bucket: str
) -> None:
    with Connection(plain) as connection:
        connection.send(connection.signed("GET", f"/{bucket}/there", {"Connection": "close"}))
        assert connection.answer().body == b"hello"
        assert connection.rest() == b""


# Expect: 100-continue


def test_a_body_is_asked_for_when_it_is_wanted(plain: Endpoint, bucket: str) -> None:
    with Connection(plain) as connection:
        for _ in range(2):
            request = connection.signed("PUT", f"/{bucket}/k", {"Expect": "100-continue"}, b"hello")
            connection.send(request[:-5])
            interim = connection.head()
            assert (interim.status, interim.headers) == (100, [])
            connection.send(b"hello")
            assert connection.answer().status == 200
        assert connection.request("GET", f"/{bucket}/k").body == b"hello"


@pytest.mark.parametrize("size", [100_000, 5_000_000_000])
def test_a_body_that_is_refused_is_not_asked_for(plain: Endpoint, bucket: str, size: int) -> None:
    with Connection(plain) as connection:
        signed = sign(
            "PUT",
            f"/{bucket}/k",
            {"Host": plain.netloc, "Expect": "100-continue", "If-Match": '"none"'},
            payload="UNSIGNED-PAYLOAD",
            how=Signature(KEY),
        )
        connection.send(head("PUT", f"/{bucket}/k", {**signed, "Content-Length": str(size)}))
        answer = connection.answer()
        assert (answer.status, answer.code, answer.interim) == (404, "NoSuchKey", [])
        # Nobody can know whether the client sends its body now.
        assert answer.header("connection") == "close"
        assert connection.rest() == b""


def test_an_empty_body_is_asked_for_or_the_connection_closes(plain: Endpoint, bucket: str) -> None:
    """botocore misreads every later answer on a connection where neither happened."""
    with Connection(plain) as connection:
        answer = connection.request("PUT", f"/{bucket}/k", {"Expect": "100-continue"})
        assert answer.status == 200
        assert answer.interim == [100] or answer.header("connection") == "close"
    assert keys(plain, bucket) == ["k", "there"]


@pytest.mark.parametrize("expectation", ["", "200", "100-continue, x"])
def test_an_expectation_that_s3_does_not_know_is_passed_over(
    plain: Endpoint, bucket: str, expectation: str
) -> None:
    with Connection(plain) as connection:
        for _ in range(2):
            answer = connection.request("PUT", f"/{bucket}/k", {"Expect": expectation}, b"hello")
            assert (answer.status, answer.interim) == (200, [])
        assert connection.request("GET", f"/{bucket}/k").body == b"hello"


# Bodies that are not what was announced


def plain_upload(endpoint: Endpoint, target: str, size: int) -> bytes:
    return presigned(endpoint, "PUT", target, Content_Length=str(size)) + bytes(size)


def chunked_upload(endpoint: Endpoint, target: str, size: int) -> bytes:
    pieces = [bytes(65536)] * (size // 65536)
    stream = Stream(target, pieces, headers={"Host": endpoint.netloc}, how=Signature(KEY))
    return (
        head("PUT", target, {**stream.headers, "Content-Length": str(len(stream.body))})
        + stream.body
    )


Upload = Callable[[Endpoint, str, int], bytes]


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 16 << 20])
@pytest.mark.parametrize("upload", [plain_upload, chunked_upload])
@pytest.mark.parametrize("whole_end", [True, False])
def test_an_upload_that_breaks_off_stores_nothing(
    plain: Endpoint, bucket: str, upload: Upload, size: int, whole_end: bool
) -> None:
    before = plain.blobs()
    data = upload(plain, f"/{bucket}/k", size)
    with Connection(plain) as connection:
        connection.send(data[: len(data) // 2])
        if not whole_end:
            # The client still listens.
            connection.socket.shutdown(socket.SHUT_WR)
            try:
                answer = connection.answer()
                assert (answer.status, answer.code) == (400, "IncompleteBody")
            except Closed as closed:
                assert closed.args in ((), (b"",))
    assert eventually(lambda: plain.blobs() <= before)
    assert keys(plain, bucket) == ["there"]


def test_bytes_beyond_the_announced_length_are_never_stored(plain: Endpoint, bucket: str) -> None:
    with Connection(plain) as connection:
        connection.send(presigned(plain, "PUT", f"/{bucket}/k", Content_Length="5"))
        connection.send(b"hello and more than was announced\r\n\r\n")
        assert connection.answer().status == 200
        try:
            assert 400 <= connection.answer().status < 500
        except Closed:
            pass
    assert plain.client().get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


def test_chunks_beyond_the_announced_length_store_nothing(plain: Endpoint, bucket: str) -> None:
    stream = Stream(
        f"/{bucket}/k",
        [bytes(65536), b"more"],
        headers={"Host": plain.netloc},
        declared=65536,
        how=Signature(KEY),
    )
    sent = {**stream.headers, "Content-Length": str(len(stream.body))}
    with Connection(plain) as connection:
        connection.send(head("PUT", f"/{bucket}/k", sent) + stream.body)
        assert connection.answer().status == 400
        goes_on(connection, bucket)
    assert keys(plain, bucket) == ["there"]


# Slow clients


def run_gc(endpoint: Endpoint, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "s3kit", "gc", "--data", "data", "--orphans", *options],
        cwd=endpoint.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_a_slow_get_of_three_parts_ends_whole_after_overwrite_delete_and_gc(
    plain: Endpoint, bucket: str
) -> None:
    client = plain.client()
    before = plain.blobs()
    size = 5 << 20
    parts = [os.urandom(size) for _ in range(3)]
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    found = [
        client.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=part)
        for number, part in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(
        Bucket=bucket,
        Key="big",
        UploadId=upload,
        MultipartUpload={
            "Parts": [
                {"PartNumber": number, "ETag": each["ETag"]} for number, each in enumerate(found, 1)
            ]
        },
    )
    assert len(plain.blobs() - before) == 3
    with Connection(plain, receive_buffer=65536) as slow:
        slow.send(slow.signed("GET", f"/{bucket}/big"))
        answer = slow.head()
        assert answer.header("content-length") == str(3 * size)
        start = slow.read(100_000)
        client.put_object(Bucket=bucket, Key="big", Body=b"x" * 200_000)
        client.delete_object(Bucket=bucket, Key="big")
        run_gc(plain)
        assert keys(plain, bucket) == ["there"]
        whole = hashlib.sha256(start)
        whole.update(slow.read(3 * size - len(start)))
        assert whole.digest() == hashlib.sha256(b"".join(parts)).digest()
    # After the grace period nothing of it is left.
    run_gc(plain, "--grace", "0")
    assert plain.blobs() <= before


@pytest.mark.parametrize("server", SERVERS)
def test_32_stalled_uploads_and_a_get_still_answers(start: StartEndpoint, server: str) -> None:
    endpoint = start(server, "--workers", "1")
    client = endpoint.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="there", Body=b"hello")
    stalled = [Connection(endpoint) for _ in range(32)]
    try:
        for number, each in enumerate(stalled):
            upload = chunked_upload if number % 2 else plain_upload
            # Stalled within the inline threshold, or with a blob begun.
            each.send(
                upload(endpoint, f"/first/{number}", 1 << 20)[: 20_000 if number % 3 else 500_000]
            )
        time.sleep(0.5)
        started = time.monotonic()
        with Connection(endpoint) as connection:
            for _ in range(5):
                assert goes_on(connection, "first")
            assert connection.request("PUT", "/first/k", body=b"x" * 100_000).status == 200
        assert time.monotonic() - started < 20
    finally:
        for each in stalled:
            each.socket.close()
    assert eventually(lambda: len(endpoint.blobs()) == 1)
    assert keys(endpoint, "first") == ["k", "there"]


# The end


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_lets_an_upload_and_a_download_finish(start: StartEndpoint, server: str) -> None:
    endpoint = start(server, "--workers", "1")
    client = endpoint.client()
    client.create_bucket(Bucket="first")
    body = os.urandom(16 << 20)
    client.put_object(Bucket="first", Key="there", Body=body)
    # An idle connection must not hold the end up.
    with Connection(endpoint) as up, Connection(endpoint, receive_buffer=65536) as down:
        with Connection(endpoint) as idle:
            assert idle.request("GET", "/first").status == 200
            up.send(presigned(endpoint, "PUT", "/first/k", Content_Length=str(len(body))))
            up.send(body[: 1 << 20])
            down.send(down.signed("GET", "/first/there"))
            assert down.head().status == 200
            first = down.read(1000)
            assert eventually(lambda: len(endpoint.blobs()) == 2)
            endpoint.process.send_signal(signal.SIGTERM)
            time.sleep(1.5)
            assert endpoint.process.poll() is None
            assert first + down.read(len(body) - 1000) == body
            up.send(body[1 << 20 :])
            assert up.answer().status == 200
    stopped = time.monotonic()
    assert endpoint.process.wait(35) == 0
    assert time.monotonic() - stopped < 20
    assert "Traceback" not in endpoint.errors.read_text()
    again = start(server)
    found = again.client().get_object(Bucket="first", Key="k")["Body"].read()
    assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()


# Heads


def test_head_has_the_headers_of_get_and_no_body(plain: Endpoint, bucket: str) -> None:
    client = plain.client()
    client.put_object(Bucket=bucket, Key="big", Body=bytes(100_000))
    with Connection(plain) as connection:
        for target, status in (
            (f"/{bucket}/there", 200),
            (f"/{bucket}/big", 200),
            (f"/{bucket}/none", 404),
            (f"/{bucket}", 200),
            (f"/{bucket}-none", 404),
        ):
            answer = connection.request("HEAD", target)
            assert (answer.status, answer.body) == (status, b"")
            # A body would be read as the next answer.
            got = connection.request("GET", target)
            assert got.status == status
            if status == 200 and target != f"/{bucket}":
                assert answer.header("content-length") == str(len(got.body))
                volatile = ("date", "x-amz-request-id", "x-amz-id-2")
                assert [each for each in answer.headers if each[0] not in volatile] == [
                    each for each in got.headers if each[0] not in volatile
                ]
        anonymous = head("HEAD", f"/{bucket}/there", {"Host": plain.netloc})
        connection.send(anonymous)
        assert connection.answer("HEAD").status == 403
        assert goes_on(connection, bucket)
        ranged = connection.request("HEAD", f"/{bucket}/there", {"Range": "bytes=9-"})
        assert ranged.status == 416
        assert goes_on(connection, bucket)


def test_no_header_comes_twice_and_each_answer_says_where_it_ends(
    plain: Endpoint, bucket: str
) -> None:
    with Connection(plain) as connection:
        for method, target, headers, body in (
            ("GET", f"/{bucket}/there", {}, b""),
            ("GET", f"/{bucket}/none", {}, b""),
            ("GET", f"/{bucket}/there", {"Range": "bytes=1-2"}, b""),
            ("GET", f"/{bucket}/there", {"If-None-Match": "*"}, b""),
            ("PUT", f"/{bucket}/k", {"x-amz-meta-a": "b"}, b"x" * 100_000),
            ("PUT", f"/{bucket}/empty", {}, b""),
            ("GET", f"/{bucket}/k", {}, b""),
            ("GET", f"/{bucket}/empty", {}, b""),
            ("GET", f"/{bucket}?tagging", {}, b""),
            ("GET", f"/{bucket}?list-type=2", {}, b""),
            ("DELETE", f"/{bucket}/k", {}, b""),
            ("OPTIONS", f"/{bucket}/k", {"Origin": "https://a.test"}, b""),
            ("GET", "/", {}, b""),
        ):
            answer = connection.request(method, target, headers, body)
            names = [name for name, _ in answer.headers]
            assert len(names) == len(set(names)), answer.headers
            assert "x-amz-request-id" in names
            assert "date" in names
            if answer.status not in (204, 304):
                assert ("content-length" in names) != ("transfer-encoding" in names)
            assert answer.header("connection") in (None, "keep-alive")


def test_the_app_leaves_the_connection_to_its_server() -> None:
    """Waitress and wsgiref answer 500 to an app that sets a hop-by-hop header."""
    app = S3App(Config(keys={KEY.access_key: KEY.secret_key}))
    seen: list[str] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> None:
        seen.extend(name.lower() for name, _ in headers)

    try:
        for method, target, expect in (
            ("PUT", "/bucket", ""),
            ("PUT", "/bucket/k", "100-continue"),
            ("GET", "/bucket/k", ""),
            ("GET", "/bucket/none", ""),
            ("DELETE", "/bucket/k", ""),
            ("GET", "/bucket/?cors", ""),
            ("GET", "/none", ""),
        ):
            extra = {"Expect": expect} if expect else {}
            headers = sign(method, target, {"Host": "s3.test", **extra}, how=Signature(KEY))
            result = app(make_environ(method, target, headers, b""), start_response)  # type: ignore[arg-type]
            b"".join(result)
            getattr(result, "close", lambda: None)()
    finally:
        app.close()
    assert seen.count("x-amz-request-id") == 7
    assert not HOP_BY_HOP & set(seen)


def test_answers_are_not_held_back_for_40_ms() -> None:
    with listen("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# Headers that come twice


def test_a_header_in_two_lines_is_one_list_and_signed_as_one(plain: Endpoint, bucket: str) -> None:
    with Connection(plain) as connection:
        request = connection.signed("PUT", f"/{bucket}/k", {"x-amz-meta-a": "one,two"}, b"hello")
        line = b"x-amz-meta-a: one,two\r\n"
        assert line in request
        connection.send(request.replace(line, b"x-amz-meta-a: one\r\nx-amz-meta-a: two\r\n"))
        assert connection.answer().status == 200
        answer = connection.request("HEAD", f"/{bucket}/k")
        assert answer.header("x-amz-meta-a") == "one,two"


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 6",
        b"Host: other.test",
        b"Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request",
        b"x-amz-content-sha256: UNSIGNED-PAYLOAD",
        b"x-amz-date: 20200101T000000Z",
        b"x-amz-acl: public-read",
        b"x-amz-meta-a: one",
        b"x-amz-meta-a: one\r\n folded",
        b"Transfer-Encoding: chunked",
        b" x-amz-meta-a: one",
        b"x-amz-meta-a : one",
        b"x-amz-meta-a",
    ],
)
def test_a_line_that_is_not_signed_or_contradicts_stores_nothing(
    plain: Endpoint, bucket: str, line: bytes
) -> None:
    """A092-A100: refused with 4xx by the server or by s3kit, or the connection is closed."""
    with Connection(plain) as connection:
        request = connection.signed("PUT", f"/{bucket}/k", body=b"hello")
        connection.send(request.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1))
        try:
            answer = connection.answer()
            assert 400 <= answer.status < 500, answer
            goes_on(connection, bucket)
        except Closed:
            pass
    assert keys(plain, bucket) == ["there"]
    with pytest.raises(ClientError, match="404"):
        plain.client().head_object(Bucket=bucket, Key="k")


def test_the_folder_of_the_blobs_is_the_one_that_is_looked_at(plain: Endpoint, bucket: str) -> None:
    """What the tests above count."""
    before = plain.blobs()
    plain.client().put_object(Bucket=bucket, Key="k", Body=bytes(100_000))
    (added,) = plain.blobs() - before
    assert isinstance(added, Path)
    assert added.stat().st_size == 100_000
