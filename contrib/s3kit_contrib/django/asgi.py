"""For a project's asgi.py: Django with S3 mounted beside it, in threads (:mod:`..asgi`)."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application as get_django_application

from ..asgi import DEFAULT_THREADS
from ..asgi import ASGIApplication
from ..asgi import mount_asgi
from . import get_mounting


def get_asgi_application() -> ASGIApplication:
    """In the place of Django's function of the same name.

    :raises ConfigError: ``settings.S3KIT`` cannot work.
    :raises ImportError: a2wsgi is not installed.
    """
    return mount_s3(get_django_application())


def mount_s3(application: Any, *, threads: int = DEFAULT_THREADS) -> ASGIApplication:
    """An ASGI ``application`` with S3 mounted as ``settings.S3KIT`` says.

    :param threads: S3 requests that run at once.
    :raises ConfigError: ``settings.S3KIT`` cannot work.
    :raises SchemaMismatch: the index is of another version; ``manage.py s3kit upgrade-index``.
    """
    mounting = get_mounting()
    # A server with wrong settings is not to start.
    mounting.s3  # noqa: B018
    return mount_asgi(
        application,
        mounting,
        at=mounting.at or None,
        hosts=mounting.hosts,
        threads=threads,
    )
