"""``s3kit rotate-master-key``: a new master key, and all keys and secrets wrapped with it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from ..app import S3App
from ..config import Config
from ..config import ConfigError
from ..store.master_keys import UnusableKey
from ..store.master_keys import drop
from ..store.master_keys import first_since
from ..store.master_keys import put_new_first
from .progress import ByteBar
from .settings import check_index
from .settings import data_options
from .settings import gather_existing

SURE_SECONDS = 3600
"""Long enough for every process to have seen the new key, and to have stored what it had begun."""


@click.command("rotate-master-key")
@data_options
@click.option(
    "--drop",
    "dropping",
    is_flag=True,
    help="Make no new key; remove those from the file that wrap nothing any more.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def rotate_master_key(
    context: click.Context, /, dropping: bool, as_json: bool, **options: Any
) -> None:
    """Put a new master key in front of the file's, and wrap every object's own key with it.

    The secrets of access keys in the index are sealed with it too.

    The endpoint may run meanwhile, on this machine or others that read the same file. What was
    stopped is finished by the same command, without another new key. The old keys stay in the file
    until --drop removes them, an hour later at the earliest: an older backup needs them, unless it
    has its own (`s3kit backup --include-keys`). No object is read. The exit code is 1 when a key
    could not be wrapped or dropped, else 0.
    """
    config = gather_existing(options, os.environ)
    check_index(config)
    if not config.master_key_file and not config.master_keys:
        raise ConfigError("There is no master key: neither master_key_file nor master_keys is set.")
    path = Path(config.master_key_file) if config.master_key_file else None
    try:
        if dropping:
            done, good = _drop(config, path)
        else:
            done, good = _rotate(config, path)
    except (UnusableKey, OSError) as error:
        raise ConfigError(f"master_key_file: {error}") from None
    click.echo(json.dumps(done) if as_json else "\n".join(str(each) for each in _words(done)))
    context.exit(0 if good else 1)


def _rotate(config: Config, path: Path | None) -> tuple[dict[str, Any], bool]:
    app = S3App(config)
    made = ""
    try:
        masters = app.store.encryptions.masters
        assert masters is not None, "there are keys"
        with ByteBar("Wrapping", step=1) as bar:
            rotation = app.store.rotation(advance=bar.advance)
            bar.begin(rotation.count())
            unfinished = any(each != masters.ids()[0] for each in rotation.used())
            if path is not None and not unfinished:
                made = put_new_first(path)
            wraps = masters.ids()[0]
            rotation.run()
    finally:
        app.close()
    done = {"made": made, "wraps": wraps, "wrapped": rotation.wrapped, "stuck": rotation.stuck}
    return done, not rotation.stuck


def _drop(config: Config, path: Path | None) -> tuple[dict[str, Any], bool]:
    if path is None:
        raise ConfigError(
            "The keys are in master_keys, not in a file: take the old ones out there."
        )
    app = S3App(config)
    try:
        masters = app.store.encryptions.masters
        assert masters is not None, "there are keys"
        used = app.store.rotation().used()
        first, *others = masters.ids()
    finally:
        app.close()
    since = first_since(path)
    left = SURE_SECONDS - (time.time() - (path.stat().st_mtime if since is None else since))
    if others and left > 0:
        raise ConfigError(
            f"The first key is there for less than {SURE_SECONDS // 60} minutes; what was begun "
            f"before may still be stored with an older one. Try again in {int(left / 60) + 1}."
        )
    kept = {each: used[each] for each in others if used[each]}
    dropped = drop(path, [each for each in others if each not in kept])
    return {"dropped": dropped, "wraps": first, "in_use": kept}, not kept


def _words(done: dict[str, Any]) -> list[str]:
    if "dropped" in done:
        lines = [f"Dropped {done['dropped']} keys."]
        for key_id, rows in done["in_use"].items():
            lines.append(
                f"Kept {key_id}: it still wraps the keys of {rows} objects, uploads and access "
                "keys. Run `s3kit rotate-master-key` first."
            )
        return lines
    lines = [f"Made the master key {done['made']}."] if done["made"] else []
    lines.append(
        f"Wrapped the keys of {done['wrapped']} objects, uploads and access keys with "
        f"{done['wraps']}."
    )
    if done["stuck"]:
        lines.append(
            f"{done['stuck']} cannot be unwrapped: their master key is missing, or their row is "
            "damaged."
        )
    return lines
