"""A Django project whose own users are S3's, with their keys in the admin.

Run it:  python examples/django_users.py migrate
         python examples/django_users.py createsuperuser
         python examples/django_users.py runserver --noreload 9000
Then:    make a key at http://127.0.0.1:9000/admin/, which shows its secret once. The S3 endpoint is
         http://127.0.0.1:9000/s3. Switch the user off in the admin: its next request is refused.
Needs:   pip install 's3kit[django]'
"""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path

_CONTRIB = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")

settings.configure(  # in a project of yours this is settings.py
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "users.sqlite3"}},
    DEBUG=True,
    INSTALLED_APPS=[
        "s3kit_contrib.django",
        "s3kit_contrib.django.users",
        *(f"django.contrib.{name}" for name in _CONTRIB),
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    S3KIT={"users": {"account": "company"}},  # one account; permissions say what each user may do
    SECRET_KEY="an example's",  # it seals the secrets of the keys
    STATIC_URL="/static/",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
)
settings.TEMPLATES[0]["OPTIONS"] = {
    "context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]
}
django.setup()

from django.contrib import admin  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
