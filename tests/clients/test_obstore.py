"""obstore (Rust's object_store) through every door."""

from __future__ import annotations

from pathlib import Path

from tests.clients.doors import Door
from tests.clients.scenario import Agent
from tests.clients.scenario import tell


class Obstore(Agent):
    """It knows no buckets, only the one that it is given: boto3 makes and removes them."""

    name = "obstore"
    syncs = False

    make_bucket = Agent.__base__.make_bucket
    buckets = Agent.__base__.buckets
    remove_bucket = Agent.__base__.remove_bucket


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tool = Obstore(door, tmp_path)
    try:
        tell(tool, whole=door.name == "bare")
    finally:
        tool.close()
