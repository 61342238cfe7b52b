"""A Flask app with an S3 endpoint beside its own pages.

Run it:  python examples/flask_app.py        (or: flask --app examples/flask_app run --port 9000)
Then:    http://127.0.0.1:9000/ is a page of Flask, http://127.0.0.1:9000/s3 the S3 endpoint, and so
         is every path under the host names below. `flask --app ... s3kit --help` looks after it.
Needs:   pip install 's3kit[flask]'
"""

from __future__ import annotations

import sys

from flask import Flask
from werkzeug.serving import make_server

from s3kit.signals import Event
from s3kit.signals import object_created
from s3kit_contrib.flask import S3Kit

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 100_000  # Flask's own forms; no upload to S3 meets it
app.config["S3KIT"] = {
    "keys": {"AKIAEXAMPLE": "secret"},
    "at": "/s3",
    "hosts": ["s3.localhost", "*.s3.localhost"],  # photos.s3.localhost is the bucket "photos"
    # Without the next two, everything is in memory:
    # "index": "sqlite:////srv/s3kit.db",
    # "storages": {"default": "/srv/objects"},
}
s3kit = S3Kit(app)
stored: list[str] = []


@object_created.connect
def remember(bucket: str, *, event: Event) -> None:
    """Called after each commit, whoever stored the object and by which door."""
    stored.append(f"{bucket}/{event.key}")


@app.get("/")
def index() -> str:
    """A page that looks into the store without going over HTTP."""
    names = ", ".join(bucket.name for bucket in s3kit.client().buckets())
    return f"Buckets: {names}. Stored: {', '.join(stored)}"


def main(port: int) -> None:
    """Serve the Flask app, S3 included, in threads of this process."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
