"""What gunicorn's parser is to pass on unjudged: headers that it would refuse or leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keep_headers(is_kept: Callable[[str, str], bool]) -> None:
    """Let gunicorn's parser, in this process, keep the headers for which ``is_kept`` is true.

    Does nothing where a gunicorn is built differently.

    :param is_kept: called with a header's name in upper case and its value.
    """
    from gunicorn.http.parser import RequestParser

    parsed: Any = RequestParser.mesg_class
    if not hasattr(parsed, "_apply_header_policy"):
        return

    class Request(parsed):  # type: ignore[misc]
        def _apply_header_policy(self, name: str, value: str, *others: Any, **named: Any) -> Any:
            if is_kept(name, value):
                return name, value
            return super()._apply_header_policy(name, value, *others, **named)

    RequestParser.mesg_class = Request
