"""The query form of SigV4: verifying a presigned URL, and making one.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from ..errors import AccessDenied
from ..errors import AuthorizationQueryParametersError
from ..model import Key
from ..wire.address import aws_quote
from ..wire.query import Query
from .canonical import ALGORITHM
from .canonical import ECDSA_ALGORITHM
from .canonical import MAX_SKEW
from .canonical import SERVICE
from .canonical import TERMINATOR
from .canonical import UNSIGNED_PAYLOAD
from .canonical import Credential
from .canonical import Identity
from .canonical import Request
from .canonical import SigningKey
from .canonical import canonical_query
from .canonical import check_headers_signed
from .canonical import check_payload_word
from .canonical import check_session_token
from .canonical import client_request
from .canonical import ecdsa_refused
from .canonical import environ_name
from .canonical import find_key
from .canonical import parse_amz_date
from .canonical import parse_credential
from .canonical import parse_signed_headers
from .canonical import scope_fault
from .canonical import verify
from .keyring import KeyRing
from .session import Sessions

LONGEST_LIFE: Final = 7 * 24 * 3600
"""Seconds that a presigned URL may live at most."""

_REQUIRED: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_ONCE: Final = frozenset(
    (*_REQUIRED, "X-Amz-Security-Token", "X-Amz-S3session-Token", "X-Amz-Content-Sha256")
)


def identify_query(
    request: Request,
    key_ring: KeyRing,
    *,
    now: float,
    region: str | None = None,
    sessions: Sessions | None = None,
) -> Identity:
    """Check a presigned request: its form, its time, its headers and its signature.

    Parameters as for :func:`s3kit.auth.sigv4.identify`, which calls this.

    :raises AuthorizationQueryParametersError: a parameter is missing, doubled or malformed.
    :raises AccessDenied: it has expired, is not valid yet, or headers are not signed.
    :raises SignatureDoesNotMatch: or InvalidAccessKeyId, InvalidToken, InvalidArgument.
    """
    query = request.query
    algorithm, text, signature, amz_date, signed_text, expires = query_parameters(query)
    credential, issued = check_parameters(algorithm, text, amz_date, region, request.service)
    signed = parse_signed_headers(signed_text)
    if signed is None:
        raise AuthorizationQueryParametersError("X-Amz-SignedHeaders is mal-formed.")
    _check_life(issued, _life(expires), now)
    token = query_token(request)
    key = find_key(key_ring, credential.access_key, sessions=sessions, token=token, now=now)
    check_headers_signed(signed, request.environ)
    payloads, meaning = possible_payloads(request)
    signing, path = verify(
        request, key, credential, amz_date, signed, payloads, signature, presigned=True
    )
    check_session_token(key, token)
    return Identity(
        signing.caller, "query", meaning, path, (signing, credential.scope, amz_date, signature)
    )


def query_token(request: Request) -> str | None:
    """The session token, in the query or, where a client left it there, in a signed header."""
    for name in ("X-Amz-S3session-Token", "X-Amz-Security-Token"):
        token = request.query.get(name)
        if token is None:
            token = request.environ.get(environ_name(name))
        if token is not None:
            return token
    return None


def check_parameters(
    algorithm: str,
    credential_text: str,
    amz_date: str,
    region: str | None,
    service: str = SERVICE,
) -> tuple[Credential, int]:
    """Check the parameters that the query form and a browser's form share.

    :return: the credential, and ``amz_date`` in seconds since the epoch.
    :raises AuthorizationQueryParametersError: or NotImplemented, for the asymmetric form.
    """
    if algorithm != ALGORITHM:
        if algorithm == ECDSA_ALGORITHM:
            raise ecdsa_refused(algorithm)
        raise AuthorizationQueryParametersError(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"'
        )
    credential = parse_credential(credential_text)
    if credential is None:
        raise AuthorizationQueryParametersError(
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; "
            'expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    issued = parse_amz_date(amz_date)
    if issued is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    fault = scope_fault(credential, amz_date, service)
    if fault is None and region is not None and credential.region != region:
        raise AuthorizationQueryParametersError(
            "Error parsing the X-Amz-Credential parameter; "
            f"the region '{credential.region}' is wrong; expecting '{region}'",
            region=region,
        )
    if fault is not None:
        raise AuthorizationQueryParametersError(
            f"Error parsing the X-Amz-Credential parameter; {fault}"
        )
    return credential, issued


def query_parameters(query: Query) -> list[str]:
    """The values of the six parameters of a presigned URL, in the order of ``_REQUIRED``.

    :raises AuthorizationQueryParametersError: one is missing, empty or doubled.
    """
    values = [query.get(name) for name in _REQUIRED]
    # items and not get(): of two signatures or credentials neither may win.
    counted = [name for name, _ in query.items if name in _ONCE]
    found = [value for value in values if value]
    # An Expires that is there but empty is malformed rather than missing; both end here.
    if len(found) != len(_REQUIRED) or len(counted) != len(set(counted)):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, "
            "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
            "X-Amz-Expires parameters."
        )
    return found


def _life(expires: str) -> int:
    digits = expires[1:] if expires[0] == "-" else expires
    if not (digits.isascii() and digits.isdigit()):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    if expires[0] == "-":
        raise AuthorizationQueryParametersError("X-Amz-Expires must be non-negative")
    # 9 digits keep int() clear of Python's limit on long numbers.
    if len(digits) > 9 or int(digits) > LONGEST_LIFE:
        raise AuthorizationQueryParametersError(
            "X-Amz-Expires must be less than a week (in seconds) that is less than 604800"
        )
    return int(digits)


def _check_life(issued: int, life: int, now: float) -> None:
    if issued - now > MAX_SKEW:
        raise AccessDenied(
            "Request is not valid yet", x_amz_expires=life, server_time=_iso8601(now)
        )
    # A life of 0 is over at once, whatever the clocks say.
    if life == 0 or now > issued + life:
        raise AccessDenied(
            "Request has expired",
            x_amz_expires=life,
            expires=_iso8601(issued + life),
            server_time=_iso8601(now),
        )


def _iso8601(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def possible_payloads(request: Request) -> tuple[tuple[str, ...], str]:
    """What may stand for the payload in the canonical request, and what the body must be."""
    if request.payload:
        return (request.payload, UNSIGNED_PAYLOAD), request.payload
    sent: str | None = request.environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if not sent:
        sent = request.query.get("X-Amz-Content-Sha256")
    if not sent or sent == UNSIGNED_PAYLOAD:
        return (UNSIGNED_PAYLOAD,), UNSIGNED_PAYLOAD
    # Some SDKs sign UNSIGNED-PAYLOAD and state the hash besides, under the same signature.
    return (sent, UNSIGNED_PAYLOAD), check_payload_word(sent)


def new_credential(key: Key, region: str, now: float) -> tuple[str, Credential]:
    """The ``X-Amz-Date`` of this moment, and the credential that signs with ``key`` on its day."""
    amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    date = amz_date[:8]
    scope = f"{date}/{region}/{SERVICE}/{TERMINATOR}"
    return amz_date, Credential(key.access_key, date, region, SERVICE, TERMINATOR, scope)


def presign(
    method: str,
    url: str,
    key: Key,
    *,
    headers: Mapping[str, str] | None = None,
    expires: int = 3600,
    region: str = "us-east-1",
    now: float | None = None,
) -> str:
    """Make a presigned URL.

    :param url: the whole URL, with its path encoded as it will be sent; its query is kept.
    :param headers: headers that whoever uses the URL must send just so; ``Host`` is the URL's.
    :param expires: seconds that it lives, 1 to 604,800.
    :param now: seconds since the epoch, by default the clock's.
    :raises ValueError: ``expires`` is out of range.
    """
    if not 1 <= expires <= LONGEST_LIFE:
        raise ValueError(f"a presigned URL lives from 1 to {LONGEST_LIFE} seconds, not {expires}")
    parts = urlsplit(url)
    amz_date, credential = new_credential(key, region, time.time() if now is None else now)
    scope = credential.scope
    sent = {**(headers or {}), "host": parts.netloc.rpartition("@")[2]}
    sent = {name.lower(): value for name, value in sent.items()}
    parameters = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{key.access_key}/{scope}",
        "X-Amz-Date": amz_date,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": ";".join(sorted(sent)),
    }
    if key.session_token is not None:
        parameters["X-Amz-Security-Token"] = key.session_token
    added = "&".join(f"{name}={aws_quote(value, False)}" for name, value in parameters.items())
    query = canonical_query(f"{parts.query}&{added}")
    canonical, _ = client_request(method, parts.path, query, sent, UNSIGNED_PAYLOAD)
    to_sign = f"{ALGORITHM}\n{amz_date}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    signature = SigningKey(key, credential).sign(to_sign.encode())
    where = f"{parts.scheme}://{parts.netloc}{parts.path or '/'}"
    return f"{where}?{query}&X-Amz-Signature={signature}"
