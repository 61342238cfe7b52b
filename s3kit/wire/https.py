"""What becomes of a request that came over plain HTTP: FB-04, BB-01."""

from __future__ import annotations

import re
from typing import Final
from typing import Literal
from urllib.parse import quote

from ..errors import AccessDenied
from .response import Response

Https = Literal["off", "redirect", "reject"]
"""``off`` serves plain HTTP, ``redirect`` sends the client to https and port 443, ``reject``
refuses."""

# All that may stand in a header; what is encoded is so already.
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")


def refuse_plain(how: Https, method: str, host: str, path: str, query: str) -> Response:
    """The answer to a request that came over plain HTTP where that is not served.

    :param how: ``redirect`` or ``reject``.
    :param host: as the client sent it; its port is not that of https.
    :param path: as the client sent it, in percent-encoding, and ``query`` likewise.
    :raises AccessDenied: for ``reject``, and for a host that no URL can name.
    """
    match = _HOST.fullmatch(host)
    if how != "redirect" or match is None:
        raise AccessDenied("This endpoint is reached over HTTPS only.")
    # Behind a host "//evil.example/" is a path like any other.
    target = quote(path if path.startswith("/") else f"/{path}", safe=_SAFE, encoding="latin-1")
    if query:
        target = f"{target}?{quote(query, safe=_SAFE, encoding='latin-1')}"
    location = f"https://{match[1]}{target}"
    # Of the permanent ones only 308 keeps method and body, and older clients do not know it.
    status = 301 if method in ("GET", "HEAD") else 307
    return Response(status, [("Location", location), ("Content-Length", "0")], ())
