"""What ``manage.py check`` says about ``settings.S3KIT``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage
from django.core.checks import Error
from django.core.checks import Warning as CheckWarning

from s3kit import ConfigError

from . import mounting_of


def check_settings(**_: Any) -> list[CheckMessage]:
    """E001: wrong settings; W001: nothing is kept; W002: Django's files lie under the same path.

    E003: users share an account by permissions that they do not have.
    """
    if not hasattr(settings, "S3KIT"):
        return [
            Error(
                "settings.S3KIT is missing.",
                hint='For a first try: S3KIT = {"keys": {"AKIAEXAMPLE": "secret"}}',
                id="s3kit.E001",
            )
        ]
    try:
        mounting = mounting_of(settings.S3KIT)
    except ConfigError as error:
        return [Error(f"settings.S3KIT: {error}", id="s3kit.E001")]
    found: list[CheckMessage] = []
    users = settings.S3KIT.get("users") if isinstance(settings.S3KIT, Mapping) else None
    if isinstance(users, Mapping) and users.get("account"):
        model = get_user_model()
        if not hasattr(model, "has_perm"):
            found.append(
                Error(
                    f"{model._meta.label} has no permissions, by which users share an account.",
                    hint='Give the model a PermissionsMixin, or leave "account" out of "users".',
                    id="s3kit.E003",
                )
            )
    if mounting.config.in_memory and not settings.DEBUG:
        found.append(
            CheckWarning(
                "settings.S3KIT keeps objects or their index in this process's memory.",
                hint="Every worker has its own, and it is gone at the end. "
                'Set "index" and "storages".',
                id="s3kit.W001",
            )
        )
    for name in ("STATIC_URL", "MEDIA_URL"):
        url = getattr(settings, name, None) or ""
        if mounting.at and url.startswith(mounting.at.rstrip("/") + "/"):
            found.append(
                CheckWarning(
                    f'{name} "{url}" lies below "{mounting.at}", which is S3\'s.',
                    hint='Choose another path with S3KIT["at"].',
                    id="s3kit.W002",
                )
            )
    return found


def check_place(**_: Any) -> list[CheckMessage]:
    """W003: another app's runserver, without the raw target, would be taken."""
    for app in apps.get_app_configs():
        if app.name == "s3kit_contrib.django":
            break
        if app.name in ("django.contrib.staticfiles", "daphne"):
            return [
                CheckWarning(
                    f"The runserver of {app.name} is taken, and S3 loses the raw request target: "
                    "'%2F' in a key cannot be told from '/'.",
                    hint='Put "s3kit_contrib.django" before it in INSTALLED_APPS.',
                    id="s3kit.W003",
                )
            ]
    return []
