"""For your own tests: a live server, the pytest plug-in, the contracts that parts must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from .boto3_transport import boto3_client
    from .boto3_transport import route_to_wsgi
    from .live_server import LiveServer

__all__ = ["LiveServer", "boto3_client", "route_to_wsgi"]


def __getattr__(name: str) -> Any:
    # Not before: pytest loads the plug-in in this folder wherever s3kit is installed.
    if name == "LiveServer":
        from .live_server import LiveServer

        return LiveServer
    if name in ("boto3_client", "route_to_wsgi"):
        from . import boto3_transport

        return getattr(boto3_transport, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
