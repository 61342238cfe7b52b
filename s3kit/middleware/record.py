"""What is known of one request, in one object that all who watch requests share.

The access log, metrics and traces ask for it by putting a :class:`RequestRecord` into
``environ["s3kit.request"]``; so can any wrapper of yours. S3App fills in what it finds there, and
does nothing where nobody asked. :func:`watched` times and counts; the outermost watcher does it
for all.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
import typing
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import Final
from urllib.parse import unquote

from ..errors import AccessDenied
from ..errors import S3Error

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from ..call import Asked
    from ..call import Call
    from ..model import Caller
    from ..wire.routing import Operation

logger = logging.getLogger("s3kit.middleware")

RECORD: Final = "s3kit.request"
"""The environ key of the :class:`RequestRecord`."""

Begin = Callable[["WSGIEnvironment", "RequestRecord"], object]
"""Called once per request, before the app."""

End = Callable[["WSGIEnvironment", "RequestRecord"], object]
"""Called once per request, when the last byte of its answer was handed to the server."""

_UNPROVEN: Final = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredToken",
        "ExpiredTokenException",
        "IDPRejectedClaim",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
"""The errors of those who could not say who they are."""


class RequestRecord:
    """What is known of one request; complete when its answer has ended.

    ``operation``, ``bucket``, ``key``, ``version_id``, ``account`` and ``access_key`` are S3's: an
    app that is no S3App leaves them empty. ``bucket_owner`` is an account's id where names of
    buckets are per account, else "". ``account`` and ``access_key`` are of a verified
    signature (``access_key`` also of one that did not match), and so are ``principal``, the end of
    the ARN of whoever is not the account itself, and ``session``, the key that opened the session;
    ``signed`` tells where the signature stood: ``header``, ``query`` or ``form``, ``anonymous``
    without one, ``python`` for :class:`~s3kit.client.Client`. ``decision`` is ``allow``, ``deny``,
    ``partial`` (some of many keys) or "" where none was needed; ``decided_by`` the rule
    (``Decision.by``, ``signature`` or ``https``) and ``why`` its reason; ``actions`` are what was
    asked. ``error`` is an S3 error's code, ``reason`` its message (of an AccessDenied ``why``),
    ``cause`` the exception behind it, ``traceback`` that of an exception that nobody expected; they
    may quote the request, so show them through :func:`redacted`, with the ``secrets`` of its form.
    ``received`` and ``sent`` count bytes of bodies; ``began`` is in seconds since the epoch;
    ``seconds`` is the time to the end of the answer; ``aborted`` names the body, ``request`` or
    ``response``, that broke off.
    """

    __slots__ = (
        "_call",
        "_started",
        "aborted",
        "access_key",
        "account",
        "actions",
        "audited",
        "began",
        "bucket",
        "bucket_owner",
        "cause",
        "decided_by",
        "decision",
        "ends",
        "error",
        "key",
        "operation",
        "principal",
        "reason",
        "received",
        "request_id",
        "seconds",
        "secrets",
        "sent",
        "session",
        "signed",
        "span_id",
        "status",
        "trace_id",
        "traceback",
        "version_id",
        "why",
    )

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
        self.operation = ""
        self.bucket: str | None = None
        self.bucket_owner = ""
        self.key: bytes | None = None
        self.version_id: str | None = None
        self.account: str | None = None
        self.access_key: str | None = None
        self.principal = ""
        self.session = ""
        self.signed = ""
        self.actions: tuple[str, ...] = ()
        self.decision = ""
        self.decided_by = ""
        self.why = ""
        self.secrets: tuple[str, ...] = ()
        self.audited = False
        self.error = ""
        self.reason = ""
        self.cause = ""
        self.traceback = ""
        self.status = 0
        self.received = 0
        self.sent = 0
        self.began = 0.0
        self.seconds = 0.0
        self.aborted = ""
        self.trace_id = ""
        self.span_id = ""
        self.ends: list[End] | None = None
        self._started = 0.0
        self._call: Call | None = None

    # -- what apps tell

    def addressed(self, bucket: str | None, key: bytes | None, operation: Operation | None) -> None:
        """S3App: what the request seems to mean; its signature is still to be looked at."""
        self.bucket = bucket
        self.key = key
        if operation is not None:
            self.operation = operation.name

    def called(self, call: Call) -> None:
        """S3App: this is the request; it is looked at again when it is answered."""
        self._call = call
        call.asked = []

    def answered(self, request_id: str) -> None:
        """S3App: it is answered, so that what the handler found out is known too."""
        self.request_id = request_id
        call = self._call
        if call is None:
            if self.error in _UNPROVEN or self.error == "AccessDenied":
                self.decision, self.why = "deny", self.reason
                self.decided_by = self.decided_by or "signature"
            return
        # A record that keeps the call would keep the environ that keeps the record.
        self._call = None
        self.operation = call.operation.name
        self.bucket = call.bucket_name
        if call.maybe_bucket is not None and call.store.buckets.per_account:
            self.bucket_owner = call.maybe_bucket.account
        self.key = call.key
        if call.query.names:
            self.version_id = call.query.get("versionId")
        identity = call.identity
        claimed = self.access_key
        self.identified(identity.caller)
        self.signed = identity.kind
        if call.fields is not None and self.account is None and self.error in _UNPROVEN:
            # A form, whose signature is looked at last.
            self.signed, self.access_key = "", claimed
        if call.fields is not None:
            self.secrets = tuple(call.fields[name] for name in _SECRET_FIELDS & call.fields.keys())
        self._decided(call.asked or ())

    def identified(self, caller: Caller) -> None:
        """The signature was right, and is this caller's."""
        self.account = caller.account_id
        self.access_key = caller.access_key
        self.principal = caller.principal
        if caller.session is not None:
            self.session = caller.session.parent

    def _decided(self, asked: Sequence[Asked]) -> None:
        """What came of the questions that Access was asked."""
        self.actions = tuple(dict.fromkeys(each.action for each in asked))
        if self.error == "AccessDenied":
            self.decision = "deny"
            refused = [each for each in asked if not each.decision.allowed]
            # What the request hung on; the other questions only shape an answer.
            chosen = next((each for each in reversed(refused) if each.required), None)
            if chosen is None and refused and self.reason == AccessDenied.message:
                chosen = refused[-1]
            if chosen is None:
                self.why = self.reason
            else:
                self._decided_as(chosen)
                self.reason = f"{chosen.action}: {self.why}"
        elif self.error in _UNPROVEN:
            self.decision, self.decided_by, self.why = "deny", "signature", self.reason
        elif asked:
            allowed = {each.decision.allowed for each in asked}
            required = [each for each in asked if each.required and each.decision.allowed]
            if required:
                self.decision = "allow"
                self._decided_as(required[-1])
            else:
                self.decision = (
                    "partial" if len(allowed) > 1 else "allow" if True in allowed else "deny"
                )
                refused = [each for each in asked if not each.decision.allowed]
                self._decided_as((refused or asked)[-1])

    def _decided_as(self, asked: Asked) -> None:
        self.decided_by, self.why = asked.decision.by, asked.decision.reason

    def refused(self, error: S3Error) -> None:
        """The answer is this error. While another exception is handled, that is its cause."""
        self.error = error.code
        self.reason = error.text
        current = sys.exception()
        if current is not None and not isinstance(current, S3Error):
            self.failed(current)
        elif error.__cause__ is not None:
            self.cause = _brief(error.__cause__)
        if self.access_key is None and error.code == "SignatureDoesNotMatch":
            # Of a key that exists: others may be anything, also a secret in the wrong place.
            self.access_key = str(error.details.get("aws_access_key_id", "")) or None

    def failed(self, error: BaseException) -> None:
        """Nobody expected this exception."""
        self.cause = _brief(error)
        self.traceback = "".join(traceback.format_exception(error))

    # -- what is measured

    def begin(self) -> None:
        """Start the clock."""
        self.began = time.time()
        self._started = time.perf_counter()

    def end(self, environ: WSGIEnvironment) -> None:
        """Stop the clock and tell all that watch; the first time only."""
        ends, self.ends = self.ends, None
        if ends is None:
            return
        self.seconds = time.perf_counter() - self._started
        for end in ends:
            try:
                end(environ, self)
            except Exception:
                # The answer is the client's: no log may spoil it.
                logger.exception("Request %s could not be noted.", self.request_id)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


def watched(app: WSGIApplication, end: End, begin: Begin | None = None) -> WSGIApplication:
    """``app``, with ``end`` called when an answer has ended.

    An answer ends with its last block, or where its client went away. An answer in one piece, a
    list under granian, ends when it is handed over.

    :param begin: called before the app.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        record: RequestRecord | None = environ.get(RECORD)
        if record is None:
            record = environ[RECORD] = RequestRecord()
        if begin is not None:
            begin(environ, record)
        if record.ends is not None:
            record.ends.append(end)
            return app(environ, start_response)
        record.ends = [end]
        return _watch(app, environ, start_response, record)

    return call


def _watch(
    app: WSGIApplication,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    record: RequestRecord,
) -> Iterable[bytes]:
    record.begin()
    length = environ.get("CONTENT_LENGTH")
    if (length and length != "0") or "HTTP_TRANSFER_ENCODING" in environ:
        _count_input(environ, record, length)

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        record.status = int(status[:3])
        if exc_info is None:
            write = start_response(status, headers)
        else:
            write = start_response(status, headers, exc_info)

        def counting(data: bytes) -> object:
            record.sent += len(data)
            return write(data)

        return counting

    try:
        result = app(environ, start)
    except BaseException as error:
        record.status = record.status or 500
        record.failed(error)
        record.end(environ)
        raise
    if type(result) is list or type(result) is tuple:
        if not result or environ.get("SERVER_SOFTWARE") == "Granian":
            # granian sends a list at once, anything else block by block through a thread.
            record.sent += sum(map(len, result))
            record.end(environ)
            return result
        return _SizedAnswer(result, environ, record)
    return _Answer(result, environ, record)


class _Answer:
    """Counts the blocks of an answer and notices its end."""

    __slots__ = ("_environ", "_next", "_record", "_result")

    def __init__(
        self, result: Iterable[bytes], environ: WSGIEnvironment, record: RequestRecord
    ) -> None:
        self._record = record
        self._environ = environ
        self._result = result
        self._next = iter(result).__next__

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        record = self._record
        try:
            block = self._next()
        except StopIteration:
            record.end(self._environ)
            raise
        except BaseException as error:
            record.aborted = "response"
            record.failed(error)
            record.end(self._environ)
            raise
        record.sent += len(block)
        return block

    def close(self) -> None:
        """The server is done: without having asked for the end, when the client went away."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._broken()

    def _broken(self) -> None:
        if self._record.ends is not None:
            self._record.aborted = self._record.aborted or "response"
            self._record.end(self._environ)

    def __del__(self) -> None:
        # Not every server closes an answer that it could not send.
        self._broken()


class _SizedAnswer(_Answer):
    """Of a list: servers work the Content-Length of an answer of one block out."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)  # type: ignore[arg-type]


def _count_input(environ: WSGIEnvironment, record: RequestRecord, length: str | None) -> None:
    stream = environ["wsgi.input"]
    if type(stream).__module__.startswith("cheroot"):
        # Known by its type to end by itself, which it is about to lose.
        environ["wsgi.input_terminated"] = True
    declared = int(length) if length and length.isascii() and length.isdigit() else None
    environ["wsgi.input"] = _CountingInput(stream, record, declared)


class _CountingInput:
    """Counts the bytes of a request's body; all else is the server's own stream."""

    __slots__ = ("_declared", "_record", "_stream")

    def __init__(self, stream: Any, record: RequestRecord, declared: int | None) -> None:
        self._stream = stream
        self._record = record
        self._declared = declared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1, /) -> bytes:
        return self._count(self._stream.read, size)

    def readline(self, size: int = -1, /) -> bytes:
        return self._count(self._stream.readline, size)

    def readlines(self, hint: int = -1, /) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while (hint <= 0 or size < hint) and (line := self.readline()):
            lines.append(line)
            size += len(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _count(self, read: Callable[[int], bytes], size: int) -> bytes:
        record = self._record
        try:
            data = read(size)
        except BaseException:
            record.aborted = "request"
            raise
        record.received += len(data)
        if not data and size and self._declared is not None and record.received < self._declared:
            record.aborted = "request"
        return data


# -- what must be in no log

_PARAMETERS: Final = re.compile(
    r"(x-amz-(?:signature|security-token|s3session-token|credential"
    r"|(?:copy-source-)?server-side-encryption-customer-key)|awsaccesskeyid|signature)"
    r"(=|%3d|['\"]?\s*[:,]\s*['\"]?)[^&\s'\"<>,;]+",
    re.IGNORECASE,
)
_SECRET_HEADERS: Final = frozenset(
    {
        "HTTP_AUTHORIZATION",
        "HTTP_COOKIE",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_X_AMZ_SECURITY_TOKEN",
        "HTTP_X_AMZ_COPY_SOURCE_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY",
        "HTTP_X_AMZ_S3SESSION_TOKEN",
        "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY",
    }
)
_SECRET_FIELDS: Final = frozenset(
    {
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-signature",
    }
)
_SHORTEST_SECRET: Final = 8


def redacted(text: str, environ: WSGIEnvironment | None = None, secrets: Iterable[str] = ()) -> str:
    """``text`` without what is secret: signatures, tokens, and this request's query and secrets.

    Clients put a presigned query into a key (``?`` sent as ``%3F``), and exceptions quote what they
    could not read.

    :param secrets: what else must not be seen.
    """
    if environ is not None:
        secrets = [*secrets, environ.get("QUERY_STRING") or "", *secrets_of(environ)]
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    lower = text.lower()
    if "signature" not in lower and "x-amz-" not in lower and "awsaccesskeyid" not in lower:
        # Nearly always, and a tenth of the work.
        return text
    return _PARAMETERS.sub(r"\1\2***", text)


def secrets_of(environ: WSGIEnvironment) -> list[str]:
    """What a request's headers and its query hold that nobody else may see, whole and in parts."""
    found: list[str] = []
    for name in _SECRET_HEADERS & environ.keys():
        value: str = environ[name]
        found.append(value)
        if name == "HTTP_COOKIE":
            found += [each.partition("=")[2].strip() for each in value.split(";")]
        elif name.endswith("AUTHORIZATION"):
            rest = value.partition(" ")[2]
            found += [rest, rest.rpartition("Signature=")[2], rest.rpartition(":")[2]]
    query: str = environ.get("QUERY_STRING") or ""
    if "-" in query or "ignature" in query:
        for each in query.split("&"):
            name, _, value = each.partition("=")
            if value and _PARAMETERS.match(f"{unquote(name)}=x"):
                found += [value, unquote(value)]
    return found
