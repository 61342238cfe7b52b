"""What an S3 endpoint does with each of S3's operations, measured over HTTP.

.. code-block:: python

    endpoint = Endpoint("http://127.0.0.1:8000", Key("AKIA...", "secret", Account("me", "me")))
    report = run(endpoint)
    print(text_table(report))

``s3kit conformance URL`` is the same from the command line. Every operation is tried in buckets of
its own that are removed afterwards.
"""

from __future__ import annotations

from .endpoint import Broken
from .endpoint import Endpoint
from .report import Report
from .report import Result
from .report import Verdict
from .run import CannotBegin
from .run import run

__all__ = ["Broken", "CannotBegin", "Endpoint", "Report", "Result", "Verdict", "run"]
