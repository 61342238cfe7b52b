"""Who did what, and by which rule: a record of every request, as a signal and as a line of JSON.

.. code-block:: python

    @request_audited.connect
    def note(bucket, *, record): ...

    logger = logging.getLogger("s3kit.audit")
    logger.addHandler(LineFile("/var/log/s3kit/audit.log"))
    logger.setLevel(logging.INFO)

An S3App needs no more than that: it audits its requests, and the calls of its
:class:`~s3kit.client.Client`, while ``request_audited`` has a receiver, or the logger
``s3kit.audit`` a level of its own that lets INFO through. :func:`audit` does it for any other app,
or further out. Refused requests are there too, whoever sent them. What a record says is told by
:class:`~s3kit.signals.AuditRecord`.
"""

from __future__ import annotations

import json
import logging
import typing
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import fields
from typing import Any
from typing import Final
from typing import TypeVar

from ..errors import S3Error
from ..signals import AuditRecord
from ..signals import announce
from ..signals import request_audited
from ..wire.environ import TrustedProxies
from ..wire.environ import public_url_parts
from .access_log import instant
from .access_log import trace_of
from .record import RequestRecord
from .record import redacted
from .record import secrets_of
from .record import watched

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from ..call import Call

logger = logging.getLogger("s3kit.audit")

Answer = TypeVar("Answer")

_LONGEST_TEXT: Final = 4096
_LONGEST_AGENT: Final = 256
_LONGEST_REASON: Final = 1024
_NAMES: Final = tuple(each.name for each in fields(AuditRecord) if each.name != "time")
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class AuditLine:
    """A record as a log's message: for handlers that know it, as text a line of JSON."""

    __slots__ = ("record",)

    def __init__(self, record: AuditRecord) -> None:
        self.record = record

    def __str__(self) -> str:
        return _encode(document_of(self.record))


def document_of(record: AuditRecord) -> dict[str, Any]:
    """A record as JSON has it; what is empty is left out, but for ``account``."""
    shown: dict[str, Any] = {"time": instant(record.time), "account": record.account}
    for name in _NAMES:
        value = getattr(record, name)
        if value or value is False or name in ("received", "sent"):
            shown[name] = value
    return shown


def is_wanted() -> bool:
    """Whether anybody hears of requests."""
    return bool(request_audited.receivers) or 0 < logger.level <= logging.INFO


def audit(
    app: WSGIApplication,
    *,
    trusted_proxies: Iterable[str] | TrustedProxies = (),
    log: logging.Logger | None = None,
) -> WSGIApplication:
    """``app`` with an audit record for every request.

    :param trusted_proxies: whose X-Forwarded-For and -Proto count.
    :param log: in place of the logger ``s3kit.audit``. The message of a log record is an
        :class:`AuditLine`.
    :raises ValueError: an entry of ``trusted_proxies`` is no network.
    """
    proxies = (
        trusted_proxies
        if isinstance(trusted_proxies, TrustedProxies)
        else TrustedProxies(trusted_proxies)
    )
    chosen = logger if log is None else log

    def note(environ: WSGIEnvironment, record: RequestRecord) -> None:
        if request_audited.receivers or chosen.isEnabledFor(logging.INFO):
            scheme, _host, _prefix, client = public_url_parts(environ, proxies)
            _tell(record_of(environ, record, client, scheme == "https"), chosen)

    def begin(environ: WSGIEnvironment, record: RequestRecord) -> None:
        record.audited = True
        if not record.trace_id:
            record.trace_id, record.span_id = trace_of(environ)

    return watched(app, note, begin)


def audited(call: Call, work: Callable[[], Answer]) -> Answer:
    """``work``, which is a :class:`~s3kit.client.Client`'s call, with an audit record of it.

    It ends when the method returns: what is read later from an open object is not counted.

    :raises BaseException: whatever it raises.
    """
    record = RequestRecord()
    record.begin()
    record.called(call)
    record.trace_id, record.span_id = trace_of(call.environ)
    record.status = 200
    try:
        answer = work()
        if isinstance(answer, bytes):
            record.sent = len(answer)
        return answer
    except S3Error as error:
        record.status = error.status
        record.refused(error)
        raise
    except BaseException as error:
        record.status = 500
        record.error = type(error).__name__
        record.failed(error)
        raise
    finally:
        length, left = call.input.length, call.input.remaining
        if length is not None and left is not None:
            record.received = length - left
        record.answered("")

        def note(environ: WSGIEnvironment, record: RequestRecord) -> None:
            _tell(record_of(environ, record, "", None), logger)

        record.ends = [note]
        record.end(call.environ)


def record_of(
    environ: WSGIEnvironment, record: RequestRecord, client: str, tls: bool | None
) -> AuditRecord:
    """What is told of a request.

    :param client: its address.
    """
    secrets = [*record.secrets, *secrets_of(environ)]

    def shown(text: str | None, longest: int = _LONGEST_TEXT) -> str:
        # First what is secret, or the cut might go through it.
        return redacted(text, None, secrets)[:longest] if text else ""

    bucket, key, version_id, path = record.bucket, record.key, record.version_id, ""
    if bucket is None and not record.operation and "PATH_INFO" in environ:
        path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
        path = path.encode("latin-1", "replace").decode("utf-8", "replace")
    return AuditRecord(
        time=int(record.began * 1000),
        request_id=record.request_id,
        account=record.account,
        principal=record.principal,
        access_key=record.access_key,
        session=record.session,
        signed=record.signed,
        source_ip=shown(client, 64),
        user_agent=shown(environ.get("HTTP_USER_AGENT"), _LONGEST_AGENT),
        tls=tls,
        method=environ["REQUEST_METHOD"][:32],
        operation=record.operation,
        actions=record.actions,
        bucket=None if bucket is None else shown(bucket),
        bucket_owner=record.bucket_owner,
        key=None if key is None else shown(key.decode("utf-8", "replace")),
        version_id=None if version_id is None else shown(version_id),
        path=shown(path),
        decision=record.decision,
        decided_by=record.decided_by,
        reason=redacted(record.why, environ, record.secrets)[:_LONGEST_REASON],
        status=record.status,
        error=record.error,
        received=record.received,
        sent=record.sent,
        milliseconds=round(record.seconds * 1000, 3),
        aborted=record.aborted,
        trace_id=record.trace_id,
    )


def _tell(record: AuditRecord, log: logging.Logger) -> None:
    announce(record)
    if log.isEnabledFor(logging.INFO):
        line = AuditLine(record)
        # As info() does, which would look for the line of code that it was called from.
        log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None, "_tell"))
