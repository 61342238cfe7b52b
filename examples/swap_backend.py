"""The same app on other backends: only the configuration differs.

Run it:  python examples/swap_backend.py memory
         python examples/swap_backend.py disk /srv/s3kit
"""

from __future__ import annotations

import sys
from typing import Any

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App


def settings(backend: str, folder: str) -> dict[str, Any]:
    """Plain data, as it would stand in a settings module or a TOML file."""
    if backend == "memory":
        return {"index": "memory://", "storages": {"default": "memory://"}}
    return {
        "index": f"sqlite:///{folder}/s3kit.db",  # or postgresql+psycopg://s3kit@db/s3kit
        "storages": {
            "default": f"{folder}/objects",
            "cold": {"url": f"{folder}/cold"},  # or s3://bucket/prefix, sftp://..., gs://...
        },
        "place": {"backups-*": "cold"},  # these buckets lie there, the rest in "default"
    }


def main(backend: str, folder: str, port: int) -> None:
    """Serve S3 from the chosen backend."""
    common = {"keys": {"AKIAEXAMPLE": "secret"}, "inline_threshold": 1024}
    s3 = S3App(Config.from_mapping({**common, **settings(backend, folder)}))
    server = make_server("127.0.0.1", port, s3, threaded=True)
    print(f"S3 at http://127.0.0.1:{server.server_port}, objects in {backend}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    backend, folder, port = [*sys.argv[1:], *("memory", "", "9000")[len(sys.argv) - 1 :]]
    main(backend, folder, int(port))
