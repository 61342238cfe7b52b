"""Buckets with many keys, written straight into s3kit's tables: a million rows in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from s3kit.assembly import open_store_of
from s3kit.cli.settings import gather
from s3kit.cli.worker import prepare
from s3kit.index.schema import current
from s3kit.index.schema import versions
from s3kit.store import Store

BODY = b"x"
BATCH = 20_000
FOLDERS = 10
SUBFOLDERS = 1000


def key_of(number: int) -> str:
    """The name of a key in a bucket without folders."""
    return f"key-{number:07d}"


def foldered_key_of(number: int, count: int) -> str:
    """The name of a key in a bucket of 10 folders with 1,000 folders each.

    Keys come in byte order, and each of the 10,000 folders holds ``count`` / 10,000 of them.
    """
    each = max(1, count // (FOLDERS * SUBFOLDERS))
    folder, leaf = divmod(number, each)
    top, sub = divmod(folder, SUBFOLDERS)
    return f"{top:02d}/{sub:03d}/{leaf:05d}"


def open_data(data: Path) -> Store:
    """The store of a data folder of ``s3kit serve``, made if it is not there."""
    data.mkdir(parents=True, exist_ok=True)
    config = gather({"data": str(data)}, {}).config
    prepare(config)
    return open_store_of(config)


def fill(store: Store, bucket: str, keys: Callable[[int], str], count: int) -> None:
    """Make a bucket of the account ``default`` with ``count`` objects of one byte each.

    The rows are those that :meth:`Store.objects.put` would write, which the benchmark checks by
    reading one back.
    """
    made = store.buckets.create(bucket, "default")
    etag = hashlib.md5(BODY).hexdigest()
    common: dict[str, Any] = {
        "bucket_id": made.id,
        "size": len(BODY),
        "etag": etag,
        "modified": made.created,
        "owner": made.account,
        "storage_class": "STANDARD",
        "checksum": "",
    }
    details = {
        "version_id": "null",
        "delete_marker": 0,
        "headers": "{}",
        "acl": "",
        "tags": "",
        "parts": 0,
        "content_id": None,
        "inline": BODY,
    }
    with store.index.engine.begin() as connection:
        highest = connection.exec_driver_sql("select max(seq) from s3kit_versions").scalar()
        first = (highest or 0) + 1
        for start in range(0, count, BATCH):
            shown = [
                {**common, "seq": first + number, "key": keys(number).encode()}
                for number in range(start, min(count, start + BATCH))
            ]
            connection.execute(insert(versions), [{**row, **details} for row in shown])
            connection.execute(insert(current), shown)
