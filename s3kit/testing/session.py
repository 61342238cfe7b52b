"""What the pytest plug-in keeps for a whole run: one server, and one app per way to set it up.

An app costs some 30 ms to make and its server's port has to be asked for; to empty it costs less
than one. So both are kept, and emptied before each test.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from sqlalchemy import delete
from sqlalchemy import select

from ..app import S3App
from ..config import Config
from ..errors import NoSuchBucket
from ..index.bucket_names import plain
from ..index.schema import buckets
from ..index.schema import identity
from ..index.schema import metadata
from ..index.schema import schema_version
from ..index.session import Connection
from ..index.statements import Statement
from .faults import FaultPlan
from .live_server import LiveServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

LOG = logging.getLogger("s3kit.testing")

ACCESS_KEY = "AKIAS3KITTESTING"
SECRET_KEY = "s3kit-testing-secret"
REGION = "us-east-1"
STORAGES = ("memory", "disk")

WAIT_SECONDS = 5.0
"""How long a test waits for the requests of the one before it."""

_NAMES = Statement(select(buckets.c.name, buckets.c.account))
_EMPTY = [
    Statement(delete(table))
    for table in reversed(metadata.sorted_tables)
    if table not in (identity, schema_version)
]


def empty(app: S3App) -> None:
    """Remove every bucket, object and upload of an app, in one transaction, and all bytes."""
    store = app.store
    named = store.index.read(lambda c: c.all(_NAMES, {}))

    def work(connection: Connection) -> None:
        for statement in _EMPTY:
            connection.run(statement, {})

    store.index.write(work)
    for name, account in named:
        # Buckets are remembered for a second.
        for owner in (account, "") if store.buckets.per_account else (account,):
            try:
                store.buckets.get(plain(name), account=owner, fresh=True)
            except NoSuchBucket:
                pass
    for storage in store.storages.values():
        for blob_id, _ in list(storage.sweep()):
            storage.delete(blob_id)


class Switchboard:
    """A WSGI app that is whichever app was plugged in last, and knows what is still running."""

    def __init__(self) -> None:
        self.faults = FaultPlan()
        self._app: Any = None
        self._running = 0
        self._changed = threading.Condition()

    def plug(self, app: S3App) -> None:
        """Answer by this app from now on, with the faults in front of it."""
        self._app = self.faults.wrap(app)

    def quiet(self, seconds: float) -> bool:
        """Wait until no request runs; whether that came about."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, seconds)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._changed:
            self._running += 1
        try:
            body: Iterable[bytes] = self._app(environ, start_response)
        except BaseException:
            self._ended()
            raise
        return _Answer(body, self._ended)

    def _ended(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


class _Answer:
    """A body whose end is told."""

    def __init__(self, body: Iterable[bytes], ended: Callable[[], None]) -> None:
        self._body = body
        self._ended: Callable[[], None] | None = ended

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        ended, self._ended = self._ended, None
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if ended is not None:
                ended()


class TestingSession:
    """The apps and the one server of a pytest process.

    :param make_folder: makes an empty folder for an app on disk.
    """

    __test__ = False

    def __init__(self, make_folder: Callable[[], Path]) -> None:
        self._make_folder = make_folder
        self._apps: dict[str, S3App] = {}
        self._given_up: list[S3App] = []
        self._server: LiveServer | None = None
        self.boto3_session: Any = None
        self.switchboard = Switchboard()

    @property
    def url(self) -> str:
        """The server's URL; the first to ask starts it."""
        if self._server is None:
            self._server = LiveServer(self.switchboard)
            self._server.__enter__()
        return self._server.url

    def app(self, storage: str, settings: Mapping[str, Any]) -> S3App:
        """An empty app, answering at the server from now on.

        :param storage: ``memory`` or ``disk``.
        :param settings: other fields of Config.
        :raises ConfigError: the settings cannot work.
        """
        name = json.dumps([storage, settings], sort_keys=True, default=repr)
        app = self._apps.pop(name, None)
        if app is not None:
            app = self._emptied(app)
        if app is None:
            app = S3App(self._config(storage, settings))
        self._apps[name] = app
        self.switchboard.plug(app)
        return app

    def close(self) -> None:
        """Stop the server, close every app."""
        if self._server is not None:
            self._server.__exit__(None, None, None)
        self.switchboard.quiet(WAIT_SECONDS)
        for app in (*self._apps.values(), *self._given_up):
            app.close()

    def _emptied(self, app: S3App) -> S3App | None:
        """The app, empty; None where an earlier test left it in no state to be used again."""
        if self.switchboard.quiet(WAIT_SECONDS):
            try:
                empty(app)
                return app
            except Exception:
                # Closed by a test, say, or its folder removed.
                LOG.warning("The app of an earlier test cannot be emptied.", exc_info=True)
        self._given_up.append(app)
        return None

    def _config(self, storage: str, settings: Mapping[str, Any]) -> Config:
        values: dict[str, Any] = {"region": REGION, "keys": {ACCESS_KEY: SECRET_KEY}, **settings}
        values["keys"] = {**values["keys"], ACCESS_KEY: SECRET_KEY}
        if storage == "disk":
            folder = self._make_folder()
            values["index"] = f"sqlite:///{folder / 'index.db'}"
            values["storages"] = {"default": str(folder / "blobs")}
            values.setdefault("durability", "relaxed")
        return Config.from_mapping(values)


__all__ = [
    "ACCESS_KEY",
    "REGION",
    "SECRET_KEY",
    "STORAGES",
    "Switchboard",
    "TestingSession",
    "empty",
]
