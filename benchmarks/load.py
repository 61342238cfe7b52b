"""The load generator: raw sockets, kept alive, requests built and signed beforehand.

One thread drives all connections through epoll, so that it costs little beside the server on a
machine with two cores. The same code loads every server.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from types import TracebackType

from scripts.processes import LOOPBACK

TIMEOUT = 120.0
BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Request:
    """One request as bytes; ``body`` is sent after ``head`` where it is too big to join to it."""

    head: bytes
    body: memoryview | None = None
    without_body: bool = False
    """True for HEAD, whose response has a Content-Length but no bytes."""


@dataclass(slots=True)
class Burst:
    """What one burst of requests did. ``latencies`` in seconds; ``seconds`` the whole burst."""

    count: int = 0
    seconds: float = 0.0
    received: int = 0
    errors: int = 0
    first_error: str = ""
    latencies: list[float] = field(default_factory=list)


class _Line:
    """One connection."""

    __slots__ = ("_buffer", "_port", "error", "received", "request", "socket", "started", "status")

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = bytearray(BLOCK)
        self.socket = self._connect()
        self.request: Request | None = None
        self.started = 0.0
        self.status = 0
        self.received = 0
        self.error = b""

    def _connect(self) -> socket.socket:
        made = socket.create_connection((LOOPBACK, self._port), timeout=TIMEOUT)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def reconnect(self) -> None:
        self.socket.close()
        self.socket = self._connect()

    def send(self, request: Request) -> None:
        self.request = request
        self.started = time.perf_counter()
        try:
            self._send(request)
        except (BrokenPipeError, ConnectionResetError):
            # The server closed a kept connection, as it may: once more on a new one.
            self.reconnect()
            self._send(request)

    def _send(self, request: Request) -> None:
        self.socket.sendall(request.head)
        if request.body is not None:
            self.socket.sendall(request.body)

    def receive(self) -> bool:
        """Read one whole response; True when the connection stays open.

        :raises ConnectionError: the server closed it before the response's end.
        """
        assert self.request is not None
        data = self._more()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        self.status = int(head[9:12])
        self.received = len(data) - end - 4
        open_after = b"\r\nconnection: close" not in head and head[5:8] != b"1.0"
        where = head.find(b"\r\ncontent-length:")
        if self.request.without_body or self.status in (204, 304):
            rest = 0
        elif where >= 0:
            stop = head.find(b"\r\n", where + 2)
            length = int(head[where + 17 : stop if stop > 0 else end])
            rest = length - self.received
        elif b"\r\ntransfer-encoding: chunked" in head:
            rest = 0
            data = data[end + 4 :]
            while not data.endswith(b"0\r\n\r\n"):
                more = self._more()
                self.received += len(more)
                data = data[-8:] + more
        else:
            open_after = False
            rest = 0
            while count := self.socket.recv_into(self._buffer):
                self.received += count
        if self.status >= 300:
            self.error = data[:400]
        self.received += rest
        while rest > 0:
            # MSG_TRUNC drops what was received without copying it.
            count = self.socket.recv_into(self._buffer, min(rest, BLOCK), socket.MSG_TRUNC)
            if not count:
                raise ConnectionError("closed within a body")
            rest -= count
        return open_after

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed without a response")
        return data


class Load:
    """Some connections to one server, kept between bursts."""

    def __init__(self, port: int, connections: int) -> None:
        self._lines = [_Line(port) for _ in range(connections)]

    def burst(
        self, requests: Sequence[Request], *, seconds: float, limit: int | None = None
    ) -> Burst:
        """Send requests, over and over, for so long or until so many are answered.

        Each connection has one request under way. What is under way at the end is waited for.
        """
        if len(self._lines) == 1:
            return self._serial(requests, seconds, limit)
        return self._parallel(requests, seconds, limit)

    def _serial(self, requests: Sequence[Request], seconds: float, limit: int | None) -> Burst:
        line = self._lines[0]
        result = Burst()
        started = now = time.perf_counter()
        until = started + seconds
        number = 0
        while now < until and (limit is None or number < limit):
            line.send(requests[number % len(requests)])
            number += 1
            self._finish(line, result)
            now = time.perf_counter()
        result.seconds = now - started
        return result

    def _parallel(self, requests: Sequence[Request], seconds: float, limit: int | None) -> Burst:
        result = Burst()
        most = limit if limit is not None else 1 << 60
        number = 0
        under_way = 0
        by_descriptor: dict[int, _Line] = {}
        poll = select.epoll()
        try:
            started = time.perf_counter()
            until = started + seconds
            for line in self._lines[:most]:
                by_descriptor[line.socket.fileno()] = line
                poll.register(line.socket, select.EPOLLIN)
                line.send(requests[number % len(requests)])
                number += 1
                under_way += 1
            while under_way:
                ready = poll.poll(TIMEOUT)
                if not ready:
                    raise TimeoutError(f"no answer in {TIMEOUT:.0f} s")
                more = time.perf_counter() < until
                for descriptor, _ in ready:
                    line = by_descriptor[descriptor]
                    before = line.socket
                    self._finish(line, result)
                    under_way -= 1
                    if more and number < most:
                        line.send(requests[number % len(requests)])
                        number += 1
                        under_way += 1
                    if line.socket is not before:
                        # A closed descriptor leaves the poll by itself; its number may be reused.
                        by_descriptor.pop(descriptor, None)
                        by_descriptor[line.socket.fileno()] = line
                        poll.register(line.socket, select.EPOLLIN)
            result.seconds = time.perf_counter() - started
        finally:
            poll.close()
        return result

    @staticmethod
    def _finish(line: _Line, result: Burst) -> None:
        try:
            if not line.receive():
                line.reconnect()
        except OSError as error:
            result.errors += 1
            result.first_error = result.first_error or str(error)
            line.reconnect()
            return
        if line.status >= 300:
            result.errors += 1
            result.first_error = result.first_error or line.error.decode("latin-1")
            return
        result.count += 1
        result.received += line.received
        result.latencies.append(time.perf_counter() - line.started)

    def close(self) -> None:
        for line in self._lines:
            line.socket.close()

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
