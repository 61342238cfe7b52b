"""Buckets: found by name, made, changed, removed, listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy import BindParameter
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update

from s3kit.errors import BucketAlreadyExists
from s3kit.errors import BucketNotEmpty
from s3kit.errors import InvalidBucketState
from s3kit.errors import NoSuchBucket
from s3kit.index import usage
from s3kit.index.bucket_names import AFTER_MARK
from s3kit.index.bucket_names import MARK
from s3kit.index.bucket_names import plain
from s3kit.index.bucket_names import suffix_of
from s3kit.index.connections import RULES
from s3kit.index.connections import Connection
from s3kit.index.schema import buckets
from s3kit.index.schema import current
from s3kit.index.schema import garbage
from s3kit.index.schema import is_word
from s3kit.index.schema import parts
from s3kit.index.schema import read_acl
from s3kit.index.schema import settings
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.schema import write_acl
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Setting
from s3kit.model import Versioning
from s3kit.model import bits_of

LONGEST_ACCOUNT = 255

_BUCKET = select(
    buckets.c.id,
    buckets.c.name,
    buckets.c.account,
    buckets.c.created,
    buckets.c.region,
    buckets.c.acl,
    buckets.c.versioning,
    buckets.c.object_lock,
    buckets.c.present,
)
_GET = Statement(_BUCKET.where(buckets.c.name == bindparam("this_name")))
_GET_OF = Statement(
    _BUCKET.where(
        or_(buckets.c.name == bindparam("own_name"), buckets.c.name == bindparam("this_name")),
        buckets.c.account == bindparam("this_account"),
    )
)
_GET_ONLY = Statement(
    _BUCKET.where(
        or_(
            buckets.c.name == bindparam("this_name"),
            and_(buckets.c.name >= bindparam("first"), buckets.c.name < bindparam("past")),
        )
    ).limit(2)
)
_ANY_OF_ACCOUNT = Statement(
    select(buckets.c.id).where(buckets.c.name.like(bindparam("pattern"))).limit(1)
)
_NEW_VALUES: dict[str, BindParameter[Any]] = {
    name: bindparam(name)
    for name in (
        "name",
        "account",
        "created",
        "region",
        "acl",
        "versioning",
        "object_lock",
        "present",
    )
}
_INSERT = Statement(
    sql_insert(buckets).values(_NEW_VALUES).inline(),
    postgresql=sql_insert(buckets).values(_NEW_VALUES).inline().returning(buckets.c.id),
)
_INSERT_SETTING = Statement(
    sql_insert(settings)
    .values({each: bindparam(each) for each in ("bucket_id", "name", "document")})
    .inline()
)
_THIS: BindParameter[int] = bindparam("this_bucket")
_LOCK = Statement(select(buckets.c.present).where(buckets.c.id == _THIS).with_for_update())
_ANY_VERSION = Statement(select(versions.c.seq).where(versions.c.bucket_id == _THIS).limit(1))
_OPEN_UPLOADS = select(uploads.c.id).where(uploads.c.bucket_id == _THIS, uploads.c.completed == 0)
_LOCK_UPLOADS = Statement(_OPEN_UPLOADS.with_for_update())
_PARTS_TO_GARBAGE = Statement(
    sql_insert(garbage)
    .from_select(
        ["storage", "blob", "since"],
        select(parts.c.storage, parts.c.blob, bindparam("since", type_=BigInteger)).where(
            parts.c.upload_id.in_(_OPEN_UPLOADS)
        ),
    )
    .inline()
)
_DELETE_PARTS = Statement(sql_delete(parts).where(parts.c.upload_id.in_(_OPEN_UPLOADS)))
_DELETE_UPLOADS = Statement(sql_delete(uploads).where(uploads.c.bucket_id == _THIS))
_DELETE_SETTINGS = Statement(sql_delete(settings).where(settings.c.bucket_id == _THIS))
_DELETE_PLACES = Statement(sql_delete(current).where(current.c.bucket_id == _THIS))
_DELETE = Statement(sql_delete(buckets).where(buckets.c.id == _THIS))
_SET_ACL = Statement(update(buckets).where(buckets.c.id == _THIS).values(acl=bindparam("new_acl")))
_SET_VERSIONING = Statement(
    update(buckets).where(buckets.c.id == _THIS).values(versioning=bindparam("new_versioning"))
)
_SUSPEND = Statement(
    update(buckets)
    .where(buckets.c.id == _THIS, buckets.c.object_lock == 0)
    .values(versioning=bindparam("new_versioning"))
)
_LOCK_OBJECTS = Statement(
    update(buckets)
    .where(buckets.c.id == _THIS, buckets.c.versioning == bindparam("enabled"))
    .values(object_lock=1)
)
_STATE = select(
    buckets.c.versioning, buckets.c.object_lock, buckets.c.present, buckets.c.account
).where(buckets.c.id == _THIS)
_GET_STATE = Statement(_STATE)
# As its foreign keys hold it, only that the writer holds it already when it looks at it.
_HOLD_STATE = Statement(_STATE.with_for_update(read=True, key_share=True))
_PAGE = Statement(
    _BUCKET.where(
        buckets.c.account == bindparam("this_account"),
        buckets.c.name >= bindparam("first"),
        buckets.c.name > bindparam("after"),
        buckets.c.name < bindparam("past"),
    )
    .order_by(buckets.c.name)
    .limit(bindparam("most"))
)


def _read(row: Row) -> Bucket:
    number, name, account, created, region, acl, versioning, object_lock, present = row
    return Bucket(
        number,
        plain(name),
        account,
        created,
        region,
        read_acl(acl) if acl else None,
        Versioning(versioning),
        object_lock != 0,
        present,
    )


def get(connection: Connection, name: str) -> Bucket | None:
    """The bucket of that name as its row has it, or None."""
    if not is_word(name):
        return None
    row = connection.one(_GET, {"this_name": name})
    # MySQL takes "a " for "a".
    return None if row is None or row[1] != name else _read(row)


def get_of(connection: Connection, name: str, account: str) -> Bucket | None:
    """The account's bucket of that name, or None, where names are per account."""
    # Before what is remembered of it, for anybody may send a text of any length.
    if len(account) > LONGEST_ACCOUNT or "\0" in account or not is_word(name):
        return None
    own = name + suffix_of(account)
    parameters = {"own_name": own, "this_name": name, "this_account": account}
    # As above; no database's idea of equal names may lead into another account's bucket.
    found = [
        row
        for row in connection.all(_GET_OF, parameters)
        if row[2] == account and (row[1] == own or row[1] == name)
    ]
    return _read(found[0]) if found else None


def get_only(connection: Connection, name: str) -> Bucket | None:
    """The bucket of that name; None where no account or more than one has such a bucket."""
    if not is_word(name):
        return None
    parameters = {"this_name": name, "first": name + MARK, "past": name + AFTER_MARK}
    rows = connection.all(_GET_ONLY, parameters)
    return _read(rows[0]) if len(rows) == 1 and plain(rows[0][1]) == name else None


def are_of_accounts(connection: Connection) -> bool:
    """Whether any bucket was made where names are per account."""
    return connection.one(_ANY_OF_ACCOUNT, {"pattern": f"%{MARK}%"}) is not None


def insert(
    connection: Connection,
    name: str,
    account: str,
    created: int,
    region: str = "",
    acl: Acl | None = None,
    object_lock: bool = False,
    versioning: Versioning = Versioning.NEVER,
    documents: Mapping[str, bytes] = MappingProxyType({}),
    *,
    of_account: bool = False,
) -> Bucket:
    """Make a bucket. Raises BucketAlreadyExists when the name is taken, by whomever.

    :param documents: its settings documents by name.
    :param of_account: names are per account, so that only its own buckets count.
    """
    connection.written.add(RULES)
    present = Setting.NONE
    for setting, document in documents.items():
        present |= bits_of(setting, document)
    try:
        number = connection.insert(
            _INSERT,
            {
                "name": name + suffix_of(account) if of_account else name,
                "account": account,
                "created": created,
                "region": region,
                "acl": write_acl(acl),
                "versioning": versioning.value,
                "object_lock": 1 if object_lock else 0,
                "present": present,
            },
        )
    except Exception as error:
        if connection.is_integrity_error(error):
            raise BucketAlreadyExists(bucket_name=name) from error
        raise
    for setting, document in documents.items():
        connection.run(
            _INSERT_SETTING, {"bucket_id": number, "name": setting, "document": document}
        )
    return Bucket(number, name, account, created, region, acl, versioning, object_lock, present)


def delete(connection: Connection, bucket: Bucket, now: int) -> None:
    """Remove an empty bucket with its settings; its open uploads are aborted.

    :param now: milliseconds, from which the grace period of the uploads' parts counts.
    :raises BucketNotEmpty: it has a version, visible or not, or a delete marker.
    :raises NoSuchBucket: it was removed meanwhile.
    """
    connection.written.add(RULES)
    this = {"this_bucket": bucket.id}
    # Writers hold the row shared through their foreign keys: from here on none can begin.
    locked = connection.one(_LOCK, this)
    if locked is None:
        raise NoSuchBucket(bucket_name=bucket.name)
    if connection.one(_ANY_VERSION, this) is not None:
        raise BucketNotEmpty(bucket_name=bucket.name)
    # A part on its way holds its upload: it is in when the parts are counted, or refused after.
    connection.all(_LOCK_UPLOADS, this)
    if locked[0] & Setting.LIMITED:
        usage.count(connection, bucket.account, -usage.of_uploads(connection, bucket.id))
    connection.run(_PARTS_TO_GARBAGE, {**this, "since": now})
    connection.run(_DELETE_PARTS, this)
    for statement in (_DELETE_UPLOADS, _DELETE_SETTINGS, _DELETE_PLACES, _DELETE):
        connection.run(statement, this)


def set_acl(connection: Connection, bucket_id: int, acl: Acl | None) -> None:
    """Replace the bucket's ACL. Raises NoSuchBucket."""
    connection.written.add(RULES)
    if connection.run(_SET_ACL, {"this_bucket": bucket_id, "new_acl": write_acl(acl)}) != 1:
        raise NoSuchBucket()


@dataclass(frozen=True, slots=True)
class State:
    """What a write has to know of its bucket, at the moment of its transaction."""

    versioning: Versioning
    object_lock: bool
    present: int
    account: str


_STATES: dict[tuple[str, int, int, str], State] = {}
"""As many as there are combinations in use: a write makes none anew."""


def get_state(connection: Connection, bucket_id: int) -> State:
    """The bucket's versioning, lock and documents at this moment. Raises NoSuchBucket."""
    return _read_state(connection.one(_GET_STATE, {"this_bucket": bucket_id}))


def hold_state(connection: Connection, bucket_id: int) -> State:
    """The same for a write: until its end nobody removes the bucket or limits its account.

    Settings may change meanwhile. Raises NoSuchBucket.
    """
    return _read_state(connection.one(_HOLD_STATE, {"this_bucket": bucket_id}))


def _read_state(row: Row | None) -> State:
    if row is None:
        raise NoSuchBucket()
    state = _STATES.get(row)
    if state is None:
        versioning, object_lock, present, account = row
        state = State(Versioning(versioning), object_lock != 0, present, account)
        if len(_STATES) >= 1024:
            _STATES.clear()
        _STATES[row] = state
    return state


def set_versioning(connection: Connection, bucket_id: int, versioning: Versioning) -> None:
    """Switch versioning on or suspend it.

    :raises NoSuchBucket: the bucket was removed meanwhile.
    :raises InvalidBucketState: it has Object Lock: a locked version must keep its id.
    """
    connection.written.add(RULES)
    parameters = {"this_bucket": bucket_id, "new_versioning": versioning.value}
    if versioning is Versioning.SUSPENDED:
        if connection.run(_SUSPEND, parameters) != 1:
            get_state(connection, bucket_id)
            raise InvalidBucketState(
                "An Object Lock configuration is present on this bucket, so the versioning state "
                "cannot be changed."
            )
    elif connection.run(_SET_VERSIONING, parameters) != 1:
        raise NoSuchBucket()


def set_object_lock(connection: Connection, bucket_id: int) -> None:
    """Switch Object Lock on, for good.

    :raises NoSuchBucket: the bucket was removed meanwhile.
    :raises InvalidBucketState: its versioning is not enabled.
    """
    connection.written.add(RULES)
    parameters = {"this_bucket": bucket_id, "enabled": Versioning.ENABLED.value}
    if connection.run(_LOCK_OBJECTS, parameters) != 1:
        get_state(connection, bucket_id)
        raise InvalidBucketState(
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        )


def page(
    connection: Connection, account: str, prefix: str = "", after: str = "", limit: int = 1000
) -> list[Bucket]:
    """Up to ``limit`` buckets of an account, by name, after ``after``."""
    if not is_word(prefix) or MARK in prefix:
        return []
    # No name goes on with NUL, so what comes after it decides nothing.
    after = after.partition("\0")[0]
    if not after.isascii():
        # Past every name that begins with its ASCII part.
        after = after[: next(i for i, c in enumerate(after) if not c.isascii())] + "\x7f"
    parameters = {
        "this_account": account,
        "first": prefix,
        # Both kinds of rows of that name are before what follows it.
        "after": after + suffix_of(account) if after else "",
        "past": prefix + "\x7f",
        "most": limit,
    }
    return [_read(row) for row in connection.all(_PAGE, parameters)]
