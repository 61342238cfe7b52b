"""For your own tests: a live server and the contracts that third-party parts must keep."""

from __future__ import annotations

from .live_server import LiveServer

__all__ = ["LiveServer"]
