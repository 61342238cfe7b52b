"""health(): /-/health and /-/ready in front of an app."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest

from s3kit.middleware.health import health


def s3(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("299 S3", [])
    return [b"s3"]


def ask(
    app: Any, path: str, method: str = "GET", host: str = "s3.example.com"
) -> tuple[str, bytes]:
    statuses: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "HTTP_HOST": host}
    body = b"".join(app(environ, lambda status, headers: statuses.append(status)))
    return statuses[0], body


def broken() -> None:
    raise OSError("db.internal is down")


@pytest.mark.parametrize("path", ["/-/health", "/-/ready"])
def test_a_working_service_is_healthy_and_ready(path: str) -> None:
    assert ask(health(s3), path) == ("200 OK", b"ok\n")
    assert ask(health(s3, ready=lambda: None), path) == ("200 OK", b"ok\n")
    assert ask(health(s3), path, "HEAD") == ("200 OK", b"")


def test_not_ready_is_503_and_tells_the_reason_only_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        status, body = ask(health(s3, ready=broken), "/-/ready")
    assert status == "503 Service Unavailable"
    assert b"internal" not in body
    assert "db.internal" in caplog.text


def test_a_process_that_is_not_ready_is_alive() -> None:
    assert ask(health(s3, ready=broken), "/-/health")[0] == "200 OK"


@pytest.mark.parametrize("path", ["/", "/-", "/-/", "/-/healthy", "/-/ready/", "/bucket/-/health"])
def test_every_other_path_goes_through(path: str) -> None:
    assert ask(health(s3), path) == ("299 S3", b"s3")


def test_under_a_buckets_host_the_path_is_a_key() -> None:
    app = health(s3, base_hosts=["s3.example.com"])
    assert ask(app, "/-/health", host="photos.s3.example.com:80") == ("299 S3", b"s3")
    assert ask(app, "/-/health", host="s3.example.com:80") == ("200 OK", b"ok\n")


def test_writing_there_is_refused() -> None:
    assert ask(health(s3), "/-/health", "PUT")[0] == "405 Method Not Allowed"
