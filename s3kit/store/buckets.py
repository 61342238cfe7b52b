"""Buckets: made, found, listed, removed, and their settings documents."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from typing import TypeVar

from ..errors import BucketAlreadyExists
from ..errors import BucketAlreadyOwnedByYou
from ..errors import InvalidBucketName
from ..errors import NoSuchBucket
from ..errors import TooManyConfigurations
from ..index import buckets as bucket_rows
from ..index import settings as setting_rows
from ..index.bucket_names import MARK
from ..index.joined import JOINED
from ..index.session import Connection
from ..model import Acl
from ..model import Bucket
from ..model import Versioning
from ..signals import ask
from ..signals import before_bucket_created
from ..signals import before_bucket_removed
from ..signals import bucket_created
from ..signals import bucket_removed
from ..signals import emit
from .backing import Backing
from .events import FROM_PYTHON
from .events import Origin
from .events import bucket_event
from .new_buckets import settings_of_new
from .quota import count_bucket
from .retention import SETTING
from .retention import DefaultRetention

NO_SETTINGS: Mapping[str, bytes] = MappingProxyType({})
CACHE_SECONDS = 1.0
CACHE_SIZE = 10_000
SETTINGS_CACHE_SIZE = 256
"""Documents have up to 64 KiB, and more once they are read."""

Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class BucketToInsert:
    """A bucket that may be: what its transaction will store, and who wants it."""

    wanted: Bucket
    documents: Mapping[str, bytes]
    origin: Origin


class Buckets:
    """Buckets by name. Found ones are remembered for at most a second.

    On SQLite no longer than until a process of this machine has changed anything of them.
    """

    __slots__ = ("_backing", "_cache", "_settings", "per_account")

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self.per_account = backing.profile.names_per_account
        # By name, or by name and account, so that no account is ever shown another's.
        self._cache: dict[str | tuple[str, str], tuple[float, Bucket, int]] = {}
        self._settings: dict[tuple[int, str], tuple[float, Any, bytes | None, int]] = {}
        backing.index.after_joined.append(self._forget_all)

    def get(self, name: str, *, account: str = "", fresh: bool = False) -> Bucket:
        """The bucket of this name.

        :param account: whose bucket is meant where names are per account (``per_account``), by
            its id; "" finds the only one of that name. Elsewhere it means nothing.
        :param fresh: read it now; another process may have changed it within the last second.
        :raises NoSuchBucket: there is none, or "" was given and several accounts have one.
        """
        cache = self._cache
        if JOINED and self._backing.index.is_joined():
            # What only this transaction sees is nothing to remember.
            cache = {}
        place = (name, account) if self.per_account else name
        cached = cache.get(place)
        now, rules = time.monotonic(), self._backing.index.rules()
        if cached is not None and cached[0] > now and cached[2] == rules and not fresh:
            return cached[1]
        bucket = self._backing.index.read(lambda c: self._find(c, name, account))
        if bucket is None:
            cache.pop(place, None)
            raise NoSuchBucket(bucket_name=name)
        if self._backing.profile.always_versioned and bucket.versioning is not Versioning.ENABLED:
            bucket = replace(bucket, versioning=Versioning.ENABLED)
        if len(cache) >= CACHE_SIZE:
            cache.clear()
        cache[place] = (now + CACHE_SECONDS, bucket, rules)
        return bucket

    def _find(self, c: Connection, name: str, account: str) -> Bucket | None:
        if MARK in name:
            # No bucket is called so, though a row may be.
            return None
        if not self.per_account:
            return bucket_rows.get(c, name)
        if account:
            return bucket_rows.get_of(c, name, account)
        return bucket_rows.get_only(c, name)

    def _forget(self) -> None:
        """After a commit that changed a bucket."""
        # A new one: who read a bucket before the commit remembers it in the old one.
        self._cache = {}

    def _forget_all(self) -> None:
        self._settings = {}
        self._forget()

    def confirm(self, bucket: Bucket) -> Bucket:
        """The bucket as it is now, for a caller whose answer hangs on it.

        :raises NoSuchBucket: it is gone.
        """
        return self.get(bucket.name, account=bucket.account, fresh=True)

    def create(
        self,
        name: str,
        account: str,
        *,
        region: str = "",
        acl: Acl | None = None,
        object_lock: bool = False,
        settings: Mapping[str, bytes] = NO_SETTINGS,
        origin: Origin = FROM_PYTHON,
    ) -> Bucket:
        """Make a bucket, with these settings documents in the same moment.

        The profile's object ownership and switches against public access come with them.

        :param object_lock: its versions may be locked; versioning is on then.
        :raises BucketAlreadyOwnedByYou: this account has it already.
        :raises BucketAlreadyExists: another account has it, where names are not per account.
        :raises InvalidBucketName: no bucket may be called so.
        :raises TooManyBuckets: the account has as many as it may.
        :raises AccessDenied: a ``before_bucket_created`` receiver vetoed, or the account was closed
            meanwhile.
        """
        new = self.begin(name, account, region, acl, object_lock, settings, origin)
        accounts = self._backing.accounts
        known = accounts.stored(account) is not None
        limited = accounts.limits_of(account).buckets is not None
        if limited:
            # The row that two who make buckets at once meet at.
            accounts.ensure(account, unknown=True)
        bucket = self._backing.index.write(
            lambda c: self.insert(c, new, known=known, limited=limited)
        )
        self.made(bucket, new)
        return bucket

    def begin(
        self,
        name: str,
        account: str,
        region: str = "",
        acl: Acl | None = None,
        object_lock: bool = False,
        settings: Mapping[str, bytes] = NO_SETTINGS,
        origin: Origin = FROM_PYTHON,
    ) -> BucketToInsert:
        """Ask whether a bucket may be; all as for :meth:`create`.

        :raises InvalidBucketName: no bucket may be called so.
        :raises AccessDenied: a receiver vetoed.
        """
        if MARK in name:
            raise InvalidBucketName(bucket_name=name)
        created = self._backing.now()
        versioning = Versioning.NEVER
        if object_lock or self._backing.profile.always_versioned:
            versioning = Versioning.ENABLED
        documents = {**settings_of_new(self._backing.profile), **settings}
        wanted = Bucket(0, name, account, created, region, acl, versioning, object_lock)
        if before_bucket_created.receivers:
            event = bucket_event("s3:BucketCreated", wanted, origin, created)
            ask(before_bucket_created, event)
        return BucketToInsert(wanted, documents, origin)

    def insert(self, c: Connection, new: BucketToInsert, *, known: bool, limited: bool) -> Bucket:
        """Make a bucket in the caller's transaction; :meth:`made` is to follow its commit.

        :param known: whether its account lay in the index a moment ago.
        :param limited: whether the account may have so many and no more.
        :raises S3Error: as :meth:`create`.
        """
        wanted, origin = new.wanted, new.origin
        name, account = wanted.name, wanted.account
        if self.per_account:
            there = bucket_rows.get_of(c, name, account)
        else:
            there = bucket_rows.get(c, name)
        if there is not None:
            if there.account == account:
                raise BucketAlreadyOwnedByYou(bucket_name=name)
            raise BucketAlreadyExists(bucket_name=name)
        if limited:
            self._backing.accounts.check_room(c, account)
        counted = self._backing.quota.hold_for_bucket(c, account, known=known)
        made = bucket_rows.insert(
            c,
            name=name,
            account=account,
            created=wanted.created,
            region=wanted.region,
            acl=wanted.acl,
            object_lock=wanted.object_lock,
            versioning=wanted.versioning,
            documents=new.documents,
            of_account=self.per_account,
        )
        if counted:
            made = count_bucket(c, made)
        self._backing.outbox.record_bucket(c, "s3:BucketCreated", made, origin, wanted.created)
        return made

    def made(self, bucket: Bucket, new: BucketToInsert) -> None:
        """Tell of a bucket whose transaction is through."""
        self._forget()
        emit(
            bucket_created,
            bucket_event("s3:BucketCreated", bucket, new.origin, new.wanted.created),
        )

    def delete(
        self,
        bucket: Bucket,
        *,
        origin: Origin = FROM_PYTHON,
        check: Callable[[Connection], object] = lambda c: None,
    ) -> None:
        """Remove an empty bucket; its unfinished uploads go with it.

        :param check: raises, in the transaction, what is to keep the bucket.
        :raises BucketNotEmpty: it still holds a version of some object.
        """
        if before_bucket_removed.receivers:
            event = bucket_event("s3:BucketRemoved", bucket, origin, self._backing.now())
            ask(before_bucket_removed, event)
        now = self._backing.now()

        def work(c: Connection) -> None:
            check(c)
            bucket_rows.delete(c, bucket, now)
            self._backing.outbox.record_bucket(c, "s3:BucketRemoved", bucket, origin, now)

        self._backing.index.write(work)
        self._forget()
        emit(bucket_removed, bucket_event("s3:BucketRemoved", bucket, origin, now))

    def page(self, account: str, *, prefix: str = "", after: str = "", limit: int) -> list[Bucket]:
        """Up to ``limit`` of the account's buckets in name order, names above ``after``."""
        return self._backing.index.read(
            lambda c: bucket_rows.page(c, account, prefix=prefix, after=after, limit=limit)
        )

    def set_acl(self, bucket: Bucket, acl: Acl) -> Bucket:
        """Replace the bucket's ACL; it counts at once here and within a second elsewhere."""
        self._backing.index.write(lambda c: bucket_rows.set_acl(c, bucket.id, acl))
        self._forget()
        return replace(bucket, acl=acl)

    def set_versioning(self, bucket: Bucket, versioning: Versioning) -> Bucket:
        """Keep all versions from now on, or none but those that are there.

        Every write that begins after this has returned goes by it, in every process.

        :raises NoSuchBucket: the bucket was removed meanwhile.
        :raises InvalidBucketState: versioning is to be suspended, and it has Object Lock.
        """
        self._backing.index.write(lambda c: bucket_rows.set_versioning(c, bucket.id, versioning))
        self._forget()
        return replace(bucket, versioning=versioning)

    def set_object_lock(self, bucket: Bucket, rule: DefaultRetention | None) -> Bucket:
        """Switch Object Lock on, for good, and replace the rule for new objects.

        :param rule: None for none.
        :raises NoSuchBucket: the bucket was removed meanwhile.
        :raises InvalidBucketState: its versioning is not enabled.
        """

        def work(c: Connection) -> None:
            if self._backing.profile.always_versioned:
                bucket_rows.set_versioning(c, bucket.id, Versioning.ENABLED)
            bucket_rows.set_object_lock(c, bucket.id)
            if rule is None:
                setting_rows.delete(c, bucket.id, SETTING)
            else:
                setting_rows.put(c, bucket.id, SETTING, rule.to_bytes())

        self._backing.index.write(work)
        self._settings = {}
        self._forget()
        return self.get(bucket.name, account=bucket.account)

    def setting(self, bucket: Bucket, name: str) -> bytes | None:
        """A stored settings document (``tagging`` ...), or None if it was never set."""
        return self._backing.index.read(lambda c: setting_rows.get(c, bucket.id, name))

    def remembered(
        self, bucket: Bucket, name: str, read: Callable[[bytes], Meaning]
    ) -> Meaning | None:
        """What ``read`` makes of a settings document, at most a second old; None without one.

        :param read: always the same for the same name.
        """
        # Taken before the document is read, so that who changes it meanwhile has made a new one.
        cache = self._settings
        if JOINED and self._backing.index.is_joined():
            cache = {}
        place = (bucket.id, name)
        now, rules = time.monotonic(), self._backing.index.rules()
        cached = cache.get(place)
        if cached is not None and cached[0] > now and cached[3] == rules:
            meaning: Meaning | None = cached[1]
            return meaning
        stored = self.setting(bucket, name)
        if cached is not None and cached[2] == stored:
            meaning = cached[1]
        else:
            meaning = None if stored is None else read(stored)
        if len(cache) >= SETTINGS_CACHE_SIZE:
            cache.clear()
        cache[place] = (now + CACHE_SECONDS, meaning, stored, rules)
        return meaning

    def changed(self, bucket: Bucket, names: Iterable[str]) -> bool:
        """Whether another process has changed one of these documents since it was remembered."""
        cache = self._settings
        for name in names:
            cached = cache.get((bucket.id, name))
            # Compared as bytes: whoever is refused a thousand times has nothing read anew.
            if cached is not None and cached[2] != self.setting(bucket, name):
                self._settings = {}
                return True
        return False

    def put_setting(self, bucket: Bucket, name: str, document: bytes) -> None:
        """Store a settings document; it counts at once here and within a second elsewhere."""
        self.change_setting(lambda c: setting_rows.put(c, bucket.id, name, document))

    def change_setting(self, work: Callable[[Connection], object]) -> None:
        """Change settings documents, and whatever belongs to that, in one transaction."""
        self._backing.index.write(work)
        self._settings = {}
        self._forget()

    def delete_setting(self, bucket: Bucket, name: str) -> None:
        """Remove a settings document; a missing one is no error."""
        self.change_setting(lambda c: setting_rows.delete(c, bucket.id, name))

    def member(self, bucket: Bucket, group: str, member: str) -> bytes | None:
        """One of a group's settings documents (``metrics`` ...), or None if there is none."""
        return self.setting(bucket, setting_rows.member_name(group, member))

    def members(self, bucket: Bucket, group: str, *, after: str, limit: int) -> list[bytes]:
        """Up to ``limit`` of a group's documents in order of their ids, ids above ``after``."""
        return self._backing.index.read(
            lambda c: setting_rows.members(c, bucket.id, group, after, limit)
        )

    def put_member(
        self, bucket: Bucket, group: str, member: str, document: bytes, *, most: int
    ) -> None:
        """Store one of a group's documents.

        :raises TooManyConfigurations: it is a new one, and the group has ``most`` of them.
        """
        if not self._backing.index.write(
            lambda c: setting_rows.put_member(c, bucket.id, group, member, document, most)
        ):
            raise TooManyConfigurations(
                "You are attempting to create a new configuration but have already reached the "
                f"{most:,}-configuration limit."
            )

    def delete_member(self, bucket: Bucket, group: str, member: str) -> bool:
        """Remove one of a group's documents; False when there was none."""
        name = setting_rows.member_name(group, member)
        return self._backing.index.write(lambda c: setting_rows.delete(c, bucket.id, name))
