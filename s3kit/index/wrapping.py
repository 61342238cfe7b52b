"""The rows that hold wrapped data keys, page by page, for those who wrap them anew."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.schema import read_encryption
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.schema import write_encryption
from s3kit.index.statements import Statement
from s3kit.model import Encryption

_MOST: Any = bindparam("most")
_VERSIONS = Statement(
    select(versions.c.seq, versions.c.encryption)
    .where(versions.c.encryption.is_not(None), versions.c.seq > bindparam("after"))
    .order_by(versions.c.seq)
    .limit(_MOST)
)
_UPLOADS = Statement(
    select(uploads.c.id, uploads.c.encryption)
    .where(uploads.c.encryption.is_not(None), uploads.c.id > bindparam("after"))
    .order_by(uploads.c.id)
    .limit(_MOST)
)
_COUNT_VERSIONS = Statement(
    select(func.count()).select_from(versions).where(versions.c.encryption.is_not(None))
)
_COUNT_UPLOADS = Statement(
    select(func.count()).select_from(uploads).where(uploads.c.encryption.is_not(None))
)
_WRAP_VERSION = Statement(
    update(versions)
    .where(versions.c.seq == bindparam("this"), versions.c.encryption == bindparam("old"))
    .values(encryption=bindparam("new"))
)
_WRAP_UPLOAD = Statement(
    update(uploads)
    .where(uploads.c.id == bindparam("this"), uploads.c.encryption == bindparam("old"))
    .values(encryption=bindparam("new"))
)


def count(connection: Connection) -> int:
    """How many rows hold a wrapped key."""
    found = [connection.one(each, {}) for each in (_COUNT_VERSIONS, _COUNT_UPLOADS)]
    return sum(int(row[0]) for row in found if row)


def version_page(connection: Connection, after: int, limit: int) -> list[tuple[int, Encryption]]:
    """Up to ``limit`` encrypted versions with ``seq`` above ``after``, in order."""
    rows = connection.all(_VERSIONS, {"after": after, "most": limit})
    return [(seq, found) for seq, text in rows if (found := read_encryption(text)) is not None]


def upload_page(connection: Connection, after: str, limit: int) -> list[tuple[str, Encryption]]:
    """Up to ``limit`` encrypted uploads with ids above ``after``, in order."""
    rows = connection.all(_UPLOADS, {"after": after, "most": limit})
    return [(name, found) for name, text in rows if (found := read_encryption(text)) is not None]


def wrap_version(connection: Connection, seq: int, old: Encryption, new: Encryption) -> bool:
    """Put ``new`` in place of ``old``; False when the version is gone, or is not as it was.

    It needs no lock: nothing else of a version is changed by it, or changes it.
    """
    return _wrap(connection, _WRAP_VERSION, seq, old, new)


def wrap_upload(connection: Connection, upload_id: str, old: Encryption, new: Encryption) -> bool:
    """The same for an upload."""
    return _wrap(connection, _WRAP_UPLOAD, upload_id, old, new)


def _wrap(
    connection: Connection, statement: Statement, this: int | str, old: Encryption, new: Encryption
) -> bool:
    values = {"this": this, "old": write_encryption(old), "new": write_encryption(new)}
    return connection.run(statement, values) == 1
