"""DeleteObjects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from datetime import datetime

from ..auth.access import versioned
from ..call import Call
from ..errors import AccessDenied
from ..errors import InvalidArgument
from ..errors import MalformedXML
from ..errors import S3Error
from ..model import ObjectVersion
from ..model import Setting
from ..store import Removal
from ..wire.conditions import Conditions
from ..wire.headers import parse_etags
from ..wire.headers import parse_http_date
from ..wire.names import check_key
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.server_log import BATCH_DELETE
from ..wire.xml import document
from ..wire.xml import field_xml
from .lock_headers import may_bypass
from .lock_headers import wants_bypass
from .objects import require_reading

MAX_KEYS = 1000
DELETE_LIMIT = 8 * 1024 * 1024
"""Bytes of a Delete document: 1,000 keys of 1,024 bytes, each byte escaped."""


@dataclass
class ObjectIdentifier:
    """One object to remove."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    last_modified_time: str | None = None
    size: int | None = None

    def conditions(self) -> Conditions | None:
        """On what this one is to be removed only, None for no condition.

        :raises InvalidArgument: the time is none.
        """
        text = self.last_modified_time
        if self.etag is None and text is None and self.size is None:
            return None
        modified = None
        if text is not None:
            modified = read_time(text)
        return Conditions(
            if_match=None if self.etag is None else parse_etags(self.etag, strong=True),
            if_match_size=self.size,
            if_match_last_modified=modified,
        )


def read_time(text: str) -> int:
    """Milliseconds since the epoch, of an HTTP date or an ISO 8601 time: SDKs send either.

    :raises InvalidArgument: it is neither.
    """
    modified = parse_http_date(text)
    if modified is not None:
        return modified
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidArgument(argument_name="LastModifiedTime", argument_value=text) from None


@document("Delete")
@dataclass
class Delete:
    """The objects to remove; ``quiet`` leaves the removed ones out of the answer."""

    objects: list[ObjectIdentifier] = field_xml("Object", default_factory=list)
    quiet: bool = False


@dataclass
class DeletedObject:
    """One object that is gone."""

    key: str
    version_id: str | None = None
    delete_marker: bool | None = None
    delete_marker_version_id: str | None = None


@dataclass
class DeleteError:
    """One object that could not be removed."""

    key: str
    version_id: str | None
    code: str
    message: str


@document("DeleteResult")
@dataclass
class DeleteResult:
    """The answer to DeleteObjects."""

    deleted: list[DeletedObject] = field_xml("Deleted")
    errors: list[DeleteError] = field_xml("Error")


@operation("DeleteObjects", "POST", "bucket", "delete", action="", body="document")
def delete_objects(call: Call) -> Response:
    """Remove up to 1,000 objects; Access is asked about each of them (A059)."""
    if call.caller.anonymous and not call.bucket.present & Setting.POLICY and not call.site.hooked:
        # Nobody knows who sends it: the document is not even read for one who may delete nothing.
        # A policy, or the host, may let everybody delete some keys.
        call.require("s3:DeleteObject", call.bucket)
    wanted = call.document(Delete, checksum_required=True, limit=DELETE_LIMIT)
    if not wanted.objects or len(wanted.objects) > MAX_KEYS:
        raise MalformedXML()
    bucket = call.bucket
    bypass = wants_bypass(call)
    removals: list[Removal] = []
    outcomes: list[object] = []
    for identifier in wanted.objects:
        key = identifier.key.encode("utf-8", "surrogateescape")
        version_id = identifier.version_id or None
        action = versioned("s3:DeleteObject", version_id)
        call.if_match = identifier.etag
        if not call.allowed(action, bucket, key, version_id):
            outcomes.append(AccessDenied())
            continue
        try:
            check_key(key)
            conditions = identifier.conditions()
            require_reading(call, key, conditions, version_id)
        except S3Error as error:
            outcomes.append(error)
            continue
        outcomes.append(len(removals))
        # Without Object Lock AWS refuses the header; clean-up code sends it to any bucket.
        passing = bypass and may_bypass(call, key, version_id)
        removals.append(Removal(key, version_id, conditions, passing))
    results = call.store.objects.delete_many(bucket, removals, origin=call.origin)
    answer = DeleteResult([], [])
    for identifier, outcome in zip(wanted.objects, outcomes, strict=True):
        result = results[outcome] if isinstance(outcome, int) else outcome
        if isinstance(result, S3Error):
            answer.errors.append(
                DeleteError(identifier.key, identifier.version_id, result.code, result.text)
            )
        elif not wanted.quiet:
            deleted = DeletedObject(identifier.key, identifier.version_id or None)
            if isinstance(result, ObjectVersion) and result.delete_marker:
                # Stored now, or removed by its id: S3 says it the same way.
                deleted.delete_marker = True
                deleted.delete_marker_version_id = result.version_id
            answer.deleted.append(deleted)
        call.note_beside(
            BATCH_DELETE,
            bucket,
            identifier.key.encode("utf-8", "surrogateescape"),
            identifier.version_id or None,
            refusal=result if isinstance(result, S3Error) else None,
            status=204,
        )
    return xml_response(answer)
