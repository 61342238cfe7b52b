"""Wrapping every data key, and sealing every secret, with the master key that is first by now.

Nothing is written down of how far it has come: what is left to do is what the rows still name. So
a run that was stopped is simply begun again, and requests run meanwhile. No byte of any object is
read or written.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator

from ..blobs.sealed import SealBroken
from ..index import access_keys
from ..index import wrapping
from ..index.access_keys import SealedSecret
from ..index.session import Connection
from ..model import Encryption
from .backing import Backing
from .sealed_secrets import rewrap

logger = logging.getLogger("s3kit.store")

PAGE = 500
MOST_PASSES = 10
"""A process that has not seen the new key yet goes on wrapping with the old one for a second."""

Page = list[tuple[int, Encryption]] | list[tuple[str, Encryption]] | list[tuple[str, SealedSecret]]


class Rotation:
    """One run over all rows that hold a wrapped key or a sealed secret.

    :param advance: told how many rows have been looked at, the first time.
    """

    def __init__(
        self, backing: Backing, *, advance: Callable[[int], object] = lambda rows: None
    ) -> None:
        self._index = backing.index
        self._encryptions = backing.encryptions
        self._advance = advance
        self.wrapped = 0
        """Rows that were changed."""
        self.stuck = 0
        """Rows whose key cannot be unwrapped, for a master key is missing, or they are damaged."""

    def count(self) -> int:
        """How many rows there are to look at."""
        return self._index.read(lambda c: wrapping.count(c) + access_keys.count(c))

    def used(self) -> Counter[str]:
        """How many rows each master key has wrapped, by the key's id."""
        found: Counter[str] = Counter()
        for page, _ in self._pages():
            found.update(each.master for _, each in page if each.master)
        return found

    def run(self) -> None:
        """Wrap all there is, and what comes meanwhile; ends when a whole look finds nothing."""
        advance = self._advance
        if self._encryptions.masters is not None:
            # A key that was made a moment ago counts already.
            self._encryptions.masters.ids()
        for _ in range(MOST_PASSES):
            before = self.wrapped
            self.stuck = 0
            for page, put in self._pages():
                self._wrap(page, put)
                advance(len(page))
            if self.wrapped == before:
                break
            advance = _ignore

    def _pages(self) -> Iterator[tuple[Page, Callable[..., bool]]]:
        seq = 0
        while versions := self._index.read(
            lambda c, a=seq: wrapping.version_page(c, a, PAGE)  # type: ignore[misc]
        ):
            seq = versions[-1][0]
            yield versions, wrapping.wrap_version
        name = ""
        while uploads := self._index.read(
            lambda c, a=name: wrapping.upload_page(c, a, PAGE)  # type: ignore[misc]
        ):
            name = uploads[-1][0]
            yield uploads, wrapping.wrap_upload
        access_key = ""
        while secrets := self._index.read(
            lambda c, a=access_key: access_keys.sealed_page(c, a, PAGE)  # type: ignore[misc]
        ):
            access_key = secrets[-1][0]
            yield secrets, access_keys.wrap

    def _wrap(self, page: Page, put: Callable[..., bool]) -> None:
        changes = []
        for this, old in page:
            try:
                new = self._wrapped(this, old)
            except SealBroken as error:
                self.stuck += 1
                logger.warning("Row %s keeps the key that wraps it: %s.", this, error)
                continue
            if new is not None:
                changes.append((this, old, new))

        def work(c: Connection) -> int:
            return sum(put(c, *change) for change in changes)

        if changes:
            self.wrapped += self._index.write(work)

    def _wrapped(
        self, this: int | str, old: Encryption | SealedSecret
    ) -> Encryption | SealedSecret | None:
        if isinstance(old, SealedSecret):
            return rewrap(self._encryptions.masters, str(this), old)
        return self._encryptions.rewrap(old)


def _ignore(rows: int) -> None:
    """What is looked at again is counted no more."""
