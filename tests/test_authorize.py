"""A host's ``authorize`` on every path by which a request, or Python, reaches an object."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from s3kit import AuthorizationRequest
from s3kit import Config
from s3kit import ConfigError
from s3kit import Decision
from s3kit import S3App
from s3kit import presign
from s3kit.auth.post_policy import sign_form
from s3kit.errors import AccessDenied
from s3kit.model import Account
from s3kit.model import Key
from tests.attacks.handmade import form_body
from tests.attacks.handmade import post_form
from tests.attacks.test_accounts import REQUESTS
from tests.attacks.test_accounts import Target
from tests.attacks.test_accounts import delete_document
from tests.attacks.test_accounts import md5_of
from tests.attacks.test_accounts import target as make_target
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import make_app

Hook = Callable[[AuthorizationRequest], Any]
YES = Decision(True)


class Host:
    """An app whose hook the test sets; without one it leaves every decision as it is."""

    def __init__(self) -> None:
        self.hook: Hook = lambda request: None
        self.asked: list[AuthorizationRequest] = []

    def __call__(self, request: AuthorizationRequest) -> Any:
        self.asked.append(request)
        return self.hook(request)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def app(host: Host, tmp_path: Path) -> Iterator[S3App]:
    plain = make_app("memory", tmp_path)
    plain.close()
    made = S3App(plain.config, authorize=host)
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    client = Client(app, OWNER)
    assert client.put("/photos").status == 200
    for key in ("open/a", "shut/b"):
        assert client.put(f"/photos/{key}", key.encode()).status == 200
    return client


@pytest.fixture
def other(app: S3App, s3: Client) -> Client:
    return Client(app, OTHER)


@pytest.fixture
def anonymous(app: S3App, s3: Client) -> Client:
    return Client(app, None)


def shut(request: AuthorizationRequest) -> bool | None:
    """Nobody does anything below shut/."""
    return False if (request.key or "").startswith("shut/") else None


def opened(request: AuthorizationRequest) -> Decision | None:
    """Everybody may do everything below open/."""
    return YES if (request.key or "").startswith("open/") else None


def denied(answer: Answer) -> bool:
    return answer.status == 403 and (not answer.body or answer.code == "AccessDenied")


def form_key(signer: Any, account: str) -> Key:
    return Key(signer.access_key, signer.secret_key, Account(account))


def form(client: Client, key: str) -> Answer:
    fields = {"key": key}
    if client.signer is not None:
        account = OWNER_ID if client.signer is OWNER else OTHER_ID
        conditions: list[object] = [{"bucket": "photos"}, {"key": key}]
        fields = sign_form(fields, conditions, form_key(client.signer, account), expires=60)
    return post_form(client, "/photos", fields, b"posted")


def presigned(client: Client, key: str) -> Answer:
    name = None if client.signer is None else client.signer.access_key
    if name is None:
        return client.get(f"/photos/{key}")
    account = OWNER_ID if client.signer is OWNER else OTHER_ID
    url = presign(
        client.app,
        "GET",
        "photos",
        key,
        expires_in=60,
        account=account,
        access_key=name,
        endpoint="http://s3.test",
    )
    return client.send("GET", url.removeprefix("http://s3.test"), {"Host": "s3.test"})


def multi_delete(client: Client, key: str) -> Answer:
    body = delete_document(key)
    answer = client.post("/photos", body, "delete", Content_MD5=md5_of(body))
    if answer.status == 200 and answer.text("Error/Code"):
        assert answer.text("Error/Code") == "AccessDenied"
        answer.status, answer.body = 403, b""
    return answer


def upload(client: Client, key: str) -> Answer:
    begun = client.post(f"/photos/{key}", query="uploads")
    if begun.status != 200:
        return begun
    name = begun.text("UploadId")
    part = client.put(f"/photos/{key}", b"part", f"partNumber=1&uploadId={name}")
    if part.status != 200:
        return part
    document = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    return client.post(f"/photos/{key}", document.encode(), f"uploadId={name}")


PATHS: dict[str, Callable[[Client, str], Answer]] = {
    "get": lambda client, key: client.get(f"/photos/{key}"),
    "head": lambda client, key: client.head(f"/photos/{key}"),
    "tags": lambda client, key: client.get(f"/photos/{key}", "tagging"),
    "put": lambda client, key: client.put(f"/photos/{key}", b"new"),
    "delete": lambda client, key: client.delete(f"/photos/{key}"),
    "multi-delete": multi_delete,
    "copy source": lambda client, key: client.put(
        "/photos/open/copied", x_amz_copy_source=f"/photos/{key}"
    ),
    "presigned": presigned,
    "form": form,
    "multipart": upload,
}
KEYS = {"open": "open/a", "shut": "shut/b"}


@pytest.mark.parametrize("path", PATHS)
def test_a_refusing_hook_holds_on_every_path(host: Host, s3: Client, path: str) -> None:
    host.hook = shut
    assert denied(PATHS[path](s3, "shut/b"))
    host.hook = lambda request: None
    assert s3.get("/photos/shut/b").body == b"shut/b"
    assert PATHS[path](s3, "shut/b").status < 300
    host.hook = shut
    assert PATHS[path](s3, "open/a").status < 300


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["other", "anonymous"])
def test_an_allowing_hook_lets_strangers_in_on_every_path(
    host: Host, s3: Client, path: str, who: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    assert denied(PATHS[path](client, "open/a"))
    host.hook = opened
    answer = PATHS[path](client, "open/a")
    # AWS's own rule, whoever allows it: only somebody begins an upload in parts.
    assert answer.status < 300 or (path, who) == ("multipart", "anonymous"), answer.body
    assert denied(PATHS[path](client, "shut/b"))
    assert s3.get("/photos/shut/b").body == b"shut/b"


def test_each_key_of_a_multi_delete_is_asked_about(host: Host, s3: Client) -> None:
    host.hook = shut
    body = delete_document("open/a", "shut/b")
    answer = s3.post("/photos", body, "delete", Content_MD5=md5_of(body))
    assert answer.texts("Deleted/Key") == ["open/a"]
    assert answer.texts("Error/Key") == ["shut/b"]
    assert [each.key for each in host.asked if each.action == "s3:DeleteObject"] == [
        "open/a",
        "shut/b",
    ]


def test_the_client_in_this_process_is_asked_about_too(host: Host, app: S3App, s3: Client) -> None:
    host.hook = lambda request: shut(request) if request.kind == "python" else False
    client = app.client(OWNER_ID)
    assert client.get("photos", "open/a") == b"open/a"
    with pytest.raises(AccessDenied):
        client.get("photos", "shut/b")
    with pytest.raises(AccessDenied):
        client.put("photos", "shut/c", b"new")
    assert denied(s3.get("/photos/open/a"))


def test_a_policys_deny_is_stronger_than_the_hook(host: Host, s3: Client, other: Client) -> None:
    policy = (
        b'{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",'
        b' "Resource": "arn:aws:s3:::photos/*"}}'
    )
    assert s3.put("/photos", policy, "policy").status == 204
    host.hook = lambda request: YES
    for client in (s3, other):
        assert denied(client.get("/photos/open/a"))
    assert other.get("/photos/open/a", "tagging").status == 200


def test_the_hook_widens_no_session(host: Host, s3: Client) -> None:
    answer = s3.get("/photos", "session", x_amz_create_session_mode="ReadOnly")
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    found = [answer.text(f"Credentials/{name}") or "" for name in names]
    session = Client(s3.app, type(OWNER)(*found))
    host.hook = lambda request: YES
    assert session.get("/photos/open/a").status == 200
    assert denied(session.put("/photos/open/a", b"new"))
    assert denied(session.get("/"))


def test_a_stranger_that_the_hook_lets_read_is_told_what_is_not_there(
    host: Host, other: Client
) -> None:
    assert denied(other.get("/photos/open/nothing"))
    host.hook = opened
    assert other.get("/photos/open/nothing").code == "NoSuchKey"


def test_an_object_of_another_account_is_shown_to_whom_the_hook_allows(
    host: Host, s3: Client, other: Client
) -> None:
    host.hook = opened
    assert other.put("/photos/open/theirs", b"theirs").status == 200
    host.hook = lambda request: None
    assert denied(s3.get("/photos/open/theirs"))
    host.hook = opened
    assert s3.get("/photos/open/theirs").body == b"theirs"


def test_a_function_that_says_true_of_all_it_does_not_forbid_opens_nothing(
    host: Host, s3: Client, other: Client, anonymous: Client
) -> None:
    host.hook = lambda request: request.key != "shut/b"
    assert s3.get("/photos/open/a").status == 200
    assert denied(s3.get("/photos/shut/b"))
    for client in (other, anonymous):
        assert denied(client.get("/photos/open/a"))
        assert denied(client.get("/photos"))
        assert denied(client.delete("/photos/open/a"))
        assert denied(client.put("/photos/open/new", b"1"))
    assert other.put("/others").status == 200


def test_a_hook_that_fails_refuses_without_a_trace_in_the_answer(
    host: Host, s3: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: AuthorizationRequest) -> bool:
        raise RuntimeError("a secret of the host")

    host.hook = fails
    answer = s3.put("/photos/open/a", b"new")
    assert denied(answer)
    assert b"secret of the host" not in answer.body
    assert "a secret of the host" in caplog.text
    host.hook = lambda request: None
    assert s3.get("/photos/open/a").body == b"open/a"


def test_an_upload_in_parts_is_continued_by_whom_the_hook_allows(
    host: Host, s3: Client, other: Client
) -> None:
    name = s3.post("/photos/open/a", query="uploads").text("UploadId")
    query = f"partNumber=1&uploadId={name}"
    assert denied(other.put("/photos/open/a", b"part", query))
    host.hook = opened
    assert other.put("/photos/open/a", b"part", query).status == 200


# -- a visitor's own cookie


def of_visitor(request: AuthorizationRequest) -> Decision | None:
    """Who has the cookie may do everything in the bucket."""
    if request.caller.anonymous and "session=alice" in request.environ.get("HTTP_COOKIE", ""):
        return YES
    return None


OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": "http://s3.test"}
OTHER_PAGE = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),
        (OWN_PAGE, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://s3.test"}, True),
        ({"Origin": "http://S3.TEST"}, True),
        (OTHER_PAGE, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "anything"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://s3.test"}, False),
        ({"Origin": "http://evil.test"}, False),
        ({"Origin": "http://s3.test.evil.test"}, False),
        ({"Origin": "http://s3.test:8080"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "s3.test"}, False),
    ],
)
def test_a_cookie_changes_things_only_from_a_page_of_the_same_site(
    host: Host, s3: Client, anonymous: Client, headers: dict[str, str], may: bool
) -> None:
    """CSRF: a browser sends the cookie along whoever's page has it send the request."""
    host.hook = of_visitor
    sent = {"Host": "s3.test", "Cookie": "session=alice", **headers}
    body = delete_document("open/a")
    content_type, posted = form_body({"key": "open/p"}, b"x")
    attempts = [
        ("PUT", "/photos/open/b", {}, b"new"),
        ("POST", "/photos", {"Content-Type": content_type}, posted),
        ("DELETE", "/photos/shut/b", {}, b""),
        ("POST", "/photos?delete", {"Content-MD5": md5_of(body)}, body),
    ]
    for method, target, more, data in attempts:
        answer = anonymous.send(method, target, {**sent, **more}, data)
        assert (b"AccessDenied" in answer.body) is not may, (method, target, answer.body)
    assert (s3.get("/photos/open/a").status == 200) is not may
    # An image or a link on another's page is shown to the visitor; no script reads it without CORS.
    assert anonymous.send("GET", "/photos/open/b" if may else "/photos/open/a", sent).status == 200
    assert denied(anonymous.send("GET", "/photos/open/a", {"Host": "s3.test"}))


def test_no_operation_fails_for_want_of_an_account(
    host: Host, app: S3App, s3: Client, anonymous: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the hook allows to nobody in particular."""
    other = Client(app, OTHER)
    make: Any = getattr(make_target, "__wrapped__", None) or make_target._get_wrapped_function()
    target: Target = make(s3, other)
    host.hook = lambda request: YES
    for name in sorted(REQUESTS, key=lambda name: (name == "DeleteBucket", name)):
        answer = REQUESTS[name].send(anonymous, target)
        assert answer.status != 500, (name, answer.body)
    assert denied(anonymous.get("/"))
    assert denied(anonymous.put("/mine"))
    assert "Traceback" not in caplog.text


# -- by name


@pytest.fixture
def module() -> Iterator[ModuleType]:
    found = ModuleType("hook_of_a_host")
    sys.modules[found.__name__] = found
    yield found
    del sys.modules[found.__name__]


def test_the_configuration_names_a_function(module: ModuleType) -> None:
    module.shut = shut  # type: ignore[attr-defined]
    app = S3App(Config(keys={"AK": "s"}, authorize="hook_of_a_host:shut"))
    client = app.client()
    client.create_bucket("photos")
    with pytest.raises(AccessDenied):
        client.put("photos", "shut/a", b"1")
    app.close()
    # What is given counts before what is named.
    app = S3App(app.config, authorize=lambda request: None)
    app.client().create_bucket("photos")
    app.client().put("photos", "shut/a", b"1")
    app.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hook_of_a_host:nothing", "cannot be imported"),
        ("no_such_module:shut", "cannot be imported"),
        ("hook_of_a_host:number", "is a int, not a function"),
        ("hook_of_a_host", 'must be written "module:function"'),
        ("hook of a host:shut", 'must be written "module:function"'),
    ],
)
def test_a_name_that_is_no_functions_stops_the_start(
    module: ModuleType, name: str, message: str
) -> None:
    module.number = 3  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=message):
        S3App(Config(authorize=name))
