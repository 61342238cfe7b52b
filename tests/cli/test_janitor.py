"""``s3kit janitor`` in processes of its own: alone, two at once, killed, and beside a server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config
from s3kit.errors import ServiceUnavailable
from s3kit.errors import SlowDown
from s3kit.index import CommitFailed
from s3kit.index import leases
from s3kit.index import lifecycle as rows
from s3kit.model import Bucket
from s3kit.model import Versioning
from s3kit.store import Attributes
from s3kit.store import Store
from s3kit.store.lifecycle import Lifecycles
from s3kit.store.lifecycle import Report
from tests.cli.conftest import S3KIT
from tests.cli.conftest import Start
from tests.cli.conftest import environment
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.store.test_lifecycle import ANY
from tests.store.test_lifecycle import reader
from tests.store.test_lifecycle import transition

Run = Callable[..., subprocess.CompletedProcess[str]]
BUCKETS = 3
OBJECTS = 80
RULES = (
    "<LifecycleConfiguration><Rule><ID>i</ID>{}<Status>Enabled</Status>{}</Rule>"
    "</LifecycleConfiguration>"
)
EXPIRE = "<Expiration><Days>1</Days></Expiration>"


def put_rules(store: Store, bucket: Bucket, actions: str) -> None:
    store.buckets.put_setting(bucket, "lifecycle", RULES.format(ANY, actions).encode())


def as_toml(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) + "}"


@contextmanager
def endpoint(folder: Path, kind: str) -> Iterator[S3App]:
    """A store whose day is a second, and its configuration file."""
    with fresh_database(kind, folder) as index:
        settings: dict[str, Any] = {
            "index": index,
            "keys": {"AKIAJANITOR": "secret"},
            "storages": {"default": f"{folder}/hot", "cold": f"{folder}/cold"},
            "storage_classes": {"GLACIER": "cold"},
            "lifecycle_day_seconds": 1,
            "smallest_transition": 0,
            "inline_threshold": 0,
            "durability": "relaxed",
        }
        (folder / "s3kit.toml").write_text(
            "\n".join(f"{name} = {as_toml(value)}" for name, value in settings.items())
        )
        app = S3App(Config(**settings, run_lifecycle=False))
        try:
            yield app
        finally:
            app.close()


KILLED = """
import os, signal, sys
from s3kit.blobs.local import _Writer
from s3kit.cli import main
from s3kit.store.lifecycle import _Walk

owner, name = {"bytes": (_Writer, "commit"), "row": (_Walk, "_point"), "told": (_Walk, "_tell")}[
    sys.argv.pop(1)
]
real = getattr(owner, name)
left = 20

def killing(*arguments, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(owner, name, killing)
main()
"""
"""Kills itself the 20th time that bytes were copied, that their row is in a transaction, and that
it is committed. Whoever looks on from outside may look too late."""


def start_janitor(
    folder: Path, *arguments: str, program: tuple[str, ...] = S3KIT
) -> subprocess.Popen[str]:
    command = [sys.executable, *program, "janitor", "--config", "s3kit.toml", "--json"]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def fill(store: Store, versioning: Versioning, count: int, body: bytes = b"x") -> list[Bucket]:
    """Buckets whose objects are old enough for what the tests ask for, however fast they begin."""
    made = []
    store._backing.clock = lambda: time.time() - 10
    for number in range(BUCKETS):
        bucket = store.buckets.create(f"bucket-{number}", "owner")
        if versioning is not Versioning.NEVER:
            store.buckets.set_versioning(bucket, versioning)
        for each in range(count):
            store.objects.put(bucket, b"key-%04d" % each, reader(body), Attributes("owner"))
        made.append(bucket)
    store._backing.clock = time.time
    return made


def entries(store: Store, bucket: Bucket) -> list[Any]:
    found = store.list_versions(
        bucket,
        prefix=b"",
        delimiter=b"",
        key_marker=b"",
        version_id_marker=None,
        limit=10_000,
    )
    return found.versions


@pytest.mark.parametrize("kind", KINDS)
def test_two_at_once_share_the_work_and_do_nothing_twice(tmp_path: Path, kind: str) -> None:
    with endpoint(tmp_path, kind) as app:
        store = app.store
        buckets = fill(store, Versioning.ENABLED, OBJECTS)
        for bucket in buckets:
            put_rules(store, bucket, EXPIRE)
        both = [start_janitor(tmp_path, "--once") for _ in range(2)]
        done = [result(process) for process in both]
        assert sum(each["marked"] for each in done) == BUCKETS * OBJECTS
        assert sum(each["failed"] + each["removed"] for each in done) == 0
        for bucket in buckets:
            found = entries(store, bucket)
            assert set(Counter(each.key for each in found if each.delete_marker).values()) == {1}
            assert len(found) == 2 * OBJECTS


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_killed_is_gone_on_with_and_no_byte_is_lost(tmp_path: Path, kind: str) -> None:
    """kill -9 between the copies of bytes, the commits that point at them, and the next page."""
    body = b"0123456789" * 2000
    with endpoint(tmp_path, kind) as app:
        store = app.store
        buckets = fill(store, Versioning.NEVER, OBJECTS, body)
        for bucket in buckets:
            put_rules(store, bucket, transition(0, "GLACIER"))

        def moved() -> int:
            return sum(
                each.storage_class == "GLACIER"
                for bucket in buckets
                for each in entries(store, bucket)
            )

        for moment in ("bytes", "told", "row") if kind == "sqlite" else ("row",):
            process = start_janitor(tmp_path, "--once", program=("-c", KILLED, moment))
            errors = process.communicate(timeout=120)[1]
            assert process.returncode == -signal.SIGKILL, errors
        assert 0 < moved() < BUCKETS * OBJECTS
        # It waits for the dead one's lease, which is as long as a day here.
        report = result(start_janitor(tmp_path, "--once"))
        assert (report["held"], report["failed"]) == (0, 0)
        assert moved() == BUCKETS * OBJECTS
        for bucket in buckets:
            for each in entries(store, bucket):
                version = store.objects.get(bucket, each.key)
                assert version.content is not None
                assert version.content.storage == "cold"
                assert b"".join(store.objects.read(version)) == body
        store.collect_garbage(now=2**53)
        assert list(store.storages["default"].sweep()) == [] or all(
            blob == "0" * 32 for blob, _ in store.storages["default"].sweep()
        )


def test_it_says_what_it_has_done_and_fails_where_it_could_not(run: Run, tmp_path: Path) -> None:
    with endpoint(tmp_path, "sqlite") as app:
        store = app.store
        bucket = store.buckets.create("bucket", "owner")
        version = store.objects.put(bucket, b"key", reader(b"x" * 100), Attributes("owner"))
        put_rules(store, bucket, transition(0, "GLACIER"))
        assert version.content is not None
        blob = version.content.id
        arguments = ("janitor", "--once", "--config", "s3kit.toml")
        store.storages["default"].delete(blob)
        failed = run(*arguments)
        assert failed.returncode == 1, failed.stderr
        assert "1 could not be done" in failed.stderr
        writer = store.storages["default"].create(blob)
        writer.write(b"x" * 100)
        writer.commit()
        leaver = store.accounts.create().id
        store.buckets.create("left", leaver)
        store.objects.put(store.buckets.get("left"), b"k", reader(b"x"), Attributes(leaver))
        store.accounts.schedule_deletion(leaver, 1)
        right = run(*arguments)
        assert right.returncode == 0, right.stderr
        assert "Closed 1 accounts; 1 versions went with such." in right.stdout
        assert store.accounts.get(leaver).status == "closed"
        assert "Looked at 1 versions in 1 buckets" in right.stdout
        assert "1 moved to another storage class" in right.stdout
    assert run("janitor", "--once", "--data", "memory").returncode == 2


def test_it_goes_on_until_it_is_told_to_end(tmp_path: Path) -> None:
    with endpoint(tmp_path, "sqlite") as app:
        store = app.store
        bucket = store.buckets.create("bucket", "owner")
        put_rules(store, bucket, EXPIRE)
        store.objects.put(bucket, b"key", reader(b"x"), Attributes("owner"))
        process = start_janitor(tmp_path, "--interval", "0.2")
        assert process.stdout is not None
        try:
            removed = 0
            while not removed:
                removed = json.loads(process.stdout.readline())["removed"]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0
        name = f"lifecycle/{bucket.id}"
        lease = store.index.read(lambda c: leases.get(c, name))
        assert lease is not None
        assert lease.until == 0
        assert store.index.read(lambda c: rows.count(c, bucket.id)) == 0


@pytest.mark.parametrize(
    "error", [ServiceUnavailable(), SlowDown(), CommitFailed("the connection was lost")], ids=repr
)
def test_it_outlives_a_database_that_is_away_or_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = Lifecycles.run
    runs = 0

    def failing(self: Lifecycles, **options: Any) -> Report:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise error
        signal.raise_signal(signal.SIGTERM)
        return real(self, **options)

    monkeypatch.setattr(Lifecycles, "run", failing)
    with endpoint(tmp_path, "sqlite"):
        settings = str(tmp_path / "s3kit.toml")
        done = CliRunner().invoke(cli, ["janitor", "--interval", "0.1", "--config", settings])
    assert done.exit_code == 1
    assert "What is due is tried again later." in done.stderr
    assert "Looked at 0 versions" in done.stdout
    assert runs == 2


def test_an_endpoint_that_nobody_asks_anything_runs_it_too(serve: Start, tmp_path: Path) -> None:
    with endpoint(tmp_path, "sqlite") as app:
        store = app.store
        bucket = store.buckets.create("bucket", "owner")
        put_rules(store, bucket, EXPIRE)
        store.objects.put(bucket, b"key", reader(b"x"), Attributes("owner"))
        serve("--config", "s3kit.toml", "--workers", "2")
        limit = time.monotonic() + 60
        while store.index.read(lambda c: rows.count(c, bucket.id)):
            assert time.monotonic() < limit
            time.sleep(0.02)
