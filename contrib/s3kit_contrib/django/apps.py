"""The Django app: checks, and commands by their place in ``management/``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed

from . import forget
from .checks import check_place
from .checks import check_settings


class S3KitConfig(AppConfig):
    """``s3kit_contrib.django`` in INSTALLED_APPS."""

    name = "s3kit_contrib.django"
    label = "s3kit"
    verbose_name = "S3"

    def ready(self) -> None:
        """Connect the checks; nothing is opened."""
        register(check_settings)
        register(check_place)
        setting_changed.connect(forget, dispatch_uid="s3kit")
