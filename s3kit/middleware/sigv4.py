"""Let only signed requests through to any WSGI app: AWS Signature Version 4, as S3 clients sign.

.. code-block:: python

    app = require_sigv4(app, {"AKIAEXAMPLE": "secret"})

The signature may be in the header or in the query (a presigned URL). The app finds who signed in
``environ["s3kit.caller"]`` (a :class:`~s3kit.model.Caller`). The service in the signature is
``s3``: that is how S3's clients and ``boto3``'s ``S3SigV4Auth`` sign. Headers beside ``Host`` and
``x-amz-*`` are trusted only where the client signed them.

**The body** is verified too: its SHA-256 or the chain of its chunks' signatures, Content-MD5 and
``x-amz-checksum-*``. The app reads plain bytes: aws-chunked framing is taken off, and
CONTENT_LENGTH, Content-Encoding and Transfer-Encoding say what is left. A body of at most
``buffer`` bytes is verified before the app is called. A longer one is handed on as it arrives, the
last block only after all was verified; where it is not what was signed, ``wsgi.input`` raises
:class:`BodyRefused` (an OSError, which frameworks take for a client that went away), and whatever
the app then answers, the client gets the refusal. So an app must not keep what it has not read to
the end.

An S3App does all this by itself and must not stand behind this.
"""

from __future__ import annotations

import io
import time
import typing
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Final

from ..auth.keyring import DictKeyRing
from ..auth.keyring import KeyRing
from ..auth.sigv4 import UNSIGNED_PAYLOAD
from ..auth.sigv4 import Identity
from ..auth.sigv4 import Request
from ..auth.sigv4 import identify
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import MissingContentLength
from ..errors import S3Error
from ..errors import SignatureDoesNotMatch
from ..model import Account
from ..model import Key
from ..wire import checksums
from ..wire.address import parse_address
from ..wire.checksums import BLOCK
from ..wire.checksums import BodyReader
from ..wire.checksums import Readable
from ..wire.chunked import ChunkedReader
from ..wire.chunked import trailer_names
from ..wire.environ import Input
from ..wire.environ import TrustedProxies
from ..wire.environ import open_input
from ..wire.environ import public_url_parts
from ..wire.environ import raw_target
from ..wire.headers import content_md5
from ..wire.query import parse_query
from .record import RECORD
from .record import RequestRecord
from .refusal import Form
from .refusal import refuse

if typing.TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

CALLER: Final = "s3kit.caller"
"""The environ key of who signed the request."""

BUFFER: Final = 1024 * 1024


class BodyRefused(OSError):
    """The body is not what was signed; ``error`` says what is wrong with it."""

    def __init__(self, error: S3Error) -> None:
        super().__init__(f"{error.code}: {error.text}")
        self.error = error


def require_sigv4(
    app: WSGIApplication,
    key_ring: KeyRing | Mapping[str, str],
    *,
    anonymous: bool = False,
    refusal: Form = "s3",
    region: str | None = None,
    trusted_proxies: Iterable[str] = (),
    public_prefix: str = "",
    buffer: int = BUFFER,
) -> WSGIApplication:
    """``app`` for signed requests; all others are refused before it is called.

    :param key_ring: where secrets come from; a mapping of access keys to secret keys makes one,
        whose keys all act for the account ``default``.
    :param anonymous: let unsigned requests through, with an anonymous caller.
    :param refusal: ``s3`` answers S3's errors in XML, ``plain`` a bare ``403 Forbidden`` that says
        no more (and the error's own status for a body that is not what was signed).
    :param region: the only region that a signature may name; None accepts any.
    :param trusted_proxies: whose X-Forwarded-* headers count, for the host that was signed.
    :param public_prefix: what a proxy in front takes off the path, e.g. ``/files``.
    :param buffer: bytes; a body up to this size is read into memory and verified beforehand.
    :raises ValueError: an entry of ``trusted_proxies`` is no network; a key is empty.
    """
    if isinstance(key_ring, Mapping):
        account = Account("default", "default")
        key_ring = DictKeyRing(Key(name, secret, account) for name, secret in key_ring.items())
    return _Gate(
        app,
        key_ring,
        anonymous,
        refusal,
        region,
        TrustedProxies(trusted_proxies),
        public_prefix.rstrip("/"),
        buffer,
    )


class _Gate:
    def __init__(
        self,
        app: WSGIApplication,
        key_ring: KeyRing,
        anonymous: bool,
        refusal: Form,
        region: str | None,
        trusted: TrustedProxies,
        public_prefix: str,
        buffer: int,
    ) -> None:
        self._app = app
        self._key_ring = key_ring
        self._anonymous = anonymous
        self._refusal = refusal
        self._region = region
        self._trusted = trusted
        self._public_prefix = public_prefix
        self._buffer = buffer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Nothing that stands further out may speak for the caller.
        environ.pop(CALLER, None)
        body: Input | None = None
        try:
            body = open_input(environ)
            identity = self._identify(environ)
            environ[CALLER] = identity.caller
            reader = _body_of(environ, identity, body)
            later = self._take_body(environ, reader)
        except S3Error as error:
            if body is not None:
                body.drain()
            # A stranger is told nothing; one who signed, what is wrong with the body.
            known = body is None or CALLER in environ
            status = error.status if known else 403
            return refuse(environ, start_response, error, self._refusal, status=status)
        if later is None:
            return self._app(environ, start_response)
        return self._guard(environ, start_response, later, body)

    def _identify(self, environ: WSGIEnvironment) -> Identity:
        target = raw_target(environ)
        scheme, host, prefix, _ = public_url_parts(environ, self._trusted)
        address = parse_address(target, host, public_prefix=prefix or self._public_prefix)
        query = parse_query(target.query)
        identity = identify(
            Request(environ["REQUEST_METHOD"], address.canonical, query, environ, scheme, host),
            self._key_ring,
            now=time.time(),
            region=self._region,
        )
        record: RequestRecord | None = environ.get(RECORD)
        if record is not None:
            record.identified(identity.caller)
        if identity.caller.anonymous and not self._anonymous:
            raise AccessDenied
        return identity

    def _take_body(self, environ: WSGIEnvironment, reader: BodyReader) -> _VerifiedInput | None:
        """Give the app a body to read; None where it is verified already."""
        length = reader.length
        later = None
        if length is not None and length <= self._buffer:
            environ["wsgi.input"] = io.BytesIO(reader.read_all())
        else:
            later = _VerifiedInput(reader)
            environ["wsgi.input"] = io.BufferedReader(later, 65536)
        environ["wsgi.input_terminated"] = True
        if length is not None and (length or "CONTENT_LENGTH" in environ):
            environ["CONTENT_LENGTH"] = str(length)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        return later

    def _guard(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        later: _VerifiedInput,
        body: Input,
    ) -> Iterable[bytes]:
        """Run the app; the answer to a body that was refused is ours."""
        refused: list[list[bytes]] = []
        started = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal started
            if later.failure is not None and not started:
                started = True
                refused.append(refuse(environ, start_response, later.failure, self._refusal))
                return lambda data: None
            started = True
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        try:
            result = self._app(environ, start)
        except Exception:
            if later.failure is None or started:
                raise
            body.drain()
            return refuse(environ, start_response, later.failure, self._refusal)
        if started and not refused:
            return result

        def refusal_of(error: Exception) -> list[bytes]:
            # A generator's code runs only now.
            if later.failure is None or started:
                raise error
            body.drain()
            return refuse(environ, start_response, later.failure, self._refusal)

        return _replaced(result, refused, refusal_of)


def _body_of(environ: WSGIEnvironment, identity: Identity, body: Input) -> BodyReader:
    """The plain bytes of a request's body; the environ no longer says that they are framed."""
    payload = identity.payload
    stream: Readable = body
    length = body.length
    sha256 = None if payload == UNSIGNED_PAYLOAD else payload
    expected = checksums.declared(environ)
    if payload.startswith("STREAMING-"):
        sha256 = None
        stream, length = _unframed(environ, identity, body)
        codings = environ.get("HTTP_CONTENT_ENCODING", "").split(",")
        left = [each.strip() for each in codings if each.strip().lower() != "aws-chunked"]
        environ.pop("HTTP_CONTENT_ENCODING", None)
        if left:
            environ["HTTP_CONTENT_ENCODING"] = ",".join(left)
    return BodyReader(
        stream,
        length,
        sha256=sha256,
        content_md5=content_md5(environ),
        expected=expected,
        md5=False,
    )


def _unframed(
    environ: WSGIEnvironment, identity: Identity, body: Input
) -> tuple[ChunkedReader, int]:
    declared = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", "").strip()
    if not declared:
        raise MissingContentLength
    if not (declared.isascii() and declared.isdigit() and len(declared) <= 18):
        raise InvalidArgument(argument_name="x-amz-decoded-content-length", argument_value=declared)
    signer = None
    if not identity.payload.startswith("STREAMING-UNSIGNED-"):
        signer = identity.chunk_signer
        if signer is None:
            raise SignatureDoesNotMatch
    announced = environ.get("HTTP_X_AMZ_TRAILER") if identity.payload.endswith("TRAILER") else None
    length = int(declared)
    return ChunkedReader(body, length, signer=signer, trailer=trailer_names(announced)), length


class _VerifiedInput(io.RawIOBase):
    """Hands out a block when the next has come, and so the last when all was verified."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self._next: bytes | None = None
        self._rest = memoryview(b"")
        self.failure: S3Error | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._rest:
            self._rest = memoryview(self._block())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _block(self) -> bytes:
        if self.failure is not None:
            raise BodyRefused(self.failure)
        try:
            if self._next is None:
                self._next = self._reader.read(BLOCK)
            block = self._next
            if block:
                self._next = self._reader.read(BLOCK)
        except S3Error as error:
            self.failure = error
            raise BodyRefused(error) from error
        return block


def _replaced(
    result: Iterable[bytes],
    refused: list[list[bytes]],
    refusal_of: Callable[[Exception], list[bytes]],
) -> Iterator[bytes]:
    """The app's answer, or ours where the app began to answer after its body had been refused.

    :param refusal_of: our answer to what the app raised; raises it again where it is the app's own.
    """
    try:
        if not refused:
            blocks = iter(result)
            while True:
                try:
                    block = next(blocks)
                except StopIteration:
                    break
                except Exception as error:
                    if not refused:
                        refused.append(refusal_of(error))
                if refused:
                    break
                yield block
        if refused:
            yield from refused[0]
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
