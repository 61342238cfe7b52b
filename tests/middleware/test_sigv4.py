"""SigV4 in front of somebody's own app: who comes in, and which body the app gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import flask
import pytest
from botocore.config import Config as BotoConfig

from s3kit.errors import SignatureDoesNotMatch
from s3kit.errors import XAmzContentSHA256Mismatch
from s3kit.middleware.access_log import access_log
from s3kit.middleware.record import RECORD
from s3kit.middleware.record import RequestRecord
from s3kit.middleware.sigv4 import BodyRefused
from s3kit.middleware.sigv4 import require_sigv4
from s3kit.model import ANONYMOUS
from s3kit.testing import LiveServer
from tests.attacks.handmade import SIGNED_CHUNKS
from tests.attacks.handmade import SIGNED_TRAILER
from tests.attacks.handmade import UNSIGNED_TRAILER
from tests.attacks.handmade import Signature
from tests.attacks.handmade import Stream
from tests.attacks.handmade import amz_date
from tests.attacks.handmade import crc32
from tests.attacks.handmade import presign
from tests.attacks.handmade import sign
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import make_environ
from tests.endpoint import OWNER

KEYS = {OWNER.access_key: OWNER.secret_key}
BIG = bytes(range(256)) * 12_000
"""Of 3 MB: over what is read beforehand."""


class Own:
    """Somebody's own app: it reads its body and tells what it got."""

    def __init__(self, read: Callable[[Any], bytes] = lambda stream: stream.read()) -> None:
        self.read = read
        self.environ: dict[str, Any] = {}
        self.body: bytes | None = None
        self.called = 0

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.called += 1
        self.environ = environ
        self.body = self.read(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(environ["s3kit.caller"].account_id).encode()]


@pytest.fixture
def own() -> Own:
    return Own()


@pytest.fixture
def gate(own: Own) -> Client:
    return Client(require_sigv4(own, KEYS), OWNER)


def sent(gate: Client, method: str, target: str, *arguments: Any, **named: Any) -> Answer:
    """Sign by hand and send."""
    body = arguments[1] if len(arguments) > 1 else named.get("body", b"")
    return gate.send(method, target, sign(method, target, *arguments, **named), body)


def test_a_signed_request_comes_in_and_the_app_knows_whose_it_is(gate: Client, own: Own) -> None:
    answer = gate.request("POST", "/own/p%C3%A4th//x", "b=2&a=%20", body=b"hello")
    assert (answer.status, answer.body) == (200, b"default")
    assert own.environ["s3kit.caller"].access_key == OWNER.access_key
    assert own.body == b"hello"
    assert own.environ["QUERY_STRING"] == "b=2&a=%20"


def test_a_presigned_url_comes_in_until_it_ends(gate: Client, own: Own) -> None:
    assert gate.send("GET", presign("GET", "/own?x=1"), {"Host": "s3.test"}).status == 200
    old = Signature(date=amz_date(-400))
    answer = gate.send("GET", presign("GET", "/own", how=old), {"Host": "s3.test"})
    assert (answer.status, answer.code, answer.text("Message")) == (
        403,
        "AccessDenied",
        "Request has expired",
    )
    assert own.called == 1


def test_who_does_not_sign_rightly_stays_out(gate: Client, own: Own) -> None:
    assert Client(gate.app, None).get("/own").code == "AccessDenied"
    wrong = Client(gate.app, Signer(OWNER.access_key, "wrong"))
    assert wrong.get("/own").code == "SignatureDoesNotMatch"
    assert wrong.head("/own").body == b""
    assert Client(gate.app, Signer("NOBODY", "x")).get("/own").code == "InvalidAccessKeyId"
    late = Signature(date=amz_date(-3600))
    assert sent(gate, "GET", "/own", how=late).code == "RequestTimeTooSkewed"
    headers = gate.signed_headers("GET", "/own", {}, b"")
    assert gate.send("GET", "/other", headers).code == "SignatureDoesNotMatch"
    assert gate.send("GET", "/own", {**headers, "x-amz-acl": "x"}).code == "AccessDenied"
    assert own.called == 0


def test_a_stranger_may_be_told_nothing_at_all(own: Own) -> None:
    app = require_sigv4(own, KEYS, refusal="plain")
    for client in (Client(app, None), Client(app, Signer(OWNER.access_key, "wrong"))):
        answer = client.get("/own")
        assert (answer.status, answer.body) == (403, b"Forbidden\n")
        assert answer.headers["content-type"] == "text/plain"
    assert own.called == 0
    client = Client(app, OWNER)
    headers = client.signed_headers("PUT", "/own", {}, b"one")
    assert client.send("PUT", "/own", headers, b"two").status == 400


def test_anonymous_callers_come_in_only_by_option(own: Own) -> None:
    app = require_sigv4(own, KEYS, anonymous=True)
    assert Client(app, None).get("/own").body == b"None"
    assert own.environ["s3kit.caller"] is ANONYMOUS
    assert Client(app, Signer(OWNER.access_key, "wrong")).get("/own").status == 403


def test_nobody_further_out_speaks_for_the_caller(gate: Client, own: Own) -> None:
    environ = {"s3kit.caller": "forged"}
    answer = Client(gate.app, None).request("GET", "/own", environ=environ)
    assert answer.status == 403
    assert gate.request("GET", "/own", environ=environ).body == b"default"
    plain = Client(require_sigv4(own, KEYS, refusal="plain"), None)
    malformed = {"Authorization": "AWS4-HMAC-SHA256 nonsense"}
    assert plain.request("GET", "/own", headers=malformed, environ=environ).status == 403


def test_a_region_can_be_asked_for(own: Own) -> None:
    app = require_sigv4(own, KEYS, region="eu-central-1")
    assert Client(app, OWNER).get("/own").code == "AuthorizationHeaderMalformed"
    assert Client(app, OWNER, region="eu-central-1").get("/own").status == 200


def test_behind_a_trusted_proxy_the_outer_host_and_prefix_are_what_was_signed(own: Own) -> None:
    headers = sign("GET", "/files/own", {"Host": "files.example.com"})
    forwarded = {**headers, "Host": "inner", "X-Forwarded-Host": "files.example.com"}
    app = require_sigv4(own, KEYS, trusted_proxies=["127.0.0.1"], public_prefix="/files")
    assert Client(app, None).send("GET", "/own", forwarded).status == 200
    app = require_sigv4(own, KEYS, public_prefix="/files")
    assert Client(app, None).send("GET", "/own", forwarded).status == 403


# -- bodies


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 100_000, BIG], ids=len)
def test_the_app_reads_the_body_that_was_signed(gate: Client, own: Own, body: bytes) -> None:
    assert gate.put("/own", body).status == 200
    assert own.body == body


@pytest.mark.parametrize("body", [b"x" * 100_000, BIG], ids=len)
@pytest.mark.parametrize("payload", [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_the_app_reads_plain_bytes_of_a_framed_body(
    gate: Client, own: Own, payload: str, body: bytes
) -> None:
    trailer = {"x-amz-checksum-crc32": crc32(body)} if payload != SIGNED_CHUNKS else None
    half = len(body) // 2
    stream = Stream(
        "/own",
        [body[:half], body[half:]],
        payload=payload,
        trailer=trailer,
        headers={"Content-Encoding": "aws-chunked,gzip"},
    )
    assert stream.send(gate).status == 200
    assert own.body == body
    assert own.environ["CONTENT_LENGTH"] == str(len(body))
    assert own.environ["HTTP_CONTENT_ENCODING"] == "gzip"
    Stream("/own", [body], payload=payload, trailer=trailer).send(gate)
    assert "HTTP_CONTENT_ENCODING" not in own.environ


def test_a_small_body_that_was_changed_never_reaches_the_app(gate: Client, own: Own) -> None:
    headers = gate.signed_headers("PUT", "/own", {}, b"one")
    assert gate.send("PUT", "/own", headers, b"two").code == "XAmzContentSHA256Mismatch"
    stream = Stream("/own", [b"x" * 9000, b"y" * 9000])
    stream.frames[1] = stream.frames[1].replace(b"y", b"z")
    assert stream.send(gate).code == "SignatureDoesNotMatch"
    md5 = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert sent(gate, "PUT", "/own", md5, b"x").code == "BadDigest"
    wrong = {"x-amz-checksum-crc32": crc32(b"y")}
    assert sent(gate, "PUT", "/own", wrong, b"x").code == "BadDigest"
    assert own.called == 0


def in_pieces(stream: Any) -> bytes:
    return b"".join(iter(lambda: stream.read(70_000), b""))


def to_its_length(stream: Any) -> bytes:
    """As frameworks do: never asks for the end."""
    return b"".join(stream.read(len(BIG) // 30) for _ in range(30))


def in_lines(stream: Any) -> bytes:
    return b"".join(stream)


@pytest.mark.parametrize("read", [lambda s: s.read(), in_pieces, to_its_length, in_lines])
@pytest.mark.parametrize("where", ["first", "last"])
def test_the_last_bytes_of_a_changed_body_are_never_given_out(read: Any, where: str) -> None:
    got = bytearray()

    def reading(stream: Any) -> bytes:
        class Seen:
            """What the app reads through, so that what it got before the error is known."""

            def read(self, size: int = -1) -> bytes:
                data: bytes = stream.read(size)
                got.extend(data)
                return data

            def __iter__(self) -> Any:
                for line in stream:
                    got.extend(line)
                    yield line

        return read(Seen())

    own = Own(reading)
    client = Client(require_sigv4(own, KEYS), OWNER)
    changed = b"?" + BIG[1:] if where == "first" else BIG[:-1] + b"?"
    headers = client.signed_headers("PUT", "/own", {}, BIG)
    answer = client.send("PUT", "/own", headers, changed)
    assert answer.code == "XAmzContentSHA256Mismatch"
    assert own.body is None
    assert len(got) < len(BIG)


def test_a_framed_body_that_is_cut_raises_and_is_refused() -> None:
    seen: list[BaseException] = []

    def reading(stream: Any) -> bytes:
        for _ in range(2):
            with pytest.raises(BodyRefused) as caught:
                in_pieces(stream)
            seen.append(caught.value)
        return b""

    own = Own(reading)
    stream = Stream("/own", [BIG])
    stream.frames.pop()
    # The app catches the error and says that all is well; its client is told the truth.
    answer = stream.send(Client(require_sigv4(own, KEYS), OWNER))
    assert (answer.status, answer.code) == (400, "IncompleteBody")
    assert own.called == 1
    assert all(isinstance(each, OSError) for each in seen)
    assert len(seen) == 2


def test_an_app_that_answers_while_it_reads_is_corrected_too() -> None:
    def lazy(environ: Any, start_response: Any) -> Any:
        try:
            in_pieces(environ["wsgi.input"])
        except OSError:
            pass
        start_response("200 OK", [])
        yield b"stored"

    client = Client(require_sigv4(lazy, KEYS), OWNER)
    headers = client.signed_headers("PUT", "/own", {}, BIG)
    assert client.send("PUT", "/own", headers, BIG).body == b"stored"
    answer = client.send("PUT", "/own", headers, BIG[:-1] + b"?")
    assert answer.code == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize("raises", [OSError, ValueError])
def test_a_generator_that_fails_at_a_changed_body_is_corrected_too(
    raises: type[Exception],
) -> None:
    """Its code runs when its first block is asked for, after the call."""
    closed: list[bool] = []

    def lazy(environ: Any, start_response: Any) -> Any:
        try:
            try:
                in_pieces(environ["wsgi.input"])
            except OSError as error:
                raise raises("The client went away.") from error
            start_response("200 OK", [])
            yield b"stored"
        finally:
            closed.append(True)

    client = Client(require_sigv4(lazy, KEYS), OWNER)
    headers = client.signed_headers("PUT", "/own", {}, BIG)
    answer = client.send("PUT", "/own", headers, BIG[:-1] + b"?")
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert closed == [True]


def test_a_generator_that_has_begun_to_answer_fails_as_ever() -> None:
    def begun(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"begun"
        in_pieces(environ["wsgi.input"])

    client = Client(require_sigv4(begun, KEYS), OWNER)
    headers = client.signed_headers("PUT", "/own", {}, BIG)
    with pytest.raises(BodyRefused):
        client.send("PUT", "/own", headers, BIG[:-1] + b"?")


def test_a_body_without_a_declared_length_is_verified_at_its_end(gate: Client, own: Own) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    assert sent(gate, "PUT", "/own", headers, b"x" * 50).status == 200
    assert own.body == b"x" * 50
    signed = sign("PUT", "/own", headers, b"y" * 50)
    assert gate.send("PUT", "/own", signed, b"x" * 50).code == "XAmzContentSHA256Mismatch"


def test_an_app_may_leave_its_body_unread() -> None:
    own = Own(lambda stream: b"")
    client = Client(require_sigv4(own, KEYS), OWNER)
    assert client.put("/own", BIG).status == 200


def test_an_app_that_fails_of_itself_fails_as_ever() -> None:
    def broken(environ: Any, start_response: Any) -> Any:
        raise ZeroDivisionError

    for body in (b"x", BIG):
        with pytest.raises(ZeroDivisionError):
            Client(require_sigv4(broken, KEYS), OWNER).put("/own", body)


def test_the_refusal_and_the_caller_are_in_the_record(gate: Client) -> None:
    record = RequestRecord("my-id")
    answer = gate.request("GET", "/own", environ={RECORD: record})
    assert (record.account, record.access_key, record.error) == ("default", OWNER.access_key, "")
    record = RequestRecord("my-id")
    wrong = Client(gate.app, Signer(OWNER.access_key, "wrong"))
    answer = wrong.request("GET", "/own", environ={RECORD: record})
    assert answer.headers["x-amz-request-id"] == answer.text("RequestId") == "my-id"
    assert (record.account, record.error) == (None, SignatureDoesNotMatch.__name__)


# -- real clients, real frameworks


def test_boto3_uploads_into_a_flask_app_of_somebodys_own() -> None:
    app = flask.Flask(__name__)
    stored: dict[str, bytes] = {}

    @app.put("/<bucket>/<path:name>")
    def store(bucket: str, name: str) -> str:
        stored[name] = flask.request.get_data()
        return ""

    @app.get("/<bucket>/<path:name>")
    def load(bucket: str, name: str) -> bytes:
        return stored[name]

    app.wsgi_app = access_log(require_sigv4(app.wsgi_app, KEYS))  # type: ignore[method-assign, assignment]
    with LiveServer(app) as server:

        def client(secret: str) -> Any:
            return boto3.client(
                "s3",
                endpoint_url=server.url,
                region_name="us-east-1",
                aws_access_key_id=OWNER.access_key,
                aws_secret_access_key=secret,
                config=BotoConfig(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
            )

        mine, wrong = client(OWNER.secret_key), client("wrong")
        for body in (b"hello", BIG):
            mine.put_object(Bucket="own", Key="a b/ü", Body=body)
            assert mine.get_object(Bucket="own", Key="a b/ü")["Body"].read() == body
        with pytest.raises(wrong.exceptions.ClientError, match="SignatureDoesNotMatch"):
            wrong.put_object(Bucket="own", Key="other", Body=b"x")
        mine.close()
        wrong.close()
    assert list(stored) == ["a b/ü"]


def test_flask_does_not_see_the_end_of_a_body_that_was_changed() -> None:
    app = flask.Flask(__name__)
    seen = []

    @app.put("/own")
    def store() -> str:
        seen.append(flask.request.get_data())
        return "stored"

    client = Client(require_sigv4(app, KEYS), OWNER)
    headers = client.signed_headers("PUT", "/own", {}, BIG)
    answer = client.send("PUT", "/own", headers, BIG[:-1] + b"?")
    assert (answer.status, answer.code) == (400, XAmzContentSHA256Mismatch.__name__)
    assert seen == []


def test_verifying_holds_no_more_than_a_few_blocks_in_memory() -> None:
    class Endless:
        """Bytes without an end; counts how far it was read."""

        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return bytes(size)

    source = Endless()
    most = 0

    def reading(stream: Any) -> bytes:
        nonlocal most
        for count in range(1, 200):
            stream.read(65536)
            most = max(most, source.given - count * 65536)
        return b""

    target = "/own"
    headers = sign("PUT", target, payload="UNSIGNED-PAYLOAD")
    environ = make_environ("PUT", target, headers, source)
    environ["CONTENT_LENGTH"] = str(1 << 30)
    app = require_sigv4(Own(reading), KEYS)
    started = time.monotonic()
    app(environ, lambda *_: None)  # type: ignore[arg-type, return-value]
    assert 0 < most <= 3 << 20
    assert time.monotonic() - started < 10
