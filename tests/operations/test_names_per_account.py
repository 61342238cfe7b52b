"""Two accounts with buckets of one name: what each does, sees and removes is its own (CS-23)."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from s3kit.app import S3App
from s3kit.blobs.place import LocalPlace
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.errors import NoSuchBucket
from s3kit.middleware.mount import mount
from s3kit.signals import AuditRecord
from s3kit.signals import Event
from s3kit.signals import object_created
from s3kit.signals import request_audited
from s3kit.store.backup_place import snapshots_at
from s3kit.testing import boto3_client
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import make_app
from tests.operations.test_posting import multipart
from tests.operations.test_posting import signing_client

MARKS = {OWNER: "olivesown", OTHER: "ottosown"}
IDS = {OWNER: OWNER_ID, OTHER: OTHER_ID}
ACME = "acme.test"
LARGE = 70_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app(
        "memory",
        tmp_path_factory.mktemp("names"),
        bucket_names="account",
        base_hosts=("s3.test", ACME),
        website_hosts=("*.web.test", "*.web.acme.example"),
        account_hosts={ACME: OTHER_ID, "web.acme.example": OTHER_ID},
        relay=False,
        run_lifecycle=False,
    )
    yield made
    made.close()


def public(name: str, *actions: str, **more: Any) -> bytes:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        **more,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def both(app: S3App) -> list[tuple[Client, str]]:
    return [(Client(app, signer), MARKS[signer]) for signer in (OWNER, OTHER)]


def is_only_of(mark: str, answer: Answer) -> bool:
    """The answer shows this account's mark and never the other's."""
    shown = answer.body + repr(answer.headers).encode()
    others = [each for each in MARKS.values() if each != mark]
    assert not any(each.encode() in shown for each in others), shown
    return mark.encode() in shown


# -- one table of what can be read

DOCUMENTS: dict[str, Callable[[str], str]] = {
    "tagging": lambda m: (
        f"<Tagging><TagSet><Tag><Key>k</Key><Value>{m}</Value></Tag></TagSet></Tagging>"
    ),
    "policy": lambda m: json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": m,
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::photos/{m}-denied",
                }
            ],
        }
    ),
    "cors": lambda m: (
        f"<CORSConfiguration><CORSRule><AllowedOrigin>https://{m}.test</AllowedOrigin>"
        "<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
    ),
    "website": lambda m: (
        f"<WebsiteConfiguration><IndexDocument><Suffix>{m}.html</Suffix></IndexDocument>"
        "</WebsiteConfiguration>"
    ),
    "lifecycle": lambda m: (
        f"<LifecycleConfiguration><Rule><ID>{m}</ID><Filter><Prefix>old/</Prefix></Filter>"
        "<Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
        "</LifecycleConfiguration>"
    ),
    "logging": lambda m: (
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>photos</TargetBucket>"
        f"<TargetPrefix>{m}/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
    ),
    "metrics&id=m": lambda m: (
        f"<MetricsConfiguration><Id>m</Id><Filter><Prefix>{m}</Prefix></Filter>"
        "</MetricsConfiguration>"
    ),
}

READS: dict[str, Callable[[Client], Answer]] = {
    "GetObject": lambda c: c.get("/photos/k"),
    "GetObject of a blob": lambda c: c.get("/photos/large"),
    "GetObject with a range": lambda c: c.get("/photos/k", range="bytes=0-7"),
    "GetObject at its host": lambda c: c.request("GET", "/k", host="photos.s3.test"),
    "HeadObject": lambda c: c.head("/photos/k"),
    "GetObjectTagging": lambda c: c.get("/photos/k", "tagging"),
    "GetObjectAttributes": lambda c: c.get(
        "/photos/k", "attributes", x_amz_object_attributes="ETag"
    ),
    "ListObjects": lambda c: c.get("/photos"),
    "ListObjectsV2": lambda c: c.get("/photos", "list-type=2&fetch-owner=true"),
    "ListObjectVersions": lambda c: c.get("/photos", "versions"),
    "ListMultipartUploads": lambda c: c.get("/photos", "uploads"),
    **{
        f"Get bucket {name}": lambda c, n=name: c.get("/photos", n)  # type: ignore[misc]
        for name in DOCUMENTS
    },
}
SHOWS_NO_MARK = {"GetObjectAttributes"}


@pytest.fixture(scope="module")
def filled(app: S3App) -> S3App:
    """A bucket "photos" of each account, filled in turn."""
    for client, _ in both(app):
        assert client.put("/photos").status == 200
    for client, mark in both(app):
        assert client.put("/photos/k", mark.encode(), x_amz_meta_m=mark).status == 200
        assert client.put("/photos/large", mark.encode() * (LARGE // len(mark))).status == 200
        assert client.put(f"/photos/{mark}").status == 200
        tags = DOCUMENTS["tagging"](mark).encode()
        assert client.put("/photos/k", tags, "tagging", content_md5=md5_of(tags)).status == 200
        assert client.post(f"/photos/{mark}-upload", query="uploads").status == 200
        for name, document in DOCUMENTS.items():
            body = document(mark).encode()
            answer = client.put("/photos", body, name, content_md5=md5_of(body))
            assert answer.status in (200, 204), (name, answer.body)
    return app


@pytest.mark.parametrize("name", READS)
def test_what_each_account_reads_is_its_own(filled: S3App, name: str) -> None:
    """In turn and again, so that whatever is remembered of one is there when the other asks."""
    for _ in range(2):
        for client, mark in both(filled):
            answer = READS[name](client)
            assert answer.status in (200, 206), answer.body
            assert is_only_of(mark, answer) or name in SHOWS_NO_MARK, answer.body


def test_presigned_urls_and_the_client_in_python_mean_their_own(filled: S3App) -> None:
    for signer, mark in MARKS.items():
        url = boto_client(filled, signer, signature_version="s3v4").generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "k"}
        )
        answer = Client(filled, None).get(*url.removeprefix("http://s3.test").split("?"))
        assert answer.body == mark.encode()
        with filled.client(IDS[signer]).open("photos", "k") as stream:
            assert stream.read() == mark.encode()
        assert [each.name for each in filled.client(IDS[signer]).buckets()] == ["photos"]
        assert Client(filled, signer).get("/").texts("Buckets/Bucket/Name") == ["photos"]


def test_browsers_are_told_the_rules_of_the_bucket_that_is_meant(filled: S3App) -> None:
    """FB-19 where two buckets have one name: a preflight names the key, an answer knows it."""
    for signer, mark in MARKS.items():
        origin = f"https://{mark}.test"
        url = boto_client(filled, signer, signature_version="s3v4").generate_presigned_url(
            "get_object", Params={"Bucket": "photos", "Key": "k"}
        )
        target = url.removeprefix("http://s3.test")
        asks = {"Host": HOST, "Origin": origin, "Access-Control-Request-Method": "GET"}
        assert call(filled, make_environ("OPTIONS", target, asks, b"")).status == 200
        for path in ("/photos/k", "/photos/missing"):
            answer = Client(filled, signer).get(path, origin=origin)
            assert answer.headers["access-control-allow-origin"] == origin
            for other in MARKS.values():
                if other != mark:
                    answer = Client(filled, signer).get(path, origin=f"https://{other}.test")
                    assert "access-control-allow-origin" not in answer.headers
        # What was answered counts, not whose key it was.
        other = next(each for each in MARKS if each != signer)
        answer = Client(filled, other).get(
            "/photos/k", origin=origin, x_amz_expected_bucket_owner=IDS[signer]
        )
        assert answer.code == "AccessDenied"
        assert answer.headers["access-control-allow-origin"] == origin
        bad = Client(filled, Signer(signer.access_key, "wrong"))
        answer = bad.get("/photos/k", origin=origin)
        assert answer.code == "SignatureDoesNotMatch"
        assert answer.headers["access-control-allow-origin"] == origin


# -- writing


def test_what_one_account_writes_and_removes_is_in_its_own_bucket(app: S3App) -> None:
    clients = both(app)
    for client, mark in clients:
        assert client.put("/desk").status == 200
        assert client.put("/desk/same", mark.encode()).status == 200
        assert client.put("/desk/source", mark.encode()).status == 200
    (mine, my_mark), (yours, your_mark) = clients

    def untouched() -> None:
        assert yours.get("/desk").texts("Contents/Key") == ["same", "source"]
        assert yours.get("/desk/same").body == your_mark.encode()

    assert mine.put("/desk/copy", x_amz_copy_source="/desk/source").status == 200
    assert mine.get("/desk/copy").body == my_mark.encode()
    upload = mine.post("/desk/parts", query="uploads").text("UploadId")
    part = mine.put(
        "/desk/parts", query=f"partNumber=1&uploadId={upload}", x_amz_copy_source="desk/source"
    )
    assert yours.get("/desk/parts", f"uploadId={upload}").code == "NoSuchUpload"
    done = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.text('ETag')}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    assert yours.post("/desk/parts", done, f"uploadId={upload}").code == "NoSuchUpload"
    assert mine.post("/desk/parts", done, f"uploadId={upload}").status == 200
    assert mine.get("/desk/parts").body == my_mark.encode()
    untouched()
    assert mine.put("/desk/same", b"new").status == 200
    assert mine.put("/desk/tail", b"a").status == 200
    assert mine.put("/desk/tail", b"b", x_amz_write_offset_bytes="1").status == 200
    untouched()
    for signer, mark in MARKS.items():
        made = signing_client(signer).generate_presigned_post("desk", "form")
        kind, body = multipart({k: str(v) for k, v in made["fields"].items()}, mark.encode())
        sent = {"Host": HOST, "Content-Type": kind}
        assert Client(app, None).send("POST", "/desk", sent, body).status == 204
        assert Client(app, signer).get("/desk/form").body == mark.encode()
    assert yours.delete("/desk/form").status == 204
    keys = mine.get("/desk").texts("Contents/Key")
    delete = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    body = f"<Delete>{delete}</Delete>".encode()
    assert mine.post("/desk", body, "delete", content_md5=md5_of(body)).status == 200
    untouched()
    assert mine.delete("/desk").status == 204
    untouched()
    assert mine.get("/desk/same").code == "NoSuchBucket"
    assert mine.put("/desk/same", b"lost").code == "NoSuchBucket"
    assert mine.delete("/desk/same").code == "NoSuchBucket"
    assert mine.delete("/desk").code == "NoSuchBucket"
    untouched()
    assert yours.delete("/desk").code == "BucketNotEmpty"


def test_another_accounts_name_is_free_and_ones_own_is_not(app: S3App) -> None:
    """CS-23: the name that is taken is one of the account's own."""
    mine, yours = Client(app, OWNER), Client(app, OTHER, region="eu-central-1")
    place = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
        b"</CreateBucketConfiguration>"
    )
    assert yours.put("/taken", place).status == 200
    assert mine.head("/taken").status == 404
    assert mine.put("/taken").status == 200
    assert yours.put("/taken", place).code == "BucketAlreadyOwnedByYou"
    assert mine.delete("/taken").status == 204
    assert yours.head("/taken").status == 200
    # What a row is called is no name that finds it.
    suffix = hashlib.sha256(OTHER_ID.encode()).hexdigest()[:32]
    for client in (mine, yours, Client(app, None)):
        for name in (f"taken!{suffix}", f"taken%21{suffix}", "taken!"):
            assert client.get(f"/{name}").code == "InvalidBucketName"


def test_profile_cloudstorage_has_names_per_account(tmp_path: Path) -> None:
    """CS-23, CS-22, CS-19."""
    with closing(make_app("memory", tmp_path, profile="cloudstorage")) as app:
        for client, mark in both(app):
            assert client.put("/photos").status == 200
            answer = client.put("/photos")
            assert (answer.status, answer.code) == (409, "BucketAlreadyExists")
            client.put("/photos/k", mark.encode())
        for client, mark in both(app):
            assert client.get("/photos/k").body == mark.encode()
        made = [app.store.accounts.sign_up() for _ in range(2)]
        assert [each.bucket.name for each in made] == ["default", "default"]
        mine, yours = Client(app, OWNER), Client(app, OTHER)
        assert yours.put("/single").status == 200
        assert mine.get("/single/k").code == "NoSuchBucket"
        said = {"x_amz_expected_bucket_owner": OTHER_ID}
        assert mine.get("/single/k", **said).code == "AccessDenied"


# -- whose bucket, where it is not the signer's


def test_nobody_who_signs_comes_into_anothers_bucket_unawares(app: S3App) -> None:
    """A name that the signer does not have is not there, even if another lets everybody in."""
    mine, yours, nobody = Client(app, OWNER), Client(app, OTHER), Client(app, None)
    yours.put("/open")
    yours.put("/open", public("open", "s3:*"), "policy")
    yours.put("/open/k", b"theirs")
    assert nobody.get("/open/k").body == b"theirs"
    for answer in (mine.get("/open/k"), mine.put("/open/k", b"mine"), mine.delete("/open/k")):
        assert answer.code == "NoSuchBucket"
    mine.put("/own")
    assert mine.put("/own/k", x_amz_copy_source="/open/k").code == "NoSuchBucket"
    # Said whose it is, it is found, and its policy decides.
    said = {"x_amz_expected_bucket_owner": OTHER_ID}
    assert mine.get("/open/k", **said).body == b"theirs"
    assert mine.put("/open/new", b"given", **said).status == 200
    copied = mine.put(
        "/own/k", x_amz_copy_source="/open/k", x_amz_source_expected_bucket_owner=OTHER_ID
    )
    assert copied.status == 200
    mine.put("/open")
    mine.put("/open/k", b"my own")
    assert mine.get("/open/k").body == b"my own"
    assert mine.get("/open/k", **said).body == b"theirs"
    assert mine.get("/open/k", x_amz_expected_bucket_owner=OWNER_ID).body == b"my own"
    for stranger in ("nobody", "000000000000", "'; --", "x" * 300):
        assert mine.get("/open/k", x_amz_expected_bucket_owner=stranger).code == "AccessDenied"
    # Two of a name: who does not sign means neither.
    assert nobody.get("/open/k").code == "NoSuchBucket"
    mine.delete("/open/k")
    mine.delete("/open")
    assert nobody.get("/open/k").body == b"theirs"


def test_a_host_and_a_mount_may_be_bound_to_an_account(app: S3App) -> None:
    mine, yours, nobody = Client(app, OWNER), Client(app, OTHER), Client(app, None)
    for client, mark in both(app):
        client.put("/bound")
        client.put("/bound", public("bound", "s3:GetObject"), "policy")
        client.put("/bound/k", mark.encode())
    assert nobody.get("/bound/k").code == "NoSuchBucket"
    theirs = MARKS[OTHER].encode()
    assert nobody.request("GET", "/bound/k", host=ACME).body == theirs
    assert nobody.request("GET", "/bound/k", host=f"{ACME}:8080").body == theirs
    assert nobody.request("GET", "/k", host=f"bound.{ACME}").body == theirs
    assert nobody.request("GET", "/k", host=f"bound.{ACME.upper()}.").body == theirs
    assert nobody.request("GET", "/bound/k", host=f"not{ACME}").code == "NoSuchBucket"
    # One's own come first, there too.
    assert mine.request("GET", "/bound/k", host=ACME).body == MARKS[OWNER].encode()
    mine.put("/mine-alone")
    mine.put("/mine-alone", public("mine-alone", "s3:GetObject"), "policy")
    mine.put("/mine-alone/k", b"k")
    assert nobody.get("/mine-alone/k").body == b"k"
    assert nobody.request("GET", "/mine-alone/k", host=ACME).code == "NoSuchBucket"
    yours.put("/yours-alone")
    assert mine.request("GET", "/yours-alone/k", host=ACME).code == "AccessDenied"
    mounted = mount(lambda e, s: [], app, at="/otto", account=OTHER_ID)
    assert Client(mounted, None).get("/otto/bound/k").body == theirs
    # Nothing that a client can send names the account.
    sent = {"Host": HOST, "s3kit.account": OTHER_ID, "S3KIT-ACCOUNT": OTHER_ID}
    assert nobody.request("GET", "/bound/k", "s3kit.account=x", sent).code == "NoSuchBucket"


def test_websites_of_one_name_are_told_apart_by_their_hosts(app: S3App) -> None:
    site = (
        b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument>"
        b"</WebsiteConfiguration>"
    )
    for client, mark in both(app):
        client.put("/site")
        client.put("/site", public("site", "s3:GetObject"), "policy")
        client.put("/site", site, "website", content_md5=md5_of(site))
        client.put("/site/i", mark.encode())
    nobody = Client(app, None)
    assert nobody.request("GET", "/", host="site.web.acme.example").body == MARKS[OTHER].encode()
    assert nobody.request("GET", "/", host="site.web.test").status == 404
    Client(app, OTHER).delete("/site/i")
    assert Client(app, OTHER).delete("/site").status == 204
    assert nobody.request("GET", "/", host="site.web.test").body == MARKS[OWNER].encode()


def test_a_copy_from_anothers_bucket_does_not_pass_for_one_from_the_owners(app: S3App) -> None:
    """A policy that names a source means a bucket of its own account."""
    mine, yours = Client(app, OWNER), Client(app, OTHER)
    only = {"StringLike": {"s3:x-amz-copy-source": "source/*"}}
    yours.put("/target")
    yours.put("/target", public("target", "s3:PutObject", Condition=only), "policy")
    for client, mark in both(app):
        client.put("/source")
        client.put("/source/k", mark.encode())
    said = {"x_amz_expected_bucket_owner": OTHER_ID, "x_amz_copy_source": "source/k"}
    assert mine.put("/target/k", **said).code == "AccessDenied"
    assert yours.head("/target/k").status == 404
    yours.put("/source", public("source", "s3:GetObject"), "policy")
    answer = mine.put("/target/k", **said, x_amz_source_expected_bucket_owner=OTHER_ID)
    assert answer.status == 200
    assert yours.get("/target").texts("Contents/Key") == ["k"]


def test_names_in_policies_and_scopes_mean_buckets_of_their_own_account(tmp_path: Path) -> None:
    """Who may go to "photos" alone may not go to another's "photos", whoever that one lets in."""
    policy = public("photos", "s3:*").replace(b'"Principal": "*", ', b"").decode()
    with closing(make_app("memory", tmp_path, bucket_names="account")) as app:
        for client, mark in both(app):
            client.put("/photos")
            client.put("/photos/k", mark.encode())
        yours = Client(app, OTHER)
        yours.put("/photos", public("photos", "s3:*"), "policy")
        accounts = app.store.accounts
        accounts.create_user(OWNER_ID, "bob", {"p": policy})
        keys = [
            accounts.create_key(OWNER_ID, user="bob"),
            accounts.create_key(OWNER_ID, scope={"paths": ["photos/"]}),
        ]
        said = {"x_amz_expected_bucket_owner": OTHER_ID}
        for key in keys:
            narrow = Client(app, Signer(key.access_key, key.secret_key))
            assert narrow.get("/photos/k").body == MARKS[OWNER].encode()
            for answer in (
                narrow.get("/photos/k", **said),
                narrow.put("/photos/stolen", b"x", **said),
                narrow.put("/photos/k", **said, x_amz_copy_source="/photos/k"),
                narrow.put(
                    "/photos/k2",
                    x_amz_copy_source="/photos/k",
                    x_amz_source_expected_bucket_owner=OTHER_ID,
                ),
            ):
                assert (answer.status, answer.code) == (403, "AccessDenied")
        assert yours.get("/photos").texts("Contents/Key") == ["k"]
        root = boto3_client(
            app, access_key=OWNER.access_key, secret_key=OWNER.secret_key, service="sts"
        )
        made = root.get_session_token()["Credentials"]
        session = Signer(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        assert Client(app, session).get("/photos/k").body == MARKS[OWNER].encode()
        cors = DOCUMENTS["cors"]("olives").encode()
        Client(app, OWNER).put("/photos", cors, "cors", content_md5=md5_of(cors))
        credential = f"{session.access_key}/20261121/us-east-1/s3/aws4_request"
        query = urlencode({"X-Amz-Credential": credential, "X-Amz-Security-Token": session.token})
        asks = {
            "Host": HOST,
            "Origin": "https://olives.test",
            "Access-Control-Request-Method": "GET",
        }
        for token, status in ((query, 200), (query + "x", 403)):
            made_up = make_environ("OPTIONS", f"/photos/k?{token}", asks, b"")
            assert call(app, made_up).status == status


# -- what happens by itself


def test_logs_and_replicas_go_to_buckets_of_the_same_account(app: S3App) -> None:
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    store = app.store
    for client, _ in both(app):
        for name in ("from", "into", "logs"):
            client.put(f"/{name}")
            client.put(f"/{name}", on, "versioning", content_md5=md5_of(on))
        log = (
            b"<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>"
            b"<TargetPrefix></TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
        )
        assert client.put("/from", log, "logging", content_md5=md5_of(log)).status == 200

    def rule(name: str, account: str = "") -> bytes:
        whose = f"<Account>{account}</Account>" if account else ""
        return (
            "<ReplicationConfiguration><Role>r</Role><Rule><ID>1</ID><Status>Enabled</Status>"
            "<Priority>1</Priority><Filter><Prefix></Prefix></Filter><DeleteMarkerReplication>"
            "<Status>Disabled</Status></DeleteMarkerReplication><Destination>"
            f"<Bucket>arn:aws:s3:::{name}</Bucket>{whose}</Destination></Rule>"
            "</ReplicationConfiguration>"
        ).encode()

    mine, yours = Client(app, OWNER), Client(app, OTHER)

    def put_rule(client: Client, body: bytes) -> Answer:
        return client.put("/from", body, "replication", content_md5=md5_of(body))

    assert put_rule(mine, rule("into")).status == 200
    assert put_rule(mine, rule("from")).code == "InvalidRequest"
    mine.put("/from/k", b"replicated")
    yours.get("/from/k")
    store.outbox.deliver()
    store.server_logs.deliver()
    assert mine.get("/into/k").body == b"replicated"
    assert yours.get("/into").texts("Contents/Key") == []
    assert yours.get("/logs").texts("Contents/Key") != []
    own = mine.get("/logs").texts("Contents/Key")
    lines = b"".join(mine.get(f"/logs/{key}").body for key in own)
    assert OWNER_ID.encode() in lines
    assert OTHER_ID.encode() not in lines
    # The bucket of that name of the account that a rule names, be it the source's own name.
    grant = public("from", "s3:ReplicateObject")
    assert yours.put("/from", grant, "policy").status == 204
    assert put_rule(mine, rule("from", OTHER_ID)).status == 200
    mine.put("/from/second", b"given")
    assert store.outbox.deliver().failed == 0
    assert yours.get("/from").texts("Contents/Key") == ["second"]
    assert mine.get("/into").texts("Contents/Key") == ["k"]


def test_events_have_the_plain_name_and_whose_it_is(app: S3App) -> None:
    heard: list[tuple[str, str]] = []

    def listen(sender: str, event: Event) -> None:
        heard.append((sender, event.account))

    with object_created.connected_to(listen, sender="heard"):
        for client, _ in both(app):
            client.put("/heard")
            client.put("/heard/k", b"k")
    assert heard == [("heard", OWNER_ID), ("heard", OTHER_ID)]


def test_records_of_requests_tell_whose_the_bucket_is(app: S3App) -> None:
    heard: list[tuple[str | None, str | None, str]] = []

    def listen(sender: str, record: AuditRecord) -> None:
        heard.append((record.bucket, record.account, record.bucket_owner))

    for client, _ in both(app):
        client.put("/recorded")
    with request_audited.connected_to(listen):
        for client, _ in both(app):
            client.get("/recorded/k")
        said = {"x_amz_expected_bucket_owner": OTHER_ID}
        assert Client(app, OWNER).get("/recorded/k", **said).code == "AccessDenied"
        Client(app, None).get("/recorded/k")
    assert heard == [
        ("recorded", OWNER_ID, OWNER_ID),
        ("recorded", OTHER_ID, OTHER_ID),
        ("recorded", OWNER_ID, OTHER_ID),
        ("recorded", None, ""),
    ]


def test_an_index_of_names_per_account_is_not_opened_as_another(tmp_path: Path) -> None:
    """Two buckets would be of one name; the way there is open, and buckets stay whose they are."""
    index = f"sqlite:///{tmp_path / 'index.db'}"
    before = S3App(Config(index=index, bucket_names="global"))
    before.client("alice").create_bucket("old")
    before.client("alice").put("old", "k", b"k")
    before.close()
    with closing(S3App(Config(index=index, bucket_names="account"))) as after:
        assert after.client("alice").exists("old", "k")
        after.client("bob").create_bucket("old")
        assert not after.client("bob").exists("old", "k")
        assert [each.name for each in after.client("alice").buckets()] == ["old"]
        with pytest.raises(NoSuchBucket):
            after.store.buckets.get("old")
    with pytest.raises(ConfigError, match="bucket_names"):
        S3App(Config(index=index))


def test_janitor_scrub_backup_and_the_end_of_an_account_tell_them_apart(tmp_path: Path) -> None:
    past = (
        b"<LifecycleConfiguration><Rule><ID>x</ID><Filter><Prefix>old/</Prefix></Filter><Status>"
        b"Enabled</Status><Expiration><Date>2020-01-01T00:00:00Z</Date></Expiration></Rule>"
        b"</LifecycleConfiguration>"
    )
    settings: dict[str, Any] = {"bucket_names": "account", "run_lifecycle": False}
    with closing(make_app("file", tmp_path, **settings)) as app:
        for client, mark in both(app):
            client.put("/photos")
            client.put("/photos/old/k", mark.encode())
            client.put("/photos/large", mark.encode() * LARGE)
        yours, mark = both(app)[1]
        assert yours.put("/photos", past, "lifecycle", content_md5=md5_of(past)).status == 200
        app.store.lifecycle.run()
        assert [client.head("/photos/old/k").status for client, _ in both(app)] == [200, 404]
        for path in (tmp_path / "near").rglob("*"):
            if (
                path.is_file()
                and path.stat().st_size > LARGE
                and mark.encode() in path.read_bytes()
            ):
                path.write_bytes(b"rotten")
        found = [name for each in app.store.scrub().run() for name in each.objects]
        assert found == ["photos/large"]
        place = LocalPlace(str(tmp_path / "backups"))
        app.store.accounts.create(id="carol")
        app.client("carol").create_bucket("photos")
        app.client("carol").put("photos", "k", b"carol's")
        app.store.backup(place).run()
        app.store.accounts.schedule_deletion("carol", app.store._backing.now() + 600_000)
        app.store.closing.run()
        assert app.client("carol").exists("photos")
        app.store._backing.clock = lambda: time.time() + 601
        assert app.store.closing.run().closed == 1
        assert not app.client("carol").exists("photos")
        for client, _ in both(app):
            assert client.head("/photos/large").status == 200
    (tmp_path / "restored").mkdir()
    with closing(make_app("file", tmp_path / "restored", **settings)) as app:
        app.store.restore(place, snapshots_at(place)[-1]).run()
        mine, yours = Client(app, OWNER), Client(app, OTHER)
        assert mine.get("/photos/old/k").body == MARKS[OWNER].encode()
        assert yours.get("/photos/old/k").status == 404
        assert app.client("carol").head("photos", "k").size == 7
