"""The key ring over Django's users."""

from __future__ import annotations

import logging
import weakref
from datetime import timedelta
from typing import Any
from typing import Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db import DataError
from django.db import router
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from s3kit.auth.loader import BUDGET
from s3kit.auth.loader import LoaderKeyRing
from s3kit.auth.scope import read_scope
from s3kit.model import Account
from s3kit.model import Key

from .models import S3AccessKey
from .options import UserOptions
from .permissions import policies_of
from .secrets import UnknownMasterKey
from .secrets import unseal

logger = logging.getLogger("s3kit.django")

OWN: Final = "django-"
"""What the account of a user of its own begins with; its primary key follows."""

USED_EVERY: Final = timedelta(minutes=1)

_rings: weakref.WeakSet[DjangoKeyRing] = weakref.WeakSet()


def forget_all() -> None:
    """Ask the database anew: a user, a group or a key has changed."""
    for ring in list(_rings):
        ring.forget()


class DjangoKeyRing(LoaderKeyRing):
    """The keys of Django's users."""

    def __init__(self, options: UserOptions) -> None:
        self._shared = options.account
        super().__init__(
            self._load,
            self._find_account,
            load_key_of=self._find_signer,
            seconds=options.cache_seconds,
        )
        _rings.add(self)

    def _load(self, access_key: str) -> Key | None:
        found = _usable().filter(access_key=access_key).first()
        if found is None or not found.user.is_active or found.access_key != access_key:
            return None
        if transaction.get_connection(found._state.db).in_atomic_block:
            # What a transaction has written may be rolled back: it is not to be remembered.
            self.forget(access_key)
        key = self._key(found)
        if key is not None:
            self._note(found)
        return key

    def _key(self, found: S3AccessKey) -> Key | None:
        user = found.user
        try:
            secret = unseal(found.access_key, found.secret, found.master)
            scope = None if found.scope in (None, {}) else read_scope(found.scope)
            if scope is not None and scope.byte_budget is not None:
                # A form would have said so; this row came another way.
                raise ValueError(BUDGET)
        except (UnknownMasterKey, ValueError) as error:
            logger.error("The access key %s cannot be used: %s.", found.access_key, error)
            return None
        if not self._shared:
            return Key(found.access_key, secret, self._own(user), scope=scope)
        return Key(
            found.access_key,
            secret,
            Account(self._shared, self._shared),
            user=user.get_username(),
            policies=None if getattr(user, "is_superuser", False) else policies_of(user),
            scope=scope,
        )

    def _note(self, found: S3AccessKey) -> None:
        now = timezone.now()
        if found.last_used is None or now - found.last_used > USED_EVERY:
            using = router.db_for_write(S3AccessKey, instance=found)
            rows = S3AccessKey.objects.using(using).filter(pk=found.pk)
            try:
                # Not save(): that would be a change that all keys are forgotten for.
                with transaction.atomic(using=using):
                    rows.update(last_used=now)
            except DatabaseError:
                # A database that is busy, or only to be read, refuses nobody.
                logger.warning("The use of %s is not noted.", found.access_key, exc_info=True)

    def _own(self, user: Any) -> Account:
        email = getattr(user, user.get_email_field_name(), "") or ""
        return Account(f"{OWN}{user.pk}", user.get_username(), email)

    def _user(self, account_id: str) -> Any:
        model = get_user_model()
        try:
            number = model._meta.pk.to_python(account_id.removeprefix(OWN))
            return model._default_manager.filter(pk=number).first()
        except (DataError, OverflowError, ValidationError, ValueError):
            # A stranger may name any account; not every database takes every number.
            return None

    def _find_account(self, account_id: str) -> Account | None:
        if self._shared:
            return Account(account_id, account_id) if account_id == self._shared else None
        user = self._user(account_id) if account_id.startswith(OWN) else None
        return None if user is None else self._own(user)

    def _find_signer(self, account_id: str) -> Key | None:
        rows = _usable().order_by("pk")
        if self._shared:
            if account_id != self._shared or not hasattr(get_user_model(), "is_superuser"):
                return None
            rows = rows.filter(user__is_superuser=True)
        else:
            user = self._user(account_id) if account_id.startswith(OWN) else None
            if user is None:
                return None
            rows = rows.filter(user=user)
        for found in rows:
            if found.user.is_active and not found.scope:
                key = self._key(found)
                if key is not None:
                    return key
        return None


def _usable() -> QuerySet[S3AccessKey]:
    """The active keys of users that there are as Django's own backend has it.

    A user that the model's manager leaves out, for it was deleted softly say, cannot log in either.
    """
    users = get_user_model()._default_manager.values("pk")
    return S3AccessKey.objects.select_related("user").filter(is_active=True, user__in=users)


__all__ = ["DjangoKeyRing", "forget_all"]
