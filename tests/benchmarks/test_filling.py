"""Buckets that are filled behind the store's back look as if the store had filled them."""

from __future__ import annotations

import functools
from pathlib import Path

from benchmarks import filling


def test_a_filled_bucket_lists_reads_and_takes_new_objects(tmp_path: Path) -> None:
    store = filling.open_data(tmp_path)
    try:
        count = 20_000
        filling.fill(store, "flat", filling.key_of, 3)
        filling.fill(
            store, "folders", functools.partial(filling.foldered_key_of, count=count), count
        )
        bucket = store.buckets.get("folders")
        page = store.list_keys(bucket, prefix=b"03/", delimiter=b"/", after=b"", limit=1000)
        assert len(page.prefixes) == filling.SUBFOLDERS
        assert not page.entries
        page = store.list_keys(bucket, prefix=b"", delimiter=b"", after=b"", limit=count)
        assert [entry[0] for entry in page.entries] == sorted(entry[0] for entry in page.entries)
        assert len(page.entries) == count
        version = store.objects.get(bucket, page.entries[-1][0])
        assert version.inline == filling.BODY
        assert version.etag == page.entries[-1][2]
    finally:
        store.close()
