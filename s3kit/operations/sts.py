"""STS on S3's endpoint: temporary keys for key holders, for roles, and by identity providers.

Source: AWS Security Token Service API Reference.
"""

from __future__ import annotations

import hashlib
import re
from collections import ChainMap
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Final
from typing import TypeVar
from typing import cast

from .. import errors
from ..auth.assume import TRUST
from ..auth.assume import by_own_policies
from ..auth.assume import may_assume
from ..auth.canonical import EMPTY_SHA256
from ..auth.canonical import STS_SERVICE
from ..auth.identity_provider import LONGEST_TOKEN
from ..auth.identity_provider import read_token
from ..auth.patterns import normal_key
from ..auth.policy import FEDERATED
from ..auth.policy import provider_name
from ..auth.scope import refusal_of_anything
from ..auth.session import packed_percentage
from ..auth.session import session_rules
from ..auth.sigv4 import ANONYMOUS_IDENTITY
from ..auth.sigv4 import Identity
from ..auth.sigv4 import Request
from ..auth.sigv4 import identify
from ..call import Call
from ..call import Site
from ..context import RequestContext
from ..context import arn_of
from ..context import name_of
from ..context import user_id_of
from ..errors import S3Error
from ..model import Caller
from ..model import Decision
from ..model import Key
from ..model import Question
from ..model import Role
from ..model import Session
from ..store.roles import LEAST_SECONDS
from ..store.roles import USUAL_SECONDS
from ..wire.environ import Input
from ..wire.headers import iso8601
from ..wire.query import Query
from ..wire.query import parse_query
from ..wire.response import Response
from ..wire.routing import Operation
from ..wire.sts import MOST_BYTES
from ..wire.sts import NAMESPACE
from ..wire.sts import VERSION
from ..wire.sts import sts_answer
from ..wire.xml import document
from ..wire.xml import field_xml

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

USUAL_TOKEN_SECONDS: Final = 43_200
MOST_TOKEN_SECONDS: Final = 129_600
"""How long the keys of GetSessionToken and GetFederationToken live, in seconds."""
MOST_CHAINED_SECONDS: Final = 3_600
"""How long those of a role live that another role's session has assumed."""
MOST_ROLES: Final = 8
"""How many roles one session may go through."""
MOST_POLICY: Final = 2048
"""Characters of a session's policy."""
MOST_TAGS: Final = 50


# -- documents


@document("ResponseMetadata", namespace="")
@dataclass
class ResponseMetadata:
    """What every answer of STS ends with."""

    request_id: str


@dataclass
class Credentials:
    """A temporary key."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: str


@dataclass
class AssumedRoleUser:
    """Who a role's session is."""

    assumed_role_id: str
    arn: str = field_xml("Arn")


@dataclass
class GetCallerIdentityResult:
    """Who the caller is."""

    user_id: str
    account: str
    arn: str = field_xml("Arn")


@document("GetCallerIdentityResponse", namespace=NAMESPACE)
@dataclass
class GetCallerIdentityResponse:
    """The answer to GetCallerIdentity."""

    get_caller_identity_result: GetCallerIdentityResult
    response_metadata: ResponseMetadata


@dataclass
class GetSessionTokenResult:
    """A key that may do what the caller may."""

    credentials: Credentials


@document("GetSessionTokenResponse", namespace=NAMESPACE)
@dataclass
class GetSessionTokenResponse:
    """The answer to GetSessionToken."""

    get_session_token_result: GetSessionTokenResult
    response_metadata: ResponseMetadata


@dataclass
class FederatedUser:
    """Who a federated user is."""

    federated_user_id: str
    arn: str = field_xml("Arn")


@dataclass
class GetFederationTokenResult:
    """A federated user's key."""

    credentials: Credentials
    federated_user: FederatedUser
    packed_policy_size: int | None = None


@document("GetFederationTokenResponse", namespace=NAMESPACE)
@dataclass
class GetFederationTokenResponse:
    """The answer to GetFederationToken."""

    get_federation_token_result: GetFederationTokenResult
    response_metadata: ResponseMetadata


@dataclass
class AssumeRoleResult:
    """A role's key. ``packed_policy_size`` is in per cent of the room for it."""

    credentials: Credentials
    assumed_role_user: AssumedRoleUser
    packed_policy_size: int | None = None


@document("AssumeRoleResponse", namespace=NAMESPACE)
@dataclass
class AssumeRoleResponse:
    """The answer to AssumeRole."""

    assume_role_result: AssumeRoleResult
    response_metadata: ResponseMetadata


@dataclass
class AssumeRoleWithWebIdentityResult:
    """A role's key for somebody whom an identity provider knows."""

    subject_from_web_identity_token: str
    audience: str
    assumed_role_user: AssumedRoleUser
    credentials: Credentials
    provider: str
    packed_policy_size: int | None = None


@document("AssumeRoleWithWebIdentityResponse", namespace=NAMESPACE)
@dataclass
class AssumeRoleWithWebIdentityResponse:
    """The answer to AssumeRoleWithWebIdentity."""

    assume_role_with_web_identity_result: AssumeRoleWithWebIdentityResult
    response_metadata: ResponseMetadata


# -- a request's way


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for STS. ``scheme`` and ``host`` are as the client used them."""

    environ: WSGIEnvironment
    method: str
    body: Input
    request_id: str
    canonical_paths: tuple[str, ...]
    query: Query
    scheme: str
    host: str
    now: float


Answer = TypeVar("Answer")
Action = Callable[[Call, Query], object]

_ACTIONS: Final[dict[str, Action]] = {}
_Action = TypeVar("_Action", bound=Action)


def action(name: str) -> Callable[[_Action], _Action]:
    """Make the decorated function the answer to one action of STS."""

    def register(function: _Action) -> _Action:
        _ACTIONS[name] = function
        return function

    return register


def serve(
    site: Site, asked: Asked, perform: Callable[[Call, Callable[[Call], Response]], Response]
) -> Response:
    """Answer one request.

    :param perform: does what is done for every request once its sender is known.
    :raises S3Error: one of STS.
    """
    try:
        call, function, parameters = _read(site, asked)
        record = asked.environ.get("s3kit.request")
        if record is not None:
            record.called(call)
        return perform(call, lambda call: sts_answer(function(call, parameters)))
    except S3Error as error:
        found = translated(error)
        if found is error:
            raise
        raise found from None


def _read(site: Site, asked: Asked) -> tuple[Call, Action, Query]:
    length = asked.body.length
    if length is not None and length > MOST_BYTES:
        raise errors.RequestEntityTooLarge()
    data = asked.body.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise errors.RequestEntityTooLarge()
    parameters = asked.query if asked.method == "GET" else parse_query(data.decode("latin-1"))
    name = parameters.get("Action") or ""
    identity = ANONYMOUS_IDENTITY
    if name != "AssumeRoleWithWebIdentity":
        # That one has no use for a signature, and a client may hold keys that are over.
        identity = _identify(site, asked, data)
    if not name:
        raise errors.MissingAction("Missing Action")
    function = _ACTIONS.get(name)
    version = parameters.get("Version") or "NO_VERSION_SPECIFIED"
    if function is None or version != VERSION or name in site.profile.disabled:
        raise errors.InvalidAction(
            f"Could not find operation {name[:128]} for version {version[:32]}"
        )
    call = Call(
        asked.environ,
        site,
        Operation(name, asked.method, "service"),
        asked.query,
        asked.body,
        asked.request_id,
        identity,
        None,
        None,
    )
    return call, function, parameters


def _identify(site: Site, asked: Asked, data: bytes) -> Identity:
    return identify(
        Request(
            asked.method,
            asked.canonical_paths,
            asked.query,
            asked.environ,
            asked.scheme,
            asked.host,
            STS_SERVICE,
            hashlib.sha256(data).hexdigest() if data else EMPTY_SHA256,
        ),
        site.key_ring,
        now=asked.now,
        region=site.pinned_region,
        sessions=site.sessions,
    )


# What S3 and STS call by different names. Source: STS API Reference, "Common Error Types".
_TRANSLATED: Final[dict[type[S3Error], tuple[type[S3Error], bool]]] = {
    errors.AuthorizationHeaderMalformed: (errors.IncompleteSignature, True),
    errors.AuthorizationQueryParametersError: (errors.IncompleteSignature, True),
    errors.InternalError: (errors.InternalFailure, False),
    errors.InvalidAccessKeyId: (errors.InvalidClientTokenId, False),
    errors.InvalidArgument: (errors.ValidationError, True),
    errors.InvalidRequest: (errors.ValidationError, True),
    errors.InvalidToken: (errors.InvalidClientTokenId, False),
    errors.MalformedPolicy: (errors.MalformedPolicyDocument, True),
    errors.NotImplemented: (errors.IncompleteSignature, True),
    errors.SlowDown: (errors.Throttling, False),
}


def translated(error: S3Error) -> S3Error:
    """An error as STS calls it."""
    if isinstance(error, errors.RequestTimeTooSkewed):
        sent, here = (error.details.get(name) for name in ("request_time", "server_time"))
        return errors.SignatureDoesNotMatch(f"Signature expired: {sent!s} is too far from {here!s}")
    if isinstance(error, errors.ExpiredToken):
        return errors.ExpiredToken("The security token included in the request is expired")
    found = _TRANSLATED.get(type(error))
    if found is None:
        return error
    kind, told = found
    return kind(error.text if told else None)


# -- actions


@action("GetCallerIdentity")
def get_caller_identity(call: Call, parameters: Query) -> object:
    """Who the signature is of; nobody needs a leave to ask that."""
    caller = _signed(call)
    assert caller.account is not None
    return GetCallerIdentityResponse(
        GetCallerIdentityResult(user_id_of(caller), name_of(caller.account), arn_of(caller)),
        ResponseMetadata(call.request_id),
    )


@action("GetSessionToken")
def get_session_token(call: Call, parameters: Query) -> object:
    """A temporary key that may do just what the caller may, and ends with the caller's own key."""
    caller = _signed(call)
    if caller.session is not None or caller.access_key is None:
        raise errors.AccessDenied("Cannot call GetSessionToken with session credentials")
    _refuse_second_factor(parameters)
    seconds = _seconds(parameters, USUAL_TOKEN_SECONDS, MOST_TOKEN_SECONDS)
    now = int(call.now)
    expires = _end(call, now, seconds)
    key = call.site.sessions.open(Session(caller.access_key, expires=expires, issued=now))
    return GetSessionTokenResponse(
        GetSessionTokenResult(_credentials(key)), ResponseMetadata(call.request_id)
    )


@action("GetFederationToken")
def get_federation_token(call: Call, parameters: Query) -> object:
    """A temporary key for somebody else, who may do what the caller and ``Policy`` both allow."""
    caller = _signed(call)
    account = caller.account
    assert account is not None
    if caller.session is not None or caller.access_key is None:
        raise errors.AccessDenied("Cannot call GetFederationToken with session credentials")
    name = parameters.get("Name") or ""
    if not _FEDERATED_NAME.fullmatch(name):
        raise _invalid(name, "name", r"satisfy regular expression pattern: [\w+=,.@-]{2,32}")
    # As on AWS: without a policy the session may do nothing.
    policy = _session_policy(parameters) or _NOTHING
    tags = _tags(parameters)
    arn = f"arn:aws:sts::{name_of(account)}:federated-user/{name}"
    for each in ["sts:GetFederationToken", *(["sts:TagSession"] if tags else [])]:
        question = _question(call, caller, each, arn, _of_tags(tags))
        decision = by_own_policies(question)
        call.note_asked(question, decision)
        if not decision.allowed:
            raise errors.AccessDenied(
                f"User: {arn_of(caller)} is not authorized to perform: {each} on resource: {arn}"
            )
    seconds = _seconds(parameters, USUAL_TOKEN_SECONDS, MOST_TOKEN_SECONDS)
    now = int(call.now)
    key = call.site.sessions.open(
        Session(
            caller.access_key,
            expires=_end(call, now, seconds),
            issued=now,
            name=name,
            tags=tags,
            policy=policy,
        )
    )
    user = Caller(account, session=key.session)
    return GetFederationTokenResponse(
        GetFederationTokenResult(
            _credentials(key), FederatedUser(user_id_of(user), arn_of(user)), _packed(key)
        ),
        ResponseMetadata(call.request_id),
    )


_NOTHING: Final = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
)


@action("AssumeRole")
def assume_role(call: Call, parameters: Query) -> object:
    """A temporary key of a role, for a caller whom the role trusts."""
    caller = _signed(call)
    before = caller.session
    if before is not None and before.bucket_id:
        raise errors.AccessDenied("A session for one bucket can assume no role")
    if before is not None and before.federated_user:
        raise errors.AccessDenied("Cannot call AssumeRole with federation credentials")
    arn = _role_arn(parameters)
    name = _session_name(parameters)
    policy = _session_policy(parameters)
    tags = _tags(parameters)
    _refuse_second_factor(parameters)
    _refuse_unknown(parameters, "SourceIdentity", "TransitiveTagKeys", "ProvidedContexts")
    role = _role(call, arn)
    extra: dict[str, str | tuple[str, ...]] = {"sts:rolesessionname": name}
    external = parameters.get("ExternalId")
    if external is not None:
        if not _EXTERNAL_ID.fullmatch(external):
            raise _invalid(external, "externalId", f"satisfy the pattern {_EXTERNAL_ID.pattern}")
        extra["sts:externalid"] = external
    extra.update(_of_tags(tags))
    wanted = ["sts:AssumeRole", *(["sts:TagSession"] if tags else [])]
    for each in wanted:
        if not _may_assume(call, _question(call, caller, each, arn, extra), role):
            # The same for a role that is not there: who may not assume it learns nothing of it.
            raise errors.AccessDenied(
                f"User: {arn_of(caller)} is not authorized to perform: {each} on resource: {arn}"
            )
    assert role is not None, "nobody may assume a role that is not there"
    roles: tuple[tuple[str, str, str], ...] = ()
    if before is not None:
        roles = before.roles
    if roles and len(roles) >= MOST_ROLES:
        raise errors.ValidationError("Too many roles were assumed one through the other")
    seconds = _role_seconds(parameters, role, chained=bool(roles))
    now = int(call.now)
    key = call.site.sessions.open(
        Session(
            caller.access_key or "" if before is None else before.parent,
            expires=_end(call, now, seconds),
            issued=now,
            roles=(*roles, (role.account, role.name, role.id)),
            name=name,
            provider="" if before is None else before.provider,
            subject="" if before is None else before.subject,
            audience="" if before is None else before.audience,
            tags=tags,
            policy=policy,
        )
    )
    return AssumeRoleResponse(
        AssumeRoleResult(_credentials(key), _assumed(key), _packed(key)),
        ResponseMetadata(call.request_id),
    )


@action("AssumeRoleWithWebIdentity")
def assume_role_with_web_identity(call: Call, parameters: Query) -> object:
    """A temporary key of a role, for somebody whom an identity provider's token vouches for."""
    arn = _role_arn(parameters)
    name = _session_name(parameters)
    policy = _session_policy(parameters)
    token = parameters.get("WebIdentityToken") or ""
    if not 4 <= len(token) <= LONGEST_TOKEN:
        raise errors.ValidationError(
            "1 validation error detected: 'webIdentityToken' must have 4 to 20000 characters"
        )
    _refuse_unknown(parameters, "ProviderId")
    issuer = read_token(token)[1].get("iss")
    site = call.site
    provider = site.providers.get(issuer) if isinstance(issuer, str) else None
    if provider is None or not site.sessions.takes_strangers:
        raise errors.InvalidIdentityToken("No OpenIDConnect provider found for the token's issuer")
    now = int(call.now)
    vouched = provider.verify(token, call.now)
    said = normal_key(provider_name(vouched.issuer))
    extra: dict[str, str | tuple[str, ...]] = {
        "sts:rolesessionname": name,
        "aws:federatedprovider": vouched.issuer,
        f"{said}:sub": vouched.subject,
        f"{said}:aud": vouched.audience,
    }
    caller = Caller(principal=FEDERATED + provider_name(vouched.issuer))
    role = _role(call, arn)
    question = _question(call, caller, "sts:AssumeRoleWithWebIdentity", arn, extra)
    if not _may_assume(call, question, role):
        raise errors.AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
    assert role is not None, "nobody may assume a role that is not there"
    seconds = _role_seconds(parameters, role)
    key = site.sessions.open(
        Session(
            "",
            expires=now + seconds,
            issued=now,
            roles=((role.account, role.name, role.id),),
            name=name,
            provider=vouched.issuer,
            subject=vouched.subject,
            audience=vouched.audience,
            policy=policy,
        )
    )
    return AssumeRoleWithWebIdentityResponse(
        AssumeRoleWithWebIdentityResult(
            vouched.subject,
            vouched.audience,
            _assumed(key),
            _credentials(key),
            vouched.issuer,
            _packed(key),
        ),
        ResponseMetadata(call.request_id),
    )


def _signed(call: Call) -> Caller:
    caller = call.caller
    if caller.account is None:
        raise errors.MissingAuthenticationToken()
    question = call.question(f"sts:{call.operation.name}", None)
    refusal = refusal_of_anything(question, call.now)
    if refusal is not None:
        call.note_asked(question, refusal)
        raise errors.AccessDenied()
    return caller


def _question(
    call: Call, caller: Caller, name: str, arn: str, extra: Mapping[str, str | tuple[str, ...]]
) -> Question:
    context = RequestContext(call, name, None, None, None)
    conditions = ChainMap(dict(extra), cast("MutableMapping[str, Any]", context))
    return Question(caller, name, conditions=conditions, resource=arn)


def _of_tags(tags: tuple[tuple[str, str], ...]) -> dict[str, str | tuple[str, ...]]:
    """The condition keys of a session's tags."""
    if not tags:
        return {}
    found: dict[str, str | tuple[str, ...]] = {"aws:tagkeys": tuple(key for key, _ in tags)}
    found.update({f"aws:requesttag/{key}": value for key, value in tags})
    return found


def _role(call: Call, arn: str) -> Role | None:
    match = _ROLE_ARN.fullmatch(arn)
    assert match is not None, "_role_arn has looked at it"
    account, name = match.groups()
    own = call.caller.account
    if own is not None and account in (own.id, own.number):
        found: str | None = own.id
    elif call.site.key_ring.account(account) is not None:
        found = account
    else:
        found = call.store.roles.account_numbered(account)
    return None if found is None else call.site.sessions.role(found, name)


def _may_assume(call: Call, question: Question, role: Role | None) -> bool:
    decision = _NO_ROLE if role is None else may_assume(question, role)
    call.note_asked(question, decision)
    return decision.allowed


_NO_ROLE: Final = Decision(False, "there is no such role", by=TRUST)


def _credentials(key: Key) -> Credentials:
    assert key.session is not None
    assert key.session_token is not None
    return Credentials(
        key.access_key, key.secret_key, key.session_token, iso8601(key.session.expires * 1000)
    )


def _assumed(key: Key) -> AssumedRoleUser:
    caller = Caller(key.account, session=key.session, principal=key.principal)
    return AssumedRoleUser(user_id_of(caller), arn_of(caller))


def _packed(key: Key) -> int | None:
    session = key.session
    assert session is not None
    return packed_percentage(key) if session.policy or session.tags else None


def _end(call: Call, now: int, seconds: int) -> int:
    """When a session ends: not after the key that it hangs on."""
    scope = call.caller.scope
    end = now + seconds
    return min(end, scope.expires // 1000) if scope is not None and scope.expires else end


# -- parameters

_ROLE_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:iam::([^:/\x00-\x1f]{1,255}):role/([A-Za-z0-9_+=,.@-]{1,64})"
)
_FEDERATED_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{2,32}")
_SESSION_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_TAG_NAME: Final = re.compile(r"Tags\.member\.([0-9]{1,3})\.(Key|Value)", re.ASCII)


def _invalid(value: str, name: str, constraint: str) -> S3Error:
    return errors.ValidationError(
        f"1 validation error detected: Value '{value[:200]}' at '{name}' failed to satisfy "
        f"constraint: Member must {constraint}"
    )


def _role_arn(parameters: Query) -> str:
    arn = parameters.get("RoleArn") or ""
    if not _ROLE_ARN.fullmatch(arn):
        raise errors.ValidationError(f"{arn[:200]} is invalid")
    return arn


def _session_name(parameters: Query) -> str:
    name = parameters.get("RoleSessionName") or ""
    if not _SESSION_NAME.fullmatch(name):
        raise _invalid(
            name, "roleSessionName", r"satisfy regular expression pattern: [\w+=,.@-]{2,64}"
        )
    return name


def _number(parameters: Query, usual: int) -> int:
    text = parameters.get("DurationSeconds")
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _invalid(text, "durationSeconds", "be a whole number")
    return int(text)


def _seconds(parameters: Query, usual: int, most: int) -> int:
    seconds = _number(parameters, usual)
    if seconds < LEAST_SECONDS:
        raise _invalid(
            str(seconds), "durationSeconds", f"have value greater than or equal to {LEAST_SECONDS}"
        )
    if seconds > most:
        raise _invalid(str(seconds), "durationSeconds", f"have value less than or equal to {most}")
    return seconds


def _role_seconds(parameters: Query, role: Role, *, chained: bool = False) -> int:
    usual = min(USUAL_SECONDS, role.most_seconds)
    seconds = _seconds(parameters, usual, USUAL_TOKEN_SECONDS)
    if seconds > role.most_seconds:
        raise errors.ValidationError(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    if chained and seconds > MOST_CHAINED_SECONDS:
        raise errors.ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining."
        )
    return seconds


def _session_policy(parameters: Query) -> str:
    """The text of the policy that narrows the session, which is sure to be one; "" for none.

    :raises MalformedPolicy:
    """
    if any(name.startswith("PolicyArns.member.") for name in parameters.names):
        # Not to be passed over: the session would be wider than was asked for.
        raise errors.ValidationError("There are no managed policies here: send Policy")
    text = parameters.get("Policy")
    if text is None:
        return ""
    if not 1 <= len(text) <= MOST_POLICY:
        raise _invalid(
            text, "policy", f"have length less than or equal to {MOST_POLICY}, and not be empty"
        )
    session_rules(text)
    return text


def _tags(parameters: Query) -> tuple[tuple[str, str], ...]:
    found: dict[str, dict[str, str]] = {}
    for name in parameters.names:
        match = _TAG_NAME.fullmatch(name)
        if match is not None:
            found.setdefault(match[1], {})[match[2]] = parameters.get(name) or ""
        elif name.startswith("Tags.member."):
            raise errors.ValidationError(f"{name[:100]} is not expected")
    tags: dict[str, str] = {}
    seen: set[str] = set()
    for number in sorted(found, key=int):
        key, value = found[number].get("Key", ""), found[number].get("Value", "")
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise errors.ValidationError(f"Tag {number} is not valid")
        if key.lower() in seen:
            raise errors.ValidationError(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            )
        seen.add(key.lower())
        tags[key] = value
    if len(tags) > MOST_TAGS:
        raise errors.ValidationError(f"A session has at most {MOST_TAGS} tags")
    return tuple(tags.items())


def _refuse_second_factor(parameters: Query) -> None:
    if parameters.get("SerialNumber") or parameters.get("TokenCode"):
        raise errors.AccessDenied(
            "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )


def _refuse_unknown(parameters: Query, *names: str) -> None:
    """Refuse what cannot be passed over without meaning something else."""
    for name in parameters.names:
        if name.partition(".")[0] in names and parameters.get(name):
            raise errors.ValidationError(f"{name[:100]} is not supported")
