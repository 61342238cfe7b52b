"""Accounts, users and keys from Python: limits, hooks, sealed secrets, sign-up."""

from __future__ import annotations

import builtins
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from threading import Thread
from typing import Any

import pytest
from blinker import Signal

from s3kit import signals
from s3kit.app import S3App
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.config import Config
from s3kit.errors import AccessDenied
from s3kit.errors import BucketAlreadyExists
from s3kit.errors import DeleteConflict
from s3kit.errors import EntityAlreadyExists
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidBucketName
from s3kit.errors import InvalidRequest
from s3kit.errors import LimitExceeded
from s3kit.errors import MalformedPolicy
from s3kit.errors import NoSuchEntity
from s3kit.errors import NotImplemented as NotImplementedByS3
from s3kit.errors import S3Error
from s3kit.errors import TooManyBuckets
from s3kit.index import access_keys as key_rows
from s3kit.index import accounts as account_rows
from s3kit.index import buckets as bucket_rows
from s3kit.index import snapshot
from s3kit.index.schema import create_schema
from s3kit.index.session import Connection
from s3kit.index.session import Index
from s3kit.model import Bucket
from s3kit.model import Scope
from s3kit.profile import AWS
from s3kit.signals import AccountEvent
from s3kit.signals import Veto
from s3kit.store import Store
from s3kit.store.access_keys import AccessKeys
from s3kit.store.accounts import Accounts
from s3kit.store.encryption import Encryptions
from s3kit.store.master_keys import MasterKeys
from s3kit.store.master_keys import new_key_text
from s3kit.store.master_keys import put_new_first
from tests.client import Client
from tests.client import Signer
from tests.endpoint import MASTER_KEY

PLANS = {
    "free": {"keys": 5, "buckets": 2},
    "business": {"keys": "any", "buckets": 3},
    "web": {"s3": False},
}
POLICY = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}


def open_app(folder: Path, **settings: Any) -> S3App:
    values: dict[str, Any] = {
        "index": f"sqlite:///{folder}/index.db",
        "durability": "relaxed",
        "keys": {"AKCONFIG": "secret"},
        "master_keys": (MASTER_KEY,),
        "plans": PLANS,
        **settings,
    }
    return S3App(Config(**values))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[S3App]:
    app = open_app(tmp_path)
    yield app
    app.close()


@pytest.fixture
def accounts(app: S3App) -> Accounts:
    return app.store.accounts


@pytest.fixture
def heard() -> Iterator[list[AccountEvent]]:
    """Every event of accounts and keys that happened."""
    found: list[AccountEvent] = []

    def hear(sender: str, *, event: AccountEvent) -> None:
        assert sender == event.account
        found.append(event)

    all_of_them = (signals.account_created, signals.key_created, signals.key_revoked)
    for each in all_of_them:
        each.connect(hear)
    yield found
    for each in all_of_them:
        each.disconnect(hear)


def refusing(signal: Signal, reason: str) -> Any:
    def refuse(sender: str, *, event: AccountEvent) -> None:
        raise Veto(reason)

    return signal.connected_to(refuse)


# -- accounts


def test_an_account_has_ids_like_amazons_or_those_that_are_given(accounts: Accounts) -> None:
    made = accounts.create(display_name="Ålice", email="a@example.com", plan="free")
    assert len(made.id) == 64
    assert int(made.id, 16)
    assert len(made.number) == 12
    assert made.number.isdecimal()
    assert accounts.get(made.id) == made
    given = accounts.create(id="tenant-7", number="111122223333", limits={"keys": 1})
    assert accounts.get("tenant-7") == given
    assert {each.id for each in accounts.list()} == {made.id, "tenant-7"}
    assert accounts.create(id="444455556666").number == "444455556666"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"id": "tenant-7"}, EntityAlreadyExists),
        ({"number": "111122223333"}, EntityAlreadyExists),
        # In policies it would be the other's number.
        ({"id": "111122223333"}, EntityAlreadyExists),
        ({"number": "777788889999"}, EntityAlreadyExists),
        ({"id": "444455556666", "number": "111122224444"}, InvalidArgument),
        ({"id": "default"}, InvalidRequest),
        ({"number": "12"}, InvalidArgument),
        ({"id": "a\0"}, InvalidArgument),
        ({"id": "x" * 256}, InvalidArgument),
        ({"display_name": "two\nlines"}, InvalidArgument),
        ({"email": "\udcff"}, InvalidArgument),
        ({"plan": "golden"}, InvalidArgument),
        ({"limits": {"kyes": 1}}, InvalidArgument),
        ({"limits": {"keys": -1}}, InvalidArgument),
        ({"limits": {"keys": True}}, InvalidArgument),
        ({"limits": {"bytes": 2**63}}, InvalidArgument),
    ],
)
def test_what_cannot_be_an_account_changes_nothing(
    tmp_path: Path, given: dict[str, Any], error: type[S3Error]
) -> None:
    app = open_app(tmp_path, accounts=[{"id": "team", "number": "777788889999"}])
    try:
        app.store.accounts.create(id="tenant-7", number="111122223333")
        before = app.store.accounts.list()
        with pytest.raises(error):
            app.store.accounts.create(**given)
        with pytest.raises(error):
            app.store.accounts.sign_up(**given)
        assert app.store.accounts.list() == before
    finally:
        app.close()


def test_an_account_is_changed_suspended_and_removed(app: S3App, accounts: Accounts) -> None:
    made = accounts.create(display_name="Alice")
    changed = accounts.set(made.id, email="a@example.com", plan="free", limits={"keys": None})
    assert accounts.get(made.id) == changed
    assert (changed.display_name, changed.plan, changed.limits) == ("Alice", "free", {"keys": None})
    accounts.suspend(made.id)
    assert accounts.get(made.id).status == "suspended"
    for forbidden in (accounts.create_key, lambda id: accounts.create_user(id, "bob")):
        with pytest.raises(InvalidRequest):
            forbidden(made.id)
    accounts.schedule_deletion(made.id, 5)
    assert (accounts.get(made.id).status, accounts.get(made.id).delete_at) == ("closing", 5)
    with pytest.raises(InvalidRequest):
        accounts.suspend(made.id)
    for never in (0, -1, 253_402_300_800_000):
        with pytest.raises(InvalidArgument):
            accounts.schedule_deletion(made.id, never)
    assert accounts.get(made.id).delete_at == 5
    accounts.resume(made.id)
    assert (accounts.get(made.id).status, accounts.get(made.id).delete_at) == ("active", 0)
    bucket = app.store.buckets.create("photos", made.id)
    with pytest.raises(DeleteConflict):
        accounts.delete(made.id)
    app.store.buckets.delete(bucket)
    accounts.delete(made.id)
    for gone in (accounts.get, accounts.delete, accounts.create_key, accounts.suspend):
        with pytest.raises(NoSuchEntity):
            gone(made.id)


def test_the_configurations_accounts_are_what_it_says(tmp_path: Path) -> None:
    entry = {"id": "team", "name": "The team", "plan": "free"}
    app = open_app(tmp_path, accounts=[entry, {"id": "123412341234"}])
    try:
        accounts = app.store.accounts
        # Policies name accounts by both.
        with pytest.raises(EntityAlreadyExists):
            accounts.create(number="123412341234")
        assert accounts.get("team").display_name == "The team"
        assert accounts.limits_of("team").keys == 5
        assert accounts.list() == ()
        accounts.create_key("team")
        accounts.set("team", limits={"keys": 1})
        with pytest.raises(LimitExceeded):
            accounts.create_key("team")
        for change in ({"display_name": "x"}, {"plan": "business"}):
            with pytest.raises(InvalidRequest):
                accounts.set("team", **change)  # type: ignore[arg-type]
        # Nor is it said of keys that go on that they may do less.
        for end in (accounts.suspend, lambda each: accounts.schedule_deletion(each, 2**40)):
            with pytest.raises(InvalidRequest, match="take them out there"):
                end("team")
        assert accounts.get("team").status == "active"
        # The plan of one that has none may be given here.
        accounts.set("default", plan="business")
        assert accounts.get("default").plan == "business"
        key = app.store.key_ring.lookup(accounts.create_key("default").access_key)
        assert key is not None
        assert key.account.plan == "business"
    finally:
        app.close()


# -- keys


def test_a_key_looks_like_amazons_and_its_secret_is_told_once(
    app: S3App, accounts: Accounts, caplog: pytest.LogCaptureFixture, heard: list[AccountEvent]
) -> None:
    """CS-05: the secret is shown once only."""
    caplog.set_level(logging.DEBUG)
    account = accounts.create()
    made = accounts.create_key(account.id, label="My laptop", scope={"paths": ["photos/in/"]})
    assert made.access_key.startswith("AKIA")
    assert len(made.access_key) == 20
    assert set(made.access_key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert len(made.secret_key) == 40
    assert accounts.list_keys(account.id) == (made.key,)
    new = accounts.rotate_key(made.access_key)
    assert Client(app, Signer(new.access_key, new.secret_key)).get("/").code == "AccessDenied"
    Client(app, Signer(new.access_key, "wrong")).get("/")
    shown = [accounts.list_keys(account.id), accounts.get_key(made.access_key), made, new, heard]
    shown += [app.store.key_ring.lookup(made.access_key), caplog.text, app.config]
    for secret in (made.secret_key, new.secret_key, MASTER_KEY):
        assert not any(secret in repr(each) for each in shown)
    # Nor is it in the database: not in any column of any table, nor in its log.
    for file in Path(app.store.index.path).parent.glob("index.db*"):
        for secret in (made.secret_key, new.secret_key):
            assert secret.encode() not in file.read_bytes()


def test_the_prefix_of_keys_is_configured(tmp_path: Path) -> None:
    """CS-04: keys begin with CS."""
    app = open_app(tmp_path, key_prefix="CS")
    try:
        access_key = app.store.accounts.create_key("default").access_key
        assert access_key.startswith("CS")
        assert len(access_key) == 20
    finally:
        app.close()


def test_without_a_master_key_no_secret_is_stored(tmp_path: Path) -> None:
    app = open_app(tmp_path, master_keys=())
    try:
        for make in (app.store.accounts.create_key, app.store.accounts.rotate_key):
            with pytest.raises(InvalidRequest, match="set master_key_file or master_keys"):
                make("default")
        with pytest.raises(InvalidRequest, match="set master_key_file or master_keys"):
            app.store.accounts.sign_up(id="alice")
        assert app.store.accounts.list_keys("default") == ()
        assert not any(each.id == "alice" for each in app.store.accounts.list())
    finally:
        app.close()


def test_without_cryptography_no_secret_is_stored(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotImplementedByS3, match=r"s3kit\[encryption\]"):
        accounts.create_key("default")
    assert accounts.list_keys("default") == ()


@pytest.mark.parametrize(
    "given",
    [
        {"scope": {"paths": ["x"]}},
        {"scope": {"pathes": []}},
        {"scope": Scope(paths=(("No Bucket", b""),))},
        {"scope": Scope(paths=(("photos", b"\xff/"),))},
        {"scope": Scope(networks=("nonsense",))},
        {"scope": Scope(actions=("s3:Nothing",))},
        {"scope": Scope(byte_budget=-1)},
        {"label": "two\nlines"},
        {"label": "x" * 256},
    ],
)
def test_what_cannot_be_a_key_is_refused(accounts: Accounts, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        accounts.create_key("default", **given)
    assert accounts.list_keys("default") == ()


def test_what_is_not_there_cannot_be_changed(accounts: Accounts) -> None:
    for change in (
        accounts.get_key,
        accounts.rotate_key,
        accounts.disable_key,
        accounts.enable_key,
        accounts.delete_key,
    ):
        for name in ("AKNOBODY", "", "Ä", "a\0", "x" * 999):
            with pytest.raises(NoSuchEntity):
                change(name)
    with pytest.raises(NoSuchEntity):
        accounts.create_key("default", user="nobody")
    for unknown in ("nobody", "", "\0"):
        for ask in (accounts.create_key, accounts.reset_keys, accounts.get):
            with pytest.raises(NoSuchEntity):
                ask(unknown)
        assert accounts.list_keys(unknown) == accounts.list_users(unknown) == ()


def test_a_reset_removes_every_key_of_the_account(
    accounts: Accounts, heard: list[AccountEvent]
) -> None:
    """IU-10: the credentials of all sites are reset."""
    alice, bob = accounts.create(), accounts.create()
    accounts.create_user(alice.id, "carol")
    for user in ("", "", "carol"):
        accounts.create_key(alice.id, user=user)
    kept = accounts.create_key(bob.id)
    heard.clear()
    assert accounts.reset_keys(alice.id) == 3
    assert accounts.list_keys(alice.id) == ()
    assert accounts.list_keys(bob.id) == (kept.key,)
    assert [each.name for each in heard] == ["key-deleted"] * 3


# -- limits


def test_the_sixth_key_is_refused(app: S3App, accounts: Accounts) -> None:
    """CS-03."""
    account = accounts.create(plan="free")
    made = [accounts.create_key(account.id) for _ in range(5)]
    accounts.disable_key(made[0].access_key)
    with pytest.raises(LimitExceeded) as refused:
        accounts.create_key(account.id)
    assert refused.value.status == 409
    accounts.delete_key(made[0].access_key)
    accounts.create_key(account.id)
    accounts.set(account.id, limits={"keys": 6})
    accounts.create_key(account.id)
    accounts.set(account.id, plan="business", limits={})
    accounts.create_key(account.id)
    assert len(accounts.list_keys(account.id)) == 7


def test_a_bucket_too_many_is_refused(app: S3App, accounts: Accounts) -> None:
    """CS-07."""
    account = accounts.create(plan="free")
    key = accounts.create_key(account.id)
    client = Client(app, Signer(key.access_key, key.secret_key))
    assert [client.put(f"/bucket-{n}").status for n in range(2)] == [200, 200]
    answer = client.put("/bucket-2")
    assert (answer.status, answer.code) == (400, "TooManyBuckets")
    # What is one's own already is no new one.
    assert client.put("/bucket-1").status == 200
    assert client.delete("/bucket-1").status == 204
    assert client.put("/bucket-2").status == 200
    accounts.set(account.id, limits={"buckets": None})
    assert client.put("/bucket-3").status == 200
    # Others have no limit.
    assert [Client(app, Signer("AKCONFIG", "secret")).put(f"/x-{n}").status for n in range(4)] == [
        200
    ] * 4


def test_a_profiles_limits_count_for_whom_no_plan_speaks(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path}/index.db")
    create_schema(index)
    masters = Encryptions(MasterKeys([b"k" * 32]))
    profile = replace(AWS, most_keys=1, most_buckets=1, key_prefix="CS")
    store = Store(index, {"default": MemoryBlobStore()}, profile=profile, encryptions=masters)
    try:
        account = store.accounts.create()
        assert store.accounts.create_key(account.id).access_key.startswith("CS")
        with pytest.raises(LimitExceeded):
            store.accounts.create_key(account.id)
        store.buckets.create("first", account.id)
        with pytest.raises(TooManyBuckets):
            store.buckets.create("second", account.id)
        # Also for accounts that only a host's own key ring knows.
        store.buckets.create("third", "of-the-host")
        with pytest.raises(TooManyBuckets):
            store.buckets.create("fourth", "of-the-host")
    finally:
        store.close()


def test_two_who_make_the_last_one_at_once_do_not_both_have_it(tmp_path: Path) -> None:
    apps = [open_app(tmp_path) for _ in range(2)]
    account = apps[0].store.accounts.create(plan="free", limits={"keys": 1, "buckets": 1})
    barrier = Barrier(4)
    refused: list[str] = []

    def make(work: Any) -> None:
        barrier.wait()
        try:
            work()
        except S3Error as error:
            refused.append(error.code)

    def works(app: S3App, name: str) -> list[Any]:
        store = app.store
        return [
            lambda: store.accounts.create_key(account.id),
            lambda: store.buckets.create(name, account.id),
        ]

    found = [each for n, app in enumerate(apps) for each in works(app, f"bucket-{n}")]
    threads = [Thread(target=make, args=(each,)) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refused) == ["LimitExceeded", "TooManyBuckets"]
    assert len(apps[0].store.accounts.list_keys(account.id)) == 1
    for app in apps:
        app.close()


def test_a_plan_without_s3_has_no_keys(app: S3App, accounts: Accounts) -> None:
    """IU-09: S3 credentials exist only on a business plan."""
    account = accounts.create(plan="web")
    with pytest.raises(AccessDenied):
        accounts.create_key(account.id)
    accounts.set(account.id, plan="business")
    key = accounts.create_key(account.id)
    client = Client(app, Signer(key.access_key, key.secret_key))
    assert client.get("/").status == 200
    accounts.set(account.id, plan="web")
    assert client.get("/").code == "InvalidAccessKeyId"


def test_who_has_no_limit_is_asked_for_nothing_in_the_transaction(
    app: S3App, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_rows, "lock", None)
    app.store.buckets.create("photos", "default")
    assert accounts.list() == ()


# -- hooks


def test_whoever_may_not_sign_up_leaves_nothing(accounts: Accounts) -> None:
    """FB-02: a confirmed e-mail, no throw-away address."""
    with refusing(signals.before_account_created, "Confirm your e-mail first."):
        for make in (accounts.create, accounts.sign_up):
            with pytest.raises(AccessDenied, match=r"Confirm your e-mail first\."):
                make(email="x@throwaway.example")  # type: ignore[operator]
    assert accounts.list() == ()


def test_a_key_may_be_vetoed(accounts: Accounts, heard: list[AccountEvent]) -> None:
    """IU-09: the entitlement hook."""
    account = accounts.create(plan="free")
    heard.clear()
    with refusing(signals.before_key_created, "Only on a business plan."):
        with pytest.raises(AccessDenied, match=r"Only on a business plan\."):
            accounts.create_key(account.id)
        with pytest.raises(AccessDenied):
            accounts.sign_up(id="alice")
    assert accounts.list_keys(account.id) == ()
    assert [each.id for each in accounts.list()] == [account.id]
    assert heard == []


def test_receivers_hear_of_accounts_and_keys(accounts: Accounts, heard: list[AccountEvent]) -> None:
    account = accounts.create(display_name="Alice", email="a@example.com", plan="free")
    key = accounts.create_key(account.id, label="Laptop", scope={"read_only": True})
    accounts.rotate_key(key.access_key)
    accounts.disable_key(key.access_key)
    accounts.enable_key(key.access_key)
    accounts.delete_key(key.access_key)
    assert [each.name for each in heard] == [
        "account-created",
        "key-created",
        "key-rotated",
        "key-disabled",
        "key-deleted",
    ]
    assert {(each.account, each.email, each.plan) for each in heard} == {
        (account.id, "a@example.com", "free")
    }
    assert {(each.access_key, each.label, each.scope) for each in heard[1:]} == {
        (key.access_key, "Laptop", key.key.scope)
    }


def test_a_receiver_that_fails_fails_nobody(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sender: str, **event: object) -> None:
        raise RuntimeError

    with signals.account_created.connected_to(fail):
        accounts.create(id="alice")
    assert "failed" in caplog.text
    assert accounts.get("alice")


def test_signing_up_brings_a_key_and_a_bucket(
    app: S3App, accounts: Accounts, heard: list[AccountEvent]
) -> None:
    """CS-01."""
    made = accounts.sign_up(display_name="Alice", plan="free", label="First")
    client = Client(app, Signer(made.key.access_key, made.key.secret_key))
    assert client.get("/").texts("Buckets/Bucket/Name") == [made.bucket.name]
    assert client.put(f"/{made.bucket.name}/hello", b"hello").status == 200
    assert [each.name for each in heard] == ["account-created", "key-created"]
    heard.clear()
    with pytest.raises(BucketAlreadyExists):
        accounts.sign_up(id="bob", bucket=made.bucket.name)
    for name in ("UPPER", "a/b", "..", "x\0y", "a" * 64, "sthree-bob"):
        with pytest.raises(InvalidBucketName):
            accounts.sign_up(id="bob", bucket=name)
    with pytest.raises(NoSuchEntity):
        accounts.get("bob")
    assert heard == []


def test_nobody_sees_an_account_without_its_key_and_bucket(
    app: S3App, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill -9 in the middle of CS-01 leaves nothing: all of it is one transaction."""
    real = bucket_rows.insert
    seen: list[tuple[int, int]] = []

    def inserted(c: Connection, **values: Any) -> Bucket:
        made = real(c, **values)
        # What another process has, and this one after a crash.
        other = Thread(target=lambda: seen.append((len(accounts.list()), len(keys_of("alice")))))
        other.start()
        other.join()
        return made

    def keys_of(account: str) -> list[key_rows.StoredKey]:
        return app.store.index.read(lambda c: key_rows.keys_of(c, account))

    monkeypatch.setattr(bucket_rows, "insert", inserted)
    made = accounts.sign_up(id="alice")
    assert seen == [(0, 0)]
    assert (accounts.list(), len(keys_of("alice"))) == ((made.account,), 1)


def test_a_sign_up_tells_of_its_bucket_once_and_a_veto_leaves_nothing(
    app: S3App, accounts: Accounts, heard: list[AccountEvent]
) -> None:
    told: list[tuple[str, int]] = []

    def tell(bucket: str, *, event: Any) -> None:
        told.append((bucket, len(accounts.list())))

    def refuse(bucket: str, *, event: Any) -> None:
        raise Veto("No buckets today.")

    with signals.bucket_created.connected_to(tell):
        with (
            signals.before_bucket_created.connected_to(refuse),
            pytest.raises(AccessDenied, match=r"No buckets today\."),
        ):
            accounts.sign_up(id="alice")
        assert (accounts.list(), told, heard) == ((), [], [])
        made = accounts.sign_up(id="alice")
    assert told == [(made.bucket.name, 1)]


def test_a_key_that_is_taken_is_not_taken_for_the_account(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = accounts.create_key("default")
    monkeypatch.setattr(AccessKeys, "new", lambda _, id, label: replace(taken.key, account=id))
    for number in ("", "123456789012"):
        with pytest.raises(EntityAlreadyExists, match="access key"):
            accounts.sign_up(id="alice", number=number)
    assert [each.id for each in accounts.list()] == ["default"]


def test_who_may_have_no_bucket_cannot_sign_up(accounts: Accounts) -> None:
    with pytest.raises(TooManyBuckets):
        accounts.sign_up(id="alice", limits={"buckets": 0})
    with pytest.raises(LimitExceeded):
        accounts.sign_up(id="alice", limits={"keys": 0})
    assert accounts.list() == ()
    assert accounts.sign_up(id="alice", limits={"keys": 1, "buckets": 1}).account.id == "alice"


# -- users


def test_users_and_their_policies(accounts: Accounts) -> None:
    account = accounts.create()
    user = accounts.create_user(account.id, "alice@example.com", {"all": POLICY})
    assert accounts.list_users(account.id) == (user,)
    with pytest.raises(EntityAlreadyExists):
        accounts.create_user(account.id, "alice@example.com")
    for name in ("", "a/b", "x" * 65, "ä", "a b"):
        with pytest.raises(InvalidArgument):
            accounts.create_user(account.id, name)
        with pytest.raises(InvalidArgument if len(name) != 65 else NoSuchEntity):
            accounts.put_user_policy(account.id, "nobody", name, POLICY)
        with pytest.raises(NoSuchEntity):
            accounts.get_user(account.id, name)
    with pytest.raises(MalformedPolicy, match=r"Statement 1, Effect"):
        accounts.put_user_policy(account.id, user.name, "bad", {"Statement": [{}]})
    with pytest.raises(MalformedPolicy):
        accounts.create_user(account.id, "bob", {"bad": b"\xff"})
    # As Amazon counts: 6,144 characters but for white space.
    entry = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Sid": "é" * 5900}
    long = json.dumps({"Statement": entry}, ensure_ascii=False)
    accounts.put_user_policy(account.id, user.name, "all", long + " \n" * 3000)
    with pytest.raises(LimitExceeded, match="PolicySize: 6144"):
        accounts.put_user_policy(account.id, user.name, "all", long.replace("é", "éé", 300))
    for number in range(9):
        accounts.put_user_policy(account.id, user.name, f"p{number}", POLICY)
    with pytest.raises(LimitExceeded):
        accounts.put_user_policy(account.id, user.name, "more", POLICY)
    accounts.delete_user_policy(account.id, user.name, "all")
    with pytest.raises(NoSuchEntity):
        accounts.delete_user_policy(account.id, user.name, "all")
    assert len(accounts.get_user(account.id, user.name).policies) == 9
    assert accounts.list_users(account.id)[0].name == user.name
    key = accounts.create_key(account.id, user=user.name)
    assert accounts.delete_user(account.id, user.name) == 1
    with pytest.raises(NoSuchEntity):
        accounts.get_key(key.access_key)
    with pytest.raises(NoSuchEntity):
        accounts.delete_user(account.id, user.name)


# -- another master key, and another place


def test_a_rotation_of_the_master_key_takes_the_secrets_along(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(new_key_text() + "\n")
    app = open_app(tmp_path, master_keys=(), master_key_file=str(file))
    try:
        masters = app.store.encryptions.masters
        assert masters is not None
        (old,) = masters.ids()
        keys = [app.store.accounts.create_key("default") for _ in range(3)]
        assert app.store.rotation().used() == {old: 3}
        new = put_new_first(file)
        rotation = app.store.rotation()
        assert rotation.count() == 3
        # What is used is not what --drop may take.
        assert rotation.used() == {old: 3}
        rotation.run()
        assert (rotation.wrapped, rotation.stuck) == (3, 0)
        assert app.store.rotation().used() == {new: 3}
        file.write_text(file.read_text().splitlines()[1] + "\n")
    finally:
        app.close()
    app = open_app(tmp_path, master_keys=(), master_key_file=str(file))
    try:
        for key in keys:
            assert Client(app, Signer(key.access_key, key.secret_key)).get("/").status == 200
        with sqlite3.connect(tmp_path / "index.db") as database:
            database.execute("UPDATE s3kit_access_keys SET master = 'x' WHERE label = ''")
        rotation = app.store.rotation()
        rotation.run()
        assert (rotation.wrapped, rotation.stuck) == (0, 3)
    finally:
        app.close()


def test_a_snapshot_has_the_accounts_with_all_that_they_have(tmp_path: Path) -> None:
    app = open_app(tmp_path)
    made = app.store.accounts.sign_up(display_name="Alice", plan="free")
    app.store.accounts.create_user(made.account.id, "bob", {"all": POLICY})
    bob = app.store.accounts.create_key(made.account.id, user="bob", scope={"read_only": True})
    file = Index(f"sqlite:///{tmp_path}/snapshot.db", durability="relaxed")
    create_schema(file)
    snapshot.write_snapshot(app.store.index, file, lambda rows: None)
    app.close()
    (tmp_path / "other").mkdir()
    app = open_app(tmp_path / "other")
    try:
        snapshot.load_snapshot(file, app.store.index, lambda rows: None)
        for key in (made.key, bob):
            assert Client(app, Signer(key.access_key, key.secret_key)).get("/").status == 200
        assert app.store.accounts.get(made.account.id) == made.account
        assert app.store.accounts.get_key(bob.access_key) == bob.key
    finally:
        app.close()
        file.close()
