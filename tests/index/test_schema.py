"""Making, checking and upgrading a database; values in their columns."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_mock_engine
from sqlalchemy import text

from s3kit.index import buckets
from s3kit.index import garbage
from s3kit.index import objects
from s3kit.index import schema
from s3kit.index import usage
from s3kit.index.schema import SchemaMismatch
from s3kit.index.schema import check_schema
from s3kit.index.schema import create_schema
from s3kit.index.schema import upgrade
from s3kit.index.session import Connection
from s3kit.index.session import Index
from s3kit.model import NO_LOCK
from s3kit.model import Acl
from s3kit.model import Checksum
from s3kit.model import Encryption
from s3kit.model import Grant
from s3kit.model import ObjectLock
from s3kit.model import ObjectVersion
from s3kit.model import Permission
from s3kit.model import Setting


@pytest.fixture
def empty(url: str) -> Any:
    index = Index(url)
    yield index
    index.close()


KEY_COLUMN = {"sqlite": "key", "postgresql": "key", "mysql": "`key`"}


def put(c: Connection, version: ObjectVersion) -> int:
    objects.lock_current(c, version.bucket_id, version.key)
    return objects.put_version(c, version, replaces=None, new_content=False)


def definitions(index: Index) -> list[tuple[str, ...]]:
    """The tables as the database itself describes them."""
    queries = {
        "sqlite": (
            'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, '
            "m.sql LIKE '%AUTOINCREMENT%', m.sql LIKE '%WITHOUT ROWID%' "
            "FROM sqlite_master m, pragma_table_info(m.name) c "
            "WHERE m.type = 'table' AND m.name LIKE '%s3kit%' ORDER BY m.name, c.name"
        ),
        "postgresql": (
            "SELECT table_name, column_name, data_type, is_nullable, collation_name, "
            "character_maximum_length, is_identity, column_default IS NULL "
            "FROM information_schema.columns WHERE table_schema = current_schema() "
            "ORDER BY table_name, column_name"
        ),
        "mysql": (
            "SELECT table_name, column_name, column_type, is_nullable, collation_name, column_key, "
            "extra FROM information_schema.columns WHERE table_schema = database() "
            "ORDER BY table_name, column_name"
        ),
    }
    more = {
        "sqlite": (
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE '%s3kit%' "
            "UNION ALL SELECT m.name, f.\"from\" || ' ' || f.\"table\" || ' ' || f.on_delete "
            "FROM sqlite_master m, pragma_foreign_key_list(m.name) f "
            "WHERE m.name LIKE '%s3kit%' ORDER BY 1, 2"
        ),
        "postgresql": (
            "SELECT replace(indexdef, current_schema(), '') FROM pg_indexes "
            "WHERE schemaname = current_schema() ORDER BY indexname"
        ),
        "mysql": (
            "SELECT table_name, index_name, seq_in_index, column_name, collation, non_unique "
            "FROM information_schema.statistics WHERE table_schema = database() "
            "ORDER BY table_name, index_name, seq_in_index"
        ),
    }
    with index.engine.connect() as connection:
        rows = []
        for query in (queries[index.dialect], more[index.dialect]):
            for row in connection.execute(text(query)):
                words = " ".join(str(each).strip().replace('"', "") for each in row)
                # Alembic names its own table's key, and lays out its lines otherwise.
                rows.append(tuple(words.replace(",", " , ").replace("(", " ( ").split()))
    return [row for row in rows if not any("schema_version" in word for word in row)]


def test_a_fresh_database_is_made_and_stamped(empty: Index) -> None:
    with pytest.raises(SchemaMismatch, match="no tables"):
        check_schema(empty)
    create_schema(empty)
    check_schema(empty)
    create_schema(empty)
    assert schema.schema_revision(empty) == schema.REVISIONS[-1]


def test_the_migrations_make_the_same_tables(url: str, tmp_path: Path) -> None:
    migrated = Index(url)
    upgrade(migrated)
    check_schema(migrated)
    with migrated.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.schema_version.name,
                "compare_type": True,
                "include_name": lambda name, kind, parents: (
                    kind != "table" or str(name).startswith("s3kit_")
                ),
            },
        )
        assert compare_metadata(context, schema.metadata) == []
    described = definitions(migrated)
    assert len(described) > 8
    with migrated.engine.begin() as connection:
        schema.metadata.drop_all(connection)
    create_schema(migrated)
    assert definitions(migrated) == described
    migrated.close()


def test_an_upgrade_of_a_current_database_changes_nothing(index: Index) -> None:
    index.write(lambda c: buckets.insert(c, "b", "alice", 1))
    before = definitions(index)
    upgrade(index)
    assert definitions(index) == before
    check_schema(index)
    assert index.read(lambda c: buckets.get(c, "b")) is not None


def test_an_older_database_is_upgraded_with_its_content(url: str) -> None:
    index = Index(url)
    config = Config()
    config.set_main_option("script_location", "s3kit.index:migrations")
    with index.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    index.write(lambda c: garbage.add(c, "default", "old", 1))
    with index.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO s3kit_buckets (name, account, created, region, acl, versioning, "
                "object_lock) VALUES ('b', 'alice', 1, '', '', '', 0)"
            )
        )
        for number in (1, 2, 3):
            connection.execute(
                text(
                    "INSERT INTO s3kit_versions (bucket_id, version_id, delete_marker, size, etag, "
                    "modified, owner, headers, storage_class, checksum, acl, tags, parts, inline, "
                    f"{KEY_COLUMN[index.dialect]}) VALUES (1, 'null', 0, 1, '', {number}, 'alice', "
                    "'{}', 'STANDARD', '', '', '', 0, :inline, :key)"
                ),
                {"key": b"key%d" % number, "inline": b"x"},
            )
        connection.execute(text("DELETE FROM s3kit_versions WHERE modified = 3"))
        connection.execute(
            text("INSERT INTO s3kit_settings (bucket_id, name, document) VALUES (1, 'cors', :x)"),
            {"x": b"<CORSConfiguration/>"},
        )
    with pytest.raises(SchemaMismatch, match="upgrade-index"):
        create_schema(index)
    upgrade(index)
    check_schema(index)
    bucket = index.read(lambda c: buckets.get(c, "b"))
    assert bucket is not None
    assert bucket.present == Setting.CORS
    old = index.read(lambda c: objects.get_version(c, bucket.id, b"key2", "null"))
    assert old is not None
    assert (old.seq, old.inline, old.lock, old.encryption) == (2, b"x", NO_LOCK, None)
    new = replace(old, key=b"new")
    # The number of the one that was removed does not come back.
    assert index.write(lambda c: put(c, new)) == 4
    assert [row[1] for row in index.read(lambda c: garbage.due(c, "default", 2, 9))] == ["old"]
    # Whoever has buckets can be found by a limit that comes.
    assert index.read(lambda c: usage.accounts_after(c, "", 9)) == [("alice", None)]
    index.close()


def test_the_list_of_revisions_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "s3kit.index:migrations")
    scripts = ScriptDirectory.from_config(config)
    found = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS


@pytest.mark.parametrize(
    ("revision", "command"),
    [("0000", "s3kit upgrade-index"), ("9999", "pip install --upgrade")],
)
def test_another_schema_is_refused_with_the_command_that_mends_it(
    sqlite: Index, monkeypatch: pytest.MonkeyPatch, revision: str, command: str
) -> None:
    monkeypatch.setattr(schema, "REVISIONS", ("0000", *schema.REVISIONS))
    with sqlite.engine.begin() as connection:
        connection.execute(schema.schema_version.update().values(version_num=revision))
    with pytest.raises(SchemaMismatch, match=command):
        check_schema(sqlite)
    with pytest.raises(SchemaMismatch, match=command):
        create_schema(sqlite)


def test_many_may_make_the_schema_at_once(url: str) -> None:
    begin = threading.Barrier(6)

    def make(n: int) -> None:
        index = Index(url)
        # As if all had looked before the first began.
        assert schema.schema_revision(index) is None
        begin.wait(60)
        create_schema(index)
        index.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, range(6)))
    index = Index(url)
    check_schema(index)
    index.close()


def test_a_fresh_database_needs_no_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['alembic'] = None; "
        "from s3kit.index import Index, create_schema; "
        f"index = Index('sqlite:///{tmp_path}/i.db'); create_schema(index); index.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_tables_of_a_host_application_are_left_alone(index: Index) -> None:
    with index.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE blog (id INTEGER)")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('host')")
    upgrade(index)
    with index.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT * FROM alembic_version").all() == [("host",)]
        assert connection.exec_driver_sql("SELECT * FROM blog").all() == []


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://", "mariadb+pymysql://"])
def test_every_table_and_index_has_the_prefix(url: str) -> None:
    made: list[str] = []
    engine = create_mock_engine(url, lambda sql, *_: made.append(str(sql.compile(engine))))
    schema.metadata.create_all(engine, checkfirst=False)
    for sql in made:
        words = sql.split()
        name = words[words.index("TABLE") + 1] if "TABLE" in words[:3] else words[2]
        assert "s3kit_" in name, sql


TEXTS = st.text(max_size=20)
ACLS = st.builds(
    Acl,
    TEXTS,
    st.lists(st.builds(Grant, TEXTS, st.sampled_from(Permission)), max_size=3).map(tuple),
)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_headers_come_back_as_they_were(headers: dict[str, str]) -> None:
    written = schema.write_headers(headers)
    assert written.isascii()
    assert dict(schema.read_headers(written)) == headers
    assert dict(schema.read_headers(schema.write_headers(schema.read_headers(written)))) == headers


def test_headers_that_rows_share_cannot_be_changed() -> None:
    for text_ in ("{}", '{"content-type":"text/plain"}'):
        with pytest.raises(TypeError):
            schema.read_headers(text_)["x"] = "y"  # type: ignore[index]


@given(st.none() | ACLS, st.lists(st.tuples(TEXTS, TEXTS), max_size=5).map(tuple))
def test_acls_and_tags_come_back_as_they_were(
    acl: Acl | None, tags: tuple[tuple[str, str], ...]
) -> None:
    assert schema.read_acl(schema.write_acl(acl)) == acl
    assert schema.read_tags(schema.write_tags(tags)) == tags


@pytest.mark.parametrize(
    "checksum",
    [None, Checksum("CRC64NVME", "AAAAAAAAAAA="), Checksum("SHA256", "ab+/=-3", "COMPOSITE")],
)
def test_checksums_come_back_as_they_were(checksum: Checksum | None) -> None:
    assert schema.read_checksum(schema.write_checksum(checksum)) == checksum


@given(
    st.builds(
        ObjectLock,
        st.sampled_from(["", "GOVERNANCE", "COMPLIANCE"]),
        st.integers(0, 2**53),
        st.sampled_from([None, False, True]),
        st.sampled_from([None, False, True]),
        st.integers(0, 36500),
        st.integers(0, 100),
    )
)
def test_a_lock_comes_back_as_it_was(lock: ObjectLock) -> None:
    written = schema.write_lock(lock)
    assert len(written) <= 160
    assert schema.read_lock(written) == lock


@given(st.builds(Encryption, st.text(), st.text(), st.text(), st.text(), st.booleans()))
def test_an_encryption_comes_back_as_it_was(encryption: Encryption) -> None:
    assert schema.read_encryption(schema.write_encryption(encryption)) == encryption
    assert schema.read_encryption(schema.write_encryption(None)) is None
