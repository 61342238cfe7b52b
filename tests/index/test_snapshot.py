"""Snapshots: all facts as of one moment, on every database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary
from sqlalchemy import insert

from s3kit.index import outbox
from s3kit.index import snapshot
from s3kit.index.connections import Connection
from s3kit.index.schema import buckets
from s3kit.index.schema import contents
from s3kit.index.schema import create_schema
from s3kit.index.schema import metadata
from s3kit.index.schema import parts
from s3kit.index.schema import settings
from s3kit.index.session import Index
from s3kit.index.snapshot import NotEmpty
from tests.databases import KINDS
from tests.databases import fresh_database


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    with fresh_database(request.param, tmp_path) as url:
        index = Index(url, durability="relaxed")
        create_schema(index)
        yield index
        index.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Index]:
    index = Index(f"sqlite:///{tmp_path}/snapshot.db", durability="relaxed")
    create_schema(index)
    yield index
    index.close()


def add_contents(index: Index, first: int, after: int) -> None:
    rows = [
        {"id": f"{number:032x}", "storage": "default", "size": 1, "refs": 1, "parts": 0}
        for number in range(first, after)
    ]
    with index.engine.begin() as connection:
        connection.execute(insert(contents), rows)


def count(connection: Connection) -> int:
    return snapshot.counts(connection)["s3kit_contents"]


def elsewhere(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_every_statement_sees_the_same_moment_and_nobody_waits(index: Index) -> None:
    add_contents(index, 0, 10)

    def work(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        elsewhere(lambda: add_contents(index, 10, 20))
        return before, count(connection)

    assert snapshot.at_one_moment(index, work) == (10, 10)
    assert index.read(count) == 20
    # The connection is as it was: it sees what is new, statement by statement.
    found = []

    def look(connection: Connection) -> None:
        found.append(count(connection))
        elsewhere(lambda: add_contents(index, 20, 30))
        found.append(count(connection))

    index.read(look)
    assert found == [20, 30]


def test_an_error_in_the_work_leaves_no_transaction_behind(index: Index) -> None:
    def work(connection: Connection) -> None:
        count(connection)
        raise ValueError

    with pytest.raises(ValueError):
        snapshot.at_one_moment(index, work)
    add_contents(index, 0, 5)
    assert index.read(count) == 5


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1000, 1234])
def test_no_row_is_lost_or_doubled_at_the_end_of_a_page(
    index: Index, file: Index, number: int
) -> None:
    if number:
        add_contents(index, 0, number)
    told: list[int] = []
    snapshot.write_snapshot(index, file, told.append)
    assert sum(told) == number == file.read(count)
    assert [
        row for page in file.read(lambda c: list(snapshot.rows(c, contents))) for row in page
    ] == [row for page in index.read(lambda c: list(snapshot.rows(c, contents))) for row in page]


def test_pages_go_over_keys_of_two_columns(index: Index, file: Index) -> None:
    """The page ends between two parts of one upload."""
    rows = [
        {
            "upload_id": upload, "number": number, "size": 0, "etag": "", "modified": 0,
            "storage": "default", "blob": f"{upload}{number}", "offset": 0, "checksum": "",
        }
        for upload in ("a", "b", "c")
        for number in range(1, 400)
    ]  # fmt: skip
    with index.engine.begin() as connection:
        connection.execute(insert(parts), rows)
    snapshot.write_snapshot(index, file, lambda rows: None)
    assert file.read(snapshot.counts)["s3kit_parts"] == 1197


def test_no_page_holds_many_rows_that_may_have_a_mebibyte() -> None:
    """Annotations too: five hundred of them would be half a gigabyte."""
    large = {
        table.name
        for table in snapshot.TABLES
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name not in ("key", "name")
    }
    assert large == {"s3kit_versions", "s3kit_settings", "s3kit_annotations"}
    assert all(snapshot.page_size(metadata.tables[name]) == 64 for name in large)


def test_bytes_and_nothing_at_all_arrive_as_they_are(index: Index, file: Index) -> None:
    with index.engine.begin() as connection:
        connection.execute(
            insert(buckets).values(
                name="b", account="ü", created=1, region="", acl="", versioning="", object_lock=0
            )
        )
        number = connection.execute(buckets.select()).scalar_one()
        document = bytes(range(256)) * 3000
        connection.execute(
            insert(settings).values(bucket_id=number, name="cors", document=document)
        )
    snapshot.write_snapshot(index, file, lambda rows: None)
    ((row,),) = file.read(lambda c: list(snapshot.rows(c, settings)))
    assert row == (number, "cors", document)


def test_a_snapshot_is_loaded_into_an_empty_index_only(index: Index, file: Index) -> None:
    add_contents(file, 0, 3)
    snapshot.load_snapshot(file, index, lambda rows: None)
    assert index.read(count) == 3
    with pytest.raises(NotEmpty):
        snapshot.load_snapshot(file, index, lambda rows: None)
    assert index.read(count) == 3


def test_the_last_numbers_are_those_that_were_given(index: Index) -> None:
    def all_at(number: int) -> dict[str, int]:
        return dict.fromkeys(("s3kit_buckets", "s3kit_outbox", "s3kit_versions"), number)

    assert index.read(snapshot.last_numbers) == all_at(0) or (
        # PostgreSQL does not say whether its first number was given.
        index.dialect == "postgresql" and index.read(snapshot.last_numbers) == all_at(1)
    )
    numbers = {**all_at(7), "s3kit_versions": 9}
    snapshot.set_last_numbers(index, numbers)
    assert index.read(snapshot.last_numbers) == numbers
    # Never back.
    snapshot.set_last_numbers(index, {**all_at(3), "s3kit_versions": 12})
    assert index.read(snapshot.last_numbers) == {**numbers, "s3kit_versions": 12}
    with index.engine.begin() as connection:
        connection.execute(
            insert(buckets).values(
                name="b", account="a", created=1, region="", acl="", versioning="", object_lock=0
            )
        )
        assert connection.execute(buckets.select()).scalar_one() == 8


def test_events_that_wait_are_in_a_snapshot_and_go_on_in_their_order(
    index: Index, file: Index
) -> None:
    def add(into: Index) -> int:
        return into.write(
            lambda c: outbox.add(
                c, event="e", bucket_id=1, key=b"\0k", target="t", document="{}", now=7
            )
        )

    numbers = [add(index) for _ in range(3)]
    index.write(lambda c: outbox.take(c, "t", "me", 7, 1000, 1))
    last = snapshot.write_snapshot(index, file, lambda count: None)
    snapshot.set_last_numbers(file, last)
    assert file.write(lambda c: outbox.take(c, "t", "me", 7, 1000, 9)) == []
    # As if the worker that had it had died.
    (first,) = file.write(lambda c: outbox.take(c, "t", "me", 1000, 2000, 9))
    assert (first.id, first.key, first.attempts) == (numbers[0], b"\0k", 1)
    assert add(file) > numbers[-1]
