"""One endpoint for the conformance tests that speak to one."""

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
    made = make_app("file", tmp_path_factory.mktemp("seeds"), base_hosts=("s3.test",))
    yield made
    made.close()


@pytest.fixture
def s3(app: S3App) -> Client:
    """The owner of ``bucket``."""
    return Client(app, OWNER)


@pytest.fixture
def other(app: S3App) -> Client:
    return Client(app, OTHER)


@pytest.fixture
def anonymous(app: S3App) -> Client:
    return Client(app, None)


@pytest.fixture
def bucket(s3: Client) -> str:
    """The path of a new bucket of the owner's."""
    path = f"/{fresh_name('seed')}"
    assert s3.put(path).status == 200
    return path
