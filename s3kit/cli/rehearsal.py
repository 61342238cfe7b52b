"""An endpoint that does everything with a request but carry it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import TypeVar

from ..app import S3App
from ..auth.access import Access
from ..auth.access import versioned
from ..auth.sigv4 import Request
from ..auth.trace import explained
from ..call import Call
from ..config import Config
from ..errors import S3Error
from ..model import Decision
from ..model import Question
from ..model import Step
from ..operations import sts
from ..operations.copying import open_source
from ..operations.deleting import DELETE_LIMIT
from ..operations.deleting import Delete
from ..operations.posting import admitted_form
from ..wire.checksums import BLOCK
from ..wire.environ import Input
from ..wire.environ import public_url_parts
from ..wire.environ import raw_target
from ..wire.query import parse_query
from ..wire.response import Response
from .judged import Judged

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Answer = TypeVar("Answer")

_COPIES = ("CopyObject", "UploadPartCopy")


class _Rehearsed(BaseException):
    """All was asked. No Exception: nothing on the way out may take it for a failure."""


@dataclass(slots=True)
class Rehearsed:
    """What would become of a request.

    ``error`` is what it would be refused with, None where it would be carried out; ``redirected``
    is the status with which it would be sent elsewhere, 0 for none. ``call`` is None where it was
    refused before its sender was known. ``unread`` tells that its body had to be left out.
    """

    error: S3Error | None = None
    redirected: int = 0
    call: Call | None = None
    judged: list[Judged] = field(default_factory=list)
    unread: bool = False


class _Telling:
    """Another Access, which tells of each decision. It is asked for the last word at once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.judged: list[Judged] = []

    def decide(self, question: Question) -> Decision:
        decision, steps = explained(self._access, replace(question, settle=True))
        resource = question.bucket_name if question.bucket is None else question.bucket.name
        if question.key is not None:
            resource += "/" + question.key.decode("utf-8", "backslashreplace")
        judged = Judged(question.action, resource, decision, tuple(steps))
        if judged not in self.judged:
            self.judged.append(judged)
        return decision


class Rehearsal(S3App):
    """The endpoint of a configuration; what it is asked to do it only judges.

    Nothing is stored, and no background work begins.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(replace(config, relay=False, run_lifecycle=False))
        self._telling = _Telling(self._site.access)
        self._plain_site = self._site
        self._whole_body = False
        self._found = Rehearsed()

    def rehearse(self, environ: WSGIEnvironment, now: float, *, body: bool) -> Rehearsed:
        """What would become of this request.

        :param now: seconds since the epoch, by which its signature is judged.
        :param body: whether the environ has all of its body.
        """
        found = self._found = Rehearsed(unread=not body)
        self._telling.judged = found.judged
        self._whole_body = body
        self._site = replace(self._plain_site, access=self._telling)
        received: list[Input] = []
        try:
            response = self._answer(environ, environ["REQUEST_METHOD"], "", received, [], now)
            found.redirected = response.status
        except S3Error as error:
            found.error = error
        except _Rehearsed:
            pass
        finally:
            self._site = self._plain_site
        call = found.call
        for asked in call.asked if call is not None and call.asked else ():
            if asked.bucket is None and asked.action.startswith("sts:"):
                steps = (Step(asked.decision.by, "", asked.decision.reason),)
                found.judged.append(Judged(asked.action, "", asked.decision, steps))
        return found

    def request_of(self, environ: WSGIEnvironment) -> Request:
        """What a signature in this request has to cover."""
        target = raw_target(environ)
        scheme, host, prefix, _ = public_url_parts(environ, self._trusted)
        address = self._address(environ, target, host, prefix)
        query = parse_query(target.query)
        return Request(environ["REQUEST_METHOD"], address.canonical, query, environ, scheme, host)

    def perform(self, call: Call, work: Callable[[Call], Answer]) -> Answer:
        """Ask all that is asked before ``work``, and no more."""
        self._found.call = call
        call.asked = []

        def instead(call: Call) -> Answer:
            if call.operation.handler is None:
                # STS stores nothing.
                work(call)
            else:
                self._judge_parts(call)
            raise _Rehearsed

        return super().perform(call, instead)

    def _answer_sts(self, asked: sts.Asked, calls: list[Call]) -> Response:
        return sts.serve(self._site, asked, self.perform)

    def _judge_parts(self, call: Call) -> None:
        """What an operation asks by itself, and the body's checksums."""
        name = call.operation.name
        if name in _COPIES:
            open_source(call)
        if not self._whole_body or not call.has_body():
            return
        if name == "PostObject":
            admitted_form(call)
        elif name == "DeleteObjects":
            wanted = call.document(Delete, checksum_required=True, limit=DELETE_LIMIT)
            for each in wanted.objects[:1000]:
                key = each.key.encode("utf-8", "surrogateescape")
                version_id = each.version_id or None
                action = versioned("s3:DeleteObject", version_id)
                call.allowed(action, call.bucket, key, version_id)
        else:
            reader = call.body(etag=False)
            while reader.read(BLOCK):
                pass
