"""The ``s3kit`` command. One file per command; click is needed only here."""

from __future__ import annotations

import importlib.util
import os
import sys


def main() -> None:
    """Run the ``s3kit`` command with the arguments of this process."""
    if importlib.util.find_spec("click") is None:
        sys.exit("The s3kit command needs click. Install it with: pip install 's3kit[server]'")
    # As gunicorn and flask do: a plug-in or store that the settings name may lie where one stands.
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    from .main import cli

    cli(prog_name="s3kit")
