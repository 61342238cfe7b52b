"""A bucket's documents in the index."""

from __future__ import annotations

import threading

import pytest

from s3kit.errors import NoSuchBucket
from s3kit.index import buckets
from s3kit.index import settings
from s3kit.index.session import Index
from s3kit.model import SETTING_BITS
from s3kit.model import Bucket
from s3kit.model import Setting


def test_a_document_is_stored_replaced_and_removed(index: Index, bucket: Bucket) -> None:
    document = bytes(range(256)) * 1000
    assert index.read(lambda c: settings.get(c, bucket.id, "cors")) is None
    assert not index.write(lambda c: settings.delete(c, bucket.id, "cors"))
    index.write(lambda c: settings.put(c, bucket.id, "cors", b"old"))
    index.write(lambda c: settings.put(c, bucket.id, "cors", document))
    index.write(lambda c: settings.put(c, bucket.id, "cors", document))
    index.write(lambda c: settings.put(c, bucket.id, "policy", b""))
    assert index.read(lambda c: settings.get(c, bucket.id, "cors")) == document
    assert index.read(lambda c: settings.get(c, bucket.id, "policy")) == b""
    assert index.write(lambda c: settings.delete(c, bucket.id, "cors"))
    assert index.read(lambda c: settings.get(c, bucket.id, "cors")) is None


def test_the_bucket_tells_which_documents_it_has(index: Index, bucket: Bucket) -> None:
    def present() -> int:
        found = index.read(lambda c: buckets.get(c, bucket.name))
        assert found is not None
        state = index.read(lambda c: buckets.get_state(c, bucket.id))
        assert state.present == found.present
        return found.present

    assert present() == Setting.NONE
    for name, bit in SETTING_BITS.items():
        before = present()
        for _ in range(2):
            index.write(lambda c, n=name: settings.put(c, bucket.id, n, b"<x/>"))  # type: ignore[misc]
            assert present() == before | bit
    assert len({*SETTING_BITS.values()}) == len(SETTING_BITS)
    index.write(lambda c: settings.put(c, bucket.id, "metrics/a", b"<x/>"))
    for name, bit in SETTING_BITS.items():
        before = present()
        for _ in range(2):
            index.write(lambda c, n=name: settings.delete(c, bucket.id, n))  # type: ignore[misc]
            assert present() == before & ~bit
    assert present() == Setting.NONE
    enforced = Setting.OWNERSHIP | Setting.OWNER_ENFORCED
    for owner, bits in ((b"BucketOwnerEnforced", enforced), (b"ObjectWriter", Setting.OWNERSHIP)):
        index.write(lambda c, o=owner: settings.put(c, bucket.id, "ownershipControls", o))  # type: ignore[misc]
        assert present() == bits
    index.write(lambda c: settings.put(c, bucket.id, "ownershipControls", b"BucketOwnerEnforced"))
    index.write(lambda c: settings.delete(c, bucket.id, "ownershipControls"))
    assert present() == Setting.NONE
    documents = {"ownershipControls": b"BucketOwnerEnforced", "tagging": b"<x/>"}
    made = index.write(lambda c: buckets.insert(c, "with-documents", "a", 1, documents=documents))
    assert made.present == enforced | Setting.TAGGING
    assert index.read(lambda c: buckets.get(c, "with-documents")) == made
    assert index.read(lambda c: settings.get(c, made.id, "tagging")) == b"<x/>"


def test_a_document_of_a_bucket_that_is_gone_is_refused(index: Index, bucket: Bucket) -> None:
    index.write(lambda c: buckets.delete(c, bucket, 0))
    for name in ("cors", "metrics/a"):
        with pytest.raises(NoSuchBucket):
            index.write(lambda c, n=name: settings.put(c, bucket.id, n, b""))  # type: ignore[misc]


def put_member(index: Index, bucket: Bucket, member: str, most: int = 10) -> bool:
    return index.write(
        lambda c: settings.put_member(c, bucket.id, "metrics", member, member.encode(), most)
    )


def members(index: Index, bucket: Bucket, after: str = "", limit: int = 100) -> list[str]:
    found = index.read(lambda c: settings.members(c, bucket.id, "metrics", after, limit))
    return [one.decode() for one in found]


def test_a_groups_members_are_listed_in_byte_order(index: Index, bucket: Bucket) -> None:
    names = ["-", ".", "0", "A", "Z", "Z-", "Z.", "_", "a", "a" * 56, "ab"]
    for name in reversed(names):
        assert put_member(index, bucket, name, 11)
    for neighbour in ("metric", "metrics", "metrics-", "metrics0", "analytics/a"):
        index.write(lambda c, name=neighbour: settings.put(c, bucket.id, name, b"x"))  # type: ignore[misc]
    assert members(index, bucket) == names
    assert members(index, bucket, after="Z", limit=2) == ["Z-", "Z."]
    assert members(index, bucket, after="ab") == []


def test_the_longest_members_have_names_of_their_own(index: Index, bucket: Bucket) -> None:
    names = ["x" * 56, "x" * 57, "x" * 64, "x" * 63 + "y", "x" * 64 + "y"]
    for name in names:
        assert len(settings.member_name("metrics", name)) <= 64
        assert put_member(index, bucket, name)
    assert sorted(members(index, bucket)) == sorted(names)
    seen: list[str] = []
    while page := members(index, bucket, after=seen[-1] if seen else "", limit=1):
        seen += page
    assert sorted(seen) == sorted(names)


def test_a_group_takes_no_more_than_its_limit(index: Index, bucket: Bucket) -> None:
    assert put_member(index, bucket, "a", 2)
    assert put_member(index, bucket, "b", 2)
    assert not put_member(index, bucket, "c", 2)
    assert put_member(index, bucket, "a", 2)
    assert members(index, bucket) == ["a", "b"]


def test_writers_at_once_do_not_pass_the_limit(index: Index, bucket: Bucket) -> None:
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=name: taken.append(put_member(index, bucket, n, 3)))
        for name in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 5 + [True] * 3
    assert len(members(index, bucket)) == 3


def test_a_group_of_a_bucket_that_is_gone_takes_nothing(index: Index, bucket: Bucket) -> None:
    index.write(lambda c: buckets.delete(c, bucket, 0))
    with pytest.raises(NoSuchBucket):
        put_member(index, bucket, "a")
