"""What may be a bucket's name and an object's key.

Source: Amazon S3 User Guide, "General purpose bucket naming rules", "Directory bucket naming
rules" and "Naming objects".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..errors import InvalidBucketName
from ..errors import InvalidURI
from ..errors import KeyTooLongError

MAX_KEY_BYTES: Final = 1024

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789.-"
_FORBIDDEN_STARTS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_DIRECTORY: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?--([a-z0-9-]*[a-z0-9])--x-s3")
_FORBIDDEN_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Refuse a name that no S3 bucket can have.

    :raises InvalidBucketName: with the name.
    """
    if not is_bucket_name(name):
        raise InvalidBucketName(bucket_name=name)


def is_bucket_name(name: str) -> bool:
    """Whether S3's rules allow this bucket name: 3 to 63 of ``a-z0-9.-`` and no look-alike.

    The names of directory buckets are among them.
    """
    # Before the cache, which would keep texts of any length.
    return 3 <= len(name) <= 63 and _is_bucket_name(name)


def zone_of(name: str) -> str | None:
    """The zone in a directory bucket's name (``name--usw2-az1--x-s3``), None for another name."""
    if not name.endswith("--x-s3"):
        return None
    found = _DIRECTORY.fullmatch(name)
    return None if found is None else found[1]


@lru_cache(maxsize=4096)
def _is_bucket_name(name: str) -> bool:
    if name.strip(_LETTERS):
        return False
    if not (name[0].isalnum() and name[-1].isalnum()):
        return False
    if ".." in name or ".-" in name or "-." in name:
        return False
    if name.startswith(_FORBIDDEN_STARTS):
        return False
    if name.endswith(_FORBIDDEN_ENDS):
        return zone_of(name) is not None
    labels = name.split(".")
    return not (len(labels) == 4 and all(label.isdigit() for label in labels))


def check_key(key: bytes) -> None:
    """Refuse a key that S3 cannot store.

    A NUL and every other character is allowed; only the length and the encoding count.

    :raises KeyTooLongError: more than 1,024 bytes of UTF-8.
    :raises InvalidURI: the bytes are not UTF-8.
    """
    if len(key) > MAX_KEY_BYTES:
        raise KeyTooLongError(size=len(key), max_size_allowed=MAX_KEY_BYTES)
    if not key.isascii():
        try:
            key.decode()
        except UnicodeDecodeError:
            raise InvalidURI from None


STORAGE_CLASSES: Final = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "GLACIER_IR",
        "SNOW",
        "EXPRESS_ONEZONE",
    }
)
"""What ``x-amz-storage-class`` can say."""
