"""What is written once and may not be removed: ways past it that others have left open."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.client import Answer
from tests.client import Client
from tests.endpoint import fresh_name

BYPASS = {"x-amz-bypass-governance-retention": "true"}
UNTIL = "2300-01-01T00:00:00Z"
RETENTION = "<Retention><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>"
EARLIER = "2200-01-01T00:00:00Z"


def send(client: Client, method: str, path: str, query: str, body: str, **more: str) -> Answer:
    data = body.encode()
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    headers = {"Content-MD5": base64.b64encode(digest).decode(), **more, **BYPASS}
    return client.request(method, path, query, headers, data)


@pytest.fixture(params=["COMPLIANCE", "GOVERNANCE", "hold"])
def lock(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def locked(s3: Client, lock: str) -> tuple[str, str]:
    """The path of a locked object and the id of its version."""
    bucket = f"/{fresh_name('locked')}"
    assert s3.put(bucket, x_amz_bucket_object_lock_enabled="true").status == 200
    path = f"{bucket}/evidence"
    version = s3.put(path, b"evidence").headers["x-amz-version-id"]
    if lock == "hold":
        document, query = "<LegalHold><Status>ON</Status></LegalHold>", "legal-hold"
    else:
        document, query = RETENTION.format(lock, UNTIL), "retention"
    assert send(s3, "PUT", path, query, document).status == 200
    return path, version


def test_a115_what_is_locked_is_neither_removed_nor_replaced(
    s3: Client, other: Client, anonymous: Client, locked: tuple[str, str], lock: str
) -> None:
    """versitygw 12da1e20: a write past the lock; RustFS GHSA-j548-9grx-fh4f: another operation."""
    path, version = locked
    bucket = path.rpartition("/")[0]
    s3.put(bucket, b"", "acl", x_amz_acl="public-read-write")
    this = f"versionId={version}"
    listed = (
        f"<Delete><Object><Key>evidence</Key><VersionId>{version}</VersionId></Object></Delete>"
    )
    clients = (other, anonymous) if lock == "GOVERNANCE" else (s3, other, anonymous)
    for client in clients:
        # The header alone is no permission, and no permission goes past COMPLIANCE or a hold.
        assert client.request("DELETE", path, this, BYPASS).code == "AccessDenied"
        several = send(client, "POST", bucket, "delete", listed)
        assert b"<Deleted>" not in several.body
        for method, query in (("PUT", this), ("POST", this), ("DELETE", f"retention&{this}")):
            assert client.request(method, path, query, BYPASS).status in (400, 403, 405, 501)
        for document in (
            "<Retention/>",
            RETENTION.format(lock, EARLIER),
            RETENTION.format("GOVERNANCE", EARLIER),
        ):
            answer = send(client, "PUT", path, f"retention&{this}", document)
            assert answer.status != 200 or lock == "hold"
    suspend = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
    assert send(s3, "PUT", bucket, "versioning", suspend).code == "InvalidBucketState"
    for enabled in ("Disabled", ""):
        off = f"<ObjectLockEnabled>{enabled}</ObjectLockEnabled>"
        off = f"<ObjectLockConfiguration>{off}</ObjectLockConfiguration>"
        assert send(s3, "PUT", bucket, "object-lock", off).code == "MalformedXML"
    assert s3.request("DELETE", bucket, "object-lock", BYPASS).status in (405, 501)
    assert s3.request("DELETE", bucket, "", BYPASS).code == "BucketNotEmpty"
    # New versions and markers come over it, and leave it as it is.
    assert s3.put(path, b"forged").status == 200
    copied = {"x-amz-copy-source": path, "x-amz-metadata-directive": "REPLACE"}
    assert s3.request("PUT", path, "", copied).status == 200
    upload = s3.post(path, query="uploads").text("UploadId")
    etag = s3.put(path, b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    parts = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    assert s3.post(path, parts.encode(), f"uploadId={upload}").status == 200
    assert s3.delete(path).status == 204
    found = s3.get(path, this)
    assert (found.status, found.body) == (200, b"evidence")
    if lock != "hold":
        assert found.headers["x-amz-object-lock-mode"] == lock
    else:
        assert found.headers["x-amz-object-lock-legal-hold"] == "ON"
