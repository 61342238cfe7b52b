"""The AWS SDK for JavaScript through every door."""

from __future__ import annotations

from pathlib import Path

from tests.clients.doors import Door
from tests.clients.scenario import tell
from tests.clients.sdks import Sdk
from tests.clients.sdks import installed
from tests.clients.sdks import opened
from tests.clients.sdks import tell_of_checksums
from tests.clients.sdks import tell_of_conditions
from tests.clients.sdks import tell_of_errors
from tests.clients.sdks import tell_of_keys


class JavaScript(Sdk):
    name = "javascript"

    def command(self) -> list[str]:
        node, agent = installed("node", "javascript/agent.mjs")
        # The program is a link beside the SDK, where node looks for it.
        return [node, "--preserve-symlinks-main", str(agent)]


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    with opened(JavaScript, door, tmp_path) as tool:
        tell(tool, whole=door.name == "bare")


def test_keys_checksums_conditions_and_errors(door: Door, tmp_path: Path) -> None:
    with opened(JavaScript, door, tmp_path) as tool:
        tell_of_keys(tool)
        tell_of_checksums(tool)
        tell_of_conditions(tool)
        tell_of_errors(tool)
