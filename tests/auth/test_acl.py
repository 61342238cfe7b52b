"""s3kit.auth.acl: canned ACLs and what grants permit."""

from __future__ import annotations

import pytest

from s3kit.auth.acl import CANNED_ACLS
from s3kit.auth.acl import canned
from s3kit.auth.acl import permits
from s3kit.errors import InvalidArgument
from s3kit.model import ALL_USERS
from s3kit.model import ANONYMOUS
from s3kit.model import AUTHENTICATED_USERS
from s3kit.model import LOG_DELIVERY
from s3kit.model import Account
from s3kit.model import Acl
from s3kit.model import Caller
from s3kit.model import Grant
from s3kit.model import Permission

READ = Permission.READ
WRITE = Permission.WRITE
READ_ACP = Permission.READ_ACP
WRITE_ACP = Permission.WRITE_ACP
FULL = Permission.FULL_CONTROL
BOB = Caller(Account("bob"), "AKIABOB")


@pytest.mark.parametrize(
    ("name", "beside_the_owner"),
    [
        ("private", []),
        ("public-read", [Grant(ALL_USERS, READ)]),
        ("public-read-write", [Grant(ALL_USERS, READ), Grant(ALL_USERS, WRITE)]),
        ("authenticated-read", [Grant(AUTHENTICATED_USERS, READ)]),
        ("log-delivery-write", [Grant(LOG_DELIVERY, WRITE), Grant(LOG_DELIVERY, READ_ACP)]),
        ("bucket-owner-read", [Grant("host", READ)]),
        ("bucket-owner-full-control", [Grant("host", FULL)]),
    ],
)
def test_a_canned_acl_lists_the_owner_first_and_then_its_grants(
    name: str, beside_the_owner: list[Grant]
) -> None:
    acl = canned(name, "owner", "host")
    assert acl == Acl("owner", (Grant("owner", FULL), *beside_the_owner))


@pytest.mark.parametrize("name", ["bucket-owner-read", "bucket-owner-full-control"])
def test_the_bucket_owner_needs_no_second_grant_on_its_own_object(name: str) -> None:
    assert canned(name, "owner", "owner") == canned("private", "owner", "owner")


@pytest.mark.parametrize("name", ["", "public", "PRIVATE", "public-read ", "öffentlich"])
def test_an_unknown_canned_acl_is_an_invalid_argument(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        canned(name, "owner", "owner")
    assert caught.value.details == {"argument_name": "x-amz-acl", "argument_value": name}


@pytest.mark.parametrize("name", sorted(CANNED_ACLS))
def test_only_the_public_ones_let_anonymous_callers_in(name: str) -> None:
    acl = canned(name, "owner", "host")
    assert permits(acl, ANONYMOUS, READ) is name.startswith("public-read")
    assert permits(acl, ANONYMOUS, WRITE) is (name == "public-read-write")
    assert not permits(acl, ANONYMOUS, READ_ACP)
    assert not permits(acl, ANONYMOUS, WRITE_ACP)


def test_authenticated_users_are_all_who_signed_and_no_one_else() -> None:
    acl = canned("authenticated-read", "owner", "owner")
    assert permits(acl, BOB, READ)
    assert not permits(acl, BOB, WRITE)
    assert not permits(acl, ANONYMOUS, READ)


def test_a_grant_to_one_account_is_for_that_account_only() -> None:
    acl = Acl("owner", (Grant("bob", WRITE_ACP),))
    assert permits(acl, BOB, WRITE_ACP)
    assert not permits(acl, BOB, READ)
    assert not permits(acl, Caller(Account("bobby"), "AK"), WRITE_ACP)
    assert not permits(acl, ANONYMOUS, WRITE_ACP)


@pytest.mark.parametrize("permission", list(Permission))
def test_full_control_is_every_permission(permission: Permission) -> None:
    assert permits(Acl("owner", (Grant("bob", FULL),)), BOB, permission)


def test_the_owner_has_here_no_more_than_the_grants_say() -> None:
    assert not permits(Acl("bob", ()), BOB, READ)


def test_no_acl_permits_nothing() -> None:
    assert not permits(None, BOB, READ)


def test_an_account_that_is_named_like_a_group_is_not_the_group() -> None:
    acl = Acl("owner", (Grant(LOG_DELIVERY, WRITE),))
    assert not permits(acl, BOB, WRITE)
    assert not permits(acl, ANONYMOUS, WRITE)
