"""s3fs, the Python library, through every door."""

from __future__ import annotations

from pathlib import Path

from tests.clients.doors import Door
from tests.clients.scenario import Agent
from tests.clients.scenario import tell


class S3fs(Agent):
    name = "s3fs"
    syncs = False


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tool = S3fs(door, tmp_path)
    try:
        tell(tool, whole=door.name == "bare")
    finally:
        tool.close()
