"""Blobs in a local folder, written so that what was committed survives a power cut.

``ROOT/3f/3f0c...`` with 256 shard folders. Files are 0600 and folders 0700.

A blob is made by exclusive create under its final name, without a temporary file and a rename.
Nobody can know the name before the index's transaction names it, and that one starts after
``commit`` returned; so a crash in the middle leaves a partial file that no row points at: an
orphan for the sweep, exactly as a temporary file would be. A rename would change nothing for a
reader, and costs a second flush of the file system's journal: fsync of the file has already put
the entry made by the create into it, an entry made by a later rename it has not.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Literal

from .base import Buffer
from .base import Capabilities
from .base import check_blob_id
from .base import is_blob_id

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY

BLOCK = 120 * 1024
"""Bytes of one read: just below what malloc maps and unmaps for each object (128 KiB), which cost
a server of large objects a seventh of its CPU."""

_SHARDS = tuple(f"{number:02x}" for number in range(256))


class LocalBlobStore:
    """Blobs in a local folder, which is made if it is not there.

    :param path: the folder.
    :param durability: ``full`` syncs each blob and the folder that holds its name before
        ``commit`` returns. ``relaxed`` syncs the blob only and leaves the folder to the file
        system: POSIX promises nothing of the name then, but ext4, XFS and btrfs write a new name
        together with its file. Never less: a row that outlives a power cut must find its blob.
    :param read_only: make no folders.
    :raises OSError: the folder cannot be made or used.
    """

    __slots__ = ("_path", "_sync", "capabilities", "name")

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str = "local",
        *,
        durability: Literal["full", "relaxed"] = "full",
        read_only: bool = False,
    ) -> None:
        if durability not in ("full", "relaxed"):
            raise ValueError(f'durability is "full" or "relaxed", not {durability!r}.')
        self.name = name
        self._path = os.path.abspath(path)
        self._sync = durability == "full"
        self.capabilities = Capabilities(durable=self._sync, shared=True)
        if not read_only:
            self._make_folders()

    @property
    def path(self) -> str:
        """The absolute path of the folder."""
        return self._path

    def create(self, blob_id: str, size_hint: int | None = None) -> _Writer:
        folder, path = self._locate(blob_id)
        try:
            descriptor = os.open(path, _CREATE, 0o600)
        except FileNotFoundError:
            # Somebody removed the shard folder, perhaps because it was empty.
            self._make_folders()
            descriptor = os.open(path, _CREATE, 0o600)
        return _Writer(descriptor, path, folder if self._sync else None)

    def open(self, blob_id: str, start: int, end: int) -> _Reader:
        return _Reader(os.open(self._locate(blob_id)[1], _READ), start, end)

    def delete(self, blob_id: str) -> None:
        # No fsync: a blob that a power cut brings back is an orphan, and is swept again.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._locate(blob_id)[1])

    def size(self, blob_id: str) -> int:
        return os.stat(self._locate(blob_id)[1], follow_symlinks=False).st_size

    def sweep(self) -> Iterator[tuple[str, float]]:
        for shard in _SHARDS:
            try:
                entries = os.scandir(f"{self._path}/{shard}")
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if not is_blob_id(entry.name) or not entry.is_file(follow_symlinks=False):
                        continue
                    try:
                        modified = entry.stat(follow_symlinks=False).st_mtime
                    except FileNotFoundError:
                        continue
                    yield entry.name, modified

    def close(self) -> None:
        pass

    def _locate(self, blob_id: str) -> tuple[str, str]:
        folder = f"{self._path}/{check_blob_id(blob_id)[:2]}"
        return folder, f"{folder}/{blob_id}"

    def _make_folders(self) -> None:
        """Make what is missing of the root and its shards, and make sure of all of it.

        The folders are synced even where they exist: another process may have made them a
        moment ago and not have come to its fsync, and blobs must not stand on what may vanish.
        """
        parents = [self._path]
        while not os.path.isdir(parents[-1]):
            parents.append(os.path.dirname(parents[-1]))
        os.makedirs(self._path, 0o700, exist_ok=True)
        for shard in _SHARDS:
            with contextlib.suppress(FileExistsError):
                os.mkdir(f"{self._path}/{shard}", 0o700)
        if self._sync:
            _sync_folder(self._path)
            # The entry of the root itself lies in a folder that may be unreadable for us.
            for folder in parents[1:] or [os.path.dirname(self._path)]:
                with contextlib.suppress(PermissionError):
                    _sync_folder(folder)


class _Writer:
    __slots__ = ("_descriptor", "_folder", "_path")

    def __init__(self, descriptor: int, path: str, folder: str | None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._folder = folder

    def write(self, data: Buffer, /) -> None:
        descriptor = self._descriptor
        if descriptor < 0:
            raise ValueError("The blob is finished.")
        written = os.write(descriptor, data)
        if written != len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    def commit(self) -> None:
        descriptor = self._descriptor
        if descriptor < 0:
            raise ValueError("The blob is finished.")
        try:
            if self._folder is not None:
                os.fsync(descriptor)
            else:
                _sync_data(descriptor)
            # Whoever took it for an orphan has done so by now; some FUSE file systems count none.
            if os.fstat(descriptor).st_nlink == 0 and not os.path.lexists(self._path):
                raise FileNotFoundError(
                    errno.ENOENT, "The blob was removed while it was written", self._path
                )
            self._descriptor = -1
            # Over NFS and with quotas a full disk may show only here.
            os.close(descriptor)
            if self._folder is not None:
                _sync_folder(self._folder)
        except BaseException:
            if self._descriptor >= 0:
                self.discard()
            else:
                _remove(self._path)
            raise

    def discard(self) -> None:
        descriptor = self._descriptor
        if descriptor >= 0:
            self._descriptor = -1
            _remove(self._path)
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        # A writer that was dropped unfinished must not keep its descriptor and half a file.
        if self._descriptor >= 0:
            self.discard()


class _Reader:
    """A class and not a generator: closing one that never started would leak the descriptor."""

    __slots__ = ("_descriptor", "_end", "_position")

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._position = start
        self._end = end

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> bytes:
        position = self._position
        wanted = self._end - position
        if wanted <= 0 or self._descriptor < 0:
            self.close()
            raise StopIteration
        block = os.pread(self._descriptor, BLOCK if wanted > BLOCK else wanted, position)
        if not block:
            self.close()
            raise OSError(errno.EIO, f"The blob ends at byte {position}, {wanted} too early.")
        self._position = position + len(block)
        return block

    def close(self) -> None:
        descriptor = self._descriptor
        if descriptor >= 0:
            self._descriptor = -1
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


# Without the times, which nobody reads from there. Not on macOS.
_sync_data = getattr(os, "fdatasync", os.fsync)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
