"""Garbage and orphans: blobs that nothing points at any more are removed, late and safely."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable

from ..index import garbage as garbage_rows
from ..index import uploads as upload_rows
from .backing import Backing

logger = logging.getLogger("s3kit.store")

BATCH = 500
NUDGE_SECONDS = 60.0
KEEP_COMPLETED_MS = 24 * 3600 * 1000


class Janitor:
    """Removes what is left over. Any number of processes may do so at once."""

    __slots__ = ("_backing", "_lock", "_next", "_pid", "_thread")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._lock = threading.Lock()
        self._pid = 0
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def collect_garbage(self, *, now: int | None = None) -> int:
        """Delete the blobs that lost their last reference more than the grace period ago.

        :param now: milliseconds since the epoch; the clock's time by default.
        :returns: how many were deleted.
        """
        backing = self._backing
        before = (backing.now() if now is None else now) - backing.grace_seconds * 1000
        count = 0
        while True:
            due = backing.index.read(lambda c: garbage_rows.due(c, before, BATCH))
            done = []
            for row_id, storage, blob in due:
                try:
                    backing.storages[storage].delete(blob)
                except Exception:
                    logger.warning(
                        "Garbage %s on storage %r stays for now.", blob, storage, exc_info=True
                    )
                else:
                    done.append(row_id)
            if done:
                backing.index.write(lambda c, ids=done: garbage_rows.forget(c, ids))  # type: ignore[misc]
                count += len(done)
            if len(due) < BATCH or len(done) < len(due):
                return count

    def forget_completed(self) -> None:
        """Forget uploads that were completed more than a day ago; a repeat is NoSuchUpload then."""
        before = self._backing.now() - KEEP_COMPLETED_MS
        self._backing.index.write(lambda c: upload_rows.forget_completed(c, before))

    def sweep_orphans(self) -> int:
        """Delete blobs that no row knows and that are older than ``orphan_seconds``.

        A younger one may belong to an upload in progress.

        :returns: how many were deleted.
        """
        count = 0
        oldest = self._backing.clock() - self._backing.orphan_seconds
        for name, store in self._backing.storages.items():
            batch: list[str] = []
            for blob, modified in store.sweep():
                if modified <= oldest:
                    batch.append(blob)
                if len(batch) >= BATCH:
                    count += self._sweep(name, batch)
                    batch = []
            count += self._sweep(name, batch)
        return count

    def _sweep(self, storage: str, blobs: Iterable[str]) -> int:
        wanted = list(blobs)
        if not wanted:
            return 0
        known = self._backing.index.read(lambda c: garbage_rows.known(c, storage, wanted))
        orphans = [blob for blob in wanted if blob not in known]
        for blob in orphans:
            self._backing.delete_blob(storage, blob)
        return len(orphans)

    def nudge(self) -> None:
        """Collect in the background if it is time to; called after writes, costs next to nothing.

        The thread is made on demand, so a fork after import leaves no dead one behind.
        """
        now = time.monotonic()
        if now < self._next and self._pid == os.getpid():
            return
        with self._lock:
            if now < self._next and self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._next = now + NUDGE_SECONDS
            self._thread = threading.Thread(
                target=self._background, name="s3kit-janitor", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Wait for the background thread, so that nothing uses the index after its end."""
        with self._lock:
            thread = self._thread if self._pid == os.getpid() else None
            self._next = float("inf")
            self._pid = os.getpid()
        if thread is not None:
            thread.join()

    def _background(self) -> None:
        try:
            self.collect_garbage()
            self.forget_completed()
        except Exception:
            logger.exception("The janitor failed; it will try again.")
