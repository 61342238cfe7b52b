"""A Django project in one file, with an S3 endpoint beside its own pages.

Run it:  python examples/django_app.py runserver --noreload 9000
         gunicorn -k gthread --threads 32 --limit-request-line 8190 django_app:application
Then:    http://127.0.0.1:9000/ is a page of Django, http://127.0.0.1:9000/s3 the S3 endpoint.
         `python examples/django_app.py s3kit --help` looks after it.
Needs:   pip install 's3kit[django]'
"""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest
from django.http import HttpResponse
from django.urls import path

settings.configure(  # in a project of yours this is settings.py
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=100_000,  # Django's own forms; no upload to S3 meets it
    DEBUG=True,
    INSTALLED_APPS=["s3kit_contrib.django", "django.contrib.staticfiles"],  # in this order
    ROOT_URLCONF=__name__,
    S3KIT={
        "keys": {"AKIAEXAMPLE": "secret"},
        # Without the next two, everything is in memory:
        # "index": "sqlite:////srv/s3kit.db",
        # "storages": {"default": "/srv/objects"},
    },
    SECRET_KEY="an example's",
    STATIC_URL="/static/",
    WSGI_APPLICATION=f"{__name__}.application",
)

from s3kit_contrib.django import get_client  # noqa: E402
from s3kit_contrib.django.wsgi import get_wsgi_application  # noqa: E402


def index(request: HttpRequest) -> HttpResponse:
    """A page that looks into the store without going over HTTP."""
    return HttpResponse("Buckets: " + ", ".join(each.name for each in get_client().buckets()))


urlpatterns = [path("", index)]

if __name__ == "__main__":
    settings.WSGI_APPLICATION = None  # runserver mounts S3 by itself
    execute_from_command_line(sys.argv)
else:
    application = get_wsgi_application()
