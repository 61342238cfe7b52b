"""The committed list of S3's operations: all of the service model, and the browser form.

Source: botocore's service model ``s3/2006-03-01``; ``tests/conformance/test_model.py`` compares the
two. Nothing here needs botocore at run time. ``subresources`` are the query keys that make an
operation what it is, ``parameters`` those that it merely takes.
"""

from __future__ import annotations

from typing import Final
from typing import Literal
from typing import NamedTuple

Level = Literal["service", "bucket", "object"]


class ModelRow(NamedTuple):
    """One operation of S3.

    ``status`` is that of the plain success. ``header`` is a request header that tells the
    operation from another one with the same URL. ``alias_of`` names the operation that answers
    in place of this one, because both have the same method and URL.
    """

    name: str
    method: str
    level: Level
    subresources: frozenset[str]
    parameters: frozenset[str]
    status: int
    header: str | None
    alias_of: str | None


def _row(
    name: str,
    method: str,
    level: Level,
    subresources: str = "",
    *,
    parameters: str = "",
    status: int = 200,
    header: str | None = None,
    alias_of: str | None = None,
) -> ModelRow:
    return ModelRow(
        name,
        method,
        level,
        frozenset(subresources.split()),
        frozenset(parameters.split()),
        status,
        header,
        alias_of,
    )


_READ_PARAMETERS: Final = (
    "partNumber response-cache-control response-content-disposition response-content-encoding "
    "response-content-language response-content-type response-expires versionId"
)

OPERATIONS: Final[tuple[ModelRow, ...]] = (
    _row("AbortMultipartUpload", "DELETE", "object", "uploadId", status=204),
    _row("CompleteMultipartUpload", "POST", "object", "uploadId"),
    _row("CopyObject", "PUT", "object", "", header="x-amz-copy-source"),
    _row("CreateBucket", "PUT", "bucket", ""),
    _row("CreateBucketMetadataConfiguration", "POST", "bucket", "metadataConfiguration"),
    _row("CreateBucketMetadataTableConfiguration", "POST", "bucket", "metadataTable"),
    _row("CreateMultipartUpload", "POST", "object", "uploads"),
    _row("CreateSession", "GET", "bucket", "session"),
    _row("DeleteBucket", "DELETE", "bucket", "", status=204),
    _row("DeleteBucketAnalyticsConfiguration", "DELETE", "bucket", "analytics id", status=204),
    _row("DeleteBucketCors", "DELETE", "bucket", "cors", status=204),
    _row("DeleteBucketEncryption", "DELETE", "bucket", "encryption", status=204),
    _row(
        "DeleteBucketIntelligentTieringConfiguration",
        "DELETE",
        "bucket",
        "intelligent-tiering id",
        status=204,
    ),
    _row("DeleteBucketInventoryConfiguration", "DELETE", "bucket", "inventory id", status=204),
    _row("DeleteBucketLifecycle", "DELETE", "bucket", "lifecycle", status=204),
    _row(
        "DeleteBucketMetadataConfiguration", "DELETE", "bucket", "metadataConfiguration", status=204
    ),
    _row("DeleteBucketMetadataTableConfiguration", "DELETE", "bucket", "metadataTable", status=204),
    _row("DeleteBucketMetricsConfiguration", "DELETE", "bucket", "metrics id", status=204),
    _row("DeleteBucketOwnershipControls", "DELETE", "bucket", "ownershipControls", status=204),
    _row("DeleteBucketPolicy", "DELETE", "bucket", "policy", status=204),
    _row("DeleteBucketReplication", "DELETE", "bucket", "replication", status=204),
    _row("DeleteBucketTagging", "DELETE", "bucket", "tagging", status=204),
    _row("DeleteBucketWebsite", "DELETE", "bucket", "website", status=204),
    _row("DeleteObject", "DELETE", "object", "", parameters="versionId", status=204),
    _row(
        "DeleteObjectAnnotation",
        "DELETE",
        "object",
        "annotation annotationName",
        parameters="versionId",
        status=204,
    ),
    _row("DeleteObjectTagging", "DELETE", "object", "tagging", parameters="versionId", status=204),
    _row("DeleteObjects", "POST", "bucket", "delete"),
    _row("DeletePublicAccessBlock", "DELETE", "bucket", "publicAccessBlock", status=204),
    _row("GetBucketAbac", "GET", "bucket", "abac"),
    _row("GetBucketAccelerateConfiguration", "GET", "bucket", "accelerate"),
    _row("GetBucketAcl", "GET", "bucket", "acl"),
    _row("GetBucketAnalyticsConfiguration", "GET", "bucket", "analytics id"),
    _row("GetBucketCors", "GET", "bucket", "cors"),
    _row("GetBucketEncryption", "GET", "bucket", "encryption"),
    _row("GetBucketIntelligentTieringConfiguration", "GET", "bucket", "intelligent-tiering id"),
    _row("GetBucketInventoryConfiguration", "GET", "bucket", "inventory id"),
    _row(
        "GetBucketLifecycle",
        "GET",
        "bucket",
        "lifecycle",
        alias_of="GetBucketLifecycleConfiguration",
    ),
    _row("GetBucketLifecycleConfiguration", "GET", "bucket", "lifecycle"),
    _row("GetBucketLocation", "GET", "bucket", "location"),
    _row("GetBucketLogging", "GET", "bucket", "logging"),
    _row("GetBucketMetadataConfiguration", "GET", "bucket", "metadataConfiguration"),
    _row("GetBucketMetadataTableConfiguration", "GET", "bucket", "metadataTable"),
    _row("GetBucketMetricsConfiguration", "GET", "bucket", "metrics id"),
    _row(
        "GetBucketNotification",
        "GET",
        "bucket",
        "notification",
        alias_of="GetBucketNotificationConfiguration",
    ),
    _row("GetBucketNotificationConfiguration", "GET", "bucket", "notification"),
    _row("GetBucketOwnershipControls", "GET", "bucket", "ownershipControls"),
    _row("GetBucketPolicy", "GET", "bucket", "policy"),
    _row("GetBucketPolicyStatus", "GET", "bucket", "policyStatus"),
    _row("GetBucketReplication", "GET", "bucket", "replication"),
    _row("GetBucketRequestPayment", "GET", "bucket", "requestPayment"),
    _row("GetBucketTagging", "GET", "bucket", "tagging"),
    _row("GetBucketVersioning", "GET", "bucket", "versioning"),
    _row("GetBucketWebsite", "GET", "bucket", "website"),
    _row("GetObject", "GET", "object", "", parameters=_READ_PARAMETERS),
    _row("GetObjectAcl", "GET", "object", "acl", parameters="versionId"),
    _row(
        "GetObjectAnnotation", "GET", "object", "annotation annotationName", parameters="versionId"
    ),
    _row("GetObjectAttributes", "GET", "object", "attributes", parameters="versionId"),
    _row("GetObjectLegalHold", "GET", "object", "legal-hold", parameters="versionId"),
    _row("GetObjectLockConfiguration", "GET", "bucket", "object-lock"),
    _row("GetObjectRetention", "GET", "object", "retention", parameters="versionId"),
    _row("GetObjectTagging", "GET", "object", "tagging", parameters="versionId"),
    _row("GetObjectTorrent", "GET", "object", "torrent"),
    _row("GetPublicAccessBlock", "GET", "bucket", "publicAccessBlock"),
    _row("HeadBucket", "HEAD", "bucket", ""),
    _row("HeadObject", "HEAD", "object", "", parameters=_READ_PARAMETERS),
    _row(
        "ListBucketAnalyticsConfigurations",
        "GET",
        "bucket",
        "analytics",
        parameters="continuation-token",
    ),
    _row(
        "ListBucketIntelligentTieringConfigurations",
        "GET",
        "bucket",
        "intelligent-tiering",
        parameters="continuation-token",
    ),
    _row(
        "ListBucketInventoryConfigurations",
        "GET",
        "bucket",
        "inventory",
        parameters="continuation-token",
    ),
    _row(
        "ListBucketMetricsConfigurations",
        "GET",
        "bucket",
        "metrics",
        parameters="continuation-token",
    ),
    _row(
        "ListBuckets",
        "GET",
        "service",
        "",
        parameters="bucket-region continuation-token max-buckets prefix",
    ),
    _row(
        "ListDirectoryBuckets",
        "GET",
        "service",
        "",
        parameters="continuation-token max-directory-buckets",
        alias_of="ListBuckets",
    ),
    _row(
        "ListMultipartUploads",
        "GET",
        "bucket",
        "uploads",
        parameters="delimiter encoding-type key-marker max-uploads prefix upload-id-marker",
    ),
    _row(
        "ListObjectAnnotations",
        "GET",
        "object",
        "annotation",
        parameters="annotation-prefix continuation-token max-annotation-results versionId",
    ),
    _row(
        "ListObjectVersions",
        "GET",
        "bucket",
        "versions",
        parameters="delimiter encoding-type key-marker max-keys prefix version-id-marker",
    ),
    _row(
        "ListObjects",
        "GET",
        "bucket",
        "",
        parameters="delimiter encoding-type marker max-keys prefix",
    ),
    _row(
        "ListObjectsV2",
        "GET",
        "bucket",
        "list-type",
        parameters="continuation-token delimiter encoding-type fetch-owner max-keys prefix "
        "start-after",
    ),
    _row("ListParts", "GET", "object", "uploadId", parameters="max-parts part-number-marker"),
    _row("PutBucketAbac", "PUT", "bucket", "abac"),
    _row("PutBucketAccelerateConfiguration", "PUT", "bucket", "accelerate"),
    _row("PutBucketAcl", "PUT", "bucket", "acl"),
    _row("PutBucketAnalyticsConfiguration", "PUT", "bucket", "analytics id"),
    _row("PutBucketCors", "PUT", "bucket", "cors"),
    _row("PutBucketEncryption", "PUT", "bucket", "encryption"),
    _row("PutBucketIntelligentTieringConfiguration", "PUT", "bucket", "intelligent-tiering id"),
    _row("PutBucketInventoryConfiguration", "PUT", "bucket", "inventory id"),
    _row(
        "PutBucketLifecycle",
        "PUT",
        "bucket",
        "lifecycle",
        alias_of="PutBucketLifecycleConfiguration",
    ),
    _row("PutBucketLifecycleConfiguration", "PUT", "bucket", "lifecycle"),
    _row("PutBucketLogging", "PUT", "bucket", "logging"),
    _row("PutBucketMetricsConfiguration", "PUT", "bucket", "metrics id"),
    _row(
        "PutBucketNotification",
        "PUT",
        "bucket",
        "notification",
        alias_of="PutBucketNotificationConfiguration",
    ),
    _row("PutBucketNotificationConfiguration", "PUT", "bucket", "notification"),
    _row("PutBucketOwnershipControls", "PUT", "bucket", "ownershipControls"),
    _row("PutBucketPolicy", "PUT", "bucket", "policy"),
    _row("PutBucketReplication", "PUT", "bucket", "replication"),
    _row("PutBucketRequestPayment", "PUT", "bucket", "requestPayment"),
    _row("PutBucketTagging", "PUT", "bucket", "tagging"),
    _row("PutBucketVersioning", "PUT", "bucket", "versioning"),
    _row("PutBucketWebsite", "PUT", "bucket", "website"),
    _row("PutObject", "PUT", "object", ""),
    _row("PutObjectAcl", "PUT", "object", "acl", parameters="versionId"),
    _row(
        "PutObjectAnnotation", "PUT", "object", "annotation annotationName", parameters="versionId"
    ),
    _row("PutObjectLegalHold", "PUT", "object", "legal-hold", parameters="versionId"),
    _row("PutObjectLockConfiguration", "PUT", "bucket", "object-lock"),
    _row("PutObjectRetention", "PUT", "object", "retention", parameters="versionId"),
    _row("PutObjectTagging", "PUT", "object", "tagging", parameters="versionId"),
    _row("PutPublicAccessBlock", "PUT", "bucket", "publicAccessBlock"),
    _row("RenameObject", "PUT", "object", "renameObject"),
    _row("RestoreObject", "POST", "object", "restore", parameters="versionId"),
    _row("SelectObjectContent", "POST", "object", "select", parameters="select-type"),
    _row(
        "UpdateBucketMetadataAnnotationTableConfiguration",
        "PUT",
        "bucket",
        "metadataAnnotationTable",
    ),
    _row(
        "UpdateBucketMetadataInventoryTableConfiguration", "PUT", "bucket", "metadataInventoryTable"
    ),
    _row("UpdateBucketMetadataJournalTableConfiguration", "PUT", "bucket", "metadataJournalTable"),
    _row("UpdateObjectEncryption", "PUT", "object", "encryption", parameters="versionId"),
    _row("UploadPart", "PUT", "object", "partNumber uploadId"),
    _row("UploadPartCopy", "PUT", "object", "partNumber uploadId", header="x-amz-copy-source"),
    _row("WriteGetObjectResponse", "POST", "bucket", "", header="x-amz-request-route"),
)
"""The 116 operations of the service model, by name."""

EXTRA_OPERATIONS: Final[tuple[ModelRow, ...]] = (
    # A browser form. S3 documents it under "POST Object"; no SDK's model has it.
    _row("PostObject", "POST", "bucket", "", status=204),
)
