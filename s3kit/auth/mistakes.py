"""The usual reasons for a wrong signature: each is tried with the key's own secret.

A client and an endpoint compute the same thing of a request; where they differ, one of few things
was another on its way. :func:`find_mistakes` changes what came here into what may have been signed
and tells with which change the signature is right: then that is the reason, and no guess.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from itertools import combinations
from itertools import islice
from itertools import permutations
from typing import Any
from typing import Final
from urllib.parse import quote
from urllib.parse import unquote_to_bytes

from ..model import Key
from ..wire.address import aws_quote
from .canonical import EMPTY_SHA256
from .canonical import EXPRESS_SERVICE
from .canonical import SERVICE
from .canonical import SIGNED_CHUNKS
from .canonical import SIGNED_CHUNKS_TRAILER
from .canonical import STS_SERVICE
from .canonical import UNSIGNED_PAYLOAD
from .canonical import UNSIGNED_TRAILER
from .canonical import Request
from .canonical import masked
from .claims import HEADER
from .claims import Claim
from .claims import Comparer
from .claims import Form

MOST_PAIRS: Final = 60_000
"""How many pairs of changes are tried: half a second's work."""

_MOST_ORDERED: Final = 4
"""Parameters of a query that is tried in every order."""

_METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")
_PORTS: Final = ("", ":80", ":443", ":3000", ":5000", ":8000", ":8080", ":8443", ":9000")
_REGIONS: Final = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-central-1", "eu-north-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "ap-northeast-1", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ca-central-1", "sa-east-1", "auto", "default", "local", "garage", ""),
)
_SERVICES: Final = (SERVICE, EXPRESS_SERVICE, STS_SERVICE, "execute-api", "iam", "es", "")
_PREFIXES: Final = ("/s3", "/storage", "/minio", "/api", "/api/s3", "/files")
_ON_THE_WAY: Final = {
    "accept-encoding": ("", "identity", "gzip", "gzip, deflate", "gzip, deflate, br"),
    "connection": ("", "keep-alive", "Keep-Alive", "close"),
    "content-encoding": ("", "aws-chunked"),
    "expect": ("", "100-continue"),
    "te": ("", "trailers"),
    "transfer-encoding": ("", "chunked"),
    "x-forwarded-proto": ("", "http", "https"),
}
"""What clients send in headers that proxies change or take away."""
_CONTENT_TYPES: Final = (
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
    "application/xml",
    "text/plain",
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that may have been another where the request was signed.

    ``cause`` is a word for programs: ``clock``, ``header``, ``host``, ``key``, ``method``,
    ``path``, ``payload``, ``policy``, ``query``, ``region``, ``secret``, ``service``,
    ``signature``. ``parts`` are those of the form that are changed.
    """

    cause: str
    text: str
    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Around:
    """What else is known where a request arrived.

    :param path: the raw path as it came, ``query`` the raw query.
    :param body: all of it, None where it is not known.
    :param hosts: by what names clients may know the endpoint, with or without a port.
    :param prefixes: what may stand before paths, ``/s3``.
    :param region: the endpoint's own.
    :param others: further keys whose secret the client may have used.
    """

    path: str
    query: str
    body: bytes | None = None
    hosts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    region: str = ""
    others: tuple[Key, ...] = field(default=(), repr=False)


def find_mistakes(
    form: Form, claim: Claim, key: Key, request: Request, around: Around
) -> tuple[Mistake, ...]:
    """With which one or two changes the signature is right; () where with none that is known."""
    comparer = Comparer(key, claim.signature)
    known = list(_known(form, claim, key, request, around))
    for each in known:
        if comparer.fits(form.with_parts(each.parts)):
            return (each,)
    pairs = (
        (one, two)
        for one, two in combinations(known, 2)
        if one.cause != two.cause and not one.parts.keys() & two.parts.keys()
    )
    for one, two in islice(pairs, MOST_PAIRS):
        if comparer.fits(form.with_parts({**one.parts, **two.parts})):
            return (one, two)
    return ()


def secret_mistakes(key: Key, others: Iterable[Key]) -> Iterator[tuple[Mistake, str]]:
    """What a client may have in the place of a key's secret, for signatures of other texts.

    :param others: further keys whose secret the client may have used.
    """
    for each in _secrets(key, others):
        yield each, each.parts["secret"]


def _known(
    form: Form, claim: Claim, key: Key, request: Request, around: Around
) -> Iterator[Mistake]:
    """All changes but those that change nothing, the likelier ones first, each once."""
    seen = set()
    before: dict[str, Any] = {HEADER + name: value for name, value in form.headers}
    before |= {each.name: getattr(form, each.name) for each in fields(form)}
    sources: tuple[Iterable[Mistake], ...] = (
        _methods(form),
        _hosts(form, request, around),
        _paths(form, around),
        _virtual(form, around),
        _queries(form, claim, around),
        _payloads(form, claim, around),
        _headers(form, request, around),
        _secrets(key, around.others),
        _scopes(form, around),
    )
    for source in sources:
        for each in source:
            parts = {
                name: value
                for name, value in each.parts.items()
                if name in before and before[name] != value
            }
            place = tuple(sorted((name, str(value)) for name, value in parts.items()))
            if parts and place not in seen:
                seen.add(place)
                yield Mistake(each.cause, each.text, parts)


def _methods(form: Form) -> Iterator[Mistake]:
    for method in _METHODS:
        text = f"It was signed for {method} and sent as {form.method}."
        yield Mistake("method", text, {"method": method})


# -- the host


def _hosts(form: Form, request: Request, around: Around) -> Iterator[Mistake]:
    sent = request.host
    forwarded = [
        request.environ.get(f"HTTP_{name}", "").rpartition(",")[2].strip()
        for name in ("X_FORWARDED_HOST", "X_ORIGINAL_HOST", "X_HOST", "X_REAL_HOST")
    ]
    named = re.search(r'host="?([^;,"]+)', request.environ.get("HTTP_FORWARDED", ""), re.IGNORECASE)
    if named is not None:
        forwarded.append(named[1].strip())
    for host in filter(None, forwarded):
        for port in _PORTS:
            text = (
                f'The client signed for the host "{host}{port}", and "{sent}" came: a proxy in '
                "front changes Host. Let it pass on what came (nginx: proxy_set_header Host "
                "$http_host), or name its address in trusted_proxies."
            )
            yield Mistake("host", text, {f"{HEADER}host": host + port})
    bare, _, port = sent.rpartition(":")
    bare = bare if port.isdigit() else sent
    bucket = form.path.strip("/").partition("/")[0]
    names = [bare, *around.hosts, "localhost", "127.0.0.1", "[::1]", sent.lower(), sent.upper()]
    regional = [
        f"s3.{each}.amazonaws.com" for each in dict.fromkeys((around.region, *_REGIONS[:3]))
    ]
    for name in (*names, "s3.amazonaws.com", *regional):
        for host in (name, f"{bucket}.{name}" if bucket else name):
            numbered = host.rpartition(":")[2].isdigit() or host.endswith(".amazonaws.com")
            ports = ("",) if numbered else _PORTS
            own = (f":{port}",) if port.isdigit() else ()
            for end in dict.fromkeys((*own, *ports)):
                text = (
                    f'The client signed for the host "{host}{end}", and "{sent}" came: something '
                    "on the way changes Host, or the client signs another endpoint's name. A proxy "
                    "must pass on Host as it came, port and all (nginx: proxy_set_header Host "
                    "$http_host)."
                )
                yield Mistake("host", text, {f"{HEADER}host": host + end})


def _virtual(form: Form, around: Around) -> Iterator[Mistake]:
    """Host and path together: the bucket in the one instead of the other."""
    host = dict(form.headers).get("host", "")
    bucket, slash, rest = form.path.lstrip("/").partition("/")
    if bucket:
        text = (
            f'The client signed for the bucket\'s own host name "{bucket}.{host}", and a path '
            "with the bucket came: a proxy rewrites one into the other, after the signature. Let "
            "it pass on both as they came, and give the endpoint base_hosts."
        )
        parts = {f"{HEADER}host": f"{bucket}.{host}", "path": slash + rest or "/"}
        yield Mistake("host", text, parts)
    first, dot, base = host.partition(".")
    if dot:
        text = (
            f'The client signed the path "/{first}{form.path}" at "{base}", and the bucket came in '
            "the host's name: a proxy rewrites one into the other, after the signature."
        )
        path = f"/{first}{form.path}"
        yield Mistake("host", text, {f"{HEADER}host": base, "path": path})
        yield Mistake("path", text, {"path": path})
    if bucket:
        text = (
            f'The client signed the path without the bucket "{bucket}", as if the host\'s name had '
            "it: set it to path style, or give the endpoint base_hosts."
        )
        yield Mistake("path", text, {"path": slash + rest or "/"})


# -- the path


def _paths(form: Form, around: Around) -> Iterator[Mistake]:
    yield from _mounts(form, around)
    sent = form.path
    for text, change in _REWRITTEN:
        for path in (sent, around.path):
            try:
                yield Mistake("path", text, {"path": change(path)})
            except ValueError:
                continue
    text = "A slash at the path's end was added or lost on the way, or by the client."
    yield Mistake("path", text, {"path": sent.rstrip("/") if sent.endswith("/") else sent + "/"})
    text = (
        "The client signed two slashes in a row, and one came: a proxy merges slashes (nginx: "
        "merge_slashes off, and proxy_pass without a path)."
    )
    for match in islice(re.finditer("/", sent), 16):
        yield Mistake("path", text, {"path": sent[: match.start()] + "/" + sent[match.start() :]})


def _mounts(form: Form, around: Around) -> Iterator[Mistake]:
    sent = form.path
    start = ""
    for segment in sent.split("/")[1:4]:
        start += f"/{segment}"
        came = around.path.startswith(start)
        text = (
            f'The client signed the path without "{start}", with which it came: it leaves out the '
            "endpoint's own path when it signs, or a proxy adds it. Set public_prefix, or give "
            "the client an endpoint without a path."
            if came
            else f'The client signed the path without "{start}", which a proxy is said to take off '
            "(public_prefix): give the client an endpoint with that path, or change public_prefix."
        )
        yield Mistake("path", text, {"path": sent[len(start) :] or "/"})
    for prefix in (*around.prefixes, *_PREFIXES):
        quoted = aws_quote(unquote_to_bytes(prefix.rstrip("/")))
        text = (
            f'The client signed the path with "{quoted}" before it, and it came without: a proxy '
            f"in front takes it off. Let it pass on the path as it is, or set public_prefix to "
            f'"{quoted}".'
        )
        for path in (quoted + sent, quoted if sent == "/" else quoted + sent):
            yield Mistake("path", text, {"path": path})


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")


def _once_less(path: str) -> str:
    return aws_quote(_decoded_twice(path))


def _normalised(path: str) -> str:
    found: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del found[-1:]
        elif segment not in ("", "."):
            found.append(segment)
    end = "/" if path.endswith(("/", "/.", "/..")) and found else ""
    return "/" + "/".join(found) + end


def _twice(path: str) -> str:
    return quote(path, safe="/-_.~")


def _composed(form: str) -> Callable[[str], str]:
    def change(path: str) -> str:
        # Bytes that are no UTF-8 have no such form: UnicodeDecodeError is a ValueError.
        text = unquote_to_bytes(path).decode()
        return aws_quote(unicodedata.normalize(form, text))  # type: ignore[arg-type]

    return change


_TWICE: Final = (
    "The client encodes the path twice when it signs, as is done for other services than S3 "
    "(botocore's SigV4Auth instead of S3SigV4Auth, doubleUrlEncode or disableDoubleEncoding in "
    "other SDKs)."
)
_REWRITTEN: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    (_TWICE, _twice),
    (
        "The client normalises the path when it signs (// and .. are part of an S3 key), as is "
        "done for other services than S3.",
        _normalised,
    ),
    (
        "The client normalises the path and encodes it twice when it signs, as is done for other "
        "services than S3.",
        lambda path: _twice(_normalised(path)),
    ),
    (
        "The path was encoded once more after it was signed, by a proxy or an HTTP library.",
        _once_less,
    ),
    ("The client signs the path as it is before it is percent-encoded.", _decoded),
    (
        "The client percent-encodes in lower case (%c3), SigV4 in upper case.",
        lambda path: re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), path),
    ),
    (
        "The client signs + for a space in the path; in SigV4 a space is %20.",
        lambda path: path.replace("%20", "+"),
    ),
    (
        "A + in the path was decoded to a space on the way, or never encoded: in paths it is %2B.",
        lambda path: path.replace("%20", "%2B"),
    ),
    (
        "The client does not encode some characters that SigV4 encodes.",
        lambda path: quote(unquote_to_bytes(path), safe="/-_.~!$&'()*+,;=:@"),
    ),
    (
        "The client encodes a slash within the key, or the way decoded it: %2F and / differ.",
        lambda path: path.replace("%2F", "/"),
    ),
    ("The client encodes ~ , which SigV4 does not.", lambda path: path.replace("~", "%7E")),
    (
        "The key's accented letters were composed on the way (Unicode NFD became NFC).",
        _composed("NFD"),
    ),
    ("The key's accented letters were taken apart on the way (NFC became NFD).", _composed("NFC")),
)


# -- the query


def _queries(form: Form, claim: Claim, around: Around) -> Iterator[Mistake]:
    pieces = [piece for piece in around.query.split("&") if piece]
    if claim.presigned:
        pieces = [piece for piece in pieces if not piece.startswith("X-Amz-Signature=")]
    canonical = form.query.split("&") if form.query else []
    for number, piece in enumerate(canonical[:64]):
        rest = "&".join(canonical[:number] + canonical[number + 1 :])
        name = piece.partition("=")[0]
        text = f'The parameter "{name}" is no part of what was signed: it was added afterwards.'
        yield Mistake("query", text, {"query": rest})
    text = "The client leaves the query out of what it signs."
    yield Mistake("query", text, {"query": ""})
    text = "The client does not sort the parameters by name when it signs."
    completed = [piece if "=" in piece else f"{piece}=" for piece in pieces]
    for query in ("&".join(pieces), "&".join(completed), around.query):
        yield Mistake("query", text, {"query": query})
    if len(canonical) <= _MOST_ORDERED:
        for order in permutations(canonical):
            yield Mistake("query", text, {"query": "&".join(order)})
    text = "The client signs the query's escapes in lower case (%2f), SigV4 in upper case."
    lower = re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form.query)
    yield Mistake("query", text, {"query": lower})
    text = "The client means + in the query as itself: it must be sent as %2B, + is a space."
    yield Mistake("query", text, {"query": form.query.replace("%20", "%2B")})
    text = "The client signs + for a space in the query; in SigV4 a space is %20."
    yield Mistake("query", text, {"query": form.query.replace("%20", "+")})
    text = "The client signs the query's values as they are before they are percent-encoded."
    yield Mistake("query", text, {"query": _decoded(form.query)})
    text = "The client encodes the query twice when it signs."
    yield Mistake("query", text, {"query": "&".join(_twice_each(piece) for piece in canonical)})
    text = "The query was encoded once more after it was signed, by a proxy or an HTTP library."
    yield Mistake("query", text, {"query": "&".join(sorted(map(_once_each, canonical)))})
    for name in ("GetObject", "PutObject", "HeadObject", "DeleteObject", "UploadPart"):
        text = f'The parameter "x-id={name}", which was signed, was lost on the way.'
        yield Mistake("query", text, {"query": "&".join(sorted([*canonical, f"x-id={name}"]))})


def _twice_each(piece: str) -> str:
    name, _, value = piece.partition("=")
    return f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"


def _once_each(piece: str) -> str:
    name, _, value = piece.partition("=")
    return "=".join(aws_quote(_decoded_twice(each), False) for each in (name, value))


def _decoded_twice(text: str) -> bytes:
    return unquote_to_bytes(unquote_to_bytes(text))


# -- body and headers


def _payloads(form: Form, claim: Claim, around: Around) -> Iterator[Mistake]:
    said = form.payload
    for payload in claim.payloads[1:]:
        yield Mistake(
            "payload", f"It was signed with {payload} for the body.", {"payload": payload}
        )
    if around.body is not None:
        digest = hashlib.sha256(around.body).hexdigest()
        text = "The signature covers the body's hash, but x-amz-content-sha256 says something else."
        yield Mistake("payload", text, {"payload": digest})
    if said.startswith("STREAMING-"):
        text = "A proxy or the client changed x-amz-content-sha256 after it had signed {}."
    else:
        text = "The client signed {} in the place of the body's hash, and sent something else."
    words = (UNSIGNED_PAYLOAD, UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER)
    for word in words:
        yield Mistake("payload", text.format(word), {"payload": word})
    yield Mistake("payload", text.format("an empty body's hash"), {"payload": EMPTY_SHA256})
    yield Mistake("payload", text.format("nothing"), {"payload": ""})
    both = f"{HEADER}x-amz-content-sha256"
    if both.removeprefix(HEADER) in dict(form.headers):
        # Both lines were another, as when a proxy takes off the framing of aws-chunked.
        for word in (*words, EMPTY_SHA256):
            yield Mistake("payload", text.format(word), {"payload": word, both: word})
    yield Mistake("payload", "The hash is signed in upper case.", {"payload": said.upper()})


def _headers(form: Form, request: Request, around: Around) -> Iterator[Mistake]:
    length = "" if around.body is None else str(len(around.body))
    framed = request.environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", "")
    for name, value in form.headers:
        if name == "host":
            continue
        part = f"{HEADER}{name}"
        shown = masked(f"{name}:{value}").removeprefix(f"{name}:")
        came = f'"{shown}" came' if value else "it did not come"
        guesses = [*_ON_THE_WAY.get(name, ())]
        if name == "content-type":
            bare = value.partition(";")[0].strip()
            guesses += [bare, f"{bare}; charset=utf-8", f"{bare}; charset=UTF-8"]
            guesses += [f"{bare};charset=utf-8", f"{bare};charset=UTF-8", *_CONTENT_TYPES]
        if name == "content-length":
            guesses += [length, framed, "0", ""]
        for guess in guesses:
            meant = f'"{guess}"' if guess else "an empty value"
            text = (
                f'The header "{name}" was signed as {meant}, and {came}: something on the way '
                "changes it. Let the client leave it out of SignedHeaders, or the proxy leave it."
            )
            yield Mistake("header", text, {part: guess})
        variable = "HTTP_" + name.upper().replace("-", "_")
        raw = request.environ.get(variable, "")
        text = f'The client does not squeeze the blanks in "{name}" when it signs.'
        for exact in (raw, raw.strip(" ")):
            yield Mistake("header", text, {part: exact})
        text = f'The values of the repeated header "{name}" were joined in another way.'
        yield Mistake("header", text, {part: value.replace(", ", ",")})
        yield Mistake("header", text, {part: value.replace(",", ", ")})
        text = f'The header "{name}" was signed with an empty value.'
        yield Mistake("header", text, {part: ""})
    names = form.names.split(";")
    in_order = tuple(sorted(form.headers))
    text = "The client lists SignedHeaders in another order than it signed them."
    yield Mistake("header", text, {"headers": in_order, "names": ";".join(sorted(names))})
    text = "The client writes SignedHeaders in capitals and signs them in lower case."
    lower = tuple(sorted((name.lower(), value) for name, value in form.headers))
    joined = ";".join(name for name, _ in lower)
    yield Mistake("header", text, {"headers": lower, "names": joined})


# -- key, date and scope


def _secrets(key: Key, others: Iterable[Key]) -> Iterator[Mistake]:
    if key.session is not None:
        return
    secret = key.secret_key
    spelt = {
        "a line break at its end": (f"{secret}\n", f"{secret}\r\n", f"{secret}\r"),
        "a blank before or after it": (f"{secret} ", f" {secret}", f"{secret}\t"),
        "quotation marks around it": (f'"{secret}"', f"'{secret}'"),
        "its own percent-encoding": (quote(secret, safe=""), quote(secret, safe="/")),
        "a blank in the place of each +": (secret.replace("+", " "),),
        "other capitals": (secret.upper(), secret.lower()),
        "its last character missing": (secret[:-1],),
        "its first character missing": (secret[1:],),
        "a = missing at its end": (secret.rstrip("="),),
    }
    for how, secrets in spelt.items():
        text = f"The client has the secret key with {how}."
        for each in filter(None, secrets):
            yield Mistake("secret", text, {"secret": each})
    text = "The client has the access key in the place of the secret key."
    yield Mistake("secret", text, {"secret": key.access_key})
    for other in others:
        text = f"The client signs with the secret of another key, {other.access_key}."
        yield Mistake("secret", text, {"secret": other.secret_key})


def _scopes(form: Form, around: Around) -> Iterator[Mistake]:
    said = form.credential
    for region in dict.fromkeys((around.region, *_REGIONS)):
        meant = _scope(said.date, region, said.service, said)
        text = (
            f'The client signs for the region "{region}" and names "{said.region}" in the '
            "credential. Set the same region everywhere."
        )
        yield Mistake("region", text, {"scope": meant, "credential": meant})
        yield Mistake("region", text, {"scope": meant})
    for service in _SERVICES:
        meant = _scope(said.date, said.region, service, said)
        text = (
            f'The client signs for the service "{service}" and names "{said.service}" in the '
            "credential; S3's is s3."
        )
        yield Mistake("service", text, {"scope": meant, "credential": meant})
        yield Mistake("service", text, {"scope": meant})


def _scope(date: str, region: str, service: str, said: Any) -> Any:
    text = f"{date}/{region}/{service}/{said.terminator}"
    return said._replace(date=date, region=region, service=service, scope=text)
