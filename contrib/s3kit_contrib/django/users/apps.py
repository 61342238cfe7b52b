"""The Django app ``s3kit_contrib.django.users``."""

from __future__ import annotations

from django.apps import AppConfig


class S3KitUsersConfig(AppConfig):
    """``s3kit_contrib.django.users`` in INSTALLED_APPS, beside ``s3kit_contrib.django``."""

    name = "s3kit_contrib.django.users"
    label = "s3kit_users"
    verbose_name = "S3 access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of changes to users, groups and keys."""
        from . import changes

        changes.connect()
