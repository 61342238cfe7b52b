"""``s3kit backup`` and ``s3kit restore``: a running endpoint, whole, to another place and back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from typing import TypeVar

import click

from ..app import S3App
from ..assembly import open_encryptions
from ..blobs.place import Place
from ..blobs.place import open_place
from ..config import Config
from ..config import ConfigError
from ..config import nearest
from ..store.backup_place import Snapshot
from ..store.backup_place import snapshots_at
from ..store.backup_restore import Restore
from ..store.backup_result import BackupError
from ..store.backup_result import Busy
from ..store.backup_result import Result
from .first_start import make_data
from .first_start import make_private
from .progress import ByteBar
from .progress import in_words
from .progress import read_rate
from .settings import check_index
from .settings import data_options
from .settings import gather
from .settings import gather_existing

Function = TypeVar("Function", bound=Callable[..., Any])

KEYS = ("master.key", "credentials")
"""What of the data folder only --include-keys takes."""


def _place_options(function: Function) -> Function:
    options = (
        click.option(
            "--options",
            metavar="JSON",
            help="""For the URL's file system, e.g. '{"endpoint_url": "https://..."}'.""",
        ),
        click.option(
            "--rate",
            callback=read_rate,
            metavar="BYTES",
            help="At most so much a second, e.g. 50M.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("destination", metavar="DEST")
@data_options
@_place_options
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Remove all but the newest N backups afterwards. [default: keep all]",
)
@click.option("--verify", is_flag=True, help="Read again what earlier backups have copied.")
@click.option(
    "--include-keys",
    is_flag=True,
    help="Also master.key and credentials: whoever reads the backup then has the endpoint's keys.",
)
@click.pass_context
def backup(
    context: click.Context,
    /,
    destination: str,
    options: str | None,
    rate: int | None,
    as_json: bool,
    keep: int | None,
    verify: bool,
    include_keys: bool,
    **given: Any,
) -> None:
    """Copy a running endpoint, as it is at one moment, to DEST: a folder or an fsspec URL.

    Bytes that DEST has from earlier backups are not copied again. The exit code is 1 when
    something stored is damaged: the backup holds all the rest then.
    """
    config = gather_existing(given, os.environ)
    check_index(config)
    beside = _keys(given) if include_keys else {}
    pruned = 0
    unpruned: BackupError | None = None
    with _in_one_line(), closing(_open(destination, options)) as place:
        app = S3App(config)
        try:
            with ByteBar("Copying") as bar:
                work = app.store.backup(
                    place,
                    rate=rate,
                    verify=verify,
                    beside=beside,
                    begin=bar.begin,
                    advance=bar.advance,
                )
                result = work.run()
            if keep:
                try:
                    pruned = work.prune(keep)
                except BackupError as error:
                    # What was backed up is told all the same.
                    unpruned = error
        finally:
            app.close()
    if as_json:
        click.echo(json.dumps({**asdict(result), "pruned": pruned}))
    else:
        click.echo(_sentence("Backup", result))
        if pruned:
            click.echo(f"Removed {pruned} blobs of older backups.")
        if not include_keys:
            click.echo("Not in it: keys and settings. Keep those elsewhere.")
    _tell_damage(result)
    if unpruned is not None:
        click.echo(str(unpruned), err=True)
    refused = unpruned is not None and not isinstance(unpruned, Busy)
    context.exit(1 if result.damaged or refused else 0)


@click.command()
@click.argument("source", metavar="SRC")
@data_options
@_place_options
@click.option("--snapshot", metavar="NAME", help="Which backup. [default: the newest]")
@click.option("--list", "only_list", is_flag=True, help="Only show which backups there are.")
@click.pass_context
def restore(
    context: click.Context,
    /,
    source: str,
    options: str | None,
    rate: int | None,
    as_json: bool,
    snapshot: str | None,
    only_list: bool,
    **given: Any,
) -> None:
    """Make an endpoint of a backup, in a new place: an empty index and empty storages.

    --data and --config name where to, as for `s3kit serve`, and may name another kind of database
    than that of the backup. A restore that was stopped is finished by the same command.
    """
    with _in_one_line(), closing(_open(source, options)) as place:
        found = snapshots_at(place)
        if only_list:
            _list(found, as_json)
            return
        chosen = _choose(found, snapshot, source)
        if chosen.problem:
            raise ConfigError(
                f"{chosen.name} cannot be restored: {chosen.problem} Choose another with "
                "--snapshot; --list shows which there are."
            )
        settings = gather(given, os.environ)
        if settings.config.in_memory:
            raise ConfigError("Nothing can be restored into memory: it ends with this process.")
        data = settings.data
        if data is not None:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if settings.config.index == f"sqlite:///{data / 's3kit.db'}":
                make_private(data / "s3kit.db")
        app = S3App(settings.config)
        try:
            with ByteBar("Copying") as bar:
                bar.begin(int(chosen.manifest["bytes"]))
                work = app.store.restore(place, chosen, rate=rate, advance=bar.advance)
                result = work.run(checked=lambda: None if data is None else _make_data(data, work))
            used = set(app.store.rotation().used())
        finally:
            app.close()
        _tell_missing_keys(used, settings.with_master_key().config)
    click.echo(json.dumps(asdict(result)) if as_json else _sentence("Restored", result))
    _tell_damage(result)
    context.exit(1 if result.damaged else 0)


def _open(url: str, options: str | None) -> Place:
    try:
        values = json.loads(options) if options else {}
    except ValueError:
        raise ConfigError("--options must be JSON.") from None
    if not isinstance(values, dict):
        raise ConfigError("--options must be a JSON object.")
    return open_place(url, values)


def _keys(given: dict[str, Any]) -> dict[str, Path]:
    data = gather(given, os.environ).data
    if data is None:
        raise ConfigError("--include-keys takes them from a data folder: give --data.")
    return {name: data / name for name in KEYS if (data / name).is_file()}


def _make_data(data: Path, work: Restore) -> None:
    """The keys of the data folder: the backup's if it has some and there are none, or new ones."""
    for name in KEYS:
        if not (data / name).exists():
            # For its owner alone, and under its own name only when it is whole.
            with TemporaryDirectory(prefix=".restore-", dir=data) as folder:
                half = Path(folder) / name
                if work.fetch_beside(name, half):
                    with open(half, "rb") as file:
                        os.fsync(file.fileno())
                    with suppress(FileExistsError):
                        os.link(half, data / name)
    make_data(data)


def _tell_missing_keys(used: set[str], config: Config) -> None:
    """Warn of encrypted objects that nobody can read here: their master key lies elsewhere."""
    masters = open_encryptions(config).masters if used else None
    missing = used - set(() if masters is None else masters.ids())
    if missing:
        click.echo(
            f"Warning: encrypted objects need the master keys {', '.join(sorted(missing))}, which "
            "are not here. Add the lines of the former endpoint's master.key to this one's.",
            err=True,
        )


def _choose(found: list[Snapshot], name: str | None, source: str) -> Snapshot:
    if not found:
        raise ConfigError(f"No backup at {source}.")
    if name is None:
        return found[-1]
    for each in found:
        if each.name == name:
            return each
    raise ConfigError(f'No backup "{name}". {nearest(name, [each.name for each in found])}')


def _list(found: list[Snapshot], as_json: bool) -> None:
    for each in found:
        if each.problem:
            if as_json:
                click.echo(json.dumps({"name": each.name, "problem": each.problem}))
            else:
                click.echo(f"{each.name}  damaged")
            click.echo(f"Damaged: {each.name}: {each.problem}", err=True)
            continue
        manifest = each.manifest
        if as_json:
            shown = ("name", "started", "finished", "index", "blobs", "bytes", "damaged")
            click.echo(json.dumps({name: manifest[name] for name in shown}))
            continue
        started = datetime.fromtimestamp(manifest["started"] / 1000, UTC)
        damaged = f", {manifest['damaged']} damaged" if manifest["damaged"] else ""
        click.echo(
            f"{each.name}  {started:%Y-%m-%d %H:%M:%S} UTC  "
            f"{manifest['counts']['s3kit_versions']} objects, {manifest['blobs']} blobs, "
            f"{in_words(manifest['bytes'])}{damaged}"
        )


def _sentence(done: str, result: Result) -> str:
    return (
        f"{done} {result.name}: {result.blobs} blobs, {in_words(result.bytes)}; {result.copied} "
        f"copied, {result.kept} already there. {in_words(result.inline)} more lie in the index."
    )


def _tell_damage(result: Result) -> None:
    for each in result.damages:
        click.echo(f"Damaged: {each}", err=True)
    if result.damaged > len(result.damages):
        click.echo(f"Damaged: {result.damaged - len(result.damages)} more", err=True)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What cannot be done is said in one line."""
    try:
        yield
    except BackupError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        # A full disk, no such bucket, no rights.
        raise click.ClickException(str(error) or type(error).__name__) from error
