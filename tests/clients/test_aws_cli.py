"""The AWS CLI over real sockets, on both servers, with and without TLS."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Serving
from tests.clients.conftest import KEY
from tests.clients.conftest import SERVERS
from tests.clients.conftest import Endpoint
from tests.clients.conftest import Program
from tests.clients.conftest import make_tree
from tests.clients.conftest import program
from tests.clients.conftest import read_tree


@pytest.fixture
def aws(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``aws s3 ...`` in ``tmp_path``, with no region set (IU-12)."""
    found = program("aws", tmp_path)

    def run(endpoint: Endpoint, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return found.run(endpoint, "s3", *arguments, f"--endpoint-url={endpoint.url}", code=code)

    return run


Aws = Callable[..., subprocess.CompletedProcess[str]]


def sign_with_version_4(home: Path) -> None:
    """As users of version 1 do with ``aws configure set default.s3.signature_version s3v4``."""
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")


def fetch(curl: Program, endpoint: Endpoint, url: str) -> tuple[str, str]:
    """Status and body of a URL."""
    trust = ["--cacert", str(endpoint.certfile)] if endpoint.certfile else []
    done = curl.run(endpoint, "-sS", *trust, "-w", "\n%{http_code}", url)
    body, _, status = done.stdout.rpartition("\n")
    return status, body


def test_the_story_of_a_bucket(
    endpoint: Endpoint, name: str, aws: Aws, curl: Program, tmp_path: Path, big_file: Path
) -> None:
    sign_with_version_4(tmp_path)
    bucket = f"s3://{name}"
    aws(endpoint, "mb", bucket)
    tree = make_tree(tmp_path / "up")
    aws(endpoint, "sync", "up", f"{bucket}/tree")
    assert aws(endpoint, "sync", "up", f"{bucket}/tree").stdout == ""
    lines = aws(endpoint, "ls", f"{bucket}/tree/").stdout.split("\n")
    assert [line.strip() for line in lines if line] == [f"PRE {n}/" for n in range(5)]

    aws(endpoint, "cp", str(big_file), f"{bucket}/big")
    head = endpoint.client().head_object(Bucket=name, Key="big")
    assert head["ContentLength"] == 50_000_000
    assert head["ETag"].endswith('-6"')
    aws(endpoint, "cp", f"{bucket}/big", f"{bucket}/copy of big")
    aws(endpoint, "mv", f"{bucket}/copy of big", f"{bucket}/tree/big ü")
    aws(endpoint, "sync", f"{bucket}/tree", "down")
    down = read_tree(tmp_path / "down")
    assert down.pop("big ü") == big_file.read_bytes()
    assert down == tree

    some = "0/0/file 000 ü+%.txt"
    url = aws(endpoint, "presign", f"{bucket}/tree/{some}").stdout.strip()
    assert fetch(curl, endpoint, url) == ("200", tree[some].decode())
    assert "BucketNotEmpty" in aws(endpoint, "rb", bucket, code=1).stderr
    aws(endpoint, "rm", f"{bucket}/big")
    # CS-08
    aws(endpoint, "rb", bucket, "--force")
    assert name not in aws(endpoint, "ls").stdout


def test_the_commands_of_the_seed_with_a_folder_in_a_bucket(
    plain: Endpoint, name: str, aws: Aws, tmp_path: Path
) -> None:
    """IU-17."""
    plain.client().create_bucket(Bucket=name)
    site = f"s3://{name}/123/xxxxxxxx/"
    tree = make_tree(tmp_path / "local_directory", 12)
    aws(plain, "cp", "local_directory/", site, "--recursive")
    shown = aws(plain, "ls", site).stdout
    assert [line.strip() for line in shown.splitlines()] == [f"PRE {n}/" for n in range(5)]
    aws(plain, "cp", site, "copied", "--recursive")
    assert read_tree(tmp_path / "copied") == tree


def test_presigned_urls_of_the_seed(plain: Endpoint, name: str, aws: Aws, curl: Program) -> None:
    """IU-18: by default for an hour; of a key that ends in "/"; past its time 403.

    Version 1 of the CLI presigns with SigV2 unless told; that is refused in clear words (IU-06).
    """
    client = plain.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="123/xxxxxxxx/", Body=b"a folder")
    client.put_object(Bucket=name, Key="123/xxxxxxxx/folder/filename.png", Body=b"a picture")
    url = aws(plain, "presign", f"s3://{name}/123/xxxxxxxx/").stdout.strip()
    if "X-Amz-Signature" not in url:
        status, body = fetch(curl, plain, url)
        assert (status, "AWS4-HMAC-SHA256" in body) == ("400", True)
        sign_with_version_4(curl.home)
        url = aws(plain, "presign", f"s3://{name}/123/xxxxxxxx/").stdout.strip()
    assert "X-Amz-Expires=3600" in url
    assert fetch(curl, plain, url) == ("200", "a folder")
    picture = f"s3://{name}/123/xxxxxxxx/folder/filename.png"
    url = aws(plain, "presign", picture, "--expires-in", "300").stdout.strip()
    assert "X-Amz-Expires=300" in url
    assert fetch(curl, plain, url) == ("200", "a picture")
    status, body = fetch(curl, plain, url.replace("filename", "filenome"))
    assert (status, "<Code>SignatureDoesNotMatch</Code>" in body) == ("403", True)
    url = aws(plain, "presign", picture, "--expires-in", "1").stdout.strip()
    time.sleep(2.1)
    status, body = fetch(curl, plain, url)
    assert (status, "<Code>AccessDenied</Code>" in body) == ("403", True)
    assert "Request has expired" in body


@pytest.mark.parametrize("server", SERVERS)
def test_the_line_that_serve_prints_stores_and_reads_a_file(tmp_path: Path, server: str) -> None:
    """What a new user pastes."""
    found = program("aws", tmp_path)
    serving = Serving(["--server", server], tmp_path, {})
    try:
        line = serving.text.strip().splitlines()[-1].strip()
        path = os.pathsep.join([os.path.dirname(found.path), os.environ["PATH"]])
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "hello"
    finally:
        serving.close()


def test_the_key_may_be_in_the_credentials_file(plain: Endpoint, name: str, tmp_path: Path) -> None:
    plain.client().create_bucket(Bucket=name)
    credentials = tmp_path / ".aws" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text(
        f"[default]\naws_access_key_id = {KEY.access_key}\n"
        f"aws_secret_access_key = {KEY.secret_key}\n"
    )
    done = subprocess.run(
        [program("aws", tmp_path).path, "s3", "ls", "--endpoint-url", plain.url],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert name in done.stdout, done.stderr
