"""Event notifications: the configuration, what S3 refuses in it, and the messages."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blinker
import botocore.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.model import Versioning
from s3kit.signals import Event
from s3kit.store.events import FROM_PYTHON
from s3kit.store.events import object_event
from s3kit.store.notifications import Notification
from s3kit.store.notifications import Rule
from s3kit.store.notifications import read_notification
from s3kit.store.notifications import record_of
from s3kit.store.notifications import takes_event
from s3kit.store.notifications import write_notification
from tests.client import Client
from tests.endpoint import ACCOUNTS
from tests.endpoint import ACLS_COUNT
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed
from tests.operations.test_posting import multipart

QUEUE = "arn:aws:sqs:us-east-1:000000000000:photos"
TOPIC = "arn:aws:sns:us-east-1:000000000000:photos"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:shrink"
SIGNAL = "arn:aws:sqs:us-east-1:000000000000:signal"
BROKEN = "arn:aws:sqs:us-east-1:000000000000:broken"
UNKNOWN = "arn:aws:sqs:us-east-1:000000000000:unknown"
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
CREATED = "<Event>s3:ObjectCreated:*</Event>"

MESSAGES: list[tuple[str, dict[str, Any]]] = []
IDS: list[str] = []


def on_queue(message: dict[str, Any]) -> None:
    MESSAGES.append(("queue", message))


def on_topic(message: dict[str, Any], event: Event) -> None:
    MESSAGES.append(("topic", message))
    IDS.append(event.id)


def on_function(message: dict[str, Any]) -> None:
    MESSAGES.append(("function", message))


def on_bus(message: dict[str, Any]) -> None:
    MESSAGES.append(("bus", message))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    folder = tmp_path_factory.mktemp("notifications")
    app = S3App(
        Config(
            **ACLS_COUNT,
            accounts=ACCOUNTS,
            storages={"default": str(folder / "blobs")},
            relay=False,
            notifications={
                QUEUE: f"{__name__}:on_queue",
                TOPIC: on_topic,
                FUNCTION: f"{__name__}:on_function",
                SIGNAL: "acme-notifications",
                BROKEN: "tests.no_such_module:hear",
                "eventbridge": on_bus,
            },
        )
    )
    yield app
    app.close()


@pytest.fixture(scope="module")
def mount() -> str:
    return "/files/s3"


@pytest.fixture(autouse=True)
def silence(app: S3App) -> None:
    app.store.outbox.deliver()
    MESSAGES.clear()
    IDS.clear()


@pytest.fixture
def boto(app: S3App, mount: str) -> Any:
    return boto_client(app, OWNER, mount=mount)


def rule(kind: str, arn: str, inner: str = CREATED, number: str = "") -> str:
    element = "CloudFunctionConfiguration" if kind == "CloudFunction" else f"{kind}Configuration"
    shown = f"<Id>{number}</Id>" if number else ""
    return f"<{element}>{shown}<{kind}>{arn}</{kind}>{inner}</{element}>"


def document(*rules: str) -> bytes:
    inner = "".join(rules)
    return f"<NotificationConfiguration {XMLNS}>{inner}</NotificationConfiguration>".encode()


def filtered(**rules: str) -> str:
    inner = "".join(
        f"<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>"
        for name, value in rules.items()
    )
    return f"<Filter><S3Key>{inner}</S3Key></Filter>"


def put(client: Client, bucket: str, *rules: str, **headers: str) -> Any:
    return client.put(bucket, document(*rules), "notification", **headers)


def delivered(app: S3App) -> list[tuple[str, dict[str, Any]]]:
    """What was sent since the last time."""
    app.store.outbox.deliver()
    found = list(MESSAGES)
    MESSAGES.clear()
    return found


def records(app: S3App) -> list[dict[str, Any]]:
    """The records that were sent, the test events not."""
    return [
        record
        for _, message in delivered(app)
        if message.get("Event") != "s3:TestEvent"
        for record in message["Records"]
    ]


# -- the document


def test_the_configuration_comes_back_as_it_was_put(s3: Client, boto: Any, bucket: str) -> None:
    name = bucket[1:]
    answer = s3.get(bucket, "notification")
    assert (answer.status, answer.xml.tag, len(answer.xml)) == (200, "NotificationConfiguration", 0)
    configuration: dict[str, Any] = {
        "TopicConfigurations": [
            {"Id": "t", "TopicArn": TOPIC, "Events": ["s3:ObjectRemoved:*", "s3:ObjectAcl:Put"]}
        ],
        "QueueConfigurations": [
            {
                "Id": "q",
                "QueueArn": QUEUE,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {
                    "Key": {
                        "FilterRules": [
                            {"Name": "Prefix", "Value": "a <b>&+%C3%A9/"},
                            {"Name": "Suffix", "Value": ".jpg"},
                        ]
                    }
                },
            }
        ],
        "LambdaFunctionConfigurations": [
            {
                "Id": "f",
                "LambdaFunctionArn": FUNCTION,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "Suffix", "Value": ".png"}]}},
            }
        ],
        "EventBridgeConfiguration": {},
    }
    boto.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)
    found = parsed("GetBucketNotificationConfiguration", s3.get(bucket, "notification"))
    found.pop("ResponseMetadata")
    assert found == configuration
    boto.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    assert len(s3.get(bucket, "notification").xml) == 0


def test_the_older_operations_have_the_same_document(s3: Client, boto: Any, bucket: str) -> None:
    name = bucket[1:]
    boto.put_bucket_notification(
        Bucket=name,
        NotificationConfiguration={
            "TopicConfiguration": {"Id": "a", "Topic": TOPIC, "Event": "s3:ObjectCreated:*"},
            "CloudFunctionConfiguration": {
                "CloudFunction": FUNCTION,
                "Events": ["s3:ObjectRemoved:*"],
                "InvocationRole": "arn:aws:iam::000000000000:role/x",
            },
        },
    )
    found = parsed("GetBucketNotification", s3.get(bucket, "notification"))
    topic = found["TopicConfiguration"]
    assert (topic["Id"], topic["Topic"]) == ("a", TOPIC)
    function = found["CloudFunctionConfiguration"]
    assert function["CloudFunction"] == FUNCTION
    assert re.fullmatch(r"[0-9a-f-]{36}", function["Id"])


LONG = "x" * 256
ONE = rule("Queue", QUEUE)
REFUSED = {
    "an unknown target": (rule("Queue", UNKNOWN), "InvalidArgument", "destination"),
    "a target that is broken": (rule("Queue", BROKEN), "InvalidArgument", "destination"),
    "no ARN": (rule("Queue", "photos"), "InvalidArgument", "not well formed"),
    "an ARN of another kind": (rule("Topic", QUEUE), "InvalidArgument", "not well formed"),
    "a long ARN": (rule("Queue", QUEUE + LONG), "InvalidArgument", "not well formed"),
    "an unknown event": (
        rule("Queue", QUEUE, "<Event>s3:ObjectRead:*</Event>"),
        "InvalidArgument",
        "event is not supported",
    ),
    "no event": (rule("Queue", QUEUE, ""), "MalformedXML", ""),
    "no target": (f"<QueueConfiguration>{CREATED}</QueueConfiguration>", "MalformedXML", ""),
    "a long id": (rule("Queue", QUEUE, number=LONG), "InvalidArgument", "255"),
    "an id twice": (
        rule("Queue", QUEUE, number="a")
        + rule("Topic", TOPIC, "<Event>s3:ObjectRemoved:*</Event>", number="a"),
        "InvalidArgument",
        "unique",
    ),
    "a filter for something else": (
        rule("Queue", QUEUE, CREATED + filtered(infix="a")),
        "InvalidArgument",
        "either prefix or suffix",
    ),
    "two prefixes": (
        rule("Queue", QUEUE, CREATED + filtered(prefix="a", Prefix="b")),
        "InvalidArgument",
        "more than one prefix",
    ),
    "a long prefix": (
        rule("Queue", QUEUE, CREATED + filtered(prefix="é" * 513)),
        "InvalidArgument",
        "1024",
    ),
    "the same event twice": (ONE + rule("Topic", TOPIC), "InvalidArgument", "overlap"),
    "an event of a group": (
        ONE + rule("Topic", TOPIC, "<Event>s3:ObjectCreated:Put</Event>"),
        "InvalidArgument",
        "overlap",
    ),
    "overlapping filters": (
        rule("Queue", QUEUE, CREATED + filtered(prefix="a", suffix="z"))
        + rule("Topic", TOPIC, CREATED + filtered(prefix="ab")),
        "InvalidArgument",
        "ambiguously",
    ),
    "too many": (
        "".join(rule("Queue", QUEUE, CREATED + filtered(prefix=f"{n:03}/")) for n in range(101)),
        "InvalidArgument",
        "100",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_s3_refuses(s3: Client, bucket: str, why: str) -> None:
    inner, code, text = REFUSED[why]
    answer = put(s3, bucket, inner)
    assert (answer.status, answer.code) == (400, code)
    assert text in (answer.text("Message") or "")
    assert len(s3.get(bucket, "notification").xml) == 0


@pytest.mark.parametrize("body", [b"", b"<A/>", b"<NotificationConfiguration>", b"\x00"])
def test_what_is_no_such_document_is_refused(s3: Client, bucket: str, body: bytes) -> None:
    assert s3.put(bucket, body, "notification").code == "MalformedXML"


def test_every_unknown_target_is_named(s3: Client, bucket: str) -> None:
    answer = put(
        s3,
        bucket,
        rule("Queue", UNKNOWN, CREATED + filtered(prefix="a")),
        rule("Queue", BROKEN, CREATED + filtered(prefix="b")),
        rule("Queue", QUEUE, CREATED + filtered(prefix="c")),
    )
    assert [answer.text(f"ArgumentName{n}") for n in (1, 2, 3)] == [UNKNOWN, BROKEN, None]
    assert answer.text("ArgumentValue1") == "The destination does not exist"


def test_rules_that_no_event_can_meet_together_are_taken(s3: Client, bucket: str) -> None:
    removed = "<Event>s3:ObjectRemoved:Delete</Event>"
    marked = "<Event>s3:ObjectRemoved:DeleteMarkerCreated</Event>"
    answer = put(
        s3,
        bucket,
        rule("Queue", QUEUE, CREATED + filtered(prefix="a/", suffix="g")),
        rule("Queue", QUEUE, CREATED + filtered(prefix="a/", suffix="f")),
        rule("Topic", TOPIC, CREATED + filtered(prefix="b/")),
        rule("Topic", TOPIC, removed),
        rule("CloudFunction", FUNCTION, marked),
    )
    assert answer.status == 200, answer.body


def test_destinations_are_not_looked_at_on_request(app: S3App, s3: Client, bucket: str) -> None:
    answer = put(
        s3,
        bucket,
        rule("Queue", UNKNOWN, CREATED + filtered(prefix="a")),
        rule("Queue", QUEUE, CREATED + filtered(prefix="b")),
        x_amz_skip_destination_validation="true",
    )
    assert answer.status == 200
    assert s3.put(f"{bucket}/a", b"").status == 200
    assert delivered(app) == []
    assert s3.put(f"{bucket}/b", b"").status == 200
    assert [record["s3"]["object"]["key"] for record in records(app)] == ["b"]


def test_others_may_neither_see_nor_change_it(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    assert put(s3, bucket, ONE).status == 200
    for client in (other, anonymous):
        assert client.get(bucket, "notification").code == "AccessDenied"
        assert put(client, bucket).code == "AccessDenied"
    assert len(s3.get(bucket, "notification").xml) == 1


# -- the messages


def test_saving_sends_topics_and_queues_a_test_event(app: S3App, s3: Client, bucket: str) -> None:
    answer = put(
        s3,
        bucket,
        ONE,
        rule("Topic", TOPIC, "<Event>s3:ObjectRemoved:*</Event>"),
        rule("CloudFunction", FUNCTION, "<Event>s3:ObjectAcl:Put</Event>"),
    )
    assert "x-amz-sns-test-message-id" not in answer.headers
    found = dict(delivered(app))
    assert found.keys() == {"queue", "topic"}
    message = found["queue"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message.pop("Time"))
    assert message == {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Bucket": bucket[1:],
        "RequestId": answer.headers["x-amz-request-id"],
        "HostId": answer.headers["x-amz-id-2"],
    }


def test_the_test_events_id_is_told_for_a_topic_about_lost_objects(
    app: S3App, s3: Client, bucket: str
) -> None:
    lost = "<Event>s3:ReducedRedundancyLostObject</Event>"
    answer = put(s3, bucket, rule("Topic", TOPIC, lost))
    delivered(app)
    (number,) = IDS
    assert number == answer.headers["x-amz-sns-test-message-id"]


def test_a_record_is_as_amazon_documents_it(app: S3App, s3: Client, bucket: str) -> None:
    assert put(s3, bucket, rule("Queue", QUEUE, number="mine")).status == 200
    answer = s3.request(
        "PUT", f"{bucket}/red%20flower/%2B%C3%A9.jpg", body=b"body", environ={"REMOTE_ADDR": "::1"}
    )
    (record,) = records(app)
    thing = record["s3"]["object"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("eventTime"))
    assert re.fullmatch(r"[0-9A-F]{18}", thing.pop("sequencer"))
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": OWNER_ID},
        "requestParameters": {"sourceIPAddress": "::1"},
        "responseElements": {
            "x-amz-request-id": answer.headers["x-amz-request-id"],
            "x-amz-id-2": answer.headers["x-amz-id-2"],
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mine",
            "bucket": {
                "name": bucket[1:],
                "ownerIdentity": {"principalId": OWNER_ID},
                "arn": f"arn:aws:s3:::{bucket[1:]}",
            },
            "object": {
                "key": "red+flower/%2B%C3%A9.jpg",
                "size": 4,
                "eTag": hashlib.md5(b"body").hexdigest(),
            },
        },
    }
    assert json.loads(json.dumps(record)) == record


def test_every_way_to_change_an_object_is_told_of(
    app: S3App, s3: Client, anonymous: Client, bucket: str
) -> None:
    everything = "".join(
        f"<Event>s3:{name}</Event>"
        for name in ("ObjectCreated:*", "ObjectRemoved:*", "ObjectTagging:*", "ObjectAcl:Put")
    )
    assert put(s3, bucket, rule("Queue", QUEUE, everything)).status == 200
    s3.put(f"{bucket}/put", b"1")
    assert s3.put(bucket, b"", "acl", x_amz_acl="public-read-write").status == 200
    kind, form = multipart({"key": "post"}, b"form")
    posted = anonymous.request("POST", bucket, headers={"Content-Type": kind}, body=form)
    assert posted.status == 204
    s3.put(f"{bucket}/copy", x_amz_copy_source=f"{bucket}/put")
    upload = s3.post(f"{bucket}/parts", query="uploads").text("UploadId")
    part = s3.put(f"{bucket}/parts", b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
    complete = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part}</ETag></Part></CompleteMultipartUpload>"
    )
    for _ in range(2):
        # The second is told what the first was, and stores nothing.
        done = s3.post(f"{bucket}/parts", complete.encode(), f"uploadId={upload}")
        assert done.status == 200
    tags = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
    assert s3.put(f"{bucket}/put", tags, "tagging").status == 200
    assert s3.delete(f"{bucket}/put", "tagging").status == 204
    assert s3.put(f"{bucket}/put", b"", "acl", x_amz_acl="private").status == 200
    assert s3.delete(f"{bucket}/copy").status == 204
    assert s3.delete(f"{bucket}/none").status == 204
    wanted = "".join(f"<Object><Key>{key}</Key></Object>" for key in ("put", "none", "post"))
    body = f"<Delete>{wanted}</Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert s3.post(bucket, body, "delete", content_md5=digest).status == 200
    found = records(app)
    assert [(one["eventName"], one["s3"]["object"]["key"]) for one in found] == [
        ("ObjectCreated:Put", "put"),
        ("ObjectCreated:Post", "post"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:CompleteMultipartUpload", "parts"),
        ("ObjectTagging:Put", "put"),
        ("ObjectTagging:Delete", "put"),
        ("ObjectAcl:Put", "put"),
        ("ObjectRemoved:Delete", "copy"),
        # In the order in which their keys were locked.
        ("ObjectRemoved:Delete", "post"),
        ("ObjectRemoved:Delete", "put"),
    ]
    assert [one["eventVersion"] for one in found] == ["2.1"] * 4 + ["2.3"] * 3 + ["2.1"] * 3
    assert found[1]["userIdentity"] == {"principalId": "Anonymous"}
    assert found[3]["s3"]["object"]["size"] == 4
    removed = found[7]["s3"]["object"]
    assert removed.keys() == {"key", "sequencer"}


def test_versions_are_told_by_their_ids(app: S3App, s3: Client, bucket: str) -> None:
    assert (
        put(s3, bucket, ONE, rule("Topic", TOPIC, "<Event>s3:ObjectRemoved:*</Event>")).status
        == 200
    )
    app.store.buckets.set_versioning(app.store.buckets.get(bucket[1:]), Versioning.ENABLED)
    first = s3.put(f"{bucket}/k", b"1").headers["x-amz-version-id"]
    marker = s3.delete(f"{bucket}/k").headers["x-amz-version-id"]
    s3.delete(f"{bucket}/k", f"versionId={first}")
    found = records(app)
    found.sort(key=lambda one: str(one["s3"]["object"]["sequencer"]))
    assert [
        (one["eventName"], one["s3"]["object"]["versionId"], one["s3"]["object"].get("eTag"))
        for one in found
    ] == [
        ("ObjectCreated:Put", first, hashlib.md5(b"1").hexdigest()),
        ("ObjectRemoved:DeleteMarkerCreated", marker, hashlib.md5(b"").hexdigest()),
        ("ObjectRemoved:Delete", first, None),
    ]


def test_filters_are_about_the_key_as_amazon_writes_it(app: S3App, s3: Client, bucket: str) -> None:
    assert (
        put(
            s3, bucket, rule("Queue", QUEUE, CREATED + filtered(prefix="red+%2B/", suffix="%C3%A9"))
        ).status
        == 200
    )
    for key in ("red%20%2B/%C3%A9", "red%2B%2B/%C3%A9", "red%20%2B/e", "%C3%A9"):
        assert s3.put(f"{bucket}/{key}", b"").status == 200
    assert [one["s3"]["object"]["key"] for one in records(app)] == ["red+%2B/%C3%A9"]


def test_a_configuration_counts_at_once_for_every_endpoint(
    s3: Client, bucket: str, tmp_path: Path
) -> None:
    """Another process that has just looked at the bucket goes by it at its next write."""
    config = Config(
        accounts=ACCOUNTS,
        index=f"sqlite:///{tmp_path}/index.db",
        relay=False,
        notifications={QUEUE: on_queue},
    )
    one, two = S3App(config), S3App(config)
    bucket = f"/{fresh_name()}"
    first, second = Client(one, OWNER), Client(two, OWNER)
    assert first.put(bucket).status == 200
    tags = b"<Tagging><TagSet/></Tagging>"
    assert second.put(f"{bucket}/a", b"").status == 200
    assert (
        put(
            first, bucket, rule("Queue", QUEUE, CREATED + "<Event>s3:ObjectTagging:*</Event>")
        ).status
        == 200
    )
    assert second.put(f"{bucket}/b", b"").status == 200
    assert second.put(f"{bucket}/b", tags, "tagging").status == 200
    assert put(first, bucket).status == 200
    assert second.put(f"{bucket}/c", b"").status == 200
    assert [(r["eventName"], r["s3"]["object"]["key"]) for r in records(one)] == [
        ("ObjectCreated:Put", "b"),
        ("ObjectTagging:Delete", "b"),
    ]
    one.close()
    two.close()


def test_the_event_bus_gets_its_own_form(app: S3App, s3: Client, bucket: str) -> None:
    assert put(s3, bucket, "<EventBridgeConfiguration/>").status == 200
    s3.put(f"{bucket}/red%20flower", b"1")
    s3.delete(f"{bucket}/red%20flower")
    created, deleted = (message for _, message in delivered(app))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", created["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created["time"])
    detail = created["detail"]
    assert {name: created[name] for name in ("version", "detail-type", "source", "account")} == {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": OWNER_ID,
    }
    assert created["resources"] == [f"arn:aws:s3:::{bucket[1:]}"]
    assert detail["reason"] == "PutObject"
    assert detail["object"]["key"] == "red flower"
    assert detail["object"]["size"] == 1
    assert deleted["detail-type"] == "Object Deleted"
    assert deleted["detail"]["deletion-type"] == "Permanently Deleted"
    assert deleted["detail"]["reason"] == "DeleteObject"


def test_a_signal_can_be_a_target(app: S3App, s3: Client, bucket: str) -> None:
    heard: list[tuple[str, str, str]] = []

    def hear(sender: str, *, message: dict[str, Any], event: Event) -> None:
        heard.append((sender, event.name, message.get("Event", "")))

    with blinker.signal("acme-notifications").connected_to(hear):
        assert put(s3, bucket, rule("Queue", SIGNAL)).status == 200
        s3.put(f"{bucket}/k", b"")
        app.store.outbox.deliver()
    assert sorted(heard) == [
        (bucket[1:], "s3:ObjectCreated:Put", ""),
        (bucket[1:], "s3:TestEvent", "s3:TestEvent"),
    ]


def test_events_of_the_service_name_nobody_else() -> None:
    event = Event("s3:LifecycleExpiration:Delete", "photos", key="a", request_id="R")
    record = record_of(event)
    assert record["eventVersion"] == "2.3"
    assert record["userIdentity"] == {"principalId": "s3.amazonaws.com"}
    assert record["requestParameters"] == {"sourceIPAddress": "s3.amazonaws.com"}
    restored = Event(
        "s3:ObjectRestore:Completed",
        "photos",
        key="a",
        details={"glacierEventData": {"restoreEventData": {}}},
    )
    assert record_of(restored)["glacierEventData"] == {"restoreEventData": {}}
    assert record_of(Event("s3:Replication:OperationNotTracked", "b"))["eventVersion"] == "2.2"
    assert FROM_PYTHON.source_ip == ""
    assert object_event.__module__ == "s3kit.store.events"


def test_a_handler_gets_the_event_if_it_takes_it() -> None:
    assert takes_event(on_topic)
    assert takes_event(lambda message, **more: None)
    assert not takes_event(on_queue)
    assert not takes_event(len)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"notifications": {"photos": "a:b"}}, "must be an ARN"),
        ({"notifications": {QUEUE: "no such"}}, "neither"),
        ({"notifications": {QUEUE: 7}}, "neither"),
        ({"outbox": ["a b"]}, "neither"),
        ({"delivery_attempts": 0}, "at least 1"),
    ],
)
def test_a_target_that_cannot_be_one_is_refused_at_the_start(
    settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        Config.from_mapping(settings)


WORDS = st.text(max_size=8)
RULES = st.builds(
    Rule,
    WORDS,
    st.sampled_from(["Topic", "Queue", "CloudFunction"]),
    WORDS,
    st.lists(WORDS, max_size=3).map(tuple),
    st.none()
    | st.lists(st.tuples(st.sampled_from(["Prefix", "Suffix"]), WORDS), max_size=2).map(tuple),
)


@given(st.builds(Notification, st.lists(RULES, max_size=3).map(tuple), st.booleans()))
def test_a_stored_configuration_comes_back(configuration: Notification) -> None:
    assert read_notification(write_notification(configuration)) == configuration


ENDS = st.text("ab", max_size=3)


@given(ENDS, ENDS, ENDS, ENDS, st.text("ab", max_size=6))
def test_no_key_meets_two_rules_that_are_taken_together(
    prefix: str, suffix: str, other_prefix: str, other_suffix: str, key: str
) -> None:
    events = ("s3:ObjectCreated:*",)
    one = Rule("1", "Queue", QUEUE, events, (("Prefix", prefix), ("Suffix", suffix)))
    two = Rule("2", "Queue", QUEUE, events, (("Prefix", other_prefix), ("Suffix", other_suffix)))
    name = "s3:ObjectCreated:Put"
    if one.wants(name, key) and two.wants(name, key):
        assert one.overlaps(two)
    assert one.overlaps(two) == two.overlaps(one)


def test_boto_raises_what_s3_would(boto: Any, bucket: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        boto.put_bucket_notification_configuration(
            Bucket=bucket[1:],
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": UNKNOWN, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidArgument"
    assert error["Message"] == "Unable to validate the following destination configurations"
