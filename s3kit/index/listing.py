"""Pages of keys, versions and uploads, by prefix, delimiter and marker, in byte order.

A page seeks and never scans: its cost depends on what it shows, not on how much the bucket holds or
a common prefix hides. Keys are read in batches that grow while they are useful; where common
prefixes hide most of what was read, one recursive statement (SQLite, PostgreSQL) or single seeks
(MariaDB) jump from prefix to prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple
from typing import cast

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import select
from sqlalchemy import text

from s3kit.index.connections import Connection
from s3kit.index.schema import current
from s3kit.index.schema import is_word
from s3kit.index.schema import read_checksum
from s3kit.index.schema import uploads
from s3kit.index.schema import versions
from s3kit.index.statements import Row
from s3kit.index.statements import Statement
from s3kit.model import Checksum

HIGHEST = b"\xff" * 1025
"""Above every key: keys have at most 1,024 bytes."""

_FIRST_BATCH = 32
_AT_ONCE = 100


KeyRow = tuple[bytes, int, str, int, str, str, str]
"""(key, size, etag, modified, storage_class, owner, checksum text)."""


class VersionRow(NamedTuple):
    """What a listing shows of a version or delete marker."""

    key: bytes
    version_id: str
    is_latest: bool
    delete_marker: bool
    size: int
    etag: str
    modified: int
    storage_class: str
    owner: str
    checksum: Checksum | None
    seq: int = 0


class UploadRow(NamedTuple):
    """What a listing shows of an upload in progress."""

    key: bytes
    id: str
    started: int
    initiator: str
    owner: str
    storage_class: str
    checksum_algorithm: str | None
    checksum_type: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of visible keys.

    ``next`` is the last key or prefix of the page, to be given as ``after`` of the next one.
    """

    entries: list[KeyRow]
    prefixes: list[bytes]
    truncated: bool
    next: bytes


@dataclass(frozen=True, slots=True)
class VersionListing:
    """A page of versions, the newest of a key first.

    ``next_key`` and ``next_version_id`` are the markers of the next page; the latter is None after
    a common prefix.
    """

    versions: list[VersionRow]
    prefixes: list[bytes]
    truncated: bool
    next_key: bytes
    next_version_id: str | None


@dataclass(frozen=True, slots=True)
class UploadListing:
    """A page of uploads in progress, by key, then by id.

    ``next_key`` and ``next_upload_id`` are the markers of the next page; the latter is None after
    a common prefix.
    """

    uploads: list[UploadRow]
    prefixes: list[bytes]
    truncated: bool
    next_key: bytes
    next_upload_id: str | None


_BUCKET: BindParameter[int] = bindparam("this_bucket")
_KEY: BindParameter[bytes] = bindparam("this_key")
_LOW: BindParameter[bytes] = bindparam("low")
_HIGH: BindParameter[bytes] = bindparam("high")
_MOST: BindParameter[int] = bindparam("most")

_SHOWN = select(
    current.c.key,
    current.c.size,
    current.c.etag,
    current.c.modified,
    current.c.storage_class,
    current.c.owner,
    current.c.checksum,
)
_SCAN_KEYS = Statement(
    _SHOWN.where(current.c.bucket_id == _BUCKET, current.c.key >= _LOW, current.c.key < _HIGH)
    .order_by(current.c.key)
    .limit(_MOST)
)
_SOME: list[BindParameter[bytes]] = [bindparam(f"key{number}") for number in range(_AT_ONCE)]
_SOME_KEYS = Statement(_SHOWN.where(current.c.bucket_id == _BUCKET, current.c.key.in_(_SOME)))

# From one key to the next that shows something new: past the common prefix, or past the key.
_WALK = """
WITH RECURSIVE walk (found, step) AS (
    SELECT (
        SELECT first.key FROM s3kit_current AS first
        WHERE first.bucket_id = {bucket} AND first.key >= {low} AND first.key < {high}
        ORDER BY first.key LIMIT 1
    ), 1
    UNION ALL
    SELECT (
        SELECT after.key FROM s3kit_current AS after
        WHERE after.bucket_id = {bucket} AND after.key < {high} AND after.key >= {position}
        ORDER BY after.key LIMIT 1
    ), walk.step + 1
    FROM walk WHERE walk.found IS NOT NULL AND walk.step < {most}
)
SELECT found FROM walk WHERE found IS NOT NULL
"""
# `blob || x'00'` is TEXT in SQLite, which sorts before every BLOB: without CAST it never ends.
_SQLITE_POSITION = """
    CAST(CASE instr(substr(walk.found, :skip + 1), :delimiter)
         WHEN 0 THEN walk.found || x'00'
         ELSE substr(walk.found, 1,
                     :skip - 1 + instr(substr(walk.found, :skip + 1), :delimiter)) || :past
         END AS BLOB)
"""
_POSTGRESQL_POSITION = """
    CASE position(CAST(:delimiter AS BYTEA)
                  IN substring(walk.found FROM CAST(:skip AS INTEGER) + 1))
         WHEN 0 THEN walk.found || '\\000'::bytea
         ELSE substring(walk.found FROM 1 FOR CAST(:skip AS INTEGER) - 1
                        + position(CAST(:delimiter AS BYTEA)
                                   IN substring(walk.found FROM CAST(:skip AS INTEGER) + 1)))
              || CAST(:past AS BYTEA)
         END
"""
_SQLITE_WALK = text(
    _WALK.format(
        bucket=":this_bucket", low=":low", high=":high", most=":most", position=_SQLITE_POSITION
    )
)
_POSTGRESQL_WALK = text(
    _WALK.format(
        bucket="CAST(:this_bucket AS BIGINT)",
        low="CAST(:low AS BYTEA)",
        high="CAST(:high AS BYTEA)",
        most="CAST(:most AS INTEGER)",
        position=_POSTGRESQL_POSITION.replace("'\\000'::bytea", "decode('00', 'hex')"),
    )
)
_WALK_KEYS = Statement(_SQLITE_WALK, postgresql=_POSTGRESQL_WALK)

_VERSION = select(
    versions.c.key,
    versions.c.version_id,
    versions.c.seq,
    versions.c.delete_marker,
    versions.c.size,
    versions.c.etag,
    versions.c.modified,
    versions.c.storage_class,
    versions.c.owner,
    versions.c.checksum,
)
_SCAN_VERSIONS = Statement(
    _VERSION.where(versions.c.bucket_id == _BUCKET, versions.c.key >= _LOW, versions.c.key < _HIGH)
    .order_by(versions.c.key, versions.c.seq.desc())
    .limit(_MOST)
)
_OLDER_VERSIONS = Statement(
    _VERSION.where(
        versions.c.bucket_id == _BUCKET,
        versions.c.key == _KEY,
        versions.c.seq < bindparam("below"),
    )
    .order_by(versions.c.seq.desc())
    .limit(_MOST)
)
_SEQ = Statement(
    select(versions.c.seq).where(
        versions.c.bucket_id == _BUCKET,
        versions.c.key == _KEY,
        versions.c.version_id == bindparam("this_version"),
    )
)

_UPLOAD = select(
    uploads.c.key,
    uploads.c.id,
    uploads.c.started,
    uploads.c.initiator,
    uploads.c.owner,
    uploads.c.storage_class,
    uploads.c.checksum_algorithm,
    uploads.c.checksum_type,
)
_SCAN_UPLOADS = Statement(
    _UPLOAD.where(
        uploads.c.bucket_id == _BUCKET,
        uploads.c.completed == 0,
        uploads.c.key >= _LOW,
        uploads.c.key < _HIGH,
    )
    .order_by(uploads.c.key, uploads.c.id)
    .limit(_MOST)
)
_LATER_UPLOADS = Statement(
    _UPLOAD.where(
        uploads.c.bucket_id == _BUCKET,
        uploads.c.completed == 0,
        uploads.c.key == _KEY,
        uploads.c.id > bindparam("above"),
    )
    .order_by(uploads.c.id)
    .limit(_MOST)
)

Fetch = Callable[[bytes, Row | None, int], list[Row]]
"""(lowest key, the row after which to go on within its key or None, how many) -> rows."""


def list_keys(
    connection: Connection,
    bucket_id: int,
    *,
    prefix: bytes = b"",
    delimiter: bytes = b"",
    after: bytes = b"",
    limit: int = 1000,
) -> Listing:
    """A page of a bucket's visible keys.

    :param after: begin past this key; a marker in or at a common prefix begins past all of it.
    :param limit: the most keys and common prefixes together.
    """
    low = _begin(prefix, delimiter, after)
    if low is None or limit <= 0:
        return Listing([], [], False, b"")
    parameters: dict[str, Any] = {
        "this_bucket": bucket_id,
        "low": low,
        "high": _past(prefix) or HIGHEST,
        "most": limit + 1,
    }
    if not delimiter:
        rows = connection.all(_SCAN_KEYS, parameters)
        truncated = len(rows) > limit
        if truncated:
            rows.pop()
        return Listing(cast(list[KeyRow], rows), [], truncated, rows[-1][0] if rows else b"")

    def scan(low: bytes, after: Row | None, most: int) -> list[Row]:
        parameters["low"] = low
        parameters["most"] = most
        return connection.all(_SCAN_KEYS, parameters)

    def walk(low: bytes, after: Row | None, most: int) -> list[Row]:
        parameters["low"] = low
        parameters["most"] = most
        rows = connection.all(_WALK_KEYS, parameters)
        rows.sort()
        return _with_columns(connection, bucket_id, rows, prefix, delimiter)

    leap = None
    if connection.family != "mysql" and delimiter[-1] != 0xFF:
        # MariaDB reads the whole index at each step of a recursive statement.
        parameters["skip"] = len(prefix)
        parameters["delimiter"] = delimiter
        parameters["past"] = _past(delimiter)
        leap = walk
    entries, prefixes, truncated = _gather(scan, leap, prefix, delimiter, low, None, limit)
    last_key = entries[-1][0] if entries else b""
    last_prefix = prefixes[-1] if prefixes else b""
    return Listing(cast(list[KeyRow], entries), prefixes, truncated, max(last_key, last_prefix))


def list_versions(
    connection: Connection,
    bucket_id: int,
    *,
    prefix: bytes = b"",
    delimiter: bytes = b"",
    key_marker: bytes = b"",
    version_id_marker: str | None = None,
    limit: int = 1000,
) -> VersionListing:
    """A page of a bucket's versions and delete markers.

    :param key_marker: begin past this key, or, with ``version_id_marker``, past that version of it.
        A version that was removed meanwhile begins the key again, so that none is left out.
    :param limit: the most versions and common prefixes together.
    """
    low = _begin(prefix, delimiter, key_marker)
    if low is None or limit <= 0:
        return VersionListing([], [], False, b"", None)
    high = _past(prefix) or HIGHEST
    resume: Row | None = None
    # _begin has answered otherwise where the marker is not a key that this page could show.
    if version_id_marker and low == key_marker + b"\0" and key_marker.startswith(prefix):
        found = None
        if is_word(version_id_marker):
            found = connection.one(
                _SEQ,
                {
                    "this_bucket": bucket_id,
                    "this_key": key_marker,
                    "this_version": version_id_marker,
                },
            )
        if found is None:
            low = key_marker
        else:
            resume = (key_marker, version_id_marker, found[0])

    def scan(low: bytes, after: Row | None, most: int) -> list[Row]:
        rows: list[Row] = []
        if after is not None:
            rows = connection.all(
                _OLDER_VERSIONS,
                {
                    "this_bucket": bucket_id,
                    "this_key": after[0],
                    "below": after[2],
                    "most": most,
                },
            )
        if len(rows) < most:
            rows += connection.all(
                _SCAN_VERSIONS,
                {
                    "this_bucket": bucket_id,
                    "low": low,
                    "high": high,
                    "most": most - len(rows),
                },
            )
        return rows

    rows, prefixes, truncated = _gather(scan, None, prefix, delimiter, low, resume, limit)
    found_versions: list[VersionRow] = []
    before = None if resume is None else resume[0]
    for key, version_id, seq, marker, size, etag, modified, storage_class, owner, checksum in rows:
        found_versions.append(
            VersionRow(
                key,
                version_id,
                key != before,
                marker != 0,
                size,
                etag,
                modified,
                storage_class,
                owner,
                read_checksum(checksum) if checksum else None,
                seq,
            )
        )
        before = key
    next_key, next_id = _last(rows, prefixes)
    return VersionListing(found_versions, prefixes, truncated, next_key, next_id)


def list_uploads(
    connection: Connection,
    bucket_id: int,
    *,
    prefix: bytes = b"",
    delimiter: bytes = b"",
    key_marker: bytes = b"",
    upload_id_marker: str | None = None,
    limit: int = 1000,
) -> UploadListing:
    """A page of a bucket's uploads in progress.

    :param key_marker: begin past this key, or, with ``upload_id_marker``, past that upload of it.
    :param limit: the most uploads and common prefixes together.
    """
    low = _begin(prefix, delimiter, key_marker)
    if low is None or limit <= 0:
        return UploadListing([], [], False, b"", None)
    high = _past(prefix) or HIGHEST
    resume: Row | None = None
    here = low == key_marker + b"\0" and key_marker.startswith(prefix)
    if here and upload_id_marker and is_word(upload_id_marker):
        resume = (key_marker, upload_id_marker)

    def scan(low: bytes, after: Row | None, most: int) -> list[Row]:
        rows: list[Row] = []
        if after is not None:
            rows = connection.all(
                _LATER_UPLOADS,
                {
                    "this_bucket": bucket_id,
                    "this_key": after[0],
                    "above": after[1],
                    "most": most,
                },
            )
        if len(rows) < most:
            rows += connection.all(
                _SCAN_UPLOADS,
                {
                    "this_bucket": bucket_id,
                    "low": low,
                    "high": high,
                    "most": most - len(rows),
                },
            )
        return rows

    rows, prefixes, truncated = _gather(scan, None, prefix, delimiter, low, resume, limit)
    next_key, next_id = _last(rows, prefixes)
    return UploadListing([UploadRow(*row) for row in rows], prefixes, truncated, next_key, next_id)


def _with_columns(
    connection: Connection, bucket_id: int, rows: list[Row], prefix: bytes, delimiter: bytes
) -> list[Row]:
    """Rows of keys alone, those without the delimiter filled; one removed meanwhile is not."""
    skip = len(prefix)
    plain = [index for index, row in enumerate(rows) if row[0].find(delimiter, skip) < 0]
    for start in range(0, len(plain), _AT_ONCE):
        some = plain[start : start + _AT_ONCE]
        parameters: dict[str, Any] = {
            # One statement for any number: the last key fills the places that are left.
            f"key{number}": rows[some[min(number, len(some) - 1)]][0]
            for number in range(_AT_ONCE)
        }
        parameters["this_bucket"] = bucket_id
        full = {row[0]: row for row in connection.all(_SOME_KEYS, parameters)}
        for index in some:
            rows[index] = full.get(rows[index][0], rows[index])
    return rows


def _last(entries: list[Row], prefixes: list[bytes]) -> tuple[bytes, str | None]:
    """The markers of the next page: the last entry's key and id, or the last prefix and no id."""
    if entries and (not prefixes or entries[-1][0] > prefixes[-1]):
        return entries[-1][0], entries[-1][1]
    return (prefixes[-1], None) if prefixes else (b"", None)


def _past(prefix: bytes) -> bytes | None:
    """The lowest bytes above everything that begins with ``prefix``; None when there are none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _begin(prefix: bytes, delimiter: bytes, after: bytes) -> bytes | None:
    """The lowest key that a page past ``after`` can show; None when there can be none."""
    if after < prefix or not after:
        return prefix
    if delimiter and after.startswith(prefix):
        at = after.find(delimiter, len(prefix))
        if at >= 0:
            return _past(after[: at + len(delimiter)])
    return after + b"\0"


def _gather(
    scan: Fetch,
    leap: Fetch | None,
    prefix: bytes,
    delimiter: bytes,
    low: bytes,
    after: Row | None,
    limit: int,
) -> tuple[list[Row], list[bytes], bool]:
    """Rows and common prefixes of one page, and whether there is more.

    :param leap: like ``scan``, but gives only the first key of each common prefix, with no columns.
    """
    entries: list[Row] = []
    prefixes: list[bytes] = []
    skip = len(prefix)
    count = 0
    fetch = scan
    most = limit + 1 if not delimiter else min(limit + 1, _FIRST_BATCH)
    while True:
        rows = fetch(low, after, most)
        inside = b""
        shown = count
        plain = len(entries)
        for row in rows:
            key = row[0]
            if inside and key.startswith(inside):
                continue
            at = key.find(delimiter, skip) if delimiter else -1
            if at < 0 and len(row) == 1:
                continue
            if count == limit:
                return entries, prefixes, True
            count += 1
            if at < 0:
                entries.append(row)
                inside = b""
            else:
                inside = key[: at + len(delimiter)]
                prefixes.append(inside)
        if len(rows) < most:
            return entries, prefixes, False
        if inside:
            past = _past(inside)
            if past is None:
                return entries, prefixes, False
            low, after = past, None
        else:
            after = rows[-1]
            low = after[0] + b"\0"
        useful = count - shown
        left = limit - count + 1
        if fetch is not scan:
            if (len(entries) - plain) * 4 > len(rows) * 3:
                fetch = scan
            most = min(left, most * 4)
        elif useful * 2 >= len(rows):
            most = min(left, most * 8)
        elif leap is not None:
            fetch = leap
            most = min(left, _FIRST_BATCH)
        else:
            most = min(left, max(2, most // 4))
