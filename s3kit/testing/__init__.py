"""For your own tests: a live server, the pytest plug-in, the contracts that parts must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from .live_server import LiveServer

__all__ = ["LiveServer"]


def __getattr__(name: str) -> Any:
    # Not before: pytest loads the plug-in in this folder wherever s3kit is installed.
    if name == "LiveServer":
        from .live_server import LiveServer

        return LiveServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
