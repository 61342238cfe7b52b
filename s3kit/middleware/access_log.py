"""One line of JSON per request, through :mod:`logging` (logger ``s3kit.access``, level INFO).

.. code-block:: python

    app = access_log(app)
    logger = logging.getLogger("s3kit.access")
    logger.addHandler(LineFile("/var/log/s3kit/access.log"))
    logger.setLevel(logging.INFO)

A line is written when the answer's last byte has left, and says so where that did not happen. It
never holds a secret, a signature, a token, an Authorization header or a query string. Before any
other app than an S3App it says less: no operation, bucket, key.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import typing
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from typing import Final

from ..wire.environ import TrustedProxies
from ..wire.environ import public_url_parts
from .record import RequestRecord
from .record import redacted
from .record import secrets_of
from .record import watched

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("s3kit.access")

_LONGEST_TEXT: Final = 4096
_LONGEST_AGENT: Final = 256
_LONGEST_REASON: Final = 16384
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)
# dumps() makes an encoder at every call.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class AccessEntry(dict[str, Any]):
    """What is logged of one request: a dict for handlers that know it, as text a line of JSON."""

    def __str__(self) -> str:
        return _encode(self)


def access_log(
    app: WSGIApplication,
    *,
    trusted_proxies: Iterable[str] = (),
    log: logging.Logger | None = None,
) -> WSGIApplication:
    """``app`` with a line in the access log for every request.

    :param trusted_proxies: whose X-Forwarded-For counts for the client's address.
    :param log: in place of the logger ``s3kit.access``. The message of a log record is an
        :class:`AccessEntry`.
    :raises ValueError: an entry of ``trusted_proxies`` is no network.
    """
    proxies = TrustedProxies(trusted_proxies)
    chosen = logger if log is None else log

    def note(environ: WSGIEnvironment, record: RequestRecord) -> None:
        if chosen.isEnabledFor(logging.INFO):
            # As info() does, which would look for the line of code that it was called from.
            shown = entry(environ, record, proxies)
            chosen.handle(
                chosen.makeRecord(chosen.name, logging.INFO, __file__, 0, shown, (), None, "note")
            )

    def begin(environ: WSGIEnvironment, record: RequestRecord) -> None:
        if not record.trace_id:
            record.trace_id, record.span_id = trace_of(environ)

    return watched(app, note, begin)


def entry(environ: WSGIEnvironment, record: RequestRecord, proxies: TrustedProxies) -> AccessEntry:
    """What the access log says of a request; what is not known or did not happen is left out."""
    secrets = [*record.secrets, *secrets_of(environ)]
    shown = AccessEntry(
        time=instant(int(record.began * 1000)),
        request_id=record.request_id,
        method=environ["REQUEST_METHOD"][:32],
        status=record.status,
        seconds=round(record.seconds, 6),
        bytes_received=record.received,
        bytes_sent=record.sent,
        client=public_url_parts(environ, proxies)[3],
    )
    if record.operation:
        shown["operation"] = record.operation
    if record.bucket is not None:
        shown["bucket"] = _shown(record.bucket, secrets)
        if record.bucket_owner:
            shown["bucket_owner"] = record.bucket_owner
        if record.key is not None:
            shown["key"] = _shown(record.key.decode("utf-8", "replace"), secrets)
        if record.version_id is not None:
            shown["version_id"] = _shown(record.version_id, secrets)
    elif not record.operation:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        shown["path"] = _shown(path, secrets)
    if record.account is not None:
        shown["account"] = record.account
    if record.access_key is not None:
        shown["access_key"] = record.access_key
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        shown["user_agent"] = redacted(agent, None, secrets)[:_LONGEST_AGENT]
    if record.trace_id:
        shown["trace_id"] = record.trace_id
        shown["span_id"] = record.span_id
    if record.aborted:
        shown["aborted"] = record.aborted
    for name in ("error", "reason", "cause", "traceback"):
        text = getattr(record, name)
        if text:
            # The end of a traceback says most.
            shown[name] = redacted(text, environ, record.secrets)[-_LONGEST_REASON:]
    return shown


def instant(milliseconds: int) -> str:
    """A time, from the epoch on, as logs have it: ``2025-11-21T10:00:00.000Z``."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _shown(text: str, secrets: list[str]) -> str:
    # First what is secret, or the cut might go through it.
    return redacted(text, None, secrets)[:_LONGEST_TEXT]


def trace_of(environ: WSGIEnvironment) -> tuple[str, str]:
    """The trace id and span id of a request, both "" where it has none.

    They are OpenTelemetry's where a span is current, else those of a W3C ``traceparent``.
    """
    # Where nobody has imported it there is no span.
    telemetry: Any = sys.modules.get("opentelemetry.trace")
    if telemetry is not None:
        context = telemetry.get_current_span().get_span_context()
        if context.is_valid:
            return f"{context.trace_id:032x}", f"{context.span_id:016x}"
    found = _TRACEPARENT.fullmatch((environ.get("HTTP_TRACEPARENT") or "")[:256].strip())
    return (found.group(1), found.group(2)) if found else ("", "")


class LineFile(logging.Handler):
    """Appends each message to a file in one piece, so that many processes can share it.

    Rotation is left to the system: a file that was moved or removed is made anew at the next line.
    A file that is made can be read by its owner and group.

    :param path: ``-`` means standard output.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = "-" if path == "-" else os.path.abspath(path)
        self._file = -1
        self._identity: tuple[int, int] | None = None
        self._open()

    def _open(self) -> None:
        if self.path == "-":
            self._file = os.dup(1)
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._file = os.open(self.path, flags, 0o640)
        found = os.fstat(self._file)
        self._identity = (found.st_dev, found.st_ino)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            if self._moved():
                self._release()
                self._open()
            while line:
                # One call: the system appends what it is given whole, and between no others.
                line = line[os.write(self._file, line) :]
        except Exception:
            self.handleError(record)

    def _moved(self) -> bool:
        if self.path == "-":
            return self._file < 0
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def _release(self) -> None:
        # Never a number that the system may have given to another file meanwhile.
        file, self._file = self._file, -1
        self._identity = None
        if file >= 0:
            os.close(file)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        self.acquire()
        try:
            self._release()
        finally:
            self.release()
        super().close()
