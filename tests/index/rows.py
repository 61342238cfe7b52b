"""Making versions in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from s3kit.index import objects
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import Content
from s3kit.model import ObjectVersion


def version(bucket: Bucket, key: bytes, size: int = 5, **other: Any) -> ObjectVersion:
    """A version with bytes inside, unless it gets a content or is a delete marker."""
    if "content" not in other and not other.get("delete_marker"):
        other.setdefault("inline", b"x" * size)
    return ObjectVersion(bucket.id, key, size, f"etag{size}", 2_000 + size, "alice", **other)


def put(index: Index, new: ObjectVersion, *, new_content: bool = True) -> ObjectVersion:
    """Store ``new`` in place of the current version, as a bucket without versioning does."""

    def work(c: Connection) -> int:
        old = objects.lock_current(c, new.bucket_id, new.key)
        return objects.put_version(c, new, replaces=old, new_content=new_content)

    return replace(new, seq=index.write(work))


def add(index: Index, new: ObjectVersion) -> ObjectVersion:
    """Store ``new`` on top of the others, as a bucket with versioning does."""

    def work(c: Connection) -> int:
        objects.lock_current(c, new.bucket_id, new.key)
        return objects.put_version(c, new, replaces=None, new_content=True)

    return replace(new, seq=index.write(work))


def remove(index: Index, old: ObjectVersion) -> bool:
    def work(c: Connection) -> bool:
        objects.lock_current(c, old.bucket_id, old.key)
        return objects.remove_version(c, old, now=9_000)

    return index.write(work)


def current(index: Index, bucket: Bucket, key: bytes) -> ObjectVersion | None:
    return index.read(lambda c: objects.get_current(c, bucket.id, key))


def blob(name: str, size: int = 5, parts: int = 0) -> Content:
    return Content(name, "default", size, parts)
