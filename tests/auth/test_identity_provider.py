"""Tokens of OpenID Connect providers: what is believed of them, and what is fetched for that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.jwk import RSAKey

from s3kit.auth import identity_provider
from s3kit.auth.identity_provider import KEPT_SECONDS
from s3kit.auth.identity_provider import MOST_BYTES
from s3kit.auth.identity_provider import MOST_WAITING
from s3kit.auth.identity_provider import PAUSE_SECONDS
from s3kit.auth.identity_provider import STALE_SECONDS
from s3kit.auth.identity_provider import IdentityProvider
from s3kit.auth.identity_provider import fetch
from s3kit.auth.identity_provider import is_safe_url
from s3kit.errors import ExpiredTokenException
from s3kit.errors import IDPCommunicationError
from s3kit.errors import InvalidIdentityToken
from tests.waiting import eventually

ISSUER = "https://login.example.com"
JWKS = "https://keys.example.com/jwks"
NOW = 1_700_000_000
RSA = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "two"})
STRANGE = RSAKey.generate_key(2048, {"kid": "one"})
CLAIMS = {"iss": ISSUER, "sub": "repo:acme/site", "aud": "s3", "exp": NOW + 60, "iat": NOW}


def public(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


class Web:
    """What lies where, and what was asked for."""

    def __init__(self, *keys: Any) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.pages: dict[str, Any] = {
            f"{ISSUER}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": JWKS},
            JWKS: public(*keys),
        }

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url)
        if page is None:
            raise OSError("no answer")
        return page if isinstance(page, bytes) else json.dumps(page).encode()

    def provider(self, **settings: Any) -> IdentityProvider:
        return IdentityProvider(
            ISSUER, ("s3", "other"), fetch=self.fetch, clock=lambda: self.now, **settings
        )


def token(
    key: Any = RSA, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any
) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jws.serialize_compact(
        {"alg": algorithm, "kid": key.kid, **(header or {})},
        json.dumps(said),
        key,
        algorithms=[algorithm],
    )


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_good_token_tells_whom_it_is_about() -> None:
    web = Web(RSA, EC)
    provider = web.provider()
    found = provider.verify(token(), NOW)
    assert (found.issuer, found.subject, found.audience) == (ISSUER, "repo:acme/site", "s3")
    assert provider.verify(token(EC, "ES256", aud=["x", "other"]), NOW).audience == "other"
    # Who azp names is for whom it was made, whoever else may read it.
    assert provider.verify(token(aud="elsewhere", azp="s3"), NOW).audience == "s3"
    # Once for all of them.
    assert web.asked == [f"{ISSUER}/.well-known/openid-configuration", JWKS]


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "https://login.example.com/"}, InvalidIdentityToken),
        ({"iss": None}, InvalidIdentityToken),
        ({"aud": "elsewhere"}, InvalidIdentityToken),
        ({"aud": None}, InvalidIdentityToken),
        ({"aud": ["s3"], "azp": "elsewhere"}, InvalidIdentityToken),
        ({"aud": {"s3": 1}}, InvalidIdentityToken),
        ({"sub": None}, InvalidIdentityToken),
        ({"sub": ""}, InvalidIdentityToken),
        ({"sub": "x" * 256}, InvalidIdentityToken),
        ({"sub": "a\nb"}, InvalidIdentityToken),
        ({"sub": "\ud800"}, InvalidIdentityToken),
        ({"sub": 7}, InvalidIdentityToken),
        ({"exp": NOW}, ExpiredTokenException),
        ({"exp": NOW - 1}, ExpiredTokenException),
        ({"exp": None}, InvalidIdentityToken),
        ({"exp": "tomorrow"}, InvalidIdentityToken),
        ({"exp": True}, InvalidIdentityToken),
        ({"exp": 1e300}, InvalidIdentityToken),
        ({"iat": None}, InvalidIdentityToken),
        ({"iat": NOW + 120}, InvalidIdentityToken),
        ({"nbf": NOW + 120}, InvalidIdentityToken),
    ],
)
def test_a_token_that_says_something_else_is_refused_before_anything_is_fetched(
    claims: dict[str, Any], error: type[Exception]
) -> None:
    web = Web(RSA)
    with pytest.raises(error):
        web.provider().verify(token(**claims), NOW)
    assert web.asked == []


def test_nobody_else_can_sign() -> None:
    web = Web(RSA, EC)
    provider = web.provider()
    good = token()
    header, payload, signature = good.split(".")
    secret = json.dumps(RSA.as_dict(private=False)).encode()
    pem = RSA.as_pem(private=False)
    forged = []
    for shared in (secret, pem, pem.strip(), b""):
        start = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{payload}"
        digest = hmac.new(shared, start.encode(), hashlib.sha256).digest()
        forged.append(start + "." + base64.urlsafe_b64encode(digest).decode().rstrip("="))
    other = encoded({**CLAIMS, "sub": "admin"})
    for bad in (
        *forged,
        f"{encoded({'alg': 'none'})}.{payload}.",
        f"{encoded({'alg': 'none'})}.{payload}.x",
        f"{encoded({'alg': 'None', 'kid': 'one'})}.{payload}.{signature}",
        f"{header}.{other}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 'two'})}.{payload}.{signature}",
        f"{encoded({'alg': 'ES256', 'kid': 'one'})}.{payload}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 'one', 'x': 1})}.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f"{good}.a.b",
        token(STRANGE),
        token(RSA, "RS384"),
        token(header={"crit": ["alg"]}),
        f"{encoded({'alg': 'RS256', 'kid': 7})}.{payload}.{signature}",
        "é.é.é",
        "...",
        "x" * 20_001,
        f"{encoded([])}.{payload}.{signature}",
        "eyJhbGciOiJSUzI1NiIsImFsZyI6Im5vbmUifQ." + payload + "." + signature,
        # A key that comes with the token is nobody's.
        token(STRANGE, header={"jwk": STRANGE.as_dict(private=False)}),
        token(STRANGE, header={"jku": "https://evil.example/jwks"}),
    ):
        with pytest.raises(InvalidIdentityToken):
            provider.verify(bad, NOW)
    assert set(web.asked) <= {f"{ISSUER}/.well-known/openid-configuration", JWKS}
    assert provider.verify(good, NOW).subject == "repo:acme/site"


def test_each_byte_of_a_token_counts() -> None:
    provider = Web(RSA).provider()
    good = token()
    for place in range(0, len(good), 7):
        for letter in ("A", "z", "_", "."):
            bad = good[:place] + letter + good[place + 1 :]
            if bad == good or (place == len(good) - 1):
                continue
            with pytest.raises((InvalidIdentityToken, ExpiredTokenException)):
                provider.verify(bad, NOW)


def test_a_key_that_both_sides_have_is_never_used() -> None:
    web = Web()
    shared = {"kty": "oct", "k": encoded("secret" * 10), "kid": "one"}
    encrypts = {**RSA.as_dict(private=False), "use": "enc"}
    named = {**RSA.as_dict(private=False), "alg": "RS512"}
    for keys in ([shared], [encrypts], [named], ["x", None, {"kty": "RSA", "kid": "one"}]):
        web.pages[JWKS] = {"keys": keys}
        with pytest.raises(InvalidIdentityToken):
            web.provider().verify(token(), NOW)


def test_an_unknown_key_is_asked_for_once_a_minute_at_most() -> None:
    web = Web(RSA)
    provider = web.provider(jwks_url=JWKS)
    provider.verify(token(), NOW)
    fresh = ECKey.generate_key("P-256", {"kid": "fresh"})
    for _ in range(3):
        with pytest.raises(InvalidIdentityToken):
            provider.verify(token(fresh, "ES256"), NOW)
    assert web.asked == [JWKS]
    web.pages[JWKS] = public(RSA, fresh)
    web.now = PAUSE_SECONDS
    assert provider.verify(token(fresh, "ES256"), NOW)
    for _ in range(3):
        with pytest.raises(InvalidIdentityToken):
            provider.verify(token(EC, "ES256"), NOW)
    assert web.asked == [JWKS] * 2


def test_strangers_have_no_more_than_a_few_requests_wait_for_a_provider() -> None:
    web = Web(RSA)
    answers, asked = threading.Event(), threading.Semaphore(0)

    def fetch(url: str) -> bytes:
        asked.release()
        assert answers.wait(60)
        return web.fetch(url)

    provider = IdentityProvider(ISSUER, ("s3",), jwks_url=JWKS, fetch=fetch, clock=lambda: web.now)
    found: list[str] = []

    def verify(said: str) -> None:
        try:
            found.append(provider.verify(said, NOW).subject)
        except (IDPCommunicationError, InvalidIdentityToken) as error:
            found.append(type(error).__name__)

    def send(said: str) -> list[threading.Thread]:
        """As many threads as may wait, all of which do when this returns."""
        threads = [threading.Thread(target=verify, args=(said,)) for _ in range(MOST_WAITING)]
        for thread in threads:
            thread.start()
        assert asked.acquire(timeout=30)
        eventually(lambda: not provider._waiting._value)  # type: ignore[attr-defined]
        return threads

    waiting = send(token())
    verify(token())
    assert found == ["IDPCommunicationError"]
    answers.set()
    for thread in waiting:
        thread.join(60)
    assert found[1:] == [CLAIMS["sub"]] * MOST_WAITING
    # Whose key is known needs not wait at all, nor whose key was an hour ago.
    answers.clear()
    found.clear()
    web.now = PAUSE_SECONDS
    waiting = send(token(EC, "ES256"))
    verify(token())
    web.now = KEPT_SECONDS
    verify(token())
    verify(token(EC, "ES256"))
    assert found == [CLAIMS["sub"], CLAIMS["sub"], "IDPCommunicationError"]
    answers.set()
    for thread in waiting:
        thread.join(60)
    assert found[3:] == ["InvalidIdentityToken"] * MOST_WAITING


def test_keys_are_asked_for_anew_and_outlive_a_provider_that_is_away_for_a_day() -> None:
    web = Web(RSA)
    provider = web.provider(jwks_url=JWKS)
    provider.verify(token(), NOW)
    web.now = KEPT_SECONDS
    web.pages[JWKS] = None
    assert provider.verify(token(), NOW)
    assert provider.verify(token(), NOW)
    assert web.asked == [JWKS] * 2
    web.now = STALE_SECONDS
    with pytest.raises(IDPCommunicationError):
        provider.verify(token(), NOW)
    web.now += PAUSE_SECONDS
    web.pages[JWKS] = public(EC)
    # Its key was taken back.
    with pytest.raises(InvalidIdentityToken):
        provider.verify(token(), NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda pages: pages.clear(),
        lambda pages: pages.update({JWKS: b"<html>"}),
        lambda pages: pages.update({JWKS: []}),
        lambda pages: pages.update({JWKS: {"keys": {}}}),
        lambda pages: pages.update({JWKS: b"[" * 100_000}),
        lambda pages: pages.update(
            {f"{ISSUER}/.well-known/openid-configuration": {"issuer": "x", "jwks_uri": JWKS}}
        ),
        lambda pages: pages.update(
            {
                f"{ISSUER}/.well-known/openid-configuration": {
                    "issuer": ISSUER,
                    "jwks_uri": "http://127.0.0.1/jwks",
                }
            }
        ),
    ],
)
def test_a_provider_that_answers_nonsense_opens_nothing(
    change: Callable[[dict[str, Any]], None],
) -> None:
    web = Web(RSA)
    change(web.pages)
    with pytest.raises(IDPCommunicationError):
        web.provider().verify(token(), NOW)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://login.example.com", True),
        ("https://login.example.com:8443/realms/a", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:80/", True),
        ("http://login.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://user:pw@login.example.com", False),
        ("https://", False),
        ("file:///etc/passwd", False),
        ("https://a:99999", False),
        ("ftp://127.0.0.1", False),
        (7, False),
    ],
)
def test_providers_are_asked_over_https_or_on_this_machine(url: object, safe: bool) -> None:
    assert is_safe_url(url) is safe


class _Tiresome(BaseHTTPRequestHandler):
    """What no provider should be."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "/good")
        self.end_headers()
        if self.path == "/endless":
            self.wfile.write(b" " * (MOST_BYTES + 1))
        elif self.path == "/drop-by-drop":
            stopped = self.server.stopped  # type: ignore[attr-defined]
            while not stopped.wait(0.02):
                self.wfile.write(b" ")
        else:
            self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_no_provider_keeps_requests_waiting_or_sends_them_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The others fail for what they are, however long they take.
    monkeypatch.setattr(identity_provider, "SECONDS", 60.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tiresome) as server:
        server.daemon_threads = True
        server.stopped = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            here = f"http://127.0.0.1:{server.server_address[1]}"
            assert fetch(f"{here}/good") == b"{}"
            with pytest.raises(OSError, match="302"):
                fetch(f"{here}/elsewhere")
            with pytest.raises(ValueError, match="too large"):
                fetch(f"{here}/endless")
            monkeypatch.setattr(identity_provider, "SECONDS", 0.2)
            # A machine that stands still meanwhile has a connection or a read time out instead.
            with pytest.raises(OSError, match=r"too long|timed out"):
                fetch(f"{here}/drop-by-drop")
        finally:
            server.stopped.set()  # type: ignore[attr-defined]
            server.shutdown()
