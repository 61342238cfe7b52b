"""Store calls in the caller's own transaction: objects come and go with what the app stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import NullPool
from sqlalchemy import String
from sqlalchemy import create_engine
from sqlalchemy import event as sql_event
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

import s3kit
from s3kit import S3App
from s3kit.blobs.base import is_blob_id
from s3kit.errors import BucketNotEmpty
from s3kit.errors import NoSuchBucket
from s3kit.errors import NoSuchKey
from s3kit.errors import PreconditionFailed
from s3kit.errors import QuotaExceeded
from s3kit.errors import SlowDown
from s3kit.signals import bucket_created
from s3kit.signals import object_created
from s3kit.signals import object_removed
from s3kit.signals import object_tagged
from tests.client import Client as Requests
from tests.client import Signer
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app

LARGE = b"large" * 20_000


class Base(DeclarativeBase):
    pass


class Note(Base):
    """The app's own row about an object."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(100))


@dataclass
class Host:
    """An app whose own tables lie beside s3kit's."""

    app: S3App
    s3: s3kit.Client
    engine: Engine
    folder: Path

    def notes(self) -> list[str]:
        with Session(self.engine) as session:
            return list(session.scalars(select(Note.key).order_by(Note.key)))

    def blobs(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*") if is_blob_id(path.name)}

    def keys(self, bucket: str) -> list[str]:
        return [entry.key for entry in self.s3.list(bucket)]


def make_engine(url: str, **options: Any) -> Engine:
    """As an app makes one that means to join: see docs/transactions.md."""
    if url.startswith("mariadb"):
        options.setdefault("isolation_level", "READ COMMITTED")
    engine = create_engine(url, poolclass=NullPool, **options)
    if url.startswith("sqlite"):
        sql_event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    return engine


@pytest.fixture(scope="module", params=KINDS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("joined")
    with fresh_database(request.param, folder) as url:
        app = make_app("file", folder, index=url, relay=False)
        engine = make_engine(url)
        Base.metadata.create_all(engine)
        yield Host(app, app.client(OWNER_ID), engine, folder)
        engine.dispose()
        app.close()


@pytest.fixture
def bucket(host: Host) -> str:
    name = fresh_name()
    host.s3.create_bucket(name)
    with host.engine.begin() as connection:
        connection.execute(text("DELETE FROM notes"))
    return name


class Heard:
    """Keeps the names of events, and what others saw of their keys at that moment."""

    def __init__(self, s3: s3kit.Client) -> None:
        self.s3 = s3
        self.names: list[str] = []
        self.seen: list[bool] = []

    def __call__(self, bucket: str, *, event: Any) -> None:
        self.names.append(f"{event.name.removeprefix('s3:')} {event.key}")
        self.seen.append(self.s3.exists(bucket, event.key))


@pytest.fixture
def heard(host: Host) -> Iterator[Heard]:
    heard = Heard(host.s3)
    signals = (object_created, object_removed, object_tagged)
    for each in signals:
        each.connect(heard)
    yield heard
    for each in signals:
        each.disconnect(heard)


# -- the caller's commit and rollback


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["inline", "blob"])
def test_with_the_commit_the_object_is_there_and_the_signal_is_heard(
    host: Host, bucket: str, heard: Heard, body: bytes
) -> None:
    with Session(host.engine) as session:
        with host.s3.joined(session) as s3:
            s3.put(bucket, "a", body)
            session.add(Note(id=1, key="a"))
            assert s3.get(bucket, "a") == body
            assert [entry.key for entry in s3.list(bucket)] == ["a"]
        assert not host.s3.exists(bucket, "a")
        assert heard.names == []
        session.commit()
    assert heard.names == ["ObjectCreated:Put a"]
    assert heard.seen == [True]
    assert host.s3.get(bucket, "a") == body
    assert host.notes() == ["a"]


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["inline", "blob"])
def test_with_the_rollback_the_object_never_was(
    host: Host, bucket: str, heard: Heard, body: bytes
) -> None:
    before = host.blobs()
    with Session(host.engine) as session:
        with host.s3.joined(session) as s3:
            session.add(Note(id=1, key="a"))
            session.flush()
            s3.put(bucket, "a", body)
            assert len(host.blobs() - before) == (body == LARGE)
        session.rollback()
    assert heard.names == []
    assert host.blobs() == before
    assert host.notes() == []
    with pytest.raises(NoSuchKey):
        host.s3.get(bucket, "a")
    host.s3.put(bucket, "a", b"after")
    assert host.s3.get(bucket, "a") == b"after"
    assert heard.names == ["ObjectCreated:Put a"]


def test_a_replaced_object_comes_back_with_the_rollback(host: Host, bucket: str) -> None:
    """Kept rows (SQLite) show the old one to others, and are right after both ends."""
    host.s3.put(bucket, "a", LARGE)
    assert host.s3.get(bucket, "a") == LARGE
    for end, expected in (("rollback", LARGE), ("commit", b"new")):
        with host.engine.connect() as connection:
            with host.s3.joined(connection) as s3:
                s3.put(bucket, "a", b"new")
                assert s3.get(bucket, "a") == b"new"
            assert host.s3.get(bucket, "a") == LARGE
            getattr(connection, end)()
            assert host.s3.get(bucket, "a") == expected
    assert host.keys(bucket) == ["a"]


def test_every_kind_of_change_is_undone_together(host: Host, bucket: str, heard: Heard) -> None:
    s3 = host.s3
    s3.put(bucket, "kept", b"kept", tags={"a": "1"})
    s3.put(bucket, "gone", LARGE)
    heard.names.clear()
    before = host.blobs()
    made = fresh_name()
    made_signals: list[str] = []
    with (
        bucket_created.connected_to(lambda sender, **_: made_signals.append(sender)),
        suppress(ZeroDivisionError),
        host.engine.begin() as connection,
        s3.joined(connection),
    ):
        s3.create_bucket(made)
        s3.put(made, "inside", b"a new bucket takes objects at once")
        with pytest.raises(BucketNotEmpty):
            s3.delete_bucket(made)
        s3.copy(bucket, "gone", bucket, "copy")
        s3.delete(bucket, "gone")
        s3.set_tags(bucket, "kept", {"a": "2"})
        multipart(host, bucket, "parts", LARGE)
        assert [entry.key for entry in s3.list(bucket)] == ["copy", "kept", "parts"]
        assert s3.tags(bucket, "kept") == {"a": "2"}
        assert len(host.blobs() - before) == 1
        with pytest.raises(RuntimeError, match="no garbage"):
            host.app.store.collect_garbage()
        1 / 0  # noqa: B018
    assert host.keys(bucket) == ["gone", "kept"]
    assert s3.get(bucket, "gone") == LARGE
    assert s3.tags(bucket, "kept") == {"a": "1"}
    with pytest.raises(NoSuchBucket):
        s3.put(made, "x", b"")
    assert heard.names == made_signals == []
    assert host.blobs() == before


def multipart(host: Host, bucket: str, key: str, body: bytes) -> None:
    """An upload of one part, by signed requests: those of this thread are joined too."""
    requests = Requests(host.app, OWNER)
    path = f"/{bucket}/{key}"
    upload = requests.post(path, b"", "uploads").text("UploadId")
    part = requests.put(path, body, f"partNumber=1&uploadId={upload}")
    document = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"
    done = requests.post(path, document.encode(), f"uploadId={upload}")
    assert done.status == 200, done.body


def test_every_kind_of_change_is_committed_together(host: Host, bucket: str, heard: Heard) -> None:
    s3 = host.s3
    made = fresh_name()
    s3.put(bucket, "gone", LARGE)
    with host.engine.begin() as connection:
        with s3.joined(connection):
            s3.create_bucket(made)
            s3.put(made, "inside", b"x")
            s3.copy(bucket, "gone", bucket, "copy")
            s3.delete(bucket, "gone")
            s3.set_tags(made, "inside", {"a": "2"})
            multipart(host, bucket, "parts", LARGE)
        with pytest.raises(NoSuchBucket):
            s3.put(made, "x", b"")
    assert host.keys(bucket) == ["copy", "parts"]
    assert host.keys(made) == ["inside"]
    assert s3.get(bucket, "copy") == s3.get(bucket, "parts") == LARGE
    assert s3.tags(made, "inside") == {"a": "2"}
    assert heard.names == [
        "ObjectCreated:Put gone",
        "ObjectCreated:Put inside",
        "ObjectCreated:Copy copy",
        "ObjectRemoved:Delete gone",
        "ObjectTagging:Put inside",
        "ObjectCreated:CompleteMultipartUpload parts",
    ]


# -- savepoints, and calls that are refused


def test_a_savepoint_takes_back_what_came_after_it(host: Host, bucket: str, heard: Heard) -> None:
    before = host.blobs()
    with Session(host.engine) as session, host.s3.joined(session) as s3:
        s3.put(bucket, "first", b"")
        with session.begin_nested():
            s3.put(bucket, "second", b"")
        with suppress(ZeroDivisionError), session.begin_nested():
            s3.put(bucket, "third", LARGE)
            with session.begin_nested():
                s3.put(bucket, "fourth", b"")
            1 / 0  # noqa: B018
        outer = session.begin_nested()
        session.begin_nested()
        s3.put(bucket, "fifth", LARGE)
        outer.rollback()
        s3.put(bucket, "sixth", b"")
        session.commit()
    assert host.keys(bucket) == ["first", "second", "sixth"]
    assert [name.split()[1] for name in heard.names] == ["first", "second", "sixth"]
    assert host.blobs() == before


def test_a_savepoint_may_be_older_than_the_join(host: Host, bucket: str, heard: Heard) -> None:
    with Session(host.engine) as session:
        session.add(Note(id=1, key="kept"))
        session.flush()
        with suppress(ZeroDivisionError), session.begin_nested(), host.s3.joined(session) as s3:
            session.add(Note(id=2, key="gone"))
            s3.put(bucket, "gone", b"")
            1 / 0  # noqa: B018
        with host.s3.joined(session) as s3:
            assert [*s3.list(bucket)] == []
        session.commit()
    assert host.notes() == ["kept"]
    assert host.keys(bucket) == []
    assert heard.names == []


def test_a_refused_call_undoes_only_itself(host: Host, bucket: str, heard: Heard) -> None:
    before = host.blobs()
    with host.engine.begin() as connection, host.s3.joined(connection) as s3:
        s3.put(bucket, "a", b"1")
        with pytest.raises(NoSuchBucket):
            s3.put(fresh_name(), "a", LARGE)
        with pytest.raises(PreconditionFailed):
            s3.put(bucket, "a", LARGE, if_none_match="*")
        with pytest.raises(NoSuchKey):
            s3.put(bucket, "b", LARGE, if_match="0" * 32)
        connection.execute(insert(Note).values(id=1, key="a"))
        s3.put(bucket, "c", b"2")
    assert host.keys(bucket) == ["a", "c"]
    assert host.notes() == ["a"]
    assert heard.names == ["ObjectCreated:Put a", "ObjectCreated:Put c"]
    assert host.blobs() == before


# -- who hears what, and when


def test_a_receiver_may_use_the_very_session_that_has_committed(host: Host, bucket: str) -> None:
    sessions = scoped_session(sessionmaker(host.engine))

    def note(bucket: str, *, event: Any) -> None:
        if not event.key.startswith("seen/"):
            sessions.add(Note(id=event.size, key=event.key))
            sessions.commit()
            host.s3.put(bucket, f"seen/{event.key}", b"")

    with object_created.connected_to(note, sender=bucket):
        with host.s3.joined(sessions) as s3:
            s3.put(bucket, "a", b"1")
            s3.put(bucket, "b", b"22")
            sessions.commit()
            assert host.notes() == ["a", "b"]
            # The session's next transaction is joined too.
            s3.put(bucket, "c", b"333")
            sessions.rollback()
    sessions.remove()
    assert host.keys(bucket) == ["a", "b", "seen/a", "seen/b"]


def test_two_stays_in_one_transaction_are_one(host: Host, bucket: str, heard: Heard) -> None:
    with host.engine.begin() as connection:
        with host.s3.joined(connection) as s3:
            s3.put(bucket, "a", b"")
        with host.s3.joined(connection) as s3, host.s3.joined(connection):
            assert s3.exists(bucket, "a")
            s3.put(bucket, "b", b"")
    assert host.keys(bucket) == ["a", "b"]
    assert heard.names == ["ObjectCreated:Put a", "ObjectCreated:Put b"]


def test_durable_events_come_and_go_with_the_transaction(host: Host, bucket: str) -> None:
    outbox = host.app.store.outbox
    delivered: list[str] = []
    if not outbox.target("joined"):
        outbox.subscribe(
            lambda bucket, *, event: delivered.append(event.key), name="joined", bucket=bucket
        )
    with suppress(ZeroDivisionError), host.engine.begin() as c, host.s3.joined(c) as s3:
        s3.put(bucket, "undone", b"")
        assert [each.waiting for each in outbox.backlog()] == [1]
        1 / 0  # noqa: B018
    assert outbox.backlog() == []
    with host.engine.begin() as connection, host.s3.joined(connection) as s3:
        s3.put(bucket, "done", b"")
        outbox._wake.clear()
    assert outbox._wake.is_set(), "a thread that delivers would look again now"
    outbox.deliver()
    assert delivered == ["done"]
    del outbox._subscribed["joined"]


def test_only_the_thread_that_joined_is_in_the_transaction(host: Host, bucket: str) -> None:
    found: list[bool] = []

    def look() -> None:
        found.append(host.s3.exists(bucket, "a"))
        if host.engine.dialect.name != "sqlite":
            host.s3.put(bucket, "other", b"")

    with host.engine.connect() as connection, host.s3.joined(connection) as s3:
        s3.put(bucket, "a", b"")
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert found == [False]
        connection.rollback()
    assert host.keys(bucket) == (["other"] if host.engine.dialect.name != "sqlite" else [])


def test_a_plain_writer_waits_for_the_transaction_and_then_goes_on(host: Host, bucket: str) -> None:
    """The same key everywhere; under SQLite any key."""
    with host.engine.connect() as connection:
        with host.s3.joined(connection) as s3:
            s3.put(bucket, "a", b"joined")
        thread = threading.Thread(target=lambda: host.s3.put(bucket, "a", b"plain"))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        connection.commit()
        thread.join()
    assert host.s3.get(bucket, "a") == b"plain"


def test_conditions_hold_against_what_others_commit_meanwhile(host: Host, bucket: str) -> None:
    etag = host.s3.put(bucket, "a", b"1").etag
    with host.engine.connect() as connection, suppress(SlowDown):
        # The transaction has read, and on SQLite sees the past from here on.
        connection.execute(select(func.count()).select_from(Note))
        if host.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
            connection.execute(select(func.count()).select_from(Note))
        host.s3.put(bucket, "a", b"2")
        with host.s3.joined(connection) as s3, pytest.raises((PreconditionFailed, SlowDown)):
            s3.put(bucket, "a", b"3", if_match=etag)
        connection.commit()
    assert host.s3.get(bucket, "a") == b"2"


def test_an_account_signs_up_with_the_callers_row_or_not_at_all(host: Host, bucket: str) -> None:
    """Its key signs in the transaction at once; for all others only after the commit."""
    accounts = host.app.store.accounts
    for end, status in (("rollback", 403), ("commit", 200)):
        with Session(host.engine) as session:
            with host.s3.joined(session):
                made = accounts.sign_up(display_name="Nina New")
                signer = Signer(made.key.access_key, made.key.secret_key)
                requests = Requests(host.app, signer)
                assert requests.get("/").status == 200
            assert requests.get("/").status == 403
            getattr(session, end)()
        assert requests.get("/").status == status


def test_nothing_is_remembered_of_what_was_seen_in_a_transaction(host: Host) -> None:
    """Not of keys, accounts and roles: what was undone is gone at once, what was changed counts."""
    accounts, roles = host.app.store.accounts, host.app.store.roles
    account = accounts.create(display_name="Small").id
    trust = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}]})
    with host.engine.connect() as connection:
        with host.s3.joined(connection):
            made = accounts.create_key(account)
            requests = Requests(host.app, Signer(made.access_key, made.secret_key))
            roles.create(account, "role", trust=trust)
            accounts.set(account, limits={"buckets": 0})
            assert requests.get("/").status == 200
            assert roles.find(account, "role") is not None
            assert accounts.limits_of(account).buckets == 0
            accounts.disable_key(made.access_key)
            assert requests.get("/").status == 403
            accounts.enable_key(made.access_key)
            assert requests.get("/").status == 200
        connection.rollback()
        with host.s3.joined(connection):
            assert requests.get("/").status == 403
            assert roles.find(account, "role") is None
            assert accounts.limits_of(account).buckets is None


def test_the_quota_comes_back_with_the_rollback(host: Host) -> None:
    """What is counted is counted in the object's transaction, and refused in it."""
    accounts, quota = host.app.store.accounts, host.app.store.quota
    account = accounts.create(display_name="Small", limits={"bytes": len(LARGE) + 10}).id
    s3 = host.app.client(account)
    bucket = fresh_name()
    s3.create_bucket(bucket)
    s3.put(bucket, "kept", b"12345")
    before = host.blobs()
    for end, used in (("rollback", 5), ("commit", 5 + len(LARGE))):
        with host.engine.connect() as connection:
            with s3.joined(connection):
                s3.put(bucket, "large", LARGE)
                assert quota.used(account) == 5 + len(LARGE)
                with pytest.raises(QuotaExceeded):
                    s3.put(bucket, "more", b"123456")
                with connection.begin_nested() as savepoint:
                    s3.delete(bucket, "large")
                    assert quota.used(account) == 5
                    savepoint.rollback()
            assert quota.used(account) == 5
            getattr(connection, end)()
        assert quota.used(account) == used
    assert quota.recount(account) == 5 + len(LARGE)
    assert len(host.blobs() - before) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_killed_before_the_commit_leaves_nothing(kind: str, tmp_path: Path) -> None:
    with fresh_database(kind, tmp_path) as url:
        app = make_app("file", tmp_path, index=url)
        s3 = app.client(OWNER_ID)
        s3.create_bucket("photos")
        s3.put("photos", "kept", b"kept")
        app.store.accounts.set(OWNER_ID, limits={"bytes": 1_000_000})
        program = f"""
import os, signal
from pathlib import Path
from tests.endpoint import make_app, OWNER_ID
from tests.test_joined_client import make_engine, LARGE
app = make_app("file", Path({str(tmp_path)!r}), index={url!r})
with make_engine({url!r}).begin() as connection, app.client(OWNER_ID).joined(connection) as s3:
    s3.put("photos", "a", LARGE)
    s3.put("photos", "b", b"")
    s3.delete("photos", "kept")
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        assert [entry.key for entry in s3.list("photos")] == ["kept"]
        assert app.store.quota.used(OWNER_ID) == 4
        s3.put("photos", "a", b"goes on")
        assert s3.get("photos", "a") == b"goes on"
        assert s3.get("photos", "kept") == b"kept"
        assert app.store.sweep_orphans() == 0, "too young"
        app.close()
