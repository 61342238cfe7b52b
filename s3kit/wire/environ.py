"""Every WSGI server's ways with a request, in one place: target, headers, body end, proxies.

Measured against gunicorn, waitress, cheroot, werkzeug, uWSGI and granian;
``tests/wire/test_servers.py`` runs each of them.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from typing import Final

from ..errors import IncompleteBody
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MissingContentLength
from ..errors import RequestTimeout
from ..errors import S3Error
from .address import aws_quote
from .query import Query

logger = logging.getLogger(__name__)

Environ = Mapping[str, Any]

_MAX_ALTERNATIVES: Final = 4
_DRAIN_BLOCK: Final = 65536
# An IPv6 address may name its zone, in any number of letters; addresses are remembered.
_LONGEST_ADDRESS: Final = 64
_warned_about_target = False


class Target:
    """The request target as the client wrote it.

    ``path`` is raw (percent-encoded, the mount included), ``query`` raw without its ``?``.
    ``exact`` is False where the server gave no raw target and ``path`` is the decoded one, encoded
    anew. ``alternatives`` are other raw paths that would have arrived here the same.
    """

    __slots__ = ("alternatives", "exact", "path", "query")

    def __init__(
        self, path: str, query: str, exact: bool = True, alternatives: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self.query = query
        self.exact = exact
        self.alternatives = alternatives

    def __repr__(self) -> str:
        return f"Target({self.path!r}, exact={self.exact})"


def raw_target(environ: Environ) -> Target:
    """The request target, byte for byte where the server tells it, else the best rebuilt one.

    The first request on a server that does not tell logs one warning.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not raw:
        raw_path = _asgi_path(environ)
        if raw_path:
            if raw_path[:1] != "/":
                raw_path = _without_authority(raw_path)
            return Target(raw_path, environ.get("QUERY_STRING", ""))
        return _rebuilt_target(environ)
    path, _, query = raw.partition("?")
    if path[:1] != "/":
        path = _without_authority(path)
    if "SERVER_SOFTWARE" in environ and environ["SERVER_SOFTWARE"].startswith("Werkzeug"):
        return _werkzeug_target(path, query)
    return Target(path, query)


def gives_raw_target(environ: Environ) -> bool:
    """Whether this server tells the request target as it was sent."""
    return bool(environ.get("RAW_URI") or environ.get("REQUEST_URI") or _asgi_path(environ))


def _asgi_path(environ: Environ) -> str:
    """The raw path that an ASGI server gave to a2wsgi, without the query; "" where there is none.

    uvicorn, granian and hypercorn tell it byte for byte; the ASGI specification lets others not.
    """
    scope = environ.get("asgi.scope")
    raw_path = scope.get("raw_path") if isinstance(scope, Mapping) else None
    if not isinstance(raw_path, bytes):
        return ""
    return raw_path.partition(b"?")[0].decode("latin-1")


def _without_authority(path: str) -> str:
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        # Absolute form, as a proxy sends it. The authority is not asked for anything (A105).
        slash = rest.find("/")
        return rest[slash:] if slash >= 0 else "/"
    return path


def _werkzeug_target(path: str, query: str) -> Target:
    # http.server has made one slash of several leading ones.
    collapsed = ("/" + path,)
    if path.isascii() and query.isascii():
        return Target(path, query, True, collapsed)
    # werkzeug encodes the latin-1 reading of the bytes as UTF-8 once more.
    path = _undo_double_encoding(path)
    return Target(path, _undo_double_encoding(query), True, ("/" + path,))


def _undo_double_encoding(text: str) -> str:
    try:
        once = text.encode("latin-1").decode("utf-8")
        once.encode("latin-1")
    except UnicodeError:
        return text
    return once


def _quoted(text: str, encoding: str) -> str:
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return aws_quote(data)


def _rebuilt_target(environ: Environ) -> Target:
    global _warned_about_target
    if not _warned_about_target:
        _warned_about_target = True
        logger.warning(
            "This server (%s) does not tell the raw request target (RAW_URI or REQUEST_URI). Keys "
            "are rebuilt from PATH_INFO: '%%2F' and '/' cannot be told apart, so a client that "
            "signs an unusual spelling of a path may be refused.",
            environ.get("SERVER_SOFTWARE") or "unknown",
        )
    # Django rewrites PATH_INFO as real characters; its mount says so by this key.
    encoding = environ.get("s3kit.path_encoding", "latin-1")
    script_name = environ.get("SCRIPT_NAME")
    mount = _quoted(script_name, encoding) if script_name else ""
    below = _quoted(environ.get("PATH_INFO", ""), encoding)
    query: str = environ.get("QUERY_STRING", "")
    alternatives = _with_encoded_slashes(mount, below)
    if below.startswith("/") and environ.get("SERVER_SOFTWARE", "").startswith("WSGIServer"):
        alternatives = (f"/{mount}{below}", *alternatives)
    return Target(mount + below, query, False, alternatives)


def _with_encoded_slashes(mount: str, below: str) -> tuple[str, ...]:
    """The few raw paths with ``%2F`` in the first segment that decode to this one (IU-20)."""
    start = below.find("/", 1)
    if start < 0:
        return ()
    ends: list[int] = []
    doubled = below.find("//", start)
    if doubled >= 0:
        # PHP's SDK sends scope%2F and then /key: the double slash tells where the scope ends.
        ends.append(doubled + 1)
    end = below.find("/", start + 1)
    while end >= 0 and len(ends) < _MAX_ALTERNATIVES:
        if end not in ends:
            ends.append(end)
        end = below.find("/", end + 1)
    if len(ends) < _MAX_ALTERNATIVES:
        ends.append(len(below))
    head = mount + below[:start]
    return tuple([head + below[start:end].replace("/", "%2F") + below[end:] for end in ends])


TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What a header's name may be (RFC 9110, section 5.6.2)."""

_FOLD: Final = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


# Only for names that stand in s3kit's own code: what clients invent is not to be kept here.
@lru_cache(maxsize=1024)
def environ_key(name: str) -> str:
    """The environ key of a header, e.g. ``HTTP_X_AMZ_ACL`` for ``x-amz-acl``."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def is_metadata_with_underscore(name: str) -> bool:
    """Whether this is metadata such as ``x-amz-meta-a_b``, whose name S3 takes as it is.

    Servers leave out every header with an underscore, because WSGI cannot tell it from the same
    name with a hyphen; then its signature is wrong. This one may stay: the prefix has hyphens, so
    nothing but metadata is named, and two spellings of one name break the signature (A028).
    """
    return name[:11].lower() == "x-amz-meta-" and "_" in name


def keep_metadata(environ: dict[str, Any], headers: Iterable[tuple[str, str]]) -> None:
    """Add the metadata that a server left out of ``environ`` for the underscore in its name."""
    for name, value in headers:
        if is_metadata_with_underscore(name):
            environ.setdefault(environ_key(name), value)


def header(environ: Environ, name: str) -> str | None:
    """A request header by its lower-case name, without outer blanks; None where it is absent.

    An empty Content-Type or Content-Length counts as absent, because some servers always set them.
    """
    value: str | None = environ.get(environ_key(name))
    if value is None:
        return None
    value = clean(value)
    if not value and name in ("content-type", "content-length"):
        return None
    return value


def clean(value: str) -> str:
    """A header's value without outer blanks and line breaks."""
    if "\n" in value or "\r" in value:
        # uWSGI leaves the line break of a folded header in its value. Not split(): a header's bytes
        # come as latin-1, where 0xA0 and 0x85, half a letter in UTF-8, count as space.
        value = _FOLD.sub(" ", value)
    return value.strip(" \t")


def amz_headers(environ: Environ) -> list[str]:
    """The lower-case names of all ``x-amz-*`` headers of the request."""
    return [key[5:].lower().replace("_", "-") for key in environ if key.startswith("HTTP_X_AMZ_")]


def header_items(environ: Environ) -> dict[str, str]:
    """All request headers by lower-case name. ``_`` in a name arrives as ``-``: WSGI loses it."""
    found: dict[str, str] = {}
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            found[key[5:].lower().replace("_", "-")] = clean(value)
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            value = clean(value)
            if value:
                found[key.lower().replace("_", "-")] = value
    return found


_SIGNATURE_PARAMETERS: Final = frozenset(
    "x-amz-" + name
    for name in (
        "algorithm",
        "content-sha256",
        "credential",
        "date",
        "expires",
        "s3session-token",
        "security-token",
        "signature",
        "signedheaders",
    )
)


def take_hoisted_headers(environ: dict[str, Any], query: Query) -> bool:
    """Make headers of the ``x-amz-*`` parameters of a presigned URL; whether there were any.

    The presigners of the SDKs for JavaScript and Go move headers there, and S3 heeds them (ACL,
    metadata, tags, checksums). Only for a query whose signature was verified. A header that came
    as such stays.

    :raises InvalidArgument: a parameter that can be no header (A100).
    """
    found = False
    for name, value in query.items:
        lower = name.lower()
        if lower.startswith("x-amz-") and lower not in _SIGNATURE_PARAMETERS and value is not None:
            found = True
            if not TOKEN.fullmatch(lower):
                raise InvalidArgument("The parameter is no header.", argument_name=name)
            # Values of headers are bytes in latin-1's clothes.
            text = value.encode("utf-8", "surrogateescape").decode("latin-1")
            environ.setdefault("HTTP_" + lower.upper().replace("-", "_"), text)
    return found


class Input:
    """The request body with a known end; it never reads past it.

    ``length`` is the declared length in bytes, None for a chunked body, which ends by itself.
    ``declared`` is False where the request said nothing about a body (S3 wants a length for an
    upload). ``remaining`` counts down from ``length``.
    """

    __slots__ = (
        "_failed",
        "_lazy_continue",
        "_read",
        "_touched",
        "declared",
        "length",
        "remaining",
    )

    def __init__(
        self,
        stream: Any,
        length: int | None,
        *,
        declared: bool = True,
        lazy_continue: bool = False,
    ) -> None:
        self._read = stream.read
        self.length = length
        self.remaining = length
        self.declared = declared
        self._lazy_continue = lazy_continue
        self._touched = False
        self._failed: S3Error | None = None

    def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes, fewer only at the end; all that is left for a negative ``n``.

        :raises IncompleteBody: the body ended before its declared length, or the connection broke.
        :raises RequestTimeout: the client sent nothing for too long.
        """
        remaining = self.remaining
        if remaining is None:
            return self._read_chunked(n)
        if n < 0 or n > remaining:
            n = remaining
        if n == 0:
            return b""
        data = self._once(n)
        if len(data) < n:
            data = self._until(data, n)
            if len(data) < n:
                self._failed = IncompleteBody()
                raise self._failed
        self.remaining = remaining - n
        return data

    def _once(self, n: int) -> bytes:
        if self._failed is not None:
            raise self._failed
        self._touched = True
        try:
            data: bytes = self._read(n)
        except TimeoutError as error:
            self._failed = RequestTimeout()
            raise self._failed from error
        # Every server has exceptions of its own for a body that breaks off.
        except Exception as error:
            self._failed = IncompleteBody()
            raise self._failed from error
        return data

    def _until(self, data: bytes, n: int) -> bytes:
        blocks = [data]
        missing = n - len(data)
        while missing and data:
            data = self._once(missing)
            blocks.append(data)
            missing -= len(data)
        return b"".join(blocks)

    def _read_chunked(self, n: int) -> bytes:
        if n == 0:
            return b""
        if n < 0:
            blocks = []
            while block := self._once(_DRAIN_BLOCK):
                blocks.append(block)
            self.remaining = 0
            return b"".join(blocks)
        data = self._once(n)
        if len(data) < n:
            data = self._until(data, n)
            if len(data) < n:
                # Not every server may be read again after its end.
                self.remaining = 0
        return data

    def drain(self, limit: int = 1 << 20) -> None:
        """Read away what is left, so that an early answer reaches the client and the connection
        stays usable.

        A body that has more than ``limit`` bytes left is not touched: the server then closes. Nor
        is one whose sender still waits to be asked for it (``Expect: 100-continue``).
        """
        remaining = self.remaining
        if remaining == 0 or self._failed is not None:
            return
        if self._lazy_continue and not self._touched:
            return
        if remaining is not None and remaining > limit:
            return
        left = limit if remaining is None else remaining
        try:
            while left > 0:
                data = self._once(min(left, _DRAIN_BLOCK))
                if not data:
                    self.remaining = 0
                    return
                left -= len(data)
        except S3Error:
            return
        if remaining is not None:
            self.remaining = left


class _Nothing:
    def read(self, n: int = -1) -> bytes:
        return b""


_NOTHING: Final = _Nothing()


def open_input(environ: Environ) -> Input:
    """The request body, its end worked out from the headers and the server.

    :raises InvalidArgument: Content-Length is not a plain number (A094).
    :raises InvalidRequest: both Content-Length and Transfer-Encoding: a smuggling attempt.
    :raises MissingContentLength: a chunked body on a server that cannot pass one on, or not tell
        that it broke off.
    """
    text = environ.get("CONTENT_LENGTH")
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is None:
        if text:
            return _sized_input(environ, text)
        if environ.get("SERVER_PROTOCOL", "").startswith(("HTTP/2", "HTTP/3")) and environ.get(
            "wsgi.input_terminated"
        ):
            # Frames end the body there; neither header is needed.
            return Input(environ["wsgi.input"], None, declared=False)
        return Input(_NOTHING, 0, declared=False)
    if text:
        raise InvalidRequest("A request cannot have both Content-Length and Transfer-Encoding.")
    if coding.strip().lower() != "chunked":
        raise InvalidRequest("The only Transfer-Encoding supported is chunked.")
    if "uwsgi.version" in environ or not _ends_by_itself(environ):
        # uWSGI reads a chunked body as empty; wsgiref waits for ever.
        raise MissingContentLength
    if environ.get("SERVER_SOFTWARE") == "Granian" and not environ.get(
        "HTTP_X_AMZ_CONTENT_SHA256", ""
    ).startswith("STREAMING-"):
        # granian passes a chunked body that broke off as one that ended, so half an upload would
        # be stored (A092). aws-chunked has an end of its own; S3 itself takes no other either.
        raise MissingContentLength
    return Input(environ["wsgi.input"], None, lazy_continue=_lazy_continue(environ))


def _sized_input(environ: Environ, text: str) -> Input:
    text = text.strip(" \t")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidArgument(
            "Content-Length must be a number.",
            argument_name="Content-Length",
            argument_value=text,
        )
    return Input(environ["wsgi.input"], int(text), lazy_continue=_lazy_continue(environ))


def _ends_by_itself(environ: Environ) -> bool:
    if environ.get("wsgi.input_terminated"):
        return True
    return type(environ.get("wsgi.input")).__module__.startswith("cheroot")


def _lazy_continue(environ: Environ) -> bool:
    """Whether the client waits for ``100 Continue`` and this server sends it at the first read."""
    if "HTTP_EXPECT" not in environ:
        return False
    software = environ.get("SERVER_SOFTWARE", "")
    if software.startswith("Granian") or "uwsgi.version" in environ:
        return True
    # Set by s3kit serve on gunicorn, see s3kit.cli.late_continue.
    return getattr(environ.get("wsgi.input"), "lazy_continue", False) is True


class TrustedProxies:
    """The proxies whose X-Forwarded-* headers count.

    :param networks: CIDR networks or single addresses; ``unix`` for a local socket, whose peer has
        no address.
    :raises ValueError: an entry is none of these.
    """

    __slots__ = ("_known", "_networks", "_unix")

    def __init__(self, networks: Iterable[str] = ()) -> None:
        entries = [entry.strip() for entry in networks]
        self._unix = "unix" in entries
        self._networks = [
            ipaddress.ip_network(entry, strict=False) for entry in entries if entry != "unix"
        ]
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: object) -> bool:
        if not self or not isinstance(address, str):
            return False
        known = self._known.get(address)
        if known is None:
            known = self._is_trusted(address)
            if len(self._known) >= 1024:
                self._known.clear()
            self._known[address] = known
        return known

    def _is_trusted(self, address: str) -> bool:
        if not address:
            return self._unix
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        if mapped is not None:
            parsed = mapped
        return any(parsed in network for network in self._networks)


def public_url_parts(environ: Environ, trusted: TrustedProxies) -> tuple[str, str, str, str]:
    """Scheme, host, path prefix and client address as the client itself sees them.

    X-Forwarded-Proto, -Host, -Prefix and -For count only when the peer is a trusted proxy (A030),
    and of several values only the last, which that proxy wrote; the client is the last address
    that is no trusted proxy. ``host`` is as sent, with its port; ``prefix`` has no final slash.
    """
    peer: str = environ.get("REMOTE_ADDR") or ""
    scheme: str = environ.get("wsgi.url_scheme", "http")
    host: str = environ.get("HTTP_HOST") or _server_host(environ, scheme)
    if not trusted or peer not in trusted:
        return scheme, host, "", peer
    prefix = ""
    forwarded_scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO")).lower()
    if forwarded_scheme in ("http", "https"):
        scheme = forwarded_scheme
    forwarded_host = _last(environ.get("HTTP_X_FORWARDED_HOST"))
    if forwarded_host and not any(letter in forwarded_host for letter in " /?#@\\"):
        host = forwarded_host
    forwarded_prefix = _last(environ.get("HTTP_X_FORWARDED_PREFIX")).rstrip("/")
    if forwarded_prefix.startswith("/") and not any(each in forwarded_prefix for each in "?# "):
        prefix = forwarded_prefix
    client = peer
    for address in reversed((environ.get("HTTP_X_FORWARDED_FOR") or "").split(",")):
        address = _bare_address(address)
        if not address:
            break
        client = address
        if client not in trusted:
            break
    return scheme, host, prefix, client


def _last(value: str | None) -> str:
    return value.rpartition(",")[2].strip() if value else ""


def _server_host(environ: Environ, scheme: str) -> str:
    name: str = environ.get("SERVER_NAME") or "localhost"
    port = str(environ.get("SERVER_PORT") or "")
    if not port or port == ("443" if scheme == "https" else "80"):
        return name
    return f"{name}:{port}"


def _bare_address(text: str) -> str:
    """An address without the port that some proxies add; "" for what is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if len(text) > _LONGEST_ADDRESS:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
