"""Replication where things break: workers killed, databases away, other endpoints down."""

from __future__ import annotations

import itertools
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from s3kit import Config
from s3kit import S3App
from s3kit.config import ConfigError
from s3kit.model import NO_LOCK
from s3kit.model import ObjectLock
from s3kit.model import Versioning
from s3kit.store.remote import MARK
from s3kit.store.remote import RemoteBucket
from s3kit.store.remote import lock_headers
from s3kit.store.retention import is_retained
from s3kit.store.retention import retained_until
from s3kit.testing.live_server import LiveServer
from s3kit.wire.locks import read_lock_headers
from tests.client import Client
from tests.client import Signer
from tests.databases import fresh_database
from tests.endpoint import KMS_KEYS
from tests.endpoint import MASTER_KEY
from tests.test_restart import KEY
from tests.test_restart import Endpoint

SIGNER = Signer("AKIAREPLICA", "a-secret-of-this-test")
OFFSITE = "arn:aws:s3:::offsite"


def replicate(app: S3App, source: str, arn: str, where: str = "", tail: str = "") -> None:
    """Send everything there, delete markers too."""
    document = (
        "<ReplicationConfiguration><Role>role</Role><Rule><ID>all</ID><Prefix/>"
        f"<Status>Enabled</Status><Destination>{where or f'<Bucket>{arn}</Bucket>'}</Destination>"
        f"{tail}</Rule></ReplicationConfiguration>"
    )
    bucket = app.store.buckets.get(source)
    app.store.buckets.put_setting(bucket, "replication", document.encode())


def make(app: S3App, *names: str) -> None:
    """Buckets that keep versions."""
    for name in names:
        bucket = app.store.buckets.create(name, "default")
        app.store.buckets.set_versioning(bucket, Versioning.ENABLED)


def versions(client: Client, bucket: str) -> list[tuple[str, str]]:
    found = client.get(f"/{bucket}", "versions")
    keys = [element.findtext("Key") or "" for element in found.xml if len(element) > 2]
    return list(zip(keys, found.texts("*/VersionId"), strict=True))


def later(app: S3App, seconds: float) -> None:
    """Let it be later: what a dead worker had is free, and what failed is due."""
    clock = app.store._backing.clock
    app.store._backing.clock = lambda: clock() + seconds


# -- a worker that is killed

WORKER = """
import sys, threading, time
from s3kit import Config, S3App
folder, ahead = sys.argv[1], float(sys.argv[2])
app = S3App(Config(
    storages={"default": folder + "/near", "far": folder + "/far"}, place={"far-*": "far"},
    index="sqlite:///" + folder + "/index.db", durability="relaxed", relay=False,
))
app.store._backing.clock = lambda: time.time() + ahead
print("ready", flush=True)
app.store.outbox.deliver()
print("done", flush=True)
app.close()
"""


def test_workers_killed_over_their_work_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    app = S3App(
        Config(
            storages={"default": str(tmp_path / "near"), "far": str(tmp_path / "far")},
            place={"far-*": "far"},
            index=f"sqlite:///{tmp_path / 'index.db'}",
            durability="relaxed",
            keys={SIGNER.access_key: SIGNER.secret_key},
            relay=False,
        )
    )
    client = Client(app, SIGNER)
    make(app, "source", "far-away")
    replicate(app, "source", "arn:aws:s3:::far-away")
    for number in range(90):
        body = bytes([number]) * (100_000 if number % 3 else 10)
        assert client.put(f"/source/k{number % 7}", body).status == 200
    assert client.delete("/source/k0").status == 204
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for run in range(1, 4):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(run * 120)], stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.15))
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)
        worker.stdout.close()
    # Whatever each of them had is free now; once by every later one, and so by us.
    for _ in range(8):
        later(app, 700)
        app.store.outbox.deliver()
    assert app.store.outbox.backlog() == [], seed
    mine, there = versions(client, "source"), versions(client, "far-away")
    assert len(mine) == 91
    assert there == mine, seed
    for key, version in mine[::9]:
        answers = [
            client.get(f"/{bucket}/{key}", f"versionId={version}")
            for bucket in ("source", "far-away")
        ]
        assert answers[0].status == answers[1].status, seed
        if answers[0].status == 200:
            assert answers[0].body == answers[1].body, seed
            status = [answer.headers["x-amz-replication-status"] for answer in answers]
            assert status == ["COMPLETED", "REPLICA"], seed
    app.close()


# -- a database whose connections end, and several workers


@pytest.fixture(params=["postgresql", "mariadb"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    with fresh_database(request.param, tmp_path) as url:
        made = Endpoint(request.param, url, tmp_path)
        made.app.store.outbox.enabled = False
        try:
            yield made
        finally:
            made.app.close()


def test_workers_whose_database_is_restarted_go_on(endpoint: Endpoint) -> None:
    """Two that replicate to each other, by three workers, every connection ended again and again.

    They lock the same keys of both buckets, so that an order of their own would be a deadlock.
    """
    app, client = endpoint.app, Client(endpoint.app, KEY)
    make(app, "here", "there")
    replicate(app, "here", "arn:aws:s3:::there")
    replicate(app, "there", "arn:aws:s3:::here")
    for number in range(40):
        for bucket in ("here", "there"):
            assert client.put(f"/{bucket}/k{number % 5}", str(number).encode()).status == 200
    stop = threading.Event()

    def work() -> None:
        with app.store.outbox.relay() as relay:
            relay.run(stop)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        deadline = time.monotonic() + 120
        before = 0
        for ended in itertools.count():
            backlog = app.store.outbox.backlog()
            if not backlog:
                break
            assert time.monotonic() < deadline
            if ended < 5:
                with suppress(OperationalError):
                    # One may have ended by itself meanwhile.
                    endpoint.end_connections()
            if ended % 10 == 0:
                waiting = sum(each.waiting for each in backlog)
                if waiting == before:
                    # What failed is due after a second, and a lease lasts a minute. Whoever is
                    # only slow is to keep what he has: so often taken from him, it is given up.
                    later(app, 61)
                before = waiting
            time.sleep(0.05)
    finally:
        stop.set()
        for worker in workers:
            worker.join(30)
    here, there = versions(client, "here"), versions(client, "there")
    assert len(here) == len(set(here)) == 80
    assert sorted(here) == sorted(there)


# -- another endpoint


@pytest.fixture
def offsite(tmp_path: Path) -> Iterator[tuple[LiveServer, Client]]:
    """A second s3kit, on a real socket, with a bucket ``vault``."""
    app = S3App(
        Config(
            storages={"default": str(tmp_path / "offsite")},
            index=f"sqlite:///{tmp_path / 'offsite.db'}",
            durability="relaxed",
            keys={SIGNER.access_key: SIGNER.secret_key},
            relay=False,
        )
    )
    make(app, "vault")
    with LiveServer(app) as server:
        yield server, Client(app, SIGNER)
    app.close()


def sender(url: str) -> tuple[S3App, Client]:
    app = S3App(
        Config(
            keys={SIGNER.access_key: SIGNER.secret_key},
            relay=False,
            replication_targets={
                OFFSITE: {
                    "endpoint": url,
                    "bucket": "vault",
                    "access_key": SIGNER.access_key,
                    "secret_key": SIGNER.secret_key,
                }
            },
        )
    )
    make(app, "source")
    replicate(app, "source", OFFSITE)
    return app, Client(app, SIGNER)


def test_a_bucket_at_another_endpoint_gets_everything_in_its_order(
    offsite: tuple[LiveServer, Client],
) -> None:
    server, there = offsite
    app, here = sender(server.url)
    key = "a%20b/%C3%A4%2B%2F%3Fx"
    answer = here.put(
        f"/source/{key}",
        b"x" * 300_000,
        x_amz_meta_me="you",
        x_amz_meta_place="K\xc3\xb6ln",
        Content_Type="text/x",
        Cache_Control="no-store",
        x_amz_tagging="a=b%20c",
        x_amz_storage_class="STANDARD_IA",
    )
    assert here.put("/source/empty", b"").status == 200
    first = here.head(f"/source/{key}")
    assert first.headers["x-amz-replication-status"] == "PENDING"
    assert app.store.outbox.deliver().delivered == 2
    assert here.head(f"/source/{key}").headers["x-amz-replication-status"] == "COMPLETED"
    replica = there.get(f"/vault/{key}", x_amz_checksum_mode="ENABLED")
    assert (replica.status, replica.body) == (200, b"x" * 300_000)
    for name in ("etag", "content-type", "cache-control", "x-amz-meta-me", "x-amz-meta-place"):
        assert replica.headers[name] == first.headers[name], name
    assert replica.headers[MARK] == answer.headers["x-amz-version-id"]
    assert there.get(f"/vault/{key}", "tagging").texts(".//Value") == ["b c"]
    assert there.head("/vault/empty").headers["content-length"] == "0"
    tags = b"<Tagging><TagSet><Tag><Key>n</Key><Value>1+2</Value></Tag></TagSet></Tagging>"
    assert here.put(f"/source/{key}", tags, "tagging").status == 200
    assert app.store.outbox.deliver().delivered == 1
    assert there.get(f"/vault/{key}", "tagging").texts(".//Value") == ["1+2"]
    for number in range(3):
        here.put("/source/empty", str(number).encode())
    here.delete(f"/source/{key}")
    assert app.store.outbox.deliver().delivered == 4
    assert there.get("/vault/empty").body == b"2"
    assert there.get(f"/vault/{key}").headers["x-amz-delete-marker"] == "true"
    assert len(versions(there, "vault")) == 6
    app.close()


SSE = "x-amz-server-side-encryption"
ENCRYPTING: dict[str, Any] = {"master_keys": (MASTER_KEY,), "kms_keys": KMS_KEYS}
BY_RULE = (
    "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status>"
    "</SseKmsEncryptedObjects></SourceSelectionCriteria>"
)


def encrypted_there(tmp_path: Path, here: dict[str, str], **settings: Any) -> dict[str, str]:
    """The status of an object that is encrypted here, and how it is at another endpoint."""
    folder = tempfile.mkdtemp(dir=tmp_path)
    other = S3App(
        Config(
            keys={SIGNER.access_key: SIGNER.secret_key},
            # With one in memory it would make a master key for itself.
            index=f"sqlite:///{folder}/index.db",
            relay=False,
            **settings,
        )
    )
    make(other, "vault")
    with LiveServer(other) as server:
        target = {
            "endpoint": server.url,
            "bucket": "vault",
            "access_key": SIGNER.access_key,
            "secret_key": SIGNER.secret_key,
        }
        app = S3App(
            Config(
                keys={SIGNER.access_key: SIGNER.secret_key},
                relay=False,
                delivery_attempts=1,
                replication_targets={
                    OFFSITE: target,
                    OFFSITE + "-free": {**target, "encryption": "destination"},
                },
                **ENCRYPTING,
            )
        )
        client = Client(app, SIGNER)
        found = {}
        for name, arn in (("source", OFFSITE), ("free", OFFSITE + "-free")):
            make(app, name)
            key = "<EncryptionConfiguration><ReplicaKmsKeyID>second</ReplicaKmsKeyID>"
            where = f"<Bucket>{arn}</Bucket>{key}</EncryptionConfiguration>"
            replicate(app, name, arn, where, BY_RULE)
            assert client.request("PUT", f"/{name}/{name}", "", here, b"1" * 9).status == 200
            app.store.outbox.deliver()
            answer = client.head(f"/{name}/{name}")
            there = Client(other, SIGNER).head(f"/vault/{name}").headers
            status = answer.headers.get("x-amz-replication-status", "")
            shown = (there.get(SSE, "none"), there.get(f"{SSE}-aws-kms-key-id", ""))
            found[name] = " ".join((status, *shown)).strip()
        app.close()
    other.close()
    return found


def test_what_is_encrypted_is_encrypted_elsewhere_or_not_sent(tmp_path: Path) -> None:
    """Else its plaintext would lie on somebody's disk. Who wants that has to say so."""
    by_name = {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "first"}
    there = encrypted_there(tmp_path, {SSE: "AES256"}, **ENCRYPTING)
    assert there == {"source": "COMPLETED AES256", "free": "COMPLETED none"}
    there = encrypted_there(tmp_path, by_name, **ENCRYPTING)
    assert there == {"source": "COMPLETED aws:kms second", "free": "COMPLETED none"}
    for headers in ({SSE: "AES256"}, by_name):
        there = encrypted_there(tmp_path, headers)
        assert there == {"source": "FAILED none", "free": "COMPLETED none"}


def test_one_that_is_down_gets_it_later_and_once(
    offsite: tuple[LiveServer, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, there = offsite
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        app, here = sender(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert here.put("/source/k", b"1").status == 200
    outcome = app.store.outbox.deliver()
    assert (outcome.delivered, outcome.failed) == (0, 1)
    assert here.head("/source/k").headers["x-amz-replication-status"] == "PENDING"
    app.close()
    app, here = sender(server.url)
    assert here.put("/source/k", b"1").status == 200
    # The other endpoint has it, and this one dies before it knows.
    monkeypatch.setattr("s3kit.store.replication.settled", _die)
    assert app.store.outbox.deliver().failed == 1
    assert there.get("/vault/k").body == b"1"
    monkeypatch.undo()
    later(app, 10)
    assert app.store.outbox.deliver().delivered == 1
    assert here.head("/source/k").headers["x-amz-replication-status"] == "COMPLETED"
    assert len(versions(there, "vault")) == 1
    app.close()


def _die(*arguments: object) -> str:
    raise OSError("the power is gone")


def test_a_refusal_of_the_other_endpoint_is_an_attempt_that_failed(
    offsite: tuple[LiveServer, Client],
) -> None:
    server, there = offsite
    app, here = sender(server.url)
    assert there.delete("/vault").status == 204
    assert here.put("/source/k", b"1").status == 200
    assert app.store.outbox.deliver().failed == 1
    assert here.head("/source/k").headers["x-amz-replication-status"] == "PENDING"
    make(there.app, "vault")
    later(app, 10)
    assert app.store.outbox.deliver().delivered == 1
    app.close()


def test_a125_a_target_that_is_misspelt_is_refused_and_none_shows_its_secret() -> None:
    good: dict[str, Any] = {
        "endpoint": "https://s3.example.com",
        "bucket": "vault",
        "access_key": "AKIA",
        "secret_key": "very-secret",
    }
    config = Config(replication_targets={OFFSITE: good})
    assert "very-secret" not in repr(config)
    assert "very-secret" not in repr(RemoteBucket("https://x", "vault", SIGNER))  # type: ignore[arg-type]
    for targets in (
        {"offsite": good},
        {OFFSITE: {**good, "secret_key": ""}},
        {OFFSITE: {**good, "endpoint": "ftp://s3.example.com"}},
        {OFFSITE: {**good, "endpoint": "https://user:password@s3.example.com"}},
        {OFFSITE: {**good, "bukket": "x"}},
        {OFFSITE: "https://s3.example.com"},
    ):
        with pytest.raises(ConfigError, match="replication_targets"):
            Config(replication_targets=targets)  # type: ignore[arg-type]


def test_what_locks_a_version_elsewhere_is_accepted_there() -> None:
    now = 1_000_000_000_000
    for lock in (
        ObjectLock("COMPLIANCE", now + 1, True),
        ObjectLock("GOVERNANCE", 0, None, True, 30),
        ObjectLock("GOVERNANCE", now + 5, False, True, 0, 3),
        ObjectLock("COMPLIANCE", now + 1, None, False),
        ObjectLock("COMPLIANCE", now, True),
        ObjectLock(legal_hold=False),
        NO_LOCK,
    ):
        there = read_lock_headers(dict(lock_headers(lock, now)).get, now)
        held = is_retained(lock, now)
        assert there.mode == (lock.mode if held else "")
        assert retained_until(there, now) == (retained_until(lock, now) if held else 0)
        assert (there.event_hold or False) == (lock.event_hold or False)
        assert (there.legal_hold or False) == (lock.legal_hold or False)
