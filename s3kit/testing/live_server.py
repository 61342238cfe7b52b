"""A real HTTP server around an app, for tests.

.. code-block:: python

    with LiveServer(S3App(Config(keys={"AKIAEXAMPLE": "secret"}))) as server:
        client = boto3.client("s3", endpoint_url=server.url, ...)
"""

from __future__ import annotations

import threading
import typing
from types import TracebackType
from typing import Any

from werkzeug.serving import WSGIRequestHandler
from werkzeug.serving import make_server

from ..wire.environ import keep_metadata

if typing.TYPE_CHECKING:
    import ssl

    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment


class LiveServer:
    """Serves ``app`` in threads of this process while its ``with`` block runs.

    :param port: 0 takes a free one; see ``url``.
    :param ssl_context: serve over TLS; as werkzeug takes it: a context, a (certificate, key) pair
        of paths, or ``"adhoc"``.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | tuple[str, str] | str | None = None,
    ) -> None:
        self._server = make_server(
            host,
            port,
            app,
            threaded=True,
            request_handler=_QuietHandler,
            ssl_context=ssl_context,  # type: ignore[arg-type]
        )
        self.host = host
        self.port: int = self._server.server_port
        scheme = "https" if ssl_context else "http"
        self.url = f"{scheme}://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    def make_environ(self) -> WSGIEnvironment:
        environ = super().make_environ()
        keep_metadata(environ, self.headers.items())
        return environ

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: tests read answers, and a presigned URL is no matter for a log."""
