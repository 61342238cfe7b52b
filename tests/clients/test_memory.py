"""How much memory big objects take, and how much they do not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scripts.processes import tree
from tests.clients.conftest import SERVERS
from tests.clients.conftest import StartEndpoint
from tests.clients.raw import Connection
from tests.clients.raw import presigned

SIZE = 2 << 30
BLOCK = 1 << 20
LIMIT = 64 << 20


def peak_memory(root: int, *, anew: bool = False) -> dict[int, int]:
    """Each process of a tree with its largest RSS, in bytes.

    :param anew: count from what is in use now.
    """
    peaks = {}
    for pid in tree(root):
        if anew:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks[pid] = int(line.split()[1]) * 1024
    return peaks


def growth(before: dict[int, int], after: dict[int, int]) -> int:
    """How much the peaks grew together, in bytes; less than 0 counts as 0.

    The kernel counts pages in batches for each thread, so a peak can read a little below
    an earlier one.
    """
    assert before
    assert before.keys() == after.keys(), "a process ended or began"
    return max(0, sum(after.values()) - sum(before.values()))


@pytest.mark.parametrize("server", SERVERS)
def test_2_gib_up_and_down_take_less_than_64_mib(
    start: StartEndpoint, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = start(server)
    client = endpoint.client()
    client.create_bucket(Bucket="first")
    # So that everything is loaded, on whichever worker answers.
    for number in range(8):
        endpoint.client().put_object(Bucket="first", Key=f"{number}", Body=bytes(100_000))
        endpoint.client().get_object(Bucket="first", Key=f"{number}")["Body"].read()

    zeros = memoryview(bytes(BLOCK))
    root = endpoint.process.pid
    before = peak_memory(root, anew=True)
    with Connection(endpoint) as connection:
        # A disk that has to write so much may take its time.
        connection.socket.settimeout(120)
        started = time.monotonic()
        connection.send(presigned(endpoint, "PUT", "/first/big", Content_Length=str(SIZE)))
        for _ in range(SIZE // BLOCK):
            connection.socket.sendall(zeros)
        assert connection.answer().status == 200
        up, up_seconds = growth(before, peak_memory(root)), time.monotonic() - started

        before = peak_memory(root, anew=True)
        started = time.monotonic()
        connection.send(presigned(endpoint, "GET", "/first/big"))
        assert connection.head().header("content-length") == str(SIZE)
        left = SIZE
        buffer = bytearray(BLOCK)
        # What came with the head.
        left -= len(connection.received())
        while left:
            count = connection.socket.recv_into(buffer, min(left, BLOCK))
            assert count
            left -= count
        down, down_seconds = growth(before, peak_memory(root)), time.monotonic() - started
    with capsys.disabled():
        print(
            f"\n{server}: PUT of 2 GiB +{up / 2**20:.1f} MiB peak RSS in {up_seconds:.1f} s, "
            f"GET +{down / 2**20:.1f} MiB in {down_seconds:.1f} s"
        )
    client.delete_object(Bucket="first", Key="big")
    assert up < LIMIT
    assert down < LIMIT
