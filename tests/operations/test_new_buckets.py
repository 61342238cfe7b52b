"""What a bucket has from the start: UC-05, UC-06; AWS's buckets since April 2023."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.model import Setting
from s3kit.operations.bucket_rules import PublicAccessBlockConfiguration
from s3kit.store.new_buckets import ALL_BLOCKED
from s3kit.wire.xml import to_xml
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import parsed

DEFAULT: dict[str, Any] = {"object_ownership": "", "block_public_access": None}
ALL_ON = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@pytest.fixture(scope="session")
def app(door: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app(door[0], tmp_path_factory.mktemp("new"), **DEFAULT)
    yield made
    made.close()


def ownership(s3: Client, bucket: str) -> str:
    answer = s3.get(bucket, "ownershipControls")
    found = parsed("GetBucketOwnershipControls", answer)["OwnershipControls"]
    name: str = found["Rules"][0]["ObjectOwnership"]
    return name


def test_a_new_bucket_has_no_acls_and_all_four_switches_on(s3: Client, bucket: str) -> None:
    """UC-05, UC-06."""
    assert ownership(s3, bucket) == "BucketOwnerEnforced"
    found = parsed("GetPublicAccessBlock", s3.get(bucket, "publicAccessBlock"))
    assert found["PublicAccessBlockConfiguration"] == ALL_ON
    refused = s3.put(f"{bucket}/k", b"x", x_amz_acl="public-read")
    assert (refused.status, refused.code) == (400, "AccessControlListNotSupported")
    assert s3.get(f"{bucket}/k").status == 404
    for acl in ("bucket-owner-full-control", None):
        headers = {"x_amz_acl": acl} if acl else {}
        assert s3.put(f"{bucket}/k", b"x", **headers).status == 200
    grants = parsed("GetBucketAcl", s3.get(bucket, "acl"))["Grants"]
    assert [(grant["Grantee"]["ID"], grant["Permission"]) for grant in grants] == [
        (OWNER_ID, "FULL_CONTROL")
    ]


def test_a_public_policy_is_taken_once_the_switches_are_off(
    s3: Client, anonymous: Client, bucket: str
) -> None:
    """UC-05."""
    s3.put(f"{bucket}/k", b"shown")
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket[1:]}/*",
            },
        }
    ).encode()
    assert s3.put(bucket, policy, "policy").code == "AccessDenied"
    assert s3.delete(bucket, "publicAccessBlock").status == 204
    assert s3.get(bucket, "publicAccessBlock").code == "NoSuchPublicAccessBlockConfiguration"
    assert s3.put(bucket, policy, "policy").status == 204
    assert anonymous.get(f"{bucket}/k").body == b"shown"


def test_acls_count_once_the_bucket_is_told_so(s3: Client, anonymous: Client, bucket: str) -> None:
    """UC-05, UC-06: as Uploadcare's users are told to."""
    assert s3.delete(bucket, "publicAccessBlock").status == 204
    assert s3.delete(bucket, "ownershipControls").status == 204
    assert s3.get(bucket, "ownershipControls").code == "OwnershipControlsNotFoundError"
    assert s3.put(f"{bucket}/k", b"shown", x_amz_acl="public-read").status == 200
    assert anonymous.get(f"{bucket}/k").body == b"shown"


@pytest.mark.parametrize("wanted", ["ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"])
def test_the_ownership_that_is_asked_for_is_set(s3: Client, wanted: str) -> None:
    bucket = f"/{fresh_name()}"
    assert s3.put(bucket, x_amz_object_ownership=wanted).status == 200
    assert ownership(s3, bucket) == wanted
    # The switches stay on: none asked for them to be off.
    assert s3.get(bucket, "publicAccessBlock").status == 200
    answer = s3.put(f"{bucket}/k", b"x", x_amz_acl="public-read")
    assert answer.code == (
        "AccessControlListNotSupported" if wanted == "BucketOwnerEnforced" else "AccessDenied"
    )


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_acl": "public-read"}, "InvalidBucketAclWithObjectOwnership"),
        ({"x_amz_acl": "authenticated-read"}, "InvalidBucketAclWithObjectOwnership"),
        ({"x_amz_grant_read": 'id="other-id"'}, "InvalidBucketAclWithObjectOwnership"),
        (
            {"x_amz_acl": "public-read", "x_amz_object_ownership": "ObjectWriter"},
            "InvalidBucketAclWithBlockPublicAccessError",
        ),
    ],
)
def test_a_bucket_is_not_made_with_an_acl_that_it_would_not_take(
    s3: Client, headers: dict[str, str], code: str
) -> None:
    bucket = f"/{fresh_name()}"
    answer = s3.put(bucket, **headers)
    assert (answer.status, answer.code) == (400, code)
    assert s3.head(bucket).status == 404


def test_a_bucket_is_made_with_an_acl_that_grants_nothing_to_others(s3: Client) -> None:
    for acl in ("private", "bucket-owner-full-control"):
        bucket = f"/{fresh_name()}"
        assert s3.put(bucket, x_amz_acl=acl).status == 200
        assert ownership(s3, bucket) == "BucketOwnerEnforced"


def test_a_grant_to_another_account_is_no_public_one(s3: Client, other: Client) -> None:
    bucket = f"/{fresh_name()}"
    headers = {"x_amz_object_ownership": "ObjectWriter", "x_amz_grant_read": 'id="other-id"'}
    assert s3.put(bucket, **headers).status == 200
    assert other.get(bucket).status == 200


def test_the_defaults_cost_a_request_no_look_at_the_documents(
    s3: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    buckets = type(s3.app.store.buckets)
    setting = buckets.setting

    def look(self: Any, *arguments: Any) -> bytes | None:
        looks.append(arguments)
        return setting(self, *arguments)

    monkeypatch.setattr(buckets, "setting", look)
    s3.put(f"{bucket}/k", b"x")
    s3.get(f"{bucket}/k")
    s3.head(f"{bucket}/k")
    s3.get(bucket)
    s3.delete(f"{bucket}/k")
    assert looks == []


def test_a_bucket_whose_bit_is_from_before_has_no_acls_all_the_same(
    s3: Client, app: S3App, bucket: str
) -> None:
    """Buckets of earlier versions have the document alone."""
    made = app.store.buckets.get(bucket[1:])
    assert made.present == (
        Setting.PUBLIC_ACCESS_BLOCK | Setting.OWNERSHIP | Setting.OWNER_ENFORCED
    )
    kept = made.present & ~Setting.OWNER_ENFORCED

    with app.store.index.engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE s3kit_buckets SET present = {kept} WHERE id = {made.id}"
        )
    app.store.buckets._forget()
    assert s3.put(f"{bucket}/k", b"x", x_amz_acl="public-read").status == 400
    assert s3.get(bucket, "acl").status == 200


def test_who_needs_them_otherwise_configures_it() -> None:
    for name, expected in (
        ("none", "OwnershipControlsNotFoundError"),
        ("ObjectWriter", "ObjectWriter"),
    ):
        config = Config(
            keys={OWNER.access_key: OWNER.secret_key},
            object_ownership=name,  # type: ignore[arg-type]
            block_public_access=False,
        )
        app = S3App(config)
        s3 = Client(app, OWNER)
        s3.put("/bucket")
        answer = s3.get("/bucket", "ownershipControls")
        assert expected in answer.body.decode()
        assert s3.get("/bucket", "publicAccessBlock").status == 404
        assert s3.put("/bucket/k", b"x", x_amz_acl="public-read").status == 200
        app.close()
    with pytest.raises(ConfigError, match='Did you mean "ObjectWriter"'):
        Config(object_ownership="objectwriter")  # type: ignore[arg-type]


def test_the_environment_may_say_so_too() -> None:
    config = Config.from_env(
        {"S3KIT_BLOCK_PUBLIC_ACCESS": "false", "S3KIT_OBJECT_OWNERSHIP": "none"}
    )
    assert (config.block_public_access, config.object_ownership) == (False, "none")
    assert Config.from_env({}).block_public_access is None


def test_an_older_bucket_stays_as_it_is(tmp_path: Path) -> None:
    first = make_app("file", tmp_path)
    Client(first, OWNER).put("/older")
    first.close()
    app = make_app("file", tmp_path, **DEFAULT)
    s3 = Client(app, OWNER)
    assert s3.get("/older", "publicAccessBlock").status == 404
    assert s3.put("/older/k", b"x", x_amz_acl="public-read").status == 200
    app.close()


def test_the_stored_document_is_the_one_that_a_client_would_have_put() -> None:
    assert to_xml(PublicAccessBlockConfiguration(True, True, True, True)) == ALL_BLOCKED
