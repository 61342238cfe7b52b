"""An ASGI app (as FastAPI's and Starlette's are) with an S3 endpoint beside its own pages.

Run it:  python examples/asgi_app.py         (or: uvicorn --no-proxy-headers asgi_app:app)
Then:    http://127.0.0.1:9000/ is the app's page, http://127.0.0.1:9000/s3 the S3 endpoint.
Needs:   pip install 's3kit[asgi]' uvicorn

For S3 alone:  app = as_asgi(S3App(config)). gunicorn serves S3 at less cost; this is for apps that
are ASGI already.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn

from s3kit import Config
from s3kit import S3App
from s3kit_contrib.asgi import mount_asgi

s3 = S3App(Config(keys={"AKIAEXAMPLE": "secret"}))
client = s3.client()


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The app as it was; in yours this is FastAPI()."""
    if scope["type"] != "http":
        raise NotImplementedError
    # The client does I/O, so it is called in a thread.
    buckets = await asyncio.to_thread(lambda: [bucket.name for bucket in client.buckets()])
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"Buckets: {', '.join(buckets)}".encode()})


app = mount_asgi(site, s3, at="/s3")


class Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then tell the port."""
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"Listening on http://127.0.0.1:{port}", flush=True)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    Server(uvicorn.Config(app, port=port, proxy_headers=False, log_level="warning")).run()
