"""The canonical request, signing keys and the check of a signature: what all SigV4 forms share.

Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import hmac
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Final
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ..errors import AccessDenied
from ..errors import InvalidAccessKeyId
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import InvalidToken
from ..errors import NotImplemented
from ..errors import RequestHeaderSectionTooLarge
from ..errors import SignatureDoesNotMatch
from ..model import ANONYMOUS
from ..model import Caller
from ..model import Key
from ..wire.address import aws_quote
from ..wire.query import Query
from .keyring import KeyRing
from .session import PREFIX
from .session import Sessions

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ALGORITHM: Final = "AWS4-HMAC-SHA256"
ECDSA_ALGORITHM: Final = "AWS4-ECDSA-P256-SHA256"
SERVICE: Final = "s3"
EXPRESS_SERVICE: Final = "s3express"
"""For what SDKs sign requests for directory buckets."""
STS_SERVICE: Final = "sts"
"""The Security Token Service, at the same endpoint."""
TERMINATOR: Final = "aws4_request"

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

MAX_SKEW: Final = 15 * 60
"""Seconds by which a client's clock may be wrong."""

_PAYLOAD_WORDS: Final = frozenset(
    (UNSIGNED_PAYLOAD, UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, EMPTY_SHA256)
)
_CHUNK_SIGNED: Final = frozenset((SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER))
_UNBUILT_PAYLOAD_WORDS: Final = frozenset(
    ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")
)


class Request:
    """What a signature covers.

    :param method: as sent.
    :param canonical_paths: the canonical URIs that the client may have signed, in the order in
        which to try them; at least one.
    :param query: the parsed query; its ``raw`` text is what is verified.
    :param environ: the WSGI environ; headers are looked up here.
    :param scheme: ``http`` or ``https`` as the client used it (behind a trusted proxy).
    :param host: the host, with its port if any, as the client sent it. The address of bucket and
        key must come from this same value, or a signature for one bucket would serve another.
    :param service: what it must be signed for.
    :param payload: the lower-case hex SHA-256 of the body, where that is signed whatever
        ``x-amz-content-sha256`` says; "" where that says it.
    """

    __slots__ = (
        "canonical_paths",
        "environ",
        "host",
        "method",
        "payload",
        "query",
        "scheme",
        "service",
    )

    def __init__(
        self,
        method: str,
        canonical_paths: tuple[str, ...],
        query: Query,
        environ: WSGIEnvironment,
        scheme: str,
        host: str,
        service: str = SERVICE,
        payload: str = "",
    ) -> None:
        self.method = method
        self.canonical_paths = canonical_paths
        self.query = query
        self.environ = environ
        self.scheme = scheme
        self.host = host
        self.service = service
        self.payload = payload


class Identity:
    """Who signed a request, and what the signature says of its body.

    ``kind`` is ``anonymous``, ``header``, ``query`` or ``form``. ``payload`` is the lower-case hex
    SHA-256 that the body must have, ``UNSIGNED-PAYLOAD``, or one of the three ``STREAMING-`` words
    of aws-chunked bodies. ``canonical_path`` is the one of the request's canonical paths that the
    signature proved, None for anonymous and form.
    """

    __slots__ = ("_chain", "_seed", "caller", "canonical_path", "kind", "payload")

    def __init__(
        self,
        caller: Caller,
        kind: str,
        payload: str,
        canonical_path: str | None = None,
        seed: tuple[SigningKey, str, str, str] | None = None,
    ) -> None:
        self.caller = caller
        self.kind = kind
        self.payload = payload
        self.canonical_path = canonical_path
        self._seed = seed
        self._chain: SignatureChain | None = None

    def __repr__(self) -> str:
        return f"Identity({self.kind}, {self.caller.access_key!r}, {self.payload})"

    @property
    def service(self) -> str:
        """The service for which the request was signed, ``s3`` or ``s3express``."""
        return SERVICE if self._seed is None else self._seed[1].split("/")[2]

    @property
    def chunk_signer(self) -> SignatureChain | None:
        """Checks the chunk signatures of a signed aws-chunked body; None for any other payload.

        The same object each time: a body's signatures are one chain.
        """
        if self._chain is None and self._seed is not None and self.payload in _CHUNK_SIGNED:
            self._chain = SignatureChain(*self._seed)
        return self._chain


ANONYMOUS_IDENTITY: Final = Identity(ANONYMOUS, "anonymous", UNSIGNED_PAYLOAD)
"""The identity of a request without any authentication and with a plain body, shared."""


class SigningKey:
    """A secret narrowed to a scope (a day, a region, a service): it signs, and knows for whom."""

    __slots__ = ("_inner", "_outer", "caller", "key", "scope")

    def __init__(self, key: Key, credential: Credential) -> None:
        self.key = key
        self.scope = credential.scope
        session = key.session
        self.caller = Caller(
            key.account,
            key.access_key if session is None else session.parent or key.access_key,
            session,
            key.principal or (f"user/{key.user}" if key.user else ""),
            policies=key.policies,
            session_policy=key.session_policy,
            scope=key.scope,
        )
        secret = hmac.digest(f"AWS4{key.secret_key}".encode(), _bytes(credential.date), "sha256")
        for word in (credential.region, credential.service, credential.terminator):
            secret = hmac.digest(secret, _bytes(word), "sha256")
        # HMAC with its two padded keys hashed beforehand (RFC 2104, section 4): half the time of
        # hmac.digest() per signature.
        block = secret.ljust(64, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def sign(self, data: bytes) -> str:
        """The signature of ``data``, in hex."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))

_KEPT_SIGNING_KEYS: Final = 1024
_signing_keys: dict[tuple[str, str], SigningKey] = {}


def signing_key(key: Key, credential: Credential) -> SigningKey:
    """The signing key for this scope: the kept one where the key is still the very same."""
    kept = _signing_keys.get((key.access_key, credential.scope))
    # Compared whole: after a change of secret, token or account the kept one never serves.
    if kept is not None and (kept.key is key or kept.key == key):
        return kept
    return SigningKey(key, credential)


def keep_signing_key(signing: SigningKey) -> None:
    """Keep a signing key for later requests.

    Call it only once a signature is verified, so that strangers cannot push entries out.
    """
    place = (signing.key.access_key, signing.scope)
    if _signing_keys.get(place) is not signing:
        if len(_signing_keys) >= _KEPT_SIGNING_KEYS:
            _signing_keys.clear()
        _signing_keys[place] = signing


class Credential(NamedTuple):
    """The five parts of a credential; ``scope`` is all but the first, as the signature has it."""

    access_key: str
    date: str
    region: str
    service: str
    terminator: str
    scope: str


@functools.lru_cache(maxsize=1024)
def _split_credential(text: str) -> Credential | None:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        return None
    access_key, date, region, service, terminator = parts
    if not (len(date) == 8 and date.isascii() and date.isdigit()):
        return None
    return Credential(access_key, date, region, service, terminator, text[len(access_key) + 1 :])


def parse_credential(text: str) -> Credential | None:
    """Split ``KEY/YYYYMMDD/region/service/aws4_request``; None when it is nothing of the sort.

    The access key may itself hold slashes.
    """
    return _split_credential(text) if len(text) <= 1024 else None


class SignedHeaders(NamedTuple):
    """A SignedHeaders list, split. ``pairs`` are (header name, its name in the environ)."""

    text: str
    pairs: tuple[tuple[str, str], ...]
    variables: frozenset[str]
    has_host: bool


# A name with anything else could shift the lines of the canonical request.
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@functools.lru_cache(maxsize=256)
def _split_signed_headers(text: str) -> SignedHeaders | None:
    names = text.split(";")
    if len(set(names)) != len(names):
        return None
    for name in names:
        # An empty name matches nothing and is refused too (A019).
        if not _NAME.fullmatch(name):
            return None
    pairs = tuple((name, environ_name(name)) for name in names)
    return SignedHeaders(text, pairs, frozenset(variable for _, variable in pairs), "host" in names)


def parse_signed_headers(text: str) -> SignedHeaders | None:
    """Split ``host;x-amz-date``; None when a name is empty, doubled or impossible."""
    if len(text) > 1024:
        # Rare and long: not worth the cache's memory.
        return _split_signed_headers.__wrapped__(text)
    return _split_signed_headers(text)


def environ_name(header: str) -> str:
    """The WSGI name of a header. Servers lose the difference of ``-`` and ``_``; names do not."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


@functools.lru_cache(maxsize=64)
def _midnight(date: str) -> int | None:
    if not (len(date) == 8 and date.isascii() and date.isdigit()):
        return None
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:])
    if not (year >= 1970 and 1 <= month <= 12):
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, 0, 0, 0))


@functools.lru_cache(maxsize=1024)
def _amz_date(text: str) -> int | None:
    if text[8] != "T" or text[15] != "Z":
        return None
    clock = text[9:15]
    if not (clock.isascii() and clock.isdigit()):
        return None
    start = _midnight(text[:8])
    hour, minute, second = int(clock[:2]), int(clock[2:4]), int(clock[4:])
    if start is None or hour > 23 or minute > 59 or second > 60:
        return None
    return start + hour * 3600 + minute * 60 + second


def parse_amz_date(text: str) -> int | None:
    """Seconds since the epoch of ``20130524T000000Z``, None when it is no such date."""
    return _amz_date(text) if len(text) == 16 else None


def check_payload_word(payload: str) -> str:
    """Return what ``x-amz-content-sha256`` says, a hash in lower case.

    :raises NotImplemented: it is one of the ECDSA forms.
    :raises InvalidArgument: S3 has no such value (A013).
    """
    if payload in _PAYLOAD_WORDS:
        return payload
    if len(payload) == 64 and payload.isascii() and payload.isalnum():
        try:
            bytes.fromhex(payload)
        except ValueError:
            pass
        else:
            return payload.lower()
    if payload in _UNBUILT_PAYLOAD_WORDS:
        raise ecdsa_refused(payload)
    raise InvalidArgument(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "or a valid sha256 value.",
        argument_name="x-amz-content-sha256",
        argument_value=payload,
    )


def check_headers_signed(signed: SignedHeaders, environ: WSGIEnvironment) -> None:
    """Refuse a request that has ``x-amz-*`` headers, or its host, outside the signature.

    :raises AccessDenied: with the names in its ``HeadersNotSigned`` (A014 to A017, A038, A039).
    """
    variables = signed.variables
    # "in" takes half the time of a slice or startswith(), and what it finds too much (a name with
    # the text further on) only leads to the exact search below.
    present = [name for name in environ if "HTTP_X_AMZ_" in name]
    if signed.has_host and variables.issuperset(present):
        return
    missing = [
        name[5:].lower().replace("_", "-")
        for name in sorted(present)
        if name not in variables and name.startswith("HTTP_X_AMZ_")
    ]
    if signed.has_host and not missing:
        return
    if not signed.has_host:
        missing.insert(0, "host")
    raise AccessDenied(
        "There were headers present in the request which were not signed",
        headers_not_signed=", ".join(missing),
    )


def find_key(
    key_ring: KeyRing,
    access_key: str,
    sessions: Sessions | None = None,
    token: str | None = None,
    now: float = 0.0,
) -> Key:
    """The key of this id.

    :param sessions: where a key is looked for that the key ring does not have.
    :param token: the session token that came with the request.
    :raises InvalidAccessKeyId: there is none (A005).
    :raises InvalidToken: ExpiredToken: it is a session's, which is not open.
    """
    if token and sessions is not None and token.startswith(PREFIX):
        return sessions.find(access_key, token, now)
    key = key_ring.lookup(access_key)
    if key is None and sessions is not None and token:
        raise InvalidToken()
    if key is None or not key.secret_key:
        # A key without a secret is no key: anyone could sign with it (A006).
        raise InvalidAccessKeyId(aws_access_key_id=access_key)
    return key


def check_session_token(key: Key, token: str | None) -> None:
    """Refuse a session token that is not the key's own.

    :raises InvalidToken: the token is wrong, or the key has none.
    :raises InvalidAccessKeyId: the key works only with a token and none came, as on AWS.
    """
    own = key.session_token
    if own is None and token is None:
        return
    if token is None:
        raise InvalidAccessKeyId(aws_access_key_id=key.access_key)
    if own is None or not hmac.compare_digest(_bytes(own), _bytes(token)):
        raise InvalidToken()


def scope_fault(credential: Credential, amz_date: str, service: str = SERVICE) -> str | None:
    """What is wrong with a credential's scope in AWS's words, None when nothing is (A022, A024).

    :param service: what the request is for.
    :raises SignatureDoesNotMatch: it is for STS, and signed for another service.
    """
    if credential.service != service:
        if service == STS_SERVICE:
            raise SignatureDoesNotMatch("Credential should be scoped to correct service: 'sts'. ")
        if credential.service != EXPRESS_SERVICE:
            return f'incorrect service "{credential.service}". This endpoint belongs to "s3".'
    if credential.terminator != TERMINATOR:
        return f'incorrect terminal "{credential.terminator}". This endpoint uses "aws4_request".'
    if credential.date != amz_date[:8]:
        return (
            f'Invalid credential date "{credential.date}". '
            f'This date is not the same as X-Amz-Date: "{amz_date[:8]}".'
        )
    return None


# A query text whose characters already are the canonical ones: unreserved, or an upper-case
# escape of something that is not unreserved. The possessive "++" and "*+" keep it linear: with
# plain ones a text of n such characters before a bad one costs 2**n steps.
_CANONICAL_QUERY: Final = re.compile(
    r"(?:[A-Za-z0-9._~=&-]++"
    r"|%(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[BCDF]))*+"
)


def _requote(text: str) -> str:
    if "+" in text:
        # A space, as wire.query reads it: what is signed must be what is meant.
        text = text.replace("+", " ")
    return aws_quote(unquote_to_bytes(_bytes(text)), False)


def canonical_query(raw: str, *, presigned: bool = False) -> str:
    """The canonical form of a raw query string; a presigned one leaves its signature out."""
    if not raw:
        return ""
    clean = _CANONICAL_QUERY.fullmatch(raw) is not None
    pairs = []
    for piece in raw.split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        if not clean:
            name = _requote(name)
            value = _requote(value)
        elif "=" in value:
            value = value.replace("=", "%3D")
        if presigned and name == "X-Amz-Signature":
            continue
        pairs.append((name, value))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def _query_variants(raw: str, presigned: bool) -> list[str]:
    """The canonical query, then what clients sign that do not normalise what they send.

    The latter are the sent pieces themselves, sorted: each decodes to the very query that was
    sent, so a signature over it vouches for nothing else.
    """
    variants = [canonical_query(raw, presigned=presigned)]
    pieces = [piece for piece in raw.split("&") if piece]
    if presigned:
        pieces = [
            piece for piece in pieces if _requote(piece.partition("=")[0]) != "X-Amz-Signature"
        ]
    bare = sorted(piece.partition("=")[::2] for piece in pieces)
    variants.append("&".join([f"{name}={value}" for name, value in bare]))
    variants.append("&".join(sorted(pieces)))
    return list(dict.fromkeys(variants))


_SPACES: Final = re.compile(r"[ \t\r\n\v\f]+")


def _header_block(request: Request, signed: SignedHeaders) -> str:
    environ = request.environ
    lines = []
    for name, variable in signed.pairs:
        value: str = request.host if variable == "HTTP_HOST" else environ.get(variable, "")
        # Not bare strip(): a header's bytes come as latin-1, where 0xA0 and 0x85 count as space.
        value = value.strip(" \t\r\n")
        if "  " in value or "\n" in value or "\t" in value or "\r" in value:
            value = _SPACES.sub(" ", value)
        lines.append(f"{name}:{value}")
    return "\n".join(lines)


def _header_variants(request: Request, signed: SignedHeaders, below: str = "") -> list[str]:
    """The header block, then the forms that servers and proxies may have made of what was signed.

    They join repeated headers with "," or ", " (SigV4 has ","), and drop or add the scheme's own
    port; neither changes what a header means.

    :param below: what the client took for the end of the host's name.
    """
    blocks = []
    for host in _host_variants(request):
        same = Request(
            request.method,
            request.canonical_paths,
            request.query,
            request.environ,
            request.scheme,
            host + below,
        )
        block = _header_block(same, signed)
        joined = block.replace(", ", ",")
        blocks += [block, joined, joined.replace(",", ", ")]
    return list(dict.fromkeys(blocks))


def _host_variants(request: Request) -> Iterator[str]:
    host = request.host
    yield host
    port = ":443" if request.scheme == "https" else ":80"
    if host.endswith(port):
        yield host[: -len(port)]
    elif not host.rpartition(":")[2].isdigit():
        yield host + port


def _canonical_request(
    method: str, path: str, query: str, headers: str, signed: str, payload: str
) -> str:
    return f"{method}\n{path}\n{query}\n{headers}\n\n{signed}\n{payload}"


def _bytes(text: str) -> bytes:
    """The bytes behind a WSGI string: latin-1, or UTF-8 where a framework has decoded it."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


# S3 itself takes 8 KiB of headers. Whoever sends more gets fewer tries and shorter errors, whoever
# sends much more nothing: all this is done for people who have no more than a key's id.
_LONGEST_REQUEST: Final = 16 * 1024
_LONGEST_HEADERS: Final = 64 * 1024


def verify(
    request: Request,
    key: Key,
    credential: Credential,
    amz_date: str,
    signed: SignedHeaders,
    payloads: tuple[str, ...],
    signature: str,
    *,
    presigned: bool = False,
) -> tuple[SigningKey, str]:
    """Check a request's signature in constant time.

    :param payloads: what may stand for the payload in the canonical request, likeliest first.
    :return: the signing key and the canonical path that the signature proved.
    :raises SignatureDoesNotMatch: with what was compared, as AWS shows it.
    :raises RequestHeaderSectionTooLarge: more than 64 KiB of signed headers.
    """
    signing = signing_key(key, credential)
    prefix = f"{ALGORITHM}\n{amz_date}\n{credential.scope}\n"
    path = request.canonical_paths[0]
    raw = request.query.raw
    headers = _header_block(request, signed)
    if len(headers) > _LONGEST_HEADERS:
        raise RequestHeaderSectionTooLarge(max_size_allowed=_LONGEST_HEADERS)
    canonical = _canonical_request(
        request.method,
        path,
        canonical_query(raw, presigned=presigned) if raw else "",
        headers,
        signed.text,
        payloads[0],
    )
    to_sign = prefix + hashlib.sha256(_bytes(canonical)).hexdigest()
    # compare_digest refuses texts that are not ASCII.
    plausible = len(signature) == 64 and signature.isascii()
    if plausible:
        if hmac.compare_digest(signing.sign(_bytes(to_sign)), signature):
            keep_signing_key(signing)
            return signing, path
        if len(canonical) <= _LONGEST_REQUEST:
            for path, digest in _other_forms(request, signed, payloads, presigned):
                if hmac.compare_digest(signing.sign(_bytes(prefix + digest)), signature):
                    keep_signing_key(signing)
                    return signing, path
    raise mismatch(key, to_sign, signature, canonical)


def _other_forms(
    request: Request, signed: SignedHeaders, payloads: tuple[str, ...], presigned: bool
) -> Iterator[tuple[str, str]]:
    """The hash of every form of the canonical request, each with the path that is in it."""
    # Hashes and not the forms: there are up to 72, twice that under a mount, and anybody can send
    # a wrong signature.
    seen: set[str] = set()
    queries = _query_variants(request.query.raw, presigned)
    for below, paths in _places(request):
        for headers in _header_variants(request, signed, below):
            for query in queries:
                for path, said in paths:
                    for payload in payloads:
                        canonical = _canonical_request(
                            request.method, said, query, headers, signed.text, payload
                        )
                        forms = {_bytes(canonical), canonical.encode("utf-8", "surrogatepass")}
                        for digest in {hashlib.sha256(form).hexdigest() for form in forms} - seen:
                            seen.add(digest)
                            yield path, digest


def _places(request: Request) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What clients take for the end of the host's name, and each path with what they then sign.

    Given an endpoint such as ``http://host/s3``, s3cmd asks for ``/s3/bucket/key`` and signs
    ``/bucket/key`` at the host ``host/s3``. All that was sent is covered, cut elsewhere; and no
    host's name has a slash, so that it can mean nothing else.
    """
    yield "", [(path, path) for path in request.canonical_paths]
    mount = request.environ.get("SCRIPT_NAME", "").rstrip("/")
    if mount:
        start = aws_quote(mount.encode("latin-1", "replace"))
        below = [
            (path, path[len(start) :])
            for path in request.canonical_paths
            if path.startswith(start + "/")
        ]
        if below:
            yield start, below


def mismatch(
    key: Key, to_sign: str, signature: str, canonical: str | None = None
) -> SignatureDoesNotMatch:
    """The error for a wrong signature; it shows all that was compared but never the right one.

    Tokens and customers' keys show as ``***``: clients write errors into their logs.
    """
    error = SignatureDoesNotMatch(
        aws_access_key_id=key.access_key,
        string_to_sign=to_sign,
        signature_provided=signature,
        string_to_sign_bytes=_bytes(to_sign).hex(" "),
    )
    if canonical is not None and len(canonical) <= _LONGEST_REQUEST:
        canonical = masked(canonical)
        error.details["canonical_request"] = canonical
        error.details["canonical_request_bytes"] = _bytes(canonical).hex(" ")
    return error


_SECRETS: Final = (
    r"x-amz-(?:security-token|s3session-token"
    r"|(?:copy-source-)?server-side-encryption-customer-key)"
)
# A client may name a header in SignedHeaders with _ for -, see environ_name().
_MASKED: Final = re.compile(
    rf"((?:{_SECRETS}|WebIdentityToken)(?:=|%3D)"
    rf"|^(?:authorization|cookie|proxy-authorization|{_SECRETS}):)[^&\n]*".replace("-", "[-_]"),
    re.IGNORECASE | re.MULTILINE,
)


def masked(canonical: str) -> str:
    """A canonical request with ``***`` for tokens, cookies and customers' keys."""
    return _MASKED.sub(r"\1***", canonical)


def client_request(
    method: str, path: str, query: str, headers: Mapping[str, str], payload: str
) -> tuple[bytes, str]:
    """The canonical request for a request of our own, and its SignedHeaders list.

    :param path: the path as it will be sent; ``query`` already canonical.
    """
    lower = {
        name.lower(): _SPACES.sub(" ", value.strip(" \t\r\n")) for name, value in headers.items()
    }
    names = sorted(lower)
    block = "\n".join(f"{name}:{lower[name]}" for name in names)
    signed = ";".join(names)
    canonical = _canonical_request(method, path or "/", query, block, signed, payload)
    return canonical.encode(), signed


class SignatureChain:
    """The chained signatures of one aws-chunked body, from its seed (the request's signature)."""

    __slots__ = ("_amz_date", "_previous", "_signing")

    def __init__(self, signing: SigningKey, scope: str, amz_date: str, seed: str) -> None:
        self._signing = signing
        self._amz_date = f"{amz_date}\n{scope}"
        self._previous = seed

    def sign_chunk(self, data_sha256: str) -> str:
        """Sign the next chunk by the hex SHA-256 of its data; the chain moves on."""
        return self._advance(self._chunk_text(data_sha256))

    def sign_trailer(self, trailer: bytes) -> str:
        """Sign the canonical trailer (``name:value\\n`` for each line); the chain moves on."""
        return self._advance(self._trailer_text(trailer))

    def check_chunk(self, signature: str, data_sha256: str, /) -> None:
        """Check the next chunk's signature (A042 to A046).

        :raises SignatureDoesNotMatch:
        """
        self._check(signature, self._chunk_text(data_sha256))

    def check_trailer(self, signature: str, trailer: bytes, /) -> None:
        """Check the trailer's signature (A056).

        :raises SignatureDoesNotMatch:
        """
        self._check(signature, self._trailer_text(trailer))

    def _chunk_text(self, data_sha256: str) -> str:
        return (
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self._amz_date}\n{self._previous}\n"
            f"{EMPTY_SHA256}\n{data_sha256}"
        )

    def _trailer_text(self, trailer: bytes) -> str:
        digest = hashlib.sha256(trailer).hexdigest()
        return f"AWS4-HMAC-SHA256-TRAILER\n{self._amz_date}\n{self._previous}\n{digest}"

    def _advance(self, to_sign: str) -> str:
        self._previous = self._signing.sign(_bytes(to_sign))
        return self._previous

    def _check(self, signature: str, to_sign: str) -> None:
        expected = self._advance(to_sign)
        if not (signature.isascii() and hmac.compare_digest(expected, signature)):
            raise mismatch(self._signing.key, to_sign, signature)


def signature_v2_refused() -> InvalidRequest:
    """The answer to a SigV2 signature in any form (A026, IU-06, FB-03, BB-03)."""
    return InvalidRequest(
        "The authorization mechanism you have provided is not supported. "
        "Please use AWS4-HMAC-SHA256."
    )


def ecdsa_refused(form: str) -> NotImplemented:
    """The answer to the asymmetric form of SigV4, in any of its places."""
    return NotImplemented(f"Signatures of the form {form} are not supported.")
