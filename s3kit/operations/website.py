"""A bucket's website document: index and error documents, and where requests are sent on to.

How it is served is in :mod:`s3kit.hosting`.
Source: Amazon S3 API Reference, "PutBucketWebsite"; texts of errors as recorded by LocalStack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..call import Call
from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MalformedXML
from ..errors import NoSuchWebsiteConfiguration
from ..model import Bucket
from ..model import Setting
from ..store import Store
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import document
from ..wire.xml import field_xml
from ..wire.xml import from_xml
from ..wire.xml import to_xml

SETTING: Final = "website"
MOST_BYTES: Final = 128 * 1024
MOST_RULES: Final = 50
LONGEST: Final = 2048
"""Characters of a key, prefix or host name; it becomes a part of a header."""

REDIRECTS: Final = frozenset(("301", "302", "303", "304", "305", "307", "308"))
_HOST: Final = re.compile(r"[A-Za-z0-9._~:/\[\]@!$&'()*+,;=%?-]{1,2048}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ERROR: Final = re.compile(r"[45][0-9][0-9]")


@dataclass
class ErrorDocument:
    """The object that stands in for errors of the kind 4XX."""

    key: str


@dataclass
class IndexDocument:
    """What is added to a request for a folder."""

    suffix: str


@dataclass
class RedirectAllRequestsTo:
    """Another host for everything."""

    host_name: str
    protocol: str | None = None

    def check(self) -> None:
        """Refuse what could be no host."""
        check_host(self.host_name)
        check_protocol(self.protocol)


@dataclass
class Condition:
    """When a rule counts: both members, where both are there."""

    http_error_code_returned_equals: str | None = None
    key_prefix_equals: str | None = None

    def check(self) -> None:
        """Refuse an empty condition, and one on a status that is no error."""
        code, prefix = self.http_error_code_returned_equals, self.key_prefix_equals
        if code is None and prefix is None:
            raise InvalidRequest(
                "Condition cannot be empty. To redirect all requests without a condition, the "
                "condition element shouldn't be present."
            )
        if code is not None and not _ERROR.fullmatch(code):
            raise InvalidRequest(
                f"The provided HTTP error code ({code[:64]}) is not valid. Valid codes are 4XX or "
                "5XX."
            )
        check_text(prefix)


@dataclass
class Redirect:
    """Where to; what is not named stays as in the request."""

    host_name: str | None = None
    http_redirect_code: str | None = None
    protocol: str | None = None
    replace_key_prefix_with: str | None = None
    replace_key_with: str | None = None

    def check(self) -> None:
        """Refuse a redirect to nowhere or to two places."""
        members = (
            self.host_name,
            self.http_redirect_code,
            self.protocol,
            self.replace_key_prefix_with,
            self.replace_key_with,
        )
        if members.count(None) == len(members):
            raise MalformedXML
        if self.replace_key_with is not None and self.replace_key_prefix_with is not None:
            raise InvalidRequest("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
        if self.host_name is not None:
            check_host(self.host_name)
        check_protocol(self.protocol)
        code = self.http_redirect_code
        if code is not None and code not in REDIRECTS:
            raise InvalidRequest(
                f"The provided HTTP redirect code ({code[:64]}) is not valid. Valid codes are 3XX "
                "except 300."
            )
        check_text(self.replace_key_prefix_with)
        check_text(self.replace_key_with)


@dataclass
class RoutingRule:
    """One rule; the first that counts is followed."""

    redirect: Redirect
    condition: Condition | None = None

    def check(self) -> None:
        """Refuse what S3 refuses."""
        if self.condition is not None:
            self.condition.check()
        self.redirect.check()


@document("WebsiteConfiguration")
@dataclass
class WebsiteConfiguration:
    """How a bucket is a website."""

    redirect_all_requests_to: RedirectAllRequestsTo | None = None
    index_document: IndexDocument | None = None
    error_document: ErrorDocument | None = None
    routing_rules: list[RoutingRule] | None = field_xml(
        "RoutingRules", item="RoutingRule", default=None
    )

    def check(self) -> None:
        """Refuse what S3 refuses.

        :raises InvalidArgument: no index document, or everything redirected and more said.
        :raises InvalidRequest: a rule that cannot be followed, or more than 50.
        :raises MalformedXML: a member that is empty, or fits into no header.
        """
        everything = self.redirect_all_requests_to
        if everything is not None:
            others = (self.index_document, self.error_document, self.routing_rules)
            if others.count(None) != len(others):
                raise InvalidArgument(
                    "RedirectAllRequestsTo cannot be provided in conjunction with other Routing "
                    "Rules.",
                    argument_name="RedirectAllRequestsTo",
                    argument_value="not null",
                )
            everything.check()
            return
        if self.index_document is None:
            raise InvalidArgument(
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is "
                "empty",
                argument_name="IndexDocument",
                argument_value="null",
            )
        suffix = self.index_document.suffix
        if not suffix or "/" in suffix:
            raise InvalidArgument(
                "The IndexDocument Suffix is not well formed",
                argument_name="IndexDocument",
                argument_value=suffix or "null",
            )
        check_text(suffix)
        if self.error_document is not None:
            check_text(self.error_document.key)
        self._check_rules()

    def _check_rules(self) -> None:
        rules = self.routing_rules
        if rules is None:
            return
        if not rules:
            raise MalformedXML
        if len(rules) > MOST_RULES:
            raise InvalidRequest(
                f"{len(rules)} routing rules provided, the number of routing rules in a website "
                f"configuration is limited to {MOST_RULES}."
            )
        for rule in rules:
            rule.check()


def check_text(text: str | None) -> None:
    """:raises MalformedXML: empty, too long, or with characters that no key on the web has."""
    if text is not None and (not text or len(text) > LONGEST or _CONTROL.search(text)):
        raise MalformedXML


def check_host(name: str) -> None:
    """:raises MalformedXML: what could not stand in the place of a host in a URL (A100)."""
    if not _HOST.fullmatch(name):
        raise MalformedXML


def check_protocol(protocol: str | None) -> None:
    """:raises InvalidRequest: neither http nor https."""
    if protocol not in (None, "http", "https"):
        raise InvalidRequest(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be "
            "selected automatically."
        )


@operation("GetBucketWebsite", "GET", "bucket", "website", action="s3:GetBucketWebsite")
def get_bucket_website(call: Call) -> Response:
    """The document as it was put."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is None:
        raise NoSuchWebsiteConfiguration(bucket_name=call.bucket.name)
    return xml_response(from_xml(WebsiteConfiguration, stored))


@operation(
    "PutBucketWebsite",
    "PUT",
    "bucket",
    "website",
    action="s3:PutBucketWebsite",
    body="document",
)
def put_bucket_website(call: Call) -> Response:
    """Make the bucket a website; it counts at once here and within a second elsewhere."""
    wanted = call.document(WebsiteConfiguration, limit=MOST_BYTES)
    wanted.check()
    call.store.buckets.put_setting(call.bucket, SETTING, to_xml(wanted))
    return call.empty()


@operation("DeleteBucketWebsite", "DELETE", "bucket", "website", action="s3:DeleteBucketWebsite")
def delete_bucket_website(call: Call) -> Response:
    """The bucket is no website any more; one that was none is no error."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)


def website_of(store: Store, bucket: Bucket) -> WebsiteConfiguration | None:
    """How a bucket is a website, at most a second old; None where it is none."""
    if not bucket.present & Setting.WEBSITE:
        return None
    return store.buckets.remembered(bucket, SETTING, read_website)


def read_website(stored: bytes) -> WebsiteConfiguration:
    """A stored document."""
    return from_xml(WebsiteConfiguration, stored)
