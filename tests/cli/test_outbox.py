"""Workers in processes of their own: several at once, killed, stopped, without their database."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config
from tests.cli.conftest import ROOT
from tests.cli.conftest import Serving
from tests.cli.conftest import environment
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.databases import server_url

HEARING = """
import os, time

def hear(bucket, *, event):
    if not event.name.startswith("s3:ObjectCreated:"):
        return
    line = f"{os.getpid()} {event.id} {event.key} {event.sequencer}\\n"
    out = os.open(os.environ["HEARD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, line.encode())
    os.close(out)
    if event.key == "fails":
        raise ValueError("no")
    if event.key == "slow" and os.environ.get("SLOW"):
        time.sleep(600)
"""
NUMBERS = itertools.count()


class Place:
    """An endpoint's settings, an app on them that stores, and workers that deliver."""

    def __init__(self, folder: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.heard = folder / "heard.txt"
        self.heard.touch()
        module = f"hearing{next(NUMBERS)}"
        self.target = f"{module}:hear"
        (folder / f"{module}.py").write_text(HEARING)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("HEARD", str(self.heard))
        values: dict[str, Any] = {
            "index": index,
            "storages": {"default": str(folder / "blobs")},
            "keys": {"AKIAWORKER": "secret"},
            "outbox": [self.target],
        }
        self.config = folder / "s3kit.toml"
        self.config.write_text(
            "".join(f"{name} = {toml(value)}\n" for name, value in values.items())
        )
        self.app = S3App(Config.from_mapping({**values, "relay": False, "durability": "relaxed"}))
        self.client = self.app.client()
        self.client.create_bucket("photos")
        self.app.store.outbox.deliver()
        self.workers: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The command, running in this folder."""
        path = f"{ROOT}{os.pathsep}{self.folder}"
        process = subprocess.Popen(
            [sys.executable, "-m", "s3kit", *arguments, "--config", str(self.config)],
            cwd=self.folder,
            env={**environment(HEARD=str(self.heard), **variables), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.workers.append(process)
        return process

    def run(self, *arguments: str) -> Any:
        """The command, run to its end in this process."""
        return CliRunner().invoke(cli, [*arguments, "--config", str(self.config)])

    def worker(self, **variables: str) -> subprocess.Popen[str]:
        """A worker that has begun."""
        process = self.command("worker", "--json", **variables)
        assert process.stdout is not None
        assert self.target in json.loads(process.stdout.readline())["targets"]
        return process

    def lines(self) -> list[list[str]]:
        """What was heard: process, event, key, sequencer."""
        return [line.split() for line in self.heard.read_text().splitlines()]

    def wait(self, condition: Callable[[], object]) -> None:
        # A lease is a minute.
        limit = time.monotonic() + 150
        while not condition():
            assert time.monotonic() < limit, self.app.store.outbox.backlog()
            assert all(each.poll() in (None, -signal.SIGKILL) for each in self.workers)
            time.sleep(0.02)

    def wait_until_empty(self) -> None:
        self.wait(lambda: not self.app.store.outbox.backlog())

    def check(self, expected: int) -> None:
        """Each event was heard, and those of a key, repeats left out, in their order."""
        keys: dict[str, dict[str, str]] = {}
        for _, number, key, sequencer in self.lines():
            assert keys.setdefault(key, {}).setdefault(number, sequencer) == sequencer
        for heard in keys.values():
            assert list(heard.values()) == sorted(heard.values())
        assert sum(len(heard) for heard in keys.values()) == expected

    def close(self) -> None:
        for each in self.workers:
            if each.poll() is None:
                each.kill()
            each.communicate()
        self.app.close()


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


Make = Callable[[str], Place]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    places: list[Place] = []

    def made(index: str = "") -> Place:
        place = Place(tmp_path, index or f"sqlite:///{tmp_path}/index.db", monkeypatch)
        places.append(place)
        return place

    yield made
    for place in places:
        place.close()


@pytest.mark.parametrize("kind", KINDS)
def test_workers_at_once_deliver_everything_in_order(kind: str, make: Make, tmp_path: Path) -> None:
    """Stopped by SIGTERM they end well, and have repeated nothing."""
    with fresh_database(kind, tmp_path) as url:
        place = make(url)
        workers = [place.worker() for _ in range(2)]
        for number in range(120):
            place.client.put("photos", f"key{number % 7}", b"")
        place.wait_until_empty()
        delivered = 0
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            out, errors = worker.communicate(timeout=120)
            assert (worker.returncode, errors) == (0, "")
            delivered += json.loads(out.splitlines()[-1])["total"]["delivered"]
        assert (delivered, len(place.lines())) == (120, 120)
        place.check(120)
        place.close()


def test_a_worker_killed_in_a_delivery_loses_nothing(make: Make) -> None:
    """What it had is another's when its lease has run out; until then its keys wait."""
    place = make("")
    for number in range(8):
        place.client.put("photos", f"key{number % 2}", b"")
    place.client.put("photos", "slow", b"")
    for _ in range(2):
        place.client.put("photos", "slow", b"later")
    worker = place.worker(SLOW="1")
    place.wait(lambda: any(line[2] == "slow" for line in place.lines()))
    worker.kill()
    worker.communicate()
    outbox = place.app.store.outbox
    waiting = outbox.backlog()[0].waiting
    assert waiting >= 3
    assert not outbox.deliver()
    ahead = time.time
    place.app.store._backing.clock = lambda: ahead() + 61
    assert outbox.deliver().delivered == waiting
    place.check(11)
    slow = [number for _, number, key, _ in place.lines() if key == "slow"]
    assert slow[0] == slow[1]
    assert len(set(slow)) == 3


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_workers_survive_a_database_that_ends_their_connections(
    kind: str, make: Make, tmp_path: Path
) -> None:
    """As it does when it is restarted, or fails over."""
    admin = create_engine(server_url(kind), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with fresh_database(kind, tmp_path) as url:
        parsed = make_url(url)
        name = f"s3kit-worker-{time.time_ns()}"
        if kind == "postgresql":
            parsed = parsed.update_query_dict({"application_name": name})
        place = make(parsed.render_as_string(hide_password=False))
        for _ in range(2):
            place.worker()
        with admin.connect() as connection:
            for number in range(40):
                place.client.put("photos", f"key{number % 5}", b"")
                if number % 13 == 12:
                    end_connections(connection, kind, name, parsed.database)
        place.wait_until_empty()
        place.check(40)
        place.close()
    admin.dispose()


def end_connections(connection: Any, kind: str, name: str, database: str | None) -> None:
    if kind == "postgresql":
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :n"
        connection.execute(text(query), {"n": name})
        return
    query = "SELECT id FROM information_schema.processlist WHERE db = :n"
    for (number,) in connection.execute(text(query), {"n": database}).all():
        # It may have gone by itself.
        with suppress(OperationalError):
            connection.exec_driver_sql(f"KILL {number}")


def test_a_worker_delivers_once_and_says_how_it_went(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    place = make("")
    place.client.put("photos", "a", b"")
    done = place.run("worker", "--once", "--json")
    assert (done.exit_code, json.loads(done.stdout)["total"]) == (
        0,
        {"delivered": 1, "failed": 0, "given_up": 0},
    )
    place.client.put("photos", "fails", b"")
    done = place.run("worker", "--once")
    assert (done.exit_code, done.stdout) == (
        1,
        "Altogether: 0 delivered, 1 failed for now, 0 given up.\n",
    )
    assert "ValueError: no" in caplog.text
    assert place.run("worker", "--once", "--quiet").stdout == ""
    told = json.loads(place.run("outbox", "--json").stdout)
    assert told.pop("oldest_seconds") < 60
    assert told == {"target": place.target, "waiting": 1, "given_up": 0}


def test_what_was_given_up_is_shown_and_tried_again(make: Make) -> None:
    place = make("")
    outbox = place.app.store.outbox
    assert place.run("outbox").stdout == "No event waits.\n"
    outbox.attempts = 1
    place.client.put("photos", "fails", b"")
    assert outbox.deliver().dead == 1
    shown = place.run("outbox", "--dead").stdout
    assert shown.endswith(f"photos/fails for {place.target}, 1 attempts: ValueError: no\n")
    assert json.loads(place.run("outbox", "--dead", "--json").stdout)["key"] == "fails"
    assert place.run("outbox", "--retry", place.target).stdout == "1 events are tried again.\n"
    assert outbox.backlog()[0].waiting == 1
    assert "1 wait" in place.run("outbox").stdout
    assert outbox.deliver().dead == 1
    wrong = place.run("outbox", "--forget", place.target + "s")
    assert (wrong.exit_code, f'Did you mean "{place.target}"?' in wrong.stderr) == (2, True)
    assert place.run("outbox", "--forget", place.target).stdout == "1 events are forgotten.\n"
    assert outbox.backlog() == []


def test_a_worker_says_what_waits_for_somebody_else(make: Make) -> None:
    place = make("")
    place.client.put("photos", "a", b"")
    place.config.write_text(place.config.read_text().replace("outbox =", "plugins = []\n#"))
    done = place.run("worker", "--once")
    assert done.exit_code == 0
    assert f"1 events wait for {place.target}, which is no target here." in done.stderr


def test_a_target_that_cannot_be_imported_stops_the_worker(make: Make) -> None:
    place = make("")
    place.config.write_text(place.config.read_text().replace(":hear", ":her"))
    done = place.run("worker", "--once")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: A target in the settings outbox or notifications cannot")


def test_serve_delivers_what_was_left_before_it_started(make: Make) -> None:
    place = make("")
    place.client.put("photos", "a", b"")
    path = f"{ROOT}{os.pathsep}{place.folder}"
    serving = Serving(
        ["--config", str(place.config), "--server", "werkzeug"],
        place.folder,
        {"HEARD": str(place.heard), "PYTHONPATH": path},
    )
    try:
        place.wait_until_empty()
        place.client.put("photos", "b", b"")
        place.wait_until_empty()
    finally:
        serving.close()
    assert [line[2] for line in place.lines()] == ["a", "b"]
