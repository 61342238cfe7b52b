"""``manage.py s3kit_reseal_keys``: all secrets under the key that seals now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.core.management.base import CommandError

from ...models import S3AccessKey
from ...secrets import UnknownMasterKey
from ...secrets import first_master
from ...secrets import seal
from ...secrets import unseal


class Command(BaseCommand):
    """For a new ``SECRET_KEY`` or master key, before the old one is taken out of the settings."""

    help = "Seal the secrets of all S3 access keys under the first master key, or SECRET_KEY."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal each that lies under another one.

        :raises CommandError: some cannot be opened; the others are done.
        """
        done = lost = 0
        for key in S3AccessKey.objects.exclude(master=first_master()).iterator():
            try:
                secret = unseal(key.access_key, key.secret, key.master)
            except UnknownMasterKey as error:
                self.stderr.write(f"{key.access_key}: {error}")
                lost += 1
                continue
            sealed, master = seal(key.access_key, secret)
            S3AccessKey.objects.filter(pk=key.pk, secret=key.secret).update(
                secret=sealed, master=master
            )
            done += 1
        self.stdout.write(f"Resealed {done} secrets.\n")
        if lost:
            raise CommandError(f"{lost} secrets cannot be opened.")
