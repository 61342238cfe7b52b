"""s3fs-fuse through every door: a bucket as a folder, and the plain programs of a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import tell

# A container may have the program and no device.
pytestmark = pytest.mark.optional


class S3fsFuse(CommandLine):
    """Each method does with the mounted folder what its users do; buckets are boto3's."""

    name = program = "s3fs"
    syncs = False
    # Given ``http://host/s3`` it asks for ``/s3/bucket/`` and signs ``/bucket/`` at ``host``: the
    # path is in no part of its signature.
    takes_path = False

    def __init__(self, door: Door, home: Path) -> None:
        if not os.access("/dev/fuse", os.R_OK | os.W_OK) or not shutil.which("fusermount"):
            pytest.skip("no /dev/fuse to mount with")
        super().__init__(door, home)
        self.folder = home / "mounted"
        self.folder.mkdir()

    def close(self) -> None:
        self._unmount()

    def _unmount(self) -> None:
        if os.path.ismount(self.folder):
            # Closed files may still be on their way up.
            subprocess.run(["fusermount", "-u", str(self.folder)], check=True, timeout=60)

    def make_bucket(self, bucket: str) -> None:
        super().make_bucket(bucket)
        self.run(
            *(bucket, str(self.folder), "-o", f"url={self.url}"),
            *("-o", "use_path_request_style", "-o", "sigv4", "-o", "multipart_size=5"),
        )
        until = time.monotonic() + 60
        while not os.path.ismount(self.folder):
            assert time.monotonic() < until
            time.sleep(0.02)

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        shutil.copytree(folder, self.folder / prefix)

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        shutil.copytree(self.folder / prefix, folder)

    def upload(self, path: Path, bucket: str, key: str) -> None:
        shutil.copyfile(path, self.folder / key)

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        return {
            each.name + ("/" if each.is_dir() else "") for each in (self.folder / prefix).iterdir()
        }

    def copy(self, bucket: str, source: str, target: str) -> None:
        (self.folder / target).parent.mkdir(exist_ok=True)
        shutil.copyfile(self.folder / source, self.folder / target)

    def move(self, bucket: str, source: str, target: str) -> None:
        (self.folder / source).rename(self.folder / target)
        # The folder is an object of its own.
        (self.folder / source).parent.rmdir()

    def presign(self, bucket: str, key: str) -> str:
        return ""

    def delete(self, bucket: str, key: str) -> None:
        (self.folder / key).unlink()

    def empty(self, bucket: str) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tool = S3fsFuse(door, tmp_path)
    try:
        tell(tool, whole=door.name == "bare")
    finally:
        tool.close()
