"""S3 inside a Django project.

.. code-block:: python

    # settings.py
    INSTALLED_APPS = ["s3kit_contrib.django", ..., "django.contrib.staticfiles"]
    S3KIT = {
        "index": "sqlite:////srv/s3kit.db",
        "storages": {"default": "/srv/objects"},
        "keys": {"AKIAEXAMPLE": "secret"},
        "at": "/s3",                    # the default; "hosts": ["s3.example.com", ...] beside it
    }

    # wsgi.py
    from s3kit_contrib.django.wsgi import get_wsgi_application
    application = get_wsgi_application()

    # anywhere: the in-process client, without HTTP; signals fire as for requests
    from s3kit_contrib.django import get_client
    get_client().put("photos", "cat.png", file)

``manage.py s3kit gc`` and the other commands of ``s3kit`` run on the project's settings, and
``manage.py runserver`` gives S3 the raw request target, which Django's own loses (``b%2Fa`` arrives
as ``b/a``); for this the app must stand before ``django.contrib.staticfiles``. Under ASGI there is
:mod:`s3kit_contrib.django.asgi`.

S3 requests never reach Django: neither URLs nor middleware, CSRF or ``DATA_UPLOAD_MAX_MEMORY_SIZE``
touch them, and no part of Django reads an object's body.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from s3kit import ConfigError

from ..mounting import Mounting

try:
    # Not "apps": so the module beside this one is called.
    from django.apps import apps as installed
    from django.conf import settings
    from django.db import close_old_connections
except ImportError as error:
    raise ImportError(
        "Django is not installed. Install it with: pip install 's3kit[django]'"
    ) from error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

    from s3kit import S3App
    from s3kit.client import Client

USERS = "s3kit_contrib.django.users"

_lock = threading.Lock()
_mounting: Mounting | None = None


class DjangoMounting(Mounting):
    """A Mounting that looks after the database connections of requests that Django never sees."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # As Django does at both ends of its own requests.
        close_old_connections()
        try:
            return super().__call__(environ, start_response)
        finally:
            close_old_connections()


def mounting_of(values: Any) -> Mounting:
    """What settings such as ``settings.S3KIT`` describe; nothing is opened yet.

    :raises ConfigError: they cannot work.
    """
    if not isinstance(values, Mapping):
        return DjangoMounting(values)
    values = dict(values)
    users = values.pop("users", None)
    # Scripts may use the storage without django.setup().
    if not (installed.apps_ready and installed.is_installed(USERS)):
        if users is not None:
            raise ConfigError(f'users needs "{USERS}" in INSTALLED_APPS.')
        return DjangoMounting(values)
    from .users.options import UserOptions

    options = UserOptions.read(users)
    if values.get("key_ring") is not None:
        raise ConfigError(f'key_ring would stand in for the keys of "{USERS}": have one of them.')
    from .users.key_ring import DjangoKeyRing

    return DjangoMounting(values, host_keys=DjangoKeyRing(options))


def get_mounting() -> Mounting:
    """What ``settings.S3KIT`` describes; one in a process.

    :raises ConfigError: the settings cannot work.
    """
    global _mounting
    with _lock:
        if _mounting is None:
            _mounting = mounting_of(getattr(settings, "S3KIT", {}))
        return _mounting


def get_s3() -> S3App:
    """The S3App of this process.

    :raises ConfigError: the settings cannot work.
    """
    return get_mounting().s3


def get_client(account: str = "default") -> Client:
    """The in-process client of an account."""
    return get_mounting().client(account)


def forget(*, setting: str, **_: Any) -> None:
    """After ``override_settings(S3KIT=...)`` in a test: close what the old settings opened."""
    global _mounting
    if setting != "S3KIT":
        return
    with _lock:
        found, _mounting = _mounting, None
    if found is not None:
        found.close()
