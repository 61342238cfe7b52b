"""Ends with 0 if the s3kit of this container answers; for the Dockerfile's HEALTHCHECK."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request


def main() -> int:
    port = os.environ.get("S3KIT_PORT", "")
    # Kubernetes sets tcp://... for a Service named s3kit.
    port = port if port.isdigit() else "9000"
    context = None
    scheme = "http"
    if os.environ.get("S3KIT_CERTFILE"):
        scheme = "https"
        # This very machine: nobody to be mistaken for, and the name in the certificate is another.
        context = ssl._create_unverified_context()
    try:
        url = f"{scheme}://127.0.0.1:{port}/-/health"
        with urllib.request.urlopen(url, timeout=4, context=context) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
