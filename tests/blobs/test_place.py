"""A place for plain files and storages: folders, and file systems that fsspec knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3kit.blobs.base import new_blob_id
from s3kit.blobs.place import Place
from s3kit.blobs.place import open_place
from s3kit.blobs.registry import StorageError
from s3kit.testing.blob_contract import get


@pytest.fixture(params=["folder", "file", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """local:// is fsspec's own, so it stands for every remote one."""
    folder = f"{tmp_path}/a place"
    urls = {"folder": folder, "file": f"file://{tmp_path}/a%20place", "local": f"local://{folder}"}
    return open_place(urls[request.param])


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

    monkeypatch.setattr("shutil.copyfileobj", fail)
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", fail)
    Path(file).write_bytes(b"other")
    with pytest.raises(OSError, match="No space"):
        place.write("name", file)
    target = tmp_path / "target"
    place.read("name", str(target))
    assert target.read_bytes() == b"text" * 1000
    assert place.names() == ["name"]


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
