"""For a project's wsgi.py: Django with S3 mounted beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application as get_django_application

from . import get_mounting

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

is_mounted = False
"""Whether some wsgi.py has mounted S3 in this process; ``runserver`` warns if none has."""


def get_wsgi_application() -> WSGIApplication:
    """In the place of Django's function of the same name.

    :raises ConfigError: ``settings.S3KIT`` cannot work.
    """
    return mount_s3(get_django_application())


def mount_s3(application: WSGIApplication) -> WSGIApplication:
    """``application`` with S3 mounted as ``settings.S3KIT`` says.

    For a wsgi.py with other wrappers: let this be the last one, so that they see no S3 request.

    :raises ConfigError: ``settings.S3KIT`` cannot work.
    :raises SchemaMismatch: the index is of another version; ``manage.py s3kit upgrade-index``.
    """
    global is_mounted
    mounting = get_mounting()
    # A server with wrong settings is not to start.
    mounting.s3  # noqa: B018
    is_mounted = True
    return mounting.mount(application)
