"""A bucket's lifecycle document as S3 takes and shows it, and what answers tell of it."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.wire.headers import parse_http_date
from tests.client import Answer
from tests.client import Client
from tests.endpoint import parsed
from tests.operations.test_cors import boto_of

pytestmark = pytest.mark.usefixtures("one_day")

DAY = 86_400_000
SMALLEST = "x-amz-transition-default-minimum-object-size"
RULES: list[dict[str, Any]] = [
    {
        "ID": "everything",
        "Filter": {
            "And": {
                "Prefix": "logs/",
                "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}],
                "ObjectSizeGreaterThan": 5,
                "ObjectSizeLessThan": 5_000_000_000,
            }
        },
        "Status": "Enabled",
        "Transitions": [
            {"Days": 30, "StorageClass": "STANDARD_IA"},
            {"Days": 60, "StorageClass": "GLACIER"},
            {"Days": 61, "StorageClass": "DEEP_ARCHIVE"},
        ],
        "Expiration": {"Days": 90},
        "NoncurrentVersionTransitions": [
            {"NoncurrentDays": 1, "StorageClass": "GLACIER_IR", "NewerNoncurrentVersions": 3}
        ],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 100},
    },
    {
        "ID": "uploads and markers ü",
        "Filter": {},
        "Status": "Disabled",
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    },
    {
        "ID": "by a tag",
        "Filter": {"Tag": {"Key": "a", "Value": "1"}},
        "Status": "Enabled",
        "Expiration": {"Days": 1},
    },
]
LEGACY: list[dict[str, Any]] = [
    {
        "ID": "old",
        "Prefix": "old/",
        "Status": "Enabled",
        "Transition": {"Days": 30, "StorageClass": "ONEZONE_IA"},
        "Expiration": {"Days": 61},
        "NoncurrentVersionTransition": {"NoncurrentDays": 30, "StorageClass": "STANDARD_IA"},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 31},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
]


def rule(
    actions: str = "", where: str = "<Filter/>", more: str = "", status: str = "Enabled"
) -> str:
    actions = actions or "<Expiration><Days>1</Days></Expiration>"
    return f"<Rule>{more}{where}<Status>{status}</Status>{actions}</Rule>"


def document(*rules: str) -> bytes:
    return f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode()


def put(client: Client, bucket: str, body: bytes, **headers: str) -> Answer:
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    return client.put(bucket, body, "lifecycle", content_md5=digest, **headers)


# The document


def test_the_rules_are_kept_as_they_were_put(s3: Client, bucket: str) -> None:
    """FB-05, FB-11: through botocore both ways, and by both names of the operation."""
    boto = boto_of(s3.app, s3.mount)
    name = bucket[1:]
    with pytest.raises(ClientError) as refused:
        boto.get_bucket_lifecycle_configuration(Bucket=name)
    assert refused.value.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"
    answer = boto.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={"Rules": RULES},
        TransitionDefaultMinimumObjectSize="varies_by_storage_class",
    )
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    answer = boto.get_bucket_lifecycle_configuration(Bucket=name)
    assert answer["Rules"] == RULES
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    shown = s3.get(bucket, "lifecycle")
    assert parsed("GetBucketLifecycleConfiguration", shown)["Rules"] == RULES
    assert b"S3kit" not in shown.body
    boto.put_bucket_lifecycle(Bucket=name, LifecycleConfiguration={"Rules": LEGACY})
    assert boto.get_bucket_lifecycle(Bucket=name)["Rules"] == LEGACY
    answer = boto.get_bucket_lifecycle_configuration(Bucket=name)
    assert answer["Rules"][0]["Prefix"] == "old/"
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    assert s3.delete(bucket, "lifecycle").status == 204
    gone = s3.get(bucket, "lifecycle")
    assert (gone.status, gone.code) == (404, "NoSuchLifecycleConfiguration")
    assert s3.delete(bucket, "lifecycle").status == 204


def test_a_date_is_answered_as_midnight_and_a_rule_gets_an_id(s3: Client, bucket: str) -> None:
    dated = rule("<Expiration><Date>2030-01-01</Date></Expiration>")
    answer = put(s3, bucket, document(dated, rule(where="<Prefix>b</Prefix>")))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers[SMALLEST] == "all_storage_classes_128K"
    shown = s3.get(bucket, "lifecycle")
    assert shown.text("Rule/Expiration/Date") == "2030-01-01T00:00:00.000Z"
    ids = shown.texts("Rule/ID")
    assert len(set(ids)) == 2
    assert all(ids)


def days(action: str, number: object) -> str:
    return f"<{action}><Days>{number}</Days></{action}>"


def move(number: object, storage_class: str) -> str:
    return (
        f"<Transition><Days>{number}</Days><StorageClass>{storage_class}</StorageClass>"
        "</Transition>"
    )


def noncurrent(number: object, kept: object = None) -> str:
    sparing = "" if kept is None else f"<NewerNoncurrentVersions>{kept}</NewerNoncurrentVersions>"
    return (
        f"<NoncurrentVersionExpiration><NoncurrentDays>{number}</NoncurrentDays>{sparing}"
        "</NoncurrentVersionExpiration>"
    )


MARKER = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
ABORT = (
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{}</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>"
)
TAG = "<Tag><Key>{}</Key><Value>v</Value></Tag>"
SIZE = "<ObjectSizeGreaterThan>9</ObjectSizeGreaterThan>"
REFUSED = {
    "empty": (b"", "MalformedXML"),
    "broken": (b"<LifecycleConfiguration><Rule>", "MalformedXML"),
    "another": (b"<Tagging/>", "MalformedXML"),
    "dtd": (b"<!DOCTYPE x><LifecycleConfiguration/>", "MalformedXML"),
    "no-rules": (document(), "MalformedXML"),
    "too-many-rules": (document(*[rule()] * 1001), "InvalidRequest"),
    "no-status": (document(rule().replace("<Status>Enabled</Status>", "")), "MalformedXML"),
    "status": (document(rule(status="enabled")), "MalformedXML"),
    "long-id": (document(rule(more=f"<ID>{'i' * 256}</ID>")), "InvalidArgument"),
    "same-id": (document(*[rule(more="<ID>i</ID>")] * 2), "InvalidArgument"),
    "nowhere": (document(rule(where="")), "MalformedXML"),
    "prefix-twice": (document(rule(where="<Prefix/><Filter/>")), "MalformedXML"),
    "long-prefix": (document(rule(where=f"<Prefix>{'p' * 1025}</Prefix>")), "InvalidRequest"),
    "two-conditions": (
        document(rule(where=f"<Filter><Prefix>p</Prefix>{TAG.format('k')}</Filter>")),
        "MalformedXML",
    ),
    "and-of-one": (
        document(rule(where=f"<Filter><And>{TAG.format('k')}</And></Filter>")),
        "MalformedXML",
    ),
    "tag-twice": (
        document(rule(where=f"<Filter><And>{TAG.format('k') * 2}</And></Filter>")),
        "InvalidRequest",
    ),
    "long-tag": (
        document(rule(where=f"<Filter>{TAG.format('k' * 129)}</Filter>")),
        "InvalidRequest",
    ),
    "sizes": (
        document(
            rule(
                where=f"<Filter><And>{SIZE}<ObjectSizeLessThan>9</ObjectSizeLessThan></And>"
                "</Filter>"
            )
        ),
        "InvalidRequest",
    ),
    "negative-size": (
        document(rule(where=f"<Filter>{SIZE.replace('9', '-1')}</Filter>")),
        "InvalidRequest",
    ),
    "no-action": (
        document("<Rule><Filter/><Status>Enabled</Status></Rule>"),
        "InvalidRequest",
    ),
    "empty-expiration": (document(rule("<Expiration/>")), "MalformedXML"),
    "days-and-date": (
        document(rule("<Expiration><Days>1</Days><Date>2030-01-01</Date></Expiration>")),
        "MalformedXML",
    ),
    "days-0": (document(rule(days("Expiration", 0))), "InvalidArgument"),
    "days-below-0": (document(rule(days("Expiration", -1))), "InvalidArgument"),
    "days-beyond-32-bits": (document(rule(days("Expiration", 2**31))), "MalformedXML"),
    "days-a-word": (document(rule(days("Expiration", "one"))), "MalformedXML"),
    "not-midnight": (
        document(rule("<Expiration><Date>2030-01-01T00:00:01Z</Date></Expiration>")),
        "InvalidArgument",
    ),
    "midnight-elsewhere": (
        document(rule("<Expiration><Date>2030-01-01T00:00:00+01:00</Date></Expiration>")),
        "InvalidArgument",
    ),
    "no-date": (
        document(rule("<Expiration><Date>20300101</Date></Expiration>")),
        "MalformedXML",
    ),
    "no-such-date": (
        document(rule("<Expiration><Date>2030-02-30</Date></Expiration>")),
        "MalformedXML",
    ),
    "early-date": (
        document(rule("<Expiration><Date>0001-01-01T00:00:00+14:00</Date></Expiration>")),
        "InvalidArgument",
    ),
    "marker-with-tag": (
        document(rule(MARKER, f"<Filter>{TAG.format('k')}</Filter>")),
        "InvalidRequest",
    ),
    "marker-with-size": (document(rule(MARKER, f"<Filter>{SIZE}</Filter>")), "InvalidRequest"),
    "abort-with-tag": (
        document(rule(ABORT.format(1), f"<Filter>{TAG.format('k')}</Filter>")),
        "InvalidRequest",
    ),
    "abort-0": (document(rule(ABORT.format(0))), "InvalidArgument"),
    "class": (document(rule(move(30, "STANDARD"))), "MalformedXML"),
    "class-twice": (document(rule(move(1, "GLACIER") + move(2, "GLACIER"))), "InvalidRequest"),
    "transition-below-0": (document(rule(move(-1, "GLACIER"))), "InvalidArgument"),
    "infrequent-too-early": (document(rule(move(29, "STANDARD_IA"))), "InvalidArgument"),
    "archive-too-soon": (
        document(rule(move(30, "STANDARD_IA") + move(59, "GLACIER"))),
        "InvalidArgument",
    ),
    "deep-before-shallow": (
        document(rule(move(5, "GLACIER") + move(5, "DEEP_ARCHIVE"))),
        "InvalidArgument",
    ),
    "expires-before-it-moves": (
        document(rule(move(5, "GLACIER") + days("Expiration", 5))),
        "InvalidArgument",
    ),
    "mixed": (
        document(rule(move(5, "GLACIER") + "<Expiration><Date>2030-01-01</Date></Expiration>")),
        "InvalidRequest",
    ),
    "noncurrent-0": (document(rule(noncurrent(0))), "InvalidArgument"),
    "kept-without-days": (
        document(
            rule(
                "<NoncurrentVersionExpiration><NewerNoncurrentVersions>1"
                "</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
            )
        ),
        "MalformedXML",
    ),
    "kept-0": (document(rule(noncurrent(1, 0))), "InvalidArgument"),
    "kept-101": (document(rule(noncurrent(1, 101))), "InvalidArgument"),
    "kept-without-filter": (
        document(rule(noncurrent(1, 1), "<Prefix>p</Prefix>")),
        "InvalidRequest",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_s3_refuses_changes_nothing(s3: Client, shared_bucket: str, case: str) -> None:
    body, code = REFUSED[case]
    answer = put(s3, shared_bucket, body)
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(shared_bucket, "lifecycle").status == 404


@pytest.fixture(scope="module")
def shared_buckets() -> dict[Any, str]:
    return {}


@pytest.fixture
def shared_bucket(s3: Client, shared_buckets: dict[Any, str]) -> str:
    """One for all that are refused."""
    place = (id(s3.app), s3.mount)
    if place not in shared_buckets:
        shared_buckets[place] = f"/refused-{len(shared_buckets)}"
        assert s3.put(shared_buckets[place]).status == 200
    return shared_buckets[place]


def test_it_wants_a_checksum_and_a_known_word(s3: Client, bucket: str) -> None:
    answer = s3.put(bucket, document(rule()), "lifecycle")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    answer = put(s3, bucket, document(rule()), x_amz_transition_default_minimum_object_size="small")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.get(bucket, "lifecycle").status == 404


def test_only_the_owner_sets_and_sees_them(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    assert put(s3, bucket, document(rule())).status == 200
    for stranger in (other, anonymous):
        assert put(stranger, bucket, document(rule())).code == "AccessDenied"
        assert stranger.get(bucket, "lifecycle").code == "AccessDenied"
        assert stranger.delete(bucket, "lifecycle").code == "AccessDenied"
    assert s3.get(bucket, "lifecycle").status == 200


# What answers tell


def expiration(answer: Answer) -> tuple[int, str] | None:
    value = answer.headers.get("x-amz-expiration")
    if value is None:
        return None
    found = re.fullmatch(r'expiry-date="([^"]+)", rule-id="([^"]*)"', value)
    assert found, value
    moment = parse_http_date(found[1])
    assert moment is not None
    assert moment % DAY == 0
    return moment // DAY - int(time.time() * 1000) // DAY, found[2]


def test_every_answer_about_an_object_tells_when_it_expires(s3: Client, bucket: str) -> None:
    path = f"{bucket}/a"
    assert expiration(s3.put(path, b"x")) is None
    boto = boto_of(s3.app, s3.mount)
    rules = [
        {"ID": "later", "Prefix": "", "Status": "Enabled", "Expiration": {"Days": 9}},
        {"ID": "sooner/ü", "Prefix": "a", "Status": "Enabled", "Expiration": {"Days": 2}},
        {"ID": "off", "Prefix": "a", "Status": "Disabled", "Expiration": {"Days": 1}},
        {"ID": "else", "Prefix": "z", "Status": "Enabled", "Expiration": {"Days": 1}},
    ]
    boto.put_bucket_lifecycle_configuration(
        Bucket=bucket[1:], LifecycleConfiguration={"Rules": rules}
    )
    wanted = (3, "sooner%2F%C3%BC")
    assert expiration(s3.put(path, b"x")) == wanted
    assert expiration(s3.head(path)) == wanted
    assert expiration(s3.get(path)) == wanted
    assert expiration(s3.get(path, if_none_match=s3.head(path).headers["etag"])) == wanted
    copied = s3.put(f"{bucket}/b", x_amz_copy_source=path)
    assert expiration(copied) == (10, "later")
    upload = s3.post(path, b"", "uploads").text("UploadId")
    etag = s3.put(path, b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    assert expiration(s3.post(path, body, f"uploadId={upload}")) == wanted
    s3.delete(bucket, "lifecycle")
    assert expiration(s3.head(path)) is None


def test_a_date_beyond_all_calendars_is_its_last_day(s3: Client, bucket: str) -> None:
    assert put(s3, bucket, document(rule(days("Expiration", 2**31 - 1)))).status == 200
    answer = s3.put(f"{bucket}/a", b"x")
    assert answer.status == 200
    assert 'expiry-date="Fri, 31 Dec 9999' in answer.headers["x-amz-expiration"]


def test_an_upload_tells_when_it_is_ended(s3: Client, bucket: str) -> None:
    path = f"{bucket}/a"
    assert "x-amz-abort-date" not in s3.post(path, b"", "uploads").headers
    put(s3, bucket, document(rule(ABORT.format(3), more="<ID>end it</ID>")))
    begun = s3.post(path, b"", "uploads")
    listed = s3.get(path, f"uploadId={begun.text('UploadId')}")
    for answer in (begun, listed):
        assert answer.headers["x-amz-abort-rule-id"] == "end%20it"
        moment = parse_http_date(answer.headers["x-amz-abort-date"])
        assert moment is not None
        assert moment // DAY - int(time.time() * 1000) // DAY == 4
