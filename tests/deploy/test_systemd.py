"""The systemd unit, as systemd itself judges it."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from s3kit.cli.main import cli
from s3kit.cli.servers import GRACE_SECONDS
from tests.deploy.conftest import DEPLOY

UNIT = DEPLOY / "s3kit.service"


class _Parser(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def service() -> configparser.SectionProxy:
    parser = _Parser(strict=False)
    parser.read(UNIT)
    return parser["Service"]


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze: apt install systemd")
    return found


def test_the_command_is_one_of_s3kit_with_options_that_it_has() -> None:
    program, name, *arguments = shlex.split(service()["ExecStart"])
    assert program == "/opt/s3kit/bin/s3kit"
    command = cli.commands[name]
    context = command.make_context(name, arguments, resilient_parsing=False)
    assert isinstance(context, click.Context)
    assert context.params["data"] == f"/var/lib/{service()['StateDirectory']}"
    assert context.params["data"] == service()["WorkingDirectory"]
    # Not before somebody has put TLS in front.
    assert context.params["host"] == "127.0.0.1"


def test_it_waits_longer_for_the_end_than_s3kit_does() -> None:
    assert int(service()["TimeoutStopSec"]) > GRACE_SECONDS
    assert service()["KillMode"] == "mixed"


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    """With a program that is there: what the Dockerfile's steps install is tried elsewhere."""
    text = UNIT.read_text().replace("/opt/s3kit/bin/s3kit serve", f"{shutil.which('true')} serve")
    unit = tmp_path / "s3kit.service"
    unit.write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(text + "\n[Service]\nProtectNothing=yes\n")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert "ProtectNothing" in done.stderr, "the check can fail"


def test_systemd_finds_little_that_is_exposed(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for s3kit.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found.group(1)) <= 1.5
