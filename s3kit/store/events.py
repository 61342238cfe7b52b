"""The store's side of the signals: builds an Event only where somebody listens."""

from __future__ import annotations

from dataclasses import dataclass

from blinker import Signal

from ..model import ANONYMOUS
from ..model import Bucket
from ..model import Caller
from ..model import ObjectVersion
from ..signals import Event
from ..signals import ask
from ..signals import emit


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused a change, and in which request."""

    caller: Caller = ANONYMOUS
    request_id: str = ""


FROM_PYTHON = Origin()


def object_event(
    name: str, bucket: Bucket, version: ObjectVersion, origin: Origin, *, replaced: bool = False
) -> Event:
    """The Event for a change of one object."""
    return Event(
        name=name,
        bucket=bucket.name,
        bucket_id=bucket.id,
        account=bucket.account,
        key=version.key.decode("utf-8", "surrogateescape"),
        version_id=version.version_id,
        size=version.size,
        etag=version.etag,
        time=version.modified,
        replaced=replaced,
        delete_marker=version.delete_marker,
        metadata=version.headers,
        caller=origin.caller,
        request_id=origin.request_id,
    )


def ask_object(
    signal: Signal, name: str, bucket: Bucket, version: ObjectVersion, origin: Origin
) -> None:
    """Ask the receivers of a ``before_object_*`` signal."""
    if signal.receivers:
        ask(signal, object_event(name, bucket, version, origin))


def emit_object(
    signal: Signal,
    name: str,
    bucket: Bucket,
    version: ObjectVersion,
    origin: Origin,
    *,
    replaced: bool = False,
) -> None:
    """Tell the receivers of an after-commit object signal."""
    if signal.receivers:
        emit(signal, object_event(name, bucket, version, origin, replaced=replaced))


def bucket_event(name: str, bucket: Bucket, origin: Origin, time: int) -> Event:
    """The Event for a bucket that is made or removed."""
    return Event(
        name=name,
        bucket=bucket.name,
        bucket_id=bucket.id,
        account=bucket.account,
        time=time,
        caller=origin.caller,
        request_id=origin.request_id,
    )
