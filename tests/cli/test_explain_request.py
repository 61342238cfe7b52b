"""``s3kit explain --request``: what a captured request is, and why its signature is wrong.

What clients do wrong is done here with botocore's signers, and with one of a few lines that shares
nothing with s3kit's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import time
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.auth import S3SigV4QueryAuth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from click.testing import CliRunner
from click.testing import Result

from s3kit.app import S3App
from s3kit.auth import mistakes
from s3kit.auth.post_policy import sign_form
from s3kit.cli.captured import read_captured
from s3kit.cli.client_canonical import find_canonical
from s3kit.cli.explain_request import Place
from s3kit.cli.explain_request import explain_request
from s3kit.cli.main import cli
from s3kit.cli.rehearsal import Rehearsal
from s3kit.cli.request_report import Report
from s3kit.config import Config
from s3kit.model import Account
from s3kit.model import Key as SigningKeyPair
from tests.client import Client
from tests.client import Signer
from tests.endpoint import MASTER_KEY

SECRET = "a/very+secret/word="
OTHER_SECRET = "bobs+secret"
ALICE = Signer("AKALICE", SECRET)
HOST = "s3.test"
TOML = """
index = "sqlite:///FOLDER/index.db"
storages = {default = "FOLDER/blobs"}
master_keys = ["MASTER"]
[[accounts]]
id = "alice"
[[accounts.keys]]
access_key = "AKALICE"
secret_key = "SECRET"
[[accounts.keys]]
access_key = "AKOLD"
secret_key = "old"
scope = {expires = "2020-01-01T00:00:00Z"}
[[accounts]]
id = "bob"
keys = [{access_key = "AKBOB", secret_key = "OTHER"}]
"""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "no thumbs",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/thumbs/*",
        }
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explained")
    text = TOML.replace("FOLDER", str(made)).replace("MASTER", MASTER_KEY)
    text = text.replace("SECRET", SECRET).replace("OTHER", OTHER_SECRET)
    (made / "s3kit.toml").write_text(text)
    app = S3App(Config.from_file(made / "s3kit.toml"))
    alice = Client(app, ALICE)
    assert alice.put("/photos").status == 200
    assert alice.put("/photos/a%20b", b"x").status == 200
    assert alice.put("/photos", json.dumps(POLICY).encode(), "policy").status == 204
    app.store.accounts.create(id="carol")
    app.close()
    return made


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[Rehearsal]:
    app = Rehearsal(Config.from_file(folder / "s3kit.toml"))
    yield app
    app.close()


@pytest.fixture(autouse=True)
def few_pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find nothing takes half a second; most tests have no use for that."""
    if "two_mistakes" not in request.node.name:
        monkeypatch.setattr(mistakes, "MOST_PAIRS", 1000)


def raw(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    if body and not any(name.lower() == "content-length" for name in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def signed(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    host: str = HOST,
    signer: Signer = ALICE,
    region: str = "us-east-1",
) -> dict[str, str]:
    client = Client(None, signer, region=region)
    return client.signed_headers(method, target, headers or {}, body, host)


def asked(endpoint: Rehearsal, data: bytes, *, now: float = 0, **place: Any) -> Report:
    return explain_request(endpoint, read_captured(data), Place(**place), now or time.time())


def by_hand(
    canonical: Callable[[str], str],
    *,
    secret: str = SECRET,
    names: str = "host;x-amz-content-sha256;x-amz-date",
    region: str = "us-east-1",
    service: str = "s3",
    said: str = "us-east-1/s3",
) -> dict[str, str]:
    """The headers of a client that makes its canonical request of a date as it likes."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    digest = hashlib.sha256(canonical(date).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in (date[:8], region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    scope = f"{date[:8]}/{said}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        "Host": HOST,
        "x-amz-date": date,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=AKALICE/{scope}, SignedHeaders={names}, "
        f"Signature={signature}",
    }


def plain(path: str, query: str = "", payload: str = "UNSIGNED-PAYLOAD") -> Callable[[str], str]:
    """A canonical request for :func:`by_hand`."""
    return lambda date: (
        f"GET\n{path}\n{query}\nhost:{HOST}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
        f"x-amz-date:{date}\n\nhost;x-amz-content-sha256;x-amz-date\n{payload}"
    )


def generic(target: str) -> dict[str, str]:
    """Signed as for services other than S3: the path is normalised, and encoded twice."""
    url = f"http://{HOST}{target}"
    headers = {"Host": HOST, "x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
    request = AWSRequest(method="GET", url=url, headers=headers)
    SigV4Auth(Credentials(ALICE.access_key, SECRET), "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def presigned(target: str, method: str = "GET", expires: int = 600) -> str:
    request = AWSRequest(method=method, url=f"https://{HOST}{target}")
    credentials = Credentials(ALICE.access_key, SECRET)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=expires).add_auth(request)
    return str(request.url)


KEY = "/photos/a%20b"


def sent(headers: Mapping[str, str], target: str = KEY, method: str = "GET", **more: str) -> bytes:
    changed = dict(headers)
    for name, value in more.items():
        spelt = next((each for each in changed if each.lower() == name.replace("_", "-")), "")
        changed[spelt or name.replace("_", "-")] = value
    return raw(method, target, {name: value for name, value in changed.items() if value != "-"})


MISTAKES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "another method": (lambda: sent(signed("GET", KEY), method="HEAD"), "method", "for GET"),
    "presigned for another method": (
        lambda: raw("PUT", presigned(KEY).partition(HOST)[2], {"Host": HOST}),
        "method",
        "signed for GET and sent as PUT",
    ),
    "the proxy's own host": (
        lambda: sent(signed("GET", KEY, host="files.example"), host="10.0.0.7:8000",
                     x_forwarded_host="files.example"),
        "host",
        'for the host "files.example"',
    ),
    "a host that the operator names": (
        lambda: sent(signed("GET", KEY, host="s3.example.org:8443"), host="backend"),
        "host",
        'for the host "s3.example.org:8443"',
    ),
    "the port is lost": (
        lambda: sent(signed("GET", KEY, host=f"{HOST}:9000"), host=HOST), "host", f"{HOST}:9000"
    ),
    "signed for AWS itself": (
        lambda: sent(signed("GET", KEY, host="s3.us-east-1.amazonaws.com"), host=HOST),
        "host",
        "s3.us-east-1.amazonaws.com",
    ),
    "a bucket's host made a path": (
        lambda: sent(signed("GET", "/a%20b", host=f"photos.{HOST}"), host=HOST),
        "host",
        f"photos.{HOST}",
    ),
    "a mount that the proxy takes off": (
        lambda: sent(signed("GET", f"/s3{KEY}")), "path", 'with "/s3" before it'
    ),
    "a mount that the operator names": (
        lambda: sent(signed("GET", f"/our/files{KEY}"), x_forwarded_prefix="/our/files"),
        "path",
        'set public_prefix to "/our/files"',
    ),
    "a mount that the client does not sign": (
        lambda: sent(signed("GET", KEY), f"/store{KEY}"), "path", 'without "/store"'
    ),
    "the path is encoded twice": (lambda: sent(generic(KEY)), "path", "encodes the path twice"),
    "the path is normalised": (
        lambda: sent(generic("/photos//x/../y"), "/photos//x/../y"), "path", "normalises the path"
    ),
    "the path is encoded once more on its way": (
        lambda: sent(signed("GET", KEY), "/photos/a%2520b"), "path", "once more after it was signed"
    ),
    "slashes are merged on the way": (
        lambda: sent(signed("GET", "/photos//x"), "/photos/x"), "path", "merges slashes"
    ),
    "a slash at the end is lost": (
        lambda: sent(signed("GET", "/photos/x/"), "/photos/x"), "path", "slash at the path's end"
    ),
    "escapes in lower case": (
        lambda: sent(by_hand(plain("/photos/%c3%bc")), "/photos/%C3%BC"), "path", "in lower case"
    ),
    "a plus that became a blank": (
        lambda: sent(signed("GET", "/photos/a%2Bb"), KEY), "path", "decoded to a space"
    ),
    "a letter that was composed": (
        lambda: sent(signed("GET", "/photos/u%CC%88"), "/photos/%C3%BC"), "path", "NFD became NFC"
    ),
    "the query is not sorted": (
        lambda: sent(by_hand(plain("/photos", "prefix=b&list-type=2")),
                     "/photos?prefix=b&list-type=2"),
        "query",
        "",
    ),
    "a parameter is added on the way": (
        lambda: sent(signed("GET", "/photos?list-type=2"), "/photos?list-type=2&utm=1"),
        "query",
        'parameter "utm" is no part',
    ),
    "the client leaves the query out": (
        lambda: sent(by_hand(plain("/photos")), "/photos?list-type=2"), "query", "list-type"
    ),
    "a plus that is meant as such": (
        lambda: sent(by_hand(plain("/photos", "prefix=a%2Bb")), "/photos?prefix=a+b"),
        "query",
        "%2B",
    ),
    "a header that a proxy changes": (
        lambda: sent(signed("GET", KEY, {"accept-encoding": "identity"}), accept_encoding="br"),
        "header",
        '"accept-encoding" was signed as "identity", and "br" came',
    ),
    "a header that a proxy takes away": (
        lambda: sent(signed("GET", KEY, {"accept-encoding": "gzip"}), accept_encoding="-"),
        "header",
        "did not come",
    ),
    "a type that gets a charset": (
        lambda: sent(signed("PUT", KEY, {"content-type": "text/csv"}), method="PUT",
                     content_type="text/csv; charset=utf-8"),
        "header",
        '"text/csv"',
    ),
    "the body's hash is replaced": (
        lambda: sent(by_hand(plain(KEY, payload=hashlib.sha256(b"").hexdigest())), KEY),
        "payload",
        "body's hash",
    ),
    "a line break in the secret": (
        lambda: sent(by_hand(plain(KEY), secret=f"{SECRET}\n")), "secret", "a line break at its end"
    ),
    "an encoded secret": (
        lambda: sent(by_hand(plain(KEY), secret="a%2Fvery%2Bsecret%2Fword%3D")),
        "secret",
        "percent-encoding",
    ),
    "another key's secret": (
        lambda: sent(by_hand(plain(KEY), secret=OTHER_SECRET)), "secret", "of another key, AKBOB"
    ),
    "the key in the place of the secret": (
        lambda: sent(by_hand(plain(KEY), secret="AKALICE")), "secret", "the access key in the place"
    ),
    "another region": (
        lambda: sent(by_hand(plain(KEY), region="eu-west-1")), "region", 'the region "eu-west-1"'
    ),
    "another service": (
        lambda: sent(by_hand(plain(KEY), service="execute-api")), "service", '"execute-api"'
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_found_and_proved(endpoint: Rehearsal, name: str) -> None:
    """With the one thing changed back the signature is right: that is the reason, and no guess."""
    made, cause, text = MISTAKES[name]
    report = asked(endpoint, made(), hosts=("s3.example.org",))
    assert report.matches is False
    assert report.answer.error is not None
    assert report.answer.error.code == "SignatureDoesNotMatch"
    assert report.proved, [*report.lines()]
    assert [each.cause for each in report.reasons] == [cause], report.reasons
    assert text in report.reasons[0].text
    assert_no_secret(report)


def assert_no_secret(report: Report) -> None:
    shown = "\n".join(report.lines()) + json.dumps(report.document()) + repr(report)
    for secret in (SECRET, OTHER_SECRET, MASTER_KEY, "Signature=", "old-secret"):
        assert secret not in shown


def test_a_prefix_that_the_endpoint_is_said_to_have(folder: Path) -> None:
    config = Config.from_file(folder / "s3kit.toml")
    app = Rehearsal(replace(config, public_prefix="/s3"))
    report = asked(app, sent(signed("GET", KEY)))
    assert report.proved
    assert "or change public_prefix" in report.reasons[0].text
    assert asked(app, sent(signed("GET", f"/s3{KEY}"), KEY)).allowed
    app.close()


def test_names_of_buckets_per_account(tmp_path: Path) -> None:
    """CS-23: whose bucket is meant is found as for the request itself; --owner is the mount's."""
    keys = {
        name: [{"access_key": f"AK{name.upper()}", "secret_key": SECRET}] for name in ("a", "b")
    }
    config = Config(
        index=f"sqlite:///{tmp_path / 'index.db'}",
        storages={"default": "memory://"},
        accounts=[{"id": name, "keys": keys[name]} for name in keys],
        bucket_names="account",
    )
    app = S3App(config)
    for name in ("AKA", "AKB"):
        assert Client(app, Signer(name, SECRET)).put("/photos").status == 200
    app.close()
    rehearsal = Rehearsal(config)
    data = sent(signed("GET", "/photos", signer=Signer("AKB", SECRET)), "/photos")
    assert (
        asked(rehearsal, data).answer.judged[0].steps[0].text.startswith("the bucket belongs to b")
    )
    anonymous = raw("GET", "/photos", {"Host": HOST})
    report = asked(rehearsal, anonymous, account="a")
    assert report.answer.judged[0].steps[0].text.startswith("the bucket belongs to a")
    report = asked(rehearsal, anonymous)
    assert report.answer.error is not None
    assert report.answer.error.code == "NoSuchBucket"
    rehearsal.close()


def test_two_mistakes_at_once_are_found_too(endpoint: Rehearsal) -> None:
    headers = signed("GET", f"/s3{KEY}", host="files.example")
    data = sent(headers, host="backend:8000", x_forwarded_host="files.example")
    report = asked(endpoint, data)
    assert report.proved
    assert {each.cause for each in report.reasons} == {"host", "path"}


def test_what_nobody_knows_is_a_guess_and_said_to_be_one(endpoint: Rehearsal) -> None:
    report = asked(endpoint, sent(by_hand(plain(KEY), secret="nobody knows this")))
    assert report.matches is False
    assert not report.proved
    assert "Perhaps:" in [*report.lines()]
    assert report.reasons[-1].cause == "secret"


def test_the_canonical_request_is_the_one_that_the_endpoint_compares(endpoint: Rehearsal) -> None:
    """The same text as in the answer of SignatureDoesNotMatch."""
    more = {"x-amz-security-token": "T0KEN", "x-amz-meta-a": "one   two", "cookie": "c00kie"}
    target = "/photos?prefix=%2f%41&list-type=2"
    wrong = Signer("AKALICE", "wrong")
    url = presigned("/photos/x?X-Amz-S3session-Token=T0KEN")
    for data in (
        raw("GET", target, signed("GET", target, more, signer=wrong)),
        f"{url[:-4]}0000".encode(),
    ):
        report = asked(endpoint, data)
        error = report.answer.error
        assert error is not None
        assert error.details["canonical_request"] == report.canonical
        assert error.details["string_to_sign"] == report.to_sign
        for secret in ("T0KEN", "c00kie"):
            assert secret not in "\n".join(report.lines()) + json.dumps(report.document())


def test_a_right_request_is_judged_but_not_carried_out(endpoint: Rehearsal, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    body = b"new"
    data = raw("PUT", "/photos/new", signed("PUT", "/photos/new", {}, body), body)
    report = asked(endpoint, data)
    assert report.allowed
    assert report.matches
    assert [each.action for each in report.answer.judged] == ["s3:PutObject"]
    data = raw("DELETE", KEY, signed("DELETE", KEY))
    assert asked(endpoint, data).allowed
    data = raw("DELETE", "/photos", signed("DELETE", "/photos"))
    assert asked(endpoint, data).allowed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    data = raw("GET", "/photos/thumbs/1", signed("GET", "/photos/thumbs/1"))
    report = asked(endpoint, data)
    assert not report.allowed
    assert report.matches
    assert 'deny   the bucket\'s policy, statement 1 ("no thumbs")' in "\n".join(report.lines())


def test_the_body_is_looked_at_too(endpoint: Rehearsal) -> None:
    data = raw("PUT", "/photos/x", signed("PUT", "/photos/x", {}, b"one"), b"two")
    report = asked(endpoint, data)
    assert report.matches
    assert report.answer.error is not None
    assert report.answer.error.code == "XAmzContentSHA256Mismatch"
    assert [each.cause for each in report.reasons] == ["payload"]
    # Of a body that was not captured nothing is said.
    cut = asked(endpoint, data[:-1])
    assert cut.allowed
    assert "its body was not captured" in "\n".join(cut.lines())


def test_the_parts_of_a_request_are_judged_each(endpoint: Rehearsal) -> None:
    headers = {"x-amz-copy-source": "/photos/thumbs/1"}
    report = asked(endpoint, raw("PUT", "/photos/x", signed("PUT", "/photos/x", headers)))
    assert [(each.action, each.decision.allowed) for each in report.answer.judged] == [
        ("s3:PutObject", True),
        ("s3:GetObject", False),
    ]
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>"
    checksum = zlib.crc32(body).to_bytes(4, "big")
    headers = {"x-amz-checksum-crc32": base64.b64encode(checksum).decode()}
    data = raw("POST", "/photos?delete", signed("POST", "/photos?delete", headers, body), body)
    report = asked(endpoint, data)
    assert report.allowed
    assert [each.resource for each in report.answer.judged] == ["photos/a", "photos/b"]


def test_the_clock(endpoint: Rehearsal) -> None:
    data = sent(signed("GET", KEY))
    report = asked(endpoint, data, now=time.time() + 3 * 3600)
    assert report.answer.error is not None
    assert report.answer.error.code == "RequestTimeTooSkewed"
    assert report.matches
    assert report.reasons[0].cause == "clock"
    assert "3 hours behind" in report.reasons[0].text
    assert report.in_time is not None
    assert report.in_time.error is None
    report = asked(endpoint, presigned(KEY, expires=60).encode(), now=time.time() + 120)
    assert not report.allowed
    assert "The URL's time is over, by" in report.reasons[0].text
    assert asked(endpoint, presigned(KEY).encode()).allowed


@pytest.mark.parametrize(
    ("access_key", "text"),
    [
        ("AKNOBODY", "there is no such key here"),
        ("AKALICF", 'did you mean "AKALICE"?'),
        (SECRET.replace("/", ""), "there is no such key here"),
        (OTHER_SECRET, "the client has the two mixed up"),
        ("ASIAGONE", "only with its x-amz-security-token"),
        ("disabled", "the key is disabled"),
        ("suspended", "its account carol is suspended"),
    ],
)
def test_a_key_that_does_not_work(endpoint: Rehearsal, access_key: str, text: str) -> None:
    accounts = endpoint.store.accounts
    secret = "whatever"
    if access_key in ("disabled", "suspended"):
        made = accounts.create_key("carol")
        if access_key == "disabled":
            accounts.keys.disable(made.access_key)
        else:
            accounts.suspend("carol")
        access_key, secret = made.access_key, made.secret_key
    headers = signed("GET", KEY, signer=Signer(access_key, secret))
    report = asked(endpoint, sent(headers))
    assert report.answer.error is not None
    assert report.answer.error.code == "InvalidAccessKeyId"
    assert report.reasons[0].cause == "key"
    assert text in report.key
    assert report.canonical.startswith(f"GET\n{KEY}\n\nhost:{HOST}\n")
    assert_no_secret(report)


def test_a_secret_in_the_place_of_the_key_is_not_shown(endpoint: Rehearsal) -> None:
    """Nor a token without a scheme."""
    url = presigned(KEY).replace("AKALICE", SECRET.replace("/", "%2F").replace("+", "%2B"))
    report = asked(endpoint, url.encode())
    assert report.key.startswith("***: that is no access key but a secret")
    assert "X-Amz-Credential=***%2F" in report.canonical
    assert_no_secret(report)
    assert "a%2Fvery" not in "\n".join(report.lines()) + json.dumps(report.document())
    report = asked(endpoint, sent({"Host": HOST, "Authorization": "eyJ0T0KEN"}))
    assert "T0KEN" not in "\n".join(report.lines())


def test_an_expired_key(endpoint: Rehearsal) -> None:
    report = asked(endpoint, sent(signed("GET", KEY, signer=Signer("AKOLD", "old"))))
    assert report.matches
    assert not report.allowed
    assert [each.text for each in report.reasons] == ["AKOLD has expired."]


def test_headers_outside_the_signature(endpoint: Rehearsal) -> None:
    report = asked(endpoint, sent(signed("GET", KEY), x_amz_request_payer="requester"))
    assert report.answer.error is not None
    assert report.answer.error.code == "AccessDenied"
    assert [each.cause for each in report.reasons] == ["header"]
    assert "was added after the signature" in report.reasons[0].text


def test_a_token_of_another_key(endpoint: Rehearsal) -> None:
    report = asked(endpoint, sent(signed("GET", KEY, signer=Signer("AKALICE", SECRET, "T0KEN"))))
    assert report.answer.error is not None
    assert report.answer.error.code == "InvalidToken"
    assert "mixes two keys up" in report.reasons[0].text
    assert "T0KEN" not in "\n".join(report.lines())


@pytest.mark.parametrize(
    ("data", "signature", "reason"),
    [
        (sent({"Host": HOST, "Authorization": "AWS AKALICE:abc="}), "version 2", "Set the client"),
        (
            f"https://{HOST}{KEY}?AWSAccessKeyId=AKALICE&Signature=abc&Expires=1".encode(),
            "version 2",
            "Set the client",
        ),
        (sent({"Host": HOST}), "none: the request is anonymous", ""),
        (sent({"Host": HOST, "Authorization": "Basic YWJj"}), "none of S3's", ""),
        (sent({"Host": HOST, "Authorization": "AWS4-HMAC-SHA256 x"}), "malformed: ", ""),
        (presigned(KEY).replace("&", "&amp;").encode(), "malformed: ", "escaped for HTML"),
        (presigned(KEY).partition("&X-Amz-Signature")[0].encode(), "malformed: ", "cut off"),
        (presigned(KEY).replace("%2F", "%252F").encode(), "malformed: ", "percent-encoded once"),
    ],
)  # fmt: skip
def test_other_kinds_of_signatures(
    endpoint: Rehearsal, data: bytes, signature: str, reason: str
) -> None:
    report = asked(endpoint, data)
    assert not report.allowed
    assert report.signature.startswith(signature)
    assert reason in " ".join(each.text for each in report.reasons)


def test_a_path_that_begins_with_two_slashes(endpoint: Rehearsal) -> None:
    report = asked(endpoint, sent(signed("GET", f"/{KEY}"), f"/{KEY}"))
    assert report.answer.error is not None
    assert report.answer.error.code == "InvalidURI"
    assert "must not end in one" in report.reasons[0].text


def form(secret: str, token: str | None = None, key: str = "f") -> bytes:
    """A browser's form, signed for the key ``f``."""
    signing = SigningKeyPair("AKALICE", secret, Account("alice"), token)
    fields = sign_form({"key": "f"}, [{"key": "f"}, {"bucket": "photos"}], signing, expires=60)
    fields["key"] = key
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append('name="file"; filename="x"\r\n\r\nDATA')
    text = "".join(f"--B\r\nContent-Disposition: form-data; {each}\r\n" for each in parts)
    headers = {"Host": HOST, "Content-Type": "multipart/form-data; boundary=B"}
    return raw("POST", "/photos", headers, f"{text}--B--\r\n".encode())


def test_a_browser_s_form(endpoint: Rehearsal) -> None:
    report = asked(endpoint, form(SECRET))
    assert report.signature.startswith("version 4 in a browser's form, ")
    assert report.matches
    assert report.allowed
    assert [each.action for each in report.answer.judged] == ["s3:PutObject"]
    report = asked(endpoint, form(f"{SECRET}\n"))
    assert report.matches is False
    assert report.proved
    assert "a line break" in report.reasons[0].text
    report = asked(endpoint, form("nobody's"))
    assert (report.matches, report.proved) == (False, False)
    report = asked(endpoint, form(SECRET, key="another"))
    assert report.matches
    assert not report.allowed
    assert report.answer.error is not None
    assert report.answer.error.code == "AccessDenied"
    report = asked(endpoint, form(SECRET, "T0KEN"))
    token = base64.b64encode(b"T0KEN").decode().rstrip("=")
    shown = "\n".join(report.lines()) + json.dumps(report.document())
    assert report.reasons[0].cause == "key"
    assert "T0KEN" not in shown
    assert token not in shown
    assert "not captured" in asked(endpoint, form(SECRET)[:-40]).signature


def test_a_request_for_sts(endpoint: Rehearsal) -> None:
    """Its body is signed as such, whatever the headers say."""
    body = "Action=GetSessionToken&Version=2011-06-15"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    made = []
    for secret in (SECRET, f"{SECRET}\n"):
        request = AWSRequest("POST", f"http://{HOST}/", headers, data=body)
        SigV4Auth(Credentials("AKALICE", secret), "sts", "us-east-1").add_auth(request)
        sent = {**dict(request.headers.items()), "Host": HOST}
        made.append(asked(endpoint, raw("POST", "/", sent, body.encode())))
    right, wrong = made
    assert right.matches
    assert right.allowed
    assert not wrong.matches
    assert wrong.proved
    assert not wrong.allowed


# -- how it was captured


def test_whatever_it_was_captured_with(endpoint: Rehearsal) -> None:
    headers = signed("GET", KEY)
    data = raw("GET", KEY, headers)
    curl = "* Connected\n" + "".join(
        f"> {line}\n" for line in data.decode().replace("\r\n\r\n", "\r\n").splitlines()
    )
    prepared = {name: value.encode() for name, value in headers.items() if name != "Host"}
    boto = (
        "2026-11-21 15:00:00,123 botocore.endpoint [DEBUG] Sending http request: "
        f"<AWSPreparedRequest stream_output=True, method=GET, url=http://{HOST}{KEY}, "
        f"headers={prepared!r}>\n"
    )
    http2 = f":method: GET\n:path: {KEY}\n:authority: {HOST}\n:scheme: https\n" + "".join(
        f"{name.lower()}: {value}\n" for name, value in headers.items() if name != "Host"
    )
    for text in (
        data,
        data.replace(b"\r\n", b"\n"),
        b"E..4..@.@.\x00\xff\x17" + data,
        curl.encode() + b"> \n< HTTP/1.1 403 Forbidden\n",
        boto.encode(),
        http2.encode(),
        raw("GET", f"http://{HOST}{KEY}", headers),
        b"\xef\xbb\xbf\n" + data,
    ):
        report = asked(endpoint, text)
        assert report.matches, text
        assert report.allowed


def test_a_chunked_body_and_signed_chunks(endpoint: Rehearsal) -> None:
    body = b"4\r\nbody\r\n0\r\n\r\n"
    headers = signed("PUT", KEY, {}, b"body")
    data = raw("PUT", KEY, {**headers, "Transfer-Encoding": "chunked"}) + body
    found = read_captured(data)
    assert found.body == b"body"
    assert asked(endpoint, data).allowed
    assert read_captured(data[:-9]).body is None
    word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    more = {"x-amz-content-sha256": word, "x-amz-decoded-content-length": "4"}
    framed = b"4;chunk-signature=" + b"0" * 64 + b"\r\nbody\r\n"
    framed += b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    report = asked(endpoint, raw("PUT", KEY, signed("PUT", KEY, more), framed))
    assert report.matches
    assert "the body comes in signed chunks" in report.signature
    assert report.answer.error is not None
    assert report.answer.error.code == "SignatureDoesNotMatch"
    assert report.reasons[-1].text.startswith("The request's own signature is right; a chunk's")


def test_the_client_s_own_canonical_request(endpoint: Rehearsal) -> None:
    """As boto's debug log has it: the difference is the reason, whatever it is."""
    date = []

    def canonical(now: str) -> str:
        date.append(now)
        return plain("/anything/else", "x=1")(now).replace(HOST, "some.where")

    headers = by_hand(canonical)
    text = canonical(date[0])
    log = f"... DEBUG - CanonicalRequest:\n{text}\n... DEBUG - StringToSign:\nAWS4-HMAC-SHA256\n"
    forms = (log, text, text + "\n", repr(text).strip("'"), f"Canonical Request: '\"{text}\"'")
    found = [find_canonical(each, like=date[0]) for each in forms]
    assert [each and each.canonical for each in found] == [text] * len(forms)
    captured = read_captured(sent(headers))
    report = explain_request(endpoint, captured, Place(), time.time(), found[0])
    assert report.client == "the signature is of this one, and with the right secret"
    assert report.proved
    assert [line for line, _, _ in report.differences] == ["path", "query", "header host"]
    assert ("header host", "some.where", HOST) in report.differences
    # With another secret as well.
    headers = by_hand(plain(KEY), secret="nobody knows")
    client = find_canonical(plain(KEY)(headers["x-amz-date"]))
    report = explain_request(endpoint, read_captured(sent(headers)), Place(), time.time(), client)
    assert report.client.startswith("it is the same as the endpoint's, and the signature is not of")
    assert "another secret for this key" in report.reasons[0].text


def test_boto_s_debug_log_has_both(endpoint: Rehearsal, caplog: pytest.LogCaptureFixture) -> None:
    """What botocore itself logs: the canonical request, and the request that it sends."""
    request = AWSRequest("GET", f"http://{HOST}{KEY}", {"x-amz-security-token": "T0KEN"})
    with caplog.at_level("DEBUG", "botocore"):
        credentials = Credentials(ALICE.access_key, SECRET, "T0KEN")
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        logging.getLogger("botocore.endpoint").debug("Sending http request: %s", request.prepare())
    # On its way the host became another one.
    log = caplog.text.replace(f"url=http://{HOST}", "url=http://backend:8000")
    client = find_canonical(log, like=request.headers["X-Amz-Date"])
    report = explain_request(endpoint, read_captured(log.encode()), Place(), time.time(), client)
    assert report.client == "the signature is of this one, and with the right secret"
    assert report.proved
    assert report.differences == [("header host", HOST, "backend:8000")]
    shown = "\n".join(report.lines()) + json.dumps(report.document())
    assert "x-amz-security-token:***" in shown
    assert "T0KEN" not in shown
    assert_no_secret(report)


# -- the command


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("S3KIT_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, data: bytes = b"") -> Result:
        options = ["explain", "--config", "s3kit.toml", *arguments]
        return CliRunner().invoke(cli, options, input=data)

    return run


def test_the_command(run: Callable[..., Result], tmp_path: Path) -> None:
    found = run("--request", "-", data=sent(signed("GET", KEY)))
    assert found.exit_code == 0, found.output
    assert found.output.startswith("allow  GET GetObject of photos/a b\n")
    data = sent(signed("GET", KEY, host="files.example"), host="backend")
    (tmp_path / "captured").write_bytes(data)
    asked = ("--request", str(tmp_path / "captured"))
    found = run(*asked, "--host", "files.example", "--json")
    assert found.exit_code == 1
    shown = json.loads(found.output)
    assert shown["decision"] == "deny"
    assert shown["proved"] is True
    assert [each["cause"] for each in shown["reasons"]] == ["host"]
    assert shown["answer"]["code"] == "SignatureDoesNotMatch"
    assert run("--request", "-", data=presigned(KEY, "PUT").encode()).exit_code == 1
    found = run("--request", "-", "--method", "put", data=presigned(KEY, "PUT").encode())
    assert found.exit_code == 0, found.output
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7200))
    found = run("--request", "-", "--at", date, data=sent(signed("GET", KEY)))
    assert "ahead of this endpoint's clock" in found.output
    # A terminal obeys what it is sent.
    headers = signed("GET", KEY, {"x-amz-meta-a": "\x1b[31mred"})
    assert "\x1b" not in run("--request", "-", data=sent(headers)).output


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        ((), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (("--request", "-"), b""),
        (("--request", "-"), b"nothing of the sort"),
        (("--request", "-"), b"GET / HTTP/1.1\r\nno header\r\n\r\n"),
        (("--request", "-"), b"http:///nowhere"),
        (("--request", "-"), b"http://[nowhere/"),
        (("--request", "missing"), b""),
        (("--request", "-", "--anonymous"), b"GET / HTTP/1.1\r\n\r\n"),
        (("s3:GetObject", "a/b", "--request", "-"), b"GET / HTTP/1.1\r\n\r\n"),
        (("--request", "-", "--at", "noon"), b"GET / HTTP/1.1\r\n\r\n"),
        (("s3:ListBucket", "photos", "--anonymous", "--at", "2026-01-01"), b""),
        (("--request", "-", "--client-canonical", "s3kit.toml"), b"GET / HTTP/1.1\r\n\r\n"),
    ],
)
def test_a_wrong_question(
    run: Callable[..., Result], arguments: tuple[str, ...], data: bytes
) -> None:
    assert run(*arguments, data=data).exit_code == 2
