"""Browser forms: the fields of a POST Object up to its file, and the file as a stream.

Our own parser, not werkzeug's sansio decoder: that one (3.1.9) takes the CR of the closing
boundary for data when a read ends inside the boundary, so a stored file could grow by a byte.
Source: Amazon S3 API Reference, "POST Object"; RFC 7578; RFC 2046 section 5.1.1.
"""

from __future__ import annotations

import re
from typing import Final

from werkzeug.http import parse_options_header

from s3kit.errors import IncorrectNumberOfFilesInPostRequest
from s3kit.errors import InvalidArgument
from s3kit.errors import MalformedPOSTRequest
from s3kit.errors import MaxPostPreDataLengthExceededError
from s3kit.errors import PreconditionFailed
from s3kit.wire.checksums import BLOCK
from s3kit.wire.checksums import Readable

PRE_DATA_LIMIT: Final = 20 * 1024
"""Most bytes that the fields before the file may have, their own headers included."""

# Small, so that little of the file is read before the fields have been judged.
_FIELDS_BLOCK: Final = 4096
_FILE_FIELD: Final = "file"
_BARE_BACKSLASH: Final = re.compile(r'\\(?![\\"])')
_BLANK_LINE: Final = b"\r\n\r\n"
# RFC 2046 has 70, but werkzeug's own encoder now and then makes one of 72.
_LONGEST_BOUNDARY: Final = 200
# What may follow the file: fields that S3 ignores, an epilogue.
_AFTER_FILE_LIMIT: Final = 1 << 20


class FormFile:
    """The file of a form; ``read`` gives b"" only when the form ended as it should.

    Once it has raised, it raises the same error for ever.
    """

    __slots__ = ("_buffer", "_delimiter", "_ended", "_failure", "_position", "_stream")

    def __init__(self, stream: Readable, delimiter: bytes, buffer: bytes, position: int) -> None:
        self._stream = stream
        self._delimiter = delimiter
        self._buffer = buffer
        self._position = position
        self._ended = False
        self._failure: Exception | None = None

    def read(self, size: int = BLOCK, /) -> bytes:
        """At most ``size`` bytes of the file.

        :raises MalformedPOSTRequest: the form stops before its closing boundary.
        :raises IncorrectNumberOfFilesInPostRequest: a second file follows.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended or size < 1:
            return b""
        try:
            return self._next(size)
        except Exception as failure:
            self._failure = failure
            raise

    def _next(self, size: int) -> bytes:
        # A delimiter may have begun in as many bytes as this at the end of the buffer.
        held = len(self._delimiter) - 1
        while True:
            start = self._position
            end = self._buffer.find(self._delimiter, start, start + size + held)
            if end == start:
                self._finish()
                return b""
            if end < 0:
                end = min(start + size, len(self._buffer) - held)
            if end > start:
                self._position = end
                return self._buffer[start:end]
            more = self._stream.read(BLOCK)
            if not more:
                raise MalformedPOSTRequest
            self._buffer = self._buffer[start:] + more
            self._position = 0

    def _finish(self) -> None:
        rest = self._buffer[self._position :]
        while more := self._stream.read(BLOCK):
            rest += more
            if len(rest) > _AFTER_FILE_LIMIT:
                raise MalformedPOSTRequest
        self._buffer = b""
        self._position = start = 0
        while True:
            part = _part_start(rest, start, self._delimiter)
            if part is None:
                raise MalformedPOSTRequest
            if part < 0:
                break
            head_end = rest.find(_BLANK_LINE, part - 2)
            if head_end < 0:
                raise MalformedPOSTRequest
            # S3 ignores the fields behind the file.
            if _part_head(rest[part:head_end])[0] == _FILE_FIELD:
                raise IncorrectNumberOfFilesInPostRequest
            start = rest.find(self._delimiter, head_end + 2)
            if start < 0:
                raise MalformedPOSTRequest
        self._ended = True


class Form:
    """A POST Object form.

    ``fields``: value by lower-case name, the file not among them. ``filename``: the last part of
    the name that the browser gave, "" when it gave none. The file part's own Content-Type is left
    out: S3 heeds only the field of that name, which a policy can hold.
    """

    __slots__ = ("fields", "file", "filename")

    def __init__(self, fields: dict[str, str], filename: str, file: FormFile) -> None:
        self.fields = fields
        self.filename = filename
        self.file = file

    def expand(self, value: str) -> str:
        """A field's value with ``${filename}`` replaced by the file's name."""
        return value.replace("${filename}", self.filename)


def read_form(stream: Readable, content_type: str, *, limit: int = PRE_DATA_LIMIT) -> Form:
    """Read a form up to the first bytes of its file.

    :param stream: the request's body; must end by itself.
    :param content_type: the request's Content-Type with its boundary.
    :param limit: most bytes before the file.
    :raises PreconditionFailed: the Content-Type is no ``multipart/form-data``.
    :raises MalformedPOSTRequest: the body is no form, or a name or value is no UTF-8.
    :raises MaxPostPreDataLengthExceededError: too much comes before the file.
    :raises IncorrectNumberOfFilesInPostRequest: there is no file, or one in another field.
    :raises InvalidArgument: a field comes twice.
    """
    delimiter = b"\r\n--" + _boundary(content_type)
    # The first boundary needs no line end before it; with one all boundaries are alike.
    buffer = b"\r\n"
    fields: dict[str, str] = {}
    start: int | None = None
    while True:
        # One step needs a whole part; it is tried again when more has come.
        step = _read_part(buffer, start, delimiter)
        if step is None:
            if len(buffer) > limit + _FIELDS_BLOCK:
                raise MaxPostPreDataLengthExceededError
            more = stream.read(_FIELDS_BLOCK)
            if not more:
                raise MalformedPOSTRequest
            buffer += more
            continue
        name, filename, body, end = step
        if body > limit:
            raise MaxPostPreDataLengthExceededError
        if name == _FILE_FIELD:
            return Form(
                fields,
                (filename or "").replace("\\", "/").rpartition("/")[2],
                FormFile(stream, delimiter, buffer, body),
            )
        if filename:
            raise IncorrectNumberOfFilesInPostRequest
        if name in fields:
            # Whoever checks the policy and whoever stores must see the same value.
            raise InvalidArgument("POST requires exactly one value per field.", argument_name=name)
        fields[name] = _text(buffer[body:end])
        start = end


def _boundary(content_type: str) -> bytes:
    media_type, options = parse_options_header(content_type)
    if media_type.lower() != "multipart/form-data":
        raise PreconditionFailed(
            condition="Bucket POST must be of the enclosure-type multipart/form-data"
        )
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise MalformedPOSTRequest
    return boundary.encode("ascii")


def _read_part(
    buffer: bytes, start: int | None, delimiter: bytes
) -> tuple[str, str | None, int, int] | None:
    """(name, filename, start and end of the value); None when more bytes are needed.

    The end of a file that has bytes is not looked for: it is -1.
    """
    if start is None:
        start = buffer.find(delimiter)
        if start < 0:
            return None
    part = _part_start(buffer, start, delimiter)
    if part is None:
        return None
    if part < 0:
        raise IncorrectNumberOfFilesInPostRequest
    # A part may have no headers at all: then the line end before it is half of the blank line.
    head_end = buffer.find(_BLANK_LINE, part - 2)
    if head_end < 0:
        return None
    name, filename = _part_head(buffer[part:head_end])
    body = head_end + len(_BLANK_LINE)
    # A part without a body may end with its headers: then the blank line is half delimiter.
    if len(buffer) < body - 2 + len(delimiter):
        return None
    if buffer.startswith(delimiter, body - 2):
        return name, filename, body - 2, body - 2
    if name == _FILE_FIELD:
        return name, filename, body, -1
    end = buffer.find(delimiter, body)
    return None if end < 0 else (name, filename, body, end)


def _part_start(buffer: bytes, start: int, delimiter: bytes) -> int | None:
    """Where the part behind the delimiter at ``start`` begins; -1 behind the last one.

    None when more bytes are needed.
    """
    begin = start + len(delimiter)
    if buffer[begin : begin + 2] == b"--":
        return -1
    line_end = buffer.find(b"\r\n", begin)
    if line_end < 0:
        return None
    if buffer[begin:line_end].strip(b" \t"):
        # A line that only begins like the boundary must not be in a part.
        raise MalformedPOSTRequest
    return line_end + 2


def _part_head(head: bytes) -> tuple[str, str | None]:
    """(lower-case name, filename) from a part's header lines."""
    disposition = ""
    for line in _text(head).split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            disposition = value.strip()
    # Browsers send a backslash as it is, a path of Windows for one; others escape it.
    kind, options = parse_options_header(_BARE_BACKSLASH.sub(r"\\\\", disposition))
    if kind.lower() != "form-data" or not options.get("name"):
        raise MalformedPOSTRequest
    return options["name"].lower(), options.get("filename")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedPOSTRequest from None
