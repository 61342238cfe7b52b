"""Sessions without a table: what their tokens say holds, and ends when it should."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from s3kit.auth.access import BucketAccess
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.session import LIFE
from s3kit.auth.session import READING
from s3kit.auth.session import WRITING
from s3kit.auth.session import SessionAccess
from s3kit.auth.session import Sessions
from s3kit.errors import ExpiredToken
from s3kit.errors import InvalidToken
from s3kit.model import Account
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Key
from s3kit.model import Question
from s3kit.model import Session

ALICE = Account("alice")
PARENT = Key("AKALICE", "alice-secret", ALICE)
NOW = 1_700_000_000


def sessions(secret: str = "of the index", parent: Key | None = PARENT) -> Sessions:
    return Sessions(lambda: secret, DictKeyRing([parent] if parent else []))


def opened(read_only: bool = False) -> Key:
    return sessions().open(PARENT, 7, read_only=read_only, now=NOW)


def token_of(key: Key) -> str:
    assert key.session_token is not None
    return key.session_token


def test_every_process_finds_the_key_that_one_has_made() -> None:
    key = opened(read_only=True)
    assert key.session == Session("AKALICE", 7, True, NOW + LIFE)
    assert key.account == ALICE
    assert sessions().find(key.access_key, token_of(key), NOW + LIFE - 1) == key
    again = opened(read_only=True)
    assert {again.access_key, again.secret_key} & {key.access_key, key.secret_key} == set()
    assert PARENT.secret_key not in token_of(key)
    assert key.secret_key not in repr(key)


def test_it_is_its_openers_in_all_that_is_known_of_him() -> None:
    user = replace(PARENT, user="ursula")
    made = sessions(parent=user).open(user, 7, read_only=False, now=NOW)
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


def test_nothing_of_a_token_can_be_changed() -> None:
    key = opened(read_only=True)
    payload, _, mac = token_of(key).partition(".")
    facts = json.loads(base64.urlsafe_b64decode(payload + "=="))
    for place, value in ((2, 8), (3, 0), (4, NOW + 10**6), (0, 2), (1, "AKBOB"), (5, "x")):
        changed = [*facts[:place], value, *facts[place + 1 :]]
        other = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        with pytest.raises(InvalidToken):
            sessions().find(key.access_key, f"{other}.{mac}", NOW)
    for other in (mac[:-1], "", mac + "x", mac.swapcase()):
        with pytest.raises(InvalidToken):
            sessions().find(key.access_key, f"{payload}.{other}", NOW)
    with pytest.raises(InvalidToken):
        sessions().find(opened().access_key, token_of(key), NOW)


@pytest.mark.parametrize(
    "token",
    ["", ".", "a.b", "W10.x", "bnVsbA.x", "é.é", "[" * 1500, "x" * 5000, "e30.", "\0.\0"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        sessions().find("ASIAX", token, NOW)


@pytest.mark.parametrize("facts", [[1, 2, 3, 4, 5, 6], [1, "a", True, 0, "x", ""], [1] * 5, {}])
def test_nor_is_one_of_another_form(facts: object) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
    with pytest.raises(InvalidToken):
        sessions().find("ASIAX", f"{payload}.x", NOW)


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
