"""From configuration to storages."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import known_implementations

from s3kit.blobs.base import BlobStore
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.filesystem import FilesystemBlobStore
from s3kit.blobs.local import LocalBlobStore
from s3kit.blobs.memory import MemoryBlobStore
from s3kit.blobs.registry import StorageError
from s3kit.blobs.registry import open_store
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put


class Tape(MemoryBlobStore):
    """A third party's storage."""

    def __init__(self, name: str, *, drive: int) -> None:
        super().__init__(name)
        self.drive = drive

    __slots__ = ("drive",)


class NoStore:
    """A class that is no storage."""

    def __init__(self, name: str) -> None:
        pass


class TestThirdParty(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return open_store("tape", {"use": f"{__name__}:Tape", "options": {"drive": 2}})


def test_a_folder_can_be_written_in_three_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for spec in (f"{tmp_path}/my blobs", f"file://{tmp_path}/my%20blobs", "my blobs"):
        store = open_store("default", spec)
        assert isinstance(store, LocalBlobStore)
        assert store.path == f"{tmp_path}/my blobs"
        assert store.name == "default"


def test_a_folder_in_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store("default", "~/blobs")
    assert isinstance(store, LocalBlobStore)
    assert store.path == str(tmp_path / "blobs")


def test_memory_and_other_urls_get_their_stores() -> None:
    assert isinstance(open_store("m", "memory://"), MemoryBlobStore)
    store = open_store("cold", {"url": "s3://bucket/x", "options": {"key": "k", "secret": "s"}})
    assert isinstance(store, FilesystemBlobStore)
    assert store.name == "cold"
    assert store.capabilities.durable


@pytest.mark.parametrize(("durability", "durable"), [("full", True), ("relaxed", False)])
def test_durability_reaches_a_local_folder(tmp_path: Path, durability: Any, durable: bool) -> None:
    store = open_store("default", str(tmp_path), durability=durability)
    assert store.capabilities.durable is durable


def test_a_ready_store_is_taken_as_it_is() -> None:
    store = MemoryBlobStore()
    assert open_store("default", store) is store


def test_a_third_party_class_gets_the_name_and_its_options() -> None:
    store = open_store("tape", {"use": f"{__name__}:Tape", "options": {"drive": 2}})
    assert isinstance(store, Tape)
    assert (store.name, store.drive) == ("tape", 2)


def test_a_read_only_storage_is_read_and_never_written(tmp_path: Path) -> None:
    blob_id = put(open_store("default", str(tmp_path)), b"bytes")
    store = open_store("old", {"url": str(tmp_path), "read_only": True})
    assert isinstance(store, BlobStore)
    assert store.name == "old"
    assert store.capabilities.shared
    assert get(store, blob_id, 0, 5) == b"bytes"
    assert store.size(blob_id) == 5
    assert list(store.sweep()) == []
    with pytest.raises(PermissionError):
        store.create(new_blob_id(), None)
    with pytest.raises(PermissionError):
        store.delete(blob_id)
    store.close()
    assert os.path.exists(tmp_path / blob_id[:2] / blob_id)


def test_a_read_only_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    open_store("old", {"url": f"{tmp_path}/x", "read_only": True})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "empty"),
        ("file://srv/objects", "file:///srv/objects"),
        ("sb3://bucket", "sb3"),
        ("simplecache::s3://bucket", "chain"),
        ({}, "needs either a url or a use"),
        ({"url": "memory://", "use": "a:B"}, "one of them only"),
        ({"ulr": "memory://"}, "Did you mean 'url'"),
        ({"wibble": 1}, "Known are url, use"),
        ({"url": "memory://", "read_only": "no"}, "not true or false"),
        ({"url": "memory://", "options": "x"}, "no mapping"),
        ({"url": "memory://", "options": {"x": 1}}, "takes no options"),
        ({"use": "acme.tape"}, '"module:Class"'),
        ({"use": "acme.tape:Tape"}, "installed"),
        ({"use": f"{__name__}:Tap"}, "has no 'Tap'"),
        ({"use": f"{__name__}:Tape", "options": {"dirve": 1}}, "dirve"),
        ({"use": f"{__name__}:NoStore"}, "no BlobStore"),
        (7, "not int"),
    ],
)
def test_a_wrong_description_is_refused_with_what_would_mend_it(
    spec: str | Mapping[str, Any], words: str
) -> None:
    with pytest.raises(StorageError) as caught:
        open_store("cold", spec)
    assert words in str(caught.value)
    assert "'cold'" in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        known_implementations,
        "acme",
        {"class": "acme_fs.AcmeFileSystem", "err": "Install acme-fs to access Acme"},
    )
    with pytest.raises(StorageError, match="Install acme-fs"):
        open_store("cold", "acme://bucket")


@pytest.mark.parametrize(("url", "package"), [("sftp", "paramiko"), ("webdav", "webdav4")])
def test_the_extra_that_brings_a_missing_package_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fsspec.registry, the attribute, is a view of this dict and hides the module.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url, raising=False)
    for name in [
        each for each in sys.modules if each.startswith((package, f"fsspec.implementations.{url}"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StorageError) as caught:
        open_store("cold", f"{url}://host/folder")
    assert f"pip install 's3kit[{url}]'" in str(caught.value)
