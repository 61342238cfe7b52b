"""A progress bar for commands that take long, on standard error, so that output can be piped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

import click

STEP = 1024 * 1024
"""Bytes between two looks at the bar: drawing it costs more than a small object."""


@contextmanager
def byte_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over ``total`` bytes; what it gives is to be told of each that is done.

    Where standard error is no terminal nothing is drawn.
    """
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    with click.progressbar(
        length=max(total, 1), label=label, file=sys.stderr, show_pos=False, show_percent=True
    ) as bar:
        held = 0

        def advance(size: int) -> None:
            nonlocal held
            held += size
            if held >= STEP:
                bar.update(held)
                held = 0

        yield advance
        bar.update(held)


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
