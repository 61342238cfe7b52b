"""Storage event signals: hear every stored and removed object, or forbid it beforehand.

``before_*`` run after the body is verified and before the transaction opens; a receiver that
raises :class:`Veto` makes the request an AccessDenied. The others run after the commit, in the
request's thread; a receiver that raises is logged and never fails the request.

The sender is the bucket's name, so ``object_created.connect_via("photos")`` hears one bucket and
``object_created.connect`` hears all. Receivers are held weakly: keep a reference to a lambda or a
bound method, or connect with ``weak=False``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from blinker import Signal

from .errors import AccessDenied
from .model import ANONYMOUS
from .model import Caller

logger = logging.getLogger("s3kit.signals")

before_bucket_created = Signal("A bucket is about to be made; Veto forbids it.")
before_bucket_removed = Signal("A bucket is about to be removed; Veto forbids it.")
before_object_created = Signal("An object is about to be stored; Veto forbids it.")
before_object_removed = Signal("An object is about to be removed; Veto forbids it.")

bucket_created = Signal("A bucket was made.")
bucket_removed = Signal("A bucket was removed.")
object_created = Signal("An object was stored: put, posted, copied or completed from parts.")
object_removed = Signal("An object was removed, or a delete marker hides it.")
object_tagged = Signal("An object's tags were set or removed.")
object_acl_changed = Signal("An object's ACL was set.")


class Veto(Exception):
    """Raised by a ``before_*`` receiver to forbid what is about to happen.

    :param reason: shown to the client in the AccessDenied message.
    """

    def __init__(self, reason: str = "Access Denied") -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, or is about to happen, to a bucket or object.

    :param name: S3's event name, such as ``s3:ObjectCreated:Put``.
    :param key: the object's key; bytes that are not UTF-8 appear as surrogate escapes.
    :param size: in bytes.
    :param time: milliseconds since the epoch.
    :param replaced: an earlier object of this key was overwritten.
    :param metadata: the stored headers by lower-case name, ``x-amz-meta-*`` included.
    """

    name: str
    bucket: str
    bucket_id: int = 0
    account: str = ""
    key: str = ""
    version_id: str | None = None
    size: int = 0
    etag: str = ""
    time: int = 0
    replaced: bool = False
    delete_marker: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = ANONYMOUS
    request_id: str = ""


def ask(signal: Signal, event: Event) -> None:
    """Let every receiver of a ``before_*`` signal object.

    :raises AccessDenied: a receiver raised :class:`Veto`; any other exception passes through.
    """
    if not signal.receivers:
        return
    try:
        for receiver in signal.receivers_for(event.bucket):
            receiver(event.bucket, event=event)
    except Veto as veto:
        raise AccessDenied(veto.reason) from None


def emit(signal: Signal, event: Event) -> None:
    """Tell every receiver; one that raises is logged and the rest still hear it."""
    if not signal.receivers:
        return
    for receiver in signal.receivers_for(event.bucket):
        try:
            receiver(event.bucket, event=event)
        except Exception:
            logger.exception("A receiver of %s for bucket %r failed.", event.name, event.bucket)
