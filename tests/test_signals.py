"""Signals through the whole app: every entry path, vetoes, failing receivers."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blinker import Signal

from s3kit import signals
from s3kit.app import S3App
from s3kit.blobs.base import is_blob_id
from s3kit.signals import Event
from s3kit.signals import Veto
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.operations.test_posting import Forms

BIG = b"b" * 200_000

AFTER = [
    signals.bucket_created,
    signals.bucket_removed,
    signals.object_created,
    signals.object_removed,
    signals.object_tagged,
    signals.object_acl_changed,
    signals.object_retention_changed,
    signals.object_legal_hold_changed,
]
BEFORE = [
    signals.before_bucket_created,
    signals.before_bucket_removed,
    signals.before_object_created,
    signals.before_object_removed,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[S3App]:
    made = make_app("file", folder)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_receiver_stays() -> Iterator[None]:
    chosen = (*AFTER, *BEFORE)
    # Those of other tests in this process may go at any moment, but nothing comes.
    before = [set(signal.receivers) for signal in chosen]
    yield
    after = [set(signal.receivers) for signal in chosen]
    assert [new - old for new, old in zip(after, before, strict=True)] == [set()] * len(chosen)


@pytest.fixture
def s3(app: S3App) -> Client:
    return Client(app, OWNER)


@pytest.fixture
def bucket(s3: Client) -> str:
    path = f"/{fresh_name('heard')}"
    assert s3.put(path).status == 200
    return path


@contextmanager
def hearing(*wanted: Signal, sender: Any = None) -> Iterator[list[Event]]:
    """The events that these signals (all of them by default) send."""
    heard: list[Event] = []

    def receive(sender: str, event: Event) -> None:
        assert sender == event.bucket
        heard.append(event)

    chosen = wanted or tuple(AFTER)
    for signal in chosen:
        if sender is None:
            signal.connect(receive)
        else:
            signal.connect(receive, sender=sender)
    try:
        yield heard
    finally:
        for signal in chosen:
            signal.disconnect(receive)


def tell(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.key) for event in events]


def blobs(folder: Path) -> set[str]:
    """The blobs that lie on the storages now."""
    return {
        str(path)
        for storage in ("near", "far")
        for path in (folder / storage).rglob("*")
        if path.is_file() and is_blob_id(path.name)
    }


def delete_many(s3: Client, bucket: str, *keys: str) -> Answer:
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    body = f"<Delete>{objects}</Delete>".encode()
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return s3.post(bucket, body, "delete", Content_MD5=base64.b64encode(digest).decode())


def complete(s3: Client, path: str, data: bytes = b"part") -> Callable[[], Answer]:
    """An upload of one part that waits to be completed."""
    upload = s3.post(path, query="uploads").text("UploadId")
    etag = s3.put(path, data, f"partNumber=1&uploadId={upload}").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    return lambda: s3.post(path, body, f"uploadId={upload}")


TAGGING = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"

# -- after the commit


def test_buckets(s3: Client) -> None:
    name = fresh_name("heard")
    with hearing() as heard:
        assert s3.put(f"/{name}").status == 200
        assert s3.put(f"/{name}").status == 200
        assert s3.delete(f"/{name}").status == 204
        assert s3.delete(f"/{name}").status == 404
    assert [(event.name, event.bucket) for event in heard] == [
        ("s3:BucketCreated", name),
        ("s3:BucketRemoved", name),
    ]
    for event in heard:
        assert event.account == OWNER_ID
        assert event.caller.account_id == OWNER_ID
        assert event.request_id


def test_put(s3: Client, bucket: str) -> None:
    with hearing() as heard:
        answer = s3.put(f"{bucket}/a%20b", b"data", x_amz_meta_a="1")
    (event,) = heard
    assert event.name == "s3:ObjectCreated:Put"
    assert (event.bucket, event.key) == (bucket[1:], "a b")
    assert (event.size, f'"{event.etag}"') == (4, answer.headers["etag"])
    assert event.metadata["x-amz-meta-a"] == "1"
    assert event.version_id == "null"
    assert event.caller.access_key == OWNER.access_key
    assert event.account == OWNER_ID
    assert event.request_id == answer.headers["x-amz-request-id"]
    assert abs(event.time / 1000 - time.time()) < 60


def test_post(app: S3App, bucket: str) -> None:
    with hearing() as heard:
        assert Forms(app, "", bucket).post().status == 204
    assert tell(heard) == [("s3:ObjectCreated:Post", "k")]
    assert heard[0].caller.access_key == OWNER.access_key


@pytest.mark.parametrize("data", [b"small", BIG], ids=["inline", "blob"])
def test_copy(s3: Client, bucket: str, data: bytes) -> None:
    far = f"/{fresh_name('far')}"
    s3.put(far)
    s3.put(f"{bucket}/k", data)
    with hearing() as heard:
        s3.put(f"{bucket}/k2", x_amz_copy_source=f"{bucket}/k")
        s3.put(f"{far}/k3", x_amz_copy_source=f"{bucket}/k")
        s3.put(f"{bucket}/k2", x_amz_copy_source=f"{bucket}/k")
    assert tell(heard) == [
        ("s3:ObjectCreated:Copy", "k2"),
        ("s3:ObjectCreated:Copy", "k3"),
        ("s3:ObjectCreated:Copy", "k2"),
    ]
    assert [event.replaced for event in heard] == [False, False, True]
    assert {event.size for event in heard} == {len(data)}


def test_complete(s3: Client, bucket: str) -> None:
    finish = complete(s3, f"{bucket}/k")
    with hearing() as heard:
        assert finish().status == 200
        # Told once, however often the client asks.
        assert finish().status == 200
    assert tell(heard) == [("s3:ObjectCreated:CompleteMultipartUpload", "k")]
    assert heard[0].size == 4
    assert heard[0].etag.endswith("-1")


def test_the_steps_of_an_upload_are_no_events(s3: Client, bucket: str) -> None:
    with hearing() as heard:
        complete(s3, f"{bucket}/k")
        upload = s3.post(f"{bucket}/k", query="uploads").text("UploadId")
        s3.delete(f"{bucket}/k", f"uploadId={upload}")
    assert heard == []


def test_delete(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"data")
    s3.put(f"{bucket}/k2", b"data")
    with hearing() as heard:
        s3.delete(f"{bucket}/k")
        s3.delete(f"{bucket}/k")
        s3.delete(f"{bucket}/k2", "versionId=null")
        s3.delete(f"{bucket}/never")
    assert tell(heard) == [("s3:ObjectRemoved:Delete", "k"), ("s3:ObjectRemoved:Delete", "k2")]


def test_multi_delete(s3: Client, bucket: str) -> None:
    for key in ("b", "a"):
        s3.put(f"{bucket}/{key}", b"data")
    with hearing() as heard:
        delete_many(s3, bucket, "b", "never", "a")
    assert tell(heard) == [("s3:ObjectRemoved:Delete", "b"), ("s3:ObjectRemoved:Delete", "a")]


def test_tagging(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"data")
    with hearing() as heard:
        s3.put(f"{bucket}/k", TAGGING, "tagging")
        s3.delete(f"{bucket}/k", "tagging")
        s3.put(f"{bucket}/k", b"<Tagging><TagSet/></Tagging>", "tagging")
        s3.get(f"{bucket}/k", "tagging")
    assert [event.name for event in heard][:2] == [
        "s3:ObjectTagging:Put",
        "s3:ObjectTagging:Delete",
    ]
    assert len(heard) == 3


def test_acl(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"data")
    with hearing() as heard:
        s3.put(f"{bucket}/k", query="acl", x_amz_acl="public-read")
        s3.put(bucket, query="acl", x_amz_acl="private")
    assert tell(heard) == [("s3:ObjectAcl:Put", "k")]


def test_python_callers_are_heard_too(app: S3App, bucket: str) -> None:
    store = app.store
    with hearing() as heard:
        there = store.buckets.get(bucket[1:])
        store.buckets.create("made-in-python", OWNER_ID)
        store.buckets.delete(store.buckets.get("made-in-python"))
        assert store.objects.find(there, b"k") is None
    assert [event.name for event in heard] == ["s3:BucketCreated", "s3:BucketRemoved"]
    assert heard[0].caller.anonymous


@pytest.mark.parametrize("data", [b"small", BIG], ids=["inline", "blob"])
def test_replaced_tells_an_overwrite(s3: Client, bucket: str, data: bytes) -> None:
    path = f"{bucket}/k"
    finish = complete(s3, path)
    with hearing(signals.object_created) as heard:
        s3.put(path, data)
        s3.put(path, data)
        finish()
        s3.delete(path)
        s3.put(path, data)
    assert [event.replaced for event in heard] == [False, True, True, False]


def test_reads_and_refusals_are_no_events(app: S3App, s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"data")
    with hearing(*AFTER, *BEFORE) as heard:
        s3.get(f"{bucket}/k")
        s3.head(f"{bucket}/k")
        s3.get(bucket)
        Client(app, None).put(f"{bucket}/k", b"evil")
        Client(app, None).delete(f"{bucket}/k")
        s3.put(f"{bucket}/k", b"x", If_None_Match="*")
        s3.put(f"{bucket}/k", b"x", x_amz_checksum_crc32="AAAAAA==")
        s3.delete(bucket)
    assert tell(heard) == [("s3:BucketRemoved", "")]
    # Somebody was asked about the bucket; that it was not empty showed later.


def test_one_bucket_or_all(s3: Client, bucket: str) -> None:
    second = f"/{fresh_name('heard')}"
    s3.put(second)
    with hearing(signals.object_created, sender=bucket[1:]) as one:
        with hearing(signals.object_created) as everything:
            s3.put(f"{bucket}/k", b"1")
            s3.put(f"{second}/k", b"2")
    assert [event.bucket for event in one] == [bucket[1:]]
    assert [event.bucket for event in everything] == [bucket[1:], second[1:]]


def test_what_is_heard_is_there_already(s3: Client, bucket: str) -> None:
    seen: list[Any] = []

    def look(sender: str, event: Event) -> None:
        seen.append(s3.head(f"/{event.bucket}/{event.key}").status)

    with signals.object_created.connected_to(look):
        s3.put(f"{bucket}/k", b"data")
    with signals.object_removed.connected_to(look):
        s3.delete(f"{bucket}/k")
    assert seen == [200, 404]


def test_a_failing_receiver_is_logged_and_changes_nothing(
    s3: Client, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sender: str, event: Event) -> None:
        raise RuntimeError("broken receiver")

    name = fresh_name("heard")
    finish = complete(s3, f"{bucket}/parts")
    for signal in AFTER:
        signal.connect(fail)
    try:
        with caplog.at_level(logging.ERROR, "s3kit.signals"), hearing() as heard:
            assert s3.put(f"/{name}").status == 200
            assert s3.put(f"{bucket}/k", b"data").status == 200
            assert s3.put(f"{bucket}/k2", x_amz_copy_source=f"{bucket}/k").status == 200
            assert finish().status == 200
            assert s3.put(f"{bucket}/k", TAGGING, "tagging").status == 200
            assert s3.put(f"{bucket}/k", query="acl", x_amz_acl="private").status == 200
            assert s3.delete(f"{bucket}/k").status == 204
            assert delete_many(s3, bucket, "k2").status == 200
            assert s3.delete(f"/{name}").status == 204
    finally:
        for signal in AFTER:
            signal.disconnect(fail)
    # The others still hear it.
    assert len(heard) == 9
    assert len(caplog.records) == 9
    assert all(record.exc_info for record in caplog.records)
    assert "broken receiver" in caplog.text


# -- before


@contextmanager
def refusing(signal: Signal, failure: Exception, sender: Any = None) -> Iterator[list[Event]]:
    asked: list[Event] = []

    def refuse(sender: str, event: Event) -> None:
        asked.append(event)
        raise failure

    if sender is None:
        signal.connect(refuse)
    else:
        signal.connect(refuse, sender=sender)
    try:
        yield asked
    finally:
        signal.disconnect(refuse)


WRITES = ["put", "put-big", "post", "copy", "copy-far", "complete"]
FAILURES = [
    pytest.param(Veto("no cats here"), 403, "AccessDenied", id="veto"),
    pytest.param(RuntimeError("broken"), 500, "InternalError", id="other"),
]


@pytest.mark.parametrize(("failure", "status", "code"), FAILURES)
@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "overwrite"])
def test_a_refused_object_is_not_stored_in_any_way(
    app: S3App,
    folder: Path,
    s3: Client,
    bucket: str,
    way: str,
    failure: Exception,
    status: int,
    code: str,
    existing: bool,
) -> None:
    far = f"/{fresh_name('far')}"
    s3.put(far)
    s3.put(f"{far}/source", BIG)
    path = f"{bucket}/k"
    if existing:
        s3.put(path, b"before")
    finish = complete(s3, path, BIG)
    ways: dict[str, Callable[[], Answer]] = {
        "put": lambda: s3.put(path, b"data"),
        "put-big": lambda: s3.put(path, BIG),
        "post": lambda: Forms(app, "", bucket).post(file=BIG),
        "copy": lambda: s3.put(f"{far}/k", x_amz_copy_source=f"{far}/source"),
        "copy-far": lambda: s3.put(path, x_amz_copy_source=f"{far}/source"),
        "complete": finish,
    }
    target = f"{far}/k" if way == "copy" else path
    before = blobs(folder)
    with refusing(signals.before_object_created, failure) as asked, hearing() as heard:
        answer = ways[way]()
        assert (answer.status, answer.code) == (status, code)
    assert len(asked) == 1
    assert asked[0].size == {"put": 4, "post": len(BIG)}.get(way, len(BIG))
    assert asked[0].etag
    assert heard == []
    if status == 403:
        assert answer.text("Message") == "no cats here"
    else:
        # Why it failed is the log's business.
        assert b"broken" not in answer.body
    assert blobs(folder) == before
    if existing and way != "copy":
        assert s3.get(target).body == b"before"
    else:
        assert s3.head(target).status == 404
    # The twin: unrefused, the same request passes.
    assert ways[way]().status in (200, 204)
    assert s3.head(target).status == 200


@pytest.mark.parametrize(("failure", "status", "code"), FAILURES)
def test_a_refused_removal_leaves_the_object(
    s3: Client, bucket: str, failure: Exception, status: int, code: str
) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"data")
    with refusing(signals.before_object_removed, failure), hearing() as heard:
        for query in ("", "versionId=null"):
            answer = s3.delete(path, query)
            assert (answer.status, answer.code) == (status, code)
        # What is not there is asked about nobody.
        assert s3.delete(f"{bucket}/never").status == 204
    assert heard == []
    assert s3.get(path).body == b"data"
    assert s3.delete(path).status == 204


def test_a_veto_in_a_multi_delete_is_about_its_own_key(s3: Client, bucket: str) -> None:
    for key in ("a", "b", "c"):
        s3.put(f"{bucket}/{key}", b"data")

    def keep_b(sender: str, event: Event) -> None:
        if event.key == "b":
            raise Veto("b stays")

    with signals.before_object_removed.connected_to(keep_b), hearing() as heard:
        answer = delete_many(s3, bucket, "a", "b", "c")
    assert answer.texts("Deleted/Key") == ["a", "c"]
    assert answer.texts("Error/Key") == ["b"]
    assert answer.texts("Error/Code") == ["AccessDenied"]
    assert answer.texts("Error/Message") == ["b stays"]
    assert [event.key for event in heard] == ["a", "c"]
    assert s3.get(bucket).texts("Contents/Key") == ["b"]


@pytest.mark.parametrize(("failure", "status", "code"), FAILURES)
def test_a_refused_bucket_is_neither_made_nor_removed(
    s3: Client, bucket: str, failure: Exception, status: int, code: str
) -> None:
    name = f"/{fresh_name('refused')}"
    with refusing(signals.before_bucket_created, failure), hearing() as heard:
        answer = s3.put(name)
        assert (answer.status, answer.code) == (status, code)
    assert s3.head(name).status == 404
    with refusing(signals.before_bucket_removed, failure):
        answer = s3.delete(bucket)
        assert (answer.status, answer.code) == (status, code)
    assert heard == []
    assert s3.head(bucket).status == 200
    assert s3.put(name).status == 200
    assert s3.delete(bucket).status == 204


def test_a_veto_for_one_bucket_leaves_the_others_alone(s3: Client, bucket: str) -> None:
    second = f"/{fresh_name('heard')}"
    s3.put(second)
    with refusing(signals.before_object_created, Veto(), sender=bucket[1:]):
        answer = s3.put(f"{bucket}/k", b"x")
        assert (answer.status, answer.text("Message")) == (403, "Access Denied")
        assert s3.put(f"{second}/k", b"x").status == 200


def test_a_receiver_is_asked_only_about_verified_bodies(s3: Client, bucket: str) -> None:
    with hearing(signals.before_object_created) as asked:
        assert s3.put(f"{bucket}/k", b"data", x_amz_checksum_crc32="AAAAAA==").status == 400
        assert s3.put(f"{bucket}/k", b"data").status == 200
    assert tell(asked) == [("s3:ObjectCreated:Put", "k")]


# -- versions


@pytest.fixture
def versioned(s3: Client, bucket: str) -> str:
    document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert s3.put(bucket, document, "versioning").status == 200
    return bucket


def test_events_name_their_version(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    with hearing() as heard:
        ids = [s3.put(path, b"data").headers["x-amz-version-id"] for _ in range(2)]
        marker = s3.delete(path).headers["x-amz-version-id"]
        s3.delete(path, f"versionId={ids[0]}")
        s3.delete(path, f"versionId={marker}")
        s3.delete(path, "versionId=unknown")
    assert [(e.name, e.version_id, e.delete_marker, e.replaced) for e in heard] == [
        ("s3:ObjectCreated:Put", ids[0], False, False),
        ("s3:ObjectCreated:Put", ids[1], False, True),
        ("s3:ObjectRemoved:DeleteMarkerCreated", marker, True, False),
        ("s3:ObjectRemoved:Delete", ids[0], False, False),
        ("s3:ObjectRemoved:Delete", marker, True, False),
    ]


def test_a_veto_keeps_a_marker_away_and_a_version_alive(s3: Client, versioned: str) -> None:
    path = f"{versioned}/k"
    version = s3.put(path, b"data").headers["x-amz-version-id"]
    asked: list[Event] = []

    def keep(sender: str, event: Event) -> None:
        asked.append(event)
        raise Veto("kept")

    signals.before_object_removed.connect(keep)
    try:
        for query in ("", f"versionId={version}"):
            assert s3.delete(path, query).code == "AccessDenied"
        assert s3.delete(f"{versioned}/never").code == "AccessDenied"
        assert s3.delete(path, "versionId=unknown").status == 204
    finally:
        signals.before_object_removed.disconnect(keep)
    assert [(event.name, event.version_id, event.size) for event in asked] == [
        ("s3:ObjectRemoved:DeleteMarkerCreated", version, 4),
        ("s3:ObjectRemoved:Delete", version, 4),
        ("s3:ObjectRemoved:DeleteMarkerCreated", "null", 0),
    ]
    assert s3.get(path).body == b"data"
    assert len(s3.get(versioned, "versions").texts("DeleteMarker")) == 0
