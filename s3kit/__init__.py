"""s3kit gives any Python web app an S3 API."""

from __future__ import annotations

from .app import S3App
from .config import Config
from .config import ConfigError
from .middleware.mount import mount

__all__ = ["Config", "ConfigError", "S3App", "mount"]
__version__ = "0.1.0"
