"""Garbage and orphans: blobs that nothing points at any more are removed, late and safely."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from collections.abc import Iterator
from itertools import islice

from ..blobs.base import OWNER
from ..blobs.base import BlobStore
from ..blobs.base import is_blob_id
from ..index import garbage as garbage_rows
from ..index import identity
from ..index import uploads as upload_rows
from .backing import Backing

logger = logging.getLogger("s3kit.store")

BATCH = 500
NUDGE_SECONDS = 60.0
CLOSE_SECONDS = 5.0
KEEP_COMPLETED_MS = 24 * 3600 * 1000

GIVE_UP = 20
"""After so many failures in a row a storage is left in peace until the next run."""


class ForeignStorage(Exception):
    """A storage's blobs are another index's, so to this one all of them would look like orphans."""


class Janitor:
    """Removes what is left over. Any number of processes may do so at once."""

    __slots__ = ("__weakref__", "_backing", "_lock", "_marked", "_next", "_stop", "_thread")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._marked: set[str] = set()
        _OPEN.add(self)

    def collect_garbage(self, *, now: int | None = None, grace_seconds: int | None = None) -> int:
        """Delete the blobs that lost their last reference more than the grace period ago.

        What cannot be deleted is tried again a grace period later; a storage that is read-only or
        no longer configured keeps its garbage.

        :param now: milliseconds since the epoch; the clock's time by default.
        :param grace_seconds: in place of the configured ones.
        :returns: how many were deleted.
        :raises RuntimeError: in a caller's transaction, which may bring them back.
        """
        backing = self._backing
        if backing.index.is_joined():
            raise RuntimeError("no garbage is collected in a transaction that was joined")
        now = backing.now() if now is None else now
        grace = backing.grace_seconds if grace_seconds is None else grace_seconds
        return sum(
            self._collect(name, store, now - grace * 1000, now) for name, store in self._writable()
        )

    def _collect(self, name: str, store: BlobStore, before: int, now: int) -> int:
        index = self._backing.index
        count = failures = 0
        error: Exception | None = None
        going_on = True
        while going_on:
            due = index.read(lambda c: garbage_rows.due(c, name, before, BATCH))
            going_on = len(due) == BATCH
            done: list[int] = []
            stuck: list[int] = []
            in_a_row = 0
            for row_id, blob in due:
                if self._stop.is_set() or in_a_row == GIVE_UP:
                    going_on = False
                    break
                try:
                    store.delete(blob)
                except Exception as problem:
                    error = problem
                    in_a_row += 1
                    stuck.append(row_id)
                else:
                    in_a_row = 0
                    done.append(row_id)
            if done:
                index.write(lambda c, ids=done: garbage_rows.forget(c, ids))  # type: ignore[misc]
            if stuck:
                # To the end of the list, where they hold up nothing else.
                index.write(lambda c, ids=stuck: garbage_rows.postpone(c, ids, now))  # type: ignore[misc]
            count += len(done)
            failures += len(stuck)
        if failures:
            logger.warning(
                "%d blobs on storage %r could not be deleted; they are tried again later. "
                "The last of them: %r",
                failures,
                name,
                error,
            )
        return count

    def forget_completed(self) -> None:
        """Forget uploads that were completed more than a day ago; a repeat is NoSuchUpload then."""
        before = self._backing.now() - KEEP_COMPLETED_MS
        self._backing.index.write(lambda c: upload_rows.forget_completed(c, before))

    def sweep_orphans(self, *, orphan_seconds: int | None = None) -> int:
        """Delete blobs that no row knows and that are older than ``orphan_seconds``.

        A younger one may belong to an upload in progress.

        :param orphan_seconds: in place of the configured ones. Nothing may be stored meanwhile
            unless an upload surely takes less.
        :returns: how many were deleted.
        :raises ForeignStorage: a storage belongs to another index. Nothing was deleted then.
        """
        age = self._backing.orphan_seconds if orphan_seconds is None else orphan_seconds
        oldest = self._backing.clock() - age
        for name, store in self._writable():
            self._make_sure_of(name, store)
        count = 0
        for name, store in self._writable():
            old = (blob for blob, modified in blobs_of(store) if modified <= oldest)
            while batch := list(islice(old, BATCH)):
                known = self._known(batch)
                orphans = [blob for blob in batch if blob not in known]
                for blob in orphans:
                    self._backing.delete_blob(name, blob)
                count += len(orphans)
        return count

    def mark_storages(self) -> None:
        """Write into each storage which index it belongs to; a warning if it is another's."""
        mine = self._backing.index.read(identity.get)
        for name, store in self._writable():
            if name in self._marked:
                continue
            try:
                owner = mark(store, mine)
            except Exception:
                logger.warning("Storage %r cannot be marked as this index's.", name, exc_info=True)
                continue
            self._marked.add(name)
            if owner != mine:
                logger.warning(
                    "Storage %r belongs to another index (%s). Give each endpoint a folder of its "
                    "own; `s3kit gc --orphans` refuses this one.",
                    name,
                    owner,
                )

    def claim(self, name: str) -> None:
        """Mark a storage as this index's.

        :raises ForeignStorage: it is another's.
        """
        mine = self._backing.index.read(identity.get)
        owner = mark(self._backing.storages[name], mine)
        if owner != mine:
            raise ForeignStorage(
                f'Storage "{name}" belongs to another index ({owner}), which would sweep what it '
                "does not know. Give each endpoint a storage of its own; or, if that index is gone "
                f"for good, delete the blob {OWNER} from the storage."
            )

    def _make_sure_of(self, name: str, store: BlobStore) -> None:
        """Raises ForeignStorage unless the storage's blobs are this index's to judge."""
        mine = self._backing.index.read(identity.get)
        owner = owner_of(store)
        if not owner:
            blobs = (blob for blob, _ in blobs_of(store))
            strange = False
            while batch := list(islice(blobs, BATCH)):
                strange = not self._known(batch)
                if not strange:
                    break
            if strange:
                raise ForeignStorage(
                    f'Storage "{name}" holds blobs, and this index knows none of them, so they '
                    "are not swept. Is it the endpoint's own index?"
                )
            owner = mark(store, mine)
        if owner != mine:
            raise ForeignStorage(
                f'Storage "{name}" belongs to another index ({owner}), so nothing is swept: to '
                f"this one ({mine}) all its blobs look like orphans. Name the right index; or, if "
                f"that one is gone for good, delete the blob {OWNER} from the storage."
            )

    def _known(self, blobs: list[str]) -> set[str]:
        return self._backing.index.read(lambda c: garbage_rows.known(c, blobs))

    def _writable(self) -> Iterable[tuple[str, BlobStore]]:
        return [
            (name, store)
            for name, store in self._backing.storages.items()
            if not store.capabilities.read_only
        ]

    def nudge(self) -> None:
        """Collect in the background if it is time to; called after writes, costs next to nothing.

        The thread is made on demand, so a fork after import leaves no dead one behind.
        """
        if time.monotonic() < self._next:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._next or self._stop.is_set():
                return
            self._next = now + NUDGE_SECONDS
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._background, name="s3kit-janitor", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # What the client asked for is done; this can wait.
                logger.warning("The janitor cannot run now: %s.", error)
            else:
                self._thread = thread

    def close(self) -> None:
        """End the background thread, so that nothing uses the index after its end.

        One that hangs in a storage's call is left behind after five seconds.
        """
        with self._lock:
            self._stop.set()
            self._next = float("inf")
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _background(self) -> None:
        try:
            self.mark_storages()
            self.collect_garbage()
            if not self._stop.is_set():
                self.forget_completed()
        except Exception:
            if not self._stop.is_set():
                logger.exception("The janitor failed; it will try again.")

    def _forget(self) -> None:
        """In a forked child: the thread is the parent's, and so is whoever holds the lock."""
        closed = self._stop.is_set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        if closed:
            self._stop.set()
        else:
            self._next = 0.0
        self._thread = None


def blobs_of(store: BlobStore) -> Iterator[tuple[str, float]]:
    """The blobs of a storage that are objects' bytes, with when they were last written."""
    # Longer ids than ours are those of a Prefixed storage on the same one.
    return (found for found in store.sweep() if found[0] != OWNER and len(found[0]) == len(OWNER))


def owner_of(store: BlobStore) -> str | None:
    """The id of the index that a storage belongs to; None if it is not marked, "" if only half."""
    try:
        size = store.size(OWNER)
        text = b"".join(store.open(OWNER, 0, min(size, 64))).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    return text if is_blob_id(text) else ""


def mark(store: BlobStore, mine: str) -> str:
    """Write ``mine`` into a storage that belongs to nobody yet; answers whose it is."""
    owner = owner_of(store)
    if owner:
        return owner
    if owner is not None:
        # A process was killed over it.
        store.delete(OWNER)
    try:
        writer = store.create(OWNER, len(mine))
        try:
            writer.write(mine.encode())
            writer.commit()
        except BaseException:
            writer.discard()
            raise
    except OSError:
        # Another process may just have been faster.
        owner = owner_of(store)
        if not owner:
            raise
        return owner
    return owner_of(store) or mine


_OPEN: weakref.WeakSet[Janitor] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for janitor in list(_OPEN):
        janitor._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
