"""What other operations say and ask about locks: in their headers, and of Access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..call import Call
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..model import NO_LOCK
from ..model import ObjectLock
from ..model import ObjectVersion
from ..model import Setting
from ..store.versions import NOT_LOCKABLE
from ..wire.environ import environ_key
from ..wire.locks import LOCK_HEADERS
from ..wire.locks import read_lock_headers
from ..wire.locks import write_lock_headers

BYPASS: Final = "x-amz-bypass-governance-retention"
_VARIABLES: Final = frozenset(map(environ_key, LOCK_HEADERS))


def require_object_lock(call: Call) -> None:
    """Refuse what only a bucket with Object Lock has.

    :raises InvalidRequest: the request's bucket has none.
    """
    # It may have been switched on within the last second.
    if not (call.bucket.object_lock or call.store.buckets.confirm(call.bucket).object_lock):
        raise InvalidRequest(NOT_LOCKABLE)


def lock_of(call: Call, header: Callable[[str], str | None] | None = None) -> ObjectLock:
    """The lock that a write asks for, which the caller must be allowed to set.

    :param header: the form's fields by name; the request's headers by default.
    :raises InvalidArgument: InvalidRequest, AccessDenied.
    """
    if header is None:
        # Most requests bring none of them.
        if call.environ.keys().isdisjoint(_VARIABLES):
            return NO_LOCK
        header = call.header
    lock = read_lock_headers(header, int(call.now * 1000))
    if lock is NO_LOCK:
        return lock
    if call.caller.anonymous:
        raise InvalidArgument(
            "Put Object requests with Object Lock parameters require AWS Signature Version 4",
            argument_name="Authorization",
        )
    require_object_lock(call)
    if lock.mode:
        call.require("s3:PutObjectRetention", call.bucket, call.key)
    if lock.legal_hold is not None:
        call.require("s3:PutObjectLegalHold", call.bucket, call.key)
    return lock


def require_lock_checksum(call: Call, lock: ObjectLock) -> None:
    """Refuse to lock what may have been damaged on its way, by default retention also.

    :raises InvalidRequest: no checksum came with it.
    """
    locked = lock is not NO_LOCK or call.bucket.present & Setting.OBJECT_LOCK
    # What comes from this process has gone through no network.
    if locked and not call.has_checksum() and call.identity.kind != "python":
        raise InvalidRequest(
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with "
            "Object Lock parameters"
        )


def lock_headers(call: Call, version: ObjectVersion) -> list[tuple[str, str]]:
    """The headers of GET and HEAD that show a version's lock, as far as the caller may see it."""
    lock = version.lock
    bucket, key, version_id = call.bucket, call.key, call.version_id
    return write_lock_headers(
        lock,
        call.store.locks.retained_until(lock),
        retention=bool(lock.mode)
        and call.allowed("s3:GetObjectRetention", bucket, key, version_id),
        legal_hold=lock.legal_hold is not None
        and call.allowed("s3:GetObjectLegalHold", bucket, key, version_id),
    )


def wants_bypass(call: Call) -> bool:
    """Whether the request asks to go past GOVERNANCE; whether it may is another question.

    :raises InvalidArgument: the header holds no truth value.
    """
    value = call.header(BYPASS)
    if value is None:
        return False
    wanted = {"true": True, "false": False}.get(value.strip().lower())
    if wanted is None:
        raise InvalidArgument(argument_name=BYPASS, argument_value=value)
    return wanted


def may_bypass(call: Call, key: bytes, version_id: str | None) -> bool:
    """Whether the caller may go past GOVERNANCE for this version."""
    return call.allowed("s3:BypassGovernanceRetention", call.bucket, key, version_id)
