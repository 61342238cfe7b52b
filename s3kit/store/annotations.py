"""Annotations: named texts of up to 1 MiB that are added to a version after it was stored.

A text may have a MiB and stands in its row: it is written, replaced and removed in one transaction
with its version. That of an encrypted object is sealed under the object's own keys. Source: Amazon
S3 User Guide, "Annotating your objects".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace

from ..blobs.sealed import Seal
from ..blobs.sealed import SealBroken
from ..blobs.sealed import open_bytes
from ..blobs.sealed import seal_bytes
from ..errors import AnnotationLimitExceeded
from ..errors import InternalError
from ..errors import InvalidRequest
from ..errors import NoSuchAnnotation
from ..errors import PreconditionFailed
from ..index import buckets as bucket_rows
from ..index import object_annotations as annotation_rows
from ..index.session import Connection
from ..model import Annotation
from ..model import Bucket
from ..model import Checksum
from ..model import Encryption
from ..model import ObjectVersion
from ..signals import object_annotated
from ..wire import checksums
from ..wire.encryption import CUSTOMER
from ..wire.encryption import Wanted
from . import quota
from .backing import Backing
from .encryption import Sealing
from .events import FROM_PYTHON
from .events import Origin
from .events import emit_object
from .objects import Objects
from .objects import VersionChanged
from .retention import check_unprotected

MOST = 1000
"""Annotations of one version."""
PUT = "s3:ObjectAnnotation:Put"
DELETED = "s3:ObjectAnnotation:Delete"
WITH_CUSTOMER_KEY = "Annotations are not supported for objects that are encrypted with SSE-C."
_PAGE = 100
_SEALING = "sealing"

logger = logging.getLogger("s3kit")


class Annotations:
    """Annotations of one Store's versions."""

    __slots__ = ("_backing", "_objects")

    def __init__(self, backing: Backing, objects: Objects) -> None:
        self._backing = backing
        self._objects = objects

    # -- reading

    def get(self, version: ObjectVersion, name: str) -> tuple[Annotation, bytes]:
        """An annotation and its text.

        :raises NoSuchAnnotation: the version has none of that name.
        """
        found = self._backing.index.read(lambda c: annotation_rows.get(c, version.seq, name))
        if found is None:
            raise NoSuchAnnotation(annotation_name=name)
        annotation, stored = found
        return annotation, self._open(self._keys(version.encryption), annotation, stored)

    def page(self, version: ObjectVersion, prefix: str, after: str, limit: int) -> list[Annotation]:
        """Up to ``limit`` annotations in the byte order of their names, above ``after``."""
        return self._backing.index.read(
            lambda c: annotation_rows.page(c, version.seq, prefix, after, limit)
        )

    def has_any(self, version: ObjectVersion) -> bool:
        """Whether the version has annotations."""
        return self._backing.index.read(lambda c: annotation_rows.has_any(c, version.seq))

    # -- writing

    def put(
        self,
        bucket: Bucket,
        version: ObjectVersion,
        name: str,
        text: bytes,
        *,
        etag: str,
        checksum: Checksum | None = None,
        if_match: tuple[str, ...] | None = None,
        version_id: str | None = None,
        bypass: bool = False,
        origin: Origin = FROM_PYTHON,
    ) -> Annotation:
        """Store an annotation in place of the one of the same name; the object stays as it is.

        :param version: whose it will be.
        :param etag: the text's MD5 in hex; ``checksum`` is the text's too.
        :param if_match: ETags of the object, one of which it must have.
        :param version_id: by which the version was found; None for the current one, which it must
            be still.
        :param bypass: the caller asks, and is allowed, to go past a lock's GOVERNANCE.
        :raises AccessDenied: the version is locked, and it has one of that name.
        :raises AnnotationLimitExceeded: the version has 1,000 others.
        :raises InvalidRequest: it is encrypted with a customer's key.
        :raises PreconditionFailed: the object has another ETag.
        :raises QuotaExceeded: the bucket's account, or the caller's key, may not store so much.
        :raises VersionChanged: another version is there.
        """
        stored, sealing = self._seal(self._keys(version.encryption), text)
        annotation = Annotation(name, len(text), etag, self._backing.now(), checksum, sealing)
        outbox = self._backing.outbox

        def work(c: Connection) -> None:
            found = self._lock(c, bucket, version, version_id, if_match)
            if annotation_rows.exists(c, version.seq, name):
                self._check_unprotected(found, bypass)
            elif annotation_rows.count(c, version.seq) >= MOST:
                raise AnnotationLimitExceeded(limit=MOST)
            state = bucket_rows.hold_state(c, bucket.id)
            with quota.counting_annotations(c, state, version.seq):
                annotation_rows.put(c, version.seq, annotation, stored)
            quota.charge(c, origin, annotation.size)
            outbox.record(c, PUT, bucket, version, origin, state.present)

        self._backing.index.write(work)
        emit_object(object_annotated, PUT, bucket, version, origin)
        return annotation

    def delete(
        self,
        bucket: Bucket,
        version: ObjectVersion,
        name: str,
        *,
        if_match: tuple[str, ...] | None = None,
        version_id: str | None = None,
        bypass: bool = False,
        origin: Origin = FROM_PYTHON,
    ) -> None:
        """Remove an annotation for good; to remove what is not there is no error.

        :param version: whose it is; ``if_match``, ``version_id`` and ``bypass`` as for :meth:`put`.
        :raises AccessDenied: the version is locked.
        :raises PreconditionFailed: VersionChanged: as :meth:`put`.
        """
        removed = False
        outbox = self._backing.outbox

        def work(c: Connection) -> None:
            nonlocal removed
            found = self._lock(c, bucket, version, version_id, if_match)
            self._check_unprotected(found, bypass)
            state = bucket_rows.hold_state(c, bucket.id)
            with quota.counting_annotations(c, state, version.seq):
                removed = annotation_rows.delete(c, version.seq, name)
            if removed:
                outbox.record(c, DELETED, bucket, version, origin, state.present)

        self._backing.index.write(work)
        if removed:
            emit_object(object_annotated, DELETED, bucket, version, origin)

    def _lock(
        self,
        c: Connection,
        bucket: Bucket,
        version: ObjectVersion,
        version_id: str | None,
        if_match: tuple[str, ...] | None,
    ) -> ObjectVersion:
        found = self._objects.lock_version(c, bucket, version.key, version_id, version.seq)
        if if_match is not None and found.etag not in if_match and if_match != ("*",):
            raise PreconditionFailed(condition="x-amz-object-if-match")
        return found

    def _check_unprotected(self, version: ObjectVersion, bypass: bool) -> None:
        """Refuse to lose a text of a locked version; to add one takes nothing away.

        :raises AccessDenied:
        """
        now = max(self._backing.now(), version.modified)
        check_unprotected(version.lock, now, bypass=bypass)

    # -- sealing

    def _keys(self, encryption: Encryption | None) -> Sealing | None:
        """The keys of an encrypted object.

        :raises InvalidRequest: they are a customer's.
        """
        if encryption is None:
            return None
        if encryption.algorithm == CUSTOMER:
            raise InvalidRequest(WITH_CUSTOMER_KEY)
        try:
            return self._backing.encryptions.open(encryption)
        except SealBroken as error:
            logger.error("The keys of an object with annotations cannot be opened: %s.", error)
            raise InternalError() from None

    @staticmethod
    def _seal(keys: Sealing | None, text: bytes) -> tuple[bytes, Mapping[str, str]]:
        """What is to be stored, and what the row says of how it is sealed."""
        if keys is None:
            return text, {}
        seal = keys.for_part()
        return seal_bytes(seal, text), {_SEALING: seal.id.hex()}

    @staticmethod
    def _open(keys: Sealing | None, annotation: Annotation, stored: bytes) -> bytes:
        sealed_as = annotation.headers.get(_SEALING)
        if sealed_as is None:
            return stored
        try:
            if keys is None:
                raise SealBroken("its object is not encrypted")
            return open_bytes(Seal(keys.keys, bytes.fromhex(sealed_as)), stored, annotation.size)
        except SealBroken as error:
            logger.error("An annotation cannot be decrypted: %s.", error)
            raise InternalError() from None

    # -- copying

    def copier(
        self,
        source: ObjectVersion,
        checksum_algorithm: str | None = None,
        wanted: Wanted | None = None,
    ) -> Callable[[ObjectVersion], Callable[[Connection, int], None]]:
        """What gives a copy of ``source`` its annotations, in the copy's own transaction.

        Keys are asked for before that begins: their provider may be far away.

        :param checksum_algorithm: compute this checksum of each; None keeps what they have.
        :param wanted: how the copy is to be encrypted.
        :raises InvalidRequest: with a customer's key.
        """
        if wanted is not None and wanted.algorithm == CUSTOMER:
            raise InvalidRequest(WITH_CUSTOMER_KEY)
        source_keys = self._keys(source.encryption)

        def prepare(target: ObjectVersion) -> Callable[[Connection, int], None]:
            keys = source_keys
            as_they_are = checksum_algorithm is None
            if _key_of(target.encryption) != _key_of(source.encryption):
                keys = self._keys(target.encryption)
                as_they_are = False

            def copy(c: Connection, seq: int) -> None:
                if not annotation_rows.copy(c, source.seq, seq):
                    # Who has asked found some, so that the source was replaced meanwhile.
                    raise VersionChanged(source.key)
                after = ""
                while not as_they_are and (page := annotation_rows.page(c, seq, "", after, _PAGE)):
                    for annotation in page:
                        self._change(c, seq, annotation.name, checksum_algorithm, source_keys, keys)
                    after = page[-1].name

            return copy

        return prepare

    def _change(
        self,
        c: Connection,
        seq: int,
        name: str,
        checksum_algorithm: str | None,
        source_keys: Sealing | None,
        keys: Sealing | None,
    ) -> None:
        """Give a copied annotation another checksum, or seal it under other keys."""
        found = annotation_rows.get(c, seq, name)
        assert found is not None, "nobody else sees the new version yet"
        annotation, stored = found
        text = self._open(source_keys, annotation, stored)
        checksum = annotation.checksum
        if checksum_algorithm is not None:
            digest = checksums.digest_of(checksum_algorithm, text)
            checksum = Checksum(checksum_algorithm, checksums.encode(digest))
        stored, sealing = self._seal(keys, text)
        changed = replace(annotation, checksum=checksum, headers=sealing)
        annotation_rows.change(c, seq, changed, stored)


def _key_of(encryption: Encryption | None) -> str:
    return "" if encryption is None else encryption.key


__all__ = ["DELETED", "MOST", "PUT", "Annotations"]
