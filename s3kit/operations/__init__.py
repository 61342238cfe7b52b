"""S3's words to the store's: one file per theme, its documents beside its handlers."""

from __future__ import annotations

from importlib import import_module

THEMES = (
    "service",
    "buckets",
    "listing",
    "objects",
    "copying",
    "multipart",
    "deleting",
    "posting",
    "attributes",
    "annotations",
    "tagging",
    "acls",
    "ownership",
    "cors",
    "encryption",
    "bucket_properties",
    "bucket_logging",
    "replication",
    "configurations",
    "notifications",
    "versioning",
    "website",
    "sessions",
    "renaming",
    "locking",
    "lifecycle",
    "restoring",
    "policies",
    "public_access",
)


def load() -> None:
    """Import every theme, which fills the table of operations."""
    for theme in THEMES:
        import_module(f"{__name__}.{theme}")
