"""The load generator reads every kind of response to its end, and counts what failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import pytest

from benchmarks.load import Load
from benchmarks.load import Request
from benchmarks.report import Figures
from benchmarks.report import Measured
from benchmarks.report import Target

BODY = b"x" * 300_000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/error":
            self.send_error(503)
            return
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(3):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(BODY), BODY))
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.path == "/close":
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def request(path: str, method: str = "GET") -> Request:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    return Request(head, without_body=method == "HEAD")


@pytest.mark.parametrize("connections", [1, 4])
def test_every_response_is_read_to_its_end(port: int, connections: int) -> None:
    requests = [request("/"), request("/close"), request("/", "HEAD")]
    with Load(port, connections) as load:
        done = load.burst(requests, seconds=120, limit=30)
    assert (done.count, done.errors) == (30, 0)
    assert done.received == 20 * len(BODY)
    assert len(done.latencies) == 30


def test_a_chunked_response_is_read_to_its_end(port: int) -> None:
    with Load(port, 1) as load:
        done = load.burst([request("/chunked"), request("/")], seconds=120, limit=4)
    assert (done.count, done.errors) == (4, 0)
    assert done.received >= 8 * len(BODY)


def test_a_refusal_is_an_error_and_not_a_fast_answer(port: int) -> None:
    with Load(port, 2) as load:
        done = load.burst([request("/error")], seconds=120, limit=6)
    assert (done.count, done.errors) == (0, 6)
    assert "503" in done.first_error


def test_a_big_body_is_sent_after_its_head(port: int) -> None:
    head = f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with Load(port, 1) as load:
        done = load.burst([Request(head, memoryview(BODY))], seconds=120, limit=3)
    assert (done.count, done.errors) == (3, 0)


def test_a_burst_ends_when_its_time_is_over(port: int) -> None:
    with Load(port, 4) as load:
        done = load.burst([request("/")], seconds=0.2)
    assert 0.2 <= done.seconds < 60


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    figures = Figures()
    figures.row("get", "a").rounds = [Measured(1, cpu, 1, 1, 1) for cpu in (2.0, 30.0, 400.0)]
    figures.row("get", "b").rounds = [Measured(1, cpu, 1, 1, 1) for cpu in (1.0, 10.0, 100.0)]
    assert figures.judge(Target("get", "a", "cpu", "b", 3.0)) == (3.0, True)
    assert figures.judge(Target("get", "a", "cpu", "b", 2.9)) == (3.0, False)
    assert figures.judge(Target("get", "a", "cpu", "b", 3.1, at_least=True)) == (3.0, False)
    assert figures.judge(Target("get", "a", "cpu", "absent", 3.0)) == (None, None)
