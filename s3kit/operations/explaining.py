"""Which rule allowed or refused a request, told to the bucket's owner who asks for it.

A request with ``x-s3kit-explain: true`` gets an ``x-s3kit-decision`` for each question that Access
was asked: ``allow; action=s3:GetObject; resource="photos/cat.jpg"; reason="..."``. Only a bucket
owner's account itself is told, with a signature in the header and no narrowed key; about what
belongs to no bucket, an account itself about its own requests. Strangers, users, roles, sessions,
and who was given a URL, learn nothing: a reason may quote what its author wrote of them.
"""

from __future__ import annotations

from typing import Final

from ..auth.hook import BY
from ..call import Asked
from ..call import Call
from ..model import Caller
from ..wire.address import aws_quote

EXPLAIN: Final = "HTTP_X_S3KIT_EXPLAIN"
"""The environ key of the header that asks."""

DECISION: Final = "x-s3kit-decision"

MOST: Final = 8
"""Headers of one answer; proxies give all headers of an answer some 4 KiB."""

_LONGEST: Final = 200


def decision_headers(call: Call) -> list[tuple[str, str]]:
    """What the caller may be told of the decisions about its request, in their order."""
    if call.header("x-s3kit-explain") != "true" or call.identity.kind != "header":
        return []
    caller = call.identity.caller
    lines = [_line(each) for each in call.asked or () if _may_know(caller, each)]
    # A question that is asked again, once the object is known, mostly has the same answer.
    lines = list(dict.fromkeys(lines))
    return [(DECISION, line) for line in lines[-MOST:]]


def _may_know(caller: Caller, asked: Asked) -> bool:
    account = caller.account
    if (
        account is None
        or caller.principal
        or caller.session is not None
        or caller.scope is not None
        or caller.policies is not None
        or caller.session_policy is not None
    ):
        return False
    if asked.bucket is None:
        # Whether a role is there, and whom it trusts, is its owner's to know.
        return not asked.action.startswith("sts:")
    return asked.bucket.account == account.id


def _line(asked: Asked) -> str:
    decision = asked.decision
    resource = "" if asked.bucket is None else asked.bucket.name
    if asked.key is not None:
        resource += "/" + aws_quote(asked.key)
    pieces = ["allow" if decision.allowed else "deny", f"action={asked.action}"]
    if resource:
        pieces.append(f'resource="{resource[:_LONGEST]}"')
    reason = decision.reason
    if decision.by == BY:
        # What the host's function says of somebody is for the host's logs.
        reason = reason.partition(": ")[0]
    pieces.append(f'reason="{_quoted(reason)}"')
    return "; ".join(pieces)


def _quoted(text: str) -> str:
    """A text fit for a quoted string of a header; it may quote what somebody wrote in a policy."""
    plain = "".join(
        each if each.isascii() and each.isprintable() else ascii(each)[1:-1]
        for each in text[:_LONGEST]
    )
    return plain[:_LONGEST].replace("\\", "\\\\").replace('"', '\\"')
