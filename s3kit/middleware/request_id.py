"""Give every request an id: a new one, or the one that a trusted proxy in front gave it.

.. code-block:: python

    app = request_id(app)
    app = request_id(app, accept="X-Request-Id", trusted=["10.0.0.0/8"])

The id is in ``environ["s3kit.request"].request_id``, in the access log, in S3's errors and in the
answer's ``x-amz-request-id``. An S3App makes such ids by itself: before one, this is for taking a
proxy's.
"""

from __future__ import annotations

import random
import re
import typing
from collections.abc import Iterable
from typing import Any
from typing import Final

from ..wire.environ import TrustedProxies
from ..wire.environ import environ_key
from .record import RECORD
from .record import RequestRecord

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

# What can stand in a header, an XML document and a command line without care.
_GOOD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,127}")


def request_id(
    app: WSGIApplication,
    *,
    accept: str | None = None,
    trusted: Iterable[str] = (),
    answer: str = "x-amz-request-id",
) -> WSGIApplication:
    """``app`` with an id for every request.

    :param accept: the header whose value is taken for the id, at most 128 letters, digits and
        ``._:=+/-``; any other value is passed over.
    :param trusted: the addresses or networks that may give one (``unix`` for a local socket);
        anybody else's is passed over, for an id is what the owner looks a request up by.
    :param answer: the header of the answer that tells the id, where the app sets none of this name.
    :raises ValueError: ``accept`` without ``trusted``, or an entry of it is no network.
    """
    proxies = TrustedProxies(trusted)
    if accept is not None and not proxies:
        raise ValueError("accept= needs trusted=: say whose request ids count.")
    variable = None if accept is None else environ_key(accept)
    answer_name = answer.lower()

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        record: RequestRecord | None = environ.get(RECORD)
        if record is None:
            record = environ[RECORD] = RequestRecord()
        if variable is not None and (environ.get("REMOTE_ADDR") or "") in proxies:
            outer = (environ.get(variable) or "").strip()
            if _GOOD.fullmatch(outer):
                record.request_id = outer
        if not record.request_id:
            record.request_id = new_request_id()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if all(name.lower() != answer_name for name, _ in headers):
                headers = [*headers, (answer, record.request_id)]
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return call


def new_request_id() -> str:
    """An id in S3's form: 16 hexadecimal digits."""
    return f"{random.getrandbits(64):016X}"
