"""A request that somebody has captured: raw bytes, curl's or boto's words about it, or a URL."""

from __future__ import annotations

import ast
import io
import re
from dataclasses import dataclass
from typing import Any
from typing import Final
from urllib.parse import unquote_to_bytes
from urllib.parse import urlsplit

from ..wire.environ import environ_key

MOST_BYTES: Final = 64 * 1024 * 1024
"""The most that is read of a file."""

_REQUEST_LINE: Final = re.compile(
    rb"(?:^|(?<=[^A-Za-z]))([A-Z]{3,10}) (\S+) HTTP/\d(?:\.\d)?[ \t]*\r?(?:\n|$)"
)
_PREPARED: Final = re.compile(
    r"<AWSPreparedRequest .*?method=(?P<method>[A-Z]+), url=(?P<url>\S+), "
    r"headers=(?P<headers>\{.*\})>"
)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL: Final = re.compile(r"https?://\S+")


class NoRequest(ValueError):
    """No request can be read from the text; the message says why."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A request as it was captured.

    ``headers`` in their order, values as latin-1; ``body`` is None where it was not captured as
    a whole. ``scheme`` is "" where nothing tells it.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None
    scheme: str = ""

    def environ(self, *, scheme: str, mount: str = "", peer: str = "") -> dict[str, Any]:
        """The environ that a WSGI server would make of it.

        :param scheme: where the request does not tell it.
        :param mount: where an app has the endpoint, ``/s3``.
        :param peer: the address of whoever sent it, or of the proxy that did.
        """
        path, _, query = self.target.partition("?")
        if path[:1] != "/":
            # In absolute form, as proxies send it.
            path = "/" + path.partition("://")[2].partition("/")[2]
        info = unquote_to_bytes(path).decode("latin-1")
        if mount and info.startswith(mount) and info[len(mount) : len(mount) + 1] in ("/", ""):
            info = info[len(mount) :]
        found: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": mount,
            "PATH_INFO": info,
            "QUERY_STRING": query,
            "RAW_URI": self.target,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443" if (self.scheme or scheme) == "https" else "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": peer,
            "wsgi.url_scheme": self.scheme or scheme,
            "wsgi.input": io.BytesIO(self.body or b""),
            "wsgi.input_terminated": True,
        }
        for name, value in self.headers:
            key = environ_key(name)
            if key in found and key.startswith("HTTP_"):
                value = f"{found[key]},{value}"
            found[key] = value
        if self.body is not None and (
            "HTTP_TRANSFER_ENCODING" in found or "CONTENT_LENGTH" not in found
        ):
            # Read by now to its end.
            found.pop("HTTP_TRANSFER_ENCODING", None)
            if self.body or self.method in ("PUT", "POST"):
                found["CONTENT_LENGTH"] = str(len(self.body))
        return found


def read_captured(data: bytes, method: str = "") -> Captured:
    """The request in a captured text, the last one where there are several.

    :param method: what a bare URL is asked with, GET by default.
    :raises NoRequest: there is none.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    text = data.decode("latin-1")
    if _URL.fullmatch(text.strip()):
        return _of_url(text.strip(), method)
    prepared = [*_PREPARED.finditer(text)]
    if prepared:
        return _of_boto(prepared[-1])
    lines = text.splitlines()
    if any(
        line.startswith("> ") and _REQUEST_LINE.match(line[2:].encode("latin-1")) for line in lines
    ):
        return _of_curl(lines)
    if re.search(r"^:method: *[A-Z]+\r?$", text, re.MULTILINE):
        return _of_pseudo_headers(lines)
    found = [*_REQUEST_LINE.finditer(data)]
    if not found:
        raise NoRequest(
            "It has no request line such as GET /bucket/key HTTP/1.1, and is no URL alone."
        )
    # The first: a later one may stand in its body. What stands before it is a dump's own.
    first = found[0]
    head, body = _head_and_body(data[first.end() :])
    return _made(first[1].decode(), first[2].decode("latin-1"), head.split("\n"), body)


def _of_url(url: str, method: str) -> Captured:
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError
    except ValueError:
        raise NoRequest("The URL names no host.") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = (("Host", parts.netloc.rpartition("@")[2]),)
    return Captured(method or "GET", target, headers, None, parts.scheme)


def _of_boto(match: re.Match[str]) -> Captured:
    """What botocore's debug log has: ``Sending http request: <AWSPreparedRequest ...>``."""
    try:
        headers = ast.literal_eval(match["headers"])
        pairs = [(str(name), _text(value)) for name, value in headers.items()]
    except (AttributeError, MemoryError, RecursionError, SyntaxError, ValueError):
        raise NoRequest("The headers in the debug log cannot be read.") from None
    made = _of_url(match["url"], match["method"])
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs[:0] = made.headers
    return Captured(made.method, made.target, tuple(pairs), None, made.scheme)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _of_curl(lines: list[str]) -> Captured:
    """What ``curl -v`` prints, its own lines before ``> ``; a redirect's last request."""
    blocks: list[list[str]] = []
    for line in lines:
        if line[:1] != ">":
            continue
        said = line[1:].removeprefix(" ")
        if _REQUEST_LINE.match(said.encode("latin-1")):
            blocks.append([])
        if blocks:
            blocks[-1].append(said)
    method, target, _ = blocks[-1][0].split(" ", 2)
    return _made(method, target, blocks[-1][1:], None)


def _of_pseudo_headers(lines: list[str]) -> Captured:
    """HTTP/2 as proxies and browsers print it."""
    special = {}
    rest = []
    for line in lines:
        match = re.fullmatch(r"\s*:(method|path|authority|scheme): *(.*?)\s*", line)
        if match is None:
            rest.append(line)
        else:
            special[match[1]] = match[2]
    while rest and not rest[0].strip():
        del rest[0]
    made = _made(special["method"], special.get("path", "/"), rest, None)
    headers = made.headers
    if "authority" in special and not any(name.lower() == "host" for name, _ in headers):
        headers = (("Host", special["authority"]), *headers)
    return Captured(made.method, made.target, headers, None, special.get("scheme", ""))


def _head_and_body(data: bytes) -> tuple[str, bytes]:
    match = re.search(rb"(?:\r?\n|^)\r?\n", data)
    if match is None:
        return data.decode("latin-1"), b""
    return data[: match.start()].decode("latin-1"), data[match.end() :]


def _made(method: str, target: str, lines: list[str], body: bytes | None) -> Captured:
    headers: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 2):
        line = line.rstrip("\r")
        if not line.strip():
            break
        if line[0] in " \t" and headers:
            # Folded, as RFC 9112 still lets old clients do.
            name, before = headers[-1]
            headers[-1] = (name, f"{before} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise NoRequest(f"Line {number} is no header: {line[:60]!r}.")
        headers.append((name, value.strip(" \t")))
    return Captured(method, target, tuple(headers), _whole(headers, body))


def _whole(headers: list[tuple[str, str]], body: bytes | None) -> bytes | None:
    """The body without its framing by HTTP, None where it is not all there."""
    if body is None:
        return None
    said = {name.lower(): value for name, value in headers}
    if said.get("transfer-encoding", "").lower() == "chunked":
        return _unchunked(body)
    length = said.get("content-length", "")
    if not length:
        # Without a length there is none; an editor adds a line's end.
        return b"" if not body.strip(b"\r\n") else body
    if not (length.isascii() and length.isdigit() and len(length) < 12):
        return None
    return body[: int(length)] if len(body) >= int(length) else None


def _unchunked(body: bytes) -> bytes | None:
    found: list[bytes] = []
    while True:
        line, end, rest = body.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            return None
        if not end or size < 0:
            return None
        if size == 0:
            return b"".join(found)
        if len(rest) < size + 2:
            return None
        found.append(rest[:size])
        body = rest[size + 2 :]
