"""Blobs over SFTP, on an OpenSSH server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3kit.blobs import filesystem
from s3kit.blobs.base import BLOCK
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.filesystem import FilesystemBlobStore
from s3kit.blobs.registry import open_store
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put
from tests.file_servers import SshServer
from tests.file_servers import ssh_server

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture
def folder(server: SshServer) -> Path:
    """Where the blobs of one test lie; not made yet."""
    return server.root / f"store {next(_NUMBERS)}"


@pytest.fixture
def store(server: SshServer, folder: Path) -> Iterator[FilesystemBlobStore]:
    spec = {"url": f"{server.url}/{folder.name}", "options": server.options}
    store = open_store("far", spec)
    assert isinstance(store, FilesystemBlobStore)
    yield store
    store.close()


class TestSftp(BlobStoreContract):
    @pytest.fixture
    def store(self, store: FilesystemBlobStore) -> FilesystemBlobStore:
        return store


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_long_blob_goes_there_and_back(store: FilesystemBlobStore, folder: Path) -> None:
    data = os.urandom(20_000_000)
    blob_id = put(store, *(data[start : start + 2**20] for start in range(0, len(data), 2**20)))
    assert (folder / blob_id[:2] / blob_id).read_bytes() == data
    assert get(store, blob_id, 0, len(data)) == data
    edge = filesystem.WINDOW
    assert get(store, blob_id, edge - 5, edge + 5) == data[edge - 5 : edge + 5]


def test_an_unfinished_blob_is_never_seen_and_leaves_nothing(
    store: FilesystemBlobStore, folder: Path
) -> None:
    blob_id = new_blob_id()
    writer = store.create(blob_id, None)
    writer.write(bytes(3 * BLOCK))
    assert files(folder) == [f"{blob_id}.part"]
    with pytest.raises(FileNotFoundError):
        store.open(blob_id, 0, 1)
    writer.discard()
    assert files(folder) == []


def test_a_full_disk_is_noticed_though_no_write_waits_for_its_answer(
    store: FilesystemBlobStore, folder: Path
) -> None:
    blob_id = new_blob_id()
    (folder / blob_id[:2]).mkdir(parents=True)
    (folder / blob_id[:2] / f"{blob_id}.part").symlink_to("/dev/full")
    writer = store.create(blob_id, None)
    with pytest.raises(OSError, match="Failure"):
        writer.write(bytes(100_000))
        writer.commit()
    writer.discard()
    assert list(store.sweep()) == []
    assert get(store, put(store, b"more"), 0, 4) == b"more"


def test_a_reader_outlives_a_lost_connection(
    store: FilesystemBlobStore, server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "WINDOW", BLOCK)
    data = os.urandom(4 * BLOCK)
    blob_id = put(store, data)
    reader = store.open(blob_id, 0, len(data))
    first = next(reader)
    server.drop_connections()
    assert first + b"".join(reader) == data


def test_a_blob_whose_connection_is_lost_is_an_error_and_leaves_nothing(
    store: FilesystemBlobStore, server: SshServer, folder: Path
) -> None:
    writer = store.create(new_blob_id(), None)
    writer.write(bytes(BLOCK))
    server.drop_connections()
    with pytest.raises(OSError):
        writer.write(bytes(8 * BLOCK))
        writer.commit()
    writer.discard()
    assert files(folder) == []
    assert get(store, put(store, b"more"), 0, 4) == b"more"


def test_whatever_paramiko_says_a_lost_connection_with_is_an_error_of_the_storage(
    store: FilesystemBlobStore, folder: Path
) -> None:
    writer = store.create(new_blob_id(), None)
    writer._connection._system.client.close()
    with pytest.raises(OSError):
        writer.write(bytes(BLOCK))
    with pytest.raises(OSError):
        writer.commit()
    writer.discard()
    assert files(folder) == []


def test_a_server_that_nobody_knows_gets_nothing(
    server: SshServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody could answer in its place, and have the bytes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    strange = tmp_path / "strange"
    known = Path(server.options["known_hosts"]).read_text().split()
    strange.write_text(f"{known[0]} {known[1]} {known[2][:-6]}AAAAAA\n")
    for hosts in (None, str(strange), str(tmp_path / "none")):
        options = {**server.options, "known_hosts": hosts}
        store = FilesystemBlobStore(f"{server.url}/{folder.name}", options=options)
        with pytest.raises(OSError, match="is not known with its ssh-ed25519 key SHA256"):
            put(store, b"secret")
    assert not folder.exists()


def test_a_server_in_the_users_own_file_is_known(
    server: SshServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    known = Path(server.options["known_hosts"]).read_text()
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    options = {name: value for name, value in server.options.items() if name != "known_hosts"}
    store = FilesystemBlobStore(f"{server.url}/{folder.name}", options=options)
    assert get(store, put(store, b"bytes"), 0, 5) == b"bytes"
    store.close()


def test_whoever_wants_to_can_trust_every_server(server: SshServer, folder: Path) -> None:
    options = {**server.options, "host_key_policy": "auto_add"}
    del options["known_hosts"]
    store = FilesystemBlobStore(f"{server.url}/{folder.name}", options=options)
    assert get(store, put(store, b"bytes"), 0, 5) == b"bytes"
    store.close()


def test_closing_hangs_up(store: FilesystemBlobStore) -> None:
    put(store, b"bytes")
    (connection,) = store._idle
    transport = connection._system.client.get_transport()
    assert transport.is_active()
    store.close()
    assert not transport.is_active()
