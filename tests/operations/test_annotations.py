"""Annotations: put, got, listed and deleted, per version, and what copies do with them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from s3kit.app import S3App
from s3kit.signals import Event
from s3kit.signals import object_annotated
from s3kit.store.annotations import MOST
from s3kit.wire import checksums
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import make_app
from tests.endpoint import parsed

TEXT = '{"label": "Katze", "ähnlich": 0.97}'.encode()
MIB = 1 << 20


def query(name: str | None = None, **more: str) -> str:
    pairs = ["annotation"]
    if name is not None:
        pairs.append(f"annotationName={quote(name, safe='')}")
    pairs += [f"{key.replace('_', '-')}={quote(value, safe='')}" for key, value in more.items()]
    return "&".join(pairs).replace("version-id", "versionId")


def annotate(client: Client, path: str, name: str, text: bytes = TEXT, **headers: str) -> Answer:
    answer = client.put(path, text, query(name), **headers)
    assert answer.status == 200, answer.body
    return answer


def names(client: Client, path: str, **more: str) -> list[str]:
    found = parsed("ListObjectAnnotations", client.get(path, query(**more)))
    return [entry["AnnotationName"] for entry in found["Annotations"]]


@pytest.fixture
def path(s3: Client, bucket: str) -> str:
    s3.put(f"{bucket}/k", b"the object")
    return f"{bucket}/k"


@pytest.fixture
def versioned(s3: Client, bucket: str) -> str:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert s3.put(bucket, body, "versioning").status == 200
    return f"{bucket}/k"


def test_an_annotation_is_put_and_read_back(s3: Client, path: str) -> None:
    before = s3.head(path).headers
    answer = annotate(s3, path, "labels.v1")
    etag = f'"{hashlib.md5(TEXT).hexdigest()}"'
    crc = checksums.encode(checksums.digest_of("CRC64NVME", TEXT))
    found = parsed("PutObjectAnnotation", answer)
    assert (found["Key"], found["AnnotationName"], found["ETag"]) == ("k", "labels.v1", etag)
    assert (found["ChecksumCRC64NVME"], found["ChecksumType"]) == (crc, "FULL_OBJECT")
    assert "ObjectVersionId" not in found
    got = s3.get(path, query("labels.v1"))
    assert (got.status, got.body) == (200, TEXT)
    assert got.headers["etag"] == etag
    assert got.headers["content-length"] == str(len(TEXT))
    assert "x-amz-checksum-crc64nvme" not in got.headers
    checked = s3.get(path, query("labels.v1"), x_amz_checksum_mode="ENABLED")
    assert checked.headers["x-amz-checksum-crc64nvme"] == crc
    # The object stays as it was.
    after = s3.head(path).headers
    for name in ("etag", "last-modified", "content-length"):
        assert after[name] == before[name]
    assert s3.get(path).body == b"the object"


def test_botocore_puts_reads_lists_and_deletes_annotations(
    app: S3App, mount: str, s3: Client, path: str
) -> None:
    client = boto_client(app, mount=mount)
    bucket, _, key = path[1:].partition("/")
    this = {"Bucket": bucket, "Key": key}
    for algorithm in ("CRC32", "SHA512", "XXHASH3"):
        made = client.put_object_annotation(
            **this, AnnotationName=algorithm, AnnotationPayload=TEXT, ChecksumAlgorithm=algorithm
        )
        got = client.get_object_annotation(**this, AnnotationName=algorithm, ChecksumMode="ENABLED")
        assert got["AnnotationPayload"].read() == TEXT
        assert got[f"Checksum{algorithm}"] == made[f"Checksum{algorithm}"]
        assert got["ContentLength"] == len(TEXT)
    page = client.list_object_annotations(**this, MaxAnnotationResults=2)
    assert page["AnnotationCount"] == page["MaxAnnotationResults"] == 2
    assert [entry["AnnotationName"] for entry in page["Annotations"]] == ["CRC32", "SHA512"]
    entry = page["Annotations"][0]
    assert entry["ChecksumAlgorithm"] == ["CRC32"]
    assert (entry["Size"], entry["ETag"]) == (len(TEXT), f'"{hashlib.md5(TEXT).hexdigest()}"')
    got = client.get_object_annotation(**this, AnnotationName="CRC32")
    assert entry["LastModified"].replace(microsecond=0) == got["LastModified"]
    assert (page["Bucket"], page["Key"]) == (bucket, key)
    rest = client.list_object_annotations(**this, ContinuationToken=page["NextContinuationToken"])
    assert [entry["AnnotationName"] for entry in rest["Annotations"]] == ["XXHASH3"]
    assert rest["ContinuationToken"] == page["NextContinuationToken"]
    assert "NextContinuationToken" not in rest
    client.delete_object_annotation(**this, AnnotationName="CRC32")
    with pytest.raises(client.exceptions.NoSuchAnnotation):
        client.get_object_annotation(**this, AnnotationName="CRC32")
    with pytest.raises(ClientError) as error:
        client.put_object_annotation(**this, AnnotationName="n", AnnotationPayload=b"\xff")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 415
    assert error.value.response["Error"]["Code"] == "UnsupportedMediaType"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "InvalidAnnotationName"),
        (" ", "InvalidAnnotationName"),
        ("a b", "InvalidAnnotationName"),
        ("a/b", "InvalidAnnotationName"),
        ("a\0", "InvalidAnnotationName"),
        ("a\n", "InvalidAnnotationName"),
        ("²", "InvalidAnnotationName"),
        ("\ufffd", "InvalidAnnotationName"),
        ("aws", "InvalidAnnotationName"),
        ("AWS-internal", "InvalidAnnotationName"),
        ("s3.x", "InvalidAnnotationName"),
        ("S3", "InvalidAnnotationName"),
        ("n" * 513, "AnnotationNameTooLong"),
        ("ä" * 257, "AnnotationNameTooLong"),
    ],
)
def test_a_name_that_no_annotation_may_have_is_refused(
    s3: Client, path: str, name: str, code: str
) -> None:
    answer = s3.put(path, TEXT, query(name))
    assert (answer.status, answer.code) == (400, code)
    assert names(s3, path) == []
    assert s3.get(path, query(name)).code == "NoSuchAnnotation"


@pytest.mark.parametrize("name", ["n", "n" * 512, "ä" * 256, "標籤_1.-", "aw", "0"])
def test_every_allowed_name_is_kept(s3: Client, path: str, name: str) -> None:
    annotate(s3, path, name)
    assert names(s3, path) == [name]
    assert s3.get(path, query(name)).body == TEXT


def test_a_text_has_a_byte_to_a_mib_of_utf8(s3: Client, path: str) -> None:
    annotate(s3, path, "small", b"x")
    annotate(s3, path, "large", "é".encode() * (MIB // 2))
    assert len(s3.get(path, query("large")).body) == MIB
    wrong = (
        (b"", 400, "InvalidRequest"),
        (bytes(MIB + 1), 400, "EntityTooLarge"),
        (b"caf\xe9", 415, "UnsupportedMediaType"),
        (b"\xed\xa0\x80", 415, "UnsupportedMediaType"),
    )
    for text, status, code in wrong:
        answer = s3.put(path, text, query("wrong"))
        assert (answer.status, answer.code) == (status, code)
    assert names(s3, path) == ["large", "small"]


def test_a_text_must_be_what_its_checksum_says(s3: Client, path: str) -> None:
    value = checksums.encode(checksums.digest_of("CRC32", TEXT))
    annotate(s3, path, "right", x_amz_checksum_crc32=value)
    answer = s3.put(path, b"another", query("wrong"), x_amz_checksum_crc32=value)
    assert (answer.status, answer.code) == (400, "BadDigest")
    md5 = base64.b64encode(hashlib.md5(TEXT).digest()).decode()
    annotate(s3, path, "md5", Content_MD5=md5)
    assert s3.put(path, b"another", query("wrong"), Content_MD5=md5).code == "BadDigest"
    assert names(s3, path) == ["md5", "right"]


def test_an_annotation_is_replaced_in_place(s3: Client, path: str) -> None:
    annotate(s3, path, "n", b"first")
    annotate(s3, path, "n", b"second one")
    assert s3.get(path, query("n")).body == b"second one"
    found = parsed("ListObjectAnnotations", s3.get(path, query()))
    assert [entry["Size"] for entry in found["Annotations"]] == [10]


def test_a_list_is_paged_in_the_order_of_bytes_and_filtered_by_prefix(
    s3: Client, path: str
) -> None:
    wanted = ["Z", "a", "a-b", "a.b", "ab", "b", "ä", "標"]
    for name in reversed(wanted):
        annotate(s3, path, name)
    assert names(s3, path) == sorted(wanted, key=str.encode)
    assert names(s3, path, annotation_prefix="a") == ["a", "a-b", "a.b", "ab"]
    assert names(s3, path, annotation_prefix="ä") == ["ä"]
    assert names(s3, path, annotation_prefix="x") == []
    seen: list[str] = []
    token = None
    while True:
        more = {"max_annotation_results": "3"} | ({"continuation_token": token} if token else {})
        answer = s3.get(path, query(**more))
        found = parsed("ListObjectAnnotations", answer)
        assert found["AnnotationCount"] == len(found["Annotations"]) <= 3
        seen += [entry["AnnotationName"] for entry in found["Annotations"]]
        token = found.get("NextContinuationToken")
        if token is None:
            break
    assert seen == sorted(wanted, key=str.encode)
    found = parsed("ListObjectAnnotations", s3.get(path, query(annotation_prefix="a")))
    assert found["AnnotationPrefix"] == "a"
    assert found["MaxAnnotationResults"] == 1000


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"max_annotation_results": "0"}, "InvalidArgument"),
        ({"max_annotation_results": "1001"}, "InvalidArgument"),
        ({"max_annotation_results": "many"}, "InvalidArgument"),
        ({"continuation_token": ""}, "InvalidArgument"),
        ({"continuation_token": "not base64!"}, "InvalidArgument"),
        ({"continuation_token": "/w=="}, "InvalidArgument"),
        ({"annotation_prefix": "a b"}, "InvalidPrefix"),
        ({"annotation_prefix": "a" * 513}, "InvalidPrefix"),
        ({"version_id": ""}, "InvalidArgument"),
        ({"version_id": "none"}, "NoSuchVersion"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(
    s3: Client, path: str, more: dict[str, str], code: str
) -> None:
    answer = s3.get(path, query(**more))
    assert (answer.status, answer.code) == (404 if code == "NoSuchVersion" else 400, code)


def test_what_is_not_there_is_told_apart(s3: Client, bucket: str, path: str) -> None:
    missing = f"{bucket}/missing"
    for answer in (
        s3.put(missing, TEXT, query("n")),
        s3.get(missing, query("n")),
        s3.get(missing, query()),
        s3.delete(missing, query("n")),
    ):
        assert (answer.status, answer.code) == (404, "NoSuchKey")
    answer = s3.get(path, query("n"))
    assert (answer.status, answer.code) == (404, "NoSuchAnnotation")
    gone = s3.delete(path, query("n"))
    assert (gone.status, gone.body) == (204, b"")
    assert s3.get("/no-such-bucket-here/k", query("n")).code == "NoSuchBucket"


def test_without_a_name_nothing_is_put_or_deleted(s3: Client, path: str) -> None:
    annotate(s3, path, "n")
    for answer in (s3.put(path, TEXT, "annotation"), s3.delete(path, "annotation")):
        assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(path).body == b"the object"
    assert names(s3, path) == ["n"]


def test_others_may_neither_read_nor_write_annotations(
    s3: Client, other: Client, anonymous: Client, path: str
) -> None:
    annotate(s3, path, "n")
    assert s3.put(path, b"", "acl", x_amz_acl="public-read-write").status == 200
    for client in (other, anonymous):
        for answer in (
            client.get(path, query("n")),
            client.get(path, query()),
            client.put(path, TEXT, query("m")),
            client.delete(path, query("n")),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert names(s3, path) == ["n"]


@pytest.mark.parametrize("quoted", [True, False])
def test_the_object_must_have_the_etag_that_a_client_knows(
    s3: Client, path: str, quoted: bool
) -> None:
    etag = s3.head(path).headers["etag"]
    etag = etag if quoted else etag.strip('"')
    annotate(s3, path, "n", x_amz_object_if_match=etag)
    s3.put(path, b"another")
    annotate(s3, path, "kept")
    for answer in (
        s3.put(path, TEXT, query("m"), x_amz_object_if_match=etag),
        s3.delete(path, query("kept"), x_amz_object_if_match=etag),
    ):
        assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert names(s3, path) == ["kept"]
    etag = s3.head(path).headers["etag"]
    assert s3.delete(path, query("kept"), x_amz_object_if_match=etag).status == 204


def test_annotations_go_with_the_object_that_is_overwritten_or_deleted(
    s3: Client, path: str
) -> None:
    annotate(s3, path, "n")
    s3.put(path, b"another")
    assert names(s3, path) == []
    annotate(s3, path, "n")
    s3.delete(path)
    s3.put(path, b"again")
    assert names(s3, path) == []


def test_each_version_has_annotations_of_its_own(s3: Client, versioned: str) -> None:
    first = s3.put(versioned, b"one").headers["x-amz-version-id"]
    assert annotate(s3, versioned, "n", b"first").headers["x-amz-object-version-id"] == first
    second = s3.put(versioned, b"two").headers["x-amz-version-id"]
    assert names(s3, versioned) == []
    answer = s3.put(versioned, b"later", query("m", version_id=first))
    assert parsed("PutObjectAnnotation", answer)["ObjectVersionId"] == first
    assert names(s3, versioned, version_id=first) == ["m", "n"]
    assert names(s3, versioned, version_id=second) == []
    marker = s3.delete(versioned).headers["x-amz-version-id"]
    assert s3.get(versioned, query("n")).code == "NoSuchKey"
    got = s3.get(versioned, query("n", version_id=first))
    assert (got.body, got.headers["x-amz-object-version-id"]) == (b"first", first)
    refused = s3.put(versioned, TEXT, query("n", version_id=marker))
    assert (refused.status, refused.code) == (405, "MethodNotAllowed")
    gone = s3.delete(versioned, query("n", version_id=first))
    assert gone.headers["x-amz-object-version-id"] == first
    assert names(s3, versioned, version_id=first) == ["m"]
    s3.delete(versioned, f"versionId={first}")
    assert s3.get(versioned, query("m", version_id=first)).code == "NoSuchVersion"


def test_a_version_has_a_thousand_annotations_and_no_more(
    app: S3App, s3: Client, bucket: str, path: str
) -> None:
    found = app.store.buckets.get(bucket[1:])
    etag = hashlib.md5(b"x").hexdigest()
    version = app.store.objects.get(found, b"k")
    for number in range(MOST - 1):
        app.store.annotations.put(found, version, f"n{number:03}", b"x", etag=etag)
    annotate(s3, path, "last")
    answer = s3.put(path, TEXT, query("more"))
    assert (answer.status, answer.code) == (400, "AnnotationLimitExceeded")
    annotate(s3, path, "n000", b"replaced")
    assert len(names(s3, path)) == MOST
    s3.delete(path, query("n001"))
    annotate(s3, path, "more")


def test_who_listens_hears_of_annotations(s3: Client, path: str) -> None:
    heard: list[Event] = []

    def receive(bucket: str, *, event: Event) -> None:
        heard.append(event)

    with object_annotated.connected_to(receive):
        annotate(s3, path, "n")
        s3.delete(path, query("n"))
        s3.delete(path, query("n"))
    assert [event.name for event in heard] == [
        "s3:ObjectAnnotation:Put",
        "s3:ObjectAnnotation:Delete",
    ]
    assert heard[0].key == "k"


def test_who_must_not_miss_it_hears_of_annotations_too(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    def receive(name: str, *, event: Event) -> None:
        heard.append((event.name, event.key))

    app = make_app("memory", tmp_path)
    try:
        app.store.outbox.enabled = False
        app.store.outbox.subscribe(receive, object_annotated)
        client = Client(app, OWNER)
        client.put("/annotated")
        client.put("/annotated/k", b"the object")
        annotate(client, "/annotated/k", "n")
        client.delete("/annotated/k", query("n"))
        client.delete("/annotated/k", query("n"))
        app.store.outbox.deliver()
    finally:
        app.close()
    assert heard == [("s3:ObjectAnnotation:Put", "k"), ("s3:ObjectAnnotation:Delete", "k")]


def test_a_policy_may_name_annotations(s3: Client, other: Client, bucket: str, path: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": OTHER_ID},
        "Action": ["s3:GetObjectAnnotation", "s3:PutObjectAnnotation"],
        "Resource": f"arn:aws:s3:::{bucket[1:]}/*",
        "Condition": {"StringLike": {"s3:AnnotationName": "public.*"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    assert s3.put(bucket, json.dumps(policy).encode(), "policy").status == 204
    annotate(s3, path, "public.a")
    annotate(s3, path, "secret")
    assert other.get(path, query("public.a")).body == TEXT
    annotate(other, path, "public.b")
    for answer in (
        other.get(path, query("secret")),
        other.put(path, TEXT, query("secret")),
        other.delete(path, query("public.a")),
        other.get(path, query()),
    ):
        assert (answer.status, answer.code) == (403, "AccessDenied")


# -- locks


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE", "legal hold"])
def test_no_text_of_a_locked_version_is_lost(s3: Client, bucket: str, mode: str) -> None:
    path = f"{bucket}-{mode.replace(' ', '-').lower()}"
    assert s3.put(path, x_amz_bucket_object_lock_enabled="true").status == 200
    path += "/k"
    lock = {"x-amz-object-lock-legal-hold": "ON"}
    if mode != "legal hold":
        until = "2099-01-01T00:00:00Z"
        lock = {"x-amz-object-lock-mode": mode, "x-amz-object-lock-retain-until-date": until}
    md5 = base64.b64encode(hashlib.md5(b"locked").digest()).decode()
    put = s3.request("PUT", path, "", {"Content-MD5": md5, **lock}, b"locked")
    version = put.headers["x-amz-version-id"]
    annotate(s3, path, "n")
    annotate(s3, path, "m")
    for which in (query("n"), query("n", version_id=version)):
        for answer in (s3.delete(path, which), s3.put(path, b"another", which)):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(path, query("n")).body == TEXT
    bypass = {"x-amz-bypass-governance-retention": "true"}
    passes = mode == "GOVERNANCE"
    answer = s3.request("DELETE", path, query("n"), bypass)
    assert answer.status == (204 if passes else 403)
    answer = s3.request("PUT", path, query("m"), bypass, b"another")
    assert answer.status == (200 if passes else 403)
    assert names(s3, path) == (["m"] if passes else ["m", "n"])


# -- copies


def copy(client: Client, source: str, target: str, query: str = "", **headers: str) -> Answer:
    return client.put(target, b"", query, x_amz_copy_source=source, **headers)


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_copy_takes_the_annotations_along_unless_told_not_to(
    s3: Client, bucket: str, size: int
) -> None:
    path = f"{bucket}/k"
    s3.put(path, bytes(size))
    value = checksums.encode(checksums.digest_of("SHA256", TEXT))
    annotate(s3, path, "n", x_amz_checksum_sha256=value)
    annotate(s3, path, "m", b"other")
    for number, headers in enumerate(({}, {"x_amz_object_annotation_directive": "COPY"})):
        target = f"{bucket}/copy{number}"
        assert copy(s3, path, target, **headers).status == 200
        assert names(s3, target) == ["m", "n"]
        got = s3.get(target, query("n"), x_amz_checksum_mode="ENABLED")
        assert (got.body, got.headers["x-amz-checksum-sha256"]) == (TEXT, value)
    without = f"{bucket}/without"
    answer = copy(s3, path, without, x_amz_object_annotation_directive="EXCLUDE")
    assert answer.status == 200
    assert names(s3, without) == []
    presigned = f"{bucket}/presigned"
    assert copy(s3, path, presigned, "x-amz-object-annotation-directive=EXCLUDE").status == 200
    assert names(s3, presigned) == []
    wrong = copy(s3, path, f"{bucket}/wrong", x_amz_object_annotation_directive="REPLACE")
    assert (wrong.status, wrong.code) == (400, "InvalidArgument")
    assert s3.head(f"{bucket}/wrong").status == 404


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_copy_onto_itself_keeps_the_annotations(s3: Client, bucket: str, size: int) -> None:
    path = f"{bucket}/k"
    s3.put(path, bytes(size))
    annotate(s3, path, "n")
    assert copy(s3, path, path, x_amz_metadata_directive="REPLACE").status == 200
    assert s3.get(path, query("n")).body == TEXT
    answer = copy(
        s3,
        path,
        path,
        x_amz_metadata_directive="REPLACE",
        x_amz_object_annotation_directive="EXCLUDE",
    )
    assert answer.status == 200
    assert names(s3, path) == []


def test_a_copy_with_another_checksum_gives_it_to_the_annotations_too(
    s3: Client, bucket: str, path: str
) -> None:
    annotate(s3, path, "n")
    annotate(s3, path, "m", b"other")
    target = f"{bucket}/copy"
    assert copy(s3, path, target, x_amz_checksum_algorithm="SHA1").status == 200
    for name, text in (("n", TEXT), ("m", b"other")):
        got = s3.get(target, query(name), x_amz_checksum_mode="ENABLED")
        value = checksums.encode(checksums.digest_of("SHA1", text))
        assert (got.body, got.headers["x-amz-checksum-sha1"]) == (text, value)
    assert s3.get(path, query("n"), x_amz_checksum_mode="ENABLED").headers[
        "x-amz-checksum-crc64nvme"
    ]


def test_to_copy_annotations_one_must_be_allowed_to_read_them(
    s3: Client, other: Client, path: str, bucket: str
) -> None:
    mine = f"{bucket}-other"
    assert other.put(mine).status == 200
    assert s3.put(path, b"", "acl", x_amz_acl="public-read").status == 200
    assert copy(other, path, f"{mine}/k").status == 200
    annotate(s3, path, "n")
    refused = copy(other, path, f"{mine}/k2")
    assert (refused.status, refused.code) == (403, "AccessDenied")
    answer = copy(other, path, f"{mine}/k2", x_amz_object_annotation_directive="EXCLUDE")
    assert answer.status == 200


def test_a_named_versions_annotations_are_copied(s3: Client, versioned: str) -> None:
    first = s3.put(versioned, b"one").headers["x-amz-version-id"]
    annotate(s3, versioned, "n")
    s3.put(versioned, b"two")
    assert copy(s3, f"{versioned}?versionId={first}", f"{versioned}2").status == 200
    assert names(s3, f"{versioned}2") == ["n"]
    assert copy(s3, versioned, f"{versioned}3").status == 200
    assert names(s3, f"{versioned}3") == []
