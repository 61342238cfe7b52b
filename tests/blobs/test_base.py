"""Blob ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies

from s3kit.blobs.base import OWNER
from s3kit.blobs.base import check_blob_id
from s3kit.blobs.base import is_blob_id
from s3kit.blobs.base import new_blob_id


def test_new_ids_are_blob_ids_and_differ() -> None:
    ids = [new_blob_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(check_blob_id(blob_id) == blob_id for blob_id in ids)
    # Every shard folder is used: the first two digits are random too.
    assert len({blob_id[:2] for blob_id in ids}) > 200


@given(strategies.text(min_size=30, max_size=66))
def test_no_other_text_is_a_blob_id(text: str) -> None:
    """A065, A066: a traversal can never be spelt in an id."""
    good = 32 <= len(text) <= 64 and set(text) <= set("0123456789abcdef")
    assert is_blob_id(text) is (good and text != OWNER)
    if not good:
        with pytest.raises(ValueError):
            check_blob_id(text)


def test_the_mark_of_the_owner_is_a_blob_but_no_object_s() -> None:
    assert check_blob_id(OWNER) == OWNER
    assert not is_blob_id(OWNER)
