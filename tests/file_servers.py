"""Real file servers for the storages that need one: OpenSSH's sftp, and WsgiDAV over cheroot.

Each runs on a free port of this machine, for the current user, and is gone afterwards.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import free_port


@dataclass(frozen=True)
class SshServer:
    """A running sshd.

    :param root: an empty folder to keep things in.
    :param options: what fsspec needs to come in.
    :param process: the listening sshd; each connection has a process of its own.
    """

    port: int
    root: Path
    options: dict[str, Any]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"sftp://127.0.0.1:{self.port}{self.root}"

    def drop_connections(self) -> None:
        """End every connection, as a restarted server or a lost line does; they are gone then."""
        found = self._children(self.process.pid)
        for child in found:
            # Whoever is not root has two processes for each connection.
            found += self._children(child)
        self._kill(found, signal.SIGTERM)
        until = time.monotonic() + 30
        while any(map(_is_alive, found)):
            if time.monotonic() > until:
                self._kill(found, signal.SIGKILL)
            time.sleep(0.01)

    @staticmethod
    def _children(process: int) -> list[int]:
        command = ["ps", "-o", "pid=", "--ppid", str(process)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(child) for child in found.stdout.split()]

    @staticmethod
    def _kill(processes: list[int], how: signal.Signals) -> None:
        for each in processes:
            with suppress(ProcessLookupError):
                os.kill(each, how)


def _is_alive(process: int) -> bool:
    """Also of others' children; a zombie holds no connection."""
    command = ["ps", "-o", "stat=", "-p", str(process)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] not in ("", "Z")


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """An sshd that lets the current user in by a key made for this test."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs sshd: apt-get install openssh-server")
    if importlib.util.find_spec("paramiko") is None:
        pytest.skip("needs paramiko: pip install 's3kit[sftp]'")
    if os.geteuid() == 0:
        # Debian's service makes it at its start, and sshd will not run as root without.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", folder / name],
            check=True,
        )
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    root = folder / "files"
    root.mkdir()
    port, process = _start_sshd(program, folder)
    host_key = (folder / "host_key.pub").read_text().split()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    options = {
        "username": getpass.getuser(),
        "key_filename": str(folder / "user_key"),
        "known_hosts": str(known_hosts),
        "allow_agent": False,
        "look_for_keys": False,
    }
    server = SshServer(port, root, options, process)
    try:
        yield server
    finally:
        server.drop_connections()
        process.terminate()
        process.wait(30)


def _start_sshd(program: str, folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """An sshd that listens, and its port."""
    configuration, path = folder / "sshd_config", folder / "sshd.log"
    port = free_port()
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        # Of many that come at once it would turn some away by chance.
        "MaxStartups 100\n"
        f"PidFile none\nSubsystem sftp internal-sftp\n"
    )
    with path.open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", configuration], stderr=log)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        # Whoever else answers at the port was only faster.
        if "Server listening on" in path.read_text():
            return port, process
        time.sleep(0.02)
    process.kill()
    process.wait(30)
    pytest.fail(f"{program} does not answer: {path.read_text()}")


@dataclass(frozen=True)
class DavServer:
    """A running WebDAV server.

    :param root: the folder that it serves.
    :param options: what fsspec needs to come in.
    """

    root: Path
    options: dict[str, Any]

    @property
    def url(self) -> str:
        return "webdav://blobs"


@contextmanager
def dav_server(folder: Path) -> Iterator[DavServer]:
    """WsgiDAV with one user and password, in threads of this process."""
    for module in ("wsgidav", "cheroot", "webdav4"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 's3kit[test]'")
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp

    root = folder / "dav"
    root.mkdir()
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(root)},
            "simple_dc": {"user_mapping": {"*": {"dora": {"password": "secret"}}}},
            "http_authenticator": {"accept_digest": False, "default_to_digest": False},
            "logging": {"enable": False},
            "verbose": 0,
        }
    )
    server = Server(("127.0.0.1", 0), app, numthreads=16)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        options = {
            "base_url": f"http://127.0.0.1:{server.bind_addr[1]}",
            "auth": ["dora", "secret"],
        }
        yield DavServer(root, options)
    finally:
        server.stop()
        thread.join(30)
