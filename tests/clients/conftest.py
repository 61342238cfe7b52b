"""Running endpoints, on both servers with and without TLS, and the programs that speak to them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import boto3
import pytest
from botocore.config import Config

from s3kit.blobs.base import is_blob_id
from tests.cli.conftest import Serving
from tests.client import Signer
from tests.clients.certificate import make_certificate

if TYPE_CHECKING:
    from tests.clients.doors import Door
    from tests.clients.doors import OpenDoor

SERVERS = ("gunicorn", "granian")
KEY = Signer("AKIACLIENTS", "a secret/with+odd=letters")
BASE_HOST = "s3.localhost"


class Endpoint(Serving):
    """A running ``s3kit serve`` of one account, whose key pair is ``KEY``."""

    def __init__(self, server: str, folder: Path, *arguments: str, tls: bool = False) -> None:
        self.server = server
        self.folder = folder
        self.certfile: Path | None = None
        options = ["--server", server, "--base-host", BASE_HOST, *arguments]
        if tls:
            self.certfile, chain, keyfile = make_certificate(folder)
            options += ["--certfile", str(chain), "--keyfile", str(keyfile)]
        variables = {"S3KIT_ACCESS_KEY": KEY.access_key, "S3KIT_SECRET_KEY": KEY.secret_key}
        super().__init__(options, folder, variables)

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"

    def client(  # type: ignore[override]
        self,
        *,
        url: str | None = None,
        secret_key: str = KEY.secret_key,
        **settings: Any,
    ) -> Any:
        """A boto3 client with boto3's own defaults but for ``settings`` of its Config."""
        client = boto3.client(
            "s3",
            endpoint_url=url or self.url,
            verify=str(self.certfile) if self.certfile else None,
            region_name="us-east-1",
            aws_access_key_id=KEY.access_key,
            aws_secret_access_key=secret_key,
            config=Config(**settings),
        )
        self._clients.append(client)
        return client

    def blobs(self) -> set[Path]:
        """The files in which the objects' bytes lie, half-written ones included."""
        found = (self.folder / "data" / "blobs").glob("*/*")
        return {path for path in found if is_blob_id(path.name)}

    def close(self) -> None:
        super().close()
        # pytest keeps the folders of three runs; these are too big for that.
        shutil.rmtree(self.folder, ignore_errors=True)


StartEndpoint = Callable[..., Endpoint]


@pytest.fixture(scope="session")
def endpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Endpoint]]:
    """The running endpoint of a server and a scheme, started when it is first asked for."""
    running: dict[tuple[str, str], Endpoint] = {}

    def find(server: str, scheme: str) -> Endpoint:
        if (server, scheme) not in running:
            folder = tmp_path_factory.mktemp(f"{server}-{scheme}")
            running[server, scheme] = Endpoint(server, folder, tls=scheme == "https")
        return running[server, scheme]

    yield find
    for each in running.values():
        each.close()


@pytest.fixture(params=[f"{server}-{scheme}" for server in SERVERS for scheme in ("http", "https")])
def endpoint(request: pytest.FixtureRequest, endpoint_of: Callable[..., Endpoint]) -> Endpoint:
    """Every server, with and without TLS."""
    return endpoint_of(*request.param.split("-"))


@pytest.fixture(params=SERVERS)
def plain(request: pytest.FixtureRequest, endpoint_of: Callable[..., Endpoint]) -> Endpoint:
    """Every server, without TLS."""
    return endpoint_of(request.param, "http")


@pytest.fixture(scope="session")
def door_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDoor]:
    """The door of a name (see ``tests.clients.doors``), opened when it is first asked for."""
    from tests.clients.doors import find_nginx
    from tests.clients.doors import open_door

    opened: dict[str, Door] = {}

    def find(name: str) -> Door:
        if name == "nginx" and not find_nginx():
            pytest.skip("no nginx: apt-get install nginx-light")
        if name not in opened:
            opened[name] = open_door(name, tmp_path_factory.mktemp(f"door-{name}"))
        return opened[name]

    yield find
    for each in opened.values():
        each.close()


@pytest.fixture(params=["bare", "granian", "flask", "django", "nginx"])
def door(request: pytest.FixtureRequest, door_of: OpenDoor) -> Door:
    """Every door."""
    return door_of(request.param)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartEndpoint]:
    """Start an endpoint of the test's own."""
    started: list[Endpoint] = []

    def start_one(server: str, *arguments: str) -> Endpoint:
        folder = tmp_path / "endpoint"
        folder.mkdir(exist_ok=True)
        started.append(Endpoint(server, folder, *arguments))
        return started[-1]

    yield start_one
    for each in started:
        each.close()


@pytest.fixture
def name() -> str:
    """A bucket name that nobody has yet."""
    return f"bucket-{secrets.token_hex(6)}"


# Programs


@cache
def find_program(name: str) -> str:
    """The path of a program that runs, from ``S3KIT_TEST_CLIENTS`` or PATH; "" if there is none."""
    folders = [os.environ.get("S3KIT_TEST_CLIENTS", ""), os.environ.get("PATH", "")]
    path = shutil.which(name, path=os.pathsep.join(filter(None, folders)))
    if path is None:
        return ""
    argument = "version" if name in ("s5cmd", "restic") else "--version"
    tried = subprocess.run([path, argument], capture_output=True, check=False, timeout=60)
    return path if tried.returncode == 0 else ""


class Program:
    """A command-line client in a home folder of its own, with ``KEY`` in its environment."""

    def __init__(self, path: str, home: Path) -> None:
        self.path = path
        self.home = home

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        found = {
            "HOME": str(self.home),
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ACCESS_KEY_ID": KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if endpoint.certfile is not None:
            found["AWS_CA_BUNDLE"] = found["SSL_CERT_FILE"] = str(endpoint.certfile)
        return found

    def run(
        self, endpoint: Endpoint, *arguments: str | Path, code: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it in its home folder; it must end with ``code``."""
        done = subprocess.run(
            [self.path, *map(str, arguments)],
            cwd=self.home,
            env={**self.environment(endpoint), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done


def program(name: str, home: Path) -> Program:
    """The program of this name; skips the test where it is not installed."""
    path = find_program(name)
    if not path:
        pytest.skip(f'no working {name}: run eval "$(.ci/clients)"')
    return Program(path, home)


@pytest.fixture
def curl(tmp_path: Path) -> Program:
    return program("curl", tmp_path)


# Files


def make_tree(folder: Path, count: int = 200) -> dict[str, bytes]:
    """``count`` small files in nested folders, by their relative paths."""
    files = {
        f"{number % 5}/{number % 3}/file {number:03} ü+%.txt": f"{number}\n".encode() * number
        for number in range(count)
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # Older than any upload, whose time has whole seconds only in some answers.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return files


def read_tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their relative paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """50 MB of noise."""
    path = tmp_path_factory.mktemp("big") / "big.bin"
    path.write_bytes(os.urandom(50_000_000))
    yield path
    path.unlink()
