"""Blobs in memory."""

from __future__ import annotations

import pytest

from s3kit.blobs.base import new_blob_id
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put


class TestMemory(BlobStoreContract):
    @pytest.fixture
    def store(self) -> MemoryBlobStore:
        return MemoryBlobStore()


def test_it_says_that_it_is_neither_durable_nor_shared() -> None:
    capabilities = MemoryBlobStore().capabilities
    assert not capabilities.durable
    assert not capabilities.shared


def test_an_id_is_taken_once_even_by_two_writers_at_a_time() -> None:
    store = MemoryBlobStore()
    blob_id = new_blob_id()
    first = store.create(blob_id, None)
    second = store.create(blob_id, None)
    first.write(b"first")
    second.write(b"second")
    first.commit()
    with pytest.raises(FileExistsError):
        second.commit()
    with pytest.raises(FileExistsError):
        store.create(blob_id, None)
    assert get(store, blob_id, 0, 5) == b"first"


def test_a_reader_goes_on_while_its_blob_is_deleted() -> None:
    store = MemoryBlobStore()
    data = bytes(1_000_000)
    blob_id = put(store, data)
    reader = store.open(blob_id, 0, len(data))
    first = next(reader)
    store.delete(blob_id)
    assert first + b"".join(reader) == data
