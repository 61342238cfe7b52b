"""Clients that cannot run here, replayed from public sources through every door."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.captured.replay import Replay
from tests.captured.replay import read
from tests.clients.conftest import Endpoint
from tests.clients.doors import Door

MEBIBYTE = 1 << 20
CLIENTS = {"cyberduck": 10 * MEBIBYTE, "s3browser": 8 * MEBIBYTE, "winscp": 5 * MEBIBYTE}
"""The clients and the sizes of their parts."""


@pytest.mark.parametrize("way", ["endpoint", "host"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_gets_what_it_relies_on(client: str, way: str, door: Door) -> None:
    """IU-14, IU-15, FB-22; they are told a host, so an endpoint with a path is more than enough."""
    if way == "host" and not door.has_path:
        way = "endpoint"
    url = door.url if way == "endpoint" else door.root_url
    bucket = f"bucket-{secrets.token_hex(6)}"
    files = {
        "small": "a text with ü\n".encode(),
        "part_1": os.urandom(CLIENTS[client]),
        "part_2": os.urandom(MEBIBYTE),
    }
    replay = Replay(door, url, bucket, files)
    witness = door.client()
    try:
        for exchange in read(client):
            replay.play(exchange)
        left = {
            each["Key"]: witness.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            for each in witness.list_objects_v2(Bucket=bucket)["Contents"]
        }
    finally:
        replay.close()
    big = files["part_1"] + files["part_2"]
    assert (
        left
        == {
            "cyberduck": {"~$Name.pptx": big},
            "s3browser": {"123/a file.docx": files["small"], "big.pdf": big},
            "winscp": {"a folder/": b"", "a folder/renamed.txt": files["small"], "big.bin": big},
        }[client]
    )
    for key in left:
        witness.delete_object(Bucket=bucket, Key=key)
    witness.delete_bucket(Bucket=bucket)


class PinnedDoor(Door):
    """``s3kit serve`` that takes no region in a signature but its own."""

    name = "pinned"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        settings = folder / "s3kit.toml"
        settings.write_text("pin_region = true\n")
        self.endpoint = Endpoint("gunicorn", folder, "--config", str(settings))
        self.url = self.root_url = self.endpoint.url

    def close(self) -> None:
        super().close()
        self.endpoint.close()


def test_winscp_learns_the_region_from_the_error(tmp_path: Path) -> None:
    """Its next request is signed for the Region of AuthorizationHeaderMalformed."""
    door = PinnedDoor(tmp_path)
    replay = Replay(door, door.url, "bucket", {"small": b"", "part_1": b"", "part_2": b""})
    try:
        first, second, *_ = read("winscp")
        assert "/eu-west-1/" in dict(second.headers)["Authorization"]
        replay.play(first)
        answer = replay.play(second)
        assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
        assert b"<Region>us-east-1</Region>" in answer.body
    finally:
        replay.close()
        door.close()


def test_php_puts_slashes_into_the_bucket(door: Door) -> None:
    """IU-20: the bucket ends where the first of them was encoded."""
    bucket = f"bucket-{secrets.token_hex(6)}"
    witness = door.client()
    witness.create_bucket(Bucket=bucket)
    key = "123/xxxxxxxx/new/file name.png"
    for url in {door.url, door.root_url}:
        replay = Replay(door, url, bucket, {"small": b"a picture"})
        try:
            for exchange in read("php"):
                replay.play(exchange)
        finally:
            replay.close()
        assert [each["Key"] for each in witness.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
        witness.delete_object(Bucket=bucket, Key=key)
    witness.delete_bucket(Bucket=bucket)
