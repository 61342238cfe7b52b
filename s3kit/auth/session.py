"""Sessions: temporary keys, of which nothing is stored.

All that is known of a session is in its token, under a MAC. The MAC's key, and the session's
secret, are made of the secret of the key that opened the session (of the host's master key, where
an identity provider vouched for who did) and of one that only the index has: every process of the
endpoint knows them, nobody else can make a session, and it ends with the key that opened it and
with each role that it went through.
Source: Amazon S3 API Reference, "CreateSession"; AWS Security Token Service API Reference.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import lru_cache
from typing import Any
from typing import Final
from typing import Protocol

from ..errors import ExpiredToken
from ..errors import InvalidToken
from ..errors import PackedPolicyTooLarge
from ..model import Bucket
from ..model import Decision
from ..model import Key
from ..model import Question
from ..model import Role
from ..model import Rules
from ..model import Ruling
from ..model import Scope
from ..model import Session
from ..model import Step
from ..wire.names import zone_of
from .access import Access
from .keyring import KeyRing
from .policy import Policy
from .policy import parse_policy

LIFE: Final = 5 * 60
"""Seconds that a bucket's session lives; SDKs open the next one before that."""

PREFIX: Final = "S3S."
"""What tokens begin with: no key ring has to be asked for their keys."""

LONGEST: Final = 4096
"""Characters of a token; with a request's other headers it has to fit into 8 KiB."""

MOST_KEPT: Final = 1024
"""Open sessions whose keys are kept."""

_VERSION: Final = 2
_MOST_POLICY_BYTES: Final = 16 * 1024

READING: Final = frozenset(
    "s3:" + name
    for name in (
        "GetObject",
        "GetObjectVersion",
        "GetObjectAcl",
        "GetObjectVersionAcl",
        "GetObjectAttributes",
        "GetObjectVersionAttributes",
        "GetObjectTagging",
        "GetObjectVersionTagging",
        "ListBucket",
        "ListBucketVersions",
        "ListBucketMultipartUploads",
        "ListMultipartUploadParts",
    )
)
"""What a session may do that is opened as ReadOnly."""

WRITING: Final = READING | frozenset(
    "s3:" + name
    for name in (
        "PutObject",
        "PutObjectTagging",
        "PutObjectVersionTagging",
        "DeleteObject",
        "DeleteObjectVersion",
        "DeleteObjectTagging",
        "DeleteObjectVersionTagging",
        "AbortMultipartUpload",
    )
)
"""What any other may do: all with objects, nothing with the bucket itself or with ACLs."""


class RoleBook(Protocol):
    """Finds roles. It must be safe to call in threads."""

    def find(self, account_id: str, name: str, /) -> Role | None:
        """The role of this name in the account of this id, None where there is none."""
        ...


class HostKeys(Protocol):
    """The keys of the host; :class:`s3kit.store.master_keys.MasterKeys` is some."""

    def first(self) -> tuple[str, bytes]:
        """The one to use now, with its id."""
        ...

    def find(self, key_id: str, /) -> bytes | None:
        """The key of that id."""
        ...


class Sessions:
    """Opens sessions, and finds the key that a session's token stands for.

    :param secret: finds what the processes of one endpoint share; asked once, when it is needed.
    :param roles: where roles are found; without it nobody can assume one.
    :param host_keys: without them nobody can come by an identity provider.
    """

    __slots__ = ("_find_secret", "_host_keys", "_kept", "_key_ring", "_roles", "_secret")

    def __init__(
        self,
        secret: Callable[[], str],
        key_ring: KeyRing,
        roles: RoleBook | None = None,
        host_keys: HostKeys | None = None,
    ) -> None:
        self._find_secret = secret
        self._secret = ""
        self._key_ring = key_ring
        self._roles = roles
        self._host_keys = host_keys
        self._kept: dict[str, _Kept] = {}

    @property
    def takes_strangers(self) -> bool:
        """Whether sessions can be opened without a key, by the word of an identity provider."""
        return self._host_keys is not None

    def role(self, account_id: str, name: str) -> Role | None:
        """The role of this name, None where there is none or nobody may act as it now."""
        role = None if self._roles is None else self._roles.find(account_id, name)
        return role if role is not None and role.account_status in _ALIVE else None

    def open(self, session: Session) -> Key:
        """A new key for a session, whose parent and roles are to be there.

        :raises InvalidToken: they are not.
        :raises PackedPolicyTooLarge: its policy and tags do not fit into a token.
        """
        host_key = ""
        if not session.parent and self._host_keys is not None:
            host_key, _ = self._host_keys.first()
        payload = _encode(_write(session, host_key))
        if len(payload) > LONGEST - 64:
            raise PackedPolicyTooLarge()
        secret = self._secret_of(session, host_key)
        mac = _encode(_digest(secret, "token", payload))
        return self._key(session, payload, secret, f"{PREFIX}{payload}.{mac}")

    def find(self, access_key: str, token: str, now: float) -> Key:
        """The key of an open session.

        :param now: seconds since the epoch.
        :raises InvalidToken: no session's token, or not this key's; or who opened it has no key
            any more, or a role that it went through is gone.
        :raises ExpiredToken: the session is over.
        """
        kept = self._kept.get(token)
        if kept is not None and kept.made_of == self._made_of(kept.key.session, kept.host_key):
            # Its MAC has been looked at, and nothing has changed that the key was made of.
            _check_holder(kept.key.access_key, kept.key.session, access_key, now)
            return kept.key
        claims = None
        if len(token) <= LONGEST and token.isascii() and token.startswith(PREFIX):
            payload, _, mac = token[len(PREFIX) :].partition(".")
            claims = _read(payload)
        if claims is None:
            raise InvalidToken()
        secret = self._secret_of(claims.session, claims.host_key)
        if not hmac.compare_digest(_encode(_digest(secret, "token", payload)), mac):
            raise InvalidToken()
        session = claims.session
        _check_holder(_access_key(secret, payload), session, access_key, now)
        if claims.packed_policy:
            # Only now: nobody else has packed it.
            session = replace(session, policy=_unpack(claims.packed_policy))
        # Before the key, so that what changes meanwhile makes this one old; and of the very parent
        # whose secret has made the MAC.
        made_of = self._made_of(session, claims.host_key)
        if not hmac.compare_digest(secret, self._secret_of(session, claims.host_key)):
            raise InvalidToken()
        key = self._key(session, payload, secret, token)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[token] = _Kept(key, claims.host_key, made_of)
        return key

    def _made_of(self, session: Session | None, host_key: str) -> tuple[object, ...]:
        """All that may change and a session's key is made of, as it is now."""
        assert session is not None, "it is a session's key"
        ring = self._key_ring
        if session.parent:
            found: list[object] = [ring.lookup(session.parent)]
        else:
            found = [None if self._host_keys is None else self._host_keys.find(host_key)]
        for account_id, name, _ in session.roles:
            found.append(self.role(account_id, name))
        if session.roles:
            found.append(ring.account(session.roles[-1][0]))
        return tuple(found)

    def _secret_of(self, session: Session, host_key: str) -> bytes:
        """What the session's MAC and secret are made of."""
        if session.parent:
            parent = self._key_ring.lookup(session.parent)
            if parent is None or not parent.secret_key or parent.session is not None:
                raise InvalidToken()
            key = parent.secret_key.encode()
        else:
            found = None
            if self._host_keys is not None and session.roles:
                found = self._host_keys.find(host_key)
            if not found:
                raise InvalidToken()
            key = found
        if not self._secret:
            self._secret = self._find_secret()
        return hmac.digest(key, f"s3kit session\0{self._secret}".encode(), "sha256")

    def _key(self, session: Session, payload: str, secret: bytes, token: str) -> Key:
        parent = self._key_ring.lookup(session.parent) if session.parent else None
        if parent is None and (session.parent or not session.roles):
            raise InvalidToken()
        role: Role | None = None
        for account_id, name, role_id in session.roles:
            role = self.role(account_id, name)
            if role is None or role.id != role_id:
                raise InvalidToken()
        policy = session_rules(session.policy) if session.policy else None
        narrow: tuple[Rules, ...] = ()
        if parent is not None and parent.session_policy is not None:
            narrow = (parent.session_policy,)
        if policy is not None:
            narrow += (policy,)
        names: dict[str, Any] = {
            "access_key": _access_key(secret, payload),
            "secret_key": _encode(_digest(secret, "secret key", payload)),
            "session_token": token,
            "session": session,
            "session_policy": narrow[0] if len(narrow) == 1 else _Both(narrow) if narrow else None,
        }
        if role is None:
            assert parent is not None
            # All else that is said of the key that opened it holds for the session too.
            return replace(parent, **names)
        account = self._key_ring.account(role.account)
        if account is None:
            raise InvalidToken()
        return Key(
            **names,
            account=account,
            principal=f"assumed-role/{role.name}/{session.name}",
            policies=role.policies,
            scope=_narrower(None if parent is None else parent.scope, role),
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    """A session's key, and what it was made of."""

    key: Key
    host_key: str
    made_of: tuple[object, ...] = field(repr=False)


def _check_holder(own: str, session: Session | None, access_key: str, now: float) -> None:
    """Refuse a session's token with another key, or when the session is over.

    :raises InvalidToken: ExpiredToken:
    """
    if not hmac.compare_digest(own.encode(), access_key.encode("utf-8", "replace")):
        raise InvalidToken()
    if session is None or now >= session.expires:
        raise ExpiredToken()


_ALIVE: Final = ("", "active", "closing")


def _narrower(scope: Scope | None, role: Role) -> Scope | None:
    """The scope of whoever assumed the role; in an account that closes nothing can be changed."""
    if role.account_status != "closing":
        return scope
    return replace(scope or Scope(), read_only=True)


@dataclass(frozen=True, slots=True)
class _Both:
    """Policies of which each must allow."""

    parts: tuple[Rules, ...]

    def decide(self, question: Question, /) -> Ruling | None:
        found: Ruling | None = None
        for part in self.parts:
            found = part.decide(question)
            if found is None or found.deny:
                return found
        return found


@lru_cache(maxsize=256)
def session_rules(text: str) -> Policy:
    """A session's policy, read once for all its requests.

    :raises MalformedPolicy:
    """
    return parse_policy(text.encode(), kind="user")


def account_of(session: Session) -> str:
    """The id of the account that a role's session acts for, "" for any other session."""
    return session.roles[-1][0] if session.roles else ""


def _digest(secret: bytes, purpose: str, payload: str) -> bytes:
    return hmac.digest(secret, f"{purpose}\0{payload}".encode(), "sha256")


def _access_key(secret: bytes, payload: str) -> str:
    return "ASIA" + base64.b32encode(_digest(secret, "access key", payload)[:10]).decode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def packed_percentage(key: Key) -> int:
    """How much of the room for policies and tags a session's token takes, in per cent."""
    return max(1, len(key.session_token or "") * 100 // LONGEST)


# -- a token's payload


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says, which is yet to be proved."""

    session: Session
    host_key: str
    packed_policy: str


def _write(session: Session, host_key: str) -> bytes:
    facts = [
        _VERSION,
        session.parent,
        host_key,
        session.bucket_id,
        int(session.read_only),
        session.expires,
        session.issued,
        session.roles,
        session.name,
        session.provider,
        session.subject,
        session.audience,
        session.tags,
        _pack(session.policy),
        secrets.token_hex(8),
    ]
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False).encode()


def _pack(policy: str) -> str:
    return _encode(zlib.compress(policy.encode(), 9)) if policy else ""


def _unpack(packed: str) -> str:
    try:
        return zlib.decompressobj().decompress(_decode(packed), _MOST_POLICY_BYTES).decode()
    except (binascii.Error, ValueError, zlib.error):
        raise InvalidToken() from None


_KINDS: Final = (int, str, str, int, int, int, int, list, str, str, str, str, list, str, str)


def _read(payload: str) -> _Claims | None:
    """What a token says, which is yet to be proved; None when it is none of ours."""
    try:
        facts = json.loads(_decode(payload))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(facts, list) or [type(each) for each in facts] != list(_KINDS):
        return None
    (version, parent, host_key, bucket_id, read_only, expires, issued, roles, name, provider,
     subject, audience, tags, policy, _) = facts  # fmt: skip
    if version != _VERSION or not _are_texts(roles, 3) or not _are_texts(tags, 2):
        return None
    session = Session(
        parent,
        bucket_id,
        bool(read_only),
        expires,
        issued,
        tuple((each[0], each[1], each[2]) for each in roles),
        name,
        provider,
        subject,
        audience,
        tuple((each[0], each[1]) for each in tags),
    )
    return _Claims(session, host_key, policy)


def _are_texts(rows: list[Any], length: int) -> bool:
    return all(
        type(row) is list and len(row) == length and all(type(each) is str for each in row)
        for row in rows
    )


_OTHER_BUCKET: Final = Decision(False, "the session is for another bucket", by="session")
_READ_ONLY: Final = Decision(False, "the session is read only", by="session")
_NOT_OF_OBJECTS: Final = Decision(False, "a session is for objects alone", by="session")


class SessionAccess:
    """Another Access, asked only for what a bucket's session may do at all."""

    __slots__ = ("_decide",)

    def __init__(self, access: Access) -> None:
        self._decide = access.decide

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        session = question.caller.session
        if session is not None and session.bucket_id:
            bucket = question.bucket
            if bucket is None or bucket.id != session.bucket_id:
                return _OTHER_BUCKET
            if not may_in_session(session, bucket, question.action):
                return _READ_ONLY if session.read_only else _NOT_OF_OBJECTS
            if question.trace is not None:
                kind = "read only" if session.read_only else "for reading and writing"
                question.trace.append(Step("session", "", f"it is for this bucket, {kind}"))
        return self._decide(question)


def may_in_session(session: Session, bucket: Bucket, action: str) -> bool:
    """Whether a session in its own bucket may do this."""
    if session.read_only:
        return action in READING
    if action == "s3:DeleteBucket":
        # On AWS another host takes it, without a session; with one host for everything SDKs have
        # nothing but a session for such a bucket.
        return zone_of(bucket.name) is not None
    return action in WRITING
