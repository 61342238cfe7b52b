"""A Flask app whose own users are S3's: keys from its tables, its session in ``authorize``."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask import current_app
from flask import g
from flask import session
from sqlalchemy import create_engine
from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from s3kit import AuthorizationRequest
from s3kit import Config
from s3kit import ConfigError
from s3kit import Decision
from s3kit import presign
from s3kit.auth.keyring import DictKeyRing
from s3kit.model import Account
from s3kit.model import Key
from s3kit.model import Question
from s3kit_contrib.flask import S3Kit
from tests.client import Client
from tests.client import Signer
from tests.contrib.hosts import client_of

ALICE = Signer("AKALICE", "of alice")
BOB = Signer("AKBOB", "of bob")
CONFIGURED = Signer("AKCONFIG", "of the configuration")


class Users:
    """The host's table, its sessions as Flask-SQLAlchemy makes them: one for each app context."""

    def __init__(self) -> None:
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        self.opened = self.closed = 0
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE users (key TEXT, secret TEXT, name TEXT, active INT, scope TEXT)"
                )
            )
            for signer, name in ((ALICE, "alice"), (BOB, "bob")):
                connection.execute(
                    text("INSERT INTO users VALUES (:key, :secret, :name, 1, '')"),
                    {"key": signer.access_key, "secret": signer.secret_key, "name": name},
                )

    @property
    def session(self) -> Session:
        if "session" not in g:
            g.session = Session(self.engine)
            self.opened += 1
        found: Session = g.session
        return found

    def remove(self, error: BaseException | None) -> None:
        found = g.pop("session", None)
        if found is not None:
            found.close()
            self.closed += 1

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.fixture
def users() -> Iterator[Users]:
    made = Users()
    yield made
    made.engine.dispose()


def make_app(**settings: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(
        S3KIT={"keys": {CONFIGURED.access_key: CONFIGURED.secret_key}, **settings},
        SECRET_KEY="of these tests",
    )
    return app


@pytest.fixture
def app(users: Users) -> Iterator[Flask]:
    app = make_app()
    app.teardown_appcontext(users.remove)

    def load_key(access_key: str) -> dict[str, Any] | None:
        row = users.session.execute(
            text("SELECT secret, name, active, scope FROM users WHERE key = :key"),
            {"key": access_key},
        ).one_or_none()
        if row is None or not row.active:
            return None
        scope = {"read_only": True} if row.scope == "read" else None
        return {"secret_key": row.secret, "account": {"id": row.name}, "scope": scope}

    app.extensions["extension"] = S3Kit(app, load_key=load_key)
    yield app
    app.extensions["s3kit"].close()


def client(app: Flask, signer: Signer | None) -> Client:
    return client_of(app.wsgi_app, signer)


def test_the_apps_users_sign_with_their_own_keys_and_own_what_they_make(
    app: Flask, users: Users
) -> None:
    alice, bob = client(app, ALICE), client(app, BOB)
    assert alice.put("/photos").status == 200
    assert alice.put("/photos/cat.txt", b"cat").status == 200
    assert alice.get("/photos/cat.txt").body == b"cat"
    assert bob.get("/photos/cat.txt").code == "AccessDenied"
    assert alice.get("/").text("Owner/DisplayName") == "alice"
    # Those of the configuration go on working beside them, and ask nobody.
    before = users.opened
    assert client(app, CONFIGURED).put("/configured").status == 200
    assert users.opened == before
    # So do those that s3kit keeps itself.
    own = app.extensions["s3kit"].s3.store.accounts
    own.create(id="of-s3kit")
    key = own.create_key("of-s3kit")
    assert client(app, Signer(key.access_key, key.secret_key)).get("/").status == 200
    assert client(app, Signer("AKNOBODY", "x")).get("/").code == "InvalidAccessKeyId"
    assert client(app, Signer(ALICE.access_key, "x")).get("/").code == "SignatureDoesNotMatch"
    # Each had an app context of its own, whose database session ended with it.
    assert users.opened == users.closed > 0


def test_a_disabled_user_loses_s3_with_the_next_request(app: Flask, users: Users) -> None:
    """A key that is away at the host is away here, at once where the host says so."""
    alice = client(app, ALICE)
    assert alice.put("/photos").status == 200
    users.execute("UPDATE users SET active = 0 WHERE name = 'alice'")
    with app.app_context():
        app.extensions["extension"].forget_keys()
    answer = alice.put("/photos/cat.txt", b"cat")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    users.execute("UPDATE users SET active = 1, scope = 'read' WHERE name = 'alice'")
    assert alice.get("/photos").status == 200
    assert client(app, BOB).get("/").status == 200


def test_without_a_cache_nobody_needs_to_say_so(users: Users) -> None:
    app = make_app()
    keys = {ALICE.access_key: Key(ALICE.access_key, ALICE.secret_key, Account("alice"))}
    S3Kit(app, load_key=keys.get, load_key_of=lambda account: None, key_seconds=0)
    assert client(app, ALICE).get("/").status == 200
    keys.clear()
    assert client(app, ALICE).get("/").code == "InvalidAccessKeyId"
    app.extensions["s3kit"].close()


def test_a_presigned_url_of_a_users_key_ends_with_the_key(app: Flask, users: Users) -> None:
    client(app, ALICE).put("/photos")
    client(app, ALICE).put("/photos/cat.txt", b"cat")
    s3 = app.extensions["s3kit"].s3
    url = presign(
        s3,
        "GET",
        "photos",
        "cat.txt",
        expires_in=60,
        account="alice",
        access_key=ALICE.access_key,
        endpoint="http://s3.test/s3",
    ).removeprefix("http://s3.test")
    nobody = client(app, None)
    assert nobody.send("GET", url, {"Host": "s3.test"}).body == b"cat"
    users.execute("DELETE FROM users")
    app.extensions["s3kit"].host_keys.forget()
    assert nobody.send("GET", url, {"Host": "s3.test"}).code == "InvalidAccessKeyId"


def test_a_loader_that_fails_is_an_error_without_a_word_of_it(
    users: Users, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    def load_key(access_key: str) -> None:
        raise sqlite3.OperationalError("no such table: secret_users")

    S3Kit(app, load_key=load_key)
    answer = client(app, ALICE).get("/")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"secret_users" not in answer.body
    assert "secret_users" in caplog.text
    app.extensions["s3kit"].close()


def test_what_goes_together_and_what_does_not() -> None:
    ring = DictKeyRing()
    with pytest.raises(ConfigError, match="not both"):
        S3Kit(load_key=lambda name: None, key_ring=ring)
    with pytest.raises(ConfigError, match="are for a load_key"):
        S3Kit(load_account=lambda name: None)


class Closed:
    """An Access that nobody passes."""

    def decide(self, question: Question) -> Decision:
        return Decision(False, "closed")


def test_a_ring_and_an_access_of_the_apps_own_are_passed_on() -> None:
    key = Key(ALICE.access_key, ALICE.secret_key, Account("alice"))
    app = make_app()
    S3Kit(app, key_ring=DictKeyRing([key]), access=Closed())
    assert client(app, CONFIGURED).get("/").code == "InvalidAccessKeyId"
    assert client(app, ALICE).get("/").code == "AccessDenied"
    app.extensions["s3kit"].close()


# -- authorize


def authorize(request: AuthorizationRequest) -> Decision | str | None:
    """Who is logged in at the site reads its own bucket; bob stores nothing."""
    assert current_app.name == __name__
    if request.account == "bob" and request.action == "s3:PutObject":
        return "bob is away"
    if request.kind == "anonymous" and request.bucket == session.get("name"):
        return Decision(True, "logged in")
    return None


@pytest.fixture(params=["argument", "settings", "name", "config"])
def hooked(request: pytest.FixtureRequest) -> Iterator[Flask]:
    keys = {each.access_key: each for each in (ALICE, BOB)}

    def load_key(access_key: str) -> dict[str, Any] | None:
        found = keys.get(access_key)
        name = access_key.removeprefix("AK").lower()
        return found and {"secret_key": found.secret_key, "account": name}

    module = ModuleType("flask_users_hook")
    module.authorize = authorize  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    name = "flask_users_hook:authorize"
    given: dict[str, Any] = {
        "argument": {"authorize": authorize},
        "config": {"config": Config(authorize=name)},
    }.get(request.param, {})
    settings = {"settings": authorize, "name": name}.get(request.param)
    app = make_app(**({} if settings is None else {"authorize": settings}))

    @app.get("/login/<name>")
    def login(name: str) -> str:
        session["name"] = name
        return "hello"

    S3Kit(app, load_key=load_key, **given)
    yield app
    app.extensions["s3kit"].close()
    del sys.modules[module.__name__]


def test_authorize_sees_the_visitors_session(hooked: Flask) -> None:
    alice = client(hooked, ALICE)
    assert alice.put("/alice").status == 200
    assert alice.put("/alice/cat.txt", b"cat").status == 200
    assert client(hooked, BOB).put("/bobs").status == 200
    assert client(hooked, BOB).put("/bobs/key", b"1").code == "AccessDenied"
    browser = hooked.test_client()
    assert browser.get("/s3/alice/cat.txt").status_code == 403
    browser.get("/login/alice")
    answer = browser.get("/s3/alice/cat.txt")
    assert (answer.status_code, answer.data) == (200, b"cat")
    assert browser.get("/s3/bobs/key").status_code == 403
    own, foreign = "http://localhost", "https://evil.example"
    for origin, status in ((foreign, 403), (own, 200)):
        answer = browser.put("/s3/alice/new", data=b"1", headers={"Origin": origin})
        assert answer.status_code == status, answer.data
    cookie = browser.get_cookie("session")
    assert cookie is not None
    # A cookie that nobody has signed is nobody's. Of the last letter not all bits count.
    payload, _, signature = cookie.value.rpartition(".")
    browser.set_cookie("session", f"{payload}.{'x' if signature[0] != 'x' else 'y'}{signature[1:]}")
    assert browser.get("/s3/alice/cat.txt").status_code == 403


def test_authorize_is_asked_in_a_view_and_outside_of_all(hooked: Flask) -> None:
    client_of_alice = hooked.extensions["s3kit"].client("alice")
    client_of_alice.create_bucket("from-python")

    @hooked.get("/view")
    def view() -> str:
        client_of_alice.put("from-python", "key", b"1")
        return "stored"

    assert hooked.test_client().get("/view").data == b"stored"


def test_a_name_that_is_nobodys_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        S3Kit(make_app(authorize="flask_users_hook:nothing"))
    with pytest.raises(ConfigError, match="must be written"):
        S3Kit(make_app(key_ring="nothing"))
    with pytest.raises(ConfigError, match="cannot be imported"):
        S3Kit(make_app(access="no_such_module:access"))
