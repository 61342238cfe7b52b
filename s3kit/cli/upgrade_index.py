"""``s3kit upgrade-index``: bring the index to this version's schema."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import click

from ..config import ConfigError
from ..index.schema import upgrade
from ..index.session import Index
from .settings import data_options
from .settings import gather_existing


@click.command("upgrade-index")
@data_options
def upgrade_index(**options: Any) -> None:
    """Bring the index to the schema of this version of s3kit.

    Stop the endpoint and back up the database first.
    """
    if importlib.util.find_spec("alembic") is None:
        raise ConfigError("Needs alembic. Install it with: pip install 's3kit[server]'")
    config = gather_existing(options, os.environ)
    index = Index(config.index, durability=config.durability)
    try:
        upgrade(index)
    finally:
        index.close()
    click.echo("The index is up to date.")
