"""The first start makes DATA with a key pair and a master key; later starts find them there."""

from __future__ import annotations

import base64
import configparser
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from ..blobs.sealed import MissingCryptography
from ..blobs.sealed import need_cryptography
from ..config import ConfigError

PROFILE = "default"
MASTER_KEY = "master.key"


@dataclass(frozen=True)
class Credentials:
    """A key pair. ``path`` is the file that holds it, None in memory; ``fresh`` if just made."""

    access_key: str
    secret_key: str
    path: Path | None = None
    fresh: bool = True

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, path={self.path!r}, fresh={self.fresh!r})"


def new_credentials() -> Credentials:
    """A random pair in Amazon's form: AKIA and 16 letters and digits; 40 characters."""
    # Amazon's access keys are base 32: no 0, 1, 8 or 9.
    letters = string.ascii_uppercase + "234567"
    access_key = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return Credentials(access_key, base64.b64encode(secrets.token_bytes(30)).decode())


def can_encrypt() -> bool:
    """Whether what a master key is for is installed."""
    try:
        need_cryptography()
    except MissingCryptography:
        return False
    return True


def make_data(data: Path) -> None:
    """Make the data folder (0700) with its master key (0600), unless they are there.

    Without the package that encrypts there is no master key, and everything else works.

    :raises ConfigError: the folder cannot be made or written.
    """
    try:
        new = [folder for folder in (data, *data.parents) if not folder.exists()]
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in new:
            _sync(folder.parent)
        if can_encrypt():
            # In the form of cryptography's Fernet.
            _make_once(data / MASTER_KEY, base64.urlsafe_b64encode(os.urandom(32)) + b"\n")
    except OSError as error:
        where = error.filename or data
        raise ConfigError(
            f"Cannot write {where}: {error.strerror}. Give another folder with --data."
        ) from None


def make_private(path: Path) -> None:
    """An empty file that only we can read, unless it is there; SQLite keeps the mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass


def first_credentials(data: Path | None, region: str) -> Credentials:
    """The key pair of DATA/credentials, made now if there is none; in memory always a new one.

    :raises ConfigError: the file is there but holds no key pair.
    """
    if data is None:
        return new_credentials()
    path = data / "credentials"
    made = new_credentials()
    text = (
        f"[{PROFILE}]\n"
        f"aws_access_key_id = {made.access_key}\n"
        f"aws_secret_access_key = {made.secret_key}\n"
        f"region = {region}\n"
    )
    fresh = not path.exists() and _make_once(path, text.encode())
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text("utf-8"))
        access_key = parser[PROFILE]["aws_access_key_id"]
        secret_key = parser[PROFILE]["aws_secret_access_key"]
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # The parser's own message may quote a line, and so the secret.
        raise ConfigError(
            f"{path} holds no key pair. Mend it, or move it away and a new pair is made."
        ) from None
    return Credentials(access_key, secret_key, path, fresh)


def is_private(path: Path) -> bool:
    """Nobody but the owner may read the file (always true where there are no such modes)."""
    return os.name != "posix" or not path.stat().st_mode & 0o077


def _make_once(path: Path, content: bytes) -> bool:
    """Write a whole file with mode 0600 unless it is there; True if this call made it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a rename overwrites: of two first starts one wins, whole.
        os.link(temporary, path)
        made = True
    except FileExistsError:
        made = False
    finally:
        os.unlink(temporary)
    # Also after another start that made it: keys must not be shown before they are there to stay.
    _sync(path.parent)
    return made


def _sync(folder: Path) -> None:
    """Put the folder's entries on the disk; Windows does that by itself."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
