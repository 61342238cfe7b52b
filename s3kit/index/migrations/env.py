"""Run by Alembic for :func:`s3kit.index.schema.upgrade`, inside its transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from s3kit.index.schema import metadata
from s3kit.index.schema import schema_version


def migrate(connection: Connection) -> None:
    """Run the revisions that the database lacks."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=schema_version.name,
        # Tables of a host application in the same database are none of ours.
        include_name=lambda name, kind, parents: (
            kind != "table" or (name is not None and name.startswith("s3kit_"))
        ),
        transactional_ddl=connection.dialect.name not in ("mysql", "mariadb"),
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


migrate(context.config.attributes["connection"])
