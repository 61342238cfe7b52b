"""A power cut at every step: record what a real process asks of its disk, then lose what it may.

``record`` runs a command under strace. ``Recording.crashes`` replays its calls into a model of a
file system that promises what POSIX promises and no more:

* a file's bytes are safe once an fsync or fdatasync of it has returned, and only those that had
  been written before it began;
* a name in a folder (made, renamed or removed) is safe once an fsync of the *folder* has
  returned; fsync of the file says nothing about its name;
* everything else may be lost or kept, each write and each name on its own, a long write also
  by sectors.

After each step it yields disks as a power cut at that moment may leave them: with nothing kept
that was not synced, with all kept, with all names and sizes but no bytes, and with a random part.
The test writes each one into a folder and looks whether everything that the process had
acknowledged (a line ``ack ...`` written to standard error) is there and whole.

.. code-block:: python

    recording = record([sys.executable, "writer.py", str(root)], root)
    for crash in recording.crashes(seed=1):
        crash.write_to(folder)
        assert all_is_there(folder, crash.acknowledged), crash

Threads and child processes of the command are followed. What is written through a map of a file
is not seen. Only files that hold nothing but shared memory may be mapped so that a write changes
them, SQLite's ``-shm`` and the index's counters (``MAPPED``): the random disks have garbage there.
"""

from __future__ import annotations

import functools
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

SECTOR = 512

MAPPED = ("-shm", "-counters")
"""How the names of files end whose bytes may be anything after a power cut."""

_MODELLED = (
    "openat,open,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,truncate,lseek,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,close,dup,dup2,dup3"
)
# Traced so that their use below the root is noticed: a model that misses a call proves nothing.
_REFUSED = (
    "link,linkat,symlink,symlinkat,fallocate,copy_file_range,sendfile,splice,pwritev2,openat2,"
    "io_uring_setup,mmap"
)
_NAMING = frozenset(("rename", "renameat", "renameat2", "unlink", "unlinkat"))
_WRITING = frozenset(("write", "pwrite64", "writev", "pwritev", "ftruncate", "truncate"))
_TELLING = _NAMING | _WRITING | {"fsync", "fdatasync"}

_LINE = re.compile(r"^(\d+)\s+(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?|0x[0-9a-f]+).*$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_DESCRIPTOR = re.compile(r"^(-?\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?$")
_BASE = re.compile(r'iov_base="([^"]*)"')


class NotModelled(Exception):
    """The process did something to its files that the model does not know."""


@functools.cache
def missing() -> str | None:
    """Why nothing can be recorded here, or None."""
    if shutil.which("strace") is None:
        return "needs strace"
    done = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else None


# What was recorded


@dataclass(frozen=True)
class Call:
    """One system call. ``begun`` is the number of calls that had ended when it began."""

    name: str
    arguments: tuple[str, ...]
    result: int
    begun: int


def parse(lines: Sequence[str]) -> list[Call]:
    """The successful calls in strace's output (``-f -y -xx``), in the order of their ends."""
    calls: list[Call] = []
    unfinished: dict[str, tuple[str, int]] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            raise NotModelled(f"no line of strace: {line[:200]}")
        process, text = match.groups()
        begun = len(calls)
        if text.startswith(("+++", "---")):
            continue
        if text.endswith("<unfinished ...>"):
            unfinished[process] = (text.removesuffix("<unfinished ...>"), begun)
            continue
        resumed = _RESUMED.match(text)
        if resumed is not None:
            head, begun = unfinished.pop(process)
            text = head.rstrip() + resumed.group(2)
        match = _CALL.match(text)
        if match is None:
            raise NotModelled(f"no call: {text[:200]}")
        name, arguments, result = match.groups()
        if result == "?" or result.startswith("-"):
            continue
        number = int(result, 16) if result.startswith("0x") else int(result)
        # Text is all in hex (-xx), so a comma is always one between arguments.
        calls.append(Call(name, tuple(arguments.split(", ")), number, begun))
    return calls


def _bytes(quoted: str) -> bytes:
    text = quoted.strip()
    if not text.startswith('"') or not text.endswith('"'):
        raise NotModelled(f"not whole: {text[-40:]}")
    return bytes.fromhex(text[1:-1].replace("\\x", ""))


def _descriptor(text: str) -> tuple[str, str | None]:
    """The number and the path of an argument; None for what has no name (any more)."""
    match = _DESCRIPTOR.match(text)
    if match is None:
        return text, None
    number, path, deleted = match.groups()
    return number, None if deleted else os.fsdecode(_bytes(f'"{path}"'))


# The model


@dataclass(eq=False)
class File:
    """A file: what is surely on the disk, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    now: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Change]] = field(default_factory=list)

    def change(self, number: int, change: Change) -> None:
        change.apply(self.now)
        self.pending.append((number, change))

    def sync(self, begun: int) -> bool:
        done = [change for number, change in self.pending if number < begun]
        for change in done:
            change.apply(self.safe)
        self.pending = self.pending[len(done) :]
        return bool(done)


@dataclass(frozen=True)
class Change:
    """A write of ``data`` at ``offset``, or, without data, a cut or growth to ``offset``."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        elif self.data:
            content.extend(bytes(max(0, self.offset - len(content))))
            content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> Iterator[Change]:
        """The pieces in which a disk may keep it."""
        if self.data is None:
            yield self
            return
        position = 0
        while position < len(self.data):
            after = min(
                len(self.data),
                ((self.offset + position) // SECTOR + 1) * SECTOR - self.offset,
            )
            yield Change(self.offset + position, self.data[position:after])
            position = after


@dataclass(eq=False)
class Folder:
    """A folder: the names that are surely on the disk, and what was done to them since."""

    safe: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, File | Folder | None]]] = field(default_factory=list)

    def change(self, number: int, names: dict[str, File | Folder | None]) -> None:
        """Give or take (None) names, in one step."""
        _rename(self.now, names)
        self.pending.append((number, names))

    def sync(self, begun: int) -> bool:
        done = [names for number, names in self.pending if number < begun]
        for names in done:
            _rename(self.safe, names)
        self.pending = self.pending[len(done) :]
        return bool(done)


def _rename(entries: dict[str, File | Folder], names: dict[str, File | Folder | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def load(path: Path) -> Folder:
    """A folder of the real disk as one in which everything is safe."""
    folder = Folder()
    for entry in path.iterdir():
        if entry.is_dir():
            folder.safe[entry.name] = load(entry)
        else:
            content = entry.read_bytes()
            folder.safe[entry.name] = File(bytearray(content), bytearray(content))
    folder.now = dict(folder.safe)
    return folder


class Model:
    """The files below ``root`` as the calls leave them."""

    def __init__(self, root: str, folder: Folder) -> None:
        self._root = root
        self._offsets: dict[tuple[str, str], int] = {}
        self._appends: set[tuple[str, str]] = set()
        self.folder = folder

    def apply(self, number: int, call: Call) -> bool:
        """Do what a call did; whether it changed what is surely on the disk."""
        arguments = call.arguments
        name = call.name
        if name == "open":
            self._open(number, call, self._path("", arguments[0]), arguments[1])
        elif name == "creat":
            self._open(number, call, self._path("", arguments[0]), "O_CREAT|O_TRUNC")
        elif name == "openat":
            self._open(number, call, self._path(*arguments[:2]), arguments[2])
        elif name in ("write", "writev", "pwrite64", "pwritev"):
            self._write(number, call)
        elif name in ("fsync", "fdatasync"):
            node = self._node(_descriptor(arguments[0])[1])
            return node is not None and node.sync(call.begun)
        elif name == "ftruncate":
            self._truncate(number, _descriptor(arguments[0])[1], int(arguments[1]))
        elif name == "truncate":
            self._truncate(number, self._path("", arguments[0]), int(arguments[1]))
        elif name == "lseek":
            descriptor, path = _descriptor(arguments[0])
            if path is not None and (descriptor, path) in self._offsets:
                self._offsets[descriptor, path] = call.result
        elif name in ("mkdir", "mkdirat"):
            at = self._path("", arguments[0]) if name == "mkdir" else self._path(*arguments[:2])
            self._name(number, at, Folder())
        elif name in ("unlink", "rmdir", "unlinkat"):
            at = self._path(*arguments[:2]) if name == "unlinkat" else self._path("", arguments[0])
            self._name(number, at, None)
        elif name == "rename":
            self._move(number, self._path("", arguments[0]), self._path("", arguments[1]))
        elif name in ("renameat", "renameat2"):
            if len(arguments) > 4 and arguments[4] not in ("0", "RENAME_NOREPLACE"):
                raise NotModelled(str(call)[:500])
            self._move(number, self._path(*arguments[:2]), self._path(*arguments[2:4]))
        elif name in ("dup", "dup2", "dup3"):
            if self._inside(_descriptor(arguments[0])[1]):
                raise NotModelled(str(call)[:500])
        elif name == "mmap":
            path = _descriptor(arguments[4])[1]
            shared = "MAP_SHARED" in arguments[3] and "PROT_WRITE" in arguments[2]
            if shared and self._inside(path) and not str(path).endswith(MAPPED):
                raise NotModelled(str(call)[:500])
        elif name != "close" and self.concerns(call):
            raise NotModelled(str(call)[:500])
        return False

    def _path(self, folder: str, quoted: str) -> str:
        path = os.fsdecode(_bytes(quoted))
        return os.path.normpath(os.path.join(_descriptor(folder)[1] or "", path))

    def _inside(self, path: str | None) -> bool:
        """Whether a path is modelled."""
        return path is not None and f"{path}/".startswith(f"{self._root}/")

    def concerns(self, call: Call) -> bool:
        """Whether a call names a file below the root."""
        return any(self._mentioned(text) for text in call.arguments)

    def _mentioned(self, text: str) -> bool:
        if text.startswith('"'):
            return self._inside(os.fsdecode(_bytes(text)))
        return self._inside(_descriptor(text)[1])

    def _node(self, path: str | None) -> File | Folder | None:
        """What lies at a path now; None for what is not modelled or has no name any more."""
        if path is None or not self._inside(path):
            return None
        node: File | Folder = self.folder
        for name in path[len(self._root) :].split("/"):
            if name:
                if not isinstance(node, Folder) or name not in node.now:
                    raise NotModelled(f"{path} came from nowhere")
                node = node.now[name]
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        node = self._node(folder)
        if not isinstance(node, Folder):
            raise NotModelled(f"{folder} is no folder")
        return node, name

    def _name(self, number: int, path: str, node: File | Folder | None) -> None:
        if self._inside(path):
            folder, name = self._parent(path)
            folder.change(number, {name: node})

    def _move(self, number: int, old: str, new: str) -> None:
        if self._inside(old) != self._inside(new):
            raise NotModelled(f"{old} moved to {new}")
        if not self._inside(old):
            return
        node = self._node(old)
        (source, old_name), (target, new_name) = self._parent(old), self._parent(new)
        if source is target:
            # One folder: one step of the journal, so both names change or none.
            source.change(number, {old_name: None, new_name: node})
        else:
            target.change(number, {new_name: node})
            source.change(number, {old_name: None})

    def _open(self, number: int, call: Call, path: str, flags: str) -> None:
        if not self._inside(path):
            return
        if "O_TMPFILE" in flags:
            raise NotModelled(str(call)[:500])
        if "O_CREAT" in flags:
            folder, name = self._parent(path)
            if name not in folder.now:
                folder.change(number, {name: File()})
        if "O_TRUNC" in flags:
            self._truncate(number, path, 0)
        opened = (str(call.result), path)
        self._offsets[opened] = 0
        self._appends.discard(opened)
        if "O_APPEND" in flags:
            self._appends.add(opened)

    def _truncate(self, number: int, path: str | None, size: int) -> None:
        node = self._node(path)
        if isinstance(node, File):
            node.change(number, Change(size, None))

    def _write(self, number: int, call: Call) -> None:
        descriptor, path = _descriptor(call.arguments[0])
        node = self._node(path)
        if not isinstance(node, File) or path is None:
            return
        if call.name in ("writev", "pwritev"):
            pieces = _BASE.findall(", ".join(call.arguments))
            data = b"".join(_bytes(f'"{piece}"') for piece in pieces)
        else:
            data = _bytes(call.arguments[1])
        data = data[: call.result]
        if len(data) != call.result:
            raise NotModelled(f"{call.result - len(data)} bytes were not recorded")
        if call.name.startswith("pwrite"):
            offset = int(call.arguments[-1])
        elif (descriptor, path) in self._appends:
            offset = len(node.now)
        elif (descriptor, path) not in self._offsets:
            raise NotModelled(f"{path} was opened unseen")
        else:
            offset = self._offsets[descriptor, path]
            self._offsets[descriptor, path] = offset + len(data)
        node.change(number, Change(offset, data))


# What may be left


Keep = Callable[[], bool]


@dataclass(frozen=True)
class Crash:
    """A disk after a power cut. ``variant`` tells which part of what was not synced it kept."""

    step: int
    after: str
    variant: str
    acknowledged: tuple[str, ...]
    folder: Folder = field(repr=False)
    seed: int = 0

    def write_to(self, target: Path) -> None:
        """Lay this disk out in ``target``, which is emptied first. Empty folders are left out."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(0o700)
        self._write(self.folder, target, random.Random(self.seed))

    def _write(self, folder: Folder, target: Path, chance: random.Random) -> None:
        entries = dict(folder.safe)
        for _, names in folder.pending:
            if self._keeps(chance):
                _rename(entries, names)
        for name, node in entries.items():
            if isinstance(node, Folder):
                self._write(node, target / name, chance)
            else:
                target.mkdir(0o700, parents=True, exist_ok=True)
                content = self._content(node, chance)
                if self.variant == "some" and name.endswith(MAPPED):
                    content = chance.randbytes(len(node.now))
                (target / name).write_bytes(content)

    def _keeps(self, chance: random.Random) -> bool:
        return self.variant in ("all", "sizes") or (
            self.variant == "some" and chance.random() < 0.5
        )

    def _content(self, file: File, chance: random.Random) -> bytes:
        if self.variant == "all":
            return bytes(file.now)
        content = bytearray(file.safe)
        if self.variant == "sizes":
            content.extend(bytes(max(0, len(file.now) - len(content))))
        elif self.variant == "some":
            for _, change in file.pending:
                whole = chance.random()
                for piece in change.sectors():
                    # A third of the writes is kept, a third lost, a third torn.
                    if whole < 0.33 or (whole < 0.66 and chance.random() < 0.5):
                        piece.apply(content)
        return bytes(content)


@dataclass(frozen=True)
class Recording:
    """What a command asked of the disk below ``root``, and what it acknowledged when."""

    root: str
    start: Folder
    calls: list[Call]

    @property
    def acknowledged(self) -> list[str]:
        """All lines ``ack ...``, without the word."""
        return [line for call in self.calls for line in _acknowledged(call)]

    def crashes(self, *, seed: int = 0, some: int = 1, every: int = 1) -> Iterator[Crash]:
        """Disks after a power cut, step by step. Write each out before asking for the next.

        :param seed: of the random parts, so that a failure can be shown again.
        :param some: how many random disks at each step.
        :param every: take only one step in so many for all but the disk that lost everything;
            that one is yielded whenever it, or what was acknowledged, is another than before.
        """
        chance = random.Random(seed)
        model = Model(self.root, self.start)
        # A crash in the middle of a call is one before it: its effect may only be missing. An
        # acknowledgement counts from its beginning, as it may have been read at once.
        begun: dict[int, list[str]] = {}
        for call in self.calls:
            begun.setdefault(call.begun, []).extend(_acknowledged(call))
        acknowledged: list[str] = []
        for number, call in enumerate(self.calls):
            told = begun.get(number, [])
            if told:
                acknowledged.extend(told)
                yield Crash(number, "acknowledged", "none", tuple(acknowledged), model.folder)
            after = f"{number} {call.name}"
            state = tuple(acknowledged)
            if model.apply(number, call):
                yield Crash(number, after, "none", state, model.folder)
            # What else was begun is part of the disks after the next of these.
            if call.name in _TELLING and number % every == 0 and model.concerns(call):
                yield Crash(number, after, "all", state, model.folder)
                yield Crash(number, after, "sizes", state, model.folder)
                for _ in range(some):
                    luck = chance.getrandbits(64)
                    yield Crash(number, after, "some", state, model.folder, luck)


def _acknowledged(call: Call) -> list[str]:
    if call.name != "write" or not call.arguments[0].startswith("2<"):
        return []
    text = os.fsdecode(_bytes(call.arguments[1]))
    return [line[4:] for line in text.splitlines() if line.startswith("ack ")]


def record(
    command: Sequence[str], root: Path, *, environment: dict[str, str] | None = None
) -> Recording:
    """Run a command under strace and record what it does to the files below ``root``.

    :param root: an absolute path without links; what lies there before counts as safe.
    :raises subprocess.CalledProcessError: the command failed; its output is in ``stderr``.
    """
    start = load(root)
    trace = root.parent / f"{root.name}.strace"
    done = subprocess.run(
        [
            "strace", "-f", "-y", "-xx", "-s", "10000000", "--seccomp-bpf",
            "-e", f"trace={_MODELLED},{_REFUSED}", "-e", "signal=none", "-o", str(trace), *command,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=240,
    )  # fmt: skip
    done.check_returncode()
    calls = parse(trace.read_text("ascii").splitlines())
    return Recording(str(root), start, calls)
