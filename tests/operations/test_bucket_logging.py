"""Server access logs: the document, and the lines that come to lie in the target bucket."""

from __future__ import annotations

import calendar
import re
import shlex
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.model import Setting
from s3kit.operations import bucket_logging
from s3kit.store.server_logs import LOG_SERVICE
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed
from tests.endpoint import service_model

FIELDS = (
    "owner", "bucket", "time", "address", "requester", "request_id", "operation", "key", "uri",
    "status", "error", "sent", "size", "total", "turnaround", "referrer", "agent", "version",
    "host_id", "signature", "cipher", "auth", "host", "tls", "arn", "acl",
)  # fmt: skip
"""The fields in their order. Source: Amazon S3 User Guide, "server access log format"."""


def document(target: str, prefix: str = "log/", more: str = "") -> bytes:
    return (
        f"<BucketLoggingStatus><LoggingEnabled><TargetBucket>{target}</TargetBucket>{more}"
        f"<TargetPrefix>{prefix}</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
    ).encode()


@pytest.fixture
def logs(s3: Client, bucket: str) -> str:
    """The path of the bucket that takes the lines about ``bucket``."""
    path = f"/{fresh_name('logs')}"
    assert s3.put(path).status == 200
    assert s3.put(bucket, document(path[1:]), "logging").status == 200
    return path


def lines_of(app: S3App, s3: Client, logs: str) -> list[dict[str, str]]:
    """Every line that lies in a bucket, as the suite of ceph/s3-tests reads them."""
    app.store.server_logs.deliver()
    found = []
    for key in s3.get(logs).texts("Contents/Key"):
        for line in s3.get(f"{logs}/{key}").body.decode("ascii").splitlines():
            fields = shlex.split(line.replace("[", '"').replace("]", '"'))
            assert len(fields) == len(FIELDS), line
            found.append(dict(zip(FIELDS, fields, strict=True)))
    return found


def test_the_documents_words_are_the_models() -> None:
    shape = service_model().operation_model("PutBucketLogging").input_shape
    enabled = shape.members["BucketLoggingStatus"].members["LoggingEnabled"]
    grant = enabled.members["TargetGrants"].member
    assert set(grant.members["Permission"].enum) == set(bucket_logging.LogPermission)
    dates = enabled.members["TargetObjectKeyFormat"].members["PartitionedPrefix"].members
    assert set(dates["PartitionDateSource"].enum) == set(bucket_logging.PartitionDateSource)


def test_an_sdk_sets_reads_and_removes_all_of_it(
    app: S3App, mount: str, s3: Client, bucket: str
) -> None:
    """FB-12."""
    boto = boto_client(app, mount=mount)
    name = bucket[1:]
    parsed("GetBucketLogging", s3.get(bucket, "logging"))
    assert "LoggingEnabled" not in boto.get_bucket_logging(Bucket=name)
    wanted: dict[str, Any] = {
        "TargetBucket": name,
        "TargetPrefix": "",
        "TargetGrants": [
            {"Grantee": {"Type": "CanonicalUser", "ID": OTHER_ID}, "Permission": "READ"},
            {
                "Grantee": {
                    "Type": "Group",
                    "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
                },
                "Permission": "FULL_CONTROL",
            },
        ],
    }
    for form in (
        None,
        {"SimplePrefix": {}},
        {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
        {"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}},
    ):
        wanted.pop("TargetObjectKeyFormat", None)
        if form is not None:
            wanted["TargetObjectKeyFormat"] = form
        boto.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": wanted})
        assert boto.get_bucket_logging(Bucket=name)["LoggingEnabled"] == wanted
        parsed("GetBucketLogging", s3.get(bucket, "logging"))
    assert app.store.buckets.get(name, fresh=True).present & Setting.LOGGING
    boto.put_bucket_logging(Bucket=name, BucketLoggingStatus={})
    assert "LoggingEnabled" not in boto.get_bucket_logging(Bucket=name)
    assert not app.store.buckets.get(name, fresh=True).present & Setting.LOGGING


def test_a_malformed_document_changes_nothing(s3: Client, bucket: str, logs: str) -> None:
    before = s3.get(bucket, "logging").body
    name = logs[1:]
    grant = (
        "<TargetGrants><Grant><Grantee {0}>{1}</Grantee><Permission>{2}</Permission></Grant>"
        "</TargetGrants>"
    )
    user = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'
    form = "<TargetObjectKeyFormat>{}</TargetObjectKeyFormat>"
    for body, code in (
        (b"", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (
            b"<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>",
            "MalformedXML",
        ),
        (
            f"<BucketLoggingStatus><LoggingEnabled><TargetBucket>{name}</TargetBucket>"
            "</LoggingEnabled></BucketLoggingStatus>".encode(),
            "MalformedXML",
        ),
        (document(name, more=form.format("")), "MalformedXML"),
        (
            document(name, more=form.format("<SimplePrefix/><PartitionedPrefix/>")),
            "MalformedXML",
        ),
        (
            document(
                name,
                more=form.format(
                    "<PartitionedPrefix><PartitionDateSource>x</PartitionDateSource>"
                    "</PartitionedPrefix>"
                ),
            ),
            "MalformedXML",
        ),
        (document(name, more=grant.format(user, f"<ID>{OWNER_ID}</ID>", "READ_ACP")),
         "MalformedXML"),
        (document(name, more=grant.format(user, "<ID>nobody</ID>", "READ")), "InvalidArgument"),
        (document(name, more=grant.format(user, "<URI>http://x/</URI>", "READ")),
         "InvalidArgument"),
        (document(name, more=grant.format(user, "", "READ")), "MalformedXML"),
        (document(name, "p" * 769), "InvalidArgument"),
    ):  # fmt: skip
        answer = s3.put(bucket, body, "logging")
        assert (answer.status, answer.code) == (400, code), body
    assert s3.get(bucket, "logging").body == before


def test_the_target_is_a_bucket_of_the_same_owner_and_region(
    s3: Client, other: Client, bucket: str
) -> None:
    foreign, elsewhere = f"/{fresh_name('foreign')}", f"/{fresh_name('elsewhere')}"
    assert other.put(foreign).status == 200
    place = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>"
        b"</CreateBucketConfiguration>"
    )
    assert s3.put(elsewhere, place).status == 200
    for target in ("no-such-bucket", "..", foreign[1:]):
        answer = s3.put(bucket, document(target), "logging")
        assert (answer.status, answer.code) == (400, "InvalidTargetBucketForLogging"), target
        assert answer.text("TargetBucket") == target
    answer = s3.put(bucket, document(elsewhere[1:]), "logging")
    assert (answer.status, answer.code) == (403, "CrossLocationLoggingProhibitted")
    assert len(s3.get(bucket, "logging").xml) == 0


def test_others_may_not_see_or_set_it(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        for answer in (
            client.get(bucket, "logging"),
            client.put(bucket, document(bucket[1:]), "logging"),
            client.put(bucket, b"<BucketLoggingStatus/>", "logging"),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get("/no-such-bucket", "logging").code == "NoSuchBucket"
    assert len(s3.get(bucket, "logging").xml) == 0


def test_every_field_of_a_line(app: S3App, s3: Client, bucket: str, logs: str) -> None:
    began = int(time.time())
    put = s3.put(f"{bucket}/a%20%22b", b"12345", User_Agent="me/1 (x)", Referer="http://a.test/")
    got = s3.get(f"{bucket}/a%20%22b", Range="bytes=1-2")
    missing = s3.get(f"{bucket}/none", "versionId=v1&x-mine=1")
    assert (put.status, got.status, missing.status) == (200, 206, 404)
    lines = lines_of(app, s3, logs)
    first, second, third = lines[-3:]
    assert (first["owner"], first["bucket"]) == (OWNER_ID, bucket[1:])
    moment = re.fullmatch(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):([\d:]{8}) \+0000", first["time"])
    assert moment is not None
    at = time.strptime(" ".join(moment.groups()), "%d %b %Y %H:%M:%S")
    assert began <= calendar.timegm(at) <= time.time()
    assert first["address"] == "127.0.0.1"
    assert first["requester"] == OWNER_ID
    assert first["request_id"] == put.headers["x-amz-request-id"]
    assert first["host_id"] == put.headers["x-amz-id-2"]
    assert (first["operation"], first["key"]) == ("REST.PUT.OBJECT", "a%20%22b")
    assert first["uri"] == f"PUT {s3.mount}{bucket}/a%20%22b HTTP/1.1"
    assert (first["status"], first["error"]) == ("200", "-")
    assert (first["sent"], first["size"], first["turnaround"]) == ("-", "5", "-")
    assert first["total"].isdigit()
    assert (first["referrer"], first["agent"]) == ("http://a.test/", "me/1 (x)")
    assert (first["version"], first["signature"], first["auth"]) == ("-", "SigV4", "AuthHeader")
    assert (first["host"], first["cipher"], first["tls"]) == ("s3.test", "-", "-")
    assert (first["arn"], first["acl"]) == ("-", "-")
    assert (second["operation"], second["status"]) == ("REST.GET.OBJECT", "206")
    assert (second["sent"], second["size"]) == ("2", "5")
    assert second["turnaround"].isdigit()
    assert (third["status"], third["error"], third["key"]) == ("404", "NoSuchVersion", "none")
    assert (third["version"], third["sent"]) == ("v1", str(len(missing.body)))
    assert third["uri"].endswith("?versionId=v1&x-mine=1 HTTP/1.1")


def test_operations_have_their_names_in_the_log(
    app: S3App, s3: Client, bucket: str, logs: str
) -> None:
    requests = (
        ("HEAD", bucket, "", "REST.HEAD.BUCKET"),
        ("GET", bucket, "", "REST.GET.BUCKET"),
        ("GET", bucket, "list-type=2", "REST.GET.BUCKET"),
        ("GET", bucket, "versions", "REST.GET.BUCKETVERSIONS"),
        ("GET", bucket, "versioning", "REST.GET.VERSIONING"),
        ("GET", bucket, "location", "REST.GET.LOCATION"),
        ("GET", bucket, "logging", "REST.GET.LOGGING_STATUS"),
        ("GET", bucket, "acl", "REST.GET.ACL"),
        ("GET", bucket, "metrics&id=a", "REST.GET.METRICS"),
        ("GET", bucket, "uploads", "REST.GET.UPLOADS"),
        ("HEAD", f"{bucket}/a", "", "REST.HEAD.OBJECT"),
        ("GET", f"{bucket}/a", "tagging", "REST.GET.OBJECT_TAGGING"),
        ("POST", f"{bucket}/a", "uploads", "REST.POST.UPLOADS"),
        ("DELETE", f"{bucket}/a", "", "REST.DELETE.OBJECT"),
        ("OPTIONS", f"{bucket}/a", "", "REST.OPTIONS.PREFLIGHT"),
    )
    for method, path, query, _name in requests:
        s3.request(method, path, query)
    lines = lines_of(app, s3, logs)
    assert [(line["operation"], line["uri"].split()[0]) for line in lines] == [
        (name, method) for method, _path, _query, name in requests
    ]


def test_a_copy_is_told_on_both_sides_and_a_batch_key_by_key(
    app: S3App, s3: Client, bucket: str, logs: str
) -> None:
    unlogged = f"/{fresh_name('unlogged')}"
    s3.put(unlogged)
    s3.put(f"{bucket}/a", b"abc")
    s3.put(f"{unlogged}/b", x_amz_copy_source=f"{bucket}/a")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>x</Key></Object></Delete>"
    s3.post(bucket, body, "delete", x_amz_checksum_crc32="AAAAAA==")
    checksum = b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert s3.post(bucket, body, "delete", x_amz_checksum_crc32=checksum).status == 200
    lines = lines_of(app, s3, logs)
    assert [(line["operation"], line["key"], line["status"], line["error"]) for line in lines] == [
        ("REST.PUT.OBJECT", "a", "200", "-"),
        ("REST.COPY.OBJECT_GET", "a", "200", "-"),
        ("REST.POST.MULTI_OBJECT_DELETE", "-", "400", "BadDigest"),
        ("REST.POST.MULTI_OBJECT_DELETE", "-", "200", "-"),
        ("BATCH.DELETE.OBJECT", "a", "204", "-"),
        ("BATCH.DELETE.OBJECT", "x", "204", "-"),
    ]
    assert {line["bucket"] for line in lines} == {bucket[1:]}
    assert lines[1]["size"] == "3"


def test_refused_requests_are_told_without_a_name_that_nobody_proved(
    app: S3App, mount: str, s3: Client, anonymous: Client, bucket: str, logs: str
) -> None:
    s3.put(f"{bucket}/open", b"1", x_amz_acl="public-read")
    forged = Client(app, type(OWNER)(OWNER.access_key, "not-the-secret"), mount=mount)
    assert forged.get(f"{bucket}/open").status == 403
    assert anonymous.get(f"{bucket}/none").status == 403
    assert anonymous.get(f"{bucket}/open").status == 200
    assert Client(app, OTHER, mount=mount).get(f"{bucket}/open").status == 200
    lines = lines_of(app, s3, logs)[-4:]
    assert [
        (line["requester"], line["error"], line["signature"], line["auth"], line["acl"])
        for line in lines
    ] == [
        ("-", "SignatureDoesNotMatch", "-", "-", "-"),
        ("-", "AccessDenied", "-", "-", "-"),
        ("-", "-", "-", "-", "Yes"),
        (OTHER_ID, "-", "SigV4", "AuthHeader", "Yes"),
    ]
    assert {line["operation"] for line in lines} == {"REST.GET.OBJECT"}


def test_a125_no_line_holds_a_signature_and_none_can_be_forged(
    app: S3App, mount: str, s3: Client, bucket: str, logs: str
) -> None:
    """A100: what a client sends stays inside its field, and inside its line."""
    url = boto_client(app, mount=mount, signature_version="s3v4").generate_presigned_url(
        "get_object", {"Bucket": bucket[1:], "Key": "a"}
    )
    target = url.partition("s3.test")[2]
    for spelt in (target, target.replace("X-Amz-Signature", "X%2DAmz%2Dsignature")):
        s3.send("GET", spelt, {"Host": "s3.test", "Referer": url})
    signature = target.partition("X-Amz-Signature=")[2]
    token = "x-amz-security-token=verysecret&X-Amz-Server-Side-Encryption-Customer-Key=c2VjcmV0"
    s3.get(f"{bucket}/a", token)
    evil = f'x" - \\\r\n{OWNER_ID} {bucket[1:]} [06/Feb/2019:00:00:38 +0000]\x85\u2028'
    raw = evil.encode().decode("latin-1")
    s3.send("GET", f"{mount}{bucket}/a?{raw}", {"Host": raw, "User-Agent": raw, "Referer": raw})
    app.store.server_logs.deliver()
    stored = b"".join(s3.get(f"{logs}/{key}").body for key in s3.get(logs).texts("Contents/Key"))
    for secret in (signature, "verysecret", "c2VjcmV0", OWNER.access_key):
        assert secret.encode() not in stored
    assert b"X-Amz-Signature=***" in stored
    # Two presigned, one signed, one unsigned; each one line.
    assert len(lines_of(app, s3, logs)) == 4
    assert stored.count(b"\n") == 4
    assert stored.replace(b"\n", b"").isascii()
    assert lines_of(app, s3, logs)[-1]["agent"].startswith("x%22 - %5C%0D%0A")


def test_log_objects_are_the_owners_and_the_grantees_and_carry_no_line_about_themselves(
    app: S3App, s3: Client, other: Client, bucket: str
) -> None:
    grants = (
        '<TargetGrants><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:type="CanonicalUser"><ID>{OTHER_ID}</ID></Grantee><Permission>READ</Permission>'
        "</Grant></TargetGrants>"
    )
    # Into itself: a delivery must not make a line that must be delivered.
    assert s3.put(bucket, document(bucket[1:], "own-", grants), "logging").status == 200
    app.store.server_logs.deliver()
    assert s3.head(bucket).status == 200
    assert app.store.server_logs.deliver() == 1
    assert app.store.server_logs.deliver() == 0
    (key,) = s3.get(bucket).texts("Contents/Key")
    assert re.fullmatch(r"own-\d{4}(-\d\d){5}-[0-9A-F]{16}", key)
    assert other.get(f"{bucket}/{key}").status == 200
    assert s3.get(f"{bucket}/{key}", "acl").text("Owner/ID") == OWNER_ID
    assert LOG_SERVICE.id not in s3.get(f"{bucket}/{key}", "acl").body.decode()


@pytest.mark.parametrize("source", ["EventTime", "DeliveryTime"])
def test_a_partitioned_key_has_folders(app: S3App, s3: Client, bucket: str, source: str) -> None:
    form = (
        f"<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>{source}"
        "</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>"
    )
    assert s3.put(bucket, document(bucket[1:], "p/", form), "logging").status == 200
    assert s3.head(bucket).status == 200
    app.store.server_logs.deliver()
    (key,) = s3.get(bucket).texts("Contents/Key")
    moment = "00-00-00" if source == "EventTime" else r"\d\d-\d\d-\d\d"
    assert re.fullmatch(
        rf"p/{OWNER_ID}/us-east-1/{bucket[1:]}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{moment}"
        r"-[0-9A-F]{16}",
        key,
    )


def test_no_line_goes_into_a_bucket_that_is_another_accounts_by_now(
    app: S3App, s3: Client, other: Client, bucket: str, logs: str
) -> None:
    """A064: names of buckets are used again."""
    assert s3.put(f"{bucket}/a", b"1").status == 200
    assert s3.delete(logs).status == 204
    assert other.put(logs).status == 200
    app.store.server_logs.deliver()
    assert other.get(logs).texts("Contents/Key") == []


@pytest.fixture
def closing(tmp_path: Path) -> Iterator[S3App]:
    app = make_app("file", tmp_path)
    yield app
    app.close()


def test_lines_wait_while_no_thread_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a request nor the end of the process fails for it."""
    app = make_app("file", tmp_path)
    s3 = Client(app, OWNER)
    s3.put("/logs")
    s3.put("/logs", document("logs"), "logging")
    with monkeypatch.context() as patch:

        def none(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", none)
        assert s3.get("/logs").status == 200
        assert "cannot be delivered now" in caplog.text
        app.close()
    app = make_app("file", tmp_path)
    s3 = Client(app, OWNER)
    keys = s3.get("/logs").texts("Contents/Key")
    told = "".join(s3.get(f"/logs/{key}").body.decode() for key in keys)
    app.close()
    assert "REST.GET.BUCKET" in told


def test_what_waits_is_delivered_at_the_end_and_a_flood_is_bounded(
    closing: S3App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = Client(closing, OWNER)
    s3.put("/logs")
    s3.put("/logs", document("logs"), "logging")
    monkeypatch.setattr("s3kit.store.server_logs.MOST_BYTES", 4096)
    for _ in range(100):
        s3.get("/logs/none")
    closing.close()
    again = make_app("file", tmp_path)
    s3 = Client(again, OWNER)
    (key,) = s3.get("/logs").texts("Contents/Key")
    assert 2000 < len(s3.get(f"/logs/{key}").body) <= 4096
    again.close()


def test_a_websites_visitors_are_told_of_as_such(tmp_path: Path) -> None:
    app = make_app("file", tmp_path, website_hosts=("*.web.test",))
    s3 = Client(app, OWNER)
    for name in ("/logs", "/site", "/page.html"):
        assert s3.put(name).status == 200
        assert s3.put(name, document("logs"), "logging").status == 200
    page = b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument>"
    assert s3.put("/site", page + b"</WebsiteConfiguration>", "website").status == 200
    app.store.server_logs.deliver()
    s3.put("/site/page.html", b"12345", x_amz_acl="public-read")
    visitor = Client(app, None)
    assert visitor.request("GET", "/page.html", host="site.web.test").body == b"12345"
    assert visitor.request("GET", "/none", host="site.web.test").status in (403, 404)
    app.store.server_logs.deliver()
    stored = b"".join(
        s3.get(f"/logs/{key}").body for key in s3.get("/logs", "prefix=log").texts("Contents/Key")
    )
    found = [line.split() for line in stored.decode().splitlines() if "WEBSITE." in line]
    assert [(line[1], line[7], line[8]) for line in found] == [
        ("site", "WEBSITE.GET.OBJECT", "page.html"),
        ("site", "WEBSITE.GET.OBJECT", "none"),
    ]
    app.close()


def test_lines_come_by_themselves_after_the_interval(closing: S3App) -> None:
    closing.store.server_logs.seconds = 0.05
    s3 = Client(closing, OWNER)
    s3.put("/logs")
    s3.put("/logs", document("logs"), "logging")
    deadline = time.monotonic() + 60
    while not (found := s3.get("/logs", "prefix=log").texts("Contents/Key")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert b"REST.GET.BUCKET" in s3.get(f"/logs/{found[0]}").body
