"""Lifecycle's runs on every database, against a model that has no index, pages or transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.blobs.memory import MemoryBlobStore
from s3kit.index import buckets as bucket_rows
from s3kit.index import leases
from s3kit.index import lifecycle as lifecycle_rows
from s3kit.index import objects as object_rows
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import NO_LOCK
from s3kit.model import Bucket
from s3kit.model import ObjectLock
from s3kit.model import ObjectVersion
from s3kit.model import Versioning
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_object_removed
from s3kit.signals import object_removed
from s3kit.signals import object_transitioned
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store import lifecycle
from s3kit.store.lifecycle import Report
from s3kit.store.multipart import WantedPart
from s3kit.store.relocating import copy_blob
from s3kit.wire.checksums import BodyReader
from tests.databases import fresh_database

DAY = 86_400_000
START = 20_000 * DAY
"""A midnight."""


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now / 1000


@dataclass
class World:
    """A store with a clock of its own."""

    store: Store
    clock: Clock
    number: int = 0
    events: list[Event] = field(default_factory=list)

    def bucket(self, versioning: Versioning = Versioning.NEVER) -> Bucket:
        self.number += 1
        made = self.store.buckets.create(f"bucket-{self.number}", "owner")
        if versioning is not Versioning.NEVER:
            self.store.buckets.set_versioning(made, versioning)
        return self.fresh(made)

    def fresh(self, bucket: Bucket) -> Bucket:
        return self.store.buckets.get(bucket.name, fresh=True)

    def rules(self, bucket: Bucket, *rules: str, smallest: str = "") -> None:
        text = "".join(f"<Rule><Status>Enabled</Status>{rule}</Rule>" for rule in rules)
        if smallest:
            name = "S3kitTransitionDefaultMinimumObjectSize"
            text += f"<{name}>{smallest}</{name}>"
        document = f"<LifecycleConfiguration>{text}</LifecycleConfiguration>".encode()
        self.store.buckets.put_setting(bucket, "lifecycle", document)

    def put(
        self,
        bucket: Bucket,
        key: bytes,
        body: bytes = b"",
        tags: tuple[tuple[str, str], ...] = (),
        storage_class: str = "STANDARD",
    ) -> ObjectVersion:
        attributes = Attributes("owner", tags=tags, storage_class=storage_class)
        return self.store.objects.put(bucket, key, reader(body), attributes)

    def run(self) -> Report:
        return self.store.lifecycle.run()

    def versions(self, bucket: Bucket) -> list[tuple[bytes, str, bool, str]]:
        page = self.store.list_versions(
            bucket, prefix=b"", delimiter=b"", key_marker=b"", version_id_marker=None, limit=1000
        )
        return [(v.key, v.version_id, v.delete_marker, v.storage_class) for v in page.versions]


def reader(body: bytes) -> BodyReader:
    import io

    return BodyReader(io.BytesIO(body), len(body))


def make_world(index: Index, **options: Any) -> World:
    clock = Clock()
    storages = {"default": MemoryBlobStore("default"), "cold": MemoryBlobStore("cold")}
    options = {"inline_threshold": 8, "smallest_transition": 0, **options}
    return World(Store(index, storages, clock=clock, **options), clock)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def index(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Index]:
    with fresh_database(request.param, tmp_path) as url:
        made = Index(url, durability="relaxed")
        create_schema(made)
        yield made
        made.close()


@pytest.fixture
def world(index: Index) -> Iterator[World]:
    yield make_world(index, storage_classes={"GLACIER": "cold"})


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    index = Index("memory://")
    create_schema(index)
    made = make_world(index, storage_classes={"GLACIER": "cold"})
    yield made
    made.store.close()


@pytest.fixture
def fast(shared: World) -> Iterator[World]:
    """One for all that needs no database of its own; no rules stay behind."""
    yield shared
    for bucket in shared.store.buckets.page("owner", limit=1000):
        shared.store.buckets.delete_setting(bucket, "lifecycle")


PREFIX = "<Filter><Prefix>{}</Prefix></Filter>"
ANY = "<Filter></Filter>"
AFTER_ONE = "<Expiration><Days>1</Days></Expiration>"
LONE = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"


def replaced(days: int, kept: int = 0) -> str:
    sparing = f"<NewerNoncurrentVersions>{kept}</NewerNoncurrentVersions>" if kept else ""
    return (
        f"<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>{sparing}"
        "</NoncurrentVersionExpiration>"
    )


def transition(days: int, storage_class: str) -> str:
    return (
        f"<Transition><Days>{days}</Days><StorageClass>{storage_class}</StorageClass></Transition>"
    )


# When and what


def test_days_end_at_the_midnight_after_them(world: World) -> None:
    bucket = world.bucket()
    world.rules(bucket, PREFIX.format("a") + AFTER_ONE)
    world.clock.now = START + 1
    for key in (b"a/1", b"a/2", b"b"):
        world.put(bucket, key)
    world.clock.now = START + 2 * DAY - 1
    assert world.run().removed == 0
    world.clock.now = START + 2 * DAY
    report = world.run()
    assert (report.removed, report.marked, report.buckets) == (2, 0, 1)
    assert [row[0] for row in world.versions(bucket)] == [b"b"]


def test_with_versioning_an_expired_object_is_hidden_and_not_lost(world: World) -> None:
    bucket = world.bucket(Versioning.ENABLED)
    world.rules(bucket, ANY + AFTER_ONE)
    kept = world.put(bucket, b"key").version_id
    world.clock.now += 2 * DAY
    report = world.run()
    assert (report.removed, report.marked) == (0, 1)
    marker, version = world.versions(bucket)
    assert marker[2]
    assert version[1] == kept
    # A marker that hides something stays, however old it is, and no other is put upon it.
    world.clock.now += 9 * DAY
    assert world.run().marked == 0
    assert len(world.versions(bucket)) == 2


def test_a_marker_goes_when_it_hides_nothing_any_more(world: World) -> None:
    """In the same run as the last version under it."""
    bucket = world.bucket(Versioning.ENABLED)
    world.rules(bucket, ANY + LONE + replaced(1))
    world.put(bucket, b"key")
    world.store.objects.delete(bucket, b"key")
    world.put(bucket, b"shown")
    assert world.run().removed == 0
    world.clock.now += 2 * DAY
    assert world.run().removed == 2
    assert [row[0] for row in world.versions(bucket)] == [b"shown"]


def test_a_version_is_replaced_since_the_next_one_came(world: World) -> None:
    bucket = world.bucket(Versioning.ENABLED)
    world.rules(bucket, ANY + replaced(3))
    world.put(bucket, b"key")
    world.clock.now += 10 * DAY
    latest = world.put(bucket, b"key").version_id
    world.clock.now += 2 * DAY
    assert world.run().removed == 0
    world.clock.now += DAY
    assert world.run().removed == 1
    assert [row[1] for row in world.versions(bucket)] == [latest]


def test_the_newest_replaced_versions_are_spared(world: World) -> None:
    bucket = world.bucket(Versioning.ENABLED)
    world.rules(bucket, ANY + replaced(1, kept=2))
    made = []
    for _ in range(6):
        made.append(world.put(bucket, b"key").version_id)
        world.clock.now += 1000
    world.clock.now += 2 * DAY
    assert world.run().removed == 3
    assert [row[1] for row in world.versions(bucket)] == made[:2:-1]
    assert world.run().removed == 0


def test_unfinished_uploads_end_with_their_parts(world: World) -> None:
    bucket = world.bucket()
    rule = (
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload>"
    )
    world.rules(bucket, PREFIX.format("a") + rule)
    multipart = world.store.multipart
    old, other = (multipart.create(bucket, key, Attributes("owner")) for key in (b"a", b"b"))
    multipart.put_part(bucket, old, 1, reader(b"part"))
    world.clock.now += DAY
    young = multipart.create(bucket, b"a", Attributes("owner"))
    world.clock.now += DAY
    assert world.run().aborted == 1
    page = world.store.list_uploads(
        bucket, prefix=b"", delimiter=b"", key_marker=b"", upload_id_marker=None, limit=9
    )
    assert [each.id for each in page.uploads] == [young.id, other.id]
    world.store.collect_garbage(now=2**53)
    assert list(world.store.storages["default"].sweep()) == []


def test_a_date_is_for_all_that_came_before_and_comes_after(fast: World) -> None:
    bucket = fast.bucket()
    fast.clock.now = START
    date = "2024-10-05T00:00:00Z"
    fast.rules(bucket, ANY + f"<Expiration><Date>{date}</Date></Expiration>")
    fast.put(bucket, b"before")
    assert fast.run().removed == 0
    fast.clock.now = START + DAY
    fast.put(bucket, b"after")
    assert fast.run().removed == 2


def test_small_objects_stay_in_their_class_unless_a_rule_asks_for_sizes(fast: World) -> None:
    bucket = fast.bucket()
    fast.put(bucket, b"key", b"small")
    fast.clock.now += 5 * DAY
    store = make_world(fast.store.index, smallest_transition=131072).store
    store._backing.clock = fast.clock
    fast.rules(bucket, ANY + transition(0, "GLACIER"))
    assert store.lifecycle.run().transitioned == 0
    fast.rules(bucket, ANY + transition(0, "GLACIER_IR"), smallest="varies_by_storage_class")
    assert store.lifecycle.run().transitioned == 0
    fast.rules(
        bucket,
        "<Filter><ObjectSizeLessThan>100</ObjectSizeLessThan></Filter>"
        + transition(0, "GLACIER_IR"),
    )
    assert store.lifecycle.run().transitioned == 1
    fast.rules(bucket, ANY + transition(0, "GLACIER"), smallest="varies_by_storage_class")
    assert store.lifecycle.run().transitioned == 1
    assert fast.versions(bucket)[0][3] == "GLACIER"


# What it does to bytes


def test_a_class_with_a_storage_of_its_own_takes_the_bytes_there(world: World) -> None:
    """Whoever shares them keeps theirs, and a reader that has begun ends whole."""
    store = world.store
    bucket = world.bucket()
    world.rules(bucket, PREFIX.format("a") + transition(1, "GLACIER"))
    body = b"0123456789" * 1000
    moved = world.put(bucket, b"a", body)
    store.copying.copy(moved, bucket, b"copy", Attributes("owner"))
    upload = store.multipart.create(bucket, b"a/parts", Attributes("owner"))
    parts = [store.multipart.put_part(bucket, upload, n, reader(body)) for n in (1, 2)]
    wanted = [WantedPart(part.number, part.etag) for part in parts]
    object.__setattr__(store._backing, "profile", replace(store.profile, min_part=0))
    store.multipart.complete(bucket, b"a/parts", upload.id, wanted)
    small = world.put(bucket, b"a/small", b"tiny")
    reading = store.objects.read(moved)
    first = next(reading)
    world.clock.now += 2 * DAY
    report = world.run()
    assert (report.transitioned, report.moved_bytes) == (3, 3 * len(body))
    assert first + b"".join(reading) == body
    for key, size in ((b"a", 1), (b"a/parts", 2)):
        version = store.objects.get(bucket, key)
        assert (version.storage_class, version.content and version.content.storage) == (
            "GLACIER",
            "cold",
        )
        assert b"".join(store.objects.read(version)) == body * size
    copy = store.objects.get(bucket, b"copy")
    assert (copy.storage_class, copy.content and copy.content.storage) == ("STANDARD", "default")
    assert store.objects.get(bucket, b"a/small").inline == small.inline == b"tiny"
    assert len(list(store.storages["cold"].sweep())) == 3
    store.collect_garbage(now=2**53)
    assert len(list(store.storages["default"].sweep())) == 1
    assert b"".join(store.objects.read(copy)) == body
    # New objects of the class go there at once.
    direct = world.put(bucket, b"z", body, storage_class="GLACIER")
    assert direct.content is not None
    assert direct.content.storage == "cold"
    assert [row[3] for row in world.versions(bucket)] == [
        *["GLACIER"] * 3,
        "STANDARD",
        "GLACIER",
    ]
    assert [entry[4] for entry in listed(store, bucket)] == [
        row[3] for row in world.versions(bucket)
    ]


def listed(store: Store, bucket: Bucket) -> list[Any]:
    return list(store.list_keys(bucket, prefix=b"", delimiter=b"", after=b"", limit=99).entries)


def test_an_object_that_is_overwritten_while_its_bytes_move_is_spared(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fast.store
    bucket = fast.bucket()
    fast.rules(bucket, ANY + transition(1, "GLACIER"))
    fast.put(bucket, b"key", b"x" * 100)
    fast.clock.now += 3 * DAY
    cold = store.storages["cold"]
    before = {blob for blob, _ in cold.sweep()}

    def copy_late(*arguments: Any, **options: Any) -> int:
        size = copy_blob(*arguments, **options)
        fast.put(bucket, b"key", b"y" * 100)
        return size

    monkeypatch.setattr(lifecycle, "copy_blob", copy_late)
    report = fast.run()
    assert (report.transitioned, report.failed) == (0, 0)
    version = store.objects.get(bucket, b"key")
    assert version.storage_class == "STANDARD"
    assert b"".join(store.objects.read(version)) == b"y" * 100
    assert {blob for blob, _ in cold.sweep()} == before


def test_damaged_bytes_are_not_moved_and_the_run_says_so(
    fast: World, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = fast.bucket()
    fast.rules(bucket, ANY + transition(1, "GLACIER"))
    version = fast.put(bucket, b"key", b"x" * 100)
    assert version.content is not None
    store = fast.store.storages["default"]
    store.delete(version.content.id)
    writer = store.create(version.content.id)
    writer.write(b"y" * 100)
    writer.commit()
    fast.clock.now += 3 * DAY
    report = fast.run()
    assert (report.transitioned, report.failed) == (0, 1)
    assert fast.versions(bucket)[0][3] == "STANDARD"
    assert "damaged" in caplog.text


# What may not be done


def test_each_decision_is_made_again_under_the_keys_lock(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was overwritten, tagged or given other rules since the walk saw it is spared."""
    bucket = fast.bucket()
    tag = "<Filter><Tag><Key>t</Key><Value>1</Value></Tag></Filter>"
    fast.rules(bucket, tag + AFTER_ONE)
    for key in (b"overwritten", b"tagged", b"removed", b"due"):
        fast.put(bucket, key, tags=(("t", "1"),))
    fast.clock.now += 3 * DAY
    commit = lifecycle._Walk._commit

    def late(self: Any, proposals: list[Any]) -> None:
        fast.put(bucket, b"overwritten", tags=(("t", "1"),))
        fast.store.objects.set_tags(bucket, b"tagged", None, ())
        fast.store.objects.delete(bucket, b"removed")
        commit(self, proposals)

    monkeypatch.setattr(lifecycle._Walk, "_commit", late)
    report = fast.run()
    assert (report.removed, report.spared) == (1, 3)
    assert [row[0] for row in fast.versions(bucket)] == [b"overwritten", b"tagged"]

    def without_rules(self: Any, proposals: list[Any]) -> None:
        fast.store.buckets.delete_setting(bucket, "lifecycle")
        commit(self, proposals)

    fast.clock.now += 3 * DAY
    monkeypatch.setattr(lifecycle._Walk, "_commit", without_rules)
    report = fast.run()
    assert (report.removed, report.spared) == (0, 1)


def test_what_was_decided_about_is_what_goes(fast: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where what has taken its place would be due too, or was replaced longer ago before."""
    dated = fast.bucket()
    fast.rules(dated, ANY + "<Expiration><Date>2015-01-01</Date></Expiration>")
    fast.put(dated, b"key", b"old")
    kept = fast.bucket(Versioning.ENABLED)
    fast.rules(kept, ANY + replaced(1))
    oldest = fast.put(kept, b"key").version_id
    second = fast.put(kept, b"key").version_id
    fast.clock.now += 3 * DAY
    latest = fast.put(kept, b"key").version_id
    commit = lifecycle._Walk._commit

    def late(self: Any, proposals: list[Any]) -> None:
        if self._bucket.id == dated.id:
            fast.put(dated, b"key", b"new")
        else:
            fast.store.objects.delete(kept, b"key", second)
        commit(self, proposals)

    monkeypatch.setattr(lifecycle._Walk, "_commit", late)
    report = fast.run()
    assert (report.removed, report.spared) == (0, 2)
    assert [row[1] for row in fast.versions(kept)] == [latest, oldest]
    assert fast.store.objects.get(dated, b"key").inline == b"new"


def test_a_receiver_hears_of_it_and_can_forbid_it(fast: World) -> None:
    bucket = fast.bucket(Versioning.ENABLED)
    fast.rules(bucket, ANY + AFTER_ONE, PREFIX.format("t") + transition(0, "GLACIER_IR"))
    for key in (b"gone", b"kept", b"turned"):
        fast.put(bucket, key)
    heard: list[tuple[str, str]] = []

    def hear(sender: str, event: Event) -> None:
        heard.append((event.name, event.key))

    def forbid(sender: str, event: Event) -> None:
        if event.key == "kept":
            raise Veto("no")

    fast.clock.now += 3 * DAY
    with (
        object_removed.connected_to(hear),
        object_transitioned.connected_to(hear),
        before_object_removed.connected_to(forbid),
    ):
        report = fast.run()
    assert (report.marked, report.transitioned, report.kept) == (1, 1, 1)
    assert sorted(heard) == [
        ("s3:LifecycleExpiration:DeleteMarkerCreated", "gone"),
        ("s3:LifecycleTransition", "turned"),
    ]


def test_its_events_are_written_with_what_they_tell_of(world: World) -> None:
    """For those who may miss none, also where the process dies after the commit."""
    store, heard = world.store, world.events
    bucket = world.bucket(Versioning.ENABLED)

    def hear(sender: str, *, event: Event) -> None:
        heard.append(event)

    store.outbox.subscribe(hear, "s3:Lifecycle*", "s3:ObjectRestore:*", name="hear")
    world.rules(
        bucket, PREFIX.format("t") + transition(1, "GLACIER"), PREFIX.format("e") + AFTER_ONE
    )
    world.put(bucket, b"e/small")
    world.put(bucket, b"t/large", b"x" * 100)
    world.put(bucket, b"t/small")
    world.clock.now += 3 * DAY
    world.run()
    turned = store.objects.get(bucket, b"t/large")
    store.restoring.restore(bucket, turned, 1)
    world.clock.now += 3 * DAY
    world.run()
    store.outbox.deliver()
    told = [(event.name.removeprefix("s3:"), event.key, dict(event.details)) for event in heard]
    class_ = {"transitionEventData": {"destinationStorageClass": "GLACIER"}}
    assert sorted(told, key=lambda each: each[:2]) == [
        ("LifecycleExpiration:DeleteMarkerCreated", "e/small", {}),
        ("LifecycleTransition", "t/large", {"lifecycleEventData": class_}),
        ("LifecycleTransition", "t/small", {"lifecycleEventData": class_}),
        (
            "ObjectRestore:Completed",
            "t/large",
            {
                "glacierEventData": {
                    "restoreEventData": {
                        "lifecycleRestorationExpiryTime": "2024-10-08T00:00:00.000Z",
                        "lifecycleRestoreStorageClass": "GLACIER",
                    }
                }
            },
        ),
        ("ObjectRestore:Delete", "t/large", {}),
        ("ObjectRestore:Post", "t/large", {}),
    ]


def test_what_is_locked_stays_until_its_time_is_over(world: World) -> None:
    bucket = world.store.buckets.create("locked", "owner", object_lock=True)
    world.store.buckets.set_versioning(bucket, Versioning.ENABLED)
    bucket = world.fresh(bucket)
    world.rules(bucket, ANY + replaced(1) + AFTER_ONE)
    until = START + 9 * DAY
    locks = {
        b"compliance": ObjectLock("COMPLIANCE", until),
        b"governance": ObjectLock("GOVERNANCE", until),
        b"held": ObjectLock(legal_hold=True),
        b"free": NO_LOCK,
    }
    for key, lock in locks.items():
        world.store.objects.put(bucket, key, reader(b""), Attributes("owner", lock=lock))
        world.put(bucket, key)
    world.clock.now += 3 * DAY
    for _ in range(2):
        report = world.run()
    assert (report.kept, report.failed) == (3, 0)
    assert len(world.versions(bucket)) == 4 * 3 - 1
    world.clock.now = until + DAY
    # Two that were locked, the four upon them, and the markers that hide nothing then.
    assert world.run().removed == 2 + 4 + 3
    assert [row[0] for row in world.versions(bucket)] == [b"held", b"held"]


def test_what_is_not_replicated_yet_stays(world: World) -> None:
    """Else what could not be copied anywhere would be lost with its only copy."""
    index = world.store.index
    bucket = world.bucket(Versioning.ENABLED)
    world.rules(bucket, ANY + replaced(1) + transition(1, "GLACIER"), ANY + AFTER_ONE)
    for status in ("COMPLETED", "FAILED", "FAILED:CF", "PENDING", "PENDING:CP"):
        for body in (b"old", b"new" * 9):
            world.put(bucket, status.encode(), body)
            seq = world.store.objects.get(bucket, status.encode()).seq
            index.write(lambda c, s=seq, w=status: object_rows.set_replication(c, s, w))  # type: ignore[misc]
    world.clock.now += 3 * DAY
    report = world.run()
    assert (report.removed, report.transitioned, report.failed) == (1, 1, 0)
    rows = world.versions(bucket)
    assert len(rows) == 9
    assert [row[0] for row in rows if row[3] != "STANDARD"] == [b"COMPLETED"]


def test_what_waits_to_be_replicated_since_it_was_seen_is_spared(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = fast.bucket(Versioning.ENABLED)
    fast.rules(bucket, ANY + replaced(1))
    fast.put(bucket, b"key")
    seq = fast.store.objects.get(bucket, b"key").seq
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    commit = lifecycle._Walk._commit

    def late(self: Any, proposals: list[Any]) -> None:
        fast.store.index.write(lambda c: object_rows.set_replication(c, seq, "PENDING"))
        commit(self, proposals)

    monkeypatch.setattr(lifecycle._Walk, "_commit", late)
    report = fast.run()
    assert (report.removed, report.spared) == (0, 1)


def test_nothing_goes_unasked_where_a_rule_is_changed_meanwhile(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was to be moved, which nobody is asked about, and by the new rule it is to go."""
    bucket = fast.bucket()
    fast.rules(bucket, ANY + transition(1, "GLACIER_IR"))
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    commit = lifecycle._Walk._commit

    def late(self: Any, proposals: list[Any]) -> None:
        fast.rules(bucket, ANY + AFTER_ONE)
        commit(self, proposals)

    def forbid(sender: str, event: Event) -> None:
        raise Veto("no")

    monkeypatch.setattr(lifecycle._Walk, "_commit", late)
    with before_object_removed.connected_to(forbid):
        report = fast.run()
    assert (report.removed, report.spared) == (0, 1)
    assert fast.store.objects.get(bucket, b"key").storage_class == "STANDARD"


def test_what_was_replaced_by_something_older_than_itself_has_its_days(fast: World) -> None:
    """By a replica, which has its source's date, or after a clock was set back."""
    bucket = fast.bucket(Versioning.ENABLED)
    fast.rules(bucket, ANY + replaced(30))
    began = fast.clock.now
    fast.clock.now = began + 40 * DAY
    mine = fast.put(bucket, b"key", b"mine").version_id
    fast.clock.now = began
    fast.put(bucket, b"key", b"older")
    fast.clock.now = began + 50 * DAY
    assert fast.run().removed == 0
    assert fast.store.objects.get(bucket, b"key", mine).inline == b"mine"
    fast.clock.now = began + 72 * DAY
    assert fast.run().removed == 1


def test_a_restore_whose_bucket_goes_at_that_moment_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = world.bucket()
    world.put(bucket, b"key", storage_class="GLACIER")
    world.store.restoring.restore(bucket, world.store.objects.get(bucket, b"key"), 1)
    world.clock.now += 9 * DAY
    get = bucket_rows.get

    def late(c: Any, name: str) -> Bucket | None:
        found = get(c, name)
        monkeypatch.undo()
        world.store.objects.delete(bucket, b"key")
        world.store.buckets.delete(bucket)
        return found

    monkeypatch.setattr(bucket_rows, "get", late)
    assert world.store.restoring.archive_again() == 0
    assert world.store.index.read(lambda c: lifecycle_rows.restores_over(c, 2**53, 9)) == []


# Pages, places and neighbours


def test_a_run_that_was_ended_is_gone_on_with_by_another(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = fast.bucket()
    fast.rules(bucket, ANY + AFTER_ONE)
    for number in range(12):
        fast.put(bucket, b"key-%02d" % number)
    fast.clock.now += 3 * DAY
    monkeypatch.setattr(lifecycle, "PAGE", 3)
    stop = threading.Event()
    seen = []

    def advance(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            stop.set()

    report = fast.store.lifecycle.run(stop=stop, advance=advance)
    assert (report.removed, report.buckets) == (6, 0)
    # The next does not look again at where the first has been.
    fast.put(bucket, b"key-99")
    report = fast.run()
    assert (report.removed, report.looked, report.buckets) == (6, 6, 1)
    assert fast.run().looked == 1


def test_a_bucket_that_another_holds_is_left_to_it(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = fast.bucket()
    fast.rules(bucket, ANY + AFTER_ONE)
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    index, name = fast.store.index, f"lifecycle/{bucket.id}"
    now = leases.wall_clock()
    assert index.write(lambda c: leases.take(c, name, "another", now, now + 60_000, 60_000))
    report = fast.run()
    assert (report.held, report.removed) == (1, 0)
    monkeypatch.setattr(leases, "wall_clock", lambda: now + 61_000)
    report = fast.run()
    assert (report.held, report.removed) == (0, 1)
    assert not index.write(lambda c: leases.keep(c, name, "another", now, ""))
    # Done a moment ago: nobody need look again.
    fast.put(bucket, b"key")
    assert fast.store.lifecycle.run(since=now).looked == 0


def test_a_host_clock_that_was_ahead_holds_nobody_up(
    fast: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the lease of one who died then, nor that it was finished then, counts for long."""
    bucket = fast.bucket()
    fast.rules(bucket, ANY + AFTER_ONE)
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    index, name = fast.store.index, f"lifecycle/{bucket.id}"
    now = leases.wall_clock()
    ahead = now + 365 * DAY
    assert index.write(lambda c: leases.take(c, name, "another", ahead, ahead + 60_000, 60_000))
    report = fast.run()
    assert (report.held, report.removed) == (0, 1)
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    monkeypatch.setattr(leases, "wall_clock", lambda: ahead)
    fast.run()
    monkeypatch.undo()
    fast.put(bucket, b"key")
    fast.clock.now += 3 * DAY
    report = fast.store.lifecycle.run(since=now - DAY)
    assert (report.held, report.removed) == (0, 1)


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_bucket_is_held_through_a_long_copy_or_left_to_who_has_taken_it(
    fast: World, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    """Else each of two janitors would throw away what it has copied for the other."""
    bucket = fast.bucket()
    fast.rules(bucket, ANY + transition(1, "GLACIER"))
    fast.put(bucket, b"key", b"x" * 100)
    fast.clock.now += 3 * DAY
    index, name = fast.store.index, f"lifecycle/{bucket.id}"
    began = time.time()
    passed = 0.0
    clock = SimpleNamespace(time=lambda: began + passed, monotonic=lambda: began + passed)
    cold = fast.store.storages["cold"]
    before = {blob for blob, _ in cold.sweep()}
    taken: list[bool] = []

    def slowly(*arguments: Any, stop: threading.Event, **options: Any) -> int:
        nonlocal passed
        passed += 50
        if looked_at:
            assert not stop.is_set()
        passed += 50
        now = int((began + passed) * 1000)
        lease = index.write(lambda c: leases.take(c, name, "another", now, now + 60_000, 60_000))
        taken.append(lease is not None)
        return copy_blob(*arguments, stop=stop, **options)

    monkeypatch.setattr(lifecycle, "time", clock)
    monkeypatch.setattr(leases, "time", clock)
    monkeypatch.setattr(lifecycle, "copy_blob", slowly)
    report = fast.run()
    assert taken == [not looked_at]
    assert (report.transitioned, report.held, report.failed) == (looked_at, not looked_at, 0)
    assert len({blob for blob, _ in cold.sweep()} - before) == looked_at


# Against a model

KEYS = [b"a", b"a", b"a", b"a/b", b"b"]
TAGS = (("t", "1"),)

filters = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from(["", "", "a", "a/", "b"]),
        "tag": st.booleans(),
        "larger": st.sampled_from([None, None, 3]),
        "smaller": st.sampled_from([None, None, 7]),
    }
)
rules = st.fixed_dictionaries(
    {
        "filter": filters,
        "days": st.sampled_from([None, 1, 3, 5]),
        "lone": st.booleans(),
        "classes": st.dictionaries(
            st.sampled_from(["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]),
            st.integers(0, 6),
            max_size=2,
        ),
        "replaced": st.sampled_from([None, 1, 2, 4]),
        "kept": st.sampled_from([0, 0, 1, 2]),
        "replaced_classes": st.dictionaries(
            st.sampled_from(["GLACIER_IR", "GLACIER"]), st.integers(0, 4), max_size=1
        ),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.sampled_from(KEYS), st.sampled_from([0, 5, 9, 12]), st.booleans()
        ),
        st.tuples(st.just("delete"), st.sampled_from(KEYS)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("versioning"), st.sampled_from(["Enabled", "Enabled", "Suspended"])),
    ),
    min_size=4,
    max_size=24,
)
ORDER = ["STANDARD", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]


@dataclass
class Kept:
    """A version in the model."""

    name: str
    modified: int
    size: int = 0
    tagged: bool = False
    marker: bool = False
    storage_class: str = "STANDARD"


def as_xml(rule: dict[str, Any]) -> str:
    wanted = rule["filter"]
    conditions = f"<Prefix>{wanted['prefix']}</Prefix>"
    if wanted["tag"]:
        conditions += "<Tag><Key>t</Key><Value>1</Value></Tag>"
    if wanted["larger"] is not None:
        conditions += f"<ObjectSizeGreaterThan>{wanted['larger']}</ObjectSizeGreaterThan>"
    if wanted["smaller"] is not None:
        conditions += f"<ObjectSizeLessThan>{wanted['smaller']}</ObjectSizeLessThan>"
    text = f"<Filter><And>{conditions}</And></Filter>"
    if rule["days"] is not None:
        text += f"<Expiration><Days>{rule['days']}</Days></Expiration>"
    elif rule["lone"]:
        text += LONE
    for storage_class, days in rule["classes"].items():
        text += transition(days, storage_class)
    if rule["replaced"] is not None:
        text += replaced(rule["replaced"], rule["kept"])
    for storage_class, days in rule["replaced_classes"].items():
        text += (
            f"<NoncurrentVersionTransition><NoncurrentDays>{days}</NoncurrentDays>"
            f"<StorageClass>{storage_class}</StorageClass></NoncurrentVersionTransition>"
        )
    return text


class Model:
    """A key's versions as a list, the newest last, and the rules in plain words."""

    def __init__(self) -> None:
        self.versioning = ""
        self.history: dict[bytes, list[Kept]] = {}
        self.made = 0

    def add(self, key: bytes, kept: Kept) -> None:
        history = self.history.setdefault(key, [])
        if self.versioning == "Enabled":
            self.made += 1
            kept.name = f"v{self.made}"
        else:
            history[:] = [each for each in history if each.name != "null"]
            kept.name = "null"
        history.append(kept)

    def delete(self, key: bytes, now: int) -> None:
        if self.versioning:
            self.add(key, Kept("", now, marker=True))
        else:
            self.history.pop(key, None)

    def run(self, wanted: list[dict[str, Any]], now: int) -> None:
        while any(self.step(key, wanted, now) for key in list(self.history)):
            pass

    def step(self, key: bytes, wanted: list[dict[str, Any]], now: int) -> bool:
        changed = False
        for kept in list(self.history[key]):
            history = self.history[key]
            place = history.index(kept)
            mine = [rule for rule in wanted if self.means(rule["filter"], key, kept)]
            if place == len(history) - 1:
                changed |= self.current(key, kept, mine, now)
            else:
                changed |= self.noncurrent(key, place, mine, now)
            if key not in self.history:
                break
        return changed

    def means(self, wanted: dict[str, Any], key: bytes, kept: Kept) -> bool:
        if not key.startswith(wanted["prefix"].encode()):
            return False
        sized = wanted["larger"] is not None or wanted["smaller"] is not None
        if kept.marker:
            return not (wanted["tag"] or sized)
        return (
            (kept.tagged or not wanted["tag"])
            and (wanted["larger"] is None or kept.size > wanted["larger"])
            and (wanted["smaller"] is None or kept.size < wanted["smaller"])
        )

    def current(self, key: bytes, kept: Kept, mine: list[dict[str, Any]], now: int) -> bool:
        over = any(
            rule["days"] is not None and passed(kept.modified, rule["days"], now) for rule in mine
        )
        history = self.history[key]
        if kept.marker:
            lone = any(rule["lone"] and rule["days"] is None for rule in mine)
            if len(history) == 1 and (over or lone):
                del self.history[key]
                return True
            return False
        if over and not self.versioning:
            del self.history[key]
            return True
        if self.turn(kept, [rule["classes"] for rule in mine], kept.modified, now):
            return True
        if over:
            self.delete(key, now)
            return True
        return False

    def noncurrent(self, key: bytes, place: int, mine: list[dict[str, Any]], now: int) -> bool:
        history = self.history[key]
        kept, since = history[place], history[place + 1].modified
        newer = len(history) - place - 2
        if any(
            rule["replaced"] is not None
            and newer >= rule["kept"]
            and passed(since, rule["replaced"], now)
            for rule in mine
        ):
            del history[place]
            return True
        return self.turn(kept, [rule["replaced_classes"] for rule in mine], since, now)

    def turn(self, kept: Kept, wanted: list[dict[str, int]], since: int, now: int) -> bool:
        if kept.marker:
            return False
        reached = [kept.storage_class] + [
            storage_class
            for classes in wanted
            for storage_class, days in classes.items()
            if passed(since, days, now)
        ]
        coldest = max(reached, key=ORDER.index)
        changed = coldest != kept.storage_class
        kept.storage_class = coldest
        return changed


def passed(since: int, days: int, now: int) -> bool:
    midnight = since + days * DAY
    while midnight % DAY:
        midnight += DAY - midnight % DAY
    return midnight <= now


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    life=steps, wanted=st.lists(rules, min_size=1, max_size=3), page=st.sampled_from([2, 3, 500])
)
def test_a_run_does_what_a_plain_reading_of_the_rules_says(
    fast: World, life: list[Any], wanted: list[dict[str, Any]], page: int
) -> None:
    world, model = fast, Model()
    bucket = world.bucket()
    try:
        for step in life:
            if step[0] == "put":
                _, key, size, tagged = step
                world.put(bucket, key, b"x" * size, TAGS if tagged else ())
                model.add(key, Kept("", world.clock.now, size, tagged))
            elif step[0] == "delete":
                world.store.objects.delete(bucket, step[1])
                model.delete(step[1], world.clock.now)
            elif step[0] == "wait":
                world.clock.now += step[1] * DAY // 9
            else:
                world.store.buckets.set_versioning(bucket, Versioning(step[1]))
                bucket = world.fresh(bucket)
                model.versioning = step[1]
        world.rules(bucket, *(as_xml(rule) for rule in wanted))
        before = lifecycle.PAGE
        lifecycle.PAGE = page
        try:
            for _ in range(10):
                report = world.run()
                if not report.removed + report.marked + report.transitioned:
                    break
            else:
                raise AssertionError("it never comes to an end")
        finally:
            lifecycle.PAGE = before
        assert (report.failed, report.kept) == (0, 0)
        model.run(wanted, world.clock.now)
        assert [
            (key, version_id == "null", marker, storage_class)
            for key, version_id, marker, storage_class in world.versions(bucket)
        ] == [
            (key, kept.name == "null", kept.marker, "" if kept.marker else kept.storage_class)
            for key in sorted(model.history)
            for kept in reversed(model.history[key])
        ]
    finally:
        world.store.buckets.delete_setting(bucket, "lifecycle")
