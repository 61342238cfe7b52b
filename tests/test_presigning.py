"""URLs and forms for the endpoint that clients see, sent to a real server behind a prefix."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

import s3kit
from s3kit import Client
from s3kit import Config
from s3kit import ConfigError
from s3kit import S3App
from s3kit.errors import InvalidBucketName
from s3kit.errors import KeyTooLongError
from s3kit.model import Account
from s3kit.model import Key
from s3kit.presigning import PresignedPost
from s3kit.testing import LiveServer
from tests.endpoint import ACLS_COUNT

PREFIX = "/files/s3"
ACCOUNTS = (
    {"id": "default", "keys": [{"access_key": "AKFIRST", "secret_key": "one"}]},
    {"id": "second", "keys": [{"access_key": "AKSECOND", "secret_key": "two/+=secret"}]},
    {
        "id": "session",
        "keys": [{"access_key": "AKTOKEN", "secret_key": "x", "session_token": "a/token+=="}],
    },
    {"id": "keyless"},
)


class Stripping:
    """A proxy in front that takes the prefix off the path and knows the app by another host."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        for name in ("REQUEST_URI", "RAW_URI"):
            assert environ[name].startswith(PREFIX)
            environ[name] = environ[name].removeprefix(PREFIX)
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(PREFIX)
        result: Iterable[bytes] = self.app(environ, start_response)
        return result


def mounted(app: S3App) -> Any:
    def nothing(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []

    return s3kit.mount(nothing, app, at=PREFIX)


@pytest.fixture(scope="module", params=["mounted", "behind-a-proxy"])
def s3(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client whose app is reached under a prefix; ``server`` is where."""
    proxied = request.param == "behind-a-proxy"
    apps: list[S3App] = []

    def serve(environ: Any, start_response: Any) -> Any:
        wsgi = Stripping(apps[0]) if proxied else mounted(apps[0])
        return wsgi(environ, start_response)

    with LiveServer(serve) as server:
        config = Config(
            **ACLS_COUNT,
            accounts=ACCOUNTS,
            public_endpoint=server.url + PREFIX + "/",
            public_prefix=PREFIX if proxied else "",
            region="eu-west-3",
            pin_region=True,
        )
        apps.append(S3App(config))
        client = apps[0].client()
        client.create_bucket("photos")
        yield client
    apps[0].close()


def send(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@pytest.mark.parametrize("key", ["cat.jpg", "a//b/c d+e%2F&=?#", "ü/\U0001f600", "a/../b"])
def test_each_method_does_its_one_thing(s3: Client, key: str) -> None:
    type_header = {"Content-Type": "image/jpeg"}
    url = s3.presign("PUT", "photos", key, headers=type_header)
    assert url.startswith(s3._s3.config.public_endpoint + "photos/")
    assert send("PUT", url, b"meow", {"Content-Type": "text/html"})[0] == 403
    assert send("PUT", url, b"meow", type_header)[0] == 200
    assert s3.head("photos", key).content_type == "image/jpeg"
    status, headers, body = send("GET", s3.presign("GET", "photos", key))
    assert (status, body, headers["content-type"]) == (200, b"meow", "image/jpeg")
    assert send("HEAD", s3.presign("HEAD", "photos", key))[1]["content-length"] == "4"
    assert send("DELETE", s3.presign("GET", "photos", key))[0] == 403
    assert s3.exists("photos", key)
    assert send("DELETE", s3.presign("DELETE", "photos", key))[0] == 204
    assert not s3.exists("photos", key)


def test_the_query_may_say_how_to_answer(s3: Client) -> None:
    s3.put("photos", "cat.jpg", b"meow")
    query = {
        "response-content-disposition": 'attachment; filename="a b+c.jpg"',
        "versionId": "null",
    }
    status, headers, _ = send("GET", s3.presign("GET", "photos", "cat.jpg", query=query))
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="a b+c.jpg"'
    listing = s3.presign("GET", "photos", query={"list-type": "2", "prefix": "c"})
    assert b"<Key>cat.jpg</Key>" in send("GET", listing)[2]
    twisted = s3.presign("GET", "photos", "cat.jpg").replace("cat.jpg", "dog.jpg")
    assert send("GET", twisted)[0] == 403


@contextmanager
def earlier(seconds: float) -> Iterator[None]:
    """What is signed in here was signed that long ago."""
    moment = time.time() - seconds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: moment)
        yield


def test_a_url_ends_when_it_says(s3: Client) -> None:
    s3.put("photos", "cat.jpg", b"meow")
    with earlier(20):
        url = s3.presign("GET", "photos", "cat.jpg", timedelta(minutes=1))
    assert "X-Amz-Expires=60" in url
    assert send("GET", url)[0] == 200
    with earlier(70):
        url = s3.presign("GET", "photos", "cat.jpg", timedelta(minutes=1))
    status, _, body = send("GET", url)
    assert (status, b"Request has expired" in body) == (403, True)


def test_the_account_that_signs_is_the_one_that_is_asked_about(s3: Client) -> None:
    s3.put("photos", "cat.jpg", b"meow")
    app = s3._s3
    other = app.client("second").presign("GET", "photos", "cat.jpg")
    assert "AKSECOND" in other
    assert send("GET", other)[0] == 403
    assert send("GET", s3kit.presign(app, "GET", "photos", "cat.jpg"))[0] == 200
    named = s3kit.presign(app, "GET", "photos", "cat.jpg", access_key="AKSECOND")
    assert "AKSECOND" in named
    app.client("session").create_bucket("of-session")
    url = app.client("session").presign("PUT", "of-session", "key")
    assert "X-Amz-Security-Token=a%2Ftoken%2B%3D%3D" in url
    assert send("PUT", url, b"x")[0] == 200


def test_an_endpoint_may_be_given_and_its_usual_port_goes_without_saying(s3: Client) -> None:
    url = s3.presign("GET", "photos", "a", endpoint="https://Files.example.com:443/x/")
    assert url.startswith("https://files.example.com/x/photos/a?")
    url = s3.presign("GET", "photos", "a", endpoint="http://files.example.com:8080")
    assert url.startswith("http://files.example.com:8080/photos/a?")
    url = s3.presign("GET", "photos", "a", endpoint="https://example.com", virtual_host=True)
    assert url.startswith("https://photos.example.com/a?")
    assert s3.public_url("photos", "ü b").endswith(f"{PREFIX}/photos/%C3%BC%20b")


def test_a_url_is_the_one_that_boto3_makes(s3: Client) -> None:
    theirs = boto3.client(
        "s3",
        endpoint_url=s3._s3.config.public_endpoint.rstrip("/"),
        region_name="eu-west-3",
        aws_access_key_id="AKFIRST",
        aws_secret_access_key="one",
        config=BotoConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    parameters = {"Bucket": "photos", "Key": "a b/ü", "ResponseContentType": "text/plain"}
    ours = s3.presign("GET", "photos", "a b/ü", query={"response-content-type": "text/plain"})
    for _ in range(3):
        expected = theirs.generate_presigned_url("get_object", Params=parameters)
        wanted = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(expected).query))
        ours = s3.presign("GET", "photos", "a b/ü", query={"response-content-type": "text/plain"})
        found = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(ours).query))
        if wanted["X-Amz-Date"] == found["X-Amz-Date"]:
            break
    assert found == wanted
    assert urllib.parse.urlsplit(ours)[:3] == urllib.parse.urlsplit(expected)[:3]
    theirs.close()


# -- what cannot be signed says so


def test_an_account_without_a_key_gets_a_clear_answer(s3: Client) -> None:
    app = s3._s3
    with pytest.raises(ConfigError, match='The account "keyless" has no access key'):
        app.client("keyless").presign("GET", "photos", "cat.jpg")
    with pytest.raises(ConfigError, match='The account "nobody" has no access key'):
        s3kit.presign_post(app, "photos", "cat.jpg", account="nobody")
    with pytest.raises(ConfigError, match='"AKSECOND" is not of the account "default"'):
        s3.presign("GET", "photos", "cat.jpg", access_key="AKSECOND")
    with pytest.raises(ConfigError, match='There is no access key "AKNONE"'):
        s3.presign("GET", "photos", "cat.jpg", access_key="AKNONE")


def test_a_key_ring_that_cannot_look_by_account_signs_with_a_named_key() -> None:
    class Ring:
        def lookup(self, access_key: str) -> Key | None:
            return Key("AKOWN", "secret", Account("own")) if access_key == "AKOWN" else None

        def account(self, account_id: str) -> Account | None:
            return None

    app = S3App(Config(public_endpoint="http://localhost:9000"), key_ring=Ring())
    s3 = app.client("own")
    with pytest.raises(ConfigError, match=r"Ring cannot tell .* access_key="):
        s3.presign("GET", "photos", "cat.jpg")
    assert "AKOWN" in s3.presign("GET", "photos", "cat.jpg", access_key="AKOWN")
    app.close()


def test_without_a_public_endpoint_the_setting_is_named() -> None:
    app = S3App(Config(keys={"AK": "secret"}))
    with pytest.raises(ConfigError, match="public_endpoint"):
        app.client().presign("GET", "photos", "cat.jpg")
    with pytest.raises(ConfigError, match='endpoint "files" must be a URL'):
        app.client().presign("GET", "photos", "cat.jpg", endpoint="files")
    app.close()


@pytest.mark.parametrize(
    "url",
    [
        "files.example.com",
        "ftp://example.com",
        "https://",
        "https://u:p@example.com",
        "https://example.com?x",
        "https://example.com/#x",
        "https://bücher.example",
        "https://example.com:x",
    ],
)
def test_what_can_be_no_endpoint_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigError, match="public_endpoint"):
        Config(public_endpoint=url)


def test_what_s3_can_never_have_is_not_signed(s3: Client) -> None:
    with pytest.raises(InvalidBucketName):
        s3.presign("GET", "Not A Bucket", "key")
    with pytest.raises(KeyTooLongError):
        s3.presign("GET", "photos", "k" * 1025)
    with pytest.raises(ValueError, match="method must be one of"):
        s3.presign("get", "photos", "key")
    for seconds in (0, 604_801):
        with pytest.raises(ValueError, match="lives from 1 to 604800 seconds"):
            s3.presign("GET", "photos", "key", seconds)
        with pytest.raises(ValueError, match="lives from 1 to 604800 seconds"):
            s3.presign_post("photos", "key", seconds)


# -- forms


def post(form: PresignedPost, data: bytes, **changed: str) -> tuple[int, dict[str, str], bytes]:
    file = FileStorage(io.BytesIO(data), "cat.jpg", "file", "application/octet-stream")
    boundary, body = encode_multipart({**form.fields, **changed, "file": file})
    return send(
        "POST", form.url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )


def test_a_form_stores_what_its_policy_allows_and_nothing_else(s3: Client) -> None:
    form = s3.presign_post(
        "photos",
        "in/form.jpg",
        fields={
            "Content-Type": "image/jpeg",
            "x-amz-meta-by": "ü",
            "acl": "public-read",
            "success_action_status": "201",
        },
        length_range=(2, 10),
    )
    assert form.url == s3._s3.config.public_endpoint + "photos"
    status, _, body = post(form, b"meow")
    assert status == 201, body
    info = s3.head("photos", "in/form.jpg")
    assert (info.content_type, info.metadata) == ("image/jpeg", {"by": "ü"})
    assert send("GET", s3.public_url("photos", "in/form.jpg"))[2] == b"meow"
    for data, changed, code in (
        (b"m", {}, b"EntityTooSmall"),
        (b"m" * 11, {}, b"EntityTooLarge"),
        (b"meow", {"key": "in/other.jpg"}, b"AccessDenied"),
        (b"meow", {"Content-Type": "text/html"}, b"AccessDenied"),
        (b"meow", {"x-amz-meta-more": "1"}, b"AccessDenied"),
        (b"meow", {"policy": form.fields["policy"][:-4] + "AAAA"}, b"SignatureDoesNotMatch"),
    ):
        status, _, body = post(form, data, **changed)
        assert code in body, (status, body)


def test_a_form_may_leave_its_sender_a_choice(s3: Client) -> None:
    form = s3.presign_post(
        "photos",
        "in/${filename}",
        fields={"Content-Type": "image/png", "x-ignore-note": "kept for the page"},
        conditions=[["starts-with", "$Content-Type", "image/"], {"bucket": "photos"}],
    )
    status, _, body = post(form, b"meow")
    assert status == 204, body
    assert s3.head("photos", "in/cat.jpg").content_type == "image/png"
    assert post(form, b"meow", **{"Content-Type": "image/webp"})[0] == 204
    assert post(form, b"meow", key="in/dog.jpg")[0] == 204
    assert post(form, b"meow", **{"Content-Type": "text/html"})[0] == 403
    assert post(form, b"meow", key="out/dog.jpg")[0] == 403


def test_a_form_ends_when_it_says(s3: Client) -> None:
    with earlier(20):
        form = s3.presign_post("photos", "late.jpg", 30)
    assert post(form, b"meow")[0] == 204
    with earlier(40):
        form = s3.presign_post("photos", "late.jpg", timedelta(seconds=30))
    status, _, body = post(form, b"meow")
    assert (status, b"Policy expired" in body) == (403, True)


def test_a_form_of_a_session_carries_its_token(s3: Client) -> None:
    other = s3._s3.client("session")
    other.create_bucket("forms-of-session")
    form = other.presign_post("forms-of-session", "key")
    assert form.fields["x-amz-security-token"] == "a/token+=="
    assert post(form, b"x")[0] == 204
