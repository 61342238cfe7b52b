"""s3kit.auth.access: the owner, the grants, and no one else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from s3kit.auth.access import ACCOUNT_ACTIONS
from s3kit.auth.access import BUCKET_ACTIONS
from s3kit.auth.access import OBJECT_ACTIONS
from s3kit.auth.access import ROOT_ACTIONS
from s3kit.auth.access import VERSION_ACTIONS
from s3kit.auth.access import BucketAccess
from s3kit.auth.access import BucketRules
from s3kit.auth.acl import canned
from s3kit.auth.policy import parse_policy
from s3kit.auth.public_access import PublicAccessBlock
from s3kit.model import ANONYMOUS
from s3kit.model import Account
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Decision
from s3kit.model import Grant
from s3kit.model import ObjectVersion
from s3kit.model import Permission
from s3kit.model import Question
from s3kit.model import Setting

ALICE = Caller(Account("alice"), "AKIAALICE")
BOB = Caller(Account("bob"), "AKIABOB")
CAROL = Caller(Account("carol"), "AKIACAROL")
PRIVATE = Bucket(1, "alices", "alice", 0)
OBJECT = ObjectVersion(1, b"key", 3, "etag", 0, "alice")
CONFIGURATION = [
    "s3:GetBucketLocation",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
    "s3:PutBucketTagging",
    "s3:PutLifecycleConfiguration",
    "s3:DeleteBucket",
    "s3:GetObjectTagging",
    "s3:PutObjectTagging",
    "s3:BypassGovernanceRetention",
    "s3:SomethingNew",
]
ACTIONS = [*OBJECT_ACTIONS, *BUCKET_ACTIONS, *CONFIGURATION]


def bucket(name: str) -> Bucket:
    return replace(PRIVATE, acl=canned(name, "alice", "alice"))


def granting(grantee: str, permission: Permission) -> Acl:
    return Acl("alice", (Grant(grantee, permission),))


def allowed(
    caller: Caller,
    action: str,
    where: Bucket | None = PRIVATE,
    version: ObjectVersion | None = OBJECT,
) -> bool:
    key = None if where is None else b"key"
    question = Question(caller, action, where, key, load=lambda: version)
    decision = BucketAccess().decide(question)
    assert decision.reason
    return decision.allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_the_owner_may_do_everything_on_its_bucket(action: str) -> None:
    assert allowed(ALICE, action)
    assert allowed(ALICE, action, version=replace(OBJECT, owner="bob"))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("caller", [BOB, ANONYMOUS])
def test_no_one_else_may_do_anything_on_a_private_bucket(caller: Caller, action: str) -> None:
    """A001, A002, A057 to A062: read, write, configuration, copy and every key of a delete."""
    assert not allowed(caller, action)
    assert not allowed(caller, action, version=None)
    assert not allowed(caller, action, version=replace(OBJECT, delete_marker=True))


@pytest.mark.parametrize("action", CONFIGURATION)
@pytest.mark.parametrize("caller", [BOB, ANONYMOUS])
def test_no_acl_opens_what_acls_do_not_speak_of(caller: Caller, action: str) -> None:
    """A060: sub-resources need their own check."""
    everyone = granting("http://acs.amazonaws.com/groups/global/AllUsers", Permission.FULL_CONTROL)
    assert not allowed(
        caller, action, replace(PRIVATE, acl=everyone), replace(OBJECT, acl=everyone)
    )


@pytest.mark.parametrize("action", sorted(ACCOUNT_ACTIONS))
def test_any_signed_caller_may_list_and_create_buckets_and_no_anonymous_one(action: str) -> None:
    """A003, A063: what is listed or created is the caller's own."""
    assert allowed(BOB, action, None)
    assert not allowed(ANONYMOUS, action, None)


@pytest.mark.parametrize("caller", [ALICE, ANONYMOUS])
def test_nothing_else_is_allowed_without_a_bucket(caller: Caller) -> None:
    assert not allowed(caller, "s3:DeleteBucket", None)
    assert not allowed(caller, "s3:GetObject", None)


@pytest.mark.parametrize(
    ("action", "permission"), [*BUCKET_ACTIONS.items(), *OBJECT_ACTIONS.items()]
)
@pytest.mark.parametrize("given", list(Permission))
def test_a_grant_opens_its_actions_and_no_other(
    action: str, permission: Permission, given: Permission
) -> None:
    right = given in (permission, Permission.FULL_CONTROL)
    acl = granting("bob", given)
    on_bucket = allowed(BOB, action, replace(PRIVATE, acl=acl))
    on_object = allowed(BOB, action, version=replace(OBJECT, acl=acl))
    assert on_bucket is (right and action in BUCKET_ACTIONS)
    assert on_object is (right and action in OBJECT_ACTIONS)
    assert not allowed(CAROL, action, replace(PRIVATE, acl=acl), replace(OBJECT, acl=acl))


def test_a_public_bucket_does_not_open_its_private_objects() -> None:
    assert allowed(ANONYMOUS, "s3:ListBucket", bucket("public-read"))
    assert not allowed(ANONYMOUS, "s3:GetObject", bucket("public-read"))
    assert not allowed(ANONYMOUS, "s3:PutObject", bucket("public-read"))


def test_a_public_object_is_readable_in_a_private_bucket() -> None:
    version = replace(OBJECT, acl=canned("public-read", "alice", "alice"))
    assert allowed(ANONYMOUS, "s3:GetObject", version=version)
    assert not allowed(ANONYMOUS, "s3:GetObjectAcl", version=version)
    assert not allowed(ANONYMOUS, "s3:PutObjectAcl", version=version)
    assert not allowed(ANONYMOUS, "s3:DeleteObject", version=version)


def test_anyone_may_write_and_delete_in_a_public_read_write_bucket() -> None:
    where = bucket("public-read-write")
    assert allowed(ANONYMOUS, "s3:PutObject", where, None)
    assert allowed(ANONYMOUS, "s3:DeleteObject", where)
    assert not allowed(ANONYMOUS, "s3:PutBucketAcl", where)
    assert not allowed(ANONYMOUS, "s3:DeleteBucket", where)


def test_the_owner_of_an_object_in_a_foreign_bucket_may_read_it_and_its_acl() -> None:
    version = replace(OBJECT, owner="bob")
    assert allowed(BOB, "s3:GetObject", version=version)
    assert allowed(BOB, "s3:GetObjectAcl", version=version)
    assert allowed(BOB, "s3:PutObjectAcl", version=version)
    assert not allowed(BOB, "s3:DeleteObject", version=version)
    assert not allowed(CAROL, "s3:GetObject", version=version)


def test_an_object_whose_owner_is_nobody_is_not_anonymous_callers_own() -> None:
    assert not allowed(ANONYMOUS, "s3:GetObject", version=replace(OBJECT, owner=""))


@pytest.mark.parametrize("version", [None, replace(OBJECT, delete_marker=True)])
def test_only_who_may_list_learns_that_a_key_is_not_there(version: ObjectVersion | None) -> None:
    assert allowed(ANONYMOUS, "s3:GetObject", bucket("public-read"), version)
    assert not allowed(ANONYMOUS, "s3:GetObject", bucket("private"), version)
    assert not allowed(BOB, "s3:GetObject", bucket("private"), version)


def test_the_object_is_loaded_only_when_its_acl_decides() -> None:
    def load() -> ObjectVersion | None:
        raise AssertionError("loaded")

    access = BucketAccess()
    assert access.decide(Question(ALICE, "s3:GetObject", PRIVATE, b"key", load=load)).allowed
    assert not access.decide(Question(BOB, "s3:PutObject", PRIVATE, b"key", load=load)).allowed


def test_a_question_that_cannot_load_the_object_is_refused() -> None:
    assert not BucketAccess().decide(Question(BOB, "s3:GetObject", PRIVATE, b"key")).allowed


def test_whoever_may_write_may_not_remove_a_named_version() -> None:
    """Every object action has its version twin, and DeleteObjectVersion is the owner's alone."""
    assert VERSION_ACTIONS["s3:DeleteObject"] not in BUCKET_ACTIONS
    assert {VERSION_ACTIONS[action] for action in VERSION_ACTIONS if action in OBJECT_ACTIONS} <= (
        OBJECT_ACTIONS.keys()
    )


# -- policies, switches, users


def rules(*statements: dict[str, Any], **switches: bool) -> BucketAccess:
    policy = parse_policy(json.dumps({"Statement": list(statements)}).encode())
    return BucketAccess(lambda bucket: BucketRules(policy, PublicAccessBlock(**switches)))


def statement(effect: str, action: str, principal: Any = "*", **members: Any) -> dict[str, Any]:
    resource = ["arn:aws:s3:::alices", "arn:aws:s3:::alices/*"]
    found = {"Effect": effect, "Action": action, "Resource": resource, **members}
    return found if principal is None else {**found, "Principal": principal}


def user(*statements: dict[str, Any], session: bool = False) -> Caller:
    policy = parse_policy(json.dumps({"Statement": list(statements)}).encode(), kind="user")
    narrowed = {"session_policy": policy} if session else {"policies": (policy,)}
    return Caller(Account("alice"), "AKIAALICE", principal="user/ann", **narrowed)  # type: ignore[arg-type]


RULED_BUCKET = replace(PRIVATE, present=Setting.POLICY)
NOTHING = statement("Allow", "s3:GetBucketLocation", {"AWS": "123456789012"})


def decide(
    access: BucketAccess,
    caller: Caller,
    action: str,
    version: ObjectVersion | None = OBJECT,
    *,
    where: Bucket = RULED_BUCKET,
    settle: bool = True,
    acls: bool = True,
) -> Decision:
    question = Question(
        caller, action, where, b"key", load=lambda: version, settle=settle, acls=acls
    )
    return access.decide(question)


def test_documents_are_read_only_where_a_bucket_has_any() -> None:
    def rules_of(bucket: Bucket) -> BucketRules:
        raise AssertionError("read")

    access = BucketAccess(rules_of)
    assert decide(access, ALICE, "s3:PutObject", where=PRIVATE).allowed
    assert not decide(access, BOB, "s3:PutObject", where=PRIVATE).allowed
    with pytest.raises(AssertionError, match="read"):
        decide(access, ALICE, "s3:PutObject")


def test_a_first_answer_about_an_object_is_provisional_and_reads_nothing() -> None:
    def load() -> ObjectVersion | None:
        raise AssertionError("loaded")

    access = rules(statement("Allow", "s3:GetObject"))
    for who in (ALICE, BOB, ANONYMOUS):
        decision = access.decide(Question(who, "s3:GetObject", RULED_BUCKET, b"key", load=load))
        assert decision.allowed
        assert decision.provisional
    assert not decide(access, ALICE, "s3:PutObject", settle=False).provisional


@pytest.mark.parametrize("access", [BucketAccess(), rules(statement("Allow", "s3:*"))])
def test_what_another_stored_is_its_own(access: BucketAccess) -> None:
    theirs = replace(OBJECT, owner="carol")
    for action in OBJECT_ACTIONS:
        assert decide(access, ALICE, action).allowed
        assert not decide(access, ALICE, action, theirs).allowed
        assert decide(access, CAROL, action, theirs).allowed
        given = replace(theirs, acl=granting("alice", Permission.FULL_CONTROL))
        assert decide(access, ALICE, action, given).allowed
        # Where ACLs are off all is the bucket owner's.
        assert decide(access, ALICE, action, theirs, acls=False).allowed
    assert decide(access, ALICE, "s3:DeleteObject", theirs).allowed
    assert decide(access, ALICE, "s3:GetObjectTagging", theirs).allowed


@pytest.mark.parametrize("action", sorted(ROOT_ACTIONS))
def test_no_policy_locks_the_owners_account_out_of_the_policy(action: str) -> None:
    access = rules(statement("Deny", "s3:*"))
    where = replace(RULED_BUCKET)
    assert access.decide(Question(ALICE, action, where)).allowed
    assert not access.decide(Question(replace(ALICE, principal="user/ann"), action, where)).allowed
    assert not access.decide(Question(BOB, action, where)).allowed
    for principal in ("user/ann", ""):
        # Not a session that was narrowed, be it the account's own.
        session = user(statement("Allow", "s3:*", None), session=True)
        session = replace(session, principal=principal)
        assert not access.decide(Question(session, action, where)).allowed


def test_a_user_may_what_one_of_its_policies_or_the_buckets_allows() -> None:
    reader = user(statement("Allow", "s3:GetObject", None))
    access = rules(NOTHING)
    assert decide(access, reader, "s3:GetObject").allowed
    assert not decide(access, reader, "s3:PutObject").allowed
    opened = rules(statement("Allow", "s3:PutObject"))
    assert decide(opened, reader, "s3:PutObject").allowed
    refused = user(statement("Allow", "s3:*", None), statement("Deny", "s3:PutObject", None))
    assert not decide(opened, refused, "s3:PutObject").allowed
    # In another's bucket it needs both.
    visitor = replace(reader, account=Account("bob"))
    assert not decide(access, visitor, "s3:GetObject").allowed
    assert not decide(opened, visitor, "s3:PutObject").allowed
    assert decide(rules(statement("Allow", "s3:*")), visitor, "s3:GetObject").allowed


def test_a_policy_that_names_the_account_leaves_its_users_to_the_account() -> None:
    """As IAM has it: an account's principal delegates, a user's own or everybody gives."""
    nobody = user(statement("Allow", "s3:ListAllMyBuckets", None))
    account = statement("Allow", "s3:GetObject", {"CanonicalUser": "alice"})
    by_name = statement("Allow", "s3:GetObject", {"AWS": "arn:aws:iam::alice:user/ann"})
    everybody = statement("Allow", "s3:GetObject")
    assert not decide(rules(account), nobody, "s3:GetObject").allowed
    assert decide(rules(account), ALICE, "s3:GetObject").allowed
    assert decide(rules(account), BOB, "s3:GetObject").by != "bucket policy"
    for direct in (by_name, everybody):
        assert decide(rules(direct), nobody, "s3:GetObject").allowed
        # Whichever comes first.
        decision = decide(rules(account, direct), nobody, "s3:GetObject")
        assert decision.reason == "the bucket's policy, statement 2"
        assert not decide(rules(account, direct), nobody, "s3:PutObject").allowed
    given = user(statement("Allow", "s3:GetObject", None))
    assert decide(rules(account), given, "s3:GetObject").allowed


def test_a_session_may_only_what_its_policy_allows_too() -> None:
    session = user(statement("Allow", "s3:GetObject", None), session=True)
    access = rules(statement("Allow", "s3:*"))
    assert decide(access, session, "s3:GetObject").allowed
    assert not decide(access, session, "s3:PutObject").allowed
    assert not decide(BucketAccess(), session, "s3:PutObject", where=PRIVATE).allowed
    assert not access.decide(Question(session, "s3:ListAllMyBuckets")).allowed
    assert access.decide(Question(ALICE, "s3:ListAllMyBuckets")).allowed


EVALUATION = """
who           own     bucket's   session   may
account       -       -          -         yes
account       -       everybody  -         yes
account       -       deny       -         no
account       -       -          allow     yes
account       -       -          nothing   no
account       -       everybody  nothing   no
account       -       -          deny      no
account       -       deny       allow     no
user          nothing -          -         no
user          allow   -          -         yes
user          deny    -          -         no
user          nothing itself     -         yes
user          nothing everybody  -         yes
user          nothing account    -         no
user          allow   account    -         yes
user          deny    itself     -         no
user          allow   deny       -         no
user          allow   -          allow     yes
user          allow   -          nothing   no
user          nothing itself     nothing   no
user          nothing itself     allow     yes
user          allow   itself     deny      no
other         -       -          -         no
other         -       account    -         yes
other         -       everybody  -         yes
other         -       deny       -         no
other         -       account    allow     yes
other         -       account    nothing   no
other's user  nothing account    -         no
other's user  nothing itself     -         no
other's user  nothing everybody  -         no
other's user  allow   -          -         no
other's user  allow   account    -         yes
other's user  allow   itself     -         yes
other's user  allow   everybody  -         yes
other's user  deny    itself     -         no
other's user  allow   deny       -         no
nobody        -       -          -         no
nobody        -       everybody  -         yes
nobody        -       account    -         no
nobody        -       deny       -         no
"""
"""Whether PutObject is allowed in the account's bucket: of what the caller's own policies, the
bucket's and the session's say; "-" for none at all.

Source: IAM User Guide, "Policy evaluation logic" (for requests within a single account, and across
accounts), "Session policies", and "AWS JSON policy elements: Principal".
"""


@pytest.mark.parametrize("row", EVALUATION.strip().splitlines()[1:])
def test_the_manuals_order_of_evaluation(row: str) -> None:
    who, own, buckets, session, may = (
        row[a:b].strip() for a, b in ((0, 14), (14, 22), (22, 33), (33, 43), (43, 99))
    )
    name = {"account": "alice", "user": "alice", "nobody": None}.get(who, "bob")
    is_user = who.endswith("user")
    account = None if name is None else Account(name)
    caller = Caller(account, "AKIA" if name else None, principal="user/ann" if is_user else "")
    said = {
        "allow": [statement("Allow", "s3:PutObject", None)],
        "deny": [
            statement("Allow", "s3:PutObject", None),
            statement("Deny", "s3:PutObject", None),
        ],
        "nothing": [statement("Allow", "s3:GetObject", None)],
    }
    if own != "-":
        caller = replace(caller, policies=user(*said[own]).policies)
    if session != "-":
        narrow = user(*said[session], session=True)
        caller = replace(caller, session_policy=narrow.session_policy)
    principal: Any = {
        "everybody": "*",
        "account": {"AWS": f"arn:aws:iam::{name}:root"},
        "itself": {"AWS": f"arn:aws:iam::{name}:user/ann"},
    }.get(buckets, "*")
    effect = "Deny" if buckets == "deny" else "Allow"
    access = (
        BucketAccess() if buckets == "-" else rules(statement(effect, "s3:PutObject", principal))
    )
    where = PRIVATE if buckets == "-" else RULED_BUCKET
    assert decide(access, caller, "s3:PutObject", where=where).allowed is (may == "yes")


def test_where_acls_are_off_a_buckets_own_does_not_count_either() -> None:
    """UC-06: nor what it granted before."""
    where = bucket("public-read-write")
    for who in (BOB, ANONYMOUS):
        question = Question(who, "s3:ListBucket", where)
        assert BucketAccess().decide(question).allowed
        assert not BucketAccess().decide(replace(question, acls=False)).allowed
        assert not decide(BucketAccess(), who, "s3:PutObject", where=where, acls=False).allowed


def test_switches_and_services() -> None:
    public = statement("Allow", "s3:*")
    access = rules(public, restrict_public_buckets=True)
    service = Caller(service="logging.s3.amazonaws.com")
    assert decide(access, ALICE, "s3:GetObject").allowed
    assert decide(access, service, "s3:PutObject").allowed
    for who in (BOB, ANONYMOUS):
        assert not decide(access, who, "s3:GetObject").allowed
    named = statement("Allow", "s3:PutObject", {"Service": "logging.s3.amazonaws.com"})
    assert decide(rules(named), service, "s3:PutObject").allowed
    assert not decide(rules(named), BOB, "s3:PutObject").allowed


def test_a_decision_says_which_statement_made_it() -> None:
    access = rules(
        statement("Allow", "s3:GetObject", Sid="readers"), statement("Deny", "s3:PutObject")
    )
    assert (
        decide(access, BOB, "s3:GetObject").reason
        == 'the bucket\'s policy, statement 1 ("readers")'
    )
    assert decide(access, BOB, "s3:PutObject").reason == "the bucket's policy, statement 2"
    assert decide(access, BOB, "s3:GetObject").by_policy
    assert not decide(access, ALICE, "s3:GetObject").by_policy
