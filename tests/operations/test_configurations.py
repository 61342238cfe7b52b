"""Analytics, Intelligent-Tiering, inventory and metrics configurations."""

from __future__ import annotations

import dataclasses
import enum
import threading
import types
import typing
from typing import Any

import botocore.exceptions
import pytest

from s3kit.app import S3App
from s3kit.operations import configurations
from s3kit.operations.configurations import KINDS
from s3kit.operations.configurations import Kind
from s3kit.wire.xml import element_name
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import parsed
from tests.endpoint import service_model

DESTINATION = "arn:aws:s3:::reports"
TAGS = [{"Key": "colour", "Value": "blue"}, {"Key": "é", "Value": ""}]
POINT = "arn:aws:s3:us-east-1:123456789012:accesspoint/door"

# The smallest and the fullest documents of each, as an SDK takes and gives them.
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "Analytics": [
        {"StorageClassAnalysis": {}},
        {"StorageClassAnalysis": {}, "Filter": {"Prefix": ""}},
        {"StorageClassAnalysis": {}, "Filter": {"Tag": TAGS[0]}},
        {
            "Filter": {"And": {"Prefix": "a/", "Tags": TAGS}},
            "StorageClassAnalysis": {
                "DataExport": {
                    "OutputSchemaVersion": "V_1",
                    "Destination": {
                        "S3BucketDestination": {
                            "Format": "CSV",
                            "BucketAccountId": "123456789012",
                            "Bucket": DESTINATION,
                            "Prefix": "out/",
                        }
                    },
                }
            },
        },
    ],
    "IntelligentTiering": [
        {"Status": "Disabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]},
        {
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "a/", "Tags": TAGS}},
            "Tierings": [
                {"Days": 730, "AccessTier": "DEEP_ARCHIVE_ACCESS"},
                {"Days": 125, "AccessTier": "ARCHIVE_ACCESS"},
            ],
        },
        {
            "Status": "Enabled",
            "Filter": {"Tag": TAGS[1]},
            "Tierings": [{"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
        },
    ],
    "Inventory": [
        {
            "Destination": {"S3BucketDestination": {"Bucket": DESTINATION, "Format": "ORC"}},
            "IsEnabled": False,
            "IncludedObjectVersions": "All",
            "Schedule": {"Frequency": "Daily"},
        },
        {
            "Destination": {
                "S3BucketDestination": {
                    "AccountId": "123456789012",
                    "Bucket": "arn:aws-us-gov:s3:::reports",
                    "Format": "Parquet",
                    "Prefix": "lists/",
                    "Encryption": {"SSEKMS": {"KeyId": "arn:aws:kms:us-east-1:1:key/2"}},
                }
            },
            "IsEnabled": True,
            "Filter": {"Prefix": "a/"},
            "IncludedObjectVersions": "Current",
            "OptionalFields": [field.value for field in configurations.OptionalField],
            "Schedule": {"Frequency": "Weekly"},
        },
        {
            "Destination": {
                "S3BucketDestination": {
                    "Bucket": DESTINATION,
                    "Format": "CSV",
                    "Encryption": {"SSES3": {}},
                }
            },
            "IsEnabled": True,
            "IncludedObjectVersions": "Current",
            "Schedule": {"Frequency": "Weekly"},
        },
    ],
    "Metrics": [
        {},
        {"Filter": {"Prefix": "a/&<é"}},
        {"Filter": {"Tag": TAGS[0]}},
        {"Filter": {"AccessPointArn": POINT}},
        {"Filter": {"And": {"Prefix": "a/", "Tags": TAGS, "AccessPointArn": POINT}}},
    ],
}
CASES = [(kind, number) for kind in KINDS for number in range(len(DOCUMENTS[kind.name]))]
LONGEST = "Az09.-_" * 9 + "x"


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def snake(name: str) -> str:
    return {
        "Analytics": "analytics",
        "IntelligentTiering": "intelligent_tiering",
        "Inventory": "inventory",
        "Metrics": "metrics",
    }[name]


def put(boto: Any, kind: Kind, bucket: str, name: str, wanted: dict[str, Any]) -> None:
    body = {**wanted, "Id": name}
    getattr(boto, f"put_bucket_{snake(kind.name)}_configuration")(
        Bucket=bucket, Id=name, **{f"{kind.name}Configuration": body}
    )


def shown(boto: Any, kind: Kind, bucket: str, name: str) -> Any:
    answer = getattr(boto, f"get_bucket_{snake(kind.name)}_configuration")(Bucket=bucket, Id=name)
    return answer[f"{kind.name}Configuration"]


def page(boto: Any, kind: Kind, bucket: str, **more: str) -> Any:
    call = getattr(boto, f"list_bucket_{snake(kind.name)}_configurations")
    return call(Bucket=bucket, **more)


def query(kind: Kind, name: str = "a") -> str:
    return f"{kind.subresource}&id={name}"


def document(kind: Kind, name: str = "a", inner: str | None = None) -> bytes:
    """A plain document; ``inner`` replaces what it has besides its id."""
    plain = {
        "Analytics": "<StorageClassAnalysis/>",
        "IntelligentTiering": "<Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS"
        "</AccessTier><Days>90</Days></Tiering>",
        "Inventory": "<Destination><S3BucketDestination><Bucket>arn:aws:s3:::reports</Bucket>"
        "<Format>CSV</Format></S3BucketDestination></Destination><IsEnabled>true</IsEnabled>"
        "<IncludedObjectVersions>All</IncludedObjectVersions>"
        "<Schedule><Frequency>Daily</Frequency></Schedule>",
        "Metrics": "",
    }[kind.name]
    root = f"{kind.name}Configuration"
    content = plain if inner is None else inner
    return f"<{root}><Id>{name}</Id>{content}</{root}>".encode()


# -- the documents against the model


def compare(shape: Any, cls: type, path: str) -> None:
    """Every member of the shape is a field of the class, no other is, and their kinds agree."""
    hints = typing.get_type_hints(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        declared = field.metadata.get("s3kit.xml")
        wire = (declared.name if declared else None) or element_name(field.name)
        fields[wire] = (field, declared, hints[field.name])
    seen = set()
    for name, member in shape.members.items():
        listed = member.type_name == "list"
        flat = listed and member.serialization.get("flattened")
        wire = member.serialization.get("name", name)
        here = f"{path}/{wire}"
        assert wire in fields, here
        seen.add(wire)
        field, declared, hint = fields[wire]
        missing = dataclasses.MISSING
        required = field.default is missing and field.default_factory is missing
        assert required is (name in shape.required_members), here
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = next(one for one in typing.get_args(hint) if one is not type(None))
        if listed:
            assert typing.get_origin(hint) is list, here
            (hint,) = typing.get_args(hint)
            item = declared.item if declared else None
            assert (item is None) is bool(flat), here
            if not flat:
                assert item == member.member.serialization.get("name", "member")
            member = member.member
        if member.type_name == "structure":
            compare(member, hint, here)
        elif getattr(member, "enum", None):
            assert issubclass(hint, enum.StrEnum), here
            assert {one.value for one in hint} == set(member.enum), here
        else:
            assert hint is {"string": str, "integer": int, "boolean": bool}[member.type_name], here
    assert seen == set(fields), path


def test_a_document_has_exactly_the_models_members(kind: Kind) -> None:
    for way in ("Get", "Put"):
        model = service_model().operation_model(f"{way}Bucket{kind.name}Configuration")
        shape = model.output_shape if way == "Get" else model.input_shape
        member = shape.members[f"{kind.name}Configuration"]
        compare(member, kind.configuration, kind.name)


# -- what is put is shown


@pytest.mark.parametrize(("kind", "number"), CASES, ids=lambda one: getattr(one, "name", one))
def test_what_is_put_is_shown_and_listed(
    app: S3App, mount: str, s3: Client, bucket: str, kind: Kind, number: int
) -> None:
    boto = boto_client(app, mount=mount)
    wanted = DOCUMENTS[kind.name][number]
    name = bucket[1:]
    put(boto, kind, name, "first", wanted)
    expected = {**wanted, "Id": "first"}
    assert shown(boto, kind, name, "first") == expected
    listed = page(boto, kind, name)
    assert listed[f"{kind.name}ConfigurationList"] == [expected]
    assert listed["IsTruncated"] is False
    # Every element is known to the model.
    answer = s3.get(bucket, query(kind, "first"))
    parsed(f"GetBucket{kind.name}Configuration", answer)
    assert answer.xml.tag == f"{kind.name}Configuration"
    parsed(f"ListBucket{kind.name}Configurations", s3.get(bucket, kind.subresource))


def test_a_second_put_replaces_the_whole(app: S3App, bucket: str, kind: Kind) -> None:
    boto = boto_client(app)
    first, *_, last = DOCUMENTS[kind.name]
    put(boto, kind, bucket[1:], "a", last)
    put(boto, kind, bucket[1:], "a", first)
    assert shown(boto, kind, bucket[1:], "a") == {**first, "Id": "a"}
    assert len(page(boto, kind, bucket[1:])[f"{kind.name}ConfigurationList"]) == 1


def test_what_was_never_put_is_not_there(s3: Client, bucket: str, kind: Kind) -> None:
    for name in ("a", "", "%20", "a%2Fb", "%C3%A9", "%00", "x" * 65):
        for answer in (s3.get(bucket, query(kind, name)), s3.delete(bucket, query(kind, name))):
            assert (answer.status, answer.code) == (404, "NoSuchConfiguration"), name
    answer = s3.get(bucket, kind.subresource)
    assert answer.status == 200
    found = parsed(f"ListBucket{kind.name}Configurations", answer)
    assert found["IsTruncated"] is False
    assert f"{kind.name}ConfigurationList" not in found
    assert s3.head(bucket).status == 200


def test_a_removed_one_is_gone_and_the_others_stay(
    s3: Client, other: Client, bucket: str, kind: Kind
) -> None:
    for name in ("a", "b"):
        answer = s3.put(bucket, document(kind, name), query(kind, name))
        assert (answer.status, answer.body) == (200, b"")
    answer = s3.delete(bucket, query(kind, "a"))
    assert (answer.status, answer.body) == (204, b"")
    assert s3.get(bucket, query(kind, "a")).code == "NoSuchConfiguration"
    assert s3.delete(bucket, query(kind, "a")).code == "NoSuchConfiguration"
    assert s3.get(bucket, query(kind, "b")).status == 200
    # A bucket of the same name begins anew.
    assert s3.delete(bucket).status == 204
    assert s3.put(bucket).status == 200
    assert s3.get(bucket, query(kind, "b")).code == "NoSuchConfiguration"


def test_the_four_do_not_see_one_another(s3: Client, bucket: str, kind: Kind) -> None:
    assert s3.put(bucket, document(kind), query(kind)).status == 200
    for another in KINDS:
        status = 200 if another is kind else 404
        assert s3.get(bucket, query(another)).status == status
        ids = s3.get(bucket, another.subresource).texts(f"{another.name}Configuration/Id")
        assert ids == (["a"] if another is kind else [])


# -- ids


def test_the_longest_ids_are_told_apart(s3: Client, bucket: str, kind: Kind) -> None:
    names = sorted([LONGEST, LONGEST[:-1] + "y", LONGEST[:-1], "x" * 64, "x" * 63, "-", "."])
    for name in names:
        assert s3.put(bucket, document(kind, name), query(kind, name)).status == 200
    for name in names:
        assert s3.get(bucket, query(kind, name)).text("Id") == name
    listed = s3.get(bucket, kind.subresource).texts(f"{kind.name}Configuration/Id")
    assert sorted(listed) == names
    for name in names:
        assert s3.delete(bucket, query(kind, name)).status == 204


@pytest.mark.parametrize("name", ["", "x" * 65, "a%20b", "a%2Fb", "%C3%A9", "%00", "~", "a%0A"])
def test_an_id_that_is_none_is_refused(s3: Client, bucket: str, kind: Kind, name: str) -> None:
    answer = s3.put(bucket, document(kind), query(kind, name))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "id"
    assert s3.get(bucket, kind.subresource).texts(f"{kind.name}Configuration/Id") == []


def test_the_documents_id_is_the_querys(s3: Client, bucket: str, kind: Kind) -> None:
    answer = s3.put(bucket, document(kind, "b"), query(kind, "a"))
    code = "IdMismatch" if kind.name == "Inventory" else "MalformedXML"
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(bucket, query(kind, "a")).status == 404


def test_without_an_id_nothing_is_put_or_removed(s3: Client, bucket: str, kind: Kind) -> None:
    for answer in (
        s3.put(bucket, document(kind), kind.subresource),
        s3.delete(bucket, kind.subresource),
    ):
        assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert s3.head(bucket).status == 200


# -- documents that are none


EXPORT = (
    "<StorageClassAnalysis><DataExport><OutputSchemaVersion>{version}</OutputSchemaVersion>"
    "<Destination><S3BucketDestination><Format>{format}</Format><Bucket>{bucket}</Bucket>"
    "</S3BucketDestination></Destination></DataExport></StorageClassAnalysis>"
)
INVENTORY = (
    "<Destination><S3BucketDestination><Bucket>{bucket}</Bucket><Format>{format}</Format>"
    "{encryption}</S3BucketDestination></Destination><IsEnabled>{enabled}</IsEnabled>"
    "<IncludedObjectVersions>{versions}</IncludedObjectVersions>{fields}"
    "<Schedule><Frequency>{frequency}</Frequency></Schedule>"
)
PLAIN_INVENTORY = {
    "bucket": DESTINATION,
    "format": "CSV",
    "encryption": "",
    "enabled": "true",
    "versions": "All",
    "fields": "",
    "frequency": "Daily",
}
TIER = "<Tiering><AccessTier>{}</AccessTier><Days>{}</Days></Tiering>"
ENABLED = "<Status>Enabled</Status>"


def analytics(version: str = "V_1", form: str = "CSV", bucket: str = DESTINATION) -> str:
    return EXPORT.format(version=version, format=form, bucket=bucket)


def inventory(**changed: str) -> str:
    return INVENTORY.format(**{**PLAIN_INVENTORY, **changed})


BAD: list[tuple[str, str, str]] = [
    ("Analytics", "", "MalformedXML"),
    ("Analytics", "<StorageClassAnalysis><DataExport/></StorageClassAnalysis>", "MalformedXML"),
    ("Analytics", analytics(version="V_2"), "MalformedXML"),
    ("Analytics", analytics(form="ORC"), "MalformedXML"),
    ("Analytics", analytics(bucket="reports"), "InvalidS3DestinationBucket"),
    ("Analytics", analytics(bucket="arn:aws:s3:::"), "InvalidS3DestinationBucket"),
    ("Analytics", analytics(bucket="arn:aws:s3:::-x"), "InvalidS3DestinationBucket"),
    ("Analytics", analytics(bucket="arn:aws:sqs:::reports"), "InvalidS3DestinationBucket"),
    ("Analytics", analytics(bucket=DESTINATION + "/k"), "InvalidS3DestinationBucket"),
    ("IntelligentTiering", "", "MalformedXML"),
    ("IntelligentTiering", ENABLED, "MalformedXML"),
    ("IntelligentTiering", TIER.format("ARCHIVE_ACCESS", 90), "MalformedXML"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE", 90), "MalformedXML"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE_ACCESS", "x"), "MalformedXML"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE_ACCESS", 90) * 2, "MalformedXML"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE_ACCESS", 89), "InvalidArgument"),
    ("IntelligentTiering", ENABLED + TIER.format("DEEP_ARCHIVE_ACCESS", 179), "InvalidArgument"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE_ACCESS", 731), "InvalidArgument"),
    ("IntelligentTiering", ENABLED + TIER.format("ARCHIVE_ACCESS", -90), "InvalidArgument"),
    ("Inventory", "", "MalformedXML"),
    ("Inventory", inventory(enabled="yes"), "MalformedXML"),
    ("Inventory", inventory(versions="Some"), "MalformedXML"),
    ("Inventory", inventory(frequency="Hourly"), "MalformedXML"),
    ("Inventory", inventory(format="csv"), "MalformedXML"),
    ("Inventory", inventory(encryption="<Encryption/>"), "MalformedXML"),
    (
        "Inventory",
        inventory(
            encryption="<Encryption><SSE-S3/><SSE-KMS><KeyId>k</KeyId></SSE-KMS></Encryption>"
        ),
        "MalformedXML",
    ),
    (
        "Inventory",
        inventory(encryption="<Encryption><SSE-KMS/></Encryption>"),
        "MalformedXML",
    ),
    (
        "Inventory",
        inventory(fields="<OptionalFields><Field>Colour</Field></OptionalFields>"),
        "MalformedXML",
    ),
    (
        "Inventory",
        inventory(fields="<OptionalFields><Field>Size</Field><Field>Size</Field></OptionalFields>"),
        "MalformedXML",
    ),
    ("Inventory", inventory() + "<Filter/>", "MalformedXML"),
    ("Inventory", inventory(bucket="reports"), "InvalidS3DestinationBucket"),
    (
        "Metrics",
        "<Filter><AccessPointArn>arn:aws:s3:::reports</AccessPointArn></Filter>",
        "InvalidArgument",
    ),
]


@pytest.mark.parametrize(("name", "inner", "code"), BAD)
def test_a_document_that_is_none_changes_nothing(
    s3: Client, bucket: str, name: str, inner: str, code: str
) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    assert s3.put(bucket, document(kind), query(kind)).status == 200
    before = s3.get(bucket, query(kind)).body
    answer = s3.put(bucket, document(kind, inner=inner), query(kind))
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(bucket, query(kind)).body == before


TAG = "<Tag><Key>{}</Key><Value>v</Value></Tag>"


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("", "MalformedXML"),
        ("<Prefix>a</Prefix>" + TAG.format("k"), "MalformedXML"),
        ("<And/>", "MalformedXML"),
        ("<And><Prefix>a</Prefix></And>", "MalformedXML"),
        (f"<And>{TAG.format('k')}</And>", "MalformedXML"),
        ("<Tag><Key>k</Key></Tag>", "MalformedXML"),
        (f"<And>{TAG.format('k')}{TAG.format('k')}</And>", "InvalidTag"),
        (TAG.format("aws:k"), "InvalidTag"),
        (TAG.format("k" * 129), "InvalidTag"),
        (f"<And>{''.join(TAG.format(n) for n in range(11))}</And>", "BadRequest"),
        (f"<Prefix>{'p' * 1025}</Prefix>", "InvalidRequest"),
    ],
)
def test_a_filter_that_is_none_is_refused(
    s3: Client, bucket: str, kind: Kind, inner: str, code: str
) -> None:
    if kind.name == "Inventory" and code != "InvalidRequest":
        # Its filter is a prefix alone.
        return
    plain = document(kind).decode().replace("<Id>", f"<Filter>{inner}</Filter><Id>")
    answer = s3.put(bucket, plain.encode(), query(kind))
    assert (answer.status, answer.code) == (400, code)
    assert s3.get(bucket, query(kind)).status == 404


@pytest.mark.parametrize("body", [b"", b"<", b"<Other/>", b"<!DOCTYPE x><a/>"])
def test_a_body_that_is_no_such_document_is_refused(
    s3: Client, bucket: str, kind: Kind, body: bytes
) -> None:
    answer = s3.put(bucket, body, query(kind))
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.get(bucket, query(kind)).status == 404


def test_a_document_of_any_size_is_refused(s3: Client, bucket: str, kind: Kind) -> None:
    answer = s3.put(bucket, document(kind) + b" " * 70_000, query(kind))
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")


# -- who may


def test_others_may_not_see_or_change_them(
    s3: Client, other: Client, anonymous: Client, bucket: str, kind: Kind
) -> None:
    assert s3.put(bucket, b"", "acl", x_amz_acl="public-read-write").status == 200
    assert s3.put(bucket, document(kind), query(kind)).status == 200
    for client in (other, anonymous):
        for answer in (
            client.get(bucket, query(kind)),
            client.get(bucket, query(kind, "none")),
            client.get(bucket, kind.subresource),
            client.put(bucket, document(kind), query(kind)),
            client.delete(bucket, query(kind)),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied")
    assert s3.get(bucket, query(kind)).status == 200


def test_a_bucket_that_is_not_there_has_none(app: S3App, kind: Kind) -> None:
    boto = boto_client(app, OTHER)
    for call in (
        lambda: put(boto, kind, "no-such-bucket", "a", DOCUMENTS[kind.name][0]),
        lambda: shown(boto, kind, "no-such-bucket", "a"),
        lambda: page(boto, kind, "no-such-bucket"),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


# -- many


def test_a_list_goes_on_where_it_ended(app: S3App, s3: Client, bucket: str, kind: Kind) -> None:
    found = app.store.buckets.get(bucket[1:])
    names = sorted(f"{number * 7919 % 1000:03}{'x' * (number % 61)}" for number in range(205))
    for name in reversed(names):
        app.store.buckets.put_member(found, kind.subresource, name, document(kind, name), most=1000)
    boto = boto_client(app)
    pages = []
    token: dict[str, str] = {}
    while True:
        answer = page(boto, kind, bucket[1:], **token)
        assert answer.get("ContinuationToken") == token.get("ContinuationToken")
        pages.append([one["Id"] for one in answer[f"{kind.name}ConfigurationList"]])
        if not answer["IsTruncated"]:
            assert "NextContinuationToken" not in answer
            break
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert [len(one) for one in pages] == [100, 100, 5]
    assert [name for one in pages for name in one] == names


@pytest.mark.parametrize("token", ["x", "MQ==x", "%00", "MS8v", "MX4=", "Mg=="])
def test_a_token_that_is_none_is_refused(s3: Client, bucket: str, kind: Kind, token: str) -> None:
    answer = s3.get(bucket, f"{kind.subresource}&continuation-token={token}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.text("ArgumentName") == "continuation-token"


def test_there_are_at_most_a_thousand(app: S3App, s3: Client, bucket: str, kind: Kind) -> None:
    found = app.store.buckets.get(bucket[1:])
    for number in range(999):
        name = f"n{number}"
        app.store.buckets.put_member(found, kind.subresource, name, document(kind, name), most=1000)
    # Two at once may not both take the last place.
    statuses: list[int] = []

    def try_one(name: str) -> None:
        statuses.append(s3.put(bucket, document(kind, name), query(kind, name)).status)

    threads = [threading.Thread(target=try_one, args=(name,)) for name in ("last", "least")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400]
    answer = s3.put(bucket, document(kind, "more"), query(kind, "more"))
    assert (answer.status, answer.code) == (400, "TooManyConfigurations")
    assert s3.get(bucket, query(kind, "more")).status == 404
    # One that is there can be replaced, and the other three have room.
    assert s3.put(bucket, document(kind, "n1"), query(kind, "n1")).status == 200
    another = next(one for one in KINDS if one is not kind)
    assert s3.put(bucket, document(another), query(another)).status == 200
    assert s3.delete(bucket, query(kind, "n1")).status == 204
    assert s3.put(bucket, document(kind, "more"), query(kind, "more")).status == 200


def test_a_lost_bucket_takes_no_configuration(app: S3App, s3: Client, kind: Kind) -> None:
    name = fresh_name()
    s3.put(f"/{name}")
    assert s3.delete(f"/{name}").status == 204
    answer = s3.put(f"/{name}", document(kind), query(kind))
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
