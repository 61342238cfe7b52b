"""Two workers and two janitors, and PostgreSQL crashes and comes back under them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import S3Error
from tests.cli.conftest import ROOT
from tests.cli.conftest import environment
from tests.private_postgresql import private_postgresql

HEARING = """
import os

def hear(bucket, *, event):
    out = os.open(os.environ["HEARD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{event.name}|{event.key}|{event.id}|{event.sequencer}\\n".encode())
    os.close(out)
"""
RULES = b"""<LifecycleConfiguration><Rule><ID>i</ID><Filter><Prefix>old/</Prefix></Filter>
<Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"""
OLD = 250
KEYS = 5


def test_nothing_is_lost_and_nothing_removed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hearing_restarts.py").write_text(HEARING)
    monkeypatch.syspath_prepend(str(tmp_path))
    heard = tmp_path / "heard.txt"
    heard.touch()
    with private_postgresql() as server:
        values: dict[str, Any] = {
            "index": server.url,
            "storages": {"default": str(tmp_path / "blobs")},
            "keys": {"AKIARESTART": "secret"},
            "outbox": ["hearing_restarts:hear"],
            "lifecycle_day_seconds": 1,
        }
        lines = (f"{name} = {toml(value)}" for name, value in values.items())
        (tmp_path / "s3kit.toml").write_text("\n".join(lines))
        app = S3App(Config.from_mapping({**values, "relay": False, "run_lifecycle": False}))
        client = app.client()
        client.create_bucket("photos")
        for number in range(OLD):
            client.put("photos", f"old/{number}", b"x")
        processes = [
            Running(tmp_path, heard, number, *arguments)
            for number, arguments in enumerate(
                (
                    ("worker", "--json"),
                    ("worker", "--json"),
                    ("janitor", "--interval", "0.2"),
                    ("janitor", "--interval", "0.2"),
                )
            )
        ]
        acknowledged: list[str] = []
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                key, number = f"new/{number % KEYS}", number + 1
                # As a client that is answered 503 or 500.
                with suppress(S3Error, Exception):
                    acknowledged.append(f"{key} {client.put('photos', key, b'%d' % number).etag}")
                time.sleep(0.01)

        writer = threading.Thread(target=write)
        try:
            # From here on all four are at work, and the janitors find something to do.
            wait_until(lambda: b"old/" in heard.read_bytes(), heard, processes)
            wait_until(lambda: all(each.printed() for each in processes), heard, processes)
            photos = app.store.buckets.get("photos")
            app.store.buckets.put_setting(photos, "lifecycle", RULES)
            writer.start()
            for _ in range(2):
                time.sleep(0.7)
                server.stop()
                time.sleep(0.3)
                server.start()
            time.sleep(1)
            stop.set()
            writer.join()
            wait_until(lambda: not list(client.list("photos", "old/")), heard, processes)
            wait_until(lambda: not app.store.outbox.backlog(), heard, processes)
        finally:
            stop.set()
            if writer.ident is not None:
                writer.join()
            for each in processes:
                each.process.terminate()
            codes = [each.ended() for each in processes]
            app.close()
        # A janitor tells by 1 that a run of its met the crash.
        assert set(codes) <= {0, 1}, [each.errors() for each in processes]
        created: dict[str, list[str]] = defaultdict(list)
    expired: dict[str, set[str]] = defaultdict(set)
    for line in heard.read_text().splitlines():
        name, key, event_id, sequencer = line.split("|")
        if name == "s3:LifecycleExpiration:Delete":
            expired[key].add(event_id)
        elif name.startswith("s3:ObjectCreated:") and sequencer not in created[key]:
            created[key].append(sequencer)
    assert set(expired) == {f"old/{number}" for number in range(OLD)}
    # One event per object, however often it was told.
    assert {len(ids) for ids in expired.values()} == {1}
    assert len(acknowledged) > KEYS
    for key in {line.split()[0] for line in acknowledged}:
        wanted = sum(line.startswith(f"{key} ") for line in acknowledged)
        assert len(created[key]) >= wanted
        assert created[key] == sorted(created[key])


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


class Running:
    """A command at work. It writes into files, for a pipe that nobody reads would stop it."""

    def __init__(self, folder: Path, heard: Path, number: int, *arguments: str) -> None:
        self._files = folder / f"printed-{number}.txt", folder / f"errors-{number}.txt"
        with self._files[0].open("w") as printed, self._files[1].open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "s3kit", *arguments, "--config", "s3kit.toml"],
                cwd=folder,
                env={**environment(HEARD=str(heard)), "PYTHONPATH": f"{ROOT}:{folder}"},
                stdout=printed,
                stderr=errors,
            )

    def printed(self) -> str:
        return self._files[0].read_text()

    def errors(self) -> str:
        return self._files[1].read_text()[-1500:]

    def ended(self) -> int:
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def wait_until(is_so: Any, heard: Path, processes: list[Running]) -> None:
    # A lease of a worker that lost what it held is a minute.
    end = time.monotonic() + 120
    while not is_so():
        ended = [each.errors() for each in processes if each.process.poll() is not None]
        assert not ended, "\n\n".join(ended)
        assert time.monotonic() < end, heard.read_text()[-500:]
        time.sleep(0.1)
