"""s3kit_contrib.asgi: S3 under ASGI servers, through a2wsgi."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from collections.abc import Coroutine
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from a2wsgi import WSGIMiddleware

from s3kit_contrib.asgi import as_asgi
from s3kit_contrib.asgi import mount_asgi
from tests.client import Signer
from tests.clients.conftest import KEY
from tests.contrib.hosts import S3KIT
from tests.contrib.hosts import Host
from tests.contrib.hosts import copy_with_aws
from tests.contrib.hosts import run
from tests.contrib.hosts import running
from tests.contrib.hosts import tell_raw_targets_apart
from tests.contrib.hosts import upload_in_chunks

THREADS = 3

APP = f"""
from s3kit import Config, S3App
from s3kit_contrib.asgi import mount_asgi

started = []

async def home(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        started.append(True)
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    body = b"the host's own page, started %d" % len(started)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})

s3 = S3App(Config(**{S3KIT}, inline_threshold=1000))
app = mount_asgi(home, s3, at="/s3", hosts=["s3.test"], threads={THREADS})
"""

COMMANDS = {
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", "--no-proxy-headers", "app:app"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}", "app:app"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "app.py").write_text(APP)
    with running(folder, *COMMANDS[request.param]) as found:
        yield found


def test_aws_s3_cp_goes_up_and_down(host: Host, tmp_path: Path) -> None:
    copy_with_aws(host, tmp_path)


def test_every_spelling_of_a_path_that_was_signed_is_understood(host: Host) -> None:
    """IU-20; the raw target survives ASGI as raw_path."""
    tell_raw_targets_apart(host)


def test_a_body_in_chunks_is_taken_whole_and_a_broken_one_not(host: Host) -> None:
    upload_in_chunks(host)


def test_the_host_keeps_its_pages_and_its_lifespan(host: Host) -> None:
    assert host.request("GET", "/")[2] == b"the host's own page, started 1"
    assert host.request("GET", "/s3x")[2].startswith(b"the host's")
    with contextlib.closing(host.connect()) as connection:
        connection.request("GET", "/any", headers={"Host": "s3.test"})
        assert b"<Code>NoSuchBucket</Code>" in connection.getresponse().read()


def test_an_upload_that_breaks_off_is_not_stored(host: Host) -> None:
    client = host.client()
    client.create_bucket(Bucket="broken")
    for size in (10, 3_000_000):
        head = f"PUT /s3/broken/{size} HTTP/1.1\r\nHost: {urlsplit(host.url).netloc}\r\n"
        body = os.urandom(size)
        for name, value in host.signed("PUT", f"/s3/broken/{size}", body).items():
            head += f"{name}: {value}\r\n" if name != "Content-Length" else ""
        with connect(host) as connection:
            connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + body[:-1])
    time.sleep(0.3)
    assert client.list_objects_v2(Bucket="broken")["KeyCount"] == 0


def test_clients_that_go_away_hold_no_thread(host: Host) -> None:
    client = host.client()
    client.create_bucket(Bucket="away")
    client.put_object(Bucket="away", Key="big", Body=bytes(30_000_000))
    head = f"GET /s3/away/big HTTP/1.1\r\nHost: {urlsplit(host.url).netloc}\r\n"
    for name, value in host.signed("GET", "/s3/away/big").items():
        head += f"{name}: {value}\r\n"
    for _ in range(2 * THREADS):
        with connect(host) as connection:
            connection.sendall(f"{head}\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert client.get_object(Bucket="away", Key="big")["Body"].read() == bytes(30_000_000)


@pytest.mark.parametrize(("size", "key"), [(0, KEY), (1, KEY), (5_000_000, Signer("NOBODY", "x"))])
def test_an_upload_that_was_not_asked_for_ends_the_connection(
    host: Host, size: int, key: Signer
) -> None:
    """botocore would mistake the next answer; and nobody is asked for what is refused anyway."""
    if size < 2:
        with contextlib.suppress(host.client().exceptions.BucketAlreadyOwnedByYou):
            host.client().create_bucket(Bucket="expect")
    body = b"x" * size
    head = f"PUT /s3/expect/key HTTP/1.1\r\nHost: {urlsplit(host.url).netloc}\r\n"
    for name, value in host.signed("PUT", "/s3/expect/key", body, signer=key).items():
        head += f"{name}: {value}\r\n" if name != "Content-Length" else ""
    head += f"Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    with connect(host) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
        if size == 1:
            assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"x")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            # Asked and read: the connection stays.
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            return
        answer += b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200" if key is KEY else b"HTTP/1.1 403"), answer
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()


def test_metadata_may_have_underscores_in_its_names(host: Host) -> None:
    client = host.client()
    client.create_bucket(Bucket="metadata")
    client.put_object(Bucket="metadata", Key="key", Metadata={"a_b": "c"})
    assert client.head_object(Bucket="metadata", Key="key")["Metadata"] in (
        {"a_b": "c"},
        {"a-b": "c"},
    )


def connect(host: Host) -> socket.socket:
    port = urlsplit(host.url).port
    assert port
    return socket.create_connection(("127.0.0.1", port), timeout=60)


# Without a server


SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": [],
}


def ask(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    """What an ASGI app sends for these messages; afterwards the client waits."""
    sent: list[dict[str, Any]] = []
    coming = [*received]

    async def receive() -> dict[str, Any]:
        if not coming:
            await asyncio.sleep(3600)
        return coming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(app({**SCOPE, **scope}, receive, send), 60))
    return sent


def test_a_header_with_an_underscore_is_not_the_one_with_a_hyphen() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    headers = [
        (b"x_amz_acl", b"public-read"),
        (b"x-amz-date", b"now"),
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x_forwarded_for", b"127.0.0.2"),
        (b"x_forwarded-for", b"127.0.0.3"),
    ]
    ask(as_asgi(app), {"headers": headers, "query_string": "ü=%20".encode()})
    assert "HTTP_X_AMZ_ACL" not in seen[0]
    assert seen[0]["HTTP_X_AMZ_DATE"] == "now"
    assert seen[0]["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert seen[0]["QUERY_STRING"] == "%C3%BC=%20"


def test_a_body_is_not_read_on_for_a_client_that_has_left() -> None:
    blocks: list[int] = []
    closed: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            for number in range(1000):
                blocks.append(number)
                yield b"block"
                time.sleep(0.002)
        finally:
            closed.append(True)

    body = {"type": "http.request", "body": b"", "more_body": False}
    ask(as_asgi(app), {}, body, {"type": "http.disconnect"})
    assert len(blocks) < 100
    assert closed == [True]


def test_a_server_that_cannot_send_any_more_holds_no_thread() -> None:
    """ASGI 2.4: send() raises OSError after a disconnect. a2wsgi alone would wait for ever."""
    blocks: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(1000):
            blocks.append(number)
            yield b"block"

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    scope = {**SCOPE, "headers": []}
    asyncio.run(asyncio.wait_for(as_asgi(app)(scope, receive, send), 60))
    assert len(blocks) < 100


@pytest.mark.parametrize("hangs", ["never", "send", "receive"])
def test_a_request_that_is_cancelled_holds_no_thread(hangs: str) -> None:
    """So do time limits, Starlette's middleware and a server that ends: whatever hangs there."""
    closed: list[bool] = []
    begun = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        try:
            begun.set()
            if environ["PATH_INFO"] == "/next":
                start_response("200 OK", [])
                yield b"next"
                return
            if hangs == "receive":
                with pytest.raises(ConnectionError):
                    environ["wsgi.input"].read()
            start_response("200 OK", [])
            for _ in range(1000):
                yield b"block"
                time.sleep(0.001)
        finally:
            closed.append(True)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(3600 if hangs == "send" else 0.01)

    async def cancel() -> None:
        before = asyncio.all_tasks()
        bridge: Any = as_asgi(app, threads=1)
        call = asyncio.create_task(bridge({**SCOPE, "headers": []}, receive, send))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        # There is one thread, and it is free again.
        following = bridge({**SCOPE, "path": "/next", "headers": []}, receive, keep)
        await asyncio.wait_for(following, 60)
        assert sent[1]["body"] == b"next"
        assert closed == [True, True]
        left = asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
        await asyncio.wait_for(left, 60)

    run_in_a_process_that_may_hang(cancel)


def run_in_a_process_that_may_hang(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In a child: a thread that waits for ever would keep pytest itself from ending."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(asyncio.wait_for(work(), 120))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_request_that_is_cancelled_before_its_turn_reaches_no_app() -> None:
    asked: list[str] = []
    free = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        assert free.wait(60)
        start_response("200 OK", [])
        return [b""]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        pass

    async def cancel() -> None:
        bridge: Any = as_asgi(app, threads=1)
        calls = [
            asyncio.create_task(bridge({**SCOPE, "path": path, "headers": []}, receive, send))
            for path in ("/first", "/second")
        ]
        await asyncio.sleep(0.1)
        calls[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
        free.set()
        await calls[0]
        await bridge({**SCOPE, "path": "/third", "headers": []}, receive, send)

    asyncio.run(asyncio.wait_for(cancel(), 60))
    assert asked == ["/first", "/third"]


def test_a_body_may_be_read_after_the_answer_has_begun() -> None:
    """Other WSGI apps do, and the watch over the client must lose none of it."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun "
        time.sleep(0.05)
        yield from iter(lambda: environ["wsgi.input"].read(3), b"")

    parts = [
        {"type": "http.request", "body": part, "more_body": part != b"last"}
        for part in (b"first ", b"second ", b"third ", b"last")
    ]
    sent = ask(as_asgi(app), {"method": "PUT"}, *parts)
    assert b"".join(each.get("body", b"") for each in sent) == b"begun first second third last"


def test_a_router_that_moves_the_mount_into_root_path_is_understood() -> None:
    """Starlette's Mount; uvicorn's --root-path."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    async def other(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("The host got what is S3's.")

    mounted = mount_asgi(other, app, at="/s3")
    sent = ask(mounted, {"path": "/root/s3/bucket/key", "root_path": "/root"})
    assert sent[1]["body"] == b"/root/s3 /bucket/key"


def test_a2wsgi_alone_takes_no_body_in_chunks() -> None:
    """It cannot tell a body that broke off from one that ended, so half of it could be stored."""
    from s3kit.errors import MissingContentLength
    from s3kit.wire.environ import open_input

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with pytest.raises(MissingContentLength):
            open_input(environ)
        start_response("200 OK", [])
        return [b"refused"]

    sent = ask(WSGIMiddleware(app), {"headers": [(b"transfer-encoding", b"chunked")]})
    assert sent[1]["body"] == b"refused"


@pytest.mark.parametrize("at", ["s3", None])
def test_a_mount_that_nothing_would_reach_is_refused(at: str | None) -> None:
    with pytest.raises(ValueError, match="at="):
        mount_asgi(as_asgi(lambda environ, start_response: []), lambda e, s: [], at=at)


def test_without_a2wsgi_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a2wsgi.py").write_text("raise ImportError('no a2wsgi')")
    script = "import sys; sys.path.insert(0, '.'); import s3kit_contrib.asgi as a; a.as_asgi(None)"
    assert "pip install 's3kit[asgi]'" in run(tmp_path, "-c", script).stderr
