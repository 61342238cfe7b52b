"""Comparing bytes with what was written down when they came, and doing so at a measured pace."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..blobs.sealed import MissingCryptography
from ..blobs.sealed import Opening
from ..blobs.sealed import Seal
from ..blobs.sealed import SealBroken
from ..blobs.sealed import sealed_size
from ..errors import S3Error
from ..index.scan import AnnotationFacts
from ..index.scan import BlobFacts
from ..index.scan import InlineFacts
from ..model import Checksum
from ..model import Encryption
from ..wire import checksums
from ..wire.encryption import CUSTOMER
from .encryption import Encryptions
from .encryption import has_md5
from .encryption import layers
from .encryption import seal_of

NOT_SEALED = "it does not begin as what was sealed"

_md5 = partial(hashlib.md5, usedforsecurity=False)


class Reading:
    """The digests of a blob's bytes as they pass, to be compared with an ETag and a checksum.

    :param etag: the MD5 in hex; anything else is not compared.
    :param checksum: a FULL_OBJECT one; another is not of these bytes.
    :param sha256: compute the SHA-256 in any case, see :attr:`sha256`.
    :param opening: what passes is encrypted, and the ETag and checksum are of what this makes of
        it; the SHA-256 is of what passes.
    :param header: with this it must begin; all that can be told of what cannot be decrypted.
    """

    __slots__ = (
        "_broken",
        "_checksum",
        "_etag",
        "_hasher",
        "_header",
        "_md5",
        "_opening",
        "_sha256",
        "size",
    )

    def __init__(
        self,
        etag: str,
        checksum: Checksum | None,
        *,
        sha256: bool = False,
        opening: Opening | None = None,
        header: bytes = b"",
    ) -> None:
        self.size = 0
        self._opening = opening
        self._header = header
        self._broken = ""
        self._etag = etag if len(etag) == 32 else ""
        self._checksum = checksum if checksum is not None and checksum.type != "COMPOSITE" else None
        self._md5 = _md5() if self._etag else None
        self._sha256 = hashlib.sha256() if sha256 else None
        self._hasher: checksums.Hasher | None = None
        # A checksum that this installation cannot compute is not compared; the MD5 mostly is.
        if (
            self._checksum is not None
            and self._checksum.algorithm in checksums.ALGORITHMS
            and checksums.available(self._checksum.algorithm)
        ):
            # Of what is encrypted the two are of different bytes.
            shared = opening is None and self._checksum.algorithm == "SHA256"
            shared = shared and self._sha256 is not None
            self._hasher = self._sha256 if shared else checksums.new(self._checksum.algorithm)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        if self._sha256 is not None:
            self._sha256.update(block)
        if self._header:
            begin = self._header[: len(block)]
            if block[: len(begin)] != begin:
                self._broken = NOT_SEALED
            self._header = self._header[len(begin) :]
        if self._opening is not None and not self._broken:
            try:
                block = self._opening.feed(block)
            except SealBroken as error:
                self._broken = str(error)
        if self._broken:
            return
        if self._md5 is not None:
            self._md5.update(block)
        if self._hasher is not None and self._hasher is not self._sha256:
            self._hasher.update(block)

    @property
    def sha256(self) -> str:
        """In hex, if it was asked for."""
        return "" if self._sha256 is None else self._sha256.hexdigest()

    def difference(self) -> str:
        """What is not as it was written down, in words; "" where all is."""
        if self._opening is not None and not self._broken:
            try:
                self._opening.finish()
            except SealBroken as error:
                self._broken = str(error)
        if self._broken:
            return f"it cannot be decrypted: {self._broken}"
        if self._header:
            return NOT_SEALED
        if self._md5 is not None:
            found = self._md5.hexdigest()
            if found != self._etag:
                return f"the MD5 is {found}, not {self._etag}"
        if self._hasher is not None and self._checksum is not None:
            value = checksums.encode(self._hasher.digest())
            if value != self._checksum.value:
                return f"the {self._checksum.algorithm} is {value}, not {self._checksum.value}"
        return ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What stored bytes must be, encrypted or not.

    ``size`` is what is stored. ``unopened`` tells why they can only be looked at from outside;
    ``no_master`` that this is for want of a master key, and so a fault.
    """

    size: int
    etag: str
    checksum: Checksum | None
    plain_size: int = 0
    seal: Seal | None = None
    header: bytes = b""
    unopened: str = ""
    no_master: bool = False

    def reading(self, *, sha256: bool = False) -> Reading:
        """To be fed the stored bytes."""
        if self.unopened:
            return Reading("", None, sha256=sha256, header=self.header)
        opening = None if self.seal is None else Opening(self.seal, self.plain_size)
        return Reading(self.etag, self.checksum, sha256=sha256, opening=opening)


def expected_blob(facts: BlobFacts, encryptions: Encryptions) -> Expected:
    """What a blob must be."""
    if not facts.sealing:
        return Expected(facts.size, facts.etag, facts.checksum)
    seal = bytes.fromhex(facts.sealing)
    return _sealed(facts.size, facts.etag, facts.checksum, facts.encryption, encryptions, seal)


def expected_inline(facts: InlineFacts, encryptions: Encryptions) -> Expected:
    """What the bytes of a small object must be."""
    if facts.encryption is None:
        return Expected(facts.size, facts.etag, facts.checksum)
    return _sealed(facts.size, facts.etag, facts.checksum, facts.encryption, encryptions, None)


def expected_annotation(facts: AnnotationFacts, encryptions: Encryptions) -> Expected:
    """What an annotation's stored bytes must be."""
    if not facts.sealing:
        return Expected(facts.size, facts.etag, facts.checksum)
    seal = bytes.fromhex(facts.sealing)
    return _sealed(facts.size, facts.etag, facts.checksum, facts.encryption, encryptions, seal)


def _sealed(
    size: int,
    etag: str,
    checksum: Checksum | None,
    encryption: Encryption | None,
    encryptions: Encryptions,
    seal_id: bytes | None,
) -> Expected:
    stored = sealed_size(size, layers(encryption))
    unopened = ""
    no_master = False
    sealing = None
    if encryption is None:
        unopened = "no row says how it is encrypted"
    elif encryption.algorithm == CUSTOMER:
        unopened = "it is encrypted with a customer's key"
    else:
        try:
            sealing = encryptions.open(encryption)
        except (SealBroken, S3Error, MissingCryptography) as error:
            unopened = str(error)
            no_master = isinstance(error, SealBroken) and not encryptions.lacks_provider(encryption)
    if seal_id is None and encryption is not None:
        seal_id = seal_of(encryption)
    seal = Seal((), seal_id or b"")
    if sealing is None:
        return Expected(
            stored, "", None, size, None, seal.header, unopened=unopened, no_master=no_master
        )
    etag = etag if has_md5(encryption) else ""
    return Expected(stored, etag, checksum, size, Seal(sealing.keys, seal.id))


class Pace:
    """Waits so that no more than ``rate`` bytes pass in a second; None does not wait."""

    __slots__ = ("_clock", "_due", "_rate", "_sleep")

    def __init__(
        self,
        rate: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    def passed(self, size: int) -> None:
        """``size`` bytes have just passed."""
        if not self._rate:
            return
        now = self._clock()
        # What was not used of an earlier second is not made good later.
        self._due = max(self._due, now - 1.0) + size / self._rate
        if self._due > now:
            self._sleep(self._due - now)
