"""Sealed bytes: any range is the plaintext's, and whatever is not as it was written is an error."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.blobs import sealed
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.blobs.sealed import HEADER
from s3kit.blobs.sealed import SEGMENT
from s3kit.blobs.sealed import TAG
from s3kit.blobs.sealed import Opening
from s3kit.blobs.sealed import Seal
from s3kit.blobs.sealed import SealBroken
from s3kit.blobs.sealed import SealedWriter
from s3kit.blobs.sealed import open_bytes
from s3kit.blobs.sealed import open_sealed
from s3kit.blobs.sealed import seal_bytes
from s3kit.blobs.sealed import sealed_size

SMALL = 32
"""In place of 64 KiB, so that a few bytes are many segments."""

BLOB = "ab" * 16
KEYS = (b"k" * 32,)
TWO = (b"k" * 32, b"l" * 32)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sealed, "SEGMENT", SMALL)
    yield
    patch.undo()


def store_with(data: bytes, blob: str = BLOB) -> MemoryBlobStore:
    store = MemoryBlobStore("default")
    put(store, blob, data)
    return store


def put(store: MemoryBlobStore, blob: str, data: bytes) -> None:
    store.delete(blob)
    writer = store.create(blob)
    writer.write(data)
    writer.commit()


def read(data: bytes, seal: Seal, size: int, start: int = 0, end: int | None = None) -> bytes:
    blocks = open_sealed(store_with(data), BLOB, seal, size, start, size if end is None else end)
    try:
        return b"".join(blocks)
    finally:
        blocks.close()


plaintexts = st.binary(max_size=5 * SMALL) | st.integers(0, 5).map(lambda n: b"x" * (n * SMALL))
layers = st.sampled_from([KEYS, TWO])


@given(plaintexts, layers, st.lists(st.integers(1, 3 * SMALL)))
def test_what_is_written_in_any_pieces_is_sealed_as_in_one(
    plain: bytes, keys: tuple[bytes, ...], pieces: list[int]
) -> None:
    seal = Seal(keys)
    store = MemoryBlobStore("default")
    writer = SealedWriter(store.create(BLOB), seal)
    rest = memoryview(plain)
    for size in pieces:
        writer.write(rest[:size])
        rest = rest[size:]
    writer.write(bytes(rest))
    writer.commit()
    found = b"".join(store.open(BLOB, 0, store.size(BLOB)))
    assert found == seal_bytes(seal, plain)
    assert len(found) == seal.size(len(plain)) == sealed_size(len(plain), len(keys))
    assert open_bytes(seal, found, len(plain)) == plain


@given(plaintexts.filter(bool), layers, st.data())
def test_any_range_is_that_of_the_plaintext(
    plain: bytes, keys: tuple[bytes, ...], data: st.DataObject
) -> None:
    seal = Seal(keys)
    start = data.draw(st.integers(0, len(plain) - 1))
    end = data.draw(st.integers(start + 1, len(plain)))
    assert read(seal_bytes(seal, plain), seal, len(plain), start, end) == plain[start:end]


class Counting(MemoryBlobStore):
    """Remembers which ranges were asked for."""

    def __init__(self) -> None:
        super().__init__("default")
        self.asked: list[tuple[int, int]] = []

    def open(self, blob_id: str, start: int, end: int):  # type: ignore[no-untyped-def]
        self.asked.append((start, end))
        return super().open(blob_id, start, end)


def test_a_range_reads_only_the_segments_that_hold_it() -> None:
    seal = Seal(KEYS)
    plain = bytes(range(250)) * 4
    store = Counting()
    put(store, BLOB, seal_bytes(seal, plain))
    reader = open_sealed(store, BLOB, seal, len(plain), 3 * SMALL + 5, 5 * SMALL - 1)
    assert b"".join(reader) == plain[3 * SMALL + 5 : 5 * SMALL - 1]
    stored = SMALL + TAG
    assert store.asked == [(HEADER + 3 * stored, HEADER + 5 * stored)]


@given(plaintexts.filter(bool), layers, st.data())
def test_any_changed_bit_is_an_error(
    plain: bytes, keys: tuple[bytes, ...], data: st.DataObject
) -> None:
    seal = Seal(keys)
    found = bytearray(seal_bytes(seal, plain))
    place = data.draw(st.integers(0, len(found) - 1))
    found[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        read(bytes(found), seal, len(plain))
    with pytest.raises(SealBroken):
        open_bytes(seal, bytes(found), len(plain))


@given(plaintexts.filter(bool), layers, st.data())
def test_in_a_range_a_changed_bit_is_an_error_or_was_not_read(
    plain: bytes, keys: tuple[bytes, ...], data: st.DataObject
) -> None:
    seal = Seal(keys)
    found = bytearray(seal_bytes(seal, plain))
    found[data.draw(st.integers(0, len(found) - 1))] ^= 1
    start = data.draw(st.integers(0, len(plain) - 1))
    end = data.draw(st.integers(start + 1, len(plain)))
    try:
        assert read(bytes(found), seal, len(plain), start, end) == plain[start:end]
    except SealBroken:
        pass


def cut(found: bytes, n: int) -> bytes:
    return found[: len(found) - 1 - n % (len(found) - HEADER)]


def cut_segment(found: bytes, n: int) -> bytes:
    return found[: HEADER + (SMALL + TAG) * (n % 3)]


def extend(found: bytes, n: int) -> bytes:
    return found + b"\0" * (1 + n % 200)


def repeat_last(found: bytes, n: int) -> bytes:
    return found + found[HEADER + (SMALL + TAG) * 2 :]


def swap(found: bytes, n: int) -> bytes:
    pieces = segments_of(found)
    pieces[0], pieces[1 + n % 2] = pieces[1 + n % 2], pieces[0]
    return found[:HEADER] + b"".join(pieces)


def drop_one(found: bytes, n: int) -> bytes:
    pieces = segments_of(found)
    del pieces[n % 3]
    return found[:HEADER] + b"".join(pieces)


def segments_of(found: bytes) -> list[bytes]:
    size = SMALL + TAG
    return [found[at : at + size] for at in range(HEADER, len(found), size)]


@pytest.mark.parametrize("damage", [cut, cut_segment, extend, repeat_last, swap, drop_one])
@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, SMALL))
def test_cut_extended_and_reordered_bytes_are_an_error(
    damage: Callable[[bytes, int], bytes], n: int, tail: int
) -> None:
    seal = Seal(KEYS)
    plain = bytes(range(2 * SMALL)) + b"z" * (tail or 1)
    damaged = damage(seal_bytes(seal, plain), n)
    with pytest.raises((SealBroken, OSError)):
        read(damaged, seal, len(plain))
    with pytest.raises(SealBroken):
        open_bytes(seal, damaged, len(plain))
    # Nor does it pass for an object of another size.
    for size in {len(damaged) - HEADER - TAG * count for count in (1, 2, 3, 4)}:
        if size >= 0 and seal.size(size) == len(damaged):
            with pytest.raises(SealBroken):
                open_bytes(seal, damaged, size)


@given(st.integers(0, 2), st.sampled_from(["other key", "same key"]))
def test_segments_of_another_blob_are_an_error(number: int, kind: str) -> None:
    """Also of one with the same data key: another part, or the same part sent before."""
    mine = Seal(KEYS)
    other = Seal(KEYS if kind == "same key" else (b"o" * 32,))
    plain = b"p" * (3 * SMALL)
    found = seal_bytes(mine, plain)
    foreign = seal_bytes(other, plain)
    pieces = segments_of(found)
    pieces[number] = segments_of(foreign)[number]
    for damaged in (
        found[:HEADER] + b"".join(pieces),
        foreign,
        found[:HEADER] + foreign[HEADER:],
    ):
        with pytest.raises(SealBroken):
            read(damaged, mine, len(plain))


def test_what_was_never_sealed_is_an_error() -> None:
    seal = Seal(KEYS)
    for size in (0, 1, SMALL, 3 * SMALL):
        with pytest.raises(SealBroken):
            open_bytes(seal, b"plain" * 100, size)
        with pytest.raises(SealBroken):
            open_bytes(seal, b"", size)


def test_nothing_says_what_was_sealed_or_with_which_key() -> None:
    seal = Seal((b"secret-key-secret-key-secret-key",))
    assert b"secret" not in seal_bytes(seal, b"secret text")
    assert "secret" not in repr(seal)
    # The same bytes are never the same twice.
    assert seal_bytes(seal, b"text") != seal_bytes(Seal(seal.keys), b"text")


def test_a_broken_first_segment_is_known_before_anything_is_sent() -> None:
    seal = Seal(KEYS)
    found = bytearray(seal_bytes(seal, b"p" * (3 * SMALL)))
    found[HEADER] ^= 1
    with pytest.raises(SealBroken):
        open_sealed(store_with(bytes(found)), BLOB, seal, 3 * SMALL, 0, SMALL)


@given(plaintexts, st.lists(st.integers(1, 2 * SMALL)))
def test_blocks_of_any_size_are_opened_as_they_come(plain: bytes, pieces: list[int]) -> None:
    seal = Seal(KEYS)
    rest = seal_bytes(seal, plain)
    opening = Opening(seal, len(plain))
    found = b""
    for size in pieces:
        found += opening.feed(rest[:size])
        rest = rest[size:]
    found += opening.feed(rest)
    opening.finish()
    assert found == plain


def test_a_segment_is_64_kib() -> None:
    assert SEGMENT == 64 * 1024
