"""``s3kit gc``: remove bytes that nothing points at any more."""

from __future__ import annotations

import os
from typing import Any

import click

from ..app import S3App
from .settings import data_options
from .settings import gather_existing


@click.command()
@data_options
@click.option("--orphans", is_flag=True, help="Also look for blobs that a crash left behind.")
def gc(orphans: bool, **options: Any) -> None:
    """Remove the bytes of deleted and overwritten objects whose grace period is over.

    The endpoint may run meanwhile.
    """
    app = S3App(gather_existing(options, os.environ))
    try:
        click.echo(f"Removed {app.store.collect_garbage()} blobs.")
        if orphans:
            click.echo(f"Swept {app.store.sweep_orphans()} orphans.")
    finally:
        app.close()
