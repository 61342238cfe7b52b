"""The nouns of S3 as plain, frozen values. No I/O, no rules."""

from __future__ import annotations

import enum
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType
from typing import Final
from typing import Protocol

NULL_VERSION = "null"
"""The version id of an object stored while versioning was not enabled."""


@dataclass(frozen=True, slots=True)
class Account:
    """An owner of buckets. ``id`` is the canonical user id that ACLs and listings show.

    ``number`` is the account id of 12 digits that ARNs may name it by, "" where it has none.
    ``plan`` names what it may use, see the configuration's ``plans``; "" for the profile's own.
    """

    id: str
    display_name: str = ""
    email: str = ""
    number: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key is narrowed to, as data: each part that is set must hold (IU-01 to IU-11).

    ``paths`` are pairs of a bucket's name and a prefix of whole segments, ``b""`` or ending in a
    slash; with none the key may go everywhere. ``actions`` are IAM actions (``s3:GetObject``,
    wildcards allowed), None for all. ``read_only`` allows nothing that changes anything.
    ``manage_buckets`` False refuses what is done to buckets themselves and ListBuckets, ``deletes``
    False the removal of objects. ``expires`` is in milliseconds since the epoch, 0 for never.
    ``networks`` are addresses or networks such as ``10.0.0.0/8`` that requests must come from.
    ``byte_budget`` is how many bytes the key may store in its life, None for any number.
    """

    paths: tuple[tuple[str, bytes], ...] = ()
    actions: tuple[str, ...] | None = None
    read_only: bool = False
    manage_buckets: bool = True
    deletes: bool = True
    expires: int = 0
    networks: tuple[str, ...] = ()
    byte_budget: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What a temporary key is for, until ``expires`` (seconds since the epoch, as ``issued``).

    ``parent`` is the access key that opened the session, "" where an identity provider vouched for
    who did. ``bucket_id`` is the one bucket that it is for, 0 for any. ``roles`` are the roles that
    it went through as (account, name, id), the last the one that it acts as; ``name`` is what it
    is called there, without a role that of the federated user whom it is for. ``provider``,
    ``subject`` and ``audience`` are what the provider's token said, ``tags`` the session's,
    ``policy`` the text of what narrows it further.
    """

    parent: str
    bucket_id: int = 0
    read_only: bool = False
    expires: int = 0
    issued: int = 0
    roles: tuple[tuple[str, str, str], ...] = ()
    name: str = ""
    provider: str = ""
    subject: str = ""
    audience: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    policy: str = field(default="", repr=False)

    @property
    def federated_user(self) -> str:
        """The name of the federated user whom it is for, "" where it is for none."""
        return "" if self.roles else self.name


class Rules(Protocol):
    """Statements about what a caller may do; :class:`s3kit.auth.policy.Policy` is some."""

    def decide(self, question: Question, /) -> Ruling | None:
        """The statement that counts, None where none speaks of it."""
        ...


class Ruling(Protocol):
    """A statement that counts for a question."""

    @property
    def deny(self) -> bool: ...

    @property
    def label(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Role:
    """Something that others may become for a while.

    ``id`` is another one when a role is deleted and made anew; ``created`` is in milliseconds,
    ``most_seconds`` how long a session may live. ``trust`` says who may assume it, ``policies``
    what its sessions may do. ``account_status`` is that of the account in SQL, "" where it is
    not there: ``active``, ``closing`` (read-only) or another, whose roles have no sessions.
    """

    account: str
    name: str
    id: str
    created: int
    most_seconds: int
    trust: Rules = field(repr=False)
    policies: tuple[Rules, ...] = field(default=(), repr=False)
    account_status: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An access key with its secret and the account that it acts for.

    ``user`` is the account's user whose key it is, "" for the account itself; ``principal`` is the
    end of the ARN of somebody who is neither: ``assumed-role/reader/alice``. ``policies`` are those
    of the user or role, None for whoever may do all that the account may; ``session_policy`` and
    ``scope`` narrow that.
    """

    access_key: str
    secret_key: str = field(repr=False)
    account: Account
    session_token: str | None = field(default=None, repr=False)
    session: Session | None = None
    user: str = ""
    principal: str = ""
    policies: tuple[Rules, ...] | None = field(default=None, repr=False)
    session_policy: Rules | None = field(default=None, repr=False)
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. ``account`` is None for an anonymous one.

    With a session's key ``access_key`` is the one that opened the session.
    ``principal`` is the end of its ARN where it is not the account itself: ``user/alice``;
    ``service`` names a service that acts by itself, ``logging.s3.amazonaws.com``. ``policies`` are
    what a user was given, None for one that may do all that its account may; ``session_policy`` is
    what its session was narrowed to, ``scope`` what its key was.
    """

    account: Account | None = None
    access_key: str | None = None
    session: Session | None = None
    principal: str = ""
    service: str = ""
    policies: tuple[Rules, ...] | None = field(default=None, repr=False)
    session_policy: Rules | None = field(default=None, repr=False)
    scope: Scope | None = None

    @property
    def anonymous(self) -> bool:
        return self.account is None

    @property
    def account_id(self) -> str | None:
        return None if self.account is None else self.account.id


ANONYMOUS = Caller()


class Permission(enum.StrEnum):
    """What an ACL grant allows."""

    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"
    FULL_CONTROL = "FULL_CONTROL"


ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of an ACL. ``grantee`` is a canonical user id or a group URI."""

    grantee: str
    permission: Permission

    @property
    def is_group(self) -> bool:
        return self.grantee.startswith("http://acs.amazonaws.com/groups/")


class ObjectOwnership(enum.StrEnum):
    """Who owns what others store in a bucket; with BUCKET_OWNER_ENFORCED no ACL counts there."""

    BUCKET_OWNER_PREFERRED = "BucketOwnerPreferred"
    OBJECT_WRITER = "ObjectWriter"
    BUCKET_OWNER_ENFORCED = "BucketOwnerEnforced"


@dataclass(frozen=True, slots=True)
class Acl:
    """Who owns a bucket or object, and who else may act on it."""

    owner: str
    grants: tuple[Grant, ...] = ()


class Versioning(enum.StrEnum):
    """A bucket's versioning state; NEVER is a bucket on which it was never switched on."""

    NEVER = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class Setting:
    """Which documents a bucket has, so that a request asks only for those that are there.

    Plain numbers: every request asks, and an IntFlag takes ten times as long to answer.
    """

    NONE: Final = 0
    CORS: Final = 1
    LIFECYCLE: Final = 2
    NOTIFICATION: Final = 4
    REPLICATION: Final = 8
    LOGGING: Final = 16
    WEBSITE: Final = 32
    ENCRYPTION: Final = 64
    OBJECT_LOCK: Final = 128
    POLICY: Final = 256
    PUBLIC_ACCESS_BLOCK: Final = 512
    OWNERSHIP: Final = 1024
    REQUEST_PAYMENT: Final = 2048
    ABAC: Final = 4096
    TAGGING: Final = 8192
    ACCELERATE: Final = 16384
    LIMITED: Final = 32768
    """No document: the bytes of its account are limited, so that each write is counted."""
    OWNER_ENFORCED: Final = 65536
    """No document of its own: that of OWNERSHIP says BucketOwnerEnforced, so that nobody need read
    it. Where only OWNERSHIP is set it may say so too, as buckets from before this bit do."""


SETTING_BITS: Mapping[str, int] = MappingProxyType(
    {
        "cors": Setting.CORS,
        "lifecycle": Setting.LIFECYCLE,
        "notification": Setting.NOTIFICATION,
        "replication": Setting.REPLICATION,
        "logging": Setting.LOGGING,
        "website": Setting.WEBSITE,
        "encryption": Setting.ENCRYPTION,
        "object-lock": Setting.OBJECT_LOCK,
        "policy": Setting.POLICY,
        "publicAccessBlock": Setting.PUBLIC_ACCESS_BLOCK,
        "ownershipControls": Setting.OWNERSHIP,
        "requestPayment": Setting.REQUEST_PAYMENT,
        "abac": Setting.ABAC,
        "tagging": Setting.TAGGING,
        "accelerate": Setting.ACCELERATE,
    }
)
"""A settings document's name and its bit; documents of other names have none."""


def bits_of(name: str, document: bytes) -> int:
    """Which bits of ``Bucket.present`` a settings document of this name sets."""
    bits = SETTING_BITS.get(name, Setting.NONE)
    if bits == Setting.OWNERSHIP and document == b"BucketOwnerEnforced":
        bits |= Setting.OWNER_ENFORCED
    return bits


def all_bits_of(name: str) -> int:
    """Which bits of ``Bucket.present`` go when the settings document of this name does."""
    bits = SETTING_BITS.get(name, Setting.NONE)
    return bits | Setting.OWNER_ENFORCED if bits == Setting.OWNERSHIP else bits


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket. ``created`` is in milliseconds since the epoch; ``acl`` None means private.

    ``present`` tells which settings documents it has.
    """

    id: int
    name: str
    account: str
    created: int
    region: str = ""
    acl: Acl | None = None
    versioning: Versioning = Versioning.NEVER
    object_lock: bool = False
    present: int = Setting.NONE


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """What keeps one version from being removed.

    ``mode`` is ``GOVERNANCE``, ``COMPLIANCE`` or empty, ``retain_until`` in milliseconds since the
    epoch (0 without a mode). While ``event_hold`` is on nothing counts down; the retention that
    begins with its end lasts ``event_days`` or ``event_years``. A hold that is None was never
    set: S3 tells it from one that was released.
    """

    mode: str = ""
    retain_until: int = 0
    legal_hold: bool | None = None
    event_hold: bool | None = None
    event_days: int = 0
    event_years: int = 0


NO_LOCK = ObjectLock()


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a version's bytes are sealed at rest.

    ``algorithm`` is ``AES256``, ``aws:kms``, ``aws:kms:dsse`` or ``SSE-C``. ``key`` is the
    object's own data key, wrapped by the key that ``master`` names, in base64; for SSE-C it is
    what a customer's key is checked against, never the key.
    """

    algorithm: str
    key: str = field(default="", repr=False)
    master: str = ""
    kms_key_id: str = ""
    bucket_key: bool = False


@dataclass(frozen=True, slots=True)
class Checksum:
    """A stored object checksum.

    ``algorithm`` is S3's name (``CRC32`` ... ``SHA256``), ``type`` is ``COMPOSITE`` or
    ``FULL_OBJECT``, ``value`` is base64 (with ``-N`` for a composite of N parts).
    """

    algorithm: str
    value: str
    type: str = "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on a storage, shared by every version that points at them.

    ``id`` is the opaque blob id, or, where ``parts`` is not 0, the id of a manifest whose
    parts are rows of their own. ``size`` in bytes, those of the object. ``sealing`` is the id to
    which sealed bytes are bound, for a blob's own id changes when it moves; empty for plain ones.
    """

    id: str
    storage: str
    size: int
    parts: int = 0
    sealing: str = ""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of a key. A key's versions are ordered by ``seq``: the order of commits.

    ``modified`` is in milliseconds since the epoch. ``etag`` has no quotes. ``headers`` holds the
    response headers stored with the object by lower-case name, ``x-amz-meta-*`` included.
    Either ``inline`` (the bytes) or ``content`` is set, neither for a delete marker; ``inline``
    is None too when the version was read without its bytes (then ``content`` is None as well).
    ``replication`` is S3's status, empty where there is none; ``restored_until`` in milliseconds.
    """

    bucket_id: int
    key: bytes
    size: int
    etag: str
    modified: int
    owner: str
    version_id: str = NULL_VERSION
    seq: int = 0
    delete_marker: bool = False
    is_latest: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    checksum: Checksum | None = None
    acl: Acl | None = None
    tags: tuple[tuple[str, str], ...] = ()
    parts: int = 0
    inline: bytes | None = field(default=None, repr=False)
    content: Content | None = None
    lock: ObjectLock = NO_LOCK
    encryption: Encryption | None = None
    replication: str = ""
    restored_until: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload in progress. ``checksum_*`` as the client declared them at its start."""

    id: str
    bucket_id: int
    key: bytes
    started: int
    initiator: str
    owner: str
    headers: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: Acl | None = None
    tags: tuple[tuple[str, str], ...] = ()
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    completed_etag: str | None = None
    lock: ObjectLock = NO_LOCK
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload or of a stored multipart object.

    ``number`` is 1 to 10,000, ``offset`` its first byte in the whole object (0 until the upload
    is complete), ``modified`` in milliseconds; ``checksum`` is the part's own, FULL_OBJECT;
    ``sealing`` as for :class:`Content`.
    """

    number: int
    size: int
    etag: str
    modified: int
    storage: str
    blob: str
    offset: int = 0
    checksum: Checksum | None = None
    sealing: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A named text that was added to a version after it was stored.

    ``size`` in bytes, ``etag`` (the MD5) without quotes, ``modified`` in milliseconds.
    ``headers`` tells how its bytes are sealed; empty for plain ones.
    """

    name: str
    size: int
    etag: str
    modified: int
    checksum: Checksum | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that Access looked at on its way to a decision.

    ``rule`` is a word of ``Decision.by``; ``says`` is ``allow``, ``deny`` or "" where it decides
    nothing; ``text`` tells a person what was found.
    """

    rule: str
    says: str
    text: str


# Not frozen: one is made for every request, and that takes five times as long.
@dataclass(slots=True)
class Question:
    """What Access is asked: may this caller do this to that?

    ``action`` is an IAM action such as ``s3:GetObject``. ``load`` fetches the object's current
    (or named) version when a decision needs its ACL; None for bucket-level questions. ``acls`` is
    False in a bucket whose owner has switched ACLs off. ``settle`` asks for a decision that is not
    provisional. ``conditions`` is what the request says under each condition key of policies; a
    lookup may do work. ``bucket_name`` is of a bucket that is not there yet. ``trace`` is a list
    to which each rule that is looked at adds its :class:`Step`; None where nobody asks why.
    ``resource`` is the ARN of what is no bucket or object.
    """

    caller: Caller
    action: str
    bucket: Bucket | None = None
    key: bytes | None = None
    version_id: str | None = None
    conditions: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    load: Callable[[], ObjectVersion | None] | None = None
    acls: bool = True
    settle: bool = False
    bucket_name: str = ""
    trace: list[Step] | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Access's answer, with the reason that an owner may be shown.

    ``by_acl``: nothing but a grant in an ACL allows it. ``by_policy``: a policy's statement decided
    it. A ``provisional`` one holds for an object that is there and is the bucket owner's; for any
    other, ask again with ``settle``. ``final``: it is refused not for want of a grant but by
    somebody's word, so that no grant could change it. ``by`` is the kind of rule that decided:
    ``session``, ``scope``, ``session policy``, ``user policy``, ``bucket policy``, ``public access
    block``, ``owner``, ``ownership``, ``bucket acl``, ``object acl``, ``object owner``, ``absence``
    (of the key), ``account``, ``profile`` (what its vendor makes public), ``authorize hook``.
    """

    allowed: bool
    reason: str = ""
    by_acl: bool = False
    provisional: bool = False
    by_policy: bool = False
    final: bool = False
    by: str = ""
