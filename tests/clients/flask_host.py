"""A Flask app with s3kit in it, for ``gunicorn tests.clients.flask_host:app``.

S3 is under ``/s3`` on every host, and at the root of the host ``localhost``. The app's own limit on
bodies is one that no upload keeps: it must never meet an S3 body.
"""

from __future__ import annotations

import json
import os

from flask import Flask
from flask import request

from s3kit_contrib.flask import S3Kit

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1000
app.config["S3KIT"] = {**json.loads(os.environ["S3KIT_TEST_SETTINGS"]), "hosts": ["localhost"]}
S3Kit(app)


@app.get("/")
def home() -> str:
    """A page of the host's own."""
    return "the host's own page"


@app.post("/form")
def form() -> str:
    """What the host's own limit refuses when it is too long."""
    return str(len(request.get_data()))
