"""The AWS SDK for Java, with both of its clients, through every door."""

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


class JavaSync(Sdk):
    """S3Client on Apache's HTTP client."""

    name = "sync"
    # It computes CRC64NVME only with the help of a native library.
    checksums = ("CRC32", "CRC32C", "SHA1", "SHA256")

    def command(self) -> list[str]:
        java, classes = installed("java", "java/classes")
        # Short-lived: what makes Java fast in the long run only costs here.
        fast = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
        path = f"{classes}:{classes.parent}/lib/*"
        # Java names files as the locale says.
        return ["env", "LC_ALL=C.UTF-8", java, *fast, "-cp", path, "Agent", self.name]


class JavaAsync(JavaSync):
    """S3AsyncClient on netty: parts and directories by the SDK's own transfer manager."""

    name = "async"


KINDS = (JavaSync, JavaAsync)


@pytest.mark.parametrize("kind", KINDS)
def test_the_story_of_a_bucket_with_keys_checksums_conditions_and_errors(
    kind: type[Sdk], door: Door, tmp_path: Path
) -> None:
    """In one test, because starting and warming Java takes longer than all that it does."""
    with opened(kind, door, tmp_path) as tool:
        tell(tool, whole=door.name == "bare")
        tell_of_keys(tool)
        tell_of_checksums(tool)
        tell_of_conditions(tool)
        tell_of_errors(tool)
