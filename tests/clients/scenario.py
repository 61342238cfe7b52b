"""One story for every client: what people do with a bucket, from making it to removing it.

A client is a :class:`Tool`; each method is one thing that it does, with its own command or, where
it has none, with its own idiom (said in the method). boto3 looks after each step at what the
client has done, so a client's own opinion is never the only witness.

Every client stores 200 files and 50 MB at the bare door, the AWS CLI and rclone at each door. The
others store 40 files and 12 MB at the doors besides, so that all of ``tests/clients`` takes less
than four minutes on two cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.conftest import KEY
from tests.clients.conftest import find_program
from tests.clients.conftest import make_tree
from tests.clients.conftest import read_tree
from tests.clients.doors import Door


class Refused(Exception):
    """The client said that the endpoint refused, and what it said."""


class Tool:
    """A client at a door, working in a home folder of its own.

    Paths of files are absolute; ``prefix`` ends in ``/``. Every method raises :class:`Refused`
    when the endpoint refuses.
    """

    name = ""
    syncs = True
    """Whether a second ``upload_tree`` sends nothing that is there already."""
    takes_path = True
    """Whether it can be given an endpoint with a path; else it enters by the host name."""

    def __init__(self, door: Door, home: Path) -> None:
        self.door = door
        self.home = home
        self.url = door.url if self.takes_path else door.root_url

    def close(self) -> None:
        """End what runs."""

    # A client that only uses buckets leaves the next three to boto3.

    def make_bucket(self, bucket: str) -> None:
        self.door.client().create_bucket(Bucket=bucket)

    def buckets(self) -> set[str]:
        """The names of all buckets."""
        return {each["Name"] for each in self.door.client().list_buckets()["Buckets"]}

    def remove_bucket(self, bucket: str) -> None:
        """Remove the bucket, which must be empty."""
        try:
            self.door.client().delete_bucket(Bucket=bucket)
        except ClientError as error:
            raise Refused(str(error)) from None

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        raise NotImplementedError

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        raise NotImplementedError

    def upload(self, path: Path, bucket: str, key: str) -> None:
        """Store one big file, in parts."""
        raise NotImplementedError

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        """The names just below ``prefix``, those of folders with a final ``/``."""
        raise NotImplementedError

    def copy(self, bucket: str, source: str, target: str) -> None:
        raise NotImplementedError

    def move(self, bucket: str, source: str, target: str) -> None:
        raise NotImplementedError

    def presign(self, bucket: str, key: str) -> str:
        """A URL that anybody can read; "" where the client makes none."""
        raise NotImplementedError

    def delete(self, bucket: str, key: str) -> None:
        raise NotImplementedError

    def empty(self, bucket: str) -> None:
        """Remove all objects."""
        raise NotImplementedError


class CommandLine(Tool):
    """A program; ``variables`` and ``options`` are what every command of it is given."""

    program = ""
    variables: dict[str, str]
    options: tuple[str, ...] = ()

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        self.path = self.find()
        if not self.path:
            pytest.skip(f'no working {self.name or self.program}: run eval "$(.ci/clients)"')
        self.variables = {
            "HOME": str(home),
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ACCESS_KEY_ID": KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if door.certfile is not None:
            for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
                self.variables[name] = str(door.certfile)

    def find(self) -> str:
        """The program's path, "" where there is none."""
        return find_program(self.program)

    def converse(self, typed: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it to its end, whatever that is, with ``typed`` for its questions."""
        return subprocess.run(
            [self.path, *self.options, *map(str, arguments)],
            input=typed,
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def run(self, *arguments: str | Path) -> str:
        """Run it to its end and return what it printed.

        :raises Refused: it ended with an error.
        """
        done = self.converse("", *arguments)
        if done.returncode:
            raise Refused(f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


class Agent(Tool):
    """A Python library: a script in the clients' own environment does what it is told.

    It reads a JSON object per line, ``{"do": method, "with": arguments}``, and answers with one.
    """

    def __init__(self, door: Door, home: Path) -> None:
        super().__init__(door, home)
        command = self.command()
        variables = {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath)}
        if door.certfile is not None:
            variables["SSL_CERT_FILE"] = str(door.certfile)
            variables["NODE_EXTRA_CA_CERTS"] = str(door.certfile)
        self.errors = home / "agent.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=home,
                env=variables,
            )
        settings = {
            "url": self.url,
            "access_key": KEY.access_key,
            "secret_key": KEY.secret_key,
            "certfile": str(door.certfile) if door.certfile else None,
        }
        try:
            self.ask(settings)
        except BaseException:
            self.close()
            raise

    def command(self) -> list[str]:
        """What starts the script; skips the test where it cannot start."""
        folder = os.environ.get("S3KIT_TEST_CLIENTS", "")
        python = Path(folder) / "python"
        if not folder or not python.exists():
            pytest.skip('no clients: run eval "$(.ci/clients)"')
        script = Path(__file__).parent / "agents" / f"{self.name}_agent.py"
        return [str(python), "-W", "ignore", str(script)]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, question: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def do(self, method: str, *arguments: Any) -> Any:
        texts = [str(each) if isinstance(each, Path) else each for each in arguments]
        return self.ask({"do": method, "with": texts})

    def make_bucket(self, bucket: str) -> None:
        self.do("make_bucket", bucket)

    def buckets(self) -> set[str]:
        return set(self.do("buckets"))

    def upload_tree(self, folder: Path, bucket: str, prefix: str) -> None:
        self.do("upload_tree", folder, bucket, prefix)

    def download_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.do("download_tree", bucket, prefix, folder)

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.do("upload", path, bucket, key)

    def list_names(self, bucket: str, prefix: str) -> set[str]:
        return set(self.do("list_names", bucket, prefix))

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.do("copy", bucket, source, target)

    def move(self, bucket: str, source: str, target: str) -> None:
        self.do("move", bucket, source, target)

    def presign(self, bucket: str, key: str) -> str:
        url: str = self.do("presign", bucket, key)
        return url

    def delete(self, bucket: str, key: str) -> None:
        self.do("delete", bucket, key)

    def empty(self, bucket: str) -> None:
        self.do("empty", bucket)

    def remove_bucket(self, bucket: str) -> None:
        self.do("remove_bucket", bucket)


# The story


def tell(tool: Tool, *, whole: bool) -> None:
    """Do with the client all that people do, and look each time at what it has done.

    :param whole: 200 files and 50 MB; else 40 and 12 MB.
    """
    witness = Witness(tool.door)
    bucket = f"bucket-{secrets.token_hex(6)}"
    tool.make_bucket(bucket)
    assert bucket in tool.buckets()
    assert bucket in witness.buckets()

    tree = make_tree(tool.home / "up", 200 if whole else 40)
    tool.upload_tree(tool.home / "up", bucket, "tree/")
    sizes = {f"tree/{path}": len(data) for path, data in tree.items()}
    assert witness.sizes(bucket) == sizes
    if tool.syncs:
        before = witness.times(bucket)
        tool.upload_tree(tool.home / "up", bucket, "tree/")
        assert witness.times(bucket) == before

    big = os.urandom(50_000_000 if whole else 12_000_000)
    digest = hashlib.sha256(big).hexdigest()
    (tool.home / "big.bin").write_bytes(big)
    tool.upload(tool.home / "big.bin", bucket, "big.bin")
    head = witness.head(bucket, "big.bin")
    assert head["ContentLength"] == len(big)
    assert "-" in head["ETag"], "not stored in parts"
    del big

    tool.copy(bucket, "big.bin", "copied/big 1.bin")
    assert witness.digest(bucket, "copied/big 1.bin") == digest
    tool.move(bucket, "copied/big 1.bin", "tree/big ü.bin")
    assert set(witness.sizes(bucket)) == {*sizes, "big.bin", "tree/big ü.bin"}
    assert tool.list_names(bucket, "tree/") == {"0/", "1/", "2/", "3/", "4/", "big ü.bin"}

    tool.download_tree(bucket, "tree/", tool.home / "down")
    with (tool.home / "down" / "big ü.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    (tool.home / "down" / "big ü.bin").unlink()
    assert read_tree(tool.home / "down") == tree

    path = "1/1/file 031 ü+%.txt"
    url = tool.presign(bucket, f"tree/{path}")
    if url:
        assert curl(tool, url) == ("200", tree[path].decode())
        assert curl(tool, url.replace("file%20031", "file%20032"))[0] == "403"
    tool.delete(bucket, f"tree/{path}")
    assert set(sizes) - set(witness.sizes(bucket)) == {f"tree/{path}"}

    with pytest.raises(Refused, match=r"BucketNotEmpty|not empty"):
        tool.remove_bucket(bucket)
    tool.empty(bucket)
    assert witness.sizes(bucket) == {}
    tool.remove_bucket(bucket)
    assert bucket not in tool.buckets()
    assert bucket not in witness.buckets()


class Witness:
    """What boto3 sees at the same door."""

    def __init__(self, door: Door) -> None:
        self.client = door.client()

    def buckets(self) -> set[str]:
        return {each["Name"] for each in self.client.list_buckets()["Buckets"]}

    def _objects(self, bucket: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each for page in pages for each in page.get("Contents", [])]

    def sizes(self, bucket: str) -> dict[str, int]:
        """The size of every object but the empty ones that stand for folders."""
        found = {each["Key"]: each["Size"] for each in self._objects(bucket)}
        return {key: size for key, size in found.items() if size or not key.endswith("/")}

    def times(self, bucket: str) -> dict[str, Any]:
        return {each["Key"]: each["LastModified"] for each in self._objects(bucket)}

    def head(self, bucket: str, key: str) -> Any:
        return self.client.head_object(Bucket=bucket, Key=key)

    def digest(self, bucket: str, key: str) -> str:
        found = hashlib.sha256()
        for block in self.client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            found.update(block)
        return found.hexdigest()


def curl(tool: Tool, url: str) -> tuple[str, str]:
    """Status and body of a URL, as curl gets it."""
    trust = ["--cacert", str(tool.door.certfile)] if tool.door.certfile else []
    done = subprocess.run(
        ["curl", "-sS", *trust, "-w", "\n%{http_code}", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    body, _, status = done.stdout.rpartition("\n")
    return status, body
