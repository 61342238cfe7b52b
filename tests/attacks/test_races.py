"""Whoever may act on one version may not by that act on the next one, however close they come."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.auth.access import BucketAccess
from s3kit.index import objects as object_rows
from s3kit.model import Decision
from s3kit.model import Question
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from tests.attacks.effects import assert_denied
from tests.client import Answer
from tests.client import Client
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER_ID
from tests.endpoint import fresh_name
from tests.endpoint import make_app

EVERYONE = (
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
    "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>"
)
SIZES = [0, 100, 200_000]
"""Nothing, inline, a blob."""


def policy(owner: str, permission: str) -> bytes:
    return (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner><AccessControlList><Grant>{EVERYONE}"
        f"<Permission>{permission}</Permission></Grant></AccessControlList></AccessControlPolicy>"
    ).encode()


class Meddler:
    """Decides as ever, but something may happen between a decision and what comes of it."""

    def __init__(self) -> None:
        self._happenings: list[Callable[[], object]] = []
        self.tags_decide = False

    def after(self, questions: int, happens: Callable[[], object]) -> None:
        """After so many more questions about a key."""
        self._happenings = [happens, *([lambda: None] * (questions - 1))]

    @property
    def done(self) -> bool:
        return not self._happenings

    def decide(self, question: Question) -> Decision:
        decision = BucketAccess().decide(question)
        if self.tags_decide and not decision.allowed and question.load is not None:
            version = question.load()
            decision = Decision(version is not None and ("open", "yes") in version.tags)
        if self._happenings and question.key is not None:
            self._happenings.pop()()
        return decision


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    PROFILES["tiny parts"] = Profile(name="tiny parts", min_part=0)
    folder = tmp_path_factory.mktemp("raced")
    made = make_app("file", folder, inline_threshold=4096, profile="tiny parts")
    del PROFILES["tiny parts"]
    yield made
    made.close()


@pytest.fixture
def meddler(app: S3App, monkeypatch: pytest.MonkeyPatch) -> Meddler:
    made = Meddler()
    monkeypatch.setattr(app, "_site", replace(app._site, access=made))
    return made


@pytest.fixture
def bucket(s3: Client) -> str:
    """A bucket that all may write to, and none but its owner may list."""
    path = f"/{fresh_name('raced')}"
    assert s3.put(path).status == 200
    assert s3.put(path, policy(OWNER_ID, "WRITE"), "acl").status == 200
    return path


def assert_public_or_denied(answer: Answer, etag: str, size: int) -> None:
    """The answer is about the public object, or there is none."""
    if answer.status == 403:
        assert_denied(answer)
        return
    assert (answer.headers["etag"], answer.headers["content-length"]) == (etag, str(size))
    assert answer.body in (b"", b"p" * size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", SIZES)
def test_a_private_object_that_takes_a_public_ones_place_is_not_read(
    s3: Client, anonymous: Client, meddler: Meddler, bucket: str, before: int, size: int
) -> None:
    path = f"{bucket}/pub"
    for method, query in [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "partNumber=1"),
        ("GET", "versionId=null"),
    ]:
        etag = s3.put(path, b"p" * before, x_amz_acl="public-read").headers["etag"]
        assert anonymous.request(method, path, query).status < 300
        meddler.after(1, lambda: s3.put(path, b"s" * size, x_amz_meta_secret="s"))
        answer = anonymous.request(method, path, query)
        assert_public_or_denied(answer, etag, before)
        assert "x-amz-meta-secret" not in answer.headers
        assert meddler.done


@pytest.mark.parametrize("size", SIZES)
def test_a_public_object_that_takes_a_public_ones_place_is_read(
    s3: Client, anonymous: Client, meddler: Meddler, bucket: str, size: int
) -> None:
    path = f"{bucket}/pub"
    s3.put(path, b"p" * size, x_amz_acl="public-read")
    meddler.after(1, lambda: s3.put(path, b"new", x_amz_acl="public-read"))
    answer = anonymous.get(path)
    assert (answer.status, answer.body) in [(200, b"p" * size), (200, b"new")]
    assert answer.headers["content-length"] == str(len(answer.body))


def test_a_public_object_that_goes_leaves_no_word_behind(
    s3: Client, anonymous: Client, meddler: Meddler, bucket: str
) -> None:
    path = f"{bucket}/pub"
    s3.put(path, b"public", x_amz_acl="public-read")
    meddler.after(1, lambda: s3.delete(path))
    assert_denied(anonymous.get(path))


@pytest.mark.parametrize("size", SIZES)
def test_a_private_object_where_nothing_was_is_not_read(
    s3: Client, anonymous: Client, meddler: Meddler, size: int
) -> None:
    bucket = f"/{fresh_name('listed')}"
    s3.put(bucket, x_amz_acl="public-read")
    path = f"{bucket}/new"
    meddler.after(1, lambda: s3.put(path, b"s" * size))
    assert anonymous.get(path).code in ("NoSuchKey", "AccessDenied")
    assert_denied(anonymous.get(path))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("query", ["", "partNumber=1&uploadId={}"])
def test_a_private_object_that_takes_a_public_ones_place_is_not_copied(
    s3: Client, other: Client, meddler: Meddler, bucket: str, size: int, query: str
) -> None:
    path = f"{bucket}/pub"
    mine = f"/{fresh_name('mine')}"
    other.put(mine)
    upload = other.post(f"{mine}/k", query="uploads").text("UploadId")
    s3.put(path, b"public", x_amz_acl="public-read")
    # The first question is about the copy, the second about its source.
    meddler.after(2, lambda: s3.put(path, b"s" * size))
    assert_denied(other.put(f"{mine}/k", b"", query.format(upload), x_amz_copy_source=path))
    assert meddler.done
    assert other.head(f"{mine}/k").status == 404
    assert other.get(f"{mine}/k", f"uploadId={upload}").texts("Part") == []


@pytest.mark.parametrize("form", ["canned", "document"])
@pytest.mark.parametrize("query", ["acl", "acl&versionId=null"])
def test_the_owner_of_what_is_overwritten_may_not_open_what_came_instead(
    s3: Client,
    other: Client,
    anonymous: Client,
    meddler: Meddler,
    bucket: str,
    form: str,
    query: str,
) -> None:
    path = f"{bucket}/theirs"
    assert other.put(path, b"theirs").status == 200
    meddler.after(1, lambda: s3.put(path, b"secret"))
    if form == "canned":
        assert_denied(other.put(path, b"", query, x_amz_acl="public-read"))
    else:
        assert_denied(other.put(path, policy(OTHER_ID, "READ"), query))
    assert meddler.done
    assert s3.get(path, "acl").texts(".//Grant/Permission") == ["FULL_CONTROL"]
    assert_denied(anonymous.get(path))


def test_the_owner_of_what_is_overwritten_does_not_see_the_next_acl(
    s3: Client, other: Client, meddler: Meddler, bucket: str
) -> None:
    path = f"{bucket}/theirs"
    assert other.put(path, b"theirs").status == 200
    meddler.after(1, lambda: s3.put(path, b"secret"))
    answer = other.get(path, "acl")
    assert answer.status == 403 or answer.text("Owner/ID") == OTHER_ID


class Slow:
    """A body while which something happens."""

    def __init__(self, data: bytes, happens: Callable[[], object]) -> None:
        self._rest = data
        self._happens = [happens]
        self.headers = {
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "Content-Length": str(len(data)),
        }

    def read(self, size: int = -1) -> bytes:
        if self._happens:
            self._happens.pop()()
        size = len(self._rest) if size < 0 else size
        block, self._rest = self._rest[:size], self._rest[size:]
        return block


def test_an_acl_is_for_the_object_that_was_there_when_its_document_began_to_come(
    s3: Client, other: Client, anonymous: Client, bucket: str
) -> None:
    path = f"{bucket}/theirs"
    assert other.put(path, b"theirs").status == 200
    body = Slow(policy(OTHER_ID, "READ"), lambda: s3.put(path, b"secret"))
    assert_denied(other.request("PUT", path, "acl", body.headers, body))
    assert_denied(anonymous.get(path))
    # The bucket's owner may act on its own object only, whose ACL names it then.
    assert other.put(path, b"theirs").status == 200
    body = Slow(policy(OWNER_ID, "READ"), lambda: s3.put(path, b"secret"))
    answer = s3.request("PUT", path, "acl", body.headers, body)
    assert not answer.body or answer.code in ("AccessDenied", "InvalidArgument")
    assert s3.get(path, "acl").text("Owner/ID") == OWNER_ID
    assert_denied(other.get(path, "acl"))


def test_a_read_that_begins_anew_is_asked_about_anew(
    s3: Client, anonymous: Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a public object are gone when they are looked for; what is there is private."""
    path = f"{bucket}/parts"
    upload = s3.post(path, query="uploads", x_amz_acl="public-read").text("UploadId")
    etag = s3.put(path, b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
    document = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    assert s3.post(path, document.encode(), f"uploadId={upload}").status == 200
    assert anonymous.get(path).body == b"part"
    look = object_rows.parts_of
    waiting = [lambda: s3.put(path, b"secret")]

    def looking(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return look(*arguments)

    monkeypatch.setattr(object_rows, "parts_of", looking)
    assert_denied(anonymous.get(path))
    assert not waiting


TAGS = b"<Tagging><TagSet><Tag><Key>open</Key><Value>ours</Value></Tag></TagSet></Tagging>"
TAGGED = {
    "GetObjectTagging": ("GET", "tagging", b""),
    "PutObjectTagging": ("PUT", "tagging", TAGS),
    "DeleteObjectTagging": ("DELETE", "tagging", b""),
    "GetObjectAttributes": ("GET", "attributes", b""),
}


@pytest.mark.parametrize("operation", sorted(TAGGED))
@pytest.mark.parametrize("version", ["", "&versionId=null"])
def test_an_access_of_ones_own_decides_about_the_version_that_it_has_seen(
    s3: Client, other: Client, meddler: Meddler, bucket: str, operation: str, version: str
) -> None:
    method, query, body = TAGGED[operation]
    path = f"{bucket}/tagged"
    headers = {"x-amz-object-attributes": "ObjectSize"}
    meddler.tags_decide = True
    s3.put(path, b"open", x_amz_tagging="open=yes")
    assert other.request(method, path, query + version, headers, body).status < 300
    s3.put(path, b"open", x_amz_tagging="open=yes")
    meddler.after(1, lambda: s3.put(path, b"closed", x_amz_tagging="open=no"))
    answer = other.request(method, path, query + version, headers, body)
    if method == "GET":
        shown = answer.text("TagSet/Tag/Value") or answer.text("ObjectSize")
        assert answer.status == 403 or shown in ("yes", "4")
    else:
        assert_denied(answer)
    assert s3.get(path, "tagging").texts("TagSet/Tag/Value") == ["no"]
    # What is not there is not to be tagged once it is there.
    assert_denied(other.request(method, f"{path}-missing", query + version, headers, body))
