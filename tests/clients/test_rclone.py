"""rclone through every door. It is written in Go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import Refused
from tests.clients.scenario import tell


class Rclone(CommandLine):
    name = program = "rclone"
    # Two hundred files a second, one by one, would be the test's time and not s3kit's.
    options = (
        "--transfers",
        "16",
        "--checkers",
        "16",
        "--retries",
        "1",
        "--low-level-retries",
        "1",
    )

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        configuration = home / "rclone.conf"
        configuration.write_text(
            "[s3]\ntype = s3\nprovider = Other\nenv_auth = true\nregion = us-east-1\n"
            f"endpoint = {self.url}\nchunk_size = 5Mi\nupload_cutoff = 5Mi\n"
            # A copy of up to 5 GiB is one request; like this it is one for each part.
            "copy_cutoff = 10Mi\n"
        )
        self.variables["RCLONE_CONFIG"] = str(configuration)
        if door.certfile is not None:
            self.variables["RCLONE_CA_CERT"] = str(door.certfile)

    def make_bucket(self, bucket: str) -> None:
        self.run("mkdir", f"s3:{bucket}")

    def buckets(self) -> set[str]:
        return {line.rstrip("/") for line in self.run("lsf", "s3:").splitlines()}

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("sync", folder, f"s3:{bucket}/{prefix}")

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.run("sync", f"s3:{bucket}/{prefix}", folder)

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.run("copyto", path, f"s3:{bucket}/{key}")

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        return set(self.run("lsf", f"s3:{bucket}/{prefix}").splitlines())

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.run("copyto", f"s3:{bucket}/{source}", f"s3:{bucket}/{target}")

    def move(self, bucket: str, source: str, target: str) -> None:
        self.run("moveto", f"s3:{bucket}/{source}", f"s3:{bucket}/{target}")

    def presign(self, bucket: str, key: str) -> str:
        return self.run("link", "--expire", "1h", f"s3:{bucket}/{key}").strip()

    def delete(self, bucket: str, key: str) -> None:
        self.run("deletefile", f"s3:{bucket}/{key}")

    def empty(self, bucket: str) -> None:
        self.run("delete", f"s3:{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("rmdir", f"s3:{bucket}")


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tell(Rclone(door, tmp_path), whole=True)


def test_check_compares_and_finds_what_differs(door: Door, tmp_path: Path, name: str) -> None:
    """``check`` compares sizes and MD5, ``check --download`` every byte."""
    rclone = Rclone(door, tmp_path)
    rclone.make_bucket(name)
    for number in range(20):
        (tmp_path / "up" / f"{number}").mkdir(parents=True)
        (tmp_path / "up" / f"{number}" / "ü").write_bytes(b"%d" % number)
    rclone.run("copy", "up", f"s3:{name}/kept")
    rclone.run("check", "up", f"s3:{name}/kept")
    rclone.run("check", "--download", "up", f"s3:{name}/kept")
    # As many bytes, other ones.
    door.client().put_object(Bucket=name, Key="kept/7/ü", Body=b"8")
    with pytest.raises(Refused, match="1 differences found"):
        rclone.run("check", "up", f"s3:{name}/kept")
    # sync brings it back, and removes what is too many.
    door.client().put_object(Bucket=name, Key="kept/other", Body=b"8")
    rclone.run("sync", "--checksum", "up", f"s3:{name}/kept")
    rclone.run("check", "--download", "up", f"s3:{name}/kept")
