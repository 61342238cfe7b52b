"""The AWS SDK for Ruby through every door."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.doors import Door
from tests.clients.scenario import tell
from tests.clients.sdks import PROGRAMS
from tests.clients.sdks import Sdk
from tests.clients.sdks import opened
from tests.clients.sdks import tell_of_checksums
from tests.clients.sdks import tell_of_errors
from tests.clients.sdks import tell_of_keys


class Ruby(Sdk):
    name = "ruby"

    # Debian's version is older than default checksums and than conditional puts.
    checksum = "CRC64NVME"
    # It computes the others only with the help of a native library.
    checksums = ("CRC32", "SHA1", "SHA256")

    def command(self) -> list[str]:
        ruby = shutil.which("ruby") or ""
        if not ruby or subprocess.run([ruby, "-e", 'require "aws-sdk-s3"'], check=False).returncode:
            pytest.skip("no AWS SDK for Ruby: apt-get install ruby-aws-sdk-s3")
        return [ruby, str(PROGRAMS / "ruby" / "agent.rb")]


def test_the_story_of_a_bucket(door: Door, tmp_path: Path) -> None:
    with opened(Ruby, door, tmp_path) as tool:
        tell(tool, whole=door.name == "bare")


def test_keys_checksums_and_errors(door: Door, tmp_path: Path) -> None:
    with opened(Ruby, door, tmp_path) as tool:
        tell_of_keys(tool)
        tell_of_checksums(tool)
        tell_of_errors(tool)
