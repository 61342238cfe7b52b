"""The command group: finds its commands, turns a wrong configuration into one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from .. import __version__
from ..blobs.registry import StorageError
from ..config import ConfigError
from ..index.schema import SchemaMismatch
from .accounts import accounts
from .backup import backup
from .backup import restore
from .conformance import conformance
from .explain import explain
from .find_request import find_request
from .gc import gc
from .janitor import janitor
from .keys import keys
from .migrate_storage import migrate_storage
from .outbox import outbox
from .outbox import worker
from .roles import roles
from .rotate_master_key import rotate_master_key
from .scrub import scrub
from .serve import serve
from .upgrade_index import upgrade_index
from .users import users


class _Refusal(click.ClickException):
    exit_code = 2


@contextmanager
def refusing() -> Iterator[None]:
    """What is wrong with the configuration becomes one line and exit code 2.

    A database that does not answer becomes one line and exit code 1.
    """
    try:
        yield
    except (ConfigError, SchemaMismatch, StorageError) as error:
        raise _Refusal(str(error)) from None
    except DBAPIError as error:
        # Without a statement it has failed to connect; all else is to be seen as it is.
        if error.statement is not None and not error.connection_invalidated:
            raise
        said = " ".join(str(error.orig).split())
        raise click.ClickException(f"The index's database does not answer: {said}") from None


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with refusing():
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """A true S3 endpoint: run it, look after it.

    Every option can also be given as an S3KIT_* variable or in a TOML file (--config);
    an option counts before a variable, a variable before the file.
    """


cli.add_command(conformance)
cli.add_command(serve)
cli.add_command(worker)
cli.add_command(outbox)
cli.add_command(accounts)
cli.add_command(users)
cli.add_command(keys)
cli.add_command(find_request)
cli.add_command(explain)
cli.add_command(gc)
cli.add_command(janitor)
cli.add_command(scrub)
cli.add_command(backup)
cli.add_command(restore)
cli.add_command(migrate_storage)
cli.add_command(rotate_master_key)
cli.add_command(upgrade_index)
cli.add_command(roles)
