"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(holds: Callable[[], T], message: str = "never") -> T:
    """What ``holds`` gives once it is true; a minute is enough, however busy the machine is.

    :raises AssertionError: with the message, when it is not.
    """
    until = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < until, message
        time.sleep(0.01)
    return found
