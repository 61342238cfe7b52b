"""Accounts, users and access keys as rows, on every kind of database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3kit.errors import EntityAlreadyExists
from s3kit.errors import NoSuchEntity
from s3kit.index import access_keys
from s3kit.index import accounts
from s3kit.index import buckets
from s3kit.index.access_keys import SealedSecret
from s3kit.index.access_keys import StoredKey
from s3kit.index.accounts import StoredAccount
from s3kit.index.accounts import StoredUser
from s3kit.index.connections import Connection
from s3kit.index.session import Index

ALICE = StoredAccount(
    "alice",
    "111122223333",
    "Ålice 🦊",
    "a@b.example",
    plan="free",
    limits={"keys": None},
    created=5,
)
BOB = StoredAccount("bob", "444455556666")
SECRET = SealedSecret("c2FsdA==:c2VhbGVk", "first")


def key(access_key: str, account: str = "alice", **values: object) -> StoredKey:
    return replace(StoredKey(access_key, account), **values)  # type: ignore[arg-type]


def test_every_statement_does_what_it_says(index: Index) -> None:
    def made(c: Connection) -> None:
        accounts.insert(c, ALICE)
        accounts.insert(c, BOB)
        accounts.insert_user(c, StoredUser("alice", "carol", 7, {"read": '{"ä": 1}'}))
        access_keys.insert(c, key("AK1", created=2, label="Kamera 📷"), SECRET)
        access_keys.insert(c, key("AK2", created=1, user="carol", scope='{"a":1}'), SECRET)
        access_keys.insert(c, key("AK3", "bob", scope="{}"), replace(SECRET, master="next"))

    index.write(made)
    # Accounts.
    assert index.read(lambda c: accounts.get(c, "alice")) == ALICE
    for strange in ("Alice", "alice ", "", "a\0", "x" * 256, "\udcff"):
        assert index.read(lambda c, s=strange: accounts.get(c, s)) is None  # type: ignore[misc]
    assert index.read(lambda c: accounts.page(c, "", 9)) == [ALICE, BOB]
    assert index.read(lambda c: accounts.page(c, "alice", 9)) == [BOB]
    for twin in (replace(ALICE, number="1" * 12), replace(ALICE, id="x")):
        with pytest.raises(EntityAlreadyExists):
            index.write(lambda c, t=twin: accounts.insert(c, t))  # type: ignore[misc]
    changed = replace(ALICE, status=accounts.CLOSING, delete_at=99, limits=None, plan="")

    def change(c: Connection) -> StoredAccount | None:
        accounts.lock(c, "alice")
        accounts.change(c, changed)
        buckets.insert(c, "photos", "alice", 1)
        assert accounts.count_buckets(c, "alice") == 1
        assert accounts.count_buckets(c, "bob") == 0
        return accounts.lock(c, "alice")

    assert index.write(change) == changed

    # Users.
    (carol,) = index.read(lambda c: accounts.users_of(c, "alice"))
    assert carol == StoredUser("alice", "carol", 7, {"read": '{"ä": 1}'})
    with pytest.raises(EntityAlreadyExists):
        index.write(lambda c: accounts.insert_user(c, carol))
    index.write(lambda c: accounts.set_policies(c, replace(carol, policies={})))
    found = index.read(lambda c: accounts.get_user(c, "alice", "carol"))
    assert found == replace(carol, policies={})
    assert index.read(lambda c: accounts.get_user(c, "alice", "CAROL")) is None
    assert index.read(lambda c: accounts.get_user(c, "bob", "carol")) is None
    with pytest.raises(NoSuchEntity):
        index.write(lambda c: accounts.set_policies(c, replace(carol, name="dave")))

    # Keys.
    facts = index.read(lambda c: access_keys.facts(c, "AK2"))
    assert facts is not None
    assert (facts.account_status, facts.display_name) == (accounts.CLOSING, ALICE.display_name)
    assert (facts.user, facts.policies, facts.sealed) == ("carol", "", SECRET)
    assert "c2Vh" not in repr(facts) + repr(SECRET)
    for strange in ("ak2", "AK2 ", "ÄK2", "", "A\0", "A" * 129):
        assert index.read(lambda c, s=strange: access_keys.facts(c, s)) is None  # type: ignore[misc]
    assert index.read(lambda c: access_keys.signer(c, "alice")) == "AK1"
    assert index.read(lambda c: access_keys.signer(c, "bob")) is None
    assert [each.access_key for each in index.read(lambda c: access_keys.keys_of(c, "alice"))] == [
        "AK2",
        "AK1",
    ]
    assert index.read(lambda c: access_keys.count_of(c, "alice")) == 2
    with pytest.raises(EntityAlreadyExists):
        index.write(lambda c: access_keys.insert(c, key("AK1", "bob"), SECRET))
    index.write(lambda c: access_keys.touch(c, [("AK1", 50), ("AK2", 60), ("gone", 1)]))
    index.write(lambda c: access_keys.touch(c, [("AK1", 49)]))
    index.write(lambda c: access_keys.set_status(c, "AK1", access_keys.DISABLED))
    assert index.read(lambda c: access_keys.get(c, "AK1")) == key(
        "AK1", created=2, label="Kamera 📷", last_used=50, status=access_keys.DISABLED
    )
    assert index.read(lambda c: access_keys.signer(c, "alice")) is None

    # Another master key.
    assert index.read(access_keys.count) == 3
    assert index.read(lambda c: access_keys.sealed_page(c, "", 1)) == [("AK1", SECRET)]
    new = SealedSecret("bmV3:bmV3", "next")
    assert index.write(lambda c: access_keys.wrap(c, "AK1", SECRET, new))
    assert not index.write(lambda c: access_keys.wrap(c, "AK1", SECRET, new))
    index.write(lambda c: access_keys.set_secret(c, "AK2", new))
    assert index.read(lambda c: access_keys.sealed_page(c, "", 2)) == [("AK1", new), ("AK2", new)]

    # What an account has goes with it.
    def delete(c: Connection) -> None:
        assert access_keys.delete_of_user(c, "alice", "carol") == 1
        accounts.delete_user(c, "alice", "carol")
        access_keys.delete(c, "AK1")
        assert access_keys.count_of(c, "alice") == 0
        accounts.delete(c, "bob")

    index.write(delete)
    assert index.read(access_keys.count) == 0
    assert index.read(lambda c: accounts.users_of(c, "alice")) == []
    assert index.read(lambda c: accounts.page(c, "", 9)) == [changed]

    def again(c: Connection) -> int:
        access_keys.insert(c, key("AK4"), SECRET)
        return access_keys.delete_of(c, "alice")

    assert index.write(again) == 1
