"""Durable events: written with what they tell of, delivered in order until it worked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import blinker
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit import Client
from s3kit import signals
from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import AccessDenied
from s3kit.errors import S3Error
from s3kit.index import outbox as outbox_rows
from s3kit.index.writers import CommitFailed
from s3kit.model import NULL_VERSION
from s3kit.model import Account
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Setting
from s3kit.model import Versioning
from s3kit.signals import DURABLE
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import bucket_created
from s3kit.signals import bucket_removed
from s3kit.signals import durable
from s3kit.signals import object_created
from s3kit.signals import object_removed
from s3kit.signals import object_tagged
from s3kit.store import relay
from s3kit.store.events import Delivery
from s3kit.store.outbox import Outbox
from s3kit.store.relay import Later
from s3kit.store.relay import Undeliverable
from tests.waiting import eventually

Heard = list[Event]


class Clock:
    """A clock that stands until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> Iterator[S3App]:
    app = S3App(Config(keys={"AKIAOUTBOX": "secret"}, relay=False, delivery_attempts=4))
    app.store._backing.clock = clock
    yield app
    app.close()


@pytest.fixture
def client(app: S3App) -> Client:
    return app.client()


@pytest.fixture
def outbox(app: S3App) -> Outbox:
    return app.store.outbox


@pytest.fixture
def heard(outbox: Outbox) -> Heard:
    """Everything that a receiver of all events was told."""
    events: Heard = []
    outbox.subscribe(lambda bucket, *, event: events.append(event), name="all")
    return events


@pytest.fixture
def declared() -> Iterator[None]:
    """Forget the test's own durable receivers."""
    before = dict(DURABLE)
    yield
    DURABLE.clear()
    DURABLE.update(before)


def told(events: Heard) -> list[tuple[str, str]]:
    return [(event.name.removeprefix("s3:"), event.key) for event in events]


def test_every_change_is_told_of_once_and_in_its_order(
    client: Client, outbox: Outbox, heard: Heard
) -> None:
    client.create_bucket("photos")
    client.put("photos", "a", b"one")
    client.put("photos", "a", b"other", metadata={"who": "me"})
    client.copy("photos", "a", "photos", "b")
    client.delete("photos", "a")
    client.delete("photos", "a")
    client.delete("photos", "b")
    client.delete_bucket("photos")
    assert heard == []
    assert outbox.deliver().delivered == 7
    assert told(heard) == [
        ("BucketCreated", ""),
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Copy", "b"),
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
        ("BucketRemoved", ""),
    ]
    assert [event.replaced for event in heard[:4]] == [False, False, True, False]
    assert heard[2].metadata["x-amz-meta-who"] == "me"
    assert heard[2].caller.account_id == "default"
    assert len({event.id for event in heard}) == 7
    sequencers = [event.sequencer for event in heard]
    assert sequencers == sorted(sequencers)
    assert outbox.backlog() == []


def test_versions_markers_tags_and_acls_are_told_of_too(
    app: S3App, client: Client, outbox: Outbox, heard: Heard
) -> None:
    client.create_bucket("photos")
    bucket = app.store.buckets.get("photos")
    app.store.buckets.set_versioning(bucket, Versioning.ENABLED)
    objects = app.store.objects
    client.put("photos", "a", b"one")
    stored = objects.get(bucket, b"a")
    objects.set_tags(bucket, b"a", None, (("k", "v"),))
    objects.set_tags(bucket, b"a", None, ())
    objects.set_acl(bucket, b"a", None, Acl("default"))
    marker = objects.delete(bucket, b"a")
    assert marker is not None
    objects.delete(bucket, b"a", marker.version_id)
    objects.delete(bucket, b"a", stored.version_id)
    outbox.deliver()
    assert [(event.name, event.version_id, event.delete_marker) for event in heard[1:]] == [
        ("s3:ObjectCreated:Put", stored.version_id, False),
        ("s3:ObjectTagging:Put", stored.version_id, False),
        ("s3:ObjectTagging:Delete", stored.version_id, False),
        ("s3:ObjectAcl:Put", stored.version_id, False),
        ("s3:ObjectRemoved:DeleteMarkerCreated", marker.version_id, True),
        ("s3:ObjectRemoved:Delete", marker.version_id, True),
        ("s3:ObjectRemoved:Delete", stored.version_id, False),
    ]


def test_what_was_refused_is_not_told_of(client: Client, outbox: Outbox, heard: Heard) -> None:
    client.create_bucket("photos")
    client.put("photos", "a", b"one")

    def no(bucket: str, *, event: Event) -> None:
        raise Veto("no")

    with before_object_created.connected_to(no), pytest.raises(AccessDenied):
        client.put("photos", "b", b"two")
    with pytest.raises(S3Error):
        client.put("photos", "a", b"two", if_none_match="*")
    with pytest.raises(S3Error):
        client.delete_bucket("photos")
    outbox.deliver()
    assert told(heard) == [("BucketCreated", ""), ("ObjectCreated:Put", "a")]


@pytest.mark.usefixtures("declared")
def test_a_durable_receiver_hears_what_it_asked_for(client: Client, outbox: Outbox) -> None:
    found: dict[str, Heard] = {}

    def declare(name: str, *what: Any, **options: Any) -> None:
        heard = found[name] = []

        @durable(*what, name=name, **options)
        def receiver(bucket: str, *, event: Event) -> None:
            assert bucket == event.bucket
            heard.append(event)

        receiver.__qualname__ = name

    declare("pictures", object_created, bucket="photos", suffix=".png")
    declare("gone", object_removed, bucket_removed, prefix="old/", bucket="ph*")
    declare("copies", "s3:ObjectCreated:Copy")
    declare("tags", object_tagged, bucket_created)
    for name in ("photos", "texts"):
        client.create_bucket(name)
    client.put("photos", "a.png", b"")
    client.put("texts", "a.png", b"")
    client.put("photos", "old/a", b"")
    client.copy("photos", "a.png", "photos", "old/b.png")
    client.delete("photos", "old/a")
    client.delete("texts", "a.png")
    outbox.deliver()
    assert {name: told(events) for name, events in found.items()} == {
        "pictures": [("ObjectCreated:Put", "a.png"), ("ObjectCreated:Copy", "old/b.png")],
        "gone": [("ObjectRemoved:Delete", "old/a")],
        "copies": [("ObjectCreated:Copy", "old/b.png")],
        "tags": [("BucketCreated", ""), ("BucketCreated", "")],
    }


@pytest.mark.usefixtures("declared")
def test_a_durable_receiver_has_a_name_of_its_own() -> None:
    @durable(object_created)
    def receiver(bucket: str, *, event: Event) -> None: ...

    where = "<locals>.receiver"
    assert [name for name in DURABLE if name.endswith(where)]
    durable(object_removed)(receiver)
    with pytest.raises(ValueError, match="another"):
        durable(name=next(name for name in DURABLE if name.endswith(where)))(print)
    with pytest.raises(ValueError, match="ASCII"):
        durable(name="ärger")(print)
    with pytest.raises(ValueError, match="nothing that is committed"):
        durable(before_object_created)


def test_a_function_or_a_signal_can_be_named(
    client: Client, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, str]] = []

    def hear(bucket: str, *, event: Event) -> None:
        heard.append((bucket, event.name))

    monkeypatch.setattr("tests.store.test_outbox.named", hear, raising=False)
    outbox.subscribe_by_name("tests.store.test_outbox:named")
    outbox.subscribe_by_name("acme-events")
    with blinker.signal("acme-events").connected_to(hear):
        outbox.check()
        client.create_bucket("photos")
        outbox.deliver()
    assert heard == [("photos", "s3:BucketCreated")] * 2


def test_the_names_in_a_configuration_are_imported_by_who_checks() -> None:
    app = S3App(Config(outbox=("tests.no_such_module:hear",), relay=False))
    with pytest.raises(ImportError):
        app.store.outbox.check()
    app.close()


def test_a_route_is_asked_only_about_buckets_with_its_document(
    app: S3App, client: Client, outbox: Outbox
) -> None:
    asked: list[str] = []
    delivered: list[Delivery] = []

    def route(c: Any, bucket: Bucket, event: Event) -> list[tuple[str, str]]:
        asked.append(event.key)
        return [("copier", "rule 1"), ("copier", "rule 2")] if event.key == "a" else []

    outbox.add_route(Setting.REPLICATION, route)
    outbox.add_target("copier", delivered.append)
    with pytest.raises(ValueError, match="another"):
        outbox.add_target("copier", delivered.append)
    client.create_bucket("photos")
    client.put("photos", "early", b"")
    app.store.buckets.put_setting(app.store.buckets.get("photos"), "replication", b"x")
    client.put("photos", "a", b"")
    client.put("photos", "b", b"")
    assert asked == ["a", "b"]
    outbox.deliver()
    assert [(one.event.key, one.note, one.attempt) for one in delivered] == [
        ("a", "rule 1", 1),
        ("a", "rule 2", 1),
    ]
    assert delivered[0].event == delivered[1].event


def failing(outbox: Outbox, *errors: Exception | type[BaseException]) -> list[tuple[str, str]]:
    """A target that raises these in turn for the key "bad"; what it was given."""
    given: list[tuple[str, str]] = []
    left = list(errors)

    def receiver(bucket: str, *, event: Event) -> None:
        given.append((event.key, event.id))
        if event.key == "bad" and left:
            raise left.pop(0)

    outbox.subscribe(receiver, object_created, name="failing")
    return given


def test_what_fails_is_tried_again_later_and_holds_up_only_its_key(
    client: Client, outbox: Outbox, clock: Clock
) -> None:
    given = failing(outbox, ValueError("no"), SystemExit)
    client.create_bucket("photos")
    for key in ("bad", "bad", "good"):
        client.put("photos", key, b"")
    outcome = outbox.deliver()
    assert (outcome.delivered, outcome.failed, outcome.dead) == (1, 1, 0)
    assert [key for key, _ in given] == ["bad", "good"]
    assert not outbox.deliver()
    clock.now += 1.2
    assert outbox.deliver().failed == 1
    clock.now += 1.2
    assert not outbox.deliver(), "the second pause is longer"
    clock.now += 1.2
    assert outbox.deliver().delivered == 2
    ids = [number for key, number in given if key == "bad"]
    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_what_always_fails_is_given_up_and_can_be_revived(
    client: Client, outbox: Outbox, clock: Clock
) -> None:
    given = failing(outbox, *[KeyError("gone")] * 4)
    client.create_bucket("photos")
    client.put("photos", "bad", b"")
    client.put("photos", "bad", b"")
    dead = 0
    for _ in range(6):
        dead += outbox.deliver().dead
        clock.now += 4000
    assert (dead, len(given)) == (1, 5)
    (one,) = outbox.dead()
    assert (one.attempts, one.error, one.target) == (4, "KeyError: 'gone'", "failing")
    assert outbox.revive("failing") == 1
    assert outbox.deliver().delivered == 1
    assert len(given) == 6
    assert outbox.dead() == []


def test_a_target_says_when_to_come_again_or_never(
    client: Client, outbox: Outbox, clock: Clock
) -> None:
    given = failing(outbox, Later(60, "busy"), Undeliverable("no such queue"))
    client.create_bucket("photos")
    client.put("photos", "bad", b"")
    client.put("photos", "bad", b"")
    assert outbox.deliver().failed == 1
    clock.now += 59
    assert not outbox.deliver()
    clock.now += 1
    outcome = outbox.deliver()
    assert (outcome.delivered, outcome.dead, len(given)) == (1, 1, 3)
    assert outbox.dead()[0].error == "no such queue"
    assert outbox.forget_dead("failing") == 1
    assert outbox.backlog() == []


def test_only_what_has_a_target_here_is_taken(
    app: S3App, client: Client, outbox: Outbox, heard: Heard
) -> None:
    outbox.add_route(Setting.TAGGING, lambda c, bucket, event: [("elsewhere", "")])
    client.create_bucket("photos")
    app.store.buckets.put_setting(app.store.buckets.get("photos"), "tagging", b"x")
    client.put("photos", "a", b"")
    outbox.deliver()
    assert told(heard) == [("BucketCreated", ""), ("ObjectCreated:Put", "a")]
    assert [(each.target, each.waiting) for each in outbox.backlog()] == [("elsewhere", 1)]


def test_a_receiver_may_store_things_itself(client: Client, outbox: Outbox) -> None:
    def shrink(bucket: str, *, event: Event) -> None:
        client.put("small", event.key, client.get(bucket, event.key)[:1])

    outbox.subscribe(shrink, object_created, bucket="photos", name="shrink")
    for name in ("photos", "small"):
        client.create_bucket(name)
    client.put("photos", "a", b"picture")
    assert outbox.deliver().delivered == 1
    assert client.get("small", "a") == b"p"


def test_a_stopping_worker_ends_its_delivery_and_gives_the_rest_back(
    client: Client, outbox: Outbox
) -> None:
    stop = threading.Event()
    given = []

    def receiver(bucket: str, *, event: Event) -> None:
        given.append(event.key)
        stop.set()

    outbox.subscribe(receiver, object_created, name="slow")
    client.create_bucket("photos")
    for key in "abc":
        client.put("photos", key, b"")
    with outbox.relay() as worker:
        worker.run(stop)
    assert given == ["a"]
    stop.clear()
    # At once: their lease is given back too.
    assert outbox.deliver().delivered == 2


def test_a_lease_is_kept_for_as_long_as_a_delivery_takes(
    client: Client, outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, go_on = threading.Event(), threading.Event()
    given = []
    renewed: list[int] = []
    renew = outbox_rows.renew

    def renewing(c: Any, holder: str, ids: list[int], until: int) -> set[int]:
        renewed.append(until)
        return renew(c, holder, ids, until)

    monkeypatch.setattr(outbox_rows, "renew", renewing)

    def receiver(bucket: str, *, event: Event) -> None:
        given.append(event.key)
        if len(given) == 1:
            running.set()
            assert go_on.wait(60)

    outbox.subscribe(receiver, object_created, name="slow")
    client.create_bucket("photos")
    for _ in range(2):
        client.put("photos", "a", b"")

    def work() -> None:
        with outbox.relay() as mine:
            mine.lease_seconds = 0.3
            mine.run_until_empty()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert running.wait(60)
        for _ in range(4):
            # Of two that begin from here on, the first is committed by the second's beginning.
            begun = len(renewed)
            clock.now += 0.2
            eventually(lambda: len(renewed) >= begun + 2)  # noqa: B023
            assert not outbox.deliver()
    finally:
        go_on.set()
        thread.join()
    assert given == ["a", "a"]
    assert outbox.backlog() == []


def test_an_event_that_kills_its_workers_is_given_up(
    client: Client, outbox: Outbox, clock: Clock
) -> None:
    """Four workers took it and were never seen again."""
    given = failing(outbox)
    client.create_bucket("photos")
    client.put("photos", "bad", b"")
    client.put("photos", "bad", b"again")
    for _ in range(5):
        worker = outbox.relay()
        assert worker._take("failing")
        clock.now += relay.LEASE_SECONDS + 1
    assert outbox.deliver().dead == 1
    assert len(given) == 1
    assert outbox.dead()[0].error == "its worker died over it"


def test_a_database_that_is_away_is_waited_for(
    client: Client,
    outbox: Outbox,
    heard: Heard,
    app: S3App,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "POLL_SECONDS", 0.01)
    client.create_bucket("photos")
    index = app.store.index
    write = index.write
    left = [4]

    def refuse(work: Callable[..., Any]) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError("the database is away")
        return write(work)

    stop = threading.Event()

    def work() -> None:
        with outbox.relay() as mine:
            mine.run(stop)

    thread = threading.Thread(target=work)
    monkeypatch.setattr(index, "write", refuse)
    thread.start()
    try:
        eventually(lambda: heard and outbox.backlog() == [])
    finally:
        stop.set()
        thread.join()
    assert told(heard) == [("BucketCreated", "")]


def test_what_was_delivered_is_not_again_when_the_database_comes_back(
    client: Client,
    outbox: Outbox,
    heard: Heard,
    app: S3App,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.create_bucket("photos")
    index = app.store.index
    write = index.write

    def refuse(work: Callable[..., Any]) -> Any:
        if heard:
            raise OSError("the database is away")
        return write(work)

    with outbox.relay() as worker:
        with monkeypatch.context() as patched:
            patched.setattr(index, "write", refuse)
            with pytest.raises(OSError, match="away"):
                worker.once()
        assert not worker.run_until_empty()
    assert len(heard) == 1
    assert outbox.backlog() == []


def test_what_was_taken_in_a_commit_that_seemed_to_fail_is_given_back(
    client: Client, outbox: Outbox, heard: Heard, app: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_bucket("photos")
    index = app.store.index
    write = index.write

    def lose(work: Callable[..., Any]) -> Any:
        write(work)
        raise CommitFailed("the connection was lost")

    with outbox.relay() as worker:
        with monkeypatch.context() as patched:
            patched.setattr(index, "write", lose)
            with pytest.raises(CommitFailed):
                worker.once()
        assert not outbox.deliver()
        # No need to wait until the lease has run out.
        assert worker.run_until_empty().delivered == 1
    assert len(heard) == 1


def test_a_thread_delivers_where_things_are_stored(tmp_path: Path) -> None:
    """Made when it is needed, and again in a forked child."""
    app = S3App(
        Config(
            keys={"AKIAOUTBOX": "secret"},
            index=f"sqlite:///{tmp_path}/index.db",
            storages={"default": str(tmp_path / "blobs")},
        )
    )
    out = tmp_path / "heard"

    def receiver(bucket: str, *, event: Event) -> None:
        with out.open("a") as lines:
            lines.write(f"{os.getpid()} {event.key}\n")

    client = app.client()
    client.create_bucket("photos")
    assert app.store.outbox._thread is None
    app.store.outbox.subscribe(receiver, object_created, name="file")
    client.put("photos", "a", b"")
    eventually(lambda: out.exists() and out.read_text().endswith(" a\n"))
    child = os.fork()
    if child == 0:
        try:
            client.put("photos", "b", b"")
            eventually(lambda: out.read_text().endswith(" b\n"))
        finally:
            app.close()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: out.read_text().endswith(" b\n"))
    thread = app.store.outbox._thread
    assert thread is not None
    assert thread.is_alive()
    app.close()
    assert not thread.is_alive()


EVENTS = st.builds(
    Event,
    name=st.sampled_from(["s3:ObjectCreated:Put", "s3:BucketCreated"]),
    bucket=st.just("photos"),
    bucket_id=st.integers(1, 2**40),
    account=st.text(max_size=5),
    key=st.binary(max_size=20).map(lambda key: key.decode("utf-8", "surrogateescape")),
    version_id=st.sampled_from([None, NULL_VERSION, "abc"]),
    size=st.integers(0, 2**50),
    etag=st.text("0123456789abcdef-", max_size=40),
    time=st.integers(0, 2**42),
    replaced=st.booleans(),
    delete_marker=st.booleans(),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    request_id=st.text("0123456789ABCDEF", max_size=16),
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    source_ip=st.sampled_from(["", "127.0.0.1", "::1"]),
    region=st.sampled_from(["us-east-1", ""]),
)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(EVENTS, st.text(max_size=10), st.booleans())
def test_an_event_comes_back_as_it_was(
    outbox: Outbox, app: S3App, event: Event, note: str, known: bool
) -> None:
    if known:
        account = Account("id", "Näme", "a@example.com")
        event = replace(event, caller=replace(event.caller, account=account, access_key="AKIA"))
    found: list[Delivery] = []
    outbox._targets["back"] = found.append
    app.store.index.write(lambda c: outbox.write(c, event, b"key", [("back", note)]))
    assert outbox.deliver().delivered == 1
    assert replace(found[0].event, sequencer="") == event
    assert (found[0].note, found[0].target) == (note, "back")


def test_every_signal_of_what_is_committed_can_be_heard_durably() -> None:
    announced = {
        name
        for name, value in vars(signals).items()
        if isinstance(value, blinker.Signal) and not name.startswith("before_")
    }
    # Not about a bucket or what is in it: heard in the process where it happens, and not later.
    announced -= {"account_created", "key_created", "key_revoked", "request_audited"}
    heard = {name for name in announced if getattr(signals, name) in signals.EVENTS}
    assert announced == heard, "put it into EVENTS, and record its events"
