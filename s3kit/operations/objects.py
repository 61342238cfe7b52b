"""PutObject, GetObject, HeadObject, DeleteObject."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from ..call import Call
from ..errors import AccessDenied
from ..errors import EncryptionTypeMismatch
from ..errors import InvalidArgument
from ..errors import InvalidPartNumber
from ..errors import InvalidRange
from ..errors import InvalidRequest
from ..errors import InvalidStorageClass
from ..errors import InvalidWriteOffset
from ..errors import NotModified
from ..model import NO_LOCK
from ..model import NULL_VERSION
from ..model import Checksum
from ..model import ObjectVersion
from ..model import Setting
from ..model import Versioning
from ..store import Attributes
from ..store.multipart import default_checksum_algorithm
from ..store.replication import shown as replication_status
from ..wire.conditions import Conditions
from ..wire.conditions import check_read
from ..wire.encryption import CUSTOMER
from ..wire.encryption import CustomerKey
from ..wire.encryption import read_customer_key
from ..wire.headers import check_tags
from ..wire.headers import http_date
from ..wire.headers import parse_range
from ..wire.headers import parse_tagging_header
from ..wire.headers import response_overrides
from ..wire.headers import sent_headers
from ..wire.headers import stored_headers
from ..wire.lifecycle import ARCHIVED
from ..wire.names import STORAGE_CLASSES
from ..wire.response import Response
from ..wire.routing import operation
from .acl_headers import owner_and_acl
from .encryption import HEADER_VARIABLES
from .encryption import customer_key_of
from .encryption import customer_key_sent
from .encryption import encryption_headers
from .encryption import require_secrecy
from .encryption import wanted_of
from .lifecycle import expiration_headers
from .lock_headers import BYPASS
from .lock_headers import lock_headers
from .lock_headers import lock_of
from .lock_headers import may_bypass
from .lock_headers import require_lock_checksum
from .lock_headers import wants_bypass
from .restoring import restore_headers

MAX_OBJECT_TAGS = 10
WRITE_OFFSET = "HTTP_X_AMZ_WRITE_OFFSET_BYTES"
SAID_AT_THE_BEGINNING = (
    "HTTP_X_AMZ_ACL",
    "HTTP_X_AMZ_GRANT_",
    "HTTP_X_AMZ_META_",
    "HTTP_X_AMZ_OBJECT_LOCK_",
    "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_",
    "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_BUCKET_",
    "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_CONTEXT",
    "HTTP_X_AMZ_STORAGE_CLASS",
    "HTTP_X_AMZ_TAGGING",
    "HTTP_X_AMZ_WEBSITE_REDIRECT_LOCATION",
)


def checksum_header(checksum: Checksum) -> tuple[str, str]:
    """The response header that shows a checksum."""
    return f"x-amz-checksum-{checksum.algorithm.lower()}", checksum.value


def version_headers(call: Call, version: ObjectVersion) -> list[tuple[str, str]]:
    """The version header of an answer about a stored version of the request's bucket.

    ``null`` is shown only where it tells something: in a bucket that has or had versioning.
    """
    version_id = version.version_id
    if (
        version_id == NULL_VERSION
        and call.bucket.versioning is Versioning.NEVER
        and call.version_id is None
    ):
        return []
    return [("x-amz-version-id", version_id)]


def new_version_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    """The version header of an answer to a write; AWS names no null version there."""
    version_id = version.version_id
    return [] if version_id == NULL_VERSION else [("x-amz-version-id", version_id)]


def refuse_append(call: Call) -> None:
    """Refuse a write offset where it would be silently ignored.

    :raises InvalidRequest: the operation is not PutObject.
    """
    if call.operation.name != "PutObject" and any(
        name.startswith(WRITE_OFFSET) for name in call.environ
    ):
        raise InvalidRequest("Only PutObject can append to an object.")


def storage_class_of(call: Call) -> str:
    """The storage class that a write asks for.

    :raises InvalidStorageClass: AWS has no such class.
    """
    name = call.header("x-amz-storage-class")
    if name is None:
        return "STANDARD"
    if name not in STORAGE_CLASSES:
        raise InvalidStorageClass(storage_class_requested=name)
    return name


def tags_of(call: Call) -> tuple[tuple[str, str], ...]:
    """The tags in the ``x-amz-tagging`` header, checked."""
    value = call.header("x-amz-tagging")
    if not value:
        return ()
    tags = parse_tagging_header(value)
    check_tags(tags, MAX_OBJECT_TAGS)
    return tags


def attributes_of(call: Call) -> Attributes:
    """What a write stores beside the bytes, all of it from the request's headers."""
    refuse_append(call)
    bucket = call.bucket
    owner, acl = owner_and_acl(call, bucket)
    tags = tags_of(call)
    if tags:
        call.require("s3:PutObjectTagging", bucket, call.key)
    if acl is not None:
        require_new_acl(call)
    return Attributes(
        owner=owner,
        headers=stored_headers(call.environ),
        storage_class=storage_class_of(call),
        acl=acl,
        tags=tags,
        wanted=wanted_of(call),
        lock=lock_of(call),
    )


def require_new_acl(call: Call) -> None:
    """Whoever may store the object owns it and may give it an ACL, but not anonymously.

    A policy, or the session's kind, may deny it all the same.

    :raises AccessDenied:
    """
    if call.caller.anonymous:
        raise AccessDenied()
    call.require_of_new("s3:PutObjectAcl")


def require_reading(
    call: Call, key: bytes, conditions: Conditions | None, version_id: str | None = None
) -> None:
    """Refuse a write on a condition by which one who may not read could guess what is there.

    Source: Amazon S3 User Guide, "How to perform conditional deletes" and "How to prevent object
    overwrites with conditional writes".

    :raises AccessDenied:
    """
    if conditions is None or not conditions.tell:
        return
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    if not call.allowed(action, call.bucket, key, version_id):
        raise AccessDenied()


def write_conditions(call: Call) -> Conditions | None:
    """The request's conditions on what it replaces, which the caller must be allowed to know."""
    conditions = call.conditions()
    require_reading(call, call.object_key, conditions)
    return conditions


@operation("PutObject", "PUT", "object", action="s3:PutObject", body="stream")
def put_object(call: Call) -> Response:
    """Store an object, or add to the end of one."""
    headers = []
    if WRITE_OFFSET in call.environ:
        version = append_object(call)
        headers.append(("x-amz-object-size", str(version.size)))
    else:
        version = store_object(call)
    headers += [("ETag", f'"{version.etag}"'), ("Content-Length", "0")]
    headers += new_version_headers(version)
    if version.encryption is not None:
        headers += encryption_headers(version.encryption, customer_key_sent(call), context=True)
    headers += expiration_headers(call, call.bucket, version)
    checksum = version.checksum
    if checksum is not None:
        headers.append(checksum_header(checksum))
        headers.append(("x-amz-checksum-type", checksum.type))
    return Response(200, headers, ())


def store_object(call: Call) -> ObjectVersion:
    """PutObject. All that the headers can decide is decided before the body is read."""
    key = call.object_key
    attributes = attributes_of(call)
    require_lock_checksum(call, attributes.lock)
    body = call.body(compute=default_checksum_algorithm())
    conditions = write_conditions(call)
    objects = call.store.objects
    if conditions is not None:
        objects.check_conditions(call.bucket, key, conditions)
    return objects.put(
        call.bucket, key, body, attributes, conditions=conditions, origin=call.origin
    )


def append_object(call: Call) -> ObjectVersion:
    """PutObject with a write offset: the body goes to the end of what is there.

    What is stored beside the bytes is said when the object is begun, at offset 0.

    :raises InvalidWriteOffset: the object has another size, or there is none.
    """
    text = call.environ[WRITE_OFFSET].strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidArgument(
            "The write offset must be a number of bytes.",
            argument_name="x-amz-write-offset-bytes",
            argument_value=text[:64],
        )
    offset = int(text)
    bucket, key = call.bucket, call.object_key
    conditions = write_conditions(call)
    appending = call.store.appending
    seen = call.store.objects.find(bucket, key, inline=False)
    if seen is None or seen.delete_marker:
        attributes = attributes_of(call)
        call.store.objects.check_conditions(bucket, key, conditions)
        if offset:
            raise InvalidWriteOffset()
        body = call.body(compute=default_checksum_algorithm())
        return appending.create(
            bucket, key, body, attributes, conditions=conditions, origin=call.origin
        )
    call.store.restoring.check_readable(seen)
    for name in call.environ:
        if name.startswith(SAID_AT_THE_BEGINNING):
            raise InvalidRequest(
                f"{name[5:].lower().replace('_', '-')} cannot be given when appending to an object."
            )
    customer_key = key_to_append(call, seen)
    appending.check(bucket, seen, offset, conditions)
    checksum = seen.checksum
    known = checksum is not None and checksum.type == "FULL_OBJECT"
    body = call.body(compute=checksum.algorithm if checksum is not None and known else None)
    return appending.append(
        bucket,
        seen,
        body,
        offset,
        conditions=conditions,
        origin=call.origin,
        customer_key=customer_key,
    )


def key_to_append(call: Call, seen: ObjectVersion) -> CustomerKey | None:
    """The customer's key with which an object is encrypted, None where it is not with one.

    :raises EncryptionTypeMismatch: the request speaks of another encryption than the object has.
    """
    there = None if seen.encryption is None else seen.encryption.algorithm
    asked = call.header("x-amz-server-side-encryption")
    key = read_customer_key(call.header)
    if key is not None:
        require_secrecy(call)
    if (asked is not None and asked != there) or (key is not None) != (there == CUSTOMER):
        raise EncryptionTypeMismatch()
    call.store.encryptions.check_customer_key(seen.encryption, key)
    return key


def read_headers(
    version: ObjectVersion, overrides: Mapping[str, str] | None
) -> list[tuple[str, str]]:
    """The headers of GET, HEAD and their 304 that come from the version itself."""
    headers = [
        ("Last-Modified", http_date(version.modified)),
        ("ETag", f'"{version.etag}"'),
        ("Accept-Ranges", "bytes"),
    ]
    headers += sent_headers(version.headers, overrides)
    if version.storage_class != "STANDARD":
        headers.append(("x-amz-storage-class", version.storage_class))
    if version.replication:
        headers.append(("x-amz-replication-status", replication_status(version.replication)))
    return headers


@operation("GetObject", "GET", "object", action="s3:GetObject")
def get_object(call: Call) -> Response:
    """An object, or a range or one part of it."""
    return read_object(call, head=False)


@operation("HeadObject", "HEAD", "object", action="s3:GetObject")
def head_object(call: Call) -> Response:
    """What GetObject would answer, without the bytes."""
    return read_object(call, head=True)


def read_object(call: Call, *, head: bool) -> Response:
    """GetObject and HeadObject: the version, the conditions, then the range."""
    environ = call.environ
    query = call.query
    version_id = None
    overrides = None
    part_text = None
    if query.names:
        version_id = call.version_id
        part_text = query.get("partNumber")
        overrides = response_overrides(query)
        if overrides and call.caller.anonymous:
            # A112: otherwise anybody could make this host say what it never said.
            raise InvalidRequest(
                "Request specific response headers cannot be used for anonymous GET requests."
            )
    version = call.version(call.bucket, call.object_key, version_id, inline=not head)
    customer_key = None
    if not environ.keys().isdisjoint(HEADER_VARIABLES):
        customer_key = customer_key_of(call)
    if version.encryption is not None or customer_key is not None:
        call.store.encryptions.check_customer_key(version.encryption, customer_key)
    conditions = call.conditions()
    archived = version.storage_class in ARCHIVED
    if archived and not head:
        call.store.restoring.check_readable(version)
    headers = read_headers(version, overrides)
    if version.tags:
        tagging = "s3:GetObjectTagging" if version_id is None else "s3:GetObjectVersionTagging"
        if call.allowed(tagging, call.bucket, call.key, version_id):
            headers.append(("x-amz-tagging-count", str(len(version.tags))))
    if version.encryption is not None:
        headers += encryption_headers(version.encryption, customer_key)
    if archived:
        headers += restore_headers(call, version)
    if call.bucket.present & Setting.LIFECYCLE:
        headers += expiration_headers(call, call.bucket, version)
    if (
        version_id is not None
        or call.bucket.versioning is not Versioning.NEVER
        or version.version_id != NULL_VERSION
    ):
        headers.append(("x-amz-version-id", version.version_id))
    if version.lock is not NO_LOCK:
        headers += lock_headers(call, version)
    if conditions is not None:
        try:
            check_read(conditions, version.etag, version.modified)
        except NotModified:
            return Response(304, headers, ())
    size = version.size
    start, end, status = 0, size, 200
    checksum = version.checksum
    range_header = environ.get("HTTP_RANGE")
    if part_text is not None:
        part = part_of(call, version, part_text, range_header)
        start, end, status, checksum = part
        if version.parts:
            headers.append(("x-amz-mp-parts-count", str(version.parts)))
    elif range_header is not None and range_applies(environ.get("HTTP_IF_RANGE"), version):
        try:
            wanted = parse_range(range_header, size)
        except InvalidRange as error:
            error.details.setdefault("actual_object_size", size)
            raise
        if wanted is not None:
            start, end = wanted
            status = 206
            checksum = None
    if status == 206 and start < end:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    mode = environ.get("HTTP_X_AMZ_CHECKSUM_MODE")
    if mode is not None and checksum is not None and mode.upper() == "ENABLED":
        headers.append(checksum_header(checksum))
        headers.append(("x-amz-checksum-type", checksum.type))
    headers.append(("Content-Length", str(end - start)))
    if head:
        return Response(status, headers, ())
    inline = version.inline
    if inline is not None and version.encryption is None:
        body: Iterator[bytes] | tuple[bytes, ...] = (
            (inline,) if end - start == size else (inline[start:end],)
        )
    else:
        body = call.store.objects.read(version, start, end, customer_key=customer_key)
        if inline is not None:
            body = tuple(body)
    return Response(status, headers, body)


def range_applies(if_range: str | None, version: ObjectVersion) -> bool:
    """Whether a Range header counts beside this If-Range (RFC 9110, 13.1.5)."""
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith('"'):
        return value == f'"{version.etag}"'
    return value == http_date(version.modified)


def part_of(
    call: Call, version: ObjectVersion, text: str, range_header: str | None
) -> tuple[int, int, int, Checksum | None]:
    """The byte range, status and checksum of ``?partNumber=``.

    :raises InvalidArgument: InvalidPartNumber, InvalidRequest as AWS gives them.
    """
    number = call.query.integer("partNumber", 1, 1, 10_000)
    if range_header is not None:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
    if not version.parts:
        if number != 1:
            raise InvalidPartNumber(part_number_requested=text, actual_part_count=1)
        return 0, version.size, 206 if version.size else 200, version.checksum
    part = call.store.objects.part(version, number)
    if part is None:
        raise InvalidPartNumber(part_number_requested=text, actual_part_count=version.parts)
    # An empty one has no range that a header could name; alone it is the whole object.
    status = 206 if version.size else 200
    return part.offset, part.offset + part.size, status, part.checksum


@operation("DeleteObject", "DELETE", "object", action="s3:DeleteObject")
def delete_object(call: Call) -> Response:
    """Remove an object or a version; to remove what is not there is no error."""
    version_id = call.version_id
    key = call.object_key
    bypass = wants_bypass(call)
    if call.header(BYPASS) is not None and not (
        call.bucket.object_lock or call.store.buckets.confirm(call.bucket).object_lock
    ):
        raise InvalidArgument(
            f"{BYPASS} is only applicable to Object Lock enabled buckets.", argument_name=BYPASS
        )
    conditions = call.conditions()
    require_reading(call, key, conditions, version_id)
    removed = call.store.objects.delete(
        call.bucket,
        key,
        version_id,
        conditions=conditions,
        bypass=bypass and may_bypass(call, key, version_id),
        origin=call.origin,
    )
    headers = []
    if removed is not None and removed.delete_marker:
        headers.append(("x-amz-delete-marker", "true"))
        headers.append(("x-amz-version-id", removed.version_id))
    elif version_id is not None and version_id.isascii() and version_id.isprintable():
        headers.append(("x-amz-version-id", version_id))
    return Response(204, headers, ())
