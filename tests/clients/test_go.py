"""The AWS SDK for Go, and minio-go, through every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.doors import Door
from tests.clients.scenario import tell
from tests.clients.sdks import Sdk
from tests.clients.sdks import installed
from tests.clients.sdks import opened
from tests.clients.sdks import tell_of_checksums
from tests.clients.sdks import tell_of_conditions
from tests.clients.sdks import tell_of_errors
from tests.clients.sdks import tell_of_keys


class Go(Sdk):
    name = "aws"

    def command(self) -> list[str]:
        _, agent = installed("env", "go/agent")
        return [str(agent), self.name]


class MinioGo(Go):
    name = "minio"
    # minio-go takes no endpoint with a path.
    takes_path = False
    checksum = "CRC64NVME"


KINDS = (Go, MinioGo)


@pytest.mark.parametrize("kind", KINDS)
def test_the_story_of_a_bucket(kind: type[Sdk], door: Door, tmp_path: Path) -> None:
    with opened(kind, door, tmp_path) as tool:
        tell(tool, whole=door.name == "bare")


@pytest.mark.parametrize("kind", KINDS)
def test_keys_checksums_conditions_and_errors(kind: type[Sdk], door: Door, tmp_path: Path) -> None:
    with opened(kind, door, tmp_path) as tool:
        tell_of_keys(tool)
        tell_of_checksums(tool)
        tell_of_conditions(tool)
        tell_of_errors(tool)
