"""Planned faults: the answers and silences of a bad day, so that a test can see its client cope.

.. code-block:: python

    def test_the_report_survives_a_busy_endpoint(s3kit_client, s3kit_faults):
        busy = s3kit_faults.slow_down(times=2, operation="PutObject", key="reports/*")
        store_report(s3kit_client)
        assert busy.hits == 2

Outside pytest: ``plan = FaultPlan()`` and serve ``plan.wrap(s3)`` in place of ``s3``.
"""

from __future__ import annotations

import difflib
import random
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

from .. import operations
from ..errors import InternalError
from ..errors import S3Error
from ..errors import SlowDown
from ..wire.address import parse_address
from ..wire.environ import open_input
from ..wire.environ import raw_target
from ..wire.query import parse_query
from ..wire.response import STATUS_LINES
from ..wire.response import render_error
from ..wire.routing import find_operation
from ..wire.routing import resolve
from ..wire.service_model import EXTRA_OPERATIONS
from ..wire.service_model import OPERATIONS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from ..wire.service_model import Level

operations.load()

_NAMES = {row.name for row in (*OPERATIONS, *EXTRA_OPERATIONS)}


@dataclass(frozen=True)
class Asked:
    """What a request asks for, as far as it can be told before its signature is read."""

    operation: str
    """The operation's name; empty where S3 has none for such a request."""
    bucket: str
    key: str


@dataclass
class Fault:
    """One planned fault, and how often it has struck."""

    name: str
    act: Any = field(repr=False)
    operation: frozenset[str] | None
    bucket: str | None
    key: str | None
    times: int | None
    """How many requests it strikes; None: every one."""
    skip: int
    """How many matching requests pass before the first that it strikes."""
    hits: int = 0

    @property
    def pending(self) -> bool:
        """Whether it has not struck as often as was planned; for ``times=None``: never yet."""
        return self.hits < (1 if self.times is None else self.times)

    def matches(self, asked: Asked) -> bool:
        """Whether it is meant for such a request."""
        return (
            (self.operation is None or asked.operation in self.operation)
            and (self.bucket is None or fnmatchcase(asked.bucket, self.bucket))
            and (self.key is None or fnmatchcase(asked.key, self.key))
        )


class FaultPlan:
    """The faults that wait for their requests. A request is struck by the first that matches it.

    Every method that plans one takes:

    * ``times``: how many requests it strikes, None for every one;
    * ``operation``: a name such as ``"PutObject"``, or several; ``bucket`` and ``key``: names, or
      patterns such as ``"reports/*"``; left out, anything matches;
    * ``skip``: how many matching requests pass first.
    """

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self._lock = threading.Lock()

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        """A WSGI app that is ``app`` with these faults. Wrap an S3App, not what it is mounted in.

        Where the server is not LiveServer, or there is none, a broken connection is a
        ConnectionError raised by the app.
        """
        return _Faulty(self, app)

    def slow_down(self, times: int | None = 1, **match: Any) -> Fault:
        """Answer 503 SlowDown; nothing is done."""
        return self.fail(SlowDown(), times, **match)

    def fail(
        self,
        error: S3Error | None = None,
        times: int | None = 1,
        *,
        inside_ok: bool = False,
        **match: Any,
    ) -> Fault:
        """Answer with an error of :mod:`s3kit.errors`, InternalError by default; nothing is done.

        :param inside_ok: the status is 200 all the same, as S3 does when a CopyObject or a
            CompleteMultipartUpload fails after its answer has begun.
        """
        error = InternalError() if error is None else error

        def act(
            app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            _read_away(environ)
            request_id = f"{random.getrandbits(64):016X}"
            status, headers, body = render_error(error, request_id, "fault")
            headers.append(("x-amz-request-id", request_id))
            start_response(STATUS_LINES[200 if inside_ok else status], headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        return self._plan(f"fail {error.code}", act, times, **match)

    def slow(
        self,
        times: int | None = None,
        *,
        first_byte: float = 0.0,
        chunk_delay: float = 0.0,
        chunk: int = 65536,
        **match: Any,
    ) -> Fault:
        """Answer rightly but late.

        :param first_byte: seconds before the request is looked at.
        :param chunk_delay: seconds before each ``chunk`` bytes of the body.
        """

        def act(
            app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            time.sleep(first_byte)
            return _Body(app(environ, start_response), lambda body: _slowly(body, chunk_delay))

        def _slowly(body: Iterable[bytes], delay: float) -> Iterator[bytes]:
            for block in body:
                for start in range(0, len(block), chunk):
                    time.sleep(delay)
                    yield block[start : start + chunk]

        return self._plan("slow", act, times, **match)

    def cut_answer(self, after: int, times: int | None = 1, **match: Any) -> Fault:
        """Do what is asked, but break the connection ``after`` so many bytes of the body."""

        def act(
            app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            return _Body(app(environ, start_response), lambda body: _cut(body, environ))

        def _cut(body: Iterable[bytes], environ: WSGIEnvironment) -> Iterator[bytes]:
            left = after
            for block in body:
                yield block[:left]
                left -= len(block)
                if left <= 0:
                    break
            _break_off(environ)

        return self._plan(f"cut the answer after {after}", act, times, **match)

    def cut_upload(self, after: int, times: int | None = 1, **match: Any) -> Fault:
        """Break the connection when ``after`` bytes of the request's body have been read."""

        def act(
            app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            stream = environ["wsgi.input"]
            environ["wsgi.input"] = _CutInput(stream, after)
            finished = app(environ, lambda *ignored: lambda data: None)
            _close(finished)
            _break_off(environ)

        return self._plan(f"cut the upload after {after}", act, times, **match)

    def lose_answer(self, times: int | None = 1, **match: Any) -> Fault:
        """Do what is asked, then break the connection without an answer: a lost acknowledgement."""

        def act(
            app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            finished = app(environ, lambda *ignored: lambda data: None)
            try:
                for _ in finished:
                    pass
            finally:
                _close(finished)
            _break_off(environ)

        return self._plan("lose the answer", act, times, **match)

    @property
    def pending(self) -> list[Fault]:
        """The faults that have not struck as often as planned: perhaps a test tests nothing."""
        return [fault for fault in self.planned if fault.pending]

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self.planned = []

    def _plan(
        self,
        name: str,
        act: Any,
        times: int | None,
        *,
        operation: str | Iterable[str] | None = None,
        bucket: str | None = None,
        key: str | None = None,
        skip: int = 0,
    ) -> Fault:
        wanted = None
        if operation is not None:
            names = [operation] if isinstance(operation, str) else list(operation)
            wanted = frozenset(_known(each) for each in names)
        fault = Fault(name, act, wanted, bucket, key, times, skip)
        with self._lock:
            self.planned = [*self.planned, fault]
        return fault

    def _strike(self, environ: WSGIEnvironment, base_hosts: tuple[str, ...]) -> Fault | None:
        """The fault that this request meets; it has struck once more then."""
        asked = read_request(environ, base_hosts)
        with self._lock:
            for fault in self.planned:
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                if not fault.matches(asked):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                return fault
        return None


class _Faulty:
    __slots__ = ("_app", "_plan")

    def __init__(self, plan: FaultPlan, app: WSGIApplication) -> None:
        self._plan = plan
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        app = self._app
        if self._plan.planned:
            config = getattr(app, "config", None)
            fault = self._plan._strike(environ, getattr(config, "base_hosts", ()))
            if fault is not None:
                struck: Iterable[bytes] = fault.act(app, environ, start_response)
                return struck
        return app(environ, start_response)


def read_request(environ: WSGIEnvironment, base_hosts: tuple[str, ...] = ()) -> Asked:
    """What a request asks for."""
    try:
        target = raw_target(environ)
        address = parse_address(
            target,
            environ.get("HTTP_HOST", ""),
            script_name=environ.get("SCRIPT_NAME", ""),
            base_hosts=base_hosts,
        )
    except S3Error:
        return Asked("", "", "")
    level: Level
    if address.bucket is None:
        level = "service"
    else:
        level = "bucket" if address.key is None else "object"
    try:
        name = resolve(environ["REQUEST_METHOD"], level, parse_query(target.query), environ).name
    except S3Error:
        name = ""
    return Asked(name, address.bucket or "", (address.key or b"").decode("utf-8", "replace"))


def _known(name: str) -> str:
    if name not in _NAMES:
        near = difflib.get_close_matches(name, _NAMES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"S3 has no operation {name!r}.{hint}")
    return find_operation(name).name


def _read_away(environ: WSGIEnvironment) -> None:
    """The body, so that the client is not cut off while it still sends."""
    try:
        open_input(environ).drain(limit=1 << 40)
    except S3Error:
        return


def _break_off(environ: WSGIEnvironment) -> NoReturn:
    """End the connection as it stands.

    :raises ConnectionAbortedError: always; a server then gives the request up.
    """
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        try:
            # Without it werkzeug keeps the connection, and the client waits for an answer.
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    raise ConnectionAbortedError("A planned fault broke the connection off.")


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


class _Body:
    """A body passed on through a generator, and closed with it."""

    def __init__(
        self, body: Iterable[bytes], through: Callable[[Iterable[bytes]], Iterator[bytes]]
    ) -> None:
        self._body = body
        self._blocks = through(body)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        _close(self._body)


class _CutInput:
    """A request body whose sender seems to vanish."""

    def __init__(self, stream: Any, left: int) -> None:
        self._stream = stream
        self._left = left

    def read(self, size: int = -1) -> bytes:
        """What is left before the cut.

        :raises ConnectionResetError: nothing is.
        """
        if self._left <= 0:
            raise ConnectionResetError("A planned fault cut the upload.")
        size = self._left if size < 0 else min(size, self._left)
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        return data
