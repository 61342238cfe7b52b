"""The host's own word beside the policies: a Python function that is asked about each decision.

It is asked after owner, policies and ACLs, and only where its answer counts. It may refuse
anything. It may allow what was refused for want of a grant; never what somebody has forbidden, see
``Decision.final``, and nothing beyond a narrow key or a session, whose Access stand before it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any
from typing import Final

from ..model import Caller
from ..model import Decision
from ..model import Question
from ..model import Step
from .access import Access

logger = logging.getLogger("s3kit.auth")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How a question came to be asked.

    ``environ`` is the request's; ``kind`` how it was signed, see :class:`AuthorizationRequest`;
    ``cross_site`` whether a page of another site may have had a browser send it.
    """

    environ: Mapping[str, Any]
    kind: str
    cross_site: bool


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What an ``authorize`` function is asked: may this caller do this?

    ``action`` is an IAM action, such as ``s3:GetObject``; ``bucket`` a name, "" where there is
    none; ``owner`` the id of the account that owns it; ``key`` a text (bytes that are no UTF-8 as
    surrogates), None for the bucket itself. ``conditions`` is what policies could ask by condition
    keys, ``aws:sourceip`` say, found out when it is looked up. ``decision`` is what was decided
    without the function. ``kind`` is ``header``, ``query`` or ``form`` by where the signature
    stood, ``anonymous`` without one, ``python`` for :class:`~s3kit.client.Client`.
    ``environ`` is a copy of the request's WSGI environ, without its body.
    """

    caller: Caller
    action: str
    bucket: str
    owner: str
    key: str | None
    version_id: str | None
    decision: Decision
    kind: str
    conditions: Mapping[str, str | tuple[str, ...]] = field(repr=False)
    environ: Mapping[str, Any] = field(repr=False)

    @property
    def account(self) -> str | None:
        """The id of the caller's account, None for an anonymous one."""
        return self.caller.account_id

    @property
    def user(self) -> str:
        """The name of the account's user, "" for the account itself."""
        kind, _, name = self.caller.principal.partition("/")
        return name if kind == "user" else ""

    @property
    def access_key(self) -> str | None:
        """The access key that signed, or that opened the session that did."""
        return self.caller.access_key


Authorize = Callable[[AuthorizationRequest], "bool | str | Decision | None"]
"""None and True leave it as it is decided; False, a text (the reason) or a refusing one refuse.

Only an allowing Decision gives what nobody has granted: a function with which somebody keeps one
customer out, and which says True for all others, is not to open every bucket to everybody.
"""

REFUSED: Final = "the authorize hook refuses it"
ALLOWED: Final = "the authorize hook allows it"

BY: Final = "authorize hook"

_FAILED: Final = Decision(False, "the authorize hook failed", final=True, by=BY)
_CROSS_SITE: Final = Decision(
    False,
    "the authorize hook allows it, but a page of another site may be asking",
    final=True,
    by=BY,
)


class HookedAccess:
    """Another Access, whose decisions a host's function may turn.

    What the function raises, or an answer that it may not give, refuses.

    :param surroundings: finds what a question is part of.
    """

    __slots__ = ("_authorize", "_decide", "_surroundings")

    def __init__(
        self,
        access: Access,
        authorize: Authorize,
        surroundings: Callable[[Question], Surroundings],
    ) -> None:
        self._decide = access.decide
        self._authorize = authorize
        self._surroundings = surroundings

    def decide(self, question: Question) -> Decision:
        """Allow or refuse."""
        decision = self._decide(question)
        if not decision.allowed and (decision.final or decision.by_policy):
            return decision
        try:
            found = self._surroundings(question)
            answer = self._authorize(_request(question, decision, found))
            turned = _turned(decision, answer, question, found)
        except Exception:
            logger.exception("The authorize hook failed, so that %s is refused.", question.action)
            turned = _FAILED
        if question.trace is not None:
            says = "" if turned is decision else "allow" if turned.allowed else "deny"
            text = "the authorize hook leaves it as it is" if turned is decision else turned.reason
            question.trace.append(Step(BY, says, text))
        return turned


def _request(
    question: Question, decision: Decision, surroundings: Surroundings
) -> AuthorizationRequest:
    bucket = question.bucket
    key = question.key
    return AuthorizationRequest(
        question.caller,
        question.action,
        question.bucket_name if bucket is None else bucket.name,
        "" if bucket is None else bucket.account,
        None if key is None else key.decode("utf-8", "surrogateescape"),
        question.version_id,
        decision,
        surroundings.kind,
        question.conditions,
        _without_body(surroundings.environ),
    )


def _without_body(environ: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that a framework may make its own request of, and change: nobody else sees it."""
    copy = {name: value for name, value in environ.items() if not name.startswith("s3kit.")}
    copy["wsgi.input"] = io.BytesIO()
    return copy


def _turned(
    decision: Decision,
    answer: bool | str | Decision | None,
    question: Question,
    surroundings: Surroundings,
) -> Decision:
    """The decision after the hook's answer.

    :raises TypeError: it is none that the hook may give.
    """
    if answer is None or answer is True or answer == decision:
        return decision
    if isinstance(answer, Decision):
        allowed, reason = answer.allowed, answer.reason
    elif isinstance(answer, str):
        allowed, reason = False, answer
    elif answer is False:
        allowed, reason = False, ""
    else:
        raise TypeError(
            f"authorize answered {type(answer).__name__}; True, False, a text, a Decision or None "
            "are its answers."
        )
    if not allowed:
        return Decision(False, f"{REFUSED}: {reason}" if reason else REFUSED, final=True, by=BY)
    reason = f"{ALLOWED}: {reason}" if reason else ALLOWED
    if decision.allowed:
        # Whoever owns the object, the host has allowed it, and not an ACL alone.
        return replace(decision, reason=reason, provisional=False, by_acl=False, by=BY)
    if question.caller.anonymous and surroundings.cross_site:
        # All that speaks for an anonymous caller is what its browser sends along by itself.
        return _CROSS_SITE
    return Decision(True, reason, by=BY)
