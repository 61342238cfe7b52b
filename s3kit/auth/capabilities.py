"""Backblaze's capabilities of a key, as the IAM actions that they stand for (BB-11).

Source: Backblaze B2 documentation, "S3-Compatible App Keys" and "Application Key Capabilities".
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

_CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    # HeadBucket has no action of its own in S3 but has one in scopes, see auth.scope.
    "listBuckets": ("GetBucketLocation", "HeadBucket", "ListAllMyBuckets"),
    "listAllBucketNames": ("ListAllMyBuckets",),
    "readBuckets": (
        "GetBucketAcl",
        "GetBucketCORS",
        "GetBucketLocation",
        "GetBucketOwnershipControls",
        "GetBucketPublicAccessBlock",
        "GetBucketTagging",
        "GetBucketVersioning",
        "GetLifecycleConfiguration",
    ),
    "writeBuckets": (
        "CreateBucket",
        "DeleteBucketOwnershipControls",
        "DeleteBucketPublicAccessBlock",
        "PutBucketAcl",
        "PutBucketCORS",
        "PutBucketOwnershipControls",
        "PutBucketPublicAccessBlock",
        "PutBucketTagging",
        "PutBucketVersioning",
        "PutLifecycleConfiguration",
        # With which CreateBucket gives a bucket its first tags.
        "TagResource",
    ),
    "deleteBuckets": ("DeleteBucket",),
    "listFiles": ("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"),
    "readFiles": (
        "GetObject",
        "GetObjectVersion",
        "GetObjectAcl",
        "GetObjectVersionAcl",
        "GetObjectAttributes",
        "GetObjectVersionAttributes",
        "GetObjectTagging",
        "GetObjectVersionTagging",
        "GetObjectAnnotation",
        "GetObjectVersionAnnotation",
        "ListObjectAnnotations",
        "ListObjectVersionAnnotations",
    ),
    # Whoever has the file's key may presign a URL for it: there is nothing to ask for.
    "shareFiles": (),
    # To remove an object by its name only hides it.
    "writeFiles": (
        "PutObject",
        "PutObjectAcl",
        "PutObjectTagging",
        "PutObjectVersionTagging",
        "PutObjectAnnotation",
        "PutObjectVersionAnnotation",
        "DeleteObject",
        "DeleteObjectTagging",
        "DeleteObjectVersionTagging",
        "DeleteObjectAnnotation",
        "DeleteObjectVersionAnnotation",
        "AbortMultipartUpload",
        "ListMultipartUploadParts",
        "RestoreObject",
    ),
    "deleteFiles": ("DeleteObjectVersion",),
    "readBucketEncryption": ("GetEncryptionConfiguration",),
    "writeBucketEncryption": ("PutEncryptionConfiguration",),
    "readBucketRetentions": ("GetBucketObjectLockConfiguration",),
    "writeBucketRetentions": ("PutBucketObjectLockConfiguration",),
    "readFileRetentions": ("GetObjectRetention",),
    "writeFileRetentions": ("PutObjectRetention",),
    "readFileLegalHolds": ("GetObjectLegalHold",),
    "writeFileLegalHolds": ("PutObjectLegalHold",),
    "bypassGovernance": ("BypassGovernanceRetention",),
    "readBucketReplications": ("GetReplicationConfiguration",),
    "writeBucketReplications": ("PutReplicationConfiguration",),
    "readBucketNotifications": ("GetBucketNotification",),
    "writeBucketNotifications": ("PutBucketNotification",),
    "readBucketLogging": ("GetBucketLogging",),
    "writeBucketLogging": ("PutBucketLogging",),
    # Of the account, which S3's API cannot manage.
    "listKeys": (),
    "writeKeys": (),
    "deleteKeys": (),
}

CAPABILITIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {name: tuple(f"s3:{action}" for action in actions) for name, actions in _CAPABILITIES.items()}
)
"""The actions of each capability. What Backblaze does not have, policies among it, none gives."""


def actions_of(capabilities: Iterable[str], *, bound: bool) -> tuple[str, ...]:
    """The actions that some capabilities stand for together.

    :param bound: the key is bound to buckets: then listAllBucketNames alone lets it list them.
    :raises ValueError: there is no such capability.
    """
    found: dict[str, None] = {}
    for name in capabilities:
        if name not in CAPABILITIES:
            close = get_close_matches(name, CAPABILITIES, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f'there is no capability "{name}".{hint}')
        for action in CAPABILITIES[name]:
            if not (bound and name == "listBuckets" and action == "s3:ListAllMyBuckets"):
                found[action] = None
    return tuple(found)


__all__ = ["CAPABILITIES", "actions_of"]
