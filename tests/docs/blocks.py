"""The code blocks of a page, run from top to bottom as a reader would.

What stands in a page decides what is done with a block:

- a fence with ``title="app.py"`` is a file: it is written to the reader's folder;
- ``python`` without a title is run, all of a page in one interpreter;
- ``sh`` is run by bash and must succeed; after ``<!-- server -->`` it is started and stays until
  the page ends, once something answers on its port;
- ``text`` is what a program prints, or a picture, and is not run;
- ``<!-- not run: reason -->`` before a block leaves it out, for a reason that the test knows.

Port 9000 stands for a free one.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.processes import free_port

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>server|not run: [^\n]*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    :param line: where its fence stands, from 1.
    :param mark: ``server``, the reason why it is not run, or empty.
    """

    page: str
    line: int
    language: str
    title: str
    mark: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page of the documentation, and the README."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    text = page.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["info"])
        indent = match["indent"]
        body = match["body"]
        if indent:
            body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        start = match.start("language")
        found.append(
            Block(
                str(page.relative_to(ROOT)),
                text.count("\n", 0, start) + 1,
                match["language"],
                title[1] if title else "",
                (match["mark"] or "").removeprefix("not run: "),
                body,
            )
        )
    return found


# One interpreter for a page, so that a block knows what those before it made. Each line that it
# reads names a file; the answer ends with a NUL, after "!" where the file raised.
_INTERPRETER = """
import sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    with open(line.rstrip()) as file:
        text = file.read()
    try:
        exec(compile(text, line.rstrip(), "exec"), names)
        ending = chr(0)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        ending = "!" + chr(0)
    print(end=ending, flush=True)
"""


class BlockFailed(AssertionError):
    """A block did not do what its page says."""


class Reader:
    """Somebody who follows a page in an empty folder, with s3kit and its clients installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self._servers: list[subprocess.Popen[bytes]] = []
        self._python: subprocess.Popen[bytes] | None = None
        tools = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("S3KIT_", "AWS_", "DJANGO_", "FLASK_", "PYTEST_"))
        }
        self.environment["PATH"] = os.pathsep.join(tools)
        self.environment["HOME"] = str(folder)
        self.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "contrib")])
        self.environment["PYTHONUNBUFFERED"] = "1"
        # Elsewhere a page's pytest would remove what whole runs left there, for a minute or more.
        self.environment["PYTEST_DEBUG_TEMPROOT"] = str(folder)

    def follow(self, blocks: list[Block]) -> None:
        """Do what each block says.

        :raises BlockFailed: naming the page and line.
        """
        for block in blocks:
            if block.mark and block.mark != "server":
                continue
            body = block.body.replace("9000", str(self._port))
            if block.title:
                path = self.folder / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body, "utf-8")
            elif block.mark == "server":
                self._serve(block, body)
            elif block.language == "sh":
                self._run(block, ["bash", "-euo", "pipefail", "-c", body])
            elif block.language == "python":
                self._execute(block, body)

    def close(self) -> None:
        """Stop the page's interpreter and every server."""
        if self._python is not None:
            # At its end the interpreter would wait for threads that the page began.
            self._python.kill()
            self._python.communicate()
        for process in reversed(self._servers):
            # Each leads a group of its own.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._servers:
            try:
                process.wait(100)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _run(self, block: Block, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        if done.returncode != 0:
            said = done.stdout.decode("utf-8", "replace")
            raise BlockFailed(f"{block} ended with {done.returncode}:\n{block.body}\n{said}")

    def _execute(self, block: Block, body: str) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        process = self._python
        assert process.stdin is not None
        assert process.stdout is not None
        path = self.folder / f"block-{block.line}.py"
        path.write_text(body, "utf-8")
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        said = b""
        limit = time.monotonic() + 240
        while not said.endswith(b"\0"):
            ready, _, _ = select.select(
                [process.stdout], [], [], max(0.0, limit - time.monotonic())
            )
            more = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not more:
                break
            said += more
        if not said.endswith(b"\0") or said.endswith(b"!\0"):
            text = said.decode("utf-8", "replace").rstrip("!\0")
            raise BlockFailed(f"{block} ended with an error:\n{block.body}\n{text}")

    def _serve(self, block: Block, body: str) -> None:
        log = self.folder / f"server-{len(self._servers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", f"exec {body.strip()}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(process)
        for _ in range(900):
            if process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise BlockFailed(f"{block} serves nothing:\n{body}\n{log.read_text('utf-8')}")


def missing_programs(blocks: list[Block]) -> Iterator[str]:
    """What a page's shell blocks call that is not on this machine."""
    for program in ("aws", "curl", "rclone"):
        used = any(
            re.search(rf"^\s*{program} ", block.body, re.MULTILINE)
            for block in blocks
            if block.language == "sh" and block.mark in ("", "server")
        )
        if used and shutil.which(program) is None:
            yield program
