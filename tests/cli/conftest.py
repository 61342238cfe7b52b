"""The command in a process of its own, as its users run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parent.parent.parent
S3KIT = ("-m", "s3kit")


def environment(**variables: str) -> dict[str, str]:
    """This process's variables without S3KIT_* and AWS_*, and with ``variables``."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("S3KIT_", "AWS_"))
    }
    return {**clean, "PYTHONPATH": str(ROOT), **variables}


class Serving:
    """A running ``s3kit serve``; ``text`` is what it printed until it answered."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        variables: dict[str, str],
        program: tuple[str, ...] = S3KIT,
    ) -> None:
        self._clients: list[Any] = []
        self.errors = folder / "stderr.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", "--port", "0", *arguments],
                cwd=folder,
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.text = ""
        try:
            self._wait_until_it_serves()
        except BaseException:
            # The caller has nothing yet that it could close.
            self.close()
            raise

    def _wait_until_it_serves(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            if "sh -c" in line or line.startswith("  keys "):
                break
        found = re.search(r"endpoint +(https?)://(\S+):(\d+)", self.text)
        assert found, self.text + self.errors.read_text()
        self.scheme, self.host, self.port = found.group(1), found.group(2), int(found.group(3))
        self.url = f"{self.scheme}://{self.host}:{self.port}"
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + 150
        while True:
            try:
                if self.scheme == "https":
                    # A handshake: granian listens before it can do one.
                    unchecked = ssl.create_default_context()
                    unchecked.check_hostname = False
                    unchecked.verify_mode = ssl.CERT_NONE
                    with self.connect() as plain, unchecked.wrap_socket(plain):
                        return
                if self.exchange(b"GET /-/health HTTP/1.0\r\n\r\n"):
                    return
            except OSError:
                pass
            assert time.monotonic() < until, self.text + self.errors.read_text()
            time.sleep(0.05)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host.strip("[]"), self.port), timeout=60)

    def exchange(self, request: bytes) -> bytes:
        """Send a raw request and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def shown(self, what: str) -> str:
        found = re.search(rf"  {what} +(\S+)", self.text)
        assert found, f"{what} is not in {self.text}"
        return found.group(1)

    def client(
        self,
        access_key: str | None = None,
        secret_key: str | None = None,
        verify: str | None = None,
    ) -> Any:
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            verify=verify,
            region_name="us-east-1",
            aws_access_key_id=access_key or self.shown("access key"),
            aws_secret_access_key=secret_key or self.shown("secret key"),
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
            ),
        )
        self._clients.append(client)
        return client

    def stop(self) -> int:
        # gunicorn gives connections that are kept two seconds to send another request.
        self._hang_up()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(100)
        assert self.process.stdout is not None
        self.text += self.process.stdout.read()
        return code

    def _hang_up(self) -> None:
        for client in self._clients:
            client.close()

    def close(self) -> None:
        self._hang_up()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(100)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Start]:
    """Start ``s3kit serve`` in an empty folder; keyword arguments are environment variables.

    ``program`` is what Python runs in place of s3kit's own command.
    """
    with ExitStack() as started:

        def start(*arguments: str, program: tuple[str, ...] = S3KIT, **variables: str) -> Serving:
            serving = Serving(list(arguments), tmp_path, variables, program)
            started.callback(serving.close)
            return serving

        yield start


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``s3kit`` to its end in an empty folder."""

    def run_command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "s3kit", *arguments],
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run_command
