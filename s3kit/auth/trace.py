"""What Access looked at on its way to a decision, in words, where somebody asks.

The rules themselves are asked, and nothing is decided here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Final

from ..model import ALL_USERS
from ..model import AUTHENTICATED_USERS
from ..model import LOG_DELIVERY
from ..model import Acl
from ..model import Bucket
from ..model import Decision
from ..model import Grant
from ..model import Permission
from ..model import Question
from ..model import Rules
from ..model import Setting
from ..model import Step
from .policy import Policy

if TYPE_CHECKING:
    from .access import Access
    from .access import BucketRules

_GROUPS: Final = {
    ALL_USERS: "everybody",
    AUTHENTICATED_USERS: "every account",
    LOG_DELIVERY: "log delivery",
}


def in_words(grant: Grant) -> str:
    """A grant as people say it: ``READ to everybody``."""
    return f"{grant.permission} to {_GROUPS.get(grant.grantee, grant.grantee)}"


def explained(access: Access, question: Question) -> tuple[Decision, list[Step]]:
    """What Access decides, and each rule that it looked at, the one that decided last."""
    trace: list[Step] = []
    decision = access.decide(replace(question, trace=trace))
    says = "allow" if decision.allowed else "deny"
    return decision, [*trace, Step(decision.by, says, decision.reason)]


def note_owner(question: Question, bucket: Bucket) -> None:
    """Whose the bucket is, and what it lacks."""
    assert question.trace is not None
    account = question.caller.account_id
    whose = f"the bucket belongs to {bucket.account}"
    whose += ", the caller's account" if account == bucket.account else ", not to the caller"
    question.trace.append(Step("owner", "", whose))
    if not question.acls:
        question.trace.append(Step("ownership", "", "BucketOwnerEnforced: no ACL counts"))
    if not bucket.present & Setting.POLICY:
        question.trace.append(Step("bucket policy", "", "the bucket has none"))


def note_rules(question: Question, rules: BucketRules) -> None:
    """What the bucket's policy and its switches say."""
    assert question.trace is not None
    if rules.policy is not None:
        note_policy(question, "bucket policy", "", rules.policy)
    block = rules.block
    switches = {
        "BlockPublicAcls": block.block_public_acls,
        "IgnorePublicAcls": block.ignore_public_acls,
        "BlockPublicPolicy": block.block_public_policy,
        "RestrictPublicBuckets": block.restrict_public_buckets,
    }
    on = [name for name, value in switches.items() if value]
    text = f"on: {', '.join(on)}" if on else "no switch is on"
    if block.restrict_public_buckets and rules.policy is not None:
        text += f"; the bucket's policy is {'' if rules.policy.is_public else 'not '}public"
    question.trace.append(Step("public access block", "", text))


def note_policy(question: Question, rule: str, name: str, rules: Rules) -> None:
    """What each statement of a policy says; a policy of another kind says it as a whole."""
    assert question.trace is not None
    prefix = f"{name}, " if name else ""
    if not isinstance(rules, Policy):
        ruling = rules.decide(question)
        says = "" if ruling is None else "deny" if ruling.deny else "allow"
        text = "says nothing of this" if ruling is None else ruling.label
        question.trace.append(Step(rule, says, prefix + text))
        return
    for statement, obstacle in rules.examine(question):
        effect = "Deny" if statement.deny else "Allow"
        says = "" if obstacle else effect.lower()
        text = f"{prefix}{statement.label}, {effect}: {obstacle or 'it applies'}"
        question.trace.append(Step(rule, says, text))


def note_acl(trace: list[Step], noun: str, acl: Acl | None, permission: Permission) -> None:
    """What an ACL grants, and what it would take."""
    grants = [] if acl is None else [in_words(grant) for grant in acl.grants]
    shown = ", ".join(grants) or "nothing to anybody"
    text = f"it would take {permission} or FULL_CONTROL; the ACL grants {shown}"
    trace.append(Step(f"{noun} acl", "", text))
