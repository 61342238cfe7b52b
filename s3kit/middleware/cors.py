"""Let scripts of other web pages use any WSGI app, by S3's CORS rules.

.. code-block:: python

    app = cors(app, [CorsRule(("https://www.example.com",), ("GET", "PUT"), ("*",), ("ETag",))])

A browser's preflight (OPTIONS with Origin and Access-Control-Request-Method) is answered here,
with 403 where no rule matches, and never reaches the app: put this before what asks for a
signature, since browsers sign no preflight. Other requests pass; a rule that matches adds its
headers to their answers, unless the app has set such headers itself.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

from ..errors import AccessForbidden
from ..wire.cors import VARY
from ..wire.cors import CorsRule
from ..wire.cors import cors_headers
from ..wire.cors import find_rule
from ..wire.cors import requested_headers
from ..wire.environ import header
from .refusal import Form
from .refusal import refuse

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["CorsRule", "cors"]

Rules = Callable[["WSGIEnvironment"], Iterable[CorsRule]]
"""Finds the rules for one request."""


def cors(
    app: WSGIApplication,
    rules: Iterable[CorsRule] | Rules,
    *,
    refusal: Form = "s3",
) -> WSGIApplication:
    """``app``, open to the pages that the rules name.

    :param rules: the first that matches counts; or a function of the environ that gives them.
    :param refusal: of a preflight: ``s3`` answers S3's error in XML, ``plain`` a bare 403.
    """
    if callable(rules):
        find = rules
    else:
        fixed = tuple(rules)

        def find(environ: WSGIEnvironment) -> Iterable[CorsRule]:
            return fixed

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        origin = header(environ, "origin")
        method: str = environ["REQUEST_METHOD"]
        if method == "OPTIONS" and origin:
            wanted = header(environ, "access-control-request-method")
            if wanted:
                return _preflight(environ, start_response, find(environ), origin, wanted)
        if origin:
            wanted = header(environ, "access-control-request-method")
            added = cors_headers(find(environ), origin, method, wanted)
        else:
            added = [("Vary", VARY)]

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if any(name.lower() == "access-control-allow-origin" for name, _ in headers):
                everything = headers
            else:
                everything = [*headers, *added]
            if exc_info is None:
                return start_response(status, everything)
            return start_response(status, everything, exc_info)

        return app(environ, start)

    def _preflight(
        environ: WSGIEnvironment,
        start_response: StartResponse,
        found: Iterable[CorsRule],
        origin: str,
        wanted: str,
    ) -> list[bytes]:
        asked = requested_headers(header(environ, "access-control-request-headers"))
        rule = find_rule(found, origin, wanted, asked)
        if rule is not None:
            headers = [*rule.answer(origin, asked), ("Content-Length", "0")]
            start_response("200 OK", headers)
            return []
        error = AccessForbidden(method=wanted, resource_type="OBJECT")
        return refuse(environ, start_response, error, refusal, headers=[("Vary", VARY)])

    return call
