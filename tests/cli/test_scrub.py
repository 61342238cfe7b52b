"""``s3kit scrub`` beside a running endpoint: what it prints, as text and JSON, and exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from s3kit.cli.progress import in_words
from tests.cli.conftest import Serving

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Serving]

BIG = b"x" * 200_000


@pytest.fixture
def blob(serve: Start, tmp_path: Path) -> Path:
    """The file of an object that a running endpoint has."""
    client = serve("--workers", "1").client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="small", Body=b"hello")
    client.put_object(Bucket="first", Key="big", Body=BIG)
    (path,) = (
        each for each in (tmp_path / "data" / "blobs").glob("??/*") if each.stat().st_size > 100
    )
    return path


def test_a_sound_endpoint_ends_with_0_and_a_damaged_one_with_1(run: Run, blob: Path) -> None:
    result = run("scrub")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Read 2 blobs, 195.3 KiB. Nothing is wrong.\n"

    blob.write_bytes(BIG[:-1] + b"y")
    result = run("scrub", "--rate", "100M")
    assert result.returncode == 1
    finding, summary = result.stdout.splitlines()
    assert finding.startswith(f"corrupt: blob {blob.name} on storage default: the MD5 is ")
    assert finding.endswith("(first/big)")
    assert summary == "Read 2 blobs, 195.3 KiB. 1 findings."


def test_as_json_each_line_is_a_document_and_the_last_one_sums_up(run: Run, blob: Path) -> None:
    blob.unlink()
    result = run("scrub", "--json", "--storage", "default")
    assert result.returncode == 1
    finding, summary = map(json.loads, result.stdout.splitlines())
    assert finding == {
        "kind": "missing",
        "storage": "default",
        "blob": blob.name,
        "problem": "there is no such blob",
        "objects": ["first/big"],
    }
    assert summary == {"read": 1, "bytes": 0, "findings": 1, "unopened": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--storage", "defualt"), 'No storage "defualt". Did you mean "default"?'),
        (("--rate", "fast"), "no number of bytes a second"),
        (("--rate", "0"), "no number of bytes a second"),
        (("--data", "nowhere"), "nowhere. Name the endpoint's own with --data."),
        (("--data", "."), "No index"),
    ],
)
def test_what_cannot_be_read_is_refused(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    if "--storage" in arguments:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "s3kit.db").touch()
        result = run("upgrade-index")
        assert result.returncode == 0, result.stderr
    result = run("scrub", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_sizes_in_words() -> None:
    assert [in_words(size) for size in (0, 1023, 1024, 5 * 2**30, 2**52)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "5.0 GiB",
        "4.0 PiB",
    ]
