"""What Terraform's AWS provider reads: a refresh of a bucket must never meet a 501.

Source: terraform-provider-aws, internal/service/s3: bucket.go (resourceBucketRead) and the files of
the bucket's sub-resources; the second column is the error that it takes for "none".
"""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest

from s3kit.app import S3App
from tests.endpoint import boto_client

BUCKET: list[tuple[str, str | None]] = [
    ("head_bucket", None),
    ("get_bucket_location", None),
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
# Each of these is a resource of its own, read after the bucket.
BESIDE: list[tuple[str, str | None]] = [
    ("get_bucket_abac", None),
    ("get_bucket_notification_configuration", None),
    ("get_bucket_ownership_controls", "OwnershipControlsNotFoundError"),
    ("get_bucket_policy_status", None),
    ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    ("list_bucket_analytics_configurations", None),
    ("list_bucket_intelligent_tiering_configurations", None),
    ("list_bucket_inventory_configurations", None),
    ("list_bucket_metrics_configurations", None),
]
MEMBERS = ("analytics", "intelligent_tiering", "inventory", "metrics")


def read(boto: Any, name: str, **parameters: str) -> str | None:
    """The error code of one read, None for an answer."""
    try:
        getattr(boto, name)(**parameters)
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


@pytest.mark.parametrize(("name", "none"), BUCKET + BESIDE)
def test_a_refresh_of_a_new_bucket_finds_nothing_and_no_501(
    app: S3App, mount: str, bucket: str, name: str, none: str | None
) -> None:
    code = read(boto_client(app, mount=mount), name, Bucket=bucket[1:])
    # Encryption may be on for the whole endpoint, and then is the bucket's as well.
    assert code == none or (name == "get_bucket_encryption" and code is None)


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_configuration_that_was_never_put_is_not_there(
    app: S3App, mount: str, bucket: str, kind: str
) -> None:
    boto = boto_client(app, mount=mount)
    code = read(boto, f"get_bucket_{kind}_configuration", Bucket=bucket[1:], Id="none")
    assert code == "NoSuchConfiguration"


def test_a_bucket_is_made_tagged_refreshed_and_destroyed(
    app: S3App, mount: str, bucket: str
) -> None:
    """The requests of `terraform apply`, a second `apply`, and `destroy`, in their order."""
    boto = boto_client(app, mount=mount)
    this = {"Bucket": f"{bucket[1:]}-terraform"}
    tags = [{"Key": "Name", "Value": "mine"}]
    boto.create_bucket(
        **this, CreateBucketConfiguration={"Tags": tags}, ObjectLockEnabledForBucket=False
    )
    assert boto.get_bucket_tagging(**this)["TagSet"] == tags
    for name, none in BUCKET:
        if name not in ("get_bucket_tagging", "get_bucket_encryption"):
            assert read(boto, name, **this) == none
    changed = [{"Key": "Name", "Value": "yours"}]
    boto.put_bucket_tagging(**this, Tagging={"TagSet": changed})
    boto.put_bucket_versioning(**this, VersioningConfiguration={"Status": "Enabled"})
    assert boto.get_bucket_tagging(**this)["TagSet"] == changed
    assert boto.get_bucket_versioning(**this)["Status"] == "Enabled"
    boto.delete_bucket_tagging(**this)
    boto.delete_bucket(**this)
    assert read(boto, "head_bucket", **this) == "404"
