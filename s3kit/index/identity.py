"""Which index this is: an id made with its tables, by which a storage knows whose it is."""

from __future__ import annotations

from sqlalchemy import select

from s3kit.index.connections import Connection
from s3kit.index.schema import identity
from s3kit.index.statements import Statement

_GET = Statement(select(identity.c.id))


def get(connection: Connection) -> str:
    """The id: 32 hex digits, the same for as long as the database lives."""
    row = connection.one(_GET, {})
    assert row is not None, "create_schema and the migration write it"
    return str(row[0])
