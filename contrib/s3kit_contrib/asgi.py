"""S3 under an ASGI server or inside an ASGI app (FastAPI, Starlette, Quart, Django), by a2wsgi.

.. code-block:: python

    app = as_asgi(s3)                                       # uvicorn module:app
    app = mount_asgi(fastapi_app, s3, at="/s3")             # beside another app

The raw request target survives: uvicorn, granian and hypercorn tell it as ``raw_path``, and
:mod:`s3kit.wire.environ` reads it. What ``as_asgi`` adds to a bare ``a2wsgi.WSGIMiddleware``:

- a client that goes away ends its download, instead of all of it being read for nobody; and where
  the server's ``send`` raises then (ASGI 2.4), no thread of a2wsgi's waits for ever; nor where the
  request is cancelled, by a time limit, a middleware or the server's end;
- an upload in chunks that breaks off is known as broken (a2wsgi alone: such uploads are refused);
- header names with an underscore are dropped, but for metadata: WSGI would take ``X_Amz_Acl`` for
  ``X-Amz-Acl``;
- after an upload that was refused unasked (``Expect: 100-continue``) the connection is closed, as
  ``s3kit serve`` does: clients would mistake what follows;
- enough threads: a slow client holds one of them.

uvicorn rewrites scheme and client address by ``X-Forwarded-*`` from 127.0.0.1; give it
``--no-proxy-headers`` and name the proxies in ``Config.trusted_proxies``. An ASGI server costs more
per request than gunicorn: it is for apps that are ASGI already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import MutableMapping
from types import BuiltinFunctionType
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import quote

from s3kit import mount

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("s3kit.asgi")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

DEFAULT_THREADS = 64
"""As in ``s3kit serve``: 32 stalled uploads leave as many for everybody else."""

_AHEAD = 2
"""Blocks of 256 KiB that may wait for a slow client."""


def as_asgi(app: WSGIApplication, *, threads: int = DEFAULT_THREADS) -> ASGIApplication:
    """A WSGI app, such as an S3App, as an ASGI app.

    :param threads: requests that run at once; the rest waits.
    :raises ImportError: a2wsgi is not installed.
    """
    return _Bridge(app, threads)


def mount_asgi(
    app: ASGIApplication,
    s3: WSGIApplication,
    *,
    at: str | None = None,
    hosts: Iterable[str] = (),
    threads: int = DEFAULT_THREADS,
) -> ASGIApplication:
    """An ASGI app giving ``s3`` the requests under ``at`` or for ``hosts``, and ``app`` the rest.

    A router's own mount would redirect or refuse some keys (``//``, line breaks); this one does
    not touch the path. Lifespan and websockets are ``app``'s.

    :param at: as for :func:`s3kit.mount`.
    :param hosts: as for :func:`s3kit.mount`.
    :raises ValueError: as :func:`s3kit.mount`.
    :raises ImportError: a2wsgi is not installed.
    """
    hosts = tuple(hosts)
    mounted = as_asgi(mount(_nothing, s3, at=at, hosts=hosts), threads=threads)
    # The same rules decide, asked with nothing but host and path.
    choose: Any = mount(_not_ours, _ours, at=at, hosts=hosts)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = app
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            asked = {
                "PATH_INFO": path.encode("utf-8", "surrogatepass").decode("latin-1"),
                "HTTP_HOST": _host(scope),
            }
            if choose(asked, None):
                chosen = mounted
        await chosen(scope, receive, send)

    return dispatch


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            found: str = value.decode("latin-1")
            return found
    return ""


def _ours(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return [b"ours"]


def _not_ours(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return []


def _nothing(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


class _Bridge:
    def __init__(self, app: WSGIApplication, threads: int) -> None:
        try:
            from a2wsgi import WSGIMiddleware
        except ImportError as error:
            raise ImportError(
                "a2wsgi is not installed. Install it with: pip install 's3kit[asgi]'"
            ) from error
        self._app = app
        inner: Any = WSGIMiddleware(self._wsgi, workers=threads, send_queue_size=_AHEAD)
        self._inner: ASGIApplication = inner
        # Nobody else holds a call that was given up, and asyncio holds tasks weakly.
        self._calls: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if b"_" not in name or name.startswith(b"x-amz-meta-")
        ]
        expects = any(name == b"expect" for name, _ in headers)
        exchange = _Exchange(receive, send, expects)
        query: bytes = scope["query_string"]
        if not query.isascii():
            # a2wsgi fails at such bytes; signed they were in this form.
            query = quote(query, safe="%&=+~!$'()*,;:@/?-._").encode()
        scope = {**scope, "headers": headers, "query_string": query, "s3kit.exchange": exchange}
        # A task of its own: to cancel it would leave a2wsgi's thread waiting for ever for a sender
        # that has ended.
        call = asyncio.ensure_future(self._inner(scope, exchange.receive, exchange.send))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        call.add_done_callback(exchange.end)
        try:
            await asyncio.shield(call)
        except asyncio.CancelledError:
            exchange.leave()
            raise

    def _wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        # receive() tells a body that broke off from one that ended.
        environ["wsgi.input_terminated"] = True
        exchange: _Exchange = environ["asgi.scope"]["s3kit.exchange"]
        if exchange.gone:
            return []
        # s3kit then leaves a body unread that it did not ask for.
        environ["wsgi.input"].lazy_continue = exchange.asks_late
        body = self._app(environ, start_response)
        return _until_gone(body, exchange)


def _until_gone(body: Iterable[bytes], exchange: _Exchange) -> Iterator[bytes]:
    try:
        for block in body:
            if exchange.gone:
                break
            yield block
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _asks_late(receive: Receive) -> bool:
    """Whether this server sends ``100 Continue`` only when the body is asked for.

    uvicorn's function and granian's, which is built in; hypercorn and daphne send it at once.
    """
    module = getattr(receive, "__module__", None) or ""
    return module.startswith("uvicorn.") or isinstance(receive, BuiltinFunctionType)


class _Exchange:
    """One request's two ends; ``gone`` is True once the client has left."""

    def __init__(self, receive: Receive, send: Send, expects: bool) -> None:
        self.gone = False
        self.asks_late = _asks_late(receive)
        self._receive = receive
        self._send = send
        # Whether the client waits for "100 Continue", which the first receive() sends.
        self._unasked = expects
        self._ahead: asyncio.Queue[Message] = asyncio.Queue(1)
        self._watch: asyncio.Task[None] | None = None
        self._left = False
        self._receiving: asyncio.Task[Any] | None = None
        self._sending: asyncio.Task[Any] | None = None
        self._cancelled: set[asyncio.Task[Any]] = set()

    async def receive(self) -> Message:
        """The next part of the body.

        :raises ConnectionError: the client went away before its end.
        """
        self._unasked = False
        if self._left:
            raise ConnectionError("The request was cancelled.")
        self._receiving = asyncio.current_task()
        try:
            message = await (self._receive() if self._watch is None else self._ahead.get())
        except asyncio.CancelledError:
            if self._take_back(self._receiving):
                raise ConnectionError("The request was cancelled.") from None
            raise
        finally:
            self._receiving = None
        if message["type"] == "http.disconnect":
            self.gone = True
            raise ConnectionError("The client went away.")
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, or drop it when nobody is there to take it."""
        if self.gone:
            return
        if self._unasked and message["type"] == "http.response.start":
            # botocore gives the status of an answer that came unasked to every later one.
            headers = [*message.get("headers", ()), (b"connection", b"close")]
            message = {**message, "headers": headers}
        self._sending = asyncio.current_task()
        try:
            await self._send(message)
        except asyncio.CancelledError:
            if not self._take_back(self._sending):
                raise
        except Exception as error:
            # a2wsgi's thread would wait for ever for a sender that has ended.
            logger.debug("The answer could not be sent: %r", error)
            self.gone = True
        finally:
            self._sending = None
        if self._watch is None and not self._unasked and not self._left:
            # Not before the answer has begun: until then the app itself reads.
            self._watch = asyncio.create_task(self._look())

    def leave(self) -> None:
        """Nobody waits for the answer any more: end what waits for the client."""
        self._left = True
        self._give_up_sending()
        self._cancel(self._receiving)

    def end(self, call: object = None) -> None:
        """The app is done."""
        if self._watch is not None:
            self._watch.cancel()

    def _give_up_sending(self) -> None:
        self.gone = True
        self._cancel(self._sending)

    def _cancel(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    def _take_back(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task was cancelled here and nowhere else; then it may go on."""
        if task is None or task not in self._cancelled:
            return False
        self._cancelled.discard(task)
        return task.uncancel() == 0

    async def _look(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._give_up_sending()
            await self._ahead.put(message)
            if self.gone:
                return
