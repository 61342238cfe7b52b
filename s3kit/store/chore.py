"""Work in the background of a process that serves: begun when it is time, ended with the store."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

logger = logging.getLogger("s3kit.store")

CLOSE_SECONDS = 5.0
LONGEST_DELAY = 60.0


class Chore:
    """A work that is done again and again in a thread of its own, which is made on demand.

    No thread lives through a fork: a child begins its own.

    :param work: is given the event that is set when the process is to end.
    :param seconds: from the beginning of one time to the next.
    """

    __slots__ = ("__weakref__", "_lock", "_name", "_next", "_seconds", "_stop", "_thread", "_work")

    def __init__(
        self, name: str, work: Callable[[threading.Event], object], seconds: float
    ) -> None:
        self._name = name
        self._work = work
        self._seconds = seconds
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # Not at once: a process that lives for a moment has other things to do.
        self._next = time.monotonic() + min(seconds, LONGEST_DELAY)
        _OPEN.add(self)

    def nudge(self) -> None:
        """Do the work once in the background if it is time to; costs next to nothing if not."""
        if time.monotonic() < self._next:
            return
        self._begin(again=False)

    def go_on(self) -> None:
        """Do the work whenever it is time, whether anybody nudges or not."""
        self._begin(again=True)

    def _begin(self, *, again: bool) -> None:
        with self._lock:
            now = time.monotonic()
            if self._stop.is_set() or (now < self._next and not again):
                return
            delay = max(0.0, self._next - now)
            self._next = now + delay + self._seconds
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(
                target=self._background, args=(delay, again), name=self._name, daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                # What the client asked for is done; this can wait.
                logger.warning("%s cannot run now: %s.", self._name, error)
            else:
                self._thread = thread

    def close(self) -> None:
        """End the thread; one that hangs in a storage's call is left behind after five seconds."""
        with self._lock:
            self._stop.set()
            self._next = float("inf")
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _background(self, delay: float, again: bool) -> None:
        stop = self._stop
        while not stop.wait(delay):
            began = time.monotonic()
            try:
                self._work(stop)
            except Exception:
                if not stop.is_set():
                    logger.exception("%s failed; it will be tried again.", self._name)
            if not again:
                return
            delay = max(0.0, began + self._seconds - time.monotonic())

    def _forget(self) -> None:
        """In a forked child: the thread is the parent's, and so is whoever holds the lock."""
        closed = self._stop.is_set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        if closed:
            self._stop.set()
        else:
            self._next = time.monotonic() + min(self._seconds, LONGEST_DELAY)


class Regular:
    """What a Store does again and again in the background, where that is ``enabled``."""

    __slots__ = ("_chore", "enabled")

    def __init__(self, chore: Chore) -> None:
        self._chore = chore
        self.enabled = True
        """Whether :meth:`nudge` and :meth:`go_on` may run it in this process."""

    def nudge(self) -> None:
        """Run in the background if it is time to; called after writes, costs next to nothing."""
        if self.enabled:
            self._chore.nudge()

    def go_on(self) -> None:
        """Run in the background whenever it is time to, whether requests come or not."""
        if self.enabled:
            self._chore.go_on()

    def close(self) -> None:
        """End what runs in the background."""
        self._chore.close()


_OPEN: weakref.WeakSet[Chore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for chore in list(_OPEN):
        chore._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
