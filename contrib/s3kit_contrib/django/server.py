"""Django's development server, made fit for S3.

Django's own is wsgiref's: it tells no raw request target (``b%2Fa`` arrives as ``b/a``), reads a
body in chunks as empty, gives a request without Content-Type ``text/plain``, takes away the
``Content-Length: 0`` of a HEAD, reads the rest of a refused upload into memory, and writes the
signatures of presigned URLs into its log. Measured with Django 5.2.
"""

from __future__ import annotations

import re
from typing import Any
from wsgiref import simple_server

from django.core.servers.basehttp import ServerHandler
from django.core.servers.basehttp import WSGIRequestHandler
from django.core.servers.basehttp import WSGIServer
from werkzeug.serving import DechunkedInput

_BLOCK = 65536
_MOST_DRAINED = 2**26
_SECRETS = re.compile(
    r"((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature)=)[^&\s]*", re.IGNORECASE
)


class S3WSGIServer(WSGIServer):
    """For ``runserver``'s ``server_cls``: brings its own request handler, whatever is given."""

    def __init__(self, address: Any, handler: object, **options: Any) -> None:
        super().__init__(address, S3RequestHandler, **options)


class S3RequestHandler(WSGIRequestHandler):
    """Adds REQUEST_URI and RAW_URI, byte for byte as the client sent them."""

    def get_environ(self) -> dict[str, Any]:
        """The environ, with the raw target and without an invented Content-Type."""
        sent = self.headers.items()
        environ: dict[str, Any] = super().get_environ()
        for name, value in sent:
            # Django leaves out what has an underscore; in metadata it is part of the name.
            if "_" in name and name[:11].lower() == "x-amz-meta-":
                environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        # Not self.path: several leading slashes are one there.
        target = self.requestline.split()[1]
        environ["REQUEST_URI"] = environ["RAW_URI"] = target
        if self.headers.get("content-type") is None:
            environ["CONTENT_TYPE"] = ""
        return environ

    def handle_one_request(self) -> None:
        """As in Django, but with our handler of the answer."""
        self.raw_requestline = self.rfile.readline(65537)
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        handler = S3ServerHandler(self.rfile, self.wfile, self.get_stderr(), self.get_environ())
        handler.request_handler = self
        handler.run(self.server.get_app())  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        """Log the request; of a presigned URL without what would let others use it."""
        if args and isinstance(args[0], str):
            args = (_SECRETS.sub(r"\1...", args[0]), *args[1:])
        super().log_message(format, *args)


class S3ServerHandler(ServerHandler):
    """Reads bodies in chunks, and drains what is left of a body without keeping it."""

    request_handler: Any
    # wsgiref's; None until the answer begins.
    headers: Any

    def __init__(self, stdin: Any, stdout: Any, stderr: Any, environ: Any, **options: Any) -> None:
        super().__init__(stdin, stdout, stderr, environ, **options)
        self._chunked = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked"
        if self._chunked:
            self.stdin = DechunkedInput(stdin)
            environ["wsgi.input_terminated"] = True

    def cleanup_headers(self) -> None:
        """Keep the length of an empty object, which HEAD has to tell."""
        length = None if self.headers is None else self.headers.get("Content-Length")
        super().cleanup_headers()
        if length is not None and self.headers is not None:
            self.headers["Content-Length"] = length
        if self._chunked:
            # Nobody can tell where a broken body ends.
            self.request_handler.close_connection = True

    def close(self) -> None:
        """Drain the body, up to 64 MiB, and log."""
        drained = 0
        try:
            while block := self.get_stdin().read(_BLOCK):
                drained += len(block)
                if drained > _MOST_DRAINED:
                    self.request_handler.close_connection = True
                    break
        except OSError:
            self.request_handler.close_connection = True
        simple_server.ServerHandler.close(self)
