"""The access keys of Django's users."""

from __future__ import annotations

import base64
import os
import secrets as random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from s3kit.auth.scope import read_scope

from . import secrets

PREFIX = "AKIA"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LETTERS = 16
_SECRET_BYTES = 30


class S3AccessKeyManager(models.Manager["S3AccessKey"]):
    """Makes keys."""

    @sensitive_variables("secret")
    def create_key(
        self, user: Any, *, label: str = "", scope: Mapping[str, Any] | None = None
    ) -> tuple[S3AccessKey, str]:
        """A new key of a user's, and its secret, which is told this once.

        :param scope: what it is narrowed to; see :func:`s3kit.auth.scope.read_scope`.
        :raises ValidationError: the scope or the label cannot be.
        """
        key = self.model(user=user, label=label, scope=dict(scope or {}))
        secret = key.renew()
        key.full_clean()
        key.save(using=self._db)
        return key, secret


class S3AccessKey(models.Model):
    """An access key that signs for a user. Its secret is only in the row, and sealed there."""

    user: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="s3_access_keys"
    )
    access_key: models.CharField[str, str] = models.CharField(
        max_length=128, unique=True, editable=False
    )
    secret: models.TextField[str, str] = models.TextField(editable=False)
    master: models.CharField[str, str] = models.CharField(max_length=64, editable=False)
    label: models.CharField[str, str] = models.CharField(
        max_length=255, blank=True, help_text="What you call it."
    )
    scope = models.JSONField(
        default=dict,
        blank=True,
        help_text='What it is narrowed to, such as {"paths": ["photos/2026/"], "read_only": true}; '
        "{} for all that its user may do.",
    )
    is_active: models.BooleanField[bool, bool] = models.BooleanField(
        "active", default=True, help_text="Without it, every request with this key is refused."
    )
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        default=timezone.now, editable=False
    )
    last_used: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True, editable=False, help_text="When S3 last looked it up, to the minute."
    )

    objects = S3AccessKeyManager()

    class Meta:
        """Beside Django's own four, which are about the keys."""

        verbose_name = "access key"
        ordering = ("-created", "-pk")
        permissions = (
            ("view_objects", "Can read and list objects through S3"),
            ("add_objects", "Can store objects through S3, over others too"),
            ("delete_objects", "Can delete objects through S3"),
            ("manage_buckets", "Can manage buckets through S3: make, configure, open, lock"),
        )

    def __str__(self) -> str:
        return f"{self.access_key} ({self.label})" if self.label else str(self.access_key)

    def __repr__(self) -> str:
        return f"<S3AccessKey: {self.access_key}>"

    @sensitive_variables("secret")
    def renew(self) -> str:
        """Give a key that is not stored yet its name and secret. Answers the secret."""
        name = "".join(random.choice(_ALPHABET) for _ in range(_LETTERS))
        self.access_key = PREFIX + name
        secret = base64.b64encode(os.urandom(_SECRET_BYTES)).decode()
        self.secret, self.master = secrets.seal(self.access_key, secret)
        return secret

    def clean(self) -> None:
        """Look at the scope.

        :raises ValidationError: it is none.
        """
        super().clean()
        try:
            scope = read_scope(self.scope if self.scope is not None else {})
        except ValueError as error:
            raise ValidationError({"scope": str(error)}) from None
        if scope.byte_budget is not None:
            raise ValidationError({"scope": "byte_budget is counted for s3kit's own keys only."})
