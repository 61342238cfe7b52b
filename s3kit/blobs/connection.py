"""One connection to an fsspec file system, with what differs between them.

fsspec hides little of it: SFTP and WebDAV refuse the options that turn off its caches, WebDAV
moves by copying and uploads what was to be thrown away, SFTP trusts any server and asks for 32 KiB
at a time. What is said here of one of them has been seen on a real server.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from fsspec.core import url_to_fs
from fsspec.dircache import DirCache

from .base import Buffer
from .base import check_blob_id

T = TypeVar("T")

# One request stores a blob whole, and an unfinished upload is never seen.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
# Of these, adlfs has no discard(): blocks are staged, and close() makes a blob of them.
_NO_DISCARD = frozenset({"abfs", "abfss", "az"})
# No connection behind them that threads would share, or one that is made to be.
_THREAD_SAFE = frozenset({"file", "local", "memory", "webdav"})

# Whose rename takes the place of what was there.
_REPLACING = frozenset({"file", "local", "sftp", "ssh", "webdav"})

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_SSH_SECONDS = 30
"""How long a server may take to take a connection, and between two looks whether it is alive."""

_DAV_SECONDS = 60
"""How long a server may be silent: the client's own 5 seconds end the upload of a long blob."""


def connect(url: str, protocol: str, options: Mapping[str, Any]) -> Connection:
    """A connection of the kind that a URL's protocol needs.

    :raises OSError: it does not come about, for whatever reason.
    """
    kinds = {"sftp": SshConnection, "ssh": SshConnection, "webdav": DavConnection}
    with as_os_error():
        return kinds.get(protocol, Connection)(url, protocol, options)


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """Whatever a file system says a failure with, it is an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


class Connection:
    """An fsspec file system: used by one thread at a time unless it is ``thread_safe``."""

    __slots__ = (
        "_options", "_protocol", "_root", "_shards", "_system", "_url",
        "can_discard", "thread_safe", "whole",
    )  # fmt: skip

    def __init__(self, url: str, protocol: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._protocol = protocol
        self._options = options
        self._shards: set[str] = set()
        self._system, root = self._open_system()
        self._root: str = root.rstrip("/")
        self.whole = protocol in OBJECT_STORES
        self.can_discard = protocol not in _NO_DISCARD
        self.thread_safe = protocol in _THREAD_SAFE or bool(self._system.async_impl)

    def path(self, blob_id: str) -> str:
        return f"{self._root}/{check_blob_id(blob_id)[:2]}/{blob_id}"

    def read(self, path: str, start: int, end: int) -> bytes:
        """What there is of these bytes."""
        # By name: the second argument of s3fs's cat_file is a version id.
        data: bytes = self._again(lambda system: system.cat_file(path, start=start, end=end))
        return data

    def size(self, path: str) -> int:
        return int(self._again(lambda system: system.info(path))["size"])

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._again(lambda system: system.rm_file(path))

    def shards(self) -> list[str]:
        """The paths of the shard folders that are in use."""

        def work(system: Any) -> list[str]:
            system.invalidate_cache()
            return [
                entry["name"].rstrip("/")
                for entry in system.ls(self._root, detail=True)
                # Another storage may lie in a folder of this one.
                if _is_shard(entry["name"].rstrip("/").rpartition("/")[2])
            ]

        try:
            return self._again(work)
        except FileNotFoundError:
            return []

    def files(self, folder: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The names of the files in a folder, with what the file system tells of them."""
        try:
            entries = self._again(lambda system: list(system.ls(folder, detail=True)))
        except FileNotFoundError:
            return []
        return [
            (entry["name"].rpartition("/")[2], entry)
            for entry in entries
            if entry.get("type") != "directory"
        ]

    @property
    def root(self) -> str:
        """The path that the URL has on the file system."""
        return self._root

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """(name, whether it is a folder) of each thing directly in a folder."""

        def work(system: Any) -> list[tuple[str, bool]]:
            system.invalidate_cache()
            return [
                (name.rpartition("/")[2], entry.get("type") == "directory")
                for entry in system.ls(folder, detail=True)
                # An object store may name the folder itself.
                if (name := entry["name"].rstrip("/")) != folder.rstrip("/")
            ]

        return self._again(work)

    def remove_tree(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; one that is not there is fine."""
        with contextlib.suppress(FileNotFoundError):
            if self.whole:
                self._again(lambda system: system.rm(path, recursive=True))
            elif self._again(lambda system: system.info(path))["type"] == "directory":
                for name, _ in self.entries(path):
                    self.remove_tree(f"{path}/{name}")
                self._again(lambda system: system.rmdir(path))
            else:
                self.remove(path)

    def upload(self, source: str, path: str) -> None:
        """Store a local file as it is (object stores only)."""
        self._again(lambda system: system.put_file(source, path))

    def make_private(self, folder: str) -> None:
        """Make a folder for its owner alone, where such a thing can be said."""
        self._make_folder(folder)

    def begin_private(self, path: str) -> Any:
        """Open a plain file for writing, for its owner alone where such a thing can be said."""
        self.make_private(path.rpartition("/")[0])
        return self._again(lambda system: self._create_private(system, path))

    def replace(self, old: str, new: str) -> None:
        """Give a file the name of another, which there may be."""
        if self._protocol not in _REPLACING:
            self.remove(new)
        with as_os_error():
            self.rename(old, new)

    def put(self, path: str, data: bytes) -> None:
        """Store a whole blob in one request (object stores only)."""
        self._system.pipe_file(path, data)

    def stream(self, path: str, block_size: int) -> Any:
        """Open an upload that shows nothing before it is finished (object stores only)."""
        if not self.can_discard:
            return self._system.open(path, "wb", block_size=block_size)
        with _STREAMS:
            file = self._system.open(path, "wb", block_size=block_size, autocommit=False)
            # fsspec remembers it for a transaction that never comes, and would leak each one.
            with contextlib.suppress(ValueError):
                self._system.transaction.files.remove(file)
        return file

    def begin(self, path: str) -> Any:
        """Open a plain file for writing, in a folder that is made if need be."""
        folder = path.rpartition("/")[0]
        if folder not in self._shards:
            self._make_folder(folder)
            self._shards.add(folder)
        try:
            return self._again(lambda system: self._create(system, path))
        except FileNotFoundError:
            # Somebody removed the folder.
            self._make_folder(folder)
            return self._again(lambda system: self._create(system, path))

    def throw_away(self, file: Any) -> None:
        """Let go of an open file whose bytes nobody wants."""
        if self.whole:
            if self.can_discard:
                file.discard()
        else:
            file.close()

    def rename(self, old: str, new: str) -> None:
        self._system.mv(old, new)

    def close(self) -> None:
        """Hang up; it is used no more."""

    def _open_system(self) -> tuple[Any, str]:
        return _system_of(self._url, self._options)

    def _create(self, system: Any, path: str) -> Any:
        return system.open(path, "wb")

    def _create_private(self, system: Any, path: str) -> Any:
        return self._create(system, path)

    def _make_folder(self, folder: str) -> None:
        self._again(lambda system: system.makedirs(folder, exist_ok=True))

    def _again(self, work: Callable[[Any], T]) -> T:
        """Do what may be done twice; a connection that was lost is made anew for it.

        :raises OSError: whatever the file system says it with.
        """
        with as_os_error():
            if self.thread_safe:
                return work(self._system)
            try:
                return work(self._system)
            except (FileNotFoundError, FileExistsError, PermissionError):
                raise
            except Exception:
                # A lost SSH connection says so for ever, and with exceptions of many kinds.
                self.close()
                self._system = self._open_system()[0]
                return work(self._system)


_STREAMS = threading.Lock()


def _system_of(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """An fsspec file system of our own, and the path that the URL has there."""
    # fsspec's cache would hand one instance to all threads.
    system, root = url_to_fs(url, **options, skip_instance_cache=True)
    # By attribute: SFTP and WebDAV pass on options that they do not know, and are refused.
    listings = getattr(system, "dircache", None)
    if isinstance(listings, DirCache):
        listings.use_listings_cache = False
    return system, root


def _is_shard(name: str) -> bool:
    return len(name) == 2 and not name.strip("0123456789abcdef")


class SshConnection(Connection):
    """SFTP. The server must be in a file of known hosts, ``~/.ssh/known_hosts`` by default.

    Options beside those of fsspec and paramiko: ``known_hosts``, the path of such a file;
    ``host_key_policy = "auto_add"`` trusts every server, also a false one.
    """

    __slots__ = ()

    def read(self, path: str, start: int, end: int) -> bytes:
        def work(system: Any) -> bytes:
            with system.ftp.open(path, "rb") as file:
                try:
                    # Asks for all of it at once, where read() waits for every 32 KiB.
                    return b"".join(file.readv([(start, end - start)]))
                except EOFError:
                    return b""

        return self._again(work)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._system.client.close()

    def _create(self, system: Any, path: str) -> _SshFile:
        return _SshFile(system.ftp.open(path, "wb"))

    def make_private(self, folder: str) -> None:
        self._again(lambda system: system.makedirs(folder, exist_ok=True, mode=0o700))

    def _create_private(self, system: Any, path: str) -> _SshFile:
        file = system.ftp.open(path, "wb")
        try:
            # It is empty yet.
            file.chmod(0o600)
        except BaseException:
            file.close()
            raise
        return _SshFile(file)

    def _open_system(self) -> tuple[Any, str]:
        options = {"timeout": _SSH_SECONDS, "auth_timeout": _SSH_SECONDS, **self._options}
        known = options.pop("known_hosts", None)
        if known is not None or options.get("host_key_policy") is None:
            options["host_key_policy"] = _known_hosts_policy(known)
        system, root = _system_of(self._url, options)
        transport = system.client.get_transport()
        transport.set_keepalive(_SSH_SECONDS)
        # Small packets, such as the last of a request, would wait for the answer to earlier ones.
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A server that is silent for so long is gone.
        system.ftp.get_channel().settimeout(2 * _SSH_SECONDS)
        return system, root


class _SshFile:
    """A file that is written without waiting for each answer, and that looks at all of them.

    paramiko has the choice between a round trip for every 32 KiB and not seeing that the disk is
    full, which leaves a hole in a file of the right length.
    """

    __slots__ = ("__weakref__", "_error", "_file", "_position", "_waiting")

    _PIECE = 32 * 1024
    _MOST_WAITING = 64

    def __init__(self, file: Any) -> None:
        self._file = file
        self._position = 0
        self._waiting = 0
        self._error: Exception | None = None

    def write(self, data: Buffer) -> None:
        from paramiko.sftp import CMD_WRITE
        from paramiko.sftp import int64

        client = self._file.sftp
        with memoryview(data) as view:
            for start in range(0, len(view), self._PIECE):
                piece = bytes(view[start : start + self._PIECE])
                place = int64(self._position)
                client._async_request(self, CMD_WRITE, self._file.handle, place, piece)
                self._position += len(piece)
                self._waiting += 1
                self._hear(self._MOST_WAITING)

    def close(self) -> None:
        """Raises OSError when not all of the bytes arrived."""
        try:
            self._hear(0)
        finally:
            self._file.close()

    def _hear(self, most: int) -> None:
        while self._waiting > most:
            self._file.sftp._read_response()
        if self._error is not None:
            raise self._error

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        """Called by paramiko with the answer to one request."""
        self._waiting -= 1
        try:
            self._file.sftp._convert_status(message)
        except Exception as error:
            self._error = error


def _known_hosts_policy(path: str | None) -> Any:
    import paramiko

    class Policy(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        """Takes the servers of the files only, and tells what to do about the others."""

        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            hosts = paramiko.HostKeys()
            for each in (path,) if path is not None else _KNOWN_HOSTS:
                with contextlib.suppress(FileNotFoundError):
                    hosts.load(os.path.expanduser(each))
            if hosts.check(hostname, key):
                return
            where = path or _KNOWN_HOSTS[0]
            raise paramiko.SSHException(
                f"The SSH server {hostname} is not known with its {key.get_name()} key "
                f"{key.fingerprint}. If that is the right one, add the line of ssh-keyscan to "
                f"{where}."
            )

    return Policy()


class DavConnection(Connection):
    """WebDAV. A blob goes through a temporary file: the client cannot upload it in pieces."""

    __slots__ = ()

    def read(self, path: str, start: int, end: int) -> bytes:
        def work(system: Any) -> bytes:
            headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
            client = system.client
            with client.http.stream("GET", client.join_url(path), headers=headers) as answer:
                if answer.status_code == 404:
                    raise FileNotFoundError(errno.ENOENT, "No such file", path)
                if answer.status_code == 416:
                    return b""
                answer.raise_for_status()
                # A server that knows no ranges sends all of it.
                begin = 0 if answer.status_code == 206 else start
                return _part(answer.iter_bytes(), begin, begin + end - start)

        return self._again(work)

    def throw_away(self, file: Any) -> None:
        # close() would upload it.
        file.discard()

    def _again(self, work: Callable[[Any], T]) -> T:
        from httpx import TransportError

        def twice(system: Any) -> T:
            try:
                return work(system)
            except TransportError:
                # The server may just have closed a connection that was idle.
                return work(system)

        return super()._again(twice)

    def rename(self, old: str, new: str) -> None:
        # fsspec's mv copies and removes.
        self._again(lambda system: system.client.move(old, new, overwrite=True))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._system.client.http.close()

    def _open_system(self) -> tuple[Any, str]:
        options = {"timeout": _DAV_SECONDS, **self._options}
        if isinstance(options.get("auth"), list):
            # TOML and JSON have no tuples, and the client takes no lists.
            options["auth"] = tuple(options["auth"])
        return _system_of(self._url, options)


def _part(blocks: Iterator[bytes], start: int, end: int) -> bytes:
    """Bytes ``start`` to ``end`` of a stream, of which no more is kept, or read much beyond."""
    found = bytearray()
    position = 0
    for block in blocks:
        found += block[max(start - position, 0) : max(end - position, 0)]
        position += len(block)
        if position > end:
            break
    return bytes(found)


def forget_buffer(file: Any) -> None:
    """Keep the garbage collector from closing an upload, for closing would send the rest."""
    file.buffer = io.BytesIO()
    file.closed = True


def is_ending() -> bool:
    """At the interpreter's end fsspec's loop runs no more, and asking it would wait for ever."""
    return sys.is_finalizing()
