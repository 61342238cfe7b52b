"""How an object is encrypted: its data keys, who can open them, and when a copy may share bytes.

Each object has a data key of its own, random, which seals its bytes (:mod:`s3kit.blobs.sealed`).
The version's row holds it wrapped: by a master key of the host (SSE-S3), by a named key of a
provider (aws:kms), by both, a key for each of two layers (aws:kms:dsse), or by the customer's own
key, which is stored nowhere (SSE-C): whether it is the right one shows in that it unwraps.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Final

from ..blobs.sealed import EXTRA
from ..blobs.sealed import KEY
from ..blobs.sealed import MissingCryptography
from ..blobs.sealed import Seal
from ..blobs.sealed import SealBroken
from ..blobs.sealed import decrypt_once
from ..blobs.sealed import derive
from ..blobs.sealed import encrypt_once
from ..blobs.sealed import new_seal
from ..errors import AccessDenied
from ..errors import InvalidRequest
from ..errors import NotImplemented as NotImplementedByS3
from ..model import Bucket
from ..model import Encryption
from ..model import Setting
from ..wire.encryption import AES256
from ..wire.encryption import CUSTOMER
from ..wire.encryption import DSSE
from ..wire.encryption import KMS
from ..wire.encryption import BucketDefault
from ..wire.encryption import CustomerKey
from ..wire.encryption import Wanted
from ..wire.encryption import read_default
from .key_provider import KeyProvider
from .master_keys import MasterKeys

if TYPE_CHECKING:
    from .buckets import Buckets

Remembered = Callable[[Bucket, str, Callable[[bytes], BucketDefault]], BucketDefault | None]

SETTING: Final = "encryption"
NOT_CONFIGURED = "Server side encryption is not configured on this endpoint."
NOT_ENCRYPTED = "The encryption parameters are not applicable to this object."
NEEDS_KEY = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be "
    "provided to retrieve the object."
)
UPLOAD_WITH = (
    "The multipart upload initiate requested encryption. Subsequent part requests must include the "
    "appropriate encryption parameters."
)
UPLOAD_WITHOUT = (
    "The multipart upload initiate did not request encryption with a customer-provided key, so "
    "parts must not bring one."
)
UPLOAD_OTHER = "The provided encryption parameters did not match the ones used originally."
BLOCKED = "Encryption with customer-provided keys is blocked for this bucket."
NO_PROVIDER = "Encryption with keys of AWS KMS is not configured on this endpoint."

_MASTER: Final = b"s3kit master wrap"
_CUSTOMER: Final = b"s3kit customer wrap"


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What ``Encryption.key`` holds. ``context`` is that of aws:kms, as JSON text."""

    seal: bytes
    keys: tuple[bytes, ...]
    context: str = ""

    def __str__(self) -> str:
        pieces = (self.seal, *self.keys)
        text = ":".join(base64.b64encode(each).decode() for each in pieces)
        return text + ("|" + self.context if self.context else "")

    @classmethod
    def read(cls, text: str) -> Wrapped:
        """The inverse of ``str``.

        :raises SealBroken: it is none.
        """
        keys, _, context = text.partition("|")
        try:
            seal, *wrapped = (base64.b64decode(each, validate=True) for each in keys.split(":"))
        except ValueError:
            raise SealBroken("the row holds no wrapped key") from None
        return cls(seal, tuple(wrapped), context)


@dataclass(frozen=True, slots=True)
class Sealing:
    """The keys of one object that is being written, and what its row will say of them."""

    keys: tuple[bytes, ...] = field(repr=False)
    encryption: Encryption
    seal: Seal

    def for_part(self) -> Seal:
        """A part's own seal under the same keys."""
        return Seal(self.keys)


class Encryptions:
    """Wraps and unwraps data keys.

    :param masters: the host's master keys; without them there is no SSE-S3.
    :param provider: of the keys of aws:kms; without it there is none.
    :param always: SSE-S3 also where neither request nor bucket asks for it.
    """

    __slots__ = ("_always", "_remembered", "masters", "provider")

    def __init__(
        self,
        masters: MasterKeys | None = None,
        provider: KeyProvider | None = None,
        *,
        always: bool = False,
    ) -> None:
        self.masters = masters
        self.provider = provider
        self._always = Wanted(AES256) if always else None
        self._remembered: Remembered | None = None

    @property
    def always(self) -> bool:
        """Whether what nobody asks to encrypt is encrypted too."""
        return self._always is not None

    def attach(self, buckets: Buckets) -> None:
        """Where the buckets' own defaults are found."""
        self._remembered = buckets.remembered

    def wanted_for(self, bucket: Bucket, wanted: Wanted | None) -> Wanted | None:
        """How a write into the bucket is to be encrypted, its default heeded; None for not at all.

        :raises AccessDenied: the bucket refuses this kind.
        :raises InvalidRequest: NotImplemented: it is not configured.
        """
        default = self._default(bucket)
        if default is not None:
            if wanted is not None and wanted.algorithm in default.blocked:
                raise AccessDenied(BLOCKED)
            wanted = wanted or default.wanted
        wanted = wanted or self._always
        if wanted is not None:
            self.check(wanted)
        return wanted

    def _default(self, bucket: Bucket) -> BucketDefault | None:
        if not bucket.present & Setting.ENCRYPTION or self._remembered is None:
            return None
        return self._remembered(bucket, SETTING, read_default)

    def is_blocked(self, bucket: Bucket, encryption: Encryption | None) -> bool:
        """Whether a bucket refuses what is encrypted so."""
        if encryption is None:
            return False
        default = self._default(bucket)
        return default is not None and encryption.algorithm in default.blocked

    def sealing_for(self, bucket: Bucket, wanted: Wanted | None) -> Sealing | None:
        """The keys for a write into the bucket; None where nothing is to be encrypted.

        :raises S3Error: as :meth:`wanted_for` and :meth:`begin`.
        """
        if wanted is None and not bucket.present & Setting.ENCRYPTION and self._always is None:
            return None
        wanted = self.wanted_for(bucket, wanted)
        return None if wanted is None else self.begin(wanted)

    def check(self, wanted: Wanted) -> None:
        """Refuse what is not configured, before anything is read.

        :raises InvalidRequest: NotImplemented:
        """
        if wanted.algorithm in (AES256, DSSE) and self.masters is None:
            raise InvalidRequest(NOT_CONFIGURED)
        if wanted.algorithm in (KMS, DSSE) and self.provider is None:
            raise NotImplementedByS3(NO_PROVIDER)

    def begin(self, wanted: Wanted) -> Sealing:
        """New data keys for one object.

        :raises InvalidRequest: NotImplemented, KMSNotFoundException: it cannot be done here.
        """
        self.check(wanted)
        try:
            return self._begin(wanted)
        except MissingCryptography:
            raise NotImplementedByS3(f"Encryption is not installed here: {EXTRA}") from None

    def _begin(self, wanted: Wanted) -> Sealing:
        seal = new_seal()
        keys: list[bytes] = []
        wrapped: list[bytes] = []
        master = kms_key_id = ""
        if wanted.algorithm in (KMS, DSSE):
            provider = self.provider
            assert provider is not None, "check() refuses"
            made = provider.new_data_key(wanted.kms_key_id, _map(wanted.context))
            kms_key_id = made.key_id
            keys.append(made.plain)
            wrapped.append(made.wrapped)
        if wanted.algorithm in (AES256, DSSE):
            key = os.urandom(KEY)
            master, wrapping = self._masters().first()
            keys.append(key)
            wrapped.append(encrypt_once(derive(wrapping, seal, _MASTER), key, seal))
        if wanted.algorithm == CUSTOMER:
            key = os.urandom(KEY)
            customer = wanted.customer_key
            assert customer is not None
            keys.append(key)
            wrapped.append(encrypt_once(derive(customer.key, seal, _CUSTOMER), key, seal))
        encryption = Encryption(
            wanted.algorithm,
            str(Wrapped(seal, tuple(wrapped), wanted.context)),
            master,
            kms_key_id,
            wanted.bucket_key,
        )
        return Sealing(tuple(keys), encryption, Seal(tuple(keys), seal))

    def open(self, encryption: Encryption, customer_key: CustomerKey | None = None) -> Sealing:
        """The data keys of a stored object.

        :raises InvalidRequest: it wants a customer's key, or wants none.
        :raises AccessDenied: that is another key.
        :raises SealBroken: the row is damaged, or a master key is missing.
        :raises KMSNotFoundException: the provider has that key no more.
        """
        algorithm = encryption.algorithm
        wrapped = Wrapped.read(encryption.key)
        if algorithm == CUSTOMER:
            if customer_key is None:
                raise InvalidRequest(NEEDS_KEY)
            try:
                keys: tuple[bytes, ...] = (self._by_customer(wrapped, customer_key),)
            except SealBroken:
                raise AccessDenied() from None
        else:
            if customer_key is not None:
                raise InvalidRequest(NOT_ENCRYPTED)
            keys = self._by_host(encryption, wrapped)
        return Sealing(keys, encryption, Seal(keys, wrapped.seal))

    def _by_customer(self, wrapped: Wrapped, customer_key: CustomerKey) -> bytes:
        wrapping = derive(customer_key.key, wrapped.seal, _CUSTOMER)
        return decrypt_once(wrapping, wrapped.keys[0], wrapped.seal)

    def _by_host(self, encryption: Encryption, wrapped: Wrapped) -> tuple[bytes, ...]:
        keys = []
        if encryption.kms_key_id:
            provider = self.provider
            if provider is None:
                raise SealBroken("there is no provider for its key of aws:kms")
            context = _map(wrapped.context)
            keys.append(provider.open_data_key(encryption.kms_key_id, wrapped.keys[0], context))
        if encryption.master:
            keys.append(self._by_master(encryption.master, wrapped))
        return tuple(keys)

    def _by_master(self, master: str, wrapped: Wrapped) -> bytes:
        wrapping = None if self.masters is None else self.masters.find(master)
        if wrapping is None:
            raise SealBroken(f"the master key {master} is not among those of the configuration")
        return decrypt_once(derive(wrapping, wrapped.seal, _MASTER), wrapped.keys[-1], wrapped.seal)

    def _masters(self) -> MasterKeys:
        assert self.masters is not None, "check() refuses"
        return self.masters

    def open_upload(
        self, encryption: Encryption | None, customer_key: CustomerKey | None
    ) -> Sealing | None:
        """The keys of an upload in progress; None where it is not encrypted.

        :raises InvalidRequest: the customer's key is missing, another, or not asked for.
        """
        if encryption is None:
            if customer_key is not None:
                raise InvalidRequest(UPLOAD_WITHOUT)
            return None
        if encryption.algorithm == CUSTOMER and customer_key is None:
            raise InvalidRequest(UPLOAD_WITH)
        if encryption.algorithm != CUSTOMER and customer_key is not None:
            raise InvalidRequest(UPLOAD_WITHOUT)
        try:
            return self.open(encryption, customer_key)
        except AccessDenied:
            raise InvalidRequest(UPLOAD_OTHER) from None

    def check_customer_key(
        self, encryption: Encryption | None, customer_key: CustomerKey | None
    ) -> None:
        """Refuse a reader who has not the key that the object wants, or has one for none.

        :raises InvalidRequest: AccessDenied: as :meth:`open`.
        """
        if encryption is None:
            if customer_key is not None:
                raise InvalidRequest(NOT_ENCRYPTED)
        elif encryption.algorithm == CUSTOMER or customer_key is not None:
            self.open(encryption, customer_key)

    def is_context_of(
        self,
        encryption: Encryption | None,
        customer_key: CustomerKey | None,
        wanted: Wanted | None,
    ) -> bool:
        """Whether what is sealed so may stand for what is wanted, so that a copy can share it.

        :param customer_key: with which the source was opened.
        """
        if encryption is None or wanted is None:
            return encryption is None and wanted is None
        if encryption.algorithm != wanted.algorithm:
            return False
        if wanted.algorithm == CUSTOMER:
            return customer_key == wanted.customer_key
        if wanted.algorithm == AES256:
            return True
        return (
            encryption.kms_key_id == wanted.kms_key_id
            and Wrapped.read(encryption.key).context == wanted.context
        )

    def lacks_provider(self, encryption: Encryption) -> bool:
        """Whether only a provider could open it that is not here, as in a command of its own."""
        return bool(encryption.kms_key_id) and self.provider is None

    def rewrap(self, encryption: Encryption) -> Encryption | None:
        """The same data key under the master key that wraps now; None where it is that already.

        :raises SealBroken: it cannot be unwrapped.
        """
        if not encryption.master:
            return None
        master, wrapping = self._masters().first()
        if encryption.master == master:
            return None
        wrapped = Wrapped.read(encryption.key)
        key = self._by_master(encryption.master, wrapped)
        again = encrypt_once(derive(wrapping, wrapped.seal, _MASTER), key, wrapped.seal)
        keys = (*wrapped.keys[:-1], again)
        return replace(encryption, key=str(replace(wrapped, keys=keys)), master=master)

    def newest(self, encryption: Encryption) -> Encryption:
        """What a row is to say that is about to be stored: wrapped by the key that is first by now.

        A body may have taken hours to come, or its source been read before the key was made.
        """
        if self.masters is None:
            return encryption
        try:
            return self.rewrap(encryption) or encryption
        except SealBroken:
            # It is no more broken than what it was copied from.
            return encryption


def has_md5(encryption: Encryption | None) -> bool:
    """Whether the ETag of what is sealed so is the MD5 of its plaintext, as AWS has it."""
    return encryption is None or encryption.algorithm == AES256


def layers(encryption: Encryption | None) -> int:
    """How many times the bytes are encrypted."""
    return 2 if encryption is not None and encryption.algorithm == DSSE else 1


def seal_of(encryption: Encryption) -> bytes:
    """The seal of what lies in the row itself; b"" where the row is damaged."""
    try:
        return Wrapped.read(encryption.key).seal
    except SealBroken:
        return b""


def context_of(encryption: Encryption) -> str:
    """The encryption context of aws:kms, as JSON text; "" where there is none."""
    return Wrapped.read(encryption.key).context


def _map(context: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(context) if context else {}
    return found


__all__ = ["Encryptions", "Sealing", "context_of", "has_md5", "layers", "seal_of"]
