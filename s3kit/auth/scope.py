"""What a key is narrowed to: read from and written as JSON (IU-01 to IU-11, IU-21).

A scope only narrows. What policies, ACLs and owners give is decided by another Access, and only
where the scope lets a request pass.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from typing import Final

from ..model import Scope
from ..wire.names import MAX_KEY_BYTES
from ..wire.names import is_bucket_name
from .actions import ACTIONS
from .conditions import Network
from .conditions import network_of
from .patterns import Pattern

FIELDS: Final = (
    "paths",
    "actions",
    "read_only",
    "manage_buckets",
    "deletes",
    "expires",
    "networks",
    "byte_budget",
)
"""What a scope's document may say: the names are those of :class:`~s3kit.model.Scope`."""

_ACTION_OF: Final = {action.lower(): action for action in ACTIONS}
_SERVICES: Final = ("s3:", "s3express:")

# Every moment in milliseconds since 1973 is greater, every one in seconds up to 5138 is less.
_FEWEST_MILLISECONDS: Final = 100_000_000_000
_LAST_MILLISECOND: Final = 253_402_300_799_999
_MOST_BYTES: Final = 2**63 - 1


def read_scope(document: Mapping[str, Any]) -> Scope:
    """The scope that a document of JSON (or TOML) describes.

    :param document: ``paths`` such as ``["photos/2026/"]``, ``actions`` such as
        ``["s3:GetObject"]``, ``read_only``, ``manage_buckets`` and ``deletes`` as truths,
        ``expires`` as ISO 8601 (UTC unless it says otherwise) or in milliseconds since the epoch,
        ``networks`` such as ``["203.0.113.0/24"]``, ``byte_budget`` in bytes. All may be left out.
    :raises ValueError: with a text that says what is wrong.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"a scope is a table of names and values, not {_kind(document)}")
    for name in document:
        if name not in FIELDS:
            close = get_close_matches(str(name), FIELDS, 1)
            hint = f' Did you mean "{close[0]}"?' if close else f" There are {', '.join(FIELDS)}."
            raise ValueError(f'a scope has no "{name}".{hint}')
    return Scope(
        paths=_paths(document.get("paths")),
        actions=_actions(document.get("actions")),
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


__all__ = ["FIELDS", "read_path", "read_scope", "write_scope"]
