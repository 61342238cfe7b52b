"""Mount an S3App inside another WSGI app, under a path, under host names, or both.

.. code-block:: python

    app.wsgi_app = mount(app.wsgi_app, s3, at="/s3", hosts=["s3.example.com", "*.s3.example.com"])

``werkzeug.middleware.dispatcher`` mounts by path only; S3 clients also address a bucket by a host
name. Requests for neither go to the host app, untouched. For ``bucket.s3.example.com`` to mean a
bucket, name ``s3.example.com`` in ``Config.base_hosts`` as well.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable

from ..naming import ACCOUNT

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment


def mount(
    app: WSGIApplication,
    s3: WSGIApplication,
    *,
    at: str | None = None,
    hosts: Iterable[str] = (),
    account: str = "",
) -> WSGIApplication:
    """A WSGI app giving ``s3`` the requests under ``at`` or for ``hosts``, and ``app`` the rest.

    :param at: a path such as ``/s3``; it moves from PATH_INFO to SCRIPT_NAME.
    :param hosts: host names without a port; ``*.s3.example.com`` is any name below it. Under a
        host the whole path is S3's.
    :param account: an account's id, whose buckets names mean here where names are per account and
        nobody has signed, or the signer has no such bucket.
    :raises ValueError: neither is given, or ``at`` is no path.
    """
    exact = set()
    below = []
    for host in hosts:
        name = host.lower().rstrip(".")
        if name.startswith("*."):
            below.append(name[1:])
        elif "*" in name or ":" in name.strip("[") or "/" in name:
            raise ValueError(f"hosts: {host!r} must be a name, or *. and a name, without a port.")
        else:
            exact.add(name)
    prefix = ""
    if at is not None:
        prefix = at.rstrip("/")
        if not prefix.startswith("/"):
            raise ValueError(f"at={at!r} must be a path below the root, such as '/s3'.")
        # PATH_INFO holds UTF-8 bytes as latin-1 characters (PEP 3333).
        prefix = prefix.encode().decode("latin-1")
    elif not exact and not below:
        raise ValueError("Give at=, hosts=, or both: nothing would reach the S3 app.")
    return _Mount(app, _bound(s3, account), prefix, frozenset(exact), tuple(below))


def _bound(s3: WSGIApplication, account: str) -> WSGIApplication:
    """The app, told to which account it is bound."""
    if not account:
        return s3

    def bound(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[ACCOUNT] = account
        return s3(environ, start_response)

    return bound


class _Mount:
    __slots__ = ("app", "below", "exact", "prefix", "prefix_slash", "s3")

    def __init__(
        self,
        app: WSGIApplication,
        s3: WSGIApplication,
        prefix: str,
        exact: frozenset[str],
        below: tuple[str, ...],
    ) -> None:
        self.app = app
        self.s3 = s3
        self.prefix = prefix
        self.prefix_slash = prefix + "/"
        self.exact = exact
        self.below = below

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if (self.exact or self.below) and self._is_ours(environ.get("HTTP_HOST", "")):
            return self.s3(environ, start_response)
        prefix = self.prefix
        if prefix:
            path = environ.get("PATH_INFO", "")
            if path.startswith(self.prefix_slash) or path == prefix:
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                return self.s3(environ, start_response)
        return self.app(environ, start_response)

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        name = name.lower().rstrip(".")
        return name in self.exact or (bool(self.below) and name.endswith(self.below))
