"""Blobs over WebDAV, on a WsgiDAV server."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest

from s3kit.blobs import filesystem
from s3kit.blobs.base import new_blob_id
from s3kit.blobs.connection import connect
from s3kit.blobs.filesystem import FilesystemBlobStore
from s3kit.blobs.registry import open_store
from s3kit.testing.blob_contract import BlobStoreContract
from s3kit.testing.blob_contract import get
from s3kit.testing.blob_contract import put
from tests.file_servers import DavServer
from tests.file_servers import dav_server

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with dav_server(tmp_path_factory.mktemp("dav")) as running:
        yield running


@pytest.fixture
def folder(server: DavServer) -> Path:
    """Where the blobs of one test lie; not made yet."""
    return server.root / "blobs" / f"store {next(_NUMBERS)}"


@pytest.fixture
def store(server: DavServer, folder: Path) -> Iterator[FilesystemBlobStore]:
    spec = {"url": f"{server.url}/{folder.name}", "options": server.options}
    store = open_store("far", spec)
    assert isinstance(store, FilesystemBlobStore)
    yield store
    store.close()


class TestWebdav(BlobStoreContract):
    @pytest.fixture
    def store(self, store: FilesystemBlobStore) -> FilesystemBlobStore:
        return store


@pytest.fixture
def requests(store: FilesystemBlobStore) -> list[Any]:
    """The requests that reach the server from now on."""
    put(store, b"the connection is made")
    seen: list[Any] = []
    store._take()._system.client.http.event_hooks = {"request": [seen.append]}
    return seen


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_long_blob_goes_there_and_back(store: FilesystemBlobStore, folder: Path) -> None:
    data = os.urandom(20_000_000)
    blob_id = put(store, *(data[start : start + 2**20] for start in range(0, len(data), 2**20)))
    assert (folder / blob_id[:2] / blob_id).read_bytes() == data
    assert get(store, blob_id, 0, len(data)) == data
    edge = filesystem.WINDOW
    assert get(store, blob_id, edge - 5, edge + 5) == data[edge - 5 : edge + 5]


def test_a_window_is_one_request_for_its_bytes_alone(
    store: FilesystemBlobStore, requests: list[Any]
) -> None:
    blob_id = put(store, bytes(1_000_000))
    requests.clear()
    assert len(get(store, blob_id, 10, 20)) == 10
    assert [(each.method, each.headers["range"]) for each in requests] == [("GET", "bytes=10-19")]


def test_a_blob_is_moved_to_its_name_and_not_copied(
    store: FilesystemBlobStore, requests: list[Any]
) -> None:
    put(store, bytes(100_000))
    methods = [each.method for each in requests]
    assert "MOVE" in methods
    assert "COPY" not in methods
    assert methods.count("PUT") == 1


def test_what_is_thrown_away_is_not_uploaded_first(
    store: FilesystemBlobStore, requests: list[Any], folder: Path
) -> None:
    before = files(folder)
    writer = store.create(new_blob_id(), None)
    writer.write(bytes(10_000_000))
    writer.discard()
    del writer
    assert "PUT" not in [each.method for each in requests]
    assert files(folder) == before


def test_an_upload_that_fails_leaves_nothing(
    store: FilesystemBlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob_id = put(store, b"bytes")
    client = store._take()._system.client

    def gone(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("The server is gone.")

    monkeypatch.setattr(client, "move", gone)
    writer = store.create(new_blob_id(), None)
    writer.write(bytes(100_000))
    with pytest.raises(OSError, match="The server is gone"):
        writer.commit()
    assert files(folder) == [blob_id]


def test_a_wrong_password_is_an_error_of_the_storage(server: DavServer) -> None:
    options = {**server.options, "auth": ["dora", "wrong"]}
    store = FilesystemBlobStore(f"{server.url}/x", options=options)
    with pytest.raises(OSError, match="401"):
        put(store, b"bytes")
    store.close()


def test_a_server_that_is_not_there_is_an_error_of_the_storage() -> None:
    store = FilesystemBlobStore("webdav://x", options={"base_url": "http://127.0.0.1:1"})
    for look in (lambda: store.size(new_blob_id()), lambda: list(store.sweep())):
        with pytest.raises(OSError):
            look()
    store.close()


class NoRanges(BaseHTTPRequestHandler):
    """Sends all of 200 MB whatever part is asked for; ``sent`` is how much it got rid of."""

    SIZE = 200_000_000
    BLOCK = bytes(range(250)) * 400
    sent = 0
    done = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.SIZE))
        self.end_headers()
        try:
            while NoRanges.sent < self.SIZE:
                self.wfile.write(self.BLOCK)
                NoRanges.sent += len(self.BLOCK)
        except OSError:
            self.close_connection = True
        self.done.set()

    def log_message(self, *_: object) -> None:
        pass


def test_of_a_server_without_ranges_no_more_is_read_than_is_wanted() -> None:
    with HTTPServer(("127.0.0.1", 0), NoRanges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"base_url": f"http://127.0.0.1:{server.server_port}"}
        connection = connect("webdav://blobs", "webdav", options)
        data = connection.read("blobs/ab/x", 1_000_010, 1_000_300)
        assert NoRanges.done.wait(20)
        connection.close()
        server.shutdown()
    assert data == (NoRanges.BLOCK * 2)[10:300]
    # What had been on its way lies in the sockets' buffers.
    assert NoRanges.sent < 50_000_000
