"""Locks, encryption, replication and restores of versions; annotations, outbox and leases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
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


def new_columns() -> list[sa.Column[Any]]:
    return [
        column("object_lock", word(160), server_default=""),
        column("encryption", DOCUMENT, nullable=True),
        column("replication", word(64), server_default=""),
        column("restored_until", sa.BigInteger, server_default="0"),
    ]


def upgrade() -> None:
    op.add_column("s3kit_buckets", column("present", sa.BigInteger, server_default="0"))
    op.add_column("s3kit_contents", column("sealing", word(128), server_default=""))
    op.add_column("s3kit_parts", column("sealing", word(128), server_default=""))
    for each in new_columns()[:2]:
        op.add_column("s3kit_uploads", each)
    if op.get_bind().dialect.name == "sqlite":
        rebuild_versions()
    else:
        for each in new_columns():
            op.add_column("s3kit_versions", each)
    count_settings()
    create_table(
        "annotations",
        column(
            "seq",
            NUMBER,
            sa.ForeignKey("s3kit_versions.seq", ondelete="CASCADE"),
            primary_key=True,
        ),
        column("name", KEY, primary_key=True),
        column("size", sa.BigInteger),
        column("etag", word(64)),
        column("modified", sa.BigInteger),
        column("checksum", word(160)),
        column("headers", DOCUMENT),
        column("payload", BYTES),
    )
    create_table(
        "outbox",
        column("id", NUMBER, primary_key=True, autoincrement=True),
        column("event_id", word(64)),
        column("seq", sa.BigInteger),
        column("target", word(255)),
        column("bucket_id", sa.BigInteger),
        column("key", KEY),
        column("document", DOCUMENT),
        column("created", sa.BigInteger),
        column("due", sa.BigInteger),
        column("attempts", sa.Integer),
        column("dead", sa.SmallInteger),
        column("error", DOCUMENT),
        column("holder", word(64)),
        column("held_until", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("s3kit_outbox_by_due", "s3kit_outbox", ["target", "dead", "due", "id"])
    op.create_index("s3kit_outbox_by_key", "s3kit_outbox", ["target", "bucket_id", "key", "id"])
    create_table(
        "leases",
        column("name", word(128), primary_key=True),
        column("holder", word(64)),
        column("until", sa.BigInteger),
        column("progress", DOCUMENT, nullable=True),
    )
    create_table(
        "restores",
        column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        column("until", sa.BigInteger),
    )
    op.create_index("ix_s3kit_restores_until", "s3kit_restores", ["until"])


def rebuild_versions() -> None:
    """SQLite adds columns at the end, behind the bytes; ours are read without those."""
    before = [
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
    ]
    create_table(
        "versions_new",
        *before,
        *new_columns(),
        column("inline", BYTES, nullable=True),
        sqlite_autoincrement=True,
    )
    names = ", ".join(f'"{each.name}"' for each in before) + ', "inline"'
    op.execute(
        f"INSERT INTO s3kit_versions_new ({names}) SELECT {names} FROM s3kit_versions ORDER BY seq"
    )
    # A number of a version that is gone must not come back either.
    op.execute("DELETE FROM sqlite_sequence WHERE name = 's3kit_versions_new'")
    op.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 's3kit_versions_new', seq "
        "FROM sqlite_sequence WHERE name = 's3kit_versions'"
    )
    op.drop_table("s3kit_versions")
    op.rename_table("s3kit_versions_new", "s3kit_versions")
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
    )


def count_settings() -> None:
    """Which documents a bucket has, from those that were put before it was counted."""
    bits = {"cors": 1, "requestPayment": 2048, "abac": 4096, "tagging": 8192, "accelerate": 16384}
    for name, bit in bits.items():
        op.execute(
            f"UPDATE s3kit_buckets SET present = present + {bit} WHERE id IN "
            f"(SELECT bucket_id FROM s3kit_settings WHERE name = '{name}')"
        )


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was made before the upgrade")
