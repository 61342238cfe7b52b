"""What a Prometheus asks for: requests, how long they took, their bytes, how many run now.

.. code-block:: python

    app = metrics(app)                      # for scrapers on this machine
    app = metrics(app, token="a secret")    # for whoever knows the token

``/-/metrics`` answers in Prometheus' text form, to clients on this machine only unless told
otherwise: what an endpoint does is not for everybody. ``-`` can be no bucket, so that the path
hides no object.

Several worker processes count together where ``PROMETHEUS_MULTIPROC_DIR`` names an empty folder
before anything imports ``prometheus_client`` (``s3kit serve`` sees to it); any of them answers for
all. Needs the extra ``metrics``.
"""

from __future__ import annotations

import hmac
import os
import typing
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import Final

from ..wire.environ import TrustedProxies
from ..wire.environ import public_url_parts
from .record import RequestRecord
from .record import watched

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment
    from prometheus_client import CollectorRegistry

    from ..index.session import Index

LOOPBACK: Final = ("127.0.0.0/8", "::1", "unix")

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WRITES: Final = (1, 2, 4, 8, 16, 32, 64)


def metrics(
    app: WSGIApplication,
    *,
    path: str = "/-/metrics",
    token: str | None = None,
    allowed: Iterable[str] = LOOPBACK,
    trusted_proxies: Iterable[str] = (),
    base_hosts: Iterable[str] = (),
    registry: CollectorRegistry | None = None,
    index: Index | None = None,
) -> WSGIApplication:
    """``app``, counted, with the counts at ``path``. Once per process.

    :param token: who sends ``Authorization: Bearer TOKEN`` may ask, from anywhere, and nobody else.
    :param allowed: without a token: the addresses or networks that may ask. A request that a proxy
        on this machine passed on is not from this machine.
    :param trusted_proxies: whose X-Forwarded-For tells the address.
    :param base_hosts: hosts below which a name is a bucket, as in ``Config.base_hosts``; there
        ``path`` is a key and goes through.
    :param registry: where to register, such as ``prometheus_client.REGISTRY`` to appear among a
        host app's own metrics; a new one by default.
    :param index: an S3App's ``store.index``, to count the writes that each commit in SQLite
        carries.
    :raises ImportError: ``prometheus_client`` is not installed.
    :raises ValueError: an empty token, or an entry of ``allowed`` or ``trusted_proxies`` that is no
        network.
    """
    if token == "":
        raise ValueError("token must not be empty: everybody knows that one.")
    made = _Instruments(registry)
    if index is not None:
        index.watch_commits(made.writes_per_commit())
    guard = _Guard(token, TrustedProxies(allowed), TrustedProxies(trusted_proxies))
    below = tuple("." + host.lower().strip(".") for host in base_hosts)
    counted = watched(app, made.end, made.begin)

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") != path:
            return counted(environ, start_response)
        host = environ.get("HTTP_HOST", "").partition(":")[0].lower().rstrip(".")
        if below and host.endswith(below):
            return counted(environ, start_response)
        return _answer(environ, start_response, guard, made)

    return call


class _Guard:
    """Who may ask."""

    def __init__(self, token: str | None, allowed: TrustedProxies, proxies: TrustedProxies) -> None:
        self.token = None if token is None else b"Bearer " + token.encode()
        self._allowed = allowed
        self._proxies = proxies

    def admits(self, environ: WSGIEnvironment) -> bool:
        if self.token is not None:
            sent: str = environ.get("HTTP_AUTHORIZATION", "")
            return hmac.compare_digest(sent.encode("latin-1", "replace"), self.token)
        peer = environ.get("REMOTE_ADDR") or ""
        client = public_url_parts(environ, self._proxies)[3]
        if client not in self._allowed:
            return False
        # A proxy that we were not told of speaks for somebody else.
        forwarded = any(name in environ for name in _OF_PROXIES)
        if forwarded and client == peer:
            return False
        # Without an address it came through a unix socket, which is on this machine too.
        elsewhere = peer != "" and peer not in _THIS_MACHINE
        return elsewhere or _names_this_machine(environ.get("HTTP_HOST", ""))


_OF_PROXIES: Final = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_REAL_IP",
)
_THIS_MACHINE: Final = TrustedProxies(("127.0.0.0/8", "::1"))


def _names_this_machine(host: str) -> bool:
    """Whether a scraper here would ask by this name; a silent proxy passes its client's on."""
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return not name or name in ("localhost", "::1") or name in _THIS_MACHINE


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, guard: _Guard, made: _Instruments
) -> list[bytes]:
    headers = [("Cache-Control", "no-store")]
    if not guard.admits(environ):
        status, kind, body = "403 Forbidden", "text/plain", b"Forbidden\n"
        if guard.token is not None:
            status, body = "401 Unauthorized", b"Unauthorized\n"
            headers.append(("WWW-Authenticate", 'Bearer realm="metrics"'))
    elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status, kind, body = "405 Method Not Allowed", "text/plain", b""
        headers.append(("Allow", "GET, HEAD"))
    else:
        status = "200 OK"
        kind, body = made.render(environ.get("HTTP_ACCEPT", ""))
    headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Instruments:
    def __init__(self, registry: CollectorRegistry | None) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ImportError("Metrics need: pip install 's3kit[metrics]'") from None
        self._client = prometheus_client
        self._registry = prometheus_client.CollectorRegistry() if registry is None else registry
        where = self._registry
        operation = ["operation"]
        self._requests = prometheus_client.Counter(
            "s3kit_requests",
            "Requests answered, by S3 operation, HTTP status and S3 error code.",
            ["operation", "status", "code"],
            registry=where,
        )
        self._seconds = prometheus_client.Histogram(
            "s3kit_request_duration_seconds",
            "Time from a request's head to the last byte of its answer.",
            operation,
            buckets=_SECONDS,
            registry=where,
        )
        self._received = prometheus_client.Counter(
            "s3kit_received_bytes", "Bytes of request bodies.", operation, registry=where
        )
        self._sent = prometheus_client.Counter(
            "s3kit_sent_bytes", "Bytes of answers' bodies.", operation, registry=where
        )
        self._aborted = prometheus_client.Counter(
            "s3kit_aborted_requests",
            "Requests whose body, or whose answer's body, broke off.",
            ["operation", "body"],
            registry=where,
        )
        running = prometheus_client.Gauge(
            "s3kit_requests_in_flight",
            "Requests that are being answered now.",
            multiprocess_mode="livesum",
            registry=where,
        )
        self._enter, self._leave = running.inc, running.dec
        # labels() costs more than counting does.
        self._counts: dict[tuple[str, int, str], Callable[[], None]] = {}
        self._of_operation: dict[str, tuple[Callable[[float], None], ...]] = {}

    def writes_per_commit(self) -> Callable[[int], None]:
        """Called with the number of writes in each commit of the index."""
        histogram = self._client.Histogram(
            "s3kit_index_commit_writes",
            "Writes that one commit of the index carried.",
            buckets=_WRITES,
            registry=self._registry,
        )
        return typing.cast("Callable[[int], None]", histogram.observe)

    def begin(self, environ: WSGIEnvironment, record: RequestRecord) -> None:
        self._enter()

    def end(self, environ: WSGIEnvironment, record: RequestRecord) -> None:
        self._leave()
        operation = record.operation
        kind = (operation, record.status, record.error)
        count = self._counts.get(kind)
        if count is None:
            count = self._requests.labels(operation, str(record.status), record.error).inc
            self._counts[kind] = count
        count()
        instruments = self._of_operation.get(operation)
        if instruments is None:
            instruments = self._of_operation[operation] = (
                self._seconds.labels(operation).observe,
                self._received.labels(operation).inc,
                self._sent.labels(operation).inc,
            )
        seconds, received, sent = instruments
        seconds(record.seconds)
        if record.received:
            received(record.received)
        if record.sent:
            sent(record.sent)
        if record.aborted:
            self._aborted.labels(operation, record.aborted).inc()

    def render(self, accept: str) -> tuple[str, bytes]:
        """The content type and the text of all metrics, of all processes."""
        from prometheus_client.exposition import choose_encoder

        shown: Any = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            shown = self._client.CollectorRegistry()
            MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
        encode, kind = choose_encoder(accept)
        return kind, encode(shown)
