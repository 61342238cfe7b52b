"""What no bucket can have yet, and what Terraform reads of a bucket."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import boto_client

NEVER_SET = [
    ("lifecycle", "NoSuchLifecycleConfiguration"),
    ("replication", "ReplicationConfigurationNotFoundError"),
    ("object-lock", "ObjectLockConfigurationNotFoundError"),
]


@pytest.mark.parametrize(("query", "code"), NEVER_SET)
def test_it_is_not_there_and_cannot_be_set(
    s3: Client, other: Client, anonymous: Client, bucket: str, query: str, code: str
) -> None:
    answer = s3.get(bucket, query)
    assert (answer.status, answer.code, answer.text("BucketName")) == (404, code, bucket[1:])
    for method in ("PUT", "DELETE"):
        refused = s3.request(method, bucket, query)
        assert refused.code in ("NotImplemented", "MethodNotAllowed")
    s3.put(bucket, b"", "acl", x_amz_acl="public-read")
    for client in (other, anonymous):
        assert client.get(bucket, query).code == "AccessDenied"
    assert s3.get("/no-such-bucket", query).code == "NoSuchBucket"
    assert s3.head(bucket).status == 200


# What ``aws_s3_bucket`` reads on every refresh, in its order, and the error that it takes for
# "none". Source: terraform-provider-aws, internal/service/s3/bucket.go, resourceBucketRead.
TERRAFORM: list[tuple[str, str | None]] = [
    ("head_bucket", None),
    ("get_bucket_policy", "NoSuchBucketPolicy"),
    ("get_bucket_acl", None),
    ("get_bucket_cors", "NoSuchCORSConfiguration"),
    ("get_bucket_website", "NoSuchWebsiteConfiguration"),
    ("get_bucket_versioning", None),
    ("get_bucket_accelerate_configuration", None),
    ("get_bucket_request_payment", None),
    ("get_bucket_logging", None),
    ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
    ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
    ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    ("get_bucket_tagging", "NoSuchTagSet"),
]
UNBUILT: set[str] = set()
"""Built by other parts; whoever builds one takes it out of here."""


def refresh(boto: Any, bucket: str, name: str) -> str | None:
    """The error code of one read, None for an answer."""
    try:
        getattr(boto, name)(Bucket=bucket)
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


def test_terraforms_refresh_of_a_new_bucket_meets_no_501_but_these(
    app: S3App, mount: str, bucket: str
) -> None:
    boto = boto_client(app, mount=mount)
    unbuilt = set()
    for name, none in TERRAFORM:
        code = refresh(boto, bucket[1:], name)
        if code == "NotImplemented":
            unbuilt.add(name)
        else:
            assert code in (None, none), name
    assert unbuilt == UNBUILT
