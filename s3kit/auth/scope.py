"""What a key is narrowed to, as JSON and in every decision (IU-01 to IU-11, IU-21).

A scope only narrows: another Access decides what owners, policies and ACLs give, and is asked only
where the scope lets the request pass.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from typing import Final

from ..model import Decision
from ..model import Question
from ..model import Scope
from ..model import Step
from ..wire.names import MAX_KEY_BYTES
from ..wire.names import is_bucket_name
from .access import OBJECT_ACTIONS as JUDGED_ACTIONS
from .access import Access
from .actions import ACTIONS
from .actions import LISTINGS
from .actions import OBJECT_ACTIONS
from .capabilities import actions_of
from .conditions import Network
from .conditions import address_of
from .conditions import network_of
from .patterns import Pattern

FIELDS: Final = (
    "paths",
    "actions",
    "capabilities",
    "read_only",
    "manage_buckets",
    "deletes",
    "expires",
    "networks",
    "byte_budget",
)
"""What a scope's document may say. ``capabilities`` are Backblaze's words for ``actions``, all
others the fields of :class:`~s3kit.model.Scope`."""

HEAD_BUCKET: Final = "s3:HeadBucket"
"""An action of scopes alone: HeadBucket, which takes ``s3:ListBucket`` everywhere else."""
HEADS: Final = "s3kit:headbucket"
"""The condition key that is there where a question about ``s3:ListBucket`` is of HeadBucket."""

_ACTION_OF: Final = {action.lower(): action for action in (*ACTIONS, HEAD_BUCKET)}
_SERVICES: Final = ("s3:", "s3express:")

# Every moment in milliseconds since 1973 is greater, every one in seconds up to 5138 is less.
_FEWEST_MILLISECONDS: Final = 100_000_000_000
_LAST_MILLISECOND: Final = 253_402_300_799_999
_MOST_BYTES: Final = 2**63 - 1


def read_scope(document: Mapping[str, Any]) -> Scope:
    """The scope that a document of JSON (or TOML) describes.

    :param document: ``paths`` such as ``["photos/2026/"]``; ``actions`` such as
        ``["s3:GetObject"]`` or, instead, ``capabilities`` such as ``["readFiles"]``; the truths
        ``read_only``, ``manage_buckets`` and ``deletes``; ``expires`` in ISO 8601 (UTC unless it
        says otherwise) or in milliseconds since the epoch; ``networks`` such as
        ``["203.0.113.0/24"]``; ``byte_budget`` in bytes. All may be left out.
    :raises ValueError: with a text that says what is wrong.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"a scope is a table of names and values, not {_kind(document)}")
    for name in document:
        if name not in FIELDS:
            close = get_close_matches(str(name), FIELDS, 1)
            hint = f' Did you mean "{close[0]}"?' if close else f" There are {', '.join(FIELDS)}."
            raise ValueError(f'a scope has no "{name}".{hint}')
    paths = _paths(document.get("paths"))
    actions = _actions(document.get("actions"))
    capabilities = document.get("capabilities")
    if capabilities is not None:
        if actions is not None:
            raise ValueError("a scope has either actions or capabilities, not both")
        names = _texts("capabilities", capabilities, "readFiles")
        actions = actions_of(names, bound=bool(paths))
    return Scope(
        paths=paths,
        actions=actions,
        read_only=_truth(document, "read_only", default=False),
        manage_buckets=_truth(document, "manage_buckets", default=True),
        deletes=_truth(document, "deletes", default=True),
        expires=_moment(document.get("expires")),
        networks=_networks(document.get("networks")),
        byte_budget=_budget(document.get("byte_budget")),
    )


def write_scope(scope: Scope) -> dict[str, Any]:
    """The document that :func:`read_scope` makes the same scope of; ``{}`` for one of no limits.

    :raises ValueError: a path's prefix is not UTF-8.
    """
    document: dict[str, Any] = {}
    if scope.paths:
        document["paths"] = [f"{bucket}/{prefix.decode()}" for bucket, prefix in scope.paths]
    if scope.actions is not None:
        document["actions"] = list(scope.actions)
    if scope.read_only:
        document["read_only"] = True
    if not scope.manage_buckets:
        document["manage_buckets"] = False
    if not scope.deletes:
        document["deletes"] = False
    if scope.expires:
        moment = datetime.fromtimestamp(scope.expires // 1000, UTC)
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.{scope.expires % 1000:03d}Z"
        document["expires"] = text.replace(".000Z", "Z")
    if scope.networks:
        document["networks"] = list(scope.networks)
    if scope.byte_budget is not None:
        document["byte_budget"] = scope.byte_budget
    return document


# -- what a document may say


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _texts(name: str, value: Any, example: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f'{name} must be a list of texts such as ["{example}"]')
    return tuple(value)


def _paths(value: Any) -> tuple[tuple[str, bytes], ...]:
    if value is None:
        return ()
    texts = _texts("paths", value, "photos/2026/")
    if not texts:
        raise ValueError("paths must name at least one path; leave it out for no limit")
    return tuple(dict.fromkeys(read_path(text) for text in texts))


def read_path(text: str) -> tuple[str, bytes]:
    """A bucket's name and a prefix of whole segments, of ``bucket`` or ``bucket/prefix``.

    :raises ValueError: it is none.
    """
    bucket, _, rest = text.partition("/")
    if not is_bucket_name(bucket):
        raise ValueError(
            f'the path "{text}" must begin with the name of a bucket: photos or photos/2026/'
        )
    try:
        prefix = rest.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the path {text!a} has characters that UTF-8 has not") from None
    if prefix and not prefix.endswith(b"/"):
        prefix += b"/"
    if len(prefix) > MAX_KEY_BYTES:
        raise ValueError(f"a path's prefix is longer than a key's {MAX_KEY_BYTES} bytes")
    return bucket, prefix


def _actions(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    texts = _texts("actions", value, "s3:GetObject")
    return tuple(dict.fromkeys(_read_action(text) for text in texts))


def _read_action(text: str) -> str:
    if text == "*":
        return text
    known = _ACTION_OF.get(text.lower())
    if known is not None:
        return known
    if text.lower().startswith(_SERVICES) and ("*" in text or "?" in text) and covered((text,)):
        return text
    close = get_close_matches(text, ACTIONS, 1)
    hint = f" Did you mean {close[0]}?" if close else " Actions look like s3:GetObject or s3:Get*."
    raise ValueError(f'there is no action "{text}".{hint}')


@lru_cache(maxsize=256)
def covered(actions: tuple[str, ...]) -> frozenset[str]:
    """All actions there are that are named, their wildcards written out."""
    patterns = [Pattern(text.lower(), variables=False) for text in actions]
    return frozenset(
        action
        for lower, action in _ACTION_OF.items()
        if any(pattern.matches(lower, _nothing) for pattern in patterns)
    )


def _nothing(name: str) -> None:
    return None


def _truth(document: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = document.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {_kind(value)}")
    return value


def _moment(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        if value and not _FEWEST_MILLISECONDS <= value <= _LAST_MILLISECOND:
            raise ValueError(f"expires must be in milliseconds since the epoch, and {value} is not")
        return value
    moment = value if isinstance(value, datetime) else _parsed(value)
    if moment is None:
        raise ValueError(
            "expires must be a time such as 2027-01-31T12:00:00Z, or milliseconds since the epoch"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if milliseconds <= 0:
        raise ValueError("expires must be after 1970, or the key would never expire")
    if milliseconds > _LAST_MILLISECOND:
        raise ValueError("expires must be before the year 10000")
    return milliseconds


def _parsed(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _networks(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    texts = _texts("networks", value, "203.0.113.0/24")
    if not texts:
        raise ValueError("networks must name at least one network; leave it out for no limit")
    return tuple(dict.fromkeys(str(_network(text)) for text in texts))


def _network(text: str) -> Network:
    network = network_of(text)
    if network is None:
        raise ValueError(f'"{text}" is no address or network such as 203.0.113.0/24')
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(f'write the network "{text}" as one of IPv4')
    return network


def _budget(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_BYTES:
        raise ValueError("byte_budget must be a number of bytes")
    return value


# -- what a scope leaves of another


def narrow(scope: Scope | None, other: Scope) -> Scope:
    """A scope that lets pass only what both do."""
    if scope is None:
        return other
    actions = _both_actions(scope.actions, other.actions)
    paths, networks = scope.paths or other.paths, scope.networks or other.networks
    if scope.paths and other.paths:
        paths = _both_paths(scope.paths, other.paths)
    if scope.networks and other.networks:
        networks = _both_networks(scope.networks, other.networks)
    if (scope.paths and not paths) or (scope.networks and not networks):
        # They have no place in common; none at all would stand for every place.
        actions, paths, networks = (), scope.paths, scope.networks
    if paths and actions is not None:
        hidden = [
            each for each in _ALL_BUCKETS if not (_shows(scope, each) and _shows(other, each))
        ]
        actions = tuple(action for action in actions if action not in hidden)
    ends = [each for each in (scope.expires, other.expires) if each]
    budgets = [each for each in (scope.byte_budget, other.byte_budget) if each is not None]
    return Scope(
        paths,
        actions,
        scope.read_only or other.read_only,
        scope.manage_buckets and other.manage_buckets,
        scope.deletes and other.deletes,
        min(ends, default=0),
        networks,
        min(budgets, default=None),
    )


def _both_actions(
    ours: tuple[str, ...] | None, theirs: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if ours is None or theirs is None or ours == theirs:
        return theirs if ours is None else ours
    return tuple(sorted(covered(ours) & covered(theirs)))


def _both_paths(
    ours: tuple[tuple[str, bytes], ...], theirs: tuple[tuple[str, bytes], ...]
) -> tuple[tuple[str, bytes], ...]:
    """Of two that lie one in the other the inner one."""
    return tuple(
        dict.fromkeys(
            (bucket, max(prefix, other, key=len))
            for bucket, prefix in ours
            for name, other in theirs
            if bucket == name and (prefix.startswith(other) or other.startswith(prefix))
        )
    )


def _both_networks(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            str(max(network, other, key=lambda each: each.prefixlen))
            for network in map(_network, ours)
            for other in map(_network, theirs)
            if network.version == other.version and network.overlaps(other)
        )
    )


# -- in every decision

_UNMANAGED: Final = LISTINGS | {
    "s3:GetBucketLocation",
    "s3:CreateSession",
    "s3express:CreateSession",
    HEAD_BUCKET,
}
"""What is asked about a bucket, yet is nothing that is done to the bucket itself."""
_ALL_BUCKETS: Final = frozenset(("s3:ListAllMyBuckets", "s3express:ListAllMyDirectoryBuckets"))
# A rule that expires objects removes them, and so may anybody whom a policy or an ACL lets.
_REMOVING: Final = frozenset(
    (
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:PutBucketAcl",
        "s3:PutBucketPolicy",
        "s3:PutLifecycleConfiguration",
        "s3:ReplicateDelete",
    )
)
_READING: Final = ("Get", "List", "Describe", "Head", "CreateSession")
"""How the names of actions begin that change nothing; a session is as narrow as its key."""


def _refusal(reason: str) -> Decision:
    return Decision(False, reason, final=True, by="scope")


_EXPIRED: Final = _refusal("the key's scope: it has expired")
_ELSEWHERE: Final = _refusal("the key's scope: not from this address")
_OTHER_ACTION: Final = _refusal("the key's scope: not this action")
_READ_ONLY: Final = _refusal("the key's scope: it may only read")
_NO_MANAGING: Final = _refusal("the key's scope: it may not manage buckets")
_NO_REMOVING: Final = _refusal("the key's scope: it may not remove objects")
_OUTSIDE: Final = _refusal("the key's scope: outside its paths")
_UNSEEN: Final = _refusal("the key's scope: it may not list, so not learn what is absent")


def _shows(scope: Scope, action: str) -> bool:
    """Whether it lets a key list all buckets: a key bound to some must be told so by name."""
    if not scope.manage_buckets:
        return False
    if scope.paths:
        return scope.actions is not None and action in scope.actions
    return scope.actions is None or action in covered(scope.actions)


class _Bounds:
    """A scope made ready to be asked."""

    __slots__ = ("_by_action", "_heads", "_networks", "_paths", "_scope", "expires")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.expires = scope.expires / 1000
        self._networks = tuple(map(_network, scope.networks))
        paths: dict[str, tuple[bytes, ...]] = {}
        for bucket, prefix in scope.paths:
            # A key ring of somebody's own may have left the slash out.
            whole = prefix + b"/" if prefix and not prefix.endswith(b"/") else prefix
            paths[bucket] = (*paths.get(bucket, ()), whole)
        self._paths = paths
        self._by_action: dict[str, Decision | None] = {}
        self._heads = scope.actions is not None and HEAD_BUCKET in scope.actions

    def refusal(self, question: Question) -> Decision | None:
        """Why not, None where nothing stands against it."""
        action = question.action
        if self._heads and action == "s3:ListBucket" and question.conditions.get(HEADS):
            action = HEAD_BUCKET
        return (
            self.refused_action(action)
            or self._refused_place(question, action)
            or self.refused_address(question)
        )

    def refused_action(self, action: str) -> Decision | None:
        """Why the key may do this nowhere."""
        if action not in self._by_action:
            # Actions are s3kit's own words, of which there are few.
            self._by_action[action] = self._judge(action)
        return self._by_action[action]

    def _judge(self, action: str) -> Decision | None:
        scope = self._scope
        if scope.actions is not None and not _names(scope.actions, action):
            return _OTHER_ACTION
        if scope.read_only and not action.partition(":")[2].startswith(_READING):
            return _READ_ONLY
        managing = action not in OBJECT_ACTIONS and action not in _UNMANAGED
        if managing and not scope.manage_buckets:
            return _NO_MANAGING
        if action in _ALL_BUCKETS and not _shows(scope, action):
            return _OUTSIDE
        return _NO_REMOVING if action in _REMOVING and not scope.deletes else None

    def _refused_place(self, question: Question, action: str) -> Decision | None:
        if not self._paths or action in _ALL_BUCKETS:
            return None
        bucket = question.bucket
        prefixes = self._paths.get(question.bucket_name if bucket is None else bucket.name)
        if prefixes is None:
            return _OUTSIDE
        key = question.key
        if key is None:
            if b"" in prefixes or (action in _UNMANAGED and action not in LISTINGS):
                return None
            asked = question.conditions.get("s3:prefix") if action in LISTINGS else None
            if not isinstance(asked, str):
                return _OUTSIDE
            key = asked.encode("utf-8", "surrogateescape")
        return None if key.startswith(prefixes) else _OUTSIDE

    def refused_address(self, question: Question) -> Decision | None:
        """Why it may not come from there."""
        if not self._networks:
            return None
        text = question.conditions.get("aws:sourceip")
        address = address_of(text) if isinstance(text, str) else None
        if address is not None and any(address in network for network in self._networks):
            return None
        return _ELSEWHERE


def _names(actions: tuple[str, ...], action: str) -> bool:
    lower = action.lower()
    return any(Pattern(text.lower()).matches(lower, _nothing) is True for text in actions)


_bounds_of: Final = lru_cache(maxsize=1024)(_Bounds)


class ScopedAccess:
    """Another Access, asked only for what the caller's scope lets pass.

    :param clock: seconds since the epoch.
    """

    __slots__ = ("_clock", "_decide")

    def __init__(self, access: Access, *, clock: Callable[[], float] = time.time) -> None:
        self._decide = access.decide
        self._clock = clock

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        scope = question.caller.scope
        if scope is None:
            return self._decide(question)
        bounds = _bounds_of(scope)
        if bounds.expires and self._clock() >= bounds.expires:
            return _EXPIRED
        refusal = bounds.refusal(question)
        if refusal is not None:
            return refusal
        if question.trace is not None:
            text = f"the key's scope lets it pass: {write_scope(scope)}"
            question.trace.append(Step("scope", "", text))
        decision = self._decide(question)
        if (
            decision.allowed
            and not decision.provisional
            and question.load is not None
            and question.action in JUDGED_ACTIONS
            and bounds.refused_action("s3:ListBucket") is not None
        ):
            # As without a scope: only who may list learns that a key is not there.
            version = question.load()
            if version is None or version.delete_marker:
                return _UNSEEN
        return decision


def refusal_of_anything(question: Question, now: float) -> Decision | None:
    """Why the caller's key may do nothing at all now or from there, None where it may.

    For what is no action of S3, of which a scope's other parts know nothing.

    :param now: seconds since the epoch.
    """
    scope = question.caller.scope
    if scope is None:
        return None
    bounds = _bounds_of(scope)
    if bounds.expires and now >= bounds.expires:
        return _EXPIRED
    return bounds.refused_address(question)


__all__ = [
    "FIELDS",
    "ScopedAccess",
    "covered",
    "narrow",
    "read_path",
    "read_scope",
    "refusal_of_anything",
    "write_scope",
]
