"""CORS as S3 has it: which rule lets a web page of another origin in, and what its browser is told.

Source: Amazon S3 User Guide, "Using cross-origin resource sharing (CORS)".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Final

from .environ import TOKEN

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
"""What a rule can allow."""

MOST_HEADERS = 100
"""A preflight that asks for more is let in by no rule; no browser's does."""


@dataclass(frozen=True)
class CorsRule:
    """Who may ask for what.

    :param allowed_origins: such as ``https://www.example.com``; one ``*`` may stand for anything.
    :param allowed_methods: of GET, HEAD, PUT, POST and DELETE.
    :param allowed_headers: that a page may send; one ``*`` may stand for anything, case is nothing.
    :param expose_headers: of the answer that a page's script may see.
    :param max_age_seconds: how long a browser may remember the answer to a preflight.
    """

    allowed_origins: tuple[str, ...]
    allowed_methods: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    id: str = ""

    def allows(self, origin: str, method: str, headers: Iterable[str] = ()) -> bool:
        """May a page of ``origin`` send this method with these headers?"""
        return (
            method in self.allowed_methods
            and any(matches(pattern, origin) for pattern in self.allowed_origins)
            and all(
                any(matches(pattern.lower(), name) for pattern in self.allowed_headers)
                for name in headers
            )
        )

    def answer(self, origin: str, headers: Iterable[str] = ()) -> list[tuple[str, str]]:
        """The headers that tell a browser so.

        :param headers: those that a preflight asked for.
        """
        # S3 names the origin itself unless any is let in, and then allows no credentials.
        anyone = "*" in self.allowed_origins
        found = [
            ("Access-Control-Allow-Origin", "*" if anyone else origin),
            ("Access-Control-Allow-Methods", ", ".join(self.allowed_methods)),
        ]
        names = ", ".join(headers)
        if names:
            found.append(("Access-Control-Allow-Headers", names))
        if self.expose_headers:
            found.append(("Access-Control-Expose-Headers", ", ".join(self.expose_headers)))
        if self.max_age_seconds is not None:
            found.append(("Access-Control-Max-Age", str(self.max_age_seconds)))
        if not anyone:
            found.append(("Access-Control-Allow-Credentials", "true"))
        found.append(("Vary", VARY))
        return found


SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))


def may_be_of_another_site(environ: Mapping[str, Any], host: str) -> bool:
    """Whether a page of another site may have made a browser send this request.

    Only about requests that change something. One with neither of the two headers by which every
    browser of today tells is of no browser.

    :param host: as the client sent it.

    Source: Fetch Metadata Request Headers, W3C; Go's net/http, CrossOriginProtection.
    """
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return False
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site:
        return site not in ("same-origin", "none")
    origin = environ.get("HTTP_ORIGIN")
    if not origin:
        return False
    _, _, name = origin.partition("://")
    return not name or name.lower() != host.lower()


VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
"""What a cache must tell apart, also where no rule matched."""

_ORIGIN: Final = re.compile(r"[\x21-\x7e]+")


def matches(pattern: str, text: str) -> bool:
    """Does ``text`` have the form of ``pattern``, whose first ``*`` stands for anything?"""
    head, star, tail = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


def requested_headers(value: str | None) -> list[str]:
    """The lower-case names in an ``Access-Control-Request-Headers`` header."""
    names = (name.strip().lower() for name in (value or "").split(","))
    # They are sent back: what is no name of a header must not become one.
    return list(dict.fromkeys(name for name in names if TOKEN.fullmatch(name)))


def find_rule(
    rules: Iterable[CorsRule], origin: str, method: str, headers: Iterable[str] = ()
) -> CorsRule | None:
    """The first rule that lets this in: S3 looks no further."""
    wanted = tuple(headers)
    # The origin is sent back: what fits into no header must not become one.
    if len(wanted) > MOST_HEADERS or not _ORIGIN.fullmatch(origin):
        return None
    return next((rule for rule in rules if rule.allows(origin, method, wanted)), None)


def cors_headers(
    rules: Iterable[CorsRule], origin: str, method: str, requested: str | None = None
) -> list[tuple[str, str]]:
    """What is added to the answer of a request that a page of ``origin`` has sent.

    :param requested: the ``Access-Control-Request-Method`` of a request that is no preflight: it
        counts instead of the method. Source: ceph/s3-tests, as it passes on Amazon S3.
    """
    rule = find_rule(rules, origin, requested or method)
    return [("Vary", VARY)] if rule is None else rule.answer(origin)
