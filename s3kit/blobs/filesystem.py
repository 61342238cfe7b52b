"""Blobs on any file system that fsspec knows: S3, GCS, Azure, SFTP, SMB ...

What fsspec promises differs from one file system to the next, so three rules keep half a blob
from ever being seen:

* What fits into one block goes out in one request (``pipe_file``) on an object store.
* Longer ones are streamed with ``autocommit=False`` (never in a ``with`` block: an exception
  inside it *commits* a truncated object). Azure's has no ``discard``, but shows an upload only
  when it is closed, so there discarding is to prevent the close.
* Elsewhere the bytes go to ``<id>.part`` beside the final name and are renamed. fsspec's own
  ``autocommit=False`` puts its temporary file into /tmp there, often another file system.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

import fsspec
from fsspec.core import url_to_fs

from .base import BLOCK
from .base import Buffer
from .base import Capabilities
from .base import check_blob_id
from .base import is_blob_id

T = TypeVar("T")

WINDOW = 8 * 1024 * 1024
"""Bytes fetched at once from a remote storage, and the smallest part of a streamed upload."""

_PART = ".part"

# One request stores a blob whole, and an unfinished upload is never seen.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
# Of these, adlfs has no discard(): blocks are staged, and close() makes a blob of them.
_NO_DISCARD = frozenset({"abfs", "abfss", "az"})
# No connection behind them that threads would share.
_THREAD_SAFE = frozenset({"file", "local", "memory"})

_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class FilesystemBlobStore:
    """Blobs under a URL that fsspec understands, e.g. ``s3://bucket/folder``.

    Connections are made at first use, anew in each process, and one per thread for file systems
    that are not built for threads. A process that is killed in a long upload to S3 leaves its
    parts there unseen; a lifecycle rule with ``AbortIncompleteMultipartUpload`` removes them.

    :param url: where the blobs lie, as ``<url>/3f/3f0c...``.
    :param options: for the fsspec file system, e.g. ``{"key": ..., "endpoint_url": ...}``.
    :raises ImportError: the package behind the URL is missing; the text names it.
    :raises ValueError: fsspec does not know the URL's scheme, or the URL is a chain of several.
    """

    __slots__ = (
        "_connection",
        "_lock",
        "_options",
        "_pid",
        "_protocol",
        "_threads",
        "_url",
        "capabilities",
        "name",
    )

    def __init__(
        self, url: str, name: str = "filesystem", *, options: Mapping[str, Any] | None = None
    ) -> None:
        if "::" in url:
            raise ValueError(f"A storage is one file system, not a chain of them: {url!r}.")
        self.name = name
        self._url = url
        self._options = dict(options or {})
        self._protocol = url.partition("://")[0]
        fsspec.get_filesystem_class(self._protocol)
        whole = self._protocol in _OBJECT_STORES
        self.capabilities = Capabilities(
            durable=whole, shared=self._protocol != "memory", native_copy=whole
        )
        self._forget()

    def create(self, blob_id: str, size_hint: int | None = None) -> _Writer:
        connection = self._connect()
        return _Writer(connection, connection.path(blob_id), size_hint)

    def open(self, blob_id: str, start: int, end: int) -> _Reader:
        connection = self._connect()
        return _Reader(connection, connection.path(blob_id), start, end)

    def delete(self, blob_id: str) -> None:
        connection = self._connect()
        path = connection.path(blob_id)
        connection.remove(path)
        if not connection.whole:
            connection.remove(path + _PART)

    def size(self, blob_id: str) -> int:
        connection = self._connect()
        return connection.size(connection.path(blob_id))

    def sweep(self) -> Iterator[tuple[str, float]]:
        connection = self._connect()
        # Shard by shard: the names of one are held at a time, not those of the whole storage.
        for folder in connection.folders():
            for path, entry in connection.find(folder).items():
                blob_id = path.rpartition("/")[2].removesuffix(_PART)
                if is_blob_id(blob_id):
                    yield blob_id, _modified(entry)

    def close(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._threads = threading.local()
        self._pid = os.getpid()

    def _connect(self) -> _Connection:
        if self._pid != os.getpid():
            # Sockets and event loops do not survive a fork.
            self._forget()
        connection = self._connection
        if connection is not None:
            return connection
        mine: _Connection | None = getattr(self._threads, "connection", None)
        if mine is not None:
            return mine
        with self._lock:
            if self._connection is not None:
                return self._connection
            connection = _Connection(self._url, self._protocol, self._options)
            if connection.thread_safe:
                self._connection = connection
            else:
                self._threads.connection = connection
        return connection


class _Connection:
    """One fsspec file system, with what differs between them."""

    __slots__ = (
        "_lock", "_options", "_root", "_shards", "_system", "_url",
        "can_discard", "thread_safe", "whole",
    )  # fmt: skip

    def __init__(self, url: str, protocol: str, options: Mapping[str, Any]) -> None:
        self._url = url
        # fsspec's caches would hand one instance to all threads and answer from old listings.
        self._options = {**options, "use_listings_cache": False, "skip_instance_cache": True}
        self._lock = threading.RLock()
        self._shards: set[str] = set()
        self._system, root = url_to_fs(self._url, **self._options)
        self._root: str = root.rstrip("/")
        self.whole = protocol in _OBJECT_STORES
        self.can_discard = protocol not in _NO_DISCARD
        self.thread_safe = protocol in _THREAD_SAFE or bool(self._system.async_impl)

    def path(self, blob_id: str) -> str:
        return f"{self._root}/{check_blob_id(blob_id)[:2]}/{blob_id}"

    def read(self, path: str, start: int, end: int) -> bytes:
        # By name: the second argument of s3fs's cat_file is a version id.
        data: bytes = self._again(lambda system: system.cat_file(path, start=start, end=end))
        return data

    def size(self, path: str) -> int:
        return int(self._again(lambda system: system.info(path))["size"])

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._again(lambda system: system.rm_file(path))

    def folders(self) -> list[str]:
        """The paths of what lies directly below the root: the shards that are in use."""

        def work(system: Any) -> list[str]:
            system.invalidate_cache()
            return [entry["name"] for entry in system.ls(self._root, detail=True)]

        try:
            return self._again(work)
        except FileNotFoundError:
            return []

    def find(self, folder: str) -> dict[str, dict[str, Any]]:
        """The files below a path, with what the file system tells of them."""
        try:
            return self._again(lambda system: dict(system.find(folder, detail=True)))
        except FileNotFoundError:
            return {}

    def put(self, path: str, data: bytes) -> None:
        """Store a whole blob in one request (object stores only)."""
        self._system.pipe_file(path, data)

    def stream(self, path: str, block_size: int) -> Any:
        """Open an upload that shows nothing before it is finished (object stores only)."""
        if not self.can_discard:
            return self._system.open(path, "wb", block_size=block_size)
        with self._lock:
            file = self._system.open(path, "wb", block_size=block_size, autocommit=False)
            # fsspec remembers it for a transaction that never comes, and would leak each one.
            with contextlib.suppress(ValueError):
                self._system.transaction.files.remove(file)
        return file

    def begin(self, path: str) -> Any:
        """Open a plain file for writing, in a folder that is made if need be."""
        folder = path.rpartition("/")[0]
        if folder not in self._shards:
            self._again(lambda system: system.makedirs(folder, exist_ok=True))
            self._shards.add(folder)
        try:
            return self._again(lambda system: system.open(path, "wb"))
        except FileNotFoundError:
            # Somebody removed the folder.
            self._again(lambda system: system.makedirs(folder, exist_ok=True))
            return self._again(lambda system: system.open(path, "wb"))

    def rename(self, old: str, new: str) -> None:
        with self.exclusive():
            self._system.mv(old, new)

    def exclusive(self) -> contextlib.AbstractContextManager[Any]:
        """Held around each use of a connection that takes no two calls at a time."""
        return contextlib.nullcontext() if self.thread_safe else self._lock

    def _again(self, work: Callable[[Any], T]) -> T:
        """Do what may be done twice; a connection that was lost is made anew for it."""
        if self.thread_safe:
            return work(self._system)
        with self._lock:
            try:
                return work(self._system)
            except (FileNotFoundError, FileExistsError, PermissionError):
                raise
            except Exception:
                # A lost SSH connection says so for ever, and with exceptions of many kinds.
                self._system = url_to_fs(self._url, **self._options)[0]
                return work(self._system)


class _Writer:
    __slots__ = (
        "_block_size", "_connection", "_file", "_finished", "_held", "_path", "_size",
    )  # fmt: skip

    def __init__(self, connection: _Connection, path: str, size_hint: int | None) -> None:
        self._finished = False
        self._file: Any = None
        self._connection = connection
        self._path = path
        self._held: list[bytes] = []
        self._size = 0
        # S3 takes 10,000 parts, GCS blocks in steps of 256 KiB.
        step = 1024 * 1024
        self._block_size = max(WINDOW, ((size_hint or 0) // 9000 // step + 1) * step)
        if not connection.whole:
            self._file = connection.begin(path + _PART)

    def write(self, data: Buffer, /) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        self._size += len(data)
        if self._file is not None:
            self._send(data)
            return
        # A caller may use its buffer again; bytes(bytes) copies nothing.
        self._held.append(bytes(data))
        if self._size > self._block_size:
            self._file = self._connection.stream(self._path, self._block_size)
            held, self._held = self._held, []
            for block in held:
                self._send(block)

    def commit(self) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        try:
            self._finish()
        except BaseException:
            self.discard()
            raise
        self._finished = True
        self._file = None

    def discard(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._held.clear()
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(Exception):
            self._drop(file)
        if self._connection.whole:
            # Else the garbage collector closes it, and closing would send the rest.
            file.buffer = io.BytesIO()
            file.closed = True

    def _drop(self, file: Any) -> None:
        connection = self._connection
        # At the interpreter's end fsspec's loop runs no more, and asking it would wait for ever.
        if sys.is_finalizing():
            return
        if not connection.whole:
            with connection.exclusive(), contextlib.suppress(Exception):
                file.close()
            connection.remove(self._path + _PART)
        elif connection.can_discard:
            file.discard()

    def _send(self, data: Buffer) -> None:
        with self._connection.exclusive():
            self._file.write(data)

    def _finish(self) -> None:
        connection = self._connection
        if self._file is None:
            connection.put(self._path, b"".join(self._held))
            self._held.clear()
            return
        with connection.exclusive():
            self._file.close()
        if not connection.whole:
            part = self._path + _PART
            stored = connection.size(part)
            if stored != self._size:
                raise OSError(f"{stored} bytes of {self._size} arrived at {part}.")
            connection.rename(part, self._path)
        elif connection.can_discard:
            self._file.commit()

    def __del__(self) -> None:
        # A writer that was dropped unfinished must not leave an upload behind.
        if not self._finished:
            self.discard()


class _Reader:
    __slots__ = ("_connection", "_end", "_offset", "_path", "_position", "_window")

    def __init__(self, connection: _Connection, path: str, start: int, end: int) -> None:
        self._connection = connection
        self._path = path
        self._position = start
        self._end = end
        self._offset = 0
        self._window = b""
        if start < end:
            self._fetch()
        else:
            connection.size(path)

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> bytes:
        offset = self._offset
        if offset >= len(self._window):
            if self._position >= self._end:
                raise StopIteration
            self._fetch()
            offset = 0
        self._offset = offset + BLOCK
        return self._window[offset : offset + BLOCK]

    def close(self) -> None:
        self._position = self._end
        self._window = b""

    def _fetch(self) -> None:
        """Load the next window; ``_position`` is the first byte after it."""
        start = self._position
        after = min(start + WINDOW, self._end)
        window = self._connection.read(self._path, start, after)
        if len(window) != after - start:
            raise OSError(
                errno.EIO, f"{self._path} gave {len(window)} bytes for {start} to {after}."
            )
        self._window = window
        self._offset = 0
        self._position = after


def _modified(entry: Mapping[str, Any]) -> float:
    """When an fsspec entry was last written, in seconds since the epoch.

    Where a file system does not say, it counts as new: better an orphan kept than a blob lost.
    """
    for name in _MODIFIED:
        value = entry.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                value = value.replace(tzinfo=datetime.UTC)
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return time.time()
