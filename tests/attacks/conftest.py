"""One endpoint for all attacks; each test has buckets of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import fresh_name
from tests.endpoint import make_app


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app("file", tmp_path_factory.mktemp("attacked"), inline_threshold=4096)
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    """The owner of ``bucket``."""
    return Client(app, OWNER)


@pytest.fixture
def other(app: S3App) -> Client:
    """Another account."""
    return Client(app, OTHER)


@pytest.fixture
def anonymous(app: S3App) -> Client:
    return Client(app, None)


@pytest.fixture
def bucket(s3: Client) -> str:
    """The path of a new private bucket of the owner's."""
    path = f"/{fresh_name('attacked')}"
    assert s3.put(path).status == 200
    return path


@pytest.fixture
def secret(s3: Client, bucket: str) -> str:
    """The path of a private object in it, which holds ``private``."""
    path = f"{bucket}/secret"
    assert s3.put(path, b"private").status == 200
    return path
