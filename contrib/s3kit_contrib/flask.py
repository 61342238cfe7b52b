"""S3 inside a Flask app.

.. code-block:: python

    app.config["S3KIT"] = {"keys": {"AKIAEXAMPLE": "secret"}, "at": "/s3"}
    S3Kit(app)                                  # or: s3kit = S3Kit(); s3kit.init_app(app)
    app.s3.put("photos", "cat.png", file)       # without HTTP; signals fire as for requests

``flask s3kit gc`` and the other commands of ``s3kit`` run on the app's own settings.

S3 requests never reach Flask: neither its routes nor ``before_request``, error handlers, sessions
or ``MAX_CONTENT_LENGTH`` touch them, and no part of Flask reads an object's body.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from s3kit import Config
from s3kit import S3App
from s3kit.cli.hosted import hosted_group

from .mounting import Mounting

try:
    import click
    from flask import Flask
    from flask import current_app
    from werkzeug.local import LocalProxy
except ImportError as error:
    raise ImportError("Flask is not installed. Install it with: pip install 's3kit[flask]'") from (
        error
    )

if TYPE_CHECKING:
    from s3kit.client import Client


class S3Kit:
    """The Flask extension.

    ``app.extensions["s3kit"]`` is then the :class:`~s3kit_contrib.mounting.Mounting`, ``app.s3``
    the in-process client of the account ``default``.

    :param config: a Config, or a mapping of its fields; ``app.config["S3KIT"]`` by default.
    :param at: where S3 is; ``/s3`` unless the settings say otherwise, "" for hosts only.
    :param hosts: host names that are S3's as a whole; ``*.s3.example.com`` names buckets.
    :raises ConfigError: the settings cannot work.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        config: Config | Mapping[str, Any] | None = None,
        at: str | None = None,
        hosts: Iterable[str] = (),
    ) -> None:
        self._config = config
        self._at = at
        self._hosts = tuple(hosts) if not isinstance(hosts, str) else hosts
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount S3 in ``app``.

        The index and the storages are opened now, so that a server with wrong settings does not
        start; for a command such as ``flask routes`` or ``flask s3kit`` only when it needs them.

        :raises ConfigError: the settings cannot work.
        :raises SchemaMismatch: the index is of another version; ``flask s3kit upgrade-index``.
        """
        if "s3kit" in app.extensions:
            raise RuntimeError("S3Kit is already in this app; one of the two calls is too many.")
        settings = app.config.get("S3KIT", {}) if self._config is None else self._config
        mounting = Mounting(settings, at=self._at, hosts=self._hosts)
        app.extensions["s3kit"] = mounting
        app.s3 = LocalProxy(mounting.client)  # type: ignore[attr-defined]
        app.wsgi_app = mounting.mount(app.wsgi_app)  # type: ignore[assignment, method-assign]
        app.cli.add_command(hosted_group(lambda: mounting.config))
        if not _is_for_a_command():
            mounting.s3  # noqa: B018

    @property
    def s3(self) -> S3App:
        """The S3App of the current Flask app."""
        return _current().s3

    def client(self, account: str = "default") -> Client:
        """The in-process client of an account, in the current Flask app."""
        return _current().client(account)


def _current() -> Mounting:
    found: Mounting = current_app.extensions["s3kit"]
    return found


def _is_for_a_command() -> bool:
    """Whether the app is made for a command of Flask's other than ``flask run``."""
    if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return False
    context = click.get_current_context(silent=True)
    return context is None or context.info_name != "run"
