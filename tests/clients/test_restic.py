"""restic through every door: it keeps backups in a bucket. It is written in Go, on minio-go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.clients.conftest import make_tree
from tests.clients.conftest import read_tree
from tests.clients.doors import Door
from tests.clients.scenario import CommandLine
from tests.clients.scenario import Refused


class Restic(CommandLine):
    name = program = "restic"
    # See the second test.
    takes_path = False

    def __init__(self, door: Door, home: Path, bucket: str) -> None:
        super().__init__(door, home)
        self.variables["RESTIC_REPOSITORY"] = f"s3:{self.url}/{bucket}/backups"
        self.variables["RESTIC_PASSWORD"] = "of this test"
        if door.certfile is not None:
            self.options = ("--cacert", str(door.certfile))


def test_backup_restore_check_and_prune(door: Door, tmp_path: Path, name: str) -> None:
    restic = Restic(door, tmp_path, name)
    # It makes the bucket.
    restic.run("init")
    whole = door.name == "bare"
    tree = make_tree(tmp_path / "up", 200 if whole else 40)
    noise = os.urandom(50_000_000 if whole else 12_000_000)
    (tmp_path / "up" / "big").write_bytes(noise)
    tree["big"] = noise
    restic.run("backup", "up")
    (tmp_path / "up" / "big").write_bytes(b"small")
    restic.run("backup", "up")
    restic.run("check", "--read-data")

    snapshots = json.loads(restic.run("snapshots", "--json"))
    assert len(snapshots) == 2
    restic.run("restore", snapshots[0]["id"], "--target", "down")
    assert read_tree(tmp_path / "down" / "up") == tree

    sizes = stored(door, name)
    assert sum(sizes.values()) > len(noise)
    restic.run("forget", "--keep-last", "1", "--prune")
    assert sum(stored(door, name).values()) < sum(sizes.values()) - len(noise) // 2
    restic.run("check", "--read-data")
    restic.run("restore", "latest", "--target", "again")
    assert read_tree(tmp_path / "again" / "up") == {**tree, "big": b"small"}


def stored(door: Door, bucket: str) -> dict[str, int]:
    """The size of each object."""
    listed = door.client().list_objects_v2(Bucket=bucket)
    return {each["Key"]: each["Size"] for each in listed["Contents"]}


@pytest.mark.parametrize("door", ["flask"], indirect=True)
def test_it_takes_the_start_of_a_path_for_the_bucket(
    door: Door, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it comes in by the host name: ``mount(..., hosts=[...])``.

    Of ``s3:http://host/s3/bucket`` it wants the bucket ``s3``, whose name it finds too short.
    """
    monkeypatch.setattr(Restic, "takes_path", True)
    with pytest.raises(Refused, match="Bucket name cannot be shorter than 3 characters"):
        Restic(door, tmp_path, name).run("init")
