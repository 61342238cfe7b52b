"""CopyObject and UploadPartCopy."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from ..auth.access import versioned
from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MethodNotAllowed
from ..model import NULL_VERSION
from ..model import Bucket
from ..model import Checksum
from ..model import ObjectVersion
from ..model import Versioning
from ..wire.checksums import known_algorithm
from ..wire.conditions import check_copy_source
from ..wire.encryption import CustomerKey
from ..wire.headers import iso8601
from ..wire.headers import parse_copy_range
from ..wire.headers import parse_copy_source
from ..wire.headers import stored_headers
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from .bucket_properties import agree_to_pay
from .bucket_rules import RULE_DOCUMENTS
from .encryption import customer_key_of
from .encryption import customer_key_sent
from .encryption import encryption_headers
from .encryption import source_key_of
from .lifecycle import expiration_headers
from .multipart import part_number_of
from .multipart import upload_of
from .objects import attributes_of
from .objects import new_version_headers
from .objects import refuse_append
from .objects import write_conditions

ANNOTATION_DIRECTIVE = "x-amz-object-annotation-directive"
SELF_COPY = (
    "This copy request is illegal because it is trying to copy an object to itself without "
    "changing the object's metadata, storage class, website redirect location or encryption "
    "attributes."
)


@document("CopyObjectResult")
@dataclass
class CopyObjectResult:
    """The answer to CopyObject."""

    last_modified: str
    etag: str
    checksum_crc32: str | None = None
    checksum_crc32c: str | None = None
    checksum_crc64nvme: str | None = None
    checksum_sha1: str | None = None
    checksum_sha256: str | None = None
    checksum_sha512: str | None = None
    checksum_md5: str | None = None
    checksum_xxhash64: str | None = None
    checksum_xxhash3: str | None = None
    checksum_xxhash128: str | None = None
    checksum_type: str | None = None


@document("CopyPartResult")
@dataclass
class CopyPartResult:
    """The answer to UploadPartCopy."""

    last_modified: str
    etag: str
    checksum_crc32: str | None = None
    checksum_crc32c: str | None = None
    checksum_crc64nvme: str | None = None
    checksum_sha1: str | None = None
    checksum_sha256: str | None = None
    checksum_sha512: str | None = None
    checksum_md5: str | None = None
    checksum_xxhash64: str | None = None
    checksum_xxhash3: str | None = None
    checksum_xxhash128: str | None = None


def checksum_field(checksum: Checksum | None) -> dict[str, str]:
    """A checksum as the keyword argument of a document that has ``checksum_*`` fields."""
    if checksum is None:
        return {}
    return {f"checksum_{checksum.algorithm.lower()}": checksum.value}


def directive(call: Call, name: str) -> str:
    """COPY or REPLACE.

    :raises InvalidArgument: anything else.
    """
    value = call.header(name)
    if value is None:
        return "COPY"
    if value not in ("COPY", "REPLACE"):
        raise InvalidArgument(
            "Unknown metadata directive." if "metadata" in name else "Unknown tagging directive.",
            argument_name=name,
            argument_value=value,
        )
    return value


def annotation_directive(call: Call) -> str:
    """COPY or EXCLUDE, from the header or, for presigned URLs, the parameter of that name.

    :raises InvalidArgument: anything else.
    """
    value = call.header(ANNOTATION_DIRECTIVE)
    if value is None:
        value = call.query.get(ANNOTATION_DIRECTIVE)
    if value is None:
        return "COPY"
    if value not in ("COPY", "EXCLUDE"):
        raise InvalidArgument(
            "The annotation directive is not valid. Valid values are COPY and EXCLUDE.",
            argument_name=ANNOTATION_DIRECTIVE,
            argument_value=value,
        )
    return value


def open_source(call: Call) -> tuple[Bucket, ObjectVersion, str | None, CustomerKey | None]:
    """The object that ``x-amz-copy-source`` names, which the caller must be allowed to read.

    :returns: its bucket, the version, the version id if one was named, and the customer's key.
    """
    value = call.header("x-amz-copy-source") or ""
    bucket_name, key, version_id = parse_copy_source(value)
    expected_owner = call.header("x-amz-source-expected-bucket-owner")
    bucket = call.find_bucket(bucket_name, expected=expected_owner)
    if expected_owner is not None and not call.owns(expected_owner, bucket):
        raise AccessDenied()
    agree_to_pay(call, bucket, call.header("x-amz-request-payer"))
    action = versioned("s3:GetObject", version_id)
    if not call.decision(action, bucket, key, version_id).allowed:
        # Another process may just have changed who may read there.
        call.store.buckets.changed(bucket, RULE_DOCUMENTS)
        bucket = call.store.buckets.confirm(bucket)
        call.require(action, bucket, key, version_id)
    try:
        version = call.version(bucket, key, version_id, inline=True)
    except MethodNotAllowed:
        raise InvalidRequest(
            "The source of a copy request may not specifically refer to a delete marker by "
            "version id."
        ) from None
    copied = "PART" if call.operation.name == "UploadPartCopy" else "OBJECT"
    call.note_beside(f"REST.COPY.{copied}_GET", bucket, key, version_id, size=version.size)
    customer_key = source_key_of(call)
    call.store.encryptions.check_customer_key(version.encryption, customer_key)
    conditions = call.conditions("x-amz-copy-source-")
    if conditions is not None:
        check_copy_source(conditions, version.etag, version.modified)
    call.store.restoring.check_readable(version)
    return bucket, version, version_id, customer_key


def source_headers(
    bucket: Bucket, version: ObjectVersion, version_id: str | None
) -> list[tuple[str, str]]:
    """The header that tells which version was copied, if its bucket has or had versioning."""
    if (
        version_id is None
        and bucket.versioning is Versioning.NEVER
        and version.version_id == NULL_VERSION
    ):
        return []
    return [("x-amz-copy-source-version-id", version.version_id)]


def checksum_algorithm_of(call: Call) -> str | None:
    """The ``x-amz-checksum-algorithm`` header.

    :raises InvalidRequest: it is not one that is known.
    """
    value = call.header("x-amz-checksum-algorithm")
    if value is None:
        return None
    return known_algorithm(value)


@operation(
    "CopyObject", "PUT", "object", header="x-amz-copy-source", action="s3:PutObject", body="none"
)
def copy_object(call: Call) -> Response:
    """Copy an object."""
    version, headers = store_copy(call)
    checksum = version.checksum
    return xml_response(
        CopyObjectResult(
            iso8601(version.modified),
            f'"{version.etag}"',
            checksum_type=None if checksum is None else checksum.type,
            **checksum_field(checksum),
        ),
        headers=[
            *new_version_headers(version),
            *expiration_headers(call, call.bucket, version),
            *headers,
            *encryption_headers(version.encryption, customer_key_sent(call), context=True),
        ],
    )


def store_copy(call: Call) -> tuple[ObjectVersion, list[tuple[str, str]]]:
    """CopyObject; both ends are asked about, and the source's conditions hold.

    :returns: the copy, and the headers that tell which version of the source it is of.
    """
    key = call.object_key
    metadata = directive(call, "x-amz-metadata-directive")
    tagging = directive(call, "x-amz-tagging-directive")
    algorithm = checksum_algorithm_of(call)
    fresh = attributes_of(call)
    conditions = write_conditions(call)
    annotating = annotation_directive(call)
    call.store.objects.check_conditions(call.bucket, key, conditions)
    source_bucket, source, version_id, source_key = open_source(call)
    if (
        source_bucket.id == call.bucket.id
        and source.key == key
        and source.is_latest
        and metadata == "COPY"
        and call.header("x-amz-storage-class") is None
        and call.header("x-amz-website-redirect-location") is None
        and fresh.wanted is None
    ):
        raise InvalidRequest(SELF_COPY)
    headers = stored_headers(call.environ)
    if metadata == "COPY":
        redirect = headers.get("x-amz-website-redirect-location")
        headers = dict(source.headers)
        headers.pop("x-amz-website-redirect-location", None)
        if redirect is not None:
            headers["x-amz-website-redirect-location"] = redirect
    tags = fresh.tags
    if tagging == "COPY":
        if source.tags:
            reading = versioned("s3:GetObjectTagging", version_id)
            call.require(reading, source_bucket, source.key, version_id)
            call.require("s3:PutObjectTagging", call.bucket, key)
        tags = source.tags
    attributes = replace(fresh, headers=headers, tags=tags)
    if annotating == "COPY" and call.store.annotations.has_any(source):
        reading = versioned("s3:GetObjectAnnotation", version_id)
        call.require(reading, source_bucket, source.key, version_id)
        call.require("s3:PutObjectAnnotation", call.bucket, key)
        annotate = call.store.annotations.copier(source, algorithm, fresh.wanted)
        attributes = replace(attributes, annotate=annotate)
    copied = call.store.copying.copy(
        source,
        call.bucket,
        key,
        attributes,
        checksum_algorithm=algorithm,
        conditions=conditions,
        origin=call.origin,
        customer_key=source_key,
    )
    return copied, source_headers(source_bucket, source, version_id)


@operation(
    "UploadPartCopy",
    "PUT",
    "object",
    "partNumber",
    "uploadId",
    header="x-amz-copy-source",
    action="s3:PutObject",
    body="none",
)
def upload_part_copy(call: Call) -> Response:
    """Copy an object, or a range of it, into a part."""
    number = part_number_of(call)
    refuse_append(call)
    upload = upload_of(call)
    customer_key = customer_key_of(call)
    call.store.encryptions.open_upload(upload.encryption, customer_key)
    source_bucket, source, version_id, source_key = open_source(call)
    start, end = 0, source.size
    value = call.header("x-amz-copy-source-range")
    if value is not None:
        start, end = parse_copy_range(value, source.size)
    if end - start > call.site.profile.max_part:
        raise InvalidRequest(
            "The specified copy source is larger than the maximum allowable size for a copy "
            f"source: {call.site.profile.max_part}"
        )
    part = call.store.multipart.copy_part(
        source,
        start,
        end,
        call.bucket,
        upload,
        number,
        source_key=source_key,
        customer_key=customer_key,
        origin=call.origin,
    )
    return xml_response(
        CopyPartResult(iso8601(part.modified), f'"{part.etag}"', **checksum_field(part.checksum)),
        headers=[
            *source_headers(source_bucket, source, version_id),
            *encryption_headers(upload.encryption, customer_key),
        ],
    )
