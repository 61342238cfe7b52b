"""Storages around storages: a part of one, a read-only one, a slowed one, several as one.

Each is a whole :class:`~s3kit.blobs.base.BlobStore`, so they can be put around one another.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from .base import OWNER
from .base import BlobReader
from .base import BlobStore
from .base import BlobWriter
from .base import Buffer
from .base import Capabilities
from .base import check_blob_id
from .base import is_blob_id

logger = logging.getLogger("s3kit.blobs")

Answer = TypeVar("Answer")


class ReadOnly:
    """A storage that is read from and never written to, e.g. one that is being left.

    :raises PermissionError: at any attempt to write or delete.
    """

    __slots__ = ("_store", "capabilities", "name")

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self.name: str = store.name
        self.capabilities: Capabilities = replace(store.capabilities, read_only=True)

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        raise PermissionError(f"Storage {self.name!r} is read-only.")

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        return self._store.open(blob_id, start, end)

    def delete(self, blob_id: str) -> None:
        raise PermissionError(f"Storage {self.name!r} is read-only.")

    def size(self, blob_id: str) -> int:
        return self._store.size(blob_id)

    def sweep(self) -> Iterator[tuple[str, float]]:
        # There is nothing to sweep where nothing may be deleted.
        return iter(())

    def close(self) -> None:
        self._store.close()


class Prefixed:
    """A part of a storage, for one of several that share it; none sees the blobs of another.

    For storages that know no folders: a blob's id there is its id here and 16 digits that stand
    for the prefix, so that the ids stay as evenly spread as they are.

    :param prefix: any text, e.g. ``tenant-7/``; slashes at its ends do not count.
    :raises ValueError: the prefix is empty.
    """

    __slots__ = ("_ending", "_store", "capabilities", "name")

    def __init__(self, store: BlobStore, prefix: str) -> None:
        bare = prefix.strip("/")
        if not bare:
            raise ValueError("A prefix must not be empty.")
        self._store = store
        self._ending = hashlib.sha256(bare.encode()).hexdigest()[:16]
        self.name: str = store.name
        self.capabilities: Capabilities = store.capabilities

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        return self._store.create(self._inner(blob_id), size_hint)

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        return self._store.open(self._inner(blob_id), start, end)

    def delete(self, blob_id: str) -> None:
        self._store.delete(self._inner(blob_id))

    def size(self, blob_id: str) -> int:
        return self._store.size(self._inner(blob_id))

    def sweep(self) -> Iterator[tuple[str, float]]:
        for inner, modified in self._store.sweep():
            blob_id = inner.removesuffix(self._ending)
            if blob_id != inner and is_blob_id(blob_id):
                yield blob_id, modified

    def close(self) -> None:
        self._store.close()

    def _inner(self, blob_id: str) -> str:
        return check_blob_id(check_blob_id(blob_id) + self._ending)


class TokenBucket:
    """Lets so many bytes a second pass, and at most a second's worth at once.

    Shared by the threads of a process; who must wait sleeps, and holds up nobody but himself.

    :param rate: bytes per second.
    """

    __slots__ = ("_left", "_lock", "_pid", "_rate", "_sleep", "_then", "_time")

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"A rate is above 0 bytes per second, not {rate}.")
        self._rate = rate
        self._time = clock
        self._sleep = sleep
        self._left = rate
        self._then = clock()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def take(self, count: int) -> None:
        """Return when ``count`` bytes may pass; who asks first passes first."""
        if self._pid != os.getpid():
            # Another thread of the parent may have held the lock at the fork.
            self._lock = threading.Lock()
            self._pid = os.getpid()
        with self._lock:
            now = self._time()
            self._left = min(self._rate, self._left + (now - self._then) * self._rate) - count
            self._then = now
            wait = -self._left / self._rate
        if wait > 0:
            self._sleep(wait)


class Throttled:
    """A storage that is read and written at no more than so many bytes per second.

    Each process has its own count. Deleting and listing are not slowed.

    :param read: bytes per second; None for no limit.
    :param write: the same for writing.
    :raises ValueError: a rate that is not above 0.
    """

    __slots__ = ("_read", "_store", "_write", "capabilities", "name")

    def __init__(
        self, store: BlobStore, *, read: float | None = None, write: float | None = None
    ) -> None:
        self._store = store
        self._read = None if read is None else TokenBucket(read)
        self._write = None if write is None else TokenBucket(write)
        self.name: str = store.name
        self.capabilities: Capabilities = store.capabilities

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        writer = self._store.create(blob_id, size_hint)
        return writer if self._write is None else _SlowWriter(writer, self._write)

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        reader = self._store.open(blob_id, start, end)
        return reader if self._read is None else _SlowReader(reader, self._read)

    def delete(self, blob_id: str) -> None:
        self._store.delete(blob_id)

    def size(self, blob_id: str) -> int:
        return self._store.size(blob_id)

    def sweep(self) -> Iterator[tuple[str, float]]:
        return self._store.sweep()

    def close(self) -> None:
        self._store.close()


class _SlowWriter:
    __slots__ = ("_bucket", "_writer")

    def __init__(self, writer: BlobWriter, bucket: TokenBucket) -> None:
        self._writer = writer
        self._bucket = bucket

    def write(self, data: Buffer, /) -> None:
        self._bucket.take(len(data))
        self._writer.write(data)

    def commit(self) -> None:
        self._writer.commit()

    def discard(self) -> None:
        self._writer.discard()


class _SlowReader:
    __slots__ = ("_bucket", "_reader")

    def __init__(self, reader: BlobReader, bucket: TokenBucket) -> None:
        self._reader = reader
        self._bucket = bucket

    def __iter__(self) -> _SlowReader:
        return self

    def __next__(self) -> bytes:
        block = next(self._reader)
        self._bucket.take(len(block))
        return block

    def close(self) -> None:
        self._reader.close()


class Mirrored:
    """Several storages that hold the same blobs.

    A blob is committed when all members have it, or ``quorum`` of them. It is read from the first
    member that has it, and from the next where that one fails, even in the middle. It is deleted
    everywhere; where one member fails, that is an error, so that the garbage list tries again.
    A member that missed a blob does not get it later: move the blobs to a new mirror for that.

    :param stores: the members; put first the one that is nearest.
    :param quorum: how many members must have a blob at least; all by default.
    :raises ValueError: fewer than two members, a quorum that cannot be, or a read-only member.
    """

    __slots__ = ("_quorum", "_stores", "capabilities", "name")

    def __init__(
        self, name: str, stores: Sequence[BlobStore], *, quorum: int | None = None
    ) -> None:
        if len(stores) < 2:
            raise ValueError("A mirror has at least two members.")
        if quorum is not None and not 1 <= quorum <= len(stores):
            raise ValueError(f"A quorum is from 1 to {len(stores)} here, not {quorum}.")
        if any(store.capabilities.read_only for store in stores):
            raise ValueError("No member of a mirror can be read-only, but the whole mirror can.")
        self.name = name
        self._stores = tuple(stores)
        self._quorum = len(stores) if quorum is None else quorum
        every = [store.capabilities for store in stores]
        self.capabilities = Capabilities(
            # Whichever members make the quorum, a durable one is among them.
            durable=sum(not each.durable for each in every) < self._quorum,
            shared=all(each.shared for each in every),
        )

    def create(self, blob_id: str, size_hint: int | None = None) -> _MirrorWriter:
        check_blob_id(blob_id)
        return _MirrorWriter(self.name, self._stores, self._quorum, blob_id, size_hint)

    def open(self, blob_id: str, start: int, end: int) -> _MirrorReader:
        if check_blob_id(blob_id) == OWNER:
            self._check_owners()
        return _MirrorReader(self.name, self._stores, blob_id, start, end)

    def delete(self, blob_id: str) -> None:
        check_blob_id(blob_id)
        failure: Exception | None = None
        for store in self._stores:
            try:
                store.delete(blob_id)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def size(self, blob_id: str) -> int:
        if check_blob_id(blob_id) == OWNER:
            self._check_owners()
        failures: list[Exception] = []
        for store in self._stores:
            try:
                return store.size(blob_id)
            except Exception as error:
                failures.append(error)
        raise _worst(failures)

    def sweep(self) -> Iterator[tuple[str, float]]:
        seen: set[bytes] = set()
        for store in self._stores:
            for blob_id, modified in store.sweep():
                # Half the memory of a text; there may be millions.
                short = bytes.fromhex(blob_id) if len(blob_id) % 2 == 0 else blob_id.encode()
                if short not in seen:
                    seen.add(short)
                    yield blob_id, modified

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _check_owners(self) -> None:
        """Refuse a mirror of storages that belong to several indexes: each would sweep the others.

        :raises OSError:
        """
        owners = set()
        for store in self._stores:
            with contextlib.suppress(FileNotFoundError):
                size = store.size(OWNER)
                owners.add(b"".join(store.open(OWNER, 0, min(size, 64))))
        if len(owners - {b""}) > 1:
            raise OSError(
                f"The members of storage {self.name!r} belong to different indexes. Give each "
                f"endpoint storages of its own, or delete the blob {OWNER} from those that are "
                "no longer another's."
            )


class _MirrorWriter:
    __slots__ = ("_blob_id", "_finished", "_name", "_quorum", "_writers")

    def __init__(
        self,
        name: str,
        stores: Sequence[BlobStore],
        quorum: int,
        blob_id: str,
        size_hint: int | None,
    ) -> None:
        self._finished = False
        self._writers: list[tuple[BlobStore, BlobWriter]] = []
        self._name = name
        self._quorum = quorum
        self._blob_id = blob_id
        failure: Exception | None = None
        for number, store in enumerate(stores):
            try:
                self._writers.append((store, store.create(blob_id, size_hint)))
            except FileExistsError:
                self.discard()
                raise
            except Exception as error:
                failure = error
                if len(self._writers) + len(stores) - number - 1 < quorum:
                    self.discard()
                    raise
        if failure is not None:
            self._warn(failure)

    def write(self, data: Buffer, /) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        lost: list[tuple[BlobStore, BlobWriter]] = []
        for each in self._writers:
            try:
                each[1].write(data)
            except Exception as error:
                if len(self._writers) - len(lost) - 1 < self._quorum:
                    raise
                each[1].discard()
                lost.append(each)
                self._warn(error)
        if lost:
            self._writers = [each for each in self._writers if each not in lost]

    def commit(self) -> None:
        if self._finished:
            raise ValueError("The blob is finished.")
        self._finished = True
        done: list[BlobStore] = []
        failure: Exception | None = None
        try:
            for number, (store, writer) in enumerate(self._writers):
                try:
                    writer.commit()
                except Exception as error:
                    if len(done) + len(self._writers) - number - 1 < self._quorum:
                        raise
                    failure = error
                else:
                    done.append(store)
        except BaseException:
            for _, writer in self._writers:
                writer.discard()
            for store in done:
                with contextlib.suppress(Exception):
                    store.delete(self._blob_id)
            raise
        if failure is not None:
            self._warn(failure)

    def discard(self) -> None:
        if not self._finished:
            self._finished = True
            for _, writer in self._writers:
                writer.discard()

    def _warn(self, error: Exception) -> None:
        logger.warning(
            "A member of storage %r will not have blob %s: %r", self._name, self._blob_id, error
        )


class _MirrorReader:
    __slots__ = ("_blob_id", "_end", "_left", "_name", "_position", "_reader")

    def __init__(
        self, name: str, stores: Sequence[BlobStore], blob_id: str, start: int, end: int
    ) -> None:
        self._name = name
        self._blob_id = blob_id
        self._position = start
        self._end = end
        self._left = list(stores)
        self._reader = self._open([])

    def __iter__(self) -> _MirrorReader:
        return self

    def __next__(self) -> bytes:
        while True:
            try:
                block = next(self._reader)
            except StopIteration:
                if self._position >= self._end:
                    raise
                problem: Exception = OSError(
                    errno.EIO, f"Blob {self._blob_id} ended at byte {self._position}."
                )
            except Exception as error:
                problem = error
            else:
                self._position += len(block)
                return block
            self._reader.close()
            if not self._left:
                raise problem
            logger.warning(
                "Storage %r reads blob %s from its next member: %r",
                self._name,
                self._blob_id,
                problem,
            )
            self._reader = self._open([problem])

    def close(self) -> None:
        self._position = self._end
        self._left.clear()
        self._reader.close()

    def _open(self, failures: list[Exception]) -> BlobReader:
        """The rest of the blob from the first of the members that are left."""
        while self._left:
            store = self._left.pop(0)
            try:
                return store.open(self._blob_id, self._position, self._end)
            except Exception as error:
                failures.append(error)
        raise _worst(failures)


def _worst(failures: Sequence[Exception]) -> Exception:
    """What to raise of what all members raised: it is only missing if none may still have it."""
    return next((each for each in failures if not isinstance(each, FileNotFoundError)), failures[0])
