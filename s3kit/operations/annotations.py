"""PutObjectAnnotation, GetObjectAnnotation, DeleteObjectAnnotation, ListObjectAnnotations.

Source: Amazon S3 User Guide, "Annotating your objects"; the service model.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from ..call import Call
from ..errors import AnnotationNameTooLong
from ..errors import InvalidAnnotationName
from ..errors import InvalidArgument
from ..errors import InvalidPrefix
from ..errors import InvalidRequest
from ..errors import UnsupportedMediaType
from ..model import Checksum
from ..model import ObjectVersion
from ..store.annotations import WITH_CUSTOMER_KEY
from ..store.multipart import default_checksum_algorithm
from ..wire.encryption import CUSTOMER
from ..wire.headers import http_date
from ..wire.headers import iso8601
from ..wire.headers import parse_etags
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from .lock_headers import may_bypass
from .lock_headers import wants_bypass
from .objects import checksum_header
from .objects import version_headers

MAX_NAME = 512
MAX_TEXT = 1024 * 1024
MAX_RESULTS = 1000
RESERVED = ("aws", "s3")


@document("PutObjectAnnotationOutput")
@dataclass
class PutObjectAnnotationOutput:
    """The answer to PutObjectAnnotation."""

    key: bytes
    annotation_name: str


@dataclass
class AnnotationEntry:
    """One annotation of a list."""

    annotation_name: str
    last_modified: str
    etag: str
    size: int
    checksum_algorithm: list[str] = field_xml("ChecksumAlgorithm", default_factory=list)


@document("ListObjectAnnotationsOutput")
@dataclass(kw_only=True)
class ListObjectAnnotationsOutput:
    """The answer to ListObjectAnnotations."""

    bucket: str
    key: bytes
    annotation_prefix: str | None
    max_annotation_results: int
    annotation_count: int
    continuation_token: str | None
    next_continuation_token: str | None
    annotations: list[AnnotationEntry] = field_xml("Annotations", item="AnnotationEntry")


def is_name_text(text: str) -> bool:
    """Whether these characters may stand in a name: letters of any script, digits, ``_ . -``."""
    return all(char.isalpha() or char in "0123456789_.-" for char in text)


def annotation_name_of(call: Call) -> str:
    """The ``annotationName`` parameter."""
    return call.query.get("annotationName") or ""


def check_name(name: str) -> None:
    """Refuse a name that an annotation cannot be given.

    :raises AnnotationNameTooLong: InvalidAnnotationName:
    """
    if len(name.encode()) > MAX_NAME:
        raise AnnotationNameTooLong(max_length_allowed=MAX_NAME)
    if not name or not is_name_text(name) or name.lower().startswith(RESERVED):
        raise InvalidAnnotationName(annotation_name=name)


def object_if_match(call: Call) -> tuple[str, ...] | None:
    """The ETags in ``x-amz-object-if-match``, None without the header."""
    value = call.header("x-amz-object-if-match")
    return None if value is None else parse_etags(value, strong=True)


def object_version_headers(call: Call, version: ObjectVersion) -> list[tuple[str, str]]:
    """The header that names the version an annotation belongs to."""
    return [("x-amz-object-version-id", value) for _, value in version_headers(call, version)]


def checksum_headers(checksum: Checksum | None) -> list[tuple[str, str]]:
    """The headers that show a checksum and its type."""
    if checksum is None:
        return []
    return [checksum_header(checksum), ("x-amz-checksum-type", checksum.type)]


@operation(
    "PutObjectAnnotation",
    "PUT",
    "object",
    "annotation",
    "annotationName",
    action="s3:PutObjectAnnotation",
    body="stream",
)
def put_object_annotation(call: Call) -> Response:
    """Add an annotation, or replace it."""
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    name = annotation_name_of(call)
    check_name(name)
    if_match = object_if_match(call)
    version = call.version(bucket, key, version_id)
    if version.encryption is not None and version.encryption.algorithm == CUSTOMER:
        raise InvalidRequest(WITH_CUSTOMER_KEY)
    body = call.body(limit=MAX_TEXT, compute=default_checksum_algorithm())
    text = body.read_all()
    if not text:
        raise InvalidRequest("An annotation's payload must have between 1 byte and 1 MiB.")
    try:
        text.decode()
    except UnicodeDecodeError:
        raise UnsupportedMediaType() from None
    annotation = call.store.annotations.put(
        bucket,
        version,
        name,
        text,
        etag=body.md5,
        checksum=body.checksum,
        if_match=if_match,
        version_id=version_id,
        bypass=wants_bypass(call) and may_bypass(call, key, version_id),
        origin=call.origin,
    )
    headers = [("ETag", f'"{annotation.etag}"'), *object_version_headers(call, version)]
    headers += checksum_headers(annotation.checksum) + sealing_headers(version)
    return xml_response(PutObjectAnnotationOutput(key, name), headers=headers)


def sealing_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    """The header that tells how an annotation is encrypted: as its object is."""
    if version.encryption is None:
        return []
    return [("x-amz-server-side-encryption", version.encryption.algorithm)]


@operation(
    "GetObjectAnnotation",
    "GET",
    "object",
    "annotation",
    "annotationName",
    action="s3:GetObjectAnnotation",
)
def get_object_annotation(call: Call) -> Response:
    """An annotation's text."""
    version = call.version(call.bucket, call.object_key, call.version_id)
    annotation, text = call.store.annotations.get(version, annotation_name_of(call))
    headers = [
        ("Last-Modified", http_date(annotation.modified)),
        ("ETag", f'"{annotation.etag}"'),
        # What it may hold is the client's: no browser is to take it for a page of this host.
        ("Content-Type", "binary/octet-stream"),
        ("Content-Length", str(len(text))),
        *object_version_headers(call, version),
        *sealing_headers(version),
    ]
    mode = call.header("x-amz-checksum-mode")
    if mode is not None and mode.upper() == "ENABLED":
        headers += checksum_headers(annotation.checksum)
    return Response(200, headers, (text,))


@operation(
    "DeleteObjectAnnotation",
    "DELETE",
    "object",
    "annotation",
    "annotationName",
    action="s3:DeleteObjectAnnotation",
)
def delete_object_annotation(call: Call) -> Response:
    """Remove an annotation for good; to remove what is not there is no error."""
    bucket, key, version_id = call.bucket, call.object_key, call.version_id
    version = call.version(bucket, key, version_id)
    call.store.annotations.delete(
        bucket,
        version,
        annotation_name_of(call),
        if_match=object_if_match(call),
        version_id=version_id,
        bypass=wants_bypass(call) and may_bypass(call, key, version_id),
        origin=call.origin,
    )
    return call.empty(204, headers=object_version_headers(call, version))


@operation(
    "ListObjectAnnotations", "GET", "object", "annotation", action="s3:ListObjectAnnotations"
)
def list_object_annotations(call: Call) -> Response:
    """A page of a version's annotations, in the byte order of their names."""
    query = call.query
    prefix = query.get("annotation-prefix")
    if prefix and (len(prefix.encode()) > MAX_NAME or not is_name_text(prefix)):
        raise InvalidPrefix(annotation_prefix=prefix)
    limit = query.integer("max-annotation-results", MAX_RESULTS, 1, MAX_RESULTS)
    token = query.get("continuation-token")
    after = "" if token is None else name_in_token(token)
    version = call.version(call.bucket, call.object_key, call.version_id)
    page = call.store.annotations.page(version, prefix or "", after, limit + 1)
    truncated = len(page) > limit
    page = page[:limit]
    return xml_response(
        ListObjectAnnotationsOutput(
            bucket=call.bucket.name,
            key=version.key,
            annotation_prefix=prefix,
            max_annotation_results=limit,
            annotation_count=len(page),
            continuation_token=token,
            next_continuation_token=token_of(page[-1].name) if truncated else None,
            annotations=[
                AnnotationEntry(
                    annotation.name,
                    iso8601(annotation.modified),
                    f'"{annotation.etag}"',
                    annotation.size,
                    [] if annotation.checksum is None else [annotation.checksum.algorithm],
                )
                for annotation in page
            ],
        ),
        headers=object_version_headers(call, version),
    )


def token_of(name: str) -> str:
    """A continuation token: the last name of a page."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def name_in_token(token: str) -> str:
    """The name that a page ended with.

    :raises InvalidArgument: it is no token of ours.
    """
    try:
        name = base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        name = ""
    if not name or token_of(name) != token:
        raise InvalidArgument(
            "The continuation token provided is incorrect",
            argument_name="continuation-token",
            argument_value=token,
        )
    return name
