"""A bucket's documents by name, as bytes: CORS rules, policy, lifecycle and their like.

Some come in groups of many, each member under an id that a client has chosen.
"""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.errors import NoSuchBucket
from s3kit.index.connections import RULES
from s3kit.index.connections import Connection
from s3kit.index.schema import buckets
from s3kit.index.schema import settings
from s3kit.index.statements import Statement
from s3kit.model import all_bits_of
from s3kit.model import bits_of

_BUCKET: BindParameter[int] = bindparam("this_bucket")
_NAME: BindParameter[str] = bindparam("this_name")
_DOCUMENT: BindParameter[bytes] = bindparam("new_document")
_THIS = (settings.c.bucket_id == _BUCKET, settings.c.name == _NAME)
_VALUES = {"bucket_id": _BUCKET, "name": _NAME, "document": _DOCUMENT}

_GET = Statement(select(settings.c.document).where(*_THIS))
_PUT = Statement(
    insert(settings).values(_VALUES),
    sqlite=sqlite_insert(settings)
    .values(_VALUES)
    .on_conflict_do_update(index_elements=["bucket_id", "name"], set_={"document": _DOCUMENT})
    .inline(),
    postgresql=postgresql_insert(settings)
    .values(_VALUES)
    .on_conflict_do_update(index_elements=["bucket_id", "name"], set_={"document": _DOCUMENT})
    .inline(),
    mysql=mysql_insert(settings)
    .values(_VALUES)
    .on_duplicate_key_update(document=_DOCUMENT)
    .inline(),
)
_DELETE = Statement(sql_delete(settings).where(*_THIS))
# Not against those who refer to the bucket: PUTs of objects go on.
_LOCK = Statement(
    select(buckets.c.id).where(buckets.c.id == _BUCKET).with_for_update(key_share=True)
)
_BITS: BindParameter[int] = bindparam("bits", type_=BigInteger)
_KEPT: BindParameter[int] = bindparam("kept", type_=BigInteger)
_SET_BITS = Statement(
    update(buckets)
    .where(buckets.c.id == _BUCKET)
    .values(present=buckets.c.present.op("&")(_KEPT).op("|")(_BITS))
)
_KEEP_BITS = Statement(
    update(buckets).where(buckets.c.id == _BUCKET).values(present=buckets.c.present.op("&")(_KEPT))
)
_ALL_BITS = 2**62 - 1
_AFTER: BindParameter[str] = bindparam("after")
_PAST: BindParameter[str] = bindparam("past")
_GROUP = (settings.c.bucket_id == _BUCKET, settings.c.name > _AFTER, settings.c.name < _PAST)
_COUNT = Statement(select(func.count()).select_from(settings).where(*_GROUP))
_PAGE = Statement(
    select(settings.c.document).where(*_GROUP).order_by(settings.c.name).limit(bindparam("most"))
)
_LONGEST_NAME = 64


def get(connection: Connection, bucket_id: int, name: str) -> bytes | None:
    """The document of that name, or None."""
    row = connection.one(_GET, {"this_bucket": bucket_id, "this_name": name})
    return None if row is None else bytes(row[0])


def put(connection: Connection, bucket_id: int, name: str, document: bytes) -> None:
    """Store a document in place of the one before. Raises NoSuchBucket."""
    connection.written.add(RULES)
    bits = bits_of(name, document)
    if bits:
        # The bucket's row first: who holds it shared and then wants it alone meets his like.
        kept = _ALL_BITS & ~all_bits_of(name)
        connection.run(_SET_BITS, {"this_bucket": bucket_id, "bits": bits, "kept": kept})
    try:
        connection.run(
            _PUT, {"this_bucket": bucket_id, "this_name": name, "new_document": document}
        )
    except Exception as error:
        if connection.is_integrity_error(error):
            raise NoSuchBucket from error
        raise


def delete(connection: Connection, bucket_id: int, name: str) -> bool:
    """Remove a document; False when there was none."""
    connection.written.add(RULES)
    bits = all_bits_of(name)
    if bits:
        connection.run(_KEEP_BITS, {"this_bucket": bucket_id, "kept": _ALL_BITS & ~bits})
    return connection.run(_DELETE, {"this_bucket": bucket_id, "this_name": name}) == 1


def member_name(group: str, member: str) -> str:
    """The name of a group's member: in its order, and cut where the column is too narrow.

    :param member: of letters, digits and ``. - _``, after which the ``~`` of a cut one comes.
    """
    name = f"{group}/{member}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = sha256(member.encode()).hexdigest()[:24]
    return f"{name[: _LONGEST_NAME - 1 - len(digest)]}~{digest}"


def put_member(
    connection: Connection, bucket_id: int, group: str, member: str, document: bytes, most: int
) -> bool:
    """Store a group's member; False where the group has ``most`` others already.

    :raises NoSuchBucket: the bucket is gone.
    """
    if connection.one(_LOCK, {"this_bucket": bucket_id}) is None:
        raise NoSuchBucket
    name = member_name(group, member)
    if get(connection, bucket_id, name) is None:
        row = connection.one(_COUNT, {"this_bucket": bucket_id, **_bounds(group)})
        assert row is not None
        if row[0] >= most:
            return False
    put(connection, bucket_id, name, document)
    return True


def members(
    connection: Connection, bucket_id: int, group: str, after: str, limit: int
) -> list[bytes]:
    """Up to ``limit`` documents of a group, by member, after the member ``after``."""
    parameters = {"this_bucket": bucket_id, "most": limit, **_bounds(group, after)}
    return [bytes(row[0]) for row in connection.all(_PAGE, parameters)]


def _bounds(group: str, after: str = "") -> dict[str, str]:
    # The slash is followed by the zero.
    return {"after": member_name(group, after), "past": f"{group}0"}
