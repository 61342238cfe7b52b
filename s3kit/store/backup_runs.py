"""What keeps a run safe while it goes on: nobody else at the place, and no bytes lost meanwhile.

Nothing is removed at a place while another run counts on it. A folder has a lock for that;
elsewhere each run leaves a marker with the time in its name, and leaves it anew while it goes on. A
backup that begins writes its own first and then looks for those of removals, which do it the other
way round: so one of the two always sees the other, and gives way.

At the endpoint, what becomes garbage while a backup runs is held.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress

from ..blobs.place import Place
from ..index import garbage as garbage_rows
from .backing import Backing
from .backup_result import Busy

logger = logging.getLogger("s3kit.store")

RUNNING = "running"
PAGE = 200
REFRESH_SECONDS = 30.0
"""How often a run says that it goes on."""

STALE_SECONDS = 900.0
"""A run that has said nothing for so long was killed. Clocks may differ by less than this."""

PATIENCE_SECONDS = 10.0
"""How long a backup waits for a removal of old ones, which may be about to give way."""


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Keeps other backups away from a place, where that can be done.

    :raises Busy: one is running.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(place.alone())
        except BlockingIOError:
            raise Busy(f"Another backup to {place.url} is running.") from None
        yield


class Marker:
    """Tells other machines, at a place without locks, that something goes on there.

    :param kind: ``backup``, or ``prune``, which removes.
    """

    def __init__(self, place: Place, kind: str) -> None:
        self._place = place
        self._name = f"{kind}-{secrets.token_hex(4)}"
        self._left: list[str] = []
        self._lock = threading.Lock()
        self._repeating = _Repeating(
            self.refresh,
            REFRESH_SECONDS,
            name="s3kit-backup-mark",
            failed="A backup's marker could not be renewed; tried again.",
        )

    def __enter__(self) -> Marker:
        if not self._place.locks:
            self.refresh()
            self._repeating.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._place.locks:
            return
        self._repeating.end()
        for name in self._left:
            # One that stays is soon too old to matter.
            with suppress(OSError):
                self._place.remove(f"{RUNNING}/{name}")

    def refresh(self) -> None:
        """Say it again now. Raises OSError."""
        if self._place.locks:
            return
        with self._lock, tempfile.NamedTemporaryFile(prefix="s3kit-") as empty:
            name = f"{self._name}-{time.time_ns() // 1_000_000}"
            self._place.write(f"{RUNNING}/{name}", empty.name)
            self._left.append(name)
            # The last one stays too: who lists just now sees one of the two.
            while len(self._left) > 2:
                self._place.remove(f"{RUNNING}/{self._left[0]}")
                del self._left[0]

    def others(self, kind: str) -> bool:
        """Whether another run of the kind goes on."""
        if self._place.locks:
            return False
        now = time.time()
        found = False
        for each in self._place.names(RUNNING):
            name, _, moment = each.rpartition("-")
            if name == self._name or not name.startswith(f"{kind}-") or not moment.isdigit():
                continue
            if abs(now - int(moment) / 1000) < STALE_SECONDS:
                found = True
            else:
                self._place.remove(f"{RUNNING}/{each}")
        return found

    def wait_for(self, kind: str) -> None:
        """Wait until no other run of the kind goes on.

        :raises Busy: that takes long.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while self.others(kind):
            if time.monotonic() > until:
                raise Busy(
                    f"Old backups at {self._place.url} are being removed. Try again when that is "
                    f"done; if it was killed, in {STALE_SECONDS / 60:.0f} minutes."
                )
            time.sleep(0.2)


class Hold:
    """Keeps what becomes garbage while a backup runs.

    Its time on the garbage list is moved forward, long before its grace period ends. That needs no
    undoing: when the backup ends, or is killed, the grace period ends as it does for all.

    :param since: when the snapshot was begun, in ms.
    """

    def __init__(self, backing: Backing, since: int) -> None:
        self._backing = backing
        # Clocks of other machines, whose rows these may be, go differently.
        self._since = since - backing.grace_seconds * 1000
        self._every = backing.grace_seconds / 4
        self._repeating = _Repeating(
            self._extend,
            self._every / 4,
            name="s3kit-backup-hold",
            failed="What a backup needs could not be held; tried again.",
        )

    def __enter__(self) -> None:
        self._repeating.start()

    def __exit__(self, *details: object) -> None:
        self._repeating.end()

    def _extend(self) -> None:
        index = self._backing.index
        now = self._backing.now()
        before = now - int(self._every * 1000)
        for storage in self._backing.storages:
            while not self._repeating.ending.is_set():
                found = index.read(
                    lambda c, s=storage: garbage_rows.between(c, s, self._since, before, PAGE)  # type: ignore[misc]
                )
                if found:
                    index.write(lambda c, f=found: garbage_rows.postpone(c, f, now))  # type: ignore[misc]
                if len(found) < PAGE:
                    break


class _Repeating:
    """Does something again and again in a thread of its own; what fails is tried again.

    :param seconds: how long it waits each time, and before the first.
    :param failed: what the log says then.
    """

    def __init__(
        self, work: Callable[[], object], seconds: float, *, name: str, failed: str
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.ending = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """End it, and wait for what it is at."""
        self.ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.ending.wait(self._seconds):
            try:
                self._work()
            except Exception:
                logger.warning(self._failed, exc_info=True)
