"""A Flask app whose own users are S3's: each has a key of its own, and its own account.

Run it:  python examples/flask_users.py
Then:    http://127.0.0.1:9000/s3 is the S3 endpoint; alice's key pair is AKIAEXAMPLE and secret.
         `curl -X POST http://127.0.0.1:9000/users/alice/disable`, and her next request is refused.
Needs:   pip install 's3kit[flask]'
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from flask import Flask
from werkzeug.serving import make_server

from s3kit import AuthorizationRequest
from s3kit import Decision
from s3kit_contrib.flask import S3Kit

app = Flask(__name__)
app.config["S3KIT"] = {}  # in memory; see flask_app.py
# In an app of yours these are rows: db.session works in load_key. Keep their secrets encrypted.
users: dict[str, dict[str, object]] = {
    "AKIAEXAMPLE": {"name": "alice", "secret": "secret", "active": True},
    "AKIAGUEST": {"name": "bob", "secret": "secret", "active": True},
}


def load_key(access_key: str) -> Mapping[str, object] | None:
    """The key of a user who may use S3 now."""
    row = users.get(access_key)
    if row is not None and row["active"]:
        return {"secret_key": row["secret"], "account": row["name"]}
    return None


def authorize(request: AuthorizationRequest) -> Decision | None:
    """The app's own word, beside policies and ACLs: everybody reads what is in shared."""
    shared = request.action == "s3:GetObject" and request.bucket == "shared"
    return Decision(True, "it is shared") if shared else None


s3kit = S3Kit(app, load_key=load_key, authorize=authorize)


@app.post("/users/<name>/disable")
def disable(name: str) -> str:
    """Take S3 away from a user; in an app of yours only for who may."""
    for row in users.values():
        row["active"] = row["active"] and row["name"] != name
    s3kit.forget_keys()  # or within a second
    return f"{name} is disabled."


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(sys.argv[1] if sys.argv[1:] else 9000), app, True)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
