"""What lies at a place of backups, and in which format.

::

    s3kit-backup.json                       whose backups these are
    blobs/default/3f/3f0c...                bytes, shared by all snapshots
    sums/default/3f.sha256                  the SHA-256 of each: "sha256sum -c" reads it
    snapshots/20261121T071500123Z-1f3a/     one for each backup
        index.db                            the facts, as an SQLite database
        blobs.sha256                        the SHA-256 of each blob of this snapshot
        manifest.json                       sizes and SHA-256 of these, counts, what is damaged
    running/backup-9c41f2a0-1795245301123   who is at it, where there are no locks
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..blobs.base import is_blob_id
from ..blobs.place import Place
from .backup_result import BackupError

FORMAT = 1
CLAIM = "s3kit-backup.json"
BLOBS = "blobs"
SNAPSHOTS = "snapshots"
INDEX = "index.db"
LIST = "blobs.sha256"
MANIFEST = "manifest.json"
_STAGING = "staging-"

SHARDS = tuple(f"{number:02x}" for number in range(256))
"""What ids of blobs begin with, in order: the folders in which they lie."""


# -- names


def encode(storage: str) -> str:
    """A storage's name as the name of a folder, on any file system."""
    return "".join(
        each if each.isascii() and (each.isalnum() or each in "-_") else f"={ord(each):x}="
        for each in storage
    )


def blobs_folder(storage: str) -> str:
    """Where the blobs of a storage lie; ``storage`` is encoded."""
    return f"{BLOBS}/{storage}"


def blob_path(storage: str, blob: str) -> str:
    """Where a blob of a storage lies; ``storage`` is encoded."""
    return f"{blobs_folder(storage)}/{blob[:2]}/{blob}"


def snapshot_file(snapshot: str, name: str) -> str:
    """Where a file of a snapshot lies."""
    return f"{SNAPSHOTS}/{snapshot}/{name}"


# -- whose backups these are


def claim(place: Place, index: str, folder: Path) -> None:
    """Make an empty place one for the backups of an index, if it is not one already.

    :param index: the identity of the index.
    :param folder: where a file can be made.
    :raises BackupError: the place holds something else, such as the backups of another index.
    """
    path = folder / CLAIM
    try:
        place.read(CLAIM, str(path))
    except FileNotFoundError:
        others = [each for each in place.names() if not _is_ours(each)]
        if others:
            raise BackupError(
                f"{place.url} is not empty ({others[0]}), and holds no backups. Give an "
                "empty place, or one that does not exist."
            ) from None
        path.write_text(json.dumps({"format": FORMAT, "index": index}) + "\n", "utf-8")
        place.write(CLAIM, str(path))
        return
    found = _read_json(path)
    if found.get("format") != FORMAT:
        raise BackupError(f"{place.url} is in a format that this s3kit does not know.")
    if found.get("index") != index:
        raise BackupError(
            f"{place.url} holds the backups of another index ({found.get('index')}). "
            "Give each endpoint, and each one that was restored, a place of its own."
        )


def _is_ours(name: str) -> bool:
    return name == "lock" or name.startswith(_STAGING)


# -- what is being made


@contextmanager
def staging(place: Place, *, local: bool = False) -> Iterator[Path]:
    """A folder for what is being made: beside the backups, where there is room for them.

    :param local: never there, where perhaps nothing may be written.
    """
    beside = None if local else place.folder
    if beside is not None:
        for name in place.names():
            if name.startswith(_STAGING):
                # Left by a backup that was killed; the lock is ours.
                place.remove(name)
    folder = tempfile.mkdtemp(prefix=_STAGING if beside else "s3kit-backup-", dir=beside)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- snapshots


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished backup; ``manifest`` as it was written, or ``problem``: why it cannot be read."""

    name: str
    manifest: Mapping[str, Any]
    problem: str = ""


def snapshots_at(place: Place) -> list[Snapshot]:
    """The finished backups at a place, the oldest first, and those that are damaged."""
    found = []
    with tempfile.TemporaryDirectory(prefix="s3kit-") as folder:
        path = Path(folder) / MANIFEST
        for name in place.names(SNAPSHOTS):
            try:
                place.read(snapshot_file(name, MANIFEST), str(path))
                manifest = _read_json(path)
            except FileNotFoundError:
                # Not finished.
                continue
            except BackupError as error:
                found.append(Snapshot(name, {}, str(error)))
            else:
                found.append(Snapshot(name, manifest, _problem_of(manifest)))
    return found


_FIELDS: Mapping[str, type] = {
    "name": str,
    "index": str,
    "started": int,
    "finished": int,
    "counts": dict,
    "last_numbers": dict,
    "blobs": int,
    "bytes": int,
    "files": dict,
    "damaged": int,
    "damages": list,
}


def _problem_of(manifest: Mapping[str, Any]) -> str:
    if manifest.get("format") != FORMAT:
        return "It is in a format that this s3kit does not know."
    files = manifest.get("files", {})
    if all(isinstance(manifest.get(name), kind) for name, kind in _FIELDS.items()) and all(
        isinstance(sums := files.get(name), dict) and isinstance(sums.get("sha256"), str)
        for name in {INDEX, LIST, *files}
    ):
        return ""
    return f"{MANIFEST} is not what it should be: the backup is damaged."


def fetch(place: Place, snapshot: Snapshot, name: str, target: Path) -> None:
    """Fetch a file of a snapshot.

    :raises BackupError: it is not as the manifest says.
    """
    expected = snapshot.manifest["files"][name]["sha256"]
    try:
        place.read(snapshot_file(snapshot.name, name), str(target))
        found = sha256_of(target)
    except FileNotFoundError:
        found = "nothing"
    if found != expected:
        raise BackupError(
            f"{name} of {snapshot.name} is damaged: its SHA-256 is not {expected}, but {found}. "
            "Restore another snapshot."
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise BackupError(f"{path.name} is no JSON: the backup is damaged.") from None
    if not isinstance(found, dict):
        raise BackupError(f"{path.name} is not what it should be: the backup is damaged.")
    return found


# -- which blobs there are


def line_of(storage: str, blob: str, sha256: str) -> str:
    """The line of a blob in the list of a snapshot; ``storage`` is encoded."""
    return f"{sha256}  ../../{blob_path(storage, blob)}\n"


def read_lines(file: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(encoded storage, blob, SHA-256) of each line of a list of blobs."""
    for line in file:
        sha256, _, path = line.rstrip("\n").partition("  ")
        _, storage, _, blob = path.rsplit("/", 3)
        yield storage, blob, sha256


class Sums:
    """The SHA-256 of every blob in one folder of a backup, by id."""

    def __init__(self, place: Place, storage: str, shard: str, folder: Path) -> None:
        self._place = place
        self._name = f"sums/{storage}/{shard}.sha256"
        self._path = folder / "sums"
        self.changed = False
        self.known: dict[str, str] = {}
        with suppress(FileNotFoundError):
            place.read(self._name, str(self._path))
            for line in self._path.read_text("ascii", "replace").splitlines():
                sha256, _, blob = line.partition("  ")
                if len(sha256) == 64 and is_blob_id(blob):
                    self.known[blob] = sha256

    def add(self, blob: str, sha256: str) -> None:
        if self.known.get(blob) != sha256:
            self.known[blob] = sha256
            self.changed = True

    def drop(self, blob: str) -> None:
        if self.known.pop(blob, None) is not None:
            self.changed = True

    def save(self, *, lasting: bool = False) -> None:
        """Write it back, if it was changed."""
        if not self.changed:
            return
        if not self.known and not lasting:
            self._place.remove(self._name)
            return
        lines = [f"{sha256}  {blob}\n" for blob, sha256 in sorted(self.known.items())]
        self._path.write_text("".join(lines), "ascii")
        # What a power cut takes of additions is computed again from the blobs.
        self._place.write(self._name, str(self._path), lasting=lasting)
        self.changed = False
