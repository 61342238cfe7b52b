"""Restoring one backup into an empty index and empty storages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from ..blobs.base import BlobStore
from ..blobs.place import Place
from ..index import garbage as garbage_rows
from ..index import identity
from ..index import scan
from ..index import snapshot as snapshots
from ..index.schema import REVISIONS
from ..index.schema import schema_revision
from ..index.schema import upgrade
from ..index.session import Index
from ..index.snapshot import NotEmpty
from .backing import Backing
from .backup_blobs import Different
from .backup_blobs import Present
from .backup_blobs import transfer
from .backup_place import INDEX
from .backup_place import LIST
from .backup_place import Snapshot
from .backup_place import blobs_folder
from .backup_place import encode
from .backup_place import fetch
from .backup_place import read_lines
from .backup_place import staging
from .backup_result import Advance
from .backup_result import BackupError
from .backup_result import Result
from .janitor import blobs_of
from .janitor import mark
from .janitor import owner_of
from .verifying import Pace
from .verifying import Reading

PAGE = 200


class Restore:
    """One snapshot on its way into an empty index and empty storages.

    What is restored is another index: it has an identity of its own, and its storages are marked
    as its own, so that neither endpoint ever sweeps what is the other's.

    A restore that was stopped is taken up by the next with the same index and storages.

    :param rate: read at most this many bytes a second.
    :param advance: told how many bytes have been dealt with.
    :raises BackupError: the snapshot is damaged.
    """

    def __init__(
        self,
        backing: Backing,
        place: Place,
        snapshot: Snapshot,
        *,
        rate: int | None = None,
        advance: Advance = lambda size: None,
    ) -> None:
        self._backing = backing
        self._place = place
        self._snapshot = snapshot
        self._manifest = snapshot.manifest
        self._name = snapshot.name
        self._pace = Pace(rate)
        self._advance = advance
        if snapshot.problem:
            raise BackupError(f"{snapshot.name} cannot be restored: {snapshot.problem}")

    def run(self, *, checked: Callable[[], object] = lambda: None) -> Result:
        """Check all, copy the bytes, then load the facts in one transaction.

        :param checked: called when nothing speaks against it, before anything is copied.
        :raises BackupError: there is something in the index or on a storage, or the backup is
            not as its manifest says.
        """
        with staging(self._place, local=True) as folder:
            for name in (INDEX, LIST):
                fetch(self._place, self._snapshot, name, folder / name)
            facts = self._open_facts(folder)
            try:
                mine = self._check_index()
                storages = self._check_storages(facts, mine)
                checked()
                result = self._copy(folder, storages)
                snapshots.set_last_numbers(
                    self._backing.index, dict(self._manifest["last_numbers"])
                )
                try:
                    snapshots.load_snapshot(facts, self._backing.index, lambda rows: None)
                except NotEmpty:
                    raise BackupError(
                        "Somebody has stored something in the index meanwhile. Stop the endpoint, "
                        "and restore into another index."
                    ) from None
                result.inline = facts.read(scan.inline_totals)[1]
            finally:
                facts.close()
        return result

    def fetch_beside(self, name: str, target: Path) -> bool:
        """A further file that was kept with the snapshot; False when it has none of that name.

        :raises BackupError: it is damaged.
        """
        if name not in self._manifest["files"]:
            return False
        fetch(self._place, self._snapshot, name, target)
        return True

    def _open_facts(self, folder: Path) -> Index:
        facts = Index(f"sqlite:///{folder / INDEX}", durability="relaxed")
        revision = schema_revision(facts)
        if revision in REVISIONS[:-1]:
            upgrade(facts)
        elif revision != REVISIONS[-1]:
            facts.close()
            raise BackupError(
                f"The backup has schema {revision}, which this s3kit does not know: it was made by "
                "a newer one. Run `pip install --upgrade s3kit`."
            )
        return facts

    def _check_index(self) -> str:
        index = self._backing.index
        try:
            index.read(snapshots.check_empty)
        except NotEmpty:
            raise BackupError(
                "The index is not empty. Restore into a new one: give another --data, or another "
                "index in --config."
            ) from None
        return index.read(identity.get)

    def _check_storages(self, facts: Index, mine: str) -> Mapping[str, BlobStore]:
        found: dict[str, BlobStore] = {}
        for name in facts.read(scan.storages):
            store = self._backing.storages.get(name)
            if store is None:
                raise BackupError(
                    f'The backup has objects on a storage "{name}", which is not configured. Name '
                    "one in --config, under [storages]; it may lie anywhere."
                )
            self._check_storage(name, store, mine, facts)
            found[name] = store
        for name, store in found.items():
            try:
                owner = mark(store, mine)
            except PermissionError as error:
                raise BackupError(
                    f'Nothing can be written to the storage "{name}": {error}'
                ) from None
            if owner != mine:
                raise BackupError(_another(name, owner))
        return found

    def _check_storage(self, name: str, store: BlobStore, mine: str, facts: Index) -> None:
        owner = owner_of(store)
        if owner and owner != mine:
            raise BackupError(_another(name, owner))
        batch: list[str] = []

        def check() -> None:
            if owner == mine:
                # A restore was stopped.
                known = facts.read(lambda c: garbage_rows.known(c, batch))
                strange = [blob for blob in batch if blob not in known]
            else:
                strange = batch
            if strange:
                raise BackupError(
                    f'The storage "{name}" is not empty: there is {strange[0]}. Give it another '
                    "folder."
                )
            batch.clear()

        for blob, _ in blobs_of(store):
            batch.append(blob)
            if len(batch) == PAGE:
                check()
        if batch:
            check()

    def _copy(self, folder: Path, storages: Mapping[str, BlobStore]) -> Result:
        result = Result(self._name)
        for storage, blob, problem in self._manifest["damages"]:
            result.damage(storage, blob, problem)
        result.damaged = int(self._manifest["damaged"])
        by_name = {encode(name): (name, store) for name, store in storages.items()}
        with open(folder / LIST, encoding="ascii") as file, ExitStack() as stack:
            for encoded, lines in groupby(read_lines(file), key=itemgetter(0)):
                name, store = by_name[encoded]
                source = self._place.blobs(blobs_folder(encoded))
                stack.callback(source.close)
                present = Present(store, folder / f"present-{encoded}")
                for _, blob, sha256 in lines:
                    there = present.holds(blob)
                    self._copy_one(result, name, source, store, blob, sha256, there)
        missing = int(self._manifest["blobs"]) - int(self._manifest["damaged"])
        if result.blobs != missing:
            raise BackupError(f"{LIST} names {result.blobs} blobs, the manifest {missing}.")
        return result

    def _copy_one(
        self,
        result: Result,
        name: str,
        source: BlobStore,
        target: BlobStore,
        blob: str,
        sha256: str,
        there: bool,
    ) -> None:
        result.blobs += 1
        if there:
            if _sha256_of_blob(target, blob) == sha256:
                size = target.size(blob)
                result.kept += 1
                result.bytes += size
                self._advance(size)
                return
            target.delete(blob)
        try:
            size = source.size(blob)
            blocks = source.open(blob, 0, size)
            reading = _Expecting(sha256)
            transfer(blocks, target, blob, size, reading, self._pace, self._advance)
        except FileNotFoundError:
            result.damage(name, blob, "it is missing in the backup")
        except Different as error:
            result.damage(name, blob, f"in the backup {error}")
        else:
            result.copied += 1
            result.bytes += size


class _Expecting(Reading):
    """A reading that is to have a certain SHA-256."""

    __slots__ = ("_expected",)

    def __init__(self, expected: str) -> None:
        super().__init__("", None, sha256=True)
        self._expected = expected

    def difference(self) -> str:
        found = self.sha256
        return "" if found == self._expected else f"the SHA-256 is {found}, not {self._expected}"


def _sha256_of_blob(store: BlobStore, blob: str) -> str:
    digest = hashlib.sha256()
    try:
        for block in store.open(blob, 0, store.size(blob)):
            digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _another(name: str, owner: str) -> str:
    return (
        f'The storage "{name}" belongs to another index ({owner}). Restore into an empty one: give '
        "another --data, or another folder in --config."
    )
