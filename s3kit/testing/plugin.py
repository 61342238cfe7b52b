"""The pytest plug-in: an S3 endpoint for your tests, empty at the start of each.

It is active wherever s3kit is installed, and loads nothing of it before a test asks for a fixture.

.. code-block:: python

    def test_a_report_is_stored(s3kit_client):
        s3kit_client.create_bucket(Bucket="reports")
        store_report(s3kit_client)
        assert s3kit_client.list_objects_v2(Bucket="reports")["KeyCount"] == 1

    @pytest.mark.s3kit(storage="disk", max_object_size=1024)
    def test_large_reports_are_refused(s3kit_server):
        ...

Everything is in memory, unless ``s3kit_storage = disk`` stands in pytest's ini file, or the marker
says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

if TYPE_CHECKING:
    from ..app import S3App
    from ..client import Client
    from .faults import FaultPlan
    from .session import TestingSession

_OURS = ("index", "storages", "plugins")
"""Settings of Config that no marker may give: each test empties what lies there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest the ini option."""
    parser.addini("s3kit_storage", "memory (the default) or disk: where the s3kit_* fixtures store")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the marker."""
    config.addinivalue_line(
        "markers",
        "s3kit(storage='memory', **settings): where the s3kit_* fixtures store (memory or disk), "
        "and other settings of s3kit.Config",
    )


class S3Server:
    """A running endpoint. Its address and its keys are the same in every test of a run."""

    def __init__(self, session: TestingSession, app: S3App) -> None:
        from . import session as constants

        self._session = session
        self._clients: list[Any] = []
        self.app = app
        self.url: str = session.url
        self.access_key = constants.ACCESS_KEY
        self.secret_key = constants.SECRET_KEY
        self.region = app.config.region

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which AWS's command line and SDKs find this endpoint."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.url,
        }

    def reset(self) -> None:
        """Remove every bucket and object now. Before each test that happens by itself."""
        from .session import empty

        empty(self.app)

    def client(self, **options: Any) -> Any:
        """A new boto3 client of this endpoint, closed when the test ends.

        :param options: what ``boto3.client`` takes, in place of the defaults.
        """
        try:
            import boto3
        except ImportError:
            pytest.skip("A boto3 client needs boto3: pip install 's3kit[pytest]'")
        from botocore.config import Config

        if self._session.boto3_session is None:
            self._session.boto3_session = boto3.session.Session(botocore_session=_clean_session())
        given = {
            "endpoint_url": self.url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            **options,
            # No proxy of the machine's stands before a server on it.
            "config": Config(proxies={}).merge(options.get("config") or Config()),
        }
        client = self._session.boto3_session.client("s3", **given)
        self._clients.append(client)
        return client

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close()


def _clean_session() -> Any:
    """A botocore session that no file of the developer's changes.

    One for all tests: it keeps what it has read of the large service model.
    """
    from botocore.session import Session

    variables = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return Session(variables)


@pytest.fixture(scope="session")
def _s3kit_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestingSession]:
    from .session import TestingSession

    def make_folder() -> Path:
        return tmp_path_factory.mktemp("s3kit")

    session = TestingSession(make_folder)
    yield session
    session.close()


@pytest.fixture
def s3kit_storage(request: pytest.FixtureRequest) -> str:
    """Where the test stores: ``memory`` or ``disk``; parametrize it to run a test on both."""
    for mark in request.node.iter_markers("s3kit"):
        if "storage" in mark.kwargs:
            return str(mark.kwargs["storage"])
    return str(request.config.getini("s3kit_storage") or "memory")


@pytest.fixture
def s3kit_app(
    request: pytest.FixtureRequest, _s3kit_session: TestingSession, s3kit_storage: str
) -> S3App:
    """An empty S3App, a WSGI application, set up as the test's ``s3kit`` marker says."""
    from .session import STORAGES

    if s3kit_storage not in STORAGES:
        raise pytest.UsageError(f'The s3kit storage is "memory" or "disk", not "{s3kit_storage}".')
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("s3kit"))):
        if mark.args:
            raise pytest.UsageError("The s3kit marker takes names: s3kit(storage='disk').")
        settings.update(mark.kwargs)
    settings.pop("storage", None)
    for name in _OURS:
        if name in settings:
            raise pytest.UsageError(
                f"The s3kit marker cannot set {name}: each test removes all that it finds. "
                "Make an S3App of your own for that."
            )
    return _s3kit_session.app(s3kit_storage, settings)


@pytest.fixture
def s3kit_direct(s3kit_app: S3App) -> Client:
    """An in-process client (:class:`s3kit.Client`): no HTTP, no signatures, and no faults."""
    return s3kit_app.client()


@pytest.fixture
def s3kit_server(_s3kit_session: TestingSession, s3kit_app: S3App) -> Iterator[S3Server]:
    """A real server on a free port; ``url``, ``access_key``, ``secret_key``, ``reset()``."""
    server = S3Server(_s3kit_session, s3kit_app)
    yield server
    server._close_clients()


@pytest.fixture
def s3kit_client(s3kit_server: S3Server) -> Any:
    """A boto3 client of ``s3kit_server``; the test is skipped where boto3 is not installed."""
    return s3kit_server.client()


@pytest.fixture
def s3kit_faults(_s3kit_session: TestingSession) -> Iterator[FaultPlan]:
    """Faults to come in ``s3kit_server``'s answers; see :mod:`s3kit.testing.faults`."""
    plan = _s3kit_session.switchboard.faults
    plan.clear()
    yield plan
    plan.clear()
