"""``s3kit gc``: remove bytes that nothing points at any more."""

from __future__ import annotations

import os
from typing import Any

import click

from ..app import S3App
from ..config import ConfigError
from ..store.janitor import ForeignStorage
from .settings import check_index
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
    check_index(config)
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
