"""Who may become a role: its trust policy on one side, the caller's own policies on the other.

Source: IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic".
"""

from __future__ import annotations

from typing import Final

from ..model import Decision
from ..model import Question
from ..model import Role
from .policy import FEDERATED
from .policy import Statement

TRUST: Final = "trust policy"
"""What such a decision is made by, see :class:`~s3kit.model.Decision`."""

_TRUST: Final = Decision(
    False, "the role's trust policy does not allow it", by_policy=True, by=TRUST
)
_SESSION: Final = Decision(
    False, "the session's policy does not allow it", by_policy=True, by="session policy"
)
_ALL: Final = Decision(True, "the caller may do all that its account may", by="owner")
_OWN: Final = Decision(False, "no policy of the caller allows it", by="user policy")


def may_assume(question: Question, role: Role) -> Decision:
    """Whether the caller may do this to the role: assume it, or tag its own session.

    The trust policy must allow it; and so must the policies of a caller that has any, unless the
    trust policy names just this caller, of the role's own account.
    """
    ruling = role.trust.decide(question)
    if ruling is None:
        return _TRUST
    if ruling.deny:
        return Decision(False, f"the role's trust policy, {ruling.label}", by_policy=True, by=TRUST)
    allowed = Decision(True, f"the role's trust policy, {ruling.label}", by_policy=True, by=TRUST)
    caller = question.caller
    if caller.principal.startswith(FEDERATED):
        return allowed
    if caller.session_policy is not None:
        narrowed = caller.session_policy.decide(question)
        if narrowed is None or narrowed.deny:
            return _SESSION
    own = by_own_policies(question)
    if own.allowed or own.by_policy:
        return allowed if own.allowed else own
    named = (
        caller.account_id == role.account
        and isinstance(ruling, Statement)
        and ruling.principals is not None
        and ruling.principals.names_member(caller)
    )
    return allowed if named else own


def by_own_policies(question: Question) -> Decision:
    """Whether the caller's own policies let it do this; who has none may."""
    policies = question.caller.policies
    if policies is None:
        return _ALL
    found = _OWN
    for policy in policies:
        own = policy.decide(question)
        if own is not None:
            text = f"a policy of the caller, {own.label}"
            found = Decision(not own.deny, text, by_policy=True, by="user policy")
            if own.deny:
                break
    return found
