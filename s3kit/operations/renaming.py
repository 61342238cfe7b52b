"""RenameObject."""

from __future__ import annotations

import re
from typing import Final

from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..store import Rename
from ..wire.address import decode_path
from ..wire.names import check_key
from ..wire.response import Response
from ..wire.routing import operation
from .objects import write_conditions

SOURCE: Final = "x-amz-rename-source"
CONDITIONS: Final = (
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
)
_TOKEN: Final = re.compile(r"[!-~]{1,64}")


@operation("RenameObject", "PUT", "object", "renameObject", action="s3:PutObject")
def rename_object(call: Call) -> Response:
    """Give an object of this bucket another key, with all that is stored with it."""
    bucket, key = call.bucket, call.object_key
    source = source_of(call)
    if source == key:
        raise InvalidRequest("The source and the destination of a rename must differ.")
    token = call.header("x-amz-client-token") or ""
    if token and not _TOKEN.fullmatch(token):
        raise InvalidArgument(
            "The client token must have 1 to 64 printable ASCII characters.",
            argument_name="x-amz-client-token",
            argument_value=token[:64],
        )
    for action in ("s3:GetObject", "s3:DeleteObject"):
        if not call.allowed(action, bucket, source):
            raise AccessDenied()
    names = [prefix + name for prefix in ("", f"{SOURCE}-") for name in CONDITIONS]
    call.store.renaming.rename(
        bucket,
        Rename(
            source,
            key,
            source_conditions=call.conditions(f"{SOURCE}-"),
            conditions=write_conditions(call),
            token=token,
            meaning="\n".join(call.header(name) or "" for name in names),
            seq=call.judged_seq(bucket, source),
        ),
        origin=call.origin,
    )
    return call.empty()


def source_of(call: Call) -> bytes:
    """The key that ``x-amz-rename-source`` names.

    S3's documents say ``bucket/key``; SDKs' examples have the key alone. Where it begins with the
    bucket's own name and a slash that is what it is; a leading slash is no part of it.

    :raises InvalidRequest: the header is missing.
    :raises InvalidArgument: it holds no key.
    """
    value = call.header(SOURCE)
    if value is None:
        raise InvalidRequest(f"Missing required header for this request: {SOURCE}")
    found = decode_path(value.strip()).removeprefix(b"/")
    key = found.removeprefix(call.bucket.name.encode() + b"/")
    if not key:
        raise InvalidArgument(
            "The rename source has no key.", argument_name=SOURCE, argument_value=value
        )
    check_key(key)
    return key
