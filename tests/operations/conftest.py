"""Every operation is tested bare and mounted under a prefix, over memory and local storages."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from s3kit.app import S3App
from tests.client import Client
from tests.endpoint import OTHER
from tests.endpoint import OWNER
from tests.endpoint import fresh_name
from tests.endpoint import make_app

MOUNTS = {"bare": "", "mounted": "/files/s3"}


# Each kind of storage and each mount once: neither knows of the other.
@pytest.fixture(scope="session", params=["memory-bare", "file-mounted"])
def door(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of storage, and how the endpoint is mounted."""
    storage, _, mount = request.param.partition("-")
    return storage, mount


@pytest.fixture(scope="session")
def app(door: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    """One app per kind of storage; each test has buckets of its own in it."""
    # What a test counts is done when it says so, and not when a minute is over.
    made = make_app(door[0], tmp_path_factory.mktemp("s3"), run_lifecycle=False)
    made.store.server_logs.seconds = 86_400.0
    yield made
    made.close()


@pytest.fixture(scope="session")
def mount(door: tuple[str, str]) -> str:
    return MOUNTS[door[1]]


@pytest.fixture
def one_day() -> None:
    """For tests that compare days: midnight is waited for where it is near."""
    left = 86_400 - time.time() % 86_400
    if left < 20:
        time.sleep(left)


@pytest.fixture
def s3(app: S3App, mount: str) -> Client:
    """The owner of ``bucket``."""
    return Client(app, OWNER, mount=mount)


@pytest.fixture
def other(app: S3App, mount: str) -> Client:
    """Another account."""
    return Client(app, OTHER, mount=mount)


@pytest.fixture
def anonymous(app: S3App, mount: str) -> Client:
    return Client(app, None, mount=mount)


@pytest.fixture
def bucket(s3: Client) -> str:
    """The path of a new bucket of the owner's, e.g. ``/bucket-7``."""
    path = f"/{fresh_name()}"
    assert s3.put(path).status == 200
    return path


@pytest.fixture
def far_bucket(s3: Client) -> str:
    """The same on the other storage."""
    path = f"/{fresh_name('far')}"
    assert s3.put(path).status == 200
    return path
