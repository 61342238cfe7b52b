"""A Django app with s3kit in it, for ``gunicorn tests.clients.django_host:application``.

S3 is under ``/s3`` on every host, and at the root of the host ``localhost``. The app's own limit on
bodies is one that no upload keeps: it must never meet an S3 body.
"""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=1000,
    INSTALLED_APPS=["s3kit_contrib.django"],
    ROOT_URLCONF=__name__,
    S3KIT={**json.loads(os.environ["S3KIT_TEST_SETTINGS"]), "hosts": ["localhost"]},
    SECRET_KEY="of these tests",
)

from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from s3kit_contrib.django.wsgi import get_wsgi_application  # noqa: E402


def home(request: Any) -> HttpResponse:
    """A page of the host's own."""
    return HttpResponse("the host's own page")


def form(request: Any) -> HttpResponse:
    """What the host's own limit refuses when it is too long."""
    return HttpResponse(str(len(request.body)))


urlpatterns = [path("", home), path("form", form)]

application = get_wsgi_application()
