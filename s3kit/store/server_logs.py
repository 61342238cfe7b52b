"""Server access logs: lines gathered in this process, stored as objects in their target buckets.

Best effort, as Amazon says of its own: a killed process loses the lines that it has not delivered
yet, and a flood of requests those that there is no room for.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import AccessDenied
from ..errors import NoSuchBucket
from ..errors import S3Error
from ..model import Account
from ..model import Acl
from ..model import Bucket
from ..model import Caller
from ..model import Grant
from ..model import Permission
from ..wire.checksums import BodyReader
from .backing import Backing
from .buckets import Buckets
from .events import Origin
from .objects import Attributes
from .objects import Objects

logger = logging.getLogger("s3kit.store")

DELIVER_BYTES: Final = 1024 * 1024
"""So much waits for no interval."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""More is not kept."""
CLOSE_SECONDS: Final = 10.0
EVENT_TIME: Final = "EventTime"
DELIVERY_TIME: Final = "DeliveryTime"

LOG_SERVICE: Final = Account(
    "3272ee65a908a7677109fedda345db8d9554ba26398b2ca10581de88777e2b61", "s3-log-service"
)
"""The account as which Amazon delivers logs."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where a bucket's lines go: into which bucket, under which keys, readable by whom.

    ``partitioned`` is "" for simple keys, else the date that makes the folders.
    """

    bucket: str
    prefix: str
    grants: tuple[Grant, ...] = ()
    partitioned: str = ""


@dataclass(frozen=True, slots=True)
class _Pile:
    """What lies together: one object's lines. ``day`` only where the event's makes the folder."""

    source: str
    account: str
    region: str
    target: LogTarget
    day: str


def _anything(source: str, target: Bucket, key: bytes) -> bool:
    return True


class ServerLogs:
    """The lines of this process. What a request adds never fails the request.

    ``permits`` is whether lines about a bucket, by its name, may become this key of another.

    :param seconds: how long a line may wait.
    :param region: of buckets that have none of their own.
    """

    __slots__ = (
        "__weakref__",
        "_backing",
        "_buckets",
        "_closed",
        "_delivering",
        "_dropped",
        "_lock",
        "_objects",
        "_piles",
        "_size",
        "_thread",
        "_wake",
        "permits",
        "region",
        "seconds",
    )

    def __init__(
        self,
        backing: Backing,
        buckets: Buckets,
        objects: Objects,
        *,
        seconds: float = 60.0,
        region: str = "us-east-1",
    ) -> None:
        self._backing = backing
        self._buckets = buckets
        self._objects = objects
        self.seconds = seconds
        self.region = region
        self.permits: Callable[[str, Bucket, bytes], bool] = _anything
        self._closed = False
        self._begin()
        _OPEN.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        # One delivery at a time, so that close() finds what another has just taken out.
        self._delivering = threading.Lock()
        self._wake = threading.Event()
        self._piles: dict[_Pile, list[bytes]] = {}
        self._size = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def add(self, bucket: Bucket, target: LogTarget, line: str, at: float) -> None:
        """Keep a line about a request to ``bucket``, made ``at`` seconds since the epoch."""
        data = line.encode() + b"\n"
        day = time.strftime("%Y-%m-%d", time.gmtime(at)) if target.partitioned == EVENT_TIME else ""
        pile = _Pile(bucket.name, bucket.account, bucket.region or self.region, target, day)
        with self._lock:
            if self._closed:
                return
            if self._size + len(data) > MOST_BYTES:
                self._dropped += 1
                return
            self._piles.setdefault(pile, []).append(data)
            self._size += len(data)
            if self._thread is None or not self._thread.is_alive():
                # Made on demand, so that a fork after import leaves no dead one behind.
                thread = threading.Thread(
                    target=self._background, name="s3kit-server-logs", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    # The next line tries again; close() delivers them anyhow.
                    logger.warning("Server access logs cannot be delivered now: %s.", error)
                else:
                    self._thread = thread
            if self._size >= DELIVER_BYTES:
                self._wake.set()

    def deliver(self) -> int:
        """Store all that waits as objects; how many were stored."""
        with self._delivering:
            with self._lock:
                piles, self._piles = self._piles, {}
                self._size = 0
                dropped, self._dropped = self._dropped, 0
            if dropped:
                logger.warning("%d lines of server access logs were dropped: too many.", dropped)
            return sum(self._store(pile, lines) for pile, lines in piles.items())

    def _store(self, pile: _Pile, lines: list[bytes]) -> bool:
        target = pile.target
        data = b"".join(lines)
        try:
            bucket = self._buckets.get(target.bucket, account=pile.account, fresh=True)
            if bucket.account != pile.account:
                # The bucket that was meant is gone, and its name is another's now.
                raise NoSuchBucket(bucket_name=target.bucket)
            key = self._key(pile)
            if not self.permits(pile.source, bucket, key):
                raise AccessDenied
            own = Grant(bucket.account, Permission.FULL_CONTROL)
            acl = Acl(bucket.account, (own, *target.grants)) if target.grants else None
            self._objects.put(
                bucket,
                key,
                BodyReader(io.BytesIO(data), len(data)),
                Attributes(bucket.account, {"content-type": "text/plain"}, acl=acl),
                origin=Origin(Caller(LOG_SERVICE)),
            )
        except S3Error as error:
            logger.warning(
                "%d lines about bucket %r could not be stored in bucket %r: %s.",
                len(lines),
                pile.source,
                target.bucket,
                error.code,
            )
            return False
        except Exception:
            logger.warning(
                "%d lines about bucket %r are to be stored later.",
                len(lines),
                pile.source,
                exc_info=True,
            )
            with self._lock:
                if self._size + len(data) > MOST_BYTES:
                    self._dropped += len(lines)
                else:
                    self._piles[pile] = lines + self._piles.get(pile, [])
                    self._size += len(data)
            return False
        return True

    def _key(self, pile: _Pile) -> bytes:
        """``prefix`` and ``YYYY-MM-DD-hh-mm-ss-UNIQUE``, perhaps with folders between the two.

        Source: Amazon S3 User Guide, "Log object key format".
        """
        moment = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(self._backing.clock()))
        folders = ""
        if pile.target.partitioned:
            if pile.day:
                moment = f"{pile.day}-00-00-00"
            date = moment[:10].replace("-", "/")
            folders = f"{pile.account}/{pile.region}/{pile.source}/{date}/"
        unique = secrets.token_hex(8).upper()
        return f"{pile.target.prefix}{folders}{moment}-{unique}".encode()

    def _background(self) -> None:
        while True:
            self._wake.wait(self.seconds)
            self._wake.clear()
            if self._closed:
                return
            try:
                self.deliver()
                self._backing.outbox.nudge()
            except Exception:
                logger.exception("Server access logs could not be delivered.")
            with self._lock:
                if not self._piles:
                    # Whoever adds a line after this makes a new one.
                    self._thread = None
                    return

    def close(self) -> None:
        """Deliver what waits and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(CLOSE_SECONDS)
            if thread.is_alive():
                # It hangs in a storage's call, and so would this one.
                return
        self.deliver()

    def _forget(self) -> None:
        """In a forked child: the lines are the parent's to deliver."""
        self._begin()


_OPEN: weakref.WeakSet[ServerLogs] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for logs in list(_OPEN):
        logs._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

__all__ = ["DELIVERY_TIME", "EVENT_TIME", "LogTarget", "ServerLogs"]
