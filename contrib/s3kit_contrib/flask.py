"""S3 inside a Flask app.

.. code-block:: python

    app.config["S3KIT"] = {"keys": {"AKIAEXAMPLE": "secret"}, "at": "/s3"}
    S3Kit(app)                                  # or: s3kit = S3Kit(); s3kit.init_app(app)
    app.s3.put("photos", "cat.png", file)       # without HTTP; signals fire as for requests

    def load_key(access_key):                   # your own users: a row, a dict, a claim
        row = db.session.get(ApiKey, access_key)
        if row is not None and row.user.is_active:
            return {"secret_key": row.secret(), "account": row.user.name}

    S3Kit(app, load_key=load_key)               # a user that is inactive has no key

``flask s3kit gc`` and the other commands of ``s3kit`` run on the app's own settings.

S3 requests never reach Flask: neither its routes nor ``before_request``, error handlers, sessions
or ``MAX_CONTENT_LENGTH`` touch them, and no part of Flask reads an object's body.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from s3kit import AuthorizationRequest
from s3kit import Config
from s3kit import ConfigError
from s3kit import S3App
from s3kit.auth.loader import DEFAULT_SECONDS
from s3kit.auth.loader import LoaderKeyRing
from s3kit.cli.hosted import hosted_group

from .mounting import Mounting

try:
    import click
    from flask import Flask
    from flask import current_app
    from flask import has_app_context
    from werkzeug.local import LocalProxy
except ImportError as error:
    raise ImportError("Flask is not installed. Install it with: pip install 's3kit[flask]'") from (
        error
    )

if TYPE_CHECKING:
    from s3kit.auth.access import Access
    from s3kit.auth.hook import Authorize
    from s3kit.auth.keyring import KeyRing
    from s3kit.auth.loader import LoadAccount
    from s3kit.auth.loader import LoadKey
    from s3kit.client import Client

_Found = TypeVar("_Found")


class S3Kit:
    """The Flask extension.

    ``app.extensions["s3kit"]`` is then the :class:`~s3kit_contrib.mounting.Mounting`, ``app.s3``
    the in-process client of the account ``default``.

    :param config: a Config, or a mapping of its fields; ``app.config["S3KIT"]`` by default.
    :param at: where S3 is; ``/s3`` unless the settings say otherwise, "" for hosts only.
    :param hosts: host names that are S3's as a whole; ``*.s3.example.com`` names buckets.
    :param load_key: finds the access keys of the app's own users, after those of s3kit itself; see
        :class:`~s3kit.auth.loader.LoaderKeyRing`. It is called in an app context.
    :param load_account: finds an account by its id, likewise.
    :param load_key_of: finds a key that may sign for an account, likewise.
    :param key_seconds: how long a key is remembered, 0 to ask each time.
    :param key_ring: in place of all these.
    :param access: in place of owners, policies and ACLs.
    :param authorize: the app's own word beside them. For a request it is called in a Flask request
        context of its own, so that ``flask.session`` is the visitor's; what it stores there is
        lost.
    :raises ConfigError: the settings cannot work.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        config: Config | Mapping[str, Any] | None = None,
        at: str | None = None,
        hosts: Iterable[str] = (),
        load_key: LoadKey | None = None,
        load_account: LoadAccount | None = None,
        load_key_of: LoadKey | None = None,
        key_seconds: float = DEFAULT_SECONDS,
        key_ring: KeyRing | None = None,
        access: Access | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        if key_ring is not None and load_key is not None:
            raise ConfigError("Give S3Kit a key_ring or a load_key, not both.")
        if load_key is None and (load_account is not None or load_key_of is not None):
            raise ConfigError("load_account and load_key_of are for a load_key.")
        self._load_key = load_key
        self._load_account = load_account
        self._load_key_of = load_key_of
        self._key_seconds = key_seconds
        self._key_ring = key_ring
        self._access = access
        self._authorize = authorize
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
        mounting = Mounting(
            settings,
            at=self._at,
            hosts=self._hosts,
            key_ring=self._key_ring,
            host_keys=self._ring_of(app),
            access=self._access,
            authorize=self._authorize,
            around=lambda authorize: _in_request(app, authorize),
        )
        app.extensions["s3kit"] = mounting
        app.s3 = LocalProxy(mounting.client)  # type: ignore[attr-defined]
        app.wsgi_app = mounting.mount(app.wsgi_app)  # type: ignore[assignment, method-assign]
        app.cli.add_command(hosted_group(lambda: mounting.config))
        if not _is_for_a_command():
            mounting.s3  # noqa: B018

    def _ring_of(self, app: Flask) -> LoaderKeyRing | None:
        """The ring over the app's own functions."""
        if self._load_key is None:
            return None
        return LoaderKeyRing(
            _in_context(app, self._load_key),
            self._load_account and _in_context(app, self._load_account),
            load_key_of=self._load_key_of and _in_context(app, self._load_key_of),
            seconds=self._key_seconds,
        )

    def forget_keys(self, access_key: str | None = None) -> None:
        """Ask ``load_key`` anew, in this process, about one key or about all."""
        ring = _current().host_keys
        if isinstance(ring, LoaderKeyRing):
            ring.forget(access_key)

    @property
    def s3(self) -> S3App:
        """The S3App of the current Flask app."""
        return _current().s3

    def client(self, account: str = "default") -> Client:
        """The in-process client of an account, in the current Flask app."""
        return _current().client(account)


def _in_context(app: Flask, load: Callable[[str], _Found]) -> Callable[[str], _Found]:
    """A loader that runs in a context of its own, whose database session ends with it."""

    @wraps(load)
    def loaded(name: str) -> _Found:
        with app.app_context():
            return load(name)

    return loaded


def _in_request(app: Flask, ask: Authorize) -> Authorize:
    """An ``authorize`` that may look at ``flask.session``."""

    @wraps(ask)
    def asked(request: AuthorizationRequest) -> Any:
        if request.kind != "python":
            with app.request_context(dict(request.environ)):
                return ask(request)
        if has_app_context():
            # A view's own call.
            return ask(request)
        with app.app_context():
            return ask(request)

    return asked


def _current() -> Mounting:
    found: Mounting = current_app.extensions["s3kit"]
    return found


def _is_for_a_command() -> bool:
    """Whether the app is made for a command of Flask's other than ``flask run``."""
    if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return False
    context = click.get_current_context(silent=True)
    return context is None or context.info_name != "run"
