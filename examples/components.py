"""s3kit's parts in front of an app of your own, without any S3 storage.

Run it:  python examples/components.py
Then:    curl -i http://127.0.0.1:9000/hello                          (403: nobody signed)
         curl --aws-sigv4 aws:amz:us-east-1:s3 --user AKIAEXAMPLE:secret \
              -H x-amz-content-sha256:UNSIGNED-PAYLOAD http://127.0.0.1:9000/hello
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from werkzeug.serving import make_server

from s3kit.middleware.access_log import LineFile
from s3kit.middleware.access_log import access_log
from s3kit.middleware.cors import CorsRule
from s3kit.middleware.cors import cors
from s3kit.middleware.request_id import request_id
from s3kit.middleware.sigv4 import require_sigv4


def own_app(environ: Any, start_response: Any) -> list[bytes]:
    """Your app: it knows who signed the request, and reads a body that was verified."""
    who, body = environ["s3kit.caller"].access_key, environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{who} sent {len(body)} bytes to {environ['PATH_INFO']}\n".encode()]


pages = CorsRule(
    allowed_origins=("https://www.example.com",),
    allowed_methods=("GET", "PUT"),
    allowed_headers=("*",),
    expose_headers=("x-amz-request-id",),
)

# From the inside out; each of them can be left out, and stand before any WSGI app.
application = require_sigv4(own_app, {"AKIAEXAMPLE": "secret"})
application = cors(application, [pages])  # before the signature: browsers sign no preflight
application = access_log(application)  # one line of JSON per request, to the logger s3kit.access
application = request_id(application, accept="X-Request-Id", trusted=["127.0.0.1"])


def main(port: int, log: str) -> None:
    """Serve it, with the access log in a file."""
    logging.getLogger("s3kit.access").addHandler(LineFile(log))
    logging.getLogger("s3kit.access").setLevel(logging.INFO)
    server = make_server("127.0.0.1", port, application, threaded=True)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    port, log = [*sys.argv[1:], *("9000", "/dev/stdout")[len(sys.argv) - 1 :]]
    main(int(port), log)
