"""LiveServer: a real server for tests."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import pytest

from s3kit.testing.live_server import LiveServer


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["RAW_URI"].encode()]


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        body: bytes = response.read()
        return body


def test_the_app_sees_the_target_as_it_was_sent() -> None:
    with LiveServer(echo) as server:
        assert fetch(server.url + "/b/a%2Fb//c?x=%20") == b"/b/a%2Fb//c?x=%20"


def test_requests_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def meet(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        meeting.wait()
        return echo(environ, start_response)

    with LiveServer(meet) as server:
        other = threading.Thread(target=fetch, args=(server.url + "/one",))
        other.start()
        assert fetch(server.url + "/two") == b"/two"
        other.join()


def test_after_the_block_nobody_answers() -> None:
    with LiveServer(echo) as server:
        pass
    with pytest.raises(urllib.error.URLError):
        fetch(server.url)
