"""Pages against brute force, markers, and that a page seeks instead of scanning."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.index import buckets
from s3kit.index import listing
from s3kit.index import objects
from s3kit.index import uploads
from s3kit.index.connections import Connection
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import Checksum
from s3kit.model import Upload
from tests.index.rows import add
from tests.index.rows import put
from tests.index.rows import remove
from tests.index.rows import version

LETTERS = [b"a", b"b", b"/", b"\0", b"\xff", b"//", b"ab/", b"\xc3\xa4", b"."]
KEYS = st.lists(st.sampled_from(LETTERS), max_size=6).map(b"".join) | st.binary(max_size=8)
DELIMITERS = st.sampled_from([b"", b"/", b"//", b"\xff", b"\0", b"a", b"ab"]) | st.binary(
    max_size=2
)


def brute_force(
    keys: set[bytes], prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> tuple[list[bytes], list[bytes], bool]:
    """What S3's manual says: roll up, leave out what is not past the marker, cut."""
    items: dict[bytes, bool] = {}
    for key in sorted(keys):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        if at >= 0:
            rolled = key[: at + len(delimiter)]
            # A marker inside a common prefix is past it.
            if not (after >= rolled or after.startswith(rolled)):
                items[rolled] = True
        elif key > after:
            items.setdefault(key, False)
    ordered = sorted(items)
    page = ordered[:limit]
    return (
        [item for item in page if not items[item]],
        [item for item in page if items[item]],
        0 < limit < len(ordered),
    )


def fill(index: Index, bucket: Bucket, keys: set[bytes]) -> None:
    def work(c: Connection) -> None:
        for key in keys:
            objects.lock_current(c, bucket.id, key)
            objects.put_version(c, version(bucket, key), replaces=None, new_content=True)

    index.write(work)


def check(index: Index, bucket: Bucket, keys: set[bytes], **query: Any) -> listing.Listing:
    page = index.read(lambda c: listing.list_keys(c, bucket.id, **query))
    found = ([row[0] for row in page.entries], page.prefixes, page.truncated)
    assert found == brute_force(keys, **query), query
    assert page.next == max([*found[0], *found[1]], default=b"")
    return page


@pytest.fixture(scope="module")
def shared() -> Iterator[Index]:
    index = Index("memory://")
    create_schema(index)
    yield index
    index.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sets(KEYS, max_size=60),
    prefix=st.just(b"") | KEYS.map(lambda key: key[:2]),
    delimiter=DELIMITERS,
    marker=st.just(b"") | KEYS,
    limit=st.sampled_from([0, 1, 2, 3, 7, 1000]),
    crowd=st.sampled_from([0, 0, 60]),
)
def test_a_listing_is_what_brute_force_gives(
    shared: Index,
    keys: set[bytes],
    prefix: bytes,
    delimiter: bytes,
    marker: bytes,
    limit: int,
    crowd: int,
) -> None:
    # Enough keys under one prefix to make a page jump.
    keys = keys | {b"a/%d" % n for n in range(crowd)} | {b"b%d/x/" % n for n in range(crowd)}
    # Not a key in S3, and below every marker.
    keys.discard(b"")

    def work(c: Connection) -> Bucket:
        old = buckets.get(c, "listed")
        if old is not None:
            for table in ("current", "versions"):
                c.raw.execute(f"DELETE FROM s3kit_{table}")
            buckets.delete(c, old, 0)
        bucket = buckets.insert(c, "listed", "alice", 1)
        for key in keys:
            objects.put_version(c, version(bucket, key), replaces=None, new_content=True)
        return bucket

    bucket = shared.write(work)
    check(shared, bucket, keys, prefix=prefix, delimiter=delimiter, after=marker, limit=limit)
    # And page by page to the end.
    if limit:
        after, everything = b"", 0
        while True:
            page = check(
                shared, bucket, keys, prefix=prefix, delimiter=delimiter, after=after, limit=limit
            )
            everything += len(page.entries) + len(page.prefixes)
            if not page.truncated:
                break
            assert page.next > after
            after = page.next
        whole = brute_force(keys, prefix, delimiter, b"", 10**6)
        assert everything == len(whole[0]) + len(whole[1])


def test_random_listings_on_every_database(index: Index, bucket: Bucket) -> None:
    rng = random.Random(index.dialect)
    keys = {b"".join(rng.choices(LETTERS, k=rng.randrange(1, 8))) for _ in range(300)}
    keys |= {b"many/%03d" % n for n in range(100)}
    keys |= {b"dir%03d/%d" % (n, m) for n in range(80) for m in range(n % 4 * 3)}
    fill(index, bucket, keys)
    other = index.write(lambda c: buckets.insert(c, "other", "alice", 1))
    fill(index, other, {b"a", b"\xff\xff", b"many/"})
    ordered = sorted(keys)
    for _ in range(250):
        check(
            index,
            bucket,
            keys,
            prefix=rng.choice([b"", b"a", b"a/", b"\xff", b"dir", b"dir07", b"many/"]),
            delimiter=rng.choice([b"", b"/", b"/", b"//", b"\xff", b"\0", b"ab", b"r0"]),
            after=rng.choice([b"", rng.choice(ordered), rng.choice(ordered)[:2], b"dir0", b"z"]),
            limit=rng.choice([0, 1, 2, 30, 90, 1000]),
        )


class Counting(Connection):
    """Counts statements and the rows that they gave."""

    __slots__ = ("connection", "rows", "statements")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.raw, connection.family)
        self.connection = connection
        self.statements = 0
        self.rows = 0

    def all(self, statement: Any, parameters: Any) -> list[Any]:
        rows = self.connection.all(statement, parameters)
        self.statements += 1
        self.rows += len(rows)
        return rows

    def one(self, statement: Any, parameters: Any) -> Any:
        self.statements += 1
        return self.connection.one(statement, parameters)


def count(index: Index, bucket: Bucket, function: Any, **query: Any) -> tuple[int, int, Any]:
    def work(c: Connection) -> tuple[int, int, Any]:
        counting = Counting(c)
        page = function(counting, bucket.id, **query)
        return counting.statements, counting.rows, page

    return index.read(work)


def test_a_common_prefix_hides_any_number_of_keys_at_no_cost(index: Index, bucket: Bucket) -> None:
    fill(index, bucket, {b"d%d/%05d" % (n % 5, n) for n in range(3000)} | {b"e", b"z"})
    for function in (listing.list_keys, listing.list_versions):
        statements, rows, page = count(index, bucket, function, delimiter=b"/", limit=1000)
        assert page.prefixes == [b"d%d/" % n for n in range(5)]
        assert not page.truncated
        assert statements <= 10
        assert rows <= 100


def test_many_common_prefixes_take_few_statements(sqlite: Index) -> None:
    bucket = sqlite.write(lambda c: buckets.insert(c, "photos", "alice", 1))
    fill(sqlite, bucket, {b"d%03d/%02d" % (n % 300, n // 300) for n in range(6000)})
    statements, rows, page = count(sqlite, bucket, listing.list_keys, delimiter=b"/", limit=250)
    assert len(page.prefixes) == 250
    assert page.truncated
    assert statements <= 6
    assert rows <= 400


def test_a_flat_page_reads_one_row_more_than_it_shows(index: Index, bucket: Bucket) -> None:
    fill(index, bucket, {b"%05d" % n for n in range(2000)})
    assert count(index, bucket, listing.list_keys, after=b"00099", limit=100)[:2] == (1, 101)
    statements, rows, _ = count(index, bucket, listing.list_keys, delimiter=b"/", limit=1000)
    assert statements <= 4
    assert rows == 1001


def test_an_entry_shows_what_a_listing_needs(index: Index, bucket: Bucket) -> None:
    stored = put(
        index,
        version(bucket, b"k", 7, checksum=Checksum("CRC32", "AAAAAA=="), storage_class="GLACIER"),
    )
    page = index.read(lambda c: listing.list_keys(c, bucket.id))
    assert page.entries == [
        (b"k", 7, "etag7", 2007, "GLACIER", "alice", "CRC32:FULL_OBJECT:AAAAAA==")
    ]
    (row,) = index.read(lambda c: listing.list_versions(c, bucket.id)).versions
    assert row == listing.VersionRow(
        b"k",
        "null",
        True,
        False,
        7,
        "etag7",
        2007,
        "GLACIER",
        "alice",
        Checksum("CRC32", "AAAAAA=="),
        stored.seq,
    )


def test_versions_are_paged_newest_first_within_a_key(index: Index, bucket: Bucket) -> None:
    rng = random.Random(1)
    expected: dict[bytes, list[tuple[str, bool]]] = {}
    for n in range(60):
        key = rng.choice([b"a", b"b", b"dir/x", b"dir/y", b"\xff", b"c/"])
        marker = rng.random() < 0.3
        new = version(bucket, key, 0 if marker else 3, version_id=f"v{n}", delete_marker=marker)
        add(index, new)
        expected.setdefault(key, []).insert(0, (new.version_id, marker))
    everything = [
        (key, version_id, place == 0, marker)
        for key in sorted(expected)
        for place, (version_id, marker) in enumerate(expected[key])
    ]
    for limit in (1, 2, 7, 59, 60, 61):
        found: list[Any] = []
        markers: dict[str, Any] = {}
        while True:
            page = index.read(
                lambda c, m=markers, n=limit: listing.list_versions(c, bucket.id, limit=n, **m)  # type: ignore[misc]
            )
            found += [tuple(row[:4]) for row in page.versions]
            if not page.truncated:
                break
            assert len(page.versions) == limit
            markers = {"key_marker": page.next_key, "version_id_marker": page.next_version_id}
        assert found == everything
    page = index.read(lambda c: listing.list_versions(c, bucket.id, delimiter=b"/", limit=1000))
    assert page.prefixes == [b"c/", b"dir/"]
    assert [tuple(v[:4]) for v in page.versions] == [e for e in everything if b"/" not in e[0]]
    page = index.read(lambda c: listing.list_versions(c, bucket.id, prefix=b"dir/"))
    assert [tuple(v[:4]) for v in page.versions] == [
        e for e in everything if e[0].startswith(b"dir/")
    ]
    past = index.read(lambda c: listing.list_versions(c, bucket.id, key_marker=b"b", limit=1))
    assert past.versions[0].key == b"c/"


def test_paging_goes_on_when_the_marker_was_removed_meanwhile(index: Index, bucket: Bucket) -> None:
    """Whoever empties a bucket page by page must see every version."""
    for n in range(7):
        add(index, version(bucket, b"k", n, version_id=f"v{n}"))
    removed = 0
    markers: dict[str, Any] = {}
    while True:
        page = index.read(
            lambda c, m=markers: listing.list_versions(c, bucket.id, limit=2, **m)  # type: ignore[misc]
        )
        for row in page.versions:
            found = index.read(
                lambda c, r=row: objects.get_version(c, bucket.id, r.key, r.version_id)  # type: ignore[misc]
            )
            assert found is not None
            assert remove(index, found)
            removed += 1
        if not page.truncated:
            break
        markers = {"key_marker": page.next_key, "version_id_marker": page.next_version_id}
    assert removed == 7
    index.write(lambda c: buckets.delete(c, bucket, 0))


def test_a_marker_that_is_no_version_id_is_harmless(index: Index, bucket: Bucket) -> None:
    add(index, version(bucket, b"k", 1, version_id="v1"))
    for marker in ("☃", "none", "v1\0", "x" * 5000):
        page = index.read(
            lambda c, m=marker: listing.list_versions(  # type: ignore[misc]
                c, bucket.id, key_marker=b"k", version_id_marker=m
            )
        )
        assert [v.version_id for v in page.versions] == ["v1"]
        other = index.read(
            lambda c, m=marker: listing.list_uploads(  # type: ignore[misc]
                c, bucket.id, key_marker=b"k", upload_id_marker=m
            )
        )
        assert other.uploads == []


def test_uploads_are_paged_by_key_and_then_by_id(index: Index, bucket: Bucket) -> None:
    made = []
    for n in range(30):
        key = [b"a", b"b/1", b"b/2", b"\xff", b"a\0"][n % 5]
        upload = Upload(uploads.new_id(1000 + n), bucket.id, key, 1000 + n, "alice", "bob")
        index.write(lambda c, u=upload: uploads.create(c, u))  # type: ignore[misc]
        made.append(upload)
    everything = sorted((upload.key, upload.id) for upload in made)
    assert [id for _, id in everything if _ == b"a"] == [u.id for u in made if u.key == b"a"]
    for limit in (1, 4, 30, 31):
        found: list[Any] = []
        markers: dict[str, Any] = {}
        while True:
            page = index.read(
                lambda c, m=markers, n=limit: listing.list_uploads(c, bucket.id, limit=n, **m)  # type: ignore[misc]
            )
            found += [(row.key, row.id) for row in page.uploads]
            if not page.truncated:
                break
            markers = {"key_marker": page.next_key, "upload_id_marker": page.next_upload_id}
        assert found == everything
    page = index.read(lambda c: listing.list_uploads(c, bucket.id, delimiter=b"/", prefix=b"b"))
    assert (page.uploads, page.prefixes) == ([], [b"b/"])
    assert page.next_upload_id is None
    gone, done = made[0], made[5]

    def end(c: Connection) -> None:
        uploads.abort(c, gone.id, 1)
        uploads.complete(c, done.id, [], objects.Content(done.id, "default", 0), "e", 1)

    index.write(end)
    page = index.read(lambda c: listing.list_uploads(c, bucket.id))
    assert {row.id for row in page.uploads} == {u.id for u in made} - {gone.id, done.id}
    assert page.uploads[0].initiator == "alice"
    assert page.uploads[0].owner == "bob"
