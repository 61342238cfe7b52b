"""A client's own canonical request, as its debug log has it, beside the endpoint's."""

from __future__ import annotations

import re
from typing import Final

from ..auth.claims import CanonicalRequest

_MARK: Final = re.compile(
    r"(?:canonical[ _-]?(?:request|string))\b[^\n]*?[:\]'\"-]*[ \t]*(?:\r?\n|\\n|['\"])",
    re.IGNORECASE,
)
_METHOD: Final = re.compile(r"[A-Z]{3,10}")
_PAYLOAD: Final = re.compile(r"[0-9A-Fa-f]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")
_NAMES: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z;-]+")


class NoCanonicalRequest(ValueError):
    """The text has no canonical request."""


def find_canonical(text: str, *, like: str = "") -> CanonicalRequest | None:
    """The canonical request in a text or a debug log; of several the one with ``like`` in it.

    :param like: the signature's date, which no two of them share for long.
    """
    text = text.replace("\r\n", "\n")
    found = []
    for match in _MARK.finditer(text):
        one = read_canonical(text[match.end() :])
        if one is not None:
            found.append(one)
    if not found:
        # Nothing but it, without a log around it.
        one = read_canonical(text.lstrip("\n"))
        found = [] if one is None else [one]
    fitting = [each for each in found if like in each.canonical]
    chosen = fitting or found
    return chosen[-1] if chosen else None


def read_canonical(text: str) -> CanonicalRequest | None:
    """The canonical request with which a text begins, None where it begins with none."""
    if "\n" not in text[:4096] or "\\n" in text[:16]:
        # Logged as one quoted string.
        text = text.replace("\\n", "\n")
    lines = text.split("\n")
    method = lines[0].strip(" '\"")
    if not _METHOD.fullmatch(method) or len(lines) < 6:
        return None
    headers = []
    number = 3
    while number < len(lines) and lines[number]:
        name, colon, value = lines[number].partition(":")
        if not colon:
            return None
        headers.append((name, value))
        number += 1
    if number + 2 >= len(lines):
        return None
    names = lines[number + 1]
    found = _PAYLOAD.match(lines[number + 2].strip())
    if found is None or not _NAMES.fullmatch(names):
        return None
    return CanonicalRequest(method, lines[1], lines[2], tuple(headers), names, found[0])
