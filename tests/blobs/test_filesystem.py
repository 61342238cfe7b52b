"""Blobs on fsspec file systems: its memory, its local one, and S3 servers that are really there."""

from __future__ import annotations

import contextlib
import datetime
import gc
import io
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFile
from fsspec.implementations.memory import MemoryFileSystem

from s3kit.blobs import filesystem
from s3kit.blobs.base import BLOCK
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.filesystem import FilesystemBlobStore
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put

_NUMBERS = itertools.count()
# fsspec.registry, the attribute, is a view of this dict and hides the module.
_IMPLEMENTATIONS = sys.modules["fsspec.registry"]._registry


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> int:
    """Windows so small that a blob of two blocks needs several; S3's parts stay at 5 MiB."""
    monkeypatch.setattr(filesystem, "WINDOW", BLOCK // 2 + 1)
    return filesystem.WINDOW


class TestMemoryFilesystem(BlobStoreContract):
    @pytest.fixture
    def store(self, small_window: int) -> FilesystemBlobStore:
        return FilesystemBlobStore(f"memory://blobs{next(_NUMBERS)}")


class TestLocalFilesystem(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path, small_window: int) -> FilesystemBlobStore:
        return FilesystemBlobStore(f"file://{tmp_path}/blobs", options={"auto_mkdir": False})


def make_s3_store(options: dict[str, str]) -> FilesystemBlobStore:
    pytest.importorskip("s3fs", reason="s3:// needs s3fs")
    bucket = f"blobs-{os.getpid()}-{next(_NUMBERS)}"
    fsspec.filesystem("s3", **options).mkdir(bucket)
    return FilesystemBlobStore(f"s3://{bucket}/a/folder", options=options)


class TestSecondS3kit(BlobStoreContract):
    @pytest.fixture
    def store(self, second_s3kit: dict[str, str]) -> FilesystemBlobStore:
        return make_s3_store(second_s3kit)


@pytest.mark.optional
class TestMoto(BlobStoreContract):
    @pytest.fixture
    def store(self, moto: dict[str, str]) -> FilesystemBlobStore:
        return make_s3_store(moto)


@pytest.fixture(
    params=["second_s3kit", pytest.param("moto", marks=pytest.mark.optional)],
)
def s3_store(request: pytest.FixtureRequest) -> FilesystemBlobStore:
    return make_s3_store(request.getfixturevalue(request.param))


def uploads(store: FilesystemBlobStore) -> list[Any]:
    """The multipart uploads that lie unfinished in an S3 store's bucket."""
    connection = store._take()
    found: list[Any] = connection._system.list_multipart_uploads(connection._root.split("/")[0])
    return found


# Object stores


def test_a_long_blob_on_s3_is_streamed_and_seen_only_when_it_is_committed(
    s3_store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    system = s3_store._take()._system
    call = system.call_s3

    def counted(method: str, *arguments: Any, **named: Any) -> Any:
        calls.append(method)
        return call(method, *arguments, **named)

    monkeypatch.setattr(system, "call_s3", counted)
    block = os.urandom(1024 * 1024)
    blob_id = new_blob_id()
    writer = s3_store.create(blob_id, None)
    for _ in range(17):
        writer.write(block)
    assert len(uploads(s3_store)) == 1
    with pytest.raises(FileNotFoundError):
        s3_store.open(blob_id, 0, 1)
    assert "complete_multipart_upload" not in calls
    writer.commit()
    assert calls.count("complete_multipart_upload") == 1
    assert s3_store.size(blob_id) == 17 * len(block)
    assert get(s3_store, blob_id, 0, 17 * len(block)) == block * 17
    edge = filesystem.WINDOW
    assert get(s3_store, blob_id, edge - 3, edge + 3) == block[-3:] + block[:3]
    assert uploads(s3_store) == []


@pytest.mark.parametrize("how", ["discard", "drop"])
def test_a_long_blob_that_is_broken_off_leaves_no_object_and_no_upload(
    s3_store: FilesystemBlobStore, how: str
) -> None:
    blob_id = new_blob_id()
    writer = s3_store.create(blob_id, None)
    for _ in range(17):
        writer.write(bytes(1024 * 1024))
    assert len(uploads(s3_store)) == 1
    if how == "discard":
        writer.discard()
    del writer
    gc.collect()
    assert uploads(s3_store) == []
    with pytest.raises(FileNotFoundError):
        s3_store.open(blob_id, 0, 1)
    assert list(s3_store.sweep()) == []


def test_an_unfinished_upload_does_not_keep_the_interpreter_from_ending(
    second_s3kit: dict[str, str],
) -> None:
    """fsspec's loop is gone by then, and a discard that waits for it would wait for ever."""
    script = """
import sys
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.filesystem import FilesystemBlobStore
options = dict(zip(("endpoint_url", "key", "secret"), sys.argv[2:]))
writer = FilesystemBlobStore(sys.argv[1], options=options).create(new_blob_id(), None)
for _ in range(9):
    writer.write(bytes(1024 * 1024))
print(len(writer._held))
# Alive until the very end, as in the traceback of an exception that nobody caught.
sys.modules["kept"] = writer
"""
    store = make_s3_store(second_s3kit)
    done = subprocess.run(
        [sys.executable, "-c", script, store._url, *second_s3kit.values()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "0\n"


def test_a_small_blob_on_s3_is_one_put(
    s3_store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    system = s3_store._take()._system
    call = system._call_s3

    async def counted(method: str, *arguments: Any, **named: Any) -> Any:
        calls.append(method)
        return await call(method, *arguments, **named)

    monkeypatch.setattr(system, "_call_s3", counted)
    blob_id = put(s3_store, bytes(100_000), bytes(100_000))
    assert calls == ["put_object"]
    calls.clear()
    get(s3_store, blob_id, 10, 200_000)
    assert calls == ["get_object"]


def test_a_long_upload_that_fails_at_its_end_leaves_nothing(
    s3_store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = s3_store._take()._system
    call = system.call_s3

    def failing(method: str, *arguments: Any, **named: Any) -> Any:
        if method == "complete_multipart_upload":
            raise OSError("The network is gone.")
        return call(method, *arguments, **named)

    blob_id = new_blob_id()
    writer = s3_store.create(blob_id, None)
    for _ in range(9):
        writer.write(bytes(1024 * 1024))
    with monkeypatch.context() as patched:
        patched.setattr(system, "call_s3", failing)
        with pytest.raises(OSError, match="network"):
            writer.commit()
    assert uploads(s3_store) == []
    assert list(s3_store.sweep()) == []


def test_the_parts_of_a_very_long_blob_stay_below_ten_thousand(
    s3_store: FilesystemBlobStore,
) -> None:
    for size in (None, 0, 1, 80 * 2**30, 1000 * 2**30, 5 * 2**40):
        writer = s3_store.create(new_blob_id(), size)
        assert writer._block_size >= filesystem.WINDOW
        assert (size or 0) / writer._block_size < 10_000
        writer.discard()


def test_fsspec_remembers_no_finished_upload(s3_store: FilesystemBlobStore) -> None:
    writer = s3_store.create(new_blob_id(), None)
    writer.write(bytes(9 * 1024 * 1024))
    assert list(s3_store._take()._system.transaction.files) == []
    writer.discard()


class Staging(MemoryFileSystem):  # type: ignore[misc]
    """Like Azure's: a blob appears at close, and there is no way to discard but not to close."""

    protocol = "az"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        assert mode == "wb"
        return _Staged(self, self._strip_protocol(path), mode, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **named: Any) -> None:
        self.store[self._strip_protocol(path)] = MemoryFile(self, path, value)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("az://").strip("/")


class _Staged(fsspec.spec.AbstractBufferedFile):  # type: ignore[misc]
    def _initiate_upload(self) -> None:
        self.staged = b""

    def _upload_chunk(self, final: bool = False) -> None:
        self.staged += self.buffer.getvalue()
        if final:
            self.fs.pipe_file(self.path, self.staged)


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch, small_window: int) -> FilesystemBlobStore:
    monkeypatch.setitem(_IMPLEMENTATIONS, "az", Staging)
    Staging.store.clear()
    return FilesystemBlobStore("az://container")


def test_on_azure_a_broken_off_blob_is_never_closed_into_being(
    staging: FilesystemBlobStore,
) -> None:
    blob_id = put(staging, bytes(5 * BLOCK), bytes(BLOCK))
    assert get(staging, blob_id, 0, 6 * BLOCK) == bytes(6 * BLOCK)
    writer = staging.create(new_blob_id(), None)
    writer.write(bytes(5 * BLOCK))
    file = writer._file
    assert file is not None
    writer.discard()
    file.close()
    del file, writer
    gc.collect()
    assert [name for name, _ in staging.sweep()] == [blob_id]


# Plain file systems


@pytest.fixture
def local(tmp_path: Path) -> FilesystemBlobStore:
    return FilesystemBlobStore(f"file://{tmp_path}/blobs")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_an_unfinished_blob_has_another_name_beside_its_own(
    local: FilesystemBlobStore, tmp_path: Path
) -> None:
    blob_id = new_blob_id()
    writer = local.create(blob_id, None)
    writer.write(b"half")
    assert names(tmp_path) == [f"{blob_id}.part"]
    with pytest.raises(FileNotFoundError):
        local.open(blob_id, 0, 1)
    writer.commit()
    assert names(tmp_path) == [blob_id]


def test_what_a_crash_left_is_swept_and_deleted(local: FilesystemBlobStore, tmp_path: Path) -> None:
    blob_id = new_blob_id()
    folder = tmp_path / "blobs" / blob_id[:2]
    folder.mkdir(parents=True)
    (folder / f"{blob_id}.part").write_bytes(b"half")
    (folder / "README").write_bytes(b"not ours")
    os.utime(folder / f"{blob_id}.part", (1000, 1000))
    assert list(local.sweep()) == [(blob_id, 1000.0)]
    local.delete(blob_id)
    assert names(tmp_path) == ["README"]


def test_a_writer_that_is_dropped_leaves_nothing(
    local: FilesystemBlobStore, tmp_path: Path
) -> None:
    writer = local.create(new_blob_id(), None)
    writer.write(b"half")
    del writer
    gc.collect()
    assert names(tmp_path) == []


def test_a_folder_that_was_removed_is_made_again(
    local: FilesystemBlobStore, tmp_path: Path
) -> None:
    blob_id = put(local, b"x")
    local.delete(blob_id)
    (tmp_path / "blobs" / blob_id[:2]).rmdir()
    writer = local.create(blob_id, None)
    writer.commit()
    assert local.size(blob_id) == 0


def test_a_file_that_lost_its_end_is_an_error_and_not_a_short_answer(
    local: FilesystemBlobStore, tmp_path: Path
) -> None:
    blob_id = put(local, bytes(100))
    os.truncate(tmp_path / "blobs" / blob_id[:2] / blob_id, 99)
    with pytest.raises(OSError):
        get(local, blob_id, 0, 100)


class Remote(LocalFileSystem):  # type: ignore[misc]
    """Like an SSH connection: one call at a time, dead after a fork or a lost line, lossy."""

    protocol = "remote"
    instances: ClassVar[list[Remote]] = []
    lose_bytes = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.busy = threading.Lock()
        self.lost = False
        self.instances.append(self)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("remote://")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        assert self.busy.acquire(blocking=False), "two calls at a time"
        try:
            if self.lost:
                raise OSError("Socket is closed")
            # Time for another thread to come in.
            time.sleep(0.002)
            yield
        finally:
            self.busy.release()

    def cat_file(self, path: str, start: Any = None, end: Any = None, **named: Any) -> Any:
        with self._alone():
            return super().cat_file(path, start=start, end=end)

    def open(self, path: str, mode: str = "rb", **named: Any) -> Any:
        if mode == "rb":
            return super().open(path, mode, **named)
        with self._alone():
            return _Lossy(path) if self.lose_bytes else super().open(path, mode, **named)


class _Lossy(io.FileIO):
    """As pipelined SFTP may: the answer that the disk is full is never read."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "wb")

    def write(self, data: Any) -> int:
        super().write(bytes(data)[:-1])
        return len(data)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FilesystemBlobStore]:
    monkeypatch.setitem(_IMPLEMENTATIONS, "remote", Remote)
    Remote.instances.clear()
    yield FilesystemBlobStore(f"remote://{tmp_path}/blobs")
    Remote.instances.clear()


def test_a_connection_that_is_not_built_for_threads_serves_one_call_at_a_time(
    remote: FilesystemBlobStore,
) -> None:
    assert Remote.instances == []
    blob_id = put(remote, b"bytes")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                assert get(remote, blob_id, 0, 5) == b"bytes"
                put(remote, b"more")
        except BaseException as error:
            failures.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    # Those of threads that ended serve the next ones.
    assert 1 < len(Remote.instances) <= 4


def test_a_slow_reader_or_writer_keeps_others_from_nothing(remote: FilesystemBlobStore) -> None:
    blob_id = put(remote, b"bytes")
    readers = [remote.open(blob_id, 0, 5) for _ in range(8)]
    assert len(Remote.instances) == 1
    writers = [remote.create(new_blob_id(), None) for _ in range(filesystem.MOST_IDLE + 4)]
    assert len(Remote.instances) == len(writers)
    assert [b"".join(reader) for reader in readers] == [b"bytes"] * 8
    for writer in writers:
        writer.commit()
    assert len(remote._idle) == filesystem.MOST_IDLE


def test_a_broken_off_blob_does_not_cost_its_connection(remote: FilesystemBlobStore) -> None:
    for _ in range(3):
        writer = remote.create(new_blob_id(), None)
        writer.write(b"half")
        writer.discard()
    assert len(Remote.instances) == 1


def test_the_sweep_passes_over_what_lies_in_a_folder_of_the_same_place(
    local: FilesystemBlobStore, tmp_path: Path
) -> None:
    """Another storage, whose blobs are not ours to judge, under any name, a shard's too."""
    kept = put(local, b"ours")
    for name in ("tenant", kept[:2], "ff"):
        put(FilesystemBlobStore(f"file://{tmp_path}/blobs/{name}"), b"another's")
    assert [blob_id for blob_id, _ in local.sweep()] == [kept]


def test_a_lost_connection_is_made_anew(remote: FilesystemBlobStore) -> None:
    blob_id = put(remote, b"bytes")
    Remote.instances[-1].lost = True
    assert get(remote, blob_id, 0, 5) == b"bytes"
    assert len(Remote.instances) == 2
    Remote.instances[-1].lost = True
    assert get(remote, put(remote, b"more"), 0, 4) == b"more"
    assert len(Remote.instances) == 3
    # A blob that is not there is no lost connection.
    with pytest.raises(FileNotFoundError):
        remote.open(new_blob_id(), 0, 1)
    assert len(Remote.instances) == 3


def test_bytes_that_were_lost_on_the_way_are_noticed_before_the_blob_gets_its_name(
    remote: FilesystemBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remote, "lose_bytes", True)
    writer = remote.create(new_blob_id(), None)
    writer.write(b"bytes")
    with pytest.raises(OSError, match="4 bytes of 5"):
        writer.commit()
    assert names(tmp_path) == []


# All of them


def test_nothing_is_connected_before_the_first_use(tmp_path: Path) -> None:
    FilesystemBlobStore(f"file://{tmp_path}/blobs")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_connects_again(local: FilesystemBlobStore) -> None:
    blob_id = put(local, b"bytes")
    local.close()
    assert get(local, blob_id, 0, 5) == b"bytes"


def test_a_chain_and_an_unknown_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match="chain"):
        FilesystemBlobStore("simplecache::s3://bucket")
    with pytest.raises(ValueError, match="sb3"):
        FilesystemBlobStore("sb3://bucket")


def test_capabilities_tell_what_can_be_counted_on(tmp_path: Path) -> None:
    assert not FilesystemBlobStore("memory://x").capabilities.shared
    local = FilesystemBlobStore(f"file://{tmp_path}").capabilities
    assert local.shared
    # fsspec's own local file system never calls fsync.
    assert not local.durable


@pytest.mark.parametrize(
    ("entry", "seconds"),
    [
        ({"LastModified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}, 1767225600.0),
        ({"last_modified": datetime.datetime(2026, 1, 1)}, 1767225600.0),
        ({"mtime": 12.5}, 12.5),
        ({"mtime": 12}, 12.0),
        ({"updated": "2026-01-01T00:00:00.000Z"}, 1767225600.0),
        ({"created": 5, "mtime": 7}, 7.0),
    ],
)
def test_every_file_systems_way_to_tell_the_time_is_read(
    entry: dict[str, Any], seconds: float
) -> None:
    assert filesystem._modified(entry) == seconds


def test_a_blob_of_unknown_age_counts_as_new() -> None:
    assert time.time() - filesystem._modified({"mtime": None, "updated": "soon"}) < 60
