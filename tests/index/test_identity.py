"""The index's id."""

from __future__ import annotations

from pathlib import Path

from s3kit.index import identity
from s3kit.index.schema import create_schema
from s3kit.index.schema import upgrade
from s3kit.index.session import Index


def id_of(index: Index) -> str:
    return index.read(identity.get)


def test_an_index_keeps_its_id(index: Index) -> None:
    first = id_of(index)
    assert len(first) == 32
    create_schema(index)
    upgrade(index)
    assert id_of(index) == first


def test_no_two_have_the_same_id(tmp_path: Path) -> None:
    ids = set()
    for make in (create_schema, upgrade):
        for number in range(2):
            index = Index(f"sqlite:///{tmp_path}/{make.__name__}{number}.db")
            make(index)
            ids.add(id_of(index))
            index.close()
    assert len(ids) == 4
