"""Accounts that are to be deleted: when their day has come all that they have goes (IU-11).

Nothing is remembered of how far that has come: what is gone is gone, and whoever goes on begins
with what is left. What a lock or a receiver's veto protects waits, and the account with it, until a
later run finds it free. A lease per account shares the work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace

from ..errors import NoSuchBucket
from ..errors import S3Error
from ..index import access_keys as key_rows
from ..index import accounts as account_rows
from ..index import buckets as bucket_rows
from ..index import closing as rows
from ..index import leases
from ..index import lifecycle as walking
from ..index import objects as object_rows
from ..index import uploads as upload_rows
from ..index.access_keys import StoredKey
from ..index.lifecycle import WalkedVersion
from ..index.session import Connection
from ..model import Bucket
from ..model import ObjectVersion
from ..signals import before_object_removed
from ..signals import object_removed
from . import versions
from .accounts import Accounts
from .backing import Backing
from .buckets import Buckets
from .chore import Chore
from .chore import Regular
from .events import FROM_PYTHON
from .events import ask_object
from .events import emit_object
from .objects import REMOVED
from .quota import hold_last

logger = logging.getLogger("s3kit.store")

PAGE = 500
"""Rows looked at in one read."""
BATCH = 50
"""Versions removed in one transaction: writers wait no longer than for these."""
LONGEST_PAUSE = 0.05
LEASE_MS = 60_000
SECONDS = 3600.0
"""From one run in the background to the next."""


@dataclass(slots=True)
class Report:
    """What a run has done.

    :param due: accounts whose day has come; of them ``closed`` have nothing left.
    :param removed: versions and delete markers; ``aborted`` uploads.
    :param kept: what a lock or a receiver's veto kept from being removed.
    :param held: accounts that another process is at.
    """

    due: int = 0
    closed: int = 0
    removed: int = 0
    aborted: int = 0
    buckets: int = 0
    kept: int = 0
    failed: int = 0
    held: int = 0

    def as_dict(self) -> dict[str, int]:
        """For a document."""
        return asdict(self)


class Closings(Regular):
    """The scheduled deletions of a Store's accounts."""

    __slots__ = ("_accounts", "_backing", "_buckets")

    def __init__(self, backing: Backing, buckets: Buckets, accounts: Accounts) -> None:
        self._backing = backing
        self._buckets = buckets
        self._accounts = accounts
        super().__init__(Chore("s3kit-closing", self._in_background, SECONDS))

    def run(self, *, since: int | None = None, stop: threading.Event | None = None) -> Report:
        """Delete what accounts have whose day has come, and close those that have nothing left.

        It may be ended at any time, and any number may run at once.

        :param since: milliseconds; an account that was looked at later is left out.
        :param stop: set it to have the run end soon.
        """
        run = _Run(self._backing, self._buckets, self._accounts, since, stop or threading.Event())
        after = ""
        while not run.stop.is_set():
            page = self._backing.index.read(
                lambda c, start=after: rows.due(c, self._backing.now(), start, PAGE)  # type: ignore[misc]
            )
            for account in page:
                if run.stop.is_set():
                    break
                run.visit(account)
            if len(page) < PAGE:
                break
            after = page[-1]
        return run.report

    def _in_background(self, stop: threading.Event) -> None:
        # Plans may have changed with the configuration.
        self._backing.quota.follow_all()
        # All processes of an endpoint come here; the first after the interval does the work.
        report = self.run(since=leases.wall_clock() - round(SECONDS * 900), stop=stop)
        if report.failed:
            logger.warning("Not all that is to be deleted could be: %s.", report.as_dict())


class _Recalled(Exception):
    """The account is not to be deleted any more."""


class _Overtaken(Exception):
    """Another process holds the account by now."""


class _Run:
    """One run over the accounts."""

    def __init__(
        self,
        backing: Backing,
        buckets: Buckets,
        accounts: Accounts,
        since: int | None,
        stop: threading.Event,
    ) -> None:
        self.report = Report()
        self.stop = stop
        self._backing = backing
        self._index = backing.index
        self._buckets = buckets
        self._accounts = accounts
        self._since = since
        self._holder = secrets.token_hex(16)
        self._lease = ""
        self._held = 0.0

    def visit(self, account: str) -> None:
        """Delete what an account has, unless another is at it or has just been."""
        # Ids may be of any script, and the names of leases not.
        self._lease = f"closing/{hashlib.sha256(account.encode()).hexdigest()}"
        known = self._index.read(lambda c: leases.get(c, self._lease))
        now = leases.wall_clock()
        looked_at = 0 if known is None else _looked_at(known.progress)
        if self._since is not None and self._since <= looked_at <= now:
            return
        taken = self._index.write(
            lambda c: leases.take(c, self._lease, self._holder, now, now + LEASE_MS, LEASE_MS)
        )
        if taken is None:
            self.report.held += 1
            return
        self._held = time.monotonic()
        self.report.due += 1
        progress = ""
        try:
            if self._empty(account) and self._close(account):
                self.report.closed += 1
            elif not self.stop.is_set():
                progress = json.dumps({"looked at": now})
        except _Recalled:
            pass
        except _Overtaken:
            self.report.held += 1
            return
        except Exception:
            self.report.failed += 1
            logger.exception("Account %r could not be deleted; it will be tried again.", account)
        self._index.write(lambda c: leases.keep(c, self._lease, self._holder, 0, progress))

    def _stay(self) -> None:
        """Go on holding the account.

        :raises _Overtaken: another took it, for this run was slower than its lease.
        """
        if (time.monotonic() - self._held) * 1000 < LEASE_MS / 4:
            return
        self._held = time.monotonic()
        until = leases.wall_clock() + LEASE_MS
        if not self._index.write(lambda c: leases.keep(c, self._lease, self._holder, until, "")):
            raise _Overtaken

    # -- what an account has

    def _empty(self, account: str) -> bool:
        """Remove all that can be; whether no bucket is left."""
        left = False
        after = ""
        while not self.stop.is_set():
            page = self._buckets.page(account, after=after, limit=PAGE)
            for bucket in page:
                if self.stop.is_set():
                    return False
                with suppress(NoSuchBucket):
                    left = not self._remove_bucket(bucket) or left
            if len(page) < PAGE:
                return not left
            after = page[-1].name
        return False

    def _remove_bucket(self, bucket: Bucket) -> bool:
        kept = self.report.kept
        self._uploads(bucket)
        self._versions(bucket)
        if self.stop.is_set() or self.report.kept > kept:
            return False
        now = self._backing.now()

        def check(c: Connection) -> None:
            if not rows.hold_due(c, bucket.account, now):
                raise _Recalled

        try:
            self._buckets.delete(bucket, check=check)
        except NoSuchBucket:
            raise
        except S3Error as error:
            # Somebody has stored something meanwhile, or a receiver forbids it.
            logger.info("Bucket %r waits to be deleted: %s", bucket.name, error)
            self.report.kept += 1
            return False
        self.report.buckets += 1
        return True

    def _versions(self, bucket: Bucket) -> None:
        after: tuple[bytes, int] | None = None
        while not self.stop.is_set():
            page = self._index.read(
                lambda c, place=after: walking.walk(c, bucket.id, b"", None, place, PAGE)  # type: ignore[misc]
            )
            # By key, as all who lock several.
            found = sorted(page, key=lambda each: (each.key, each.seq))
            if before_object_removed.receivers:
                found = [each for each in found if self._may(bucket, each)]
            for start in range(0, len(found), BATCH):
                if self.stop.is_set():
                    return
                began = time.monotonic()
                self._remove(bucket, found[start : start + BATCH])
                # As long as it took, others may write.
                self.stop.wait(min(time.monotonic() - began, LONGEST_PAUSE))
                self._stay()
            if len(page) < PAGE:
                return
            after = (page[-1].key, page[-1].seq)

    def _may(self, bucket: Bucket, walked: WalkedVersion) -> bool:
        """Ask who can forbid a removal."""
        version = self._index.read(
            lambda c: object_rows.get_version(
                c, bucket.id, walked.key, walked.version_id, inline=False
            )
        )
        if version is None:
            return False
        try:
            ask_object(before_object_removed, REMOVED, bucket, version, FROM_PYTHON)
        except S3Error:
            self.report.kept += 1
            return False
        except Exception:
            self.report.failed += 1
            logger.exception("A receiver of before_object_removed failed.")
            return False
        return True

    def _remove(self, bucket: Bucket, walked: Iterable[WalkedVersion]) -> None:
        now = self._backing.now()
        removed: list[ObjectVersion] = []
        kept = 0

        def work(c: Connection) -> None:
            nonlocal kept
            removed.clear()
            kept = 0
            if not rows.hold_due(c, bucket.account, now):
                raise _Recalled
            for each in walked:
                version = versions.lock_walked(c, bucket.id, each.key, each.version_id, each.seq)
                if version is None:
                    continue
                state = versions.state_for_write(c, bucket, self._backing.profile)
                marker = versions.delete_marker(bucket, each.key, now)
                try:
                    versions.remove_version(c, state, marker, each.version_id, version)
                except NoSuchBucket:
                    raise
                except S3Error:
                    # Locked; its time may come.
                    kept += 1
                    continue
                self._backing.outbox.record(c, REMOVED, bucket, version, FROM_PYTHON, state.present)
                removed.append(version)

        self._index.write(work)
        self.report.kept += kept
        self.report.removed += len(removed)
        for version in removed:
            emit_object(object_removed, REMOVED, bucket, version, FROM_PYTHON)

    def _uploads(self, bucket: Bucket) -> None:
        after: tuple[bytes, str] | None = None
        while not self.stop.is_set():
            page = self._index.read(
                lambda c, place=after: walking.open_uploads(c, bucket.id, b"", None, place, PAGE)  # type: ignore[misc]
            )
            for _, upload_id, _ in page:
                self._abort(bucket, upload_id)
                self._stay()
            if len(page) < PAGE:
                return
            after = page[-1][:2]

    def _abort(self, bucket: Bucket, upload_id: str) -> None:
        now = self._backing.now()

        def work(c: Connection) -> bool:
            if not rows.hold_due(c, bucket.account, now):
                raise _Recalled
            upload = upload_rows.lock(c, upload_id)
            if upload is None or upload.completed_etag is not None:
                return False
            upload_rows.abort(c, upload_id, now)
            return True

        self.report.aborted += self._index.write(work)

    # -- the end

    def _close(self, account: str) -> bool:
        """Close an account that has nothing left; its keys go. False where it has a new bucket."""
        now = self._backing.now()

        def work(c: Connection) -> tuple[StoredKey, ...] | None:
            found = account_rows.lock(c, account)
            if found is None or not rows.hold_due(c, account, now):
                raise _Recalled
            hold_last(c, account)
            if bucket_rows.page(c, account, limit=1):
                return None
            keys = tuple(key_rows.keys_of(c, account))
            rows.take_away(c, account)
            account_rows.change(c, replace(found, status=account_rows.CLOSED, delete_at=0))
            leases.forget(c, self._lease)
            return keys

        keys = self._index.write(work)
        if keys is None:
            return False
        self._accounts.keys.revoke(keys)
        return True


def _looked_at(progress: str) -> int:
    with suppress(ValueError):
        found = json.loads(progress)
        if isinstance(found, dict) and isinstance(found.get("looked at"), int):
            return int(found["looked at"])
    return 0


__all__ = ["Closings", "Report"]
