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
import os
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import fsspec

from .base import BLOCK
from .base import Buffer
from .base import Capabilities
from .base import check_blob_id
from .base import is_blob_id
from .connection import OBJECT_STORES
from .connection import Connection
from .connection import as_os_error
from .connection import connect
from .connection import forget_buffer
from .connection import is_ending

WINDOW = 8 * 1024 * 1024
"""Bytes fetched at once from a remote storage, and the smallest part of a streamed upload."""

_PART = ".part"

MOST_IDLE = 16
"""Connections kept for later, where each serves one call at a time."""

_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class FilesystemBlobStore:
    """Blobs under a URL that fsspec understands, e.g. ``s3://bucket/folder``.

    Connections are made at first use, anew in each process. File systems that are not built for
    threads get as many as calls run at a time; a blob that is being written has its own.

    A process that is killed in a long upload to S3 leaves its parts there unseen; a lifecycle rule
    with ``AbortIncompleteMultipartUpload`` removes them.

    :param url: where the blobs lie, as ``<url>/3f/3f0c...``.
    :param options: for the fsspec file system, e.g. ``{"key": ..., "endpoint_url": ...}``.
    :raises ImportError: the package behind the URL is missing; the text names it.
    :raises ValueError: fsspec does not know the URL's scheme, or the URL is a chain of several.
    """

    __slots__ = (
        "_idle",
        "_lock",
        "_options",
        "_pid",
        "_protocol",
        "_shared",
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
        whole = self._protocol in OBJECT_STORES
        self.capabilities = Capabilities(
            durable=whole, shared=self._protocol != "memory", native_copy=whole
        )
        self._shared: Connection | None = None
        self._idle: list[Connection] = []
        self._forget()

    def create(self, blob_id: str, size_hint: int | None = None) -> _Writer:
        check_blob_id(blob_id)
        connection = self._take()
        try:
            return _Writer(self, connection, connection.path(blob_id), size_hint)
        except BaseException:
            if not connection.thread_safe:
                connection.close()
            raise

    def open(self, blob_id: str, start: int, end: int) -> _Reader:
        return _Reader(self, check_blob_id(blob_id), start, end)

    def delete(self, blob_id: str) -> None:
        check_blob_id(blob_id)
        with self._lent() as connection:
            path = connection.path(blob_id)
            connection.remove(path)
            if not connection.whole:
                connection.remove(path + _PART)

    def size(self, blob_id: str) -> int:
        check_blob_id(blob_id)
        with self._lent() as connection:
            return connection.size(connection.path(blob_id))

    def sweep(self) -> Iterator[tuple[str, float]]:
        with self._lent() as connection:
            shards = connection.shards()
        # Shard by shard: the names of one are held at a time, not those of the whole storage.
        for shard in shards:
            with self._lent() as connection:
                found = connection.files(shard)
            for name, entry in found:
                blob_id = name.removesuffix(_PART)
                if is_blob_id(blob_id) and shard.endswith(blob_id[:2]):
                    yield blob_id, _modified(entry)

    def close(self) -> None:
        with self._lock:
            kept = self._kept()
            self._idle = []
            self._shared = None
        for connection in kept:
            connection.close()

    def _kept(self) -> list[Connection]:
        return [*self._idle] if self._shared is None else [*self._idle, self._shared]

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._shared = None
        self._idle = []
        self._pid = os.getpid()

    def _take(self) -> Connection:
        """A connection that is nobody else's until it is given back, or one for all."""
        if self._pid != os.getpid():
            # Sockets and event loops do not survive a fork; closing them would end the parent's.
            _INHERITED.extend(self._kept())
            self._forget()
        shared = self._shared
        if shared is not None:
            return shared
        with self._lock:
            if self._idle:
                return self._idle.pop()
            again: Connection | None = self._shared
            if again is not None:
                return again
            # One at a time: sshd turns away some of ten that come at once.
            connection = connect(self._url, self._protocol, self._options)
            if connection.thread_safe:
                self._shared = connection
        return connection

    def _give(self, connection: Connection) -> None:
        if connection.thread_safe or self._pid != os.getpid():
            return
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            yield connection
        finally:
            self._give(connection)


_INHERITED: list[Connection] = []
"""Of the parent of this process."""


class _Writer:
    __slots__ = (
        "_block_size", "_connection", "_file", "_finished", "_held", "_path", "_size", "_store",
    )  # fmt: skip

    def __init__(
        self,
        store: FilesystemBlobStore,
        connection: Connection,
        path: str,
        size_hint: int | None,
    ) -> None:
        self._finished = True
        self._file: Any = None
        self._store = store
        self._connection = connection
        self._path = path
        self._held: list[bytes] = []
        self._size = 0
        # S3 takes 10,000 parts, GCS blocks in steps of 256 KiB.
        step = 1024 * 1024
        self._block_size = max(WINDOW, ((size_hint or 0) // 9000 // step + 1) * step)
        if not connection.whole:
            self._file = connection.begin(path + _PART)
        self._finished = False

    def write(self, data: Buffer, /) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        self._size += len(data)
        if self._file is not None:
            with as_os_error():
                self._file.write(data)
            return
        # A caller may use its buffer again; bytes(bytes) copies nothing.
        self._held.append(bytes(data))
        if self._size > self._block_size:
            with as_os_error():
                self._file = self._connection.stream(self._path, self._block_size)
                held, self._held = self._held, []
                for block in held:
                    self._file.write(block)

    def commit(self) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        try:
            with as_os_error():
                self._finish()
        except BaseException:
            self.discard()
            raise
        self._finished = True
        self._file = None
        self._store._give(self._connection)

    def discard(self) -> None:
        if self._finished:
            return
        self._finished = True
        self._held.clear()
        file, self._file = self._file, None
        connection = self._connection
        if is_ending():
            if connection.whole and file is not None:
                forget_buffer(file)
            return
        try:
            if file is not None:
                self._drop(file)
        except Exception:
            # What went wrong may be the connection.
            if not connection.thread_safe:
                connection.close()
        else:
            self._store._give(connection)

    def _drop(self, file: Any) -> None:
        connection = self._connection
        if connection.whole:
            try:
                connection.throw_away(file)
            finally:
                forget_buffer(file)
            return
        with contextlib.suppress(Exception):
            connection.throw_away(file)
        connection.remove(self._path + _PART)

    def _finish(self) -> None:
        connection = self._connection
        if self._file is None:
            connection.put(self._path, b"".join(self._held))
            self._held.clear()
            return
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
    __slots__ = ("_blob_id", "_end", "_offset", "_position", "_store", "_window")

    def __init__(self, store: FilesystemBlobStore, blob_id: str, start: int, end: int) -> None:
        self._store = store
        self._blob_id = blob_id
        self._position = start
        self._end = end
        self._offset = 0
        self._window = b""
        if start < end:
            self._fetch()
        else:
            store.size(blob_id)

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
        with self._store._lent() as connection:
            path = connection.path(self._blob_id)
            window = connection.read(path, start, after)
        if len(window) != after - start:
            raise OSError(errno.EIO, f"{path} gave {len(window)} bytes for {start} to {after}.")
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
