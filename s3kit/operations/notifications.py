"""A bucket's event notifications. The older operations of that name have the same documents.

Source: Amazon S3 API Reference, PutBucketNotificationConfiguration; User Guide, "Configuring event
notifications using object key name filtering".
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final
from typing import Protocol

from ..call import Call
from ..errors import InvalidArgument
from ..errors import MalformedXML
from ..store.notifications import EVENTS
from ..store.notifications import Notification
from ..store.notifications import Rule
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml

MOST_RULES = 100
LONGEST_ID = 255
LONGEST_VALUE = 1024
LONGEST_ARN = 255
MOST_BYTES = 256 * 1024

_ARN: Final = {
    "Topic": re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]*:[A-Za-z0-9-]*:[!-~]+"),
    "Queue": re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]*:[A-Za-z0-9-]*:[!-~]+"),
    "CloudFunction": re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]*:[A-Za-z0-9-]*:function:[!-~]+"),
}
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass
class FilterRule:
    """How a key must begin or end."""

    name: str | None = None
    value: str | None = None


@dataclass
class S3KeyFilter:
    """All of these must hold."""

    rules: list[FilterRule] = field_xml("FilterRule", default_factory=list)


@dataclass
class NotificationFilter:
    """Which keys a rule is about."""

    key: S3KeyFilter | None = field_xml("S3Key", default=None)


class Element(Protocol):
    """What the three kinds of rules have in common."""

    id: str | None
    events: list[str]
    filter: NotificationFilter | None

    @property
    def arn(self) -> str: ...


@dataclass
class TopicConfiguration:
    """Events for a topic."""

    topic: str
    id: str | None = field_xml("Id", default=None)
    events: list[str] = field_xml("Event", default_factory=list)
    filter: NotificationFilter | None = None

    @property
    def arn(self) -> str:
        return self.topic


@dataclass
class QueueConfiguration:
    """Events for a queue."""

    queue: str
    id: str | None = field_xml("Id", default=None)
    events: list[str] = field_xml("Event", default_factory=list)
    filter: NotificationFilter | None = None

    @property
    def arn(self) -> str:
        return self.queue


@dataclass
class LambdaFunctionConfiguration:
    """Events for a function; the document still calls it by its first name."""

    cloud_function: str
    id: str | None = field_xml("Id", default=None)
    events: list[str] = field_xml("Event", default_factory=list)
    filter: NotificationFilter | None = None

    @property
    def arn(self) -> str:
        return self.cloud_function


@dataclass
class EventBridgeConfiguration:
    """All events for the event bus: an element without content."""


@document("NotificationConfiguration")
@dataclass
class NotificationConfiguration:
    """The rules of a bucket; one event meets one of them at most."""

    topics: list[TopicConfiguration] = field_xml("TopicConfiguration", default_factory=list)
    queues: list[QueueConfiguration] = field_xml("QueueConfiguration", default_factory=list)
    functions: list[LambdaFunctionConfiguration] = field_xml(
        "CloudFunctionConfiguration", default_factory=list
    )
    event_bridge: EventBridgeConfiguration | None = field_xml(
        "EventBridgeConfiguration", default=None
    )


@operation(
    "GetBucketNotificationConfiguration",
    "GET",
    "bucket",
    "notification",
    action="s3:GetBucketNotification",
)
def get_bucket_notification_configuration(call: Call) -> Response:
    """The rules as they were put, each with its id; no element where there are none."""
    configuration = call.store.notifications.get(call.bucket)
    answer = NotificationConfiguration()
    for rule in configuration.rules:
        shown = None
        if rule.filters is not None:
            shown = NotificationFilter(
                S3KeyFilter([FilterRule(name, value) for name, value in rule.filters])
            )
        events = list(rule.events)
        if rule.kind == "Topic":
            answer.topics.append(TopicConfiguration(rule.arn, rule.id, events, shown))
        elif rule.kind == "Queue":
            answer.queues.append(QueueConfiguration(rule.arn, rule.id, events, shown))
        else:
            answer.functions.append(LambdaFunctionConfiguration(rule.arn, rule.id, events, shown))
    if configuration.event_bus:
        answer.event_bridge = EventBridgeConfiguration()
    return xml_response(answer)


@operation(
    "PutBucketNotificationConfiguration",
    "PUT",
    "bucket",
    "notification",
    action="s3:PutBucketNotification",
    body="document",
)
def put_bucket_notification_configuration(call: Call) -> Response:
    """Replace the rules; topics and queues are sent a test event. An empty document removes all."""
    wanted = call.document(NotificationConfiguration, limit=MOST_BYTES)
    skip = (call.header("x-amz-skip-destination-validation") or "").strip().lower() == "true"
    rules = (
        *(read_rule("Topic", each) for each in wanted.topics),
        *(read_rule("Queue", each) for each in wanted.queues),
        *(read_rule("CloudFunction", each) for each in wanted.functions),
    )
    configuration = Notification(rules, wanted.event_bridge is not None)
    check_together(rules)
    if not skip:
        check_destinations(call, configuration)
    test_id = call.store.notifications.put(
        call.bucket, configuration, origin=call.origin, test=not skip
    )
    headers = []
    if test_id and _asks_for_its_id(rules):
        headers.append(("x-amz-sns-test-message-id", test_id))
    return call.empty(200, headers)


def _asks_for_its_id(rules: Sequence[Rule]) -> bool:
    """S3 tells the test message's id for one topic about lost objects only."""
    return [(rule.kind, rule.events) for rule in rules] == [
        ("Topic", ("s3:ReducedRedundancyLostObject",))
    ]


def refusal(message: str, name: str, value: str) -> InvalidArgument:
    """The one error that S3 has for a rule that it does not take."""
    return InvalidArgument(message, argument_name=name, argument_value=value)


def read_rule(kind: str, element: Element) -> Rule:
    """A rule as it is stored, with an id of ours where the document gives none.

    :raises InvalidArgument: whatever S3 refuses in one rule.
    :raises MalformedXML: there is no event, or a text that no key and no name can hold.
    """
    arn = element.arn.strip()
    if len(arn) > LONGEST_ARN or not _ARN[kind].fullmatch(arn):
        raise refusal("The ARN is not well formed", kind, arn)
    if not element.events:
        raise MalformedXML
    events: list[str] = []
    for name in element.events:
        name = name.strip()
        if name not in EVENTS:
            raise refusal("A specified event is not supported for notifications.", "Event", name)
        if name not in events:
            events.append(name)
    number = element.id
    if not number:
        number = str(uuid.uuid4())
    if len(number) > LONGEST_ID or not _PLAIN.fullmatch(number):
        raise refusal(f"The ID must have at most {LONGEST_ID} characters", "Id", number)
    return Rule(number, kind, arn, tuple(events), read_filters(element.filter))


def read_filters(wanted: NotificationFilter | None) -> tuple[tuple[str, str], ...] | None:
    """The filter's rules, None for a document without a filter.

    :raises InvalidArgument: another name than prefix and suffix, one twice, or a value too long.
    """
    if wanted is None or wanted.key is None:
        return None
    found: dict[str, str] = {}
    for rule in wanted.key.rules:
        given = (rule.name or "").strip()
        name = given.capitalize()
        value = rule.value or ""
        if name not in ("Prefix", "Suffix"):
            raise refusal(
                "filter rule name must be either prefix or suffix", "FilterRule.Name", given
            )
        if name in found:
            raise refusal(
                f"Cannot specify more than one {name.lower()} rule in a filter.",
                "FilterRule.Name",
                given,
            )
        if len(value.encode("utf-8", "replace")) > LONGEST_VALUE:
            raise refusal(
                f"Size of filter rule value cannot exceed {LONGEST_VALUE} bytes in UTF-8 "
                "representation",
                "FilterRule.Value",
                value[:LONGEST_VALUE],
            )
        found[name] = value
    return tuple(found.items())


def check_together(rules: Sequence[Rule]) -> None:
    """Refuse what S3 refuses in all rules together.

    :raises InvalidArgument: an id is there twice, or one event could meet two rules.
    """
    if len(rules) > MOST_RULES:
        raise refusal(
            f"A bucket can have at most {MOST_RULES} notification configurations",
            "NotificationConfiguration",
            str(len(rules)),
        )
    ids: set[str] = set()
    for rule in rules:
        if rule.id in ids:
            raise refusal(
                "Same ID used for multiple configurations. IDs must be unique", "Id", rule.id
            )
        ids.add(rule.id)
    for one, other in combinations(rules, 2):
        if one.overlaps(other):
            if one.filters or other.filters:
                raise refusal(
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two "
                    "rules if the prefixes are overlapping for the same event type.",
                    "Event",
                    one.events[0],
                )
            raise refusal(
                "Configurations overlap. Configurations on the same bucket cannot share a common "
                "event type.",
                "Event",
                one.events[0],
            )


def check_destinations(call: Call, configuration: Notification) -> None:
    """Refuse targets that stand for nothing here; the event bus is always there, with or without
    anybody who listens.

    :raises InvalidArgument: naming each of them.
    """
    notifications = call.store.notifications
    wanted = dict.fromkeys(rule.arn for rule in configuration.rules)
    details: dict[str, str] = {}
    number = 0
    for arn in wanted:
        problem = notifications.problem(arn)
        if problem:
            number += 1
            details[f"argument_name{number}"] = arn
            details[f"argument_value{number}"] = problem
    if details:
        error = InvalidArgument("Unable to validate the following destination configurations")
        error.details.update(details)
        raise error
