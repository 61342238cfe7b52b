"""CORS in front of any app, by S3's rules."""

from __future__ import annotations

from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.middleware.cors import CorsRule
from s3kit.middleware.cors import cors
from s3kit.middleware.record import RECORD
from s3kit.middleware.record import RequestRecord
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ

PAGE = "https://www.example.com"
RULES = [
    CorsRule(
        ("https://*.example.com", "null"),
        ("GET", "PUT"),
        ("Content-*", "x-amz-meta-*"),
        ("ETag", "x-amz-request-id"),
        3000,
    ),
    CorsRule(("*",), ("GET",)),
]


def own(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Mine", "1")])
    return [environ["REQUEST_METHOD"].encode()]


def ask(app: Any, method: str = "GET", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, make_environ(method, "/own", names, b""))


def preflight(app: Any, origin: str, method: str, headers: str | None = None) -> Answer:
    asked = {} if headers is None else {"Access_Control_Request_Headers": headers}
    return ask(app, "OPTIONS", Origin=origin, Access_Control_Request_Method=method, **asked)


def test_a_page_that_a_rule_names_may_read_and_is_told_what() -> None:
    answer = ask(cors(own, RULES), Origin=PAGE)
    assert answer.body == b"GET"
    assert answer.headers == {
        "content-type": "text/plain",
        "x-mine": "1",
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "GET, PUT",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "3000",
        "access-control-allow-credentials": "true",
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }


def test_any_page_is_let_in_without_its_users_credentials() -> None:
    answer = ask(cors(own, RULES), Origin="https://elsewhere.test")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_other_requests_pass_untouched_but_for_what_caches_must_know() -> None:
    for answer in (
        ask(cors(own, RULES)),
        ask(cors(own, RULES[:1]), Origin="https://elsewhere.test"),
        ask(cors(own, RULES[:1]), "DELETE", Origin=PAGE),
    ):
        assert answer.status == 200
        assert set(answer.headers) == {"content-type", "x-mine", "vary"}


def test_a_preflight_is_answered_before_the_app() -> None:
    answer = preflight(cors(own, RULES), PAGE, "PUT", "content-type, X-Amz-Meta-A")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-headers"] == "content-type, x-amz-meta-a"
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["access-control-max-age"] == "3000"


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://www.example.org", "PUT", None),
        (PAGE, "DELETE", None),
        (PAGE, "put", None),
        (PAGE, "PUT", "authorization"),
        ("https://www.example.com.evil.test", "PUT", None),
        ("https://example.com", "PUT", None),
    ],
)
def test_a_preflight_that_no_rule_lets_in_is_refused(
    origin: str, method: str, headers: str | None
) -> None:
    answer = preflight(cors(own, RULES), origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert answer.text("Method") == method
    assert "access-control-allow-origin" not in answer.headers
    plain = preflight(cors(own, RULES, refusal="plain"), origin, method, headers)
    assert (plain.status, plain.body) == (403, b"Forbidden\n")


def test_another_options_request_is_the_apps() -> None:
    assert ask(cors(own, RULES), "OPTIONS").body == b"OPTIONS"
    assert ask(cors(own, RULES), "OPTIONS", Origin=PAGE).body == b"OPTIONS"


def test_an_app_with_headers_of_its_own_keeps_them() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("access-control-allow-origin", "mine")])
        return []

    answer = ask(cors(app, RULES), Origin=PAGE)
    assert answer.headers == {"access-control-allow-origin": "mine"}


def test_rules_can_depend_on_the_request() -> None:
    app = cors(own, lambda environ: RULES if environ["PATH_INFO"] == "/own" else [])
    assert "access-control-allow-origin" in ask(app, Origin=PAGE).headers
    other = call(app, make_environ("GET", "/other", {"Origin": PAGE}, b""))
    assert "access-control-allow-origin" not in other.headers


def test_what_a_client_sends_cannot_become_a_header_of_its_own() -> None:
    rules = [CorsRule(("*",), ("PUT",), ("*",))]
    answer = preflight(cors(own, rules), PAGE, "PUT", "a, b\r\nSet-Cookie: c, <d>")
    assert answer.headers["access-control-allow-headers"] == "a"


def test_the_refusal_is_in_the_record() -> None:
    record = RequestRecord()
    headers = {"Origin": "https://x.test", "Access-Control-Request-Method": "PUT"}
    environ = {**make_environ("OPTIONS", "/own", headers, b""), RECORD: record}
    answer = call(cors(own, RULES), environ)
    assert record.error == "AccessForbidden"
    assert record.request_id == answer.headers["x-amz-request-id"]


def test_in_front_of_an_s3app_a_page_may_store_and_read() -> None:
    s3 = S3App(Config(keys={"AKIA": "secret"}))
    app = cors(s3, RULES)
    client = Client(app, Signer("AKIA", "secret"))
    assert preflight(app, PAGE, "PUT", "content-type").status == 200
    client.put("/photos")
    answer = client.put("/photos/key", b"x", origin=PAGE)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    answer = client.get("/photos/none", origin=PAGE)
    assert (answer.code, answer.headers["access-control-allow-origin"]) == ("NoSuchKey", PAGE)
    s3.close()
