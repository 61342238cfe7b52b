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
from typing import TYPE_CHECKING
from typing import Any

from ..mounting import Mounting

try:
    from django.conf import settings
except ImportError as error:
    raise ImportError(
        "Django is not installed. Install it with: pip install 's3kit[django]'"
    ) from error

if TYPE_CHECKING:
    from s3kit import S3App
    from s3kit.client import Client

_lock = threading.Lock()
_mounting: Mounting | None = None


def get_mounting() -> Mounting:
    """What ``settings.S3KIT`` describes; one in a process.

    :raises ConfigError: the settings cannot work.
    """
    global _mounting
    with _lock:
        if _mounting is None:
            _mounting = Mounting(getattr(settings, "S3KIT", {}))
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
