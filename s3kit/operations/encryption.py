"""A bucket's default encryption, and what requests and answers say of an object's own.

Source: Amazon S3 API Reference, PutBucketEncryption; User Guide, "Using server-side encryption".
"""

from __future__ import annotations

import base64
import ipaddress

from ..call import Call
from ..errors import InvalidRequest
from ..errors import ServerSideEncryptionConfigurationNotFoundError
from ..model import Encryption
from ..store.encryption import SETTING
from ..store.encryption import context_of
from ..wire.encryption import AES256
from ..wire.encryption import BUCKET_KEY
from ..wire.encryption import CONTEXT
from ..wire.encryption import COPY_PREFIX
from ..wire.encryption import CUSTOMER
from ..wire.encryption import CUSTOMER_PREFIX
from ..wire.encryption import KEY_ID
from ..wire.encryption import SSE
from ..wire.encryption import ApplyServerSideEncryptionByDefault
from ..wire.encryption import CustomerKey
from ..wire.encryption import ServerSideEncryptionConfiguration
from ..wire.encryption import ServerSideEncryptionRule
from ..wire.encryption import Wanted
from ..wire.encryption import read_customer_key
from ..wire.encryption import read_default
from ..wire.encryption import read_wanted
from ..wire.encryption import refuse_on_reads
from ..wire.environ import public_url_parts
from ..wire.response import Response
from ..wire.response import xml_response
from ..wire.routing import operation
from ..wire.xml import from_xml
from ..wire.xml import to_xml

MOST_BYTES = 64 * 1024
HEADER_VARIABLES = frozenset(
    "HTTP_" + name.upper().replace("-", "_")
    for name in (
        *(SSE, KEY_ID, CONTEXT, BUCKET_KEY),
        *(CUSTOMER_PREFIX + each for each in ("algorithm", "key", "key-md5")),
    )
)
INSECURE = (
    "Requests specifying Server Side Encryption with Customer provided keys must be made over a "
    "secure connection."
)


@operation(
    "GetBucketEncryption", "GET", "bucket", "encryption", action="s3:GetEncryptionConfiguration"
)
def get_bucket_encryption(call: Call) -> Response:
    """The default as it was put; without one that of the endpoint, if it has one."""
    stored = call.store.buckets.setting(call.bucket, SETTING)
    if stored is not None:
        return xml_response(from_xml(ServerSideEncryptionConfiguration, stored))
    if call.store.encryptions.always:
        default = ApplyServerSideEncryptionByDefault(AES256)
        rule = ServerSideEncryptionRule(default, bucket_key_enabled=False)
        return xml_response(ServerSideEncryptionConfiguration([rule]))
    raise ServerSideEncryptionConfigurationNotFoundError(bucket_name=call.bucket.name)


@operation(
    "PutBucketEncryption",
    "PUT",
    "bucket",
    "encryption",
    action="s3:PutEncryptionConfiguration",
    body="document",
)
def put_bucket_encryption(call: Call) -> Response:
    """Replace the default; it counts at once here and within a second elsewhere (BB-06)."""
    document = call.document(
        ServerSideEncryptionConfiguration, checksum_required=True, limit=MOST_BYTES
    )
    document.check()
    stored = to_xml(document)
    wanted = read_default(stored).wanted
    if wanted is not None:
        call.store.encryptions.check(wanted)
    call.store.buckets.put_setting(call.bucket, SETTING, stored)
    return call.empty()


@operation(
    "DeleteBucketEncryption",
    "DELETE",
    "bucket",
    "encryption",
    action="s3:PutEncryptionConfiguration",
)
def delete_bucket_encryption(call: Call) -> Response:
    """Remove the default; what is stored stays as it is."""
    call.store.buckets.delete_setting(call.bucket, SETTING)
    return call.empty(204)


# -- what a request says


def wanted_of(call: Call) -> Wanted | None:
    """How the request's headers want its object encrypted; None where they say nothing.

    :raises InvalidArgument: InvalidRequest, NotImplemented
    """
    return checked(call, read_wanted(call.header) if _says_anything(call) else None)


def _says_anything(call: Call) -> bool:
    """Whether any header is about encryption; most requests have none."""
    return not call.environ.keys().isdisjoint(HEADER_VARIABLES)


def checked(call: Call, wanted: Wanted | None) -> Wanted | None:
    """``wanted`` if it can be had here, decided before a body is read."""
    if wanted is not None and wanted.customer_key is not None:
        require_secrecy(call)
    # Also where only the bucket asks for it.
    call.store.encryptions.wanted_for(call.bucket, wanted)
    return wanted


def customer_key_of(call: Call) -> CustomerKey | None:
    """The customer's key that a request about a stored object brings.

    :raises InvalidArgument: InvalidRequest: it is none, or something that only a write can ask for.
    """
    if not _says_anything(call):
        return None
    refuse_on_reads(call.header)
    return _required_secrecy(call, read_customer_key(call.header))


def customer_key_sent(call: Call) -> CustomerKey | None:
    """The customer's key of a write that is done."""
    return read_customer_key(call.header) if _says_anything(call) else None


def source_key_of(call: Call) -> CustomerKey | None:
    """The customer's key of a copy's source."""
    return _required_secrecy(call, read_customer_key(call.header, COPY_PREFIX))


def _required_secrecy(call: Call, key: CustomerKey | None) -> CustomerKey | None:
    if key is not None:
        require_secrecy(call)
    return key


def require_secrecy(call: Call) -> None:
    """Refuse a key that anybody on the way could have read, as AWS does.

    :raises InvalidRequest:
    """
    allowed = call.site.customer_keys
    if allowed == "any":
        return
    scheme, _host, _prefix, client = public_url_parts(call.environ, call.site.trusted)
    if scheme != "https" and (allowed == "https" or not is_local(client)):
        raise InvalidRequest(INSECURE)


def is_local(client: str) -> bool:
    """Whether a client is on this machine; one without an address came by a Unix socket."""
    try:
        return not client or ipaddress.ip_address(client.partition("%")[0]).is_loopback
    except ValueError:
        return False


# -- what an answer says


def encryption_headers(
    encryption: Encryption | None, customer_key: CustomerKey | None = None, *, context: bool = False
) -> list[tuple[str, str]]:
    """The headers that tell how an object is encrypted.

    :param customer_key: the one that came with the request.
    :param context: of aws:kms, which only the answer to a write shows.
    """
    if encryption is None:
        return []
    if encryption.algorithm == CUSTOMER:
        if customer_key is None:
            return []
        return [
            (CUSTOMER_PREFIX + "algorithm", AES256),
            (CUSTOMER_PREFIX + "key-MD5", customer_key.md5),
        ]
    headers = [(SSE, encryption.algorithm)]
    if encryption.kms_key_id:
        headers.append((KEY_ID, encryption.kms_key_id))
        if encryption.bucket_key:
            headers.append((BUCKET_KEY, "true"))
        if context and (text := context_of(encryption)):
            headers.append((CONTEXT, base64.b64encode(text.encode()).decode()))
    return headers
