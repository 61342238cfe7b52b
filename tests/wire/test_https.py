"""Plain HTTP where it is not served: FB-04 (redirected), BB-01 (rejected)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.errors import AccessDenied
from s3kit.wire.https import refuse_plain
from tests.client import Client
from tests.client import Signer

SIGNER = Signer("AKIAEXAMPLE", "secret")
HTTPS = {"wsgi.url_scheme": "https"}


def app_of(https: Any, **other: Any) -> S3App:
    return S3App(Config(https=https, keys={"AKIAEXAMPLE": "secret"}, **other))


@pytest.fixture
def make() -> Any:
    apps: list[S3App] = []

    def make_app(https: Any, **other: Any) -> S3App:
        apps.append(app_of(https, **other))
        return apps[-1]

    yield make_app
    for app in apps:
        app.close()


Make = Callable[..., S3App]


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 301), ("PUT", 307), ("POST", 307), ("DELETE", 307), ("OPTIONS", 307)],
)
def test_fb04_a_plain_request_is_sent_to_https(make: Make, method: str, status: int) -> None:
    app = make("redirect")
    client = Client(app, None)
    answer = client.request(method, "/bucket/a%2Fb//c", "x=1&y=%20", host="s3.example.com:8080")
    assert answer.status == status
    assert answer.headers["location"] == "https://s3.example.com/bucket/a%2Fb//c?x=1&y=%20"
    assert answer.body == b""
    assert answer.headers["x-amz-request-id"]


def test_fb04_over_https_it_is_served(make: Make) -> None:
    client = Client(make("redirect"), SIGNER)
    assert client.request("PUT", "/bucket", environ=HTTPS).status == 200
    assert client.put("/another").status == 307
    assert client.request("HEAD", "/another", environ=HTTPS).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"])
def test_bb01_a_plain_request_is_rejected(make: Make, method: str) -> None:
    answer = Client(make("reject"), SIGNER).request(method, "/bucket/key")
    assert answer.status == 403
    if method != "HEAD":
        assert answer.code == "AccessDenied"


def test_only_a_trusted_proxy_may_say_that_it_was_https(make: Make) -> None:
    """A030."""
    app = make("reject", trusted_proxies=("10.0.0.0/8",))
    forwarded = {"X-Forwarded-Proto": "https"}
    client = Client(app, SIGNER)
    proxy, stranger = {"REMOTE_ADDR": "10.1.2.3"}, {"REMOTE_ADDR": "192.0.2.1"}
    assert client.request("PUT", "/bucket", headers=forwarded, environ=proxy).status == 200
    assert client.request("PUT", "/another", headers=forwarded, environ=stranger).status == 403
    assert client.request("PUT", "/another", environ=proxy).status == 403


def test_a_path_that_looks_like_a_host_stays_a_path() -> None:
    answer = refuse_plain("redirect", "GET", "s3.example.com", "//evil.example/", "")
    assert answer.headers[0] == ("Location", "https://s3.example.com//evil.example/")


@pytest.mark.parametrize("host", ["", "a b", "evil.example/x", "a@evil.example", "a\r\nb", "ä.de"])
def test_a_host_that_no_url_can_name_is_refused(host: str) -> None:
    with pytest.raises(AccessDenied):
        refuse_plain("redirect", "GET", host, "/", "")


def test_nothing_that_no_header_may_hold_gets_into_it() -> None:
    answer = refuse_plain("redirect", "GET", "[::1]:80", "/a\r\nb\xe4 c", "d\0=\x7f")
    assert answer.headers[0] == ("Location", "https://[::1]/a%0D%0Ab%E4%20c?d%00=%7F")


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="redirect"):
        app_of("redirct")
