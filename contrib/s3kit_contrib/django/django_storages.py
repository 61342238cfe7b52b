"""django-storages on the S3App of this process: its S3Storage, without a socket.

.. code-block:: python

    STORAGES = {"default": {
        "BACKEND": "s3kit_contrib.django.django_storages.S3Storage",
        "OPTIONS": {"bucket_name": "media"},
    }}

All options and ``AWS_*`` settings are django-storages' own; what names the endpoint and the key has
its default from ``settings.S3KIT``. A process with one thread can store and read so, where a
request to itself over HTTP would wait for ever. django-storages' own class works against s3kit too,
wherever it runs, with these options::

    "BACKEND": "storages.backends.s3.S3Storage",
    "OPTIONS": {"bucket_name": "media", "endpoint_url": "https://files.example.com/s3",
                "region_name": "us-east-1", "addressing_style": "path",
                "signature_version": "s3v4", "access_key": ..., "secret_key": ...},
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Any

from s3kit import ConfigError
from s3kit.testing import route_to_wsgi

from . import get_mounting

try:
    from storages.backends import s3
except ImportError as error:
    raise ImportError(
        "django-storages or boto3 is not installed. Install both with: "
        "pip install 's3kit[django-storages]'"
    ) from error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment


class S3Storage(s3.S3Storage):  # type: ignore[misc,unused-ignore]
    """django-storages' S3Storage; its requests go into the app that ``settings.S3KIT`` describes.

    ``endpoint_url`` (``S3KIT["public_endpoint"]`` by default) must lie where S3 is mounted; it
    stands in presigned URLs, so it should be the one that browsers know.
    """

    access_key: str | None
    secret_key: str | None
    security_token: str | None

    def __init__(self, **settings: Any) -> None:
        """With the key of the account ``default`` unless the options name another.

        :raises ConfigError: that account has no key to sign with.
        """
        super().__init__(**settings)
        if not self.access_key and not self.session_profile:
            signing = get_mounting().config.signing_keys()
            keys = [key for key in signing if key.account.id == "default"]
            if not keys:
                raise ConfigError('S3KIT: the account "default" has no key to sign with.')
            self.access_key = keys[0].access_key
            self.secret_key = keys[0].secret_key
            self.security_token = keys[0].session_token

    def get_default_settings(self) -> dict[str, Any]:
        """django-storages' defaults, the endpoint from ``settings.S3KIT``."""
        found: dict[str, Any] = super().get_default_settings()
        mounting = get_mounting()
        config = mounting.config
        found["endpoint_url"] = (
            found["endpoint_url"] or config.public_endpoint or f"http://localhost{mounting.at}"
        ).rstrip("/")
        found["region_name"] = found["region_name"] or config.region
        found["addressing_style"] = found["addressing_style"] or "path"
        found["signature_version"] = found["signature_version"] or "s3v4"
        return found

    def _create_session(self) -> Any:
        session = super()._create_session()
        route_to_wsgi(session, _mounted)
        return session


def _mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return get_mounting().mount(_not_mounted)(environ, start_response)


def _not_mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    host = environ.get("HTTP_HOST", "")
    raise ConfigError(
        f"S3 is not mounted at {host}{environ.get('PATH_INFO', '')}: endpoint_url must name the "
        'path or a host that S3KIT mounts ("at", "hosts").'
    )
