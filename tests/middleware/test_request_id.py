"""An id for every request, of ours or of a trusted proxy."""

from __future__ import annotations

import re
from typing import Any

import pytest

from s3kit.middleware.record import RECORD
from s3kit.middleware.request_id import request_id
from tests.client import call
from tests.client import make_environ


def own_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ[RECORD].request_id.encode()]


def test_any_app_gets_an_id_and_its_client_sees_it() -> None:
    app = request_id(own_app)
    first, second = (call(app, make_environ("GET", "/", {}, b"")) for _ in range(2))
    assert first.headers["x-amz-request-id"] == first.body.decode()
    assert re.fullmatch(r"[0-9A-F]{16}", first.body.decode())
    assert first.body != second.body


def test_an_app_that_tells_an_id_of_its_own_is_left_alone() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Amz-Request-Id", "mine")])
        return []

    assert call(request_id(app), make_environ("GET", "/", {}, b"")).headers == {
        "x-amz-request-id": "mine"
    }
    answer = call(request_id(own_app, answer="X-Id"), make_environ("GET", "/", {}, b""))
    assert answer.headers == {"x-id": answer.body.decode()}


def test_only_a_trusted_proxys_id_is_taken() -> None:
    app = request_id(own_app, accept="X-Request-Id", trusted=["10.0.0.0/8", "unix"])
    environ = make_environ("GET", "/", {"X-Request-Id": "from-outside"}, b"")
    for address, taken in (("10.1.2.3", True), ("", True), ("127.0.0.1", False)):
        answer = call(app, {**environ, "REMOTE_ADDR": address})
        assert (answer.body == b"from-outside") is taken
    assert call(request_id(own_app), environ).body != b"from-outside"


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "a\r\nSet-Cookie: x", "<x>", "x" * 129, "ü"])
def test_an_id_that_could_do_harm_is_passed_over(value: str) -> None:
    app = request_id(own_app, accept="X-Request-Id", trusted=["0.0.0.0/0"])
    answer = call(app, {**make_environ("GET", "/", {}, b""), "HTTP_X_REQUEST_ID": value})
    assert re.fullmatch(r"[0-9A-F]{16}", answer.body.decode())


def test_whose_ids_count_must_be_said() -> None:
    with pytest.raises(ValueError, match="trusted"):
        request_id(own_app, accept="X-Request-Id")
