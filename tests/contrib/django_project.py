"""The one Django project of this process: settings can be made but once."""

from __future__ import annotations

import django
from django.conf import settings


def configure() -> None:
    """Make the settings, before any model is imported."""
    settings.configure(
        INSTALLED_APPS=[
            "s3kit_contrib.django",
            "s3kit_contrib.django.users",
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        STORAGES={
            "default": {
                "BACKEND": "s3kit_contrib.django.storage.S3KitStorage",
                "OPTIONS": {"bucket": "media", "create_bucket": True, "prefix": "of-models"},
            },
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        },
        ROOT_URLCONF="tests.contrib.django_urls",
        STATIC_URL="/static/",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        # Here and not in a test: to override it would change the whole process's.
        TIME_ZONE="Africa/Algiers",
        SECRET_KEY="of these tests",
    )
    django.setup()
