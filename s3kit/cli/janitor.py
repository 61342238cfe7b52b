"""``s3kit janitor``: run lifecycle, delete accounts, and remove what nothing needs any more."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import click

from ..app import S3App
from ..errors import S3Error
from ..errors import ServiceUnavailable
from ..errors import SlowDown
from ..index import CommitFailed
from ..index import leases
from ..store import Store
from ..store.lifecycle import Report
from .settings import check_index
from .settings import data_options
from .settings import gather_existing

RETRY_SECONDS = 2.0
"""How long to wait for a database that is not there."""
PASSING = (ServiceUnavailable, SlowDown, CommitFailed)
"""How a database that is away or busy refuses."""
HELD_SECONDS = 1.0
"""How long to wait for a bucket that another janitor is at."""


@click.command()
@data_options
@click.option("--once", is_flag=True, help="Do what is due by now, then end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="From one run to the next. [default: 3600]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document per run.")
@click.pass_context
def janitor(
    context: click.Context,
    /,
    once: bool,
    interval: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the buckets' lifecycle rules, archive restored objects again, delete what accounts have
    whose day has come, remove unused bytes.

    The endpoint may run meanwhile, and so may other janitors: they share the buckets. Killed, it
    goes on where it was. SIGTERM ends it soon. The exit code is 1 when something that was due could
    not be done, else 0.
    """
    config = gather_existing(options, os.environ)
    check_index(config)
    app = S3App(config)
    store = app.store
    seconds = store.lifecycle.interval if interval is None else interval
    try:
        with _stopping() as stop:
            failed = False
            while not stop.is_set():
                began = time.monotonic()
                pause = seconds
                try:
                    round_ = _round(store, stop)
                except PASSING as error:
                    # The database will be back, and what was begun is gone on with.
                    failed = True
                    pause = min(seconds, RETRY_SECONDS)
                    what = error.text if isinstance(error, S3Error) else f"{error}."
                    click.echo(f"{what} What is due is tried again later.", err=True)
                else:
                    failed = failed or bool(round_.failed)
                    _tell(round_, as_json)
                if once:
                    break
                stop.wait(max(0.0, began + pause - time.monotonic()))
    finally:
        app.close()
    context.exit(1 if failed else 0)


@dataclass
class Round(Report):
    """What one run has done.

    :param accounts: accounts that were closed, having nothing left; ``waiting`` are those of
        which a lock or a veto protects something, ``deleted`` the versions that went with accounts.
    :param garbage: blobs that were removed because their grace period is over.
    :param seconds: how long it took.
    """

    accounts: int = 0
    waiting: int = 0
    deleted: int = 0
    garbage: int = 0
    seconds: float = 0.0


def _round(store: Store, stop: threading.Event) -> Round:
    began = time.monotonic()
    since = leases.wall_clock()
    found = Round()
    with _bar(store) as advance:
        while True:
            report = store.lifecycle.run(since=since, stop=stop, advance=advance)
            for name, count in report.as_dict().items():
                setattr(found, name, getattr(found, name) + count)
            found.held = report.held
            # What another holds is done by it, or, if it was killed, by us.
            if not report.held or stop.wait(HELD_SECONDS):
                break
    _close_accounts(store, stop, found)
    if not stop.is_set():
        found.garbage = store.janitor.collect_garbage()
        store.janitor.forget_completed()
    found.seconds = round(time.monotonic() - began, 3)
    return found


def _close_accounts(store: Store, stop: threading.Event, found: Round) -> None:
    """Delete what accounts have whose day has come."""
    store.quota.follow_all()
    while not stop.is_set():
        report = store.closing.run(stop=stop)
        found.accounts += report.closed
        found.deleted += report.removed
        found.failed += report.failed
        found.waiting = report.due - report.closed
        if not report.held or stop.wait(HELD_SECONDS):
            return


def _tell(found: Round, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(
        f"Looked at {found.looked} versions in {found.buckets} buckets: {found.removed} removed, "
        f"{found.marked} hidden, {found.transitioned} moved to another storage class, "
        f"{found.aborted} uploads ended, {found.archived_again} archived again."
    )
    if found.kept:
        click.echo(f"{found.kept} were kept by a lock or a veto.")
    if found.accounts or found.deleted:
        click.echo(f"Closed {found.accounts} accounts; {found.deleted} versions went with such.")
    if found.waiting:
        click.echo(f"{found.waiting} accounts wait for what a lock or a veto protects.")
    if found.failed:
        click.echo(f"{found.failed} could not be done; they are tried again.", err=True)
    click.echo(f"Removed {found.garbage} blobs.")


@contextmanager
def _bar(store: Store) -> Iterator[Callable[[int], object]]:
    """A progress bar over versions; where standard error is no terminal nothing is drawn."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    total = max(1, store.lifecycle.total())
    with click.progressbar(length=total, label="Lifecycle", file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
