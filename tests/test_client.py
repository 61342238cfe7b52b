"""The client in this process: what it stores and refuses is what a request would have."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import s3kit
from s3kit import S3App
from s3kit.auth.access import BucketAccess
from s3kit.errors import AccessDenied
from s3kit.errors import BadDigest
from s3kit.errors import BucketAlreadyExists
from s3kit.errors import BucketNotEmpty
from s3kit.errors import EntityTooLarge
from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidBucketName
from s3kit.errors import InvalidRange
from s3kit.errors import InvalidRequest
from s3kit.errors import InvalidStorageClass
from s3kit.errors import InvalidTag
from s3kit.errors import KeyTooLongError
from s3kit.errors import MetadataTooLarge
from s3kit.errors import NoSuchBucket
from s3kit.errors import NoSuchKey
from s3kit.errors import NotImplemented as NotImplementedByS3
from s3kit.errors import PreconditionFailed
from s3kit.model import Account
from s3kit.model import Checksum
from s3kit.model import Decision
from s3kit.model import Question
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import bucket_created
from s3kit.signals import object_created
from s3kit.signals import object_removed
from tests.client import Client as Requests
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["memory", "file"])
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3App]:
    made = make_app(request.param, tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> s3kit.Client:
    return app.client(OWNER_ID)


@pytest.fixture
def other(app: S3App) -> s3kit.Client:
    return app.client(OTHER_ID)


@pytest.fixture
def requests(app: S3App) -> Requests:
    """The same account, over WSGI."""
    return Requests(app, OWNER)


@pytest.fixture
def bucket(s3: s3kit.Client) -> str:
    name = fresh_name()
    s3.create_bucket(name)
    return name


class Heard:
    """Keeps the events of a signal."""

    def __init__(self, *signals: Any) -> None:
        self.signals = signals
        self.events: list[Event] = []

    def __call__(self, bucket: str, *, event: Event) -> None:
        self.events.append(event)

    def __enter__(self) -> list[Event]:
        for signal in self.signals:
            signal.connect(self)
        return self.events

    def __exit__(self, *_: object) -> None:
        for signal in self.signals:
            signal.disconnect(self)


# -- what goes in comes out, whoever asks


@pytest.mark.parametrize("size", [0, 5, 65536, 65537, 3 * MIB + 1])
def test_bytes_come_back_whole_in_process_and_over_http(
    s3: s3kit.Client, requests: Requests, bucket: str, size: int
) -> None:
    data = os.urandom(size)
    info = s3.put(bucket, "a//b/../c d%2F", data)
    assert (info.size, info.etag) == (size, hashlib.md5(data).hexdigest())
    assert s3.get(bucket, "a//b/../c d%2F") == data
    answer = requests.get(f"/{bucket}/a//b/../c%20d%252F")
    assert answer.body == data
    assert answer.headers["etag"] == f'"{info.etag}"'


def test_data_may_be_text_a_path_a_file_a_memoryview_or_blocks(
    s3: s3kit.Client, bucket: str, tmp_path: Path
) -> None:
    data = "grüße".encode() * 50_000
    path = tmp_path / "data"
    path.write_bytes(data)

    class NoSeek:
        def __init__(self) -> None:
            self.file = path.open("rb")

        def read(self, size: int) -> bytes:
            return self.file.read(min(size, 1000))

    source = NoSeek()
    with path.open("rb") as file:
        for each in (
            data.decode(),
            path,
            file,
            bytearray(data),
            memoryview(data),
            source,
            (data[at : at + 7000] for at in range(0, len(data), 7000)),
            [b"", data[:9], b"", data[9:]],
        ):
            s3.put(bucket, "key", each)
            assert s3.get(bucket, "key") == data
        assert not file.closed
    source.file.close()


def test_an_open_file_is_stored_from_where_it_stands(s3: s3kit.Client, bucket: str) -> None:
    file = io.BytesIO(b"skipped, kept")
    file.seek(9)
    assert s3.put(bucket, "key", file).size == 4
    assert s3.get(bucket, "key") == b"kept"


def test_a_file_of_text_is_refused_with_the_way_to_mend_it(
    s3: s3kit.Client, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("text")
    with (tmp_path / "text").open() as file, pytest.raises(TypeError, match="as binary"):
        s3.put(bucket, "key", file)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bytes, not str"):
        s3.put(bucket, "key", iter(["text"]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not <class 'int'>"):
        s3.put(bucket, "key", 5)  # type: ignore[arg-type]
    assert not s3.exists(bucket, "key")


def test_what_the_data_itself_raises_passes_through_and_nothing_is_stored(
    s3: s3kit.Client, bucket: str
) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        s3.put(bucket, "key", blocks())
    assert not s3.exists(bucket, "key")


def test_a_file_that_shrinks_meanwhile_is_not_stored(s3: s3kit.Client, bucket: str) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b""

    with pytest.raises(IncompleteBody):
        s3.put(bucket, "key", Shrinking(b"x" * 10))
    with pytest.raises(IncompleteBody):
        s3.put(bucket, "key", Shrinking(b"x" * 100_000))
    assert not s3.exists(bucket, "key")


def test_of_a_file_that_grows_meanwhile_what_was_there_is_stored(
    s3: s3kit.Client, bucket: str
) -> None:
    class Growing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b"x" * (size or 0)

    for size in (10, 100_000):
        assert s3.put(bucket, "key", Growing(bytes(size))).size == size
        assert s3.get(bucket, "key") == b"x" * size


def test_writes_and_not_reads_set_the_janitor_to_work(
    s3: s3kit.Client, app: S3App, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nudged: list[bool] = []
    monkeypatch.setattr(type(app.store.janitor), "nudge", lambda janitor: nudged.append(True))
    s3.put(bucket, "key", b"x")
    s3.delete(bucket, "key")
    assert len(nudged) == 2
    s3.exists(bucket, "key")
    assert len(nudged) == 2


def test_headers_metadata_and_tags_are_those_that_a_request_would_show(
    s3: s3kit.Client, requests: Requests, bucket: str
) -> None:
    s3.put(
        bucket,
        "key",
        b"x",
        content_type="text/plain",
        cache_control="no-cache",
        content_disposition="inline",
        content_encoding="gzip",
        content_language="de",
        expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        metadata={"Some_Name": "grün und blau", "a-b": "1"},
        tags={"kind": "a b", "größe": "ß=1"},
        storage_class="STANDARD_IA",
    )
    headers = requests.get(f"/{bucket}/key").headers
    assert headers["content-type"] == "text/plain"
    assert headers["cache-control"] == "no-cache"
    assert headers["content-disposition"] == "inline"
    assert headers["content-encoding"] == "gzip"
    assert headers["content-language"] == "de"
    assert headers["expires"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert headers["x-amz-meta-a-b"] == "1"
    assert headers["x-amz-meta-some_name"].startswith("=?UTF-8?")
    assert headers["x-amz-tagging-count"] == "2"
    info = s3.head(bucket, "key")
    assert info.metadata == {"some_name": "grün und blau", "a-b": "1"}
    assert info.headers["cache-control"] == "no-cache"
    assert (info.content_type, info.storage_class) == ("text/plain", "STANDARD_IA")
    assert (info.owner, info.version_id) == (OWNER_ID, "null")
    assert abs((datetime.now(UTC) - info.modified).total_seconds()) < 60
    assert s3.tags(bucket, "key") == {"kind": "a b", "größe": "ß=1"}


def test_nothing_said_is_stored_as_a_request_without_headers_is(
    s3: s3kit.Client, requests: Requests, bucket: str
) -> None:
    s3.put(bucket, "by-client", b"x")
    requests.put(f"/{bucket}/by-request", b"x")
    ours, theirs = s3.head(bucket, "by-client"), s3.head(bucket, "by-request")
    assert ours.content_type == "binary/octet-stream"
    assert ours.checksum is not None
    for name in ("content_type", "metadata", "headers", "storage_class", "owner", "checksum"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"metadata": {"a": "x" * 3000}}, MetadataTooLarge),
        ({"metadata": {"a": "line\r\nX-Injected: 1"}}, InvalidArgument),
        ({"metadata": {"a b": "1"}}, InvalidArgument),
        ({"metadata": {"a_b": "1", "a-b": "2"}}, InvalidArgument),
        ({"content_type": "text/plain\r\nX: 1"}, InvalidArgument),
        ({"content_type": "→"}, InvalidArgument),
        ({"tags": {"aws:x": "1"}}, InvalidTag),
        ({"tags": {str(number): "" for number in range(11)}}, s3kit.errors.BadRequest),
        ({"storage_class": "WARM"}, InvalidStorageClass),
        ({"acl": "for-friends"}, InvalidArgument),
        ({"if_match": "a", "if_none_match": "*"}, NotImplementedByS3),
        ({"content_md5": bytes(16)}, BadDigest),
        ({"content_md5": bytes(3)}, s3kit.errors.InvalidDigest),
        ({"checksum": Checksum("CRC32", "AAAAAA==")}, BadDigest),
        ({"checksum": Checksum("CRC32", "AA==")}, InvalidRequest),
    ],
)
def test_what_a_request_may_not_say_the_client_may_not_either(
    s3: s3kit.Client, bucket: str, settings: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        s3.put(bucket, "key", b"data", **settings)
    assert not s3.exists(bucket, "key")


def test_an_argument_that_nobody_knows_is_no_silent_loss(s3: s3kit.Client, bucket: str) -> None:
    with pytest.raises(TypeError, match="content_typ'"):
        s3.put(bucket, "key", b"", content_typ="text/plain")  # type: ignore[call-arg]


def test_a_checksum_that_is_right_is_kept_with_the_object(s3: s3kit.Client, bucket: str) -> None:
    digest = hashlib.sha256(b"data").digest()
    value = base64.b64encode(digest).decode()
    md5 = hashlib.md5(b"data").digest()
    s3.put(bucket, "key", b"data", checksum=Checksum("SHA256", value), content_md5=md5)
    assert s3.head(bucket, "key").checksum == Checksum("SHA256", value)


@pytest.mark.parametrize("key", ["", "k" * 1025, "\udcff"])
def test_what_can_be_no_key_is_refused(s3: s3kit.Client, bucket: str, key: str) -> None:
    with pytest.raises((InvalidArgument, KeyTooLongError, s3kit.errors.InvalidURI)):
        s3.put(bucket, key, b"")


# -- reading


def test_a_range_of_bytes_is_what_a_slice_would_be(s3: s3kit.Client, bucket: str) -> None:
    data = bytes(range(256)) * 512
    s3.put(bucket, "key", data)
    assert s3.get(bucket, "key", start=10, end=20) == data[10:20]
    assert s3.get(bucket, "key", start=100_000) == data[100_000:]
    assert s3.get(bucket, "key", end=3) == data[:3]
    assert s3.get(bucket, "key", start=5, end=10**9) == data[5:]
    assert s3.get(bucket, "key", start=5, end=5) == b""
    with pytest.raises(InvalidRange):
        s3.get(bucket, "key", start=len(data))


def test_an_open_object_is_a_file_that_reads_lines_and_seeks(s3: s3kit.Client, bucket: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("noise", os.urandom(2 * MIB))
        archive.writestr("table.csv", "a,b\n1,2\n")
    s3.put(bucket, "key", packed.getvalue(), content_type="application/zip")
    with s3.open(bucket, "key") as stream:
        assert stream.info.content_type == "application/zip"
        assert stream.info.size == len(packed.getvalue())
        with zipfile.ZipFile(stream) as archive, archive.open("table.csv") as table:
            assert list(csv.reader(io.TextIOWrapper(table))) == [["a", "b"], ["1", "2"]]
        stream.seek(-10, os.SEEK_END)
        assert stream.read() == packed.getvalue()[-10:]
        assert stream.read() == b""
        stream.seek(MIB)
        assert stream.read(7) == packed.getvalue()[MIB : MIB + 7]
        assert stream.tell() == MIB + 7
        stream.seek(10**9)
        assert stream.read(1) == b""
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_an_object_made_of_parts_is_read_and_sought_across_them(
    s3: s3kit.Client, requests: Requests, bucket: str
) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(70_000)]
    started = requests.post(f"/{bucket}/key", query="uploads")
    upload = started.text("UploadId")
    listed = ""
    for number, part in enumerate(parts, 1):
        answer = requests.put(f"/{bucket}/key", part, f"partNumber={number}&uploadId={upload}")
        etag = answer.headers["etag"]
        listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert requests.post(f"/{bucket}/key", document, f"uploadId={upload}").status == 200
    data = b"".join(parts)
    assert s3.get(bucket, "key") == data
    with s3.open(bucket, "key") as stream:
        stream.seek(5 * MIB - 3)
        assert stream.read(6) == data[5 * MIB - 3 : 5 * MIB + 3]
        s3.put(bucket, "key", b"another")
        with pytest.raises(PreconditionFailed, match="replaced while"):
            stream.seek(0)
            stream.read(1)


def test_what_is_open_ends_as_it_began_though_it_is_overwritten(
    s3: s3kit.Client, bucket: str
) -> None:
    for size in (10, 3 * MIB):
        data = os.urandom(size)
        s3.put(bucket, "key", data)
        with s3.open(bucket, "key") as stream:
            first = stream.read(1)
            s3.put(bucket, "key", b"another")
            assert first + stream.read() == data
            stream.seek(1)
            assert stream.read() == data[1:]


def test_reading_may_hang_on_an_etag(s3: s3kit.Client, bucket: str) -> None:
    info = s3.put(bucket, "key", b"one")
    assert s3.get(bucket, "key", if_match=info.etag) == b"one"
    s3.put(bucket, "key", b"two")
    for read in (s3.get, s3.open):
        with pytest.raises(PreconditionFailed):
            read(bucket, "key", if_match=info.etag)
    assert s3.get(bucket, "key", version_id="null") == b"two"
    with pytest.raises(s3kit.errors.NoSuchVersion):
        s3.get(bucket, "key", version_id="v1")


def test_a_big_file_goes_in_and_out_in_constant_memory(tmp_path: Path) -> None:
    app = make_app("file", tmp_path)
    s3 = app.client(OWNER_ID)
    s3.create_bucket("big")
    size = 96 * MIB
    block = os.urandom(MIB)

    def blocks() -> Iterator[bytes]:
        for _ in range(96):
            yield block

    tracemalloc.start()
    try:
        assert s3.put("big", "key", blocks()).size == size
        with s3.open("big", "key") as stream:
            copied = s3.put("big", "again", stream)
        assert copied.size == size
        with s3.open("big", "again") as stream:
            count = 0
            while piece := stream.read(MIB):
                assert piece == block
                count += len(piece)
        assert count == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        app.close()
    assert peak < 24 * MIB


# -- conditions, limits, access


def test_writes_may_hang_on_what_is_there(s3: s3kit.Client, bucket: str) -> None:
    """CS-03 and its kind: a lock file that only one writer gets."""
    info = s3.put(bucket, "lock", b"mine", if_none_match="*")
    with pytest.raises(PreconditionFailed):
        s3.put(bucket, "lock", b"yours", if_none_match="*")
    with pytest.raises(PreconditionFailed):
        s3.put(bucket, "lock", b"yours", if_match="0" * 32)
    assert s3.get(bucket, "lock") == b"mine"
    changed = s3.put(bucket, "lock", b"still mine", if_match=info.etag)
    with pytest.raises(PreconditionFailed):
        s3.delete(bucket, "lock", if_match=info.etag)
    s3.delete(bucket, "lock", if_match=changed.etag)
    assert not s3.exists(bucket, "lock")


def test_more_than_one_put_may_hold_is_refused_clearly(tmp_path: Path) -> None:
    app = make_app("memory", tmp_path, max_object_size=1000)
    s3 = app.client(OWNER_ID)
    s3.create_bucket("small")
    assert s3.put("small", "key", b"x" * 1000).size == 1000
    with pytest.raises(EntityTooLarge) as refused:
        s3.put("small", "key", b"x" * 1001)
    assert refused.value.details == {"proposed_size": 1001, "max_size_allowed": 1000}
    with pytest.raises(EntityTooLarge):
        s3.put("small", "key", iter([b"x" * 600, b"y" * 600]))
    assert s3.get("small", "key") == b"x" * 1000
    app.close()


def test_another_account_s_bucket_is_closed_and_what_it_publishes_open(
    s3: s3kit.Client, other: s3kit.Client, bucket: str
) -> None:
    s3.put(bucket, "private", b"x")
    s3.put(bucket, "public", b"x", acl="public-read")
    for refused in (
        lambda: other.get(bucket, "private"),
        lambda: other.open(bucket, "private"),
        lambda: other.head(bucket, "private"),
        lambda: other.exists(bucket, "private"),
        lambda: other.exists(bucket, "not-there"),
        lambda: other.put(bucket, "key", b""),
        lambda: other.delete(bucket, "public"),
        lambda: list(other.list(bucket)),
        lambda: other.tags(bucket, "public"),
        lambda: other.set_tags(bucket, "public", {}),
        lambda: other.copy(bucket, "private", bucket, "copy"),
        lambda: other.delete_bucket(bucket),
        lambda: other.exists(bucket),
    ):
        with pytest.raises(AccessDenied):
            refused()
    assert other.get(bucket, "public") == b"x"
    with pytest.raises(BucketAlreadyExists):
        other.create_bucket(bucket)


def test_an_account_without_a_key_has_a_client_too(app: S3App) -> None:
    s3 = app.client("nobody")
    assert s3.account == Account("nobody")
    name = fresh_name()
    s3.create_bucket(name)
    assert [each.name for each in s3.buckets()] == [name]
    s3.delete_bucket(name)


def test_the_host_s_own_access_is_asked_as_for_a_request(tmp_path: Path) -> None:
    class NoDeleting(BucketAccess):
        def decide(self, question: Question) -> Decision:
            if question.action == "s3:DeleteObject":
                return Decision(False, "kept for ever")
            return super().decide(question)

    app = S3App(access=NoDeleting())
    s3 = app.client()
    s3.create_bucket("kept")
    s3.put("kept", "key", b"x")
    with pytest.raises(AccessDenied):
        s3.delete("kept", "key")
    app.close()


def test_an_operation_that_the_profile_has_switched_off_is_off_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FB-07"""
    app = make_app("memory", tmp_path)
    profile = replace(app.site.profile, disabled=frozenset({"CopyObject"}))
    monkeypatch.setattr(app, "_site", replace(app.site, profile=profile))
    s3 = app.client(OWNER_ID)
    s3.create_bucket("switched")
    s3.put("switched", "key", b"x")
    with pytest.raises(NotImplementedByS3, match="CopyObject is switched off"):
        s3.copy("switched", "key", "switched", "copy")
    app.close()


# -- signals


def test_signals_fire_as_for_requests_and_name_the_account(
    s3: s3kit.Client, requests: Requests
) -> None:
    name = fresh_name()
    with Heard(bucket_created, object_created, object_removed) as events:
        s3.create_bucket(name)
        s3.put(name, "key", b"one", metadata={"a": "1"})
        s3.put(name, "key", b"two")
        s3.copy(name, "key", name, "copy")
        s3.delete(name, "key")
        s3.delete(name, "not-there")
    assert [(each.name, each.key, each.replaced) for each in events] == [
        ("s3:BucketCreated", "", False),
        ("s3:ObjectCreated:Put", "key", False),
        ("s3:ObjectCreated:Put", "key", True),
        ("s3:ObjectCreated:Copy", "copy", False),
        ("s3:ObjectRemoved:Delete", "key", False),
    ]
    assert {each.caller.account_id for each in events} == {OWNER_ID}
    assert {each.request_id for each in events} == {""}
    assert events[1].metadata["x-amz-meta-a"] == "1"


def test_a_veto_forbids_it_here_too(s3: s3kit.Client, bucket: str) -> None:
    def forbid(bucket: str, *, event: Event) -> None:
        raise Veto("Not today.")

    with before_object_created.connected_to(forbid, sender=bucket):
        with pytest.raises(AccessDenied, match=r"Not today\."):
            s3.put(bucket, "key", b"x" * 100_000)
    assert not s3.exists(bucket, "key")


def test_a_receiver_may_store_another_object(s3: s3kit.Client, bucket: str) -> None:
    def thumbnail(bucket: str, *, event: Event) -> None:
        if not event.key.startswith("small/"):
            s3.put(bucket, "small/" + event.key, s3.get(bucket, event.key)[:4])

    with object_created.connected_to(thumbnail, sender=bucket):
        s3.put(bucket, "key", b"a large picture")
    assert s3.get(bucket, "small/key") == b"a la"


# -- buckets, listings, copies, tags


def test_buckets_are_made_listed_and_removed(s3: s3kit.Client, requests: Requests) -> None:
    name = fresh_name("made")
    assert not s3.exists(name)
    s3.create_bucket(name, acl="public-read", region="eu-central-1")
    assert s3.exists(name)
    answer = requests.get(f"/{name}", "location")
    assert answer.xml.text == "eu-central-1"
    assert Requests(s3._s3, None).get(f"/{name}").status == 200
    s3.create_bucket(name)
    assert name in [each.name for each in s3.buckets()]
    assert [each.name for each in s3.buckets(prefix=name)] == [name]
    s3.put(name, "key", b"")
    with pytest.raises(BucketNotEmpty):
        s3.delete_bucket(name)
    s3.delete(name, "key")
    s3.delete_bucket(name)
    assert not s3.exists(name)
    with pytest.raises(NoSuchBucket):
        s3.put(name, "key", b"")
    with pytest.raises(NoSuchBucket):
        s3.exists(name, "key")
    for bad in ("Not A Bucket", ""):
        with pytest.raises(InvalidBucketName):
            s3.create_bucket(bad)
        with pytest.raises(InvalidBucketName):
            s3.get(bad, "key")


def test_all_buckets_are_listed_however_many(
    s3: s3kit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3kit.client.MAX_KEYS", 2)
    stem = fresh_name("many")
    for number in range(5):
        s3.create_bucket(f"{stem}-{number}")
    found = [each.name for each in s3.buckets(prefix=f"{stem}-")]
    assert found == [f"{stem}-{number}" for number in range(5)]


def test_a_listing_gives_all_pages_in_byte_order_with_folders_in_their_place(
    s3: s3kit.Client, bucket: str
) -> None:
    keys = ["a", "a/1", "a/2", "a0", "b//x", "b/y", "ü", "\U0001f600"]
    for key in keys:
        s3.put(bucket, key, key)
    for size in (1, 2, 1000):
        assert [each.key for each in s3.list(bucket, page_size=size)] == keys
        folders = [(each.key, each.is_prefix) for each in s3.list(bucket, "", "/", page_size=size)]
        assert folders == [
            ("a", False),
            ("a/", True),
            ("a0", False),
            ("b/", True),
            ("ü", False),
            ("\U0001f600", False),
        ]
        assert [each.key for each in s3.list(bucket, "b/", "/", page_size=size)] == ["b//", "b/y"]
    assert [each.key for each in s3.list(bucket, start_after="b/y")] == keys[6:]
    (entry,) = s3.list(bucket, "a0")
    info = s3.head(bucket, "a0")
    assert (entry.size, entry.etag, entry.modified) == (2, info.etag, info.modified)
    with pytest.raises(NoSuchBucket):
        list(s3.list("not-there"))


def test_a_copy_keeps_or_replaces_what_is_stored_beside_the_bytes(
    s3: s3kit.Client, bucket: str
) -> None:
    s3.create_bucket(f"far-{bucket}")
    data = os.urandom(100_000)
    s3.put(bucket, "söurce +", data, content_type="a/b", metadata={"m": "1"}, tags={"t": "1"})
    kept = s3.copy(bucket, "söurce +", f"far-{bucket}", "kept")
    assert (kept.content_type, kept.metadata, kept.bucket) == ("a/b", {"m": "1"}, f"far-{bucket}")
    assert s3.get(f"far-{bucket}", "kept") == data
    assert s3.tags(f"far-{bucket}", "kept") == {"t": "1"}
    changed = s3.copy(bucket, "söurce +", bucket, "new", content_type="c/d", tags={})
    assert (changed.content_type, changed.metadata) == ("c/d", {})
    assert s3.tags(bucket, "new") == {}
    with pytest.raises(InvalidRequest, match="to itself"):
        s3.copy(bucket, "new", bucket, "new")
    assert s3.copy(bucket, "new", bucket, "new", metadata={"m": "2"}).metadata == {"m": "2"}
    with pytest.raises(PreconditionFailed):
        s3.copy(bucket, "söurce +", bucket, "new", if_none_match="*")
    with pytest.raises(NoSuchKey):
        s3.copy(bucket, "not-there", bucket, "copy")
    summed = s3.copy(bucket, "new", bucket, "summed", checksum_algorithm="SHA256").checksum
    assert summed is not None
    assert summed.algorithm == "SHA256"


def test_tags_are_set_and_removed(s3: s3kit.Client, bucket: str) -> None:
    s3.put(bucket, "key", b"")
    s3.set_tags(bucket, "key", {"b": "2", "a": "1"})
    assert s3.tags(bucket, "key") == {"a": "1", "b": "2"}
    s3.set_tags(bucket, "key", {})
    assert s3.tags(bucket, "key") == {}
    with pytest.raises(InvalidTag):
        s3.set_tags(bucket, "key", {"aws:a": ""})
    with pytest.raises(NoSuchKey):
        s3.set_tags(bucket, "not-there", {"a": "1"})


def test_two_apps_in_one_process_do_not_meet(tmp_path: Path) -> None:
    one, two = make_app("memory", tmp_path), make_app("memory", tmp_path)
    one.client(OWNER_ID).create_bucket("mine")
    assert not two.client(OWNER_ID).exists("mine")
    assert Requests(one, OTHER).get("/mine").status == 403
    one.close()
    two.close()
