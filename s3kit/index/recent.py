"""Rows of objects read a moment ago, kept only as long as nobody has written to their keys.

A read through SQLite costs as much as the rest of a small GET together, and lets go of the
interpreter's lock several times. So each process keeps the rows that it has read, and all
processes on one SQLite file share an array of counters in a mapped file beside it. Each key belongs
to one counter. A writer makes its keys' counters odd before it commits and even again after, so:

* a row may be kept if its counter was even and the same before and after it was read;
* a kept row may be used if its counter still is what it was then.

A writer that dies between the two leaves the counter odd, and its keys are read from SQLite until
the next write to one of them. Whoever writes to the tables by other means than s3kit is not seen
here; for them a kept row ends after ``KEEP_SECONDS``.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable
from threading import Lock
from typing import Final
from zlib import crc32

from s3kit.model import ObjectVersion

COUNTERS: Final = 4096
KEEP_SECONDS: Final = 5.0
LIMIT_BYTES: Final = 16 * 1024 * 1024
"""Most that the kept rows of one process may hold, their overhead estimated."""

_OVERHEAD: Final = 2048


class RecentRows:
    """Kept rows of one process, and the counters that all processes on one file share.

    :param path: the file of counters; made if need be. It holds nothing worth a backup.
    """

    __slots__ = ("_counters", "_lock", "_map", "_rows", "_size")

    def __init__(self, path: str) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, COUNTERS * struct.calcsize("Q"))
            self._map = mmap.mmap(file, COUNTERS * struct.calcsize("Q"))
        finally:
            os.close(file)
        self._counters = memoryview(self._map).cast("Q")
        self._lock = Lock()
        self._rows: dict[tuple[int, bytes], tuple[int, float, ObjectVersion]] = {}
        self._size = 0

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

    def keep(self, version: ObjectVersion, counter: int, value: int) -> None:
        """Keep a current version that was read when ``counter`` said ``value``."""
        if value & 1 or self._counters[counter] != value:
            return
        name = (version.bucket_id, version.key)
        with self._lock:
            old = self._rows.get(name)
            if old is not None:
                self._size -= _size(old[2])
            self._size += _size(version)
            if self._size > LIMIT_BYTES:
                # What is read again comes back at once; to keep an order would cost every read.
                self._rows.clear()
                self._size = _size(version)
            self._rows[name] = (value, time.monotonic(), version)

    def begin_write(self, counters: Iterable[int]) -> None:
        """Before a commit; only the process that may write to SQLite may call it."""
        values = self._counters
        for counter in counters:
            values[counter] = (values[counter] | 1) & 0xFFFFFFFFFFFFFFFF

    def end_write(self, counters: Iterable[int]) -> None:
        """After a commit, whether it came about or not."""
        values = self._counters
        for counter in counters:
            values[counter] = ((values[counter] | 1) + 1) & 0xFFFFFFFFFFFFFFFF

    def forget(self) -> None:
        """In a forked child: another thread of the parent may hold the lock for ever."""
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the rows and the counters."""
        self._rows.clear()
        self._counters.release()
        self._map.close()


def _size(version: ObjectVersion) -> int:
    return _OVERHEAD + len(version.key) + len(version.inline or b"")
