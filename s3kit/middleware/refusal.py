"""How the wrappers refuse a request: by S3's error in XML, or by a bare status."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Literal

from ..errors import S3Error
from ..wire.response import STATUS_LINES
from ..wire.response import render_error
from .record import RECORD
from .record import RequestRecord
from .request_id import new_request_id

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

Form = Literal["s3", "plain"]
"""S3's error document, or a bare status that says no more."""


def refuse(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    error: S3Error,
    form: Form,
    *,
    status: int | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer an error, and tell whoever keeps a record of the request.

    :param status: of the plain form; the error's own by default.
    :param headers: further ones.
    """
    record: RequestRecord | None = environ.get(RECORD)
    request_id = record.request_id if record is not None else ""
    request_id = request_id or new_request_id()
    if record is not None:
        record.request_id = request_id
        record.refused(error)
    if form == "s3":
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace")
        resource = path.decode("utf-8", "replace")
        status, shown, text = render_error(error, request_id, "", resource)
    else:
        status = error.status if status is None else status
        text = STATUS_LINES[status].partition(" ")[2].encode() + b"\n"
        shown = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start_response(STATUS_LINES[status], [*shown, *headers, ("x-amz-request-id", request_id)])
    return [text] if text and environ["REQUEST_METHOD"] != "HEAD" else []
