"""The image of the Dockerfile, made once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.container import Image
from tests.deploy.container import build
from tests.deploy.container import reason_against

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    # What pip needs to know of this machine.
    machine = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith(("_proxy", "_cert_file", "_cert_dir"))
    }
    folder = Path(tempfile.mkdtemp(prefix="s3kit-image-"))
    try:
        yield build(ROOT / "Dockerfile", ROOT, folder, machine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
