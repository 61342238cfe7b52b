"""CreateMultipartUpload, UploadPart, Complete, Abort, ListParts, ListMultipartUploads."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import MalformedXML
from ..errors import NoSuchUpload
from ..model import Upload
from ..store import WantedPart
from ..store.multipart import DECLARED_ONLY
from ..store.multipart import default_checksum_algorithm
from ..store.multipart import other_algorithm
from ..wire.checksums import ALGORITHMS
from ..wire.checksums import declared_whole
from ..wire.checksums import known_algorithm
from ..wire.headers import iso8601
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import DECLARATION
from ..wire.xml import NAMESPACE
from ..wire.xml import document
from ..wire.xml import escape
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from .encryption import customer_key_of
from .encryption import customer_key_sent
from .encryption import encryption_headers
from .lifecycle import abort_headers
from .lifecycle import expiration_headers
from .listing import KeyText
from .listing import common_prefixes
from .listing import max_keys_of
from .listing import text_of
from .objects import attributes_of
from .objects import checksum_header
from .objects import new_version_headers
from .objects import refuse_append
from .objects import write_conditions
from .service import Owner
from .service import owner_of

MAX_PARTS = 10_000
COMPLETE_LIMIT = 4 * 1024 * 1024
"""Bytes of a CompleteMultipartUpload document: 10,000 parts with checksums are 1.5 MB."""
COMPLETE_ELEMENTS = 8 * MAX_PARTS + 1


@document("InitiateMultipartUploadResult")
@dataclass
class InitiateMultipartUploadResult:
    """The answer to CreateMultipartUpload."""

    bucket: str
    key: bytes
    upload_id: str


@dataclass
class CompletedPart:
    """One part as a client lists it to complete an upload."""

    part_number: int
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

    def wanted(self) -> WantedPart:
        """The same for the store."""
        given = tuple(
            (algorithm, value)
            for algorithm in ALGORITHMS
            if (value := getattr(self, f"checksum_{algorithm.lower()}")) is not None
        )
        return WantedPart(self.part_number, self.etag.strip('"'), given)


@document("CompleteMultipartUpload", also=("CompletedMultipartUpload",))
@dataclass
class CompleteMultipartUpload:
    """The parts of which an object is to be made."""

    parts: list[CompletedPart] = field_xml("Part", default_factory=list)


@document("CompleteMultipartUploadResult")
@dataclass
class CompleteMultipartUploadResult:
    """The answer to CompleteMultipartUpload."""

    location: str
    bucket: str
    key: bytes
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


@dataclass
class PartEntry:
    """One part of a list."""

    part_number: int
    last_modified: str
    etag: str
    size: int
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


@document("ListPartsResult")
@dataclass(kw_only=True)
class ListPartsResult:
    """The answer to ListParts."""

    bucket: str
    key: bytes
    upload_id: str
    part_number_marker: int
    next_part_number_marker: int | None
    max_parts: int
    is_truncated: bool
    parts: list[PartEntry] = field_xml("Part")
    initiator: Owner
    owner: Owner
    storage_class: str
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


def part_number_of(call: Call) -> int:
    """The ``partNumber`` parameter.

    :raises InvalidArgument: it is not 1 to 10,000.
    """
    text = call.query.get("partNumber") or ""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_PARTS):
        raise InvalidArgument(
            "Part number must be an integer between 1 and 10000, inclusive",
            argument_name="partNumber",
            argument_value=text,
        )
    return int(text)


def upload_id_of(call: Call) -> str:
    """The ``uploadId`` parameter.

    :raises NoSuchUpload: it is empty.
    """
    upload_id = call.query.get("uploadId")
    if not upload_id:
        raise NoSuchUpload(upload_id="")
    return upload_id


def upload_of(call: Call) -> Upload:
    """The upload in progress that a request names, for who began it or owns the bucket.

    Others need the bucket's policy or the host's word: that an ACL lets them write is not enough.

    :raises NoSuchUpload: it never was, or is aborted or complete.
    :raises AccessDenied: it is another's.
    """
    bucket = call.bucket
    upload = call.store.multipart.get(bucket, call.object_key, upload_id_of(call))
    if call.caller.account_id not in (bucket.account, upload.initiator):
        action = call.operation.actions
        assert isinstance(action, str), "an upload's steps ask for one action each"
        decision = call.decision(action, bucket, call.object_key)
        if decision.by_acl or not decision.allowed:
            raise AccessDenied()
    return upload


@operation("CreateMultipartUpload", "POST", "object", "uploads", action="s3:PutObject", body="none")
def create_multipart_upload(call: Call) -> Response:
    """Begin an upload; metadata, tags and ACL are given here and not at the end."""
    key = call.object_key
    initiator = call.caller.account_id
    if initiator is None:
        raise AccessDenied(
            "Anonymous users cannot initiate multipart uploads. Please authenticate."
        )
    algorithm = call.header("x-amz-checksum-algorithm")
    if algorithm is not None:
        algorithm = known_algorithm(algorithm)
    checksum_type = call.header("x-amz-checksum-type")
    upload = call.store.multipart.create(
        call.bucket,
        key,
        attributes_of(call),
        checksum_algorithm=algorithm,
        checksum_type=None if checksum_type is None else checksum_type.upper(),
        initiator=initiator,
    )
    headers = []
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        headers.append(("x-amz-checksum-algorithm", upload.checksum_algorithm))
        headers.append(("x-amz-checksum-type", upload.checksum_type))
    headers += encryption_headers(upload.encryption, customer_key_sent(call), context=True)
    headers += abort_headers(call, call.bucket, upload)
    return xml_response(
        InitiateMultipartUploadResult(call.bucket.name, key, upload.id), headers=headers
    )


@operation(
    "UploadPart", "PUT", "object", "partNumber", "uploadId", action="s3:PutObject", body="stream"
)
def upload_part(call: Call) -> Response:
    """Store one part."""
    number = part_number_of(call)
    refuse_append(call)
    upload = upload_of(call)
    customer_key = customer_key_of(call)
    call.store.encryptions.open_upload(upload.encryption, customer_key)
    expected = call.declared_checksum()
    algorithm = upload.checksum_algorithm
    if (
        expected is not None
        and expected.algorithm != algorithm
        and (algorithm is not None or expected.algorithm in DECLARED_ONLY)
    ):
        raise other_algorithm(algorithm, expected.algorithm)
    body = call.body(
        limit=call.site.profile.max_part,
        compute=algorithm or default_checksum_algorithm(),
    )
    part = call.store.multipart.put_part(
        call.bucket, upload, number, body, customer_key=customer_key, origin=call.origin
    )
    headers = [("ETag", f'"{part.etag}"'), ("Content-Length", "0")]
    headers += encryption_headers(upload.encryption, customer_key)
    if part.checksum is not None:
        headers.append(checksum_header(part.checksum))
    return Response(200, headers, ())


@operation(
    "CompleteMultipartUpload", "POST", "object", "uploadId", action="s3:PutObject", body="document"
)
def complete_multipart_upload(call: Call) -> Response:
    """Make one object of the parts; a repeat with the same parts answers the same."""
    key = call.object_key
    upload_id = upload_id_of(call)
    refuse_append(call)
    conditions = write_conditions(call)
    size_text = call.header("x-amz-mp-object-size")
    size = None
    if size_text is not None:
        if not (size_text.isascii() and size_text.isdigit()) or len(size_text) > 19:
            raise InvalidArgument(argument_name="x-amz-mp-object-size", argument_value=size_text)
        size = int(size_text)
    checksum = declared_whole(call.environ)
    customer_key = customer_key_of(call)
    try:
        upload = upload_of(call)
        call.store.encryptions.open_upload(upload.encryption, customer_key)
    except NoSuchUpload:
        # The answer to a Complete that was lost may be asked for again.
        call.store.multipart.check_known(call.bucket, key, upload_id)
    # A checksum header belongs to the object here, never to this document.
    wanted = read_parts(call.document_bytes(limit=COMPLETE_LIMIT, declared=False))
    version = call.store.multipart.complete(
        call.bucket,
        key,
        upload_id,
        wanted,
        checksum=checksum,
        size=size,
        conditions=conditions,
        origin=call.origin,
    )
    whole = version.checksum
    return xml_response(
        CompleteMultipartUploadResult(
            location=call.public_url(call.bucket.name, key),
            bucket=call.bucket.name,
            key=key,
            etag=f'"{version.etag}"',
            checksum_type=None if whole is None else whole.type,
            **({} if whole is None else {f"checksum_{whole.algorithm.lower()}": whole.value}),
        ),
        headers=[
            *new_version_headers(version),
            *encryption_headers(version.encryption, customer_key),
            *expiration_headers(call, call.bucket, version),
        ],
    )


def read_parts(data: bytes) -> list[WantedPart]:
    """The parts of a CompleteMultipartUpload document.

    :raises MalformedXML: it lists none, or more than 10,000.
    :raises InvalidArgument: a part's number is below 1.
    """
    listed = from_xml(
        CompleteMultipartUpload, data, limit=COMPLETE_LIMIT, elements=COMPLETE_ELEMENTS
    ).parts
    if not listed or len(listed) > MAX_PARTS:
        raise MalformedXML()
    for part in listed:
        if part.part_number < 1:
            raise InvalidArgument(
                "PartNumber must be >= 1",
                argument_name="PartNumber",
                argument_value=part.part_number,
            )
    return [part.wanted() for part in listed]


@operation("AbortMultipartUpload", "DELETE", "object", "uploadId", action="s3:AbortMultipartUpload")
def abort_multipart_upload(call: Call) -> Response:
    """End an upload and give up its parts (FB-06)."""
    call.store.multipart.abort(call.bucket, call.object_key, upload_of(call).id)
    return Response(204, [], ())


@operation("ListParts", "GET", "object", "uploadId", action="s3:ListMultipartUploadParts")
def list_parts(call: Call) -> Response:
    """A page of an upload's parts."""
    upload = upload_of(call)
    limit = max_keys_of(call, "max-parts")
    marker = call.query.integer("part-number-marker", 0, 0, 2**31 - 1)
    parts = call.store.multipart.parts(upload, marker, limit + 1)
    truncated = len(parts) > limit
    parts = parts[:limit]
    return xml_response(
        ListPartsResult(
            bucket=call.bucket.name,
            key=upload.key,
            upload_id=upload.id,
            part_number_marker=marker,
            next_part_number_marker=parts[-1].number if parts else 0,
            max_parts=limit,
            is_truncated=truncated and limit > 0,
            parts=[
                PartEntry(
                    part.number,
                    iso8601(part.modified),
                    f'"{part.etag}"',
                    part.size,
                    **(
                        {}
                        if part.checksum is None
                        else {f"checksum_{part.checksum.algorithm.lower()}": part.checksum.value}
                    ),
                )
                for part in parts
            ],
            initiator=owner_of(call.account(upload.initiator)),
            owner=owner_of(call.account(upload.owner)),
            storage_class=upload.storage_class,
            checksum_algorithm=upload.checksum_algorithm,
            checksum_type=upload.checksum_type,
        ),
        headers=abort_headers(call, call.bucket, upload),
    )


@operation(
    "ListMultipartUploads", "GET", "bucket", "uploads", action="s3:ListBucketMultipartUploads"
)
def list_multipart_uploads(call: Call) -> Response:
    """A page of the bucket's unfinished uploads."""
    text = KeyText(call)
    prefix = text_of(call, "prefix")
    delimiter = text_of(call, "delimiter")
    key_marker = text_of(call, "key-marker")
    upload_id_marker = call.query.get("upload-id-marker") or ""
    limit = max_keys_of(call, "max-uploads")
    page = call.store.list_uploads(
        call.bucket,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=key_marker,
        # S3 ignores the id without a key to go with it.
        upload_id_marker=(upload_id_marker or None) if key_marker else None,
        limit=limit,
    )
    pieces = [
        f'{DECLARATION}<ListMultipartUploadsResult xmlns="{NAMESPACE}">'
        f"<Bucket>{escape(call.bucket.name)}</Bucket><KeyMarker>{text(key_marker)}</KeyMarker>"
        f"<UploadIdMarker>{escape(upload_id_marker)}</UploadIdMarker>"
    ]
    if page.truncated:
        pieces.append(
            f"<NextKeyMarker>{text(page.next_key)}</NextKeyMarker>"
            f"<NextUploadIdMarker>{escape(page.next_upload_id or '')}</NextUploadIdMarker>"
        )
    if delimiter:
        pieces.append(f"<Delimiter>{text(delimiter)}</Delimiter>")
    pieces.append(
        f"<Prefix>{text(prefix)}</Prefix>{text.element()}<MaxUploads>{limit}</MaxUploads>"
        f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>"
    )
    for upload in page.uploads:
        pieces.append(
            f"<Upload><Key>{text(upload.key)}</Key><UploadId>{escape(upload.id)}</UploadId>"
            f"{person(call, 'Initiator', upload.initiator)}{person(call, 'Owner', upload.owner)}"
            f"<StorageClass>{escape(upload.storage_class)}</StorageClass>"
            f"<Initiated>{iso8601(upload.started)}</Initiated>"
        )
        if upload.checksum_algorithm is not None and upload.checksum_type is not None:
            pieces.append(
                f"<ChecksumAlgorithm>{upload.checksum_algorithm}</ChecksumAlgorithm>"
                f"<ChecksumType>{upload.checksum_type}</ChecksumType>"
            )
        pieces.append("</Upload>")
    pieces.append(common_prefixes(page.prefixes, text))
    pieces.append("</ListMultipartUploadsResult>")
    return xml_response("".join(pieces).encode())


def person(call: Call, element: str, account_id: str) -> str:
    """An Initiator or Owner element."""
    account = call.account(account_id)
    name = escape(account.display_name or account.id)
    return f"<{element}><ID>{escape(account.id)}</ID><DisplayName>{name}</DisplayName></{element}>"
