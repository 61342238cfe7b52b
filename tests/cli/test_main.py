"""The command line: errors in one line, missing packages by the extra that brings them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from s3kit.blobs.local import LocalBlobStore
from s3kit.cli.main import cli
from s3kit.index import garbage
from s3kit.index.session import Index
from s3kit.testing.blob_contract import put
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


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
@pytest.mark.parametrize("command", [("keys", "list", "default"), ("accounts", "list"), ("gc",)])
def test_a_database_that_is_down_is_one_line(
    tmp_path: Path, command: tuple[str, ...], driver: str
) -> None:
    variables = {
        "S3KIT_INDEX": f"{driver}://me:my-password@127.0.0.1:1/s3kit",
        "S3KIT_DATA": str(tmp_path),
    }
    result = CliRunner().invoke(cli, command, env=variables)
    assert result.exit_code == 1
    assert "The index's database does not answer: " in result.output
    assert "127.0.0.1" in result.output
    assert len(result.output.splitlines()) == 1, result.output
    assert "my-password" not in result.output


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
        (
            {"S3KIT_SERVER": "granian", "S3KIT_TRUSTED_PROXIES": "127.0.0.1"},
            "granian cannot tell X_Forwarded_For from X-Forwarded-For",
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


def test_gc_makes_no_index(run: Run, tmp_path: Path) -> None:
    """To a new index every blob would be an orphan."""
    (tmp_path / "data").mkdir()
    for variables in ({}, {"S3KIT_INDEX": f"sqlite:///{tmp_path}/lost.db"}):
        result = run("gc", "--orphans", **variables)
        assert result.returncode == 2
        assert "No index " in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
    assert list((tmp_path / "data").iterdir()) == []
    (tmp_path / "data" / "s3kit.db").touch()
    result = run("gc")
    assert result.returncode == 2
    assert "The index has no tables yet." in result.stderr
    assert "memory" in run("gc", "--data", "memory").stderr


def test_gc_sweeps_no_storage_of_another_index(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    other = {"S3KIT_INDEX": f"sqlite:///{tmp_path}/other.db"}
    for variables in ({}, other):
        assert run("upgrade-index", **variables).returncode == 0
    assert run("gc", "--orphans").returncode == 0
    result = run("gc", "--orphans", **other)
    assert result.returncode == 2
    assert 'Storage "default" belongs to another index' in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_the_grace_period_of_one_gc_may_be_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert run("upgrade-index").returncode == 0
    index = Index(f"sqlite:///{tmp_path}/data/s3kit.db")
    blob = put(LocalBlobStore(tmp_path / "data" / "blobs"), b"bytes")
    index.write(lambda c: garbage.add(c, "default", blob, int(time.time() * 1000) - 1))
    index.close()
    assert run("gc").stdout == "Removed 0 blobs.\n"
    assert run("gc", "--grace", "-1").returncode == 2
    assert run("gc", "--grace", "0").stdout == "Removed 1 blobs.\n"


TAPE = """
from s3kit.blobs.memory import MemoryBlobStore

class Tape(MemoryBlobStore):
    pass
"""


def test_workers_do_not_share_a_storage_that_only_one_process_sees(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "tape.py").write_text(TAPE)
    storages = '{"default": {"use": "tape:Tape"}}'
    result = run("serve", "--workers", "2", "--port", "0", S3KIT_STORAGES=storages)
    assert result.returncode == 2
    assert '2 workers cannot share the storage "default"' in result.stderr
    assert "Give --workers 1." in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_storage_that_cannot_be_opened_is_one_line(run: Run) -> None:
    result = run("serve", "--port", "0", S3KIT_STORAGES='{"cold": "sb3://bucket"}')
    assert result.returncode == 2
    assert "Storage 'cold' (sb3://)" in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize("command", ["gc", "upgrade-index"])
def test_a_command_makes_no_new_data_folder(run: Run, tmp_path: Path, command: str) -> None:
    result = run(command, "--data", "dta")
    assert result.returncode == 2
    assert f"No folder {tmp_path}/dta." in result.stderr
    assert not list(tmp_path.iterdir())
