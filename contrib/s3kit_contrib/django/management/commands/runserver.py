"""``manage.py runserver``, with S3 in front and the raw request target for it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from django.apps import apps
from django.conf import settings

from ... import get_mounting
from ... import wsgi
from ...server import S3WSGIServer

if TYPE_CHECKING or not apps.is_installed("django.contrib.staticfiles"):
    from django.core.management.commands.runserver import Command as RunserverCommand
else:
    from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand


class Command(RunserverCommand):
    """The runserver that would be taken otherwise, static files and reloading included."""

    server_cls = S3WSGIServer

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """S3 in front of all: a bucket may be named like a folder of static files."""
        handler = super().get_handler(*args, **options)
        if settings.WSGI_APPLICATION and not wsgi.is_mounted:
            self.stderr.write(
                self.style.WARNING(
                    f"Warning: {settings.WSGI_APPLICATION} does not mount S3; only runserver does. "
                    "In wsgi.py take get_wsgi_application from s3kit_contrib.django.wsgi."
                )
            )
        mounting = get_mounting()
        where = [mounting.at] if mounting.at else []
        self.stdout.write(f"S3 at {', '.join([*where, *mounting.hosts])}\n")
        return wsgi.mount_s3(handler)
