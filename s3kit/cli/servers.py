"""The WSGI servers that ``s3kit serve`` can run, each with the limits that S3 needs.

gunicorn is the default: the exact request target, headers beyond ASCII, and several values of one
header all reach the app. granian costs the least CPU per request. werkzeug's own server is the
fallback where neither is installed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
import typing
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

from ..config import Config
from ..config import ConfigError
from ..wire.environ import keep_metadata
from .late_continue import before_request
from .late_continue import closing_unasked
from .late_continue import take_any_expectation
from .lingering import after_request
from .metadata_names import keep_metadata_names
from .watching import Watching
from .watching import forget_worker
from .worker import Worker

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

GRACE_SECONDS = 29
"""How long a stopping server lets running requests finish: it is to be gone within 30."""

BACKLOG = 1024

EXTRA = "pip install 's3kit[server]'"


@dataclass(frozen=True)
class Listening:
    """Where and how to serve. ``socket`` is bound and listening."""

    host: str
    port: int
    socket: socket.socket
    workers: int
    threads: int
    certfile: str | None = None
    keyfile: str | None = None
    watching: Watching = field(default_factory=Watching)


Run = Callable[[Config, Listening], None]


def choose(name: str | None) -> str:
    """The server to run: ``name``, or the best that is installed.

    :raises ConfigError: ``name`` is not installed.
    """
    if name is None:
        return next(each for each in SERVERS if _installed(each))
    if not _installed(name):
        raise ConfigError(f"{name} is not installed. Install it with: {EXTRA}")
    return name


def _installed(name: str) -> bool:
    # gunicorn can be installed on Windows but not run there.
    return importlib.util.find_spec(name) is not None and not (
        name == "gunicorn" and sys.platform == "win32"
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ``port`` 0 takes a free one.

    :raises ConfigError: the address is taken, not ours, or no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"Cannot listen on {host} port {port}: {reason}. Give another with --host and --port."
        ) from None
    # A connection has what its listener had when the client came, perhaps before the workers did;
    # without this each of its answers may take 40 ms longer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def run_gunicorn(config: Config, listening: Listening) -> None:
    """Serve on gunicorn's threaded workers until SIGTERM or SIGINT."""
    from gunicorn.app.base import BaseApplication

    # Once: after SIGHUP gunicorn asks anew, and the socket must stay the same.
    settings = gunicorn_settings(listening)

    class Application(BaseApplication):  # type: ignore[misc]
        worker: Worker | None = None

        def load_config(self) -> None:
            for name, value in settings.items():
                # Newer settings are passed over by an older gunicorn, which lacks what they limit.
                if name in self.cfg.settings:
                    self.cfg.set(name, value)
            self.cfg.set("pre_request", before_request)
            self.cfg.set("post_request", after_request)
            self.cfg.set("worker_exit", lambda server, worker: self.close())
            if listening.watching.metrics:
                self.cfg.set("child_exit", lambda server, worker: forget_worker(worker.pid))

        def load(self) -> Any:
            take_any_expectation()
            keep_metadata_names()
            self.worker = Worker(config, listening.watching)
            return self.worker.app

        def close(self) -> None:
            if self.worker is not None:
                self.worker.close()

    Application().run()


GUNICORN_LIMITS: dict[str, Any] = {
    # Only the worker's main loop is watched; a slow upload is no hang.
    "timeout": 300,
    "graceful_timeout": GRACE_SECONDS,
    # A client's pool must not find its connection gone at the next request.
    "keepalive": 20,
    # A key of 1,024 bytes, percent-encoded, with a presigned query passes the default 4,094.
    "limit_request_line": 8190,
    "limit_request_field_size": 65536,
    "limit_request_fields": 1000,
    # "dangerous" would join X_Amz_Acl to X-Amz-Acl. See keep_metadata_names for what stays.
    "header_map": "drop",
}
"""What an S3 endpoint needs of gunicorn, in any app; each line is a measured need."""


def gunicorn_settings(listening: Listening) -> dict[str, Any]:
    """What gunicorn is told."""
    return {
        # gunicorn closes the descriptor that it is given, so nobody else may hold it.
        "bind": f"fd://{listening.socket.detach()}",
        "backlog": BACKLOG,
        "worker_class": "gthread",
        "workers": listening.workers,
        "threads": listening.threads,
        **GUNICORN_LIMITS,
        # s3kit decides itself which proxies to trust (trusted_proxies).
        "forwarded_allow_ips": "",
        "proxy_protocol": "off",
        "http_protocols": "h1",
        "control_socket_disable": True,
        "preload_app": False,
        "loglevel": "warning",
        "certfile": listening.certfile,
        "keyfile": listening.keyfile,
        "proc_name": "s3kit",
    }


def run_granian(config: Config, listening: Listening) -> None:
    """Serve on granian's workers until SIGTERM or SIGINT."""
    from granian import Granian
    from granian.constants import HTTPModes
    from granian.constants import Interfaces
    from granian.constants import SSLProtocols
    from granian.log import LogLevels

    print(
        "Note: granian does not tell an app the raw request target, so '%2F' and '/' in a path "
        "cannot be told apart, and loses header values beyond ASCII.",
        file=sys.stderr,
        flush=True,
    )
    # granian binds with SO_REUSEPORT, and so never notices another server on the port: our own
    # socket has made sure of that, and now makes room.
    address = listening.socket.getsockname()[0]
    listening.socket.close()
    certfile, keyfile = listening.certfile, listening.keyfile
    server = Granian(
        "s3kit.cli.worker",
        address=address,
        port=listening.port,
        interface=Interfaces.WSGI,
        workers=listening.workers,
        blocking_threads=listening.threads,
        backlog=BACKLOG,
        # Clients of S3 speak HTTP/1.1, as Amazon's own endpoints do.
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
        ssl_cert=Path(certfile) if certfile else None,
        ssl_key=Path(keyfile) if keyfile else None,
        ssl_protocol_min=SSLProtocols.tls12,
        workers_kill_timeout=GRACE_SECONDS,
    )
    logging.getLogger("_granian").addFilter(_no_advice_on_threads)
    server.serve(
        target_loader=partial(load_for_granian, config, listening.watching), wrap_loader=False
    )


def load_for_granian(config: Config, watching: Watching) -> Any:
    """The app of one granian worker; called in the worker's own process."""
    from multiprocessing.util import Finalize

    # granian copies the process's environment into every request's: a variable such as
    # HTTP_PROXY would be read as a header, and the secret key be shown to every middleware.
    for name in list(os.environ):
        if name.startswith(("HTTP_", "S3KIT_", "wsgi.")) or name in _WSGI_NAMES:
            del os.environ[name]
    # What it would say at the first request has been said at the start.
    logging.getLogger("s3kit.wire.environ").setLevel(logging.ERROR)
    worker = Worker(config, watching)
    Finalize(None, worker.close, exitpriority=1)
    return closing_unasked(worker.app)


_WSGI_NAMES = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTPS",
        "PATH_INFO",
        "QUERY_STRING",
        "RAW_URI",
        "REMOTE_ADDR",
        "REQUEST_URI",
        "SCRIPT_NAME",
    }
)


def _no_advice_on_threads(record: logging.LogRecord) -> bool:
    # Threads that wait for slow clients cost nothing; the advice is for apps that compute.
    return "Python threads" not in record.getMessage()


def run_werkzeug(config: Config, listening: Listening) -> None:
    """Serve on werkzeug's threaded server, in this process, until SIGTERM or SIGINT."""
    from werkzeug.serving import WSGIRequestHandler
    from werkzeug.serving import make_server

    class Handler(WSGIRequestHandler):
        def make_environ(self) -> WSGIEnvironment:
            environ = super().make_environ()
            keep_metadata(environ, self.headers.items())
            return environ

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: a presigned URL in a log is a password in a log."""

    print(
        "Warning: werkzeug's own server is one slow process, not for production. "
        f"gunicorn and granian come with: {EXTRA}",
        file=sys.stderr,
        flush=True,
    )
    worker = Worker(config, listening.watching)
    ssl_context = None
    if listening.certfile and listening.keyfile:
        ssl_context = (listening.certfile, listening.keyfile)
    server = make_server(
        listening.host,
        listening.port,
        worker.app,
        threaded=True,
        request_handler=Handler,
        ssl_context=ssl_context,
        fd=listening.socket.fileno(),
    )
    # Then server_close() waits for the running requests.
    server.daemon_threads = False  # type: ignore[attr-defined]

    def stop(*_: object) -> None:
        limit = threading.Timer(GRACE_SECONDS, os._exit, (0,))
        limit.daemon = True
        limit.start()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()
    server.server_close()
    worker.close()


SERVERS: dict[str, Run] = {
    "gunicorn": run_gunicorn,
    "granian": run_granian,
    "werkzeug": run_werkzeug,
}
"""By name; the first that is installed is the default."""

THREADS = {"gunicorn": 64, "granian": 64, "werkzeug": 64}
"""Threads per worker by default: 32 stalled uploads leave as many for everybody else."""
