"""The index has an id, and the garbage of each storage is found by itself."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    identity = op.create_table(
        "s3kit_identity",
        sa.Column(
            "id",
            sa.String(64)
            .with_variant(sa.String(64, collation="C"), "postgresql")
            .with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql")
            .with_variant(
                mysql.VARCHAR(64, charset="ascii", collation="ascii_nopad_bin"), "mariadb"
            ),
            primary_key=True,
        ),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )
    op.execute(identity.insert().values(id=os.urandom(16).hex()))
    op.create_index("s3kit_garbage_by_storage", "s3kit_garbage", ["storage", "since"])
    op.drop_index("s3kit_garbage_by_since", "s3kit_garbage")
