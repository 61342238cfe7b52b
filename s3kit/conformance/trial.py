"""One operation's trial: scratch buckets, the question, and the first half of the judgement.

The second half, whether a success is the operation's own, is each probe's.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

from ..wire.address import aws_quote
from ..wire.service_model import ModelRow
from .endpoint import Answer
from .endpoint import Broken
from .endpoint import Endpoint
from .report import Verdict

SENTINEL = "sentinel.txt"
CONTENT = b"These bytes lie in a scratch bucket of `s3kit conformance`.\n"

# Codes that only some operations can mean. From another one they tell which operation the endpoint
# took it for.
_FOREIGN = {
    "BucketAlreadyExists": "^CreateBucket$",
    "BucketAlreadyOwnedByYou": "^CreateBucket$",
    "BucketNotEmpty": "^DeleteBucket$",
    "MalformedPOSTRequest": "^PostObject$",
    "NoSuchUpload": "Upload|^ListParts$",
    "InvalidPart": "Upload|Part",
    "NoSuchTagSet": "Tagging",
    "NoSuchTagSetError": "Tagging",
    "NoSuchCORSConfiguration": "Cors",
    "NoSuchLifecycleConfiguration": "Lifecycle",
    "NoSuchBucketPolicy": "Policy",
    "NoSuchPublicAccessBlockConfiguration": "PublicAccessBlock",
    "NoSuchWebsiteConfiguration": "Website",
    "OwnershipControlsNotFoundError": "OwnershipControls",
    "ReplicationConfigurationNotFoundError": "Replication",
    "ServerSideEncryptionConfigurationNotFoundError": "Encryption",
    "ObjectLockConfigurationNotFoundError": "Lock|Retention|LegalHold",
}


# What an answer of one operation is called; as the answer to another it tells for which one the
# endpoint took it. Clients read past the name itself, and some servers use their own.
_ROOTS = frozenset(
    (
        "AbacStatus",
        "AccelerateConfiguration",
        "AccessControlPolicy",
        "AnalyticsConfiguration",
        "BucketLoggingStatus",
        "CORSConfiguration",
        "CompleteMultipartUploadResult",
        "CopyObjectResult",
        "CopyPartResult",
        "CreateSessionResult",
        "DeleteResult",
        "InitiateMultipartUploadResult",
        "IntelligentTieringConfiguration",
        "InventoryConfiguration",
        "LegalHold",
        "LifecycleConfiguration",
        "ListAllMyBucketsResult",
        "ListBucketResult",
        "ListMultipartUploadsResult",
        "ListPartsResult",
        "ListVersionsResult",
        "LocationConstraint",
        "MetricsConfiguration",
        "NotificationConfiguration",
        "ObjectLockConfiguration",
        "OwnershipControls",
        "PolicyStatus",
        "PublicAccessBlockConfiguration",
        "ReplicationConfiguration",
        "RequestPaymentConfiguration",
        "Retention",
        "ServerSideEncryptionConfiguration",
        "Tagging",
        "VersioningConfiguration",
        "WebsiteConfiguration",
    )
)


class Judged(Exception):
    """The verdict stands, and nothing more need be asked."""

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.detail = detail


class Unready(Exception):
    """What the trial needs first cannot be had: no bucket, or no object in it."""


class Trial:
    """What a probe works with.

    :param row: the operation that is tried.
    :param prefix: what the names of its buckets begin with; no other trial has it.
    """

    def __init__(self, endpoint: Endpoint, row: ModelRow, prefix: str) -> None:
        self.endpoint = endpoint
        self.row = row
        self.answer: Answer | None = None
        """What the endpoint said to the operation that is tried."""
        self.notes: list[str] = []
        """What else is to be said of an operation that is right."""
        self._prefix = prefix
        self._buckets: list[str] = []
        self._objects: dict[str, dict[str, bytes]] = {}
        self._left: set[tuple[str, str]] = set()

    # -- what the trial needs

    def new_name(self) -> str:
        """A name for a bucket; whatever has it is removed at the end."""
        name = f"{self._prefix}-{len(self._buckets) + 1}"
        self._buckets.append(name)
        return name

    def bucket(self, *, empty: bool = False, **headers: str) -> str:
        """A scratch bucket with one object in it.

        :param headers: for CreateBucket, with ``_`` for ``-``; left out where they are refused.
        :raises Unready: there can be none.
        """
        name = self.new_name()
        extra = {each.replace("_", "-"): value for each, value in headers.items()}
        answer = self.send("PUT", name, headers=extra, body=self.location())
        if not answer.good and extra:
            answer = self.send("PUT", name, body=self.location())
        if not answer.good:
            raise Unready(f"no scratch bucket: {answer.status} {answer.code}")
        self._objects[name] = {}
        if not empty:
            self.put(name, SENTINEL, CONTENT)
        return name

    def location(self) -> bytes:
        """CreateBucket's document: every region but the first wants to be named."""
        region = self.endpoint.region
        if region == "us-east-1":
            return b""
        return (
            "<CreateBucketConfiguration><LocationConstraint>"
            f"{region}</LocationConstraint></CreateBucketConfiguration>"
        ).encode()

    def put(self, bucket: str, key: str, body: bytes, **headers: str) -> Answer:
        """An object of the scene, which no other operation may touch.

        :raises Unready: it cannot be stored.
        """
        extra = {each.replace("_", "-"): value for each, value in headers.items()}
        answer = self.send("PUT", bucket, key, headers=extra, body=body)
        if not answer.good:
            raise Unready(f"no scratch object: {answer.status} {answer.code}")
        self._objects[bucket][key] = body
        return answer

    def leave(self, bucket: str, key: str = "") -> None:
        """The operation may do with this object, or with the whole bucket, what it likes."""
        if key:
            self._objects[bucket].pop(key, None)
            self._left.add((bucket, key))
        else:
            self._objects.pop(bucket, None)

    def send(
        self,
        method: str,
        bucket: str = "",
        key: str = "",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send what is not itself judged: preparations, and reading back."""
        sent = dict(headers or {})
        if body and "Content-MD5" not in sent:
            # S3 wants it with many documents and minds it with none.
            sent["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        return self.endpoint.send(method, bucket, key, query, sent, body)

    # -- the question

    def ask(
        self,
        bucket: str = "",
        key: str = "",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        success: Collection[int] = (),
    ) -> Answer:
        """Send the operation that is tried. What comes back is a success, of whatever operation.

        :param success: the statuses that mean it; by default 200 and 204.
        :raises Judged: it was refused, failed, or something else happened in the bucket.
        """
        self.answer = None
        try:
            answer = self.send(self.row.method, bucket, key, query, headers, body)
        except Broken as error:
            with suppress(Broken):
                self.check_unharmed()
            raise Judged(Verdict.ERROR, str(error)) from None
        self.answer = answer
        self.check_unharmed()
        if answer.good and answer.status in (success or (200, 204)):
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> Judged:
        """The verdict on an answer that is no success."""
        if answer.status < 300:
            if answer.root == "Error":
                return Judged(Verdict.ERROR, f"an error inside a {answer.status}")
            return Judged(Verdict.WRONG, f"S3 answers {self.row.status}")
        if answer.status >= 500 and answer.status != 501:
            return Judged(Verdict.ERROR, _start_of(answer))
        if self.row.method == "HEAD":
            return Judged(Verdict.REFUSED, "")
        if not answer.code:
            return Judged(Verdict.ERROR, f"no S3 error document: {_start_of(answer)}")
        meant = _FOREIGN.get(answer.code)
        if meant is not None and not re.search(meant, self.row.name):
            return Judged(Verdict.WRONG, "the refusal is another operation's")
        return Judged(Verdict.REFUSED, "")

    def wrong(self, detail: str) -> NoReturn:
        """:raises Judged: always."""
        raise Judged(Verdict.WRONG, detail)

    def is_root(self, answer: Answer, *roots: str) -> bool:
        """Whether a document may be one of these: it has the name, or none of another operation."""
        return answer.root in roots or (
            answer.root not in _ROOTS and answer.root not in ("", "Error", "html")
        )

    def expect_root(self, answer: Answer, *roots: str, holding: str = "") -> None:
        """Go on only where the answer is a document of this kind.

        :param roots: what its root is called.
        :param holding: an element by which one with a name of the server's own is known.
        :raises Judged: it is another one, or none.
        """
        if answer.root in roots:
            return
        if holding and answer.texts(holding) and self.is_root(answer, *roots):
            self.notes.append(f"its root is <{answer.root}>, not <{roots[0]}>")
            return
        if answer.root:
            self.wrong(f"answers <{answer.root}>, not <{roots[0]}>")
        if any(answer.body == body for found in self._objects.values() for body in found.values()):
            self.wrong("answers the object's bytes, as GetObject does")
        raise Judged(Verdict.ERROR, f"no XML: {_start_of(answer)}")

    def check_unharmed(self) -> None:
        """:raises Judged: a bucket or an object of the scene is not as it was."""
        for _, _, harm in self._harms():
            self.wrong(harm)

    def mend(self) -> bool:
        """Put the scene in order after a preparation; whether something was not as it was.

        :raises Unready: that is not possible.
        """
        harms = list(self._harms())
        for bucket, key, _ in harms:
            if not key:
                self.send("PUT", bucket, body=self.location())
                for name, body in dict(self._objects[bucket]).items():
                    self.put(bucket, name, body)
            elif key in self._objects[bucket]:
                self.put(bucket, key, self._objects[bucket][key])
            else:
                self.send("DELETE", bucket, key)
        if harms and any(self._harms()):
            raise Unready("a preparation did what cannot be undone")
        return bool(harms)

    def _harms(self) -> Iterator[tuple[str, str, str]]:
        """Bucket, key and a description of all that is not as it was."""
        for bucket, objects in self._objects.items():
            if self.send("HEAD", bucket).status == 404:
                yield bucket, "", "deleted the bucket"
                continue
            keys = self.keys(bucket)
            for key in sorted((keys or set()) - set(objects)):
                if (bucket, key) not in self._left:
                    yield bucket, key, f"stored an object {key!r}"
            for key, body in objects.items():
                found = self.send("GET", bucket, key)
                if found.status == 404:
                    yield bucket, key, "deleted the object"
                elif found.status == 200 and found.body != body:
                    yield bucket, key, "overwrote the object"

    # -- reading back

    def keys(self, bucket: str) -> set[str] | None:
        """The keys of a bucket; None where it cannot be listed."""
        for query in ("list-type=2", ""):
            answer = self.send("GET", bucket, query=query)
            if answer.good and answer.root == "ListBucketResult":
                return set(answer.texts("Contents/Key"))
        return None

    def content(self, bucket: str, key: str) -> bytes | None:
        """The bytes of an object; None where there is none."""
        answer = self.send("GET", bucket, key)
        return answer.body if answer.status == 200 else None

    # -- the end

    def clean(self) -> list[str]:
        """Remove what the trial has made; the buckets that could not be removed."""
        left = []
        # The last first: it may still write logs into another.
        for name in reversed(self._buckets):
            try:
                if not self._remove(name):
                    left.append(name)
            except Broken:
                left.append(name)
        return left

    def _remove(self, bucket: str) -> bool:
        if self.send("HEAD", bucket).status == 404:
            return True
        # A policy, a payer or a lock may stand in the way of what follows.
        self.send("DELETE", bucket, query="policy")
        if self.send("HEAD", bucket).status == 404:
            # The endpoint took the query for nothing.
            return True
        if self.send("DELETE", bucket).status == 204:
            return True
        for key, upload in self._uploads(bucket):
            self.send("DELETE", bucket, key, f"uploadId={aws_quote(upload, False)}")
        for key, version in self._versions(bucket):
            self._remove_version(bucket, key, version)
        for key in sorted(self.keys(bucket) or ()):
            self.send("DELETE", bucket, key)
        self.send("DELETE", bucket)
        return self.send("HEAD", bucket).status == 404

    def _remove_version(self, bucket: str, key: str, version: str) -> None:
        query = f"versionId={aws_quote(version, False)}"
        if not self.send("DELETE", bucket, key, query).good:
            # To go past a lock may only be asked for where there can be one.
            bypass = {"x-amz-bypass-governance-retention": "true"}
            off = b"<LegalHold><Status>OFF</Status></LegalHold>"
            self.send("PUT", bucket, key, f"legal-hold&{query}", body=off)
            self.send("DELETE", bucket, key, query, bypass)

    def _uploads(self, bucket: str) -> Iterator[tuple[str, str]]:
        answer = self.send("GET", bucket, query="uploads")
        if answer.root == "ListMultipartUploadsResult" and answer.xml is not None:
            for element in answer.xml.findall("Upload"):
                yield element.findtext("Key") or "", element.findtext("UploadId") or ""

    def _versions(self, bucket: str) -> Iterator[tuple[str, str]]:
        answer = self.send("GET", bucket, query="versions")
        if answer.root == "ListVersionsResult" and answer.xml is not None:
            for name in ("Version", "DeleteMarker"):
                for element in answer.xml.findall(name):
                    yield element.findtext("Key") or "", element.findtext("VersionId") or ""


def _start_of(answer: Answer) -> str:
    """What an answer that is no S3 document looks like, in a few words."""
    if answer.code:
        return ""
    if not answer.body:
        return "an empty body"
    kind = answer.headers.get("content-type", "no content type").partition(";")[0]
    start = " ".join(answer.body[:60].decode("utf-8", "replace").split())
    return f"{kind}, {start}"
