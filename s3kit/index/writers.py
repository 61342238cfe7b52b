"""Write transactions: shared commits on SQLite, one each on PostgreSQL and MariaDB."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from _thread import LockType
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from threading import get_ident
from typing import Any
from typing import Generic
from typing import TypeVar
from typing import cast

from s3kit.errors import SlowDown
from s3kit.index.connections import Connection
from s3kit.index.connections import Pool
from s3kit.index.connections import ServerConnection
from s3kit.index.connections import SqliteConnection
from s3kit.index.recent import RecentRows
from s3kit.index.usage import settle

try:
    import fcntl
except ImportError:  # Windows: SQLite's own busy handler must do
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

MOST_IN_A_COMMIT = 64
"""How many writers of one process share an SQLite commit."""

ATTEMPTS = 10
"""How often a transaction that met a deadlock is run before the client is told to slow down."""

PAUSE_SECONDS = 5.0
"""How long a fork waits for a commit that is on its way."""

INHERITED: list[Connection] = []
"""Connections of the parent's threads: closing one in a child would end it for the parent."""


class CommitFailed(Exception):
    """The database refused the commit, or was lost during it: the outcome is not known."""


class _Ticket(Generic[T]):
    """One caller's work on its way through a shared commit."""

    __slots__ = ("error", "promoted", "result", "wake", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.result: T | None = None
        self.error: BaseException | None = None
        self.wake: LockType | None = None
        self.promoted = False

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class SqliteWriter:
    """Writes to one SQLite file, many callers to a commit.

    The thread that finds nobody writing becomes the leader: it takes the file lock that the
    processes share, opens one transaction, runs the works that wait, commits, wakes their callers
    and hands leadership to the next in the queue. No thread of its own, so nothing is lost by a
    fork, and a lone writer pays for no hand-over.
    """

    def __init__(
        self,
        connect: Callable[[], SqliteConnection],
        lock_path: str | None,
        most: int,
        recent: RecentRows,
    ) -> None:
        self._recent = recent
        self._connect = connect
        self._lock_path = lock_path if fcntl is not None else None
        self._most = most
        self._connection: SqliteConnection | None = None
        self._lock_file: int | None = None
        self._gate = Lock()
        self._queue: deque[_Ticket[Any]] = deque()
        self._leading = False
        self._leader = 0
        self._paused = False
        self._pausing: LockType | None = None
        self.committed: Callable[[int], object] | None = None
        """Called after each commit with the number of works that it carried."""

    def share_counters(self) -> None:
        """Begin to keep rows; the counters are made where there are none."""
        self._recent.attach(make=False)
        if not self._recent.attached:
            self._lock()
            try:
                self._recent.attach(make=True)
            finally:
                self._unlock()

    def write(self, work: Callable[[Connection], T]) -> T:
        ticket = _Ticket(work)
        with self._gate:
            if self._leading:
                if self._leader == get_ident():
                    raise RuntimeError("a write inside a write: use the connection that it got")
                wake = ticket.wake = allocate_lock()
                wake.acquire()
                self._queue.append(ticket)
            else:
                self._leading = True
                self._leader = get_ident()
        if ticket.wake is not None:
            try:
                ticket.wake.acquire()
            except BaseException:
                self._abandon(ticket)
                raise
            if not ticket.promoted:
                return ticket.outcome()
            self._leader = get_ident()
        batch: list[_Ticket[Any]] = [ticket]
        try:
            self._commit(batch)
        except BaseException as error:
            for each in batch:
                if each.error is None:
                    each.error = _commit_failed(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over()
            for each in batch:
                if each is not ticket and each.wake is not None:
                    each.wake.release()
        return ticket.outcome()

    def _hand_over(self) -> None:
        with self._gate:
            if self._pausing is not None:
                # A fork goes before everybody.
                self._pausing.release()
                self._pausing = None
                self._leader = 0
                return
            if not self._queue:
                self._leading = False
                self._leader = 0
                return
            heir = self._queue.popleft()
            heir.promoted = True
            self._leader = 0
        assert heir.wake is not None
        heir.wake.release()

    def _abandon(self, ticket: _Ticket[Any]) -> None:
        """A waiting caller was interrupted: leadership must not be lost with it."""
        with self._gate:
            if ticket in self._queue:
                self._queue.remove(ticket)
                return
        if ticket.promoted:
            self._hand_over()

    def _commit(self, batch: list[_Ticket[Any]]) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        began = time.monotonic()
        self._lock()
        try:
            try:
                self._begin(connection.raw, time.monotonic() - began)
            except sqlite3.OperationalError as error:
                # Another program than ours, or a caller's transaction, holds the database.
                batch[0].error = error
                if is_busy(error):
                    batch[0].error = SlowDown()
                    self._turn_away(batch)
                return
            connection.written.clear()
            self._run(connection, batch)
            recent = self._recent
            written = {recent.counter_of(*key) for key in connection.written}
            recent.begin_write(written)
            try:
                connection.raw.execute("COMMIT")
            finally:
                recent.end_write(written)
        except BaseException:
            self._discard(connection)
            raise
        finally:
            self._unlock()
        if self.committed is not None:
            # Whatever it does, the works are committed.
            with suppress(Exception):
                self.committed(len(batch))

    @staticmethod
    def _begin(raw: sqlite3.Connection, waited: float) -> None:
        """Begin a transaction; raises what SQLite does when others hold it too long.

        :param waited: seconds since when this process waits, perhaps for one that did so in vain.
        """
        if waited < 1:
            raw.execute("BEGIN IMMEDIATE")
            return
        (patience,) = raw.execute("PRAGMA busy_timeout").fetchone()
        raw.execute(f"PRAGMA busy_timeout = {max(round(patience - waited * 1000), 100)}")
        try:
            raw.execute("BEGIN IMMEDIATE")
        finally:
            raw.execute(f"PRAGMA busy_timeout = {patience}")

    def _turn_away(self, batch: list[_Ticket[Any]]) -> None:
        """Nobody who waits meanwhile is to wait as long again, one after the other."""
        while True:
            try:
                ticket = self._queue.popleft()
            except IndexError:
                return
            ticket.error = SlowDown()
            batch.append(ticket)

    def _run(self, connection: SqliteConnection, batch: list[_Ticket[Any]]) -> None:
        """Run the first work and all that wait by then, each undone alone when it fails."""
        raw: sqlite3.Connection = connection.raw
        execute = raw.execute
        index = 0
        # While nothing is in the transaction yet a failed work is undone by undoing all of it.
        empty = True
        while True:
            ticket = batch[index]
            if not empty:
                execute("SAVEPOINT work")
            try:
                ticket.result = ticket.work(connection)
                if connection.charges:
                    settle(connection)
            except Exception as error:
                connection.charges.clear()
                ticket.error = error
                if not raw.in_transaction:
                    # Disk full, I/O error: SQLite has undone the whole transaction by itself.
                    for earlier in batch[:index]:
                        if earlier.error is None:
                            earlier.error = _commit_failed(error)
                    execute("BEGIN IMMEDIATE")
                    empty = True
                elif empty:
                    execute("ROLLBACK")
                    execute("BEGIN IMMEDIATE")
                else:
                    execute("ROLLBACK TO work")
                    execute("RELEASE work")
            else:
                if not empty:
                    execute("RELEASE work")
                empty = False
            index += 1
            if index >= self._most:
                return
            try:
                batch.append(self._queue.popleft())
            except IndexError:
                return

    def _discard(self, connection: SqliteConnection) -> None:
        with suppress(sqlite3.Error):
            connection.raw.execute("ROLLBACK")
        connection.close()
        self._connection = None

    def _lock(self) -> None:
        if self._lock_path is None:
            return
        if self._lock_file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock_file = os.open(self._lock_path, flags, 0o600)
        # Fair enough between processes, and cheaper than SQLite's busy handler, which sleeps.
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)

    def _unlock(self) -> None:
        if self._lock_file is not None:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def close(self) -> None:
        with self._gate:
            if self._leading:
                return
            connection, self._connection = self._connection, None
            lock_file, self._lock_file = self._lock_file, None
        if connection is not None:
            connection.close()
        if lock_file is not None:
            os.close(lock_file)

    def pause(self) -> None:
        """Before a fork: wait for whoever writes, and let nobody begin.

        SQLite in the child would for ever believe that its own process is writing.
        """
        waiting = None
        with self._gate:
            if not self._leading:
                self._leading = True
            elif self._leader == get_ident():
                return
            else:
                waiting = self._pausing = allocate_lock()
                waiting.acquire()
        if waiting is not None and not waiting.acquire(timeout=PAUSE_SECONDS):
            with self._gate:
                if self._pausing is waiting:
                    self._pausing = None
                    return
        self._leader = get_ident()
        self._paused = True
        connection, self._connection = self._connection, None
        lock_file, self._lock_file = self._lock_file, None
        if connection is not None:
            connection.close()
        if lock_file is not None:
            os.close(lock_file)

    def resume(self) -> None:
        """After the fork, in the parent."""
        if self._paused:
            self._paused = False
            self._hand_over()

    def forget(self) -> None:
        """In a forked child: leave what the parent's threads use alone, and begin anew."""
        if self._connection is not None:
            INHERITED.append(self._connection)
        if self._lock_file is not None:
            # A lock belongs to the open file, which parent and child would share.
            os.close(self._lock_file)
        self._connection = None
        self._lock_file = None
        self._paused = False
        self._pausing = None
        self._gate = Lock()
        self._queue = deque()
        self._leading = False
        self._leader = 0


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else's lock is the reason."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _commit_failed(cause: BaseException) -> CommitFailed:
    failed = CommitFailed(f"the commit failed: {cause}")
    failed.__cause__ = cause
    return failed


class ServerWriter:
    """Writes to PostgreSQL or MariaDB, each caller in a transaction of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def write(self, work: Callable[[Connection], T]) -> T:
        pool = self._pool
        attempt = 0
        while True:
            connection = cast(ServerConnection, pool.take())
            committing = False
            connection.before_commit.clear()
            connection.written.clear()
            connection.charges.clear()
            try:
                connection.begin()
                result = work(connection)
                if connection.charges:
                    # Last of all: until the commit, nobody else of that account can store.
                    settle(connection)
                for statement, parameters in connection.before_commit.values():
                    connection.run(statement, parameters)
                committing = True
                connection.commit()
            except Exception as error:
                lost = connection.is_lost(error)
                again = lost or connection.met_deadlock(error)
                self._undo(connection)
                if lost:
                    # The server has probably closed them all.
                    pool.clear()
                    if committing:
                        raise _commit_failed(error) from error
                if not again:
                    raise
                attempt += 1
                if attempt == ATTEMPTS:
                    raise SlowDown() from error
            except BaseException:
                pool.drop(connection)
                raise
            else:
                pool.give(connection)
                return result
            # Uneven pauses, so that the same two do not meet again.
            time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 7)))

    def _undo(self, connection: ServerConnection) -> None:
        try:
            connection.rollback()
        except Exception:
            self._pool.drop(connection)
        else:
            self._pool.give(connection)

    def close(self) -> None:
        """The pool is the index's: nothing of its own to close."""

    def pause(self) -> None:
        """Nothing: a transaction is its connection's, which the child does not use."""

    def resume(self) -> None:
        """Nothing."""

    def forget(self) -> None:
        """See :meth:`SqliteWriter.forget`; the pool is made anew by the index."""
