"""Requests into a whole endpoint, from several threads, so that commits are made in groups.

Run by test_crash.py under strace: store_writer.py FOLDER STEPS DURABILITY
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator

import s3kit
from tests.client import Client
from tests.client import Signer

THREADS = 4
BUCKET = "/bucket"
SIGNER = Signer("AKIAEXAMPLE", "secret")


def open_app(folder: str, durability: str) -> s3kit.S3App:
    return s3kit.S3App(
        s3kit.Config(
            storages={"default": f"file://{folder}/blobs"},
            index=f"sqlite:///{folder}/index.db",
            keys={SIGNER.access_key: SIGNER.secret_key},
            inline_threshold=1000,
            durability=durability,  # type: ignore[arg-type]
        )
    )


def steps(thread: int) -> Iterator[tuple[str, str, bytes]]:
    """What a thread does, for ever the same: (action, key, body)."""
    chance = random.Random(thread)
    while True:
        key = f"{BUCKET}/{thread}/{chance.randrange(3)}"
        action = chance.choice(("small", "large", "large", "multipart", "copy", "delete"))
        size = {"small": 300, "large": 3000, "multipart": 4000}.get(action, 0)
        yield action, key, chance.randbytes(size)


def states(thread: int, done: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The keys of a thread after so many steps, and after one more."""
    now: dict[str, bytes] = {}
    before = now
    for _, (action, key, body) in zip(range(done + 1), steps(thread), strict=False):
        before = dict(now)
        if action == "delete":
            now.pop(key, None)
        elif action != "copy":
            now[key] = body
        elif key in now:
            now[f"{key}-copy"] = now[key]
    return before, now


def perform(client: Client, action: str, key: str, body: bytes) -> None:
    if action in ("small", "large"):
        answer = client.put(key, body)
    elif action == "delete":
        answer = client.delete(key)
    elif action == "copy":
        if client.head(key).status == 404:
            return
        answer = client.put(f"{key}-copy", x_amz_copy_source=key)
    else:
        upload = client.post(key, query="uploads").text("UploadId")
        part = client.put(key, body, query=f"partNumber=1&uploadId={upload}")
        etag = part.headers["etag"]
        document = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        )
        answer = client.post(key, document.encode(), query=f"uploadId={upload}")
    assert answer.status in (200, 204), answer


def main(folder: str, count: int, durability: str) -> None:
    app = open_app(folder, durability)
    client = Client(app, SIGNER)
    assert client.put(BUCKET).status == 200
    os.write(2, b"ack bucket\n")

    def work(thread: int) -> None:
        for number, (action, key, body) in zip(range(count), steps(thread), strict=False):
            perform(client, action, key, body)
            os.write(2, b"ack %d %d\n" % (thread, number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
