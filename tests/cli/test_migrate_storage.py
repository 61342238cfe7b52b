"""``s3kit migrate-storage`` beside a running endpoint: killed, resumed, and compared at the end."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import create_engine
from sqlalchemy import func
from sqlalchemy import select

from s3kit.app import S3App
from s3kit.blobs.base import is_blob_id
from s3kit.config import Config
from s3kit.index.schema import contents
from s3kit.index.schema import parts
from s3kit.index.schema import versions
from tests.cli.conftest import Serving
from tests.cli.conftest import Start
from tests.cli.conftest import environment

KEYS = {"S3KIT_ACCESS_KEY": "AKIAMIGRATE", "S3KIT_SECRET_KEY": "secret"}
Run = Callable[..., subprocess.CompletedProcess[str]]


def write_config(folder: Path, *, place: str = "") -> None:
    """An endpoint with the storages ``default`` and ``new``; ``place`` takes all new objects."""
    lines = [
        f'index = "sqlite:///{folder}/s3kit.db"',
        "inline_threshold = 100",
        f'storages = {{default = "{folder}/old", new = "{folder}/new"}}',
        f'place = {{"*" = "{place}"}}' if place else "",
    ]
    (folder / "s3kit.toml").write_text("\n".join(lines))


def start(serve: Start, *arguments: str) -> Any:
    return serve("--config", "s3kit.toml", *arguments, **KEYS)


def client_of(server: Serving) -> Any:
    return server.client(KEYS["S3KIT_ACCESS_KEY"], KEYS["S3KIT_SECRET_KEY"])


def body(key: str, version: int) -> bytes:
    """What version ``version`` of a key holds: it says so itself, so readers can check."""
    size = random.Random(f"{key}{version}").randrange(1000, 60_000)
    head = f"{key}:{version}:".encode()
    return head + hashlib.shake_128(head).digest(size)


def is_whole(key: str, data: bytes) -> bool:
    name, version, _ = data.split(b":", 2)
    return name.decode() == key and data == body(key, int(version))


def blobs(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and is_blob_id(path.name)]


def check_rows(folder: Path) -> None:
    """No row names the old storage, and each content counts the versions that point at it."""
    engine = create_engine(f"sqlite:///{folder}/s3kit.db")
    with engine.connect() as connection:
        used = (
            select(func.count())
            .select_from(versions)
            .where(versions.c.content_id == contents.c.id)
            .scalar_subquery()
        )
        rows = connection.execute(select(contents.c.storage, contents.c.refs, used)).all()
        assert {row[0] for row in rows} == {"new"}
        assert [row for row in rows if row[1] != row[2]] == []
        assert set(connection.execute(select(parts.c.storage)).scalars()) <= {"new"}
    engine.dispose()


def on_default(folder: Path) -> int:
    """How many rows name the old storage."""
    connection = sqlite3.connect(f"file:{folder}/s3kit.db?mode=ro", uri=True)
    try:
        return sum(
            connection.execute(
                f"SELECT count(*) FROM {table} WHERE storage = 'default'"
            ).fetchone()[0]
            for table in ("s3kit_contents", "s3kit_parts")
        )
    finally:
        connection.close()


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "s3kit", "migrate-storage", "default", "new"),
            *("--config", "s3kit.toml", *arguments),
        ],
        cwd=folder,
        env=environment(**KEYS),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_storage_moves_under_load_is_killed_and_resumed_and_nothing_is_lost(
    serve: Start, run: Run, tmp_path: Path
) -> None:
    write_config(tmp_path)
    server = start(serve)
    client = client_of(server)
    client.create_bucket(Bucket="photos")
    latest = {f"key {number}": 0 for number in range(120)}
    for key in latest:
        client.put_object(Bucket="photos", Key=key, Body=body(key, 0))
    client.copy_object(Bucket="photos", Key="copy", CopySource="photos/key 0")
    big = os.urandom(11_000_000)
    upload = client.create_multipart_upload(Bucket="photos", Key="big")["UploadId"]
    made = []
    for number, at in ((1, 0), (2, 6_000_000)):
        piece = big[at : at + 6_000_000]
        answer = client.upload_part(
            Bucket="photos", Key="big", UploadId=upload, PartNumber=number, Body=piece
        )
        made.append({"PartNumber": number, "ETag": answer["ETag"]})
    assert server.stop() == 0

    write_config(tmp_path, place="new")
    server = start(serve)
    failures: list[BaseException] = []
    done = threading.Event()
    reads = writes = 0

    def write(number: int) -> None:
        nonlocal writes
        mine = client_of(server)
        chance = random.Random(number)
        # Each writer has keys of its own, so it knows what is the latest.
        keys = [key for at, key in enumerate(latest) if at % 2 == number]
        try:
            while not done.is_set():
                key = chance.choice(keys)
                if chance.random() < 0.15:
                    mine.delete_object(Bucket="photos", Key=key)
                    latest[key] = -1
                else:
                    version = chance.randrange(1, 1000)
                    mine.put_object(Bucket="photos", Key=key, Body=body(key, version))
                    latest[key] = version
                writes += 1
                time.sleep(0.02)
        except BaseException as error:
            failures.append(error)

    def read(number: int) -> None:
        nonlocal reads
        mine = client_of(server)
        chance = random.Random(number)
        keys = list(latest)
        try:
            while not done.is_set():
                key = chance.choice(keys)
                try:
                    data = mine.get_object(Bucket="photos", Key=key)["Body"].read()
                except ClientError as error:
                    assert error.response["Error"]["Code"] == "NoSuchKey"
                else:
                    assert is_whole(key, data)
                    reads += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2) for work in (write, read)]
    for thread in threads:
        thread.start()
    try:
        # Killed twice, with copies half done each time.
        for _ in range(2):
            waiting = on_default(tmp_path)
            # So slow that it is not done before we look, however busy the machine is.
            process = begin(tmp_path, "--rate", "600K", "--jobs", "2")
            until = time.monotonic() + 60
            while on_default(tmp_path) > waiting - 20 and time.monotonic() < until:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            assert process.returncode == -signal.SIGKILL, out + err
            assert not failures
            assert 0 < on_default(tmp_path) < waiting
        # Two at once to the end.
        processes = [begin(tmp_path, "--json") for _ in range(2)]
        answers = []
        for process in processes:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, err) == (0, ""), out
            answers.append(json.loads(out))
        assert sum(answer["moved"] for answer in answers) > 0
        assert [(answer["left"], answer["failed"]) for answer in answers] == [(0, 0)] * 2
        client = client_of(server)
        client.complete_multipart_upload(
            Bucket="photos", Key="big", UploadId=upload, MultipartUpload={"Parts": made}
        )
        until = time.monotonic() + 60
        while (reads <= 100 or writes <= 20) and not failures and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert reads > 100
    assert writes > 20

    for key, version in latest.items():
        if version < 0:
            with pytest.raises(ClientError, match="NoSuchKey"):
                client.get_object(Bucket="photos", Key=key)
        else:
            answer = client.get_object(Bucket="photos", Key=key)
            assert answer["Body"].read() == body(key, version)
    assert client.get_object(Bucket="photos", Key="copy")["Body"].read() == body("key 0", 0)
    assert client.get_object(Bucket="photos", Key="big")["Body"].read() == big
    assert server.stop() == 0
    again = run("migrate-storage", "default", "new", "--config", "s3kit.toml", "--json", **KEYS)
    assert json.loads(again.stdout)["moved"] == 0
    check_rows(tmp_path)
    collected = run("gc", "--grace", "0", "--config", "s3kit.toml", **KEYS)
    assert collected.returncode == 0, collected.stderr
    assert blobs(tmp_path / "old") == []
    scrubbed = run("scrub", "--config", "s3kit.toml", "--json", **KEYS)
    assert scrubbed.returncode == 0, scrubbed.stdout + scrubbed.stderr


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The folder of an endpoint that has three blobs on ``default`` and is not running."""
    write_config(tmp_path)
    app = S3App(Config.from_file(tmp_path / "s3kit.toml"))
    client = app.client()
    client.create_bucket("photos")
    for number in range(3):
        client.put("photos", f"{number}", bytes(1_000_000))
    client.put("photos", "inline", b"small")
    app.close()
    return tmp_path


def test_a_dry_run_tells_and_moves_nothing(filled: Path, run: Run) -> None:
    plan = ("migrate-storage", "default", "new", "--dry-run", "--config", "s3kit.toml")
    told = run(*plan, **KEYS)
    assert told.returncode == 0
    assert told.stdout == '3 blobs, 2.9 MiB, would go from "default" to "new".\n'
    told = run(*plan, "--json", **KEYS)
    assert json.loads(told.stdout) == {
        "from": "default",
        "to": "new",
        "left": 3,
        "left_bytes": 3_000_000,
        "dry_run": True,
    }
    assert len(blobs(filled / "old")) == 3
    assert blobs(filled / "new") == []


def test_whoever_lets_new_objects_go_to_the_old_storage_is_warned(filled: Path, run: Run) -> None:
    told = run("migrate-storage", "default", "new", "--config", "s3kit.toml", **KEYS)
    assert told.returncode == 0
    assert 'new objects still go to "default", for it is the default' in told.stderr
    assert 'place = {"*" = "new"}' in told.stderr
    assert told.stdout.startswith("Moved 3 blobs, 2.9 MiB.\n")
    assert "Keep it configured until the grace period" in told.stdout
    write_config(filled, place="new")
    told = run("migrate-storage", "new", "default", "--config", "s3kit.toml", **KEYS)
    assert 'new objects still go to "new", for place has "*"' in told.stderr


def test_what_cannot_be_moved_is_told_and_ends_with_1(filled: Path, run: Run) -> None:
    write_config(filled, place="new")
    damaged, *_ = blobs(filled / "old")
    (filled / "old" / damaged[:2] / damaged).write_bytes(bytes(999_999) + b"x")
    told = run("migrate-storage", "default", "new", "--config", "s3kit.toml", **KEYS)
    assert told.returncode == 1
    assert f"Not moved: blob {damaged}: the MD5 is" in told.stderr
    assert '1 blobs, 976.6 KiB, are still on "default". Run it again.' in told.stdout
    told = run("migrate-storage", "default", "new", "--json", "--config", "s3kit.toml", **KEYS)
    assert told.returncode == 1
    (failure,) = json.loads(told.stdout)["failures"]
    assert failure["blob"] == damaged


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("defualt", "new"), 'No storage "defualt". Did you mean "default"?'),
        (("default", "nwe"), 'No storage "nwe". Did you mean "new"?'),
        (("default", "default"), "is both where the blobs lie"),
    ],
)
def test_wrong_names_are_refused_in_one_line(
    filled: Path, run: Run, arguments: tuple[str, str], words: str
) -> None:
    told = run("migrate-storage", *arguments, "--config", "s3kit.toml", **KEYS)
    assert told.returncode == 2
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_storage_in_memory_is_no_place_to_go(filled: Path, run: Run) -> None:
    config = filled / "s3kit.toml"
    config.write_text(config.read_text().replace(f"{filled}/new", "memory://"))
    told = run("migrate-storage", "default", "new", "--config", "s3kit.toml", **KEYS)
    assert told.returncode == 2
    assert 'Only one process sees the storage "new"' in told.stderr
