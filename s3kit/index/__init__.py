"""The facts of buckets, objects and uploads in SQL. Bytes are in :mod:`s3kit.blobs`."""

from __future__ import annotations

from s3kit.index.connections import Connection
from s3kit.index.schema import SchemaMismatch
from s3kit.index.schema import check_schema
from s3kit.index.schema import create_schema
from s3kit.index.schema import upgrade
from s3kit.index.session import Index
from s3kit.index.writers import CommitFailed

__all__ = [
    "CommitFailed",
    "Connection",
    "Index",
    "SchemaMismatch",
    "check_schema",
    "create_schema",
    "upgrade",
]
