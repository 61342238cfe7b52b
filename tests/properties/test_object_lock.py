"""A115: whatever is asked of an endpoint, what is under COMPLIANCE stays as it is until its date.

Every operation of botocore's service model is tried, by its name, with parameters made from its
shape: one that is new in s3kit or in the model is tried from that day on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.app import S3App
from s3kit.errors import KMSNotFoundException
from s3kit.errors import S3Error
from s3kit.model import ObjectVersion
from s3kit.store import Attributes
from s3kit.store import Removal
from s3kit.store.retention import COMPLIANCE
from s3kit.store.retention import retained_until
from s3kit.wire.routing import operations
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app
from tests.endpoint import service_model

BODY = b"must stay"
LARGE = b"must stay, too" * 10_000
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
BYPASS = {"x-amz-bypass-governance-retention": "true"}
WHO = ["owner", "other", "anonymous"]


@dataclass
class Vault:
    """A bucket with locked versions, and all ways to get at them."""

    app: S3App
    bucket: str
    versions: dict[str, str]
    """Keys with the id of their locked version."""
    kept: dict[str, ObjectVersion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = {key: self.find(key) for key in self.versions}

    def begin_upload(self, key: str) -> str:
        """An upload of the owner's."""
        store = self.app.store
        bucket = store.buckets.get(self.bucket)
        try:
            return store.multipart.create(bucket, key.encode(), Attributes(OWNER_ID)).id
        except KMSNotFoundException:
            # The bucket's default encryption names a key by now that nobody has.
            return "none"

    def find(self, key: str) -> ObjectVersion:
        """A locked version as it is stored, past all that could hide it."""
        store = self.app.store
        bucket = store.buckets.get(self.bucket, fresh=True)
        found = store.objects.find(bucket, key.encode(), self.versions[key])
        assert found is not None, f"{key} vanished"
        return found

    def check(self) -> None:
        """Every locked version is what it was, and locked at least as long."""
        store = self.app.store
        for key, before in self.kept.items():
            now = self.find(key)
            assert b"".join(store.objects.read(now)) == (LARGE if key == "large" else BODY)
            for name in ("size", "etag", "modified", "owner", "checksum", "version_id"):
                assert getattr(now, name) == getattr(before, name), name
            assert dict(now.headers) == dict(before.headers)
            assert now.lock.mode == COMPLIANCE
            wall = store._backing.now()
            assert retained_until(now.lock, wall) >= retained_until(before.lock, before.modified)
            if before.lock.event_hold and not now.lock.event_hold:
                assert now.lock.retain_until > wall
        listed = self.listed()
        assert listed >= {(key.encode(), version) for key, version in self.versions.items()}

    def listed(self) -> set[tuple[bytes, str]]:
        """Key and version id of every version and marker."""
        store = self.app.store
        bucket = store.buckets.get(self.bucket, fresh=True)
        page = store.list_versions(
            bucket,
            prefix=b"",
            delimiter=b"",
            key_marker=b"",
            version_id_marker=None,
            limit=100_000,
        )
        return {(row[0], row[1]) for row in page.versions}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    # In the background it would come while the clock is years ahead.
    made = make_app("memory", tmp_path_factory.mktemp("vault"), run_lifecycle=False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clients(app: S3App) -> dict[str, Any]:
    return {"owner": boto_client(app, OWNER), "other": boto_client(app, OTHER)}


@pytest.fixture(scope="module")
def vault(app: S3App, clients: dict[str, Any]) -> Vault:
    return make_vault(app, clients["owner"])


def make_vault(app: S3App, boto: Any) -> Vault:
    """Locked in every way there is: by headers, by the rule, by an event hold; small and large."""
    bucket = fresh_name("vault")
    boto.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": UNTIL}
    hold = {"Mode": "COMPLIANCE", "EventHold": "ON", "EventHoldDuration": {"Days": 400}}
    versions = {}
    for key, options in (("small", lock), ("large", lock), ("hidden", lock), ("event", {})):
        body = LARGE if key == "large" else BODY
        answer = boto.put_object(
            Bucket=bucket, Key=key, Body=body, Metadata={"a": "b"}, Tagging="a=b", **options
        )
        versions[key] = answer["VersionId"]
    boto.put_object_retention(Bucket=bucket, Key="event", Retention=hold)
    boto.delete_object(Bucket=bucket, Key="hidden")
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 2}}
    boto.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    versions["ruled"] = boto.put_object(Bucket=bucket, Key="ruled", Body=BODY)["VersionId"]
    boto.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    # Any account may try everything that an ACL can allow.
    boto.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    vault = Vault(app, bucket, versions)
    vault.check()
    return vault


# -- parameters from shapes

TEXTS = [
    "arn:aws:kms:us-east-1:111122223333:key/a",
    "",
    "a",
    "small",
    "Enabled",
    "*",
    "https://example.com/",
    "arn:aws:s3:::x",
    "2 KB",
]


class Parameters:
    """Makes an operation's parameters from its shape, by a function that chooses."""

    def __init__(self, vault: Vault, choose: Callable[[Any], Any]) -> None:
        self.vault = vault
        self.choose = choose
        self.keys = [*vault.versions, "new"]

    def of(self, name: str) -> dict[str, Any]:
        """Parameters of the operation of that name."""
        shape = service_model().operation_model(name).input_shape
        if shape is None:
            return {}
        made: dict[str, Any] = self.structure(shape, 0)
        return made

    def structure(self, shape: Any, depth: int) -> dict[str, Any]:
        made = {}
        members = dict(shape.members)
        if getattr(shape, "is_tagged_union", False):
            name = self.choose(list(members))
            return {name: self.value(name, members[name], depth + 1)}
        for name, member in members.items():
            if name in LEFT_OUT:
                continue
            # What an operation must have comes always, of the rest about half.
            needed = name in shape.required_members or name in PREFERRED
            if needed or self.choose(RARELY if name.startswith(RARE) else [True, False]):
                made[name] = self.value(name, member, depth + 1)
        return made

    def value(self, name: str, shape: Any, depth: int) -> Any:
        kind = shape.type_name
        known = self.known(name) if kind not in ("structure", "list") else None
        if known is not None:
            return known
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            return [self.value(shape.member.name, shape.member, depth + 1)]
        if kind == "map":
            return {"a": "b"}
        if kind == "string":
            return self.choose(list(shape.enum)) if shape.enum else self.choose(TEXTS)
        if kind == "boolean":
            return self.choose([True, False])
        if kind in ("integer", "long"):
            return self.choose([1, 0, 2, 30, 400])
        if kind == "timestamp":
            return self.choose([UNTIL - timedelta(days=399), UNTIL, UNTIL + timedelta(days=9)])
        if kind == "blob":
            return b"changed"
        return None

    def known(self, name: str) -> Any:
        """What a member of this name must be to get at the vault."""
        vault = self.vault
        if name == "Bucket":
            return vault.bucket
        if name in ("Key", "ObjectKey"):
            return self.choose(self.keys)
        if name in ("VersionId", "ObjectVersionId"):
            return self.choose([*vault.versions.values(), "null"])
        if name == "CopySource":
            return {"Bucket": vault.bucket, "Key": self.choose(self.keys)}
        if name == "RenameSource":
            return f"{vault.bucket}/{self.choose(self.keys)}"
        if name == "UploadId":
            return vault.begin_upload(self.choose(self.keys))
        if name == "PartNumber":
            return 1
        if name in ("BypassGovernanceRetention", "ObjectLockEnabledForBucket"):
            return True
        if name == "Body":
            return b"changed"
        return None


# Without them most documents would be empty; conditions would only keep requests from working.
RARE = ("Grant", "SSE", "ServerSide", "WriteOffset", "CopySourceSSE", "Request", "Website", "MFA")
RARELY = [False, True, False, False]
PREFERRED = frozenset(
    ("BypassGovernanceRetention", "Objects", "Rules", "Retention", "Delete", "Status")
)
LEFT_OUT = frozenset(
    (
        *("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince", "IfMatchSize"),
        *("IfMatchLastModifiedTime", "IfMatchInitiatedTime", "ETag", "LastModifiedTime", "Size"),
        *("ContentMD5", "ContentLength", "ExpectedBucketOwner", "ExpectedSourceBucketOwner"),
        *("ChecksumAlgorithm", "ChecksumType", "MFA", "MpuObjectSize", "ContentEncoding"),
        *("CopySourceIfMatch", "CopySourceIfNoneMatch", "CopySourceIfModifiedSince"),
        *(f"Checksum{name}" for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")),
        *(f"Checksum{name}" for name in ("SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")),
    )
)
NAMES = sorted(service_model().operation_names)


UNSENT = "not sent"


def method_name(operation: str) -> str:
    """What boto3 calls it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()


def send(clients: Mapping[str, Any], who: str, name: str, parameters: dict[str, Any]) -> str:
    """One call: its error's code, empty for none, or that botocore did not send it."""
    try:
        getattr(clients[who], method_name(name))(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError:
        return UNSENT
    return ""


def test_every_operation_of_the_table_is_one_of_the_models() -> None:
    """So that nothing is left untried below."""
    extra = {operation.name for operation in operations()} - set(NAMES)
    assert extra == {"PostObject"}


@pytest.mark.parametrize("who", ["owner", "other"])
def test_a115_no_operation_ends_compliance(vault: Vault, clients: dict[str, Any], who: str) -> None:
    """Each one against each locked version by its id, and against what its key shows."""
    unsent = set()
    for name in NAMES:
        answers = []
        for turn in range(2):

            def choose(values: Any, turn: int = turn) -> Any:
                return values[0] if turn == 0 else values[-1]

            made = Parameters(vault, choose).of(name)
            shape = service_model().operation_model(name).input_shape
            for key, version in vault.versions.items():
                if shape is None or "Key" not in shape.members:
                    answers.append(send(clients, who, name, made))
                    break
                made["Key"] = key
                if "VersionId" in shape.members:
                    made["VersionId"] = version
                answers.append(send(clients, who, name, made))
        vault.check()
        if set(answers) == {UNSENT}:
            unsent.add(name)
        assert "InternalError" not in answers, name
    # Else the test is blind in one eye: teach Parameters the new shape.
    assert unsent <= {"WriteGetObjectResponse"}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a115_nor_do_any_of_them_in_a_row(
    app: S3App, clients: dict[str, Any], data: st.DataObject
) -> None:
    vault = make_vault(app, clients["owner"])

    def choose(values: Any) -> Any:
        return data.draw(st.sampled_from(values))

    for _ in range(choose(range(1, 8))):
        name = choose(NAMES)
        send(clients, choose(["owner", "other"]), name, Parameters(vault, choose).of(name))
    vault.check()


# -- what no SDK would send


def raw_requests() -> Iterator[tuple[str, str]]:
    """Every method with every sub-resource of either level, whether S3 has it or not."""
    words = sorted({word for row in operations() for word in row.subresources})
    for method in ("PUT", "POST", "DELETE"):
        for word in ("", *words):
            yield method, word


@pytest.mark.parametrize("who", WHO)
def test_a115_nor_does_what_no_sdk_would_send(app: S3App, vault: Vault, who: str) -> None:
    signer = {"owner": OWNER, "other": OTHER, "anonymous": None}[who]
    client = Client(app, signer)
    for method, word in raw_requests():
        for path in (f"/{vault.bucket}", *(f"/{vault.bucket}/{key}" for key in vault.versions)):
            key = path.rpartition("/")[2]
            version = vault.versions.get(key)
            size = len(LARGE if key == "large" else BODY)
            appending = {**BYPASS, "x-amz-write-offset-bytes": str(size)}
            renaming = {**BYPASS, "x-amz-rename-source": path}
            for query in {word, f"{word}&versionId={version}".strip("&")}:
                client.request(method, path, query, BYPASS, b"")
                if method == "PUT":
                    client.request(method, path, query, appending, b"more")
            if word == "renameObject":
                client.request(method, f"/{vault.bucket}/renamed", word, renaming, b"")
    vault.check()


# -- this process, and what runs by itself


def test_a115_nor_does_python_code(app: S3App, vault: Vault) -> None:
    client = app.client("owner-id")
    store = app.store
    bucket = store.buckets.get(vault.bucket)
    for key, version in vault.versions.items():
        past = {"version_id": version, "bypass_governance": True}
        for attempt in (
            partial(client.delete, vault.bucket, key, **past),
            partial(client.set_retention, vault.bucket, key, **past),
            partial(store.objects.delete, bucket, key.encode(), version, bypass=True),
            partial(client.delete_bucket, vault.bucket),
            partial(store.buckets.delete, bucket),
        ):
            with pytest.raises(S3Error):
                attempt()
        (result,) = store.objects.delete_many(
            bucket, [Removal(key.encode(), version, None, bypass=True)]
        )
        assert isinstance(result, S3Error)
    vault.check()


def test_a115_nor_do_garbage_and_orphan_collection(app: S3App, vault: Vault) -> None:
    store = app.store
    store.collect_garbage(now=2**53)
    store.janitor.sweep_orphans(orphan_seconds=0)
    store.janitor.forget_completed()
    vault.check()


RULES = {
    "Rules": [
        {
            "ID": "all",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    ]
}


@contextmanager
def days_later(app: S3App, days: int) -> Iterator[None]:
    """The store's clock goes so much ahead."""
    backing = app.store._backing
    real = backing.clock
    backing.clock = lambda: real() + days * 24 * 3600
    try:
        yield
    finally:
        backing.clock = real


def test_a115_nor_does_lifecycle(app: S3App, clients: dict[str, Any]) -> None:
    vault = make_vault(app, clients["owner"])
    boto = clients["owner"]
    boto.put_bucket_lifecycle_configuration(Bucket=vault.bucket, LifecycleConfiguration=RULES)
    free = boto.put_object(Bucket=vault.bucket, Key="free", Body=b"x")["VersionId"]
    for days in (10, 20, 300):
        with days_later(app, days):
            app.store.lifecycle.run()
            app.store.collect_garbage(now=2**53)
            vault.check()
    assert (b"free", free) not in vault.listed()
    with days_later(app, 500):
        app.store.lifecycle.run()
    assert {key for key, version in vault.listed() if version in vault.versions.values()} == {
        b"ruled",
        b"event",
    }


def test_a_locked_version_goes_when_its_time_is_over(app: S3App, clients: dict[str, Any]) -> None:
    """The twin of all above: it is the lock that holds, not a broken endpoint."""
    vault = make_vault(app, clients["owner"])
    boto = clients["owner"]
    release = {"Mode": "COMPLIANCE", "EventHold": "OFF"}
    boto.put_object_retention(Bucket=vault.bucket, Key="event", Retention=release)
    with days_later(app, 3 * 365):
        for key, version in vault.versions.items():
            boto.delete_object(Bucket=vault.bucket, Key=key, VersionId=version)
            with pytest.raises(AssertionError, match="vanished"):
                vault.find(key)
