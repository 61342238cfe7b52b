"""OpenTelemetry spans, by the SDK's own exporter."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from opentelemetry.trace import StatusCode

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.middleware.access_log import access_log
from s3kit.middleware.tracing import tracing
from s3kit.signals import Event
from s3kit.signals import object_created
from tests.attacks.handmade import presign
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Spans:
    """A tracer provider and the spans that it was given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        """The finished spans, which are then forgotten."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found

    def one(self) -> ReadableSpan:
        (span,) = self.all()
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


@pytest.fixture
def s3() -> Iterator[S3App]:
    app = S3App(Config(keys={"AKIA": "secret"}))
    yield app
    app.close()


@pytest.fixture
def client(s3: S3App, spans: Spans) -> Client:
    return Client(tracing(s3, tracer_provider=spans.provider), Signer("AKIA", "secret"))


def test_a_span_says_what_was_asked_of_s3(client: Client, spans: Spans) -> None:
    client.put("/photos")
    spans.all()
    answer = client.put("/photos/a%20b", b"hello", user_agent="me/1")
    span = spans.one()
    assert (span.name, span.kind) == ("S3.PutObject", SpanKind.SERVER)
    assert dict(span.attributes or {}) == {
        "http.request.method": "PUT",
        "http.response.status_code": 200,
        "http.request.body.size": 5,
        "http.response.body.size": 0,
        "url.scheme": "http",
        "url.path": "/photos/a b",
        "server.address": "s3.test",
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "me/1",
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": "PutObject",
        "aws.request_id": answer.headers["x-amz-request-id"],
        "aws.s3.bucket": "photos",
        "aws.s3.key": "a b",
        "s3kit.account": "default",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None


def test_uploads_and_copies_are_told_by_their_own_attributes(client: Client, spans: Spans) -> None:
    client.put("/photos")
    upload = client.post("/photos/big", query="uploads").text("UploadId")
    client.put("/photos/big", b"x", f"partNumber=7&uploadId={upload}")
    attributes = spans.all()[-1].attributes or {}
    assert attributes["rpc.method"] == "UploadPart"
    assert (attributes["aws.s3.upload_id"], attributes["aws.s3.part_number"]) == (upload, 7)
    client.put("/photos/small", b"x")
    client.put("/photos/copy", x_amz_copy_source="/photos/small")
    attributes = spans.all()[-1].attributes or {}
    assert attributes["rpc.method"] == "CopyObject"
    assert attributes["aws.s3.copy_source"] == "/photos/small"


def test_a_refusal_is_no_fault_of_the_servers(client: Client, spans: Spans) -> None:
    client.get("/none")
    span = spans.one()
    attributes = span.attributes or {}
    assert attributes["http.response.status_code"] == 404
    assert attributes["s3kit.error_code"] == "NoSuchBucket"
    assert "error.type" not in attributes
    assert span.status.status_code is StatusCode.UNSET


def test_a_fault_of_ours_is_an_error_with_its_traceback(
    s3: S3App, client: Client, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is on fire")

    client.put("/photos")
    spans.all()
    monkeypatch.setattr(type(s3.store.objects), "put", broken)
    assert client.put("/photos/key", b"x").status == 500
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    (event,) = span.events
    assert (event.attributes or {})["exception.message"] == "the disk is on fire"
    assert "in broken" in str((event.attributes or {})["exception.stacktrace"])


def test_the_trace_of_the_client_goes_on(client: Client, spans: Spans) -> None:
    client.get("/", traceparent=TRACEPARENT)
    span = spans.one()
    assert f"{span.context.trace_id:032x}" == TRACE  # type: ignore[union-attr]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT


def test_only_those_who_are_trusted_may_join_a_trace(s3: S3App, spans: Spans) -> None:
    app = tracing(s3, tracer_provider=spans.provider, trusted=["10.0.0.0/8"])
    headers = {"traceparent": TRACEPARENT}
    for address, joined in (("127.0.0.1", False), ("10.1.2.3", True)):
        call(app, {**make_environ("GET", "/", headers, b""), "REMOTE_ADDR": address})
        assert (spans.one().parent is not None) is joined


def test_what_a_receiver_traces_is_a_part_of_the_request(client: Client, spans: Spans) -> None:
    tracer = trace.get_tracer("receiver", tracer_provider=spans.provider)

    def receive(bucket: str, *, event: Event) -> None:
        with tracer.start_as_current_span("thumbnail"):
            pass

    client.put("/traced-bucket")
    with object_created.connected_to(receive, sender="traced-bucket"):
        client.put("/traced-bucket/key", b"x")
    _, child, span = spans.all()
    assert (child.name, span.name) == ("thumbnail", "S3.PutObject")
    assert child.parent is not None
    assert child.parent == span.context
    assert not trace.get_current_span().get_span_context().is_valid


def test_in_a_host_app_that_is_traced_it_is_a_part_of_its_span(
    client: Client, spans: Spans
) -> None:
    tracer = trace.get_tracer("host", tracer_provider=spans.provider)
    with tracer.start_as_current_span("host"):
        client.get("/", traceparent=TRACEPARENT)
    inner, outer = spans.all()
    assert outer.name == "host"
    assert inner.parent == outer.context


def test_a_span_lasts_to_the_last_byte(spans: Spans) -> None:
    def own(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        assert spans.all() == []
        yield b"y"

    app = tracing(own, tracer_provider=spans.provider)
    assert call(app, make_environ("GET", "/a", {"Host": "h:8080"}, b"")).body == b"xy"
    span = spans.one()
    attributes = span.attributes or {}
    assert (span.name, attributes["http.response.body.size"]) == ("GET", 2)
    assert (attributes["server.address"], attributes["server.port"]) == ("h", 8080)
    result: Any = app(make_environ("NONSENSE", "/", {}, b""), lambda *_: None)
    next(result)
    result.close()
    span = spans.one()
    assert (span.name, (span.attributes or {})["http.request.method"]) == ("HTTP", "_OTHER")
    assert (span.attributes or {})["s3kit.aborted"] == "response"


def test_an_app_that_raises_still_ends_its_span(spans: Spans) -> None:
    def own(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(tracing(own, tracer_provider=spans.provider), make_environ("GET", "/", {}, b""))
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ZeroDivisionError"
    assert not trace.get_current_span().get_span_context().is_valid


def test_no_span_holds_a_signature(client: Client, spans: Spans) -> None:
    client.put("/photos")
    target = presign("GET", "/photos/key")
    signature = target.rpartition("=")[2]
    client.send("GET", target, {"Host": "s3.test"})
    client.send("GET", target.replace("?", "%3F"), {"Host": "s3.test", "User-Agent": target})
    for span in spans.all():
        assert signature not in span.to_json()


def test_the_access_log_names_the_span(s3: S3App, spans: Spans) -> None:
    texts: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    log = logging.Logger("of this test")
    log.addHandler(Keeping())
    for build in (
        lambda app: access_log(tracing(app, tracer_provider=spans.provider), log=log),
        lambda app: tracing(access_log(app, log=log), tracer_provider=spans.provider),
    ):
        Client(build(s3), None).get("/", traceparent=TRACEPARENT)
        context = spans.one().context
        assert context is not None
        entry = json.loads(texts[-1])
        assert entry["trace_id"] == TRACE
        assert entry["span_id"] == f"{context.span_id:016x}" != PARENT


def test_a_trace_that_is_not_sampled_costs_and_sends_nothing(s3: S3App) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert Client(tracing(s3, tracer_provider=provider), None).get("/").status == 403
    assert exporter.get_finished_spans() == ()
    provider.shutdown()


def test_without_the_extra_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from s3kit.middleware.tracing import tracing\n"
        "tracing(lambda *_: [])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 's3kit[otel]'" in done.stderr
