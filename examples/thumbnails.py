"""Make a thumbnail of each picture stored in the bucket "photos", and refuse what is no picture.

Run it:  python examples/thumbnails.py thumbnails/
         Pictures are PPM files here, so that no picture library is needed.
"""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import object_created

s3 = S3App(Config(keys={"AKIAEXAMPLE": "secret"}))
jobs: queue.Queue[Event] = queue.Queue()


@before_object_created.connect_via("photos")
def only_pictures(bucket: str, *, event: Event) -> None:
    """Called before the commit: Veto makes the upload an AccessDenied."""
    if not event.key.endswith(".ppm"):
        raise Veto("Only .ppm files may be stored here.")


@object_created.connect_via("photos")
def enqueue(bucket: str, *, event: Event) -> None:
    """Called after the commit in the request's thread, so the work is left to another."""
    jobs.put(event)


def make_thumbnails(folder: Path) -> None:
    """Shrink every picture to a quarter: each fourth pixel of each fourth row."""
    while True:
        event = jobs.get()
        version = s3.store.objects.get(s3.store.buckets.get(event.bucket), event.key.encode())
        _, size, _, pixels = b"".join(s3.store.objects.read(version)).split(b"\n", 3)
        width, height = map(int, size.split())
        rows = [pixels[3 * width * y : 3 * width * (y + 1)] for y in range(0, height, 4)]
        small = b"".join(row[3 * x : 3 * x + 3] for row in rows for x in range(0, width, 4))
        header = f"P6\n{(width + 3) // 4} {len(rows)}\n255\n".encode()
        (folder / f"{event.etag}.ppm").write_bytes(header + small)


if __name__ == "__main__":
    threading.Thread(target=make_thumbnails, args=(Path(sys.argv[1]),), daemon=True).start()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    server = make_server("127.0.0.1", port, s3, threaded=True)
    print(f"S3 at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
