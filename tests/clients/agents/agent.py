"""What a script in the clients' environment does: read a question per line, answer with a line.

See ``tests.clients.scenario.Agent``. Only this folder can be imported there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PART = 5 << 20


class Library:
    """One Python library at one endpoint; each method is one thing that people do with it."""

    def upload_tree(self, folder: str, bucket: str, prefix: str) -> None:
        """File by file: a library has no sync."""
        for path in Path(folder).rglob("*"):
            if path.is_file():
                self.upload(str(path), bucket, prefix + str(path.relative_to(folder)))

    def download_tree(self, bucket: str, prefix: str, folder: str) -> None:
        for key in self.keys(bucket, prefix):
            path = Path(folder) / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.download(bucket, key, str(path))

    def move(self, bucket: str, source: str, target: str) -> None:
        """Copy and delete, as S3 has no move."""
        self.copy(bucket, source, target)
        self.delete(bucket, source)

    def empty(self, bucket: str) -> None:
        for key in list(self.keys(bucket, "")):
            self.delete(bucket, key)

    def upload(self, path: str, bucket: str, key: str) -> None:
        raise NotImplementedError

    def download(self, bucket: str, key: str, path: str) -> None:
        raise NotImplementedError

    def keys(self, bucket: str, prefix: str) -> list[str]:
        raise NotImplementedError

    def copy(self, bucket: str, source: str, target: str) -> None:
        raise NotImplementedError

    def delete(self, bucket: str, key: str) -> None:
        raise NotImplementedError


def answer(library: Callable[[dict[str, Any]], Any]) -> None:
    """Make the library's client from the settings of the first line, then do what is asked."""
    client: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if client is None:
                client = library(question)
                result = None
            else:
                result = getattr(client, question["do"])(*question["with"])
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        else:
            said = {"result": result}
        print(json.dumps(said), flush=True)
