"""``s3kit rotate-master-key`` beside a running endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from s3kit.cli.main import cli
from s3kit.store import master_keys
from s3kit.store.master_keys import MADE
from s3kit.store.master_keys import MasterKeys
from tests.cli.conftest import Serving

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Serving]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    """A command on the endpoint's data, in this process: each of its own takes a second."""

    def invoke(*arguments: str) -> Result:
        given = [*arguments] if "--data" in arguments else [*arguments, "--data", "data"]
        folder = Path.cwd()
        os.chdir(tmp_path)
        try:
            return CliRunner().invoke(cli, given, env={})
        finally:
            os.chdir(folder)

    return invoke


LARGE = b"z" * 200_000


def test_a_master_key_is_followed_by_another_while_the_endpoint_runs(
    run: Run, command: Callable[..., Result], serve: Start, tmp_path: Path
) -> None:
    client = serve("--workers", "2").client()
    client.create_bucket(Bucket="first")

    def put(key: str, body: bytes) -> None:
        answer = client.put_object(
            Bucket="first", Key=key, Body=body, ServerSideEncryption="AES256"
        )
        assert answer["ServerSideEncryption"] == "AES256"

    put("small", b"hello")
    put("large", LARGE)
    upload = client.create_multipart_upload(
        Bucket="first", Key="parts", ServerSideEncryption="AES256"
    )
    file = tmp_path / "data" / "master.key"
    assert file.stat().st_mode & 0o777 == 0o600
    (old,) = MasterKeys(path=file).ids()

    result = run("rotate-master-key")
    assert (result.returncode, result.stderr) == (0, "")
    new, *others = MasterKeys(path=file).ids()
    assert others == [old]
    assert result.stdout == (
        f"Made the master key {new}.\n"
        f"Wrapped the keys of 3 objects, uploads and access keys with {new}.\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600

    # What was begun before might still be stored with the old one.
    result = command("rotate-master-key", "--drop")
    assert result.exit_code == 2
    assert "Try again in" in result.stderr
    made = time.strftime(master_keys.TIME, time.gmtime(time.time() - 7200))
    lines = file.read_text().splitlines()
    assert lines[0].startswith(MADE)
    file.write_text("\n".join([MADE + made, *lines[1:]]) + "\n")
    # Every process has looked at the file by then, an hour later.
    time.sleep(master_keys.LOOK_SECONDS)
    result = command("rotate-master-key", "--drop", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"dropped": 1, "wraps": new, "in_use": {}}
    assert MasterKeys(path=file).ids() == (new,)

    put("after", b"hello again")
    part = client.upload_part(
        Bucket="first", Key="parts", UploadId=upload["UploadId"], PartNumber=1, Body=LARGE
    )
    client.complete_multipart_upload(
        Bucket="first",
        Key="parts",
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    for key, body in (("small", b"hello"), ("large", LARGE), ("parts", LARGE)):
        assert client.get_object(Bucket="first", Key=key)["Body"].read() == body
    assert command("scrub").exit_code == 0

    # A key that is still in use stays.
    last = master_keys.put_new_first(file, clock=lambda: time.time() - 7200)
    result = command("rotate-master-key", "--drop")
    assert result.exit_code == 1
    assert result.stdout.startswith("Dropped 0 keys.\n")
    assert f"Kept {new}: it still wraps the keys of" in result.stdout
    # Nor is another new one made before that is finished.
    result = command("rotate-master-key", "--json")
    assert result.exit_code == 0
    # The upload's row is kept a while, so that its completion can be asked for again.
    assert json.loads(result.stdout) == {"made": "", "wraps": last, "wrapped": 5, "stuck": 0}

    # A backup has its keys only if it is told to take them along.
    assert command("backup", "backups").exit_code == 0
    result = command("restore", "backups", "--data", "again")
    assert (result.exit_code, result.stderr.count(last)) == (0, 1)
    assert "master.key" in result.stderr
    assert command("backup", "backups", "--include-keys").exit_code == 0
    result = command("restore", "backups", "--data", "whole")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--drop"]])
def test_without_a_file_of_keys_it_says_what_is_missing(
    command: Callable[..., Result], tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "data").mkdir()
    result = command("rotate-master-key", *arguments)
    assert result.exit_code == 2
    assert "index" in result.stderr
