"""Renames and appends on every database: one transaction each, and no two that wait for each other.

What S3 says of them is tested through requests, in ``tests/operations``.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial

import pytest

from s3kit.assembly import open_store_of
from s3kit.config import Config
from s3kit.errors import IdempotencyParameterMismatch
from s3kit.errors import InvalidWriteOffset
from s3kit.errors import NoSuchKey
from s3kit.errors import S3Error
from s3kit.index import renames
from s3kit.index.connections import Connection
from s3kit.index.objects import lock_current
from s3kit.index.schema import object_annotations
from s3kit.model import Bucket
from s3kit.model import ObjectVersion
from s3kit.model import Versioning
from s3kit.store import Attributes
from s3kit.store import Rename
from s3kit.store import Store
from s3kit.wire.checksums import BodyReader
from tests.databases import KINDS
from tests.databases import fresh_database

BIG = b"x" * 5000
OWNED = Attributes(owner="o")


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    with fresh_database(request.param, folder) as url:
        made = open_store_of(
            Config(
                storages={"default": str(folder / "blobs")},
                index=url,
                durability="relaxed",
                inline_threshold=1000,
            )
        )
        yield made
        made.close()


_numbers = itertools.count()


@pytest.fixture
def bucket(store: Store) -> Bucket:
    return store.buckets.create(f"bucket-{next(_numbers)}", "o")


class Bytes:
    """A file of bytes, as a request's body is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int = -1) -> bytes:
        data, self.data = self.data, b""
        return data


def body(data: bytes) -> BodyReader:
    return BodyReader(Bytes(data), len(data))


def put(store: Store, bucket: Bucket, key: bytes, data: bytes) -> None:
    store.objects.put(bucket, key, body(data), OWNED)


def content(store: Store, bucket: Bucket, key: bytes) -> bytes:
    version = store.objects.get(bucket, key)
    return b"".join(store.objects.read(version))


def keys(store: Store, bucket: Bucket) -> list[bytes]:
    page = store.list_keys(bucket, prefix=b"", delimiter=b"", after=b"", limit=100)
    return [entry[0] for entry in page.entries]


def at_once(*works: Callable[[], object]) -> list[object]:
    """What comes of works begun at the same moment; an S3 error counts as an outcome."""
    found: list[object] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(number: int) -> None:
        barrier.wait(60)
        try:
            found[number] = works[number]()
        except S3Error as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return found


def annotate(store: Store, bucket: Bucket, key: bytes) -> None:
    seq = store.objects.get(bucket, key).seq
    with store.index.engine.begin() as connection:
        connection.execute(
            object_annotations.insert().values(
                seq=seq, name=b"n", size=1, etag="e", modified=1, checksum="", headers="{}",
                payload=b"p",
            )
        )  # fmt: skip


def annotations(store: Store, bucket: Bucket, key: bytes) -> list[bytes]:
    seq = store.objects.get(bucket, key).seq
    with store.index.engine.connect() as connection:
        rows = connection.execute(
            object_annotations.select().where(object_annotations.c.seq == seq)
        ).all()
    return [bytes(row.payload) for row in rows]


@pytest.mark.parametrize("versioning", list(Versioning))
def test_a_rename_takes_all_along(store: Store, bucket: Bucket, versioning: Versioning) -> None:
    if versioning is not Versioning.NEVER:
        bucket = store.buckets.set_versioning(bucket, versioning)
    for data in (b"small", BIG):
        put(store, bucket, b"a", data)
        put(store, bucket, b"b", b"in the way")
        annotate(store, bucket, b"a")
        store.renaming.rename(bucket, Rename(b"a", b"b"))
        assert keys(store, bucket) == [b"b"]
        assert content(store, bucket, b"b") == data
        assert annotations(store, bucket, b"b") == [b"p"]
        with pytest.raises(NoSuchKey):
            store.renaming.rename(bucket, Rename(b"a", b"c"))
    store.objects.delete(bucket, b"b")
    assert keys(store, bucket) == []


def test_a_rename_is_done_once_for_each_token(store: Store, bucket: Bucket) -> None:
    put(store, bucket, b"a", BIG)
    wanted = Rename(b"a", b"b", token="t")
    found = at_once(*[partial(store.renaming.rename, bucket, wanted)] * 4)
    assert found == [None] * 4
    assert keys(store, bucket) == [b"b"]
    with pytest.raises(IdempotencyParameterMismatch):
        store.renaming.rename(bucket, Rename(b"b", b"a", token="t"))
    # The same token at once for something else: one of the two is wrong.
    put(store, bucket, b"c", b"c")
    put(store, bucket, b"d", b"d")
    for number in range(3):
        token = f"u{number}"
        found = at_once(
            partial(store.renaming.rename, bucket, Rename(b"c", b"e", token=token)),
            partial(store.renaming.rename, bucket, Rename(b"d", b"f", token=token)),
        )
        assert {type(each) for each in found} == {type(None), IdempotencyParameterMismatch}
        for key, data in ((b"c", b"c"), (b"d", b"d")):
            put(store, bucket, key, data)


def test_renames_are_not_remembered_for_ever(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renames, "PRUNE", 1)
    now = int(time.time() * 1000)
    for token, until in (("old", now + 5), ("new", now + 1000)):
        store.index.write(partial(renames.remember, token=token, meaning="m", now=now, until=until))
    assert store.index.read(partial(renames.find, token="old", now=now + 4)) == "m"
    assert store.index.read(partial(renames.find, token="old", now=now + 5)) is None
    later = partial(renames.remember, token="next", meaning="m", now=now + 10, until=now + 1000)
    store.index.write(later)
    for token, there in (("old", None), ("new", "m")):
        assert store.index.read(partial(renames.find, token=token, now=now)) == there


def test_both_keys_are_locked_in_one_order(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database would end a deadlock, and s3kit try again; but each costs a second."""
    locked: list[bytes] = []

    def spy(connection: Connection, bucket_id: int, key: bytes) -> ObjectVersion | None:
        locked.append(key)
        return lock_current(connection, bucket_id, key)

    put(store, bucket, b"a", b"a")
    monkeypatch.setattr("s3kit.index.objects.lock_current", spy)
    store.renaming.rename(bucket, Rename(b"a", b"b"))
    store.renaming.rename(bucket, Rename(b"b", b"a"))
    assert locked == [b"a", b"b"] * 2


def test_renames_in_a_ring_end(store: Store, bucket: Bucket) -> None:
    ring = [b"a", b"b", b"c"]
    for _ in range(4):
        for key in ring:
            put(store, bucket, key, key)
        works = [
            partial(store.renaming.rename, bucket, Rename(source, key))
            for source, key in zip(ring, [*ring[1:], ring[0]], strict=True)
        ]
        found = at_once(*works)
        assert all(each is None or isinstance(each, NoSuchKey) for each in found), found
        left = keys(store, bucket)
        assert 1 <= len(left) < 3
        for key in left:
            assert content(store, bucket, key) in ring
        store.objects.delete_many(bucket, [])
        for key in left:
            store.objects.delete(bucket, key)


def test_appends_of_every_kind(store: Store, bucket: Bucket) -> None:
    put(store, bucket, b"k", b"")
    whole = b""
    for piece in (b"in the row", b"still", BIG, b"more", BIG, b"end"):
        seen = store.objects.get(bucket, b"k", inline=False)
        store.appending.append(bucket, seen, body(piece), len(whole))
        whole += piece
        assert content(store, bucket, b"k") == whole
    seen = store.objects.get(bucket, b"k", inline=False)
    store.copying.copy(store.objects.get(bucket, b"k"), bucket, b"copy", OWNED)
    store.appending.append(bucket, seen, body(b"1"), len(whole))
    assert content(store, bucket, b"k") == whole + b"1"
    assert content(store, bucket, b"copy") == whole
    store.objects.delete(bucket, b"k")
    store.collect_garbage(now=2**50)
    assert content(store, bucket, b"copy") == whole
    assert list(store.scrub().run()) == []
    store.buckets.confirm(bucket)


def test_a_copy_of_what_has_grown_meanwhile_has_no_more_than_was_read(
    store: Store, bucket: Bucket
) -> None:
    put(store, bucket, b"k", BIG)
    for number in range(2):
        source = store.objects.get(bucket, b"k")
        store.appending.append(bucket, source, body(b"later"), source.size)
        key = b"copy-%d" % number
        store.copying.copy(source, bucket, key, OWNED)
        made = store.objects.get(bucket, key)
        assert content(store, bucket, key) == BIG + b"later" * number
        assert store.objects.part(made, source.parts + 2) is None
        assert sum(part.size for part in store.objects.parts(made, 0, 10)) in (0, made.size)
    assert list(store.scrub().run()) == []


@pytest.mark.parametrize("size", [10, 5000])
def test_of_appends_at_one_offset_one_wins(store: Store, bucket: Bucket, size: int) -> None:
    put(store, bucket, b"k", b"")
    whole = b""
    for _ in range(3):
        seen = store.objects.get(bucket, b"k", inline=False)
        pieces = [bytes([65 + number]) * size for number in range(4)]
        offset = len(whole)

        def add(piece: bytes, seen: ObjectVersion = seen, offset: int = offset) -> object:
            return store.appending.append(bucket, seen, body(piece), offset)

        found = at_once(*[partial(add, piece) for piece in pieces])
        won = [
            piece
            for piece, each in zip(pieces, found, strict=True)
            if isinstance(each, ObjectVersion)
        ]
        assert len(won) == 1, found
        lost = [each for each in found if not isinstance(each, ObjectVersion)]
        assert all(isinstance(each, InvalidWriteOffset) for each in lost), lost
        whole += won[0]
        assert content(store, bucket, b"k") == whole
    assert list(store.scrub().run()) == []
