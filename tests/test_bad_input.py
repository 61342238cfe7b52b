"""Bad input, through the app and over real sockets.

S3's own code in XML with a RequestId, AWS's status, nothing stored; and over a socket the
connection goes on or is closed, but never answers the next request with the last one's bytes.
Documents, lengths and chunks are attacked one by one in tests/attacks; here each kind is sent
through real servers.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from s3kit.app import S3App
from s3kit.testing import LiveServer
from tests.attacks.handmade import SIGNED_CHUNKS
from tests.attacks.handmade import UNSIGNED_TRAILER
from tests.attacks.handmade import Signature
from tests.attacks.handmade import Stream
from tests.attacks.handmade import crc32
from tests.attacks.handmade import sign
from tests.cli.conftest import Serving
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import make_app

BUCKET = "/input"
BIG = 200_000


# -- through the app: limits of documents


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("memory", tmp_path_factory.mktemp("input"))
    assert Client(made, OWNER).put(BUCKET).status == 200
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    return Client(app, OWNER)


def parts_document(count: int) -> bytes:
    return (
        "<CompleteMultipartUpload>"
        + "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{number:032x}&quot;</ETag></Part>"
            for number in range(1, count + 1)
        )
        + "</CompleteMultipartUpload>"
    ).encode()


def test_10001_parts_are_malformed_and_10000_are_not(s3: Client) -> None:
    path = f"{BUCKET}/many"
    upload = s3.post(path, query="uploads").text("UploadId")
    answer = s3.post(path, parts_document(10_001), f"uploadId={upload}")
    assert (answer.status, answer.code) == (400, "MalformedXML")
    # As many as there may be are looked for, and these were never sent.
    answer = s3.post(path, parts_document(10_000), f"uploadId={upload}")
    assert (answer.status, answer.code) == (400, "InvalidPart")
    assert s3.head(path).status == 404
    assert s3.get(BUCKET, "uploads").texts("Upload/UploadId") == [upload]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("tagging", b"<Tagging><TagSet>%s</TagSet></Tagging>"),
        ("acl", b"<AccessControlPolicy><Owner/>%s</AccessControlPolicy>"),
    ],
)
def test_an_oversize_document_is_refused_before_it_is_parsed(
    s3: Client, query: str, body: bytes
) -> None:
    answer = s3.put(BUCKET, body % (b" " * (1 << 20)), query)
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")
    assert answer.text("MaxMessageLengthBytes") == str(1 << 20)
    assert s3.get(BUCKET, "tagging").status == 404


def test_an_oversize_complete_or_delete_is_refused(s3: Client) -> None:
    path = f"{BUCKET}/many"
    upload = s3.post(path, query="uploads").text("UploadId")
    large = parts_document(10_000)[: -len("</CompleteMultipartUpload>")] + b" " * (5 << 20)
    answer = s3.post(path, large, f"uploadId={upload}")
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")
    body = b"<Delete>" + b" " * (9 << 20)
    answer = s3.post(BUCKET, body, "delete", x_amz_checksum_crc32=crc32(body))
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")


# -- over real sockets


@dataclass
class Bad:
    """A request that must be refused; ``body`` may be shorter than ``length`` says."""

    method: str
    target: str
    status: int
    codes: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    payload: str | None = None
    length: int | None = None
    stream: Callable[[Signature], Stream] | None = None
    lines: tuple[str, ...] = ()
    """Header lines that are sent as they stand, after signing."""
    how: Callable[[], Signature] = Signature
    may_hang_up: bool = False
    """The server itself may refuse it, in its own words."""
    no_length_is_fine: bool = False
    """411 is: granian hides the length of a chunked body."""


XML = "<?xml version='1.0'?><!DOCTYPE Tagging [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Tagging/>"
BOMB = (
    "<!DOCTYPE Tagging [<!ENTITY a0 'lol'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    + "]><Tagging>&a11;</Tagging>"
)
KEY = f"{BUCKET}/k"
TAGS = f"{BUCKET}?tagging"
MALFORMED = (400, ("MalformedXML",))


def cut(word: str) -> Callable[[Signature], Stream]:
    """A stream that lacks its last chunk."""

    def make(how: Signature) -> Stream:
        trailer = {"x-amz-checksum-crc32": crc32(b"x" * 9000)} if word != SIGNED_CHUNKS else None
        stream = Stream(
            KEY, [b"x" * 9000], payload=word, trailer=trailer, how=how, headers=HOST_OF[0]
        )
        stream.frames = stream.frames[:1]
        return stream

    return make


def forged(how: Signature) -> Stream:
    """A stream whose first chunk is not the signed one."""
    stream = Stream(KEY, [b"x" * 9000, b"y"], how=how, headers=HOST_OF[0])
    stream.frames[0] = stream.frames[0].replace(b"xxx", b"xyx", 1)
    return stream


def mismatched(how: Signature) -> Stream:
    """A stream whose trailer has another checksum."""
    trailer = {"x-amz-checksum-crc32": crc32(b"other")}
    return Stream(
        KEY, [b"x" * 9000], payload=UNSIGNED_TRAILER, trailer=trailer, how=how, headers=HOST_OF[0]
    )


HOST_OF: list[dict[str, str]] = [{}]
"""The Host header of the server under test."""

BADS: dict[str, Bad] = {
    "malformed": Bad("PUT", TAGS, *MALFORMED, body=b"<Tagging>"),
    "dtd": Bad("PUT", TAGS, *MALFORMED, body=XML.encode()),
    "bomb": Bad("PUT", TAGS, *MALFORMED, body=BOMB.encode()),
    "malformed-big": Bad("PUT", TAGS, *MALFORMED, body=b"<Tagging>" + b"x" * BIG),
    "oversize": Bad("PUT", TAGS, 400, ("MaxMessageLengthExceeded",), body=b" " * ((1 << 20) + 1)),
    "metadata": Bad("PUT", KEY, 400, ("MetadataTooLarge",), {"x-amz-meta-a": "x" * 2048}, b"x"),
    "long-key": Bad("PUT", f"{BUCKET}/{'k' * 1025}", 400, ("KeyTooLongError",), body=b"x" * BIG),
    "no-utf8": Bad("PUT", f"{BUCKET}/%FF%FE", 400, ("InvalidURI",), body=b"x"),
    "crc": Bad("PUT", KEY, 400, ("BadDigest",), {"x-amz-checksum-crc32": "AAAAAA=="}, b"x" * BIG),
    "md5": Bad("PUT", KEY, 400, ("BadDigest",), {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, b"x"),
    "md5-no-base64": Bad("PUT", KEY, 400, ("InvalidDigest",), {"Content-MD5": "x"}, b"x"),
    "sha256": Bad("PUT", KEY, 400, ("XAmzContentSHA256Mismatch",), body=b"x", payload="0" * 64),
    "unknown-payload": Bad("PUT", KEY, 400, ("InvalidArgument",), body=b"x", payload="nonsense"),
    "chunk-signature": Bad("PUT", KEY, 403, ("SignatureDoesNotMatch",), stream=forged),
    "trailer": Bad("PUT", KEY, 400, ("BadDigest",), stream=mismatched),
    "cut-chunks": Bad("PUT", KEY, 400, ("IncompleteBody",), stream=cut(SIGNED_CHUNKS)),
    "cut-trailer": Bad("PUT", KEY, 400, ("IncompleteBody",), stream=cut(UNSIGNED_TRAILER)),
    "truncated": Bad(
        "PUT", KEY, 400, ("IncompleteBody", "RequestTimeout"), body=b"x" * 100,
        payload="UNSIGNED-PAYLOAD", length=BIG, may_hang_up=True,
    ),
    "too-long": Bad(
        "PUT", KEY, 400, ("EntityTooLarge",), payload="UNSIGNED-PAYLOAD", length=6 << 30
    ),
    "no-signature": Bad(
        "PUT", KEY, 403, ("AccessDenied",), {"x-amz-acl": "private"}, b"x" * BIG,
        lines=("x-amz-meta-unsigned: 1",),
    ),
    "doubled": Bad(
        "PUT", KEY, 403, ("SignatureDoesNotMatch",), {"x-amz-meta-a": "1"}, b"x",
        lines=("x-amz-meta-a: 2",),
    ),
    "doubled-date": Bad(
        "PUT", KEY, 403, ("SignatureDoesNotMatch", "AccessDenied"), body=b"x",
        lines=("x-amz-date: 20200101T000000Z",),
    ),
    "doubled-length": Bad(
        "PUT", KEY, 400, ("InvalidArgument", "BadRequest", "XAmzContentSHA256Mismatch"),
        body=b"x" * 10, lines=("Content-Length: 5",), may_hang_up=True,
    ),
    "odd-length": Bad(
        "PUT", KEY, 400, ("InvalidArgument",), body=b"", length=-1, may_hang_up=True
    ),
    "two-framings": Bad(
        "PUT", KEY, 400, ("InvalidRequest",), body=b"0\r\n\r\n", payload="UNSIGNED-PAYLOAD",
        lines=("Transfer-Encoding: chunked",), may_hang_up=True, no_length_is_fine=True,
    ),
    "unknown-coding": Bad(
        "PUT", KEY, 400, ("InvalidRequest", "NotImplemented"), body=b"x",
        lines=("Transfer-Encoding: gzip",), may_hang_up=True,
    ),
    "folded": Bad(
        "PUT", KEY, 403, ("SignatureDoesNotMatch",), {"x-amz-meta-a": "one"}, b"x",
        lines=("x-amz-meta-a: two\r\n three",), may_hang_up=True,
    ),
    "old": Bad(
        "PUT", KEY, 403, ("RequestTimeTooSkewed",), body=b"x" * BIG,
        how=lambda: Signature(date="20200101T000000Z"),
    ),
    "no-operation": Bad(
        "PUT", f"{BUCKET}?metadataJournalTable", 501, ("NotImplemented",), body=b"x" * BIG
    ),
    "no-method": Bad("PATCH", KEY, 405, ("MethodNotAllowed",), body=b"x" * 10),
    "no-bucket": Bad("PUT", "/no-such-bucket/k", 404, ("NoSuchBucket",), body=b"x" * BIG),
    "no-bucket-name": Bad("PUT", "/Not_A_Name/k", 400, ("InvalidBucketName",), body=b"x"),
    "precondition": Bad("PUT", f"{BUCKET}/there", 412, ("PreconditionFailed",),
                        {"If-None-Match": "*"}, b"x" * BIG),
}  # fmt: skip


class Wire:
    """A server under test, and raw HTTP to it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.host = {"Host": f"127.0.0.1:{port}"}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def signed(self, method: str, target: str, body: bytes = b"") -> bytes:
        """A whole valid request."""
        headers = sign(method, target, self.host, body)
        return raw(method, target, {**headers, "Content-Length": str(len(body))}) + body

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a valid request on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(self.signed(method, target, body))
            status, _, data, _ = read(connection, method)
            return status, data


def raw(method: str, target: str, headers: dict[str, str], *lines: str) -> bytes:
    """The head of a request."""
    sent = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*sent, *lines, "", ""]).encode("latin-1")


def read(connection: socket.socket, method: str) -> tuple[int, dict[str, str], bytes, bool]:
    """Status, headers, body, and whether the server will close."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
        data = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, data, bool(answer.will_close)
    finally:
        answer.close()


SERVERS = ["gunicorn", "granian", "werkzeug", "live"]
# Each answer of these ends its connection.
HTTP_1_0 = ("werkzeug", "live")


@pytest.fixture(scope="module", params=SERVERS)
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    folder: Path = tmp_path_factory.mktemp("served")
    name: str = request.param
    if name == "live":
        app = make_app("memory", folder)
        with LiveServer(app) as server:
            yield from prepared(Wire(name, server.port))
        app.close()
        return
    arguments = ["--server", name, "--access-key", OWNER.access_key]
    serving = Serving([*arguments, "--secret-key", OWNER.secret_key, "--data", "data"], folder, {})
    try:
        yield from prepared(Wire(name, serving.port))
    finally:
        serving.close()


def prepared(wire: Wire) -> Iterator[Wire]:
    assert wire.ask("PUT", BUCKET)[0] == 200
    assert wire.ask("PUT", f"{BUCKET}/there", b"there")[0] == 200
    HOST_OF[0] = wire.host
    yield wire


def send(wire: Wire, bad: Bad, connection: socket.socket) -> None:
    how = bad.how()
    if bad.stream is not None:
        stream = bad.stream(how)
        headers, body = stream.headers, stream.body
    else:
        body = bad.body
        headers = sign(
            bad.method, bad.target, {**wire.host, **bad.headers}, body, payload=bad.payload, how=how
        )
    length = len(body) if bad.length is None else bad.length
    head = raw(bad.method, bad.target, {**headers, "Content-Length": str(length)}, *bad.lines)
    try:
        connection.sendall(head + body)
        if bad.length is not None and bad.length > len(body):
            connection.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        # Answered and closed while the body was still on its way.
        pass


@pytest.mark.parametrize("name", sorted(BADS))
def test_bad_input_is_refused_and_the_connection_goes_on_or_is_closed(
    wire: Wire, name: str
) -> None:
    bad = BADS[name]
    with wire.connect() as connection:
        send(wire, bad, connection)
        try:
            status, headers, data, closes = read(connection, bad.method)
        except (ConnectionError, http.client.HTTPException):
            assert bad.may_hang_up or len(bad.body) >= BIG
            status, headers, data, closes = 0, {}, b"", True
        if status and "x-amz-request-id" in headers:
            assert status == bad.status or (status == 411 and bad.no_length_is_fine), data
            assert headers["content-type"] == "application/xml"
            root = ElementTree.fromstring(data)
            code = root.findtext("Code")
            assert code in bad.codes or (code == "MissingContentLength" and status == 411), data
            assert root.findtext("Message")
            assert root.findtext("RequestId") == headers["x-amz-request-id"]
        elif status:
            assert bad.may_hang_up, (status, data)
            assert 400 <= status < 600
        if closes or bad.length is not None:
            assert_closed(connection)
        else:
            assert_usable(wire, connection)
    # Nothing is stored, nothing is changed, and others are served.
    assert wire.ask("GET", f"{BUCKET}/there") == (200, b"there")
    listed = wire.ask("GET", BUCKET)[1]
    assert re.findall(b"<Key>(.*?)</Key>", listed) == [b"there"]
    assert wire.ask("GET", TAGS)[0] == 404


def assert_closed(connection: socket.socket) -> None:
    """The server hangs up, and nothing but the end follows."""
    try:
        # Some servers first read away what they refused; so tell them that nothing more comes.
        connection.shutdown(socket.SHUT_WR)
        rest = connection.recv(65536)
    except OSError as error:
        assert not isinstance(error, TimeoutError), "the connection stays open"
        return
    assert rest == b""


def assert_usable(wire: Wire, connection: socket.socket) -> None:
    """The next request on this connection gets its own answer; a closed one is fine too."""
    try:
        connection.sendall(wire.signed("GET", f"{BUCKET}/there"))
        status, _, data, _ = read(connection, "GET")
    except (ConnectionError, http.client.HTTPException):
        return
    assert (status, data) == (200, b"there")


@pytest.mark.parametrize("name", ["malformed", "crc", "md5", "sha256", "no-bucket", "metadata",
                                  "chunk-signature", "precondition", "long-key"])  # fmt: skip
def test_a_refusal_keeps_the_connection(wire: Wire, name: str) -> None:
    """Small bodies are read away, so that keep-alive clients do not lose their connection."""
    bad = BADS[name]
    with wire.connect() as connection:
        for _ in range(3):
            send(wire, bad, connection)
            status, _, _, closes = read(connection, bad.method)
            assert status == bad.status
            if wire.name in HTTP_1_0:
                assert closes
                assert_closed(connection)
                break
            assert not closes
            connection.sendall(wire.signed("GET", f"{BUCKET}/there"))
            status, _, data, _ = read(connection, "GET")
            assert (status, data) == (200, b"there")


def test_valid_twins_pass_on_the_wire(wire: Wire) -> None:
    def stream(word: str, trailer: Any = None) -> tuple[dict[str, str], bytes]:
        made = Stream(KEY, [b"x" * 9000], payload=word, trailer=trailer, headers=wire.host)
        return made.headers, made.body

    right = {"x-amz-checksum-crc32": crc32(b"x" * 9000)}
    plain = sign("PUT", KEY, {**wire.host, **right, "x-amz-meta-a": "x" * 2047}, b"x" * 9000)
    for headers, body in (
        (plain, b"x" * 9000),
        stream(SIGNED_CHUNKS),
        stream(UNSIGNED_TRAILER, right),
    ):
        with wire.connect() as connection:
            head = raw("PUT", KEY, {**headers, "Content-Length": str(len(body))})
            connection.sendall(head + body)
            assert read(connection, "PUT")[0] == 200
        assert wire.ask("GET", KEY) == (200, b"x" * 9000)
        assert wire.ask("DELETE", KEY)[0] == 204


def test_bytes_beyond_the_length_are_the_next_request_or_end_the_connection(wire: Wire) -> None:
    """An overlong body is never stored, and never mistaken for a valid request's answer."""
    body = b"x" * 10
    with wire.connect() as connection:
        connection.sendall(wire.signed("PUT", KEY, body) + b"more than was declared\r\n\r\n")
        assert read(connection, "PUT")[0] == 200
        connection.settimeout(5)
        try:
            rest = connection.recv(65536)
        except (ConnectionError, TimeoutError):
            rest = b""
        assert b" 200 " not in rest.split(b"\r\n")[0]
    assert wire.ask("GET", KEY) == (200, body)
    assert wire.ask("DELETE", KEY)[0] == 204
