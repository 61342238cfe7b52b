"""A068 to A074: a key that is bound to a path sees and changes nothing beside it, on any way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from s3kit.auth.policy import parse_policy
from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_denied
from tests.attacks.effects import assert_holds
from tests.attacks.effects import keys_of
from tests.attacks.effects import snapshot
from tests.attacks.handmade import Signature
from tests.attacks.handmade import form_body
from tests.attacks.handmade import form_fields
from tests.attacks.handmade import post_form
from tests.attacks.handmade import presign
from tests.attacks.test_accounts import delete_many
from tests.attacks.test_accounts import md5_of
from tests.client import HOST
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import fresh_name
from tests.narrow import Narrow

OUTSIDE = ["foobar", "foo", "foobar/x", "other/secret", "Foo/mine", "%66oobar", "f", "foo%00/mine"]
ABSENT = ["foobaz", "other/absent", "fo", "foo%5Cmine"]
DOTTED = [
    "foo/../other/secret",
    "foo%2F..%2Fother%2Fsecret",
    "foo/%2e%2e/other/secret",
    "foo/./../foobar",
    "foo//../../foobar",
]
WRITES = [
    ("PUT", "", {}),
    ("PUT", "", {"x-amz-tagging": "a=b"}),
    ("PUT", "", {"x-amz-acl": "public-read"}),
    ("PUT", "", {"x-amz-website-redirect-location": "/foo/mine"}),
    ("PUT", "", {"x-amz-write-offset-bytes": "7"}),
    ("PUT", "", {"if-none-match": "*"}),
    ("PUT", "", {"x-amz-object-lock-legal-hold": "ON"}),
    ("PUT", "acl", {"x-amz-acl": "public-read"}),
    ("PUT", "tagging", {}),
    ("PUT", "retention", {}),
    ("PUT", "legal-hold", {}),
    ("PUT", "annotation&annotationName=note", {}),
    ("PUT", "partNumber=1&uploadId=none", {}),
    ("POST", "uploads", {}),
    ("POST", "uploadId=none", {}),
    ("POST", "restore", {}),
    ("DELETE", "", {}),
    ("DELETE", "versionId=null", {}),
    ("DELETE", "tagging", {}),
    ("DELETE", "annotation&annotationName=note", {}),
    ("DELETE", "uploadId=none", {}),
]
READS = [
    ("GET", "", {}),
    ("GET", "versionId=null", {}),
    ("GET", "versionId=absent", {}),
    ("HEAD", "", {}),
    ("HEAD", "versionId=null", {}),
    ("HEAD", "partNumber=1", {}),
    ("GET", "acl", {}),
    ("GET", "tagging", {}),
    ("GET", "attributes", {"x-amz-object-attributes": "ETag"}),
    ("GET", "retention", {}),
    ("GET", "legal-hold", {}),
    ("GET", "annotation", {}),
    ("GET", "annotation&annotationName=note", {}),
    ("GET", "uploadId=none", {}),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Narrow]:
    made = Narrow()
    yield made
    made.app.close()


@pytest.fixture
def owner(endpoint: Narrow) -> Client:
    return endpoint.owner


@pytest.fixture
def folders(owner: Client) -> str:
    """A bucket with objects in ``foo/`` and beside it."""
    path = f"/{fresh_name('narrow')}"
    assert owner.put(path).status == 200
    for key in ("foo/mine", "foobar", "foobar/x", "foo", "other/secret"):
        assert owner.put(f"{path}/{key}", b"private").status == 200
    return path


@pytest.fixture
def narrow(endpoint: Narrow, folders: str) -> Client:
    """A key of the bucket's own account that is bound to ``foo/``."""
    return endpoint.client(paths=[f"{folders[1:]}/foo/"])


@pytest.mark.parametrize("spelling", [*OUTSIDE, *ABSENT])
def test_a068_no_sibling_is_read_or_learnt_of(narrow: Client, folders: str, spelling: str) -> None:
    """IU-02, IU-03: what lies outside is refused alike, whether it is there or not."""
    for method, query, headers in READS:
        answer = narrow.request(method, f"{folders}/{spelling}", query, headers)
        assert_denied(answer)


@pytest.mark.parametrize("spelling", [*OUTSIDE[:4], ABSENT[0]])
def test_a068_no_sibling_is_changed(
    owner: Client, narrow: Client, folders: str, spelling: str
) -> None:
    before = snapshot(owner, folders)
    for method, query, headers in WRITES:
        answer = narrow.request(method, f"{folders}/{spelling}", query, headers, b"evil")
        assert_denied(answer)
    assert snapshot(owner, folders) == before


def test_a068_inside_all_works(owner: Client, narrow: Client, folders: str) -> None:
    """IU-01: the twin of all the refusals; the prefix itself is inside."""
    for key in ("foo/", "foo/new", "foo/deep/er", "foo//x"):
        assert narrow.put(f"{folders}/{key}", b"x", x_amz_tagging="a=b").status == 200
        assert narrow.head(f"{folders}/{key}").status == 200
        assert narrow.get(f"{folders}/{key}").body == b"x"
        assert narrow.get(f"{folders}/{key}", "tagging").status == 200
        assert narrow.get(f"{folders}/{key}", "acl").status == 200
        assert narrow.delete(f"{folders}/{key}").status == 204
    # It may list there, so it learns what is not there.
    assert narrow.get(f"{folders}/foo/absent").code == "NoSuchKey"
    assert keys_of(owner, folders) == ["foo", "foo/mine", "foobar", "foobar/x", "other/secret"]


def test_a068_another_bucket_is_outside(owner: Client, narrow: Client, folders: str) -> None:
    for name in (f"{folders}-else", folders[:-1] + "x" * 3):
        assert owner.put(name).status == 200
        assert owner.put(f"{name}/foo/mine", b"private").status == 200
        assert_denied(narrow.get(f"{name}/foo/mine"))
        assert_denied(narrow.put(f"{name}/foo/mine", b"evil"))
        assert_denied(narrow.get(name, "prefix=foo/"))
        assert_holds(owner, f"{name}/foo/mine", b"private")


@pytest.mark.parametrize("spelling", DOTTED)
def test_a069_dots_are_letters_of_a_key(
    owner: Client, narrow: Client, folders: str, spelling: str
) -> None:
    """IU-20: however it is spelt, nothing is folded into a way out."""
    path = f"{folders}/{spelling}"
    before = snapshot(owner, folders)
    for method, query, headers in READS[:5]:
        answer = narrow.request(method, path, query, headers)
        assert answer.status in (400, 403, 404)
        assert b"private" not in answer.body
    assert narrow.put(path, b"dots").status in (200, 403)
    assert narrow.delete(path).status in (204, 403)
    assert snapshot(owner, folders) == before
    if not spelling.startswith("foo%2F"):
        # Stored below foo/ under that very key, and the way out is not it.
        assert narrow.put(path, b"dots").status == 200
        assert all(key.startswith("foo/") for key in keys_of(owner, folders) if ".." in key)
    for key in ("foobar", "foo", "other/secret"):
        assert_holds(owner, f"{folders}/{key}", b"private")


def test_a069_a_folded_bucket_in_the_path_is_judged_as_it_lands(
    owner: Client, narrow: Client, folders: str
) -> None:
    """IU-20: the PHP SDK sends the path of the key as if it were a bucket's name."""
    first = f"{folders}%2Ffoo%2F"
    assert narrow.put(f"{first}/new.png", b"x").status == 200
    assert_holds(owner, f"{folders}/foo/new.png", b"x")
    assert narrow.get(f"{first}/mine").body == b"private"
    for outside in (f"{folders}%2Ffoobar", f"{folders}%2Fother%2F/secret", f"{folders}%2Ffoo"):
        answer = narrow.get(outside if "/" in outside[1:] else f"{outside}/x")
        # ``foo`` and then ``/x`` is a key below foo/, and not there.
        assert (answer.status, answer.code) in ((403, "AccessDenied"), (404, "NoSuchKey"))
        assert b"private" not in answer.body
    assert_denied(narrow.put(f"{folders}%2Fother%2F/secret", b"evil"))
    assert_holds(owner, f"{folders}/other/secret", b"private")


LISTS = ["", "list-type=2", "versions", "uploads"]


@pytest.mark.parametrize("kind", LISTS)
def test_a070_a_listing_needs_a_prefix_inside(
    owner: Client, narrow: Client, folders: str, kind: str
) -> None:
    """IU-05: the root cannot be listed, the path can."""
    for key in ("foo/mine", "other/secret", "foobar"):
        assert owner.post(f"{folders}/{key}", query="uploads").status == 200
    for query in (
        "",
        "prefix=",
        "prefix",
        "prefix=foo",
        "prefix=fo",
        "prefix=foobar",
        "prefix=foobar/",
        "prefix=other/",
        "prefix=FOO/",
        "prefix=%2Ffoo/",
        "delimiter=/",
        "prefix=&prefix=foo/",
        "Prefix=foo/",
        "prefix=foo&delimiter=/",
        "prefix=%66oo%00/",
    ):
        answer = narrow.get(folders, "&".join(filter(None, (kind, query))))
        assert_denied(answer)
    tag = "Upload/Key" if kind == "uploads" else "Version/Key" if kind == "versions" else None
    for query in (
        "prefix=foo/",
        "prefix=foo/&prefix=other/",
        "prefix=foo/m",
        "prefix=foo%2F",
        "prefix=foo/&delimiter=/",
        "prefix=foo/&marker=e&start-after=e&key-marker=e",
        "prefix=foo/&max-keys=1000&encoding-type=url",
    ):
        answer = narrow.get(folders, "&".join(filter(None, (kind, query))))
        assert answer.status == 200, answer.body
        keys = answer.texts(tag or "Contents/Key")
        assert [key.replace("%2F", "/") for key in keys] == ["foo/mine"], query
    assert narrow.get(folders, f"{kind}&prefix=foo/../".lstrip("&")).status == 200


def test_a070_no_list_of_buckets(owner: Client, narrow: Client, folders: str) -> None:
    """IU-05, IU-16: a list of buckets is refused, and nothing else comes of it."""
    for query in ("", "max-buckets=1", f"prefix={folders[1:]}"):
        assert_denied(narrow.get("/", query))
    assert narrow.head(folders).status == 403
    # By this clients find the region, as on AWS.
    assert narrow.head(folders).headers["x-amz-bucket-region"] == "us-east-1"
    assert narrow.get(folders, "location").status == 200


@pytest.mark.parametrize("key", ["foobar", "foo", "other/secret", "other/absent"])
def test_a071_a_copy_needs_both_ends_inside(
    owner: Client, narrow: Client, folders: str, key: str
) -> None:
    """IU-03: neither out of the path nor into it."""
    before = snapshot(owner, folders)
    out = {"x_amz_copy_source": f"{folders}/foo/mine"}
    into = {"x_amz_copy_source": f"{folders}/{key}"}
    assert_denied(narrow.put(f"{folders}/{key}", **out))
    for source in (into, {"x_amz_copy_source": f"{folders}/{key}?versionId=null"}):
        assert_denied(narrow.put(f"{folders}/foo/stolen", **source))
    sent = {"x-amz-rename-source": f"/{folders[1:]}/{key}"}
    assert_denied(narrow.request("PUT", f"{folders}/foo/stolen", "renameObject", sent))
    sent = {"x-amz-rename-source": "foo/mine"}
    assert_denied(narrow.request("PUT", f"{folders}/{key}", "renameObject", sent))
    assert snapshot(owner, folders) == before
    upload = narrow.post(f"{folders}/foo/stolen", query="uploads").text("UploadId")
    part = f"partNumber=1&uploadId={upload}"
    assert_denied(narrow.put(f"{folders}/foo/stolen", b"", part, **into))
    assert_denied(narrow.put(f"{folders}/{key}", b"", part, **out))
    # The twins.
    assert narrow.put(f"{folders}/foo/stolen", b"", part, **out).status == 200
    assert narrow.put(f"{folders}/foo/copy", **out).status == 200
    assert_holds(owner, f"{folders}/foo/copy", b"private")


def test_a071_an_upload_of_another_key_is_out_of_reach(
    owner: Client, narrow: Client, folders: str
) -> None:
    """An upload that is the owner's, of a key outside: none of its steps is the narrow key's."""
    upload = owner.post(f"{folders}/other/big", query="uploads").text("UploadId")
    done = b"<CompleteMultipartUpload></CompleteMultipartUpload>"
    for key in ("other/big", "foo/big"):
        path = f"{folders}/{key}"
        answers = [
            narrow.put(path, b"evil", f"partNumber=1&uploadId={upload}"),
            narrow.get(path, f"uploadId={upload}"),
            narrow.post(path, done, f"uploadId={upload}"),
            narrow.delete(path, f"uploadId={upload}"),
        ]
        wanted = (403, "AccessDenied") if key == "other/big" else (404, "NoSuchUpload")
        assert [(each.status, each.code) for each in answers[:2]] == [wanted] * 2
        assert {each.status for each in answers} <= {wanted[0], 400}
    assert owner.get(f"{folders}/other/big", f"uploadId={upload}").status == 200


def test_a072_a_multi_delete_is_asked_about_each_key(
    owner: Client, narrow: Client, folders: str
) -> None:
    answer = delete_many(narrow, folders, "foo/mine", "foobar", "foo", "foo/../foobar", "absent")
    assert answer.status == 200
    assert answer.texts("Deleted/Key") == ["foo/mine", "foo/../foobar"]
    assert answer.texts("Error/Key") == ["foobar", "foo", "absent"]
    assert set(answer.texts("Error/Code")) == {"AccessDenied"}
    assert keys_of(owner, folders) == ["foo", "foobar", "foobar/x", "other/secret"]


def test_a072_versions_outside_stay(owner: Client, narrow: Client, folders: str) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert owner.put(folders, body, "versioning").status == 200
    version = owner.put(f"{folders}/other/secret", b"second").headers["x-amz-version-id"]
    for query in (f"versionId={version}", "versionId=null"):
        assert_denied(narrow.get(f"{folders}/other/secret", query))
        assert_denied(narrow.delete(f"{folders}/other/secret", query))
        assert_denied(narrow.put(f"{folders}/other/secret", b"", f"{query}&acl"))
    mine = narrow.put(f"{folders}/foo/mine", b"second").headers["x-amz-version-id"]
    assert narrow.delete(f"{folders}/foo/mine", f"versionId={mine}").status == 204
    assert narrow.get(folders, "versions&prefix=foo/").texts("Version/Key") == ["foo/mine"]
    assert_holds(owner, f"{folders}/other/secret", b"second")


@pytest.mark.parametrize("key", ["foobar", "foo", "other/secret", "other/absent"])
def test_a073_what_it_presigns_reaches_no_further(
    owner: Client, narrow: Client, folders: str, key: str
) -> None:
    signer = narrow.signer
    assert signer is not None
    how = Signature(signer)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        target = presign(method, f"{folders}/{key}", how=how)
        assert_denied(narrow.send(method, target, {"Host": HOST}))
    for query in ("", "prefix=foo", "prefix=other/", "list-type=2"):
        target = presign("GET", f"{folders}?{query}" if query else folders, how=how)
        assert_denied(narrow.send("GET", target, {"Host": HOST}))
    # What follows the signature's own parameters is not the first of its name.
    target = presign("GET", f"{folders}?prefix=other%2F&list-type=2", how=how)
    assert narrow.send("GET", target + "&prefix=foo%2F", {"Host": HOST}).status == 403
    # The twins.
    target = presign("GET", f"{folders}/foo/mine", how=how)
    assert narrow.send("GET", target, {"Host": HOST}).body == b"private"
    target = presign("GET", f"{folders}?list-type=2&prefix=foo%2F", how=how)
    assert narrow.send("GET", target, {"Host": HOST}).texts("Contents/Key") == ["foo/mine"]


@pytest.mark.parametrize("key", ["foobar", "other/secret", "${filename}", "other/${filename}"])
def test_a073_a_form_that_it_signs_stores_inside_only(
    owner: Client, narrow: Client, folders: str, key: str
) -> None:
    signer = narrow.signer
    assert signer is not None
    how = Signature(signer)
    before = snapshot(owner, folders)
    named = {"bucket": folders[1:]}
    fields = form_fields({"key": key}, [named, ["starts-with", "$key", ""]], how=how)
    assert_denied(post_form(narrow, folders, fields, b"evil"))
    # What the file is called may be anything, the way out as well.
    for name in ("other/secret", "../other/secret", "foo/../../other/secret"):
        content_type, body = form_body(fields, b"evil", filename=name)
        sent = {"Host": HOST, "Content-Type": content_type}
        assert_denied(narrow.send("POST", folders, sent, body))
    assert snapshot(owner, folders) == before
    for inside in ("foo/${filename}", "foo/"):
        fields = form_fields({"key": inside}, [named, ["starts-with", "$key", "foo/"]], how=how)
        assert post_form(narrow, folders, fields, b"x").status == 204
    assert_holds(owner, f"{folders}/foo/cat.jpg", b"x")


DOCUMENTS = [
    "accelerate",
    "acl",
    "analytics&id=1",
    "cors",
    "encryption",
    "intelligent-tiering&id=1",
    "inventory&id=1",
    "lifecycle",
    "logging",
    "metrics&id=1",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "tagging",
    "versioning",
    "website",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a074_nothing_is_done_to_the_bucket(
    owner: Client, narrow: Client, folders: str, document: str
) -> None:
    """IU-04: a lifecycle rule, for one, would remove everybody's objects."""
    rule = b"<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix>foo/</Prefix>"
    rule += b"</Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
    for method in ("GET", "PUT", "DELETE"):
        if method == "DELETE" and document in ("accelerate", "acl", "logging", "versioning"):
            continue
        answer = narrow.request(method, folders, f"{document}&prefix=foo/", {}, rule)
        assert answer.status in (403, 405, 501), (method, answer.body)
        answer = narrow.request(method, folders, document, {}, rule)
        assert answer.status in (403, 405, 501), (method, answer.body)
        if answer.status == 403:
            assert answer.code == "AccessDenied"
    assert owner.get(folders, "lifecycle").code == "NoSuchLifecycleConfiguration"


def test_a074_no_bucket_is_made_or_removed(owner: Client, narrow: Client, folders: str) -> None:
    """IU-04."""
    new = f"/{fresh_name('made')}"
    assert_denied(narrow.put(new))
    assert_absent(owner, new)
    assert_denied(narrow.put(folders))
    for key in keys_of(owner, folders):
        owner.delete(f"{folders}/{key}")
    assert_denied(narrow.delete(folders))
    assert owner.head(folders).status == 200


def test_a074_a_policy_or_an_acl_widens_nothing(
    endpoint: Narrow, owner: Client, folders: str
) -> None:
    """What everybody may is still not the narrow key's outside its path; others are not touched."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{folders[1:]}", f"arn:aws:s3:::{folders[1:]}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
    assert owner.put(folders, policy, "policy").status == 204
    theirs = endpoint.client(OTHER_ID, paths=[f"{folders[1:]}/foo/"], read_only=True)
    assert theirs.get(f"{folders}/foo/mine").body == b"private"
    assert theirs.get(folders, "prefix=foo/").status == 200
    assert_denied(theirs.put(f"{folders}/foo/mine", b"evil"))
    assert_denied(theirs.get(f"{folders}/other/secret"))
    assert_denied(theirs.get(folders))
    assert_denied(theirs.put(folders, policy, "policy"))
    assert_holds(Client(endpoint.app, None), f"{folders}/other/secret", b"private")
    assert_holds(Client(endpoint.app, OTHER), f"{folders}/other/secret", b"private")


def test_a074_no_service_writes_for_it_where_it_may_not(endpoint: Narrow, owner: Client) -> None:
    """IU-02: what replicates and logs for a key goes no further than the key itself."""
    source, target = fresh_name("source"), fresh_name("target")
    on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    for name in (source, target):
        assert owner.put(f"/{name}").status == 200
        assert owner.put(f"/{name}", on, "versioning").status == 200

    def log(prefix: str) -> tuple[str, bytes]:
        return "logging", (
            f"<BucketLoggingStatus><LoggingEnabled><TargetBucket>{target}</TargetBucket>"
            f"<TargetPrefix>{prefix}</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
        ).encode()

    def replicate(prefix: str, markers: str = "Disabled") -> tuple[str, bytes]:
        return "replication", (
            "<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Priority>1"
            f"</Priority><DeleteMarkerReplication><Status>{markers}</Status>"
            f"</DeleteMarkerReplication><Filter><Prefix>{prefix}</Prefix></Filter><Destination>"
            f"<Bucket>arn:aws:s3:::{target}</Bucket></Destination></Rule>"
            "</ReplicationConfiguration>"
        ).encode()

    def status(client: Client, asked: tuple[str, bytes]) -> int:
        answer = client.put(f"/{source}", asked[1], asked[0], content_md5=md5_of(asked[1]))
        assert answer.status == 200 or answer.code == "AccessDenied", answer.body
        return answer.status

    in_one = endpoint.client(paths=[source])
    assert [status(in_one, log("in/")), status(in_one, replicate(""))] == [403, 403]
    assert owner.get(f"/{source}", "replication").status == 404
    assert b"LoggingEnabled" not in owner.get(f"/{source}", "logging").body
    in_both = endpoint.client(paths=[source, f"{target}/in/"])
    assert [status(in_both, log(each)) for each in ("in", "in/")] == [403, 200]
    assert [status(in_both, replicate(each)) for each in ("in", "in/")] == [403, 200]
    keeper = endpoint.client(deletes=False)
    assert status(keeper, replicate("", "Enabled")) == 403
    assert status(keeper, replicate("")) == 200
    assert status(owner, replicate("", "Enabled")) == 200
    # Nor for a user further than its policies.
    for places, wanted in (((source,), [403, 403]), ((source, target), [200, 200])):
        resources = [f"arn:aws:s3:::{name}{rest}" for name in places for rest in ("", "/*")]
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
        policy = parse_policy(json.dumps({"Statement": statement}).encode(), kind="user")
        signer = endpoint.keys.add({})
        key = endpoint.keys.lookup(signer.access_key)
        assert key is not None
        user = replace(key, user="ursula", policies=(policy,), scope=None)
        endpoint.keys._added[signer.access_key] = user
        client = Client(endpoint.app, signer)
        assert [status(client, log("in/")), status(client, replicate(""))] == wanted


def test_a068_a_session_is_as_narrow_as_its_key(
    endpoint: Narrow, owner: Client, folders: str
) -> None:
    """A key opens a session for its bucket, and takes its bounds along."""
    narrow = endpoint.client(paths=[f"{folders[1:]}/foo/"], deletes=False)
    answer = narrow.get(folders, "session")
    assert answer.status == 200, answer.body
    key = "Credentials/"
    signer = replace(
        OTHER,
        access_key=answer.text(key + "AccessKeyId") or "",
        secret_key=answer.text(key + "SecretAccessKey") or "",
        token=answer.text(key + "SessionToken"),
    )
    session = Client(endpoint.app, signer)
    assert session.get(f"{folders}/foo/mine").body == b"private"
    assert session.put(f"{folders}/foo/new", b"x").status == 200
    assert_denied(session.delete(f"{folders}/foo/new"))
    for outside in ("foobar", "foo", "other/secret", "other/absent"):
        assert_denied(session.get(f"{folders}/{outside}"))
        assert_denied(session.put(f"{folders}/{outside}", b"evil"))
    assert_denied(session.get(folders))
    assert session.get(folders, "prefix=foo/").status == 200
    elsewhere = f"{folders}-else"
    owner.put(elsewhere)
    assert_denied(narrow.get(elsewhere, "session"))
