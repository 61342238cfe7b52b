"""The store's side of the signals: builds an Event only where somebody listens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from blinker import Signal

from ..index.outbox import Waiting
from ..model import ANONYMOUS
from ..model import Account
from ..model import Bucket
from ..model import Caller
from ..model import ObjectVersion
from ..signals import Event
from ..signals import ask
from ..signals import emit


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused a change, in which request, from where."""

    caller: Caller = ANONYMOUS
    request_id: str = ""
    source_ip: str = ""
    host_id: str = ""


FROM_PYTHON = Origin()


def object_event(
    name: str,
    bucket: Bucket,
    version: ObjectVersion,
    origin: Origin,
    *,
    replaced: bool = False,
    **more: Any,
) -> Event:
    """The Event for a change of one object; ``more`` are fields that only a durable one has."""
    more.setdefault("time", version.modified)
    return Event(
        name=name,
        bucket=bucket.name,
        bucket_id=bucket.id,
        account=bucket.account,
        key=version.key.decode("utf-8", "surrogateescape"),
        version_id=version.version_id,
        size=version.size,
        etag=version.etag,
        replaced=replaced,
        delete_marker=version.delete_marker,
        metadata=version.headers,
        caller=origin.caller,
        request_id=origin.request_id,
        source_ip=origin.source_ip,
        host_id=origin.host_id,
        **more,
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


def bucket_event(name: str, bucket: Bucket, origin: Origin, time: int, **more: Any) -> Event:
    """The Event for a bucket that is made or removed; ``more`` as for :func:`object_event`."""
    return Event(
        name=name,
        bucket=bucket.name,
        bucket_id=bucket.id,
        account=bucket.account,
        time=time,
        caller=origin.caller,
        request_id=origin.request_id,
        source_ip=origin.source_ip,
        host_id=origin.host_id,
        **more,
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one target.

    :param note: what the route said beside the target's name, such as a rule's id.
    :param attempt: 1 for the first.
    """

    event: Event
    target: str
    note: str = ""
    attempt: int = 1


# -- an event in its row


def event_values(event: Event) -> dict[str, Any]:
    """An event as JSON can hold it, without what is not set."""
    values: dict[str, Any] = {
        name: value for name in _PLAIN if (value := getattr(event, name)) not in ("", 0, False)
    }
    values["name"] = event.name
    values["bucket"] = event.bucket
    if event.version_id is not None:
        values["version_id"] = event.version_id
    if event.metadata:
        values["metadata"] = dict(event.metadata)
    if event.details:
        values["details"] = dict(event.details)
    caller = event.caller
    if caller.account is not None:
        account = caller.account
        values["caller"] = [account.id, account.display_name, account.email, caller.access_key]
    return values


_PLAIN = (
    "bucket_id",
    "account",
    "key",
    "size",
    "etag",
    "time",
    "replaced",
    "delete_marker",
    "request_id",
    "id",
    "source_ip",
    "host_id",
    "region",
)


def read_delivery(row: Waiting) -> Delivery:
    """What the outbox wrote, on its way."""
    values = json.loads(row.document)
    note = values.pop("note", "")
    caller = values.pop("caller", None)
    if caller is not None:
        account_id, display_name, email, access_key = caller
        values["caller"] = Caller(Account(account_id, display_name, email), access_key)
    event = Event(**values, sequencer=f"{row.seq:018X}")
    return Delivery(event, row.target, note, row.attempts + 1)
