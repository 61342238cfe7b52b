"""ListObjects, ListObjectsV2, ListObjectVersions.

Rows are written by hand, not by the codec: a page has a thousand of them. A test compares them
with what the codec's dataclasses read back.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from ..call import Call
from ..errors import InvalidArgument
from ..index.listing import KeyRow
from ..model import NULL_VERSION
from ..wire.headers import iso8601
from ..wire.lifecycle import ARCHIVED
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import DECLARATION
from ..wire.xml import NAMESPACE
from ..wire.xml import escape
from .restoring import restore_status
from .restoring import wants_restore_status
from .service import decode_token
from .service import encode_token

MAX_KEYS = 1000


class KeyText:
    """How keys are written in this answer: escaped for XML, or percent-encoded first."""

    __slots__ = ("url",)

    def __init__(self, call: Call) -> None:
        encoding = call.query.get("encoding-type")
        if encoding is not None and encoding.lower() != "url":
            raise InvalidArgument(
                "Invalid Encoding Method specified in Request",
                argument_name="encoding-type",
                argument_value=encoding,
            )
        self.url = encoding is not None

    def __call__(self, key: bytes) -> str:
        if self.url:
            # The result is ASCII without XML's special characters.
            return quote_from_bytes(key, safe="/-_.~*")
        return escape(key.decode("utf-8", "replace"))

    def element(self) -> str:
        """The EncodingType element, or nothing."""
        return "<EncodingType>url</EncodingType>" if self.url else ""


def max_keys_of(call: Call, name: str = "max-keys") -> int:
    """The page size asked for, at most 1,000 (FB-10)."""
    return min(call.query.integer(name, MAX_KEYS, 0, 2**31 - 1), MAX_KEYS)


def text_of(call: Call, name: str) -> bytes:
    """A query parameter as bytes, empty if absent."""
    return (call.query.get(name) or "").encode("utf-8", "surrogateescape")


def common_prefixes(prefixes: list[bytes], text: KeyText) -> str:
    """The CommonPrefixes elements."""
    return "".join(
        f"<CommonPrefixes><Prefix>{text(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes
    )


class Owners:
    """Owner elements of this answer, each account looked up once."""

    __slots__ = ("_call", "_seen")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._seen: dict[str, str] = {}

    def __call__(self, account_id: str) -> str:
        text = self._seen.get(account_id)
        if text is None:
            account = self._call.account(account_id)
            name = escape(account.display_name or account.id)
            text = self._seen[account_id] = (
                f"<Owner><ID>{escape(account.id)}</ID><DisplayName>{name}</DisplayName></Owner>"
            )
        return text


def checksum_elements(checksum: str | None) -> str:
    """ChecksumAlgorithm and ChecksumType of a row; the index keeps ``ALG:TYPE:value``."""
    if not checksum:
        return ""
    algorithm, kind, _ = checksum.split(":", 2)
    return f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"


def restores_of(call: Call, rows: list[KeyRow]) -> dict[bytes, str]:
    """The RestoreStatus elements of a page by key, where the request asks for them."""
    archived = [row[0] for row in rows if row[4] in ARCHIVED]
    if not wants_restore_status(call) or not archived:
        return {}
    found = call.store.restoring.restored_keys(call.bucket, archived)
    return {key: restore_status(until) for key, until in found.items()}


def contents(
    rows: list[KeyRow], text: KeyText, owners: Owners | None, restores: dict[bytes, str]
) -> str:
    """The Contents elements of a page."""
    pieces: list[str] = []
    append = pieces.append
    checksums: dict[str, str] = {}
    for key, size, etag, modified, storage_class, owner, checksum in rows:
        if checksum:
            label = checksum[: checksum.index(":", checksum.index(":") + 1)]
            kind = checksums.get(label)
            if kind is None:
                kind = checksums[label] = checksum_elements(checksum)
        else:
            kind = ""
        append(
            f"<Contents><Key>{text(key)}</Key><LastModified>{iso8601(modified)}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag>{kind}<Size>{size}</Size>"
            f"{owners(owner) if owners is not None else ''}"
            f"<StorageClass>{storage_class}</StorageClass>"
            f"{restores.get(key, '') if restores else ''}</Contents>"
        )
    return "".join(pieces)


@operation("ListObjects", "GET", "bucket", action="s3:ListBucket")
def list_objects(call: Call) -> Response:
    """A page of keys; the first version of the call, with ``marker``."""
    text = KeyText(call)
    prefix = text_of(call, "prefix")
    delimiter = text_of(call, "delimiter")
    marker = text_of(call, "marker")
    limit = max_keys_of(call)
    page = call.store.list_keys(
        call.bucket, prefix=prefix, delimiter=delimiter, after=marker, limit=limit
    )
    # AWS's own SDK for Python decodes every key of this answer but the Prefix.
    plain_prefix = escape(prefix.decode("utf-8", "replace"))
    pieces = [
        f'{DECLARATION}<ListBucketResult xmlns="{NAMESPACE}">'
        f"<Name>{escape(call.bucket.name)}</Name><Prefix>{plain_prefix}</Prefix>"
        f"<Marker>{text(marker)}</Marker>"
    ]
    if page.truncated and delimiter:
        # Without a delimiter a client goes on from the last key that it got.
        pieces.append(f"<NextMarker>{text(page.next)}</NextMarker>")
    pieces.append(f"<MaxKeys>{limit}</MaxKeys>")
    if delimiter:
        pieces.append(f"<Delimiter>{text(delimiter)}</Delimiter>")
    pieces.append(text.element())
    pieces.append(f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>")
    pieces.append(contents(page.entries, text, Owners(call), restores_of(call, page.entries)))
    pieces.append(common_prefixes(page.prefixes, text))
    pieces.append("</ListBucketResult>")
    return xml_response("".join(pieces).encode())


@operation("ListObjectsV2", "GET", "bucket", "list-type", action="s3:ListBucket")
def list_objects_v2(call: Call) -> Response:
    """A page of keys; the second version of the call, with tokens."""
    query = call.query
    text = KeyText(call)
    prefix = text_of(call, "prefix")
    delimiter = text_of(call, "delimiter")
    start_after = text_of(call, "start-after")
    token = query.get("continuation-token")
    if token == "":
        raise InvalidArgument(
            "The continuation token provided is incorrect",
            argument_name="continuation-token",
            argument_value="",
        )
    after = decode_token(token) if token is not None else start_after
    limit = max_keys_of(call)
    page = call.store.list_keys(
        call.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )
    pieces = [
        f'{DECLARATION}<ListBucketResult xmlns="{NAMESPACE}">'
        f"<Name>{escape(call.bucket.name)}</Name><Prefix>{text(prefix)}</Prefix>"
    ]
    if token is not None:
        pieces.append(f"<ContinuationToken>{escape(token)}</ContinuationToken>")
    if page.truncated:
        pieces.append(f"<NextContinuationToken>{encode_token(page.next)}</NextContinuationToken>")
    if start_after:
        pieces.append(f"<StartAfter>{text(start_after)}</StartAfter>")
    pieces.append(
        f"<KeyCount>{len(page.entries) + len(page.prefixes)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
    )
    if delimiter:
        pieces.append(f"<Delimiter>{text(delimiter)}</Delimiter>")
    pieces.append(text.element())
    pieces.append(f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>")
    owners = Owners(call) if (query.get("fetch-owner") or "").lower() == "true" else None
    pieces.append(contents(page.entries, text, owners, restores_of(call, page.entries)))
    pieces.append(common_prefixes(page.prefixes, text))
    pieces.append("</ListBucketResult>")
    return xml_response("".join(pieces).encode())


@operation("ListObjectVersions", "GET", "bucket", "versions", action="s3:ListBucketVersions")
def list_object_versions(call: Call) -> Response:
    """A page of versions and delete markers; an unversioned object is its version ``null``."""
    text = KeyText(call)
    query = call.query
    prefix = text_of(call, "prefix")
    delimiter = text_of(call, "delimiter")
    key_marker = text_of(call, "key-marker")
    version_id_marker = query.get("version-id-marker")
    if version_id_marker is not None and not key_marker:
        if version_id_marker:
            raise InvalidArgument(
                "A version-id marker cannot be specified without a key marker.",
                argument_name="version-id-marker",
                argument_value=version_id_marker,
            )
        version_id_marker = None
    limit = max_keys_of(call)
    page = call.store.list_versions(
        call.bucket,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=key_marker,
        version_id_marker=version_id_marker or None,
        limit=limit,
    )
    pieces = [
        f'{DECLARATION}<ListVersionsResult xmlns="{NAMESPACE}">'
        f"<Name>{escape(call.bucket.name)}</Name><Prefix>{text(prefix)}</Prefix>"
        f"<KeyMarker>{text(key_marker)}</KeyMarker>"
        f"<VersionIdMarker>{escape(version_id_marker or '')}</VersionIdMarker>"
    ]
    if page.truncated:
        pieces.append(f"<NextKeyMarker>{text(page.next_key)}</NextKeyMarker>")
        if page.next_version_id is not None:
            pieces.append(
                f"<NextVersionIdMarker>{escape(page.next_version_id)}</NextVersionIdMarker>"
            )
    pieces.append(f"<MaxKeys>{limit}</MaxKeys>")
    if delimiter:
        pieces.append(f"<Delimiter>{text(delimiter)}</Delimiter>")
    pieces.append(text.element())
    pieces.append(f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>")
    owners = Owners(call)
    archived = [each.seq for each in page.versions if each.storage_class in ARCHIVED]
    restores: dict[int, int] = {}
    if wants_restore_status(call) and archived:
        restores = call.store.restoring.restored_versions(archived)
    for version in page.versions:
        head = (
            f"<Key>{text(version.key)}</Key>"
            f"<VersionId>{escape(version.version_id or NULL_VERSION)}</VersionId>"
            f"<IsLatest>{'true' if version.is_latest else 'false'}</IsLatest>"
            f"<LastModified>{iso8601(version.modified)}</LastModified>"
        )
        if version.delete_marker:
            pieces.append(f"<DeleteMarker>{head}{owners(version.owner)}</DeleteMarker>")
            continue
        checksum = version.checksum
        kind = (
            "" if checksum is None else checksum_elements(f"{checksum.algorithm}:{checksum.type}:")
        )
        pieces.append(
            f"<Version>{head}<ETag>&quot;{version.etag}&quot;</ETag>{kind}"
            f"<Size>{version.size}</Size>{owners(version.owner)}"
            f"<StorageClass>{version.storage_class}</StorageClass>"
            f"{restore_status(restores.get(version.seq, 0))}</Version>"
        )
    pieces.append(common_prefixes(page.prefixes, text))
    pieces.append("</ListVersionsResult>")
    return xml_response("".join(pieces).encode())
