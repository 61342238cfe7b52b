"""Sealed objects in scrub, migrate-storage, backup and restore, and under a new master key."""

from __future__ import annotations

import base64
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.blobs.place import open_place
from s3kit.store import Attributes
from s3kit.store import master_keys
from s3kit.store.backup_place import snapshots_at
from s3kit.store.master_keys import MasterKeys
from s3kit.store.master_keys import UnusableKey
from s3kit.store.master_keys import id_of
from s3kit.store.master_keys import read_file
from s3kit.store.objects import Objects
from s3kit.wire import checksums
from s3kit.wire.checksums import BodyReader
from s3kit.wire.encryption import Wanted
from tests.client import Client
from tests.endpoint import OWNER
from tests.endpoint import make_app
from tests.operations.test_encryption import DSSE
from tests.operations.test_encryption import KMS
from tests.operations.test_encryption import LARGE
from tests.operations.test_encryption import MODES
from tests.operations.test_encryption import S3
from tests.operations.test_encryption import SMALL
from tests.operations.test_encryption import begin
from tests.operations.test_encryption import blobs_of
from tests.operations.test_encryption import finish
from tests.operations.test_encryption import get
from tests.operations.test_encryption import put
from tests.operations.test_encryption import reading


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[S3App, Path]]:
    """Objects of every kind, small, large and of two parts, and an upload in progress."""
    app = make_app("file", tmp_path, inline_threshold=1000)
    s3 = Client(app, OWNER)
    put(s3, "/bucket", b"")
    for name, headers in MODES.items():
        put(s3, f"/bucket/{name.replace(' ', '-')}-small", SMALL, headers)
        put(s3, f"/bucket/{name.replace(' ', '-')}-large", LARGE, headers)
        path = f"/bucket/{name.replace(' ', '-')}-parts"
        for last in (True, False):
            upload = begin(s3, path, headers)
            query = f"partNumber=1&uploadId={upload}"
            answer = s3.request("PUT", path, query, reading(headers), LARGE)
            if last:
                etags = [answer.headers["etag"]]
                assert finish(s3, path, upload, etags, reading(headers)).status == 200
    yield app, tmp_path
    app.close()


def assert_readable(app: S3App) -> None:
    s3 = Client(app, OWNER)
    for name, headers in MODES.items():
        for kind, data in (("small", SMALL), ("large", LARGE), ("parts", LARGE)):
            answer = get(s3, f"/bucket/{name.replace(' ', '-')}-{kind}", headers)
            assert answer.body == data, (name, kind)


OBJECTS = 4 * len(MODES)
CUSTOMERS = 4 * 2
"""Of those a customer's key is needed for, which nobody has but the customer."""


def test_lifecycle_moves_sealed_bytes_as_they_are(filled: tuple[S3App, Path]) -> None:
    """Nobody's key is needed for that, and the same keys open them where they are then."""
    app, _ = filled
    store = app.store
    store._backing.storage_classes = {"GLACIER_IR": "far"}
    store._backing.small = 0
    bucket = store.buckets.get("bucket")
    rule = (
        b"<Rule><Filter></Filter><Status>Enabled</Status><Transition><Date>2015-01-01</Date>"
        b"<StorageClass>GLACIER_IR</StorageClass></Transition></Rule>"
    )
    document = b"<LifecycleConfiguration>" + rule + b"</LifecycleConfiguration>"
    store.buckets.put_setting(bucket, "lifecycle", document)
    report = store.lifecycle.run()
    assert (report.transitioned, report.failed) == (3 * len(MODES), 0)
    assert_readable(app)
    for name in MODES:
        version = store.objects.get(bucket, f"{name.replace(' ', '-')}-large".encode())
        assert version.content is not None
        assert version.content.storage == "far"
    store.collect_garbage(now=2**53)
    assert_readable(app)


def test_a_scrub_opens_what_it_can(filled: tuple[S3App, Path]) -> None:
    app, _ = filled
    scrub = app.store.scrub()
    assert list(scrub.run()) == []
    assert (scrub.blobs, scrub.unopened) == (OBJECTS, CUSTOMERS)


def test_a_scrub_finds_what_was_changed_in_what_it_can_open(filled: tuple[S3App, Path]) -> None:
    app, folder = filled
    for blob in blobs_of(folder):
        data = blob.read_bytes()
        blob.chmod(0o600)
        blob.write_bytes(data[:30_000] + bytes([data[30_000] ^ 1]) + data[30_001:])
    found = [str(each) for each in app.store.scrub().run()]
    # Of the six kinds two are customers', each a large object, one of parts, and an upload.
    assert len(found) == 4 * 3
    assert sum("it cannot be decrypted" in each for each in found) == 3 * 3


def test_a_scrub_finds_what_is_cut_or_another_blob_in_all(filled: tuple[S3App, Path]) -> None:
    app, folder = filled
    for blob in blobs_of(folder):
        data = blob.read_bytes()
        blob.chmod(0o600)
        blob.write_bytes(data[:-1])
    assert {each.kind for each in app.store.scrub().run()} == {"short"}
    assert app.store.scrub().unopened == 0
    for blob in blobs_of(folder):
        blob.write_bytes(b"another" + blob.read_bytes()[7:] + b"x")
    found = list(app.store.scrub().run())
    assert (len(found), {each.kind for each in found}) == (3 * len(MODES), {"corrupt"})


def test_a_scrub_without_the_master_key_says_so(filled: tuple[S3App, Path]) -> None:
    app, folder = filled
    app.close()
    other = base64.b64encode(b"o" * 32).decode()
    again = make_app("file", folder, master_keys=(other,), kms_keys={}, inline_threshold=1000)
    scrub = again.store.scrub()
    found = list(scrub.run())
    again.close()
    assert {each.kind for each in found} == {"unreadable"}
    assert len(found) == 4
    assert all("is not among those" in each.problem for each in found)
    # Those of aws:kms may have a provider of their host's, which a command has not.
    assert scrub.unopened == CUSTOMERS + 2 * 4


def test_sealed_blobs_move_to_another_storage_as_they_are(filled: tuple[S3App, Path]) -> None:
    app, folder = filled
    migration = app.store.migrate("default", "far")
    migration.run()
    assert (migration.failed, migration.moved) == (0, 3 * len(MODES))
    app.store.janitor.collect_garbage(now=10**15)
    assert blobs_of(folder) == []
    assert_readable(app)
    assert list(app.store.scrub().run()) == []


def test_sealed_blobs_are_whole_by_whatever_checksum_they_have(tmp_path: Path) -> None:
    """Also by SHA-256, which is of the plaintext, beside the one of what passes."""
    app = make_app("file", tmp_path, inline_threshold=1000)
    s3 = Client(app, OWNER)
    put(s3, "/bucket", b"")
    known = [each for each in checksums.ALGORITHMS if checksums.available(each)]
    for name in known:
        value = checksums.encode(checksums.digest_of(name, LARGE))
        put(s3, f"/bucket/{name}", LARGE, {**S3, f"x-amz-checksum-{name.lower()}": value})
    place = open_place(str(tmp_path / "backup"), {})
    result = app.store.backup(place).run()
    assert (result.damaged, result.blobs) == (0, len(known))
    place.close()
    migration = app.store.migrate("default", "far")
    migration.run()
    assert (migration.failures, migration.moved) == ([], len(known))
    app.close()


def test_what_was_changed_does_not_move(filled: tuple[S3App, Path]) -> None:
    app, folder = filled
    for blob in blobs_of(folder):
        data = blob.read_bytes()
        blob.chmod(0o600)
        blob.write_bytes(data[:30_000] + bytes([data[30_000] ^ 1]) + data[30_001:])
    migration = app.store.migrate("default", "far")
    migration.run()
    assert migration.failed == 4 * 3


def test_a_restored_backup_opens_with_the_same_master_key(
    filled: tuple[S3App, Path], tmp_path: Path
) -> None:
    app, _ = filled
    place = open_place(str(tmp_path / "backup"), {})
    result = app.store.backup(place).run()
    assert (result.damaged, result.blobs) == (0, 3 * len(MODES))
    # A second one finds all of it there.
    assert app.store.backup(place, verify=True).run().copied == 0
    (tmp_path / "again").mkdir()
    again = make_app("file", tmp_path / "again", inline_threshold=1000)
    again.store.restore(place, snapshots_at(place)[-1]).run()
    place.close()
    assert_readable(again)
    assert list(again.store.scrub().run()) == []
    again.close()


# -- the master key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    path.write_text(master_keys.new_key_text() + "\n")
    return path


def test_a_new_master_key_wraps_all_data_keys_while_requests_run(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master_keys, "LOOK_SECONDS", 0.05)
    settings = {"master_key_file": str(file), "master_keys": (), "inline_threshold": 1000}
    app = make_app("file", tmp_path, **settings)
    s3 = Client(app, OWNER)
    put(s3, "/bucket", b"")
    for number in range(20):
        put(s3, f"/bucket/{number}", SMALL, S3)
    put(s3, "/bucket/large", LARGE, DSSE)
    put(s3, "/bucket/kms", SMALL, KMS)
    upload = begin(s3, "/bucket/parts", S3)
    (old,) = MasterKeys(path=file).ids()
    ending = threading.Event()
    failures: list[object] = []

    def write() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            stored = s3.request("PUT", f"/bucket/w{number % 7}", headers=S3, body=SMALL)
            answer = get(s3, f"/bucket/w{number % 7}")
            copied = s3.put("/bucket/copy", x_amz_copy_source=f"/bucket/{number % 20}")
            if (stored.status, answer.body, copied.status) != (200, SMALL, 200):
                failures.append((stored, answer, copied))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        other = make_app("file", tmp_path, **settings)
        new = master_keys.put_new_first(file)
        time.sleep(0.2)
        rotation = other.store.rotation()
        assert rotation.used()[old] >= 22
        rotation.run()
    finally:
        ending.set()
        writer.join()
    assert not failures
    last = other.store.rotation()
    last.run()
    assert set(last.used()) == {new}
    assert (rotation.stuck, last.stuck) == (0, 0)
    # Nothing wraps with the old one any more, so all is read without it.
    assert master_keys.drop(file, [old]) == 1
    other.close()
    app.close()
    app = make_app("file", tmp_path, **settings)
    s3 = Client(app, OWNER)
    for number in range(20):
        assert get(s3, f"/bucket/{number}").body == SMALL
    assert get(s3, "/bucket/large").body == LARGE
    answer = s3.request("PUT", "/bucket/parts", f"partNumber=1&uploadId={upload}", body=LARGE)
    assert answer.status == 200
    assert app.store.rotation().used()[new] >= 22
    app.close()


@pytest.mark.parametrize("headers", [S3, {}], ids=["shared", "sealed anew"])
def test_a_copy_that_was_begun_before_a_new_master_key_is_wrapped_by_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    """Else it would be stored with the old one when nobody looks for that any more."""
    monkeypatch.setattr(master_keys, "LOOK_SECONDS", 0.0)
    settings = {"master_key_file": str(file), "master_keys": (), "inline_threshold": 1000}
    app = make_app("file", tmp_path, **settings)
    s3 = Client(app, OWNER)
    put(s3, "/bucket", b"")
    put(s3, "/bucket/source", LARGE, headers)
    commit = app.store.objects.commit

    def late(*args: Any, **options: Any) -> Any:
        master_keys.put_new_first(file)
        app.store.rotation().run()
        return commit(*args, **options)

    monkeypatch.setattr(Objects, "commit", lambda self, *args, **options: late(*args, **options))
    sent = {**S3, "x-amz-copy-source": "/bucket/source"}
    assert s3.request("PUT", "/bucket/copy", headers=sent).status == 200
    first, *others = MasterKeys(path=file).ids()
    assert set(app.store.rotation().used()) == {first}
    assert master_keys.drop(file, others) == 1
    assert get(s3, "/bucket/copy").body == LARGE
    app.close()


def test_a_rotation_that_was_stopped_goes_on_and_what_is_stuck_is_told(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3kit.store import rotation as module

    monkeypatch.setattr(module, "PAGE", 2)
    settings = {"master_key_file": str(file), "master_keys": ()}
    app = make_app("file", tmp_path, **settings)
    s3 = Client(app, OWNER)
    put(s3, "/bucket", b"")
    for number in range(7):
        put(s3, f"/bucket/{number}", SMALL, S3)
    (old,) = MasterKeys(path=file).ids()
    new = master_keys.put_new_first(file)

    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app.store.rotation(advance=stop).run()
    assert app.store.rotation().used() == {new: 2, old: 5}
    told: list[int] = []
    again = app.store.rotation(advance=told.append)
    again.run()
    assert (again.wrapped, again.stuck, sum(told)) == (5, 0, 7)
    app.close()
    # A key that is gone: the rest is wrapped, and the exit code tells.
    lone = master_keys.new_key_text()
    file.write_text(lone + "\n")
    app = make_app("file", tmp_path, **settings)
    lost = app.store.rotation()
    lost.run()
    assert (lost.wrapped, lost.stuck) == (0, 7)
    app.close()


def test_a_file_of_keys_is_changed_as_a_whole(file: Path) -> None:
    file.write_text("# ours\n" + file.read_text())
    first = read_file(file)[0]
    masters = MasterKeys(path=file)
    second = master_keys.put_new_first(file, clock=lambda: 1_700_000_000.0)
    third = master_keys.put_new_first(file, clock=lambda: 1_800_000_000.0)
    assert masters.ids() == (third, second, id_of(first))
    assert file.stat().st_mode & 0o777 == 0o600
    assert master_keys.first_since(file) == 1_800_000_000.0
    # The first is never dropped, nor what was not named.
    assert master_keys.drop(file, [third, second]) == 1
    assert masters.ids() == (third, id_of(first))
    assert "# ours" in file.read_text()
    assert [each.name for each in file.parent.iterdir()] == ["master.key"]
    # A file that was spoilt changes nothing for who has read it.
    file.write_text("nonsense\n")
    assert masters.ids() == (third, id_of(first))
    assert masters.find(second) is None
    with pytest.raises(UnusableKey):
        master_keys.put_new_first(file)
    assert file.read_text() == "nonsense\n"


def test_a_key_is_read_in_both_alphabets_of_base64() -> None:
    key = b"\xfb\xff" * 16
    for text in (base64.b64encode(key), base64.urlsafe_b64encode(key)):
        assert master_keys.read_key(text.decode() + "\n") == key
        assert master_keys.read_key(text.decode().rstrip("=")) == key


class Endless:
    """A body of so many bytes that nobody holds."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        block = bytes(min(size, self._left))
        self._left -= len(block)
        return block


def test_a_large_object_is_sealed_and_read_in_little_memory(tmp_path: Path) -> None:
    size = 24 << 20
    app = make_app("file", tmp_path)
    Client(app, OWNER).put("/bucket")
    bucket = app.store.buckets.get("bucket")
    body = BodyReader(Endless(size), size)
    attributes = Attributes("owner-id", wanted=Wanted("AES256"))
    tracemalloc.start()
    try:
        version = app.store.objects.put(bucket, b"k", body, attributes)
        read = sum(len(block) for block in app.store.objects.read(version))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    app.close()
    assert read == size
    assert most < 6 << 20
