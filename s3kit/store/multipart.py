"""Multipart uploads: parts are blobs of their own, and completing copies nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..blobs.sealed import Seal
from ..blobs.sealed import SealBroken
from ..errors import BadDigest
from ..errors import EntityTooLarge
from ..errors import EntityTooSmall
from ..errors import InternalError
from ..errors import InvalidPart
from ..errors import InvalidPartOrder
from ..errors import InvalidRequest
from ..errors import NoSuchUpload
from ..errors import S3Error
from ..index import objects as object_rows
from ..index import uploads as upload_rows
from ..index.session import Connection
from ..model import Bucket
from ..model import Checksum
from ..model import Content
from ..model import ObjectVersion
from ..model import Part
from ..model import Upload
from ..signals import before_object_created
from ..signals import object_created
from ..wire import checksums
from ..wire.conditions import Conditions
from ..wire.conditions import check_write
from ..wire.encryption import CustomerKey
from . import quota
from . import versions
from .backing import Backing
from .backing import Body
from .backing import Stored
from .copying import Copying
from .encryption import has_md5
from .events import FROM_PYTHON
from .events import Origin
from .events import ask_object
from .events import emit_object
from .objects import Attributes
from .objects import facts

logger = logging.getLogger("s3kit.store")

EVENT = "s3:ObjectCreated:CompleteMultipartUpload"
FULL_ONLY = frozenset({"CRC64NVME"})
DECLARED_ONLY = frozenset({"SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"})
"""Parts have these only where CreateMultipartUpload has named them."""
COMPOSITE_ONLY = DECLARED_ONLY | {"SHA1", "SHA256"}


@dataclass(frozen=True, slots=True)
class WantedPart:
    """One line of a CompleteMultipartUpload document; ``checksums`` by algorithm, base64."""

    number: int
    etag: str
    checksums: tuple[tuple[str, str], ...] = ()


def checksum_type_for(algorithm: str | None, wanted: str | None) -> str | None:
    """The checksum type of an upload: the declared one if it fits, else the algorithm's default.

    :raises InvalidRequest: the type does not exist for this algorithm.
    Source: Amazon S3 User Guide, "Checking object integrity", table of checksum types.
    """
    if algorithm is None:
        if wanted is not None:
            raise InvalidRequest(
                "The x-amz-checksum-type header can only be used with the "
                "x-amz-checksum-algorithm header."
            )
        return None
    default = "FULL_OBJECT" if algorithm in FULL_ONLY else "COMPOSITE"
    if wanted is None:
        return default
    if wanted not in ("COMPOSITE", "FULL_OBJECT"):
        raise InvalidRequest("Value for x-amz-checksum-type header is invalid.")
    if (wanted == "COMPOSITE" and algorithm in FULL_ONLY) or (
        wanted == "FULL_OBJECT" and algorithm in COMPOSITE_ONLY
    ):
        raise InvalidRequest(
            f"The {wanted} checksum type cannot be used with the {algorithm.lower()} "
            "checksum algorithm."
        )
    return wanted


class Multipart:
    """Multipart uploads of one Store."""

    __slots__ = ("_backing", "_copying")

    def __init__(self, backing: Backing, copying: Copying) -> None:
        self._backing = backing
        self._copying = copying

    def create(
        self,
        bucket: Bucket,
        key: bytes,
        attributes: Attributes,
        *,
        checksum_algorithm: str | None = None,
        checksum_type: str | None = None,
        initiator: str = "",
    ) -> Upload:
        """Begin an upload. Its parts are encrypted with keys that it gets now."""
        now = self._backing.now()
        sealing = self._backing.encryptions.sealing_for(bucket, attributes.wanted)
        upload = Upload(
            id=upload_rows.new_id(now),
            bucket_id=bucket.id,
            key=key,
            started=now,
            initiator=initiator or attributes.owner,
            owner=attributes.owner,
            headers=attributes.headers,
            storage_class=attributes.storage_class,
            acl=attributes.acl,
            tags=attributes.tags,
            checksum_algorithm=checksum_algorithm,
            checksum_type=checksum_type_for(checksum_algorithm, checksum_type),
            lock=attributes.lock,
            encryption=None if sealing is None else sealing.encryption,
        )
        self._backing.index.write(lambda c: upload_rows.create(c, upload))
        return upload

    def get(self, bucket: Bucket, key: bytes, upload_id: str) -> Upload:
        """An upload in progress.

        :raises NoSuchUpload: it never was, or is aborted or complete.
        """
        upload = self._find(bucket, key, upload_id)
        if upload is None or upload.completed_etag is not None:
            raise NoSuchUpload(upload_id=upload_id)
        return upload

    def check_known(self, bucket: Bucket, key: bytes, upload_id: str) -> None:
        """Refuse an upload id that is neither in progress nor lately completed.

        :raises NoSuchUpload:
        """
        if self._find(bucket, key, upload_id) is None:
            raise NoSuchUpload(upload_id=upload_id)

    def _find(self, bucket: Bucket, key: bytes, upload_id: str) -> Upload | None:
        return self._backing.index.read(lambda c: upload_rows.get(c, bucket.id, key, upload_id))

    def put_part(
        self,
        bucket: Bucket,
        upload: Upload,
        number: int,
        body: Body,
        *,
        customer_key: CustomerKey | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> Part:
        """Store one part; a part of the same number is replaced.

        :param customer_key: that with which the upload was begun, if it was with one.
        :raises QuotaExceeded: the bucket's account, or the caller's key, may not store so much.
        :raises NoSuchUpload: the upload was aborted or completed meanwhile (FB-06).
        :raises InvalidRequest: the customer's key is missing, another, or not asked for.
        """
        if quota.is_concerned(bucket, origin):
            self._backing.quota.expect_part(bucket, upload.id, number, body.length, origin)
        seal = self._seal(upload, customer_key)
        storage = self._backing.storage_for(bucket.name, upload.storage_class)
        md5 = has_md5(upload.encryption)
        stored = self._backing.receive(storage, body, inline=False, seal=seal, md5=md5)
        return self._commit_part(upload, number, stored, origin)

    def _seal(self, upload: Upload, customer_key: CustomerKey | None) -> Seal | None:
        """How a new part is sealed."""
        encryptions = self._backing.encryptions
        try:
            sealing = encryptions.open_upload(upload.encryption, customer_key)
        except SealBroken as error:
            logger.error("Upload %s cannot be encrypted: %s.", upload.id, error)
            raise InternalError() from None
        return None if sealing is None else sealing.for_part()

    def copy_part(
        self,
        source: ObjectVersion,
        start: int,
        end: int,
        bucket: Bucket,
        upload: Upload,
        number: int,
        *,
        source_key: CustomerKey | None = None,
        customer_key: CustomerKey | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> Part:
        """Store bytes ``start`` to ``end`` (exclusive) of another object as a part.

        :param source_key: the customer's key of that object; ``customer_key`` that of the upload.
        """
        if quota.is_concerned(bucket, origin):
            self._backing.quota.expect_part(bucket, upload.id, number, end - start, origin)
        seal = self._seal(upload, customer_key)
        stored = self._copying.receive(
            source,
            start,
            end,
            self._backing.storage_for(bucket.name, upload.storage_class),
            upload.checksum_algorithm or default_checksum_algorithm(),
            inline=False,
            seal=seal,
            md5=has_md5(upload.encryption),
            customer_key=source_key,
        )
        return self._commit_part(upload, number, stored, origin)

    def _commit_part(self, upload: Upload, number: int, stored: Stored, origin: Origin) -> Part:
        content = stored.content
        assert content is not None, "a part is never inline"
        part = Part(
            number=number,
            size=stored.size,
            etag=stored.md5,
            modified=self._backing.now(),
            storage=content.storage,
            blob=content.id,
            checksum=stored.checksum,
            sealing=content.sealing,
        )

        def work(c: Connection) -> None:
            upload_rows.put_part(c, upload.id, part)
            quota.charge(c, origin, part.size)

        try:
            self._backing.index.write(work)
        except S3Error:
            self._backing.discard(stored)
            raise
        return part

    def parts(self, upload: Upload, after: int, limit: int) -> list[Part]:
        """Up to ``limit`` parts of an upload in number order, numbers above ``after``."""
        return self._backing.index.read(lambda c: upload_rows.parts(c, upload.id, after, limit))

    def abort(self, bucket: Bucket, key: bytes, upload_id: str) -> None:
        """End an upload and give its parts up (FB-06).

        :raises NoSuchUpload: it never was, or is aborted or complete.
        """
        self.get(bucket, key, upload_id)
        now = self._backing.now()

        def work(c: Connection) -> None:
            upload = upload_rows.lock(c, upload_id)
            if upload is None or upload.completed_etag is not None:
                raise NoSuchUpload(upload_id=upload_id)
            upload_rows.abort(c, upload_id, now)

        self._backing.index.write(work)

    def complete(
        self,
        bucket: Bucket,
        key: bytes,
        upload_id: str,
        wanted: Sequence[WantedPart],
        *,
        checksum: Checksum | None = None,
        size: int | None = None,
        conditions: Conditions | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Make one object of the listed parts; asked again with the same parts it answers again.

        :param checksum: the whole object's checksum as the client computed it.
        :param size: the whole object's size as the client counted it.
        :raises NoSuchUpload: InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest,
            InvalidRequest and the conditions' errors, as AWS gives them.
        Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
        """
        upload = self._find(bucket, key, upload_id)
        if upload is None:
            raise NoSuchUpload(upload_id=upload_id)
        wanted = in_order(wanted)
        if upload.completed_etag is None and before_object_created.receivers:
            parts = self._all_parts(upload_id)
            version = self._assemble(bucket, upload, parts, wanted, checksum, size)
            ask_object(before_object_created, EVENT, bucket, version, origin)
        now = self._backing.now()
        replaced = repeated = False

        def work(c: Connection) -> ObjectVersion:
            nonlocal replaced, repeated
            upload = upload_rows.lock(c, upload_id)
            if upload is None:
                raise NoSuchUpload(upload_id=upload_id)
            if upload.completed_etag is not None:
                repeated = True
                return self._repeat(c, bucket, upload, wanted)
            parts = upload_rows.parts(c, upload_id, 0, self._backing.profile.max_parts)
            version = self._assemble(bucket, upload, parts, wanted, checksum, size)
            current = object_rows.lock_current(c, bucket.id, key)
            if conditions is not None:
                check_write(conditions, facts(current))
            replaced = current is not None
            content = version.content
            assert content is not None
            upload_rows.complete(c, upload_id, _offsets(parts, wanted), content, version.etag, now)
            state = versions.state_for_write(c, bucket, self._backing.profile)
            # Until now they were counted as parts, also those that are left out.
            quota.count(c, state, -sum(part.size for part in parts))
            version = versions.add_version(c, state, version, current, new_content=True)
            self._backing.outbox.record(
                c, EVENT, bucket, version, origin, state.present, replaced=replaced
            )
            return version

        version = self._backing.index.write(work)
        if not repeated:
            emit_object(object_created, EVENT, bucket, version, origin, replaced=replaced)
        return version

    def _all_parts(self, upload_id: str) -> list[Part]:
        limit = self._backing.profile.max_parts
        return self._backing.index.read(lambda c: upload_rows.parts(c, upload_id, 0, limit))

    def _repeat(
        self, c: Connection, bucket: Bucket, upload: Upload, wanted: Sequence[WantedPart]
    ) -> ObjectVersion:
        """The answer to a Complete whose first answer got lost."""
        etag = checksums.multipart_etag([part.etag for part in wanted])
        if etag != upload.completed_etag:
            raise NoSuchUpload(upload_id=upload.id)
        made = object_rows.get_by_content(c, bucket.id, upload.key, upload.id)
        if made is not None:
            return made
        return ObjectVersion(
            bucket_id=bucket.id,
            key=upload.key,
            size=0,
            etag=etag,
            modified=upload.started,
            owner=upload.owner,
        )

    def _assemble(
        self,
        bucket: Bucket,
        upload: Upload,
        parts: Sequence[Part],
        wanted: Sequence[WantedPart],
        checksum: Checksum | None,
        size: int | None,
    ) -> ObjectVersion:
        chosen = self._chosen(upload, parts, wanted)
        total = sum(part.size for part in chosen)
        if total > self._backing.profile.max_object:
            raise EntityTooLarge(
                proposed_size=total, max_size_allowed=self._backing.profile.max_object
            )
        if size is not None and size != total:
            raise InvalidRequest(
                f"The provided 'x-amz-mp-object-size' header value {size} does not match what "
                f"was computed: {total}"
            )
        whole = _object_checksum(upload.checksum_type, chosen)
        if checksum is not None:
            _check_whole(checksum, whole, upload, chosen)
        if upload.checksum_type == "COMPOSITE":
            for part, asked in zip(chosen, wanted, strict=True):
                if part.checksum is not None and not asked.checksums:
                    raise InvalidRequest(
                        "The upload was created using a "
                        f"{part.checksum.algorithm.lower()} checksum. The complete request must "
                        "include the checksum for each part. It was missing for part "
                        f"{part.number} in the request."
                    )
        etag = checksums.multipart_etag([part.etag for part in chosen])
        storage = self._backing.storage_for(bucket.name, upload.storage_class)
        return ObjectVersion(
            bucket_id=bucket.id,
            key=upload.key,
            size=total,
            etag=etag,
            modified=self._backing.now(),
            owner=upload.owner,
            headers=upload.headers,
            storage_class=upload.storage_class,
            checksum=whole,
            acl=upload.acl,
            tags=upload.tags,
            parts=len(chosen),
            content=Content(upload.id, storage, total, len(chosen)),
            lock=upload.lock,
            encryption=upload.encryption,
        )

    def _chosen(
        self, upload: Upload, parts: Sequence[Part], wanted: Sequence[WantedPart]
    ) -> list[Part]:
        by_number = {part.number: part for part in parts}
        chosen = []
        for asked in wanted:
            part = by_number.get(asked.number)
            if part is None or part.etag != asked.etag.strip('"'):
                raise InvalidPart(
                    upload_id=upload.id, part_number=asked.number, etag=asked.etag.strip('"')
                )
            for algorithm, value in asked.checksums:
                stored = part.checksum
                if stored is None or stored.algorithm != algorithm:
                    raise other_algorithm(None if stored is None else stored.algorithm, algorithm)
                if stored.value != value:
                    raise InvalidPart(upload_id=upload.id, part_number=asked.number, etag=part.etag)
            chosen.append(part)
        least = self._backing.profile.min_part
        for part in chosen[:-1]:
            if part.size < least:
                raise EntityTooSmall(
                    etag=part.etag,
                    min_size_allowed=least,
                    proposed_size=part.size,
                    part_number=part.number,
                )
        return chosen


def default_checksum_algorithm() -> str | None:
    """What AWS computes where a client declares nothing; None where it would be slow."""
    return "CRC64NVME" if checksums.fast_crc64nvme() else None


def in_order(wanted: Sequence[WantedPart]) -> list[WantedPart]:
    """The listed parts; of one that is listed again because it was sent again, the last counts.

    :raises InvalidPartOrder: the numbers do not ascend.
    """
    ordered: list[WantedPart] = []
    last = 0
    for part in wanted:
        if part.number < last:
            raise InvalidPartOrder()
        if part.number == last:
            ordered.pop()
        ordered.append(part)
        last = part.number
    return ordered


def _offsets(parts: Sequence[Part], wanted: Sequence[WantedPart]) -> list[tuple[int, int]]:
    sizes = {part.number: part.size for part in parts}
    offsets = []
    offset = 0
    for asked in wanted:
        offsets.append((asked.number, offset))
        offset += sizes[asked.number]
    return offsets


def _object_checksum(declared_type: str | None, chosen: Sequence[Part]) -> Checksum | None:
    """The whole object's checksum out of its parts', where they all have one of one kind."""
    found = [part.checksum for part in chosen if part.checksum is not None]
    if len(found) != len(chosen) or not found:
        return None
    algorithm = found[0].algorithm
    if any(checksum.algorithm != algorithm for checksum in found):
        return None
    kind = declared_type or checksum_type_for(algorithm, None)
    values = [checksums.decode(algorithm, checksum.value) or b"" for checksum in found]
    if kind == "FULL_OBJECT":
        sizes = [part.size for part in chosen]
        combined = checksums.combine(algorithm, list(zip(values, sizes, strict=True)))
        return Checksum(algorithm, checksums.encode(combined), "FULL_OBJECT")
    return Checksum(algorithm, checksums.composite(algorithm, values), "COMPOSITE")


def _check_whole(
    claimed: Checksum, whole: Checksum | None, upload: Upload, chosen: Sequence[Part]
) -> None:
    """Compare a claimed checksum of the whole object; one that cannot be compared is refused.

    :raises InvalidRequest: the parts have checksums of other algorithms, or none.
    :raises BadDigest: it is another.
    """
    value = claimed.value
    if whole is None or whole.algorithm != claimed.algorithm:
        found = None if whole is None else whole.algorithm
        raise other_algorithm(found, claimed.algorithm)
    right = [whole.value]
    if whole.type == "COMPOSITE":
        if "-" not in value:
            right.append(whole.value.partition("-")[0])
        if upload.checksum_type is None and whole.algorithm not in COMPOSITE_ONLY:
            # Nobody has said of which type it will be, and a CRC of the whole can be had too.
            full = _object_checksum("FULL_OBJECT", chosen)
            assert full is not None, "the parts have given one already"
            right.append(full.value)
    if value not in right:
        raise BadDigest(
            f"The {whole.algorithm.lower()} you specified did not match the calculated checksum."
        )


def other_algorithm(found: str | None, claimed: str) -> InvalidRequest:
    """The error for a checksum of another algorithm than the one that is there."""
    expected = "null" if found is None else found.lower()
    return InvalidRequest(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected}, "
        f"actual checksum Type: {claimed.lower()}"
    )


__all__ = [
    "DECLARED_ONLY",
    "Multipart",
    "WantedPart",
    "checksum_type_for",
    "default_checksum_algorithm",
    "in_order",
    "other_algorithm",
]
