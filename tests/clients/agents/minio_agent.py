"""minio-py for ``agent``."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from agent import PART
from agent import Library
from agent import answer
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject


class MinioPy(Library):
    def __init__(self, settings: dict[str, Any]) -> None:
        parts = urlsplit(settings["url"])
        self.client = Minio(
            parts.netloc + parts.path,
            access_key=settings["access_key"],
            secret_key=settings["secret_key"],
            secure=parts.scheme == "https",
        )

    def make_bucket(self, bucket: str) -> None:
        self.client.make_bucket(bucket)

    def buckets(self) -> list[str]:
        return [each.name for each in self.client.list_buckets()]

    def upload(self, path: str, bucket: str, key: str) -> None:
        self.client.fput_object(bucket, key, path, part_size=PART)

    def download(self, bucket: str, key: str, path: str) -> None:
        self.client.fget_object(bucket, key, path)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [e.object_name for e in self.client.list_objects(bucket, prefix, recursive=True)]

    def list_names(self, bucket: str, prefix: str) -> list[str]:
        found = self.client.list_objects(bucket, prefix)
        return [each.object_name.removeprefix(prefix) for each in found]

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.client.copy_object(bucket, target, CopySource(bucket, source))

    def presign(self, bucket: str, key: str) -> str:
        return self.client.presigned_get_object(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.client.remove_object(bucket, key)

    def empty(self, bucket: str) -> None:
        objects = [DeleteObject(key) for key in self.keys(bucket, "")]
        for error in self.client.remove_objects(bucket, objects):
            raise RuntimeError(str(error))

    def remove_bucket(self, bucket: str) -> None:
        self.client.remove_bucket(bucket)


answer(MinioPy)
