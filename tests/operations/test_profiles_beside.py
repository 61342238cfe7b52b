"""Vendors' ways beside all else that decides: what was there before, switches, policies, keys of
customers, locks, versions, websites, narrow keys; and a vendor's limits in SQL and on the CLI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config
from s3kit.errors import LimitExceeded
from s3kit.errors import TooManyBuckets
from s3kit.profile import PROFILES
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import ACCOUNTS
from tests.endpoint import MASTER_KEY
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import make_app
from tests.narrow import NarrowKeys
from tests.operations.test_encryption import ONE
from tests.operations.test_encryption import SOURCE
from tests.operations.test_encryption import customer
from tests.operations.test_encryption import md5_of
from tests.operations.test_profiles import AS_THE_PROFILE_HAS_IT
from tests.operations.test_profiles import OWN
from tests.operations.test_profiles import Vendor
from tests.operations.test_profiles import every_way

HOSTS: dict[str, Any] = {"website_hosts": ("*.web.test",), "base_hosts": ("s3.test",)}
BY_BUCKET = ("filebase", "backblaze")
POLICY = {"Version": "2012-10-17"}


def open_as(name: str, folder: Path, *, storage: str = "memory", **settings: Any) -> Vendor:
    settings = {**AS_THE_PROFILE_HAS_IT, **HOSTS, **settings}
    return Vendor(make_app(storage, folder, profile=name, **settings))


@pytest.fixture(params=BY_BUCKET)
def by_bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vendor]:
    asked = open_as(request.param, tmp_path)
    yield asked
    asked.app.close()


@pytest.fixture
def infinite(tmp_path: Path) -> Iterator[Vendor]:
    asked = open_as("infinite-uploads", tmp_path)
    yield asked
    asked.app.close()


def switched(**switches: bool) -> bytes:
    """The document of a public access block."""
    inner = "".join(f"<{name}>{str(on).lower()}</{name}>" for name, on in switches.items())
    return f"<PublicAccessBlockConfiguration>{inner}</PublicAccessBlockConfiguration>".encode()


def allowing(action: str, resource: str, principal: Any = "*", effect: str = "Allow") -> bytes:
    """A bucket's policy of one statement."""
    statement = {
        "Effect": effect,
        "Principal": principal,
        "Action": action,
        "Resource": f"arn:aws:s3:::{resource}",
    }
    return json.dumps({**POLICY, "Statement": statement}).encode()


# -- what was there before the profile was set


@pytest.mark.parametrize("profile", BY_BUCKET)
def test_what_was_stored_before_the_profile_was_set(tmp_path: Path, profile: str) -> None:
    """FB-16: an object's own ACL of that time makes it no more public than its bucket."""
    acls = {"object_ownership": "none", "block_public_access": False}
    before = open_as("aws", tmp_path, storage="file", **acls)
    before.s3.put("/closed")
    before.s3.put("/open", x_amz_acl="public-read-write")
    every_way(before, "/closed", x_amz_acl="public-read")
    before.s3.put("/open/own", b"private")
    assert before.other.put("/open/others", b"x").status == 200
    upload = before.s3.post("/closed/later", b"", "uploads", x_amz_acl="public-read")
    assert before.anonymous.get("/closed/put").status == 200
    assert before.anonymous.get("/open/own").status == 403
    assert before.s3.get("/open/others").status == 403
    before.app.close()

    after = open_as(profile, tmp_path, storage="file")
    s3 = after.s3
    where = f"uploadId={upload.text('UploadId')}"
    etag = s3.put("/closed/later", b"x", f"partNumber=1&{where}").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    done = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    assert s3.post("/closed/later", done, where).status == 200
    keys = s3.get("/closed").texts("Contents/Key")
    assert keys == ["copied", "later", "parts", "plain", "posted", "put"]
    for key in keys:
        assert s3.get(f"/closed/{key}").status == 200
        assert after.acl_of(f"/closed/{key}") == [OWN]
        for stranger in (after.anonymous, after.other):
            assert stranger.get(f"/closed/{key}").status == 403, key
            source = {"x_amz_copy_source": f"/closed/{key}"}
            assert stranger.put("/open/stolen", **source).status == 403, key
            assert stranger.get(f"/closed/{key}", "acl").status == 403, key
    # Whose objects they are decides nothing either: all follow their bucket.
    assert s3.get("/open/others").body == b"x"
    assert after.anonymous.get("/open/own").body == b"private"
    shown = s3.get("/open/others", "acl")
    assert shown.text("Owner/ID") == OWNER_ID
    assert s3.put("/open", b"", "acl", x_amz_acl="private").status == 200
    for key in ("own", "others"):
        assert after.other.get(f"/open/{key}").status == 403
        assert after.anonymous.get(f"/open/{key}").status == 403
    after.app.close()
    # Back again each object has its own.
    again = open_as("aws", tmp_path, storage="file", **acls)
    assert again.anonymous.get("/closed/put").status == 200
    assert again.anonymous.get("/closed/later").status == 200
    again.app.close()


def test_a_bucket_that_was_shut_before_stays_shut(tmp_path: Path) -> None:
    """IU-07: new buckets of ``aws`` have all four switches on; their owner opens them."""
    before = open_as("aws", tmp_path, storage="file")
    before.s3.put("/site")
    before.s3.put("/site/k", b"x")
    before.app.close()
    after = open_as("infinite-uploads", tmp_path, storage="file")
    assert after.anonymous.get("/site/k").status == 403
    assert after.s3.delete("/site", "publicAccessBlock").status == 204
    assert after.anonymous.get("/site/k").body == b"x"
    after.app.close()


def test_an_acl_of_before_lists_no_bucket_of_public_objects(tmp_path: Path) -> None:
    """IU-07: an anonymous list is refused."""
    acls = {"object_ownership": "none", "block_public_access": False}
    before = open_as("aws", tmp_path, storage="file", **acls)
    before.s3.put("/site", x_amz_acl="public-read")
    assert before.anonymous.get("/site").status == 200
    before.app.close()
    after = open_as("infinite-uploads", tmp_path, storage="file")
    assert after.anonymous.get("/site").status == 403
    assert after.other.get("/site", "list-type=2").status == 403
    after.app.close()


# -- switches and policies


def test_the_switches_count_where_the_buckets_acl_is_the_objects(by_bucket: Vendor) -> None:
    """FB-15, BB-11, UC-05."""
    s3 = by_bucket.s3
    s3.put("/photos", x_amz_acl="public-read")
    s3.put("/photos/k", b"x")
    assert by_bucket.anonymous.get("/photos/k").status == 200
    assert s3.put("/photos", switched(IgnorePublicAcls=True), "publicAccessBlock").status == 200
    assert by_bucket.anonymous.get("/photos/k").status == 403
    assert by_bucket.other.head("/photos/k").status == 403
    assert s3.put("/photos", switched(BlockPublicAcls=True), "publicAccessBlock").status == 200
    assert by_bucket.anonymous.get("/photos/k").status == 200
    answer = s3.put("/photos", b"", "acl", x_amz_acl="public-read")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    # An object's says nothing that the bucket's does not.
    assert s3.put("/photos/k", b"y", x_amz_acl="public-read").status == 200
    assert s3.put("/photos", b"", "acl", x_amz_acl="private").status == 200
    assert by_bucket.anonymous.get("/photos/k").status == 403


def test_switched_off_acls_are_off_under_every_profile(by_bucket: Vendor) -> None:
    """UC-06."""
    s3 = by_bucket.s3
    s3.put("/photos", x_amz_object_ownership="BucketOwnerEnforced")
    assert (
        s3.put("/photos/k", b"x", x_amz_acl="public-read").code == "AccessControlListNotSupported"
    )
    answer = s3.put("/photos", b"", "acl", x_amz_acl="public-read")
    assert answer.code == "AccessControlListNotSupported"
    assert by_bucket.anonymous.get("/photos/k").status == 403


def test_a_policy_counts_beside_the_buckets_acl(by_bucket: Vendor) -> None:
    """FB-15: policies are AWS's; a Deny wins."""
    s3 = by_bucket.s3
    s3.put("/photos")
    for key in ("shown", "hidden"):
        s3.put(f"/photos/{key}", b"x")
    assert s3.put("/photos", allowing("s3:GetObject", "photos/shown"), "policy").status == 204
    assert by_bucket.anonymous.get("/photos/shown").status == 200
    assert by_bucket.anonymous.get("/photos/hidden").status == 403
    denied = allowing("s3:GetObject", "photos/hidden", effect="Deny")
    assert s3.put("/photos", denied, "policy").status == 204
    s3.put("/photos", b"", "acl", x_amz_acl="public-read")
    assert by_bucket.anonymous.get("/photos/shown").status == 200
    assert by_bucket.anonymous.get("/photos/hidden").status == 403


def test_a_policy_may_list_what_no_acl_does(tmp_path: Path) -> None:
    """BB-11: an ACL to everybody lists nothing; whom a policy names may."""
    backblaze = open_as("backblaze", tmp_path)
    backblaze.s3.put("/photos", x_amz_acl="public-read")
    backblaze.s3.put("/photos/k", b"x")
    policy = allowing("s3:ListBucket", "photos", {"AWS": OTHER_ID})
    assert backblaze.s3.put("/photos", policy, "policy").status == 204
    assert backblaze.other.get("/photos").texts("Contents/Key") == ["k"]
    assert backblaze.anonymous.get("/photos").status == 403
    backblaze.app.close()


# -- versions, copies, customers' keys, locks


def test_a_version_has_its_buckets_acl(by_bucket: Vendor) -> None:
    """FB-15, BB-07."""
    s3 = by_bucket.s3
    s3.put("/photos", x_amz_acl="public-read")
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3.put("/photos", on, "versioning")
    first = s3.put("/photos/k", b"one").headers["x-amz-version-id"]
    s3.put("/photos/k", b"two", x_amz_acl="public-read")
    s3.delete("/photos/k")
    where = f"versionId={first}"
    assert by_bucket.anonymous.get("/photos/k", where).body == b"one"
    assert by_bucket.anonymous.get("/photos/k").status in (403, 404)
    answer = s3.put("/photos/k", b"", f"acl&{where}", x_amz_acl="public-read")
    assert (answer.status, answer.headers["x-amz-version-id"]) == (200, first)
    s3.put("/photos", b"", "acl", x_amz_acl="private")
    assert by_bucket.anonymous.get("/photos/k", where).status == 403
    grants = s3.get("/photos/k", f"acl&{where}").texts("AccessControlList/Grant/Permission")
    assert grants == ["FULL_CONTROL"]


def test_copies_are_read_by_the_sources_bucket(by_bucket: Vendor) -> None:
    """FB-15: the ACL of a copy's source is its bucket's too, part by part."""
    s3 = by_bucket.s3
    s3.put("/shown", x_amz_acl="public-read")
    s3.put("/hidden")
    for bucket in ("shown", "hidden"):
        s3.put(f"/{bucket}/k", b"x")
    other = by_bucket.other
    other.put("/mine")
    assert other.put("/mine/k", x_amz_copy_source="/shown/k").status == 200
    assert other.put("/mine/no", x_amz_copy_source="/hidden/k").status == 403
    upload = other.post("/mine/parts", b"", "uploads").text("UploadId")
    part = f"partNumber=1&uploadId={upload}"
    assert other.put("/mine/parts", b"", part, x_amz_copy_source="/hidden/k").status == 403
    assert other.put("/mine/parts", b"", part, x_amz_copy_source="/shown/k").status == 200


@pytest.mark.parametrize("profile", ["filebase", "backblaze", "infinite-uploads"])
def test_a_customers_key_is_asked_of_everybody(tmp_path: Path, profile: str) -> None:
    """FB-15, IU-07: public is not plain."""
    asked = open_as(profile, tmp_path)
    public = {} if profile == "infinite-uploads" else {"x_amz_acl": "public-read"}
    asked.s3.put("/photos", **public)
    assert asked.s3.request("PUT", "/photos/k", "", customer(ONE), b"sealed").status == 200
    assert asked.anonymous.get("/photos/k").status == 400
    assert asked.anonymous.request("GET", "/photos/k", "", customer(ONE)).body == b"sealed"
    asked.other.put("/mine")
    assert asked.other.put("/mine/k", x_amz_copy_source="/photos/k").status == 400
    headers = {"x-amz-copy-source": "/photos/k", **customer(ONE, SOURCE)}
    assert asked.other.request("PUT", "/mine/k", "", headers).status == 200
    asked.app.close()


@pytest.mark.parametrize("profile", ["filebase", "backblaze", "infinite-uploads"])
def test_a_lock_is_not_the_publics_to_see_or_lift(tmp_path: Path, profile: str) -> None:
    """FB-15, BB-05, IU-07."""
    asked = open_as(profile, tmp_path)
    public = {} if profile == "infinite-uploads" else {"x_amz_acl": "public-read"}
    asked.s3.put("/photos", x_amz_bucket_object_lock_enabled="true", **public)
    hold = {"x_amz_object_lock_legal_hold": "ON", "Content_MD5": md5_of(b"x")}
    held = asked.s3.put("/photos/k", b"x", **hold)
    where = f"versionId={held.headers['x-amz-version-id']}"
    # An object's ACL that changes nothing is no change of what is locked.
    if public:
        assert asked.s3.put("/photos/k", b"", "acl", **public).status == 200
    for stranger in (asked.anonymous, asked.other):
        shown = stranger.get("/photos/k")
        assert (shown.status, shown.body) == (200, b"x")
        assert "x-amz-object-lock-legal-hold" not in shown.headers
        for query in ("legal-hold", "retention"):
            assert stranger.get("/photos/k", query).status == 403
        assert stranger.put("/photos/k", b"", "legal-hold").status in (400, 403)
        assert stranger.delete("/photos/k", where).status == 403
    assert asked.s3.delete("/photos/k", where).status == 403
    asked.app.close()


@pytest.mark.parametrize(
    ("profile", "ways", "status"),
    [
        ("aws", 400, 403),
        ("cloudstorage", 400, 403),
        ("infinite-uploads", 400, 200),
        ("filebase", 200, 403),
        ("backblaze", 400, 403),
    ],
)
def test_an_object_that_asks_to_be_public(
    tmp_path: Path, profile: str, ways: int, status: int
) -> None:
    """FB-16, BB-11, UC-06: by PutObject, CopyObject, parts, a form and PutObjectAcl."""
    asked = open_as(profile, tmp_path)
    asked.s3.put("/photos")
    answers = every_way(asked, "/photos", x_amz_acl="public-read")
    assert {200 if each.status == 204 else each.status for each in answers.values()} == {ways}
    assert asked.anonymous.get("/photos/plain").status == status
    assert asked.anonymous.get("/photos/copied").status == (status if ways == 200 else 403)
    asked.app.close()


# -- public objects open nothing else


def test_public_objects_are_read_and_nothing_else(infinite: Vendor) -> None:
    """IU-07: every other operation on the bucket and its object is refused to strangers."""
    s3 = infinite.s3
    s3.put("/site")
    s3.put("/site/k", b"one")
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3.put("/site", on, "versioning")
    s3.put("/site/k", b"two", x_amz_tagging="secret=yes")
    upload = s3.post("/site/parts", b"", "uploads").text("UploadId")
    infinite.other.put("/mine")
    # What it may read it may copy, but no tags, and no version that is named.
    source = {"x_amz_copy_source": "/site/k"}
    assert infinite.other.put("/mine/k", **source).status == 403
    assert infinite.other.put("/mine/k", x_amz_tagging_directive="REPLACE", **source).status == 200
    assert infinite.other.get("/mine/k", "tagging").texts("TagSet/Tag") == []
    old = {"x_amz_copy_source": "/site/k?versionId=null"}
    assert infinite.other.put("/mine/k", x_amz_tagging_directive="REPLACE", **old).status == 403
    reading = (
        f"acl attributes tagging retention legal-hold versionId=null annotation uploadId={upload}"
    )
    bucket_queries = (
        "versioning policy policyStatus publicAccessBlock ownershipControls website cors lifecycle"
        " encryption object-lock tagging replication logging notification versions uploads location"
        " requestPayment accelerate list-type=2"
    )
    for stranger in (infinite.anonymous, infinite.other):
        for query in reading.split():
            assert stranger.get("/site/k", query).status in (403, 404), query
        assert stranger.get("/site/parts", f"uploadId={upload}").status == 403
        for query in bucket_queries.split():
            assert stranger.get("/site", query).status == 403, query
        assert stranger.head("/site").status == 403
        for query in ("", "tagging", "acl", "versionId=null"):
            assert stranger.put("/site/k", b"<a/>", query).status in (400, 403), query
        for query in ("", "tagging", "versionId=null"):
            assert stranger.delete("/site/k", query).status == 403, query
        assert stranger.put("/site/new", **source).status == 403
        part = f"partNumber=1&uploadId={upload}"
        assert stranger.put("/site/parts", b"x", part).status == 403
        assert stranger.delete("/site/parts", f"uploadId={upload}").status in (403, 404)
        assert stranger.post("/site/k", b"", "restore").status == 403
        gone = b"<Delete><Object><Key>k</Key></Object></Delete>"
        answer = stranger.post("/site", gone, "delete", Content_MD5=md5_of(gone))
        assert answer.status == 403 or answer.texts("Error/Code") == ["AccessDenied"]
        assert stranger.get("/site/k").body == b"two"
        # What is gone, and what never was, is not told apart.
        assert stranger.get("/site/gone").status == 403
    s3.delete("/site/k")
    assert infinite.anonymous.get("/site/k").status == 403
    assert s3.get("/site", "versions").texts("Version/Key") == ["k", "k"]


def test_who_asks_to_be_paid_shows_nothing_for_nothing(infinite: Vendor) -> None:
    """IU-07: anonymous requests cannot pay."""
    s3 = infinite.s3
    s3.put("/site")
    s3.put("/site/k", b"x")
    paid = b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
    assert s3.put("/site", paid, "requestPayment").status == 200
    assert infinite.anonymous.get("/site/k").status == 403
    assert infinite.other.get("/site/k").status == 403
    assert infinite.other.get("/site/k", x_amz_request_payer="requester").status == 200


def test_a_narrow_key_reads_outside_its_path_no_public_object(tmp_path: Path) -> None:
    """IU-02, IU-07: what everybody may do a narrow key may not."""
    keys = NarrowKeys()
    config = Config(
        storages={"default": "memory://"}, index="memory://", profile="infinite-uploads"
    )
    app = S3App(config, key_ring=keys)
    owner = Client(app, OWNER)
    owner.put("/iup-usa")
    owner.put("/iup-usa/1/site/k", b"own")
    owner.put("/iup-usa/1/siteEVIL/k", b"sibling")
    narrow = Client(app, keys.add({"paths": ["iup-usa/1/site/"]}))
    assert narrow.get("/iup-usa/1/site/k").body == b"own"
    assert narrow.get("/iup-usa/1/siteEVIL/k").status == 403
    source = {"x_amz_copy_source": "/iup-usa/1/siteEVIL/k"}
    assert narrow.put("/iup-usa/1/site/copy", **source).status == 403
    assert Client(app, None).get("/iup-usa/1/siteEVIL/k").body == b"sibling"
    # A signature that is wrong is not anonymous.
    forged = Client(app, Signer(OWNER.access_key, "another secret"))
    assert forged.get("/iup-usa/1/site/k").code == "SignatureDoesNotMatch"
    assert Client(app, Signer("AKNONE", "x")).get("/iup-usa/1/site/k").code == "InvalidAccessKeyId"
    app.close()


def test_a_host_may_refuse_what_the_profile_shows(tmp_path: Path) -> None:
    """IU-07: authorize decides public objects too."""
    settings = {**AS_THE_PROFILE_HAS_IT, "profile": "infinite-uploads", "accounts": ACCOUNTS}
    config = Config(storages={"default": "memory://"}, index="memory://", **settings)

    def members_only(request: Any) -> bool | None:
        return False if request.caller.anonymous else None

    app = S3App(config, authorize=members_only)
    owner = Client(app, OWNER)
    owner.put("/site")
    owner.put("/site/k", b"x")
    assert Client(app, None).get("/site/k").status == 403
    assert owner.get("/site/k").status == 200
    app.close()


@pytest.mark.parametrize(
    ("profile", "acl", "status"),
    [
        ("filebase", "private", 403),
        ("filebase", "public-read", 200),
        ("backblaze", "private", 403),
        ("backblaze", "public-read", 200),
        ("infinite-uploads", "private", 200),
    ],
)
def test_a_website_shows_what_the_profile_shows(
    tmp_path: Path, profile: str, acl: str, status: int
) -> None:
    """FB-16, BB-11, IU-07."""
    asked = open_as(profile, tmp_path)
    asked.s3.put("/site", x_amz_acl=acl)
    for key in ("index.html", "docs/index.html"):
        assert asked.s3.put(f"/site/{key}", b"page").status == 200
    website = (
        b"<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>"
        b"</WebsiteConfiguration>"
    )
    assert asked.s3.put("/site", website, "website").status == 200

    def visit(path: str) -> int:
        return call(asked.app, make_environ("GET", path, {"Host": "site.web.test"}, b"")).status

    assert [visit("/"), visit("/docs/")] == [status, status]
    assert visit("/docs") == (302 if status == 200 else 403)
    assert visit("/none") == (403 if status == 403 or not visit_lists(asked) else 404)
    asked.app.close()


def visit_lists(asked: Vendor) -> bool:
    """Whether strangers may list, and so be told that a key is not there."""
    return asked.anonymous.get("/site").status == 200


# -- limits


def test_an_account_of_cloudstorage_has_five_keys_and_ten_buckets(tmp_path: Path) -> None:
    """CS-03, CS-04, CS-07: by SQL, by signed requests and in this process."""
    asked = open_as("cloudstorage", tmp_path, storage="file")
    accounts = asked.app.store.accounts
    made = accounts.sign_up(id="alice", bucket="default")
    keys = [made.key, *(accounts.create_key("alice") for _ in range(4))]
    assert all(key.access_key.startswith("CS") for key in keys)
    with pytest.raises(LimitExceeded) as refused:
        accounts.create_key("alice")
    assert (refused.value.code, refused.value.status) == ("LimitExceeded", 409)
    assert len(accounts.list_keys("alice")) == 5
    # FB-24: a rotation ends the old key and so needs no room; a deleted one gives it.
    rotated = accounts.rotate_key(keys[1].access_key)
    assert len(accounts.list_keys("alice")) == 5
    accounts.delete_key(keys[2].access_key)
    accounts.create_key("alice")
    s3 = Client(asked.app, Signer(rotated.access_key, rotated.secret_key))
    assert [s3.put(f"/alice-{n}").status for n in range(9)] == [200] * 9
    answer = s3.put("/alice-9")
    assert (answer.status, answer.code) == (400, "TooManyBuckets")
    with pytest.raises(TooManyBuckets):
        asked.app.client("alice").create_bucket("alice-9")
    assert len(s3.get("/").texts("Buckets/Bucket")) == 10
    assert s3.get("/alice-9").code == "NoSuchBucket"
    # One's own is refused as what it is, and takes no room.
    assert s3.put("/alice-0").status == 409
    s3.delete("/alice-0")
    assert s3.put("/alice-9").status == 200
    # Accounts of the configuration are held to it too, each to its own ten.
    assert [asked.s3.put(f"/owner-{n}").status for n in range(11)] == [200] * 10 + [400]
    asked.app.close()


def test_the_limits_of_cloudstorage_hold_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CS-01, CS-03, CS-04, CS-07."""
    monkeypatch.chdir(tmp_path)
    toml = (
        f'profile = "cloudstorage"\nindex = "sqlite:///{tmp_path}/index.db"\n'
        f'storages = {{default = "{tmp_path}/blobs"}}\nmaster_keys = ["{MASTER_KEY}"]\n'
        'keys = {AKOWNER = "owner-secret"}\n'
    )
    (tmp_path / "s3kit.toml").write_text(toml)
    S3App(Config.from_file(tmp_path / "s3kit.toml")).close()

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, [*arguments, "--config", "s3kit.toml"])

    made = json.loads(run("accounts", "create", "--id", "alice", "--json").stdout)
    assert made["access_key"].startswith("CS")
    assert made["bucket"]
    shown = json.loads(run("accounts", "show", "alice", "--json").stdout)
    assert shown["may_have"] == {"keys": 5, "buckets": 10, "bytes": None}
    for _ in range(4):
        assert run("keys", "create", "alice").exit_code == 0
    refused = run("keys", "create", "alice")
    assert refused.exit_code == 1
    assert "5" in refused.output
    assert "Traceback" not in refused.output
    assert len(run("keys", "list", "alice", "--json").stdout.splitlines()) == 5
    assert run("accounts", "set", "alice", "--keys", "6").exit_code == 0
    assert run("keys", "create", "alice").exit_code == 0


def test_explain_names_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IU-07, FB-15: which rule decides is said of a profile's own too."""
    monkeypatch.chdir(tmp_path)
    folder = (
        f'index = "sqlite:///{tmp_path}/index.db"\nstorages = {{default = "{tmp_path}/blobs"}}\n'
    )
    keys = 'keys = {AKOWNER = "owner-secret"}\n'
    said: dict[str, str] = {}
    for profile, acl in (("filebase", "public-read"), ("backblaze", ""), ("infinite-uploads", "")):
        text = f'profile = "{profile}"\nhttps = "off"\n{folder}{keys}'
        (tmp_path / "s3kit.toml").write_text(text)
        if acl:
            app = S3App(Config.from_file(tmp_path / "s3kit.toml"))
            owner = Client(app, OWNER)
            owner.put("/photos", x_amz_acl=acl)
            owner.put("/photos/k", b"x")
            app.close()
        for action, resource in (("GetObject", "photos/k"), ("ListBucket", "photos")):
            asked = ["explain", action, resource, "--anonymous", "--json", "--config", "s3kit.toml"]
            shown = json.loads(CliRunner().invoke(cli, asked).stdout)
            said[f"{profile} {action}"] = f"{shown['decision']} {shown['decided_by']}"
    assert said == {
        "filebase GetObject": "allow bucket acl",
        "filebase ListBucket": "allow bucket acl",
        "backblaze GetObject": "allow bucket acl",
        "backblaze ListBucket": "deny profile",
        "infinite-uploads GetObject": "allow profile",
        "infinite-uploads ListBucket": "deny profile",
    }


def test_aws_is_as_it_was() -> None:
    """What a vendor changes is off under ``aws``."""
    aws = PROFILES["aws"]
    assert not aws.bucket_acl_is_objects
    assert not aws.object_acl_matches
    assert aws.canned_acls is None
    assert aws.public_listing
    assert not aws.public_objects
    assert aws.own_bucket_error == "BucketAlreadyOwnedByYou"
    assert aws.https == "off"
