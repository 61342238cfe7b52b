"""A117 to A119: what concurrent callers may see."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.attacks.effects import assert_absent
from tests.attacks.effects import assert_holds
from tests.attacks.effects import keys_of
from tests.client import Answer
from tests.client import Client

WRITERS = 8


def together(*calls: Callable[[], Answer]) -> list[Answer]:
    """All calls at once, each in a thread."""
    barrier = threading.Barrier(len(calls))

    def start(each: Callable[[], Answer]) -> Answer:
        barrier.wait(60)
        return each()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


@pytest.mark.parametrize("size", [10, 10_000], ids=["inline", "blob"])
def test_a117_a_conditional_create_has_exactly_one_winner(
    s3: Client, bucket: str, size: int
) -> None:
    for turn in range(5):
        path = f"{bucket}/{turn}"

        def write(number: int, path: str = path) -> Answer:
            return s3.put(path, bytes([number]) * size, If_None_Match="*")

        answers = together(*(lambda n=n: write(n) for n in range(WRITERS)))
        winners = [n for n, answer in enumerate(answers) if answer.status == 200]
        assert len(winners) == 1
        assert {answer.status for answer in answers} <= {200, 412, 409}
        assert_holds(s3, path, bytes(winners) * size)


def test_a117_an_update_of_a_known_etag_has_exactly_one_winner(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"
    etag = s3.put(path, b"first").headers["etag"]

    def write(number: int) -> Answer:
        return s3.put(path, bytes([number]), If_Match=etag)

    answers = together(*(lambda n=n: write(n) for n in range(WRITERS)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * (WRITERS - 1)


def test_a117_a_completed_upload_is_a_conditional_create_too(s3: Client, bucket: str) -> None:
    path = f"{bucket}/k"

    def completing() -> Callable[[], Answer]:
        upload = s3.post(path, query="uploads").text("UploadId")
        etag = s3.put(path, b"part", f"partNumber=1&uploadId={upload}").headers["etag"]
        part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        return lambda: s3.post(path, body, f"uploadId={upload}", If_None_Match="*")

    calls = [completing() for _ in range(4)]
    answers = together(*calls, lambda: s3.put(path, b"part", If_None_Match="*"))
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.status for answer in answers} == {200, 412}


@pytest.mark.parametrize("size", [100, 20_000], ids=["inline", "blob"])
def test_a118_a_reader_sees_one_write_whole(s3: Client, bucket: str, size: int) -> None:
    path = f"{bucket}/k"
    bodies = [bytes([number]) * size for number in range(WRITERS)]
    etags = {f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"': body for body in bodies}
    s3.put(path, bodies[0])
    stop = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not stop.is_set():
            answer = s3.get(path)
            if answer.status != 200 or etags.get(answer.headers["etag"]) != answer.body:
                torn.append((answer.status, answer.headers))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            answers = together(*(lambda b=b: s3.put(path, b) for b in bodies))
            assert {answer.status for answer in answers} == {200}
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert torn == []
    # Read after write: what was acknowledged last is there.
    for body in bodies:
        s3.put(path, body)
        assert_holds(s3, path, body)
        assert s3.head(path).headers["content-length"] == str(size)
        assert s3.get(bucket).texts("Contents/Size") == [str(size)]
    s3.delete(path)
    assert_absent(s3, path)


def test_a119_a_bucket_that_holds_something_is_not_removed(s3: Client, bucket: str) -> None:
    s3.put(f"{bucket}/k", b"x")
    answer = s3.delete(bucket)
    assert (answer.status, answer.code) == (409, "BucketNotEmpty")
    assert_holds(s3, f"{bucket}/k", b"x")
    s3.delete(f"{bucket}/k")
    assert s3.delete(bucket).status == 204
    assert s3.head(bucket).status == 404


def test_a119_a_bucket_is_removed_or_written_to_but_not_both(s3: Client) -> None:
    for turn in range(10):
        bucket = f"/raced-{turn}"
        s3.put(bucket)
        writers = [partial(s3.put, f"{bucket}/{n}", b"x") for n in range(4)]
        deleted, *written = together(partial(s3.delete, bucket), *writers)
        stored = [str(n) for n, answer in enumerate(written) if answer.status == 200]
        if deleted.status == 204:
            assert stored == []
            assert s3.head(bucket).status == 404
        else:
            assert deleted.code == "BucketNotEmpty"
            assert keys_of(s3, bucket) == stored
        assert {answer.status for answer in written} <= {200, 404}
