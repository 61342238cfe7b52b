"""Annotations: named texts of up to 1 MiB that are added to a version after it was stored.

A text may have a MiB and stands in its row: it is written, replaced and removed in one transaction
with its version. Source: Amazon S3 User Guide, "Annotating your objects".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import AnnotationLimitExceeded
from ..errors import NoSuchAnnotation
from ..errors import PreconditionFailed
from ..index import buckets as bucket_rows
from ..index import object_annotations as annotation_rows
from ..index.session import Connection
from ..model import Annotation
from ..model import Bucket
from ..model import Checksum
from ..model import ObjectVersion
from ..signals import object_annotated
from ..wire import checksums
from .backing import Backing
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
_PAGE = 100


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
        return found

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
        key: bytes,
        version_id: str | None,
        name: str,
        text: bytes,
        *,
        etag: str,
        checksum: Checksum | None = None,
        if_match: tuple[str, ...] | None = None,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> tuple[ObjectVersion, Annotation]:
        """Store an annotation in place of the one of the same name; the object stays as it is.

        :param etag: the text's MD5 in hex; ``checksum`` is the text's too.
        :param if_match: ETags of the object, one of which it must have.
        :param seq: the version that is meant, None for whichever is there.
        :raises AnnotationLimitExceeded: the version has 1,000 others.
        :raises PreconditionFailed: the object has another ETag.
        :raises VersionChanged: another version is there than ``seq``.
        """
        annotation = Annotation(name, len(text), etag, self._backing.now(), checksum)

        def work(c: Connection) -> ObjectVersion:
            version = self._locked(c, bucket, key, version_id, seq, if_match)
            is_new = not annotation_rows.exists(c, version.seq, name)
            if is_new and annotation_rows.count(c, version.seq) >= MOST:
                raise AnnotationLimitExceeded(limit=MOST)
            annotation_rows.put(c, version.seq, annotation, text)
            self._record(c, PUT, bucket, version, origin)
            return version

        version = self._backing.index.write(work)
        emit_object(object_annotated, PUT, bucket, version, origin)
        return version, annotation

    def delete(
        self,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        name: str,
        *,
        if_match: tuple[str, ...] | None = None,
        seq: int | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Remove an annotation for good; to remove what is not there is no error.

        :param if_match: as for :meth:`put`, ``seq`` too.
        :raises PreconditionFailed: VersionChanged: as :meth:`put`.
        """
        removed = False

        def work(c: Connection) -> ObjectVersion:
            nonlocal removed
            version = self._locked(c, bucket, key, version_id, seq, if_match)
            removed = annotation_rows.delete(c, version.seq, name)
            if removed:
                self._record(c, DELETED, bucket, version, origin)
            return version

        version = self._backing.index.write(work)
        if removed:
            emit_object(object_annotated, DELETED, bucket, version, origin)
        return version

    def _locked(
        self,
        c: Connection,
        bucket: Bucket,
        key: bytes,
        version_id: str | None,
        seq: int | None,
        if_match: tuple[str, ...] | None,
    ) -> ObjectVersion:
        version = self._objects.lock_version(c, bucket, key, version_id, seq)
        check_unprotected(version.lock, self._backing.now())
        if if_match is not None and version.etag not in if_match and if_match != ("*",):
            raise PreconditionFailed(condition="x-amz-object-if-match")
        return version

    def _record(
        self, c: Connection, event: str, bucket: Bucket, version: ObjectVersion, origin: Origin
    ) -> None:
        present = bucket_rows.get_state(c, bucket.id).present
        self._backing.outbox.record(c, event, bucket, version, origin, present)

    # -- copying

    def copier(
        self, source: ObjectVersion, checksum_algorithm: str | None
    ) -> Callable[[Connection, ObjectVersion, int], None]:
        """What gives a copy of ``source`` its annotations, in the copy's own transaction.

        :param checksum_algorithm: compute this checksum of each; None keeps what they have.
        """

        def copy(c: Connection, target: ObjectVersion, seq: int) -> None:
            if not annotation_rows.copy(c, source.seq, seq):
                # Who has asked found some, so that the source was replaced meanwhile.
                raise VersionChanged(source.key)
            if checksum_algorithm is None:
                return
            after = ""
            while page := annotation_rows.page(c, seq, "", after, _PAGE):
                for annotation in page:
                    self._change(c, seq, annotation, checksum_algorithm)
                after = page[-1].name

        return copy

    def _change(
        self, c: Connection, seq: int, annotation: Annotation, checksum_algorithm: str
    ) -> None:
        if annotation.checksum is not None and annotation.checksum.algorithm == checksum_algorithm:
            return
        found = annotation_rows.get(c, seq, annotation.name)
        assert found is not None, "nobody else sees the new version yet"
        annotation, text = found
        digest = checksums.digest_of(checksum_algorithm, text)
        checksum = Checksum(checksum_algorithm, checksums.encode(digest))
        annotation_rows.change(c, seq, replace(annotation, checksum=checksum), text)


__all__ = ["DELETED", "MOST", "PUT", "Annotations"]
