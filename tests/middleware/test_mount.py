"""mount(): which app gets a request, and with which SCRIPT_NAME and PATH_INFO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from s3kit.middleware.mount import mount


def app_named(name: str) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [f"{name} {environ.get('SCRIPT_NAME')}|{environ.get('PATH_INFO')}".encode()]

    return app


def ask(app: Any, path: str, host: str = "www.example.com", script_name: str = "") -> str:
    environ = {"PATH_INFO": path, "HTTP_HOST": host, "SCRIPT_NAME": script_name}
    return b"".join(app(environ, lambda status, headers: None)).decode()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/s3/bucket/key", "s3 /s3|/bucket/key"),
        ("/s3/", "s3 /s3|/"),
        ("/s3", "s3 /s3|"),
        ("/s3//b//k", "s3 /s3|//b//k"),
        ("/s3x/bucket", "web |/s3x/bucket"),
        ("/S3/bucket", "web |/S3/bucket"),
        ("/", "web |/"),
        ("", "web |"),
    ],
)
def test_a_path_mount_moves_the_prefix_to_script_name(path: str, answer: str) -> None:
    assert ask(mount(app_named("web"), app_named("s3"), at="/s3"), path) == answer


def test_a_mount_below_another_mount_adds_to_script_name() -> None:
    app = mount(app_named("web"), app_named("s3"), at="/s3/")
    assert ask(app, "/s3/b/k", script_name="/outer") == "s3 /outer/s3|/b/k"


def test_a_prefix_that_is_not_ascii_is_compared_as_wsgi_writes_it() -> None:
    app = mount(app_named("web"), app_named("s3"), at="/dépôt")
    assert ask(app, "/dépôt/b".encode().decode("latin-1")).startswith("s3 ")


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("s3.example.com", "s3"),
        ("S3.Example.com:9000", "s3"),
        ("s3.example.com.", "s3"),
        ("photos.s3.example.com", "s3"),
        ("my.photos.s3.example.com:443", "s3"),
        ("evils3.example.com", "web"),
        ("example.com", "web"),
        ("", "web"),
        ("[::1]:80", "web"),
    ],
)
def test_a_host_mount_takes_the_name_and_names_below_it(host: str, who: str) -> None:
    app = mount(app_named("web"), app_named("s3"), hosts=["s3.example.com", "*.s3.example.com"])
    assert ask(app, "/b/k", host) == f"{who} |/b/k"


def test_path_and_host_together_leave_a_hosts_path_whole() -> None:
    app = mount(app_named("web"), app_named("s3"), at="/s3", hosts=["s3.example.com"])
    assert ask(app, "/s3/k", "s3.example.com") == "s3 |/s3/k"
    assert ask(app, "/s3/k") == "s3 /s3|/k"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"at": ""}, {"at": "/"}, {"at": "s3"}, {"hosts": ["s3.example.com:80"]}, {"hosts": ["*"]}],
)
def test_a_mount_that_cannot_work_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at=|hosts"):
        mount(app_named("web"), app_named("s3"), **arguments)
