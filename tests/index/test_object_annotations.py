"""Annotations' rows, on every kind of database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3kit.errors import NoSuchKey
from s3kit.index import object_annotations as annotations
from s3kit.index import objects
from s3kit.index.session import Connection
from s3kit.index.session import Index
from s3kit.model import Annotation
from s3kit.model import Bucket
from s3kit.model import Checksum
from s3kit.model import ObjectVersion


def note(name: str, **more: object) -> Annotation:
    return replace(
        Annotation(name, 4, "0" * 32, 5_000, Checksum("CRC32", "AAAAAA==")),
        **more,  # type: ignore[arg-type]
    )


def stored(index: Index, bucket: Bucket, *notes: Annotation, payload: bytes = b"text") -> int:
    version = ObjectVersion(bucket.id, b"k", 3, "e" * 32, 1_000, "alice", inline=b"abc")

    def work(c: Connection) -> int:
        current = objects.lock_current(c, bucket.id, b"k")
        seq = objects.put_version(c, version, replaces=current, new_content=True)
        for each in notes:
            annotations.put(c, seq, each, payload)
        return seq

    return index.write(work)


def names(index: Index, seq: int, prefix: str = "", after: str = "", limit: int = 9) -> list[str]:
    page = index.read(lambda c: annotations.page(c, seq, prefix, after, limit))
    return [each.name for each in page]


def test_an_annotation_is_read_as_it_was_written(index: Index, bucket: Bucket) -> None:
    sealed = note("ä.1", headers={"sealing": "00ff"}, checksum=Checksum("SHA512", "A" * 86 + "=="))
    large = bytes(range(256)) * 4096
    seq = stored(index, bucket, sealed, payload=large)
    assert index.read(lambda c: annotations.get(c, seq, "ä.1")) == (sealed, large)
    assert index.read(lambda c: annotations.get(c, seq, "Ä.1")) is None
    assert index.read(lambda c: annotations.get(c, seq + 1, "ä.1")) is None
    index.write(lambda c: annotations.put(c, seq, note("ä.1", size=1), b"x"))
    assert index.read(lambda c: annotations.get(c, seq, "ä.1")) == (note("ä.1", size=1), b"x")
    assert index.read(lambda c: annotations.count(c, seq)) == 1


def test_a_page_is_in_the_order_of_bytes(index: Index, bucket: Bucket) -> None:
    wanted = ["A", "a", "a-b", "a.b", "aa", "b", "ä", "標", "𝕏"]
    seq = stored(index, bucket, *(note(name) for name in reversed(wanted)))
    assert names(index, seq) == wanted
    assert names(index, seq, "a") == ["a", "a-b", "a.b", "aa"]
    assert names(index, seq, "a", "a-b", 1) == ["a.b"]
    assert names(index, seq, "", "ä") == ["標", "𝕏"]
    assert names(index, seq, "𝕏") == ["𝕏"]
    assert names(index, seq, "x") == []


def test_annotations_are_copied_while_what_they_are_of_is_replaced(
    index: Index, bucket: Bucket
) -> None:
    old = stored(index, bucket, note("n"), note("m"))
    version = ObjectVersion(bucket.id, b"k", 3, "e" * 32, 2_000, "alice", inline=b"abc")

    def work(c: Connection) -> int:
        return objects.put_version(
            c,
            version,
            replaces=objects.lock_current(c, bucket.id, b"k"),
            new_content=True,
            meanwhile=lambda seq: annotations.copy(c, old, seq),
        )

    new = index.write(work)
    assert names(index, old) == []
    assert names(index, new) == ["m", "n"]
    assert index.read(lambda c: annotations.get(c, new, "n")) == (note("n"), b"text")
    changed = note("n", checksum=None)
    index.write(lambda c: annotations.change(c, new, changed, b"TEXT"))
    assert index.read(lambda c: annotations.get(c, new, "n")) == (changed, b"TEXT")


def test_annotations_go_with_their_version(index: Index, bucket: Bucket) -> None:
    seq = stored(index, bucket, note("n"))
    assert index.read(lambda c: annotations.has_any(c, seq))
    assert index.read(lambda c: annotations.exists(c, seq, "n"))

    def remove(c: Connection) -> bool:
        version = objects.lock_current(c, bucket.id, b"k")
        assert version is not None
        return objects.remove_version(c, version)

    assert index.write(remove)
    assert not index.read(lambda c: annotations.has_any(c, seq))
    with pytest.raises(NoSuchKey):
        index.write(lambda c: annotations.put(c, seq, note("n"), b"text"))
    assert not index.write(lambda c: annotations.delete(c, seq, "n"))
