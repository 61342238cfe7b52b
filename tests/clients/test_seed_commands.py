"""The vendors' own command lines, as they stand in their documents.

Only the endpoint, the bucket and the keys are others; each command is compared with the documents
where they are (beside the repository, in ``shared/seeds``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.conftest import ROOT
from tests.clients.conftest import KEY
from tests.clients.conftest import make_tree
from tests.clients.conftest import program
from tests.clients.conftest import read_tree
from tests.clients.doors import Door

SEEDS = ROOT.parent / "shared" / "seeds"

# 000, Infinite Uploads
INFINITE = "https://s3.us-west-000.backblazeb2.com"
LIST = "aws s3 ls s3://iup-usa/123/xxxxxxxx/ --endpoint-url=" + INFINITE
UPLOAD = (
    "aws s3 cp local_directory/ s3://iup-usa/123/xxxxxxxx/ --recursive --endpoint-url=" + INFINITE
)
DOWNLOAD = (
    "aws s3 cp s3://iup-usa/123/xxxxxxxx/ local_directory --recursive --endpoint-url=" + INFINITE
)
PRESIGN_FOLDER = "aws s3 presign s3://iup-usa/123/xxxxxxxx/ --endpoint-url=" + INFINITE
PRESIGN_FILE = (
    "aws s3 presign s3://iup-usa/123/xxxxxxxx/folder/filename.png --expires-in 300 --endpoint-url="
    + INFINITE
)
S5CMD_LIST = "s5cmd -endpoint-url " + INFINITE + " ls s3://iup-usa/123/xxxxxxxx/"
S5CMD_UPLOAD = "s5cmd -endpoint-url " + INFINITE + " cp my-pets2020.jpg s3://iup-usa/123/xxxxxxxx/"

# 003, CloudStorage
CLOUD = "https://s3.cloudstorage.io"
EXPORT = "export AWS_ENDPOINT_URL=" + CLOUD
FIRST_UPLOAD = "aws s3 --endpoint-url " + CLOUD + " \\\ncp ./my-file.txt s3://my-bucket/my-file.txt"
REMOVE = "aws s3 rb s3://my-bucket --endpoint-url " + CLOUD
REMOVE_ALL = "aws s3 rb s3://my-bucket --force --endpoint-url " + CLOUD
CLIENT = """\
s3 = boto3.client(
"s3",
endpoint_url="https://s3.cloudstorage.io",
region_name="eu-central-1",
aws_access_key_id="YOUR_ACCESS_KEY",
aws_secret_access_key="YOUR_SECRET_KEY",
)
# Upload a file
s3.upload_file("local-file.txt", "my-bucket", "remote-file.txt")
# Download a file
s3.download_file("my-bucket", "remote-file.txt", "downloaded.txt")
# List objects
response = s3.list_objects_v2(Bucket="my-bucket")
for obj in response.get("Contents", []):
print(obj["Key"], obj["Size"])"""
MAKE_BUCKET = """\
s3.create_bucket(
Bucket="my-new-bucket",
CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
)"""
BUCKETS = """\
response = s3.list_buckets()
for bucket in response["Buckets"]:
print(bucket["Name"], bucket["CreationDate"])"""
PUT = """\
# Upload from file
s3.upload_file("local-file.txt", "my-bucket", "path/to/file.txt")
# Upload from bytes
s3.put_object(
Bucket="my-bucket",
Key="hello.txt",
Body=b"Hello, CloudStorage!",
ContentType="text/plain",
)"""
GET = """\
# Download to file
s3.download_file("my-bucket", "path/to/file.txt", "local-file.txt")
# Read into memory
response = s3.get_object(Bucket="my-bucket", Key="hello.txt")
data = response["Body"].read()
print(data.decode("utf-8"))"""
DELETE = """s3.delete_object(Bucket="my-bucket", Key="path/to/file.txt")"""
LISTS = """\
# List all objects
response = s3.list_objects_v2(Bucket="my-bucket")
for obj in response.get("Contents", []):
print(f"{obj['Key']:40s} {obj['Size']:>10d} bytes")
# List with prefix (like a directory)
response = s3.list_objects_v2(Bucket="my-bucket", Prefix="data/2025/")
for obj in response.get("Contents", []):
print(obj["Key"])
# Paginate through many objects
paginator = s3.get_paginator("list_objects_v2")
for page in paginator.paginate(Bucket="my-bucket"):
for obj in page.get("Contents", []):
print(obj["Key"])"""
PRESIGNED_GET = """\
url = s3.generate_presigned_url(
"get_object",
Params={"Bucket": "my-bucket", "Key": "report.pdf"},
ExpiresIn=3600,
)
print(url)"""
PRESIGNED_PUT = """\
url = s3.generate_presigned_url(
"put_object",
Params={
"Bucket": "my-bucket",
"Key": "uploads/user-file.jpg",
"ContentType": "image/jpeg",
},
ExpiresIn=600, # 10 minutes
)"""
CURL = 'curl -X PUT -H "Content-Type: image/jpeg" --data-binary @photo.jpg "URL"'

FROM_000 = (LIST, UPLOAD, DOWNLOAD, PRESIGN_FOLDER, PRESIGN_FILE, S5CMD_LIST, S5CMD_UPLOAD)
FROM_003 = (
    *(EXPORT, FIRST_UPLOAD, REMOVE, REMOVE_ALL, CLIENT, MAKE_BUCKET, BUCKETS, PUT, GET, DELETE),
    *(LISTS, PRESIGNED_GET, PRESIGNED_PUT, CURL),
)

at_doors = pytest.mark.parametrize("door", ["bare", "flask", "nginx"], indirect=True)


class Shell:
    """A user's shell, in which the programs of the documents are installed."""

    def __init__(self, door: Door, home: Path, bucket: str, programs: tuple[str, ...]) -> None:
        self.door = door
        self.home = home
        self.bucket = bucket
        (home / ".aws").mkdir(exist_ok=True)
        folder = home / "bin"
        folder.mkdir()
        for name in programs:
            (folder / name).symlink_to(program(name, home).path)
        self.variables = {
            "HOME": str(home),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if door.certfile is not None:
            for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
                self.variables[name] = str(door.certfile)

    def translate(self, command: str) -> str:
        """The command with this door's endpoint and this test's bucket."""
        for endpoint in (INFINITE, CLOUD):
            command = command.replace(endpoint, self.door.url)
        return command.replace("iup-usa", self.bucket).replace("my-bucket", self.bucket)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", self.translate(command)],
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def curl(self, url: str) -> tuple[str, str]:
        """Status and body."""
        text = self.run(f"curl -sS -w '\\n%{{http_code}}' '{url}'")
        body, _, status = text.rpartition("\n")
        return status, body


def infinite(door: Door, home: Path, bucket: str, *programs: str) -> Shell:
    """A shell after the document's ``aws configure``: no region, no format."""
    shell = Shell(door, home, bucket, (*programs, "curl"))
    write_credentials(home)
    door.client().create_bucket(Bucket=bucket)
    return shell


def write_credentials(home: Path) -> None:
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY.access_key}\n"
        f"aws_secret_access_key = {KEY.secret_key}\n"
    )


@at_doors
def test_a_local_directory_goes_up_is_listed_and_comes_down(
    door: Door, tmp_path: Path, name: str
) -> None:
    """IU-17."""
    shell = infinite(door, tmp_path, name, "aws")
    tree = make_tree(tmp_path / "local_directory", 12)
    shell.run(UPLOAD)
    shown = shell.run(LIST)
    assert [line.strip() for line in shown.splitlines()] == [f"PRE {n}/" for n in range(5)]
    shutil.rmtree(tmp_path / "local_directory")
    shell.run(DOWNLOAD)
    assert read_tree(tmp_path / "local_directory") == tree


@at_doors
def test_presigned_urls_of_a_folder_and_of_a_file(door: Door, tmp_path: Path, name: str) -> None:
    """IU-18: by default for an hour; of a key that ends in "/"; past its time 403.

    Version 1 of the CLI presigns with SigV2 unless told; that is refused in clear words (IU-06).
    """
    shell = infinite(door, tmp_path, name, "aws")
    client = door.client()
    client.put_object(Bucket=name, Key="123/xxxxxxxx/", Body=b"a folder")
    client.put_object(Bucket=name, Key="123/xxxxxxxx/folder/filename.png", Body=b"a picture")
    url = shell.run(PRESIGN_FOLDER).strip()
    if "X-Amz-Signature" not in url:
        status, body = shell.curl(url)
        assert (status, "AWS4-HMAC-SHA256" in body) == ("400", True)
        shell.run("aws configure set default.s3.signature_version s3v4")
        url = shell.run(PRESIGN_FOLDER).strip()
    assert "X-Amz-Expires=3600" in url
    assert shell.curl(url) == ("200", "a folder")
    url = shell.run(PRESIGN_FILE).strip()
    assert "X-Amz-Expires=300" in url
    assert shell.curl(url) == ("200", "a picture")
    status, body = shell.curl(url.replace("filename", "filenome"))
    assert (status, "<Code>SignatureDoesNotMatch</Code>" in body) == ("403", True)
    url = shell.run(PRESIGN_FILE.replace("300", "1")).strip()
    time.sleep(2.1)
    status, body = shell.curl(url)
    assert (status, "<Code>AccessDenied</Code>" in body) == ("403", True)
    assert "Request has expired" in body


@at_doors
def test_s5cmd_lists_and_copies_with_a_credentials_file(
    door: Door, tmp_path: Path, name: str
) -> None:
    """IU-19."""
    shell = infinite(door, tmp_path, name, "s5cmd")
    (tmp_path / "my-pets2020.jpg").write_bytes(b"hello")
    shell.run(S5CMD_UPLOAD)
    assert shell.run(S5CMD_LIST).split()[-2:] == ["5", "my-pets2020.jpg"]


@at_doors
def test_the_quickstart_of_cloudstorage(door: Door, tmp_path: Path, name: str) -> None:
    """CS-02: region eu-central-1; the endpoint in a variable or as an option. CS-08: ``rb``."""
    shell = Shell(door, tmp_path, name, ("aws",))
    shell.run(
        f"aws configure set aws_access_key_id '{KEY.access_key}'\n"
        f"aws configure set aws_secret_access_key '{KEY.secret_key}'\n"
        "aws configure set region eu-central-1"
    )
    (tmp_path / "my-file.txt").write_bytes(b"mine")
    shell.run(f"{EXPORT}\naws s3 mb s3://my-bucket")
    shell.run(FIRST_UPLOAD)
    shown = shell.run(f"{EXPORT}\naws s3 ls s3://my-bucket")
    assert shown.split()[-2:] == ["4", "my-file.txt"]
    shell.run(REMOVE_ALL)
    shell.run(f"{EXPORT}\naws s3 mb s3://my-bucket")
    shell.run(REMOVE)
    assert name not in shell.run(f"{EXPORT}\naws s3 ls")


class Sample:
    """The document's Python, whose indents it has lost, run line after line in one session."""

    def __init__(self, door: Door, bucket: str, printed: list[str]) -> None:
        self.replace = {
            CLOUD: door.url,
            "YOUR_ACCESS_KEY": KEY.access_key,
            "YOUR_SECRET_KEY": KEY.secret_key,
            "my-bucket": bucket,
            "my-new-bucket": f"{bucket}-new",
        }
        self.names: dict[str, Any] = {
            "boto3": boto3,
            "print": lambda *values: printed.append(" ".join(map(str, values))),
        }

    def run(self, code: str) -> None:
        for old, new in self.replace.items():
            code = code.replace(old, new)
        indented, depth = [], 0
        for line in code.splitlines():
            indented.append("    " * depth + line)
            if line.startswith("for "):
                depth += 1
            elif line.startswith("print("):
                depth = 0
        exec("\n".join(indented), self.names)


@at_doors
def test_the_boto3_samples_of_cloudstorage(
    door: Door, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CS-02, CS-10, CS-11, and CS-07's bucket with a LocationConstraint."""
    shell = Shell(door, tmp_path, name, ("curl",))
    monkeypatch.chdir(tmp_path)
    if door.certfile is not None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(door.certfile))
    # As its document shows the URL ("?X-Amz-Algorithm=..."), which boto3 must be told.
    (tmp_path / "config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    printed: list[str] = []
    sample = Sample(door, name, printed)
    (tmp_path / "local-file.txt").write_bytes(b"local")
    door.client().create_bucket(Bucket=name)
    try:
        sample.run(CLIENT)
        assert printed == ["remote-file.txt 5"]
        assert (tmp_path / "downloaded.txt").read_bytes() == b"local"
        sample.run(MAKE_BUCKET)
        printed.clear()
        sample.run(BUCKETS)
        assert {f"{name}-new", name} <= {line.split()[0] for line in printed}

        sample.run(PUT)
        (tmp_path / "local-file.txt").unlink()
        printed.clear()
        sample.run(GET)
        assert printed == ["Hello, CloudStorage!"]
        assert (tmp_path / "local-file.txt").read_bytes() == b"local"
        sample.run(DELETE)
        door.client().put_object(Bucket=name, Key="data/2025/a", Body=b"12345")
        printed.clear()
        sample.run(LISTS)
        assert [line.split()[0] for line in printed] == [
            *("data/2025/a", "hello.txt", "remote-file.txt"),
            "data/2025/a",
            *("data/2025/a", "hello.txt", "remote-file.txt"),
        ]

        door.client().put_object(Bucket=name, Key="report.pdf", Body=b"a report")
        printed.clear()
        sample.run(PRESIGNED_GET)
        assert printed[0].startswith(f"{door.url}/{name}/report.pdf?X-Amz-Algorithm=")
        assert "X-Amz-Expires=3600" in printed[0]
        assert shell.curl(printed[0]) == ("200", "a report")
        sample.run(PRESIGNED_PUT)
        photo = os.urandom(2_000_000)
        (tmp_path / "photo.jpg").write_bytes(photo)
        shell.run(CURL.replace("URL", sample.names["url"]))
        got = door.client().get_object(Bucket=name, Key="uploads/user-file.jpg")
        assert (got["ContentType"], got["Body"].read()) == ("image/jpeg", photo)
        # The type is signed, so another one is refused.
        other = CURL.replace("image/jpeg", "text/html").replace("URL", sample.names["url"])
        assert "SignatureDoesNotMatch" in shell.run(other)
    finally:
        sample.names["s3"].close()


@pytest.mark.optional
def test_the_commands_are_the_documents_own() -> None:
    if not SEEDS.is_dir():
        pytest.skip("the documents are not beside the repository")
    for start, commands in (("000", FROM_000), ("003", FROM_003)):
        (path,) = SEEDS.glob(f"{start}*.txt")
        text = path.read_text()
        for command in commands:
            assert command in text
