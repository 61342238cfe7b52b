"""The command line: errors in one line, missing packages by the extra that brings them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import environment

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_help_names_the_commands(run: Run) -> None:
    result = run("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("serve", "gc", "upgrade-index"))


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("s3kit ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--access-key", "AK"), "The secret key is missing"),
        (("--certfile", "x.pem"), "TLS needs both --certfile and --keyfile."),
        (("--certfile", "x.pem", "--keyfile", "y.pem"), "Cannot read x.pem."),
        (("--port", "70000"), "port must be from 0 to 65535, not 70000."),
        (("--threads", "0"), "threads must be at least 1, not 0."),
        (("--data", "memory", "--workers", "2"), "2 workers cannot share what lies in memory"),
        (("--config", "no.toml"), "No file no.toml."),
        (("--accounts", "no.toml"), "No file no.toml."),
        (("--host", "256.0.0.1"), "Cannot listen on 256.0.0.1"),
    ],
)
def test_a_wrong_option_is_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("serve", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"S3KIT_SREVER": "granian"}, 'Did you mean "server"?'),
        ({"S3KIT_SERVER": "apache"}, 'No server "apache". Known: gunicorn, granian, werkzeug.'),
        ({"S3KIT_PORT": "http"}, 'port must be a whole number, not "http".'),
        ({"S3KIT_DATA": "memory", "S3KIT_WORKERS": "2"}, "Give --workers 1"),
        (
            {"S3KIT_STORAGES": '{"default": "memory://"}', "S3KIT_WORKERS": "2"},
            "2 workers cannot share what lies in memory",
        ),
    ],
)
def test_a_wrong_variable_is_one_line(run: Run, variables: dict[str, str], message: str) -> None:
    result = run("serve", **variables)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        ("click", ["--help"], "needs click. Install it with: pip install 's3kit[server]'"),
        ("gunicorn", ["serve", "--server", "gunicorn"], "gunicorn is not installed."),
        ("granian", ["serve", "--server", "granian"], "pip install 's3kit[server]'"),
        ("alembic", ["upgrade-index"], "Needs alembic. Install it with: pip install"),
    ],
)
def test_a_missing_package_is_met_with_its_extra(
    missing: str, arguments: list[str], message: str
) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from s3kit.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_gc_and_upgrade_index_work_on_a_data_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = run("upgrade-index")
    assert (result.returncode, result.stdout) == (0, "The index is up to date.\n"), result.stderr
    result = run("gc", "--orphans")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Removed 0 blobs.\nSwept 0 orphans.\n"


@pytest.mark.parametrize("command", ["gc", "upgrade-index"])
def test_a_command_makes_no_new_data_folder(run: Run, tmp_path: Path, command: str) -> None:
    result = run(command, "--data", "dta")
    assert result.returncode == 2
    assert f"No folder {tmp_path}/dta." in result.stderr
    assert not list(tmp_path.iterdir())
