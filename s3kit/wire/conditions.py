"""Conditional requests: may this be read or written, given what the client last saw.

Order of precedence: RFC 9110, section 13.2.2, which AWS follows: If-Match decides before
If-Unmodified-Since is looked at, If-None-Match before If-Modified-Since.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from typing import Final

from s3kit.errors import InvalidArgument
from s3kit.errors import NoSuchKey
from s3kit.errors import NotImplemented as HeaderNotImplemented
from s3kit.errors import NotModified
from s3kit.errors import PreconditionFailed
from s3kit.wire.headers import http_date
from s3kit.wire.headers import parse_etags
from s3kit.wire.headers import parse_http_date
from s3kit.wire.headers import quote_etag

COPY_SOURCE_PREFIX: Final = "x-amz-copy-source-"

_ANY: Final = ("*",)


class Conditions:
    """What a request's conditional headers ask; None for each that it does not carry.

    ETags are without quotes, times in milliseconds since the epoch, ``if_match_size`` in bytes.
    ``prefix`` is what stood before the header names (``x-amz-copy-source-`` for copies).
    """

    __slots__ = (
        "if_match",
        "if_match_last_modified",
        "if_match_size",
        "if_modified_since",
        "if_none_match",
        "if_unmodified_since",
        "prefix",
    )

    def __init__(
        self,
        *,
        if_match: tuple[str, ...] | None = None,
        if_none_match: tuple[str, ...] | None = None,
        if_modified_since: int | None = None,
        if_unmodified_since: int | None = None,
        if_match_size: int | None = None,
        if_match_last_modified: int | None = None,
        prefix: str = "",
    ) -> None:
        self.if_match = if_match
        self.if_none_match = if_none_match
        self.if_modified_since = if_modified_since
        self.if_unmodified_since = if_unmodified_since
        self.if_match_size = if_match_size
        self.if_match_last_modified = if_match_last_modified
        self.prefix = prefix

    @property
    def tell(self) -> bool:
        """Whether a write's answer would tell more of what is there than whether it is."""
        return (
            self.if_match not in (None, _ANY)
            or self.if_match_size is not None
            or self.if_match_last_modified is not None
        )


def read_conditions(environ: Mapping[str, Any], prefix: str = "") -> Conditions | None:
    """Return the conditions of a request, None when it has none.

    A date that is none is ignored, as RFC 9110 asks.

    :param prefix: ``x-amz-copy-source-`` for the conditions on a copy's source.
    :raises InvalidArgument: x-amz-if-match-size or -last-modified-time cannot be read. (They guard
        deletes, so ignoring them would lose data.)
    """
    get = environ.get
    if prefix:
        start = "HTTP_" + prefix.upper().replace("-", "_")
        match = get(start + "IF_MATCH")
        none_match = get(start + "IF_NONE_MATCH")
        modified = get(start + "IF_MODIFIED_SINCE")
        unmodified = get(start + "IF_UNMODIFIED_SINCE")
        size = last_modified = None
    else:
        match = get("HTTP_IF_MATCH")
        none_match = get("HTTP_IF_NONE_MATCH")
        modified = get("HTTP_IF_MODIFIED_SINCE")
        unmodified = get("HTTP_IF_UNMODIFIED_SINCE")
        size = get("HTTP_X_AMZ_IF_MATCH_SIZE")
        last_modified = get("HTTP_X_AMZ_IF_MATCH_LAST_MODIFIED_TIME")
    if not (match or none_match or modified or unmodified or size or last_modified):
        return None
    conditions = Conditions(prefix=prefix)
    if match:
        conditions.if_match = parse_etags(match, strong=True)
    if none_match:
        conditions.if_none_match = parse_etags(none_match)
    if modified:
        conditions.if_modified_since = parse_http_date(modified)
    if unmodified:
        conditions.if_unmodified_since = parse_http_date(unmodified)
    if size:
        conditions.if_match_size = _size(size)
    if last_modified:
        conditions.if_match_last_modified = _moment(last_modified)
    return conditions


def _size(value: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise InvalidArgument(argument_name="x-amz-if-match-size", argument_value=value)
    return int(text)


def _moment(value: str) -> int:
    moment = parse_http_date(value)
    if moment is None:
        raise InvalidArgument(
            argument_name="x-amz-if-match-last-modified-time", argument_value=value
        )
    return moment


def _matches(etags: tuple[str, ...], etag: str) -> bool:
    return etag in etags or etags == _ANY


def _failed(conditions: Conditions, header: str) -> PreconditionFailed:
    return PreconditionFailed(condition=conditions.prefix + header)


def _changed_since(modified: int, moment: int) -> bool:
    # Last-Modified shows whole seconds, so only whole seconds may count.
    return modified // 1000 > moment // 1000


def _check_unchanged(conditions: Conditions, etag: str, modified: int) -> None:
    if conditions.if_match is not None:
        if not _matches(conditions.if_match, etag):
            raise _failed(conditions, "If-Match")
    elif conditions.if_unmodified_since is not None and _changed_since(
        modified, conditions.if_unmodified_since
    ):
        raise _failed(conditions, "If-Unmodified-Since")


def _not_modified_by(conditions: Conditions, etag: str, modified: int, now: float) -> str | None:
    """Return the header by which the client has seen this already, None when it has not."""
    if conditions.if_none_match is not None:
        return "If-None-Match" if _matches(conditions.if_none_match, etag) else None
    since = conditions.if_modified_since
    # A date in the future is not valid (RFC 2616, 14.25, which AWS still keeps to).
    if since is None or since > now * 1000 or _changed_since(modified, since):
        return None
    return "If-Modified-Since"


def check_read(
    conditions: Conditions, etag: str, modified: int, *, now: float | None = None
) -> None:
    """Let a GET or HEAD pass, or not.

    :param etag: the object's, without quotes.
    :param modified: its time in milliseconds.
    :param now: seconds since the epoch; the clock's when not given.
    :raises PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
    :raises NotModified: If-None-Match or If-Modified-Since does not hold; carries ETag and
        Last-Modified.
    """
    _check_unchanged(conditions, etag, modified)
    if _not_modified_by(conditions, etag, modified, time.time() if now is None else now):
        raise NotModified(headers={"ETag": quote_etag(etag), "Last-Modified": http_date(modified)})


def check_copy_source(
    conditions: Conditions, etag: str, modified: int, *, now: float | None = None
) -> None:
    """Let a copy read its source, or not; like :func:`check_read`, but never 304.

    :raises PreconditionFailed: any of the four does not hold.
    """
    _check_unchanged(conditions, etag, modified)
    header = _not_modified_by(conditions, etag, modified, time.time() if now is None else now)
    if header is not None:
        raise _failed(conditions, header)


def _refuse(header: str) -> HeaderNotImplemented:
    return HeaderNotImplemented(
        "A header you provided implies functionality that is not implemented", header=header
    )


def check_write(
    conditions: Conditions,
    current: tuple[str, int, int] | None,
    *,
    key: bytes | None = None,
) -> None:
    """Let a PUT, a copy or the completion of an upload replace ``current``, or not.

    Call it inside the transaction that writes; :func:`check_write_form` may refuse earlier.

    :param current: ETag, time in milliseconds and size of what the key shows; None for nothing
        (also for a delete marker).
    :param key: named in NoSuchKey.
    :raises PreconditionFailed: If-None-Match on an existing key, or another ETag than If-Match.
    :raises NoSuchKey: If-Match, and nothing is there.
    :raises NotImplemented: as :func:`check_write_form`.
    """
    check_write_form(conditions)
    if conditions.if_none_match is not None and current is not None:
        raise _failed(conditions, "If-None-Match")
    if conditions.if_match is not None:
        if current is None:
            raise NoSuchKey() if key is None else NoSuchKey(key=key)
        if not _matches(conditions.if_match, current[0]):
            raise _failed(conditions, "If-Match")


def check_write_form(conditions: Conditions) -> None:
    """Refuse conditions on a write that S3 does not have, before anything is read.

    :raises NotImplemented: If-None-Match other than ``*``, ``If-Match: *``, both together, or a
        date (AWS refuses too; to ignore one would overwrite what the client wanted to keep).
    """
    if conditions.if_none_match is not None:
        if conditions.if_match is not None:
            raise HeaderNotImplemented(
                "A header you provided implies functionality that is not implemented",
                header="If-Match,If-None-Match",
                additional_message="Multiple conditional request headers present in the request",
            )
        if conditions.if_none_match != _ANY:
            raise _refuse("If-None-Match")
    if conditions.if_match == _ANY:
        raise _refuse("If-Match")
    if conditions.if_modified_since is not None:
        raise _refuse("If-Modified-Since")
    if conditions.if_unmodified_since is not None:
        raise _refuse("If-Unmodified-Since")


def check_delete(conditions: Conditions, current: tuple[str, int, int] | None) -> None:
    """Let a DELETE remove ``current``, or not. Here ``If-Match: *`` means: if it exists.

    :param current: ETag, time in milliseconds and size; None when there is nothing.
    :raises PreconditionFailed: ETag, size or time differ, or there is nothing to compare with.
    :raises NotImplemented: If-None-Match or a date of the general kind.
    """
    if conditions.if_none_match is not None:
        raise _refuse("If-None-Match")
    if conditions.if_modified_since is not None:
        raise _refuse("If-Modified-Since")
    if conditions.if_unmodified_since is not None:
        raise _refuse("If-Unmodified-Since")
    if conditions.if_match is not None and (
        current is None or not _matches(conditions.if_match, current[0])
    ):
        raise _failed(conditions, "If-Match")
    moment = conditions.if_match_last_modified
    if moment is not None and (current is None or current[1] // 1000 != moment // 1000):
        raise _failed(conditions, "x-amz-if-match-last-modified-time")
    size = conditions.if_match_size
    if size is not None and (current is None or current[2] != size):
        raise _failed(conditions, "x-amz-if-match-size")
