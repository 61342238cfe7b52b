"""s3kit.auth.keyring: keys in a dict."""

from __future__ import annotations

import pytest

from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.keyring import KeyRings
from s3kit.model import Account
from s3kit.model import Key

ALICE = Account("alice-id", "alice")


def test_a_key_is_found_by_its_id_and_an_account_by_its_own() -> None:
    key = Key("AK", "secret", ALICE)
    ring = DictKeyRing([key, Key("AK2", "secret", ALICE)])
    assert ring.lookup("AK") is key
    assert ring.account("alice-id") is ALICE


def test_what_is_not_there_is_none() -> None:
    ring = DictKeyRing()
    assert ring.lookup("AK") is None
    assert ring.lookup("") is None
    assert ring.account("alice-id") is None


@pytest.mark.parametrize("key", [Key("AK", "", ALICE), Key("", "secret", ALICE)])
def test_an_empty_id_or_secret_is_refused_when_the_ring_is_made(key: Key) -> None:
    """A006: with an empty secret anyone could sign."""
    with pytest.raises(ValueError, match="must not be empty"):
        DictKeyRing([key])


def test_two_keys_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        DictKeyRing([Key("AK", "one", ALICE), Key("AK", "two", ALICE)])


def test_a_key_does_not_show_its_secret() -> None:
    assert "hidden" not in repr(Key("AK", "hidden", ALICE, session_token="hidden too"))


def test_of_several_rings_the_first_that_knows_answers() -> None:
    first, bob = Key("AK", "secret", ALICE), Account("bob-id", "bob")
    later = [
        Key("AK", "other", bob),
        Key("AK2", "secret", bob),
        Key("AK3", "s", Account("alice-id")),
    ]
    rings = KeyRings(DictKeyRing([first]), DictKeyRing(later))
    assert rings.lookup("AK") is first
    assert rings.lookup("AK2") is later[1]
    assert rings.account("alice-id") is ALICE
    assert rings.account("bob-id") is bob
    assert rings.key_of("alice-id") is first
    assert rings.key_of("bob-id") is later[0]
    for nobody in (rings.lookup, rings.account, rings.key_of):
        assert nobody("nobody") is None
