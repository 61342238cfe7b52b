"""What a command is told, from options, S3KIT_* variables and a TOML file, in that order."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import TypeVar

import click
from sqlalchemy import make_url

from ..config import SERVE_NAMES
from ..config import Config
from ..config import ConfigError
from ..config import environment_values
from ..config import is_memory
from ..config import nearest
from ..config import read_accounts
from ..config import read_toml
from ..index.schema import check_schema
from ..index.session import Index
from .first_start import MASTER_KEY
from .first_start import can_encrypt

MEMORY = "memory"
"""The value of --data that keeps everything in this process and nothing on disk."""

DEFAULT_DATA = "data"

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """One command's settings.

    :param config: complete but for a first key, which only ``serve`` makes.
    :param data: the data folder; None in memory, or where nothing is to lie there.
    :param serve: the values for ``serve`` itself, by the names of ``SERVE_NAMES``.
    :param has_keys: some key or account is configured, so no first key is made.
    """

    config: Config
    data: Path | None
    serve: Mapping[str, Any]
    has_keys: bool

    def with_key(self, access_key: str, secret_key: str) -> Settings:
        """The same settings with this key added to the account ``default``."""
        keys = {**self.config.keys, access_key: secret_key}
        return replace(self, config=replace(self.config, keys=keys), has_keys=True)

    def with_master_key(self) -> Settings:
        """The same settings with the data folder's master key, where they name none."""
        config = self.config
        if self.data is None or config.master_key_file or config.master_keys:
            return self
        path = self.data / MASTER_KEY
        if not can_encrypt() and not path.exists():
            return self
        return replace(self, config=replace(config, master_key_file=str(path)))


def _names_master_keys(values: Mapping[str, Any]) -> bool:
    return bool(values.get("master_key_file") or values.get("master_keys"))


def data_options(function: Function) -> Function:
    """The options by which every command finds the index and the blobs."""
    options = (
        click.option("--config", type=click.Path(), help="A TOML file with settings."),
        click.option(
            "--data",
            metavar="DIR",
            help="Folder for the index, objects and first credentials "
            f"[default: ./{DEFAULT_DATA}]; 'memory' keeps all in this process.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def gather(options: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Merge the three sources and fill in what DATA provides.

    :param options: by field name of Config or ``SERVE_NAMES``; None and () mean not given.
    :raises ConfigError: an unknown name, a wrong value, or two that contradict each other.
    """
    context = click.get_current_context(silent=True)
    hosted = None if context is None else context.find_object(Config)
    if hosted is not None:
        # The command of a host app: its own settings are the whole truth, see cli.hosted.
        return Settings(hosted, None, {}, True)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    variables = environment_values(environ)
    path = given.pop("config", None) or variables.pop("config", None)
    values = {**(_file_values(path) if path else {}), **variables, **given}
    variables.pop("config", None)

    serve = {name: values.pop(name) for name in SERVE_NAMES & values.keys()}
    accounts = values.get("accounts")
    if isinstance(accounts, str):
        values["accounts"] = read_accounts(accounts)
    access_key, secret_key = serve.pop("access_key", None), serve.pop("secret_key", None)
    if (access_key is None) != (secret_key is None):
        missing = "access key" if access_key is None else "secret key"
        raise ConfigError(f"The {missing} is missing: give both --access-key and --secret-key.")
    if access_key is not None:
        values["keys"] = {**values.get("keys", {}), access_key: secret_key}

    data = _data_folder(serve, values)
    if data is not None:
        values.setdefault("index", "sqlite:///" + str(data / "s3kit.db"))
        # Made by the first start, see first_start.make_data.
        if not _names_master_keys(values) and (data / MASTER_KEY).is_file():
            values["master_key_file"] = str(data / MASTER_KEY)
        values["storages"] = {"default": str(data / "blobs"), **values.get("storages", {})}
    has_keys = bool(values.get("keys") or values.get("accounts"))
    return Settings(Config.from_mapping(values), data, serve, has_keys)


def gather_existing(options: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """The configuration of an endpoint that has been started before.

    :raises ConfigError: as :func:`gather`, or the data folder is not there.
    """
    settings = gather(options, environ)
    if settings.data is not None and not settings.data.is_dir():
        raise ConfigError(f"No folder {settings.data}. Name the endpoint's own with --data.")
    return settings.config


def check_index(config: Config) -> None:
    """Refuse to make an index: to a new one every blob is an orphan.

    :raises ConfigError: there is none, or it is one in memory.
    :raises SchemaMismatch: it has no tables, or other ones.
    """
    if is_memory(config.index):
        raise ConfigError("An index in memory is its own process's: no other can work on it.")
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


def _file_values(path: str) -> dict[str, Any]:
    values = read_toml(path)
    table = values.pop("serve", {})
    known = (SERVE_NAMES - {"config"}) | {"accounts"}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: serve must be a table: [serve].")
    for name in table:
        if name not in known:
            raise ConfigError(f'{path}: unknown [serve] setting "{name}". {nearest(name, known)}')
    for name in values:
        # At the top of the file these would be taken by Config.from_file for a misspelt field.
        if name in SERVE_NAMES:
            raise ConfigError(f'{path}: "{name}" belongs in the table [serve].')
    return {**values, **table}


def _data_folder(serve: Mapping[str, Any], values: Mapping[str, Any]) -> Path | None:
    """The data folder, or None where nothing needs one."""
    data = serve.get("data")
    if data == MEMORY:
        return None
    if not isinstance(data, str | None):
        raise ConfigError("data must be text: a folder, or 'memory'.")
    if data is None:
        has_keys = bool(values.get("keys") or values.get("accounts"))
        if "index" in values and "default" in values.get("storages", ()) and has_keys:
            return None
    return Path(data or DEFAULT_DATA).absolute()
