"""A progress bar for commands that take long, on standard error, so that output can be piped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

STEP = 1024 * 1024
"""Bytes between two looks at the bar: drawing it costs more than a small object."""


class ByteBar:
    """A bar over a number of bytes, or of other things, that may be known only later.

    Where standard error is no terminal nothing is drawn.
    """

    def __init__(self, label: str, *, step: int = STEP) -> None:
        self._label = label
        self._step = step
        self._held = 0
        self._bar: Any = None

    def __enter__(self) -> ByteBar:
        return self

    def __exit__(self, *details: object) -> None:
        self._end()

    def begin(self, total: int) -> None:
        """There are ``total`` bytes, none of them done."""
        self._end()
        if sys.stderr.isatty():
            bar = click.progressbar(length=max(total, 1), label=self._label, file=sys.stderr)
            self._bar = bar.__enter__()

    def advance(self, size: int) -> None:
        """``size`` more bytes are done."""
        if self._bar is None:
            return
        self._held += size
        if self._held >= self._step:
            self._bar.update(self._held)
            self._held = 0

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.update(self._held)
            self._bar.__exit__(None, None, None)
        self._bar = None
        self._held = 0


@contextmanager
def byte_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A :class:`ByteBar` over ``total`` bytes; what it gives is to be told of each that is done."""
    with ByteBar(label) as bar:
        bar.begin(total)
        yield bar.advance


def in_words(size: int) -> str:
    """A number of bytes as people say it, e.g. ``3.2 GiB``."""
    if size < 1024:
        return f"{size} bytes"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} PiB"


def read_rate(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """An option's bytes a second: a number, with K, M or G for powers of 1024."""
    if value is None:
        return None
    text = value.strip().upper().removesuffix("/S").removesuffix("B").removesuffix("I")
    power = "KMGT".find(text[-1]) + 1 if text else 0
    try:
        number = float(text[:-1] if power else text) * 1024**power
    except ValueError:
        number = 0
    if not 1 <= number < 2**62:
        raise click.BadParameter(f'"{value}" is no number of bytes a second such as 50M.')
    return int(number)
