"""What a new bucket has from the start, as its vendor's profile says."""

from __future__ import annotations

from typing import Final

from ..profile import Profile
from .ownership import SETTING as OWNERSHIP

BLOCK: Final = "publicAccessBlock"
ALL_BLOCKED: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<PublicAccessBlockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
    b"<BlockPublicPolicy>true</BlockPublicPolicy>"
    b"<RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
)
"""The document with all four switches on, as PutPublicAccessBlock would have stored it."""


def settings_of_new(profile: Profile) -> dict[str, bytes]:
    """The settings documents, by name, of a bucket that is made without any.

    Source: Amazon S3 User Guide, "Default settings for new S3 buckets"; UC-05, UC-06.
    """
    documents = {}
    if profile.new_bucket_ownership is not None:
        documents[OWNERSHIP] = profile.new_bucket_ownership.value.encode()
    if profile.new_bucket_blocked:
        documents[BLOCK] = ALL_BLOCKED
    return documents
