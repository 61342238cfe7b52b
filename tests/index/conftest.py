"""An index in a fresh database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3kit.index import buckets
from s3kit.index.schema import create_schema
from s3kit.index.session import Index
from s3kit.model import Bucket
from tests.databases import KINDS
from tests.databases import fresh_database


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as fresh:
        yield fresh


@pytest.fixture
def index(url: str) -> Iterator[Index]:
    index = Index(url)
    create_schema(index)
    yield index
    index.close()


@pytest.fixture
def bucket(index: Index) -> Bucket:
    return index.write(lambda c: buckets.insert(c, "photos", "alice", 1_000))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Index]:
    index = Index(f"sqlite:///{tmp_path}/index.db")
    create_schema(index)
    yield index
    index.close()
