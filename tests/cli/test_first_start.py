"""DATA: made once, private, never overwritten."""

from __future__ import annotations

import base64
import os
import re
import stat
import sys
import threading
from pathlib import Path

import pytest

from s3kit.app import S3App
from s3kit.cli.first_start import Credentials
from s3kit.cli.first_start import first_credentials
from s3kit.cli.first_start import is_private
from s3kit.cli.first_start import make_data
from s3kit.cli.first_start import make_private
from s3kit.cli.first_start import new_credentials
from s3kit.cli.settings import gather
from s3kit.config import ConfigError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_pair_has_amazons_form_and_is_never_the_same() -> None:
    made = [new_credentials() for _ in range(50)]
    assert all(re.fullmatch(r"AKIA[A-Z2-7]{16}", each.access_key) for each in made)
    assert all(re.fullmatch(r"[A-Za-z0-9+/]{40}", each.secret_key) for each in made)
    assert len({each.secret_key for each in made}) == 50


def test_a_secret_does_not_show_in_repr() -> None:
    assert "hush" not in repr(Credentials("AK", "hush"))


def test_data_is_private_and_its_master_key_is_a_fernet_key(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    make_data(data)
    key = (data / "master.key").read_bytes()
    assert mode(data) == 0o700
    assert mode(data / "master.key") == 0o600
    assert len(base64.urlsafe_b64decode(key)) == 32
    make_data(data)
    assert (data / "master.key").read_bytes() == key
    assert [path.name for path in data.iterdir()] == ["master.key"]


def test_without_cryptography_an_endpoint_starts_without_a_master_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is an extra's; one that encrypts already is refused without it."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
        make_data(tmp_path)
        assert not (tmp_path / "master.key").exists()
        settings = gather({"data": str(tmp_path)}, {}).with_master_key()
        assert settings.config.master_key_file == ""
        S3App(settings.config).close()
    make_data(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
        with pytest.raises(ConfigError, match="cryptography"):
            S3App(gather({"data": str(tmp_path)}, {}).with_master_key().config)


def test_cryptography_takes_the_master_key(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    make_data(tmp_path)
    fernet = Fernet((tmp_path / "master.key").read_bytes().strip())
    assert fernet.decrypt(fernet.encrypt(b"secret")) == b"secret"


def test_later_starts_find_the_first_key_pair(tmp_path: Path) -> None:
    first = first_credentials(tmp_path, "eu-west-1")
    again = first_credentials(tmp_path, "eu-west-1")
    assert first.fresh
    assert not again.fresh
    assert (again.access_key, again.secret_key) == (first.access_key, first.secret_key)
    assert mode(tmp_path / "credentials") == 0o600
    assert is_private(tmp_path / "credentials")
    assert (tmp_path / "credentials").read_text().startswith("[default]\naws_access_key_id = AKIA")


def test_first_starts_at_the_same_moment_agree_on_one_pair(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    found: list[str] = []

    def start() -> None:
        barrier.wait()
        found.append(first_credentials(tmp_path, "us-east-1").secret_key)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["credentials"]


def synced_folders(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str]]]:
    """The folders that are synced from here on, each with what was in it by then."""
    seen: list[tuple[Path, list[str]]] = []
    sync = os.fsync

    def syncing(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            seen.append((path, sorted(each.name for each in path.iterdir() if each.name[0] != ".")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    return seen


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of descriptors: Linux only")
def test_a_power_cut_after_the_first_start_takes_neither_folder_nor_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of a folder is on the disk when the folder is synced, not when its file is."""
    seen = synced_folders(monkeypatch)
    data = tmp_path / "deep" / "data"
    make_data(data)
    assert (tmp_path, ["deep"]) in seen
    assert (tmp_path / "deep", ["data"]) in seen
    assert (data, ["master.key"]) in seen
    first_credentials(data, "eu-west-1")
    assert seen[-1] == (data, ["credentials", "master.key"])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of descriptors: Linux only")
def test_keys_that_another_start_made_at_that_moment_are_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not have come to that yet."""
    make_data(tmp_path)
    seen = synced_folders(monkeypatch)
    make_data(tmp_path)
    assert seen == [(tmp_path, ["master.key"])]


def test_a_file_without_a_pair_is_refused_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    for text in ("hush", "[default]\nhush\n", "[other]\naws_access_key_id = hush\n", ""):
        path.write_text(text)
        with pytest.raises(ConfigError, match="holds no key pair") as caught:
            first_credentials(tmp_path, "us-east-1")
        assert "hush" not in str(caught.value)
        assert path.read_text() == text


def test_a_file_that_others_can_read_is_noticed(tmp_path: Path) -> None:
    first_credentials(tmp_path, "us-east-1")
    (tmp_path / "credentials").chmod(0o640)
    assert not is_private(tmp_path / "credentials")


def test_in_memory_a_new_pair_is_made_and_nothing_written() -> None:
    assert first_credentials(None, "us-east-1").path is None


def test_a_private_file_is_made_but_never_emptied(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.db"
    make_private(path)
    assert mode(path) == 0o600
    path.write_text("rows")
    make_private(path)
    assert path.read_text() == "rows"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Give another folder with --data"):
        make_data(tmp_path / "file" / "data")
