"""What Django's permissions allow in an account that users share."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from typing import Final

from s3kit.auth.actions import ACTIONS
from s3kit.auth.policy import Policy
from s3kit.auth.policy import parse_policy

_READING = (
    "CreateSession GetBucketLocation GetBucketVersioning GetObject GetObjectAnnotation "
    "GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent "
    "GetObjectVersion GetObjectVersionAnnotation GetObjectVersionAttributes "
    "GetObjectVersionTagging GetObjectVersionTorrent ListAllMyBuckets ListBucket "
    "ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts ListObjectAnnotations "
    "ListObjectVersionAnnotations"
)
_STORING = (
    "AbortMultipartUpload ListBucketMultipartUploads ListMultipartUploadParts PutObject "
    "PutObjectAnnotation PutObjectTagging PutObjectVersionAnnotation PutObjectVersionTagging "
    "RestoreObject"
)
_DELETING = (
    "DeleteObject DeleteObjectAnnotation DeleteObjectTagging DeleteObjectVersion "
    "DeleteObjectVersionAnnotation DeleteObjectVersionTagging"
)


def _named(text: str) -> frozenset[str]:
    return frozenset(f"s3:{name}" for name in text.split())


_SESSIONS = frozenset(("s3express:CreateSession", "s3express:ListAllMyDirectoryBuckets"))
_OF_OBJECTS = {
    "view_objects": _named(_READING) | _SESSIONS,
    "add_objects": _named(_STORING),
    "delete_objects": _named(_DELETING),
}
PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    **_OF_OBJECTS,
    # All else, so that no action is forgotten: ACLs, policies, locks, configurations.
    "manage_buckets": ACTIONS - frozenset().union(*_OF_OBJECTS.values()),
}
"""Each permission's actions."""


def policies_of(user: Any) -> tuple[Policy, ...]:
    """What the user's permissions allow, those of its groups and of other backends too."""
    return _policies(tuple(name for name in PERMISSIONS if user.has_perm(f"s3kit_users.{name}")))


@lru_cache(maxsize=16)
def _policies(names: tuple[str, ...]) -> tuple[Policy, ...]:
    """The same objects for the same permissions, so that a key stays equal to itself."""
    statements = [
        {
            "Sid": f"permission {name}",
            "Effect": "Allow",
            "Action": sorted(PERMISSIONS[name]),
            "Resource": "*",
        }
        for name in names
    ]
    if not statements:
        return ()
    document = {"Version": "2012-10-17", "Statement": statements}
    return (parse_policy(json.dumps(document).encode(), kind="user"),)
