"""RestoreObject, and what answers tell of an archived object."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from ..call import Call
from ..errors import InvalidArgument
from ..errors import MalformedXML
from ..errors import NotImplemented as NotImplementedByS3
from ..model import ObjectVersion
from ..wire.headers import LAST_DATE
from ..wire.headers import http_date
from ..wire.headers import iso8601
from ..wire.lifecycle import ARCHIVED
from ..wire.response import Response
from ..wire.routing import operation
from ..wire.xml import document

MOST_DAYS: Final = 2**31 - 1
ATTRIBUTES_HEADER: Final = "x-amz-optional-object-attributes"
RESTORE_STATUS: Final = "RestoreStatus"


class Tier(enum.StrEnum):
    """How fast a restore is wanted; here all are instant."""

    STANDARD = "Standard"
    BULK = "Bulk"
    EXPEDITED = "Expedited"


@dataclass
class GlacierJobParameters:
    """Where the tier stands in the form that is in use."""

    tier: Tier


@dataclass
class Unread:
    """An element of a restore with a query, which no new customer of AWS has either."""


@document("RestoreRequest")
@dataclass
class RestoreRequest:
    """For how long an object is to be readable."""

    days: int | None = None
    glacier_job_parameters: GlacierJobParameters | None = None
    type: str | None = None
    tier: Tier | None = None
    description: str | None = None
    select_parameters: Unread | None = None
    output_location: Unread | None = None

    def check(self, version: ObjectVersion) -> int:
        """Refuse what AWS refuses; answers the days."""
        if self.type is not None or self.select_parameters or self.output_location:
            raise NotImplementedByS3("A restore that runs a query is not implemented.")
        if self.days is None or self.days > MOST_DAYS:
            raise MalformedXML
        if self.days < 1:
            raise InvalidArgument(
                "restoration days should be at least 1",
                argument_name="Days",
                argument_value=self.days,
            )
        parameters = self.glacier_job_parameters
        tier = self.tier if parameters is None else parameters.tier
        if tier is Tier.EXPEDITED and version.storage_class == "DEEP_ARCHIVE":
            raise InvalidArgument(
                "Retrieval option is not supported by this storage class",
                argument_name="Tier",
                argument_value=tier.value,
            )
        return self.days


@operation("RestoreObject", "POST", "object", "restore", action="s3:RestoreObject", body="document")
def restore_object(call: Call) -> Response:
    """Make an archived object readable for some days; at once, and 202 all the same as on AWS."""
    wanted = call.document(RestoreRequest)
    version = call.version(call.bucket, call.object_key, call.version_id)
    restoring = call.store.restoring
    restoring.check_archived(version)
    days = wanted.check(version)
    fresh = restoring.restore(call.bucket, version, days, origin=call.origin)
    return call.empty(202 if fresh else 200)


def restore_headers(call: Call, version: ObjectVersion) -> list[tuple[str, str]]:
    """Until when an archived object is readable; nothing of one that is not restored."""
    if version.storage_class not in ARCHIVED:
        return []
    until = call.store.restoring.restored_until(version)
    if not until:
        return []
    date = http_date(min(until, LAST_DATE))
    return [("x-amz-restore", f'ongoing-request="false", expiry-date="{date}"')]


def wants_restore_status(call: Call) -> bool:
    """Whether a listing is to tell which objects are restored.

    :raises InvalidArgument: an attribute is asked for that no listing has.
    """
    value = call.header(ATTRIBUTES_HEADER)
    if value is None:
        return False
    names = [name.strip() for name in value.split(",")]
    if names != [RESTORE_STATUS]:
        raise InvalidArgument(
            "Invalid attribute name specified",
            argument_name=ATTRIBUTES_HEADER,
            argument_value=value,
        )
    return True


def restore_status(until: int) -> str:
    """The RestoreStatus element of a listing's entry; nothing of one that is not restored."""
    if not until:
        return ""
    date = iso8601(min(until, LAST_DATE))
    return (
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        f"<RestoreExpiryDate>{date}</RestoreExpiryDate></RestoreStatus>"
    )
