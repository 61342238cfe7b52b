"""A power cut at every step of writing: nothing that was acknowledged is lost, nothing is half."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.crash import replay
from tests.crash import store_writer

pytestmark = pytest.mark.skipif(replay.missing() is not None, reason=str(replay.missing()))

HERE = Path(__file__).parent


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where disks are laid out, thousands of times: in memory if there is such a folder."""
    fast = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="s3kit-crash-", dir=fast if fast.is_dir() else tmp_path))
    yield folder / "disk"
    shutil.rmtree(folder)


def record(root: Path, script: str, *arguments: str) -> replay.Recording:
    root.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    return replay.record(
        [sys.executable, str(HERE / script), str(root), *arguments], root, environment=environment
    )


def small(
    root: Path, durability: str = "full", synchronous: str = "FULL", order: str = "", rows: int = 24
) -> replay.Recording:
    return record(root, "small_writer.py", durability, synchronous, order, str(rows))


def whole(disk: Path, acknowledged: tuple[str, ...]) -> None:
    """Every acknowledged row is there, and every row that is there has its blob, whole."""
    rows: list[tuple[int, str, str]] = []
    if (disk / "index.db").exists():
        index = sqlite3.connect(disk / "index.db")
        try:
            assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if index.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                rows = index.execute("SELECT name, blob, digest FROM objects").fetchall()
        finally:
            index.close()
    lost = set(map(int, acknowledged)) - {name for name, _, _ in rows}
    assert not lost, f"lost rows {lost}"
    for name, blob_id, digest in rows:
        path = disk / "blobs" / blob_id[:2] / blob_id
        assert path.exists(), f"row {name} has no blob"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, f"blob {name} is not whole"


def first_failure(recording: replay.Recording, disk: Path, **options: int) -> str | None:
    for crash in recording.crashes(**options):
        crash.write_to(disk)
        try:
            whole(disk, crash.acknowledged)
        except (AssertionError, sqlite3.DatabaseError) as error:
            return f"{crash}: {error}"
    return None


def test_no_power_cut_loses_what_was_acknowledged(tmp_path: Path, disk: Path) -> None:
    recording = small(tmp_path / "root")
    assert recording.acknowledged == [str(number) for number in range(24)]
    assert first_failure(recording, disk, some=2) is None


# And each of these shows that the simulator would have seen it.


def test_blobs_that_are_not_synced_are_seen_to_be_lost(tmp_path: Path, disk: Path) -> None:
    recording = small(tmp_path / "root", durability="relaxed", rows=3)
    assert "blob" in str(first_failure(recording, disk))


def test_commits_that_are_not_synced_are_seen_to_be_lost(tmp_path: Path, disk: Path) -> None:
    recording = small(tmp_path / "root", synchronous="NORMAL", rows=3)
    assert "lost rows" in str(first_failure(recording, disk))


def test_an_acknowledgement_that_comes_too_early_is_seen(tmp_path: Path, disk: Path) -> None:
    recording = small(tmp_path / "root", order="acknowledge first", rows=3)
    assert "lost rows" in str(first_failure(recording, disk))


def test_a_row_that_comes_before_its_blob_is_seen(tmp_path: Path, disk: Path) -> None:
    recording = small(tmp_path / "root", order="row first", rows=3)
    assert "blob" in str(first_failure(recording, disk))


# The whole endpoint


def intact(disk: Path, acknowledged: tuple[str, ...]) -> None:
    """The endpoint starts on this disk, and each key is as it was acknowledged, or one step on."""
    app = store_writer.open_app(str(disk), "relaxed")
    try:
        client = Client(app, store_writer.SIGNER)
        if "bucket" not in acknowledged:
            assert client.get(store_writer.BUCKET).status in (200, 404)
            return
        listed = set(client.get(store_writer.BUCKET).texts(".//Key"))
        for thread in range(store_writer.THREADS):
            done = sum(1 for line in acknowledged if line.startswith(f"{thread} "))
            found = {}
            for number in range(3):
                key = f"{store_writer.BUCKET}/{thread}/{number}"
                for path in (key, f"{key}-copy"):
                    answer = client.get(path)
                    assert answer.status in (200, 404), f"{path}: {answer}"
                    if answer.status == 200:
                        found[path] = answer.body
            before, after = store_writer.states(thread, done)
            assert found in (before, after), f"thread {thread} after {done} steps"
            names = {path.removeprefix(f"{store_writer.BUCKET}/") for path in found}
            assert {name for name in listed if name.startswith(f"{thread}/")} == names
    finally:
        app.close()
    index = sqlite3.connect(disk / "index.db")
    try:
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert index.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        index.close()


def first_harm(recording: replay.Recording, disk: Path, every: int) -> str | None:
    for crash in recording.crashes(seed=7, every=every):
        crash.write_to(disk)
        try:
            intact(disk, crash.acknowledged)
        except Exception as error:
            return f"{crash}: {error!r}"
    return None


def test_no_power_cut_harms_the_endpoint(tmp_path: Path, disk: Path) -> None:
    """A first start, and four clients whose commits are made in groups, cut at every step."""
    recording = record(tmp_path / "root", "store_writer.py", "6", "full")
    assert len(recording.acknowledged) == 1 + 6 * store_writer.THREADS
    assert first_harm(recording, disk, every=3) is None


def test_a_relaxed_endpoint_is_seen_to_lose_what_it_acknowledged(
    tmp_path: Path, disk: Path
) -> None:
    recording = record(tmp_path / "root", "store_writer.py", "2", "relaxed")
    assert first_harm(recording, disk, every=1000) is not None
