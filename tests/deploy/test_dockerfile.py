"""The Dockerfile: its steps carried out, and its command run as Docker, compose and systemd would.

All tests that need the image are in this file, so that it is made once.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from scripts.processes import free_port
from tests.databases import fresh_database
from tests.deploy.conftest import DEPLOY
from tests.deploy.conftest import ROOT
from tests.deploy.container import Container
from tests.deploy.container import Image
from tests.deploy.container import parse
from tests.deploy.test_compose import load
from tests.deploy.test_systemd import UNIT
from tests.deploy.test_systemd import service

Start = Callable[..., Container]

# The first that needs the image waits until it is made, for which packages are fetched.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def data(image: Image, tmp_path: Path) -> Path:
    """A new volume: Docker gives it the owner and rights that the folder has in the image."""
    folder = tmp_path / "volume"
    folder.mkdir()
    made = (image.upper / "data").stat()
    os.chown(folder, made.st_uid, made.st_gid)
    folder.chmod(made.st_mode & 0o7777)
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(image: Image, data: Path, port: int) -> Iterator[Start]:
    """Starts the image's own command."""
    started: list[Container] = []

    def start(**options: Any) -> Container:
        environment = {"S3KIT_PORT": str(port), **options.pop("environment", {})}
        container = Container(
            image,
            [*image.entrypoint, *image.command],
            environment=environment,
            volumes={"/data": data},
            **options,
        )
        started.append(container)
        container.wait_until_healthy()
        return container

    yield start
    for each in started:
        each.close()


def client_of(port: int, access_key: str, secret_key: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def key_pair(text: str) -> tuple[str, str]:
    found = dict(re.findall(r"aws_(access_key_id|secret_access_key) = (\S+)", text))
    return found["access_key_id"], found["secret_access_key"]


def test_a_container_keeps_its_objects_and_keys_in_the_volume(
    image: Image, start: Start, data: Path, port: int
) -> None:
    """With what deploy/compose.yaml takes away: a root that can be written, and every right."""
    container = start(read_only=True)
    pair = key_pair(container.execute(["cat", "/data/credentials"]).stdout)
    client = client_of(port, *pair)
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"x" * 200_000)
    assert container.execute(["id", "-u"]).stdout == "10001\n"
    assert container.execute(["touch", "/opt/s3kit/x"]).returncode != 0
    caps = Path(f"/proc/{container.pid}/status").read_text()
    assert set(re.findall(r"Cap(?:Inh|Prm|Eff|Bnd):\s+(\w+)", caps)) == {"0" * 16}
    assert container.execute(["s3kit", "scrub", "--data", "/data"]).stdout.startswith(
        "Read 1 blobs"
    )
    code, out, errors = container.stop()
    client.close()
    assert (code, errors) == (0, "")
    assert f"  access key  {pair[0]}" in out
    assert "both are in /data/credentials" in out
    assert not container.is_healthy()

    # A new container on the same volume.
    container = start()
    client = client_of(port, *pair)
    assert client.get_object(Bucket="first", Key="k")["Body"].read() == b"x" * 200_000
    client.close()
    assert container.stop()[0] == 0
    assert {path.stat().st_uid for path in data.rglob("*")} == {10001}


def test_the_health_check_fails_when_nobody_answers(image: Image, start: Start, port: int) -> None:
    container = start()
    assert container.is_healthy()
    container._environment["S3KIT_PORT"] = "1"
    assert not container.is_healthy()
    assert container.image.ports == ["9000"]


def test_every_extra_of_the_image_is_there(image: Image, start: Start) -> None:
    container = start()
    code = "import gunicorn, granian, alembic, psycopg, pymysql, s3fs, anycrc, prometheus_client"
    done = container.execute(["python", "-c", code])
    assert done.returncode == 0, done.stderr


def test_nothing_runs_as_root_and_no_package_cache_stays(image: Image) -> None:
    assert image.user == "10001:10001"
    assert image.volumes == ["/data"]
    assert (image.upper / "data").stat().st_mode & 0o777 == 0o700
    assert not list(image.upper.glob("root/.cache/pip/*"))
    assert not (image.upper / "src").exists()


def test_what_is_copied_is_let_through_by_dockerignore() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    steps = [
        each.words() for each in parse((ROOT / "Dockerfile").read_text()) if each.name == "COPY"
    ]
    copied = {name for words in steps if "--from" not in words[0] for name in words[:-1]}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


# -- as deploy/compose.postgresql.yaml runs it


def test_two_containers_share_a_database(
    image: Image, data: Path, port: int, tmp_path: Path
) -> None:
    """The variables are the file's; only the database's address and password are the tests'."""
    service = load(DEPLOY / "compose.postgresql.yaml")["services"]["s3kit"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    with fresh_database("postgresql", tmp_path) as url, contextlib.ExitStack() as stack:
        clients = []
        for number in (port, free_port()):
            environment = {**service["environment"], "S3KIT_INDEX": url, "S3KIT_PORT": str(number)}
            container = Container(
                image,
                [*image.entrypoint, *image.command],
                environment=environment,
                volumes={"/data": data},
                read_only=True,
            )
            stack.callback(container.close)
            container.wait_until_healthy()
            client = client_of(number, "AKIAROOT", "root-secret")
            stack.callback(client.close)
            clients.append(client)
        clients[0].create_bucket(Bucket="first")
        clients[0].put_object(Bucket="first", Key="k", Body=b"x" * 200_000)
        assert clients[1].get_object(Bucket="first", Key="k")["Body"].read() == b"x" * 200_000
        assert not (data / "credentials").exists()


# -- as deploy/s3kit.service runs it


def test_it_asks_the_kernel_for_nothing_that_the_unit_forbids(
    image: Image, data: Path, port: int, tmp_path: Path
) -> None:
    """The unit's own command under strace, through a first start, requests and the end.

    Compared are the system calls, the families of sockets, memory that is both written and
    executed, and the files that are opened to be written.
    """
    analyze, strace = shutil.which("systemd-analyze"), shutil.which("strace")
    if analyze is None or strace is None:
        pytest.skip("no systemd-analyze or no strace: apt install systemd strace")
    unit = service()
    trace = tmp_path / "trace"
    container = Container(
        image,
        shlex.split(unit["ExecStart"]),
        environment={"S3KIT_PORT": str(port)},
        volumes={unit["WorkingDirectory"]: data},
        before=[strace, "-f", "-qq", "-o", str(trace), "-s", "200"],
    )
    try:
        container.wait_until_healthy()
        client = client_of(port, *key_pair((data / "credentials").read_text()))
        client.create_bucket(Bucket="first")
        for size in (10, 200_000):
            client.put_object(Bucket="first", Key="k", Body=b"x" * size)
            client.get_object(Bucket="first", Key="k")["Body"].read()
        client.close()
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGTERM)
        container.process.communicate(timeout=120)
    finally:
        container.close()
    text = trace.read_text()
    # From the program's own beginning on.
    text = text[text.index(f'execve("{shlex.split(unit["ExecStart"])[0]}"') :]
    assert "accept" in text, "a server was traced"

    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        named = {
            call for group in line.lstrip("~").split() for call in system_calls(analyze, group)
        }
        allowed = allowed - named if line.startswith("~") else allowed | named
    used = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", text, re.MULTILINE))
    assert len(used) > 50
    assert used <= allowed | {"execve"}
    families = set(re.findall(r"socket\((\w+),", text))
    assert families <= set(unit["RestrictAddressFamilies"].split())
    # What MemoryDenyWriteExecute= forbids.
    assert not re.findall(r".*PROT_WRITE\|PROT_EXEC.*|.*mprotect\([^)]*PROT_EXEC.*", text)
    written = set(
        re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)', text)
    )
    assert written
    own = (unit["WorkingDirectory"], "/tmp/", "/dev/null", "/dev/shm/")
    assert not {path for path in written if not path.startswith(own)}


def system_calls(analyze: str, group: str) -> set[str]:
    """The system calls of one of systemd's groups, those of the groups in it included."""
    done = subprocess.run(
        [analyze, "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
    )
    found: set[str] = set()
    for word in re.findall(r"^    (\S+)$", done.stdout, re.MULTILINE):
        found |= system_calls(analyze, word) if word.startswith("@") else {word}
    return found
