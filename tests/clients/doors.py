"""The doors through which every client has to work, each with a real server behind real sockets.

=========  ==========================================================================
bare       ``s3kit serve`` on gunicorn
granian    ``s3kit serve`` on granian, with TLS
flask      ``s3kit_contrib.flask`` under ``/s3`` in a Flask app, on gunicorn
django     ``s3kit_contrib.django`` under ``/s3`` in a Django app, on gunicorn
nginx      nginx with TLS and ``deploy/nginx.conf``, ``s3kit serve`` on gunicorn behind it
=========  ==========================================================================

A client that cannot take an endpoint with a path is let in by the host name instead: ``root_url``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from scripts.processes import free_port
from tests.cli.conftest import ROOT
from tests.cli.conftest import environment
from tests.clients.certificate import make_certificate
from tests.clients.conftest import KEY
from tests.clients.conftest import Endpoint

DOORS = ("bare", "granian", "flask", "django", "nginx")

CONFIGURATION = ROOT / "deploy" / "nginx.conf"

# As s3kit_contrib.gunicorn tells its users.
GUNICORN = ("-c", "python:s3kit_contrib.gunicorn", "--workers", "2", "--threads", "32")


class Door:
    """An endpoint of one account, whose key pair is ``KEY``.

    ``url`` is what a client takes as its endpoint; ``root_url`` the same S3 at the root of a host;
    ``certfile`` the authority that clients must trust, None without TLS.
    """

    name: str
    url: str
    root_url: str
    certfile: Path | None = None

    def __init__(self) -> None:
        self._clients: list[Any] = []

    @property
    def has_path(self) -> bool:
        """Whether ``url`` is below the root."""
        return self.url != self.root_url

    def client(self, *, url: str | None = None, **settings: Any) -> Any:
        """A boto3 client at this door."""
        client = boto3.client(
            "s3",
            endpoint_url=url or self.url,
            verify=str(self.certfile) if self.certfile else None,
            region_name="us-east-1",
            aws_access_key_id=KEY.access_key,
            aws_secret_access_key=KEY.secret_key,
            config=Config(**{"signature_version": "s3v4", **settings}),
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        for each in self._clients:
            each.close()


class ServeDoor(Door):
    """``s3kit serve`` itself."""

    def __init__(self, name: str, server: str, folder: Path, *, tls: bool) -> None:
        super().__init__()
        self.name = name
        self.endpoint = Endpoint(server, folder, tls=tls)
        self.url = self.root_url = self.endpoint.url
        self.certfile = self.endpoint.certfile
        errors = self.endpoint.errors
        wait_for(f"{self.url}/-/health", self.endpoint.process, errors, self.certfile)

    def close(self) -> None:
        super().close()
        self.endpoint.close()


class MountedDoor(Door):
    """A host app on gunicorn, with s3kit under ``/s3`` and at the root of ``localhost``."""

    def __init__(self, name: str, app: str, folder: Path) -> None:
        super().__init__()
        self.name = name
        self.folder = folder
        self.errors = folder / "stderr.txt"
        settings = {
            "index": f"sqlite:///{folder / 's3kit.db'}",
            "storages": {"default": str(folder / "blobs")},
            "keys": {KEY.access_key: KEY.secret_key},
            "trusted_proxies": ["127.0.0.1"],
        }
        with socket.create_server(("127.0.0.1", 0)) as listening, self.errors.open("w") as errors:
            port = listening.getsockname()[1]
            bind = f"fd://{listening.fileno()}"
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *GUNICORN, "--bind", bind, app],
                env=environment(
                    PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'contrib'}",
                    S3KIT_TEST_SETTINGS=json.dumps(settings),
                ),
                cwd=folder,
                pass_fds=[listening.fileno()],
                stdout=errors,
                stderr=errors,
            )
        self.host_url = f"http://127.0.0.1:{port}"
        self.url = f"{self.host_url}/s3"
        self.root_url = f"http://localhost:{port}"
        wait_for(f"{self.host_url}/", self.process, self.errors)

    def close(self) -> None:
        super().close()
        stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Listener:
    """Where a server listens without TLS."""

    host: str
    port: int

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"


class NginxDoor(Door):
    """nginx with TLS before ``s3kit serve``, which trusts it; ``plain`` is without TLS."""

    name = "nginx"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        trust = folder / "s3kit.toml"
        trust.write_text('trusted_proxies = ["127.0.0.1"]\n')
        self.endpoint = Endpoint("gunicorn", folder, "--config", str(trust))
        self.certfile, chain, key = make_certificate(folder)
        self.errors = folder / "nginx.log"
        plain, secure = free_port(), free_port()
        self.process = start_nginx(
            folder,
            {
                "listen 80 ": f"listen 127.0.0.1:{plain} ",
                "listen 443 ": f"listen 127.0.0.1:{secure} ",
                "127.0.0.1:9000": self.endpoint.netloc,
                "/etc/ssl/s3.example.com.pem": str(chain),
                "/etc/ssl/s3.example.com.key": str(key),
            },
        )
        self.plain = Listener("127.0.0.1", plain)
        self.url = self.root_url = f"https://127.0.0.1:{secure}"
        try:
            wait_for(f"http://{self.plain.netloc}/-/health", self.process, self.errors)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        stop(self.process)
        self.endpoint.close()


def open_door(name: str, folder: Path) -> Door:
    """Start what is behind the door of this name."""
    if name == "bare":
        return ServeDoor(name, "gunicorn", folder, tls=False)
    if name == "granian":
        return ServeDoor(name, "granian", folder, tls=True)
    if name == "flask":
        return MountedDoor(name, "tests.clients.flask_host:app", folder)
    if name == "django":
        return MountedDoor(name, "tests.clients.django_host:application", folder)
    return NginxDoor(folder)


OpenDoor = Callable[[str], Door]


# nginx


def start_nginx(folder: Path, changes: dict[str, str]) -> subprocess.Popen[bytes]:
    """nginx with ``deploy/nginx.conf``, after the changes that its comments ask for."""
    site = CONFIGURATION.read_text()
    for old, new in changes.items():
        assert site.count(old) == 1, f"{old!r} in {CONFIGURATION}"
        site = site.replace(old, new)
    (folder / "site.conf").write_text(site)
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # As root, nginx would give its workers to a user who cannot reach pytest's folders.
    user = "user root;" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nworker_processes 2;\n{user}\n"
        f"events {{}}\nhttp {{\n    access_log off;\n{temporary}\n"
        f"    include {folder}/site.conf;\n}}\n"
    )
    errors = folder / "nginx.log"
    with errors.open("w") as output:
        return subprocess.Popen(
            [find_nginx(), "-p", str(folder), "-e", str(errors), "-c", str(configuration)],
            stdout=output,
            stderr=output,
        )


def find_nginx() -> str:
    """The path of nginx, "" where there is none. Debian keeps it where only root looks."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("nginx", path=path) or ""


# Processes


def wait_for(
    url: str, process: subprocess.Popen[Any], errors: Path, certfile: Path | None = None
) -> None:
    """Wait until the URL answers."""
    until = time.monotonic() + 60
    context = ssl.create_default_context(cafile=certfile) if certfile else None
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=20, context=context):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer:\n{errors.read_text()}")


def stop(process: subprocess.Popen[Any]) -> int:
    """End a process that may have ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
