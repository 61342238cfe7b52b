"""What one process is told counts in the others of the machine, where they share an SQLite file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import make_app

BLOCK = (
    b"<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>"
    b"</PublicAccessBlockConfiguration>"
)


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3App, S3App]]:
    """Two processes' worth of endpoints on one file, and a clock that stands still."""
    apps = make_app("file", tmp_path), make_app("file", tmp_path)
    now = time.monotonic()
    monkeypatch.setattr("s3kit.store.buckets.time.monotonic", lambda: now)
    yield apps
    for app in apps:
        app.close()


def allow_reading(s3: Client) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::bucket/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert s3.put("/bucket", policy.encode(), "policy").status == 204


def may_read(client: Client) -> bool:
    return client.get("/bucket/k").status == 200


@pytest.mark.parametrize(
    "revoke",
    [
        lambda s3: s3.delete("/bucket", "policy"),
        lambda s3: s3.put("/bucket", BLOCK, "publicAccessBlock"),
    ],
    ids=["DeleteBucketPolicy", "PutPublicAccessBlock"],
)
def test_a_policy_ends_at_once(apps: tuple[S3App, S3App], revoke: Callable[[Client], None]) -> None:
    here, elsewhere = (Client(app, None) for app in apps)
    s3 = Client(apps[0], OWNER)
    s3.put("/bucket")
    s3.put("/bucket/k", b"x")
    assert not may_read(here)
    assert not may_read(elsewhere)
    allow_reading(s3)
    assert may_read(here)
    assert may_read(elsewhere)
    revoke(s3)
    assert not may_read(here)
    assert not may_read(elsewhere)


def test_a_grant_ends_at_once(apps: tuple[S3App, S3App]) -> None:
    here, elsewhere = (Client(app, OTHER) for app in apps)
    s3 = Client(apps[0], OWNER)
    s3.put("/bucket", b"", x_amz_grant_write=f'id="{OTHER_ID}"')
    assert here.put("/bucket/k", b"x").status == elsewhere.put("/bucket/k", b"x").status == 200
    s3.put("/bucket", b"", "acl", x_amz_acl="private")
    assert here.put("/bucket/k", b"x").status == elsewhere.put("/bucket/k", b"x").status == 403


def test_a_bucket_that_is_made_anew_is_another(apps: tuple[S3App, S3App]) -> None:
    mine, theirs = Client(apps[0], OWNER), Client(apps[1], OTHER)
    mine.put("/bucket")
    assert theirs.get("/bucket/k").status == 403
    mine.delete("/bucket")
    Client(apps[0], OTHER).put("/bucket")
    assert theirs.get("/bucket/k").status == 404
    assert mine.get("/bucket/k").status == 403
