"""``s3kit migrate-storage``: move every blob of one storage to another while requests run."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import click

from ..assembly import open_store_of
from ..config import Config
from ..config import ConfigError
from ..config import nearest
from ..store import Store
from ..store.janitor import ForeignStorage
from ..store.migration import CannotMigrate
from ..store.migration import Migration
from .progress import byte_bar
from .progress import in_words
from .progress import read_rate
from .settings import check_index
from .settings import data_options
from .settings import gather_existing


@click.command("migrate-storage")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@data_options
@click.option("--dry-run", is_flag=True, help="Only tell how much there is to move.")
@click.option(
    "--rate", callback=read_rate, metavar="BYTES", help="Copy at most so much a second, e.g. 50M."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many blobs to copy at a time.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")
@click.pass_context
def migrate_storage(
    context: click.Context,
    /,
    source: str,
    target: str,
    dry_run: bool,
    rate: int | None,
    jobs: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Move all objects' bytes from the storage FROM to the storage TO.

    Both are names in the configuration. The endpoint may run meanwhile. Each copy is read back and
    compared; what is replaced stays for the grace period. Killed, it is simply begun again; several
    may run at once. The exit code is 1 when anything is left on FROM, else 0.
    """
    config = gather_existing(options, os.environ)
    check_index(config)
    for name in (source, target):
        if name not in config.storages:
            raise ConfigError(f'No storage "{name}". {nearest(name, config.storages)}')
    store = open_store_of(config)
    try:
        _check_shared(store, source, target)
        migration = store.migrate(source, target)
        blobs, size = migration.left()
        if migration.still_filled():
            _warn(config, source, target)
        if dry_run:
            _tell_plan(source, target, blobs, size, as_json)
            return
        began = time.monotonic()
        with byte_bar(f"{source} to {target}", size) as advance:
            migration = store.migrate(source, target, rate=rate, jobs=jobs, advance=advance)
            migration.run()
        left = _tell(migration, source, target, time.monotonic() - began, as_json)
    except (CannotMigrate, ForeignStorage) as error:
        raise ConfigError(str(error)) from None
    finally:
        store.close()
    context.exit(1 if left else 0)


def _check_shared(store: Store, *names: str) -> None:
    for name in names:
        if not store.storages[name].capabilities.shared:
            raise ConfigError(
                f'Only one process sees the storage "{name}", and it is another one than this.'
            )


def _warn(config: Config, source: str, target: str) -> None:
    """New objects still go to where others are taken away."""
    classes = [name for name, storage in config.storage_classes.items() if storage == source]
    if classes:
        click.echo(
            f'Warning: objects of the storage class {", ".join(classes)} still go to "{source}", '
            f'for storage_classes says so. Name "{target}" there first, and restart the endpoint.',
            err=True,
        )
        return
    patterns = [f'"{pattern}"' for pattern, name in config.place.items() if name == source]
    why = f"place has {', '.join(patterns)}" if patterns else "it is the default"
    click.echo(
        f'Warning: new objects still go to "{source}", for {why}. Let them go to "{target}" first, '
        f'for example with place = {{"*" = "{target}"}}, and restart the endpoint.',
        err=True,
    )


def _tell_plan(source: str, target: str, blobs: int, size: int, as_json: bool) -> None:
    if as_json:
        plan = {"from": source, "to": target, "left": blobs, "left_bytes": size, "dry_run": True}
        click.echo(json.dumps(plan))
    else:
        click.echo(f'{blobs} blobs, {in_words(size)}, would go from "{source}" to "{target}".')


def _tell(migration: Migration, source: str, target: str, seconds: float, as_json: bool) -> int:
    """Print what came of it; answers how many blobs are left."""
    left, left_bytes = migration.left()
    if as_json:
        result = {
            "from": source,
            "to": target,
            "moved": migration.moved,
            "moved_bytes": migration.moved_bytes,
            "skipped": migration.skipped,
            "failed": migration.failed,
            "failures": [
                {"blob": failure.blob, "error": failure.error} for failure in migration.failures
            ],
            "left": left,
            "left_bytes": left_bytes,
            "seconds": round(seconds, 3),
            "dry_run": False,
        }
        click.echo(json.dumps(result))
        return left
    for failure in migration.failures:
        click.echo(f"Not moved: blob {failure.blob}: {failure.error}", err=True)
    click.echo(f"Moved {migration.moved} blobs, {in_words(migration.moved_bytes)}.")
    if left:
        click.echo(f'{left} blobs, {in_words(left_bytes)}, are still on "{source}". Run it again.')
    elif migration.is_forgotten():
        click.echo(f'Nothing needs "{source}" any more.')
    else:
        click.echo(
            f'No object needs "{source}" any more. Keep it configured until the grace period of '
            "the old blobs is over and `s3kit gc` has removed them."
        )
    return left
