"""What a request says under the condition keys of policies, found out when a policy asks.

Source: Service Authorization Reference, "Condition keys for Amazon S3"; IAM User Guide, "AWS global
condition context keys".
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING
from typing import Final
from typing import TypeAlias
from typing import TypeVar

from .auth.actions import LISTINGS
from .auth.canonical import ALGORITHM
from .auth.canonical import UNSIGNED_PAYLOAD
from .auth.canonical import parse_amz_date
from .auth.patterns import normal_key
from .auth.policy import provider_name
from .errors import AccessDenied
from .model import Account
from .model import Bucket
from .model import Caller
from .model import ObjectVersion
from .wire.environ import header
from .wire.environ import public_url_parts
from .wire.headers import iso8601
from .wire.headers import parse_copy_source
from .wire.headers import parse_http_date

if TYPE_CHECKING:
    from .call import Call

Value: TypeAlias = "str | tuple[str, ...]"
Provider: TypeAlias = "Callable[[RequestContext, str], Value | None]"
"""Finds the value of a key; gets what follows the slash of a key that ends in a tag's name."""

_Provider = TypeVar("_Provider", bound="Provider")

_PROVIDERS: Final[dict[str, Provider]] = {}


def provides(*keys: str) -> Callable[[_Provider], _Provider]:
    """Make the decorated function the one that answers for condition keys, in lower case.

    A key that ends in ``/`` stands for all that begin so.

    :raises TypeError: another one answers for it.
    """

    def register(provider: _Provider) -> _Provider:
        for key in keys:
            if _PROVIDERS.setdefault(key, provider) is not provider:
                raise TypeError(f"two functions answer for the condition key {key}")
        return provider

    return register


class RequestContext(Mapping[str, Value]):
    """The condition keys of one question. Nothing is looked at before it is asked for."""

    __slots__ = ("action", "bucket", "call", "key", "version_id")

    def __init__(
        self,
        call: Call,
        action: str,
        bucket: Bucket | None,
        key: bytes | None,
        version_id: str | None,
    ) -> None:
        self.call = call
        self.action = action
        self.bucket = bucket
        self.key = key
        self.version_id = version_id

    def load(self) -> ObjectVersion | None:
        """The version that is asked about, fetched once; None where there is none."""
        bucket, key = self.bucket, self.key
        if bucket is None or key is None:
            return None
        return self.call.judge(bucket, key, self.version_id)

    def __getitem__(self, key: str) -> Value:
        family, slash, rest = key.partition("/")
        provider = _PROVIDERS.get(family + slash)
        if provider is None:
            value: Value | None = _claim(self, key)
        else:
            value = provider(self, rest if slash else key)
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        """The keys that have no tag's name and a value now."""
        return (key for key in _PROVIDERS if not key.endswith("/") and key in self)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def sent(self, name: str) -> str | None:
        """A header of the request, a form's field in its place."""
        fields = self.call.fields
        return header(self.call.environ, name) if fields is None else fields.get(name)


def name_of(account: Account) -> str:
    """What ARNs call an account: its number, its id where it has none."""
    return account.number or account.id


def arn_of(caller: Caller) -> str:
    """The ARN of a caller that is not anonymous."""
    assert caller.account is not None, "nobody knows who that is"
    session = caller.session
    principal = caller.principal or "root"
    if session is not None and session.federated_user:
        principal = f"federated-user/{session.federated_user}"
    service = "sts" if principal.startswith(("assumed-role/", "federated-user/")) else "iam"
    return f"arn:aws:{service}::{name_of(caller.account)}:{principal}"


def user_id_of(caller: Caller) -> str:
    """What ``aws:userid`` says of a caller that is not anonymous."""
    assert caller.account is not None, "nobody knows who that is"
    session = caller.session
    if session is not None and session.roles:
        return f"{session.roles[-1][2]}:{session.name}"
    if session is not None and session.federated_user:
        return f"{name_of(caller.account)}:{session.federated_user}"
    _, _, rest = caller.principal.partition("/")
    account = name_of(caller.account)
    return f"{account}:{rest.rpartition('/')[2]}" if rest else account


# -- what was sent

_AS_SENT: Final = (
    "acl",
    "grant-full-control",
    "grant-read",
    "grant-read-acp",
    "grant-write",
    "grant-write-acp",
    "metadata-directive",
    "object-ownership",
    "server-side-encryption",
    "server-side-encryption-aws-kms-key-id",
    "server-side-encryption-customer-algorithm",
    "storage-class",
    "website-redirect-location",
)


@provides(*(f"s3:x-amz-{name}" for name in _AS_SENT))
def _amz_header(context: RequestContext, key: str) -> str | None:
    name = key.removeprefix("s3:")
    fields = context.call.fields
    if name == "x-amz-acl" and fields is not None and "acl" in fields:
        # A form calls it so, and of both this is the one that counts.
        return fields["acl"]
    return context.sent(name)


@provides("s3:x-amz-content-sha256")
def _payload(context: RequestContext, key: str) -> str | None:
    """What the header says of the body; a presigned URL is always ``UNSIGNED-PAYLOAD``.

    Source: API Reference, "Amazon S3 Signature Version 4 Authentication Specific Policy Keys".
    """
    if context.call.identity.kind == "query":
        return UNSIGNED_PAYLOAD
    return context.sent("x-amz-content-sha256")


@provides("s3:if-match", "s3:if-none-match")
def _precondition(context: RequestContext, key: str) -> str | None:
    call = context.call
    name = key.removeprefix("s3:")
    if call.operation.name == "DeleteObjects":
        # What the header says holds for none of the keys.
        return call.if_match if name == "if-match" else None
    # Of a form's fields none is a condition.
    return header(call.environ, name) if call.fields is None else None


@provides("s3:objectcreationoperation")
def _creates(context: RequestContext, key: str) -> str | None:
    """Whether an object comes of it, and not a step of a multipart upload towards one."""
    if context.action != "s3:PutObject":
        return None
    return "true" if context.call.operation.name not in _STEPS else "false"


_STEPS: Final = frozenset(("CreateMultipartUpload", "UploadPart", "UploadPartCopy"))


@provides("s3:x-amz-copy-source")
def _copy_source(context: RequestContext, key: str) -> str | None:
    value = context.sent("x-amz-copy-source")
    if value is None:
        return None
    # Read as the copy itself reads it: no spelling may mean one thing here and another there.
    bucket, source, _ = parse_copy_source(value)
    call = context.call
    if call.store.buckets.per_account:
        expected = context.sent("x-amz-source-expected-bucket-owner")
        found = call.find_bucket(bucket, expected=expected)
        if context.bucket is None or found.account != context.bucket.account:
            # Whoever wrote the name meant a bucket of his own, which this may not be.
            raise AccessDenied
    return f"{bucket}/{source.decode('utf-8', 'surrogateescape')}"


@provides("s3:prefix", "s3:delimiter", "s3:max-keys")
def _listing(context: RequestContext, key: str) -> str | None:
    if context.action not in LISTINGS or context.call.key is not None:
        return None
    return context.call.query.get(key.removeprefix("s3:"))


@provides("s3:versionid")
def _version(context: RequestContext, key: str) -> str | None:
    return context.version_id


@provides("s3:annotationname")
def _annotation(context: RequestContext, key: str) -> str | None:
    return context.call.query.get("annotationName")


# -- tags

_EXISTING: Final = "s3:existingobjecttag/"


@provides(_EXISTING)
def _existing_tag(context: RequestContext, tag: str) -> str | None:
    version = context.load()
    return None if version is None else dict(version.tags).get(tag)


# -- who


@provides("aws:principalarn")
def _principal_arn(context: RequestContext, key: str) -> str | None:
    caller = context.call.caller
    if caller.account is None:
        return None
    principal = caller.principal
    if principal.startswith("assumed-role/"):
        # The role's, not the session's.
        return f"arn:aws:iam::{name_of(caller.account)}:role/{principal.split('/')[1]}"
    return arn_of(caller)


@provides("aws:principalaccount")
def _principal_account(context: RequestContext, key: str) -> str | None:
    account = context.call.caller.account
    return None if account is None else name_of(account)


_TYPES: Final = {
    "user": "User",
    "assumed-role": "AssumedRole",
    "federated-user": "FederatedUser",
}


@provides("aws:principaltype")
def _principal_type(context: RequestContext, key: str) -> str:
    caller = context.call.caller
    if caller.account is None:
        return "Anonymous"
    if caller.session is not None and caller.session.federated_user:
        return "FederatedUser"
    return _TYPES.get(caller.principal.partition("/")[0], "Account")


@provides("aws:userid")
def _user_id(context: RequestContext, key: str) -> str:
    caller = context.call.caller
    if caller.account is None:
        return "anonymous"
    return user_id_of(caller)


@provides("aws:username")
def _user_name(context: RequestContext, key: str) -> str | None:
    kind, _, rest = context.call.caller.principal.partition("/")
    # Of users alone: a role's session has none.
    return rest.rpartition("/")[2] if kind == "user" and rest else None


@provides("aws:principaltag/")
def _principal_tag(context: RequestContext, tag: str) -> str | None:
    session = context.call.caller.session
    return None if session is None else dict(session.tags).get(tag)


@provides("aws:tokenissuetime")
def _token_issue_time(context: RequestContext, key: str) -> str | None:
    session = context.call.caller.session
    return None if session is None or not session.issued else iso8601(session.issued * 1000)


@provides("aws:multifactorauthpresent")
def _multi_factor(context: RequestContext, key: str) -> str | None:
    # Of temporary keys alone; nothing here knows of a second factor.
    return None if context.call.caller.session is None else "false"


@provides("aws:federatedprovider")
def _federated_provider(context: RequestContext, key: str) -> str | None:
    session = context.call.caller.session
    return None if session is None else session.provider or None


def _claim(context: RequestContext, key: str) -> str | None:
    """What the token of an identity provider said: ``issuer:sub`` or ``issuer:aud``."""
    session = context.call.caller.session
    if session is None or not session.provider or len(session.roles) != 1:
        return None
    provider = normal_key(provider_name(session.provider))
    if key == f"{provider}:sub":
        return session.subject
    return session.audience if key == f"{provider}:aud" else None


@provides("aws:principalisawsservice")
def _is_service(context: RequestContext, key: str) -> str:
    return "true" if context.call.caller.service else "false"


@provides("aws:principalservicename")
def _service_name(context: RequestContext, key: str) -> str | None:
    return context.call.caller.service or None


@provides("s3:resourceaccount", "aws:resourceaccount")
def _resource_account(context: RequestContext, key: str) -> str | None:
    # Of a copy's source that is another than the request's own.
    bucket = context.bucket
    return None if bucket is None else name_of(context.call.account(bucket.account))


# -- how it came


@provides("aws:sourceip")
def _source_ip(context: RequestContext, key: str) -> str | None:
    call = context.call
    # X-Forwarded-For counts only where a trusted proxy wrote it (A077).
    return public_url_parts(call.environ, call.site.trusted)[3] or None


@provides("aws:securetransport")
def _secure(context: RequestContext, key: str) -> str:
    call = context.call
    scheme = public_url_parts(call.environ, call.site.trusted)[0]
    return "true" if scheme == "https" else "false"


@provides("s3:tlsversion")
def _tls_version(context: RequestContext, key: str) -> str | None:
    # Some servers say it in mod_ssl's variable: TLSv1.3.
    word: str = context.call.environ.get("SSL_PROTOCOL") or ""
    return word[4:] if word.startswith("TLSv") and len(word) > 5 else None


@provides("aws:useragent")
def _user_agent(context: RequestContext, key: str) -> str | None:
    return header(context.call.environ, "user-agent")


@provides("aws:referer")
def _referer(context: RequestContext, key: str) -> str | None:
    return header(context.call.environ, "referer")


@provides("aws:requestedregion")
def _region(context: RequestContext, key: str) -> str:
    return context.call.site.region


@provides("aws:viaawsservice")
def _via_service(context: RequestContext, key: str) -> str:
    return "false"


@provides("aws:currenttime")
def _current_time(context: RequestContext, key: str) -> str:
    return datetime.fromtimestamp(context.call.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@provides("aws:epochtime")
def _epoch_time(context: RequestContext, key: str) -> str:
    return str(int(context.call.now))


# -- how it was signed

_AUTH_TYPES: Final = {"header": "REST-HEADER", "query": "REST-QUERY-STRING", "form": "POST"}


@provides("s3:authtype")
def _auth_type(context: RequestContext, key: str) -> str | None:
    identity = context.call.identity
    return None if identity.caller.anonymous else _AUTH_TYPES.get(identity.kind)


@provides("s3:signatureversion")
def _signature_version(context: RequestContext, key: str) -> str | None:
    return None if _auth_type(context, key) is None else ALGORITHM


@provides("s3:signatureage")
def _signature_age(context: RequestContext, key: str) -> str | None:
    call = context.call
    kind = _auth_type(context, key)
    if kind is None:
        return None
    text = call.query.get("X-Amz-Date") if kind == "REST-QUERY-STRING" else None
    text = text or context.sent("x-amz-date")
    if not text and kind == "REST-HEADER":
        # A client may sign the Date alone.
        text = header(call.environ, "date")
    signed: float | None = parse_amz_date(text or "")
    if signed is None:
        milliseconds = parse_http_date(text or "")
        signed = None if milliseconds is None else milliseconds / 1000
    return None if signed is None else str(max(0, int((call.now - signed) * 1000)))
