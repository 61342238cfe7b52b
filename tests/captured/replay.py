"""Replays what clients that cannot run here send, byte for byte, and checks what they rely on.

A ``.http`` file beside this module holds one client's requests in their order, each like this::

    ### What it is for
    PUT {mount}/{bucket}/key HTTP/1.1
    Host: {host}
    Authorization: AWS4-HMAC-SHA256 Credential=...,SignedHeaders=...,Signature={signature}

    the body
    > 200                             one of these statuses
    > ETag: *                         a header; * is any value
    > no Content-Encoding:            no such header
    > Some/Element/Inner = text       one element of this path has this text; * is any
    > Some/Element                    is there, maybe without a text
    > no Some/Element                 is not there
    > body {file small}               the very bytes
    > keep etag = ETag:               a header or an element, for the requests after this one

Lines before the first ``###`` name the sources. In braces stands what no file can hold: the
door's ``mount`` and ``host``, the ``bucket``, the time (``date``, ``day``, ``http_date``), the
key pair and what follows from the body (``length``, ``sha256``, ``md5``, ``signature``). A whole
body is ``{file name}``; ``{name.length}`` and ``{name.md5}`` tell of it elsewhere.

Headers go out in the order and the letters of the file. Where a request says ``Expect:
100-continue``, its body waits for the answer.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import time
from dataclasses import dataclass
from dataclasses import field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from tests.attacks.handmade import Signature
from tests.attacks.handmade import amz_date
from tests.clients.conftest import KEY
from tests.clients.doors import Door
from tests.clients.raw import Answer
from tests.clients.raw import Closed
from tests.clients.raw import Connection

FOLDER = Path(__file__).parent

IDLE_SECONDS = 2.0
"""A connection on which nothing happened for so long may have been closed by the server."""


@dataclass
class Exchange:
    """One request as the file has it, and what the client needs of its answer."""

    title: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str
    wants: list[str] = field(default_factory=list)


def read(client: str) -> list[Exchange]:
    """The exchanges of a client's file."""
    _, *pieces = re.split(r"^### ", (FOLDER / f"{client}.http").read_text(), flags=re.MULTILINE)
    return [_exchange(piece) for piece in pieces]


def _exchange(piece: str) -> Exchange:
    title, first, *lines = piece.splitlines()
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1", first
    end = lines.index("")
    headers = []
    for line in lines[:end]:
        name, colon, value = line.partition(":")
        assert colon, line
        headers.append((name, value.strip()))
    rest = lines[end + 1 :]
    wants = [line[2:] for line in rest if line.startswith("> ")]
    assert wants, title
    body = "\n".join(rest[: next(n for n, line in enumerate(rest) if line.startswith("> "))])
    return Exchange(title, method, target, headers, body, wants)


class Line(Connection):
    """A connection to any door, over TLS where it has that."""

    def __init__(self, door: Door, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        connected = socket.create_connection((parts.hostname, parts.port), timeout=30)
        if door.certfile is not None:
            context = ssl.create_default_context(cafile=str(door.certfile))
            connected = context.wrap_socket(connected, server_hostname=parts.hostname)
        self.socket = connected
        self._received = b""


class Replay:
    """One client at one door, in a bucket of its own.

    :param url: the endpoint that it was given, maybe with a path.
    :param files: the bodies that the client's file speaks of.
    """

    def __init__(self, door: Door, url: str, bucket: str, files: dict[str, bytes]) -> None:
        self.door = door
        self.url = url
        self.files = files
        parts = urlsplit(url)
        self.known = {"mount": parts.path, "host": parts.netloc, "bucket": bucket}
        for name, data in files.items():
            self.known[f"{name}.length"] = str(len(data))
            self.known[f"{name}.md5"] = hashlib.md5(data).hexdigest()
        self._line: Line | None = None
        self._answered = 0.0

    def close(self) -> None:
        if self._line is not None:
            self._line.__exit__()
            self._line = None

    def play(self, exchange: Exchange) -> Answer:
        """Send one request and check its answer.

        :raises AssertionError: the answer lacks something that the client relies on.
        """
        answer = self._send(exchange)
        for want in exchange.wants:
            assert self._has(answer, want), (
                f"{exchange.title}: no {want!r} in {answer.status} {answer.headers} "
                f"{answer.body[:2000]!r}"
            )
        return answer

    # -- requests

    def _fill(self, text: str, **more: str) -> str:
        known = {**self.known, **more}
        return re.sub(r"\{([a-z_0-9.]+)\}", lambda found: known.get(found[1], found[0]), text)

    def _bytes(self, text: str) -> bytes:
        named = re.fullmatch(r"\{file (\w+)\}", text)
        return self.files[named[1]] if named else self._fill(text).encode()

    def _send(self, exchange: Exchange) -> Answer:
        body = self._bytes(exchange.body)
        date = amz_date()
        words = {
            "access_key": KEY.access_key,
            "date": date,
            "day": date[:8],
            "http_date": formatdate(time.time(), usegmt=True),
            "length": str(len(body)),
            "sha256": hashlib.sha256(body).hexdigest(),
            "md5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        }
        target = self._fill(exchange.target)
        headers = [(name, self._fill(value, **words)) for name, value in exchange.headers]
        words["signature"] = _signature(exchange.method, target, dict(headers), date)
        lines = [f"{name}: {self._fill(value, **words)}" for name, value in headers]
        head = "\r\n".join([f"{exchange.method} {target} HTTP/1.1", *lines, "", ""]).encode()
        if time.monotonic() > self._answered + IDLE_SECONDS:
            self.close()
        if self._line is None:
            self._line = Line(self.door, self.url)
        line = self._line
        if dict(headers).get("Expect") == "100-continue":
            line.send(head)
            interim = line.head()
            assert interim.status == 100, (exchange.title, interim, line.received())
            line.send(body)
        else:
            line.send(head + body)
        answer = line.answer(exchange.method)
        self._answered = time.monotonic()
        if answer.header("connection") == "close":
            self.close()
        return answer

    # -- answers

    def _has(self, answer: Answer, want: str) -> bool:
        if re.fullmatch(r"[\d ]+", want):
            return str(answer.status) in want.split()
        if want.startswith("body "):
            return answer.body == self._bytes(want.removeprefix("body "))
        if want.startswith("keep "):
            name, _, path = want.removeprefix("keep ").partition(" = ")
            values = _values(answer, path)
            self.known[name] = values[0] if values else ""
            return len(values) == 1
        if want.startswith("no "):
            return not _values(answer, want.removeprefix("no "))
        found = re.fullmatch(r"([\w-]+:) (.+)", want) or re.fullmatch(r"([\w/]+) = (.+)", want)
        if found is None:
            return bool(_values(answer, want))
        values = _values(answer, found[1])
        return bool(values) if found[2] == "*" else self._fill(found[2]) in values


def _values(answer: Answer, path: str) -> list[str]:
    """The values of a header (``Name:``) or the texts of all elements at a path."""
    if path.endswith(":"):
        return [value for name, value in answer.headers if f"{name}:" == path.lower()]
    if not answer.body.startswith(b"<"):
        return []
    root = ElementTree.fromstring(answer.body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    first, _, rest = path.partition("/")
    if root.tag != first:
        return []
    found = root.findall(rest) if rest else [root]
    return ["".join(element.itertext()) for element in found]


def _signature(method: str, target: str, headers: dict[str, str], date: str) -> str:
    """What the client's own signer would have put in place of ``{signature}``."""
    lower = {name.lower(): value for name, value in headers.items()}
    said = re.match(
        r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/(?P<region>[\w-]+)/s3/aws4_request,"
        r" ?SignedHeaders=(?P<signed>[\w;-]+),",
        lower["authorization"],
    )
    assert said is not None, lower["authorization"]
    how = Signature(KEY, date=date, region=said["region"], signed=said["signed"].split(";"))
    path, _, query = target.partition("?")
    return how.of_request(method, path, query, lower, lower["x-amz-content-sha256"])[0]


__all__ = ["Closed", "Exchange", "Replay", "read"]
