"""Changes that count at once: of users, groups, permissions and keys, in this process."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models.signals import m2m_changed
from django.db.models.signals import post_delete
from django.db.models.signals import post_save

from .key_ring import forget_all
from .models import S3AccessKey


def connect() -> None:
    """Have every such change forget what the key rings remember."""
    user = get_user_model()
    for model in apps.get_models():
        # A proxy or a child of a model sends signals in its own name alone.
        if issubclass(model, (user, Group, Permission, S3AccessKey)):
            for signal in (post_save, post_delete):
                signal.connect(changed, sender=model, dispatch_uid=f"s3kit {model._meta.label}")
    for holder in (
        Group.permissions,
        getattr(user, "groups", None),
        getattr(user, "user_permissions", None),
    ):
        through = getattr(holder, "through", None)
        if through is not None:
            m2m_changed.connect(
                changed, sender=through, dispatch_uid=f"s3kit {through._meta.label}"
            )


def changed(*, using: str | None = None, update_fields: Any = None, **_: Any) -> None:
    """Forget now, and again once others can see the change too."""
    if update_fields is not None and set(update_fields) == {"last_login"}:
        return
    forget_all()
    transaction.on_commit(forget_all, using=using, robust=True)
