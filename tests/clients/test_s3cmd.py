"""s3cmd through every door (FB-21). It is written in Python, with its own HTTP and SigV4."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import KEY
from tests.clients.conftest import make_tree
from tests.clients.conftest import read_tree
from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import curl
from tests.clients.scenario import tell


class S3cmd(CommandLine):
    name = program = "s3cmd"

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        url = urlsplit(self.url)
        place = url.netloc + url.path
        (home / ".s3cfg").write_text(
            "[default]\n"
            f"access_key = {KEY.access_key}\n"
            f"secret_key = {KEY.secret_key}\n"
            f"host_base = {place}\nhost_bucket = {place}\n"
            f"use_https = {url.scheme == 'https'}\n"
            f"ca_certs_file = {door.certfile or ''}\n"
            "bucket_location = us-east-1\nmultipart_chunk_size_mb = 5\n"
        )

    def make_bucket(self, bucket: str) -> None:
        self.run("mb", f"s3://{bucket}")

    def buckets(self) -> set[str]:
        return {line.split("s3://")[1] for line in self.run("ls").splitlines()}

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("sync", f"{folder}/", f"s3://{bucket}/{prefix}")

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        folder.mkdir()
        self.run("sync", f"s3://{bucket}/{prefix}", f"{folder}/")

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.run("put", path, f"s3://{bucket}/{key}")

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        lines = self.run("ls", f"s3://{bucket}/{prefix}").splitlines()
        return {line.split(f"s3://{bucket}/{prefix}")[1] for line in lines}

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.run("cp", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def move(self, bucket: str, source: str, target: str) -> None:
        self.run("mv", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def presign(self, bucket: str, key: str) -> str:
        """None: ``signurl`` knows SigV2 only, which S3 has given up. See the test below."""
        return ""

    def delete(self, bucket: str, key: str) -> None:
        self.run("del", f"s3://{bucket}/{key}")

    def empty(self, bucket: str) -> None:
        self.run("del", "--recursive", "--force", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("rb", f"s3://{bucket}")


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tell(S3cmd(door, tmp_path), whole=door.name == "bare")


@pytest.mark.parametrize("door", ["bare"], indirect=True)
def test_its_signed_urls_are_of_the_old_kind_and_refused_in_clear_words(
    door: Door, tmp_path: Path, name: str
) -> None:
    """IU-06."""
    s3cmd = S3cmd(door, tmp_path)
    url = s3cmd.run("signurl", f"s3://{name}/key", "+3600").strip()
    assert "&Signature=" in url
    status, body = curl(s3cmd, url)
    assert (status, "AWS4-HMAC-SHA256" in body) == ("400", True)


@pytest.mark.parametrize("door", ["bare", "flask", "nginx"], indirect=True)
def test_info_la_du_and_sync_both_ways(door: Door, tmp_path: Path, name: str) -> None:
    """FB-21. ``info`` asks for nine settings; of those that are not built it says "none"."""
    s3cmd = S3cmd(door, tmp_path)
    bucket = f"s3://{name}"
    s3cmd.make_bucket(name)
    other = f"bucket-{secrets.token_hex(6)}"
    s3cmd.make_bucket(other)
    tree = make_tree(tmp_path / "up", 20)
    s3cmd.upload_tree(tmp_path / "up", name, "tree/")
    (tmp_path / "file").write_bytes(b"hello")
    s3cmd.run("put", "file", f"s3://{other}")

    shown = s3cmd.run("la").split()
    assert f"s3://{other}/file" in shown
    assert f"{bucket}/tree/" in shown

    total = sum(map(len, tree.values()))
    assert s3cmd.run("du", bucket).split() == [str(total), "20", "objects", f"{bucket}/"]
    assert s3cmd.run("du", f"{bucket}/tree/1/").split()[1] == "4"
    assert f"s3://{other}/" in s3cmd.run("du")

    about = s3cmd.run("info", bucket)
    assert "Location:  us-east-1" in about
    assert "ACL:       default: FULL_CONTROL" in about
    about = s3cmd.run("info", f"s3://{other}/file")
    assert "File size: 5" in about
    assert "MIME type: text/plain" in about
    assert "MD5 sum:   5d41402abc4b2a76b9719d911017c592" in about

    # Up again: what was removed goes, what is new comes, the rest is left alone.
    (tmp_path / "up" / "0" / "0" / "file 000 ü+%.txt").unlink()
    (tmp_path / "up" / "new").write_bytes(b"new")
    said = s3cmd.run("sync", "--delete-removed", "up/", f"{bucket}/tree/")
    assert said.count("upload:") == 1
    assert said.count("delete:") == 1
    # And down, into a folder that has something else.
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "too many").write_bytes(b"x")
    s3cmd.run("sync", "--delete-removed", f"{bucket}/tree/", "down/")
    assert read_tree(tmp_path / "down") == read_tree(tmp_path / "up")
    assert s3cmd.run("sync", f"{bucket}/tree/", "down/").count("download:") == 0

    s3cmd.run("get", f"s3://{other}/file", "got")
    assert (tmp_path / "got").read_bytes() == b"hello"
    s3cmd.run("cp", f"s3://{other}/file", f"{bucket}/copied")
    s3cmd.run("mv", f"s3://{other}/file", f"{bucket}/moved")
    assert s3cmd.run("ls", f"s3://{other}") == ""
    s3cmd.run("del", f"{bucket}/copied")
    assert "s3://" + name + "/moved" in s3cmd.run("ls", bucket)
    s3cmd.run("rb", f"s3://{other}")


@pytest.mark.parametrize("door", ["bare"], indirect=True)
def test_its_configuration_tests_access(door: Door, tmp_path: Path, name: str) -> None:
    """FB-21: ``--configure`` with its own dialogue, which ends by trying what it was told."""
    s3cmd = S3cmd(door, tmp_path)
    s3cmd.make_bucket(name)
    os.unlink(tmp_path / ".s3cfg")
    place = urlsplit(door.url).netloc
    answers = [
        KEY.access_key,
        KEY.secret_key,
        "us-east-1",
        place,
        place,
        "",
        "",
        "no",
        "",
        "y",
        "y",
    ]
    done = s3cmd.converse("\n".join(answers) + "\n", "--configure")
    assert "Success. Your access key and secret key worked fine" in done.stdout + done.stderr
    assert name in s3cmd.run("ls")
