"""How the name of a bucket lies in its row, which no two rows share.

Where names are per account, its owner is part of it: ``photos!`` and 32 hex digits. Neither goes
out: whoever reads a row shows :func:`plain`. Rows of an index whose names were unique before stay
as they are, and are found beside the others.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final

MARK: Final = "!"
"""Below every character of a name, so that both kinds of rows sort as the plain names do."""

AFTER_MARK: Final = '"'


@lru_cache(maxsize=4096)
def suffix_of(account: str) -> str:
    """What the names of an account's buckets end in."""
    return MARK + sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def plain(name: str) -> str:
    """The name as its owner knows it."""
    return name.partition(MARK)[0]
