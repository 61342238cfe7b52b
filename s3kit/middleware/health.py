"""Two addresses for load balancers: is the process alive, and can it do its work?

.. code-block:: python

    app = health(s3, ready=ping_the_database, base_hosts=["s3.example.com"])

``/-/health`` answers 200 while the process runs. ``/-/ready`` calls ``ready`` and answers 503 when
it raises. No bucket can be named ``-``, so neither hides an object; under a bucket's own host
(``bucket.s3.example.com``) both paths are keys and go through.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from collections.abc import Iterable

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("s3kit.health")


def health(
    app: WSGIApplication,
    *,
    ready: Callable[[], object] | None = None,
    base_hosts: Iterable[str] = (),
) -> WSGIApplication:
    """``app`` with ``/-/health`` and ``/-/ready`` in front.

    :param ready: raises when the service cannot do its work; None means always ready.
    :param base_hosts: hosts below which a name is a bucket, as in ``Config.base_hosts``.
    """
    below = tuple("." + host.lower().strip(".") for host in base_hosts)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/-/") or path not in ("/-/health", "/-/ready"):
            return app(environ, start_response)
        host = environ.get("HTTP_HOST", "").partition(":")[0].lower().rstrip(".")
        if below and host.endswith(below):
            return app(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            return _send(start_response, "405 Method Not Allowed", b"", [("Allow", "GET, HEAD")])
        status, text = "200 OK", b"ok\n"
        if path == "/-/ready" and ready is not None:
            try:
                ready()
            except Exception:
                # The reason may name hosts or users: it goes to the log, not to the caller.
                logger.exception("Not ready.")
                status, text = "503 Service Unavailable", b"not ready\n"
        body = _send(start_response, status, text, [("Cache-Control", "no-store")])
        return [] if method == "HEAD" else body

    return answer


def _send(
    start_response: StartResponse, status: str, text: bytes, headers: list[tuple[str, str]]
) -> list[bytes]:
    start_response(
        status,
        [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), *headers],
    )
    return [text]
