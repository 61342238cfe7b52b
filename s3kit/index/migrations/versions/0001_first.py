"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As the types were at this revision, whatever s3kit.index.schema has become since.
MYSQL = ("mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
KEY = sa.LargeBinary().with_variant(mysql.VARBINARY(1024), *MYSQL)
NAME = (
    sa.String(255)
    .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
    .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
)
DOCUMENT = sa.Text().with_variant(mysql.MEDIUMTEXT, *MYSQL)
BYTES = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB, *MYSQL)


def word(length: int) -> sa.types.TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql")
        .with_variant(
            mysql.VARCHAR(length, charset="ascii", collation="ascii_nopad_bin"), "mariadb"
        )
    )


def column(name: str, kind: Any, *items: Any, **options: Any) -> sa.Column[Any]:
    options.setdefault("nullable", False)
    return sa.Column(name, kind, *items, **options)


def create_table(name: str, *items: Any, **options: Any) -> None:
    op.create_table(
        f"s3kit_{name}", *items, mysql_engine="InnoDB", mariadb_engine="InnoDB", **options
    )


def upgrade() -> None:
    create_table(
        "buckets",
        column("id", NUMBER, primary_key=True, autoincrement=True),
        column("name", word(255), unique=True),
        column("account", NAME),
        column("created", sa.BigInteger),
        column("region", word(64)),
        column("acl", DOCUMENT),
        column("versioning", word(16)),
        column("object_lock", sa.SmallInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_s3kit_buckets_account", "s3kit_buckets", ["account"])
    create_table(
        "contents",
        column("id", word(128), primary_key=True),
        column("storage", NAME),
        column("size", sa.BigInteger),
        column("refs", sa.Integer),
        column("parts", sa.Integer),
    )
    create_table(
        "versions",
        column("seq", NUMBER, primary_key=True, autoincrement=True),
        column("bucket_id", NUMBER, sa.ForeignKey("s3kit_buckets.id")),
        column("key", KEY),
        column("version_id", word(64)),
        column("delete_marker", sa.SmallInteger),
        column("size", sa.BigInteger),
        column("etag", word(64)),
        column("modified", sa.BigInteger),
        column("owner", NAME),
        column("headers", DOCUMENT),
        column("storage_class", word(32)),
        column("checksum", word(160)),
        column("acl", DOCUMENT),
        column("tags", DOCUMENT),
        column("parts", sa.Integer),
        column("content_id", word(128), sa.ForeignKey("s3kit_contents.id"), nullable=True),
        column("inline", BYTES, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "s3kit_versions_by_key",
        "s3kit_versions",
        ["bucket_id", "key", sa.text("seq DESC"), "version_id"],
    )
    op.create_index(
        "s3kit_versions_by_content",
        "s3kit_versions",
        ["content_id"],
        sqlite_where=sa.text("content_id IS NOT NULL"),
        postgresql_where=sa.text("content_id IS NOT NULL"),
    )
    create_table(
        "current",
        column("bucket_id", NUMBER, sa.ForeignKey("s3kit_buckets.id")),
        column("key", KEY),
        column("seq", sa.BigInteger, nullable=True),
        column("size", sa.BigInteger),
        column("etag", word(64)),
        column("modified", sa.BigInteger),
        column("storage_class", word(32)),
        column("owner", NAME),
        column("checksum", word(160)),
        sa.PrimaryKeyConstraint("bucket_id", "key"),
        sqlite_with_rowid=False,
    )
    create_table(
        "uploads",
        column("id", word(128), primary_key=True),
        column("bucket_id", NUMBER, sa.ForeignKey("s3kit_buckets.id")),
        column("key", KEY),
        column("started", sa.BigInteger),
        column("initiator", NAME),
        column("owner", NAME),
        column("headers", DOCUMENT),
        column("storage_class", word(32)),
        column("acl", DOCUMENT),
        column("tags", DOCUMENT),
        column("checksum_algorithm", word(16), nullable=True),
        column("checksum_type", word(16), nullable=True),
        column("completed", sa.BigInteger),
        column("completed_etag", word(64), nullable=True),
    )
    op.create_index(
        "s3kit_uploads_by_key", "s3kit_uploads", ["bucket_id", "completed", "key", "id"]
    )
    op.create_index("s3kit_uploads_by_completed", "s3kit_uploads", ["completed"])
    create_table(
        "parts",
        column("upload_id", word(128), primary_key=True),
        column("number", sa.Integer, primary_key=True, autoincrement=False),
        column("size", sa.BigInteger),
        column("etag", word(64)),
        column("modified", sa.BigInteger),
        column("storage", NAME),
        column("blob", word(128)),
        column("offset", sa.BigInteger, quote=True),
        column("checksum", word(160)),
    )
    op.create_index("s3kit_parts_by_blob", "s3kit_parts", ["blob"])
    create_table(
        "garbage",
        column("id", NUMBER, primary_key=True, autoincrement=True),
        column("storage", NAME),
        column("blob", word(128)),
        column("since", sa.BigInteger),
    )
    op.create_index("s3kit_garbage_by_blob", "s3kit_garbage", ["blob"])
    op.create_index("s3kit_garbage_by_since", "s3kit_garbage", ["since"])
    create_table(
        "settings",
        column(
            "bucket_id",
            NUMBER,
            sa.ForeignKey("s3kit_buckets.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        column("name", word(64), primary_key=True),
        column("document", BYTES),
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was made before the upgrade")
