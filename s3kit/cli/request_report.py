"""What ``s3kit explain --request`` has found out, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ..auth.mistakes import Mistake
from .rehearsal import Rehearsed


@dataclass(slots=True)
class Report:
    """What is known of a captured request.

    ``matches`` is None where no signature could be compared. ``reasons`` are proved where
    ``proved``: with them changed the signature is right. ``differences`` are lines of the canonical
    request: what it is, the client's, the endpoint's.
    """

    request: str
    signature: str
    key: str = ""
    matches: bool | None = None
    proved: bool = False
    reasons: list[Mistake] = field(default_factory=list)
    canonical: str = ""
    to_sign: str = ""
    client: str = ""
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    answer: Rehearsed = field(default_factory=Rehearsed)
    in_time: Rehearsed | None = None

    @property
    def allowed(self) -> bool:
        """Whether the endpoint would do it now."""
        return self.answer.error is None and not self.answer.redirected

    def document(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "decision": "allow" if self.allowed else "deny",
            "request": self.request,
            "signature": self.signature,
            "key": self.key,
            "matches": self.matches,
            "proved": self.proved,
            "reasons": [{"cause": each.cause, "text": each.text} for each in self.reasons],
            "canonical_request": self.canonical,
            "string_to_sign": self.to_sign,
            "client": self.client,
            "differences": [
                {"line": line, "client": client, "endpoint": ours}
                for line, client, ours in self.differences
            ],
            "answer": _answer(self.answer),
            "at_its_own_time": None if self.in_time is None else _answer(self.in_time),
        }

    def lines(self) -> Iterator[str]:
        """All of it for people."""
        yield f"{'allow' if self.allowed else 'deny'}  {self.request}"
        yield ""
        yield f"  signature  {self.signature}"
        if self.key:
            yield f"  key        {self.key}"
        if self.matches is not None:
            yield f"  matches    {'yes' if self.matches else 'no'}"
        yield f"  answer     {_in_words(self.answer)}"
        if self.in_time is not None:
            yield f"  in time    {_in_words(self.in_time)}"
        for number, each in enumerate(self.reasons):
            head = "" if number else "Because:" if self.proved else "Perhaps:"
            if head:
                yield ""
                yield head
            yield f"  {each.cause:<10} {each.text}"
        if self.client:
            yield ""
            yield f"The client's own canonical request: {self.client}"
            for line, client, ours in self.differences:
                yield f"  {line}"
                yield f"    - client    {client}"
                yield f"    + endpoint  {ours}"
        if self.canonical:
            yield ""
            yield "The canonical request, as this endpoint has it:"
            yield from (f"  | {line}" for line in self.canonical.split("\n"))
        if self.to_sign:
            yield ""
            yield "The string to sign:"
            yield from (f"  | {line}" for line in self.to_sign.split("\n"))
        for judged in (self.in_time or self.answer).judged:
            yield ""
            yield judged.headline
            yield from judged.reasons()


def _answer(found: Rehearsed) -> dict[str, Any]:
    error = found.error
    return {
        "status": found.redirected or (200 if error is None else error.status),
        "code": "" if error is None else error.code,
        "message": "" if error is None else error.text,
        "decisions": [
            {"allowed": each.decision.allowed, **each.document()} for each in found.judged
        ],
    }


def _in_words(found: Rehearsed) -> str:
    if found.error is not None:
        return f"{found.error.status} {found.error.code}: {found.error.text}"
    if found.redirected:
        return f"{found.redirected}, before anybody looks at the signature"
    rest = " (its body was not captured)" if found.unread and _has_body(found) else ""
    return f"nothing refuses it{rest}"


def _has_body(found: Rehearsed) -> bool:
    return found.call is not None and found.call.operation.body != "none"
