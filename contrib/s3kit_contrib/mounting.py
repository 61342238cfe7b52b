"""What every host framework needs: an S3App from plain settings, and where it is mounted.

Frameworks' own doors are built on it: :mod:`s3kit_contrib.flask`, :mod:`s3kit_contrib.django`.
"""

from __future__ import annotations

import importlib
import threading
import typing
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from s3kit import Config
from s3kit import ConfigError
from s3kit import S3App
from s3kit import mount

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from s3kit.auth.access import Access
    from s3kit.auth.hook import Authorize
    from s3kit.auth.keyring import KeyRing
    from s3kit.auth.keyring import SigningKeyRing
    from s3kit.client import Client

DEFAULT_AT = "/s3"

SEAMS = ("key_ring", "access", "authorize")
"""What of a host's own may stand in its settings beside the fields of Config."""


class Mounting:
    """One S3App, opened at its first use, and the path and hosts under which it answers.

    :param settings: a Config, or a mapping of its fields with ``at`` and ``hosts`` beside them.
        Where ``base_hosts`` is not among them, every ``*.name`` of ``hosts`` is one: what stands
        below such a name can only be a bucket.
    :param at: the path, ``/s3`` by default; "" for none, when there are ``hosts``.
    :param hosts: host names, as for :func:`s3kit.mount`; ``website_hosts`` are among them anyway.
    :param key_ring: as for :class:`~s3kit.app.S3App`. This, ``access`` and ``authorize`` may stand
        in the settings too, as objects or as ``module:name``.
    :param host_keys: as for S3App.
    :param access: as for S3App.
    :param authorize: as for S3App.
    :param around: makes of the ``authorize`` that is given or set the one that is called.
    :raises ConfigError: a setting is unknown or cannot work. Nothing is opened yet.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | Config,
        *,
        at: str | None = None,
        hosts: Iterable[str] = (),
        key_ring: KeyRing | None = None,
        host_keys: SigningKeyRing | None = None,
        access: Access | None = None,
        authorize: Authorize | None = None,
        around: Callable[[Authorize], Authorize] | None = None,
    ) -> None:
        config = settings if isinstance(settings, Config) else None
        values = {} if config is not None else _checked(settings)
        set_at = values.pop("at", DEFAULT_AT)
        self.at: str = (set_at if at is None else at) or ""
        self.hosts = _names(hosts or values.pop("hosts", ()))
        values.pop("hosts", None)
        seams = {
            name: values.pop(name)
            for name in SEAMS
            # That text is the Config's own, which looks at its form.
            if values.get(name) is not None
            and not (name == "authorize" and isinstance(values[name], str))
        }
        given = {"key_ring": key_ring, "access": access, "authorize": authorize}
        self._seams: dict[str, Any] = {
            **seams,
            **{name: value for name, value in given.items() if value is not None},
        }
        self.host_keys = host_keys
        self._around = around
        config = Config.from_mapping(values) if config is None else config
        if not config.base_hosts:
            sites = {host.lower() for host in config.website_hosts}
            below = [
                host[2:]
                for host in self.hosts
                if host.startswith("*.") and host.lower() not in sites
            ]
            config = replace(config, base_hosts=tuple(below))
        self.hosts += tuple(host for host in config.website_hosts if host not in self.hosts)
        self.config = config
        self._opening = threading.Lock()
        self._s3: S3App | None = None
        self._clients: dict[str, Client] = {}
        # Only to refuse what cannot be mounted before anything is served.
        self.mount(_nothing)

    @property
    def s3(self) -> S3App:
        """The S3App, opened now if it was not."""
        found = self._s3
        if found is None:
            with self._opening:
                found = self._s3
                if found is None:
                    found = self._s3 = self._opened()
        return found

    def _opened(self) -> S3App:
        found = {"authorize": self.config.authorize or None, **self._seams}
        found = {name: _named(name, value) for name, value in found.items()}
        if self._around is not None and found["authorize"] is not None:
            found["authorize"] = self._around(found["authorize"])
        return S3App(self.config, host_keys=self.host_keys, **found)

    @property
    def is_open(self) -> bool:
        """Whether the index and the storages have been opened."""
        return self._s3 is not None

    def client(self, account: str = "default") -> Client:
        """The in-process client of an account: no HTTP, the same signals."""
        found = self._clients.get(account)
        if found is None:
            found = self._clients[account] = self.s3.client(account)
        return found

    def mount(self, app: WSGIApplication) -> WSGIApplication:
        """``app`` with the S3App in front, under the path and the hosts.

        :raises ConfigError: there is neither, or one of them is none.
        """
        try:
            return mount(app, self, at=self.at or None, hosts=self.hosts)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (self._s3 or self.s3)(environ, start_response)

    def close(self) -> None:
        """Close what was opened; the next use opens it anew."""
        with self._opening:
            found, self._s3 = self._s3, None
            self._clients.clear()
        if found is not None:
            found.close()


def _named(setting: str, value: Any) -> Any:
    """What a setting stands for.

    :raises ConfigError: it is a text that names nothing.
    """
    if not isinstance(value, str):
        return value
    module, colon, path = value.partition(":")
    if not colon:
        raise ConfigError(f'{setting}: {value!r} must be written "module:name".')
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{setting}: {value} cannot be imported ({error}).") from error
    return found


def _nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


def _checked(settings: Any) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        kind = type(settings).__name__
        raise ConfigError(f"S3KIT must be a mapping or a Config, not {kind}.")
    return dict(settings)


def _names(hosts: Any) -> tuple[str, ...]:
    if isinstance(hosts, str) or not all(isinstance(host, str) for host in hosts):
        raise ConfigError('hosts must be a list of host names, such as ["s3.example.com"].')
    return tuple(hosts)
