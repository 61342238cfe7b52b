"""s3kit_contrib.django.users: Django's users are S3's, through signed requests and the admin."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser
from django.test import override_settings

from s3kit import AuthorizationRequest
from s3kit import ConfigError
from s3kit import Decision
from s3kit import presign
from s3kit.model import Session
from tests.client import Client
from tests.client import Signer
from tests.contrib.django_project import configure
from tests.contrib.hosts import client_of
from tests.endpoint import MASTER_KEY

if not settings.configured:
    configure()

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission
from django.contrib.auth.models import User
from django.contrib.auth.models import UserManager
from django.contrib.sessions.models import Session as SiteSession
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError
from django.db import connection
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from s3kit_contrib.django import checks
from s3kit_contrib.django import get_mounting
from s3kit_contrib.django import get_s3
from s3kit_contrib.django import mounting_of
from s3kit_contrib.django.users import changes
from s3kit_contrib.django.users.key_ring import forget_all
from s3kit_contrib.django.users.models import S3AccessKey
from s3kit_contrib.django.users.permissions import PERMISSIONS
from s3kit_contrib.django.visitors import visitor_of

LIST = "/admin/s3kit_users/s3accesskey/"
CONFIGURED = Signer("AKCONFIG", "of the configuration")


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture(autouse=True)
def endpoint() -> Iterator[None]:
    """An endpoint in memory for each test; users and keys of each go with it."""
    with configured():
        yield
    User.objects.all().delete()
    Group.objects.all().delete()


def configured(**values: Any) -> Any:
    keys = {CONFIGURED.access_key: CONFIGURED.secret_key}
    return override_settings(S3KIT={"keys": keys, **values})


def shared(**users: Any) -> Any:
    return configured(users={"account": "company", **users})


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", "alice@example.com")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


def signer_of(user: User, **options: Any) -> Signer:
    key, secret = S3AccessKey.objects.create_key(user, **options)
    return Signer(key.access_key, secret)


def client(signer: Signer | None) -> Client:
    return client_of(get_mounting().mount(WSGIHandler()), signer)


def of(user: User, **options: Any) -> Client:
    return client(signer_of(user, **options))


def give(holder: Any, *names: str) -> None:
    found = Permission.objects.filter(content_type__app_label="s3kit_users", codename__in=names)
    assert len(found) == len(names)
    holder.add(*found)


# -- an account each


def test_each_user_has_an_account_of_its_own(alice: User, bob: User) -> None:
    own, other = of(alice), of(bob)
    assert own.put("/photos").status == 200
    assert own.put("/photos/cat.txt", b"cat").status == 200
    assert own.get("/photos/cat.txt").body == b"cat"
    assert other.get("/photos/cat.txt").code == "AccessDenied"
    answer = own.get("/")
    assert answer.text("Owner/ID") == f"django-{alice.pk}"
    assert answer.text("Owner/DisplayName") == "alice"
    assert client(CONFIGURED).get("/").text("Owner/ID") == "default"
    assert client(Signer("AKIANOBODY", "x")).get("/").code == "InvalidAccessKeyId"


def test_a_disabled_user_loses_s3_with_the_next_request(alice: User) -> None:
    own = of(alice)
    assert own.put("/photos").status == 200
    alice.is_active = False
    alice.save()
    answer = own.put("/photos/cat.txt", b"cat")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    alice.is_active = True
    alice.save()
    assert own.get("/photos/cat.txt").code == "NoSuchKey"


def test_what_is_disabled_in_a_transaction_is_so_within_it_and_comes_back_with_it(
    alice: User,
) -> None:
    own = of(alice)
    assert own.get("/").status == 200
    with transaction.atomic():
        alice.is_active = False
        alice.save()
        assert own.get("/").code == "InvalidAccessKeyId"
        transaction.set_rollback(True)
    assert own.get("/").status == 200


def test_a_disabled_or_removed_key_and_a_removed_user_end_at_once(alice: User) -> None:
    signers = [signer_of(alice) for _ in range(3)]
    clients = [client(each) for each in signers]
    assert [each.get("/").status for each in clients] == [200, 200, 200]
    rows = [S3AccessKey.objects.get(access_key=each.access_key) for each in signers]
    rows[0].is_active = False
    rows[0].save()
    rows[1].delete()
    assert [each.get("/").status for each in clients] == [403, 403, 200]
    alice.delete()
    assert clients[2].get("/").code == "InvalidAccessKeyId"


def test_a_change_that_no_signal_tells_of_counts_when_the_cache_is_old(alice: User) -> None:
    own = of(alice)
    ring: Any = get_mounting().host_keys
    now = [ring._clock()]
    ring._clock = lambda: now[0]
    assert own.get("/").status == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert own.get("/").status == 200
    now[0] += 1.1
    assert own.get("/").code == "InvalidAccessKeyId"
    with configured(users={"cache_seconds": 0}):
        User.objects.filter(pk=alice.pk).update(is_active=True)
        again = of(alice)
        assert again.get("/").status == 200
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert again.get("/").code == "InvalidAccessKeyId"


def test_a_key_does_no_more_than_its_scope(alice: User) -> None:
    assert of(alice).put("/photos").status == 200
    narrow = of(alice, scope={"paths": ["photos/2026/"]})
    assert narrow.put("/photos/2026/a", b"1").status == 200
    for path in ("/photos/2025/a", "/photos/2026evil/a"):
        assert narrow.put(path, b"1").code == "AccessDenied"
    for scope in ({"read_onyl": True}, {"byte_budget": 3}, {"paths": "x"}):
        with pytest.raises(ValidationError):
            S3AccessKey.objects.create_key(alice, scope=scope)  # type: ignore[arg-type]


def test_python_signs_with_a_users_key_that_may_all(alice: User) -> None:
    of(alice, scope={"paths": ["elsewhere/"]})
    own = of(alice)
    own.put("/photos")
    own.put("/photos/cat.txt", b"cat")
    account = f"django-{alice.pk}"
    endpoint = "http://s3.test/s3"
    url = presign(
        get_s3(), "GET", "photos", "cat.txt", expires_in=60, account=account, endpoint=endpoint
    ).removeprefix("http://s3.test")
    nobody = client(None)
    assert nobody.send("GET", url, {"Host": "s3.test"}).body == b"cat"
    alice.is_active = False
    alice.save()
    assert nobody.send("GET", url, {"Host": "s3.test"}).code == "InvalidAccessKeyId"
    with pytest.raises(ConfigError, match="has no access key"):
        presign(get_s3(), "GET", "photos", "c", expires_in=9, account=account, endpoint=endpoint)


@pytest.mark.parametrize("text", ["django-", "django-x", "django-0{pk}", "django-9" * 9, "{pk}"])
def test_an_account_has_one_name(alice: User, text: str) -> None:
    ring = get_s3().site.key_ring
    assert ring.account(text.format(pk=alice.pk)) is None
    found = ring.account(f"django-{alice.pk}")
    assert found is not None
    assert (found.display_name, found.email) == ("alice", "alice@example.com")


def test_it_is_written_down_when_a_key_was_used_but_not_each_time(alice: User) -> None:
    signer = signer_of(alice)
    assert S3AccessKey.objects.get().last_used is None
    assert client(signer).get("/").status == 200
    first = S3AccessKey.objects.get().last_used
    assert first is not None
    ring: Any = get_mounting().host_keys
    ring.forget()
    assert client(signer).get("/").status == 200
    assert S3AccessKey.objects.get().last_used == first
    S3AccessKey.objects.update(last_used=timezone.now() - timedelta(minutes=2))
    ring.forget()
    assert client(signer).get("/").status == 200
    assert (S3AccessKey.objects.get().last_used or first) > first


# -- one account for all


STEPS = {
    "view_objects": ("GET", "/photos/cat.txt", "", b""),
    "add_objects": ("PUT", "/photos/new.txt", "", b"1"),
    "delete_objects": ("DELETE", "/photos/dog.txt", "", b""),
    "manage_buckets": ("PUT", "/new-bucket", "", b""),
}


def session_of(signer: Signer) -> Signer:
    """A session that this key has opened."""
    now = int(time.time())
    opened = Session(signer.access_key, expires=now + 900, issued=now)
    key = get_s3().site.sessions.open(opened)
    return Signer(key.access_key, key.secret_key, key.session_token)


def test_a_session_and_a_presigned_url_end_with_their_user(alice: User, root: User) -> None:
    signer = signer_of(alice)
    assert client(signer).put("/photos").status == 200
    session = client(session_of(signer))
    url = presign(
        get_s3(), "GET", "photos", "", account=f"django-{alice.pk}", endpoint="http://s3.test/s3"
    ).removeprefix("http://s3.test")

    def presigned() -> int:
        return client(None).send("GET", url, {"Host": "s3.test"}).status

    assert (session.get("/photos").status, presigned()) == (200, 200)
    alice.is_active = False
    alice.save()
    assert (session.get("/photos").code, presigned()) == ("InvalidToken", 403)
    with shared():
        given = signer_of(root)
        session = client(session_of(given))
        assert session.put("/photos").status == 200
        root.is_superuser = False
        root.save()
        assert session.get("/photos").code == "AccessDenied"
        group = Group.objects.create(name="readers")
        give(group.permissions, "view_objects")
        root.groups.add(group)
        assert session.get("/photos").status == 200
        assert session.put("/photos/cat.txt", b"cat").code == "AccessDenied"
        group.delete()
        assert session.get("/photos").code == "AccessDenied"


class Person(User):
    """A proxy, as many sites have one for their admin."""

    class Meta:
        app_label = "auth"
        proxy = True


def test_a_change_counts_at_once_by_whichever_name_the_model_goes(alice: User) -> None:
    changes.connect()
    own = of(alice)
    assert own.get("/").status == 200
    person = Person.objects.get(pk=alice.pk)
    person.is_active = False
    person.save()
    assert own.get("/").code == "InvalidAccessKeyId"
    alice.refresh_from_db()
    alice.is_active = True
    alice.save()
    assert own.get("/").status == 200
    person.delete()
    assert own.get("/").code == "InvalidAccessKeyId"


class Kept(UserManager[User]):
    """Without those that a site has deleted softly."""

    def get_queryset(self) -> QuerySet[User]:
        return super().get_queryset().exclude(last_name="deleted")


def test_a_user_that_its_manager_leaves_out_is_nobody(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Kept()
    manager.model = User
    monkeypatch.setitem(User._meta.__dict__, "default_manager", manager)
    own = of(alice)
    assert own.get("/").status == 200
    alice.last_name = "deleted"
    alice.save()
    assert own.get("/").code == "InvalidAccessKeyId"
    assert get_s3().site.key_ring.key_of(f"django-{alice.pk}") is None


def test_a_permission_that_is_removed_altogether_is_gone_at_once(alice: User) -> None:
    kind = Permission.objects.get(codename="view_objects").content_type
    with shared():
        give(alice.user_permissions, "view_objects")
        own = of(alice)
        assert own.get("/").status == 200
        Permission.objects.get(codename="view_objects").delete()
        assert own.get("/").code == "AccessDenied"
    Permission.objects.create(
        codename="view_objects",
        content_type=kind,
        name="Can read and list objects through S3",
    )


def test_a_key_of_a_transaction_that_is_rolled_back_is_none(alice: User) -> None:
    with transaction.atomic():
        own = of(alice)
        assert own.get("/").status == 200
        transaction.set_rollback(True)
    assert own.get("/").code == "InvalidAccessKeyId"


def test_a_use_that_cannot_be_noted_refuses_nobody(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    own = of(alice)

    def read_only(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *rest)

    with connection.execute_wrapper(read_only):
        assert own.get("/").status == 200
    assert "is not noted" in caplog.text
    assert S3AccessKey.objects.get().last_used is None


def test_a_scope_that_came_past_every_form_opens_nothing(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    own = of(alice)
    for scope in ({"byte_budget": 3}, {"paths": "x"}, ["photos/"], 5, [], "", False):
        S3AccessKey.objects.update(scope=scope)
        forget_all()
        assert own.get("/").code == "InvalidAccessKeyId"
    assert "byte_budget is counted" in caplog.text


@pytest.mark.parametrize("name", STEPS)
def test_each_permission_opens_its_own_part_and_closes_it_again(
    alice: User, root: User, name: str
) -> None:
    with shared():
        everything, own = of(root), of(alice)
        everything.put("/photos")
        for key in ("cat.txt", "dog.txt"):
            everything.put(f"/photos/{key}", b"1")
        for each in STEPS.values():
            assert own.request(each[0], *each[1:3], body=each[3]).code == "AccessDenied"
        give(alice.user_permissions, name)
        for other, each in STEPS.items():
            if other != name:
                assert own.request(each[0], *each[1:3], body=each[3]).code == "AccessDenied"
        method, path, query, body = STEPS[name]
        assert own.request(method, path, query, body=body).status < 300
        alice.user_permissions.clear()
        assert own.request(method, path, query, body=body).code == "AccessDenied"


def test_a_groups_permissions_are_its_members(alice: User, root: User) -> None:
    readers = Group.objects.create(name="readers")
    with shared():
        of(root).put("/photos")
        own = of(alice)
        assert own.get("/photos").code == "AccessDenied"
        give(readers.permissions, "view_objects")
        alice.groups.add(readers)
        assert own.get("/photos").status == 200
        readers.permissions.clear()
        assert own.get("/photos").code == "AccessDenied"
        give(readers.permissions, "view_objects")
        assert own.get("/photos").status == 200
        readers.delete()
        assert own.get("/photos").code == "AccessDenied"


def test_a_superuser_may_all_and_no_more_than_that_once_it_is_none(root: User) -> None:
    with shared():
        own = of(root)
        assert own.put("/photos").status == 200
        assert own.get("/").text("Owner/ID") == "company"
        root.is_superuser = False
        root.save()
        assert own.get("/photos").code == "AccessDenied"


def test_a_policy_names_a_user_of_the_shared_account(alice: User, root: User) -> None:
    policy = (
        b'{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", '
        b'"Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*", '
        b'"Condition": {"StringEquals": {"aws:username": "alice"}}}}'
    )
    with shared():
        everything, own = of(root), of(alice)
        everything.put("/photos")
        everything.put("/photos/cat.txt", b"cat")
        give(alice.user_permissions, "view_objects")
        assert own.get("/photos/cat.txt").status == 200
        assert everything.put("/photos", policy, "policy").status == 204
        assert own.get("/photos/cat.txt").code == "AccessDenied"
        assert everything.get("/photos/cat.txt").status == 200


def test_every_action_belongs_to_a_permission() -> None:
    assert "s3:PutObjectAcl" in PERMISSIONS["manage_buckets"]
    assert "s3:PutBucketPolicy" in PERMISSIONS["manage_buckets"]
    assert "s3:BypassGovernanceRetention" in PERMISSIONS["manage_buckets"]
    named = {name for names in PERMISSIONS.values() for name in names}
    assert not {name for name in PERMISSIONS["view_objects"] if "Put" in name or "Delete" in name}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:CreateBucket"} <= named


# -- secrets


def test_a_secret_lies_in_no_row_as_it_is_and_opens_in_no_other(alice: User) -> None:
    first, second = signer_of(alice), signer_of(alice)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM s3kit_users_s3accesskey")
        rows = str(cursor.fetchall())
    for signer in (first, second):
        assert signer.access_key in rows
        assert signer.secret_key not in rows
        assert signer.secret_key not in repr(S3AccessKey.objects.first())
    stolen = S3AccessKey.objects.get(access_key=first.access_key)
    S3AccessKey.objects.filter(access_key=second.access_key).update(secret=stolen.secret)
    mixed = Signer(second.access_key, first.secret_key)
    assert client(mixed).get("/").code == "InvalidAccessKeyId"
    assert client(first).get("/").status == 200


def test_a_new_secret_key_of_the_project_takes_the_secrets_along(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    signer = signer_of(alice)
    with override_settings(SECRET_KEY="new"), configured():
        with caplog.at_level(logging.ERROR):
            assert client(signer).get("/").code == "InvalidAccessKeyId"
        assert "is gone" in caplog.text
        assert signer.secret_key not in caplog.text
        with pytest.raises(CommandError, match="1 secrets cannot be opened"):
            call_command("s3kit_reseal_keys", stdout=StringIO(), stderr=StringIO())
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["of these tests"]):
        with configured():
            assert client(signer).get("/").status == 200
        with configured(master_keys=[MASTER_KEY]):
            said = StringIO()
            call_command("s3kit_reseal_keys", stdout=said)
            assert said.getvalue() == "Resealed 1 secrets.\n"
    with override_settings(SECRET_KEY="newer"), configured(master_keys=[MASTER_KEY]):
        assert client(signer).get("/").status == 200


# -- the admin


def logged_in(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def test_the_admin_shows_a_secret_once(
    root: User, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = logged_in(root)
    assert b'name="secret"' not in browser.get(f"{LIST}add/").content
    page = browser.post(f"{LIST}add/", {"user": alice.pk, "label": "camera", "scope": "{}"})
    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    text = page.content.decode()
    found = re.search(r'id="secret-key">([^<]+)<', text)
    assert found is not None
    key = S3AccessKey.objects.get()
    assert (key.user, key.label) == (alice, "camera")
    secret = found[1]
    signer = Signer(key.access_key, secret)
    assert client(signer).put("/photos").status == 200
    for url in (LIST, f"{LIST}{key.pk}/change/", f"{LIST}{key.pk}/history/", "/admin/"):
        page = browser.get(url)
        assert page.status_code == 200
        assert secret not in page.content.decode()
        assert key.secret not in page.content.decode()
    assert secret not in caplog.text
    assert secret not in str(browser.cookies)
    # The scope is looked at as it is typed.
    data = {"label": "camera", "scope": '{"read_onyl": true}', "is_active": "on"}
    page = browser.post(f"{LIST}{key.pk}/change/", data)
    assert "Did you mean" in page.content.decode()
    data = {"label": "camera", "scope": '{"read_only": true}', "is_active": "on"}
    assert browser.post(f"{LIST}{key.pk}/change/", data).status_code == 302
    assert client(signer).get("/photos").status == 200
    assert client(signer).put("/photos/cat.txt", b"cat").code == "AccessDenied"


def test_the_admin_disables_enables_and_deletes_at_once(root: User, alice: User) -> None:
    browser = logged_in(root)
    signer = signer_of(alice)
    own = client(signer)
    assert own.get("/").status == 200
    chosen = {"_selected_action": [S3AccessKey.objects.get().pk]}
    for action, status in (("disable", 403), ("enable", 200)):
        assert browser.post(LIST, {"action": action, **chosen}).status_code == 302
        assert own.get("/").status == status
    browser.post(LIST, {"action": "delete_selected", "post": "yes", **chosen})
    assert own.get("/").code == "InvalidAccessKeyId"
    assert not S3AccessKey.objects.exists()


def test_a_switch_in_a_transaction_counts_again_when_others_can_see_it(
    root: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = logged_in(root)
    key, _ = S3AccessKey.objects.create_key(alice)
    forgot: list[bool] = []
    monkeypatch.setattr(changes, "forget_all", lambda: forgot.append(connection.in_atomic_block))
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    browser.post(LIST, {"action": "disable", "_selected_action": [key.pk]})
    assert forgot == [True, False]


def test_staff_makes_and_sees_its_own_keys_alone(alice: User, root: User) -> None:
    alice.is_staff = True
    alice.save()
    for name in ("add", "change", "view", "delete"):
        give(alice.user_permissions, f"{name}_s3accesskey")
    signer_of(root, label="of root")
    theirs = S3AccessKey.objects.get()
    browser = logged_in(alice)
    assert b"of root" not in browser.get(LIST).content
    assert browser.get(f"{LIST}{theirs.pk}/change/").status_code == 302
    # A user that is named in the request counts for nothing.
    page = browser.post(f"{LIST}add/", {"user": root.pk, "label": "own", "scope": "{}"})
    assert page.status_code == 200
    own = S3AccessKey.objects.get(label="own")
    assert own.user == alice
    change = {"label": "mine", "scope": '{"read_only": true}', "user": root.pk}
    assert browser.post(f"{LIST}{own.pk}/change/", change).status_code == 302
    own.refresh_from_db()
    assert (own.label, own.scope, own.user, own.is_active) == ("mine", {}, alice, True)
    for pk in (own.pk, theirs.pk):
        browser.post(LIST, {"action": "disable", "_selected_action": [pk]})
        browser.post(LIST, {"action": "enable", "_selected_action": [pk]})
    active = dict(S3AccessKey.objects.values_list("label", "is_active"))
    assert active == {"mine": False, "of root": True}


def test_nobody_else_reaches_the_keys(alice: User) -> None:
    alice.is_staff = True
    alice.save()
    browser = logged_in(alice)
    for url in (LIST, f"{LIST}add/"):
        assert browser.get(url).status_code == 403
        assert Browser().get(url).status_code == 302
    assert browser.post(f"{LIST}add/", {"label": "x", "scope": "{}"}).status_code == 403
    assert not S3AccessKey.objects.exists()


# -- authorize, with the session of the site


def of_visitor(request: AuthorizationRequest) -> Decision | None:
    """Who is logged in may do in its own account what a browser can."""
    if request.kind == "anonymous":
        visitor = visitor_of(request)
        if visitor.is_authenticated and request.owner == f"django-{visitor.pk}":
            return Decision(True, "logged in")
    return None


def test_authorize_knows_who_is_logged_in(alice: User, bob: User) -> None:
    with configured(authorize=of_visitor):
        own = of(alice)
        own.put("/photos")
        own.put("/photos/cat.txt", b"cat")
        nobody = client(None)

        def ask(user: User | None, method: str = "GET", **headers: str) -> int:
            sent = {"Host": "s3.test", **headers}
            if user is not None:
                sent["Cookie"] = f"sessionid={logged_in(user).cookies['sessionid'].value}"
            return nobody.send(method, "/s3/photos/cat.txt", sent, b"").status

        assert [ask(None), ask(bob), ask(alice)] == [403, 403, 200]
        assert ask(alice, "PUT", Origin="https://evil.example") == 403
        assert ask(alice, "PUT", Origin="http://s3.test") == 200
        alice.is_active = False
        alice.save()
        assert ask(alice) == 403


def test_nobody_is_logged_out_by_a_look_at_the_session(alice: User) -> None:
    with configured(authorize=of_visitor):
        own = of(alice)
        own.put("/photos")
        own.put("/photos/cat.txt", b"cat")
        browser = logged_in(alice)
        cookie = browser.cookies["sessionid"].value
        sent = {"Host": "s3.test", "Cookie": f"sessionid={cookie}"}
        with override_settings(
            SECRET_KEY="newer", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY, "older"]
        ):
            assert client(None).send("GET", "/s3/photos/cat.txt", sent).status == 200
            # Django itself now renews it, and tells the browser.
            assert browser.get("/admin/login/").status_code == 200
        browser = logged_in(alice)
        sent["Cookie"] = f"sessionid={browser.cookies['sessionid'].value}"
        alice.set_password("changed")
        alice.save()
        before = SiteSession.objects.count()
        assert client(None).send("GET", "/s3/photos/cat.txt", sent).status == 403
        assert SiteSession.objects.count() == before


# -- settings


@pytest.mark.parametrize(
    ("users", "message"),
    [
        (3, "users must be a mapping"),
        ({"acount": "x"}, 'no setting "acount". Known: account, cache_seconds'),
        ({"account": 3}, "account must be a text"),
        ({"cache_seconds": "1"}, "cache_seconds must be a number"),
        ({"cache_seconds": -1}, "cache_seconds must be a number"),
    ],
)
def test_wrong_settings_are_named(users: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mounting_of({"users": users})


def test_users_without_permissions_cannot_share_an_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "get_user_model", lambda: AbstractBaseUser)
    monkeypatch.setattr(AbstractBaseUser._meta, "object_name", "Bare", raising=False)
    with shared():
        assert "s3kit.E003" in [each.id for each in checks.check_settings()]
    with configured():
        assert "s3kit.E003" not in [each.id for each in checks.check_settings()]


def test_a_ring_of_ones_own_goes_with_no_other() -> None:
    with pytest.raises(ConfigError, match="have one of them"):
        mounting_of({"key_ring": "module:ring"})


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "s3kit_users", check=True, dry_run=True, verbosity=0)


def test_connections_that_are_too_old_are_closed_with_an_s3_request(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr("s3kit_contrib.django.close_old_connections", lambda: closed.append(1))
    assert of(alice).get("/").status == 200
    assert len(closed) == 2
