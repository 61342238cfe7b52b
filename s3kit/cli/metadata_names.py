"""Metadata such as ``x-amz-meta-a_b`` reaches the app although gunicorn leaves such names out."""

from __future__ import annotations

from ..wire.environ import is_metadata_with_underscore
from .gunicorn_parser import keep_headers


def keep_metadata_names() -> None:
    """Let gunicorn's parser, in this process, keep metadata whose name has an underscore.

    Does nothing where a gunicorn is built differently.
    """
    keep_headers(lambda name, value: is_metadata_with_underscore(name))
