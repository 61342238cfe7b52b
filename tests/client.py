"""A small S3 client over WSGI, without sockets; botocore's own signer signs, as an oracle.

It sends what it is told, so that a test can send what no well-behaved client would.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOST = "s3.test"


@dataclass(frozen=True)
class Signer:
    """A key pair that signs; ``token`` is a session token."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass
class Answer:
    """What the app said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def xml(self) -> ElementTree.Element:
        """The body as XML, namespaces stripped."""
        root = ElementTree.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    @property
    def code(self) -> str:
        """The S3 error code; the whole answer must be an S3 error document."""
        root = self.xml
        assert root.tag == "Error", self.body
        assert root.findtext("RequestId") == self.headers["x-amz-request-id"]
        assert root.findtext("Message")
        return root.findtext("Code") or ""

    def text(self, path: str) -> str | None:
        """The text of an element of the answer."""
        return self.xml.findtext(path)

    def texts(self, path: str) -> list[str]:
        """The texts of all such elements."""
        return [element.text or "" for element in self.xml.findall(path)]


class Client:
    """Sends requests into a WSGI app as one signer, or anonymously."""

    def __init__(
        self, app: Any, signer: Signer | None, *, mount: str = "", region: str = "us-east-1"
    ) -> None:
        self.app = app
        self.signer = signer
        self.mount = mount
        self.region = region

    def signed_headers(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, host: str = HOST
    ) -> dict[str, str]:
        """The headers of a request with its signature added."""
        sent = {"Host": host, **headers}
        if self.signer is None:
            return sent
        request = AWSRequest(method=method, url=f"http://{host}{target}", headers=sent, data=body)
        payload = sent.get("x-amz-content-sha256")
        request.context["payload_signing_enabled"] = True
        credentials = Credentials(self.signer.access_key, self.signer.secret_key, self.signer.token)
        auth = S3SigV4Auth(credentials, "s3", self.region)
        if payload is not None:
            auth.payload = lambda request: payload  # type: ignore[method-assign]
            auth._should_sha256_sign_payload = lambda request: True  # type: ignore[method-assign]
        auth.add_auth(request)
        if payload is not None:
            request.headers.replace_header("X-Amz-Content-SHA256", payload)
        return dict(request.headers.items())

    def request(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | Any = b"",
        *,
        host: str = HOST,
        environ: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Sign and send. ``path`` and ``query`` are sent as they stand, percent-encoded."""
        target = self.mount + path + (f"?{query}" if query else "")
        data = body if isinstance(body, bytes) else b""
        sent = self.signed_headers(method, target, headers or {}, data, host)
        return self.send(method, target, sent, body, environ=environ)

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Any = b"",
        *,
        environ: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send exactly these headers; nothing is signed or added but Content-Length."""
        made = make_environ(method, target, headers, body, mount=self.mount)
        made.update(environ or {})
        return call(self.app, made)

    # -- shorthands

    def put(self, path: str, body: bytes | Any = b"", query: str = "", **headers: str) -> Answer:
        return self.request("PUT", path, query, _names(headers), body)

    def get(self, path: str, query: str = "", **headers: str) -> Answer:
        return self.request("GET", path, query, _names(headers))

    def head(self, path: str, query: str = "", **headers: str) -> Answer:
        return self.request("HEAD", path, query, _names(headers))

    def delete(self, path: str, query: str = "", **headers: str) -> Answer:
        return self.request("DELETE", path, query, _names(headers))

    def post(self, path: str, body: bytes | Any = b"", query: str = "", **headers: str) -> Answer:
        return self.request("POST", path, query, _names(headers), body)


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def path_of(bucket: str, key: str | bytes = "") -> str:
    """The percent-encoded path of a bucket or object."""
    return f"/{bucket}" + (f"/{quote(key, safe='/-_.~')}" if key else "")


def make_environ(
    method: str, target: str, headers: Mapping[str, str], body: bytes | Any, *, mount: str = ""
) -> dict[str, Any]:
    """The environ that gunicorn would make of this request."""
    path, _, query = target.partition("?")
    info = unquote_to_bytes(path).decode("latin-1")
    if mount and info.startswith(mount):
        info = info[len(mount) :]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": info,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "test/1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if isinstance(body, bytes) and (body or method in ("PUT", "POST")):
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            environ[key] = value
        else:
            environ[f"HTTP_{key}"] = value
    if "HTTP_TRANSFER_ENCODING" in environ:
        environ.pop("CONTENT_LENGTH", None)
        environ["wsgi.input_terminated"] = True
    return environ


def call(app: Any, environ: dict[str, Any]) -> Answer:
    """Run one WSGI request to its end and keep the rules of WSGI while at it."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda data: None

    result: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    assert len(started) == 1
    status, headers = started[0]
    for name, value in headers:
        assert type(name) is str
        assert type(value) is str
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), name
        value.encode("latin-1")
        assert not any(letter in value for letter in "\r\n\0"), (name, value)
    return Answer(int(status[:3]), {name.lower(): value for name, value in headers}, body)
