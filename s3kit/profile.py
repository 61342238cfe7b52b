"""A vendor's ways as data: limits and switches that differ between S3 services."""

from __future__ import annotations

from dataclasses import dataclass

from .model import ObjectOwnership

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB


@dataclass(frozen=True, slots=True)
class Profile:
    """How one vendor's S3 differs from another's. Sizes in bytes.

    :param max_put: the largest body of one PutObject or form POST.
    :param max_part: the largest part; ``min_part`` is the smallest but for the last.
    :param max_copy: the largest source of one CopyObject.
    :param max_object: the largest object made from parts.
    """

    name: str = "aws"
    max_put: int = 5 * GIB
    min_part: int = 5 * MIB
    max_part: int = 5 * GIB
    max_parts: int = 10_000
    max_copy: int = 5 * GIB
    max_object: int = 50 * TIB
    disabled: frozenset[str] = frozenset()
    """Names of operations that are switched off; they answer NotImplemented (FB-07)."""
    always_versioned: bool = False
    """Every bucket keeps all versions from the start, and nobody can switch that off (BB-07)."""
    key_prefix: str = "AKIA"
    """What new access keys begin with (CS-04)."""
    most_keys: int | None = None
    most_buckets: int | None = None
    most_bytes: int | None = None
    """What an account may have where its plan does not say (CS-03, CS-07); None for any number."""
    new_bucket_ownership: ObjectOwnership | None = None
    """The object ownership of buckets that are made without one; None for none (UC-06)."""
    new_bucket_blocked: bool = False
    """New buckets have all four switches against public access on (UC-05)."""


# Source: Amazon S3 User Guide, "Default settings for new S3 buckets": so since April 2023.
AWS = Profile(new_bucket_ownership=ObjectOwnership.BUCKET_OWNER_ENFORCED, new_bucket_blocked=True)

# Source: Backblaze B2, "S3-Compatible API": all versions are kept; there is no PutBucketVersioning.
BACKBLAZE = Profile(
    name="backblaze", disabled=frozenset({"PutBucketVersioning"}), always_versioned=True
)

PROFILES = {profile.name: profile for profile in (AWS, BACKBLAZE)}
