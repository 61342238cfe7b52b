"""Storage event signals: hear every stored and removed object, or forbid it beforehand.

Accounts and access keys have their own, with an :class:`AccountEvent`, sent by the account's id.

``before_*`` run after the body is verified and before the transaction opens; a receiver that
raises :class:`Veto` makes the request an AccessDenied. The others run after the commit, in the
request's thread; a receiver that raises is logged and never fails the request. ``request_audited``
tells of every request, also of those that were refused, when its answer has ended.

The sender is the bucket's name, so ``object_created.connect_via("photos")`` hears one bucket and
``object_created.connect`` hears all. Receivers are held weakly: keep a reference to a lambda or a
bound method, or connect with ``weak=False``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from fnmatch import fnmatchcase
from functools import partial
from threading import get_ident
from typing import Any
from typing import TypeVar

from blinker import Signal

from .errors import AccessDenied
from .model import ANONYMOUS
from .model import Caller
from .model import Scope

logger = logging.getLogger("s3kit.signals")

before_bucket_created = Signal("A bucket is about to be made; Veto forbids it.")
before_bucket_removed = Signal("A bucket is about to be removed; Veto forbids it.")
before_object_created = Signal("An object is about to be stored; Veto forbids it.")
before_object_removed = Signal("An object is about to be removed; Veto forbids it.")

bucket_created = Signal("A bucket was made.")
bucket_removed = Signal("A bucket was removed.")
object_created = Signal("An object was stored: put, posted, copied or completed from parts.")
object_removed = Signal("An object was removed, or a delete marker hides it.")
object_tagged = Signal("An object's tags were set or removed.")
object_annotated = Signal("An object's annotation was put or removed.")
object_acl_changed = Signal("An object's ACL was set.")
object_retention_changed = Signal("A version's retention or event hold was set.")
object_legal_hold_changed = Signal("A version's legal hold was placed or released.")
object_restored = Signal("An archived object can be read for some days, or no longer.")
object_transitioned = Signal("Lifecycle has given an object another storage class.")

request_audited = Signal("A request has ended: who, what, decision, bytes, duration.")
before_account_created = Signal("An account is about to be made; Veto forbids it.")
before_key_created = Signal("An access key is about to be made; Veto forbids it.")
account_created = Signal("An account was made.")
key_created = Signal("An access key was made.")
key_revoked = Signal("An access key was disabled or deleted, or its secret was replaced.")


class Veto(Exception):
    """Raised by a ``before_*`` receiver to forbid what is about to happen.

    :param reason: shown to the client in the AccessDenied message.
    """

    def __init__(self, reason: str = "Access Denied") -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, or is about to happen, to a bucket or object.

    :param name: S3's event name, such as ``s3:ObjectCreated:Put``.
    :param key: the object's key; bytes that are not UTF-8 appear as surrogate escapes.
    :param size: in bytes.
    :param time: milliseconds since the epoch.
    :param replaced: an earlier object of this key was overwritten.
    :param metadata: the stored headers by lower-case name, ``x-amz-meta-*`` included.
    :param id: tells repeats of a durable event; "" for what is only heard in its own process.
    :param sequencer: hex; compares in the order of a key's durable events.
    :param source_ip: where the request came from, "" for what Python code did.
    :param host_id: the server's own id, as the answer showed it (``x-amz-id-2``).
    :param region: of the bucket, else of the endpoint.
    :param details: S3's further members of some events, such as ``lifecycleEventData``.
    """

    name: str
    bucket: str
    bucket_id: int = 0
    account: str = ""
    key: str = ""
    version_id: str | None = None
    size: int = 0
    etag: str = ""
    time: int = 0
    replaced: bool = False
    delete_marker: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = ANONYMOUS
    request_id: str = ""
    id: str = ""
    sequencer: str = ""
    source_ip: str = ""
    host_id: str = ""
    region: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        """Whom receivers connect via."""
        return self.bucket

    @property
    def place(self) -> str:
        """Where it happened, for a log."""
        return f"bucket {self.bucket!r}"


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """What happened, or is about to happen, to an account or one of its keys. It has no secret.

    :param name: ``account-created``, ``key-created``, ``key-disabled``, ``key-rotated`` or
        ``key-deleted``.
    :param account: its canonical id.
    :param plan: what it may use, by the name in the configuration's ``plans``.
    :param user: the account's user whose key it is, "" for the account's own.
    :param label: what the key's owner calls it.
    :param scope: what the key is narrowed to, None for nothing.
    :param time: milliseconds since the epoch.
    """

    name: str
    account: str
    display_name: str = ""
    email: str = ""
    plan: str = ""
    access_key: str = ""
    user: str = ""
    label: str = ""
    scope: Scope | None = None
    time: int = 0

    @property
    def sender(self) -> str:
        """Whom receivers connect via."""
        return self.account

    @property
    def place(self) -> str:
        """Where it happened, for a log."""
        return f"account {self.account!r}"


HOLDERS: dict[int, Callable[[Callable[[], object]], object]] = {}
"""By thread: takes what is to be told only when somebody else has committed."""


def ask(signal: Signal, event: Event | AccountEvent) -> None:
    """Let every receiver of a ``before_*`` signal object.

    :raises AccessDenied: a receiver raised :class:`Veto`; any other exception passes through.
    """
    if not signal.receivers:
        return
    try:
        for receiver in signal.receivers_for(event.sender):
            receiver(event.sender, event=event)
    except Veto as veto:
        raise AccessDenied(veto.reason) from None


def emit(signal: Signal, event: Event | AccountEvent) -> None:
    """Tell every receiver; one that raises is logged and the rest still hear it.

    In a thread that has joined a caller's transaction they hear it after that one's commit.
    """
    if not signal.receivers:
        return
    if HOLDERS:
        hold = HOLDERS.get(get_ident())
        if hold is not None:
            hold(partial(_tell, signal, event))
            return
    _tell(signal, event)


def _tell(signal: Signal, event: Event | AccountEvent) -> None:
    for receiver in signal.receivers_for(event.sender):
        try:
            receiver(event.sender, event=event)
        except Exception:
            logger.exception("A receiver of %s for %s failed.", event.name, event.place)


# Audit.


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is known of a request that has ended. No secret, signature, token or query is in it.

    Texts that a client chose are cut to some length, and secrets in them show as ``***``.

    :param time: of its begin, in milliseconds since the epoch.
    :param request_id: that of the answer; "" for :class:`~s3kit.client.Client`.
    :param account: the caller's, by a verified signature; None for everybody else.
    :param principal: who of the account it was, such as ``user/alice``; "" for the account itself.
    :param access_key: that signed, or that opened the session that did; also of a signature that
        was wrong.
    :param session: the key that opened the session that signed; "" without one.
    :param signed: where the signature stood: ``header``, ``query``, ``form``; ``anonymous``
        without one, ``python`` for :class:`~s3kit.client.Client`, "" where nobody got as far.
    :param source_ip: of the client, behind trusted proxies too; "" for Python code.
    :param tls: whether it came over TLS; None for Python code.
    :param operation: S3's name of it; "" where it was none.
    :param actions: what Access was asked about, by the names that policies have for it.
    :param bucket_owner: whose that bucket is, where names are per account; else "".
    :param key: None where the request was about no key.
    :param path: what was asked for, where that is no bucket.
    :param decision: ``allow``; ``deny``; ``partial`` for some of the keys of a DeleteObjects; ""
        where the request failed before, or needed no leave.
    :param decided_by: the kind of rule, see :class:`~s3kit.model.Decision`; ``signature`` for who
        could not prove who it is, ``https`` where plain HTTP is not served.
    :param reason: the rule, or what is wrong with the signature.
    :param error: S3's code; "" where it went well.
    :param received: bytes of the request's body, ``sent`` of the answer's.
    :param milliseconds: to the end of the answer.
    :param aborted: the body that broke off, ``request`` or ``response``.
    """

    time: int
    request_id: str = ""
    account: str | None = None
    principal: str = ""
    access_key: str | None = None
    session: str = ""
    signed: str = ""
    source_ip: str = ""
    user_agent: str = ""
    tls: bool | None = None
    method: str = ""
    operation: str = ""
    actions: tuple[str, ...] = ()
    bucket: str | None = None
    bucket_owner: str = ""
    key: str | None = None
    version_id: str | None = None
    path: str = ""
    decision: str = ""
    decided_by: str = ""
    reason: str = ""
    status: int = 0
    error: str = ""
    received: int = 0
    sent: int = 0
    milliseconds: float = 0.0
    aborted: str = ""
    trace_id: str = ""


def announce(record: AuditRecord) -> None:
    """Tell every receiver of ``request_audited``; one that raises is logged, the rest hear it."""
    if not request_audited.receivers:
        return
    sender = record.bucket or ""
    for receiver in request_audited.receivers_for(sender):
        try:
            receiver(sender, record=record)
        except Exception:
            logger.exception("A receiver of request %s failed.", record.request_id)


# Durable receivers.


class Later(Exception):
    """Raised by a durable receiver that wants the event again, but not before ``seconds``.

    :param reason: shown by ``s3kit outbox`` if it comes to that.
    """

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = seconds
        super().__init__(reason or f"to be tried again in {seconds:g} s")


class Undeliverable(Exception):
    """Raised by a durable receiver that will never take this event: it is given up at once."""


Receiver = TypeVar("Receiver", bound=Callable[..., object])

EVENTS: dict[Signal, tuple[str, ...]] = {
    object_created: ("s3:ObjectCreated:*",),
    object_removed: ("s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"),
    object_tagged: ("s3:ObjectTagging:*",),
    object_annotated: ("s3:ObjectAnnotation:*",),
    object_acl_changed: ("s3:ObjectAcl:Put",),
    object_retention_changed: ("s3:ObjectRetention:Put",),
    object_legal_hold_changed: ("s3:ObjectLegalHold:Put",),
    object_restored: ("s3:ObjectRestore:*",),
    object_transitioned: ("s3:LifecycleTransition",),
    bucket_created: ("s3:BucketCreated",),
    bucket_removed: ("s3:BucketRemoved",),
}
"""The events that an after-commit signal announces."""


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether an event's name is one of these, or in a group such as ``s3:ObjectCreated:*``."""
    for pattern in patterns:
        if name == pattern or (pattern[-1:] == "*" and name.startswith(pattern[:-1])):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Durable:
    """A receiver that no event it wants may miss, and which events those are.

    :param name: what its events wait under in the index: the same in every process.
    :param patterns: names of events; none means all.
    :param bucket: a bucket's name, or a pattern such as ``photos-*``.
    """

    name: str
    receiver: Callable[..., object]
    patterns: tuple[str, ...] = ()
    bucket: str = "*"
    prefix: str = ""
    suffix: str = ""

    def wants(self, name: str, bucket: str, key: str) -> bool:
        """Whether it is to hear of this."""
        return (
            (not self.patterns or matches(name, self.patterns))
            and key.startswith(self.prefix)
            and key.endswith(self.suffix)
            and (self.bucket == "*" or fnmatchcase(bucket, self.bucket))
        )


DURABLE: dict[str, Durable] = {}
"""Every receiver that :func:`durable` has declared, by name."""


def patterns_of(what: tuple[Signal | str, ...]) -> tuple[str, ...]:
    """The names of events that signals, and names of events, stand for.

    :raises ValueError: a ``before_*`` signal, or one of somebody else's.
    """
    found: list[str] = []
    for each in what:
        if isinstance(each, str):
            found.append(each)
        elif each in EVENTS:
            found.extend(EVENTS[each])
        else:
            raise ValueError(f"{each!r} announces nothing that is committed")
    return tuple(found)


def durable(
    *what: Signal | str,
    bucket: str = "*",
    prefix: str = "",
    suffix: str = "",
    name: str = "",
) -> Callable[[Receiver], Receiver]:
    """Declare a receiver that hears every event, even if this process dies over it.

    The event is written down in the transaction of what it tells of, and the receiver is called
    after it, by ``s3kit worker`` or a thread of a process that serves, until it returns without an
    exception: at least once, the events of one key in their order. ``event.id`` tells repeats.

    :param what: signals of this module, or names of S3's events; none means all events.
    :param bucket: this bucket only, or those of a pattern such as ``photos-*``.
    :param prefix: only keys that begin so; ``suffix``: that end so.
    :param name: what its events wait under; ``module:function`` by default. All processes of an
        endpoint must know it by the same.
    :raises ValueError: another receiver has the name, or it is not plain ASCII.
    """
    patterns = patterns_of(what)

    def declare(receiver: Receiver) -> Receiver:
        origin = f"{receiver.__module__}:{receiver.__qualname__}"
        mine = name or origin
        there = DURABLE.get(mine)
        if there is not None:
            other = there.receiver
            if f"{other.__module__}:{other.__qualname__}" != origin:
                raise ValueError(f"there is another durable receiver named {mine!r}")
        check_name(mine)
        DURABLE[mine] = Durable(mine, receiver, patterns, bucket, prefix, suffix)
        return receiver

    return declare


def check_name(name: str) -> None:
    """Refuse what cannot name a target.

    :raises ValueError:
    """
    if not (0 < len(name) <= 255 and name.isascii() and name.isprintable()):
        raise ValueError(f"{name!r} must be 1 to 255 printable ASCII characters")
