"""STS on S3's endpoint: real boto3 clients ask for temporary keys and use them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from joserfc import jwt
from joserfc.jwk import RSAKey

from s3kit import Config
from s3kit import S3App
from s3kit import mount
from s3kit.auth import identity_provider
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.policy import parse_policy
from s3kit.config import ConfigError
from s3kit.model import Account
from s3kit.model import Key
from s3kit.model import Scope
from s3kit.model import Session
from s3kit.signals import request_audited
from s3kit.testing import boto3_client
from s3kit.wire.sts import MOST_BYTES
from tests.client import Answer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import MASTER_KEY
from tests.endpoint import fresh_name

ACME = Account("acme", "Acme", number="111122223333")
OTHER = Account("other", "Other", number="444455556666")
READER = "arn:aws:iam::111122223333:role/reader"


def allow(actions: Any, resources: Any = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: Any, *actions: str, **more: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": list(actions) or ["sts:AssumeRole", "sts:TagSession"],
        **more,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def given_policies(*texts: str) -> Any:
    return tuple(parse_policy(text.encode(), kind="user") for text in texts)


KEYS = {
    key.access_key: key
    for key in (
        Key("AKROOT", "root-secret", ACME),
        Key(
            "AKALICE",
            "alice-secret",
            ACME,
            user="alice",
            policies=given_policies(allow("sts:AssumeRole", READER), allow("s3:ListAllMyBuckets")),
        ),
        Key("AKBOB", "bob-secret", ACME, user="bob", policies=given_policies(allow("s3:*"))),
        Key("AKOTHER", "other-secret", OTHER),
        Key(
            "AKNARROW",
            "narrow-secret",
            ACME,
            scope=Scope(paths=(("narrow", b"in/"),), networks=("127.0.0.0/8",)),
        ),
        Key("AKOVER", "over-secret", ACME, scope=Scope(expires=1000)),
        Key("AKFAR", "far-secret", ACME, scope=Scope(networks=("192.0.2.0/24",))),
    )
}
MOUNT = "/files/s3"


class Ring(DictKeyRing):
    """Keys that can be taken away."""

    def __init__(self) -> None:
        super().__init__(KEYS.values())
        self.changed: dict[str, Key | None] = {}

    def lookup(self, access_key: str) -> Key | None:
        if access_key in self.changed:
            return self.changed[access_key]
        return super().lookup(access_key)


@pytest.fixture(scope="module")
def ring() -> Ring:
    return Ring()


PROVIDER_KEY = RSAKey.generate_key(2048, {"kid": "one"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """An OpenID Connect provider at a socket of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here = f"http://127.0.0.1:{self.server.server_address[1]}"
            pages: dict[str, Any] = {
                "/.well-known/openid-configuration": {"issuer": here, "jwks_uri": here + "/jwks"},
                "/jwks": {"keys": [PROVIDER_KEY.as_dict(private=False)]},
            }
            body = json.dumps(pages[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity_provider, "SECONDS", 60.0)
        yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def app(ring: Ring, issuer: str) -> Iterator[S3App]:
    config = Config(
        accounts=({"id": ACME.id, "number": ACME.number},),
        master_keys=(MASTER_KEY,),
        identity_providers={issuer: {"audiences": ["s3"]}},
    )
    made = S3App(config, key_ring=ring)
    roles = made.store.roles
    roles.create(
        ACME.id,
        "reader",
        trust=trust({"AWS": [ACME.number, OTHER.number]}),
        policies={"reads": allow(["s3:GetObject", "s3:ListBucket", "s3express:CreateSession"])},
        most_seconds=7200,
    )
    roles.create(
        ACME.id, "writer", trust=trust({"AWS": ACME.number}), policies={"all": allow("s3:*")}
    )
    yield made
    made.close()


_clients: dict[tuple[int, str, str], Any] = {}


def client(app: Any, key: Any, service: str = "s3", **options: Any) -> Any:
    """A boto3 client of a Key, an access key of KEYS, STS's Credentials, or None."""
    if isinstance(key, str) and not options:
        # To make one takes as long as ten requests.
        kept = _clients.get((id(app), key, service))
        if kept is None:
            kept = _clients[id(app), key, service] = client(app, KEYS[key], service)
        return kept
    if isinstance(key, str):
        key = KEYS[key]
    signature: Any = "s3v4" if service == "s3" else "v4"
    if isinstance(key, Key):
        names = (key.access_key, key.secret_key, key.session_token)
    elif key is None:
        names = (None, None, None)
        signature = UNSIGNED
    else:
        names = (key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
    config = BotoConfig(
        signature_version=signature,
        # Refused here it would never be asked.
        parameter_validation=False,
        s3={"addressing_style": "path", "disable_s3_express_session_auth": True},
    )
    return boto3_client(
        app,
        names[0],
        names[1],
        aws_session_token=names[2],
        service=service,
        config=config,
        **options,
    )


def sts(app: Any, key: Any = "AKROOT", **options: Any) -> Any:
    return client(app, key, "sts", **options)


def code(function: Any, *args: Any, **more: Any) -> str:
    """The code of the error that a client gets, "" for none."""
    try:
        function(*args, **more)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def assume(app: Any, key: Any = "AKROOT", arn: str = READER, **more: Any) -> Any:
    more.setdefault("RoleSessionName", "me")
    return sts(app, key).assume_role(RoleArn=arn, **more)["Credentials"]


@pytest.fixture
def bucket(app: S3App) -> str:
    """A bucket of ACME's with the object ``in/a``."""
    name = fresh_name("sts")
    owner = client(app, "AKROOT")
    owner.create_bucket(Bucket=name)
    owner.put_object(Bucket=name, Key="in/a", Body=b"one")
    return name


# -- who


def test_everybody_can_ask_who_he_is(app: S3App) -> None:
    def who(key: Any) -> tuple[str, str, str]:
        answer = sts(app, key).get_caller_identity()
        return answer["Arn"], answer["UserId"], answer["Account"]

    number = ACME.number
    assert who("AKROOT") == (f"arn:aws:iam::{number}:root", number, number)
    assert who("AKALICE") == (f"arn:aws:iam::{number}:user/alice", f"{number}:alice", number)
    session = sts(app, "AKALICE").get_session_token()["Credentials"]
    assert who(session) == who("AKALICE")
    answer = sts(app, "AKALICE").assume_role(RoleArn=READER, RoleSessionName="me@here")
    user = answer["AssumedRoleUser"]
    assert user["Arn"] == f"arn:aws:sts::{number}:assumed-role/reader/me@here"
    assert user["AssumedRoleId"].startswith("AROA")
    assert user["AssumedRoleId"].endswith(":me@here")
    assert who(answer["Credentials"]) == (user["Arn"], user["AssumedRoleId"], number)
    assert "PackedPolicySize" not in answer


def test_it_works_below_a_mount_and_by_a_presigned_url(app: S3App) -> None:
    def nobody(environ: Any, start_response: Any) -> Any:
        raise AssertionError

    mounted = mount(nobody, app, at=MOUNT)
    asked = sts(mounted, endpoint_url=f"http://testserver{MOUNT}")
    assert asked.get_caller_identity()["Account"] == ACME.number
    url = asked.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    target = url.removeprefix("http://testserver")
    answer = call(mounted, make_environ("GET", target, {"Host": "testserver"}, b""))
    assert (answer.status, b":root</Arn>" in answer.body) == (200, True)
    # Kubernetes' way: a header of its own is signed too, and has to be there.
    changed = target.replace("GetCallerIdentity", "GetSessionToken")
    answer = call(mounted, make_environ("GET", changed, {"Host": "testserver"}, b""))
    assert sts_code(answer) == (403, "SignatureDoesNotMatch")


# -- the form of requests


def sign(
    key: Key, body: bytes, service: str = "sts", headers: dict[str, str] | None = None
) -> dict[str, str]:
    sent = {
        "Host": "s3.test",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        **(headers or {}),
    }
    request = AWSRequest("POST", "http://s3.test/", headers=sent, data=body)
    credentials = Credentials(key.access_key, key.secret_key, key.session_token)
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def post(app: S3App, headers: dict[str, str], body: bytes, target: str = "/") -> Answer:
    return call(app, make_environ("POST", target, headers, body))


def sts_code(answer: Answer) -> tuple[int, str]:
    """Status and code; the whole answer must be an error document of STS."""
    root = answer.xml
    assert root.tag == "ErrorResponse", answer.body
    assert answer.headers["content-type"] == "text/xml"
    assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
    assert root.findtext("Error/Type") == ("Sender" if answer.status < 500 else "Receiver")
    assert root.findtext("Error/Message")
    return answer.status, root.findtext("Error/Code") or ""


ASK = b"Action=GetCallerIdentity&Version=2011-06-15"


def test_what_was_signed_is_what_counts(app: S3App) -> None:
    root = KEYS["AKROOT"]
    good = sign(root, ASK)
    assert "X-Amz-Content-SHA256" not in good
    assert post(app, good, ASK).status == 200
    other = ASK.replace(b"CallerIdentity", b"SessionToken")
    assert sts_code(post(app, good, other)) == (403, "SignatureDoesNotMatch")
    assert sts_code(post(app, good, ASK + b"&x=1")) == (403, "SignatureDoesNotMatch")
    # What x-amz-content-sha256 says decides nothing: the body does.
    for word, status in (("UNSIGNED-PAYLOAD", 403), (hashlib.sha256(ASK).hexdigest(), 200)):
        said = sign(root, ASK, headers={"X-Amz-Content-SHA256": word})
        assert post(app, said, ASK).status == status
        assert sts_code(post(app, said, other)) == (403, "SignatureDoesNotMatch")
    late = {**good, "X-Amz-Date": "20200101T000000Z"}
    assert sts_code(post(app, late, ASK)) == (400, "IncompleteSignature")
    assert sts_code(post(app, {**good, "Authorization": "AWS4-HMAC-SHA256 x"}, ASK)) == (
        400,
        "IncompleteSignature",
    )


def test_neither_service_takes_the_others_signatures(app: S3App) -> None:
    root = KEYS["AKROOT"]
    for service in ("s3", "s3express", "iam", ""):
        answer = post(app, sign(root, ASK, service), ASK)
        assert sts_code(answer) == (403, "SignatureDoesNotMatch")
        assert "correct service: 'sts'" in (answer.text("Error/Message") or "")
    headers = sign(root, b"", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    answer = call(app, make_environ("GET", "/", headers, b""))
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert 'incorrect service "sts"' in (answer.text("Message") or "")


def test_what_is_no_form_stays_s3s(app: S3App, bucket: str) -> None:
    for headers, target in (
        ({"Content-Type": "application/xml"}, "/"),
        ({}, "/"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, f"/{bucket}"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "/"),
    ):
        answer = post(app, {"Host": "s3.test", **headers}, ASK, target)
        assert (answer.status, answer.code) == (405, "MethodNotAllowed"), target


def test_requests_that_ask_for_nothing_are_told_so(app: S3App) -> None:
    root = KEYS["AKROOT"]
    for body, expected in (
        (b"", (400, "MissingAction")),
        (b"Version=2011-06-15", (400, "MissingAction")),
        (b"Action=GetCallerIdentity", (400, "InvalidAction")),
        (b"Action=GetCallerIdentity&Version=2010-01-01", (400, "InvalidAction")),
        (b"Action=AssumeRoleWithSAML&Version=2011-06-15", (400, "InvalidAction")),
        (b"Action=getcalleridentity&Version=2011-06-15", (400, "InvalidAction")),
        (b"Action=\xff%00%ff<x>&Version=2011-06-15", (400, "InvalidAction")),
        (ASK + b"&a=" + b"x" * MOST_BYTES, (413, "RequestEntityTooLarge")),
    ):
        assert sts_code(post(app, sign(root, body), body)) == expected, body[:60]
    form = {"Host": "s3.test", "Content-Type": "application/x-www-form-urlencoded"}
    assert sts_code(post(app, form, ASK)) == (403, "MissingAuthenticationToken")
    chunked = {**form, "Transfer-Encoding": "chunked"}
    assert sts_code(post(app, chunked, b"x" * (MOST_BYTES + 1)))[1] == "RequestEntityTooLarge"


@settings(max_examples=60, deadline=None)
@given(
    fields=strategies.dictionaries(
        strategies.sampled_from(
            [
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
                "Policy",
                "WebIdentityToken",
                "Tags.member.1.Key",
                "Tags.member.x.Key",
                "ExternalId",
                "TokenCode",
            ]
        ),
        strategies.text(max_size=40)
        | strategies.sampled_from([READER, "me", "900", "{}", "e30.e30.x", "9" * 5000]),
    ),
    name=strategies.sampled_from(["AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken"]),
)
def test_no_parameters_break_it(app: S3App, fields: dict[str, str], name: str) -> None:
    said = {"Action": name, "Version": "2011-06-15", **fields}
    body = urlencode(said, errors="surrogatepass").encode()
    assert post(app, sign(KEYS["AKROOT"], body), body).status < 500


# -- GetSessionToken


def test_a_session_may_what_its_opener_may_and_ends_with_him(
    app: S3App, ring: Ring, bucket: str
) -> None:
    before = time.time()
    root = sts(app).get_session_token()["Credentials"]
    assert before + 43_199 <= root["Expiration"].timestamp() <= time.time() + 43_200
    assert root["AccessKeyId"].startswith("ASIA")
    mine = client(app, root)
    assert mine.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    mine.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": []})
    alice = client(app, sts(app, "AKALICE").get_session_token()["Credentials"])
    assert code(alice.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    assert "Buckets" in alice.list_buckets()
    for gone in (None, replace(KEYS["AKROOT"], secret_key="rotated")):
        ring.changed["AKROOT"] = gone
        try:
            assert code(mine.head_bucket, Bucket=bucket) == "400"
            assert code(mine.list_buckets) == "InvalidToken"
            assert code(sts(app, root).get_caller_identity) == "InvalidClientTokenId"
        finally:
            ring.changed.clear()
    assert code(mine.list_buckets) == ""


def test_how_long_it_lives_is_bounded(app: S3App) -> None:
    asked = sts(app)
    for seconds, expected in (
        (899, "ValidationError"), (900, ""), (129_600, ""), (129_601, "ValidationError"),
    ):  # fmt: skip
        assert code(asked.get_session_token, DurationSeconds=seconds) == expected
    before = time.time()
    answer = asked.get_session_token(DurationSeconds=900)["Credentials"]
    assert before + 899 <= answer["Expiration"].timestamp() <= time.time() + 900
    body = b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds="
    for text in (b"x", b"-900", b"1e3", b"", b"9" * 400, "\u0664".encode() * 4):
        answer = post(app, sign(KEYS["AKROOT"], body + text), body + text)
        assert sts_code(answer) == (400, "ValidationError")


def test_a_session_opens_no_other_by_itself(app: S3App) -> None:
    session = sts(app).get_session_token()["Credentials"]
    for key in (session, assume(app)):
        assert code(sts(app, key).get_session_token) == "AccessDenied"
    factor = {"SerialNumber": "GAHT12345678", "TokenCode": "123456"}
    assert code(sts(app).get_session_token, **factor) == "AccessDenied"


def test_one_that_is_over_is_told_so_everywhere(app: S3App, bucket: str) -> None:
    over = app.site.sessions.open(Session("AKROOT", expires=int(time.time()) - 1))
    s3 = client(app, over)
    assert code(s3.list_buckets) == "ExpiredToken"
    assert code(sts(app, over).get_caller_identity) == "ExpiredToken"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "in/a"})
    answer = call(app, make_environ("GET", target_of(url), {"Host": "testserver"}, b""))
    assert (answer.status, answer.code) == (400, "ExpiredToken")
    assert form(app, s3, bucket)[1] == "ExpiredToken"


def target_of(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"


def form(app: S3App, s3: Any, bucket: str, drop: str = "") -> tuple[int, str]:
    """What a browser's form of this client is answered: status and code."""
    made = s3.generate_presigned_post(bucket, "in/form")
    fields = {name: text for name, text in made["fields"].items() if name != drop}
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    ]
    body = "".join(parts) + '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    data = (body + "\r\nfrom a form\r\n--x--\r\n").encode()
    headers = {"Host": "testserver", "Content-Type": "multipart/form-data; boundary=x"}
    answer = post(app, headers, data, f"/{bucket}")
    return answer.status, "" if answer.status < 300 else answer.code


# -- AssumeRole


def test_who_may_assume_a_role(app: S3App) -> None:
    """The trust policy and the caller's own policies must both allow it."""
    for key, expected in (
        ("AKROOT", ""),
        ("AKALICE", ""),
        # His policies speak of S3 alone.
        ("AKBOB", "AccessDenied"),
        ("AKOTHER", ""),
        (None, "MissingAuthenticationToken"),
    ):
        found = code(sts(app, key).assume_role, RoleArn=READER, RoleSessionName="me")
        assert found == expected, key
    writer = READER.replace("reader", "writer")
    for key, arn in (
        ("AKALICE", writer),
        ("AKOTHER", writer),
        ("AKROOT", READER + "x"),
        ("AKROOT", READER.replace(ACME.number, OTHER.number)),
        ("AKROOT", READER.replace(ACME.number, "999999999999")),
    ):
        with pytest.raises(ClientError) as caught:
            assume(app, key, arn)
        error = caught.value.response["Error"]
        # A role that is not there looks as one that is another's.
        assert error["Code"] == "AccessDenied"
        assert (
            f"is not authorized to perform: sts:AssumeRole on resource: {arn}" in (error["Message"])
        )


def test_a_trust_policy_that_names_a_user_is_leave_enough(app: S3App) -> None:
    roles = app.store.roles
    bob = {"AWS": f"arn:aws:iam::{ACME.number}:user/bob"}
    roles.create(ACME.id, "bobs", trust=trust(bob), policies={"p": allow("s3:*")})
    arn = READER.replace("reader", "bobs")
    assert code(sts(app, "AKBOB").assume_role, RoleArn=arn, RoleSessionName="me") == ""
    assert code(sts(app, "AKALICE").assume_role, RoleArn=arn, RoleSessionName="me") == (
        "AccessDenied"
    )
    document = json.loads(trust(bob))
    document["Statement"].append({"Effect": "Deny", "Principal": "*", "Action": "sts:*"})
    roles.set_trust(ACME.id, "bobs", json.dumps(document))
    assert code(sts(app, "AKBOB").assume_role, RoleArn=arn, RoleSessionName="me") == "AccessDenied"


def test_a_role_may_want_to_be_told_a_secret_word(app: S3App) -> None:
    word = {"StringEquals": {"sts:ExternalId": "for-acme"}}
    app.store.roles.create(ACME.id, "asked", trust=trust({"AWS": OTHER.number}, Condition=word))
    arn = READER.replace("reader", "asked")
    asked = sts(app, "AKOTHER").assume_role
    for more, expected in (
        ({}, "AccessDenied"),
        ({"ExternalId": "for-others"}, "AccessDenied"),
        ({"ExternalId": "for-acme"}, ""),
    ):
        assert code(asked, RoleArn=arn, RoleSessionName="me", **more) == expected


def test_a_roles_session_may_what_the_role_may(app: S3App, bucket: str) -> None:
    other = client(app, assume(app, "AKOTHER"))
    assert other.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    assert code(client(app, "AKOTHER").get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    for refused in (
        lambda: other.put_object(Bucket=bucket, Key="in/b", Body=b""),
        lambda: other.delete_object(Bucket=bucket, Key="in/a"),
        lambda: other.put_bucket_acl(Bucket=bucket, ACL="public-read"),
        lambda: other.list_buckets(),
        lambda: other.create_bucket(Bucket=fresh_name()),
        lambda: other.copy_object(Bucket=bucket, Key="in/c", CopySource=f"{bucket}/in/a"),
    ):
        assert code(refused) == "AccessDenied"


def test_a_sessions_policy_narrows_the_role(app: S3App, bucket: str) -> None:
    client(app, "AKROOT").put_object(Bucket=bucket, Key="out/a", Body=b"two")
    narrow = allow("s3:*", f"arn:aws:s3:::{bucket}/in/*")
    answer = sts(app).assume_role(RoleArn=READER, RoleSessionName="me", Policy=narrow)
    assert 0 < answer["PackedPolicySize"] <= 100
    s3 = client(app, answer["Credentials"])
    assert s3.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    # The one does not allow it, the other does not.
    assert code(s3.get_object, Bucket=bucket, Key="out/a") == "AccessDenied"
    assert code(s3.put_object, Bucket=bucket, Key="in/b", Body=b"") == "AccessDenied"


def test_a_narrow_key_opens_nothing_wider(app: S3App) -> None:
    """IU-01: a session is held by the scope of the key that opened it."""
    owner = client(app, "AKROOT")
    owner.create_bucket(Bucket="narrow")
    for key in ("in/a", "out/a"):
        owner.put_object(Bucket="narrow", Key=key, Body=b"one")
    for credentials in (
        sts(app, "AKNARROW").get_session_token()["Credentials"],
        assume(app, "AKNARROW", READER.replace("reader", "writer")),
    ):
        s3 = client(app, credentials)
        assert s3.get_object(Bucket="narrow", Key="in/a")["Body"].read() == b"one"
        assert code(s3.get_object, Bucket="narrow", Key="out/a") == "AccessDenied"
        assert code(s3.list_objects_v2, Bucket="narrow") == "AccessDenied"
        assert code(s3.put_object, Bucket="narrow", Key="out/b", Body=b"") == "AccessDenied"
    for key in ("AKOVER", "AKFAR"):
        for ask in (
            sts(app, key).get_caller_identity,
            sts(app, key).get_session_token,
            lambda key=key: assume(app, key),
        ):
            assert code(ask) == "AccessDenied"


def test_a_roles_session_ends_with_its_role_and_its_key(
    app: S3App, ring: Ring, bucket: str
) -> None:
    roles = app.store.roles
    settings = {"trust": trust({"AWS": ACME.number}), "policies": {"p": allow("s3:Get*")}}
    roles.create(ACME.id, "brief", **settings)  # type: ignore[arg-type]
    s3 = client(app, assume(app, arn=READER.replace("reader", "brief")))
    get = {"Bucket": bucket, "Key": "in/a"}
    assert code(s3.get_object, **get) == ""
    roles.put_policy(ACME.id, "brief", "p", allow("s3:Put*"))
    assert code(s3.get_object, **get) == "AccessDenied"
    roles.put_policy(ACME.id, "brief", "p", allow("s3:Get*"))
    ring.changed["AKROOT"] = None
    try:
        assert code(s3.get_object, **get) == "InvalidToken"
    finally:
        ring.changed.clear()
    assert code(s3.get_object, **get) == ""
    roles.delete(ACME.id, "brief")
    assert code(s3.get_object, **get) == "InvalidToken"
    roles.create(ACME.id, "brief", **settings)  # type: ignore[arg-type]
    assert code(s3.get_object, **get) == "InvalidToken"


def test_its_key_works_in_every_place_of_a_signature(app: S3App, bucket: str) -> None:
    """FB-25: the token by header, by query and in a form; and nowhere without it."""
    credentials = assume(app, arn=READER.replace("reader", "writer"))
    s3 = client(app, credentials)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "in/a"})
    assert "X-Amz-Security-Token=" in url
    ask = {"Host": "testserver"}
    assert call(app, make_environ("GET", target_of(url), ask, b"")).body == b"one"
    name, _, rest = target_of(url).partition("X-Amz-Security-Token=")
    stripped = name + rest.partition("&")[2]
    answer = call(app, make_environ("GET", stripped, ask, b""))
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    assert form(app, s3, bucket) == (204, "")
    assert s3.get_object(Bucket=bucket, Key="in/form")["Body"].read() == b"from a form"
    assert form(app, s3, bucket, drop="x-amz-security-token") == (403, "InvalidAccessKeyId")
    reader = client(app, assume(app))
    assert form(app, reader, bucket) == (403, "AccessDenied")


def test_a_bucket_may_know_a_role_and_one_session_of_it(app: S3App, bucket: str) -> None:
    """A bucket's policy names the role, or one session by its ARN."""
    owner = client(app, "AKROOT")
    other = READER.replace("reader", "writer")
    for principal, me, you, writer in (
        (READER, "", "", "AccessDenied"),
        (f"arn:aws:sts::{ACME.number}:assumed-role/reader/me", "", "AccessDenied", "AccessDenied"),
        (other, "AccessDenied", "AccessDenied", ""),
    ):
        policy = {
            "Statement": [
                {
                    "Effect": "Deny",
                    "NotPrincipal": {"AWS": [principal, f"arn:aws:iam::{ACME.number}:root"]},
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{bucket}/*",
                }
            ]
        }
        owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        for credentials, expected in (
            (assume(app), me),
            (assume(app, RoleSessionName="you"), you),
            (assume(app, arn=other), writer),
        ):
            assert code(client(app, credentials).get_object, Bucket=bucket, Key="in/a") == expected


def test_policies_can_ask_what_a_session_is(app: S3App, bucket: str) -> None:
    number = ACME.number
    role = app.store.roles.get(ACME.id, "reader").id
    owner = client(app, "AKROOT")
    session = client(
        app, assume(app, Tags=[{"Key": "team", "Value": "blue"}, {"Key": "Site", "Value": ""}])
    )
    plain = client(app, sts(app).get_session_token()["Credentials"])

    def refused(s3: Any, operator: str, key: str, value: str) -> bool:
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {operator: {key: value}},
        }
        policy = {"Version": "2012-10-17", "Statement": statement}
        owner.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        return code(s3.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"

    for key, value in (
        # The role's, not the session's.
        ("aws:PrincipalArn", READER),
        ("aws:userid", f"{role}:me"),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:PrincipalAccount", number),
        ("aws:PrincipalTag/team", "blue"),
        ("aws:PrincipalTag/Site", ""),
    ):
        assert refused(session, "StringEquals", key, value), key
        assert not refused(session, "StringEquals", key, value + "x"), key
    assert refused(session, "Bool", "aws:MultiFactorAuthPresent", "false")
    assert refused(plain, "Bool", "aws:MultiFactorAuthPresent", "false")
    assert not refused(owner, "Bool", "aws:MultiFactorAuthPresent", "false")
    assert refused(plain, "DateGreaterThan", "aws:TokenIssueTime", "2020-01-01T00:00:00Z")
    assert not refused(plain, "DateLessThan", "aws:TokenIssueTime", "2020-01-01T00:00:00Z")
    assert refused(owner, "Null", "aws:TokenIssueTime", "true")


def test_tags_need_a_leave_of_their_own(app: S3App) -> None:
    app.store.roles.create(ACME.id, "untagged", trust=trust({"AWS": ACME.number}, "sts:AssumeRole"))
    asked = sts(app).assume_role
    arn = READER.replace("reader", "untagged")
    tags = [{"Key": "team", "Value": "blue"}]
    assert code(asked, RoleArn=arn, RoleSessionName="me") == ""
    assert code(asked, RoleArn=arn, RoleSessionName="me", Tags=tags) == "AccessDenied"
    for bad in (
        [{"Key": "aws:team", "Value": "blue"}],
        [{"Key": "team", "Value": "blue"}, {"Key": "TEAM", "Value": "red"}],
        [{"Key": f"k{number}", "Value": ""} for number in range(51)],
        [{"Key": "k", "Value": "v" * 257}],
    ):
        assert code(asked, RoleArn=READER, RoleSessionName="me", Tags=bad) == "ValidationError"


def test_a_session_of_one_role_may_go_on_to_another(app: S3App, bucket: str) -> None:
    roles = app.store.roles
    first = allow("sts:AssumeRole", f"arn:aws:iam::{ACME.number}:role/second")
    roles.create(ACME.id, "first", trust=trust({"AWS": ACME.number}), policies={"p": first})
    by_first = {"AWS": f"arn:aws:iam::{ACME.number}:role/first"}
    roles.create(
        ACME.id,
        "second",
        trust=trust(by_first),
        policies={"p": allow("s3:GetObject")},
        most_seconds=43_200,
    )
    arn = READER.replace("reader", "second")
    assert code(sts(app).assume_role, RoleArn=arn, RoleSessionName="me") == "AccessDenied"
    through = assume(app, arn=READER.replace("reader", "first"))
    assert code(client(app, through).get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    chained = assume(app, through, arn)
    s3 = client(app, chained)
    assert code(s3.get_object, Bucket=bucket, Key="in/a") == ""
    longer = {"RoleArn": arn, "RoleSessionName": "me", "DurationSeconds": 3601}
    assert code(sts(app, through).assume_role, **longer) == "ValidationError"
    roles.delete(ACME.id, "first")
    assert code(s3.get_object, Bucket=bucket, Key="in/a") == "InvalidToken"


def test_wrong_parameters_of_a_role_are_refused(app: S3App) -> None:
    asked = sts(app).assume_role
    good: dict[str, Any] = {"RoleArn": READER, "RoleSessionName": "me"}
    managed = [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
    for more, expected in (
        ({"DurationSeconds": 7200}, ""),
        ({"DurationSeconds": 7201}, "ValidationError"),
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleSessionName": "\u00e9\u00e9"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::111122223333:user/alice"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::11:role/a/../reader"}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": allow("s3:Nothing")}, "MalformedPolicyDocument"),
        ({"Policy": trust("*")}, "MalformedPolicyDocument"),
        ({"Policy": allow("s3:*") + " " * 2048}, "ValidationError"),
        # Without it the session would be wider than was asked for.
        ({"PolicyArns": managed}, "ValidationError"),
        ({"SourceIdentity": "me"}, "ValidationError"),
        ({"TransitiveTagKeys": ["team"]}, "ValidationError"),
        ({"SerialNumber": "GAHT12345678", "TokenCode": "123456"}, "AccessDenied"),
        (
            {
                "Tags": [
                    {
                        "Key": f"{number:0128}",
                        "Value": base64.b85encode(hashlib.sha512(b"%d" % number).digest()).decode(),
                    }
                    for number in range(50)
                ]
            },
            "PackedPolicyTooLarge",
        ),
    ):
        assert code(asked, **{**good, **more}) == expected, more


def test_a_session_for_one_bucket_comes_of_another_session(app: S3App, bucket: str) -> None:
    s3 = client(app, assume(app))
    made = s3.create_session(Bucket=bucket)["Credentials"]
    one = client(app, made)
    assert one.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    # Neither the bucket's session nor the role's may write.
    assert code(one.put_object, Bucket=bucket, Key="in/b", Body=b"") == "AccessDenied"
    another = fresh_name("sts")
    client(app, "AKROOT").create_bucket(Bucket=another)
    assert code(one.list_objects_v2, Bucket=another) == "AccessDenied"
    assert code(s3.list_objects_v2, Bucket=another) == ""
    assert code(one.create_session, Bucket=bucket) == "AccessDenied"
    assert sts(app, made).get_caller_identity()["Arn"].endswith("assumed-role/reader/me")
    assert code(sts(app, made).assume_role, RoleArn=READER, RoleSessionName="me") == "AccessDenied"


# -- GetFederationToken


def test_a_federated_user_may_what_its_opener_and_the_policy_allow(app: S3App, bucket: str) -> None:
    """A temporary key for a customer, without a role: it never passes its opener or its policy."""
    inside = allow("s3:*", [f"arn:aws:s3:::{bucket}/in/*", f"arn:aws:s3:::{bucket}"])
    answer = sts(app).get_federation_token(Name="carol", Policy=inside, DurationSeconds=900)
    user = answer["FederatedUser"]
    number = ACME.number
    assert user["Arn"] == f"arn:aws:sts::{number}:federated-user/carol"
    assert user["FederatedUserId"] == f"{number}:carol"
    assert 0 < answer["PackedPolicySize"] <= 100
    carol = client(app, answer["Credentials"])
    assert carol.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    carol.put_object(Bucket=bucket, Key="in/b", Body=b"two")
    for refused in (
        lambda: carol.put_object(Bucket=bucket, Key="out", Body=b""),
        lambda: carol.list_buckets(),
        lambda: sts(app, answer["Credentials"]).get_session_token(),
        lambda: sts(app, answer["Credentials"]).get_federation_token(Name="dave"),
        lambda: sts(app, answer["Credentials"]).assume_role(RoleArn=READER, RoleSessionName="me"),
    ):
        assert code(refused) == "AccessDenied"
    who = sts(app, answer["Credentials"]).get_caller_identity()
    assert (who["Arn"], who["UserId"]) == (user["Arn"], user["FederatedUserId"])
    # Without a policy it may do nothing.
    bare = client(app, sts(app).get_federation_token(Name="carol")["Credentials"])
    assert code(bare.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    assert code(bare.list_buckets) == "AccessDenied"
    # A user needs a leave for it, a narrow key stays narrow, a session opens none.
    for key in ("AKALICE", "AKBOB"):
        assert code(sts(app, key).get_federation_token, Name="carol") == "AccessDenied"
    for key in (assume(app), sts(app).get_session_token()["Credentials"]):
        assert code(sts(app, key).get_federation_token, Name="carol") == "AccessDenied"
    thin = sts(app, "AKNARROW").get_federation_token(Name="carol", Policy=allow("s3:*"))
    narrowed = client(app, thin["Credentials"])
    assert code(narrowed.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    for key in ("AKOVER", "AKFAR"):
        assert code(sts(app, key).get_federation_token, Name="carol") == "AccessDenied"


def test_a_federated_user_ends_with_its_opener_and_never_passes_him(
    app: S3App, bucket: str, ring: Ring
) -> None:
    may = (allow(["sts:GetFederationToken", "sts:TagSession"]), allow("s3:GetObject"))
    ring.changed["AKERIN"] = Key(
        "AKERIN", "erin-secret", ACME, user="erin", policies=given_policies(*may)
    )
    try:
        erin = sts(app, ring.changed["AKERIN"])
        tags = [{"Key": "team", "Value": "blue"}]
        made = erin.get_federation_token(Name="carol", Policy=allow("s3:*"), Tags=tags)
        carol = client(app, made["Credentials"])
        read = {"Bucket": bucket, "Key": "in/a"}
        assert code(carol.get_object, **read) == ""
        assert code(carol.put_object, **read) == "AccessDenied"

        def refused(principal: Any, **more: Any) -> bool:
            statement = {
                "Effect": "Deny",
                "Principal": principal,
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                **more,
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
            client(app, "AKROOT").put_bucket_policy(Bucket=bucket, Policy=policy)
            return code(carol.get_object, **read) == "AccessDenied"

        # What is refused to its opener is refused to it.
        assert refused({"AWS": f"arn:aws:iam::{ACME.number}:user/erin"})
        assert not refused({"AWS": f"arn:aws:iam::{ACME.number}:user/carol"})
        for key, value in (
            ("aws:PrincipalType", "FederatedUser"),
            ("aws:userid", f"{ACME.number}:carol"),
            ("aws:PrincipalTag/team", "blue"),
        ):
            assert refused("*", Condition={"StringEquals": {key: value}})
            assert not refused("*", Condition={"StringEquals": {key: value + "x"}})
        ring.changed["AKERIN"] = None
        assert code(carol.get_object, **read) == "InvalidToken"
    finally:
        del ring.changed["AKERIN"]


def test_wrong_parameters_of_a_federated_user_are_refused(app: S3App) -> None:
    asked = sts(app).get_federation_token
    good: dict[str, Any] = {"Name": "carol", "Policy": allow("s3:*")}
    for more, expected in (
        ({}, ""),
        ({"DurationSeconds": 129_600}, ""),
        ({"DurationSeconds": 129_601}, "ValidationError"),
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"Name": "c"}, "ValidationError"),
        ({"Name": "c" * 33}, "ValidationError"),
        ({"Name": "a/b"}, "ValidationError"),
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"Policy": " " * 2049}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/x"}]}, "ValidationError"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "ValidationError"),
    ):
        assert code(asked, **{**good, **more}) == expected, more


# -- AssumeRoleWithWebIdentity


@pytest.fixture(scope="module")
def web_role(app: S3App, issuer: str) -> str:
    name = issuer.removeprefix("http://")
    when = {
        "StringEquals": {f"{name}:aud": "s3"},
        "StringLike": {f"{name}:sub": "repo:acme/*"},
    }
    own = f"arn:aws:s3:::*/in/${{{name}:sub}}/*"
    app.store.roles.create(
        ACME.id,
        "web",
        trust=trust({"Federated": issuer}, "sts:AssumeRoleWithWebIdentity", Condition=when),
        policies={"p": allow("s3:*Object", ["arn:aws:s3:::*/in/a", own])},
    )
    return READER.replace("reader", "web")


def web_token(issuer: str, key: Any = PROVIDER_KEY, **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": issuer, "sub": "repo:acme/site", "aud": "s3", "iat": now, "exp": now + 60}
    return jwt.encode({"alg": "RS256", "kid": "one"}, {**said, **claims}, key)


def test_a_providers_word_opens_a_session(
    app: S3App, issuer: str, bucket: str, web_role: str
) -> None:
    answer = sts(app, None).assume_role_with_web_identity(
        RoleArn=web_role, RoleSessionName="build-7", WebIdentityToken=web_token(issuer)
    )
    assert answer["SubjectFromWebIdentityToken"] == "repo:acme/site"
    assert (answer["Audience"], answer["Provider"]) == ("s3", issuer)
    assert answer["AssumedRoleUser"]["Arn"].endswith(":assumed-role/web/build-7")
    s3 = client(app, answer["Credentials"])
    assert s3.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"one"
    # What the provider said of him is in his policy's variables.
    s3.put_object(Bucket=bucket, Key="in/repo:acme/site/b", Body=b"built")
    assert code(s3.put_object, Bucket=bucket, Key="in/repo:acme/b", Body=b"") == "AccessDenied"
    assert code(s3.list_buckets) == "AccessDenied"
    form_client = sts(app, answer["Credentials"])
    assert form_client.get_caller_identity()["Account"] == ACME.number


def test_whom_a_role_does_not_trust_it_does_not_take(
    app: S3App, issuer: str, web_role: str
) -> None:
    asked = sts(app, None).assume_role_with_web_identity
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    now = int(time.time())
    for token, expected in (
        (web_token(issuer), ""),
        (web_token(issuer, sub="repo:evil/site"), "AccessDenied"),
        (web_token(issuer, aud="other"), "InvalidIdentityToken"),
        (web_token("https://evil.example"), "InvalidIdentityToken"),
        (web_token(issuer, stranger), "InvalidIdentityToken"),
        (web_token(issuer, exp=now - 1), "ExpiredTokenException"),
        ("none.of.it", "InvalidIdentityToken"),
    ):
        more = {"RoleArn": web_role, "RoleSessionName": "me", "WebIdentityToken": token}
        assert code(asked, **more) == expected
    # Neither does one that trusts accounts, nor everybody.
    app.store.roles.create(
        ACME.id, "open", trust=trust("*", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity")
    )
    for name in ("reader", "open", "none"):
        more["RoleArn"] = READER.replace("reader", name)
        more["WebIdentityToken"] = web_token(issuer)
        assert code(asked, **more) == "AccessDenied"
    assert code(sts(app).assume_role, RoleArn=web_role, RoleSessionName="me") == "AccessDenied"


def test_it_is_audited_and_a_strangers_roles_are_not_explained(issuer: str) -> None:
    """What was decided is in the record; a caller learns of a role no more than that he may not."""
    heard: list[Any] = []

    def hear(sender: Any, *, record: Any) -> None:
        heard.append(record)

    app = S3App(Config(explain=True), key_ring=Ring())
    app.store.roles.create(ACME.id, "reader", trust=trust({"AWS": ACME.number}))
    request_audited.connect(hear)
    try:
        answers = []
        for name in ("reader", "none"):
            arn = f"arn:aws:iam::{ACME.id}:role/{name}"
            said = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": arn}
            body = urlencode({**said, "RoleSessionName": "me"}).encode()
            headers = sign(KEYS["AKOTHER"], body, headers={"x-s3kit-explain": "true"})
            answers.append(post(app, headers, body))
        for answer in answers:
            assert sts_code(answer) == (403, "AccessDenied")
            assert "x-s3kit-decision" not in answer.headers
        body = b"Action=GetSessionToken&Version=2011-06-15"
        answer = post(app, sign(KEYS["AKROOT"], body), body)
    finally:
        request_audited.disconnect(hear)
        app.close()
    refused, missing, opened = heard
    assert (refused.operation, refused.decision, refused.account) == ("AssumeRole", "deny", "other")
    assert refused.decided_by == missing.decided_by == "trust policy"
    assert refused.actions == ("sts:AssumeRole",)
    assert (opened.operation, opened.status, opened.account) == ("GetSessionToken", 200, "acme")
    token = answer.text("GetSessionTokenResult/Credentials/SessionToken")
    assert token
    assert token not in repr(heard)


def test_sessions_end_at_once_with_an_account_in_sql(issuer: str) -> None:
    """A suspended account's keys and roles open nothing, and what they opened has ended.

    IU-09: so it is with those of an account whose plan has no S3.
    """
    app = S3App(
        Config(
            master_keys=(MASTER_KEY,),
            identity_providers={issuer: {"audiences": ["s3"]}},
            plans={"website": {"s3": False}},
        )
    )
    try:
        accounts, roles = app.store.accounts, app.store.roles
        accounts.create(id="zed", number="777788889999")
        made = accounts.create_key("zed")
        key = Key(made.access_key, made.secret_key, Account("zed"))
        arn = "arn:aws:iam::777788889999:role/web"
        principals = {"AWS": "777788889999", "Federated": issuer}
        roles.create(
            "zed",
            "web",
            trust=trust(principals, "sts:*"),
            policies={"all": allow("s3:*")},
        )
        asked = {"RoleArn": arn, "RoleSessionName": "me"}
        web = sts(app, None).assume_role_with_web_identity(
            **asked, WebIdentityToken=web_token(issuer)
        )["Credentials"]
        sessions = [
            client(app, each)
            for each in (
                web,
                assume(app, key, arn),
                sts(app, key).get_session_token()["Credentials"],
            )
        ]
        assert [code(s3.list_buckets) for s3 in sessions] == ["", "", ""]
        accounts.suspend("zed")
        assert [code(s3.list_buckets) for s3 in sessions] == ["InvalidToken"] * 3
        refused = sts(app, None).assume_role_with_web_identity
        assert code(refused, **asked, WebIdentityToken=web_token(issuer)) == "AccessDenied"
        accounts.resume("zed")
        assert [code(s3.list_buckets) for s3 in sessions] == ["", "", ""]
        accounts.set("zed", plan="website")
        assert [code(s3.list_buckets) for s3 in sessions] == ["InvalidToken"] * 3
        assert code(refused, **asked, WebIdentityToken=web_token(issuer)) == "AccessDenied"
        accounts.set("zed", plan="")
        # Until all is deleted nothing changes any more.
        accounts.schedule_deletion("zed", int(time.time() * 1000) + 10**6)
        for s3 in sessions:
            assert code(s3.list_buckets) == ""
            assert code(s3.create_bucket, Bucket=fresh_name()) == "AccessDenied"
        accounts.delete_key(made.access_key)
        assert [code(s3.list_buckets) for s3 in sessions] == ["", "InvalidToken", "InvalidToken"]
        accounts.delete("zed")
        assert code(sessions[0].list_buckets) == "InvalidToken"
        assert roles.list_roles("zed") == []
    finally:
        app.close()


def test_providers_need_keys_of_the_host(issuer: str) -> None:
    with pytest.raises(ConfigError, match="needs audiences"):
        Config(identity_providers={issuer: {}})
    with pytest.raises(ConfigError, match="https URL"):
        Config(identity_providers={"http://login.example.com": {"audiences": ["s3"]}})
    for algorithm in ("HS256", "none"):
        with pytest.raises(ConfigError, match="cannot be used"):
            Config(identity_providers={issuer: {"audiences": ["s"], "algorithms": [algorithm]}})
    with pytest.raises(ConfigError, match="jwks_url"):
        Config(identity_providers={issuer: {"audiences": ["s"], "jwks_url": "ftp://x"}})


def test_no_secret_and_no_token_is_in_a_log(
    app: S3App, issuer: str, web_role: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = web_token(issuer, aud="other")
    more = {"RoleArn": web_role, "RoleSessionName": "me", "WebIdentityToken": token}
    names = ("s3kit", "s3kit.access")
    assert code(sts(app, None).assume_role_with_web_identity, **more) == "InvalidIdentityToken"
    session = assume(app)
    assert code(client(app, session).list_buckets) == "AccessDenied"
    own = [record.getMessage() for record in caplog.records if record.name in names]
    for text in own:
        assert token not in text
        assert session["SessionToken"] not in text
