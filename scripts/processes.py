"""A server process on loopback: start it, wait until it answers, weigh its CPU, end it."""

from __future__ import annotations

import functools
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailed(RuntimeError):
    """A server ended before it answered, or never answered. The text holds its log's end."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on right now.

    Not one of those that the kernel deals out: others could be given it before its server listens,
    or while that is restarted. Processes of pytest-xdist have ports of their own.
    """
    for port in itertools.islice(_ports(), 1000):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no port is free")


@functools.cache
def _ports() -> Iterator[int]:
    """All that are worth a try, again and again; this process has one such row of them."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 0
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    ports = range(first - 12_000 + worker, first, 16)
    if ports.start < 10_000:
        # Any that the kernel has.
        return itertools.repeat(0)
    start = secrets.randbelow(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


def s3kit_command(
    *,
    data: Path,
    port: int,
    server: str = "",
    accounts: Path | None = None,
    access_key: str = "",
    secret_key: str = "",
    workers: int | None = None,
    threads: int | None = None,
    python: str = sys.executable,
) -> list[str]:
    """The command line of ``s3kit serve``; what is not given is left to s3kit's defaults."""
    command = [python, "-m", "s3kit", "serve", "--data", str(data)]
    command += ["--host", LOOPBACK, "--port", str(port)]
    for option, value in (
        ("--server", server),
        ("--accounts", accounts),
        ("--access-key", access_key),
        ("--secret-key", secret_key),
        ("--workers", workers),
        ("--threads", threads),
    ):
        if value:
            command += [option, str(value)]
    return command


class ServerProcess:
    """One server with all its children, in a process group of its own.

    :param command: program and arguments.
    :param port: where it will listen on the loopback address.
    :param log: file that takes its output.
    :param environment: variables added to this process's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path = ROOT,
    ) -> None:
        self.command = list(command)
        self.port = port
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, timeout: float = 60.0) -> None:
        """Start the server and return once it answers HTTP on its port.

        :raises ServerFailed: when it ends early or takes longer than ``timeout`` seconds.
        """
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._wait(timeout)
        except BaseException:
            # Children may have been left, and the caller has nothing yet that it could stop.
            self.kill()
            raise

    def _wait(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.command[0]} ended at its start.\n{self.log_end()}")
            if self._answers():
                return
            time.sleep(0.02)
        raise ServerFailed(f"No answer in {timeout:.0f} s.\n{self.log_end()}")

    def _answers(self) -> bool:
        # A taken connection is not enough: a socket may listen before there is a server behind it.
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=10.0) as probe:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return probe.recv(1) != b""
        except OSError:
            return False

    def log_end(self, lines: int = 20) -> str:
        """The last lines that the server wrote."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, *, timeout: float = 10.0) -> None:
        """End it politely, then by force. Does nothing when it does not run."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self) -> None:
        """kill -9 the whole process group at once."""
        process = self._process
        if process is None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        self._process = None

    def cpu_seconds(self) -> float:
        """User + system CPU that the whole process tree has used since its start, in seconds."""
        return sum(_cpu_seconds(pid) for pid in tree(self.pid))

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def tree(root: int) -> list[int]:
    """A process and all its living descendants, as process ids."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name (state first); [] when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    if not fields:
        return 0.0
    # utime and stime count in ticks of 10 ms; the process's CPU clock has nanoseconds.
    reaped = (int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND
    try:
        return time.clock_gettime((~pid << 3) | 2) + reaped
    except OSError:
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND + reaped
