"""Probes of buckets, objects, listings and multipart uploads, and of what has no document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

from ..wire.address import aws_quote
from .endpoint import Answer
from .report import Verdict
from .settings import Probe
from .settings import describe
from .settings import setting_probes
from .trial import CONTENT
from .trial import SENTINEL
from .trial import Judged
from .trial import Trial
from .trial import Unready

PROBES: Final[dict[str, Probe]] = setting_probes()
"""The probe of every operation by its name."""

_NOBODY: Final = "s3kit-conformance-no-such-upload"


def _probe(name: str) -> Callable[[Probe], Probe]:
    def register(probe: Probe) -> Probe:
        assert name not in PROBES
        PROBES[name] = probe
        return probe

    return register


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


# -- buckets


@_probe("CreateBucket")
def _create_bucket(trial: Trial) -> str:
    name = trial.new_name()
    trial.ask(name, body=trial.location())
    answer = trial.send("HEAD", name)
    if answer.status != 200:
        trial.wrong(f"answered as done, but HEAD {describe(answer)}")
    return "the bucket is there"


@_probe("DeleteBucket")
def _delete_bucket(trial: Trial) -> str:
    other = trial.bucket()
    name = trial.bucket(empty=True)
    trial.leave(name)
    trial.ask(name)
    if trial.send("HEAD", name).status != 404:
        trial.wrong("answered as done, but the bucket is there")
    trial.send("DELETE", other)
    if trial.content(other, SENTINEL) != CONTENT:
        trial.wrong("deletes a bucket that is not empty")
    return "gone, and one that is not empty stays"


@_probe("HeadBucket")
def _head_bucket(trial: Trial) -> str:
    trial.ask(trial.bucket())
    missing = trial.send("HEAD", trial.new_name())
    if missing.status != 404:
        trial.wrong(f"answers {missing.status} for a bucket that is not there")
    return "and 404 for one that is not there"


@_probe("ListBuckets")
def _list_buckets(trial: Trial) -> str:
    name = trial.bucket()
    answer = trial.ask()
    trial.expect_root(answer, "ListAllMyBucketsResult", holding="Buckets/Bucket/Name")
    if name not in answer.texts("Buckets/Bucket/Name"):
        trial.wrong("does not list the bucket")
    return "lists the bucket"


@_probe("ListDirectoryBuckets")
def _list_directory_buckets(trial: Trial) -> str:
    name = trial.bucket()
    answer = trial.ask(query="max-directory-buckets=1000")
    if answer.root == "ListAllMyDirectoryBucketsResult":
        if name in answer.texts("Buckets/Bucket/Name"):
            trial.wrong("lists a bucket that is no directory bucket")
        return "none"
    # The URL is that of ListBuckets, which S3's own endpoints answer with.
    trial.expect_root(answer, "ListAllMyBucketsResult", holding="Buckets/Bucket/Name")
    if name not in answer.texts("Buckets/Bucket/Name"):
        trial.wrong("does not list the bucket")
    return "answers as ListBuckets, whose URL it shares"


@_probe("GetBucketLocation")
def _get_bucket_location(trial: Trial) -> str:
    answer = trial.ask(trial.bucket(), query="location")
    trial.expect_root(answer, "LocationConstraint")
    found = "" if answer.xml is None else (answer.xml.text or "").strip()
    if found != trial.endpoint.region and trial.endpoint.region != "us-east-1":
        trial.wrong(f"names {found!r}, not {trial.endpoint.region!r}")
    return f"names {found!r}"


@_probe("CreateSession")
def _create_session(trial: Trial) -> str:
    answer = trial.ask(trial.bucket(), query="session")
    trial.expect_root(answer, "CreateSessionResult", holding="Credentials/SessionToken")
    if not answer.text("Credentials/SessionToken"):
        trial.wrong("gives no session token")
    return "a session token"


def _policy(bucket: str) -> bytes:
    # It refuses what nobody asks for, so that it can stand in nobody's way, and is not public.
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "s3kit",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{bucket}/never/*",
                }
            ],
        }
    ).encode()


def _shows_policy(answer: Answer) -> bool:
    try:
        found = json.loads(answer.body)
        return bool(found["Statement"][0]["Sid"] == "s3kit")
    except (ValueError, LookupError, TypeError):
        return False


@_probe("PutBucketPolicy")
def _put_bucket_policy(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.ask(bucket, query="policy", body=_policy(bucket))
    answer = trial.send("GET", bucket, query="policy")
    if not _shows_policy(answer):
        trial.wrong(f"answered as done, but reading it back {describe(answer)}")
    return "read back"


def _with_policy(trial: Trial, *, empty: bool = False) -> tuple[str, bool]:
    bucket = trial.bucket(empty=empty)
    answer = trial.send("PUT", bucket, query="policy", body=_policy(bucket))
    return bucket, not trial.mend() and answer.good


@_probe("GetBucketPolicy")
def _get_bucket_policy(trial: Trial) -> str:
    bucket, there = _with_policy(trial)
    answer = trial.ask(bucket, query="policy")
    if not there or not _shows_policy(answer):
        if answer.root:
            trial.wrong(f"answers <{answer.root}>, not the policy")
        trial.wrong("does not show what was put")
    return "shows what was put"


@_probe("GetBucketPolicyStatus")
def _get_bucket_policy_status(trial: Trial) -> str:
    bucket, there = _with_policy(trial)
    answer = trial.ask(bucket, query="policyStatus")
    trial.expect_root(answer, "PolicyStatus", holding="IsPublic")
    if answer.text("IsPublic").lower() != "false":
        trial.wrong(f"calls a policy public that only denies: {answer.text('IsPublic')!r}")
    return "not public" if there else "nothing could be put"


@_probe("DeleteBucketPolicy")
def _delete_bucket_policy(trial: Trial) -> str:
    bucket, there = _with_policy(trial, empty=True)
    trial.ask(bucket, query="policy")
    answer = trial.send("GET", bucket, query="policy")
    if answer.status != 404 or answer.code == "NoSuchBucket":
        trial.wrong(f"answered as done, but a get {describe(answer)}")
    return "gone" if there else "there was nothing to delete"


# -- objects


@_probe("PutObject")
def _put_object(trial: Trial) -> str:
    bucket, body = trial.bucket(), b"put by s3kit"
    trial.leave(bucket, "new.txt")
    headers = {"Content-Type": "text/x-s3kit", "x-amz-meta-colour": "blue"}
    answer = trial.ask(bucket, "new.txt", headers=headers, body=body)
    if not answer.headers.get("etag"):
        trial.wrong("answers without an ETag")
    found = trial.send("GET", bucket, "new.txt")
    if found.status != 200 or found.body != body:
        trial.wrong(f"answered as done, but a get {describe(found)}")
    if found.headers.get("content-type") != "text/x-s3kit":
        trial.wrong("loses the content type")
    if found.headers.get("x-amz-meta-colour") != "blue":
        trial.wrong("loses the metadata")
    return "read back with its content type and metadata"


@_probe("GetObject")
def _get_object(trial: Trial) -> str:
    bucket = trial.bucket()
    answer = trial.ask(bucket, SENTINEL)
    if answer.body != CONTENT:
        trial.wrong("answers other bytes")
    part = trial.send("GET", bucket, SENTINEL, headers={"Range": "bytes=6-10"})
    if part.status == 200 and part.body == CONTENT:
        return "the bytes; a range is ignored"
    if part.status == 200 and part.headers.get("content-range"):
        trial.notes.append("a range has the status 200, in S3 it is 206")
    elif part.status != 206 or part.body != CONTENT[6:11]:
        trial.wrong(f"answers a range of 5 bytes with {part.status} and {len(part.body)} bytes")
    return "the bytes, and a range of them"


@_probe("HeadObject")
def _head_object(trial: Trial) -> str:
    bucket = trial.bucket()
    answer = trial.ask(bucket, SENTINEL)
    if answer.headers.get("content-length") != str(len(CONTENT)):
        trial.wrong(f"Content-Length is {answer.headers.get('content-length')}")
    if not answer.headers.get("etag"):
        trial.wrong("answers without an ETag")
    if trial.send("HEAD", bucket, "missing").status != 404:
        trial.wrong("does not answer 404 for an object that is not there")
    return "and 404 for one that is not there"


@_probe("CopyObject")
def _copy_object(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.leave(bucket, "copy")
    answer = trial.ask(bucket, "copy", headers={"x-amz-copy-source": f"/{bucket}/{SENTINEL}"})
    found = trial.content(bucket, "copy")
    if found == b"":
        trial.wrong("stored an empty object, as PutObject does")
    trial.expect_root(answer, "CopyObjectResult", holding="ETag")
    if found != CONTENT:
        trial.wrong("answered as done, but the copy has other bytes")
    return "the copy has the bytes"


@_probe("DeleteObject")
def _delete_object(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.put(bucket, "doomed", b"x")
    trial.leave(bucket, "doomed")
    trial.ask(bucket, "doomed")
    if trial.send("HEAD", bucket, "doomed").status != 404:
        trial.wrong("answered as done, but it is still there")
    return "gone"


@_probe("DeleteObjects")
def _delete_objects(trial: Trial) -> str:
    bucket, keys = trial.bucket(), ("one", "two")
    for key in keys:
        trial.put(bucket, key, b"x")
        trial.leave(bucket, key)
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    answer = trial.ask(bucket, query="delete", body=f"<Delete>{objects}</Delete>".encode())
    trial.expect_root(answer, "DeleteResult", holding="Deleted/Key")
    if set(answer.texts("Deleted/Key")) != set(keys):
        trial.wrong(f"says that it deleted {answer.texts('Deleted/Key')}")
    if any(trial.send("HEAD", bucket, key).status != 404 for key in keys):
        trial.wrong("answered as done, but one is still there")
    return "both gone"


def _tree(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.put(bucket, "folder/one", b"1")
    trial.put(bucket, "folder/two", b"2")
    return bucket


def _check_page(trial: Trial, answer: Answer) -> None:
    trial.expect_root(answer, "ListBucketResult", holding="Contents/Key")
    if answer.texts("Contents/Key") != [SENTINEL]:
        trial.wrong(f"lists {answer.texts('Contents/Key')}")
    if answer.texts("CommonPrefixes/Prefix") != ["folder/"]:
        trial.wrong("does not group by the delimiter")


@_probe("ListObjects")
def _list_objects(trial: Trial) -> str:
    answer = trial.ask(_tree(trial), query="delimiter=%2F")
    _check_page(trial, answer)
    if answer.texts("KeyCount"):
        trial.wrong("answers as ListObjectsV2")
    return "keys and a common prefix"


@_probe("ListObjectsV2")
def _list_objects_v2(trial: Trial) -> str:
    answer = trial.ask(_tree(trial), query="delimiter=%2F&list-type=2")
    _check_page(trial, answer)
    if answer.text("KeyCount") != "2":
        trial.wrong(f"KeyCount is {answer.text('KeyCount')!r}, not 2")
    return "keys, a common prefix and their count"


@_probe("ListObjectVersions")
def _list_object_versions(trial: Trial) -> str:
    bucket = trial.bucket()
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    versioned = trial.send("PUT", bucket, query="versioning", body=enabled).good
    versioned = not trial.mend() and versioned
    trial.put(bucket, "twice", b"first")
    trial.put(bucket, "twice", b"second")
    answer = trial.ask(bucket, query="versions")
    trial.expect_root(answer, "ListVersionsResult", holding="Version/Key")
    found = answer.texts("Version/Key").count("twice")
    if found != (2 if versioned else 1):
        trial.wrong(f"lists {found} versions of an object that was stored twice")
    return "two versions" if versioned else "one version; there is no versioning"


@_probe("GetObjectAttributes")
def _get_object_attributes(trial: Trial) -> str:
    wanted = {"x-amz-object-attributes": "ETag,ObjectSize"}
    answer = trial.ask(trial.bucket(), SENTINEL, "attributes", wanted)
    trial.expect_root(
        answer, "GetObjectAttributesResponse", "GetObjectAttributesOutput", holding="ObjectSize"
    )
    if answer.text("ObjectSize") != str(len(CONTENT)):
        trial.wrong(f"ObjectSize is {answer.text('ObjectSize')!r}")
    return "its size"


@_probe("GetObjectTorrent")
def _get_object_torrent(trial: Trial) -> str:
    answer = trial.ask(trial.bucket(), SENTINEL, "torrent")
    if not (answer.body.startswith(b"d") and b"4:info" in answer.body):
        if answer.body == CONTENT:
            trial.wrong("answers the object's bytes, as GetObject does")
        trial.wrong("answers what is no torrent")
    return "a torrent"


@_probe("RenameObject")
def _rename_object(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.put(bucket, "old", b"moved")
    trial.leave(bucket, "old")
    trial.leave(bucket, "new")
    try:
        trial.ask(bucket, "new", "renameObject", {"x-amz-rename-source": f"/{bucket}/old"})
    except Judged as judged:
        if judged.verdict is Verdict.REFUSED and trial.content(bucket, "new") is not None:
            trial.wrong("refused, but stored the new object")
        raise
    if trial.content(bucket, "new") == b"":
        trial.wrong("stored an empty object, as PutObject does")
    if trial.content(bucket, "new") != b"moved":
        trial.wrong("answered as done, but the new key has other bytes")
    if trial.send("HEAD", bucket, "old").status != 404:
        trial.wrong("the old key is still there")
    return "the object has moved"


@_probe("RestoreObject")
def _restore_object(trial: Trial) -> str:
    bucket = trial.bucket()
    key = SENTINEL
    try:
        trial.put(bucket, "frozen", b"ice", x_amz_storage_class="GLACIER")
        key = "frozen"
        trial.leave(bucket, key)
    except Unready:
        # Of an object that is not archived the refusal can be judged all the same.
        pass
    document = b"<RestoreRequest><Days>1</Days></RestoreRequest>"
    trial.ask(bucket, key, "restore", body=document, success=(200, 202))
    if not trial.send("HEAD", bucket, key).headers.get("x-amz-restore"):
        trial.wrong("answered as done, but the object does not say x-amz-restore")
    return "the object says x-amz-restore"


@_probe("SelectObjectContent")
def _select_object_content(trial: Trial) -> str:
    bucket = trial.bucket()
    table = b"name,age\nAda,36\nGrace,85\n"
    trial.put(bucket, "people.csv", table)
    document = (
        b"<SelectObjectContentRequest>"
        b"<Expression>SELECT s.name FROM S3Object s WHERE s.age = '36'</Expression>"
        b"<ExpressionType>SQL</ExpressionType>"
        b"<InputSerialization><CSV><FileHeaderInfo>USE</FileHeaderInfo></CSV></InputSerialization>"
        b"<OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>"
    )
    answer = trial.ask(bucket, "people.csv", "select&select-type=2", body=document)
    if b":event-type" not in answer.body:
        if answer.body == table:
            trial.wrong("answers the object's bytes, as GetObject does")
        trial.wrong(f"answers no event stream but {describe(answer)}")
    if b"Ada" not in answer.body or b"Grace" in answer.body:
        trial.wrong("answers other rows than were asked for")
    return "the row that was asked for"


@_probe("UpdateObjectEncryption")
def _update_object_encryption(trial: Trial) -> str:
    bucket = trial.bucket()
    document = (
        b"<ObjectEncryption><SSE-KMS><KMSKeyArn>"
        b"arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
        b"</KMSKeyArn></SSE-KMS></ObjectEncryption>"
    )
    trial.ask(bucket, SENTINEL, "encryption", body=document)
    found = trial.send("HEAD", bucket, SENTINEL).headers.get("x-amz-server-side-encryption", "")
    if not found.startswith("aws:kms"):
        trial.wrong("answered as done, but the object does not say so")
    return "the object says so"


@_probe("WriteGetObjectResponse")
def _write_get_object_response(trial: Trial) -> str:
    trial.bucket()
    headers = {"x-amz-request-route": "s3kit", "x-amz-request-token": "s3kit"}
    trial.ask("WriteGetObjectResponse", headers=headers, body=b"s3kit")
    trial.wrong("answered as done, but nobody waits for this response")


# -- annotations


_ANNOTATION: Final = "annotation&annotationName=noted"


@_probe("PutObjectAnnotation")
def _put_object_annotation(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.ask(bucket, SENTINEL, _ANNOTATION, body=b"noted")
    answer = trial.send("GET", bucket, SENTINEL, _ANNOTATION)
    if answer.body != b"noted":
        trial.wrong(f"answered as done, but reading it back {describe(answer)}")
    return "read back"


def _annotated(trial: Trial) -> tuple[str, bool]:
    bucket = trial.bucket()
    answer = trial.send("PUT", bucket, SENTINEL, _ANNOTATION, body=b"noted")
    return bucket, not trial.mend() and answer.good


@_probe("GetObjectAnnotation")
def _get_object_annotation(trial: Trial) -> str:
    bucket, _ = _annotated(trial)
    answer = trial.ask(bucket, SENTINEL, _ANNOTATION)
    if answer.body == CONTENT:
        trial.wrong("answers the object's bytes, as GetObject does")
    if answer.body != b"noted":
        trial.wrong("does not show what was put")
    return "shows what was put"


@_probe("ListObjectAnnotations")
def _list_object_annotations(trial: Trial) -> str:
    bucket, there = _annotated(trial)
    answer = trial.ask(bucket, SENTINEL, "annotation")
    trial.expect_root(
        answer,
        "ListObjectAnnotationsResult",
        "ListObjectAnnotationsOutput",
        holding=".//AnnotationName",
    )
    if there and "noted" not in answer.texts(".//AnnotationName"):
        trial.wrong("does not list what was put")
    return "lists what was put" if there else "nothing could be put"


@_probe("DeleteObjectAnnotation")
def _delete_object_annotation(trial: Trial) -> str:
    bucket, there = _annotated(trial)
    trial.ask(bucket, SENTINEL, _ANNOTATION)
    answer = trial.send("GET", bucket, SENTINEL, _ANNOTATION)
    if answer.status != 404 or answer.code in ("", "NoSuchBucket", "NoSuchKey"):
        trial.wrong(f"answered as done, but a get {describe(answer)}")
    return "gone" if there else "there was nothing to delete"


# -- multipart uploads


_PART: Final = b"the only part"


class _Upload:
    """An unfinished upload of one key; its id is made up where none can be begun."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.bucket = trial.bucket()
        self.key = "film"
        trial.leave(self.bucket, self.key)
        answer = trial.send("POST", self.bucket, self.key, "uploads")
        begun = not trial.mend() and trial.is_root(answer, "InitiateMultipartUploadResult")
        self.id = (answer.text("UploadId") if begun else "") or _NOBODY

    @property
    def query(self) -> str:
        """What names it in a query."""
        return f"uploadId={aws_quote(self.id, False)}"

    def part(self) -> str:
        """Upload the one part, unjudged; its ETag."""
        answer = self.trial.send(
            "PUT", self.bucket, self.key, f"partNumber=1&{self.query}", body=_PART
        )
        return answer.headers.get("etag", "") if answer.good else ""

    def document(self, etag: str) -> bytes:
        """What completes it."""
        quoted = etag.replace('"', "&quot;")
        return (
            f"<CompleteMultipartUpload><Part><ETag>{quoted}</ETag><PartNumber>1</PartNumber></Part>"
            "</CompleteMultipartUpload>"
        ).encode()

    def becomes(self, etag: str, body: bytes) -> None:
        """Complete it and see what the object has become."""
        answer = self.trial.send(
            "POST", self.bucket, self.key, self.query, body=self.document(etag)
        )
        if not answer.good:
            self.trial.wrong(f"answered as done, but completing it {describe(answer)}")
        if self.trial.content(self.bucket, self.key) != body:
            self.trial.wrong("answered as done, but the object has other bytes")

    def parts(self) -> Answer:
        """What ListParts says."""
        return self.trial.send("GET", self.bucket, self.key, self.query)


@_probe("CreateMultipartUpload")
def _create_multipart_upload(trial: Trial) -> str:
    bucket = trial.bucket()
    trial.leave(bucket, "film")
    answer = trial.ask(bucket, "film", "uploads")
    trial.expect_root(answer, "InitiateMultipartUploadResult", holding="UploadId")
    upload = answer.text("UploadId")
    if not upload:
        trial.wrong("gives no UploadId")
    if trial.content(bucket, "film") is not None:
        trial.wrong("stored the object already")
    parts = trial.send("GET", bucket, "film", f"uploadId={aws_quote(upload, False)}")
    if parts.good and trial.is_root(parts, "ListPartsResult"):
        return "its parts can be listed"
    uploads = trial.send("GET", bucket, query="uploads")
    if upload not in uploads.texts("Upload/UploadId"):
        trial.wrong("answered as done, but no list shows it")
    return "listed"


@_probe("UploadPart")
def _upload_part(trial: Trial) -> str:
    upload = _Upload(trial)
    answer = trial.ask(upload.bucket, upload.key, f"partNumber=1&{upload.query}", body=_PART)
    etag = answer.headers.get("etag", "")
    if not etag:
        trial.wrong("answers without an ETag")
    if trial.content(upload.bucket, upload.key) is not None:
        trial.wrong("stored an object, as PutObject does")
    upload.becomes(etag, _PART)
    return "the object is made of it"


@_probe("UploadPartCopy")
def _upload_part_copy(trial: Trial) -> str:
    upload = _Upload(trial)
    source = {"x-amz-copy-source": f"/{upload.bucket}/{SENTINEL}"}
    answer = trial.ask(upload.bucket, upload.key, f"partNumber=1&{upload.query}", source)
    if trial.content(upload.bucket, upload.key) is not None:
        trial.wrong("stored an object, as CopyObject does")
    if not answer.root and answer.headers.get("etag", "").strip('"') == _etag(b""):
        trial.wrong("stored an empty part, as UploadPart does")
    trial.expect_root(answer, "CopyPartResult", holding="ETag")
    upload.becomes(answer.text("ETag"), CONTENT)
    return "the object is made of it"


@_probe("CompleteMultipartUpload")
def _complete_multipart_upload(trial: Trial) -> str:
    upload = _Upload(trial)
    etag = upload.part() or f'"{_etag(_PART)}"'
    answer = trial.ask(upload.bucket, upload.key, upload.query, body=upload.document(etag))
    trial.expect_root(answer, "CompleteMultipartUploadResult", holding="ETag")
    if trial.content(upload.bucket, upload.key) != _PART:
        trial.wrong("answered as done, but the object has other bytes")
    return "the object is there"


@_probe("AbortMultipartUpload")
def _abort_multipart_upload(trial: Trial) -> str:
    upload = _Upload(trial)
    etag = upload.part()
    trial.ask(upload.bucket, upload.key, upload.query)
    document = upload.document(etag)
    again = trial.send("POST", upload.bucket, upload.key, upload.query, body=document)
    if again.good or trial.content(upload.bucket, upload.key) is not None:
        trial.wrong("answered as done, but it can still be completed")
    if upload.id == _NOBODY:
        trial.wrong("answered as done, but there was no such upload")
    return "it can no longer be completed"


@_probe("ListParts")
def _list_parts(trial: Trial) -> str:
    upload = _Upload(trial)
    upload.part()
    answer = trial.ask(upload.bucket, upload.key, upload.query)
    trial.expect_root(answer, "ListPartsResult", holding="Part/Size")
    if answer.texts("Part/Size") != [str(len(_PART))]:
        trial.wrong(f"lists parts of {answer.texts('Part/Size')} bytes")
    return "lists the part"


@_probe("ListMultipartUploads")
def _list_multipart_uploads(trial: Trial) -> str:
    upload = _Upload(trial)
    answer = trial.ask(upload.bucket, query="uploads")
    trial.expect_root(answer, "ListMultipartUploadsResult", holding="Upload/UploadId")
    if upload.id == _NOBODY:
        return "no upload could be begun"
    if upload.id not in answer.texts("Upload/UploadId"):
        trial.wrong("does not list the upload")
    return "lists the upload"
