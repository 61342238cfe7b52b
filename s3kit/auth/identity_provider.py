"""OpenID Connect providers whose tokens open sessions: their keys, and what a token must be.

Source: OpenID Connect Core 1.0, section 3.1.3.7, and Discovery 1.0, section 4; RFC 8725 (JWT Best
Current Practices); AWS Security Token Service API Reference, "AssumeRoleWithWebIdentity".
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Final
from urllib.parse import urlsplit

from ..errors import ExpiredTokenException
from ..errors import IDPCommunicationError
from ..errors import InvalidIdentityToken

logger = logging.getLogger("s3kit")

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""What a provider may sign with: nothing whose key both sides have, and never nothing."""

USUAL_ALGORITHMS: Final = ("RS256", "ES256")

LONGEST_TOKEN: Final = 20_000
SECONDS: Final = 5.0
"""How long a provider may take for one answer."""
MOST_BYTES: Final = 512 * 1024
PAUSE_SECONDS: Final = 60.0
"""Between two questions for a provider's keys: anybody can send tokens of unknown keys."""
KEPT_SECONDS: Final = 3600.0
"""After which a provider's keys are asked for again."""
STALE_SECONDS: Final = 24 * 3600.0
"""How long they are used where it does not answer."""
MOST_WAITING: Final = 4
"""Requests that may wait for one provider's answer; strangers must not have all threads wait."""
SKEW: Final = 60
"""Seconds by which a provider's clock may be ahead."""
_MOST_KEYS: Final = 64

Fetch = Callable[[str], bytes]


class MissingJoserfc(Exception):
    """The package that reads tokens is not installed."""


def need_joserfc() -> None:
    """Refuse to go on without what reads tokens.

    :raises MissingJoserfc: with the command that installs it.
    """
    try:
        import joserfc  # noqa: F401
    except ImportError:
        raise MissingJoserfc(
            "identity_providers need the package joserfc. Install it with: "
            "pip install 's3kit[oidc]'"
        ) from None


@dataclass(frozen=True, slots=True)
class Vouched:
    """Of whom a provider's token tells. ``audience`` is the application that it was made for."""

    issuer: str
    subject: str
    audience: str
    claims: Mapping[str, Any]


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_safe_url(url: object) -> bool:
    """Whether a provider may be asked there: over https, or on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.port != 0
    except ValueError:
        return False
    if not good or not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """What lies at a URL that :func:`is_safe_url` takes; a redirect is not followed.

    :raises OSError: ValueError: nothing, or too much, or too slowly.
    """
    ends = time.monotonic() + SECONDS
    handlers: list[urllib.request.BaseHandler] = [
        _NoRedirect(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    ]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            body = b""
            # Each piece may take its time, all of them together may not: requests wait for this.
            while len(body) <= MOST_BYTES and (piece := answer.read1(MOST_BYTES)):
                body += piece
                if time.monotonic() > ends:
                    raise TimeoutError("the answer takes too long")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    if len(body) > MOST_BYTES:
        raise ValueError("the answer is too large")
    return body


class IdentityProvider:
    """One provider. Its keys are fetched when the first token comes, and kept.

    :param issuer: its URL, as its tokens spell it.
    :param audiences: the applications whose tokens count.
    :param jwks_url: where its keys are; by default its discovery document tells.
    :param algorithms: with which it may sign.
    """

    def __init__(
        self,
        issuer: str,
        audiences: Sequence[str],
        *,
        jwks_url: str = "",
        algorithms: Sequence[str] = USUAL_ALGORITHMS,
        fetch: Fetch = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._audiences = frozenset(audiences)
        self._jwks_url = jwks_url
        self._algorithms = tuple(algorithms)
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._keys: tuple[Mapping[str, Any], ...] = ()
        self._asked: float | None = None
        self._got: float | None = None

    def __repr__(self) -> str:
        return f"IdentityProvider({self.issuer!r})"

    def verify(self, token: str, now: float) -> Vouched:
        """Whom a token is about, after all of it was checked.

        :param now: seconds since the epoch.
        :raises InvalidIdentityToken: ExpiredTokenException: IDPCommunicationError:
        """
        header, claims = read_token(token)
        # Before anything is fetched or computed for a stranger.
        vouched = self._check_claims(claims, now)
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise InvalidIdentityToken("The token is not signed with an algorithm that is allowed")
        if "crit" in header or "b64" in header:
            raise InvalidIdentityToken("The token's header asks for what is not known here")
        key_id = header.get("kid")
        if key_id is not None and not isinstance(key_id, str):
            raise InvalidIdentityToken()
        for key in self._candidates(key_id):
            if _is_signed(token, key, algorithm):
                return vouched
        raise InvalidIdentityToken("Couldn't verify the token's signature")

    def _check_claims(self, claims: Mapping[str, Any], now: float) -> Vouched:
        if claims.get("iss") != self.issuer:
            raise InvalidIdentityToken("The token is of another issuer")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _is_plain(subject) or not 0 < len(subject) <= 255:
            raise InvalidIdentityToken("The token's sub is missing or too long")
        audience = self._audience(claims)
        ends, begins, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
        if ends is None or issued is None:
            raise InvalidIdentityToken("The token must say exp and iat")
        if now >= ends:
            raise ExpiredTokenException("Token expired: its exp is in the past")
        if issued > now + SKEW or (begins is not None and begins > now + SKEW):
            raise InvalidIdentityToken("The token is not valid yet")
        return Vouched(self.issuer, subject, audience, claims)

    def _audience(self, claims: Mapping[str, Any]) -> str:
        """For which of the applications the token is: azp where it says so, else aud."""
        party = claims.get("azp")
        found = claims.get("aud")
        audiences = [party] if party is not None else found if isinstance(found, list) else [found]
        for audience in audiences:
            if _is_plain(audience) and audience in self._audiences:
                return str(audience)
        raise InvalidIdentityToken("Incorrect token audience")

    def _candidates(self, key_id: str | None) -> list[Mapping[str, Any]]:
        keys = self._known()
        found = _named(keys, key_id)
        if not found:
            found = _named(self._known(anew=True), key_id)
        return found

    def _known(self, *, anew: bool = False) -> tuple[Mapping[str, Any], ...]:
        now = self._clock()
        if not anew and self._got is not None and now - self._got < KEPT_SECONDS:
            return self._keys
        if not self._waiting.acquire(blocking=False):
            if not anew and self._got is not None and now - self._got < STALE_SECONDS:
                return self._keys
            # Clients try again on this one.
            raise IDPCommunicationError()
        try:
            with self._lock:
                return self._asked_for()
        finally:
            self._waiting.release()

    def _asked_for(self) -> tuple[Mapping[str, Any], ...]:
        now = self._clock()
        if self._asked is None or now - self._asked >= PAUSE_SECONDS:
            self._asked = now
            try:
                self._keys = self._ask()
                self._got = now
            except (OSError, ValueError, RecursionError) as error:
                logger.warning("the keys of %s cannot be had: %s", self.issuer, error)
        if self._got is None or now - self._got >= STALE_SECONDS:
            raise IDPCommunicationError()
        return self._keys

    def _ask(self) -> tuple[Mapping[str, Any], ...]:
        url: object = self._jwks_url
        if not url:
            where = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            document = json.loads(self._fetch(where))
            if not isinstance(document, dict) or document.get("issuer") != self.issuer:
                raise ValueError("its discovery document is another issuer's")
            url = document.get("jwks_uri")
        if not is_safe_url(url) or (
            urlsplit(self.issuer).scheme == "https" and urlsplit(str(url)).scheme != "https"
        ):
            raise ValueError("its keys are not at an https URL")
        document = json.loads(self._fetch(str(url)))
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            raise ValueError("it has no list of keys")
        # Never one that both sides have: a public key taken for such would let anyone sign.
        return tuple(
            key
            for key in keys[:_MOST_KEYS]
            if isinstance(key, dict)
            and key.get("kty") in ("RSA", "EC", "OKP")
            and key.get("use", "sig") == "sig"
        )


def _named(keys: Sequence[Mapping[str, Any]], key_id: str | None) -> list[Mapping[str, Any]]:
    # A token without a name may be of any: providers of one key give it none.
    return [key for key in keys if key_id is None or key.get("kid") == key_id]


def _is_plain(value: object) -> bool:
    """Whether it is a text that can be written in any answer, log or token."""
    return isinstance(value, str) and value.isprintable()


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        if value is None:
            return None
        raise InvalidIdentityToken(f"The token's {name} is no time")
    if not 0 <= value < 1e12:
        raise InvalidIdentityToken(f"The token's {name} is no time")
    return value


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a signed token, which are yet to be proved.

    :raises InvalidIdentityToken: it is none.
    """
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or not token.isascii() or len(parts) != 3 or not all(parts):
        raise InvalidIdentityToken()
    found = []
    for part in parts[:2]:
        try:
            padded = part + "=" * (-len(part) % 4)
            value = json.loads(
                base64.b64decode(padded, altchars=b"-_", validate=True).decode(),
                object_pairs_hook=_once,
            )
        except (binascii.Error, ValueError, RecursionError):
            raise InvalidIdentityToken() from None
        if not isinstance(value, dict):
            raise InvalidIdentityToken()
        found.append(value)
    return found[0], found[1]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two equal claims another reader may take the other one.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a claim is there twice")
    return found


def _is_signed(token: str, key: Mapping[str, Any], algorithm: str) -> bool:
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    if key.get("alg", algorithm) != algorithm:
        return False
    try:
        public = JWKRegistry.import_key(dict(key))
        jws.deserialize_compact(token, public, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    return True
