"""A benchmark leaves no server behind, whatever goes wrong."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.cases import CASES
from benchmarks.report import Figures
from benchmarks.servers import Kit
from benchmarks.servers import Server
from benchmarks.servers import Sizes
from scripts.processes import ServerFailed
from scripts.processes import ServerProcess
from scripts.processes import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs process groups and /proc")


def test_a_server_that_cannot_be_prepared_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = []

    def refuse(server: Server, *, big: bool) -> None:
        ports.append(server.process.port)
        socket.create_connection(("127.0.0.1", server.process.port)).close()
        raise RuntimeError("refused")

    monkeypatch.setattr(program, "prepare", refuse)
    figures = Figures()
    servers: list[Server] = []
    kit = Kit(tmp_path, Sizes(), workers=1, threads=2)
    cases = [case for case in CASES if case.name == "get"]
    program.start_servers(kit, ["bare-gunicorn"], cases, figures, servers)
    assert servers == []
    assert figures.row("get", "bare-gunicorn").note == "refused"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]))


def test_a_peer_that_is_absent_is_a_row_and_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.servers.shutil.which", lambda name, path: None)
    figures = Figures()
    cases = [case for case in CASES if case.name == "get"]
    program.start_servers(Kit(tmp_path, Sizes()), ["nginx", "moto", "rclone"], cases, figures, [])
    assert {row.note for row in figures.of("get")} == {"not installed"}


def test_a_server_that_never_answers_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = ServerProcess(command, free_port(), tmp_path / "log")
    with pytest.raises(ServerFailed, match="No answer"):
        process.start(timeout=0.3)
    assert not process.running()
