"""Vendors' ways as their profiles have them: FB-04, FB-15, FB-16, BB-01, BB-11, IU-07, CS-23."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.model import ALL_USERS
from s3kit.profile import PROFILES
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import make_app
from tests.endpoint import parsed
from tests.operations.test_posting import Forms

AS_THE_PROFILE_HAS_IT: dict[str, Any] = {
    "object_ownership": "",
    "block_public_access": None,
    "https": "off",
}


class Vendor:
    """An endpoint with a vendor's profile, and who asks it."""

    def __init__(self, app: S3App) -> None:
        self.app = app
        self.s3 = Client(app, OWNER)
        self.other = Client(app, OTHER)
        self.anonymous = Client(app, None)

    def acl_of(self, path: str) -> list[tuple[str, str]]:
        """The grants of an ACL as the owner is shown them."""
        operation = "GetObjectAcl" if path.count("/") > 1 else "GetBucketAcl"
        grants = parsed(operation, self.s3.get(path, "acl"))["Grants"]
        return [
            (grant["Grantee"].get("URI") or grant["Grantee"]["ID"], grant["Permission"])
            for grant in grants
        ]


def vendor(tmp_path: Path, name: str, **settings: Any) -> Iterator[Vendor]:
    app = make_app("memory", tmp_path, profile=name, **{**AS_THE_PROFILE_HAS_IT, **settings})
    yield Vendor(app)
    app.close()


@pytest.fixture
def filebase(tmp_path: Path) -> Iterator[Vendor]:
    yield from vendor(tmp_path, "filebase")


@pytest.fixture
def backblaze(tmp_path: Path) -> Iterator[Vendor]:
    yield from vendor(tmp_path, "backblaze")


@pytest.fixture
def cloudstorage(tmp_path: Path) -> Iterator[Vendor]:
    yield from vendor(tmp_path, "cloudstorage")


@pytest.fixture
def infinite(tmp_path: Path) -> Iterator[Vendor]:
    yield from vendor(tmp_path, "infinite-uploads")


@pytest.fixture(params=["filebase", "backblaze"])
def by_bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vendor]:
    yield from vendor(tmp_path, request.param)


VENDORS = ("aws", "backblaze", "filebase", "cloudstorage", "infinite-uploads")
"""Beside those that tests make."""
OWN = (OWNER_ID, "FULL_CONTROL")
PUBLIC = (ALL_USERS, "READ")


# -- the bucket's ACL is the object's


def test_an_objects_acl_is_that_of_its_bucket(by_bucket: Vendor) -> None:
    """FB-15, BB-11."""
    s3 = by_bucket.s3
    s3.put("/photos")
    s3.put("/photos/k", b"x")
    assert by_bucket.acl_of("/photos/k") == [OWN]
    assert by_bucket.anonymous.get("/photos/k").status == 403
    assert s3.put("/photos", b"", "acl", x_amz_acl="public-read").status == 200
    assert sorted(by_bucket.acl_of("/photos/k")) == sorted([OWN, PUBLIC])
    assert by_bucket.anonymous.get("/photos/k").body == b"x"
    assert by_bucket.anonymous.head("/photos/k").status == 200
    assert s3.put("/photos", b"", "acl", x_amz_acl="private").status == 200
    assert by_bucket.anonymous.get("/photos/k").status == 403


def in_one_part(s3: Client, path: str, **headers: str) -> Answer:
    """The last answer of a multipart upload, or the first that refuses."""
    begun = s3.post(path, b"", "uploads", **headers)
    if begun.status != 200:
        return begun
    upload = begun.text("UploadId")
    etag = s3.put(path, b"x", f"partNumber=1&uploadId={upload}").headers["etag"]
    done = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    return s3.post(path, done.encode(), f"uploadId={upload}")


def every_way(asked: Vendor, bucket: str, **headers: str) -> dict[str, Answer]:
    """An object by each way to store one, its name, each with an ACL of its own."""
    s3 = asked.s3
    s3.put(f"{bucket}/plain", b"x")
    form = {"acl": headers["x_amz_acl"]} if "x_amz_acl" in headers else {}
    conditions = [{"acl": value} for value in form.values()]
    return {
        "put": s3.put(f"{bucket}/put", b"x", **headers),
        "copied": s3.put(f"{bucket}/copied", x_amz_copy_source=f"{bucket}/plain", **headers),
        "parts": in_one_part(s3, f"{bucket}/parts", **headers),
        "posted": Forms(asked.app, "", bucket).post(form, conditions, key="posted"),
        "plain": s3.put(f"{bucket}/plain", b"", "acl", **headers),
    }


@pytest.mark.parametrize("acl", ["public-read", "public-read-write", "authenticated-read"])
def test_no_object_is_public_in_a_private_bucket(filebase: Vendor, acl: str) -> None:
    """FB-16: an object's own ACL is taken, on every way to give it one, and has no effect."""
    s3 = filebase.s3
    s3.put("/photos")
    assert s3.put("/photos/granted", b"x", x_amz_grant_read=f'uri="{ALL_USERS}"').status == 200
    answers = every_way(filebase, "/photos", x_amz_acl=acl)
    assert {answer.status for answer in answers.values()} <= {200, 204}
    shown = s3.get("/photos/put", "acl").body
    public = shown.replace(
        b"</AccessControlList>",
        b'<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
        b"<URI>" + ALL_USERS.encode() + b"</URI></Grantee><Permission>READ</Permission></Grant>"
        b"</AccessControlList>",
    )
    assert public != shown
    assert s3.put("/photos/put", public, "acl").status == 200
    keys = s3.get("/photos").texts("Contents/Key")
    assert keys == ["copied", "granted", "parts", "plain", "posted", "put"]
    bucket = filebase.app.store.buckets.get("photos")
    for key in keys:
        for stranger in (filebase.anonymous, filebase.other):
            assert stranger.get(f"/photos/{key}").status == 403, key
            assert stranger.head(f"/photos/{key}").status == 403, key
        assert filebase.acl_of(f"/photos/{key}") == [OWN]
        # Nor once another profile is asked: nothing of it was kept.
        version = filebase.app.store.objects.find(bucket, key.encode())
        assert version is not None
        assert version.acl is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_acl": "nonsense"},
        {"x_amz_grant_read": 'id="nobody"'},
        {"x_amz_grant_read": "everybody"},
        {"x_amz_acl": "private", "x_amz_grant_read": f'uri="{ALL_USERS}"'},
    ],
)
def test_what_is_no_acl_is_refused_where_none_has_an_effect(
    by_bucket: Vendor, headers: dict[str, str]
) -> None:
    """FB-15: an app's mistake is not hidden by the profile."""
    s3 = by_bucket.s3
    s3.put("/photos")
    assert s3.put("/photos/k", b"x", **headers).status == 400
    assert s3.get("/photos").texts("Contents/Key") == []
    s3.put("/photos/k", b"x")
    assert s3.put("/photos/k", b"", "acl", **headers).status == 400
    assert s3.put("/photos/k", b"<AccessControlPolicy/>", "acl").status == 400
    assert s3.put("/photos/k", b"", "acl").status == 400


def test_an_acl_that_is_not_the_buckets_may_be_refused(backblaze: Vendor) -> None:
    """BB-11: "The object ACL can only be set to the existing bucket ACL value."

    Source: Backblaze B2, "S3 Put Object ACL"; its message is what people search for.
    """
    s3 = backblaze.s3
    s3.put("/closed")
    s3.put("/open", x_amz_acl="public-read")
    for bucket, fitting, other in (
        ("/closed", "private", "public-read"),
        ("/open", "public-read", "private"),
    ):
        refused = every_way(backblaze, bucket, x_amz_acl=other)
        for way, answer in refused.items():
            assert (answer.status, answer.code) == (400, "InvalidArgument"), way
            assert answer.text("Message") == f"Unsupported value for canned acl '{other}'"
        assert s3.get(bucket).texts("Contents/Key") == ["plain"]
        taken = every_way(backblaze, bucket, x_amz_acl=fitting)
        assert {answer.status for answer in taken.values()} <= {200, 204}, fitting
        shown = s3.get(f"{bucket}/put", "acl").body
        assert s3.put(f"{bucket}/put", shown, "acl").status == 200
    assert backblaze.anonymous.get("/open/put").status == 200
    assert backblaze.anonymous.get("/closed/put").status == 403
    # Of the other bucket's document only the grants differ.
    public = s3.get("/open/put", "acl").body
    assert s3.put("/closed/put", public, "acl").code == "InvalidArgument"


def test_what_another_account_stores_is_the_bucket_owners(filebase: Vendor) -> None:
    """FB-15: who owns an object decides nothing where objects have no ACLs."""
    s3 = filebase.s3
    s3.put("/open", b"", x_amz_acl="public-read-write")
    assert filebase.other.put("/open/k", b"x").status == 200
    assert s3.get("/open/k").body == b"x"
    s3.put("/open", b"", "acl", x_amz_acl="private")
    assert filebase.other.get("/open/k").status == 403
    version = filebase.app.store.objects.find(filebase.app.store.buckets.get("open"), b"k")
    assert version is not None
    assert version.owner == OWNER_ID


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_acl": "public-read-write"},
        {"x_amz_acl": "authenticated-read"},
        {"x_amz_acl": "bucket-owner-full-control"},
        {"x_amz_grant_read": 'id="other-id"'},
    ],
)
def test_a_vendor_may_have_two_acls_only(backblaze: Vendor, headers: dict[str, str]) -> None:
    """BB-11."""
    s3 = backblaze.s3
    answer = s3.put("/refused", **headers)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.head("/refused").status == 404
    assert s3.put("/photos", x_amz_acl="public-read").status == 200
    assert s3.put("/photos/k", b"x").status == 200
    for path in ("/photos", "/photos/k"):
        answer = s3.put(path, b"", "acl", **headers)
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert s3.put("/photos/other", b"x", **headers).code == "InvalidArgument"
    assert s3.get("/photos/other").status == 404
    assert sorted(backblaze.acl_of("/photos")) == sorted([OWN, PUBLIC])


def test_documents_are_held_to_the_two_acls_too(backblaze: Vendor) -> None:
    """BB-11."""
    s3 = backblaze.s3
    s3.put("/photos", x_amz_acl="public-read")
    shown = s3.get("/photos", "acl").body
    assert s3.put("/photos", shown, "acl").status == 200
    other = shown.replace(b">READ<", b">WRITE<")
    assert other != shown
    assert s3.put("/photos", other, "acl").code == "InvalidArgument"


def test_a_public_bucket_is_not_listed_to_everybody(backblaze: Vendor) -> None:
    """BB-11: whoever knows a name may read it, and nobody else may list."""
    s3 = backblaze.s3
    s3.put("/photos", x_amz_acl="public-read")
    s3.put("/photos/k", b"x")
    for stranger in (backblaze.anonymous, backblaze.other):
        assert stranger.get("/photos/k").body == b"x"
        for query in ("", "list-type=2", "versions", "uploads"):
            assert stranger.get("/photos", query).status == 403
        assert stranger.get("/photos/none").status == 403
    assert s3.get("/photos").texts("Contents/Key") == ["k"]


# -- public objects


def test_whoever_knows_its_url_may_read_an_object_and_no_more(infinite: Vendor) -> None:
    """IU-07."""
    s3 = infinite.s3
    s3.put("/site")
    s3.put("/site/1/a.png", b"shown")
    for stranger in (infinite.anonymous, infinite.other):
        assert stranger.get("/site/1/a.png").body == b"shown"
        assert stranger.head("/site/1/a.png").status == 200
        assert stranger.get("/site/1/none.png").status == 403
        for query in ("", "list-type=2&prefix=1/", "uploads", "versions", "acl", "policy"):
            assert stranger.get("/site", query).status == 403
        for query in ("acl", "tagging", "attributes"):
            assert stranger.get("/site/1/a.png", query).status == 403
        assert stranger.put("/site/1/b.png", b"x").status == 403
        assert stranger.delete("/site/1/a.png").status == 403
    assert s3.get("/site/1/a.png").body == b"shown"


def test_a_policy_may_deny_what_the_profile_shows(infinite: Vendor) -> None:
    """IU-07: a Deny wins."""
    s3 = infinite.s3
    s3.put("/site")
    s3.put("/site/k", b"x")
    policy = (
        b'{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", '
        b'"Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/k", "Condition": '
        b'{"StringNotEquals": {"aws:PrincipalType": "Account"}}}}'
    )
    assert s3.put("/site", policy, "policy").status == 204
    assert infinite.anonymous.get("/site/k").status == 403


def test_a_bucket_that_is_shut_to_the_public_shows_nothing(infinite: Vendor) -> None:
    """IU-07: an owner may take a bucket out."""
    s3 = infinite.s3
    s3.put("/site")
    s3.put("/site/k", b"x")
    assert s3.get("/site", "policyStatus").text("IsPublic") == "true"
    switches = (
        b"<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>"
        b"</PublicAccessBlockConfiguration>"
    )
    assert s3.put("/site", switches, "publicAccessBlock").status == 200
    assert infinite.anonymous.get("/site/k").status == 403
    assert s3.get("/site/k").status == 200
    assert s3.get("/site", "policyStatus").text("IsPublic") == "false"


# -- errors and limits


def test_a_bucket_of_ones_own_may_be_one_that_exists_already(cloudstorage: Vendor) -> None:
    """CS-23."""
    s3 = cloudstorage.s3
    assert s3.put("/photos").status == 200
    answer = s3.put("/photos")
    assert (answer.status, answer.code) == (409, "BucketAlreadyExists")


def test_the_profiles_say_what_an_account_may_have() -> None:
    """CS-03, CS-04, CS-07: and no other profile has a limit."""
    assert {
        name: (profile.key_prefix, profile.most_keys, profile.most_buckets)
        for name, profile in PROFILES.items()
        if name in VENDORS
    } == {
        "aws": ("AKIA", None, None),
        "backblaze": ("AKIA", None, None),
        "filebase": ("AKIA", None, None),
        "cloudstorage": ("CS", 5, 10),
        "infinite-uploads": ("AKIA", None, None),
    }


# -- HTTPS


@pytest.mark.parametrize(
    ("profile", "setting", "status"),
    [
        ("aws", "", 200),
        ("filebase", "", 301),
        ("backblaze", "", 403),
        ("cloudstorage", "", 200),
        ("filebase", "off", 200),
        ("backblaze", "redirect", 301),
        ("aws", "reject", 403),
    ],
)
def test_plain_http_is_as_the_profile_has_it_unless_configured(
    profile: str, setting: Any, status: int
) -> None:
    """FB-04, BB-01."""
    signer = Signer("AKIA", "secret")
    config = Config(keys={"AKIA": "secret"}, profile=profile, https=setting)
    app = S3App(config)
    answer = Client(app, signer).get("/")
    assert answer.status == status
    if status == 301:
        assert answer.headers["location"].startswith("https://s3.test/")
    app.close()


FORGED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Scheme": "https",
    "X-Url-Scheme": "https",
    "Front-End-Https": "on",
    "Forwarded": "for=127.0.0.1;proto=https;host=evil.example",
}


@pytest.mark.parametrize(("profile", "status"), [("filebase", 307), ("backblaze", 403)])
def test_a_stranger_does_not_say_that_it_came_over_tls(profile: str, status: int) -> None:
    """FB-04, BB-01: only a trusted proxy's word counts, and nothing is done before."""
    signer = Signer("AKIA", "secret")
    config = Config(keys={"AKIA": "secret"}, profile=profile, trusted_proxies=("192.0.2.1",))
    app = S3App(config)
    stranger = Client(app, signer)
    for path, query in (("/made", ""), ("/made/k", ""), ("/made", "acl")):
        for headers in ({}, FORGED):
            answer = stranger.request("PUT", path, query, headers, b"")
            assert answer.status == status
            target = f"https://s3.test{path}" + (f"?{query}" if query else "")
            assert answer.headers.get("location") == (target if status == 307 else None)
    for method, path in (("POST", "/"), ("OPTIONS", "/made/k"), ("DELETE", "/made")):
        assert Client(app, None).request(method, path, "", FORGED).status == status
    trusted = {"REMOTE_ADDR": "192.0.2.1"}
    proxied = {"X-Forwarded-Proto": "https"}
    shown = stranger.request("GET", "/", "", proxied, environ=trusted)
    assert (shown.status, shown.texts("Buckets/Bucket")) == (200, [])
    assert stranger.request("PUT", "/made", "", proxied, environ=trusted).status == 200
    plain = stranger.request("GET", "/", "", {"X-Forwarded-Proto": "http"}, environ=trusted)
    assert plain.status == (301 if status == 307 else 403)
    # The server's own TLS needs nobody's word.
    assert stranger.request("GET", "/", environ={"wsgi.url_scheme": "https"}).status == 200
    app.close()


def test_an_unknown_way_with_plain_http_is_refused() -> None:
    with pytest.raises(ConfigError, match="https"):
        Config(https="force")  # type: ignore[arg-type]
