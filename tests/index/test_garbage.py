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
    due = index.read(lambda c: garbage.due(c, 90, 10))
    assert [row[1:] for row in due] == [("default", "b1"), ("default", "b2"), ("default", "b3")]
    assert index.read(lambda c: garbage.due(c, 90, 1)) == due[:1]
    index.write(lambda c: garbage.forget(c, [row[0] for row in due[:2]]))
    assert [row[2] for row in index.read(lambda c: garbage.due(c, 91, 10))] == ["b3", "b9"]
    index.write(lambda c: garbage.forget(c, []))


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

    def known(storage: str, blobs: list[str]) -> set[str]:
        return index.read(lambda c: garbage.known(c, storage, blobs))

    assert known("default", asked) == {"content", "part", "garbage"}
    assert known("cold", asked) == {"elsewhere"}
    many = [f"orphan{n}" for n in range(200)]
    assert known("default", [*many, "part"]) == {"part"}
    assert known("default", ["part", *many]) == {"part"}
    assert known("default", []) == set()
