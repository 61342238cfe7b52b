"""What no bucket can have yet: each GET says so by S3's own 404, as for a bucket without it.

Terraform's bucket refresh and ``s3cmd info`` ask for all of these. Setting one answers 501. Who
builds one takes its line out of here.
"""

from __future__ import annotations

from typing import Final

from ..call import Call
from ..errors import NoSuchLifecycleConfiguration
from ..errors import ObjectLockConfigurationNotFoundError
from ..errors import S3Error
from ..wire.response import Response
from ..wire.routing import operation

NEVER_SET: Final[tuple[tuple[str, str, str, type[S3Error]], ...]] = (
    (
        "GetBucketLifecycleConfiguration",
        "lifecycle",
        "s3:GetLifecycleConfiguration",
        NoSuchLifecycleConfiguration,
    ),
    (
        "GetObjectLockConfiguration",
        "object-lock",
        "s3:GetBucketObjectLockConfiguration",
        ObjectLockConfigurationNotFoundError,
    ),
)


def register(name: str, subresource: str, action: str, error: type[S3Error]) -> None:
    """Make ``error`` the answer to a GET."""

    def never_set(call: Call) -> Response:
        raise error(bucket_name=call.bucket.name)

    operation(name, "GET", "bucket", subresource, action=action)(never_set)


for row in NEVER_SET:
    register(*row)
