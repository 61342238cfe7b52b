"""Who sent a request: the Authorization header, and the way to the other forms of SigV4.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header".
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import urlsplit

from ..errors import AccessDenied
from ..errors import AuthorizationHeaderMalformed
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import RequestTimeTooSkewed
from ..errors import S3Error
from ..model import ANONYMOUS
from ..model import Key
from ..wire.headers import parse_http_date
from .canonical import ALGORITHM
from .canonical import ANONYMOUS_IDENTITY
from .canonical import ECDSA_ALGORITHM
from .canonical import EMPTY_SHA256
from .canonical import MAX_SKEW
from .canonical import SERVICE
from .canonical import TERMINATOR
from .canonical import UNSIGNED_PAYLOAD
from .canonical import UNSIGNED_TRAILER
from .canonical import Credential
from .canonical import Identity
from .canonical import Request
from .canonical import SignatureChain
from .canonical import SignedHeaders
from .canonical import SigningKey
from .canonical import canonical_query
from .canonical import check_headers_signed
from .canonical import check_payload_word
from .canonical import check_session_token
from .canonical import client_request
from .canonical import ecdsa_refused
from .canonical import find_key
from .canonical import parse_amz_date
from .canonical import parse_credential
from .canonical import parse_signed_headers
from .canonical import scope_fault
from .canonical import signature_v2_refused
from .canonical import verify
from .keyring import KeyRing
from .presigned import identify_query
from .session import Sessions

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "ANONYMOUS_IDENTITY",
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Identity",
    "Request",
    "SignatureChain",
    "identify",
    "sign_headers",
]

_QUERY_V4: Final = frozenset(("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"))
_QUERY_V2: Final = frozenset(("AWSAccessKeyId", "Signature"))
_QUERY_ANY: Final = _QUERY_V4 | _QUERY_V2

# Longer than any server's limit for one header, so that nothing here works on megabytes.
_LONGEST: Final = 64 * 1024

_LONGEST_KEPT: Final = 1024


def identify(
    request: Request,
    key_ring: KeyRing,
    *,
    now: float,
    region: str | None = None,
    sessions: Sessions | None = None,
) -> Identity:
    """Find out who signed a request, and check the signature.

    A form's signature (POST Object) is in its body and so not seen here; see ``post_policy``.

    :param now: seconds since the epoch.
    :param region: the only region that a signature may name; None accepts any (IU-12).
    :param sessions: finds temporary keys; None where there are none.
    :raises S3Error: AccessDenied, AuthorizationHeaderMalformed,
        AuthorizationQueryParametersError, ExpiredToken, InvalidAccessKeyId, InvalidArgument,
        InvalidRequest, InvalidToken, NotImplemented, RequestTimeTooSkewed or SignatureDoesNotMatch.
    """
    authorization: str = request.environ.get("HTTP_AUTHORIZATION", "")
    query = request.query
    if authorization:
        if query.raw and not query.names.isdisjoint(_QUERY_ANY):
            raise InvalidArgument(
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be specified",
                argument_name="Authorization",
                argument_value=authorization,
            )
        return _identify_header(request, authorization, key_ring, now, region, sessions)
    if query.raw:
        names = query.names
        if not names.isdisjoint(_QUERY_V4):
            return identify_query(request, key_ring, now=now, region=region, sessions=sessions)
        if not names.isdisjoint(_QUERY_V2):
            raise signature_v2_refused()
    return _anonymous(request.environ)


def _anonymous(environ: WSGIEnvironment) -> Identity:
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if not payload:
        if "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", ""):
            # SDKs told not to sign frame the body for its trailer all the same.
            return Identity(ANONYMOUS, "anonymous", UNSIGNED_TRAILER)
        return ANONYMOUS_IDENTITY
    # Signed chunks chain on a signature, and here is none: chunk_signer stays None.
    return Identity(ANONYMOUS, "anonymous", check_payload_word(payload))


def _identify_header(
    request: Request,
    authorization: str,
    key_ring: KeyRing,
    now: float,
    region: str | None,
    sessions: Sessions | None,
) -> Identity:
    credential, signed, signature = _read_authorization(authorization)
    if credential is None:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed; the Credential is mal-formed; "
            'expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    if signed is None:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed; the SignedHeaders are mal-formed."
        )
    environ = request.environ
    amz_date, seconds = request_date(environ)
    fault = scope_fault(credential, amz_date, request.service)
    if fault is not None:
        raise AuthorizationHeaderMalformed(f"The authorization header is malformed; {fault}")
    if region is not None and credential.region != region:
        raise AuthorizationHeaderMalformed(
            f"The authorization header is malformed; the region '{credential.region}' is wrong; "
            f"expecting '{region}'",
            region=region,
        )
    token: str | None = environ.get("HTTP_X_AMZ_S3SESSION_TOKEN")
    if token is None:
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
    key = find_key(key_ring, credential.access_key, sessions, token, now)
    if not -MAX_SKEW <= seconds - now <= MAX_SKEW:
        raise RequestTimeTooSkewed(
            request_time=amz_date,
            server_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            max_allowed_skew_milliseconds=MAX_SKEW * 1000,
        )
    payload: str = request.payload or environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if not payload:
        raise InvalidRequest("Missing required header for this request: x-amz-content-sha256")
    meaning = check_payload_word(payload)
    check_headers_signed(signed, environ)
    signing, path = verify(request, key, credential, amz_date, signed, (payload,), signature)
    # Only now: who cannot sign learns nothing of tokens.
    check_session_token(key, token)
    return Identity(
        signing.caller, "header", meaning, path, (signing, credential.scope, amz_date, signature)
    )


def _read_authorization(
    authorization: str,
) -> tuple[Credential | None, SignedHeaders | None, str]:
    """The credential and the signed headers, None for what is none, and the signature.

    :raises S3Error: as :func:`split_authorization`.
    """
    beginning, _, signature = authorization.rpartition("Signature=")
    if len(beginning) <= _LONGEST_KEPT >= len(signature) and "," not in signature:
        known = _beginning(beginning)
        if known is not None:
            return *known, signature.strip()
    credential, signed, signature = split_authorization(authorization)
    return parse_credential(credential), parse_signed_headers(signed), signature


@lru_cache(maxsize=1024)
def _beginning(text: str) -> tuple[Credential | None, SignedHeaders | None] | None:
    """What an Authorization header says before its signature, the same for a client all day.

    None where it has to be read as a whole.
    """
    try:
        credential, signed, rest = split_authorization(text + "Signature=")
    except S3Error:
        return None
    return None if rest else (parse_credential(credential), parse_signed_headers(signed))


def split_authorization(authorization: str) -> tuple[str, str, str]:
    """Return the credential, the signed headers and the signature of an Authorization header.

    :raises AuthorizationHeaderMalformed: or InvalidRequest, InvalidArgument, NotImplemented.
    """
    if authorization[:17] != "AWS4-HMAC-SHA256 " or len(authorization) > _LONGEST:
        raise _refuse_scheme(authorization)
    found = {}
    for part in authorization[17:].split(",", 3):
        name, _, value = part.partition("=")
        found[name.strip()] = value.strip()
    if len(found) == 3:
        try:
            return found["Credential"], found["SignedHeaders"], found["Signature"]
        except KeyError:
            pass
    raise AuthorizationHeaderMalformed(
        "The authorization header is malformed; the authorization header requires three "
        "components: Credential, SignedHeaders, and Signature."
    )


def _refuse_scheme(authorization: str) -> S3Error:
    scheme, space, _ = authorization.strip().partition(" ")
    if scheme == "AWS":
        return signature_v2_refused()
    if scheme == ECDSA_ALGORITHM:
        return ecdsa_refused(scheme)
    if space and scheme.isalpha():
        # Another scheme of HTTP, such as Basic or Bearer.
        return InvalidArgument(
            "Unsupported Authorization Type",
            argument_name="Authorization",
            argument_value=authorization[:1024],
        )
    return AuthorizationHeaderMalformed()


def request_date(environ: WSGIEnvironment) -> tuple[str, int]:
    """The request's date in its x-amz-date form, and in seconds; ``Date`` where that is absent.

    :raises AccessDenied: it has none, or one that is no date.
    """
    text: str = environ.get("HTTP_X_AMZ_DATE", "")
    if text:
        seconds = parse_amz_date(text)
        if seconds is not None:
            return text, seconds
    else:
        text = environ.get("HTTP_DATE", "")
        seconds = parse_amz_date(text)
        if seconds is not None:
            return text, seconds
        milliseconds = parse_http_date(text) if 0 < len(text) <= 64 else None
        if milliseconds is not None and 0 <= milliseconds < _YEAR_10000:
            seconds = milliseconds // 1000
            return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)), seconds
    raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")


_YEAR_10000: Final = 253_402_300_800_000


def sign_headers(
    method: str,
    url: str,
    key: Key,
    *,
    headers: Mapping[str, str] | None = None,
    payload: str | bytes = b"",
    region: str = "us-east-1",
    now: float | None = None,
) -> dict[str, str]:
    """Sign a request: the headers to send, those given and the four that signing adds.

    :param url: the whole URL, with its path encoded as it will be sent.
    :param headers: all of them are signed; header values as they will be sent.
    :param payload: the body, or what ``x-amz-content-sha256`` is to say.
    :param now: seconds since the epoch, by default the clock's.
    """
    parts = urlsplit(url)
    moment = time.gmtime(time.time() if now is None else now)
    amz_date = time.strftime("%Y%m%dT%H%M%SZ", moment)
    word = hashlib.sha256(payload).hexdigest() if isinstance(payload, bytes) else payload
    result = dict(headers or {})
    result["Host"] = parts.netloc.rpartition("@")[2]
    result["X-Amz-Date"] = amz_date
    result["X-Amz-Content-SHA256"] = word
    if key.session_token is not None:
        result["X-Amz-Security-Token"] = key.session_token
    scope = f"{amz_date[:8]}/{region}/{SERVICE}/{TERMINATOR}"
    credential = Credential(key.access_key, amz_date[:8], region, SERVICE, TERMINATOR, scope)
    canonical, names = client_request(
        method, parts.path, canonical_query(parts.query), result, word
    )
    to_sign = f"{ALGORITHM}\n{amz_date}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    signature = SigningKey(key, credential).sign(to_sign.encode())
    result["Authorization"] = (
        f"{ALGORITHM} Credential={key.access_key}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return result
