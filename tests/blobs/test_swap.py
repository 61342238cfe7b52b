"""One line of configuration swaps the backend; everything that clients do stays the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from s3kit import Config
from s3kit import S3App
from s3kit.testing import LiveServer
from tests.file_servers import dav_server
from tests.file_servers import ssh_server

ROOT = Path(__file__).parent.parent.parent
KINDS = ("memory", "local", "s3", "sftp", "webdav", "mirror")
MIB = 1024 * 1024


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The one line."""
    kind = request.param
    if kind == "memory":
        yield "memory://"
    elif kind == "local":
        yield str(tmp_path / "objects")
    elif kind == "mirror":
        yield {"mirror": [str(tmp_path / "near"), {"url": str(tmp_path), "prefix": "far"}]}
    elif kind == "s3":
        pytest.importorskip("s3fs", reason="s3:// needs s3fs")
        options = request.getfixturevalue("second_s3kit")
        bucket = f"swap-{os.getpid()}-{request.node.name.partition('[')[0].replace('_', '-')}"[:60]
        fsspec.filesystem("s3", **options).mkdir(bucket)
        yield {"url": f"s3://{bucket}/objects", "options": options}
    elif kind == "sftp":
        with ssh_server(tmp_path) as ssh:
            yield {"url": f"{ssh.url}/objects", "options": ssh.options}
    else:
        with dav_server(tmp_path) as dav:
            yield {"url": f"{dav.url}/objects", "options": dav.options}


@contextmanager
def client_of(url: str) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
        config=BotoConfig(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


def test_the_same_requests_give_the_same_on_every_backend(storage: Any, tmp_path: Path) -> None:
    config = Config(
        storages={"default": storage},
        index=f"sqlite:///{tmp_path}/index.db",
        keys={"AKIAEXAMPLE": "secret"},
    )
    app = S3App(config)
    try:
        with LiveServer(app) as server, client_of(server.url) as client:
            play(client)
        store = app.store.storages["default"]
        assert len(list(store.sweep())) == 7
        assert app.store.janitor.collect_garbage(grace_seconds=-1) == 7
        assert list(store.sweep()) == []
        assert app.store.sweep_orphans() == 0
    finally:
        app.close()


def play(client: Any) -> None:
    """Everything that touches a blob, the bucket empty at its end."""
    client.create_bucket(Bucket="photos")
    small, middle, large = b"small", os.urandom(200_000), os.urandom(20 * MIB)
    for key, data in (("small", small), ("a/middle", os.urandom(90_000)), ("a/large", large)):
        client.put_object(Bucket="photos", Key=key, Body=data)
    client.put_object(Bucket="photos", Key="a/middle", Body=middle)

    def get(key: str, **named: Any) -> bytes:
        data: bytes = client.get_object(Bucket="photos", Key=key, **named)["Body"].read()
        return data

    assert (get("small"), get("a/middle"), get("a/large")) == (small, middle, large)
    edge = 8 * MIB
    for start, end in ((0, 1), (5, 70_000), (edge - 3, edge + 3), (len(large) - 1, len(large))):
        assert get("a/large", Range=f"bytes={start}-{end - 1}") == large[start:end]
    assert get("a/middle", Range="bytes=-100") == middle[-100:]

    pieces = [large[: 5 * MIB], large[5 * MIB : 11 * MIB], b"end"]
    upload = client.create_multipart_upload(Bucket="photos", Key="b/parts")["UploadId"]
    parts = [
        client.upload_part(
            Bucket="photos", Key="b/parts", UploadId=upload, PartNumber=number, Body=piece
        )
        for number, piece in enumerate(pieces, 1)
    ]
    listed = [{"PartNumber": at, "ETag": part["ETag"]} for at, part in enumerate(parts, 1)]
    client.complete_multipart_upload(
        Bucket="photos", Key="b/parts", UploadId=upload, MultipartUpload={"Parts": listed}
    )
    assert get("b/parts") == b"".join(pieces)
    assert get("b/parts", PartNumber=2) == pieces[1]
    gone = client.create_multipart_upload(Bucket="photos", Key="gone")["UploadId"]
    client.upload_part(Bucket="photos", Key="gone", UploadId=gone, PartNumber=1, Body=middle)
    client.abort_multipart_upload(Bucket="photos", Key="gone", UploadId=gone)

    client.copy_object(Bucket="photos", Key="c/copy", CopySource="photos/a/large")
    assert get("c/copy") == large
    page = client.list_objects_v2(Bucket="photos", Delimiter="/")
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["a/", "b/", "c/"]
    assert [each["Key"] for each in page["Contents"]] == ["small"]

    keys = ["small", "a/middle", "a/large", "b/parts", "c/copy"]
    client.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": key} for key in keys]})
    with pytest.raises(ClientError, match="NoSuchKey"):
        get("a/large")
    client.delete_bucket(Bucket="photos")


def test_the_example_runs_on_every_backend(storage: Any) -> None:
    spec = storage if isinstance(storage, str) else json.dumps(storage)
    with subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "swap_backend.py"), spec, "memory://", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[0-9.:]+", process.stdout.readline())
            assert found
            data = os.urandom(300_000)
            with client_of(found[0]) as client:
                client.create_bucket(Bucket="photos")
                client.put_object(Bucket="photos", Key="key", Body=data)
                assert client.get_object(Bucket="photos", Key="key")["Body"].read() == data
        finally:
            process.terminate()
