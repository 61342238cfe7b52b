"""s5cmd over real sockets, on both servers, with and without TLS. It is written in Go."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.clients.conftest import Endpoint
from tests.clients.conftest import Program
from tests.clients.conftest import make_tree
from tests.clients.conftest import program
from tests.clients.conftest import read_tree

S5cmd = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def s5cmd(tmp_path: Path) -> S5cmd:
    """``s5cmd`` in ``tmp_path``."""
    found = program("s5cmd", tmp_path)

    def run(
        endpoint: Endpoint, *arguments: str, code: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return found.run(
            endpoint, "--endpoint-url", endpoint.url, *arguments, code=code, **variables
        )

    return run


def test_the_story_of_a_bucket(
    endpoint: Endpoint, name: str, s5cmd: S5cmd, curl: Program, tmp_path: Path, big_file: Path
) -> None:
    bucket = f"s3://{name}"
    s5cmd(endpoint, "mb", bucket)
    tree = make_tree(tmp_path / "up")
    s5cmd(endpoint, "sync", "up/", f"{bucket}/tree/")
    assert s5cmd(endpoint, "sync", "up/", f"{bucket}/tree/").stdout == ""
    shown = s5cmd(endpoint, "ls", f"{bucket}/tree/").stdout
    assert [line.split() for line in shown.splitlines()] == [["DIR", f"{n}/"] for n in range(5)]

    s5cmd(endpoint, "cp", "--part-size", "8", str(big_file), f"{bucket}/big")
    assert endpoint.client().head_object(Bucket=name, Key="big")["ETag"].endswith('-6"')
    s5cmd(endpoint, "cp", f"{bucket}/big", f"{bucket}/copied")
    s5cmd(endpoint, "mv", f"{bucket}/copied", f"{bucket}/tree/moved")
    s5cmd(endpoint, "sync", f"{bucket}/tree/*", "down/")
    down = read_tree(tmp_path / "down")
    assert down.pop("moved") == big_file.read_bytes()
    assert down == tree

    some = "0/0/file 000 ü+%.txt"
    url = s5cmd(endpoint, "presign", f"{bucket}/tree/{some}").stdout.strip()
    trust = ["--cacert", str(endpoint.certfile)] if endpoint.certfile else []
    assert curl.run(endpoint, "-sSf", *trust, url).stdout == tree[some].decode()
    s5cmd(endpoint, "rb", bucket, code=1)
    removed = s5cmd(endpoint, "rm", f"{bucket}/*").stdout
    assert len(removed.splitlines()) == 202
    s5cmd(endpoint, "rb", bucket)
    assert name not in s5cmd(endpoint, "ls").stdout


def test_ls_and_cp_with_a_credentials_file(
    plain: Endpoint, name: str, s5cmd: S5cmd, tmp_path: Path
) -> None:
    """IU-19."""
    plain.client().create_bucket(Bucket=name)
    credentials = tmp_path / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text(
        f"[default]\naws_access_key_id = {KEY.access_key}\n"
        f"aws_secret_access_key = {KEY.secret_key}\n"
    )
    (tmp_path / "file").write_bytes(b"hello")
    no_variables = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    s5cmd(plain, "cp", "file", f"s3://{name}/123/xxxxxxxx/", **no_variables)
    shown = s5cmd(plain, "ls", f"s3://{name}/123/xxxxxxxx/", **no_variables).stdout
    assert shown.split()[-2:] == ["5", "file"]
