"""Appending to an object: a part more, and nothing of what is there is read or written again."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

from ..blobs.base import new_blob_id
from ..blobs.sealed import SealBroken
from ..errors import ConditionalRequestConflict
from ..errors import EntityTooLarge
from ..errors import InternalError
from ..errors import InvalidRequest
from ..errors import InvalidWriteOffset
from ..errors import PreconditionFailed
from ..errors import S3Error
from ..errors import TooManyParts
from ..index import appends
from ..index import objects as object_rows
from ..index import uploads as upload_rows
from ..index.connections import Connection
from ..index.objects import ContentGone
from ..model import Bucket
from ..model import Checksum
from ..model import Content
from ..model import ObjectVersion
from ..model import Part
from ..model import Versioning
from ..signals import before_object_created
from ..signals import object_created
from ..wire import checksums
from ..wire.conditions import Conditions
from ..wire.conditions import check_write
from ..wire.encryption import CustomerKey
from . import quota
from . import versions
from .backing import Backing
from .backing import Body
from .backing import Stored
from .copying import Copying
from .encryption import Sealing
from .encryption import has_md5
from .encryption import seal_of
from .events import FROM_PYTHON
from .events import Origin
from .events import ask_object
from .events import emit_object
from .objects import Attributes
from .objects import Objects
from .objects import facts

logger = logging.getLogger("s3kit.store")

EVENT = "s3:ObjectCreated:Put"
NOT_VERSIONED = (
    "An object can only be appended to in a bucket on which versioning was never enabled."
)


class _Shared(Exception):
    """The content has other versions, so that it cannot grow for one of them."""


class Appending:
    """Appends to the objects of one Store."""

    __slots__ = ("_backing", "_copying", "_objects")

    def __init__(self, backing: Backing, objects: Objects, copying: Copying) -> None:
        self._backing = backing
        self._objects = objects
        self._copying = copying

    def create(
        self,
        bucket: Bucket,
        key: bytes,
        body: Body,
        attributes: Attributes,
        *,
        conditions: Conditions | None = None,
        origin: Origin = FROM_PYTHON,
    ) -> ObjectVersion:
        """Store the beginning of an object, where there is none.

        :raises InvalidWriteOffset: there is one by now.
        """
        self._objects.check_conditions(bucket, key, conditions)
        self._check_bucket(bucket.versioning)
        try:
            return self._objects.put(
                bucket, key, body, attributes, conditions=NOTHING_THERE, origin=origin
            )
        except PreconditionFailed:
            raise InvalidWriteOffset() from None

    def append(
        self,
        bucket: Bucket,
        seen: ObjectVersion,
        body: Body,
        offset: int,
        *,
        conditions: Conditions | None = None,
        origin: Origin = FROM_PYTHON,
        customer_key: CustomerKey | None = None,
    ) -> ObjectVersion:
        """Add a body to the end of an object; of several at once for one offset exactly one wins.

        The ETag becomes that of an object made of parts, the MD5 of the parts' MD5s, unless all of
        it still lies in its row. A CRC of the whole goes on; any other checksum ends.

        :param seen: what the key shows.
        :param offset: where the body is to begin: the object's size.
        :param customer_key: with which the object is encrypted, if it is with one. New bytes are
            encrypted as the old ones are, whatever the bucket says by now.
        :raises InvalidWriteOffset: the object has another size.
        :raises InvalidRequest: the bucket keeps versions.
        :raises AccessDenied: the customer's key is another.
        :raises TooManyParts: it has 10,000 parts.
        :raises QuotaExceeded: the bucket's account, or the caller's key, may not store so much.
        :raises PreconditionFailed: a condition does not hold at the moment of the commit.
        :raises ConditionalRequestConflict: another object of this size has come in between.
        """
        backing = self._backing
        self.check(bucket, seen, offset, conditions)
        length = body.length
        if length is not None:
            self._check_total(offset + length)
        if length == 0:
            body.read_all()
            return seen
        if quota.is_concerned(bucket, origin):
            backing.quota.expect(bucket, None, length, origin)
        storage = backing.storage_for(bucket.name, seen.storage_class)
        sealing = self._sealing(seen, customer_key)
        # What is sealed in the row cannot be sealed anew: one seal is for one text.
        is_small = seen.content is None and length is not None and sealing is None
        if is_small and offset + (length or 0) <= backing.inline_threshold:
            data = body.read_all()
            stored = Stored(len(data), body.md5, body.checksum, data, None)
        else:
            seal = None if sealing is None else sealing.for_part()
            md5 = has_md5(seen.encryption)
            stored = backing.receive(storage, body, inline=False, seal=seal, md5=md5)
        head: Stored | None = None
        try:
            self._check_total(offset + stored.size)
            if before_object_created.receivers:
                wanted = replace(seen, size=offset + stored.size, modified=backing.now())
                ask_object(before_object_created, EVENT, bucket, wanted, origin)
            if stored.content is not None and seen.content is None and seen.size:
                head = self._head(bucket, seen, storage, sealing, customer_key)
            try:
                version = self._commit(bucket, seen, stored, head, offset, conditions, origin)
            except _Shared:
                if head is not None:
                    raise ConditionalRequestConflict() from None
                head = self._head(bucket, seen, storage, sealing, customer_key)
                version = self._commit(bucket, seen, stored, head, offset, conditions, origin)
        except (S3Error, _Shared):
            # As for a PUT: only a refusal is sure to have left no row behind.
            for each in (stored, head):
                if each is not None:
                    backing.discard(each)
            raise
        emit_object(object_created, EVENT, bucket, version, origin, replaced=True)
        return version

    def check(
        self, bucket: Bucket, seen: ObjectVersion, offset: int, conditions: Conditions | None
    ) -> None:
        """Refuse an append early, before its body is read; the commit checks again."""
        self._check_bucket(bucket.versioning)
        self._check(seen, offset, conditions)

    def _sealing(self, seen: ObjectVersion, customer_key: CustomerKey | None) -> Sealing | None:
        if seen.encryption is None:
            return None
        try:
            return self._backing.encryptions.open(seen.encryption, customer_key)
        except SealBroken as error:
            logger.error("Version %d cannot be appended to: %s.", seen.seq, error)
            raise InternalError() from None

    def _head(
        self,
        bucket: Bucket,
        seen: ObjectVersion,
        storage: str,
        sealing: Sealing | None,
        customer_key: CustomerKey | None,
    ) -> Stored:
        """A copy of what is there, to be the first part; made of small or shared bytes only."""
        whole = seen
        if seen.content is None:
            whole = self._objects.get(bucket, seen.key)
        try:
            return self._copying.receive(
                whole,
                0,
                whole.size,
                storage,
                None,
                inline=False,
                seal=None if sealing is None else sealing.for_part(),
                md5=has_md5(seen.encryption),
                customer_key=customer_key,
            )
        except ContentGone:
            # The body is read by now: nobody can begin anew but the client.
            raise ConditionalRequestConflict() from None

    def _commit(
        self,
        bucket: Bucket,
        seen: ObjectVersion,
        stored: Stored,
        head: Stored | None,
        offset: int,
        conditions: Conditions | None,
        origin: Origin,
    ) -> ObjectVersion:
        def work(c: Connection) -> ObjectVersion:
            current = object_rows.lock_current(c, bucket.id, seen.key)
            if current is None:
                raise InvalidWriteOffset()
            self._check(current, offset, conditions)
            state = versions.state_for_write(c, bucket, self._backing.profile)
            self._check_bucket(state.versioning)
            if head is not None and (current.seq, current.etag) != (seen.seq, seen.etag):
                raise ConditionalRequestConflict()
            if not has_same_keys(seen, current):
                raise ConditionalRequestConflict()
            grown = replace(
                current,
                size=offset + stored.size,
                modified=max(self._backing.now(), current.modified),
            )
            grown = self._grow(c, current, grown, stored, head)
            appends.grow_version(c, grown)
            quota.count(c, state, stored.size)
            quota.charge(c, origin, stored.size)
            old = current.content
            if old is not None and (grown.content is None or grown.content.id != old.id):
                if head is None:
                    # It is the first part now.
                    appends.forget_content(c, old)
                else:
                    object_rows.release(c, old, grown.modified)
            self._backing.outbox.record(
                c, EVENT, bucket, grown, origin, state.present, replaced=True
            )
            return grown

        return self._backing.index.write(work)

    def _grow(
        self,
        c: Connection,
        current: ObjectVersion,
        grown: ObjectVersion,
        stored: Stored,
        head: Stored | None,
    ) -> ObjectVersion:
        """The version with its new bytes, their rows written."""
        content = current.content
        if stored.inline is not None:
            whole = object_rows.get_current(c, current.bucket_id, current.key)
            if whole is None or whole.inline is None:
                raise ConditionalRequestConflict()
            return with_inline(grown, whole.inline + stored.inline, stored.checksum)
        fresh = stored.content
        assert fresh is not None, "what is not inline has a blob"
        if content is None and head is None:
            if current.size:
                raise ConditionalRequestConflict()
            object_rows.insert_content(c, fresh)
            return replace(
                grown,
                etag=stored.md5,
                checksum=stored.checksum,
                content=fresh,
                inline=None,
                parts=0,
            )
        part = Part(0, stored.size, stored.md5, grown.modified, fresh.storage, fresh.id,
                    current.size, stored.checksum, fresh.sealing)  # fmt: skip
        if head is None:
            assert content is not None, "without a head there is something to go on from"
            if not appends.is_alone(c, content) or not can_go_on(current, content):
                raise _Shared
        checksum = joined(current.checksum, current.size, stored)
        if head is None and content is not None and content.parts:
            chain = appends.chain_of(c, content)
            number, etags = chain.last + 1, chain.etags
        else:
            first = first_part(current, head)
            chain_id = new_blob_id()
            assert first is not None
            content = Content(chain_id, first.storage, 0, 1)
            number, etags = 2, [first.etag]
            object_rows.insert_content(c, replace(content, size=grown.size, parts=2))
            upload_rows.insert_parts(c, chain_id, [first])
        if number > self._backing.profile.max_parts:
            raise TooManyParts()
        assert content is not None
        etags.append(stored.md5)
        content = replace(content, size=grown.size, parts=len(etags))
        upload_rows.insert_parts(c, content.id, [replace(part, number=number)])
        appends.grow(c, content)
        return replace(
            grown,
            etag=checksums.multipart_etag(etags),
            checksum=checksum,
            content=content,
            parts=len(etags),
            inline=None,
        )

    def _check(self, current: ObjectVersion, offset: int, conditions: Conditions | None) -> None:
        if conditions is not None:
            check_write(conditions, facts(current))
        if current.size != offset:
            raise InvalidWriteOffset()

    def _check_total(self, size: int) -> None:
        most = self._backing.profile.max_object
        if size > most:
            raise EntityTooLarge(proposed_size=size, max_size_allowed=most)

    def _check_bucket(self, versioning: Versioning) -> None:
        if versioning is not Versioning.NEVER or self._backing.profile.always_versioned:
            raise InvalidRequest(NOT_VERSIONED)


def has_same_keys(seen: ObjectVersion, current: ObjectVersion) -> bool:
    """Whether what was encrypted for the one is so for the other, which may be wrapped anew."""
    if seen.encryption is None or current.encryption is None:
        return seen.encryption is current.encryption
    return seen.seq == current.seq and seal_of(seen.encryption) == seal_of(current.encryption)


NOTHING_THERE = Conditions(if_none_match=("*",))


def can_go_on(current: ObjectVersion, content: Content) -> bool:
    """Whether a content can be the beginning of a chain as it is, its MD5 known."""
    return bool(content.parts) or len(current.etag) == 32


def first_part(current: ObjectVersion, head: Stored | None) -> Part:
    """What was there, as the first part of a chain."""
    checksum = current.checksum
    if checksum is not None and checksum.type != "FULL_OBJECT":
        checksum = None
    if head is None:
        content, etag = current.content, current.etag
    else:
        content, etag, checksum = head.content, head.md5, head.checksum
    assert content is not None
    return Part(1, current.size, etag, current.modified, content.storage, content.id, 0,
                checksum, content.sealing)  # fmt: skip


def with_inline(grown: ObjectVersion, data: bytes, new: Checksum | None) -> ObjectVersion:
    """A version whose bytes all lie in its row."""
    checksum = grown.checksum
    algorithm = None
    if new is not None:
        algorithm = new.algorithm
    elif checksum is not None and checksum.type == "FULL_OBJECT":
        algorithm = checksum.algorithm
    checksum = None
    if algorithm is not None:
        checksum = Checksum(algorithm, checksums.encode(checksums.digest_of(algorithm, data)))
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return replace(grown, inline=data, etag=etag, checksum=checksum, content=None, parts=0)


def joined(old: Checksum | None, size: int, stored: Stored) -> Checksum | None:
    """The checksum of old and new bytes together, where it can be had without reading them."""
    new = stored.checksum
    if old is None or new is None:
        return None
    if (old.algorithm, old.type) != (new.algorithm, new.type) or old.type != "FULL_OBJECT":
        return None
    digests = []
    for checksum, length in ((old, size), (new, stored.size)):
        digest = checksums.decode(checksum.algorithm, checksum.value)
        if digest is None:
            return None
        digests.append((digest, length))
    try:
        whole = checksums.combine(old.algorithm, digests)
    except ValueError:
        return None
    return Checksum(old.algorithm, checksums.encode(whole))


__all__ = ["Appending"]
