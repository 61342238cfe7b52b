"""Object Lock: its documents and headers, and what a locked version withstands."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.signals import Event
from s3kit.signals import object_legal_hold_changed
from s3kit.signals import object_retention_changed
from tests.client import Answer
from tests.client import Client
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed
from tests.operations.test_posting import Forms

LATER = datetime(2040, 1, 1, tzinfo=UTC)
LATEST = datetime(2050, 1, 1, 12, 30, 1, 250_000, tzinfo=UTC)
DAY = 24 * 3600
PROTECTED = "Access Denied because object protected by object lock."
NOT_LOCKABLE = "Bucket is missing Object Lock Configuration"


def text_of(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def send(s3: Client, path: str, query: str, document: str, **headers: str) -> Answer:
    """Put a document with the checksum that S3 wants."""
    body = document.encode()
    return s3.put(path, body, query, Content_MD5=md5_of(body), **headers)


def configure(s3: Client, bucket: str, rule: str = "", **headers: str) -> Answer:
    document = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}"
    document = f"<ObjectLockConfiguration>{document}</ObjectLockConfiguration>"
    return send(s3, bucket, "object-lock", document, **headers)


def rule(inner: str) -> str:
    return f"<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"


def retain(
    s3: Client, path: str, mode: str, until: datetime | None, version: str = "", more: str = "",
    **headers: str,
) -> Answer:  # fmt: skip
    query = "retention" + (f"&versionId={version}" if version else "")
    date = f"<RetainUntilDate>{text_of(until)}</RetainUntilDate>" if until else ""
    document = f"<Retention><Mode>{mode}</Mode>{date}{more}</Retention>"
    return send(s3, path, query, document, **headers)


def hold(s3: Client, path: str, status: str, version: str = "") -> Answer:
    query = "legal-hold" + (f"&versionId={version}" if version else "")
    return send(s3, path, query, f"<LegalHold><Status>{status}</Status></LegalHold>")


def put(s3: Client, path: str, body: bytes = b"x", **headers: str) -> str:
    """Store an object and return its version id."""
    answer = s3.put(path, body, Content_MD5=md5_of(body), **headers)
    assert answer.status == 200, answer.body
    return answer.headers["x-amz-version-id"]


def told(operation: str, answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return {k: v for k, v in parsed(operation, answer).items() if k != "ResponseMetadata"}


def retention_of(s3: Client, path: str, version: str = "") -> dict[str, Any]:
    query = "retention" + (f"&versionId={version}" if version else "")
    found: dict[str, Any] = told("GetObjectRetention", s3.get(path, query))["Retention"]
    return found


@pytest.fixture
def locked(s3: Client) -> str:
    """The path of a bucket with Object Lock."""
    path = f"/{fresh_name('locked')}"
    assert s3.put(path, x_amz_bucket_object_lock_enabled="true").status == 200
    return path


class Clock:
    """The store's clock, which a test may move."""

    def __init__(self, app: S3App) -> None:
        self.real = app.store._backing.clock
        self.moved = 0.0

    def __call__(self) -> float:
        return self.real() + self.moved


@pytest.fixture
def clock(app: S3App, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(app)
    monkeypatch.setattr(app.store._backing, "clock", made)
    return made


# -- a bucket's configuration


def test_a_bucket_is_made_with_object_lock(s3: Client, locked: str, bucket: str) -> None:
    found = told("GetObjectLockConfiguration", s3.get(locked, "object-lock"))
    assert found == {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    assert s3.get(locked, "versioning").text("Status") == "Enabled"
    missing = s3.get(bucket, "object-lock")
    assert (missing.status, missing.code) == (404, "ObjectLockConfigurationNotFoundError")
    assert missing.text("BucketName") == bucket[1:]
    assert s3.put(f"/{fresh_name()}", x_amz_bucket_object_lock_enabled="false").status == 200
    refused = s3.put(f"/{fresh_name()}", x_amz_bucket_object_lock_enabled="maybe")
    assert refused.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        ("<Mode>GOVERNANCE</Mode><Days>1</Days>", {"Mode": "GOVERNANCE", "Days": 1}),
        ("<Mode>COMPLIANCE</Mode><Years>100</Years>", {"Mode": "COMPLIANCE", "Years": 100}),
        (
            "<Mode>COMPLIANCE</Mode><DefaultEventHold><Days>7</Days></DefaultEventHold>",
            {"Mode": "COMPLIANCE", "DefaultEventHold": {"Days": 7}},
        ),
        (
            "<Days>36500</Days><DefaultEventHold><Years>3</Years></DefaultEventHold>"
            "<Mode>GOVERNANCE</Mode>",
            {"Mode": "GOVERNANCE", "Days": 36500, "DefaultEventHold": {"Years": 3}},
        ),
    ],
)
def test_a_rule_is_told_as_it_was_put(
    s3: Client, locked: str, inner: str, found: dict[str, Any]
) -> None:
    answer = configure(s3, locked, rule(inner))
    assert (answer.status, answer.body) == (200, b"")
    told_now = told("GetObjectLockConfiguration", s3.get(locked, "object-lock"))
    assert told_now["ObjectLockConfiguration"]["Rule"] == {"DefaultRetention": found}
    assert configure(s3, locked).status == 200
    told_now = told("GetObjectLockConfiguration", s3.get(locked, "object-lock"))
    assert told_now == {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "MalformedXML"),
        ("<ObjectLockConfiguration>", "MalformedXML"),
        ("<ObjectLockConfiguration/>", "MalformedXML"),
        ("<Other><ObjectLockEnabled>Enabled</ObjectLockEnabled></Other>", "MalformedXML"),
        *(
            (
                f"<ObjectLockConfiguration><ObjectLockEnabled>{enabled}</ObjectLockEnabled>{inner}"
                "</ObjectLockConfiguration>",
                code,
            )
            for enabled, inner, code in (
                ("Disabled", "", "MalformedXML"),
                ("enabled", "", "MalformedXML"),
                ("Enabled", "<Rule/>", "MalformedXML"),
                ("Enabled", rule(""), "MalformedXML"),
                ("Enabled", rule("<Mode>GOVERNANCE</Mode>"), "MalformedXML"),
                ("Enabled", rule("<Days>1</Days>"), "MalformedXML"),
                ("Enabled", rule("<Mode>governance</Mode><Days>1</Days>"), "MalformedXML"),
                (
                    "Enabled",
                    rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"),
                    "MalformedXML",
                ),
                (
                    "Enabled",
                    rule("<Mode>GOVERNANCE</Mode><DefaultEventHold/>"),
                    "MalformedXML",
                ),
                ("Enabled", rule("<Mode>GOVERNANCE</Mode><Days>x</Days>"), "MalformedXML"),
                ("Enabled", rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"), "InvalidArgument"),
                ("Enabled", rule("<Mode>GOVERNANCE</Mode><Years>-1</Years>"), "InvalidArgument"),
                ("Enabled", rule("<Mode>GOVERNANCE</Mode><Days>36501</Days>"), "InvalidArgument"),
                (
                    "Enabled",
                    rule(
                        "<Mode>GOVERNANCE</Mode><DefaultEventHold><Years>101</Years>"
                        "</DefaultEventHold>"
                    ),
                    "InvalidArgument",
                ),
            )
        ),
    ],
)
def test_what_is_no_configuration_changes_nothing(
    s3: Client, locked: str, document: str, code: str
) -> None:
    before = s3.get(locked, "object-lock").body
    answer = send(s3, locked, "object-lock", document)
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(locked, "object-lock").body == before


def test_documents_without_a_checksum_are_refused(s3: Client, locked: str) -> None:
    put(s3, f"{locked}/k")
    for path, query in ((locked, "object-lock"), (f"{locked}/k", "retention"),
                        (f"{locked}/k", "legal-hold")):  # fmt: skip
        answer = s3.put(path, b"<x/>", query)
        assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_an_existing_bucket_needs_versioning_and_then_keeps_it(s3: Client, bucket: str) -> None:
    put_versioning = "<VersioningConfiguration><Status>{}</Status></VersioningConfiguration>"
    for status in ("", "Suspended"):
        if status:
            s3.put(bucket, put_versioning.format(status).encode(), "versioning")
        answer = configure(s3, bucket)
        assert (answer.status, answer.code) == (409, "InvalidBucketState")
        assert s3.get(bucket, "object-lock").status == 404
    s3.put(bucket, put_versioning.format("Enabled").encode(), "versioning")
    assert configure(s3, bucket).status == 200
    assert s3.get(bucket, "object-lock").status == 200
    refused = s3.put(bucket, put_versioning.format("Suspended").encode(), "versioning")
    assert (refused.status, refused.code) == (409, "InvalidBucketState")
    assert s3.put(bucket, put_versioning.format("Enabled").encode(), "versioning").status == 200
    assert s3.get(bucket, "versioning").text("Status") == "Enabled"


def test_the_version_before_object_lock_can_be_locked_too(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"null")
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3.put(bucket, body, "versioning")
    configure(s3, bucket)
    assert retain(s3, f"{bucket}/k", "COMPLIANCE", LATER, "null").status == 200
    assert s3.delete(f"{bucket}/k", "versionId=null").code == "AccessDenied"
    put(s3, f"{bucket}/k", b"new")
    assert s3.get(f"{bucket}/k", "versionId=null").body == b"null"


# -- retention


def test_a_retention_is_told_as_it_was_put(s3: Client, locked: str) -> None:
    path = f"{locked}/k"
    first, second = put(s3, path), put(s3, path)
    never = s3.get(path, "retention")
    assert (never.status, never.code) == (404, "NoSuchObjectLockConfiguration")
    answer = retain(s3, path, "GOVERNANCE", LATER, first)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-amz-version-id"] == first
    assert retain(s3, path, "COMPLIANCE", LATEST).status == 200
    assert retention_of(s3, path, first) == {"Mode": "GOVERNANCE", "RetainUntilDate": LATER}
    assert retention_of(s3, path, second) == {"Mode": "COMPLIANCE", "RetainUntilDate": LATEST}
    for method in ("GET", "HEAD"):
        operation = f"{method.capitalize()}Object"
        found = parsed(operation, s3.request(method, path, f"versionId={first}"))
        assert found["ObjectLockMode"] == "GOVERNANCE"
        assert found["ObjectLockRetainUntilDate"] == LATER
        assert "ObjectLockLegalHoldStatus" not in found
        assert "ObjectLockEventHold" not in found


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "MalformedXML"),
        ("<Other/>", "MalformedXML"),
        ("<Retention><Mode>GOVERNANCE</Mode></Retention>", "MalformedXML"),
        (
            "<Retention><RetainUntilDate>2040-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "MalformedXML",
        ),
        *(
            (f"<Retention><Mode>{mode}</Mode>{inner}</Retention>", code)
            for mode, inner, code in (
                ("governance", f"<RetainUntilDate>{text_of(LATER)}</RetainUntilDate>",
                 "MalformedXML"),
                ("GOVERNANCE", "<RetainUntilDate>soon</RetainUntilDate>", "MalformedXML"),
                ("GOVERNANCE", "<RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate>",
                 "InvalidArgument"),
                ("GOVERNANCE", "<EventHold>ON</EventHold>", "InvalidRequest"),
                ("GOVERNANCE", "<EventHold>on</EventHold>", "MalformedXML"),
                ("GOVERNANCE", "<EventHold>OFF</EventHold>", "InvalidRequest"),
                ("GOVERNANCE", "<EventHold>ON</EventHold><EventHoldDuration/>", "MalformedXML"),
                ("GOVERNANCE", "<EventHold>ON</EventHold><EventHoldDuration><Days>1</Days>"
                 "<Years>1</Years></EventHoldDuration>", "MalformedXML"),
                ("GOVERNANCE", "<EventHold>ON</EventHold><EventHoldDuration><Days>0</Days>"
                 "</EventHoldDuration>", "InvalidArgument"),
                ("GOVERNANCE", "<EventHold>OFF</EventHold><EventHoldDuration><Days>1</Days>"
                 "</EventHoldDuration>", "InvalidRequest"),
                ("GOVERNANCE", "<RetainUntilDate>2040-01-01T00:00:00Z</RetainUntilDate>"
                 "<EventHoldDuration><Days>1</Days></EventHoldDuration>", "InvalidRequest"),
            )
        ),
    ],
)  # fmt: skip
def test_what_is_no_retention_changes_nothing(
    s3: Client, locked: str, document: str, code: str
) -> None:
    path = f"{locked}/k"
    put(s3, path)
    answer = send(s3, path, "retention", document)
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(path, "retention").code == "NoSuchObjectLockConfiguration"


def test_compliance_is_never_shortened_and_governance_by_bypassing_it(
    s3: Client, locked: str
) -> None:
    for mode, other in (("GOVERNANCE", "COMPLIANCE"), ("COMPLIANCE", "GOVERNANCE")):
        path = f"{locked}/{mode}"
        version = put(s3, path)
        assert retain(s3, path, mode, LATEST).status == 200
        for again in (
            retain(s3, path, mode, LATER),
            retain(s3, path, other, LATEST),
            send(s3, path, "retention", "<Retention/>"),
        ):
            assert (again.status, again.code) == (403, "AccessDenied")
            assert again.text("Message") == PROTECTED
        bypass = {"x_amz_bypass_governance_retention": "true"}
        shorter = retain(s3, path, mode, LATER, **bypass)
        ended = send(s3, path, "retention", "<Retention/>", **bypass)
        removed = s3.delete(path, f"versionId={version}", **bypass)
        if mode == "GOVERNANCE":
            assert (shorter.status, ended.status, removed.status) == (200, 200, 204)
            assert s3.get(path, f"versionId={version}").code == "NoSuchVersion"
        else:
            assert (shorter.code, ended.code, removed.code) == ("AccessDenied",) * 3
            assert retention_of(s3, path) == {"Mode": mode, "RetainUntilDate": LATEST}


def test_a_locked_version_is_removed_once_its_time_is_over(
    s3: Client, locked: str, clock: Clock
) -> None:
    path = f"{locked}/k"
    version = put(s3, path, b"data")
    hour = datetime.fromtimestamp(int(clock()) + 3600, UTC)
    assert retain(s3, path, "COMPLIANCE", hour).status == 200
    clock.moved = 3590
    assert s3.delete(path, f"versionId={version}").code == "AccessDenied"
    # Set back, it locks all the longer.
    clock.moved = -365 * DAY
    assert s3.delete(path, f"versionId={version}").code == "AccessDenied"
    assert retain(s3, path, "COMPLIANCE", hour).status == 200
    clock.moved = 3601
    assert retention_of(s3, path) == {"Mode": "COMPLIANCE", "RetainUntilDate": hour}
    assert s3.delete(path, f"versionId={version}").status == 204
    assert s3.get(path).code == "NoSuchKey"


def test_to_hide_a_locked_version_is_allowed(s3: Client, locked: str) -> None:
    path = f"{locked}/k"
    version = put(s3, path, b"data")
    retain(s3, path, "COMPLIANCE", LATER)
    marker = s3.delete(path)
    assert marker.status == 204
    assert s3.get(path).status == 404
    for query in ("retention", "legal-hold"):
        refused = s3.get(path, f"{query}&versionId={marker.headers['x-amz-version-id']}")
        assert (refused.status, refused.code) == (405, "MethodNotAllowed")
        assert s3.get(path, query).code == "NoSuchKey"
    refused = hold(s3, path, "ON", marker.headers["x-amz-version-id"])
    assert (refused.status, refused.code) == (405, "MethodNotAllowed")
    put(s3, path, b"over it")
    assert s3.get(path, f"versionId={version}").body == b"data"
    # Markers are nobody's to keep.
    assert s3.delete(path, f"versionId={marker.headers['x-amz-version-id']}").status == 204


def test_several_are_removed_but_for_the_locked_ones(s3: Client, locked: str) -> None:
    versions = {name: put(s3, f"{locked}/{name}") for name in ("free", "kept", "held", "gone")}
    retain(s3, f"{locked}/kept", "COMPLIANCE", LATER)
    retain(s3, f"{locked}/gone", "GOVERNANCE", LATER)
    hold(s3, f"{locked}/held", "ON")
    listed = "".join(
        f"<Object><Key>{name}</Key><VersionId>{version}</VersionId></Object>"
        for name, version in versions.items()
    )
    body = f"<Delete>{listed}</Delete>".encode()
    headers = {"Content_MD5": md5_of(body)}
    for bypass, kept in ((None, ["kept", "held", "gone"]), ("true", ["kept", "held"])):
        if bypass:
            headers["x_amz_bypass_governance_retention"] = bypass
        found = told("DeleteObjects", s3.post(locked, body, "delete", **headers))
        assert sorted(entry["Key"] for entry in found["Errors"]) == sorted(kept)
        for entry in found["Errors"]:
            assert (entry["Code"], entry["Message"]) == ("AccessDenied", PROTECTED)
            assert entry["VersionId"] == versions[entry["Key"]]
    assert s3.delete(locked).code == "BucketNotEmpty"


# -- legal holds


def test_a_legal_hold_is_placed_and_released(s3: Client, locked: str) -> None:
    path = f"{locked}/k"
    version = put(s3, path)
    never = s3.get(path, "legal-hold")
    assert (never.status, never.code) == (404, "NoSuchObjectLockConfiguration")
    for status in ("ON", "OFF", "ON"):
        answer = hold(s3, path, status)
        assert (answer.status, answer.body) == (200, b"")
        assert told("GetObjectLegalHold", s3.get(path, "legal-hold")) == {
            "LegalHold": {"Status": status}
        }
        found = parsed("HeadObject", s3.head(path))
        assert found["ObjectLockLegalHoldStatus"] == status
        assert "ObjectLockMode" not in found
    bypass = {"x_amz_bypass_governance_retention": "true"}
    refused = s3.delete(path, f"versionId={version}", **bypass)
    assert (refused.status, refused.code, refused.text("Message")) == (
        403,
        "AccessDenied",
        PROTECTED,
    )
    # Neither knows of the other.
    assert retain(s3, path, "GOVERNANCE", LATER).status == 200
    assert s3.head(path).headers["x-amz-object-lock-legal-hold"] == "ON"
    assert send(s3, path, "retention", "<Retention/>", **bypass).status == 200
    assert s3.delete(path, f"versionId={version}").code == "AccessDenied"
    assert hold(s3, path, "OFF").status == 200
    assert s3.delete(path, f"versionId={version}").status == 204


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<LegalHold/>",
        "<LegalHold><Status>abc</Status></LegalHold>",
        "<LegalHold><Status>on</Status></LegalHold>",
        "<Other><Status>ON</Status></Other>",
    ],
)
def test_what_is_no_legal_hold_changes_nothing(s3: Client, locked: str, document: str) -> None:
    put(s3, f"{locked}/k")
    answer = send(s3, f"{locked}/k", "legal-hold", document)
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(f"{locked}/k", "legal-hold").code == "NoSuchObjectLockConfiguration"


def test_the_annotations_of_a_locked_version_stay(s3: Client, locked: str) -> None:
    path = f"{locked}/k"
    put(s3, path)
    note = "annotation&annotationName={}"
    assert s3.put(path, b"before", note.format("a")).status == 200
    hold(s3, path, "ON")
    # To add one takes nothing away.
    assert s3.put(path, b"new", note.format("b")).status == 200
    for answer in (
        s3.put(path, b"after", note.format("a")),
        s3.delete(path, note.format("a")),
    ):
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert answer.text("Message") == PROTECTED
    assert s3.get(path, note.format("a")).body == b"before"
    hold(s3, path, "OFF")
    assert s3.delete(path, note.format("a")).status == 204


# -- event holds


def test_an_event_hold_begins_its_retention_when_it_is_released(
    s3: Client, locked: str, clock: Clock
) -> None:
    path = f"{locked}/contract"
    version = put(s3, path)
    on = "<EventHold>ON</EventHold><EventHoldDuration><Years>5</Years></EventHoldDuration>"
    off = "<EventHold>OFF</EventHold>"
    assert retain(s3, path, "COMPLIANCE", None, more=on).status == 200
    clock.moved = 1000 * DAY
    now = datetime.fromtimestamp(clock(), UTC)
    found = retention_of(s3, path)
    assert found["EventHold"] == "ON"
    assert found["EventHoldDuration"] == {"Years": 5}
    assert abs((found["RetainUntilDate"] - now).total_seconds() - 5 * 365 * DAY) < 60
    head = parsed("HeadObject", s3.head(path))
    assert (head["ObjectLockEventHold"], head["ObjectLockEventHoldDurationYears"]) == ("ON", 5)
    assert "ObjectLockEventHoldDurationDays" not in head
    clock.moved = 30_000 * DAY
    assert s3.delete(path, f"versionId={version}").code == "AccessDenied"
    assert retain(s3, path, "COMPLIANCE", None, more=off).status == 200
    found = retention_of(s3, path)
    assert (found["Mode"], found["EventHold"]) == ("COMPLIANCE", "OFF")
    assert "EventHoldDuration" not in found
    head = parsed("HeadObject", s3.head(path))
    assert head["ObjectLockEventHold"] == "OFF"
    clock.moved += 5 * 365 * DAY - 60
    assert s3.delete(path, f"versionId={version}").code == "AccessDenied"
    clock.moved += 120
    assert s3.delete(path, f"versionId={version}").status == 204


# -- locks that come with the object


def test_a_lock_comes_with_the_object(app: S3App, mount: str, s3: Client, locked: str) -> None:
    boto = boto_client(app, mount=mount)
    lock = {
        "ObjectLockMode": "GOVERNANCE",
        "ObjectLockRetainUntilDate": LATER,
        "ObjectLockLegalHoldStatus": "ON",
        "ObjectLockEventHold": "ON",
        "ObjectLockEventHoldDurationDays": 30,
    }
    name = locked[1:]
    boto.put_object(Bucket=name, Key="put", Body=b"x", **lock)
    source = {"Bucket": name, "Key": "put"}
    boto.copy_object(Bucket=name, Key="copied", CopySource=source, **lock)
    upload = boto.create_multipart_upload(Bucket=name, Key="parts", **lock)["UploadId"]
    named = {"Bucket": name, "Key": "parts", "UploadId": upload}
    etag = boto.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    boto.complete_multipart_upload(**named, MultipartUpload=parts)
    fields = {
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": text_of(LATER),
        "x-amz-object-lock-legal-hold": "ON",
        "x-amz-object-lock-event-hold": "ON",
        "x-amz-object-lock-event-hold-duration-days": "30",
    }
    forms = Forms(app, mount, locked)
    conditions = [{key: value} for key, value in fields.items()]
    assert forms.post(fields, conditions, key="posted").status == 204
    for key in ("put", "copied", "parts", "posted"):
        head = boto.head_object(Bucket=name, Key=key)
        assert {each: head[each] for each in lock} == lock, key
        answer = s3.delete(f"{locked}/{key}", f"versionId={head['VersionId']}")
        assert answer.code == "AccessDenied"
    # A copy brings no lock along.
    boto.copy_object(Bucket=name, Key="free", CopySource=source)
    assert not [each for each in boto.head_object(Bucket=name, Key="free") if "Lock" in each]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, "InvalidArgument"),
        ({"x-amz-object-lock-retain-until-date": text_of(LATER)}, "InvalidArgument"),
        ({"x-amz-object-lock-legal-hold": "wrong"}, "InvalidArgument"),
    ],
)
def test_a_wrong_lock_stores_nothing(
    s3: Client, locked: str, headers: dict[str, str], code: str
) -> None:
    put(s3, f"{locked}/source")
    copy = {"x-amz-copy-source": f"{locked}/source"}
    path = f"{locked}/k"
    checksum = {"Content-MD5": md5_of(b"x")}
    for answer in (
        s3.request("PUT", path, "", {**headers, **checksum}, b"x"),
        s3.request("PUT", path, "", {**headers, **copy}),
        s3.request("POST", path, "uploads", headers),
    ):
        assert (answer.status, answer.code) == (400, code)
    assert s3.head(path).status == 404
    assert s3.get(locked, "uploads").texts("Upload/Key") == []


def test_a_bucket_without_object_lock_takes_none(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    s3.put(path, b"x")
    s3.put(f"{bucket}/other", b"x", Content_MD5=md5_of(b"x"))
    lock = {"x_amz_object_lock_legal_hold": "ON"}
    for answer in (
        retain(s3, path, "GOVERNANCE", LATER),
        hold(s3, path, "ON"),
        s3.get(path, "retention"),
        s3.get(path, "legal-hold"),
        s3.put(path, b"y", Content_MD5=md5_of(b"y"), **lock),
        s3.put(path, x_amz_copy_source=f"{bucket}/other", **lock),
        s3.post(path, b"", "uploads", **lock),
    ):
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert answer.text("Message") == NOT_LOCKABLE
    assert s3.get(path).body == b"x"
    for value in ("true", "false"):
        refused = s3.delete(path, x_amz_bypass_governance_retention=value)
        assert (refused.status, refused.code) == (400, "InvalidArgument")
    assert s3.delete(path, x_amz_bypass_governance_retention="maybe").code == "InvalidArgument"
    # Clean-up code sends it to any bucket.
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    headers = {"Content_MD5": md5_of(body), "x_amz_bypass_governance_retention": "true"}
    assert s3.post(bucket, body, "delete", **headers).texts("Deleted/Key") == ["k"]


def test_what_is_locked_needs_a_checksum(s3: Client, locked: str) -> None:
    path = f"{locked}/k"
    refused = s3.put(path, b"x", x_amz_object_lock_legal_hold="ON")
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    assert "Content-MD5 OR x-amz-checksum-" in (refused.text("Message") or "")
    assert s3.put(path, b"x").status == 200
    configure(s3, locked, rule("<Mode>GOVERNANCE</Mode><Days>1</Days>"))
    assert s3.put(path, b"x").code == "InvalidRequest"
    assert s3.put(path, b"x", Content_MD5=md5_of(b"x")).status == 200
    crc = base64.b64encode(b"\x8c\xdc\x16\x83").decode()
    assert s3.put(path, b"x", x_amz_checksum_crc32=crc).status == 200


# -- default retention


def test_new_objects_get_the_rule_of_the_bucket(
    app: S3App, mount: str, s3: Client, locked: str, clock: Clock
) -> None:
    boto = boto_client(app, mount=mount)
    name = locked[1:]
    # An object's time and its lock's are two looks at the clock.
    moment = clock()
    clock.real = lambda: moment
    boto.put_object(Bucket=name, Key="before", Body=b"x")
    event_hold = "<DefaultEventHold><Days>2</Days></DefaultEventHold>"
    configure(s3, locked, rule(f"<Mode>COMPLIANCE</Mode><Days>10</Days>{event_hold}"))
    boto.put_object(Bucket=name, Key="put", Body=b"x")
    boto.copy_object(Bucket=name, Key="copied", CopySource=f"{name}/before")
    upload = boto.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    named = {"Bucket": name, "Key": "parts", "UploadId": upload}
    etag = boto.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    boto.complete_multipart_upload(**named, MultipartUpload=parts)
    Forms(app, mount, locked).post(key="posted")
    app.client("owner-id").put(name, "python", b"x")
    boto.put_object(Bucket=name, Key="held", Body=b"x", ObjectLockLegalHoldStatus="ON")
    for key in ("put", "copied", "parts", "posted", "python", "held"):
        head = boto.head_object(Bucket=name, Key=key)
        assert head["ObjectLockMode"] == "COMPLIANCE"
        assert head["ObjectLockEventHoldDurationDays"] == 2
        length = head["ObjectLockRetainUntilDate"] - head["LastModified"]
        assert 0 <= length.total_seconds() - 10 * DAY < 1
        assert s3.delete(f"{locked}/{key}", f"versionId={head['VersionId']}").status == 403
    own = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER}
    boto.put_object(Bucket=name, Key="own", Body=b"x", **own)
    head = boto.head_object(Bucket=name, Key="own")
    assert {each: head[each] for each in own} == own
    assert "ObjectLockEventHold" not in head
    assert "ObjectLockMode" not in boto.head_object(Bucket=name, Key="before")
    marker = s3.delete(f"{locked}/put").headers["x-amz-version-id"]
    assert s3.delete(f"{locked}/put", f"versionId={marker}").status == 204
    # A clock that was set back shortens nothing of what comes over an older version.
    before = boto.head_object(Bucket=name, Key="put")["ObjectLockRetainUntilDate"]
    clock.moved = -300 * DAY
    boto.put_object(Bucket=name, Key="put", Body=b"y")
    assert boto.head_object(Bucket=name, Key="put")["ObjectLockRetainUntilDate"] >= before


# -- who may


def test_locks_are_the_bucket_owners(
    s3: Client, other: Client, anonymous: Client, locked: str
) -> None:
    path = f"{locked}/k"
    s3.put(locked, b"", "acl", x_amz_acl="public-read-write")
    version = put(s3, path, b"x", x_amz_acl="public-read")
    retain(s3, path, "GOVERNANCE", LATER)
    hold(s3, path, "ON")
    for client in (other, anonymous):
        for query in ("retention", "legal-hold"):
            assert client.get(path, query).code == "AccessDenied"
        assert client.get(locked, "object-lock").code == "AccessDenied"
        assert configure(client, locked).code == "AccessDenied"
        assert retain(client, path, "GOVERNANCE", LATEST).code == "AccessDenied"
        assert hold(client, path, "OFF").code == "AccessDenied"
        # Who may read the object need not know of its locks.
        head = client.head(path)
        assert head.status == 200
        assert not [name for name in head.headers if "lock" in name]
        bypass = {"x_amz_bypass_governance_retention": "true"}
        assert client.delete(path, f"versionId={version}", **bypass).code == "AccessDenied"
    lock = {"x_amz_object_lock_legal_hold": "ON", "Content_MD5": md5_of(b"x")}
    assert other.put(f"{locked}/theirs", b"x", **lock).code == "AccessDenied"
    refused = anonymous.put(f"{locked}/theirs", b"x", **lock)
    assert (refused.status, refused.code) == (400, "InvalidArgument")
    lock = {
        "x_amz_object_lock_mode": "GOVERNANCE",
        "x_amz_object_lock_retain_until_date": text_of(LATER),
        "Content_MD5": md5_of(b"x"),
    }
    assert other.put(f"{locked}/theirs", b"x", **lock).code == "AccessDenied"
    assert s3.head(f"{locked}/theirs").status == 404


def test_the_client_in_this_process_locks_and_meets_locks(app: S3App, s3: Client) -> None:
    from s3kit.errors import AccessDenied

    client = app.client("owner-id")
    bucket = fresh_name("python")
    client.create_bucket(bucket, object_lock=True)
    info = client.put(
        bucket, "k", b"x", lock_mode="GOVERNANCE", retain_until=LATER, legal_hold=True
    )
    lock = client.lock(bucket, "k")
    assert (lock.mode, lock.until, lock.legal_hold) == ("GOVERNANCE", LATER, True)
    client.set_legal_hold(bucket, "k", False, version_id=info.version_id)
    with pytest.raises(AccessDenied):
        client.delete(bucket, "k", version_id=info.version_id)
    with pytest.raises(AccessDenied):
        client.set_retention(bucket, "k")
    client.set_retention(bucket, "k", "GOVERNANCE", LATEST)
    assert client.lock(bucket, "k").until == LATEST
    client.set_retention(bucket, "k", bypass_governance=True)
    assert client.lock(bucket, "k").mode == ""
    client.set_retention(bucket, "k", "GOVERNANCE", LATER)
    client.delete(bucket, "k", version_id=info.version_id, bypass_governance=True)
    assert not client.exists(bucket, "k")


# -- who is told


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, str | None]]]:
    events: list[tuple[str, str, str | None]] = []

    def hear(bucket: str, event: Event) -> None:
        events.append((event.name, event.key, event.version_id))

    for signal in (object_retention_changed, object_legal_hold_changed):
        signal.connect(hear)
    yield events
    for signal in (object_retention_changed, object_legal_hold_changed):
        signal.disconnect(hear)


def test_receivers_hear_of_locks_that_were_set(
    s3: Client, locked: str, heard: list[tuple[str, str, str | None]]
) -> None:
    version = put(s3, f"{locked}/k")
    retain(s3, f"{locked}/k", "GOVERNANCE", LATER)
    retain(s3, f"{locked}/k", "COMPLIANCE", LATER)
    hold(s3, f"{locked}/k", "OFF")
    assert heard == [
        ("s3:ObjectRetention:Put", "k", version),
        ("s3:ObjectLegalHold:Put", "k", version),
    ]
