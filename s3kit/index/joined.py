"""A caller's own SQLAlchemy transaction, in which one thread reads and writes for a while.

Each write is a savepoint in it; the commit is the caller's. What must wait for that (signals,
caches) or for a rollback (bytes that nobody will point at) waits here, in the order of the
caller's savepoints.

SQLAlchemy tells of a commit just before it happens, and of its success only a session does. So at
that word we have its own dialect commit, and then do what waited; the commit that SQLAlchemy goes
on to make finds nothing left to do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar
from weakref import WeakKeyDictionary
from weakref import ref

from sqlalchemy import Connection as CallersConnection
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import InvalidRequestError

from s3kit.errors import ServiceUnavailable
from s3kit.errors import SlowDown
from s3kit.index.borrowed import Borrowed
from s3kit.index.borrowed import BorrowedSqlite
from s3kit.index.borrowed import CannotJoin
from s3kit.index.borrowed import borrow
from s3kit.index.borrowed import check
from s3kit.index.borrowed import check_place
from s3kit.index.borrowed import place_of
from s3kit.index.connections import Connection
from s3kit.index.connections import Retry
from s3kit.index.usage import settle
from s3kit.index.writers import ATTEMPTS
from s3kit.signals import HOLDERS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import SessionTransaction

    from s3kit.index.session import Index

LOG = logging.getLogger("s3kit.index")

T = TypeVar("T")
Call = Callable[[], object]

JOINED: dict[int, Joined] = {}
"""By thread: what it has joined last. Empty nearly always, which is all that others look at."""

_WAITING: WeakKeyDictionary[Session, list[Call]] = WeakKeyDictionary()
"""What is to be called when a session has come to the end of its commit."""


class Joined:
    """One thread's stay in a caller's transaction, or in one after the other of a session's.

    :param source: an SQLAlchemy connection or session.
    :param outer: what the thread had joined before.
    :raises CannotJoin: see :func:`s3kit.index.borrowed.check`.
    """

    __slots__ = ("_session", "_source", "index", "outer")

    def __init__(self, index: Index, source: Any, outer: Joined | None) -> None:
        self.index = index
        self.outer = outer
        self._session: Session | None = None
        self._source: CallersConnection | None = None
        if isinstance(source, CallersConnection):
            self._source = source
        else:
            self._session = _session_of(source)
        self.transaction()

    def transaction(self) -> Transaction:
        """The transaction that the caller is in now; begun, if need be."""
        session = self._session
        connection = self._source
        if session is not None:
            connection = session.connection()
        assert connection is not None
        if not connection.in_transaction():
            connection.begin()
        known = self.index.transactions
        found = known.get(connection)
        if found is None:
            found = Transaction(self.index)
            found.attach(connection)
            found.listen(connection)
            known[connection] = found
        else:
            found.attach(connection)
        if session is not None:
            found.follow(session)
        return found

    def read(self, work: Callable[[Connection], T]) -> T:
        """As :meth:`Index.read`, and sees what the transaction has changed."""
        return self.transaction().read(work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """As :meth:`Index.write`, but durable only with the caller's commit."""
        transaction = self.transaction()
        result = transaction.write(work)
        # What is told next is told of this write.
        HOLDERS[get_ident()] = transaction.tell
        return result


class Transaction:
    """What waits for the end of each transaction on one connection of a caller's."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._session: ref[Session] | None = None
        self._borrowed: Borrowed | None = None
        self._begin()

    def _begin(self) -> None:
        self._borrowed = None
        self._wrote = False
        self._broken = False
        self._told: list[Call] = []
        self._undo: list[Call] = []
        self._undone: list[Call] = []
        self._marks: list[tuple[str, int, int]] = []

    def attach(self, connection: CallersConnection) -> None:
        """Take the connection as it is now; checked once in each transaction."""
        borrowed = self._borrowed
        if borrowed is not None and borrowed.raw is connection.connection.driver_connection:
            return
        borrowed = borrow(connection, self._index.dialect)
        with borrowed.in_use():
            check(connection, borrowed)
            with alone():
                own = self._index.read(place_of)
            check_place(borrowed, own)
        self._borrowed = borrowed

    def listen(self, connection: CallersConnection) -> None:
        """Hear of the transactions' ends, for as long as the connection lives."""
        event.listen(connection, "before_execute", self._before_execute)
        event.listen(connection, "rollback_savepoint", self._rolled_back_to)
        event.listen(connection, "release_savepoint", self._released)
        event.listen(connection, "rollback", self._rolled_back)
        event.listen(connection, "commit", self._commit)

    def follow(self, session: Session) -> None:
        """Tell of commits only when this session is through with them, and can be used again."""
        if self._session is None or self._session() is not session:
            self._session = ref(session)
            if session not in _WAITING:
                _WAITING[session] = []
                event.listen(session, "after_transaction_end", _session_ended)

    # -- in the transaction

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in it. Raises ServiceUnavailable when the database has undone it."""
        borrowed = self._checked()
        with borrowed.in_use():
            return work(borrowed)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a savepoint of it, again if it lost a race.

        :raises ServiceUnavailable: the database has undone the whole transaction.
        :raises SlowDown: it must be begun again.
        """
        borrowed = self._checked()
        with borrowed.in_use():
            for _ in range(ATTEMPTS):
                borrowed.begin_write()
                try:
                    result = work(borrowed)
                    if borrowed.charges:
                        settle(borrowed)
                    for statement, parameters in borrowed.before_commit.values():
                        borrowed.run(statement, parameters)
                    borrowed.end_write()
                except BaseException as error:
                    self._undo_write(borrowed, error)
                    if isinstance(error, Retry):
                        continue
                    if borrowed.met_deadlock(error):
                        raise SlowDown("Roll the transaction back and begin again.") from error
                    raise
                finally:
                    borrowed.before_commit.clear()
                    borrowed.charges.clear()
                self._wrote = True
                return result
        raise SlowDown()

    def _checked(self) -> Borrowed:
        if self._broken:
            raise ServiceUnavailable("The database has undone this transaction: roll it back.")
        assert self._borrowed is not None
        return self._borrowed

    def _undo_write(self, borrowed: Borrowed, error: BaseException) -> None:
        try:
            borrowed.undo_write()
        except Exception:
            # Lost, or a deadlock on MariaDB or a full disk under SQLite: all of it is undone.
            self._broken = True
            LOG.warning("a caller's transaction was undone by its database: %r", error)

    def tell(self, call: Call) -> None:
        """Have it called after the commit."""
        self._wrote = True
        self._told.append(call)

    def undo(self, call: Call) -> None:
        """Have it called after a rollback."""
        self._wrote = True
        self._undo.append(call)

    # -- what SQLAlchemy tells

    def _before_execute(self, connection: CallersConnection, clause: Any, *_: object) -> None:
        borrowed = self._borrowed
        if borrowed is None or getattr(clause, "__visit_name__", "") != "savepoint":
            return
        if isinstance(borrowed, BorrowedSqlite) and not borrowed.can_commit():
            borrowed.lock()
        self._marks.append((clause.ident, len(self._told), len(self._undo)))

    def _rolled_back_to(self, connection: CallersConnection, name: str, _: object) -> None:
        # One that was set before anything was done here has no mark.
        _, told, undo = self._end_mark(name) or ("", 0, 0)
        del self._told[told:]
        # Their blobs go with the whole transaction's end: until then a rollback may yet fail.
        self._undone += self._undo[undo:]
        del self._undo[undo:]

    def _released(self, connection: CallersConnection, name: str, _: object) -> None:
        self._end_mark(name)

    def _end_mark(self, name: str) -> tuple[str, int, int] | None:
        for position, mark in enumerate(self._marks):
            if mark[0] == name:
                del self._marks[position:]
                return mark
        return None

    def _commit(self, connection: CallersConnection) -> None:
        borrowed = self._borrowed
        if borrowed is None or not self._wrote:
            self._begin()
            return
        if self._broken:
            self._rolled_back(connection)
            raise InvalidRequestError("the database has undone this transaction: roll it back")
        if not borrowed.can_commit():
            if borrowed.failed():
                # The database takes this commit for a rollback.
                self._rolled_back(connection)
            else:
                LOG.error("a caller's transaction has ended unseen: its signals are not sent")
                self._begin()
                self._index.forget_joined(borrowed.written)
            return
        written = set(borrowed.written)
        self._index.announce_joined(written)
        try:
            connection.dialect.do_commit(connection.connection)
        except BaseException as error:
            # It may have happened nevertheless: what waits is dropped, and the orphan sweep decides
            # about blobs. SQLAlchemy rolls nothing back after it before the connection is returned.
            self._begin()
            with suppress(Exception):
                connection.dialect.do_rollback(connection.connection)
            driver: Any = connection.dialect.dbapi
            if not isinstance(error, driver.Error):
                raise
            wrapped = DBAPIError.instance(
                None, None, error, driver.Error, dialect=connection.dialect
            )
            raise wrapped from error
        told, undone = self._told, self._undone
        self._begin()
        self._index.forget_joined(written)
        session = None if self._session is None else self._session()
        if session is not None and session.in_transaction():
            _WAITING[session] += told
        else:
            call_all(told)
        call_all(undone)

    def _rolled_back(self, connection: CallersConnection) -> None:
        borrowed = self._borrowed
        if borrowed is None or not self._wrote:
            self._begin()
            return
        undo = self._undo + self._undone
        self._begin()
        # Before what may take long; SQLAlchemy's own rollback finds nothing left to do.
        with suppress(Exception):
            connection.dialect.do_rollback(connection.connection)
        call_all(undo)


def _session_ended(session: Session, transaction: SessionTransaction) -> None:
    waiting = _WAITING.get(session)
    if waiting and transaction.parent is None:
        _WAITING[session] = []
        call_all(waiting)


@contextmanager
def alone() -> Iterator[None]:
    """Let this thread act for itself meanwhile, whatever it has joined."""
    thread = get_ident()
    joined = JOINED.pop(thread, None)
    hold = HOLDERS.pop(thread, None)
    try:
        yield
    finally:
        if joined is not None:
            JOINED[thread] = joined
        if hold is not None:
            HOLDERS[thread] = hold


def call_all(calls: list[Call]) -> None:
    """Call each, as a thread that has joined nothing; one that raises is logged."""
    with alone():
        for call in calls:
            try:
                call()
            except Exception:
                LOG.exception("what waited for the end of a caller's transaction failed")


def joined_to(index: Index) -> Joined | None:
    """What this thread has joined for this index."""
    joined = JOINED.get(get_ident())
    while joined is not None and joined.index is not index:
        joined = joined.outer
    return joined


@contextmanager
def joining(index: Index, source: Any) -> Iterator[None]:
    """See :meth:`s3kit.index.session.Index.joined`."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise CannotJoin(
            "a transaction cannot be joined in an event loop's thread, where other tasks would "
            "join it too: do all of it in one plain function, by asyncio.to_thread"
        )
    thread = get_ident()
    outer = JOINED.get(thread)
    JOINED[thread] = Joined(index, source, outer)
    try:
        yield
    finally:
        if outer is None:
            JOINED.pop(thread, None)
        else:
            JOINED[thread] = outer
        HOLDERS.pop(thread, None)


def forget_all() -> None:
    """In a forked child: what was joined is the parent's."""
    JOINED.clear()
    HOLDERS.clear()


def _session_of(source: Any) -> Session:
    if type(source).__module__.startswith("sqlalchemy.ext.asyncio"):
        raise CannotJoin(
            "s3kit speaks to databases without asyncio: join a Session of a plain engine, in a "
            "thread of its own"
        )
    # Not loaded for those who have no ORM.
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import scoped_session

    if isinstance(source, scoped_session):
        source = source()
    if not isinstance(source, Session):
        raise CannotJoin(f"only an SQLAlchemy Connection or Session can be joined, not {source!r}")
    return source
