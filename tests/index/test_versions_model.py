"""Random histories of versions against a plain list, on every database."""

from __future__ import annotations

import random

from s3kit.index import garbage
from s3kit.index import listing
from s3kit.index import objects
from s3kit.index.connections import Connection
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import ObjectVersion
from tests.index.rows import blob
from tests.index.rows import remove
from tests.index.rows import version

Model = dict[bytes, list[ObjectVersion]]
"""A key's versions, the newest first."""


def visible(model: Model) -> dict[bytes, ObjectVersion]:
    return {k: v[0] for k, v in model.items() if v and not v[0].delete_marker}


def compare(index: Index, bucket: Bucket, model: Model, blobs: set[str]) -> None:
    page = index.read(lambda c: listing.list_keys(c, bucket.id))
    shown = visible(model)
    assert [(row[0], row[1], row[2]) for row in page.entries] == [
        (key, shown[key].size, shown[key].etag) for key in sorted(shown)
    ]
    everything = index.read(lambda c: listing.list_versions(c, bucket.id)).versions
    assert [(v.key, v.version_id, v.size, v.is_latest) for v in everything] == [
        (key, v.version_id, v.size, place == 0)
        for key in sorted(model)
        for place, v in enumerate(model[key])
    ]
    for key, history in model.items():
        found = index.read(lambda c, k=key: objects.get_current(c, bucket.id, k))  # type: ignore[misc]
        assert (found and found.seq) == (shown[key].seq if key in shown else None)
        latest = index.read(lambda c, k=key: objects.get_latest(c, bucket.id, k))  # type: ignore[misc]
        assert (latest and latest.seq) == (history[0].seq if history else None)
        seqs = [v.seq for v in history]
        assert seqs == sorted(seqs, reverse=True)
    used = {v.content.id for history in model.values() for v in history if v.content}
    due = {row[1] for row in index.read(lambda c: garbage.due(c, "default", 10**15, 10_000))}
    assert due == blobs - used


def test_a_history_of_versions_is_what_a_plain_list_says(index: Index, bucket: Bucket) -> None:
    rng = random.Random(index.dialect)
    model: Model = {}
    blobs: set[str] = set()
    for step in range(400 if index.dialect == "sqlite" else 120):
        key = rng.choice([b"a", b"b", b"b/c"])
        history = model.setdefault(key, [])
        action = rng.choice(["put", "add", "mark", "copy", "suspended", "remove", "remove"])
        if action == "remove":
            if history:
                gone = history.pop(rng.randrange(len(history)))
                assert remove(index, gone)
            compare(index, bucket, model, blobs)
            continue
        null = action in ("put", "suspended") or (action == "mark" and rng.random() < 0.5)
        version_id = "null" if null else f"v{step}"
        replaced = next((v for v in history if null and v.version_id == "null"), None)
        shared = [v.content for h in model.values() for v in h if v.content]
        new_content = action != "copy" or not shared
        content = blob(f"blob{step}", step) if new_content else rng.choice(shared)
        if action == "mark":
            new = version(bucket, key, 0, version_id=version_id, delete_marker=True)
        elif rng.random() < 0.5:
            new = version(bucket, key, step, version_id=version_id)
        else:
            assert content is not None
            new = version(bucket, key, content.size, version_id=version_id, content=content)
            if new_content:
                blobs.add(content.id)

        def work(
            c: Connection,
            new: ObjectVersion = new,
            replaced: ObjectVersion | None = replaced,
            new_content: bool = new_content,
        ) -> ObjectVersion:
            objects.lock_current(c, bucket.id, new.key)
            objects.put_version(c, new, replaces=replaced, new_content=new_content)
            stored = objects.get_version(c, bucket.id, new.key, new.version_id)
            assert stored is not None
            return stored

        if replaced is not None:
            history.remove(replaced)
        history.insert(0, index.write(work))
        compare(index, bucket, model, blobs)
