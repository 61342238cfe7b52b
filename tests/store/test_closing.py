"""Accounts that are deleted on their day: read-only until then, and nothing locked is lost."""

from __future__ import annotations

import base64
import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import AccessDenied
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidRequest
from s3kit.index import accounts as account_rows
from s3kit.index import buckets as bucket_rows
from s3kit.index import leases
from s3kit.index import usage
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_bucket_removed
from s3kit.signals import before_object_removed
from s3kit.signals import bucket_removed
from s3kit.signals import object_removed
from s3kit.store import closing
from tests.client import Client
from tests.client import Signer
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import MASTER_KEY

DAY = 86_400_000
ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def app_on(index: str, folder: Path) -> S3App:
    return S3App(
        Config(
            keys={"AKIAOPERATOR": "secret"},
            master_keys=(MASTER_KEY,),
            index=index,
            storages={"default": str(folder / "blobs")},
            inline_threshold=12,
            durability="relaxed",
            run_lifecycle=False,
        )
    )


class Site:
    """A customer with a key, two buckets and what they hold."""

    def __init__(self, app: S3App) -> None:
        self.app = app
        self.passed = 0.0
        app.store._backing.clock = lambda: time.time() + self.passed
        self.id = app.store.accounts.create(display_name="Site").id
        made = app.store.accounts.create_key(self.id)
        self.s3 = Client(app, Signer(made.access_key, made.secret_key))
        self.s3.put("/site-one")
        self.s3.put("/site-two", x_amz_bucket_object_lock_enabled="true")
        self.s3.put("/site-one/null", b"x" * 20)
        self.s3.put("/site-one", ENABLED, "versioning")
        for key in ("null", "a", "a", "b/c"):
            assert self.s3.put(f"/site-one/{key}", b"x" * 20).status == 200
        self.s3.delete("/site-one/a")
        upload = self.s3.post("/site-one/u", query="uploads").text("UploadId")
        self.s3.put("/site-one/u", b"part", f"partNumber=1&uploadId={upload}")
        self.s3.put("/site-two/free", b"free")

    def due(self) -> None:
        """Its deletion is scheduled, and the day has come."""
        self.app.store.accounts.schedule_deletion(self.id, self.app.store._backing.now() + DAY)
        self.passed += DAY / 1000 + 1

    def lock(self, key: str, days: int) -> None:
        until = time.gmtime(self.app.store._backing.clock() + days * 86400)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", until)
        answer = self.s3.put(
            f"/site-two/{key}",
            b"locked",
            x_amz_object_lock_mode="GOVERNANCE",
            x_amz_object_lock_retain_until_date=stamp,
            Content_MD5=base64.b64encode(hashlib.md5(b"locked").digest()).decode(),
        )
        assert answer.status == 200, answer.body

    @property
    def status(self) -> str:
        return self.app.store.accounts.get(self.id).status

    @property
    def buckets(self) -> list[str]:
        return [each.name for each in self.app.store.buckets.page(self.id, limit=9)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    app = app_on("memory://", tmp_path)
    yield Site(app)
    app.close()


def test_on_its_day_all_that_an_account_has_goes(site: Site) -> None:
    """IU-11: until then its keys read; then objects, uploads, buckets and keys are gone."""
    store = site.app.store
    store.quota.set_limit(site.id, 1000)
    operator = Client(site.app, Signer("AKIAOPERATOR", "secret"))
    operator.put("/elsewhere")
    operator.put("/elsewhere/k", b"stays")
    removed: list[str] = []
    told: list[str] = []

    def on_object(sender: object, event: Event) -> None:
        removed.append(f"{event.bucket}/{event.key}")

    def on_bucket(sender: object, event: Event) -> None:
        told.append(event.bucket)

    store.accounts.schedule_deletion(site.id, store._backing.now() + DAY)
    assert store.closing.run().as_dict() == closing.Report().as_dict()
    assert site.s3.get("/site-one/null").status == 200
    assert site.s3.get("/site-one").status == 200
    for refused in (
        site.s3.put("/site-one/new", b"x"),
        site.s3.delete("/site-one/null"),
        site.s3.put("/site-one/copy", x_amz_copy_source="/site-one/null"),
        site.s3.post("/site-one/u", query="uploads"),
    ):
        assert (refused.status, refused.code) == (403, "AccessDenied")
    site.passed += DAY / 1000 + 1
    with object_removed.connected_to(on_object), bucket_removed.connected_to(on_bucket):
        report = store.closing.run()
    assert (report.due, report.closed, report.kept, report.failed) == (1, 1, 0, 0)
    assert (report.removed, report.aborted, report.buckets) == (7, 1, 2)
    assert sorted(removed) == sorted(
        [*["site-one/null"] * 2, *["site-one/a"] * 3, "site-one/b/c", "site-two/free"]
    )
    assert told == ["site-one", "site-two"]
    assert site.status == "closed"
    answer = site.s3.get("/site-one/null")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    assert store.accounts.list_keys(site.id) == ()
    assert store.index.read(lambda c: usage.get(c, site.id)) is None
    assert store.quota.used(site.id) == 0
    store.collect_garbage(now=2**53)
    assert list(store.storages["default"].sweep()) == []
    assert operator.get("/elsewhere/k").body == b"stays"
    # There is nothing left to be done.
    assert store.closing.run().due == 0


def test_what_is_locked_waits_and_the_account_with_it(site: Site) -> None:
    """IU-11, A117: neither retention nor a hold is gone past; both end one day."""
    store = site.app.store
    site.lock("retained", 10)
    site.lock("held", 1)
    bucket = store.buckets.get("site-two")
    store.locks.set_legal_hold(bucket, b"held", None, True)
    site.due()
    report = store.closing.run()
    assert (report.due, report.closed, report.kept, report.buckets) == (1, 0, 2, 1)
    assert (site.status, site.buckets) == ("closing", ["site-two"])
    assert site.s3.get("/site-two/retained").body == b"locked"
    assert site.s3.get("/site-two/free").status == 404
    # Another process that comes within the hour leaves it alone.
    assert store.closing.run(since=0).due == 0
    site.passed += 10 * 86400
    report = store.closing.run()
    assert (report.closed, report.removed, report.kept) == (0, 1, 1)
    store.locks.set_legal_hold(bucket, b"held", None, False)
    report = store.closing.run()
    assert (report.closed, report.removed, report.kept) == (1, 1, 0)
    assert (site.status, site.buckets) == ("closed", [])


def test_a_veto_keeps_and_a_failing_receiver_does_not_end_the_rest(site: Site) -> None:
    site.due()

    def guard(sender: object, event: Event) -> None:
        if event.key == "b/c":
            raise Veto("evidence")
        if event.key == "null":
            raise RuntimeError("broken receiver")

    with before_object_removed.connected_to(guard):
        report = site.app.store.closing.run()
    assert (report.closed, report.failed, report.removed) == (0, 2, 4)
    assert site.buckets == ["site-one"]
    assert site.app.store.closing.run().closed == 1


def test_an_account_that_is_taken_back_keeps_what_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pays again in the middle loses nothing from that moment on."""
    site.due()
    store = site.app.store
    monkeypatch.setattr(closing, "BATCH", 1)
    plain = closing._Run._remove

    def recall(self: closing._Run, *arguments: object) -> None:
        plain(self, *arguments)  # type: ignore[arg-type]
        store.accounts.resume(site.id)

    monkeypatch.setattr(closing._Run, "_remove", recall)
    report = store.closing.run()
    assert (report.due, report.removed, report.failed, report.buckets) == (1, 1, 0, 0)
    assert site.status == "active"
    assert site.s3.put("/site-one/new", b"again").status == 200
    assert store.closing.run().due == 0


def test_an_account_that_is_taken_back_at_the_last_moment_keeps_its_buckets(site: Site) -> None:
    """With what was set for them, although they are empty by then."""
    site.due()

    def take_back(bucket: str, *, event: Event) -> None:
        site.app.store.accounts.resume(site.id)

    with before_bucket_removed.connected_to(take_back):
        report = site.app.store.closing.run()
    assert (report.buckets, report.closed, report.failed) == (0, 0, 0)
    assert site.buckets == ["site-one", "site-two"]
    assert site.status == "active"


def test_another_process_that_is_at_it_is_left_in_peace(site: Site) -> None:
    site.due()
    store = site.app.store
    monkey = closing._Run(
        store._backing, store.buckets, store.accounts, None, closing.threading.Event()
    )
    monkey.stop.set()
    monkey.visit(site.id)
    name, now = monkey._lease, leases.wall_clock()
    store.index.write(lambda c: leases.take(c, name, "other", now, now + 30_000, 60_000))
    report = store.closing.run()
    assert (report.held, report.removed) == (1, 0)
    store.index.write(lambda c: leases.keep(c, name, "other", 0, ""))
    assert store.closing.run().closed == 1


SCRIPT = """
import os, signal, sys, time
from s3kit.index.session import Index
from s3kit.store import Store, closing
from s3kit.blobs.local import LocalBlobStore
store = Store(
    Index(sys.argv[1], durability="relaxed"),
    {"default": LocalBlobStore(sys.argv[2])},
    clock=lambda: time.time() + 200_000,
)
closing.BATCH = 1
plain, left = closing.versions.remove_version, [3]
def remove(*arguments, **options):
    # In the middle of the fourth transaction, after its first statements.
    found = plain(*arguments, **options)
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
closing.versions.remove_version = remove
store.closing.run()
"""


@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_database_knows_how(kind: str, tmp_path: Path) -> None:
    with fresh_database(kind, tmp_path) as url:
        app = app_on(url, tmp_path)
        site = Site(app)
        app.store.quota.set_limit(site.id, 10_000)
        site.due()
        report = app.store.closing.run()
        assert (report.closed, report.removed, report.aborted, report.buckets) == (1, 7, 1, 2)
        app.close()


def test_a_run_that_was_killed_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 in the middle: three are gone, nothing is half gone, and the next ends it."""
    with fresh_database("sqlite", tmp_path) as url:
        app = app_on(url, tmp_path)
        site = Site(app)
        store = app.store
        store.quota.set_limit(site.id, 10_000)
        store.accounts.schedule_deletion(site.id, store._backing.now() + 1000)
        before = store.quota.used(site.id)
        killed = subprocess.run(
            [sys.executable, "-c", SCRIPT, url, str(tmp_path / "blobs")], check=False, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL
        site.passed += 200_000
        assert site.status == "closing"
        # Its part and three of its versions, of which one or two had bytes.
        used = store.quota.used(site.id)
        assert used == store.index.read(lambda c: usage.total(c, site.id))
        assert used < before
        # Who was killed is believed to live for a minute.
        assert store.closing.run().held == 1
        monkeypatch.setattr(leases, "wall_clock", lambda: int(time.time() * 1000) + 60_001)
        report = store.closing.run()
        assert (report.closed, report.removed, report.failed) == (1, 4, 0)
        assert site.status == "closed"
        app.close()


def test_pages_and_batches_come_to_the_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is held at once, the rest follows."""
    for number in range(9):
        site.s3.put(f"/site-one/{number}", b"x")
        site.s3.put(f"/site-three-{number}")
        site.s3.post(f"/site-one/{number}", query="uploads")
    site.due()
    monkeypatch.setattr(closing, "PAGE", 2)
    monkeypatch.setattr(closing, "BATCH", 1)
    report = site.app.store.closing.run()
    assert (report.closed, report.removed, report.aborted, report.buckets) == (1, 16, 10, 11)


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "sqlite"])
@pytest.mark.parametrize(("how", "had"), [("closed", True), ("deleted", False)])
def test_no_bucket_comes_to_an_account_that_goes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, had: bool
) -> None:
    """Whoever was let in just before makes none that nobody would ever own or remove."""
    with fresh_database(kind, tmp_path) as url:
        leaving, coming = app_on(url, tmp_path), app_on(url, tmp_path)
        accounts = leaving.store.accounts
        account = accounts.create(display_name="Gone").id
        if had:
            leaving.store.buckets.delete(leaving.store.buckets.create("had", account))
        assert coming.store.accounts.limits_of(account).buckets is None
        looked, go_on = threading.Event(), threading.Event()
        module, name = (
            (account_rows, "count_buckets") if how == "deleted" else (bucket_rows, "page")
        )
        plain = getattr(module, name)

        def held(*arguments: Any, **options: Any) -> Any:
            found = plain(*arguments, **options)
            # The closing looks for buckets to empty before, in a transaction of its own.
            if how == "deleted" or options == {"limit": 1}:
                looked.set()
                assert go_on.wait(60)
            return found

        monkeypatch.setattr(module, name, held)
        with ThreadPoolExecutor(2) as pool:
            if how == "closed":
                accounts.schedule_deletion(account, 1)
                going = pool.submit(leaving.store.closing.run)
            else:
                going = pool.submit(accounts.delete, account)
            assert looked.wait(60)
            making = pool.submit(coming.store.buckets.create, "late", account)
            with pytest.raises(TimeoutError):
                making.result(0.2)
            go_on.set()
            going.result(60)
            with pytest.raises(AccessDenied):
                making.result(60)
        assert leaving.store.buckets.page(account, limit=9) == []
        leaving.close()
        coming.close()


def test_a_closed_account_gets_no_bucket(site: Site) -> None:
    store = site.app.store
    site.due()
    assert store.closing.run().closed == 1
    with pytest.raises(AccessDenied):
        store.buckets.create("late", site.id)
    store.accounts.resume(site.id)
    assert store.buckets.create("again", site.id).account == site.id


def test_what_the_configuration_has_is_not_scheduled(site: Site) -> None:
    """Its keys there would go on to write what is then deleted."""
    operator = Client(site.app, Signer("AKIAOPERATOR", "secret"))
    operator.put("/operators")
    account = site.app.store.buckets.get("operators").account
    with pytest.raises(InvalidRequest, match="configuration"):
        site.app.store.accounts.schedule_deletion(account, 1)
    assert operator.put("/operators/k", b"x").status == 200
    assert site.app.store.closing.run().due == 0
    for moment in (0, -1):
        with pytest.raises(InvalidArgument):
            site.app.store.accounts.schedule_deletion(site.id, moment)
    assert site.status == "active"
