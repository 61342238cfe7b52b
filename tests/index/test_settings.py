"""A bucket's documents in the index."""

from __future__ import annotations

import pytest

from s3kit.errors import NoSuchBucket
from s3kit.index import buckets
from s3kit.index import settings
from s3kit.index.session import Index
from s3kit.model import Bucket


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


def test_a_document_of_a_bucket_that_is_gone_is_refused(index: Index, bucket: Bucket) -> None:
    index.write(lambda c: buckets.delete(c, bucket, 0))
    with pytest.raises(NoSuchBucket):
        index.write(lambda c: settings.put(c, bucket.id, "cors", b""))
