"""GetBucketVersioning and PutBucketVersioning."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..call import Call
from ..errors import AccessDenied
from ..errors import IllegalVersioningConfigurationException
from ..errors import InvalidBucketState
from ..model import Setting
from ..model import Versioning
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document


class Status(enum.StrEnum):
    """What versioning can be switched to; there is no way back to never."""

    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class MfaDelete(enum.StrEnum):
    """Whether versions may be removed only with a second factor."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


@document("VersioningConfiguration")
@dataclass
class VersioningConfiguration:
    """A bucket's versioning; empty where it was never switched on."""

    status: Status | None = None
    mfa_delete: MfaDelete | None = None


@operation("GetBucketVersioning", "GET", "bucket", "versioning", action="s3:GetBucketVersioning")
def get_bucket_versioning(call: Call) -> Response:
    """Whether versioning is on, suspended or (an empty document) never was on."""
    versioning = call.bucket.versioning
    status = None if versioning is Versioning.NEVER else Status(versioning.value)
    return xml_response(VersioningConfiguration(status))


@operation(
    "PutBucketVersioning",
    "PUT",
    "bucket",
    "versioning",
    action="s3:PutBucketVersioning",
    body="document",
)
def put_bucket_versioning(call: Call) -> Response:
    """Switch versioning on, or suspend it: the versions that are there stay."""
    wanted = call.document(VersioningConfiguration)
    if wanted.mfa_delete is MfaDelete.ENABLED:
        # Nobody has a device here, so no x-amz-mfa can be right: as on AWS without one.
        raise AccessDenied("Mfa Authentication must be used for this request")
    if wanted.status is None:
        raise IllegalVersioningConfigurationException("The Versioning element must be specified")
    if wanted.status is Status.SUSPENDED and call.bucket.present & Setting.REPLICATION:
        raise InvalidBucketState(
            "A replication configuration is present on this bucket, so you cannot change the "
            "versioning state. To change the versioning state, first delete the replication "
            "configuration."
        )
    call.store.buckets.set_versioning(call.bucket, Versioning(wanted.status.value))
    return call.empty()
