"""minio-py through every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.doors import Door
from tests.clients.scenario import Agent
from tests.clients.scenario import Refused
from tests.clients.scenario import tell


class MinioPy(Agent):
    name = "minio"
    syncs = False
    # See the second test.
    takes_path = False


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    tool = MinioPy(door, tmp_path)
    try:
        tell(tool, whole=door.name == "bare")
    finally:
        tool.close()


@pytest.mark.parametrize("door", ["flask"], indirect=True)
def test_it_takes_no_endpoint_with_a_path(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it comes in by the host name: ``mount(..., hosts=[...])``."""
    monkeypatch.setattr(MinioPy, "takes_path", True)
    with pytest.raises(Refused, match="path in endpoint is not allowed"):
        MinioPy(door, tmp_path)
