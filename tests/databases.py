"""Fresh databases for tests: SQLite, PostgreSQL and MariaDB.

``S3KIT_TEST_POSTGRESQL`` and ``S3KIT_TEST_MARIADB`` hold SQLAlchemy URLs of servers on which the
user may make schemas and databases; ``.ci/servers`` starts such. Without them the tests are
skipped, in CI they fail.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import make_url

KINDS = ("sqlite", "postgresql", "mariadb")
_PATIENCE = {
    "postgresql": "SET lock_timeout = '60s'",
    "mariadb": "SET SESSION lock_wait_timeout = 60",
}
VARIABLES = {"postgresql": "S3KIT_TEST_POSTGRESQL", "mariadb": "S3KIT_TEST_MARIADB"}


def server_url(kind: str) -> str:
    """Where the server is, from the environment; skips or fails the test when nobody says."""
    variable = VARIABLES[kind]
    url = os.environ.get(variable)
    if url:
        return url
    reason = f"{variable} is not set: eval the output of .ci/servers to test on {kind}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database (on PostgreSQL an empty schema), gone afterwards.

    :param folder: where a file for SQLite may lie.
    """
    name = f"s3kit_test_{secrets.token_hex(8)}"
    if kind == "sqlite":
        yield f"sqlite:///{folder}/{name}.db"
        return
    url = make_url(server_url(kind))
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    what = "SCHEMA" if kind == "postgresql" else "DATABASE"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE {what} {name}")
    try:
        if kind == "postgresql":
            fresh = url.update_query_dict({"options": f"-csearch_path={name}"})
        else:
            fresh = url.set(database=name)
        yield fresh.render_as_string(hide_password=False)
    finally:
        cascade = " CASCADE" if kind == "postgresql" else ""
        with engine.connect() as connection:
            # A connection that was left in a transaction is an error, and no night of waiting.
            connection.exec_driver_sql(_PATIENCE[kind])
            connection.exec_driver_sql(f"DROP {what} {name}{cascade}")
