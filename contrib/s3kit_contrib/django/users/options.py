"""What ``settings.S3KIT["users"]`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from typing import Any

from s3kit import ConfigError


@dataclass(frozen=True)
class UserOptions:
    """How Django's users become S3's.

    :param account: the account that all of them share, each as its user, with what the permissions
        allow; "" gives each an account of its own, ``django-`` and the primary key, to do with as
        it likes.
    :param cache_seconds: how long a process takes a key, its user and permissions as they were.
    """

    account: str = ""
    cache_seconds: float = 1.0

    @classmethod
    def read(cls, values: Any) -> UserOptions:
        """The options in a mapping; none where there is none.

        :raises ConfigError: they cannot be.
        """
        if values is None or values is True:
            values = {}
        if not isinstance(values, Mapping):
            raise ConfigError(f"users must be a mapping, not {type(values).__name__}.")
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(f'users: no setting "{name}". Known: {", ".join(known)}.')
        found = cls(**values)
        seconds = found.cache_seconds
        if not isinstance(found.account, str) or not found.account.isprintable():
            raise ConfigError("users: account must be a text.")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ConfigError("users: cache_seconds must be a number of seconds, 0 for none.")
        return found
