"""A PostgreSQL server of a test's own, which it may restart under those who use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.processes import free_port
from tests.databases import server_url


class PrivateServer:
    """A server in a folder; ``url`` is its SQLAlchemy URL, the same after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql+psycopg://s3kit@127.0.0.1:{self.port}/postgres"
        # Debian puts these programs on no path.
        found = shutil.which("initdb") or max(
            map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        )
        self._programs = Path(found).parent
        if os.getuid() == 0:
            # It refuses to run as root.
            shutil.chown(folder, "postgres")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Make the server's files the first time, and start it."""
        if not (self.folder / "data").exists():
            self._run("initdb", "-U", "s3kit", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-w", "-t", "60", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """End it as a crash would: nobody is told, and what was not committed is lost."""
        self._run("pg_ctl", "-w", "-t", "60", "-m", "immediate", "stop")


@contextmanager
def private_postgresql() -> Iterator[PrivateServer]:
    """A running server; skips or fails the test as :func:`tests.databases.server_url` does."""
    server_url("postgresql")
    # Not in pytest's folder, which is for nobody but its own user.
    folder = Path(tempfile.mkdtemp(prefix="s3kit-postgresql-"))
    try:
        server = PrivateServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
