"""What an operation answers, and how an error becomes an S3 answer."""

from __future__ import annotations

import http
from collections.abc import Iterable
from typing import Final

from s3kit.errors import S3Error
from s3kit.wire.xml import DECLARATION
from s3kit.wire.xml import element_name
from s3kit.wire.xml import escape
from s3kit.wire.xml import to_xml

Headers = list[tuple[str, str]]

XML_TYPE: Final = "application/xml"

STATUS_LINES: Final[dict[int, str]] = {
    status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus
}
"""The WSGI status line for a status code, e.g. ``200 OK``."""

# Statuses whose answer never has a body, and so must not announce a length.
_BODYLESS: Final = frozenset((204, 304))


class Response:
    """An answer before it meets WSGI.

    ``status`` is a number, ``headers`` a list that later steps may add to, ``body`` an iterable
    of bytes; if it has ``close()``, the server calls that.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: Iterable[bytes] = ()) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.headers!r})"


def xml_response(
    doc: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """Answer with a document: an ``@document`` dataclass, or XML already rendered to bytes."""
    body = doc if isinstance(doc, bytes) else to_xml(doc)
    return Response(
        status,
        [("Content-Type", XML_TYPE), ("Content-Length", str(len(body))), *headers],
        (body,),
    )


def empty(status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Answer without a body."""
    if status in _BODYLESS:
        return Response(status, list(headers))
    return Response(status, [("Content-Length", "0"), *headers])


# Details whose element is not their name in PascalCase. Source: recorded answers of Amazon S3.
_DETAIL_NAMES: Final = {
    "aws_access_key_id": "AWSAccessKeyId",
    "x_amz_expires": "X-Amz-Expires",
    "min_date": "minDate",
    "id": "Id",
}


def _detail_name(name: str) -> str:
    # A caller that knows S3's spelling gives it as it is (``AWSAccessKeyId``).
    if name[:1].isupper():
        return name
    return _DETAIL_NAMES.get(name) or element_name(name)


def error_elements(error: S3Error) -> str:
    """Return ``<Code>``, ``<Message>`` and the details of an error, escaped."""
    pieces = [f"<Code>{error.code}</Code><Message>{escape(error.text)}</Message>"]
    for name, value in error.details.items():
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        element = _detail_name(name)
        pieces.append(f"<{element}>{escape(str(value))}</{element}>")
    return "".join(pieces)


def render_error(
    error: S3Error, request_id: str, host_id: str, resource: str = ""
) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the answer that ``error`` stands for.

    :param resource: the path that was asked for; left out when empty. Like the details it comes
        from the client and is escaped, and the type is XML: nothing in it can run (A111).
    """
    headers: Headers = list(error.headers.items())
    if error.status in _BODYLESS:
        return error.status, headers, b""
    where = f"<Resource>{escape(resource)}</Resource>" if resource else ""
    body = (
        f"{DECLARATION}<Error>{error_elements(error)}{where}"
        f"<RequestId>{escape(request_id)}</RequestId><HostId>{escape(host_id)}</HostId></Error>"
    ).encode()
    headers.append(("Content-Type", XML_TYPE))
    headers.append(("Content-Length", str(len(body))))
    return error.status, headers, body
