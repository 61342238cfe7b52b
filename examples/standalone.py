"""An S3 endpoint as a WSGI app of its own, for any WSGI server.

Try it:          python examples/standalone.py
With gunicorn:   gunicorn -k gthread --threads 32 --limit-request-line 8190 standalone:application

Settings come from S3KIT_* variables. Without S3KIT_INDEX and S3KIT_STORAGES everything is in
memory and gone at the end. (`s3kit serve` does more: first keys, processes, limits, shutdown.)
"""

from __future__ import annotations

import os
import sys

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App

os.environ.setdefault("S3KIT_ACCESS_KEY", "AKIAEXAMPLE")
os.environ.setdefault("S3KIT_SECRET_KEY", "secret")

application = S3App(Config.from_env())


def main(port: int) -> None:
    """Serve the application, in threads of this process."""
    server = make_server("127.0.0.1", port, application, threaded=True)
    print(f"S3 at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
