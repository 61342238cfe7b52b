"""The ``s3kit`` commands inside a host app's own command, on the host's settings.

.. code-block:: python

    app.cli.add_command(hosted_group(lambda: config))  # flask s3kit gc
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click

from ..config import Config

_NOT_HOSTED = frozenset({"serve"})
_ANSWERED_BY_THE_HOST = frozenset({"config", "data"})


def hosted_group(find_config: Callable[[], Config], name: str = "s3kit") -> click.Group:
    """All commands but ``serve``, without the options that would name another endpoint.

    :param find_config: called when a command runs, not before.
    """

    @click.pass_context
    def begin(context: click.Context) -> None:
        # Found by s3kit.cli.settings.gather.
        context.obj = find_config()

    return _Hosted(name, callback=begin, help="Look after the S3 endpoint of this app.")


def _hosted(command: click.Command) -> click.Command:
    """The same command without what the host answers."""
    hosted = copy.copy(command)
    hosted.params = [each for each in command.params if each.name not in _ANSWERED_BY_THE_HOST]
    if isinstance(hosted, click.Group):
        hosted.commands = {name: _hosted(each) for name, each in hosted.commands.items()}
    return hosted


class _Hosted(click.Group):
    # s3kit.cli.main loads every command, so it is imported only when one is asked for.
    def list_commands(self, ctx: click.Context) -> list[str]:
        from .main import cli

        return [name for name in cli.list_commands(ctx) if name not in _NOT_HOSTED]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from .main import cli

        found = None if cmd_name in _NOT_HOSTED else cli.get_command(ctx, cmd_name)
        return None if found is None else _hosted(found)

    def invoke(self, ctx: click.Context) -> Any:
        from .main import refusing

        with refusing():
            return super().invoke(ctx)
