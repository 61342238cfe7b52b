"""Copies of blobs on another storage, read back and compared before anything points at them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from ..blobs.base import BlobStore
from ..model import Checksum
from .verifying import Reading


class Stopped(Exception):
    """The process is to end: nothing is left of the copy."""


def copy_blob(
    source: BlobStore,
    blob: str,
    target: BlobStore,
    new_id: str,
    *,
    etag: str,
    checksum: Checksum | None,
    stop: Event,
) -> int:
    """Copy a blob under a new id; answers its bytes.

    :param etag: the MD5 of its bytes in hex, "" where it is not known, as of sealed ones.
    :raises OSError: other bytes were found or have arrived than were stored once.
    :raises Stopped: ``stop`` was set.
    """
    size = source.size(blob)
    reading = Reading(etag, checksum, sha256=True)
    writer = target.create(new_id, size)
    try:
        _pass(source, blob, size, reading, writer.write, stop)
        if reading.difference() or reading.size != size:
            # To move what was damaged would be to throw away what may still be mended.
            raise OSError(f"blob {blob} is damaged: {reading.difference() or 'it is cut short'}")
        writer.commit()
    except BaseException:
        writer.discard()
        raise
    arrived = Reading("", None, sha256=True)
    try:
        if target.size(new_id) == size:
            _pass(target, new_id, size, arrived, lambda block: None, stop)
        if arrived.sha256 != reading.sha256:
            raise OSError(f"the copy {new_id} of blob {blob} has other bytes than were sent")
    except BaseException:
        target.delete(new_id)
        raise
    return size


def _pass(
    store: BlobStore,
    blob: str,
    size: int,
    reading: Reading,
    take: Callable[[bytes], object],
    stop: Event,
) -> None:
    blocks = store.open(blob, 0, size)
    try:
        for block in blocks:
            if stop.is_set():
                raise Stopped
            reading.update(block)
            take(block)
    finally:
        blocks.close()
