"""Request payment, transfer acceleration and ABAC of a bucket.

They are stored and shown. Who pays is asked of each request of another account; the others change
nothing in how s3kit serves the bucket.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidRequest
from ..model import Bucket
from ..model import Setting
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import from_xml
from ..wire.xml import to_xml


class Payer(enum.StrEnum):
    """Who pays for requests and transfers."""

    REQUESTER = "Requester"
    BUCKET_OWNER = "BucketOwner"


@document("RequestPaymentConfiguration")
@dataclass
class RequestPaymentConfiguration:
    """Who pays for a bucket's traffic."""

    payer: Payer


class Acceleration(enum.StrEnum):
    """Whether a bucket is accelerated; there is no way back to never set."""

    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@document("AccelerateConfiguration")
@dataclass
class AccelerateConfiguration:
    """The document of a PUT."""

    status: Acceleration


@document("AccelerateConfiguration")
@dataclass
class ShownAcceleration:
    """The document of a GET: empty where acceleration was never set."""

    status: Acceleration | None = None


class AttributeControl(enum.StrEnum):
    """Whether a bucket's tags count in policies."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


@document("AbacStatus")
@dataclass
class AbacStatus:
    """Attribute-based access control of a bucket."""

    status: AttributeControl


PAID_BY_REQUESTER = frozenset(
    (
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "DeleteObject",
        "DeleteObjectAnnotation",
        "DeleteObjects",
        "GetBucketAccelerateConfiguration",
        "GetObject",
        "GetObjectAcl",
        "GetObjectAnnotation",
        "GetObjectAttributes",
        "GetObjectLegalHold",
        "GetObjectRetention",
        "GetObjectTagging",
        "GetObjectTorrent",
        "HeadObject",
        "ListMultipartUploads",
        "ListObjectAnnotations",
        "ListObjectVersions",
        "ListObjects",
        "ListObjectsV2",
        "ListParts",
        "PutObject",
        "PutObjectAcl",
        "PutObjectAnnotation",
        "PutObjectLegalHold",
        "PutObjectLockConfiguration",
        "PutObjectRetention",
        "PutObjectTagging",
        "RenameObject",
        "RestoreObject",
        "UpdateObjectEncryption",
        "UploadPart",
        "UploadPartCopy",
    )
)
"""What the service model lets a requester agree to pay for, and RenameObject, which reads too."""

PAYMENT = "requestPayment"
ACCELERATE = "accelerate"
ABAC = "abac"


@operation(
    "GetBucketRequestPayment",
    "GET",
    "bucket",
    "requestPayment",
    action="s3:GetBucketRequestPayment",
)
def get_bucket_request_payment(call: Call) -> Response:
    """Who pays: the bucket's owner where nothing was set."""
    stored = call.store.buckets.setting(call.bucket, PAYMENT)
    if stored is None:
        return xml_response(RequestPaymentConfiguration(Payer.BUCKET_OWNER))
    return xml_response(from_xml(RequestPaymentConfiguration, stored))


@operation(
    "PutBucketRequestPayment",
    "PUT",
    "bucket",
    "requestPayment",
    action="s3:PutBucketRequestPayment",
    body="document",
)
def put_bucket_request_payment(call: Call) -> Response:
    """Store who pays. Nothing is billed here, but requesters must agree to pay."""
    wanted = call.document(RequestPaymentConfiguration)
    call.store.buckets.put_setting(call.bucket, PAYMENT, to_xml(wanted))
    return call.empty()


def read_payer(stored: bytes) -> Payer:
    """Who pays, in a stored document."""
    return from_xml(RequestPaymentConfiguration, stored).payer


def agree_to_pay(call: Call, bucket: Bucket, agreed: str | None) -> None:
    """Refuse another account's request for what its sender would have to pay.

    Source: Amazon S3 User Guide, "Downloading objects from Requester Pays buckets".

    :param agreed: what the request says of it, ``requester`` or nothing.
    :raises AccessDenied: the bucket's requesters pay, and this one is nobody or has not agreed.
    """
    if call.caller.account_id == bucket.account or not bucket.present & Setting.REQUEST_PAYMENT:
        return
    payer = call.store.buckets.remembered(bucket, PAYMENT, read_payer)
    if payer is not Payer.REQUESTER:
        return
    if call.caller.anonymous or agreed is None or agreed.strip().lower() != "requester":
        raise AccessDenied("Bucket is requester pays bucket")
    call.charged = True


@operation(
    "GetBucketAccelerateConfiguration",
    "GET",
    "bucket",
    "accelerate",
    action="s3:GetAccelerateConfiguration",
)
def get_bucket_accelerate_configuration(call: Call) -> Response:
    """Whether the bucket is accelerated; an empty document where that was never set."""
    stored = call.store.buckets.setting(call.bucket, ACCELERATE)
    shown = ShownAcceleration() if stored is None else from_xml(ShownAcceleration, stored)
    return xml_response(shown)


@operation(
    "PutBucketAccelerateConfiguration",
    "PUT",
    "bucket",
    "accelerate",
    action="s3:PutAccelerateConfiguration",
    body="document",
)
def put_bucket_accelerate_configuration(call: Call) -> Response:
    """Store whether the bucket is accelerated; there is one endpoint, as fast as before."""
    wanted = call.document(AccelerateConfiguration)
    if "." in call.bucket.name:
        raise InvalidRequest(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        )
    call.store.buckets.put_setting(call.bucket, ACCELERATE, to_xml(wanted))
    return call.empty()


@operation("GetBucketAbac", "GET", "bucket", "abac", action="s3:GetBucketABAC")
def get_bucket_abac(call: Call) -> Response:
    """Whether the bucket's tags count in policies; disabled where nothing was set."""
    stored = call.store.buckets.setting(call.bucket, ABAC)
    if stored is None:
        return xml_response(AbacStatus(AttributeControl.DISABLED))
    return xml_response(from_xml(AbacStatus, stored))


@operation("PutBucketAbac", "PUT", "bucket", "abac", action="s3:PutBucketABAC", body="document")
def put_bucket_abac(call: Call) -> Response:
    """Store whether the bucket's tags count in policies. There are none that could ask for them."""
    wanted = call.document(AbacStatus)
    call.store.buckets.put_setting(call.bucket, ABAC, to_xml(wanted))
    return call.empty()
