"""Archived objects, and RestoreObject."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from s3kit.app import S3App
from s3kit.errors import InvalidObjectState
from s3kit.signals import Event
from s3kit.signals import object_restored
from s3kit.wire.headers import parse_http_date
from tests.client import Answer
from tests.client import Client
from tests.endpoint import parsed
from tests.operations.test_cors import boto_of

pytestmark = pytest.mark.usefixtures("one_day")

DAY = 86_400_000
ATTRIBUTES = {"x_amz_optional_object_attributes": "RestoreStatus"}


def request(days: object = 1, more: str = "") -> bytes:
    return f"<RestoreRequest><Days>{days}</Days>{more}</RestoreRequest>".encode()


def days_left(answer: Answer) -> int | None:
    value = answer.headers.get("x-amz-restore")
    if value is None:
        return None
    found = re.fullmatch(r'ongoing-request="false", expiry-date="([^"]+)"', value)
    assert found, value
    moment = parse_http_date(found[1])
    assert moment is not None
    assert moment % DAY == 0
    return moment // DAY - int(time.time() * 1000) // DAY


@pytest.fixture
def tick(app: S3App) -> Iterator[Callable[[float], None]]:
    """Lets days pass for the store."""
    backing = app.store._backing
    before = backing.clock
    passed = 0.0

    def pass_days(count: float) -> None:
        nonlocal passed
        passed += count
        backing.clock = lambda: before() + passed * 86400

    yield pass_days
    backing.clock = before


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("size", [5, 100_000])
def test_an_archived_object_is_seen_but_not_read(
    s3: Client, bucket: str, storage_class: str, size: int
) -> None:
    path = f"{bucket}/ice"
    assert s3.put(path, b"x" * size, x_amz_storage_class=storage_class).status == 200
    for answer in (s3.get(path), s3.get(path, Range="bytes=0-1"), s3.get(path, "partNumber=1")):
        assert (answer.status, answer.code) == (403, "InvalidObjectState")
        assert answer.text("StorageClass") == storage_class
    seen = s3.head(path)
    assert (seen.status, seen.headers["content-length"]) == (200, str(size))
    assert seen.headers["x-amz-storage-class"] == storage_class
    assert "x-amz-restore" not in seen.headers
    copied = s3.put(f"{bucket}/copy", x_amz_copy_source=path)
    assert (copied.status, copied.code) == (403, "InvalidObjectState")
    upload = s3.post(f"{bucket}/copy", b"", "uploads").text("UploadId")
    part = s3.put(f"{bucket}/copy", b"", f"partNumber=1&uploadId={upload}", x_amz_copy_source=path)
    assert (part.status, part.code) == (403, "InvalidObjectState")
    python = s3.app.client("owner-id")
    for read in (python.get, python.open):
        with pytest.raises(InvalidObjectState):
            read(bucket[1:], "ice")
    assert s3.get(f"{path}", "tagging").status == 200
    assert s3.delete(path).status == 204


@pytest.mark.parametrize("storage_class", ["GLACIER_IR", "INTELLIGENT_TIERING", "STANDARD_IA"])
def test_other_classes_are_read_at_once_and_not_restored(
    s3: Client, bucket: str, storage_class: str
) -> None:
    path = f"{bucket}/cool"
    s3.put(path, b"x", x_amz_storage_class=storage_class)
    assert s3.get(path).body == b"x"
    answer = s3.post(path, request(), "restore")
    assert (answer.status, answer.code) == (403, "InvalidObjectState")
    assert answer.text("StorageClass") == storage_class


def test_a_restored_object_is_read_for_its_days(
    s3: Client, bucket: str, tick: Callable[[float], None]
) -> None:
    path = f"{bucket}/ice"
    s3.put(path, b"ice", x_amz_storage_class="GLACIER")
    heard: list[str] = []

    def hear(sender: str, event: Event) -> None:
        heard.append(event.name)

    with object_restored.connected_to(hear, sender=bucket[1:]):
        tier = "<GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters>"
        assert s3.post(path, request(2, tier), "restore").status == 202
        assert heard == ["s3:ObjectRestore:Post", "s3:ObjectRestore:Completed"]
        assert s3.get(path).body == b"ice"
        assert s3.get(path).headers["x-amz-storage-class"] == "GLACIER"
        assert days_left(s3.get(path)) == days_left(s3.head(path)) == 3
        # Again: from now on, be it longer or shorter.
        assert s3.post(path, request(9), "restore").status == 200
        assert days_left(s3.head(path)) == 10
        assert s3.post(path, request(1, "<Tier>Expedited</Tier>"), "restore").status == 200
        assert days_left(s3.head(path)) == 2
        copied = s3.put(f"{bucket}/copy", x_amz_copy_source=path)
        assert copied.status == 200
        assert "x-amz-storage-class" not in s3.head(f"{bucket}/copy").headers
        tick(1)
        assert s3.get(path).status == 200
        heard.clear()
        tick(1.01)
        assert s3.get(path).code == "InvalidObjectState"
        assert days_left(s3.head(path)) is None
        for _ in range(2):
            s3.app.store.lifecycle.run()
            assert heard == ["s3:ObjectRestore:Delete"]
    assert s3.post(path, request(), "restore").status == 202


def test_a_restore_is_of_one_version_and_goes_with_it(
    s3: Client, bucket: str, tick: Callable[[float], None]
) -> None:
    path = f"{bucket}/ice"
    s3.put(
        bucket,
        b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        "versioning",
    )
    first, second = (
        s3.put(path, body, x_amz_storage_class="GLACIER").headers["x-amz-version-id"]
        for body in (b"one", b"two")
    )
    assert s3.post(path, request(), f"restore&versionId={first}").status == 202
    assert s3.get(path, f"versionId={first}").body == b"one"
    assert s3.get(path).code == "InvalidObjectState"
    page = s3.get(bucket, "versions", **ATTRIBUTES)
    shown = [
        (v.findtext("VersionId"), v.findtext("RestoreStatus/IsRestoreInProgress"))
        for v in page.xml.findall("Version")
    ]
    assert shown == [(second, None), (first, "false")]
    s3.delete(path, f"versionId={first}")
    tick(9)
    heard: list[str] = []

    def hear(sender: str, event: Event) -> None:
        heard.append(event.name)

    with object_restored.connected_to(hear, sender=bucket[1:]):
        s3.app.store.lifecycle.run()
    assert heard == []
    marker = s3.delete(path).headers["x-amz-version-id"]
    assert s3.post(path, request(), "restore").code == "NoSuchKey"
    answer = s3.post(path, request(), f"restore&versionId={marker}")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")


def test_listings_tell_of_restores_where_they_are_asked(s3: Client, bucket: str) -> None:
    for name in ("ice", "thawed"):
        s3.put(f"{bucket}/{name}", b"x", x_amz_storage_class="GLACIER")
    s3.put(f"{bucket}/water", b"x")
    s3.post(f"{bucket}/thawed", request(), "restore")
    boto = boto_of(s3.app, s3.mount)
    for listed in (boto.list_objects, boto.list_objects_v2):
        assert not any("RestoreStatus" in each for each in listed(Bucket=bucket[1:])["Contents"])
        page = listed(Bucket=bucket[1:], OptionalObjectAttributes=["RestoreStatus"])
        statuses = {each["Key"]: each.get("RestoreStatus") for each in page["Contents"]}
        assert statuses["ice"] is None
        assert statuses["water"] is None
        assert statuses["thawed"]["IsRestoreInProgress"] is False
        assert statuses["thawed"]["RestoreExpiryDate"].timestamp() % 86400 == 0
    page = s3.get(bucket, "list-type=2", **ATTRIBUTES)
    assert parsed("ListObjectsV2", page)["Contents"][1]["RestoreStatus"]
    for query in ("", "list-type=2", "versions"):
        answer = s3.get(bucket, query, x_amz_optional_object_attributes="Owner")
        assert (answer.status, answer.code) == (400, "InvalidArgument")


REFUSED = {
    "empty": (b"", 400, "MalformedXML"),
    "another": (b"<Tagging/>", 400, "MalformedXML"),
    "no-days": (b"<RestoreRequest/>", 400, "MalformedXML"),
    "days-0": (request(0), 400, "InvalidArgument"),
    "days-below-0": (request(-3), 400, "InvalidArgument"),
    "days-beyond-32-bits": (request(2**31), 400, "MalformedXML"),
    "tier": (request(1, "<Tier>Slow</Tier>"), 400, "MalformedXML"),
    "deep-at-once": (request(1, "<Tier>Expedited</Tier>"), 400, "InvalidArgument"),
    "query": (request(1, "<Type>SELECT</Type>"), 501, "NotImplemented"),
    "output": (request(1, "<OutputLocation/>"), 501, "NotImplemented"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_s3_refuses_restores_nothing(s3: Client, bucket: str, case: str) -> None:
    body, status, code = REFUSED[case]
    s3.put(f"{bucket}/ice", b"x", x_amz_storage_class="DEEP_ARCHIVE")
    answer = s3.post(f"{bucket}/ice", body, "restore")
    assert (answer.status, answer.code) == (status, code)
    assert days_left(s3.head(f"{bucket}/ice")) is None


def test_only_the_owner_restores(s3: Client, other: Client, anonymous: Client, bucket: str) -> None:
    path = f"{bucket}/ice"
    s3.put(path, b"x", x_amz_storage_class="GLACIER", x_amz_acl="public-read")
    for stranger in (other, anonymous):
        assert stranger.post(path, request(), "restore").code == "AccessDenied"
    assert s3.post(f"{bucket}/no", request(), "restore").code == "NoSuchKey"
    assert days_left(s3.head(path)) is None


def test_days_beyond_all_calendars_end_on_its_last_day(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/ice", b"x", x_amz_storage_class="GLACIER")
    assert s3.post(f"{bucket}/ice", request(2**31 - 1), "restore").status == 202
    assert "31 Dec 9999" in s3.head(f"{bucket}/ice").headers["x-amz-restore"]
    page = s3.get(bucket, "list-type=2", **ATTRIBUTES)
    assert page.text("Contents/RestoreStatus/RestoreExpiryDate") == "9999-12-31T00:00:00.000Z"
