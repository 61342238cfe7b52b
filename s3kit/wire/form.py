"""Browser forms: the fields of a POST Object up to its file, and the file as a stream.

Source: Amazon S3 API Reference, "POST Object" and "Browser-based uploads using POST".
"""

from __future__ import annotations

from typing import Final

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data
from werkzeug.sansio.multipart import Epilogue
from werkzeug.sansio.multipart import Field
from werkzeug.sansio.multipart import File
from werkzeug.sansio.multipart import MultipartDecoder
from werkzeug.sansio.multipart import NeedData

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
_MOST_PARTS: Final = 1000


class FormFile:
    """The file of a form; ``read`` gives b"" only when the form ended as it should."""

    __slots__ = ("_decoder", "_ended", "_failure", "_pending", "_stream")

    def __init__(self, stream: Readable, decoder: MultipartDecoder) -> None:
        self._stream = stream
        self._decoder = decoder
        self._pending: bytes = b""
        self._ended = False
        self._failure: Exception | None = None

    def read(self, size: int = BLOCK, /) -> bytes:
        """At most ``size`` bytes of the file.

        :raises MalformedPOSTRequest: the form stops before its closing boundary.
        :raises IncorrectNumberOfFilesInPostRequest: a second file follows.
        """
        if self._failure is not None:
            raise self._failure
        if size < 1:
            return b""
        try:
            block = self._pending or self._next()
        except Exception as failure:
            self._failure = failure
            raise
        if len(block) <= size:
            self._pending = b""
            return block
        self._pending = block[size:]
        return block[:size]

    def _next(self) -> bytes:
        while not self._ended:
            event = _next_event(self._decoder)
            if isinstance(event, Data):
                if not event.more_data:
                    self._finish()
                if event.data:
                    # werkzeug gives a bytearray for some of its types.
                    return bytes(event.data)
            elif isinstance(event, NeedData):
                _feed(self._decoder, self._stream.read(BLOCK))
            else:
                raise MalformedPOSTRequest
        return b""

    def _finish(self) -> None:
        # Fields behind the file are ignored, as S3 does, but the form must end.
        while not self._ended:
            event = _next_event(self._decoder)
            if isinstance(event, Epilogue):
                self._ended = True
            elif isinstance(event, NeedData):
                _feed(self._decoder, self._stream.read(BLOCK))
            elif isinstance(event, Field | File) and (
                isinstance(event, File) or (event.name or "").lower() == _FILE_FIELD
            ):
                raise IncorrectNumberOfFilesInPostRequest


class Form:
    """A POST Object form.

    ``fields``: value by lower-case name, the file not among them. ``filename``: the last part of
    the name that the browser gave, "" when it gave none. ``content_type``: the file part's own,
    None when it has none.
    """

    __slots__ = ("content_type", "fields", "file", "filename")

    def __init__(
        self, fields: dict[str, str], filename: str, content_type: str | None, file: FormFile
    ) -> None:
        self.fields = fields
        self.filename = filename
        self.content_type = content_type
        self.file = file

    def expand(self, value: str) -> str:
        """A field's value with ``${filename}`` replaced by the file's name."""
        return value.replace("${filename}", self.filename)


def read_form(stream: Readable, content_type: str, *, limit: int = PRE_DATA_LIMIT) -> Form:
    """Read a form up to the first byte of its file.

    :param stream: the request's body; must end by itself.
    :param content_type: the request's Content-Type with its boundary.
    :param limit: most bytes before the file.
    :raises PreconditionFailed: the Content-Type is no ``multipart/form-data``.
    :raises MalformedPOSTRequest: the body is no form, or a name or value is no UTF-8.
    :raises MaxPostPreDataLengthExceededError: too much comes before the file.
    :raises IncorrectNumberOfFilesInPostRequest: there is no file.
    :raises InvalidArgument: a field comes twice.
    """
    media_type, options = parse_options_header(content_type)
    if media_type.lower() != "multipart/form-data":
        raise PreconditionFailed(
            condition="Bucket POST must be of the enclosure-type multipart/form-data"
        )
    boundary = options.get("boundary", "")
    # RFC 2046 section 5.1.1: 1 to 70 characters.
    if not 0 < len(boundary) <= 70 or not boundary.isascii():
        raise MalformedPOSTRequest
    decoder = MultipartDecoder(boundary.encode("ascii"), max_parts=_MOST_PARTS)
    fields: dict[str, str] = {}
    name: str | None = None
    value = b""
    fed = 0
    while True:
        event = _next_event(decoder)
        if isinstance(event, NeedData):
            # What is behind the last event may be file already, up to one block.
            if fed >= limit + _FIELDS_BLOCK:
                raise MaxPostPreDataLengthExceededError
            block = stream.read(_FIELDS_BLOCK)
            fed += len(block)
            _feed(decoder, block)
        elif isinstance(event, Field | File):
            name = (event.name or "").lower()
            if name == _FILE_FIELD:
                if fed - len(decoder.buffer) > limit:
                    raise MaxPostPreDataLengthExceededError
                filename = event.filename if isinstance(event, File) else ""
                return Form(
                    fields,
                    filename.replace("\\", "/").rpartition("/")[2],
                    event.headers.get("content-type"),
                    FormFile(stream, decoder),
                )
            if isinstance(event, File) and event.filename:
                raise IncorrectNumberOfFilesInPostRequest
            if not name:
                raise MalformedPOSTRequest
            if name in fields:
                # Whoever checks the policy and whoever stores must see the same value.
                raise InvalidArgument(
                    "POST requires exactly one value per field.", argument_name=name
                )
            value = b""
        elif isinstance(event, Data):
            value += event.data
            if not event.more_data and name is not None:
                fields[name] = _text(value)
        elif isinstance(event, Epilogue):
            raise IncorrectNumberOfFilesInPostRequest


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedPOSTRequest from None


def _feed(decoder: MultipartDecoder, block: bytes) -> None:
    # None tells the decoder that there is no more.
    decoder.receive_data(block or None)


def _next_event(decoder: MultipartDecoder) -> object:
    try:
        return decoder.next_event()
    except (ValueError, LookupError, RequestEntityTooLarge):
        raise MalformedPOSTRequest from None
