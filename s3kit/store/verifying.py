"""Comparing bytes with what was written down when they came, and doing so at a measured pace."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial

from ..model import Checksum
from ..wire import checksums

_md5 = partial(hashlib.md5, usedforsecurity=False)


class Reading:
    """The digests of a blob's bytes as they pass, to be compared with an ETag and a checksum.

    :param etag: the MD5 in hex; anything else is not compared.
    :param checksum: a FULL_OBJECT one; another is not of these bytes.
    :param sha256: compute the SHA-256 in any case, see :attr:`sha256`.
    """

    __slots__ = ("_checksum", "_etag", "_hasher", "_md5", "_sha256", "size")

    def __init__(self, etag: str, checksum: Checksum | None, *, sha256: bool = False) -> None:
        self.size = 0
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
            shared = self._sha256 is not None and self._checksum.algorithm == "SHA256"
            self._hasher = self._sha256 if shared else checksums.new(self._checksum.algorithm)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        if self._md5 is not None:
            self._md5.update(block)
        if self._sha256 is not None:
            self._sha256.update(block)
        if self._hasher is not None and self._hasher is not self._sha256:
            self._hasher.update(block)

    @property
    def sha256(self) -> str:
        """In hex, if it was asked for."""
        return "" if self._sha256 is None else self._sha256.hexdigest()

    def difference(self) -> str:
        """What is not as it was written down, in words; "" where all is."""
        if self._md5 is not None:
            found = self._md5.hexdigest()
            if found != self._etag:
                return f"the MD5 is {found}, not {self._etag}"
        if self._hasher is not None and self._checksum is not None:
            value = checksums.encode(self._hasher.digest())
            if value != self._checksum.value:
                return f"the {self._checksum.algorithm} is {value}, not {self._checksum.value}"
        return ""


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
