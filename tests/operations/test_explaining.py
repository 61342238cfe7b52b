"""``x-s3kit-decision``: which rule decided, for the bucket's owner alone."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3kit import presign
from s3kit.app import S3App
from s3kit.auth.hook import AuthorizationRequest
from s3kit.config import Config
from s3kit.middleware.audit import audit
from s3kit.model import Decision
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import make_environ
from tests.endpoint import ACLS_COUNT

ALICE = Signer("AKALICE", "alice-secret")
CAMERA = Signer("AKCAMERA", "camera-secret")
BOB = Signer("AKBOB", "bob-secret")
ACCOUNTS: list[dict[str, Any]] = [
    {
        "id": "alice",
        "keys": [
            {"access_key": "AKALICE", "secret_key": "alice-secret"},
            {"access_key": "AKCAMERA", "secret_key": "camera-secret", "user": "camera"},
            {
                "access_key": "AKNARROW",
                "secret_key": "narrow-secret",
                "scope": {"read_only": True},
            },
        ],
    },
    {"id": "bob", "keys": [{"access_key": "AKBOB", "secret_key": "bob-secret"}]},
]
HEADER = "x-s3kit-decision"


def made(*, explain: bool) -> S3App:
    return S3App(Config(**ACLS_COUNT, accounts=ACCOUNTS, explain=explain))


@pytest.fixture
def s3() -> Iterator[S3App]:
    app = made(explain=True)
    client = Client(app, ALICE)
    assert client.put("/photos").status == 200
    assert client.put("/photos/key", b"x", x_amz_acl="public-read").status == 200
    yield app
    app.close()


def deny(client: Client, action: str, sid: str = "", resource: str = "photos/*") -> None:
    statement = {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": f"arn:aws:s3:::{resource}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement}).encode()
    assert client.put("/photos", policy, "policy").status == 204


def ask(client: Client, method: str, path: str, query: str = "", **more: Any) -> Answer:
    return client.request(method, path, query, {"x-s3kit-explain": "true"}, **more)


def decisions(app: Any, environ: dict[str, Any]) -> list[str]:
    """All of them, which a dict of headers would lose."""
    found: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        found.extend(value for name, value in headers if name == HEADER)
        return lambda data: None

    b"".join(app(environ, start))
    return found


def test_the_owner_is_told_which_rule_allows(s3: S3App) -> None:
    answer = ask(Client(s3, ALICE), "GET", "/photos/key")
    assert answer.body == b"x"
    assert answer.headers[HEADER] == (
        'allow; action=s3:GetObject; resource="photos/key"; '
        'reason="the caller\'s account owns the bucket"'
    )
    assert 'resource="photos"' in ask(Client(s3, ALICE), "GET", "/photos").headers[HEADER]
    assert HEADER in ask(Client(s3, ALICE), "HEAD", "/photos/key").headers
    assert HEADER in ask(Client(audit(s3), ALICE), "GET", "/photos/key").headers
    # Nobody asks.
    assert HEADER not in Client(s3, ALICE).get("/photos/key").headers
    assert HEADER not in Client(s3, ALICE).get("/photos/key", x_s3kit_explain="1").headers


def test_the_owner_is_told_which_rule_refuses(s3: S3App) -> None:
    alice = Client(s3, ALICE)
    deny(alice, "s3:GetObject", 'a "quoted" word\\ with über')
    answer = ask(alice, "GET", "/photos/key")
    assert answer.code == "AccessDenied"
    assert answer.headers[HEADER].startswith("deny; action=s3:GetObject; ")
    reason = answer.headers[HEADER].partition('reason="')[2]
    label = r"statement 1 (\"a \"quoted\" word\\ with \\xfcber\")"
    assert reason == f"the bucket's policy, {label}\""
    assert HEADER not in alice.get("/photos/key").headers
    assert b"statement" not in answer.body


def test_nobody_else_learns_anything(s3: S3App) -> None:
    deny(Client(s3, ALICE), "s3:PutObject", "a secret word")
    for signer in (BOB, CAMERA, None, Signer("AKALICE", "wrong"), Signer("AKNOBODY", "x")):
        client = Client(s3, signer)
        for method, path in (("GET", "/photos/key"), ("PUT", "/photos/key"), ("GET", "/photos")):
            answer = ask(client, method, path)
            assert HEADER not in answer.headers, (signer, method, path)
            assert b"secret word" not in answer.body
    # Whoever was given a URL may send any header with it.
    url = presign(s3, "GET", "photos", "key", account="alice", endpoint="http://s3.test")
    sent = {"Host": "s3.test", "x-s3kit-explain": "true"}
    answer = Client(s3, None).send("GET", url.removeprefix("http://s3.test"), sent)
    assert answer.body == b"x"
    assert HEADER not in answer.headers


def test_a_copy_tells_nothing_of_another_s_bucket(s3: S3App) -> None:
    bob = Client(s3, BOB)
    assert bob.put("/his").status == 200
    headers = {"x-s3kit-explain": "true", "x-amz-copy-source": "/photos/key"}
    signed = bob.signed_headers("PUT", "/his/copy", headers, b"")
    found = decisions(s3, make_environ("PUT", "/his/copy", signed, b""))
    assert len(found) == 1
    assert 'resource="his/copy"' in found[0]


def test_without_a_bucket_the_caller_is_told_about_itself(s3: S3App) -> None:
    for signer in (ALICE, BOB):
        answer = ask(Client(s3, signer), "GET", "/")
        assert answer.headers[HEADER] == (
            'allow; action=s3:ListAllMyBuckets; reason="any account may do this"'
        )
    for other in (CAMERA, None):
        assert HEADER not in ask(Client(s3, other), "GET", "/").headers


def narrowed_signers(app: S3App) -> dict[str, Signer]:
    """Everybody that acts for alice and is not alice, by what narrows them."""
    opened = Client(app, ALICE)
    made = {"a narrow key": Signer("AKNARROW", "narrow-secret"), "a user": CAMERA}
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::alice:root"},
            "Action": "sts:AssumeRole",
        },
    }
    all_of_it = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    everything = json.dumps({"Version": "2012-10-17", "Statement": all_of_it})
    app.store.roles.create("alice", "reader", trust=json.dumps(trust), policies={"all": everything})
    asked = {
        "a session": "Action=GetSessionToken",
        "a role": "Action=AssumeRole&RoleSessionName=me&RoleArn=arn:aws:iam::alice:role/reader",
    }
    for name, text in asked.items():
        answer = sts(opened, f"{text}&Version=2011-06-15")
        assert answer.status == 200, answer.body
        found = {each.tag: each.text or "" for each in answer.xml.iter()}
        made[name] = Signer(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    return made


def sts(client: Client, body: str) -> Answer:
    """A signed request for STS."""
    request = AWSRequest(
        method="POST",
        url="http://s3.test/",
        data=body,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert client.signer is not None
    credentials = Credentials(client.signer.access_key, client.signer.secret_key)
    SigV4Auth(credentials, "sts", "us-east-1").add_auth(request)
    sent = {**dict(request.headers.items()), "Host": "s3.test"}
    return client.send("POST", "/", sent, body.encode())


def test_nobody_narrowed_is_told_of_its_account_s_rules(s3: S3App) -> None:
    """Whoever acts for the owner's account with less than all of it, in and outside a bucket."""
    deny(Client(s3, ALICE), "s3:PutObject", "suspects")
    assert "suspects" in ask(Client(s3, ALICE), "PUT", "/photos/key").headers[HEADER]
    for name, signer in narrowed_signers(s3).items():
        client = Client(s3, signer)
        for method, path in (("GET", "/"), ("PUT", "/photos/key"), ("GET", "/photos/key")):
            answer = ask(client, method, path)
            assert answer.status in (200, 403), (name, answer.body)
            assert HEADER not in answer.headers, (name, method, path)


def test_what_the_host_s_function_says_is_not_told() -> None:
    """Its reason is for the host's logs; that it was the function is all that an owner learns."""

    def authorize(request: AuthorizationRequest) -> str | Decision | None:
        if request.action == "s3:GetObject":
            return "suspected of fraud: ticket 77"
        if request.action == "s3:ListBucket":
            return Decision(True, "a friend of the house: see 78")
        return None

    app = S3App(Config(accounts=ACCOUNTS, explain=True), authorize=authorize)
    alice = Client(app, ALICE)
    assert alice.put("/photos").status == 200
    assert alice.put("/photos/key", b"x").status == 200
    for path, says in (("/photos/key", "refuses"), ("/photos", "allows")):
        answer = ask(alice, "GET", path)
        assert f'reason="the authorize hook {says} it"' in answer.headers[HEADER]
        assert "fraud" not in str(answer)
        assert "friend" not in str(answer)
    app.close()


@pytest.mark.parametrize("place", ["header", "query"])
def test_a_wrong_signature_s_answer_shows_what_was_compared_but_no_secret(
    s3: S3App, place: str
) -> None:
    """All of the answer, as it is sent: the canonical request, in letters and in bytes."""
    token, customer = "T0KEN/+aaaa", "c3VzdG9tZXIta2V5LTEyMzQ1Njc4OTAxMjM0NTY3ODk="
    client = Client(s3, Signer("AKALICE", "wrong", token))
    headers = {
        "x-amz-server-side-encryption-customer-key": customer,
        "x-amz-copy-source-server-side-encryption-customer-key": customer,
        "x-amz-s3session-token": token,
        "cookie": f"a={token}",
    }
    if place == "header":
        answer = client.request("GET", "/photos/key", headers=headers)
    else:
        del headers["cookie"]
        query = "&".join(f"{name}={quote(value, '')}" for name, value in headers.items())
        request = AWSRequest("GET", f"http://s3.test/photos/key?{query}")
        credentials = Credentials("AKALICE", "wrong", token)
        S3SigV4QueryAuth(credentials, "s3", "us-east-1").add_auth(request)
        target = request.url.removeprefix("http://s3.test")
        answer = client.send("GET", target, {"Host": "s3.test"})
    assert answer.code == "SignatureDoesNotMatch"
    assert answer.text("AWSAccessKeyId") == "AKALICE"
    canonical = answer.text("CanonicalRequest") or ""
    assert canonical.startswith("GET\n/photos/key\n")
    assert (answer.text("StringToSign") or "").startswith("AWS4-HMAC-SHA256\n")
    assert bytes.fromhex(answer.text("CanonicalRequestBytes") or "").decode() == canonical
    assert canonical.count("***") == (5 if place == "header" else 4)
    text = answer.body.decode()
    for secret in (token, quote(token, ""), customer, quote(customer, "")):
        assert secret not in text
        assert secret.encode().hex(" ") not in text


def test_the_headers_are_few_short_and_plain(s3: S3App) -> None:
    alice = Client(s3, ALICE)
    deny(alice, "s3:DeleteObject", "long" * 100)
    keys = [f"{number}ü&#13;&#10;{'k' * 500}" for number in range(100)]
    items = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    body = f"<Delete>{items}</Delete>".encode()
    headers = {
        "x-s3kit-explain": "true",
        "content-md5": b64encode(md5(body).digest()).decode(),
    }
    signed = alice.signed_headers("POST", "/photos?delete", headers, body)
    found = decisions(s3, make_environ("POST", "/photos?delete", signed, body))
    assert len(found) == 8
    for each in found:
        assert re.fullmatch(
            r"deny; action=s3:DeleteObject; resource=\"[!-~]+\"; reason=\"[ -~]+\"", each
        )
    assert sum(map(len, found)) < 4096


def test_it_is_off_unless_it_was_switched_on() -> None:
    app = made(explain=False)
    alice = Client(app, ALICE)
    assert HEADER not in ask(alice, "PUT", "/photos").headers
    assert HEADER not in ask(alice, "GET", "/photos").headers
    app.close()
