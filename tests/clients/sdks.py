"""SDKs of other languages: their programs in ``tests/clients/sdk``, and what all of them do.

A program is an :class:`~tests.clients.scenario.Agent` in its own language. It also has ``put``
(bucket, key, text, options ``if_match``, ``if_none_match``, ``checksum``), which gives the ETag,
and ``get`` (bucket, key), which gives the text and checks it as far as the SDK can.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import TypeVar

import anycrc
import pytest

from tests.clients.doors import Door
from tests.clients.scenario import Agent
from tests.clients.scenario import Refused

PROGRAMS = Path(__file__).parent / "sdk"

DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: anycrc.Model("CRC32C").calc(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: anycrc.Model("CRC64-NVME").calc(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}

KEYS = (
    "a key with  spaces",
    "plus+and%2Fslash and%percent%41",
    "folder//double///slash",
    "folder/with/a final slash/",
    "/a first slash",
    "ünïcode/日本語/🗂 é",
    "reserved/&=?#:@$,;!'()*~[]{}|\\^`\"<>",
    "dots/.hidden/..two/three...",
)


class Sdk(Agent):
    """An SDK's program."""

    syncs = False
    checksum = "CRC32"
    """What objects have where nobody asks for a checksum: its own, else what S3 adds."""
    checksums: tuple[str, ...] = tuple(DIGESTS)
    """What it can be asked for."""

    def put(self, bucket: str, key: str, text: str, **options: str) -> str:
        etag: str = self.do("put", bucket, key, text, options)
        return etag

    def get(self, bucket: str, key: str) -> str:
        text: str = self.do("get", bucket, key)
        return text


def installed(program: str, path: str) -> tuple[str, Path]:
    """The path of what runs it and of a file in ``S3KIT_TEST_SDKS``; skips where one is missing."""
    folder = os.environ.get("S3KIT_TEST_SDKS", "")
    runs = shutil.which(program) or ""
    if not folder or not runs or not (Path(folder) / path).exists():
        pytest.skip(f'no {program} or no {path}: run eval "$(.ci/sdks)"')
    return runs, Path(folder) / path


Made = TypeVar("Made", bound=Sdk)


@contextmanager
def opened(kind: type[Made], door: Door, home: Path) -> Iterator[Made]:
    """The SDK's program at a door."""
    tool = kind(door, home)
    try:
        yield tool
    finally:
        tool.close()


@contextmanager
def bucket_of(tool: Sdk) -> Iterator[tuple[str, Any]]:
    """A bucket for one test, and boto3 as the witness."""
    bucket = f"bucket-{secrets.token_hex(6)}"
    client = tool.door.client()
    client.create_bucket(Bucket=bucket)
    yield bucket, client
    for each in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=each["Key"])
    client.delete_bucket(Bucket=bucket)


def tell_of_keys(tool: Sdk) -> None:
    """Every key is stored, read, copied and removed under exactly its own name."""
    with bucket_of(tool) as (bucket, client):
        for key in KEYS:
            etag = tool.put(bucket, key, f"the text of {key}")
            assert client.head_object(Bucket=bucket, Key=key)["ETag"] == etag
        assert listed(client, bucket) == set(KEYS)
        for key in KEYS:
            assert tool.get(bucket, key) == f"the text of {key}"
            tool.copy(bucket, key, f"copied {key}")
        assert listed(client, bucket) == {*KEYS, *(f"copied {key}" for key in KEYS)}
        for key in KEYS:
            tool.delete(bucket, f"copied {key}")
        assert listed(client, bucket) == set(KEYS)
        tool.empty(bucket)
        assert listed(client, bucket) == set()


def tell_of_checksums(tool: Sdk) -> None:
    """Objects keep the checksum that the SDK sent, by default and when asked for one."""
    text = "a text with ü"
    with bucket_of(tool) as (bucket, client):
        for asked in ("", *tool.checksums):
            algorithm = asked or tool.checksum
            tool.put(bucket, "k", text, **({"checksum": asked} if asked else {}))
            head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
            found = {name: head[name] for name in head if name.startswith("Checksum")}
            found.pop("ChecksumType", None)
            digest = DIGESTS[algorithm](text.encode())
            want = {f"Checksum{algorithm}": base64.b64encode(digest).decode()}
            assert found == want, (asked, found, want)
            assert tool.get(bucket, "k") == text


def tell_of_conditions(tool: Sdk) -> None:
    """Conditional puts: made once, replaced by who knows what is there, and by nobody else."""
    with bucket_of(tool) as (bucket, _):
        etag = tool.put(bucket, "k", "first", if_none_match="*")
        with pytest.raises(Refused, match=r"PreconditionFailed|pre-?conditions"):
            tool.put(bucket, "k", "second", if_none_match="*")
        assert tool.get(bucket, "k") == "first"
        other = tool.put(bucket, "k", "third", if_match=etag)
        assert other != etag
        with pytest.raises(Refused, match=r"PreconditionFailed|pre-?conditions"):
            tool.put(bucket, "k", "fourth", if_match=etag)
        assert tool.get(bucket, "k") == "third"


def tell_of_errors(tool: Sdk) -> None:
    """The SDK knows errors by their codes."""
    with bucket_of(tool) as (bucket, _):
        with pytest.raises(Refused, match=r"NoSuchKey|key does not exist"):
            tool.get(bucket, "none")
        with pytest.raises(Refused, match=r"NoSuchBucket|bucket does not exist"):
            tool.get(f"{bucket}-none", "k")


def listed(client: Any, bucket: str) -> set[str]:
    return {each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])}
