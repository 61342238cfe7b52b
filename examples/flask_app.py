"""A Flask app with an S3 endpoint beside its own pages.

Run it:  python examples/flask_app.py
Then:    http://127.0.0.1:9000/ is a page of Flask, http://127.0.0.1:9000/s3 the S3 endpoint, and so
         is every path under the host names given to mount().
"""

from __future__ import annotations

import sys

from flask import Flask
from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App
from s3kit import mount

app = Flask(__name__)
s3 = S3App(
    Config(
        keys={"AKIAEXAMPLE": "secret"},
        base_hosts=("s3.localhost",),  # photos.s3.localhost is the bucket "photos"
        # Without the next two, everything is in memory:
        # index="sqlite:////srv/s3kit.db",
        # storages={"default": "/srv/objects"},
    )
)
app.wsgi_app = mount(  # type: ignore[assignment, method-assign]
    app.wsgi_app, s3, at="/s3", hosts=["s3.localhost", "*.s3.localhost"]
)


@app.get("/")
def index() -> str:
    """A page that looks into the store without going over HTTP."""
    buckets = s3.store.buckets.page("default", limit=100)
    return "Buckets: " + ", ".join(bucket.name for bucket in buckets)


def main(port: int) -> None:
    """Serve the Flask app, S3 included, in threads of this process."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
