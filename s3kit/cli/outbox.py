"""``s3kit worker`` and ``s3kit outbox``: deliver events, and look after those that wait."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import click

from ..app import S3App
from ..config import Config
from ..config import ConfigError
from ..config import nearest
from ..store.relay import Outcome
from .settings import check_index
from .settings import data_options
from .settings import gather_existing

GRACE_SECONDS = 29
"""How long a stopping worker lets running deliveries end: it is to be gone within 30."""

TOLD_SECONDS = 1.0
"""How often what was delivered is told at most."""


def open_app(config: Config) -> S3App:
    """The endpoint, its targets imported; nothing is delivered by a thread of its own.

    :raises ConfigError: a target cannot be imported.
    """
    app = S3App(config)
    app.store.outbox.enabled = False
    try:
        check_targets(app)
    except BaseException:
        app.close()
        raise
    return app


def check_targets(app: S3App) -> None:
    """Import every target that is only named yet.

    :raises ConfigError: one cannot be.
    """
    try:
        app.store.outbox.check()
        app.store.notifications.check()
    except Exception as error:
        raise ConfigError(
            f"A target in the settings outbox or notifications cannot be imported: {error}"
        ) from error


@click.command()
@data_options
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many events are delivered at once.",
)
@click.option("--once", is_flag=True, help="Deliver what is due, then end.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what goes wrong.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@click.pass_context
def worker(
    context: click.Context,
    /,
    threads: int,
    once: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deliver events to durable receivers and notification targets.

    Any number of workers may run, on any number of machines, beside the endpoint. On SIGTERM a
    worker ends what it is delivering, and the rest is another's. With --once the exit code is 1
    if something could not be delivered.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = gather_existing(options, os.environ)
    check_index(config)
    app = open_app(config)
    telling = _Telling(quiet=quiet, as_json=as_json)
    try:
        _tell_strangers(app)
        if once:
            total = app.store.outbox.deliver()
            telling.total = total
        else:
            names = app.store.outbox.target_names()
            telling.begin(names)
            ended = _run(app, threads, telling)
            total = telling.total
        telling.end()
    finally:
        app.close()
    if once:
        context.exit(1 if total.failed or total.dead else 0)
    context.exit(0 if ended else 1)


def _run(app: S3App, count: int, telling: _Telling) -> bool:
    """Deliver until a signal comes; False if a delivery had to be left alone."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}

    def deliver() -> None:
        with app.store.outbox.relay() as relay:
            relay.run(stop, told=telling.tell)

    threads = [
        threading.Thread(target=deliver, name=f"s3kit-worker-{number}", daemon=True)
        for number in range(count)
    ]
    try:
        for thread in threads:
            thread.start()
        stop.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    limit = time.monotonic() + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, limit - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def _tell_strangers(app: S3App) -> None:
    """Say which events wait for somebody whom this process does not know."""
    known = set(app.store.outbox.target_names())
    for each in app.store.outbox.backlog():
        if each.waiting and each.target not in known:
            click.echo(
                f"{each.waiting} events wait for {each.target}, which is no target here. "
                "Is its module among the plugins?",
                err=True,
            )


class _Telling:
    """What a worker prints while it runs."""

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self.total = Outcome()
        self._quiet = quiet
        self._as_json = as_json
        self._lock = threading.Lock()
        self._held = Outcome()
        self._next = 0.0

    def begin(self, names: list[str]) -> None:
        """Say what is delivered."""
        if self._quiet:
            return
        if self._as_json:
            click.echo(json.dumps({"targets": names}))
        else:
            click.echo(f"Delivering to: {', '.join(names) or 'nobody; no target is configured'}")

    def tell(self, outcome: Outcome) -> None:
        """Say what was done, once in a while."""
        with self._lock:
            self.total.add(outcome)
            self._held.add(outcome)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + TOLD_SECONDS
                self._print(self._held)
                self._held = Outcome()

    def end(self) -> None:
        """Say what was done altogether."""
        self._print(self.total, "Altogether: ")

    def _print(self, outcome: Outcome, what: str = "") -> None:
        if self._quiet:
            return
        if self._as_json:
            values = {
                "delivered": outcome.delivered,
                "failed": outcome.failed,
                "given_up": outcome.dead,
            }
            click.echo(json.dumps({"total": values} if what else values))
        else:
            click.echo(
                f"{what}{outcome.delivered} delivered, {outcome.failed} failed for now, "
                f"{outcome.dead} given up."
            )


@click.command()
@data_options
@click.option("--dead", is_flag=True, help="Show each event that was given up.")
@click.option("--retry", metavar="TARGET", help="Have what was given up for it tried again.")
@click.option("--forget", metavar="TARGET", help="Forget what was given up for it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
def outbox(
    dead: bool, retry: str | None, forget: str | None, as_json: bool, **options: Any
) -> None:
    """Show the events that wait to be delivered, and what to do with those that were given up."""
    config = gather_existing(options, os.environ)
    check_index(config)
    app = S3App(config)
    try:
        found = app.store.outbox
        for target in (retry, forget):
            names = {each.target for each in found.backlog()}
            if target is not None and target not in names:
                raise ConfigError(f"No event waits for {target}. {nearest(target, names)}")
        if retry is not None:
            click.echo(f"{found.revive(retry)} events are tried again.")
        elif forget is not None:
            click.echo(f"{found.forget_dead(forget)} events are forgotten.")
        elif dead:
            _show_dead(app, as_json)
        else:
            _show_backlog(app, as_json)
    finally:
        app.close()


def _show_backlog(app: S3App, as_json: bool) -> None:
    now = time.time()
    found = app.store.outbox.backlog()
    for each in found:
        age = max(0, int(now - each.oldest / 1000)) if each.oldest else 0
        if as_json:
            values = {
                "target": each.target,
                "waiting": each.waiting,
                "given_up": each.dead,
                "oldest_seconds": age,
            }
            click.echo(json.dumps(values))
        else:
            oldest = f", the oldest for {age} s" if each.waiting else ""
            click.echo(f"{each.target}: {each.waiting} wait{oldest}; {each.dead} given up")
    if not found and not as_json:
        click.echo("No event waits.")


def _show_dead(app: S3App, as_json: bool) -> None:
    after = 0
    while page := app.store.outbox.dead(after=after):
        after = page[-1].id
        for each in page:
            event = json.loads(each.document)
            values = {
                "id": each.event,
                "target": each.target,
                "event": event["name"],
                "bucket": event["bucket"],
                "key": each.key.decode("utf-8", "replace"),
                "attempts": each.attempts,
                "error": each.error,
            }
            if as_json:
                click.echo(json.dumps(values))
            else:
                click.echo(
                    f"{values['id']} {values['event']} {values['bucket']}/{values['key']} for "
                    f"{values['target']}, {values['attempts']} attempts: {values['error']}"
                )
