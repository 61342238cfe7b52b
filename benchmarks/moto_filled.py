"""moto's server with a bucket that is full from the start; runs in the peers' environment.

    python moto_filled.py PORT BUCKET COUNT

It names the keys as ``benchmarks.filling.key_of`` does, and imports nothing of this repository.
"""

from __future__ import annotations

import sys

ACCOUNT = "123456789012"


def main() -> None:
    """Fill the bucket in this process, then serve until SIGTERM."""
    port, bucket, count = sys.argv[1:]
    from moto.s3.models import s3_backends  # type: ignore[import-not-found,unused-ignore]
    from moto.server import main as serve  # type: ignore[import-not-found,unused-ignore]

    if int(count):
        backend = s3_backends[ACCOUNT]["aws"]
        backend.create_bucket(bucket, "us-east-1")
        for number in range(int(count)):
            backend.put_object(bucket, f"key-{number:07d}", b"x")
    serve(["-H", "127.0.0.1", "-p", port])


if __name__ == "__main__":
    main()
