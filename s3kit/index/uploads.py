"""Multipart uploads and their parts."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import cast
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update

from s3kit.errors import NoSuchBucket
from s3kit.errors import NoSuchUpload
from s3kit.index import garbage
from s3kit.index import usage
from s3kit.index.connections import Connection
from s3kit.index.connections import Retry
from s3kit.index.objects import part_page
from s3kit.index.schema import buckets
from s3kit.index.schema import garbage as garbage_table
from s3kit.index.schema import is_word
from s3kit.index.schema import parts as parts_table
from s3kit.index.schema import read_acl
from s3kit.index.schema import read_encryption
from s3kit.index.schema import read_headers
from s3kit.index.schema import read_lock
from s3kit.index.schema import read_tags
from s3kit.index.schema import uploads
from s3kit.index.schema import write_acl
from s3kit.index.schema import write_checksum
from s3kit.index.schema import write_encryption
from s3kit.index.schema import write_headers
from s3kit.index.schema import write_lock
from s3kit.index.schema import write_tags
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Content
from s3kit.model import Part
from s3kit.model import Setting
from s3kit.model import Upload

_UPLOAD: BindParameter[str] = bindparam("this_upload")
_NUMBER: BindParameter[int] = bindparam("this_number")

_COLUMNS = (
    "id",
    "bucket_id",
    "key",
    "started",
    "initiator",
    "owner",
    "headers",
    "storage_class",
    "acl",
    "tags",
    "checksum_algorithm",
    "checksum_type",
    "completed",
    "completed_etag",
    "object_lock",
    "encryption",
)
_NEW_VALUES: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in _COLUMNS}
_INSERT = Statement(insert(uploads).values(_NEW_VALUES).inline())
_GET = Statement(
    select(*(uploads.c[name] for name in _COLUMNS)).where(
        uploads.c.id == _UPLOAD,
        uploads.c.bucket_id == bindparam("this_bucket"),
        uploads.c.key == bindparam("this_key"),
    )
)
_LOCK = Statement(
    select(*(uploads.c[name] for name in _COLUMNS)).where(uploads.c.id == _UPLOAD).with_for_update()
)
# Many parts arrive at once: shared among them, refused to a Complete or Abort until they are in,
# as it is to whoever begins to limit the bucket's account.
_SHARE = Statement(
    select(uploads.c.completed, buckets.c.present, buckets.c.account)
    .select_from(uploads.join(buckets, buckets.c.id == uploads.c.bucket_id))
    .where(uploads.c.id == _UPLOAD)
    .with_for_update(read=True, key_share=True)
)
_OLD_PART = Statement(
    select(parts_table.c.storage, parts_table.c.blob, parts_table.c.size)
    .where(parts_table.c.upload_id == _UPLOAD, parts_table.c.number == _NUMBER)
    .with_for_update()
)
_PART_VALUES: dict[str, BindParameter[Any]] = {
    name: bindparam(f"new_{name}")
    for name in ("size", "etag", "modified", "storage", "blob", "offset", "checksum", "sealing")
}
_INSERT_PART = Statement(
    insert(parts_table).values({"upload_id": _UPLOAD, "number": _NUMBER, **_PART_VALUES}).inline()
)
_REPLACE_PART = Statement(
    update(parts_table)
    .where(parts_table.c.upload_id == _UPLOAD, parts_table.c.number == _NUMBER)
    .values(_PART_VALUES)
)
_NUMBERS = Statement(select(parts_table.c.number).where(parts_table.c.upload_id == _UPLOAD))
_PART_TO_GARBAGE = Statement(
    insert(garbage_table)
    .from_select(
        ["storage", "blob", "since"],
        select(
            parts_table.c.storage, parts_table.c.blob, bindparam("since", type_=BigInteger)
        ).where(parts_table.c.upload_id == _UPLOAD, parts_table.c.number == _NUMBER),
    )
    .inline()
)
_DELETE_PART = Statement(
    delete(parts_table).where(parts_table.c.upload_id == _UPLOAD, parts_table.c.number == _NUMBER)
)
_PARTS_TO_GARBAGE = Statement(
    insert(garbage_table)
    .from_select(
        ["storage", "blob", "since"],
        select(
            parts_table.c.storage, parts_table.c.blob, bindparam("since", type_=BigInteger)
        ).where(parts_table.c.upload_id == _UPLOAD),
    )
    .inline()
)
_DELETE_PARTS = Statement(delete(parts_table).where(parts_table.c.upload_id == _UPLOAD))
_PLACED = (
    select(
        parts_table.c.number,
        cast(
            func.sum(parts_table.c.size).over(order_by=parts_table.c.number) - parts_table.c.size,
            BigInteger,
        ).label("place"),
    )
    .where(parts_table.c.upload_id == _UPLOAD)
    .subquery("placed")
)
_PLACE_PARTS = Statement(
    update(parts_table)
    .where(parts_table.c.upload_id == _UPLOAD, parts_table.c.number == _PLACED.c.number)
    .values(offset=_PLACED.c.place)
)
_COMPLETE = Statement(
    update(uploads)
    .where(uploads.c.id == _UPLOAD)
    .values(completed=bindparam("now"), completed_etag=bindparam("new_etag"))
)
_DELETE = Statement(delete(uploads).where(uploads.c.id == _UPLOAD))
_FORGET_COMPLETED = Statement(
    delete(uploads).where(uploads.c.completed > 0, uploads.c.completed < bindparam("before"))
)
_begun = itertools.count()


def new_id(now: int) -> str:
    """An unguessable upload id that sorts by time: listings show a key's uploads by their start.

    :param now: milliseconds since the epoch.
    """
    # One process begins several uploads in a millisecond: the count keeps their order.
    return f"{now:012x}{next(_begun) & 0xFFFF:04x}{secrets.token_hex(14)}"


def create(connection: Connection, upload: Upload) -> None:
    """Begin an upload. Raises NoSuchBucket when the bucket was removed meanwhile."""
    try:
        connection.run(
            _INSERT,
            {
                "id": upload.id,
                "bucket_id": upload.bucket_id,
                "key": upload.key,
                "started": upload.started,
                "initiator": upload.initiator,
                "owner": upload.owner,
                "headers": write_headers(upload.headers),
                "storage_class": upload.storage_class,
                "acl": write_acl(upload.acl),
                "tags": write_tags(upload.tags),
                "checksum_algorithm": upload.checksum_algorithm,
                "checksum_type": upload.checksum_type,
                "completed": 0,
                "completed_etag": None,
                "object_lock": write_lock(upload.lock),
                "encryption": write_encryption(upload.encryption),
            },
        )
    except Exception as error:
        if connection.is_integrity_error(error):
            raise NoSuchBucket from error
        raise


def _read(row: Row) -> Upload:
    return Upload(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        read_headers(row[6]),
        row[7],
        read_acl(row[8]),
        read_tags(row[9]),
        row[10],
        row[11],
        row[13],
        read_lock(row[14]),
        read_encryption(row[15]),
    )


def get(connection: Connection, bucket_id: int, key: bytes, upload_id: str) -> Upload | None:
    """The upload of that id to that key, or None. ``completed_etag`` is set on a completed one."""
    if not is_word(upload_id):
        return None
    parameters = {"this_upload": upload_id, "this_bucket": bucket_id, "this_key": key}
    row = connection.one(_GET, parameters)
    # MySQL takes "a " for "a".
    return None if row is None or row[0] != upload_id else _read(row)


def lock(connection: Connection, upload_id: str) -> Upload | None:
    """The upload, held until the end of the transaction: no part arrives, nobody else ends it."""
    row = connection.one(_LOCK, {"this_upload": upload_id}) if is_word(upload_id) else None
    return None if row is None else _read(row)


def _values(upload_id: str, part: Part) -> dict[str, Any]:
    return {
        "this_upload": upload_id,
        "this_number": part.number,
        "new_size": part.size,
        "new_etag": part.etag,
        "new_modified": part.modified,
        "new_storage": part.storage,
        "new_blob": part.blob,
        "new_offset": part.offset,
        "new_checksum": write_checksum(part.checksum),
        "new_sealing": part.sealing,
    }


def insert_parts(connection: Connection, content_id: str, parts: Iterable[Part]) -> None:
    """Write parts of a content, their offsets included.

    The content's own row comes with :func:`s3kit.index.objects.put_version` or ``insert_content``.
    """
    connection.run_many(_INSERT_PART, [_values(content_id, part) for part in parts])


def put_part(connection: Connection, upload_id: str, part: Part) -> None:
    """Store a part; the blob of a part of that number that was there goes on the garbage list.

    Raises NoSuchUpload when the upload was completed or aborted meanwhile.
    """
    this = {"this_upload": upload_id}
    open_upload = connection.one(_SHARE, this)
    if open_upload is None or open_upload[0] != 0:
        raise NoSuchUpload(upload_id=upload_id)
    parameters = _values(upload_id, part)
    old = connection.one(_OLD_PART, {"this_upload": upload_id, "this_number": part.number})
    if open_upload[1] & Setting.LIMITED:
        usage.count(connection, open_upload[2], part.size - (0 if old is None else old[2]))
    if old is not None:
        garbage.add(connection, old[0], old[1], part.modified)
        connection.run(_REPLACE_PART, parameters)
        return
    try:
        connection.run(_INSERT_PART, parameters)
    except Exception as error:
        if connection.is_integrity_error(error):
            # The same number from another client at this moment: the later one replaces it.
            raise Retry from error
        raise


def parts(
    connection: Connection, upload_id: str, after: int = 0, limit: int = 10_000
) -> list[Part]:
    """Up to ``limit`` parts with numbers above ``after``, in order."""
    return part_page(connection, upload_id, after, limit)


def complete(
    connection: Connection,
    upload_id: str,
    listed: Iterable[tuple[int, int]],
    content: Content,
    completed_etag: str,
    now: int,
) -> None:
    """Close a locked upload: its listed parts become the content whose id is the upload's.

    The other parts go on the garbage list. The content's own row comes with
    :func:`s3kit.index.objects.put_version`.

    :param listed: (number, offset); the offsets are those that the order of the numbers gives,
        which one statement sets for all of them.
    :param now: milliseconds.
    """
    if content.id != upload_id:
        raise ValueError(f"parts of upload {upload_id} cannot become content {content.id}")
    this = {"this_upload": upload_id}
    wanted = {number for number, _ in listed}
    left_out = [
        {**this, "this_number": row[0], "since": now}
        for row in connection.all(_NUMBERS, this)
        if row[0] not in wanted
    ]
    if left_out:
        connection.run_many(_PART_TO_GARBAGE, left_out)
        connection.run_many(_DELETE_PART, left_out)
    connection.run(_PLACE_PARTS, this)
    connection.run(_COMPLETE, {**this, "now": now, "new_etag": completed_etag})


def abort(connection: Connection, upload_id: str, now: int) -> None:
    """End a locked upload: it is gone, and its parts go on the garbage list."""
    this = {"this_upload": upload_id}
    row = connection.one(_SHARE, this)
    if row is not None and row[1] & Setting.LIMITED:
        usage.count(connection, row[2], -usage.of_upload(connection, upload_id))
    connection.run(_PARTS_TO_GARBAGE, {**this, "since": now})
    connection.run(_DELETE_PARTS, this)
    connection.run(_DELETE, this)


def forget_completed(connection: Connection, before: int) -> int:
    """Forget uploads completed before ``before`` (ms); returns how many. Their objects stay."""
    return connection.run(_FORGET_COMPLETED, {"before": before})
