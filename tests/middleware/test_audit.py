"""An audit record of every request: what it says, who hears it, what is never in it."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from dataclasses import fields
from hashlib import md5
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3kit import presign
from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import AccessDenied
from s3kit.errors import NoSuchKey
from s3kit.middleware.access_log import access_log
from s3kit.middleware.audit import AuditLine
from s3kit.middleware.audit import audit
from s3kit.signals import AuditRecord
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import durable
from s3kit.signals import request_audited
from tests.client import Client
from tests.client import Signer

ALICE = Signer("AKALICE", "alice-secret-0123456789")
BOB = Signer("AKBOB", "bob-secret-0123456789")
CAMERA = Signer("AKCAMERA", "camera-secret-0123456789")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Heard:
    """What receivers of the signal were told, and the lines of both logs as texts."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.lines: list[str] = []
        self.access: list[str] = []

    def receive(self, bucket: str, *, record: AuditRecord) -> None:
        assert bucket == (record.bucket or "")
        self.records.append(record)

    @property
    def last(self) -> AuditRecord:
        return self.records[-1]

    @property
    def all_text(self) -> str:
        return "\n".join([*map(repr, self.records), *self.lines, *self.access])


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert "\n" not in text
        json.loads(text)
        self.lines.append(text)


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The signal and both logs, listened to."""
    found = Heard()
    request_audited.connect(found.receive)
    attached = []
    for name, lines in (("s3kit.audit", found.lines), ("s3kit.access", found.access)):
        log, handler = logging.getLogger(name), _Lines(lines)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        attached.append((log, handler))
    yield found
    request_audited.disconnect(found.receive)
    for log, handler in attached:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    assert not request_audited.receivers


@pytest.fixture
def s3() -> Iterator[S3App]:
    app = S3App(
        Config(
            accounts=[
                {
                    "id": "alice",
                    "keys": [{"access_key": "AKALICE", "secret_key": ALICE.secret_key}],
                },
                {
                    "id": "bob",
                    "keys": [
                        {"access_key": "AKBOB", "secret_key": BOB.secret_key},
                        {
                            "access_key": "AKCAMERA",
                            "secret_key": CAMERA.secret_key,
                            "user": "camera",
                        },
                    ],
                },
            ],
            trusted_proxies=("127.0.0.1",),
            customer_keys="any",
        )
    )
    yield app
    app.close()


@pytest.fixture
def alice(s3: S3App) -> Client:
    client = Client(s3, ALICE)
    assert client.put("/photos").status == 200
    return client


def test_a_record_tells_who_did_what_and_by_which_rule(alice: Client, heard: Heard) -> None:
    answer = alice.put(
        "/photos/a/%C3%BC%20b",
        b"hello",
        user_agent="me/1",
        x_forwarded_for="203.0.113.7",
        x_forwarded_proto="https",
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
    )
    record = heard.last
    assert record.time > 1_700_000_000_000
    assert 0 < record.milliseconds < 60_000
    assert record == AuditRecord(
        time=record.time,
        milliseconds=record.milliseconds,
        request_id=answer.headers["x-amz-request-id"],
        account="alice",
        access_key="AKALICE",
        signed="header",
        source_ip="203.0.113.7",
        user_agent="me/1",
        tls=True,
        method="PUT",
        operation="PutObject",
        actions=("s3:PutObject",),
        bucket="photos",
        key="a/ü b",
        decision="allow",
        decided_by="owner",
        reason="the caller's account owns the bucket",
        status=200,
        received=5,
        trace_id=TRACE,
    )
    with pytest.raises(FrozenInstanceError):
        record.account = "bob"  # type: ignore[misc]
    line = json.loads(heard.lines[-1])
    assert line.pop("time").endswith("Z")
    shown = {each.name: getattr(record, each.name) for each in fields(record) if each.name in line}
    shown["actions"] = ["s3:PutObject"]
    assert line == shown
    alice.get("/photos/a/%C3%BC%20b", "versionId=null")
    assert (heard.last.sent, heard.last.version_id) == (5, "null")
    assert heard.last.actions == ("s3:GetObjectVersion",)
    assert heard.last.tls is False
    assert len(heard.records) == len(heard.lines) == 2


def test_a_refusal_names_the_rule_and_the_answer_does_not(
    s3: S3App, alice: Client, heard: Heard
) -> None:
    alice.put("/photos/key", b"x")
    statement = {
        "Sid": "not the camera",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::photos/*",
    }
    bob = Client(access_log(s3), BOB)
    answer = bob.get("/photos/key")
    record = heard.last
    assert (record.account, record.status, record.error) == ("bob", 403, "AccessDenied")
    assert (record.decision, record.decided_by) == ("deny", "ownership")
    assert record.reason == "the bucket belongs to another account, which has switched ACLs off"
    assert answer.text("Message") == "Access Denied"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
    assert alice.put("/photos", policy, "policy").status == 204
    answer = Client(access_log(s3), CAMERA).get("/photos/key")
    record = heard.last
    assert (record.account, record.principal) == ("bob", "user/camera")
    assert record.decided_by == "bucket policy"
    assert record.reason == 'the bucket\'s policy, statement 1 ("not the camera")'
    # The operator's access log has it too; the client does not (item 8 is for the owner).
    entry = json.loads(heard.access[-1])
    assert entry["reason"] == f"s3:GetObject: {record.reason}"
    assert b"camera" not in answer.body
    assert not any("camera" in value for value in answer.headers.values())


def test_of_many_keys_some_may_be_refused(alice: Client, heard: Heard) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::photos/kept/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement}).encode()
    assert alice.put("/photos", policy, "policy").status == 204

    def delete(*keys: str) -> AuditRecord:
        items = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete>{items}</Delete>".encode()
        digest = b64encode(md5(body).digest()).decode()
        assert alice.post("/photos", body, "delete", content_md5=digest).status == 200
        return heard.last

    assert delete("a", "b").decision == "allow"
    assert delete("kept/a", "kept/b").decision == "deny"
    many = [f"{number}" for number in range(200)]
    for keys in (["kept/1", *many], [*many, "kept/1"], [*many[:100], "kept/1", *many[100:]]):
        record = delete(*keys)
        assert (record.decision, record.decided_by) == ("partial", "bucket policy")
        assert record.reason == "the bucket's policy, statement 1"
        assert record.actions == ("s3:DeleteObject",)


def test_who_could_not_say_who_he_is_is_in_it_too(s3: S3App, alice: Client, heard: Heard) -> None:
    Client(s3, Signer("AKALICE", "wrong")).get("/photos/key")
    record = heard.last
    assert (record.account, record.access_key) == (None, "AKALICE")
    assert (record.decision, record.decided_by) == ("deny", "signature")
    assert (record.error, record.status) == ("SignatureDoesNotMatch", 403)
    assert (record.operation, record.bucket, record.key) == ("GetObject", "photos", "key")
    assert '"account":null' in heard.lines[-1]
    Client(s3, Signer("AKNOBODY", "x")).get("/photos/key")
    # It may be a secret in the wrong place.
    assert (heard.last.error, heard.last.access_key) == ("InvalidAccessKeyId", None)
    Client(s3, None).get("/photos/key", authorization="AWS4-HMAC-SHA256 nonsense")
    assert heard.last.error == "AuthorizationHeaderMalformed"
    assert heard.last.decided_by == "signature"
    Client(s3, None).get("/photos/key")
    assert (heard.last.signed, heard.last.account) == ("anonymous", None)
    assert (heard.last.decision, heard.last.decided_by) == ("deny", "absence")
    Client(s3, None).request("BREW", "/photos/key")
    assert (heard.last.error, heard.last.decision) == ("MethodNotAllowed", "")
    Client(s3, None).get("/photos/%FF%ZZ", "x=%")
    assert heard.last.status == 400 or heard.last.error
    for secret, error in (("wrong", "SignatureDoesNotMatch"), (None, "MissingAuthenticationToken")):
        sts(s3, None if secret is None else Signer("AKALICE", secret))
        assert (heard.last.error, heard.last.decision) == (error, "deny")
        assert (heard.last.decided_by, heard.last.operation) == (
            "signature",
            "" if secret else "GetCallerIdentity",
        )
    sts(s3, Signer("AKNOBODY", "x"))
    assert (heard.last.error, heard.last.decided_by) == ("InvalidClientTokenId", "signature")
    assert all(record.account is None for record in heard.records)
    assert len(heard.records) == len(heard.lines) == 9


def sts(s3: S3App, signer: Signer | None) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"Host": "s3.test", "Content-Type": "application/x-www-form-urlencoded"}
    if signer is not None:
        request = AWSRequest("POST", "http://s3.test/", headers, body)
        credentials = Credentials(signer.access_key, signer.secret_key)
        SigV4Auth(credentials, "sts", "us-east-1").add_auth(request)
        headers = dict(request.headers.items())
    assert Client(s3, None).send("POST", "/", headers, body).status == 403


def test_whoever_came_without_tls_is_refused_by_https(heard: Heard) -> None:
    for how, status, decision in (("reject", 403, "deny"), ("redirect", 301, "")):
        app = S3App(Config(https=how))  # type: ignore[arg-type]
        Client(app, ALICE).get("/photos/key", "X-Amz-Signature=0123456789")
        app.close()
        record = heard.last
        assert (record.status, record.decision, record.decided_by) == (status, decision, "https")
        assert (record.path, record.account, record.tls) == ("/photos/key", None, False)
    assert "0123456789" not in heard.all_text


def test_a_session_is_told_from_the_key_that_opened_it(s3: S3App, heard: Heard) -> None:
    name = "/fast--zone--x-s3"
    client = Client(s3, ALICE)
    body = (
        b"<CreateBucketConfiguration><Location><Name>zone</Name><Type>AvailabilityZone</Type>"
        b"</Location><Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy>"
        b"<Type>Directory</Type></Bucket></CreateBucketConfiguration>"
    )
    assert client.put(name, body).status == 200
    answer = client.get(name, "session", x_amz_create_session_mode="ReadOnly")
    assert answer.status == 200, answer.body
    access_key, secret, token = (
        answer.text(f"Credentials/{each}")
        for each in ("AccessKeyId", "SecretAccessKey", "SessionToken")
    )
    assert access_key and secret and token
    session = Client(s3, Signer(access_key, secret, token))
    assert session.put(f"{name}/key", b"x").code == "AccessDenied"
    record = heard.last
    assert (record.session, record.access_key, record.account) == ("AKALICE", "AKALICE", "alice")
    assert (record.decided_by, record.reason) == ("session", "the session is read only")
    assert token not in heard.all_text


def test_the_client_in_the_process_is_audited(s3: S3App, alice: Client, heard: Heard) -> None:
    mine = s3.client("alice")
    mine.put("photos", "key", b"hello")
    record = heard.last
    assert (record.signed, record.account, record.request_id) == ("python", "alice", "")
    assert (record.operation, record.received, record.status) == ("PutObject", 5, 200)
    assert (record.source_ip, record.tls, record.decision) == ("", None, "allow")
    assert mine.get("photos", "key") == b"hello"
    assert heard.last.sent == 5
    with pytest.raises(NoSuchKey):
        mine.get("photos", "none")
    assert (heard.last.status, heard.last.error) == (404, "NoSuchKey")
    with pytest.raises(AccessDenied):
        s3.client("bob").get("photos", "key")
    assert (heard.last.decision, heard.last.decided_by) == ("deny", "ownership")

    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError("the tape is torn")

    with pytest.raises(OSError, match="torn"):
        mine.put("photos", "key", Broken())
    assert (heard.last.status, heard.last.error) == (500, "OSError")
    assert len(heard.records) == len(heard.lines) == 5


def test_a_receiver_that_raises_fails_no_request(
    alice: Client, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(bucket: str, *, record: AuditRecord) -> None:
        raise RuntimeError("no space left for audits")

    request_audited.connect(fail)
    try:
        assert alice.put("/photos/key", b"x").status == 200
        assert alice.get("/photos/key").body == b"x"
    finally:
        request_audited.disconnect(fail)
    assert len(heard.records) == 2
    assert caplog.text.count("RuntimeError: no space left for audits") == 2


def test_a_receiver_may_hear_one_bucket_alone(alice: Client) -> None:
    found = Heard()
    request_audited.connect(found.receive, sender="photos")
    try:
        alice.put("/photos/key", b"x")
        alice.get("/")
        alice.put("/other")
    finally:
        request_audited.disconnect(found.receive, sender="photos")
    assert [record.bucket for record in found.records] == ["photos"]
    with pytest.raises(ValueError, match="nothing that is committed"):
        durable(request_audited)


def test_nobody_listens_and_nothing_is_made(
    s3: S3App, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("a record was made that nobody wants")

    monkeypatch.setattr("s3kit.middleware.audit.AuditRecord", never)
    monkeypatch.setattr("s3kit.middleware.audit.RequestRecord", never)
    monkeypatch.setattr("s3kit.middleware.record.RequestRecord", never)
    monkeypatch.setattr(s3, "_audited", never)
    monkeypatch.setattr("s3kit.call.Call._note_asked", never)
    assert alice.put("/photos/key", b"x").status == 200
    assert s3.client("alice").get("photos", "key") == b"x"


def test_a_request_is_audited_once_whoever_wraps_it(s3: S3App, alice: Client, heard: Heard) -> None:
    wrapped = Client(access_log(audit(audit(access_log(s3)))), ALICE)
    wrapped.get("/photos/none")
    assert len(heard.records) == 2
    assert len(heard.access) == 2
    heard.records.clear()
    Client(access_log(audit(s3)), ALICE).get("/photos/none")
    assert len(heard.records) == 1
    own = logging.getLogger("test.audit")
    lines: list[str] = []
    own.addHandler(_Lines(lines))
    own.setLevel(logging.INFO)
    Client(audit(s3, log=own), ALICE).get("/photos/none")
    assert json.loads(lines[0])["error"] == "NoSuchKey"


def test_another_app_is_audited_by_the_wrapper(heard: Heard) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    Client(audit(app), None).get("/somewhere", user_agent="me")
    record = heard.last
    assert (record.path, record.status, record.sent) == ("/somewhere", 200, 5)
    assert (record.bucket, record.operation, record.decision) == (None, "", "")


def test_a_line_is_made_of_a_record_when_it_is_written() -> None:
    line = AuditLine(AuditRecord(time=1_700_000_000_123, request_id="A", tls=False))
    assert json.loads(str(line)) == {
        "time": "2023-11-14T22:13:20.123Z",
        "account": None,
        "request_id": "A",
        "tls": False,
        "received": 0,
        "sent": 0,
    }


# -- what is never in it

TOKEN = "T0KEN-aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
SIGNATURE = "51c0ffee" * 8
CUSTOMER_KEY = b64encode(b"c" * 32).decode()
COOKIE = "c00kie-vvvvvvvvvvvvvvvvvvv"
PASSWORD = b64encode(b"user:passw0rd-uuuuuuu").decode()
SECRETS = {
    "token": TOKEN,
    "signature": SIGNATURE,
    "customer key": CUSTOMER_KEY,
    "cookie": COOKIE,
    "password": PASSWORD,
    "secret key": ALICE.secret_key,
}


def silent(heard: Heard, *more: str) -> None:
    """Nothing that was heard or logged holds a secret."""
    text = heard.all_text
    assert heard.records
    for name, secret in SECRETS.items():
        assert secret not in text, name
        assert secret.rstrip("=") not in text, name
    for secret in more:
        assert secret not in text


def quoting(text: str, error: type[Exception]) -> Any:
    """A receiver that quotes in its exception what it was given."""

    def receive(bucket: str, *, event: Any) -> None:
        raise error(f"cannot store with {text}")

    return receive


@pytest.mark.parametrize("error", [RuntimeError, Veto])
def test_no_header_s_secret_is_in_any_record(
    s3: S3App, alice: Client, heard: Heard, error: type[Exception]
) -> None:
    client = Client(access_log(s3), ALICE)
    headers = {
        "cookie": f"theme=dark; sessionid={COOKIE}",
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": CUSTOMER_KEY,
        "x-amz-server-side-encryption-customer-key-md5": b64encode(
            md5(b"c" * 32).digest()
        ).decode(),
        "proxy-authorization": f"Basic {PASSWORD}",
        "user-agent": f"me/1 (cookie {COOKIE}; Basic {PASSWORD}; {CUSTOMER_KEY})",
        "x-request-id": TOKEN,
        "referer": f"https://x/?X-Amz-Signature={SIGNATURE}&X-Amz-Security-Token={TOKEN}",
    }
    receiver = quoting(f"{COOKIE} {PASSWORD} {CUSTOMER_KEY} X-Amz-Signature={SIGNATURE}", error)
    before_object_created.connect(receiver)
    try:
        answer = client.request("PUT", "/photos/key", headers=headers, body=b"x")
    finally:
        before_object_created.disconnect(receiver)
    assert answer.status == (500 if error is RuntimeError else 403)
    assert heard.last.status == answer.status
    silent(heard)
    signed = client.signed_headers("GET", "/photos/none", {}, b"")
    authorization = signed["Authorization"]
    signature = authorization.rpartition("=")[2]
    client.send("GET", "/photos/none", {**signed, "User-Agent": f"{authorization} {signature}"})
    client.send("GET", "/photos/" + signature, signed)
    silent(heard, signature)
    for wrong in (
        f"Bearer {TOKEN}",
        f"AWS AKALICE:{SIGNATURE}",
        f"Basic {PASSWORD}",
        f"AWS4-HMAC-SHA256 Credential={TOKEN}, SignedHeaders=host, Signature={SIGNATURE}",
    ):
        Client(access_log(s3), None).get("/photos/key", authorization=wrong, user_agent=wrong)
        assert heard.last.status in (400, 403)
    silent(heard)


def test_no_query_s_secret_is_in_any_record(s3: S3App, alice: Client, heard: Heard) -> None:
    client = Client(access_log(s3), None)
    url = presign(s3, "GET", "photos", "key", account="alice", endpoint="http://s3.test")
    target = url.removeprefix("http://s3.test")
    signature = target.rpartition("X-Amz-Signature=")[2]
    assert len(signature) == 64
    client.send("GET", target, {"Host": "s3.test"})
    assert (heard.last.signed, heard.last.error) == ("query", "NoSuchKey")
    path, _, query = target.partition("?")
    # A question mark that was sent as %3F makes a key of the whole URL.
    for wrong in (
        f"{path}%3F{query}",
        f"{path}%3F{query.replace('=', '%3D').replace('&', '%26')}",
        f"{path}?{query}&X-Amz-Security-Token={TOKEN}",
        f"{path}?{query}&x-amz-server-side-encryption-customer-key={CUSTOMER_KEY}",
        f"{path}?{query}0",
        f"/?{query}",
        f"/{TOKEN}?X-Amz-Security-Token={TOKEN}",
        f"/photos/key?versionId=x%26X-Amz-Signature={SIGNATURE}",
        f"/photos/x-amz-server-side-encryption-customer-key={CUSTOMER_KEY}",
    ):
        client.send("GET", wrong, {"Host": "s3.test", "User-Agent": f"me {wrong}"})
        client.send("PUT", wrong, {"Host": "s3.test", "Referer": wrong}, b"x")
    silent(heard, signature)


def test_no_form_s_secret_is_in_any_record(s3: S3App, alice: Client, heard: Heard) -> None:
    made = s3.client("alice").presign_post("photos", "key", endpoint="http://s3.test")
    signature = made.fields["x-amz-signature"]

    def post(**more: str) -> int:
        boundary = "b0undary"
        sent = {**made.fields, **{name.replace("_", "-"): text for name, text in more.items()}}
        pieces = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in sent.items()
        ]
        pieces.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
            f"x\r\n--{boundary}--\r\n"
        )
        body = "".join(pieces).encode()
        kind = f"multipart/form-data; boundary={boundary}"
        client = Client(access_log(s3), None)
        return client.request("POST", "/photos", headers={"content-type": kind}, body=body).status

    assert post() == 204
    assert (heard.last.signed, heard.last.account) == ("form", "alice")
    receiver = quoting(f"what was signed by {signature}", RuntimeError)
    before_object_created.connect(receiver)
    try:
        assert post() == 500
    finally:
        before_object_created.disconnect(receiver)
    assert post(x_amz_security_token=TOKEN) in (400, 403)
    assert post(x_amz_signature=SIGNATURE) == 403
    assert (heard.last.decided_by, heard.last.error) == ("signature", "SignatureDoesNotMatch")
    # Claimed, and not proved.
    assert (heard.last.signed, heard.last.account) == ("", None)
    assert (heard.last.access_key, heard.last.key) == ("AKALICE", "key")
    assert post(key=f"a?X-Amz-Signature={SIGNATURE}") == 403
    # Proved, and not covered by the policy.
    assert (heard.last.signed, heard.last.account) == ("form", "alice")
    assert (heard.last.decision, heard.last.key) == ("deny", "a?X-Amz-Signature=***")
    assert "cannot store with what was signed by ***" in heard.access[1]
    silent(heard, signature)
