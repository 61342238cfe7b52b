"""GetObjectAttributes."""

from __future__ import annotations

from dataclasses import dataclass

from ..call import Call
from ..errors import InvalidArgument
from ..model import Checksum
from ..model import ObjectVersion
from ..wire.headers import http_date
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from .encryption import customer_key_of
from .encryption import encryption_headers
from .objects import version_headers

NAMES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
MAX_PARTS = 1000


@dataclass
class ChecksumElement:
    """An object's checksum."""

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
class ObjectPart:
    """One part of a multipart object."""

    part_number: int
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


@dataclass
class ObjectParts:
    """A page of parts. AWS writes PartsCount here, whatever its documentation says."""

    parts_count: int
    part_number_marker: int | None = None
    next_part_number_marker: int | None = None
    max_parts: int | None = None
    is_truncated: bool | None = None
    parts: list[ObjectPart] = field_xml("Part", default_factory=list)


@document("GetObjectAttributesResponse")
@dataclass
class GetObjectAttributesResponse:
    """The attributes that were asked for."""

    etag: str | None = None
    checksum: ChecksumElement | None = None
    object_parts: ObjectParts | None = None
    storage_class: str | None = None
    object_size: int | None = None


def wanted_attributes(call: Call) -> frozenset[str]:
    """The names in ``x-amz-object-attributes``.

    :raises InvalidArgument: there are none, or an unknown one.
    """
    value = call.header("x-amz-object-attributes") or ""
    names = frozenset(name.strip() for name in value.split(",") if name.strip())
    if not names or not names <= NAMES:
        raise InvalidArgument(
            "Invalid attribute name specified.",
            argument_name="x-amz-object-attributes",
            argument_value=value,
        )
    return names


def header_integer(call: Call, name: str, default: int) -> int:
    """A header that holds a number.

    :raises InvalidArgument: it does not.
    """
    text = call.header(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range",
            argument_name=name,
            argument_value=text,
        )
    return int(text)


def checksum_values(checksum: Checksum | None) -> dict[str, str]:
    """A checksum as the keyword argument of its document field."""
    if checksum is None:
        return {}
    return {f"checksum_{checksum.algorithm.lower()}": checksum.value}


def parts_of(call: Call, version: ObjectVersion) -> ObjectParts:
    """The requested page of a multipart object's parts; AWS lists only parts with checksums."""
    limit = min(header_integer(call, "x-amz-max-parts", MAX_PARTS), MAX_PARTS)
    marker = header_integer(call, "x-amz-part-number-marker", 0)
    if version.checksum is None:
        return ObjectParts(version.parts)
    page = call.store.objects.parts(version, marker, limit + 1)
    truncated = len(page) > limit
    page = page[:limit]
    return ObjectParts(
        version.parts,
        part_number_marker=marker,
        next_part_number_marker=page[-1].number if page else 0,
        max_parts=limit,
        is_truncated=truncated,
        parts=[
            ObjectPart(part.number, part.size, **checksum_values(part.checksum)) for part in page
        ],
    )


def attributes_actions(call: Call) -> tuple[tuple[str, str], ...]:
    """Who is to know the attributes must be allowed to read the object too."""
    return ("s3:GetObject", "object"), ("s3:GetObjectAttributes", "object")


@operation("GetObjectAttributes", "GET", "object", "attributes", action=attributes_actions)
def get_object_attributes(call: Call) -> Response:
    """The attributes that the request names, and no others."""
    names = wanted_attributes(call)
    version_id = call.version_id
    version = call.version(call.bucket, call.object_key, version_id)
    customer_key = customer_key_of(call)
    call.store.encryptions.check_customer_key(version.encryption, customer_key)
    answer = GetObjectAttributesResponse()
    if "ETag" in names:
        answer.etag = version.etag
    if "Checksum" in names and version.checksum is not None:
        answer.checksum = ChecksumElement(
            checksum_type=version.checksum.type, **checksum_values(version.checksum)
        )
    if "ObjectParts" in names and version.parts:
        answer.object_parts = parts_of(call, version)
    if "StorageClass" in names:
        answer.storage_class = version.storage_class
    if "ObjectSize" in names:
        answer.object_size = version.size
    headers = [("Last-Modified", http_date(version.modified)), *version_headers(call, version)]
    headers += encryption_headers(version.encryption, customer_key)
    return xml_response(answer, headers=headers)
