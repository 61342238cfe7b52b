"""The table of access keys, and the permissions that S3 asks for."""

from __future__ import annotations

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations
from django.db import models


class Migration(migrations.Migration):
    """As ``makemigrations`` wrote it."""

    initial = True

    dependencies = [  # noqa: RUF012
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [  # noqa: RUF012
        migrations.CreateModel(
            name="S3AccessKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("access_key", models.CharField(editable=False, max_length=128, unique=True)),
                ("secret", models.TextField(editable=False)),
                ("master", models.CharField(editable=False, max_length=64)),
                (
                    "label",
                    models.CharField(blank=True, help_text="What you call it.", max_length=255),
                ),
                (
                    "scope",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='What it is narrowed to, such as {"paths": ["photos/2026/"], '
                        '"read_only": true}; {} for all that its user may do.',
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Without it, every request with this key is refused.",
                        verbose_name="active",
                    ),
                ),
                (
                    "created",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "last_used",
                    models.DateTimeField(
                        editable=False,
                        help_text="When S3 last looked it up, to the minute.",
                        null=True,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="s3_access_keys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "access key",
                "ordering": ("-created", "-pk"),
                "permissions": (
                    ("view_objects", "Can read and list objects through S3"),
                    ("add_objects", "Can store objects through S3, over others too"),
                    ("delete_objects", "Can delete objects through S3"),
                    (
                        "manage_buckets",
                        "Can manage buckets through S3: make, configure, open, lock",
                    ),
                ),
            },
        ),
    ]
