"""``s3kit serve``: run the endpoint."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click

from ..blobs.base import Capabilities
from ..config import Config
from ..config import ConfigError
from ..config import is_memory
from ..profile import PROFILES
from .first_start import Credentials
from .first_start import first_credentials
from .first_start import is_private
from .first_start import make_data
from .first_start import make_private
from .servers import SERVERS
from .servers import THREADS
from .servers import Listening
from .servers import choose
from .servers import listen
from .settings import MEMORY
from .settings import Settings
from .settings import data_options
from .settings import gather
from .watching import share_metrics
from .watching import watching_of
from .worker import prepare

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000


@click.command()
@data_options
@click.option(
    "--server",
    type=click.Choice(list(SERVERS)),
    help="[default: the first of these that is installed]",
)
@click.option("--host", help=f"Address to listen on. [default: {DEFAULT_HOST}]")
@click.option("--port", type=int, help=f"Port; 0 takes a free one. [default: {DEFAULT_PORT}]")
@click.option("--access-key", help="A key of the account 'default'; instead of a generated one.")
@click.option(
    "--secret-key",
    help="Its secret. Other users see command lines: prefer the variable S3KIT_SECRET_KEY.",
)
@click.option("--region", help="Region shown to clients. [default: us-east-1]")
@click.option(
    "--base-host",
    "base_hosts",
    multiple=True,
    metavar="HOST",
    help="Host under which BUCKET.HOST names a bucket. May be repeated.",
)
@click.option(
    "--website-host",
    "website_hosts",
    multiple=True,
    metavar="HOST",
    help="Host on which buckets are websites, such as *.web.example.com. May be repeated.",
)
@click.option("--workers", type=int, help="Processes. [default: one per core]")
@click.option("--threads", type=int, help="Threads per process. [default: 64]")
@click.option("--certfile", type=click.Path(), help="TLS certificate chain (PEM).")
@click.option("--keyfile", type=click.Path(), help="TLS private key (PEM).")
@click.option("--accounts", type=click.Path(), help="TOML file with [[account]] tables.")
@click.option(
    "--access-log",
    metavar="FILE",
    help="Append a line of JSON per request; '-' is standard output.",
)
@click.option(
    "--audit-log",
    metavar="FILE",
    help="Append a line of JSON per request: who, what, and by which rule; '-' is standard output.",
)
@click.option(
    "--metrics/--no-metrics",
    default=None,
    help="Prometheus metrics at /-/metrics, for this machine only; for others there are "
    "S3KIT_METRICS_TOKEN and --metrics-from.",
)
@click.option(
    "--metrics-from",
    multiple=True,
    metavar="NETWORK",
    help="Address or network that may read the metrics. May be repeated.",
)
@click.option(
    "--tracing/--no-tracing",
    default=None,
    help="Send OpenTelemetry spans, as the OTEL_* variables say.",
)
@click.option(
    "--request-id-header",
    metavar="NAME",
    help="Header in which a trusted proxy sends the id of a request.",
)
def serve(**options: Any) -> None:
    """Run an S3 endpoint.

    The first start makes the data folder and a key pair, and prints an aws line to paste.
    SIGTERM ends it after the running requests, within 30 seconds.
    """
    settings = gather(options, os.environ)
    serve_values = settings.serve
    server = choose(_server_name(serve_values.get("server")))
    workers = _workers(settings, server)
    threads = _number(serve_values, "threads", THREADS[server], 1)
    certfile, keyfile = _tls_files(serve_values)
    _check_proxies(settings.config, server)
    settings, credentials = _first_start(settings)
    watching = watching_of(serve_values, settings.config)

    host = serve_values.get("host") or DEFAULT_HOST
    socket = listen(host, _number(serve_values, "port", DEFAULT_PORT, 0, 65535))
    port = socket.getsockname()[1]
    _check_storages(settings, prepare(settings.config), workers)
    share_metrics(watching, workers)
    listening = Listening(host, port, socket, workers, threads, certfile, keyfile, watching)
    scheme = "https" if certfile else "http"
    announce(settings, credentials, f"{scheme}://{_shown_host(host)}:{port}", server, workers)
    SERVERS[server](settings.config, listening)


def announce(
    settings: Settings, credentials: Credentials | None, endpoint: str, server: str, workers: int
) -> None:
    """Print where the endpoint is and how to try it; a secret only when it was just made."""
    where = "in memory, gone at the end" if settings.data is None else str(settings.data)
    if settings.data is None and not settings.config.in_memory:
        where = "as configured"
    lines = [
        f"s3kit on {server}, {workers} worker{'' if workers == 1 else 's'}",
        f"  endpoint    {endpoint}",
        f"  region      {settings.config.region}",
        f"  data        {where}",
    ]
    plain = settings.config.https or PROFILES[settings.config.profile].https
    if plain != "off" and endpoint.startswith("http:"):
        done = "is sent on to https" if plain == "redirect" else "is refused"
        lines += [
            f"  plain HTTP  {done}: put TLS in front (trusted_proxies), give --certfile and",
            '              --keyfile, or set https = "off" (S3KIT_HTTPS=off) on your own machine',
        ]
    if credentials is None:
        lines.append(f"  keys        {len(settings.config.signing_keys())} configured")
    else:
        lines.append(f"  access key  {credentials.access_key}")
        if credentials.fresh:
            lines.append(f"  secret key  {credentials.secret_key}")
        if credentials.path is not None:
            lines.append(f"  both are in {credentials.path}")
        lines += ["", "Try it:", "  " + example(credentials, endpoint, settings.config.region)]
    print("\n".join(lines), flush=True)


def example(credentials: Credentials, endpoint: str, region: str) -> str:
    """One line for a shell that makes a bucket, stores an object and reads it back."""
    if credentials.fresh:
        variables = {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        }
    else:
        variables = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials.path)}
    variables["AWS_DEFAULT_REGION"] = region
    aws = f"aws --endpoint-url {shlex.quote(endpoint)} s3"
    script = (
        f"{aws} mb s3://first && echo hello | {aws} cp - s3://first/hello.txt"
        f" && {aws} cp s3://first/hello.txt -"
    )
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*words, "sh -c", shlex.quote(script)])


def _first_start(settings: Settings) -> tuple[Settings, Credentials | None]:
    """Make what DATA must hold; the first key pair unless keys are configured."""
    data = settings.data
    if data is not None:
        make_data(data)
        settings = settings.with_master_key()
        if settings.config.index == f"sqlite:///{data / 's3kit.db'}":
            make_private(data / "s3kit.db")
    if settings.has_keys:
        return settings, None
    credentials = first_credentials(settings.data, settings.config.region)
    path = credentials.path
    if path is not None and not is_private(path):
        print(
            f"Warning: others can read {path}. Mend it with: chmod 600 {shlex.quote(str(path))}",
            file=sys.stderr,
        )
    return settings.with_key(credentials.access_key, credentials.secret_key), credentials


def _server_name(name: Any) -> str | None:
    if name is not None and name not in SERVERS:
        raise ConfigError(f'No server "{name}". Known: {", ".join(SERVERS)}.')
    return name  # type: ignore[no-any-return]


def _workers(settings: Settings, server: str) -> int:
    asked = settings.serve.get("workers")
    single = settings.config.in_memory or server == "werkzeug"
    workers = _number(settings.serve, "workers", 1 if single else _cores(), 1)
    if workers > 1 and settings.config.in_memory:
        raise ConfigError(
            f"{asked} workers cannot share what lies in memory: each would hold a part of the "
            f"objects. Give --workers 1, or a folder instead of {MEMORY}."
        )
    return 1 if server == "werkzeug" else workers


def _check_proxies(config: Config, server: str) -> None:
    """Refuse to believe proxies where a client can pass for one (A030)."""
    if server == "granian" and config.trusted_proxies:
        raise ConfigError(
            "granian cannot tell X_Forwarded_For from X-Forwarded-For, so behind a trusted proxy "
            "a client could forge it. Use --server gunicorn, or leave out trusted_proxies."
        )


def _check_storages(settings: Settings, storages: Mapping[str, Capabilities], workers: int) -> None:
    """Say what a storage cannot do that the settings count on."""
    config = settings.config
    for name, capabilities in storages.items():
        if workers > 1 and not capabilities.shared:
            raise ConfigError(
                f'{workers} workers cannot share the storage "{name}", which only one process '
                "sees: each would hold a part of the objects. Give --workers 1."
            )
        # Who keeps all in memory knows it.
        if config.durability == "full" and not capabilities.durable and not _keeps_nothing(config):
            print(
                f'Warning: the storage "{name}" may lose acknowledged objects in a power cut, '
                'though durability is "full".',
                file=sys.stderr,
            )


def _keeps_nothing(config: Config) -> bool:
    return is_memory(config.index) and all(
        isinstance(spec, str) and is_memory(spec) for spec in config.storages.values()
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _number(values: Any, name: str, default: int, low: int, high: int | None = None) -> int:
    value = values.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ConfigError(f'{name} must be a whole number, not "{value}".') from None
    if number < low or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} must be {limits}, not {number}.")
    return number


def _tls_files(values: Any) -> tuple[str | None, str | None]:
    certfile, keyfile = values.get("certfile"), values.get("keyfile")
    if (certfile is None) != (keyfile is None):
        raise ConfigError("TLS needs both --certfile and --keyfile.")
    for path in (certfile, keyfile):
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"Cannot read {path}.")
    return certfile, keyfile


def _shown_host(host: str) -> str:
    """The host as a client on this machine would write it."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host
