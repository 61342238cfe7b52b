"""``s3kit scrub``: read every stored byte and compare."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from ..app import S3App
from ..config import ConfigError
from ..config import nearest
from .progress import ByteBar
from .progress import in_words
from .progress import read_rate
from .settings import check_index
from .settings import data_options
from .settings import gather_existing


@click.command()
@data_options
@click.option(
    "--storage",
    "storages",
    multiple=True,
    metavar="NAME",
    help="Read only what lies on this storage. May be repeated. [default: all, and the index]",
)
@click.option(
    "--rate", callback=read_rate, metavar="BYTES", help="Read at most so much a second, e.g. 50M."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@click.pass_context
def scrub(
    context: click.Context,
    /,
    storages: tuple[str, ...],
    rate: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Read every stored byte and compare it with its size, ETag and checksums.

    The endpoint may run meanwhile. Nothing is changed. What is wrong is printed as it is found;
    the exit code is 1 then, else 0.
    """
    config = gather_existing(options, os.environ)
    check_index(config)
    for name in storages:
        if name not in config.storages:
            raise ConfigError(f'No storage "{name}". {nearest(name, config.storages)}')
    app = S3App(config)
    try:
        with ByteBar("Reading") as bar:
            scrub = app.store.scrub(storages=storages or None, rate=rate, advance=bar.advance)
            bar.begin(scrub.total_bytes())
            for finding in scrub.run():
                click.echo(json.dumps(finding.as_dict()) if as_json else str(finding))
    finally:
        app.close()
    if as_json:
        summary = {"read": scrub.blobs, "bytes": scrub.bytes, "findings": scrub.findings}
        summary["unopened"] = scrub.unopened
        click.echo(json.dumps(summary))
    else:
        what = "Nothing is wrong." if not scrub.findings else f"{scrub.findings} findings."
        click.echo(f"Read {scrub.blobs} blobs, {in_words(scrub.bytes)}. {what}")
        if scrub.unopened:
            click.echo(
                f"{scrub.unopened} of them are encrypted with keys that are not here, such as "
                "customers' own: of these only the size and the beginning were looked at."
            )
    context.exit(1 if scrub.findings else 0)
