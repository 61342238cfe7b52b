"""The servers of ``s3kit serve`` with an app that has no S3 in it: what the server alone costs.

GET answers a fixed KiB. PUT does what no durable S3 server can leave out: it reads the body in
1 MiB blocks, hashes it with MD5 and SHA-256, writes a new file and fsyncs file and folder.

    python -m benchmarks.bare gunicorn PORT FOLDER WORKERS THREADS
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from s3kit.cli.servers import BACKLOG
from s3kit.cli.servers import Listening
from s3kit.cli.servers import gunicorn_settings
from s3kit.cli.servers import listen
from scripts.processes import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

MIB = 1 << 20
HELLO = b"x" * 1024
HELLO_HEADERS = [("Content-Type", "binary/octet-stream"), ("Content-Length", str(len(HELLO)))]


def app(folder: str) -> WSGIApplication:
    """The app without S3; files go to ``folder``."""

    def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            return receive(environ, start_response)
        start_response("200 OK", list(HELLO_HEADERS))
        return [HELLO]

    def receive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        etag, digest = hashlib.md5(), hashlib.sha256()
        descriptor = os.open(
            os.path.join(folder, secrets.token_hex(16)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        try:
            for block in blocks(environ["wsgi.input"], int(environ["CONTENT_LENGTH"])):
                etag.update(block)
                digest.update(block)
                os.write(descriptor, block)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
        if digest.hexdigest() != environ["HTTP_X_AMZ_CONTENT_SHA256"]:
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        start_response("200 OK", [("ETag", f'"{etag.hexdigest()}"'), ("Content-Length", "0")])
        return []

    return hello


def blocks(stream: Any, length: int) -> Iterator[bytes]:
    """The body in blocks of at most 1 MiB."""
    while length > 0:
        block = stream.read(min(MIB, length))
        if not block:
            raise OSError("the body ended early")
        length -= len(block)
        yield block


def run_gunicorn(listening: Listening, folder: str) -> None:
    """Serve on gunicorn with exactly the settings of ``s3kit serve``."""
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc,unused-ignore]
        def load_config(self) -> None:
            for name, value in gunicorn_settings(listening).items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return app(folder)

    Application().run()


def run_granian(listening: Listening, folder: str) -> None:
    """Serve on granian as ``s3kit serve`` does."""
    from functools import partial

    from granian import Granian
    from granian.constants import HTTPModes
    from granian.constants import Interfaces
    from granian.log import LogLevels

    listening.socket.close()
    server = Granian(
        "benchmarks.bare",
        address=LOOPBACK,
        port=listening.port,
        interface=Interfaces.WSGI,
        workers=listening.workers,
        blocking_threads=listening.threads,
        backlog=BACKLOG,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(app, folder), wrap_loader=False)


def main() -> None:
    """Serve until SIGTERM."""
    server, port, folder, workers, threads = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    listening = Listening(
        LOOPBACK, int(port), listen(LOOPBACK, int(port)), int(workers), int(threads)
    )
    {"gunicorn": run_gunicorn, "granian": run_granian}[server](listening, folder)


if __name__ == "__main__":
    main()
