"""A vendor's ways as data: limits and switches that differ between S3 services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    bucket_acl_is_objects: bool = False
    """Every object has its bucket's ACL and owner; one of its own is taken without effect, so that
    no object is public in a private bucket (FB-15, FB-16)."""
    canned_acls: frozenset[str] | None = None
    """The only ACLs that there are, by their canned names; None for all of S3's (BB-11)."""
    object_acl_matches: bool = False
    """An ACL that comes with an object must be its bucket's, or is refused (BB-11)."""
    public_listing: bool = True
    """A grant to everybody on a bucket lets them list it; False: only read its objects (BB-11)."""
    public_objects: bool = False
    """Whoever knows an object's URL may read it; nobody else may list or write (IU-07)."""
    own_bucket_error: Literal["BucketAlreadyOwnedByYou", "BucketAlreadyExists"] = (
        "BucketAlreadyOwnedByYou"
    )
    """How the making of a bucket that one has is refused (CS-23)."""
    https: Literal["off", "redirect", "reject"] = "off"
    """What becomes of plain HTTP where the configuration does not say (FB-04, BB-01)."""
    names_per_account: bool = False
    """A bucket's name is its account's own, whatever other accounts call theirs (CS-23)."""


# Source: Amazon S3 User Guide, "Default settings for new S3 buckets": so since April 2023.
AWS = Profile(new_bucket_ownership=ObjectOwnership.BUCKET_OWNER_ENFORCED, new_bucket_blocked=True)

# Source: Backblaze B2, "S3-Compatible API" (seed 002): HTTPS only (BB-01); all versions are kept,
# there is no PutBucketVersioning (BB-07). A bucket is private or public as a whole, and lists to no
# stranger (BB-11): "S3 Put Object ACL", "S3-Compatible App Keys".
BACKBLAZE = Profile(
    name="backblaze",
    disabled=frozenset({"PutBucketVersioning"}),
    always_versioned=True,
    bucket_acl_is_objects=True,
    canned_acls=frozenset({"private", "public-read"}),
    object_acl_matches=True,
    public_listing=False,
    https="reject",
)

# Source: Filebase, "S3-compatible API" (seed 001): HTTPS only (FB-04), no ACLs of objects (FB-15),
# so that none is public in a private bucket (FB-16).
FILEBASE = Profile(name="filebase", bucket_acl_is_objects=True, https="redirect")

# Source: CloudStorage.io's documentation (seed 003): CS-03, CS-04, CS-07, CS-23.
CLOUDSTORAGE = Profile(
    name="cloudstorage",
    key_prefix="CS",
    most_keys=5,
    most_buckets=10,
    own_bucket_error="BucketAlreadyExists",
    names_per_account=True,
    new_bucket_ownership=ObjectOwnership.BUCKET_OWNER_ENFORCED,
    new_bucket_blocked=True,
)

# Source: Infinite Uploads, "Use the S3 API" (seed 000): "Any files in your cloud storage can be
# accessed via our CDN if the url is known or guessed" (IU-07).
INFINITE_UPLOADS = Profile(
    name="infinite-uploads",
    public_objects=True,
    public_listing=False,
    new_bucket_ownership=ObjectOwnership.BUCKET_OWNER_ENFORCED,
)

PROFILES = {
    profile.name: profile for profile in (AWS, BACKBLAZE, FILEBASE, CLOUDSTORAGE, INFINITE_UPLOADS)
}
