"""Keep an index of the words in the bucket "texts" in step with it, whatever dies meanwhile.

Run it:  python examples/durable.py data/
         Kill it as you like: what it has not indexed yet it indexes at its next start. Other
         processes can do the work too, see docs/events.md.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App
from s3kit.errors import NoSuchKey
from s3kit.signals import Event
from s3kit.signals import durable
from s3kit.signals import object_created
from s3kit.signals import object_removed

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
s3 = S3App(
    Config(
        index=f"sqlite:///{folder / 's3kit.db'}",
        storages={"default": str(folder / "blobs")},
        keys={"AKIAEXAMPLE": "secret"},
    )
)


@durable(object_created, object_removed, bucket="texts", name="words")
def index_words(bucket: str, *, event: Event) -> None:
    """Called at least once for each event, those of a key in their order, in a thread of ours."""
    try:
        words = set(s3.client().get(bucket, event.key).decode("utf-8", "replace").lower().split())
    except NoSuchKey:
        words = set()
    with sqlite3.connect(folder / "words.db") as found:
        found.execute("CREATE TABLE IF NOT EXISTS words (word, key)")
        # To do it twice is to do it once.
        found.execute("DELETE FROM words WHERE key = ?", (event.key,))
        found.executemany("INSERT INTO words VALUES (?, ?)", ((word, event.key) for word in words))
    found.close()


if __name__ == "__main__":
    s3.store.outbox.start()
    server = make_server(
        "127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 9000, s3, threaded=True
    )
    print(f"S3 at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
