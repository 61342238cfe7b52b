"""Every stored byte, page by page: what the rows say of it, for those who compare or copy it.

Blobs come in the order of their ids, which is also that of a local folder's shards.
"""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from sqlalchemy import BindParameter
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import case
from sqlalchemy import func
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import union

from s3kit.index.connections import Connection
from s3kit.index.schema import buckets
from s3kit.index.schema import contents
from s3kit.index.schema import object_annotations
from s3kit.index.schema import parts
from s3kit.index.schema import read_checksum
from s3kit.index.schema import read_encryption
from s3kit.index.schema import read_headers
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Checksum
from s3kit.model import Encryption


class BlobFacts(NamedTuple):
    """What the index knows of one blob.

    ``etag`` is the MD5 of its bytes in hex, as it was computed when they came; "" when no version
    has the content. ``content_id`` is the content that the blob belongs to: its own id, or that of
    the upload whose part ``number`` it is. ``size`` is that of the plaintext; ``sealing`` is "" for
    bytes that are not encrypted.
    """

    blob: str
    size: int
    etag: str
    checksum: Checksum | None
    content_id: str
    number: int
    sealing: str = ""
    encryption: Encryption | None = None


class ContentFacts(NamedTuple):
    """A content and what its versions make of it; ``etag`` and ``checksum`` are the oldest's.

    ``parts`` is 0 for one blob. ``versions`` is how many point at it, ``refs`` how many it counts.
    """

    content_id: str
    storage: str
    size: int
    parts: int
    refs: int
    versions: int
    etag: str
    checksum: Checksum | None


class InlineFacts(NamedTuple):
    """A version whose bytes lie in its row; ``inline`` is None where they are missing."""

    seq: int
    bucket: str
    key: bytes
    version_id: str
    size: int
    etag: str
    checksum: Checksum | None
    inline: bytes | None
    encryption: Encryption | None = None


class AnnotationFacts(NamedTuple):
    """An annotation of a version, whose ``encryption`` says how it is sealed if ``sealing`` is set.

    ``name`` is the annotation's own, ``size`` that of its text.
    """

    seq: int
    name: bytes
    bucket: str
    key: bytes
    version_id: str
    size: int
    etag: str
    checksum: Checksum | None
    payload: bytes
    sealing: str = ""
    encryption: Encryption | None = None


_AFTER: BindParameter[str] = bindparam("after")
_BEFORE: BindParameter[str] = bindparam("before")
_STORAGE: BindParameter[str] = bindparam("this_storage")
_MOST: BindParameter[int] = bindparam("most")
_CONTENT: BindParameter[str] = bindparam("this_content")


def _of_oldest(column: Any) -> Any:
    """A column of the oldest version that has the content."""
    return (
        select(column)
        .where(versions.c.content_id == contents.c.id)
        .order_by(versions.c.seq)
        .limit(1)
        .scalar_subquery()
    )


# An upload's row is forgotten some time after its object was made.
_OF_UPLOAD = func.coalesce(
    select(versions.c.encryption)
    .where(versions.c.content_id == parts.c.upload_id)
    .order_by(versions.c.seq)
    .limit(1)
    .scalar_subquery(),
    select(uploads.c.encryption).where(uploads.c.id == parts.c.upload_id).scalar_subquery(),
)
_WHOLE = Statement(
    select(
        contents.c.id,
        contents.c.size,
        _of_oldest(versions.c.etag),
        _of_oldest(versions.c.checksum),
        contents.c.sealing,
        case((contents.c.sealing != "", _of_oldest(versions.c.encryption))),
    )
    .where(
        contents.c.parts == 0,
        contents.c.storage == _STORAGE,
        contents.c.id > _AFTER,
        contents.c.id < _BEFORE,
    )
    .order_by(contents.c.id)
    .limit(_MOST)
)
_PARTS = Statement(
    select(
        parts.c.blob,
        parts.c.size,
        parts.c.etag,
        parts.c.checksum,
        parts.c.upload_id,
        parts.c.number,
        parts.c.sealing,
        case((parts.c.sealing != "", _OF_UPLOAD)),
    )
    .where(parts.c.storage == _STORAGE, parts.c.blob > _AFTER, parts.c.blob < _BEFORE)
    .order_by(parts.c.blob)
    .limit(_MOST)
)
_CONTENT_FACTS = select(
    contents.c.id,
    contents.c.storage,
    contents.c.size,
    contents.c.parts,
    contents.c.refs,
    select(func.count())
    .select_from(versions)
    .where(versions.c.content_id == contents.c.id)
    .scalar_subquery(),
    _of_oldest(versions.c.etag),
    _of_oldest(versions.c.checksum),
)
_CONTENTS = Statement(
    _CONTENT_FACTS.where(contents.c.id > _AFTER).order_by(contents.c.id).limit(_MOST)
)
_ONE_CONTENT = Statement(_CONTENT_FACTS.where(contents.c.id == _CONTENT))
_INLINE = Statement(
    select(
        versions.c.seq,
        buckets.c.name,
        versions.c.key,
        versions.c.version_id,
        versions.c.size,
        versions.c.etag,
        versions.c.checksum,
        versions.c.encryption,
        versions.c.inline,
    )
    .select_from(versions.join(buckets, buckets.c.id == versions.c.bucket_id))
    .where(
        versions.c.seq > bindparam("after_seq"),
        versions.c.content_id.is_(None),
        versions.c.delete_marker == 0,
    )
    .order_by(versions.c.seq)
    .limit(_MOST)
)
_ANNOTATIONS = Statement(
    select(
        object_annotations.c.seq,
        object_annotations.c.name,
        buckets.c.name,
        versions.c.key,
        versions.c.version_id,
        object_annotations.c.size,
        object_annotations.c.etag,
        object_annotations.c.checksum,
        object_annotations.c.payload,
        object_annotations.c.headers,
        versions.c.encryption,
    )
    .select_from(
        object_annotations.join(versions, versions.c.seq == object_annotations.c.seq).join(
            buckets, buckets.c.id == versions.c.bucket_id
        )
    )
    .where(
        or_(
            object_annotations.c.seq > bindparam("after_seq"),
            and_(
                object_annotations.c.seq == bindparam("after_seq"),
                object_annotations.c.name > bindparam("after_name"),
            ),
        )
    )
    .order_by(object_annotations.c.seq, object_annotations.c.name)
    .limit(_MOST)
)
_ANNOTATION_BYTES = Statement(select(func.count(), func.sum(object_annotations.c.size)))
_STORAGES = Statement(
    union(select(contents.c.storage).where(contents.c.parts == 0), select(parts.c.storage))
)
_WHOLE_BYTES = Statement(
    select(func.count(), func.sum(contents.c.size)).where(
        contents.c.parts == 0, contents.c.storage == _STORAGE
    )
)
_PART_BYTES = Statement(
    select(func.count(), func.sum(parts.c.size)).where(parts.c.storage == _STORAGE)
)
_INLINE_BYTES = Statement(
    select(func.count(), func.sum(versions.c.size)).where(
        versions.c.content_id.is_(None), versions.c.delete_marker == 0
    )
)
_STORAGE_OF_CONTENT = Statement(
    select(contents.c.storage).where(contents.c.id == _CONTENT, contents.c.parts == 0)
)
_STORAGE_OF_PART = Statement(
    select(parts.c.storage).where(parts.c.blob == bindparam("this_blob")).limit(1)
)
_VERSIONS_OF = Statement(
    select(buckets.c.name, versions.c.key, versions.c.version_id)
    .select_from(versions.join(buckets, buckets.c.id == versions.c.bucket_id))
    .where(versions.c.content_id == _CONTENT)
    .order_by(versions.c.seq)
    .limit(_MOST)
)
_UPLOAD_OF = Statement(
    select(buckets.c.name, uploads.c.key)
    .select_from(uploads.join(buckets, buckets.c.id == uploads.c.bucket_id))
    .where(uploads.c.id == _CONTENT, uploads.c.completed == 0)
)

LAST = "g"
"""Above every blob id: they are hex digits."""


def storages(connection: Connection) -> list[str]:
    """The names of all storages on which blobs are said to lie."""
    return sorted(row[0] for row in connection.all(_STORAGES, {}))


def totals(connection: Connection, storage: str) -> tuple[int, int]:
    """How many blobs should lie on a storage, and their bytes."""
    found = [
        connection.one(each, {"this_storage": storage}) for each in (_WHOLE_BYTES, _PART_BYTES)
    ]
    # MariaDB and PostgreSQL add up to a Decimal.
    return (
        sum(int(row[0]) for row in found if row),
        sum(int(row[1] or 0) for row in found if row),
    )


def inline_totals(connection: Connection) -> tuple[int, int]:
    """How many versions lie in the index itself, and their bytes."""
    row = connection.one(_INLINE_BYTES, {})
    assert row is not None
    return int(row[0]), int(row[1] or 0)


def annotation_totals(connection: Connection) -> tuple[int, int]:
    """How many annotations there are, and the bytes of their texts."""
    row = connection.one(_ANNOTATION_BYTES, {})
    assert row is not None
    return int(row[0]), int(row[1] or 0)


def annotation_page(
    connection: Connection, after: tuple[int, bytes], limit: int
) -> list[AnnotationFacts]:
    """Up to ``limit`` annotations of all versions, in the order of ``seq`` and name."""
    seq, name = after
    rows = connection.all(_ANNOTATIONS, {"after_seq": seq, "after_name": name, "most": limit})
    return [
        AnnotationFacts(
            *(row[0], row[1], row[2], row[3], row[4], row[5], row[6]),
            *(read_checksum(row[7]), bytes(row[8])),
            *(read_headers(row[9]).get("sealing", ""), read_encryption(row[10])),
        )
        for row in rows
    ]


def whole_blobs(
    connection: Connection, storage: str, after: str, before: str, limit: int
) -> list[BlobFacts]:
    """Up to ``limit`` blobs that are a content each, ids between the two, in order."""
    values = {"this_storage": storage, "after": after, "before": before, "most": limit}
    return [
        BlobFacts(
            *(blob, size, etag or "", read_checksum(checksum or ""), blob, 0),
            *(sealing, read_encryption(encryption)),
        )
        for blob, size, etag, checksum, sealing, encryption in connection.all(_WHOLE, values)
    ]


def part_blobs(
    connection: Connection, storage: str, after: str, before: str, limit: int
) -> list[BlobFacts]:
    """Up to ``limit`` blobs that are parts, of objects or of open uploads, in order."""
    values = {"this_storage": storage, "after": after, "before": before, "most": limit}
    return [
        BlobFacts(
            *(blob, size, etag, read_checksum(checksum), content_id, number),
            *(sealing, read_encryption(encryption)),
        )
        for blob, size, etag, checksum, content_id, number, sealing, encryption in connection.all(
            _PARTS, values
        )
    ]


def content_page(connection: Connection, after: str, limit: int) -> list[ContentFacts]:
    """Up to ``limit`` contents with ids above ``after``, in order."""
    return [_content(row) for row in connection.all(_CONTENTS, {"after": after, "most": limit})]


def content_facts(connection: Connection, content_id: str) -> ContentFacts | None:
    """What is known of one content by now."""
    row = connection.one(_ONE_CONTENT, {"this_content": content_id})
    return None if row is None else _content(row)


def _content(row: Row) -> ContentFacts:
    content_id, storage, size, count, refs, used, etag, checksum = row
    return ContentFacts(
        content_id, storage, size, count, refs, int(used), etag or "", read_checksum(checksum or "")
    )


def inline_page(connection: Connection, after: int, limit: int) -> list[InlineFacts]:
    """Up to ``limit`` versions that have no content, with ``seq`` above ``after``, in order."""
    return [
        InlineFacts(
            *(seq, bucket, key, version_id, size, etag, read_checksum(checksum)),
            *(inline, read_encryption(encryption)),
        )
        for (
            seq,
            bucket,
            key,
            version_id,
            size,
            etag,
            checksum,
            encryption,
            inline,
        ) in connection.all(_INLINE, {"after_seq": after, "most": limit})
    ]


def storage_of(connection: Connection, blob: str) -> str | None:
    """Where a blob lies by now; None when no version, part or upload needs it any more."""
    row = connection.one(_STORAGE_OF_CONTENT, {"this_content": blob})
    row = row or connection.one(_STORAGE_OF_PART, {"this_blob": blob})
    return None if row is None else str(row[0])


def users_of(
    connection: Connection, content_id: str, limit: int
) -> list[tuple[str, bytes, str | None]]:
    """(bucket, key, version id) of up to ``limit`` versions of a content, the oldest first.

    For an open upload its bucket and key, and None.
    """
    found: list[tuple[str, bytes, str | None]] = [
        (bucket, key, version_id)
        for bucket, key, version_id in connection.all(
            _VERSIONS_OF, {"this_content": content_id, "most": limit}
        )
    ]
    if not found:
        row = connection.one(_UPLOAD_OF, {"this_content": content_id})
        if row is not None:
            found.append((row[0], row[1], None))
    return found
