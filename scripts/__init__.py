"""Programs for people who work on s3kit; none of them is installed."""

from __future__ import annotations
