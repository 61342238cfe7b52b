"""obstore, the Python face of Rust's object_store, for ``agent``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from agent import PART
from agent import Library
from agent import answer
from obstore.store import S3Store


class Obstore(Library):
    """A store is a bucket that is there: making, listing and removing buckets are boto3's."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.settings["url"],
            region="us-east-1",
            access_key_id=self.settings["access_key"],
            secret_access_key=self.settings["secret_key"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": self.settings["url"].startswith("http:")},
        )

    def upload(self, path: str, bucket: str, key: str) -> None:
        obstore.put(self.store(bucket), key, Path(path), chunk_size=PART)

    def download(self, bucket: str, key: str, path: str) -> None:
        with open(path, "wb") as file:
            for block in obstore.get(self.store(bucket), key):
                file.write(block)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [each["path"] for page in self.store(bucket).list(prefix) for each in page]

    def list_names(self, bucket: str, prefix: str) -> list[str]:
        found = obstore.list_with_delimiter(self.store(bucket), prefix)
        below = [each + "/" for each in found["common_prefixes"]]
        return [
            name.removeprefix(prefix)
            for name in below + [each["path"] for each in found["objects"]]
        ]

    def copy(self, bucket: str, source: str, target: str) -> None:
        obstore.copy(self.store(bucket), source, target)

    def move(self, bucket: str, source: str, target: str) -> None:
        obstore.rename(self.store(bucket), source, target)

    def presign(self, bucket: str, key: str) -> str:
        return obstore.sign(self.store(bucket), "GET", key, timedelta(hours=1))

    def delete(self, bucket: str, key: str) -> None:
        obstore.delete(self.store(bucket), key)

    def empty(self, bucket: str) -> None:
        obstore.delete(self.store(bucket), self.keys(bucket, ""))


answer(Obstore)
