"""HTTP/1.1 by hand: one connection, exact bytes out, every header line in."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Protocol
from xml.etree import ElementTree

from tests.attacks.handmade import Signature
from tests.attacks.handmade import presign
from tests.attacks.handmade import sign
from tests.clients.conftest import KEY


class Closed(Exception):
    """The server closed the connection before an answer came."""


@dataclass
class Answer:
    """One answer. ``interim`` holds the 1xx statuses that came before it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The one value of a header."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def code(self) -> str:
        """The code of an S3 error document."""
        root = ElementTree.fromstring(self.body)
        assert root.tag == "Error"
        assert root.findtext("RequestId") == self.header("x-amz-request-id")
        return root.findtext("Code") or ""


class Place(Protocol):
    """What listens without TLS."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def netloc(self) -> str: ...


class Connection:
    """One connection to an endpoint without TLS; a context manager.

    :param source: the address to come from; any of 127.0.0.0/8 is this machine's.
    """

    def __init__(
        self, endpoint: Place, *, receive_buffer: int | None = None, source: str | None = None
    ) -> None:
        self.endpoint = endpoint
        self.socket = socket.socket()
        if source is not None:
            self.socket.bind((source, 0))
        if receive_buffer is not None:
            # Only before the connect does it bound the window.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect((endpoint.host, endpoint.port))
        self._received = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Sign, send and read the answer."""
        self.send(self.signed(method, target, headers, body))
        return self.answer(method)

    def signed(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        secret_key: str = KEY.secret_key,
    ) -> bytes:
        """A whole request signed in its header; the target is signed as it stands."""
        how = Signature(type(KEY)(KEY.access_key, secret_key))
        sent = sign(
            method, target, {"Host": self.endpoint.netloc, **(headers or {})}, body, how=how
        )
        if method in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body))
        return head(method, target, sent) + body

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole.

        :raises Closed: the server closed instead.
        """
        interim = []
        while True:
            answer = self._head()
            if answer.status >= 200:
                break
            interim.append(answer.status)
        answer.interim = interim
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        length = answer.header("content-length")
        if length is not None:
            answer.body = self.read(int(length))
        elif answer.header("transfer-encoding") == "chunked":
            answer.body = self._chunks()
        else:
            answer.body = self.rest()
        return answer

    def head(self) -> Answer:
        """The next answer's head only; the body is still to be read."""
        return self._head()

    def _head(self) -> Answer:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        text, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, line
            headers.append((name.lower(), value.strip()))
        return Answer(int(status), headers)

    def _receive(self) -> None:
        try:
            block = self.socket.recv(1 << 20)
        except ConnectionError:
            block = b""
        if not block:
            raise Closed(self._received)
        self._received += block

    def read(self, size: int) -> bytes:
        """Exactly so many bytes of a body."""
        blocks = [self._received[:size]]
        self._received = self._received[size:]
        missing = size - len(blocks[0])
        while missing:
            block = self.socket.recv(min(missing, 1 << 20))
            if not block:
                raise Closed
            blocks.append(block)
            missing -= len(block)
        return b"".join(blocks)

    def received(self) -> bytes:
        """What came with the head; the rest is still in the socket."""
        taken, self._received = self._received, b""
        return taken

    def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._received:
                self._receive()
            size, _, self._received = self._received.partition(b"\r\n")
            block = self.read(int(size, 16))
            assert self.read(2) == b"\r\n"
            if not block:
                return body
            body += block

    def rest(self) -> bytes:
        """All that comes until the server closes; a reset counts as its end."""
        blocks = [self._received]
        self._received = b""
        try:
            while block := self.socket.recv(1 << 20):
                blocks.append(block)
        except ConnectionError:
            pass
        return b"".join(blocks)


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request's head as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def presigned(endpoint: Place, method: str, target: str, **headers: str) -> bytes:
    """A request's head with its signature in the query, so that any body may follow."""
    host = {"Host": endpoint.netloc}
    url = presign(method, target, headers={"host": endpoint.netloc}, how=Signature(KEY))
    return head(
        method, url, {**host, **{name.replace("_", "-"): headers[name] for name in headers}}
    )
