"""Sessions: temporary keys for one bucket, of which nothing is stored.

All that is known of a session is in its token, under a MAC. The MAC's key, and the session's
secret, are made of the secret of the key that opened the session and of one that only the index
has: every process of the endpoint knows them, nobody else can make a session, and it ends with
the key that opened it.
Source: Amazon S3 API Reference, "CreateSession".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..errors import ExpiredToken
from ..errors import InvalidToken
from ..model import Bucket
from ..model import Decision
from ..model import Key
from ..model import Question
from ..model import Session
from ..model import Step
from ..wire.names import zone_of
from .access import Access
from .keyring import KeyRing

LIFE: Final = 5 * 60
"""Seconds that a session lives; SDKs open the next one before that."""

_VERSION: Final = 1
_LONGEST: Final = 2048

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


class Sessions:
    """Opens sessions, and finds the key that a session's token stands for.

    :param secret: finds what the processes of one endpoint share; asked once, when it is needed.
    """

    __slots__ = ("_find_secret", "_key_ring", "_secret")

    def __init__(self, secret: Callable[[], str], key_ring: KeyRing) -> None:
        self._find_secret = secret
        self._secret = ""
        self._key_ring = key_ring

    def open(self, parent: Key, bucket_id: int, *, read_only: bool, now: float) -> Key:
        """A new key for one bucket, with what it may do and until when in its ``session``.

        :param now: seconds since the epoch.
        """
        session = Session(parent.access_key, bucket_id, read_only, int(now) + LIFE)
        facts = [
            _VERSION,
            session.parent,
            session.bucket_id,
            int(read_only),
            session.expires,
            secrets.token_hex(8),
        ]
        payload = _encode(json.dumps(facts, separators=(",", ":")).encode())
        mac = self._digest(parent, "token", payload)
        return self._key(parent, session, payload, f"{payload}.{_encode(mac)}")

    def find(self, access_key: str, token: str, now: float) -> Key:
        """The key of an open session.

        :param now: seconds since the epoch.
        :raises InvalidToken: no session's token, or not this key's; or who opened it has no key
            any more.
        :raises ExpiredToken: the session is over.
        """
        payload, _, mac = token.partition(".")
        session = _read(payload) if len(token) <= _LONGEST and token.isascii() else None
        parent = None if session is None else self._key_ring.lookup(session.parent)
        if session is None or parent is None or not parent.secret_key:
            raise InvalidToken()
        expected = _encode(self._digest(parent, "token", payload))
        if not hmac.compare_digest(expected, mac):
            raise InvalidToken()
        key = self._key(parent, session, payload, token)
        if not hmac.compare_digest(key.access_key.encode(), access_key.encode("utf-8", "replace")):
            raise InvalidToken()
        if now >= session.expires:
            raise ExpiredToken()
        return key

    def _key(self, parent: Key, session: Session, payload: str, token: str) -> Key:
        name = base64.b32encode(self._digest(parent, "access key", payload)[:10]).decode()
        secret = _encode(self._digest(parent, "secret key", payload))
        # All else that is said of the key that opened it holds for the session too.
        return replace(
            parent,
            access_key=f"ASIA{name}",
            secret_key=secret,
            session_token=token,
            session=session,
        )

    def _digest(self, parent: Key, purpose: str, payload: str) -> bytes:
        if not self._secret:
            self._secret = self._find_secret()
        shared = f"s3kit session\0{self._secret}".encode()
        key = hmac.digest(parent.secret_key.encode(), shared, "sha256")
        return hmac.digest(key, f"{purpose}\0{payload}".encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(payload: str) -> Session | None:
    """What a token says, which is yet to be proved; None when it is none of ours."""
    try:
        padded = payload + "=" * (-len(payload) % 4)
        facts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not (isinstance(facts, list) and len(facts) == 6 and facts[0] == _VERSION):
        return None
    _, parent, bucket_id, read_only, expires, _ = facts
    if not (isinstance(parent, str) and isinstance(bucket_id, int) and isinstance(expires, int)):
        return None
    return Session(parent, bucket_id, bool(read_only), expires)


_OTHER_BUCKET: Final = Decision(False, "the session is for another bucket", by="session")
_READ_ONLY: Final = Decision(False, "the session is read only", by="session")
_NOT_OF_OBJECTS: Final = Decision(False, "a session is for objects alone", by="session")


class SessionAccess:
    """Another Access, asked only for what a session's key may do at all."""

    __slots__ = ("_decide",)

    def __init__(self, access: Access) -> None:
        self._decide = access.decide

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        session = question.caller.session
        if session is not None:
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
