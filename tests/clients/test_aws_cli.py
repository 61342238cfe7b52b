"""The AWS CLI, versions 1 and 2, through every door.

Version 1 is PyPI's and always there in CI; version 2 is Debian's, from its release 12 on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Serving
from tests.clients.conftest import KEY
from tests.clients.conftest import SERVERS
from tests.clients.conftest import Endpoint
from tests.clients.conftest import program
from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import tell


class Aws(CommandLine):
    """PyPI's. No region is set (IU-12)."""

    name = "aws"
    program = "aws"

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        self.options = ("--endpoint-url", self.url, "s3")
        (home / ".aws").mkdir()
        # As users of version 1 do, which else presigns with SigV2.
        (home / ".aws" / "config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")

    def make_bucket(self, bucket: str) -> None:
        self.run("mb", f"s3://{bucket}")

    def buckets(self) -> set[str]:
        return {line.split()[-1] for line in self.run("ls").splitlines()}

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("sync", folder, f"s3://{bucket}/{prefix}")

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.run("sync", f"s3://{bucket}/{prefix}", folder)

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.run("cp", path, f"s3://{bucket}/{key}")

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        lines = self.run("ls", f"s3://{bucket}/{prefix}").splitlines()
        # "PRE name/" or date, time, size and name.
        return {line.split(maxsplit=1 if " PRE " in line[:30] else 3)[-1] for line in lines}

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.run("cp", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def move(self, bucket: str, source: str, target: str) -> None:
        self.run("mv", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def presign(self, bucket: str, key: str) -> str:
        return self.run("presign", f"s3://{bucket}/{key}").strip()

    def delete(self, bucket: str, key: str) -> None:
        self.run("rm", f"s3://{bucket}/{key}")

    def empty(self, bucket: str) -> None:
        self.run("rm", "--recursive", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("rb", f"s3://{bucket}")


class Aws2(Aws):
    name = "AWS CLI of version 2 (apt-get install awscli)"

    def find(self) -> str:
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            path = shutil.which("aws", path=folder)
            if path and _version(path).startswith("aws-cli/2."):
                return path
        return ""


def _version(path: str) -> str:
    tried = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return tried.stdout


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    aws = Aws(door, tmp_path)
    assert _version(aws.path).startswith("aws-cli/1.")
    tell(aws, whole=True)


@pytest.mark.optional
@pytest.mark.parametrize("door", ["bare", "nginx"], indirect=True)
def test_the_story_of_a_bucket_with_version_2(door: Door, tmp_path: Path) -> None:
    tell(Aws2(door, tmp_path), whole=door.name == "bare")


@pytest.mark.parametrize("door", ["bare"], indirect=True)
def test_rb_force_removes_what_is_in_the_bucket(door: Door, tmp_path: Path, name: str) -> None:
    """CS-08."""
    aws = Aws(door, tmp_path)
    aws.make_bucket(name)
    for number in range(3):
        door.client().put_object(Bucket=name, Key=f"a/{number}", Body=b"x")
    aws.run("rb", "--force", f"s3://{name}")
    assert name not in aws.buckets()


@pytest.mark.parametrize("server", SERVERS)
def test_the_line_that_serve_prints_stores_and_reads_a_file(tmp_path: Path, server: str) -> None:
    """What a new user pastes."""
    found = program("aws", tmp_path)
    serving = Serving(["--server", server], tmp_path, {})
    try:
        line = serving.text.strip().splitlines()[-1].strip()
        path = os.pathsep.join([os.path.dirname(found.path), os.environ["PATH"]])
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "hello"
    finally:
        serving.close()


def test_the_key_may_be_in_the_credentials_file(plain: Endpoint, name: str, tmp_path: Path) -> None:
    plain.client().create_bucket(Bucket=name)
    credentials = tmp_path / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text(
        f"[default]\naws_access_key_id = {KEY.access_key}\n"
        f"aws_secret_access_key = {KEY.secret_key}\n"
    )
    done = subprocess.run(
        [program("aws", tmp_path).path, "s3", "ls", "--endpoint-url", plain.url],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert name in done.stdout, done.stderr
