"""Events that nobody may miss: written down with what they tell of, delivered until it worked."""

from __future__ import annotations

import importlib
import json
import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from blinker import signal as named_signal

from ..index import outbox as rows
from ..index.joined import JOINED
from ..index.outbox import Backlog
from ..index.outbox import Waiting
from ..model import Bucket
from ..model import ObjectVersion
from ..signals import DURABLE
from ..signals import Durable
from ..signals import Event
from ..signals import check_name
from ..signals import patterns_of
from .events import Delivery
from .events import Origin
from .events import bucket_event
from .events import event_values
from .events import object_event
from .relay import Outcome
from .relay import Relay

if TYPE_CHECKING:
    from blinker import Signal

    from ..index.session import Connection
    from .backing import Backing

logger = logging.getLogger("s3kit.outbox")

CLOSE_SECONDS = 5.0
ATTEMPTS = 16
"""With the pauses between them, some five hours."""


Target = Callable[[Delivery], object]
"""Delivers an event, or raises: then it is tried again later (see :class:`~.relay.Later`)."""

Route = Callable[["Connection", Bucket, Event], Iterable[tuple[str, str]]]
"""Asked inside the transaction who wants an event: (target, note) each."""


class Outbox:
    """The events of one Store on their way to their targets.

    :param attempts: after so many failures an event is given up, and its key's others go on.
    """

    __slots__ = (
        "__weakref__",
        "_backing",
        "_lock",
        "_recorded",
        "_routed",
        "_routes",
        "_stop",
        "_subscribed",
        "_targets",
        "_thread",
        "_wake",
        "attempts",
        "enabled",
        "region",
    )

    def __init__(
        self, backing: Backing, *, region: str = "us-east-1", attempts: int = ATTEMPTS
    ) -> None:
        self._backing = backing
        self.region = region
        self.attempts = attempts
        self.enabled = True
        """Whether :meth:`nudge` may start a thread in this process."""
        self._routes: list[tuple[int, Route]] = []
        self._routed = 0
        self._subscribed: dict[str, Durable] = {}
        self._targets: dict[str, Target] = {}
        self._recorded = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        _OPEN.add(self)

    # -- who wants what

    def add_route(self, setting: int, route: Route) -> None:
        """Ask ``route`` who wants an event of a bucket that has this document.

        :param setting: the document's bit in ``Bucket.present``.
        """
        self._routes.append((setting, route))
        self._routed |= setting

    def add_target(self, name: str, deliver: Target) -> None:
        """Have ``deliver`` called for what waits under ``name``, in this process.

        A process takes only what it has a target for, so that others may have theirs.

        :raises ValueError: the name is taken.
        """
        check_name(name)
        if self.target(name) is not None:
            raise ValueError(f"there is another target named {name!r}")
        self._targets[name] = deliver

    def subscribe(
        self,
        receiver: Callable[..., object],
        *what: Signal | str,
        bucket: str = "*",
        prefix: str = "",
        suffix: str = "",
        name: str = "",
    ) -> None:
        """Make ``receiver`` a durable one of this store alone; see :func:`s3kit.signals.durable`.

        :raises ValueError: as there, or the name is taken.
        """
        mine = name or f"{receiver.__module__}:{receiver.__qualname__}"
        check_name(mine)
        if self.target(mine) is not None:
            raise ValueError(f"there is another target named {mine!r}")
        self._subscribed[mine] = Durable(mine, receiver, patterns_of(what), bucket, prefix, suffix)

    def subscribe_by_name(self, name: str) -> None:
        """Let a ``module:function``, or all receivers of a named blinker signal, hear everything.

        It is called as a signal's receiver is. The module is imported at the first delivery.
        """
        if name not in self._subscribed:
            self._subscribed[name] = Durable(name, ByName(name))

    def target(self, name: str) -> Target | None:
        """What delivers to this name in this process, None where that is another's task."""
        found = self._targets.get(name)
        if found is not None:
            return found
        subscribed = self._subscribed.get(name) or DURABLE.get(name)
        return None if subscribed is None else Call(subscribed.receiver)

    def target_names(self) -> list[str]:
        """Every target of this process."""
        return [*{**self._targets, **self._subscribed, **DURABLE}]

    # -- writing down

    def record(
        self,
        c: Connection,
        name: str,
        bucket: Bucket,
        version: ObjectVersion,
        origin: Origin,
        present: int,
        *,
        replaced: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an object's event for all who want it, in the transaction of what it tells of.

        The key must be locked. Costs next to nothing where nobody asks.

        :param present: which documents the bucket has at this moment (``WriteState.present``).
        """
        if not (present & self._routed or self._subscribed or DURABLE):
            return
        # The version's own time is when it was stored.
        now = version.modified
        if not name.startswith("s3:ObjectCreated:"):
            now = self._backing.now()
        event = object_event(
            name,
            bucket,
            version,
            origin,
            replaced=replaced,
            id=secrets.token_hex(16),
            region=bucket.region or self.region,
            time=now,
            details=details or {},
        )
        self._record(c, bucket, event, present, version.key)

    def record_bucket(
        self, c: Connection, name: str, bucket: Bucket, origin: Origin, time: int
    ) -> None:
        """Write a bucket's own event."""
        if self._subscribed or DURABLE:
            event = bucket_event(
                name,
                bucket,
                origin,
                time,
                id=secrets.token_hex(16),
                region=bucket.region or self.region,
            )
            self._record(c, bucket, event, 0, b"")

    def _record(
        self, c: Connection, bucket: Bucket, event: Event, present: int, key: bytes
    ) -> None:
        wanted: list[tuple[str, str]] = []
        for setting, route in self._routes:
            if present & setting:
                wanted.extend(route(c, bucket, event))
        for each in (*self._subscribed.values(), *DURABLE.values()):
            if each.wants(event.name, event.bucket, event.key):
                wanted.append((each.name, ""))
        if wanted:
            self.write(c, event, key, wanted)

    def write(
        self, c: Connection, event: Event, key: bytes, wanted: Iterable[tuple[str, str]]
    ) -> None:
        """Write one event, that has its id, for these (target, note)."""
        seq = 0
        now = self._backing.now()
        document = event_values(event)
        for target, note in wanted:
            seq = rows.add(
                c,
                event=event.id,
                bucket_id=event.bucket_id,
                key=key,
                target=target,
                document=json.dumps({**document, "note": note} if note else document),
                now=now,
                seq=seq,
            )
        self._recorded = True
        if JOINED and self._backing.index.is_joined():
            self._backing.index.after_commit(self._nudge_again)

    # -- delivering

    def deliver(self) -> Outcome:
        """Deliver all that is due, in this thread; what fails is tried again later."""
        with self.relay() as relay:
            return relay.run_until_empty()

    def relay(self) -> Relay:
        """One more worker; any number may run, in any number of processes."""
        return Relay(self._backing, self)

    def check(self) -> None:
        """Import what is only named yet.

        :raises Exception: whatever the import raises.
        """
        for each in self._subscribed.values():
            if isinstance(each.receiver, ByName):
                each.receiver.resolve()

    def backlog(self) -> list[Backlog]:
        """What waits, by target; the dead are those that were given up."""
        return self._backing.index.read(rows.backlog)

    def dead(self, *, after: int = 0, limit: int = 100) -> list[Waiting]:
        """Up to ``limit`` events that were given up, ids above ``after``."""
        return self._backing.index.read(lambda c: rows.dead_page(c, after, limit))

    def revive(self, target: str) -> int:
        """Try what was given up again; how many events that are."""
        now = self._backing.now()
        count = self._backing.index.write(lambda c: rows.revive(c, target, now))
        self._recorded = True
        return count

    def forget_dead(self, target: str) -> int:
        """Forget what was given up; how many events that were."""
        return self._backing.index.write(lambda c: rows.forget_dead(c, target))

    # -- the thread

    def nudge(self) -> None:
        """Deliver in the background what was just recorded; called after writes."""
        if self._recorded:
            self._recorded = False
            self._wake.set()
            if self.enabled:
                self.start()

    def _nudge_again(self) -> None:
        self._recorded = True
        self.nudge()

    def start(self) -> None:
        """Deliver in a thread of this process from now on. A fork leaves no dead one behind."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._lock:
            if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._background, name="s3kit-outbox", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                logger.warning("Events cannot be delivered now: %s.", error)
            else:
                self._thread = thread

    def _background(self) -> None:
        stop = self._stop
        with self.relay() as relay:
            relay.run(stop, self._wake)

    def close(self) -> None:
        """End the thread; what it has not delivered waits for the next one."""
        with self._lock:
            self._stop.set()
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)

    def _forget(self) -> None:
        """In a forked child: the thread is the parent's, and so is whoever holds the lock."""
        closed = self._stop.is_set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        if closed:
            self._stop.set()
        self._thread = None


@dataclass(frozen=True, slots=True)
class Call:
    """A target that calls a receiver as a signal would."""

    receiver: Callable[..., object]

    def __call__(self, delivery: Delivery) -> object:
        return self.receiver(delivery.event.bucket, event=delivery.event)


class ByName:
    """What ``module:function``, or a named blinker signal, stands for, once it is needed."""

    __slots__ = ("_found", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: Callable[..., object] | None = None

    def resolve(self) -> Callable[..., object]:
        """The function.

        :raises ImportError: AttributeError, TypeError: there is none.
        """
        found = self._found
        if found is None:
            module, colon, path = self.name.partition(":")
            if not colon:
                found = named_signal(self.name).send
            else:
                value: Any = importlib.import_module(module)
                for part in path.split("."):
                    value = getattr(value, part)
                if not callable(value):
                    raise TypeError(f"{self.name} cannot be called")
                found = value
            self._found = found
        return found

    def __call__(self, *arguments: Any, **named: Any) -> object:
        return self.resolve()(*arguments, **named)


_OPEN: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for outbox in list(_OPEN):
        outbox._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
