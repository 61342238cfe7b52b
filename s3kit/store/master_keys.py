"""The host's master keys: they wrap the data keys of objects, and nothing else.

Of several the first wraps and all unwrap, so that one can follow another while requests run. Keys
in a file are looked at again when it changes: a rotation reaches every process within a second.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from ..blobs.sealed import KEY

logger = logging.getLogger("s3kit.store")

LOOK_SECONDS: Final = 1.0
MADE: Final = "# made "
TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class UnusableKey(ValueError):
    """A master key, or the file of them, that cannot be used. The text never holds a key."""


def read_key(text: str) -> bytes:
    """A key of 256 bits in base64, as ``s3kit serve`` and cryptography's Fernet write it.

    :raises UnusableKey:
    """
    try:
        plain = text.strip().translate(str.maketrans("-_", "+/"))
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY:
        raise UnusableKey("must be 32 random bytes in base64, such as `openssl rand -base64 32`.")
    return key


def new_key_text() -> str:
    """A new key as a line of a file."""
    return base64.urlsafe_b64encode(os.urandom(KEY)).decode()


def id_of(key: bytes) -> str:
    """What a row calls the key that wraps it; tells nothing about the key."""
    return hmac.new(key, b"s3kit master key", hashlib.sha256).hexdigest()[:16]


class MasterKeys:
    """The keys, by what rows call them.

    :param keys: the first wraps.
    :param path: a file of keys, in front of those.
    :raises UnusableKey: there is none, or the file cannot be read.
    """

    __slots__ = ("_by_id", "_given", "_lock", "_next", "_path", "_seen")

    def __init__(
        self,
        keys: Sequence[bytes] = (),
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self._given = tuple(keys)
        self._path = None if path is None else Path(path)
        self._lock = Lock()
        self._next = 0.0
        self._seen: tuple[int, ...] | None = None
        self._by_id: dict[str, bytes] = {}
        self._set(self._read())
        if not self._by_id:
            raise UnusableKey("there is no master key.")

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._by_id)})"

    def _read(self) -> tuple[bytes, ...]:
        if self._path is None:
            return self._given
        self._seen = _identity(self._path)
        return (*read_file(self._path), *self._given)

    def _set(self, keys: Sequence[bytes]) -> None:
        by_id: dict[str, bytes] = {}
        for key in keys:
            by_id.setdefault(id_of(key), key)
        self._by_id = by_id

    def first(self) -> tuple[str, bytes]:
        """The key that wraps, with its id."""
        self._look()
        return next(iter(self._by_id.items()))

    def find(self, key_id: str) -> bytes | None:
        """The key of that id, None if it is not among ours."""
        found = self._by_id.get(key_id)
        if found is None:
            self._look(now=True)
            found = self._by_id.get(key_id)
        return found

    def ids(self) -> tuple[str, ...]:
        """All ids, that of the key that wraps first."""
        self._look(now=True)
        return tuple(self._by_id)

    def _look(self, *, now: bool = False) -> None:
        """Read the file again if it has changed."""
        if self._path is None:
            return
        moment = time.monotonic()
        if moment < self._next and not now:
            return
        self._next = moment + LOOK_SECONDS
        with self._lock:
            try:
                if _identity(self._path) == self._seen:
                    return
                self._set(self._read())
            except (UnusableKey, OSError) as error:
                logger.error("The master keys stay as they were: %s", error)


def _identity(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror}.") from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_file(path: Path) -> list[bytes]:
    """The keys of a file: one a line, the first wraps; lines that begin with # are passed over.

    :raises UnusableKey:
    """
    keys = []
    for number, line in enumerate(_lines(path), 1):
        if line and not line.startswith("#"):
            try:
                keys.append(read_key(line))
            except UnusableKey as error:
                raise UnusableKey(f"{path}, line {number}: a master key {error}") from None
    if not keys:
        raise UnusableKey(f"{path} holds no master key.")
    return keys


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines()]
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UnusableKey(f"{path} is no text.") from None


def put_new_first(path: Path, *, clock: Callable[[], float] = time.time) -> str:
    """Put a new key in front of a file's; the others go on unwrapping. Answers its id.

    :raises UnusableKey: OSError:
    """
    text = new_key_text()
    made = MADE + time.strftime(TIME, time.gmtime(clock()))
    with _alone(path):
        read_file(path)
        _replace(path, [made, text, *_lines(path)])
    return id_of(read_key(text))


def first_since(path: Path) -> float | None:
    """When the file's first key was put there, in seconds since the epoch; None if unknown."""
    for line in _lines(path):
        if line.startswith(MADE):
            with suppress(ValueError):
                return float(calendar.timegm(time.strptime(line[len(MADE) :], TIME)))
            return None
        if line and not line.startswith("#"):
            return None
    return None


def drop(path: Path, ids: Sequence[str]) -> int:
    """Take keys out of a file, never the first. Answers how many."""
    with _alone(path):
        kept: list[str] = []
        dropped = 0
        first = True
        for line in _lines(path):
            if not line or line.startswith("#"):
                kept.append(line)
                continue
            if not first and id_of(read_key(line)) in ids:
                dropped += 1
                while kept and kept[-1].startswith(MADE):
                    kept.pop()
                continue
            first = False
            kept.append(line)
        if dropped:
            _replace(path, kept)
    return dropped


def _replace(path: Path, lines: Sequence[str]) -> None:
    """Write the whole file anew (0600), so that nobody ever reads half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two rotations at once would lose one's key; Windows has no such lock."""
    if os.name != "posix":
        yield
        return
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


__all__ = ["MasterKeys", "UnusableKey", "id_of", "read_key"]
