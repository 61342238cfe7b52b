"""A place for plain files and whole storages: a folder, or anything that fsspec knows.

What a storage cannot do is to keep a file under a name that says something; a backup needs a few.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from .base import BLOCK
from .base import BlobStore
from .registry import StorageError
from .registry import location
from .registry import open_store

if TYPE_CHECKING:
    # fsspec is heavy, and a folder needs none of it.
    from .connection import Connection

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PART = ".part"
_WINDOW = 4 * 1024 * 1024


class Place(Protocol):
    """Names are relative and have ``/`` between their parts."""

    @property
    def url(self) -> str: ...

    @property
    def folder(self) -> str | None:
        """Where it lies on this machine, if it does."""

    @property
    def locks(self) -> bool:
        """Whether ``alone`` keeps anybody out."""

    def blobs(self, name: str) -> BlobStore:
        """The storage below ``name``. What is put there is to be settled afterwards."""

    def settle(self, name: str) -> None:
        """Make the blobs below ``name`` as durable as the place can."""

    def write(self, name: str, source: str, *, lasting: bool = True) -> None:
        """Put a copy of a local file there, whole or not at all.

        :param lasting: as durably as the place can; else a power cut may take it.
        """

    def read(self, name: str, target: str) -> None:
        """Fetch a file. Raises FileNotFoundError."""

    def names(self, name: str = "") -> list[str]:
        """What lies directly below ``name``, sorted; nothing where there is nothing."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; one that is not there is fine."""

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Held while something is changed; BlockingIOError when somebody else holds it.

        Nobody is kept out where a place has no locks.
        """

    def close(self) -> None:
        """Hang up, where there are connections. It can be used again."""


def open_place(url: str, options: Mapping[str, Any] | None = None) -> Place:
    """The place at a folder's path or an fsspec URL. Nothing is made yet.

    :raises StorageError: it cannot be one, or a package that it needs is missing.
    """
    scheme, separator, _ = url.partition("://")
    if not url:
        raise StorageError("The place's name is empty.")
    if separator and scheme == "memory":
        raise StorageError("What lies in memory is gone with this process: name another place.")
    if scheme == "local":
        # fsspec's name for a folder, which makes its files for everybody to read.
        url = url.removeprefix("local://")
        if not url:
            raise StorageError("The folder's name is empty.")
    if not separator or scheme in ("file", "local"):
        if options:
            raise StorageError("A folder takes no options.")
        return LocalPlace(url)
    return RemotePlace(url, dict(options or {}))


class LocalPlace:
    """A folder: made by the first write, for its owner alone."""

    def __init__(self, url: str) -> None:
        found = location(url)
        if found is None or (url.startswith("file://") and not url.startswith("file:///")):
            raise StorageError(f"{url!r} is no folder. One is written file:///... or /...")
        self._root = found[0]
        self.url = self._root
        self.folder: str | None = self._root
        self.locks = fcntl is not None

    def blobs(self, name: str) -> BlobStore:
        self._make(f"{self._root}/{name}")
        return open_store(name, f"{self._root}/{name}", durability="relaxed")

    def settle(self, name: str) -> None:
        # The bytes are on the disk, not yet all of their names.
        path = f"{self._root}/{name}"
        for each in self.names(name):
            _sync(f"{path}/{each}")
        _sync(path)

    def write(self, name: str, source: str, *, lasting: bool = True) -> None:
        path = f"{self._root}/{name}"
        self._make(os.path.dirname(path))
        half = path + _PART
        with open(source, "rb") as file, open(half, "wb", opener=_private) as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
            copy.flush()
            if lasting:
                os.fsync(copy.fileno())
        os.replace(half, path)
        if lasting:
            _sync(os.path.dirname(path))

    def read(self, name: str, target: str) -> None:
        with (
            open(f"{self._root}/{name}", "rb") as file,
            open(target, "wb", opener=_private) as copy,
        ):
            shutil.copyfileobj(file, copy, 1024 * 1024)

    def names(self, name: str = "") -> list[str]:
        try:
            found = os.listdir(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(each for each in found if not each.endswith(_PART))

    def remove(self, name: str) -> None:
        path = f"{self._root}/{name}"
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        self._make(self._root)
        with open(f"{self._root}/lock", "wb", opener=_private) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def close(self) -> None:
        """Nothing: there is no connection."""

    def _make(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, 0o700)
            with contextlib.suppress(PermissionError):
                _sync(os.path.dirname(each))


class RemotePlace:
    """A file system that fsspec knows, by way of :mod:`s3kit.blobs.connection`.

    Used by several threads: each has a connection of its own meanwhile.
    """

    folder: str | None = None
    locks = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options)
        self._protocol = url.partition("://")[0]
        # Says what is wrong with the URL, or which package is missing.
        open_store("place", {"url": url, "options": self._options}).close()
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def blobs(self, name: str) -> BlobStore:
        with contextlib.suppress(OSError), self._lent() as connection:
            # Whoever only reads may not be allowed to, and who writes sees it soon enough.
            if not connection.whole:
                connection.make_private(f"{connection.root}/{name}")
        return open_store(name, {"url": f"{self.url}/{name}", "options": self._options})

    def settle(self, name: str) -> None:
        """Nothing: what a remote storage has taken it has."""

    def write(self, name: str, source: str, *, lasting: bool = True) -> None:
        with self._lent() as connection:
            path = f"{connection.root}/{name}"
            if connection.whole:
                connection.upload(source, path)
                return
            self._upload(connection, source, path + _PART)
            connection.replace(path + _PART, path)

    def read(self, name: str, target: str) -> None:
        with self._lent() as connection:
            path = f"{connection.root}/{name}"
            size = connection.size(path)
            with open(target, "wb", opener=_private) as file:
                for start in range(0, size, _WINDOW):
                    data = connection.read(path, start, min(start + _WINDOW, size))
                    if len(data) != min(_WINDOW, size - start):
                        raise OSError(errno.EIO, f"{name} ended before its {size} bytes")
                    file.write(data)

    def names(self, name: str = "") -> list[str]:
        with self._lent() as connection:
            try:
                found = connection.entries(f"{connection.root}/{name}".rstrip("/"))
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted({each for each, _ in found if not each.endswith(_PART)})

    def remove(self, name: str) -> None:
        with self._lent() as connection:
            connection.remove_tree(f"{connection.root}/{name}")

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Connection]:
        from .connection import connect

        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect(self.url, self._protocol, self._options)
        try:
            yield connection
        finally:
            with self._lock:
                self._idle.append(connection)

    def _upload(self, connection: Connection, source: str, path: str) -> None:
        from .connection import as_os_error

        with open(source, "rb") as file:
            copy = connection.begin_private(path)
            try:
                with as_os_error():
                    while block := file.read(BLOCK):
                        copy.write(block)
                    copy.close()
            except BaseException:
                with contextlib.suppress(Exception):
                    connection.throw_away(copy)
                raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: str) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
