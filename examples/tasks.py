"""Background work on stored objects, in the process that serves them: app.client() needs no HTTP.

Run it:  python examples/tasks.py
Then:    store texts in the bucket "texts"; a count of the words of each soon lies in "reports", and
         its metadata names a URL by which anybody may read the text for an hour.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import Counter

from werkzeug.serving import make_server

from s3kit import Config
from s3kit import S3App
from s3kit.signals import Event
from s3kit.signals import object_created

app = S3App(Config(keys={"AKIAEXAMPLE": "secret"}))
s3 = app.client()  # acts as the account "default", whose key stands above
jobs: queue.Queue[Event] = queue.Queue()


@object_created.connect_via("texts")
def enqueue(bucket: str, *, event: Event) -> None:
    """Called in the request's thread after the commit: the work is left to another."""
    jobs.put(event)


def work(endpoint: str) -> None:
    """Count words, a block of the text in memory at a time."""
    while event := jobs.get():
        words: Counter[str] = Counter()
        with s3.open(event.bucket, event.key) as lines:
            for line in lines:
                words.update(line.decode("utf-8", "replace").split())
        report = "".join(f"{count}\t{word}\n" for word, count in words.most_common(10))
        url = s3.presign("GET", event.bucket, event.key, 3600, endpoint=endpoint)
        s3.put("reports", event.key, report, content_type="text/plain", metadata={"text": url})


if __name__ == "__main__":
    for name in ("texts", "reports"):
        s3.create_bucket(name)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = make_server("127.0.0.1", port, app, threaded=True)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=work, args=(endpoint,), daemon=True).start()
    print(f"Listening on {endpoint}", flush=True)
    server.serve_forever()
