"""Sessions without a table: what their tokens say holds, and ends when it should."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from s3kit.auth.access import BucketAccess
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.policy import parse_policy
from s3kit.auth.session import LIFE
from s3kit.auth.session import LONGEST
from s3kit.auth.session import PREFIX
from s3kit.auth.session import READING
from s3kit.auth.session import WRITING
from s3kit.auth.session import SessionAccess
from s3kit.auth.session import Sessions
from s3kit.errors import ExpiredToken
from s3kit.errors import InvalidToken
from s3kit.errors import PackedPolicyTooLarge
from s3kit.model import Account
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Key
from s3kit.model import Question
from s3kit.model import Role
from s3kit.model import Scope
from s3kit.model import Session

ALICE = Account("alice")
PARENT = Key("AKALICE", "alice-secret", ALICE)
NOW = 1_700_000_000


def sessions(secret: str = "of the index", parent: Key | None = PARENT) -> Sessions:
    return Sessions(lambda: secret, DictKeyRing([parent] if parent else []))


def opened(read_only: bool = False) -> Key:
    return sessions().open(Session("AKALICE", 7, read_only, NOW + LIFE, NOW))


def token_of(key: Key) -> str:
    assert key.session_token is not None
    return key.session_token


def test_every_process_finds_the_key_that_one_has_made() -> None:
    key = opened(read_only=True)
    assert key.session == Session("AKALICE", 7, True, NOW + LIFE, NOW)
    assert key.account == ALICE
    assert sessions().find(key.access_key, token_of(key), NOW + LIFE - 1) == key
    again = opened(read_only=True)
    assert {again.access_key, again.secret_key} & {key.access_key, key.secret_key} == set()
    assert PARENT.secret_key not in token_of(key)
    assert key.secret_key not in repr(key)


def test_it_is_its_openers_in_all_that_is_known_of_him() -> None:
    user = replace(PARENT, user="ursula")
    made = sessions(parent=user).open(Session("AKALICE", 7, False, NOW + LIFE, NOW))
    assert (made.user, made.account) == ("ursula", ALICE)
    assert sessions(parent=user).find(made.access_key, token_of(made), NOW) == made


def test_it_ends_by_itself_and_with_the_key_that_opened_it() -> None:
    key = opened()
    with pytest.raises(ExpiredToken):
        sessions().find(key.access_key, token_of(key), NOW + LIFE)
    for parent in (
        None,
        Key("AKALICE", "a new secret", ALICE),
        Key("AKBOB", "alice-secret", ALICE),
    ):
        with pytest.raises(InvalidToken):
            sessions(parent=parent).find(key.access_key, token_of(key), NOW)
    with pytest.raises(InvalidToken):
        sessions("of another index").find(key.access_key, token_of(key), NOW)


def facts_of(token: str) -> list[Any]:
    payload = token.removeprefix(PREFIX).partition(".")[0]
    facts = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(facts, list)
    return facts


def token_with(facts: object, mac: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
    return f"{PREFIX}{payload}.{mac}"


def test_nothing_of_a_token_can_be_changed() -> None:
    key = opened(read_only=True)
    token = token_of(key)
    mac = token.rpartition(".")[2]
    facts = facts_of(token)
    others = [3, "AKBOB", "key", 8, 0, NOW + 10**6, 1, [["a", "b", "c"]], "n", "p", "s", "a"]
    for place, value in enumerate([*others, [["t", "v"]], "eJw", "x"]):
        assert facts[place] != value
        changed = token_with([*facts[:place], value, *facts[place + 1 :]], mac)
        with pytest.raises(InvalidToken):
            sessions().find(key.access_key, changed, NOW)
    stem = token.rpartition(".")[0]
    for other in (mac[:-1], "", mac + "x", mac.swapcase(), mac + ".", "." + mac):
        with pytest.raises(InvalidToken):
            sessions().find(key.access_key, f"{stem}.{other}", NOW)
    with pytest.raises(InvalidToken):
        sessions().find(opened().access_key, token, NOW)


MADE = opened(read_only=True)


@given(
    place=strategies.integers(0, 4000),
    length=strategies.integers(0, 3),
    put=strategies.text(strategies.sampled_from("ABYZabyz0189-_=+/. S3\0\xe9\ud800"), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_no_mutation_of_a_token_is_accepted(place: int, length: int, put: str) -> None:
    """Characters of every kind put in, left out, changed: what differs from what was made is no
    token."""
    key, token = MADE, token_of(MADE)
    place %= len(token)
    other = token[:place] + put + token[place + length :]
    if other != token:
        with pytest.raises(InvalidToken):
            sessions().find(key.access_key, other, NOW)


def test_tokens_of_two_sessions_cannot_be_mixed() -> None:
    one, two = opened(), opened(read_only=True)
    pieces = [token_of(each).removeprefix(PREFIX).split(".") for each in (one, two)]
    for payload, mac in ((pieces[0][0], pieces[1][1]), (pieces[1][0], pieces[0][1])):
        for key in (one, two):
            with pytest.raises(InvalidToken):
                sessions().find(key.access_key, f"{PREFIX}{payload}.{mac}", NOW)


@pytest.mark.parametrize(
    "token",
    ["", ".", "a.b", "W10.x", "bnVsbA.x", "é.é", "[" * 1500, "x" * 5000, "e30.", "\0.\0"],
)
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_what_is_no_token_is_refused(token: str, prefix: str) -> None:
    with pytest.raises(InvalidToken):
        sessions().find("ASIAX", prefix + token, NOW)


@pytest.mark.parametrize(
    "facts",
    [
        [1, 2, 3, 4, 5, 6],
        [2, "a", "", True, 0, NOW, NOW, [], "", "", "", "", [], "", ""],
        [2, "a", "", 1, 0, NOW, NOW, [["a"]], "", "", "", "", [], "", ""],
        [2, "a", "", 1, 0, NOW, NOW, [["a", "b", 3]], "", "", "", "", [], "", ""],
        [2, "a", "", 1, 0, NOW, NOW, [], "", "", "", "", ["ab"], "", ""],
        [2, "", "", 1, 0, NOW, NOW, [], "", "", "", "", [], "", ""],
        [2, "", "any", 1, 0, NOW, NOW, [["a", "b", "c"]], "", "", "", "", [], "", ""],
        [2] * 15,
        {},
    ],
)
def test_nor_is_one_of_another_form(facts: object) -> None:
    with pytest.raises(InvalidToken):
        sessions().find("ASIAX", token_with(facts, "x"), NOW)


# -- those of roles


class Book:
    """Roles by account and name."""

    def __init__(self, *roles: Role) -> None:
        self.roles = {(role.account, role.name): role for role in roles}

    def find(self, account_id: str, name: str, /) -> Role | None:
        return self.roles.get((account_id, name))


class Host:
    """One host key."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def first(self) -> tuple[str, bytes]:
        return "first", self.key

    def find(self, key_id: str, /) -> bytes | None:
        return self.key if key_id == "first" else None


BOB = Account("bob")
RING = DictKeyRing([PARENT, Key("AKBOB", "bob-secret", BOB)])
TRUST = parse_policy(
    b'{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}',
    kind="trust",
)
READS = parse_policy(
    b'{"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}', kind="user"
)
READER = Role("bob", "reader", "AROA1", 0, 3600, TRUST, (READS,))
ROLES = (("bob", "reader", "AROA1"),)
NARROW = '{"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}'


def for_roles(book: Book | None = None, ring: Any = RING, host: bytes = b"h" * 32) -> Sessions:
    return Sessions(lambda: "of the index", ring, book or Book(READER), Host(host))


def test_a_roles_session_is_the_roles_and_narrowed_as_its_parent_is() -> None:
    scope = Scope(paths=(("photos", b"2026/"),))
    ring = DictKeyRing([replace(PARENT, scope=scope, user="ursula"), Key("AKBOB", "s", BOB)])
    made = for_roles(ring=ring).open(
        Session("AKALICE", expires=NOW + 900, roles=ROLES, name="me", policy=NARROW)
    )
    assert (made.account, made.principal, made.user) == (BOB, "assumed-role/reader/me", "")
    assert (made.policies, made.scope) == ((READS,), scope)
    assert made.session_policy is not None
    again = for_roles(ring=ring).find(made.access_key, token_of(made), NOW)
    assert again == made
    # In an account that closes nothing can be changed any more.
    closing = Book(replace(READER, account_status="closing"))
    found = for_roles(closing, ring).find(made.access_key, token_of(made), NOW)
    assert found.scope == replace(scope, read_only=True)


@pytest.mark.parametrize("parent", ["AKALICE", ""])
def test_it_ends_with_its_role_and_with_what_opened_it(parent: str) -> None:
    made = for_roles().open(Session(parent, expires=NOW + 900, roles=ROLES, name="me"))

    def works(sessions: Sessions) -> bool:
        try:
            return sessions.find(made.access_key, token_of(made), NOW) == made
        except InvalidToken:
            return False

    assert works(for_roles())
    assert not works(for_roles(Book()))
    assert not works(for_roles(Book(replace(READER, id="AROA2"))))
    assert not works(for_roles(Book(replace(READER, account_status="suspended"))))
    assert not works(for_roles(ring=DictKeyRing([PARENT])))
    assert not works(Sessions(lambda: "of another index", RING, Book(READER), Host(b"h" * 32)))
    changed = DictKeyRing([replace(PARENT, secret_key="new"), Key("AKBOB", "s", BOB)])
    # Who came by an identity provider has no key; the host's own key holds that session.
    assert works(for_roles(ring=changed)) is (parent == "")
    assert works(for_roles(host=b"i" * 32)) is (parent != "")


class World:
    """A key ring, a role book and the host's keys whose answers change while sessions are open."""

    def __init__(self) -> None:
        self.keys: dict[str, Key | None] = {"AKALICE": PARENT}
        self.accounts: dict[str, Account] = {"alice": ALICE, "bob": BOB}
        self.roles: dict[str, Role] = {"reader": READER}
        self.host: bytes | None = b"h" * 32
        self.sessions = Sessions(lambda: "of the index", self, self.Book(self), self)

    class Book:
        def __init__(self, world: World) -> None:
            self.world = world

        def find(self, account_id: str, name: str, /) -> Role | None:
            return self.world.roles.get(name)

    def lookup(self, access_key: str) -> Key | None:
        return self.keys.get(access_key)

    def account(self, account_id: str) -> Account | None:
        return self.accounts.get(account_id)

    def first(self) -> tuple[str, bytes]:
        assert self.host is not None
        return "one", self.host

    def find(self, key_id: str, /) -> bytes | None:
        return self.host


@pytest.mark.parametrize("roles", [(), ROLES])
@pytest.mark.parametrize("parent", ["AKALICE", ""])
def test_a_session_that_was_used_a_moment_ago_follows_each_change(
    parent: str, roles: tuple[tuple[str, str, str], ...]
) -> None:
    """What was found once is found again only while nothing has changed that it hangs on."""
    if not parent and not roles:
        return
    world = World()
    made = world.sessions.open(Session(parent, expires=NOW + 900, roles=roles, name="me"))
    token = token_of(made)

    def found() -> Key | None:
        try:
            return world.sessions.find(made.access_key, token, NOW)
        except InvalidToken:
            return None

    def again() -> None:
        world.keys["AKALICE"], world.host = PARENT, b"h" * 32
        world.accounts["alice"], world.accounts["bob"] = ALICE, BOB
        world.roles["reader"] = READER
        assert found() == found() == made

    again()
    if parent:
        for key in (None, replace(PARENT, secret_key="new")):
            world.keys["AKALICE"] = key
            assert found() is None
            again()
        narrowed = Scope(read_only=True)
        world.keys["AKALICE"] = replace(PARENT, scope=narrowed)
        now = found()
        assert now is not None
        assert now.scope == narrowed
    else:
        world.host = None
        assert found() is None
        again()
        world.host = b"i" * 32
        assert found() is None
    again()
    policies = (parse_policy(NARROW.encode(), kind="user"),)
    if not roles:
        world.keys["AKALICE"] = replace(PARENT, policies=policies)
        now = found()
        assert now is not None
        assert now.policies is policies
        again()
    else:
        for role in (replace(READER, id="AROA2"), replace(READER, account_status="suspended")):
            world.roles["reader"] = role
            assert found() is None
            again()
        world.roles["reader"] = replace(READER, policies=policies)
        now = found()
        assert now is not None
        assert now.policies is policies
        again()
        del world.accounts["bob"]
        assert found() is None
        again()
    # Neither with another key nor when it is over, however well it is known.
    with pytest.raises(InvalidToken):
        world.sessions.find("ASIA" + "A" * 16, token, NOW)
    with pytest.raises(ExpiredToken):
        world.sessions.find(made.access_key, token, NOW + 900)


def test_it_ends_with_each_role_that_it_went_through() -> None:
    other = replace(READER, name="other", id="AROA7")
    roles = (("bob", "other", "AROA7"), *ROLES)
    made = for_roles(Book(READER, other)).open(Session("AKALICE", 0, False, NOW + 9, 0, roles))
    assert for_roles(Book(READER, other)).find(made.access_key, token_of(made), NOW) == made
    with pytest.raises(InvalidToken):
        for_roles(Book(READER)).find(made.access_key, token_of(made), NOW)


def test_a_session_without_parent_or_role_is_nobodys() -> None:
    with pytest.raises(InvalidToken):
        for_roles().open(Session("", expires=NOW + 900))


def test_what_a_token_cannot_hold_is_refused_when_it_is_made() -> None:
    session = Session("AKALICE", expires=NOW + 900, roles=ROLES, name="me")
    tags = tuple((f"{number:0128}", "x" * 256) for number in range(50))
    with pytest.raises(PackedPolicyTooLarge):
        for_roles().open(replace(session, tags=tags))
    made = for_roles().open(replace(session, tags=tags[:5]))
    assert len(token_of(made)) <= LONGEST
    assert for_roles().find(made.access_key, token_of(made), NOW) == made


@given(
    parts=strategies.lists(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from(["Allow", "Deny"]),
                strategies.sampled_from(["s3:Get*", "s3:*", "s3:PutObject", "s3:GetObject"]),
                strategies.sampled_from(["*", "arn:aws:s3:::photos/*", "arn:aws:s3:::other/*"]),
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=2,
        max_size=2,
    ),
    action=strategies.sampled_from(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
)
@settings(max_examples=60, deadline=None)
def test_a_sessions_policy_never_widens(
    parts: list[list[tuple[str, str, str]]], action: str
) -> None:
    """What a narrowed session may do, the role may; and the policy allows it."""
    texts = [
        json.dumps(
            {
                "Statement": [
                    {"Effect": effect, "Action": wanted, "Resource": resource}
                    for effect, wanted, resource in part
                ]
            }
        )
        for part in parts
    ]
    role = replace(READER, policies=(parse_policy(texts[0].encode(), kind="user"),))
    sessions = for_roles(Book(role))
    access = BucketAccess()
    bucket = Bucket(1, "photos", "bob", 0)

    def may(policy: str) -> bool:
        key = sessions.open(
            Session("AKALICE", expires=NOW + 900, roles=ROLES, name="me", policy=policy)
        )
        caller = Caller(
            key.account,
            principal=key.principal,
            policies=key.policies,
            session_policy=key.session_policy,
        )
        return access.decide(Question(caller, action, bucket, b"k")).allowed

    alone = parse_policy(texts[1].encode(), kind="user").decide(
        Question(Caller(BOB), action, bucket, b"k")
    )
    assert may(texts[1]) is (may("") and alone is not None and not alone.deny)


def test_a_session_may_do_its_work_in_its_bucket_alone() -> None:
    access = SessionAccess(BucketAccess())
    mine, another = (Bucket(number, f"b{number}", "alice", 0) for number in (7, 8))

    def may(action: str, bucket: Bucket | None, read_only: bool) -> bool:
        caller = Caller(ALICE, "AKALICE", Session("AKALICE", 7, read_only, NOW))
        return access.decide(Question(caller, action, bucket, b"k")).allowed

    for action in READING:
        assert may(action, mine, True)
        assert may(action, mine, False)
        assert not may(action, another, False)
    for action in WRITING - READING:
        assert may(action, mine, False)
        assert not may(action, mine, True)
    for action in (
        "s3:DeleteBucket",
        "s3:PutBucketPolicy",
        "s3:PutObjectAcl",
        "s3express:CreateSession",
    ):
        assert not may(action, mine, False)
    assert not may("s3:ListAllMyBuckets", None, False)
    assert not may("s3:CreateBucket", None, False)
    assert access.decide(Question(Caller(ALICE, "AKALICE"), "s3:DeleteBucket", mine)).allowed
