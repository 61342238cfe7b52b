"""Host apps as their users run them: a project in a folder, a command, a real socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from scripts.processes import free_port
from tests.cli.conftest import ROOT
from tests.cli.conftest import environment
from tests.client import Client
from tests.client import Signer
from tests.clients.conftest import KEY
from tests.clients.conftest import program
from tests.waiting import eventually

GUNICORN = ("-m", "gunicorn", "-k", "gthread", "--threads", "8", "--bind", "127.0.0.1:{port}")

S3KIT = f"""{{
    "keys": {{"{KEY.access_key}": {KEY.secret_key!r}}},
    "index": "sqlite:///s3kit.db",
    "storages": {{"default": "blobs"}},
}}"""
"""As Python's source; relative paths, so that it lies in the folder of the project."""

ODD_NAMES = ("a%2Fb c+d ü.txt", "plus+plus", "per%cent", "empty")


class Host:
    """A running host app; ``{port}`` in the arguments is its port."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        port = free_port()
        paths = [str(ROOT), str(ROOT / "contrib"), str(folder)]
        self.variables = {**environment(**variables), "PYTHONPATH": os.pathsep.join(paths)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(each.replace("{port}", str(port)) for each in arguments)],
                cwd=folder,
                env=self.variables,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.url = f"http://127.0.0.1:{port}"
        self.s3_url = self.url + "/s3"
        self._clients: list[Any] = []
        try:
            eventually(self._answers, f"{arguments} does not answer")
        except BaseException:
            self.close()
            print(self.log.read_text())
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/")[0] == 200
        return False

    def client(self, **settings: Any) -> Any:
        """A boto3 client of the mounted endpoint."""
        client = boto3.client(
            "s3",
            endpoint_url=self.s3_url,
            region_name="us-east-1",
            aws_access_key_id=KEY.access_key,
            aws_secret_access_key=KEY.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **settings),
        )
        self._clients.append(client)
        return client

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def request(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A signed request whose target is sent, and signed, as it stands."""
        sent = self.signed(method, target, body, **headers)
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def signed(
        self, method: str, target: str, body: bytes = b"", *, signer: Signer = KEY, **headers: str
    ) -> dict[str, str]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, self.url + target, names, body)
        request.context["payload_signing_enabled"] = True
        S3SigV4Auth(Credentials(signer.access_key, signer.secret_key), "s3", "us-east-1").add_auth(
            request
        )
        return dict(request.headers.items())

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[Host]:
    """The host app while the block runs."""
    host = Host(folder, *arguments, **variables)
    try:
        yield host
    finally:
        host.close()
        shutil.rmtree(folder / "blobs", ignore_errors=True)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the host app, to its end."""
    paths = [str(ROOT), str(ROOT / "contrib"), str(folder)]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment(), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def copy_with_aws(host: Host, folder: Path) -> None:
    """``aws s3 cp`` up and down: keys with ``%2F``, blanks and ``+``, and a multipart upload."""
    aws = program("aws", folder)
    up, down = folder / "up", folder / "down"
    up.mkdir()
    for name in ODD_NAMES:
        (up / name).write_text("" if name == "empty" else name)
    (up / "big one+%2F.bin").write_bytes(os.urandom(9_000_000))
    bucket = "s3://copied"
    client = host.client()
    client.create_bucket(Bucket="copied")
    for arguments in (
        ("up", f"{bucket}/dir", "--recursive"),
        (f"{bucket}/dir", "down", "--recursive"),
    ):
        aws.run(Nothing, "s3", "cp", *arguments, "--endpoint-url", host.s3_url)
    sent = {path.name: path.read_bytes() for path in up.iterdir()}
    assert {path.name: path.read_bytes() for path in down.iterdir()} == sent
    listed = client.list_objects_v2(Bucket="copied")["Contents"]
    assert {each["Key"] for each in listed} == {f"dir/{name}" for name in sent}
    (big,) = (each for each in listed if "big" in each["Key"])
    assert big["ETag"].endswith('-2"')


def client_of(app: Any, signer: Signer | None) -> Client:
    """A client in this process of what a host app has mounted at ``/s3``."""

    def whole(environ: dict[str, Any], start_response: Any) -> Any:
        # It is the host that finds the mount.
        environ["PATH_INFO"] = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        return app({**environ, "SCRIPT_NAME": ""}, start_response)

    return Client(whole, signer, mount="/s3")


class Nothing:
    """In the place of an endpoint where only its certificate is asked for."""

    certfile = None


def tell_raw_targets_apart(host: Host) -> None:
    """What is signed in an unusual spelling arrives only where the server gives the raw target."""
    client = host.client()
    client.create_bucket(Bucket="spelt")
    # IU-20: PHP's SDK encodes the slashes of what it takes for a bucket.
    targets = {
        "/s3/spelt/b%2Fa": "b/a",
        "/s3/spelt/x//y": "x//y",
        "/s3/spelt%2F123%2F/key": "123/key",
        "/s3/spelt/%7Etilde%2b": "~tilde+",
    }
    for target, key in targets.items():
        status, _, body = host.request("PUT", target, key.encode())
        assert status == 200, (target, body)
        assert client.get_object(Bucket="spelt", Key=key)["Body"].read() == key.encode()
        assert host.request("GET", target)[0] == 200
    url = client.generate_presigned_url("get_object", Params={"Bucket": "spelt", "Key": "b/a"})
    target = url.removeprefix(host.url)
    with contextlib.closing(host.connect()) as connection:
        connection.request("GET", target)
        assert connection.getresponse().status == 200


def upload_form(client: Any, bucket: str, key: str, data: bytes) -> tuple[bytes, str]:
    """The body and Content-Type of a browser's upload."""
    post = client.generate_presigned_post(bucket, key)
    boundary = "----s3kit"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in post["fields"].items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    body = "".join(parts).encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def pass_the_hosts_limits(host: Host) -> None:
    """The host takes 1,000 bytes at ``/form``; S3 takes what S3 takes."""
    client = host.client()
    client.create_bucket(Bucket="limits")
    data = os.urandom(300_000)
    client.put_object(Bucket="limits", Key="put", Body=data)
    form, content_type = upload_form(client, "limits", "posted", data)
    with contextlib.closing(host.connect()) as connection:
        connection.request("POST", "/s3/limits", form, {"Content-Type": content_type})
        answer = connection.getresponse()
        assert answer.status == 204, answer.read()
        answer.read()
    for key in ("put", "posted"):
        assert client.get_object(Bucket="limits", Key=key)["Body"].read() == data
    for size, good in ((900, True), (5_000, False)):
        with contextlib.closing(host.connect()) as connection:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/form", b"a=" + b"b" * size, headers)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status == 200) is good, (size, answer.status)


def upload_in_chunks(host: Host) -> None:
    """A body in chunks is stored whole; one that breaks off is not stored at all."""
    host.client().create_bucket(Bucket="chunks")
    for key, end in (("whole", b"0\r\n\r\n"), ("broken", b"")):
        target = f"/s3/chunks/{key}"
        netloc = urlsplit(host.url).netloc
        lines = [f"PUT {target} HTTP/1.1", f"Host: {netloc}", "Transfer-Encoding: chunked"]
        # Signed with the hash of what has come, so that only the missing end is wrong.
        lines += [
            f"{name}: {value}" for name, value in host.signed("PUT", target, b"hello").items()
        ]
        head = "\r\n".join(line for line in lines if not line.startswith("Content-Length"))
        with socket.create_connection(
            ("127.0.0.1", int(netloc.partition(":")[2])), 30
        ) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n5\r\nhello\r\n" + end)
            if end:
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200"), answer
    # The broken one is refused to nobody: its sender is gone.
    time.sleep(0.3)
    listed = host.client().list_objects_v2(Bucket="chunks")["Contents"]
    assert [(each["Key"], each["Size"]) for each in listed] == [("whole", 5)]
