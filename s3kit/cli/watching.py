"""How ``s3kit serve`` lets its owner see what it does: access and audit log, metrics, traces."""

from __future__ import annotations

import atexit
import importlib.util
import logging
import os
import shutil
import tempfile
import typing
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from ..app import S3App
from ..config import Config
from ..config import ConfigError
from ..middleware.access_log import LineFile
from ..middleware.access_log import access_log
from ..middleware.audit import audit
from ..middleware.metrics import LOOPBACK
from ..middleware.metrics import metrics
from ..middleware.request_id import request_id
from ..middleware.tracing import tracing
from ..wire.environ import TrustedProxies

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STANDARD_OUTPUT = "-"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True)
class Watching:
    """What to watch a server with. Plain data, for it goes to every worker process.

    :param access_log: a file, or ``-`` for standard output; ``audit_log`` likewise.
    :param metrics_from: who may read the metrics where there is no token.
    :param request_id_header: the header in which the trusted proxies send a request's id.
    """

    access_log: str | None = None
    metrics: bool = False
    metrics_token: str | None = field(default=None, repr=False)
    metrics_from: tuple[str, ...] = LOOPBACK
    tracing: bool = False
    request_id_header: str | None = None
    audit_log: str | None = None


def watching_of(values: Mapping[str, Any], config: Config) -> Watching:
    """What the settings of ``serve`` ask for.

    :raises ConfigError: a wrong value, a missing extra, or a log that cannot be written.
    """
    path, audit_path = access_log_of(values), _log_of(values, "audit_log")
    for name, each in (("access", path), ("audit", audit_path)):
        if each is not None:
            try:
                LineFile(each).close()
            except OSError as error:
                raise ConfigError(
                    f"Cannot write the {name} log {each}: {error.strerror}."
                ) from None
    token = _text(values, "metrics_token")
    wanted = _flag(values, "metrics")
    if wanted:
        _need("prometheus_client", "metrics")
    networks = _texts(values, "metrics_from")
    try:
        TrustedProxies(networks)
    except ValueError as error:
        raise ConfigError(f"metrics_from: {error}.") from None
    if not wanted and (token is not None or networks):
        raise ConfigError("metrics_token and metrics_from say who may read metrics: add --metrics.")
    traces = _flag(values, "tracing")
    if traces:
        _need("opentelemetry.sdk", "otel")
        _need("opentelemetry.exporter.otlp.proto.http", "otel")
    header = _text(values, "request_id_header")
    if header is not None and not config.trusted_proxies:
        raise ConfigError("request_id_header needs trusted_proxies: say whose request ids count.")
    return Watching(path, wanted, token, networks or LOOPBACK, traces, header, audit_path)


def access_log_of(values: Mapping[str, Any]) -> str | None:
    """The access log's absolute path, ``-`` for standard output, None for none."""
    return _log_of(values, "access_log")


def _log_of(values: Mapping[str, Any], name: str) -> str | None:
    path = _text(values, name)
    return path if path is None or path == STANDARD_OUTPUT else os.path.abspath(path)


def share_metrics(watching: Watching, workers: int) -> None:
    """Before the workers start: give them a folder in which they count together.

    It goes with this process. A folder that the owner has named is the owner's.
    """
    if not watching.metrics or workers == 1 or os.environ.get(DIRECTORY):
        return
    folder = tempfile.mkdtemp(prefix="s3kit-metrics-")
    os.environ[DIRECTORY] = folder
    owner = os.getpid()

    def remove() -> None:
        # Forked workers run this too, when they end.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


def forget_worker(pid: int) -> None:
    """A worker that counted has died: its requests are not in flight any more."""
    if os.environ.get(DIRECTORY):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def watch(
    s3: S3App, config: Config, watching: Watching
) -> tuple[WSGIApplication, list[Callable[[], object]]]:
    """``s3`` with all that is asked for around it, and what to call when it is closed."""
    app: WSGIApplication = s3
    closers: list[Callable[[], object]] = []
    proxies = config.trusted_proxies
    if watching.tracing:
        closers.append(_send_traces())
        app = tracing(app, trusted_proxies=proxies)
    if watching.request_id_header is not None:
        app = request_id(app, accept=watching.request_id_header, trusted=proxies)
    if watching.access_log is not None:
        closers.append(_write_log("s3kit.access", watching.access_log))
        app = access_log(app, trusted_proxies=proxies)
    if watching.audit_log is not None:
        closers.append(_write_log("s3kit.audit", watching.audit_log))
        app = audit(app, trusted_proxies=proxies)
    if watching.metrics:
        app = metrics(
            app,
            token=watching.metrics_token,
            allowed=watching.metrics_from,
            trusted_proxies=proxies,
            base_hosts=config.hosts_of_buckets,
            index=s3.store.index,
        )
    return app, closers


def _write_log(name: str, path: str) -> Callable[[], object]:
    handler = LineFile(path)
    log = logging.getLogger(name)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False

    def close() -> None:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
        handler.close()

    return close


def _send_traces() -> Callable[[], object]:
    """Send spans by OTLP over HTTP, as the OTEL_* variables say; called in each worker process."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    provider = TracerProvider(resource=Resource.create({} if named else {SERVICE_NAME: "s3kit"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    # What is not sent yet is sent now.
    return provider.shutdown


def _need(module: str, extra: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigError(
            f"{module} is not installed. Install it with: pip install 's3kit[{extra}]'"
        )


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{name} must be text, and not empty.")
    return str(value)


def _texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = values.get(name, ())
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{name} must be a list of texts.")
    return tuple(value)


def _flag(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name, False)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off", ""):
            return False
    elif isinstance(value, bool):
        return value
    raise ConfigError(f"{name} must be true or false.")
