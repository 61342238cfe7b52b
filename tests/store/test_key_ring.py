"""Access keys in the index, by real signed requests: found, revoked, remembered, last used."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.auth.loader import LoaderKeyRing
from s3kit.config import Config
from s3kit.index import access_keys as rows
from s3kit.store import account_rows
from s3kit.store import key_ring
from s3kit.store.accounts import NewKey
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import MASTER_KEY

OTHER_MASTER = MASTER_KEY[::-1].replace("=", "") + "="


def open_app(folder: Path, **settings: Any) -> S3App:
    """An app over the same database as every other in this folder."""
    values: dict[str, Any] = {
        "index": f"sqlite:///{folder}/index.db",
        "durability": "relaxed",
        "keys": {"AKCONFIG": "secret"},
        "master_keys": (MASTER_KEY,),
        **settings,
    }
    host_keys = values.pop("host_keys", None)
    return S3App(Config(**values), host_keys=host_keys)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[S3App]:
    app = open_app(tmp_path)
    yield app
    app.close()


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[S3App]:
    """Its host has a key for each account that is asked for."""
    keys = LoaderKeyRing(lambda name: {"secret_key": "secret", "account": name.lower()})
    app = open_app(tmp_path, host_keys=keys)
    yield app
    app.close()


@pytest.fixture
def other(tmp_path: Path, app: S3App) -> Iterator[S3App]:
    """What is another process to the first: its own index, store and ring."""
    other = open_app(tmp_path)
    yield other
    other.close()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, app: S3App) -> None:
        self.now = 1000.0
        app.store._backing.accounts.clock = lambda: self.now


def listing(app: S3App, key: NewKey, secret: str = "") -> Answer:
    return Client(app, Signer(key.access_key, secret or key.secret_key)).get("/")


def statements(app: S3App, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The access keys that the index is asked for from now on."""
    asked: list[str] = []
    facts = rows.facts

    def counted(connection: Any, access_key: str) -> Any:
        asked.append(access_key)
        return facts(connection, access_key)

    monkeypatch.setattr(rows, "facts", counted)
    return asked


def test_a_key_in_sql_signs_and_its_account_is_shown(app: S3App) -> None:
    account = app.store.accounts.create(display_name="Alice")
    key = app.store.accounts.create_key(account.id)
    answer = listing(app, key)
    assert answer.status == 200
    assert answer.text("Owner/ID") == account.id
    assert answer.text("Owner/DisplayName") == "Alice"
    assert listing(app, key, "another secret").code == "SignatureDoesNotMatch"
    ring = app.site.key_ring
    assert ring.key_of(account.id) is ring.lookup(key.access_key)  # type: ignore[attr-defined]
    assert ring.account(account.id) == account.account
    assert ring.lookup("AKCONFIG") is not None
    assert ring.account("default") is not None


@pytest.mark.parametrize("machine", ["the same", "another"])
def test_every_way_of_revoking_a_key_counts_at_once_here_and_within_a_second_elsewhere(
    app: S3App, other: S3App, machine: str
) -> None:
    clock = Clock(other)
    if machine == "another":
        # As on any database but SQLite: nothing tells that somebody else has changed something.
        other.store._backing.index.recent = None
    accounts = app.store.accounts
    account = accounts.create()
    user = accounts.create_user(account.id, "bob", {"all": POLICY})
    for revoke in (
        accounts.disable_key,
        accounts.delete_key,
        lambda access_key: accounts.suspend(account.id),
        lambda access_key: accounts.reset_keys(account.id),
        lambda access_key: accounts.delete_user(account.id, "bob"),
    ):
        key = accounts.create_key(account.id, user=user.name)
        clock.now += 1
        assert listing(app, key).status == listing(other, key).status == 200
        revoke(key.access_key)
        answer = listing(app, key)
        assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
        if machine == "another":
            clock.now += 0.999
            assert listing(other, key).status == 200
            clock.now += 0.001
        assert listing(other, key).code == "InvalidAccessKeyId"
        accounts.resume(account.id)
    assert accounts.list_users(account.id) == ()


POLICY = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}


def test_rotation_ends_the_old_secret_at_once(app: S3App, other: S3App) -> None:
    """FB-24: a new secret for the same access key."""
    clock = Clock(other)
    accounts = app.store.accounts
    old = accounts.create_key(accounts.create().id)
    assert listing(app, old).status == listing(other, old).status == 200
    new = accounts.rotate_key(old.access_key)
    assert new.access_key == old.access_key
    assert new.secret_key != old.secret_key
    assert listing(app, old).code == "SignatureDoesNotMatch"
    assert listing(app, new).status == 200
    clock.now += 1
    assert listing(other, old).code == "SignatureDoesNotMatch"
    assert listing(other, new).status == 200


def test_a_new_policy_or_name_counts_within_a_second(app: S3App, other: S3App) -> None:
    clock = Clock(other)
    accounts = app.store.accounts
    account = accounts.create(display_name="Before")
    accounts.create_user(account.id, "bob", {"all": POLICY})
    key = accounts.create_key(account.id, user="bob")
    assert listing(other, key).text("Owner/DisplayName") == "Before"
    accounts.set(account.id, display_name="After")
    clock.now += 1
    assert listing(other, key).text("Owner/DisplayName") == "After"
    accounts.delete_user_policy(account.id, "bob", "all")
    assert listing(app, key).code == "AccessDenied"
    clock.now += 1
    assert listing(other, key).code == "AccessDenied"


def test_the_very_same_key_is_found_while_nothing_changes(
    app: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(app)
    accounts = app.store.accounts
    account = accounts.create()
    accounts.create_user(account.id, "bob", {"all": POLICY})
    key = accounts.create_key(account.id, user="bob", scope={"read_only": True})
    ring = app.store.key_ring
    found = ring.lookup(key.access_key)
    assert found is not None
    assert found.scope is not None
    assert found.scope.read_only
    asked = statements(app, monkeypatch)
    for _ in range(3):
        assert ring.lookup(key.access_key) is found
    assert asked == []
    clock.now += 1
    assert ring.lookup(key.access_key) is found
    assert asked == [key.access_key]
    # Neither another key nor its being used makes it another one.
    accounts.create_key(account.id)
    ring.used(key.access_key)
    ring.flush()
    clock.now += 1
    assert ring.lookup(key.access_key) is found
    accounts.disable_key(key.access_key)
    assert ring.lookup(key.access_key) is None
    accounts.enable_key(key.access_key)
    again = ring.lookup(key.access_key)
    assert again == found
    # Policies are read once for all keys of a user.
    assert again is not None
    assert again.policies is not None
    assert found.policies is not None
    assert again.policies[0] is found.policies[0]


def test_a_key_that_was_revoked_while_it_was_read_is_not_remembered(
    app: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = app.store.accounts
    key = accounts.create_key(accounts.create().id)
    facts = rows.facts

    def slow(connection: Any, access_key: str) -> Any:
        found = facts(connection, access_key)
        monkeypatch.undo()
        accounts.delete_key(access_key)
        return found

    monkeypatch.setattr(rows, "facts", slow)
    app.store.key_ring.lookup(key.access_key)
    assert app.store.key_ring.lookup(key.access_key) is None


def test_strangers_push_no_key_out(app: S3App, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(app)
    monkeypatch.setattr(account_rows, "MOST_MISSING", 3)
    accounts = app.store.accounts
    key = accounts.create_key(accounts.create().id)
    ring = app.store.key_ring
    ring.lookup(key.access_key)
    asked = statements(app, monkeypatch)
    for number in range(10):
        assert ring.lookup(f"STRANGER{number}") is None
        assert ring.lookup(f"STRANGER{number}") is None
        # Not even read.
        assert ring.lookup("Ä" * 2000) is None
    assert len(asked) == 10
    assert len(ring._remembered) <= 4
    assert ring.lookup(key.access_key) is not None
    assert len(asked) == 10


def test_a_key_that_was_not_there_is_found_as_soon_as_it_is_made(app: S3App, other: S3App) -> None:
    clock = Clock(other)
    accounts = app.store.accounts
    account = accounts.create()
    key = accounts.create_key(account.id)
    assert other.site.key_ring.account(account.id) == account.account
    accounts.delete_key(key.access_key)
    assert listing(other, key).code == "InvalidAccessKeyId"
    second = accounts.create_key(account.id)
    assert listing(other, second).status == 200
    clock.now += 1
    accounts.delete_key(second.access_key)
    accounts.delete(account.id)
    assert app.site.key_ring.account(account.id) is None
    clock.now += 1
    assert other.site.key_ring.account(account.id) is None


@pytest.mark.parametrize("strange", ["\0", "a\0b", "x" * 5000, "\udcff", "", "a ", "'--"])
def test_no_name_upsets_the_ring(app: S3App, strange: str) -> None:
    ring = app.site.key_ring
    app.store.accounts.create(id="a")
    assert ring.lookup(strange) is None
    assert ring.account(strange) is None
    assert ring.key_of(strange) is None  # type: ignore[attr-defined]


def test_a_users_key_may_do_what_its_policies_allow(app: S3App) -> None:
    accounts = app.store.accounts
    account = accounts.create()
    owner = Client(app, _signer(accounts.create_key(account.id)))
    owner.put("/photos")
    owner.put("/photos/open/1", b"hello")
    owner.put("/photos/shut/1", b"hello")
    accounts.create_user(account.id, "bob")
    bob = Client(app, _signer(accounts.create_key(account.id, user="bob")))
    assert bob.get("/photos/open/1").code == "AccessDenied"
    reading = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
    shut = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::photos/shut/*"}
    accounts.put_user_policy(account.id, "bob", "read", {"Statement": [reading]})
    accounts.put_user_policy(account.id, "bob", "shut", {"Statement": [shut]})
    assert bob.get("/photos/open/1").body == b"hello"
    assert bob.get("/photos/shut/1").code == "AccessDenied"
    assert bob.put("/photos/open/1", b"").code == "AccessDenied"


def _signer(key: NewKey) -> Signer:
    return Signer(key.access_key, key.secret_key)


def test_the_configuration_is_asked_first_and_says_what_an_account_is(tmp_path: Path) -> None:
    entry = {
        "id": "team",
        "name": "The team",
        "number": "111122223333",
        "keys": [{"access_key": "AKTEAM", "secret_key": "s"}],
    }
    app = open_app(tmp_path, accounts=[entry])
    try:
        key = app.store.accounts.create_key("team")
        found, configured = (app.site.key_ring.lookup(each) for each in (key.access_key, "AKTEAM"))
        assert found is not None
        assert configured is not None
        assert found.account == configured.account
        assert listing(app, key).text("Owner/DisplayName") == "The team"
        # Its row is a copy, which the configuration overrules.
        assert app.store.accounts.list()[0].number == "111122223333"
    finally:
        app.close()


def test_a_secret_that_cannot_be_unsealed_is_no_key_and_no_500(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = open_app(tmp_path)
    key = app.store.accounts.create_key(app.store.accounts.create().id)
    app.close()
    for settings in ({"master_keys": (OTHER_MASTER,)}, {"master_keys": ()}):
        app = open_app(tmp_path, **settings)
        try:
            with caplog.at_level(logging.ERROR):
                assert listing(app, key).code == "InvalidAccessKeyId"
            assert "is missing" in caplog.text
            assert key.secret_key not in caplog.text
        finally:
            app.close()
    # Nor one that was moved to another row.
    app = open_app(tmp_path)
    try:
        victim = app.store.accounts.create_key("default")
        assert listing(app, victim).status == 200

        def swap(connection: Any) -> None:
            (sealed,) = (
                each
                for name, each in rows.sealed_page(connection, "", 9)
                if name == victim.access_key
            )
            rows.set_secret(connection, key.access_key, sealed)

        app.store.index.write(swap)
        app.store._backing.accounts.forget()
        assert listing(app, key, victim.secret_key).code == "InvalidAccessKeyId"
        # As soon as it can be opened again, it is.
        new = app.store.accounts.rotate_key(key.access_key)
        assert listing(app, new).status == 200
    finally:
        app.close()


def test_when_a_key_was_last_used_is_written_down_later(
    app: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = app.store.accounts
    key = accounts.create_key(accounts.create().id)
    idle = accounts.create_key(key.key.account)
    written: list[object] = []
    touch = rows.touch
    monkeypatch.setattr(rows, "touch", lambda c, used: (written.append(used), touch(c, used)))
    for _ in range(5):
        assert listing(app, key).status == 200
    # A signature that is wrong is no use of the key.
    listing(app, idle, "wrong")
    Client(app, Signer("AKCONFIG", "secret")).get("/")
    Client(app, None).get("/")
    assert written == []
    assert accounts.get_key(key.access_key).last_used == 0
    app.store.key_ring.flush()
    used = accounts.get_key(key.access_key).last_used
    assert abs(used - app.store._backing.now()) < 60_000
    assert len(written) == 1
    app.store.key_ring.flush()
    assert len(written) == 1
    assert accounts.get_key(idle.access_key).last_used == 0
    assert used > 0


def test_when_a_key_was_last_used_is_written_down_at_the_end(tmp_path: Path) -> None:
    app = open_app(tmp_path)
    key = app.store.accounts.create_key("default")
    listing(app, key)
    app.close()
    app = open_app(tmp_path)
    assert app.store.accounts.get_key(key.access_key).last_used > 0
    app.close()


def test_the_background_writes_down_when_keys_were_last_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "FLUSH_SECONDS", 0.01)
    app = open_app(tmp_path)
    try:
        key = app.store.accounts.create_key("default")
        listing(app, key)
        limit = time.monotonic() + 60
        while not app.store.accounts.get_key(key.access_key).last_used:
            assert time.monotonic() < limit, "nobody wrote it down"
            time.sleep(0.01)
    finally:
        app.close()


def test_an_endpoint_without_keys_in_sql_notes_no_use(app: S3App) -> None:
    Client(app, Signer("AKCONFIG", "secret")).get("/")
    assert not app.store.key_ring.in_use


def test_keys_of_an_account_that_is_to_be_deleted_only_read(app: S3App) -> None:
    accounts = app.store.accounts
    account = accounts.create()
    key = accounts.create_key(account.id)
    accounts.schedule_deletion(account.id, 2**40)
    found = app.site.key_ring.lookup(key.access_key)
    assert found is not None
    assert found.scope is not None
    assert found.scope.read_only
    accounts.resume(account.id)
    found = app.site.key_ring.lookup(key.access_key)
    assert found is not None
    assert found.scope is None


def test_a_hosts_key_ends_with_an_account_that_is_suspended_here(
    hosting: S3App, other: S3App
) -> None:
    alice, carol = (Client(hosting, Signer(name, "secret")) for name in ("ALICE", "CAROL"))
    # The host's word is enough where the index knows nothing of the account.
    assert (alice.put("/photos").status, carol.put("/carols").status) == (200, 200)
    accounts = hosting.store.accounts
    accounts.create(id="alice")
    assert alice.put("/photos/key", b"1").status == 200
    accounts.suspend("alice")
    assert alice.get("/photos/key").code == "InvalidAccessKeyId"
    # Nor does one sign for it in Python.
    assert hosting.site.key_ring.key_of("alice") is None
    assert carol.get("/").status == 200
    accounts.resume("alice")
    assert alice.get("/photos/key").status == 200
    accounts.schedule_deletion("alice", 2**40)
    assert alice.get("/photos/key").status == 200
    assert alice.put("/photos/key", b"2").code == "AccessDenied"
    accounts.resume("alice")
    # Within a second where another process has suspended it.
    clock = Clock(hosting)
    assert alice.put("/photos/key", b"2").status == 200
    other.store.accounts.suspend("alice")
    clock.now += 1.01
    assert alice.get("/photos/key").code == "InvalidAccessKeyId"
