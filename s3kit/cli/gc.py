"""``s3kit gc``: remove bytes that nothing points at any more."""

from __future__ import annotations

import os
from typing import Any

import click
from sqlalchemy import make_url

from ..app import S3App
from ..config import Config
from ..config import ConfigError
from ..config import is_memory
from ..index.schema import check_schema
from ..index.session import Index
from ..store.janitor import ForeignStorage
from .settings import data_options
from .settings import gather_existing


@click.command()
@data_options
@click.option("--orphans", is_flag=True, help="Also look for blobs that a crash left behind.")
@click.option(
    "--grace",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long bytes must have been unused, in place of grace_seconds. Below that, answers "
    "that are being sent may break off.",
)
def gc(orphans: bool, grace: int | None, **options: Any) -> None:
    """Remove the bytes of deleted and overwritten objects whose grace period is over.

    The endpoint may run meanwhile.
    """
    config = gather_existing(options, os.environ)
    _check_index(config)
    app = S3App(config)
    try:
        removed = app.store.janitor.collect_garbage(grace_seconds=grace)
        click.echo(f"Removed {removed} blobs.")
        if orphans:
            click.echo(f"Swept {app.store.sweep_orphans()} orphans.")
    except ForeignStorage as error:
        raise ConfigError(str(error)) from None
    finally:
        app.close()


def _check_index(config: Config) -> None:
    """Refuse to make an index: to a new one every blob is an orphan.

    :raises ConfigError: there is none, or it is one in memory.
    :raises SchemaMismatch: it has no tables, or other ones.
    """
    if is_memory(config.index):
        raise ConfigError("An index in memory is its own process's: no other can clean up there.")
    url = make_url(config.index)
    if url.get_backend_name() == "sqlite" and not os.path.isfile(str(url.database)):
        raise ConfigError(
            f"No index {url.database}. Name the endpoint's own, as `s3kit serve` has it."
        )
    index = Index(config.index)
    try:
        check_schema(index)
    finally:
        index.close()
