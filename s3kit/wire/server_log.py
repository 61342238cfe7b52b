"""One line of an S3 server access log: 26 fields, in which nothing that a client sends breaks out.

Source: Amazon S3 User Guide, "Amazon S3 server access log format". Amazon writes quotes inside
quoted fields as they came; here they, brackets, backslashes and whatever is no printable ASCII are
percent-encoded, so that a line is one line and a field one field, whoever reads it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import quote
from urllib.parse import unquote

if TYPE_CHECKING:
    from .routing import Operation

LONGEST_QUOTED: Final = 8192
LONGEST_PLAIN: Final = 1024

_UNQUOTABLE: Final = re.compile(r"[^ !#-Z^-~]")
_UNPLAIN: Final = re.compile(r"[^!#-Z^-~]")
_SECRET: Final = re.compile(
    r"x-amz-(signature|credential|security-token)|signature|awsaccesskeyid|.*(customer-key|secret|"
    r"password|token).*",
    re.IGNORECASE,
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip

# The resource's word where it is not the sub-resource's own, and the verb where not the method.
# Source: recorded logs of Amazon S3 and the samples of its User Guide.
_OPERATIONS: Final = {
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "CopyObject": "REST.COPY.OBJECT",
    "DeleteBucketPolicy": "REST.DELETE.BUCKETPOLICY",
    "DeleteObjectTagging": "REST.DELETE.OBJECT_TAGGING",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "GetBucketLogging": "REST.GET.LOGGING_STATUS",
    "GetBucketPolicy": "REST.GET.BUCKETPOLICY",
    "GetBucketPolicyStatus": "REST.GET.POLICY_STATUS",
    "GetBucketRequestPayment": "REST.GET.REQUEST_PAYMENT",
    "GetBucketOwnershipControls": "REST.GET.OWNERSHIP_CONTROLS",
    "GetObjectAttributes": "REST.GET.OBJECT_ATTRIBUTES",
    "GetObjectLegalHold": "REST.GET.OBJECT_LOCK_LEGALHOLD",
    "GetObjectLockConfiguration": "REST.GET.OBJECT_LOCK_CONFIGURATION",
    "GetObjectRetention": "REST.GET.OBJECT_LOCK_RETENTION",
    "GetObjectTagging": "REST.GET.OBJECT_TAGGING",
    "GetPublicAccessBlock": "REST.GET.PUBLIC_ACCESS_BLOCK",
    "ListMultipartUploads": "REST.GET.UPLOADS",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "ListObjectsV2": "REST.GET.BUCKET",
    "ListParts": "REST.GET.UPLOAD",
    "PutBucketLogging": "REST.PUT.LOGGING_STATUS",
    "PutBucketOwnershipControls": "REST.PUT.OWNERSHIP_CONTROLS",
    "PutBucketPolicy": "REST.PUT.BUCKETPOLICY",
    "PutBucketRequestPayment": "REST.PUT.REQUEST_PAYMENT",
    "PutObjectLegalHold": "REST.PUT.OBJECT_LOCK_LEGALHOLD",
    "PutObjectLockConfiguration": "REST.PUT.OBJECT_LOCK_CONFIGURATION",
    "PutObjectRetention": "REST.PUT.OBJECT_LOCK_RETENTION",
    "PutObjectTagging": "REST.PUT.OBJECT_TAGGING",
    "PutPublicAccessBlock": "REST.PUT.PUBLIC_ACCESS_BLOCK",
    "PostObject": "REST.POST.OBJECT",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
}
PREFLIGHT: Final = "REST.OPTIONS.PREFLIGHT"
BATCH_DELETE: Final = "BATCH.DELETE.OBJECT"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What a line tells. "" and None stand for unknown, unavailable or not applicable.

    ``time`` in seconds since the epoch, ``total_ms`` and ``turnaround_ms`` in milliseconds,
    ``key`` undecoded. ``authentication`` is ``header``, ``query``, ``form`` or ``anonymous``.
    """

    bucket_owner: str
    bucket: str
    time: float
    remote_address: str
    requester: str | None
    request_id: str
    operation: str
    key: bytes | None
    request_uri: str
    status: int
    error: str = ""
    bytes_sent: int = 0
    object_size: int | None = None
    total_ms: int | None = None
    turnaround_ms: int | None = None
    referrer: str = ""
    user_agent: str = ""
    version_id: str | None = None
    host_id: str = ""
    authentication: str = "anonymous"
    cipher: str = ""
    host: str = ""
    tls: str = ""
    acl_required: bool = False

    def line(self) -> str:
        """The line, without its end."""
        signed = self.authentication != "anonymous"
        return " ".join(
            (
                _plain(self.bucket_owner),
                _plain(self.bucket),
                _moment(self.time),
                _plain(self.remote_address),
                _plain(self.requester),
                _plain(self.request_id),
                self.operation,
                "-" if self.key is None else quote(self.key, safe="/-_.~") or "-",
                _quoted(self.request_uri),
                str(self.status),
                _plain(self.error),
                _number(self.bytes_sent or None),
                _number(self.object_size),
                _number(self.total_ms),
                _number(self.turnaround_ms),
                _quoted(self.referrer),
                _quoted(self.user_agent),
                _plain(self.version_id),
                _plain(self.host_id),
                "SigV4" if signed else "-",
                _plain(self.cipher),
                _AUTHENTICATION.get(self.authentication, "-"),
                _plain(self.host),
                _plain(self.tls),
                "-",
                "Yes" if self.acl_required else "-",
            )
        )


_AUTHENTICATION: Final = {"header": "AuthHeader", "query": "QueryString"}


def operation_name(operation: Operation) -> str:
    """What a log calls an operation, e.g. ``REST.PUT.OBJECT``."""
    known = _OPERATIONS.get(operation.name)
    if known is not None:
        return known
    words = operation.subresources - {"id", "annotationName", "partNumber", "list-type"}
    resource = "_".join(sorted(words)) or operation.level
    if operation.level == "service":
        return f"REST.{operation.method}.SERVICE"
    return f"REST.{operation.method}.{resource.upper().replace('-', '_')}"


def request_uri(method: str, path: str, query: str, protocol: str) -> str:
    """The Request-URI field: no signature, token or key in its query, however it is spelt."""
    if query:
        path = f"{path}?{'&'.join(map(_parameter, query.split('&')))}"
    return f"{method} {path} {protocol}"


def _parameter(text: str) -> str:
    name, sign, _ = text.partition("=")
    return f"{name}=***" if sign and _SECRET.fullmatch(unquote(name).strip()) else text


def _moment(seconds: float) -> str:
    at = time.gmtime(seconds)
    # strftime's months are the locale's.
    return (
        f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}:"
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000]"
    )


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _plain(text: str | None) -> str:
    return _UNPLAIN.sub(_encoded, text[:LONGEST_PLAIN]) if text else "-"


def _quoted(text: str) -> str:
    return f'"{_UNQUOTABLE.sub(_encoded, text[:LONGEST_QUOTED])}"' if text else '"-"'


def _encoded(match: re.Match[str]) -> str:
    return quote(match[0].encode("utf-8", "surrogateescape"))
