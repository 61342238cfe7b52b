"""A bucket's CORS rules: which web pages of other origins may use it from a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..call import Call
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from ..errors import NoSuchCORSConfiguration
from ..model import Bucket
from ..store import Store
from ..wire.cors import METHODS
from ..wire.cors import CorsRule
from ..wire.environ import TOKEN
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml

SETTING = "cors"
MOST_BYTES = 64 * 1024
MOST_RULES = 100
LONGEST_ID = 255
LONGEST_AGE = 2**31 - 1

_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]+")


# S3 names the element so; its members are those of the service model.
@dataclass
class CORSRule:
    """One rule as its document has it."""

    id: str | None = None
    allowed_header: list[str] = field_xml("AllowedHeader", default_factory=list)
    allowed_method: list[str] = field_xml("AllowedMethod", default_factory=list)
    allowed_origin: list[str] = field_xml("AllowedOrigin", default_factory=list)
    expose_header: list[str] = field_xml("ExposeHeader", default_factory=list)
    max_age_seconds: int | None = None

    def check(self) -> None:
        """Refuse what S3 refuses.

        :raises InvalidRequest: a method that it does not have, or a wildcard too many.
        :raises InvalidArgument: the id is too long.
        :raises MalformedXML: no origin, no method, or a text that fits into no header.
        """
        if not self.allowed_origin or not self.allowed_method:
            raise MalformedXML
        if self.id is not None and len(self.id) > LONGEST_ID:
            raise InvalidArgument(
                f"ID length should not exceed allowed limit of {LONGEST_ID}",
                argument_name="ID",
                argument_value=self.id,
            )
        for method in self.allowed_method:
            if method not in METHODS:
                raise InvalidRequest(
                    f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        for name, patterns in (
            ("AllowedOrigin", self.allowed_origin),
            ("AllowedHeader", self.allowed_header),
        ):
            for pattern in patterns:
                if pattern.count("*") > 1:
                    raise InvalidRequest(f'{name} "{pattern}" can not have more than one wildcard.')
                if not _PLAIN.fullmatch(pattern):
                    raise MalformedXML
        for header in self.expose_header:
            if "*" in header:
                raise InvalidRequest(
                    f'ExposeHeader "{header}" contains wildcard. We currently do not support '
                    "wildcard for ExposeHeader."
                )
            # It becomes a part of one (A101).
            if not TOKEN.fullmatch(header):
                raise MalformedXML
        if self.max_age_seconds is not None and not 0 <= self.max_age_seconds <= LONGEST_AGE:
            raise MalformedXML


@document("CORSConfiguration")
@dataclass
class CORSConfiguration:
    """The rules; the first that matches counts."""

    rules: list[CORSRule] = field_xml("CORSRule", default_factory=list)


@operation("GetBucketCors", "GET", "bucket", "cors", action="s3:GetBucketCORS")
def get_bucket_cors(call: Call) -> Response:
    """The rules as they were put."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise NoSuchCORSConfiguration(bucket_name=call.bucket.name)
    return xml_response(from_xml(CORSConfiguration, stored))


@operation("PutBucketCors", "PUT", "bucket", "cors", action="s3:PutBucketCORS", body="document")
def put_bucket_cors(call: Call) -> Response:
    """Replace the rules; they count at once here and within a second elsewhere (FB-17)."""
    wanted = call.document(CORSConfiguration, checksum_required=True, limit=MOST_BYTES)
    if not wanted.rules:
        raise MalformedXML
    if len(wanted.rules) > MOST_RULES:
        raise InvalidRequest(
            f"The number of CORS rules should not exceed allowed limit of {MOST_RULES} rules."
        )
    for rule in wanted.rules:
        rule.check()
    call.store.buckets.put_setting(call.bucket, SETTING, to_xml(wanted))
    return call.empty()


@operation("DeleteBucketCors", "DELETE", "bucket", "cors", action="s3:PutBucketCORS")
def delete_bucket_cors(call: Call) -> Response:
    """Remove the rules: no page of another origin may use the bucket."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)


def rules_of(store: Store, bucket: Bucket) -> tuple[CorsRule, ...]:
    """A bucket's rules, at most a second old; none where it has no such document."""
    return store.buckets.remembered(bucket, SETTING, read_rules) or ()


def read_rules(stored: bytes) -> tuple[CorsRule, ...]:
    """The rules in a stored document."""
    return tuple(
        CorsRule(
            tuple(rule.allowed_origin),
            tuple(rule.allowed_method),
            tuple(rule.allowed_header),
            tuple(rule.expose_header),
            rule.max_age_seconds,
            rule.id or "",
        )
        for rule in from_xml(CORSConfiguration, stored).rules
    )
