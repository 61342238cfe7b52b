"""Object versions: the visible one of a key, any one of them, writing and removing.

A key's versions are ordered by ``seq``, which is the order of commits: a writer first takes the
key's lock (:func:`lock_current`), then a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import ColumnElement
from sqlalchemy import Select
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import literal
from sqlalchemy import null
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.errors import NoSuchBucket
from s3kit.index import garbage
from s3kit.index.connections import Connection
from s3kit.index.joined import JOINED
from s3kit.index.schema import contents
from s3kit.index.schema import current
from s3kit.index.schema import garbage as garbage_table
from s3kit.index.schema import is_word
from s3kit.index.schema import parts
from s3kit.index.schema import read_acl
from s3kit.index.schema import read_checksum
from s3kit.index.schema import read_encryption
from s3kit.index.schema import read_headers
from s3kit.index.schema import read_lock
from s3kit.index.schema import read_tags
from s3kit.index.schema import versions
from s3kit.index.schema import write_acl
from s3kit.index.schema import write_checksum
from s3kit.index.schema import write_encryption
from s3kit.index.schema import write_headers
from s3kit.index.schema import write_lock
from s3kit.index.schema import write_tags
from s3kit.index.statements import Parameters
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import NO_LOCK
from s3kit.model import Acl
from s3kit.model import Content
from s3kit.model import Encryption
from s3kit.model import ObjectLock
from s3kit.model import ObjectVersion
from s3kit.model import Part

if TYPE_CHECKING:
    from s3kit.index.session import Index


class ContentGone(Exception):
    """The content that a copy wants to share was released meanwhile: read the source again."""


_BUCKET: BindParameter[int] = bindparam("this_bucket")
_KEY: BindParameter[bytes] = bindparam("this_key")


def _version(inline: bool) -> Select[Any]:
    """The columns in the order in which :func:`_read` takes them."""
    return select(
        versions.c.seq,
        versions.c.version_id,
        versions.c.delete_marker,
        versions.c.size,
        versions.c.etag,
        versions.c.modified,
        versions.c.owner,
        versions.c.headers,
        versions.c.storage_class,
        versions.c.checksum,
        versions.c.acl,
        versions.c.tags,
        versions.c.parts,
        versions.c.content_id,
        contents.c.storage,
        contents.c.size,
        contents.c.parts,
        versions.c.object_lock,
        versions.c.encryption,
        versions.c.replication,
        versions.c.restored_until,
        contents.c.sealing,
        versions.c.inline if inline else null(),
    )


def _current(inline: bool) -> Select[Any]:
    return (
        _version(inline)
        .select_from(
            current.join(versions, versions.c.seq == current.c.seq).outerjoin(
                contents, contents.c.id == versions.c.content_id
            )
        )
        .where(current.c.bucket_id == _BUCKET, current.c.key == _KEY)
    )


def _any(*conditions: ColumnElement[bool], inline: bool) -> Select[Any]:
    return (
        _version(inline)
        .select_from(versions.outerjoin(contents, contents.c.id == versions.c.content_id))
        .where(*conditions)
    )


_OF_KEY = (versions.c.bucket_id == _BUCKET, versions.c.key == _KEY)
_GET_CURRENT = {inline: Statement(_current(inline)) for inline in (True, False)}
_GET_LATEST = {
    inline: Statement(_any(*_OF_KEY, inline=inline).order_by(versions.c.seq.desc()).limit(1))
    for inline in (True, False)
}
_GET_VERSION = {
    inline: Statement(
        _any(*_OF_KEY, versions.c.version_id == bindparam("this_version"), inline=inline)
    )
    for inline in (True, False)
}
_GET_BY_CONTENT = Statement(
    _any(*_OF_KEY, versions.c.content_id == bindparam("this_content"), inline=False)
    .order_by(versions.c.seq)
    .limit(1)
)
_GET_SEQ = Statement(_any(versions.c.seq == bindparam("this_seq"), inline=False))
_LATEST_SEQ = Statement(
    select(versions.c.seq).where(*_OF_KEY).order_by(versions.c.seq.desc()).limit(1)
)

_LOCK = Statement(
    select(current.c.seq)
    .where(current.c.bucket_id == _BUCKET, current.c.key == _KEY)
    .with_for_update()
)
_NOTHING_YET = {
    "bucket_id": _BUCKET,
    "key": _KEY,
    "seq": null(),
    "size": literal(0, BigInteger),
    "etag": literal(""),
    "modified": literal(0, BigInteger),
    "storage_class": literal(""),
    "owner": literal(""),
    "checksum": literal(""),
}
_HOLD_PLACE = Statement(
    insert(current).values(_NOTHING_YET).inline(),
    postgresql=postgresql_insert(current).values(_NOTHING_YET).on_conflict_do_nothing().inline(),
    # Not INSERT IGNORE: that would hide a bucket that is gone, and lock less than we need.
    mysql=mysql_insert(current)
    .values(_NOTHING_YET)
    .on_duplicate_key_update(seq=current.c.seq)
    .inline(),
)
_LEAVE_PLACE = Statement(
    delete(current).where(
        current.c.bucket_id == _BUCKET, current.c.key == _KEY, current.c.seq.is_(None)
    )
)

_NEW_VALUES: dict[str, BindParameter[Any]] = {
    name: bindparam(name)
    for name in (
        "bucket_id",
        "key",
        "version_id",
        "delete_marker",
        "size",
        "etag",
        "modified",
        "owner",
        "headers",
        "storage_class",
        "checksum",
        "acl",
        "tags",
        "parts",
        "content_id",
        "object_lock",
        "encryption",
        "replication",
        "restored_until",
        "inline",
    )
}
_INSERT_VERSION = Statement(
    insert(versions).values(_NEW_VALUES).inline(),
    postgresql=insert(versions).values(_NEW_VALUES).inline().returning(versions.c.seq),
)
_DELETE_VERSION = Statement(delete(versions).where(versions.c.seq == bindparam("this_seq")))

_SHOWN = ("seq", "size", "etag", "modified", "storage_class", "owner", "checksum")
_SHOWN_VALUES: dict[str, BindParameter[Any]] = {name: bindparam(f"new_{name}") for name in _SHOWN}
_SQLITE_SHOW = sqlite_insert(current).values({"bucket_id": _BUCKET, "key": _KEY, **_SHOWN_VALUES})
_SHOW = Statement(
    update(current)
    .where(current.c.bucket_id == _BUCKET, current.c.key == _KEY)
    .values(_SHOWN_VALUES),
    sqlite=_SQLITE_SHOW.on_conflict_do_update(
        index_elements=["bucket_id", "key"],
        set_={name: _SQLITE_SHOW.excluded[name] for name in _SHOWN},
    ).inline(),
)
_SHOW_NEW = Statement(
    insert(current).values({"bucket_id": _BUCKET, "key": _KEY, **_SHOWN_VALUES}).inline()
)
_HIDE = Statement(delete(current).where(current.c.bucket_id == _BUCKET, current.c.key == _KEY))

_INSERT_CONTENT = Statement(
    insert(contents)
    .values(
        id=bindparam("id"),
        storage=bindparam("storage"),
        size=bindparam("size"),
        refs=bindparam("refs"),
        parts=bindparam("parts"),
        sealing=bindparam("sealing"),
    )
    .inline()
)
_CONTENT: BindParameter[str] = bindparam("this_content")
# Not one that has grown since it was read: a version must never reach what was appended later.
_SHARE_CONTENT = Statement(
    update(contents)
    .where(contents.c.id == _CONTENT, contents.c.parts == bindparam("these_parts"))
    .values(refs=contents.c.refs + 1)
)
_DELETE_LAST = Statement(delete(contents).where(contents.c.id == _CONTENT, contents.c.refs == 1))
_UNSHARE = Statement(
    update(contents)
    .where(contents.c.id == _CONTENT, contents.c.refs > 1)
    .values(refs=contents.c.refs - 1)
)
_CONTENT_EXISTS = Statement(select(contents.c.id).where(contents.c.id == _CONTENT))
_PARTS_TO_GARBAGE = Statement(
    insert(garbage_table)
    .from_select(
        ["storage", "blob", "since"],
        select(parts.c.storage, parts.c.blob, bindparam("since", type_=BigInteger)).where(
            parts.c.upload_id == _CONTENT
        ),
    )
    .inline()
)
_DELETE_PARTS = Statement(delete(parts).where(parts.c.upload_id == _CONTENT))

_SET_TAGS = Statement(
    update(versions)
    .where(versions.c.seq == bindparam("this_seq"))
    .values(tags=bindparam("new_tags"))
)
_SET_ACL = Statement(
    update(versions).where(versions.c.seq == bindparam("this_seq")).values(acl=bindparam("new_acl"))
)


def _setter(column: str) -> Statement:
    return Statement(
        update(versions)
        .where(versions.c.seq == bindparam("this_seq"))
        .values({column: bindparam("new_value")})
    )


_SET_LOCK = _setter("object_lock")
_SET_ENCRYPTION = _setter("encryption")
_SET_REPLICATION = _setter("replication")
_SET_RESTORED = _setter("restored_until")
_SET_STORAGE_CLASS = _setter("storage_class")
_SHOW_STORAGE_CLASS = Statement(
    update(current)
    .where(
        current.c.bucket_id == _BUCKET,
        current.c.key == _KEY,
        current.c.seq == bindparam("this_seq"),
    )
    .values(storage_class=bindparam("new_value"))
)

_PART = select(
    parts.c.number,
    parts.c.size,
    parts.c.etag,
    parts.c.modified,
    parts.c.storage,
    parts.c.blob,
    parts.c.offset,
    parts.c.checksum,
    parts.c.sealing,
)
_PARTS_OF = Statement(
    _PART.where(
        parts.c.upload_id == _CONTENT,
        parts.c.offset < bindparam("end"),
        parts.c.offset + parts.c.size > bindparam("start"),
        parts.c.size > 0,
    ).order_by(parts.c.number)
)
_PART_PAGE = Statement(
    _PART.where(parts.c.upload_id == _CONTENT, parts.c.number > bindparam("after"))
    .order_by(parts.c.number)
    .limit(bindparam("most"))
)
_PART_BY_NUMBER = Statement(
    _PART.where(parts.c.upload_id == _CONTENT, parts.c.number == bindparam("this_number"))
)


def _read(bucket_id: int, key: bytes, row: Row, is_latest: bool) -> ObjectVersion:
    (
        seq,
        version_id,
        delete_marker,
        size,
        etag,
        modified,
        owner,
        headers,
        storage_class,
        checksum,
        acl,
        tags,
        part_count,
        content_id,
        storage,
        content_size,
        content_parts,
        lock,
        encryption,
        replication,
        restored_until,
        sealing,
        inline,
    ) = row
    return ObjectVersion(
        bucket_id,
        key,
        size,
        etag,
        modified,
        owner,
        version_id,
        seq,
        delete_marker != 0,
        is_latest,
        read_headers(headers),
        storage_class,
        read_checksum(checksum) if checksum else None,
        read_acl(acl) if acl else None,
        read_tags(tags) if tags else (),
        part_count,
        inline,
        None
        if content_id is None
        else Content(content_id, storage, content_size, content_parts, sealing),
        read_lock(lock) if lock else NO_LOCK,
        read_encryption(encryption) if encryption else None,
        replication,
        restored_until,
    )


def find_current(
    index: Index, bucket_id: int, key: bytes, inline: bool = True
) -> ObjectVersion | None:
    """What :func:`get_current` answers, from the kept rows where they are still true."""
    recent = index.recent
    if recent is None or (JOINED and index.is_joined()):
        return index.read(lambda connection: get_current(connection, bucket_id, key, inline))
    counter = recent.counter_of(bucket_id, key)
    version = recent.find(bucket_id, key, counter, inline)
    if version is None:
        value = recent.value(counter)
        version = index.read(lambda connection: get_current(connection, bucket_id, key, inline))
        if version is not None:
            recent.keep(version, counter, value)
    return version


def get_current(
    connection: Connection, bucket_id: int, key: bytes, inline: bool = True
) -> ObjectVersion | None:
    """The version that a GET without a version id sees; None when there is none.

    :param inline: read the bytes of a small object too.
    """
    row = connection.one(_GET_CURRENT[inline], {"this_bucket": bucket_id, "this_key": key})
    return None if row is None else _read(bucket_id, key, row, True)


def get_latest(
    connection: Connection, bucket_id: int, key: bytes, inline: bool = True
) -> ObjectVersion | None:
    """The newest version, a delete marker included."""
    row = connection.one(_GET_LATEST[inline], {"this_bucket": bucket_id, "this_key": key})
    return None if row is None else _read(bucket_id, key, row, True)


def get_version(
    connection: Connection, bucket_id: int, key: bytes, version_id: str, inline: bool = True
) -> ObjectVersion | None:
    """The version of that id, which may be a delete marker; None when there is none."""
    if not is_word(version_id):
        return None
    parameters = {"this_bucket": bucket_id, "this_key": key, "this_version": version_id}
    row = connection.one(_GET_VERSION[inline], parameters)
    # MySQL takes "a " for "a".
    if row is None or row[1] != version_id:
        return None
    latest = connection.one(_LATEST_SEQ, {"this_bucket": bucket_id, "this_key": key})
    return _read(bucket_id, key, row, latest is None or latest[0] == row[0])


def get_by_content(
    connection: Connection, bucket_id: int, key: bytes, content_id: str
) -> ObjectVersion | None:
    """The key's oldest version with that content, None when there is none."""
    parameters = {"this_bucket": bucket_id, "this_key": key, "this_content": content_id}
    row = connection.one(_GET_BY_CONTENT, parameters)
    if row is None:
        return None
    latest = connection.one(_LATEST_SEQ, {"this_bucket": bucket_id, "this_key": key})
    return _read(bucket_id, key, row, latest is None or latest[0] == row[0])


def lock_current(connection: Connection, bucket_id: int, key: bytes) -> ObjectVersion | None:
    """The visible version without its bytes, the key locked until the end of the transaction.

    To be called before anything is decided on or written to a key. Raises NoSuchBucket when the
    bucket was removed meanwhile.
    """
    connection.written.add((bucket_id, key))
    if connection.family == "sqlite":
        # One transaction writes at a time: the database is the lock.
        return get_current(connection, bucket_id, key, inline=False)
    parameters = {"this_bucket": bucket_id, "this_key": key}
    while True:
        row = connection.one(_LOCK, parameters)
        if row is not None:
            break
        try:
            connection.run(_HOLD_PLACE, parameters)
        except Exception as error:
            if connection.is_integrity_error(error):
                raise NoSuchBucket from error
            raise
        # A place that this transaction does not fill must not stay behind.
        connection.before_commit[bucket_id, key] = (_LEAVE_PLACE, parameters)
    if row[0] is None:
        return None
    # A statement of its own: one that waits for the lock and joins would see versions as of before.
    version = connection.one(_GET_SEQ, {"this_seq": row[0]})
    return None if version is None else _read(bucket_id, key, version, True)


def insert_content(connection: Connection, content: Content, refs: int = 1) -> None:
    """Write the row of a content that ``refs`` versions have, or are about to have."""
    connection.run(
        _INSERT_CONTENT,
        {
            "id": content.id,
            "storage": content.storage,
            "size": content.size,
            "refs": refs,
            "parts": content.parts,
            "sealing": content.sealing,
        },
    )


def put_version(
    connection: Connection,
    version: ObjectVersion,
    *,
    replaces: ObjectVersion | None,
    new_content: bool,
    meanwhile: Callable[[int], object] | None = None,
) -> int:
    """Store a version as its key's newest and return its ``seq``; the key must be locked.

    :param replaces: a version that goes at once: the current one in a bucket without versioning,
        the null version in a suspended one. Its content is released.
    :param new_content: the content is this version's own; else one that others use is shared.
    :param meanwhile: called with the new ``seq`` while what it replaces is still there.
    :raises NoSuchBucket: the bucket was removed meanwhile.
    :raises ContentGone: the content to be shared was released meanwhile.
    """
    bucket_id = version.bucket_id
    key = version.key
    connection.written.add((bucket_id, key))
    content = version.content
    content_id = None
    if content is not None:
        content_id = content.id
        if new_content:
            insert_content(connection, content)
        else:
            shared = {"this_content": content_id, "these_parts": content.parts}
            if connection.run(_SHARE_CONTENT, shared) != 1:
                raise ContentGone(content_id)
    checksum = write_checksum(version.checksum)
    try:
        seq = connection.insert(
            _INSERT_VERSION,
            {
                "bucket_id": bucket_id,
                "key": key,
                "version_id": version.version_id,
                "delete_marker": 1 if version.delete_marker else 0,
                "size": version.size,
                "etag": version.etag,
                "modified": version.modified,
                "owner": version.owner,
                "headers": write_headers(version.headers),
                "storage_class": version.storage_class,
                "checksum": checksum,
                "acl": write_acl(version.acl),
                "tags": write_tags(version.tags),
                "parts": version.parts,
                "content_id": content_id,
                "object_lock": write_lock(version.lock) if version.lock is not NO_LOCK else "",
                "encryption": write_encryption(version.encryption),
                "replication": version.replication,
                "restored_until": version.restored_until,
                "inline": version.inline,
            },
        )
    except Exception as error:
        if connection.is_integrity_error(error):
            raise NoSuchBucket from error
        raise
    if version.delete_marker:
        _hide(connection, bucket_id, key)
    else:
        _show(
            connection,
            {
                "this_bucket": bucket_id,
                "this_key": key,
                "new_seq": seq,
                "new_size": version.size,
                "new_etag": version.etag,
                "new_modified": version.modified,
                "new_storage_class": version.storage_class,
                "new_owner": version.owner,
                "new_checksum": checksum,
            },
        )
    if meanwhile is not None:
        meanwhile(seq)
    if replaces is not None:
        connection.run(_DELETE_VERSION, {"this_seq": replaces.seq})
        if replaces.content is not None:
            release(connection, replaces.content, version.modified)
    return seq


def remove_version(connection: Connection, version: ObjectVersion, now: int | None = None) -> bool:
    """Remove one version; if it was the newest, the one before it becomes the newest.

    The key must be locked. False when the version was gone already.

    :param now: milliseconds, from which its content's grace period counts.
    """
    connection.written.add((version.bucket_id, version.key))
    if connection.run(_DELETE_VERSION, {"this_seq": version.seq}) != 1:
        return False
    if version.content is not None:
        release(connection, version.content, int(time.time() * 1000) if now is None else now)
    bucket_id = version.bucket_id
    key = version.key
    row = connection.one(_GET_LATEST[False], {"this_bucket": bucket_id, "this_key": key})
    if row is None or row[2] != 0:
        _hide(connection, bucket_id, key)
    elif row[0] < version.seq:
        seq, _, _, size, etag, modified, owner, _, storage_class, checksum = row[:10]
        _show(
            connection,
            {
                "this_bucket": bucket_id,
                "this_key": key,
                "new_seq": seq,
                "new_size": size,
                "new_etag": etag,
                "new_modified": modified,
                "new_storage_class": storage_class,
                "new_owner": owner,
                "new_checksum": checksum,
            },
        )
    return True


def _show(connection: Connection, parameters: Parameters) -> None:
    """Make a version the visible one of its key."""
    # Zero only where the caller holds no lock, or after the row was hidden in this transaction.
    if connection.run(_SHOW, parameters) == 0 and connection.family != "sqlite":
        connection.run(_SHOW_NEW, parameters)


def show(connection: Connection, bucket_id: int, key: bytes, version: ObjectVersion) -> None:
    """Make a stored version the one that a locked key shows."""
    _show(
        connection,
        {
            "this_bucket": bucket_id,
            "this_key": key,
            "new_seq": version.seq,
            "new_size": version.size,
            "new_etag": version.etag,
            "new_modified": version.modified,
            "new_storage_class": version.storage_class,
            "new_owner": version.owner,
            "new_checksum": write_checksum(version.checksum),
        },
    )


def hide(connection: Connection, bucket_id: int, key: bytes) -> None:
    """Let a locked key show nothing."""
    _hide(connection, bucket_id, key)


def _hide(connection: Connection, bucket_id: int, key: bytes) -> None:
    connection.run(_HIDE, {"this_bucket": bucket_id, "this_key": key})


def set_tags(connection: Connection, seq: int, tags: tuple[tuple[str, str], ...]) -> bool:
    """Replace a version's tags; False when it is gone. The key must be locked."""
    return connection.run(_SET_TAGS, {"this_seq": seq, "new_tags": write_tags(tags)}) == 1


def set_acl(connection: Connection, seq: int, acl: Acl | None) -> bool:
    """Replace a version's ACL; False when it is gone. The key must be locked."""
    return connection.run(_SET_ACL, {"this_seq": seq, "new_acl": write_acl(acl)}) == 1


def set_lock(connection: Connection, seq: int, lock: ObjectLock) -> bool:
    """Replace a version's lock; False when it is gone. The key must be locked."""
    return connection.run(_SET_LOCK, {"this_seq": seq, "new_value": write_lock(lock)}) == 1


def set_encryption(connection: Connection, seq: int, encryption: Encryption | None) -> bool:
    """Replace how a version is said to be sealed; False when it is gone. The key must be locked."""
    parameters = {"this_seq": seq, "new_value": write_encryption(encryption)}
    return connection.run(_SET_ENCRYPTION, parameters) == 1


def set_replication(connection: Connection, seq: int, status: str) -> bool:
    """Set a version's replication status; False when it is gone. The key must be locked."""
    return connection.run(_SET_REPLICATION, {"this_seq": seq, "new_value": status}) == 1


def set_restored(connection: Connection, seq: int, until: int) -> bool:
    """Set until when (ms) a version is restored; False when it is gone. The key must be locked."""
    return connection.run(_SET_RESTORED, {"this_seq": seq, "new_value": until}) == 1


def set_storage_class(connection: Connection, version: ObjectVersion, storage_class: str) -> bool:
    """Move a version to a storage class, the listings too; False when it is gone.

    The key must be locked.
    """
    parameters = {
        "this_bucket": version.bucket_id,
        "this_key": version.key,
        "this_seq": version.seq,
        "new_value": storage_class,
    }
    if connection.run(_SET_STORAGE_CLASS, {"this_seq": version.seq, "new_value": storage_class}):
        connection.run(_SHOW_STORAGE_CLASS, parameters)
        return True
    return False


def release(connection: Connection, content: Content, now: int) -> None:
    """Give up one reference; with the last one the content's blobs go on the garbage list.

    :param now: milliseconds, from which the grace period counts.
    """
    this = {"this_content": content.id}
    while connection.run(_DELETE_LAST, this) == 0:
        if connection.run(_UNSHARE, this) == 1:
            return
        # Between the two another transaction made two references one, or removed the last.
        if connection.one(_CONTENT_EXISTS, this) is None:
            return
    if content.parts:
        connection.run(_PARTS_TO_GARBAGE, {**this, "since": now})
        connection.run(_DELETE_PARTS, this)
    else:
        garbage.add(connection, content.storage, content.id, now)


def read_part(row: Row) -> Part:
    """A part from its row."""
    number, size, etag, modified, storage, blob, offset, checksum, sealing = row
    return Part(
        number,
        size,
        etag,
        modified,
        storage,
        blob,
        offset,
        read_checksum(checksum) if checksum else None,
        sealing,
    )


def parts_of(connection: Connection, content_id: str, start: int, end: int) -> list[Part]:
    """The parts that hold the bytes from ``start`` up to, not including, ``end``, in order."""
    parameters = {"this_content": content_id, "start": start, "end": end}
    return [read_part(row) for row in connection.all(_PARTS_OF, parameters)]


def part_page(connection: Connection, content_id: str, after: int, limit: int) -> list[Part]:
    """Up to ``limit`` parts with numbers above ``after``, in order."""
    parameters = {"this_content": content_id, "after": after, "most": limit}
    return [read_part(row) for row in connection.all(_PART_PAGE, parameters)]


def part_by_number(connection: Connection, content_id: str, number: int) -> Part | None:
    """The part of that number, or None."""
    row = connection.one(_PART_BY_NUMBER, {"this_content": content_id, "this_number": number})
    return None if row is None else read_part(row)
