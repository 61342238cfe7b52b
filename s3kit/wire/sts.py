"""The form of STS's requests and answers, which is not S3's: a form in, XML of its own out.

Source: AWS Security Token Service API Reference; "Query API".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final

from ..errors import S3Error
from .query import Query
from .response import Response
from .xml import DECLARATION
from .xml import escape
from .xml import to_xml

NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
VERSION: Final = "2011-06-15"

MOST_BYTES: Final = 64 * 1024
"""Bytes of a request's body."""

_FORM: Final = "application/x-www-form-urlencoded"
_XML: Final = "text/xml"


def is_sts_request(method: str, environ: Mapping[str, Any], query: Query) -> bool:
    """Whether a request without a bucket is one for STS: S3 takes no form there."""
    if method == "POST":
        kind: str = environ.get("CONTENT_TYPE") or ""
        return kind.partition(";")[0].strip().lower() == _FORM
    return method == "GET" and "Action" in query and query.get("Version") == VERSION


def sts_answer(document: object) -> Response:
    """A document as STS's answer."""
    body = to_xml(document)
    return Response(200, [("Content-Type", _XML), ("Content-Length", str(len(body)))], (body,))


def sts_refusal(error: S3Error, request_id: str) -> Response:
    """An error as STS's answer."""
    blame = "Sender" if error.status < 500 else "Receiver"
    body = (
        f'{DECLARATION}<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{blame}</Type>'
        f"<Code>{error.code}</Code><Message>{escape(error.text)}</Message></Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    ).encode()
    headers = [("Content-Type", _XML), ("Content-Length", str(len(body)))]
    return Response(error.status, headers, (body,))
