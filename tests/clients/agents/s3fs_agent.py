"""s3fs, the Python library, for ``agent``."""

from __future__ import annotations

from typing import Any

import s3fs
from agent import PART
from agent import Library
from agent import answer


class S3fs(Library):
    def __init__(self, settings: dict[str, Any]) -> None:
        self.fs = s3fs.S3FileSystem(
            endpoint_url=settings["url"],
            key=settings["access_key"],
            secret=settings["secret_key"],
            # A region here would be the new bucket's LocationConstraint, and "us-east-1" is none.
            client_kwargs={"verify": settings["certfile"]},
            config_kwargs={"signature_version": "s3v4"},
            use_listings_cache=False,
        )

    def make_bucket(self, bucket: str) -> None:
        self.fs.mkdir(bucket)

    def buckets(self) -> list[str]:
        return list(self.fs.ls("", detail=False))

    def upload_tree(self, folder: str, bucket: str, prefix: str) -> None:
        self.fs.put(folder + "/", f"{bucket}/{prefix}", recursive=True)

    def download_tree(self, bucket: str, prefix: str, folder: str) -> None:
        self.fs.get(f"{bucket}/{prefix}", folder + "/", recursive=True)

    def upload(self, path: str, bucket: str, key: str) -> None:
        self.fs.put_file(path, f"{bucket}/{key}", chunksize=PART)

    def list_names(self, bucket: str, prefix: str) -> list[str]:
        found = self.fs.ls(f"{bucket}/{prefix}", detail=True)
        return [
            each["name"].rpartition("/")[2] + ("/" if each["type"] == "directory" else "")
            for each in found
        ]

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.fs.copy(f"{bucket}/{source}", f"{bucket}/{target}")

    def move(self, bucket: str, source: str, target: str) -> None:
        self.fs.mv(f"{bucket}/{source}", f"{bucket}/{target}")

    def presign(self, bucket: str, key: str) -> str:
        url: str = self.fs.sign(f"{bucket}/{key}")
        return url

    def delete(self, bucket: str, key: str) -> None:
        self.fs.rm_file(f"{bucket}/{key}")

    def empty(self, bucket: str) -> None:
        self.fs.rm([f"{bucket}/{each}" for each in self.keys(bucket, "")])

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [name.partition("/")[2] for name in self.fs.find(f"{bucket}/{prefix}")]

    def remove_bucket(self, bucket: str) -> None:
        self.fs.rmdir(bucket)


answer(S3fs)
