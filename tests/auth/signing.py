"""Requests signed by botocore, as a WSGI server would hand them over; what all auth tests share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.sigv4 import Identity
from s3kit.auth.sigv4 import Request
from s3kit.auth.sigv4 import identify
from s3kit.model import Account
from s3kit.model import Key
from s3kit.wire.query import parse_query

ALICE = Account("a" * 64, "alice")
BOB = Account("b" * 64, "bob")
KEY = Key("AKIAALICE", "alice/secret+1", ALICE)
BOBS_KEY = Key("AKIABOB", "bob-secret", BOB)
SESSION_KEY = Key("ASIAALICE", "session-secret", ALICE, session_token="token/+= of alice")
KEY_RING = DictKeyRing([KEY, BOBS_KEY, SESSION_KEY])

URL = "http://s3.example.com/photos/2026/cat.jpg"

# The account of AWS's documented examples, and the moment at which they were signed.
EXAMPLE_KEY = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ALICE)
EXAMPLE_RING = DictKeyRing([EXAMPLE_KEY])
EXAMPLE_TIME = 1369353600.0
EXAMPLE_SCOPE = "20130524/us-east-1/s3/aws4_request"


def make_environ(headers: Mapping[str, str]) -> dict[str, Any]:
    """The environ of a request with these headers."""
    environ: dict[str, Any] = {"wsgi.url_scheme": "http", "SERVER_NAME": "backend"}
    for name, value in headers.items():
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            variable = f"HTTP_{variable}"
        environ[variable] = value
    return environ


def make_request(
    method: str, url: str, headers: Mapping[str, str], paths: tuple[str, ...] | None = None
) -> Request:
    """A request as the pipeline makes it, its canonical path the one in the URL."""
    parts = urlsplit(url)
    return Request(
        method,
        paths or (parts.path,),
        parse_query(parts.query),
        make_environ({"Host": parts.netloc, **headers}),
        parts.scheme,
        parts.netloc,
    )


def botocore_credentials(key: Key) -> Credentials:
    return Credentials(key.access_key, key.secret_key, key.session_token)


def botocore_headers(
    method: str = "GET",
    url: str = URL,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    key: Key = KEY,
    region: str = "us-east-1",
    signer: Any = S3SigV4Auth,
) -> dict[str, str]:
    """The headers of a request as botocore signs it now, its payload hashed."""
    request = AWSRequest(
        method, url, headers={**(headers or {}), "Host": urlsplit(url).netloc}, data=body
    )
    request.context["payload_signing_enabled"] = True
    request.context["client_config"] = None
    signer(botocore_credentials(key), "s3", region).add_auth(request)
    return {
        name: value if isinstance(value, str) else value.decode("latin-1")
        for name, value in request.headers.items()
    }


def botocore_url(
    method: str = "GET",
    url: str = URL,
    *,
    headers: Mapping[str, str] | None = None,
    key: Key = KEY,
    region: str = "us-east-1",
    expires: int = 300,
) -> str:
    """A URL as botocore presigns it now."""
    request = AWSRequest(method, url, headers=dict(headers or {}))
    credentials = botocore_credentials(key)
    S3SigV4QueryAuth(credentials, "s3", region, expires=expires).add_auth(request)
    assert isinstance(request.url, str)
    return request.url


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    now: float | None = None,
    region: str | None = None,
    paths: tuple[str, ...] | None = None,
) -> Identity:
    """Identify a request against the key ring of these tests."""
    moment = time.time() if now is None else now
    request = make_request(method, url, headers, paths)
    return identify(request, KEY_RING, now=moment, region=region)
