"""What the commands about accounts, users and keys share: the endpoint's accounts, and words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from typing import Any

import click

from ..app import S3App
from ..errors import S3Error
from ..store import Store
from .settings import check_index
from .settings import gather_existing


@contextmanager
def opened(options: Mapping[str, Any]) -> Iterator[Store]:
    """The endpoint's store. What S3 would refuse becomes one line and exit code 1.

    :raises ConfigError: SchemaMismatch: there is no such endpoint.
    """
    config = gather_existing(options, os.environ)
    check_index(config)
    # Its plugins are imported: they may have a say in who signs up.
    app = S3App(config)
    try:
        yield app.store
    except S3Error as error:
        raise click.ClickException(f"{error.code}: {error.text}") from None
    finally:
        app.close()


def moment(milliseconds: int) -> str | None:
    """A time as ISO 8601, None for never."""
    if not milliseconds:
        return None
    found = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return found.isoformat().replace("+00:00", "Z")


def show(values: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing: a JSON document, or a line for each of its values."""
    if as_json:
        click.echo(json.dumps(values))
        return
    width = max(map(len, values))
    for name, value in values.items():
        if value not in (None, "", {}, []):
            click.echo(f"{name:{width}}  {_words(value)}")


def show_all(found: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Many things: one JSON document per line, or a table of these columns."""
    if as_json:
        for values in found:
            click.echo(json.dumps(values))
        return
    rows = [[_words(values[name]) for name in columns] for values in found]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in ([*columns], *rows) if rows else ():
        line = "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def _words(value: Any) -> str:
    if value is None or value == "" or value == {}:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
