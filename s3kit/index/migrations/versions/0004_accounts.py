"""Accounts, users, access keys, roles, and what limited accounts have stored."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As the types were at this revision, whatever s3kit.index.schema has become since.
MYSQL = ("mysql", "mariadb")
NAME = (
    sa.String(255)
    .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
    .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
)
DOCUMENT = sa.Text().with_variant(mysql.MEDIUMTEXT, *MYSQL)


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


def account(**options: Any) -> sa.Column[Any]:
    return column(
        "account", NAME, sa.ForeignKey("s3kit_accounts.id", ondelete="CASCADE"), **options
    )


def create_table(name: str, *items: Any, **options: Any) -> None:
    op.create_table(
        f"s3kit_{name}", *items, mysql_engine="InnoDB", mariadb_engine="InnoDB", **options
    )


def upgrade() -> None:
    create_table(
        "accounts",
        column("id", NAME, primary_key=True),
        column("number", word(12), unique=True),
        column("display_name", NAME),
        column("email", NAME),
        column("status", word(16)),
        column("plan", word(64)),
        column("limits", DOCUMENT),
        column("created", sa.BigInteger),
        column("delete_at", sa.BigInteger),
    )
    op.create_index("ix_s3kit_accounts_delete_at", "s3kit_accounts", ["delete_at"])
    create_table(
        "users",
        account(primary_key=True),
        column("name", word(64), primary_key=True),
        column("created", sa.BigInteger),
        column("policies", DOCUMENT),
    )
    create_table(
        "access_keys",
        column("access_key", word(128), primary_key=True),
        account(),
        column("user_name", word(64)),
        column("label", NAME),
        column("secret", DOCUMENT),
        column("master", word(64)),
        column("status", word(16)),
        column("created", sa.BigInteger),
        column("last_used", sa.BigInteger),
        column("scope", DOCUMENT),
        column("bytes_used", sa.BigInteger),
    )
    op.create_index("ix_s3kit_access_keys_account", "s3kit_access_keys", ["account"])
    create_table(
        "roles",
        column("account", NAME, primary_key=True),
        column("name", word(64), primary_key=True),
        column("role_id", word(64)),
        column("created", sa.BigInteger),
        column("trust", DOCUMENT),
        column("policies", DOCUMENT),
        column("most_seconds", sa.Integer),
    )
    create_table(
        "usage",
        column("account", NAME, primary_key=True),
        column("bytes", sa.BigInteger),
        column("most", sa.BigInteger, nullable=True),
    )
    # Whoever has buckets already has a row, by which a limit finds the account.
    op.execute(
        "INSERT INTO s3kit_usage (account, bytes) SELECT DISTINCT account, 0 FROM s3kit_buckets"
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup that was made before the upgrade")
