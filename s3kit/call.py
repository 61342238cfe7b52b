"""One request on its way through the house: who, what, on which bucket and key, with which body."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import TypeVar

from .auth.access import Access
from .auth.identity_provider import IdentityProvider
from .auth.keyring import KeyRing
from .auth.session import Sessions
from .auth.sigv4 import Identity
from .context import RequestContext
from .errors import AccessDenied
from .errors import EntityTooLarge
from .errors import InvalidArgument
from .errors import InvalidRequest
from .errors import MaxMessageLengthExceeded
from .errors import MissingContentLength
from .errors import S3Error
from .errors import SignatureDoesNotMatch
from .model import Account
from .model import Bucket
from .model import Caller
from .model import Decision
from .model import ObjectOwnership
from .model import ObjectVersion
from .model import Question
from .model import Setting
from .naming import find_bucket
from .profile import Profile
from .store import Attributes
from .store import Origin
from .store import Store
from .store.objects import VersionChanged
from .store.objects import absence
from .store.ownership import object_ownership
from .wire import checksums
from .wire.address import object_url
from .wire.checksums import BodyReader
from .wire.checksums import Expected
from .wire.chunked import ChunkedReader
from .wire.chunked import trailer_names
from .wire.conditions import Conditions
from .wire.conditions import read_conditions
from .wire.environ import Input
from .wire.environ import TrustedProxies
from .wire.environ import header
from .wire.environ import public_url_parts
from .wire.headers import content_md5
from .wire.query import Query
from .wire.response import Response
from .wire.response import empty
from .wire.routing import Operation
from .wire.xml import from_xml

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Document = TypeVar("Document")
Name = tuple[int, bytes, str | None]
"""Bucket id, key and version id."""

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
DOCUMENT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """What all requests of one app share."""

    store: Store
    key_ring: KeyRing
    access: Access
    profile: Profile
    region: str
    pinned_region: str | None
    base_hosts: tuple[str, ...]
    trusted: TrustedProxies
    sessions: Sessions
    public_prefix: str
    host_id: str = ""
    customer_keys: str = "loopback"
    hooked: bool = False
    """Whether a host's function has a say in each decision."""
    providers: Mapping[str, IdentityProvider] = field(default_factory=dict)
    account_hosts: tuple[tuple[str, str], ...] = ()
    """Hosts that are bound to an account, where names of buckets are per account."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Something that a request did to another object than its own, for a server access log.

    ``status`` 0 stands for the request's own; ``operation`` is a log's name for it.
    """

    operation: str
    bucket: Bucket
    key: bytes
    version_id: str | None
    size: int | None = None
    status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that Access was asked, and its answer.

    ``required``: the request was refused unless it was allowed. ``key`` None for a bucket.
    """

    action: str
    bucket: Bucket | None
    key: bytes | None
    decision: Decision
    required: bool


MOST_ASKED = 64
"""How many questions of one request are remembered."""


class Call:
    """One request. ``bucket`` is set where the operation has one, ``key`` likewise (bytes).

    ``fields`` are a form's, which stand for headers; None for every other request.
    """

    __slots__ = (
        "_document",
        "_judged",
        "_provisional",
        "acl_required",
        "asked",
        "beside",
        "bucket_name",
        "charged",
        "environ",
        "fields",
        "identity",
        "if_match",
        "input",
        "key",
        "load_bucket",
        "maybe_bucket",
        "method",
        "operation",
        "query",
        "request_id",
        "site",
        "store",
    )

    def __init__(
        self,
        environ: WSGIEnvironment,
        site: Site,
        operation: Operation,
        query: Query,
        body: Input,
        request_id: str,
        identity: Identity,
        bucket_name: str | None,
        key: bytes | None,
    ) -> None:
        self.environ = environ
        self.site = site
        self.store = site.store
        self.operation = operation
        self.method: str = environ["REQUEST_METHOD"]
        self.query = query
        self.input = body
        self.request_id = request_id
        self.identity = identity
        self.bucket_name = bucket_name
        self.maybe_bucket: Bucket | None = None
        # What finds the bucket once a form has told its sender; None where it is known before.
        self.load_bucket: Callable[[], None] | None = None
        self.key = key
        # Whether the answer is to say that its receiver pays for it.
        self.charged = False
        self.acl_required = False
        # What Access was asked; None where nobody wants to know.
        self.asked: list[Asked] | None = None
        self.beside: list[Beside] | None = None
        self._document: bytes | None = None
        # The versions that Access has looked at; no other may be shown or changed by its leave.
        self._judged: dict[Name, ObjectVersion | None] | None = None
        # What was allowed for an object that is there and the bucket owner's: name and action.
        self._provisional: list[tuple[Name, str]] | None = None
        self.fields: Mapping[str, str] | None = None
        # The ETag that the key in question must have, where one request is about many keys.
        self.if_match: str | None = None

    # -- who and what

    @property
    def bucket(self) -> Bucket:
        """The request's bucket; only operations below the service level have one."""
        bucket = self.maybe_bucket
        assert bucket is not None, "a service-level operation asked for its bucket"
        return bucket

    @property
    def object_key(self) -> bytes:
        """The request's key; only object-level operations have one."""
        key = self.key
        assert key is not None, "a bucket-level operation asked for its key"
        return key

    @property
    def caller(self) -> Caller:
        return self.identity.caller

    def identify(self, identity: Identity) -> None:
        """A form's signature, which is looked at last, is right."""
        self.identity = identity

    @property
    def origin(self) -> Origin:
        """Who to name in events."""
        site = self.site
        client = public_url_parts(self.environ, site.trusted)[3]
        return Origin(self.identity.caller, self.request_id, client, site.host_id)

    @property
    def version_id(self) -> str | None:
        """The ``versionId`` parameter.

        :raises InvalidArgument: it is there but empty.
        """
        version_id = self.query.get("versionId")
        if version_id == "":
            raise InvalidArgument(
                "Version id cannot be the empty string",
                argument_name="versionId",
                argument_value="",
            )
        return version_id

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def public_url(self, bucket: str, key: bytes) -> str:
        """An object's URL as this client would spell it."""
        environ, site = self.environ, self.site
        scheme, host, prefix, _ = public_url_parts(environ, site.trusted)
        return object_url(
            scheme,
            host,
            bucket,
            key,
            script_name=environ.get("SCRIPT_NAME", ""),
            base_hosts=site.base_hosts,
            public_prefix=prefix or site.public_prefix,
        )

    def account(self, account_id: str) -> Account:
        """The account of this id as the key ring knows it, else a bare one."""
        return self.site.key_ring.account(account_id) or Account(account_id)

    def find_bucket(self, name: str, *, expected: str | None = None, fresh: bool = False) -> Bucket:
        """The bucket that the caller means by a name, see :func:`~s3kit.naming.find_bucket`."""
        return find_bucket(
            self.site, self.environ, name, self.identity.caller, expected=expected, fresh=fresh
        )

    def owns(self, account: str, bucket: Bucket) -> bool:
        """Whether the bucket is this account's, who is named by canonical id or by number."""
        return account == bucket.account or account == (self.account(bucket.account).number or None)

    def question(
        self,
        action: str,
        bucket: Bucket | None,
        key: bytes | None = None,
        version_id: str | None = None,
        *,
        settle: bool = False,
    ) -> Question:
        """What to ask Access about this caller.

        :param settle: about an object as it is, see :class:`~s3kit.model.Question`.
        """
        context = RequestContext(self, action, bucket, key, version_id)
        acls = (
            bucket is None
            or not bucket.present & Setting.OWNERSHIP
            or (
                not bucket.present & Setting.OWNER_ENFORCED
                and object_ownership(self.store, bucket)
                is not ObjectOwnership.BUCKET_OWNER_ENFORCED
            )
        )
        return Question(
            self.identity.caller,
            action,
            bucket,
            key,
            version_id,
            context,
            None if bucket is None or key is None else context.load,
            acls,
            settle,
            (self.bucket_name or "") if bucket is None else "",
        )

    def judge(self, bucket: Bucket, key: bytes, version_id: str | None) -> ObjectVersion | None:
        """The version that Access asks to see; the handler then gets the same one."""
        judged = self._judged
        if judged is None:
            judged = self._judged = {}
        name = (bucket.id, key, version_id)
        if name not in judged:
            judged[name] = self.store.objects.find(bucket, key, version_id, inline=False)
        return judged[name]

    def decision(
        self,
        action: str,
        bucket: Bucket | None,
        key: bytes | None = None,
        version_id: str | None = None,
    ) -> Decision:
        """May the caller do this, and why? A provisional yes is settled by :meth:`version`."""
        question = self.question(action, bucket, key, version_id)
        decision = self.site.access.decide(question)
        if self.asked is not None:
            self._note_asked(question, decision)
        if decision.provisional and bucket is not None and key is not None:
            provisional = self._provisional
            if provisional is None:
                provisional = self._provisional = []
            provisional.append(((bucket.id, key, version_id), action))
        if decision.by_acl:
            self.acl_required = True
        return decision

    def allowed(
        self,
        action: str,
        bucket: Bucket | None,
        key: bytes | None = None,
        version_id: str | None = None,
    ) -> bool:
        """May the caller do this? The last word, for which the object may have to be looked at."""
        question = self.question(action, bucket, key, version_id, settle=True)
        decision = self.site.access.decide(question)
        if self.asked is not None:
            self._note_asked(question, decision, required=False)
        return decision.allowed

    def require_reach(self, action: str, bucket: Bucket, key: bytes) -> None:
        """Refuse to do for a narrow caller later what it may not do itself now.

        Services act for the account that owns a bucket. Nobody who is less than that account has
        them write where its key, its user's policies or its session do not let it.

        :param key: what the keys begin with that will be written.
        :raises AccessDenied:
        """
        caller = self.caller
        if caller.scope is None and caller.policies is None and caller.session_policy is None:
            return
        elsewhere = self.store.buckets.per_account and bucket.account != caller.account_id
        if elsewhere or not self.allowed(action, bucket, key):
            raise AccessDenied()

    def require(
        self,
        action: str,
        bucket: Bucket | None,
        key: bytes | None = None,
        version_id: str | None = None,
    ) -> None:
        """Refuse the request unless the caller may do this.

        What is asked about an object's bytes or its ACL is settled once :meth:`version` has it.

        :raises AccessDenied:
        """
        if not self.decision(action, bucket, key, version_id).allowed:
            raise AccessDenied()

    def require_of_new(self, action: str) -> None:
        """Refuse the request unless the caller may do this to the object that it is to store.

        The object is the caller's own, whatever is there now: no ACL needs to allow it.

        :raises AccessDenied:
        """
        bucket, key = self.bucket, self.object_key
        new = ObjectVersion(bucket.id, key, 0, "", 0, self.caller.account_id or "")
        question = replace(self.question(action, bucket, key), load=lambda: new)
        decision = self.site.access.decide(question)
        if self.asked is not None:
            self._note_asked(question, decision)
        if not decision.allowed:
            raise AccessDenied()

    def version(
        self, bucket: Bucket, key: bytes, version_id: str | None = None, *, inline: bool = False
    ) -> ObjectVersion:
        """The version that Access has looked at, the present one where it looked at none.

        :param inline: with the bytes of a small object.
        :raises NoSuchKey: NoSuchVersion, MethodNotAllowed: there is none.
        :raises AccessDenied: the leave was for another's object, or for one that is there.
        :raises VersionChanged: it was replaced meanwhile, so that Access must be asked again.
        """
        judged = self._judged
        if judged is None or (bucket.id, key, version_id) not in judged:
            version = self.store.objects.find(bucket, key, version_id, inline=inline)
        else:
            version = judged[bucket.id, key, version_id]
            if inline and version is not None and version.inline is None and not version.content:
                seq = version.seq
                version = self.store.objects.find(bucket, key, version_id)
                if version is None or version.seq != seq:
                    raise VersionChanged(key)
        if version is None or version.delete_marker:
            self._settle(bucket, key, version_id, version)
            raise absence(version, key, version_id, self.method)
        if version.owner != bucket.account:
            self._settle(bucket, key, version_id, version)
        return version

    def judged_seq(self, bucket: Bucket, key: bytes) -> int | None:
        """Which version of a key Access has looked at, 0 for none; None where it looked at none."""
        if self._judged is None or (bucket.id, key, None) not in self._judged:
            return None
        version = self._judged[bucket.id, key, None]
        return 0 if version is None or version.delete_marker else version.seq

    def _settle(
        self, bucket: Bucket, key: bytes, version_id: str | None, version: ObjectVersion | None
    ) -> None:
        """Ask again what was allowed of this version before anybody had seen it."""
        if self._provisional is None:
            return
        judged = self._judged
        if judged is None:
            judged = self._judged = {}
        name = (bucket.id, key, version_id)
        judged[name] = version
        for provisional, action in self._provisional:
            if provisional == name:
                question = self.question(action, bucket, key, version_id, settle=True)
                decision = self.site.access.decide(question)
                if self.asked is not None:
                    self._note_asked(question, decision)
                if not decision.allowed:
                    raise AccessDenied()

    def forget_judged(self) -> None:
        """Before Access is asked again."""
        self._judged = None
        self._provisional = None
        if self.asked is not None:
            self.asked.clear()

    def note_asked(self, question: Question, decision: Decision) -> None:
        """Tell whoever wants to know of a decision that Access had no part in."""
        if self.asked is not None:
            self._note_asked(question, decision)

    def _note_asked(self, question: Question, decision: Decision, *, required: bool = True) -> None:
        asked = self.asked
        assert asked is not None
        if len(asked) >= MOST_ASKED:
            # A multi-delete asks about each of a thousand keys: whether some were refused and some
            # not must still be seen.
            first, last = asked[0].decision.allowed, asked[-1].decision.allowed
            if first != last and decision.allowed == first:
                return
            asked.pop()
        asked.append(Asked(question.action, question.bucket, question.key, decision, required))

    def is_logged(self) -> bool:
        """Whether a server access log is to tell of this request."""
        bucket = self.maybe_bucket
        if bucket is not None and bucket.present & Setting.LOGGING:
            return True
        return self.beside is not None

    def note_beside(
        self,
        operation: str,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        *,
        size: int | None = None,
        refusal: S3Error | None = None,
        status: int = 0,
    ) -> None:
        """Have the server access log of ``bucket`` tell of this too, if it has one."""
        if bucket.present & Setting.LOGGING:
            if self.beside is None:
                self.beside = []
            error = ""
            if refusal is not None:
                status, error = refusal.status, refusal.code
            self.beside.append(Beside(operation, bucket, key, version_id, size, status, error))

    # -- what came with it

    def header(self, name: str) -> str | None:
        """A request header by its lower-case name."""
        return header(self.environ, name)

    def conditions(self, prefix: str = "") -> Conditions | None:
        """The request's conditional headers, None when there is none."""
        return read_conditions(self.environ, prefix)

    def body(
        self,
        *,
        limit: int | None = None,
        etag: bool = True,
        compute: str | None = None,
        declared: bool = True,
    ) -> BodyReader:
        """The request's body, verified as it is read; nothing is read yet.

        :param limit: the most bytes that may come; the profile's ``max_put`` by default.
        :param etag: compute the MD5 that becomes an ETag.
        :param compute: a checksum to compute where the client declares none.
        :param declared: verify the checksum that the client declares for the body; False where
            such a header is about something else.
        :raises MissingContentLength: EntityTooLarge, InvalidArgument, InvalidDigest ... before
            the first byte is read.
        """
        limit = self.site.profile.max_put if limit is None else limit
        payload = self.identity.payload
        expected = self.declared_checksum() if declared else None
        md5 = content_md5(self.environ)
        if payload.startswith("STREAMING-"):
            stream, length = self._chunked(payload)
            if length > limit:
                raise too_large(length, limit)
            return BodyReader(
                stream,
                length,
                sha256=None,
                content_md5=md5,
                expected=expected,
                compute=compute,
                limit=limit,
                md5=etag,
            )
        known = self.input.length
        if not self.input.declared and self.operation.body == "stream":
            raise MissingContentLength()
        if known is not None and known > limit:
            raise too_large(known, limit)
        return BodyReader(
            self.input,
            known,
            sha256=None if payload == UNSIGNED_PAYLOAD else payload,
            content_md5=md5,
            expected=expected,
            compute=compute,
            limit=limit,
            md5=etag,
        )

    def _chunked(self, payload: str) -> tuple[ChunkedReader, int]:
        declared = self.header("x-amz-decoded-content-length")
        if not declared:
            raise MissingContentLength()
        if not (declared.isascii() and declared.isdigit() and len(declared) <= 19):
            raise InvalidArgument(
                argument_name="x-amz-decoded-content-length", argument_value=declared
            )
        signer = None
        if not payload.startswith("STREAMING-UNSIGNED-"):
            signer = self.identity.chunk_signer
            if signer is None:
                # Signed chunks chain on a signature in the header; there is none to start from.
                raise SignatureDoesNotMatch()
        names = trailer_names(self.header("x-amz-trailer")) if payload.endswith("-TRAILER") else ()
        length = int(declared)
        return ChunkedReader(self.input, length, signer=signer, trailer=names), length

    def declared_checksum(self) -> Expected | None:
        """The checksum that the client declares for the body, in a header or the trailer.

        :raises InvalidRequest: it declares two, or an unknown one.
        """
        return checksums.declared(self.environ)

    def document(
        self,
        cls: type[Document],
        *,
        checksum_required: bool = False,
        limit: int = DOCUMENT_LIMIT,
    ) -> Document:
        """The request's XML document, of at most ``limit`` bytes.

        :raises MalformedXML: it is none, or not this one.
        :raises InvalidRequest: a checksum is required and none came.
        """
        if checksum_required and not self.has_checksum():
            raise InvalidRequest(
                "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            )
        return from_xml(cls, self.document_bytes(limit=limit), limit=limit)

    def document_bytes(self, *, limit: int = DOCUMENT_LIMIT, declared: bool = True) -> bytes:
        """The request's document as bytes, verified; read once, however often it is asked for.

        :param declared: see :meth:`body`.
        :raises MaxMessageLengthExceeded: it has more than ``limit`` bytes.
        """
        if self._document is None:
            try:
                self._document = self.body(limit=limit, etag=False, declared=declared).read_all()
            except EntityTooLarge:
                raise MaxMessageLengthExceeded(max_message_length_bytes=limit) from None
        return self._document

    def has_checksum(self) -> bool:
        """Whether a Content-MD5 or any ``x-amz-checksum-*`` (also as a trailer) came."""
        environ = self.environ
        return (
            "HTTP_CONTENT_MD5" in environ
            or "HTTP_X_AMZ_TRAILER" in environ
            or any(name.startswith("HTTP_X_AMZ_CHECKSUM_") for name in environ)
        )

    def has_body(self) -> bool:
        """Whether the request brings any body bytes."""
        return self.input.length != 0

    # -- answers

    def empty(self, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
        """An answer without a body."""
        return empty(status, headers)


def too_large(size: int, limit: int) -> EntityTooLarge:
    """The error for a body of ``size`` bytes where ``limit`` are allowed."""
    return EntityTooLarge(proposed_size=size, max_size_allowed=limit)


__all__ = ["Attributes", "Call", "Site"]
