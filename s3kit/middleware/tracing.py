"""One OpenTelemetry span per request, in the trace of whoever sent it.

.. code-block:: python

    app = tracing(app)                                   # the global tracer provider
    app = tracing(app, tracer_provider=my_provider)

The span lasts to the last byte of the answer and is current while the app runs, so that what the
app, its signal receivers and its database driver trace become its children; the access log's
``trace_id`` and ``span_id`` are then the span's. It has the attributes of the semantic conventions
for HTTP servers and, of an S3App, those for AWS S3 (``rpc.method``, ``aws.s3.bucket``, ...), and
never a query or a signature. Needs the extra ``otel``, and the SDK to be set up to send spans.

Source: opentelemetry.io, semantic conventions for HTTP spans, for AWS SDK and for AWS S3 spans.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any
from typing import Final

from ..wire.environ import TrustedProxies
from ..wire.environ import public_url_parts
from ..wire.query import parse_query
from .record import RECORD
from .record import RequestRecord
from .record import redacted
from .record import watched

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment
    from opentelemetry.trace import TracerProvider

SPAN: Final = "s3kit.span"
"""The environ key of the request's span."""

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)


def tracing(
    app: WSGIApplication,
    *,
    tracer_provider: TracerProvider | None = None,
    trusted: Iterable[str] | None = None,
    trusted_proxies: Iterable[str] = (),
) -> WSGIApplication:
    """``app`` with a span for every request.

    :param tracer_provider: the global one by default.
    :param trusted: the addresses or networks whose ``traceparent`` is followed, and with it their
        wish to sample; None follows everybody's.
    :param trusted_proxies: whose X-Forwarded-* count for the addresses in a span.
    :raises ImportError: ``opentelemetry`` is not installed.
    :raises ValueError: an entry of ``trusted`` or ``trusted_proxies`` is no network.
    """
    try:
        from opentelemetry import context as contexts
        from opentelemetry import propagate
        from opentelemetry import trace
        from opentelemetry.propagators.textmap import Getter
    except ImportError:
        raise ImportError("Traces need: pip install 's3kit[otel]'") from None

    class Headers(Getter["WSGIEnvironment"]):
        def get(self, carrier: WSGIEnvironment, key: str) -> list[str] | None:
            value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
            return None if value is None else [value]

        def keys(self, carrier: WSGIEnvironment) -> list[str]:
            names = (key[5:] for key in carrier if key.startswith("HTTP_"))
            return [name.lower().replace("_", "-") for name in names]

    headers = Headers()
    followed = None if trusted is None else TrustedProxies(trusted)
    proxies = TrustedProxies(trusted_proxies)
    tracer = trace.get_tracer("s3kit", tracer_provider=tracer_provider)

    def end(environ: WSGIEnvironment, record: RequestRecord) -> None:
        span = environ.get(SPAN)
        if span is None:
            return
        if span.is_recording():
            _describe(span, environ, record)
            if record.status >= 500 or record.traceback:
                span.set_status(trace.StatusCode.ERROR, redacted(record.cause, environ))
        span.end()

    inner = watched(app, end)

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A host app that is traced itself has begun a span: this is a part of it.
        parent = contexts.get_current()
        if not trace.get_current_span(parent).get_span_context().is_valid and (
            followed is None or (environ.get("REMOTE_ADDR") or "") in followed
        ):
            parent = propagate.extract(environ, context=parent, getter=headers)
        method = environ["REQUEST_METHOD"]
        span = tracer.start_span(
            method if method in _METHODS else "HTTP",
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes=_first_attributes(environ, proxies),
        )
        record: RequestRecord | None = environ.get(RECORD)
        if record is None:
            record = environ[RECORD] = RequestRecord()
        identity = span.get_span_context()
        if identity.is_valid:
            record.trace_id = f"{identity.trace_id:032x}"
            record.span_id = f"{identity.span_id:016x}"
        environ[SPAN] = span
        token = contexts.attach(trace.set_span_in_context(span, parent))
        try:
            return inner(environ, start_response)
        finally:
            contexts.detach(token)

    return call


def _first_attributes(environ: WSGIEnvironment, proxies: TrustedProxies) -> dict[str, Any]:
    """What a sampler may want to know."""
    scheme, host, prefix, client = public_url_parts(environ, proxies)
    method = environ["REQUEST_METHOD"]
    path = prefix + environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    found: dict[str, Any] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.scheme": scheme,
        "url.path": redacted(path.encode("latin-1", "replace").decode("utf-8", "replace")),
    }
    name, _, port = host.rpartition(":")
    if name and port.isdigit() and len(port) <= 5:
        found["server.address"] = name.strip("[]")
        found["server.port"] = int(port)
    else:
        found["server.address"] = host.strip("[]")
    if client:
        found["client.address"] = client
    protocol = environ.get("SERVER_PROTOCOL", "").partition("/")[2]
    if protocol:
        found["network.protocol.version"] = protocol
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        found["user_agent.original"] = redacted(agent[:256])
    return found


def _describe(span: Any, environ: WSGIEnvironment, record: RequestRecord) -> None:
    found: dict[str, Any] = {
        "http.response.status_code": record.status,
        "http.request.body.size": record.received,
        "http.response.body.size": record.sent,
    }
    if record.request_id:
        found["aws.request_id"] = record.request_id
    if record.operation:
        span.update_name(f"S3.{record.operation}")
        found["rpc.system"] = "aws-api"
        found["rpc.service"] = "S3"
        found["rpc.method"] = record.operation
        found.update(_s3_attributes(environ, record))
    if record.account is not None:
        found["s3kit.account"] = record.account
    if record.error:
        found["s3kit.error_code"] = record.error
    if record.status >= 500 or record.traceback:
        found["error.type"] = record.cause.partition(":")[0] or record.error or str(record.status)
    if record.aborted:
        found["s3kit.aborted"] = record.aborted
    span.set_attributes(found)
    if record.traceback:
        kind, _, message = record.cause.partition(": ")
        span.add_event(
            "exception",
            {
                "exception.type": kind,
                "exception.message": redacted(message, environ),
                "exception.stacktrace": redacted(record.traceback, environ),
            },
        )


def _s3_attributes(environ: WSGIEnvironment, record: RequestRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if record.bucket is not None:
        found["aws.s3.bucket"] = redacted(record.bucket)
    if record.key is not None:
        found["aws.s3.key"] = redacted(record.key.decode("utf-8", "replace"))
    source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
    if source:
        found["aws.s3.copy_source"] = redacted(source[:4096])
    raw = environ.get("QUERY_STRING") or ""
    if "uploadId=" in raw:
        query = parse_query(raw)
        upload, number = query.get("uploadId"), query.get("partNumber")
        if upload:
            found["aws.s3.upload_id"] = upload[:1024]
        if number and number.isascii() and number.isdigit() and len(number) <= 5:
            found["aws.s3.part_number"] = int(number)
    return found
