"""A place for plain files and storages: folders, and file systems that fsspec knows."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3kit.blobs.base import new_blob_id
from s3kit.blobs.connection import connect
from s3kit.blobs.place import Place
from s3kit.blobs.place import RemotePlace
from s3kit.blobs.place import open_place
from s3kit.blobs.registry import StorageError
from s3kit.testing.blob_contract import get
from tests.file_servers import DavServer
from tests.file_servers import SshServer
from tests.file_servers import dav_server
from tests.file_servers import ssh_server

KINDS = ("folder", "file", "local", "fsspec", "sftp", "webdav")

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture(scope="module")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with dav_server(tmp_path_factory.mktemp("dav")) as running:
        yield running


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new place of each kind; "fsspec" is its own way to a folder, which renames."""
    folder = f"{tmp_path}/a place"
    urls = {"folder": folder, "file": f"file://{tmp_path}/a%20place", "local": f"local://{folder}"}
    if request.param in urls:
        place = open_place(urls[request.param])
    elif request.param == "fsspec":
        place = RemotePlace(f"local://{folder}", {})
    else:
        server = request.getfixturevalue(request.param)
        place = open_place(f"{server.url}/a place {next(_NUMBERS)}", server.options)
    yield place
    place.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "source"
    path.write_bytes(b"text" * 1000)
    return str(path)


def test_a_file_is_read_as_it_was_written_and_can_be_replaced(
    place: Place, file: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    with pytest.raises(FileNotFoundError):
        place.read("one/two/name", str(target))
    place.write("one/two/name", file)
    place.read("one/two/name", str(target))
    assert target.read_bytes() == b"text" * 1000
    Path(file).write_bytes(b"other")
    place.write("one/two/name", file, lasting=False)
    place.read("one/two/name", str(target))
    assert target.read_bytes() == b"other"
    assert place.names("one/two") == ["name"]


def test_names_are_those_directly_below(place: Place, file: str) -> None:
    assert place.names() == place.names("one") == []
    for name in ("one/b", "one/a", "one/c/d", "two"):
        place.write(name, file)
    assert place.names() == ["one", "two"]
    assert place.names("one") == ["a", "b", "c"]


def test_a_file_or_a_folder_is_removed_and_what_is_not_there_is_fine(
    place: Place, file: str
) -> None:
    for name in ("one/a", "one/b/c", "two"):
        place.write(name, file)
    place.remove("two")
    place.remove("two")
    assert place.names() == ["one"]
    place.remove("one")
    place.remove("one")
    assert place.names() == []


def test_a_storage_lies_below_a_name(place: Place) -> None:
    blob = new_blob_id()
    store = place.blobs("blobs/default")
    writer = store.create(blob)
    writer.write(b"bytes")
    writer.commit()
    store.close()
    place.settle("blobs/default")
    again = place.blobs("blobs/default")
    assert get(again, blob, 0, 5) == b"bytes"
    again.close()


def test_what_is_written_is_whole_or_not_there(
    place: Place, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("name", file)

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    Path(file).write_bytes(b"other")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", fail)
        patch.setattr("fsspec.implementations.local.LocalFileOpener.write", fail)
        patch.setattr("s3kit.blobs.connection._SshFile.write", fail)
        patch.setattr("webdav4.client.Client.upload_fileobj", fail)
        with pytest.raises(OSError, match="No space"):
            place.write("name", file)
    target = tmp_path / "target"
    place.read("name", str(target))
    assert target.read_bytes() == b"text" * 1000
    assert place.names() == ["name"]


def test_a_long_file_goes_there_and_back(place: Place, tmp_path: Path) -> None:
    source, target = tmp_path / "long", tmp_path / "target"
    source.write_bytes(os.urandom(9_000_001))
    place.write("long", str(source))
    place.read("long", str(target))
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(b"")
    place.write("long", str(source))
    place.read("long", str(target))
    assert target.read_bytes() == b""


def test_only_its_owner_can_read_what_lies_there(
    sftp: SshServer, file: str, tmp_path: Path
) -> None:
    """Keys may be among it. sshd gives what it is not told a mode for to everybody."""
    for url, options, root in (
        (f"{sftp.url}/private", sftp.options, sftp.root / "private"),
        (f"local://{tmp_path}/private", None, tmp_path / "private"),
    ):
        place = open_place(url, options)
        place.write("snapshots/one/master.key", file)
        store = place.blobs("blobs/default")
        store.close()
        place.close()
        found = {path.relative_to(root).as_posix(): path for path in (root, *root.rglob("*"))}
        assert {"snapshots/one/master.key", "blobs/default"} <= found.keys()
        modes = {name: f"{path.stat().st_mode & 0o777:o}" for name, path in found.items()}
        assert modes.pop("snapshots/one/master.key") == "600"
        assert set(modes.values()) == {"700"}


def test_a_file_is_its_owners_before_there_is_a_byte_in_it(sftp: SshServer) -> None:
    connection = connect(f"{sftp.url}/early", "sftp", sftp.options)
    file = connection.begin_private(f"{connection.root}/name")
    found = (sftp.root / "early" / "name").stat()
    assert (found.st_size, found.st_mode & 0o777) == (0, 0o600)
    file.close()
    connection.close()


def test_a_server_that_is_not_known_is_not_trusted_with_a_backup(sftp: SshServer) -> None:
    options = {**sftp.options, "known_hosts": os.devnull}
    place = open_place(sftp.url, options)
    with pytest.raises(OSError, match="is not known with its"):
        place.names()


def test_a_place_outlives_a_lost_connection(sftp: SshServer, file: str, tmp_path: Path) -> None:
    place = open_place(f"{sftp.url}/lost", sftp.options)
    place.write("name", file)
    sftp.drop_connections()
    place.write("name", file)
    sftp.drop_connections()
    assert place.names() == ["name"]
    sftp.drop_connections()
    place.read("name", str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"text" * 1000
    place.close()


def test_one_at_a_time_holds_a_folder(tmp_path: Path) -> None:
    place = open_place(str(tmp_path / "new" / "folder"))
    with place.alone():
        with pytest.raises(BlockingIOError):
            with open_place(str(tmp_path / "new" / "folder")).alone():
                pass
    with place.alone():
        pass
    assert os.stat(tmp_path / "new").st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is empty"),
        ("memory://x", "gone with this process"),
        ("local://", "is empty"),
        ("file://host/x", "is no folder"),
        ("nosuch://x", "nosuch"),
        ("zip::s3://a/b", "not a chain"),
    ],
)
def test_what_can_be_no_place_is_refused(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        open_place(url)


def test_a_folder_takes_no_options(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="takes no options"):
        open_place(str(tmp_path), {"key": "value"})
