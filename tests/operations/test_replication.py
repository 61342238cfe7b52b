"""Replication: the document, and what comes to lie in the buckets that rules name."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from s3kit import signals
from s3kit.app import S3App
from s3kit.errors import NoSuchVersion
from s3kit.index import buckets as bucket_rows
from s3kit.index import objects as object_rows
from s3kit.index import outbox as rows
from s3kit.model import ObjectLock
from s3kit.model import Setting
from s3kit.model import Versioning
from s3kit.store import FROM_PYTHON
from s3kit.store.events import read_delivery
from s3kit.store.relay import Outcome
from s3kit.store.replication import TARGET
from s3kit.store.replication import settled
from s3kit.store.replication import shown
from s3kit.store.retention import DefaultRetention
from s3kit.wire.headers import iso8601
from s3kit.wire.locks import read_instant
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed
from tests.endpoint import service_model

ROLE = "arn:aws:iam::123456789012:role/replication"
VERSIONING = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def arn(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket.lstrip('/')}"


def rule(
    target: str,
    *,
    head: str = "",
    condition: str = "<Filter/>",
    markers: str = "Disabled",
    priority: int = 1,
    destination: str = "",
    tail: str = "",
) -> str:
    return (
        f"<Rule>{head}<Priority>{priority}</Priority>{condition}<Status>Enabled</Status>"
        f"<DeleteMarkerReplication><Status>{markers}</Status></DeleteMarkerReplication>"
        f"<Destination><Bucket>{arn(target)}</Bucket>{destination}</Destination>{tail}</Rule>"
    )


def document(*rules: str) -> bytes:
    inner = "".join(rules)
    root = "ReplicationConfiguration"
    return f"<{root}><Role>{ROLE}</Role>{inner}</{root}>".encode()


def put_rules(client: Client, bucket: str, body: bytes) -> Any:
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return client.put(bucket, body, "replication", Content_MD5=digest)


def versioned(client: Client, stem: str = "replicas") -> str:
    path = f"/{fresh_name(stem)}"
    assert client.put(path).status == 200
    assert client.put(path, VERSIONING, "versioning").status == 200
    return path


@pytest.fixture(scope="session")
def mount() -> str:
    """Under a prefix only: what is copied is no matter of addresses."""
    return "/files/s3"


@dataclass
class Pair:
    """Two buckets with versions, and one rule from the first to the second."""

    app: S3App
    s3: Client
    source: str
    target: str

    def rules(self, *rules: str) -> None:
        assert put_rules(self.s3, self.source, document(*rules)).status == 200

    def deliver(self) -> Outcome:
        return self.app.store.outbox.deliver()

    def status(self, key: str, version: str = "", *, at: str = "") -> str | None:
        answer = self.s3.head(f"{at or self.source}/{key}", version and f"versionId={version}")
        return answer.headers.get("x-amz-replication-status")

    def versions(self, bucket: str) -> list[str]:
        return self.s3.get(bucket, "versions").texts("*/VersionId")


@pytest.fixture(scope="module", params=["memory", "file"])
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3App]:
    """One app per kind of storage, which delivers when a test says so."""
    made = make_app(request.param, tmp_path_factory.mktemp("replicating"))
    made.store.outbox.enabled = False
    yield made
    made.close()


@pytest.fixture(params=["replicas", "far"])
def pair(app: S3App, s3: Client, request: pytest.FixtureRequest) -> Pair:
    """On one storage, and on two."""
    pair = Pair(app, s3, versioned(s3, "source"), versioned(s3, request.param))
    app.store.outbox.deliver()
    pair.rules(rule(pair.target))
    return pair


# -- the document


def test_the_documents_words_are_the_models() -> None:
    shape = service_model().operation_model("PutBucketReplication").input_shape
    members = shape.members["ReplicationConfiguration"].members["Rules"].member.members
    assert set(members) == {
        "ID", "Priority", "Prefix", "Filter", "Status", "SourceSelectionCriteria",
        "ExistingObjectReplication", "Destination", "DeleteMarkerReplication",
    }  # fmt: skip
    assert set(members["Destination"].members) == {
        "Bucket", "Account", "StorageClass", "AccessControlTranslation",
        "EncryptionConfiguration", "ReplicationTime", "Metrics",
    }  # fmt: skip


def test_an_sdk_sets_reads_and_removes_all_of_it(app: S3App, mount: str, s3: Client) -> None:
    source, target = versioned(s3, "source"), versioned(s3)
    boto = boto_client(app, mount=mount)
    name = source[1:]
    with pytest.raises(boto.exceptions.ClientError) as caught:
        boto.get_bucket_replication(Bucket=name)
    assert caught.value.response["Error"]["Code"] == "ReplicationConfigurationNotFoundError"
    filters: list[dict[str, Any]] = [
        {"Prefix": "a/"},
        {"Tag": {"Key": "k", "Value": "v"}},
        {"And": {"Prefix": "b/", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}]}},
    ]
    wanted: dict[str, Any] = {
        "Role": ROLE,
        "Rules": [
            {
                "ID": f"rule-{number}",
                "Priority": number,
                "Filter": each,
                "Status": "Enabled",
                "SourceSelectionCriteria": {
                    "SseKmsEncryptedObjects": {"Status": "Enabled"},
                    "ReplicaModifications": {"Status": "Enabled"},
                },
                "ExistingObjectReplication": {"Status": "Disabled"},
                "Destination": {
                    "Bucket": arn(target),
                    "Account": OWNER_ID,
                    "StorageClass": "STANDARD_IA",
                    "AccessControlTranslation": {"Owner": "Destination"},
                    "EncryptionConfiguration": {"ReplicaKmsKeyID": "key"},
                    "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                    "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
                },
                "DeleteMarkerReplication": {"Status": "Disabled"},
            }
            for number, each in enumerate(filters)
        ],
    }
    boto.put_bucket_replication(Bucket=name, ReplicationConfiguration=wanted)
    assert boto.get_bucket_replication(Bucket=name)["ReplicationConfiguration"] == wanted
    parsed("GetBucketReplication", s3.get(source, "replication"))
    assert app.store.buckets.get(name, fresh=True).present & Setting.REPLICATION
    first: dict[str, Any] = {
        "Role": ROLE,
        "Rules": [{"Prefix": "", "Status": "Disabled", "Destination": {"Bucket": arn(target)}}],
    }
    boto.put_bucket_replication(Bucket=name, ReplicationConfiguration=first)
    (found,) = boto.get_bucket_replication(Bucket=name)["ReplicationConfiguration"]["Rules"]
    assert len(found.pop("ID")) == 32
    assert found == first["Rules"][0]
    boto.delete_bucket_replication(Bucket=name)
    assert s3.get(source, "replication").code == "ReplicationConfigurationNotFoundError"
    assert s3.delete(source, "replication").status == 204


def test_a_malformed_document_changes_nothing(pair: Pair) -> None:
    s3, source, target = pair.s3, pair.source, pair.target
    before = s3.get(source, "replication").body
    tag = "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"
    plain = s3.put(f"/{fresh_name('plain')}")
    assert plain.status == 200
    unversioned = plain.headers["location"]
    kms = "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status>" \
          "</SseKmsEncryptedObjects></SourceSelectionCriteria>"  # fmt: skip
    timed = "<ReplicationTime><Status>Enabled</Status><Time><Minutes>{}</Minutes></Time>" \
            "</ReplicationTime>"  # fmt: skip
    metrics = "<Metrics><Status>Enabled</Status></Metrics>"
    first = f"<Rule><Prefix>{{}}</Prefix>{{}}<Status>Enabled</Status><Destination><Bucket>" \
            f"{arn(target)}</Bucket></Destination></Rule>"  # fmt: skip
    ids = [rule(target, head="<ID>same</ID>", priority=number) for number in (1, 2)]
    for body, code, words in (
        (b"", "MalformedXML", ""),
        (b"<Other/>", "MalformedXML", ""),
        (document(), "MalformedXML", ""),
        (document(rule(target).replace("Enabled", "Perhaps", 1)), "MalformedXML", ""),
        (document(rule(target, condition="")), "MalformedXML", ""),
        (document(rule(target, condition="<Filter/><Prefix/>")), "MalformedXML", ""),
        (document(rule(target, condition="<Filter><And><Prefix/></And></Filter>")),
         "MalformedXML", ""),
        (document(rule(target, destination="<StorageClass>GOLD</StorageClass>")),
         "MalformedXML", ""),
        (document(rule(target).replace("<Priority>1</Priority>", "")),
         "InvalidRequest", "Priority must be specified"),
        (document(rule(target, priority=-1)), "InvalidArgument", "Priority"),
        (document(rule(target).replace("DeleteMarkerReplication", "Ignored")),
         "InvalidRequest", "DeleteMarkerReplication must be specified"),
        (document(rule(target, condition=tag, markers="Enabled")),
         "InvalidRequest", "Delete marker replication is not supported if any Tag"),
        (document(first.format("", "<Priority>1</Priority>")),
         "InvalidRequest", "Priority cannot be used"),
        (document(first.format("a", ""), first.format("ab", "")),
         "InvalidRequest", "overlapping prefixes 'a' and 'ab'"),
        (document(first.format("a", ""), rule(target)), "InvalidRequest", "same version"),
        (document(*ids), "InvalidArgument", "Rule Id must be unique"),
        (document(rule(target), rule(target)), "InvalidRequest", "different priorities"),
        (document(rule(target, head=f"<ID>{'i' * 256}</ID>")), "InvalidArgument", "255"),
        (document(rule(target).replace("arn:aws:s3:::", "")), "InvalidArgument", "Invalid bucket"),
        (document(rule(source)), "InvalidRequest", "cannot be the same as the source"),
        (document(rule("no-such-bucket")), "InvalidRequest", "Destination bucket must exist."),
        (document(rule(unversioned)),
         "InvalidRequest", "Destination bucket must have versioning enabled."),
        (document(rule(target, tail=kms)), "InvalidRequest", "ReplicaKmsKeyID"),
        (document(rule(target, destination="<EncryptionConfiguration><ReplicaKmsKeyID>k"
                                           "</ReplicaKmsKeyID></EncryptionConfiguration>")),
         "InvalidRequest", "SseKmsEncryptedObjects"),
        (document(rule(target, destination="<AccessControlTranslation><Owner>Destination</Owner>"
                                           "</AccessControlTranslation>")),
         "InvalidRequest", "Account"),
        (document(rule(target, destination=timed.format(15))), "InvalidRequest", "Metrics"),
        (document(rule(target, destination=timed.format(10) + metrics)),
         "InvalidArgument", "Minutes"),
    ):  # fmt: skip
        answer = put_rules(s3, source, body)
        assert (answer.status, answer.code) == (400, code), body
        assert words in (answer.text("Message") or ""), body
    assert s3.put(source, document(rule(target)), "replication").code == "InvalidRequest"
    assert s3.get(source, "replication").body == before
    answer = put_rules(s3, unversioned, document(rule(target)))
    assert (answer.code, answer.text("Message")) == (
        "InvalidRequest",
        "Versioning must be 'Enabled' on the bucket to apply a replication configuration",
    )


def test_others_may_not_see_or_set_it(pair: Pair, other: Client, anonymous: Client) -> None:
    pair.s3.put(pair.source, b"", "acl", x_amz_acl="public-read-write")
    for client in (other, anonymous):
        for answer in (
            client.get(pair.source, "replication"),
            put_rules(client, pair.source, document(rule(pair.target))),
            client.delete(pair.source, "replication"),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert pair.s3.get(pair.source, "replication").status == 200


def test_versioning_stays_on_while_there_are_rules(pair: Pair) -> None:
    body = VERSIONING.replace(b"Enabled", b"Suspended")
    answer = pair.s3.put(pair.source, body, "versioning")
    assert (answer.status, answer.code) == (409, "InvalidBucketState")
    assert pair.s3.delete(pair.source, "replication").status == 204
    assert pair.s3.put(pair.source, body, "versioning").status == 200


# -- copies


def test_a_replica_is_its_source_but_for_the_bucket(pair: Pair) -> None:
    s3 = pair.s3
    for key, data in (("small", b"1"), ("large", b"2" * 100_000)):
        answer = s3.put(
            f"{pair.source}/{key}",
            data,
            x_amz_meta_me="you",
            Content_Type="text/x",
            x_amz_tagging="a=b",
            x_amz_acl="public-read",
            x_amz_storage_class="STANDARD_IA",
        )
        version = answer.headers["x-amz-version-id"]
        assert pair.status(key) == "PENDING"
        assert s3.head(f"{pair.target}/{key}").status == 404
        assert pair.deliver().delivered == 1
        assert pair.status(key) == "COMPLETED"
        query = f"versionId={version}"
        mine, replica = (
            s3.get(f"{bucket}/{key}", query, x_amz_checksum_mode="ENABLED")
            for bucket in (pair.source, pair.target)
        )
        assert (replica.status, replica.body) == (200, data)
        different = {
            name
            for name in mine.headers.keys() | replica.headers.keys()
            if mine.headers.get(name) != replica.headers.get(name)
        }
        assert different == {"x-amz-request-id", "x-amz-replication-status"}
        assert replica.headers["x-amz-replication-status"] == "REPLICA"
        for what in ("acl", "tagging"):
            assert (
                s3.get(f"{pair.source}/{key}", what).body
                == s3.get(f"{pair.target}/{key}", what).body
            )
    # What was there before the rules, or in another bucket, is nobody's to copy.
    assert pair.deliver().delivered == 0
    assert len(pair.versions(pair.target)) == 2


def test_what_is_encrypted_is_copied_as_it_lies_there(pair: Pair) -> None:
    """Nobody needs the customer's key for it, and nobody learns it."""
    s3 = pair.s3
    key = b"a customer's own key of 32 bytes"
    name = "x-amz-server-side-encryption"
    own = {
        f"{name}-customer-algorithm": "AES256",
        f"{name}-customer-key": base64.b64encode(key).decode(),
        f"{name}-customer-key-MD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }
    for number, (headers, reading) in enumerate((({name: "AES256"}, {}), (own, own))):
        for size in (10, 200_000):
            where = f"k{number}-{size}"
            data = bytes([number]) * size
            put = s3.request("PUT", f"{pair.source}/{where}", "", headers, data)
            assert put.status == 200
            assert pair.deliver().delivered == 1
            assert (
                s3.request("HEAD", f"{pair.source}/{where}", "", reading).headers[
                    "x-amz-replication-status"
                ]
                == "COMPLETED"
            )
            replica = s3.request("GET", f"{pair.target}/{where}", "", reading)
            assert (replica.status, replica.body) == (200, data)
            assert replica.headers["etag"] == put.headers["etag"]
            if reading:
                assert s3.get(f"{pair.target}/{where}").status == 400


@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms"])
def test_what_is_not_encrypted_becomes_so_as_the_destinations_default_says(
    pair: Pair, algorithm: str
) -> None:
    """Parts stay parts and the ETag the source's: it is the same version."""
    s3 = pair.s3
    default = (
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
        f"<SSEAlgorithm>{algorithm}</SSEAlgorithm>"
        + ("<KMSMasterKeyID>first</KMSMasterKeyID>" if algorithm != "AES256" else "")
        + "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
    bucket = pair.app.store.buckets.get(pair.target[1:])
    pair.app.store.buckets.put_setting(bucket, "encryption", default.encode())
    for key, data in (("empty", b""), ("small", b"s" * 9), ("large", b"l" * 200_000)):
        assert s3.put(f"{pair.source}/{key}", data).status == 200
    upload = s3.post(f"{pair.source}/parts", b"", "uploads").text("UploadId")
    done = ""
    for number, data in ((1, b"a" * (5 << 20)), (2, b"tail")):
        query = f"partNumber={number}&uploadId={upload}"
        etag = s3.put(f"{pair.source}/parts", data, query).headers["etag"]
        done += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{done}</CompleteMultipartUpload>".encode()
    assert s3.post(f"{pair.source}/parts", body, f"uploadId={upload}").status == 200
    assert pair.deliver().delivered == 4
    for key in ("empty", "small", "large", "parts"):
        mine, replica = s3.get(f"{pair.source}/{key}"), s3.get(f"{pair.target}/{key}")
        assert pair.status(key) == "COMPLETED"
        assert mine.body == replica.body
        assert mine.headers["etag"] == replica.headers["etag"]
        assert "x-amz-server-side-encryption" not in mine.headers
        assert replica.headers["x-amz-server-side-encryption"] == algorithm
    assert s3.get(f"{pair.target}/parts", "partNumber=2").body == b"tail"
    found = [name for each in pair.app.store.scrub().run() for name in each.objects]
    assert [name for name in found if name.startswith(f"{pair.target[1:]}/")] == []


def test_a_bucket_that_refuses_customers_keys_takes_no_such_replica(pair: Pair) -> None:
    """Source: Amazon S3 User Guide, "Blocking or unblocking SSE-C for a general purpose bucket"."""
    default = (
        "<ServerSideEncryptionConfiguration><Rule><BlockedEncryptionTypes><EncryptionType>SSE-C"
        "</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>"
    )
    bucket = pair.app.store.buckets.get(pair.target[1:])
    pair.app.store.buckets.put_setting(bucket, "encryption", default.encode())
    key = b"a customer's own key of 32 bytes"
    name = "x-amz-server-side-encryption-customer"
    own = {
        f"{name}-algorithm": "AES256",
        f"{name}-key": base64.b64encode(key).decode(),
        f"{name}-key-MD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }
    path = f"{pair.source}/k"
    assert pair.s3.request("PUT", path, "", own, b"1").status == 200
    pair.deliver()
    status = pair.s3.request("HEAD", path, "", own).headers["x-amz-replication-status"]
    assert status == "FAILED"
    assert pair.versions(pair.target) == []


def test_what_is_under_a_kms_key_goes_only_where_asked(pair: Pair) -> None:
    name = "x-amz-server-side-encryption"
    headers = {name: "aws:kms", f"{name}-aws-kms-key-id": "first"}
    pair.s3.request("PUT", f"{pair.source}/k", "", headers, b"1")
    assert (pair.deliver().delivered, pair.status("k")) == (0, None)
    asked = (
        "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status>"
        "</SseKmsEncryptedObjects></SourceSelectionCriteria>"
    )
    where = "<EncryptionConfiguration><ReplicaKmsKeyID>first</ReplicaKmsKeyID>"
    pair.rules(rule(pair.target, tail=asked, destination=f"{where}</EncryptionConfiguration>"))
    assert pair.s3.request("PUT", f"{pair.source}/k", "", headers, b"2").status == 200
    assert pair.deliver().delivered == 1
    assert pair.s3.get(f"{pair.target}/k").body == b"2"


def test_an_object_of_parts_keeps_its_parts(pair: Pair) -> None:
    s3 = pair.s3
    key = f"{pair.source}/parts"
    upload = s3.post(key, b"", "uploads").text("UploadId")
    done = ""
    for number, data in ((1, b"a" * (5 << 20)), (3, b"tail")):
        etag = s3.put(key, data, f"partNumber={number}&uploadId={upload}").headers["etag"]
        done += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{done}</CompleteMultipartUpload>".encode()
    assert s3.post(key, body, f"uploadId={upload}").status == 200
    assert pair.deliver().delivered == 1
    mine, replica = s3.get(key), s3.get(f"{pair.target}/parts")
    assert (mine.body == replica.body, mine.headers["etag"]) == (True, replica.headers["etag"])
    part = s3.get(f"{pair.target}/parts", "partNumber=3")
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (206, b"tail", "2")
    # Each has what it needs for itself.
    assert s3.delete(key, f"versionId={mine.headers['x-amz-version-id']}").status == 204
    pair.app.store.janitor.collect_garbage(grace_seconds=-10)
    assert s3.get(f"{pair.target}/parts").body == mine.body


def test_rules_choose_by_prefix_tags_and_priority(pair: Pair) -> None:
    s3 = pair.s3
    second = versioned(s3, "second")
    both = "<Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"
    pair.rules(
        rule(pair.target, condition="<Filter><Prefix>a/</Prefix></Filter>", priority=1,
             destination="<StorageClass>GLACIER_IR</StorageClass>"),
        rule(pair.target, condition=both, priority=2,
             destination="<StorageClass>STANDARD_IA</StorageClass>"),
        rule(second, condition=both, priority=3),
    )  # fmt: skip
    s3.put(f"{pair.source}/a/plain", b"1")
    s3.put(f"{pair.source}/a/tagged", b"1", x_amz_tagging="k=v&more=1")
    s3.put(f"{pair.source}/b", b"1", x_amz_tagging="k=v")
    assert [pair.status(key) for key in ("a/plain", "a/tagged", "b")] == [
        "PENDING",
        "PENDING",
        None,
    ]
    assert pair.deliver().delivered == 3
    assert [pair.status(key) for key in ("a/plain", "a/tagged", "b")] == [
        "COMPLETED",
        "COMPLETED",
        None,
    ]
    found = s3.get(pair.target)
    assert found.texts("Contents/Key") == ["a/plain", "a/tagged"]
    assert found.texts("Contents/StorageClass") == ["GLACIER_IR", "STANDARD_IA"]
    assert s3.get(second).texts("Contents/Key") == ["a/tagged"]


def test_versions_come_in_the_order_of_the_source(pair: Pair) -> None:
    for number in range(7):
        pair.s3.put(f"{pair.source}/k", str(number).encode())
    assert pair.deliver().delivered == 7
    assert pair.s3.get(f"{pair.target}/k").body == b"6"
    assert pair.versions(pair.target) == pair.versions(pair.source)


def test_delete_markers_go_where_asked_and_removals_nowhere(pair: Pair) -> None:
    s3 = pair.s3
    version = s3.put(f"{pair.source}/k", b"1").headers["x-amz-version-id"]
    s3.delete(f"{pair.source}/k")
    assert pair.deliver().delivered == 1
    assert s3.get(f"{pair.target}/k").status == 200
    pair.rules(rule(pair.target, markers="Enabled"))
    marker = s3.delete(f"{pair.source}/k").headers["x-amz-version-id"]
    assert pair.deliver().delivered == 1
    assert s3.get(f"{pair.target}/k").status == 404
    assert marker in pair.versions(pair.target)
    for each in (marker, version):
        assert s3.delete(f"{pair.source}/k", f"versionId={each}").status == 204
    assert not pair.deliver()
    assert pair.versions(pair.target) == [marker, version]


def test_two_buckets_that_replicate_to_each_other_make_no_circle(pair: Pair) -> None:
    s3 = pair.s3
    third = versioned(s3, "third")
    back = document(
        rule(pair.source, priority=1, markers="Enabled"),
        rule(third, priority=2, markers="Enabled"),
    )
    pair.rules(rule(pair.target, markers="Enabled"))
    assert put_rules(s3, pair.target, back).status == 200
    s3.put(f"{pair.source}/here", b"1")
    s3.put(f"{pair.target}/there", b"2")
    s3.delete(f"{pair.source}/here")
    assert pair.deliver().delivered == 4
    assert not pair.deliver()
    for bucket in (pair.source, pair.target):
        assert len(pair.versions(bucket)) == 3
    # A replica goes no further.
    assert s3.get(third).texts("Contents/Key") == ["there"]


def test_what_changes_about_a_version_changes_its_replica(pair: Pair) -> None:
    s3 = pair.s3
    tags = b"<Tagging><TagSet><Tag><Key>n</Key><Value>%s</Value></Tag></TagSet></Tagging>"
    s3.put(f"{pair.source}/k", b"1", x_amz_tagging="n=0")
    assert s3.put(f"{pair.source}/k", tags % b"1", "tagging").status == 200
    assert s3.put(f"{pair.source}/k", b"", "acl", x_amz_acl="public-read").status == 200
    pair.deliver()
    assert s3.get(f"{pair.target}/k", "tagging").texts(".//Value") == ["1"]
    assert "AllUsers" in s3.get(f"{pair.target}/k", "acl").body.decode()
    # The other way only where asked.
    assert put_rules(s3, pair.target, document(rule(pair.source))).status == 200
    assert s3.put(f"{pair.target}/k", tags % b"2", "tagging").status == 200
    assert not pair.deliver()
    assert s3.get(f"{pair.source}/k", "tagging").texts(".//Value") == ["1"]
    asked = (
        "<SourceSelectionCriteria><ReplicaModifications><Status>Enabled</Status>"
        "</ReplicaModifications></SourceSelectionCriteria>"
    )
    assert put_rules(s3, pair.target, document(rule(pair.source, tail=asked))).status == 200
    assert s3.put(f"{pair.target}/k", tags % b"3", "tagging").status == 200
    assert pair.deliver().delivered == 1
    assert s3.get(f"{pair.source}/k", "tagging").texts(".//Value") == ["3"]
    assert not pair.deliver()


def test_a_lock_goes_with_its_version_and_compliance_is_never_shortened(
    app: S3App, s3: Client, mount: str
) -> None:
    store = app.store
    source, target = (
        store.buckets.create(fresh_name("locking"), OWNER_ID, object_lock=True) for _ in range(2)
    )
    for bucket in (source, target):
        store.buckets.set_versioning(bucket, Versioning.ENABLED)
    assert put_rules(s3, f"/{source.name}", document(rule(target.name))).status == 200
    assert s3.put(f"/{source.name}/k", b"1").status == 200
    until = (int(time.time()) + 3600) * 1000
    locks = [
        ObjectLock("COMPLIANCE", until),
        ObjectLock(legal_hold=True),
        ObjectLock("COMPLIANCE", until + 1000),
    ]
    seen = []
    for lock in locks:
        version = store.objects.get(source, b"k")

        def work(c: Any, seq: int = version.seq, lock: ObjectLock = lock) -> None:
            # As PutObjectRetention does it, but for its own rules.
            version = object_rows.lock_current(c, source.id, b"k")
            assert version is not None
            object_rows.set_lock(c, seq, lock)
            present = bucket_rows.get_state(c, source.id).present
            name = "s3:ObjectLegalHold:Put" if lock.legal_hold else "s3:ObjectRetention:Put"
            store.outbox.record(c, name, source, version, FROM_PYTHON, present)

        store.index.write(work)
        store.outbox.deliver()
        seen.append(store.objects.get(target, b"k").lock)
    assert [(lock.mode, lock.retain_until, bool(lock.legal_hold)) for lock in seen] == [
        ("COMPLIANCE", until, False),
        ("COMPLIANCE", until, True),
        ("COMPLIANCE", until + 1000, True),
    ]
    # Where nothing can be locked, nothing that is locked is copied.
    plain = versioned(s3, "plain")
    answer = put_rules(s3, f"/{source.name}", document(rule(plain)))
    assert (answer.code, "Object Lock" in (answer.text("Message") or "")) == (
        "InvalidRequest",
        True,
    )


def put_lock(s3: Client, path: str, word: str, inner: str, **headers: str) -> Any:
    root = {"retention": "Retention", "legal-hold": "LegalHold"}[word]
    body = f"<{root}>{inner}</{root}>".encode()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return s3.put(path, body, word, Content_MD5=digest, **headers)


def test_locks_that_clients_set_go_along_but_not_out_of_compliance(app: S3App, s3: Client) -> None:
    source, target = f"/{fresh_name('locked')}", f"/{fresh_name('locked')}"
    for bucket in (source, target):
        assert s3.put(bucket, x_amz_bucket_object_lock_enabled="true").status == 200
    pair = Pair(app, s3, source, target)
    pair.rules(rule(target))
    version = s3.put(f"{source}/k", b"x").headers["x-amz-version-id"]
    until = "<RetainUntilDate>{}-01-01T00:00:00Z</RetainUntilDate>"
    governance = "<Mode>GOVERNANCE</Mode>" + until
    assert put_lock(s3, f"{source}/k", "retention", governance.format(2050)).status == 200
    assert put_lock(s3, f"{source}/k", "legal-hold", "<Status>ON</Status>").status == 200
    pair.deliver()

    def shown_lock() -> list[str]:
        headers = s3.head(f"{target}/k").headers
        names = ("mode", "retain-until-date", "legal-hold")
        return [headers.get(f"x-amz-object-lock-{name}", "")[:10] for name in names]

    assert shown_lock() == ["GOVERNANCE", "2050-01-01", "ON"]
    assert s3.delete(f"{target}/k", f"versionId={version}").code == "AccessDenied"
    assert put_lock(s3, f"{source}/k", "legal-hold", "<Status>OFF</Status>").status == 200
    past = {"x_amz_bypass_governance_retention": "true"}
    again = governance.format(2045)
    assert put_lock(s3, f"{source}/k", "retention", again, **past).status == 200
    pair.deliver()
    assert shown_lock() == ["GOVERNANCE", "2045-01-01", "OFF"]
    # Its own COMPLIANCE is the replica's.
    compliance = "<Mode>COMPLIANCE</Mode>" + until.format(2040)
    assert put_lock(s3, f"{target}/k", "retention", compliance, **past).status == 200
    assert put_lock(s3, f"{source}/k", "retention", "", **past).status == 200
    pair.deliver()
    assert shown_lock()[:2] == ["COMPLIANCE", "2040-01-01"]
    assert s3.delete(f"{target}/k", f"versionId={version}", **past).code == "AccessDenied"


def vaults(app: S3App, s3: Client) -> Pair:
    """Two buckets with Object Lock, the first replicated to the second."""
    source, target = f"/{fresh_name('locked')}", f"/{fresh_name('locked')}"
    for bucket in (source, target):
        assert s3.put(bucket, x_amz_bucket_object_lock_enabled="true").status == 200
    pair = Pair(app, s3, source, target)
    pair.rules(rule(target))
    return pair


def test_the_rule_of_a_vault_holds_replicas_that_bring_no_retention(app: S3App, s3: Client) -> None:
    """A copy that nobody can remove is what such a bucket is for."""
    pair = vaults(app, s3)
    default = DefaultRetention("COMPLIANCE", days=30)
    app.store.locks.configure(app.store.buckets.get(pair.target[1:]), default)
    md5 = base64.b64encode(hashlib.md5(b"x", usedforsecurity=False).digest()).decode()
    held = s3.put(f"{pair.source}/k", b"x", Content_MD5=md5, x_amz_object_lock_legal_hold="ON")
    version = held.headers["x-amz-version-id"]
    until = iso8601(int(time.time() + 90 * 86_400) * 1000)
    own = {
        "x_amz_object_lock_mode": "GOVERNANCE",
        "x_amz_object_lock_retain_until_date": until,
    }
    assert s3.put(f"{pair.source}/own", b"x", Content_MD5=md5, **own).status == 200
    pair.deliver()
    replica = s3.head(f"{pair.target}/k").headers
    assert replica["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert replica["x-amz-object-lock-legal-hold"] == "ON"
    days = read_instant(replica["x-amz-object-lock-retain-until-date"])
    assert days is not None
    assert abs(days / 1000 - time.time() - 30 * 86_400) < 600
    assert s3.head(f"{pair.target}/own").headers["x-amz-object-lock-mode"] == "GOVERNANCE"
    # It is the replica's own: what ends at the source takes nothing of it away.
    app.store.locks.set_legal_hold(app.store.buckets.get(pair.source[1:]), b"k", version, on=False)
    pair.deliver()
    replica = s3.head(f"{pair.target}/k").headers
    assert replica["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert replica["x-amz-object-lock-legal-hold"] == "OFF"
    past = {"x_amz_bypass_governance_retention": "true"}
    assert s3.delete(f"{pair.target}/k", f"versionId={version}", **past).code == "AccessDenied"


def test_a_legal_hold_upon_a_replica_outlasts_a_retention_of_its_source(
    app: S3App, s3: Client
) -> None:
    pair = vaults(app, s3)
    version = s3.put(f"{pair.source}/k", b"x").headers["x-amz-version-id"]
    pair.deliver()
    assert put_lock(s3, f"{pair.target}/k", "legal-hold", "<Status>ON</Status>").status == 200
    inner = "<Mode>GOVERNANCE</Mode><RetainUntilDate>2050-01-01T00:00:00Z</RetainUntilDate>"
    assert put_lock(s3, f"{pair.source}/k", "retention", inner).status == 200
    pair.deliver()
    headers = s3.head(f"{pair.target}/k").headers
    assert headers["x-amz-object-lock-mode"] == "GOVERNANCE"
    assert headers["x-amz-object-lock-legal-hold"] == "ON"
    past = {"x_amz_bypass_governance_retention": "true"}
    assert s3.delete(f"{pair.target}/k", f"versionId={version}", **past).code == "AccessDenied"


def annotate(s3: Client, path: str, name: str, text: bytes) -> None:
    assert s3.put(path, text, f"annotation&annotationName={name}").status == 200


def annotations_of(s3: Client, path: str) -> dict[str, bytes]:
    names = s3.get(path, "annotation").texts(".//AnnotationName")
    return {name: s3.get(path, f"annotation&annotationName={name}").body for name in names}


def test_annotations_go_with_their_version_and_follow_it(pair: Pair) -> None:
    s3 = pair.s3
    for key, sealed in (("plain", {}), ("sealed", {"x_amz_server_side_encryption": "AES256"})):
        source, target = f"{pair.source}/{key}", f"{pair.target}/{key}"
        assert s3.put(source, b"x" * 100_000, **sealed).status == 200
        annotate(s3, source, "first", b"one")
        annotate(s3, source, "second", b"two")
        pair.deliver()
        assert annotations_of(s3, target) == {"first": b"one", "second": b"two"}
        annotate(s3, source, "first", b"1")
        annotate(s3, source, "third", b"three")
        assert s3.delete(source, "annotation&annotationName=second").status == 204
        pair.deliver()
        assert annotations_of(s3, target) == {"first": b"1", "third": b"three"}
        assert pair.status(key) == "COMPLETED"
    # What is the replica's own is nobody's else.
    annotate(s3, f"{pair.target}/plain", "mine", b"m")
    pair.deliver()
    assert "mine" not in annotations_of(s3, f"{pair.source}/plain")


def test_a_locked_replica_loses_no_annotation_to_its_source(app: S3App, s3: Client) -> None:
    pair = vaults(app, s3)
    default = DefaultRetention("COMPLIANCE", days=30)
    app.store.locks.configure(app.store.buckets.get(pair.target[1:]), default)
    source, target = f"{pair.source}/k", f"{pair.target}/k"
    assert s3.put(source, b"x").status == 200
    annotate(s3, source, "first", b"one")
    annotate(s3, source, "second", b"two")
    pair.deliver()
    annotate(s3, source, "first", b"1")
    annotate(s3, source, "third", b"three")
    assert s3.delete(source, "annotation&annotationName=second").status == 204
    pair.deliver()
    assert annotations_of(s3, target) == {"first": b"one", "second": b"two", "third": b"three"}


# -- what does not work


def failures(app: S3App) -> list[signals.Event]:
    heard: list[signals.Event] = []

    def hear(bucket: str, *, event: signals.Event) -> None:
        heard.append(event)

    app.store.outbox.subscribe(hear, "s3:Replication:*", name=f"test:{fresh_name()}")
    return heard


def test_a_destination_that_is_gone_or_unversioned_makes_the_version_failed(pair: Pair) -> None:
    s3 = pair.s3
    heard = failures(pair.app)
    suspend = VERSIONING.replace(b"Enabled", b"Suspended")
    assert s3.put(pair.target, suspend, "versioning").status == 200
    s3.put(f"{pair.source}/k", b"1")
    pair.deliver()
    assert pair.status("k") == "FAILED"
    assert s3.delete(pair.target).status == 204
    s3.put(f"{pair.source}/l", b"1")
    pair.deliver()
    assert (pair.status("l"), pair.deliver().delivered) == ("FAILED", 0)
    reasons = [event.details["replicationEventData"]["failureReason"] for event in heard]
    assert reasons == ["DstBucketUnversioned", "DstBucketNotFound"]
    assert {event.name for event in heard} == {"s3:Replication:OperationFailedReplication"}
    assert heard[0].key == "k"


def test_a064_nothing_goes_into_anothers_bucket_without_its_owners_leave(
    pair: Pair, other: Client
) -> None:
    foreign = versioned(other, "foreign")
    pair.rules(rule(foreign))
    pair.s3.put(f"{pair.source}/k", b"secret")
    pair.deliver()
    assert pair.status("k") == "FAILED"
    assert other.get(foreign).texts("Contents/Key") == []
    # A name that came into other hands between the rule and the copy.
    pair.rules(rule(pair.target))
    pair.s3.put(f"{pair.source}/l", b"secret")
    assert pair.s3.delete(pair.target).status == 204
    assert other.put(pair.target).status == 200
    assert other.put(pair.target, VERSIONING, "versioning").status == 200
    pair.deliver()
    assert pair.status("l") == "FAILED"
    assert other.get(pair.target).texts("Contents/Key") == []


def test_with_leave_the_replica_is_its_sources_owners_or_the_destinations(
    pair: Pair, other: Client
) -> None:
    foreign = versioned(other, "foreign")
    override = (
        f"<Account>{OTHER_ID}</Account><AccessControlTranslation><Owner>Destination</Owner>"
        "</AccessControlTranslation>"
    )
    pair.rules(
        rule(foreign, priority=1, condition="<Filter><Prefix>a</Prefix></Filter>"),
        rule(
            foreign,
            priority=2,
            condition="<Filter><Prefix>b</Prefix></Filter>",
            destination=override,
        ),
    )
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": OWNER_ID},
        "Action": "s3:ReplicateObject",
        "Resource": f"{arn(foreign)}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    assert other.put(foreign, json.dumps(policy).encode(), "policy").status == 204
    pair.s3.put(f"{pair.source}/a", b"1")
    pair.s3.put(f"{pair.source}/b", b"1", x_amz_acl="public-read")
    assert pair.deliver().delivered == 2
    assert [pair.status(key) for key in "ab"] == ["COMPLETED", "COMPLETED"]
    assert other.get(foreign, "versions").texts("Version/Owner/ID") == [OWNER_ID, OTHER_ID]
    assert "AllUsers" not in other.get(f"{foreign}/b", "acl").body.decode()
    # Leave that is taken back is no leave.
    assert other.delete(foreign, "policy").status == 204
    pair.s3.put(f"{pair.source}/a", b"2")
    pair.deliver()
    assert pair.status("a") == "FAILED"


def test_what_is_renamed_is_a_version_of_its_own(pair: Pair) -> None:
    s3 = pair.s3
    s3.put(f"{pair.source}/old", b"1")
    pair.deliver()
    answer = s3.put(f"{pair.source}/new", b"", "renameObject", x_amz_rename_source="/old")
    assert (answer.status, pair.status("new")) == (200, "PENDING")
    pair.deliver()
    assert (pair.status("new"), pair.status("new", at=pair.target)) == ("COMPLETED", "REPLICA")


def test_a_rule_that_was_removed_copies_nothing_any_more(pair: Pair) -> None:
    pair.s3.put(f"{pair.source}/k", b"1")
    assert pair.s3.delete(pair.source, "replication").status == 204
    pair.deliver()
    assert pair.status("k") == "FAILED"
    assert pair.versions(pair.target) == []


def test_a_version_that_is_removed_before_its_turn_is_not_copied(pair: Pair) -> None:
    version = pair.s3.put(f"{pair.source}/k", b"1" * 100_000).headers["x-amz-version-id"]
    assert pair.s3.delete(f"{pair.source}/k", f"versionId={version}").status == 204
    assert pair.deliver().delivered == 1
    assert pair.versions(pair.target) == []


def test_what_a_storage_refuses_is_tried_again_and_given_up_at_last(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = pair.app
    version = pair.s3.put(f"{pair.source}/k", b"1").headers["x-amz-version-id"]
    insert = type(app.store.replication)._insert

    def broken(*arguments: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(app.store.replication), "_insert", broken)
    assert pair.deliver().failed == 1
    assert pair.status("k") == "PENDING"
    monkeypatch.setattr(app.store.outbox, "attempts", 2)
    backing = app.store._backing
    clock = backing.clock
    backing.clock = lambda: clock() + 3600
    try:
        assert pair.deliver().dead == 1
        assert pair.status("k") == "FAILED"
        # Mended, it can be had again.
        monkeypatch.setattr(type(app.store.replication), "_insert", staticmethod(insert))
        monkeypatch.undo()
        assert app.store.outbox.revive(TARGET) == 1
        assert pair.deliver().delivered == 1
    finally:
        backing.clock = clock
    assert (pair.status("k"), pair.versions(pair.target)) == ("COMPLETED", [version])


def test_a_veto_of_the_destination_counts(pair: Pair) -> None:
    def forbid(bucket: str, *, event: signals.Event) -> None:
        raise signals.Veto("full")

    with signals.before_object_created.connected_to(forbid, sender=pair.target[1:]):
        pair.s3.put(f"{pair.source}/k", b"1")
        pair.deliver()
    assert pair.status("k") == "FAILED"
    assert pair.versions(pair.target) == []


def test_what_was_delivered_twice_is_there_once(pair: Pair) -> None:
    """A relay that died after a copy, before it could say so."""
    app = pair.app
    version = pair.s3.put(f"{pair.source}/k", b"1" * 100_000).headers["x-amz-version-id"]
    backing = app.store._backing
    now = backing.now()
    (row,) = app.store.index.write(lambda c: rows.take(c, TARGET, "dead", now, now + 60_000, 9))
    target = app.store.outbox.target(TARGET)
    assert target is not None
    target(read_delivery(row))
    assert pair.status("k") == "COMPLETED"
    # Even where its owner has removed it meanwhile.
    assert pair.s3.delete(f"{pair.target}/k", f"versionId={version}").status == 204
    clock = backing.clock
    backing.clock = lambda: clock() + 3600
    try:
        assert pair.deliver().delivered == 1
    finally:
        backing.clock = clock
    assert pair.versions(pair.target) == []
    with pytest.raises(NoSuchVersion):
        bucket = app.store.buckets.get(pair.target[1:])
        app.store.objects.get(bucket, b"k", version)


def test_a_status_tells_of_several_destinations() -> None:
    status = "PENDING:PPP"
    status = settled(status, 1, "C")
    assert (status, shown(status)) == ("PENDING:PCP", "PENDING")
    status = settled(settled(status, 0, "F"), 0, "F")
    assert shown(status) == "FAILED"
    status = settled(settled(settled(status, 2, "C"), 0, "C"), 2, "C")
    assert (status, shown(status)) == ("COMPLETED:CCC", "COMPLETED")
    assert settled("PENDING", 0, "F") == "FAILED"
    assert settled("REPLICA", 0, "C") == "REPLICA"
