"""What a request says about encryption, and the document with a bucket's default.

Source: Amazon S3 User Guide, "Protecting data with server-side encryption", and the errors that
Amazon S3 answers, as LocalStack and Ceph have recorded them.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Final

from ..errors import InvalidArgument
from ..errors import InvalidEncryptionAlgorithmError
from ..errors import InvalidRequest
from ..errors import MalformedXML
from .xml import document
from .xml import field_xml
from .xml import from_xml

AES256: Final = "AES256"
KMS: Final = "aws:kms"
DSSE: Final = "aws:kms:dsse"
CUSTOMER: Final = "SSE-C"

SSE: Final = "x-amz-server-side-encryption"
KEY_ID: Final = "x-amz-server-side-encryption-aws-kms-key-id"
CONTEXT: Final = "x-amz-server-side-encryption-context"
BUCKET_KEY: Final = "x-amz-server-side-encryption-bucket-key-enabled"
CUSTOMER_PREFIX: Final = "x-amz-server-side-encryption-customer-"
COPY_PREFIX: Final = "x-amz-copy-source-server-side-encryption-customer-"

LONGEST_KEY_ID: Final = 2048
LONGEST_CONTEXT: Final = 2048

Get = Callable[[str], str | None]
"""A header, or a field of a form, by its lower-case name."""


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A key that a client sends with each request about its object (SSE-C)."""

    key: bytes = field(repr=False)
    md5: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a write is to be encrypted. ``context`` is the JSON text of a map of texts, or ""."""

    algorithm: str
    kms_key_id: str = ""
    context: str = field(default="", repr=False)
    bucket_key: bool = False
    customer_key: CustomerKey | None = None


def read_wanted(get: Get) -> Wanted | None:
    """What a write asks for; None where it says nothing.

    :raises InvalidArgument: what it says cannot be, or contradicts itself.
    """
    algorithm = get(SSE)
    customer = read_customer_key(get)
    key_id = get(KEY_ID)
    context = get(CONTEXT)
    bucket_key = get(BUCKET_KEY)
    if customer is not None:
        if algorithm is not None:
            raise InvalidArgument(
                "Server Side Encryption with Customer provided key is incompatible with the "
                "encryption method specified",
                argument_name=SSE,
                argument_value=algorithm,
            )
        return Wanted(CUSTOMER, customer_key=customer)
    if algorithm is not None and algorithm not in (AES256, KMS, DSSE):
        raise InvalidArgument(
            "The encryption method specified is not supported",
            argument_name=SSE,
            argument_value=algorithm,
        )
    if algorithm not in (KMS, DSSE) and (key_id is not None or context is not None):
        raise InvalidArgument(
            f"Server Side Encryption with AWS KMS managed key requires HTTP header {SSE} : {KMS}",
            argument_name=SSE,
            argument_value=algorithm or "null",
        )
    if algorithm is None:
        return None
    return Wanted(
        algorithm,
        check_key_id(key_id or "", KEY_ID),
        read_context(context),
        read_flag(bucket_key) if algorithm == KMS else False,
    )


def check_key_id(key_id: str, name: str) -> str:
    """:raises InvalidArgument: it could not stand in a header."""
    if len(key_id) > LONGEST_KEY_ID or not (key_id.isascii() and (key_id + "x").isprintable()):
        raise InvalidArgument("The key id is not valid.", argument_name=name, argument_value=key_id)
    return key_id


def read_flag(text: str | None) -> bool:
    """The header that asks for a bucket key.

    :raises InvalidArgument:
    """
    if text is None:
        return False
    if text.lower() not in ("true", "false"):
        raise InvalidArgument(argument_name=BUCKET_KEY, argument_value=text)
    return text.lower() == "true"


def read_context(text: str | None) -> str:
    """An encryption context: base64 of a JSON map of texts.

    :raises InvalidArgument:
    """
    if text is None:
        return ""
    try:
        if len(text) > LONGEST_CONTEXT:
            raise ValueError
        found = json.loads(base64.b64decode(text, validate=True))
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise ValueError
    except (ValueError, RecursionError):
        raise InvalidArgument(
            f"The header '{CONTEXT}' shall be Base64-encoded UTF-8 string holding JSON which "
            "represents a string-string map",
            argument_name=CONTEXT,
            argument_value=text[:LONGEST_CONTEXT],
        ) from None
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def read_customer_key(get: Get, prefix: str = CUSTOMER_PREFIX) -> CustomerKey | None:
    """A customer's key; None where there is none. No error ever shows it.

    :param prefix: ``COPY_PREFIX`` for that of a copy's source.
    :raises InvalidArgument: only a part of it came, or the parts do not fit.
    :raises InvalidEncryptionAlgorithmError: it is for another algorithm.
    """
    algorithm, key_text, md5_text = (get(prefix + each) for each in ("algorithm", "key", "key-md5"))
    if algorithm is None and key_text is None and md5_text is None:
        return None
    if algorithm is None:
        raise _incomplete("provide a valid encryption algorithm.", prefix + "algorithm")
    if algorithm != AES256:
        raise InvalidEncryptionAlgorithmError(
            argument_name=prefix + "algorithm", argument_value=algorithm
        )
    if not key_text:
        raise _incomplete("provide an appropriate secret key.", prefix + "key")
    if not md5_text:
        raise _incomplete(
            "provide the client calculated MD5 of the secret key.", prefix + "key-md5"
        )
    try:
        key = base64.b64decode(key_text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise InvalidArgument(
            "The secret key was invalid for the specified algorithm.", argument_name=prefix + "key"
        )
    md5 = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    if md5_text != md5:
        raise InvalidArgument(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
            argument_name=prefix + "key-md5",
        )
    return CustomerKey(key, md5)


def _incomplete(what: str, name: str) -> InvalidArgument:
    return InvalidArgument(
        f"Requests specifying Server Side Encryption with Customer provided keys must {what}",
        argument_name=name,
    )


def refuse_on_reads(get: Get) -> None:
    """Refuse what only a write can ask for, where it would mean nothing.

    :raises InvalidArgument: as AWS.
    """
    for name in (SSE, KEY_ID, CONTEXT, BUCKET_KEY):
        value = get(name)
        if value is not None:
            raise InvalidArgument(
                f"{name} header is not supported for this operation.",
                argument_name=name,
                argument_value=value,
            )


# -- a bucket's default


class EncryptionType(enum.StrEnum):
    """What a bucket may refuse."""

    NONE = "NONE"
    CUSTOMER = "SSE-C"


@dataclass
class ApplyServerSideEncryptionByDefault:
    """How what is stored without a word about it is encrypted."""

    sse_algorithm: str = field_xml("SSEAlgorithm")
    kms_master_key_id: str | None = field_xml("KMSMasterKeyID", default=None)


@dataclass
class BlockedEncryptionTypes:
    """What nobody may use in the bucket."""

    encryption_type: list[EncryptionType] = field_xml("EncryptionType", default_factory=list)


@dataclass
class ServerSideEncryptionRule:
    """A bucket has one."""

    apply_server_side_encryption_by_default: ApplyServerSideEncryptionByDefault | None = None
    bucket_key_enabled: bool | None = None
    blocked_encryption_types: BlockedEncryptionTypes | None = None


@document("ServerSideEncryptionConfiguration")
@dataclass
class ServerSideEncryptionConfiguration:
    """A bucket's default encryption."""

    rules: list[ServerSideEncryptionRule] = field_xml("Rule", default_factory=list)

    def check(self) -> None:
        """Refuse what S3 refuses.

        :raises MalformedXML: not one rule, one that says nothing, or an unknown algorithm.
        :raises InvalidArgument: a key that the algorithm has no use for.
        """
        if len(self.rules) != 1:
            raise MalformedXML
        (rule,) = self.rules
        default = rule.apply_server_side_encryption_by_default
        if default is None:
            if rule.blocked_encryption_types is None:
                raise MalformedXML
            return
        if default.sse_algorithm not in (AES256, KMS, DSSE):
            raise MalformedXML
        if default.kms_master_key_id is not None:
            if default.sse_algorithm == AES256:
                raise InvalidArgument(
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not "
                    "aws:kms or aws:kms:dsse",
                    argument_name="ApplyServerSideEncryptionByDefault",
                )
            check_key_id(default.kms_master_key_id, "KMSMasterKeyID")
        if rule.bucket_key_enabled and default.sse_algorithm == DSSE:
            raise InvalidRequest("Bucket Key is not supported for aws:kms:dsse.")


@dataclass(frozen=True, slots=True)
class BucketDefault:
    """What a bucket's document means for a write."""

    wanted: Wanted | None
    blocked: frozenset[str]


def read_default(stored: bytes) -> BucketDefault:
    """The meaning of a stored document."""
    (rule,) = from_xml(ServerSideEncryptionConfiguration, stored).rules
    default = rule.apply_server_side_encryption_by_default
    wanted = None
    if default is not None:
        wanted = Wanted(
            default.sse_algorithm,
            default.kms_master_key_id or "",
            bucket_key=bool(rule.bucket_key_enabled) and default.sse_algorithm == KMS,
        )
    blocked = rule.blocked_encryption_types
    return BucketDefault(wanted, frozenset(blocked.encryption_type if blocked else ()))
