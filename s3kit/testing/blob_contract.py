"""The tests that every storage must pass, yours too.

.. code-block:: python

    # tests/test_tape.py
    import pytest
    from s3kit.testing.blob_contract import BlobStoreContract

    class TestTape(BlobStoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            store = TapeStore("tape", drive=tmp_path)
            yield store
            store.close()
"""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from ..blobs.base import BLOCK
from ..blobs.base import BlobStore
from ..blobs.base import Buffer
from ..blobs.base import new_blob_id

_NO_BLOB_IDS = (
    "",
    "a",
    "..",
    "../../../../../etc/passwd-aaaaaaaa",
    "/etc/passwd-aaaaaaaaaaaaaaaaaaaaaaa",
    "aa/bb/aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "0123456789abcdef0123456789abcde",
    "0123456789ABCDEF0123456789ABCDEF",
    "0123456789abcdef0123456789abcdef\n",
    "0123456789abcdef\x000123456789abcdef",
    "٠١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠١",
)


def put(store: BlobStore, *blocks: Buffer, size_hint: int | None = None) -> str:
    """Store a blob of these blocks; answers its id."""
    blob_id = new_blob_id()
    writer = store.create(blob_id, size_hint)
    for block in blocks:
        writer.write(block)
    writer.commit()
    return blob_id


def get(store: BlobStore, blob_id: str, start: int, end: int) -> bytes:
    """The bytes of a range of a blob."""
    return b"".join(store.open(blob_id, start, end))


class BlobStoreContract:
    """Subclass it and give it a fixture ``store``."""

    @pytest.fixture
    def store(self) -> Iterator[BlobStore]:
        raise NotImplementedError("Give your class a fixture named store.")

    def test_it_is_a_blob_store(self, store: BlobStore) -> None:
        assert isinstance(store, BlobStore)
        assert isinstance(store.name, str)
        assert isinstance(store.capabilities.durable, bool)
        assert isinstance(store.capabilities.shared, bool)

    def test_a_blob_comes_back_as_it_was_written(self, store: BlobStore) -> None:
        for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7):
            data = random.Random(size).randbytes(size)
            blob_id = put(store, data, size_hint=size)
            assert store.size(blob_id) == size
            assert get(store, blob_id, 0, size) == data

    def test_blocks_of_every_kind_are_joined_in_order(self, store: BlobStore) -> None:
        data = random.Random(1).randbytes(5000)
        blob_id = put(store, data[:1], b"", bytearray(data[1:3000]), memoryview(data)[3000:])
        assert get(store, blob_id, 0, 5000) == data

    def test_the_caller_may_use_its_buffer_again(self, store: BlobStore) -> None:
        blob_id = new_blob_id()
        writer = store.create(blob_id, None)
        buffer = bytearray(b"first")
        writer.write(memoryview(buffer))
        buffer[:] = b"again"
        writer.write(memoryview(buffer))
        writer.commit()
        assert get(store, blob_id, 0, 10) == b"firstagain"

    def test_a_wrong_size_hint_does_no_harm(self, store: BlobStore) -> None:
        assert get(store, put(store, b"abc", size_hint=1), 0, 3) == b"abc"
        assert store.size(put(store, b"abc", size_hint=1_000_000)) == 3

    def test_any_range_can_be_read(self, store: BlobStore) -> None:
        chance = random.Random(2)
        size = 2 * BLOCK + 11
        data = chance.randbytes(size)
        blob_id = put(store, data)
        edges = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, size - 1, size]
        ranges = [(start, end) for start in edges for end in edges if start <= end]
        for start, end in chance.sample(ranges, 16):
            assert get(store, blob_id, start, end) == data[start:end]

    def test_reading_past_the_end_is_an_error_and_never_a_short_answer(
        self, store: BlobStore
    ) -> None:
        blob_id = put(store, b"0123456789")
        with pytest.raises(OSError):
            get(store, blob_id, 5, 11)
        with pytest.raises(OSError):
            get(store, blob_id, 20, 30)

    def test_a_missing_blob_is_reported_when_it_is_opened(self, store: BlobStore) -> None:
        with pytest.raises(FileNotFoundError):
            store.open(new_blob_id(), 0, 1)
        with pytest.raises(FileNotFoundError):
            store.open(new_blob_id(), 0, 0)
        with pytest.raises(FileNotFoundError):
            store.size(new_blob_id())

    def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(self, store: BlobStore) -> None:
        blob_id = put(store, b"bytes")
        kept = put(store, b"kept")
        store.delete(blob_id)
        store.delete(blob_id)
        with pytest.raises(FileNotFoundError):
            store.open(blob_id, 0, 5)
        assert get(store, kept, 0, 4) == b"kept"
        assert [name for name, _ in store.sweep()] == [kept]

    def test_a_discarded_blob_never_was(self, store: BlobStore) -> None:
        blob_id = new_blob_id()
        writer = store.create(blob_id, 100)
        writer.write(b"x" * 50)
        writer.discard()
        writer.discard()
        with pytest.raises(FileNotFoundError):
            store.open(blob_id, 0, 50)
        assert list(store.sweep()) == []

    def test_discarding_after_the_commit_changes_nothing(self, store: BlobStore) -> None:
        blob_id = new_blob_id()
        writer = store.create(blob_id, 3)
        writer.write(b"abc")
        writer.commit()
        writer.discard()
        assert get(store, blob_id, 0, 3) == b"abc"

    def test_a_finished_writer_takes_no_more(self, store: BlobStore) -> None:
        for finish in ("commit", "discard"):
            writer = store.create(new_blob_id(), None)
            getattr(writer, finish)()
            with pytest.raises(ValueError):
                writer.write(b"late")
            with pytest.raises(ValueError):
                writer.commit()

    def test_the_sweep_names_every_blob_and_when_it_was_written(self, store: BlobStore) -> None:
        before = time.time()
        written = {put(store, bytes([number])) for number in range(20)}
        # Clocks of storages may differ by seconds, and some keep no fractions.
        found = dict(store.sweep())
        assert found.keys() == written
        assert all(before - 60 < modified < time.time() + 60 for modified in found.values())

    def test_a_reader_can_be_closed_at_any_time(self, store: BlobStore) -> None:
        data = bytes(3 * BLOCK)
        blob_id = put(store, data)
        store.open(blob_id, 0, len(data)).close()
        reader = store.open(blob_id, 0, len(data))
        assert next(reader)
        reader.close()
        reader.close()
        assert list(reader) == []

    def test_only_blob_ids_are_taken(self, store: BlobStore) -> None:
        """A065, A066, A067: no text that could be a path ever reaches the storage."""
        for text in _NO_BLOB_IDS:
            with pytest.raises(ValueError):
                store.create(text, None)
            with pytest.raises(ValueError):
                store.open(text, 0, 1)
            with pytest.raises(ValueError):
                store.delete(text)
            with pytest.raises(ValueError):
                store.size(text)

    def test_many_threads_write_and_read_at_once(self, store: BlobStore) -> None:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                chance = random.Random(number)
                for _ in range(4):
                    data = chance.randbytes(chance.randrange(2 * BLOCK))
                    half = len(data) // 2
                    blob_id = put(store, data[:half], data[half:])
                    assert get(store, blob_id, 0, len(data)) == data
                    assert get(store, blob_id, half, len(data)) == data[half:]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == []
        assert len(list(store.sweep())) == 32

    def test_it_works_on_in_a_forked_process(self, store: BlobStore) -> None:
        """gunicorn --preload makes the store before it forks its workers."""
        if not store.capabilities.shared:
            pytest.skip("other processes do not see this storage")
        blob_id = put(store, b"from the parent")
        from_child = new_blob_id()
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                writer = store.create(from_child, None)
                writer.write(b"from the child")
                writer.commit()
                code = 0 if get(store, blob_id, 0, 15) == b"from the parent" else 2
            finally:
                os._exit(code)
        deadline = time.monotonic() + 30
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                pytest.fail("The child hangs.")
            time.sleep(0.01)
        assert ended[1] == 0
        assert get(store, from_child, 0, 14) == b"from the child"
        assert get(store, blob_id, 0, 15) == b"from the parent"
