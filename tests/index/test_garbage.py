"""The garbage list and what the orphan sweep asks."""

from __future__ import annotations

from s3kit.index import garbage
from s3kit.index import uploads
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import Part
from s3kit.model import Upload
from tests.index.rows import blob
from tests.index.rows import put
from tests.index.rows import version


def test_what_is_due_comes_oldest_first_until_it_is_forgotten(index: Index) -> None:
    def work(c: Connection) -> None:
        for n in (3, 1, 2, 9):
            garbage.add(c, "default", f"b{n}", n * 10)

    index.write(work)
    due = index.read(lambda c: garbage.due(c, "default", 90, 10))
    assert [row[1] for row in due] == ["b1", "b2", "b3"]
    assert index.read(lambda c: garbage.due(c, "default", 90, 1)) == due[:1]
    index.write(lambda c: garbage.forget(c, [row[0] for row in due[:2]]))
    later = index.read(lambda c: garbage.due(c, "default", 91, 10))
    assert [row[1] for row in later] == ["b3", "b9"]
    index.write(lambda c: garbage.forget(c, []))


def test_what_cannot_be_removed_goes_to_the_end_of_the_list(index: Index) -> None:
    def work(c: Connection) -> None:
        for n in (1, 2, 3):
            garbage.add(c, "default", f"b{n}", n)

    def due(before: int) -> list[tuple[int, str]]:
        return index.read(lambda c: garbage.due(c, "default", before, 10))

    index.write(work)
    index.write(lambda c: garbage.postpone(c, [row[0] for row in due(3)], 50))
    assert [blob for _, blob in due(50)] == ["b3"]
    assert sorted(blob for _, blob in due(51)) == ["b1", "b2", "b3"]


def test_each_storage_has_a_list_of_its_own(index: Index) -> None:
    index.write(lambda c: garbage.add(c, "default", "near", 1))
    index.write(lambda c: garbage.add(c, "cold", "far", 1))
    for storage, blobs in (("default", ["near"]), ("cold", ["far"]), ("gone", [])):
        due = index.read(lambda c, name=storage: garbage.due(c, name, 9, 9))  # type: ignore[misc]
        assert [blob for _, blob in due] == blobs


def test_known_blobs_are_those_of_contents_parts_and_garbage(index: Index, bucket: Bucket) -> None:
    put(index, version(bucket, b"k", content=blob("content")))
    put(index, version(bucket, b"m", content=blob("manifest", 5, parts=2)))

    def work(c: Connection) -> None:
        uploads.create(c, Upload("u", bucket.id, b"k", 1, "alice", "alice"))
        uploads.put_part(c, "u", Part(1, 5, "e", 1, "default", "part"))
        garbage.add(c, "default", "garbage", 1)
        garbage.add(c, "cold", "elsewhere", 1)

    index.write(work)
    asked = ["content", "manifest", "part", "garbage", "elsewhere", "CONTENT", "orphan"]

    def known(blobs: list[str]) -> set[str]:
        return index.read(lambda c: garbage.known(c, blobs))

    # On whatever storage: one that was given another name still holds what it held.
    assert known(asked) == {"content", "part", "garbage", "elsewhere"}
    many = [f"orphan{n}" for n in range(200)]
    assert known([*many, "part"]) == {"part"}
    assert known(["part", *many]) == {"part"}
    assert known([]) == set()
