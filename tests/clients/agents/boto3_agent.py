"""boto3 for ``agent``."""

from __future__ import annotations

from typing import Any

import boto3
from agent import PART
from agent import Library
from agent import answer
from boto3.s3.transfer import TransferConfig
from botocore.config import Config


class Boto3(Library):
    def __init__(self, settings: dict[str, Any]) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=settings["url"],
            region_name="us-east-1",
            aws_access_key_id=settings["access_key"],
            aws_secret_access_key=settings["secret_key"],
            verify=settings["certfile"],
            config=Config(signature_version="s3v4"),
        )
        self.parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)

    def make_bucket(self, bucket: str) -> None:
        self.client.create_bucket(Bucket=bucket)

    def buckets(self) -> list[str]:
        return [each["Name"] for each in self.client.list_buckets()["Buckets"]]

    def upload(self, path: str, bucket: str, key: str) -> None:
        self.client.upload_file(path, bucket, key, Config=self.parts)

    def download(self, bucket: str, key: str, path: str) -> None:
        self.client.download_file(bucket, key, path, Config=self.parts)

    def pages(self, bucket: str, prefix: str, **parameters: Any) -> Any:
        paginator = self.client.get_paginator("list_objects_v2")
        # Small pages, so that there are several.
        size = {"PageSize": 33}
        return paginator.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig=size, **parameters)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [e["Key"] for page in self.pages(bucket, prefix) for e in page.get("Contents", [])]

    def list_names(self, bucket: str, prefix: str) -> list[str]:
        found = []
        for page in self.pages(bucket, prefix, Delimiter="/"):
            found += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            found += [each["Key"] for each in page.get("Contents", [])]
        return [name.removeprefix(prefix) for name in found]

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.client.copy({"Bucket": bucket, "Key": source}, bucket, target, Config=self.parts)

    def presign(self, bucket: str, key: str) -> str:
        parameters = {"Bucket": bucket, "Key": key}
        url: str = self.client.generate_presigned_url("get_object", Params=parameters)
        return url

    def delete(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def empty(self, bucket: str) -> None:
        objects = [{"Key": key} for key in self.keys(bucket, "")]
        self.client.delete_objects(Bucket=bucket, Delete={"Objects": objects})

    def remove_bucket(self, bucket: str) -> None:
        self.client.delete_bucket(Bucket=bucket)


answer(Boto3)
