"""Typed access to a query string. It is parsed once; a repeated name counts by its first value."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from ..errors import InvalidArgument


class Query:
    """A parsed query string that never refuses its input.

    ``raw`` is the text after the ``?`` as it was sent. ``items`` holds every pair in order, decoded
    once from percent-encoding and ``+`` (a space); a name without ``=`` has the value None. Bytes
    that are not UTF-8 become U+FFFD, so a signature must be checked over ``raw``.
    """

    __slots__ = ("_first", "_names", "items", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.items: list[tuple[str, str | None]] = []
        self._first: dict[str, str | None] = {}
        self._names: frozenset[str] | None = None
        if raw:
            for pair in raw.split("&"):
                if not pair:
                    continue
                name, equals, value = pair.partition("=")
                name = _decode(name)
                decoded = _decode(value) if equals else None
                self.items.append((name, decoded))
                # S3 reads the first of a repeated parameter.
                self._first.setdefault(name, decoded)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __repr__(self) -> str:
        # The values may hold a presigned URL's signature, which has no place in a log.
        return f"Query({sorted(self._first)})"

    @property
    def names(self) -> frozenset[str]:
        """The names that are present, decoded."""
        if self._names is None:
            self._names = frozenset(self._first)
        return self._names

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``: "" where it has none, ``default`` where it is absent."""
        if name not in self._first:
            return default
        return self._first[name] or ""

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number between ``low`` and ``high``, ``default`` where ``name`` is absent.

        :raises InvalidArgument: it is no number or out of range, in S3's two wordings.
        """
        if name not in self._first:
            return default
        text = self._first[name] or ""
        digits = text[1:] if text[:1] in ("-", "+") else text
        # 18 digits keep int() clear of Python's limit on long numbers.
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise _not_a_number(name, text)
        number = int(text)
        if not -(2**31) <= number < 2**31:
            raise _not_a_number(name, text)
        if not low <= number <= high:
            raise InvalidArgument(
                f"Argument {name} must be an integer between {low} and {high}",
                argument_name=name,
                argument_value=text,
            )
        return number


def _not_a_number(name: str, text: str) -> InvalidArgument:
    return InvalidArgument(
        f"Provided {name} not an integer or within integer range",
        argument_name=name,
        argument_value=text,
    )


def _decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text and text.isascii():
        return text
    try:
        # WSGI hands over raw bytes as latin-1 characters.
        encoded = text.encode("latin-1")
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "replace")
    return unquote_to_bytes(encoded).decode("utf-8", "replace")


EMPTY_QUERY: Final = Query("")
"""The query of a request that has none, shared."""


def parse_query(raw: str) -> Query:
    """The query of a raw query string; the shared :data:`EMPTY_QUERY` for an empty one."""
    return Query(raw) if raw else EMPTY_QUERY
