"""A whole endpoint against a plain dict, one random life after another.

Real signed requests go through the whole house; after every step the endpoint and the dict must
agree, also where several writers race with conditions. At the end of a life nothing may be left
behind: every blob is referenced, and after the last object none is there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from urllib.parse import unquote_plus

import pytest
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import run_state_machine_as_test

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.errors import NoSuchBucket
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import path_of
from tests.databases import fresh_database

PARTS_OF_ANY_SIZE = "state-machine"
INLINE = 12
BUCKET = "machine"

# Few keys that meet often, and that a naive store mixes up.
KEYS = ["a", "a/", "a/b", "a/b/c", "a//b", "A", "b", "b/../a", "ü", "a b", "a+b", "a%2Fb", "é/~"]

keys = st.sampled_from(KEYS)
bodies = st.one_of(
    st.binary(max_size=INLINE + 2),
    st.builds(lambda seed, size: seed * size, st.binary(min_size=1, max_size=3), st.just(100_000)),
)
modes = st.sampled_from(["GOVERNANCE", "COMPLIANCE"])
holds = st.sampled_from(["ON", "OFF"])
RACERS = 4
ACTIONS = {
    "expire": "<Expiration><Date>2015-01-01</Date></Expiration>",
    "lone": "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
    "replaced": "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
    "</NoncurrentVersionExpiration>",
    "turn": "<Transition><Date>2015-01-01</Date><StorageClass>GLACIER_IR</StorageClass>"
    "</Transition>",
    "uploads": "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>",
}


@dataclass
class Stored:
    """What the dict knows of an object."""

    body: bytes
    etag: str
    metadata: str
    tags: tuple[tuple[str, str], ...] = ()


@dataclass
class Kept:
    """One version of a key; ``stored`` is None for a delete marker."""

    version_id: str
    stored: Stored | None
    mode: str = ""
    until: int = 0
    """Seconds since the epoch."""
    hold: str = ""

    def protected(self, now: float, *, bypass: bool = False) -> bool:
        """Whether a lock keeps it from being removed."""
        retained = self.mode != "" and self.until > now
        return self.hold == "ON" or (retained and not (bypass and self.mode == "GOVERNANCE"))


@dataclass
class Parts:
    """An upload in progress."""

    key: str
    upload_id: str
    metadata: str
    parts: dict[int, bytes] = field(default_factory=dict)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def multipart_etag(parts: list[bytes]) -> str:
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{md5(digests)}-{len(parts)}"


class EndpointMachine(RuleBasedStateMachine):
    """Rules are requests; the model is a dict from key to object."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="s3kit-machine-"))
        self.resources = ExitStack()
        self.app = self.open_app()
        self.client = Client(self.app, Signer("AKIAMACHINE", "secret"))
        self.versioning = ""
        self.locking = False
        self.passed = 0.0
        self.app.store._backing.clock = self.now
        self.history: dict[str, list[Kept]] = {}
        self.uploads: list[Parts] = []

    def open_app(self) -> S3App:
        raise NotImplementedError

    def now(self) -> float:
        """Seconds since the epoch, as the endpoint sees them."""
        return time.time() + self.passed

    @initialize()
    def make_bucket(self) -> None:
        assert self.client.put(path_of(BUCKET)).status == 200

    # -- what the dict makes of it

    @property
    def model(self) -> dict[str, Stored]:
        """What each key shows."""
        return {
            key: kept[0].stored for key, kept in self.history.items() if kept and kept[0].stored
        }

    def store(self, key: str, stored: Stored | None, version_id: str | None) -> None:
        """A write happened: ``stored``, or a delete marker, under the id that was answered."""
        kept = self.history.setdefault(key, [])
        if self.versioning == "Enabled":
            assert version_id
            assert version_id not in [each.version_id for each in kept]
        else:
            assert version_id in (None, "null")
            version_id = "null"
            kept[:] = [each for each in kept if each.version_id != "null"]
        kept.insert(0, Kept(version_id, stored))

    def stored(self, key: str, stored: Stored, answer: Answer) -> None:
        """A write was answered."""
        version_id = answer.headers.get("x-amz-version-id")
        assert (version_id is None) == (self.versioning != "Enabled")
        self.store(key, stored, version_id)

    def removed(self, key: str, marker: str | None, version_id: str | None) -> None:
        """A delete without a version was answered."""
        if self.versioning:
            assert marker == "true"
            self.store(key, None, version_id)
        else:
            assert (marker, version_id) == (None, None)
            self.history.pop(key, None)

    @rule(status=st.sampled_from(["Enabled", "Enabled", "Suspended"]))
    def switch_versioning(self, status: str) -> None:
        document = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        answer = self.client.put(path_of(BUCKET), document.encode(), "versioning")
        if self.locking and status == "Suspended":
            assert (answer.status, answer.code) == (409, "InvalidBucketState")
            return
        assert answer.status == 200
        assert self.client.get(path_of(BUCKET), "versioning").text("Status") == status
        self.versioning = status

    # -- one writer

    @rule(key=keys, body=bodies, note=st.sampled_from(["", "one", "two"]))
    def put(self, key: str, body: bytes, note: str) -> None:
        headers = {"x-amz-meta-note": note} if note else {}
        answer = self.client.request("PUT", path_of(BUCKET, key), "", headers, body)
        assert answer.status == 200
        assert answer.headers["etag"] == f'"{md5(body)}"'
        self.stored(key, Stored(body, md5(body), note), answer)

    @rule(key=keys, body=bodies)
    def put_if_absent(self, key: str, body: bytes) -> None:
        headers = {"If-None-Match": "*"}
        answer = self.client.request("PUT", path_of(BUCKET, key), "", headers, body)
        if key in self.model:
            assert (answer.status, answer.code) == (412, "PreconditionFailed")
        else:
            assert answer.status == 200
            self.stored(key, Stored(body, md5(body), ""), answer)

    @rule(key=keys, body=bodies, right=st.booleans())
    def put_if_match(self, key: str, body: bytes, right: bool) -> None:
        there = self.model.get(key)
        etag = there.etag if there is not None and right else md5(b"never stored")
        headers = {"If-Match": f'"{etag}"'}
        answer = self.client.request("PUT", path_of(BUCKET, key), "", headers, body)
        if there is None:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
        elif right:
            assert answer.status == 200
            self.stored(key, Stored(body, md5(body), ""), answer)
        else:
            assert (answer.status, answer.code) == (412, "PreconditionFailed")

    @rule(key=keys)
    def delete(self, key: str) -> None:
        answer = self.client.delete(path_of(BUCKET, key))
        assert answer.status == 204
        headers = answer.headers
        self.removed(key, headers.get("x-amz-delete-marker"), headers.get("x-amz-version-id"))

    @rule(chosen=st.lists(keys, min_size=1, max_size=4, unique=True))
    def delete_several(self, chosen: list[str]) -> None:
        listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in chosen)
        document = f"<Delete>{listed}</Delete>".encode()
        headers = {"Content-MD5": _content_md5(document)}
        answer = self.client.request("POST", path_of(BUCKET), "delete", headers, document)
        assert answer.status == 200
        assert answer.texts("Deleted/Key") == chosen
        for entry in answer.xml.findall("Deleted"):
            self.removed(
                entry.findtext("Key") or "",
                entry.findtext("DeleteMarker"),
                entry.findtext("DeleteMarkerVersionId"),
            )

    @precondition(lambda self: any(self.history.values()))
    @rule(data=st.data(), bypass=st.booleans())
    def delete_version(self, data: st.DataObject, bypass: bool) -> None:
        key, kept = self.draw_version(data)
        query = f"versionId={kept.version_id}"
        if kept.protected(self.now(), bypass=bypass):
            headers = {"x-amz-bypass-governance-retention": "true"} if bypass else {}
            answer = self.client.request("DELETE", path_of(BUCKET, key), query, headers)
            assert (answer.status, answer.code) == (403, "AccessDenied")
            return
        if kept.protected(self.now()):
            bypassing = {"x-amz-bypass-governance-retention": "true"}
            answer = self.client.request("DELETE", path_of(BUCKET, key), query, bypassing)
            assert answer.status == 204
            self.history[key].remove(kept)
            return
        for _ in range(2):
            answer = self.client.delete(path_of(BUCKET, key), query)
            assert answer.status == 204
            assert answer.headers["x-amz-version-id"] == kept.version_id
            marker = kept.stored is None and kept in self.history[key]
            assert ("x-amz-delete-marker" in answer.headers) == marker
            if kept in self.history[key]:
                self.history[key].remove(kept)
        assert self.client.get(path_of(BUCKET, key), query).code == "NoSuchVersion"

    @precondition(lambda self: any(self.history.values()))
    @rule(data=st.data())
    def delete_several_versions(self, data: st.DataObject) -> None:
        chosen = [self.draw_version(data) for _ in range(2)]
        listed = "".join(
            f"<Object><Key>{key}</Key><VersionId>{kept.version_id}</VersionId></Object>"
            for key, kept in chosen
        )
        document = f"<Delete>{listed}</Delete>".encode()
        headers = {"Content-MD5": _content_md5(document)}
        answer = self.client.request("POST", path_of(BUCKET), "delete", headers, document)
        now = self.now()
        kept_back = [kept.version_id for _, kept in chosen if kept.protected(now)]
        chosen = [(key, kept) for key, kept in chosen if not kept.protected(now)]
        assert answer.texts("Deleted/VersionId") == [kept.version_id for _, kept in chosen]
        assert answer.texts("Error/VersionId") == kept_back
        assert set(answer.texts("Error/Code")) <= {"AccessDenied"}
        for key, kept in chosen:
            self.history[key] = [each for each in self.history[key] if each is not kept]

    def draw_version(self, data: st.DataObject) -> tuple[str, Kept]:
        key = data.draw(st.sampled_from(sorted(key for key, kept in self.history.items() if kept)))
        # Ids are chance: hypothesis must choose by place.
        place = data.draw(st.integers(0, len(self.history[key]) - 1))
        return key, self.history[key][place]

    @precondition(lambda self: any(self.history.values()))
    @rule(data=st.data(), copied=keys)
    def copy_version(self, data: st.DataObject, copied: str) -> None:
        key, kept = self.draw_version(data)
        source = f"{quote(f'/{BUCKET}/{key}')}?versionId={kept.version_id}"
        headers = {"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE"}
        answer = self.client.request("PUT", path_of(BUCKET, copied), "", headers)
        there = kept.stored
        if there is None:
            assert (answer.status, answer.code) == (400, "InvalidRequest")
            return
        assert answer.status == 200
        assert answer.headers["x-amz-copy-source-version-id"] == kept.version_id
        self.stored(copied, Stored(there.body, there.etag, "", there.tags), answer)

    # -- locks

    @rule()
    def switch_object_lock_on(self) -> None:
        document = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        document = f"<ObjectLockConfiguration>{document}</ObjectLockConfiguration>"
        answer = self.checked("PUT", path_of(BUCKET), "object-lock", document.encode())
        if self.versioning == "Enabled":
            assert answer.status == 200
            self.locking = True
        else:
            assert (answer.status, answer.code) == (409, "InvalidBucketState")

    @rule(days=st.integers(1, 60))
    def time_passes(self, days: int) -> None:
        self.passed += days * 24 * 3600

    def checked(
        self, method: str, path: str, query: str, body: bytes, *, bypass: bool = False, **more: str
    ) -> Answer:
        """A request whose body is safe from damage."""
        headers = {"Content-MD5": _content_md5(body), **more}
        if bypass:
            headers["x-amz-bypass-governance-retention"] = "true"
        return self.client.request(method, path, query, headers, body)

    def date(self, days: int) -> tuple[int, str]:
        until = int(self.now()) + days * 24 * 3600
        return until, f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}"

    @rule(key=keys, body=bodies, mode=modes, days=st.integers(1, 90), hold=holds)
    def put_locked(self, key: str, body: bytes, mode: str, days: int, hold: str) -> None:
        until, text = self.date(days)
        lock = {
            "x-amz-object-lock-mode": mode,
            "x-amz-object-lock-retain-until-date": text,
            "x-amz-object-lock-legal-hold": hold,
        }
        answer = self.checked("PUT", path_of(BUCKET, key), "", body, **lock)
        if not self.locking:
            assert (answer.status, answer.code) == (400, "InvalidRequest")
            return
        assert answer.status == 200
        self.stored(key, Stored(body, md5(body), ""), answer)
        kept = self.history[key][0]
        kept.mode, kept.until, kept.hold = mode, until, hold

    @precondition(lambda self: self.locking and any(self.history.values()))
    @rule(data=st.data(), mode=modes, days=st.integers(1, 90), bypass=st.booleans())
    def retain(self, data: st.DataObject, mode: str, days: int, bypass: bool) -> None:
        key, kept = self.draw_version(data)
        until, text = self.date(days)
        document = f"<Mode>{mode}</Mode><RetainUntilDate>{text}</RetainUntilDate>"
        document = f"<Retention>{document}</Retention>"
        query = f"retention&versionId={kept.version_id}"
        path = path_of(BUCKET, key)
        answer = self.checked("PUT", path, query, document.encode(), bypass=bypass)
        held = kept.mode and kept.until > self.now()
        held = held and not (bypass and kept.mode == "GOVERNANCE")
        if kept.stored is None:
            assert (answer.status, answer.code) == (405, "MethodNotAllowed")
        elif held and (mode != kept.mode or until < kept.until):
            assert (answer.status, answer.code) == (403, "AccessDenied")
        else:
            assert answer.status == 200
            kept.mode, kept.until = mode, until

    @precondition(lambda self: self.locking and any(self.history.values()))
    @rule(data=st.data(), status=holds)
    def hold(self, data: st.DataObject, status: str) -> None:
        key, kept = self.draw_version(data)
        answer = self.place_hold(key, kept, status)
        if kept.stored is None:
            assert (answer.status, answer.code) == (405, "MethodNotAllowed")
        else:
            assert answer.status == 200
            kept.hold = status

    def place_hold(self, key: str, kept: Kept, status: str) -> Answer:
        document = f"<LegalHold><Status>{status}</Status></LegalHold>".encode()
        query = f"legal-hold&versionId={kept.version_id}"
        return self.checked("PUT", path_of(BUCKET, key), query, document)

    @rule(source=keys, copied=keys)
    def copy(self, source: str, copied: str) -> None:
        headers = {"x-amz-copy-source": quote(f"/{BUCKET}/{source}")}
        if source == copied:
            headers["x-amz-metadata-directive"] = "REPLACE"
        answer = self.client.request("PUT", path_of(BUCKET, copied), "", headers)
        there = self.model.get(source)
        if there is None:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
            return
        assert answer.status == 200
        assert answer.text("ETag") == f'"{there.etag}"'
        metadata = "" if source == copied else there.metadata
        self.stored(copied, Stored(there.body, there.etag, metadata, there.tags), answer)

    @rule(key=keys, tags=st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=2))
    def tag(self, key: str, tags: dict[str, str]) -> None:
        listed = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in tags.items())
        document = f"<Tagging><TagSet>{listed}</TagSet></Tagging>".encode()
        answer = self.client.request("PUT", path_of(BUCKET, key), "tagging", {}, document)
        if key in self.model:
            assert answer.status == 200
            self.model[key].tags = tuple(tags.items())
        else:
            assert (answer.status, answer.code) == (404, "NoSuchKey")

    # -- multipart

    @rule(key=keys, note=st.sampled_from(["", "parts"]))
    def begin_upload(self, key: str, note: str) -> None:
        headers = {"x-amz-meta-note": note} if note else {}
        answer = self.client.request("POST", path_of(BUCKET, key), "uploads", headers)
        assert answer.status == 200
        self.uploads.append(Parts(key, answer.text("UploadId") or "", note))

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), number=st.integers(1, 4), body=bodies)
    def put_part(self, data: st.DataObject, number: int, body: bytes) -> None:
        upload = data.draw(st.sampled_from(self.uploads))
        query = f"partNumber={number}&uploadId={upload.upload_id}"
        answer = self.client.put(path_of(BUCKET, upload.key), body, query)
        assert answer.status == 200
        upload.parts[number] = body

    @precondition(lambda self: any(upload.parts for upload in self.uploads))
    @rule(data=st.data())
    def complete_upload(self, data: st.DataObject) -> None:
        upload = data.draw(st.sampled_from([each for each in self.uploads if each.parts]))
        numbers = data.draw(
            st.lists(st.sampled_from(sorted(upload.parts)), min_size=1, unique=True).map(sorted)
        )
        answer = self.complete(upload, numbers)
        assert answer.status == 200
        chosen = [upload.parts[number] for number in numbers]
        etag = multipart_etag(chosen)
        assert answer.text("ETag") == f'"{etag}"'
        self.stored(upload.key, Stored(b"".join(chosen), etag, upload.metadata), answer)
        self.uploads.remove(upload)
        repeated = self.complete(upload, numbers)
        assert repeated.status == 200
        assert repeated.text("ETag") == f'"{etag}"'
        assert repeated.headers.get("x-amz-version-id") == answer.headers.get("x-amz-version-id")

    def complete(self, upload: Parts, numbers: list[int]) -> Answer:
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{md5(upload.parts[number])}</ETag></Part>"
            for number in numbers
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        path = path_of(BUCKET, upload.key)
        return self.client.request("POST", path, f"uploadId={upload.upload_id}", {}, document)

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def abort_upload(self, data: st.DataObject) -> None:
        upload = data.draw(st.sampled_from(self.uploads))
        query = f"uploadId={upload.upload_id}"
        assert self.client.delete(path_of(BUCKET, upload.key), query).status == 204
        answer = self.client.put(path_of(BUCKET, upload.key), b"x", f"partNumber=1&{query}")
        assert (answer.status, answer.code) == (404, "NoSuchUpload")
        self.uploads.remove(upload)

    # -- lifecycle

    @rule(prefix=st.sampled_from(["", "a", "a/", "b"]), action=st.sampled_from(sorted(ACTIONS)))
    def run_lifecycle(self, prefix: str, action: str) -> None:
        document = (
            f"<LifecycleConfiguration><Rule><ID>i</ID><Filter><Prefix>{prefix}</Prefix></Filter>"
            f"<Status>Enabled</Status>{ACTIONS[action]}</Rule></LifecycleConfiguration>"
        ).encode()
        headers = {"Content-MD5": _content_md5(document)}
        answer = self.client.request("PUT", path_of(BUCKET), "lifecycle", headers, document)
        assert answer.status == 200
        if action in ("replaced", "uploads"):
            self.passed += 3 * 86400
        store = self.app.store
        while True:
            report = store.lifecycle.run()
            assert (report.failed, report.held) == (0, 0)
            if not report.removed + report.marked + report.transitioned:
                break
        assert self.client.delete(path_of(BUCKET), "lifecycle").status == 204
        meant = [key for key in sorted(self.history) if key.startswith(prefix)]
        if action == "uploads":
            self.uploads = [each for each in self.uploads if not each.key.startswith(prefix)]
        elif action == "replaced":
            for key in meant:
                self.history[key][1:] = [
                    each for each in self.history[key][1:] if each.protected(self.now())
                ]
        elif action in ("expire", "lone"):
            for key in meant:
                kept = self.history[key]
                if action == "expire" and kept and kept[0].stored:
                    self.expired(key)
                if [each.stored for each in self.history.get(key, [])] == [None]:
                    del self.history[key]
        else:
            for key, kept in self.history.items():
                for each in kept[:1]:
                    query = f"versionId={each.version_id}"
                    answer = self.client.head(path_of(BUCKET, key), query)
                    turned = "x-amz-storage-class" in answer.headers
                    assert turned or not (key in meant and each.stored)

    def expired(self, key: str) -> None:
        """What a key showed is over."""
        if not self.versioning:
            self.history.pop(key)
            return
        listed = self.listed_versions(key)
        # A marker that hides nothing was over at once.
        self.store(key, None, listed[0] if listed else "null")

    # -- several writers at once

    def race(self, requests: list[Callable[[], Answer]]) -> list[Answer]:
        gate = threading.Barrier(len(requests))

        def run(request: Callable[[], Answer]) -> Answer:
            gate.wait()
            return request()

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(run, requests))

    def putting(self, key: str, body: bytes, headers: dict[str, str]) -> Callable[[], Answer]:
        return lambda: self.client.request("PUT", path_of(BUCKET, key), "", headers, body)

    @rule(key=keys, large=st.booleans())
    def race_to_create(self, key: str, large: bool) -> None:
        bodies = [bytes([65 + racer]) * (100_000 if large else 5) for racer in range(RACERS)]
        answers = self.race([self.putting(key, body, {"If-None-Match": "*"}) for body in bodies])
        self.judge(key, bodies, answers, open_to_one=key not in self.model)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), large=st.booleans())
    def race_to_replace(self, data: st.DataObject, large: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        etag = self.model[key].etag
        bodies = [bytes([97 + racer]) * (100_000 if large else 5) for racer in range(RACERS)]
        # None of the new bodies may have the old ETag, or a second racer could win rightly.
        bodies = [body + etag.encode() for body in bodies]
        answers = self.race([self.putting(key, body, {"If-Match": f'"{etag}"'}) for body in bodies])
        self.judge(key, bodies, answers, open_to_one=True)

    def judge(
        self, key: str, bodies: list[bytes], answers: list[Answer], *, open_to_one: bool
    ) -> None:
        won = [each for each in zip(bodies, answers, strict=True) if each[1].status == 200]
        lost = [answer for answer in answers if answer.status != 200]
        assert len(won) == (1 if open_to_one else 0)
        assert all((answer.status, answer.code) == (412, "PreconditionFailed") for answer in lost)
        for body, answer in won:
            self.stored(key, Stored(body, md5(body), ""), answer)

    @rule(key=keys)
    def race_to_write_and_delete(self, key: str) -> None:
        bodies = [b"first" * 10, b"second"]
        requests = [self.putting(key, body, {}) for body in bodies]
        requests.append(lambda: self.client.delete(path_of(BUCKET, key)))
        answers = self.race(requests)
        assert {answer.status for answer in answers} <= {200, 204}
        answer = self.client.get(path_of(BUCKET, key))
        assert answer.status == 404 or answer.body in bodies
        kept = self.history.setdefault(key, [])
        if self.versioning == "Enabled":
            # Every one of them is a version; their order is chance.
            made = {each.headers["x-amz-version-id"]: each for each in answers}
            assert len(made) == len(answers)
            order = self.listed_versions(key)
            assert set(order[: len(made)]) == set(made)
            assert order[len(made) :] == [each.version_id for each in kept]
            assert (made[order[0]].status == 204) == (answer.status == 404)
            for version_id in made:
                query = f"versionId={version_id}"
                assert self.client.delete(path_of(BUCKET, key), query).status == 204
        elif self.versioning == "Suspended":
            kept[:] = [each for each in kept if each.version_id != "null"]
            shown = answer.status == 200
            kept.insert(
                0, Kept("null", Stored(answer.body, md5(answer.body), "") if shown else None)
            )
        elif answer.status == 200:
            kept[:] = [Kept("null", Stored(answer.body, md5(answer.body), ""))]
        else:
            kept.clear()
        # Who won is chance, and hypothesis must find the same keys each time.
        self.delete(key)

    # -- what the account may store

    @rule(limited=st.booleans())
    def limit(self, limited: bool) -> None:
        """Begin to count at any moment, or end it; refusals are for tests/store/test_quota.py."""
        store = self.app.store
        account = store.buckets.get(BUCKET).account
        store.quota.set_limit(account, 1 << 40 if limited else None)

    @invariant()
    def what_is_stored_is_counted(self) -> None:
        """Every version and every waiting part, to the byte."""
        store = self.app.store
        try:
            account = store.buckets.get(BUCKET).account
        except NoSuchBucket:
            return
        versions = sum(
            len(kept.stored.body)
            for history in self.history.values()
            for kept in history
            if kept.stored is not None
        )
        parts = sum(len(part) for upload in self.uploads for part in upload.parts.values())
        assert store.quota.used(account) == versions + parts

    # -- readers

    @rule(key=keys)
    def get(self, key: str) -> None:
        answer = self.client.get(path_of(BUCKET, key))
        there = self.model.get(key)
        kept = self.history.get(key)
        if there is None:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
            marker = kept[0].version_id if kept else None
            assert answer.headers.get("x-amz-version-id") == marker
            assert answer.headers.get("x-amz-delete-marker") == ("true" if marker else None)
            return
        assert kept
        assert answer.status == 200
        assert answer.body == there.body
        version_id = kept[0].version_id if self.versioning else None
        assert answer.headers.get("x-amz-version-id") == version_id
        assert answer.headers["etag"] == f'"{there.etag}"'
        assert answer.headers.get("x-amz-meta-note", "") == there.metadata
        assert answer.headers.get("x-amz-tagging-count", "0") == str(len(there.tags))

    def listed_versions(self, key: str) -> list[str]:
        """The ids of a key's versions and markers, as they are listed."""
        page = self.client.get(path_of(BUCKET), f"versions&prefix={quote(key, safe='')}")
        entries = [each for each in page.xml if each.tag in ("Version", "DeleteMarker")]
        return [each.findtext("VersionId") or "" for each in entries if each.findtext("Key") == key]

    @precondition(lambda self: any(self.history.values()))
    @rule(data=st.data())
    def get_version(self, data: st.DataObject) -> None:
        key, kept = self.draw_version(data)
        answer = self.client.get(path_of(BUCKET, key), f"versionId={kept.version_id}")
        assert answer.headers["x-amz-version-id"] == kept.version_id
        if kept.stored is None:
            assert (answer.status, answer.code) == (405, "MethodNotAllowed")
            return
        assert answer.status == 200
        assert answer.body == kept.stored.body
        lock = answer.headers.get("x-amz-object-lock-mode", "")
        assert (lock, answer.headers.get("x-amz-object-lock-legal-hold", "")) == (
            kept.mode,
            kept.hold,
        )
        if kept.mode:
            text = answer.headers["x-amz-object-lock-retain-until-date"]
            assert datetime.fromisoformat(text).timestamp() == kept.until
        assert answer.headers.get("x-amz-meta-note", "") == kept.stored.metadata
        assert answer.headers.get("x-amz-tagging-count", "0") == str(len(kept.stored.tags))

    @rule(size=st.integers(1, 5))
    def list_version_pages(self, size: int) -> None:
        found: list[tuple[str, str, str, bool]] = []
        query = f"versions&encoding-type=url&max-keys={size}"
        marker = ""
        while True:
            page = self.client.get(path_of(BUCKET), query + marker)
            entries = [each for each in page.xml if each.tag in ("Version", "DeleteMarker")]
            assert len(entries) <= size
            for each in entries:
                found.append(
                    (
                        unquote_plus((each.findtext("Key") or "").replace("+", "%2B")),
                        each.findtext("VersionId") or "",
                        each.findtext("IsLatest") or "",
                        each.tag == "DeleteMarker",
                    )
                )
            if page.text("IsTruncated") == "false":
                break
            marker = f"&key-marker={page.text('NextKeyMarker')}"
            marker += f"&version-id-marker={page.text('NextVersionIdMarker')}"
        assert found == [
            (key, kept.version_id, "true" if place == 0 else "false", kept.stored is None)
            for key in sorted(self.history, key=lambda key: key.encode())
            for place, kept in enumerate(self.history[key])
        ]

    @rule(key=keys)
    def head(self, key: str) -> None:
        answer = self.client.head(path_of(BUCKET, key))
        there = self.model.get(key)
        assert answer.body == b""
        if there is None:
            assert answer.status == 404
        else:
            assert answer.status == 200
            assert answer.headers["content-length"] == str(len(there.body))
            assert answer.headers["etag"] == f'"{there.etag}"'

    @rule(key=keys, start=st.integers(0, 40), length=st.integers(1, 300_000))
    def get_range(self, key: str, start: int, length: int) -> None:
        there = self.model.get(key)
        if there is None:
            return
        answer = self.client.get(path_of(BUCKET, key), Range=f"bytes={start}-{start + length - 1}")
        if start >= len(there.body):
            assert (answer.status, answer.code) == (416, "InvalidRange")
        else:
            assert answer.status == 206
            assert answer.body == there.body[start : start + length]

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "a/b", "b", "z", "é"]),
        delimiter=st.sampled_from(["", "/", "b", "//"]),
        size=st.integers(1, 5),
    )
    def list_pages(self, prefix: str, delimiter: str, size: int) -> None:
        found: list[str] = []
        for page in self.pages(prefix, delimiter, size):
            entries = page.texts("Contents/Key") + page.texts("CommonPrefixes/Prefix")
            assert len(entries) <= size
            found += [unquote_plus(entry.replace("+", "%2B")) for entry in entries]
        assert sorted(found) == sorted(self.expected_listing(prefix, delimiter))
        assert len(found) == len(set(found))

    def pages(self, prefix: str, delimiter: str, size: int) -> Iterator[Answer]:
        token: str | None = None
        while True:
            query = f"list-type=2&encoding-type=url&max-keys={size}&prefix={quote(prefix)}"
            if delimiter:
                query += f"&delimiter={quote(delimiter, safe='')}"
            if token:
                query += f"&continuation-token={quote(token, safe='')}"
            page = self.client.get(path_of(BUCKET), query)
            assert page.status == 200
            yield page
            if page.text("IsTruncated") == "false":
                return
            token = page.text("NextContinuationToken")
            assert token

    def expected_listing(self, prefix: str, delimiter: str) -> set[str]:
        listed = set()
        for key in self.model:
            if not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            listed.add(key if cut < 0 else key[: cut + len(delimiter)])
        return listed

    @invariant()
    def everything_is_listed_as_it_is(self) -> None:
        page = self.client.get(path_of(BUCKET), "encoding-type=url")
        if page.status == 404:
            return
        found = {}
        for entry in page.xml.findall("Contents"):
            key = unquote_plus((entry.findtext("Key") or "").replace("+", "%2B"))
            found[key] = (entry.findtext("ETag"), entry.findtext("Size"))
        wanted = {
            key: (f'"{there.etag}"', str(len(there.body))) for key, there in self.model.items()
        }
        assert found == wanted
        order = [unquote_plus(key.replace("+", "%2B")) for key in page.texts("Contents/Key")]
        assert order == sorted(order, key=lambda key: key.encode())

    # -- the end of a life

    def teardown(self) -> None:
        try:
            self.nothing_is_left_behind()
        finally:
            self.app.close()
            self.resources.close()
            shutil.rmtree(self.folder)

    def nothing_is_left_behind(self) -> None:
        client, store = self.client, self.app.store
        for key, there in self.model.items():
            assert client.get(path_of(BUCKET, key)).body == there.body
        for key, history in self.history.items():
            for kept in history:
                assert client.delete(path_of(BUCKET)).code == "BucketNotEmpty"
                query = f"versionId={kept.version_id}"
                if kept.protected(self.now()):
                    answer = client.delete(path_of(BUCKET, key), query)
                    assert (answer.status, answer.code) == (403, "AccessDenied")
                if kept.hold == "ON":
                    assert self.place_hold(key, kept, "OFF").status == 200
                self.passed += max(0.0, kept.until - self.now() + 1)
                assert client.delete(path_of(BUCKET, key), query).status == 204
        assert client.delete(path_of(BUCKET)).status in (204, 404)
        store.collect_garbage(now=2**53)
        blobs = [blob for storage in store.storages.values() for blob, _ in storage.sweep()]
        assert blobs == []


def app_on(index: str, storage: str) -> S3App:
    """An endpoint whose small bodies are inline and whose large ones are blobs."""
    return S3App(
        Config(
            keys={"AKIAMACHINE": "secret"},
            index=index,
            storages={"default": storage, "cold": "memory://"},
            storage_classes={"GLACIER_IR": "cold"},
            smallest_transition=0,
            inline_threshold=INLINE,
            profile=PARTS_OF_ANY_SIZE,
            durability="relaxed",
            # A life that takes longer than a minute would meet one in the background.
            run_lifecycle=False,
        )
    )


def _content_md5(document: bytes) -> str:
    import base64

    return base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()


@pytest.mark.parametrize(
    ("index", "storage"),
    [("memory", "memory"), ("sqlite", "local"), ("postgresql", "local"), ("mariadb", "memory")],
)
def test_an_endpoint_and_a_dict_never_differ(
    index: str, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A117, A118, A119; conditional writes have one winner whatever the backend."""
    tiny = Profile(name=PARTS_OF_ANY_SIZE, min_part=0)
    monkeypatch.setitem(PROFILES, PARTS_OF_ANY_SIZE, tiny)

    class Machine(EndpointMachine):
        def open_app(self) -> S3App:
            if index == "memory":
                url = "memory://"
            else:
                url = self.resources.enter_context(fresh_database(index, self.folder))
            blobs = "memory://" if storage == "memory" else str(self.folder / "blobs")
            return app_on(url, blobs)

    lives = int(os.environ.get("S3KIT_TEST_LIVES", "12"))
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
