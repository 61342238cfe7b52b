"""Two workers and two janitors, and PostgreSQL crashes and comes back under them."""

from __future__ import annotations

import json
import signal
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
            start(tmp_path, heard, command, *arguments)
            for command, *arguments in (
                ("worker", "--quiet"),
                ("worker", "--quiet"),
                ("janitor", "--interval", "0.2"),
                ("janitor", "--interval", "0.2"),
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
            time.sleep(2)
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
            for process in processes:
                process.send_signal(signal.SIGTERM)
            results = [process.communicate(timeout=60) for process in processes]
            app.close()
        # A janitor tells by 1 that a run of its met the crash.
        assert [process.returncode in (0, 1) for process in processes] == [True] * 4, results
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


def start(folder: Path, heard: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "s3kit", *arguments, "--config", "s3kit.toml"],
        cwd=folder,
        env={**environment(HEARD=str(heard)), "PYTHONPATH": f"{ROOT}:{folder}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(is_so: Any, heard: Path, processes: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        ended = [process.communicate()[1] for process in processes if process.poll() is not None]
        assert not ended, "\n\n".join(each[-1500:] for each in ended)
        assert time.monotonic() < end, heard.read_text()[-500:]
        time.sleep(0.1)
