"""Versions under several processes and writers, on every database."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.model import Versioning
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.databases import KINDS
from tests.databases import fresh_database

BUCKET = "/versions"
ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
SUSPENDED = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"


def app_on(index: str, folder: Path, profile: str = "aws") -> S3App:
    return S3App(
        Config(
            keys={"AKIAVERSIONS": "secret"},
            index=index,
            storages={"default": str(folder / "blobs")},
            inline_threshold=12,
            durability="relaxed",
            profile=profile,
            https="off",
        )
    )


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def pair(index: str, tmp_path: Path) -> Iterator[tuple[Client, Client]]:
    """Two processes' worth of endpoints on one database; each knows the bucket already."""
    apps = [app_on(index, tmp_path) for _ in range(2)]
    one, two = (Client(app, Signer("AKIAVERSIONS", "secret")) for app in apps)
    assert one.put(BUCKET).status == 200
    for client in (one, two):
        client.get(f"{BUCKET}/none")
    yield one, two
    for app in apps:
        app.close()


def test_the_switch_counts_at_once_in_every_process(pair: tuple[Client, Client]) -> None:
    """Another process remembers the bucket for a second; what it writes goes by what is so now."""
    one, two = pair
    path = f"{BUCKET}/k"
    one.put(path, b"before")
    two.get(path)
    assert one.put(BUCKET, ENABLED, "versioning").status == 200
    version = two.put(path, b"after").headers["x-amz-version-id"]
    marker = two.delete(path)
    assert marker.headers["x-amz-delete-marker"] == "true"
    assert two.delete(f"{BUCKET}/never").headers["x-amz-delete-marker"] == "true"
    assert one.get(path, f"versionId={version}").body == b"after"
    assert one.get(path, "versionId=null").body == b"before"
    assert one.put(BUCKET, SUSPENDED, "versioning").status == 200
    assert two.delete(path).headers["x-amz-version-id"] == "null"
    assert one.get(path, "versionId=null").code == "MethodNotAllowed"
    assert one.get(path, f"versionId={version}").body == b"after"


@pytest.mark.parametrize("size", [3, 100_000])
def test_no_version_is_lost_among_several_writers(pair: tuple[Client, Client], size: int) -> None:
    """Every write is a version, and the key shows what the order of commits says (BB-10)."""
    one, two = pair
    assert one.put(BUCKET, ENABLED, "versioning").status == 200
    path = f"{BUCKET}/k"

    def act(number: int) -> tuple[str, bytes | None]:
        client = (one, two)[number % 2]
        if number % 4 == 3:
            return client.delete(path).headers["x-amz-version-id"], None
        body = bytes([65 + number]) * size
        answer = client.put(path, body)
        assert answer.status == 200, answer.body
        return answer.headers["x-amz-version-id"], body

    with ThreadPoolExecutor(4) as pool:
        made = dict(pool.map(act, range(16)))
    assert len(made) == 16
    page = one.get(BUCKET, "versions")
    listed = [each for each in page.xml if each.tag in ("Version", "DeleteMarker")]
    order = [each.findtext("VersionId") or "" for each in listed]
    assert sorted(order) == sorted(made)
    assert [each.findtext("IsLatest") for each in listed] == ["true"] + ["false"] * 15
    # A read may go by the second-old bucket, which names no marker.
    assert two.get(BUCKET, "versioning").text("Status") == "Enabled"
    while order:
        shown = two.get(path)
        body = made[order[0]]
        if body is None:
            assert (shown.status, shown.headers["x-amz-version-id"]) == (404, order[0])
        else:
            assert shown.body == body
        assert one.delete(path, f"versionId={order.pop(0)}").status == 204
    assert one.delete(BUCKET).status == 204


def test_versions_of_one_moment_stand_in_the_order_of_their_writes(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BB-09, BB-10: the clock stands still, and yet a marker hides what came before it."""
    app = app_on(index, tmp_path)
    monkeypatch.setattr(app.store._backing, "clock", lambda: 1_700_000_000.0)
    client = Client(app, Signer("AKIAVERSIONS", "secret"))
    client.put(BUCKET)
    client.put(BUCKET, ENABLED, "versioning")
    path = f"{BUCKET}/k"
    ids = []
    for number in range(12):
        answer = client.delete(path) if number % 3 == 2 else client.put(path, b"%d" % number)
        ids.append(answer.headers["x-amz-version-id"])
        assert client.get(path).status == (404 if number % 3 == 2 else 200)
    page = client.get(BUCKET, "versions")
    found = [each.findtext("VersionId") for each in page.xml if each.find("VersionId") is not None]
    assert found == ids[::-1]
    app.close()


def test_with_a_profile_that_always_keeps_versions_the_history_outlives_it(
    index: str, tmp_path: Path
) -> None:
    """BB-07: a bucket from before keeps its versions, also when the profile is changed back."""
    signer = Signer("AKIAVERSIONS", "secret")
    app = app_on(index, tmp_path)
    Client(app, signer).put(BUCKET)
    Client(app, signer).put(f"{BUCKET}/k", b"first")
    app.close()
    app = app_on(index, tmp_path, "backblaze")
    client = Client(app, signer)
    assert client.get(BUCKET, "versioning").text("Status") == "Enabled"
    version = client.put(f"{BUCKET}/k", b"second").headers["x-amz-version-id"]
    app.close()
    app = app_on(index, tmp_path)
    client = Client(app, signer)
    assert app.store.buckets.get(BUCKET[1:]).versioning is Versioning.ENABLED
    client.put(f"{BUCKET}/k", b"third")
    assert client.get(f"{BUCKET}/k", f"versionId={version}").body == b"second"
    assert client.get(f"{BUCKET}/k", "versionId=null").body == b"first"
    app.close()


# -- Object Lock

LOCKING = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>%s"
    b"</ObjectLockConfiguration>"
)
RULE = b"<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
HOLD = b"<LegalHold><Status>ON</Status></LegalHold>"


def checked(client: Client, path: str, body: bytes, query: str = "", **headers: str) -> Answer:
    """A PUT with the checksum that locks want."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return client.put(path, body, query, Content_MD5=base64.b64encode(digest).decode(), **headers)


def test_object_lock_counts_at_once_in_every_process(pair: tuple[Client, Client]) -> None:
    one, two = pair
    path = f"{BUCKET}/k"
    one.put(BUCKET, ENABLED, "versioning")
    two.get(path)
    assert checked(one, BUCKET, LOCKING % b"", "object-lock").status == 200
    # This one remembers a bucket without Object Lock.
    held = checked(two, path, b"held", x_amz_object_lock_legal_hold="ON")
    assert held.status == 200
    assert checked(one, BUCKET, LOCKING % RULE, "object-lock").status == 200
    ruled = checked(two, path, b"ruled").headers["x-amz-version-id"]
    answer = one.get(path, f"versionId={ruled}")
    assert answer.headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    for client in (one, two):
        for version in (ruled, held.headers["x-amz-version-id"]):
            assert client.delete(path, f"versionId={version}").code == "AccessDenied"
        assert client.put(BUCKET, SUSPENDED, "versioning").code == "InvalidBucketState"
        assert client.delete(BUCKET).code == "BucketNotEmpty"
    marker = two.delete(path).headers["x-amz-version-id"]
    assert one.delete(path, f"versionId={marker}").status == 204


def test_of_a_hold_and_a_removal_at_once_one_comes_first(pair: tuple[Client, Client]) -> None:
    """No version is gone that was answered to be held."""
    one, two = pair
    one.put(BUCKET, ENABLED, "versioning")
    assert checked(one, BUCKET, LOCKING % b"", "object-lock").status == 200
    for turn in range(8):
        path = f"{BUCKET}/{turn}"
        version = one.put(path, b"x").headers["x-amz-version-id"]
        this = f"versionId={version}"
        with ThreadPoolExecutor(2) as pool:
            holding = pool.submit(checked, one, path, HOLD, f"legal-hold&{this}")
            removing = pool.submit(two.delete, path, this)
        held, removed = holding.result(), removing.result()
        if held.status == 200:
            assert removed.code == "AccessDenied"
            assert one.get(path, this).body == b"x"
        else:
            assert held.code in ("NoSuchVersion", "NoSuchKey")
            assert removed.status == 204
