"""Blobs in a local folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from s3kit.blobs import local
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.local import BLOCK
from s3kit.blobs.local import LocalBlobStore
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put


class TestLocal(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalBlobStore:
        return LocalBlobStore(tmp_path / "blobs")


class TestLocalRelaxed(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalBlobStore:
        return LocalBlobStore(tmp_path / "blobs", durability="relaxed")


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


def descriptors(folder: Path) -> list[str]:
    """What is open of the files in a folder."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # Other tests' threads open and close theirs meanwhile.
        with suppress(OSError):
            found.append(os.readlink(descriptor))
    return [path for path in found if path.startswith(str(folder))]


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open(tmp_path: Path) -> Iterator[None]:
    yield
    assert not descriptors(tmp_path)


def files(store: LocalBlobStore) -> list[Path]:
    return [path for path in Path(store.path).rglob("*") if not path.is_dir()]


def test_files_are_0600_and_folders_0700(tmp_path: Path) -> None:
    """A127."""
    before = os.umask(0)
    try:
        store = LocalBlobStore(tmp_path / "blobs")
        put(store, b"secret")
    finally:
        os.umask(before)
    for path in [Path(store.path), *Path(store.path).rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_the_folder_and_its_parents_are_made(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "a" / "b" / "c")
    assert get(store, put(store, b"x"), 0, 1) == b"x"


def test_a_second_process_finds_what_the_first_stored(tmp_path: Path) -> None:
    blob_id = put(LocalBlobStore(tmp_path), b"x")
    assert get(LocalBlobStore(tmp_path), blob_id, 0, 1) == b"x"


def test_a_read_only_store_makes_no_folders(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs", read_only=True)
    with pytest.raises(FileNotFoundError):
        store.open(new_blob_id(), 0, 1)
    assert list(store.sweep()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fulll"):
        LocalBlobStore(tmp_path, durability="fulll")  # type: ignore[arg-type]


def test_an_id_that_is_taken_is_never_overwritten(store: LocalBlobStore) -> None:
    blob_id = put(store, b"first")
    with pytest.raises(FileExistsError):
        store.create(blob_id, None)
    assert get(store, blob_id, 0, 5) == b"first"


def test_a_link_that_somebody_planted_is_not_followed(
    store: LocalBlobStore, tmp_path: Path
) -> None:
    """A065, A066: neither read nor written through."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    blob_id = new_blob_id()
    os.symlink(outside, f"{store.path}/{blob_id[:2]}/{blob_id}")
    with pytest.raises(OSError):
        store.open(blob_id, 0, 7)
    with pytest.raises(OSError):
        store.create(blob_id, None)
    assert list(store.sweep()) == []
    store.delete(blob_id)
    assert outside.read_bytes() == b"outside"


def test_a_shard_folder_that_was_removed_is_made_again(store: LocalBlobStore) -> None:
    for shard in Path(store.path).iterdir():
        shard.rmdir()
    assert get(store, put(store, b"x"), 0, 1) == b"x"


def test_a_removed_shard_folder_hides_no_other_blob(store: LocalBlobStore) -> None:
    blob_id = put(store, b"x")
    for shard in Path(store.path).iterdir():
        if shard.name != blob_id[:2]:
            shard.rmdir()
    assert [name for name, _ in store.sweep()] == [blob_id]


def test_a_reader_goes_on_while_its_blob_is_deleted(store: LocalBlobStore) -> None:
    data = os.urandom(3 * BLOCK)
    blob_id = put(store, data)
    reader = store.open(blob_id, 0, len(data))
    first = next(reader)
    store.delete(blob_id)
    assert first + b"".join(reader) == data


def test_a_file_that_lost_its_end_is_an_error_and_not_a_short_answer(
    store: LocalBlobStore,
) -> None:
    blob_id = put(store, bytes(2 * BLOCK))
    os.truncate(files(store)[0], BLOCK + 5)
    reader = store.open(blob_id, 0, 2 * BLOCK)
    assert len(next(reader)) == BLOCK
    assert len(next(reader)) == 5
    with pytest.raises(OSError):
        next(reader)


@pytest.mark.parametrize("how", ["unstarted", "started", "exhausted", "dropped"])
def test_a_reader_gives_its_descriptor_back(
    store: LocalBlobStore, tmp_path: Path, how: str
) -> None:
    blob_id = put(store, bytes(2 * BLOCK))
    reader = store.open(blob_id, 0, 2 * BLOCK)
    assert len(descriptors(tmp_path)) == 1
    if how == "started":
        next(reader)
    if how == "exhausted":
        for _ in reader:
            pass
    elif how == "dropped":
        del reader
    else:
        reader.close()
    assert descriptors(tmp_path) == []


def test_a_writer_that_is_dropped_leaves_nothing(store: LocalBlobStore) -> None:
    writer = store.create(new_blob_id(), None)
    writer.write(b"half")
    del writer
    assert files(store) == []


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_blob_that_was_removed_while_it_was_written_is_not_committed(
    tmp_path: Path, durability: Any
) -> None:
    """fsync of a file without a name succeeds."""
    store = LocalBlobStore(tmp_path, durability=durability)
    blob_id = new_blob_id()
    writer = store.create(blob_id, None)
    writer.write(b"bytes")
    store.delete(blob_id)
    with pytest.raises(FileNotFoundError, match="removed while it was written"):
        writer.commit()


def test_the_sweep_finds_what_a_crash_left_and_nothing_foreign(store: LocalBlobStore) -> None:
    left = new_blob_id()
    for name in (f"{left[:2]}/{left}", "00/README", "lost+found", f"00/{left}.part"):
        Path(store.path, name).write_bytes(b"half")
    os.utime(f"{store.path}/{left[:2]}/{left}", (1000.5, 1000.5))
    Path(store.path, "00", new_blob_id()).mkdir()
    assert list(store.sweep()) == [(left, 1000.5)]


def test_short_writes_are_continued(store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    data = os.urandom(4500)
    blob_id = put(store, data, memoryview(data))
    monkeypatch.undo()
    assert get(store, blob_id, 0, 9000) == data + data


def _fails_at(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one step of writing a blob fail, as a full or a dying disk does."""
    calls: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("fsync", "close")}
    write = os.write
    state = {"fsync": 0, "closed": False}

    def no_space(descriptor: int, data: bytes) -> int:
        if len(data) > 10:
            return write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_sync(descriptor: int) -> None:
        state["fsync"] += 1
        if (step == "fsync") == (state["fsync"] == 1):
            raise OSError(errno.EIO, "Input/output error")
        calls["fsync"](descriptor)

    def no_close(descriptor: int) -> None:
        calls["close"](descriptor)
        if not state["closed"]:
            state["closed"] = True
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    if step == "write":
        monkeypatch.setattr(os, "write", no_space)
    elif step == "close":
        monkeypatch.setattr(os, "close", no_close)
    else:
        monkeypatch.setattr(os, "fsync", no_sync)


@pytest.mark.parametrize("step", ["write", "fsync", "close", "folder fsync"])
def test_a_disk_that_fails_is_an_exception_and_leaves_nothing(
    store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    blob_id = new_blob_id()
    writer = store.create(blob_id, 15)
    _fails_at(step, monkeypatch)
    # As the store does it: any exception ends in discard().
    with pytest.raises(OSError) as caught:
        try:
            writer.write(b"fifteen bytes..")
            writer.commit()
        except BaseException:
            writer.discard()
            raise
    monkeypatch.undo()
    assert caught.value.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT)
    assert files(store) == []
    with pytest.raises(FileNotFoundError):
        store.open(blob_id, 0, 1)


def test_commit_alone_removes_what_it_could_not_make_safe(
    store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.create(new_blob_id(), None)
    writer.write(b"bytes")
    _fails_at("fsync", monkeypatch)
    with pytest.raises(OSError):
        writer.commit()
    monkeypatch.undo()
    assert files(store) == []


def test_a_real_limit_on_the_size_of_files_is_an_exception_too(tmp_path: Path) -> None:
    script = """
import resource, sys
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.local import LocalBlobStore
store = LocalBlobStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
writer = store.create(new_blob_id(), None)
try:
    for _ in range(3):
        writer.write(bytes(50_001))
except OSError as error:
    writer.discard()
    print(type(error).__name__, list(store.sweep()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "OSError []\n"


@pytest.mark.parametrize(
    ("durability", "syncs"), [("full", ["file", "folder"]), ("relaxed", ["file"])]
)
def test_full_syncs_the_file_and_then_its_folder_and_relaxed_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Any, syncs: list[str]
) -> None:
    store = LocalBlobStore(tmp_path, durability=durability)
    seen: list[str] = []

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append("folder" if path.is_dir() else "file")
        assert path.name == (blob_id[:2] if path.is_dir() else blob_id)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(local, "_sync_data", fsync)
    blob_id = new_blob_id()
    writer = store.create(blob_id, None)
    writer.write(b"bytes")
    writer.commit()
    assert seen == syncs
    assert store.capabilities.durable is (durability == "full")


def test_new_folders_are_synced_before_a_blob_stands_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}"))),
    )
    LocalBlobStore(tmp_path / "a" / "b")
    assert set(seen) == {tmp_path / "a" / "b", tmp_path / "a", tmp_path}
    seen.clear()
    # Another process may have made them and not have synced them yet.
    LocalBlobStore(tmp_path / "a" / "b")
    assert set(seen) == {tmp_path / "a" / "b", tmp_path / "a"}
