"""The same app on any backend: one line of the configuration differs.

Run it, with one of these:

    python examples/swap_backend.py memory://
    python examples/swap_backend.py /srv/objects
    python examples/swap_backend.py '{"url": "s3://bucket/objects", "options": {"profile": "cold"}}'
    python examples/swap_backend.py '{"url": "sftp://host/objects", "options": {"username": "me"}}'
    python examples/swap_backend.py '{"url": "webdav://objects", "options": {"base_url":
        "https://dav.example.com/me", "auth": ["me", "password"]}}'
    python examples/swap_backend.py '{"mirror": ["/srv/objects", "/mnt/other-disk/objects"]}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App


def main(storage: Any, index: str = "memory://", port: str = "9000") -> None:
    """Serve S3 from the chosen backend.

    :param storage: a folder, a URL or a mapping, as it would stand in settings or a TOML file.
    :param index: where names and versions lie, e.g. ``sqlite:////srv/s3kit.db``.
    """
    s3 = S3App(
        Config(
            storages={"default": storage},  # the one line
            index=index,
            keys={"AKIAEXAMPLE": "secret"},
        )
    )
    server = make_server("127.0.0.1", int(port), s3, threaded=True)
    print(f"S3 at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    storage, *rest = sys.argv[1:] or ["memory://"]
    main(json.loads(storage) if storage.startswith("{") else storage, *rest)
