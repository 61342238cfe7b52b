"""Files of a Django project in a bucket of this process: no HTTP, the same signals.

.. code-block:: python

    STORAGES = {
        "default": {
            "BACKEND": "s3kit_contrib.django.storage.S3KitStorage",
            "OPTIONS": {"bucket": "media"},
        },
        "staticfiles": ...,
    }

An upload through S3 and a file saved here are the same object: either way ``object_created`` is
heard. For django-storages see :mod:`.django_storages`.
"""

from __future__ import annotations

import io
import mimetypes
import posixpath
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import IO
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri
from django.utils.timezone import make_naive

from s3kit import errors

from . import get_client
from . import get_mounting

if TYPE_CHECKING:
    from s3kit import Client
    from s3kit.client import ObjectInfo

    _File = File[Any]
else:
    # Generic in the stubs only.
    _File = File

BLOCK = 1024 * 1024
_IN_MEMORY = 5 * BLOCK
_ENCODED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

# Django does not tell _save(), and threads share a storage.
_max_length: ContextVar[int | None] = ContextVar("_max_length", default=None)


@deconstructible(path="s3kit_contrib.django.storage.S3KitStorage")
class S3KitStorage(Storage):
    """Files in one bucket of the S3App that ``settings.S3KIT`` describes.

    :param bucket: its name.
    :param prefix: a "folder" in it, below which all names lie.
    :param account: whose bucket it is.
    :param create_bucket: make the bucket if it is not there.
    :param base_url: where the files are published, e.g. by a CDN; :meth:`url` then signs nothing.
    :param querystring_auth: whether :meth:`url` is a presigned URL. False where everybody may read
        the bucket: then the URL is plain.
    :param querystring_expire: seconds that a presigned URL lives, or a timedelta.
    :param endpoint: the endpoint in URLs; ``S3KIT["public_endpoint"]`` by default.
    :param allow_overwrite: whether saving under a name that is taken replaces the file, instead of
        choosing another name.
    :param object_parameters: what to store beside each file, as :meth:`s3kit.Client.put` takes it:
        ``{"cache_control": "max-age=3600", "acl": "public-read"}``.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        account: str = "default",
        create_bucket: bool = False,
        base_url: str | None = None,
        querystring_auth: bool = True,
        querystring_expire: int | timedelta = 3600,
        endpoint: str | None = None,
        allow_overwrite: bool = False,
        object_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.account = account
        self.create_bucket = create_bucket
        self.base_url = base_url if base_url is None or base_url.endswith("/") else base_url + "/"
        self.querystring_auth = querystring_auth
        self.querystring_expire = querystring_expire
        self.endpoint = endpoint
        self.allow_overwrite = allow_overwrite
        self.object_parameters = dict(object_parameters or {})

    @property
    def client(self) -> Client:
        """The client of the account, for what a Storage has no method for."""
        return get_client(self.account)

    # -- reading and writing

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if any(letter in mode for letter in "a+x"):
            raise ValueError(f"A stored file is read or written as a whole; mode {mode!r} is not.")
        if "w" in mode:
            return _Written(self, name, mode)
        return _Read(self, name, mode)

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        """Store a file under the name or one like it; the name that it got.

        :param max_length: characters that the name may have.
        """
        before = _max_length.set(max_length)
        try:
            return super().save(name, content, max_length)
        finally:
            _max_length.reset(before)

    def _save(self, name: str, content: File[Any]) -> str:
        name = name.replace("\\", "/")
        while True:
            try:
                self._put(name, _blocks(content), content, fresh=not self.allow_overwrite)
                return name
            except errors.PreconditionFailed:
                # Somebody has taken the name since it was found to be free.
                name = self.get_available_name(name, _max_length.get())

    def _put(self, name: str, data: Any, content: File[Any], *, fresh: bool) -> None:
        parameters = dict(self.object_parameters)
        if not parameters.get("content_type"):
            parameters["content_type"] = content_type_of(name, content)
        client = self.client
        if self.create_bucket and not client.exists(self.bucket):
            client.create_bucket(self.bucket)
        condition = "*" if fresh else None
        client.put(self.bucket, self._key(name), data, if_none_match=condition, **parameters)

    def delete(self, name: str) -> None:
        """Remove a file; to remove what is not there is no error."""
        if not name:
            raise ValueError("The name must be given to delete().")
        try:
            self.client.delete(self.bucket, self._key(name))
        except errors.NoSuchBucket:
            if not self.create_bucket:
                raise

    # -- what is there

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name. Folders are no files, and never in the way."""
        if not _normal(name):
            return False
        try:
            return self.client.exists(self.bucket, self._key(name))
        except errors.NoSuchBucket:
            if not self.create_bucket:
                raise
            return False

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """The name itself where it is free or may be overwritten, else one like it."""
        name = str(name).replace("\\", "/")
        if self.allow_overwrite and (not max_length or len(name) <= max_length):
            return name
        return super().get_available_name(name, max_length)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files directly below ``path``.

        :raises FileNotFoundError: nothing is there, unless it is the storage itself.
        """
        below = "/".join(filter(None, [self.prefix, _normal(path)]))
        below += "/" if below else ""
        folders: list[str] = []
        files: list[str] = []
        for entry in self.client.list(self.bucket, below, "/"):
            rest = entry.key.removeprefix(below)
            if entry.is_prefix:
                folders.append(rest.rstrip("/"))
            elif rest:
                files.append(rest)
        if not folders and not files and _normal(path):
            raise FileNotFoundError(f"No folder {path!r} in the bucket {self.bucket!r}.")
        return folders, files

    def size(self, name: str) -> int:
        """In bytes."""
        return self._head(name).size

    def get_modified_time(self, name: str) -> datetime:
        """When the file was stored; aware if USE_TZ is, else in local time."""
        modified = self._head(name).modified.astimezone(UTC)
        return modified if settings.USE_TZ else make_naive(modified)

    def get_created_time(self, name: str) -> datetime:
        """The same: what is stored is never changed, only replaced."""
        return self.get_modified_time(name)

    def _head(self, name: str) -> ObjectInfo:
        try:
            return self.client.head(self.bucket, self._key(name))
        except errors.NoSuchKey:
            raise self._missing(name) from None

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(f"No file {name!r} in the bucket {self.bucket!r}.")

    # -- URLs

    def url(
        self,
        name: str | None,
        parameters: Mapping[str, str] | None = None,
        expire: int | timedelta | None = None,
        http_method: str = "GET",
    ) -> str:
        """Where a browser finds the file; presigned unless the storage is public.

        :param parameters: more of a presigned URL's query, e.g. ``response-content-disposition``.
        :param expire: seconds, in place of ``querystring_expire``.
        :param http_method: PUT for a URL that stores the file.
        :raises ConfigError: there is no ``endpoint``, or the account has no key to sign with.
        """
        if not name:
            raise ValueError("A file without a name has no URL.")
        if self.base_url is not None:
            return urljoin(self.base_url, filepath_to_uri(_normal(name)).lstrip("/"))
        key = self._key(name)
        if not self.querystring_auth:
            mounting = get_mounting()
            if self.endpoint is None and not mounting.config.public_endpoint and mounting.at:
                # Served by this very site.
                return f"{mounting.at.rstrip('/')}/{self.bucket}/{filepath_to_uri(key)}"
            return self.client.public_url(self.bucket, key, endpoint=self.endpoint)
        return self.client.presign(
            http_method,
            self.bucket,
            key,
            self.querystring_expire if expire is None else expire,
            endpoint=self.endpoint,
            query=parameters,
        )

    # -- names

    def _key(self, name: str) -> str:
        rest = _normal(name)
        if not rest:
            raise SuspiciousFileOperation(f"The name {name!r} is no file's.")
        return f"{self.prefix}/{rest}" if self.prefix else rest


def _normal(name: str) -> str:
    """A name with its ``.`` and ``..`` resolved; "" for the root.

    :raises SuspiciousFileOperation: it leads out of the storage.
    """
    path = posixpath.normpath(str(name).replace("\\", "/"))
    if path.startswith(("/", "../")) or path == "..":
        raise SuspiciousFileOperation(f"The name {name!r} leads out of the storage.")
    return "" if path == "." else path


def content_type_of(name: str, content: Any = None) -> str | None:
    """What the upload says, else what the name's ending does; None where neither does."""
    said = getattr(content, "content_type", None)
    if said:
        return str(said)
    found, encoding = mimetypes.guess_type(name)
    # Not Content-Encoding: a browser would unpack cats.tar.gz while it saves it.
    return _ENCODED.get(encoding, "application/octet-stream") if encoding else found


def _blocks(content: File[Any]) -> Iterator[bytes]:
    """The content from its beginning; text as UTF-8."""
    for block in content.chunks(BLOCK):
        yield block.encode() if isinstance(block, str) else bytes(block)


class _Read(_File):
    """A file open for reading: seekable, a block in memory at a time."""

    def __init__(self, storage: S3KitStorage, name: str, mode: str) -> None:
        self._storage = storage
        super().__init__(self._opened(name, mode), name)
        self.mode = mode

    def _opened(self, name: str, mode: str) -> Any:
        storage = self._storage
        try:
            reader = storage.client.open(storage.bucket, storage._key(name))
        except errors.NoSuchKey:
            raise storage._missing(name) from None
        self._size = reader.info.size
        return reader if "b" in mode else io.TextIOWrapper(reader, encoding="utf-8")

    @property
    def size(self) -> int:
        """In bytes."""
        return self._size

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Go to the beginning; open what was closed again."""
        mode = mode or self.mode
        if self.closed or mode != self.mode:
            assert self.name is not None
            if "w" in mode:
                return self._storage.open(self.name, mode)
            self.close()
            self.file = self._opened(self.name, mode)
            self.mode = mode
        else:
            self.seek(0)
        return self


class _Written(_File):
    """A file open for writing: it is stored, whole, when it is closed."""

    def __init__(self, storage: S3KitStorage, name: str, mode: str) -> None:
        self._storage = storage
        storage._key(name)
        self._buffer = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        text = "b" not in mode
        self._target: Any = (
            io.TextIOWrapper(self._buffer, encoding="utf-8") if text else self._buffer
        )
        super().__init__(self._target, name)
        self.mode = mode
        self._stored = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        self._target.flush()
        here = self._buffer.tell()
        end = self._buffer.seek(0, io.SEEK_END)
        self._buffer.seek(here)
        return end

    def close(self) -> None:
        """Store what was written."""
        if not self._stored:
            self._stored = True
            try:
                self._target.flush()
                self._buffer.seek(0)
                assert self.name is not None
                self._storage._put(self.name, self._buffer, self, fresh=False)
            finally:
                self._target.close()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Store it, but not where the block has failed."""
        if kind is not None:
            self._stored = True
            self._target.close()
            return
        self.close()
