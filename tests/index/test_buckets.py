"""Buckets in the index."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3kit.errors import BucketAlreadyExists
from s3kit.errors import BucketNotEmpty
from s3kit.errors import InvalidBucketState
from s3kit.errors import NoSuchBucket
from s3kit.index import buckets
from s3kit.index import garbage
from s3kit.index import settings
from s3kit.index import uploads
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Grant
from s3kit.model import Part
from s3kit.model import Permission
from s3kit.model import Upload
from s3kit.model import Versioning
from tests.index.rows import add
from tests.index.rows import blob
from tests.index.rows import put
from tests.index.rows import remove
from tests.index.rows import version


def test_a_bucket_is_read_as_it_was_made(index: Index) -> None:
    acl = Acl("ålice", (Grant("bob", Permission.READ),))
    made = index.write(lambda c: buckets.insert(c, "a.b-c", "ålice", 123, "eu-1", acl, True))
    assert index.read(lambda c: buckets.get(c, "a.b-c")) == made
    assert made == Bucket(made.id, "a.b-c", "ålice", 123, "eu-1", acl, Versioning.NEVER, True)
    for other in ("a.b-d", "A.B-C", "a.b-c ", "☃", "", "a.b-c\0"):
        assert index.read(lambda c, n=other: buckets.get(c, n)) is None  # type: ignore[misc]


def test_a_name_is_given_once_whoever_asks(index: Index) -> None:
    begin = threading.Barrier(4)

    def create(n: int) -> bool:
        begin.wait()
        try:
            index.write(lambda c: buckets.insert(c, "one", f"account{n}", 1))
        except BucketAlreadyExists as error:
            assert error.details["bucket_name"] == "one"
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [False, False, False, True]


def test_acl_and_versioning_are_replaced(index: Index, bucket: Bucket) -> None:
    acl = Acl("alice", ())
    index.write(lambda c: buckets.set_acl(c, bucket.id, acl))
    index.write(lambda c: buckets.set_versioning(c, bucket.id, Versioning.SUSPENDED))
    read = index.read(lambda c: buckets.get(c, "photos"))
    assert read is not None
    assert (read.acl, read.versioning) == (acl, Versioning.SUSPENDED)
    # Again: a database that counts changed rows only would say that there is none.
    index.write(lambda c: buckets.set_acl(c, bucket.id, acl))
    index.write(lambda c: buckets.set_versioning(c, bucket.id, Versioning.SUSPENDED))
    with pytest.raises(NoSuchBucket):
        index.write(lambda c: buckets.set_acl(c, bucket.id + 1, None))
    with pytest.raises(NoSuchBucket):
        index.write(lambda c: buckets.set_versioning(c, bucket.id + 1, Versioning.ENABLED))


def test_object_lock_and_suspended_versioning_exclude_each_other(
    index: Index, bucket: Bucket
) -> None:
    def now() -> tuple[Versioning, bool]:
        state = index.read(lambda c: buckets.get_state(c, bucket.id))
        return state.versioning, state.object_lock

    def set_versioning(versioning: Versioning) -> None:
        index.write(lambda c: buckets.set_versioning(c, bucket.id, versioning))

    for versioning in (None, Versioning.SUSPENDED):
        if versioning is not None:
            set_versioning(versioning)
        with pytest.raises(InvalidBucketState):
            index.write(lambda c: buckets.set_object_lock(c, bucket.id))
        assert not now()[1]
    set_versioning(Versioning.ENABLED)
    for _ in range(2):
        index.write(lambda c: buckets.set_object_lock(c, bucket.id))
        set_versioning(Versioning.ENABLED)
        assert now() == (Versioning.ENABLED, True)
        with pytest.raises(InvalidBucketState):
            set_versioning(Versioning.SUSPENDED)
    assert now() == (Versioning.ENABLED, True)
    for work in (
        lambda c: buckets.set_object_lock(c, bucket.id + 1),
        lambda c: buckets.set_versioning(c, bucket.id + 1, Versioning.SUSPENDED),
    ):
        with pytest.raises(NoSuchBucket):
            index.write(work)


def test_of_object_lock_and_suspension_at_once_one_comes_first(index: Index) -> None:
    def locking(c: Connection, number: int) -> None:
        buckets.set_object_lock(c, number)

    def suspending(c: Connection, number: int) -> None:
        buckets.set_versioning(c, number, Versioning.SUSPENDED)

    for turn in range(5):
        made = index.write(
            lambda c, n=turn: buckets.insert(  # type: ignore[misc]
                c, f"race-{n}", "a", 1, versioning=Versioning.ENABLED
            )
        )
        begin = threading.Barrier(2)

        def run(
            work: Callable[[Connection, int], None],
            number: int = made.id,
            begin: threading.Barrier = begin,
        ) -> bool:
            begin.wait()
            try:
                index.write(lambda c: work(c, number))
            except InvalidBucketState:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(run, (locking, suspending))) == [False, True]
        state = index.read(lambda c, n=made.id: buckets.get_state(c, n))  # type: ignore[misc]
        assert state.object_lock is (state.versioning is Versioning.ENABLED)


def test_a_bucket_with_any_version_is_not_empty(index: Index, bucket: Bucket) -> None:
    marker = add(index, version(bucket, b"k", 0, delete_marker=True))
    with pytest.raises(BucketNotEmpty):
        index.write(lambda c: buckets.delete(c, bucket, 0))
    remove(index, marker)
    index.write(lambda c: buckets.delete(c, bucket, 0))
    assert index.read(lambda c: buckets.get(c, "photos")) is None
    with pytest.raises(NoSuchBucket):
        index.write(lambda c: buckets.delete(c, bucket, 0))
    again = index.write(lambda c: buckets.insert(c, "photos", "bob", 2))
    assert again.id > bucket.id


def test_a_removed_bucket_takes_uploads_and_settings_with_it(index: Index, bucket: Bucket) -> None:
    other = index.write(lambda c: buckets.insert(c, "other", "alice", 1))
    for upload_id, home in (("u1", bucket), ("u2", bucket), ("u3", other), ("done", bucket)):
        upload = Upload(upload_id, home.id, b"k", 1, "alice", "alice")
        index.write(lambda c, u=upload: uploads.create(c, u))  # type: ignore[misc]
        part = Part(1, 5, "e", 1, "default", f"blob-{upload_id}")
        index.write(lambda c, u=upload, p=part: uploads.put_part(c, u.id, p))  # type: ignore[misc]
    index.write(lambda c: settings.put(c, bucket.id, "cors", b"<x/>"))
    content = blob("done", 5, parts=1)
    index.write(lambda c: uploads.complete(c, "done", [(1, 0)], content, "e-1", 2))
    made = put(index, version(bucket, b"k", content=content, parts=1))
    copied = put(index, version(other, b"k", content=content, parts=1), new_content=False)
    remove(index, made)
    index.write(lambda c: buckets.delete(c, bucket, 77))
    # The parts of the copied object stay, though its upload was to the bucket that went.
    assert {row[1] for row in index.read(lambda c: garbage.due(c, "default", 78, 10))} == {
        "blob-u1",
        "blob-u2",
    }
    assert index.read(lambda c: garbage.due(c, "default", 77, 10)) == []
    assert index.read(lambda c: uploads.get(c, bucket.id, b"k", "u1")) is None
    assert index.read(lambda c: uploads.get(c, other.id, b"k", "u3")) is not None
    assert [p.blob for p in index.read(lambda c: uploads.parts(c, "done"))] == ["blob-done"]
    remove(index, copied)
    assert len(index.read(lambda c: garbage.due(c, "default", 10**15, 10))) == 3


def test_a_part_that_arrives_while_its_bucket_is_removed_becomes_garbage(
    index: Index, bucket: Bucket
) -> None:
    """Nobody would find its row and its blob again once the upload is gone."""
    upload = Upload("upload", bucket.id, b"k", 1, "alice", "alice")
    index.write(lambda c: uploads.create(c, upload))
    stored = threading.Event()
    go_on = threading.Event()

    def put_part(c: Connection) -> None:
        uploads.put_part(c, upload.id, Part(1, 5, "e", 1, "default", "blob"))
        stored.set()
        if index.dialect != "sqlite":
            go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        arriving = pool.submit(index.write, put_part)
        assert stored.wait(30)
        removing = pool.submit(index.write, lambda c: buckets.delete(c, bucket, 7))
        # Long enough to reach the upload, which the part holds.
        time.sleep(0.3)
        go_on.set()
        arriving.result(30)
        removing.result(30)
    assert index.read(lambda c: uploads.parts(c, upload.id)) == []
    assert [row[1] for row in index.read(lambda c: garbage.due(c, "default", 8, 10))] == ["blob"]


def test_buckets_are_paged_by_account_and_prefix(index: Index) -> None:
    names = ["a", "a-1", "a.b", "ab", "b", "b1", "zz"]
    for name in names:
        index.write(lambda c, n=name: buckets.insert(c, n, "alice", 1))  # type: ignore[misc]
    index.write(lambda c: buckets.insert(c, "a-bobs", "bob", 1))

    def page(*arguments: object) -> list[str]:
        return [b.name for b in index.read(lambda c: buckets.page(c, "alice", *arguments))]  # type: ignore[arg-type]

    assert page() == names
    assert page("a") == ["a", "a-1", "a.b", "ab"]
    assert page("a", "a-1") == ["a.b", "ab"]
    assert page("", "ab", 2) == ["b", "b1"]
    assert page("☃") == []
    assert page("a\0") == []
    assert page("", "a\0b") == names[1:]
    assert page("", "a.☃") == ["ab", "b", "b1", "zz"]
    assert page("", "☃") == []
    assert [b.name for b in index.read(lambda c: buckets.page(c, "bob"))] == ["a-bobs"]
    assert index.read(lambda c: buckets.page(c, "nobody")) == []


def test_accounts_have_buckets_of_one_name(index: Index) -> None:
    """CS-23: each finds its own; without an account only a name that is there once is found."""

    def make(name: str, account: str) -> Bucket:
        return index.write(lambda c: buckets.insert(c, name, account, 1, of_account=True))

    mine, yours, single = make("photos", "alice"), make("photos", "bob"), make("ab", "Ümit")
    assert (mine.name, yours.name) == ("photos", "photos")
    assert mine.id != yours.id
    with pytest.raises(BucketAlreadyExists):
        make("photos", "alice")

    def find(name: str, account: str) -> Bucket | None:
        return index.read(lambda c: buckets.get_of(c, name, account))

    assert find("photos", "alice") == mine
    assert find("photos", "bob") == yours
    assert find("ab", "Ümit") == single
    for name, account in (
        ("photos", "carol"),
        ("photos", ""),
        ("photos", "a\0b"),
        ("photos", "a" * 256),
        ("photos ", "alice"),
        ("Photos", "alice"),
        ("photos", "Alice"),
        ("phöt", "alice"),
        ("photo", "alice"),
    ):
        assert find(name, account) is None

    def only(name: str) -> Bucket | None:
        return index.read(lambda c: buckets.get_only(c, name))

    assert only("ab") == single
    assert only("photos") is None
    for name in ("a", "abc", "AB", "ab ", "ab\x00", "äb"):
        assert only(name) is None
    assert index.read(lambda c: buckets.get(c, "photos")) is None


def test_rows_from_when_names_were_unique_stay_their_owners(index: Index) -> None:
    old = index.write(lambda c: buckets.insert(c, "photos", "alice", 1))
    assert not index.read(buckets.are_of_accounts)
    new = index.write(lambda c: buckets.insert(c, "photos", "bob", 1, of_account=True))
    assert index.read(buckets.are_of_accounts)
    assert index.read(lambda c: buckets.get_of(c, "photos", "alice")) == old
    assert index.read(lambda c: buckets.get_of(c, "photos", "bob")) == new
    assert index.read(lambda c: buckets.get_of(c, "photos", "carol")) is None
    assert index.read(lambda c: buckets.get_only(c, "photos")) is None
    index.write(lambda c: buckets.delete(c, new, 1))
    assert index.read(lambda c: buckets.get_only(c, "photos")) == old


def test_pages_of_names_per_account_are_in_the_order_of_names(index: Index) -> None:
    names = ["a", "a-b", "a.b", "a0", "ab", "b", "b-", "b0"]
    for number, name in enumerate(reversed(names)):
        # As in an index whose names were unique until a while ago.
        index.write(
            lambda c, n=name, o=number % 3 != 0: buckets.insert(c, n, "alice", 1, of_account=o)  # type: ignore[misc]
        )
        index.write(lambda c, n=name: buckets.insert(c, n, "bob", 1, of_account=True))  # type: ignore[misc]
    for limit in (1, 2, 3, 100):
        found: list[str] = []
        while True:
            after = found[-1] if found else ""
            page = index.read(lambda c, a=after: buckets.page(c, "alice", after=a, limit=limit))  # type: ignore[misc]  # noqa: B023
            assert all(each.account == "alice" for each in page)
            found += [each.name for each in page]
            if len(page) < limit:
                break
        assert found == names
    assert [b.name for b in index.read(lambda c: buckets.page(c, "alice", prefix="a"))] == names[:5]
    assert index.read(lambda c: buckets.page(c, "alice", prefix="a!")) == []
