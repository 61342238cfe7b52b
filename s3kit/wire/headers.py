"""What stands in headers: dates, ETags, ranges, stored metadata, tags, copy sources."""

from __future__ import annotations

import base64
import binascii
import datetime
import email.utils
import functools
import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import unquote_to_bytes

from s3kit.errors import BadRequest
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidBucketName
from s3kit.errors import InvalidDigest
from s3kit.errors import InvalidRange
from s3kit.errors import InvalidRedirectLocation
from s3kit.errors import InvalidTag
from s3kit.errors import MetadataTooLarge
from s3kit.wire.environ import TOKEN
from s3kit.wire.environ import clean
from s3kit.wire.environ import header
from s3kit.wire.names import check_bucket_name

if TYPE_CHECKING:
    from s3kit.wire.environ import Environ
    from s3kit.wire.query import Query

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
METADATA_PREFIX: Final = "x-amz-meta-"
METADATA_LIMIT: Final = 2048
"""Bytes of user metadata: names without ``x-amz-meta-`` and values together, in UTF-8."""

OBJECT_TAG_LIMIT: Final = 10
BUCKET_TAG_LIMIT: Final = 50

# For strip(): by itself it takes 0xA0 and 0x85 too, which in a header are half a letter in UTF-8.
_BLANKS: Final = " \t\r\n"

# --- dates ---------------------------------------------------------------------------------

_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_MINUTES: Final = tuple(f"{hour:02}:{minute:02}:" for hour in range(24) for minute in range(60))
_HTTP_SECONDS: Final = tuple(f"{second:02} GMT" for second in range(60))
_ISO_SECONDS: Final = tuple(f"{second:02}.000Z" for second in range(60))


LAST_DATE: Final = (datetime.date.max.toordinal() - _EPOCH_DAY) * 86_400_000
"""Milliseconds since the epoch: the last day that has a text."""


# A day's text is remembered, not a second's: a page of a listing has a thousand seconds, but
# seldom many days, and the rest of a date comes from the tables above.
@functools.lru_cache(maxsize=1024)
def _day(number: int) -> tuple[str, str]:
    day = datetime.date.fromordinal(_EPOCH_DAY + number)
    http = f"{_WEEKDAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04} "
    return http, f"{day.isoformat()}T"


def http_date(milliseconds: int) -> str:
    """Return a time since the epoch as HTTP writes it: ``Mon, 12 Oct 2009 17:50:30 GMT``."""
    day, second = divmod(milliseconds // 1000, 86400)
    minute, second = divmod(second, 60)
    return _day(day)[0] + _MINUTES[minute] + _HTTP_SECONDS[second]


def iso8601(milliseconds: int) -> str:
    """Return a time since the epoch as S3's documents write it: ``2009-10-12T17:50:30.000Z``.

    Always whole seconds, as AWS, so that it says the same as the Last-Modified header.
    """
    day, second = divmod(milliseconds // 1000, 86400)
    minute, second = divmod(second, 60)
    return _day(day)[1] + _MINUTES[minute] + _ISO_SECONDS[second]


_LONGEST_DATE: Final = 64


def parse_http_date(value: str) -> int | None:
    """Return milliseconds since the epoch, or None when ``value`` is no HTTP date.

    Understands all three forms of RFC 9110 (IMF-fixdate, RFC 850, asctime).
    """
    # Before the cache, which would keep texts of any length.
    return _parse_http_date(value) if len(value) <= _LONGEST_DATE else None


@functools.lru_cache(maxsize=1024)
def _parse_http_date(value: str) -> int | None:
    try:
        parsed = email.utils.parsedate_tz(value)
        if parsed is None:
            return None
        moment = datetime.datetime(*parsed[:6], tzinfo=datetime.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (int(moment.timestamp()) - (parsed[9] or 0)) * 1000


# --- ETags ---------------------------------------------------------------------------------

ETAGS_LIMIT: Final = 8192
"""Most characters of a list of ETags: what S3 takes of headers in all."""

# Nothing optional in front and the possessive "*+" keep it linear: findall() tries it at every
# character, and holds the interpreter's lock meanwhile.
_ETAG: Final = re.compile(r'(?:(W/)?"([^"]*)"|([^\s,"][^,]*))\s*+(?:,|$)')


def quote_etag(etag: str) -> str:
    """Return an ETag as headers and documents carry it."""
    return f'"{etag}"'


def parse_etags(value: str, *, strong: bool = False) -> tuple[str, ...]:
    """Return the ETags of an If-Match or If-None-Match header, without quotes.

    ``*`` is kept as ``"*"``. Unquoted ETags count, as S3's clients send them.

    :param strong: leave weak ones (``W/"..."``) out: If-Match never matches those (RFC 9110,
        section 13.1.1), If-None-Match does.
    :raises InvalidArgument: a list of more than 8,192 characters.
    """
    if "," not in value and "/" not in value:
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            return (value[1:-1],)
        return (value,)
    if len(value) > ETAGS_LIMIT:
        raise InvalidArgument("The list of ETags is too long.", argument_name="ETag")
    found = []
    for weak, quoted, bare in _ETAG.findall(value):
        bare = bare.rstrip()
        if bare[:2] == "W/":
            weak, bare = "W/", bare[2:]
        if not (strong and weak):
            found.append(bare or quoted)
    return tuple(found)


# --- Range ---------------------------------------------------------------------------------


def _offset(text: str) -> int | None:
    # More digits than a 64-bit number has are garbage, as for AWS, not a very large offset.
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    return None


def _unsatisfiable(value: str, size: int) -> InvalidRange:
    # RFC 9110 asks for Content-Range: a client that resumes a download sees that it has it all.
    return InvalidRange(
        headers={"Content-Range": f"bytes */{size}"},
        range_requested=value,
        actual_object_size=size,
    )


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that a Range header asks for.

    None means: answer 200 with everything. So it is for a malformed header, another unit, several
    ranges and a suffix of an empty object, as AWS does.

    :raises InvalidRange: it begins at or behind the end, or asks for the last 0 bytes.
    """
    unit, _, ranges = value.strip().partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash:
        return None
    if not first:
        suffix = _offset(last)
        if suffix is None:
            return None
        if suffix == 0:
            raise _unsatisfiable(value, size)
        return (max(0, size - suffix), size) if size else None
    start = _offset(first)
    end = _offset(last) if last else size
    if start is None or end is None or (last and end < start):
        return None
    if start >= size:
        raise _unsatisfiable(value, size)
    return (start, min(size, end + 1)) if last else (start, size)


def parse_copy_range(value: str, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last of x-amz-copy-source-range.

    Stricter than Range: both ends must be given and lie in the source.

    :raises InvalidArgument: as AWS does for a wrong form and for a range beyond the source.
    """
    unit, _, ranges = value.partition("=")
    first, _, last = ranges.partition("-")
    start, end = _offset(first), _offset(last)
    if unit != "bytes" or start is None or end is None or end < start:
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            argument_name="x-amz-copy-source-range",
            argument_value=value,
        )
    if end >= size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {size}",
            argument_name="x-amz-copy-source-range",
            argument_value=value,
        )
    return start, end + 1


# --- RFC 2047 ------------------------------------------------------------------------------

_ENCODED_WORD = re.compile(r"=\?([!-<>@-~]+)\?([bBqQ])\?([!->@-~]*)\?=")
_PLAIN_CHARSETS: Final = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
# RFC 2047 allows 75 characters for one encoded word; this is what remains within =?UTF-8?B?...?=.
_WORD_ROOM: Final = 63
_Q_SAFE: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"=_?")
_Q_BYTES: Final = tuple(
    "_" if byte == 0x20 else chr(byte) if byte in _Q_SAFE else f"={byte:02X}" for byte in range(256)
)


def _decode_word(match: re.Match[str]) -> str | None:
    charset = match[1].lower()
    # Python knows codecs that are no charsets (punycode, unicode_escape): only these are let in.
    if charset not in _PLAIN_CHARSETS and not charset.startswith(("iso-8859-", "windows-125")):
        return None
    try:
        if match[2] in "bB":
            data = base64.b64decode(match[3], validate=True)
        else:
            data = binascii.a2b_qp(match[3], header=True)
        return data.decode(charset)
    except (ValueError, LookupError):
        return None


def decode_metadata(value: str) -> str:
    """Return a metadata value with its RFC 2047 encoded words read; unreadable ones stay."""
    if "=?" not in value:
        return value
    pieces = []
    position = 0
    after_word = False
    for match in _ENCODED_WORD.finditer(value):
        word = _decode_word(match)
        between = value[position : match.start()]
        if word is None:
            pieces.append(between + match[0])
        else:
            # White space between two encoded words is only there to keep them apart.
            apart = after_word and not between.strip(_BLANKS)
            pieces.append(word if apart else between + word)
        after_word = word is not None
        position = match.end()
    pieces.append(value[position:])
    return "".join(pieces)


def encode_metadata(value: str) -> str:
    """Return a metadata value fit for a header: itself, or as RFC 2047 encoded words.

    Encoded are values with anything but printable ASCII (so no line break survives), and those
    that :func:`decode_metadata` would not give back. As AWS: quoted-printable when more than
    half is ASCII, else base64.
    """
    if (
        value.isascii()
        and value.isprintable()
        and value[:1] != " "
        and value[-1:] != " "
        and decode_metadata(value) == value
    ):
        return value
    value = value.encode("utf-8", "replace").decode()
    plain = sum(character.isascii() for character in value)
    kind = "Q" if plain * 2 > len(value) else "B"
    words: list[str] = []
    _encode_words(value, kind, words)
    return " ".join(words)


def _encode_words(value: str, kind: str, words: list[str]) -> None:
    data = value.encode()
    if kind == "Q":
        text = "".join([_Q_BYTES[byte] for byte in data])
    else:
        text = base64.b64encode(data).decode()
    if len(text) > _WORD_ROOM and len(value) > 1:
        middle = len(value) // 2
        _encode_words(value[:middle], kind, words)
        _encode_words(value[middle:], kind, words)
    else:
        words.append(f"=?UTF-8?{kind}?{text}?=")


# --- headers stored with an object ---------------------------------------------------------

_SYSTEM_NAMES: Final = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
)
_METADATA_KEY: Final = "HTTP_X_AMZ_META_"
_SENT_NAMES: Final = {
    "content-type": "Content-Type",
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}


def stored_headers(environ: Environ) -> dict[str, str]:
    """Return the headers of an upload that are kept with the object, by lower-case name.

    Values are ready to be sent again: metadata is printable ASCII (RFC 2047 where it has to be;
    :func:`decode_metadata` reads it), the others are as they arrived.

    :raises InvalidArgument: a metadata name that no header can have, or a value with control
        characters.
    :raises MetadataTooLarge: more than 2 KB of user metadata (A096).
    :raises InvalidRedirectLocation: a website redirect to neither a path nor an http URL.
    """
    fields = {}
    for name in _SYSTEM_NAMES:
        value = header(environ, name)
        if value is not None:
            fields[name] = value
    keys = [key for key in environ if key.startswith(_METADATA_KEY)]
    if keys:
        signed = _signed_underscores(environ)
        for key in keys:
            name = key[5:].lower().replace("_", "-")
            value = clean(environ[key])
            # WSGI gives bytes as latin-1; those that are UTF-8 were meant as UTF-8.
            fields[signed.get(key, name)] = value if value.isascii() else _as_utf8(value)
    return _stored(fields)


def _signed_underscores(environ: Environ) -> dict[str, str]:
    """Return the signed metadata names that hold an underscore, by environ key.

    WSGI turns ``-`` into ``_``; only the list of signed headers still tells them apart.
    """
    _, _, names = environ.get("HTTP_AUTHORIZATION", "").partition("SignedHeaders=")
    names = names.partition(",")[0]
    if "_" not in names:
        return {}
    return {
        "HTTP_" + name.upper().replace("-", "_"): name
        for name in names.strip().lower().split(";")
        if "_" in name and name.startswith(METADATA_PREFIX)
    }


def stored_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return what is kept of a browser form's fields (lower-case names, text values).

    Like :func:`stored_headers`, but for names and values that no HTTP server has checked.

    :raises InvalidArgument: a name that can be no header, or a value with control characters or
        (except for metadata) outside ISO-8859-1.
    """
    kept = {name: fields[name] for name in _SYSTEM_NAMES if name in fields}
    for name, value in fields.items():
        if name.startswith(METADATA_PREFIX):
            kept[name] = value
    return _stored(kept)


def _stored(fields: dict[str, str]) -> dict[str, str]:
    stored = {"content-type": DEFAULT_CONTENT_TYPE}
    size = 0
    for name, value in fields.items():
        value = value.strip(_BLANKS)
        if name.startswith(METADATA_PREFIX):
            # Here and not where names come from: a server sends them as they stand.
            if not TOKEN.fullmatch(name):
                raise InvalidArgument(
                    "The metadata name is not valid", argument_name=name, argument_value=value
                )
            value = decode_metadata(value)
            size += len(name) - len(METADATA_PREFIX) + len(value.encode("utf-8", "replace"))
            stored[name] = encode_metadata(value)
            continue
        if name == "content-encoding" and "aws-chunked" in value.lower():
            value = _without_aws_chunked(value)
        if not value:
            continue
        if name == "x-amz-website-redirect-location":
            _check_redirect(value)
        stored[name] = check_header_value(name, value)
    if size > METADATA_LIMIT:
        raise MetadataTooLarge(size=size, max_size_allowed=METADATA_LIMIT)
    return stored


def sent_headers(
    stored: Mapping[str, str], overrides: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return stored headers as a response's list, with overrides (by lower-case name) laid over."""
    merged = {**stored, **overrides} if overrides else stored
    return [(_SENT_NAMES.get(name, name), value) for name, value in merged.items()]


def check_header_value(name: str, value: str) -> str:
    """Return a value that may be sent as a header.

    :raises InvalidArgument: control characters (a response could be split, A100), or characters
        outside ISO-8859-1, which WSGI cannot carry.
    """
    if value.isascii() and value.isprintable():
        return value
    for character in value:
        code = ord(character)
        if code > 255 or code == 127 or (code < 32 and character != "\t"):
            raise InvalidArgument(
                "Header value cannot be represented using ISO-8859-1.",
                argument_name=name,
                argument_value=value,
            )
    return value


def _as_utf8(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _without_aws_chunked(value: str) -> str:
    codings = [coding.strip(_BLANKS) for coding in value.split(",")]
    return ",".join([coding for coding in codings if coding.lower() not in ("", "aws-chunked")])


def _check_redirect(value: str) -> None:
    if not value.startswith(("/", "http://", "https://")):
        raise InvalidRedirectLocation
    if len(value) > 2048:
        raise InvalidRedirectLocation(
            "The length of website redirect location cannot exceed 2,048 characters."
        )


_OVERRIDES: Final = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}


def response_overrides(query: Query) -> dict[str, str]:
    """Return the headers that ``response-*`` parameters ask for, by lower-case name.

    :raises InvalidArgument: a value that no header can carry (line breaks, non-ISO-8859-1).
    """
    overrides: dict[str, str] = {}
    for parameter, value in query.items:
        name = _OVERRIDES.get(parameter)
        if name is not None and value and name not in overrides:
            overrides[name] = check_header_value(parameter, value)
    return overrides


def content_md5(environ: Environ) -> bytes | None:
    """Return the 16 bytes of the Content-MD5 header, None without one.

    :raises InvalidDigest: not base64 of 16 bytes.
    """
    value = header(environ, "content-md5")
    if value is None:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise InvalidDigest("The Content-MD5 you specified was invalid.", content_md5=value)
    return digest


# --- copy source ---------------------------------------------------------------------------

_COPY_SOURCE: Final = "x-amz-copy-source"
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _bad_copy_source(message: str, value: str) -> InvalidArgument:
    return InvalidArgument(message, argument_name=_COPY_SOURCE, argument_value=value)


def parse_copy_source(value: str) -> tuple[str, bytes, str | None]:
    """Return bucket, key and version id that x-amz-copy-source names.

    A leading slash is optional. The path is decoded once and only then split. As on AWS ``+`` is a
    space here (aws-cli issue 614; s5cmd sends spaces so), and a plus sign is ``%2B``. Whoever asks
    for access and whoever reads must use this one result (A067).

    :raises InvalidArgument: empty, no key, an ARN, other parameters, or not UTF-8 (A104).
    """
    path, found, version = value.strip(_BLANKS).rpartition("?versionId=")
    if not found:
        path, version = version, ""
    elif not version:
        raise _bad_copy_source("Version id cannot be the empty string", value)
    if "?" in path or "&" in version:
        raise _bad_copy_source("Unsupported copy source parameter.", value)
    if _BAD_ESCAPE.search(path) or _BAD_ESCAPE.search(version):
        raise _bad_copy_source("Invalid copy source encoding.", value)
    path = path.replace("+", " ")
    try:
        raw = unquote_to_bytes(path.encode("latin-1"))
    except UnicodeEncodeError:
        raw = unquote_to_bytes(path)
    try:
        raw.decode()
        version = unquote_to_bytes(version).decode()
    except UnicodeDecodeError:
        raise _bad_copy_source("Invalid copy source encoding.", value) from None
    bucket, _, key = raw.removeprefix(b"/").partition(b"/")
    if bucket.startswith(b"arn:"):
        raise _bad_copy_source("Access point ARNs are not supported as a copy source.", value)
    if not bucket or not key:
        raise _bad_copy_source(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", value
        )
    name = bucket.decode()
    try:
        check_bucket_name(name)
    except InvalidBucketName:
        raise _bad_copy_source("Invalid copy source bucket name", value) from None
    return name, key, version or None


# --- tags ----------------------------------------------------------------------------------

_ASCII_TAG = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")
_TAG_SIGNS: Final = frozenset("_.:/=+-@")


def _fit_for_tag(text: str) -> bool:
    if text.isascii():
        return _ASCII_TAG.fullmatch(text) is not None
    # AWS's own rule is [\p{L}\p{Z}\p{N}_.:/=+\-@]*.
    for character in text:
        if character not in _TAG_SIGNS and unicodedata.category(character)[0] not in "LZN":
            return False
    return True


def check_tags(tags: Iterable[tuple[str, str]], limit: int = OBJECT_TAG_LIMIT) -> None:
    """Check a tag set (A108): how many, lengths, characters, duplicates, the ``aws:`` prefix.

    :param limit: 10 for an object, 50 for a bucket.
    :raises BadRequest: too many tags.
    :raises InvalidTag: a key that is not 1 to 128 or a value that is not 0 to 256 characters out
        of letters, digits, spaces and ``_ . : / = + - @``; a key twice; a key of AWS's own.
    """
    tags = list(tags)
    if len(tags) > limit:
        kind = "Object tags" if limit == OBJECT_TAG_LIMIT else "Bucket tag count"
        raise BadRequest(f"{kind} cannot be greater than {limit}")
    seen = set()
    for key, value in tags:
        if not 1 <= len(key) <= 128 or not _fit_for_tag(key):
            raise InvalidTag("The TagKey you have provided is invalid", tag_key=key)
        if key[:4].lower() == "aws:":
            raise InvalidTag("System tags cannot be added/updated by requester", tag_key=key)
        if len(value) > 256 or not _fit_for_tag(value):
            raise InvalidTag(
                "The TagValue you have provided is invalid", tag_key=key, tag_value=value
            )
        if key in seen:
            raise InvalidTag("Cannot provide multiple Tags with the same key", tag_key=key)
        seen.add(key)


def parse_tagging_header(value: str) -> tuple[tuple[str, str], ...]:
    """Return the tags of an x-amz-tagging header (``a=1&b=2``), checked as an object's.

    :raises InvalidArgument: not such a list, or a key twice.
    :raises InvalidTag, BadRequest: as :func:`check_tags`.
    """
    tags = {}
    for pair in value.strip(_BLANKS).split("&"):
        if not pair:
            continue
        key, _, content = pair.partition("=")
        try:
            name = _form_decode(key)
            if not name or "=" in content or name in tags:
                raise ValueError(pair)
            tags[name] = _form_decode(content)
        except ValueError:
            raise InvalidArgument(
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
                "parameters without tag name duplicates.",
                argument_name="x-amz-tagging",
                argument_value=value,
            ) from None
    # S3 shows tags that came in a header in the order of their keys.
    found = tuple(sorted(tags.items()))
    check_tags(found)
    return found


def _form_decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError(text)
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raw = text.encode()
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
