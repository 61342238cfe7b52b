"""Metadata such as ``x-amz-meta-a_b`` reaches the app although gunicorn leaves such names out."""

from __future__ import annotations

from typing import Any

from ..wire.environ import is_metadata_with_underscore


def keep_metadata_names() -> None:
    """Let gunicorn's parser, in this process, keep metadata whose name has an underscore.

    Does nothing where a gunicorn is built differently.
    """
    from gunicorn.http.parser import RequestParser

    parsed: Any = RequestParser.mesg_class
    if not hasattr(parsed, "_apply_header_policy"):
        return

    class Request(parsed):  # type: ignore[misc]
        def _apply_header_policy(self, name: str, value: str, *others: Any, **named: Any) -> Any:
            if is_metadata_with_underscore(name):
                return name, value
            return super()._apply_header_policy(name, value, *others, **named)

    RequestParser.mesg_class = Request
