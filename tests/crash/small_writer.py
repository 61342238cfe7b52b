"""Blobs in a folder and rows in SQLite, in the order and with the pragmas that the store uses.

Run by test_crash.py under strace: small_writer.py FOLDER DURABILITY SYNCHRONOUS ORDER ROWS
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import sys

from s3kit.blobs.base import new_blob_id
from s3kit.blobs.local import LocalBlobStore


def main(folder: str, durability: str, synchronous: str, order: str, rows: int) -> None:
    store = LocalBlobStore(f"{folder}/blobs", durability=durability)  # type: ignore[arg-type]
    index = sqlite3.connect(f"{folder}/index.db", isolation_level=None)
    index.execute("PRAGMA journal_mode = WAL")
    index.execute(f"PRAGMA synchronous = {synchronous}")
    index.execute("PRAGMA journal_size_limit = 67108864")
    # So that checkpoints are met often.
    index.execute("PRAGMA wal_autocheckpoint = 12")
    index.execute("CREATE TABLE objects (name INTEGER PRIMARY KEY, blob, digest, padding)")
    chance = random.Random(0)
    for name in range(rows):
        data = chance.randbytes(chance.choice((0, 10, 5000)))
        blob_id = new_blob_id()
        if order == "row first":
            _insert(index, name, blob_id, data)
        writer = store.create(blob_id, len(data))
        writer.write(data[:100])
        writer.write(data[100:])
        writer.commit()
        if order == "acknowledge first":
            os.write(2, b"ack %d\n" % name)
        if order != "row first":
            _insert(index, name, blob_id, data)
        if order != "acknowledge first":
            os.write(2, b"ack %d\n" % name)
    index.close()


def _insert(index: sqlite3.Connection, name: int, blob_id: str, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    index.execute("BEGIN IMMEDIATE")
    index.execute("INSERT INTO objects VALUES (?, ?, ?, ?)", (name, blob_id, digest, "x" * 1000))
    index.execute("COMMIT")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
