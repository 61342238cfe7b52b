"""Django's own users as S3's: their access keys, permissions and accounts.

.. code-block:: python

    INSTALLED_APPS = [
        "s3kit_contrib.django",
        "s3kit_contrib.django.users",
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", ...
    ]
    S3KIT = {..., "users": {"account": "company"}}     # without "account" each has one of its own

    from s3kit_contrib.django.users.models import S3AccessKey
    key, secret = S3AccessKey.objects.create_key(user, label="camera")

After ``manage.py migrate`` keys are made in the admin, which shows their secrets once. A user with
``is_active`` off, a key with it off, or one that is gone, opens nothing any more: at once in the
process that says so, within ``cache_seconds`` (1 by default) in every other.
"""

from __future__ import annotations
