"""One line of JSON per request: what it says, when it is written, what it never says."""

from __future__ import annotations

import json
import logging
import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.middleware.access_log import AccessEntry
from s3kit.middleware.access_log import LineFile
from s3kit.middleware.access_log import access_log
from s3kit.middleware.record import RECORD
from s3kit.middleware.record import RequestRecord
from s3kit.middleware.record import redacted
from s3kit.middleware.request_id import request_id
from s3kit.testing import LiveServer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import ACLS_COUNT

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


class Lines(logging.Handler):
    """Keeps what is logged, as the text that it becomes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, AccessEntry)
        self.texts.append(record.getMessage())

    def __getitem__(self, index: int) -> dict[str, Any]:
        text = self.texts[index]
        assert "\n" not in text
        entry: dict[str, Any] = json.loads(text)
        return entry

    def wait(self, count: int) -> None:
        """A server may note the end of an answer after its client has read it."""
        until = time.monotonic() + 60
        while len(self.texts) < count:
            assert time.monotonic() < until, self.texts
            time.sleep(0.01)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    log = logging.getLogger("s3kit.access")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


@pytest.fixture
def s3() -> Iterator[S3App]:
    app = S3App(Config(**ACLS_COUNT, keys={"AKIA": SECRET}))
    yield app
    app.close()


@pytest.fixture
def client(s3: S3App) -> Client:
    return Client(access_log(s3), Signer("AKIA", SECRET))


def app_of(body: Any, status: str = "200 OK") -> Any:
    """Somebody's own app, with this answer."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return app


def test_a_line_tells_who_did_what_to_which_object(client: Client, lines: Lines) -> None:
    client.put("/photos")
    answer = client.put("/photos/a/%C3%BC%20b", b"hello", traceparent=f"00-{TRACE}-{SPAN}-01")
    entry = lines[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert 0 < entry.pop("seconds") < 60
    assert entry == {
        "request_id": answer.headers["x-amz-request-id"],
        "method": "PUT",
        "operation": "PutObject",
        "bucket": "photos",
        "key": "a/ü b",
        "status": 200,
        "bytes_received": 5,
        "bytes_sent": 0,
        "client": "127.0.0.1",
        "account": "default",
        "access_key": "AKIA",
        "trace_id": TRACE,
        "span_id": SPAN,
    }
    client.get("/photos/a/%C3%BC%20b")
    assert (lines[2]["operation"], lines[2]["bytes_sent"]) == ("GetObject", 5)
    client.head("/photos/a/%C3%BC%20b", "versionId=null", user_agent="me/1")
    assert (lines[3]["operation"], lines[3]["bytes_sent"]) == ("HeadObject", 0)
    assert (lines[3]["version_id"], lines[3]["user_agent"]) == ("null", "me/1")


def test_a_refusal_is_there_with_its_code_and_reason(client: Client, lines: Lines) -> None:
    client.put("/photos")
    answer = client.get("/photos/none")
    assert lines[1]["request_id"] == answer.text("RequestId")
    assert (lines[1]["error"], lines[1]["status"]) == ("NoSuchKey", 404)
    assert lines[1]["reason"] == answer.text("Message")
    assert "traceback" not in lines[1]
    stranger = Client(client.app, Signer("AKIA", "wrong"))
    assert stranger.get("/photos/key").status == 403
    assert lines[2]["error"] == "SignatureDoesNotMatch"
    # What was asked for is known, and of whose key; not who asked.
    assert (lines[2]["operation"], lines[2]["bucket"], lines[2]["key"]) == (
        "GetObject",
        "photos",
        "key",
    )
    assert lines[2]["access_key"] == "AKIA"
    assert "account" not in lines[2]


def test_an_unknown_access_key_may_be_a_secret_and_is_not_logged(
    client: Client, lines: Lines
) -> None:
    assert Client(client.app, Signer(SECRET, "AKIA")).get("/photos").code == "InvalidAccessKeyId"
    assert SECRET not in lines.texts[0]
    assert lines[0]["error"] == "InvalidAccessKeyId"


def test_a_fault_of_ours_is_there_with_its_traceback(
    s3: S3App, client: Client, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CS-54: the owner finds out what a RequestId was about."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is on fire")

    client.put("/photos")
    monkeypatch.setattr(type(s3.store.objects), "put", broken)
    answer = client.put("/photos/key", b"x")
    assert (answer.status, answer.code) == (500, "InternalError")
    entry = lines[1]
    assert entry["request_id"] == answer.headers["x-amz-request-id"]
    assert entry["error"] == "InternalError"
    assert entry["cause"] == "RuntimeError: the disk is on fire"
    assert "in broken" in entry["traceback"]


def test_no_secret_is_ever_logged(client: Client, lines: Lines) -> None:
    client.put("/photos")
    sent = client.signed_headers("GET", "/photos/key", {}, b"")
    signature = sent["Authorization"].rpartition("=")[2]
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20250101%2Fus-east-1%2Fs3%2F"
        "aws4_request&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
        f"&X-Amz-Security-Token=TOKENTOKEN&X-Amz-Signature={signature}"
    )
    secret_headers = {
        "x-amz-security-token": "TOKENTOKEN",
        "x-amz-server-side-encryption-customer-key": "CUSTOMERKEY",
        "Cookie": "session=COOKIE",
        "Referer": f"http://s3.test/photos/key?{query}",
        "User-Agent": f"curl {query}",
    }
    client.send("GET", "/photos/key", {**sent, **secret_headers})
    client.send("GET", f"/photos/key?{query}", {"Host": "s3.test", **secret_headers})
    # The question mark encoded, so that the signature is a part of the key.
    client.request("GET", f"/photos/key%3F{query}")
    client.request("GET", f"//key%3F{query}")
    client.send("GET", "/photos", {**sent, "Authorization": f"Bearer {SECRET}"})
    client.send("GET", "/photos", {**sent, "Authorization": f"AWS AKIA:{signature}"})
    assert len(lines.texts) == 7
    for text in lines.texts:
        for word in (signature, "TOKENTOKEN", "CUSTOMERKEY", "COOKIE", SECRET, "Bearer"):
            assert word not in text


def test_a_traceback_that_quotes_the_request_is_made_harmless(lines: Lines) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise ValueError(f"cannot read {environ['HTTP_AUTHORIZATION']} {environ['QUERY_STRING']}")

    environ = make_environ("GET", "/?password=hunter22", {"Authorization": "Bearer abcdefgh"}, b"")
    with pytest.raises(ValueError, match="abcdefgh"):
        call(access_log(app), environ)
    assert lines[0]["status"] == 500
    assert "in app" in lines[0]["traceback"]
    assert "hunter22" not in lines.texts[0]
    assert "abcdefgh" not in lines.texts[0]
    assert "=abc" not in redacted("GET x-amz-signature=abc&y")
    assert "'abc'" not in redacted("{'X-Amz-Signature': 'abc'}")
    assert redacted("Signature") == "Signature"


def test_somebodys_own_app_is_logged_by_its_path(lines: Lines) -> None:
    answer = call(
        access_log(app_of([b"one", b"two"])), make_environ("GET", "/a%0Ab%C3%BC?x=1", {}, b"")
    )
    assert answer.body == b"onetwo"
    assert lines[0]["path"] == "/a\nbü"
    assert lines[0]["bytes_sent"] == 6
    assert "operation" not in lines[0]
    assert "x=1" not in lines.texts[0]


def test_the_line_is_written_when_the_last_byte_has_left(lines: Lines) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x"
        assert lines.texts == []
        time.sleep(0.05)
        yield b"y"

    assert call(access_log(app_of(blocks())), make_environ("GET", "/", {}, b"")).body == b"xy"
    assert lines[0]["seconds"] >= 0.05
    assert "aborted" not in lines[0]
    assert len(lines.texts) == 1


def test_an_answer_that_was_never_fetched_is_noted_as_broken_off(lines: Lines) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x", b"y"])

        def close(self) -> None:
            closed.append(True)

    logged = access_log(app_of(Body()))
    result: Any = logged(make_environ("GET", "/", {}, b""), lambda *_: None)
    assert next(result) == b"x"
    result.close()
    assert closed == [True]
    assert (lines[0]["aborted"], lines[0]["bytes_sent"]) == ("response", 1)
    # A server that forgets to close.
    result = logged(make_environ("GET", "/", {}, b""), lambda *_: None)
    del result
    assert lines[1]["aborted"] == "response"


def test_a_body_that_fails_on_the_way_is_noted(lines: Lines) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x"
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        call(access_log(app_of(blocks())), make_environ("GET", "/", {}, b""))
    assert (lines[0]["aborted"], lines[0]["cause"]) == ("response", "OSError: cut")


def test_an_upload_that_breaks_off_is_noted(client: Client, lines: Lines) -> None:
    client.put("/photos")
    headers = client.signed_headers("PUT", "/photos/key", {"Content-Length": "100"}, b"x" * 100)
    answer = client.send("PUT", "/photos/key", {**headers, "Content-Length": "100"}, b"x" * 40)
    assert answer.code == "IncompleteBody"
    assert (lines[1]["aborted"], lines[1]["bytes_received"]) == ("request", 40)


def test_nothing_is_done_where_nobody_listens(s3: S3App) -> None:
    assert not logging.getLogger("s3kit.access").isEnabledFor(logging.INFO)
    assert Client(access_log(s3), None).get("/").status == 403


def test_a_trusted_proxy_tells_the_clients_address(s3: S3App, lines: Lines) -> None:
    app = access_log(s3, trusted_proxies=["127.0.0.1"])
    Client(app, None).get("/", **{"X-Forwarded-For": "1.2.3.4, 203.0.113.9"})
    assert lines[0]["client"] == "203.0.113.9"
    Client(access_log(s3), None).get("/", **{"X-Forwarded-For": "203.0.113.9"})
    assert lines[1]["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        "x" * 100_000,
    ],
)
def test_a_traceparent_that_is_none_is_passed_over(
    client: Client, lines: Lines, value: str
) -> None:
    client.get("/", traceparent=value)
    assert "trace_id" not in lines[0]


def test_the_id_of_an_outer_wrapper_is_the_one_in_the_line(s3: S3App, lines: Lines) -> None:
    for app in (
        access_log(request_id(s3, accept="X-Request-Id", trusted=["127.0.0.1"])),
        request_id(access_log(s3), accept="X-Request-Id", trusted=["127.0.0.1"]),
    ):
        answer = Client(app, None).get("/", **{"X-Request-Id": "outer-1"})
        assert answer.headers["x-amz-request-id"] == answer.text("RequestId") == "outer-1"
        assert lines[-1]["request_id"] == "outer-1"


def test_whoever_asks_is_told_without_any_middleware_of_ours(s3: S3App) -> None:
    client = Client(s3, Signer("AKIA", SECRET))
    client.put("/photos")
    record = RequestRecord()
    answer = client.request("GET", "/photos", environ={RECORD: record})
    assert (record.operation, record.bucket, record.account) == ("ListObjects", "photos", "default")
    assert record.request_id == answer.headers["x-amz-request-id"]


# -- over a real server


def test_a_client_that_hangs_up_is_noted_by_a_real_server(s3: S3App, lines: Lines) -> None:
    with LiveServer(access_log(s3)) as server:
        client = Client(s3, Signer("AKIA", SECRET))
        client.put("/photos", x_amz_acl="public-read")
        client.put("/photos/big", b"x" * 20_000_000, x_amz_acl="public-read")
        with socket.create_connection((server.host, server.port), 60) as connection:
            connection.sendall(b"GET /photos/big HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        lines.wait(1)
        assert lines[0]["aborted"] == "response"
        assert 0 < lines[0]["bytes_sent"] < 20_000_000
        assert lines[0]["error" if "error" in lines[0] else "status"] == 200


# -- the file


def _write(path: str, name: str) -> None:
    handler = LineFile(path)
    for number in range(200):
        text = f"{name}-{number}-" + "x" * 10_000
        handler.handle(logging.LogRecord("n", logging.INFO, "", 0, text, None, None))
    handler.close()


def test_many_processes_and_threads_append_whole_lines(tmp_path: Path) -> None:
    path = str(tmp_path / "access.log")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_write, args=(path, f"p{n}")) for n in range(2)]
    threads = [threading.Thread(target=_write, args=(path, f"t{n}")) for n in range(2)]
    for each in (*processes, *threads):
        each.start()
    for each in (*processes, *threads):
        each.join()
    seen = Path(path).read_text().splitlines()
    assert len(seen) == len(set(seen)) == 800
    assert all(re.fullmatch(r"[pt]\d-\d+-x{10000}", line) for line in seen)
    assert Path(path).stat().st_mode & 0o007 == 0


def test_a_rotated_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    handler = LineFile(path)

    def write(text: str) -> None:
        handler.handle(logging.LogRecord("n", logging.INFO, "", 0, text, None, None))

    write("one")
    path.rename(tmp_path / "access.log.1")
    write("two")
    path.unlink()
    write("three")
    assert (tmp_path / "access.log.1").read_text() == "one\n"
    assert path.read_text() == "three\n"
    handler.close()
    write("four")
    handler.close()
    assert path.read_text() == "three\nfour\n"
