"""A client in the same process: S3 without HTTP, for tasks, views and tests.

.. code-block:: python

    s3 = app.client()
    s3.put("photos", "2026/cat.jpg", open("cat.jpg", "rb"), content_type="image/jpeg")
    with s3.open("photos", "2026/cat.jpg") as stream: ...

A call goes the way of a request from the moment its sender is known (:meth:`S3App.perform`), so
access, conditions, checksums, limits, ACLs and signals are those of a request, and a refusal is the
same error, raised: :mod:`s3kit.errors`. Events name the account and have no request id.
"""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from hashlib import md5
from typing import TYPE_CHECKING
from typing import Any
from typing import Final
from typing import Protocol
from typing import TypedDict
from typing import TypeVar
from typing import Unpack
from urllib.parse import urlencode

from . import presigning
from .auth.canonical import UNSIGNED_PAYLOAD
from .auth.canonical import Identity
from .call import Call
from .config import DEFAULT_ACCOUNT
from .errors import InternalError
from .errors import InvalidArgument
from .errors import NoSuchBucket
from .errors import NoSuchKey
from .errors import PreconditionFailed
from .index.objects import ContentGone
from .middleware.audit import audited
from .middleware.audit import is_wanted as is_audited
from .model import Account
from .model import Bucket
from .model import Caller
from .model import Checksum
from .model import ObjectVersion
from .model import Scope
from .operations.buckets import CreateBucketConfiguration
from .operations.copying import store_copy
from .operations.listing import MAX_KEYS
from .operations.locking import Hold
from .operations.locking import LegalHold
from .operations.locking import Mode
from .operations.locking import Retention
from .operations.objects import MAX_OBJECT_TAGS
from .operations.objects import checksum_header
from .operations.objects import store_object
from .operations.tagging import set_tags
from .store import Store
from .store.copying import BlockStream
from .wire.address import aws_quote
from .wire.conditions import check_read
from .wire.environ import Input
from .wire.environ import environ_key
from .wire.headers import METADATA_PREFIX
from .wire.headers import check_header_value
from .wire.headers import check_tags
from .wire.headers import decode_metadata
from .wire.headers import http_date
from .wire.headers import parse_range
from .wire.query import parse_query
from .wire.routing import find_operation
from .wire.xml import to_xml

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import scoped_session

    from .app import S3App

BLOCK: Final = 1024 * 1024
"""Bytes that an open object reads ahead."""

Answer = TypeVar("Answer")


class Readable(Protocol):
    """A file or anything else that gives bytes in order, and ``b""`` at its end."""

    def read(self, size: int, /) -> bytes: ...


Data = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | Iterable[bytes]
"""What may be stored: bytes, text (as UTF-8), a path, an open binary file, or blocks of bytes."""


class Stored(TypedDict, total=False):
    """What is stored beside an object's bytes, as the request headers of these names say it.

    ``lock_mode`` (``GOVERNANCE`` or ``COMPLIANCE``) with ``retain_until``, and ``legal_hold``, are
    for buckets with Object Lock; a time without a zone is local.
    """

    content_type: str | None
    metadata: Mapping[str, str] | None
    cache_control: str | None
    content_disposition: str | None
    content_encoding: str | None
    content_language: str | None
    expires: str | datetime | None
    storage_class: str | None
    acl: str | None
    tags: Mapping[str, str] | None
    lock_mode: str | None
    retain_until: datetime | None
    legal_hold: bool | None


_KEPT: Final = (
    "content_type",
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "expires",
)
"""The settings of :class:`Stored` that, with the metadata, a copy takes over or replaces."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object. ``size`` in bytes; ``etag`` without quotes.

    ``modified`` is in UTC. ``metadata`` holds the user's by lower-case name without
    ``x-amz-meta-``, decoded; ``headers`` the other stored headers (``cache-control`` ...).
    """

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    version_id: str = "null"
    owner: str = ""
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class LockInfo:
    """What keeps a version from being removed; ``mode`` is empty without a retention.

    ``until`` is in UTC; while an event hold is on it moves on with the time.
    """

    mode: str = ""
    until: datetime | None = None
    legal_hold: bool = False
    event_hold: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a listing: an object, or with ``is_prefix`` all keys that begin with ``key``."""

    key: str
    size: int = 0
    etag: str = ""
    modified: datetime | None = None
    storage_class: str = ""
    is_prefix: bool = False


class Client:
    """Acts on the buckets of one app as one account. It has no state: share it between threads.

    Keys are texts; bytes that are no UTF-8 cannot be keys. Every method may raise what the S3
    operation of its name may answer, as :mod:`s3kit.errors` classes: ``NoSuchBucket``,
    ``AccessDenied`` where the bucket is another account's, ``SlowDown`` ...

    :param account: the account's id; whether it has an access key does not matter here.
    :param scope: what the client is narrowed to, as a key may be; what needs an address is refused.
    """

    __slots__ = ("_caller", "_identity", "_s3")

    def __init__(
        self, s3: S3App, account: str = DEFAULT_ACCOUNT, *, scope: Scope | None = None
    ) -> None:
        self._s3 = s3
        self._caller = Caller(s3.site.key_ring.account(account) or Account(account), scope=scope)
        self._identity = Identity(self._caller, "python", UNSIGNED_PAYLOAD)

    def __repr__(self) -> str:
        return f"Client(account={self._caller.account_id!r})"

    @property
    def account(self) -> Account:
        """Whom this client acts for."""
        account = self._caller.account
        assert account is not None
        return account

    @contextmanager
    def joined(
        self, transaction: Connection | Session | scoped_session[Session]
    ) -> Iterator[Client]:
        """Do all that this thread does with the app meanwhile in a transaction of your own.

        It is yours to end, in the block or after it: with your commit everybody sees the objects,
        and signals are sent; with your rollback, or one to a savepoint, they never were there. The
        thread itself sees them at once. A refused call undoes only itself.

        :param transaction: an SQLAlchemy connection to the database of the app's index, or a
            session; pass the session where you have one.
        :raises CannotJoin: it is to another database, or asynchronous, or commits by itself, or
            S3's rules would not hold on it (:mod:`s3kit.index.borrowed`); the text says what to do.
        """
        with self._s3.store.index.joined(transaction):
            yield self

    # -- buckets

    def create_bucket(
        self,
        bucket: str,
        *,
        acl: str | None = None,
        region: str = "",
        object_lock: bool = False,
    ) -> None:
        """Make a bucket; to make one's own again is an error only outside us-east-1.

        :param acl: a canned ACL such as ``public-read``; private by default.
        :param object_lock: its versions may be locked; versioning is on then, for good.
        :raises BucketAlreadyExists: another account has it.
        """
        body = to_xml(CreateBucketConfiguration(region)) if region else b""
        headers = {
            "x-amz-acl": acl,
            "x-amz-bucket-object-lock-enabled": "true" if object_lock else None,
        }
        self._perform_handler("CreateBucket", bucket, headers=headers, body=_source(body)[0])

    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket.

        :raises BucketNotEmpty:
        """
        self._perform_handler("DeleteBucket", bucket)

    def buckets(self, prefix: str = "") -> Iterator[Bucket]:
        """The account's buckets in name order."""
        account = self.account.id
        after = ""
        while True:

            def work(call: Call, after: str = after) -> Sequence[Bucket]:
                page = call.store.buckets.page
                return page(account, prefix=prefix, after=after, limit=MAX_KEYS)

            found = self._perform("ListBuckets", work)
            yield from found
            if len(found) < MAX_KEYS:
                return
            after = found[-1].name

    # -- objects

    def put(
        self,
        bucket: str,
        key: str,
        data: Data,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
        content_md5: bytes | None = None,
        checksum: Checksum | None = None,
        **stored: Unpack[Stored],
    ) -> ObjectInfo:
        """Store an object of any size that the profile allows in one piece, a block at a time.

        :param data: bytes, a text, a path, an open binary file (from where it stands), or blocks.
        :param if_match: only if the object there has this ETag.
        :param if_none_match: ``"*"``: only if there is none.
        :param content_md5: 16 bytes that the data's MD5 must be.
        :param checksum: what the data's checksum must be; it is stored with the object.
        :param stored: see :class:`Stored`; ``metadata`` and ``tags`` are mappings of texts.
        :raises EntityTooLarge: more than the profile's (or the configuration's) largest object
            of one PutObject, 5 GiB on AWS.
        :raises PreconditionFailed: BadDigest, InvalidArgument, MetadataTooLarge, InvalidTag ...
        """
        headers = _headers(stored)
        headers["if-match"] = if_match and _etag(if_match)
        headers["if-none-match"] = if_none_match and _etag(if_none_match)
        if content_md5 is not None:
            headers["content-md5"] = b64encode(content_md5).decode()
        if checksum is not None:
            name, value = checksum_header(checksum)
            headers[name] = value
        body, close = _source(data)
        try:
            version = self._perform(
                "PutObject", store_object, bucket, key, headers=headers, stored=stored, body=body
            )
        finally:
            close()
        return _info(bucket, version)

    def get(
        self,
        bucket: str,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        if_match: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        """An object's bytes, or those from ``start`` to ``end`` (exclusive), all in memory.

        :raises NoSuchKey: InvalidRange, PreconditionFailed.
        """
        headers = {"if-match": if_match and _etag(if_match)}

        def work(call: Call) -> bytes:
            version = readable(call)
            call.store.restoring.check_readable(version)
            first, last = 0, version.size
            if start or end is not None:
                until = "" if end is None else end - 1
                first, last = parse_range(f"bytes={start}-{until}", version.size) or (0, 0)
            return b"".join(call.store.objects.read(version, first, last))

        return self._perform(
            "GetObject", work, bucket, key, headers=headers, query=_version(version_id)
        )

    def open(
        self, bucket: str, key: str, *, if_match: str | None = None, version_id: str | None = None
    ) -> ObjectReader:
        """An object as a binary file: read, seek, iterate; a block in memory at a time.

        What is open stays what it was, whoever overwrites the object meanwhile.

        :raises NoSuchKey: PreconditionFailed.
        """
        headers = {"if-match": if_match and _etag(if_match)}

        def work(call: Call) -> ObjectReader:
            version = readable(call)
            call.store.restoring.check_readable(version)
            # Begun here, where an object that is overwritten at this moment is looked up again.
            blocks = call.store.objects.read(version)
            return ObjectReader(call.store, _info(bucket, version), version, blocks)

        return self._perform(
            "GetObject", work, bucket, key, headers=headers, query=_version(version_id)
        )

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """What is known of an object.

        :raises NoSuchKey:
        """
        version = self._perform("HeadObject", readable, bucket, key, query=_version(version_id))
        return _info(bucket, version)

    def exists(self, bucket: str, key: str | None = None) -> bool:
        """Whether an object is there, or without a key, a bucket.

        :raises NoSuchBucket: a key is asked for in a bucket that is not there.
        """
        if key is None:
            try:
                self._perform_handler("HeadBucket", bucket)
            except NoSuchBucket:
                return False
            return True
        try:
            self.head(bucket, key)
        except NoSuchKey:
            return False
        return True

    def delete(
        self,
        bucket: str,
        key: str,
        *,
        if_match: str | None = None,
        version_id: str | None = None,
        bypass_governance: bool = False,
    ) -> None:
        """Remove an object; to remove what is not there is no error.

        :param bypass_governance: remove the version although it is locked under GOVERNANCE.
        :raises PreconditionFailed: ``if_match`` is another ETag than the object's.
        :raises AccessDenied: the version is locked.
        """
        headers = {
            "if-match": if_match and _etag(if_match),
            "x-amz-bypass-governance-retention": "true" if bypass_governance else None,
        }
        self._perform_handler(
            "DeleteObject", bucket, key, headers=headers, query=_version(version_id)
        )

    def copy(
        self,
        bucket: str,
        key: str,
        to_bucket: str,
        to_key: str,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
        version_id: str | None = None,
        checksum_algorithm: str | None = None,
        **stored: Unpack[Stored],
    ) -> ObjectInfo:
        """Store a copy; inside one storage no byte is moved.

        :param if_match: about the object at the destination, as for :meth:`put`, and so is
            ``if_none_match``.
        :param version_id: the source's version.
        :param checksum_algorithm: compute this checksum over the copy, e.g. ``SHA256``.
        :param stored: see :class:`Stored`. Metadata and the like come from the source unless any
            of them is given, then none of them does; tags likewise. The ACL never comes along.
        :raises InvalidRequest: a copy onto itself that changes nothing, or more than 5 GiB.
        """
        headers = _headers(stored)
        source = f"{bucket}/{aws_quote(_key(key))}"
        if version_id is not None:
            source += f"?versionId={aws_quote(version_id)}"
        headers["x-amz-copy-source"] = source
        if stored.get("metadata") is not None or any(stored.get(name) for name in _KEPT):
            headers["x-amz-metadata-directive"] = "REPLACE"
        if stored.get("tags") is not None:
            headers["x-amz-tagging-directive"] = "REPLACE"
        headers["if-match"] = if_match and _etag(if_match)
        headers["if-none-match"] = if_none_match and _etag(if_none_match)
        headers["x-amz-checksum-algorithm"] = checksum_algorithm

        def work(call: Call) -> ObjectVersion:
            return store_copy(call)[0]

        version = self._perform(
            "CopyObject", work, to_bucket, to_key, headers=headers, stored=stored
        )
        return _info(to_bucket, version)

    def tags(self, bucket: str, key: str, *, version_id: str | None = None) -> dict[str, str]:
        """An object's tags."""

        def work(call: Call) -> dict[str, str]:
            return dict(call.version(call.bucket, call.object_key, call.version_id).tags)

        return self._perform("GetObjectTagging", work, bucket, key, query=_version(version_id))

    def set_tags(
        self, bucket: str, key: str, tags: Mapping[str, str], *, version_id: str | None = None
    ) -> None:
        """Replace an object's tags; an empty mapping removes them.

        :raises InvalidTag: BadRequest for more than ten.
        """
        pairs = tuple(tags.items())
        check_tags(pairs, MAX_OBJECT_TAGS)
        name = "PutObjectTagging" if pairs else "DeleteObjectTagging"
        self._perform(
            name, lambda call: set_tags(call, pairs), bucket, key, query=_version(version_id)
        )

    def lock(self, bucket: str, key: str, *, version_id: str | None = None) -> LockInfo:
        """What keeps a version from being removed."""

        def work(call: Call) -> LockInfo:
            lock = call.version(call.bucket, call.object_key, call.version_id).lock
            until = call.store.locks.retained_until(lock)
            return LockInfo(
                lock.mode,
                _moment(until) if until else None,
                bool(lock.legal_hold),
                bool(lock.event_hold),
            )

        return self._perform("GetObjectRetention", work, bucket, key, query=_version(version_id))

    def set_retention(
        self,
        bucket: str,
        key: str,
        mode: str = "",
        until: datetime | None = None,
        *,
        version_id: str | None = None,
        bypass_governance: bool = False,
    ) -> None:
        """Lock a version until a time, or extend its lock.

        :param mode: ``GOVERNANCE``, ``COMPLIANCE``, or nothing to end a retention.
        :param until: without a zone it is local.
        :param bypass_governance: shorten or end a retention that is under GOVERNANCE.
        :raises AccessDenied: it would be shortened.
        :raises InvalidRequest: the bucket has no Object Lock.
        """
        body = to_xml(Retention(Mode(mode) if mode else None, _instant(until)))
        self._perform_handler(
            "PutObjectRetention",
            bucket,
            key,
            headers={
                "x-amz-bypass-governance-retention": "true" if bypass_governance else None,
                "content-md5": _content_md5(body),
            },
            query=_version(version_id),
            body=_source(body)[0],
        )

    def set_legal_hold(
        self, bucket: str, key: str, on: bool, *, version_id: str | None = None
    ) -> None:
        """Keep a version from being removed until its hold is released.

        :raises InvalidRequest: the bucket has no Object Lock.
        """
        body = to_xml(LegalHold(Hold.ON if on else Hold.OFF))
        self._perform_handler(
            "PutObjectLegalHold",
            bucket,
            key,
            headers={"content-md5": _content_md5(body)},
            query=_version(version_id),
            body=_source(body)[0],
        )

    def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        *,
        start_after: str = "",
        page_size: int = MAX_KEYS,
    ) -> Iterator[Entry]:
        """All keys that begin with ``prefix``, in byte order, a page at a time.

        :param delimiter: with ``/``, what lies in "folders" below the prefix comes as one entry
            per folder, its ``key`` ending in ``/`` and ``is_prefix`` set.
        :param start_after: begin behind this key.
        """
        after = _key(start_after)
        limit = max(1, min(page_size, MAX_KEYS))
        while True:

            def work(call: Call, after: bytes = after) -> Any:
                return call.store.list_keys(
                    call.bucket,
                    prefix=_key(prefix),
                    delimiter=_key(delimiter),
                    after=after,
                    limit=limit,
                )

            # Scopes and policies may ask for the prefix.
            page = self._perform(
                "ListObjectsV2",
                work,
                bucket,
                query=urlencode({"prefix": _key(prefix)}) if prefix else "",
            )
            rows = {row[0]: _entry(row) for row in page.entries}
            rows.update((found, Entry(_text(found), is_prefix=True)) for found in page.prefixes)
            for found in sorted(rows):
                yield rows[found]
            if not page.truncated:
                return
            after = page.next

    # -- URLs

    def presign(
        self,
        method: str,
        bucket: str,
        key: str = "",
        expires_in: int | timedelta = 3600,
        *,
        access_key: str | None = None,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        virtual_host: bool = False,
    ) -> str:
        """A URL by which anybody may act as this account once; see :func:`s3kit.presign`."""
        return presigning.presign(
            self._s3,
            method,
            bucket,
            key,
            expires_in=expires_in,
            account=self.account.id,
            access_key=access_key,
            endpoint=endpoint,
            headers=headers,
            query=query,
            virtual_host=virtual_host,
        )

    def presign_post(
        self,
        bucket: str,
        key: str,
        expires_in: int | timedelta = 3600,
        *,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[object] = (),
        length_range: tuple[int, int] | None = None,
        access_key: str | None = None,
        endpoint: str | None = None,
    ) -> presigning.PresignedPost:
        """A form by which a browser may store one object; see :func:`s3kit.presign_post`."""
        return presigning.presign_post(
            self._s3,
            bucket,
            key,
            expires_in=expires_in,
            fields=fields,
            conditions=conditions,
            length_range=length_range,
            account=self.account.id,
            access_key=access_key,
            endpoint=endpoint,
        )

    def public_url(
        self, bucket: str, key: str = "", *, endpoint: str | None = None, virtual_host: bool = False
    ) -> str:
        """The unsigned URL of an object, for what everybody may read."""
        return presigning.public_url(
            self._s3, bucket, key, endpoint=endpoint, virtual_host=virtual_host
        )

    # -- the way in

    def _perform_handler(
        self,
        name: str,
        bucket: str,
        key: str | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        query: str = "",
        body: Input | None = None,
    ) -> None:
        """Do what a request of this operation does; its answer holds nothing that is needed."""
        handler = find_operation(name).handler
        assert handler is not None
        self._perform(name, handler, bucket, key, headers=headers, query=query, body=body)

    def _perform(
        self,
        name: str,
        work: Callable[[Call], Answer],
        bucket: str | None = None,
        key: str | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        stored: Stored | None = None,
        query: str = "",
        body: Input | None = None,
    ) -> Answer:
        operation = find_operation(name)
        self._s3.refuse_disabled(operation)
        if key is not None and not key:
            raise InvalidArgument(
                "User key must have a length greater than 0.", argument_name="key"
            )
        environ: dict[str, Any] = {"REQUEST_METHOD": operation.method}
        for header_name, value in (headers or {}).items():
            if value is not None:
                environ[environ_key(header_name)] = check_header_value(header_name, value)
        if stored is not None:
            _put_metadata(environ, stored.get("metadata") or {})
        call = Call(
            environ,
            self._s3.site,
            operation,
            parse_query(query),
            _Source(io.BytesIO(), 0) if body is None else body,
            "",
            self._identity,
            bucket,
            None if key is None else _key(key),
        )
        if is_audited():
            return audited(call, lambda: self._s3.perform(call, work))
        return self._s3.perform(call, work)


def readable(call: Call) -> ObjectVersion:
    """The version that a GET or HEAD with these conditions would answer with."""
    version = call.version(call.bucket, call.object_key, call.version_id, inline=True)
    conditions = call.conditions()
    if conditions is not None:
        check_read(conditions, version.etag, version.modified)
    return version


# -- arguments


class _Source(Input):
    """A body from Python: what its ``read`` raises is the caller's own, not a broken connection."""

    def read(self, n: int = -1) -> bytes:
        left = self.remaining
        if n < 0:
            n = BLOCK
        if left is not None and n > left:
            n = left
        if n == 0:
            return b""
        found: object = self._read(n)
        if not isinstance(found, bytes | bytearray | memoryview):
            kind = type(found).__name__
            raise TypeError(f"An object's data is bytes, not {kind}: open the file as binary.")
        block = bytes(found)
        if left is not None:
            # A stream that ends early is for the reader above to notice.
            self.remaining = left - len(block) if block else 0
        return block


def _nothing() -> None:
    """Leave open what the caller has opened."""


def _source(data: Data) -> tuple[_Source, Callable[[], None]]:
    """The data as a body, and what to call when it is read."""
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        return _Source(io.BytesIO(view), view.nbytes), _nothing
    if isinstance(data, os.PathLike):
        with ExitStack() as opened:
            file = opened.enter_context(open(data, "rb"))
            size = os.fstat(file.fileno()).st_size
            return _Source(file, size), opened.pop_all().close
    if hasattr(data, "read"):
        return _Source(data, _length_of(data)), _nothing
    if isinstance(data, Iterable):
        return _Source(BlockStream(filter(None, data)), None), _nothing
    raise TypeError(f"An object's data is bytes, text, a path or a file, not {type(data)}.")


def _length_of(file: Any) -> int | None:
    """How many bytes a file has left, None where only reading it tells."""
    if isinstance(file, io.TextIOBase):
        raise TypeError("An object's data is bytes: open the file as binary.")
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        # Not every seek() tells where it has gone to.
        length = (file.tell() if end is None else end) - here
        file.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return int(length) if length >= 0 else None


def _headers(stored: Stored) -> dict[str, str | None]:
    """The request headers, but for the metadata's, that say what to store."""
    for name in stored:
        if name not in Stored.__annotations__:
            raise TypeError(f"There is no argument {name!r}.")
    expires = stored.get("expires")
    if isinstance(expires, datetime):
        expires = http_date(int(expires.timestamp() * 1000))
    tags = stored.get("tags")
    return {
        "content-type": stored.get("content_type"),
        "cache-control": stored.get("cache_control"),
        "content-disposition": stored.get("content_disposition"),
        "content-encoding": stored.get("content_encoding"),
        "content-language": stored.get("content_language"),
        "expires": expires,
        "x-amz-storage-class": stored.get("storage_class"),
        "x-amz-acl": stored.get("acl"),
        "x-amz-tagging": urlencode(list(tags.items())) if tags else None,
        "x-amz-object-lock-mode": stored.get("lock_mode"),
        "x-amz-object-lock-retain-until-date": _instant(stored.get("retain_until")),
        "x-amz-object-lock-legal-hold": _hold(stored.get("legal_hold")),
    }


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _hold(on: bool | None) -> str | None:
    return None if on is None else "ON" if on else "OFF"


def _put_metadata(environ: dict[str, Any], metadata: Mapping[str, str]) -> None:
    names = []
    for name, value in metadata.items():
        name = METADATA_PREFIX + name.lower()
        # A server hands over the bytes of UTF-8 as latin-1.
        text = check_header_value(name, value.encode("utf-8", "replace").decode("latin-1"))
        # Not environ_key(), which remembers every name that it is asked for.
        if environ.setdefault("HTTP_" + name.upper().replace("-", "_"), text) is not text:
            raise InvalidArgument(
                "Two names of metadata differ in - and _ only.", argument_name=name
            )
        names.append(name)
    if names:
        # WSGI makes "_" of "-"; the names that a request has signed tell them apart.
        environ["HTTP_AUTHORIZATION"] = "SignedHeaders=" + ";".join(names)


def _content_md5(body: bytes) -> str:
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


def _etag(etag: str) -> str:
    return etag if etag == "*" or etag.startswith('"') else f'"{etag}"'


def _version(version_id: str | None) -> str:
    return "" if version_id is None else f"versionId={aws_quote(version_id, False)}"


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


# -- answers


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _entry(row: Any) -> Entry:
    key, size, etag, modified, storage_class, _, _ = row
    return Entry(_text(key), size, etag, _moment(modified), storage_class)


def _info(bucket: str, version: ObjectVersion) -> ObjectInfo:
    metadata = {}
    headers = {}
    for name, value in version.headers.items():
        if name.startswith(METADATA_PREFIX):
            metadata[name.removeprefix(METADATA_PREFIX)] = decode_metadata(value)
        else:
            headers[name] = value
    return ObjectInfo(
        bucket,
        _text(version.key),
        version.size,
        version.etag,
        _moment(version.modified),
        headers.get("content-type", ""),
        metadata,
        headers,
        version.storage_class,
        version.version_id,
        version.owner,
        version.checksum,
    )


class ObjectReader(io.BufferedReader):
    """An object open for reading: a binary file that can seek. ``info`` says what it is."""

    def __init__(
        self, store: Store, info: ObjectInfo, version: ObjectVersion, blocks: Iterator[bytes]
    ) -> None:
        self.info = info
        super().__init__(_Blocks(store, version, blocks), min(BLOCK, max(1, version.size)))


class _Blocks(io.RawIOBase):
    """The bytes of one version; after a seek the storage is asked again."""

    def __init__(self, store: Store, version: ObjectVersion, blocks: Iterator[bytes]) -> None:
        self._store = store
        self._version = version
        self._size = version.size
        self._blocks: Iterator[bytes] | None = blocks
        self._rest = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as one block does."""
        if self._position >= self._size:
            return 0
        if not self._rest:
            self._rest = memoryview(self._next())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def readall(self) -> bytes:
        """All that is left."""
        pieces = [bytes(self._rest)]
        self._position += len(self._rest)
        self._rest = memoryview(b"")
        while self._position < self._size:
            pieces.append(self._next())
            self._position += len(pieces[-1])
        return b"".join(pieces)

    def _next(self) -> bytes:
        try:
            if self._blocks is None:
                self._blocks = self._store.objects.read(self._version, self._position)
            block = next(self._blocks, b"")
        except ContentGone:
            raise PreconditionFailed(
                "The object was replaced while it was being read.", condition="If-Match"
            ) from None
        if not block:
            raise InternalError()
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; only the next read asks the storage for it."""
        if self.closed:
            raise ValueError("seek of a closed file")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        if base + offset != self._position:
            self._drop()
            self._position = base + offset
        return self._position

    def close(self) -> None:
        """Let go of the storage."""
        if not self.closed:
            self._drop()
        super().close()

    def _drop(self) -> None:
        self._rest = memoryview(b"")
        close = getattr(self._blocks, "close", None)
        self._blocks = None
        if close is not None:
            close()
