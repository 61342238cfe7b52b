"""s3kit.auth.hook: what the host's own word may change, and what it may not."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from s3kit.auth.access import BucketAccess
from s3kit.auth.access import BucketRules
from s3kit.auth.hook import AuthorizationRequest
from s3kit.auth.hook import HookedAccess
from s3kit.auth.hook import Surroundings
from s3kit.auth.policy import Kind
from s3kit.auth.policy import Policy
from s3kit.auth.policy import parse_policy
from s3kit.auth.public_access import PublicAccessBlock
from s3kit.model import ANONYMOUS
from s3kit.model import Account
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Decision
from s3kit.model import Question
from s3kit.model import Setting
from s3kit.model import Step

ALICE = Caller(Account("alice"), "AKIAALICE")
BOB = Caller(Account("bob"), "AKIABOB", principal="user/robert")
BUCKET = Bucket(1, "alices", "alice", 0)


class Fixed:
    """An Access that has decided already."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, question: Question) -> Decision:
        return self.decision


def hooked(access: Any, answer: Any, *, cross_site: bool = False) -> HookedAccess:
    return HookedAccess(access, lambda request: answer, lambda _: Surroundings({}, "", cross_site))


ALLOWED = Decision(True, "an ACL", by_acl=True, provisional=True)
YES = Decision(True)
NO_GRANT = Decision(False, "nothing grants it")
DENIED = Decision(False, "a statement", by_policy=True)
FINAL = Decision(False, "somebody's word", final=True)

# Decided so far, the hook's answer: allowed in the end, and for which reason.
MATRIX = [
    (ALLOWED, None, True, "an ACL"),
    (ALLOWED, True, True, "an ACL"),
    (ALLOWED, Decision(True), True, "the authorize hook allows it"),
    (ALLOWED, Decision(True, "a friend"), True, "the authorize hook allows it: a friend"),
    (ALLOWED, False, False, "the authorize hook refuses it"),
    (ALLOWED, "no more today", False, "the authorize hook refuses it: no more today"),
    (ALLOWED, "", False, "the authorize hook refuses it"),
    (ALLOWED, Decision(False, "asleep"), False, "the authorize hook refuses it: asleep"),
    (NO_GRANT, None, False, "nothing grants it"),
    (NO_GRANT, True, False, "nothing grants it"),
    (NO_GRANT, Decision(True), True, "the authorize hook allows it"),
    (NO_GRANT, Decision(True, "a friend"), True, "the authorize hook allows it: a friend"),
    (NO_GRANT, False, False, "the authorize hook refuses it"),
    (NO_GRANT, "no", False, "the authorize hook refuses it: no"),
    (DENIED, None, False, "a statement"),
    (DENIED, True, False, "a statement"),
    (DENIED, Decision(True), False, "a statement"),
    (FINAL, True, False, "somebody's word"),
]


@pytest.mark.parametrize(("so_far", "answer", "allowed", "reason"), MATRIX)
def test_keep_deny_or_allow(so_far: Decision, answer: Any, allowed: bool, reason: str) -> None:
    found = hooked(Fixed(so_far), answer).decide(Question(BOB, "s3:GetObject", BUCKET, b"key"))
    assert (found.allowed, found.reason) == (allowed, reason)


def test_an_allowed_object_is_allowed_whoever_owns_it_and_a_kept_decision_stays_whole() -> None:
    question = Question(BOB, "s3:GetObject", BUCKET, b"key")
    assert hooked(Fixed(ALLOWED), None).decide(question) is ALLOWED
    assert hooked(Fixed(ALLOWED), True).decide(question) is ALLOWED
    # Its own words given back are no new ones.
    assert hooked(Fixed(ALLOWED), Decision(True, "an ACL", True, True)).decide(question) is ALLOWED
    assert hooked(Fixed(NO_GRANT), NO_GRANT).decide(question) is NO_GRANT
    turned = hooked(Fixed(ALLOWED), YES).decide(question)
    assert (turned.provisional, turned.by_acl) == (False, False)
    assert hooked(Fixed(ALLOWED), False).decide(question).final


@pytest.mark.parametrize("answer", [1, 0, (), object(), [], {"allowed": True}])
def test_an_answer_that_is_none_of_those_refuses_and_is_logged(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "s3kit.auth"):
        found = hooked(Fixed(ALLOWED), answer).decide(Question(ALICE, "s3:GetObject", BUCKET, b"k"))
    assert (found.allowed, found.final) == (False, True)
    assert f"authorize answered {type(answer).__name__}" in caplog.text


def test_a_hook_that_fails_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(request: AuthorizationRequest) -> bool:
        raise RuntimeError("the users' database is away")

    access = HookedAccess(Fixed(ALLOWED), fails, lambda _: Surroundings({}, "", False))
    with caplog.at_level(logging.ERROR, "s3kit.auth"):
        found = access.decide(Question(ALICE, "s3:GetObject", BUCKET, b"key"))
    assert (found.allowed, found.final) == (False, True)
    assert "the users' database is away" in caplog.text


@pytest.mark.parametrize(("caller", "allowed"), [(ANONYMOUS, False), (BOB, True)])
def test_another_sites_page_gains_nothing_by_a_visitors_cookie(
    caller: Caller, allowed: bool
) -> None:
    question = Question(caller, "s3:PutObject", BUCKET, b"key")
    assert hooked(Fixed(NO_GRANT), YES, cross_site=True).decide(question).allowed is allowed
    # What everybody may do anyway stays as it is.
    assert hooked(Fixed(ALLOWED), YES, cross_site=True).decide(question).allowed


def test_what_the_hook_is_told() -> None:
    seen: list[AuthorizationRequest] = []
    environ = {
        "HTTP_COOKIE": "session=1",
        "wsgi.input": io.BytesIO(b"an object's body"),
        "s3kit.request": object(),
    }

    def look(request: AuthorizationRequest) -> None:
        seen.append(request)

    access = HookedAccess(Fixed(NO_GRANT), look, lambda _: Surroundings(environ, "header", False))
    conditions = {"aws:sourceip": "10.0.0.1"}
    access.decide(Question(BOB, "s3:GetObject", BUCKET, b"a/\xff", "v1", conditions=conditions))
    access.decide(Question(ALICE, "s3:CreateBucket", bucket_name="new"))
    first, second = seen
    assert (first.account, first.user, first.access_key) == ("bob", "robert", "AKIABOB")
    assert (first.action, first.bucket, first.owner) == ("s3:GetObject", "alices", "alice")
    assert (first.key, first.version_id, first.kind) == ("a/\udcff", "v1", "header")
    assert first.decision is NO_GRANT
    assert first.conditions["aws:sourceip"] == "10.0.0.1"
    assert (second.bucket, second.owner, second.key, second.user) == ("new", "", None, "")
    # A copy, without the body, that a framework may write into.
    assert first.environ["HTTP_COOKIE"] == "session=1"
    assert first.environ["wsgi.input"].read() == b""
    assert environ["wsgi.input"].tell() == 0  # type: ignore[attr-defined]
    assert "s3kit.request" not in first.environ
    assert "session=1" not in repr(first)


def policy(effect: str, kind: Kind = "bucket") -> Policy:
    statement = {"Effect": effect, "Action": "s3:*", "Resource": "arn:aws:s3:::alices/*"}
    if kind == "bucket":
        statement["Principal"] = "*"
    return parse_policy(json.dumps({"Statement": statement}).encode(), kind=kind)


RULED = Bucket(1, "alices", "alice", 0, present=Setting.POLICY)
DENY = BucketRules(policy("Deny"))
RESTRICTED = BucketRules(policy("Allow"), PublicAccessBlock(restrict_public_buckets=True))
NOTHING = parse_policy(
    b'{"Statement": {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}}', kind="user"
)
USER_DENY = policy("Deny", "user")


@pytest.mark.parametrize(
    ("caller", "rules"),
    [
        (BOB, DENY),
        (ANONYMOUS, DENY),
        (ALICE, DENY),
        (BOB, RESTRICTED),
        (ANONYMOUS, RESTRICTED),
        (Caller(Account("alice"), "K", policies=(NOTHING,)), BucketRules()),
        (Caller(Account("bob"), "K", policies=(NOTHING,)), BucketRules()),
        (Caller(Account("alice"), "K", policies=(USER_DENY,)), BucketRules()),
        (Caller(Account("alice"), "K", session_policy=NOTHING), BucketRules()),
        (Caller(Account("bob"), "K", session_policy=USER_DENY), BucketRules()),
    ],
)
def test_what_somebody_has_forbidden_is_not_even_asked_about(
    caller: Caller, rules: BucketRules
) -> None:
    def never(request: AuthorizationRequest) -> bool:
        raise AssertionError("asked")

    access = HookedAccess(
        BucketAccess(lambda bucket: rules), never, lambda _: Surroundings({}, "", False)
    )
    found = access.decide(Question(caller, "s3:PutObject", RULED, b"key"))
    assert not found.allowed
    assert found.reason != "the authorize hook failed"


@pytest.mark.parametrize("action", ["s3:ListAllMyBuckets", "s3:CreateBucket", "s3:GetObject"])
def test_an_anonymous_caller_has_no_account_that_the_hook_could_lend(action: str) -> None:
    assert not hooked(BucketAccess(), YES).decide(Question(ANONYMOUS, action)).allowed


@pytest.mark.parametrize(
    ("answer", "says", "text"),
    [
        (None, "", "the authorize hook leaves it as it is"),
        (YES, "allow", "the authorize hook allows it"),
        (True, "", "the authorize hook leaves it as it is"),
        ("no", "deny", "the authorize hook refuses it: no"),
        (3, "deny", "the authorize hook failed"),
    ],
)
def test_whoever_asks_why_is_told_of_the_hook(answer: Any, says: str, text: str) -> None:
    question = Question(BOB, "s3:GetObject", BUCKET, b"key", trace=[])
    found = hooked(Fixed(NO_GRANT), answer).decide(question)
    assert question.trace == [Step("authorize hook", says, text)]
    assert found.by == ("authorize hook" if says else "")
