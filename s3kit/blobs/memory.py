"""Blobs in a dict: for tests and trials. They end with the process and no other one sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .base import BLOCK
from .base import Buffer
from .base import Capabilities
from .base import check_blob_id
from .base import is_blob_id


class MemoryBlobStore:
    """Blobs in this process's memory."""

    __slots__ = ("_blobs", "name")

    capabilities = Capabilities(durable=False, shared=False)

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def create(self, blob_id: str, size_hint: int | None = None) -> _Writer:
        if check_blob_id(blob_id) in self._blobs:
            raise FileExistsError(f"Blob {blob_id} exists.")
        return _Writer(self._blobs, blob_id)

    def open(self, blob_id: str, start: int, end: int) -> _Reader:
        return _Reader(blob_id, self._get(blob_id), start, end)

    def delete(self, blob_id: str) -> None:
        self._blobs.pop(check_blob_id(blob_id), None)

    def size(self, blob_id: str) -> int:
        return len(self._get(blob_id))

    def sweep(self) -> Iterator[tuple[str, float]]:
        for blob_id, (_, modified) in list(self._blobs.items()):
            if is_blob_id(blob_id):
                yield blob_id, modified

    def close(self) -> None:
        self._blobs.clear()

    def _get(self, blob_id: str) -> bytes:
        try:
            return self._blobs[check_blob_id(blob_id)][0]
        except KeyError:
            raise FileNotFoundError(f"There is no blob {blob_id}.") from None


class _Writer:
    __slots__ = ("_blob_id", "_blobs", "_blocks")

    def __init__(self, blobs: dict[str, tuple[bytes, float]], blob_id: str) -> None:
        self._blobs = blobs
        self._blob_id = blob_id
        self._blocks: list[bytes] | None = []

    def write(self, data: Buffer, /) -> None:
        if self._blocks is None:
            raise ValueError("The blob is finished.")
        # A caller may use its buffer again; bytes(bytes) copies nothing.
        self._blocks.append(bytes(data))

    def commit(self) -> None:
        if self._blocks is None:
            raise ValueError("The blob is finished.")
        entry = (b"".join(self._blocks), time.time())
        self._blocks = None
        if self._blobs.setdefault(self._blob_id, entry) is not entry:
            raise FileExistsError(f"Blob {self._blob_id} exists.")

    def discard(self) -> None:
        self._blocks = None


class _Reader:
    __slots__ = ("_data", "_end", "_position")

    def __init__(self, blob_id: str, data: bytes, start: int, end: int) -> None:
        if end > len(data):
            raise OSError(f"Blob {blob_id} has {len(data)} bytes, {end} were asked for.")
        self._data = data
        self._position = start
        self._end = end

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> bytes:
        position = self._position
        if position >= self._end:
            raise StopIteration
        self._position = after = min(position + BLOCK, self._end)
        return self._data[position:after]

    def close(self) -> None:
        self._position = self._end
        self._data = b""
