"""``Expect: 100-continue`` under gunicorn: the client is asked for its body when it is first read.

gunicorn asks before it calls the application. S3's clients wait to be asked, so that a refused
upload need not be sent at all; a client that is asked, refused and cut off in the middle of its
upload often sees a broken connection in place of the answer.
"""

from __future__ import annotations

import socket
from typing import Any

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
    if connection is None or not hasattr(request.body, "reader"):
        return
    body = request.body
    request._expected_100_continue = False
    asking = body.reader = _AskingReader(body, connection)
    body.lazy_continue = True
    closes = request.should_close

    def should_close() -> bool:
        # A client that was not asked may send its body or not: nobody knows what comes next.
        return body.reader is asking or closes()

    request.should_close = should_close
