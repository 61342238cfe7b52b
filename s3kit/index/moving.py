"""Pointing rows at a blob's copy on another storage: each move is one transaction.

The copy has an id of its own, so that no id is ever used twice: whoever began and was killed, or
was overtaken, left an orphan and nothing else; and two storages that share a place lose nothing.
"""

from __future__ import annotations

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import exists
from sqlalchemy import select
from sqlalchemy import update

from s3kit.errors import NoSuchBucket
from s3kit.index import garbage
from s3kit.index.connections import Connection
from s3kit.index.connections import Retry
from s3kit.index.objects import insert_content
from s3kit.index.objects import lock_current
from s3kit.index.schema import contents
from s3kit.index.schema import garbage as garbage_table
from s3kit.index.schema import parts
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.statements import Statement
from s3kit.model import Content

_CONTENT: BindParameter[str] = bindparam("this_content")
_NEW: BindParameter[str] = bindparam("new_content")
_SOURCE: BindParameter[str] = bindparam("this_storage")
_TARGET: BindParameter[str] = bindparam("new_storage")

_KEYS = Statement(
    select(versions.c.bucket_id, versions.c.key)
    .where(versions.c.content_id == _CONTENT)
    .distinct()
    .order_by(versions.c.bucket_id, versions.c.key)
)
_LOCK_CONTENT = Statement(
    select(
        contents.c.storage, contents.c.size, contents.c.refs, contents.c.parts, contents.c.sealing
    )
    .where(contents.c.id == _CONTENT)
    .with_for_update()
)
_POINT_VERSIONS = Statement(
    update(versions).where(versions.c.content_id == _CONTENT).values(content_id=_NEW)
)
_DELETE_CONTENT = Statement(delete(contents).where(contents.c.id == _CONTENT))

_SHARE_UPLOAD = Statement(
    select(uploads.c.completed).where(uploads.c.id == _CONTENT).with_for_update(read=True)
)
_POINT_PART = Statement(
    update(parts)
    .where(
        parts.c.upload_id == _CONTENT,
        parts.c.number == bindparam("this_number"),
        parts.c.storage == _SOURCE,
        parts.c.blob == bindparam("this_blob"),
    )
    .values(storage=_TARGET, blob=bindparam("new_blob"))
)
_NONE_LEFT = ~exists().where(parts.c.upload_id == contents.c.id, parts.c.storage == _SOURCE)
_SETTLE_ONE = Statement(
    update(contents)
    .where(contents.c.id == _CONTENT, contents.c.storage == _SOURCE, contents.c.parts > 0)
    .where(_NONE_LEFT)
    .values(storage=_TARGET)
)
_SETTLE = Statement(
    update(contents)
    .where(contents.c.storage == _SOURCE, contents.c.parts > 0)
    .where(_NONE_LEFT)
    .values(storage=_TARGET)
)
_NAMED = Statement(
    select(contents.c.id)
    .where(contents.c.storage == _SOURCE)
    .union_all(select(parts.c.blob).where(parts.c.storage == _SOURCE))
    .limit(1)
)
_WASTE = Statement(select(garbage_table.c.blob).where(garbage_table.c.storage == _SOURCE).limit(1))


def move_content(
    connection: Connection, content_id: str, source: str, new_id: str, target: str, now: int
) -> bool:
    """Point a one-blob content, and all versions that share it, at its copy ``new_id``.

    The old blob goes on the garbage list.

    :param now: milliseconds, from which the grace period counts.
    :returns: False when the content is no longer there, or no longer on ``source``.
    """
    this = {"this_content": content_id}
    # Who removes a version has locked its key and then read which content it is to release.
    keys = connection.all(_KEYS, this)
    for bucket_id, key in keys:
        try:
            lock_current(connection, bucket_id, key)
        except NoSuchBucket:
            raise Retry from None
    # From here on nobody can share it.
    row = connection.one(_LOCK_CONTENT, this)
    if row is None or row[0] != source or row[3] != 0:
        return False
    locked = {(bucket_id, bytes(key)) for bucket_id, key in keys}
    if any((each[0], bytes(each[1])) not in locked for each in connection.all(_KEYS, this)):
        raise Retry
    _, size, refs, count, sealing = row
    insert_content(connection, Content(new_id, target, size, count, sealing), refs)
    connection.run(_POINT_VERSIONS, {**this, "new_content": new_id})
    connection.run(_DELETE_CONTENT, this)
    garbage.add(connection, source, content_id, now)
    return True


def move_part(
    connection: Connection,
    content_id: str,
    number: int,
    blob: str,
    source: str,
    new_blob: str,
    target: str,
    now: int,
) -> bool:
    """Point a part, of an object or of an open upload, at its copy ``new_blob``.

    The old blob goes on the garbage list.

    :param content_id: the upload's id, which is also the content's once it is complete.
    :param now: milliseconds, from which the grace period counts.
    :returns: False when the part is no longer there, or another one by now.
    """
    this = {"this_content": content_id}
    # Who removes all parts of an upload or a content has locked the one or the other.
    connection.one(_SHARE_UPLOAD, this)
    content = connection.one(_LOCK_CONTENT, this)
    where = {"this_storage": source, "new_storage": target}
    part = {"this_number": number, "this_blob": blob, "new_blob": new_blob}
    if connection.run(_POINT_PART, {**this, **where, **part}) != 1:
        return False
    garbage.add(connection, source, blob, now)
    if content is not None:
        connection.run(_SETTLE_ONE, {**this, **where})
    return True


def settle(connection: Connection, source: str, target: str) -> int:
    """Objects of parts of which none is on ``source`` are no longer said to be there; how many."""
    return connection.run(_SETTLE, {"this_storage": source, "new_storage": target})


def is_named(connection: Connection, storage: str) -> bool:
    """Whether any object or part still names a storage."""
    return connection.one(_NAMED, {"this_storage": storage}) is not None


def has_garbage(connection: Connection, storage: str) -> bool:
    """Whether blobs of a storage still wait on the garbage list."""
    return connection.one(_WASTE, {"this_storage": storage}) is not None
