"""A WSGI application that answers how s3kit.wire reads a request, as JSON: bytes as latin-1 text.

test_servers.py runs it under every server; ``/mounted`` leads to it through a mount.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from s3kit.errors import S3Error
from s3kit.wire.address import parse_address
from s3kit.wire.environ import amz_headers
from s3kit.wire.environ import header
from s3kit.wire.environ import open_input
from s3kit.wire.environ import raw_target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment


def describe(environ: WSGIEnvironment) -> dict[str, Any]:
    target = raw_target(environ)
    found: dict[str, Any] = {"path": target.path, "query": target.query, "exact": target.exact}
    try:
        address = parse_address(
            target, header(environ, "host") or "", script_name=environ.get("SCRIPT_NAME", "")
        )
        found["bucket"] = address.bucket
        found["key"] = None if address.key is None else address.key.decode("latin-1")
        found["canonical"] = address.canonical
    except S3Error as error:
        found["address_error"] = error.code
    found["headers"] = {name: header(environ, name) for name in amz_headers(environ)}
    try:
        body = open_input(environ)
        found["length"] = body.length
        found["declared"] = body.declared
        if target.query == "early":
            body.drain()
        else:
            found["body"] = body.read().decode("latin-1")
    except S3Error as error:
        found["body_error"] = error.code
    return found


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    answer = json.dumps(describe(environ)).encode("ascii")
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer]


application = DispatcherMiddleware(echo, {"/mounted": echo})
