"""Backups of a running endpoint: the facts of one moment first, then the bytes that they name.

A blob is never changed, and one that loses its last reference outlives it by the grace period. So
the bytes of a snapshot can be copied at leisure, if none of them is removed meanwhile. Three things
see to that:

* while the copying goes on, what became garbage since the snapshot is held;
* where a blob is gone all the same and nobody needs it any more, the whole snapshot is taken anew.
  What was copied before need not be copied again;
* a backup is one only when its manifest is there, which is written last, when all that it names was
  seen at the destination.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from ..blobs.place import Place
from ..index import identity
from ..index import scan
from ..index import snapshot as snapshots
from ..index.schema import REVISIONS
from ..index.schema import create_schema
from ..index.session import Index
from .backing import Backing
from .backup_blobs import Present
from .backup_copying import Copying
from .backup_place import FORMAT
from .backup_place import INDEX
from .backup_place import LIST
from .backup_place import MANIFEST
from .backup_place import blob_path
from .backup_place import blobs_folder
from .backup_place import claim
from .backup_place import encode
from .backup_place import read_lines
from .backup_place import sha256_of
from .backup_place import snapshot_file
from .backup_place import staging
from .backup_pruning import prune
from .backup_result import Advance
from .backup_result import BackupError
from .backup_result import Result
from .backup_runs import Hold
from .backup_runs import Marker
from .backup_runs import alone
from .verifying import Pace

ATTEMPTS = 3
"""How many snapshots are taken before it is given up to copy one whole."""


class Backup:
    """Backups of one endpoint to one place.

    :param rate: read at most this many bytes a second.
    :param verify: read again what earlier backups have copied.
    :param beside: further files to be kept with the snapshot, by name.
    :param begin: told how many bytes there are, when that is known.
    :param advance: told how many bytes have been dealt with.
    """

    def __init__(
        self,
        backing: Backing,
        place: Place,
        *,
        rate: int | None = None,
        verify: bool = False,
        beside: Mapping[str, Path] | None = None,
        begin: Advance = lambda size: None,
        advance: Advance = lambda size: None,
    ) -> None:
        self._backing = backing
        self._place = place
        self._pace = Pace(rate)
        self._verify = verify
        self._beside = dict(beside or {})
        self._begin = begin
        self._advance = advance
        self._vanished = ""

    def run(self) -> Result:
        """Take a snapshot and copy what it names.

        :raises BackupError: the place holds other backups, or another one is running.
        """
        with alone(self._place), staging(self._place) as folder:
            claim(self._place, self._backing.index.read(identity.get), folder)
            with Marker(self._place, "backup") as marker:
                marker.wait_for("prune")
                for _ in range(ATTEMPTS):
                    for each in folder.iterdir():
                        _remove(each)
                    result = self._once(folder, marker)
                    if result is not None:
                        return result
        if self._vanished:
            raise BackupError(
                f"What is copied to {self._place.url} is removed there by somebody else, such as "
                f"{self._vanished}."
            )
        raise BackupError(
            "Objects are removed faster than they can be copied, and so are their bytes. Do not "
            "run `s3kit gc --grace` meanwhile, or give the endpoint a longer grace_seconds."
        )

    def prune(self, keep: int) -> int:
        """Remove old backups, see :func:`s3kit.store.backup_pruning.prune`."""
        return prune(self._place, keep)

    def _once(self, folder: Path, marker: Marker) -> Result | None:
        """One snapshot, whole; None if bytes of it were gone before they could be copied."""
        backing = self._backing
        started = backing.now()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started / 1000))
        # Sorted by time, and by that alone where two were begun within a second.
        name = f"{moment}{started % 1000:03}Z-{secrets.token_hex(2)}"
        result = Result(name)
        with Hold(backing, started), ExitStack() as stack:
            facts = Index(f"sqlite:///{folder / INDEX}", durability="relaxed")
            stack.callback(facts.close)
            create_schema(facts)
            numbers = snapshots.write_snapshot(backing.index, facts, lambda rows: None)
            # In the order of the list, which pruning counts on.
            names = sorted(facts.read(scan.storages), key=encode)
            totals = [facts.read(lambda c, n=each: scan.totals(c, n)) for each in names]  # type: ignore[misc]
            self._begin(sum(size for _, size in totals))
            with open(folder / LIST, "w", encoding="ascii") as listed:
                for storage in names:
                    copying = Copying(
                        backing,
                        self._place,
                        facts,
                        storage,
                        folder,
                        result,
                        verify=self._verify,
                        pace=self._pace,
                        advance=self._advance,
                    )
                    for line in copying.run():
                        listed.write(line)
                    if copying.lost:
                        return None
            counts = facts.read(snapshots.counts)
            result.inline = facts.read(scan.inline_totals)[1]
        _settle(folder / INDEX)
        # From here on nobody begins to remove anything, and nobody is at it.
        marker.refresh()
        marker.wait_for("prune")
        self._vanished = self._look_for_all(folder)
        if self._vanished:
            return None
        self._finish(folder, result, started, names, counts, numbers)
        return result

    def _look_for_all(self, folder: Path) -> str:
        """The first blob of the list that is not at the destination; "" when all are."""
        with open(folder / LIST, encoding="ascii") as listed:
            for storage, lines in groupby(read_lines(listed), key=itemgetter(0)):
                store = self._place.blobs(blobs_folder(storage))
                try:
                    present = Present(store, folder / f"again-{storage}")
                finally:
                    store.close()
                for _, blob, _ in lines:
                    if not present.holds(blob):
                        return blob_path(storage, blob)
        return ""

    def _finish(
        self,
        folder: Path,
        result: Result,
        started: int,
        storages: list[str],
        counts: Mapping[str, int],
        numbers: Mapping[str, int],
    ) -> None:
        for storage in storages:
            self._place.settle(blobs_folder(encode(storage)))
        files = {INDEX: folder / INDEX, LIST: folder / LIST, **self._beside}
        sums = {}
        for name, path in files.items():
            sums[name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
            self._place.write(snapshot_file(result.name, name), str(path))
        manifest = {
            "format": FORMAT,
            "name": result.name,
            "index": self._backing.index.read(identity.get),
            "schema": REVISIONS[-1],
            "started": started,
            "finished": self._backing.now(),
            "storages": storages,
            "counts": counts,
            "last_numbers": numbers,
            "blobs": result.blobs,
            "bytes": result.bytes,
            "files": sums,
            "damaged": result.damaged,
            "damages": [(each.storage, each.blob, each.problem) for each in result.damages],
        }
        path = folder / MANIFEST
        path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        self._place.write(snapshot_file(result.name, MANIFEST), str(path))


def _settle(path: Path) -> None:
    """Leave one file of an SQLite database that is closed: no log, and readable where it lies."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        os.unlink(path)
