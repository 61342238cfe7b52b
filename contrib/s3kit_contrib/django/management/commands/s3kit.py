"""``manage.py s3kit``: the commands of ``s3kit`` on the project's settings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import click
from django.core.management.base import BaseCommand
from django.core.management.base import CommandError
from django.core.management.base import CommandParser

from s3kit.cli.hosted import hosted_group

from ... import get_mounting

_OF_DJANGO = ("--settings", "--pythonpath")


class Command(BaseCommand):
    """Hands everything to click, so that options and exit codes are those of ``s3kit``."""

    help = "Look after the S3 endpoint of this project: gc, upgrade-index and more."
    # upgrade-index mends what a check may find.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Everything is click's; this is for ``call_command("s3kit", "gc", "--orphans")``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def run_from_argv(self, argv: list[str]) -> None:
        """``manage.py s3kit ...``."""
        # Django has heeded these two already, and left them where they were.
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for option in _OF_DJANGO:
            parser.add_argument(option)
        _, arguments = parser.parse_known_args(argv[2:])
        _group().main(arguments, prog_name=f"{argv[0]} {argv[1]}")

    def handle(self, *args: Any, **options: Any) -> None:
        """``call_command``.

        :raises CommandError: what the command refuses, with its exit code.
        """
        try:
            code = _group().main(options["arguments"], prog_name="s3kit", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from None
        if isinstance(code, int) and code:
            sys.exit(code)


def _group() -> click.Group:
    return hosted_group(lambda: get_mounting().config)
