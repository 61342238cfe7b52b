"""The relay: takes events out of the outbox, a few at a time, and delivers them.

Any number may run, in threads and processes. What a relay has taken is its own for a minute, and
longer as long as it lives. A key's events go in their order: one that fails holds up those behind
it, and nothing else.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from ..index import outbox as rows
from ..index.outbox import Waiting
from ..signals import Later
from ..signals import Undeliverable
from .events import read_delivery

if TYPE_CHECKING:
    from .backing import Backing
    from .outbox import Outbox
    from .outbox import Target

logger = logging.getLogger("s3kit.outbox")

LEASE_SECONDS = 60.0
BATCH = 50
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 3600.0
POLL_SECONDS = 1.0
"""How often is looked for what other processes have written."""
LONGEST_TROUBLE = 30.0
"""Seconds between two attempts to reach a database that cannot be reached."""


@dataclass(slots=True)
class Outcome:
    """How many events were delivered, failed for now, or were given up."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0

    def add(self, other: Outcome) -> None:
        """Count another's too."""
        self.delivered += other.delivered
        self.failed += other.failed
        self.dead += other.dead

    def __bool__(self) -> bool:
        return bool(self.delivered or self.failed or self.dead)


class Relay:
    """One worker's hands. To be used by one thread, as a context."""

    __slots__ = (
        "_backing",
        "_delivered",
        "_held",
        "_outbox",
        "_unsure",
        "holder",
        "lease_seconds",
    )

    def __init__(
        self, backing: Backing, outbox: Outbox, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._backing = backing
        self._outbox = outbox
        self.lease_seconds = lease_seconds
        host = socket.gethostname().encode("ascii", "replace").decode()[:24]
        self.holder = f"{host}:{os.getpid()}:{secrets.token_hex(8)}"
        self._held: dict[int, Waiting] = {}
        # Delivered, but not yet known to the database to be.
        self._delivered: set[int] = set()
        # Whether something may have been taken without our hearing of it.
        self._unsure = False

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._settle()
        except Exception:
            logger.warning("What was just delivered may be delivered again.", exc_info=True)

    def run(
        self,
        stop: threading.Event,
        wake: threading.Event | None = None,
        *,
        told: Callable[[Outcome], object] = lambda outcome: None,
    ) -> None:
        """Deliver until ``stop`` is set; the delivery that runs then is finished.

        The database may be away meanwhile.

        :param wake: set when there may be something new, so that nothing waits for the next look.
        :param told: called after each round that did something.
        """
        wake = wake or stop
        trouble = POLL_SECONDS
        while not stop.is_set():
            # Before looking, so that what is written during the look is not slept over.
            if wake is not stop:
                wake.clear()
            try:
                outcome = self.once(stop)
            except Exception as error:
                if stop.is_set():
                    return
                logger.warning("Events cannot be delivered now: %r. Trying again.", error)
                stop.wait(trouble)
                trouble = min(2 * trouble, LONGEST_TROUBLE)
                continue
            trouble = POLL_SECONDS
            if outcome:
                told(outcome)
            else:
                wake.wait(POLL_SECONDS)

    def run_until_empty(self, stop: threading.Event | None = None) -> Outcome:
        """Deliver until nothing is due any more."""
        total = Outcome()
        while outcome := self.once(stop):
            total.add(outcome)
        return total

    def once(self, stop: threading.Event | None = None) -> Outcome:
        """One batch for each target that has something due.

        :param stop: nothing more is begun once it is set.
        """
        self._settle()
        total = Outcome()
        for name in self._outbox.target_names():
            if stop is not None and stop.is_set():
                break
            target = self._outbox.target(name)
            if target is None or not self._any_due(name):
                continue
            batch = self._take(name)
            if batch:
                total.add(self._deliver(target, batch, stop))
        return total

    def _any_due(self, name: str) -> bool:
        now = self._backing.now()
        return self._backing.index.read(lambda c: rows.any_due(c, name, now))

    def _take(self, name: str) -> list[Waiting]:
        now = self._backing.now()
        until = now + int(self.lease_seconds * 1000)
        self._unsure = True
        taken = self._backing.index.write(
            lambda c: rows.take(c, name, self.holder, now, until, BATCH)
        )
        self._unsure = False
        return taken

    def _deliver(
        self, target: Target, batch: list[Waiting], stop: threading.Event | None
    ) -> Outcome:
        outcome = Outcome()
        self._held = {row.id: row for row in batch}
        stuck: set[tuple[int, bytes]] = set()
        with self._keeping():
            try:
                for row in batch:
                    key = (row.bucket_id, row.key)
                    if key in stuck:
                        continue
                    if stop is not None and stop.is_set():
                        break
                    if row.id not in self._held:
                        # Another has it by now, and all that follow of its key.
                        stuck.add(key)
                    elif not self._attempt(target, row, outcome):
                        stuck.add(key)
            finally:
                # Nothing is taken for long: what is settled here is safe before the next batch.
                self._settle()
        return outcome

    def _attempt(self, target: Target, row: Waiting, outcome: Outcome) -> bool:
        """Whether the event's successors may go."""
        if row.attempts >= self._outbox.attempts:
            # Whoever had it last died over it, every time.
            self._fail(row, outcome, 0.0, "its worker died over it", dead=True, tried=False)
            return True
        try:
            target(read_delivery(row))
        except Undeliverable as error:
            self._fail(row, outcome, 0.0, str(error), dead=True)
            return True
        except Later as error:
            return self._fail(row, outcome, error.seconds, str(error))
        except (Exception, SystemExit) as error:
            logger.warning(
                "Event %s (%s) could not be delivered to %r, attempt %d.",
                row.event,
                row.id,
                row.target,
                row.attempts + 1,
                exc_info=True,
            )
            pause = min(FIRST_PAUSE * 2.0 ** min(row.attempts, 30), LONGEST_PAUSE)
            return self._fail(
                row, outcome, pause * random.uniform(0.9, 1.1), f"{type(error).__name__}: {error}"
            )
        outcome.delivered += 1
        self._delivered.add(row.id)
        return True

    def _fail(
        self,
        row: Waiting,
        outcome: Outcome,
        pause: float,
        error: str,
        *,
        dead: bool = False,
        tried: bool = True,
    ) -> bool:
        dead = dead or row.attempts + 1 >= self._outbox.attempts
        if dead:
            outcome.dead += 1
            logger.error(
                "Event %s for %r was given up after %d attempts: %s",
                row.event,
                row.target,
                row.attempts + tried,
                error,
            )
        else:
            outcome.failed += 1
        # What was delivered before it must not be behind it.
        self._settle_delivered()
        due = self._backing.now() + int(pause * 1000)
        self._backing.index.write(
            lambda c: rows.fail(c, self.holder, row, due=due, dead=dead, error=error)
        )
        self._held.pop(row.id, None)
        return dead

    def _settle(self) -> None:
        """Tell the database what was delivered, and give back what was not tried."""
        self._settle_delivered()
        if self._unsure:
            self._backing.index.write(lambda c: rows.release_all(c, self.holder))
            self._unsure = False
        held = list(self._held)
        if held:
            self._backing.index.write(lambda c: rows.release(c, self.holder, held))
            self._held = {}

    def _settle_delivered(self) -> None:
        delivered = sorted(self._delivered)
        if delivered:
            self._backing.index.write(lambda c: rows.finish(c, self.holder, delivered))
            self._delivered.clear()
            for each in delivered:
                self._held.pop(each, None)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Renew what is held, for as long as deliveries take."""
        done = threading.Event()

        def renew() -> None:
            limit = time.monotonic() + self.lease_seconds
            while not done.wait(self.lease_seconds / 3):
                until = self._backing.now() + int(self.lease_seconds * 1000)
                ids = list(self._held)
                try:
                    kept = self._backing.index.write(
                        lambda c: rows.renew(c, self.holder, ids, until)  # noqa: B023
                    )
                except Exception:
                    if time.monotonic() < limit:
                        continue
                    # Others may have them by now.
                    kept = set()
                else:
                    limit = time.monotonic() + self.lease_seconds
                for each in ids:
                    if each not in kept and not done.is_set():
                        self._held.pop(each, None)

        thread = threading.Thread(target=renew, name="s3kit-outbox-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


__all__ = ["Later", "Outcome", "Relay", "Undeliverable"]
