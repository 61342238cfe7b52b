"""gunicorn's settings for an app with S3 in it, as ``s3kit serve`` has them.

.. code-block:: sh

    gunicorn -c python:s3kit_contrib.gunicorn --workers 2 app:app

What the command line says counts more. With gunicorn's own settings most of S3 works as well, but
an upload may take no longer than 30 seconds, one client at a time is served, metadata whose name
has an underscore is refused as wrongly signed, and a refused upload is sent nevertheless.
"""

from __future__ import annotations

from typing import Any

from s3kit.cli.late_continue import before_request
from s3kit.cli.late_continue import take_any_expectation
from s3kit.cli.lingering import after_request
from s3kit.cli.metadata_names import keep_metadata_names
from s3kit.cli.servers import GUNICORN_LIMITS
from s3kit.cli.servers import THREADS

worker_class = "gthread"
threads = THREADS["gunicorn"]
# gunicorn reads the names of this module.
globals().update(GUNICORN_LIMITS)
pre_request = before_request
post_request = after_request


def post_worker_init(worker: Any) -> None:
    """Change the parser of this process."""
    take_any_expectation()
    keep_metadata_names()
