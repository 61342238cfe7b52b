"""s3kit.auth.access: the owner, the grants, and no one else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3kit.auth.access import ACCOUNT_ACTIONS
from s3kit.auth.access import BUCKET_ACTIONS
from s3kit.auth.access import OBJECT_ACTIONS
from s3kit.auth.access import VERSION_ACTIONS
from s3kit.auth.access import OwnerAccess
from s3kit.auth.acl import canned
from s3kit.model import ANONYMOUS
from s3kit.model import Account
from s3kit.model import Acl
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Grant
from s3kit.model import ObjectVersion
from s3kit.model import Permission
from s3kit.model import Question

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
    decision = OwnerAccess().decide(question)
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

    access = OwnerAccess()
    assert access.decide(Question(ALICE, "s3:GetObject", PRIVATE, b"key", load=load)).allowed
    assert not access.decide(Question(BOB, "s3:PutObject", PRIVATE, b"key", load=load)).allowed


def test_a_question_that_cannot_load_the_object_is_refused() -> None:
    assert not OwnerAccess().decide(Question(BOB, "s3:GetObject", PRIVATE, b"key")).allowed


def test_whoever_may_write_may_not_remove_a_named_version() -> None:
    """Every object action has its version twin, and DeleteObjectVersion is the owner's alone."""
    assert VERSION_ACTIONS["s3:DeleteObject"] not in BUCKET_ACTIONS
    assert {VERSION_ACTIONS[action] for action in VERSION_ACTIONS if action in OBJECT_ACTIONS} <= (
        OBJECT_ACTIONS.keys()
    )
