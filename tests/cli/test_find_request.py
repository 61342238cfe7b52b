"""``s3kit find-request``: from the RequestId that a user names to what happened (CS-54)."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from click.testing import Result

from s3kit.cli.main import cli
from tests.cli.conftest import ROOT
from tests.cli.conftest import Serving
from tests.cli.test_watching import entries
from tests.waiting import eventually

Look = Callable[..., Result]
Start = Callable[..., Serving]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

PLUGIN = """
from s3kit.signals import before_object_created

@before_object_created.connect
def fail(bucket, *, event):
    if event.key == "burning":
        raise RuntimeError("the disk is on fire")
"""


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Run the command in this process, in an empty folder; ``variables`` are environment ones."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("S3KIT_")]:
        monkeypatch.delenv(name)

    def run_command(*arguments: str, **variables: str) -> Result:
        return CliRunner().invoke(cli, ["find-request", *arguments], env=variables)

    return run_command


def found_in(result: Result) -> list[dict[str, Any]]:
    """The entries that ``--json`` printed."""
    return [json.loads(each) for each in result.output.splitlines() if each.startswith("{")]


def line(request_id: str, **more: Any) -> str:
    """A line of an access log."""
    entry = {
        "time": "2025-11-21T10:00:00.000Z",
        "request_id": request_id,
        "method": "GET",
        "status": 200,
        "seconds": 0.001,
        "bytes_received": 0,
        "bytes_sent": 5,
        "client": "203.0.113.9",
        "operation": "GetObject",
        "bucket": "photos",
        "key": "a b",
        **more,
    }
    return json.dumps(entry, separators=(",", ":")) + "\n"


@pytest.mark.parametrize("name", ["gunicorn", "granian"])
def test_an_owner_finds_out_why_a_request_failed(
    serve: Start, run: Run, tmp_path: Path, name: str
) -> None:
    """CS-54, also after the log was rotated and compressed."""
    (tmp_path / "burning.py").write_text(PLUGIN)
    (tmp_path / "s3kit.toml").write_text(
        'plugins = ["burning"]\n[serve]\naccess_log = "access.log"\nworkers = 2\n'
    )
    server = serve(
        *("--config", "s3kit.toml", "--server", name), PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}"
    )
    client = server.client()
    client.create_bucket(Bucket="photos")
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket="photos", Key="burning", Body=b"x")
    failed = caught.value.response["ResponseMetadata"]
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket="photos", Key="none")
    refused = caught.value.response["ResponseMetadata"]
    assert (failed["HTTPStatusCode"], refused["HTTPStatusCode"]) == (500, 404)
    log = tmp_path / "access.log"
    # Each is written when its answer is closed, which may be after the client has it.
    wanted = {failed["RequestId"], refused["RequestId"]}
    eventually(lambda: wanted <= {entry["request_id"] for entry in entries(log)})

    def look(request_id: str, *more: str) -> subprocess.CompletedProcess[str]:
        return run("find-request", request_id, "--config", "s3kit.toml", *more)

    found = look(failed["RequestId"])
    assert found.returncode == 0, found.stderr
    assert "PutObject PUT photos/burning" in found.stdout
    assert "500 InternalError" in found.stdout
    assert "RuntimeError: the disk is on fire" in found.stdout
    assert "in fail\n" in found.stdout
    # The server's own log names it too.
    assert f"Request {failed['RequestId']} failed." in server.errors.read_text()

    with gzip.open(tmp_path / "access.log-20251121.gz", "wb") as old:
        old.write(log.read_bytes())
    log.unlink()
    client.list_buckets()
    eventually(lambda: entries(log))
    found = look(f" {refused['RequestId']} ", "--json")
    assert found.returncode == 0, found.stderr
    entry = json.loads(found.stdout)
    assert (entry["error"], entry["key"], entry["account"]) == ("NoSuchKey", "none", "default")

    unknown = look("0000000000000000")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No request 0000000000000000 in 2 files" in unknown.stderr


def test_every_form_of_rotation_is_read_the_newest_first(look: Look, tmp_path: Path) -> None:
    files = {
        "access.log": line("NEW"),
        "access.log.1": line("ONE") + line("SAME", key="newer"),
        "access.log.2.gz": line("TWO") + line("SAME", key="older"),
        "access.log.3.bz2": line("THREE"),
        "access.log-2025.xz": line("FOUR"),
        "access.logger": line("OTHER"),
    }
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }
    for age, (name, text) in enumerate(files.items()):
        path = tmp_path / name
        path.write_bytes(pack.get(path.suffix, lambda data: data)(text.encode()))
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))

    def keys(*arguments: str) -> list[str]:
        done = look(*arguments, "--access-log", "access.log", "--json")
        assert done.exit_code in (0, 1), done.output
        return [entry["key"] for entry in found_in(done)]

    for request_id in ("NEW", "ONE", "TWO", "THREE", "FOUR"):
        assert keys(request_id) == ["a b"]
    assert keys("OTHER") == []
    assert keys("NE") == []
    assert keys("SAME") == ["newer"]
    assert keys("SAME", "--all") == ["newer", "older"]


def test_a_log_with_other_things_in_it_is_read_all_the_same(look: Look, tmp_path: Path) -> None:
    text = 'no JSON: WANTED\n{"cut": "WANTED\n[1]\n\n'
    text += "Nov 21 10:00:00 host s3kit[1]: " + line("WANTED")
    text += line("OTHER", user_agent="WANTED")
    (tmp_path / "a.log").write_bytes(text.encode() + b"\xff\xfeWANTED\n")
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(line("OLD").encode() * 1000)[:-20])
    found = look("WANTED", "--access-log", "a.log", "--json")
    assert [entry["request_id"] for entry in found_in(found)] == ["WANTED"]
    missed = look("NEVER", "--access-log", "a.log")
    assert missed.exit_code == 1
    assert "a.log.1.gz cannot be read to its end" in missed.output
    assert "Traceback" not in missed.output


def test_what_a_client_chose_does_not_command_the_terminal(look: Look, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\nanswer      200"
    (tmp_path / "a.log").write_text(line("ID", key=evil, user_agent=evil, traceback=evil))
    shown = look("ID", "--access-log", "a.log").output
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.count("\nanswer ") == 1


def test_where_no_log_is_known_it_says_what_to_do(look: Look, tmp_path: Path) -> None:
    for arguments, variables, message in (
        ((), {}, "The settings name no access log"),
        ((), {"S3KIT_ACCESS_LOG": "-"}, "goes to standard output"),
        (("--access-log", "none.log"), {}, "No file none.log"),
        (("--access-log", "no/such.log"), {}, "Cannot read no"),
    ):
        done = look("ID", *arguments, **variables)
        assert done.exit_code == 2
        assert message in done.output
    (tmp_path / "a.log").write_text(line("ID"))
    assert look("ID", S3KIT_ACCESS_LOG="a.log").exit_code == 0
