"""s5cmd through every door. It is written in Go."""

from __future__ import annotations

from pathlib import Path

from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import tell


class S5cmd(CommandLine):
    name = program = "s5cmd"

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        self.options = ("--endpoint-url", self.url)

    def make_bucket(self, bucket: str) -> None:
        self.run("mb", f"s3://{bucket}")

    def buckets(self) -> set[str]:
        return {line.split("s3://")[1] for line in self.run("ls").splitlines()}

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("sync", f"{folder}/", f"s3://{bucket}/{prefix}")

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.run("sync", f"s3://{bucket}/{prefix}*", f"{folder}/")

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.run("cp", "--part-size", "5", path, f"s3://{bucket}/{key}")

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        lines = self.run("ls", f"s3://{bucket}/{prefix}").splitlines()
        # "DIR name/" or date, time, size and name.
        return {line.split(maxsplit=1 if "DIR" in line[:45] else 3)[-1] for line in lines}

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.run("cp", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def move(self, bucket: str, source: str, target: str) -> None:
        self.run("mv", f"s3://{bucket}/{source}", f"s3://{bucket}/{target}")

    def presign(self, bucket: str, key: str) -> str:
        return self.run("presign", f"s3://{bucket}/{key}").strip()

    def delete(self, bucket: str, key: str) -> None:
        self.run("rm", f"s3://{bucket}/{key}")

    def empty(self, bucket: str) -> None:
        self.run("rm", f"s3://{bucket}/*")

    def remove_bucket(self, bucket: str) -> None:
        self.run("rb", f"s3://{bucket}")


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tell(S5cmd(door, tmp_path), whole=door.name == "bare")
