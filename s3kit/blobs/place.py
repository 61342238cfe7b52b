"""A place for plain files and whole storages: a folder, or anything that fsspec knows.

What a storage cannot do is to keep a file under a name that says something; a backup needs a few.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Protocol

from .base import BlobStore
from .registry import StorageError
from .registry import location
from .registry import open_store

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})


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


def open_place(url: str, options: Mapping[str, Any] | None = None) -> Place:
    """The place at a folder's path or an fsspec URL. Nothing is made yet.

    :raises StorageError: it cannot be one, or a package that it needs is missing.
    """
    scheme, separator, _ = url.partition("://")
    if not url:
        raise StorageError("The place's name is empty.")
    if separator and scheme == "memory":
        raise StorageError("What lies in memory is gone with this process: name another place.")
    if not separator or scheme == "file":
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
        self._make(self._root)
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
        half = path + ".part"
        with open(source, "rb") as file, open(half, "wb", opener=_private) as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
            copy.flush()
            if lasting:
                os.fsync(copy.fileno())
        os.replace(half, path)
        if lasting:
            _sync(os.path.dirname(path))

    def read(self, name: str, target: str) -> None:
        shutil.copyfile(f"{self._root}/{name}", target)

    def names(self, name: str = "") -> list[str]:
        try:
            found = os.listdir(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(each for each in found if not each.endswith(".part"))

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
    """A file system that fsspec knows."""

    folder: str | None = None
    locks = False

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._options = options
        # Says what is wrong with the URL, or which package is missing.
        open_store("place", {"url": url, "options": options}).close()
        from fsspec.core import url_to_fs

        self._system, root = url_to_fs(
            self.url, **options, use_listings_cache=False, skip_instance_cache=True
        )
        self._root: str = root.rstrip("/")
        self._whole = url.partition("://")[0] in _OBJECT_STORES

    def blobs(self, name: str) -> BlobStore:
        return open_store(name, {"url": f"{self.url}/{name}", "options": self._options})

    def settle(self, name: str) -> None:
        """Nothing: what a remote storage has taken it has."""

    def write(self, name: str, source: str, *, lasting: bool = True) -> None:
        path = f"{self._root}/{name}"
        if self._whole:
            self._system.put_file(source, path)
            return
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._system.put_file(source, path + ".part")
        with contextlib.suppress(FileNotFoundError):
            # Not every one replaces.
            self._system.rm_file(path)
        self._system.mv(path + ".part", path)

    def read(self, name: str, target: str) -> None:
        self._system.get_file(f"{self._root}/{name}", target)

    def names(self, name: str = "") -> list[str]:
        path = f"{self._root}/{name}".rstrip("/")
        self._system.invalidate_cache()
        try:
            found = [entry["name"] for entry in self._system.ls(path, detail=True)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {each.rstrip("/").rpartition("/")[2] for each in found if each.rstrip("/") != path}
        return sorted(each for each in names if not each.endswith(".part"))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm(f"{self._root}/{name}", recursive=True)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


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
