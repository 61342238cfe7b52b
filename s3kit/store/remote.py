"""A bucket at another S3 endpoint, as far as replication needs it: presigned requests over HTTP."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Final
from urllib.parse import quote
from urllib.parse import urlencode
from urllib.parse import urlsplit

from ..auth.presigned import presign
from ..model import Encryption
from ..model import Key
from ..model import ObjectLock
from ..model import ObjectVersion
from ..wire.address import aws_quote
from ..wire.encryption import BUCKET_KEY
from ..wire.encryption import KEY_ID
from ..wire.encryption import SSE
from ..wire.headers import sent_headers
from ..wire.locks import write_lock_headers
from ..wire.xml import escape
from .retention import is_retained
from .retention import retained_until

MARK: Final = "x-amz-meta-s3kit-replica-of"
"""The metadata of a replica that tells its source's version id."""
SECONDS: Final = 60.0
LIFE: Final = 3600
"""Seconds that a request's signature lives: it is looked at when the request begins."""
LARGEST: Final = 5 * 1024**3


class RemoteError(Exception):
    """The other endpoint did not do it."""


@dataclass(frozen=True, slots=True)
class Newest:
    """What a key shows there: of which version it is the replica, and whether a marker hides it."""

    replica_of: str = ""
    version_id: str = ""
    marked: bool = False


def lock_headers(lock: ObjectLock, now: int) -> list[tuple[str, str]]:
    """The headers that lock a version elsewhere; a date that is past would be refused there."""
    return write_lock_headers(
        lock,
        retained_until(lock, now),
        retention=is_retained(lock, now),
        legal_hold=bool(lock.legal_hold),
    )


def encryption_headers(encryption: Encryption | None, kms_key_id: str) -> list[tuple[str, str]]:
    """The headers that have a version encrypted elsewhere as it is here."""
    if encryption is None:
        return []
    headers = [(SSE, encryption.algorithm)]
    if encryption.kms_key_id and kms_key_id:
        headers.append((KEY_ID, kms_key_id))
    if encryption.bucket_key:
        headers.append((BUCKET_KEY, "true"))
    return headers


@dataclass(frozen=True, slots=True)
class RemoteBucket:
    """Where a bucket is, and the key that may write to it."""

    endpoint: str
    bucket: str
    key: Key = field(repr=False)
    region: str = "us-east-1"
    largest: int = LARGEST
    encrypts: bool = True
    """What is encrypted here is asked to be so there; else that bucket's default decides."""

    def head(self, key: bytes) -> Newest:
        """What the key shows.

        :raises RemoteError: OSError: nobody can tell.
        """
        status, headers = self._request("HEAD", key)
        if status == 404:
            return Newest(marked=headers.get("x-amz-delete-marker") == "true")
        self._check(status, headers, "HEAD", b"")
        return Newest(headers.get(MARK, ""), headers.get("x-amz-version-id", ""))

    def put(
        self,
        key: bytes,
        version: ObjectVersion,
        storage_class: str,
        blocks: Iterable[bytes],
        *,
        kms_key_id: str = "",
    ) -> None:
        """Store a version's bytes and what belongs to them, ACLs left out.

        What is encrypted is to be so there too: an endpoint that cannot do it has to refuse,
        unless it is left to that endpoint.

        :param kms_key_id: that endpoint's key for what is encrypted with a named key.
        :raises RemoteError: OSError: it is not stored.
        """
        headers = {name.lower(): value for name, value in sent_headers(version.headers)}
        headers[MARK] = version.version_id
        if storage_class != "STANDARD":
            headers["x-amz-storage-class"] = storage_class
        if version.tags:
            headers["x-amz-tagging"] = urlencode(version.tags, quote_via=quote)
        checksum = version.checksum
        if checksum is not None and checksum.type == "FULL_OBJECT":
            headers[f"x-amz-checksum-{checksum.algorithm.lower()}"] = checksum.value
        if len(version.etag) == 32 and version.encryption is None:
            headers["content-md5"] = base64.b64encode(bytes.fromhex(version.etag)).decode()
        if self.encrypts:
            headers.update(encryption_headers(version.encryption, kms_key_id))
        headers.update(lock_headers(version.lock, int(time.time() * 1000)))
        self._do("PUT", key, headers=headers, body=blocks, size=version.size)

    def delete(self, key: bytes) -> None:
        """Hide the key behind a delete marker, where that bucket keeps versions.

        :raises RemoteError: OSError: it is not hidden.
        """
        self._do("DELETE", key)

    def put_tags(self, key: bytes, tags: Iterable[tuple[str, str]], version_id: str) -> None:
        """Replace a version's tags.

        :raises RemoteError: OSError: they are as they were.
        """
        pairs = "".join(
            f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>"
            for name, value in tags
        )
        body = f"<Tagging><TagSet>{pairs}</TagSet></Tagging>".encode()
        query = "tagging" + (f"&versionId={quote(version_id, safe='')}" if version_id else "")
        self._do("PUT", key, query=query, body=(body,), size=len(body))

    def _do(
        self,
        method: str,
        key: bytes,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] = (),
        size: int = 0,
    ) -> None:
        status, answer = self._request(
            method, key, query=query, headers=headers, body=body, size=size
        )
        self._check(status, answer, method, answer.get("", "").encode())

    def _check(self, status: int, headers: Mapping[str, str], method: str, body: bytes) -> None:
        if status >= 300:
            told = body.decode("utf-8", "replace")
            code = told.partition("<Code>")[2].partition("</Code>")[0][:64]
            raise RemoteError(
                f"{method} to bucket {self.bucket!r} at {self.endpoint}: {status} {code}".rstrip()
            )

    def _request(
        self,
        method: str,
        key: bytes,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] = (),
        size: int = 0,
    ) -> tuple[int, dict[str, str]]:
        """One request on a connection of its own; the answer's first bytes are under ``""``.

        Redirects are not followed: the key is this endpoint's alone.
        """
        url = f"{self.endpoint.rstrip('/')}/{self.bucket}/{aws_quote(key)}"
        url += f"?{query}" if query else ""
        signed = dict(headers or {})
        target = presign(method, url, self.key, headers=signed, expires=LIFE, region=self.region)
        parts = urlsplit(target)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
        try:
            # putrequest() takes the target as it is, byte for byte what was signed.
            connection.putrequest(
                method, f"{parts.path}?{parts.query}", skip_host=True, skip_accept_encoding=True
            )
            connection.putheader("Host", parts.netloc)
            for name, value in signed.items():
                connection.putheader(name, value.encode("latin-1"))
            if method == "PUT":
                connection.putheader("Content-Length", str(size))
            connection.endheaders()
            for block in body:
                connection.send(block)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            found[""] = answer.read(4096).decode("utf-8", "replace")
            return answer.status, found
        except http.client.HTTPException as error:
            raise RemoteError(f"{method} at {self.endpoint}: {type(error).__name__}") from error
        finally:
            connection.close()
