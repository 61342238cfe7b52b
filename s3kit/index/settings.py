"""A bucket's documents by name, as bytes: CORS rules, policy, lifecycle and their like."""

from __future__ import annotations

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from s3kit.errors import NoSuchBucket
from s3kit.index.connections import Connection
from s3kit.index.schema import settings
from s3kit.index.statements import Statement

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


def get(connection: Connection, bucket_id: int, name: str) -> bytes | None:
    """The document of that name, or None."""
    row = connection.one(_GET, {"this_bucket": bucket_id, "this_name": name})
    return None if row is None else bytes(row[0])


def put(connection: Connection, bucket_id: int, name: str, document: bytes) -> None:
    """Store a document in place of the one before. Raises NoSuchBucket."""
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
    return connection.run(_DELETE, {"this_bucket": bucket_id, "this_name": name}) == 1
