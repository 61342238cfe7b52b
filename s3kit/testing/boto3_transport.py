"""boto3 without a socket: its requests go straight into a WSGI app of this process.

.. code-block:: python

    s3 = boto3_client(app, "AKIAEXAMPLE", "secret")                          # an S3App
    s3 = boto3_client(flask_app.wsgi_app, ..., endpoint_url="http://testserver/s3")  # a mounted one

Everything but the network is real: boto3 signs, retries, hashes and parses, bodies stream both
ways, and the app sees what a server would hand it, the raw request target included. A client with
retries or resources of its own is sent the same way by :func:`route_to_wsgi`.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import unquote_to_bytes
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed import OptExcInfo as ExcInfo
    from _typeshed.wsgi import WSGIApplication

ENDPOINT = "http://testserver"
_PORTS = {"http": "80", "https": "443"}
# A session loads its service models once, but makes one client at a time.
_making = threading.Lock()


def boto3_client(
    app: WSGIApplication,
    access_key: str | None = None,
    secret_key: str | None = None,
    region: str = "us-east-1",
    *,
    endpoint_url: str = ENDPOINT,
    config: Any = None,
    service: str = "s3",
    **options: Any,
) -> Any:
    """A boto3 client whose requests go into ``app``.

    :param app: any WSGI app that answers S3 at ``endpoint_url``.
    :param access_key: None for anonymous requests.
    :param endpoint_url: the mount's path belongs to it; nothing ever resolves the host. Over
        ``https`` boto3 sends its checksums in trailers, as it does to AWS.
    :param config: a ``botocore.config.Config``; buckets are named in the path unless it says
        otherwise.
    :param service: ``s3``, or ``sts`` for temporary keys.
    :param options: more of what ``boto3.client`` takes.
    :raises ImportError: boto3 is not installed.
    """
    session = _session()
    from botocore import UNSIGNED
    from botocore.config import Config

    wanted = Config(s3={"addressing_style": "path"})
    if access_key is None:
        wanted = wanted.merge(Config(signature_version=UNSIGNED))
    if config is not None:
        style = {"addressing_style": "path", **(config.s3 or {})}
        wanted = wanted.merge(config).merge(Config(s3=style))
    with _making:
        client = session.client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=wanted,
            **options,
        )
    route_to_wsgi(client, app)
    return client


def route_to_wsgi(client: Any, app: WSGIApplication) -> None:
    """Send all further requests of a boto3 or botocore client into ``app``.

    :param client: of a resource it is ``resource.meta.client``; or a boto3 Session, for all S3
        and STS clients that it will make.
    """

    def send(request: Any, **_: Any) -> Any:
        return _answer(app, request)

    events = client.events if hasattr(client, "events") else client.meta.events
    for service in ("s3", "sts"):
        events.register(f"before-send.{service}", send)


@cache
def _session() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise ImportError(
            "boto3 is not installed. Install it with: pip install 's3kit[pytest]'"
        ) from error
    from botocore.session import Session

    # No file of the developer's changes what a test sees.
    variables = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.session.Session(botocore_session=Session(variables))


def _answer(app: WSGIApplication, request: Any) -> Any:
    """Run one of botocore's prepared requests through the app, as far as its headers."""
    from botocore.awsrequest import AWSResponse
    from botocore.exceptions import ConnectionClosedError
    from urllib3 import HTTPHeaderDict
    from urllib3 import HTTPResponse
    from urllib3.exceptions import ProtocolError

    answer = _Answer(app, _environ(request))
    raw = HTTPResponse(
        body=answer,
        headers=HTTPHeaderDict(answer.headers),
        status=answer.status,
        preload_content=False,
        decode_content=False,
        enforce_content_length=False,
        request_method=request.method,
    )
    response = AWSResponse(request.url, answer.status, raw.headers, raw)
    if not request.stream_output:
        # Read at once, as botocore's own sender does: a body that breaks off is tried again.
        try:
            _ = response.content
        except ProtocolError as error:
            raise ConnectionClosedError(
                error=error, request=request, endpoint_url=request.url
            ) from error
    return response


def _environ(request: Any) -> dict[str, Any]:
    """The WSGI environ that a server would make of the request."""
    url = urlsplit(request.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    host = url.hostname or ""
    port = str(url.port or _PORTS[url.scheme])
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(url.path or "/").decode("latin-1"),
        "QUERY_STRING": url.query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "s3kit.testing",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": url.netloc.rpartition("@")[2],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    # Nobody waits for "100 Continue" here: the body is at hand.
    environ.pop("HTTP_EXPECT", None)
    body = request.body
    if isinstance(body, str):
        body = body.encode()
    if body is None or isinstance(body, bytes | bytearray):
        body = io.BytesIO(body or b"")
    if "HTTP_TRANSFER_ENCODING" in environ:
        # A server takes the chunks apart and hands over their content, which then ends by itself.
        environ["wsgi.input_terminated"] = True
        environ.pop("CONTENT_LENGTH", None)
    environ["wsgi.input"] = body
    return environ


class _Answer(io.RawIOBase):
    """What the app answers: status and headers at once, the body as it is read."""

    status: int
    headers: list[tuple[str, str]]

    def __init__(self, app: WSGIApplication, environ: dict[str, Any]) -> None:
        self._started = False
        self._head: list[bytes] = []
        self._rest = b""
        self._result: Iterable[bytes] = ()
        self._result = app(environ, self._start)
        try:
            self._blocks: Iterator[bytes] = iter(self._result)
            # An app may start its answer as late as with its first block.
            while not self._started:
                block = next(self._blocks, None)
                if block is None:
                    break
                self._head.append(block)
        except BaseException:
            self._end()
            raise
        if not self._started:
            self._end()
            raise RuntimeError("The WSGI app has not called start_response.")
        if environ["REQUEST_METHOD"] == "HEAD":
            # A server sends none of it.
            self._end()
            self._head, self._blocks = [], iter(())

    def _start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Any:
        if self._started and exc_info is None:
            raise RuntimeError("The WSGI app has called start_response twice.")
        self._started = True
        self.status = int(status[:3])
        self.headers = list(headers)
        return self._head.append

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as one block does; 0 at the end."""
        while not self._rest:
            if self._head:
                self._rest = self._head.pop(0)
                continue
            block = self._next()
            if block is None:
                return 0
            self._rest = block
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes | None:
        from urllib3.exceptions import ProtocolError

        try:
            return next(self._blocks, None)
        except Exception as error:
            # The headers are gone by then: all that a server can do is to hang up.
            raise ProtocolError("Connection broken", error) from error

    def close(self) -> None:
        """Tell the app that nobody reads any more."""
        if not self.closed:
            self._end()
        super().close()

    def _end(self) -> None:
        close = getattr(self._result, "close", None)
        self._result = ()
        if close is not None:
            close()


__all__ = ["boto3_client", "route_to_wsgi"]
