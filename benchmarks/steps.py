"""Where the time of the check goes: each step on its own, in this process, without a server.

The requests are those of the case ``access``. A figure is the least of many runs: what the code
itself takes when nothing disturbs it; a server under load takes more.
"""

from __future__ import annotations

import gc
import io
import logging
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from benchmarks import access
from benchmarks.load import Request
from s3kit.app import S3App
from s3kit.auth.acl import find_grant
from s3kit.auth.hook import HookedAccess
from s3kit.auth.hook import Surroundings
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.scope import ScopedAccess
from s3kit.auth.sigv4 import Request as SignedRequest
from s3kit.auth.sigv4 import identify
from s3kit.call import Call
from s3kit.cli.settings import gather
from s3kit.middleware.access_log import LineFile
from s3kit.middleware.audit import audit
from s3kit.model import Decision
from s3kit.model import Permission
from s3kit.model import Question
from s3kit.operations.bucket_rules import rules_of
from s3kit.wire.query import parse_query

RUNS = 30
TIMES = 200
ACCESS_KEY = "BENCHMARKKEY00000001"
SECRET_KEY = "benchmark-secret-benchmark-secret-000001"
HOST = "127.0.0.1:9000"

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Step = tuple[str, float]


class Yes:
    """An Access that allows everything at once."""

    _YES = Decision(True, "everything is allowed")

    def decide(self, question: Question) -> Decision:
        return self._YES


def environ_of(request: Request) -> dict[str, Any]:
    """What a server makes of a request."""
    head, _, body = request.head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "RAW_URI": target,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    for line in lines:
        name, _, value = line.partition(": ")
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            variable = f"HTTP_{variable}"
        environ[variable] = value
    return environ


def microseconds(functions: Mapping[str, Callable[[], object]]) -> list[Step]:
    """What one call of each takes of this process's CPU, the least of several runs.

    They take turns, so that whatever else the machine does disturbs each of them.
    """
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(RUNS):
        for name, function in functions.items():
            # What the others have pushed out of the processor's caches.
            function()
            began = time.process_time()
            for _ in range(TIMES):
                function()
            best[name] = min(best[name], time.process_time() - began)
    return [(name, seconds / TIMES * 1e6) for name, seconds in best.items()]


class Endpoint:
    """An app in this process with what the case ``access`` needs."""

    def __init__(self, folder: Path) -> None:
        self.callers = access.make_callers(folder, ACCESS_KEY, SECRET_KEY)
        self.folder = folder
        options = {"data": str(folder), "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        self.config = gather(options, {}).config
        self.app = S3App(self.config)
        for request in access.preparations(self.callers, HOST):
            self.send(environ_of(request))

    def send(self, environ: dict[str, Any], app: WSGIApplication | None = None) -> None:
        """Have the app, or another one, answer.

        :raises RuntimeError: it refuses.
        """
        said: list[str] = []
        answer = self.app if app is None else app
        body = answer(environ, lambda status, headers, error=None: said.append(status))  # type: ignore[arg-type]
        text = b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        if not said[0].startswith("2"):
            raise RuntimeError(f"{said[0]}: {text[:300]!r}")

    def environ(self, row: str) -> dict[str, Any]:
        """A request of one row."""
        return environ_of(access.requests_of(row, self.callers, HOST, 0)[0])

    def call(self, row: str) -> Call:
        """What the app makes of such a request before it asks whether it may be."""
        calls: list[Call] = []

        def handle(call: Call, handler: object) -> Any:
            calls.append(call)
            return perform(call, handler)

        perform: Any = self.app.perform
        self.app.perform = handle  # type: ignore[assignment, method-assign]
        try:
            self.send(self.environ(row))
        finally:
            self.app.perform = perform  # type: ignore[method-assign]
        return calls[0]


def whole(endpoint: Endpoint) -> list[Step]:
    """Whole GETs, with all but a server and a socket."""

    def sender(row: str, app: WSGIApplication | None = None) -> Callable[[], None]:
        environ = endpoint.environ(row)
        return lambda: endpoint.send(dict(environ), app)

    log = logging.getLogger("benchmarks.audit")
    log.propagate = False
    log.setLevel(logging.INFO)
    handler = LineFile(str(endpoint.folder / "audit.log"))
    log.addHandler(handler)
    hooked = S3App(endpoint.config, authorize=access.agree)
    try:
        return microseconds(
            {
                **{row: sender(row) for row in access.GETS},
                access.HOOKED: sender(access.PLAIN, hooked),
                access.AUDITED: sender(access.PLAIN, audit(endpoint.app, log=log)),
            }
        )
    finally:
        hooked.close()
        log.removeHandler(handler)
        handler.close()


def steps(endpoint: Endpoint) -> list[Step]:
    """Each step of the check."""
    app = endpoint.app
    site = app.site
    sql_key = endpoint.callers["key in SQL"].access_key
    configured = DictKeyRing(app.config.signing_keys())

    def looked_up_anew() -> None:
        app.store._backing.accounts.forget()
        site.key_ring.lookup(sql_key)

    def identified(row: str) -> Callable[[], object]:
        request, now = _request_of(endpoint, row)
        return lambda: identify(request, site.key_ring, now=now, sessions=site.sessions)

    scoped = ScopedAccess(Yes())
    _, narrow = _question(endpoint, "SQL key, scope")
    call, granted = _question(endpoint, "SQL key, ACL")
    version = call.store.objects.find(call.bucket, call.object_key, inline=False)
    assert version is not None
    call, guarded = _question(endpoint, "SQL key, 20 statements")
    policy = rules_of(site.store, call.bucket).policy
    _, by_user = _question(endpoint, "SQL key, user policy")
    rules = by_user.caller.policies
    assert policy is not None
    assert rules
    surroundings = Surroundings({}, "", cross_site=False)
    hooked = HookedAccess(Yes(), access.agree, lambda question: surroundings)
    _, plain = _question(endpoint, access.PLAIN)

    def deciding(row: str) -> Callable[[], object]:
        _, question = _question(endpoint, row)
        return lambda: site.access.decide(question)

    return microseconds(
        {
            "key lookup, configured": lambda: configured.lookup(ACCESS_KEY),
            "key lookup, in SQL": lambda: site.key_ring.lookup(sql_key),
            "key lookup, in SQL, once a second": looked_up_anew,
            "signature, with its key's lookup": identified(access.PLAIN),
            "the same of a session": identified("session, its policy"),
            "scope: path, read-only, networks": lambda: scoped.decide(narrow),
            "ACL": lambda: find_grant(version.acl, granted.caller, Permission.READ),
            "bucket policy of 20 statements": lambda: policy.decide(guarded),
            "user policy": lambda: rules[0].decide(by_user),
            "authorize hook": lambda: hooked.decide(plain),
            **{f"all decisions: {row}": deciding(row) for row in access.GETS},
        }
    )


def _question(endpoint: Endpoint, row: str) -> tuple[Call, Question]:
    call = endpoint.call(row)
    return call, call.question("s3:GetObject", call.bucket, call.object_key)


def _request_of(endpoint: Endpoint, row: str) -> tuple[SignedRequest, float]:
    environ = endpoint.environ(row)
    path = environ["PATH_INFO"]
    return SignedRequest("GET", (path,), parse_query(""), environ, "http", HOST), time.time()


def measured(folder: Path) -> Mapping[str, Sequence[Step]]:
    """All figures, in microseconds."""
    endpoint = Endpoint(folder)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return {
            "whole GETs in this process": whole(endpoint),
            "steps of the check": steps(endpoint),
        }
    finally:
        gc.enable()
        gc.unfreeze()
        endpoint.app.close()


def table(figures: Mapping[str, Sequence[Step]]) -> str:
    """The figures as text."""
    lines = []
    for title, found in figures.items():
        lines.append(f"\n{title}, us (least of {RUNS} runs)")
        lines += [f"  {name:<42}{value:>8.2f}" for name, value in found]
    return "\n".join(lines)
