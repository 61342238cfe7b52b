"""s3kit.auth.loader: keys that a host's function finds."""

from __future__ import annotations

from typing import Any

import pytest

from s3kit.auth.loader import MOST_KEPT
from s3kit.auth.loader import LoaderKeyRing
from s3kit.auth.loader import read_account
from s3kit.auth.loader import read_key
from s3kit.errors import MalformedPolicy
from s3kit.model import Account
from s3kit.model import Key
from s3kit.model import Scope


class Host:
    """A host's keys, and how often it was asked about them."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys
        self.asked: list[str] = []
        self.now = 100.0

    def load(self, name: str) -> Any:
        self.asked.append(name)
        return self.keys.get(name)

    def ring(self, **options: Any) -> LoaderKeyRing:
        return LoaderKeyRing(self.load, clock=lambda: self.now, **options)


ROW = {"secret_key": "secret", "account": "alice"}


def test_a_key_is_remembered_for_a_second_and_then_asked_about_anew() -> None:
    host = Host(AK=ROW)
    ring = host.ring()
    key = ring.lookup("AK")
    assert key == Key("AK", "secret", Account("alice", "alice"))
    host.now += 0.9
    assert ring.lookup("AK") is key
    assert host.asked == ["AK"]
    host.now += 0.2
    # The same as before is the very same, so that its signing keys are still good.
    assert ring.lookup("AK") is key
    assert host.asked == ["AK", "AK"]
    host.now += 1
    host.keys["AK"] = {**ROW, "secret_key": "another"}
    changed = ring.lookup("AK")
    assert changed is not None
    assert changed.secret_key == "another"
    host.now += 1
    del host.keys["AK"]
    assert ring.lookup("AK") is None


def test_what_the_host_changes_in_its_own_answer_is_seen() -> None:
    row: dict[str, Any] = {**ROW, "scope": {"read_only": False}}
    host = Host(AK=row)
    ring = host.ring()
    ring.lookup("AK")
    row["scope"]["read_only"] = True
    host.now += 1
    key = ring.lookup("AK")
    assert key is not None
    assert key.scope == Scope(read_only=True)


def test_a_budget_that_nobody_counts_is_no_budget() -> None:
    key = Key("AK", "secret", Account("alice"), scope=Scope(byte_budget=3))
    with pytest.raises(ValueError, match="byte_budget is counted"):
        LoaderKeyRing(lambda name: key).lookup("AK")


def test_that_there_is_no_key_is_not_remembered() -> None:
    host = Host()
    ring = host.ring()
    assert ring.lookup("AK") is None
    host.keys["AK"] = ROW
    assert ring.lookup("AK") is not None


def test_without_seconds_each_lookup_asks() -> None:
    host = Host(AK=ROW)
    ring = host.ring(seconds=0)
    assert ring.lookup("AK") is ring.lookup("AK")
    assert host.asked == ["AK", "AK"]
    del host.keys["AK"]
    assert ring.lookup("AK") is None


def test_what_is_forgotten_counts_at_once() -> None:
    host = Host(AK=ROW, BK=ROW)
    ring = host.ring()
    for name in ("AK", "BK"):
        ring.lookup(name)
    host.keys.clear()
    ring.forget("AK")
    assert ring.lookup("AK") is None
    assert ring.lookup("BK") is not None
    ring.forget()
    assert ring.lookup("BK") is None


def test_an_answer_that_was_under_way_when_something_changed_is_not_kept() -> None:
    host = Host(AK=ROW)
    ring = host.ring()

    def load(name: str) -> Any:
        found = host.load(name)
        if len(host.asked) == 1:
            # Another thread disables the user meanwhile.
            host.keys.clear()
            ring.forget()
        return found

    ring._load_key = load
    assert ring.lookup("AK") is not None
    assert ring.lookup("AK") is None


@pytest.mark.parametrize("name", ["", "\0", "AK\n", "Ä", "\udcff", "A" * 129])
def test_what_can_be_no_key_is_not_asked_about(name: str) -> None:
    """PostgreSQL fails at a NUL, and anybody may send one."""
    host = Host(**{name: ROW})
    ring = LoaderKeyRing(host.load, host.load)
    if name:
        assert ring.lookup(name) is None
        assert host.asked == []
    assert ring.account("\0") is None
    assert ring.account("x" * 256) is None


def test_a_key_of_another_name_is_nobodys() -> None:
    """MariaDB finds AKIA... for akia... in most of its collations."""
    host = Host(ak=Key("AK", "secret", Account("alice")), bk={**ROW, "access_key": "BK"})
    ring = host.ring()
    assert ring.lookup("ak") is None
    assert ring.lookup("bk") is None


def test_no_number_of_keys_fills_the_memory() -> None:
    ring = LoaderKeyRing(lambda name: {**ROW, "account": name})
    for number in range(MOST_KEPT + 10):
        ring.lookup(f"AK{number}")
    assert len(ring._keys) <= MOST_KEPT
    assert len(ring._accounts) <= MOST_KEPT


def test_accounts_are_those_of_the_keys_or_the_hosts_own() -> None:
    host = Host(AK={**ROW, "account": {"id": "alice", "name": "Alice", "plan": "small"}})
    ring = host.ring()
    assert ring.account("alice") is None
    ring.lookup("AK")
    assert ring.account("alice") == Account("alice", "Alice", plan="small")
    accounts = Host(bob={"id": "bob", "number": "123456789012"}, eve={"id": "bob"})
    ring = LoaderKeyRing(host.load, accounts.load, clock=lambda: accounts.now)
    for _ in range(2):
        assert ring.account("bob") == Account("bob", "bob", number="123456789012")
    assert accounts.asked == ["bob"]
    accounts.now += 1
    assert ring.account("bob") is not None
    assert accounts.asked == ["bob", "bob"]
    assert ring.account("eve") is None
    assert ring.account("nobody") is None


def test_a_key_to_sign_with_is_of_the_account_that_was_asked_about() -> None:
    host = Host(alice={**ROW, "access_key": "AK"}, bob=Key("BK", "s", Account("bob")), eve={**ROW})
    ring = LoaderKeyRing(lambda name: None, load_key_of=host.load)
    for name, access_key in (("alice", "AK"), ("bob", "BK")):
        key = ring.key_of(name)
        assert key is not None
        assert key.access_key == access_key
    assert ring.key_of("nobody") is None
    host.keys["bob"] = host.keys["alice"]
    assert ring.key_of("bob") is None
    with pytest.raises(ValueError, match="needs an access_key"):
        ring.key_of("eve")
    assert LoaderKeyRing(host.load).key_of("alice") is None


POLICY = {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}


def test_a_mapping_says_all_that_a_key_is() -> None:
    key = read_key(
        "AK",
        {
            "secret_key": "s",
            "account": Account("alice"),
            "user": "camera",
            "policies": [POLICY],
            "scope": {"paths": ["photos/2026/"], "read_only": True},
        },
    )
    assert (key.account, key.user) == (Account("alice"), "camera")
    assert key.scope == Scope(paths=(("photos", b"2026/"),), read_only=True)
    assert key.policies is not None
    assert len(key.policies) == 1
    assert read_key("AK", {"secret_key": "s"}).account.id == "default"
    assert read_key("AK", {"secret_key": "s", "policies": []}).policies == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "needs an access_key and a secret_key"),
        ({"secret_key": ""}, "needs an access_key and a secret_key"),
        ({"secret_key": b"s"}, "needs an access_key and a secret_key"),
        ({"secret_key": "s", "acount": "a"}, 'Did you mean "account"'),
        ({"secret_key": "s", "zzz": 1}, "There are access_key, secret_key"),
        ({"secret_key": "s", "account": 3}, "an account is a mapping, not int"),
        ({"secret_key": "s", "account": {"name": "x"}}, "an account needs an id"),
        ({"secret_key": "s", "account": {"id": "x", "email": 3}}, "an account needs an id"),
        ({"secret_key": "s", "access_key": 3}, "access_key must be a text"),
        ({"secret_key": "s", "user": 3}, "user must be a text"),
        ({"secret_key": "s", "scope": {"read_onyl": True}}, 'Did you mean "read_only"'),
        ({"secret_key": "s", "scope": {"byte_budget": 3}}, "byte_budget is counted"),
        ("AK", "a key is a mapping, not str"),
    ],
)
def test_what_is_no_key_says_why_and_never_the_secret(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_key("AK", document)


def test_a_malformed_policy_is_no_leave() -> None:
    with pytest.raises(MalformedPolicy):
        read_key("AK", {"secret_key": "s", "policies": [{"Statement": {"Effect": "Allow"}}]})


def test_an_account_has_its_id_for_a_name() -> None:
    assert read_account({"id": "alice"}) == Account("alice", "alice")
