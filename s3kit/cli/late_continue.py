"""``Expect: 100-continue``: the client is asked for its body when the body is first read.

gunicorn asks before it calls the application. S3's clients wait to be asked, so that a refused
upload need not be sent at all; a client that is asked, refused and cut off in the middle of its
upload often sees a broken connection in place of the answer.

granian asks late by itself, but keeps the connection where it did not ask.

Any other expectation is passed over, as S3 does; gunicorn would answer 417 before the application
is called.
"""

from __future__ import annotations

import socket
import typing
from collections.abc import Iterable
from typing import Any

from .gunicorn_parser import keep_headers

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _AskingReader:
    """Asks at the first read, and then leaves the body to gunicorn's own reader."""

    __slots__ = ("_body", "_reader", "_socket")

    def __init__(self, body: Any, connection: socket.socket) -> None:
        self._body = body
        self._reader = body.reader
        self._socket = connection

    def read(self, size: int) -> bytes:
        self._socket.sendall(CONTINUE)
        self._body.reader = self._reader
        data: bytes = self._reader.read(size)
        return data


def before_request(worker: Any, request: Any) -> None:
    """gunicorn's ``pre_request``. Does nothing where a gunicorn is built differently."""
    if not getattr(request, "_expected_100_continue", False):
        return
    connection = getattr(request.unreader, "sock", None)
    body = request.body
    if connection is None or not hasattr(body, "reader"):
        return
    if getattr(body.reader, "length", None) == 0:
        # gunicorn asks even for an empty body, so the connection can stay: see closing_unasked.
        return
    request._expected_100_continue = False
    asking = body.reader = _AskingReader(body, connection)
    body.lazy_continue = True
    closes = request.should_close

    def should_close() -> bool:
        # A client that was not asked may send its body or not: nobody knows what comes next.
        return body.reader is asking or closes()

    request.should_close = should_close


def is_unasked(request: Any) -> bool:
    """Whether the client still waits to be asked for this request's body."""
    return isinstance(getattr(request.body, "reader", None), _AskingReader)


def take_any_expectation() -> None:
    """Let gunicorn's parser, in this process, pass over an ``Expect`` that it does not know.

    Does nothing where a gunicorn is built differently; those before 25 refuse none.
    """
    keep_headers(lambda name, value: name == "EXPECT" and value.lower() != "100-continue")


class _NotingInput:
    """Notes whether the body was read, and so asked for."""

    __slots__ = ("asked", "read")

    def __init__(self, stream: Any) -> None:
        self.asked = False
        later = stream.read

        def first(size: int = -1) -> bytes:
            self.asked = True
            self.read = later
            data: bytes = later(size)
            return data

        self.read = first


def closing_unasked(app: WSGIApplication) -> WSGIApplication:
    """``app`` for granian: the connection closes after a body that was not asked for.

    A client that was not asked may send its body or not. And botocore, which waits to be asked even
    where the body is empty, gives the status of an answer that came instead to every later answer
    on the connection, takes that one's own status line for a broken header, and waits half a
    minute for the rest of it.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_EXPECT" not in environ:
            return app(environ, start_response)
        noting = environ["wsgi.input"] = _NotingInput(environ["wsgi.input"])

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if not noting.asked:
                headers = [*headers, ("Connection", "close")]
            return start_response(status, headers)

        return app(environ, start)

    return call
