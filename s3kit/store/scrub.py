"""Scrub: read every stored byte, and compare it with what the index says of it.

Requests may run meanwhile. A blob is written once and never changed, so there is nothing to lock;
before anything is reported the index is asked again whether it still needs the blob, and where.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from itertools import islice
from typing import Any
from typing import Literal

from ..blobs.base import BlobStore
from ..index import garbage as garbage_rows
from ..index import identity
from ..index import objects as object_rows
from ..index import scan
from ..index.bucket_names import plain
from ..index.scan import BlobFacts
from ..index.scan import ContentFacts
from ..index.scan import InlineFacts
from ..wire import checksums
from .backing import Backing
from .janitor import blobs_of
from .janitor import owner_of
from .verifying import Expected
from .verifying import Pace
from .verifying import Reading
from .verifying import expected_annotation
from .verifying import expected_blob
from .verifying import expected_inline

PAGE = 200
INLINE_PAGE = 16
ANNOTATION_PAGE = 4
"""A row may hold a mebibyte."""

NAMED = 3
"""How many of a content's objects a finding names."""

MOST_PARTS = 10_000

Kind = Literal[
    "missing",
    "short",
    "long",
    "corrupt",
    "unreadable",
    "inconsistent",
    "unreferenced",
    "foreign",
]
"""``inconsistent``: rows contradict each other. ``unreferenced``: an old blob that no row knows.
``foreign``: the storage belongs to another index."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    ``storage`` is "" for bytes in the index itself. ``objects`` are some that cannot be read whole:
    ``bucket/key``, with the version id and part where there is one.
    """

    kind: Kind
    storage: str
    blob: str
    problem: str
    objects: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" on storage {self.storage}" if self.storage else ""
        what = f"blob {self.blob}{where}" if self.blob else f"index{where}"
        of = f" ({', '.join(self.objects)})" if self.objects else ""
        return f"{self.kind}: {what}: {self.problem}{of}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Scrub:
    """One reading of everything, in memory that does not grow with it.

    :param storages: only what lies on these; by default all, and the index's own bytes.
    :param rate: read at most this many bytes a second.
    :param advance: told how many bytes have been dealt with.
    """

    def __init__(
        self,
        backing: Backing,
        *,
        storages: Collection[str] | None = None,
        rate: int | None = None,
        advance: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._index = backing.index
        self._encryptions = backing.encryptions
        self._storages = backing.storages
        self._wanted = storages
        self._oldest_orphan = backing.clock() - backing.orphan_seconds
        self._pace = Pace(rate)
        self._advance = advance
        self.blobs = 0
        """Blobs, inline objects and annotations that were read."""
        self.bytes = 0
        """Bytes that were read."""
        self.findings = 0
        self.unopened = 0
        """Encrypted ones whose key is not here: only their size and their beginning were looked at.
        """

    def total_bytes(self) -> int:
        """How much there is to read."""
        total = 0
        for name in self._names():
            total += self._index.read(lambda c, n=name: scan.totals(c, n))[1]  # type: ignore[misc]
        if self._wanted is None:
            total += self._index.read(scan.inline_totals)[1]
            total += self._index.read(scan.annotation_totals)[1]
        return total

    def run(self) -> Iterator[Finding]:
        """Everything that is wrong, as it is found."""
        for finding in self._run():
            self.findings += 1
            yield finding

    def _run(self) -> Iterator[Finding]:
        if self._wanted is None:
            yield from self._inline()
            yield from self._annotations()
            yield from self._contents()
        for name in self._names():
            yield from self._blobs(name)
        for name, store in self._storages.items():
            if self._wanted is None or name in self._wanted:
                yield from self._strangers(name, store)

    def _names(self) -> list[str]:
        """Storages on which something should lie, configured or not."""
        names = self._index.read(scan.storages)
        return [each for each in names if self._wanted is None or each in self._wanted]

    # -- bytes in the index itself

    def _inline(self) -> Iterator[Finding]:
        after = 0
        while page := self._index.read(
            lambda c, a=after: scan.inline_page(c, a, INLINE_PAGE)  # type: ignore[misc]
        ):
            after = page[-1].seq
            for row in page:
                finding = self._judge_inline(row)
                if finding is not None:
                    yield finding
                self._passed(len(row.inline or b""))
                self._advance(row.size)
                self.blobs += 1

    def _judge_inline(self, row: InlineFacts) -> Finding | None:
        objects = (name_object(row.bucket, row.key, row.version_id),)
        if row.inline is None:
            return Finding("missing", "", "", "neither bytes nor a content", objects)
        return self._judge_row(row.inline, expected_inline(row, self._encryptions), objects)

    def _annotations(self) -> Iterator[Finding]:
        after = (0, b"")
        while page := self._index.read(
            lambda c, a=after: scan.annotation_page(c, a, ANNOTATION_PAGE)  # type: ignore[misc]
        ):
            after = (page[-1].seq, bytes(page[-1].name))
            for row in page:
                of = name_object(row.bucket, row.key, row.version_id)
                objects = (f"{of} annotation {bytes(row.name).decode('utf-8', 'replace')}",)
                expected = expected_annotation(row, self._encryptions)
                finding = self._judge_row(row.payload, expected, objects)
                if finding is not None:
                    yield finding
                self._passed(len(row.payload))
                self._advance(row.size)
                self.blobs += 1

    def _judge_row(
        self, data: bytes, expected: Expected, objects: tuple[str, ...]
    ) -> Finding | None:
        if len(data) != expected.size:
            kind: Kind | None = "short" if len(data) < expected.size else "long"
            assert kind is not None
            problem = f"{len(data)} bytes are there, not {expected.size}"
            return Finding(kind, "", "", problem, objects)
        reading = expected.reading()
        reading.update(data)
        kind, problem = self._conclude(expected, reading)
        return None if kind is None else Finding(kind, "", "", problem, objects)

    # -- rows against each other

    def _contents(self) -> Iterator[Finding]:
        after = ""
        while page := self._index.read(lambda c, a=after: scan.content_page(c, a, PAGE)):  # type: ignore[misc]
            after = page[-1].content_id
            for content in page:
                problem = self._contradiction(content)
                if problem and self._again(content):
                    objects = self._objects(content.content_id, 0)
                    yield Finding(
                        "inconsistent", content.storage, content.content_id, problem, objects
                    )

    def _contradiction(self, content: ContentFacts) -> str:
        if content.refs != content.versions:
            return f"{content.refs} versions are counted, {content.versions} are there"
        if not content.parts:
            return ""
        parts = self._index.read(
            lambda c: object_rows.part_page(c, content.content_id, 0, MOST_PARTS)
        )
        if len(parts) != content.parts:
            return f"{len(parts)} parts of {content.parts} are there"
        size = 0
        for part in parts:
            if part.offset != size:
                return f"part {part.number} begins at byte {part.offset}, not {size}"
            size += part.size
        if size != content.size:
            return f"the parts have {size} bytes, not {content.size}"
        etag = checksums.multipart_etag([part.etag for part in parts])
        if etag != content.etag:
            return f"the parts' ETag is {etag}, not {content.etag}"
        return ""

    def _again(self, content: ContentFacts) -> bool:
        """Whether it still contradicts itself: an overwrite may have come between two looks."""
        now = self._index.read(lambda c: scan.content_facts(c, content.content_id))
        return now is not None and bool(self._contradiction(now))

    # -- blobs

    def _blobs(self, storage: str) -> Iterator[Finding]:
        for read in (scan.whole_blobs, scan.part_blobs):
            after = ""
            while page := self._index.read(
                lambda c, r=read, a=after: r(c, storage, a, scan.LAST, PAGE)  # type: ignore[misc]
            ):
                after = page[-1].blob
                for facts in page:
                    finding = self._judge(storage, facts)
                    if finding is not None:
                        yield finding
                    self.blobs += 1

    def _judge(self, storage: str, facts: BlobFacts) -> Finding | None:
        done = self.bytes
        kind, problem = self._compare(storage, facts)
        self._advance(max(0, facts.size - (self.bytes - done)))
        if kind is None:
            return None
        now = self._index.read(lambda c: scan.storage_of(c, facts.blob))
        if now is None:
            # Overwritten or removed meanwhile.
            return None
        if now != storage:
            kind, problem = self._compare(now, facts)
            if kind is None:
                return None
        objects = self._objects(facts.content_id, facts.number)
        return Finding(kind, now, facts.blob, problem, objects)

    def _compare(self, storage: str, facts: BlobFacts) -> tuple[Kind | None, str]:
        store = self._storages.get(storage)
        if store is None:
            return "missing", f'the storage "{storage}" is not configured'
        expected = expected_blob(facts, self._encryptions)
        reading = expected.reading()
        try:
            size = store.size(facts.blob)
            if size < expected.size:
                return "short", f"{size} bytes of {expected.size} are there"
            if size > expected.size:
                return "long", f"{size} bytes are there, not {expected.size}"
            blocks = store.open(facts.blob, 0, size)
            try:
                for block in blocks:
                    reading.update(block)
                    self._passed(len(block))
                    self._advance(len(block))
            finally:
                blocks.close()
        except FileNotFoundError:
            return "missing", "there is no such blob"
        except Exception as error:
            return "unreadable", str(error) or type(error).__name__
        return self._conclude(expected, reading)

    def _conclude(self, expected: Expected, reading: Reading) -> tuple[Kind | None, str]:
        problem = reading.difference()
        if problem:
            return "corrupt", problem
        if expected.no_master:
            return "unreadable", expected.unopened
        self.unopened += bool(expected.unopened)
        return None, ""

    def _passed(self, size: int) -> None:
        self.bytes += size
        self._pace.passed(size)

    def _objects(self, content_id: str, number: int) -> tuple[str, ...]:
        users = self._index.read(lambda c: scan.users_of(c, content_id, NAMED))
        part = f" part {number}" if number else ""
        return tuple(
            name_object(bucket, key, version_id) + part for bucket, key, version_id in users
        )

    # -- what no row knows

    def _strangers(self, name: str, store: BlobStore) -> Iterator[Finding]:
        try:
            owner = owner_of(store)
            if owner and owner != self._index.read(identity.get):
                yield Finding("foreign", name, "", f"it belongs to another index ({owner})")
                return
            found = (blob for blob, modified in blobs_of(store) if modified <= self._oldest_orphan)
            while batch := list(islice(found, PAGE)):
                known = self._index.read(lambda c, b=batch: garbage_rows.known(c, b))  # type: ignore[misc]
                for blob in batch:
                    if blob in known:
                        continue
                    try:
                        size = store.size(blob)
                    except FileNotFoundError:
                        # Removed as garbage between the two looks.
                        continue
                    yield Finding("unreferenced", name, blob, f"{size} bytes that no object needs")
        except Exception as error:
            yield Finding("unreadable", name, "", str(error) or type(error).__name__)


def name_object(bucket: str, key: bytes, version_id: str | None) -> str:
    """``bucket/key`` in text that is safe to print, with a version id that says something."""
    text = key.decode("utf-8", "backslashreplace")
    text = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
    if version_id is None:
        return f"{plain(bucket)}/{text}, an upload in progress"
    return f"{plain(bucket)}/{text}" + ("" if version_id == "null" else f" version {version_id}")
