"""s3kit.auth.policy: the manual's cases, a second evaluator, and what no policy may do."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.auth.access import BucketAccess
from s3kit.auth.access import BucketRules
from s3kit.auth.actions import BUCKET_ACTIONS
from s3kit.auth.actions import OBJECT_ACTIONS
from s3kit.auth.conditions import OPERATORS
from s3kit.auth.patterns import Pattern
from s3kit.auth.patterns import normal_key
from s3kit.auth.policy import FEDERATED
from s3kit.auth.policy import MOST_BYTES
from s3kit.auth.policy import Policy
from s3kit.auth.policy import parse_policy
from s3kit.auth.public_access import PublicAccessBlock
from s3kit.errors import MalformedPolicy
from s3kit.model import ANONYMOUS
from s3kit.model import Account
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import ObjectVersion
from s3kit.model import Question
from s3kit.model import Setting
from tests.auth import naive_policy
from tests.auth.policy_cases import ALICE
from tests.auth.policy_cases import BOB
from tests.auth.policy_cases import BUCKET
from tests.auth.policy_cases import CASES
from tests.auth.policy_cases import GET
from tests.auth.policy_cases import KEY
from tests.auth.policy_cases import LIST
from tests.auth.policy_cases import NAME
from tests.auth.policy_cases import PUT
from tests.auth.policy_cases import ROOT
from tests.auth.policy_cases import allow
from tests.auth.policy_cases import deny
from tests.auth.policy_cases import when
from tests.auth.policy_cases import without

USER = f"arn:aws:iam::{ALICE}:user/team/alice"
WHERE = Bucket(1, NAME, "the-owner", 0)


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> bytes:
    return json.dumps({"Version": version, "Statement": list(statements)}).encode()


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    return parse_policy(document(*statements, version=version))


def caller(number: str, principal: str = "") -> Caller:
    if not number:
        return ANONYMOUS
    return Caller(Account(f"id-of-{number}", number=number), "AKIA", principal=principal)


def question(
    who: Caller, action: str, resource: str, context: Mapping[str, Any] | None = None
) -> Question:
    name, slash, key = resource.partition("/")
    conditions = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (context or {}).items()
    }
    where = replace(WHERE, name=name)
    return Question(who, action, where, key.encode() if slash else None, conditions=conditions)


def effect(asked: Policy, about: Question) -> str:
    ruling = asked.decide(about)
    return "" if ruling is None else "Deny" if ruling.deny else "Allow"


# -- the manual


@pytest.mark.parametrize("name", CASES)
def test_the_manuals_examples(name: str) -> None:
    statements, requests = CASES[name]
    parsed = parse_policy(document(*statements), bucket=NAME)
    for who, action, resource, context, expected in requests:
        about = question(caller(who), action, resource, context)
        assert effect(parsed, about) == expected, (who, action, resource, context)


@pytest.mark.parametrize("name", CASES)
def test_the_second_evaluator_agrees_with_the_manual(name: str) -> None:
    statements, requests = CASES[name]
    for who, action, resource, context, expected in requests:
        request = {"account": who, "action": action, "resource": resource, "context": context}
        assert naive_policy.decide({"Statement": statements}, request) == expected


# -- two evaluators, one answer

_TEXTS = st.text("ab*?/", max_size=5)
_VALUES = st.text("ab/", max_size=5)
_NUMBERS = st.integers(-3, 3).map(str)
_DATES = st.sampled_from(["2020-01-01", "2020-01-01T12:00:00Z", "2021-06-30T00:00:00+02:00"])
_ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.1.1", "192.0.2.7", "2001:db8::1"])
_NETWORKS = st.sampled_from(["10.0.0.0/24", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
_ARNS = st.sampled_from(["arn:aws:iam::1:user/a", "arn:aws:iam::2:user/a", "arn:aws:iam::1:root"])
_ARN_PATTERNS = st.sampled_from(["arn:aws:iam::1:*", "arn:*:iam::?:user/a", "arn:aws:iam::*:r?ot"])
_TRUTHS = st.sampled_from(["true", "false"])
_VARIABLES = st.sampled_from(
    ["${aws:username}", "a${aws:username}*", "${aws:username, 'ab'}/", "${*}b", "?${?}", "${$}a"]
)
_WILD = _TEXTS | _VARIABLES
_FLAT = _VALUES | _VARIABLES
_BINARY = _VALUES.map(lambda text: base64.b64encode(text.encode()).decode())
KINDS: dict[str, tuple[str, st.SearchStrategy[str], st.SearchStrategy[str]]] = {
    "StringEquals": ("s3:prefix", _FLAT, _VALUES),
    "StringEqualsIgnoreCase": ("s3:prefix", _VALUES.map(str.upper), _VALUES),
    "StringLike": ("s3:prefix", _WILD, _VALUES),
    "NumericEquals": ("s3:max-keys", _NUMBERS, _NUMBERS),
    "DateEquals": ("aws:CurrentTime", _DATES, _DATES),
    "IpAddress": ("aws:SourceIp", _NETWORKS, _ADDRESSES),
    "ArnEquals": ("aws:PrincipalArn", _ARN_PATTERNS, _ARNS),
    "ArnLike": ("aws:PrincipalArn", _ARN_PATTERNS, _ARNS),
    "Bool": ("aws:SecureTransport", _TRUTHS, _TRUTHS),
    "BinaryEquals": ("aws:Referer", _BINARY, _VALUES),
    "Null": ("aws:UserAgent", _TRUTHS, _VALUES),
}
for _name in ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"):
    KINDS[re.sub("(String|Arn)", r"\1Not", _name)] = KINDS[_name]
KINDS["NotIpAddress"] = KINDS["IpAddress"]
for _name in ("NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"):
    KINDS[f"Numeric{_name}"] = KINDS["NumericEquals"]
    KINDS[f"Date{_name}"] = KINDS["DateEquals"]
MANY = ("aws:TagKeys", _FLAT, _VALUES)
"""What ForAllValues and ForAnyValue are asked about."""


def test_the_second_evaluator_knows_every_operator() -> None:
    assert KINDS.keys() == OPERATORS.keys() | {"Null"}


ANN = f"arn:aws:iam::{ALICE}:user/ann"
WHO: list[Any] = ["*", {"AWS": "*"}, {"AWS": [ROOT]}, {"AWS": [ROOT, BOB]}, {"AWS": ANN}]
WHO += [{"AWS": [ANN, BOB]}, {"AWS": [ROOT, ANN]}]


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Deny"]))}
    who = draw(st.sampled_from(WHO))
    member = (
        "Principal"
        if made["Effect"] == "Allow"
        else draw(st.sampled_from(["Principal", "NotPrincipal"]))
    )
    made[member] = who
    words = st.sampled_from(["s3:GetObject", "s3:Get*", "s3:*", "S3:putobject", "s3:?etObject"])
    made[draw(st.sampled_from(["Action", "NotAction"]))] = draw(
        st.lists(words, min_size=1, max_size=2)
    )
    paths = st.text("ab*?", min_size=1, max_size=4).map(lambda text: f"{BUCKET}/{text}")
    named = paths | _VARIABLES.map(lambda text: f"{BUCKET}/{text}")
    member = draw(st.sampled_from(["Resource", "NotResource"]))
    # What an unknown variable excepts is another test's.
    kind = named if member == "Resource" else paths
    made[member] = draw(st.lists(kind, min_size=1, max_size=2))
    for operator in draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=2, unique=True)):
        key, wanted, _ = KINDS[operator]
        most = 1 if operator == "Null" else 2
        if operator != "Null":
            quantifier = draw(st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"]))
            if quantifier and operator in ("StringEquals", "StringLike", "StringNotLike"):
                key, wanted, _ = MANY
            operator = quantifier + operator + draw(st.sampled_from(["", "", "IfExists"]))
        values = draw(st.lists(wanted, min_size=1, max_size=most))
        made.setdefault("Condition", {})[operator] = {key: values}
    return made


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for key, _, found in (*KINDS.values(), MANY, ("aws:username", _VALUES, _VALUES)):
        if key.lower() not in context and draw(st.booleans()):
            value: Any = draw(found)
            if key == "aws:TagKeys":
                value = draw(st.lists(found, min_size=1, max_size=3))
            context[key.lower()] = value
    account = draw(st.sampled_from(["", ALICE, ALICE, BOB, "777788889999"]))
    return {
        "account": account,
        "user": draw(st.sampled_from(["", "ann", "bob"])) if account else "",
        "action": draw(st.sampled_from([GET, PUT, "s3:GetObjectAcl"])),
        "resource": f"{NAME}/" + draw(st.text("ab", max_size=4)),
        "context": context,
    }


def asked(request: dict[str, Any]) -> Question:
    user = request.get("user", "")
    who = caller(request["account"], f"user/{user}" if user else "")
    return question(who, request["action"], request["resource"], request["context"])


@pytest.mark.parametrize("quantifier", ["", "ForAllValues:", "ForAnyValue:"])
@pytest.mark.parametrize("operator", ["StringEquals", "StringNotEquals"])
def test_two_evaluators_agree_on_sets_of_values(operator: str, quantifier: str) -> None:
    """Every case of no value, one and two; what the manual's table of them says is in it."""
    values: list[Any] = [None, ["a"], ["b"], ["a", "b"], ["b", "c"]]
    for end, wanted, found in product(["", "IfExists"], [["a"], ["a", "b"], ["c"]], values):
        made = allow(**when(f"{quantifier}{operator}{end}", "aws:TagKeys", *wanted))
        context = {} if found is None else {"aws:tagkeys": found}
        request = {"account": ALICE, "action": GET, "resource": KEY, "context": context}
        naive = naive_policy.decide({"Statement": [made]}, request)
        assert effect(policy(made), asked(request)) == naive, (wanted, found)


def test_an_absent_key_and_several_values_as_in_the_manual() -> None:
    for name, expected in (
        ("StringNotEquals", "Allow"),
        ("ForAllValues:StringNotEquals", "Allow"),
        ("ForAnyValue:StringNotEquals", ""),
        ("ForAnyValue:StringEquals", ""),
        ("StringEquals", ""),
    ):
        made = policy(allow(**when(name, "aws:TagKeys", "a")))
        assert effect(made, question(ANONYMOUS, GET, KEY)) == expected, name
    # None of the values may be the one that is not to be.
    made = policy(allow(**when("StringNotEquals", "aws:TagKeys", "a")))
    assert effect(made, question(ANONYMOUS, GET, KEY, {"aws:tagkeys": ["b", "a"]})) == ""


@settings(max_examples=120)
@given(st.lists(statements(), min_size=1, max_size=4), requests())
def test_two_evaluators_agree(made: list[dict[str, Any]], request: dict[str, Any]) -> None:
    naive = naive_policy.decide({"Statement": made}, request)
    assert effect(policy(*made), asked(request)) == naive


@settings(max_examples=60)
@given(st.lists(statements(), min_size=1, max_size=3), statements(), requests())
def test_a_deny_wins_and_an_allow_takes_nothing(
    made: list[dict[str, Any]], more: dict[str, Any], request: dict[str, Any]
) -> None:
    """A076."""
    about = asked(request)
    before, after = effect(policy(*made), about), effect(policy(*made, more), about)
    if more["Effect"] == "Allow":
        assert after == (before or effect(policy(more), about))
    else:
        assert after == (effect(policy(more), about) or before)
    whole = deny(Action="*", Resource=[BUCKET, f"{BUCKET}/*"])
    assert effect(policy(*made, whole), about) == "Deny"


def _without_principal(statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if "Principal" not in name}


def users(*made: dict[str, Any]) -> Policy:
    return parse_policy(document(*map(_without_principal, made)), kind="user")


@settings(max_examples=50)
@given(
    st.lists(statements(), min_size=1, max_size=2),
    st.lists(statements(), min_size=1, max_size=2),
    st.lists(statements(), min_size=1, max_size=2),
    requests(),
)
def test_a_session_and_a_users_policy_never_widen_anything(
    bucket: list[dict[str, Any]],
    session: list[dict[str, Any]],
    own: list[dict[str, Any]],
    request: dict[str, Any],
) -> None:
    access = BucketAccess(lambda _: BucketRules(policy(*bucket)))
    about = asked(request)
    for account in (about.caller.account, Account("the-owner")):
        where = replace(WHERE, present=Setting.POLICY)
        who = Caller(account, "AKIA", principal="user/x" if account else "")
        plain = access.decide(replace(about, bucket=where, caller=who)).allowed
        narrow = replace(who, session_policy=users(*session))
        assert plain or not access.decide(replace(about, bucket=where, caller=narrow)).allowed
        user = replace(who, policies=(users(*own),))
        assert plain or not access.decide(replace(about, bucket=where, caller=user)).allowed
        both = replace(user, session_policy=users(*session))
        if access.decide(replace(about, bucket=where, caller=both)).allowed:
            assert access.decide(replace(about, bucket=where, caller=user)).allowed
            assert effect(users(*session), about) == "Allow"


_SOME = st.lists(statements(), min_size=1, max_size=2)


@settings(max_examples=120)
@given(_SOME, st.none() | _SOME, st.none() | _SOME, requests(), st.booleans(), st.booleans())
def test_both_decide_alike_over_all_policies(
    bucket: list[dict[str, Any]],
    own: list[dict[str, Any]] | None,
    session: list[dict[str, Any]] | None,
    request: dict[str, Any],
    is_own: bool,
    restricted: bool,
) -> None:
    """The whole order of evaluation: owner, other account, user, session, the fourth switch."""
    about = asked(request)
    if not request["user"]:
        own = None
    if not request["account"]:
        session = None
    owner = request["account"] if is_own and request["account"] else "555566667777"
    plain = [[_without_principal(each) for each in made or ()] for made in (own, session)]
    who = replace(
        about.caller,
        policies=None if own is None else (users(*own),),
        session_policy=None if session is None else users(*session),
    )
    block = PublicAccessBlock(restrict_public_buckets=restricted)
    access = BucketAccess(lambda _: BucketRules(policy(*bucket), block))
    assert about.bucket is not None
    where = replace(about.bucket, account=f"id-of-{owner}", present=Setting.POLICY)
    there = ObjectVersion(1, about.key or b"", 1, "etag", 0, where.account)
    full = replace(about, bucket=where, caller=who, load=lambda: there, settle=True)
    assert access.decide(full).allowed is naive_policy.may(
        request,
        owner,
        bucket,
        None if own is None else plain[0],
        None if session is None else plain[1],
        restricted=restricted,
    )


# -- patterns


@settings(max_examples=300)
@given(
    st.text("ab*?", max_size=12) | st.lists(st.sampled_from(("a", "b", "ab", "*"))).map("".join),
    st.text("ab", max_size=20),
)
@example("ab*ba", "aba")
@example("a*ba*a", "aaba")
def test_wildcards_match_as_in_the_manual(pattern: str, text: str) -> None:
    fits = naive_policy.like(pattern, text)
    asked = Pattern(pattern)
    assert asked.matches(text, lambda _: None) is fits
    # What is asked instead where there are many patterns.
    assert asked.quick is not None
    needle, matches = asked.quick
    assert (needle in text and matches(text)) is fits


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 5000 + "b", "*" * 9000 + "b", "?a" * 300 + "*b", "*?a" * 300 + "*b", "a?" * 99],
)
def test_a079_no_pattern_holds_a_request_up(pattern: str) -> None:
    asked = Pattern(pattern)
    begun = time.thread_time()
    assert asked.matches("a" * 8192, lambda _: None) is False
    assert time.thread_time() - begun < 0.5


def test_a079_no_variables_value_holds_a_request_up() -> None:
    """A thousand times a header of 8 kB took two seconds to join."""
    for made in (
        policy(allow(Resource=f"{BUCKET}/" + "${aws:UserAgent}" * 1100)),
        policy(allow(**when("StringEqualsIgnoreCase", "aws:Referer", "${aws:UserAgent}" * 1100))),
    ):
        about = question(ANONYMOUS, GET, KEY, {"aws:useragent": "a" * 8192, "aws:referer": "a"})
        begun = time.thread_time()
        assert effect(made, about) == ""
        assert time.thread_time() - begun < 0.5


def test_variables_stand_for_what_the_request_says_and_never_for_wildcards() -> None:
    home = policy(allow(Resource=f"{BUCKET}/home/${{aws:username}}/*"))
    for name, key, expected in (
        ("alice", "home/alice/x", "Allow"),
        ("alice", "home/alicia/x", ""),
        ("*", "home/bob/x", ""),
        ("*", "home/*/x", "Allow"),
        ("?", "home/b/x", ""),
        ("", "home//x", "Allow"),
    ):
        about = question(caller(ALICE), GET, f"{NAME}/{key}", {"aws:username": name})
        assert effect(home, about) == expected, (name, key)
    assert effect(home, question(caller(ALICE), GET, f"{NAME}/home//x")) == ""
    # The older language has none.
    older = policy(allow(Resource=f"{BUCKET}/${{aws:username}}"), version="2008-10-17")
    about = question(caller(ALICE), GET, f"{NAME}/alice", {"aws:username": "alice"})
    assert effect(older, about) == ""
    assert effect(older, question(caller(ALICE), GET, f"{NAME}/${{aws:username}}")) == "Allow"


def test_a_variables_default_and_the_three_characters() -> None:
    made = policy(
        allow(Resource=f"{BUCKET}/${{aws:PrincipalTag/team, 'none'}}/${{*}}${{?}}${{$}}*"),
        allow(Action=PUT, **when("StringEquals", "s3:prefix", "${aws:username}/${*}")),
    )
    assert effect(made, question(caller(ALICE), GET, f"{NAME}/none/*?$x")) == "Allow"
    assert effect(made, question(caller(ALICE), GET, f"{NAME}/none/ab$x")) == ""
    context = {"aws:principaltag/team": "red", "aws:username": "ann", "s3:prefix": "ann/*"}
    assert effect(made, question(caller(ALICE), GET, f"{NAME}/red/*?$", context)) == "Allow"
    assert effect(made, question(caller(ALICE), PUT, KEY, context)) == "Allow"
    assert effect(made, question(caller(ALICE), PUT, KEY, {**context, "s3:prefix": "ann/b"})) == ""


def test_an_exception_that_nobody_knows_neither_opens_nor_spares() -> None:
    resource = f"{BUCKET}/${{aws:username}}/*"
    opens = policy(without("Resource", allow(NotResource=resource)))
    shuts = policy(without("Resource", deny(NotResource=resource)))
    about = question(ANONYMOUS, GET, KEY)
    assert (effect(opens, about), effect(shuts, about)) == ("", "Deny")


# -- principals


@pytest.mark.parametrize(
    ("principal", "alice", "user", "bob"),
    [
        ("*", True, True, True),
        ({"AWS": "*"}, True, True, True),
        ({"AWS": ALICE}, True, True, False),
        ({"AWS": ROOT}, True, True, False),
        ({"AWS": f"arn:aws:iam::id-of-{ALICE}:root"}, True, True, False),
        ({"AWS": USER}, False, True, False),
        ({"AWS": f"arn:aws:iam::{BOB}:user/team/alice"}, False, False, False),
        ({"AWS": [BOB, USER]}, False, True, True),
        ({"AWS": f"arn:aws:iam:::user/id-of-{ALICE}"}, True, False, False),
        ({"CanonicalUser": f"id-of-{ALICE}"}, True, True, False),
        ({"Service": "logging.s3.amazonaws.com"}, False, False, False),
        ({"Federated": "accounts.example.com"}, False, False, False),
    ],
)
def test_whom_a_principal_names(principal: Any, alice: bool, user: bool, bob: bool) -> None:
    made = policy(allow(Principal=principal))
    for who, expected in (
        (caller(ALICE), alice),
        (caller(ALICE, "user/team/alice"), user),
        (caller(BOB), bob),
        (ANONYMOUS, principal in ("*", {"AWS": "*"})),
    ):
        assert (effect(made, question(who, GET, KEY)) == "Allow") is expected
    service = Caller(service="logging.s3.amazonaws.com")
    expected = "Service" in principal or principal in ("*", {"AWS": "*"})
    assert (effect(made, question(service, GET, KEY)) == "Allow") is expected


@pytest.mark.parametrize(
    ("excepted", "account", "user", "bob"),
    [
        ({"AWS": ROOT}, "", "Deny", "Deny"),
        ({"AWS": USER}, "Deny", "Deny", "Deny"),
        ({"AWS": [ROOT, USER]}, "", "", "Deny"),
        ({"AWS": [ALICE, f"arn:aws:iam::{BOB}:root"]}, "", "Deny", ""),
        ({"CanonicalUser": f"id-of-{ALICE}"}, "", "Deny", "Deny"),
        ("*", "", "", ""),
    ],
)
def test_whom_a_not_principal_excepts(excepted: Any, account: str, user: str, bob: str) -> None:
    """A user is excepted only where its account is too."""
    made = policy(without("Principal", deny(NotPrincipal=excepted)))
    assert effect(made, question(caller(ALICE), GET, KEY)) == account
    assert effect(made, question(caller(ALICE, "user/team/alice"), GET, KEY)) == user
    assert effect(made, question(caller(BOB), GET, KEY)) == bob


def test_a_role_is_named_by_its_sessions() -> None:
    made = policy(allow(Principal={"AWS": f"arn:aws:iam::{ALICE}:role/app"}))
    session = caller(ALICE, "assumed-role/app/i-1")
    assert effect(made, question(session, GET, KEY)) == "Allow"
    assert effect(made, question(caller(ALICE, "assumed-role/other/i-1"), GET, KEY)) == ""


def test_a_session_is_named_by_its_own_arn() -> None:
    made = policy(allow(Principal={"AWS": f"arn:aws:sts::{ALICE}:assumed-role/app/i-1"}))
    assert effect(made, question(caller(ALICE, "assumed-role/app/i-1"), GET, KEY)) == "Allow"
    for other in ("assumed-role/app/i-2", "assumed-role/app", "user/app", ""):
        assert effect(made, question(caller(ALICE, other), GET, KEY)) == ""


# -- trust policies, and what users' policies say of roles

ROLE = f"arn:aws:iam::{ALICE}:role/app"
ISSUER = "login.example.com/realms/staff"


def trusting(**statement: Any) -> Any:
    entry = {"Effect": "Allow", "Action": "sts:AssumeRole*", **statement}
    return parse_policy(json.dumps({"Statement": entry}).encode(), kind="trust")


def of_role(who: Caller, action: str = "sts:AssumeRole", **conditions: str) -> Question:
    return Question(who, action, conditions=conditions, resource=ROLE)


@pytest.mark.parametrize(
    "federated", [f"https://{ISSUER}", ISSUER, f"arn:aws:iam::{ALICE}:oidc-provider/{ISSUER}"]
)
def test_a_provider_is_named_by_its_url_or_arn(federated: str) -> None:
    vouched = Caller(principal=FEDERATED + ISSUER)
    other = Caller(principal=FEDERATED + "login.example.com")
    made = trusting(Principal={"Federated": federated})
    assert made.decide(of_role(vouched)) is not None
    assert made.decide(of_role(other)) is None
    assert made.decide(of_role(caller(ALICE))) is None
    # Everybody is nobody whom only a provider knows; but a refusal is for all.
    for everyone in ("*", {"AWS": "*"}):
        assert trusting(Principal=everyone).decide(of_role(vouched)) is None
        refused = trusting(Effect="Deny", Principal=everyone).decide(of_role(vouched))
        assert refused is not None
        assert refused.deny
    for key in (f"https://{ISSUER}:sub", f"{ISSUER}:sub"):
        when = {"StringEquals": {key: "ann"}}
        made = trusting(Principal={"Federated": federated}, Condition=when)
        assert made.decide(of_role(vouched, **{f"{ISSUER}:sub": "ann"})) is not None
        assert made.decide(of_role(vouched, **{f"{ISSUER}:sub": "bob"})) is None
        assert made.decide(of_role(vouched)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "s3:GetObject"},
        {"Action": "*"},
        {"Action": "sts:GetCallerIdentity"},
        {"Resource": "*"},
        {"NotResource": "*"},
        {"Principal": {"AWS": "nonsense:"}},
        {"Principal": {"Federated": "*"}},
        {"Condition": {"StringEquals": {"sts:Nothing": "x"}}},
    ],
)
def test_a_trust_policy_is_of_its_own_form(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicy, match="Statement 1"):
        parse_policy(
            json.dumps(
                {
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": "*",
                        "Action": "sts:AssumeRole",
                        **change,
                    }
                }
            ).encode(),
            kind="trust",
            known=lambda name: False,
        )
    with pytest.raises(MalformedPolicy):
        parse_policy(
            b'{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole"}}', kind="trust"
        )


@pytest.mark.parametrize(
    ("resource", "assumes", "reads"),
    [
        ("*", True, True),
        (ROLE, True, False),
        (f"arn:aws:iam::{ALICE}:role/*", True, False),
        (f"arn:aws:iam::{ALICE}:role/other", False, False),
        # Of buckets: however wide, no role is one.
        ("arn:aws:s3:::*", False, True),
        ([ROLE, "arn:aws:s3:::*"], True, True),
    ],
)
def test_a_users_policy_speaks_of_roles_by_their_arns(
    resource: Any, assumes: bool, reads: bool
) -> None:
    entry = {"Effect": "Allow", "Action": "*", "Resource": resource}
    user = caller(ALICE, "user/ann")

    def made(entry: dict[str, Any]) -> Any:
        return parse_policy(json.dumps({"Statement": entry}).encode(), kind="user")

    assert (made(entry).decide(of_role(user)) is not None) is assumes
    assert (made(entry).decide(question(user, GET, KEY)) is not None) is reads
    entry["NotResource"] = entry.pop("Resource")
    assert (made(entry).decide(of_role(user)) is not None) is not assumes
    assert (made(entry).decide(question(user, GET, KEY)) is not None) is not reads


# -- what is refused

FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("Effect", {"Effect": "allow"}, "Invalid effect"),
    ("Effect", {"Effect": None}, "Missing required field Effect"),
    ("Principal", {"Principal": {}}, "Invalid principal in policy"),
    ("Principal", {"Principal": "everybody"}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"AWS": "nobody"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"AWS": "1234"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"AWS": f"arn:aws:iam::{ALICE}:user/*"}}, "Invalid principal"),
    ("Principal", {"Principal": {"AWS": "arn:aws:s3:::bucket"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"CanonicalUser": "nobody"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"Service": "*"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"Everyone": "*"}}, "Invalid principal in policy"),
    ("Principal", {"Principal": {"AWS": []}}, "cannot be empty"),
    ("NotPrincipal", {"NotPrincipal": "*"}, "both Principal and NotPrincipal"),
    ("Action", {"Action": "s3:FlyObject"}, "Policy has invalid action"),
    ("Action", {"Action": "s3:Fly*"}, "Policy has invalid action"),
    ("Action", {"Action": "ec2:RunInstances"}, "Policy has invalid action"),
    ("Action", {"Action": "GetObject"}, "Policy has invalid action"),
    ("Action", {"Action": []}, "cannot be empty"),
    ("Action", {"Action": 7}, "must be a text"),
    ("NotAction", {"NotAction": "s3:*"}, "both Action and NotAction"),
    ("Resource", {"Resource": "*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": "arn:aws:s3:::"}, "Policy has invalid resource"),
    ("Resource", {"Resource": f"{NAME}/*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": "arn:aws:s3:::another/*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": f"{BUCKET}-2/*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": [f"{BUCKET}/*", "arn:aws:s3:::another"]}, "invalid resource"),
    ("Resource", {"Resource": "arn:aws:s3:::${aws:username}/*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": f"{BUCKET}${{aws:username}}/*"}, "Policy has invalid resource"),
    ("Resource", {"Resource": f"{BUCKET}/${{aws:username"}, "Policy has invalid resource"),
    ("Resource", {"Resource": f"{BUCKET}/${{}}"}, "Policy has invalid resource"),
    ("Resource", {"Resource": "arn:aws:s3:us-east-1::b"}, "Policy has invalid resource"),
    ("Condition", when("StringEqual", "s3:prefix", "a"), "Invalid Condition type"),
    ("Condition", when("ForSome:StringLike", "s3:prefix", "a"), "Invalid Condition type"),
    ("Condition", when("NullIfExists", "s3:prefix", "true"), "Invalid Condition type"),
    ("Condition", when("StringLike", "s3:colour", "a"), "invalid condition key"),
    ("Condition", when("StringLike", "aws:SourcIp", "a"), "invalid condition key"),
    ("Condition", when("StringLike", "s3:ExistingObjectTag/", "a"), "invalid condition key"),
    ("Condition", when("IpAddress", "aws:SourceIp", "10.0.0.0/33"), "is no address"),
    ("Condition", when("NumericLessThan", "s3:max-keys", "many"), "is no number"),
    ("Condition", when("NumericLessThan", "s3:max-keys", "9" * 50), "is no number"),
    ("Condition", when("DateLessThan", "aws:CurrentTime", "soon"), "is no date"),
    ("Condition", when("Bool", "aws:SecureTransport", "yes"), "neither true nor false"),
    ("Condition", when("BinaryEquals", "s3:prefix", "!"), "not base64"),
    ("Condition", when("ArnLike", "aws:SourceArn", "arn:aws"), "is no ARN"),
    ("Condition", when("Null", "s3:prefix", "maybe"), "Null takes"),
    ("Condition", when("StringLike", "s3:prefix"), "must be a text or a list"),
    ("Condition", {"Condition": {"StringLike": {"s3:prefix": {"a": 1}}}}, "must be a text"),
    ("Condition", {"Condition": {"StringLike": {}}}, "must have keys"),
    ("Condition", {"Condition": []}, "must be an object"),
    ("Sid", {"Sid": 7}, "Sid must be a text"),
    ("Sid", {"Sid": "first"}, "must be unique"),
    ("Colour", {"Colour": "red"}, "Unknown field Colour"),
]


@pytest.mark.parametrize(("member", "wrong", "told"), FAULTS)
def test_a079_a_wrong_statement_is_refused_with_where_it_is(
    member: str, wrong: dict[str, Any], told: str
) -> None:
    second = {name: value for name, value in (allow() | wrong).items() if value is not None}
    with pytest.raises(MalformedPolicy) as caught:
        parse_policy(
            document(allow(Sid="first"), second), bucket=NAME, known=lambda name: name == "known"
        )
    assert told in caught.value.text
    assert "Statement 2" in caught.value.text
    assert member in caught.value.text


@pytest.mark.parametrize("member", ["Effect", "Principal", "Action", "Resource"])
def test_a_statement_needs_its_members(member: str) -> None:
    with pytest.raises(MalformedPolicy, match=f"Missing required field {member}. Statement 1"):
        policy(without(member, allow()))


def test_nobody_may_let_in_all_but_one() -> None:
    with pytest.raises(MalformedPolicy, match="Allow with NotPrincipal is not allowed"):
        policy(without("Principal", allow(NotPrincipal={"AWS": ROOT})))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"{}"',
        b" {}",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{}",
        b"{'a': 1}",
        b'{"Statement": []}',
        b'{"Statement": ["a"]}',
        b'{"Statement": {}, "Colour": "red"}',
        b'{"Version": "2020-01-01", "Statement": []}',
        b'{"Version": 1, "Statement": []}',
        b'{"Id": 1, "Statement": []}',
        b'{"Statement": [' + b"[" * 9000,
        b'{"Statement": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
        b'{"Statement": NaN}',
        b'{"Statement": ' + b"9" * 6000 + b"}",
        b'{"\xff": 1}',
        b'{"Statement": [], "Statement": []}',
        document(allow()) + b"x",
        document(allow(Sid="x" * MOST_BYTES)),
    ],
    ids=lambda data: data[:24],
)
def test_a079_what_is_no_policy_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedPolicy):
        parse_policy(data, bucket=NAME)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{\n  "Statement": [\n    {"Effect": "Allow",,}]}', r"line 3, column 2\d"),
        (b'{"Statement": [}', "line 1, column 16"),
        (document(allow()) + b"x", "Extra data, line 1, column"),
        (b'{"\xff": 1}', "no UTF-8 at byte 3"),
        (b'{"Statement": [' + b"[" * 19_000, "too many levels|line 1"),
        (b'{"Statement": ' + b"9" * 6000 + b"}", "a number"),
    ],
    ids=lambda data: data[:24],
)
def test_a079_what_is_no_json_is_refused_with_where(data: bytes, told: str) -> None:
    with pytest.raises(MalformedPolicy, match=f"contains invalid Json: .*({told})"):
        parse_policy(data, bucket=NAME)


def test_a_member_that_is_there_twice_is_refused() -> None:
    text = (
        document(allow())
        .decode()
        .replace('"Effect": "Allow"', '"Effect": "Deny", "Effect": "Allow"')
    )
    with pytest.raises(MalformedPolicy, match="twice"):
        parse_policy(text.encode())


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Effect", "Principal", "Action", "Resource", "Condition", "AWS"])
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_a079_nothing_that_is_json_breaks_the_reader(value: Any) -> None:
    for data in ({"Statement": value}, {"Statement": [allow(), allow(Condition=value)]}):
        try:
            parse_policy(json.dumps(data).encode(), bucket=NAME)
        except MalformedPolicy:
            pass


def test_a_policy_of_the_largest_size_is_taken() -> None:
    sid = "x" * (MOST_BYTES - len(document(allow(Sid=""))))
    assert len(document(allow(Sid=sid))) == MOST_BYTES
    parse_policy(document(allow(Sid=sid)))


def test_one_statement_needs_no_list_and_no_version() -> None:
    made = parse_policy(json.dumps({"Statement": allow()}).encode(), bucket=NAME)
    assert effect(made, question(ANONYMOUS, GET, KEY)) == "Allow"


def test_a_users_policy_names_no_principal_and_may_speak_of_other_services() -> None:
    with pytest.raises(MalformedPolicy, match="should not specify a principal"):
        parse_policy(document(allow()), kind="user")
    made = parse_policy(
        document(
            {"Effect": "Allow", "Action": ["sts:*", "s3:List*"], "Resource": "*"},
        ),
        kind="user",
    )
    assert effect(made, question(caller(ALICE), LIST, NAME)) == "Allow"
    assert effect(made, question(caller(ALICE), GET, KEY)) == ""


@pytest.mark.parametrize(
    "pattern", [BUCKET, f"{BUCKET}/*", "arn:aws:s3:::*", "arn:aws:s3:::*/*", "arn:aws:s3:::amzn*"]
)
def test_a_resource_that_can_be_the_bucket_is_taken(pattern: str) -> None:
    parse_policy(document(allow(Resource=pattern)), bucket=NAME)


def test_every_action_can_be_named_in_a_policy() -> None:
    made = parse_policy(document(allow(Action=sorted(OBJECT_ACTIONS | BUCKET_ACTIONS))))
    for action in OBJECT_ACTIONS:
        assert effect(made, question(ANONYMOUS, action, KEY)) == "Allow"


# -- what is public


POINTS = "arn:aws:s3:us-east-1"


@pytest.mark.parametrize(
    ("statement", "public"),
    [
        (allow(), True),
        (allow(Principal={"AWS": ["*", BOB]}), True),
        (allow(Principal={"AWS": BOB}), False),
        (allow(Principal={"CanonicalUser": "known"}), False),
        (allow(Principal={"Service": "cloudfront.amazonaws.com"}), False),
        (deny(), False),
        (without("Principal", deny(NotPrincipal={"AWS": BOB})), False),
        (allow(**when("IpAddress", "aws:SourceIp", "10.0.0.0/32")), False),
        (allow(**when("IpAddress", "aws:SourceIp", "203.0.113.0/24", "2001:db8::/32")), False),
        (allow(**when("IpAddress", "aws:SourceIp", "0.0.0.0/0")), True),
        (allow(**when("IpAddress", "aws:SourceIp", "0.0.0.0/1", "128.0.0.0/1")), True),
        (allow(**when("IpAddress", "aws:SourceIp", "10.0.0.1", "::/0")), True),
        (allow(**when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8")), True),
        (allow(**when("IpAddressIfExists", "aws:SourceIp", "10.0.0.0/8")), True),
        (allow(**when("StringLike", "aws:SourceIp", "10.0.0.1")), True),
        (allow(**when("StringEquals", "aws:SourceVpc", "vpc-91237329")), False),
        (allow(**when("StringLike", "aws:SourceVpc", "vpc-*")), True),
        (allow(**when("StringEquals", "aws:PrincipalAccount", BOB)), False),
        (allow(**when("ForAllValues:StringEquals", "aws:PrincipalAccount", BOB)), True),
        (allow(**when("StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}")), True),
        (allow(**when("ArnEquals", "aws:PrincipalArn", ROOT)), False),
        (allow(**when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:root")), True),
        (allow(**when("StringNotEquals", "aws:PrincipalAccount", BOB)), True),
        (allow(**when("StringEquals", "aws:Referer", "http://www.example.com/")), True),
        (allow(**when("Bool", "aws:SecureTransport", "true")), True),
        (allow(**when("Null", "aws:SourceVpc", "false")), True),
        (allow(**when("StringLike", "aws:userid", "AROAEXAMPLEID:*")), False),
        (allow(**when("StringLike", "aws:userid", "AIDAEXAMPLEID")), False),
        (allow(**when("StringLike", "aws:userid", "ARO*:*")), True),
        (allow(**when("StringLike", "aws:userid", "AROAEXAMPLEID:*", "*")), True),
        (allow(**when("StringNotLike", "aws:userid", "AROAEXAMPLEID:*")), True),
        (allow(**when("ArnLike", "s3:DataAccessPointArn", f"{POINTS}:{BOB}:accesspoint/*")), False),
        (allow(**when("ArnLike", "s3:DataAccessPointArn", f"{POINTS}:*:accesspoint/one")), True),
    ],
)
def test_what_aws_calls_public(statement: dict[str, Any], public: bool) -> None:
    made = parse_policy(document(statement, deny(Action=PUT)), bucket=NAME)
    assert made.is_public is public


# -- operators whose edges the second evaluator does not know


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "value", "expected"),
    [
        ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "unknown", False),
        ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", "unknown", True),
        ("NumericLessThan", "s3:max-keys", "10", "many", False),
        ("NumericEquals", "s3:max-keys", "10", "10.0", True),
        ("DateLessThan", "aws:EpochTime", "1600000000", "1500000000", True),
        ("DateGreaterThan", "aws:CurrentTime", "2020", "2021-01-01T00:00:00Z", True),
        ("DateEquals", "aws:CurrentTime", "2020-02", "2020-02-01T00:00:00Z", True),
        ("DateEquals", "aws:CurrentTime", "1580515200", "2020-02-01T00:00:00Z", True),
        ("BinaryEquals", "s3:prefix", "YWJj", "abc", True),
        ("BinaryEquals", "s3:prefix", "YWJj", "YWJj", False),
        ("StringEquals", "s3:prefix", "a*", "ab", False),
        ("stringlike", "S3:Prefix", "a*", "ab", True),
        ("ArnLike", "aws:SourceArn", "*", "anything", True),
        ("ArnEquals", "aws:SourceArn", "arn:aws:s3:::b*", "arn:aws:s3:::bucket", True),
        ("ArnLike", "aws:SourceArn", "arn:*:x", "arn:aws:s3:::x", None),
        ("ArnLike", "aws:SourceArn", "arn:aws:s3:::*", "no arn", False),
        ("ArnNotLike", "aws:SourceArn", "arn:aws:s3:::*", "arn:aws:s3", True),
        ("StringLike", "s3:x-amz-copy-source", "/source/*", "source/a", True),
    ],
)
def test_an_operators_edges(
    operator: str, key: str, wanted: str, value: str, expected: bool | None
) -> None:
    if expected is None:
        with pytest.raises(MalformedPolicy):
            policy(allow(**when(operator, key, wanted)))
        return
    made = policy(allow(**when(operator, key, wanted)))
    about = question(ANONYMOUS, GET, KEY, {normal_key(key): value})
    assert (effect(made, about) == "Allow") is expected


def test_truths_and_numbers_need_no_quotes() -> None:
    made = policy(
        allow(
            Condition={"Bool": {"aws:SecureTransport": True}, "NumericEquals": {"s3:max-keys": 7}}
        )
    )
    context = {"aws:securetransport": "true", "s3:max-keys": "7"}
    assert effect(made, question(ANONYMOUS, GET, KEY, context)) == "Allow"
