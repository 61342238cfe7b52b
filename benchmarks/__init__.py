"""s3kit side by side with bare WSGI, nginx, moto and rclone: ``python -m benchmarks``."""

from __future__ import annotations
