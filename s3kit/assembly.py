"""What an endpoint is put together from, as its configuration says: store, keys, rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .auth.access import Access
from .auth.access import BucketAccess
from .auth.identity_provider import USUAL_ALGORITHMS
from .auth.identity_provider import IdentityProvider
from .auth.identity_provider import MissingJoserfc
from .auth.identity_provider import need_joserfc
from .auth.keyring import DictKeyRing
from .auth.keyring import KeyRings
from .auth.keyring import SigningKeyRing
from .blobs.registry import open_store
from .blobs.sealed import KEY
from .blobs.sealed import MissingCryptography
from .blobs.sealed import need_cryptography
from .config import DEFAULT_ACCOUNT
from .config import Config
from .config import ConfigError
from .config import is_memory
from .index.buckets import are_of_accounts
from .index.schema import check_schema
from .index.schema import create_schema
from .index.session import Index
from .model import Account
from .model import Bucket
from .model import Caller
from .model import Key
from .model import ObjectOwnership
from .model import Question
from .operations.bucket_rules import rules_of as access_rules_of
from .operations.replication import read_rules
from .profile import PROFILES
from .profile import Profile
from .store import Store
from .store.encryption import Encryptions
from .store.key_provider import KeyProvider
from .store.key_provider import LocalKeys
from .store.master_keys import MasterKeys
from .store.master_keys import UnusableKey
from .store.master_keys import read_key
from .store.remote import RemoteBucket
from .store.replication import Permits

LOG_SERVICE = "logging.s3.amazonaws.com"
"""Who delivers server access logs, as policies name it."""


def profile_of(config: Config) -> Profile:
    """The vendor's profile, with what the configuration says otherwise.

    Its sizes are held to the configured largest object.
    """
    profile = PROFILES[config.profile]
    if config.object_ownership:
        name = config.object_ownership
        ownership = None if name == "none" else ObjectOwnership(name)
        profile = replace(profile, new_bucket_ownership=ownership)
    if config.block_public_access is not None:
        profile = replace(profile, new_bucket_blocked=config.block_public_access)
    if config.bucket_names:
        profile = replace(profile, names_per_account=config.bucket_names == "account")
    most = config.max_object_size
    if most is None:
        return profile
    return replace(
        profile,
        max_put=min(profile.max_put, most),
        max_part=min(profile.max_part, most),
        max_copy=min(profile.max_copy, most),
        max_object=min(profile.max_object, most),
    )


def open_encryptions(config: Config, key_provider: KeyProvider | None = None) -> Encryptions:
    """The keys that a configuration names.

    :raises ConfigError: they cannot be read, or what encrypts is not installed.
    """
    given = [read_key(text) for text in config.master_keys]
    path = config.master_key_file or None
    named = {name: read_key(text) for name, text in config.named_keys()}
    always = config.default_encryption == "AES256"
    try:
        need_cryptography()
    except MissingCryptography as error:
        if given or path or named or always:
            raise ConfigError(str(error)) from None
        return Encryptions(None, key_provider)
    if not given and path is None and is_memory(config.index):
        # What it wraps ends with this process too.
        given = [os.urandom(KEY)]
    if always and not given and path is None:
        raise ConfigError('default_encryption = "AES256" needs master_key_file or master_keys.')
    try:
        masters = MasterKeys(given, path) if given or path else None
    except UnusableKey as error:
        raise ConfigError(f"master_key_file: {error}") from None
    if key_provider is None and named:
        key_provider = LocalKeys(named)
    return Encryptions(masters, key_provider, always=always)


def open_store_of(config: Config, key_provider: KeyProvider | None = None) -> Store:
    """The Store that a configuration describes, its schema made or checked.

    :param key_provider: of the keys of aws:kms; by default those that the configuration names.
    :raises SchemaMismatch: the database is of a newer or older version of s3kit.
    """
    encryptions = open_encryptions(config, key_provider)
    index = Index(config.index, durability=config.durability, pool_size=config.pool_size)
    try:
        create_schema(index)
        check_schema(index)
        profile = profile_of(config)
        if not profile.names_per_account and index.read(are_of_accounts):
            raise ConfigError(
                "The index has buckets whose names are their accounts' own, and two may be called "
                'the same: set bucket_names = "account".'
            )
        storages = {
            name: open_store(name, spec, durability=config.durability)
            for name, spec in config.storages.items()
        }
    except BaseException:
        index.close()
        raise
    store = Store(
        index,
        storages,
        place=tuple(config.place.items()),
        inline_threshold=config.inline_threshold,
        grace_seconds=config.grace_seconds,
        orphan_seconds=config.orphan_seconds,
        profile=profile,
        encryptions=encryptions,
        storage_classes=config.storage_classes,
        lifecycle_day_seconds=config.lifecycle_day_seconds,
        smallest_transition=config.smallest_transition,
    )
    outbox = store.outbox
    outbox.region = config.region
    outbox.attempts = config.delivery_attempts
    outbox.enabled = config.relay
    for name in config.outbox:
        outbox.subscribe_by_name(name)
    for arn, target in config.notifications.items():
        store.notifications.add_target(arn, target)
    store.lifecycle.enabled = store.closing.enabled = config.run_lifecycle
    store.server_logs.seconds = config.bucket_log_seconds
    store.server_logs.region = config.region
    store.accounts.configure(config.known_accounts().values(), config.plans, config.key_prefix)
    store.roles.numbers = {
        entry["number"]: entry["id"] for entry in config.accounts if entry.get("number")
    }
    access = BucketAccess(partial(access_rules_of, store), profile=store.profile)
    account = key_ring_of(config, store).account
    store.replicate(read_rules, replication_permit(access, account), remote_buckets(config))
    let_decide(store, access, account)
    return store


def key_ring_of(config: Config, store: Store, *others: SigningKeyRing) -> KeyRings:
    """The keys of the configuration, then those in the index, then others."""
    return KeyRings(DictKeyRing(config.signing_keys()), store.key_ring, *others)


def identity_providers(config: Config, has_master_key: bool) -> dict[str, IdentityProvider]:
    """The OpenID Connect providers whose tokens open sessions, by issuer.

    :raises ConfigError: what reads tokens is not installed, or there is nothing to seal sessions.
    """
    if not config.identity_providers:
        return {}
    try:
        need_joserfc()
    except MissingJoserfc as error:
        raise ConfigError(str(error)) from None
    if not has_master_key:
        raise ConfigError(
            "identity_providers needs master_key_file or master_keys: they seal the tokens of "
            "sessions that no access key has opened."
        )
    return {
        issuer: IdentityProvider(
            issuer,
            tuple(spec["audiences"]),
            jwks_url=spec.get("jwks_url", ""),
            algorithms=tuple(spec.get("algorithms", USUAL_ALGORITHMS)),
        )
        for issuer, spec in config.identity_providers.items()
    }


FindAccount = Callable[[str], Account | None]


def let_decide(store: Store, access: Access, account: FindAccount) -> None:
    """Have Access decide also what s3kit does by itself: a policy's Deny holds for that too.

    :param account: finds an account by its id.
    """
    store.server_logs.permits = logging_permit(access, account)
    if store.replication is not None:
        store.replication.permits = replication_permit(access, account)
        store.replication.account = account


def replication_permit(access: Access, account: FindAccount) -> Permits:
    """Whether an account may do what replication does to a bucket's key."""

    def permits(account_id: str, bucket: Bucket, action: str, key: bytes) -> bool:
        caller = Caller(account(account_id) or Account(account_id))
        return access.decide(Question(caller, action, bucket, key)).allowed

    return permits


def logging_permit(access: Access, account: FindAccount) -> Callable[[str, Bucket, bytes], bool]:
    """Whether lines about a bucket may become a key of another one of the same owner.

    That they have one owner is the leave to write, see PutBucketLogging; a Deny takes it back.
    """

    def permits(source: str, bucket: Bucket, key: bytes) -> bool:
        owner = account(bucket.account) or Account(bucket.account)
        conditions = {
            "aws:principalisawsservice": "true",
            "aws:principalservicename": LOG_SERVICE,
            "aws:securetransport": "true",
            "aws:sourceaccount": owner.number or owner.id,
            "aws:sourcearn": f"arn:aws:s3:::{source}",
        }
        caller = Caller(owner, service=LOG_SERVICE)
        question = Question(caller, "s3:PutObject", bucket, key, conditions=conditions)
        return access.decide(question).allowed

    return permits


def remote_buckets(config: Config) -> dict[str, RemoteBucket]:
    """The buckets elsewhere that replication rules may name."""
    return {
        arn: RemoteBucket(
            endpoint=spec["endpoint"],
            bucket=spec["bucket"],
            key=Key(
                spec["access_key"],
                spec["secret_key"],
                Account(DEFAULT_ACCOUNT),
                spec.get("session_token"),
            ),
            region=spec.get("region", "us-east-1"),
            encrypts=spec.get("encryption", "source") == "source",
        )
        for arn, spec in config.replication_targets.items()
    }
