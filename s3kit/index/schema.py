"""The tables, how a value lies in its column, and making and checking a database's schema.

Keys are bytes, compared byte by byte on every database. Times are milliseconds since the epoch.
Booleans are 0 and 1, so that no driver has its own idea of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy import Column
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import ForeignKey
from sqlalchemy import Index as SqlIndex
from sqlalchemy import Integer
from sqlalchemy import LargeBinary
from sqlalchemy import MetaData
from sqlalchemy import PrimaryKeyConstraint
from sqlalchemy import SmallInteger
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import Text
from sqlalchemy import inspect
from sqlalchemy import select
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.dialects.mysql import VARBINARY
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.types import TypeEngine

from s3kit.model import NO_LOCK
from s3kit.model import Acl
from s3kit.model import Checksum
from s3kit.model import Encryption
from s3kit.model import Grant
from s3kit.model import ObjectLock
from s3kit.model import Permission

if TYPE_CHECKING:
    from s3kit.index.session import Index

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every revision of the schema, oldest first; the last is what this s3kit works with."""

metadata = MetaData()

MYSQL = ("mysql", "mariadb")


def _number() -> TypeEngine[int]:
    """A counter as primary key: only INTEGER counts by itself in SQLite."""
    return BigInteger().with_variant(Integer, "sqlite")


def _key() -> TypeEngine[bytes]:
    """An object's key: a bare BLOB cannot be indexed by MariaDB."""
    return LargeBinary().with_variant(VARBINARY(1024), *MYSQL)


def _word(length: int) -> TypeEngine[str]:
    """An ASCII name or id, compared byte by byte."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql")
        # The other one takes "a " for "a".
        .with_variant(VARCHAR(length, charset="ascii", collation="ascii_nopad_bin"), "mariadb")
    )


def _name() -> TypeEngine[str]:
    """A name that somebody chose, in any script."""
    return (
        String(255)
        .with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
        .with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


def _document() -> TypeEngine[str]:
    return Text().with_variant(MEDIUMTEXT, *MYSQL)


def _bytes() -> TypeEngine[bytes]:
    return LargeBinary().with_variant(MEDIUMBLOB, *MYSQL)


def _table(name: str, *items: Any, **options: Any) -> Table:
    return Table(
        f"s3kit_{name}",
        metadata,
        *items,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        **options,
    )


def _bucket(**options: Any) -> Column[int]:
    return Column("bucket_id", ForeignKey("s3kit_buckets.id", **options), nullable=False)


buckets = _table(
    "buckets",
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("name", _word(255), nullable=False, unique=True),
    Column("account", _name(), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("region", _word(64), nullable=False),
    Column("acl", _document(), nullable=False),
    Column("versioning", _word(16), nullable=False),
    Column("object_lock", SmallInteger, nullable=False),
    # Which documents it has, see s3kit.model.Setting.
    Column("present", BigInteger, nullable=False, server_default="0"),
    # An id must not come back: settings and caches of others may still name it.
    sqlite_autoincrement=True,
)

contents = _table(
    "contents",
    Column("id", _word(128), primary_key=True),
    Column("storage", _name(), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("refs", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("sealing", _word(128), nullable=False, server_default=""),
)

versions = _table(
    "versions",
    Column("seq", _number(), primary_key=True, autoincrement=True),
    _bucket(),
    Column("key", _key(), nullable=False),
    Column("version_id", _word(64), nullable=False),
    Column("delete_marker", SmallInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", _word(64), nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("owner", _name(), nullable=False),
    Column("headers", _document(), nullable=False),
    Column("storage_class", _word(32), nullable=False),
    Column("checksum", _word(160), nullable=False),
    Column("acl", _document(), nullable=False),
    Column("tags", _document(), nullable=False),
    Column("parts", Integer, nullable=False),
    Column("content_id", ForeignKey("s3kit_contents.id")),
    Column("object_lock", _word(160), nullable=False, server_default=""),
    Column("encryption", _document()),
    Column("replication", _word(64), nullable=False, server_default=""),
    Column("restored_until", BigInteger, nullable=False, server_default="0"),
    # Last, so that a row's other columns are read without the pages that its bytes fill.
    Column("inline", _bytes()),
    sqlite_autoincrement=True,
)
# Newest first within a key. version_id is there so that one version is found without reading rows.
SqlIndex(
    "s3kit_versions_by_key",
    versions.c.bucket_id,
    versions.c.key,
    versions.c.seq.desc(),
    versions.c.version_id,
)
SqlIndex(
    "s3kit_versions_by_content",
    versions.c.content_id,
    sqlite_where=versions.c.content_id.is_not(None),
    postgresql_where=versions.c.content_id.is_not(None),
)

# The visible version of each key, with what a listing shows. seq is null only inside a transaction
# that holds the key's lock and has not written yet.
current = _table(
    "current",
    _bucket(),
    Column("key", _key(), nullable=False),
    Column("seq", BigInteger),
    Column("size", BigInteger, nullable=False),
    Column("etag", _word(64), nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("storage_class", _word(32), nullable=False),
    Column("owner", _name(), nullable=False),
    Column("checksum", _word(160), nullable=False),
    PrimaryKeyConstraint("bucket_id", "key"),
    sqlite_with_rowid=False,
)

uploads = _table(
    "uploads",
    Column("id", _word(128), primary_key=True),
    _bucket(),
    Column("key", _key(), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("initiator", _name(), nullable=False),
    Column("owner", _name(), nullable=False),
    Column("headers", _document(), nullable=False),
    Column("storage_class", _word(32), nullable=False),
    Column("acl", _document(), nullable=False),
    Column("tags", _document(), nullable=False),
    Column("checksum_algorithm", _word(16)),
    Column("checksum_type", _word(16)),
    # When it was completed, 0 while it is open. Kept a while, so that a repeated Complete succeeds.
    Column("completed", BigInteger, nullable=False),
    Column("completed_etag", _word(64)),
    Column("object_lock", _word(160), nullable=False, server_default=""),
    Column("encryption", _document()),
)
SqlIndex(
    "s3kit_uploads_by_key",
    uploads.c.bucket_id,
    uploads.c.completed,
    uploads.c.key,
    uploads.c.id,
)
SqlIndex("s3kit_uploads_by_completed", uploads.c.completed)

# upload_id is, once the upload is complete, the id of the content that the parts make.
parts = _table(
    "parts",
    Column("upload_id", _word(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", _word(64), nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("storage", _name(), nullable=False),
    Column("blob", _word(128), nullable=False),
    # A reserved word of MariaDB that the dialect does not know.
    Column("offset", BigInteger, nullable=False, quote=True),
    Column("checksum", _word(160), nullable=False),
    Column("sealing", _word(128), nullable=False, server_default=""),
)
SqlIndex("s3kit_parts_by_blob", parts.c.blob)

garbage = _table(
    "garbage",
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("storage", _name(), nullable=False),
    Column("blob", _word(128), nullable=False),
    Column("since", BigInteger, nullable=False),
)
SqlIndex("s3kit_garbage_by_blob", garbage.c.blob)
SqlIndex("s3kit_garbage_by_storage", garbage.c.storage, garbage.c.since)

settings = _table(
    "settings",
    Column(
        "bucket_id",
        ForeignKey("s3kit_buckets.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("name", _word(64), primary_key=True),
    Column("document", _bytes(), nullable=False),
)

# What was added to an object later, each under a name; it goes with its version.
object_annotations = _table(
    "annotations",
    Column("seq", ForeignKey("s3kit_versions.seq", ondelete="CASCADE"), primary_key=True),
    Column("name", _key(), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("etag", _word(64), nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("checksum", _word(160), nullable=False),
    Column("headers", _document(), nullable=False),
    Column("payload", _bytes(), nullable=False),
)

# What is still to be told to somebody outside. Written in the transaction of what happened; no
# foreign keys, for an event outlives its object and its bucket.
outbox = _table(
    "outbox",
    Column("id", _number(), primary_key=True, autoincrement=True),
    # The same in the rows of all targets of one event.
    Column("event_id", _word(64), nullable=False),
    # Of the event's first row, 0 in that row: orders the events of a key, whatever the target.
    Column("seq", BigInteger, nullable=False),
    Column("target", _word(255), nullable=False),
    Column("bucket_id", BigInteger, nullable=False),
    Column("key", _key(), nullable=False),
    Column("document", _document(), nullable=False),
    Column("created", BigInteger, nullable=False),
    # When it is to be tried.
    Column("due", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    # It was given up.
    Column("dead", SmallInteger, nullable=False),
    # What went wrong last.
    Column("error", _document(), nullable=False),
    Column("holder", _word(64), nullable=False),
    Column("held_until", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
SqlIndex("s3kit_outbox_by_due", outbox.c.target, outbox.c.dead, outbox.c.due, outbox.c.id)
SqlIndex("s3kit_outbox_by_key", outbox.c.target, outbox.c.bucket_id, outbox.c.key, outbox.c.id)

# Who does a work that only one process should do at a time, and until when it is believed to live.
leases = _table(
    "leases",
    Column("name", _word(128), primary_key=True),
    Column("holder", _word(64), nullable=False),
    Column("until", BigInteger, nullable=False),
    # How far it has come, for whoever goes on.
    Column("progress", _document()),
)

# Which archived versions are readable for a while: the few that a janitor must find by their time.
# Not bound to versions, whose removal would have to look here each time.
restores = _table(
    "restores",
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False, index=True),
)

# Who may sign. Accounts of the configuration have no row here unless a key of theirs lies here.
accounts = _table(
    "accounts",
    # The canonical user id.
    Column("id", _name(), primary_key=True),
    # 12 digits, as in ARNs.
    Column("number", _word(12), nullable=False, unique=True),
    Column("display_name", _name(), nullable=False),
    Column("email", _name(), nullable=False),
    # active, suspended, closing (read-only until delete_at) or closed
    Column("status", _word(16), nullable=False),
    Column("plan", _word(64), nullable=False),
    # What is its own and not its plan's: {"keys", "buckets", "bytes"}.
    Column("limits", _document(), nullable=False),
    Column("created", BigInteger, nullable=False),
    # When all that it has is deleted, 0 for never.
    Column("delete_at", BigInteger, nullable=False, index=True),
)

users = _table(
    "users",
    Column("account", ForeignKey("s3kit_accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("name", _word(64), primary_key=True),
    Column("created", BigInteger, nullable=False),
    # {name: policy}
    Column("policies", _document(), nullable=False),
)

access_keys = _table(
    "access_keys",
    Column("access_key", _word(128), primary_key=True),
    Column(
        "account", ForeignKey("s3kit_accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    # "" for the account itself
    Column("user_name", _word(64), nullable=False),
    # What its owner calls it.
    Column("label", _name(), nullable=False),
    # Sealed by the master key of that id.
    Column("secret", _document(), nullable=False),
    Column("master", _word(64), nullable=False),
    # active or disabled
    Column("status", _word(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
    # See s3kit.model.Scope, as JSON; "" for none.
    Column("scope", _document(), nullable=False),
    # How much of its byte budget is used.
    Column("bytes_used", BigInteger, nullable=False),
)

roles = _table(
    "roles",
    # Of the configuration or of the table of accounts.
    Column("account", _name(), primary_key=True),
    Column("name", _word(64), primary_key=True),
    # Random: sessions of a role that was deleted and made anew are not the new one's.
    Column("role_id", _word(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    # Who may assume it.
    Column("trust", _document(), nullable=False),
    # {name: policy}
    Column("policies", _document(), nullable=False),
    Column("most_seconds", Integer, nullable=False),
)

# How many bytes an account may store, and how many it has stored where that is limited. An account
# without a row has made no bucket yet; who makes one, or changes the limit, holds the row.
usage = _table(
    "usage",
    Column("account", _name(), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    # NULL for any number: then nothing is counted.
    Column("most", BigInteger),
)

# One row: which index this is. It is also written into each storage that the index uses.
identity = _table(
    "identity",
    Column("id", _word(64), primary_key=True),
)

schema_version = _table(
    "schema_version",
    Column("version_num", String(32), primary_key=True),
)


# How values lie in their columns. An empty text is None, () or {}.


def is_word(text: str) -> bool:
    """Whether a client's text can be compared with a name or id.

    MariaDB refuses to compare other than ASCII with those columns, PostgreSQL refuses NUL.
    """
    return text.isascii() and "\0" not in text


def write_headers(headers: Mapping[str, str]) -> str:
    """Stored response headers as JSON text, pure ASCII."""
    return json.dumps(dict(headers), separators=(",", ":")) if headers else "{}"


@lru_cache(maxsize=1024)
def _read_short_headers(text: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads(text))


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def read_headers(text: str) -> Mapping[str, str]:
    """The headers that :func:`write_headers` wrote. Not to be changed: many rows share one."""
    if text == "{}":
        return _NO_HEADERS
    if len(text) <= 128:
        return _read_short_headers(text)
    headers: Mapping[str, str] = json.loads(text)
    return headers


def write_acl(acl: Acl | None) -> str:
    """An ACL as JSON text."""
    if acl is None:
        return ""
    grants = [(grant.grantee, grant.permission.value) for grant in acl.grants]
    return json.dumps({"owner": acl.owner, "grants": grants}, separators=(",", ":"))


def read_acl(text: str) -> Acl | None:
    """The ACL that :func:`write_acl` wrote."""
    if not text:
        return None
    document = json.loads(text)
    return Acl(
        document["owner"],
        tuple(Grant(grantee, Permission(word)) for grantee, word in document["grants"]),
    )


def write_tags(tags: tuple[tuple[str, str], ...]) -> str:
    """A tag set as JSON text, in its order."""
    return json.dumps(tags, separators=(",", ":")) if tags else ""


def read_tags(text: str) -> tuple[tuple[str, str], ...]:
    """The tags that :func:`write_tags` wrote."""
    return tuple((name, value) for name, value in json.loads(text)) if text else ()


_HOLDS = {None: "", False: "0", True: "1"}
_READ_HOLDS = {text: hold for hold, text in _HOLDS.items()}


def write_lock(lock: ObjectLock) -> str:
    """A lock as ``mode:until:legal hold:event hold:days:years``."""
    if lock == NO_LOCK:
        return ""
    return (
        f"{lock.mode}:{lock.retain_until}:{_HOLDS[lock.legal_hold]}:{_HOLDS[lock.event_hold]}"
        f":{lock.event_days}:{lock.event_years}"
    )


def read_lock(text: str) -> ObjectLock:
    """The lock that :func:`write_lock` wrote."""
    if not text:
        return NO_LOCK
    mode, until, legal_hold, event_hold, days, years = text.split(":")
    return ObjectLock(
        mode,
        int(until),
        _READ_HOLDS[legal_hold],
        _READ_HOLDS[event_hold],
        int(days),
        int(years),
    )


def write_encryption(encryption: Encryption | None) -> str | None:
    """How a version is sealed, as JSON text."""
    if encryption is None:
        return None
    return json.dumps(
        [
            encryption.algorithm,
            encryption.key,
            encryption.master,
            encryption.kms_key_id,
            encryption.bucket_key,
        ],
        separators=(",", ":"),
    )


def read_encryption(text: str | None) -> Encryption | None:
    """What :func:`write_encryption` wrote."""
    return Encryption(*json.loads(text)) if text else None


def write_checksum(checksum: Checksum | None) -> str:
    """A checksum as ``ALGORITHM:TYPE:value``, e.g. ``CRC32:FULL_OBJECT:DUoRhQ==``."""
    if checksum is None:
        return ""
    return f"{checksum.algorithm}:{checksum.type}:{checksum.value}"


def read_checksum(text: str) -> Checksum | None:
    """The checksum that :func:`write_checksum` wrote."""
    if not text:
        return None
    algorithm, kind, value = text.split(":", 2)
    return Checksum(algorithm, value, kind)


# Making and checking.


class SchemaMismatch(Exception):
    """The database's tables are not those of this s3kit; the text says what to run."""


_LOCK_NUMBER = 0x733362
"""Which of PostgreSQL's advisory locks is held while tables are made or changed."""


@contextmanager
def _alone(index: Index) -> Iterator[SqlConnection]:
    """A transaction in which no other process makes or changes the tables."""
    with index.engine.connect() as connection:
        if index.dialect != "mysql":
            with connection.begin():
                if index.dialect == "postgresql":
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")
                yield connection
            return
        connection.exec_driver_sql("SELECT GET_LOCK('s3kit_schema', 60)")
        connection.commit()
        try:
            # The lock is kept until what was done under it is seen by others.
            with connection.begin():
                yield connection
        finally:
            connection.exec_driver_sql("SELECT RELEASE_LOCK('s3kit_schema')")


def _revision(connection: SqlConnection) -> str | None:
    if not inspect(connection).has_table(schema_version.name):
        return None
    revision: str | None = connection.execute(
        select(schema_version.c.version_num)
    ).scalar_one_or_none()
    return revision


def schema_revision(index: Index) -> str | None:
    """The revision of the database's tables, None for a database without any."""
    with index.engine.connect() as connection:
        return _revision(connection)


def create_schema(index: Index) -> None:
    """Make the tables in a fresh database; in one that has them, :func:`check_schema`.

    Any number of processes may do so at once.
    """
    if schema_revision(index) is None:
        with _alone(index) as connection:
            if _revision(connection) is None:
                metadata.create_all(connection)
                connection.execute(identity.insert().values(id=os.urandom(16).hex()))
                connection.execute(schema_version.insert().values(version_num=REVISIONS[-1]))
    check_schema(index)


def check_schema(index: Index) -> None:
    """Raises SchemaMismatch, with the command that mends it, unless the tables are current."""
    revision = schema_revision(index)
    if revision == REVISIONS[-1]:
        return
    if revision is None:
        raise SchemaMismatch(
            "The index has no tables yet. Run `s3kit serve`, or `s3kit upgrade-index`."
        )
    if revision in REVISIONS:
        raise SchemaMismatch(
            f"The index has schema {revision}, this s3kit works with {REVISIONS[-1]}. "
            "Make a backup, then run `s3kit upgrade-index`."
        )
    raise SchemaMismatch(
        f"The index has schema {revision}, which this s3kit does not know: it was made by a newer "
        "one. Run `pip install --upgrade s3kit`."
    )


def upgrade(index: Index) -> None:
    """Bring the tables to this s3kit's schema by the migrations shipped in the package.

    Needs Alembic (``pip install s3kit[server]``).
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "s3kit.index:migrations")
    with _alone(index) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
