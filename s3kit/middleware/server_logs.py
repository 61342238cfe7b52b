"""The lines of server access logs: what S3App knows of a request, when its answer has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from ..model import Bucket
from ..operations.bucket_logging import target_of
from ..wire.environ import public_url_parts
from ..wire.environ import raw_target
from ..wire.server_log import LogEntry
from ..wire.server_log import request_uri
from .record import redacted

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..call import Beside
    from ..call import Call
    from ..call import Site
    from ..wire.response import Headers

logger = logging.getLogger("s3kit.middleware")


@dataclass(slots=True)
class Answered:
    """A request whose answer is known. ``call`` is None where it was refused before one was made.

    ``operation`` is S3's name of it, "" where that is not known, ``name`` a log's.
    ``began`` in seconds since the epoch; ``error`` is an S3 error's code or "".
    """

    site: Site
    environ: WSGIEnvironment
    call: Call | None
    operation: str
    name: str
    bucket: Bucket | None
    key: bytes | None
    began: float
    request_id: str
    host_id: str
    status: int
    headers: Headers
    error: str

    def note(self, sent: int, first: float) -> None:
        """Write the request's lines; no failure of it is the client's.

        :param sent: bytes of the body.
        :param first: when its first byte went, in seconds since the epoch.
        """
        try:
            self._note(sent, first)
        except Exception:
            logger.exception("Request %s is in no server access log.", self.request_id)

    def _note(self, sent: int, first: float) -> None:
        store = self.site.store
        call = self.call
        entry = None
        if self.bucket is not None:
            target = target_of(store, self.bucket)
            if target is not None:
                entry = self._entry(self.bucket, sent, first)
                store.server_logs.add(self.bucket, target, entry.line(), self.began)
        for beside in () if call is None or call.beside is None else call.beside:
            target = target_of(store, beside.bucket)
            if target is not None:
                store.server_logs.add(
                    beside.bucket, target, self._beside(beside).line(), self.began
                )

    def _entry(self, bucket: Bucket, sent: int, first: float) -> LogEntry:
        environ, call = self.environ, self.call
        _scheme, host, _prefix, client = public_url_parts(environ, self.site.trusted)
        method: str = environ["REQUEST_METHOD"]
        target = raw_target(environ)
        cipher, tls = encryption_of(environ)
        now = time.time()
        key = self.key
        if key is not None and b"ignature" in key:
            # A presigned URL whose question mark was sent as %3F.
            key = redacted(key.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        return LogEntry(
            bucket_owner=bucket.account,
            bucket=bucket.name,
            time=self.began,
            remote_address=client,
            requester=None if call is None else call.caller.account_id,
            request_id=self.request_id,
            operation=self.name,
            key=key,
            request_uri=redacted(
                request_uri(
                    method, target.path, target.query, environ.get("SERVER_PROTOCOL", "HTTP/1.1")
                )
            ),
            status=self.status,
            error=self.error,
            bytes_sent=sent,
            object_size=self._object_size(method),
            total_ms=max(0, round((now - self.began) * 1000)),
            # When the last byte of a body came is not known.
            turnaround_ms=None if self._has_body() else max(0, round((first - self.began) * 1000)),
            referrer=redacted(text_of(environ.get("HTTP_REFERER"))),
            user_agent=redacted(text_of(environ.get("HTTP_USER_AGENT"))),
            version_id=None if call is None else call.query.get("versionId"),
            host_id=self.host_id,
            authentication="anonymous" if call is None else call.identity.kind,
            cipher=cipher,
            host=host,
            tls=tls,
            acl_required=call is not None and call.acl_required,
        )

    def _beside(self, beside: Beside) -> LogEntry:
        return replace(
            self._entry(beside.bucket, 0, self.began),
            operation=beside.operation,
            key=beside.key,
            version_id=beside.version_id,
            status=beside.status or self.status,
            error=beside.error if beside.status else self.error,
            object_size=beside.size,
            total_ms=None,
            turnaround_ms=None,
        )

    def _has_body(self) -> bool:
        call = self.call
        return call is not None and call.has_body()

    def _object_size(self, method: str) -> int | None:
        """The size of the object in question, as the headers tell it."""
        if self.key is None or self.status >= 300:
            return None
        name = self.operation
        length: str | None
        if name in ("GetObject", "HeadObject"):
            sent = dict(self.headers)
            length = sent.get("Content-Range", "").rpartition("/")[2] or sent.get("Content-Length")
        elif name in ("PutObject", "UploadPart"):
            length = self.environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or self.environ.get(
                "CONTENT_LENGTH"
            )
        else:
            return None
        return int(length) if length and length.isascii() and length.isdigit() else None


def observed(answered: Answered, body: Iterable[bytes]) -> Iterable[bytes]:
    """``body``, and the request's lines written when it has ended or broken off."""
    if type(body) is list or type(body) is tuple:
        answered.note(sum(map(len, body)), time.time())
        return body
    return _Observed(answered, body)


class _Observed:
    """Counts the blocks of an answer and notices its end."""

    __slots__ = ("_answered", "_body", "_first", "_next", "_sent")

    def __init__(self, answered: Answered, body: Iterable[bytes]) -> None:
        self._answered: Answered | None = answered
        self._body = body
        self._next = iter(body).__next__
        self._sent = 0
        self._first = 0.0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            block = self._next()
        except BaseException:
            self._end()
            raise
        self._first = self._first or time.time()
        self._sent += len(block)
        return block

    def close(self) -> None:
        """The server is done, perhaps because the client went away."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._end()

    def _end(self) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered.note(self._sent, self._first or time.time())


def encryption_of(environ: WSGIEnvironment) -> tuple[str, str]:
    """Cipher suite and TLS version, "" where the connection has none or the server tells none."""
    cipher: Any = environ.get("SSL_CIPHER") or ""
    version: Any = environ.get("SSL_PROTOCOL") or ""
    if not cipher:
        socket: Any = environ.get("gunicorn.socket")
        read = getattr(socket, "cipher", None)
        if read is not None:
            try:
                found = read()
            except (OSError, ValueError):
                found = None
            if found:
                cipher, version = found[0], found[1]
    return str(cipher), str(version)


def text_of(value: str | None) -> str:
    """A header's text: WSGI gives its bytes as latin-1."""
    if not value:
        return ""
    try:
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value
