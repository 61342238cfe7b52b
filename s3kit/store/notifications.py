"""S3's event notifications: which rules a bucket has, and the messages that their targets get.

Source: Amazon S3 User Guide, "Amazon S3 Event Notifications" and "Event message structure".
"""

from __future__ import annotations

import inspect
import json
import logging
import secrets
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import quote_plus
from urllib.parse import unquote_plus

from ..index import settings as setting_rows
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import Setting
from ..signals import Event
from ..signals import matches
from .events import Delivery
from .events import Origin
from .outbox import ByName
from .outbox import Outbox

if TYPE_CHECKING:
    from ..index.session import Connection
    from .backing import Backing
    from .buckets import Buckets

logger = logging.getLogger("s3kit.outbox")

SETTING = "notification"
EVENT_BUS = "eventbridge"
"""The name under which the configuration has what stands for Amazon EventBridge."""
TEST_EVENT = "s3:TestEvent"
SERVICE = "s3.amazonaws.com"
"""Who does what nobody asked for at that moment, such as a lifecycle rule's work."""
EMPTY_ETAG = "d41d8cd98f00b204e9800998ecf8427e"

EVENTS = (
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:Put",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAnnotation:*",
    "s3:ObjectAnnotation:Put",
    "s3:ObjectAnnotation:Delete",
    "s3:ObjectRetention:Put",
)
"""What a rule may ask for."""

_OF_THE_SERVICE = ("s3:Lifecycle*", "s3:Replication:*", "s3:IntelligentTiering")
_OF_THE_SERVICE_TOO = ("s3:ObjectRestore:Completed", "s3:ObjectRestore:Delete")
_VERSION_2_2 = ("s3:Replication:*",)
_VERSION_2_3 = (
    "s3:Lifecycle*",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:*",
    "s3:ObjectTagging:*",
    "s3:ObjectAnnotation:*",
    "s3:ObjectRetention:*",
    "s3:ObjectRestore:Delete",
)
_WITH_SEQUENCER = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events go to one target.

    :param kind: the element that it is written as: ``Topic``, ``Queue`` or ``CloudFunction``.
    :param filters: (name, value) as they were put, ``Prefix`` or ``Suffix`` each.
    """

    id: str
    kind: str
    arn: str
    events: tuple[str, ...]
    filters: tuple[tuple[str, str], ...] | None = None

    def filter(self, name: str) -> str:
        """The prefix or suffix that a key must have, "" for none; in a document it is quoted."""
        for each, value in self.filters or ():
            if each == name:
                return _unquoted(value)
        return ""

    def wants(self, name: str, key: str) -> bool:
        """Whether an event of this name about this key goes to the target."""
        return (
            matches(name, self.events)
            and key.startswith(self.filter("Prefix"))
            and key.endswith(self.filter("Suffix"))
        )

    def overlaps(self, other: Rule) -> bool:
        """Whether one event could meet both, which S3 does not allow."""
        return (
            any(_same_event(mine, theirs) for mine in self.events for theirs in other.events)
            and _is_start(self.filter("Prefix"), other.filter("Prefix"))
            and _is_start(self.filter("Suffix")[::-1], other.filter("Suffix")[::-1])
        )


@lru_cache(maxsize=1024)
def _unquoted(value: str) -> str:
    return unquote_plus(value, errors="surrogateescape")


def _same_event(one: str, other: str) -> bool:
    return matches(one, (other,)) or matches(other, (one,))


def _is_start(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@dataclass(frozen=True, slots=True)
class Notification:
    """A bucket's whole configuration."""

    rules: tuple[Rule, ...] = ()
    event_bus: bool = False

    def __bool__(self) -> bool:
        return bool(self.rules) or self.event_bus


def write_notification(configuration: Notification) -> bytes:
    """A configuration as it is stored: JSON."""
    return json.dumps(asdict(configuration), separators=(",", ":")).encode()


@lru_cache(maxsize=256)
def read_notification(stored: bytes) -> Notification:
    """What :func:`write_notification` wrote; the same bytes are read once."""
    values = json.loads(stored)
    return Notification(
        tuple(
            Rule(
                rule["id"],
                rule["kind"],
                rule["arn"],
                tuple(rule["events"]),
                None
                if rule["filters"] is None
                else tuple((name, value) for name, value in rule["filters"]),
            )
            for rule in values["rules"]
        ),
        values["event_bus"],
    )


Handler = Callable[..., object]
"""Gets the message as a dict; and the :class:`~s3kit.signals.Event` if it takes ``event``."""


class Notifications:
    """The notification configurations of one Store's buckets, and their targets."""

    __slots__ = ("_backing", "_buckets", "_handlers", "_outbox", "_warned")

    def __init__(self, backing: Backing, buckets: Buckets, outbox: Outbox) -> None:
        self._backing = backing
        self._buckets = buckets
        self._outbox = outbox
        self._handlers: dict[str, Handler | ByName] = {}
        self._warned: set[str] = set()
        outbox.add_route(Setting.NOTIFICATION, self._wanted)

    def add_target(self, arn: str, handler: Handler | str) -> None:
        """Let an ARN, or ``eventbridge``, stand for a function.

        :param handler: the function, ``module:function``, or the name of a blinker signal, which
            is sent the bucket, ``message`` and ``event``.
        :raises ValueError: the ARN is taken, or cannot be one.
        """
        found = ByName(handler) if isinstance(handler, str) else handler
        self._outbox.add_target(arn, _Deliver(found, arn == EVENT_BUS))
        self._handlers[arn] = found

    def knows(self, arn: str) -> bool:
        """Whether the ARN stands for anything here."""
        return arn in self._handlers

    def problem(self, arn: str) -> str:
        """Why a target cannot be reached; "" if it can."""
        handler = self._handlers.get(arn)
        if handler is None:
            return "The destination does not exist"
        if isinstance(handler, ByName):
            try:
                handler.resolve()
            except Exception:
                logger.warning("The target of %s cannot be imported.", arn, exc_info=True)
                return "The destination cannot be reached"
        return ""

    def check(self) -> None:
        """Import what is only named yet.

        :raises Exception: whatever the import raises.
        """
        for handler in self._handlers.values():
            if isinstance(handler, ByName):
                handler.resolve()

    def get(self, bucket: Bucket) -> Notification:
        """The bucket's configuration as it is now, an empty one where there is none."""
        stored = self._buckets.setting(bucket, SETTING)
        return Notification() if stored is None else read_notification(stored)

    def put(
        self,
        bucket: Bucket,
        configuration: Notification,
        *,
        origin: Origin,
        test: bool = True,
    ) -> str:
        """Replace the bucket's configuration; every write that begins afterwards goes by it.

        :param test: send each topic and queue S3's test event.
        :returns: the test event's id, "" where none was sent.
        """
        event = Event(
            name=TEST_EVENT,
            bucket=bucket.name,
            bucket_id=bucket.id,
            account=bucket.account,
            time=self._backing.now(),
            caller=origin.caller,
            request_id=origin.request_id,
            source_ip=origin.source_ip,
            host_id=origin.host_id,
            id=secrets.token_hex(16),
        )
        # Functions get none: S3 only looks whether it may call them.
        arns = dict.fromkeys(
            rule.arn
            for rule in configuration.rules
            if test and rule.kind != "CloudFunction" and self.knows(rule.arn)
        )

        def work(c: Connection) -> None:
            if configuration:
                setting_rows.put(c, bucket.id, SETTING, write_notification(configuration))
            else:
                setting_rows.delete(c, bucket.id, SETTING)
            self._outbox.write(c, event, b"", [(arn, "") for arn in arns])

        self._buckets.change_setting(work)
        return event.id if arns else ""

    def _wanted(self, c: Connection, bucket: Bucket, event: Event) -> Iterator[tuple[str, str]]:
        # Read in the event's own transaction, so that it is neither early nor late.
        stored = setting_rows.get(c, bucket.id, SETTING)
        if stored is None:
            return
        configuration = read_notification(stored)
        for rule in configuration.rules:
            if rule.wants(event.name, event.key):
                if self.knows(rule.arn):
                    yield rule.arn, rule.id
                else:
                    self._warn(rule.arn, bucket)
        # Without anybody who listens to it the bus takes them all the same.
        if (
            configuration.event_bus
            and self.knows(EVENT_BUS)
            and matches(event.name, tuple(_DETAIL_TYPES))
        ):
            yield EVENT_BUS, ""

    def _warn(self, arn: str, bucket: Bucket) -> None:
        if arn not in self._warned:
            self._warned.add(arn)
            logger.warning(
                "Bucket %r sends events to %s, which is not in the setting notifications: they "
                "are not kept.",
                bucket.name,
                arn,
            )


@dataclass(frozen=True, slots=True)
class _Deliver:
    """Calls a handler with S3's message."""

    handler: Handler | ByName
    event_bus: bool

    def __call__(self, delivery: Delivery) -> None:
        event = delivery.event
        if event.name == TEST_EVENT:
            message = test_message(event)
        elif self.event_bus:
            message = event_bus_message(event)
        else:
            message = {"Records": [record_of(event, delivery.note)]}
        handler = self.handler
        if isinstance(handler, ByName):
            function = handler.resolve()
            if ":" not in handler.name:
                function(event.bucket, message=message, event=event)
                return
        else:
            function = handler
        if takes_event(function):
            function(message, event=event)
        else:
            function(message)


@lru_cache(maxsize=256)
def takes_event(function: Callable[..., object]) -> bool:
    """Whether a handler wants the Event too."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "event" or each.kind is each.VAR_KEYWORD for each in parameters)


# -- the messages


def iso_time(milliseconds: int) -> str:
    """A time as S3's events have it: ``1970-01-01T00:00:00.000Z``."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def quote_key(key: str) -> str:
    """A key as S3's events have it: ``red+flower.jpg``."""
    return quote_plus(key.encode("utf-8", "surrogateescape"), safe="/*")


def is_of_service(name: str) -> bool:
    """Whether S3 itself does what an event of this name tells of."""
    return matches(name, _OF_THE_SERVICE) or name in _OF_THE_SERVICE_TOO


def principal(event: Event) -> str:
    """Who caused the event."""
    if is_of_service(event.name):
        return SERVICE
    return event.caller.account_id or ("Anonymous" if event.request_id else SERVICE)


def record_of(event: Event, configuration_id: str = "") -> dict[str, Any]:
    """One of a message's ``Records``."""
    name = event.name
    thing: dict[str, Any] = {"key": quote_key(event.key)}
    if event.delete_marker:
        thing["eTag"] = EMPTY_ETAG
    elif not matches(name, ("s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")):
        thing["size"] = event.size
        thing["eTag"] = event.etag
    if event.version_id is not None and event.version_id != NULL_VERSION:
        thing["versionId"] = event.version_id
    if matches(name, _WITH_SEQUENCER):
        thing["sequencer"] = event.sequencer
    version = "2.1"
    if matches(name, _VERSION_2_2):
        version = "2.2"
    elif matches(name, _VERSION_2_3):
        version = "2.3"
    return {
        "eventVersion": version,
        "eventSource": "aws:s3",
        "awsRegion": event.region,
        "eventTime": iso_time(event.time),
        "eventName": name.removeprefix("s3:"),
        "userIdentity": {"principalId": principal(event)},
        "requestParameters": {
            "sourceIPAddress": SERVICE if is_of_service(name) else event.source_ip or "127.0.0.1"
        },
        "responseElements": {
            "x-amz-request-id": event.request_id,
            "x-amz-id-2": event.host_id,
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": {"principalId": event.account},
                "arn": f"arn:aws:s3:::{event.bucket}",
            },
            "object": thing,
        },
        **event.details,
    }


def test_message(event: Event) -> dict[str, Any]:
    """What a topic or queue gets when a configuration names it."""
    return {
        "Service": "Amazon S3",
        "Event": TEST_EVENT,
        "Time": iso_time(event.time),
        "Bucket": event.bucket,
        "RequestId": event.request_id,
        "HostId": event.host_id,
    }


_DETAIL_TYPES: Mapping[str, str] = {
    "s3:ObjectCreated:*": "Object Created",
    "s3:ObjectRemoved:*": "Object Deleted",
    "s3:LifecycleExpiration:*": "Object Deleted",
    "s3:ObjectRestore:Post": "Object Restore Initiated",
    "s3:ObjectRestore:Completed": "Object Restore Completed",
    "s3:ObjectRestore:Delete": "Object Restore Expired",
    "s3:LifecycleTransition": "Object Storage Class Changed",
    "s3:IntelligentTiering": "Object Access Tier Changed",
    "s3:ObjectAcl:Put": "Object ACL Updated",
    "s3:ObjectTagging:Put": "Object Tags Added",
    "s3:ObjectTagging:Delete": "Object Tags Deleted",
}
_REASONS = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete": "DeleteObject",
    "s3:ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "s3:LifecycleExpiration:Delete": "Lifecycle Expiration",
    "s3:LifecycleExpiration:DeleteMarkerCreated": "Lifecycle Expiration",
}


def event_bus_message(event: Event) -> dict[str, Any]:
    """The event as EventBridge gets it; its ``id`` tells repeats.

    Source: Amazon S3 User Guide, "EventBridge event message structure".
    """
    name = event.name
    kind = next(value for pattern, value in _DETAIL_TYPES.items() if matches(name, (pattern,)))
    thing: dict[str, Any] = {
        "key": event.key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    }
    if kind == "Object Created":
        thing["size"] = event.size
    if event.delete_marker:
        thing["etag"] = EMPTY_ETAG
    elif kind != "Object Deleted":
        thing["etag"] = event.etag
    if event.version_id is not None and event.version_id != NULL_VERSION:
        thing["version-id"] = event.version_id
    if matches(name, _WITH_SEQUENCER):
        thing["sequencer"] = event.sequencer
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": event.bucket},
        "object": thing,
        "request-id": event.request_id,
        "requester": principal(event),
    }
    if not is_of_service(name):
        detail["source-ip-address"] = event.source_ip or "127.0.0.1"
    if name in _REASONS:
        detail["reason"] = _REASONS[name]
    if kind == "Object Deleted":
        marked = name.endswith(":DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marked else "Permanently Deleted"
    number = event.id
    return {
        "version": "0",
        "id": "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:])),
        "detail-type": kind,
        "source": "aws.s3",
        "account": event.account,
        "time": f"{iso_time(event.time)[:19]}Z",
        "region": event.region,
        "resources": [f"arn:aws:s3:::{event.bucket}"],
        "detail": detail,
    }
