"""``s3kit backup`` of an endpoint in use, and ``s3kit restore`` of it into empty places.

One client writes to ``s3kit serve`` without a pause while the backup is taken. Its requests follow
one another, so whatever is restored must be what was there after some number of them, not fewer
than were answered before the backup began, and not more than were sent when it ended.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Serving
from tests.cli.conftest import environment
from tests.databases import fresh_database

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Serving]
State = dict[tuple[str, str], bytes]

BUCKETS = ("first", "second")


class Writer:
    """A client that never rests, and what was there after each of its requests."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._random = random.Random(4)
        self.states: list[State] = [{}]
        self.sent = 0
        self.error: BaseException | None = None
        for bucket in BUCKETS:
            client.create_bucket(Bucket=bucket)

    @property
    def answered(self) -> int:
        return len(self.states) - 1

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.error is None, self.error

    def _write(self) -> None:
        try:
            for number in itertools.count(1):
                if self._stop.is_set():
                    return
                state = dict(self.states[-1])
                send = self._choose(number, state)
                self.sent = number
                send()
                self.states.append(state)
        except BaseException as error:
            self.error = error

    def _choose(self, number: int, state: State) -> Callable[[], object]:
        """Change the state, and answer what makes the endpoint do the same."""
        client, chance = self._client, self._random
        bucket, key = chance.choice(BUCKETS), f"key/{chance.randrange(60):02} ü"
        if number % 7 == 0 and (bucket, key) in state:
            del state[bucket, key]
            return lambda: client.delete_object(Bucket=bucket, Key=key)
        source = chance.choice(sorted(state)) if number % 11 == 0 and state else (bucket, key)
        # A copy onto itself is no copy.
        if source != (bucket, key):
            state[bucket, key] = state[source]
            where = {"Bucket": source[0], "Key": source[1]}
            return lambda: client.copy_object(Bucket=bucket, Key=key, CopySource=where)
        if number % 13 == 0:
            keys = [f"key/{chance.randrange(60):02} ü" for _ in range(5)]
            for each in keys:
                state.pop((bucket, each), None)
            wanted = {"Objects": [{"Key": each} for each in keys]}
            return lambda: client.delete_objects(Bucket=bucket, Delete=wanted)
        size = chance.choice((0, 10, 5000, 70_000, 200_000))
        body = hashlib.sha256(b"%d" % number).digest() * (size // 32 + 1)
        state[bucket, key] = body
        if number % 5 == 0:
            return lambda: self._upload(bucket, key, body)
        return lambda: client.put_object(Bucket=bucket, Key=key, Body=body)

    def _upload(self, bucket: str, key: str, body: bytes) -> None:
        name = {"Bucket": bucket, "Key": key}
        upload = self._client.create_multipart_upload(**name)["UploadId"]
        part = {**name, "UploadId": upload, "PartNumber": 3}
        etag = self._client.upload_part(**part, Body=body)["ETag"]
        parts = {"Parts": [{"PartNumber": 3, "ETag": etag}]}
        self._client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload=parts)


def state_of(client: Any) -> State:
    """All that an endpoint shows, each object read and compared with its listing."""
    found: State = {}
    assert [each["Name"] for each in client.list_buckets()["Buckets"]] == list(BUCKETS)
    for bucket in BUCKETS:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 7}
        )
        keys = []
        for entry in (entry for page in pages for entry in page.get("Contents", ())):
            answer = client.get_object(Bucket=bucket, Key=entry["Key"])
            body = found[bucket, entry["Key"]] = answer["Body"].read()
            assert len(body) == entry["Size"] == answer["ContentLength"]
            assert entry["ETag"] == answer["ETag"]
            md5 = hashlib.md5(body, usedforsecurity=False)
            if "-" in entry["ETag"]:
                md5 = hashlib.md5(md5.digest(), usedforsecurity=False)
            assert entry["ETag"].strip('"').partition("-")[0] == md5.hexdigest()
            assert entry["LastModified"].replace(microsecond=0) == answer["LastModified"]
            keys.append(entry["Key"])
        assert keys == sorted(keys)
    return found


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    with fresh_database("postgresql", folder) as url:
        config = folder / "postgresql.toml"
        config.write_text(f"index = {json.dumps(url)}\n[storages]\ndefault = '{folder}/pg/blobs'\n")
        yield str(config)


def test_an_endpoint_in_use_is_restored_as_it_was_at_one_moment(
    serve: Start, run: Run, tmp_path: Path
) -> None:
    server = serve("--workers", "2")
    client, secret = server.client(), server.shown("secret key")
    with Writer(client) as writer:
        limit = time.monotonic() + 60
        while writer.answered < 150 and time.monotonic() < limit:
            time.sleep(0.05)
        ranges = []
        for _ in range(2):
            first = writer.answered
            result = run("backup", "backups", "--json", "--include-keys")
            assert result.returncode == 0, result.stderr
            ranges.append((json.loads(result.stdout), first, writer.sent))
    assert ranges[0][0]["kept"] == 0
    assert ranges[1][0]["kept"] > 0

    # SQLite to SQLite, on another data folder, with the keys: clients go on as they were.
    made, first, last = ranges[1]
    result = run("restore", "backups", "--data", "again")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Restored {made['name']}: {made['blobs']} blobs" in result.stdout
    again = serve("--data", "again")
    found = state_of(again.client(again.shown("access key"), secret))
    assert found in writer.states[first : last + 1]
    assert run("scrub", "--data", "again").returncode == 0

    # The earlier one, SQLite to PostgreSQL.
    made, first, last = ranges[0]
    with postgresql(tmp_path) as config:
        arguments = ("--data", "pg", "--config", config)
        result = run("restore", "backups", "--snapshot", made["name"], *arguments)
        assert result.returncode == 0, result.stderr
        server = serve(*arguments)
        found = state_of(server.client(secret_key=secret))
        assert found in writer.states[first : last + 1]
        # It can be written to, and swept: the restored storages are its own.
        server.client(secret_key=secret).put_object(Bucket="first", Key="new", Body=b"x" * 99_999)
        result = run("gc", "--orphans", *arguments)
        assert (result.returncode, "Swept 0 orphans." in result.stdout) == (0, True), result.stderr
        assert run("scrub", *arguments).returncode == 0
        assert server.stop() == 0
        # And back again, PostgreSQL to SQLite; the old destination is the other endpoint's.
        assert "holds the backups of another index" in run("backup", "backups", *arguments).stderr
        assert run("backup", "more", *arguments, "--include-keys").returncode == 0
    result = run("restore", "more", "--data", "third")
    assert result.returncode == 0, result.stderr
    third = serve("--data", "third")
    found = state_of(third.client(secret_key=secret))
    assert found.pop(("first", "new")) == b"x" * 99_999
    assert found in writer.states[first : last + 1]


@pytest.fixture
def filled(serve: Start, tmp_path: Path) -> Serving:
    """An endpoint with 40 objects of 100 KB."""
    server = serve("--workers", "1")
    client = server.client()
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket)
    for number in range(40):
        client.put_object(Bucket="first", Key=f"{number:02}", Body=b"%02d" % number * 50_000)
    return server


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "s3kit", *arguments], cwd=folder, env=environment()
    )


def wait_for_blobs(folder: Path, number: int) -> None:
    limit = time.monotonic() + 60
    while sum(1 for path in folder.rglob("*") if path.is_file()) < number:
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_backup_and_a_restore_that_are_killed_are_finished_by_the_same_command(
    filled: Serving, run: Run, tmp_path: Path
) -> None:
    # At this rate it takes 13 seconds: on a busy machine we may come late.
    process = start(tmp_path, "backup", "backups", "--rate", "300K")
    try:
        wait_for_blobs(tmp_path / "backups" / "blobs", 6)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert "No backup at backups." in run("restore", "backups", "--data", "again").stderr
    assert not (tmp_path / "again").exists()
    made = json.loads(run("backup", "backups", "--json").stdout)
    assert (made["blobs"], made["damaged"]) == (40, 0)
    assert made["kept"] >= 4

    process = start(tmp_path, "restore", "backups", "--data", "again", "--rate", "300K")
    try:
        wait_for_blobs(tmp_path / "again" / "blobs", 6)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    restored = json.loads(run("restore", "backups", "--data", "again", "--json").stdout)
    assert (restored["blobs"], restored["damaged"]) == (40, 0)
    assert restored["kept"] >= 3
    assert run("scrub", "--data", "again").returncode == 0
    result = run("restore", "backups", "--data", "again")
    assert result.returncode == 2
    assert "The index is not empty. Restore into a new one" in result.stderr


def test_what_is_there_is_listed_and_old_ones_are_removed(
    filled: Serving, run: Run, tmp_path: Path
) -> None:
    first = run("backup", "backups")
    assert first.returncode == 0
    assert "40 copied, 0 already there" in first.stdout
    assert "Not in it: keys and settings." in first.stdout
    filled.client().delete_object(Bucket="first", Key="00")
    second = run("backup", "backups", "--keep", "1", "--include-keys")
    assert "0 copied, 39 already there" in second.stdout
    assert "Removed 1 blobs of older backups." in second.stdout
    listed = run("restore", "backups", "--list").stdout
    assert re.fullmatch(r"2\S+Z-\S{4}  \S+ \S+ UTC  39 objects, 39 blobs, 3.7 MiB\n", listed)
    as_json = json.loads(run("restore", "backups", "--list", "--json").stdout)
    assert (as_json["blobs"], as_json["damaged"]) == (39, 0)
    # Only with the keys do they come along; those of a folder that has some stay.
    assert run("restore", "backups", "--data", "again").returncode == 0
    for name in ("master.key", "credentials"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()
        assert (tmp_path / "again" / name).stat().st_mode & 0o777 == 0o600


def test_keys_are_restored_whole_or_not_at_all(serve: Start, run: Run, tmp_path: Path) -> None:
    serve("--workers", "1").stop()
    assert run("backup", "backups", "--include-keys").returncode == 0
    (snapshot,) = (tmp_path / "backups" / "snapshots").iterdir()
    whole = (snapshot / "credentials").read_bytes()
    # As a full disk, or rot, leaves it.
    (snapshot / "credentials").write_bytes(whole[:-9])
    result = run("restore", "backups", "--data", "again")
    assert result.returncode == 2
    assert "credentials of" in result.stderr
    assert "is damaged: its SHA-256" in result.stderr
    assert not (tmp_path / "again" / "credentials").exists()
    (snapshot / "credentials").write_bytes(whole)
    assert run("restore", "backups", "--data", "again").returncode == 0
    for name in ("master.key", "credentials"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()
        assert (tmp_path / "again" / name).stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "again").glob(".restore-*"))


def test_keys_of_a_backup_are_not_put_where_it_is_not_restored(
    serve: Start, run: Run, tmp_path: Path
) -> None:
    server = serve("--workers", "1")
    server.client().create_bucket(Bucket="first")
    assert run("backup", "backups", "--include-keys").returncode == 0
    server.stop()
    (tmp_path / "data" / "credentials").unlink()
    assert "The index is not empty" in run("restore", "backups").stderr
    assert not (tmp_path / "data" / "credentials").exists()


def test_a_damaged_manifest_is_in_nobodys_way_but_a_removals(
    emptied: Path, run: Run, tmp_path: Path
) -> None:
    (first,) = (tmp_path / "backups" / "snapshots").iterdir()
    second = json.loads(run("backup", "backups", "--json").stdout)["name"]
    (first / "manifest.json").write_text("{")
    listed = run("restore", "backups", "--list")
    assert listed.returncode == 0
    assert [line.partition("  ")[0] for line in listed.stdout.splitlines()] == [first.name, second]
    assert f"{first.name}  damaged\n" in listed.stdout
    assert listed.stderr == (
        f"Damaged: {first.name}: manifest.json is no JSON: the backup is damaged.\n"
    )
    as_json = run("restore", "backups", "--list", "--json").stdout.splitlines()
    assert set(json.loads(as_json[0])) == {"name", "problem"}
    refused = run("restore", "backups", "--data", "again", "--snapshot", first.name)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert f"{first.name} cannot be restored: manifest.json is no JSON" in refused.stderr
    assert not (tmp_path / "again").exists()
    assert run("restore", "backups", "--data", "again").returncode == 0
    # The backup is made and told, and nothing is removed.
    third = run("backup", "backups", "--keep", "1", "--json")
    assert third.returncode == 1
    assert json.loads(third.stdout)["pruned"] == 0
    assert f"a backup there is damaged: {first.name}." in third.stderr
    assert len(list(first.parent.iterdir())) == 3
    shutil.rmtree(first)
    assert run("backup", "backups", "--keep", "1").returncode == 0


def test_damage_is_named_and_the_exit_code_is_1(filled: Serving, run: Run, tmp_path: Path) -> None:
    path = next(
        path for path in (tmp_path / "data" / "blobs").glob("??/*") if path.stat().st_size > 99
    )
    path.unlink()
    result = run("backup", "backups")
    assert result.returncode == 1
    assert result.stderr == f"Damaged: blob {path.name} on storage default: there is no such blob\n"
    result = run("restore", "backups", "--data", "again")
    assert result.returncode == 1
    assert path.name in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("backup", "memory://x"), 2, "gone with this process"),
        (("backup", "nosuch://x"), 2, "nosuch"),
        (("backup", "data"), 2, "is not empty"),
        (("backup", "x", "--options", "{"), 2, "--options must be JSON."),
        (("backup", "x", "--options", "[]"), 2, "--options must be a JSON object."),
        (("backup", "x", "--data", "nowhere"), 2, "Name the endpoint's own with --data."),
        (("backup", "file.txt/x"), 1, "Not a directory"),
        (("restore", "nowhere", "--data", "y"), 2, "No backup at nowhere."),
        (("restore", "backups", "--data", "memory"), 2, "Nothing can be restored into memory"),
        (("restore", "backups", "--data", "y", "--snapshot", "2"), 2, 'No backup "2".'),
        (("restore", "backups"), 2, "The index is not empty."),
    ],
)
def test_what_cannot_be_done_is_one_line(
    emptied: Path, run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not (tmp_path / "y").exists()


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An endpoint's folder with a bucket, and a backup of it, made once."""
    folder = tmp_path_factory.mktemp("pattern")
    server = Serving(["--workers", "1"], folder, {})
    try:
        server.client().create_bucket(Bucket="first")
    finally:
        server.stop()
        server.close()
    assert start(folder, "backup", "backups").wait() == 0
    (folder / "file.txt").touch()
    return folder


@pytest.fixture
def emptied(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_bar_is_drawn_on_a_terminal_only(filled: Serving, tmp_path: Path) -> None:
    """Standard output stays clean for pipes."""
    pty = pytest.importorskip("pty", reason="Windows has no terminals of this kind")
    for arguments in (("scrub",), ("backup", "b"), ("restore", "b", "--data", "again")):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "s3kit", *arguments],
            cwd=tmp_path,
            env=environment(TERM="xterm"),
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        drawn = b""
        try:
            while block := os.read(ours, 65536):
                drawn += block
        except OSError:
            # How a terminal says that nobody is there any more.
            pass
        os.close(ours)
        printed = process.communicate()[0]
        assert process.returncode == 0
        assert b"100%" in drawn
        assert b"%" not in printed and printed.count(b"\n") in (1, 2)
