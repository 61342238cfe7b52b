"""What accounts and keys may store: exact to the byte, whatever a client does (CS-12, CS-20)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import InvalidArgument
from s3kit.index import accounts as account_rows
from s3kit.index import objects
from s3kit.index import uploads
from s3kit.index import usage
from s3kit.index.connections import Connection
from s3kit.model import Account
from s3kit.model import Caller
from s3kit.model import Setting
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from s3kit.store import Attributes
from s3kit.store import Origin
from s3kit.testing import boto3_client
from s3kit.wire.checksums import BodyReader
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import ACCOUNTS
from tests.endpoint import MASTER_KEY
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.index.test_joined import engine_to
from tests.operations.test_posting import multipart
from tests.operations.test_posting import signing_client

BUCKET = "/quota"
ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
SUSPENDED = ENABLED.replace(b"Enabled", b"Suspended")
TINY_PARTS = "quota-test"
MOST = 100


@pytest.fixture(autouse=True)
def tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, TINY_PARTS, Profile(name=TINY_PARTS, min_part=0))


def app_on(index: str, folder: Path, *, profile: str = TINY_PARTS, **more: Any) -> S3App:
    return S3App(
        Config(
            accounts=ACCOUNTS,
            master_keys=(MASTER_KEY,),
            index=index,
            storages={"default": str(folder / "blobs")},
            inline_threshold=12,
            durability="relaxed",
            profile=profile,
            **more,
        )
    )


@pytest.fixture
def app(tmp_path: Path) -> Iterator[S3App]:
    made = app_on("memory://", tmp_path)
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    """A client whose account may store 100 bytes, with a bucket."""
    app.store.quota.set_limit(OWNER_ID, MOST)
    client = Client(app, OWNER)
    assert client.put(BUCKET).status == 200
    return client


def counted(app: S3App) -> int:
    """What is written down, which must be what is there."""
    index = app.store.index
    found = index.read(lambda c: usage.get(c, OWNER_ID))
    assert found is not None
    assert found.most is not None
    assert found.used == index.read(lambda c: usage.total(c, OWNER_ID))
    return found.used


def is_refused(answer: Answer) -> bool:
    return answer.status == 403 and answer.code == "QuotaExceeded"


# -- what counts


def test_an_upload_beyond_the_limit_is_refused_and_changes_nothing(s3: Client, app: S3App) -> None:
    """CS-12, CS-20: inline and on a storage, to the byte."""
    assert s3.put(f"{BUCKET}/small", b"x" * 10).status == 200
    assert s3.put(f"{BUCKET}/large", b"x" * 60).status == 200
    refused = s3.put(f"{BUCKET}/more", b"x" * 31)
    assert is_refused(refused)
    assert refused.text("Message") == (
        "Upload would exceed your plan's storage quota. Upgrade your plan or delete existing data."
    )
    assert s3.get(f"{BUCKET}/more").status == 404
    assert counted(app) == 70
    assert s3.put(f"{BUCKET}/more", b"x" * 30).status == 200
    assert is_refused(s3.put(f"{BUCKET}/one", b"x"))
    assert s3.put(f"{BUCKET}/none", b"").status == 200
    assert counted(app) == MOST
    assert s3.delete(f"{BUCKET}/large").status == 204
    assert counted(app) == 40
    app.store.collect_garbage(now=2**53)
    left = [blob for blob, _ in app.store.storages["default"].sweep()]
    assert len(left) == 1


def test_an_overwrite_counts_the_difference(s3: Client, app: S3App) -> None:
    s3.put(f"{BUCKET}/k", b"x" * 90)
    assert s3.put(f"{BUCKET}/k", b"x" * 100).status == 200
    assert is_refused(s3.put(f"{BUCKET}/k", b"x" * 101))
    assert s3.put(f"{BUCKET}/k", b"x" * 20).status == 200
    assert counted(app) == 20


def test_every_version_counts_until_it_is_gone(s3: Client, app: S3App) -> None:
    """Also the null version of a suspended bucket; a marker has no bytes (CS-50)."""
    key = f"{BUCKET}/k"
    s3.put(key, b"x" * 20)
    s3.put(BUCKET, ENABLED, "versioning")
    first = s3.put(key, b"x" * 30).headers["x-amz-version-id"]
    s3.put(key, b"x" * 40)
    assert is_refused(s3.put(key, b"x" * 11))
    s3.delete(key)
    assert counted(app) == 90
    s3.put(BUCKET, SUSPENDED, "versioning")
    assert is_refused(s3.put(key, b"x" * 31))
    assert s3.put(key, b"x" * 30).status == 200
    assert counted(app) == MOST
    s3.delete(key, f"versionId={first}")
    assert counted(app) == 70
    document = b"<Delete>%b</Delete>" % b"".join(
        f"<Object><Key>k</Key><VersionId>{each}</VersionId></Object>".encode()
        for each in s3.get(BUCKET, "versions").texts("Version/VersionId")
    )
    md5 = base64.b64encode(hashlib.md5(document).digest()).decode()
    assert s3.post(BUCKET, document, "delete", Content_MD5=md5).status == 200
    assert counted(app) == 0


def test_parts_count_from_their_arrival(s3: Client, app: S3App) -> None:
    """Not to be used to store without limit: replaced, listed or not, aborted."""
    key = f"{BUCKET}/parts"

    def begin() -> str:
        return s3.post(key, query="uploads").text("UploadId") or ""

    def put(upload: str, number: int, size: int) -> Answer:
        return s3.put(key, b"x" * size, f"partNumber={number}&uploadId={upload}")

    upload = begin()
    etag = put(upload, 1, 40).headers["etag"]
    assert put(upload, 2, 50).status == 200
    assert is_refused(put(upload, 3, 20))
    assert put(upload, 2, 55).status == 200
    assert is_refused(put(upload, 2, 61))
    assert counted(app) == 95
    s3.put(f"{BUCKET}/rest", b"x" * 5)
    listed = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    # Full to the brim: what was parts is an object now, and the other part is gone.
    assert s3.post(key, document, f"uploadId={upload}").status == 200
    assert counted(app) == 45
    again = begin()
    put(again, 1, 30)
    assert s3.delete(key, f"uploadId={again}").status == 204
    assert counted(app) == 45
    last = begin()
    source = f"{BUCKET}/parts"
    query = f"partNumber=1&uploadId={last}"
    assert s3.put(key, query=query, x_amz_copy_source=source).status == 200
    assert counted(app) == 85
    s3.delete(key)
    s3.delete(f"{BUCKET}/rest")
    assert counted(app) == 40
    # With its bucket go the uploads.
    assert s3.delete(BUCKET).status == 204
    assert counted(app) == 0


def test_copies_appends_renames_and_annotations_count(s3: Client, app: S3App) -> None:
    s3.put(f"{BUCKET}/a", b"x" * 40)
    assert s3.put(f"{BUCKET}/b", x_amz_copy_source=f"{BUCKET}/a").status == 200
    assert is_refused(s3.put(f"{BUCKET}/c", x_amz_copy_source=f"{BUCKET}/a"))
    assert counted(app) == 80
    assert s3.put(f"{BUCKET}/b", b"x" * 5, x_amz_write_offset_bytes="40").status == 200
    assert is_refused(s3.put(f"{BUCKET}/b", b"x" * 16, x_amz_write_offset_bytes="45"))
    assert counted(app) == 85
    bucket = app.store.buckets.get(BUCKET[1:])
    version = app.store.objects.get(bucket, b"b")
    app.store.annotations.put(bucket, version, "note", b"x" * 10, etag="e")
    app.store.annotations.put(bucket, version, "note", b"x" * 4, etag="e")
    assert counted(app) == 89
    with pytest.raises(usage.QuotaExceeded):
        app.store.annotations.put(bucket, version, "other", b"x" * 12, etag="e")
    app.store.annotations.put(bucket, version, "other", b"x" * 11, etag="e")
    app.store.annotations.delete(bucket, version, "other")
    assert counted(app) == 89
    renamed = s3.put(f"{BUCKET}/d", query="renameObject", x_amz_rename_source="b")
    assert renamed.status == 200
    assert counted(app) == 89
    assert s3.put(f"{BUCKET}/d", b"").status == 200
    assert counted(app) == 40


def test_a_rename_with_versions_counts_twice(s3: Client, app: S3App) -> None:
    s3.put(BUCKET, ENABLED, "versioning")
    s3.put(f"{BUCKET}/a", b"x" * 40)
    bucket = app.store.buckets.get(BUCKET[1:], fresh=True)
    version = app.store.objects.get(bucket, b"a")
    app.store.annotations.put(bucket, version, "note", b"x" * 4, etag="e")
    assert s3.put(f"{BUCKET}/b", query="renameObject", x_amz_rename_source="a").status == 200
    assert counted(app) == 88
    assert is_refused(s3.put(f"{BUCKET}/c", query="renameObject", x_amz_rename_source="b"))
    assert s3.get(f"{BUCKET}/b").status == 200
    assert counted(app) == 88


def test_the_buckets_owner_pays(s3: Client, app: S3App) -> None:
    """Whoever stores it; and what strangers store elsewhere is not counted here."""
    other = Client(app, OTHER)
    other.put("/others")
    other.put("/others/free", b"x" * 500)
    assert not app.store.buckets.get("others").present & Setting.LIMITED
    assert app.store.quota.used(OTHER_ID) == 500
    bucket = app.store.buckets.get(BUCKET[1:])
    stranger = Origin(Caller(Account(OTHER_ID)))
    body = BodyReader(io.BytesIO(b"x" * 101), 101)
    with pytest.raises(usage.QuotaExceeded):
        app.store.objects.put(bucket, b"k", body, Attributes(owner=OTHER_ID), origin=stranger)
    body = BodyReader(io.BytesIO(b"x" * 99), 99)
    app.store.objects.put(bucket, b"k", body, Attributes(owner=OTHER_ID), origin=stranger)
    assert counted(app) == 99
    assert is_refused(s3.put("/quota/k2", b"xx"))


def test_a_form_beyond_the_limit_is_refused(s3: Client, app: S3App) -> None:
    s3.put(f"{BUCKET}/k", b"x" * 90)
    signed = signing_client(OWNER).generate_presigned_post("quota", "form")
    kind, body = multipart(signed["fields"], b"x" * 11)
    assert is_refused(Client(app, None).post(BUCKET, body, Content_Type=kind))
    kind, body = multipart(signed["fields"], b"x" * 10)
    assert Client(app, None).post(BUCKET, body, Content_Type=kind).status == 204
    assert counted(app) == MOST


class Untouchable:
    """A body of which nothing may be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")

    readline = readlines = __iter__ = read


@pytest.mark.parametrize("what", ["object", "part", "append"])
def test_the_declared_length_is_refused_before_the_body(s3: Client, app: S3App, what: str) -> None:
    """CS-12: whoever waits for 100-continue sends nothing in vain."""
    key, query, headers = f"{BUCKET}/k", "", {}
    s3.put(key, b"x" * 50)
    if what == "part":
        query = f"partNumber=1&uploadId={s3.post(key, query='uploads').text('UploadId')}"
    if what == "append":
        headers = {"x-amz-write-offset-bytes": "50"}
    length = 2 << 20
    sent = s3.signed_headers(
        "PUT",
        f"{key}?{query}" if query else key,
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", **headers},
        b"",
    )
    sent["Content-Length"] = str(length)
    target = f"{key}?{query}" if query else key
    answer = s3.send("PUT", target, sent, Untouchable())
    assert is_refused(answer)
    assert counted(app) == 50


# -- limits that come and go


def test_a_limit_that_comes_later_counts_what_is_there(app: S3App) -> None:
    s3 = Client(app, OWNER)
    for name in ("/one-bucket", "/two-bucket"):
        s3.put(name)
        s3.put(f"{name}/k", b"x" * 30)
        assert not app.store.buckets.get(name[1:]).present & Setting.LIMITED
    upload = s3.post("/one-bucket/u", query="uploads").text("UploadId")
    s3.put("/one-bucket/u", b"x" * 7, f"partNumber=1&uploadId={upload}")
    assert app.store.quota.limit(OWNER_ID) is None
    app.store.quota.set_limit(OWNER_ID, 70)
    assert counted(app) == 67
    assert is_refused(s3.put("/two-bucket/more", b"x" * 4))
    # A setting that comes or goes leaves the bit alone.
    s3.put("/two-bucket", b"<Tagging><TagSet></TagSet></Tagging>", "tagging")
    s3.delete("/two-bucket", query="tagging")
    assert is_refused(s3.put("/two-bucket/more", b"x" * 4))
    # Lower than what is there: nothing is lost, and what is smaller may come.
    app.store.quota.set_limit(OWNER_ID, 10)
    assert is_refused(s3.put("/two-bucket/k", b"x" * 31))
    assert s3.put("/two-bucket/k", b"x" * 29).status == 200
    assert counted(app) == 66
    app.store.quota.set_limit(OWNER_ID, None)
    assert s3.put("/two-bucket/more", b"x" * 1000).status == 200
    assert app.store.quota.used(OWNER_ID) == 1066
    assert not app.store.buckets.get("two-bucket", fresh=True).present & Setting.LIMITED
    app.store.quota.set_limit(OWNER_ID, 2000)
    assert counted(app) == 1066


def test_a_new_bucket_has_its_accounts_limit(s3: Client, app: S3App) -> None:
    assert s3.put("/another").status == 200
    assert app.store.buckets.get("another").present & Setting.LIMITED
    assert is_refused(s3.put("/another/k", b"x" * 101))


def test_the_profiles_limit_is_that_of_all(tmp_path: Path, monkeypatch: Any) -> None:
    """And an account's own is more than the profile's."""
    profile = Profile(name="tiny-plan", most_bytes=5)
    monkeypatch.setitem(PROFILES, "tiny-plan", profile)
    app = app_on("memory://", tmp_path, profile="tiny-plan")
    s3 = Client(app, OWNER)
    s3.put(BUCKET)
    assert s3.put(f"{BUCKET}/k", b"12345").status == 200
    assert is_refused(s3.put(f"{BUCKET}/k", b"123456"))
    app.store.accounts.set(OWNER_ID, limits={"bytes": 7})
    assert s3.put(f"{BUCKET}/k", b"1234567").status == 200
    assert is_refused(s3.put(f"{BUCKET}/k", b"12345678"))
    # Its plan has changed with the configuration.
    app.store.quota.limit_of = lambda account: 8
    app.store.quota.follow_all()
    assert s3.put(f"{BUCKET}/k", b"12345678").status == 200
    assert counted(app) == 8
    app.close()


def test_a_wrong_count_can_be_mended(s3: Client, app: S3App) -> None:
    s3.put(f"{BUCKET}/k", b"x" * 10)
    app.store.index.write(lambda c: usage.set_limit(c, OWNER_ID, 95, MOST))
    assert is_refused(s3.put(f"{BUCKET}/l", b"x" * 10))
    assert app.store.quota.recount(OWNER_ID) == 10
    assert s3.put(f"{BUCKET}/l", b"x" * 10).status == 200
    assert counted(app) == 20


def test_what_is_refused_in_a_shared_commit_undoes_only_itself(s3: Client, app: S3App) -> None:
    def one(c: Connection) -> None:
        usage.count(c, OWNER_ID, 60)
        raise ValueError

    def two(c: Connection) -> None:
        usage.count(c, OWNER_ID, 60)

    with pytest.raises(ValueError):
        app.store.index.write(one)
    app.store.index.write(two)
    with pytest.raises(usage.QuotaExceeded):
        app.store.index.write(two)
    found = app.store.index.read(lambda c: usage.get(c, OWNER_ID))
    assert found == (60, MOST)


# -- several at once


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[S3App, S3App]]:
    """Two processes' worth of endpoints on one database."""
    with fresh_database(request.param, tmp_path) as url:
        apps = app_on(url, tmp_path), app_on(url, tmp_path)
        yield apps
        for app in apps:
            app.close()


def test_writers_cannot_exceed_together(pair: tuple[S3App, S3App]) -> None:
    """minio#17694: and a limit that comes among them misses none of theirs."""
    clients = [Client(app, OWNER) for app in pair]
    clients[0].put(BUCKET)
    clients[0].put(f"{BUCKET}/k", b"x" * 10)
    clients[1].get(f"{BUCKET}/k")

    def write(number: int) -> int:
        client = clients[number % 2]
        if number == 6:
            pair[0].store.quota.set_limit(OWNER_ID, 200)
            return 0
        if number % 5 == 4:
            # Overwritten and removed while others write it.
            return client.delete(f"{BUCKET}/{number % 3}").status
        return client.put(f"{BUCKET}/{number % 3 if number % 2 else number}", b"x" * 15).status

    with ThreadPoolExecutor(6) as pool:
        # No more than 200 by then, whenever the limit comes.
        found = set(pool.map(write, range(13)))
        found |= set(pool.map(write, range(13, 40)))
    assert found <= {0, 200, 204, 403}
    assert 403 in found
    assert 200 in found
    assert counted(pair[1]) <= 200
    # What is free is free to the byte.
    rest = 200 - counted(pair[0])
    assert is_refused(clients[1].put(f"{BUCKET}/rest", b"x" * (rest + 1)))
    assert clients[1].put(f"{BUCKET}/rest", b"x" * rest).status == 200
    upload = clients[0].post(f"{BUCKET}/u", query="uploads").text("UploadId")
    assert is_refused(clients[0].put(f"{BUCKET}/u", b"x", f"partNumber=1&uploadId={upload}"))
    assert clients[1].delete(f"{BUCKET}/rest").status == 204
    query = f"partNumber=1&uploadId={upload}"
    assert clients[0].put(f"{BUCKET}/u", b"x" * rest, query).status == 200
    assert counted(pair[1]) == 200
    assert clients[0].delete(f"{BUCKET}/u", f"uploadId={upload}").status == 204
    pair[1].store.quota.set_limit(OWNER_ID, None)
    assert clients[0].put(f"{BUCKET}/u", b"x" * 500).status == 200
    assert pair[0].store.quota.recount(OWNER_ID) == 500 + 200 - rest


@pytest.mark.parametrize("what", ["object", "part"])
# SQLite has one writer at a time: there, nobody could be in between.
@pytest.mark.parametrize("pair", [each for each in KINDS if each != "sqlite"], indirect=True)
def test_a_limit_waits_for_whoever_is_writing(
    pair: tuple[S3App, S3App], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A write that has not seen the limit is there when it is first counted."""
    one, two = pair
    s3 = Client(one, OWNER)
    s3.put(BUCKET)
    # There already, so that nothing but the write itself holds the bucket.
    s3.put(f"{BUCKET}/k", b"x")
    query = ""
    if what == "part":
        query = f"partNumber=1&uploadId={s3.post(f'{BUCKET}/k', query='uploads').text('UploadId')}"
    reached, go_on = threading.Event(), threading.Event()
    module, name = (uploads, "_values") if what == "part" else (objects, "put_version")
    plain = getattr(module, name)

    def held(*arguments: Any, **options: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return plain(*arguments, **options)

    monkeypatch.setattr(module, name, held)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(s3.put, f"{BUCKET}/k", b"x" * 30, query)
        assert reached.wait(60)
        limiting = pool.submit(two.store.quota.set_limit, OWNER_ID, MOST)
        with pytest.raises(TimeoutError):
            limiting.result(0.2)
        go_on.set()
        assert writing.result(60).status == 200
        limiting.result(60)
    assert counted(two) == (31 if what == "part" else 30)


def test_what_is_remembered_of_a_limit_does_not_win(pair: tuple[S3App, S3App]) -> None:
    """A run in the background elsewhere may know a limit as it was a second ago."""
    one, two = pair
    account = one.store.accounts.create(limits={"bytes": 50}).id
    # No time passes.
    two.store._backing.accounts.clock = lambda: 0.0
    assert two.store.accounts.limits_of(account).bytes == 50
    one.store.accounts.set(account, limits={"bytes": 70})
    assert one.store.quota.limit(account) == 70
    two.store.quota.follow_all()
    assert one.store.quota.limit(account) == 70
    # Nor for the first bucket of an account.
    newer = one.store.accounts.create().id
    assert two.store.accounts.limits_of(newer).bytes is None
    one.store.index.write(
        lambda c: account_rows.change(
            c, replace(account_rows.get(c, newer) or pytest.fail(), limits={"bytes": 5})
        )
    )
    bucket = two.store.buckets.create("first", newer)
    assert bucket.present & Setting.LIMITED
    assert one.store.quota.limit(newer) == 5


def test_a_limit_is_a_number_of_bytes(app: S3App) -> None:
    for wrong in (-1, 2**63):
        with pytest.raises(InvalidArgument):
            app.store.quota.set_limit(OWNER_ID, wrong)


def test_the_callers_own_transaction_gives_back_what_it_undoes(tmp_path: Path) -> None:
    """App rolls back: the object is gone and the quota back; app commits: both are there."""
    with fresh_database("sqlite", tmp_path) as url:
        app = app_on(url, tmp_path)
        store = app.store
        store.quota.set_limit(OWNER_ID, MOST)
        bucket = store.buckets.create("quota", OWNER_ID)

        def put(key: bytes, size: int) -> None:
            body = BodyReader(io.BytesIO(b"x" * size), size)
            store.objects.put(bucket, key, body, Attributes(owner=OWNER_ID))

        with engine_to(store.index).connect() as connection:
            with connection.begin() as transaction, store.index.joined(connection):
                put(b"undone", 60)
                assert counted(app) == 60
                transaction.rollback()
            assert counted(app) == 0
            with connection.begin(), store.index.joined(connection):
                put(b"k", 60)
                with pytest.raises(usage.QuotaExceeded):
                    put(b"l", 60)
                put(b"m", 40)
            assert counted(app) == MOST
        assert store.objects.find(bucket, b"l") is None
        app.close()


# -- the budget of a key


@pytest.fixture
def keyed(app: S3App) -> Signer:
    """A key that may store 100 bytes in its life, of an account that may store any number."""
    Client(app, OWNER).put(BUCKET)
    made = app.store.accounts.create_key(OWNER_ID, scope={"byte_budget": MOST})
    return Signer(made.access_key, made.secret_key)


def spending(app: S3App, key: Signer) -> Callable[[], int]:
    """What the key has used of its budget."""
    return lambda: app.store.accounts.get_key(key.access_key).bytes_used


def test_a_key_uses_its_budget_up(app: S3App, keyed: Signer) -> None:
    """IU-01 to IU-11 beside it: nothing comes back, reading and deleting are free."""
    spent = spending(app, keyed)
    s3 = Client(app, keyed)
    assert s3.put(f"{BUCKET}/k", b"x" * 40).status == 200
    assert s3.put(f"{BUCKET}/k", b"x" * 10).status == 200
    assert spent() == 50
    assert s3.get(f"{BUCKET}/k").body == b"x" * 10
    assert s3.delete(f"{BUCKET}/k").status == 204
    assert spent() == 50
    refused = s3.put(f"{BUCKET}/k", b"x" * 51)
    assert is_refused(refused)
    assert "100 bytes" in (refused.text("Message") or "")
    assert s3.get(f"{BUCKET}/k").status == 404
    # What fails for another reason costs nothing.
    assert s3.put(f"{BUCKET}/k", b"x" * 50, If_Match='"none"').status in (404, 412)
    assert s3.put(f"{BUCKET}/k", b"x" * 50, Content_MD5="AAAAAAAAAAAAAAAAAAAAAA==").status == 400
    assert spent() == 50
    # The owner's other keys know nothing of it.
    assert Client(app, OWNER).put(f"{BUCKET}/large", b"x" * 500).status == 200
    assert is_refused(s3.put(f"{BUCKET}/copy", x_amz_copy_source=f"{BUCKET}/large"))
    assert s3.put(f"{BUCKET}/rest", b"x" * 50).status == 200
    assert is_refused(s3.put(f"{BUCKET}/one", b"x"))
    assert s3.put(f"{BUCKET}/none", b"").status == 200
    assert spent() == MOST


def test_parts_and_what_else_stores_are_charged(app: S3App, keyed: Signer) -> None:
    spent = spending(app, keyed)
    s3, key = Client(app, keyed), f"{BUCKET}/k"
    upload = s3.post(key, query="uploads").text("UploadId")
    query = f"partNumber=1&uploadId={upload}"
    s3.put(key, b"x" * 20, query)
    etag = s3.put(key, b"x" * 20, query).headers["etag"]
    assert spent() == 40
    listed = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert s3.post(key, document, f"uploadId={upload}").status == 200
    assert spent() == 40
    assert s3.put(key, b"x" * 10, x_amz_write_offset_bytes="20").status == 200
    assert s3.put(f"{BUCKET}/copy", x_amz_copy_source=key).status == 200
    assert spent() == 80
    again = s3.post(key, query="uploads").text("UploadId")
    query = f"partNumber=1&uploadId={again}"
    assert is_refused(s3.put(key, query=query, x_amz_copy_source=key))
    ranged = {"x_amz_copy_source": key, "x_amz_copy_source_range": "bytes=0-9"}
    assert s3.put(key, query=query, **ranged).status == 200
    assert spent() == 90
    assert is_refused(s3.put(key, b"x" * 11, query))
    signed = signing_client(keyed).generate_presigned_post("quota", "form")
    anonymous = Client(app, None)
    kind, body = multipart(signed["fields"], b"x" * 11)
    assert is_refused(anonymous.post(BUCKET, body, Content_Type=kind))
    kind, body = multipart(signed["fields"], b"x" * 10)
    assert anonymous.post(BUCKET, body, Content_Type=kind).status == 204
    assert spent() == MOST


def test_annotations_that_come_along_are_charged(app: S3App, keyed: Signer) -> None:
    """Else an empty object with a thousand of them could be copied for ever."""
    spent = spending(app, keyed)
    owner, s3 = Client(app, OWNER), Client(app, keyed)
    owner.put(f"{BUCKET}/k", b"x" * 5)
    owner.put(f"{BUCKET}/k", b"x" * 30, "annotation&annotationName=n")
    assert s3.put(f"{BUCKET}/copy", x_amz_copy_source=f"{BUCKET}/k").status == 200
    assert spent() == 35
    assert s3.put(f"{BUCKET}/k", b"x", "annotation&annotationName=m").status == 200
    owner.put(BUCKET, ENABLED, "versioning")
    renamed = s3.put(f"{BUCKET}/new", query="renameObject", x_amz_rename_source="k")
    assert renamed.status == 200
    assert spent() == 72
    assert is_refused(s3.put(f"{BUCKET}/copy", x_amz_copy_source=f"{BUCKET}/new"))
    assert s3.get(f"{BUCKET}/copy").headers["content-length"] == "5"
    assert spent() == 72


def test_a_session_is_charged_to_the_key_that_opened_it(app: S3App, keyed: Signer) -> None:
    spent = spending(app, keyed)
    answer = Client(app, keyed).get(BUCKET, "session")
    pair = [answer.text(f"Credentials/{each}") for each in ("AccessKeyId", "SecretAccessKey")]
    token = answer.text("Credentials/SessionToken")
    session = Client(app, Signer(pair[0] or "", pair[1] or "", token))
    assert session.put(f"{BUCKET}/k", b"x" * 60, x_amz_s3session_token=token or "").status == 200
    assert spent() == 60
    assert is_refused(session.put(f"{BUCKET}/l", b"x" * 41, x_amz_s3session_token=token or ""))
    sts = boto3_client(app, keyed.access_key, keyed.secret_key, service="sts")
    given = sts.get_session_token()["Credentials"]
    temporary = Client(
        app,
        Signer(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
    )
    assert is_refused(temporary.put(f"{BUCKET}/l", b"x" * 41))
    assert temporary.put(f"{BUCKET}/l", b"x" * 40).status == 200
    assert spent() == MOST


def test_a_roles_session_is_charged_to_the_key_that_assumed_the_role(
    app: S3App, keyed: Signer
) -> None:
    """Whoever's role it is, and through how many: one budget for all that the key stores."""
    spent = spending(app, keyed)
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    statement = {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}
    policies = {"all": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
    Client(app, OTHER).put("/theirs")
    arns = {}
    for account, name in ((OWNER_ID, "writer"), (OTHER_ID, "guest")):
        app.store.roles.create(account, name, trust=trust, policies=policies)
        arns[name] = f"arn:aws:iam::{account}:role/{name}"

    def assumed(key: Signer, name: str) -> Signer:
        sts = boto3_client(
            app, key.access_key, key.secret_key, aws_session_token=key.token, service="sts"
        )
        given = sts.assume_role(RoleArn=arns[name], RoleSessionName="me")["Credentials"]
        return Signer(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    writer, guest = assumed(keyed, "writer"), assumed(keyed, "guest")
    assert Client(app, writer).put(f"{BUCKET}/k", b"x" * 40).status == 200
    assert spent() == 40
    # In another account's bucket, by its role: that account's bytes, this key's budget.
    assert Client(app, guest).put("/theirs/k", b"x" * 20).status == 200
    assert spent() == 60
    through = Client(app, assumed(writer, "guest"))
    assert is_refused(through.put("/theirs/l", b"x" * 41))
    assert through.put("/theirs/l", b"x" * 40).status == 200
    assert spent() == MOST
    for answer in (
        Client(app, writer).put(f"{BUCKET}/one", b"x"),
        Client(app, guest).put("/theirs/one", b"x"),
        Client(app, keyed).put(f"{BUCKET}/one", b"x"),
    ):
        assert is_refused(answer)
    assert Client(app, OTHER).put("/theirs/one", b"x" * 500).status == 200
    assert spent() == MOST


def test_a_reset_ends_the_keys_and_the_sessions_that_they_opened(app: S3App, keyed: Signer) -> None:
    """IU-10: at once, for all of the account's keys in SQL, and for no other account's."""
    other = app.store.accounts.create_key(OTHER_ID)
    answer = Client(app, keyed).get(BUCKET, "session")
    pair = [answer.text(f"Credentials/{each}") for each in ("AccessKeyId", "SecretAccessKey")]
    token = answer.text("Credentials/SessionToken") or ""
    session = Client(app, Signer(pair[0] or "", pair[1] or "", token))
    headers = {"x_amz_s3session_token": token}
    assert session.put(f"{BUCKET}/k", b"x", **headers).status == 200
    sts = boto3_client(app, keyed.access_key, keyed.secret_key, service="sts")
    given = sts.get_session_token()["Credentials"]
    temporary = Client(
        app,
        Signer(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
    )
    assert temporary.get(f"{BUCKET}/k").status == 200
    assert app.store.accounts.reset_keys(OWNER_ID) == 1
    refused = Client(app, keyed).get(f"{BUCKET}/k")
    assert (refused.status, refused.code) == (403, "InvalidAccessKeyId")
    for refused in (
        session.get(f"{BUCKET}/k", **headers),
        session.put(f"{BUCKET}/l", **headers),
        temporary.get(f"{BUCKET}/k"),
        temporary.put(f"{BUCKET}/l"),
    ):
        assert refused.status in (400, 403)
        assert refused.code in ("InvalidAccessKeyId", "InvalidToken")
    fine = Client(app, Signer(other.access_key, other.secret_key))
    assert fine.get("/").status == 200
    # A new set-up: new keys work, and the old ones stay away.
    again = app.store.accounts.create_key(OWNER_ID)
    assert Client(app, Signer(again.access_key, again.secret_key)).get(f"{BUCKET}/k").status == 200
    assert Client(app, keyed).get(f"{BUCKET}/k").status == 403


def test_no_limit_costs_no_statement(
    app: S3App, s3: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an account without a limit nothing is counted, nor asked for."""
    asked: list[Any] = []
    other = Client(app, OTHER)
    other.put("/others")

    def spy(name: str) -> Callable[..., Any]:
        plain = getattr(usage, name)

        def wrapper(*arguments: Any) -> Any:
            asked.append(name)
            return plain(*arguments)

        return wrapper

    for name in ("count", "charge", "settle", "get", "of_annotations", "of_upload", "key_used"):
        monkeypatch.setattr(usage, name, spy(name))
    other.put("/others/k", b"x" * 500)
    other.put("/others/k", b"x" * 500)
    upload = other.post("/others/u", query="uploads").text("UploadId")
    other.put("/others/u", b"x", f"partNumber=1&uploadId={upload}")
    other.delete("/others/u", f"uploadId={upload}")
    other.delete("/others/k")
    assert asked == []
    s3.put(f"{BUCKET}/k", b"x")
    assert asked
