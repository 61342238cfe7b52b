"""Whatever is done, what is written down of an account is what lies in its buckets' rows."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sqlalchemy import bindparam
from sqlalchemy import select

from s3kit.app import S3App
from s3kit.index import schema
from s3kit.index import usage
from s3kit.index.session import Connection
from s3kit.index.statements import Statement
from s3kit.model import Setting
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import OTHER
from tests.endpoint import OTHER_ID
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.operations.test_posting import multipart
from tests.operations.test_posting import signing_client
from tests.store.test_quota import ENABLED
from tests.store.test_quota import SUSPENDED
from tests.store.test_quota import TINY_PARTS
from tests.store.test_quota import app_on
from tests.store.test_quota import tiny_parts

__all__ = ["TINY_PARTS", "tiny_parts"]

BUCKETS = ("model-one", "model-two")
REPLICAS = "model-two"
KEYS = ("a", "b")
DAY = 86_400
STEPS = 300
ALONE = {"relay": False, "run_lifecycle": False}
"""Nothing is done in the background, between two looks."""
ACCOUNT = {"this_account": OWNER_ID}
ACCEPTED = {200, 204, 304, 400, 403, 404, 405, 409, 412}
"""What a client may be answered; anything else is a fault of ours."""

_OWN = select(schema.buckets.c.id).where(schema.buckets.c.account == bindparam("this_account"))
_PRESENT = Statement(
    select(schema.buckets.c.present).where(schema.buckets.c.account == bindparam("this_account"))
)
_ROWS = [
    Statement(select(schema.versions.c.size).where(schema.versions.c.bucket_id.in_(_OWN))),
    Statement(
        select(schema.parts.c.size)
        .join(schema.uploads, schema.uploads.c.id == schema.parts.c.upload_id)
        .where(schema.uploads.c.bucket_id.in_(_OWN), schema.uploads.c.completed == 0)
    ),
    Statement(
        select(schema.object_annotations.c.size)
        .join(schema.versions, schema.versions.c.seq == schema.object_annotations.c.seq)
        .where(schema.versions.c.bucket_id.in_(_OWN))
    ),
]


def lying_there(c: Connection) -> int:
    """Added up here, one row after the other."""
    return sum(int(row[0]) for statement in _ROWS for row in c.all(statement, ACCOUNT))


class World:
    """An account with a limit, a key with a budget, and everything that can be done to them."""

    def __init__(self, app: S3App) -> None:
        self.app = app
        self.store = app.store
        self.passed = 0.0
        app.store._backing.clock = lambda: time.time() + self.passed
        self.dice = random.Random(0)
        self.uploads: list[tuple[str, str]] = []
        made = self.store.accounts.create_key(OWNER_ID, scope={"byte_budget": 5000})
        self.narrow = made.access_key
        self.s3 = Client(app, OWNER)
        self.clients = [self.s3, self.s3, Client(app, Signer(made.access_key, made.secret_key))]
        for name in BUCKETS:
            self.make(name)

    def make(self, name: str) -> None:
        self.s3.put(f"/{name}")
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": OTHER_ID},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.s3.put(f"/{name}", policy.encode(), "policy")

    def close(self) -> None:
        self.app.close()

    # -- chosen by chance

    def one(self, *of: Any) -> Any:
        return self.dice.choice(of)

    def bucket(self) -> str:
        return f"/{self.one(*BUCKETS)}"

    def path(self) -> str:
        return f"{self.bucket()}/{self.one(*KEYS)}"

    def body(self) -> bytes:
        return b"x" * self.dice.randrange(60)

    def client(self) -> Client:
        found: Client = self.one(*self.clients)
        return found

    def version(self, bucket: str) -> tuple[str, str]:
        """Any version or marker of a bucket: (key, its id)."""
        listed = self.s3.get(bucket, "versions")
        if listed.status != 200:
            return "a", "null"
        found = [
            (each.findtext("Key") or "", each.findtext("VersionId") or "")
            for each in (*listed.xml.findall("Version"), *listed.xml.findall("DeleteMarker"))
        ]
        return self.one(*found) if found else ("a", "null")

    # -- what is done

    def put(self) -> Answer:
        return self.client().put(self.path(), self.body())

    def form(self) -> Answer:
        bucket, key = self.path()[1:].split("/")
        signed = signing_client(OWNER).generate_presigned_post(bucket, key)
        kind, body = multipart(signed["fields"], self.body())
        return Client(self.app, None).post(f"/{bucket}", body, Content_Type=kind)

    def delete(self) -> Answer:
        return self.client().delete(self.path())

    def delete_version(self) -> Answer:
        bucket = self.bucket()
        key, version = self.version(bucket)
        return self.client().delete(f"{bucket}/{key}", f"versionId={version}")

    def delete_many(self) -> Answer:
        bucket = self.bucket()
        chosen = [self.version(bucket) for _ in range(3)] + [(self.one(*KEYS), "")]
        chosen.append(chosen[0])
        document = "".join(
            f"<Object><Key>{escape(key)}</Key>"
            + (f"<VersionId>{version}</VersionId>" if version else "")
            + "</Object>"
            for key, version in chosen
        )
        return self.posted(bucket, f"<Delete>{document}</Delete>", "delete")

    def posted(self, path: str, document: str, query: str) -> Answer:
        md5 = base64.b64encode(hashlib.md5(document.encode()).digest()).decode()
        return self.client().post(path, document.encode(), query, Content_MD5=md5)

    def copy(self) -> Answer:
        return self.client().put(self.path(), x_amz_copy_source=self.path())

    def append(self) -> Answer:
        path = self.path()
        size = self.s3.request("HEAD", path).headers.get("content-length", "0")
        return self.client().put(path, self.body(), x_amz_write_offset_bytes=size)

    def rename(self) -> Answer:
        bucket, source, key = self.bucket(), self.one(*KEYS), self.one(*KEYS)
        query = "renameObject"
        return self.client().put(f"{bucket}/{key}", query=query, x_amz_rename_source=source)

    def annotate(self) -> Answer:
        query = f"annotation&annotationName={self.one('m', 'n')}"
        return self.client().put(self.path(), self.body(), query)

    def forget_annotation(self) -> Answer:
        return self.client().delete(self.path(), f"annotation&annotationName={self.one('m', 'n')}")

    def tag(self) -> Answer:
        tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
        return self.client().put(self.one(self.path(), self.bucket()), tags.encode(), "tagging")

    def begin(self) -> Answer:
        path = self.path()
        answer = self.client().post(path, query="uploads")
        if answer.status == 200:
            self.uploads.append((path, answer.text("UploadId") or ""))
            self.put_part()
        return answer

    def upload(self) -> tuple[str, str]:
        """One that goes on, most of the time."""
        return self.uploads[-self.one(1, 1, 1, 2)] if self.uploads[1:] else ("/model-one/a", "no")

    def put_part(self) -> Answer:
        path, upload = self.upload()
        query = f"partNumber={self.one(1, 2, 3)}&uploadId={upload}"
        if self.one(True, False):
            return self.client().put(path, self.body(), query)
        return self.client().put(path, query=query, x_amz_copy_source=self.path())

    def complete(self) -> Answer:
        path, upload = self.upload()
        listed = self.s3.get(path, f"uploadId={upload}")
        if listed.status != 200:
            return listed
        parts = [
            f"<Part><PartNumber>{each.findtext('PartNumber')}</PartNumber>"
            f"<ETag>{each.findtext('ETag')}</ETag></Part>"
            for each in listed.xml.findall("Part")
        ]
        chosen = "".join(each for each in parts if self.one(True, True, False))
        document = f"<CompleteMultipartUpload>{chosen}</CompleteMultipartUpload>"
        self.posted(path, document, f"uploadId={upload}")
        return self.posted(path, document, f"uploadId={upload}")

    def abort(self) -> Answer:
        path, upload = self.upload()
        return self.client().delete(path, f"uploadId={upload}")

    def version_on(self) -> Answer:
        return self.s3.put(self.bucket(), self.one(ENABLED, SUSPENDED), "versioning")

    def drop_bucket(self) -> Answer:
        """As it is, or emptied before; then a new one, which keeps no versions."""
        bucket = self.bucket()
        for _ in range(self.one(0, 30)):
            key, version = self.version(bucket)
            self.s3.delete(f"{bucket}/{key}", f"versionId={version}")
        answer = self.s3.delete(bucket)
        self.make(bucket[1:])
        return answer

    def expire(self) -> None:
        """Lifecycle, days later."""
        bucket = self.bucket()
        rules = (
            "<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status>"
            "<Expiration><Days>1</Days></Expiration><NoncurrentVersionExpiration>"
            "<NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
            "</AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
        )
        md5 = base64.b64encode(hashlib.md5(rules.encode()).digest()).decode()
        self.s3.put(bucket, rules.encode(), "lifecycle", Content_MD5=md5)
        self.passed += 3 * DAY
        self.store.lifecycle.run()
        self.s3.delete(bucket, "lifecycle")
        self.store.janitor.forget_completed()
        self.store.collect_garbage()

    def replicate(self) -> None:
        """From here to there, if both keep versions by now."""
        for name in BUCKETS:
            self.s3.put(f"/{name}", ENABLED, "versioning")
        document = (
            "<ReplicationConfiguration><Role>role</Role><Rule><ID>all</ID><Prefix/>"
            f"<Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::{REPLICAS}</Bucket>"
            "</Destination></Rule></ReplicationConfiguration>"
        ).encode()
        bucket = self.store.buckets.get(BUCKETS[0], fresh=True)
        self.store.buckets.put_setting(bucket, "replication", document)
        self.put()
        self.annotate()
        self.store.outbox.deliver()
        self.store.buckets.delete_setting(bucket, "replication")

    def stranger(self) -> Answer:
        return Client(self.app, OTHER).put(self.path(), self.body())

    def limit(self) -> None:
        self.store.quota.set_limit(OWNER_ID, self.one(None, 200, 1_000, 1_000))

    def check(self, what: str) -> None:
        """The row says what lies there, and each bucket whether it is counted."""
        index = self.store.index
        found = index.read(lambda c: usage.get(c, OWNER_ID))
        limited = found is not None and found.most is not None
        really = index.read(lying_there)
        if found is not None and limited:
            assert found.used == really, what
        assert self.store.quota.used(OWNER_ID) == really, what
        for (present,) in index.read(lambda c: c.all(_PRESENT, ACCOUNT)):
            assert bool(present & Setting.LIMITED) is limited, what

    def do(self, what: str, seed: int) -> None:
        self.dice.seed(seed)
        before = self.store.index.read(lying_there)
        answer = getattr(self, what)()
        if isinstance(answer, Answer) and answer.status >= 400 and what != "drop_bucket":
            # What is refused changes nothing.
            assert self.store.index.read(lying_there) == before, what
        assert answer is None or answer.status in ACCEPTED, (what, answer.status, answer.body)
        self.check(what)


OPERATIONS = (
    *("put", "put", "put", "form", "delete", "delete_version", "delete_many", "copy", "append"),
    *("append", "rename", "annotate", "annotate", "forget_annotation", "tag", "begin", "put_part"),
    *("put_part", "complete", "complete", "abort", "drop_bucket", "drop_bucket", "stranger"),
    *("version_on", "expire", "replicate", "limit"),
)


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9999)), max_size=40))
@settings(max_examples=15)
def test_the_count_is_what_lies_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """CS-12: by every way that bytes come and go, limits too."""
    world = World(app_on("memory://", tmp_path_factory.mktemp("model"), **ALONE))
    try:
        world.store.quota.set_limit(OWNER_ID, 1_000)
        for what, seed in steps:
            world.do(what, seed)
    finally:
        world.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_database_counts(kind: str, tmp_path: Path) -> None:
    """The same, once, long, and the same each time."""
    dice = random.Random(7)
    with fresh_database(kind, tmp_path) as url:
        world = World(app_on(url, tmp_path, **ALONE))
        try:
            world.store.quota.set_limit(OWNER_ID, 1_000)
            for _ in range(STEPS if kind == "sqlite" else STEPS // 3):
                world.do(dice.choice(OPERATIONS), dice.randrange(10_000))
        finally:
            world.close()
