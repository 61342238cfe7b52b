"""After a refusal, the rest of a large upload is read away, so that its client sees the answer.

A server that closes while its client still sends makes TCP throw away what the client has not read
yet: the refusal is lost, and behind nginx it becomes a 502. gunicorn reads 64 KiB after an answer,
S3App a MiB before one; this reads on for the sake of uploads that come without
``Expect: 100-continue``.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any
from typing import Final

from .late_continue import is_unasked

MOST_BYTES: Final = 64 << 20
"""What most clients send in one request or part; more than that is cut off."""

SECONDS: Final = 10.0
"""How long one refused client may keep its thread."""


def after_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """gunicorn's ``post_request``: the answer has left, the connection is still open."""
    if getattr(response, "status_code", 0) < 400 or request.method not in ("PUT", "POST"):
        return
    connection = getattr(request.unreader, "sock", None)
    if connection is None or is_unasked(request):
        return
    end = time.monotonic() + SECONDS
    left = MOST_BYTES
    timeout = connection.gettimeout()
    # What a broken client or a closed connection raises is of no interest: nobody waits for it.
    with suppress(Exception):
        while left > 0 and (rest := end - time.monotonic()) > 0:
            connection.settimeout(rest)
            block = request.body.read(min(left, 65536))
            if not block:
                break
            left -= len(block)
    with suppress(OSError):
        connection.settimeout(timeout)
