"""A057 to A067: one account's things stay its own, on every operation."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from urllib.parse import quote

import pytest

from s3kit.wire.routing import operations
from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_denied
from tests.attacks.effects import assert_holds
from tests.attacks.effects import assert_refused
from tests.attacks.effects import keys_of
from tests.attacks.effects import snapshot
from tests.attacks.handmade import form_body
from tests.attacks.handmade import post_form
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app

SUSPEND = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
ACL = (
    '<AccessControlPolicy xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Owner><ID>'
    f"{OWNER_ID}</ID></Owner><AccessControlList><Grant><Grantee "
    f'xsi:type="CanonicalUser"><ID>{OTHER_ID}</ID></Grantee>'
    "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"
).encode()
PARTS = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>"
    b"</CompleteMultipartUpload>"
)


@dataclass
class Target:
    """A bucket with a private object, an unfinished upload, and tags everywhere."""

    bucket: str
    key: str
    upload: str
    part: bytes
    own: str
    """An object that the attacker may read, to copy it in."""
    locked: str
    """A bucket with Object Lock, and a locked object k in it."""


@dataclass
class Request:
    """One operation's request on a Target; {braces} name the Target's fields."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 200

    def send(self, client: Client, target: Target) -> Answer:
        values = target.__dict__
        body = self.body % target.part if b"%s" in self.body else self.body
        headers = {name: value.format(**values) for name, value in self.headers.items()}
        return client.request(
            self.method, self.path.format(**values), self.query.format(**values), headers, body
        )


COPY = {"x-amz-copy-source": "{own}"}
PART = "partNumber=1&uploadId={upload}"
FORM_TYPE, FORM = form_body({"key": "posted"}, b"x")

REQUESTS = {
    "AbortMultipartUpload": Request("DELETE", "{key}", "uploadId={upload}", status=204),
    "CompleteMultipartUpload": Request("POST", "{key}", "uploadId={upload}", body=PARTS),
    "CopyObject": Request("PUT", "{bucket}/copied", headers=COPY),
    "CreateMultipartUpload": Request("POST", "{bucket}/new", "uploads"),
    "DeleteBucket": Request("DELETE", "{bucket}", status=409),
    "DeleteBucketTagging": Request("DELETE", "{bucket}", "tagging", status=204),
    "DeleteObject": Request("DELETE", "{key}", status=204),
    "DeleteObjectTagging": Request("DELETE", "{key}", "tagging", status=204),
    "GetBucketAcl": Request("GET", "{bucket}", "acl"),
    "GetBucketLocation": Request("GET", "{bucket}", "location"),
    "GetBucketTagging": Request("GET", "{bucket}", "tagging"),
    "GetBucketVersioning": Request("GET", "{bucket}", "versioning"),
    "GetObject": Request("GET", "{key}"),
    "GetObjectAcl": Request("GET", "{key}", "acl"),
    "GetObjectAttributes": Request(
        "GET", "{key}", "attributes", {"x-amz-object-attributes": "ETag"}
    ),
    "GetObjectTagging": Request("GET", "{key}", "tagging"),
    "HeadBucket": Request("HEAD", "{bucket}"),
    "HeadObject": Request("HEAD", "{key}"),
    "ListMultipartUploads": Request("GET", "{bucket}", "uploads"),
    "ListObjectVersions": Request("GET", "{bucket}", "versions"),
    "ListObjects": Request("GET", "{bucket}"),
    "ListObjectsV2": Request("GET", "{bucket}", "list-type=2"),
    "ListParts": Request("GET", "{key}", "uploadId={upload}"),
    "PutBucketAcl": Request("PUT", "{bucket}", "acl", body=ACL),
    "PutBucketTagging": Request("PUT", "{bucket}", "tagging", body=TAGS, status=204),
    "PutBucketVersioning": Request("PUT", "{bucket}", "versioning", body=SUSPEND),
    "PutObject": Request("PUT", "{key}", body=b"evil"),
    "PutObjectAcl": Request("PUT", "{key}", "acl", body=ACL),
    "PutObjectTagging": Request("PUT", "{key}", "tagging", body=TAGS),
    "UploadPart": Request("PUT", "{key}", PART, body=b"evil"),
    "UploadPartCopy": Request("PUT", "{key}", PART, COPY),
}
CONFIGURATIONS = {
    "Analytics": ("analytics", "<StorageClassAnalysis/>"),
    "IntelligentTiering": (
        "intelligent-tiering",
        "<Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days>"
        "</Tiering>",
    ),
    "Inventory": (
        "inventory",
        "<Destination><S3BucketDestination><Bucket>arn:aws:s3:::lists</Bucket><Format>CSV</Format>"
        "</S3BucketDestination></Destination><IsEnabled>true</IsEnabled><IncludedObjectVersions>"
        "All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule>",
    ),
    "Metrics": ("metrics", ""),
}
for kind, (word, inner) in CONFIGURATIONS.items():
    root = f"{kind}Configuration"
    body = f"<{root}><Id>a</Id>{inner}</{root}>".encode()
    query = f"{word}&id=a"
    REQUESTS |= {
        f"GetBucket{root}": Request("GET", "{bucket}", query),
        f"PutBucket{root}": Request("PUT", "{bucket}", query, body=body),
        f"DeleteBucket{root}": Request("DELETE", "{bucket}", query, status=204),
        f"ListBucket{root}s": Request("GET", "{bucket}", word),
    }
for name, word, body in (
    (
        "BucketRequestPayment",
        "requestPayment",
        b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
    ),
    (
        "BucketAccelerateConfiguration",
        "accelerate",
        b"<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>",
    ),
    ("BucketAbac", "abac", b"<AbacStatus><Status>Enabled</Status></AbacStatus>"),
):
    REQUESTS |= {
        f"Get{name}": Request("GET", "{bucket}", word),
        f"Put{name}": Request("PUT", "{bucket}", word, body=body),
    }


def md5(body: bytes) -> dict[str, str]:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Content-MD5": base64.b64encode(digest).decode()}


OWNERSHIP = (
    b"<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"
    b"</OwnershipControls>"
)


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


CORS = (
    b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
    b"<AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
)
ENCRYPTION = (
    b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
    b"<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
    b"</ServerSideEncryptionConfiguration>"
)
REQUESTS |= {
    "GetBucketEncryption": Request("GET", "{bucket}", "encryption", status=404),
    "PutBucketEncryption": Request(
        "PUT",
        "{bucket}",
        "encryption",
        {
            "Content-MD5": base64.b64encode(
                hashlib.md5(ENCRYPTION, usedforsecurity=False).digest()
            ).decode()
        },
        ENCRYPTION,
    ),
    "DeleteBucketEncryption": Request("DELETE", "{bucket}", "encryption", status=204),
}
LIFECYCLE = (
    b"<LifecycleConfiguration><Rule><ID>i</ID><Prefix>private</Prefix><Status>Enabled</Status>"
    b"<Expiration><Days>1000</Days></Expiration></Rule></LifecycleConfiguration>"
)
RESTORE = b"<RestoreRequest><Days>1</Days></RestoreRequest>"
REPLICATION = b"<ReplicationConfiguration><Role>r</Role></ReplicationConfiguration>"
POLICY = (
    b'{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": '
    b'["arn:aws:s3:::*", "arn:aws:s3:::*/*"]}}'
)
BLOCK = (
    b"<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>"
    b"</PublicAccessBlockConfiguration>"
)
REQUESTS |= {
    "GetBucketPolicy": Request("GET", "{bucket}", "policy", status=404),
    "GetBucketPolicyStatus": Request("GET", "{bucket}", "policyStatus"),
    "PutBucketPolicy": Request("PUT", "{bucket}", "policy", body=POLICY, status=204),
    "DeleteBucketPolicy": Request("DELETE", "{bucket}", "policy", status=204),
    "GetPublicAccessBlock": Request("GET", "{bucket}", "publicAccessBlock", status=404),
    "PutPublicAccessBlock": Request("PUT", "{bucket}", "publicAccessBlock", body=BLOCK),
    "DeletePublicAccessBlock": Request("DELETE", "{bucket}", "publicAccessBlock", status=204),
    "GetBucketCors": Request("GET", "{bucket}", "cors"),
    "PutBucketCors": Request("PUT", "{bucket}", "cors", md5(CORS), CORS),
    "PutBucketOwnershipControls": Request(
        "PUT", "{bucket}", "ownershipControls", md5(OWNERSHIP), OWNERSHIP
    ),
    "GetBucketOwnershipControls": Request("GET", "{bucket}", "ownershipControls", status=404),
    "DeleteBucketOwnershipControls": Request("DELETE", "{bucket}", "ownershipControls", status=204),
    "DeleteBucketCors": Request("DELETE", "{bucket}", "cors", status=204),
    "GetBucketNotificationConfiguration": Request("GET", "{bucket}", "notification"),
    "PutBucketNotificationConfiguration": Request(
        "PUT", "{bucket}", "notification", body=b"<NotificationConfiguration/>"
    ),
    "CreateSession": Request("GET", "{bucket}", "session"),
    "RenameObject": Request(
        "PUT", "{bucket}/renamed", "renameObject", {"x-amz-rename-source": "private"}
    ),
    "GetBucketLogging": Request("GET", "{bucket}", "logging"),
    "GetBucketLifecycleConfiguration": Request("GET", "{bucket}", "lifecycle"),
    "PutBucketLifecycleConfiguration": Request(
        "PUT", "{bucket}", "lifecycle", md5(LIFECYCLE), LIFECYCLE
    ),
    "DeleteBucketLifecycle": Request("DELETE", "{bucket}", "lifecycle", status=204),
    # Its owner is told that it is not archived.
    "RestoreObject": Request("POST", "{key}", "restore", body=RESTORE, status=403),
    "PutBucketLogging": Request("PUT", "{bucket}", "logging", body=b"<BucketLoggingStatus/>"),
    "GetBucketReplication": Request("GET", "{bucket}", "replication", status=404),
    "PutBucketReplication": Request(
        "PUT",
        "{bucket}",
        "replication",
        md5(REPLICATION),
        REPLICATION,
        status=400,
    ),
    "DeleteBucketReplication": Request("DELETE", "{bucket}", "replication", status=204),
    "GetBucketWebsite": Request("GET", "{bucket}", "website", status=404),
    "PutBucketWebsite": Request(
        "PUT",
        "{bucket}",
        "website",
        body=b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument>"
        b"</WebsiteConfiguration>",
    ),
    "DeleteBucketWebsite": Request("DELETE", "{bucket}", "website", status=204),
}


def checked(body: bytes) -> dict[str, str]:
    """The header without which S3 takes no such document."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Content-MD5": base64.b64encode(digest).decode()}


LOCK = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
    b"</ObjectLockConfiguration>"
)
RETENTION = (
    b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2300-01-01T00:00:00Z</RetainUntilDate>"
    b"</Retention>"
)
HOLD = b"<LegalHold><Status>ON</Status></LegalHold>"
REQUESTS |= {
    "GetObjectLockConfiguration": Request("GET", "{locked}", "object-lock"),
    "PutObjectLockConfiguration": Request("PUT", "{locked}", "object-lock", checked(LOCK), LOCK),
    "GetObjectRetention": Request("GET", "{locked}/k", "retention"),
    "PutObjectRetention": Request("PUT", "{locked}/k", "retention", checked(RETENTION), RETENTION),
    "GetObjectLegalHold": Request("GET", "{locked}/k", "legal-hold"),
    "PutObjectLegalHold": Request("PUT", "{locked}/k", "legal-hold", checked(HOLD), HOLD),
}
ANNOTATION = "annotation&annotationName=note"
REQUESTS |= {
    "PutObjectAnnotation": Request("PUT", "{key}", ANNOTATION, body=b"evil"),
    "GetObjectAnnotation": Request("GET", "{key}", ANNOTATION, status=404),
    "ListObjectAnnotations": Request("GET", "{key}", "annotation"),
    "DeleteObjectAnnotation": Request("DELETE", "{key}", ANNOTATION, status=204),
}
# Asked for per account, per key and per form: each has a test of its own below.
ELSEWHERE = {"ListBuckets", "CreateBucket", "DeleteObjects", "PostObject"}


def test_every_built_operation_is_tried_by_strangers() -> None:
    built = {each.name for each in operations() if each.handler is not None}
    assert built == REQUESTS.keys() | ELSEWHERE


@pytest.fixture
def target(s3: Client, other: Client) -> Target:
    bucket = f"/{fresh_name('private')}"
    own = f"/{fresh_name('own')}"
    key = f"{bucket}/private"
    assert s3.put(bucket).status == 200
    assert s3.put(key, b"private", x_amz_tagging="secret=tag").status == 200
    assert s3.put(bucket, TAGS, "tagging").status == 204
    assert s3.put(bucket, CORS, "cors", Content_MD5=md5_of(CORS)).status == 200
    assert s3.put(bucket, LIFECYCLE, "lifecycle", Content_MD5=md5_of(LIFECYCLE)).status == 200
    for each in CONFIGURATIONS:
        put = REQUESTS[f"PutBucket{each}Configuration"]
        assert s3.put(bucket, put.body, put.query).status == 200
    assert other.put(own, x_amz_acl="public-read").status == 200
    assert other.put(f"{own}/k", b"evil", x_amz_acl="public-read").status == 200
    upload = s3.post(key, query="uploads").text("UploadId") or ""
    part = s3.put(key, b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
    locked = f"/{fresh_name('locked')}"
    assert s3.put(locked, x_amz_bucket_object_lock_enabled="true").status == 200
    assert s3.put(f"{locked}/k", b"private").status == 200
    for query, body in (("retention", RETENTION), ("legal-hold", HOLD)):
        assert s3.put(f"{locked}/k", body, query, Content_MD5=md5_of(body)).status == 200
    return Target(bucket, key, upload, part.encode(), f"{own}/k", locked)


@pytest.mark.parametrize("who", ["other", "anonymous"])
@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a057_a058_a060_a_stranger_is_denied_every_operation_without_effect(
    s3: Client, target: Target, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    stranger: Client = request.getfixturevalue(who)
    before = snapshot(s3, target.bucket)
    parts = s3.get(target.key, f"uploadId={target.upload}").body.partition(b"<Part>")[2]
    answer = REQUESTS[name].send(stranger, target)
    assert_denied(answer)
    for told in (b"private</", b"secret", b"tag", target.part.strip(b'"')):
        assert told not in answer.body.replace(b"<Resource>", b"").partition(target.key.encode())[0]
    assert snapshot(s3, target.bucket) == before
    assert s3.get(target.key, f"uploadId={target.upload}").body.partition(b"<Part>")[2] == parts
    # The twin: its owner may.
    assert REQUESTS[name].send(s3, target).status == REQUESTS[name].status


@pytest.mark.parametrize("who", ["other", "anonymous"])
def test_a057_what_is_not_there_is_denied_the_same(
    target: Target, request: pytest.FixtureRequest, who: str
) -> None:
    stranger: Client = request.getfixturevalue(who)
    there = stranger.get(target.key)
    missing = stranger.get(f"{target.bucket}/nothing")
    assert (there.status, there.code) == (missing.status, missing.code) == (403, "AccessDenied")
    assert stranger.head(f"{target.bucket}/nothing").status == 403
    assert_denied(stranger.get(target.key, "uploadId=no-such"))


def delete_document(*keys: str) -> bytes:
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{objects}</Delete>".encode()


def delete_many(client: Client, bucket: str, *keys: str) -> Answer:
    body = delete_document(*keys)
    return client.post(bucket, body, "delete", Content_MD5=md5_of(body))


def test_a059_each_key_of_a_multi_delete_is_denied(
    s3: Client, other: Client, anonymous: Client, target: Target
) -> None:
    s3.put(f"{target.bucket}/second", b"2")
    assert_denied(delete_many(anonymous, target.bucket, "private"))
    answer = delete_many(other, target.bucket, "private", "second", "nothing")
    assert answer.status == 200
    assert answer.texts("Error/Key") == ["private", "second", "nothing"]
    assert set(answer.texts("Error/Code")) == {"AccessDenied"}
    assert answer.texts("Deleted") == []
    assert keys_of(s3, target.bucket) == ["private", "second"]
    assert delete_many(s3, target.bucket, "private", "second").texts("Error") == []
    assert keys_of(s3, target.bucket) == []


def test_a059_a_version_id_is_no_way_around(s3: Client, other: Client, target: Target) -> None:
    body = b"<Delete><Object><Key>private</Key><VersionId>null</VersionId></Object></Delete>"
    answer = other.post(target.bucket, body, "delete", Content_MD5=md5_of(body))
    assert answer.texts("Error/Code") == ["AccessDenied"]
    assert_denied(other.delete(target.key, "versionId=null"))
    assert_denied(other.get(target.key, "versionId=null"))
    assert_holds(s3, target.key, b"private")


def test_a059_writers_may_delete_what_the_bucket_acl_lets_them(
    s3: Client, other: Client, anonymous: Client
) -> None:
    bucket = f"/{fresh_name('open')}"
    s3.put(bucket, x_amz_acl="public-read-write")
    s3.put(f"{bucket}/a", b"a")
    s3.put(f"{bucket}/b", b"b")
    assert delete_many(other, bucket, "a").texts("Deleted/Key") == ["a"]
    assert delete_many(anonymous, bucket, "b").texts("Deleted/Key") == ["b"]
    assert keys_of(s3, bucket) == []


@pytest.mark.parametrize("who", ["other", "anonymous"])
def test_a058_a_form_of_a_stranger_is_denied(
    s3: Client, target: Target, request: pytest.FixtureRequest, who: str
) -> None:
    stranger: Client = request.getfixturevalue(who)
    headers = {"Content-Type": FORM_TYPE}
    if who == "anonymous":
        assert_denied(post_form(stranger, target.bucket, {"key": "posted"}, b"x"))
    else:
        # A form takes its signature in its fields only.
        answer = stranger.request("POST", target.bucket, "", headers, FORM)
        assert_refused(answer, "InvalidArgument", "AccessDenied")
    assert_absent(s3, f"{target.bucket}/posted")


SPELLINGS = ["{path}", "{plain}", "{quoted}", "{path}?versionId=null"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a061_a_copy_needs_access_to_its_source(
    s3: Client, other: Client, anonymous: Client, target: Target, spelling: str
) -> None:
    source = spelling.format(
        path=target.key, plain=target.key[1:], quoted=quote(target.key[1:], safe="")
    )
    bucket = target.own.rpartition("/")[0]
    other.put(bucket, query="acl", x_amz_acl="public-read-write")
    for stranger in (other, anonymous):
        for directive in ("COPY", "REPLACE"):
            # Without the tags too: they are asked about besides.
            answer = stranger.put(
                f"{bucket}/stolen", x_amz_copy_source=source, x_amz_tagging_directive=directive
            )
            assert_denied(answer)
    assert_absent(other, f"{bucket}/stolen")
    # The twins: its owner copies it anywhere it may write; so does anybody once it is public.
    untagged = {"x_amz_copy_source": source, "x_amz_tagging_directive": "REPLACE"}
    assert s3.put(f"{bucket}/lent", **untagged).status == 200
    assert s3.put(target.key, query="acl", x_amz_acl="public-read").status == 200
    s3.delete(target.key, "tagging")
    assert other.put(f"{bucket}/taken", x_amz_copy_source=source).status == 200
    assert_holds(other, f"{bucket}/taken", b"private")


def test_a061_the_sources_tags_do_not_come_along_unasked(
    s3: Client, other: Client, target: Target
) -> None:
    bucket = target.own.rpartition("/")[0]
    assert s3.put(target.key, query="acl", x_amz_acl="public-read").status == 200
    assert_denied(other.put(f"{bucket}/tagged", x_amz_copy_source=target.key))
    assert_absent(other, f"{bucket}/tagged")
    answer = other.put(
        f"{bucket}/tagged", x_amz_copy_source=target.key, x_amz_tagging_directive="REPLACE"
    )
    assert answer.status == 200
    assert other.get(f"{bucket}/tagged", "tagging").texts("TagSet/Tag") == []


def test_a061_a_copy_brings_no_tags_where_a_put_could_not(
    s3: Client, other: Client, target: Target
) -> None:
    own, open_bucket = target.own, f"/{fresh_name('open')}"
    assert s3.put(open_bucket, x_amz_acl="public-read-write").status == 200
    path = f"{open_bucket}/tagged"
    assert_denied(other.put(path, b"x", x_amz_tagging="a=b"))
    assert other.put(own, query="tagging", body=TAGS).status == 200
    for source in (own, f"{own}?versionId=null"):
        assert_denied(other.put(path, x_amz_copy_source=source))
        replaced = {"x_amz_tagging_directive": "REPLACE", "x_amz_tagging": "a=b"}
        assert_denied(other.put(path, x_amz_copy_source=source, **replaced))
    assert_absent(s3, path)
    assert other.put(path, x_amz_copy_source=own, x_amz_tagging_directive="REPLACE").status == 200
    assert other.delete(own, "tagging").status == 204
    assert other.put(path, x_amz_copy_source=own).status == 200
    assert s3.get(path, "tagging").texts("TagSet/Tag") == []


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a062_a_part_copy_needs_access_to_its_source(
    s3: Client, other: Client, target: Target, spelling: str
) -> None:
    source = spelling.format(
        path=target.key, plain=target.key[1:], quoted=quote(target.key[1:], safe="")
    )
    path = target.own.rpartition("/")[0] + "/parts"
    upload = other.post(path, query="uploads").text("UploadId")
    query = f"partNumber=1&uploadId={upload}"
    assert_denied(other.put(path, query=query, x_amz_copy_source=source))
    answer = other.put(
        path, query=query, x_amz_copy_source=source, x_amz_copy_source_range="bytes=0-0"
    )
    assert_denied(answer)
    assert other.get(path, f"uploadId={upload}").texts("Part/PartNumber") == []
    s3.put(target.key, query="acl", x_amz_acl="public-read")
    assert other.put(path, query=query, x_amz_copy_source=source).status == 200


def test_a062_an_upload_belongs_to_its_own_bucket_and_key(
    s3: Client, other: Client, target: Target
) -> None:
    path = target.own.rpartition("/")[0] + "/parts"
    query = f"partNumber=1&uploadId={target.upload}"
    assert_refused(other.put(path, b"evil", query), "NoSuchUpload")
    assert_refused(other.get(path, f"uploadId={target.upload}"), "NoSuchUpload")
    assert_refused(other.delete(path, f"uploadId={target.upload}"), "NoSuchUpload")
    body = PARTS % target.part
    assert_refused(other.post(path, body, f"uploadId={target.upload}"), "NoSuchUpload")
    # Nor does another key of the same bucket serve.
    assert_refused(s3.put(f"{target.bucket}/k2", b"x", query), "NoSuchUpload")
    assert s3.get(target.key, f"uploadId={target.upload}").texts("Part/Size") == ["4"]


@pytest.fixture
def open_bucket(s3: Client) -> str:
    path = f"/{fresh_name('open')}"
    assert s3.put(path, x_amz_acl="public-read-write").status == 200
    return path


def test_a062_who_may_write_may_not_take_over_anothers_upload(
    s3: Client, other: Client, anonymous: Client, open_bucket: str
) -> None:
    """The bucket's owner may, as on S3; whoever else began it may go on with it."""
    path = f"{open_bucket}/k"
    upload = s3.post(path, query="uploads").text("UploadId")
    query = f"uploadId={upload}"
    part = s3.put(path, b"mine", f"partNumber=1&{query}").headers["etag"].encode()
    s3.put(f"{open_bucket}/evil", b"evil", x_amz_acl="public-read")
    for stranger in (other, anonymous):
        assert_denied(stranger.put(path, b"evil", f"partNumber=1&{query}"))
        source = {"x_amz_copy_source": f"{open_bucket}/evil"}
        assert_denied(stranger.put(path, b"", f"partNumber=1&{query}", **source))
        assert_denied(stranger.get(path, query))
        assert_denied(stranger.post(path, PARTS % part, query))
        assert_denied(stranger.delete(path, query))
    assert_absent(s3, path)
    assert s3.get(path, query).texts("Part/Size") == ["4"]
    theirs = other.post(path, query="uploads").text("UploadId")
    part = other.put(path, b"theirs", f"partNumber=1&uploadId={theirs}").headers["etag"].encode()
    for client in (other, s3):
        assert client.get(path, f"uploadId={theirs}").texts("Part/Size") == ["6"]
    for _ in range(2):
        assert other.post(path, PARTS % part, f"uploadId={theirs}").status == 200
    assert_holds(other, path, b"theirs")
    assert s3.delete(path, query).status == 204
    aborted = other.post(path, query="uploads").text("UploadId")
    assert other.delete(path, f"uploadId={aborted}").status == 204


def test_a062_nobody_begins_an_upload(anonymous: Client, open_bucket: str) -> None:
    """It could not be told whose it is; AWS lets nobody either."""
    assert_denied(anonymous.post(f"{open_bucket}/k", query="uploads"))
    assert anonymous.put(f"{open_bucket}/k", b"x").status == 200


def test_a063_an_account_lists_its_own_buckets_only(
    s3: Client, other: Client, anonymous: Client, target: Target
) -> None:
    own, theirs = target.own[1:].partition("/")[0], target.bucket[1:]
    for query in ("", f"prefix={theirs}", "max-buckets=10000", "bucket-region=us-east-1"):
        assert theirs not in other.get("/", query).texts("Buckets/Bucket/Name")
    names = other.get("/").texts("Buckets/Bucket/Name")
    assert own in names
    assert own not in s3.get("/").texts("Buckets/Bucket/Name")
    assert_denied(anonymous.get("/"))


def test_a064_a_foreign_bucket_cannot_be_taken_over(
    s3: Client, other: Client, anonymous: Client, target: Target
) -> None:
    answer = other.put(target.bucket)
    assert (answer.status, answer.code) == (409, "BucketAlreadyExists")
    answer = other.put(target.bucket, x_amz_acl="public-read-write")
    assert (answer.status, answer.code) == (409, "BucketAlreadyExists")
    assert_denied(anonymous.put(target.bucket))
    assert_denied(anonymous.put("/" + fresh_name("nobodys")))
    assert target.bucket[1:] in s3.get("/").texts("Buckets/Bucket/Name")
    assert_denied(anonymous.get(target.key))
    # Its owner may say it again, and loses nothing.
    assert s3.put(target.bucket).status == 200
    assert_holds(s3, target.key, b"private")


def test_a064_an_expected_owner_that_is_another_is_denied(s3: Client, target: Target) -> None:
    assert_denied(s3.get(target.key, x_amz_expected_bucket_owner=OTHER_ID))
    assert_denied(s3.put(target.key, b"evil", x_amz_expected_bucket_owner=OTHER_ID))
    headers = {"x-amz-copy-source": target.own, "x-amz-source-expected-bucket-owner": OWNER_ID}
    assert_denied(s3.request("PUT", f"{target.bucket}/c", headers=headers))
    assert_holds(s3, target.key, b"private")
    assert s3.get(target.key, x_amz_expected_bucket_owner=OWNER_ID).status == 200


# -- traversal

TRAVERSALS = [
    "../{other}/private",
    "..%2F{other}%2Fprivate",
    "%2e%2e/{other}/private",
    "%2E%2E%2F{other}/private",
    "a/../../{other}/private",
    "a/%2e%2e/%2e%2e/{other}/private",
    "..\\{other}\\private",
    "..%5C{other}%5Cprivate",
    "....//{other}/private",
    "%252e%252e%252f{other}%252fprivate",
    "/{other}/private",
    "%2F{other}%2Fprivate",
    "../../../../../../etc/passwd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..;/{other}/private",
    "./../{other}/private",
    "..%00/{other}/private",
    "..%c0%af{other}%c0%afprivate",
    ".",
    "..",
    "../",
]


@pytest.mark.parametrize("spelling", TRAVERSALS)
def test_a065_a066_dots_in_a_key_are_a_key_like_any_other(
    s3: Client, other: Client, target: Target, spelling: str
) -> None:
    bucket = target.own.rpartition("/")[0]
    path = f"{bucket}/{spelling.format(other=target.bucket[1:])}"
    before = snapshot(s3, target.bucket)
    answer = other.get(path)
    assert (answer.status, answer.code) in ((404, "NoSuchKey"), (400, "InvalidURI"))
    assert b"root:" not in answer.body
    answer = other.put(path, b"evil")
    if answer.status == 200:
        # Stored under that very key, in that very bucket.
        assert other.get(path).body == b"evil"
        assert len(keys_of(other, bucket)) == 2
        assert other.delete(path).status == 204
        assert keys_of(other, bucket) == ["k"]
    else:
        assert_refused(answer, "InvalidURI", "InvalidArgument")
    assert snapshot(s3, target.bucket) == before


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Client, Path]]:
    (tmp_path / "data").mkdir()
    app = make_app("file", tmp_path / "data", inline_threshold=0)
    yield Client(app, OTHER), tmp_path
    app.close()


def test_a066_no_key_decides_where_its_bytes_lie(folder: tuple[Client, Path]) -> None:
    client, root = folder
    assert client.put("/bucket").status == 200
    for spelling in (*TRAVERSALS, "a" * 1024, "con", "nul.txt", "a:b", "~", "$HOME", "*", "a%0Ab"):
        client.put(f"/bucket/{spelling.format(other='victim')}", b"evil" * 10)
    names = {
        os.path.relpath(os.path.join(where, name), root)
        for where, _, files in os.walk(root)
        for name in files
    }
    assert len(names) > 10
    for name in names:
        assert name.startswith("data/")
        for told in ("victim", "passwd", "private", "..", "con", "HOME"):
            assert told not in name.removeprefix("data/")
    assert not (root / "victim").exists()


@pytest.mark.parametrize(
    "source",
    [
        "{own}/../{other}/private",
        "{own}/%2e%2e/{other}/private",
        "{own}%2F..%2F{other}%2Fprivate",
        "{own}/..%252F{other}/private",
        "../{other}/private",
        "/../{other}/private",
        "%2F%2F{other}/private",
        "{other}%2Fprivate",
        "{other}%252Fprivate",
        "{other}/private?versionId=null&x=1",
        "{other}/private?versionid=null",
        "{own}/k?versionId=../../{other}/private",
        "{own}/k%3FversionId=null",
        "{other}/%70rivate",
        "%2e%2e%2f{other}%2fprivate",
        "http://127.0.0.1/{other}/private",
        "arn:aws:s3:::{other}/private",
        "\\{other}\\private",
        "{own}/k#/{other}/private",
    ],
)
@pytest.mark.parametrize("kind", ["object", "part"])
def test_a067_no_spelling_of_a_copy_source_reaches_another_bucket(
    s3: Client, other: Client, target: Target, source: str, kind: str
) -> None:
    own = target.own[1:].partition("/")[0]
    value = source.format(own=own, other=target.bucket[1:])
    path = f"/{own}/stolen"
    query = ""
    if kind == "part":
        upload = other.post(path, query="uploads").text("UploadId")
        query = f"partNumber=1&uploadId={upload}"
    answer = other.put(path, query=query, x_amz_copy_source=value)
    codes = ("AccessDenied", "InvalidArgument", "NoSuchKey", "NoSuchVersion", "NoSuchBucket")
    assert_refused(answer, *codes, "InvalidRequest")
    if kind == "part":
        assert other.get(path, f"uploadId={upload}").texts("Part/Size") == []
    assert_absent(other, path)
    assert_holds(s3, target.key, b"private")


def test_a067_the_copied_key_is_the_key_that_was_asked_about(s3: Client, other: Client) -> None:
    # versitygw 67aaa80d: one parser for the access check, another for the read.
    bucket = f"/{fresh_name('twice')}"
    s3.put(bucket)
    s3.put(f"{bucket}/a%2Fb", b"slash", x_amz_acl="public-read")
    s3.put(f"{bucket}/a%252Fb", b"escape")
    mine = f"/{fresh_name('mine')}"
    other.put(mine)
    assert_denied(other.put(f"{mine}/k", x_amz_copy_source=f"{bucket}/a%252Fb"))
    assert other.put(f"{mine}/k", x_amz_copy_source=f"{bucket}/a%2Fb").status == 200
    assert_holds(other, f"{mine}/k", b"slash")


def test_anonymous_is_let_in_by_acls_only(s3: Client, anonymous: Client, target: Target) -> None:
    assert anonymous.send("GET", target.own, {"Host": HOST}).body == b"evil"
    assert_denied(anonymous.put(target.own, b"defaced"))
    assert_denied(anonymous.get(target.own, "acl"))
