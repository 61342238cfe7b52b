"""The app that each worker process serves, made after the fork."""

from __future__ import annotations

import logging
import typing
from collections.abc import Mapping

from ..app import S3App
from ..blobs.base import Capabilities
from ..config import Config
from ..index.schema import check_schema
from ..middleware.health import health
from .outbox import check_targets
from .watching import Watching
from .watching import watch

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Worker:
    """One process's S3App behind ``/-/health`` and ``/-/ready``, watched as its owner wants it.

    :raises ConfigError: the configuration cannot work here.
    """

    def __init__(self, config: Config, watching: Watching | None = None) -> None:
        logging.basicConfig(
            level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        self.s3 = S3App(config)
        if config.relay and self.s3.store.outbox.target_names():
            # What an earlier process has left is not to wait for the next event.
            self.s3.store.outbox.start()
        # Objects expire whether anybody asks for them or not.
        self.s3.store.lifecycle.go_on()
        self.s3.store.closing.go_on()
        # What asks after our health every second is in no log.
        watched, self._closers = watch(self.s3, config, watching or Watching())
        self.app: WSGIApplication = health(
            watched,
            ready=lambda: check_schema(self.s3.store.index),
            base_hosts=config.hosts_of_buckets,
        )

    def close(self) -> None:
        """Close the app's database connections and storages, and send what it has to tell."""
        self.s3.close()
        for close in self._closers:
            close()


def prepare(config: Config) -> Mapping[str, Capabilities]:
    """Make the schema and try the whole configuration, before any worker is forked.

    :returns: what each storage can do.
    """
    app = S3App(config)
    try:
        check_targets(app)
        return {name: store.capabilities for name, store in app.store.storages.items()}
    finally:
        app.close()
