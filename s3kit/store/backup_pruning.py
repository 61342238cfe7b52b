"""Removing old backups, and the bytes that only those had."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import closing
from pathlib import Path

from ..blobs.place import Place
from .backup_blobs import Present
from .backup_place import BLOBS
from .backup_place import LIST
from .backup_place import MANIFEST
from .backup_place import SHARDS
from .backup_place import SNAPSHOTS
from .backup_place import Sums
from .backup_place import blobs_folder
from .backup_place import fetch
from .backup_place import read_lines
from .backup_place import snapshot_file
from .backup_place import snapshots_at
from .backup_place import staging
from .backup_result import BackupError
from .backup_result import Busy
from .backup_runs import Marker
from .backup_runs import alone


def prune(place: Place, keep: int) -> int:
    """Remove all but the newest ``keep`` snapshots, and the blobs that only those had.

    :returns: how many blobs were removed.
    :raises Busy: another run is at work there; nothing was removed.
    :raises BackupError: a backup there is damaged; nothing was removed.
    """
    with (
        alone(place),
        Marker(place, "prune") as marker,
        staging(place) as folder,
    ):
        if marker.others("backup") or marker.others("prune"):
            raise Busy(
                f"Old backups at {place.url} were not removed, for another backup is running there."
            )
        finished = snapshots_at(place)
        for each in finished:
            if each.problem:
                # What it needs cannot be known.
                raise BackupError(
                    f"Nothing was removed at {place.url}, for a backup there is "
                    f"damaged: {each.name}. {each.problem} Mend snapshots/{each.name}, or "
                    "remove it."
                )
        kept = finished[-keep:]
        paths = []
        # All of them before the first is removed: what they do not name is.
        for snapshot in kept:
            paths.append(folder / f"{snapshot.name}.sha256")
            fetch(place, snapshot, LIST, paths[-1])
        names = {each.name for each in kept}
        for name in place.names(SNAPSHOTS):
            if name not in names:
                # First what makes it a backup.
                place.remove(snapshot_file(name, MANIFEST))
                place.remove(f"{SNAPSHOTS}/{name}")
        with ExitStack() as stack:
            files = [stack.enter_context(open(path, encoding="ascii")) for path in paths]
            return _prune_blobs(place, folder, heapq.merge(*map(read_lines, files)))


def _prune_blobs(place: Place, folder: Path, needed: Iterator[tuple[str, str, str]]) -> int:
    removed = 0
    following = next(needed, None)
    for storage in place.names(BLOBS):
        with closing(place.blobs(blobs_folder(storage))) as store:
            present = Present(store, folder / f"present-{storage}")
            for shard in SHARDS:
                keep: set[str] = set()
                while following is not None and following[:2] < (storage, shard + "g"):
                    if following[0] == storage:
                        keep.add(following[1])
                    following = next(needed, None)
                found = present.shard(shard)
                if gone := found - keep:
                    for blob in gone:
                        store.delete(blob)
                    removed += len(gone)
                    sums = Sums(place, storage, shard, folder)
                    sums.known = {blob: known for blob, known in sums.known.items() if blob in keep}
                    sums.changed = True
                    sums.save()
    return removed
