"""The doors of ``tests/clients``."""

from __future__ import annotations

from tests.clients.conftest import door
from tests.clients.conftest import door_of

__all__ = ["door", "door_of"]
