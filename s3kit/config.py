"""All that an S3App is told, as one frozen value: from code, a file or the environment."""

from __future__ import annotations

import difflib
import importlib
import ipaddress
import json
import os
import re
import tomllib
import types
import typing
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from pathlib import Path
from typing import Any
from typing import Literal
from urllib.parse import urlsplit

from .auth.identity_provider import ALGORITHMS
from .auth.identity_provider import is_safe_url
from .auth.scope import read_scope
from .blobs.registry import FIELDS as STORAGE_FIELDS
from .blobs.registry import location
from .blobs.registry import urls
from .model import Account
from .model import Key
from .profile import PROFILES
from .store.master_keys import UnusableKey
from .store.master_keys import read_key
from .wire.names import STORAGE_CLASSES

DEFAULT_ACCOUNT = "default"
"""The account that ``keys`` act for."""

MOST_INLINE = 2**20
"""Bytes that may lie in an index row: a request holds them whole, and MariaDB takes no 16 MiB."""

LONGEST_PREFIX = 8
"""Characters of an access key that need not be random."""

LEAST_GRACE = 60
"""Seconds; an answer that has begun must find the bytes that it began with."""

LEAST_ORPHAN = 3600
"""Seconds; a blob is known to no row until its upload is complete."""

SERVE_NAMES = frozenset(
    {
        "access_key",
        "access_log",
        "audit_log",
        "certfile",
        "config",
        "data",
        "host",
        "keyfile",
        "metrics",
        "metrics_from",
        "metrics_token",
        "port",
        "request_id_header",
        "secret_key",
        "server",
        "threads",
        "tracing",
        "workers",
    }
)
"""What ``s3kit serve`` reads beside the fields of Config: S3KIT_* and the file's [serve] table."""

Ownership = Literal["", "none", "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]
StorageSpec = str | Mapping[str, Any]


class ConfigError(Exception):
    """The configuration cannot work. The message says which setting, and what to do about it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the known word that ``name`` is probably meant to be, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return "Known: " + ", ".join(names) + "."


def _memory() -> Mapping[str, StorageSpec]:
    return {"default": "memory://"}


@dataclass(frozen=True)
class Config:
    """The settings of one S3 endpoint; every one has a working default.

    Secrets (keys, accounts, URLs that may hold a password) never show in ``repr``.

    :param storages: where bytes lie: a name to a folder, an fsspec URL such as
        ``s3://bucket/prefix``, or ``{"url", "options"}``, ``{"use": "module:Class", "options"}``
        or ``{"mirror": [storage, storage], "quorum"}``, each with ``prefix``, ``throttle`` and
        ``read_only`` if wanted; see :func:`s3kit.blobs.registry.open_store`. ``default`` must be
        among them.
    :param index: where facts lie: an SQLAlchemy URL, or ``memory://``.
    :param keys: access key to secret key, for the account ``default``.
    :param accounts: ``{"id", "name", "email", "keys": [{"access_key", "secret_key"}]}`` each. A
        ``number`` of 12 digits, and a ``user`` with a key, are what ARNs in policies call them;
        ``plan`` is one of ``plans``.
    :param plans: what accounts may have, by the plan's name: ``{"free": {"keys": 5, "buckets": 10,
        "bytes": 1073741824, "s3": true}}``; ``any`` is any number, what is left out is the
        profile's, and without ``s3`` there may be no keys.
    :param key_prefix: what new access keys begin with, "" for the profile's.
    :param region: the label shown to clients; any region in a signature is taken unless
        ``pin_region``.
    :param base_hosts: hosts under which ``bucket.host`` names a bucket.
    :param website_hosts: hosts on which buckets are websites: ``*.web.example.com``, where the
        bucket's name stands for the star, or a bucket's name that is a host, ``www.example.com``.
    :param trusted_proxies: addresses or networks whose X-Forwarded-* headers count.
    :param public_prefix: what a proxy in front takes off the path, e.g. ``/s3``.
    :param public_endpoint: the URL under which clients reach this endpoint, a mount's path
        included, e.g. ``https://files.example.com/s3``: presigned URLs and forms point there.
    :param place: bucket name pattern (``backups-*``) to storage name; the first match wins.
    :param profile: the vendor whose ways the endpoint has: ``aws``, ``backblaze``, ``filebase``,
        ``cloudstorage`` or ``infinite-uploads``; see docs/profiles.md.
    :param object_ownership: of buckets that are made without one; "" for what the profile has:
        ``BucketOwnerEnforced`` under ``aws``, with which ACLs are off. With ``none`` new buckets
        have no such setting: ACLs count, as in AWS's buckets from before April 2023.
    :param block_public_access: whether new buckets have the four switches against public access
        on; None for what the profile has: on under ``aws``.
    :param bucket_names: ``global``: no two buckets of the endpoint have one name; ``account``: no
        two of one account (CS-23); "" for what the profile has: ``global`` under ``aws``. From
        ``account`` there is no way back once there are buckets.
    :param account_hosts: host name to account id. There, and below it, a request that nobody has
        signed, or whose signer has no such bucket, means the bucket of that account, where names
        are per account. What is below one of ``base_hosts`` names a bucket, unless it is one too.
    :param https: what becomes of a request over plain HTTP, "" for what the profile has (``off``
        under ``aws``): ``off`` serves it, ``redirect`` sends
        the client to https on port 443 (FB-04), ``reject`` refuses it (BB-01). Behind a proxy that
        ends TLS, name it in ``trusted_proxies``.
    :param durability: ``full``: every acknowledged write survives a power cut, on storages that
        can (folders and object stores). ``relaxed``: a power cut may take back the last moments,
        as if they had not been asked for, but leaves no object broken: bytes in a folder are
        still synced, the index's commits are not waited for. A killed process loses nothing.
    :param inline_threshold: bytes; objects up to this size lie in the index row; 1 MiB at most.
    :param grace_seconds: how long an unreferenced blob stays, so that slow readers end whole;
        at least 60.
    :param orphan_seconds: how old an unknown blob must be before the sweep removes it; at least
        3600, and more than an upload takes.
    :param master_key_file: a file with the host's master keys, one a line, 32 bytes in base64 each:
        they wrap the keys of encrypted objects. The first wraps, all unwrap; it may change while
        requests run. ``s3kit serve`` makes one in its data folder.
    :param master_keys: the same keys in place of a file, or after those of the file.
    :param kms_keys: name to key (32 bytes in base64) for aws:kms; ``aws/s3`` is that of those who
        name none. An account may have its own list of these.
    :param default_encryption: ``none``, or ``AES256`` to encrypt also what neither a request nor a
        bucket's default asks to encrypt, as Amazon S3 does.
    :param customer_keys: where a client may send its own key (SSE-C): ``https``, ``loopback``
        (https, or from this machine) or ``any``.
    :param explain: answer the bucket owner's account itself, where it sends
        ``x-s3kit-explain: true``, with ``x-s3kit-decision``: which rule decided.
    :param max_object_size: bytes, or None for the profile's limit.
    :param bucket_log_seconds: how long the lines of a bucket's server access log are gathered
        before they are stored in its target bucket; at least 1.
    :param replication_targets: buckets at other S3 endpoints that replication rules may name:
        the ARN in the rule (``arn:aws:s3:::offsite``) to ``{"endpoint", "bucket", "access_key",
        "secret_key"}`` and, if wanted, ``region`` and ``session_token``; ``encryption`` is
        ``source`` (encrypted there as here, or refused) or ``destination`` (its own matter).
    :param plugins: modules imported at start, e.g. to connect signal receivers.
    :param outbox: who may miss no event of any bucket: ``module:function``, called as a signal's
        receiver is, or the name of a blinker signal.
    :param notifications: what the ARNs of buckets' notification configurations stand for:
        ``module:function``, a function, or the name of a blinker signal; ``eventbridge`` names
        what stands for Amazon EventBridge.
    :param authorize: the host's own word beside the policies, ``module:function``: called with an
        :class:`~s3kit.auth.hook.AuthorizationRequest` for each decision.
    :param relay: deliver events in a thread of each process that stores objects; without it only
        ``s3kit worker`` does.
    :param delivery_attempts: after so many an event is given up; with the pauses between them,
        16 are some five hours.
    :param storage_classes: storage class (``GLACIER``) to the name of the storage where its bytes
        lie; objects of other classes lie where ``place`` says.
    :param run_lifecycle: run the buckets' lifecycle rules, and delete what accounts have whose day
        has come, in the background of this process; False
        leaves it to ``s3kit janitor``.
    :param lifecycle_day_seconds: what lifecycle and restores take for a day; fewer are for tests.
    :param smallest_transition: bytes; lifecycle leaves smaller objects in their storage class, as
        AWS does, unless a rule asks for sizes.
    :param identity_providers: OpenID Connect providers whose tokens AssumeRoleWithWebIdentity
        takes: the issuer (``https://login.example.com``) to ``{"audiences"}`` and, if wanted,
        ``jwks_url`` (by default the issuer's discovery document tells) and ``algorithms`` (RS256
        and ES256 by default). Needs ``s3kit[oidc]`` and a master key.
    :param pool_size: database connections per process at most.
    """

    storages: Mapping[str, StorageSpec] = field(default_factory=_memory, repr=False)
    index: str = field(default="memory://", repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    accounts: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    key_prefix: str = ""
    region: str = "us-east-1"
    pin_region: bool = False
    base_hosts: tuple[str, ...] = ()
    website_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    public_prefix: str = ""
    public_endpoint: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    profile: str = "aws"
    object_ownership: Ownership = ""
    block_public_access: bool | None = None
    bucket_names: Literal["", "global", "account"] = ""
    account_hosts: Mapping[str, str] = field(default_factory=dict)
    https: Literal["", "off", "redirect", "reject"] = ""
    durability: Literal["full", "relaxed"] = "full"
    inline_threshold: int = 65536
    grace_seconds: int = 3600
    orphan_seconds: int = 86400
    master_key_file: str = ""
    master_keys: tuple[str, ...] = field(default=(), repr=False)
    kms_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_encryption: Literal["none", "AES256"] = "none"
    customer_keys: Literal["https", "loopback", "any"] = "loopback"
    explain: bool = False
    max_object_size: int | None = None
    bucket_log_seconds: int = 60
    replication_targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    plugins: tuple[str, ...] = ()
    outbox: tuple[str, ...] = ()
    notifications: Mapping[str, Any] = field(default_factory=dict)
    authorize: str = ""
    relay: bool = True
    delivery_attempts: int = 16
    storage_classes: Mapping[str, str] = field(default_factory=dict)
    run_lifecycle: bool = True
    lifecycle_day_seconds: int = 86400
    smallest_transition: int = 131072
    identity_providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pool_size: int = 32

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), kind))
        _check_storages(self.storages)
        _check_accounts(self.accounts, self.keys)
        self._check_plans()
        _check_replication_targets(self.replication_targets)
        _check_identity_providers(self.identity_providers)
        self._check_words()
        self._check_targets()
        _check_keys("master_keys", enumerate(self.master_keys, 1))
        _check_keys("kms_keys", self.named_keys())
        if self.inline_threshold < 0:
            raise ConfigError("inline_threshold must not be negative.")
        if self.grace_seconds < LEAST_GRACE:
            raise ConfigError(
                f"grace_seconds must be at least {LEAST_GRACE}: whoever reads an object while it "
                "is overwritten needs its bytes. For one run there is `s3kit gc --grace`."
            )
        if self.orphan_seconds < LEAST_ORPHAN:
            raise ConfigError(
                f"orphan_seconds must be at least {LEAST_ORPHAN}: younger blobs may be uploads in "
                "progress."
            )
        if self.inline_threshold > MOST_INLINE:
            raise ConfigError(f"inline_threshold must not be above {MOST_INLINE} bytes (1 MiB).")
        if self.max_object_size is not None and self.max_object_size < 1:
            raise ConfigError("max_object_size must be at least 1 byte; leave it out for no limit.")
        if self.delivery_attempts < 1:
            raise ConfigError("delivery_attempts must be at least 1.")
        if self.lifecycle_day_seconds < 1:
            raise ConfigError("lifecycle_day_seconds must be at least 1; a real day has 86400.")
        if self.smallest_transition < 0:
            raise ConfigError("smallest_transition must not be negative.")
        if self.bucket_log_seconds < 1:
            raise ConfigError("bucket_log_seconds must be at least 1.")
        if self.pool_size < 1:
            raise ConfigError("pool_size must be at least 1.")

    def _check_plans(self) -> None:
        _check_plans(self.plans)
        for entry in self.accounts:
            plan = entry.get("plan", "")
            if plan and not (isinstance(plan, str) and plan in self.plans):
                raise ConfigError(
                    f'accounts: "{entry["id"]}" has the plan "{plan}". '
                    + (nearest(str(plan), self.plans) if self.plans else "There are no plans.")
                )
        if not _KEY_PREFIX.fullmatch(self.key_prefix):
            raise ConfigError(
                f'key_prefix "{self.key_prefix}" must be up to {LONGEST_PREFIX} capital letters '
                "and digits, such as CS."
            )
        if self.key_prefix == "ASIA":
            raise ConfigError("key_prefix must not be ASIA: temporary keys begin so.")

    def _check_targets(self) -> None:
        for name in self.outbox:
            _check_target("outbox", name)
        if self.authorize:
            check_function("authorize", self.authorize)
        for arn, target in self.notifications.items():
            where = f'notifications["{arn}"]'
            if arn != "eventbridge" and not _ARN.fullmatch(arn):
                raise ConfigError(
                    f"{where}: the name must be an ARN such as "
                    'arn:aws:sqs:us-east-1:000000000000:photos, or "eventbridge".'
                )
            if not callable(target):
                _check_target(where, target)

    def _check_words(self) -> None:
        for name, words in _CHOICES.items():
            value = getattr(self, name)
            if value not in words:
                raise ConfigError(f'{name} is "{value}". {nearest(value, words)}')
        if self.profile not in PROFILES:
            raise ConfigError(f'No profile "{self.profile}". {nearest(self.profile, PROFILES)}')
        for pattern, storage in self.place.items():
            if storage not in self.storages:
                raise ConfigError(
                    f'place["{pattern}"] names the storage "{storage}", which is not in storages. '
                    + nearest(storage, self.storages)
                )
            if _is_read_only(self.storages[storage]):
                raise ConfigError(
                    f'place["{pattern}"] names the storage "{storage}", which is read_only, so '
                    "nothing could be stored in those buckets."
                )
        self._check_storage_classes()
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ConfigError(
                    f'trusted_proxies: "{network}" is no address or network such as 10.0.0.0/8.'
                ) from None
        for host in self.base_hosts:
            if "/" in host or not host.strip("."):
                raise ConfigError(f'base_hosts: "{host}" is no host name such as s3.example.com.')
        self._check_website_hosts()
        self._check_account_hosts()
        if self.public_prefix and not self.public_prefix.startswith("/"):
            raise ConfigError(f'public_prefix "{self.public_prefix}" must start with "/".')
        if self.public_endpoint:
            check_endpoint("public_endpoint", self.public_endpoint)

    def _check_website_hosts(self) -> None:
        bases = {host.lower().removesuffix(".") for host in self.base_hosts}
        for host in self.website_hosts:
            name = host.removeprefix("*.")
            if not name.strip(".") or any(letter in name for letter in "/*: "):
                raise ConfigError(
                    f'website_hosts: "{host}" is neither *.web.example.com nor a host name such as '
                    "www.example.com."
                )
            if name.lower().removesuffix(".") in bases:
                raise ConfigError(
                    f'website_hosts: "{host}" is in base_hosts too, where it is for S3\'s clients. '
                    "Give websites a host name of their own."
                )

    def _check_account_hosts(self) -> None:
        for host, account in self.account_hosts.items():
            if not isinstance(host, str) or not host.strip(".") or any(c in host for c in "/*: "):
                raise ConfigError(
                    f'account_hosts: "{host}" is no host name such as acme.example.com.'
                )
            if not isinstance(account, str) or not account:
                raise ConfigError(f'account_hosts["{host}"] must be the id of an account.')

    def _check_storage_classes(self) -> None:
        for storage_class, storage in self.storage_classes.items():
            if storage_class not in STORAGE_CLASSES:
                raise ConfigError(
                    f'storage_classes: S3 has no class "{storage_class}". '
                    + nearest(storage_class, STORAGE_CLASSES)
                )
            if storage not in self.storages:
                raise ConfigError(
                    f'storage_classes["{storage_class}"] names the storage "{storage}", which is '
                    f"not in storages. {nearest(storage, self.storages)}"
                )
            if _is_read_only(self.storages[storage]):
                raise ConfigError(
                    f'storage_classes["{storage_class}"] names the storage "{storage}", which is '
                    "read_only, so nothing could go there."
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Config:
        """A Config from plain data, e.g. ``settings["S3KIT"]`` of a host app.

        :raises ConfigError: an unknown name (with its nearest match), a wrong type or value.
        """
        for name in values:
            if name not in _KINDS:
                raise ConfigError(f'Unknown setting "{name}". {nearest(name, _KINDS)}')
        return cls(**values)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Config:
        """A Config from a TOML file; its ``[serve]`` table is left to ``s3kit serve``.

        :raises ConfigError: the file is missing or no TOML, or as :meth:`from_mapping`.
        """
        values = read_toml(path)
        values.pop("serve", None)
        try:
            return cls.from_mapping(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """A Config from ``S3KIT_*`` variables; see :func:`environment_values`.

        :raises ConfigError: an unknown S3KIT_* name, or as :meth:`from_mapping`.
        """
        values = environment_values(os.environ if environ is None else environ)
        access_key, secret_key = values.get("access_key"), values.get("secret_key")
        if (access_key is None) != (secret_key is None):
            raise ConfigError("Give both S3KIT_ACCESS_KEY and S3KIT_SECRET_KEY, or neither.")
        if access_key is not None:
            values["keys"] = {**values.get("keys", {}), access_key: secret_key}
        return cls.from_mapping(
            {name: value for name, value in values.items() if name not in SERVE_NAMES}
        )

    def signing_keys(self) -> tuple[Key, ...]:
        """Every configured key with its account, ``keys`` (account ``default``) first."""
        known = self.known_accounts()
        default = known[DEFAULT_ACCOUNT]
        found: list[Key] = []
        for entry in self.accounts:
            account = known[entry["id"]]
            found.extend(
                Key(
                    key["access_key"],
                    key["secret_key"],
                    account,
                    key.get("session_token"),
                    user=key.get("user", ""),
                    scope=read_scope(key["scope"]) if "scope" in key else None,
                )
                for key in entry.get("keys", ())
            )
        return (*(Key(access, secret, default) for access, secret in self.keys.items()), *found)

    def known_accounts(self) -> dict[str, Account]:
        """Every configured account by its id, ``default`` among them."""
        found = {DEFAULT_ACCOUNT: Account(DEFAULT_ACCOUNT, DEFAULT_ACCOUNT)}
        for entry in self.accounts:
            found[entry["id"]] = Account(
                entry["id"],
                entry.get("name", entry["id"]),
                entry.get("email", ""),
                entry.get("number", ""),
                entry.get("plan", ""),
            )
        return found

    def named_keys(self) -> tuple[tuple[str, str], ...]:
        """Every key for aws:kms by its name, those of the accounts included."""
        own = (pair for entry in self.accounts for pair in entry.get("kms_keys", {}).items())
        return (*self.kms_keys.items(), *own)

    @property
    def hosts_of_buckets(self) -> tuple[str, ...]:
        """The hosts below which a name is a bucket, to S3's clients or as a website."""
        sites = (host.removeprefix("*.") for host in self.website_hosts if host.startswith("*."))
        return (*self.base_hosts, *sites)

    @property
    def in_memory(self) -> bool:
        """Some blobs or the index live in one process's memory, so it must be the only one."""
        return is_memory(self.index) or any(
            is_memory(url) for spec in self.storages.values() for url in urls(spec)
        )


def check_endpoint(name: str, url: str) -> None:
    """Refuse what can be no endpoint's URL.

    :param name: the setting or argument that the message names.
    :raises ConfigError:
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username is not None or not url.isascii():
        raise ConfigError(
            f'{name} "{url}" must be a URL such as https://files.example.com/s3, in ASCII, without '
            "a user, query or fragment."
        )


def is_memory(url: str) -> bool:
    """Whether an index's or a storage's URL means one process's memory."""
    return url.startswith("memory:") or url in ("sqlite://", "sqlite:///:memory:")


_KINDS: dict[str, Any] = typing.get_type_hints(Config)
_KINDS = {each.name: _KINDS[each.name] for each in fields(Config)}
_CHOICES: dict[str, tuple[str, ...]] = {
    name: typing.get_args(kind)
    for name, kind in _KINDS.items()
    if typing.get_origin(kind) is Literal
}
_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    tuple: "a list of texts",
    Mapping: "a table",
    Sequence: "a list of tables",
}


def _checked(name: str, value: Any, kind: Any) -> Any:
    """``value`` if it has the annotated type; lists become tuples."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
        origin = typing.get_origin(kind)
    if origin is Literal:
        kind, origin = str, None
    wanted = origin or kind
    if wanted is tuple:
        good = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        value = tuple(value) if good else value
    elif wanted is Sequence:
        good = isinstance(value, list | tuple)
        value = tuple(value) if good else value
    elif wanted is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    else:
        good = isinstance(value, wanted)
    if not good:
        raise ConfigError(f"{name} must be {_WORDS[wanted]}, not {type(value).__name__}.")
    return value


def _check_names(where: str, entry: Any, known: tuple[str, ...]) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} must be a table, not {type(entry).__name__}.")
    for name in entry:
        if name not in known:
            raise ConfigError(f'{where}: unknown setting "{name}". {nearest(str(name), known)}')


def _check_storages(storages: Mapping[str, Any]) -> None:
    if "default" not in storages:
        raise ConfigError('storages must name one "default": buckets go there unless placed.')
    places: dict[tuple[str, str], str] = {}
    for name, spec in storages.items():
        if isinstance(spec, str | Mapping):
            place = location(spec)
            if place is not None and places.setdefault(place, name) != name:
                raise ConfigError(
                    f'The storages "{places[place]}" and "{name}" are the same place. '
                    "Leave one of them out."
                )
        _check_storage(f'storages["{name}"]', spec)
    if _is_read_only(storages["default"]):
        raise ConfigError(
            'storages["default"] must not be read_only: what is stored goes there unless placed.'
        )


def _check_storage(where: str, spec: Any) -> None:
    """Refuse what is misspelt; the values are looked at when the storage is opened."""
    if isinstance(spec, str):
        return
    _check_names(where, spec, STORAGE_FIELDS)
    if sum(kind in spec for kind in ("url", "use", "mirror")) != 1:
        raise ConfigError(f'{where} needs either "url" or "use" ("module:Class") or "mirror".')
    read_only = spec.get("read_only", False)
    if not isinstance(read_only, bool):
        kind = type(read_only).__name__
        raise ConfigError(f"{where}: read_only must be true or false, not {kind}.")
    members = spec.get("mirror", ())
    if not isinstance(members, list | tuple):
        raise ConfigError(f"{where}: mirror must be a list of storages.")
    for number, member in enumerate(members, 1):
        _check_storage(f"{where}, member {number}", member)


_ARN = re.compile(r"arn:[!-~]{1,250}")
_TARGET = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?", re.ASCII)


def _check_target(where: str, target: Any) -> None:
    if not isinstance(target, str) or len(target) > 255 or not _TARGET.fullmatch(target):
        raise ConfigError(
            f'{where}: {target!r} is neither "module:function" nor the name of a signal.'
        )


def check_function(where: str, name: str) -> None:
    """Refuse what is not written as a function in a module.

    :raises ConfigError:
    """
    if not _TARGET.fullmatch(name) or ":" not in name:
        raise ConfigError(f'{where}: {name!r} must be written "module:function".')


def load_function(where: str, name: str) -> Callable[..., Any]:
    """The function that a setting names.

    :raises ConfigError: there is none.
    """
    check_function(where, name)
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}: {name} cannot be imported ({error}).") from error
    if not callable(found):
        raise ConfigError(f"{where}: {name} is a {type(found).__name__}, not a function.")
    function: Callable[..., Any] = found
    return function


_TARGET_NEEDS = ("endpoint", "bucket", "access_key", "secret_key")
_TARGET_TAKES = ("region", "session_token", "encryption")


def _check_replication_targets(targets: Mapping[str, Any]) -> None:
    for arn, spec in targets.items():
        where = f'replication_targets["{arn}"]'
        if not re.fullmatch(r"arn:aws[a-z-]{0,16}:s3:::[A-Za-z0-9._-]{3,200}", arn):
            raise ConfigError(f"{where} must be named by an ARN such as arn:aws:s3:::offsite.")
        _check_names(where, spec, (*_TARGET_NEEDS, *_TARGET_TAKES))
        for name in _TARGET_NEEDS:
            if not spec.get(name) or not isinstance(spec[name], str):
                raise ConfigError(f"{where} needs {name}, a text.")
        check_endpoint(f"{where}: endpoint", spec["endpoint"])
        if spec.get("encryption", "source") not in ("source", "destination"):
            raise ConfigError(f"{where}: encryption must be source or destination.")


def _check_identity_providers(providers: Mapping[str, Any]) -> None:
    for issuer, spec in providers.items():
        where = f'identity_providers["{issuer}"]'
        if not is_safe_url(issuer) or "?" in issuer:
            raise ConfigError(
                f"{where} must be named by the issuer's https URL, as its tokens spell it."
            )
        _check_names(where, spec, ("audiences", "jwks_url", "algorithms"))
        for name in ("audiences", "algorithms"):
            texts = spec.get(name, ())
            if not isinstance(texts, list | tuple) or not all(
                isinstance(each, str) and each for each in texts
            ):
                raise ConfigError(f"{where}: {name} must be a list of texts.")
        if not spec.get("audiences"):
            raise ConfigError(
                f"{where} needs audiences: the applications whose tokens count. A provider signs "
                "tokens for everybody's."
            )
        for algorithm in spec.get("algorithms", ()):
            if algorithm not in ALGORITHMS:
                raise ConfigError(
                    f'{where}: "{algorithm}" cannot be used. {nearest(algorithm, ALGORITHMS)}'
                )
        if "algorithms" in spec and not spec["algorithms"]:
            raise ConfigError(f"{where}: algorithms must not be empty; leave it out.")
        if "jwks_url" in spec and not is_safe_url(spec["jwks_url"]):
            raise ConfigError(f"{where}: jwks_url must be an https URL.")


def _is_read_only(spec: StorageSpec) -> bool:
    return not isinstance(spec, str) and bool(spec.get("read_only"))


# Source: IAM User Guide, "IAM and AWS STS quotas": names, and paths before them.
_USER = re.compile(r"([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}")


KEY_FIELDS = ("access_key", "secret_key", "session_token", "user", "scope")


def _check_accounts(accounts: Sequence[Any], keys: Mapping[str, Any]) -> None:
    for secret in keys.values():
        if not isinstance(secret, str) or not secret:
            raise ConfigError("keys must map each access key to its secret key, both texts.")
    ids: set[str] = set()
    seen = set(keys)
    for number, entry in enumerate(accounts, 1):
        where = f"accounts, entry {number}"
        _check_names(where, entry, ("id", "name", "email", "number", "plan", "keys", "kms_keys"))
        if not isinstance(entry.get("kms_keys", {}), Mapping):
            raise ConfigError(f"{where}: kms_keys must be a table of names and keys.")
        account_id = entry.get("id")
        if not isinstance(account_id, str) or not account_id:
            raise ConfigError(f'{where} needs an "id".')
        if account_id in ids:
            raise ConfigError(f'{where}: the id "{account_id}" is there twice.')
        ids.add(account_id)
        number_text = entry.get("number", "")
        if number_text:
            if not (isinstance(number_text, str) and re.fullmatch("[0-9]{12}", number_text)):
                raise ConfigError(f"{where}: number must be a text of 12 digits, as in an ARN.")
            if number_text in ids and number_text != account_id:
                raise ConfigError(f'{where}: the number "{number_text}" is there twice.')
            ids.add(number_text)
        for key in entry.get("keys", ()):
            _check_names(f"{where}, keys", key, KEY_FIELDS)
            user = key.get("user", "")
            if not isinstance(user, str) or (user and not _USER.fullmatch(user)):
                raise ConfigError(f'{where}: "{user}" can be no user in an ARN, such as alice.')
            access = key.get("access_key")
            if not access or not key.get("secret_key"):
                raise ConfigError(f"{where}: each key needs an access_key and a secret_key.")
            if access in seen:
                raise ConfigError(f'{where}: the access key "{access}" is there twice.')
            seen.add(access)
            if "scope" in key:
                _check_scope(f"{where}, {access}, scope", key["scope"])


def _check_scope(where: str, document: Any) -> None:
    try:
        scope = read_scope(document)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None
    if scope.byte_budget is not None:
        raise ConfigError(
            f"{where}: byte_budget is counted for keys in the database only; see s3kit keys create."
        )


_KEY_PREFIX = re.compile(f"[A-Z0-9]{{0,{LONGEST_PREFIX}}}")
_PLAN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _check_plans(plans: Mapping[str, Any]) -> None:
    for name, plan in plans.items():
        where = f'plans["{name}"]'
        if not isinstance(name, str) or not _PLAN.fullmatch(name):
            raise ConfigError(f"{where}: a plan's name has up to 64 letters, digits, _, . and -.")
        _check_names(where, plan, ("keys", "buckets", "bytes", "s3"))
        if not isinstance(plan.get("s3", True), bool):
            raise ConfigError(f"{where}: s3 must be true or false.")
        for limit in ("keys", "buckets", "bytes"):
            value = plan.get(limit)
            if value is None or value == "any":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
                raise ConfigError(f'{where}: {limit} must be a number, or "any".')


def _check_keys(setting: str, keys: Iterable[tuple[object, Any]]) -> None:
    """Refuse what is no 256-bit key. No message ever shows it."""
    seen: dict[object, Any] = {}
    for name, text in keys:
        if seen.setdefault(name, text) != text:
            raise ConfigError(f'{setting}: the name "{name}" is there twice, with two keys.')
        try:
            read_key(text if isinstance(text, str) else "")
        except UnusableKey as error:
            raise ConfigError(f'{setting}, "{name}": a key {error}') from None


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a TOML file.

    :raises ConfigError: no such file, not readable, or no TOML (with the line).
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"No file {path}.") from None
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def read_accounts(path: str | os.PathLike[str]) -> tuple[Mapping[str, Any], ...]:
    """The ``[[account]]`` tables of an accounts file, ready for ``Config.accounts``.

    :raises ConfigError: as :func:`read_toml`, or the file holds anything but ``[[account]]``.
    """
    values = read_toml(path)
    for name in values:
        if name != "account":
            raise ConfigError(f'{path}: unknown table "{name}". {nearest(name, ("account",))}')
    entries = values.get("account", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: write each account as [[account]], with two brackets.")
    try:
        _check_accounts(entries, {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return tuple(entries)


def environment_values(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that ``S3KIT_*`` variables give, by field name (and by ``SERVE_NAMES``).

    Lists are separated by commas, tables are JSON: ``S3KIT_STORAGES='{"default": "/srv/s3"}'``.
    ``S3KIT_ACCOUNTS`` is an accounts file, or JSON.
    ``S3KIT_TEST_*`` belongs to the test suite and is passed over, and so is what Kubernetes adds
    for a Service named ``s3kit`` (``S3KIT_SERVICE_HOST``, ``S3KIT_PORT=tcp://...``).

    :raises ConfigError: an unknown name, or a value that cannot be read.
    """
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith("S3KIT_") or variable.startswith("S3KIT_TEST_"):
            continue
        if _is_of_kubernetes(variable, text):
            continue
        name = variable.removeprefix("S3KIT_").lower()
        if name in SERVE_NAMES:
            values[name] = text
        elif name == "accounts" and not text.lstrip().startswith("["):
            values[name] = read_accounts(text)
        elif name in _KINDS:
            values[name] = _from_text(variable, text, _KINDS[name])
        else:
            close = nearest(name, {*_KINDS, *SERVE_NAMES})
            raise ConfigError(f"Unknown variable {variable}. {close}")
    return values


# S3KIT_FILES_... are of a Service named s3kit-files.
_OF_KUBERNETES = re.compile(
    r"S3KIT_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def _is_of_kubernetes(variable: str, text: str) -> bool:
    if _OF_KUBERNETES.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and text.startswith(("tcp://", "udp://", "sctp://"))


def _from_text(variable: str, text: str, kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is str or origin is Literal:
        return text
    if kind is bool or bool in typing.get_args(kind):
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off", ""):
            return False
        raise ConfigError(f'{variable} must be true or false, not "{text}".')
    if kind is int or origin in (types.UnionType, typing.Union):
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f'{variable} must be a whole number, not "{text}".') from None
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError(f"{variable} must be JSON.") from None
