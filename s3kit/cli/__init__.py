"""The ``s3kit`` command. One file per command; click is needed only here."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the ``s3kit`` command with the arguments of this process."""
    if importlib.util.find_spec("click") is None:
        sys.exit("The s3kit command needs click. Install it with: pip install 's3kit[server]'")
    from .main import cli

    cli(prog_name="s3kit")
