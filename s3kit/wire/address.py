"""From the raw path and the host to bucket and key, and to the paths that may have been signed.

A key is decoded once, to bytes, after the mount is taken off. Nothing is normalised: ``//``,
``..``, ``%2F`` and a lone ``%`` are part of the key (A065, A066, A099).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import unquote_to_bytes

from ..errors import InvalidURI

if TYPE_CHECKING:
    from .environ import Target

_SAFE: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_LONGEST_HOST: Final = 255 + len(".:65535")
_SAFE_SLASH: Final = _SAFE + b"/"
_QUOTED: Final = tuple(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256))
_QUOTED_SLASH: Final = tuple("/" if byte == 0x2F else _QUOTED[byte] for byte in range(256))


def aws_quote(value: bytes | str, safe_slash: bool = True) -> str:
    """Percent-encode as SigV4 does: all but ``A-Z a-z 0-9 - . _ ~``, and ``/`` unless told."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not data.rstrip(_SAFE_SLASH if safe_slash else _SAFE):
        return data.decode("ascii")
    table = _QUOTED_SLASH if safe_slash else _QUOTED
    return "".join([table[byte] for byte in data])


class Address:
    """Where a request points.

    ``bucket`` and ``key`` are None where the path has none. ``canonical`` are the URIs that the
    client may have signed, most likely first. ``virtual_host`` tells that the bucket came from the
    host name; ``host_bucket`` is then that name.
    """

    __slots__ = ("_context", "bucket", "canonical", "host_bucket", "key", "virtual_host")

    def __init__(
        self,
        bucket: str | None,
        key: bytes | None,
        canonical: tuple[str, ...],
        virtual_host: bool,
        host_bucket: str | None,
        context: tuple[int, str, str] | None = None,
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.canonical = canonical
        self.virtual_host = virtual_host
        self.host_bucket = host_bucket
        # How many of the canonical URIs mean this bucket and key; the prefix; the mount.
        self._context = context

    def __repr__(self) -> str:
        return f"Address(bucket={self.bucket!r}, key={self.key!r})"

    def settle(self, canonical: str) -> Address:
        """The address that a verified signature proves, given the canonical URI that matched.

        It differs from this one only on a server that gives no raw target (or a changed one), where
        the signature alone tells how the client wrote its path.

        :raises InvalidURI: what the client wrote has no bucket before its key.
        """
        if self._context is None:
            return self
        certain, prefix, script_name = self._context
        if canonical in self.canonical[:certain]:
            return self
        path = canonical[len(prefix) :]
        rest = _unmounted(path, script_name) if script_name else path
        bucket, key, _ = _split(rest, self.host_bucket)
        return Address(bucket, key, (canonical,), self.virtual_host, self.host_bucket)


def parse_address(
    target: Target,
    host: str,
    *,
    script_name: str = "",
    base_hosts: tuple[str, ...] = (),
    public_prefix: str = "",
) -> Address:
    """Read the bucket and the key out of a request target.

    :param host: the Host header, with or without a port.
    :param script_name: WSGI's SCRIPT_NAME: where s3kit is mounted.
    :param base_hosts: hosts whose subdomains are buckets; any other host means path style.
    :param public_prefix: what a proxy took off the path before it came here. Only paths with it are
        then accepted as signed: a path that is valid with and without it would name two objects.
    :raises InvalidURI: the target is no path, or its bucket is empty (``//key``).
    """
    path = target.path
    if not path.startswith("/"):
        if path and path != "*":
            raise InvalidURI
        path = "/"
    rest = _unmounted(path, script_name) if script_name else path
    host_bucket = bucket_of_host(host, base_hosts) if base_hosts else None
    bucket, key, scoped = _split(rest, host_bucket)
    # With IU-20's spelling another key would sign the same once the path is encoded anew.
    canonical = (path,) if scoped else _canonical(path)
    certain = len(canonical)
    if target.alternatives:
        canonical += target.alternatives
    prefix = removed_prefix(public_prefix, script_name) if public_prefix else ""
    if prefix:
        # A client that asks for the prefix itself has signed it without the slash it became.
        bare = [prefix] if path == "/" else []
        forms = [prefix + form for form in canonical]
        canonical = (*forms[:certain], *bare, *forms[certain:])
        certain += len(bare)
    context = (certain, prefix, script_name) if target.alternatives else None
    return Address(bucket, key, canonical, host_bucket is not None, host_bucket, context)


def removed_prefix(public_prefix: str, script_name: str) -> str:
    """What a proxy took off the path, percent-encoded; "" where the mount still has it."""
    if (script_name + "/").startswith(public_prefix + "/"):
        return ""
    return aws_quote(public_prefix)


def object_url(
    scheme: str,
    host: str,
    bucket: str,
    key: bytes,
    *,
    script_name: str = "",
    base_hosts: tuple[str, ...] = (),
    public_prefix: str = "",
) -> str:
    """An object's URL in the style in which ``host`` names its bucket or does not.

    The last three as for :func:`parse_address`.
    """
    if not (host.isascii() and host.isprintable()):
        # It would not fit into a header.
        host = "localhost"
    prefix = removed_prefix(public_prefix, script_name) if public_prefix else ""
    mount = aws_quote(script_name.encode("latin-1", "replace"))
    style = "" if base_hosts and bucket_of_host(host, base_hosts) else f"/{bucket}"
    return f"{scheme}://{host}{prefix}{mount}{style}/{aws_quote(key)}"


def _split(rest: str, host_bucket: str | None) -> tuple[str | None, bytes | None, bool]:
    """Bucket, key, and whether the bucket's segment brought a part of the key (IU-20)."""
    if host_bucket is not None:
        return host_bucket, decode_path(rest[1:]) or None, False
    if rest == "/" or not rest:
        return None, None, False
    segment, slash, tail = rest[1:].partition("/")
    if not segment:
        raise InvalidURI
    key = decode_path(tail)
    if "%" not in segment and segment.isascii():
        return segment, key or None, False
    name, separator, scope = decode_path(segment).partition(b"/")
    if not name:
        raise InvalidURI
    if scope and slash and not scope.endswith(b"/"):
        scope += b"/"
    return name.decode("utf-8", "replace"), (scope + key) or None, bool(separator)


def decode_path(raw: str) -> bytes:
    """The bytes that a raw path stands for. ``%`` without two hex digits stands for itself."""
    if "%" not in raw and raw.isascii():
        return raw.encode("ascii")
    try:
        encoded = raw.encode("latin-1")
    except UnicodeEncodeError:
        # Only a test client or a framework hands over real characters; a server gives bytes.
        encoded = raw.encode("utf-8", "surrogatepass")
    return unquote_to_bytes(encoded)


def _canonical(path: str) -> tuple[str, ...]:
    encoded = aws_quote(decode_path(path))
    # A client that quotes less or otherwise than SigV4 says has signed what it sent.
    return (encoded,) if encoded == path else (encoded, path)


def _unmounted(path: str, script_name: str) -> str:
    """The path below the mount; all of it where a proxy had taken the mount off already."""
    length = len(script_name)
    if path.startswith(script_name) and path[length : length + 1] in ("/", ""):
        return path[length:]
    mount = decode_path(script_name.replace("%", "%25"))
    for candidate in (path, "/" + path.lstrip("/")):
        # The second: servers that fold leading slashes in PATH_INFO have matched the mount there.
        end = -1
        for _ in range(script_name.count("/") + 1):
            end = candidate.find("/", end + 1)
            if end < 0:
                end = len(candidate)
                break
        if decode_path(candidate[:end]) == mount:
            return candidate[end:]
    return path


def bucket_of_host(host: str, base_hosts: tuple[str, ...]) -> str | None:
    """The bucket that a host names as a subdomain of a base host, None where it names none."""
    # Before the cache, which would keep texts of any length.
    return _bucket_of_host(host, base_hosts) if len(host) <= _LONGEST_HOST else None


@lru_cache(maxsize=1024)
def _bucket_of_host(host: str, base_hosts: tuple[str, ...]) -> str | None:
    name = _bare_host(host)
    if name is None:
        return None
    # The longest base first: with example.com and s3.example.com both there, b.s3.example.com is b.
    for base in sorted((_bare_host(each) or "" for each in base_hosts), key=len, reverse=True):
        if not base:
            continue
        if name == base:
            return None
        if name.endswith("." + base):
            return name[: -len(base) - 1] or None
    return None


def bucket_of_website(
    host: str, website_hosts: tuple[str, ...], base_hosts: tuple[str, ...]
) -> str | None:
    """The bucket whose website a host is, None where it is none.

    :param website_hosts: ``*.web.example.com``, where the bucket stands for the star, or a whole
        name, which is then also the bucket's. The most exact of them and ``base_hosts`` counts.
    """
    if len(host) > _LONGEST_HOST:
        return None
    return _bucket_of_website(host, website_hosts, base_hosts)


@lru_cache(maxsize=1024)
def _bucket_of_website(
    host: str, website_hosts: tuple[str, ...], base_hosts: tuple[str, ...]
) -> str | None:
    name = _bare_host(host)
    if name is None:
        return None
    longest, bucket = -1, None
    for pattern in website_hosts:
        base = pattern.removeprefix("*.").lower().removesuffix(".")
        if base == pattern.lower().removesuffix("."):
            if name == base:
                return name
        elif name.endswith("." + base) and len(base) > longest:
            longest, bucket = len(base), name[: -len(base) - 1]
    for each in base_hosts:
        base = _bare_host(each) or ""
        if base and (name == base or name.endswith("." + base)) and len(base) > longest:
            return None
    return bucket or None


def account_of_host(host: str, account_hosts: tuple[tuple[str, str], ...]) -> str | None:
    """The account to which a host is bound, by itself or by what it is below; None for none.

    :param account_hosts: pairs of a host name and an account. The most exact name counts.
    """
    if len(host) > _LONGEST_HOST:
        return None
    return _account_of_host(host, account_hosts)


@lru_cache(maxsize=1024)
def _account_of_host(host: str, account_hosts: tuple[tuple[str, str], ...]) -> str | None:
    name = _bare_host(host)
    longest, found = 0, None
    for each, account in account_hosts if name is not None else ():
        base = _bare_host(each) or ""
        if len(base) > longest and (name == base or str(name).endswith("." + base)):
            longest, found = len(base), account
    return found


def _bare_host(host: str) -> str | None:
    """A host name without port and final dot, in lower case; None for an address."""
    name = host.strip().lower()
    if name.startswith("["):
        return None
    head, colon, port = name.rpartition(":")
    if colon and (port.isdigit() or not port):
        name = head
    name = name.removesuffix(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return None
