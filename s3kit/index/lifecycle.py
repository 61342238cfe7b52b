"""What lifecycle looks at: versions page by page, a version's place in its key, restored copies.

Keys come from the last to the first and a key's versions from the oldest to the newest, which is
the order of the index backwards: what was replaced longest ago goes first, so that nothing that is
still to be judged changes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.index.connections import Connection
from s3kit.index.listing import HIGHEST
from s3kit.index.objects import insert_content
from s3kit.index.schema import buckets
from s3kit.index.schema import current
from s3kit.index.schema import read_tags
from s3kit.index.schema import restores
from s3kit.index.schema import settings
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.index.uploads import insert_parts
from s3kit.model import Content
from s3kit.model import ObjectVersion
from s3kit.model import Part


class WalkedVersion(NamedTuple):
    """A version as a walk meets it."""

    key: bytes
    seq: int
    version_id: str
    delete_marker: bool
    size: int
    modified: int
    storage_class: str
    tags: tuple[tuple[str, str], ...]
    replication: str


class Restored(NamedTuple):
    """An archived version that is readable for a while; ``until`` in milliseconds."""

    seq: int
    bucket: str
    key: bytes
    version_id: str
    until: int


_BUCKET: BindParameter[int] = bindparam("this_bucket")
_KEY: BindParameter[bytes] = bindparam("this_key")
_SEQ: BindParameter[int] = bindparam("this_seq")
_LOW: BindParameter[bytes] = bindparam("low")
_HIGH: BindParameter[bytes] = bindparam("high")
_MOST: BindParameter[int] = bindparam("most")
_CONTENT: BindParameter[str] = bindparam("new_content")

_WITH_SETTING = Statement(
    select(buckets.c.id, buckets.c.name)
    .select_from(settings.join(buckets, buckets.c.id == settings.c.bucket_id))
    .where(settings.c.name == bindparam("this_name"), settings.c.bucket_id > bindparam("after"))
    .order_by(settings.c.bucket_id)
    .limit(_MOST)
)
_WALKED = select(
    versions.c.key,
    versions.c.seq,
    versions.c.version_id,
    versions.c.delete_marker,
    versions.c.size,
    versions.c.modified,
    versions.c.storage_class,
    versions.c.tags,
    versions.c.replication,
)
_WALK = Statement(
    _WALKED.where(versions.c.bucket_id == _BUCKET, versions.c.key >= _LOW, versions.c.key < _HIGH)
    .order_by(versions.c.key.desc(), versions.c.seq)
    .limit(_MOST)
)
_WALK_KEY = Statement(
    _WALKED.where(versions.c.bucket_id == _BUCKET, versions.c.key == _KEY, versions.c.seq > _SEQ)
    .order_by(versions.c.seq)
    .limit(_MOST)
)
_NEWER = Statement(
    select(versions.c.seq, versions.c.modified)
    .where(versions.c.bucket_id == _BUCKET, versions.c.key == _KEY, versions.c.seq > _SEQ)
    .order_by(versions.c.seq)
    .limit(_MOST)
)
_OLDER = Statement(
    select(versions.c.seq)
    .where(versions.c.bucket_id == _BUCKET, versions.c.key == _KEY, versions.c.seq < _SEQ)
    .limit(1)
)
_COUNT = Statement(
    select(func.count()).select_from(versions).where(versions.c.bucket_id == _BUCKET)
)
_OLD_UPLOADS = Statement(
    select(uploads.c.key, uploads.c.id, uploads.c.started)
    .where(
        uploads.c.bucket_id == _BUCKET,
        uploads.c.completed == 0,
        uploads.c.key >= _LOW,
        uploads.c.key < _HIGH,
    )
    .order_by(uploads.c.key, uploads.c.id)
    .limit(_MOST)
)
_LATER_UPLOADS = Statement(
    select(uploads.c.key, uploads.c.id, uploads.c.started)
    .where(
        uploads.c.bucket_id == _BUCKET,
        uploads.c.completed == 0,
        uploads.c.key == _KEY,
        uploads.c.id > bindparam("above"),
    )
    .order_by(uploads.c.id)
    .limit(_MOST)
)
_POINT = Statement(
    update(versions)
    .where(versions.c.seq == _SEQ, versions.c.content_id == bindparam("old_content"))
    .values(content_id=_CONTENT)
)

_RESTORE_VALUES = {"seq": _SEQ, "until": bindparam("new_until")}
_RESTORE = Statement(
    insert(restores).values(_RESTORE_VALUES),
    sqlite=sqlite_insert(restores)
    .values(_RESTORE_VALUES)
    .on_conflict_do_update(index_elements=["seq"], set_={"until": bindparam("new_until")})
    .inline(),
    postgresql=postgresql_insert(restores)
    .values(_RESTORE_VALUES)
    .on_conflict_do_update(index_elements=["seq"], set_={"until": bindparam("new_until")})
    .inline(),
    mysql=mysql_insert(restores)
    .values(_RESTORE_VALUES)
    .on_duplicate_key_update(until=bindparam("new_until"))
    .inline(),
)
_AT_ONCE = 100
_SOME_KEYS: list[BindParameter[bytes]] = [bindparam(f"some{number}") for number in range(_AT_ONCE)]
_SOME_SEQS: list[BindParameter[int]] = [bindparam(f"some{number}") for number in range(_AT_ONCE)]
_RESTORED_KEYS = Statement(
    select(current.c.key, versions.c.restored_until)
    .select_from(current.join(versions, versions.c.seq == current.c.seq))
    .where(
        current.c.bucket_id == _BUCKET,
        current.c.key.in_(_SOME_KEYS),
        versions.c.restored_until > bindparam("now"),
    )
)
_RESTORED_SEQS = Statement(
    select(versions.c.seq, versions.c.restored_until).where(
        versions.c.seq.in_(_SOME_SEQS), versions.c.restored_until > bindparam("now")
    )
)
_FORGET_RESTORE = Statement(delete(restores).where(restores.c.seq == _SEQ))
_OVER = Statement(
    select(
        restores.c.seq,
        buckets.c.name,
        versions.c.key,
        versions.c.version_id,
        versions.c.restored_until,
    )
    .select_from(
        restores.outerjoin(versions, versions.c.seq == restores.c.seq).outerjoin(
            buckets, buckets.c.id == versions.c.bucket_id
        )
    )
    .where(restores.c.until <= bindparam("now"))
    .order_by(restores.c.until, restores.c.seq)
    .limit(_MOST)
)


def buckets_with(
    connection: Connection, setting: str, after: int, limit: int
) -> list[tuple[int, str]]:
    """(id, name) of up to ``limit`` buckets that have a settings document, ids above ``after``."""
    values = {"this_name": setting, "after": after, "most": limit}
    return [(row[0], row[1]) for row in connection.all(_WITH_SETTING, values)]


def walk(
    connection: Connection,
    bucket_id: int,
    low: bytes,
    high: bytes | None,
    after: tuple[bytes, int] | None,
    limit: int,
) -> list[WalkedVersion]:
    """Up to ``limit`` versions of the keys from ``low`` to ``high`` (exclusive), as above.

    :param after: the (key, seq) after which to go on.
    """
    rows: list[Row] = []
    top = HIGHEST if high is None else high
    if after is not None:
        key, seq = after
        top = min(top, key)
        if key >= low and (high is None or key < high):
            values = {"this_bucket": bucket_id, "this_key": key, "this_seq": seq, "most": limit}
            rows = connection.all(_WALK_KEY, values)
    if len(rows) < limit:
        span = {"this_bucket": bucket_id, "low": low, "high": top, "most": limit - len(rows)}
        rows += connection.all(_WALK, span)
    return [
        WalkedVersion(
            bytes(key),
            seq,
            version_id,
            marker != 0,
            size,
            modified,
            storage_class,
            read_tags(tags) if tags else (),
            replication,
        )
        for key, seq, version_id, marker, size, modified, storage_class, tags, replication in rows
    ]


def newer(
    connection: Connection, bucket_id: int, key: bytes, seq: int, most: int
) -> list[tuple[int, int]]:
    """(seq, modified) of up to ``most`` newer versions of a key, the oldest of them first."""
    values = {"this_bucket": bucket_id, "this_key": key, "this_seq": seq, "most": most}
    return [(row[0], row[1]) for row in connection.all(_NEWER, values)]


def has_older(connection: Connection, bucket_id: int, key: bytes, seq: int) -> bool:
    """Whether a key has an older version or delete marker."""
    values = {"this_bucket": bucket_id, "this_key": key, "this_seq": seq}
    return connection.one(_OLDER, values) is not None


def count(connection: Connection, bucket_id: int) -> int:
    """How many versions and delete markers a bucket has."""
    row = connection.one(_COUNT, {"this_bucket": bucket_id})
    return 0 if row is None else int(row[0])


def open_uploads(
    connection: Connection,
    bucket_id: int,
    low: bytes,
    high: bytes | None,
    after: tuple[bytes, str] | None,
    limit: int,
) -> list[tuple[bytes, str, int]]:
    """(key, id, started) of up to ``limit`` unfinished uploads to keys from ``low`` to ``high``.

    :param after: the (key, id) after which to go on.
    """
    rows: list[Row] = []
    if after is not None:
        key, upload_id = after
        values = {"this_bucket": bucket_id, "this_key": key, "above": upload_id, "most": limit}
        rows = connection.all(_LATER_UPLOADS, values)
        low = key + b"\0"
    if len(rows) < limit:
        top = HIGHEST if high is None else high
        span = {"this_bucket": bucket_id, "low": low, "high": top, "most": limit - len(rows)}
        rows += connection.all(_OLD_UPLOADS, span)
    return [(bytes(row[0]), row[1], row[2]) for row in rows]


def point_at(
    connection: Connection,
    version: ObjectVersion,
    content: Content,
    new_parts: list[Part],
) -> bool:
    """Give a version a content of its own, a copy of what it points at; False when it is gone.

    The key must be locked. The old content is still to be released.
    """
    old = version.content
    assert old is not None, "only what lies on a storage can move"
    insert_content(connection, content)
    if new_parts:
        insert_parts(connection, content.id, new_parts)
    values = {"this_seq": version.seq, "old_content": old.id, "new_content": content.id}
    return connection.run(_POINT, values) == 1


def remember_restore(connection: Connection, seq: int, until: int) -> None:
    """Write down when a restored version is to be archived again."""
    connection.run(_RESTORE, {"this_seq": seq, "new_until": until})


def forget_restore(connection: Connection, seq: int) -> None:
    """A version is archived again, or gone."""
    connection.run(_FORGET_RESTORE, {"this_seq": seq})


def restores_over(connection: Connection, now: int, limit: int) -> list[Restored | int]:
    """Up to ``limit`` restored versions whose time is over; the bare seq of one that is gone."""
    rows = connection.all(_OVER, {"now": now, "most": limit})
    return [
        row[0] if row[2] is None else Restored(row[0], row[1], bytes(row[2]), row[3], row[4])
        for row in rows
    ]


def restored_keys(
    connection: Connection, bucket_id: int, keys: Sequence[bytes], now: int
) -> dict[bytes, int]:
    """Until when (ms) which of these keys' visible versions are restored."""
    found: dict[bytes, int] = {}
    for some in _hundreds(keys):
        values = {"this_bucket": bucket_id, "now": now, **some}
        for key, until in connection.all(_RESTORED_KEYS, values):
            found[bytes(key)] = until
    return found


def restored_versions(connection: Connection, seqs: Sequence[int], now: int) -> dict[int, int]:
    """Until when (ms) which of these versions are restored, by ``seq``."""
    found: dict[int, int] = {}
    for some in _hundreds(seqs):
        for seq, until in connection.all(_RESTORED_SEQS, {"now": now, **some}):
            found[seq] = until
    return found


def _hundreds(wanted: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Parameters of one statement for any number: the last fills the places that are left."""
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        yield {f"some{number}": some[min(number, len(some) - 1)] for number in range(_AT_ONCE)}
