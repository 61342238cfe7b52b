"""Rows of objects read a moment ago, kept only as long as nobody has written to their keys.

A read through SQLite costs as much as the rest of a small GET together, and lets go of the
interpreter's lock several times. So each process keeps the rows that it has read, and all
processes on one SQLite file share an array of counters in a mapped file beside it. Each key belongs
to one counter. A writer makes its keys' counters odd before it commits and even again after, so:

* a row may be kept if its counter was even and the same before and after it was read;
* a kept row may be used if its counter still is what it was then.

One of the counters is also that of all that is remembered of buckets, their documents, accounts and
keys: each process asks anew when it has changed.

A writer that dies between the two leaves the counter odd, and its keys are read from SQLite until
the next write to one of them. Whoever writes to the tables by other means than s3kit is not seen
here; for them a kept row ends after ``KEEP_SECONDS``.

The file of counters holds nothing worth a backup. Only who holds the writers' lock makes it, and
before each commit a writer looks whether the file at the path is still the same; who finds another
makes the old counters odd for ever. So the file may be removed: at worst, when a process that never
had the old one writes first, rows of that moment are used until ``KEEP_SECONDS`` end them. While
there is none, because the disk is full, nothing is kept.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import time
from array import array
from collections.abc import Iterable
from contextlib import suppress
from sys import getsizeof
from threading import Lock
from typing import Final
from zlib import crc32

from s3kit.index.connections import RULES
from s3kit.model import ObjectVersion

LOG = logging.getLogger("s3kit.index")

COUNTERS: Final = 4096
KEEP_SECONDS: Final = 5.0
LIMIT_BYTES: Final = 16 * 1024 * 1024
"""Most that the kept rows of one process may hold, their overhead estimated."""

LARGEST_ROW: Final = 256 * 1024
"""A row that holds more is read from SQLite each time."""

LOOK_SECONDS: Final = 1.0
"""How often a process that only reads looks whether the file of counters was replaced."""

_OVERHEAD: Final = 2048
_ENTRY: Final = 128
_FILE_BYTES: Final = COUNTERS * 8
_OPEN: Final = os.O_RDWR | os.O_CLOEXEC
_FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT)
_OF_RULES: Final = crc32(RULES[1], RULES[0]) % COUNTERS
_NONE: Final = memoryview(array("Q", [1]) * COUNTERS)
"""Instead of a file's counters: all odd, so that nothing is kept."""


class RecentRows:
    """Kept rows of one process, and the counters that all processes on one file share.

    Nothing is kept before :meth:`attach`.

    :param path: the file of counters.
    """

    __slots__ = (
        "_counters",
        "_file",
        "_full",
        "_lock",
        "_look_again",
        "_path",
        "_rows",
        "_size",
    )

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._counters = _NONE
        self._full = False
        self._look_again = 0.0
        self._lock = Lock()
        self._rows: dict[tuple[int, bytes], tuple[int, float, ObjectVersion, int]] = {}
        self._size = 0

    @property
    def attached(self) -> bool:
        """Whether there are counters, and rows are kept."""
        return self._file is not None

    def attach(self, *, make: bool) -> memoryview:
        """Share the counters in the file that is at the path now, if they are not those already.

        :param make: make the file if need be. Only who holds the writers' lock may: so nobody
            commits without the counters that others have just found.
        :raises OSError: the file cannot be used; that the disk is full is only logged.
        """
        with self._lock:
            old = self._counters
            found = _identity(self._path)
            if found == self._file and (found is not None or not make):
                return old
            try:
                counters = self._open(make)
            except OSError as error:
                if error.errno not in _FULL_DISK:
                    raise
                if not self._full:
                    LOG.warning("no rows are kept in memory: %s: %s", self._path, error.strerror)
                self._full = True
                counters = _NONE
            # Where the numbers of files do not last (FUSE) it may be the same one.
            if old is not _NONE and bytes(old) != bytes(counters):
                for counter in range(COUNTERS):
                    old[counter] |= 1
            self._rows.clear()
            self._size = 0
            self._counters = counters
            self._full = self._full and counters is _NONE
            self._file = None if counters is _NONE else _identity(self._path)
            return counters

    def _open(self, make: bool) -> memoryview:
        try:
            file = os.open(self._path, _OPEN | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            return _NONE
        try:
            if not _is_whole(file):
                if not make:
                    return _NONE
                _fill(file)
            return memoryview(mmap.mmap(file, _FILE_BYTES)).cast("Q")
        finally:
            os.close(file)

    def counter_of(self, bucket_id: int, key: bytes) -> int:
        """Which counter a key belongs to, the same in every process."""
        return crc32(key, bucket_id) % COUNTERS

    def find(self, bucket_id: int, key: bytes, counter: int, inline: bool) -> ObjectVersion | None:
        """The kept row, if it is still true.

        :param inline: it must have its bytes, unless they are a blob.
        """
        kept = self._rows.get((bucket_id, key))
        if (
            kept is None
            or kept[0] != self._counters[counter]
            or time.monotonic() - kept[1] > KEEP_SECONDS
        ):
            return None
        version = kept[2]
        if inline and version.inline is None and version.content is None:
            return None
        return version

    def value(self, counter: int) -> int:
        """What a counter says now; odd while somebody writes."""
        return self._counters[counter]

    def rules(self) -> int:
        """Another number once anybody has changed a bucket, an account or what belongs to them."""
        return self._counters[_OF_RULES]

    def keep(self, version: ObjectVersion, counter: int, value: int) -> None:
        """Keep a current version that was read when ``counter`` said ``value``."""
        now = time.monotonic()
        if now > self._look_again:
            self._look_again = now + LOOK_SECONDS
            with suppress(OSError):
                self.attach(make=False)
        if value & 1 or self._counters[counter] != value:
            return
        size = _size(version)
        if size > LARGEST_ROW:
            return
        name = (version.bucket_id, version.key)
        with self._lock:
            old = self._rows.get(name)
            if old is not None:
                self._size -= old[3]
            self._size += size
            if self._size > LIMIT_BYTES:
                # What is read again comes back at once; to keep an order would cost every read.
                self._rows.clear()
                self._size = size
            self._rows[name] = (value, now, version, size)

    def announce(self, counters: Iterable[int]) -> None:
        """Before a commit by whoever holds SQLite's write lock but not the writers'.

        Another writer may be at the end of its own write. So this only makes it likely that nobody
        uses a kept row until :meth:`begin_write` and :meth:`end_write` follow, after the commit and
        under the lock; and a counter never gets the value again by which a row was kept meanwhile.
        """
        values = self.attach(make=False)
        if values is not _NONE:
            for counter in counters:
                values[counter] = ((values[counter] | 1) + 2) & 0xFFFFFFFFFFFFFFFF

    def begin_write(self, counters: Iterable[int]) -> None:
        """Before a commit; only the process that may write to SQLite may call it."""
        values = self.attach(make=True)
        for counter in counters:
            values[counter] = (values[counter] | 1) & 0xFFFFFFFFFFFFFFFF

    def end_write(self, counters: Iterable[int]) -> None:
        """After a commit, whether it came about or not."""
        values = self._counters
        if values is not _NONE:
            for counter in counters:
                values[counter] = ((values[counter] | 1) + 1) & 0xFFFFFFFFFFFFFFFF

    def forget(self) -> None:
        """In a forked child: another thread of the parent may hold the lock for ever."""
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the rows and the counters."""
        self._file = None
        # Their file is unmapped with the last thread that still looks at them.
        self._counters = _NONE
        self._rows.clear()


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is at the path, if any."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_whole(file: int) -> bool:
    """Every byte has its place on the disk, so that no write to the map can end the process."""
    status = os.fstat(file)
    blocks: int = getattr(status, "st_blocks", _FILE_BYTES)
    return status.st_size >= _FILE_BYTES and blocks * 512 >= _FILE_BYTES


def _fill(file: int) -> None:
    """Write the whole file, what it holds as it is. Raises OSError when the disk is full."""
    content = os.read(file, _FILE_BYTES)
    if len(content) < _FILE_BYTES:
        # Random, for a row kept by the counters of one file must not look true by another's.
        fresh = array("Q", os.urandom(_FILE_BYTES))
        for counter in range(COUNTERS):
            fresh[counter] -= fresh[counter] & 1
        content = fresh.tobytes()
    os.lseek(file, 0, os.SEEK_SET)
    if os.write(file, content) < _FILE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _size(version: ObjectVersion) -> int:
    size = _OVERHEAD + len(version.key) + len(version.inline or b"")
    for name, value in version.headers.items():
        size += _ENTRY + getsizeof(name) + getsizeof(value)
    for name, value in version.tags:
        size += _ENTRY + getsizeof(name) + getsizeof(value)
    if version.acl is not None:
        for grant in version.acl.grants:
            size += _ENTRY + getsizeof(grant.grantee)
    return size
