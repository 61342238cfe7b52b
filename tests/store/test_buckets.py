"""Buckets that are remembered: a change in this process counts at once."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import NoSuchBucket
from s3kit.index import buckets as bucket_rows
from s3kit.model import ALL_USERS
from s3kit.model import Acl
from s3kit.model import Grant
from s3kit.model import Permission
from s3kit.store.buckets import Buckets

PUBLIC = Acl("alice", (Grant(ALL_USERS, Permission.READ),))
PRIVATE = Acl("alice", ())


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    app = S3App(Config(keys={"AKIAREADER": "secret"}))
    yield app.store.buckets
    app.close()


def after_the_next_read(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen when a bucket was read, but before its reader goes on."""
    read = bucket_rows.get
    waiting = [happens]

    def reading(*arguments: Any) -> Any:
        found = read(*arguments)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(bucket_rows, "get", reading)


def test_an_acl_that_was_replaced_during_a_read_is_not_remembered(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket made private stays open to nobody for even a second."""
    bucket = buckets.create("photos", "alice", acl=PUBLIC)
    after_the_next_read(monkeypatch, lambda: buckets.set_acl(bucket, PRIVATE))
    buckets.get("photos")
    assert buckets.get("photos").acl == PRIVATE


def test_a_bucket_that_was_removed_during_a_read_is_not_remembered(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = buckets.create("photos", "alice")
    after_the_next_read(monkeypatch, lambda: buckets.delete(bucket))
    buckets.get("photos")
    with pytest.raises(NoSuchBucket):
        buckets.get("photos")


def test_a_bucket_that_was_made_anew_during_a_read_is_not_remembered_as_it_was(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = buckets.create("photos", "alice")

    def make_anew() -> None:
        buckets.delete(bucket)
        buckets.create("photos", "bob")

    after_the_next_read(monkeypatch, make_anew)
    buckets.get("photos")
    assert buckets.get("photos").account == "bob"


def test_a_bucket_is_read_once_a_second(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine a second may pass between two lines.
    monkeypatch.setattr("s3kit.store.buckets.CACHE_SECONDS", 600.0)
    buckets.create("photos", "alice")
    read: list[str] = []
    after_the_next_read(monkeypatch, lambda: read.append("first"))
    found = buckets.get("photos")
    after_the_next_read(monkeypatch, lambda: read.append("second"))
    assert buckets.get("photos") is found
    assert read == ["first"]


def test_a_document_is_read_again_only_when_it_has_changed(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read a policy of 20 statements takes milliseconds."""
    monkeypatch.setattr("s3kit.store.buckets.CACHE_SECONDS", 0.0)
    bucket = buckets.create("photos", "alice")
    told = []

    def read(document: bytes) -> list[bytes]:
        told.append(document)
        return [document]

    def write(document: bytes) -> None:
        # As another process does, which empties nothing that is remembered here.
        remembered = buckets._settings
        buckets.put_setting(bucket, "policy", document)
        buckets._settings = remembered

    assert buckets.remembered(bucket, "policy", read) is None
    write(b"one")
    first = buckets.remembered(bucket, "policy", read)
    assert first == [b"one"]
    assert buckets.remembered(bucket, "policy", read) is first
    write(b"two")
    assert buckets.remembered(bucket, "policy", read) == [b"two"]
    assert told == [b"one", b"two"]
